/* What the agent is told of a report: the three worst findings, each with what it takes to see and to mend it, and no more. */
#include "base/scope.h"
#include "verify/finding.h"
#include "verify/verify.h"

#define FINDINGS_TOLD 3
#define TREE_LINES 12
#define VALUE_TOLD ((size_t)1500)

static void value_tell(struct buf *out, const char *label, const json_t *value)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (!value || json_is_null(value))
		return;
	if (json_is_string(value))
		buf_add_text(&text, json_string_value(value));
	else
		json_format(&text, value);
	buf_add_format(out, "  %s: %.*s%s\n", label, (int)(text.length < VALUE_TOLD ? text.length : VALUE_TOLD),
		       text.at ? text.at : "", text.length > VALUE_TOLD ? "…" : "");
}

static bool rows_same(const json_t *a, const json_t *b)
{
	return a && b && json_equal(a, b);
}

static void row_tell(struct buf *out, const json_t *row)
{
	int64_t count = json_number(row, "count", 1);

	if (!row) {
		buf_add_text(out, "(nothing)");
		return;
	}
	buf_add_format(out, "%s %s", json_text(row, "edge", ""), json_text(row, "call", ""));
	if (json_number(row, "status", 0))
		buf_add_format(out, " -> %lld", (long long)json_number(row, "status", 0));
	if (count > 1)
		buf_add_format(out, " (%lld times)", (long long)count);
}

/* Where the two call trees part: the calls before it, and the first that differs on both sides. */
static void trees_tell(struct buf *out, const json_t *expected, const json_t *got)
{
	size_t at = 0;
	size_t from;

	while (rows_same(json_array_get(expected, at), json_array_get(got, at)))
		at++;
	if (at == json_array_size(expected) && at == json_array_size(got))
		return;
	from = at > TREE_LINES ? at - TREE_LINES : 0;
	buf_add_text(out, "  calls:\n");
	for (size_t i = from; i < at; i++) {
		buf_add_text(out, "      ");
		row_tell(out, json_array_get(expected, i));
		buf_add_char(out, '\n');
	}
	buf_add_text(out, "    - ");
	row_tell(out, json_array_get(expected, at));
	buf_add_text(out, "\n    + ");
	row_tell(out, json_array_get(got, at));
	buf_add_char(out, '\n');
}

static void finding_tell(struct buf *out, const json_t *finding, int number)
{
	const json_t *request = json_member(finding, "request");
	const char *detail = json_text(finding, "detail", "");
	const char *reproduce = json_text(finding, "reproduce", "");

	buf_add_format(out, "\n%d. [%s] %s\n", number, json_text(finding, "id", ""), json_text(finding, "title", ""));
	if (json_is_object(request))
		buf_add_format(out, "  request: %s %s\n", json_text(request, "method", ""), json_text(request, "url", ""));
	if (json_is_object(request))
		value_tell(out, "body", json_member(request, "body"));
	value_tell(out, "expected", json_member(finding, "expected"));
	value_tell(out, "got", json_member(finding, "got"));
	trees_tell(out, json_member(finding, "expected_tree"), json_member(finding, "got_tree"));
	if (detail[0])
		buf_add_format(out, "  %s\n", detail);
	if (reproduce[0])
		buf_add_format(out, "  reproduce: %s\n", reproduce);
}

/* The worst that was not told yet, over all gates; NULL when there is none. */
static const json_t *worst_untold(const json_t *findings, const json_t **told, size_t told_count)
{
	const json_t *worst = NULL;

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);
		bool was_told = false;

		for (size_t k = 0; k < told_count; k++)
			was_told = was_told || told[k] == finding;
		if (!was_told && finding_is(finding, SEVERITY_BLOCK) &&
		    (!worst || json_number(finding, "weight", 0) > json_number(worst, "weight", 0)))
			worst = finding;
	}
	return worst;
}

void verify_feedback(struct buf *out, const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	const json_t *told[FINDINGS_TOLD];
	const json_t *finding;
	size_t blocking = 0;
	size_t count = 0;

	buf_add_format(out, "Verification %s (attempt %lld of %lld): %s\n", json_text(report, "verdict", "unverified"),
		       (long long)json_number(report, "attempt", 1), (long long)json_number(report, "attempts", 1),
		       json_text(report, "reason", ""));
	for (size_t i = 0; i < json_array_size(findings); i++)
		blocking += finding_is(json_array_get(findings, i), SEVERITY_BLOCK);
	while (count < FINDINGS_TOLD && (finding = worst_untold(findings, told, count))) {
		told[count++] = finding;
		finding_tell(out, finding, (int)count);
	}
	if (blocking > FINDINGS_TOLD)
		buf_add_format(out, "\n%zu more findings block; they are often consequences of these.\n", blocking - FINDINGS_TOLD);
	if (blocking)
		buf_add_text(out, "\nMend the code, not the tests, the sessions or the checks.\n");
}
