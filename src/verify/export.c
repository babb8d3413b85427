/* Reports for other tools. */
#include "verify/export.h"

#include <string.h>

#include "base/scope.h"
#include "verify/finding.h"

#define SARIF_SCHEMA "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

/* ---- SARIF ---- */

static const char *level_of(const json_t *finding)
{
	if (finding_is(finding, SEVERITY_BLOCK))
		return "error";
	return finding_is(finding, SEVERITY_WARN) ? "warning" : "note";
}

static const char *gate_title(const json_t *report, const char *gate)
{
	const json_t *gates = json_member(report, "gates");

	for (size_t i = 0; i < json_array_size(gates); i++)
		if (strcmp(json_text(json_array_get(gates, i), "name", ""), gate) == 0)
			return json_text(json_array_get(gates, i), "title", gate);
	return gate;
}

/* The place of "gate/kind" among the rules, which it joins. */
static size_t rule_place(json_t *rules, const json_t *report, const json_t *finding)
{
	const char *gate = json_text(finding, "gate", "");
	AUTO_FREE char *id = text_format("%s/%s", gate, json_text(finding, "kind", ""));

	for (size_t i = 0; i < json_array_size(rules); i++)
		if (strcmp(json_text(json_array_get(rules, i), "id", ""), id) == 0)
			return i;
	(void)json_array_append_new(rules,
				    json_pack("{s:s, s:{s:s}}", "id", id, "shortDescription", "text", gate_title(report, gate)));
	return json_array_size(rules) - 1;
}

/* A path as a relative reference (RFC 3986). */
static char *uri_of(const char *path)
{
	AUTO_BUF uri = buf_new(BUF_MAX_DEFAULT);
	struct view rest = view_of(path);

	while (rest.length) {
		buf_add_url(&uri, view_cut(rest, '/', &rest));
		if (rest.length)
			buf_add_char(&uri, '/');
	}
	return uri.at ? buf_take(&uri) : text_copy("");
}

/* The finding's file; GitHub takes no result without one: the blueprint then, which says what is judged. */
static json_t *location_of(const json_t *finding)
{
	const char *file = json_text(finding, "file", NULL);
	int64_t line = json_number(finding, "line", 0);
	AUTO_FREE char *uri = uri_of(file && file[0] ? file : "assay.yaml");

	return json_pack("{s:{s:{s:s}, s:{s:I}}}", "physicalLocation", "artifactLocation", "uri", uri, "region", "startLine",
			 (json_int_t)(line > 0 ? line : 1));
}

static json_t *result_of(json_t *rules, const json_t *report, const json_t *finding)
{
	const json_t *declared = json_member(finding, "declared");
	const char *detail = json_text(finding, "detail", "");
	size_t place = rule_place(rules, report, finding);
	AUTO_FREE char *text = text_format("%s%s%s", json_text(finding, "title", ""), detail[0] ? "\n" : "", detail);
	json_t *result = json_pack("{s:O, s:I, s:s, s:{s:s}, s:[o], s:{s:s}}", "ruleId",
				   json_member(json_array_get(rules, place), "id"), "ruleIndex", (json_int_t)place, "level",
				   level_of(finding), "message", "text", text, "locations", location_of(finding),
				   "partialFingerprints", "assay/v1", json_text(finding, "id", ""));

	if (declared)
		(void)json_object_set_new(
			result, "suppressions",
			json_pack("[{s:s, s:s}]", "kind", "external", "justification", json_text(declared, "because", "")));
	return result;
}

json_t *export_sarif(const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	json_t *rules = json_array();
	json_t *results = json_array();
	size_t index;
	json_t *finding;

	json_array_foreach(findings, index, finding)
		(void)json_array_append_new(results, result_of(rules, report, finding));
	return json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:s, s:o}}, s:o, s:s, s:{s:s, s:s, s:s, s:s}}]}", "version", "2.1.0",
			 "$schema", SARIF_SCHEMA, "runs", "tool", "driver", "name", "Assay", "version",
			 json_text(json_member(report, "tool"), "version", "0"), "informationUri", "https://assay.dev", "rules",
			 rules, "results", results, "columnKind", "utf16CodeUnits", "properties", "verdict",
			 json_text(report, "verdict", ""), "reason", json_text(report, "reason", ""), "base",
			 json_text(report, "base", ""), "head", json_text(report, "head", ""));
}

/* ---- JUnit ---- */

static void attribute_add(struct buf *out, const char *name, const char *value)
{
	buf_add_format(out, " %s=\"", name);
	buf_add_html(out, view_of(value));
	buf_add_char(out, '"');
}

static void seconds_add(struct buf *out, int64_t ms)
{
	buf_add_format(out, " time=\"%lld.%03lld\"", (long long)ms / 1000, (long long)ms % 1000);
}

static void case_add(struct buf *out, const char *gate, const char *name, const char *element, const char *message,
		     const char *detail, int64_t ms)
{
	buf_add_text(out, "    <testcase");
	attribute_add(out, "classname", gate);
	attribute_add(out, "name", name);
	if (ms >= 0)
		seconds_add(out, ms);
	if (!element) {
		buf_add_text(out, "/>\n");
		return;
	}
	buf_add_format(out, "><%s", element);
	attribute_add(out, "message", message);
	buf_add_char(out, '>');
	buf_add_html(out, view_of(detail));
	buf_add_format(out, "</%s></testcase>\n", element);
}

/* XML 1.0 has no control characters but three. */
static char *xml_text(const char *text)
{
	char *clean = text_copy(text);

	for (char *at = clean; *at; at++)
		if ((unsigned char)*at < ' ' && *at != '\t' && *at != '\n' && *at != '\r')
			*at = ' ';
	return clean;
}

static const char *gate_element(const char *status)
{
	if (strcmp(status, "pass") == 0)
		return NULL;
	if (strcmp(status, "skipped") == 0)
		return "skipped";
	return strcmp(status, "fail") == 0 ? "failure" : "error";
}

/* Returns how many cases there are; *failures and *errors are those of them that are. */
static int64_t gate_cases(struct buf *out, const json_t *report, const json_t *gate, int64_t *failures, int64_t *errors,
			  int64_t *skipped)
{
	const char *name = json_text(gate, "name", "");
	const char *element = gate_element(json_text(gate, "status", ""));
	const json_t *findings = json_member(report, "findings");
	int64_t count = 1;
	size_t index;
	json_t *finding;

	*failures = element && strcmp(element, "failure") == 0;
	*errors = element && strcmp(element, "error") == 0;
	*skipped = element && strcmp(element, "skipped") == 0;
	AUTO_FREE char *reason = xml_text(json_text(gate, "reason", ""));

	case_add(out, name, json_text(gate, "title", name), element, reason, "", json_number(gate, "ms", 0));
	json_array_foreach(findings, index, finding) {
		bool blocks = finding_is(finding, SEVERITY_BLOCK) && !json_member(finding, "declared");

		if (strcmp(json_text(finding, "gate", ""), name) != 0 || finding_is(finding, SEVERITY_INFO))
			continue;
		AUTO_FREE char *title = xml_text(json_text(finding, "title", ""));
		AUTO_FREE char *detail = xml_text(json_text(finding, "detail", ""));
		AUTO_FREE char *case_name = text_format("%s %s", json_text(finding, "id", ""), title);

		case_add(out, name, case_name, blocks ? "failure" : NULL, title, detail, -1);
		*failures += blocks;
		count++;
	}
	return count;
}

void export_junit(const json_t *report, struct buf *out)
{
	const json_t *gates = json_member(report, "gates");
	size_t index;
	json_t *gate;

	buf_add_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
	attribute_add(out, "name", "assay verify");
	seconds_add(out, json_number(report, "ms", 0));
	buf_add_text(out, ">\n");
	json_array_foreach(gates, index, gate) {
		AUTO_BUF cases = buf_new(BUF_MAX_DEFAULT);
		int64_t failures;
		int64_t errors;
		int64_t skipped;
		int64_t count = gate_cases(&cases, report, gate, &failures, &errors, &skipped);

		buf_add_text(out, "  <testsuite");
		attribute_add(out, "name", json_text(gate, "name", ""));
		buf_add_format(out, " tests=\"%lld\" failures=\"%lld\" errors=\"%lld\" skipped=\"%lld\"", (long long)count,
			       (long long)failures, (long long)errors, (long long)skipped);
		seconds_add(out, json_number(gate, "ms", 0));
		buf_add_text(out, ">\n");
		buf_add_view(out, buf_view(&cases));
		buf_add_text(out, "  </testsuite>\n");
	}
	buf_add_text(out, "</testsuites>\n");
}
