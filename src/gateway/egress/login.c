/*
 * Logins, step by step.
 *
 * Theory of operation: one function for each step, which begins the next one or waits; a callback (bytes, a person's answer, the ledger, the vault,
 * a connection, a key that was derived) goes on. What the client sends too early is kept. login_told() says what came of it, whichever way it went.
 */
#include "gateway/egress/login_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/egress/dial.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/mint.h"
#include "gateway/egress/release.h"
#include "gateway/policy/policy.h"

#define INPUT_BYTES_MAX (SCRATCH_BYTES * 2)
#define EARLY_BYTES ((size_t)64 << 10) /* more than this before the login is done waits where it is */

static void input_take(struct login *login);

bool login_is_due(const struct env *env, const char *host, uint16_t port)
{
	return broker_logs_in(env->broker, host, port);
}

/* ---- the end ---- */

void login_told(struct login *login, unsigned status, const char *error)
{
	struct flow *flow = login->flow;
	AUTO_EXCHANGE exchange = {0};

	if (login->over)
		return;
	login->over = true;
	if (login->intent_kept)
		record_outcome(flow->worker, login->number, &login->request,
			       &(struct record_outcome){.status = status,
							.sent_bytes = flow->bytes[SIDE_CLIENT],
							.received_bytes = flow->bytes[SIDE_SERVER],
							.duration_us = (uint64_t)(worker_now_us() - flow->begun_us),
							.error = error});
	if (flow->env->gone)
		return;
	env_exchange_begin(flow->env, &exchange, flow->from, login->host, "postgres");
	exchange.t0_ms = flow->t0_ms;
	exchange.dt_us = worker_now_us() - flow->begun_us;
	exchange.command = text_copy("login");
	exchange.statement = login->path[0] ? text_format("%s as %s", login->path, login->user) : NULL;
	exchange.complete = error ? NULL : text_copy("OK");
	exchange.error = text_copy(error);
	exchange_log_add(flow->env->log, &exchange);
}

/* The client hears why, as its protocol says it. */
static void login_refuse(struct login *login, const char *code)
{
	struct flow *flow = login->flow;
	const struct egress_verdict *verdict = &login->verdict;
	char id[LEDGER_REQUEST_TEXT_MAX];
	AUTO_BUF out = buf_new(SCRATCH_BYTES);
	AUTO_FREE char *text = NULL;

	if (!login->number)
		login->number = record_request(flow->worker);
	ledger_request_format(login->number, id);
	text = text_format("assay: login %s:%u%s: %s [rule %s, id %s]", login->host, flow->port, login->path, verdict->why,
			   verdict->rule, id);
	if (!login->intent_kept)
		record_verdict(flow->worker, login->number, &login->request, verdict);
	env_denied(flow->env, flow->from, login->host, flow->port, verdict->why);
	postgres_fatal_format(&out, code, text, verdict->remedy);
	flow_write(flow, SIDE_CLIENT, buf_view(&out));
	login_told(login, verdict->status, verdict->why);
	flow_finish(flow);
}

void login_refuse_for(struct login *login, const char *code, unsigned status, const char *rule, const char *why, const char *remedy)
{
	login->verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = status, .why = why, .remedy = remedy};
	(void)snprintf(login->verdict.rule, sizeof(login->verdict.rule), "%s", rule);
	login_refuse(login, code);
}

static void client_timed_out(struct flow *flow)
{
	struct login *login = flow->state;

	if (login->state == MINTING || login->state == SECURING)
		flow_close(flow, "the TLS handshake did not end");
	else
		login_refuse_for(login, CODE_PROTOCOL, 408, "login", "it did not say who it is in time", NULL);
}

/* ---- between ---- */

static void released(void *self, const struct vault_release_reply *reply)
{
	struct login *login = self;
	struct flow *flow = login->flow;

	login->ask = NULL;
	if (!reply) {
		login_refuse_for(login, CODE_NOT_NOW, 503, "broker:vault-gone", "the vault does not answer", "try again");
	} else if (broker_answered(login->broker, &login->plan, 0, reply, &login->verdict)) {
		login_refuse(login, CODE_PASSWORD);
	} else {
		record_release(flow->worker, login->number, &login->request,
			       broker_name(login->broker, login->plan.wants[0].credential));
		login_dial(login);
	}
	flow_update(flow);
}

static void release(struct login *login)
{
	struct vault_release_request ask;

	login->intent_kept = true;
	if (login->cancels) {
		login_dial(login);
		return;
	}
	if (!login->flow->worker->releases) {
		login_refuse_for(login, CODE_NOT_NOW, 503, "broker:vault-gone", "there is no vault", NULL);
		return;
	}
	broker_ask(login->broker, &login->plan, 0, &login->request, &ask);
	login->ask = release_ask(login->flow->worker->releases, &ask, released, login);
}

static void unrecorded(struct login *login)
{
	login_refuse_for(login, CODE_NOT_NOW, 503, "ledger",
			 "the ledger cannot be written, and nothing leaves that it does not record",
			 "tell whoever runs Assay that its disk is full, or see `assay doctor`");
}

static void intent_done(struct ledger_wait *wait, bool taken)
{
	struct login *login = (struct login *)((char *)wait - offsetof(struct login, intent));

	login->intent_waits = false;
	if (taken)
		release(login);
	else
		unrecorded(login);
	flow_update(login->flow);
}

static void record(struct login *login)
{
	login->intent.done = intent_done;
	switch (record_intent(login->flow->worker, login->number, &login->request, login->verdict.rule, &login->intent)) {
	case LEDGER_TAKEN:
		release(login);
		break;
	case LEDGER_WAITING:
		login->intent_waits = true;
		break;
	case LEDGER_REFUSED:
		unrecorded(login);
		break;
	}
}

static void hold_answered(void *self, const struct egress_verdict *verdict)
{
	struct login *login = self;
	struct egress_verdict now = *verdict;

	login->hold = NULL;
	login->verdict = *verdict;
	if (verdict->action == EGRESS_ALLOW) /* under the rules of now */
		policy_judge(login->flow->env->policy, &login->request, &now);
	if (now.action == EGRESS_DENY) {
		login->verdict = now;
		login_refuse(login, CODE_DENIED);
	} else {
		record(login);
	}
	flow_update(login->flow);
}

/* The placeholder is right: may it go there? */
static void judge(struct login *login)
{
	struct holds *holds = login->flow->env->holds;
	struct egress_verdict refusal;

	login->state = WAITING;
	flow_timer(login->flow, -1, NULL);
	if (login->verdict.action != EGRESS_APPROVE || hold_remembered(holds, &login->request, &login->verdict)) {
		record(login);
		return;
	}
	login->hold = hold_park(holds, &login->request, &login->verdict, VIEW(""), hold_answered, login, &refusal);
	if (login->hold) {
		record_row(login->flow->worker, login->number, &login->request,
			   (struct ledger_row){.kind = LEDGER_HOLD, .texts = {[LEDGER_RULE] = view_of(login->verdict.rule)}});
		return;
	}
	login->verdict = refusal;
	login_refuse(login, CODE_DENIED);
}

/* ---- the client's side ---- */

static void minted(void *self, const struct tls_certificate *certificate, const struct tls_key *key, const char *why)
{
	struct login *login = self;
	struct flow *flow = login->flow;

	login->mint = NULL;
	if (why) {
		flow_close(flow, why); /* it awaits TLS: there is no other word */
		return;
	}
	login->state = SECURING;
	flow_tls_set(
		flow, SIDE_CLIENT,
		tls_accept(flow->worker->tls_server, flow->legs[SIDE_CLIENT].fd, certificate, key, buf_view(&login->input), 0));
	buf_clear(&login->input);
	flow_update(flow);
}

static void tls_answer(struct login *login)
{
	struct flow *flow = login->flow;
	bool tls = !login->own && !login->secured;

	if (login->input.length) { /* what was said before TLS must not be taken for what is said within */
		login_refuse_for(login, CODE_PROTOCOL, 400, "login", "more came before TLS was agreed on", NULL);
		return;
	}
	flow_write(flow, SIDE_CLIENT, tls ? VIEW("S") : VIEW("N"));
	if (!tls)
		return;
	login->state = MINTING;
	flow_update(flow);
	login->mint = mint_leaf(flow->worker->mint, flow->env->id, login->host, minted, login);
}

/* Who it is, is known: is a login of that kind allowed at all? Then the password is asked for. */
static void start_take(struct login *login, const struct postgres_start *start)
{
	struct flow *flow = login->flow;
	AUTO_BUF out = buf_new(64);

	buf_add_view(&login->packet, start->packet);
	(void)snprintf(login->path, sizeof(login->path), "/%s", start->database);
	(void)snprintf(login->user, sizeof(login->user), "%s", start->user);
	login->request.path = view_of(login->path);
	login->number = record_request(flow->worker);
	if (!login->own)
		policy_judge(flow->env->policy, &login->request, &login->verdict);
	if (login->verdict.action == EGRESS_DENY) {
		login_refuse(login, CODE_DENIED);
		return;
	}
	postgres_ask_password(&out);
	flow_write(flow, SIDE_CLIENT, buf_view(&out));
	login->state = ASKING;
}

static void cancel_take(struct login *login, const struct postgres_start *start)
{
	login->cancels = true;
	buf_add_view(&login->packet, start->packet);
	login->state = WAITING;
	if (login->verdict.action == EGRESS_DENY) /* a host that the rules let through, and no statement is named */
		(void)snprintf(login->verdict.rule, sizeof(login->verdict.rule), "cancel");
	login->number = record_request(login->flow->worker);
	record(login);
}

static void password_take(struct login *login)
{
	struct view password;
	size_t used = 0;
	int result = postgres_password_parse(buf_view(&login->input), &password, &used);

	if (!result)
		return;
	if (result < 0) {
		login_refuse_for(login, CODE_PROTOCOL, 400, "login", "no password came", NULL);
	} else if (!broker_login(login->broker, &login->request, password, &login->plan)) {
		login_refuse_for(login, CODE_PASSWORD, 403, "broker:foreign-credential",
				 "this database takes only the credential that Assay holds for it",
				 "use the placeholder from the environment's variables as the password, and no other");
	} else {
		buf_drop_front(&login->input, used);
		judge(login);
	}
}

/* One packet; true when there may be another. */
static bool packet_take(struct login *login)
{
	struct postgres_start start;
	struct view bytes = buf_view(&login->input);

	switch (postgres_start_parse(bytes, &start)) {
	case POSTGRES_START_MORE:
		return false;
	case POSTGRES_START_BAD:
		login_refuse_for(login, CODE_PROTOCOL, 400, "login", start.why, NULL);
		return false;
	case POSTGRES_START_TLS:
		buf_drop_front(&login->input, start.packet.length);
		tls_answer(login);
		return false;
	case POSTGRES_START_GSS:
		buf_drop_front(&login->input, start.packet.length);
		flow_write(login->flow, SIDE_CLIENT, VIEW("N"));
		return true;
	case POSTGRES_START_CANCEL:
		cancel_take(login, &start);
		return false;
	case POSTGRES_START_LOGIN:
		start_take(login, &start);
		if (login->state != ASKING)
			return false;
		buf_drop_front(&login->input, start.packet.length);
		return true;
	}
	return false;
}

static bool alive(const struct login *login)
{
	return !login->flow->closed && login->flow->state == login;
}

static void input_take(struct login *login)
{
	while (alive(login) && login->state == STARTING && login->input.length && packet_take(login))
		;
	if (alive(login) && login->state == ASKING && login->input.length)
		password_take(login);
	if (alive(login))
		flow_pause(login->flow, SIDE_CLIENT, login->state >= WAITING && login->input.length > EARLY_BYTES);
}

/* ---- the flow's protocol ---- */

static void login_data(struct flow *flow, enum side from, struct view bytes)
{
	struct login *login = flow->state;
	struct buf *buf = from == SIDE_CLIENT ? &login->input : &login->server;

	buf_add_view(buf, bytes);
	if (buf->over)
		flow_close(flow, "too much came before the login was done");
	else if (from == SIDE_CLIENT)
		input_take(login);
	else
		login_server_take(login);
}

static void login_ended(struct flow *flow, enum side from)
{
	struct login *login = flow->state;

	if (from == SIDE_CLIENT && login->state != CANCELLING) {
		flow_close(flow, login->state == STARTING ? NULL : "the client left");
	} else if (from == SIDE_SERVER && login->state == CANCELLING) {
		login_told(login, STATUS_DONE, NULL);
		flow_finish(flow);
	} else if (from == SIDE_SERVER) {
		login_refuse_for(login, CODE_UNREACHABLE, 502, "upstream", "the server left before the login was done", NULL);
	}
}

static bool login_server_lost(struct flow *flow, const char *why)
{
	struct login *login = flow->state;
	bool fresh = !flow->bytes[SIDE_SERVER] && flow->legs[SIDE_SERVER].fd < 0;

	if (fresh && (login->own ? door_dial_again(flow) : login->dial && dial_again(login->dial)))
		return true;
	login_refuse_for(login, CODE_UNREACHABLE, 502, "upstream", why, NULL);
	return true;
}

static void login_secured(struct flow *flow, enum side side)
{
	struct login *login = flow->state;

	if (side == SIDE_CLIENT) {
		login->secured = true;
		login->state = STARTING;
		input_take(login);
	} else {
		login_introduce(login, true);
	}
}

/* Nobody waits for an answer any more. */
static void login_closing(struct flow *flow, const char *why)
{
	struct login *login = flow->state;

	if (login->state != STARTING || why)
		login_told(login, 0, why ? why : "the client left");
	mint_cancel(TAKE(login->mint));
	release_cancel(TAKE(login->ask));
	if (login->hold)
		hold_cancel(TAKE(login->hold));
	if (login->intent_waits)
		record_cancel(flow->worker, &login->intent);
	login->intent_waits = false;
	if (login->job)
		login->job->owner = NULL;
	login->job = NULL;
}

static void login_release(void *self)
{
	struct login *login = self;

	dial_free(login->dial);
	postgres_auth_free(login->auth);
	broker_plan_fini(&login->plan);
	broker_free(login->broker);
	buf_fini(&login->input);
	buf_fini(&login->packet);
	buf_fini(&login->server);
	free(login);
}

static const struct flow_protocol login_protocol = {
	.name = "login",
	.data = login_data,
	.ended = login_ended,
	.server_lost = login_server_lost,
	.closing = login_closing,
	.release = login_release,
	.secured = login_secured,
};

static struct login *login_new(struct flow *flow, const char *host, uint16_t port)
{
	struct login *login = mem_new(sizeof(*login));

	login->flow = flow;
	(void)snprintf(login->host, sizeof(login->host), "%s", host);
	login->input = buf_new(INPUT_BYTES_MAX);
	login->packet = buf_new(POSTGRES_START_BYTES_MAX);
	login->server = buf_new(INPUT_BYTES_MAX);
	login->broker = broker_ref(flow->env->broker);
	login->request = (struct egress_request){.origin = env_origin(flow->env, flow->from),
						 .host = login->host,
						 .port = port,
						 .version = 11,
						 .method = VIEW(LOGIN_METHOD),
						 .path = VIEW("/"),
						 .query = VIEW("")};
	free(flow->to);
	flow->to = text_copy(login->host);
	flow->port = port;
	flow_protocol_set(flow, &login_protocol, login);
	flow_timer(flow, LOGIN_CLIENT_MS, client_timed_out);
	return login;
}

void login_begin(struct flow *flow, const char *host, uint16_t port, struct view first)
{
	AUTO_BUF kept = buf_new(INPUT_BYTES_MAX);
	struct login *login;

	buf_add_view(&kept, first); /* it may belong to the protocol before */
	login = login_new(flow, host, port);
	login->request.tls = true;
	flow->outside = true;
	if (kept.length)
		login_data(flow, SIDE_CLIENT, buf_view(&kept));
}

void login_begin_own(struct flow *flow, const struct name *name)
{
	struct login *login = login_new(flow, name->name, name->port);

	login->own = true;
	login->verdict = (struct egress_verdict){.action = EGRESS_ALLOW, .rule = "own-database"};
}
