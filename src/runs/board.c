/* Boards of threads: put together, kept, written as Markdown. */
#include "runs/board.h"

#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"

#define LINE_BYTES_MAX 1000
#define STEP_BYTES_MAX 200
#define STEPS_MAX 50

static bool one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

/* ---- what is said, on it ---- */

static json_t *list_of(json_t *board, const char *name)
{
	if (!json_is_array(json_member(board, name)))
		(void)json_object_set_new(board, name, json_array());
	return json_member(board, name);
}

/* Owned: a text of at most so many bytes, in whole characters, without any that only steer, and a sign where it was longer. */
static json_t *text_cut(const char *text, size_t bytes_max)
{
	AUTO_JSON holder = json_object();
	AUTO_FREE char *clean = NULL;
	bool is_code = false;
	size_t length;

	json_set_bytes(holder, "text", view_make(text, strnlen(text, bytes_max + 1)));
	clean = text_copy(json_text(holder, "text", ""));
	length = strlen(clean);
	for (char *at = clean; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	if (length <= bytes_max)
		return json_string(clean);
	length = bytes_max;
	while (length && ((unsigned char)clean[length] & 0xc0) == 0x80)
		length--;
	for (size_t i = 0; i < length; i++)
		is_code = is_code != (clean[i] == '`');
	return json_sprintf("%.*s…%s", (int)length, clean, is_code ? "`" : ""); /* what was code stays it */
}

/* What a link of ours never is long enough for may not keep anything from being said: lines and plan come again. */
static int board_format(json_t *board, struct buf *text, struct err *err)
{
	static const char *const lesser[] = {"lines", "plan", "links"};
	size_t left = 0;

	for (;;) {
		json_format(text, board);
		if (!text->over || left == ARRAY_LEN(lesser))
			return buf_finish(text, err);
		(void)json_object_del(board, lesser[left++]);
		buf_fini(text);
		*text = buf_new(BOARD_BYTES_MAX);
	}
}

static void line_add(json_t *board, const char *text)
{
	json_t *lines = list_of(board, "lines");

	(void)json_array_append_new(lines, text_cut(text, LINE_BYTES_MAX));
	while (json_array_size(lines) > BOARD_LINES_MAX)
		(void)json_array_remove(lines, 0);
	(void)json_object_del(board, "now");
}

/* What stays is a line; what the next word makes obsolete is what is done now. */
static void say(json_t *board, const json_t *speech, const char *text)
{
	if (json_flag(speech, "ephemeral", false))
		(void)json_object_set_new(board, "now", text_cut(text, LINE_BYTES_MAX));
	else
		line_add(board, text);
}

static void put_action(json_t *board, const json_t *speech)
{
	const char *result = json_text(speech, "result", NULL);
	AUTO_FREE char *text = text_format("%s %s%s%s", json_text(speech, "action", ""), json_text(speech, "parameter", ""),
					   result ? ": " : "", result ? result : "");

	say(board, speech, text);
}

static void put_plan(json_t *board, const json_t *speech)
{
	json_t *plan = json_array();
	json_t *step;
	size_t i;

	json_array_foreach(json_member(speech, "plan"), i, step)
		if (i < STEPS_MAX)
			(void)json_array_append_new(plan, json_pack("{s:o, s:o}", "text",
								    text_cut(json_text(step, "text", ""), STEP_BYTES_MAX), "state",
								    text_cut(json_text(step, "state", ""), STEP_BYTES_MAX)));
	(void)json_object_set_new(board, "plan", plan);
}

static void put_link(json_t *board, json_t *link)
{
	json_t *links = list_of(board, "links");
	json_t *each;
	size_t i;

	json_array_foreach(links, i, each)
		if (strcmp(json_text(each, "label", ""), json_text(link, "label", "")) == 0) {
			(void)json_array_set(links, i, link);
			return;
		}
	if (json_array_size(links) < BOARD_LINKS_MAX)
		(void)json_array_append(links, link);
}

static void put_links(json_t *board, const json_t *speech)
{
	json_t *link;
	size_t i;

	json_array_foreach(json_member(speech, "links"), i, link)
		put_link(board, link);
}

/* Whatever comes after final words is another turn. */
static void turn_begin(json_t *board)
{
	if (!json_flag(board, "over", false))
		return;
	(void)json_object_set_new(board, "turn", json_integer(json_number(board, "turn", 0) + 1));
	(void)json_object_del(board, "over");
	(void)json_object_del(board, "plan");
	(void)json_object_del(board, "lines");
}

static bool put(json_t *board, const json_t *speech)
{
	static const char *const finals[] = {"response", "error", "stop", "end"};
	static const char *const progress[] = {"thought", "action", "plan"};
	const char *what = json_text(speech, "say", "");

	if (one_of(what, finals, ARRAY_LEN(finals))) {
		(void)json_object_set_new(board, "over", json_true());
		(void)json_object_del(board, "now");
	} else if (strcmp(what, "ask") == 0) {
		(void)json_object_set_new(board, "now", json_string("Waits for an answer."));
	} else if (strcmp(what, "links") == 0) {
		put_links(board, speech);
	} else if (one_of(what, progress, ARRAY_LEN(progress))) {
		turn_begin(board);
		if (strcmp(what, "plan") == 0)
			put_plan(board, speech);
		else if (strcmp(what, "action") == 0)
			put_action(board, speech);
		else
			say(board, speech, json_text(speech, "text", ""));
	} else {
		return false;
	}
	return true;
}

int board_put(struct store_tx *tx, const char *id, const char *operation, const json_t *speech, struct err *err)
{
	AUTO_THREAD thread = {0};
	AUTO_BUF text = buf_new(BOARD_BYTES_MAX);
	AUTO_JSON board = NULL;
	int64_t known = 0;

	if (thread_read(tx, id, &thread, err) ||
	    store_number_get(tx, &known, 0, "SELECT count(*) FROM outbox WHERE operation = ?", VALUES(V(operation)), err))
		return -1;
	board = board_read(&thread);
	if (known || !put(board, speech))
		return 0;
	(void)json_object_set_new(board, "n", json_integer(json_number(board, "n", 0) + 1));
	return board_format(board, &text, err) ||
			       store_run(tx, "UPDATE thread SET board = ? WHERE id = ?", VALUES(V(buf_view(&text)), V(id)), err)
		       ? -1
		       : 0;
}

/* ---- what is told ---- */

static json_t *object_of(const char *text)
{
	json_t *object = text ? json_parse(view_of(text), NULL) : NULL;

	return object ? object : json_object();
}

json_t *board_read(const struct thread *thread)
{
	return object_of(thread->board);
}

char *board_message(const struct thread *thread, const json_t *board)
{
	AUTO_JSON told = object_of(thread->told);

	return json_number(told, "turn", -1) == json_number(board, "turn", 0) ? text_copy(json_text(told, "id", NULL)) : NULL;
}

bool board_is_told(const struct thread *thread, const json_t *board)
{
	AUTO_JSON told = object_of(thread->told);

	return json_number(told, "n", -1) >= json_number(board, "n", 0);
}

int board_told(struct runs *runs, const struct thread *thread, const json_t *board, const char *message, struct err *err)
{
	AUTO_JSON told = json_pack("{s:I, s:I, s:s}", "turn", (json_int_t)json_number(board, "turn", 0), "n",
				   (json_int_t)json_number(board, "n", 0), "id", message);
	AUTO_BUF text = buf_new(BOARD_BYTES_MAX);
	AUTO_TX tx = {0};

	json_format(&text, told);
	if (buf_finish(&text, err) || store_begin(runs->store, &tx, err) ||
	    store_run(&tx, "UPDATE thread SET told = ? WHERE id = ?", VALUES(V(buf_view(&text)), V(thread->id)), err))
		return -1;
	return store_commit(&tx, err);
}

char *board_name(const struct thread *thread, const json_t *board)
{
	return text_format("%s/board/%lld", thread->id, (long long)json_number(board, "turn", 0));
}

/* ---- as it is shown ---- */

const char *board_title(const json_t *board)
{
	return json_flag(board, "over", false) ? "Assay worked on this" : "Assay is working on this";
}

const char *board_sign(const char *state)
{
	static const char *const done[] = {"completed", "done"};
	static const char *const now[] = {"in_progress", "running"};
	static const char *const gone[] = {"cancelled", "canceled"};

	if (one_of(state, done, ARRAY_LEN(done)))
		return "✔";
	if (one_of(state, now, ARRAY_LEN(now)))
		return "▸";
	return one_of(state, gone, ARRAY_LEN(gone)) ? "✗" : "○";
}

/* One line, whatever it was. */
static void line_write(struct buf *out, const char *sign, const char *text)
{
	buf_add_format(out, "- %s%s", sign, sign[0] ? " " : "");
	for (; *text; text++)
		buf_add_char(out, *text == '\n' ? ' ' : *text);
	buf_add_char(out, '\n');
}

void board_markdown(const json_t *board, struct buf *out)
{
	const char *now = json_text(board, "now", NULL);
	json_t *each;
	size_t i;

	buf_add_format(out, "**%s**\n\n", board_title(board));
	json_array_foreach(json_member(board, "plan"), i, each)
		line_write(out, board_sign(json_text(each, "state", "")), json_text(each, "text", ""));
	buf_add_text(out, "\n---\n");
	json_array_foreach(json_member(board, "lines"), i, each)
		line_write(out, "", json_string_value(each));
	if (now)
		buf_add_format(out, "\n%s …\n", now);
	if (json_array_size(json_member(board, "links")))
		buf_add_char(out, '\n');
	json_array_foreach(json_member(board, "links"), i, each)
		buf_add_format(out, "%s[%s](%s)", i ? " · " : "", json_text(each, "label", ""), json_text(each, "url", ""));
}
