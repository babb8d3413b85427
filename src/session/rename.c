/* Names get another letter in front, numbers one more; addresses, times and ids stay what they are. */
#include "session/rename.h"

#include <stdlib.h>

#include "base/scope.h"
#include "session/hide.h"
#include "session/secret_name.h"

#define TEXT_MIN ((size_t)3)
#define TEXT_MAX ((size_t)200)
#define BODY_MAX ((size_t)8 << 20)
#define DEPTH_MAX 32
#define NUMBER_MAX 1000000

struct renaming {
	const struct session *session;
	size_t at;       /* the request at work */
	json_t *renamed; /* {text: its new name} */
	size_t count;
};

/* Did an answer before give it, or is it a part of a path that was asked? Then something is called by it. */
static bool was_given(const struct renaming *renaming, struct view text)
{
	for (size_t i = 0; i < renaming->session->count; i++) {
		const struct exchange *exchange = &renaming->session->at[i];
		struct view body = view_make(exchange->response_body.at ? exchange->response_body.at : "",
					     exchange->response_body.length);

		if (view_find(view_of(exchange->url ? exchange->url : ""), text) >= 0)
			return true;
		if (i < renaming->at && view_find(body, text) >= 0)
			return true;
	}
	return false;
}

/* Letters, blanks, dashes and apostrophes: what people call things. */
static bool is_name(struct view text)
{
	bool letter = false;

	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;

		letter = letter || plain;
		if (!plain && !strchr(" -'.", (char)c) && (c < '0' || c > '9'))
			return false;
	}
	return letter && text.length >= TEXT_MIN && text.length <= TEXT_MAX;
}

/* Words of a vocabulary ("card", "EUR", "pending") are not names: of those with one word, only ones that begin with a capital and go on small. */
static bool may_be_renamed(struct view text)
{
	if (memchr(text.at, ' ', text.length))
		return true;
	return text.length > 3 && text.at[0] >= 'A' && text.at[0] <= 'Z' && text.at[1] >= 'a' && text.at[1] <= 'z';
}

/* Borrowed; NULL: it stays. */
static const char *name_of(struct renaming *renaming, const char *text)
{
	struct view name = view_of(text);
	json_t *known = json_object_get(renaming->renamed, text);

	if (known)
		return json_string_value(known);
	if (!is_name(name) || !may_be_renamed(name) || view_find(name, VIEW(HIDE_PREFIX)) >= 0 || was_given(renaming, name))
		return NULL;
	AUTO_FREE char *made = text_format("Q%s", text);
	(void)json_object_set_new(renaming->renamed, text, json_string(made));
	renaming->count++;
	return json_text(renaming->renamed, text, NULL);
}

static bool names_id(const char *key)
{
	struct view name = view_of(key);

	return view_is(name, "id") || view_ends(name, VIEW("_id")) || view_ends(name, VIEW("Id")) || view_is(name, "item") ||
	       view_is(name, "version");
}

/* An amount: not an id, and none that an answer gave under the same name. */
static bool is_amount(const struct renaming *renaming, const char *key, const json_t *value)
{
	json_int_t number = json_integer_value(value);
	AUTO_FREE char *given = text_format("\"%s\":%lld", key, (long long)number);
	AUTO_FREE char *spaced = text_format("\"%s\": %lld", key, (long long)number);

	if (!json_is_integer(value) || names_id(key) || number < 1 || number > NUMBER_MAX)
		return false;
	return !was_given(renaming, view_of(given)) && !was_given(renaming, view_of(spaced));
}

static bool has_secret(const json_t *value, int depth)
{
	const char *key;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX)
		return true;
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
		if (secret_name(view_of(key)) || has_secret(member, depth + 1))
			return true;
	json_array_foreach(value, i, member)
		if (has_secret(member, depth + 1))
			return true;
	return false;
}

/* Returns whether something was changed. */
static bool json_rename(struct renaming *renaming, json_t *value, const char *key)
{
	bool changed = false;
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value)) {
		const char *other = name_of(renaming, json_string_value(value));

		return other && json_string_set(value, other) == 0;
	}
	if (is_amount(renaming, key, value)) {
		renaming->count++;
		return json_integer_set(value, json_integer_value(value) + 1) == 0;
	}
	json_object_foreach(value, name, member)
		changed = json_rename(renaming, member, name) || changed;
	json_array_foreach(value, i, member)
		changed = json_rename(renaming, member, key) || changed;
	return changed;
}

static void body_rename(struct renaming *renaming, struct exchange_body *body)
{
	struct view text = view_make(body->at ? body->at : "", body->length);
	AUTO_JSON json = text.length && !body->cut && strchr("{[", text.at[0]) ? json_parse(text, NULL) : NULL;
	AUTO_BUF made = buf_new(BODY_MAX);

	if (!json || has_secret(json, 0) || !json_rename(renaming, json, ""))
		return;
	json_format(&made, json);
	if (made.over)
		return;
	free(body->at);
	*body = (struct exchange_body){.length = made.length, .bytes = made.length};
	body->at = buf_take(&made);
}

size_t session_rename(struct session *session)
{
	AUTO_JSON renamed = json_object();
	struct renaming renaming = {.session = session, .renamed = renamed};

	for (size_t i = 0; i < session->count; i++) {
		renaming.at = i;
		body_rename(&renaming, &session->at[i].request_body);
		free(session->at[i].phase);
		session->at[i].phase = text_copy(RENAME_PHASE);
	}
	return renaming.count;
}
