/* A request of a session as shell commands: for whoever has to see a finding for themselves. */
#include "base/scope.h"
#include "verify/call.h"
#include "verify/replay_priv.h"

#define BODY_SHOWN ((size_t)4096)

/* The variable that holds a link's value: v<entry> of the first link from there, v<entry>_<n> of others. */
static void variable_name(struct buf *out, const struct replay *replay, const struct link *link)
{
	size_t before = 0;

	for (size_t i = 0; i < replay->link_count && &replay->links[i] != link; i++) {
		const struct link *other = &replay->links[i];

		if (other->source.entry == link->source.entry && strcmp(other->value, link->value) == 0)
			break;
		before += other->source.entry == link->source.entry;
	}
	buf_add_format(out, "v%zu", link->source.entry);
	if (before)
		buf_add_format(out, "_%zu", before);
}

/* The last key of a JSON path, by which sed finds the value; NULL when it cannot. */
static const char *source_key(const struct source *source)
{
	const json_t *last = json_array_get(source->path, json_array_size(source->path) - 1);

	if (source->place == PLACE_COOKIE)
		return json_string_value(source->path);
	return source->place == PLACE_JSON && json_is_string(last) ? json_string_value(last) : NULL;
}

static bool usable(const struct link *link)
{
	return !link->source.inner && source_key(&link->source) != NULL;
}

/* Quoted for the shell, with the values of links as variables unless `literal`. */
static void text_add(struct buf *out, const struct replay *replay, size_t entry, struct view text, bool literal)
{
	while (!literal) {
		const struct link *first = NULL;
		ptrdiff_t at = -1;
		size_t length;

		for (size_t i = 0; i < replay->link_count; i++) {
			const struct link *link = &replay->links[i];
			ptrdiff_t found = link->to == entry && usable(link) ? view_find(text, view_of(link->value)) : -1;

			if (found >= 0 && (at < 0 || found < at)) {
				at = found;
				first = link;
			}
		}
		if (!first)
			break;
		if (at)
			buf_add_shell(out, view_make(text.at, (size_t)at));
		buf_add_text(out, "\"$");
		variable_name(out, replay, first);
		buf_add_char(out, '"');
		length = (size_t)at + strlen(first->value);
		text = view_make(text.at + length, text.length - length);
	}
	if (text.length)
		buf_add_shell(out, text);
}

static bool header_shown(const char *name)
{
	static const char *const names[] = {"content-type", "authorization", "cookie", "x-csrf-token", "idempotency-key"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_equal_nocase(view_of(name), view_of(names[i])))
			return true;
	return false;
}

static void request_add(struct buf *out, const struct replay *replay, size_t entry, const char *service, bool literal)
{
	const json_t *request = json_member(json_array_get(replay->entries, entry), "request");
	const json_t *headers = json_member(request, "headers");
	AUTO_FREE char *url = text_format("http://%s%s", service, json_text(request, "url", "/"));
	AUTO_BUF body = buf_new(BODY_SHOWN);

	buf_add_format(out, "assay-env http %s ", json_text(request, "method", "GET"));
	text_add(out, replay, entry, view_of(url), literal);
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const char *name = json_string_value(json_array_get(json_array_get(headers, i), 0));
		const char *value = json_string_value(json_array_get(json_array_get(headers, i), 1));
		AUTO_FREE char *line = NULL;

		if (!name || !value || !header_shown(name))
			continue;
		line = text_format("%s: %s", name, value);
		buf_add_text(out, " -H ");
		text_add(out, replay, entry, view_of(line), literal);
	}
	call_body(&body, request);
	if (body.length && !body.over) {
		buf_add_text(out, " -d ");
		text_add(out, replay, entry, buf_view(&body), literal);
	}
}

/* v3=$(assay-env http … | sed …), once for each value that the steps need of this one; a plain command when they need none. */
static void step_add(struct buf *out, const struct replay *replay, size_t entry, const bool *steps, const char *service)
{
	bool any = false;

	for (size_t i = 0; i < replay->link_count && !any; i++) {
		const struct link *link = &replay->links[i];

		if (link->source.entry != entry || !usable(link) || !steps[link->to])
			continue;
		variable_name(out, replay, link);
		buf_add_text(out, "=$(");
		request_add(out, replay, entry, service, false);
		if (link->source.place == PLACE_COOKIE)
			buf_add_format(out, " 2>&1 | sed -n 's/.*[Ss]et-[Cc]ookie: *%s=\\([^;]*\\).*/\\1/p')",
				       source_key(&link->source));
		else if (link->source.number)
			buf_add_format(out, " | sed -n 's/.*\"%s\": *\\([0-9]*\\).*/\\1/p')", source_key(&link->source));
		else
			buf_add_format(out, " | sed -n 's/.*\"%s\": *\"\\([^\"]*\\)\".*/\\1/p')", source_key(&link->source));
		any = true;
	}
	if (!any)
		request_add(out, replay, entry, service, false);
	buf_add_text(out, "; ");
}

static bool changes_something(const struct replay *replay, size_t entry)
{
	const char *method = json_text(json_member(json_array_get(replay->entries, entry), "request"), "method", "GET");

	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0;
}

void replay_steps(const struct replay *replay, size_t index, bool *steps)
{
	size_t count = 0;

	steps[index] = true;
	for (size_t k = index; k > 0 && count < REPLAY_STEPS_MAX; k--)
		if (changes_something(replay, k - 1) &&
		    json_number(json_member(json_array_get(replay->entries, k - 1), "response"), "status", 0) < 400) {
			steps[k - 1] = true;
			count++;
		}
	for (size_t k = index + 1; k > 0; k--)
		for (size_t i = 0; i < replay->link_count; i++)
			if (steps[k - 1] && replay->links[i].to == k - 1 && usable(&replay->links[i]))
				steps[replay->links[i].source.entry] = true;
}

void replay_script(const struct replay *replay, size_t index, const char *service, bool alone, struct buf *out)
{
	bool *steps = mem_new_array(replay_count(replay) + 1, sizeof(*steps));

	if (!alone)
		replay_steps(replay, index, steps);
	for (size_t k = 0; k < index; k++)
		if (steps[k])
			step_add(out, replay, k, steps, service);
	request_add(out, replay, index, service, alone);
	scope_free(&steps);
}
