/* HAR 1.2 to exchanges and back. */
#include "http/har.h"

#include <stdlib.h>
#include <time.h>

#include "base/scope.h"

void session_fini(struct session *session)
{
	for (size_t i = 0; i < session->count; i++)
		exchange_fini(&session->at[i]);
	free(session->at);
	*session = (struct session){0};
}

void session_add(struct session *session, struct exchange *exchange)
{
	if ((session->count & (session->count + 1)) == 0)
		session->at = mem_grow(session->at, session->count * 2 + 1, sizeof(*session->at));
	session->at[session->count++] = *exchange;
	*exchange = (struct exchange){0};
}

/* 2026-11-21T19:30:00.123Z, or with an offset; -1 when it is none. */
static int64_t time_parse(const char *text)
{
	struct tm utc = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) : NULL;
	int64_t ms = 0;
	int hours, minutes;
	char sign;

	if (!rest)
		return -1;
	if (*rest == '.') {
		int64_t unit = 100;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ms += (*rest - '0') * unit;
	}
	ms += (int64_t)timegm(&utc) * 1000;
	if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		ms -= (sign == '+' ? 1 : -1) * (int64_t)(hours * 60 + minutes) * 60000;
	return ms;
}

static void text_replace(char **place, const char *text)
{
	free(*place);
	*place = text_copy(text);
}

/* [{"name", "value"}, …]; browsers put HTTP/2 pseudo headers there: they are left out. */
static int headers_parse(const json_t *message, struct exchange_headers *headers, struct err *err)
{
	const json_t *list = json_member(message, "headers");
	json_t *row;
	size_t index;

	if (list && !json_is_array(list))
		return err_set(err, ERR_INVALID, "headers must be a list");
	json_array_foreach(list, index, row) {
		const char *name = json_text(row, "name", NULL);
		const char *value = json_text(row, "value", NULL);

		if (!name || !value)
			return err_set(err, ERR_INVALID, "headers[%zu] needs `name` and `value`", index);
		if (name[0] != ':')
			exchange_header_add(headers, view_of(name), view_of(value));
	}
	return 0;
}

static int body_set(struct exchange_body *body, struct view bytes, struct err *err)
{
	if (bytes.length > HAR_BODY_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a body longer than %zu bytes", HAR_BODY_BYTES_MAX);
	body->at = bytes.length ? view_copy(bytes) : NULL;
	body->length = bytes.length;
	body->bytes = bytes.length;
	return 0;
}

/* text, base64 when `encoding` says so. */
static int content_parse(const json_t *content, struct exchange_body *body, struct err *err)
{
	const json_t *text = json_member(content, "text");
	struct view bytes = {json_string_value(text), json_string_length(text)};
	AUTO_BUF decoded = buf_new(HAR_BODY_BYTES_MAX);

	if (!json_is_string(text))
		return 0;
	if (strcmp(json_text(content, "encoding", ""), "base64") != 0)
		return body_set(body, bytes, err);
	if (buf_add_unbase64(&decoded, bytes, err) || buf_finish(&decoded, err))
		return -1;
	return body_set(body, buf_view(&decoded), err);
}

/* postData.params, which stand for a form body when there is no text. */
static int params_parse(const json_t *post, struct exchange_body *body, struct err *err)
{
	AUTO_BUF form = buf_new(HAR_BODY_BYTES_MAX);
	json_t *row;
	size_t index;

	json_array_foreach(json_member(post, "params"), index, row) {
		if (index)
			buf_add_char(&form, '&');
		buf_add_url(&form, view_of(json_text(row, "name", "")));
		buf_add_char(&form, '=');
		buf_add_url(&form, view_of(json_text(row, "value", "")));
	}
	return buf_finish(&form, err) ? -1 : body_set(body, buf_view(&form), err);
}

static int request_parse(const json_t *request, struct exchange *exchange, struct err *err)
{
	const json_t *post = json_member(request, "postData");
	const char *text;

	if (json_text_get(request, "method", &text, err))
		return -1;
	exchange->method = text_copy(text);
	if (json_text_get(request, "url", &text, err))
		return -1;
	exchange->url = text_copy(text);
	if (headers_parse(request, &exchange->request_headers, err))
		return -1;
	if (json_is_string(json_member(post, "text")))
		return content_parse(post, &exchange->request_body, err);
	return params_parse(post, &exchange->request_body, err);
}

static int response_parse(const json_t *response, struct exchange *exchange, struct err *err)
{
	exchange->status = (int)json_number(response, "status", 0);
	if (exchange->status < 0 || exchange->status > 999)
		exchange->status = 0;
	if (headers_parse(response, &exchange->response_headers, err))
		return -1;
	return content_parse(json_member(response, "content"), &exchange->response_body, err);
}

static void body_seam_parse(const json_t *seam, const char *key, struct exchange_body *body)
{
	const json_t *bytes = json_member(seam, key);

	if (!json_is_integer(bytes) || json_integer_value(bytes) <= (json_int_t)body->length)
		return;
	body->bytes = (uint64_t)json_integer_value(bytes);
	body->cut = true;
}

static void seam_parse(const json_t *seam, struct exchange *exchange)
{
	struct {
		const char *key;
		char **place;
	} rows[] = {
		{"from", &exchange->from},         {"to", &exchange->to},
		{"proto", &exchange->proto},       {"phase", &exchange->phase},
		{"replay", &exchange->replay},     {"error", &exchange->error},
		{"command", &exchange->command},   {"statement", &exchange->statement},
		{"complete", &exchange->complete},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		text_replace(rows[i].place, json_text(seam, rows[i].key, NULL));
	exchange->seq = (uint64_t)(json_number(seam, "seq", 0) > 0 ? json_number(seam, "seq", 0) : 0);
	exchange->dt_us = json_number(seam, "dt_us", exchange->dt_us);
	body_seam_parse(seam, "request_bytes", &exchange->request_body);
	body_seam_parse(seam, "response_bytes", &exchange->response_body);
	if (!exchange->proto)
		exchange->proto = text_copy("http");
}

static int entry_parse(const json_t *entry, struct exchange *exchange, struct err *err)
{
	const json_t *seam = json_member(entry, "_seam");
	double time_ms = json_number_value(json_member(entry, "time"));
	const char *proto = json_text(seam, "proto", "http");

	*exchange = (struct exchange){0};
	exchange->t0_ms = time_parse(json_text(entry, "startedDateTime", NULL));
	exchange->dt_us = time_ms > 0 && time_ms < 1e9 ? (int64_t)(time_ms * 1000) : 0;
	if (strcmp(proto, "http") == 0) {
		if (request_parse(json_member(entry, "request"), exchange, err))
			return err_prefix(err, "request");
		if (response_parse(json_member(entry, "response"), exchange, err))
			return err_prefix(err, "response");
	}
	seam_parse(seam, exchange);
	return 0;
}

static int by_time(const void *left, const void *right)
{
	const struct exchange *a = left;
	const struct exchange *b = right;

	if (a->t0_ms != b->t0_ms)
		return a->t0_ms < b->t0_ms ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Stable by construction: seq breaks ties, and is the place in the file where the file has none. */
static void session_sort(struct session *session)
{
	bool timed = true;
	bool numbered = true;

	for (size_t i = 0; i < session->count; i++) {
		timed = timed && session->at[i].t0_ms >= 0;
		numbered = numbered && session->at[i].seq;
	}
	for (size_t i = 0; i < session->count; i++) {
		if (!numbered)
			session->at[i].seq = i + 1;
		if (session->at[i].t0_ms < 0)
			session->at[i].t0_ms = 0;
	}
	if (timed && session->count)
		qsort(session->at, session->count, sizeof(*session->at), by_time);
}

int har_parse(struct view text, struct session *session, struct err *err)
{
	AUTO_JSON har = NULL;
	const json_t *entries;
	json_t *entry;
	size_t index;

	*session = (struct session){0};
	if (text.length > HAR_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a HAR file of more than %zu bytes", HAR_BYTES_MAX);
	if (view_starts(text, VIEW("\xef\xbb\xbf")))
		text = view_make(text.at + 3, text.length - 3);
	har = json_parse(text, err);
	if (!har)
		return -1;
	entries = json_member(json_member(har, "log"), "entries");
	if (!json_is_array(entries))
		return err_set(err, ERR_INVALID, "no HAR: `log.entries` must be a list");
	if (json_array_size(entries) > HAR_ENTRIES_MAX)
		return err_set(err, ERR_LIMIT, "a HAR file of more than %d entries", HAR_ENTRIES_MAX);
	json_array_foreach(entries, index, entry) {
		AUTO_EXCHANGE exchange;

		if (entry_parse(entry, &exchange, err)) {
			session_fini(session);
			return err_prefix(err, "entry %zu", index + 1);
		}
		session_add(session, &exchange);
	}
	session_sort(session);
	return 0;
}

static json_t *text_json(const char *text)
{
	AUTO_JSON holder = json_object();

	json_set_bytes(holder, "x", view_of(text));
	return json_incref(json_member(holder, "x"));
}

static json_t *headers_json(const struct exchange_headers *headers)
{
	json_t *list = json_array();

	for (size_t i = 0; i < headers->count; i++)
		(void)json_array_append_new(list, json_pack("{s:o,s:o}", "name", text_json(headers->at[i].name), "value",
							    text_json(headers->at[i].value)));
	return list;
}

/* Sets text, and encoding when the bytes are no UTF-8. */
static void content_set(json_t *content, const struct exchange_body *body)
{
	json_t *text = body->length ? json_stringn(body->at, body->length) : NULL;
	AUTO_BUF coded = buf_new(BUF_MAX_DEFAULT);

	if (text) {
		(void)json_object_set_new(content, "text", text);
	} else if (body->length) {
		buf_add_base64(&coded, body->at, body->length);
		(void)json_object_set_new(content, "text", json_stringn(coded.at, coded.length));
		(void)json_object_set_new(content, "encoding", json_string("base64"));
	}
}

static json_t *query_json(const char *url)
{
	json_t *list = json_array();
	struct view rest;

	(void)view_cut(view_of(url), '?', &rest);
	while (rest.at) {
		struct view value;
		struct view name = view_cut(view_cut(rest, '&', &rest), '=', &value);
		json_t *pair = json_object();

		json_set_bytes(pair, "name", name);
		json_set_bytes(pair, "value", value);
		(void)json_array_append_new(list, pair);
	}
	return list;
}

static json_t *request_json(const struct exchange *exchange)
{
	const char *type = exchange_header(&exchange->request_headers, "content-type");
	json_t *request = json_pack("{s:s,s:o,s:s,s:[],s:o,s:o,s:i,s:I}", "method", exchange->method ? exchange->method : "", "url",
				    text_json(exchange->url ? exchange->url : ""), "httpVersion", "HTTP/1.1", "cookies", "headers",
				    headers_json(&exchange->request_headers), "queryString",
				    query_json(exchange->url ? exchange->url : ""), "headersSize", -1, "bodySize",
				    (json_int_t)exchange->request_body.bytes);

	if (exchange->request_body.length) {
		json_t *post = json_pack("{s:o}", "mimeType", text_json(type ? type : ""));

		content_set(post, &exchange->request_body);
		(void)json_object_set_new(request, "postData", post);
	}
	return request;
}

static json_t *response_json(const struct exchange *exchange)
{
	const char *type = exchange_header(&exchange->response_headers, "content-type");
	const char *location = exchange_header(&exchange->response_headers, "location");
	json_t *content = json_pack("{s:I,s:o}", "size", (json_int_t)exchange->response_body.bytes, "mimeType",
				    text_json(type ? type : ""));

	content_set(content, &exchange->response_body);
	return json_pack("{s:i,s:s,s:s,s:[],s:o,s:o,s:o,s:i,s:I}", "status", exchange->status, "statusText", "", "httpVersion",
			 "HTTP/1.1", "cookies", "headers", headers_json(&exchange->response_headers), "content", content,
			 "redirectURL", text_json(location ? location : ""), "headersSize", -1, "bodySize",
			 (json_int_t)exchange->response_body.bytes);
}

static json_t *seam_json(const struct exchange *exchange)
{
	json_t *seam = json_pack("{s:I,s:I}", "seq", (json_int_t)exchange->seq, "dt_us", (json_int_t)exchange->dt_us);
	struct {
		const char *key;
		const char *text;
	} rows[] = {
		{"from", exchange->from},         {"to", exchange->to},
		{"proto", exchange->proto},       {"phase", exchange->phase},
		{"replay", exchange->replay},     {"error", exchange->error},
		{"command", exchange->command},   {"statement", exchange->statement},
		{"complete", exchange->complete},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].text)
			(void)json_object_set_new(seam, rows[i].key, text_json(rows[i].text));
	if (exchange->request_body.cut)
		(void)json_object_set_new(seam, "request_bytes", json_integer((json_int_t)exchange->request_body.bytes));
	if (exchange->response_body.cut)
		(void)json_object_set_new(seam, "response_bytes", json_integer((json_int_t)exchange->response_body.bytes));
	return seam;
}

static void time_text(char text[40], int64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm utc;
	size_t used;

	(void)gmtime_r(&seconds, &utc);
	used = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(text + used, 40 - used, ".%03dZ", (int)(time_ms % 1000));
}

static json_t *entry_json(const struct exchange *exchange)
{
	double dt_ms = (double)exchange->dt_us / 1000;
	char started[40];

	time_text(started, exchange->t0_ms);
	return json_pack("{s:s,s:f,s:o,s:o,s:{},s:{s:i,s:f,s:i},s:o}", "startedDateTime", started, "time", dt_ms, "request",
			 request_json(exchange), "response", response_json(exchange), "cache", "timings", "send", 0, "wait", dt_ms,
			 "receive", 0, "_seam", seam_json(exchange));
}

void har_format(struct buf *out, const struct session *session)
{
	json_t *entries = json_array();
	AUTO_JSON har = json_pack("{s:{s:s,s:{s:s,s:s},s:o}}", "log", "version", "1.2", "creator", "name", "assay", "version",
				  ASSAY_VERSION, "entries", entries);

	for (size_t i = 0; i < session->count; i++)
		(void)json_array_append_new(entries, entry_json(&session->at[i]));
	json_format_pretty(out, har);
	buf_add_char(out, '\n');
}
