/* Rules of the way out on texts that lie still. */
#include "programs/secrets_find.h"

#include <string.h>

#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "verify/verify.h"

static int64_t line_of(struct view text, uint64_t at)
{
	int64_t line = 1;

	for (size_t i = 0; i < at && i < text.length; i++)
		line += text.at[i] == '\n';
	return line;
}

static void text_scan(struct dlp *dlp, struct view text, size_t place, json_t *found)
{
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	const struct dlp_finding *findings;
	size_t count;

	(void)dlp_feed(message, text);
	dlp_end(message);
	findings = dlp_findings(message, &count);
	for (size_t i = 0; i < count; i++) {
		json_t *row = json_pack("{s:I, s:s, s:s, s:I}", "text", (json_int_t)place, "rule", findings[i].rule, "digest",
					findings[i].digest, "line",
					(json_int_t)(findings[i].exact ? line_of(text, findings[i].from) : 0));

		(void)json_object_set_new(row, "mild", json_boolean(findings[i].action <= DLP_LOG));
		json_set_bytes(row, "title", view_of(findings[i].title));
		(void)json_array_append_new(found, row);
	}
	if (count >= DLP_FINDINGS_MAX)
		(void)json_array_append_new(found, json_pack("{s:I, s:s, s:s, s:I, s:b, s:s}", "text", (json_int_t)place, "rule",
							     SECRETS_TOO_MANY, "digest", SECRETS_TOO_MANY, "line", (json_int_t)0,
							     "mild", 0, "title", "more secrets than are told apart"));
	dlp_free(message);
}

int secrets_find(void *cache_dir, const struct view *texts, size_t count, json_t *found, struct err *err)
{
	struct dlp_rules *rules = dlp_rules_new(NULL, false, cache_dir, err);
	struct dlp *dlp;

	if (!rules)
		return -1;
	dlp = dlp_new(rules);
	for (size_t i = 0; i < count; i++)
		text_scan(dlp, texts[i], i, found);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	mem_settle();
	return 0;
}
