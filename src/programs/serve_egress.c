/* What leaves, wired. */
#include "programs/serve_egress.h"

#include "audit/audit.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "net/messages.h"
#include "programs/policy.h"
#include "programs/serve_gateway.h"
#include "runs/runs.h"
#include "vault/vault.h"

#define STAT_BYTES_MAX ((size_t)4096) /* of /proc/PID/stat */

static void describe(void *self, const char *env, const char *owner, int64_t budget_micro_usd, json_t *body)
{
	const struct serve_egress *serve = self;

	egress_describe(serve->egress, env, owner, budget_micro_usd, body);
}

static int message(void *self, uint16_t name, const json_t *body, struct err *err)
{
	const struct serve_egress *serve = self;

	if (name == MESSAGE_HOLD) {
		if (egress_hold(serve->egress, body, err))
			return -1;
		if (serve->runs)
			runs_hold_asked(serve->runs, body);
		return 0;
	}
	if (name == MESSAGE_HOLD_GONE)
		egress_hold_gone(serve->egress, body);
	else if (name == MESSAGE_MODEL && serve->runs)
		runs_model_status(serve->runs, body);
	else if (name == MESSAGE_USAGE)
		egress_usage(serve->egress, body);
	return 0;
}

static json_t *secret(void *self, const char *env, const char *credential, struct err *err)
{
	const struct serve_egress *serve = self;
	struct ledger_row row = audit_row(LEDGER_SECRET, env, NULL, NULL, "serve", NULL);
	AUTO_FREE char *detail = text_format("%s: bound to the environment", credential);
	AUTO_BUF placeholder = buf_new(CREDENTIAL_VALUE_MAX);
	AUTO_BUF place = buf_new(CREDENTIAL_SLOT_MAX * 2);
	struct credential_use use;
	json_t *rules, *json;

	row.texts[LEDGER_DETAIL] = view_of(detail);
	if (vault_secret_bind(serve->vault, env, credential, &use, &placeholder, err) || audit_put(serve->audit, &row, err))
		return NULL;
	credential_place_format(&use, &place);
	rules = json_array();
	for (size_t i = 0; i < use.rule_count; i++) {
		AUTO_BUF rule = buf_new(1024);

		credential_rule_format(&use.rules[i], &rule);
		(void)json_array_append_new(rules, json_string(rule.at));
	}
	json = json_pack("{s:s, s:s, s:o, s:s, s:b}", "name", credential, "placeholder", placeholder.at, "for", rules, "in",
			 place.at, "require", use.require != 0);
	return json;
}

static void secrets_end(void *self, const char *env)
{
	const struct serve_egress *serve = self;
	struct ledger_row row = audit_row(LEDGER_SECRET, env, NULL, NULL, "serve", "all unbound: the environment is gone");
	struct err err;

	if (vault_secret_unbind(serve->vault, env, &err))
		log_error("env=%s: its credentials are not unbound: %s", env, err.text);
	audit_note(serve->audit, &row);
}

struct environments_egress serve_egress_watcher(struct serve_egress *self)
{
	return (struct environments_egress){describe, secret, secrets_end, message, self};
}

static json_t *tell(void *self, enum egress_tell what, const json_t *body, int64_t timeout_ms, struct err *err)
{
	static const uint16_t names[] = {[EGRESS_TELL_KILL] = MESSAGE_KILL,
					 [EGRESS_TELL_POLICY] = MESSAGE_POLICY_PUT,
					 [EGRESS_TELL_ANSWER] = MESSAGE_HOLD_ANSWER,
					 [EGRESS_TELL_BUDGET] = MESSAGE_BUDGET};
	const struct serve_egress *serve = self;
	AUTO_JSON bare = NULL;
	AUTO_CLOSE int scan = -1;

	if (what != EGRESS_TELL_POLICY)
		return environments_gateway_call(serve->environments, names[what], body, timeout_ms, err);
	bare = json_deep_copy(body);
	if (policy_scan_file(bare, &scan, err))
		return NULL;
	return environments_gateway_call_fd(serve->environments, names[what], bare, scan, timeout_ms, err);
}

static int record(void *self, enum egress_record what, bool before, const char *env, const char *run, const char *rule,
		  const char *actor, const char *detail, struct err *err)
{
	static const enum ledger_kind kinds[] = {[EGRESS_RECORD_ANSWER] = LEDGER_ANSWER,
						 [EGRESS_RECORD_POLICY] = LEDGER_POLICY,
						 [EGRESS_RECORD_KILL] = LEDGER_KILL,
						 [EGRESS_RECORD_BUDGET] = LEDGER_BUDGET};
	const struct serve_egress *serve = self;
	struct ledger_row row = audit_row(kinds[what], env, run, rule, actor, detail);

	if (before)
		return audit_put(serve->audit, &row, err);
	audit_note(serve->audit, &row);
	return 0;
}

/* A process that was stopped, or is no more, as the kernel says it. */
static bool stopped(void *self)
{
	const struct serve_egress *serve = self;
	AUTO_FREE char *path = text_format("/proc/%d/stat", serve_gateway_pid(serve->gateway));
	AUTO_BUF text = buf_new(STAT_BYTES_MAX);
	const char *state;

	if (file_read(path, &text, NULL))
		return true;
	state = strrchr(text.at, ')');
	return !state || strlen(state) < 3 || strchr("TtZX", state[2]);
}

/* What the kernel cannot reset (an ordinary user's keeper has no power over our own network) ends with the process. */
static int sever(void *self, const char *env, bool whole, struct err *err)
{
	const struct serve_egress *serve = self;
	struct env_id id;
	struct err problem = {0};

	if (env[0] && env_id_parse(view_of(env), &id, err))
		return -1;
	if (provider_sever(serve->provider, env[0] ? &id : NULL, serve_gateway_pid(serve->gateway), whole, &problem))
		log_warn("kill: connections are reset by %s: %s", whole ? "ending the gateway only" : "the gateway itself",
			 problem.text);
	if (whole)
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
	const struct egress_ops ops = {.record = record,
				       .tell = tell,
				       .sever = sever,
				       .stopped = stopped,
				       .credentials_end = credentials_end,
				       .run_stop = run_stop,
				       .last_action = last_action,
				       .self = self};

	egress_attach(self->egress, &ops);
}
