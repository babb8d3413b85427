/* Requests of OTLP: gzip, texts, limits. */
#include "http/telemetry.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/scope.h"
#include "http/telemetry_priv.h"

#define PIECE_BYTES ((size_t)32 << 10)
#define GZIP_BITS (MAX_WBITS + 16) /* gzip's header and check, nothing else */

void telemetry_fini(struct telemetry *telemetry)
{
	arena_fini(&telemetry->arena);
	free(telemetry->items);
	*telemetry = (struct telemetry){0};
}

static int gunzip_run(z_stream *stream, struct buf *out, struct err *err)
{
	unsigned char piece[PIECE_BYTES];
	int result = Z_OK;

	while (result == Z_OK) {
		stream->next_out = piece;
		stream->avail_out = sizeof(piece);
		result = inflate(stream, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END)
			break;
		if (sizeof(piece) - stream->avail_out > TELEMETRY_BODY_MAX - out->length)
			return err_set(err, ERR_LIMIT, "the body is over %zu bytes without its gzip", TELEMETRY_BODY_MAX);
		buf_add(out, piece, sizeof(piece) - stream->avail_out);
	}
	if (result != Z_STREAM_END || stream->avail_in)
		return err_set(err, ERR_INVALID, "the body is no whole gzip");
	return buf_finish(out, err);
}

int telemetry_gunzip(struct buf *out, struct view body, struct err *err)
{
	z_stream stream = {0};
	int result;

	if (body.length > TELEMETRY_BODY_MAX)
		return err_set(err, ERR_LIMIT, "the body is over %zu bytes", TELEMETRY_BODY_MAX);
	if (inflateInit2(&stream, GZIP_BITS) != Z_OK)
		abort(); /* out of memory */
	buf_clear(out);
	stream.next_in = (unsigned char *)(uintptr_t)body.at;
	stream.avail_in = (unsigned)body.length;
	result = gunzip_run(&stream, out, err);
	(void)inflateEnd(&stream);
	return result;
}

struct telemetry_item *telemetry_item_add(struct telemetry *telemetry, const char *service, struct err *err)
{
	struct telemetry_item *item;

	if (telemetry->count == TELEMETRY_ITEMS_MAX) {
		(void)err_set(err, ERR_LIMIT, "the request has more than %zu items", TELEMETRY_ITEMS_MAX);
		return NULL;
	}
	if (telemetry->count == telemetry->capacity) {
		telemetry->capacity = telemetry->capacity ? telemetry->capacity * 2 : 16;
		telemetry->items = mem_grow(telemetry->items, telemetry->capacity, sizeof(*telemetry->items));
	}
	item = &telemetry->items[telemetry->count++];
	*item = (struct telemetry_item){.service = service, .text = ""};
	return item;
}

const char *telemetry_text(struct telemetry *telemetry, struct view text)
{
	AUTO_BUF clean = buf_new(TELEMETRY_TEXT_MAX + 4);

	if (!text.length)
		return "";
	while (text.length) {
		size_t length = *text.at ? view_utf8_length(text) : 0;
		struct view next = length ? view_make(text.at, length) : VIEW("\xef\xbf\xbd");

		if (clean.length + next.length > TELEMETRY_TEXT_MAX)
			break;
		buf_add_view(&clean, next);
		text = view_make(text.at + (length ? length : 1), text.length - (length ? length : 1));
	}
	return arena_copy(&telemetry->arena, buf_view(&clean));
}

int telemetry_parse(enum telemetry_signal signal, enum telemetry_coding coding, struct view body, struct telemetry *telemetry,
		    struct err *err)
{
	int result;

	*telemetry = (struct telemetry){0};
	if (body.length > TELEMETRY_BODY_MAX)
		return err_set(err, ERR_LIMIT, "the body is over %zu bytes", TELEMETRY_BODY_MAX);
	if (coding == TELEMETRY_PROTOBUF)
		result = telemetry_wire_parse(signal, body, telemetry, err);
	else
		result = telemetry_json_parse(signal, body, telemetry, err);
	if (result)
		telemetry_fini(telemetry);
	return result;
}
