/* The kill switch: recorded first, then told to the gateway, and done by the kernel when that does not answer. */
#include "runs/egress_priv.h"

#include <errno.h>
#include <pthread.h>

#include "base/log.h"
#include "base/scope.h"

static int kill_record(struct egress *egress, const char *env, const char *by, const char *because)
{
	egress_lock(egress);
	(void)json_object_set_new(
		egress_part(egress, "kills"), env,
		json_pack("{s:s, s:s, s:I}", "because", because, "by", by, "at_ms", (json_int_t)world_now_ms(egress->world)));
	egress_unlock(egress);
	return 0;
}

/* `others`: environments that stay stopped, each by a word of its own. */
static int kill_undo(struct egress *egress, const char *env, json_t *others, struct err *err)
{
	json_t *kills;
	const char *id;
	json_t *kill;
	int result = 0;

	egress_lock(egress);
	kills = egress_part(egress, "kills");
	if (!json_object_get(kills, env))
		result = err_set(err, ERR_NOT_FOUND, "%s was not stopped", env[0] ? env : "everything");
	else if (env[0] && json_object_get(kills, ""))
		result = err_set(err, ERR_CONFLICT, "everything is stopped: `assay kill --all --undo` comes first");
	else
		(void)json_object_del(kills, env);
	json_object_foreach(kills, id, kill)
		if (!env[0])
			(void)json_array_append_new(others, json_string(id));
	egress_unlock(egress);
	return result;
}

struct kill_call {
	struct egress *egress;
	const json_t *body;
	bool answered;
};

static void *kill_call_main(void *self)
{
	struct kill_call *call = self;
	struct err problem = {0};
	AUTO_JSON answer = call->egress->ops.tell(call->egress->ops.self, EGRESS_TELL_KILL, call->body,
						  EGRESS_KILL_WAIT_MS + EGRESS_KILL_BUSY_MS, &problem);

	call->answered = answer || problem.kind == ERR_NOT_FOUND; /* it knows of no such environment: nothing is open */
	return NULL;
}

static bool kill_joined(pthread_t thread, int64_t wait_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += wait_ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

static void kill_sever(const struct egress *egress, const char *env, bool whole)
{
	struct err problem = {0};

	if (egress->ops.sever(egress->ops.self, env, whole, &problem))
		log_error("kill: %s", problem.text);
}

/*
 * Asks the gateway. When it does not answer at once, what the sandboxes have open is reset without it, and then one that was stopped is ended,
 * which ends the question too; one that waits for a processor on a busy machine has a while to answer: a kill is what it does first.
 */
static bool kill_tell(struct egress *egress, const char *env, const json_t *body)
{
	struct kill_call call = {.egress = egress, .body = body};
	pthread_t thread;
	bool asked = pthread_create(&thread, NULL, kill_call_main, &call) == 0;
	bool ended = asked && kill_joined(thread, EGRESS_KILL_WAIT_MS + 1);

	if (asked && !ended && !egress->ops.stopped(egress->ops.self)) {
		kill_sever(egress, env, false);
		ended = kill_joined(thread, EGRESS_KILL_BUSY_MS);
	}
	if (ended && call.answered)
		return true;
	kill_sever(egress, env, true);
	if (asked && !ended)
		(void)pthread_join(thread, NULL);
	return false;
}

json_t *egress_kill(struct egress *egress, const char *env, bool undo, const char *by, const char *because, struct err *err)
{
	int64_t began_ms = world_elapsed_ms(egress->world);
	AUTO_JSON body = json_pack("{s:s, s:s, s:b, s:[]}", "env", env, "because", because, "undo", undo, "except");
	AUTO_JSON answer = NULL;
	AUTO_FREE char *detail = NULL;
	struct err problem = {0};
	bool by_kernel = false;
	int saved;

	/* First here: whatever gateway starts from now on is told of it. */
	if (undo ? kill_undo(egress, env, json_object_get(body, "except"), err) : kill_record(egress, env, by, because))
		return NULL;
	if (undo)
		answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_KILL, body, EGRESS_GATEWAY_MS, &problem);
	else
		by_kernel = !kill_tell(egress, env, body);
	detail = text_format("%s%s%.200s",
			     undo        ? "undone"
			     : by_kernel ? "without the gateway"
					 : "stopped",
			     because[0] ? ": " : "", because);
	(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_KILL, false, env[0] ? env : NULL, NULL, "kill", by, detail,
				  &problem);
	egress_lock(egress);
	saved = egress_save(egress, err);
	egress_unlock(egress);
	if (saved) /* it is done, and would not outlive us */
		return NULL;
	if (!undo && egress->ops.credentials_end(egress->ops.self, env, &problem))
		log_error("kill: the vault: %s", problem.text);
	return json_pack("{s:s, s:b, s:b, s:I}", "env", env, "killed", !undo, "by_kernel", by_kernel, "ms",
			 (json_int_t)(world_elapsed_ms(egress->world) - began_ms));
}

json_t *egress_kills(struct egress *egress)
{
	json_t *list = json_array();
	const char *env;
	json_t *kill;

	egress_lock(egress);
	json_object_foreach(egress_part(egress, "kills"), env, kill) {
		json_t *row = json_deep_copy(kill);

		(void)json_object_set_new(row, "env", json_string(env));
		(void)json_array_append_new(list, row);
	}
	egress_unlock(egress);
	return list;
}
