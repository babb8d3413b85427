/* Which findings a person has declared to be meant. */
#include "verify/declared.h"

#include <stdlib.h>

#include "base/scope.h"
#include "verify/finding.h"

#define ID_LENGTH 14 /* "f-" and 12 hexadecimal digits */

/* Gates whose findings have a place and a path that a pattern can speak of. */
static const char *const comparing[] = {"replay", "faults", "race", "migrations"};

static bool is_id(const char *match)
{
	return strlen(match) == ID_LENGTH && memcmp(match, "f-", 2) == 0 && strspn(match + 2, "0123456789abcdef") == ID_LENGTH - 2;
}

int declaration_check(const char *match, struct err *err)
{
	for (const char *c = match; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return err_set(err, ERR_INVALID, "what is declared is one line without control characters");
	if (strlen(match) > DECLARATION_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "what is declared has at most %zu bytes", DECLARATION_BYTES_MAX);
	if (severity_match_wide(match))
		return err_set(err, ERR_INVALID,
			       "`%s` declares too much: name a finding (f-…), or a place and what differs there "
			       "(GET /api/products body.items.*)",
			       match);
	return 0;
}

/* `*` is any characters. Without recursion: what stands between two stars is found at the first place it can be. */
static bool wild_match(const char *pattern, const char *text)
{
	const char *star = NULL;
	const char *resume = text;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool compares(const json_t *finding)
{
	const char *gate = json_text(finding, "gate", "");

	for (size_t i = 0; i < ARRAY_LEN(comparing); i++)
		if (strcmp(gate, comparing[i]) == 0)
			return true;
	return false;
}

bool declaration_fits(const char *match, const json_t *finding)
{
	const char *place = json_text(finding, "place", "");
	AUTO_FREE char *within = text_format("%s %s", place, json_text(finding, "where", json_text(finding, "path", "")));
	AUTO_FREE char *kind = text_format("%s %s", place, json_text(finding, "kind", ""));

	if (strcmp(json_text(finding, "gate", ""), "deploy") == 0)
		return false;
	if (is_id(match))
		return strcmp(match, json_text(finding, "id", "")) == 0;
	return compares(finding) && (wild_match(match, place) || wild_match(match, within) || wild_match(match, kind));
}

static const json_t *declaration_find(const json_t *declared, const json_t *finding)
{
	for (size_t i = 0; i < json_array_size(declared); i++)
		if (declaration_fits(json_text(json_array_get(declared, i), "match", ""), finding))
			return json_array_get(declared, i);
	return NULL;
}

size_t findings_declare(json_t *findings, const json_t *declared)
{
	size_t freed = 0;

	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);
		const json_t *by = finding_is(finding, SEVERITY_INFO) ? NULL : declaration_find(declared, finding);

		if (!by)
			continue;
		freed += finding_is(finding, SEVERITY_BLOCK);
		(void)json_object_set_new(finding, "severity", json_string(severity_name(SEVERITY_INFO)));
		(void)json_object_set_new(finding, "declared", json_deep_copy(by));
	}
	return freed;
}

void findings_rule(json_t *findings, const struct severity_rule *rules, size_t count)
{
	static const enum severity severities[] = {
		[RULE_WARN] = SEVERITY_WARN, [RULE_INFORM] = SEVERITY_INFO, [RULE_BLOCK] = SEVERITY_BLOCK};
	static const char *const words[] = {[RULE_WARN] = "warn", [RULE_INFORM] = "inform", [RULE_BLOCK] = "block"};

	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);
		const struct severity_rule *rule = rules;

		while (rule < rules + count && !(compares(finding) && declaration_fits(rule->match, finding)))
			rule++;
		if (rule == rules + count)
			continue;
		(void)json_object_set_new(finding, "severity", json_string(severity_name(severities[rule->as])));
		(void)json_object_set_new(
			finding, "ruled",
			json_pack("{s:s, s:s, s:s*}", "match", rule->match, "as", words[rule->as], "because", rule->because));
	}
}

json_t *declared_count(const json_t *declared, const json_t *findings)
{
	json_t *counted = json_array();

	for (size_t i = 0; i < json_array_size(declared); i++) {
		const char *match = json_text(json_array_get(declared, i), "match", "");
		json_t *item = json_deep_copy(json_array_get(declared, i));
		json_int_t count = 0;

		for (size_t k = 0; k < json_array_size(findings); k++)
			count += strcmp(json_text(json_member(json_array_get(findings, k), "declared"), "match", ""), match) == 0;
		(void)json_object_set_new(item, "findings", json_integer(count));
		(void)json_array_append_new(counted, item);
	}
	return counted;
}

char *declared_summary(const json_t *findings)
{
	AUTO_BUF names = buf_new((size_t)64 << 10);
	AUTO_JSON seen = json_object();
	AUTO_JSON matches = json_object(); /* several gates may find the same difference */

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *declared = json_member(json_array_get(findings, i), "declared");
		const char *by = json_text(declared, "by", "");

		if (!json_is_object(declared))
			continue;
		(void)json_object_set_new(matches, json_text(declared, "match", ""), json_true());
		if (json_object_get(seen, by))
			continue;
		(void)json_object_set_new(seen, by, json_true());
		buf_add_format(&names, "%s%s", names.length ? ", " : "", by);
	}
	return names.length && !names.over ? text_format("%zu declared by %s", json_object_size(matches), names.at) : NULL;
}
