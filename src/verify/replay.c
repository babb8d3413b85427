/* Learning what depends on what, and putting live values in the place of recorded ones. */
#include "verify/replay_priv.h"

#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "http/url.h"
#include "session/coded.h"
#include "session/hide.h"
#include "verify/call.h"

#define PREFIX_MAX ((size_t)24)
#define PATH_DEPTH_MAX 32

/* ---- collecting what answers give ---- */

struct offers {
	json_t *index; /* value -> place in `at` */
	struct source *at;
	size_t count;
};

static void offer(struct offers *offers, struct view value, struct source source)
{
	AUTO_JSON key = json_object();

	json_set_bytes(key, "v", value);
	if (json_object_get(offers->index, json_text(key, "v", ""))) {
		json_decref(source.path);
		json_decref(source.inner);
		return;
	}
	offers->at = mem_grow(offers->at, offers->count + 1, sizeof(offers->at[0]));
	offers->at[offers->count] = source;
	(void)json_object_set_new(offers->index, json_text(key, "v", ""), json_integer((json_int_t)offers->count++));
}

bool replay_names_id(const char *key)
{
	struct view name = view_of(key);

	return view_is(name, "id") || view_is(name, "sub") || view_ends(name, VIEW("_id")) || view_ends(name, VIEW("Id")) ||
	       view_is(name, "number");
}

static void offer_number(struct offers *offers, const json_t *value, struct source source)
{
	AUTO_FREE char *text = text_format("#%lld", (long long)json_integer_value(value));

	source.number = true;
	offer(offers, view_of(text), source);
}

/* A value at work: an answer's JSON, or what stands decoded in one of its texts. */
struct walking {
	struct offers *offers;
	const struct source *outer; /* whose text it stands in; NULL: the answer itself */
	size_t entry;
	bool makes; /* something: its numbers are ids */
	json_t *path;
};

static struct source source_here(const struct walking *walking)
{
	struct source source = {.entry = walking->entry, .place = PLACE_JSON};

	if (!walking->outer) {
		source.path = json_deep_copy(walking->path);
		return source;
	}
	source = *walking->outer;
	source.path = json_incref(walking->outer->path);
	source.inner = json_deep_copy(walking->path);
	return source;
}

static void offer_coded(const struct walking *walking, struct view value, const struct source *outer);

/* Leaves of a JSON answer; numbers only of what a request made, and only ids. */
static void offer_json(struct walking *walking, const json_t *value, const char *key)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_array_size(walking->path) > PATH_DEPTH_MAX)
		return;
	if (json_is_string(value) && json_string_length(value) >= REPLAY_VALUE_MIN) {
		struct view text = view_make(json_string_value(value), json_string_length(value));
		struct source source = source_here(walking);

		if (!walking->outer)
			offer_coded(walking, text, &source);
		offer(walking->offers, text, source);
	} else if (json_is_integer(value) && walking->makes && replay_names_id(key)) {
		offer_number(walking->offers, value, source_here(walking));
	}
	json_object_foreach((json_t *)(uintptr_t)value, name, member) {
		(void)json_array_append_new(walking->path, json_string(name));
		offer_json(walking, member, name);
		(void)json_array_remove(walking->path, json_array_size(walking->path) - 1);
	}
	json_array_foreach(value, i, member) {
		(void)json_array_append_new(walking->path, json_integer((json_int_t)i));
		offer_json(walking, member, key);
		(void)json_array_remove(walking->path, json_array_size(walking->path) - 1);
	}
}

/* What a text stands for: the claims of a token, the fields of a cursor. */
static void offer_coded(const struct walking *walking, struct view value, const struct source *outer)
{
	AUTO_BUF plain = buf_new(REPLAY_BODY_MAX);
	AUTO_JSON path = json_array();
	struct walking inside = {walking->offers, outer, walking->entry, walking->makes, path};
	AUTO_JSON json = NULL;

	if (!coded_plain(&plain, value))
		return;
	json = plain.at[0] == '{' || plain.at[0] == '[' ? json_parse(buf_view(&plain), NULL) : NULL;
	if (json)
		offer_json(&inside, json, "");
	else if (plain.length >= REPLAY_VALUE_MIN)
		offer(walking->offers, buf_view(&plain), source_here(&inside));
}

bool replay_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
	       c == '~';
}

static bool is_wide_char(char c)
{
	return replay_token_char(c) || c == '+' || c == '/' || c == '=' || c == ':' || c == '%';
}

size_t replay_run_end(struct view text, size_t at, bool (*is)(char c))
{
	while (at < text.length && is(text.at[at]))
		at++;
	return at;
}

/* Tokens of a page, found again by what stands before them. Words have no digits; tokens have. */
static void offer_text(const struct walking *walking, struct view text)
{
	for (size_t at = 0; at < text.length; at++) {
		size_t end = replay_run_end(text, at, replay_token_char);
		bool digit = false;
		size_t before = at < PREFIX_MAX ? at : PREFIX_MAX;

		for (size_t i = at; i < end; i++)
			digit = digit || (text.at[i] >= '0' && text.at[i] <= '9');
		if (end - at >= REPLAY_VALUE_MIN && digit && before) {
			AUTO_JSON holder = json_object();

			json_set_bytes(holder, "p", view_make(text.at + at - before, before));
			struct view token = view_make(text.at + at, end - at);
			struct source source = {
				.entry = walking->entry, .place = PLACE_TEXT, .path = json_incref(json_member(holder, "p"))};

			offer_coded(walking, token, &source);
			offer(walking->offers, token, source);
		}
		at = end;
	}
}

static void offer_entry(struct offers *offers, size_t entry, const json_t *request, const json_t *response)
{
	const char *method = json_text(request, "method", "GET");
	bool makes = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
	AUTO_JSON cookies = call_cookies(response);
	AUTO_JSON body = call_body_json(response);
	AUTO_JSON path = json_array();
	const char *location = call_header(response, "location");
	struct walking walking = {offers, NULL, entry, makes, path};
	const char *name;
	json_t *cookie;

	json_object_foreach(cookies, name, cookie) {
		struct view value = view_of(json_text(cookie, "value", ""));

		if (value.length >= REPLAY_VALUE_MIN) {
			struct source source = {.entry = entry, .place = PLACE_COOKIE, .path = json_string(name)};

			offer_coded(&walking, value, &source);
			offer(offers, value, source);
		}
	}
	if (location && strlen(location) >= REPLAY_VALUE_MIN)
		offer(offers, view_of(location),
		      (struct source){.entry = entry, .place = PLACE_HEADER, .path = json_string("location")});
	if (body) {
		offer_json(&walking, body, "");
	} else {
		AUTO_BUF text = buf_new(REPLAY_BODY_MAX);

		call_body(&text, response);
		offer_text(&walking, buf_view(&text));
	}
}

/* ---- finding what requests use ---- */

struct use {
	struct replay *replay;
	const struct offers *offers;
	size_t entry;
	bool coded; /* what is looked at stands in base64 */
};

static struct source source_copy(const struct source *source)
{
	struct source copy = *source;

	copy.path = json_incref(source->path);
	copy.inner = json_incref(source->inner);
	return copy;
}

static void link_add(struct use *use, const struct source *source, struct view value, const char *key)
{
	struct replay *replay = use->replay;

	if (source->entry >= use->entry || replay->link_count >= REPLAY_LINKS_MAX)
		return;
	for (size_t i = 0; i < replay->link_count; i++)
		if (replay->links[i].to == use->entry && view_is(value, replay->links[i].value)) {
			replay->links[i].coded = replay->links[i].coded || use->coded;
			if (key && !replay->links[i].key)
				replay->links[i].key = text_copy(key);
			return;
		}
	replay->links = mem_grow(replay->links, replay->link_count + 1, sizeof(replay->links[0]));
	replay->links[replay->link_count++] = (struct link){.to = use->entry,
							    .source = source_copy(source),
							    .value = view_copy(value),
							    .coded = use->coded,
							    .key = text_copy(key)};
}

static void use_value(struct use *use, struct view value)
{
	AUTO_JSON key = json_object();
	const json_t *at;

	if (value.length < REPLAY_VALUE_MIN || value.length > REPLAY_BODY_MAX)
		return;
	json_set_bytes(key, "v", value);
	at = json_object_get(use->offers->index, json_text(key, "v", ""));
	if (at && use->offers->at)
		link_add(use, &use->offers->at[json_integer_value(at)], value, NULL);
}

static void use_runs(struct use *use, struct view text, bool (*is)(char c))
{
	for (size_t at = 0; at < text.length; at++) {
		size_t end = replay_run_end(text, at, is);

		use_value(use, view_make(text.at + at, end - at));
		at = end;
	}
}

static void use_plain(struct use *use, struct view text)
{
	use_value(use, text);
	use_runs(use, text, replay_token_char);
	use_runs(use, text, is_wide_char);
}

static bool use_coded(void *self, struct buf *plain)
{
	use_plain(self, buf_view(plain));
	return false;
}

/* As it stands there, and what stands there in base64. */
static void use_text(struct use *use, struct view text)
{
	struct use inside = *use;
	AUTO_BUF unchanged = buf_new(REPLAY_BODY_MAX);

	use_plain(use, text);
	inside.coded = true;
	(void)coded_each(&unchanged, text, false, use_coded, &inside);
}

/* Does a field speak of what a number names: "order_id" of what POST /orders made, "cart_id" of another answer's "cart_id"? A mere "id" may be anything's. */
static bool field_speaks_of(const struct use *use, const char *key, const struct source *source)
{
	struct view stem = view_of(key);
	const json_t *made = json_member(json_array_get(use->replay->entries, source->entry), "request");
	const json_t *path = source->inner ? source->inner : source->path;
	const char *its_key = json_string_value(json_array_get(path, json_array_size(path) - 1));

	if (!view_ends(stem, VIEW("_id")) && !view_ends(stem, VIEW("Id")))
		return false;
	stem.length -= 2;
	if (view_ends(stem, VIEW("_")))
		stem.length--;
	if (its_key && strcmp(its_key, key) == 0)
		return true;
	AUTO_FREE char *word = view_copy(stem);
	return stem.length > 2 && strcasestr(json_text(made, "url", ""), word) != NULL;
}

/* `key`: of the body's field that it stands in; NULL: in the URL. */
static void use_number(struct use *use, struct view segment, const char *key)
{
	uint64_t number;
	const json_t *at;

	if (!view_to_u64(segment, &number))
		return;
	AUTO_FREE char *name = text_format("#%llu", (unsigned long long)number);
	at = json_object_get(use->offers->index, name);
	if (!at || !use->offers->at)
		return;
	if (!key || field_speaks_of(use, key, &use->offers->at[json_integer_value(at)]))
		link_add(use, &use->offers->at[json_integer_value(at)], segment, key);
}

static void use_url(struct use *use, const char *url)
{
	struct view query;
	struct view path = view_cut(view_of(url), '?', &query);
	AUTO_JSON parameters = call_query(url);
	const char *name;
	json_t *value;

	use_text(use, view_of(url));
	while (path.length) {
		struct view rest;
		struct view segment = view_cut(path, '/', &rest);

		use_number(use, segment, NULL);
		path = rest.at ? rest : VIEW("");
	}
	json_object_foreach(parameters, name, value) {
		use_value(use, view_of(json_string_value(value)));
		use_number(use, view_of(json_string_value(value)), NULL);
	}
}

static void use_json(struct use *use, const json_t *value, const char *key)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value))
		use_text(use, view_make(json_string_value(value), json_string_length(value)));
	if (json_is_integer(value) && replay_names_id(key)) {
		AUTO_FREE char *text = text_format("%lld", (long long)json_integer_value(value));

		use_number(use, view_of(text), key);
	}
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
		use_json(use, member, name);
	json_array_foreach(value, i, member)
		use_json(use, member, key);
}

/* Numbers of a form's fields that name things. */
static void use_form(struct use *use, struct view form)
{
	while (form.length) {
		struct view value;
		struct view name = view_cut(view_cut(form, '&', &form), '=', &value);
		AUTO_FREE char *key = view_copy(name);

		if (value.length && replay_names_id(key))
			use_number(use, value, key);
	}
}

/* A short cookie is still the one that was set under its name. */
static void use_cookies(struct use *use, const char *header)
{
	struct view rest = view_of(header);

	while (rest.length) {
		struct view value;
		struct view name = view_trim(view_cut(view_cut(rest, ';', &rest), '=', &value));
		AUTO_FREE char *text = view_copy(name);

		for (size_t i = use->entry; i > 0 && value.length; i--) {
			const json_t *response = json_member(json_array_get(use->replay->entries, i - 1), "response");
			AUTO_JSON cookies = call_cookies(response);

			if (!view_is(value, json_text(json_member(cookies, text), "value", "")))
				continue;
			AUTO_JSON path = json_string(text);
			link_add(use, &(struct source){.entry = i - 1, .place = PLACE_COOKIE, .path = path}, value, NULL);
			break;
		}
	}
}

static void use_entry(struct use *use, const json_t *request)
{
	const json_t *headers = json_member(request, "headers");
	AUTO_JSON body = call_body_json(request);

	use_url(use, json_text(request, "url", "/"));
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const char *name = json_string_value(json_array_get(json_array_get(headers, i), 0));
		const char *value = json_string_value(json_array_get(json_array_get(headers, i), 1));

		if (!name || !value)
			continue;
		if (strcasecmp(name, "cookie") == 0)
			use_cookies(use, value);
		use_text(use, view_of(value));
	}
	if (body) {
		use_json(use, body, "");
	} else {
		AUTO_BUF text = buf_new(REPLAY_BODY_MAX);
		AUTO_BUF decoded = buf_new(REPLAY_BODY_MAX);

		call_body(&text, request);
		use_text(use, buf_view(&text));
		use_form(use, buf_view(&text));
		if (!url_decode(&decoded, buf_view(&text), true, NULL))
			use_text(use, buf_view(&decoded));
	}
}

/* ---- the recording ---- */

/* Not for another connection, another time or another host. */
static bool header_volatile(const char *name)
{
	static const char *const names[] = {"host",
					    "connection",
					    "content-length",
					    "transfer-encoding",
					    "accept-encoding",
					    "date",
					    "referer",
					    "origin",
					    "if-none-match",
					    "if-modified-since",
					    "te",
					    "upgrade",
					    "keep-alive",
					    "expect",
					    "dnt",
					    "pragma",
					    "cache-control",
					    "user-agent"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return name[0] == ':' || strncasecmp(name, "sec-", 4) == 0 || strncasecmp(name, "proxy-", 6) == 0 ||
	       strncasecmp(name, "x-forwarded-", 12) == 0;
}

static json_t *headers_convert(const struct exchange_headers *headers, bool request)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < headers->count; i++)
		if (!request || !header_volatile(headers->at[i].name))
			(void)json_array_append_new(rows, json_pack("[ss]", headers->at[i].name, headers->at[i].value));
	return rows;
}

/* Sets "body" when the bytes are text, else "body64". */
void replay_body_set(json_t *message, struct view bytes)
{
	json_t *text = json_stringn(bytes.length ? bytes.at : "", bytes.length);
	AUTO_BUF encoded = buf_new(2 * REPLAY_BODY_MAX);

	if (text) {
		(void)json_object_set_new(message, "body", text);
		return;
	}
	buf_add_base64(&encoded, bytes.at, bytes.length);
	(void)json_object_set_new(message, "body64", json_string(encoded.at));
}

/* Path and query of what may be an absolute URL. */
static const char *url_path(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *slash;

	if (url[0] == '/' || !scheme)
		return url[0] == '/' ? url : "/";
	slash = strchr(scheme + 3, '/');
	return slash ? slash : "/";
}

static json_t *entry_convert(const struct exchange *exchange)
{
	json_t *request = json_pack("{s:s, s:s, s:o}", "method", exchange->method, "url", url_path(exchange->url), "headers",
				    headers_convert(&exchange->request_headers, true));
	json_t *response = json_pack("{s:i, s:o}", "status", exchange->status, "headers",
				     headers_convert(&exchange->response_headers, false));

	if (!request || !response) {
		json_decref(request);
		json_decref(response);
		return NULL;
	}
	replay_body_set(request, view_make(exchange->request_body.at, exchange->request_body.length));
	replay_body_set(response, view_make(exchange->response_body.at, exchange->response_body.length));
	return json_pack("{s:o, s:o}", "request", request, "response", response);
}

/* NULL when it can be replayed, else why not. */
static const char *why_not(const struct exchange *exchange)
{
	const char *type = exchange_header(&exchange->response_headers, "content-type");

	if (exchange->status == 101)
		return "an upgraded connection";
	if (type && strncasecmp(type, "text/event-stream", 17) == 0)
		return "a stream of events";
	if (exchange->request_body.cut)
		return "its body was not recorded whole";
	return NULL;
}

static bool is_request(const struct exchange *exchange)
{
	return exchange->method && exchange->url && (!exchange->proto || strcmp(exchange->proto, "http") == 0) &&
	       (!exchange->from || !exchange->from[0] || strcmp(exchange->from, "preview") == 0);
}

struct replay *replay_new(const struct session *session, const char *name)
{
	struct replay *replay = mem_new(sizeof(*replay));
	struct offers offers = {.index = json_object()};

	replay->name = text_copy(name);
	replay->entries = json_array();
	replay->left_out = json_array();
	for (size_t i = 0; i < session->count; i++) {
		const struct exchange *exchange = &session->at[i];
		const char *reason = is_request(exchange) ? why_not(exchange) : NULL;
		json_t *entry = is_request(exchange) && !reason ? entry_convert(exchange) : NULL;

		if (reason) {
			AUTO_FREE char *line = text_format("%s: %s %s: %s", name, exchange->method, exchange->url, reason);

			(void)json_array_append_new(replay->left_out, json_string(line));
		}
		if (entry)
			(void)json_array_append_new(replay->entries, entry);
	}
	for (size_t i = 0; i < json_array_size(replay->entries); i++) {
		const json_t *entry = json_array_get(replay->entries, i);

		use_entry(&(struct use){replay, &offers, i, false}, json_member(entry, "request"));
		offer_entry(&offers, i, json_member(entry, "request"), json_member(entry, "response"));
	}
	for (size_t i = 0; i < offers.count; i++) {
		json_decref(offers.at[i].path);
		json_decref(offers.at[i].inner);
	}
	free(offers.at);
	json_decref(offers.index);
	return replay;
}

static void link_fini(struct link *link)
{
	json_decref(link->source.path);
	json_decref(link->source.inner);
	free(link->value);
	free(link->key);
}

void replay_cut(struct replay *replay, size_t count)
{
	size_t kept = 0;

	while (json_array_size(replay->entries) > count)
		(void)json_array_remove(replay->entries, json_array_size(replay->entries) - 1);
	for (size_t i = 0; i < replay->link_count; i++) {
		if (replay->links[i].to < count)
			replay->links[kept++] = replay->links[i];
		else
			link_fini(&replay->links[i]);
	}
	replay->link_count = kept;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	for (size_t i = 0; i < replay->link_count; i++)
		link_fini(&replay->links[i]);
	free(replay->links);
	json_decref(replay->entries);
	json_decref(replay->left_out);
	free(replay->name);
	free(replay);
}

size_t replay_count(const struct replay *replay)
{
	return json_array_size(replay->entries);
}

const json_t *replay_left_out(const struct replay *replay)
{
	return replay->left_out;
}

/* The texts of a request, one after the other. */
static void request_texts(struct buf *out, const json_t *request)
{
	const json_t *headers = json_member(request, "headers");

	buf_add_format(out, "%s\n", json_text(request, "url", ""));
	for (size_t i = 0; i < json_array_size(headers); i++)
		buf_add_format(out, "%s\n", json_string_value(json_array_get(json_array_get(headers, i), 1)));
	call_body(out, request);
}

static bool linked(const struct replay *replay, size_t entry, struct view placeholder)
{
	for (size_t i = 0; i < replay->link_count; i++)
		if (replay->links[i].to == entry && view_find(view_of(replay->links[i].value), placeholder) >= 0)
			return true;
	return false;
}

struct hidden {
	const struct replay *replay;
	size_t entry;
	json_t *found; /* {placeholder: true} */
};

static bool hidden_find(void *self, struct buf *text)
{
	const struct hidden *hidden = self;
	struct view rest = buf_view(text);
	struct view one;

	while (hide_next(&rest, &one)) {
		AUTO_FREE char *key = view_copy(one);

		if (!linked(hidden->replay, hidden->entry, one))
			(void)json_object_set_new(hidden->found, key, json_true());
	}
	return false;
}

json_t *replay_hidden(const struct replay *replay)
{
	AUTO_JSON found = json_object();
	json_t *list = json_array();
	const char *placeholder;
	json_t *yes;

	for (size_t i = 0; i < replay_count(replay); i++) {
		struct hidden hidden = {replay, i, found};
		AUTO_BUF text = buf_new(2 * REPLAY_BODY_MAX);
		AUTO_BUF unchanged = buf_new(2 * REPLAY_BODY_MAX);

		request_texts(&text, json_member(json_array_get(replay->entries, i), "request"));
		(void)hidden_find(&hidden, &text);
		(void)coded_each(&unchanged, buf_view(&text), true, hidden_find, &hidden);
	}
	json_object_foreach(found, placeholder, yes)
		(void)json_array_append_new(list, json_string(placeholder));
	return list;
}

static void path_describe(struct buf *out, const json_t *path)
{
	for (size_t i = 0; i < json_array_size(path); i++) {
		const json_t *part = json_array_get(path, i);

		if (json_is_integer(part))
			buf_add_format(out, "[%lld]", (long long)json_integer_value(part));
		else
			buf_add_format(out, "%s%s", i ? "." : "", json_string_value(part));
	}
}

static void where_describe(struct buf *out, const struct source *source)
{
	static const char *const words[] = {"", "Set-Cookie ", "header ", "text after "};

	if (source->place == PLACE_JSON)
		path_describe(out, source->path);
	else
		buf_add_format(out, "%s%s", words[source->place], json_string_value(source->path));
	if (source->inner)
		buf_add_text(out, ", decoded");
	if (json_array_size(source->inner)) {
		buf_add_char(out, ' ');
		path_describe(out, source->inner);
	}
}

json_t *replay_links(const struct replay *replay)
{
	json_t *list = json_array();

	for (size_t i = 0; i < replay->link_count; i++) {
		AUTO_BUF where = buf_new(65536);
		json_t *row = json_pack("{s:i, s:i}", "from", (int)replay->links[i].source.entry, "to", (int)replay->links[i].to);

		where_describe(&where, &replay->links[i].source);
		json_set_bytes(row, "where", buf_view(&where));
		(void)json_array_append_new(list, row);
	}
	return list;
}
