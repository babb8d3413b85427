/* What comes back to the client: refusals of our own, and the answer of the host, masked. */
#include "gateway/egress/pipeline_priv.h"

#include <stdio.h>

#include "base/scope.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/frames.h"
#include "gateway/egress/meter.h"
#include "gateway/dlp/dlp.h"
#include "gateway/egress/record.h"
#include "gateway/egress/refusal.h"
#include "gateway/egress/scan.h"
#include "gateway/egress/unpack.h"
#include "http/codec.h"
#include "net/link.h"
#include "net/messages.h"

#define RETRY_AFTER_S_MAX ((uint64_t)86400)

/* ---- answers of our own ---- */

/* Who reads the exchange later learns by what it was decided: `assay policy simulate` holds drafts against it. What waited says which rule
 * asked for that. */
void pipeline_rule_note(struct pipeline *pipeline)
{
	AUTO_FREE char *rule = text_format("%s%s", pipeline->hold ? "hold " : "", pipeline->verdict.rule);

	exchange_header_add(&pipeline->exchange.response_headers, VIEW("assay-rule"), view_of(rule));
}

/* The name itself carries a secret: from here on it is `shown`, which lives as long as the caller's frame, and longer in the exchange. */
static void host_hide(struct pipeline *pipeline, const char *shown)
{
	struct exchange *exchange = &pipeline->exchange;

	pipeline->request.host = shown;
	free(exchange->to);
	exchange->to = text_copy(shown);
	pipeline->hidden |= 1U << DLP_QUERY | 1U << DLP_HEADER;
}

/* The verdict, as a whole answer; the pipeline is over then. */
void pipeline_refused(struct pipeline *pipeline)
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
	char shown[SCAN_SHOWN_BYTES];

	refusal_format(&pipeline->request, verdict, pipeline->number, as_json, &body);
	scan_name_show(pipeline->env, pipeline->request.host, shown);
	if (strcmp(shown, pipeline->request.host) != 0)
		host_hide(pipeline, shown);
	if (!pipeline->intent_kept)
		record_verdict(pipeline->env->worker, pipeline->number, &pipeline->request, verdict);
	if (verdict->status / 100 != 5)
		env_denied(pipeline->env, pipeline->request.origin.sandbox, pipeline->request.host, pipeline->request.port,
			   verdict->why);
	response.body_bytes = (int64_t)body.length;
	pipeline->exchange.status = (int)verdict->status;
	if (view_starts(view_of(verdict->rule), VIEW("broker:"))) /* another's credential, perhaps */
		pipeline->hidden |= 1U << DLP_HEADER | 1U << DLP_QUERY | 1U << DLP_BODY;
	pipeline_rule_note(pipeline);
	exchange_body_add(&pipeline->exchange.response_body, buf_view(&body));
	pipeline->client = NULL;
	client->head(pipeline->self, &response);
	if (!view_is(pipeline->request.method, "HEAD"))
		client->data(pipeline->self, buf_view(&body));
	client->ends(pipeline->self);
	pipeline_ended(pipeline, error);
}

void pipeline_verdict_set(struct egress_verdict *verdict, unsigned status, const char *rule, const char *why, const char *remedy)
{
	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = status, .why = why, .remedy = remedy};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "%s", rule);
}

/* The upstream is let go, and the client is told as well as it still can be. */
void pipeline_answer_break(struct pipeline *pipeline)
{
	const struct pipeline_client *client = pipeline->client;

	if (pipeline->upstream)
		upstream_cancel(pipeline->upstream);
	pipeline->upstream = NULL;
	if (!pipeline->headed) {
		pipeline_refused(pipeline);
		return;
	}
	env_denied(pipeline->env, pipeline->request.origin.sandbox, pipeline->request.host, pipeline->request.port,
		   pipeline->verdict.why);
	if (pipeline->frames) /* who speaks WebSocket is told, and ends it in order */
		client->data(pipeline->self, frames_farewell(pipeline));
	pipeline->client = NULL;
	if (pipeline->frames)
		client->ends(pipeline->self);
	else
		client->lost(pipeline->self, pipeline->verdict.why, 0);
	pipeline_ended(pipeline, pipeline->verdict.why);
}

/* What the scan lets go, with the credentials that its rules put in it. Frames have them already. */
void pipeline_body_pass(struct pipeline *pipeline, struct view bytes, bool last, bool refused)
{
	if (refused || (!pipeline->frames && !brokered_body(pipeline, bytes, last, &bytes))) {
		pipeline_answer_break(pipeline);
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
void pipeline_body_idle(struct pipeline *pipeline)
{
	bool refused;
	struct view bytes;

	if (pipeline->over || !pipeline->upstream || pipeline->whole)
		return;
	bytes = scan_body_idle(pipeline, &refused);
	pipeline_body_pass(pipeline, bytes, false, refused);
	if (!pipeline->over && pipeline->upstream)
		upstream_send(pipeline->upstream);
}

/* ---- the answer of the host ---- */

/* The host agrees to a WebSocket: what the client sent meanwhile are its first frames. */
static bool tunnel_begin(struct pipeline *pipeline, const struct egress_response *response)
{
	struct view frames;
	bool refused;

	if (!frames_begin(pipeline, response)) {
		pipeline_verdict_set(&pipeline->verdict, 502, "websocket", "the host agreed to an extension that nobody offered",
				     NULL);
		pipeline_answer_break(pipeline);
		return false;
	}
	frames = frames_out(pipeline, buf_view(&pipeline->held), &refused);
	pipeline_body_pass(pipeline, frames, false, refused);
	return !pipeline->over;
}

static bool has_body(const struct pipeline *pipeline, const struct egress_response *response)
{
	return response->body_bytes != 0 && response->status != 304 && response->status != 204 && !response->tunnel &&
	       !view_is(pipeline->request.method, "HEAD");
}

/* What must be read is passed on as it reads, without what was said of its compressed form. False: it cannot be read. */
static bool codings_undo(struct pipeline *pipeline, const struct egress_response *came, struct egress_response *plain,
			 struct egress_field *fields)
{
	static const char *const of_coded[] = {"content-encoding", "content-length", "content-digest", "digest",
					       "content-md5",      "etag",           "accept-ranges"};
	AUTO_BUF codings = buf_new(HTTP_HEAD_BYTES_MAX);
	bool known = true;

	*plain = *came;
	if (!has_body(pipeline, came) || (!pipeline->meter && !brokered_masks(pipeline)))
		return true;
	for (size_t i = 0; i < came->field_count; i++) {
		if (!view_is(came->fields[i].name, "content-encoding"))
			continue;
		buf_add_view(&codings, came->fields[i].value);
		buf_add_char(&codings, ',');
	}
	pipeline->unpack = unpack_new(buf_view(&codings), &known);
	if (!pipeline->unpack)
		return known || !brokered_masks(pipeline);
	plain->fields = fields;
	plain->field_count = 0;
	plain->body_bytes = -1;
	for (size_t i = 0; i < came->field_count && i < EGRESS_FIELDS_MAX; i++) {
		bool coded = false;

		for (size_t k = 0; k < ARRAY_LEN(of_coded); k++)
			coded = coded || view_is(came->fields[i].name, of_coded[k]);
		if (!coded)
			fields[plain->field_count++] = came->fields[i];
	}
	return true;
}

/* Seconds, or 0: a date is not worth a parser, since who asks too early is told again. */
static int64_t retry_after_s(const struct egress_response *response)
{
	uint64_t seconds = 0;

	for (size_t i = 0; i < response->field_count; i++)
		if (view_is(response->fields[i].name, "retry-after") && view_to_u64(response->fields[i].value, &seconds) &&
		    seconds <= RETRY_AFTER_S_MAX)
			return (int64_t)seconds;
	return 0;
}

/* What a model's host answers an agent, where that is a failure or was one before. */
static void model_tell(const struct pipeline *pipeline, const struct egress_response *response)
{
	static const unsigned failures[] = {401, 402, 403, 429, 503, 529};
	struct env *env = pipeline->env;
	bool failing = false;
	AUTO_JSON body = NULL;

	if (!pipeline->meter || !pipeline->request.origin.agent[0] || env->gone)
		return;
	for (size_t i = 0; i < ARRAY_LEN(failures); i++)
		failing = failing || response->status == failures[i];
	if (!failing && (!env->model.failing || response->status >= 400))
		return;
	env->model.failing = failing;
	body = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "env", env->id, "sandbox", pipeline->request.origin.sandbox, "host",
			 pipeline->request.host, "number", (json_int_t)++env->model.number, "status", (json_int_t)response->status,
			 "retry_after_s", (json_int_t)retry_after_s(response));
	link_notify(env->worker->link, MESSAGE_MODEL, body);
}

static void answer_head(void *self, const struct egress_response *came)
{
	struct pipeline *pipeline = self;
	struct egress_field fields[EGRESS_FIELDS_MAX];
	struct egress_response plain;
	struct egress_response masked;
	const struct egress_response *response = &masked;

	if (!codings_undo(pipeline, came, &plain, fields)) {
		pipeline_verdict_set(
			&pipeline->verdict, 502, "broker:unreadable-answer",
			"the answer is in a coding that is not known, and was not asked for: what of the credential is in it cannot be masked",
			NULL);
		pipeline_answer_break(pipeline);
		return;
	}
	brokered_answer_head(pipeline, &plain, &masked);
	if (response->tunnel && !tunnel_begin(pipeline, response))
		return;
	pipeline->headed = true;
	buf_return(&pipeline->held, &pipeline->env->worker->spares);
	pipeline_held_count(pipeline, 0);
	pipeline->exchange.status = (int)response->status;
	model_tell(pipeline, response);
	for (size_t i = 0; i < response->field_count; i++) {
		exchange_header_add(&pipeline->exchange.response_headers, response->fields[i].name, response->fields[i].value);
		/* A stream of events may never end: it does not keep the environment from being called quiet. */
		if (view_is(response->fields[i].name, "content-type") &&
		    view_starts(response->fields[i].value, VIEW("text/event-stream")))
			pipeline_count_set(pipeline, false);
	}
	if (response->tunnel)
		pipeline_count_set(pipeline, false);
	pipeline->client->head(pipeline->self, response);
}

static void answer_pass(struct pipeline *pipeline, struct view bytes)
{
	if (!bytes.length)
		return;
	exchange_body_add(&pipeline->exchange.response_body, bytes);
	pipeline->client->data(pipeline->self, bytes);
}

static void answer_read(void *self, struct view bytes)
{
	struct pipeline *pipeline = self;

	if (pipeline->over)
		return;
	if (pipeline->meter)
		meter_feed(pipeline->meter, bytes);
	answer_pass(pipeline, brokered_answer(pipeline, bytes, false));
}

/* What is left of it must not look whole. */
static void answer_cut(struct pipeline *pipeline, const char *why)
{
	const struct pipeline_client *client = pipeline->client;

	if (pipeline->upstream)
		upstream_cancel(pipeline->upstream);
	pipeline->upstream = NULL;
	pipeline->client = NULL;
	client->lost(pipeline->self, why, 0);
	pipeline_ended(pipeline, why);
}

static void answer_data(void *self, struct view bytes)
{
	struct pipeline *pipeline = self;
	struct view out;

	if (pipeline->over)
		return;
	pipeline->answer_bytes += bytes.length;
	if (pipeline->frames && !frames_back(pipeline, bytes, &out)) {
		pipeline_answer_break(pipeline);
		return;
	}
	if (pipeline->frames)
		answer_pass(pipeline, out);
	else if (!pipeline->unpack)
		answer_read(pipeline, bytes);
	else if (!unpack_feed(pipeline->unpack, bytes, answer_read, pipeline) && !pipeline->over)
		answer_cut(pipeline, "the answer is not in the coding that it says, or too much in it");
	if (!pipeline->over && pipeline->upstream && pipeline->client->full(pipeline->self))
		upstream_pause(pipeline->upstream, true);
}

/* What was kept back of the body, as it might have been the beginning of a credential, is none. */
static void answer_trailers(void *self, const struct egress_field *fields, size_t count)
{
	struct pipeline *pipeline = self;
	struct egress_field kept[EGRESS_FIELDS_MAX];
	struct egress_response trailers = {.status = (unsigned)pipeline->exchange.status, .fields = kept};
	struct egress_response masked;

	if (pipeline->over || pipeline->frames || (pipeline->unpack && !unpack_whole(pipeline->unpack)))
		return;
	for (size_t i = 0; i < count && trailers.field_count < EGRESS_FIELDS_MAX; i++)
		if (pipeline_trailer_is_kept(fields[i].name))
			kept[trailers.field_count++] = fields[i];
	answer_pass(pipeline, brokered_answer(pipeline, VIEW(""), true));
	if (pipeline->over)
		return;
	brokered_answer_head(pipeline, &trailers, &masked);
	for (size_t i = 0; i < masked.field_count; i++)
		exchange_header_add(&pipeline->exchange.response_headers, masked.fields[i].name, masked.fields[i].value);
	pipeline->client->trailers(pipeline->self, masked.fields, masked.field_count);
}

static void answer_ends(void *self)
{
	struct pipeline *pipeline = self;
	const struct pipeline_client *client;

	pipeline->upstream = NULL;
	if (pipeline->over)
		return;
	if (pipeline->unpack && !unpack_whole(pipeline->unpack)) {
		answer_cut(pipeline, "the answer ends within its coding");
		return;
	}
	if (!pipeline->frames)
		answer_pass(pipeline, brokered_answer(pipeline, VIEW(""), true));
	if (pipeline->over)
		return;
	client = pipeline->client;
	pipeline->client = NULL;
	client->ends(pipeline->self);
	pipeline_ended(pipeline, NULL);
}

static void answer_lost(void *self, const char *why, uint32_t code, bool again)
{
	struct pipeline *pipeline = self;
	const struct pipeline_client *client = pipeline->client;

	pipeline->upstream = NULL;
	if (pipeline->over)
		return;
	if (again && pipeline->whole && pipeline->held_whole && !pipeline->headed && pipeline_upstream_begin(pipeline, true))
		return;
	if (!pipeline->headed) {
		pipeline_verdict_set(&pipeline->verdict, 502, "upstream", why, NULL);
		pipeline_refused(pipeline);
		return;
	}
	pipeline->client = NULL;
	client->lost(pipeline->self, why, code);
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

const struct upstream_asker pipeline_asker = {.head = answer_head,
					      .data = answer_data,
					      .trailers = answer_trailers,
					      .ends = answer_ends,
					      .lost = answer_lost,
					      .drained = body_drained};
