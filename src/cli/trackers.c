/* assay trackers: what connections to trackers lack. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"

static const char *const kinds[] = {"linear"};

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
		fprintf(stderr, "no tracker is connected: `assay connect linear`\n");
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
