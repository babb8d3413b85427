/* One HTTP/2 connection over nghttp2: what comes in. */
#include "http/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/h2_priv.h"
#include "http/h2_section.h"

#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */
#define RESETS_A_SECOND 20
#define CONTINUATIONS_MAX 8
#define LATE_BYTES_MAX ((size_t)16 << 10) /* of a request that is answered: with more it is reset */

/* Streams. */

struct h2_stream *h2_stream_new(struct h2 *h2, void *self)
{
	struct h2_stream *stream = mem_new(sizeof(*stream));

	stream->h2 = h2;
	stream->self = self;
	stream->out = buf_new(H2_WAITING_MAX);
	stream->trailer_bytes = buf_new(H2_SECTION_BYTES_MAX);
	stream->next = h2->streams;
	stream->place = &h2->streams;
	if (h2->streams)
		h2->streams->place = &stream->next;
	h2->streams = stream;
	h2->count++;
	return stream;
}

void h2_stream_free(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	*stream->place = stream->next;
	if (stream->next)
		stream->next->place = stream->place;
	h2->count--;
	if (h2->of == stream)
		h2->of = NULL;
	buf_fini(&stream->out);
	buf_fini(&stream->trailer_bytes);
	free(stream);
}

static struct h2_stream *stream_find(struct h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->session, id);
}

void h2_stream_refuse(struct h2_stream *stream, uint32_t code, const char *why)
{
	if (stream->why)
		return;
	stream->why = why;
	(void)nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, code); /* fails only without memory */
}

static void section_begin(struct h2 *h2, struct h2_stream *stream)
{
	if (!h2->section)
		h2->section = section_new();
	section_clear(h2->section);
	h2->of = stream;
}

static void section_tell(struct h2 *h2, struct h2_stream *stream, bool end)
{
	struct h2_field fields[H2_FIELDS_MAX + 1];
	const struct h2_head head = section_head(h2->section, fields, end);

	if (stream->head_told) {
		h2->events->trailers(h2->self, stream, fields, head.field_count);
	} else if (h2->role == H2_CLIENT && head.status < 100) {
		h2_stream_refuse(stream, NGHTTP2_PROTOCOL_ERROR, "a status that is none");
	} else if (h2->role == H2_CLIENT && head.status < 200) {
		if (h2->events->informational)
			h2->events->informational(h2->self, stream, head.status);
	} else {
		stream->head_told = stream->told = true;
		h2->events->head(h2->self, stream, &head);
	}
}

/* nghttp2's callbacks. */

/* Counts what costs us more than the peer; over the maximum the connection is to end. */
static void flood_count(struct h2 *h2, const nghttp2_frame_hd *frame)
{
	int64_t now_ms = h2->now_ms();

	if (now_ms - h2->window_began_ms > H2_WINDOW_MS) {
		h2->window_began_ms = now_ms;
		h2->resets = h2->frames = 0;
	}
	if (frame->type == NGHTTP2_RST_STREAM)
		h2->resets += h2->role ==
			      H2_SERVER; /* a host that has answered resets what is left of a request: as often as it was asked */
	else if (frame->type == NGHTTP2_PING || frame->type == NGHTTP2_SETTINGS || frame->type == NGHTTP2_PRIORITY ||
		 (frame->type == NGHTTP2_DATA && !frame->length && !(frame->flags & NGHTTP2_FLAG_END_STREAM)))
		h2->frames++;
	h2->flooded = h2->flooded || h2->resets > H2_RESETS_MAX || h2->frames > H2_FRAMES_MAX;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *self)
{
	struct h2 *h2 = self;

	(void)session;
	h2->mid_section = h2->mid_section && frame->type == NGHTTP2_CONTINUATION;
	flood_count(h2, frame);
	return h2->flooded ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *self)
{
	struct h2 *h2 = self;
	struct h2_stream *stream = stream_find(h2, frame->hd.stream_id);

	if (!stream && h2->role == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		stream = h2_stream_new(h2, NULL);
		stream->id = frame->hd.stream_id;
		(void)nghttp2_session_set_stream_user_data(session, stream->id, stream); /* the stream is there */
	}
	section_begin(h2, stream);
	h2->mid_section = true;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
		     const uint8_t *value, size_t value_length, uint8_t flags, void *self)
{
	struct h2 *h2 = self;
	struct section *section = h2->section;

	(void)session;
	(void)frame;
	(void)flags;
	if (!h2->of || h2->of->why)
		return 0;
	section->total += name_length + value_length + FIELD_OVERHEAD;
	if (section->total > H2_SECTION_BYTES_MAX || section->count == H2_FIELDS_MAX) {
		h2_stream_refuse(h2->of, NGHTTP2_ENHANCE_YOUR_CALM, "too many header fields");
		return 0;
	}
	section_add(section, view_make(name, name_length), view_make(value, value_length));
	if (section->hosts_differ)
		h2_stream_refuse(h2->of, NGHTTP2_PROTOCOL_ERROR, "two hosts that differ");
	return 0;
}

/* nghttp2 would leave such a field out and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
			     const uint8_t *value, size_t value_length, uint8_t flags, void *self)
{
	struct h2 *h2 = self;

	(void)session;
	(void)frame;
	(void)name;
	(void)name_length;
	(void)value;
	(void)value_length;
	(void)flags;
	if (h2->of)
		h2_stream_refuse(h2->of, NGHTTP2_PROTOCOL_ERROR, "a header field that is none");
	return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *self)
{
	struct h2 *h2 = self;

	(void)session;
	(void)frame;
	(void)code;
	h2->mid_section = false;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *self)
{
	struct h2 *h2 = self;
	struct h2_stream *stream = frame->hd.stream_id ? stream_find(h2, frame->hd.stream_id) : NULL;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	h2->mid_section = h2->mid_section && frame->hd.type != NGHTTP2_HEADERS;
	if (!stream || stream->why || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		section_tell(h2, stream, end);
	if (end && !stream->why && stream->head_told) {
		stream->end_told = true;
		h2->events->end(h2->self, stream);
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t length, void *self)
{
	struct h2 *h2 = self;
	struct h2_stream *stream = stream_find(h2, id);

	(void)flags;
	(void)nghttp2_session_consume_connection(session, length);
	if (stream && stream->answered) {
		(void)nghttp2_session_consume_stream(session, id, length);
		stream->late += length;
		if (stream->late > LATE_BYTES_MAX) {
			stream->answered = false;
			(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
		}
	}
	if (!stream || stream->why)
		return 0;
	stream->unconsumed += length;
	h2->events->data(h2->self, stream, view_make(data, length));
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *self)
{
	struct h2 *h2 = self;
	struct h2_stream *stream = stream_find(h2, id);
	const char *why;

	if (!stream)
		return 0;
	(void)session;
	stream->code = code;
	why = stream->why ? stream->why : code || !stream->end_told ? nghttp2_http2_strerror(code) : NULL;
	if (stream->told)
		h2->events->closed(h2->self, stream, why);
	h2_stream_free(stream);
	if (!h2->count && !h2->mid_section)
		section_free(TAKE(h2->section));
	return 0;
}

/*
 * Mistakes that make us reset streams cost as much as resets do (CVE-2025-8671). And nobody waits for the rest of a request that is answered; but
 * a reset at once, although with NO_ERROR, makes clients (curl 7.88) lose the answer whose body is still on its way: a little is let come.
 */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *self)
{
	struct h2 *h2 = self;
	struct h2_stream *stream = frame->hd.stream_id ? stream_find(h2, frame->hd.stream_id) : NULL;
	bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
		    frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
	    frame->rst_stream.error_code != NGHTTP2_CANCEL && frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR)
		h2->flooded = ++h2->resets > H2_RESETS_MAX || h2->flooded;
	if (ends && h2->role == H2_SERVER && stream && !stream->end_told && !stream->why) {
		stream->why = "answered before it was whole";
		stream->answered = true;
		h2_consumed(stream, stream->unconsumed); /* who waits for room finds some */
	}
	return 0;
}

/* The connection. */

static nghttp2_session *session_new(struct h2 *h2)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_session *session;

	if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option))
		abort(); /* out of memory */
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_stream_reset_rate_limit(option, H2_RESETS_MAX, RESETS_A_SECOND);
	nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
	h2_memory_init(h2);
	if (h2->role == H2_SERVER ? nghttp2_session_server_new3(&session, callbacks, h2, option, &h2->memory)
				  : nghttp2_session_client_new3(&session, callbacks, h2, option, &h2->memory))
		abort(); /* out of memory */
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return session;
}

struct h2 *h2_new(enum h2_role role, const struct h2_events *events, void *self, int64_t (*now_ms)(void))
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_SECTION_BYTES_MAX},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	};
	struct h2 *h2 = mem_new(sizeof(*h2));

	h2->role = role;
	h2->events = events;
	h2->self = self;
	h2->now_ms = now_ms;
	h2->window_began_ms = now_ms();
	h2->session = session_new(h2);
	/* Only a client says that it wants nothing pushed. */
	if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings) - (role == H2_SERVER)) ||
	    nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW_BYTES))
		abort(); /* out of memory */
	return h2;
}

void h2_free(struct h2 *h2)
{
	if (!h2)
		return;
	while (h2->streams) {
		struct h2_stream *stream = h2->streams;

		(void)nghttp2_session_set_stream_user_data(h2->session, stream->id, NULL);
		if (stream->told)
			h2->events->closed(h2->self, stream, "the connection ended");
		h2_stream_free(stream);
	}
	nghttp2_session_del(h2->session);
	section_free(h2->section);
	h2_memory_fini(h2);
	free(h2);
}

int h2_feed(struct h2 *h2, struct view bytes, struct err *err)
{
	ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.at, bytes.length);

	if (h2->flooded || used == NGHTTP2_ERR_FLOODED) {
		(void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
		return err_set(err, ERR_LIMIT, "HTTP/2: a flood of frames");
	}
	if (used < 0)
		return err_set(err, ERR_INVALID, "HTTP/2: %s", nghttp2_strerror((int)used));
	return 0;
}

static void room_tell(struct h2 *h2)
{
	struct h2_stream *next;

	for (struct h2_stream *stream = h2->streams; stream; stream = next) {
		next = stream->next;
		if (!stream->was_full || h2_waiting(stream) >= H2_WAITING_LOW)
			continue;
		stream->was_full = false;
		h2->events->room(h2->self, stream);
	}
}

int h2_output(struct h2 *h2, struct buf *out, struct err *err)
{
	size_t begun = out->length;

	while (out->length - begun < H2_OUTPUT_BYTES_MAX) {
		const uint8_t *bytes;
		ssize_t length = nghttp2_session_mem_send(h2->session, &bytes);

		if (length < 0)
			return err_set(err, ERR_INVALID, "HTTP/2: %s", nghttp2_strerror((int)length));
		if (!length)
			break;
		buf_add(out, bytes, (size_t)length);
	}
	room_tell(h2);
	return 0;
}

bool h2_over(const struct h2 *h2)
{
	return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

bool h2_accepts(const struct h2 *h2)
{
	uint32_t theirs = nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return nghttp2_session_check_request_allowed(h2->session) && h2->count < H2_STREAMS_MAX && h2->count < theirs;
}

bool h2_usable(const struct h2 *h2)
{
	return nghttp2_session_check_request_allowed(h2->session);
}

bool h2_mid_section(const struct h2 *h2)
{
	return h2->mid_section;
}

size_t h2_stream_count(const struct h2 *h2)
{
	return h2->count;
}

void h2_wind_down(struct h2 *h2)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);

	(void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}
