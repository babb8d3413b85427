/* assay doctor: what this machine has, lacks, and how to get it. */
#include <stdio.h>

#include "base/place.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

static bool row_print(const json_t *row)
{
	const char *status = json_text(row, "status", "");
	bool good = strcmp(status, "ok") == 0;
	bool missing = strcmp(status, "missing") == 0;
	AUTO_FREE char *name = terminal_line(json_text(row, "name", ""));
	AUTO_FREE char *what = terminal_line(json_text(row, "what", ""));
	AUTO_FREE char *how = terminal_line(json_text(row, "how", ""));

	printf("%s%s%s %-22s %s\n",
	       terminal_tone(stdout, good      ? TONE_GOOD
				     : missing ? TONE_BAD
					       : TONE_UNSURE),
	       good      ? "✓"
	       : missing ? "✗"
			 : "!",
	       terminal_end(stdout), name, what);
	if (!good && how[0])
		printf("  %-22s %s%s%s\n", "", terminal_tone(stdout, TONE_BUSY), how, terminal_end(stdout));
	return !missing;
}

static json_t *(*doctor_source)(const char *state_dir);

void cli_doctor_source(json_t *(*items)(const char *state_dir))
{
	doctor_source = items;
}

int cli_doctor(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print it as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay doctor",
		.arguments = "[--json]",
		.about =
			"Says what this machine can do for Assay, what it lacks, and how to get it. Exit code 1 when something is missing.",
		.options = options,
		.option_count = 1};
	struct err err = {0};
	bool whole = true;
	size_t i;
	json_t *row;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_FREE char *state = place_state(&err);
	AUTO_JSON items = state ? doctor_source(state) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		list_print_json(items);
	json_array_foreach(items, i, row)
		whole = (as_json ? strcmp(json_text(row, "status", ""), "missing") != 0 : row_print(row)) && whole;
	return whole ? CLI_DONE : CLI_FAILED;
}
