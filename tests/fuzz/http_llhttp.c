/*
 * HTTP/1 requests, read by ours and by llhttp (Node's), which is the second opinion: what ours takes, llhttp takes as well, and as the same: method,
 * target, version, fields, content, where it ends, and whether another may follow. Ours may refuse what llhttp takes.
 */
#include <assert.h>
#include <llhttp.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct buf url, content;
	struct buf names[HTTP_FIELDS_MAX], values[HTTP_FIELDS_MAX];
	size_t count;
	bool in_value, headed, whole, more;
	unsigned method, major, minor;
};

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
	buf_add(&((struct seen *)parser->data)->url, at, length);
	return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t length)
{
	struct seen *seen = parser->data;

	if (seen->headed)
		return 0; /* a trailer */
	if (seen->in_value || !seen->count) {
		if (seen->count == HTTP_FIELDS_MAX)
			return -1;
		seen->names[seen->count] = buf_new(BUF_MAX_DEFAULT);
		seen->values[seen->count++] = buf_new(BUF_MAX_DEFAULT);
	}
	seen->in_value = false;
	buf_add(&seen->names[seen->count - 1], at, length);
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
	struct seen *seen = parser->data;

	if (seen->headed || !seen->count)
		return 0;
	seen->in_value = true;
	buf_add(&seen->values[seen->count - 1], at, length);
	return 0;
}

/* An empty value is told by its end alone. */
static int on_value_end(llhttp_t *parser)
{
	((struct seen *)parser->data)->in_value = true;
	return 0;
}

static int on_head_end(llhttp_t *parser)
{
	struct seen *seen = parser->data;

	seen->headed = true;
	seen->method = parser->method;
	seen->major = parser->http_major;
	seen->minor = parser->http_minor;
	seen->more = llhttp_should_keep_alive(parser) != 0;
	return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
	buf_add(&((struct seen *)parser->data)->content, at, length);
	return 0;
}

static int on_end(llhttp_t *parser)
{
	((struct seen *)parser->data)->whole = true;
	return HPE_PAUSED;
}

static void seen_fini(struct seen *seen)
{
	for (size_t i = 0; i < seen->count; i++) {
		buf_fini(&seen->names[i]);
		buf_fini(&seen->values[i]);
	}
	buf_fini(&seen->url);
	buf_fini(&seen->content);
}

static enum http_result body_read(const struct http_head *head, struct view bytes, struct buf *content, size_t *done)
{
	enum http_result result = HTTP_MORE;
	struct http_body body;

	http_body_init(&body, head);
	*done = 0;
	while (result == HTTP_MORE && *done < bytes.length) {
		struct view data;
		size_t used;

		result = http_body_feed(&body, view_make(bytes.at + *done, bytes.length - *done), &used, &data, NULL);
		buf_add_view(content, data);
		*done += used;
	}
	return http_body_ended(&body) ? HTTP_DONE : result;
}

/* Whose methods llhttp knows, and whose bodies it reads as ours does. */
static bool is_common(const struct http_head *head)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"};

	if (head->upgrade || http_head_field(head, "upgrade").at)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (view_is(head->method, methods[i]))
			return true;
	return false;
}

static void heads_compare(const struct http_head *head, const struct seen *seen)
{
	assert(view_is(head->method, llhttp_method_name((llhttp_method_t)seen->method)));
	assert(view_equal(head->target, buf_view(&seen->url)));
	assert(seen->major == 1 && seen->minor == head->minor);
	assert(seen->count == head->field_count);
	for (size_t i = 0; i < seen->count; i++) {
		assert(view_equal(head->fields[i].name, buf_view(&seen->names[i])));
		assert(view_equal(head->fields[i].value, view_trim(buf_view(&seen->values[i]))));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);
	struct http_head head;
	AUTO_BUF content = buf_new(BUF_MAX_DEFAULT);
	struct seen seen = {.url = buf_new(BUF_MAX_DEFAULT), .content = buf_new(BUF_MAX_DEFAULT)};
	llhttp_settings_t settings;
	llhttp_t parser;
	llhttp_errno_t problem;
	size_t scanned = 0, done;

	if (http_request_parse(bytes, &scanned, &head, NULL) != HTTP_DONE || !is_common(&head) ||
	    body_read(&head, view_make(bytes.at + head.bytes, bytes.length - head.bytes), &content, &done) != HTTP_DONE)
		return 0;
	llhttp_settings_init(&settings);
	settings.on_url = on_url;
	settings.on_header_field = on_name;
	settings.on_header_value = on_value;
	settings.on_header_value_complete = on_value_end;
	settings.on_headers_complete = on_head_end;
	settings.on_body = on_body;
	settings.on_message_complete = on_end;
	llhttp_init(&parser, HTTP_REQUEST, &settings);
	parser.data = &seen;
	problem = llhttp_execute(&parser, bytes.at, bytes.length);
	/* Of the target's own form, policy/path.h is the judge; and of extensions of chunks llhttp knows fewer. They end here. */
	if (problem != HPE_INVALID_URL && problem != HPE_INVALID_CONSTANT &&
	    (problem == HPE_PAUSED || !memchr(bytes.at + head.bytes, ';', done))) {
		assert(problem == HPE_PAUSED && seen.whole);
		heads_compare(&head, &seen);
		assert(view_equal(buf_view(&content), buf_view(&seen.content)));
		assert((size_t)(llhttp_get_error_pos(&parser) - bytes.at) == head.bytes + done);
		/* Of a tab behind a word llhttp makes another word. It is about what comes later, and each end decides that for itself. */
		assert(seen.more == head.keep_alive || memchr(bytes.at, '\t', head.bytes));
	}
	seen_fini(&seen);
	return 0;
}
