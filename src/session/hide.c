/*
 * Two walks over a session: one that finds secrets where they are known by their place, and one that replaces them wherever they stand. A
 * secret shorter than SHORT is replaced only where it was found, since as a part of other texts it may mean something else.
 */
#include "session/hide.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/url.h"
#include "session/coded.h"
#include "session/pairs.h"
#include "session/secret_name.h"

#define SHORT ((size_t)8)
#define COOKIE_LONG ((size_t)16)
#define SECRET_MAX ((size_t)16 << 10)
#define TEXT_MAX ((size_t)32 << 20)
#define JWT_MIN ((size_t)20)
#define DEPTH_MAX 100 /* json_parse refuses deeper ones */
#define HEADS_BITS 16
#define HEADS_BYTES ((size_t)1 << (HEADS_BITS - 3))

/* A secret, or its form encoded by percent. */
struct needle {
	uint64_t head; /* its first SHORT bytes */
	char *text;
	size_t length;
	struct view by;
};

struct hiding {
	const struct hide_key *key;
	const json_t *keep;
	json_t *replaced;       /* {secret: what stands for it} */
	json_t *values;         /* {placeholder: secret} */
	struct needle *needles; /* what is to be found anywhere, by its head, longest first */
	size_t needle_count;
	unsigned char heads[HEADS_BYTES]; /* a bit for the hash of each head: most places of a text have none */
};

/* ---- placeholders ---- */

static void hash_of(const struct hiding *hiding, struct view value, unsigned char hash[EVP_MAX_MD_SIZE])
{
	unsigned length = 0;

	(void)HMAC(EVP_sha256(), hiding->key->bytes, HIDE_KEY_BYTES, (const unsigned char *)value.at, value.length, hash, &length);
}

static json_t *bytes_json(struct view bytes)
{
	AUTO_JSON holder = json_object();

	json_set_bytes(holder, "x", bytes);
	return json_incref(json_member(holder, "x"));
}

static bool is_placeholder(struct view text)
{
	if (text.length != HIDE_PLACEHOLDER_BYTES || !view_starts(text, VIEW(HIDE_PREFIX)))
		return false;
	for (size_t i = sizeof(HIDE_PREFIX) - 1; i < text.length; i++)
		if (!strchr("0123456789abcdef", text.at[i]))
			return false;
	return true;
}

/* What stands for a value, `secret` for all of it or for a part. */
static void placeholder_add(const struct hiding *hiding, struct buf *text, struct view value, struct view secret)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	size_t before = text->length;

	hash_of(hiding, value, hash);
	buf_add_text(text, HIDE_PREFIX);
	buf_add_hex(text, hash, HIDE_DIGITS / 2);
	(void)json_object_set_new(hiding->values, text->at + before, bytes_json(secret));
}

/* What stands for the secret; borrowed, NULL: there are too many, or it is no secret. Of a token header and claims stay as they were. */
static const char *stands_for(struct hiding *hiding, struct view value)
{
	size_t signature = 0;
	AUTO_JSON secret = value.length && value.length <= SECRET_MAX ? bytes_json(value) : NULL;
	AUTO_BUF text = buf_new(SECRET_MAX + 256);
	json_t *known;

	if (!secret || is_placeholder(value) || json_string_length(secret) != value.length ||
	    memchr(value.at, '\0', value.length)) /* no text */
		return NULL;
	known = json_object_get(hiding->replaced, json_string_value(secret));
	if (known)
		return json_string_value(known);
	if (json_object_size(hiding->replaced) >= HIDE_SECRETS_MAX)
		return NULL;
	if (coded_jwt_at(value, 0, &signature) != value.length)
		signature = 0;
	if (is_placeholder(view_make(value.at + signature, value.length - signature)))
		return NULL;
	buf_add(&text, value.at, signature);
	placeholder_add(hiding, &text, value, view_make(value.at + signature, value.length - signature));
	known = json_string(text.at);
	(void)json_object_set_new(hiding->replaced, json_string_value(secret), known);
	return json_string_value(known);
}

/* A number of as many digits. */
static json_t *number_hidden(const struct hiding *hiding, json_int_t number)
{
	char digits[24];
	unsigned char hash[EVP_MAX_MD_SIZE];
	uint64_t made = 0;
	uint64_t least = 1;
	int length = snprintf(digits, sizeof(digits), "%lld", (long long)number);

	hash_of(hiding, view_make(digits, (size_t)length), hash);
	for (size_t i = 0; i < 8; i++)
		made = made << 8 | hash[i];
	for (int i = 1; i < length && i < 16; i++)
		least *= 10;
	return json_integer((json_int_t)(least + made % (9 * least)));
}

static bool is_kept(const struct hiding *hiding, struct view name)
{
	for (size_t i = 0; i < json_array_size(hiding->keep); i++)
		if (view_equal_nocase(name, view_of(json_string_value(json_array_get(hiding->keep, i)))))
			return true;
	return false;
}

static void jwts_find(struct hiding *hiding, struct view text)
{
	for (size_t at = 0; at + JWT_MIN <= text.length; at++) {
		size_t signature = 0;
		size_t length = text.at[at] == 'e' ? coded_jwt_at(text, at, &signature) : 0;

		if (!length)
			continue;
		(void)stands_for(hiding, view_make(text.at + at, length));
		at += length - 1;
	}
}

/* ---- the first walk: by place; each returns the text as it is from then on, or NULL when it stays ---- */

static char *pairs_hide(struct hiding *hiding, struct view text, char by, bool cookies);

/* The password, encoded again with its user; without one the user, which is then a key. NULL: it was hidden before. */
static char *basic_hide(struct hiding *hiding, struct view plain)
{
	struct view password;
	struct view user = view_cut(plain, ':', &password);
	bool is_user = !password.length || view_equal_nocase(password, VIEW("x-oauth-basic"));
	struct view secret = is_user ? user : password;
	const char *stands = stands_for(hiding, secret);
	AUTO_BUF both = buf_new(SECRET_MAX * 2);
	AUTO_BUF made = buf_new(SECRET_MAX * 4);

	if (is_placeholder(secret))
		return NULL;
	buf_add_view(&both, is_user ? view_of(stands ? stands : "") : user);
	if (password.at)
		buf_add_char(&both, ':');
	buf_add_view(&both, is_user ? password : view_of(stands ? stands : ""));
	buf_add_text(&made, "Basic ");
	buf_add_base64(&made, both.at, both.length);
	return buf_take(&made);
}

/* What follows the scheme. */
static char *authorization_hide(struct hiding *hiding, struct view value)
{
	struct view rest;
	struct view scheme = view_cut(value, ' ', &rest);
	struct view secret = rest.at ? view_trim(rest) : value;
	const char *stands;
	AUTO_BUF plain = buf_new(SECRET_MAX);

	if (view_equal_nocase(scheme, VIEW("Basic")) && rest.at && buf_add_unbase64(&plain, secret, NULL) == 0 && plain.length)
		return basic_hide(hiding, buf_view(&plain));
	if (memchr(secret.at ? secret.at : "", '=', secret.length) && memchr(secret.at, ',', secret.length))
		return NULL; /* parameters, as Digest has them: answers to a challenge */
	stands = stands_for(hiding, secret);
	if (!stands)
		return NULL;
	return rest.at ? text_format("%.*s %s", (int)scheme.length, scheme.at, stands) : text_copy(stands);
}

static bool cookie_is_secret(struct view name, struct view value)
{
	return value.length >= COOKIE_LONG || (value.length && secret_name_of_cookie(name));
}

/* "sid=…; Path=/": the first pair only. */
static char *set_cookie_hide(struct hiding *hiding, struct view header)
{
	struct view rest;
	struct view value;
	struct view pair = view_cut(header, ';', &rest);
	struct view name = view_trim(view_cut(pair, '=', &value));
	const char *stands = NULL;

	value = view_trim(value);
	if (value.at && !is_kept(hiding, name) && cookie_is_secret(name, value))
		stands = stands_for(hiding, value);
	if (!stands)
		return NULL;
	return rest.at ? text_format("%.*s=%s;%.*s", (int)name.length, name.at, stands, (int)rest.length, rest.at)
		       : text_format("%.*s=%s", (int)name.length, name.at, stands);
}

static char *header_hide(struct hiding *hiding, const struct exchange_header *header)
{
	struct view name = view_of(header->name);
	struct view value = view_of(header->value);
	const char *stands;

	if (is_kept(hiding, name))
		return NULL;
	if (view_equal_nocase(name, VIEW("authorization")) || view_equal_nocase(name, VIEW("proxy-authorization")))
		return authorization_hide(hiding, value);
	if (view_equal_nocase(name, VIEW("cookie")))
		return pairs_hide(hiding, value, ';', true);
	if (view_equal_nocase(name, VIEW("set-cookie")))
		return set_cookie_hide(hiding, value);
	if (!secret_name(name))
		return NULL;
	stands = stands_for(hiding, value);
	return stands ? text_copy(stands) : NULL;
}

/* "a=1&token=…" of queries and forms, "a=1; sid=…" of cookies. */
static char *pairs_hide(struct hiding *hiding, struct view text, char by, bool cookies)
{
	AUTO_BUF made = buf_new(TEXT_MAX);
	bool changed = false;

	for (struct view rest = text; rest.at;) {
		struct view pair = view_cut(rest, by, &rest);
		struct view value;
		struct view name = view_trim(view_cut(pair, '=', &value));
		AUTO_BUF decoded = buf_new(SECRET_MAX);
		const char *stands = NULL;
		bool secret = value.at && value.length && !is_kept(hiding, name) &&
			      (cookies ? cookie_is_secret(name, view_trim(value)) : secret_name(name));

		if (secret && cookies)
			stands = stands_for(hiding, view_trim(value));
		else if (secret && url_decode(&decoded, value, true, NULL) == 0)
			stands = stands_for(hiding, buf_view(&decoded));
		if (made.length || pair.at != text.at)
			buf_add_char(&made, by);
		if (stands) {
			buf_add_format(&made, "%.*s=%s", (int)(value.at - pair.at - 1), pair.at, stands);
			changed = true;
		} else {
			buf_add_view(&made, pair);
		}
	}
	return changed && !made.over ? buf_take(&made) : NULL;
}

static char *url_hide(struct hiding *hiding, struct view url)
{
	struct view query;
	struct view before = view_cut(url, '?', &query);
	AUTO_FREE char *pairs = query.at ? pairs_hide(hiding, query, '&', false) : NULL;
	ptrdiff_t scheme = view_find(before, VIEW("://"));
	const char *at = scheme > 0 ? memchr(before.at + scheme + 3, '@', before.length - (size_t)scheme - 3) : NULL;

	/* Whoever signs in by the URL needs the name alone. */
	if (at && !memchr(before.at + scheme + 3, '/', (size_t)(at - before.at) - (size_t)scheme - 3)) {
		struct view user = view_make(before.at + scheme + 3, (size_t)(at - before.at) - (size_t)scheme - 3);
		struct view password;

		(void)view_cut(user, ':', &password);
		if (password.length)
			(void)stands_for(hiding, password);
		return text_format("%.*s%.*s%s%.*s", (int)scheme + 3, before.at, (int)(before.at + before.length - at - 1), at + 1,
				   query.at ? "?" : "", pairs ? (int)strlen(pairs) : (int)query.length,
				   pairs      ? pairs
				   : query.at ? query.at
					      : "");
	}
	return pairs ? text_format("%.*s?%s", (int)before.length, before.at, pairs) : NULL;
}

/* What stands for a text or a number under this name; NULL: it may stay. */
static json_t *leaf_hidden(struct hiding *hiding, struct view name, const json_t *value)
{
	const char *stands;

	if (is_kept(hiding, name))
		return NULL;
	if (json_is_integer(value) && secret_name_of_number(name))
		return number_hidden(hiding, json_integer_value(value));
	if (!json_is_string(value) || !secret_name(name))
		return NULL;
	stands = stands_for(hiding, view_make(json_string_value(value), json_string_length(value)));
	return stands ? json_string(stands) : NULL;
}

/* `name`: of the member that it is, or is a list of. Returns whether something was changed. */
static bool json_hide(struct hiding *hiding, json_t *value, struct view name, int depth)
{
	const char *key;
	json_t *member;
	size_t index;
	bool changed = false;

	if (depth > DEPTH_MAX) {
		changed = json_object_size(value) || json_array_size(value);
		(void)json_object_clear(value);
		(void)json_array_clear(value);
		return changed;
	}
	json_object_foreach(value, key, member) {
		json_t *hidden = leaf_hidden(hiding, view_of(key), member);

		changed = (hidden ? json_object_set_new(value, key, hidden) == 0
				  : json_hide(hiding, member, view_of(key), depth + 1)) ||
			  changed;
	}
	json_array_foreach(value, index, member) {
		json_t *hidden = leaf_hidden(hiding, name, member);

		changed = (hidden ? json_array_set_new(value, index, hidden) == 0 : json_hide(hiding, member, name, depth + 1)) ||
			  changed;
	}
	return changed;
}

/* name="password" … blank line … value … */
static char *multipart_hide(struct hiding *hiding, struct view text)
{
	AUTO_BUF made = buf_new(TEXT_MAX);
	bool changed = false;

	for (;;) {
		ptrdiff_t at = view_find(text, VIEW(" name=\""));
		struct view name;
		struct view rest;
		ptrdiff_t blank;
		ptrdiff_t end;
		const char *stands = NULL;

		if (at < 0)
			break;
		rest = view_make(text.at + at + 7, text.length - (size_t)at - 7);
		name = view_cut(rest, '"', &rest);
		blank = rest.at ? view_find(rest, VIEW("\r\n\r\n")) : -1;
		end = blank < 0 ? -1 : view_find(view_make(rest.at + blank + 4, rest.length - (size_t)blank - 4), VIEW("\r\n--"));
		if (end < 0)
			break;
		if (secret_name(name) && !is_kept(hiding, name))
			stands = stands_for(hiding, view_make(rest.at + blank + 4, (size_t)end));
		buf_add(&made, text.at, (size_t)(rest.at + blank + 4 - text.at));
		if (stands)
			buf_add_text(&made, stands);
		else
			buf_add(&made, rest.at + blank + 4, (size_t)end);
		changed = changed || stands;
		text = view_make(rest.at + blank + 4 + end, rest.length - (size_t)(blank + 4 + end));
	}
	buf_add_view(&made, text);
	return changed && !made.over ? buf_take(&made) : NULL;
}

/* The text between two quotes without escapes, and with marks for what is no UTF-8. */
static json_t *quoted_plain(struct view quoted)
{
	AUTO_BUF list = buf_new(TEXT_MAX);
	AUTO_JSON json = NULL;

	buf_add_text(&list, "[\"");
	buf_add_view(&list, quoted);
	buf_add_text(&list, "\"]");
	json = list.over ? NULL : json_parse(buf_view(&list), NULL);
	return json_is_string(json_array_get(json, 0)) ? json_incref(json_array_get(json, 0)) : bytes_json(quoted);
}

static char *pair_hide(void *self, struct view name, struct view value, enum pair_kind kind)
{
	struct hiding *hiding = self;
	bool secret = !is_kept(hiding, name) && (kind == PAIR_NUMBER ? secret_name_of_number(name) : secret_name(name));
	AUTO_JSON plain = NULL;

	if (!secret)
		return NULL;
	switch (kind) {
	case PAIR_TEXT:
		plain = quoted_plain(value);
		return text_copy(stands_for(hiding, view_make(json_string_value(plain), json_string_length(plain))));
	case PAIR_CUT: /* a part of a secret says nothing to a replay */
		return value.length ? text_copy("") : NULL;
	case PAIR_NUMBER:
		plain = number_hidden(hiding, strtoll(value.at, NULL, 10));
		return text_format("%lld", (long long)json_integer_value(plain));
	}
	return NULL;
}

static char *pairs_of_text_hide(struct hiding *hiding, struct view text)
{
	AUTO_BUF made = buf_new(TEXT_MAX);

	return pairs_each(&made, text, pair_hide, hiding) && !made.over ? buf_take(&made) : NULL;
}

static char *body_hide(struct hiding *hiding, const struct exchange_headers *headers, struct view body)
{
	const char *type = exchange_header(headers, "content-type");
	struct view trimmed = view_trim(body);
	bool looks_json = trimmed.length && strchr("{[", trimmed.at[0]);
	AUTO_JSON json = looks_json ? json_parse(trimmed, NULL) : NULL;
	AUTO_BUF made = buf_new(TEXT_MAX);

	if (json) {
		if (!json_hide(hiding, json, VIEW(""), 0))
			return NULL;
		json_format(&made, json);
		return made.over ? NULL : buf_take(&made);
	}
	if (looks_json || (type && strcasestr(type, "json")))
		return pairs_of_text_hide(hiding, body);
	if (type && strcasestr(type, "multipart/form-data"))
		return multipart_hide(hiding, body);
	if (type && strcasestr(type, "x-www-form-urlencoded"))
		return pairs_hide(hiding, trimmed, '&', false);
	return NULL;
}

/* ---- the second walk: by value ---- */

static uint64_t head_of(const char *at)
{
	uint64_t head;

	memcpy(&head, at, sizeof(head));
	return head;
}

static size_t head_bit(uint64_t head)
{
	return (size_t)(head * 0x9e3779b97f4a7c15u >> (64 - HEADS_BITS));
}

static int by_head(const void *left, const void *right)
{
	const struct needle *a = left;
	const struct needle *b = right;

	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	return a->length > b->length ? -1 : a->length < b->length;
}

static void needle_add(struct hiding *hiding, struct view text, struct view by)
{
	struct needle *needle = &hiding->needles[hiding->needle_count++];
	size_t bit;

	*needle = (struct needle){.head = head_of(text.at), .text = view_copy(text), .length = text.length, .by = by};
	bit = head_bit(needle->head);
	hiding->heads[bit / 8] |= (unsigned char)(1u << bit % 8);
}

static void needles_make(struct hiding *hiding)
{
	const char *secret;
	json_t *stands;

	hiding->needles = mem_new_array(json_object_size(hiding->replaced) * 2 + 1, sizeof(hiding->needles[0]));
	json_object_foreach(hiding->replaced, secret, stands) {
		struct view text = view_of(secret);
		AUTO_BUF encoded = buf_new(SECRET_MAX * 3 + 1);

		if (text.length < SHORT)
			continue;
		needle_add(hiding, text, view_of(json_string_value(stands)));
		buf_add_url(&encoded, text);
		if (!view_equal(buf_view(&encoded), text))
			needle_add(hiding, buf_view(&encoded), view_of(json_string_value(stands)));
	}
	if (hiding->needle_count)
		qsort(hiding->needles, hiding->needle_count, sizeof(hiding->needles[0]), by_head);
}

/* The longest that stands at the front of the text, or NULL. */
static const struct needle *needle_find(const struct hiding *hiding, struct view text)
{
	uint64_t head = head_of(text.at);
	size_t bit = head_bit(head);
	size_t low = 0;
	size_t high = hiding->needle_count;

	if (!(hiding->heads[bit / 8] & 1u << bit % 8))
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hiding->needles[middle].head < head)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < hiding->needle_count && hiding->needles[low].head == head; low++)
		if (hiding->needles[low].length <= text.length &&
		    memcmp(hiding->needles[low].text, text.at, hiding->needles[low].length) == 0)
			return &hiding->needles[low];
	return NULL;
}

/* Returns whether there was one. */
static bool plain_replace(const struct hiding *hiding, struct buf *text)
{
	AUTO_BUF made = buf_new(TEXT_MAX);
	struct view rest = buf_view(text);
	size_t from = 0; /* of what is not copied yet */
	bool any = false;

	for (size_t at = 0; at + SHORT <= rest.length;) {
		const struct needle *needle = needle_find(hiding, view_make(rest.at + at, rest.length - at));

		if (!needle) {
			at++;
			continue;
		}
		buf_add(&made, rest.at + from, at - from);
		buf_add_view(&made, needle->by);
		at += needle->length;
		from = at;
		any = true;
	}
	if (!any)
		return false;
	buf_add(&made, rest.at + from, rest.length - from);
	if (made.over)
		return false;
	buf_clear(text);
	buf_add_view(text, buf_view(&made));
	return true;
}

static bool base64_hide(void *self, struct buf *plain)
{
	return plain_replace(self, plain);
}

/* The text without secrets; NULL: it has none. Owned by the caller. */
static char *value_hide(struct hiding *hiding, struct view text)
{
	AUTO_BUF made = buf_new(TEXT_MAX);
	AUTO_BUF again = buf_new(TEXT_MAX);
	bool changed;

	if (!text.length || text.length > TEXT_MAX / 4 || !hiding->needle_count)
		return NULL;
	buf_add_view(&made, text);
	changed = plain_replace(hiding, &made);
	if (coded_each(&again, buf_view(&made), true, base64_hide, hiding) && !again.over)
		return buf_take(&again);
	return changed && !made.over ? buf_take(&made) : NULL;
}

/* ---- the session ---- */

static void header_set(struct exchange_header *header, char *value)
{
	struct exchange_headers one = {0};

	exchange_header_add(&one, view_of(header->name), view_of(value));
	free(header->name); /* its value is behind it */
	*header = one.at[0];
	free(one.at);
	free(value);
}

static void body_set(struct exchange_body *body, char *text)
{
	int64_t rest = (int64_t)(body->bytes - body->length);

	free(body->at);
	body->at = text;
	body->length = strlen(text);
	body->capacity = 0;
	body->bytes = body->length + (uint64_t)(body->cut && rest > 0 ? rest : 0);
}

static void text_set(char **place, char *text)
{
	if (!text)
		return;
	free(*place);
	*place = text;
}

/* Binary bodies have no texts to replace. */
static bool is_text(const struct exchange_body *body)
{
	return body->at && body->length && !memchr(body->at, '\0', body->length);
}

struct message {
	struct exchange_headers *headers;
	struct exchange_body *body;
};

static void message_hide(struct hiding *hiding, const struct message *message, bool by_place)
{
	for (size_t i = 0; i < message->headers->count; i++) {
		struct exchange_header *header = &message->headers->at[i];
		char *made = by_place ? header_hide(hiding, header) : value_hide(hiding, view_of(header->value));

		if (by_place)
			jwts_find(hiding, view_of(header->value));
		if (made)
			header_set(header, made);
	}
	if (is_text(message->body)) {
		struct view text = view_make(message->body->at, message->body->length);
		char *made = by_place ? body_hide(hiding, message->headers, text) : value_hide(hiding, text);

		if (by_place)
			jwts_find(hiding, text);
		if (made)
			body_set(message->body, made);
	}
}

static void exchange_hide(struct hiding *hiding, struct exchange *exchange, bool by_place)
{
	const struct message messages[] = {{&exchange->request_headers, &exchange->request_body},
					   {&exchange->response_headers, &exchange->response_body}};
	struct view url = view_of(exchange->url ? exchange->url : "");

	if (by_place)
		jwts_find(hiding, url);
	text_set(&exchange->url, by_place ? url_hide(hiding, url) : value_hide(hiding, url));
	if (!by_place && exchange->statement)
		text_set(&exchange->statement, value_hide(hiding, view_of(exchange->statement)));
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		message_hide(hiding, &messages[i], by_place);
}

json_t *session_hide(struct session *session, const struct hide_key *key, const json_t *keep)
{
	AUTO_JSON replaced = json_object();
	struct hiding hiding = {.key = key, .keep = keep, .replaced = replaced, .values = json_object()};

	for (size_t i = 0; i < session->count; i++)
		exchange_hide(&hiding, &session->at[i], true);
	needles_make(&hiding);
	for (size_t i = 0; i < session->count; i++)
		exchange_hide(&hiding, &session->at[i], false);
	for (size_t i = 0; i < hiding.needle_count; i++)
		free(hiding.needles[i].text);
	free(hiding.needles);
	return hiding.values;
}

/* ---- and back ---- */

bool hide_next(struct view *text, struct view *placeholder)
{
	ptrdiff_t at;

	while ((at = view_find(*text, VIEW(HIDE_PREFIX))) >= 0) {
		struct view found = view_make(text->at + at, text->length - (size_t)at);
		size_t length = found.length < HIDE_PLACEHOLDER_BYTES ? found.length : HIDE_PLACEHOLDER_BYTES;
		bool is = is_placeholder(view_make(found.at, length));

		*placeholder = view_make(found.at, length);
		*text = view_make(found.at + (is ? length : 1), found.length - (is ? length : 1));
		if (is)
			return true;
	}
	return false;
}

struct undoing {
	const json_t *values;
	size_t count;
	size_t unknown;
};

static bool text_undo(void *self, struct buf *text)
{
	struct undoing *undoing = self;
	AUTO_BUF made = buf_new(TEXT_MAX);
	struct view rest = buf_view(text);
	struct view found;
	const char *from = rest.at; /* of what is not copied yet */
	const char *end = rest.at + rest.length;
	size_t before = undoing->count;

	while (hide_next(&rest, &found)) {
		AUTO_FREE char *key = view_copy(found);
		const char *value = json_text(undoing->values, key, NULL);

		buf_add(&made, from, (size_t)(found.at - from));
		buf_add_text(&made, value ? value : key);
		undoing->count++;
		undoing->unknown += !value;
		from = rest.at;
	}
	buf_add(&made, from, (size_t)(end - from));
	if (undoing->count == before || made.over)
		return false;
	buf_clear(text);
	buf_add_view(text, buf_view(&made));
	return true;
}

size_t hide_undo(struct buf *out, struct view text, const json_t *values, size_t *unknown)
{
	struct undoing undoing = {.values = values};
	AUTO_BUF plain = buf_new(TEXT_MAX);

	buf_add_view(&plain, text);
	(void)text_undo(&undoing, &plain);
	(void)coded_each(out, buf_view(&plain), true, text_undo, &undoing);
	if (unknown)
		*unknown = undoing.unknown;
	return undoing.count;
}
