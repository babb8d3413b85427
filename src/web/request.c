/* What a request brings, checked: the members of its body, its numbers, the things it names. */
#include <stdlib.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "http/url.h"
#include "web/web_priv.h"

static const char *const field_words[] = {
	[FIELD_LINE] = "a line of text", [FIELD_TEXT] = "a text",      [FIELD_NUMBER] = "a number",
	[FIELD_FLAG] = "true or false",  [FIELD_OBJECT] = "an object", [FIELD_LIST] = "a list",
};

static bool line_fits(const json_t *value)
{
	struct view text = view_make(json_string_value(value), json_string_length(value));

	return view_trim(text).length && text.length <= LINE_BYTES_MAX && !memchr(text.at, '\n', text.length) &&
	       !memchr(text.at, '\0', text.length);
}

static bool value_fits(const json_t *value, enum field_kind kind)
{
	switch (kind) {
	case FIELD_LINE:
		return json_is_string(value) && line_fits(value);
	case FIELD_TEXT:
		return json_is_string(value) && json_string_length(value) <= TEXT_BYTES_MAX &&
		       !memchr(json_string_value(value), '\0', json_string_length(value));
	case FIELD_NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case FIELD_FLAG:
		return json_is_boolean(value);
	case FIELD_OBJECT:
		return json_is_object(value);
	case FIELD_LIST:
		return json_is_array(value);
	}
	return false;
}

static const struct field *field_find(const struct field *fields, const char *name)
{
	for (size_t i = 0; i < FIELDS_MAX && fields[i].name; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static int field_unknown(const struct field *fields, const char *name, struct err *err)
{
	struct nearest nearest = nearest_new(view_of(name));

	for (size_t i = 0; i < FIELDS_MAX && fields[i].name; i++)
		nearest_offer(&nearest, fields[i].name);
	if (nearest.name)
		return err_set(err, ERR_INVALID, "unknown member `%.100s`: did you mean `%s`?", name, nearest.name);
	return err_set(err, ERR_INVALID, "unknown member `%.100s`%s", name, fields[0].name ? "" : ": nothing is expected here");
}

int request_body_take(struct call *call, const struct field *fields, struct err *err)
{
	const char *name;
	json_t *value;

	call->body = call->request->body.length ? json_parse(call->request->body, err) : json_object();
	if (!call->body)
		return err_prefix(err, "the body");
	if (!json_is_object(call->body))
		return err_set(err, ERR_INVALID, "the body must be a JSON object");
	json_object_foreach(call->body, name, value) {
		const struct field *field = field_find(fields, name);

		if (!field)
			return field_unknown(fields, name, err);
		if (!value_fits(value, field->kind) && (field->required || !json_is_null(value)))
			return err_set(err, ERR_INVALID, "%s: expected %s", name, field_words[field->kind]);
	}
	for (size_t i = 0; i < FIELDS_MAX && fields[i].name; i++)
		if (fields[i].required && !json_object_get(call->body, fields[i].name))
			return err_set(err, ERR_INVALID, "%s: expected %s", fields[i].name, field_words[fields[i].kind]);
	return 0;
}

static int query_value_check(const char *name, struct view value, struct err *err)
{
	AUTO_BUF decoded = buf_new(value.length + 1);

	if (url_decode(&decoded, value, true, err) || (decoded.length && memchr(decoded.at, '\0', decoded.length)))
		return err_set(err, ERR_INVALID,
			       "%s=%.*s: this cannot be read: `%%` stands before two digits of a byte that is not 0", name,
			       (int)(value.length > 100 ? 100 : value.length), value.at);
	return 0;
}

/* What is said twice would be read as one or the other. */
int request_query_check(const struct call *call, const struct row *row, struct err *err)
{
	bool said[QUERIES_MAX] = {false};

	for (struct view rest = view_of(call->request->query); rest.length;) {
		struct view value;
		struct view name = view_cut(view_cut(rest, '&', &rest), '=', &value);
		struct nearest nearest = nearest_new(name);
		bool known = !name.length;

		for (size_t i = 0; i < QUERIES_MAX && row->query[i].name; i++) {
			nearest_offer(&nearest, row->query[i].name);
			if (!view_is(name, row->query[i].name))
				continue;
			if (said[i])
				return err_set(err, ERR_INVALID, "%s= is there twice", row->query[i].name);
			if (query_value_check(row->query[i].name, value, err))
				return -1;
			said[i] = known = true;
		}
		if (known)
			continue;
		return err_set(err, ERR_INVALID, "unknown parameter `%.*s`%s%s%s", (int)(name.length > 100 ? 100 : name.length),
			       name.at, nearest.name ? ": did you mean `" : "", nearest.name ? nearest.name : "",
			       nearest.name ? "`?" : "");
	}
	return 0;
}

/* A token has a name, and speaks in no other; the page and the command line are the person at this machine. */
bool call_is_safe(const struct call *call)
{
	const char *url = call->web->pages_url;

	return url && view_starts(view_of(url), VIEW("https://"));
}

struct store *call_store(const struct call *call)
{
	return runs_store(call->web->options.runs);
}

const char *request_author(const struct call *call)
{
	return call->caller.token ? call->caller.name : json_text(call->body, "author", call->caller.name);
}

int request_number(const struct call *call, const char *param, int64_t *number, struct err *err)
{
	const char *text = http_request_param(call->request, param);
	uint64_t value;

	if (!text || !view_to_u64(view_of(text), &value) || !value || value > INT32_MAX)
		return err_set(err, ERR_INVALID, "`%.40s` is no number", text ? text : "");
	*number = (int64_t)value;
	return 0;
}

int request_query(const struct call *call, const char *name, int64_t fallback, int64_t most, int64_t *number, struct err *err)
{
	AUTO_FREE char *text = http_request_query(call->request, name);
	uint64_t value;

	*number = fallback;
	if (!text)
		return 0;
	if (!view_to_u64(view_of(text), &value) || value > (uint64_t)most)
		return err_set(err, ERR_INVALID, "%s=%.40s: expected a number up to %lld", name, text, (long long)most);
	*number = (int64_t)value;
	return 0;
}

bool request_wants(const struct call *call, const char *name)
{
	AUTO_FREE char *text = http_request_query(call->request, name);

	return text && strcmp(text, "1") == 0;
}

int request_run(const struct call *call, struct run_id *id, struct err *err)
{
	return runs_find(call->web->options.runs, http_request_param(call->request, "run"), id, err);
}

int request_environment(const struct call *call, struct env_id *id, struct err *err)
{
	return environment_find(call->web->options.environments, http_request_param(call->request, "env"), id, err);
}

json_t *request_bytes(struct call *call, const char *content_type, struct view bytes)
{
	http_reply_send(call->reply, 200, content_type, bytes);
	call->answered = true;
	return NULL;
}

json_t *items_of(json_t *array)
{
	return array ? json_pack("{s:o}", "items", array) : NULL;
}
