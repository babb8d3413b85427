/*
 * Compressed streams inside of binary text, wherever they begin: members of zip files (and so documents and jars), gzip, zlib (git's objects,
 * PDF, PNG) and zstd. What comes out is a text of its own, one layer deeper. What cannot be read for lack of a key or a decoder is said once.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "gateway/dlp/inflate.h"

#define CARVE_DEPTH_MAX 3
#define CARVE_MEMBERS_MAX 100000u
#define ZIP_HEAD ((size_t)30)
#define ZIP_NAMES_MAX ((size_t)2048)
#define OUT_BYTES ((size_t)16384)

struct carve {
	struct inflater *inflater; /* NULL: looking for the next one */
	struct node node;
	uint64_t at; /* of all that was fed: what is behind it was looked at */
};

static unsigned le16(const char *at)
{
	return (unsigned char)at[0] | (unsigned)(unsigned char)at[1] << 8;
}

/* A zip member's local head (APPNOTE 4.3.7): the offset of its data when that is deflated; 0: none, -1: more bytes are needed. */
static ptrdiff_t zip_data(struct view text, struct dlp_message *message, const char *view)
{
	size_t names;

	if (text.length < ZIP_HEAD)
		return -1;
	names = (size_t)le16(text.at + 26) + le16(text.at + 28);
	if (le16(text.at + 6) & 1)
		dlp_finding_own(message, "opaque-archive", "a member of an archive is encrypted", DLP_LOG, view);
	if (le16(text.at + 8) != 8 || names > ZIP_NAMES_MAX)
		return 0;
	return text.length < ZIP_HEAD + names ? -1 : (ptrdiff_t)(ZIP_HEAD + names);
}

static void note_opaque(struct node *node, struct view text)
{
	static const struct view magics[] = {VIEW("7z\xbc\xaf\x27\x1c"), VIEW("Rar!\x1a\x07"),
					     VIEW("\xfd"
						  "7zXZ\0"),
					     VIEW("\x04\x22\x4d\x18")};

	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (view_starts(text, magics[i]))
			dlp_finding_own(node->message, "opaque-archive", "an archive of a kind that is not read", DLP_LOG,
					node->view);
}

/* What stream_begins() has something to say about: of binary data most bytes are none of them. */
static bool may_begin(char c)
{
	static const bool first[256] = {
		['P'] = true,  [0x1f] = true, [0x28] = true, ['7'] = true,  ['R'] = true,  [0xfd] = true, [4] = true,
		[0x08] = true, [0x18] = true, [0x38] = true, [0x48] = true, [0x58] = true, [0x68] = true, [0x78] = true};

	return first[(unsigned char)c];
}

/* Does a stream begin here? Its coding, and where its data begins; *short_of: it may, but more bytes are needed to say. */
static enum coding stream_begins(struct node *node, struct view text, size_t *data, bool *short_of)
{
	unsigned char first = (unsigned char)text.at[0], second = text.length > 1 ? (unsigned char)text.at[1] : 0;
	ptrdiff_t offset;

	*data = 0;
	*short_of = text.length < 4;
	if (first == 'P' && view_starts(text, VIEW("PK\3\4"))) {
		offset = zip_data(text, node->message, node->view);
		*short_of = offset < 0;
		*data = offset > 0 ? (size_t)offset : 0;
		return offset > 0 ? CODING_RAW : CODING_NONE;
	}
	if (first == 0x1f && second == 0x8b && text.length > 3 && text.at[2] == 8 && !((unsigned char)text.at[3] & 0xe0))
		return CODING_GZIP;
	if (first == 0x28 && view_starts(text, VIEW("\x28\xb5\x2f\xfd")))
		return CODING_ZSTD;
	if ((first & 0x0f) == 8 && first >> 4 <= 7 && text.length > 1 && (first << 8 | second) % 31 == 0 && !(second & 0x20))
		return CODING_ZLIB;
	if (first == '7' || first == 'R' || first == 0xfd || first == 4)
		note_opaque(node, text);
	return CODING_NONE;
}

static const char *view_of_coding(enum coding coding)
{
	return coding == CODING_RAW ? "archive" : coding == CODING_GZIP ? "gzip" : coding == CODING_ZSTD ? "zstd" : "zlib";
}

static void member_end(struct carve *carve)
{
	node_look(&carve->node, true);
	node_fini(&carve->node);
	inflater_free(TAKE(carve->inflater));
}

static void member_begin(struct node *node, enum coding coding)
{
	node->carve->inflater = inflater_new(coding);
	node_init(&node->carve->node, node->message, node->depth + 1, view_of_coding(coding));
}

/* Gives `text` to the member that is open; returns what it took. */
static size_t member_feed(struct node *node, struct view text)
{
	struct carve *carve = node->carve;
	struct view rest = text;
	char out[OUT_BYTES];

	for (;;) {
		size_t made, before = rest.length;
		enum inflated result = inflater_run(carve->inflater, &rest, out, sizeof out, &made);

		node->message->inflated += made;
		node_feed(&carve->node, view_make(out, made));
		if (result == INFLATED_LIMIT || node->message->inflated > INFLATE_BYTES_MAX) {
			dlp_finding_own(node->message, "too-much", "what is compressed in it becomes too large", DLP_BLOCK,
					node->view);
			result = INFLATED_END;
		}
		if (result != INFLATED_MORE) {
			member_end(carve);
			/* Only what was whole is counted: any 100 MB of noise have tens of thousands of beginnings. */
			if (result == INFLATED_END && ++node->message->members > CARVE_MEMBERS_MAX)
				dlp_finding_own(node->message, "too-much", "an archive of too many members", DLP_BLOCK, node->view);
			/* It only looked like one: the next may begin inside of it. There is progress, whatever the decoder took. */
			if (result == INFLATED_BROKEN)
				return text.length < 2 ? text.length : 2;
			break;
		}
		if (made < sizeof out && (!rest.length || rest.length == before))
			break;
	}
	return text.length - rest.length;
}

/* Control characters are what text does not have, but for tabs, ends of lines and pages. */
static bool is_binary(struct view text)
{
	typedef unsigned char vector __attribute__((vector_size(16)));
	typedef unsigned long long halves __attribute__((vector_size(16)));
	vector controls = {0}, here;
	halves both;
	size_t at = 0;

	for (; at + sizeof here <= text.length; at += sizeof here) {
		memcpy(&here, text.at + at, sizeof here);
		controls |= (vector)(here < 9) | (vector)(here - 0x0e < 0x12);
	}
	both = (halves)controls;
	for (; at < text.length; at++)
		both[0] |= (unsigned char)text.at[at] < 9 || (unsigned char)(text.at[at] - 0x0e) < 0x12;
	return (both[0] | both[1]) != 0;
}

static void carve_run(struct node *node, struct view text, size_t at)
{
	struct carve *carve = node->carve;

	while (at < text.length && node->message->action < DLP_BLOCK) {
		enum coding coding;
		bool short_of;
		size_t data;

		if (carve->inflater) {
			at += member_feed(node, view_make(text.at + at, text.length - at));
			continue;
		}
		if (!may_begin(text.at[at])) {
			at++;
			continue;
		}
		coding = stream_begins(node, view_make(text.at + at, text.length - at), &data, &short_of);
		if (coding != CODING_NONE) {
			at += data;
			member_begin(node, coding);
		} else if (short_of && text.length - at < ZIP_HEAD + ZIP_NAMES_MAX) {
			break; /* looked at again with the next block */
		} else {
			at++;
		}
	}
	carve->at = node->base + at;
}

void carve_feed(struct node *node, bool end)
{
	struct view text = view_make(node->text ? node->text : "", node->length);
	size_t at;

	if (node->depth >= CARVE_DEPTH_MAX)
		return;
	if (!node->carve) {
		if (!is_binary(text))
			return;
		node->carve = mem_new(sizeof *node->carve);
		node->carve->at = node->base;
	}
	at = node->carve->at > node->base ? (size_t)(node->carve->at - node->base) : 0;
	carve_run(node, text, at);
	if (end && node->carve->inflater)
		member_end(node->carve);
}

void carve_free(struct carve *carve)
{
	if (!carve)
		return;
	if (carve->inflater) {
		node_fini(&carve->node);
		inflater_free(carve->inflater);
	}
	free(carve);
}
