/*
 * The stages, in order, and what passes through them.
 *
 * Theory of operation: a stage is a row with one function. It sets the verdict and says GO, WAIT or REFUSE; who waited calls
 * pipeline_resume(), and the same stage is asked again. The body comes beside: before the last stage it is held, after it, it flows.
 */
#include "gateway/egress/pipeline.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/meter.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan.h"
#include "gateway/egress/upstream.h"
#include "gateway/flow.h"
#include "gateway/policy/policy.h"
#include "http/codec.h"

#define SPARE_CAPACITY ((size_t)32 << 10) /* larger buffers are not kept */
#define SPARE_MAX 64

static void pipeline_ended(struct pipeline *pipeline, const char *error);
static void body_idle(struct pipeline *pipeline);

/* ---- life ---- */

static void body_timer_expired(struct loop_timer *timer)
{
	struct pipeline *pipeline = (struct pipeline *)((char *)timer - offsetof(struct pipeline, body_timer));

	if (pipeline->sent)
		body_idle(pipeline);
	else
		pipeline_resume(pipeline);
}

struct pipeline *pipeline_take(struct env *env, const char *sandbox)
{
	struct worker *worker = env->worker;
	struct pipeline *pipeline = worker->spare;

	if (pipeline) {
		worker->spare = pipeline->next;
		worker->spare_count--;
	} else {
		pipeline = mem_new(sizeof(*pipeline));
		pipeline->text = buf_new(HTTP_HEAD_BYTES_MAX * 2);
		pipeline->path = buf_new(PATH_BYTES_MAX);
		pipeline->query = buf_new(PATH_QUERY_BYTES_MAX);
		pipeline->held = buf_new(PIPELINE_HELD_MAX + SCRATCH_BYTES);
		pipeline->tail = buf_new(PIPELINE_HELD_MAX + SCRATCH_BYTES);
		pipeline->body_timer.expired = body_timer_expired;
	}
	pipeline->env = env;
	pipeline->request = (struct egress_request){.origin = env_origin(env, sandbox), .fields = pipeline->fields, .version = 11};
	return pipeline;
}

static void pipeline_free(struct pipeline *pipeline)
{
	buf_fini(&pipeline->text);
	buf_fini(&pipeline->path);
	buf_fini(&pipeline->query);
	buf_fini(&pipeline->held);
	buf_fini(&pipeline->tail);
	free(pipeline);
}

static void buf_spare(struct buf *buf)
{
	if (buf->capacity > SPARE_CAPACITY)
		buf_fini(buf);
	else
		buf_clear(buf);
}

/* At the end of the turn: nobody up the stack may still look at it. */
static void pipeline_recycle(void *self)
{
	struct pipeline *pipeline = self;
	struct worker *worker = pipeline->env->worker;

	brokered_free(pipeline->brokered);
	scan_free(pipeline);
	if (worker->spare_count >= SPARE_MAX) {
		pipeline_free(pipeline);
		return;
	}
	buf_spare(&pipeline->text);
	buf_spare(&pipeline->path);
	buf_spare(&pipeline->query);
	buf_spare(&pipeline->held);
	buf_spare(&pipeline->tail);
	*pipeline = (struct pipeline){.text = pipeline->text,
				      .path = pipeline->path,
				      .query = pipeline->query,
				      .held = pipeline->held,
				      .tail = pipeline->tail,
				      .body_timer = {.expired = body_timer_expired},
				      .next = worker->spare};
	worker->spare = pipeline;
	worker->spare_count++;
}

void pipelines_free(struct worker *worker)
{
	while (worker->spare) {
		struct pipeline *pipeline = worker->spare;

		worker->spare = pipeline->next;
		pipeline_free(pipeline);
	}
	worker->spare_count = 0;
}

static void count_set(struct pipeline *pipeline, bool counted)
{
	if (pipeline->counted == counted)
		return;
	pipeline->counted = counted;
	pipeline->env->in_flight += counted ? 1 : (uint64_t)-1;
}

/* What a call to a model used is told, once. */
static void meter_end(struct pipeline *pipeline)
{
	struct env *env = pipeline->env;
	struct meter_usage usage;
	AUTO_JSON body = NULL;

	if (pipeline->meter && pipeline->headed && !env->gone && meter_take(pipeline->meter, &usage)) {
		body = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "env", env->id, "run", env->run, "sandbox",
				 pipeline->request.origin.sandbox, "host", pipeline->request.host, "input", (json_int_t)usage.input,
				 "output", (json_int_t)usage.output, "cache_read", (json_int_t)usage.cache_read, "cache_write",
				 (json_int_t)usage.cache_write, "estimated", usage.estimated);
		json_set_bytes(body, "model", view_of(usage.model));
		link_notify(env->worker->link, MESSAGE_USAGE, body);
	}
	meter_free(pipeline->meter);
	pipeline->meter = NULL;
}

/* Its last row, when its first is there. */
static void ledger_end(struct pipeline *pipeline, const char *error)
{
	struct worker *worker = pipeline->env->worker;

	if (pipeline->intent_waits)
		record_cancel(worker, &pipeline->intent);
	pipeline->intent_waits = false;
	if (pipeline->intent_kept)
		record_outcome(worker, pipeline->number, &pipeline->request,
			       &(struct record_outcome){.status = (unsigned)pipeline->exchange.status,
							.sent_bytes = pipeline->body_came,
							.received_bytes = pipeline->answer_bytes,
							.duration_us = (uint64_t)(worker_now_us() - pipeline->begun_us),
							.error = error});
	pipeline->intent_kept = false;
}

/* Nothing more will come of it: it is logged, and gone at the end of the turn. */
static void pipeline_ended(struct pipeline *pipeline, const char *error)
{
	struct env *env = pipeline->env;

	if (pipeline->over)
		return;
	pipeline->over = true;
	loop_timer_stop(env->worker->loop, &pipeline->body_timer);
	if (pipeline->upstream) {
		struct upstream *upstream = pipeline->upstream;

		pipeline->upstream = NULL;
		upstream_cancel(upstream);
	}
	if (pipeline->hold)
		hold_cancel(TAKE(pipeline->hold));
	meter_end(pipeline);
	count_set(pipeline, false);
	ledger_end(pipeline, error);
	brokered_cancel(pipeline->brokered);
	if (pipeline->begun && !env->gone) {
		pipeline->exchange.dt_us = worker_now_us() - pipeline->begun_us;
		if (error && !pipeline->exchange.error)
			pipeline->exchange.error = text_copy(error);
		exchange_log_add(env->log, &pipeline->exchange);
	}
	exchange_fini(&pipeline->exchange);
	loop_defer(env->worker->loop, pipeline_recycle, pipeline);
}

/* ---- the request's form ---- */

int pipeline_target_set(struct pipeline *pipeline, struct view target, const char **why)
{
	if (!path_canonical(target, &pipeline->path, &pipeline->query, why))
		return -1;
	pipeline->request.path = buf_view(&pipeline->path);
	pipeline->request.query = buf_view(&pipeline->query);
	return 0;
}

static bool field_is_hop(struct view name)
{
	static const char *const names[] = {
		"connection",          "content-length",   "expect", "host",    "http2-settings",    "keep-alive",
		"proxy-authorization", "proxy-connection", "te",     "trailer", "transfer-encoding", "upgrade",
		"proxy-authenticate"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return true;
	return false;
}

/* Some servers read `_` as `-`: a second Content-Length in other clothes. */
static bool name_is_disguised(struct view name)
{
	static const char *const names[] = {"content_length", "transfer_encoding", "content_encoding"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return true;
	return false;
}

/* Codings that answers are read in: others are not asked for. Shortens the value in its place. */
static struct view codings_filter(struct view value)
{
	static const char *const known[] = {"gzip", "deflate", "br", "zstd", "identity", "x-gzip"};
	char *to = (char *)(uintptr_t)value.at;
	size_t length = 0;
	struct view rest = value;

	while (rest.at && rest.length) {
		struct view part = view_trim(view_cut(rest, ',', &rest));
		struct view weight;
		struct view name = view_trim(view_cut(part, ';', &weight));

		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			if (!view_equal_nocase(name, view_of(known[i])))
				continue;
			if (length)
				to[length++] = ',';
			memmove(to + length, part.at, part.length);
			length += part.length;
			break;
		}
	}
	return view_make(to, length);
}

int pipeline_field_add(struct pipeline *pipeline, char *name, size_t name_length, struct view value, const char **why)
{
	struct egress_request *request = &pipeline->request;
	struct view lower = view_make(name, name_length);

	for (size_t i = 0; i < name_length; i++)
		name[i] = (char)tolower((unsigned char)name[i]);
	if (name_is_disguised(lower)) {
		*why = "a field name that servers read in two ways";
		return -1;
	}
	if (field_is_hop(lower) || policy_field_is_dropped(lower))
		return 0;
	if (request->field_count == EGRESS_FIELDS_MAX) {
		*why = "too many fields";
		return -1;
	}
	if (view_is(lower, "accept-encoding")) {
		value = codings_filter(value);
		if (!value.length)
			value = VIEW("identity");
	} else if (view_is(lower, "accept")) {
		(void)snprintf(pipeline->accept, sizeof(pipeline->accept), "%.*s", (int)(value.length < 63 ? value.length : 63),
			       value.at);
	}
	pipeline->fields[request->field_count++] = (struct egress_field){lower, value};
	return 0;
}

/* ---- answers of our own ---- */

static char *url_of(const struct egress_request *request)
{
	char port[8] = "";

	if (request->port != (request->tls ? 443 : 80))
		(void)snprintf(port, sizeof(port), ":%u", request->port);
	return text_format("%s://%s%s%.*s%s%.*s", request->tls ? "https" : "http", request->host, port, (int)request->path.length,
			   request->path.at ? request->path.at : "", request->query.length ? "?" : "", (int)request->query.length,
			   request->query.at ? request->query.at : "");
}

static void refusal_write(const struct pipeline *pipeline, bool as_json, struct buf *body)
{
	const struct egress_request *request = &pipeline->request;
	const struct egress_verdict *verdict = &pipeline->verdict;
	char id[LEDGER_REQUEST_TEXT_MAX];
	AUTO_FREE char *line = NULL;

	ledger_request_format(pipeline->number, id);
	line = text_format("assay: %.*s %s://%s%.*s: %s%s%s [rule %s, id %s]", (int)request->method.length, request->method.at,
			   request->tls ? "https" : "http", request->host, (int)request->path.length, request->path.at,
			   verdict->why, verdict->remedy ? "; " : "", verdict->remedy ? verdict->remedy : "", verdict->rule, id);
	if (as_json) {
		AUTO_JSON json = json_pack("{s:{s:s,s:s,s:s,s:s,s:s*}}", "error", "type", "assay_refused", "message", line, "rule",
					   verdict->rule, "id", id, "remedy", verdict->remedy);

		json_format(body, json);
	} else {
		buf_add_text(body, line);
	}
	buf_add_char(body, '\n');
}

/* Who reads the exchange later learns by what it was decided: `assay policy simulate` holds drafts against it. */
static void rule_note(struct pipeline *pipeline)
{
	struct view rule = pipeline->hold ? VIEW("hold") : view_of(pipeline->verdict.rule);

	exchange_header_add(&pipeline->exchange.response_headers, VIEW("assay-rule"), rule);
}

/* The verdict, as a whole answer; the pipeline is over then. */
static void refuse(struct pipeline *pipeline)
{
	const struct egress_verdict *verdict = &pipeline->verdict;
	bool as_json = strstr(pipeline->accept, "json") != NULL;
	AUTO_BUF body = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	AUTO_FREE char *error = text_format("%s: %s", verdict->status / 100 == 5 ? "failed" : "denied", verdict->why);
	struct egress_field fields[] = {{VIEW("content-type"), view_of(as_json ? "application/json" : "text/plain; charset=utf-8")},
					{VIEW("cache-control"), VIEW("no-store")},
					{VIEW("assay-rule"), view_of(verdict->rule)}};
	struct egress_response response = {.status = verdict->status, .fields = fields, .field_count = ARRAY_LEN(fields)};
	const struct pipeline_client *client = pipeline->client;

	if (!pipeline->intent_kept)
		record_verdict(pipeline->env->worker, pipeline->number, &pipeline->request, verdict);
	if (verdict->status / 100 != 5)
		env_denied(pipeline->env, pipeline->request.origin.sandbox, pipeline->request.host, pipeline->request.port,
			   verdict->why);
	refusal_write(pipeline, as_json, &body);
	response.body_bytes = (int64_t)body.length;
	pipeline->exchange.status = (int)verdict->status;
	rule_note(pipeline);
	exchange_body_add(&pipeline->exchange.response_body, buf_view(&body));
	pipeline->client = NULL;
	client->head(pipeline->self, &response);
	if (!view_is(pipeline->request.method, "HEAD"))
		client->data(pipeline->self, buf_view(&body));
	client->ends(pipeline->self);
	pipeline_ended(pipeline, error);
}

static void verdict_set(struct egress_verdict *verdict, unsigned status, const char *rule, const char *why, const char *remedy)
{
	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = status, .why = why, .remedy = remedy};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "%s", rule);
}

/* The upstream is let go, and the client is told as well as it still can be. */
static void answer_break(struct pipeline *pipeline)
{
	const struct pipeline_client *client = pipeline->client;

	if (pipeline->upstream)
		upstream_cancel(pipeline->upstream);
	pipeline->upstream = NULL;
	if (!pipeline->headed) {
		refuse(pipeline);
		return;
	}
	env_denied(pipeline->env, pipeline->request.origin.sandbox, pipeline->request.host, pipeline->request.port,
		   pipeline->verdict.why);
	pipeline->client = NULL;
	client->lost(pipeline->self, pipeline->verdict.why);
	pipeline_ended(pipeline, pipeline->verdict.why);
}

/* What the scan lets go, with the credentials that its rules put in it. Frames have them already. */
static void body_pass(struct pipeline *pipeline, struct view bytes, bool last, bool refused)
{
	if (refused || (!pipeline->frames && !brokered_body(pipeline, bytes, last, &bytes))) {
		answer_break(pipeline);
		return;
	}
	if (bytes.length)
		upstream_body(pipeline->upstream, bytes);
	if (!pipeline->over && pipeline->upstream && upstream_full(pipeline->upstream) && !pipeline->client_paused) {
		pipeline->client_paused = true;
		pipeline->client->pause(pipeline->self, true);
	}
	if (!pipeline->over && pipeline->tail.length > pipeline->tail_gone)
		loop_timer_set(pipeline->env->worker->loop, &pipeline->body_timer, PIPELINE_BODY_WAIT_MS);
}

/* The client says no more for now: what was kept back may be what the host answers to. */
static void body_idle(struct pipeline *pipeline)
{
	bool refused;
	struct view bytes;

	if (pipeline->over || !pipeline->upstream || pipeline->whole)
		return;
	bytes = scan_body_idle(pipeline, &refused);
	body_pass(pipeline, bytes, false, refused);
	if (!pipeline->over && pipeline->upstream)
		upstream_send(pipeline->upstream);
}

/* ---- the answer of the host ---- */

/* The host agrees to a WebSocket: what the client sent meanwhile are its first frames. */
static bool tunnel_begin(struct pipeline *pipeline, const struct egress_response *response)
{
	struct view frames;
	bool refused;

	if (!scan_tunnel(pipeline, response)) {
		verdict_set(&pipeline->verdict, 502, "websocket", "the host agreed to an extension that nobody offered", NULL);
		answer_break(pipeline);
		return false;
	}
	frames = scan_body(pipeline, buf_view(&pipeline->held), &refused);
	body_pass(pipeline, frames, false, refused);
	return !pipeline->over;
}

static void answer_head(void *self, const struct egress_response *came)
{
	struct pipeline *pipeline = self;
	struct egress_response masked;
	const struct egress_response *response = &masked;

	if (!brokered_answer_head(pipeline, came, &masked)) {
		verdict_set(&pipeline->verdict, 502, "broker:unreadable-answer",
			    "the answer is compressed although it was not to be: what of the credential is in it cannot be masked",
			    NULL);
		answer_break(pipeline);
		return;
	}
	if (response->tunnel && !tunnel_begin(pipeline, response))
		return;
	pipeline->headed = true;
	buf_fini(&pipeline->held);
	pipeline->exchange.status = (int)response->status;
	for (size_t i = 0; i < response->field_count; i++) {
		exchange_header_add(&pipeline->exchange.response_headers, response->fields[i].name, response->fields[i].value);
		/* A stream of events may never end: it does not keep the environment from being called quiet. */
		if (view_is(response->fields[i].name, "content-type") &&
		    view_starts(response->fields[i].value, VIEW("text/event-stream")))
			count_set(pipeline, false);
	}
	if (response->tunnel)
		count_set(pipeline, false);
	pipeline->client->head(pipeline->self, response);
}

static void answer_pass(struct pipeline *pipeline, struct view bytes)
{
	if (!bytes.length)
		return;
	exchange_body_add(&pipeline->exchange.response_body, bytes);
	pipeline->client->data(pipeline->self, bytes);
}

static void answer_data(void *self, struct view bytes)
{
	struct pipeline *pipeline = self;

	if (pipeline->over)
		return;
	pipeline->answer_bytes += bytes.length;
	if (pipeline->meter)
		meter_feed(pipeline->meter, bytes);
	answer_pass(pipeline, brokered_answer(pipeline, bytes, false));
	if (!pipeline->over && pipeline->upstream && pipeline->client->full(pipeline->self))
		upstream_pause(pipeline->upstream, true);
}

static void answer_ends(void *self)
{
	struct pipeline *pipeline = self;
	const struct pipeline_client *client = pipeline->client;

	pipeline->upstream = NULL;
	if (pipeline->over)
		return;
	answer_pass(pipeline, brokered_answer(pipeline, VIEW(""), true));
	if (pipeline->over)
		return;
	pipeline->client = NULL;
	client->ends(pipeline->self);
	pipeline_ended(pipeline, NULL);
}

static bool upstream_begin(struct pipeline *pipeline, bool fresh);

static void answer_lost(void *self, const char *why, bool again)
{
	struct pipeline *pipeline = self;
	const struct pipeline_client *client = pipeline->client;

	pipeline->upstream = NULL;
	if (pipeline->over)
		return;
	if (again && pipeline->whole && pipeline->held_whole && !pipeline->headed && upstream_begin(pipeline, true))
		return;
	if (!pipeline->headed) {
		verdict_set(&pipeline->verdict, 502, "upstream", why, NULL);
		refuse(pipeline);
		return;
	}
	pipeline->client = NULL;
	client->lost(pipeline->self, why);
	pipeline_ended(pipeline, why);
}

static void body_drained(void *self)
{
	struct pipeline *pipeline = self;

	if (pipeline->over || !pipeline->client_paused)
		return;
	pipeline->client_paused = false;
	pipeline->client->pause(pipeline->self, false);
}

static const struct upstream_asker asker = {
	.head = answer_head, .data = answer_data, .ends = answer_ends, .lost = answer_lost, .drained = body_drained};

/* ---- stages ---- */

static enum stage_result stage_policy(struct pipeline *pipeline)
{
	struct egress_verdict *verdict = &pipeline->verdict;

	policy_judge(pipeline->env->policy, &pipeline->request, verdict);
	pipeline->judged = policy_generation(pipeline->env->policy);
	if (verdict->action == EGRESS_DENY)
		return STAGE_REFUSE;
	pipeline->asks = verdict->action == EGRESS_APPROVE && !hold_remembered(pipeline->env->holds, &pipeline->request, verdict);
	if (view_starts(view_of(verdict->rule), VIEW("hold:")))
		rule_note(pipeline);
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

static bool upstream_begin(struct pipeline *pipeline, bool fresh)
{
	struct upstream *upstream = upstream_ask(pipeline->env, brokered_request(pipeline), brokered_credential(pipeline), fresh,
						 &asker, pipeline);
	struct view body;

	pipeline->upstream = upstream;
	brokered_body_begin(pipeline);
	if (brokered_body(pipeline, scan_let_out(pipeline), pipeline->whole, &body)) /* its stage has looked at it */
		upstream_body(upstream, body);
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
		count_set(pipeline, true);
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
		verdict_set(&pipeline->verdict, 413, "hold", "a person must approve it, and its body is too large to be shown",
			    "send less at once, or ask a person to allow it by a rule");
		return STAGE_REFUSE;
	}
	pipeline->hold = hold_park(pipeline->env->holds, &pipeline->request, &pipeline->verdict, buf_view(&pipeline->held),
				   hold_answered, pipeline, &refusal);
	if (pipeline->hold) {
		rule_note(pipeline);
		record_row(pipeline->env->worker, pipeline->number, &pipeline->request,
			   (struct ledger_row){.kind = LEDGER_HOLD, .texts = {[LEDGER_RULE] = view_of(pipeline->verdict.rule)}});
		count_set(pipeline, false); /* it may take long: the environment is quiet meanwhile */
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
	verdict_set(&pipeline->verdict, 503, "ledger", "the ledger cannot be written, and nothing leaves that it does not record",
		    "tell whoever runs Assay that its disk is full, or see `assay doctor`");
	return STAGE_REFUSE;
}

static enum stage_result stage_upstream(struct pipeline *pipeline)
{
	loop_timer_stop(pipeline->env->worker->loop, &pipeline->body_timer);
	pipeline->sent = true;
	(void)upstream_begin(pipeline, false);
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

static void stages_run(struct pipeline *pipeline)
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
			refuse(pipeline);
			return;
		}
	}
}

void pipeline_resume(struct pipeline *pipeline)
{
	if (!pipeline->over && pipeline->waits)
		stages_run(pipeline);
	if (!pipeline->over && pipeline->sent && pipeline->client_paused && pipeline->upstream &&
	    !upstream_full(pipeline->upstream))
		body_drained(pipeline);
}

/* ---- from the client's side ---- */

static void exchange_begin(struct pipeline *pipeline)
{
	struct exchange *exchange = &pipeline->exchange;
	const struct egress_request *request = &pipeline->request;

	env_exchange_begin(pipeline->env, exchange, request->origin.sandbox, request->host, "http");
	exchange->method = view_copy(request->method);
	exchange->url = url_of(request);
	for (size_t i = 0; i < request->field_count; i++)
		exchange_header_add(&exchange->request_headers, request->fields[i].name, request->fields[i].value);
	pipeline->begun_us = worker_now_us();
	pipeline->number = record_request(pipeline->env->worker);
	pipeline->begun = true;
	count_set(pipeline, true);
}

void pipeline_begin(struct pipeline *pipeline, const struct pipeline_client *client, void *self)
{
	pipeline->client = client;
	pipeline->self = self;
	pipeline->whole = pipeline->request.body_bytes == 0;
	pipeline->held_whole = true;
	if (pipeline->request.websocket)
		scan_offers(pipeline);
	exchange_begin(pipeline);
	stages_run(pipeline);
}

void pipeline_refuse(struct pipeline *pipeline, const struct pipeline_client *client, void *self, unsigned status, const char *rule,
		     const char *why, const char *remedy)
{
	if (!pipeline->begun) {
		pipeline->client = client;
		pipeline->self = self;
		exchange_begin(pipeline);
	}
	verdict_set(&pipeline->verdict, status, rule, why, remedy);
	refuse(pipeline);
}

void pipeline_body(struct pipeline *pipeline, struct view bytes)
{
	struct view passed;
	bool refused;

	if (pipeline->over)
		return;
	exchange_body_add(&pipeline->exchange.request_body, bytes);
	pipeline->body_came += bytes.length;
	if (pipeline->meter)
		meter_request(pipeline->meter, bytes.length);
	if (pipeline->sent && (!pipeline->request.websocket || pipeline->frames)) {
		pipeline->held_whole = false;
		if (!pipeline->upstream)
			return;
		passed = scan_body(pipeline, bytes, &refused);
		body_pass(pipeline, passed, false, refused);
		return;
	}
	if (pipeline->scan && !pipeline->request.websocket && scan_held(pipeline, bytes)) {
		refuse(pipeline);
		return;
	}
	buf_add_view(&pipeline->held, bytes);
	if (pipeline->held.length >= PIPELINE_HELD_MAX && !pipeline->client_paused) {
		pipeline->client_paused = true;
		pipeline->client->pause(pipeline->self, true);
	}
}

void pipeline_body_end(struct pipeline *pipeline)
{
	struct view rest;
	bool refused;

	pipeline->whole = true;
	if (pipeline->over || !pipeline->sent || !pipeline->upstream)
		return;
	rest = scan_body_end(pipeline, &refused);
	body_pass(pipeline, rest, true, refused);
	if (!pipeline->over && pipeline->upstream)
		upstream_body_end(pipeline->upstream);
}

void pipeline_send(struct pipeline *pipeline)
{
	if (!pipeline->over && pipeline->sent && pipeline->upstream)
		upstream_send(pipeline->upstream);
	else if (!pipeline->over && pipeline->waits)
		pipeline_resume(pipeline);
}

void pipeline_client_drained(struct pipeline *pipeline)
{
	if (!pipeline->over && pipeline->upstream)
		upstream_pause(pipeline->upstream, false);
}

void pipeline_cancel(struct pipeline *pipeline, const char *why)
{
	pipeline->client = NULL;
	pipeline_ended(pipeline, why);
}
