/* Slack's mrkdwn, both ways, and its blocks. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "trackers/slack.h"

#define TEXT_BYTES_MAX ((size_t)256 << 10)
#define LABEL_BYTES_MAX 70
#define VALUE_BYTES_MAX 1900
#define TASKS_MAX 50
#define TITLE_BYTES_MAX 200

/* ---- from Markdown ---- */

/* docs.slack.dev/messaging/formatting-message-text: these three make everything that acts. */
static void escaped_add(struct buf *out, struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		switch (text.at[i]) {
		case '&':
			buf_add_text(out, "&amp;");
			break;
		case '<':
			buf_add_text(out, "&lt;");
			break;
		case '>':
			buf_add_text(out, "&gt;");
			break;
		default:
			buf_add_char(out, text.at[i]);
		}
}

static struct view from(struct view text, size_t at)
{
	return view_make(text.at + at, text.length - at);
}

/* [label](https://…); how long it is, 0: it is none. */
static size_t link_add(struct buf *out, struct view text)
{
	ptrdiff_t middle = view_find(text, VIEW("]("));
	struct view url;
	ptrdiff_t end;

	if (middle < 2)
		return 0;
	url = from(text, (size_t)middle + 2);
	end = view_find(url, VIEW(")"));
	if (end < 1)
		return 0;
	url.length = (size_t)end;
	if (!view_starts(url, VIEW("https://")) && !view_starts(url, VIEW("http://")))
		return 0;
	for (size_t i = 0; i < url.length; i++)
		if (strchr("<>| ", url.at[i]))
			return 0;
	buf_add_char(out, '<');
	escaped_add(out, url);
	buf_add_char(out, '|');
	for (ptrdiff_t i = 1; i < middle; i++)
		escaped_add(out, view_make(text.at[i] == '|' ? "/" : text.at + i, 1));
	buf_add_char(out, '>');
	return (size_t)middle + 2 + (size_t)end + 1;
}

static void line_add(struct buf *out, struct view line)
{
	size_t level = 0;

	while (level < line.length && line.at[level] == '#')
		level++;
	if (level && level < line.length && line.at[level] == ' ') {
		buf_add_char(out, '*');
		escaped_add(out, view_trim(from(line, level)));
		buf_add_char(out, '*');
		return;
	}
	for (size_t i = 0; i < line.length;) {
		ptrdiff_t code = line.at[i] == '`' ? view_find(from(line, i + 1), VIEW("`")) : 0;
		size_t length = 0;

		if (code > 0) { /* nothing acts in it */
			escaped_add(out, view_make(line.at + i, (size_t)code + 2));
			i += (size_t)code + 2;
			continue;
		}
		length = line.at[i] == '[' ? link_add(out, from(line, i)) : 0;

		if (!length && view_starts(from(line, i), VIEW("**"))) {
			buf_add_char(out, '*');
			length = 2;
		}
		if (!length) {
			escaped_add(out, view_make(line.at + i, 1));
			length = 1;
		}
		i += length;
	}
}

char *slack_mrkdwn(struct view markdown)
{
	AUTO_BUF out = buf_new(TEXT_BYTES_MAX);
	bool is_code = false;

	while (markdown.length) {
		struct view line = view_cut(markdown, '\n', &markdown);

		if (out.length)
			buf_add_char(&out, '\n');
		if (view_starts(view_trim(line), VIEW("```"))) {
			is_code = !is_code;
			buf_add_text(&out, "```");
		} else if (is_code) {
			escaped_add(&out, line);
		} else {
			line_add(&out, line);
		}
	}
	return out.length ? buf_take(&out) : text_copy("");
}

/* ---- to text ---- */

/* What stands between < and >: a mention, a channel, a command, a link. */
static void marked_add(struct buf *out, struct view inner, const char *self)
{
	struct view label;
	struct view what = view_cut(inner, '|', &label);

	if (view_starts(what, VIEW("@")) && view_is(from(what, 1), self))
		return;
	if (view_starts(what, VIEW("@")) || view_starts(what, VIEW("#")))
		buf_add_view(out, label.length ? label : what);
	else if (view_starts(what, VIEW("!")))
		buf_add_view(out, from(what, 1));
	else if (label.length && !view_equal(label, what))
		buf_add_format(out, "[%.*s](%.*s)", (int)label.length, label.at, (int)what.length, what.at);
	else
		buf_add_view(out, what);
}

char *slack_plain(struct view mrkdwn, const char *self)
{
	static const char *const entities[][2] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
	AUTO_BUF out = buf_new(TEXT_BYTES_MAX);
	struct view text;

	while (mrkdwn.length) {
		ptrdiff_t end = mrkdwn.at[0] == '<' ? view_find(mrkdwn, VIEW(">")) : -1;
		size_t length = 1;

		for (size_t i = 0; i < ARRAY_LEN(entities); i++)
			if (view_starts(mrkdwn, view_of(entities[i][0])))
				length = strlen(entities[i][0]);
		if (end > 0) {
			marked_add(&out, view_make(mrkdwn.at + 1, (size_t)end - 1), self);
			length = (size_t)end + 1;
		} else if (length > 1) {
			buf_add_char(&out, mrkdwn.at[1] == 'a' ? '&' : mrkdwn.at[1] == 'l' ? '<' : '>');
		} else {
			buf_add_char(&out, mrkdwn.at[0]);
		}
		mrkdwn = from(mrkdwn, length);
	}
	text = view_trim(buf_view(&out));
	return view_copy(text);
}

/* ---- blocks ---- */

/* Whole characters of at most so many bytes; never inside of "&amp;" or "<url|label>". */
static json_t *text_object(const char *type, const char *text, size_t bytes_max)
{
	json_t *object = json_pack("{s:s}", "type", type);
	size_t length = strlen(text);
	size_t cut = length > bytes_max ? bytes_max : length;

	while (cut < length && cut && ((unsigned char)text[cut] & 0xc0) == 0x80)
		cut--;
	if (cut < length && strcmp(type, "mrkdwn") == 0) {
		size_t safe = cut;

		while (safe && text[safe - 1] != '\n')
			safe--;
		cut = safe ? safe : cut;
	}
	AUTO_FREE char *kept = text_format("%.*s%s", (int)cut, text, cut < length ? "…" : "");

	json_set_bytes(object, "text", view_of(kept[0] ? kept : " "));
	return object;
}

json_t *slack_section(const char *mrkdwn)
{
	return json_pack("{s:s, s:o}", "type", "section", "text", text_object("mrkdwn", mrkdwn, SLACK_SECTION_BYTES_MAX));
}

json_t *slack_context(const char *mrkdwn)
{
	return json_pack("{s:s, s:[o]}", "type", "context", "elements", text_object("mrkdwn", mrkdwn, SLACK_SECTION_BYTES_MAX));
}

json_t *slack_button(const char *action, const char *text, const char *value, const char *style)
{
	json_t *button = json_pack("{s:s, s:s, s:o, s:s*}", "type", "button", "action_id", action, "text",
				   text_object("plain_text", text, LABEL_BYTES_MAX), "style", style);
	AUTO_FREE char *kept = text_format("%.*s", VALUE_BYTES_MAX, value);

	json_set_bytes(button, "value", view_of(kept));
	return button;
}

json_t *slack_actions(json_t *buttons)
{
	return json_pack("{s:s, s:o}", "type", "actions", "elements", buttons);
}

json_t *slack_plan(const char *title, const json_t *plan)
{
	static const char *const states[][2] = {{"completed", "complete"},  {"done", "complete"},   {"in_progress", "in_progress"},
						{"running", "in_progress"}, {"cancelled", "error"}, {"canceled", "error"}};
	json_t *tasks = json_array();
	json_t *step;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)plan, i, step) {
		const char *state = json_text(step, "state", "");
		const char *status = "pending";
		AUTO_FREE char *text = text_format("%.*s", TITLE_BYTES_MAX, json_text(step, "text", ""));
		json_t *task;

		for (size_t k = 0; k < ARRAY_LEN(states); k++)
			if (strcmp(state, states[k][0]) == 0)
				status = states[k][1];
		task = json_pack("{s:s, s:o, s:s}", "type", "task_card", "task_id", json_sprintf("step-%zu", i), "status", status);
		json_set_bytes(task, "title", view_of(text[0] ? text : " "));
		if (i < TASKS_MAX)
			(void)json_array_append(tasks, task);
		json_decref(task);
	}
	return json_pack("{s:s, s:s, s:o}", "type", "plan", "title", title, "tasks", tasks);
}
