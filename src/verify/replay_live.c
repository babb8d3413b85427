/* A recorded request as it must be sent now, and the sending of it. */
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "http/client.h"
#include "http/url.h"
#include "session/coded.h"
#include "session/hide.h"
#include "verify/call.h"
#include "verify/replay_priv.h"

/* ---- live values ---- */

static bool json_has(const json_t *value, const struct link *link)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value) && strcmp(json_string_value(value), link->value) == 0)
		return true;
	if (json_is_integer(value) && link->source.number && json_integer_value(value) == strtoll(link->value, NULL, 10))
		return true;
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
		if (json_has(member, link))
			return true;
	json_array_foreach(value, i, member)
		if (json_has(member, link))
			return true;
	return false;
}

const json_t *replay_follow(const json_t *at, const json_t *path)
{
	for (size_t i = 0; i < json_array_size(path) && at; i++) {
		const json_t *part = json_array_get(path, i);

		at = json_is_integer(part) ? json_array_get(at, (size_t)json_integer_value(part))
					   : json_object_get(at, json_string_value(part));
	}
	return at;
}

/* A text or a whole number as text. Owned by the caller; NULL: it is neither. */
static char *scalar_text(const json_t *value)
{
	if (json_is_integer(value))
		return text_format("%lld", (long long)json_integer_value(value));
	return text_copy(json_string_value(value));
}

static char *live_json(const json_t *response, const struct link *link)
{
	AUTO_JSON body = call_body_json(response);

	if (!body || json_has(body, link))
		return NULL;
	return scalar_text(replay_follow(body, link->source.path));
}

/* The value inside of what the outer one stands for. Owned by the caller. */
static char *inner_text(const char *outer, const json_t *path)
{
	AUTO_BUF plain = buf_new(REPLAY_BODY_MAX);
	AUTO_JSON json = NULL;

	if (!outer || !coded_plain(&plain, view_of(outer)))
		return NULL;
	if (!json_array_size(path))
		return buf_take(&plain);
	json = json_parse(buf_view(&plain), NULL);
	return scalar_text(replay_follow(json, path));
}

static char *live_text(const json_t *response, const struct link *link)
{
	AUTO_BUF text = buf_new(REPLAY_BODY_MAX);
	struct view prefix = view_of(json_string_value(link->source.path));
	ptrdiff_t at;
	size_t begin;
	size_t end;

	call_body(&text, response);
	if (view_find(buf_view(&text), view_of(link->value)) >= 0)
		return NULL;
	at = view_find(buf_view(&text), prefix);
	if (at < 0)
		return NULL;
	begin = (size_t)at + prefix.length;
	end = replay_run_end(buf_view(&text), begin, replay_token_char);
	return end > begin ? view_copy(view_make(text.at + begin, end - begin)) : NULL;
}

static char *outer_value(const struct link *link, const json_t *entries)
{
	const json_t *response = json_member(json_array_get(entries, link->source.entry), "response");
	const char *name = json_string_value(link->source.path);

	if (!json_is_object(response))
		return NULL;
	switch (link->source.place) {
	case PLACE_JSON:
		return live_json(response, link);
	case PLACE_TEXT:
		return live_text(response, link);
	case PLACE_HEADER:
		return text_copy(call_header(response, name));
	case PLACE_COOKIE: {
		AUTO_JSON cookies = call_cookies(response);

		return text_copy(json_text(json_member(cookies, name), "value", NULL));
	}
	}
	return NULL;
}

/* The value that now stands where the recorded one stood; NULL: keep the recorded one. Owned by the caller. */
static char *live_value(const struct link *link, const json_t *entries)
{
	AUTO_FREE char *outer = outer_value(link, entries);

	return link->source.inner ? inner_text(outer, link->source.inner) : TAKE(outer);
}

/* Appends `text` with every `old` replaced. */
static void replace_all(struct buf *out, struct view text, struct view old, struct view live)
{
	ptrdiff_t at;

	while (old.length && (at = view_find(text, old)) >= 0) {
		buf_add(out, text.at, (size_t)at);
		buf_add_view(out, live);
		text = view_make(text.at + (size_t)at + old.length, text.length - (size_t)at - old.length);
	}
	buf_add_view(out, text);
}

/* Replaces the value as it is and in its percent-encoded form. */
static void plain_replace(struct buf *text, const char *old, const char *live)
{
	AUTO_BUF plain = buf_new(REPLAY_BODY_MAX);
	AUTO_BUF old_encoded = buf_new((size_t)64 << 10);
	AUTO_BUF live_encoded = buf_new((size_t)64 << 10);

	replace_all(&plain, buf_view(text), view_of(old), view_of(live));
	buf_add_url(&old_encoded, view_of(old));
	buf_add_url(&live_encoded, view_of(live));
	buf_clear(text);
	if (view_is(buf_view(&old_encoded), old))
		buf_add_view(text, buf_view(&plain));
	else
		replace_all(text, buf_view(&plain), buf_view(&old_encoded), buf_view(&live_encoded));
}

struct replacing {
	const struct link *link;
	const char *live;
};

static bool coded_replace(void *self, struct buf *plain)
{
	const struct replacing *replacing = self;

	if (view_find(buf_view(plain), view_of(replacing->link->value)) < 0)
		return false;
	plain_replace(plain, replacing->link->value, replacing->live);
	return true;
}

/* In base64, too, when it stood there. */
static void value_replace(struct buf *text, const struct link *link, const char *live)
{
	struct replacing replacing = {link, live};
	AUTO_BUF made = buf_new(REPLAY_BODY_MAX);

	plain_replace(text, link->value, live);
	if (!link->coded || !coded_each(&made, buf_view(text), false, coded_replace, &replacing))
		return;
	buf_clear(text);
	buf_add_view(text, buf_view(&made));
}

/* Numbers stand for ids only where they are a whole segment of the path or a whole parameter. */
static void number_replace(struct buf *url, const char *old, const char *live)
{
	AUTO_BUF made = buf_new(REPLAY_BODY_MAX);
	struct view text = buf_view(url);
	size_t length = strlen(old);
	size_t at = 0;

	while (at < text.length) {
		bool begins = at > 0 && (text.at[at - 1] == '/' || text.at[at - 1] == '=');
		bool fits = begins && at + length <= text.length && memcmp(text.at + at, old, length) == 0;
		bool ends = fits && (at + length == text.length || strchr("/?&#", text.at[at + length]));

		if (ends)
			buf_add_text(&made, live);
		else
			buf_add_char(&made, text.at[at]);
		at += ends ? length : 1;
	}
	buf_clear(url);
	buf_add_view(url, buf_view(&made));
}

static void member_replace(json_t *message, const char *key, const struct link *link, const char *live)
{
	const json_t *old = json_member(message, key);
	AUTO_BUF text = buf_new(REPLAY_BODY_MAX);

	if (!json_is_string(old))
		return;
	buf_add(&text, json_string_value(old), json_string_length(old));
	if (link->source.number)
		number_replace(&text, link->value, live);
	else
		value_replace(&text, link, live);
	json_set_bytes(message, key, buf_view(&text));
}

/* Returns whether there was one. */
static bool json_number_replace(json_t *value, const char *key, json_int_t old, json_int_t live)
{
	bool changed = false;
	const char *name;
	json_t *member;
	size_t i;

	json_object_foreach(value, name, member) {
		if (strcmp(name, key) == 0 && json_is_integer(member) && json_integer_value(member) == old)
			changed = json_integer_set(member, live) == 0;
		else
			changed = json_number_replace(member, key, old, live) || changed;
	}
	json_array_foreach(value, i, member)
		changed = json_number_replace(member, key, old, live) || changed;
	return changed;
}

static void form_number_replace(struct buf *out, struct view form, const struct link *link, const char *live)
{
	while (form.at) {
		struct view value;
		struct view pair = view_cut(form, '&', &form);
		struct view name = view_cut(pair, '=', &value);

		if (view_is(name, link->key) && view_is(value, link->value))
			buf_add_format(out, "%s=%s", link->key, live);
		else
			buf_add_view(out, pair);
		if (form.at)
			buf_add_char(out, '&');
	}
}

/* Ids in a JSON body, or in the fields of a form. */
static void body_number_replace(json_t *request, const struct link *link, const char *live)
{
	const char *type = call_header(request, "content-type");
	AUTO_JSON body = call_body_json(request);
	AUTO_BUF text = buf_new(REPLAY_BODY_MAX);

	if (!link->key)
		return;
	if (body && json_number_replace(body, link->key, strtoll(link->value, NULL, 10), strtoll(live, NULL, 10))) {
		json_format(&text, body);
		json_set_bytes(request, "body", buf_view(&text));
	} else if (!body && type && strcasestr(type, "x-www-form-urlencoded")) {
		form_number_replace(&text, view_of(json_text(request, "body", "")), link, live);
		json_set_bytes(request, "body", buf_view(&text));
	}
}

static void headers_replace(json_t *request, const struct link *link, const char *live)
{
	json_t *headers = json_member(request, "headers");

	for (size_t i = 0; i < json_array_size(headers); i++) {
		json_t *row = json_array_get(headers, i);
		AUTO_BUF text = buf_new(REPLAY_BODY_MAX);
		AUTO_JSON holder = json_object();

		buf_add_text(&text, json_string_value(json_array_get(row, 1)));
		value_replace(&text, link, live);
		json_set_bytes(holder, "v", buf_view(&text));
		(void)json_array_set(row, 1, json_member(holder, "v"));
	}
}

json_t *replay_request(const struct replay *replay, size_t index, const json_t *entries)
{
	json_t *request = json_deep_copy(json_member(json_array_get(replay->entries, index), "request"));

	for (size_t i = 0; i < replay->link_count; i++) {
		const struct link *link = &replay->links[i];
		AUTO_FREE char *live = link->to == index ? live_value(link, entries) : NULL;

		if (!live || strcmp(live, link->value) == 0)
			continue;
		member_replace(request, "url", link, live);
		if (link->source.number) {
			body_number_replace(request, link, live);
			continue;
		}
		headers_replace(request, link, live);
		member_replace(request, "body", link, live);
	}
	return request;
}

/* ---- sending ---- */

json_t *replay_request_of_its_own(const json_t *request, int number)
{
	/* What says of a request that it is the same as another. */
	static const char *const names[] = {"idempotency-key", "x-idempotency-key", "x-request-id"};
	json_t *own = json_deep_copy(request);
	json_t *headers = json_member(own, "headers");
	size_t index;
	json_t *row;

	json_array_foreach(headers, index, row) {
		const char *name = json_string_value(json_array_get(row, 0));
		AUTO_FREE char *value = text_format("%s-%d", json_string_value(json_array_get(row, 1)), number);

		for (size_t i = 0; name && i < ARRAY_LEN(names); i++)
			if (strcasecmp(name, names[i]) == 0)
				(void)json_array_set_new(row, 1, json_string(value));
	}
	return own;
}

static json_t *response_convert(const struct http_response *response)
{
	json_t *rows = json_array();
	json_t *converted;

	for (size_t i = 0; i < response->header_count; i++) {
		AUTO_JSON holder = json_object();

		json_set_bytes(holder, "n", view_of(response->headers[i].name));
		json_set_bytes(holder, "v", view_of(response->headers[i].value));
		(void)json_array_append_new(rows, json_pack("[OO]", json_member(holder, "n"), json_member(holder, "v")));
	}
	converted = json_pack("{s:i, s:o}", "status", (int)response->status, "headers", rows);
	replay_body_set(converted, buf_view(&response->body));
	return converted;
}

char *replay_connect_place(const char *url)
{
	struct url parsed;

	if (url_parse(view_of(url), &parsed, NULL) || !view_ends(parsed.host, VIEW(".localhost")))
		return NULL;
	return text_format("127.0.0.1:%u", parsed.port);
}

/* The text with the values of its placeholders. Owned by the caller. */
static char *revealed(const char *text, const json_t *secrets)
{
	AUTO_BUF out = buf_new(REPLAY_BODY_MAX);

	(void)hide_undo(&out, view_of(text), secrets, NULL);
	return buf_take(&out);
}

/* The request as it is sent. Owned by the caller. */
static json_t *request_revealed(const json_t *request, const json_t *secrets)
{
	static const char *const members[] = {"url", "body"};
	json_t *made = json_deep_copy(request);
	json_t *headers = json_member(made, "headers");

	for (size_t i = 0; i < ARRAY_LEN(members) && json_object_size(secrets); i++) {
		const char *text = json_text(made, members[i], NULL);
		AUTO_FREE char *value = text ? revealed(text, secrets) : NULL;

		if (value)
			json_set_bytes(made, members[i], view_of(value));
	}
	for (size_t i = 0; i < json_array_size(headers) && json_object_size(secrets); i++) {
		json_t *row = json_array_get(headers, i);
		const char *text = json_string_value(json_array_get(row, 1));
		AUTO_FREE char *value = text ? revealed(text, secrets) : NULL;
		AUTO_JSON holder = json_object();

		if (!value)
			continue;
		json_set_bytes(holder, "v", view_of(value));
		(void)json_array_set(row, 1, json_member(holder, "v"));
	}
	return made;
}

json_t *replay_send(const struct replay *replay, size_t index, const json_t *request, const struct replay_target *target)
{
	struct http_header headers[HTTP_CALL_HEADERS_MAX];
	AUTO_JSON sent = request_revealed(request, target->secrets);
	const json_t *rows = json_member(sent, "headers");
	AUTO_BUF body = buf_new(REPLAY_BODY_MAX);
	AUTO_RESPONSE response = {0};
	AUTO_FREE char *place = replay_connect_place(target->url);
	size_t base_length = strlen(target->url);
	AUTO_FREE char *url = NULL;
	struct http_call call = {.method = json_text(request, "method", "GET"),
				 .connect_to = place,
				 .headers = headers,
				 .timeout_ms = target->timeout_ms,
				 .body_bytes_max = REPLAY_BODY_MAX};
	json_t *entry = json_pack("{s:s, s:i, s:O}", "session", replay->name, "index", (int)index, "request", request);
	int64_t begin_ms = world_elapsed_ms(world_real);
	struct err err;

	while (base_length && target->url[base_length - 1] == '/')
		base_length--;
	url = text_format("%.*s%s", (int)base_length, target->url, json_text(sent, "url", "/"));
	call.url = url;
	for (size_t i = 0; i < json_array_size(rows) && call.header_count < HTTP_CALL_HEADERS_MAX; i++)
		headers[call.header_count++] = (struct http_header){json_string_value(json_array_get(json_array_get(rows, i), 0)),
								    json_string_value(json_array_get(json_array_get(rows, i), 1))};
	call_body(&body, sent);
	call.body = buf_view(&body);
	call.has_body = body.length > 0;
	if (http_client_call(&call, &response, &err)) {
		(void)json_object_set_new(entry, "response", json_null());
		json_set_bytes(entry, "error", view_of(err.text));
	} else {
		(void)json_object_set_new(entry, "response", response_convert(&response));
	}
	(void)json_object_set_new(entry, "ms", json_integer(world_elapsed_ms(world_real) - begin_ms));
	return entry;
}
