/* What the gateway is told of environments and members (net/messages.h), and what it says back. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "blueprint/egress.h"
#include "net/link.h"
#include "sandbox/environment_priv.h"

#define CALL_LIMIT_MS 5000
#define SCAN_BYTES_MAX ((size_t)8 << 20)
#define STUB_BYTES_MAX ((size_t)1 << 20)

/* Calls with the link that is current; *absent when there is none. */
static json_t *call(struct environments *all, uint16_t name, const json_t *body, const int *fds, size_t fd_count,
		    int64_t timeout_ms, bool *absent, struct err *err)
{
	json_t *answer = NULL;

	(void)pthread_rwlock_rdlock(&all->gateway_lock);
	*absent = !all->gateway;
	if (all->gateway)
		answer = link_call(all->gateway, name, body, fds, fd_count, timeout_ms, err);
	(void)pthread_rwlock_unlock(&all->gateway_lock);
	return answer;
}

static bool is_governed(struct environments *all)
{
	return __atomic_load_n(&all->governed, __ATOMIC_RELAXED);
}

static bool has_ended(struct environments *all)
{
	bool ended;

	(void)pthread_rwlock_rdlock(&all->gateway_lock);
	ended = !all->gateway || link_is_over(all->gateway);
	(void)pthread_rwlock_unlock(&all->gateway_lock);
	return ended;
}

/* Of what the next gateway is told anyway: who is not there, or has just ended, need not hear it. */
static int tell(struct environments *all, uint16_t name, const json_t *body, const int *fds, size_t fd_count, struct err *err)
{
	bool absent;
	AUTO_JSON answer = call(all, name, body, fds, fd_count, CALL_LIMIT_MS, &absent, err);

	if (absent || answer || has_ended(all))
		return 0;
	return err_prefix(err, "gateway");
}

json_t *environments_gateway_call(struct environments *environments, uint16_t name, const json_t *body, int64_t timeout_ms,
				  struct err *err)
{
	return environments_gateway_call_fd(environments, name, body, -1, timeout_ms, err);
}

json_t *environments_gateway_call_fd(struct environments *environments, uint16_t name, const json_t *body, int fd,
				     int64_t timeout_ms, struct err *err)
{
	bool absent;
	json_t *answer = call(environments, name, body, &fd, fd >= 0, timeout_ms, &absent, err);

	if (absent)
		(void)err_set(err, ERR_RETRY, "the gateway does not run just now");
	return answer;
}

static void notify(struct environments *all, uint16_t name, const json_t *body)
{
	(void)pthread_rwlock_rdlock(&all->gateway_lock);
	if (all->gateway)
		link_notify(all->gateway, name, body);
	(void)pthread_rwlock_unlock(&all->gateway_lock);
}

static json_t *names_json(struct environment *env)
{
	json_t *names = json_object();

	for (size_t i = 0; i < env->member_count; i++) {
		const struct member *member = &env->members[i];
		json_t *name;

		if (!member->port ||
		    (member->kind == MEMBER_DATABASE && member->target.ops->restore)) /* nobody connects to a file */
			continue;
		if (member->kind == MEMBER_DATABASE) {
			(void)json_object_set_new(names, member->name,
						  json_pack("{s:s, s:s, s:s, s:i}", "sandbox", member->name, "kind", "database",
							    "protocol", member->target.ops->name, "port", (int)member->port));
			continue;
		}
		name = json_object_get(names, member->service->name);
		if (!name) {
			name = json_pack("{s:s, s:[], s:s, s:i}", "sandbox", member->name, "sandboxes", "kind", "service", "port",
					 (int)member->port);
			(void)json_object_set_new(names, member->service->name, name);
		}
		(void)json_array_append_new(json_object_get(name, "sandboxes"), json_string(member->name));
	}
	shared_names_add(env, names);
	return names;
}

/* The answers of outside hosts come from the commit, never from the work tree: the agent cannot write them. */
static int stubs_json(struct environment *env, json_t *stubs, struct err *err)
{
	for (size_t i = 0; env->blueprint && i < env->blueprint->host_count; i++) {
		const struct host_stub *host = &env->blueprint->hosts[i];
		AUTO_BUF text = buf_new(STUB_BYTES_MAX);
		json_t *rows;

		if (!host->stub)
			continue;
		if (git_file_read(env->repository, &env->commit, host->stub, &text, err))
			return err_prefix(err, "the stub of %s", host->name);
		rows = json_parse(buf_view(&text), err);
		if (!json_is_array(rows)) {
			json_decref(rows);
			return err_set(err, ERR_INVALID, "%s: expected a list of requests and responses", host->stub);
		}
		(void)json_object_set_new(stubs, host->name, rows);
	}
	return 0;
}

static json_t *preview_json(const struct environment *env)
{
	const struct service *service = env->blueprint && env->blueprint->preview.service && !env->no_services
						? blueprint_service_find(env->blueprint, env->blueprint->preview.service)
						: NULL;

	return service ? json_pack("{s:s, s:i}", "service", service->name, "port", (int)service->port) : json_null();
}

/* Whose it is, for rules and questions. */
static void egress_describe(struct environment *env, json_t *body)
{
	const struct environments_egress *egress = &env->all->egress;
	const char *slash = env->repository ? strrchr(env->repository, '/') : NULL;
	struct view name = view_of(slash ? slash + 1 : "");

	if (view_ends(name, VIEW(".git")))
		name.length -= sizeof(".git") - 1;
	json_set_bytes(body, "repository", name);
	(void)json_object_set_new(body, "agent",
				  json_string(env->blueprint && env->blueprint->agent.use ? env->blueprint->agent.use : ""));
	if (egress->describe)
		egress->describe(egress->self, env->id.text, env->owner ? env->owner : "",
				 env->blueprint ? env->blueprint->egress.budget_micro_usd : 0, body);
}

json_t *environment_egress(struct environments *environments, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_JSON body = env ? json_object() : NULL;

	if (!env)
		return NULL;
	egress_describe(env, body);
	return json_pack("{s:o, s:s, s:s, s:s}", "rules",
			 env->blueprint ? egress_rules_json(env->blueprint->egress.rules, env->blueprint->egress.rule_count)
					: json_array(),
			 "repository", json_text(body, "repository", ""), "agent", json_text(body, "agent", ""), "run",
			 env->owner ? env->owner : "");
}

/* The credentials that the blueprint names, bound to this environment: once, and again with each ENV_PUT of another vault or server. */
static int secrets_bind(struct environment *env, struct err *err)
{
	const struct environments_egress *egress = &env->all->egress;
	const struct variables *secrets = env->blueprint && (!env->builder || env->spare) ? &env->blueprint->secrets : NULL;
	AUTO_JSON credentials = json_array();

	for (size_t i = 0; secrets && i < secrets->count; i++) {
		json_t *row;

		if (!egress->secret)
			return err_set(err, ERR_NOT_FOUND, "secrets.%s: there is no vault here", secrets->at[i].name);
		row = egress->secret(egress->self, env->id.text, secrets->at[i].value, err);
		/* Removed since: its placeholder stays known, and nothing is released for it. */
		if (!row && err->kind == ERR_NOT_FOUND && json_array_size(env->credentials) == secrets->count)
			row = json_incref(json_array_get(env->credentials, i));
		if (!row)
			return err_prefix(err, "secrets.%s", secrets->at[i].name);
		(void)json_array_append_new(credentials, row);
	}
	json_decref(env->credentials);
	env->credentials = json_incref(credentials);
	return 0;
}

/* What is looked for in what leaves it, in a file: it may be large, and has secrets in it. *fd stays -1 when the blueprint says nothing of
 * that. gitleaks.toml comes from the commit, as stubs do. */
static int scan_file(const struct environment *env, int *fd, struct err *err)
{
	const char *gitleaks = env->blueprint ? env->blueprint->egress.dlp.gitleaks : NULL;
	AUTO_JSON description = env->blueprint ? blueprint_dlp_json(env->blueprint) : NULL;
	AUTO_BUF toml = buf_new(SCAN_BYTES_MAX);
	AUTO_BUF text = buf_new(SCAN_BYTES_MAX);

	if (gitleaks && (git_file_read(env->repository, &env->commit, gitleaks, &toml, err) || buf_finish(&toml, err) ||
			 dlp_gitleaks_put(description, buf_view(&toml), gitleaks, err)))
		return err_prefix(err, "egress.dlp");
	if (!json_object_size(description))
		return 0;
	json_format(&text, description);
	if (!buf_finish(&text, err))
		*fd = file_anonymous(buf_view(&text), err);
	explicit_bzero(text.at, text.length);
	return *fd < 0 ? -1 : 0;
}

/* Which links to its preview are taken back. */
static void links_set(struct environment *env, json_t *body)
{
	(void)pthread_mutex_lock(&env->mutex);
	if (env->links)
		(void)json_object_set_new(body, "links", json_deep_copy(env->links));
	(void)pthread_mutex_unlock(&env->mutex);
}

int gateway_links(struct environment *env, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s}", "env", env->id.text);

	links_set(env, body);
	return tell(env->all, MESSAGE_LINKS, body, NULL, 0, err);
}

int gateway_env_put(struct environment *env, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/exchanges.jsonl", env->dir);
	AUTO_CLOSE int log = -1;
	AUTO_CLOSE int scan = -1;
	AUTO_JSON body = json_object();
	json_t *stubs = json_object();
	bool present;

	(void)pthread_rwlock_rdlock(&env->all->gateway_lock);
	present = env->all->gateway;
	(void)pthread_rwlock_unlock(&env->all->gateway_lock);
	(void)json_object_set_new(body, "stubs", stubs);
	if (!present)
		return 0;
	if (stubs_json(env, stubs, err) || secrets_bind(env, err) || scan_file(env, &scan, err))
		return -1;
	(void)json_object_set(body, "credentials", env->credentials);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (log < 0)
		return err_set(err, ERR_BROKEN, "cannot open %s", path);
	(void)json_object_set_new(body, "env", json_string(env->id.text));
	(void)json_object_set_new(body, "names", names_json(env));
	(void)json_object_set_new(body, "below", json_string(env->below.text));
	(void)json_object_set_new(body, "preview", preview_json(env));
	(void)json_object_set_new(
		body, "egress",
		env->blueprint ? egress_rules_json(env->blueprint->egress.rules, env->blueprint->egress.rule_count) : json_array());
	(void)json_object_set_new(body, "state", json_string(environment_state_name(environment_state_of(env))));
	(void)json_object_set_new(body, "tools", env->builder && !env->spare ? json_array() : json_pack("[s]", WORKSPACE_MEMBER));
	links_set(env, body);
	egress_describe(env, body);
	return tell(env->all, MESSAGE_ENV_PUT, body, (int[]){log, scan}, scan < 0 ? 1 : 2, err);
}

int gateway_member_put(struct environment *env, const struct member *member, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s, s:s}", "env", env->id.text, "sandbox", member->name);
	AUTO_CLOSE int door = -1;
	bool present;

	(void)pthread_rwlock_rdlock(&env->all->gateway_lock);
	present = env->all->gateway;
	(void)pthread_rwlock_unlock(&env->all->gateway_lock);
	if (!present)
		return 0;
	if (provider_sandbox_door(env->all->provider, env->id, member->name, &door, err))
		return err_prefix(err, "%s", member->name);
	return tell(env->all, MESSAGE_SANDBOX_PUT, body, &door, 1, err);
}

void gateway_member_gone(struct environment *env, const struct member *member)
{
	AUTO_JSON body = json_pack("{s:s, s:s}", "env", env->id.text, "sandbox", member->name);

	notify(env->all, MESSAGE_SANDBOX_GONE, body);
}

void gateway_env_state(struct environment *env, enum environment_state state)
{
	AUTO_JSON body = json_pack("{s:s, s:s}", "env", env->id.text, "state", environment_state_name(state));

	notify(env->all, MESSAGE_ENV_STATE, body);
}

void gateway_env_gone(struct environment *env)
{
	AUTO_JSON body = json_pack("{s:s}", "env", env->id.text);

	notify(env->all, MESSAGE_ENV_GONE, body);
	if (env->all->egress.secrets_end && json_array_size(env->credentials))
		env->all->egress.secrets_end(env->all->egress.self, env->id.text);
}

int gateway_calls(struct environment *env, struct calls *calls, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s}", "env", env->id.text);
	bool absent;
	AUTO_JSON answer = call(env->all, MESSAGE_QUIET, body, NULL, 0, CALL_LIMIT_MS, &absent, err);

	*calls = (struct calls){json_number(answer, "in_flight", 0), json_number(answer, "ended", 0),
				json_number(answer, "unwritten", 0)};
	if (absent && is_governed(env->all))
		return err_set(err, ERR_RETRY, "the gateway does not run just now");
	return absent || answer ? 0 : err_prefix(err, "gateway");
}

json_t *environment_fault(struct environments *environments, struct env_id id, const json_t *fault, struct err *err)
{
	AUTO_JSON body = json_copy((json_t *)(uintptr_t)fault);
	AUTO_JSON answer = NULL;

	json_set_bytes(body, "env", view_of(id.text));
	answer = environments_gateway_call(environments, MESSAGE_FAULT, body, CALL_LIMIT_MS, err);
	return answer ? json_incref(json_member(answer, "items")) : NULL;
}

int environment_phase(struct environments *environments, struct env_id id, const char *phase, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s, s:s}", "env", id.text, "phase", phase);

	bool absent;
	AUTO_JSON answer = call(environments, MESSAGE_PHASE, body, NULL, 0, CALL_LIMIT_MS, &absent, err);

	if (absent && is_governed(environments)) /* nobody would note whose exchanges they are */
		return err_set(err, ERR_RETRY, "the gateway does not run just now");
	return absent || answer ? 0 : err_prefix(err, "gateway");
}

int environment_secrets(struct environments *environments, struct env_id id, bool bound, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	int result = 0;

	if (!env || environment_lock(env, err))
		return -1;
	if (bound)
		result = gateway_env_put(env, err);
	else if (environments->egress.secrets_end && json_array_size(env->credentials))
		environments->egress.secrets_end(environments->egress.self, env->id.text);
	environment_unlock(env);
	return result;
}

/* Everything the gateway must know of one environment. */
static int resend(struct environment *env, struct err *err)
{
	if (gateway_env_put(env, err))
		return -1;
	for (size_t i = 0; i < env->member_count; i++) {
		bool made;

		(void)pthread_mutex_lock(&env->mutex);
		made = env->members[i].made;
		(void)pthread_mutex_unlock(&env->mutex);
		if (made && gateway_member_put(env, &env->members[i], err))
			return -1;
	}
	return 0;
}

int environments_gateway_reset(struct environments *environments, struct link *gateway, struct err *err)
{
	struct environment **list;
	size_t count = 0;
	int result = 0;

	(void)pthread_rwlock_wrlock(&environments->gateway_lock);
	environments->gateway = gateway;
	if (gateway)
		__atomic_store_n(&environments->governed, true, __ATOMIC_RELAXED);
	(void)pthread_rwlock_unlock(&environments->gateway_lock);
	list = environments_take_all(environments, &count);
	for (size_t i = 0; i < count; i++) {
		struct err problem = {0};

		if (gateway && !environment_leaves(list[i]) && resend(list[i], &problem) && result == 0) {
			if (err)
				*err = problem;
			result = -1;
		}
		environment_release(list[i]);
	}
	free(list);
	return result;
}

static int thaw(struct environments *environments, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);

	return !env || environment_awake(env, err) ? -1 : 0;
}

static int denied(struct environments *environments, struct env_id id, const json_t *body, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct member *member = env ? member_find(env, json_text(body, "sandbox", "")) : NULL;

	if (!env)
		return -1;
	if (member && member->log)
		log_say(member->log, "refused: %.200s:%lld: %.200s", json_text(body, "host", "?"),
			(long long)json_number(body, "port", 0), json_text(body, "why", ""));
	return 0;
}

int environment_faults_clear(struct environments *environments, struct env_id id, int *count, struct err *err)
{
	AUTO_JSON ask = json_pack("{s:s, s:s}", "env", id.text, "kind", "list");
	AUTO_JSON there = environments_gateway_call(environments, MESSAGE_FAULT, ask, CALL_LIMIT_MS, err);
	AUTO_JSON cleared = NULL;

	*count = (int)json_array_size(json_member(there, "items"));
	if (!there || !*count)
		return there ? 0 : -1;
	(void)json_object_set_new(ask, "kind", json_string("clear"));
	cleared = environments_gateway_call(environments, MESSAGE_FAULT, ask, CALL_LIMIT_MS, err);
	return cleared ? 0 : -1;
}

int environments_gateway_message(struct environments *environments, uint16_t name, const json_t *body, struct err *err)
{
	const struct environments_egress *egress = &environments->egress;
	struct env_id id;

	if (env_id_parse(view_of(json_text(body, "env", "")), &id, err))
		return -1;
	if (egress->message &&
	    (name == MESSAGE_HOLD || name == MESSAGE_HOLD_GONE || name == MESSAGE_USAGE || name == MESSAGE_MODEL))
		return egress->message(egress->self, name, body, err);
	if (name == MESSAGE_THAW)
		return thaw(environments, id, err);
	if (name == MESSAGE_PROPAGATION)
		return shared_note(environments, id, body, err);
	if (name == MESSAGE_DENIED)
		return denied(environments, id, body, err);
	if (name == MESSAGE_TOUCH) {
		AUTO_ENVIRONMENT env = environment_take(environments, id, err);

		if (!env)
			return -1;
		environment_touched(env);
		return 0;
	}
	return err_set(err, ERR_INVALID, "the gateway sends no message %u", (unsigned)name);
}
