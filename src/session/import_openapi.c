/* The examples of an OpenAPI document as requests: one for each operation, or one for each example of its body. */
#include "base/scope.h"
#include "session/import_priv.h"
#include "session/openapi.h"
#include "session/request.h"

/* The value that the document gives for it. Owned by the caller; NULL: none. */
static json_t *given_value(const json_t *document, const json_t *parameter)
{
	const json_t *example = json_member(parameter, "example");

	return example ? json_deep_copy(example) : openapi_value(document, json_member(parameter, "schema"), true);
}

/* [{"in", "name", "value"}]: those with a value; NULL, and which, when a required one has none. */
static json_t *values_of(const json_t *document, const json_t *operation, const char **missing)
{
	const json_t *parameters = json_member(operation, "parameters");
	AUTO_JSON values = json_array();

	for (size_t i = 0; i < json_array_size(parameters); i++) {
		const json_t *parameter = json_array_get(parameters, i);
		json_t *value = given_value(document, parameter);

		if (value) {
			(void)json_array_append_new(values, json_pack("{s:O, s:O, s:o}", "in", json_member(parameter, "in"), "name",
								      json_member(parameter, "name"), "value", value));
			continue;
		}
		if (!json_flag(parameter, "required", false))
			continue;
		*missing = json_text(parameter, "name", "");
		return NULL;
	}
	return json_incref(values);
}

static void operation_import(const json_t *document, const json_t *operation, struct import *import)
{
	const char *method = json_text(operation, "method", "");
	const char *path = json_text(operation, "path", "");
	const json_t *body = json_member(operation, "body");
	AUTO_JSON bodies = json_is_object(body) ? json_copy(json_member(body, "examples")) : json_array();
	const char *missing = "";
	AUTO_JSON values = values_of(document, operation, &missing);
	json_t *made;

	if (!values) {
		import_left_out(import, "%s %s: no example of `%s`", method, path, missing);
		return;
	}
	if (!json_array_size(bodies) && (made = openapi_value(document, json_member(body, "schema"), true)) != NULL)
		(void)json_array_append_new(bodies, made);
	if (!json_array_size(bodies) && json_flag(body, "required", false)) {
		import_left_out(import, "%s %s: no example of its body", method, path);
		return;
	}
	for (size_t i = 0; i < json_array_size(bodies) || i == 0; i++) {
		struct exchange exchange;

		if (request_make(operation, values, json_array_get(bodies, i), &exchange))
			import_add(import, &exchange);
		else
			import_left_out(import, "%s %s: its example has no value for a part of the path", method, path);
	}
}

int import_openapi(const json_t *document, struct import *import, struct err *err)
{
	AUTO_JSON operations = openapi_operations(document, err);

	if (!operations)
		return -1;
	for (size_t i = 0; i < json_array_size(operations); i++)
		operation_import(document, json_array_get(operations, i), import);
	return 0;
}
