/* A strict JSON reader that walks the text once and allocates nothing.
 *
 * Each function takes what it expects next and returns true, or returns false and leaves the first error in `error`, which is a
 * constant text. After an error every call fails, so a caller may check at the end. Numbers are integers: 4990 is read, 4990.0
 * and 4.99e3 are refused, because money that arrives as a fraction has already been rounded by somebody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16

struct json {
	const char *at;
	const char *end;
	const char *error;
	int depth;
};

void json_init(struct json *json, const char *text, size_t length);

/* Enters an object or array. */
bool json_enter(struct json *json, char bracket);
/* True while there is a next member or item; false at the end, which it consumes, and on error. `first` starts as true. */
bool json_next(struct json *json, char bracket, bool *first);
/* Reads the key of the next member and its colon; the key is cut at key_size - 1 bytes. */
bool json_key(struct json *json, char *key, size_t key_size);
bool json_integer(struct json *json, int64_t *value);
/* Reads a string without escapes, at most size - 1 bytes. */
bool json_text(struct json *json, char *text, size_t size);
/* Skips any value. */
bool json_skip(struct json *json);
/* True if nothing but space is left and nothing went wrong. */
bool json_done(struct json *json);
