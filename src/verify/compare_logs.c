/*
 * The layer of logs. A line whose form no run of the base has is only told; together with more lines that speak of errors than before it
 * blocks: a text that was reworded is no new error. A secret of the session in a log blocks, unless the base writes it too.
 */
#include "base/scope.h"
#include "verify/compare_priv.h"

static int64_t lines_of(json_t *forms)
{
	int64_t lines = 0;
	const char *form;
	json_t *about;

	json_object_foreach(forms, form, about)
		lines += json_number(about, "count", 0);
	return lines;
}

static void judge_errors(struct judge *judge, json_t *expected, json_t *again, json_t *got)
{
	int64_t before = lines_of(expected) > lines_of(again) ? lines_of(expected) : lines_of(again);
	bool more = lines_of(got) > before;
	const char *form;
	json_t *about;

	json_object_foreach(got, form, about) {
		if (json_object_get(expected, form) || json_object_get(again, form))
			continue;
		judge_report(judge, "log-error", form, more ? SEVERITY_BLOCK : SEVERITY_WARN, more ? WEIGHT_LOG : WEIGHT_SLIGHT,
			     NULL, json_member(about, "line"), "an error that was not there before (%lld times): %.160s",
			     (long long)json_number(about, "count", 1), json_text(about, "line", ""));
	}
}

static void judge_leaks(struct judge *judge, json_t *expected, json_t *again, json_t *got)
{
	const char *what;
	json_t *line;

	json_object_foreach(got, what, line)
		if (!json_object_get(expected, what) && !json_object_get(again, what))
			judge_report(judge, "log-secret", what, SEVERITY_BLOCK, WEIGHT_LEAK, NULL, line,
				     "the %s is written to the log", what);
}

void judge_logs(struct judge *judge, const json_t *head)
{
	const json_t *base_logs = json_member(judge->comparison->base, "logs");
	const json_t *again_logs = json_member(judge->comparison->again, "logs");
	json_t *logs = json_member(head, "logs");
	const char *service;
	json_t *log;

	json_object_foreach(logs, service, log) {
		AUTO_FREE char *place = text_format("log of %s", service);
		json_t *expected = json_member(base_logs, service);
		json_t *again = json_member(again_logs, service);

		judge->place = place;
		judge->within = "";
		judge->layer = LAYER_LOG;
		judge_errors(judge, json_member(expected, "errors"), json_member(again, "errors"), json_member(log, "errors"));
		judge_leaks(judge, json_member(expected, "leaks"), json_member(again, "leaks"), json_member(log, "leaks"));
	}
	judge->place = NULL;
}
