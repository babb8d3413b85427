/*
 * dns: the few bytes of DNS (RFC 1035) that a stub resolver asks and gets: one question in, addresses of our own out. Strict: whatever
 * is not one plain query of class IN gives no answer at all, or an error code. Nothing is ever asked of anybody else.
 */
#ifndef ASSAY_GATEWAY_DNS_H
#define ASSAY_GATEWAY_DNS_H

#include "base/buf.h"

#define DNS_MESSAGE_MAX 512
#define DNS_NAME_MAX 254 /* with its NUL, as text without the last dot */
#define DNS_TTL_SECONDS 60

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28 };
enum dns_code { DNS_OK = 0, DNS_FORMAT = 1, DNS_FAILURE = 2, DNS_NO_NAME = 3, DNS_NOT_IMPLEMENTED = 4, DNS_REFUSED = 5 };

struct dns_query {
	uint16_t id;
	uint16_t type;
	bool recursion;
	char name[DNS_NAME_MAX];                  /* lower case, labels of letters, digits, `-` and `_` */
	unsigned char question[DNS_NAME_MAX + 6]; /* as it came, to be repeated in the answer */
	size_t question_length;
};

/* DNS_OK: the query is understood. Another code: answer with it (query->id and question are set as far as known). -1: too short or no
 * query at all, not to be answered. */
int dns_query_parse(struct view message, struct dns_query *query);
/* One message: `count` addresses (host byte order) for type A, or the name for PTR, or none. */
void dns_answer_format(struct buf *out, const struct dns_query *query, enum dns_code code, const uint32_t *addresses, size_t count,
		       const char *pointer);

#endif
