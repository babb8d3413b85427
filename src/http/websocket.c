/* Frames in, parts of messages out. */
#include "http/websocket.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/scope.h"
#include "http/codec.h"

#define HEAD_BYTES_MAX 14
#define PIECE_BYTES ((size_t)16 << 10)
#define OPCODE_CONTINUATION 0
#define LENGTH_16 126
#define LENGTH_64 127

struct websocket_reader {
	struct websocket_spec spec;
	unsigned char head[HEAD_BYTES_MAX]; /* of the frame that is coming in */
	size_t head_bytes;
	bool in_payload;
	bool final;
	unsigned frame;   /* its opcode */
	unsigned message; /* opcode of the message under way; 0: none */
	uint64_t left;    /* of the frame's payload */
	size_t mask_at;
	bool deflated; /* the message is */
	bool told;     /* its first part was */
	bool closed;
	bool broken;
	uint64_t message_wire_bytes;
	uint64_t message_bytes;
	z_stream inflater;
	char utf8[4]; /* a character that is not whole yet */
	size_t utf8_bytes;
	size_t control_bytes;
	char control[WEBSOCKET_CONTROL_BYTES_MAX];
	unsigned char piece[PIECE_BYTES];
	unsigned char inflated[PIECE_BYTES];
};

struct websocket_reader *websocket_reader_new(const struct websocket_spec *spec)
{
	struct websocket_reader *reader = mem_new(sizeof(*reader));

	reader->spec = *spec;
	if (spec->deflate && inflateInit2(&reader->inflater, -MAX_WBITS) != Z_OK)
		abort(); /* out of memory */
	return reader;
}

void websocket_reader_free(struct websocket_reader *reader)
{
	if (!reader)
		return;
	if (reader->spec.deflate)
		(void)inflateEnd(&reader->inflater);
	free(reader);
}

bool websocket_closed(const struct websocket_reader *reader)
{
	return reader->closed;
}

bool websocket_between_messages(const struct websocket_reader *reader)
{
	return !reader->message && !reader->head_bytes && !reader->in_payload;
}

static size_t utf8_length_of_lead(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/* Goes on with a character that an earlier part began. */
static bool utf8_goes_on(struct websocket_reader *reader, struct view bytes)
{
	for (size_t i = 0; i < bytes.length; i++) {
		size_t wanted;

		if (!reader->utf8_bytes && (unsigned char)bytes.at[i] < 0x80)
			continue;
		reader->utf8[reader->utf8_bytes++] = bytes.at[i];
		wanted = utf8_length_of_lead((unsigned char)reader->utf8[0]);
		if (!wanted)
			return false;
		if (reader->utf8_bytes < wanted)
			continue;
		if (view_utf8_length(view_make(reader->utf8, wanted)) != wanted)
			return false;
		reader->utf8_bytes = 0;
	}
	return true;
}

/* Hands a part of the message on. */
static int part_tell(struct websocket_reader *reader, struct view bytes, bool last, struct err *err)
{
	bool first = !reader->told;

	if (__builtin_add_overflow(reader->message_bytes, bytes.length, &reader->message_bytes) ||
	    (reader->spec.message_bytes_max && reader->message_bytes > reader->spec.message_bytes_max))
		return err_set(err, ERR_LIMIT, "a WebSocket message of more than %llu bytes",
			       (unsigned long long)reader->spec.message_bytes_max);
	if (reader->message == WEBSOCKET_TEXT && (!utf8_goes_on(reader, bytes) || (last && reader->utf8_bytes)))
		return err_set(err, ERR_INVALID, "a WebSocket text message that is not UTF-8");
	if (!bytes.length && !last)
		return 0;
	reader->told = true;
	reader->spec.events->data(reader->spec.self, reader->message, bytes, first, last);
	return 0;
}

static int part_inflate(struct websocket_reader *reader, struct view bytes, struct err *err)
{
	z_stream *inflater = &reader->inflater;
	bool full;

	inflater->next_in = (unsigned char *)(uintptr_t)bytes.at; /* zlib reads only */
	inflater->avail_in = (unsigned)bytes.length;
	do {
		size_t length;
		int result;

		inflater->next_out = reader->inflated;
		inflater->avail_out = PIECE_BYTES;
		result = inflate(inflater, Z_SYNC_FLUSH);
		if (result != Z_OK && result != Z_BUF_ERROR)
			return err_set(err, ERR_INVALID, "a WebSocket message that does not inflate");
		length = PIECE_BYTES - inflater->avail_out;
		full = !inflater->avail_out;
		if (part_tell(reader, view_make(reader->inflated, length), false, err))
			return -1;
		if (reader->message_bytes > WEBSOCKET_RATIO_FREE_BYTES &&
		    reader->message_bytes / WEBSOCKET_RATIO_MAX > reader->message_wire_bytes)
			return err_set(err, ERR_LIMIT, "a WebSocket message that inflates to over %d times its size",
				       WEBSOCKET_RATIO_MAX);
	} while (full || inflater->avail_in);
	return 0;
}

/* RFC 6455 7.4: what a close frame may say. */
static bool close_code_valid(unsigned code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

static int control_end(struct websocket_reader *reader, struct err *err)
{
	struct view payload = view_make(reader->control, reader->control_bytes);

	if (reader->frame == WEBSOCKET_CLOSE) {
		size_t at = 2;

		if (payload.length == 1 || (payload.length && !close_code_valid((unsigned)(unsigned char)payload.at[0] << 8 |
										(unsigned char)payload.at[1])))
			return err_set(err, ERR_INVALID, "a WebSocket close frame without a valid code");
		while (at < payload.length) {
			size_t length = view_utf8_length(view_make(payload.at + at, payload.length - at));

			if (!length)
				return err_set(err, ERR_INVALID, "a WebSocket close reason that is not UTF-8");
			at += length;
		}
		reader->closed = true;
	}
	reader->spec.events->control(reader->spec.self, reader->frame, payload);
	return 0;
}

static int message_end(struct websocket_reader *reader, struct err *err)
{
	if (reader->deflated) {
		if (part_inflate(reader, VIEW("\0\0\xff\xff"), err)) /* RFC 7692 7.2.2 */
			return -1;
		if (reader->spec.no_context_takeover && inflateReset(&reader->inflater) != Z_OK)
			return err_set(err, ERR_BROKEN, "the inflater cannot begin anew");
	}
	if (part_tell(reader, view_make("", 0), true, err))
		return -1;
	reader->message = 0;
	return 0;
}

static int frame_end(struct websocket_reader *reader, struct err *err)
{
	reader->in_payload = false;
	reader->head_bytes = 0;
	if (reader->frame >= WEBSOCKET_CLOSE)
		return control_end(reader, err);
	return reader->final ? message_end(reader, err) : 0;
}

/* RFC 6455 5.2, 5.4, 5.5; RFC 7692 6: what a frame may be after those before it. */
static int frame_judge(struct websocket_reader *reader, struct err *err)
{
	bool deflated = reader->head[0] & 0x40;
	bool control = reader->frame >= WEBSOCKET_CLOSE;

	if (reader->head[0] & 0x30 || (deflated && (!reader->spec.deflate || control || reader->frame == OPCODE_CONTINUATION)))
		return err_set(err, ERR_INVALID, "a WebSocket frame with a bit that was not agreed on");
	if (reader->frame > WEBSOCKET_PONG || (reader->frame > WEBSOCKET_BINARY && !control))
		return err_set(err, ERR_INVALID, "a WebSocket frame with the unknown opcode %u", reader->frame);
	if (control)
		return reader->final && reader->left <= WEBSOCKET_CONTROL_BYTES_MAX
			       ? 0
			       : err_set(err, ERR_INVALID, "a WebSocket control frame that is split or too long");
	if ((reader->frame == OPCODE_CONTINUATION) != (reader->message != 0))
		return err_set(err, ERR_INVALID, "a WebSocket frame that %s",
			       reader->message ? "begins a message within another" : "goes on with no message");
	if (reader->frame != OPCODE_CONTINUATION) {
		reader->message = reader->frame;
		reader->deflated = deflated;
		reader->told = false;
		reader->message_bytes = reader->message_wire_bytes = 0;
	}
	return 0;
}

static int frame_begin(struct websocket_reader *reader, struct err *err)
{
	unsigned length = reader->head[1] & 0x7f;
	size_t extra = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;

	reader->final = reader->head[0] & 0x80;
	reader->frame = reader->head[0] & 0x0f;
	reader->left = extra ? 0 : length;
	for (size_t i = 0; i < extra; i++)
		reader->left = reader->left << 8 | reader->head[2 + i];
	if ((extra == 2 && reader->left < LENGTH_16) || (extra == 8 && (reader->left < 65536 || reader->left >> 63)))
		return err_set(err, ERR_INVALID, "a WebSocket frame whose length is not written in the shortest way");
	if (frame_judge(reader, err))
		return -1;
	reader->in_payload = true;
	reader->mask_at = 0;
	reader->control_bytes = 0;
	return reader->left ? 0 : frame_end(reader, err);
}

/* Collects the head of a frame. Returns how many bytes were taken. */
static size_t head_feed(struct websocket_reader *reader, struct view bytes, bool *whole)
{
	size_t wanted = 2;
	size_t used = 0;

	*whole = false;
	while (used < bytes.length) {
		reader->head[reader->head_bytes++] = (unsigned char)bytes.at[used++];
		if (reader->head_bytes >= 2) {
			unsigned length = reader->head[1] & 0x7f;

			wanted = 2 +
				 (length == LENGTH_16   ? 2U
				  : length == LENGTH_64 ? 8U
							: 0U) +
				 (reader->head[1] & 0x80 ? 4U : 0U);
		}
		if (reader->head_bytes >= 2 && reader->head_bytes == wanted) {
			*whole = true;
			break;
		}
	}
	return used;
}

static struct view piece_unmask(struct websocket_reader *reader, struct view bytes)
{
	const unsigned char *mask = reader->head + reader->head_bytes - 4;

	if (!reader->spec.masked)
		return bytes;
	for (size_t i = 0; i < bytes.length; i++)
		reader->piece[i] = (unsigned char)bytes.at[i] ^ mask[reader->mask_at++ & 3];
	return view_make(reader->piece, bytes.length);
}

static size_t payload_feed(struct websocket_reader *reader, struct view bytes, int *failed, struct err *err)
{
	size_t used = bytes.length < PIECE_BYTES ? bytes.length : PIECE_BYTES;
	struct view plain;

	if (used > reader->left)
		used = (size_t)reader->left;
	plain = piece_unmask(reader, view_make(bytes.at, used));
	reader->left -= used;
	if (reader->frame >= WEBSOCKET_CLOSE) {
		memcpy(reader->control + reader->control_bytes, plain.at, plain.length);
		reader->control_bytes += plain.length;
	} else {
		reader->message_wire_bytes += used;
		*failed = reader->deflated ? part_inflate(reader, plain, err) : part_tell(reader, plain, false, err);
	}
	if (!*failed && !reader->left)
		*failed = frame_end(reader, err);
	return used;
}

int websocket_read(struct websocket_reader *reader, struct view bytes, struct err *err)
{
	int failed = 0;

	if (reader->broken)
		return err_set(err, ERR_INVALID, "the WebSocket broke before");
	while (!failed && bytes.length) {
		size_t used;
		bool whole;

		if (reader->closed) {
			failed = err_set(err, ERR_INVALID, "bytes after a WebSocket's close frame");
			break;
		}
		if (reader->in_payload) {
			used = payload_feed(reader, bytes, &failed, err);
		} else {
			used = head_feed(reader, bytes, &whole);
			if (reader->head_bytes >= 2 && (reader->head[1] & 0x80) != (reader->spec.masked ? 0x80 : 0))
				failed = err_set(err, ERR_INVALID, "a WebSocket frame that is %s masked",
						 reader->spec.masked ? "not" : "wrongly");
			else if (whole)
				failed = frame_begin(reader, err);
		}
		bytes = view_make(bytes.at + used, bytes.length - used);
	}
	reader->broken = failed;
	return failed;
}

void websocket_frame_write(struct buf *out, enum websocket_opcode opcode, bool first, bool last, const unsigned char *mask,
			   struct view payload)
{
	size_t extra = payload.length < LENGTH_16 ? 0 : payload.length < 65536 ? 2 : 8;
	char *at;

	buf_add_char(out, (char)((last ? 0x80U : 0U) | (first ? (unsigned)opcode : OPCODE_CONTINUATION)));
	buf_add_char(out, (char)((mask ? 0x80U : 0U) | (extra == 0   ? (unsigned)payload.length
							: extra == 2 ? (unsigned)LENGTH_16
								     : (unsigned)LENGTH_64)));
	for (size_t i = extra; i > 0; i--)
		buf_add_char(out, (char)(payload.length >> ((i - 1) * 8) & 0xff));
	if (!mask) {
		buf_add_view(out, payload);
		return;
	}
	buf_add(out, mask, 4);
	at = buf_reserve(out, payload.length);
	if (!at)
		return; /* over: buf_finish says so */
	for (size_t i = 0; i < payload.length; i++)
		at[i] = (char)((unsigned char)payload.at[i] ^ mask[i & 3]);
	buf_commit(out, payload.length);
}

/* The extension header. */

struct offer {
	bool known; /* permessage-deflate with parameters that are understood */
	bool server_fresh, client_fresh;
	bool client_bits;                              /* named */
	unsigned client_bits_value, server_bits_value; /* 0: none given */
};

/* 8 to 15, perhaps in quotes (RFC 7692 7.1.2). */
static bool bits_parse(struct view text, unsigned *bits)
{
	uint64_t number;

	if (text.length >= 2 && text.at[0] == '"' && text.at[text.length - 1] == '"')
		text = view_make(text.at + 1, text.length - 2);
	if (!view_to_u64(text, &number) || text.at[0] == '0' || number < 8 || number > 15)
		return false;
	*bits = (unsigned)number;
	return true;
}

/* One parameter; false when it is unknown, repeated or has a value that it may not have. */
static bool parameter_take(struct offer *offer, struct view name, struct view value)
{
	bool *flag = view_equal_nocase(name, VIEW("server_no_context_takeover"))   ? &offer->server_fresh
		     : view_equal_nocase(name, VIEW("client_no_context_takeover")) ? &offer->client_fresh
										   : NULL;

	if (flag) {
		bool taken = !*flag && !value.at;

		*flag = true;
		return taken;
	}
	if (view_equal_nocase(name, VIEW("client_max_window_bits"))) {
		bool taken = !offer->client_bits && (!value.at || bits_parse(value, &offer->client_bits_value));

		offer->client_bits = true;
		return taken;
	}
	return view_equal_nocase(name, VIEW("server_max_window_bits")) && !offer->server_bits_value && value.at &&
	       bits_parse(value, &offer->server_bits_value);
}

static int offer_parse(struct view text, struct offer *offer, struct err *err)
{
	struct view parameters;
	struct view name = view_trim(view_cut(text, ';', &parameters));

	*offer = (struct offer){.known = view_equal_nocase(name, VIEW("permessage-deflate"))};
	if (!http_token_valid(name))
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Extensions names no extension");
	while (parameters.at) {
		struct view value;
		struct view parameter = view_cut(parameters, ';', &parameters);
		struct view key = view_trim(view_cut(parameter, '=', &value));

		if (value.at)
			value = view_trim(value);
		if (!http_token_valid(key))
			return err_set(err, ERR_INVALID, "Sec-WebSocket-Extensions has a parameter without a name");
		offer->known = offer->known && parameter_take(offer, key, value);
	}
	return 0;
}

static void offer_write(const struct offer *offer, struct buf *out)
{
	buf_add_text(out, out->length ? ", permessage-deflate" : "permessage-deflate");
	if (offer->server_fresh)
		buf_add_text(out, "; server_no_context_takeover");
	if (offer->client_fresh)
		buf_add_text(out, "; client_no_context_takeover");
	if (offer->server_bits_value)
		buf_add_format(out, "; server_max_window_bits=%u", offer->server_bits_value);
	if (offer->client_bits_value)
		buf_add_format(out, "; client_max_window_bits=%u", offer->client_bits_value);
	else if (offer->client_bits)
		buf_add_text(out, "; client_max_window_bits");
}

int websocket_offers_filter(struct view value, struct buf *out, struct err *err)
{
	for (size_t count = 0; value.at; count++) {
		struct view text = view_trim(view_cut(value, ',', &value));
		struct offer offer;

		if (count == WEBSOCKET_OFFERS_MAX)
			return err_set(err, ERR_LIMIT, "more than %d extensions in Sec-WebSocket-Extensions", WEBSOCKET_OFFERS_MAX);
		if (!text.length)
			continue; /* RFC 9110 5.6.1: empty elements of a list */
		if (offer_parse(text, &offer, err))
			return -1;
		if (offer.known)
			offer_write(&offer, out);
	}
	return 0;
}

int websocket_deflate_parse(struct view value, struct websocket_deflate *deflate, struct err *err)
{
	struct offer offer;

	*deflate = (struct websocket_deflate){0};
	value = view_trim(value);
	if (!value.length)
		return 0;
	if (offer_parse(value, &offer, err))
		return -1;
	if (!offer.known || (offer.client_bits && !offer.client_bits_value))
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Extensions of the answer was not offered");
	*deflate = (struct websocket_deflate){true, offer.client_fresh, offer.server_fresh};
	return 0;
}

void websocket_accept_write(struct buf *out, struct view key)
{
	AUTO_BUF text = buf_new(1024);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	buf_add_view(&text, key);
	buf_add_text(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	/* A legacy digest that the RFC wants; it protects nothing. */
	if (EVP_Digest(text.at, text.length, digest, &length, EVP_sha1(), NULL) != 1)
		abort();
	buf_add_base64(out, digest, length);
}
