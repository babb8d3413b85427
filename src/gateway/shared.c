/*
 * Environments that stand on another one.
 *
 * Theory of operation. A connection from a room of the upper environment to a service that it has not is dialled into the baseline, and each
 * request is stamped with its id. The baseline's services pass that on to whom they call, as they do with any context: at their doors
 * each request is looked at, one after another on the same connection, and goes to the upper environment's own service where it has one.
 * Such a request is an exchange of the upper environment.
 *
 * A service that drops the stamp is found out: its call is that of the request which it has under way just then, by the same trace, or
 * because there is only one; that is told, as the defect it is. Where there are several, and not all are the baseline's, nobody can say
 * whose the call is, and it is refused.
 */
#include "gateway/shared.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/fault.h"

#define KEY "env"

struct env *shared_below(const struct env *env)
{
	return env->below[0] ? env_find(env->worker, env->below) : NULL;
}

bool shared_is_baseline(const struct env *env)
{
	for (const struct env *other = env->worker->envs; other; other = other->next)
		if (!other->gone && strcmp(other->below, env->id) == 0)
			return true;
	return false;
}

/* ---- the stamp ---- */

static bool is_key(struct view member)
{
	struct view rest;

	return view_is(view_trim(view_cut(view_cut(member, ';', &rest), '=', &rest)), KEY);
}

void shared_baggage_read(struct view value, struct buf *out, char env[64])
{
	while (value.at) {
		struct view member = view_trim(view_cut(value, ',', &value));
		struct view properties;
		struct view id;

		if (!is_key(member)) {
			if (member.length && out->length + member.length + 2 <= SHARED_BAGGAGE_MAX) {
				buf_add_text(out, out->length ? "," : "");
				buf_add_view(out, member);
			}
			continue;
		}
		(void)view_cut(view_cut(member, ';', &properties), '=', &id);
		id = view_trim(id);
		if (id.at && id.length < 64)
			(void)snprintf(env, 64, "%.*s", (int)id.length, id.at);
	}
}

/* All of a request's, in one; `env` is what it said. */
static void baggage_of(const struct http_head *head, struct buf *out, char env[64])
{
	env[0] = '\0';
	for (size_t i = 0; i < head->field_count; i++)
		if (view_equal_nocase(head->fields[i].name, VIEW("baggage")))
			shared_baggage_read(head->fields[i].value, out, env);
}

void shared_baggage_write(const struct http_head *head, const char *env, struct buf *out)
{
	AUTO_BUF others = buf_new(SHARED_BAGGAGE_MAX * 2);
	char said[64];

	baggage_of(head, &others, said);
	if (!others.length && !env)
		return;
	buf_add_text(out, "baggage: ");
	buf_add_view(out, buf_view(&others));
	if (env)
		buf_add_format(out, "%s" KEY "=%s", others.length ? "," : "", env);
	buf_add_text(out, "\r\n");
}

static void head_write(const struct http_head *head, const char *env, struct buf *out)
{
	static const char *const dropped[] = {"baggage", NULL};

	buf_add_view(out, head->method);
	buf_add_char(out, ' ');
	buf_add_view(out, head->target);
	buf_add_format(out, " HTTP/1.%u\r\n", head->minor);
	http_fields_write(out, head, dropped);
	shared_baggage_write(head, env, out);
	buf_add_text(out, "\r\n");
}

/* ---- from the upper environment into its baseline ---- */

static enum http_verdict as_faults_say(struct http_seam *seam)
{
	return seam->flow->env && seam->flow->env->faults ? fault_request(seam) : HTTP_PASS;
}

static enum http_verdict stamped_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	head_write(head, seam->flow->env->id, out);
	return as_faults_say(seam);
}

static const struct http_seam_hooks stamped = {.logged = true, .request = stamped_request};

/* ---- between services of the baseline ---- */

/* What a service has under way: how many requests, whose (the last one that is not the baseline's), and whether all are that one's. */
struct under_way {
	size_t count;
	size_t others; /* of the baseline, or of another environment than `env` */
	struct env *env;
	bool traced;          /* one of them is of the trace that is asked for */
	struct env *by_trace; /* whose; NULL: the baseline's */
};

/* The id of a trace (Trace Context, section 3.2.2.3). */
static struct view trace_of(const struct exchange_headers *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		struct view value = view_of(headers->at[i].value);

		if (strcasecmp(headers->at[i].name, "traceparent") == 0 && value.length >= 35)
			return view_make(value.at + 3, 32);
	}
	return view_make("", 0);
}

static void flows_look(struct env *env, const struct env *baseline, const char *room, struct view trace, struct under_way *way)
{
	for (struct flow *flow = env->flows; flow; flow = flow->next) {
		struct http_seam *seam = http_seam_of(flow);
		struct env *whose = env == baseline ? NULL : env;

		if (!seam || !seam->open || strcmp(flow->callee, baseline->id) != 0 || strcmp(flow->callee_room, room) != 0)
			continue;
		way->count++;
		if (whose && (!way->env || way->env == whose))
			way->env = whose;
		else
			way->others++;
		if (trace.length && view_equal(trace_of(&seam->exchange.request_headers), trace)) {
			way->traced = true;
			way->by_trace = whose;
		}
	}
}

static struct under_way under_way_find(struct env *baseline, const char *room, struct view trace)
{
	struct under_way way = {0};

	for (struct env *env = baseline->worker->envs; env; env = env->next)
		if (!env->gone && (env == baseline || strcmp(env->below, baseline->id) == 0))
			flows_look(env, baseline, room, trace, &way);
	return way;
}

static struct view trace_asked(const struct http_head *head)
{
	struct view value = http_head_field(head, "traceparent");

	return value.length >= 35 ? view_make(value.at + 3, 32) : view_make("", 0);
}

static struct env *home_of(const struct flow *flow)
{
	return flow->home[0] ? env_find(flow->worker, flow->home) : flow->env;
}

/* Whose a request is that a room of the baseline makes; NULL: the baseline's own. *inferred: it does not say so itself. */
static struct env *whose_find(struct env *baseline, const struct flow *flow, const struct http_head *head, bool *inferred,
			      bool *ambiguous)
{
	AUTO_BUF others = buf_new(SHARED_BAGGAGE_MAX * 2);
	struct under_way way;
	struct env *named;
	char said[64];

	baggage_of(head, &others, said);
	named = said[0] ? env_find(baseline->worker, said) : NULL;
	*inferred = *ambiguous = false;
	if (named && strcmp(named->below, baseline->id) == 0)
		return named;
	way = under_way_find(baseline, flow->from, trace_asked(head));
	if (!way.env)
		return NULL;
	*inferred = !way.traced || way.by_trace;
	if (way.traced)
		return way.by_trace;
	*ambiguous = way.others > 0;
	return way.env;
}

/* Before the exchange is begun: whose log and counts it is in. */
static void routed_enter(struct http_seam *seam, const struct http_head *head)
{
	struct flow *flow = seam->flow;
	struct env *baseline = home_of(flow);
	bool inferred = false;
	bool ambiguous = false;
	struct env *whose;

	flow->ambiguous = false;
	if (!baseline) /* it is gone, and with it the room that this comes from */
		return;
	whose = whose_find(baseline, flow, head, &inferred, &ambiguous);
	if (!flow->home[0])
		(void)snprintf(flow->home, sizeof(flow->home), "%s", baseline->id);
	flow->ambiguous = ambiguous;
	flow_env_set(flow, whose && !ambiguous ? whose : baseline);
	if (inferred)
		env_propagation(whose, flow->from, flow->to, ambiguous ? "ambiguous" : "lost");
}

static void server_set(struct flow *flow, struct env *env)
{
	const struct name *own = env_name(env, flow->to);
	struct env *there = own && own->away ? shared_below(env) : env;
	struct name *name = there ? env_name(there, flow->to) : NULL;
	struct leg *server = &flow->legs[SIDE_SERVER];

	if (name && (server->fd >= 0 || flow->wait_place) && !server->ended && strcmp(flow->callee, there->id) == 0)
		return;
	door_wait_cancel(flow);
	flow_server_drop(flow);
	flow->bytes[SIDE_SERVER] = 0;
	if (name)
		door_dial_in(flow, there, name, flow->port);
	else if (!flow->protocol->server_lost(flow, "the service is not there"))
		flow_close(flow, "the service is not there");
}

static enum http_verdict routed_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	struct flow *flow = seam->flow;
	const struct env *baseline = home_of(flow);
	enum http_verdict verdict;

	if (flow->ambiguous) {
		AUTO_FREE char *line = text_format(
			"assay: %s calls %s without the `baggage` that it was called with, and has several requests under way: "
			"nobody can say whose this one is\n",
			flow->from, flow->to);

		http_seam_answer(seam, 502, "", view_of(line), "ambiguous: the baggage was not passed on");
		return HTTP_ANSWER;
	}
	head_write(head, flow->env == baseline ? NULL : flow->env->id, out);
	verdict = as_faults_say(seam);
	if (verdict == HTTP_PASS || verdict == HTTP_WAIT)
		server_set(flow, flow->env);
	return flow->closed ? HTTP_ANSWER : verdict;
}

static void routed_done(struct http_seam *seam)
{
	struct env *baseline = home_of(seam->flow);

	if (baseline)
		flow_env_set(seam->flow, baseline);
}

static const struct http_seam_hooks routed = {
	.logged = true, .owns_server = true, .enter = routed_enter, .request = routed_request, .done = routed_done};

const struct http_seam_hooks *shared_hooks(const struct flow *flow)
{
	const struct name *name = flow->env && flow->to ? env_name(flow->env, flow->to) : NULL;

	if (name && name->away)
		return &stamped;
	return flow->env && shared_is_baseline(flow->env) ? &routed : &http_seam_plain;
}

/* ---- what is not HTTP/1 ---- */

void shared_unstamped(struct flow *flow, const char *protocol)
{
	const struct name *name = flow->env && flow->to ? env_name(flow->env, flow->to) : NULL;

	if (name && name->away)
		env_propagation(flow->env, flow->from, flow->to, protocol);
}

void shared_baseline_begin(struct env *baseline)
{
	for (struct flow *flow = baseline->flows; flow; flow = flow->next) {
		struct http_seam *seam = http_seam_of(flow);

		if (seam && seam->hooks == &http_seam_plain && !seam->upgraded)
			seam->hooks = &routed;
	}
}
