/* Paths, operations, parameters and schemas of an OpenAPI document. */
#include "session/openapi.h"

#include "base/scope.h"

#define REFS_MAX 16

bool openapi_is(const json_t *document)
{
	return view_starts(view_of(json_text(document, "openapi", "")), VIEW("3.")) &&
	       json_is_object(json_member(document, "paths"));
}

/* One step of a JSON pointer (RFC 6901). */
static const json_t *pointer_step(const json_t *at, struct view part)
{
	AUTO_BUF name = buf_new(4096);
	uint64_t index;

	for (size_t i = 0; i < part.length; i++) {
		bool escape = part.at[i] == '~' && i + 1 < part.length && (part.at[i + 1] == '0' || part.at[i + 1] == '1');

		buf_add_char(&name, !escape ? part.at[i] : part.at[i + 1] == '0' ? '~' : '/');
		i += escape;
	}
	if (json_is_array(at))
		return view_to_u64(part, &index) ? json_array_get(at, index) : NULL;
	return name.length ? json_object_get(at, name.at) : NULL;
}

const json_t *openapi_resolve(const json_t *document, const json_t *node)
{
	for (int i = 0; i < REFS_MAX; i++) {
		const char *ref = json_text(node, "$ref", NULL);
		struct view rest;

		if (!ref)
			return node;
		if (!view_starts(view_of(ref), VIEW("#/")))
			return NULL;
		rest = view_of(ref + 2);
		node = document;
		while (rest.at && node)
			node = pointer_step(node, view_cut(rest, '/', &rest));
	}
	return NULL;
}

/* ---- values ---- */

static const char *type_of(const json_t *schema)
{
	const json_t *type = json_member(schema, "type");

	if (json_is_array(type)) { /* 3.1: ["string", "null"] */
		for (size_t i = 0; i < json_array_size(type); i++)
			if (json_is_string(json_array_get(type, i)) &&
			    strcmp(json_string_value(json_array_get(type, i)), "null") != 0)
				return json_string_value(json_array_get(type, i));
		return "";
	}
	if (json_is_string(type))
		return json_string_value(type);
	return json_member(schema, "properties") ? "object" : json_member(schema, "items") ? "array" : "";
}

/* One value at work. */
struct making {
	const json_t *document;
	bool only_given;
	int left;                              /* schemas that may still be followed */
	const json_t *open[OPENAPI_DEPTH_MAX]; /* those that the one at work is inside of */
};

static json_t *value_at(struct making *making, const json_t *schema, int depth);

static bool is_required(const json_t *schema, const char *name)
{
	const json_t *list = json_member(schema, "required");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)) && strcmp(json_string_value(json_array_get(list, i)), name) == 0)
			return true;
	return false;
}

/* Of what is given, a required property must be, too; others may be left out. */
static json_t *object_value(struct making *making, const json_t *schema, int depth)
{
	AUTO_JSON made = json_object();
	const char *name;
	json_t *property;

	json_object_foreach(json_member(schema, "properties"), name, property) {
		json_t *value = value_at(making, property, depth + 1);

		if (value)
			(void)json_object_set_new(made, name, value);
		else if (is_required(schema, name))
			return NULL;
	}
	if (making->only_given && !json_object_size(made))
		return NULL;
	return json_incref(made);
}

static json_t *joined_value(struct making *making, const json_t *parts, int depth)
{
	json_t *made = NULL;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		json_t *value = value_at(making, json_array_get(parts, i), depth + 1);

		if (json_is_object(made) && json_is_object(value)) {
			(void)json_object_update(made, value);
			json_decref(value);
		} else if (!made) {
			made = value;
		} else {
			json_decref(value);
		}
	}
	return made;
}

static json_t *text_value(const json_t *schema)
{
	static const struct {
		const char *format;
		const char *value;
	} rows[] = {{"uuid", "00000000-0000-4000-8000-000000000001"},
		    {"date", "2026-01-01"},
		    {"date-time", "2026-01-01T00:00:00Z"},
		    {"email", "someone@example.org"},
		    {"uri", "https://example.org/"},
		    {"ipv4", "192.0.2.1"}};
	const char *format = json_text(schema, "format", "");
	int64_t least = json_number(schema, "minLength", 0);
	AUTO_BUF made = buf_new(4096);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].format, format) == 0)
			return json_string(rows[i].value);
	buf_add_text(&made, "text");
	while (made.length < 1024 && (int64_t)made.length < least)
		buf_add_char(&made, 'x');
	return json_stringn(made.at, made.length);
}

static json_t *plain_value(struct making *making, const json_t *schema, const char *type, int depth)
{
	json_t *list;
	json_t *item;

	if (strcmp(type, "integer") == 0)
		return json_integer(json_number(schema, "minimum", 1));
	if (strcmp(type, "number") == 0)
		return json_real(json_is_number(json_member(schema, "minimum")) ? json_number_value(json_member(schema, "minimum"))
										: 1.5);
	if (strcmp(type, "boolean") == 0)
		return json_true();
	if (strcmp(type, "string") != 0 && strcmp(type, "array") != 0)
		return json_null();
	if (strcmp(type, "string") == 0)
		return text_value(schema);
	list = json_array();
	item = value_at(making, json_member(schema, "items"), depth + 1);
	if (item)
		(void)json_array_append_new(list, item);
	return list;
}

static json_t *schema_value(struct making *making, const json_t *schema, int depth)
{
	static const char *const given[] = {"example", "default", "const"};
	static const char *const lists[] = {"examples", "enum"};
	static const char *const choices[] = {"oneOf", "anyOf"};
	const char *type;

	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		if (json_member(schema, given[i]))
			return json_deep_copy(json_member(schema, given[i]));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (json_array_size(json_member(schema, lists[i])))
			return json_deep_copy(json_array_get(json_member(schema, lists[i]), 0));
	for (size_t i = 0; i < ARRAY_LEN(choices); i++)
		if (json_array_size(json_member(schema, choices[i])))
			return value_at(making, json_array_get(json_member(schema, choices[i]), 0), depth + 1);
	if (json_array_size(json_member(schema, "allOf")))
		return joined_value(making, json_member(schema, "allOf"), depth);
	type = type_of(schema);
	if (strcmp(type, "object") == 0)
		return object_value(making, schema, depth);
	return making->only_given ? NULL : plain_value(making, schema, type, depth);
}

/* One that is inside of itself has no value there. */
static json_t *value_at(struct making *making, const json_t *schema, int depth)
{
	schema = openapi_resolve(making->document, schema);
	if (!json_is_object(schema) || depth >= OPENAPI_DEPTH_MAX || making->left-- <= 0)
		return NULL;
	for (int i = 0; i < depth; i++)
		if (making->open[i] == schema)
			return NULL;
	making->open[depth] = schema;
	return schema_value(making, schema, depth);
}

json_t *openapi_value(const json_t *document, const json_t *schema, bool only_given)
{
	struct making making = {.document = document, .only_given = only_given, .left = OPENAPI_VALUES_MAX};

	return value_at(&making, schema, 0);
}

char *openapi_text(const json_t *value)
{
	AUTO_BUF text = buf_new((size_t)64 << 10);

	if (json_is_string(value))
		return view_copy(view_make(json_string_value(value), json_string_length(value)));
	if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			AUTO_FREE char *item = json_is_array(json_array_get(value, i)) ? text_copy("")
										       : openapi_text(json_array_get(value, i));

			buf_add_format(&text, "%s%s", i ? "," : "", item);
		}
		return buf_take(&text);
	}
	if (value)
		json_format(&text, value);
	return buf_take(&text);
}

/* ---- operations ---- */

/* `example`, else the first of `examples` ({name: {"value"}}). Borrowed. */
static const json_t *example_of(const json_t *document, const json_t *node)
{
	const char *name;
	json_t *example;

	if (json_member(node, "example"))
		return json_member(node, "example");
	json_object_foreach(json_member(node, "examples"), name, example)
		return json_member(openapi_resolve(document, example), "value");
	return NULL;
}

/* JSON before forms before the first that is there. */
static const char *media_choose(json_t *content)
{
	const char *best = NULL;
	int best_rank = 3;
	const char *type;
	json_t *media;

	json_object_foreach(content, type, media) {
		int rank = strcasestr(type, "json") ? 0 : strcasestr(type, "x-www-form-urlencoded") ? 1 : 2;

		if (rank >= best_rank)
			continue;
		best = type;
		best_rank = rank;
	}
	return best;
}

static json_t *body_make(const json_t *document, const json_t *node)
{
	const json_t *body = openapi_resolve(document, node);
	json_t *content = json_member(body, "content");
	const char *type = media_choose(content);
	const json_t *media = type ? json_object_get(content, type) : NULL;
	json_t *examples = json_array();
	const char *name;
	json_t *example;

	if (!type) {
		json_decref(examples);
		return json_null();
	}
	if (json_member(media, "example"))
		(void)json_array_append(examples, json_member(media, "example"));
	json_object_foreach(json_member(media, "examples"), name, example) {
		json_t *value = json_member(openapi_resolve(document, example), "value");

		if (value && json_array_size(examples) < OPENAPI_EXAMPLES_MAX)
			(void)json_array_append(examples, value);
	}
	return json_pack("{s:s, s:O?, s:b, s:o}", "type", type, "schema", json_member(media, "schema"), "required",
			 json_flag(body, "required", false), "examples", examples);
}

/* The first answer of success that is written down. */
static json_t *answer_make(const json_t *document, const json_t *operation)
{
	json_t *answer = json_pack("{s:i}", "status", 200);
	const char *status;
	json_t *node;

	json_object_foreach(json_member(operation, "responses"), status, node) {
		const json_t *response = openapi_resolve(document, node);
		json_t *content = json_member(response, "content");
		const char *type = media_choose(content);
		uint64_t number;

		if (!view_to_u64(view_of(status), &number) || number < 200 || number > 299)
			continue;
		(void)json_object_set_new(answer, "status", json_integer((json_int_t)number));
		if (type) {
			const json_t *example = example_of(document, json_object_get(content, type));

			(void)json_object_set_new(answer, "type", json_string(type));
			if (example)
				(void)json_object_set_new(answer, "example", json_deep_copy(example));
		}
		break;
	}
	return answer;
}

static bool parameter_known(const json_t *list, const json_t *parameter)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_text(json_array_get(list, i), "name", ""), json_text(parameter, "name", "")) == 0 &&
		    strcmp(json_text(json_array_get(list, i), "in", ""), json_text(parameter, "in", "")) == 0)
			return true;
	return false;
}

/* The operation's own go before those of its path. */
static void parameters_add(const json_t *document, json_t *list, const json_t *nodes)
{
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *parameter = openapi_resolve(document, json_array_get(nodes, i));
		const char *in = json_text(parameter, "in", "");
		const json_t *example = example_of(document, parameter);
		json_t *made;

		if (!json_text(parameter, "name", NULL) || parameter_known(list, parameter))
			continue;
		made = json_pack("{s:s, s:O, s:b, s:O?}", "in", in, "name", json_member(parameter, "name"), "required",
				 json_flag(parameter, "required", strcmp(in, "path") == 0), "schema",
				 json_member(parameter, "schema"));
		if (made && example)
			(void)json_object_set_new(made, "example", json_deep_copy(example));
		if (made)
			(void)json_array_append_new(list, made);
	}
}

/* The path of the first server: "/api/v1"; "" when it has none. Owned by the caller. */
static char *base_path(const json_t *document)
{
	const char *url = json_text(json_array_get(json_member(document, "servers"), 0), "url", "");
	const char *scheme = strstr(url, "://");
	const char *path = scheme ? strchr(scheme + 3, '/') : url;
	struct view text = view_of(path && path[0] == '/' && !strchr(path, '{') ? path : "");

	while (text.length && text.at[text.length - 1] == '/')
		text.length--;
	return view_copy(text);
}

json_t *openapi_operations(const json_t *document, struct err *err)
{
	static const char *const methods[] = {"get", "head", "post", "put", "patch", "delete", "options"};
	AUTO_FREE char *base = base_path(document);
	AUTO_JSON list = json_array();
	const char *path;
	json_t *node;

	if (!openapi_is(document)) {
		(void)err_set(err, ERR_INVALID, "no OpenAPI 3 document: `openapi: 3.x` and `paths` are expected");
		return NULL;
	}
	json_object_foreach(json_member(document, "paths"), path, node) {
		const json_t *item = openapi_resolve(document, node);

		for (size_t i = 0; i < ARRAY_LEN(methods) && path[0] == '/'; i++) {
			const json_t *operation = json_member(item, methods[i]);
			AUTO_FREE char *full = text_format("%s%s", base, path);
			json_t *parameters;
			char method[8] = "";

			if (!json_is_object(operation))
				continue;
			if (json_array_size(list) >= OPENAPI_OPERATIONS_MAX) {
				(void)err_set(err, ERR_LIMIT, "more than %zu operations", OPENAPI_OPERATIONS_MAX);
				return NULL;
			}
			for (size_t k = 0; methods[i][k]; k++)
				method[k] = (char)(methods[i][k] & ~0x20);
			parameters = json_array();
			parameters_add(document, parameters, json_member(operation, "parameters"));
			parameters_add(document, parameters, json_member(item, "parameters"));
			(void)json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o}", "method", method, "path", full,
								    "parameters", parameters, "body",
								    body_make(document, json_member(operation, "requestBody")),
								    "answer", answer_make(document, operation)));
		}
	}
	return json_incref(list);
}
