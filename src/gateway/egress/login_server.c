/* The server's side of a login: dialled, spoken to over TLS where it is outside, and shown the password in the way that it asks for. */
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "gateway/door.h"
#include "gateway/egress/dial.h"
#include "gateway/egress/login_priv.h"
#include "gateway/seams/raw.h"
#include "net/pool.h"

#define STATUS_REFUSED 401 /* by the server */

static void server_timed_out(struct flow *flow)
{
	login_refuse_for(flow->state, CODE_UNREACHABLE, 504, "upstream", "the server did not let it in in time", NULL);
}

/* Convinced: from here on bytes pass. */
static void become_raw(struct login *login, struct view rest)
{
	struct flow *flow = login->flow;

	login_told(login, STATUS_DONE, NULL);
	flow_timer(flow, -1, NULL);
	flow_pause(flow, SIDE_CLIENT, false);
	raw_begin_postgres(flow, buf_view(&login->packet), rest, buf_view(&login->input)); /* they live until the end of the turn */
}

static void job_done(void *self)
{
	struct login_job *job = self;
	struct login *login = job->owner;

	if (login) {
		login->job = NULL;
		login->auth = job->auth;
		login_server_take(login);
		flow_update(login->flow);
	} else {
		postgres_auth_free(job->auth);
	}
	free(job);
}

/* On the pool. */
static void job_run(void *self)
{
	struct login_job *job = self;

	postgres_auth_work(job->auth);
	loop_post(job->loop, job_done, job);
}

static void work(struct login *login)
{
	struct login_job *job = mem_new(sizeof(*job));

	*job = (struct login_job){login->flow->worker->loop, login, TAKE(login->auth)};
	login->job = job;
	if (pool_add(login->flow->worker->lookups, job_run, job))
		return;
	login->auth = job->auth;
	login->job = NULL;
	free(job);
	login_refuse_for(login, CODE_NOT_NOW, 503, "login", "too many logins at once", "try again");
}

/* Shows the password in one of its ways. */
static void prove(struct login *login)
{
	struct view rest = buf_view(&login->server);
	AUTO_BUF out = buf_new(SCRATCH_BYTES);
	AUTO_BUF back = buf_new(SCRATCH_BYTES);
	const char *why = NULL;
	enum postgres_auth_result result = postgres_auth_feed(login->auth, &rest, &out, &back, &why);

	flow_write(login->flow, SIDE_SERVER, buf_view(&out));
	if (out.at)
		explicit_bzero(out.at, out.length);
	flow_write(login->flow, SIDE_CLIENT, buf_view(&back));
	switch (result) {
	case POSTGRES_AUTH_DONE:
		become_raw(login, rest);
		return;
	case POSTGRES_AUTH_REFUSED:
		login_told(login, STATUS_REFUSED, "the server refused the login");
		flow_finish(login->flow);
		return;
	case POSTGRES_AUTH_BROKEN:
		login_refuse_for(login, CODE_PROTOCOL, 502, "upstream", why, NULL);
		return;
	case POSTGRES_AUTH_WORK:
		work(login);
		break;
	case POSTGRES_AUTH_MORE:
		break;
	}
	if (!login->flow->closed && login->flow->state == login)
		buf_drop_front(&login->server, login->server.length - rest.length);
}

void login_introduce(struct login *login, bool clear)
{
	unsigned char nonce[POSTGRES_NONCE_BYTES];
	struct broker_want *want = login->plan.wants;

	flow_write(login->flow, SIDE_SERVER, buf_view(&login->packet));
	if (login->cancels) {
		login->state = CANCELLING;
		flow_end(login->flow, SIDE_SERVER);
		return;
	}
	world_random(world_real, nonce, sizeof(nonce));
	login->auth = postgres_auth_new(login->user, view_make(want->value, want->value_bytes), clear, nonce);
	broker_plan_fini(&login->plan);
	login->state = PROVING;
}

static void server_tls_take(struct login *login)
{
	struct flow *flow = login->flow;
	char answer = login->server.at[0];

	if (login->server.length != 1 || (answer != 'S' && answer != 'N')) {
		login_refuse_for(login, CODE_PROTOCOL, 502, "upstream", "the server does not say whether it speaks TLS", NULL);
		return;
	}
	buf_clear(&login->server);
	if (answer == 'S') {
		login->state = SECURING_SERVER;
		flow_tls_set(flow, SIDE_SERVER,
			     tls_connect(flow->worker->tls_client, flow->legs[SIDE_SERVER].fd, login->host, 0, NULL));
	} else if (credential_host_is_own(login->host)) {
		login_introduce(login, false);
	} else {
		login_refuse_for(login, CODE_DENIED, 502, "upstream",
				 "the server does not speak TLS, and outside nothing is said without", NULL);
	}
}

void login_server_take(struct login *login)
{
	if (login->state == ASKING_TLS && login->server.length)
		server_tls_take(login);
	else if (login->state == PROVING && login->auth)
		prove(login);
}

void login_dial(struct login *login)
{
	struct flow *flow = login->flow;
	struct name *name;
	AUTO_BUF question = buf_new(16);

	flow_timer(flow, LOGIN_SERVER_MS, server_timed_out);
	if (login->own) {
		name = env_name(flow->env, login->host);
		if (!name) {
			login_refuse_for(login, CODE_UNREACHABLE, 502, "upstream", "the environment has no such database any more",
					 NULL);
			return;
		}
		login_introduce(login, false);
		door_dial(flow, name, flow->port);
		return;
	}
	login->state = ASKING_TLS;
	postgres_ask_tls(&question);
	flow_write(flow, SIDE_SERVER, buf_view(&question));
	login->dial = dial_begin(flow, login->host, flow->port);
}
