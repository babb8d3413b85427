/* The small languages inside the sources: .env files, ${…} in compose files, shell lines. */
#include <ctype.h>

#include "base/scope.h"
#include "blueprint/import_priv.h"

#define INTERPOLATION_DEPTH_MAX 8

static size_t name_length(const char *at)
{
	size_t length = 0;

	if (!isalpha((unsigned char)at[0]) && at[0] != '_')
		return 0;
	while (isalnum((unsigned char)at[length]) || at[length] == '_')
		length++;
	return length;
}

/* The value of a .env line: quotes taken off, an unquoted comment cut. */
static const char *env_value(struct draft *draft, struct view value)
{
	value = view_trim(value);
	if (value.length >= 2 && (value.at[0] == '"' || value.at[0] == '\'')) {
		const char *end = memchr(value.at + 1, value.at[0], value.length - 1);

		if (end)
			return arena_copy(&draft->arena, view_make(value.at + 1, (size_t)(end - value.at) - 1));
	}
	for (size_t i = 1; i < value.length; i++)
		if (value.at[i] == '#' && isspace((unsigned char)value.at[i - 1]))
			value.length = i;
	return arena_copy(&draft->arena, view_trim(value));
}

void draft_read_env_file(struct draft *draft, const char *text, struct draft_variables *variables)
{
	struct view rest = view_of(text);

	while (rest.at) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));
		struct view value;
		struct view name;
		char *copy;

		if (view_starts(line, VIEW("export ")))
			line = view_trim(view_make(line.at + 7, line.length - 7));
		name = view_trim(view_cut(line, '=', &value));
		if (!name.length || name.at[0] == '#' || !value.at)
			continue;
		copy = arena_copy(&draft->arena, name);
		if (name_length(copy) == name.length)
			draft_variables_set(draft, variables, copy, env_value(draft, value));
	}
}

struct interpolation {
	struct draft *draft;
	const struct draft_variables *values;
	const char **missing;
	struct buf *out;
};

static void interpolate_into(const struct interpolation *work, struct view text, int depth);

static void value_missing(const struct interpolation *work, const char *name)
{
	if (work->missing && !*work->missing)
		*work->missing = name;
}

/* The inside of ${…}: a name, and perhaps an operation and a word. */
static void expression_add(const struct interpolation *work, struct view inside, int depth)
{
	AUTO_FREE char *copy = view_copy(inside);
	size_t length = name_length(copy);
	char *name = arena_copy(&work->draft->arena, view_make(copy, length));
	const char *value = draft_variables_find(work->values, name);
	const char *operation = copy + length;
	bool colon = operation[0] == ':';
	struct view word;

	operation += colon;
	word = operation[0] ? view_of(operation + 1) : view_of("");
	if (value && (!colon || value[0]) && operation[0] != '+') {
		buf_add_text(work->out, value);
	} else if (operation[0] == '-') {
		interpolate_into(work, word, depth + 1);
	} else if (operation[0] == '+') {
		if (value && (!colon || value[0]))
			interpolate_into(work, word, depth + 1);
	} else {
		value_missing(work, name);
	}
}

/* Where the brace that closes ${ is, in nested ones too; the text's length when it is not closed. */
static size_t brace_end(struct view text, size_t at)
{
	int open = 1;

	for (; at < text.length; at++) {
		if (text.at[at] == '{')
			open++;
		else if (text.at[at] == '}' && --open == 0)
			break;
	}
	return at;
}

static void interpolate_into(const struct interpolation *work, struct view text, int depth)
{
	for (size_t at = 0; at < text.length; at++) {
		AUTO_FREE char *rest = NULL;
		size_t end;

		if (text.at[at] != '$' || at + 1 == text.length || depth > INTERPOLATION_DEPTH_MAX) {
			buf_add_char(work->out, text.at[at]);
			continue;
		}
		if (text.at[at + 1] == '$') {
			buf_add_char(work->out, text.at[++at]);
			continue;
		}
		if (text.at[at + 1] == '{') {
			end = brace_end(text, at + 2);
			expression_add(work, view_make(text.at + at + 2, end - at - 2), depth);
			at = end;
			continue;
		}
		rest = view_copy(view_make(text.at + at + 1, text.length - at - 1));
		end = name_length(rest);
		if (end)
			expression_add(work, view_make(rest, end), depth);
		else
			buf_add_char(work->out, '$');
		at += end;
	}
}

const char *draft_interpolate(struct draft *draft, const char *text, const struct draft_variables *values, const char **missing)
{
	AUTO_BUF out = buf_new(DRAFT_FILE_BYTES_MAX);
	const struct interpolation work = {draft, values, missing, &out};

	interpolate_into(&work, view_of(text), 0);
	return arena_copy(&draft->arena, buf_view(&out));
}

const char *draft_shell_line(struct draft *draft, const struct draft_texts *argv)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_-+=:,./";
	AUTO_BUF line = buf_new(DRAFT_FILE_BYTES_MAX);

	for (size_t i = 0; i < argv->count; i++) {
		const char *word = argv->at[i];

		buf_add_text(&line, i ? " " : "");
		if (word[0] && strspn(word, safe) == strlen(word))
			buf_add_text(&line, word);
		else
			buf_add_shell(&line, view_of(word));
	}
	return arena_copy(&draft->arena, buf_view(&line));
}
