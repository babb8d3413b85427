/* What leaves, wired. */
#include "programs/serve_egress.h"

#include "base/log.h"
#include "base/scope.h"
#include "net/messages.h"
#include "programs/serve_gateway.h"
#include "runs/runs.h"
#include "vault/vault.h"

static void describe(void *self, const char *env, const char *owner, int64_t budget_micro_usd, json_t *body)
{
	const struct serve_egress *serve = self;

	egress_describe(serve->egress, env, owner, budget_micro_usd, body);
}

static int message(void *self, uint16_t name, const json_t *body, struct err *err)
{
	const struct serve_egress *serve = self;

	if (name == MESSAGE_HOLD)
		return egress_hold(serve->egress, body, err);
	if (name == MESSAGE_HOLD_GONE)
		egress_hold_gone(serve->egress, body);
	else
		egress_usage(serve->egress, body);
	return 0;
}

struct environments_egress serve_egress_watcher(struct serve_egress *self)
{
	return (struct environments_egress){describe, message, self};
}

static json_t *tell(void *self, enum egress_tell what, const json_t *body, int64_t timeout_ms, struct err *err)
{
	static const uint16_t names[] = {[EGRESS_TELL_KILL] = MESSAGE_KILL,
					 [EGRESS_TELL_POLICY] = MESSAGE_POLICY_PUT,
					 [EGRESS_TELL_ANSWER] = MESSAGE_HOLD_ANSWER,
					 [EGRESS_TELL_BUDGET] = MESSAGE_BUDGET};
	const struct serve_egress *serve = self;

	return environments_gateway_call(serve->environments, names[what], body, timeout_ms, err);
}

/* What the kernel cannot reset (an ordinary user's keeper has no power over our own network) ends with the process. */
static int sever(void *self, const char *env, struct err *err)
{
	const struct serve_egress *serve = self;
	struct env_id id;
	struct err problem = {0};

	if (env[0] && env_id_parse(view_of(env), &id, err))
		return -1;
	if (provider_sever(serve->provider, env[0] ? &id : NULL, serve_gateway_pid(serve->gateway), &problem))
		log_warn("kill: connections are reset by ending the gateway only: %s", problem.text);
	serve_gateway_kill(serve->gateway);
	return 0;
}

static int credentials_end(void *self, const char *env, struct err *err)
{
	const struct serve_egress *serve = self;

	return vault_secret_unbind(serve->vault, env, err);
}

static int run_stop(void *self, const char *run, struct err *err)
{
	const struct serve_egress *serve = self;
	struct run_id id;

	return run_id_parse(view_of(run), &id, err) || runs_stop(serve->runs, id, err) ? -1 : 0;
}

static char *last_action(void *self, const char *run)
{
	const struct serve_egress *serve = self;
	struct run_id id;

	return serve->runs && run_id_parse(view_of(run), &id, NULL) == 0 ? runs_last_action(serve->runs, id) : NULL;
}

void serve_egress_attach(struct serve_egress *self)
{
	const struct egress_ops ops = {.tell = tell,
				       .sever = sever,
				       .credentials_end = credentials_end,
				       .run_stop = run_stop,
				       .last_action = last_action,
				       .self = self};

	egress_attach(self->egress, &ops);
}
