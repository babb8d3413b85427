/* Measures of what is written, and the rules that copies sent at once must keep. */
#include "verify/race.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "verify/finding.h"
#include "verify/format.h"

#define TEXT_MAX ((size_t)16384)
#define SECONDS_LEAST 1e9 /* numbers from here on are taken for times: seconds, or parts of them, since 1970 */
#define SAME 1e-6         /* of sums: a part of them */
#define HALF (RACE_COPIES / 2)
#define HALF_REAL (RACE_COPIES / 2.0)

enum weight { WEIGHT_INVARIANT = 98, WEIGHT_MORE = 97, WEIGHT_NEGATIVE = 96, WEIGHT_SUM = 95, WEIGHT_ROWS = 94, WEIGHT_ERROR = 90 };

/* ---- measures ---- */

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void real_add(json_t *object, const char *key, double more)
{
	(void)json_object_set_new(object, key, json_real(real_of(object, key) + more));
}

/* Ids and times are no amounts: what they add up to says nothing. */
static bool is_amount(const json_t *row, const char *column, const json_t *value)
{
	struct view name = view_of(column);

	return json_is_number(value) && !json_object_get(json_member(row, "key"), column) && !view_is(name, "id") &&
	       !view_ends(name, VIEW("_id")) && !view_ends(name, VIEW("Id")) && fabs(json_number_value(value)) < SECONDS_LEAST;
}

static bool is_time(const char *text)
{
	AUTO_BUF mask = buf_new(TEXT_MAX);

	format_mask(&mask, view_of(text));
	return view_find(buf_view(&mask), VIEW("<timestamp>")) >= 0 || view_find(buf_view(&mask), VIEW("<date>")) >= 0;
}

/* How often each value of a column stands there: {column: {value: count}}. */
static void value_note(json_t *seen, const char *name, const json_t *value)
{
	AUTO_BUF text = buf_new(TEXT_MAX);
	json_t *values = json_object_get(seen, name);

	if (json_is_null(value) || json_is_boolean(value) || (json_is_string(value) && is_time(json_string_value(value))) ||
	    (json_is_number(value) && fabs(json_number_value(value)) >= SECONDS_LEAST))
		return;
	json_format_sorted(&text, value);
	if (text.over)
		return;
	if (!values) {
		values = json_object();
		(void)json_object_set_new(seen, name, values);
	}
	(void)json_object_set_new(values, text.at, json_integer(json_number(values, text.at, 0) + 1));
}

static void amount_note(json_t *measure, const char *name, double value)
{
	json_t *least = json_member(measure, "least");
	const json_t *old = json_object_get(least, name);

	real_add(json_member(measure, "sums"), name, value);
	if (!old || value < json_number_value(old))
		(void)json_object_set_new(least, name, json_real(value));
}

static void table_measure(json_t *measure, json_t *seen, const char *table, const json_t *list)
{
	size_t index;
	json_t *row;

	real_add(json_member(measure, "rows"), table, (double)json_array_size(list));
	json_array_foreach(list, index, row) {
		const char *column;
		json_t *value;

		json_object_foreach(json_member(row, "row"), column, value) {
			AUTO_FREE char *name = text_format("%s.%s", table, column);

			if (is_amount(row, column, value))
				amount_note(measure, name, json_number_value(value));
			if (!json_object_get(json_member(row, "key"), column))
				value_note(seen, name, value);
		}
	}
}

/* Texts of Redis that are numbers are counters. */
static bool number_parse(const json_t *text, double *number)
{
	char *end = NULL;

	if (!json_is_string(text) || !json_string_length(text))
		return false;
	*number = strtod(json_string_value(text), &end);
	return *end == '\0' && isfinite(*number) && fabs(*number) < SECONDS_LEAST;
}

static void key_measure(json_t *measure, const char *database, const char *key, const json_t *about)
{
	const json_t *value = json_member(about, "value");
	AUTO_BUF mask = buf_new(TEXT_MAX);
	const char *field;
	json_t *member;
	double number;

	format_mask(&mask, view_of(key));
	AUTO_FREE char *name = text_format("%s.%s", database, mask.at ? mask.at : "");

	real_add(json_member(measure, "rows"), name, json_is_array(value) ? (double)json_array_size(value) : 1);
	if (number_parse(value, &number))
		amount_note(measure, name, number);
	json_object_foreach((json_t *)(uintptr_t)value, field, member) {
		AUTO_FREE char *inner = text_format("%s.%s", name, field);

		if (number_parse(member, &number))
			amount_note(measure, inner, number);
	}
}

json_t *race_measure(const json_t *rows)
{
	json_t *measure = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}, s:b}", "rows", "sums", "least", "distinct", "repeated", "cut",
				    json_flag(rows, "cut", false));
	AUTO_JSON seen = json_object();
	const char *database, *table;
	json_t *tables, *list;

	json_object_foreach(json_member(rows, "tables"), database, tables) {
		json_object_foreach(tables, table, list) {
			AUTO_FREE char *name = text_format("%s.%s", database, table);

			if (json_is_array(list))
				table_measure(measure, seen, name, list);
		}
	}
	json_object_foreach(json_member(rows, "redis"), database, tables)
		json_object_foreach(tables, table, list)
			key_measure(measure, database, table, list);
	json_object_foreach(seen, table, list) {
		bool repeated = false;
		const char *text;
		json_t *count;

		json_object_foreach(list, text, count)
			repeated = repeated || json_integer_value(count) > 1;
		if (repeated || json_object_size(list) > 1)
			(void)json_object_set_new(json_member(measure, repeated ? "repeated" : "distinct"), table, json_true());
	}
	return measure;
}

/* What there is more of: {name: number}, without what stayed. */
static json_t *more_of(const json_t *before, const json_t *after)
{
	json_t *more = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)after, name, value) {
		double difference = json_number_value(value) - real_of(before, name);

		if (difference != 0)
			(void)json_object_set_new(more, name, json_real(difference));
	}
	return more;
}

json_t *race_step(const char *name, const json_t *before, const json_t *after)
{
	return json_pack("{s:s, s:o, s:o, s:O, s:O, s:O, s:b}", "name", name, "rows",
			 more_of(json_member(before, "rows"), json_member(after, "rows")), "sums",
			 more_of(json_member(before, "sums"), json_member(after, "sums")), "least", json_member(after, "least"),
			 "distinct", json_member(after, "distinct"), "repeated", json_member(after, "repeated"), "cut",
			 json_flag(after, "cut", false));
}

/* ---- what can be made scarce ---- */

static const json_t *row_find(const json_t *list, const json_t *key)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_member(json_array_get(list, i), "key"), key))
			return json_array_get(list, i);
	return NULL;
}

/* Is as much taken from the column both times? Then *each is what one copy takes. */
static bool takes(const json_t *a, const json_t *b, const json_t *c, const char *column, json_int_t *each)
{
	const json_t *first = json_object_get(json_member(a, "row"), column);
	const json_t *second = json_object_get(json_member(b, "row"), column);
	const json_t *third = json_object_get(json_member(c, "row"), column);
	json_int_t taken;

	if (!json_is_integer(first) || !json_is_integer(second) || !json_is_integer(third) || !is_amount(c, column, third))
		return false;
	taken = json_integer_value(second) - json_integer_value(third);
	*each = taken / HALF;
	return taken > 0 && taken % HALF == 0 && json_integer_value(first) - json_integer_value(second) == taken;
}

json_t *race_scarce(const json_t *first, const json_t *second, const json_t *third)
{
	const char *database, *table, *column;
	json_t *tables, *list, *row, *value;
	json_t *found = NULL;
	size_t index;

	json_object_foreach(json_member(third, "tables"), database, tables) {
		const json_t *before = json_member(json_member(first, "tables"), database);
		const json_t *middle = json_member(json_member(second, "tables"), database);

		json_object_foreach(tables, table, list) {
			json_array_foreach(list, index, row) {
				const json_t *key = json_member(row, "key");
				const json_t *a = row_find(json_member(before, table), key);
				const json_t *b = row_find(json_member(middle, table), key);
				json_int_t each;

				if (!a || !b || !json_object_size(key))
					continue;
				json_object_foreach(json_member(row, "row"), column, value)
					if (!found && takes(a, b, row, column, &each))
						found = json_pack("{s:s, s:s, s:s, s:O, s:O, s:I}", "database", database, "table",
								  table, "column", column, "key", key, "value", value, "each",
								  each);
			}
		}
	}
	return found;
}

/* ---- judging ---- */

struct bout {
	const json_t *race; /* of those at once */
	json_t *findings;
	const char *place;
};

static void PRINTF_LIKE(5, 6)
	report(const struct bout *bout, const char *kind, const char *path, int weight, const char *format, ...)
{
	AUTO_BUF title = buf_new(TEXT_MAX);
	char text[500];
	va_list args;
	json_t *made;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_add_format(&title, "%s: %s", bout->place, text);
	made = finding_add(bout->findings,
			   &(struct finding){.gate = "race",
					     .kind = kind,
					     .place = bout->place,
					     .path = path,
					     .severity = SEVERITY_BLOCK,
					     .weight = weight,
					     .title = title.at,
					     .detail = "Send the last request several times at once."},
			   NULL);
	if (!made)
		return;
	(void)json_object_set_new(made, "session", json_string(json_text(bout->race, "session", "")));
	(void)json_object_set_new(made, "entry", json_integer(json_number(bout->race, "entry", 0)));
}

static const json_t *step_find(const json_t *race, const char *name)
{
	const json_t *steps = json_member(race, "steps");

	for (size_t i = 0; i < json_array_size(steps); i++)
		if (strcmp(json_text(json_array_get(steps, i), "name", ""), name) == 0)
			return json_array_get(steps, i);
	return NULL;
}

static const json_t *race_find(const json_t *races, const char *place)
{
	for (size_t i = 0; i < json_array_size(races); i++)
		if (strcmp(json_text(json_array_get(races, i), "place", ""), place) == 0)
			return json_array_get(races, i);
	return NULL;
}

static bool same(double a, double b)
{
	return fabs(a - b) <= SAME * (1 + fabs(a) + fabs(b));
}

/* More may succeed at once than one after another only when something was asked before somebody else's answer to it. */
static void judge_answers(const struct bout *bout, const json_t *turns, const json_t *together, const char *path)
{
	int64_t expected = json_number(turns, "ok", 0);
	int64_t got = json_number(together, "ok", 0);
	int64_t failed = json_number(together, "failed", 0);

	if (got > expected)
		report(bout, "race-more", path, WEIGHT_MORE,
		       "%lld of %d copies sent at once succeed, of as many one after another %lld", (long long)got, RACE_COPIES,
		       (long long)expected);
	if (failed > 1 && !json_number(turns, "failed", 0))
		report(bout, "race-error", path, WEIGHT_ERROR,
		       "%lld of %d copies sent at once are answered with an error of the server, one after another none",
		       (long long)failed, RACE_COPIES);
}

static void judge_rows(const struct bout *bout, const json_t *turns, const json_t *together)
{
	AUTO_JSON tables = json_object();
	const char *table;
	json_t *unused;

	(void)json_object_update(tables, json_member(turns, "rows"));
	(void)json_object_update(tables, json_member(together, "rows"));
	if (json_number(turns, "ok", 0) != json_number(together, "ok", 0))
		return;
	json_object_foreach(tables, table, unused) {
		double expected = real_of(json_member(turns, "rows"), table);
		double got = real_of(json_member(together, "rows"), table);

		if (!same(expected, got))
			report(bout, "race-rows", table, WEIGHT_ROWS,
			       "copies sent at once write %g rows of %s, one after another %g", got, table, expected);
	}
}

/* What each of the copies one after another changes by as much, both times: that much for each that succeeds, at once too. */
static void judge_linear(const struct bout *bout, const char *what, const json_t *together)
{
	const json_t *first = step_find(bout->race, "turns");
	const json_t *second = step_find(bout->race, "turns again");
	double ok = (double)json_number(together, "ok", 0);
	AUTO_JSON names = json_object();
	const char *name;
	json_t *unused;

	if (json_number(first, "ok", 0) != HALF || json_number(second, "ok", 0) != HALF)
		return;
	(void)json_object_update(names, json_member(first, what));
	(void)json_object_update(names, json_member(second, what));
	json_object_foreach(names, name, unused) {
		double each = real_of(json_member(first, what), name) / HALF_REAL;
		double got = real_of(json_member(together, what), name);

		if (!same(each, real_of(json_member(second, what), name) / HALF_REAL) || same(each * ok, got))
			continue;
		if (strcmp(what, "sums") == 0)
			report(bout, "race-sum", name, WEIGHT_SUM,
			       "%g copies that succeed at once change %s by %g; one after another each changes it by %g", ok, name,
			       got, each);
		else
			report(bout, "race-rows", name, WEIGHT_ROWS,
			       "%g copies that succeed at once write %g rows of %s; one after another each writes %g", ok, got,
			       name, each);
	}
}

static void judge_values(const struct bout *bout, const json_t *turns, const json_t *together)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_member(together, "least"), name, value) {
		const json_t *least = json_object_get(json_member(turns, "least"), name);

		if (least && json_number_value(least) >= 0 && json_number_value(value) < 0)
			report(bout, "race-negative", name, WEIGHT_NEGATIVE,
			       "after copies sent at once %s is %g; one after another it is never below nothing", name,
			       json_number_value(value));
	}
	json_object_foreach(json_member(together, "repeated"), name, value)
		if (json_object_get(json_member(turns, "distinct"), name))
			report(bout, "race-repeated", name, WEIGHT_ROWS,
			       "copies sent at once write a value of %s twice; one after another each is its own", name);
}

static bool text_among(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

static void judge_broken(const struct bout *bout, const json_t *turns, const json_t *together, const char *how)
{
	size_t index;
	json_t *name;

	json_array_foreach(json_member(together, "broken"), index, name)
		if (!text_among(json_member(turns, "broken"), json_string_value(name)))
			report(bout, "invariant", json_string_value(name), WEIGHT_INVARIANT, "`%s` does not hold %s",
			       json_string_value(name), how);
}

/* Once for each reason. */
static void unstable_add(json_t *unstable, const char *place, const char *reason)
{
	for (size_t i = 0; i < json_array_size(unstable); i++)
		if (strcmp(json_text(json_array_get(unstable, i), "endpoint", ""), place) == 0 &&
		    strcmp(json_text(json_array_get(unstable, i), "reason", ""), reason) == 0)
			return;
	(void)json_array_append_new(unstable, json_pack("{s:s, s:s}", "endpoint", place, "reason", reason));
}

/* How many of its steps come before one whose copies were not all answered in time: what these still did, a later one may count. */
static size_t steps_whole(const json_t *race)
{
	const json_t *steps = json_member(race, "steps");
	size_t count = 0;

	while (count < json_array_size(steps) && !json_number(json_array_get(steps, count), "lost", 0))
		count++;
	return count;
}

/* Where a step of that name stands; as many as there are, when there is none. */
static size_t step_place(const json_t *race, const char *name)
{
	const json_t *steps = json_member(race, "steps");
	size_t at = 0;

	while (at < json_array_size(steps) && strcmp(json_text(json_array_get(steps, at), "name", ""), name) != 0)
		at++;
	return at;
}

/* Copies that nobody answers in time may say something about this machine. That more of them are lost at once, again and again, than when the
 * base is asked at the same time says something about the application: they wait for each other. */
static void judge_lost(const struct bout *bout, const json_t *turns, const json_t *together, const char *path)
{
	int64_t lost = json_number(together, "lost", 0);

	if (lost > 1 && !json_number(turns, "lost", 0))
		report(bout, "race-lost", path, WEIGHT_ERROR,
		       "%lld of %d copies sent at once are not answered in time, one after another all are", (long long)lost,
		       RACE_COPIES);
}

static void written_judge(const struct bout *bout, const char *name, const json_t *expected, const json_t *got)
{
	judge_values(bout, expected, got);
	if (strcmp(name, "cold") == 0)
		judge_rows(bout, expected, got);
	if (strcmp(name, "warm") == 0) {
		judge_linear(bout, "sums", got);
		judge_linear(bout, "rows", got);
	}
}

static void race_judge(const struct bout *bout, const json_t *turns, json_t *unstable)
{
	static const char *const names[] = {"cold", "warm", "scarce"};
	size_t whole = steps_whole(bout->race);
	size_t whole_turns = steps_whole(turns);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const json_t *expected = step_find(turns, names[i]);
		const json_t *got = step_find(bout->race, names[i]);
		const char *scarce = json_text(got, "scarce", "");
		size_t at = step_place(bout->race, names[i]);
		size_t at_turns = step_place(turns, names[i]);

		if (!expected || !got || strcmp(scarce, json_text(expected, "scarce", "")) != 0)
			continue;
		if (at >= whole || at_turns >= whole_turns)
			unstable_add(unstable, bout->place, "copies of it were not answered in time");
		if (at > whole || at_turns > whole_turns)
			return;
		judge_broken(bout, expected, got, "after copies sent at once");
		if (at_turns == whole_turns)
			return;
		judge_lost(bout, expected, got, scarce);
		if (strcmp(names[i], "warm") != 0) /* which goes on from what the one before left */
			judge_answers(bout, expected, got, scarce);
		if (at == whole)
			return;
		if (json_flag(expected, "cut", false) || json_flag(got, "cut", false))
			unstable_add(unstable, bout->place,
				     "more is written than is looked at: rows and numbers were not compared");
		else
			written_judge(bout, names[i], expected, got);
	}
}

json_t *races_judge(const json_t *turns, const json_t *together, json_t *unstable)
{
	json_t *findings = json_array();
	size_t index;
	json_t *race;

	json_array_foreach(together, index, race) {
		const struct bout bout = {race, findings, json_text(race, "place", "")};
		const json_t *expected = race_find(turns, bout.place);

		if (expected)
			race_judge(&bout, expected, unstable);
		else
			unstable_add(unstable, bout.place, "there is nothing to hold it against");
	}
	return findings;
}

void races_judge_turns(const json_t *base_turns, const json_t *head_turns, json_t *findings)
{
	size_t index, at;
	json_t *race, *step;

	json_array_foreach(head_turns, index, race) {
		const struct bout bout = {race, findings, json_text(race, "place", "")};
		const json_t *before = race_find(base_turns, bout.place);

		json_array_foreach(json_member(race, "steps"), at, step) {
			const json_t *expected = step_find(before, json_text(step, "name", ""));

			if (expected)
				judge_broken(&bout, expected, step, "after copies sent one after another");
		}
	}
}
