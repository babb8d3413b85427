/* The one form of a request's target and fields. */
#include "gateway/egress/pipeline_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "gateway/policy/host.h"
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
	static const char *const names[] = {"content-length",      "transfer-encoding", "content-encoding", "content-type",
					    "proxy-authorization", "proxy-connection",  "keep-alive",       "http2-settings"};

	for (size_t i = 0; memchr(name.at, '_', name.length) && i < ARRAY_LEN(names); i++)
		if (policy_field_is(name, names[i]))
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

/* Methods that are passed on; others have no meaning at a gateway, or one that nobody wants there. */
const char *pipeline_method_problem(struct view method)
{
	static const char *const refused[] = {"TRACE", "TRACK", "CONNECT", "PRI"};

	for (size_t i = 0; i < method.length; i++)
		if (!isupper((unsigned char)method.at[i]) && method.at[i] != '-' && method.at[i] != '_')
			return "a method that is not in capital letters";
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (view_is(method, refused[i]))
			return "this method is not passed on";
	return method.length > 20 ? "a method longer than 20 letters" : NULL;
}

/* "host[:port]" is the host and port that are meant? */
bool pipeline_authority_fits(struct view authority, const char *host, uint16_t port, bool tls)
{
	char canonical[HOST_NAME_MAX_BYTES];
	struct view port_text;
	struct view name = view_cut(authority, ':', &port_text);
	uint64_t number = tls ? 443 : 80;

	if (authority.length && authority.at[0] == '[')
		return false;
	if (port_text.at && (!port_text.length || port_text.at[0] == '0' || !view_to_u64(port_text, &number)))
		return false;
	return host_or_address_canonical(name, canonical, &(bool){false}) && strcmp(canonical, host) == 0 && number == port;
}

/* What says how a message is read, where it goes, who sends it or what it is has no place behind it (RFC 9110 6.5.1). */
bool pipeline_trailer_is_kept(struct view name)
{
	static const char *const names[] = {"age",           "authorization", "cache-control",   "content-encoding",
					    "content-range", "content-type",  "cookie",          "date",
					    "location",      "max-forwards",  "range",           "retry-after",
					    "set-cookie",    "vary",          "www-authenticate"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return false;
	return !field_is_hop(name) && !name_is_disguised(name) && !policy_field_is_dropped(name);
}

void pipeline_trailers_keep(struct pipeline *pipeline, const struct egress_field *fields, size_t count)
{
	struct buf *text = &pipeline->trailer_text;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += fields[i].name.length + fields[i].value.length;
	if (pipeline->trailers || !count || !buf_reserve(text, bytes)) /* so that it does not move */
		return;
	pipeline->trailers = mem_new(count * sizeof(*pipeline->trailers));
	for (size_t i = 0; i < count; i++) {
		struct egress_field *kept = &pipeline->trailers[pipeline->trailer_count];

		if (!pipeline_trailer_is_kept(fields[i].name))
			continue;
		kept->name = view_make(text->at + text->length, fields[i].name.length);
		buf_add_view(text, fields[i].name);
		kept->value = view_make(text->at + text->length, fields[i].value.length);
		buf_add_view(text, fields[i].value);
		pipeline->trailer_count++;
	}
	pipeline->request.trailing = pipeline->trailers;
	pipeline->request.trailing_count = pipeline->trailer_count;
}
