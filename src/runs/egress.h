/*
 * egress: the control plane's side of what leaves: the organisation's policy file and its reload, the questions that wait for a person and
 * their answers, the kill switch, and what runs spend on models. It is told by the gateway and tells the gateway, through the verbs that it
 * is given; what must outlive the server (questions, answers that are remembered, kills, spending) is <state>/egress.json, replaced whole
 * before an answer is given. Prices are a file, or those that were built in (prices.json here). Any thread; calls that tell the gateway block until it answers. JSON results are owned by the caller.
 */
#ifndef ASSAY_RUNS_EGRESS_H
#define ASSAY_RUNS_EGRESS_H

#include "base/json.h"
#include "base/world.h"

struct egress;

#define EGRESS_HOLDS_OPEN_MAX 1024
#define EGRESS_HOLDS_KEPT 200   /* of those that are over */
#define EGRESS_GATEWAY_MS 5000  /* it must answer within */
#define EGRESS_KILL_WAIT_MS 5   /* … and a kill within; then the sandboxes' connections are reset without it … */
#define EGRESS_KILL_BUSY_MS 250 /* … and it has so long, when it only waits for a processor; then it is done without it */
#define EGRESS_REMEMBER_HOUR_MS ((int64_t)3600 * 1000)

enum egress_tell { EGRESS_TELL_KILL, EGRESS_TELL_POLICY, EGRESS_TELL_ANSWER, EGRESS_TELL_BUDGET };

enum egress_record { EGRESS_RECORD_ANSWER, EGRESS_RECORD_POLICY, EGRESS_RECORD_KILL, EGRESS_RECORD_BUDGET };

/* What it does in the world. */
struct egress_ops {
	/* A row of the ledger (texts may be NULL); with `before` it is on the disk when this returns 0: what it is about is not done otherwise. */
	int (*record)(void *self, enum egress_record what, bool before, const char *env, const char *run, const char *rule,
		      const char *actor, const char *detail, struct err *err);
	/* Its answer, owned by the caller; NULL with ERR_RETRY when there is no gateway, or it does not answer in time. */
	json_t *(*tell)(void *self, enum egress_tell what, const json_t *body, int64_t timeout_ms, struct err *err);
	/* The gateway does not answer: resets what the environment's sandboxes ("": all) have open, in the kernel; `whole`: the other ends of it,
	 * too, and what listens, and ends the gateway's process. */
	int (*sever)(void *self, const char *env, bool whole, struct err *err);
	bool (*stopped)(void *self); /* the gateway's process is, or is gone: it will not answer */
	/* Nothing is released from the vault for the environment ("": for all) any more. */
	int (*credentials_end)(void *self, const char *env, struct err *err);
	int (*run_stop)(void *self, const char *run, struct err *err);
	char *(*last_action)(void *self, const char *run); /* of its agent, one line, owned by the caller; NULL */
	void *self;
};

struct egress_options {
	const char *state_dir;
	const char *prices_path; /* NULL: <state>/prices.json and then /etc/assay/prices.json, or what is built in */
	const char *policy_path; /* NULL: <state>/policy.yaml and then /etc/assay/policy.yaml, if there is one */
	struct world world;
};

/* Reads the policy file: one that is wrong, or named and missing, is an error. Questions that were open are lost: nobody waits for them. */
MUST_USE int egress_open(const struct egress_options *options, struct egress **egress, struct err *err);
/* From now on it acts; `ops` is copied. */
void egress_attach(struct egress *egress, const struct egress_ops *ops);
void egress_close(struct egress *egress);       /* NULL is fine */
uint64_t egress_version(struct egress *egress); /* changes with whatever is shown */

/* ---- what the gateway is told of an environment: members of ENV_PUT (net/messages.h) ---- */
void egress_describe(struct egress *egress, const char *env, const char *run, int64_t budget_micro_usd, json_t *body);
/* The body of POLICY_PUT. */
json_t *egress_policy_body(struct egress *egress);

/* ---- what the gateway says ---- */
MUST_USE int egress_hold(struct egress *egress, const json_t *body, struct err *err);
void egress_hold_gone(struct egress *egress, const json_t *body);
/* Looks at the facts: what was asked of a gateway that runs no more (this one since then), or of an environment that lives no more, waits for
 * nobody. Every few seconds. */
void egress_reconcile(struct egress *egress, int64_t gateway_since_ms, bool (*lives)(void *self, const char *env), void *self);
void egress_usage(struct egress *egress, const json_t *body);

/* ---- what people ask and say ---- */

/* [{"id", "status": "open|approved|denied|expired|cancelled|kill|gone|lost", "env", "sandbox", "run", "agent", "action": what its agent
 * did last, "method", "url", "rule", "why", "body_bytes", "body_start", "digest", "asked_ms", "deadline_ms", "remember": bool,
 * "answered_ms"?, "by"?, "because"?, "scope"?}], newest first; `all`: those that are over, too. */
json_t *egress_holds(struct egress *egress, bool all);
/* `id` or a unique prefix. `scope`: "once", "run" or "hour". With `stop_run` a denial stops the run. */
json_t *egress_answer(struct egress *egress, const char *id, bool allow, const char *scope, bool stop_run, const char *by,
		      const char *because, struct err *err);
/* `env` "": everything. {"env", "killed": bool, "by_kernel": bool, "ms"}. */
json_t *egress_kill(struct egress *egress, const char *env, bool undo, const char *by, const char *because, struct err *err);
/* [{"env", "because", "by", "at_ms"}] */
json_t *egress_kills(struct egress *egress);
/* Reads the policy file again when it changed (or `now`), and tells the gateway: all or nothing; what is wrong with it is the error, and the
 * policy before stays. */
MUST_USE int egress_policy_reload(struct egress *egress, bool now, struct err *err);
/* The file's text, owned by the caller. ERR_NOT_FOUND: there is no policy. */
MUST_USE int egress_policy_text(struct egress *egress, struct buf *text, struct err *err);
/* Replaces the file (<state>/policy.yaml where there is none) and reads it: what is wrong with it is the error, and the file stays as it was. */
MUST_USE int egress_policy_write(struct egress *egress, struct view text, const char *by, struct err *err);
/* {"path": text | null, "rules": n, "ceiling", "passthrough", "loaded_ms", "error"?: of the last reload} */
json_t *egress_policy_show(struct egress *egress);
/* `run`: a run, or an environment that belongs to none. {"run", "spent_usd", "budget_usd": number | null, "calls", "input", "output", "cache_read", "cache_write", "estimated": bool,
 * "models": {name: {"calls", "input", "output", "cache_read", "cache_write", "spent_usd"}}} */
json_t *egress_budget(struct egress *egress, const char *run);
/* In millionths of a dollar; 0: none. */
MUST_USE int egress_budget_set(struct egress *egress, const char *run, int64_t micro_usd, const char *by, struct err *err);

#endif
