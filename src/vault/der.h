/*
 * der: writes ASN.1 DER (X.690) from the end to the front, so that every length is known when it is written. What does not fit is
 * remembered and reported at the end.
 */
#ifndef ASSAY_VAULT_DER_H
#define ASSAY_VAULT_DER_H

#include <stdbool.h>

#include "base/buf.h"

#define DER_BYTES_MAX 2048

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_UTF8_STRING = 0x0c,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
};

struct der {
	unsigned char bytes[DER_BYTES_MAX];
	size_t at; /* of the first byte written so far; DER_BYTES_MAX: none */
	bool over;
};

static inline void der_init(struct der *der)
{
	der->at = DER_BYTES_MAX;
	der->over = false;
}
void der_bytes(struct der *der, struct view bytes);
/* Makes what was written since `mark` (an earlier value of at) the content of one element. */
void der_wrap(struct der *der, unsigned tag, size_t mark);
void der_element(struct der *der, unsigned tag, struct view content);
void der_time(struct der *der, int64_t seconds); /* UTCTime until 2049, as RFC 5280 4.1.2.5 wants it */
static inline struct view der_view(const struct der *der)
{
	return view_make(der->bytes + der->at, DER_BYTES_MAX - der->at);
}

#endif
