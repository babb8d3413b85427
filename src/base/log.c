/* One write(2) a line, so that lines of several threads and processes never mix. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static char program_name[32] = "assay";
static enum log_level level_min = LOG_LEVEL_INFO;
static __thread char scope_fields[256];

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *program, enum log_level level)
{
	const char *wanted = getenv("ASSAY_LOG");

	(void)snprintf(program_name, sizeof(program_name), "%s", program);
	level_min = level;
	for (unsigned i = 0; wanted && i < 4; i++)
		if (strcmp(wanted, level_names[i]) == 0)
			level_min = (enum log_level)i;
}

void log_scope(const char *fields)
{
	(void)snprintf(scope_fields, sizeof(scope_fields), "%s", fields ? fields : "");
}

static void PRINTF_LIKE(2, 0) line_write(enum log_level level, const char *format, va_list args)
{
	char text[LINE_MAX_BYTES / 2];
	char line[LINE_MAX_BYTES];
	struct timespec now;
	struct tm utc;
	size_t used;

	if (level < level_min)
		return;
	(void)vsnprintf(text, sizeof(text), format, args);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &utc);
	used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ level=%s program=%s%s%s msg=\"", now.tv_nsec / 1000000,
				 level_names[level], program_name, scope_fields[0] ? " " : "", scope_fields);
	for (const char *at = text; *at && used < sizeof(line) - 4; at++) {
		unsigned char c = (unsigned char)*at;

		if (c == '"' || c == '\\')
			line[used++] = '\\';
		line[used++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
	line[used++] = '"';
	line[used++] = '\n';
	(void)!write(STDERR_FILENO, line, used);
}

#define LOG_AT(name, level)                      \
	void name(const char *format, ...)       \
	{                                        \
		va_list args;                    \
		va_start(args, format);          \
		line_write(level, format, args); \
		va_end(args);                    \
	}

LOG_AT(log_debug, LOG_LEVEL_DEBUG)
LOG_AT(log_info, LOG_LEVEL_INFO)
LOG_AT(log_warn, LOG_LEVEL_WARN)
LOG_AT(log_error, LOG_LEVEL_ERROR)
