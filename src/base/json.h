/*
 * json: jansson, with limits, errors and getters with defaults. Through this header everyone may use json_t and the jansson
 * functions; nobody else includes <jansson.h>.
 */
#ifndef ASSAY_BASE_JSON_H
#define ASSAY_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"

void scope_json(json_t **json);
#define AUTO_JSON __attribute__((cleanup(scope_json), unused)) json_t *

/* Owned by the caller. Duplicate keys, depth over 100 (jansson limits at 2048 itself) and trailing bytes are ERR_INVALID. */
json_t *json_parse(struct view text, struct err *err);
void json_format(struct buf *out, const json_t *json);        /* one line */
void json_format_pretty(struct buf *out, const json_t *json); /* indented by 2, sorted keys */
void json_format_sorted(struct buf *out, const json_t *json); /* one line, sorted keys: for digests */

/* Borrowed; `fallback` when absent, null or of another type. */
const char *json_text(const json_t *object, const char *key, const char *fallback);
int64_t json_number(const json_t *object, const char *key, int64_t fallback);
bool json_flag(const json_t *object, const char *key, bool fallback);
json_t *json_member(const json_t *object, const char *key); /* NULL when absent or `object` is none */
/* As json_text, but absence is ERR_INVALID. */
MUST_USE int json_text_get(const json_t *object, const char *key, const char **text, struct err *err);
/* Sets key to a string made valid UTF-8 (bad bytes become U+FFFD), whatever the bytes are. */
void json_set_bytes(json_t *object, const char *key, struct view bytes);

#endif
