/* assay trackers, assay linear, assay jira, assay slack: who gives work from outside, and what their connections lack. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"

static const char *const kinds[] = {"linear", "jira", "slack"};

static bool is_tracker(const json_t *connection)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(json_text(connection, "kind", ""), kinds[i]) == 0)
			return true;
	return false;
}

/* Appends what is said about one. */
static int check_one(struct api *api, const char *name, json_t *all, struct err *err)
{
	AUTO_FREE char *path = api_path("/connections/{}/tracker-check", name);
	AUTO_JSON items = api_items(api, path, err);

	return items ? json_array_extend(all, items) : -1;
}

static int check_all(struct api *api, json_t *all, struct err *err)
{
	AUTO_JSON connections = api_items(api, "/connections", err);
	json_t *connection;
	size_t i;

	if (!connections)
		return -1;
	json_array_foreach(connections, i, connection)
		if (is_tracker(connection) && check_one(api, json_text(connection, "name", ""), all, err))
			return -1;
	return 0;
}

static bool print(const json_t *all)
{
	bool good = true;
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)all, i, item) {
		const char *state = json_text(item, "state", "");

		good = good && strcmp(state, "missing") != 0;
		printf("%-8s %s: %s: %s\n", state, json_text(item, "connection", ""), json_text(item, "what", ""),
		       json_text(item, "says", ""));
		if (json_text(item, "do", NULL))
			printf("         → %s\n", json_text(item, "do", ""));
	}
	if (!json_array_size(all))
		fprintf(stderr, "no tracker is connected: `assay connect linear|jira|slack`\n");
	return good;
}

static int trackers_check(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print it as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay trackers check",
		.arguments = "[NAME] [--json]",
		.about = "Says which scope, category, permission or webhook a connection lacks, and how to add it.\n"
			 "Exits with 1 when something is missing.",
		.options = options,
		.option_count = 1,
		.positional_max = 1};
	AUTO_JSON all = json_array();
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	if (!api || (count ? check_one(api, argv[1], all, &err) : check_all(api, all, &err)))
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		AUTO_JSON items = json_pack("{s:O}", "items", all);

		cli_print_json(items);
		return CLI_DONE;
	}
	return print(all) ? CLI_DONE : CLI_FAILED;
}

int cli_trackers(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"check", "[NAME] [--json]", "says what a connection lacks", trackers_check, NULL},
	};

	return cli_dispatch("assay trackers", commands, ARRAY_LEN(commands), argc, argv);
}

/* ---- who allows it ---- */

struct joining {
	const char *kind;
	const char *program;
	const char *about;
};

static void answer_print(const json_t *answer)
{
	if (json_text(answer, "url", NULL))
		printf("Open this as an admin there:\n%s\n\nThe application's callback URL must be %s\n",
		       json_text(answer, "url", ""), json_text(answer, "redirect", ""));
	else
		printf("%s is connected.\n", json_text(answer, "name", ""));
}

static int join(const struct joining *joining, int argc, char **argv)
{
	bool own = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "own", .help = "one's own: by the connection's right, without a page", .flag = &own},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = joining->program,
					.arguments = "[NAME] [--own] [--json]",
					.about = joining->about,
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_max = 1};
	AUTO_JSON body = NULL;
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	AUTO_FREE char *path = api_path("/connections/{}/permission", count ? argv[1] : joining->kind);
	AUTO_API struct api *api = api_open(usage.program, true, &err);

	body = json_pack("{s:b}", "own", own);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		answer_print(answer);
	return CLI_DONE;
}

static int linear_connect(int argc, char **argv)
{
	static const struct joining linear = {
		"linear", "assay linear connect",
		"Lets a workspace give work through the connection NAME (linear), which `assay connect linear` made:\n"
		"prints the page on which an admin of the workspace allows it."};

	return join(&linear, argc, argv);
}

static int jira_connect(int argc, char **argv)
{
	static const struct joining jira = {
		"jira", "assay jira connect",
		"Lets a site give work through the connection NAME (jira), which `assay connect jira` made: with its token\n"
		"at once, else it prints the page on which an admin of the site allows it."};

	return join(&jira, argc, argv);
}

static int slack_connect(int argc, char **argv)
{
	static const struct joining slack = {
		"slack", "assay slack connect",
		"Lets a workspace give work through the connection NAME (slack), which `assay connect slack` made with the\n"
		"tokens of its application."};

	return join(&slack, argc, argv);
}

int cli_linear(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"connect", "[NAME] [--own]", "lets a workspace give work", linear_connect, NULL},
	};

	return cli_dispatch("assay linear", commands, ARRAY_LEN(commands), argc, argv);
}

int cli_jira(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"connect", "[NAME] [--own]", "lets a site give work", jira_connect, NULL},
	};

	return cli_dispatch("assay jira", commands, ARRAY_LEN(commands), argc, argv);
}

int cli_slack(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"connect", "[NAME]", "lets a workspace give work", slack_connect, NULL},
	};

	return cli_dispatch("assay slack", commands, ARRAY_LEN(commands), argc, argv);
}
