/*
 * verb: a subcommand that is one call of the API: its arguments make a path and a body, its answer is printed. Such a subcommand is a
 * row of a table (cli.h), not a function.
 *
 * What is wrong with the arguments is told before a server is asked, or started.
 */
#ifndef ASSAY_CLI_VERB_H
#define ASSAY_CLI_VERB_H

#include "cli/cli.h"

enum verb_how {
	VERB_GET,
	VERB_ITEMS, /* GET of a list: the answer is its array */
	VERB_POST,
	VERB_WORK, /* POST of long work, whose steps are printed as they end */
	VERB_DELETE,
};

struct verb {
	const char *arguments; /* as in usage: "ENV [SERVICE] [--json]" */
	const char *about;
	int least; /* arguments */
	int most;
	bool json; /* has --json */
	enum verb_how how;
	const char *path; /* each {} is an argument, in order; three at most */
	/* Instead of `path`, when it is not that simple; owned by the caller. NULL with err: the arguments are wrong. */
	char *(*path_make)(char **argv, struct err *err);
	/* What is sent; NULL with err: the arguments are wrong. The row may have none: {}. */
	json_t *(*body_make)(int count, char **argv, struct err *err);
	/* What is printed of the answer, unless --json is. Neither: nothing. */
	void (*print)(const json_t *answer);
	const char *said;
};

/* `program` is "assay env show"; argv as cli_command's. Returns what to exit with. */
int verb_run(const struct verb *verb, const char *program, int argc, char **argv);

#endif
