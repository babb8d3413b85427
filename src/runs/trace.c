/* What a run does, told as spans (base/span.h): the run is a trace; each try of a step is below its root. */
#include "base/log.h"
#include "base/scope.h"
#include "base/span.h"
#include "runs/runs_priv.h"

static json_t *attributes_of(const struct run *run, const char *state)
{
	AUTO_JSON made = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "assay.state", state, "assay.issue",
				   (json_int_t)run->issue, "assay.turns", (json_int_t)run->turns, "assay.attempts",
				   (json_int_t)run->attempt, "gen_ai.usage.input_tokens", (json_int_t)run->input_tokens,
				   "gen_ai.usage.output_tokens", (json_int_t)run->output_tokens, "assay.cost_usd", run->cost_usd);
	const struct {
		const char *name;
		const char *text;
	} texts[] = {{"assay.repository", run->repository},
		     {"assay.verdict", run->verdict},
		     {"assay.outcome", run->outcome},
		     {"gen_ai.agent.name", run->agent},
		     {"vcs.ref.head.revision", run->head}};

	for (size_t i = 0; made && i < ARRAY_LEN(texts); i++)
		if (texts[i].text)
			json_set_bytes(made, texts[i].name, view_of(texts[i].text));
	return TAKE(made);
}

void trace_run_over(const struct runs *runs, const struct run *run, const char *state)
{
	struct err failed = {0};
	AUTO_JSON attributes = span_watched() ? attributes_of(run, state) : NULL;

	if (!attributes)
		return;
	if (strcmp(state, "failed") == 0)
		(void)err_set(&failed, ERR_INVALID, "%s", run->error ? run->error : "it failed");
	span_run(run->id, run->created_ms, world_now_ms(runs->options.world), attributes, &failed);
}

/* The last step went well. Should its commit fail it is done, and told, again. */
static void done(struct runs *runs, const char *id)
{
	AUTO_RUN run = {0};
	struct err err = {0};

	if (run_load(runs, id, &run, &err))
		log_debug("run=%s: no trace: %s", id, err.text);
	else
		trace_run_over(runs, &run, "done");
}

int trace_step(void *self, int (*does)(void *self, struct flow_visit *visit, struct err *err), bool undoes,
	       struct flow_visit *visit, struct err *err)
{
	struct span span;
	int failed;

	span_begin_run(&span, visit->id, undoes ? "undo %s" : "step %s", visit->step);
	span_number(&span, "assay.step.visit", visit->visit);
	span_number(&span, "assay.step.try", visit->tries);
	failed = does(self, visit, err);
	if (!failed) {
		span_text(&span, "assay.step.next", visit->park ? "waits" : visit->next);
		span_text(&span, "assay.step.detail", visit->detail[0] ? visit->detail : NULL);
	}
	span_end(&span, failed ? err : NULL);
	if (!failed && !undoes && !visit->park && !visit->next && span_watched())
		done(self, visit->id);
	return failed;
}
