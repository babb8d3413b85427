/*
 * Frames of HTTP/2 that pass.
 *
 * Theory of operation: each direction is a row of frames {length, type, flags, stream, payload}, the client's behind a preface. DATA passes in
 * pieces as it comes; other frames are kept until they are whole. A header block (HEADERS or PUSH_PROMISE with its CONTINUATIONs) is unpacked
 * with the sender's table and packed with one of no size, so what the receiver remembers of it is nothing.
 */
#include "http/h2_relay.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/scope.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES (sizeof(PREFACE) - 1)
#define TYPE_PREFACE 0xff
#define FLAG_END_STREAM 0x1U
#define FLAG_END_HEADERS 0x4U
#define FLAG_PADDED 0x8U
#define FLAG_PRIORITY 0x20U
#define PRIORITY_BYTES 5
#define PROMISE_BYTES 4
#define FRAME_SENT_MAX ((size_t)16384) /* what every peer takes */
#define FIELD_BYTES 32                 /* RFC 9113 6.5.2 */

/* One direction. */
struct way {
	bool begun;                   /* the preface is behind it; a server has none */
	struct buf kept;              /* what is not whole: the preface, a frame's head, a frame */
	struct buf block;             /* of a header section */
	struct h2_relay_frame opened; /* the HEADERS or PUSH frame whose block it is; type 0: none */
	uint32_t promised;
	size_t data_left; /* of a DATA frame */
	size_t padding;   /* at its end */
	bool pad_next;    /* its first byte says how much that is */
	bool data;        /* one is under way */
	nghttp2_hd_inflater *inflater;
	nghttp2_hd_deflater *deflater; /* for the other end */
	struct buf texts;
	size_t section_bytes;
	struct {
		size_t name, name_length, value, value_length;
		bool secret; /* never to be remembered */
	} spans[H2_RELAY_FIELDS_MAX];
	size_t span_count;
};

struct h2_relay {
	const struct h2_relay_events *events;
	void *self;
	struct way ways[2]; /* by enum h2_relay_side */
	struct buf wire;
};

bool h2_relay_looks(struct view bytes)
{
	return view_starts(bytes, view_make(PREFACE, PREFACE_BYTES));
}

bool h2_relay_looks_more(struct view bytes)
{
	return bytes.length < PREFACE_BYTES && view_starts(view_make(PREFACE, PREFACE_BYTES), bytes);
}

bool h2_relay_looks_server(struct view bytes)
{
	/* SETTINGS of the connection, without flags, in whole entries. */
	return bytes.length >= H2_RELAY_FRAME_HEAD_BYTES && !bytes.at[0] && !bytes.at[1] && (unsigned char)bytes.at[2] % 6 == 0 &&
	       view_equal(view_make(bytes.at + 3, 6), VIEW("\4\0\0\0\0\0"));
}

struct h2_relay *h2_relay_new(const struct h2_relay_events *events, void *self)
{
	struct h2_relay *relay = mem_new(sizeof(*relay));

	relay->events = events;
	relay->self = self;
	relay->wire = buf_new(H2_RELAY_SECTION_MAX * 2);
	for (int i = 0; i < 2; i++) {
		struct way *way = &relay->ways[i];

		way->begun = i == H2_RELAY_SERVER;
		way->kept = buf_new(H2_RELAY_FRAME_MAX + H2_RELAY_FRAME_HEAD_BYTES);
		way->block = buf_new(H2_RELAY_BLOCK_MAX);
		way->texts = buf_new(H2_RELAY_SECTION_MAX);
		if (nghttp2_hd_inflate_new(&way->inflater) || nghttp2_hd_deflate_new(&way->deflater, 0) ||
		    nghttp2_hd_inflate_change_table_size(way->inflater, H2_RELAY_TABLE_MAX))
			abort();
	}
	return relay;
}

void h2_relay_free(struct h2_relay *relay)
{
	if (!relay)
		return;
	for (int i = 0; i < 2; i++) {
		struct way *way = &relay->ways[i];

		nghttp2_hd_inflate_del(way->inflater);
		nghttp2_hd_deflate_del(way->deflater);
		buf_fini(&way->kept);
		buf_fini(&way->block);
		buf_fini(&way->texts);
	}
	buf_fini(&relay->wire);
	free(relay);
}

bool h2_relay_mid_frame(const struct h2_relay *relay, enum h2_relay_side from)
{
	return relay->ways[from].data;
}

/* ---- writing ---- */

static void head_format(struct buf *out, size_t length, unsigned type, unsigned flags, uint32_t stream)
{
	const unsigned char head[H2_RELAY_FRAME_HEAD_BYTES] = {
		(unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length,
		(unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
		(unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream,
	};

	buf_add(out, head, sizeof(head));
}

static void number_format(struct buf *out, uint32_t number)
{
	const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16), (unsigned char)(number >> 8),
					(unsigned char)number};

	buf_add(out, bytes, sizeof(bytes));
}

/* A block in frames that everybody takes: the first of `type`, with `front` before the block. */
static void block_format(struct buf *out, unsigned type, unsigned flags, uint32_t stream, struct view front, struct view block)
{
	do {
		size_t room = FRAME_SENT_MAX - front.length;
		size_t take = block.length < room ? block.length : room;
		bool last = take == block.length;

		head_format(out, front.length + take, type, flags | (last ? FLAG_END_HEADERS : 0), stream);
		buf_add_view(out, front);
		buf_add(out, block.at, take);
		block = view_make(block.at + take, block.length - take);
		front.length = flags = 0;
		type = H2_RELAY_CONTINUATION;
		if (last)
			return;
	} while (true);
}

static nghttp2_nv nv_of(struct view name, struct view value, bool secret)
{
	nghttp2_nv nv = {.namelen = name.length,
			 .valuelen = value.length,
			 .flags = secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};

	/* nghttp2 only reads them. */
	memcpy(&nv.name, &name.at, sizeof(nv.name));
	memcpy(&nv.value, &value.at, sizeof(nv.value));
	return nv;
}

static void fields_pack(nghttp2_hd_deflater *deflater, nghttp2_nv *nvs, size_t count, struct buf *block)
{
	size_t bound = nghttp2_hd_deflate_bound(deflater, nvs, count);
	char *at = buf_reserve(block, bound);
	ssize_t length = at ? nghttp2_hd_deflate_hd(deflater, (uint8_t *)at, bound, nvs, count) : -1;

	if (length < 0)
		abort(); /* all of it is bounded by what was unpacked: only memory can fail */
	buf_commit(block, (size_t)length);
}

void h2_relay_headers_format(struct h2_relay *relay, enum h2_relay_side to, uint32_t stream, const struct h2_field *fields,
			     size_t count, bool end, struct buf *out)
{
	AUTO_BUF block = buf_new(H2_RELAY_SECTION_MAX * 2);
	nghttp2_nv *nvs = mem_new_array(count + 1, sizeof(*nvs));

	for (size_t i = 0; i < count; i++)
		nvs[i] = nv_of(fields[i].name, fields[i].value, false);
	fields_pack(relay->ways[to == H2_RELAY_CLIENT ? H2_RELAY_SERVER : H2_RELAY_CLIENT].deflater, nvs, count, &block);
	block_format(out, H2_RELAY_HEADERS, end ? FLAG_END_STREAM : 0, stream, VIEW(""), buf_view(&block));
	free(nvs);
}

void h2_relay_data_format(uint32_t stream, struct view content, bool end, struct buf *out)
{
	head_format(out, content.length, H2_RELAY_DATA, end ? FLAG_END_STREAM : 0, stream);
	buf_add_view(out, content);
}

void h2_relay_reset_format(uint32_t stream, enum h2_code code, struct buf *out)
{
	head_format(out, 4, H2_RELAY_RESET, 0, stream);
	number_format(out, code);
}

void h2_relay_window_format(uint32_t stream, size_t bytes, struct buf *out)
{
	head_format(out, 4, H2_RELAY_WINDOW, 0, stream);
	number_format(out, (uint32_t)bytes & 0x7fffffffU);
}

/* ---- header sections ---- */

static int field_keep(struct way *way, const nghttp2_nv *nv, struct err *err)
{
	way->section_bytes += nv->namelen + nv->valuelen + FIELD_BYTES;
	if (way->span_count == H2_RELAY_FIELDS_MAX || way->section_bytes > H2_RELAY_SECTION_MAX)
		return err_set(err, ERR_LIMIT, "a header section of more than %d fields or %zu bytes", H2_RELAY_FIELDS_MAX,
			       H2_RELAY_SECTION_MAX);
	way->spans[way->span_count].name = way->texts.length;
	way->spans[way->span_count].name_length = nv->namelen;
	buf_add(&way->texts, nv->name, nv->namelen);
	way->spans[way->span_count].value = way->texts.length;
	way->spans[way->span_count].value_length = nv->valuelen;
	buf_add(&way->texts, nv->value, nv->valuelen);
	way->spans[way->span_count].secret = nv->flags & NGHTTP2_NV_FLAG_NO_INDEX;
	way->span_count++;
	return 0;
}

static int block_unpack(struct way *way, struct err *err)
{
	const uint8_t *at = (const uint8_t *)buf_view(&way->block).at;
	size_t left = way->block.length;

	way->span_count = way->section_bytes = 0;
	buf_clear(&way->texts);
	while (true) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(way->inflater, &nv, &flags, at, left, 1);

		if (used < 0)
			return err_set(err, ERR_INVALID, "a header block that cannot be read: %s", nghttp2_strerror((int)used));
		at += used;
		left -= (size_t)used;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) && field_keep(way, &nv, err))
			return -1;
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !left)
			return err_set(err, ERR_INVALID, "a header block that is cut");
	}
	(void)nghttp2_hd_inflate_end_headers(way->inflater);
	return 0;
}

/* The section whose block is whole. */
static int section_done(struct h2_relay *relay, enum h2_relay_side from, struct err *err)
{
	struct way *way = &relay->ways[from];
	struct h2_relay_frame frame = way->opened;
	AUTO_BUF block = buf_new(H2_RELAY_SECTION_MAX * 2);
	AUTO_BUF promise = buf_new(PROMISE_BYTES);
	struct h2_field *fields;
	nghttp2_nv *nvs;

	way->opened = (struct h2_relay_frame){0};
	if (block_unpack(way, err))
		return -1;
	fields = mem_new_array(way->span_count + 1, sizeof(*fields));
	nvs = mem_new_array(way->span_count + 1, sizeof(*nvs));
	for (size_t i = 0; i < way->span_count; i++) {
		const char *texts = buf_view(&way->texts).at;

		fields[i].name = view_make(texts + way->spans[i].name, way->spans[i].name_length);
		fields[i].value = view_make(texts + way->spans[i].value, way->spans[i].value_length);
		nvs[i] = nv_of(fields[i].name, fields[i].value, way->spans[i].secret);
	}
	fields_pack(way->deflater, nvs, way->span_count, &block);
	if (frame.type == H2_RELAY_PUSH)
		number_format(&promise, way->promised);
	buf_clear(&relay->wire);
	block_format(&relay->wire, frame.type, frame.end ? FLAG_END_STREAM : 0, frame.stream, buf_view(&promise), buf_view(&block));
	frame.fields = fields;
	frame.field_count = way->span_count;
	relay->events->frame(relay->self, from, &frame, buf_view(&relay->wire));
	free(fields);
	free(nvs);
	buf_clear(&way->block);
	return 0;
}

/* ---- frames ---- */

struct frame_head {
	size_t length;
	unsigned type, flags;
	uint32_t stream;
};

static uint32_t number_of(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static struct frame_head head_of(const char *at)
{
	return (struct frame_head){.length = number_of(at) >> 8,
				   .type = (unsigned char)at[3],
				   .flags = (unsigned char)at[4],
				   .stream = number_of(at + 5) & 0x7fffffffU};
}

/* What is between the padding's length and the padding. */
static int padding_cut(const struct frame_head *head, struct view *payload, struct err *err)
{
	size_t padding;

	if (!(head->flags & FLAG_PADDED))
		return 0;
	padding = payload->length ? (unsigned char)payload->at[0] : 0;
	if (payload->length < padding + 1)
		return err_set(err, ERR_INVALID, "a frame with more padding than it has bytes");
	*payload = view_make(payload->at + 1, payload->length - 1 - padding);
	return 0;
}

static int block_begin(struct h2_relay *relay, enum h2_relay_side from, const struct frame_head *head, struct view payload,
		       struct err *err)
{
	struct way *way = &relay->ways[from];
	size_t front = head->type == H2_RELAY_PUSH ? PROMISE_BYTES : head->flags & FLAG_PRIORITY ? PRIORITY_BYTES : 0;

	if (padding_cut(head, &payload, err))
		return -1;
	if (!head->stream || payload.length < front || (head->type == H2_RELAY_PUSH && from == H2_RELAY_CLIENT))
		return err_set(err, ERR_INVALID, "a header frame that is none");
	way->opened = (struct h2_relay_frame){
		.type = head->type, .stream = head->stream, .end = head->type == H2_RELAY_HEADERS && head->flags & FLAG_END_STREAM};
	if (head->type == H2_RELAY_PUSH)
		way->promised = number_of(payload.at) & 0x7fffffffU;
	buf_clear(&way->block);
	buf_add(&way->block, payload.at + front, payload.length - front);
	return head->flags & FLAG_END_HEADERS ? section_done(relay, from, err) : 0;
}

static int block_continue(struct h2_relay *relay, enum h2_relay_side from, const struct frame_head *head, struct view payload,
			  struct err *err)
{
	struct way *way = &relay->ways[from];

	if (head->type != H2_RELAY_CONTINUATION || !way->opened.type || head->stream != way->opened.stream)
		return err_set(err, ERR_INVALID, "a header block that is interrupted, or goes on without having begun");
	buf_add_view(&way->block, payload);
	if (way->block.over)
		return err_set(err, ERR_LIMIT, "a header block of more than %zu bytes", H2_RELAY_BLOCK_MAX);
	return head->flags & FLAG_END_HEADERS ? section_done(relay, from, err) : 0;
}

/* A whole frame other than DATA; `whole` is it with its head. */
static int frame_take(struct h2_relay *relay, enum h2_relay_side from, struct view whole, struct err *err)
{
	struct frame_head head = head_of(whole.at);
	struct view payload = view_make(whole.at + H2_RELAY_FRAME_HEAD_BYTES, head.length);
	struct h2_relay_frame frame = {.type = head.type, .stream = head.stream};

	if (relay->ways[from].opened.type || head.type == H2_RELAY_CONTINUATION)
		return block_continue(relay, from, &head, payload, err);
	if (head.type == H2_RELAY_HEADERS || head.type == H2_RELAY_PUSH)
		return block_begin(relay, from, &head, payload, err);
	if (head.type == H2_RELAY_RESET) {
		if (payload.length != 4 || !head.stream)
			return err_set(err, ERR_INVALID, "a reset that is none");
		frame.code = number_of(payload.at);
	}
	relay->events->frame(relay->self, from, &frame, whole);
	return 0;
}

static int data_begin(struct h2_relay *relay, enum h2_relay_side from, const struct frame_head *head, struct view wire,
		      struct err *err)
{
	struct way *way = &relay->ways[from];
	const struct h2_relay_frame frame = {
		.type = H2_RELAY_DATA, .stream = head->stream, .end = head->flags & FLAG_END_STREAM, .length = head->length};

	if (!head->stream || way->opened.type || ((head->flags & FLAG_PADDED) && !head->length))
		return err_set(err, ERR_INVALID, "data where none can be");
	way->data_left = head->length;
	way->padding = 0;
	way->pad_next = head->flags & FLAG_PADDED;
	relay->events->frame(relay->self, from, &frame, wire);
	way->data = head->length > 0;
	if (way->data)
		return 0;
	relay->events->data(relay->self, from, VIEW(""), VIEW(""), true);
	return 0;
}

static int data_take(struct h2_relay *relay, enum h2_relay_side from, struct view *bytes, struct err *err)
{
	struct way *way = &relay->ways[from];
	size_t take = way->data_left < bytes->length ? way->data_left : bytes->length;
	struct view wire = view_make(bytes->at, take);
	struct view content = wire;

	if (way->pad_next) {
		way->padding = (unsigned char)wire.at[0];
		way->pad_next = false;
		content = view_make(wire.at + 1, take - 1);
		if (way->padding >= way->data_left)
			return err_set(err, ERR_INVALID, "a frame with more padding than it has bytes");
	}
	way->data_left -= take;
	if (way->data_left < way->padding) {
		size_t pad = way->padding - way->data_left;

		content.length -= pad < content.length ? pad : content.length;
	}
	*bytes = view_make(bytes->at + take, bytes->length - take);
	way->data = way->data_left > 0;
	relay->events->data(relay->self, from, wire, content, !way->data);
	return 0;
}

/* Until `length` bytes are kept, or there are no more. */
static bool keep(struct way *way, size_t length, struct view *bytes)
{
	size_t want = length > way->kept.length ? length - way->kept.length : 0;
	size_t take = want < bytes->length ? want : bytes->length;

	buf_add(&way->kept, bytes->at, take);
	*bytes = view_make(bytes->at + take, bytes->length - take);
	return take == want;
}

static int preface_take(struct h2_relay *relay, struct view *bytes, struct err *err)
{
	struct way *way = &relay->ways[H2_RELAY_CLIENT];
	const struct h2_relay_frame frame = {.type = TYPE_PREFACE};

	if (!keep(way, PREFACE_BYTES, bytes))
		return 0;
	if (!h2_relay_looks(buf_view(&way->kept)))
		return err_set(err, ERR_INVALID, "it does not begin as HTTP/2 does");
	way->begun = true;
	relay->events->frame(relay->self, H2_RELAY_CLIENT, &frame, buf_view(&way->kept));
	buf_clear(&way->kept);
	return 0;
}

static int head_take(struct h2_relay *relay, enum h2_relay_side from, struct view *bytes, struct err *err)
{
	struct way *way = &relay->ways[from];
	struct frame_head head;
	int result;

	if (!keep(way, H2_RELAY_FRAME_HEAD_BYTES, bytes))
		return 0;
	head = head_of(way->kept.at);
	if (head.type == H2_RELAY_DATA) {
		result = data_begin(relay, from, &head, buf_view(&way->kept), err);
		buf_clear(&way->kept);
		return result;
	}
	if (head.length > H2_RELAY_FRAME_MAX)
		return err_set(err, ERR_LIMIT, "a frame of %zu bytes", head.length);
	if (!keep(way, H2_RELAY_FRAME_HEAD_BYTES + head.length, bytes))
		return 0;
	result = frame_take(relay, from, buf_view(&way->kept), err);
	buf_clear(&way->kept);
	return result;
}

int h2_relay_feed(struct h2_relay *relay, enum h2_relay_side from, struct view bytes, struct err *err)
{
	struct way *way = &relay->ways[from];
	int result = 0;

	while (!result && bytes.length) {
		if (!way->begun)
			result = preface_take(relay, &bytes, err);
		else if (way->data)
			result = data_take(relay, from, &bytes, err);
		else
			result = head_take(relay, from, &bytes, err);
	}
	return result;
}
