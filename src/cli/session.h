/* session: what the files of `assay session` share. */
#ifndef ASSAY_CLI_SESSION_H
#define ASSAY_CLI_SESSION_H

#include "http/har.h"

void session_short_options(int argc, char **argv); /* -o is --output */
/* For `--keep NAME`: `self` is a list. */
MUST_USE int session_name_keep(void *self, const char *value, struct err *err);

struct session_writing {
	const struct session *session;
	const json_t *keep; /* names whose values stay */
	bool values;        /* the server keeps what it hides */
	const char *output; /* NULL: standard output */
};

/* Has the server take the secrets out, and writes what comes back. */
MUST_USE int session_write(const char *program, const struct session_writing *writing, struct err *err);

int session_import(int argc, char **argv);
int session_mirror(int argc, char **argv);
int session_hold(int argc, char **argv);
int session_held(int argc, char **argv);
int session_release(int argc, char **argv);

#endif
