/* One write(2) a line, so that lines of several threads and processes never mix. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

#define LINE_MAX_BYTES 2048

static char program_name[32] = "assay";
static _Atomic(enum log_level) level_min = LOG_LEVEL_INFO;
static bool as_json;
static __thread char scope_fields[256];

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *program, enum log_level level)
{
	const char *wanted = getenv("ASSAY_LOG");
	const char *format = getenv("ASSAY_LOG_FORMAT");

	(void)snprintf(program_name, sizeof(program_name), "%s", program);
	level_min = level;
	as_json = format && strcmp(format, "json") == 0;
	log_level_set(wanted ? wanted : "");
}

void log_level_set(const char *level)
{
	for (unsigned i = 0; i < 4; i++)
		if (strcmp(level, level_names[i]) == 0)
			level_min = (enum log_level)i;
}

void log_scope(const char *fields)
{
	(void)snprintf(scope_fields, sizeof(scope_fields), "%s", fields ? fields : "");
}

/* A text as JSON has it between its quotes; what is no UTF-8 becomes `?`. */
static size_t json_add(char *line, size_t used, size_t most, const char *text, size_t length)
{
	for (size_t i = 0; i < length && used + 8 < most;) {
		unsigned char c = (unsigned char)text[i];
		size_t whole = view_utf8_length(view_make(text + i, length - i));

		if (c == '"' || c == '\\')
			line[used++] = '\\';
		if (c >= 0x80 && whole) {
			memcpy(line + used, text + i, whole);
			used += whole;
			i += whole;
			continue;
		}
		line[used++] = c < 0x20 || c == 0x7f ? ' ' : c >= 0x80 ? '?' : (char)c;
		i++;
	}
	return used;
}

static size_t literal_add(char *line, size_t used, const char *text)
{
	memcpy(line + used, text, strlen(text));
	return used + strlen(text);
}

/* The scope's fields, "run=r12 env=e7", become members. */
static size_t scope_add(char *line, size_t used, size_t most)
{
	for (struct view rest = view_of(scope_fields); rest.length;) {
		struct view value;
		struct view name = view_cut(view_cut(rest, ' ', &rest), '=', &value);

		if (!name.length || used + name.length + value.length + 16 > most)
			continue;
		used = literal_add(line, used, "\",\"");
		used = json_add(line, used, most, name.at, name.length);
		used = literal_add(line, used, "\":\"");
		used = json_add(line, used, most, value.length ? value.at : "", value.length);
	}
	return used;
}

static void json_write(enum log_level level, const char *time, const char *text)
{
	char line[LINE_MAX_BYTES];
	size_t used = (size_t)snprintf(line, sizeof(line), "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s", time,
				       level_names[level], program_name);

	used = scope_add(line, used, sizeof(line) / 2);
	used = literal_add(line, used, "\",\"msg\":\"");
	used = json_add(line, used, sizeof(line) - 8, text, strlen(text));
	used = literal_add(line, used, "\"}\n");
	(void)!write(STDERR_FILENO, line, used);
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
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ", now.tv_nsec / 1000000);
	if (as_json) {
		json_write(level, line, text);
		return;
	}
	used += (size_t)snprintf(line + used, sizeof(line) - used, " level=%s program=%s%s%s msg=\"", level_names[level],
				 program_name, scope_fields[0] ? " " : "", scope_fields);
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
