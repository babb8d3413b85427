/*
 * The stages, in order.
 *
 * Theory of operation: a stage is a row with one function. It sets the verdict and says GO, WAIT or REFUSE; who waited calls
 * pipeline_resume(), and the same stage is asked again. The body comes beside: before the last stage it is held, after it, it flows.
 */
#include "gateway/egress/pipeline_priv.h"

#include <string.h>

#include "base/scope.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/meter.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan.h"
#include "gateway/policy/policy.h"

static enum stage_result stage_policy(struct pipeline *pipeline)
{
	struct egress_verdict *verdict = &pipeline->verdict;

	policy_judge(pipeline->env->policy, &pipeline->request, verdict);
	pipeline->judged = policy_generation(pipeline->env->policy);
	if (verdict->action == EGRESS_DENY)
		return STAGE_REFUSE;
	pipeline->asks = verdict->action == EGRESS_APPROVE && !hold_remembered(pipeline->env->holds, &pipeline->request, verdict);
	if (view_starts(view_of(verdict->rule), VIEW("hold:")))
		pipeline_rule_note(pipeline);
	return STAGE_GO;
}

/* Calls to models are metered; those of a run that is over its budget wait for a person. What comes back is read, so it comes as it is. */
static enum stage_result stage_budget(struct pipeline *pipeline)
{
	struct egress_verdict over = {.action = EGRESS_APPROVE, .status = 403, .rule = "budget", .why = pipeline->env->over_budget};

	pipeline->meter = meter_new(&pipeline->request);
	if (!pipeline->meter)
		return STAGE_GO;
	meter_request(pipeline->meter, pipeline->held.length);
	for (size_t i = 0; i < pipeline->request.field_count; i++)
		if (view_is(pipeline->fields[i].name, "accept-encoding"))
			pipeline->fields[i].value = VIEW("identity");
	if (!over.why || pipeline->asks || hold_remembered(pipeline->env->holds, &pipeline->request, &over))
		return STAGE_GO;
	pipeline->verdict = over;
	pipeline->asks = true;
	return STAGE_GO;
}

/* What is judged is judged with its body, as far as it is short enough to be kept. */
static enum stage_result stage_body(struct pipeline *pipeline)
{
	int64_t length = pipeline->request.body_bytes;
	struct loop_timer *timer = &pipeline->body_timer;

	if (pipeline->asks && !pipeline->whole && !pipeline->request.websocket) /* a person sees all of it, or nothing goes */
		return pipeline->held.length < PIPELINE_HELD_MAX && length <= (int64_t)PIPELINE_HELD_MAX ? STAGE_WAIT : STAGE_GO;
	if (pipeline->whole || pipeline->request.websocket || pipeline->held.length >= PIPELINE_HELD_MAX ||
	    length > (int64_t)PIPELINE_HELD_MAX)
		return STAGE_GO;
	if (length < 0) { /* who speaks while it listens must not be waited for */
		if (pipeline->body_waited)
			return STAGE_GO;
		pipeline->body_waited = true;
		loop_timer_set(pipeline->env->worker->loop, timer, PIPELINE_BODY_WAIT_MS);
	}
	return STAGE_WAIT;
}

bool pipeline_upstream_begin(struct pipeline *pipeline, bool fresh)
{
	struct upstream *upstream = upstream_ask(pipeline->env, brokered_request(pipeline), brokered_credential(pipeline), fresh,
						 &pipeline_asker, pipeline);
	struct view body;

	pipeline->upstream = upstream;
	if (brokered_body_again(pipeline, scan_let_out(pipeline), &body)) /* its stage has looked at it */
		upstream_body(upstream, body);
	if (pipeline->trailer_count)
		upstream_trailers(upstream, pipeline->trailers, pipeline->trailer_count);
	if (pipeline->whole && !pipeline->request.websocket)
		upstream_body_end(upstream);
	upstream_send(upstream);
	return true;
}

/* What it carries. What is found is never remembered: each time a person is asked. */
static enum stage_result stage_scan(struct pipeline *pipeline)
{
	switch (scan_request(pipeline)) {
	case SCAN_WAIT:
		return STAGE_WAIT;
	case SCAN_REFUSE:
		return STAGE_REFUSE;
	case SCAN_HOLD:
		pipeline->asks = true;
		break;
	case SCAN_GO:
		break;
	}
	return STAGE_GO;
}

static void hold_answered(void *self, const struct egress_verdict *verdict)
{
	struct pipeline *pipeline = self;

	pipeline->hold = NULL;
	pipeline->asks = false;
	pipeline->verdict = *verdict;
	if (verdict->action == EGRESS_ALLOW)
		pipeline_count_set(pipeline, true);
	pipeline_resume(pipeline);
}

/* What was approved under rules that have changed meanwhile is judged by those that hold now. */
static enum stage_result hold_end(struct pipeline *pipeline)
{
	struct egress_verdict now;

	if (pipeline->verdict.action != EGRESS_ALLOW)
		return STAGE_REFUSE;
	if (pipeline->judged == policy_generation(pipeline->env->policy))
		return STAGE_GO;
	policy_judge(pipeline->env->policy, &pipeline->request, &now);
	if (now.action != EGRESS_DENY)
		return STAGE_GO;
	pipeline->verdict = now;
	return STAGE_REFUSE;
}

/* The body came, and meanwhile the rules or the budget changed: is it refused now? What a scanner found stays found. */
static bool reasons_are_stale(struct pipeline *pipeline)
{
	struct egress_verdict *verdict = &pipeline->verdict;
	bool found = view_starts(view_of(verdict->rule), VIEW("dlp:"));
	bool budget = strcmp(verdict->rule, "budget") == 0;
	struct egress_verdict now;

	if (pipeline->judged != policy_generation(pipeline->env->policy)) {
		policy_judge(pipeline->env->policy, &pipeline->request, &now);
		pipeline->judged = policy_generation(pipeline->env->policy);
		if (now.action == EGRESS_APPROVE)
			(void)hold_remembered(pipeline->env->holds, &pipeline->request, &now);
		if (now.action == EGRESS_DENY || (!found && (!budget || now.action == EGRESS_APPROVE))) {
			*verdict = now;
			pipeline->asks = now.action == EGRESS_APPROVE;
			budget = false;
		}
		if (now.action == EGRESS_DENY)
			return true;
	}
	if (budget) {
		pipeline->asks = pipeline->env->over_budget != NULL;
		verdict->action = pipeline->asks ? EGRESS_APPROVE : EGRESS_ALLOW;
		verdict->why = pipeline->env->over_budget;
	}
	return false;
}

/* A person is asked. Until the answer nothing of the request can change, and nothing of it has left. */
static enum stage_result stage_hold(struct pipeline *pipeline)
{
	struct egress_verdict refusal;

	if (pipeline->hold)
		return STAGE_WAIT;
	if (pipeline->asks && reasons_are_stale(pipeline))
		return STAGE_REFUSE;
	if (!pipeline->asks)
		return hold_end(pipeline);
	if (!pipeline->whole && !pipeline->request.websocket) {
		pipeline_verdict_set(&pipeline->verdict, 413, "hold",
				     "a person must approve it, and its body is too large to be shown",
				     "send less at once, or ask a person to allow it by a rule");
		return STAGE_REFUSE;
	}
	pipeline->hold = hold_park(pipeline->env->holds, &pipeline->request, &pipeline->verdict, buf_view(&pipeline->held),
				   hold_answered, pipeline, &refusal);
	if (pipeline->hold) {
		pipeline_rule_note(pipeline);
		record_row(pipeline->env->worker, pipeline->number, &pipeline->request,
			   (struct ledger_row){.kind = LEDGER_HOLD, .texts = {[LEDGER_RULE] = view_of(pipeline->verdict.rule)}});
		pipeline_count_set(pipeline, false); /* it may take long: the environment is quiet meanwhile */
		return STAGE_WAIT;
	}
	pipeline->verdict = refusal;
	return STAGE_REFUSE;
}

bool pipeline_is_held(const struct pipeline *pipeline)
{
	return pipeline->hold != NULL;
}

static void intent_done(struct ledger_wait *wait, bool taken)
{
	struct pipeline *pipeline = (struct pipeline *)((char *)wait - offsetof(struct pipeline, intent));

	pipeline->intent_waits = false;
	pipeline->intent_kept = taken;
	pipeline->intent_refused = !taken;
	pipeline_resume(pipeline);
}

/* Nothing leaves that the ledger does not know of. */
static enum stage_result stage_ledger(struct pipeline *pipeline)
{
	if (pipeline->intent_waits)
		return STAGE_WAIT;
	if (!pipeline->intent_kept && !pipeline->intent_refused) {
		pipeline->intent.done = intent_done;
		switch (record_intent(pipeline->env->worker, pipeline->number, &pipeline->request, pipeline->verdict.rule,
				      &pipeline->intent)) {
		case LEDGER_TAKEN:
			pipeline->intent_kept = true;
			break;
		case LEDGER_WAITING:
			pipeline->intent_waits = true;
			return STAGE_WAIT;
		case LEDGER_REFUSED:
			pipeline->intent_refused = true;
			break;
		}
	}
	if (pipeline->intent_kept)
		return STAGE_GO;
	pipeline_verdict_set(&pipeline->verdict, 503, "ledger",
			     "the ledger cannot be written, and nothing leaves that it does not record",
			     "tell whoever runs Assay that its disk is full, or see `assay doctor`");
	return STAGE_REFUSE;
}

static enum stage_result stage_upstream(struct pipeline *pipeline)
{
	loop_timer_stop(pipeline->env->worker->loop, &pipeline->body_timer);
	pipeline->sent = true;
	(void)pipeline_upstream_begin(pipeline, false);
	return STAGE_GO;
}

static const struct {
	const char *name;
	enum stage_result (*run)(struct pipeline *pipeline);
} stages[] = {
	{"policy", stage_policy},     {"budget", stage_budget}, {"broker", brokered_stage},
	{"body", stage_body},         {"scan", stage_scan},     {"broker's body", brokered_body_stage},
	{"hold", stage_hold},         {"ledger", stage_ledger}, {"credential", brokered_release_stage},
	{"upstream", stage_upstream},
};

void pipeline_stages_run(struct pipeline *pipeline)
{
	pipeline->waits = false;
	while (!pipeline->over && pipeline->stage < ARRAY_LEN(stages)) {
		switch (stages[pipeline->stage].run(pipeline)) {
		case STAGE_GO:
			pipeline->stage++;
			break;
		case STAGE_WAIT:
			pipeline->waits = true;
			return;
		case STAGE_REFUSE:
			pipeline_refused(pipeline);
			return;
		}
	}
}

void pipeline_resume(struct pipeline *pipeline)
{
	if (!pipeline->over && pipeline->waits)
		pipeline_stages_run(pipeline);
	if (!pipeline->over && pipeline->sent && pipeline->client_paused && pipeline->upstream &&
	    !upstream_full(pipeline->upstream))
		pipeline_asker.drained(pipeline);
}
