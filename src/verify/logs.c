/* Reading logs line by line. */
#include "verify/logs.h"

#include <ctype.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/call.h"
#include "verify/finding.h"
#include "verify/format.h"

#define LINE_SHOWN ((size_t)400)
#define TRACE_LINES_MAX ((size_t)64)

/* ---- errors ---- */

static bool is_letter(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* "errors=0", "error: null", "error=-" speak of none. */
static bool is_none(struct view rest)
{
	static const char *const nothing[] = {"0", "null", "none", "nil", "false", "\"\"", "''", "-"};
	size_t at = 0;

	if (at < rest.length && (rest.at[at] == 's' || rest.at[at] == 'S'))
		at++;
	while (at < rest.length && (rest.at[at] == '"' || rest.at[at] == ' ' || rest.at[at] == '=' || rest.at[at] == ':'))
		at++;
	for (size_t i = 0; at > 0 && i < ARRAY_LEN(nothing); i++) {
		size_t length = strlen(nothing[i]);

		if (at + length <= rest.length && strncasecmp(rest.at + at, nothing[i], length) == 0 &&
		    (at + length == rest.length || !is_letter(rest.at[at + length])))
			return true;
	}
	return false;
}

static bool speaks_of_error(struct view line)
{
	static const char *const words[] = {"error", "exception", "traceback", "fatal",
					    "panic", "critical",  "unhandled", "uncaught"};

	for (size_t at = 0; at < line.length; at++)
		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			size_t length = strlen(words[i]);

			if (at + length <= line.length && strncasecmp(line.at + at, words[i], length) == 0 &&
			    !is_none(view_make(line.at + at + length, line.length - at - length)))
				return true;
		}
	return false;
}

static void form_count(json_t *forms, struct view line)
{
	AUTO_BUF form = buf_new(65536);
	AUTO_JSON holder = json_object();
	json_t *known;

	if (line.length > LINE_SHOWN)
		line.length = LINE_SHOWN;
	format_mask(&form, line);
	json_set_bytes(holder, "form", buf_view(&form));
	known = json_object_get(forms, json_text(holder, "form", ""));
	if (known) {
		(void)json_object_set_new(known, "count", json_integer(json_number(known, "count", 0) + 1));
	} else if (json_object_size(forms) < LOG_FORMS_MAX) {
		known = json_pack("{s:i}", "count", 1);
		json_set_bytes(known, "line", line);
		(void)json_object_set_new(forms, json_text(holder, "form", ""), known);
	}
}

/* Lines that belong together: what a server of Python prints of one exception. */
struct trace {
	struct view lines[TRACE_LINES_MAX]; /* that speak of an error */
	size_t count;
	bool serves; /* it comes from where requests are served */
	bool calls;  /* from where others are called */
};

static void trace_end(struct trace *trace, json_t *forms, bool drop)
{
	for (size_t i = 0; i < trace->count && !drop; i++)
		form_count(forms, trace->lines[i]);
	*trace = (struct trace){.count = 0};
}

static bool begins_trace(struct view line)
{
	return view_find(line, VIEW("Traceback (most recent call last)")) >= 0 ||
	       view_find(line, VIEW("Exception occurred during processing of request")) >= 0 ||
	       view_find(line, VIEW("Exception happened during processing of request")) >= 0;
}

/* Whoever asked went away before the answer was written: nothing is wrong here. */
static bool says_client_is_gone(struct view line)
{
	static const char *const names[] = {"ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_starts(line, view_of(names[i])))
			return true;
	return false;
}

static bool line_has(struct view line, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_find(line, view_of(words[i])) >= 0)
			return true;
	return false;
}

/* True when the line is a part of the trace. */
static bool trace_add(struct trace *trace, struct view whole, json_t *forms)
{
	static const char *const servers[] = {"socketserver.py", "http/server.py"};
	static const char *const callers[] = {"http/client.py", "urllib", "requests/", "psycopg", "redis/"};
	struct view line = view_trim(whole);
	bool inner = trace->count && whole.length && (whole.at[0] == ' ' || whole.at[0] == '\t');

	if (inner || begins_trace(line)) {
		trace->serves = trace->serves || line_has(line, servers, ARRAY_LEN(servers));
		trace->calls = trace->calls || line_has(line, callers, ARRAY_LEN(callers));
		if (speaks_of_error(line) && trace->count < TRACE_LINES_MAX)
			trace->lines[trace->count++] = line;
		return true;
	}
	if (trace->count && line.length) {
		bool gone = says_client_is_gone(line) && trace->serves && !trace->calls;

		trace_end(trace, forms, gone);
		return gone;
	}
	return false;
}

json_t *logs_errors(struct view log)
{
	json_t *forms = json_object();
	struct trace trace = {.count = 0};

	while (log.length) {
		struct view whole = view_cut(log, '\n', &log);
		struct view line = view_trim(whole);

		if (!trace_add(&trace, whole, forms) && speaks_of_error(line))
			form_count(forms, line);
	}
	trace_end(&trace, forms, false);
	return forms;
}

/* ---- secrets ---- */

static bool name_is_secret(const char *name)
{
	static const char *const parts[] = {"password", "passwd",  "secret", "token", "api_key",
					    "apikey",   "api-key", "card",   "cvv",   "iban"};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strcasestr(name, parts[i]))
			return true;
	return false;
}

static void secret_add(json_t *secrets, const char *value, const char *what)
{
	if (strlen(value) >= LOG_SECRET_MIN && !json_object_get(secrets, value))
		(void)json_object_set_new(secrets, value, json_string(what));
}

/* Passwords are short, but they are asked for by name. */
static void secrets_of_json(json_t *secrets, json_t *value, const char *name, const char *place)
{
	const char *key;
	json_t *member;
	size_t index;

	if (json_is_object(value)) {
		json_object_foreach(value, key, member)
			secrets_of_json(secrets, member, key, place);
	} else if (json_is_array(value)) {
		json_array_foreach(value, index, member)
			secrets_of_json(secrets, member, name, place);
	} else if (json_is_string(value) && name_is_secret(name) && json_string_length(value) >= LOG_SECRET_MIN / 2) {
		AUTO_FREE char *what = text_format("%s of %s", name, place);

		if (!json_object_get(secrets, json_string_value(value)))
			(void)json_object_set_new(secrets, json_string_value(value), json_string(what));
	}
}

static void secrets_of_cookies(json_t *secrets, const json_t *response)
{
	AUTO_JSON cookies = call_cookies(response);
	const char *name;
	json_t *cookie;

	json_object_foreach(cookies, name, cookie) {
		AUTO_FREE char *what = text_format("cookie %s", name);

		secret_add(secrets, json_text(cookie, "value", ""), what);
	}
}

json_t *logs_secrets(const json_t *entries)
{
	json_t *secrets = json_object();

	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);
		const json_t *request = json_member(entry, "request");
		const char *authorization = call_header(request, "authorization");
		AUTO_JSON sent = call_body_json(request);
		AUTO_JSON given = call_body_json(json_member(entry, "response"));
		AUTO_BUF place = buf_new(8192);
		const char *space = authorization ? strchr(authorization, ' ') : NULL;

		call_endpoint(&place, entry);
		secrets_of_json(secrets, sent, "", place.at);
		secrets_of_json(secrets, given, "", place.at);
		secrets_of_cookies(secrets, json_member(entry, "response"));
		if (authorization)
			secret_add(secrets, space ? space + 1 : authorization, "header authorization");
	}
	return secrets;
}

/* The line with `***` for every place of the value. */
static void line_hide(struct buf *out, struct view line, struct view value)
{
	while (line.length) {
		ptrdiff_t at = view_find(line, value);
		size_t clear = at < 0 ? line.length : (size_t)at;

		buf_add(out, line.at, clear);
		if (at < 0)
			return;
		buf_add_text(out, "***");
		line = view_make(line.at + clear + value.length, line.length - clear - value.length);
	}
}

json_t *logs_leaks(struct view log, json_t *secrets)
{
	json_t *leaks = json_object();

	while (log.length) {
		struct view line = view_cut(log, '\n', &log);
		const char *value;
		json_t *what;

		json_object_foreach(secrets, value, what) {
			AUTO_BUF shown = buf_new((size_t)1 << 20);

			if (view_find(line, view_of(value)) < 0 || json_object_get(leaks, json_string_value(what)))
				continue;
			line_hide(&shown, line, view_of(value));
			json_set_bytes(leaks, json_string_value(what),
				       view_make(shown.at, shown.length < LINE_SHOWN ? shown.length : LINE_SHOWN));
		}
	}
	return leaks;
}
