/* What an HTTP/2 connection sends: heads, bodies and trailers, and what its caller asks of a stream. */
#include <nghttp2/nghttp2.h>

#include "http/h2_priv.h"

#define PSEUDO_MAX 4
#define STATUS_TEXT_BYTES 4

static nghttp2_nv nv_make(struct view name, struct view value)
{
	/* nghttp2 copies both and changes neither. */
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.at, (uint8_t *)(uintptr_t)value.at, name.length, value.length,
			    NGHTTP2_NV_FLAG_NONE};
}

static void trailers_submit(struct h2_stream *stream)
{
	nghttp2_nv fields[H2_FIELDS_MAX];
	struct view rest = buf_view(&stream->trailer_bytes);

	for (size_t i = 0; i < stream->trailer_count; i++) {
		struct view name = view_cut(rest, '\0', &rest);

		fields[i] = nv_make(name, view_cut(rest, '\0', &rest));
	}
	(void)nghttp2_submit_trailer(stream->h2->session, stream->id, fields, stream->trailer_count);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *room, size_t room_bytes, uint32_t *flags,
		       nghttp2_data_source *source, void *self)
{
	struct h2_stream *stream = source->ptr;
	size_t length = h2_waiting(stream);

	(void)session;
	(void)id;
	(void)self;
	if (length > room_bytes)
		length = room_bytes;
	if (!length && !stream->out_end) {
		stream->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	memcpy(room, buf_view(&stream->out).at + stream->out_at, length);
	stream->out_at += length;
	stream->sent += length;
	if (stream->out_at == stream->out.length || stream->out_at > H2_WINDOW_BYTES) {
		buf_drop_front(&stream->out, stream->out_at);
		stream->out_at = 0;
	}
	if (stream->out_end && !h2_waiting(stream)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (stream->trailer_count) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			trailers_submit(stream);
		}
	}
	return (ssize_t)length;
}

static nghttp2_data_provider provider_of(struct h2_stream *stream)
{
	return (nghttp2_data_provider){.source = {.ptr = stream}, .read_callback = on_read};
}

static size_t fields_convert(nghttp2_nv *out, const struct h2_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out[i] = nv_make(fields[i].name, fields[i].value);
	return count;
}

struct h2_stream *h2_request(struct h2 *h2, const struct h2_head *head, void *self, struct err *err)
{
	nghttp2_nv fields[PSEUDO_MAX + H2_FIELDS_MAX + 1];
	nghttp2_data_provider provider;
	struct h2_stream *stream;
	size_t count = 0;

	if (head->field_count > H2_FIELDS_MAX + 1 || !h2_accepts(h2)) {
		(void)err_set(err, ERR_LIMIT, "the HTTP/2 connection takes no more");
		return NULL;
	}
	fields[count++] = nv_make(VIEW(":method"), head->method);
	fields[count++] = nv_make(VIEW(":scheme"), head->scheme);
	fields[count++] = nv_make(VIEW(":authority"), head->authority);
	fields[count++] = nv_make(VIEW(":path"), head->path);
	count += fields_convert(fields + count, head->fields, head->field_count);
	stream = h2_stream_new(h2, self);
	stream->told = true;
	stream->out_end = head->end;
	provider = provider_of(stream);
	stream->id = nghttp2_submit_request(h2->session, NULL, fields, count, head->end ? NULL : &provider, stream);
	if (stream->id < 0) {
		(void)err_set(err, ERR_RETRY, "HTTP/2: %s", nghttp2_strerror(stream->id));
		h2_stream_free(stream);
		return NULL;
	}
	return stream;
}

int h2_respond(struct h2_stream *stream, unsigned status, const struct h2_field *fields, size_t count, bool end, struct err *err)
{
	nghttp2_session *session = stream->h2->session;
	nghttp2_data_provider provider = provider_of(stream);
	nghttp2_nv all[H2_FIELDS_MAX + 2];
	char text[STATUS_TEXT_BYTES];
	int failed;

	if (status < 100 || status > 999 || count > H2_FIELDS_MAX + 1)
		return err_set(err, ERR_INVALID, "an HTTP/2 response of status %u with %zu fields", status, count);
	for (size_t i = 0; i < 3; i++)
		text[i] = (char)('0' + status / (i == 0 ? 100U : i == 1 ? 10U : 1U) % 10);
	all[0] = nv_make(VIEW(":status"), view_make(text, 3));
	count = 1 + fields_convert(all + 1, fields, count);
	if (status < 200) {
		failed = nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, stream->id, NULL, all, count, NULL);
	} else {
		stream->out_end = stream->out_end || end;
		failed = nghttp2_submit_response(session, stream->id, all, count, end ? NULL : &provider);
	}
	return failed ? err_set(err, ERR_CANCELLED, "HTTP/2: %s", nghttp2_strerror(failed)) : 0;
}

static void stream_resume(struct h2_stream *stream)
{
	if (stream->deferred) {
		stream->deferred = false;
		(void)nghttp2_session_resume_data(stream->h2->session, stream->id); /* fails when it is being closed */
	}
}

void h2_send(struct h2_stream *stream, struct view bytes, bool end)
{
	if (stream->out_end || stream->why)
		return;
	buf_add_view(&stream->out, bytes);
	stream->out_end = end;
	stream->was_full = stream->was_full || h2_waiting(stream) >= H2_WAITING_LOW;
	if (stream->out.over)
		h2_stream_refuse(stream, NGHTTP2_INTERNAL_ERROR, "too much waits to be sent");
	else if (bytes.length || end)
		stream_resume(stream);
}

void h2_send_trailers(struct h2_stream *stream, const struct h2_field *fields, size_t count)
{
	if (stream->out_end || stream->why)
		return;
	for (size_t i = 0; i < count && i < H2_FIELDS_MAX; i++) {
		buf_add_view(&stream->trailer_bytes, fields[i].name);
		buf_add_char(&stream->trailer_bytes, '\0');
		buf_add_view(&stream->trailer_bytes, fields[i].value);
		buf_add_char(&stream->trailer_bytes, '\0');
		stream->trailer_count++;
	}
	stream->out_end = true;
	if (stream->trailer_bytes.over || count > H2_FIELDS_MAX)
		h2_stream_refuse(stream, NGHTTP2_INTERNAL_ERROR, "too many trailers");
	else
		stream_resume(stream);
}

void h2_reset(struct h2_stream *stream, uint32_t code)
{
	h2_stream_refuse(stream, code, "reset here");
}

void h2_consumed(struct h2_stream *stream, size_t bytes)
{
	if (bytes > stream->unconsumed)
		bytes = stream->unconsumed;
	stream->unconsumed -= bytes;
	(void)nghttp2_session_consume_stream(stream->h2->session, stream->id,
					     bytes); /* the window update goes out with h2_output */
}

size_t h2_waiting(const struct h2_stream *stream)
{
	return stream->out.length - stream->out_at;
}

uint64_t h2_sent(const struct h2_stream *stream)
{
	return stream->sent;
}

uint32_t h2_stream_code(const struct h2_stream *stream)
{
	return stream->code;
}

int32_t h2_stream_id(const struct h2_stream *stream)
{
	return stream->id;
}

void *h2_stream_self(const struct h2_stream *stream)
{
	return stream->self;
}

void h2_stream_self_set(struct h2_stream *stream, void *self)
{
	stream->self = self;
}
