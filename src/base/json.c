/* jansson with limits, errors and defaults. */
#include "base/json.h"

#define JSON_DEPTH_MAX 100

void scope_json(json_t **json)
{
	json_decref(*json);
}

static bool too_deep(const json_t *json, int depth)
{
	const char *key;
	json_t *value;
	size_t index;

	if (depth > JSON_DEPTH_MAX)
		return true;
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		if (too_deep(value, depth + 1))
			return true;
	json_array_foreach(json, index, value)
		if (too_deep(value, depth + 1))
			return true;
	return false;
}

json_t *json_parse(struct view text, struct err *err)
{
	json_error_t problem;
	json_t *json = json_loadb(text.at ? text.at : "", text.length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
				  &problem);

	if (!json) {
		(void)err_set(err, ERR_INVALID, "not JSON: line %d, column %d: %s", problem.line, problem.column, problem.text);
		return NULL;
	}
	if (too_deep(json, 0)) {
		json_decref(json);
		(void)err_set(err, ERR_LIMIT, "JSON nested more than %d deep", JSON_DEPTH_MAX);
		return NULL;
	}
	return json;
}

static int add_chunk(const char *at, size_t length, void *out)
{
	buf_add(out, at, length);
	return 0;
}

void json_format(struct buf *out, const json_t *json)
{
	(void)json_dump_callback(json, add_chunk, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

void json_format_pretty(struct buf *out, const json_t *json)
{
	(void)json_dump_callback(json, add_chunk, out, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

void json_format_sorted(struct buf *out, const json_t *json)
{
	(void)json_dump_callback(json, add_chunk, out, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

const char *json_text(const json_t *object, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : fallback;
}

int64_t json_number(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

bool json_flag(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *json_member(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

int json_text_get(const json_t *object, const char *key, const char **text, struct err *err)
{
	*text = json_string_value(json_object_get(object, key));
	if (!*text)
		return err_set(err, ERR_INVALID, "`%s` must be a string", key);
	return 0;
}

void json_set_bytes(json_t *object, const char *key, struct view bytes)
{
	AUTO_BUF clean = buf_new(SIZE_MAX / 4);
	size_t at = 0;

	while (at < bytes.length) {
		size_t length = view_utf8_length(view_make(bytes.at + at, bytes.length - at));

		if (length)
			buf_add(&clean, bytes.at + at, length);
		else
			buf_add_text(&clean, "\xef\xbf\xbd");
		at += length ? length : 1;
	}
	(void)json_object_set_new(object, key, json_stringn(buf_view(&clean).at, clean.length));
}
