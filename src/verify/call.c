/* Readers of recorded exchanges. */
#include "verify/call.h"

#include <strings.h>

#include "base/scope.h"
#include "verify/format.h"

#define BODY_MAX ((size_t)16 << 20)
#define TEXT_MAX ((size_t)64 << 10)
#define STATEMENT_SHOWN ((size_t)300)

const char *call_header(const json_t *message, const char *name)
{
	const json_t *headers = json_member(message, "headers");

	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *row = json_array_get(headers, i);
		const char *found = json_string_value(json_array_get(row, 0));

		if (found && strcasecmp(found, name) == 0)
			return json_string_value(json_array_get(row, 1));
	}
	return NULL;
}

static char *lower(const char *text)
{
	char *copy = text_copy(text);

	for (char *c = copy; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	return copy;
}

static void member_join(json_t *object, const char *key, const char *value, const char *by)
{
	const char *old = json_text(object, key, NULL);
	AUTO_FREE char *joined = old ? text_format("%s%s%s", old, by, value) : NULL;

	json_set_bytes(object, key, view_of(joined ? joined : value));
}

json_t *call_headers(const json_t *message)
{
	const json_t *headers = json_member(message, "headers");
	json_t *named = json_object();

	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *row = json_array_get(headers, i);
		const char *name = json_string_value(json_array_get(row, 0));
		const char *value = json_string_value(json_array_get(row, 1));
		AUTO_FREE char *key = name ? lower(name) : NULL;

		if (key && value && strcmp(key, "set-cookie") != 0)
			member_join(named, key, value, ", ");
	}
	return named;
}

static void cookie_take(json_t *cookies, struct view text)
{
	struct view rest;
	struct view value;
	struct view name = view_cut(view_cut(text, ';', &rest), '=', &value);
	AUTO_FREE char *key = view_copy(view_trim(name));
	json_t *attributes = json_object();
	json_t *cookie = json_object();

	while (rest.length) {
		struct view detail;
		struct view attribute = view_cut(rest, ';', &rest);
		AUTO_FREE char *named = view_copy(view_trim(view_cut(attribute, '=', &detail)));
		AUTO_FREE char *low = lower(named);

		/* When it ends is a time: that it ends at all is what counts. */
		if (strcmp(low, "expires") == 0 || strcmp(low, "max-age") == 0)
			json_set_bytes(attributes, "lifetime", VIEW("limited"));
		else if (low[0])
			json_set_bytes(attributes, low, view_trim(detail.at ? detail : VIEW("")));
	}
	json_set_bytes(cookie, "value", view_trim(value.at ? value : VIEW("")));
	(void)json_object_set_new(cookie, "attributes", attributes);
	if (key[0])
		(void)json_object_set(cookies, key, cookie);
	json_decref(cookie);
}

json_t *call_cookies(const json_t *response)
{
	const json_t *headers = json_member(response, "headers");
	json_t *cookies = json_object();

	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *row = json_array_get(headers, i);
		const char *name = json_string_value(json_array_get(row, 0));
		const char *value = json_string_value(json_array_get(row, 1));

		if (name && value && strcasecmp(name, "set-cookie") == 0)
			cookie_take(cookies, view_of(value));
	}
	return cookies;
}

void call_body(struct buf *out, const json_t *message)
{
	const json_t *text = json_member(message, "body");
	const char *encoded = json_text(message, "body64", NULL);
	size_t before = out->length;

	if (json_is_string(text))
		buf_add(out, json_string_value(text), json_string_length(text));
	else if (encoded && buf_add_unbase64(out, view_of(encoded), NULL))
		out->length = before;
}

json_t *call_body_json(const json_t *message)
{
	AUTO_BUF body = buf_new(BODY_MAX);
	struct view text;

	call_body(&body, message);
	text = view_trim(buf_view(&body));
	if (!text.length || (text.at[0] != '{' && text.at[0] != '['))
		return NULL;
	return json_parse(text, NULL);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void parameter_decode(struct buf *out, struct view text)
{
	for (size_t i = 0; i < text.length; i++) {
		int high = text.at[i] == '%' && i + 2 < text.length ? hex_value(text.at[i + 1]) : -1;
		int low = high >= 0 ? hex_value(text.at[i + 2]) : -1;

		if (low >= 0) {
			buf_add_char(out, (char)(high * 16 + low));
			i += 2;
		} else {
			buf_add_char(out, text.at[i] == '+' ? ' ' : text.at[i]);
		}
	}
}

json_t *call_query(const char *url)
{
	json_t *parameters = json_object();
	struct view rest;

	(void)view_cut(view_of(url), '?', &rest);
	rest = view_cut(rest.at ? rest : VIEW(""), '#', &(struct view){0});
	while (rest.length) {
		AUTO_BUF name = buf_new(TEXT_MAX);
		AUTO_BUF value = buf_new(TEXT_MAX);
		AUTO_JSON holder = json_object();
		struct view encoded;

		parameter_decode(&name, view_cut(view_cut(rest, '&', &rest), '=', &encoded));
		if (encoded.at)
			parameter_decode(&value, encoded);
		if (!name.length)
			continue;
		json_set_bytes(holder, "name", buf_view(&name));
		buf_add_char(&value, '\0');
		member_join(parameters, json_text(holder, "name", ""), value.at ? value.at : "", "\n");
	}
	return parameters;
}

void call_endpoint(struct buf *out, const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");

	buf_add_format(out, "%s ", json_text(request, "method", "GET"));
	format_path(out, view_of(json_text(request, "url", "/")));
}

void call_place(struct buf *out, const json_t *entry)
{
	const char *under = json_text(entry, "under", NULL);

	call_endpoint(out, entry);
	if (under)
		buf_add_format(out, " while %s", under);
}

static void edge_end(struct buf *out, const char *name, const json_t *inside)
{
	const char *dash = strrchr(name, '-');
	AUTO_FREE char *service = dash ? view_copy(view_make(name, (size_t)(dash - name))) : NULL;
	uint64_t number;

	if (service && !json_object_get(inside, name) && json_object_get(inside, service) &&
	    view_to_u64(view_of(dash + 1), &number))
		buf_add_text(out, service);
	else
		buf_add_text(out, name);
}

void call_edge(struct buf *out, const json_t *exchange, const json_t *inside)
{
	edge_end(out, json_text(exchange, "from", "?"), inside);
	buf_add_text(out, " > ");
	edge_end(out, json_text(exchange, "to", "?"), inside);
}

char *call_seam(const json_t *exchange, const json_t *inside)
{
	const char *from = json_text(exchange, "from", "");
	const char *to = json_text(exchange, "to", "");
	AUTO_BUF caller = buf_new(1024);

	edge_end(&caller, from, inside);
	return view_is(buf_view(&caller), from) ? text_format("%s->%s", from, to) : text_copy(to);
}

bool call_is(const json_t *exchange, const char *protocol)
{
	return strcmp(json_text(exchange, "proto", ""), protocol) == 0;
}

bool call_is_message(const json_t *exchange)
{
	return !call_is(exchange, "http") && json_text(json_member(exchange, "request"), "method", NULL);
}

bool call_is_statement(const json_t *exchange)
{
	static const char *const others[] = {"http", "tcp", "dns"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (call_is(exchange, others[i]))
			return false;
	return !call_is_message(exchange);
}

bool call_changes(const json_t *exchange)
{
	const char *method = json_text(json_member(exchange, "request"), "method", "GET");

	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0;
}

int call_status(const json_t *exchange)
{
	/* google/rpc/code.proto */
	static const int of_grpc[] = {200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401};
	const json_t *response = json_member(exchange, "response");
	int status = (int)json_number(response, "status", 0);
	const char *code = status == 200 ? call_header(response, "grpc-status") : NULL;
	uint64_t number;

	if (!code || !view_to_u64(view_of(code), &number))
		return status;
	return number < ARRAY_LEN(of_grpc) ? of_grpc[number] : 500;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* Past a quoted literal that begins at `at`, with doubled quotes in it; in MySQL's dialect a backslash escapes, too. */
static size_t quoted_end(struct view text, size_t at, bool mysql)
{
	char quote = text.at[at];
	size_t i = at + 1;

	while (i < text.length) {
		if (text.at[i] == quote && (i + 1 >= text.length || text.at[i + 1] != quote))
			return i + 1;
		i += text.at[i] == quote || (mysql && text.at[i] == '\\') ? 2 : 1;
	}
	return text.length;
}

static void literal_add(struct buf *out)
{
	/* A list of literals is one: IN (?, ?, ?) depends on the data. */
	if (view_ends(buf_view(out), VIEW("?, ")) || view_ends(buf_view(out), VIEW("?,")))
		out->length -= out->at[out->length - 1] == ' ' ? 2 : 1;
	else
		buf_add_char(out, '?');
}

static void statement_normalise(struct buf *out, struct view text, bool mysql)
{
	size_t at = 0;

	while (at < text.length && out->length < STATEMENT_SHOWN) {
		char c = text.at[at];
		bool boundary = at == 0 || !is_name(text.at[at - 1]);

		if (c == '\'' || (mysql && c == '"')) {
			literal_add(out);
			at = quoted_end(text, at, mysql);
		} else if (boundary && c >= '0' && c <= '9') {
			literal_add(out);
			while (at < text.length && (is_name(text.at[at]) || text.at[at] == '.'))
				at++;
		} else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			if (out->length && out->at[out->length - 1] != ' ')
				buf_add_char(out, ' ');
			at++;
		} else {
			buf_add_char(out, c);
			at++;
		}
	}
}

void call_statement(struct buf *out, const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");
	const char *statement = json_text(request, "statement", NULL);
	struct view rest;
	struct view word;

	if (!call_is(exchange, "redis")) {
		statement_normalise(out, view_trim(view_of(statement ? statement : json_text(request, "command", ""))),
				    call_is(exchange, "mysql"));
		return;
	}
	word = view_cut(view_trim(view_of(json_text(request, "command", statement ? statement : ""))), ' ', &rest);
	if (statement && !rest.at) { /* the command's name alone; the statement has its arguments */
		(void)view_cut(view_trim(view_of(statement)), ' ', &rest);
	}
	buf_add_view(out, word);
	if (rest.length) {
		buf_add_char(out, ' ');
		format_mask(out, view_cut(rest, ' ', &(struct view){0}));
	}
}
