/* zlib, brotli and zstd behind one function with one set of bounds. */
#include "gateway/dlp/inflate.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/scope.h"

struct inflater {
	enum coding coding;
	z_stream z;
	BrotliDecoderState *brotli;
	ZSTD_DCtx *zstd;
	uint64_t in_total, out_total;
	unsigned members;
	unsigned char head; /* the first byte of DEFLATE, until the second says what it is */
	bool head_kept;
	bool between; /* a member has ended */
	bool over;
};

bool coding_parse(struct view name, enum coding *coding)
{
	static const struct {
		struct view name;
		enum coding coding;
	} rows[] = {
		{VIEW("gzip"), CODING_GZIP}, {VIEW("x-gzip"), CODING_GZIP}, {VIEW("deflate"), CODING_DEFLATE},
		{VIEW("br"), CODING_BROTLI}, {VIEW("zstd"), CODING_ZSTD},   {VIEW("identity"), CODING_NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_equal_nocase(name, rows[i].name)) {
			*coding = rows[i].coding;
			return true;
		}
	return false;
}

static void zlib_begin(struct inflater *inflater, int window)
{
	if (inflateInit2(&inflater->z, window) != Z_OK)
		abort(); /* no memory */
}

struct inflater *inflater_new(enum coding coding)
{
	struct inflater *inflater = mem_new(sizeof *inflater);

	inflater->coding = coding;
	inflater->members = 1;
	switch (coding) {
	case CODING_GZIP:
		zlib_begin(inflater, 15 + 16);
		break;
	case CODING_ZLIB:
		zlib_begin(inflater, 15);
		break;
	case CODING_RAW:
		zlib_begin(inflater, -15);
		break;
	case CODING_BROTLI:
		inflater->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		if (!inflater->brotli)
			abort();
		break;
	case CODING_ZSTD:
		inflater->zstd = ZSTD_createDCtx();
		if (!inflater->zstd ||
		    ZSTD_isError(ZSTD_DCtx_setParameter(inflater->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG)))
			abort();
		break;
	case CODING_NONE:
	case CODING_DEFLATE:
		break;
	}
	return inflater;
}

void inflater_free(struct inflater *inflater)
{
	if (!inflater)
		return;
	if (inflater->z.state)
		(void)inflateEnd(&inflater->z);
	if (inflater->brotli)
		BrotliDecoderDestroyInstance(inflater->brotli);
	(void)ZSTD_freeDCtx(inflater->zstd);
	free(inflater);
}

static enum inflated run_zlib_bytes(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	size_t take = in->length < ((size_t)1 << 30) ? in->length : (size_t)1 << 30;
	int result;

	inflater->z.next_in = (Bytef *)(uintptr_t)in->at;
	inflater->z.avail_in = (uInt)take;
	inflater->z.next_out = (Bytef *)out + *made;
	inflater->z.avail_out = (uInt)(room - *made);
	result = inflate(&inflater->z, Z_NO_FLUSH);
	*in = view_make(in->at + (take - inflater->z.avail_in), in->length - (take - inflater->z.avail_in));
	*made = room - inflater->z.avail_out;
	if (result == Z_STREAM_END)
		return INFLATED_END;
	return result == Z_OK || result == Z_BUF_ERROR ? INFLATED_MORE : INFLATED_BROKEN;
}

/* RFC 9110 says zlib's format; some senders mean the bare one. The first two bytes tell. */
static enum inflated run_deflate(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	enum inflated result;
	unsigned char pair[2];
	struct view first;
	bool zlib;

	if (!inflater->head_kept) {
		inflater->head = (unsigned char)in->at[0];
		inflater->head_kept = true;
		*in = view_make(in->at + 1, in->length - 1);
	}
	if (!in->length)
		return INFLATED_MORE;
	pair[0] = inflater->head;
	pair[1] = (unsigned char)in->at[0];
	zlib = (pair[0] & 0x0f) == 8 && pair[0] >> 4 <= 7 && (pair[0] << 8 | pair[1]) % 31 == 0;
	inflater->coding = zlib ? CODING_ZLIB : CODING_RAW;
	zlib_begin(inflater, zlib ? 15 : -15);
	first = view_make(pair, 1);
	result = run_zlib_bytes(inflater, &first, out, room, made);
	return result == INFLATED_MORE ? run_zlib_bytes(inflater, in, out, room, made) : result;
}

/* Members follow each other; anything else behind one is not the stream's. */
static enum inflated run_gzip(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	for (;;) {
		enum inflated result;

		if (inflater->between) {
			if (!in->length)
				return INFLATED_MORE;
			if ((unsigned char)in->at[0] != 0x1f)
				return INFLATED_END;
			if (++inflater->members > INFLATE_MEMBERS_MAX)
				return INFLATED_LIMIT;
			(void)inflateReset(&inflater->z);
			inflater->between = false;
		}
		result = run_zlib_bytes(inflater, in, out, room, made);
		if (result != INFLATED_END)
			return result;
		inflater->between = true;
		if (*made == room)
			return INFLATED_MORE;
	}
}

static enum inflated run_brotli(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	const uint8_t *next_in = (const uint8_t *)in->at;
	uint8_t *next_out = (uint8_t *)out;
	size_t in_left = in->length, out_left = room;
	BrotliDecoderResult result = BrotliDecoderDecompressStream(inflater->brotli, &in_left, &next_in, &out_left, &next_out,
								   NULL);

	*in = view_make(next_in, in_left);
	*made = room - out_left;
	if (result == BROTLI_DECODER_RESULT_SUCCESS)
		return INFLATED_END;
	return result == BROTLI_DECODER_RESULT_ERROR ? INFLATED_BROKEN : INFLATED_MORE;
}

static enum inflated run_zstd(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	ZSTD_inBuffer source = {in->at, in->length, 0};
	ZSTD_outBuffer target = {out, room, 0};
	enum inflated answer = INFLATED_MORE;

	for (;;) {
		size_t source_before = source.pos, target_before = target.pos, left;

		if (inflater->between && source.pos < source.size) {
			unsigned char c = (unsigned char)in->at[source.pos];

			/* The first byte of a frame, or of a skippable one. */
			if (c != 0x28 && (c & 0xf0) != 0x50) {
				answer = INFLATED_END;
				break;
			}
			if (++inflater->members > INFLATE_MEMBERS_MAX) {
				answer = INFLATED_LIMIT;
				break;
			}
			inflater->between = false;
		}
		left = ZSTD_decompressStream(inflater->zstd, &target, &source);
		if (ZSTD_isError(left)) {
			answer = ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge ? INFLATED_LIMIT
												     : INFLATED_BROKEN;
			break;
		}
		inflater->between = left == 0;
		if (target.pos == target.size || (source.pos == source.size && target.pos == target_before) ||
		    (source.pos == source_before && target.pos == target_before))
			break;
	}
	*in = view_make(in->at + source.pos, in->length - source.pos);
	*made = target.pos;
	return answer;
}

static enum inflated run_any(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	switch (inflater->coding) {
	case CODING_GZIP:
		return run_gzip(inflater, in, out, room, made);
	case CODING_DEFLATE:
		return in->length ? run_deflate(inflater, in, out, room, made) : INFLATED_MORE;
	case CODING_ZLIB:
	case CODING_RAW:
		return run_zlib_bytes(inflater, in, out, room, made);
	case CODING_BROTLI:
		return run_brotli(inflater, in, out, room, made);
	case CODING_ZSTD:
		return run_zstd(inflater, in, out, room, made);
	case CODING_NONE:
		break;
	}
	return INFLATED_BROKEN;
}

enum inflated inflater_run(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made)
{
	size_t before = in->length;
	enum inflated result;

	*made = 0;
	if (inflater->over)
		return INFLATED_END;
	result = run_any(inflater, in, out, room, made);
	inflater->in_total += before - in->length;
	inflater->out_total += *made;
	inflater->over = result != INFLATED_MORE;
	if (inflater->out_total > INFLATE_BYTES_MAX ||
	    (inflater->out_total > INFLATE_RATIO_AFTER && inflater->out_total / INFLATE_RATIO_MAX > inflater->in_total))
		result = INFLATED_LIMIT;
	return result;
}

bool inflater_whole(const struct inflater *inflater)
{
	return inflater->over || inflater->between;
}
