/* The life of a request's pipeline, and the client's side of it. */
#include "gateway/egress/pipeline_priv.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/frames.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/meter.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan.h"
#include "gateway/egress/unpack.h"
#include "gateway/egress/upstream.h"
#include "gateway/policy/path.h"
#include "http/codec.h"

#define SPARE_CAPACITY ((size_t)32 << 10) /* larger buffers are not kept */
#define SPARE_MAX 64

/* ---- life ---- */

static void body_timer_expired(struct loop_timer *timer)
{
	struct pipeline *pipeline = (struct pipeline *)((char *)timer - offsetof(struct pipeline, body_timer));

	if (pipeline->sent)
		pipeline_body_idle(pipeline);
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
		pipeline->trailer_text = buf_new(HTTP_HEAD_BYTES_MAX);
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
	buf_fini(&pipeline->trailer_text);
	buf_fini(&pipeline->held);
	buf_fini(&pipeline->tail);
	free(pipeline->bodies[0].at);
	free(pipeline->bodies[1].at);
	free(pipeline);
}

static void buf_spare(struct buf *buf)
{
	if (buf->capacity > SPARE_CAPACITY)
		buf_fini(buf);
	else
		buf_clear(buf);
}

static struct exchange_body body_spare(struct exchange_body *body)
{
	if (body->capacity > SPARE_CAPACITY)
		free(TAKE(body->at));
	return body->at ? *body : (struct exchange_body){0};
}

/* What a pipeline's next request has of the one before: memory. */
struct pipeline_kept {
	struct buf text, path, query, trailer_text, held, tail;
	struct exchange_body bodies[2];
};

/* At the end of the turn: nobody up the stack may still look at it. */
static void pipeline_recycle(void *self)
{
	struct pipeline_kept kept;
	struct pipeline *pipeline = self;
	struct worker *worker = pipeline->env->worker;

	brokered_free(pipeline->brokered);
	scan_free(pipeline);
	frames_free(pipeline->frames);
	unpack_free(pipeline->unpack);
	free(pipeline->trailers);
	buf_fini(&pipeline->trailer_text);
	if (worker->spare_count >= SPARE_MAX) {
		pipeline_free(pipeline);
		return;
	}
	buf_spare(&pipeline->text);
	buf_spare(&pipeline->path);
	buf_spare(&pipeline->query);
	buf_spare(&pipeline->held);
	buf_spare(&pipeline->tail);
	kept = (struct pipeline_kept){pipeline->text,
				      pipeline->path,
				      pipeline->query,
				      pipeline->trailer_text,
				      pipeline->held,
				      pipeline->tail,
				      {body_spare(&pipeline->bodies[0]), body_spare(&pipeline->bodies[1])}};
	memset(pipeline, 0, offsetof(struct pipeline, fields));
	pipeline->text = kept.text;
	pipeline->path = kept.path;
	pipeline->query = kept.query;
	pipeline->trailer_text = kept.trailer_text;
	pipeline->held = kept.held;
	pipeline->tail = kept.tail;
	memcpy(pipeline->bodies, kept.bodies, sizeof(kept.bodies));
	pipeline->body_timer.expired = body_timer_expired;
	pipeline->next = worker->spare;
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

void pipeline_count_set(struct pipeline *pipeline, bool counted)
{
	if (pipeline->counted == counted)
		return;
	pipeline->counted = counted;
	pipeline->env->in_flight += counted ? 1 : (uint64_t)-1;
}

void pipeline_usage_tell(struct pipeline *pipeline)
{
	struct env *env = pipeline->env;
	struct meter_usage usage;
	AUTO_JSON body = NULL;

	if (!pipeline->meter || !pipeline->headed || env->gone || !meter_take(pipeline->meter, &usage))
		return;
	body = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "env", env->id, "run", env->run, "sandbox",
			 pipeline->request.origin.sandbox, "host", pipeline->request.host, "input", (json_int_t)usage.input,
			 "output", (json_int_t)usage.output, "cache_read", (json_int_t)usage.cache_read, "cache_write",
			 (json_int_t)usage.cache_write, "estimated", usage.estimated);
	json_set_bytes(body, "model", view_of(usage.model));
	link_notify(env->worker->link, MESSAGE_USAGE, body);
}

static void meter_end(struct pipeline *pipeline)
{
	pipeline_usage_tell(pipeline);
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
void pipeline_ended(struct pipeline *pipeline, const char *error)
{
	struct env *env = pipeline->env;

	if (pipeline->over)
		return;
	pipeline->over = true;
	pipeline_held_count(pipeline, 0);
	loop_timer_stop(env->worker->loop, &pipeline->body_timer);
	if (pipeline->upstream) {
		struct upstream *upstream = pipeline->upstream;

		pipeline->upstream = NULL;
		upstream_cancel(upstream);
	}
	if (pipeline->hold)
		hold_cancel(TAKE(pipeline->hold));
	meter_end(pipeline);
	pipeline_count_set(pipeline, false);
	ledger_end(pipeline, error);
	brokered_cancel(pipeline->brokered);
	if (pipeline->begun && !env->gone) {
		pipeline->exchange.dt_us = worker_now_us() - pipeline->begun_us;
		if (error && !pipeline->exchange.error)
			pipeline->exchange.error = text_copy(error);
		if (pipeline->hidden)
			scan_hide(pipeline);
		exchange_log_add(env->log, &pipeline->exchange);
	}
	pipeline->bodies[0] = exchange_body_spare(&pipeline->exchange.request_body);
	pipeline->bodies[1] = exchange_body_spare(&pipeline->exchange.response_body);
	exchange_fini(&pipeline->exchange);
	loop_defer(env->worker->loop, pipeline_recycle, pipeline);
}

char *pipeline_url(const struct egress_request *request)
{
	AUTO_BUF url = buf_new(HTTP_HEAD_BYTES_MAX * 2);

	(void)buf_reserve(&url, strlen(request->host) + request->path.length + request->query.length + 32);
	buf_add_text(&url, request->tls ? "https://" : "http://");
	buf_add_text(&url, request->host);
	if (request->port != (request->tls ? 443 : 80)) {
		buf_add_char(&url, ':');
		buf_add_number(&url, request->port);
	}
	buf_add_view(&url, request->path);
	if (request->query.length) {
		buf_add_char(&url, '?');
		buf_add_view(&url, request->query);
	}
	return buf_take(&url);
}

/* ---- from the client's side ---- */

void pipeline_held_count(struct pipeline *pipeline, size_t bytes)
{
	pipeline->env->held_bytes += bytes - pipeline->held_counted;
	pipeline->held_counted = bytes;
}

static void exchange_begin(struct pipeline *pipeline)
{
	struct exchange *exchange = &pipeline->exchange;
	const struct egress_request *request = &pipeline->request;

	env_exchange_begin(pipeline->env, exchange, request->origin.sandbox, request->host, "http");
	exchange->request_body = exchange_body_spare(&pipeline->bodies[0]);
	exchange->response_body = exchange_body_spare(&pipeline->bodies[1]);
	exchange->method = view_copy(request->method);
	exchange->url = pipeline_url(request);
	for (size_t i = 0; i < request->field_count; i++)
		exchange_header_add(&exchange->request_headers, request->fields[i].name, request->fields[i].value);
	pipeline->begun_us = worker_now_us();
	pipeline->number = record_request(pipeline->env->worker);
	pipeline->begun = true;
	pipeline_count_set(pipeline, true);
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
	pipeline_stages_run(pipeline);
}

void pipeline_refuse(struct pipeline *pipeline, const struct pipeline_client *client, void *self, unsigned status, const char *rule,
		     const char *why, const char *remedy)
{
	if (!pipeline->begun) {
		pipeline->client = client;
		pipeline->self = self;
		exchange_begin(pipeline);
	}
	pipeline_verdict_set(&pipeline->verdict, status, rule, why, remedy);
	pipeline_refused(pipeline);
}

void pipeline_body(struct pipeline *pipeline, struct view bytes)
{
	struct view passed, more;
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
		passed = scan_body(pipeline, bytes, &more, &refused);
		pipeline_body_pass(pipeline, passed, false, refused);
		if (more.length && !pipeline->over && pipeline->upstream)
			pipeline_body_pass(pipeline, more, false, false);
		return;
	}
	if (pipeline->scan && !pipeline->request.websocket && scan_held(pipeline, bytes)) {
		pipeline_refused(pipeline);
		return;
	}
	buf_borrow(&pipeline->held, &pipeline->env->worker->spares);
	buf_add_view(&pipeline->held, bytes);
	pipeline_held_count(pipeline, pipeline->held.length);
	if (pipeline->env->held_bytes > ENV_HELD_BYTES_MAX) {
		pipeline_verdict_set(&pipeline->verdict, 503, "limit", "too many bodies of this environment wait at once",
				     "send fewer at the same time, or try again");
		pipeline_refused(pipeline);
		return;
	}
	if (pipeline->held.length >= PIPELINE_HELD_MAX && !pipeline->client_paused) {
		pipeline->client_paused = true;
		pipeline->client->pause(pipeline->self, true);
	}
}

void pipeline_trailers(struct pipeline *pipeline, const struct egress_field *fields, size_t count)
{
	if (pipeline->over)
		return;
	pipeline_trailers_keep(pipeline, fields, count);
	if (!pipeline->scan || !pipeline->trailer_count)
		return; /* they are looked at with the rest */
	if (!scan_trailers(pipeline, pipeline->trailers, pipeline->trailer_count))
		return;
	if (pipeline->sent)
		pipeline_answer_break(pipeline);
	else
		pipeline_refused(pipeline);
}

void pipeline_body_end(struct pipeline *pipeline)
{
	struct view rest;
	bool refused;

	pipeline->whole = true;
	if (pipeline->over || !pipeline->sent || !pipeline->upstream)
		return;
	rest = scan_body_end(pipeline, &refused);
	pipeline_body_pass(pipeline, rest, true, refused);
	if (!pipeline->over && pipeline->upstream && pipeline->trailer_count)
		upstream_trailers(pipeline->upstream, pipeline->trailers, pipeline->trailer_count);
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
