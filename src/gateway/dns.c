/* DNS messages. */
#include "gateway/dns.h"

#include <ctype.h>

#define HEADER_BYTES 12
#define CLASS_IN 1
#define FLAG_RESPONSE 0x8000u
#define FLAG_AUTHORITATIVE 0x0400u
#define FLAG_RECURSION_WANTED 0x0100u
#define FLAG_RECURSION_THERE 0x0080u

static unsigned u16_at(const char *at)
{
	return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

static void u16_add(struct buf *out, unsigned value)
{
	buf_add_char(out, (char)(value >> 8));
	buf_add_char(out, (char)value);
}

static void u32_add(struct buf *out, uint32_t value)
{
	u16_add(out, value >> 16);
	u16_add(out, value & 0xffff);
}

static bool name_byte_valid(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '_';
}

/* The labels at the front of `bytes` as text; *used is their length. Compression has no place in a question. */
static int name_parse(struct view bytes, char name[DNS_NAME_MAX], size_t *used)
{
	size_t length = 0;
	size_t at = 0;

	while (at < bytes.length && bytes.at[at]) {
		size_t label = (unsigned char)bytes.at[at++];

		if (label > 63 || at + label > bytes.length || length + label + 2 > DNS_NAME_MAX)
			return -1;
		if (length)
			name[length++] = '.';
		for (size_t i = 0; i < label; i++, at++) {
			if (!name_byte_valid((unsigned char)bytes.at[at]))
				return -1;
			name[length++] = (char)tolower((unsigned char)bytes.at[at]);
		}
	}
	name[length] = '\0';
	*used = at + 1;
	return at < bytes.length ? 0 : -1;
}

int dns_query_parse(struct view message, struct dns_query *query)
{
	unsigned flags;
	size_t used;

	*query = (struct dns_query){0};
	if (message.length < HEADER_BYTES)
		return -1;
	query->id = (uint16_t)u16_at(message.at);
	flags = u16_at(message.at + 2);
	if (flags & FLAG_RESPONSE)
		return -1;
	query->recursion = flags & FLAG_RECURSION_WANTED;
	if ((flags >> 11 & 15) != 0)
		return DNS_NOT_IMPLEMENTED;
	/* One question, no answers, no authority; an additional record is EDNS, which needs no answer. */
	if (u16_at(message.at + 4) != 1 || u16_at(message.at + 6) || u16_at(message.at + 8) || u16_at(message.at + 10) > 1)
		return DNS_FORMAT;
	message = view_make(message.at + HEADER_BYTES, message.length - HEADER_BYTES);
	if (name_parse(message, query->name, &used) || used + 4 > message.length)
		return DNS_FORMAT;
	query->type = (uint16_t)u16_at(message.at + used);
	query->question_length = used + 4;
	memcpy(query->question, message.at, query->question_length);
	return u16_at(message.at + used + 2) == CLASS_IN ? DNS_OK : DNS_REFUSED;
}

static void record_add(struct buf *out, unsigned type, size_t data_length)
{
	u16_add(out, 0xc000 | HEADER_BYTES); /* the name of the question */
	u16_add(out, type);
	u16_add(out, CLASS_IN);
	u32_add(out, DNS_TTL_SECONDS);
	u16_add(out, (unsigned)data_length);
}

static void pointer_add(struct buf *out, const char *name)
{
	struct view rest = view_of(name);

	record_add(out, DNS_PTR, strlen(name) + 2);
	while (rest.at) {
		struct view label = view_cut(rest, '.', &rest);

		buf_add_char(out, (char)label.length);
		buf_add_view(out, label);
	}
	buf_add_char(out, '\0');
}

void dns_answer_format(struct buf *out, const struct dns_query *query, enum dns_code code, const uint32_t *addresses, size_t count,
		       const char *pointer)
{
	size_t answers = code != DNS_OK ? 0 : pointer ? 1 : count;

	u16_add(out, query->id);
	u16_add(out, FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_THERE | (query->recursion ? FLAG_RECURSION_WANTED : 0) |
			     (unsigned)code);
	u16_add(out, query->question_length ? 1 : 0);
	u16_add(out, (unsigned)answers);
	u32_add(out, 0);
	buf_add(out, query->question, query->question_length);
	if (!answers)
		return;
	if (pointer) {
		pointer_add(out, pointer);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		record_add(out, DNS_A, 4);
		u32_add(out, addresses[i]);
	}
}
