/* The document: paths from the rows, schemas from the shapes. */
#include "web/openapi.h"

#include <ctype.h>

#include "base/scope.h"
#include "web/web_priv.h"

#define API "/api/v1"
#define NAME_BYTES_MAX ((size_t)256)

static const struct {
	const char *word;
	const char *type;
	const char *format;
} basics[] = {
	{"text", "string", NULL},     {"line", "string", NULL},  {"integer", "integer", NULL}, {"number", "number", NULL},
	{"time", "integer", "int64"}, {"flag", "boolean", NULL}, {"object", "object", NULL},
};

static json_t *ref_make(const char *section, struct view name)
{
	AUTO_FREE char *text = text_format("#/components/%s/%.*s", section, (int)name.length, name.at);

	return json_pack("{s:s}", "$ref", text);
}

static json_t *words_make(struct view words)
{
	AUTO_JSON list = json_array();

	for (struct view rest = words; rest.length;) {
		struct view word = view_cut(rest, '|', &rest);

		(void)json_array_append_new(list, json_stringn(word.at, word.length));
	}
	return json_pack("{s:s, s:O}", "type", "string", "enum", list);
}

static json_t *type_make(struct view type)
{
	if (type.length > 2 && type.at[0] == '[')
		return json_pack("{s:s, s:o}", "type", "array", "items", type_make(view_make(type.at + 1, type.length - 2)));
	if (type.length > 1 && type.at[type.length - 1] == '?') {
		json_t *inner = type_make(view_make(type.at, type.length - 1));

		return json_pack("{s:[o, {s:s}]}", "anyOf", inner, "type", "null");
	}
	if (view_is(type, "any"))
		return json_object();
	for (size_t i = 0; i < ARRAY_LEN(basics); i++)
		if (view_is(type, basics[i].word))
			return json_pack("{s:s, s:s*}", "type", basics[i].type, "format", basics[i].format);
	if (memchr(type.at, '|', type.length))
		return words_make(type);
	return ref_make("schemas", type);
}

static struct view member_name(const char *member)
{
	struct view rest;
	struct view name = view_cut(view_of(member), ' ', &rest);

	if (name.length > 1 && name.at[name.length - 1] == '?')
		name.length--;
	return name;
}

static bool member_optional(const char *member)
{
	struct view rest;
	struct view name = view_cut(view_of(member), ' ', &rest);

	return name.at[name.length - 1] == '?';
}

static json_t *member_type(const char *member)
{
	struct view type;

	(void)view_cut(view_of(member), ' ', &type);
	return type_make(type);
}

static json_t *shape_make(const struct shape *shape)
{
	AUTO_JSON properties = json_object();
	AUTO_JSON required = json_array();
	bool open = false;

	for (size_t i = 0; i < SHAPE_MEMBERS_MAX && shape->members[i]; i++) {
		struct view name = member_name(shape->members[i]);

		if (view_is(name, "...")) {
			open = true;
			continue;
		}
		(void)json_object_setn_new(properties, name.at, name.length, member_type(shape->members[i]));
		if (!member_optional(shape->members[i]))
			(void)json_array_append_new(required, json_stringn(name.at, name.length));
	}
	return json_pack("{s:s, s:s, s:O, s:O, s:b}", "type", "object", "description", shape->does, "properties", properties,
			 "required", required, "additionalProperties", open);
}

static json_t *field_type(enum field_kind kind)
{
	switch (kind) {
	case FIELD_LINE:
		return json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", 1, "maxLength", (int)LINE_BYTES_MAX);
	case FIELD_TEXT:
		return json_pack("{s:s, s:i}", "type", "string", "maxLength", (int)TEXT_BYTES_MAX);
	case FIELD_NUMBER:
		return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
	case FIELD_FLAG:
		return json_pack("{s:s}", "type", "boolean");
	case FIELD_LIST:
		return json_pack("{s:s, s:{}}", "type", "array", "items");
	case FIELD_OBJECT:
		break;
	}
	return json_pack("{s:s}", "type", "object");
}

static json_t *body_make(const struct field *fields)
{
	AUTO_JSON properties = json_object();
	AUTO_JSON required = json_array();

	for (size_t i = 0; i < FIELDS_MAX && fields[i].name; i++) {
		(void)json_object_set_new(properties, fields[i].name, field_type(fields[i].kind));
		if (fields[i].required)
			(void)json_array_append_new(required, json_string(fields[i].name));
	}
	return json_pack("{s:b, s:{s:{s:{s:s, s:O, s:O, s:b}}}}", "required", json_array_size(required) > 0, "content",
			 "application/json", "schema", "type", "object", "properties", properties, "required", required,
			 "additionalProperties", 0);
}

/* A body that is no JSON. */
static json_t *bytes_make(size_t bytes_max)
{
	return json_pack("{s:b, s:{s:{s:{s:s, s:I}}}}", "required", 1, "content", "application/octet-stream", "schema", "type",
			 "string", "maxLength", (json_int_t)bytes_max);
}

static void parameter_add(json_t *parameters, struct view name, const char *in, json_t *schema)
{
	AUTO_JSON parameter = json_pack("{s:s, s:b, s:o}", "in", in, "required", strcmp(in, "path") == 0, "schema", schema);

	json_set_bytes(parameter, "name", name);
	(void)json_array_append(parameters, parameter);
}

/* `?follow=1` is how a flag is said. */
static json_t *query_type(const struct query *query)
{
	return strcmp(query->type, "flag") == 0 ? json_pack("{s:s, s:[s, s]}", "type", "string", "enum", "0", "1")
						: type_make(view_of(query->type));
}

static json_t *parameters_make(const struct row *row)
{
	json_t *parameters = json_array();
	struct view rest = view_of(row->pattern);

	while (rest.length) {
		struct view piece = view_cut(rest, '/', &rest);

		if (piece.length > 2 && piece.at[0] == '{')
			parameter_add(parameters, view_make(piece.at + 1, piece.length - 2), "path",
				      json_pack("{s:s}", "type", "string"));
	}
	for (size_t i = 0; i < QUERIES_MAX && row->query[i].name; i++)
		parameter_add(parameters, view_of(row->query[i].name), "query", query_type(&row->query[i]));
	return parameters;
}

static json_t *content_of(const char *media, json_t *schema)
{
	return json_pack("{s:{s:o}}", media, "schema", schema);
}

/* What `answers` says: a shape, a list of one, bytes, or a stream. */
static json_t *content_make(struct view answers)
{
	if (view_is(answers, "{}"))
		return content_of("application/json", json_pack("{s:s}", "type", "object"));
	if (answers.at[0] == '[') {
		json_t *items = type_make(answers);

		return content_of("application/json", json_pack("{s:s, s:{s:o, s:{s:s}}, s:[s]}", "type", "object", "properties",
								"items", items, "next", "type", "string", "required", "items"));
	}
	if (view_starts(answers, VIEW("bytes "))) {
		AUTO_FREE char *media = text_copy(answers.at + strlen("bytes "));

		return content_of(media, json_pack("{s:s}", "type", "string"));
	}
	if (view_is(answers, "events") || view_starts(answers, VIEW("stream ")))
		return content_of("text/event-stream", json_pack("{s:s}", "type", "string"));
	return content_of("application/json", type_make(answers));
}

static json_t *answer_make(const char *answers)
{
	struct view view = view_of(answers);
	AUTO_FREE char *stream = view_starts(view, VIEW("stream "))
					 ? text_format("Events `progress`, then `done` with %s, or `error`",
						       answers + strlen("stream "))
					 : NULL;

	if (strcmp(answers, "upgrade") == 0)
		return json_pack("{s:{s:s}}", "101", "description", "The connection is the terminal's from here on");
	return json_pack("{s:{s:s, s:o}}", "200", "description", stream ? stream : "It worked", "content", content_make(view));
}

/* `GET /api/v1/runs/{run}/events` is `get_runs_events`: as long as no two are the same (a test looks). */
static char *operation_name(const struct row *row)
{
	AUTO_BUF name = buf_new(NAME_BYTES_MAX);
	struct view rest = view_of(row->pattern + strlen(API));

	for (const char *at = row->method; *at; at++)
		buf_add_char(&name, (char)tolower((unsigned char)*at));
	while (rest.length) {
		struct view piece = view_cut(rest, '/', &rest);
		bool param = piece.length && piece.at[0] == '{';

		if (!piece.length)
			continue;
		buf_add_text(&name, param ? "_by_" : "_");
		for (size_t i = param; i < piece.length - param; i++)
			buf_add_char(&name, isalnum((unsigned char)piece.at[i]) ? piece.at[i] : '_');
	}
	return buf_take(&name);
}

static json_t *operation_make(const struct row *row)
{
	static const char *const roles[] = {
		[ROLE_VIEWER] = "viewer", [ROLE_DEVELOPER] = "developer", [ROLE_APPROVER] = "approver", [ROLE_ADMIN] = "admin"};
	AUTO_FREE char *name = operation_name(row);
	AUTO_FREE char *tag = view_copy(view_cut(view_of(row->pattern + strlen(API "/")), '/', &(struct view){0}));
	AUTO_JSON responses = answer_make(row->answers);
	json_t *operation;

	(void)json_object_set_new(responses, "default", ref_make("responses", VIEW("Problem")));
	operation = json_pack("{s:s, s:s, s:[s], s:s, s:o, s:O}", "operationId", name, "summary", row->does, "tags", tag,
			      "x-assay-role", roles[row->role], "parameters", parameters_make(row), "responses", responses);
	if (strcmp(row->method, "POST") == 0)
		(void)json_object_set_new(operation, "requestBody",
					  row->raw_bytes_max ? bytes_make(row->raw_bytes_max) : body_make(row->fields));
	if (strcmp(row->method, "POST") == 0 && again_fits(row))
		(void)json_object_set_new(operation, "x-assay-idempotency-key", json_true());
	return operation;
}

static json_t *paths_make(const struct row *rows, size_t row_count)
{
	json_t *paths = json_object();

	for (size_t i = 0; i < row_count; i++) {
		AUTO_FREE char *method = text_copy(rows[i].method);
		json_t *path;

		if (!rows[i].does)
			continue;
		for (char *at = method; *at; at++)
			*at = (char)tolower((unsigned char)*at);
		path = json_object_get(paths, rows[i].pattern);
		if (!path) {
			path = json_object();
			(void)json_object_set_new(paths, rows[i].pattern, path);
		}
		(void)json_object_set_new(path, method, operation_make(&rows[i]));
	}
	return paths;
}

json_t *openapi_make(const struct row *rows, size_t row_count, const char *server)
{
	AUTO_JSON schemas = json_object();

	for (size_t i = 0; i < shape_count; i++)
		(void)json_object_set_new(schemas, shapes[i].name, shape_make(&shapes[i]));
	return json_pack(
		"{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}, {s:[]}], s:o, s:{s:O, s:{s:{s:s, s:o}}, "
		"s:{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}}}",
		"openapi", "3.1.0", "info", "title", "Assay", "version", ASSAY_VERSION, "description",
		"The API of `assay serve`. Times are milliseconds since 1970; lists are {\"items\": [...]}. A call with "
		"`x-assay-idempotency-key` takes the header `Idempotency-Key`: the same key with the same body is done once and answered "
		"alike for a day. Who asks too often gets 429 with `Retry-After`; `RateLimit` says what is left.",
		"license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", server, "security", "token", "page",
		"paths", paths_make(rows, row_count), "components", "schemas", schemas, "responses", "Problem", "description",
		"What went wrong", "content", content_of("application/problem+json", ref_make("schemas", VIEW("Problem"))),
		"securitySchemes", "token", "type", "http", "scheme", "bearer", "description", "A token of `assay token`", "page",
		"type", "apiKey", "in", "header", "name", "X-Assay-Token");
}
