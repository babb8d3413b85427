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
		.about = "Says which permission, event or webhook is missing at a code host, and how to add it.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	AUTO_BUF path = buf_new(4096);
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	buf_add_text(&path, "/connections/");
	buf_add_url(&path, view_of(count ? argv[1] : "github"));
	buf_add_text(&path, "/check");
	if (base) {
		buf_add_text(&path, "?public=");
		buf_add_url(&path, view_of(base));
	}
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? api_items(api, path.at, &err) : NULL;
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
