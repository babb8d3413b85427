/*
 * environment_log: what programs in rooms print, kept in files: one thread reads all pipes. A file is rotated at LOG_FILE_BYTES, one
 * older one is kept. A program that prints faster than LOG_RATE for longer than LOG_BURST is cut, and a line says how much.
 *
 * Each log is <dir>/<name>.log; complete lines also go, with the name in front, to <dir>/all.log of the same directory.
 */
#ifndef ASSAY_SANDBOX_ENVIRONMENT_LOG_H
#define ASSAY_SANDBOX_ENVIRONMENT_LOG_H

#include "base/buf.h"

#define LOG_FILE_BYTES ((int64_t)10 << 20)
#define LOG_RATE ((int64_t)1 << 20) /* bytes a second */
#define LOG_BURST ((int64_t)8 << 20)
#define LOG_LINE_MAX ((size_t)16 << 10) /* longer ones are broken in all.log */

struct log;
struct log_pump;

/* `hint` is called from the pump's thread whenever a pipe has ended. */
struct log_pump *log_pump_open(void (*hint)(void *self), void *self, struct err *err);
void log_pump_close(struct log_pump *pump); /* all logs are closed before */

struct log *log_open(struct log_pump *pump, const char *dir, const char *name, struct err *err);
void log_close(struct log *log); /* NULL is fine */
/* A pipe whose other end goes to this log until it closes; the descriptor is the caller's. */
MUST_USE int log_pipe(struct log *log, int *write_fd, struct err *err);
/* A line of our own. */
void log_say(struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);

/* The last `lines` lines (0: all that is kept) of <dir>/<name>.log, or, with from != NULL and *from >= 0, everything after that
 * position; *from is moved to the end. What the file holds raw comes out with control characters made visible. */
MUST_USE int log_read(const char *dir, const char *name, int lines, int64_t *from, struct buf *output, struct err *err);
/* Appends text with escape sequences and control characters (but newline and tab) made visible. */
void log_neutral(struct buf *out, struct view text);

#endif
