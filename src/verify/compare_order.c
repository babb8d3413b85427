/*
 * The layer of order within one request: which rows are written in one transaction, and what is told others while a transaction is open.
 *
 * Theory of operation: statements of a seam are read in the order in which they were sent; BEGIN and COMMIT part them into transactions, and
 * what stands outside is one by itself. Where two transactions of one seam overlap (a pool of connections, used at once) nothing is said
 * about it: which statement belongs to which is not known.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/call.h"
#include "verify/compare_priv.h"
#include "verify/format.h"

#define TABLE_NAME_MAX ((size_t)128)

/* What one service does with one database, so far. */
struct course {
	json_t *open;     /* tables written since the last end, in order; with their repetitions */
	json_t *done;     /* of transactions that ended: [[table…]…] */
	bool begun;       /* by BEGIN */
	bool overlapping; /* two at once */
};

struct courses {
	const struct judge *judge;
	json_t *names; /* edge -> index */
	struct course *at;
	size_t count;
	json_t *told; /* "orders > mq publish orders": the edge whose transaction was open */
};

static void courses_fini(struct courses *courses)
{
	for (size_t i = 0; i < courses->count; i++) {
		json_decref(courses->at[i].open);
		json_decref(courses->at[i].done);
	}
	free(courses->at);
	json_decref(courses->names);
	json_decref(courses->told);
}

/* NULL: there is none. */
static struct course *course_find(const struct courses *courses, const char *edge)
{
	int64_t index = json_number(courses->names, edge, -1);

	return courses->at && index >= 0 ? &courses->at[index] : NULL;
}

static struct course *course_of(struct courses *courses, const char *edge)
{
	struct course *known = course_find(courses, edge);

	if (known)
		return known;
	courses->at = mem_grow(courses->at, courses->count + 1, sizeof(courses->at[0]));
	(void)json_object_set_new(courses->names, edge, json_integer((json_int_t)courses->count));
	courses->at[courses->count] = (struct course){json_array(), json_array(), false, false};
	return &courses->at[courses->count++];
}

/* ---- statements ---- */

static bool word_take(struct view *text, const char *word)
{
	size_t length = strlen(word);

	*text = view_trim(*text);
	if (text->length < length || strncasecmp(text->at, word, length) != 0 ||
	    (text->length > length && (text->at[length] == '_' || (text->at[length] | 0x20) >= 'a') &&
	     (text->at[length] | 0x20) <= 'z'))
		return false;
	*text = view_trim(view_make(text->at + length, text->length - length));
	return true;
}

/* The table that a statement writes, appended; nothing when it writes none. */
static void table_written(struct buf *out, struct view statement)
{
	size_t length = 0;
	bool writes = (word_take(&statement, "INSERT") && (word_take(&statement, "IGNORE") || true) &&
		       word_take(&statement, "INTO")) ||
		      word_take(&statement, "UPDATE") || word_take(&statement, "REPLACE INTO") ||
		      (word_take(&statement, "DELETE") && word_take(&statement, "FROM"));

	if (!writes)
		return;
	(void)word_take(&statement, "ONLY");
	while (length < statement.length && length < TABLE_NAME_MAX && !strchr(" \t\r\n(;,", statement.at[length]))
		length++;
	for (size_t i = 0; i < length; i++)
		if (statement.at[i] != '"' && statement.at[i] != '`')
			buf_add_char(out, statement.at[i]);
}

static void course_end(struct course *course, bool together)
{
	if (together && json_array_size(course->open))
		(void)json_array_append(course->done, course->open);
	for (size_t i = 0; !together && i < json_array_size(course->open); i++)
		(void)json_array_append_new(course->done, json_pack("[O]", json_array_get(course->open, i)));
	json_decref(course->open);
	course->open = json_array();
	course->begun = false;
}

static size_t times_in(const json_t *transaction, const json_t *table)
{
	size_t times = 0;

	for (size_t i = 0; i < json_array_size(transaction); i++)
		times += json_equal(json_array_get(transaction, i), table) ? 1 : 0;
	return times;
}

/* One of possibly several statements that were sent as one. */
static void course_statement(struct course *course, struct view statement)
{
	AUTO_BUF table = buf_new(TABLE_NAME_MAX + 1);
	struct view rest = statement;

	if (word_take(&rest, "BEGIN") || word_take(&rest, "START TRANSACTION")) {
		course->overlapping = course->overlapping || course->begun;
		course_end(course, false); /* what came before stood by itself */
		course->begun = true;
	} else if (word_take(&rest, "COMMIT") || word_take(&rest, "END")) {
		course_end(course, true); /* without BEGIN, where a driver never commits by itself */
	} else if (word_take(&rest, "ROLLBACK")) {
		if (word_take(&rest, "TO"))
			return;
		(void)json_array_clear(course->open);
		course->begun = false;
	} else {
		AUTO_JSON name = NULL;

		table_written(&table, rest);
		name = table.length ? json_stringn(table.at, table.length) : NULL;
		if (name && times_in(course->open, name) < 2) /* whether it is one, or more, is all that is asked */
			(void)json_array_append(course->open, name);
	}
}

static void course_add(struct course *course, struct view text)
{
	while (text.at && text.length)
		course_statement(course, view_cut(text, ';', &text));
}

/* ---- what is told while it may still be undone ---- */

static bool starts_with(const char *edge, const char *from)
{
	size_t length = strlen(from);

	return strncmp(edge, from, length) == 0 && strncmp(edge + length, " > ", 3) == 0;
}

/* A message of whose sender a transaction with writes is open. */
static void message_add(struct courses *courses, const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");
	AUTO_BUF name = buf_new(16384);
	AUTO_FREE char *from = NULL;
	const char *url = json_text(request, "url", "");
	const char *edge;
	json_t *index;

	/* An answer to who asked over NATS, or a word to the server itself, tells nobody else. */
	if (strcmp(json_text(request, "method", ""), "publish") != 0 || strncmp(url, "_INBOX.", 7) == 0 ||
	    strncmp(url, "$JS.", 4) == 0)
		return;
	call_edge(&name, exchange, courses->judge->comparison->options.inside);
	from = view_copy(view_make(name.at, (size_t)(strstr(name.at, " > ") - name.at)));
	buf_add_text(&name, " publish ");
	format_path(&name, view_of(url));
	json_object_foreach(courses->names, edge, index) {
		const struct course *course = course_find(courses, edge);

		if (course && course->begun && !course->overlapping && json_array_size(course->open) && starts_with(edge, from))
			(void)json_object_set_new(courses->told, name.at, json_string(edge));
	}
}

struct sent {
	const json_t *exchange;
	int64_t seq; /* counted as it was sent; the log has them as they ended */
	size_t index;
};

static int by_sequence(const void *left, const void *right)
{
	const struct sent *a = left;
	const struct sent *b = right;

	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

static struct courses courses_read(const struct judge *judge, const json_t *seams)
{
	struct courses courses = {.judge = judge, .names = json_object(), .told = json_object()};
	size_t count = json_array_size(seams);
	struct sent *sorted = mem_new_array(count + 1, sizeof(sorted[0]));

	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct sent){json_array_get(seams, i), json_number(json_array_get(seams, i), "seq", 0), i};
	qsort(sorted, count, sizeof(sorted[0]), by_sequence);
	for (size_t i = 0; i < count; i++) {
		const json_t *exchange = sorted[i].exchange;
		AUTO_BUF edge = buf_new(1024);

		if (call_is_message(exchange)) {
			message_add(&courses, exchange);
		} else if (call_is(exchange, "postgres") || call_is(exchange, "mysql")) {
			call_edge(&edge, exchange, judge->comparison->options.inside);
			course_add(course_of(&courses, edge.at),
				   view_of(json_text(json_member(exchange, "request"), "statement", "")));
		}
	}
	free(sorted);
	for (size_t i = 0; i < courses.count; i++)
		course_end(&courses.at[i], courses.at[i].begun);
	return courses;
}

/* ---- judging ---- */

/* Are rows of both written in one transaction? Of one and the same table: two or more of it. */
static bool together(const struct course *course, const json_t *first, const json_t *second)
{
	bool same = json_equal(first, second);

	for (size_t i = 0; i < json_array_size(course->done); i++) {
		const json_t *transaction = json_array_get(course->done, i);

		if (same ? times_in(transaction, first) > 1 : times_in(transaction, first) && times_in(transaction, second))
			return true;
	}
	return false;
}

/* Are both written, and never in one transaction? */
static bool apart(const struct course *course, const json_t *first, const json_t *second)
{
	size_t of_first = 0;
	size_t of_second = 0;

	for (size_t i = 0; i < json_array_size(course->done); i++) {
		of_first += times_in(json_array_get(course->done, i), first);
		of_second += times_in(json_array_get(course->done, i), second);
	}
	return (json_equal(first, second) ? of_first > 1 : of_first && of_second) && !together(course, first, second);
}

static void pair_judge(struct judge *judge, const struct course *head, const json_t *first, const json_t *second)
{
	AUTO_FREE char *path = text_format("#transaction %s %s", json_string_value(first), json_string_value(second));

	if (!apart(head, first, second))
		return;
	if (judge->noise)
		judge_learn(judge, path, NULL, NULL);
	else if (!judge_noise(judge, path))
		judge_report(judge, "transaction-split", path, SEVERITY_BLOCK, WEIGHT_EFFECT + 1, NULL, NULL,
			     "%s: %s%s%s are written in transactions of their own; on the base in one: half of it may stay",
			     judge->within, json_string_value(first), json_equal(first, second) ? "'s rows" : " and ",
			     json_equal(first, second) ? "" : json_string_value(second));
}

static void course_judge(struct judge *judge, const struct course *base, const struct course *head)
{
	for (size_t i = 0; i < json_array_size(base->done); i++) {
		const json_t *transaction = json_array_get(base->done, i);

		for (size_t k = 0; k < json_array_size(transaction); k++)
			for (size_t m = k + 1; m < json_array_size(transaction); m++)
				pair_judge(judge, head, json_array_get(transaction, k), json_array_get(transaction, m));
	}
}

static void told_judge(struct judge *judge, const struct courses *base, const struct courses *head)
{
	const char *name;
	json_t *edge;

	json_object_foreach(head->told, name, edge) {
		const struct course *was = course_find(base, json_string_value(edge));

		judge->within = name;
		if (json_object_get(base->told, name) ||
		    (was && was->overlapping)) /* overlapping: it could not be told of the base */
			continue;
		if (judge->noise)
			judge_learn(judge, "#told", NULL, NULL);
		else if (!judge_noise(judge, "#told"))
			judge_report(
				judge, "told-before-commit", "", SEVERITY_BLOCK, WEIGHT_EFFECT + 1, NULL, NULL,
				"%s: is sent while the transaction of %s is open: who takes it may not find the rows, or they are undone",
				name, json_string_value(edge));
	}
}

void judge_order(struct judge *judge, const json_t *base_seams, const json_t *head_seams)
{
	__attribute__((cleanup(courses_fini))) struct courses base = courses_read(judge, base_seams);
	__attribute__((cleanup(courses_fini))) struct courses head = courses_read(judge, head_seams);
	const char *edge;
	json_t *index;

	judge->layer = LAYER_OUTBOUND;
	json_object_foreach(base.names, edge, index) {
		const struct course *course = course_find(&base, edge);
		const struct course *other = course_find(&head, edge);

		judge->within = edge;
		if (course && other && !course->overlapping && !other->overlapping)
			course_judge(judge, course, other);
	}
	told_judge(judge, &base, &head);
	judge->within = "";
}
