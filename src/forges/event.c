/* What people write in comments: commands and mentions, outside of quotes and code. */
#include "forges/event.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/scope.h"

static const char *const kind_names[] = {
	[FORGE_EVENT_IGNORED] = "ignored", [FORGE_EVENT_ISSUE] = "issue",
	[FORGE_EVENT_COMMENT] = "comment", [FORGE_EVENT_REVIEW] = "review",
	[FORGE_EVENT_PULL] = "pull",       [FORGE_EVENT_REVIEW_COMMENT] = "review_comment",
	[FORGE_EVENT_PUSH] = "push",       [FORGE_EVENT_CHECKS] = "checks",
	[FORGE_EVENT_AGAIN] = "again",     [FORGE_EVENT_INSTALLATION] = "installation",
	[FORGE_EVENT_MOVED] = "moved",
};

static const struct {
	const char *word;
	enum forge_command command;
} commands[] = {
	{"stop", FORGE_COMMAND_STOP},       {"retry", FORGE_COMMAND_RETRY},     {"verify", FORGE_COMMAND_VERIFY},
	{"preview", FORGE_COMMAND_PREVIEW}, {"approve", FORGE_COMMAND_APPROVE}, {"run", FORGE_COMMAND_RUN},
};

int forge_event_open(struct view body, struct forge_event *event, struct err *err)
{
	const char **texts[] = {&event->action, &event->repository,   &event->actor, &event->title,  &event->text, &event->url,
				&event->path,   &event->review_state, &event->head,  &event->target, &event->base, &event->branch};

	*event = (struct forge_event){.json = json_parse(body, err)};
	if (!event->json)
		return -1;
	if (!json_is_object(event->json)) {
		forge_event_fini(event);
		return err_set(err, ERR_INVALID, "the webhook is no JSON object");
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = "";
	return 0;
}

void forge_event_stream(struct forge_event *event, char sign)
{
	if (event->number)
		(void)snprintf(event->stream, sizeof(event->stream), "%.140s%c%lld", event->repository, sign,
			       (long long)event->number);
	else
		(void)snprintf(event->stream, sizeof(event->stream), "%.140s", event->repository);
}

void forge_event_fini(struct forge_event *event)
{
	json_decref(event->json);
	json_decref(event->gained);
	json_decref(event->lost);
	*event = (struct forge_event){0};
}

void forge_event_list(json_t **list, const char *name, bool login)
{
	if (!*name)
		return;
	if (!*list)
		*list = json_array();
	(void)json_array_append_new(*list, login ? json_sprintf("@%s", name) : json_string(name));
}

bool forge_event_lists(const json_t *list, const char *label, const char *login)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item) {
		const char *name = json_string_value(item);

		if (strcasecmp(name, label) == 0 || (name[0] == '@' && strcasecmp(name + 1, login) == 0))
			return true;
	}
	return false;
}

const char *forge_event_name(enum forge_event_kind kind)
{
	return kind_names[kind];
}

const char *forge_command_name(enum forge_command command)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].command == command)
			return commands[i].word;
	return "unknown";
}

/* Line by line; a quoted line, and what stands between ``` or ~~~, is somebody else's word. */
struct lines {
	struct view rest;
	char fence;
};

static bool lines_next(struct lines *lines, struct view *line)
{
	while (lines->rest.length) {
		struct view raw = view_cut(lines->rest, '\n', &lines->rest);
		struct view text = view_trim(raw);
		bool fence = view_starts(text, VIEW("```")) || view_starts(text, VIEW("~~~"));

		if (fence && (!lines->fence || lines->fence == text.at[0]))
			lines->fence = lines->fence ? '\0' : text.at[0];
		else if (!lines->fence && text.length && text.at[0] != '>' && !view_starts(raw, VIEW("    ")) &&
			 raw.at[0] != '\t') {
			*line = text;
			return true;
		}
	}
	return false;
}

static struct view word_take(struct view text, struct view *rest)
{
	size_t length = 0;

	while (length < text.length && !isspace((unsigned char)text.at[length]))
		length++;
	*rest = view_trim(view_make(text.at + length, text.length - length));
	return view_make(text.at, length);
}

enum forge_command forge_command_find(const char *text, struct view *rest)
{
	struct lines lines = {.rest = view_of(text)};
	struct view line;

	*rest = VIEW("");
	while (lines_next(&lines, &line)) {
		struct view word = word_take(line, rest);

		if (view_equal_nocase(word, VIEW("/agent")))
			return FORGE_COMMAND_RUN;
		if (!view_equal_nocase(word, VIEW("/assay")))
			continue;
		word = word_take(*rest, rest);
		for (size_t i = 0; i < ARRAY_LEN(commands); i++)
			if (view_equal_nocase(word, view_of(commands[i].word)))
				return commands[i].command;
		return FORGE_COMMAND_UNKNOWN;
	}
	*rest = VIEW("");
	return FORGE_COMMAND_NONE;
}

static bool of_name(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

static bool line_mentions(struct view line, struct view name)
{
	bool code = false;

	for (size_t i = 0; i + name.length < line.length; i++) {
		size_t end = i + 1 + name.length;

		if (line.at[i] == '`')
			code = !code;
		if (code || line.at[i] != '@' || (i && (of_name(line.at[i - 1]) || line.at[i - 1] == '/')))
			continue;
		if (view_equal_nocase(view_make(line.at + i + 1, name.length), name) &&
		    (end == line.length || (!of_name(line.at[end]) && line.at[end] != '/')))
			return true;
	}
	return false;
}

bool forge_mentions(const char *text, const char *name)
{
	struct lines lines = {.rest = view_of(text)};
	struct view line;

	while (name && *name && lines_next(&lines, &line))
		if (line_mentions(line, view_of(name)))
			return true;
	return false;
}
