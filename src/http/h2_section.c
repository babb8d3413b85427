/* Texts are kept one behind the other, and remembered by where they lie: their memory moves while it grows. */
#include "http/h2_section.h"

#include <stdlib.h>

#include "base/scope.h"

struct section *section_new(void)
{
	struct section *section = mem_new(sizeof(*section));

	section->bytes = buf_new(H2_SECTION_BYTES_MAX);
	section->cookie = buf_new(H2_SECTION_BYTES_MAX);
	return section;
}

void section_free(struct section *section)
{
	if (!section)
		return;
	buf_fini(&section->bytes);
	buf_fini(&section->cookie);
	free(section);
}

void section_clear(struct section *section)
{
	buf_clear(&section->bytes);
	buf_clear(&section->cookie);
	section->count = section->total = 0;
	section->method = section->scheme = section->authority = section->path = section->status = section->host = (struct span){0,
																 0};
	section->hosts_differ = false;
}

static struct span section_keep(struct section *section, struct view text)
{
	struct span span = {section->bytes.length, text.length};

	buf_add_view(&section->bytes, text);
	return span;
}

static struct view section_text(const struct section *section, struct span span)
{
	return view_make(buf_view(&section->bytes).at + span.at, span.length);
}

static struct span *section_pseudo(struct section *section, struct view name)
{
	return view_is(name, ":method")      ? &section->method
	       : view_is(name, ":scheme")    ? &section->scheme
	       : view_is(name, ":authority") ? &section->authority
	       : view_is(name, ":path")      ? &section->path
	       : view_is(name, ":status")    ? &section->status
					     : NULL;
}

void section_add(struct section *section, struct view name, struct view value)
{
	struct span *pseudo = section_pseudo(section, name);

	if (pseudo) {
		*pseudo = section_keep(section, value);
	} else if (view_is(name, "cookie")) {
		if (section->cookie.length)
			buf_add_text(&section->cookie, "; "); /* RFC 9113 8.2.3 */
		buf_add_view(&section->cookie, value);
	} else if (view_is(name, "host")) {
		section->hosts_differ = section->hosts_differ ||
					(section->host.length && !view_equal(section_text(section, section->host), value));
		section->host = section_keep(section, value);
	} else {
		section->names[section->count] = section_keep(section, name);
		section->values[section->count++] = section_keep(section, value);
	}
}

/* Fields as views; cookies come last. Returns how many. */
static size_t section_fields(struct section *section, struct h2_field fields[H2_FIELDS_MAX + 1])
{
	for (size_t i = 0; i < section->count; i++)
		fields[i] = (struct h2_field){section_text(section, section->names[i]), section_text(section, section->values[i])};
	if (!section->cookie.length)
		return section->count;
	fields[section->count] = (struct h2_field){VIEW("cookie"), buf_view(&section->cookie)};
	return section->count + 1;
}

static int64_t content_length(const struct h2_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t number;

		if (view_is(fields[i].name, "content-length") && view_to_u64(fields[i].value, &number) && number <= INT64_MAX)
			return (int64_t)number;
	}
	return -1;
}

static unsigned status_number(struct view text)
{
	uint64_t number;

	return view_to_u64(text, &number) && number < 1000 ? (unsigned)number : 0;
}

struct h2_head section_head(struct section *section, struct h2_field fields[H2_FIELDS_MAX + 1], bool end)
{
	size_t count = section_fields(section, fields);

	return (struct h2_head){
		.method = section_text(section, section->method),
		.scheme = section_text(section, section->scheme),
		.authority = section_text(section, section->authority),
		.path = section_text(section, section->path),
		.host = section_text(section, section->host),
		.status = status_number(section_text(section, section->status)),
		.fields = fields,
		.field_count = count,
		.content_length = content_length(fields, count),
		.bytes = section->total,
		.end = end,
	};
}
