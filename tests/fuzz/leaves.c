/* Documents in a column: leaves lie within, in order; looking for leaks reads within any text; a mask keeps its form. */
#include <stdlib.h>

#include "base/scope.h"
#include "data/leak.h"
#include "data/leaves.h"
#include "data/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct view document;
	const char *last;
};

static int leaf_check(void *self, const struct leaf *leaf, struct err *err)
{
	struct seen *seen = self;
	AUTO_FREE char *text = leaf_text(leaf);
	int64_t counts[LEAK_KINDS] = {0};

	(void)err;
	if (leaf->raw.at < seen->last || leaf->raw.at + leaf->raw.length > seen->document.at + seen->document.length)
		abort();
	seen->last = leaf->raw.at + leaf->raw.length;
	if (text)
		leak_find(view_of(text), leaf->path, counts);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char key[DIGEST_KEY_BYTES] = {1};
	static const enum mask_kind kinds[] = {MASK_PHONE, MASK_CARD, MASK_TOKEN, MASK_TEXT};
	struct seen seen = {view_make(data, size), (const char *)data};
	int64_t counts[LEAK_KINDS] = {0};

	(void)!leaves_walk(seen.document, leaf_check, &seen, NULL);
	leak_find(seen.document, "phone", counts);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && size < 4096 && !memchr(data, '\0', size); i++) {
		const struct mask_rule rule = {.kind = kinds[i]};
		AUTO_BUF out = buf_new(MASK_VALUE_MAX);

		if (mask_value(key, &rule, &(struct mask_place){.length_max = 0}, seen.document, &out, NULL) == 0 &&
		    out.length != size)
			abort();
	}
	return 0;
}
