/* What the agent is told of a report: the three worst findings, each with what it takes to see and to mend it, and no more. */
#include "base/scope.h"
#include "verify/finding.h"
#include "verify/verify.h"

#define FINDINGS_TOLD 3
#define TREES_MAX ((size_t)64 << 10)
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

static void finding_tell(struct buf *out, const json_t *finding, int number)
{
	const json_t *request = json_member(finding, "request");
	const char *detail = json_text(finding, "detail", "");
	const char *reproduce = json_text(finding, "reproduce", "");
	AUTO_BUF trees = buf_new(TREES_MAX);

	buf_add_format(out, "\n%d. [%s] %s\n", number, json_text(finding, "id", ""), json_text(finding, "title", ""));
	if (json_is_object(request))
		buf_add_format(out, "  request: %s %s\n", json_text(request, "method", ""), json_text(request, "url", ""));
	if (json_is_object(request))
		value_tell(out, "body", json_member(request, "body"));
	value_tell(out, "expected", json_member(finding, "expected"));
	value_tell(out, "got", json_member(finding, "got"));
	finding_trees_format(&trees, finding, "    ");
	if (trees.length)
		buf_add_format(out, "  calls:\n%s", trees.at);
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
