/* How a database is opened, and the functions that SQLite lacks. */
#include "programs/assay_sqlite_file.h"

#include <md5.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 10000
#define VALUE_BYTES_MAX (256 << 20)
#define TEXT_BYTES_MAX ((size_t)1 << 20) /* of a value that a pattern is looked for in */

static void digest(sqlite3_context *context, int count, sqlite3_value **values)
{
	const unsigned char *text = sqlite3_value_text(values[0]);
	char hex[MD5_DIGEST_STRING_LENGTH];

	(void)count;
	if (!text) {
		sqlite3_result_null(context);
		return;
	}
	(void)MD5Data(text, (size_t)sqlite3_value_bytes(values[0]), hex);
	sqlite3_result_text(context, hex, -1, SQLITE_TRANSIENT);
}

/* As others have it: NULLs are left out. */
static void concat_ws(sqlite3_context *context, int count, sqlite3_value **values)
{
	sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
	const char *between = count ? (const char *)sqlite3_value_text(values[0]) : NULL;
	bool some = false;
	char *text;
	int length;

	for (int i = 1; between && i < count; i++) {
		const char *value = (const char *)sqlite3_value_text(values[i]);

		if (!value)
			continue;
		if (some)
			sqlite3_str_appendall(out, between);
		sqlite3_str_append(out, value, sqlite3_value_bytes(values[i]));
		some = true;
	}
	length = sqlite3_str_length(out);
	text = sqlite3_str_finish(out);
	if (!between)
		sqlite3_result_null(context);
	else
		sqlite3_result_text(context, text ? text : "", text ? length : 0, SQLITE_TRANSIENT);
	sqlite3_free(text);
}

/* Does a sequence of UTF-8 begin here? Its length, or 0 (RFC 3629, section 4). */
static size_t sequence_length(const unsigned char *at, size_t left)
{
	static const struct {
		unsigned char first, last, second_first, second_last;
		size_t length;
	} rows[] = {{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (at[0] < rows[i].first || at[0] > rows[i].last || rows[i].length > left)
			continue;
		if (rows[i].length > 1 && (at[1] < rows[i].second_first || at[1] > rows[i].second_last))
			return 0;
		for (size_t k = 2; k < rows[i].length; k++)
			if ((at[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].length;
	}
	return 0;
}

static bool is_text(const unsigned char *bytes, size_t length)
{
	for (size_t at = 0, step; at < length; at += step) {
		step = sequence_length(bytes + at, length - at);
		if (!step)
			return false;
	}
	return true;
}

static void as_text(sqlite3_context *context, int count, sqlite3_value **values)
{
	bool number = sqlite3_value_type(values[0]) == SQLITE_INTEGER || sqlite3_value_type(values[0]) == SQLITE_FLOAT;
	const unsigned char *bytes = number ? sqlite3_value_text(values[0]) : sqlite3_value_blob(values[0]);
	int length = sqlite3_value_bytes(values[0]);

	(void)count;
	if (sqlite3_value_type(values[0]) == SQLITE_NULL || (length && (!bytes || !is_text(bytes, (size_t)length))))
		sqlite3_result_null(context);
	else
		sqlite3_result_text(context, length ? (const char *)bytes : "", length, SQLITE_TRANSIENT);
}

static void pattern_free(void *self)
{
	regfree(self);
	sqlite3_free(self);
}

/* regexp(PATTERN, TEXT), which is what `TEXT REGEXP PATTERN` calls. */
static void matches(sqlite3_context *context, int count, sqlite3_value **values)
{
	const char *pattern = (const char *)sqlite3_value_text(values[0]);
	const char *text = (const char *)sqlite3_value_text(values[1]);
	regex_t *regex = sqlite3_get_auxdata(context, 0);

	(void)count;
	if (!pattern || !text) {
		sqlite3_result_null(context);
		return;
	}
	if (!regex) {
		regex = sqlite3_malloc(sizeof(*regex));
		if (!regex || regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB)) {
			sqlite3_free(regex);
			sqlite3_result_error(context, "not a regular expression of POSIX", -1);
			return;
		}
		sqlite3_set_auxdata(context, 0, regex, pattern_free);
		regex = sqlite3_get_auxdata(context, 0);
		if (!regex) {
			sqlite3_result_error_nomem(context);
			return;
		}
	}
	/* One that is too long to be searched may hold anything. */
	sqlite3_result_int(context, strlen(text) > TEXT_BYTES_MAX || regexec(regex, text, 0, NULL, 0) == 0);
}

/* VACUUM attaches a file without a name. */
static int authorize(void *self, int action, const char *first, const char *second, const char *database, const char *trigger)
{
	(void)self;
	(void)second;
	(void)database;
	(void)trigger;
	return action == SQLITE_ATTACH && first && *first && strcmp(first, ":memory:") != 0 ? SQLITE_DENY : SQLITE_OK;
}

static int functions_make(sqlite3 *file)
{
	static const struct {
		const char *name;
		int count;
		void (*call)(sqlite3_context *context, int count, sqlite3_value **values);
	} rows[] = {{"md5", 1, digest}, {"concat_ws", -1, concat_ws}, {"assay_text", 1, as_text}, {"regexp", 2, matches}};
	int result = SQLITE_OK;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && result == SQLITE_OK; i++)
		result = sqlite3_create_function(file, rows[i].name, rows[i].count,
						 SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, rows[i].call, NULL,
						 NULL);
	return result;
}

sqlite3 *sqlite_file_open(const char *path, bool as_programs)
{
	sqlite3 *file = NULL;
	int result = sqlite3_open_v2(path, &file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL);

	if (result == SQLITE_OK) {
		(void)sqlite3_db_config(file, SQLITE_DBCONFIG_ENABLE_TRIGGER, as_programs, NULL);
		(void)sqlite3_db_config(file, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		(void)sqlite3_db_config(file, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
		(void)sqlite3_limit(file, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
		(void)sqlite3_busy_timeout(file, BUSY_MS);
		result = functions_make(file);
	}
	if (result == SQLITE_OK)
		result = sqlite3_set_authorizer(file, authorize, NULL);
	if (result == SQLITE_OK)
		return file;
	(void)fprintf(stderr, "assay-sqlite: cannot open %s: %s\n", path, file ? sqlite3_errmsg(file) : sqlite3_errstr(result));
	(void)sqlite3_close(file);
	return NULL;
}
