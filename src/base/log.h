/*
 * log: lines for the operator on standard error, as fields: `level=warn program=keeper env=e7k msg="…"`, or with ASSAY_LOG_FORMAT=json as
 * objects with the same members, {"time", "level", "program", …, "msg"}, one a line, for programs that collect them. Libraries return errors;
 * programs log them, once. Secrets have no printable type, so they cannot come here.
 */
#ifndef ASSAY_BASE_LOG_H
#define ASSAY_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Names the program in each line; lines below `level` are dropped. ASSAY_LOG=debug|info|warn|error overrides. Call once, first. */
void log_init(const char *program, enum log_level level);

/* From now on: "debug", "info", "warn" or "error"; anything else changes nothing. Any thread. */
void log_level_set(const char *level);

/* Fields of this thread's scope, put in each line until changed, e.g. "run=r12 env=e7"; NULL clears. Copied. */
void log_scope(const char *fields);

void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
