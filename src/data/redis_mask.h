/*
 * redis_mask: what stands for people's data in a Redis, and the search for what is left of it. A rule names keys by a pattern, in which
 * a star stands for any letters, and perhaps, behind the first slash, a field of those that are hashes.
 */
#ifndef ASSAY_DATA_REDIS_MASK_H
#define ASSAY_DATA_REDIS_MASK_H

#include "data/engine.h"

#define REDIS_DATABASES 16

/* engine_ops.keys_mask and keys_scan. */
MUST_USE int redis_keys_mask(const struct engine_target *target, int fd, const unsigned char key[DIGEST_KEY_BYTES],
			     const struct mask_rule *rules, size_t rule_count, struct err *err);
json_t *redis_keys_scan(const struct engine_target *target, int fd, const struct mask_rule *rules, size_t rule_count,
			struct err *err);

/* Does the rule name this key, and, when it names a field, this field of it? */
bool redis_rule_matches(const struct mask_rule *rule, const char *key, const char *field);
/* "user:*:cart" of "user:17:cart": parts with a digit or an @, and long ones, stand for others. Owned by the caller. */
char *redis_key_place(const char *key);

#endif
