/*
 * Access logs, a line a request: HOST IDENT USER [TIME] "METHOD TARGET VERSION" STATUS BYTES ["REFERER" "AGENT"]. A log holds no bodies, so
 * what sends one cannot be made again; and of requests that are the same the first stands for all.
 */
#include <stdlib.h>
#include <time.h>

#include "base/scope.h"
#include "session/import_priv.h"

#define LINE_BYTES_MAX ((size_t)64 << 10)

/* 10/Oct/2000:13:55:36 -0700; 0 when it is none. */
static int64_t time_parse(struct view text)
{
	AUTO_FREE char *copy = view_copy(text);
	struct tm utc = {0};
	const char *rest = strptime(copy, "%d/%b/%Y:%H:%M:%S", &utc);
	long offset;

	if (!rest)
		return 0;
	offset = strtol(rest, NULL, 10);
	return ((int64_t)timegm(&utc) - (offset / 100 * 60 + offset % 100) * 60) * 1000;
}

/* The text in quotes at the front, \" undone; *rest is what follows. */
static bool quoted_take(struct view text, struct buf *out, struct view *rest)
{
	size_t at = 1;

	if (!text.length || text.at[0] != '"')
		return false;
	for (; at < text.length && text.at[at] != '"'; at++) {
		at += text.at[at] == '\\' && at + 1 < text.length;
		buf_add_char(out, text.at[at]);
	}
	if (at >= text.length)
		return false;
	*rest = view_make(text.at + at + 1, text.length - at - 1);
	return true;
}

static bool is_token(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] < 'A' || text.at[i] > 'Z')
			return false;
	return text.length > 0 && text.length <= 16;
}

static bool is_target(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] <= ' ' || text.at[i] == 0x7f)
			return false;
	return text.length > 0 && text.at[0] == '/';
}

struct line {
	struct view method;
	struct view target;
	int64_t t0_ms;
	uint64_t status;
};

/* `request` holds what the views of the line are of. */
static bool line_parse(struct view text, struct buf *request, struct line *line)
{
	ptrdiff_t open = view_find(text, VIEW(" ["));
	ptrdiff_t close = view_find(text, VIEW("] \""));
	struct view rest;

	if (open <= 0 || close <= open || text.length > LINE_BYTES_MAX)
		return false;
	line->t0_ms = time_parse(view_make(text.at + open + 2, (size_t)(close - open) - 2));
	rest = view_make(text.at + close + 2, text.length - (size_t)close - 2);
	if (!line->t0_ms || !quoted_take(rest, request, &rest))
		return false;
	rest = view_trim(rest);
	if (!view_to_u64(view_cut(rest, ' ', &rest), &line->status) || line->status < 100 || line->status > 999)
		return false;
	line->method = view_cut(buf_view(request), ' ', &rest);
	line->target = view_cut(rest, ' ', &rest);
	return is_token(line->method) && is_target(line->target) && view_starts(rest, VIEW("HTTP/"));
}

static bool has_body(struct view method)
{
	return view_is(method, "POST") || view_is(method, "PUT") || view_is(method, "PATCH") || view_is(method, "CONNECT");
}

struct reading {
	struct import *import;
	json_t *known; /* "GET /path": true */
	size_t lines;
	size_t broken;
	size_t first_broken;
	size_t with_bodies;
	size_t repeated;
};

static void line_read(struct reading *reading, struct view text)
{
	AUTO_BUF request = buf_new(LINE_BYTES_MAX);
	AUTO_EXCHANGE exchange = {0};
	AUTO_FREE char *key = NULL;
	struct line line = {.t0_ms = 0};
	AUTO_JSON holder = json_object();

	if (!line_parse(text, &request, &line)) {
		reading->first_broken = reading->broken++ ? reading->first_broken : reading->lines;
		return;
	}
	if (has_body(line.method)) {
		reading->with_bodies++;
		return;
	}
	key = text_format("%.*s %.*s", (int)line.method.length, line.method.at, (int)line.target.length, line.target.at);
	json_set_bytes(holder, "key", view_of(key));
	if (json_object_get(reading->known, json_text(holder, "key", ""))) {
		reading->repeated++;
		return;
	}
	(void)json_object_set_new(reading->known, json_text(holder, "key", ""), json_true());
	exchange.t0_ms = line.t0_ms;
	exchange.method = view_copy(line.method);
	exchange.url = text_format(IMPORT_HOST "%.*s", (int)line.target.length, line.target.at);
	exchange.status = (int)line.status;
	import_add(reading->import, &exchange);
}

int import_log(struct view text, struct import *import, struct err *err)
{
	AUTO_JSON known = json_object();
	struct reading reading = {.import = import, .known = known};

	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));

		reading.lines++;
		if (line.length && import->session.count < HAR_ENTRIES_MAX)
			line_read(&reading, line);
	}
	if (!import->session.count && reading.broken)
		return err_set(err, ERR_INVALID,
			       "line %zu: no line of an access log: `HOST - - [TIME] \"GET /path HTTP/1.1\" 200 …` is expected",
			       reading.first_broken);
	if (reading.broken)
		import_left_out(import, "%zu lines that are none of an access log; the first is line %zu", reading.broken,
				reading.first_broken);
	if (reading.with_bodies)
		import_left_out(import, "%zu requests with bodies, which a log does not hold", reading.with_bodies);
	if (reading.repeated)
		import_left_out(import, "%zu requests that were asked before in the same way", reading.repeated);
	return 0;
}
