/* Growing buffers with a maximum, borrowed views, and the few encodings everyone needs. */
#include "base/buf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"

bool view_ends(struct view a, struct view suffix)
{
	return a.length >= suffix.length && view_equal(view_make(a.at + (a.length - suffix.length), suffix.length), suffix);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct view view_trim(struct view a)
{
	while (a.length && is_blank(a.at[0])) {
		a.at++;
		a.length--;
	}
	while (a.length && is_blank(a.at[a.length - 1]))
		a.length--;
	return a;
}

struct view view_cut(struct view a, char by, struct view *rest)
{
	const char *found = a.length ? memchr(a.at, by, a.length) : NULL;
	size_t head;

	if (!found) {
		*rest = (struct view){NULL, 0};
		return a;
	}
	head = (size_t)(found - a.at);
	*rest = view_make(found + 1, a.length - head - 1);
	return view_make(a.at, head);
}

ptrdiff_t view_find(struct view haystack, struct view needle)
{
	const char *found;

	if (!needle.length)
		return 0;
	if (!haystack.length)
		return -1;
	found = memmem(haystack.at, haystack.length, needle.at, needle.length);
	return found ? found - haystack.at : -1;
}

bool view_to_u64(struct view a, uint64_t *number)
{
	uint64_t value = 0;

	if (!a.length)
		return false;
	for (size_t i = 0; i < a.length; i++) {
		if (a.at[i] < '0' || a.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(a.at[i] - '0'), &value))
			return false;
	}
	*number = value;
	return true;
}

size_t view_utf8_length(struct view a)
{
	const unsigned char *at = (const unsigned char *)a.at;
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t length;

	if (!a.length || (at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4)
		return 0;
	if (at[0] < 0x80)
		return 1;
	length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (a.length < length)
		return 0;
	if (at[0] == 0xe0)
		low = 0xa0;
	if (at[0] == 0xed)
		high = 0x9f;
	if (at[0] == 0xf0)
		low = 0x90;
	if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

uint32_t view_utf8_point(struct view a, size_t length)
{
	static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t point = (unsigned char)a.at[0] & first[length];

	for (size_t i = 1; i < length; i++)
		point = point << 6 | ((unsigned char)a.at[i] & 0x3f);
	return point;
}

char *view_copy(struct view a)
{
	char *text = mem_new(a.length + 1);

	if (a.length)
		memcpy(text, a.at, a.length);
	return text;
}

uint64_t view_hash(struct view a)
{
	uint64_t hash = 0xcbf29ce484222325U;

	for (size_t i = 0; i < a.length; i++) {
		hash ^= (unsigned char)a.at[i];
		hash *= 0x100000001b3U;
	}
	return hash;
}

struct buf buf_new(size_t length_max)
{
	return (struct buf){.length_max = length_max};
}

void buf_fini(struct buf *buf)
{
	free(buf->at);
	*buf = (struct buf){.length_max = buf->length_max};
}

void buf_borrow(struct buf *buf, struct buf_spares *spares)
{
	size_t length_max = buf->length_max;

	if (buf->at || !spares->count)
		return;
	*buf = spares->at[--spares->count];
	buf->length_max = length_max;
}

void buf_return(struct buf *buf, struct buf_spares *spares)
{
	if (!buf->at || buf->capacity > BUF_SPARE_BYTES_MAX || spares->count == BUF_SPARES_MAX) {
		buf_fini(buf);
		return;
	}
	spares->at[spares->count++] = (struct buf){.at = buf->at, .capacity = buf->capacity};
	*buf = (struct buf){.length_max = buf->length_max};
}

void buf_spares_fini(struct buf_spares *spares)
{
	while (spares->count)
		free(spares->at[--spares->count].at);
}

char *buf_reserve(struct buf *buf, size_t length)
{
	size_t wanted;
	size_t capacity;

	if (__builtin_add_overflow(buf->length, length, &wanted) || wanted > buf->length_max) {
		buf->over = true;
		return NULL;
	}
	if (wanted + 1 > buf->capacity) {
		capacity = buf->capacity ? buf->capacity : 64;
		while (capacity < wanted + 1)
			capacity *= 2;
		buf->at = mem_grow(buf->at, capacity, 1);
		buf->capacity = capacity;
	}
	return buf->at + buf->length;
}

void buf_commit(struct buf *buf, size_t length)
{
	buf->length += length;
	buf->at[buf->length] = '\0';
}

void buf_add(struct buf *buf, const void *at, size_t length)
{
	char *place = buf->at && length < buf->capacity - buf->length && length <= buf->length_max - buf->length
			      ? buf->at + buf->length
			      : buf_reserve(buf, length);

	if (!place)
		return;
	if (length)
		memcpy(place, at, length);
	buf_commit(buf, length);
}

void buf_add_view(struct buf *buf, struct view view)
{
	buf_add(buf, view.at, view.length);
}

void buf_add_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_add_number(struct buf *buf, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_add_format(struct buf *buf, const char *format, ...)
{
	size_t room = buf->capacity - buf->length; /* most texts fit into what is there */
	va_list args;
	va_list again;
	int length;
	char *place;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(room ? buf->at + buf->length : NULL, room, format, args);
	va_end(args);
	place = length < 0 ? NULL : buf_reserve(buf, (size_t)length);
	if (place) {
		if ((size_t)length >= room)
			(void)vsnprintf(place, (size_t)length + 1, format, again);
		buf->length += (size_t)length;
	} else if (room) {
		buf->at[buf->length] = '\0';
	}
	va_end(again);
}

void buf_drop_front(struct buf *buf, size_t length)
{
	if (length > buf->length)
		length = buf->length;
	if (!length)
		return;
	buf->length -= length;
	memmove(buf->at, buf->at + length, buf->length);
	buf->at[buf->length] = '\0';
}

void buf_cut(struct buf *buf, size_t length)
{
	if (length >= buf->length)
		return;
	buf->length = length;
	buf->at[length] = '\0';
}

void buf_clear(struct buf *buf)
{
	buf->length = 0;
	buf->over = false;
	if (buf->at)
		buf->at[0] = '\0';
}

int buf_finish(const struct buf *buf, struct err *err)
{
	if (buf->over)
		return err_set(err, ERR_LIMIT, "more than %zu bytes", buf->length_max);
	return 0;
}

char *buf_take(struct buf *buf)
{
	char *text = buf->at ? buf->at : mem_new(1);

	*buf = (struct buf){.length_max = buf->length_max};
	return text;
}

void buf_add_hex(struct buf *out, const void *at, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = at;

	for (size_t i = 0; i < length; i++) {
		buf_add_char(out, digits[bytes[i] >> 4]);
		buf_add_char(out, digits[bytes[i] & 15]);
	}
}

void buf_add_base64(struct buf *out, const void *at, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *bytes = at;

	for (size_t i = 0; i < length; i += 3) {
		size_t have = length - i < 3 ? length - i : 3;
		unsigned group = (unsigned)bytes[i] << 16;

		if (have > 1)
			group |= (unsigned)bytes[i + 1] << 8;
		if (have > 2)
			group |= bytes[i + 2];
		buf_add_char(out, digits[group >> 18]);
		buf_add_char(out, digits[(group >> 12) & 63]);
		buf_add_char(out, have > 1 ? digits[(group >> 6) & 63] : '=');
		buf_add_char(out, have > 2 ? digits[group & 63] : '=');
	}
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

int buf_add_unbase64(struct buf *out, struct view text, struct err *err)
{
	unsigned group = 0;
	unsigned digits = 0;

	while (text.length && text.at[text.length - 1] == '=')
		text.length--;
	for (size_t i = 0; i < text.length; i++) {
		int digit = base64_digit(text.at[i]);

		if (digit < 0)
			return err_set(err, ERR_INVALID, "not base64: byte %zu", i);
		group = (group << 6) | (unsigned)digit;
		if (++digits < 4)
			continue;
		buf_add_char(out, (char)(group >> 16));
		buf_add_char(out, (char)(group >> 8));
		buf_add_char(out, (char)group);
		group = 0;
		digits = 0;
	}
	if (digits == 1)
		return err_set(err, ERR_INVALID, "not base64: cut short");
	if (digits >= 2)
		buf_add_char(out, (char)(digits == 2 ? group >> 4 : group >> 10));
	if (digits == 3)
		buf_add_char(out, (char)(group >> 2));
	return 0;
}

void buf_add_html(struct buf *out, struct view text)
{
	for (size_t i = 0; i < text.length; i++) {
		switch (text.at[i]) {
		case '&':
			buf_add_text(out, "&amp;");
			break;
		case '<':
			buf_add_text(out, "&lt;");
			break;
		case '>':
			buf_add_text(out, "&gt;");
			break;
		case '"':
			buf_add_text(out, "&quot;");
			break;
		case '\'':
			buf_add_text(out, "&#39;");
			break;
		default:
			buf_add_char(out, text.at[i]);
		}
	}
}

void buf_add_shell(struct buf *out, struct view text)
{
	buf_add_char(out, '\'');
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '\'')
			buf_add_text(out, "'\\''");
		else
			buf_add_char(out, text.at[i]);
	}
	buf_add_char(out, '\'');
}

void buf_add_replaced(struct buf *out, struct view text, struct view from, struct view to)
{
	ptrdiff_t at;

	while ((at = view_find(text, from)) >= 0) {
		size_t past = (size_t)at + from.length;

		buf_add(out, text.at, (size_t)at);
		buf_add_view(out, to);
		text = view_make(text.at + past, text.length - past);
	}
	buf_add_view(out, text);
}

void buf_add_url(struct buf *out, struct view text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
			buf_add_char(out, (char)c);
		else
			buf_add_format(out, "%%%02X", c);
	}
}
