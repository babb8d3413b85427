/* Environments, as told by the control plane. */
#include "gateway/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/log.h"
#include "base/scope.h"
#include "gateway/egress/scan_rules.h"
#include "gateway/door.h"
#include "gateway/egress/broker.h"
#include "gateway/egress/mint.h"
#include "gateway/egress/hold.h"
#include "gateway/egress/upstream.h"
#include "gateway/egress/unresolved.h"
#include "gateway/fault.h"
#include "gateway/flow.h"
#include "gateway/shared.h"

#define TOUCH_EVERY_MS 5000
#define DENIAL_EVERY_MS 60000

static const char *const state_names[] = {"starting", "ready", "frozen", "failed", "stopped"};

int64_t worker_wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t worker_now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct env *env_find(struct worker *worker, const char *id)
{
	for (struct env *env = worker->envs; env; env = env->next)
		if (strcmp(env->id, id) == 0)
			return env;
	return NULL;
}

bool env_was(const struct worker *worker, const char *id)
{
	for (size_t i = 0; i < GONE_KEPT; i++)
		if (strcmp(worker->gone[i], id) == 0)
			return true;
	return false;
}

static void names_free(struct name *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < names[i].sandbox_count; k++)
			free(names[i].sandboxes[k]);
		free(names[i].sandboxes);
		free(names[i].name);
	}
	free(names);
}

static void texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

/* What of an environment ENV_PUT replaces. */
static void routes_fini(struct env *env)
{
	names_free(env->names, env->name_count);
	texts_free(env->tools, env->tool_count);
	free(env->preview_service);
	policy_release(env->policy);
	broker_free(env->broker);
	free(env->killed);
	free(env->over_budget);
	json_decref(env->stubs);
}

static int texts_parse(const json_t *list, char ***texts, size_t *count, const char *what, struct err *err)
{
	json_t *text;
	size_t index;

	if (list && (!json_is_array(list) || json_array_size(list) > ENV_REPLICAS_MAX))
		return err_set(err, ERR_INVALID, "`%s` must be a list of at most %d", what, ENV_REPLICAS_MAX);
	*texts = mem_new_array(json_array_size(list) + 1, sizeof(**texts));
	json_array_foreach(list, index, text) {
		if (!json_is_string(text))
			return err_set(err, ERR_INVALID, "`%s` must be strings", what);
		(*texts)[(*count)++] = text_copy(json_string_value(text));
	}
	return 0;
}

/* By the engines' names (data/engine.h). */
static const struct {
	const char *name;
	enum protocol protocol;
} protocols[] = {
	{"postgres", PROTOCOL_POSTGRES}, {"redis", PROTOCOL_REDIS},   {"rabbitmq", PROTOCOL_AMQP},
	{"mysql", PROTOCOL_MYSQL},       {"mariadb", PROTOCOL_MYSQL}, {"nats", PROTOCOL_NATS},
};

static int name_parse(const char *key, const json_t *json, struct name *name, struct err *err)
{
	const char *protocol = json_text(json, "protocol", "");
	const char *sandbox = json_text(json, "sandbox", key);
	int64_t port = json_number(json, "port", 0);

	if (port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "`port` is none");
	name->name = text_copy(key);
	name->port = (uint16_t)port;
	name->away = json_flag(json, "away", false);
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (strcmp(protocol, protocols[i].name) == 0)
			name->protocol = protocols[i].protocol;
	if (texts_parse(json_member(json, "sandboxes"), &name->sandboxes, &name->sandbox_count, "sandboxes", err))
		return -1;
	if (!name->sandbox_count)
		name->sandboxes[name->sandbox_count++] = text_copy(sandbox);
	return 0;
}

static int names_parse(const json_t *json, struct env *env, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json) || json_object_size(json) > ENV_NAMES_MAX)
		return err_set(err, ERR_INVALID, "`names` must be an object of at most %d", ENV_NAMES_MAX);
	env->names = mem_new_array(json_object_size(json), sizeof(*env->names));
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		if (name_parse(key, value, &env->names[env->name_count++], err))
			return err_prefix(err, "names.%s", key);
	return 0;
}

static int stubs_parse(const json_t *json, struct env *env, struct err *err)
{
	char host[HOST_NAME_MAX_BYTES];
	const char *key;
	json_t *value;

	env->stubs = json_object();
	if (json && !json_is_object(json))
		return err_set(err, ERR_INVALID, "`stubs` must be an object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value) {
		if (!host_canonical(view_of(key), host) || !json_is_array(value))
			return err_set(err, ERR_INVALID, "stubs.%s: a host name and a list of rows are expected", key);
		(void)json_object_set(env->stubs, host, value);
	}
	return 0;
}

/* Fills the routes of `env` from the body. */
static int routes_parse(const json_t *body, struct policy *above, struct env *env, struct err *err)
{
	const json_t *preview = json_member(body, "preview");
	int64_t port = json_number(preview, "port", 0);

	if (json_is_object(preview)) {
		const char *service;

		if (json_text_get(preview, "service", &service, err) || port <= 0 || port > 65535)
			return err_set(err, ERR_INVALID, "`preview` needs a service and a port");
		env->preview_service = text_copy(service);
		env->preview_port = (uint16_t)port;
	}
	if (names_parse(json_member(body, "names"), env, err) || stubs_parse(json_member(body, "stubs"), env, err))
		return -1;
	env->killed = text_copy(json_text(body, "killed", NULL));
	env->over_budget = text_copy(json_text(body, "over_budget", NULL));
	if (broker_new(json_member(body, "credentials"), &env->broker, err))
		return -1;
	env->policy = policy_new(json_member(body, "egress"), above, err);
	if (!env->policy)
		return -1;
	return texts_parse(json_member(body, "tools"), &env->tools, &env->tool_count, "tools", err);
}

static struct env *env_new(struct worker *worker, const char *id, const json_t *body)
{
	struct env *env = mem_new(sizeof(*env));

	env->worker = worker;
	(void)snprintf(env->id, sizeof(env->id), "%s", id);
	env->addresses = addresses_new();
	env->log = exchange_log_new(worker->log_writer);
	env->holds = holds_new(env);
	env->run = text_copy(json_text(body, "run", ""));
	env->repository = text_copy(json_text(body, "repository", ""));
	env->agent = text_copy(json_text(body, "agent", ""));
	env->next = worker->envs;
	worker->envs = env;
	for (size_t i = 0; i < GONE_KEPT; i++)
		if (strcmp(worker->gone[i], id) == 0)
			worker->gone[i][0] = '\0';
	return env;
}

struct egress_origin env_origin(const struct env *env, const char *sandbox)
{
	return (struct egress_origin){.env = env->id,
				      .sandbox = sandbox,
				      .agent = env_tool_allowed(env, sandbox) ? env->agent : "",
				      .run = env->run,
				      .repository = env->repository};
}

/* Connections to the outside that the rules do not allow any more end now. */
static void outside_sweep(struct env *env)
{
	struct flow *next;

	for (struct flow *flow = env->flows; flow; flow = next) {
		const struct egress_origin origin = env_origin(env, flow->from);
		struct egress_verdict verdict;

		next = flow->next;
		if (flow->outside && policy_host(env->policy, &origin, flow->to, flow->port, &verdict) == EGRESS_DENY)
			flow_close(flow, "the egress rules changed");
	}
}

void env_policy_under(struct env *env, struct policy *above)
{
	struct policy *under = policy_under(env->policy, above);

	policy_release(env->policy);
	env->policy = under;
	outside_sweep(env);
}

static bool id_valid(const char *id)
{
	size_t length = strlen(id);

	return length > 0 && length < sizeof(((struct env *)0)->id) &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

int env_put(struct worker *worker, const json_t *body, int log_fd, json_t *scan, struct err *err)
{
	struct env fresh = {0};
	struct env *env;
	struct env *below;
	const char *id;
	const char *state;

	if (json_text_get(body, "env", &id, err))
		return -1;
	if (!id_valid(id))
		return err_set(err, ERR_INVALID, "`%s` is no id of an environment", id);
	state = json_text(body, "state", "starting");
	if (routes_parse(body, worker->policy, &fresh, err) || env_state_set(&fresh, state, err)) {
		routes_fini(&fresh);
		return err_prefix(err, "environment %s", id);
	}
	env = env_find(worker, id);
	if (!env)
		env = env_new(worker, id, body);
	routes_fini(env);
	(void)snprintf(env->below, sizeof(env->below), "%s", json_text(body, "below", ""));
	below = shared_below(env);
	if (below)
		shared_baseline_begin(below);
	env->names = fresh.names;
	env->name_count = fresh.name_count;
	env->preview_service = fresh.preview_service;
	env->preview_port = fresh.preview_port;
	env->policy = fresh.policy;
	env->broker = fresh.broker;
	env->killed = fresh.killed;
	env->over_budget = fresh.over_budget;
	env->stubs = fresh.stubs;
	env->tools = fresh.tools;
	env->tool_count = fresh.tool_count;
	scan_env_describe(env, json_incref(scan));
	if (log_fd >= 0)
		exchange_log_file_set(env->log, log_fd);
	for (size_t i = 0; i < env->name_count; i++) /* a program may remember them from before a restart of ours */
		(void)address_of_own(env->addresses, env->names[i].name);
	door_names_changed(env);
	if (env->killed)
		env_kill(env, "killed");
	outside_sweep(env);
	return holds_remember(env->holds, json_member(body, "remembered"), err) ? -1 : env_state_set(env, state, err);
}

int env_state_set(struct env *env, const char *state, struct err *err)
{
	for (unsigned i = 0; i < ARRAY_LEN(state_names); i++) {
		if (strcmp(state_names[i], state) != 0)
			continue;
		env->state = (enum env_state)i;
		if (env->state != ENV_FROZEN)
			env->thaw_asked = false;
		return 0;
	}
	return err_set(err, ERR_INVALID, "`%s` is no state of an environment", state);
}

/* Has the kernel still bytes to send to the outside? */
static bool flow_sends(const struct flow *flow)
{
	int fd = flow->legs[SIDE_SERVER].fd;
	int bytes = 0;

	return fd >= 0 && (ioctl(fd, SIOCOUTQ, &bytes) || bytes > 0);
}

/* What was written before and is still on its way out. A flow that another's end ended is there until the end of the turn. */
static void sending_drop(struct env *env, const char *why)
{
	AUTO_FREE struct flow **sending = mem_new_array(env->flow_count + 1, sizeof(struct flow *));
	size_t count = 0;

	for (struct flow *flow = env->flows; flow && count < env->flow_count; flow = flow->next)
		if (flow_sends(flow))
			sending[count++] = flow;
	for (size_t i = 0; i < count; i++)
		flow_close(sending[i], why);
}

void env_kill(struct env *env, const char *why)
{
	while (env->flows)
		flow_close(env->flows, why);
}

void env_kill_set(struct env *env, const char *because)
{
	free(env->killed);
	env->killed = text_copy(because);
	if (!because)
		return;
	holds_deny(env->holds, "kill", "a person stopped everything of this environment");
	sending_drop(env, "killed");
	upstreams_forget(env);
}

static void env_free(void *self)
{
	struct env *env = self;

	routes_fini(env);
	free(env->run);
	free(env->repository);
	free(env->agent);
	holds_free(env->holds);
	faults_free(env->faults);
	scan_env_free(env);
	unresolved_free(env);
	addresses_free(env->addresses);
	exchange_log_release(env->log);
	free(env->phase);
	free(env);
}

void env_remove(struct env *env)
{
	struct worker *worker = env->worker;
	struct env **place = &worker->envs;

	env->gone = true;
	mint_env_forget(worker->mint, env->id);
	env_kill(env, "the environment is gone");
	upstreams_forget(env);
	holds_deny(env->holds, "gone", "the environment is gone");
	while (env->doors)
		door_free(env->doors);
	while (*place != env)
		place = &(*place)->next;
	*place = env->next;
	memcpy(worker->gone[worker->gone_next], env->id, sizeof(env->id));
	worker->gone_next = (worker->gone_next + 1) % GONE_KEPT;
	loop_defer(worker->loop, env_free, env);
}

uint64_t env_in_flight(struct env *env, uint64_t *ended, uint64_t *unwritten)
{
	uint64_t written;

	exchange_log_counts(env->log, unwritten, &written);
	*ended = written + *unwritten;
	if (!env->in_flight && *unwritten)
		exchange_log_hurry(env->log);
	return env->in_flight;
}

struct name *env_name(struct env *env, const char *name)
{
	for (size_t i = 0; i < env->name_count; i++)
		if (strcmp(env->names[i].name, name) == 0)
			return &env->names[i];
	return NULL;
}

struct name *env_name_of_host(struct env *env, const char *host)
{
	struct view text = view_of(host);
	char bare[HOST_NAME_MAX_BYTES];

	if (view_ends(text, VIEW(ENV_SEARCH_SUFFIX)))
		text.length -= sizeof(ENV_SEARCH_SUFFIX) - 1;
	if (!text.length || text.length >= sizeof(bare))
		return NULL;
	memcpy(bare, text.at, text.length);
	bare[text.length] = '\0';
	return env_name(env, bare);
}

const json_t *env_stub(const struct env *env, const char *host)
{
	return json_member(env->stubs, host);
}

bool env_tool_allowed(const struct env *env, const char *sandbox)
{
	for (size_t i = 0; i < env->tool_count; i++)
		if (strcmp(env->tools[i], sandbox) == 0)
			return true;
	return false;
}

void env_touch(struct env *env)
{
	int64_t now = loop_now_ms(env->worker->loop);
	AUTO_JSON body = NULL;

	if (env->touched_ms && now - env->touched_ms < TOUCH_EVERY_MS)
		return;
	env->touched_ms = now;
	body = json_pack("{s:s}", "env", env->id);
	link_notify(env->worker->link, MESSAGE_TOUCH, body);
}

void env_denied(struct env *env, const char *sandbox, const char *host, uint16_t port, const char *why)
{
	AUTO_FREE char *key = text_format("%s %s %u %s", sandbox, host, port, why);
	uint64_t hash = view_hash(view_of(key));
	struct denial *place = &env->denials[hash % DENIALS_KEPT];
	int64_t now = loop_now_ms(env->worker->loop);
	AUTO_JSON body = NULL;

	if (place->told_ms && now - place->told_ms < (place->hash == hash ? DENIAL_EVERY_MS : 100))
		return;
	*place = (struct denial){hash, now};
	body = json_pack("{s:s,s:s,s:s,s:i,s:s}", "env", env->id, "sandbox", sandbox, "host", host, "port", (int)port, "why", why);
	log_info("denied: env=%s sandbox=%s %s:%u: %s", env->id, sandbox, host, port, why);
	link_notify(env->worker->link, MESSAGE_DENIED, body);
}

void env_propagation(struct env *env, const char *sandbox, const char *to, const char *why)
{
	AUTO_FREE char *key = text_format("%s %s %s", sandbox, to, why);
	uint64_t hash = view_hash(view_of(key));
	struct denial *place = &env->denials[hash % DENIALS_KEPT];
	int64_t now = loop_now_ms(env->worker->loop);
	AUTO_JSON body = NULL;

	if (place->told_ms && place->hash == hash && now - place->told_ms < DENIAL_EVERY_MS)
		return;
	*place = (struct denial){hash, now};
	body = json_pack("{s:s,s:s,s:s,s:s}", "env", env->id, "sandbox", sandbox, "to", to, "why", why);
	link_notify(env->worker->link, MESSAGE_PROPAGATION, body);
}

void env_exchange_begin(struct env *env, struct exchange *exchange, const char *from, const char *to, const char *proto)
{
	*exchange = (struct exchange){.seq = ++env->seq, .t0_ms = worker_wall_ms()};
	exchange->from = text_copy(from);
	exchange->to = text_copy(to);
	exchange->proto = text_copy(proto);
	exchange->phase = text_copy(env->phase);
}
