/*
 * Strict HTTP/1.1 heads and bodies.
 *
 * Theory of operation: a head is looked for line by line (every LF must follow a CR), and only a whole head is parsed, so the parser
 * has no state between calls but how far it looked. Fields stay where they are in the input. Bodies are a small state machine that
 * hands out content as views of its input.
 */
#include "http/codec.h"

#include <ctype.h>

#include <stdio.h>
#include <strings.h>

/* RFC 9110 5.6.2: tchar. */
static const unsigned char token_bytes[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1,         ['+'] = 1,         ['-'] = 1,
	['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,  ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool http_token_valid(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!token_bytes[(unsigned char)text.at[i]])
			return false;
	return text.length > 0;
}

bool http_value_valid(struct view text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Looks for the empty line. A LF without CR, and a CR without LF, are errors at once. */
static enum http_result head_scan(struct view bytes, size_t *scanned, size_t *length, struct err *err)
{
	size_t at = *scanned;

	while (at < bytes.length) {
		const char *found = memchr(bytes.at + at, '\n', bytes.length - at);
		size_t end;

		if (!found)
			break;
		end = (size_t)(found - bytes.at);
		if (end == 0 || bytes.at[end - 1] != '\r') {
			(void)err_set(err, ERR_INVALID, "a line of the head ends without CR");
			return HTTP_BAD;
		}
		if (end == 1) {
			(void)err_set(err, ERR_INVALID, "an empty line before the head");
			return HTTP_BAD;
		}
		at = end + 1;
		*scanned = at;
		if (end >= 3 && bytes.at[end - 2] == '\n') {
			*length = at;
			break;
		}
	}
	if (*length ? *length > HTTP_HEAD_BYTES_MAX : bytes.length >= HTTP_HEAD_BYTES_MAX) {
		(void)err_set(err, ERR_LIMIT, "the head is longer than %zu bytes", HTTP_HEAD_BYTES_MAX);
		return HTTP_BAD;
	}
	return *length ? HTTP_DONE : HTTP_MORE;
}

static struct view line_take(struct view *rest)
{
	const char *end = memchr(rest->at, '\n', rest->length);
	size_t length = (size_t)(end - rest->at);
	struct view line = view_make(rest->at, length - 1);

	*rest = view_make(end + 1, rest->length - length - 1);
	return line;
}

static struct view blanks_trim(struct view value)
{
	while (value.length && (value.at[0] == ' ' || value.at[0] == '\t')) {
		value.at++;
		value.length--;
	}
	while (value.length && (value.at[value.length - 1] == ' ' || value.at[value.length - 1] == '\t'))
		value.length--;
	return value;
}

static int field_parse(struct view line, struct http_head *head, struct err *err)
{
	struct view value;
	struct view name = view_cut(line, ':', &value);

	if (!value.at)
		return err_set(err, ERR_INVALID, "a header line without a colon");
	if (!http_token_valid(name))
		return err_set(err, ERR_INVALID, "a header name with bytes that are not allowed in one");
	value = blanks_trim(value);
	if (!http_value_valid(value))
		return err_set(err, ERR_INVALID, "control bytes in the value of %.*s", (int)(name.length > 40 ? 40 : name.length),
			       name.at);
	if (head->field_count == HTTP_FIELDS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d header lines", HTTP_FIELDS_MAX);
	head->fields[head->field_count++] = (struct http_field){name, value};
	return 0;
}

static int fields_parse(struct view rest, struct http_head *head, struct err *err)
{
	head->field_count = 0;
	for (;;) {
		struct view line = line_take(&rest);

		if (!line.length)
			return 0;
		if (field_parse(line, head, err))
			return -1;
	}
}

struct view http_head_field(const struct http_head *head, const char *name)
{
	struct view wanted = view_of(name);

	for (size_t i = 0; i < head->field_count; i++)
		if (view_equal_nocase(head->fields[i].name, wanted))
			return head->fields[i].value;
	return (struct view){NULL, 0};
}

bool http_head_has(const struct http_head *head, const char *name, const char *token)
{
	struct view wanted = view_of(name);

	for (size_t i = 0; i < head->field_count; i++) {
		struct view rest = head->fields[i].value;

		if (!view_equal_nocase(head->fields[i].name, wanted))
			continue;
		while (rest.at) {
			struct view part = blanks_trim(view_cut(rest, ',', &rest));

			if (view_equal_nocase(part, view_of(token)))
				return true;
		}
	}
	return false;
}

static size_t field_count(const struct http_head *head, const char *name, struct view *value)
{
	struct view wanted = view_of(name);
	size_t count = 0;

	for (size_t i = 0; i < head->field_count; i++) {
		if (!view_equal_nocase(head->fields[i].name, wanted))
			continue;
		*value = head->fields[i].value;
		count++;
	}
	return count;
}

/* A tab behind the value: allowed by RFC 9110 5.5, but not every parser takes it, and here nothing may be read in two ways. */
static bool tab_follows(struct view value)
{
	const char *at = value.at + value.length;

	while (*at == ' ')
		at++;
	return *at == '\t';
}

/* RFC 9112 6: how the body is delimited by the fields; the caller refines it by method and status. */
static int framing_find(struct http_head *head, struct err *err)
{
	struct view coding = {NULL, 0};
	struct view length = {NULL, 0};
	size_t codings = field_count(head, "transfer-encoding", &coding);
	size_t lengths = field_count(head, "content-length", &length);

	head->framing = HTTP_BODY_NONE;
	head->content_length = 0;
	if (codings > 1 || (codings && !view_equal_nocase(coding, VIEW("chunked"))))
		return err_set(err, ERR_INVALID, "a Transfer-Encoding other than `chunked`");
	if (codings && head->minor == 0)
		return err_set(err, ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
	if (codings && lengths)
		return err_set(err, ERR_INVALID, "both Content-Length and Transfer-Encoding");
	if (lengths > 1)
		return err_set(err, ERR_INVALID, "more than one Content-Length");
	if ((lengths && tab_follows(length)) || (codings && tab_follows(coding)))
		return err_set(err, ERR_INVALID, "a tab after Content-Length or Transfer-Encoding");
	if (lengths && (length.length > 18 || !view_to_u64(length, &head->content_length)))
		return err_set(err, ERR_INVALID, "a Content-Length that is no number");
	if (codings)
		head->framing = HTTP_BODY_CHUNKED;
	else if (lengths)
		head->framing = HTTP_BODY_LENGTH;
	return 0;
}

static void connection_find(struct http_head *head)
{
	struct view upgrade;

	head->keep_alive = head->minor == 1 ? !http_head_has(head, "connection", "close")
					    : http_head_has(head, "connection", "keep-alive");
	head->upgrade = http_head_has(head, "connection", "upgrade") && field_count(head, "upgrade", &upgrade) == 1;
}

static int version_parse(struct view text, unsigned *minor, struct err *err)
{
	if (view_is(text, "HTTP/1.1"))
		*minor = 1;
	else if (view_is(text, "HTTP/1.0"))
		*minor = 0;
	else
		return err_set(err, ERR_INVALID, "the version is not HTTP/1.1");
	return 0;
}

static bool target_valid(struct view target)
{
	for (size_t i = 0; i < target.length; i++) {
		unsigned char c = (unsigned char)target.at[i];

		if (c <= 0x20 || c == 0x7f || c == '#')
			return false;
	}
	return target.length > 0;
}

static int request_line_parse(struct view line, struct http_head *head, struct err *err)
{
	struct view rest;

	head->method = view_cut(line, ' ', &rest);
	if (!rest.at || !http_token_valid(head->method))
		return err_set(err, ERR_INVALID, "a request line without a method");
	if (head->method.length > 32)
		return err_set(err, ERR_INVALID, "a method longer than 32 bytes");
	head->target = view_cut(rest, ' ', &rest);
	if (!rest.at || !target_valid(head->target))
		return err_set(err, ERR_INVALID, "a request target with blanks, control bytes or `#`");
	if (head->target.length > HTTP_TARGET_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a request target longer than %zu bytes", HTTP_TARGET_BYTES_MAX);
	return version_parse(rest, &head->minor, err);
}

static bool host_valid(struct view host)
{
	for (size_t i = 0; i < host.length; i++) {
		unsigned char c = (unsigned char)host.at[i];

		if (!token_bytes[c] && c != ':' && c != '[' && c != ']')
			return false;
	}
	return true;
}

static int request_check(struct http_head *head, struct err *err)
{
	struct view expect = {NULL, 0};
	size_t hosts = field_count(head, "host", &head->host);
	size_t expects = field_count(head, "expect", &expect);
	bool connect = view_is(head->method, "CONNECT");

	if (hosts > 1 || (hosts == 0 && head->minor == 1))
		return err_set(err, ERR_INVALID, "a request needs exactly one Host");
	if (!host_valid(head->host))
		return err_set(err, ERR_INVALID, "a Host with bytes that are not allowed in one");
	if (expects > 1 || (expects && !view_equal_nocase(expect, VIEW("100-continue"))))
		return err_set(err, ERR_INVALID, "an Expect other than `100-continue`");
	head->expect_continue = expects == 1;
	if (!connect && head->target.at[0] != '/' && !view_is(head->target, "*") && view_find(head->target, VIEW("://")) <= 0)
		return err_set(err, ERR_INVALID, "a request target that does not start with `/`");
	if (framing_find(head, err))
		return -1;
	if (connect && head->framing != HTTP_BODY_NONE)
		return err_set(err, ERR_INVALID, "CONNECT with a body");
	return 0;
}

enum http_result http_request_parse(struct view bytes, size_t *scanned, struct http_head *head, struct err *err)
{
	size_t length = 0;
	enum http_result result = head_scan(bytes, scanned, &length, err);
	struct view rest;

	if (result != HTTP_DONE)
		return result;
	rest = view_make(bytes.at, length);
	head->bytes = length;
	head->status = 0;
	head->host = head->reason = (struct view){NULL, 0};
	if (request_line_parse(line_take(&rest), head, err) || fields_parse(rest, head, err) || request_check(head, err))
		return HTTP_BAD;
	connection_find(head);
	return HTTP_DONE;
}

static int status_line_parse(struct view line, struct http_head *head, struct err *err)
{
	struct view rest;
	struct view version = view_cut(line, ' ', &rest);
	struct view code;
	uint64_t status;

	if (!rest.at || version_parse(version, &head->minor, err))
		return err_set(err, ERR_INVALID, "what came is no HTTP/1.1 status line");
	code = view_cut(rest, ' ', &head->reason);
	if (code.length != 3 || !view_to_u64(code, &status) || status < 100)
		return err_set(err, ERR_INVALID, "a status that is not three digits");
	if (!http_value_valid(head->reason))
		return err_set(err, ERR_INVALID, "control bytes in the status line");
	head->status = (unsigned)status;
	return 0;
}

/* RFC 9112 6.3. */
static void response_framing_refine(struct http_head *head, struct view to_method)
{
	bool connected = view_is(to_method, "CONNECT") && head->status / 100 == 2;

	if (head->status / 100 == 1 || head->status == 204 || head->status == 304 || connected || view_is(to_method, "HEAD"))
		head->framing = HTTP_BODY_NONE;
	else if (head->framing == HTTP_BODY_NONE)
		head->framing = HTTP_BODY_UNTIL_CLOSE;
	if (head->framing == HTTP_BODY_UNTIL_CLOSE)
		head->keep_alive = false;
}

enum http_result http_response_parse(struct view bytes, size_t *scanned, struct view to_method, struct http_head *head,
				     struct err *err)
{
	size_t length = 0;
	enum http_result result = head_scan(bytes, scanned, &length, err);
	struct view rest;

	if (result != HTTP_DONE)
		return result;
	rest = view_make(bytes.at, length);
	head->bytes = length;
	head->method = head->target = head->host = (struct view){NULL, 0};
	head->expect_continue = false;
	if (status_line_parse(line_take(&rest), head, err) || fields_parse(rest, head, err) || framing_find(head, err))
		return HTTP_BAD;
	connection_find(head);
	response_framing_refine(head, to_method);
	return HTTP_DONE;
}

const char *http_status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} rows[] = {
		{100, "Continue"},
		{101, "Switching Protocols"},
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "Status";
}

/* States of a chunked body. */
enum {
	CHUNK_SIZE,           /* hexadecimal digits */
	EXTENSION_NAME_START, /* ;name or ;name=value, tokens only: bounded, ignored */
	EXTENSION_NAME,
	EXTENSION_VALUE_START,
	EXTENSION_VALUE,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_START, /* of a line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	BODY_ENDED,
};

#define EXTENSION_BYTES_MAX 256
#define TRAILER_BYTES_MAX 8192

void http_body_init(struct http_body *body, const struct http_head *head)
{
	*body = (struct http_body){.framing = head->framing, .left = head->content_length};
	if (head->framing == HTTP_BODY_NONE || (head->framing == HTTP_BODY_LENGTH && !head->content_length))
		body->state = BODY_ENDED;
}

bool http_body_ended(const struct http_body *body)
{
	return body->state == BODY_ENDED;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_step(struct http_body *body, unsigned char c, struct err *err)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		if (++body->size_digits > 15)
			return err_set(err, ERR_INVALID, "a chunk size of more than 15 digits");
		body->left = body->left << 4 | (unsigned)digit;
		return 0;
	}
	if (!body->size_digits || (c != '\r' && c != ';'))
		return err_set(err, ERR_INVALID, "a chunk size that is no number");
	body->state = c == '\r' ? CHUNK_SIZE_LF : EXTENSION_NAME_START;
	body->line_bytes = 0;
	return 0;
}

static int extension_step(struct http_body *body, unsigned char c, struct err *err)
{
	bool begun = body->state == EXTENSION_NAME || body->state == EXTENSION_VALUE;

	if (++body->line_bytes > EXTENSION_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a chunk extension longer than %d bytes", EXTENSION_BYTES_MAX);
	if (token_bytes[c])
		body->state = body->state == EXTENSION_NAME_START || body->state == EXTENSION_NAME ? EXTENSION_NAME
												   : EXTENSION_VALUE;
	else if (begun && c == '\r')
		body->state = CHUNK_SIZE_LF;
	else if (begun && c == ';')
		body->state = EXTENSION_NAME_START;
	else if (c == '=' && body->state == EXTENSION_NAME)
		body->state = EXTENSION_VALUE_START;
	else
		return err_set(err, ERR_INVALID, "a chunk extension that is not `;name=value`");
	return 0;
}

/* What says how a message is read, or where it goes, has no place behind it (RFC 9110 6.5.1). */
static int trailer_name_check(const struct http_body *body, struct err *err)
{
	static const char *const forbidden[] = {"transfer-encoding", "content-length", "host",    "authorization",
						"connection",        "expect",         "upgrade", "trailer"};
	struct view name = view_make(body->name, body->name_bytes);

	for (size_t i = 0; body->name_bytes <= sizeof(body->name) && i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (view_equal_nocase(name, view_of(forbidden[i])))
			return err_set(err, ERR_INVALID, "%s as a trailer", forbidden[i]);
	return 0;
}

static void trailer_name_add(struct http_body *body, unsigned char c)
{
	if (body->name_bytes < sizeof(body->name))
		body->name[body->name_bytes] = (char)c;
	body->name_bytes++;
}

static int trailer_step(struct http_body *body, unsigned char c, struct err *err)
{
	if (++body->trailer_bytes > TRAILER_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "trailers longer than %d bytes", TRAILER_BYTES_MAX);
	if (body->trailers)
		buf_add_char(body->trailers, (char)c);
	switch (body->state) {
	case TRAILER_START:
		if (c == '\r') {
			body->state = LAST_LF;
			return 0;
		}
		body->state = TRAILER_NAME;
		body->name_bytes = 0;
		trailer_name_add(body, c);
		return token_bytes[c] ? 0 : err_set(err, ERR_INVALID, "a trailer without a name");
	case TRAILER_NAME:
		if (c == ':') {
			body->state = TRAILER_VALUE;
			return trailer_name_check(body, err);
		}
		trailer_name_add(body, c);
		return token_bytes[c] ? 0 : err_set(err, ERR_INVALID, "a trailer name with bytes that are not allowed in one");
	case TRAILER_VALUE:
		if (c == '\r')
			body->state = TRAILER_LF;
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			return err_set(err, ERR_INVALID, "control bytes in a trailer");
		return 0;
	default:
		body->state = TRAILER_START;
		return c == '\n' ? 0 : err_set(err, ERR_INVALID, "a CR without LF in the trailers");
	}
}

/* One byte that is not chunk data. */
static int chunk_step(struct http_body *body, unsigned char c, struct err *err)
{
	switch (body->state) {
	case CHUNK_SIZE:
		return size_step(body, c, err);
	case EXTENSION_NAME_START:
	case EXTENSION_NAME:
	case EXTENSION_VALUE_START:
	case EXTENSION_VALUE:
		return extension_step(body, c, err);
	case CHUNK_SIZE_LF:
		body->state = body->left ? CHUNK_DATA : TRAILER_START;
		return c == '\n' ? 0 : err_set(err, ERR_INVALID, "a CR without LF after a chunk size");
	case CHUNK_DATA_CR:
		body->state = CHUNK_DATA_LF;
		return c == '\r' ? 0 : err_set(err, ERR_INVALID, "a chunk longer than its size");
	case CHUNK_DATA_LF:
		body->state = CHUNK_SIZE;
		body->size_digits = 0;
		return c == '\n' ? 0 : err_set(err, ERR_INVALID, "a CR without LF after a chunk");
	case LAST_LF:
		body->state = BODY_ENDED;
		return c == '\n' ? 0 : err_set(err, ERR_INVALID, "a CR without LF at the end of the body");
	default:
		return trailer_step(body, c, err);
	}
}

static struct view data_take(struct http_body *body, struct view bytes, unsigned next_state)
{
	size_t take = body->left < bytes.length ? (size_t)body->left : bytes.length;

	body->left -= take;
	if (!body->left)
		body->state = next_state;
	return view_make(bytes.at, take);
}

enum http_result http_body_feed(struct http_body *body, struct view bytes, size_t *used, struct view *data, struct err *err)
{
	*used = 0;
	*data = view_make(bytes.at, 0);
	if (body->state == BODY_ENDED)
		return HTTP_DONE;
	if (body->framing == HTTP_BODY_UNTIL_CLOSE) {
		*used = bytes.length;
		*data = bytes;
		return HTTP_MORE;
	}
	if (body->framing == HTTP_BODY_LENGTH) {
		*data = data_take(body, bytes, BODY_ENDED);
		*used = data->length;
		return body->state == BODY_ENDED ? HTTP_DONE : HTTP_MORE;
	}
	while (*used < bytes.length && body->state != BODY_ENDED) {
		if (body->state == CHUNK_DATA) {
			*data = data_take(body, view_make(bytes.at + *used, bytes.length - *used), CHUNK_DATA_CR);
			*used += data->length;
			return HTTP_MORE;
		}
		if (chunk_step(body, (unsigned char)bytes.at[(*used)++], err))
			return HTTP_BAD;
	}
	return body->state == BODY_ENDED ? HTTP_DONE : HTTP_MORE;
}

size_t http_trailers_cut(struct buf *text, struct http_field fields[HTTP_FIELDS_MAX])
{
	struct view rest = buf_view(text);
	size_t count = 0;

	while (rest.at && rest.length && count < HTTP_FIELDS_MAX) {
		struct view value;
		struct view name = view_cut(view_cut(rest, '\n', &rest), ':', &value);

		if (!value.at)
			break; /* the empty line */
		for (char *at = text->at + (name.at - text->at); at < name.at + name.length; at++)
			*at = (char)tolower((unsigned char)*at);
		fields[count++] = (struct http_field){name, view_trim(value)};
	}
	return count;
}

void http_name_write(struct buf *out, struct view name)
{
	char *at = buf_reserve(out, name.length);
	bool first = true;

	for (size_t i = 0; at && i < name.length; i++) {
		at[i] = (char)(first ? toupper((unsigned char)name.at[i]) : name.at[i]);
		first = name.at[i] == '-';
	}
	if (at)
		buf_commit(out, name.length);
}
