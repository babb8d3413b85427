/*
 * mask: what is put in a value's place. The same value with the same key and kind always gives the same, whatever column, database or
 * engine it is in, so what joined joins. Kinds that keep a value's form (phone, card, token, text, number, date) are permutations of
 * the values of that form: what differed differs, lengths and patterns stay. Nothing here stores or logs a value.
 */
#ifndef ASSAY_DATA_MASK_H
#define ASSAY_DATA_MASK_H

#include "base/digest.h"
#include "blueprint/blueprint.h"

#define MASK_VALUE_MAX ((size_t)32 << 20)

struct mask_place {
	int64_t length_max; /* characters that fit there; 0: any */
	int64_t number_max; /* of the column's type; 0: any */
	bool unique;        /* two values must not become one */
};

/* Appends what stands for `value`. ERR_INVALID when the kind cannot (a date that is none, an e-mail where 3 characters fit); the error
 * never quotes the value. Not for MASK_KEEP and MASK_NULL. */
MUST_USE int mask_value(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_rule *rule, const struct mask_place *place,
			struct view value, struct buf *out, struct err *err);

#endif
