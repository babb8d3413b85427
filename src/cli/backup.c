/* assay backup, assay restore: all that cannot be made again, in one file. */
#include <stdio.h>
#include <stdlib.h>

#include "base/place.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/commands.h"

static int (*backup_make)(const char *state_dir, const char *store, const char *file, struct err *err);
static int (*backup_restore)(const char *state_dir, const char *store, const char *file, struct err *err);

void cli_backup_source(int (*make)(const char *state_dir, const char *store, const char *file, struct err *err),
		       int (*restore)(const char *state_dir, const char *store, const char *file, struct err *err))
{
	backup_make = make;
	backup_restore = restore;
}

static int backup_command(struct cli_usage usage, int argc, char **argv,
			  int (*does)(const char *state_dir, const char *store, const char *file, struct err *err),
			  const char *done)
{
	const char *state = NULL;
	const char *store = getenv("ASSAY_STORE");
	const struct cli_option options[] = {
		{.name = "state", .value = "DIR", .help = "what is kept (default: ASSAY_STATE, /var/lib/assay)", .text = &state},
		{.name = "store",
		 .value = "URL",
		 .help = "where runs and issues are kept (default: ASSAY_STORE, else STATE/assay.db)",
		 .text = &store},
	};
	AUTO_FREE char *usual = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	usage.arguments = "FILE [--state DIR] [--store URL]";
	usage.options = options;
	usage.option_count = ARRAY_LEN(options);
	usage.positional_min = 1;
	usage.positional_max = 1;
	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	usual = state ? text_copy(state) : place_state(&err);
	if (!usual || does(usual, store && *store ? store : NULL, argv[1], &err))
		return cli_fail(usage.program, false, &err);
	printf("%s %s\n", argv[1], done);
	return CLI_DONE;
}

int cli_backup(int argc, char **argv)
{
	const struct cli_usage usage = {
		.program = "assay backup",
		.about =
			"Writes runs, issues, pull requests, repositories, keys and the ledger into one file, also while the server runs. Whoever has\n"
			"the file has the keys. Environments are not in it: a run that goes on gets a new one."};

	return backup_command(usage, argc, argv, backup_make, "holds everything");
}

int cli_restore(int argc, char **argv)
{
	const struct cli_usage usage = {
		.program = "assay restore",
		.about =
			"Brings back what `assay backup` wrote, into a state and a store that hold nothing; the store may be of another kind than\n"
			"the one it was written from. No server may run on them."};

	return backup_command(usage, argc, argv, backup_restore, "is restored");
}
