/*
 * Theory of operation: what can be asked is a list of operations, those of the document and those that were seen (their numbers and long names
 * in paths, their query and body are what may vary; their headers stay). Of each a list of variations is made, one changed place each, and
 * mixed by the seed; then the operations take turns. What was seen goes first, as it was: so that tokens and ids are found.
 */
#include "session/explore.h"

#include <stdlib.h>

#include "base/scope.h"
#include "session/import.h"
#include "session/openapi.h"
#include "session/request.h"

#define VARIATIONS_MAX ((size_t)96) /* of one operation */
#define LEAVES_MAX ((size_t)40)     /* of one body */
#define LEAF_DEPTH_MAX ((size_t)6)
#define LONG_TEXT 1000
#define SEGMENT_LONG ((size_t)12)

/* {"operation": as in openapi.h, "values": [{"in", "name", "value", "fixed"?}], "body": any | absent} */
struct exploring {
	const struct explore_spec *spec;
	json_t *operations;
	uint64_t random;
};

static uint64_t random_next(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	return mixed ^ mixed >> 31;
}

/* ---- what can be asked ---- */

static void operation_of_document(struct exploring *exploring, const json_t *operation)
{
	const json_t *document = exploring->spec->document;
	const json_t *parameters = json_member(operation, "parameters");
	const json_t *body = json_member(operation, "body");
	json_t *values = json_array();
	json_t *given = json_array_get(json_member(body, "examples"), 0);
	json_t *made = given ? json_incref(given) : openapi_value(document, json_member(body, "schema"), false);

	for (size_t i = 0; i < json_array_size(parameters); i++) {
		const json_t *parameter = json_array_get(parameters, i);
		const json_t *example = json_member(parameter, "example");
		json_t *value = example ? json_deep_copy(example)
					: openapi_value(document, json_member(parameter, "schema"), false);

		(void)json_array_append_new(values,
					    json_pack("{s:O, s:O, s:o}", "in", json_member(parameter, "in"), "name",
						      json_member(parameter, "name"), "value", value ? value : json_string("1")));
	}
	(void)json_array_append_new(exploring->operations,
				    json_pack("{s:O, s:o, s:o*}", "operation", operation, "values", values, "body", made));
}

static bool names_thing(struct view segment)
{
	bool digit = false;

	for (size_t i = 0; i < segment.length; i++)
		digit = digit || (segment.at[i] >= '0' && segment.at[i] <= '9');
	return digit && (segment.length >= SEGMENT_LONG || strspn(segment.at, "0123456789") >= segment.length);
}

static void value_add(json_t *values, const char *in, struct view name, struct view value, bool fixed)
{
	json_t *row = json_pack("{s:s, s:b}", "in", in, "fixed", fixed);

	json_set_bytes(row, "name", name);
	json_set_bytes(row, "value", value);
	(void)json_array_append_new(values, row);
}

/* "/orders/17/lines" becomes "/orders/{p2}/lines" with its value. */
static void path_take(struct buf *pattern, struct view path, json_t *values)
{
	size_t number = 0;

	while (path.at && path.length) {
		struct view segment = view_cut(path, '/', &path);

		number++;
		if (segment.length && names_thing(segment)) {
			AUTO_FREE char *name = text_format("p%zu", number);

			buf_add_format(pattern, "{%s}", name);
			value_add(values, "path", view_of(name), segment, false);
		} else {
			buf_add_view(pattern, segment);
		}
		if (path.at)
			buf_add_char(pattern, '/');
	}
}

static bool header_needed(const char *name)
{
	static const char *const names[] = {"authorization", "cookie", "accept", "x-csrf-token", "x-xsrf-token", "x-api-key"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

static const char *path_of(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *slash = scheme ? strchr(scheme + 3, '/') : url;

	return slash ? slash : "/";
}

static void operation_seen(struct exploring *exploring, json_t *known, const struct exchange *exchange)
{
	struct view query;
	struct view path = view_cut(view_of(path_of(exchange->url)), '?', &query);
	AUTO_JSON values = json_array();
	AUTO_BUF pattern = buf_new((size_t)64 << 10);
	struct view body = view_make(exchange->request_body.at ? exchange->request_body.at : "", exchange->request_body.length);
	AUTO_JSON json = body.length ? json_parse(body, NULL) : NULL;
	const char *type = exchange_header(&exchange->request_headers, "content-type");
	AUTO_JSON holder = json_object();
	AUTO_FREE char *key = NULL;

	if (memchr(path.at, '{', path.length) || (body.length && !json) || exchange->status >= 500)
		return;
	path_take(&pattern, path, values);
	key = text_format("%s %s", exchange->method, pattern.at);
	json_set_bytes(holder, "key", view_of(key));
	if (json_object_get(known, json_text(holder, "key", "")))
		return;
	(void)json_object_set_new(known, json_text(holder, "key", ""), json_true());
	while (query.at && query.length) {
		struct view value;
		struct view name = view_cut(view_cut(query, '&', &query), '=', &value);

		value_add(values, "query", name, value, false);
	}
	for (size_t i = 0; i < exchange->request_headers.count; i++)
		if (header_needed(exchange->request_headers.at[i].name))
			value_add(values, "header", view_of(exchange->request_headers.at[i].name),
				  view_of(exchange->request_headers.at[i].value), true);
	json_set_bytes(holder, "path", buf_view(&pattern));
	(void)json_array_append_new(exploring->operations,
				    json_pack("{s:{s:s, s:O, s:{s:s}, s:{s:i}}, s:O, s:O*}", "operation", "method",
					      exchange->method, "path", json_member(holder, "path"), "body", "type",
					      type ? type : "application/json", "answer", "status", 0, "values", values, "body",
					      json));
}

/* ---- what may be otherwise ---- */

static void other_add(json_t *others, json_t *value)
{
	if (json_array_size(others) < VARIATIONS_MAX)
		(void)json_array_append_new(others, value);
	else
		json_decref(value);
}

/* Values that stand at the edge of what a value of this kind may be. */
static void others_of(json_t *others, const json_t *value)
{
	static const char *const texts[] = {"", " ", "0", "ß ä 日本語 \xf0\x9f\xa6\x8a", "null", "'\"<>&%;"};
	static const json_int_t numbers[] = {0, -1, 1, 2147483647, 2147483648, 9007199254740993};

	if (json_is_string(value)) {
		char text[LONG_TEXT + 1];

		for (size_t i = 0; i < ARRAY_LEN(texts); i++)
			other_add(others, json_string(texts[i]));
		memset(text, 'x', LONG_TEXT);
		other_add(others, json_stringn(text, LONG_TEXT));
	} else if (json_is_number(value)) {
		for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
			other_add(others, json_integer(numbers[i]));
		other_add(others, json_real(0.5));
		other_add(others, json_string("text"));
	} else if (json_is_boolean(value)) {
		other_add(others, json_boolean(!json_is_true(value)));
	} else if (json_is_array(value)) {
		json_t *twice = json_deep_copy(value);

		if (json_array_size(value))
			(void)json_array_append_new(twice, json_deep_copy(json_array_get(value, 0)));
		other_add(others, json_array());
		other_add(others, twice);
	} else if (json_is_object(value)) {
		other_add(others, json_object());
	}
}

static void variation_add(json_t *variations, const char *what, json_t *at, const json_t *value)
{
	if (json_array_size(variations) < 4 * VARIATIONS_MAX)
		(void)json_array_append_new(variations, json_pack("{s:s, s:O, s:O*}", "what", what, "at", at, "value", value));
}

static void parameters_vary(json_t *variations, const json_t *values)
{
	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *row = json_array_get(values, i);
		AUTO_JSON at = json_integer((json_int_t)i);
		AUTO_JSON others = json_array();
		const char *text = json_text(row, "value", NULL);
		AUTO_JSON number = text && text[0] && !text[strspn(text, "0123456789")] ? json_integer(1) : NULL;

		if (json_flag(row, "fixed", false))
			continue;
		others_of(others, number ? number : json_member(row, "value"));
		for (size_t k = 0; k < json_array_size(others); k++)
			variation_add(variations, "value", at, json_array_get(others, k));
		if (strcmp(json_text(row, "in", ""), "path") != 0)
			variation_add(variations, "missing", at, NULL);
	}
}

/* A field of the body, and those below it: otherwise, null, missing. */
static void body_vary(json_t *variations, const json_t *value, json_t *path, size_t *leaves)
{
	AUTO_JSON others = json_array();
	AUTO_JSON here = json_deep_copy(path);
	const char *name;
	json_t *member;
	size_t i;

	if (++*leaves > LEAVES_MAX || json_array_size(path) > LEAF_DEPTH_MAX)
		return;
	others_of(others, value);
	(void)json_array_append_new(others, json_null());
	for (size_t k = 0; k < json_array_size(others); k++)
		variation_add(variations, "body", here, json_array_get(others, k));
	if (json_array_size(path))
		variation_add(variations, "absent", here, NULL);
	json_object_foreach((json_t *)(uintptr_t)value, name, member) {
		(void)json_array_append_new(path, json_string(name));
		body_vary(variations, member, path, leaves);
		(void)json_array_remove(path, json_array_size(path) - 1);
	}
	json_array_foreach(value, i, member) {
		if (i)
			break; /* the first stands for all */
		(void)json_array_append_new(path, json_integer(0));
		body_vary(variations, member, path, leaves);
		(void)json_array_remove(path, json_array_size(path) - 1);
	}
}

/* As it is; twice; and each other way, in an order that the seed decides. Owned by the caller. */
static json_t *variations_of(struct exploring *exploring, const json_t *row)
{
	json_t *variations = json_array();
	AUTO_JSON path = json_array();
	size_t leaves = 0;

	parameters_vary(variations, json_member(row, "values"));
	if (json_member(row, "body"))
		body_vary(variations, json_member(row, "body"), path, &leaves);
	for (size_t i = json_array_size(variations); i > 1; i--) {
		size_t k = (size_t)(random_next(&exploring->random) % i);
		AUTO_JSON one = json_incref(json_array_get(variations, i - 1));

		(void)json_array_set(variations, i - 1, json_array_get(variations, k));
		(void)json_array_set(variations, k, one);
	}
	(void)json_array_insert_new(variations, 0, json_pack("{s:s}", "what", "plain"));
	(void)json_array_insert_new(variations, 1, json_pack("{s:s}", "what", "again"));
	return variations;
}

/* ---- the requests ---- */

/* Puts (or, without a value, takes away) what is at the path. */
static void value_place(json_t *body, const json_t *path, json_t *value)
{
	size_t depth = json_array_size(path);
	json_t *at = body;

	for (size_t i = 0; i + 1 < depth && at; i++) {
		const json_t *part = json_array_get(path, i);

		at = json_is_integer(part) ? json_array_get(at, (size_t)json_integer_value(part))
					   : json_object_get(at, json_string_value(part));
	}
	if (!at || !depth)
		return;
	const json_t *last = json_array_get(path, depth - 1);
	if (json_is_integer(last) && value)
		(void)json_array_set(at, (size_t)json_integer_value(last), value);
	else if (json_is_integer(last))
		(void)json_array_remove(at, (size_t)json_integer_value(last));
	else if (value)
		(void)json_object_set(at, json_string_value(last), value);
	else
		(void)json_object_del(at, json_string_value(last));
}

static void request_add(struct session *session, const json_t *row, const json_t *variation)
{
	const char *what = json_text(variation, "what", "");
	AUTO_JSON values = json_deep_copy(json_member(row, "values"));
	AUTO_JSON body = json_deep_copy(json_member(row, "body"));
	const json_t *at = json_member(variation, "at");
	json_t *value = json_member(variation, "value");
	struct exchange exchange;

	if (strcmp(what, "value") == 0)
		(void)json_object_set(json_array_get(values, (size_t)json_integer_value(at)), "value", value);
	else if (strcmp(what, "missing") == 0)
		(void)json_array_remove(values, (size_t)json_integer_value(at));
	else if (strcmp(what, "absent") == 0 || (strcmp(what, "body") == 0 && json_array_size(at)))
		value_place(body, at, value);
	else if (strcmp(what, "body") == 0) {
		json_decref(body);
		body = json_incref(value);
	}
	if (!request_make(json_member(row, "operation"), values, body, &exchange))
		return;
	exchange.seq = session->count + 1;
	exchange.proto = text_copy("http");
	exchange.phase = text_copy(EXPLORE_PHASE);
	session_add(session, &exchange);
}

static void seen_copy(const struct session *seen, struct session *session)
{
	AUTO_BUF text = buf_new(HAR_BYTES_MAX);
	AUTO_SESSION copy = {0};

	har_format(&text, seen);
	if (text.over || har_parse(buf_view(&text), &copy, NULL))
		return;
	for (size_t i = 0; i < copy.count; i++) {
		copy.at[i].seq = session->count + 1;
		copy.at[i].t0_ms = 0;
		session_add(session, &copy.at[i]);
	}
}

static void turns_take(struct exploring *exploring, struct session *session)
{
	size_t operations = json_array_size(exploring->operations);
	json_t **variations = mem_new_array(operations + 1, sizeof(json_t *));
	size_t before = session->count;
	bool any = true;

	for (size_t i = 0; i < operations; i++)
		variations[i] = variations_of(exploring, json_array_get(exploring->operations, i));
	for (size_t turn = 0; any && turn < 4 * VARIATIONS_MAX + 2; turn++) {
		any = false;
		for (size_t i = 0; i < operations && session->count - before < exploring->spec->count; i++) {
			const json_t *variation = json_array_get(variations[i], turn);

			any = any || variation;
			if (variation && session->count < HAR_ENTRIES_MAX)
				request_add(session, json_array_get(exploring->operations, i), variation);
		}
	}
	for (size_t i = 0; i < operations; i++)
		json_decref(variations[i]);
	free(variations);
}

int explore_make(const struct explore_spec *spec, struct session *session, struct err *err)
{
	AUTO_JSON operations = json_array();
	AUTO_JSON known = json_object();
	struct exploring exploring = {.spec = spec, .operations = operations, .random = spec->seed};
	AUTO_JSON documented = spec->document ? openapi_operations(spec->document, err) : json_array();

	if (!documented)
		return -1;
	for (size_t i = 0; i < json_array_size(documented) && json_array_size(operations) < spec->count; i++)
		operation_of_document(&exploring, json_array_get(documented, i));
	for (size_t i = 0; spec->seen && i < spec->seen->count && json_array_size(operations) < spec->count; i++)
		if (spec->seen->at[i].method && spec->seen->at[i].url)
			operation_seen(&exploring, known, &spec->seen->at[i]);
	if (!json_array_size(operations))
		return err_set(err, ERR_INVALID, "nothing to ask: neither an OpenAPI document nor a session has a request");
	if (spec->seen)
		seen_copy(spec->seen, session);
	turns_take(&exploring, session);
	return 0;
}
