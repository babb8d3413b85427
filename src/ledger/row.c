/* A row and its record: bytes for the disk, with nothing in them that a terminal or a line reader would obey. */
#include "ledger/row.h"

#include <stdio.h>

#include "base/scope.h"

_Static_assert(sizeof(struct ledger_record) == 112, "the record's head is part of the format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they are in memory");

#define HIDDEN_MARK "[hidden]"
#define ESCAPED_BYTES 4 /* \xNN */

static const uint16_t text_max[LEDGER_TEXTS] = {
	[LEDGER_ENV] = 64,    [LEDGER_RUN] = 64,    [LEDGER_SANDBOX] = 64, [LEDGER_AGENT] = 32,  [LEDGER_HOST] = 256,
	[LEDGER_METHOD] = 32, [LEDGER_PATH] = 2048, [LEDGER_RULE] = 128,   [LEDGER_ACTOR] = 128, [LEDGER_DETAIL] = 2048,
};

static const char *const kind_names[LEDGER_KIND_END] = {
	[LEDGER_GENESIS] = "genesis", [LEDGER_HEAD] = "head",       [LEDGER_CLOSE] = "close",     [LEDGER_LOST] = "lost",
	[LEDGER_INTENT] = "intent",   [LEDGER_OUTCOME] = "outcome", [LEDGER_VERDICT] = "verdict", [LEDGER_FINDING] = "finding",
	[LEDGER_HOLD] = "hold",       [LEDGER_ANSWER] = "answer",   [LEDGER_RELEASE] = "release", [LEDGER_SECRET] = "secret",
	[LEDGER_POLICY] = "policy",   [LEDGER_KILL] = "kill",       [LEDGER_BUDGET] = "budget",
};

static const char *const text_names[LEDGER_TEXTS] = {
	[LEDGER_ENV] = "env",     [LEDGER_RUN] = "run",       [LEDGER_SANDBOX] = "sandbox", [LEDGER_AGENT] = "agent",
	[LEDGER_HOST] = "host",   [LEDGER_METHOD] = "method", [LEDGER_PATH] = "path",       [LEDGER_RULE] = "rule",
	[LEDGER_ACTOR] = "actor", [LEDGER_DETAIL] = "detail",
};

const char *ledger_kind_name(enum ledger_kind kind)
{
	return (size_t)kind < ARRAY_LEN(kind_names) ? kind_names[kind] : NULL;
}

enum ledger_kind ledger_kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++)
		if (kind_names[i] && strcmp(kind_names[i], name) == 0)
			return (enum ledger_kind)i;
	return (enum ledger_kind)0;
}

const char *ledger_text_name(enum ledger_text text)
{
	return text_names[text];
}

/* ---- texts ---- */

struct writing {
	unsigned char *at;
	size_t length;
	size_t length_max;
	bool cut;
};

/* Characters that show nothing but move or reorder what is shown: C1 controls, zero-width and bidirectional marks, line separators,
 * the byte order mark and tags. `length` is of a valid UTF-8 sequence. */
static bool character_hides(const unsigned char *at, size_t length)
{
	unsigned code;

	if (length == 2)
		return at[0] == 0xc2 && (at[1] < 0xa0 || at[1] == 0xad);
	if (length == 4)
		return at[0] == 0xf3 && at[1] == 0xa0;
	code = (unsigned)(at[0] & 15) << 12 | (unsigned)(at[1] & 63) << 6 | (unsigned)(at[2] & 63);
	return (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
	       code == 0x061c || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb);
}

static void writing_add(struct writing *out, const void *at, size_t length)
{
	if (out->cut || length > out->length_max - out->length) {
		out->cut = true;
		return;
	}
	memcpy(out->at + out->length, at, length);
	out->length += length;
}

static void writing_escape(struct writing *out, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	const char text[ESCAPED_BYTES] = {'\\', 'x', digits[c >> 4], digits[c & 15]};

	writing_add(out, text, sizeof(text));
}

/* The bytes at the front that can be kept as they are. A backslash is doubled, so that an escape is never a claim of the sender. */
static size_t plain_length(const unsigned char *at, size_t length)
{
	size_t i = 0;

	while (i < length && at[i] >= ' ' && at[i] < 0x7f && at[i] != '\\')
		i++;
	return i;
}

static void writing_text(struct writing *out, struct view text)
{
	const unsigned char *at = (const unsigned char *)text.at;
	size_t left = text.length;

	while (left && !out->cut) {
		size_t plain = plain_length(at, left);
		size_t length;

		if (plain > out->length_max - out->length) {
			writing_add(out, at, out->length_max - out->length);
			out->cut = true;
			return;
		}
		writing_add(out, at, plain);
		at += plain;
		left -= plain;
		if (!left)
			return;
		length = view_utf8_length(view_make(at, left));
		if (*at == '\\')
			writing_add(out, "\\\\", 2);
		else if (length > 1 && !character_hides(at, length))
			writing_add(out, at, length);
		else
			for (size_t i = 0; i < (length ? length : 1); i++)
				writing_escape(out, at[i]);
		at += length ? length : 1;
		left -= length ? length : 1;
	}
}

static void writing_path(struct writing *out, const struct ledger_row *row)
{
	struct view path = row->texts[LEDGER_PATH];
	size_t done = 0;

	for (size_t i = 0; i < row->hidden_count; i++) {
		size_t from = row->hidden[i].at < path.length ? row->hidden[i].at : path.length;
		size_t length = row->hidden[i].length < path.length - from ? row->hidden[i].length : path.length - from;

		if (from > done)
			writing_text(out, view_make(path.at + done, from - done));
		writing_add(out, HIDDEN_MARK, sizeof(HIDDEN_MARK) - 1);
		if (from + length > done)
			done = from + length;
	}
	if (done < path.length)
		writing_text(out, view_make(path.at + done, path.length - done));
}

size_t ledger_row_encode(const struct ledger_row *row, unsigned char out[LEDGER_RECORD_BYTES_MAX])
{
	struct ledger_record *record = (struct ledger_record *)(void *)out;
	size_t at = sizeof(*record);
	size_t padded;

	*record = (struct ledger_record){.kind = (uint16_t)row->kind,
					 .request = row->request,
					 .sent_bytes = row->sent_bytes,
					 .received_bytes = row->received_bytes,
					 .duration_us = row->duration_us,
					 .offset = row->offset,
					 .port = row->port,
					 .status = row->status};
	memcpy(record->digest, row->digest, sizeof(record->digest));
	for (size_t i = 0; i < LEDGER_TEXTS; i++) {
		struct writing writing = {.at = out + at, .length_max = text_max[i]};

		if (i == LEDGER_PATH && row->hidden_count) {
			writing_path(&writing, row);
			record->flags |= LEDGER_HIDDEN;
		} else {
			writing_text(&writing, row->texts[i]);
		}
		if (writing.cut)
			record->flags |= LEDGER_CUT;
		record->texts[i] = (uint16_t)writing.length;
		at += writing.length;
	}
	padded = (at + 7) & ~(size_t)7;
	memset(out + at, 0, padded - at + LEDGER_CHAIN_BYTES);
	record->bytes = (uint32_t)(padded + LEDGER_CHAIN_BYTES);
	return record->bytes;
}

/* Is `text` as writing_text() leaves it? */
static bool text_clean(struct view text)
{
	const unsigned char *at = (const unsigned char *)text.at;

	for (size_t i = 0; i < text.length;) {
		size_t length = at[i] < 0x80 ? 1 : view_utf8_length(view_make(at + i, text.length - i));

		if (length == 0 || (length == 1 && (at[i] < ' ' || at[i] == 0x7f)) ||
		    (length > 1 && character_hides(at + i, length)))
			return false;
		i += length;
	}
	return true;
}

int ledger_row_decode(struct view bytes, struct ledger_record *record, struct ledger_row *row, struct err *err)
{
	size_t at = sizeof(*record);
	size_t end;

	if (bytes.length < LEDGER_RECORD_BYTES_MIN)
		return err_set(err, ERR_BROKEN, "a record is cut off after %zu bytes", bytes.length);
	memcpy(record, bytes.at, sizeof(*record));
	if (record->bytes < LEDGER_RECORD_BYTES_MIN || record->bytes > LEDGER_RECORD_BYTES_MAX || record->bytes % 8)
		return err_set(err, ERR_BROKEN, "what stands there is no record");
	if (record->bytes > bytes.length)
		return err_set(err, ERR_BROKEN, "a record of %u bytes is cut off after %zu", record->bytes, bytes.length);
	if (!ledger_kind_name((enum ledger_kind)record->kind) || (record->flags & ~(LEDGER_CUT | LEDGER_HIDDEN)))
		return err_set(err, ERR_BROKEN, "a record has a kind or flags that there are not");
	*row = (struct ledger_row){.kind = (enum ledger_kind)record->kind,
				   .request = record->request,
				   .port = record->port,
				   .status = record->status,
				   .sent_bytes = record->sent_bytes,
				   .received_bytes = record->received_bytes,
				   .duration_us = record->duration_us,
				   .offset = record->offset};
	memcpy(row->digest, record->digest, sizeof(row->digest));
	end = record->bytes - LEDGER_CHAIN_BYTES;
	for (size_t i = 0; i < LEDGER_TEXTS; i++) {
		if (record->texts[i] > text_max[i] || record->texts[i] > end - at)
			return err_set(err, ERR_BROKEN, "a record's texts are longer than it");
		row->texts[i] = view_make(bytes.at + at, record->texts[i]);
		if (!text_clean(row->texts[i]))
			return err_set(err, ERR_BROKEN, "a record's `%s` holds what is never written", text_names[i]);
		at += record->texts[i];
	}
	if (end - at > 7)
		return err_set(err, ERR_BROKEN, "a record is longer than its texts");
	for (; at < end; at++)
		if (bytes.at[at])
			return err_set(err, ERR_BROKEN, "a record's padding is not empty");
	return 0;
}

void ledger_request_format(uint64_t request, char text[LEDGER_REQUEST_TEXT_MAX])
{
	(void)snprintf(text, LEDGER_REQUEST_TEXT_MAX, "q%llx", (unsigned long long)request);
}

int ledger_request_parse(struct view text, uint64_t *request, struct err *err)
{
	uint64_t number = 0;

	if (text.length < 2 || text.length > 17 || text.at[0] != 'q')
		return err_set(err, ERR_INVALID, "`%.*s` is no request of the ledger: q and hexadecimal digits are expected",
			       (int)(text.length < 40 ? text.length : 40), text.at);
	for (size_t i = 1; i < text.length; i++) {
		char c = text.at[i];
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;

		if (digit > 15)
			return err_set(err, ERR_INVALID, "`%.*s` is no request of the ledger", (int)text.length, text.at);
		number = number << 4 | digit;
	}
	*request = number;
	return 0;
}
