/* The rows. */
#include "gateway/control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/egress/mint.h"
#include "gateway/egress/record.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/scan_rules.h"
#include "gateway/env.h"
#include "gateway/fault.h"
#include "gateway/front.h"
#include "gateway/preview.h"

static int fd_take(struct link_message *message)
{
	return message->fd_count ? TAKE_FD(message->fds[0]) : -1;
}

static struct env *env_get(struct worker *worker, const json_t *body, struct err *err)
{
	const char *id;
	struct env *env = NULL;

	if (json_text_get(body, "env", &id, err))
		return NULL;
	env = env_find(worker, id);
	if (!env)
		(void)err_set(err, ERR_NOT_FOUND, "no environment %s", id);
	return env;
}

static void reply(struct link *link, const struct link_message *message, int result, const struct err *err)
{
	link_reply(link, message->name, message->request, NULL, result ? err : NULL);
}

static void on_env_put(void *self, struct link *link, struct link_message *message)
{
	struct worker *worker = self;
	AUTO_CLOSE int fd = fd_take(message);
	AUTO_JSON scan = NULL;
	struct err err;
	int result = scan_description_read(message->fd_count > 1 ? message->fds[1] : -1, &scan, &err);

	if (!result)
		result = env_put(worker, message->body, fd, scan, &err);
	if (!result) {
		struct env *env = env_find(worker, json_text(message->body, "env", ""));

		fd = -1;
		if (json_member(message->body, "links"))
			preview_links_put(env, json_member(message->body, "links"));
		preview_env_changed(env);
	}
	reply(link, message, result, &err);
}

static void on_sandbox_put(void *self, struct link *link, struct link_message *message)
{
	AUTO_CLOSE int fd = fd_take(message);
	struct err err;
	struct env *env = env_get(self, message->body, &err);
	const char *sandbox;
	int result = -1;

	if (env && fd < 0)
		result = err_set(&err, ERR_INVALID, "SANDBOX_PUT without a door");
	else if (env && !json_text_get(message->body, "sandbox", &sandbox, &err))
		result = door_open(env, sandbox, TAKE_FD(fd), &err);
	reply(link, message, result, &err);
}

static void on_sandbox_gone(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);
	struct door *door = env ? door_find(env, json_text(message->body, "sandbox", "")) : NULL;

	if (door)
		door_free(door);
	reply(link, message, 0, NULL); /* absence is no error */
}

static void on_env_gone(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);

	if (env) {
		preview_links_put(env, NULL);
		env_remove(env);
	}
	reply(link, message, 0, NULL);
}

static void on_env_state(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);
	int result = env ? env_state_set(env, json_text(message->body, "state", ""), &err) : -1;

	if (!result)
		preview_env_changed(env);
	reply(link, message, result, &err);
}

static void on_quiet(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);
	uint64_t ended = 0;
	uint64_t unwritten = 0;
	uint64_t in_flight = env ? env_in_flight(env, &ended, &unwritten) : 0;
	AUTO_JSON body = json_pack("{s:I, s:I, s:I}", "in_flight", (json_int_t)in_flight, "ended", (json_int_t)ended, "unwritten",
				   (json_int_t)unwritten);

	link_reply(link, message->name, message->request, body, env ? NULL : &err);
}

static bool listed(const json_t *list, const char *id)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		if (json_is_string(one) && strcmp(json_string_value(one), id) == 0)
			return true;
	return false;
}

/* The answer does not wait for thousands of resets: from here to the end of the last of them nothing else runs. */
static void on_kill(void *self, struct link *link, struct link_message *message)
{
	struct worker *worker = self;
	bool all = strcmp(json_text(message->body, "env", "?"), "") == 0;
	const char *because = json_flag(message->body, "undo", false) ? NULL : json_text(message->body, "because", "");
	struct err err;
	struct env *one = all ? NULL : env_get(self, message->body, &err);

	for (struct env *env = worker->envs; env; env = env->next)
		if (env == one || (all && (because || !listed(json_member(message->body, "except"), env->id))))
			env_kill_set(env, because);
	reply(link, message, all || one ? 0 : -1, &err);
	for (struct env *env = worker->envs; because && env; env = env->next)
		if (env == one || all)
			env_kill(env, "killed");
}

static void on_policy_put(void *self, struct link *link, struct link_message *message)
{
	struct worker *worker = self;
	const json_t *rules = json_member(message->body, "policy");
	bool none = !rules || json_is_null(rules);
	AUTO_JSON scan = NULL;
	struct err err;
	bool good = scan_description_read(message->fd_count ? message->fds[0] : -1, &scan, &err) == 0;
	struct policy *policy = none || !good ? NULL : policy_new(rules, NULL, &err);

	good &= none || policy;
	if (good) {
		scan_worker_describe(worker, TAKE(scan));
		policy_release(worker->policy);
		worker->policy = policy;
		for (struct env *env = worker->envs; env; env = env->next)
			env_policy_under(env, policy);
	}
	reply(link, message, good ? 0 : -1, &err);
}

static void on_hold_answer(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);

	reply(link, message, env ? hold_answer(env->holds, message->body, &err) : -1, &err);
}

static void on_budget(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);

	if (env) {
		free(env->over_budget);
		env->over_budget = text_copy(json_text(message->body, "over", NULL));
	}
	reply(link, message, env ? 0 : -1, &err);
}

static void on_phase(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);

	if (env) {
		free(env->phase);
		env->phase = text_copy(json_text(message->body, "phase", NULL));
	}
	reply(link, message, env ? 0 : -1, &err);
}

static void on_fault(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);
	int result = env ? faults_change(env, message->body, &err) : -1;
	AUTO_JSON body = result ? NULL : json_pack("{s:o}", "items", faults_list(env));

	link_reply(link, message->name, message->request, body, result ? &err : NULL);
}

static void on_vault(void *self, struct link *link, struct link_message *message)
{
	struct worker *worker = self;
	AUTO_CLOSE int fd = fd_take(message);
	struct err err;
	int result = fd < 0 ? err_set(&err, ERR_INVALID, "VAULT without a link") : mint_link_set(worker->mint, TAKE_FD(fd), &err);

	reply(link, message, result, &err);
}

static void on_front(void *self, struct link *link, struct link_message *message)
{
	const struct worker *worker = self;
	AUTO_CLOSE int fd = fd_take(message);
	struct err err;

	reply(link, message, front_put(worker->front, message->body, fd, &err), &err);
}

static void on_links(void *self, struct link *link, struct link_message *message)
{
	struct err err;
	struct env *env = env_get(self, message->body, &err);

	if (env)
		preview_links_put(env, json_member(message->body, "links"));
	reply(link, message, 0, NULL); /* of one that is not known nothing is shown; ENV_PUT has them, too */
}

static void on_ledger(void *self, struct link *link, struct link_message *message)
{
	AUTO_CLOSE int fd = fd_take(message);
	struct err err;
	int result = fd < 0 ? err_set(&err, ERR_INVALID, "LEDGER without a folder") : record_open(self, fd, message->body, &err);

	reply(link, message, result, &err);
}

static const struct link_row rows[] = {
	{MESSAGE_ENV_PUT, LINK_CONTROL, on_env_put},
	{MESSAGE_SANDBOX_PUT, LINK_CONTROL, on_sandbox_put},
	{MESSAGE_SANDBOX_GONE, LINK_CONTROL, on_sandbox_gone},
	{MESSAGE_ENV_GONE, LINK_CONTROL, on_env_gone},
	{MESSAGE_ENV_STATE, LINK_CONTROL, on_env_state},
	{MESSAGE_QUIET, LINK_CONTROL, on_quiet},
	{MESSAGE_KILL, LINK_CONTROL, on_kill},
	{MESSAGE_PHASE, LINK_CONTROL, on_phase},
	{MESSAGE_VAULT, LINK_CONTROL, on_vault},
	{MESSAGE_LEDGER, LINK_CONTROL, on_ledger},
	{MESSAGE_FRONT, LINK_CONTROL, on_front},
	{MESSAGE_LINKS, LINK_CONTROL, on_links},
	{MESSAGE_POLICY_PUT, LINK_CONTROL, on_policy_put},
	{MESSAGE_HOLD_ANSWER, LINK_CONTROL, on_hold_answer},
	{MESSAGE_BUDGET, LINK_CONTROL, on_budget},
	{MESSAGE_FAULT, LINK_CONTROL, on_fault},
};

static void on_closed(void *self, struct link *link)
{
	struct worker *worker = self;

	(void)link;
	log_info("the control plane is gone");
	loop_stop(worker->loop);
}

int control_begin(struct worker *worker, int fd, struct err *err)
{
	const struct link_spec spec = {
		.fd = fd, .peer = LINK_CONTROL, .rows = rows, .row_count = ARRAY_LEN(rows), .closed = on_closed, .self = worker};

	worker->link = link_on_loop(worker->loop, &spec, err);
	return worker->link ? 0 : -1;
}
