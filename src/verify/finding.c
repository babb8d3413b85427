/* Findings and their order. */
#include "verify/finding.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"

#define VALUE_SHOWN ((size_t)60)
#define VALUE_MAX ((size_t)64 << 20)
#define TREE_BEFORE 4   /* lines before what differs */
#define TREE_SIDE_MAX 8 /* lines of each side */
#define TREE_AFTER 2
#define DEPTH_MAX 20

const char *severity_name(enum severity severity)
{
	static const char *const names[] = {"block", "warn", "info"};

	return names[severity];
}

bool finding_is(const json_t *finding, enum severity severity)
{
	return strcmp(json_text(finding, "severity", ""), severity_name(severity)) == 0;
}

/* The length up to which a text can be cut without cutting a character. */
static size_t cut_length(struct view text, size_t length_max)
{
	size_t length = text.length < length_max ? text.length : length_max;

	while (length && length < text.length && ((unsigned char)text.at[length] & 0xc0) == 0x80)
		length--;
	return length;
}

/* 4.7, and not the 4.7999999999999998 that is the same number. */
static void real_describe(struct buf *out, double value)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) >= value && strtod(text, NULL) <= value)
			break;
	}
	buf_add_text(out, text);
	if (!strpbrk(text, ".en"))
		buf_add_text(out, ".0");
}

void value_describe(struct buf *out, const json_t *value)
{
	AUTO_BUF text = buf_new(VALUE_MAX);
	size_t length;

	if (!value) {
		buf_add_text(out, "nothing");
		return;
	}
	if (json_is_real(value)) {
		real_describe(out, json_real_value(value));
		return;
	}
	json_format_sorted(&text, value);
	length = cut_length(buf_view(&text), VALUE_SHOWN);
	buf_add(out, text.at, length);
	if (length < text.length)
		buf_add_text(out, "…");
}

json_t *evidence_of(const json_t *value)
{
	AUTO_BUF text = buf_new(VALUE_MAX);
	AUTO_BUF cut = buf_new(EVIDENCE_BYTES_MAX + 8);

	if (!value)
		return json_null();
	if (json_is_string(value))
		buf_add(&text, json_string_value(value), json_string_length(value));
	else
		json_format(&text, value);
	if (text.length <= EVIDENCE_BYTES_MAX && !text.over)
		return json_deep_copy(value);
	buf_add(&cut, text.at, cut_length(buf_view(&text), EVIDENCE_BYTES_MAX));
	buf_add_text(&cut, "…");
	return json_stringn(cut.at, cut.length);
}

static char *id_make(const struct finding *finding)
{
	const struct view parts[] = {view_of(finding->gate), view_of(finding->kind), view_of(finding->place),
				     view_of(finding->path ? finding->path : ""), view_of(finding->bound ? finding->bound : "")};
	struct digest digest = digest_of_parts(parts, finding->bound ? ARRAY_LEN(parts) : ARRAY_LEN(parts) - 1);

	return text_format("f-%.12s", digest.text);
}

json_t *finding_find(const json_t *findings, const char *id)
{
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (strcmp(json_text(json_array_get(findings, i), "id", ""), id) == 0)
			return json_array_get(findings, i);
	return NULL;
}

static enum severity severity_of(const json_t *finding)
{
	if (finding_is(finding, SEVERITY_BLOCK))
		return SEVERITY_BLOCK;
	return finding_is(finding, SEVERITY_WARN) ? SEVERITY_WARN : SEVERITY_INFO;
}

/* In a full list what is milder makes room: nobody hides what blocks behind much that does not. */
static bool room_make(json_t *findings, enum severity severity)
{
	for (int milder = SEVERITY_INFO; milder > (int)severity; milder--)
		for (size_t i = json_array_size(findings); i-- > 0;)
			if (severity_of(json_array_get(findings, i)) == (enum severity)milder)
				return json_array_remove(findings, i) == 0;
	return false;
}

json_t *finding_add(json_t *findings, const struct finding *finding, bool *fresh)
{
	AUTO_FREE char *id = id_make(finding);
	json_t *old = finding_find(findings, id);
	bool worse = old && finding->severity < severity_of(old); /* seen mild before: the worst of them is told */
	json_t *made = old;
	json_int_t count = old ? json_number(old, "count", 1) + 1 : 1;

	if (fresh)
		*fresh = !old || worse;
	if (old && !worse) {
		(void)json_object_set_new(old, "count", json_integer(count));
		return old;
	}
	if (!old && json_array_size(findings) >= FINDINGS_MAX && !room_make(findings, finding->severity))
		return NULL;
	if (worse) {
		(void)json_object_clear(old);
		(void)json_object_set_new(old, "count", json_integer(count));
	} else {
		made = json_object();
	}
	(void)json_object_set_new(made, "id", json_string(id));
	(void)json_object_set_new(made, "gate", json_string(finding->gate));
	(void)json_object_set_new(made, "severity", json_string(severity_name(finding->severity)));
	(void)json_object_set_new(made, "kind", json_string(finding->kind));
	json_set_bytes(made, "place", view_of(finding->place));
	json_set_bytes(made, "path", view_of(finding->path ? finding->path : ""));
	json_set_bytes(made, "title", view_of(finding->title));
	json_set_bytes(made, "detail", view_of(finding->detail ? finding->detail : ""));
	(void)json_object_set_new(made, "request", json_null());
	(void)json_object_set_new(made, "expected", evidence_of(finding->expected));
	(void)json_object_set_new(made, "got", evidence_of(finding->got));
	(void)json_object_set_new(made, "expected_tree", json_array());
	(void)json_object_set_new(made, "got_tree", json_array());
	if (finding->file)
		json_set_bytes(made, "file", view_of(finding->file));
	else
		(void)json_object_set_new(made, "file", json_null());
	(void)json_object_set_new(made, "line", json_integer(finding->line));
	(void)json_object_set_new(made, "weight", json_integer(finding->weight));
	(void)json_object_set_new(made, "reproduce", json_string(""));
	if (!old)
		(void)json_array_append_new(findings, made);
	return made;
}

struct ranked {
	json_t *finding;
	enum severity severity;
	json_int_t weight;
	size_t place;
};

static int ranked_compare(const void *left, const void *right)
{
	const struct ranked *a = left;
	const struct ranked *b = right;

	if (a->severity != b->severity)
		return a->severity < b->severity ? -1 : 1;
	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

void findings_sort(json_t *findings)
{
	size_t count = json_array_size(findings);
	struct ranked *ranked = mem_new_array(count + 1, sizeof(*ranked));

	for (size_t i = 0; i < count; i++) {
		json_t *finding = json_array_get(findings, i);

		ranked[i] = (struct ranked){json_incref(finding), severity_of(finding), json_number(finding, "weight", 0), i};
	}
	qsort(ranked, count, sizeof(*ranked), ranked_compare);
	(void)json_array_clear(findings);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(findings, ranked[i].finding);
	free(ranked);
}

bool findings_block(const json_t *findings)
{
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (finding_is(json_array_get(findings, i), SEVERITY_BLOCK))
			return true;
	return false;
}

/* ---- trees ---- */

void finding_call_format(struct buf *out, const json_t *row)
{
	const char *error = json_text(row, "error", NULL);
	int64_t count = json_number(row, "count", 1);
	int64_t depth = json_number(row, "depth", 0);
	size_t begun = out->length;

	for (int64_t i = 0; i < depth && i < DEPTH_MAX; i++)
		buf_add_text(out, "  ");
	buf_add_format(out, "%s %s", json_text(row, "edge", ""), json_text(row, "call", ""));
	if (json_number(row, "status", 0))
		buf_add_format(out, " -> %lld", (long long)json_number(row, "status", 0));
	if (error)
		buf_add_format(out, " (%s)", error);
	if (json_flag(row, "late", false))
		buf_add_text(out, " (after the answer)");
	if (count > 1)
		buf_add_format(out, " (%lld times)", (long long)count);
	for (size_t i = begun; i < out->length; i++)
		if ((unsigned char)out->at[i] < ' ' || out->at[i] == 127)
			out->at[i] = ' ';
		else if (out->at[i] == '`') /* nothing may end a block of Markdown */
			out->at[i] = '\'';
}

static bool calls_same(const json_t *a, const json_t *b)
{
	return a && b && json_equal(a, b);
}

static void side_format(struct buf *out, const json_t *tree, size_t from, size_t to, const char *indent, char sign,
			size_t count_max)
{
	for (size_t i = from; i < to && i < from + count_max; i++) {
		buf_add_format(out, "%s%c ", indent, sign);
		finding_call_format(out, json_array_get(tree, i));
		buf_add_char(out, '\n');
	}
	if (to > from + count_max)
		buf_add_format(out, "%s%c … and %zu more\n", indent, sign, to - from - count_max);
}

void finding_trees_format(struct buf *out, const json_t *finding, const char *indent)
{
	const json_t *expected = json_member(finding, "expected_tree");
	const json_t *got = json_member(finding, "got_tree");
	size_t a = json_array_size(expected);
	size_t b = json_array_size(got);
	size_t front = 0, behind = 0;

	while (front < a && front < b && calls_same(json_array_get(expected, front), json_array_get(got, front)))
		front++;
	if (front == a && front == b)
		return;
	while (behind < a - front && behind < b - front &&
	       calls_same(json_array_get(expected, a - behind - 1), json_array_get(got, b - behind - 1)))
		behind++;
	side_format(out, expected, front > TREE_BEFORE ? front - TREE_BEFORE : 0, front, indent, ' ', TREE_BEFORE);
	side_format(out, expected, front, a - behind, indent, '-', TREE_SIDE_MAX);
	side_format(out, got, front, b - behind, indent, '+', TREE_SIDE_MAX);
	side_format(out, expected, a - behind, behind > TREE_AFTER ? a - behind + TREE_AFTER : a, indent, ' ', TREE_AFTER);
}
