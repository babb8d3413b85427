/* assay forges: what is missing at a code host. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

/* Returns whether all is good. */
static bool found_print(const json_t *items)
{
	bool good = true;
	size_t i, k;
	json_t *item;
	json_t *thing;

	json_array_foreach((json_t *)(uintptr_t)items, i, item) {
		printf("%s\n", json_text(item, "repository", "(no project yet: `assay repo add URL --connection NAME`)"));
		json_array_foreach(json_member(item, "found"), k, thing) {
			const char *state = json_text(thing, "state", "");
			const char *todo = json_text(thing, "do", "");

			good = good && (strcmp(state, "good") == 0 || strcmp(state, "unknown") == 0);
			printf("  %-8s %s\n", state, json_text(thing, "what", ""));
			if (*todo)
				printf("           %s\n", todo);
		}
	}
	return good;
}

static json_t *connection_check(struct api *api, const char *name, const char *base, struct err *err)
{
	AUTO_BUF path = buf_new(4096);

	buf_add_text(&path, "/connections/");
	buf_add_url(&path, view_of(name));
	buf_add_text(&path, "/check");
	if (base) {
		buf_add_text(&path, "?public=");
		buf_add_url(&path, view_of(base));
	}
	return buf_finish(&path, err) ? NULL : api_items(api, path.at, err);
}

static bool is_forge(const char *kind)
{
	static const char *const kinds[] = {"github", "gitlab", "gitea"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

/* Every connection to a code host. */
static json_t *all_check(struct api *api, const char *base, struct err *err)
{
	AUTO_JSON connections = api_items(api, "/connections", err);
	AUTO_JSON all = json_array();
	json_t *each;
	size_t i;

	if (!connections)
		return NULL;
	json_array_foreach(connections, i, each) {
		AUTO_JSON items = NULL;

		if (!is_forge(json_text(each, "kind", "")))
			continue;
		items = connection_check(api, json_text(each, "id", ""), base, err);
		if (!items)
			return NULL;
		(void)json_array_extend(all, items);
	}
	if (!json_array_size(all)) {
		(void)err_set(err, ERR_NOT_FOUND, "no code host is joined: `assay connect github|gitlab|gitea`");
		return NULL;
	}
	return TAKE(all);
}

static int forges_check(int argc, char **argv)
{
	const char *base = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "public", .value = "URL", .help = "where the code host reaches this server", .text = &base},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay forges check",
		.arguments = "[CONNECTION] [--public URL] [--json]",
		.about =
			"Says which permission, event or webhook is missing at a code host (without a name: at all that are joined), and how to add it.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? (count ? connection_check(api, argv[1], base, &err) : all_check(api, base, &err)) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		list_print_json(items);
		return CLI_DONE;
	}
	return found_print(items) ? CLI_DONE : CLI_FAILED;
}

int cli_forges(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"check", "[CONNECTION] [--public URL]", "says what is missing at a code host", forges_check},
	};

	return cli_dispatch("assay forges", commands, ARRAY_LEN(commands), argc, argv);
}
