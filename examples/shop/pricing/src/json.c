/* The JSON reader: see json.h for what it promises. */
#include "json.h"

#include <string.h>

static bool fail(struct json *json, const char *error)
{
	if (!json->error)
		json->error = error;
	return false;
}

static void space_skip(struct json *json)
{
	while (json->at < json->end && memchr(" \t\r\n", *json->at, 4))
		json->at++;
}

static char peek(struct json *json)
{
	space_skip(json);
	return json->at < json->end && !json->error ? *json->at : '\0';
}

static bool take(struct json *json, char wanted)
{
	if (peek(json) != wanted)
		return false;
	json->at++;
	return true;
}

void json_init(struct json *json, const char *text, size_t length)
{
	*json = (struct json){.at = text, .end = text + length};
}

bool json_enter(struct json *json, char bracket)
{
	if (!take(json, bracket))
		return fail(json, bracket == '{' ? "expected an object" : "expected an array");
	if (++json->depth > JSON_DEPTH_MAX)
		return fail(json, "nested too deeply");
	return true;
}

bool json_next(struct json *json, char bracket, bool *first)
{
	if (take(json, bracket == '{' ? '}' : ']')) {
		json->depth--;
		return false;
	}
	if (!*first && !take(json, ','))
		return fail(json, "expected a comma");
	*first = false;
	return peek(json) ? true : fail(json, "the text ends too early");
}

/* Copies the string at hand into `out` if there is one; escapes are walked over, and refused where the text is wanted. */
static bool string_read(struct json *json, char *out, size_t size, bool exact)
{
	size_t length = 0;
	if (!take(json, '"'))
		return fail(json, "expected a string");
	for (; json->at < json->end && *json->at != '"'; json->at++) {
		if ((unsigned char)*json->at < 0x20)
			return fail(json, "control character in a string");
		if (*json->at == '\\') {
			if (exact)
				return fail(json, "escape in a string");
			if (++json->at == json->end)
				break;
		}
		if (out && length + 1 < size)
			out[length++] = *json->at;
		else if (exact)
			return fail(json, "string too long");
	}
	if (json->at >= json->end)
		return fail(json, "the text ends in a string");
	json->at++;
	if (out)
		out[length] = '\0';
	return true;
}

bool json_key(struct json *json, char *key, size_t key_size)
{
	if (!string_read(json, key, key_size, false))
		return false;
	return take(json, ':') || fail(json, "expected a colon");
}

bool json_text(struct json *json, char *text, size_t size)
{
	return string_read(json, text, size, true);
}

bool json_integer(struct json *json, int64_t *value)
{
	bool negative = take(json, '-');
	int64_t sum = 0;
	const char *start = (peek(json), json->at);
	for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++)
		if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, *json->at - '0', &sum))
			return fail(json, "number too large");
	if (json->error || json->at == start)
		return fail(json, "expected a number");
	if (json->at < json->end && memchr(".eE", *json->at, 3))
		return fail(json, "expected an integer");
	*value = negative ? -sum : sum;
	return true;
}

static bool word_skip(struct json *json, const char *word)
{
	size_t length = strlen(word);
	if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0)
		return fail(json, "unknown word");
	json->at += length;
	return true;
}

static bool number_skip(struct json *json)
{
	const char *start = json->at;
	while (json->at < json->end && *json->at && strchr("+-.0123456789eE", *json->at))
		json->at++;
	return json->at > start || fail(json, "expected a value");
}

static bool members_skip(struct json *json, char bracket)
{
	bool first = true;
	if (!json_enter(json, bracket))
		return false;
	while (json_next(json, bracket, &first)) {
		if (bracket == '{' && !json_key(json, NULL, 0))
			return false;
		if (!json_skip(json))
			return false;
	}
	return !json->error;
}

bool json_skip(struct json *json)
{
	switch (peek(json)) {
	case '{':
		return members_skip(json, '{');
	case '[':
		return members_skip(json, '[');
	case '"':
		return string_read(json, NULL, 0, false);
	case 't':
		return word_skip(json, "true");
	case 'f':
		return word_skip(json, "false");
	case 'n':
		return word_skip(json, "null");
	default:
		return number_skip(json);
	}
}

bool json_done(struct json *json)
{
	space_skip(json);
	if (json->at < json->end)
		fail(json, "text after the end");
	return !json->error;
}
