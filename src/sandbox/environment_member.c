/* Rooms: the sandboxes of an environment and the one program that each is for. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/environment_priv.h"

#define PROBE_LIMIT_MS 2000
#define PROBE_EXEC_LIMIT_MS 5000
#define PROBE_DRAIN_MAX ((size_t)1 << 20)
#define PROBE_SILENCE_MS 100 /* of one that does not close: it has said what it says */
#define PROBE_REPLY_MAX ((size_t)4096)
#define GROUND_LOOK_MS 2000 /* how often, while it is waited for, whether what it needs is still there */
#define PROBE_PAUSE_FIRST_US 2000
#define PROBE_PAUSE_LAST_US 50000
#define PROBE_GROWTH_PERCENT 110 /* so that a tenth of the time that a start takes may be waited too long */
#define QUOTE_LOOKS 10
#define QUOTE_PAUSE_US 30000
#define QUOTED_LINES 4
#define QUOTED_MAX 260
#define DATABASE_MEMORY ((int64_t)1 << 30)

static struct member *member_add(struct environment *env, const char *name, enum member_kind kind, struct err *err)
{
	struct member *member;

	if (strlen(name) > SANDBOX_NAME_MAX) {
		(void)err_set(err, ERR_LIMIT, "the name `%s` is longer than %d characters", name, SANDBOX_NAME_MAX);
		return NULL;
	}
	env->members = mem_grow(env->members, env->member_count + 1, sizeof(*env->members));
	member = &env->members[env->member_count++];
	memset(member, 0, sizeof(*member));
	member->asked_fd = -1;
	(void)snprintf(member->name, sizeof(member->name), "%s", name);
	(void)snprintf(member->volume, sizeof(member->volume), "%s", WORK_VOLUME);
	member->kind = kind;
	return member;
}

static int database_plan(struct environment *env, const struct database *database, struct err *err)
{
	struct member *member = member_add(env, database->name, MEMBER_DATABASE, err);

	if (!member || engine_target_init(&member->target, database, err))
		return -1;
	(void)snprintf(member->volume, sizeof(member->volume), "data-%.*s", SANDBOX_NAME_MAX - 5, database->name);
	member->port = member->target.ops->port;
	if (database->path)
		(void)snprintf(member->folder, sizeof(member->folder), "%.*s", (int)(strrchr(database->path, '/') - database->path),
			       database->path);
	return 0;
}

static int service_plan(struct environment *env, const struct service *service, struct err *err)
{
	for (int replica = 1; replica <= (service->replicas > 1 ? service->replicas : 1); replica++) {
		AUTO_FREE char *name = replica == 1 ? text_copy(service->name) : text_format("%s-%d", service->name, replica);
		struct member *member = member_add(env, name, service->port ? MEMBER_SERVICE : MEMBER_WORKER, err);

		if (!member)
			return -1;
		member->service = service;
		member->port = service->port;
	}
	return 0;
}

int members_plan(struct environment *env, struct err *err)
{
	const struct blueprint *blueprint = env->blueprint;

	if (!member_add(env, WORKSPACE_MEMBER, MEMBER_WORKSPACE, err))
		return -1;
	for (size_t i = 0; blueprint && i < blueprint->database_count; i++)
		if (database_plan(env, &blueprint->databases[i], err))
			return -1;
	for (size_t i = 0; blueprint && !env->no_services && i < blueprint->service_count; i++)
		if (environment_owns(env, blueprint->services[i].name) && service_plan(env, &blueprint->services[i], err))
			return -1;
	for (size_t i = 0; i < env->member_count; i++)
		for (size_t other = 0; other < i; other++)
			if (strcmp(env->members[i].name, env->members[other].name) == 0)
				return err_set(err, ERR_INVALID, "two sandboxes would be called `%s`", env->members[i].name);
	return 0;
}

struct member *member_find(struct environment *env, const char *name)
{
	for (size_t i = 0; i < env->member_count; i++)
		if (strcmp(env->members[i].name, name) == 0)
			return &env->members[i];
	return NULL;
}

static struct limits member_limits(const struct environment *env, const struct member *member)
{
	const struct resource_limits *from = NULL;

	if (member->service)
		from = &member->service->limits;
	else if (member->kind == MEMBER_WORKSPACE && env->blueprint)
		from = &env->blueprint->workspace.limits;
	if (member->kind == MEMBER_DATABASE)
		return (struct limits){.memory_bytes = DATABASE_MEMORY};
	return from ? (struct limits){from->memory_bytes, from->cpu_percent, from->pids} : (struct limits){0};
}

bool environment_has_tool(struct environment *env)
{
	bool has;

	(void)pthread_mutex_lock(&env->mutex);
	has = json_object_get(env->layers, TOOL_VOLUME) != NULL;
	(void)pthread_mutex_unlock(&env->mutex);
	return has;
}

bool member_has_file(const struct member *member, const struct member *database)
{
	if (database->kind != MEMBER_DATABASE || !database->target.ops->restore)
		return false;
	for (size_t i = 0; member->service && i < member->service->needs.count; i++)
		if (strcmp(member->service->needs.at[i], database->name) == 0)
			return true;
	return member->kind == MEMBER_WORKSPACE;
}

/* The folders of databases that are files; of one that is not made in a builder there is nothing to see. */
static int files_mount(const struct environment *env, const struct member *member, struct sandbox_spec *spec, struct err *err)
{
	if (member->fresh[0])
		spec->mounts[spec->mount_count++] = (struct mount_spec){member->fresh, FRESH_PATH, true};
	for (size_t i = 0; i < env->member_count; i++) {
		const struct member *database = &env->members[i];

		if (!database->made || !member_has_file(member, database))
			continue;
		if (spec->mount_count + 1 >= SANDBOX_MOUNTS_MAX) /* one is for tools */
			return err_set(err, ERR_LIMIT, "%s: more than %d databases that are files", member->name,
				       SANDBOX_MOUNTS_MAX - 2);
		spec->mounts[spec->mount_count++] = (struct mount_spec){database->volume, database->folder, false};
	}
	return 0;
}

int member_make(struct environment *env, struct member *member, struct err *err)
{
	AUTO_FREE char *log_dir = text_format("%s/log", env->dir);
	AUTO_BUF authority = buf_new(SANDBOX_AUTHORITY_MAX);
	char hash[SANDBOX_AUTHORITY_HASH_MAX];
	AUTO_JSON image = NULL;
	struct sandbox_spec spec = {
		.env = env->id,
		.name = member->name,
		.mounts = {{member->volume, member->kind == MEMBER_DATABASE ? ENGINE_DATA_PATH : WORKSPACE_PATH, false}},
		.mount_count = 1,
		.limits = member_limits(env, member),
	};

	if (member->kind != MEMBER_DATABASE && env->all->authority) {
		if (env->all->authority(env->all->self, env->id.text, &authority, hash, err))
			return -1;
		spec.authority = authority.at;
		spec.authority_hash = hash;
	}
	if (files_mount(env, member, &spec, err))
		return -1;
	if (member->kind == MEMBER_WORKSPACE && environment_has_tool(env))
		spec.mounts[spec.mount_count++] = (struct mount_spec){TOOL_VOLUME, TOOL_PATH, true};

	if (!member->log) {
		member->log = log_open(env->all->pump, log_dir, member->name, err);
		if (!member->log)
			return -1;
	}
	if (member_image_load(env, member, err))
		return err_prefix(err, "%s", member->name);
	image = member_image(env, member);
	spec.image = json_text(image, "image", member->service ? member->service->image : NULL);
	if (provider_sandbox_make(env->all->provider, &spec, err))
		return err_prefix(err, "%s", member->name);
	(void)pthread_mutex_lock(&env->mutex);
	member->made = true;
	member->running = false;
	member->has_exit = false;
	member->state = member->kind == MEMBER_WORKSPACE ? MEMBER_RUNNING : MEMBER_STARTING;
	(void)pthread_mutex_unlock(&env->mutex);
	return gateway_member_put(env, member, err);
}

void member_unmake(struct environment *env, struct member *member)
{
	struct err err = {0};
	bool made;

	(void)pthread_mutex_lock(&env->mutex);
	made = member->made;
	member->made = false;
	member->running = false;
	member->state = MEMBER_ABSENT;
	member->restart_at_ms = 0;
	(void)pthread_mutex_unlock(&env->mutex);
	if (!made)
		return;
	gateway_member_gone(env, member);
	if (provider_sandbox_remove(env->all->provider, env->id, member->name, &err))
		log_warn("env=%s sandbox=%s cannot remove it: %s", env->id.text, member->name, err.text);
}

void members_forget(struct environment *env)
{
	(void)pthread_mutex_lock(&env->mutex);
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];

		member->made = false;
		member->running = false;
		member->state = MEMBER_ABSENT;
		member->crashes = 0;
		member->restart_at_ms = 0;
	}
	(void)pthread_mutex_unlock(&env->mutex);
}

bool command_is_set(const struct command *command)
{
	return command->shell || (command->argv && command->argv[0]);
}

const char *const *command_argv(const struct command *command, const char **held)
{
	if (!command->shell)
		return (const char *const *)command->argv;
	held[0] = "sh";
	held[1] = "-c";
	held[2] = command->shell;
	held[3] = NULL;
	return held;
}

int member_start_argv(struct environment *env, struct member *member, const char *const *argv, const char *dir, const char *user,
		      struct err *err)
{
	struct clock_variables *dated = clock_variables_new(env, member);
	char **variables = member_variables(env, member, &dated->list);
	struct program_spec spec = {
		.argv = argv, .env = (const char *const *)variables, .dir = dir, .user = user, .fds = {-1, -1, -1}};
	AUTO_CLOSE int output = -1;
	uint32_t process = 0;
	int result = -1;

	if (user)
		variables_drop_account(variables);
	if (log_pipe(member->log, &output, err) == 0) {
		spec.fds[1] = spec.fds[2] = output;
		result = provider_program_start(env->all->provider, env->id, member->name, &spec, &process, err);
	}
	variables_free(variables);
	clock_variables_free(dated);
	if (result)
		return err_prefix(err, "%s", member->name);
	(void)pthread_mutex_lock(&env->mutex);
	member->process = process;
	member->running = true;
	member->has_exit = false;
	member->state = MEMBER_STARTING;
	member->restart_at_ms = 0;
	member->started_ms = elapsed_ms(env->all);
	(void)pthread_mutex_unlock(&env->mutex);
	return 0;
}

int member_start(struct environment *env, struct member *member, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};

	if (member->kind != MEMBER_DATABASE)
		return member_start_service(env, member, err);
	member->target.ops->serve(&member->target, false, &program);
	return member_start_argv(env, member, engine_program_argv(&program), "/", NULL, err);
}

bool member_ended(struct environment *env, struct member *member)
{
	struct exit_status status;
	struct err err = {0};
	uint32_t process;
	bool running;

	(void)pthread_mutex_lock(&env->mutex);
	running = member->running;
	process = member->process;
	(void)pthread_mutex_unlock(&env->mutex);
	if (!running)
		return true;
	if (provider_program_wait(env->all->provider, env->id, member->name, process, 0, &status, &err)) {
		if (err.kind == ERR_RETRY)
			return false;
		/* The provider knows no such program or is gone: so is the member. */
		status = (struct exit_status){EXIT_GONE, 0};
	}
	(void)pthread_mutex_lock(&env->mutex);
	if (member->running && member->process == process) {
		member->running = false;
		member->has_exit = true;
		member->exit = status;
		member->state = MEMBER_EXITED;
		member->destroyed = member->destroyed || status.reason == EXIT_GONE;
	}
	(void)pthread_mutex_unlock(&env->mutex);
	return true;
}

void member_stop(struct environment *env, struct member *member, int signal_number, int64_t grace_ms)
{
	const struct provider provider = env->all->provider;
	struct exit_status status = {EXIT_GONE, 0};
	uint32_t process;
	bool running;

	(void)pthread_mutex_lock(&env->mutex);
	running = member->running;
	process = member->process;
	member->restart_at_ms = 0;
	(void)pthread_mutex_unlock(&env->mutex);
	if (!running)
		return;
	if (provider_program_signal(provider, env->id, member->name, process, signal_number, NULL) ||
	    provider_program_wait(provider, env->id, member->name, process, grace_ms, &status, NULL)) {
		(void)!provider_program_signal(provider, env->id, member->name, process, SIGKILL, NULL);
		if (provider_program_wait(provider, env->id, member->name, process, STOP_GRACE_MS, &status, NULL))
			status = (struct exit_status){EXIT_GONE, 0};
	}
	(void)pthread_mutex_lock(&env->mutex);
	member->running = false;
	member->has_exit = true;
	member->exit = status;
	member->state = MEMBER_EXITED;
	(void)pthread_mutex_unlock(&env->mutex);
}

int64_t member_ready_limit_ms(const struct member *member, int64_t usual_ms)
{
	int64_t own = member->kind == MEMBER_DATABASE ? member->target.ops->ready_limit_ms : 0;

	if (member->service && member->service->ready_timeout_ms)
		return member->service->ready_timeout_ms;
	return own > usual_ms ? own : usual_ms;
}

static int port_connect(struct environment *env, const struct member *member, uint16_t port, int64_t limit_ms, int *fd,
			struct err *err)
{
	int64_t deadline_ms = elapsed_ms(env->all) + limit_ms;

	for (;;) {
		struct err problem = {0};

		if (provider_sandbox_dial(env->all->provider, env->id, member->name, port, fd, &problem) == 0)
			return 0;
		if (problem.kind != ERR_RETRY || elapsed_ms(env->all) >= deadline_ms) {
			if (err)
				*err = problem;
			return err_prefix(err, "%s", member->name);
		}
		(void)usleep(PROBE_PAUSE_FIRST_US);
	}
}

int member_connect(struct environment *env, const struct member *member, int64_t limit_ms, int *fd, struct err *err)
{
	return port_connect(env, member, member->port, limit_ms, fd, err);
}

int member_ask(struct environment *env, const struct member *member, int64_t limit_ms, int *fd, struct err *err)
{
	uint16_t own = member->target.ops->ask_port;

	return port_connect(env, member, own ? own : member->port, limit_ms, fd, err);
}

/* Reads the rest of an answer: a connection that is closed with bytes in it is reset, and a program that still writes to it says so in its
 * log, where it is taken for an error of its own. */
static void answer_drain(int fd)
{
	struct pollfd waiting = {fd, POLLIN, 0};
	char rest[4096];
	size_t drained = 0;

	while (drained < PROBE_DRAIN_MAX && poll(&waiting, 1, PROBE_SILENCE_MS) > 0) {
		ssize_t got = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);

		if (got <= 0)
			return;
		drained += (size_t)got;
	}
}

/* GET over the socket; 2xx and 3xx are ready. */
static int probe_http(const struct member *member, int fd, struct err *err)
{
	AUTO_BUF request = buf_new(4096);
	char reply[64];
	size_t length = 0;
	int64_t deadline_ms = world_elapsed_ms(world_real) + PROBE_LIMIT_MS;
	struct pollfd waiting = {fd, POLLIN, 0};

	buf_add_format(&request, "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: assay\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		       member->service->ready_target ? member->service->ready_target : "/", member->service->name,
		       (unsigned)member->port);
	if (buf_finish(&request, err))
		return -1;
	if (send(fd, request.at, request.length, MSG_NOSIGNAL) < (ssize_t)request.length)
		return err_set(err, ERR_RETRY, "it closed the connection");
	while (length < 12) {
		int64_t left_ms = deadline_ms - world_elapsed_ms(world_real);
		ssize_t got;

		if (left_ms <= 0 || poll(&waiting, 1, (int)left_ms) == 0)
			return err_set(err, ERR_RETRY, "no answer to GET %s in %d ms", member->service->ready_target,
				       PROBE_LIMIT_MS);
		got = recv(fd, reply + length, sizeof(reply) - 1 - length, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return err_set(err, ERR_RETRY, "it closed the connection");
		length += (size_t)got;
	}
	reply[length] = '\0';
	answer_drain(fd);
	if (strncmp(reply, "HTTP/1.", 7) != 0 || (reply[9] != '2' && reply[9] != '3'))
		return err_set(err, ERR_RETRY, "GET %s answers %.15s", member->service->ready_target, reply);
	return 0;
}

static int probe_exec(struct environment *env, struct member *member, struct err *err)
{
	AUTO_FREE char *dir = text_format(WORKSPACE_PATH "/%s", member->service->dir ? member->service->dir : ".");
	const char *argv[] = {"sh", "-c", member->service->ready_target, NULL};
	AUTO_BUF output = buf_new(PROBE_REPLY_MAX);
	struct environment_exec exec = {.argv = argv, .dir = dir, .timeout_ms = PROBE_EXEC_LIMIT_MS, .output = &output};
	struct exit_status status;

	if (member_run(env, member, &exec, &status, err) && !output.over)
		return -1;
	if (status.reason != EXIT_CODE || status.code)
		return err_set(err, ERR_RETRY, "`%s` does not succeed", member->service->ready_target);
	return 0;
}

static int probe_socket(struct environment *env, struct member *member, struct err *err)
{
	AUTO_CLOSE int fd = -1;

	if (provider_sandbox_dial(env->all->provider, env->id, member->name, member->port, &fd, err))
		return -1;
	if (member->kind == MEMBER_DATABASE)
		return member->target.ops->ready(&member->target, fd, PROBE_LIMIT_MS, err);
	return member->service->ready == READY_HTTP ? probe_http(member, fd, err) : 0;
}

int member_probe(struct environment *env, struct member *member, struct err *err)
{
	bool port = member->kind == MEMBER_DATABASE || member->service->ready == READY_TCP || member->service->ready == READY_HTTP;
	int result = 0;

	if (member_ended(env, member)) {
		AUTO_BUF text = buf_new(256);

		exit_status_format(&text, member->exit);
		return err_set(err, ERR_BROKEN, "%s ended before it was ready: %s", member->name, text.at ? text.at : "");
	}
	if (port)
		result = probe_socket(env, member, err);
	else if (member->service->ready == READY_EXEC)
		result = probe_exec(env, member, err);
	if (result)
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	if (member->running) {
		member->state = member->kind == MEMBER_WORKER ? MEMBER_RUNNING : MEMBER_READY;
		member->ready_ms = elapsed_ms(env->all) - member->started_ms;
	}
	(void)pthread_mutex_unlock(&env->mutex);
	return 0;
}

int member_wait_ready(struct environment *env, struct member *member, int64_t limit_ms, const bool *cancelled, struct err *err)
{
	int64_t deadline_ms = elapsed_ms(env->all) + limit_ms;
	int64_t look_ms = elapsed_ms(env->all) + GROUND_LOOK_MS;
	useconds_t pause_us = PROBE_PAUSE_FIRST_US;

	for (;;) {
		struct err problem = {0};

		if (member_probe(env, member, &problem) == 0)
			return 0;
		if (environment_going(env) || (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED)))
			return err_set(err, ERR_CANCELLED, "stopped while %s started", member->name);
		if (problem.kind == ERR_RETRY && elapsed_ms(env->all) >= deadline_ms)
			return err_set(err, ERR_LIMIT, "%s was not ready after %lld s: %s", member->name,
				       (long long)(limit_ms / 1000), problem.text);
		if (problem.kind != ERR_RETRY) {
			if (err)
				*err = problem;
			return -1;
		}
		if (elapsed_ms(env->all) >= look_ms) {
			if (environment_ground_lost(env))
				return environment_unstopped(env, err)
					       ? -1
					       : err_set(err, ERR_RETRY, "a sandbox was destroyed while %s started", member->name);
			look_ms = elapsed_ms(env->all) + GROUND_LOOK_MS;
		}
		(void)usleep(pause_us);
		pause_us = pause_us * PROBE_GROWTH_PERCENT / 100;
		pause_us = pause_us < PROBE_PAUSE_LAST_US ? pause_us : PROBE_PAUSE_LAST_US;
	}
}

int member_quote_log(struct environment *env, struct member *member, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/log", env->dir);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	struct view lines;
	size_t before = 0;
	size_t used;

	if (!err)
		return -1;
	/* What the program printed last may still be in the pipe: until nothing more comes. */
	for (int i = 0; i < QUOTE_LOOKS && (!i || text.length != before); i++) {
		before = text.length;
		(void)usleep(QUOTE_PAUSE_US);
		buf_clear(&text);
		if (log_read(dir, member->name, QUOTED_LINES, NULL, &text, NULL))
			return -1;
	}
	if (!text.length)
		return -1;
	lines = view_trim(buf_view(&text));
	if (lines.length > QUOTED_MAX)
		lines = view_make(lines.at + lines.length - QUOTED_MAX, QUOTED_MAX);
	for (size_t i = 0; i < lines.length; i++)
		if (text.at[(size_t)(lines.at - text.at) + i] == '\n')
			text.at[(size_t)(lines.at - text.at) + i] = '|';
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, "; its log ends: %.*s", (int)lines.length, lines.at);
	return -1;
}
