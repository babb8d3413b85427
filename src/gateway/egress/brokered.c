/* The broker's part of a pipeline. */
#include "gateway/egress/brokered.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/scope.h"
#include "gateway/egress/broker.h"
#include "gateway/egress/record.h"
#include "gateway/egress/release.h"
#include "gateway/egress/upstream.h"

#define SCANNED_VALUE "placeholder"
#define OUT_BYTES_MAX ((size_t)8 << 20)

struct brokered {
	struct pipeline *pipeline;
	struct broker *broker; /* a reference; NULL: the environment has no credentials */
	struct broker_plan plan;
	struct release_ask *asks[BROKER_WANTS_MAX];
	struct brokered_ask {
		struct brokered *brokered;
		size_t index;
	} indexes[BROKER_WANTS_MAX];
	size_t answers;
	bool asked;
	bool refused;
	bool clean;                  /* the whole body was searched, and stays as it is */
	struct broker_head *head;    /* what is sent; NULL: as it came */
	struct broker_head *scanned; /* what is looked at */
	struct swap *body;
	struct swap *mask;
	struct buf out;     /* of the body */
	struct buf answer;  /* of the answer's body */
	struct arena texts; /* of the answer's head */
	struct egress_field *fields;
	char credential[UPSTREAM_CREDENTIAL_MAX];
};

void brokered_cancel(struct brokered *brokered)
{
	for (size_t i = 0; brokered && i < BROKER_WANTS_MAX; i++) {
		release_cancel(brokered->asks[i]);
		brokered->asks[i] = NULL;
	}
}

static void head_free(struct broker_head *head)
{
	if (head)
		broker_head_fini(head);
	free(head);
}

void brokered_free(struct brokered *brokered)
{
	bool released;

	if (!brokered)
		return;
	released = brokered->plan.count > 0;
	brokered_cancel(brokered);
	head_free(brokered->head);
	head_free(brokered->scanned);
	free(brokered->fields);
	broker_plan_fini(&brokered->plan);
	swap_free(brokered->body);
	swap_free(brokered->mask);
	if (brokered->out.at && released)
		explicit_bzero(brokered->out.at, brokered->out.capacity);
	buf_return(&brokered->out, &brokered->pipeline->env->worker->spares);
	buf_fini(&brokered->answer);
	arena_fini(&brokered->texts);
	broker_free(brokered->broker);
	free(brokered);
}

static void verdict_refuse(struct pipeline *pipeline, unsigned status, const char *rule, const char *why, const char *remedy)
{
	pipeline->verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = status, .why = why, .remedy = remedy};
	(void)snprintf(pipeline->verdict.rule, sizeof(pipeline->verdict.rule), "%s", rule);
}

static void released(void *self, const struct vault_release_reply *reply)
{
	const struct brokered_ask *ask = self;
	struct brokered *brokered = ask->brokered;
	struct pipeline *pipeline = brokered->pipeline;

	brokered->asks[ask->index] = NULL;
	brokered->answers++;
	if (!reply) {
		brokered->refused = true;
		verdict_refuse(pipeline, 503, "broker:vault-gone", "the vault does not answer", "try again");
	} else if (broker_answered(brokered->broker, &brokered->plan, ask->index, reply, &pipeline->verdict)) {
		brokered->refused = true;
	} else {
		record_release(pipeline->env->worker, pipeline->number, &pipeline->request,
			       broker_name(brokered->broker, brokered->plan.wants[ask->index].credential));
	}
	if (brokered->answers == brokered->plan.count || brokered->refused)
		pipeline_resume(pipeline);
}

static enum stage_result release_begin(struct brokered *brokered)
{
	struct pipeline *pipeline = brokered->pipeline;
	struct releases *releases = pipeline->env->worker->releases;

	if (!releases) {
		verdict_refuse(pipeline, 503, "broker:vault-gone", "there is no vault", NULL);
		return STAGE_REFUSE;
	}
	for (size_t i = 0; i < brokered->plan.count; i++) {
		struct vault_release_request ask;

		brokered->indexes[i] = (struct brokered_ask){brokered, i};
		broker_ask(brokered->broker, &brokered->plan, i, &pipeline->request, &ask);
		brokered->asks[i] = release_ask(releases, &ask, released, &brokered->indexes[i]);
	}
	return STAGE_WAIT;
}

/* The names of what is put in, so that its connections are shared with nothing else. */
static void credential_name(struct brokered *brokered)
{
	AUTO_BUF names = buf_new(BROKER_WANTS_MAX * (CREDENTIAL_NAME_MAX + 1));

	for (size_t i = 0; i < brokered->plan.count; i++)
		buf_add_format(&names, "%s ", broker_name(brokered->broker, brokered->plan.wants[i].credential));
	if (names.length < sizeof(brokered->credential))
		(void)snprintf(brokered->credential, sizeof(brokered->credential), "%s", names.at ? names.at : "");
	else
		(void)snprintf(brokered->credential, sizeof(brokered->credential), "%016llx",
			       (unsigned long long)view_hash(buf_view(&names)));
}

static enum stage_result released_all(struct brokered *brokered)
{
	struct pipeline *pipeline = brokered->pipeline;

	if (brokered->refused)
		return STAGE_REFUSE;
	if (brokered->answers < brokered->plan.count)
		return STAGE_WAIT;
	brokered->head = mem_new(sizeof(*brokered->head));
	if (broker_apply(brokered->broker, &brokered->plan, &pipeline->request, brokered->head, &pipeline->verdict) ||
	    broker_sign(brokered->broker, &brokered->plan, &pipeline->request, buf_view(&pipeline->held), pipeline->whole,
			brokered->head, &pipeline->verdict)) {
		free(TAKE(brokered->head)); /* there is nothing in it */
		return STAGE_REFUSE;
	}
	if (pipeline->request.body_bytes && broker_body_resizes(brokered->broker, &brokered->plan, pipeline->request.websocket)) {
		struct view out = VIEW("");

		brokered_body_begin(pipeline);
		if (!brokered_body(pipeline, buf_view(&pipeline->held), pipeline->whole, &out))
			return STAGE_REFUSE;
		brokered->head->request.body_bytes = pipeline->whole ? (int64_t)out.length : -1;
	}
	if (broker_puts_in(brokered->broker, &brokered->plan))
		brokered->mask = broker_mask(brokered->broker, &brokered->plan);
	credential_name(brokered);
	return STAGE_GO;
}

enum stage_result brokered_release_stage(struct pipeline *pipeline)
{
	struct brokered *brokered = pipeline->brokered;

	if (!brokered || !brokered->plan.count)
		return STAGE_GO;
	if (brokered->asked)
		return released_all(brokered);
	brokered->asked = true;
	return release_begin(brokered);
}

enum stage_result brokered_stage(struct pipeline *pipeline)
{
	struct brokered *brokered = mem_new(sizeof(*brokered));

	brokered->pipeline = pipeline;
	brokered->broker = broker_ref(pipeline->env->broker);
	brokered->out = buf_new(OUT_BYTES_MAX);
	brokered->answer = buf_new(OUT_BYTES_MAX);
	pipeline->brokered = brokered;
	switch (broker_judge(brokered->broker, &pipeline->request, &brokered->plan, &pipeline->verdict)) {
	case BROKER_REFUSED:
		return STAGE_REFUSE;
	case BROKER_RELEASE:
	case BROKER_PLAIN:
		break;
	}
	if (!broker_count(brokered->broker)) { /* nothing to look for, then or later */
		pipeline->brokered = NULL;
		brokered_free(brokered);
	}
	return STAGE_GO;
}

/* ---- the body ---- */

/* Its stage saw all of it, and nothing goes into it: it is not searched again. */
bool brokered_body_again(struct pipeline *pipeline, struct view bytes, struct view *out)
{
	const struct brokered *brokered = pipeline->brokered;

	if (brokered && brokered->clean) {
		*out = bytes;
		return true;
	}
	brokered_body_begin(pipeline);
	return brokered_body(pipeline, bytes, pipeline->whole, out);
}

void brokered_body_begin(struct pipeline *pipeline)
{
	struct brokered *brokered = pipeline->brokered;

	if (!brokered)
		return;
	swap_free(brokered->body);
	brokered->body = broker_body(brokered->broker, &brokered->plan, pipeline->request.websocket);
}

bool brokered_body(struct pipeline *pipeline, struct view bytes, bool last, struct view *out)
{
	struct brokered *brokered = pipeline->brokered;

	*out = bytes;
	if (!brokered)
		return true;
	if (!brokered->body)
		brokered_body_begin(pipeline);
	buf_clear(&brokered->out);
	*out = swap_pass(brokered->body, bytes, last, &brokered->out);
	if (!broker_body_stray(brokered->body) && !brokered->out.over)
		return true;
	verdict_refuse(pipeline, 403, "broker:stray-placeholder",
		       "a placeholder of a credential is in the body, where it may not be sent",
		       "send it as its program does: only to its own host, in its own place, as it is");
	return false;
}

enum stage_result brokered_body_stage(struct pipeline *pipeline)
{
	struct brokered *brokered = pipeline->brokered;
	struct view out;

	if (!brokered)
		return STAGE_GO;
	brokered_body_begin(pipeline);
	if (!brokered_body(pipeline, buf_view(&pipeline->held), pipeline->whole, &out))
		return STAGE_REFUSE;
	brokered->clean = pipeline->whole && !broker_body_takes(brokered->broker, &brokered->plan, pipeline->request.websocket);
	return STAGE_GO;
}

const struct egress_request *brokered_scanned(struct pipeline *pipeline)
{
	struct brokered *brokered = pipeline->brokered;
	struct broker_want wants[BROKER_WANTS_MAX];
	struct broker_plan plan = {.wants = wants};
	struct egress_verdict verdict;

	if (!brokered || !brokered->plan.count)
		return &pipeline->request;
	for (; plan.count < brokered->plan.count; plan.count++) {
		wants[plan.count] = (struct broker_want){.credential = brokered->plan.wants[plan.count].credential,
							 .value_bytes = sizeof(SCANNED_VALUE) - 1};
		memcpy(wants[plan.count].value, SCANNED_VALUE, sizeof(SCANNED_VALUE) - 1);
	}
	head_free(brokered->scanned);
	brokered->scanned = mem_new(sizeof(*brokered->scanned));
	if (broker_apply(brokered->broker, &plan, &pipeline->request, brokered->scanned, &verdict))
		return &pipeline->request;
	return &brokered->scanned->request;
}

const struct egress_request *brokered_request(struct pipeline *pipeline)
{
	return pipeline->brokered && pipeline->brokered->head ? &pipeline->brokered->head->request : &pipeline->request;
}

const char *brokered_credential(const struct pipeline *pipeline)
{
	return pipeline->brokered ? pipeline->brokered->credential : "";
}

/* ---- the answer ---- */

static struct view text_masked(struct brokered *brokered, struct view text)
{
	AUTO_BUF out = buf_new(OUT_BYTES_MAX);

	if (swap_find(brokered->mask, text) < 0)
		return text;
	swap_text(brokered->mask, text, &out);
	return view_make(arena_copy(&brokered->texts, buf_view(&out)), out.length);
}

bool brokered_masks(const struct pipeline *pipeline)
{
	return pipeline->brokered && pipeline->brokered->mask;
}

void brokered_answer_head(struct pipeline *pipeline, const struct egress_response *response, struct egress_response *masked)
{
	struct brokered *brokered = pipeline->brokered;

	*masked = *response;
	if (!brokered || !brokered->mask)
		return;
	arena_fini(&brokered->texts);
	if (!brokered->fields)
		brokered->fields = mem_new_array(EGRESS_FIELDS_MAX, sizeof(*brokered->fields));
	masked->fields = brokered->fields;
	for (size_t i = 0; i < response->field_count && i < EGRESS_FIELDS_MAX; i++) {
		struct egress_field field = response->fields[i];

		brokered->fields[i] = (struct egress_field){text_masked(brokered, field.name), text_masked(brokered, field.value)};
	}
}

struct view brokered_message(struct pipeline *pipeline, struct view message)
{
	struct brokered *brokered = pipeline->brokered;

	if (!brokered || !brokered->mask || swap_find(brokered->mask, message) < 0)
		return message;
	buf_clear(&brokered->answer);
	swap_text(brokered->mask, message, &brokered->answer);
	return buf_view(&brokered->answer);
}

struct view brokered_answer(struct pipeline *pipeline, struct view bytes, bool last)
{
	struct brokered *brokered = pipeline->brokered;

	if (!brokered || !brokered->mask)
		return bytes;
	buf_clear(&brokered->answer);
	swap_feed(brokered->mask, bytes, &brokered->answer);
	if (last)
		swap_end(brokered->mask, &brokered->answer);
	return buf_view(&brokered->answer);
}
