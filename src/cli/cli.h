/*
 * cli: the frame of the command line. A subcommand is one file (src/cli/<name>.c) with one function, `int cli_<name>(int argc,
 * char **argv)`, and one row in src/cli/commands.h; argv[0] is the subcommand's name. Answers go to standard output, everything
 * else to standard error, a failure is one line there: "assay check: assay.yaml:7:3: …".
 */
#ifndef ASSAY_CLI_CLI_H
#define ASSAY_CLI_CLI_H

#include "base/json.h"

/* What `assay` exits with. A command that answers a question with three answers (verify) says so in its own usage. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1, /* it was understood, and did not succeed */
	CLI_USAGE = 2,  /* it was not understood: nothing was done */
};

struct verb; /* cli/verb.h */

struct cli_command {
	const char *name;
	const char *arguments; /* as in usage: "[FILE] [--json]" */
	const char *summary;   /* what it does, in one line, lower case, no full stop */
	int (*run)(int argc, char **argv);
	const struct verb *verb; /* instead of `run`: it is one call of the API */
};

/* Looks argv[1] up in the table and runs its row with argv + 1. Without argv[1], or with help or --help, prints the table. An unknown
 * name is CLI_USAGE and one line with the nearest known one. `program` is what stands before the names: "assay", "assay env". */
int cli_dispatch(const char *program, const struct cli_command *commands, size_t count, int argc, char **argv);

/* The whole command line: the rows of src/cli/commands.h. */
int cli_main(int argc, char **argv);

/* Where `assay doctor` asks: set once, by the program. It gives the items of GET /doctor (doc/api.md) without a server. */
void cli_doctor_source(json_t *(*items)(const char *state_dir));

/* By whom `assay policy` has requests judged: set once, by the program; as policy_requests_judge() in programs/policy.h. */
void cli_policy_source(json_t *(*judge)(const json_t *policy, const json_t *above, const json_t *requests, struct err *err));

/* What `assay kubernetes` is: the program is not of this folder. */
void cli_kubernetes_source(int (*main)(int argc, char **argv));

/* What `assay backup` and `assay restore` do: set once, by the program; as in programs/backup.h. */
/* What `assay relay` is: the program is not of this folder. */
void cli_relay_source(int (*main)(int argc, char **argv));
void cli_backup_source(int (*make)(const char *state_dir, const char *store, const char *file, struct err *err),
		       int (*restore)(const char *state_dir, const char *store, const char *file, struct err *err));

/* An option: exactly one of flag, text, number and each is set. `--name value`, `--name=value`; a flag takes no value. */
struct cli_option {
	const char *name;  /* without the dashes */
	const char *value; /* what usage calls the value: "FILE"; NULL for a flag */
	const char *help;
	bool *flag;
	const char **text;                                           /* the last one given wins; untouched when not given */
	int64_t *number;                                             /* decimal, not negative */
	int (*each)(void *self, const char *value, struct err *err); /* called for each time it is given */
	void *self;
};

struct cli_usage {
	const char *program;   /* "assay check" */
	const char *arguments; /* "[FILE] [--json]" */
	const char *about;     /* a few lines, or one */
	const struct cli_option *options;
	size_t option_count;
	int positional_min;
	int positional_max; /* -1: any number */
	bool options_first; /* the first positional argument ends the options: for `exec ENV COMMAND…` */
};

/* Takes the options out of argv. Returns the number of positional arguments, which are then at argv[1]…, in order; `--` ends the
 * options. Returns -1 when there is nothing more to do: *code is then CLI_DONE (--help was given and answered) or CLI_USAGE (one line
 * was written to standard error). --help needs no row. */
MUST_USE int cli_options(const struct cli_usage *usage, int argc, char **argv, int *code);

/* "assay NAME: text" on standard error; returns CLI_FAILED. With `as_json`, {"ok": false, "kind", "error"} on standard output. */
int cli_fail(const char *program, bool as_json, const struct err *err);
/* As cli_fail for a wrong argument; returns CLI_USAGE. */
int cli_refuse(const char *program, const char *format, ...) PRINTF_LIKE(2, 3);
/* One object or array, indented, on standard output. */
void cli_print_json(const json_t *json);

#endif
