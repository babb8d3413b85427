/* HTTP/2 frames of a hostile peer, against either end, whole and in two pieces; what was told must keep the order that h2.h promises. The
 * first byte says which end, the second where to cut. */
#include <assert.h>

#include <stdlib.h>

#include "base/scope.h"
#include "http/h2.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct life {
	bool head, end;
};

static size_t open_streams;

static struct life *life_of(const struct h2_stream *stream)
{
	assert(h2_stream_self(stream));
	return h2_stream_self(stream);
}

static void on_head(void *self, struct h2_stream *stream, const struct h2_head *head)
{
	bool *client = self;

	if (!*client) {
		open_streams++;
		h2_stream_self_set(stream, mem_new(sizeof(struct life)));
		if (h2_respond(stream, 200, NULL, 0, false, NULL) == 0)
			h2_send(stream, VIEW("answer"), head->end);
	}
	assert(!life_of(stream)->head);
	life_of(stream)->head = true;
	for (size_t i = 0; i < head->field_count; i++)
		assert(head->fields[i].name.length && !memchr(head->fields[i].value.at, '\n', head->fields[i].value.length));
}

static void on_data(void *self, struct h2_stream *stream, struct view bytes)
{
	(void)self;
	assert(life_of(stream)->head && !life_of(stream)->end);
	h2_consumed(stream, bytes.length);
}

static void on_trailers(void *self, struct h2_stream *stream, const struct h2_field *fields, size_t count)
{
	(void)self;
	(void)fields;
	assert(life_of(stream)->head && !life_of(stream)->end && count <= H2_FIELDS_MAX + 1);
}

static void on_end(void *self, struct h2_stream *stream)
{
	(void)self;
	assert(life_of(stream)->head && !life_of(stream)->end);
	life_of(stream)->end = true;
}

static void on_room(void *self, struct h2_stream *stream)
{
	(void)self;
	(void)stream;
}

static void on_closed(void *self, struct h2_stream *stream, const char *why)
{
	(void)self;
	assert(why || life_of(stream)->end);
	assert(open_streams);
	open_streams--;
	free(life_of(stream));
}

static int64_t now_ms(void)
{
	return 0;
}

static void feed(struct h2 *h2, struct view bytes)
{
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);

	if (bytes.length && h2_feed(h2, bytes, NULL))
		return;
	while (h2_output(h2, &out, NULL) == 0 && out.length)
		buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_events events = {on_head, NULL, on_data, on_trailers, on_end, on_room, on_closed};
	const struct h2_head head = {.method = VIEW("GET"), .scheme = VIEW("https"), .authority = VIEW("a"), .path = VIEW("/")};
	struct view bytes;
	bool client;
	size_t cut;
	struct h2 *h2;

	if (size < 2)
		return 0;
	client = data[0] & 1;
	bytes = view_make(data + 2, size - 2);
	cut = bytes.length * data[1] / 256;
	h2 = h2_new(client ? H2_CLIENT : H2_SERVER, &events, &client, now_ms);
	open_streams = 0;
	if (client) {
		struct h2_stream *stream = h2_request(h2, &head, NULL, NULL);

		assert(stream);
		h2_stream_self_set(stream, mem_new(sizeof(struct life)));
		open_streams = 1;
		feed(h2, view_make("", 0));
	} else {
		feed(h2, VIEW(PREFACE "\0\0\0\4\0\0\0\0\0"));
	}
	feed(h2, view_make(bytes.at, cut));
	feed(h2, view_make(bytes.at + cut, bytes.length - cut));
	h2_free(h2);
	assert(!open_streams);
	return 0;
}
