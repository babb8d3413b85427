/* HTTP messages, as requests and as responses; the body in two step sizes, which must agree. The first byte says which. */
#include <assert.h>

#include "http/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_result body_read(const struct http_head *head, struct view bytes, size_t step, struct buf *content, size_t *done)
{
	enum http_result result = HTTP_MORE;
	struct http_body body;

	http_body_init(&body, head);
	*done = 0;
	while (result == HTTP_MORE && *done < bytes.length) {
		struct view piece = view_make(bytes.at + *done, bytes.length - *done < step ? bytes.length - *done : step);
		struct view data;
		size_t used;

		result = http_body_feed(&body, piece, &used, &data, NULL);
		assert(used <= piece.length && data.length <= used);
		buf_add_view(content, data);
		*done += used;
		assert(used || result != HTTP_MORE);
	}
	return http_body_ended(&body) ? HTTP_DONE : result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF all = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF bytewise = buf_new(BUF_MAX_DEFAULT);
	struct http_head head;
	struct view bytes;
	size_t scanned = 0;
	size_t done, done_bytewise;
	enum http_result result;

	if (!size)
		return 0;
	bytes = view_make(data + 1, size - 1);
	result = data[0] & 1 ? http_response_parse(bytes, &scanned, data[0] & 2 ? VIEW("HEAD") : VIEW("GET"), &head, NULL)
			     : http_request_parse(bytes, &scanned, &head, NULL);
	if (result != HTTP_DONE)
		return 0;
	assert(head.bytes <= bytes.length && head.field_count <= HTTP_FIELDS_MAX);
	for (size_t i = 0; i < head.field_count; i++)
		assert(http_token_valid(head.fields[i].name) && http_value_valid(head.fields[i].value));
	bytes = view_make(bytes.at + head.bytes, bytes.length - head.bytes);
	result = body_read(&head, bytes, SIZE_MAX, &all, &done);
	assert(body_read(&head, bytes, 1, &bytewise, &done_bytewise) == result);
	assert(result == HTTP_BAD || (done == done_bytewise && view_equal(buf_view(&all), buf_view(&bytewise))));
	return 0;
}
