/*
 * server: starting `assay serve` in the background, and knowing whether one is there.
 */
#ifndef ASSAY_CLI_SERVER_H
#define ASSAY_CLI_SERVER_H

#include <stdbool.h>

#include "base/err.h"

#define SERVER_ARGS_MAX 16

/* Does something answer at this socket? */
bool server_answers(const char *socket);

/* Starts this binary with `serve` and the arguments (NULL-terminated) in a session of its own, its output in <state>/serve.log, and
 * waits until it says that it is ready. Another command may have started one at the same moment: that is as good. The error quotes
 * the last line of the log. */
MUST_USE int server_start(const char *const *args, const char *socket, struct err *err);

#endif
