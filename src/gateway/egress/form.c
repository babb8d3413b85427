/* The one form of a request's target and fields. */
#include "gateway/egress/pipeline_priv.h"

#include <ctype.h>
#include <stdio.h>

#include "base/scope.h"
#include "gateway/policy/policy.h"

int pipeline_target_set(struct pipeline *pipeline, struct view target, const char **why)
{
	if (!path_canonical(target, &pipeline->path, &pipeline->query, why))
		return -1;
	pipeline->request.path = buf_view(&pipeline->path);
	pipeline->request.query = buf_view(&pipeline->query);
	return 0;
}

static bool field_is_hop(struct view name)
{
	static const char *const names[] = {
		"connection",          "content-length",   "expect", "host",    "http2-settings",    "keep-alive",
		"proxy-authorization", "proxy-connection", "te",     "trailer", "transfer-encoding", "upgrade",
		"proxy-authenticate"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return true;
	return false;
}

/* Some servers read `_` as `-`: a second Content-Length in other clothes. */
static bool name_is_disguised(struct view name)
{
	static const char *const names[] = {"content_length", "transfer_encoding", "content_encoding"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return true;
	return false;
}

/* Codings that answers are read in: others are not asked for. Shortens the value in its place. */
static struct view codings_filter(struct view value)
{
	static const char *const known[] = {"gzip", "deflate", "br", "zstd", "identity", "x-gzip"};
	char *to = (char *)(uintptr_t)value.at;
	size_t length = 0;
	struct view rest = value;

	while (rest.at && rest.length) {
		struct view part = view_trim(view_cut(rest, ',', &rest));
		struct view weight;
		struct view name = view_trim(view_cut(part, ';', &weight));

		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			if (!view_equal_nocase(name, view_of(known[i])))
				continue;
			if (length)
				to[length++] = ',';
			memmove(to + length, part.at, part.length);
			length += part.length;
			break;
		}
	}
	return view_make(to, length);
}

int pipeline_field_add(struct pipeline *pipeline, char *name, size_t name_length, struct view value, const char **why)
{
	struct egress_request *request = &pipeline->request;
	struct view lower = view_make(name, name_length);

	for (size_t i = 0; i < name_length; i++)
		name[i] = (char)tolower((unsigned char)name[i]);
	if (name_is_disguised(lower)) {
		*why = "a field name that servers read in two ways";
		return -1;
	}
	if (field_is_hop(lower) || policy_field_is_dropped(lower))
		return 0;
	if (request->field_count == EGRESS_FIELDS_MAX) {
		*why = "too many fields";
		return -1;
	}
	if (view_is(lower, "accept-encoding")) {
		value = codings_filter(value);
		if (!value.length)
			value = VIEW("identity");
	} else if (view_is(lower, "accept")) {
		(void)snprintf(pipeline->accept, sizeof(pipeline->accept), "%.*s", (int)(value.length < 63 ? value.length : 63),
			       value.at);
	}
	pipeline->fields[request->field_count++] = (struct egress_field){lower, value};
	return 0;
}
