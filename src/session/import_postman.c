/*
 * Postman collections, v2.1 (https://schema.getpostman.com/json/collection/v2.1.0/collection.json): folders of requests with variables; the first
 * saved answer of a request is taken for what was recorded. Scripts are not run.
 */
#include "base/scope.h"
#include "session/import_priv.h"

#define FOLDER_DEPTH_MAX 20
#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define VARIABLES_FOLLOWED 8 /* a variable may be made of others */
#define VARIABLES_MAX 10000  /* looked up for one request */

struct reading {
	struct import *import;
	json_t *variables; /* {name: text} */
	char *missing;     /* a variable of the request at work that has no value */
	int looked_up;
};

static void text_fill(struct reading *reading, struct buf *out, struct view text, int depth);

static void variable_add(struct reading *reading, struct buf *out, struct view name, int depth)
{
	AUTO_FREE char *key = view_copy(view_trim(name));
	const char *value = json_text(reading->variables, key, NULL);

	if (value && depth < VARIABLES_FOLLOWED && reading->looked_up++ < VARIABLES_MAX) {
		text_fill(reading, out, view_of(value), depth + 1);
	} else if (!reading->missing) {
		reading->missing = TAKE(key);
	}
}

static void text_fill(struct reading *reading, struct buf *out, struct view text, int depth)
{
	while (text.length) {
		ptrdiff_t open = view_find(text, VIEW("{{"));
		ptrdiff_t close = open < 0 ? -1 : view_find(view_make(text.at + open, text.length - (size_t)open), VIEW("}}"));

		if (close < 0) {
			buf_add_view(out, text);
			return;
		}
		buf_add(out, text.at, (size_t)open);
		variable_add(reading, out, view_make(text.at + open + 2, (size_t)close - 2), depth);
		text = view_make(text.at + open + close + 2, text.length - (size_t)(open + close) - 2);
	}
}

static char *filled(struct reading *reading, const char *text)
{
	AUTO_BUF out = buf_new(TEXT_BYTES_MAX);

	text_fill(reading, &out, view_of(text ? text : ""), 0);
	return buf_take(&out);
}

/* Whatever host it names, or a variable for one: only the rest counts. */
static char *url_make(struct reading *reading, const json_t *url)
{
	const char *raw = json_is_string(url) ? json_string_value(url) : json_text(url, "raw", "");
	struct view rest = view_of(raw);
	ptrdiff_t scheme = view_find(rest, VIEW("://"));
	ptrdiff_t host = view_starts(rest, VIEW("{{")) ? view_find(rest, VIEW("}}")) : -1;
	const char *slash;
	AUTO_BUF made = buf_new(TEXT_BYTES_MAX);

	if (host >= 0)
		rest = view_make(rest.at + host + 2, rest.length - (size_t)host - 2);
	else if (scheme >= 0)
		rest = view_make(rest.at + scheme + 3, rest.length - (size_t)scheme - 3);
	slash = rest.length ? memchr(rest.at, '/', rest.length) : NULL;
	if (slash)
		rest = view_make(slash, rest.length - (size_t)(slash - rest.at));
	buf_add_text(&made, IMPORT_HOST);
	if (slash)
		text_fill(reading, &made, rest, 0);
	else
		buf_add_char(&made, '/');
	return buf_take(&made);
}

/* [{"key", "value", "disabled"}] */
static void headers_add(struct reading *reading, struct exchange_headers *headers, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		AUTO_FREE char *value = filled(reading, json_text(row, "value", ""));

		if (json_text(row, "key", NULL) && !json_flag(row, "disabled", false))
			exchange_header_add(headers, view_of(json_text(row, "key", "")), view_of(value ? value : ""));
	}
}

static const char *pair_text(const json_t *list, const char *key)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_text(json_array_get(list, i), "key", ""), key) == 0)
			return json_text(json_array_get(list, i), "value", "");
	return "";
}

static void auth_add(struct reading *reading, struct exchange *exchange, const json_t *auth)
{
	const char *type = json_text(auth, "type", "");
	AUTO_BUF value = buf_new(TEXT_BYTES_MAX);

	if (strcmp(type, "bearer") == 0) {
		AUTO_FREE char *token = filled(reading, pair_text(json_member(auth, "bearer"), "token"));

		buf_add_format(&value, "Bearer %s", token ? token : "");
	} else if (strcmp(type, "basic") == 0) {
		AUTO_FREE char *user = filled(reading, pair_text(json_member(auth, "basic"), "username"));
		AUTO_FREE char *password = filled(reading, pair_text(json_member(auth, "basic"), "password"));
		AUTO_FREE char *both = text_format("%s:%s", user ? user : "", password ? password : "");

		buf_add_text(&value, "Basic ");
		buf_add_base64(&value, both, strlen(both));
	} else if (strcmp(type, "apikey") == 0 && strcmp(pair_text(json_member(auth, "apikey"), "in"), "query") != 0) {
		AUTO_FREE char *key = filled(reading, pair_text(json_member(auth, "apikey"), "key"));
		AUTO_FREE char *text = filled(reading, pair_text(json_member(auth, "apikey"), "value"));

		exchange_header_add(&exchange->request_headers, view_of(key ? key : ""), view_of(text ? text : ""));
	}
	if (value.length && !exchange_header(&exchange->request_headers, "authorization"))
		exchange_header_add(&exchange->request_headers, VIEW("Authorization"), buf_view(&value));
}

static void form_add(struct reading *reading, struct buf *out, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		AUTO_FREE char *value = filled(reading, json_text(row, "value", ""));

		if (json_flag(row, "disabled", false))
			continue;
		if (out->length)
			buf_add_char(out, '&');
		buf_add_url(out, view_of(json_text(row, "key", "")));
		buf_add_char(out, '=');
		buf_add_url(out, view_of(value ? value : ""));
	}
}

/* False: files, which a collection only names. */
static bool body_add(struct reading *reading, struct exchange *exchange, const json_t *body)
{
	const char *mode = json_text(body, "mode", "");
	const char *language = json_text(json_member(json_member(body, "options"), "raw"), "language", "");
	const char *type = NULL;
	AUTO_BUF out = buf_new(TEXT_BYTES_MAX);

	if (strcmp(mode, "raw") == 0) {
		text_fill(reading, &out, view_of(json_text(body, "raw", "")), 0);
		type = strcmp(language, "json") == 0 || (out.length && strchr("{[", out.at[0])) ? "application/json" : "text/plain";
	} else if (strcmp(mode, "urlencoded") == 0) {
		form_add(reading, &out, json_member(body, "urlencoded"));
		type = "application/x-www-form-urlencoded";
	} else if (strcmp(mode, "graphql") == 0) {
		AUTO_JSON variables = json_parse(view_of(json_text(json_member(body, "graphql"), "variables", "{}")), NULL);
		AUTO_JSON asked = json_pack("{s:s, s:O*}", "query", json_text(json_member(body, "graphql"), "query", ""),
					    "variables", variables);

		json_format(&out, asked);
		type = "application/json";
	} else if (mode[0]) {
		return false;
	}
	import_body(&exchange->request_body, buf_view(&out));
	if (out.length && type && !exchange_header(&exchange->request_headers, "content-type"))
		exchange_header_add(&exchange->request_headers, VIEW("Content-Type"), view_of(type));
	return true;
}

static void request_read(struct reading *reading, const json_t *item, const json_t *auth)
{
	const json_t *request = json_member(item, "request");
	const json_t *answer = json_array_get(json_member(item, "response"), 0);
	const char *name = json_text(item, "name", "a request");
	AUTO_EXCHANGE exchange = {0};
	AUTO_FREE char *missing = NULL;
	bool whole;

	reading->missing = NULL;
	reading->looked_up = 0;
	exchange.method = text_copy(json_text(request, "method", "GET"));
	exchange.url = url_make(reading, json_is_string(request) ? request : json_member(request, "url"));
	headers_add(reading, &exchange.request_headers, json_member(request, "header"));
	auth_add(reading, &exchange, json_is_object(json_member(request, "auth")) ? json_member(request, "auth") : auth);
	whole = body_add(reading, &exchange, json_member(request, "body"));
	missing = TAKE(reading->missing);
	exchange.status = (int)json_number(answer, "code", 0);
	if (exchange.status < 0 || exchange.status > 999)
		exchange.status = 0;
	headers_add(reading, &exchange.response_headers, json_member(answer, "header"));
	import_body(&exchange.response_body, view_of(json_text(answer, "body", "")));
	scope_free(&reading->missing);
	if (missing)
		import_left_out(reading->import, "%s: the variable `%s` has no value in the collection", name, missing);
	else if (!whole)
		import_left_out(reading->import, "%s: its body is a file or a form with files", name);
	else
		import_add(reading->import, &exchange);
}

static int items_read(struct reading *reading, const json_t *items, const json_t *auth, int depth, struct err *err)
{
	if (depth > FOLDER_DEPTH_MAX)
		return err_set(err, ERR_LIMIT, "folders nested more than %d deep", FOLDER_DEPTH_MAX);
	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);
		const json_t *own = json_is_object(json_member(item, "auth")) ? json_member(item, "auth") : auth;

		if (json_is_array(json_member(item, "item"))) {
			if (items_read(reading, json_member(item, "item"), own, depth + 1, err))
				return -1;
		} else if (json_member(item, "request")) {
			request_read(reading, item, own);
		} else {
			return err_set(err, ERR_INVALID, "item %zu (%.80s): neither a folder nor a request", i + 1,
				       json_text(item, "name", "without a name"));
		}
	}
	return 0;
}

int import_postman(const json_t *collection, struct import *import, struct err *err)
{
	const char *schema = json_text(json_member(collection, "info"), "schema", "");
	const json_t *list = json_member(collection, "variable");
	AUTO_JSON variables = json_object();
	struct reading reading = {.import = import, .variables = variables};

	if (!json_is_array(json_member(collection, "item")))
		return err_set(err, ERR_INVALID, "no Postman collection: `item` must be a list");
	if (schema[0] && !strstr(schema, "/v2."))
		return err_set(err, ERR_INVALID, "a Postman collection of another version than 2.1: export it as v2.1 (%.100s)",
			       schema);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		if (json_text(row, "key", NULL) && json_text(row, "value", NULL))
			(void)json_object_set(variables, json_text(row, "key", ""), json_member(row, "value"));
	}
	return items_read(&reading, json_member(collection, "item"), json_member(collection, "auth"), 0, err);
}
