/* What is around src/runs: machines with environments, agents, the verifier, the vault, and who is told by webhooks. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "outside.h"
#include "runs/turn_priv.h"
#include "vault/vault.h"
#include "verify/record.h"

#define STATUS_BUSY 429
#define STATUS_BROKEN 500

/* What the agent of this turn does; drawn before its thread begins, which draws nothing. */
static struct {
	char writes[64]; /* "": nothing */
	int exit_code;
	bool destroyed;
	bool dead;
	bool threaded; /* it runs beside the turn, else before it: a change of threads takes long on a busy machine */
} plan;

static struct plane_sim *machine_of(struct environments *environments)
{
	return (struct plane_sim *)environments;
}

static struct env_sim *env_find(const struct plane_sim *machine, const char *id)
{
	for (int i = 0; i < sim.env_count; i++)
		if (sim.envs[i].alive && sim.envs[i].machine == machine && strcmp(sim.envs[i].id, id) == 0)
			return &sim.envs[i];
	return NULL;
}

int envs_of(const char *run, const struct plane_sim *machine)
{
	int count = 0;

	for (int i = 0; i < sim.env_count; i++)
		count += sim.envs[i].alive && (!machine || sim.envs[i].machine == machine) && strcmp(sim.envs[i].owner, run) == 0;
	return count;
}

void machine_lose(struct plane_sim *plane)
{
	for (int i = 0; i < sim.env_count; i++)
		if (sim.envs[i].machine == plane)
			sim.envs[i].alive = false;
}

/* ---- environments ---- */

static int env_get(struct environments *environments, struct env_id id, struct env_sim **env, struct err *err)
{
	if (alive_check(machine_of(environments), err))
		return -1;
	*env = env_find(machine_of(environments), id.text);
	return *env ? 0 : err_set(err, ERR_NOT_FOUND, "no environment %s", id.text);
}

int environment_up(struct environments *environments, const struct environment_spec *spec, bool keep_failed,
		   struct progress progress, struct env_id *id, struct err *err)
{
	struct plane_sim *machine = machine_of(environments);
	struct env_sim *env;

	(void)keep_failed;
	if (alive_check(machine, err) || maybe_fails(12, "there is no room", err))
		return -1;
	if (chance(60))
		return err_set(err, ERR_INVALID, "service web: did not get ready");
	env = &sim.envs[sim.env_count++];
	if (sim.env_count >= ENVS_MAX)
		broken("too many environments");
	*env = (struct env_sim){.machine = machine, .alive = true};
	(void)snprintf(env->id, sizeof(env->id), "e%010d", sim.env_count);
	(void)snprintf(env->owner, sizeof(env->owner), "%s", spec->owner);
	(void)snprintf(env->content, sizeof(env->content), "%s", git_content(spec->commit.text));
	(void)snprintf(env->repository, sizeof(env->repository), "%s", strrchr(spec->repository, '/') + 1);
	(void)snprintf(id->text, sizeof(id->text), "%s", env->id);
	note(env->id);
	meanwhile(machine);
	if (alive_check(machine, err))
		return -1;
	progress.report(progress.self, "start web", "", 12);
	return maybe_fails(30, "its answer was lost", err);
}

int environment_down(struct environments *environments, struct env_id id, struct err *err)
{
	struct env_sim *env = env_find(machine_of(environments), id.text);

	if (alive_check(machine_of(environments), err) || maybe_fails(30, "something is still mounted", err))
		return -1;
	if (env)
		env->alive = false;
	note("down");
	return 0;
}

int environment_secrets(struct environments *environments, struct env_id id, bool bound, struct err *err)
{
	(void)id;
	(void)bound;
	return alive_check(machine_of(environments), err);
}

int environment_faults_clear(struct environments *environments, struct env_id id, int *count, struct err *err)
{
	struct env_sim *env;

	*count = 0;
	return env_get(environments, id, &env, err) || maybe_fails(60, "the gateway does not answer", err) ? -1 : 0;
}

int environment_freeze(struct environments *environments, struct env_id id, bool frozen, struct err *err)
{
	struct env_sim *env;

	if (env_get(environments, id, &env, err) || maybe_fails(60, "it does not freeze now", err))
		return -1;
	env->frozen = frozen;
	return 0;
}

int environment_extend(struct environments *environments, struct env_id id, int64_t grace_ms, struct err *err)
{
	struct env_sim *env;

	(void)grace_ms;
	return env_get(environments, id, &env, err);
}

int environment_deploy(struct environments *environments, struct env_id id, const char *service, struct progress progress,
		       struct err *err)
{
	struct env_sim *env;

	(void)service;
	(void)progress;
	meanwhile(machine_of(environments));
	return env_get(environments, id, &env, err) || maybe_fails(20, "the build was killed", err) ? -1 : 0;
}

static json_t *env_json(const struct env_sim *env)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:[]}", "id", env->id, "owner", env->owner, "purpose", "work", "state",
			 env->frozen ? "frozen" : "ready", "pinned", 0, "sandboxes");
}

json_t *environment_list(struct environments *environments, struct err *err)
{
	json_t *items;

	if (alive_check(machine_of(environments), err))
		return NULL;
	items = json_array();
	for (int i = 0; i < sim.env_count; i++)
		if (sim.envs[i].alive && sim.envs[i].machine == machine_of(environments))
			(void)json_array_append_new(items, env_json(&sim.envs[i]));
	return items;
}

json_t *environment_show(struct environments *environments, struct env_id id, struct err *err)
{
	struct env_sim *env;

	return env_get(environments, id, &env, err) ? NULL : env_json(env);
}

char *environment_preview_url(struct environments *environments, struct env_id id)
{
	return env_find(machine_of(environments), id.text) ? text_format("http://%s.localhost:7421/", id.text) : NULL;
}

void exit_status_format(struct buf *out, struct exit_status status)
{
	buf_add_format(out, "exit %d", status.code);
}

int environment_export(struct environments *environments, struct env_id id, const struct git_hash *base, const char *ref,
		       const char *message, struct git_hash *head, struct err *err)
{
	struct env_sim *env;

	(void)message;
	meanwhile(machine_of(environments));
	if (env_get(environments, id, &env, err) || maybe_fails(20, "the pack broke off", err))
		return -1;
	*head = *base;
	if (strcmp(git_content(base->text), env->content) == 0)
		return 0;
	(void)snprintf(head->text, sizeof(head->text), "%s", git_commit_make(base->text, NULL, env->content));
	git_ref_put(env->repository, ref, head->text);
	note(env->content);
	return maybe_fails(40, "its answer was lost", err);
}

/* Once more is once: what is there already stays. */
int environment_import(struct environments *environments, struct env_id id, const struct git_hash *base,
		       const struct git_hash *commit, struct err *err)
{
	struct env_sim *env;

	meanwhile(machine_of(environments));
	if (env_get(environments, id, &env, err) || maybe_fails(20, "the pack broke off", err))
		return -1;
	if (strcmp(env->content, git_content(base->text)) != 0 && strcmp(env->content, git_content(commit->text)) != 0)
		return err_set(err, ERR_CONFLICT, "the work tree has other changes in app.txt");
	(void)snprintf(env->content, sizeof(env->content), "%s", git_content(commit->text));
	note(env->content);
	return maybe_fails(40, "its answer was lost", err);
}

/* ---- agents ---- */

int __real_turn_program_run(struct turn *turn, struct err *reason, struct err *err);
int __wrap_turn_program_run(struct turn *turn, struct err *reason, struct err *err);
void __real_turn_message_deliver(struct turn *turn);
void __wrap_turn_message_deliver(struct turn *turn);

int __wrap_turn_program_run(struct turn *turn, struct err *reason, struct err *err)
{
	uint64_t way = sim.calm ? 50 : pick(100);

	memset(&plan, 0, sizeof(plan));
	plan.exit_code = way < 4;
	plan.destroyed = way >= 4 && way < 8;
	plan.dead = sim.current->dead;
	plan.threaded = pick(8) == 0;
	if (way >= 12)
		(void)snprintf(plan.writes, sizeof(plan.writes), "%s %d",
			       way < 30   ? "bug"
			       : way < 36 ? "odd"
					  : "good",
			       ++sim.turns);
	__atomic_store_n(&sim.looked, false, __ATOMIC_SEQ_CST);
	return __real_turn_program_run(turn, reason, err);
}

/* Beside a program: once, and after what it said was read. How often, and before what, would be a matter of speed. */
void __wrap_turn_message_deliver(struct turn *turn)
{
	if (plan.threaded && (__atomic_load_n(&sim.looked, __ATOMIC_SEQ_CST) || !agent_parser_ended(turn->parser)))
		return;
	__real_turn_message_deliver(turn);
	__atomic_store_n(&sim.looked, true, __ATOMIC_SEQ_CST);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *self), void *self);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *self), void *self);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *self), void *self)
{
	if (plan.threaded)
		return __real_pthread_create(thread, attributes, body, self);
	*thread = pthread_self();
	(void)body(self);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	return plan.threaded ? __real_pthread_join(thread, result) : 0;
}

static void prompt_keep(struct view text)
{
	if (sim.prompts_length + text.length + 2 > sim.prompts_size) {
		sim.prompts_size = 2 * (sim.prompts_length + text.length) + 65536;
		sim.prompts = realloc(sim.prompts, sim.prompts_size);
		if (!sim.prompts)
			abort();
	}
	memcpy(sim.prompts + sim.prompts_length, text.at, text.length);
	sim.prompts_length += text.length;
	sim.prompts[sim.prompts_length] = '\0';
}

bool was_told(const char *text)
{
	return sim.prompts && strstr(sim.prompts, text);
}

/* On the program's thread, if it has one: then it ends after the turn has looked for messages. */
int environment_exec(struct environments *environments, struct env_id id, const struct environment_exec *exec,
		     struct exit_status *status, struct err *err)
{
	static const char output[] = "{\"type\":\"start\",\"session\":\"s\"}\n"
				     "{\"type\":\"end\",\"ok\":true,\"text\":\"done\",\"usage\":{\"input_tokens\":1}}\n";
	struct env_sim *env = env_find(machine_of(environments), id.text);

	*status = (struct exit_status){EXIT_CODE, 0};
	if (!exec->output_fd) /* a file of the agent's HOME */
		return env ? alive_check(machine_of(environments), err) : err_set(err, ERR_NOT_FOUND, "no environment");
	if (!plan.destroyed && env)
		prompt_keep(exec->input);
	if (file_write_fd(exec->output_fd, view_make(output, sizeof(output) - 1), err))
		return -1;
	while (plan.threaded && !__atomic_load_n(&sim.looked, __ATOMIC_SEQ_CST))
		(void)sched_yield();
	if (plan.dead)
		return err_set(err, ERR_CANCELLED, "the machine is off");
	if (plan.destroyed || !env)
		return err_set(err, ERR_RETRY, "workspace was destroyed");
	if (plan.writes[0] && strchr(env->content, '|')) /* in both repositories */
		(void)snprintf(env->content, sizeof(env->content), "%.24s|%.24s", plan.writes, plan.writes);
	else if (plan.writes[0])
		memcpy(env->content, plan.writes, sizeof(env->content));
	*status = (struct exit_status){EXIT_CODE, plan.exit_code};
	return 0;
}

/* ---- the verifier and the record ---- */

int verify_run(const struct verify_request *request, json_t **report, struct err *err)
{
	const char *content = git_content(request->head.text);
	const char *other = strchr(content, '|'); /* of the second repository, where there are two */
	bool good = strncmp(content, "good", 4) == 0 && (!other || strncmp(other, "|good", 5) == 0);
	const char *verdict = good ? "verified" : strstr(content, "bug") ? "failed" : "unverified";
	json_t *findings = json_array();

	meanwhile(machine_of(request->environments));
	if (alive_check(machine_of(request->environments), err) || maybe_fails(15, "no room for fresh environments", err)) {
		json_decref(findings);
		return -1;
	}
	if (chance(20))
		verdict = "unverified";
	if (strcmp(verdict, "failed") == 0)
		(void)json_array_append_new(
			findings, json_pack("{s:s, s:s, s:s}", "id", content, "severity", "block", "title", "the price is wrong"));
	*report = json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s}], s:o, s:[]}", "verdict", verdict, "reason", "so it is",
			    "base", request->base.text, "head", request->head.text, "gates", "name", "tests", "title", "Tests",
			    "status", "pass", "findings", findings, "not_covered");
	return 0;
}

void verify_feedback(struct buf *out, const json_t *report)
{
	buf_add_format(out, "FEEDBACK %s", json_text(json_array_get(json_member(report, "findings"), 0), "id", "?"));
}

enum verdict verdict_of(const json_t *report)
{
	const char *verdict = json_text(report, "verdict", "");

	return strcmp(verdict, "verified") == 0 ? VERDICT_VERIFIED
	       : strcmp(verdict, "failed") == 0 ? VERDICT_FAILED
						: VERDICT_UNVERIFIED;
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {"verified", "failed", "unverified"};

	return names[verdict];
}

int record_make(const json_t *report, const char *previous, struct signer signer, struct buf *envelope, struct err *err)
{
	(void)signer;
	meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(40, "the vault does not answer", err))
		return -1;
	buf_add_format(envelope, "{\"head\":\"%s\",\"previous\":\"%s\",\"n\":%llu}", json_text(report, "head", ""), previous,
		       (unsigned long long)pick(1000000));
	return 0;
}

int record_bundle(struct view envelope, struct signer signer, struct buf *bundle, struct err *err)
{
	(void)signer;
	buf_add_view(bundle, envelope);
	return buf_finish(bundle, err);
}

int vault_sign(struct vault *vault, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	(void)vault;
	(void)bytes;
	(void)signature;
	(void)key_id;
	return err_set(err, ERR_BROKEN, "nobody signs here");
}

/* ---- tools of agents ---- */

int tool_install(struct environments *environments, const struct tool_spec *spec, struct progress progress, struct err *err)
{
	(void)environments;
	(void)spec;
	(void)progress;
	return err_set(err, ERR_BROKEN, "nobody installs here");
}

json_t *tool_list(struct environments *environments, struct err *err)
{
	(void)environments;
	(void)err;
	return json_array();
}

int tool_remove(struct environments *environments, const char *name, const char *version, struct err *err)
{
	(void)environments;
	(void)name;
	(void)version;
	return err_set(err, ERR_BROKEN, "nobody removes here");
}

/* ---- who is told by webhooks ---- */

static void call_keep(const char *id)
{
	for (int i = 0; i < sim.call_count; i++)
		if (strcmp(sim.calls[i], id) == 0) {
			sim.call_doubles++;
			return;
		}
	if (sim.call_count == CALLS_MAX)
		broken("too many calls");
	(void)snprintf(sim.calls[sim.call_count++], sizeof(sim.calls[0]), "%s", id);
}

int http_client_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	const char *id = "";

	if (outside_answers(call->url))
		return outside_call(call, response, err);
	meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(20, "connection refused", err))
		return -1;
	for (size_t i = 0; i < call->header_count; i++)
		if (strcmp(call->headers[i].name, "webhook-id") == 0)
			id = call->headers[i].value;
	*response = (struct http_response){.status = 200, .body = buf_new(64)};
	if (chance(25)) {
		response->status = chance(2) ? STATUS_BUSY : STATUS_BROKEN;
		if (response->status == STATUS_BUSY)
			answer_head(response, "Retry-After", 7);
		return 0;
	}
	call_keep(id);
	note(id);
	return maybe_fails(25, "its answer was lost", err);
}
