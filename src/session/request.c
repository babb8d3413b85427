/* Filling the template of a path, a query, headers and a body. */
#include "session/request.h"

#include "base/scope.h"
#include "session/import_priv.h"
#include "session/openapi.h"

#define BODY_BYTES_MAX ((size_t)1 << 20)
#define URL_BYTES_MAX ((size_t)64 << 10)

static const json_t *value_find(const json_t *values, const char *in, struct view name)
{
	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *row = json_array_get(values, i);

		if (strcmp(json_text(row, "in", ""), in) == 0 && view_is(name, json_text(row, "name", "")))
			return json_member(row, "value");
	}
	return NULL;
}

static bool path_fill(struct buf *url, const char *path, const json_t *values)
{
	struct view rest = view_of(path);

	while (rest.length) {
		struct view after;
		struct view before = view_cut(rest, '{', &after);
		const json_t *value;

		buf_add_view(url, before);
		if (!after.at)
			return true;
		value = value_find(values, "path", view_cut(after, '}', &rest));
		AUTO_FREE char *text = value ? openapi_text(value) : NULL;
		if (!text || !text[0] || !rest.at)
			return false;
		buf_add_url(url, view_of(text));
	}
	return true;
}

/* Lists are repeated, as is the default of OpenAPI. */
static void query_add(struct buf *url, const json_t *row, bool *any)
{
	const json_t *value = json_member(row, "value");
	size_t count = json_is_array(value) ? json_array_size(value) : 1;

	for (size_t i = 0; i < count; i++) {
		AUTO_FREE char *text = openapi_text(json_is_array(value) ? json_array_get(value, i) : value);

		buf_add_char(url, *any ? '&' : '?');
		buf_add_url(url, view_of(json_text(row, "name", "")));
		buf_add_char(url, '=');
		buf_add_url(url, view_of(text ? text : ""));
		*any = true;
	}
}

static void header_add(struct exchange *exchange, const char *name, struct view value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.at[i] < ' ' || value.at[i] == 0x7f)
			return;
	exchange_header_add(&exchange->request_headers, view_of(name), value);
}

static void values_place(struct exchange *exchange, struct buf *url, const json_t *values)
{
	AUTO_BUF cookies = buf_new(URL_BYTES_MAX);
	bool any = false;

	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *row = json_array_get(values, i);
		const char *in = json_text(row, "in", "");
		AUTO_FREE char *text = openapi_text(json_member(row, "value"));

		if (strcmp(in, "query") == 0)
			query_add(url, row, &any);
		else if (strcmp(in, "header") == 0)
			header_add(exchange, json_text(row, "name", ""), view_of(text ? text : ""));
		else if (strcmp(in, "cookie") == 0)
			buf_add_format(&cookies, "%s%s=%s", cookies.length ? "; " : "", json_text(row, "name", ""),
				       text ? text : "");
	}
	if (cookies.length)
		header_add(exchange, "Cookie", buf_view(&cookies));
}

static void form_add(struct buf *out, const json_t *body)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)body, name, value) {
		AUTO_FREE char *text = openapi_text(value);

		if (out->length)
			buf_add_char(out, '&');
		buf_add_url(out, view_of(name));
		buf_add_char(out, '=');
		buf_add_url(out, view_of(text ? text : ""));
	}
}

static void body_format(struct buf *out, const char *type, const json_t *body)
{
	if (strcasestr(type, "json"))
		json_format(out, body);
	else if (strcasestr(type, "x-www-form-urlencoded") && json_is_object(body))
		form_add(out, body);
	else if (json_is_string(body))
		buf_add(out, json_string_value(body), json_string_length(body));
	else
		json_format(out, body);
}

bool request_make(const json_t *operation, const json_t *values, const json_t *body, struct exchange *exchange)
{
	const json_t *answer = json_member(operation, "answer");
	const char *type = json_text(json_member(operation, "body"), "type", "application/json");
	const char *answer_type = json_text(answer, "type", NULL);
	AUTO_BUF url = buf_new(URL_BYTES_MAX);
	AUTO_BUF text = buf_new(BODY_BYTES_MAX);
	AUTO_BUF answered = buf_new(BODY_BYTES_MAX);

	buf_add_text(&url, IMPORT_HOST);
	if (!path_fill(&url, json_text(operation, "path", "/"), values))
		return false;
	*exchange = (struct exchange){.method = text_copy(json_text(operation, "method", "GET")),
				      .status = (int)json_number(answer, "status", 200)};
	values_place(exchange, &url, values);
	exchange->url = buf_take(&url);
	if (body) {
		exchange_header_add(&exchange->request_headers, VIEW("Content-Type"), view_of(type));
		body_format(&text, type, body);
		import_body(&exchange->request_body, buf_view(&text));
	}
	if (answer_type)
		exchange_header_add(&exchange->response_headers, VIEW("Content-Type"), view_of(answer_type));
	if (answer_type && json_member(answer, "example")) {
		body_format(&answered, answer_type, json_member(answer, "example"));
		import_body(&exchange->response_body, buf_view(&answered));
	}
	return true;
}
