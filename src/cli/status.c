/* assay status: is a server there, and what does it do? It never starts one. */
#include <inttypes.h>
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/terminal.h"

int cli_status(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print it as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay status",
		.arguments = "[--json]",
		.about = "Says whether a server runs here, where its pages are, and what it does. Exit code 1 when none runs.",
		.options = options,
		.option_count = 1};
	AUTO_BUF up = buf_new(64);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, false, &err);
	AUTO_JSON status = api ? api_get(api, "/status", &err) : NULL;
	if (!status)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		cli_print_json(status);
		return CLI_DONE;
	}
	duration_format(&up, world_now_ms(world_real) - json_number(status, "started_ms", 0));
	printf("assay %s, process %" PRId64 ", up %s%s\n", json_text(status, "version", "?"), json_number(status, "pid", 0), up.at,
	       json_flag(status, "idle", false) ? ", idle" : "");
	printf("pages        %s\npreviews     %s\nstate        %s\n", json_text(status, "pages", ""),
	       json_text(status, "preview_base", ""), json_text(status, "state_dir", ""));
	printf("runs         %" PRId64 "\nenvironments %" PRId64 "\n", json_number(status, "runs", 0),
	       json_number(status, "environments", 0));
	return CLI_DONE;
}
