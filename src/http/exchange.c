/* Exchanges and their JSON lines. Lines are written without a JSON tree, because the gateway writes one per request. */
#include "http/exchange.h"

#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"

#define LINE_BYTES_USUAL 2048 /* of a line, without its bodies */
#define BODY_BYTES_USUAL ((size_t)4096)
#define HEADERS_USUAL 8 /* room is made for; a power of two */

static void headers_fini(struct exchange_headers *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		free(headers->at[i].name);
	}
	free(headers->at);
}

void exchange_fini(struct exchange *exchange)
{
	char *texts[] = {exchange->from,    exchange->to,        exchange->proto,   exchange->phase,
			 exchange->replay,  exchange->error,     exchange->method,  exchange->url,
			 exchange->command, exchange->statement, exchange->complete};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	headers_fini(&exchange->request_headers);
	headers_fini(&exchange->response_headers);
	free(exchange->request_body.at);
	free(exchange->response_body.at);
	*exchange = (struct exchange){0};
}

void exchange_header_add(struct exchange_headers *headers, struct view name, struct view value)
{
	char *text;

	if (!headers->count ||
	    (headers->count >= HEADERS_USUAL && (headers->count & (headers->count - 1)) == 0)) /* full at 0, 8, 16, 32, … */
		headers->at = mem_grow(headers->at, headers->count ? headers->count * 2 : HEADERS_USUAL, sizeof(*headers->at));
	text = mem_new(name.length + value.length + 2);
	if (name.length)
		memcpy(text, name.at, name.length);
	if (value.length)
		memcpy(text + name.length + 1, value.at, value.length);
	headers->at[headers->count++] = (struct exchange_header){text, text + name.length + 1};
}

const char *exchange_header(const struct exchange_headers *headers, const char *name)
{
	for (size_t i = 0; i < headers->count; i++)
		if (strcasecmp(headers->at[i].name, name) == 0)
			return headers->at[i].value;
	return NULL;
}

void exchange_body_add(struct exchange_body *body, struct view bytes)
{
	size_t room = EXCHANGE_BODY_KEPT_MAX - body->length;
	size_t take = bytes.length < room ? bytes.length : room;

	body->bytes += bytes.length;
	if (take < bytes.length)
		body->cut = true;
	if (!take)
		return;
	if (body->length + take >= body->capacity) {
		size_t capacity = body->capacity ? body->capacity : BODY_BYTES_USUAL;

		while (capacity <= body->length + take)
			capacity *= 2;
		body->at = mem_grow(body->at, capacity, 1);
		body->capacity = capacity;
	}
	memcpy(body->at + body->length, bytes.at, take);
	body->length += take;
	body->at[body->length] = '\0';
}

struct exchange_body exchange_body_spare(struct exchange_body *body)
{
	struct exchange_body spare = {.at = body->at, .capacity = body->capacity};

	*body = (struct exchange_body){0};
	return spare;
}

/* Bytes that are themselves in JSON: printable ASCII but for `"` and the backslash. */
static const bool plain_bytes[256] = {[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

typedef unsigned char block __attribute__((vector_size(16)));

/* Are all bytes of the block such bytes? */
static bool block_is_plain(const char *at)
{
	block bytes, other;
	uint64_t halves[2];

	memcpy(&bytes, at, sizeof(bytes));
	other = (block)(bytes < ' ') | (block)(bytes > '~') | (block)(bytes == '"') | (block)(bytes == '\\');
	memcpy(halves, &other, sizeof(halves));
	return !(halves[0] | halves[1]);
}

/* Where the run of such bytes from `at` on ends. */
static size_t plain_run(struct view text, size_t at)
{
	while (at + sizeof(block) <= text.length && block_is_plain(text.at + at))
		at += sizeof(block);
	while (at < text.length && plain_bytes[(unsigned char)text.at[at]])
		at++;
	return at;
}

/* A JSON string. Bytes that are no UTF-8 become U+FFFD, or, where it has to be text, end it: false. */
static bool string_format(struct buf *out, struct view text, bool has_to_be_text)
{
	size_t run = 0; /* where the bytes that need no change began */
	size_t i;

	buf_add_char(out, '"');
	for (i = plain_run(text, 0); i < text.length; i = plain_run(text, i)) {
		unsigned char c = (unsigned char)text.at[i];
		size_t length = view_utf8_length(view_make(text.at + i, text.length - i));

		if (length && c >= 0x20 && c != '"' && c != '\\') {
			i += length;
			continue;
		}
		if (!length && has_to_be_text)
			return false;
		buf_add(out, text.at + run, i - run);
		if (!length)
			buf_add_text(out, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			buf_add(out, (const char[]){'\\', (char)c}, 2);
		else if (c == '\n')
			buf_add_text(out, "\\n");
		else
			buf_add_format(out, "\\u%04x", c);
		run = ++i;
	}
	if (i > run)
		buf_add(out, text.at + run, i - run);
	buf_add_char(out, '"');
	return true;
}

/* Between two members. */
static void comma_add(struct buf *out)
{
	if (out->at[out->length - 1] != '{')
		buf_add_char(out, ',');
}

static void member_format(struct buf *out, const char *key, const char *text)
{
	if (!text)
		return;
	comma_add(out);
	buf_add_char(out, '"');
	buf_add_text(out, key);
	buf_add(out, "\":", 2);
	(void)string_format(out, view_of(text), false);
}

static void headers_format(struct buf *out, const struct exchange_headers *headers)
{
	if (!headers->count)
		return;
	comma_add(out);
	buf_add_text(out, "\"headers\":[");
	for (size_t i = 0; i < headers->count; i++) {
		buf_add_text(out, i ? ",[" : "[");
		(void)string_format(out, view_of(headers->at[i].name), false);
		buf_add_char(out, ',');
		(void)string_format(out, view_of(headers->at[i].value), false);
		buf_add_char(out, ']');
	}
	buf_add_char(out, ']');
}

static void body_format(struct buf *out, const struct exchange_body *body)
{
	struct view bytes = view_make(body->at, body->length);
	size_t begun;

	if (!body->bytes)
		return;
	comma_add(out);
	begun = out->length;
	buf_add_text(out, "\"body\":");
	if (!string_format(out, bytes, true)) {
		buf_cut(out, begun);
		buf_add_text(out, "\"body64\":\"");
		buf_add_base64(out, bytes.at, bytes.length);
		buf_add_char(out, '"');
	}
	buf_add_text(out, ",\"body_bytes\":");
	buf_add_number(out, body->bytes);
	buf_add_text(out, body->cut ? ",\"cut\":true" : ",\"cut\":false");
}

void exchange_format(struct buf *out, const struct exchange *exchange)
{
	size_t usual = LINE_BYTES_USUAL + exchange->request_body.length + exchange->response_body.length;

	if (usual < out->length_max - out->length) /* room for most, so that it is not moved again and again */
		(void)buf_reserve(out, usual);
	buf_add_text(out, "{\"seq\":");
	buf_add_number(out, exchange->seq);
	member_format(out, "from", exchange->from);
	member_format(out, "to", exchange->to);
	member_format(out, "proto", exchange->proto);
	member_format(out, "phase", exchange->phase);
	member_format(out, "replay", exchange->replay);
	buf_add_format(out, ",\"t0_ms\":%lld,\"dt_us\":%lld,\"request\":{", (long long)exchange->t0_ms, (long long)exchange->dt_us);
	member_format(out, "method", exchange->method);
	member_format(out, "url", exchange->url);
	member_format(out, "command", exchange->command);
	member_format(out, "statement", exchange->statement);
	headers_format(out, &exchange->request_headers);
	body_format(out, &exchange->request_body);
	buf_add_text(out, "},\"response\":{");
	if (exchange->status)
		buf_add_format(out, "\"status\":%d", exchange->status);
	member_format(out, "complete", exchange->complete);
	headers_format(out, &exchange->response_headers);
	body_format(out, &exchange->response_body);
	buf_add_char(out, '}');
	member_format(out, "error", exchange->error);
	buf_add_text(out, "}\n");
}

static int text_take(const json_t *object, const char *key, char **text, struct err *err)
{
	const json_t *value = json_member(object, key);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return err_set(err, ERR_INVALID, "`%s` must be a string", key);
	*text = text_copy(json_string_value(value));
	return 0;
}

static int headers_take(const json_t *object, struct exchange_headers *headers, struct err *err)
{
	const json_t *list = json_member(object, "headers");
	json_t *pair;
	size_t index;

	if (list && !json_is_array(list))
		return err_set(err, ERR_INVALID, "`headers` must be a list of pairs");
	json_array_foreach(list, index, pair) {
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (!name || !value)
			return err_set(err, ERR_INVALID, "`headers[%zu]` must be a pair of strings", index);
		exchange_header_add(headers, view_of(name), view_of(value));
	}
	return 0;
}

/* A number that cannot be negative. */
static uint64_t count_take(const json_t *object, const char *key, uint64_t fallback)
{
	int64_t number = json_number(object, key, -1);

	return number >= 0 ? (uint64_t)number : fallback;
}

static int body_take(const json_t *object, struct exchange_body *body, struct err *err)
{
	const json_t *text = json_member(object, "body");
	const json_t *coded = json_member(object, "body64");
	AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);

	if ((text && !json_is_string(text)) || (coded && !json_is_string(coded)))
		return err_set(err, ERR_INVALID, "`body` must be a string");
	if (text)
		buf_add(&bytes, json_string_value(text), json_string_length(text));
	else if (coded && buf_add_unbase64(&bytes, view_of(json_string_value(coded)), err))
		return err_prefix(err, "`body64`");
	if (buf_finish(&bytes, err))
		return -1;
	body->length = bytes.length;
	body->at = bytes.length ? buf_take(&bytes) : NULL;
	body->bytes = count_take(object, "body_bytes", body->length);
	body->cut = json_flag(object, "cut", false);
	return 0;
}

static int exchange_take(const json_t *json, struct exchange *exchange, struct err *err)
{
	const json_t *request = json_member(json, "request");
	const json_t *response = json_member(json, "response");

	exchange->seq = count_take(json, "seq", 0);
	exchange->t0_ms = json_number(json, "t0_ms", 0);
	exchange->dt_us = json_number(json, "dt_us", 0);
	exchange->status = (int)json_number(response, "status", 0);
	if (text_take(json, "from", &exchange->from, err) || text_take(json, "to", &exchange->to, err) ||
	    text_take(json, "proto", &exchange->proto, err) || text_take(json, "phase", &exchange->phase, err) ||
	    text_take(json, "replay", &exchange->replay, err) || text_take(json, "error", &exchange->error, err))
		return -1;
	if (text_take(request, "method", &exchange->method, err) || text_take(request, "url", &exchange->url, err) ||
	    text_take(request, "command", &exchange->command, err) || text_take(request, "statement", &exchange->statement, err) ||
	    headers_take(request, &exchange->request_headers, err) || body_take(request, &exchange->request_body, err))
		return err_prefix(err, "request");
	if (text_take(response, "complete", &exchange->complete, err) || headers_take(response, &exchange->response_headers, err) ||
	    body_take(response, &exchange->response_body, err))
		return err_prefix(err, "response");
	return 0;
}

int exchange_parse(struct view line, struct exchange *exchange, struct err *err)
{
	AUTO_JSON json = json_parse(line, err);

	*exchange = (struct exchange){0};
	if (!json)
		return -1;
	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "an exchange must be an object");
	if (exchange_take(json, exchange, err)) {
		exchange_fini(exchange);
		return -1;
	}
	return 0;
}
