/* Programs that run in a member to their end: for callers, builds, migrations and questions to databases. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/door.h"
#include "net/messages.h"
#include "sandbox/environment_priv.h"

#define SLICE_MS 100     /* how often cancellation is looked at */
#define AFTER_END_MS 200 /* for what a program left in the pipes; its daemons may hold them for ever */
#define PATH_INSIDE "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define QUERY_LIMIT_MS 60000

struct variable_list {
	char **at;
	size_t count;
};

/* A later one of the same name wins. */
static void variable_set(struct variable_list *list, const char *name, const char *value)
{
	size_t length = strlen(name);
	char *text = text_format("%s=%s", name, value);

	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->at[i], name, length) == 0 && list->at[i][length] == '=') {
			free(list->at[i]);
			list->at[i] = text;
			return;
		}
	}
	list->at = mem_grow(list->at, list->count + 2, sizeof(*list->at));
	list->at[list->count++] = text;
	list->at[list->count] = NULL;
}

static void variables_set(struct variable_list *list, const struct variables *more)
{
	for (size_t i = 0; more && i < more->count; i++)
		variable_set(list, more->at[i].name, more->at[i].value);
}

static void image_variables_set(struct variable_list *list, json_t *env)
{
	size_t index;
	json_t *text;

	json_array_foreach(env, index, text) {
		AUTO_FREE char *name = text_copy(json_string_value(text));
		char *value = strchr(name, '=');

		*value++ = '\0';
		variable_set(list, name, value);
	}
}

/* Who a program is, unless an image says another. */
static const char *const account[][2] = {{"HOME", "/home/assay"}, {"USER", "assay"}, {"LOGNAME", "assay"}};

/* Where programs that do not ask the system find the authorities they are to trust (sandbox/local/trust.c). */
#define TRUST_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_JAVA "-Djavax.net.ssl.trustStore=/etc/ssl/certs/assay.jks"
static const char *const trust[][2] = {
	{"SSL_CERT_FILE", TRUST_BUNDLE},                     /* OpenSSL: Python, Ruby, PHP, Perl; Go; rustls */
	{"CURL_CA_BUNDLE", TRUST_BUNDLE},                    /* curl, whatever it was built with */
	{"GIT_SSL_CAINFO", TRUST_BUNDLE},                    /* git */
	{"REQUESTS_CA_BUNDLE", TRUST_BUNDLE},                /* Python's requests, and what is made of it */
	{"PIP_CERT", TRUST_BUNDLE},                          /* pip */
	{"NODE_EXTRA_CA_CERTS", "/etc/ssl/certs/assay.pem"}, /* node, npm and most agents */
	{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", TRUST_BUNDLE},  /* gRPC of C, Python, Ruby */
	{"npm_config_cafile", TRUST_BUNDLE},                 /* npm, yarn */
	{"DENO_CERT", "/etc/ssl/certs/assay.pem"},
	{"CARGO_HTTP_CAINFO", TRUST_BUNDLE},    /* cargo */
	{"AWS_CA_BUNDLE", TRUST_BUNDLE},        /* the AWS command line and SDKs */
	{"PERL_LWP_SSL_CA_FILE", TRUST_BUNDLE}, /* LWP */
	{"JAVA_TOOL_OPTIONS", TRUST_JAVA},      /* every JVM: maven, gradle, sbt */
};

/* Where nothing is redirected (provider.h), programs are told of the proxy, and of what is not for it: the environment's own names, and hosts of which it has
 * a stub, where http:// is answered as https:// is. */
#define PROXY_HOST DOOR_FLOW_PROXY
#define PROXY_URL "http://" PROXY_HOST ":3128"
#define PROXY_JAVA                                                                                                      \
	"-Dhttp.proxyHost=" PROXY_HOST " -Dhttp.proxyPort=3128 -Dhttps.proxyHost=" PROXY_HOST " -Dhttps.proxyPort=3128" \
	" -Dhttp.nonProxyHosts="
static_assert(MESSAGE_PROXY_PORT == 3128, "the proxy's port");

static void direct_add(struct buf *direct, struct buf *java, const char *name)
{
	buf_add_format(direct, ",%s", name);
	buf_add_format(java, "|%s", name);
}

static void variables_set_proxy(struct variable_list *list, const struct environment *env)
{
	static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"};
	AUTO_BUF direct = buf_new((size_t)64 << 10);
	AUTO_BUF java = buf_new((size_t)128 << 10);

	buf_add_text(&direct, "localhost,127.0.0.1,::1," MESSAGE_TOOL_HOST ",." MESSAGE_TOOL_HOST);
	buf_add_text(&java, env->all->authority ? TRUST_JAVA " " : "");
	buf_add_text(&java, PROXY_JAVA "localhost|127.*|" MESSAGE_TOOL_HOST "|*." MESSAGE_TOOL_HOST);
	for (size_t i = 0; i < env->member_count; i++) {
		const struct member *member = &env->members[i];

		direct_add(&direct, &java, member->service ? member->service->name : member->name);
	}
	for (size_t i = 0; env->blueprint && i < env->blueprint->host_count; i++)
		if (env->blueprint->hosts[i].stub)
			direct_add(&direct, &java, env->blueprint->hosts[i].name);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		variable_set(list, names[i], PROXY_URL);
	variable_set(list, "NO_PROXY", direct.at);
	variable_set(list, "no_proxy", direct.at);
	variable_set(list, "NODE_USE_ENV_PROXY", "1"); /* node's fetch: from 24 on */
	variable_set(list, "JAVA_TOOL_OPTIONS", java.at);
}

/* For SDKs of OpenTelemetry, which read them by themselves; to all other programs they mean nothing. Batches leave soon, so that what was done for
 * a request is told before the next ones are over. */
static const char *const telling[][2] = {
	{"OTEL_EXPORTER_OTLP_ENDPOINT", MESSAGE_TOLD_URL},
	{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
	{"OTEL_BSP_SCHEDULE_DELAY", "100"},  /* ms; of spans */
	{"OTEL_BLRP_SCHEDULE_DELAY", "100"}, /* of lines */
};

/* DB_URL for db, MAIN_DB_URL for main-db. */
static void variable_set_url(struct variable_list *list, const struct member *database)
{
	AUTO_FREE char *name = text_format("%s_URL", database->name);
	AUTO_BUF url = buf_new(1024);

	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	database->target.ops->url(&database->target, &url);
	variable_set(list, name, url.at);
}

/* Where tests from end to end find the application's front. */
static void variable_set_preview(struct variable_list *list, const struct environment *env)
{
	const struct service *service = env->blueprint && env->blueprint->preview.service
						? blueprint_service_find(env->blueprint, env->blueprint->preview.service)
						: NULL;
	AUTO_FREE char *url = service && service->port ? text_format("http://%s:%u", service->name, (unsigned)service->port) : NULL;

	if (url)
		variable_set(list, "ASSAY_PREVIEW_URL", url);
}

char **member_variables(struct environment *env, const struct member *member, const struct variables *more)
{
	struct variable_list list = {0};
	AUTO_JSON image = member_image(env, member);

	if (member->kind == MEMBER_WORKSPACE && environment_has_tool(env))
		variable_set(&list, "PATH", TOOL_PATH "/bin:" PATH_INSIDE);
	else
		variable_set(&list, "PATH", PATH_INSIDE);
	variable_set(&list, "LANG", "C.UTF-8");
	for (size_t i = 0; i < ARRAY_LEN(account); i++)
		variable_set(&list, account[i][0], account[i][1]);
	image_variables_set(&list, json_member(image, "env"));
	for (size_t i = 0; member->kind != MEMBER_DATABASE && env->all->authority && i < ARRAY_LEN(trust); i++)
		variable_set(&list, trust[i][0], trust[i][1]);
	if (member->kind != MEMBER_DATABASE && env->all->provider.ops->door_mode == DOOR_MODE_PROXY)
		variables_set_proxy(&list, env);
	variable_set(&list, "ASSAY_ENV", env->id.text);
	for (size_t i = 0; member->kind != MEMBER_DATABASE && i < json_array_size(env->credentials); i++)
		variable_set(&list, env->blueprint->secrets.at[i].name,
			     json_text(json_array_get(env->credentials, i), "placeholder", ""));
	variable_set(&list, "ASSAY_SERVICE", member->service ? member->service->name : member->name);
	for (size_t i = 0; i < env->member_count; i++)
		if (env->members[i].kind == MEMBER_DATABASE && member->kind != MEMBER_DATABASE &&
		    (!env->members[i].target.ops->restore || member_has_file(member, &env->members[i])))
			variable_set_url(&list, &env->members[i]);
	if (member->service) {
		AUTO_FREE char *port = text_format("%u", (unsigned)member->port);

		for (size_t j = 0; j < ARRAY_LEN(telling); j++)
			variable_set(&list, telling[j][0], telling[j][1]);
		variable_set(&list, "OTEL_SERVICE_NAME", member->service->name);
		if (member->port)
			variable_set(&list, "PORT", port);
		variables_set(&list, &member->service->env);
	}
	if (member->kind == MEMBER_WORKSPACE)
		variable_set_preview(&list, env);
	if (member->kind == MEMBER_WORKSPACE && env->blueprint)
		variables_set(&list, &env->blueprint->workspace.env);
	variables_set(&list, more);
	return list.at;
}

void variables_drop_account(char **variables)
{
	size_t kept = 0;

	for (size_t i = 0; variables[i]; i++) {
		bool ours = false;

		for (size_t j = 0; j < ARRAY_LEN(account); j++) {
			size_t length = strlen(account[j][0]);

			ours |= strncmp(variables[i], account[j][0], length) == 0 && variables[i][length] == '=' &&
				strcmp(variables[i] + length + 1, account[j][1]) == 0;
		}
		if (ours)
			free(variables[i]);
		else
			variables[kept++] = variables[i];
	}
	variables[kept] = NULL;
}

void variables_free(char **variables)
{
	for (size_t i = 0; variables && variables[i]; i++)
		free(variables[i]);
	free(variables);
}

/* Our ends of a program's pipes; -1: not ours, or at its end. */
struct pipes {
	int in;
	int out;
	int errors;
	int child[3]; /* closed once the program has them */
	bool owned[3];
};

static void pipes_fini(struct pipes *pipes)
{
	scope_close(&pipes->in);
	scope_close(&pipes->out);
	scope_close(&pipes->errors);
	for (size_t i = 0; i < 3; i++)
		if (pipes->owned[i])
			scope_close(&pipes->child[i]);
}

static int pipe_make(int *ours, int *theirs, bool we_write, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	*ours = ends[we_write ? 1 : 0];
	*theirs = ends[we_write ? 0 : 1];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static int pipes_make(struct pipes *pipes, struct member *member, const struct environment_exec *exec, struct err *err)
{
	if (exec->input_fd > 0) {
		pipes->child[0] = exec->input_fd;
	} else if (exec->input.length) {
		pipes->owned[0] = true;
		if (pipe_make(&pipes->in, &pipes->child[0], true, err))
			return -1;
	}
	if (exec->output_fd > 0) {
		pipes->child[1] = exec->output_fd;
	} else {
		pipes->owned[1] = true;
		if (exec->output ? pipe_make(&pipes->out, &pipes->child[1], false, err)
				 : log_pipe(member->log, &pipes->child[1], err))
			return -1;
	}
	if (exec->error_fd > 0) {
		pipes->child[2] = exec->error_fd;
	} else if (exec->errors) {
		pipes->owned[2] = true;
		if (pipe_make(&pipes->errors, &pipes->child[2], false, err))
			return -1;
	} else {
		pipes->child[2] = pipes->child[1];
	}
	return 0;
}

static void feed(int *fd, struct view *input)
{
	ssize_t put = write(*fd, input->at, input->length);

	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (put > 0) {
		input->at += put;
		input->length -= (size_t)put;
	}
	if (put < 0 || !input->length) {
		scope_close(fd);
		*fd = -1;
	}
}

static void drain(int *fd, struct buf *into)
{
	char chunk[16384];
	ssize_t got = read(*fd, chunk, sizeof(chunk));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		scope_close(fd);
		*fd = -1;
		return;
	}
	buf_add(into, chunk, (size_t)got);
}

/* Moves bytes for at most `limit_ms`; true when nothing is left to move. */
static bool pump(struct pipes *pipes, const struct environment_exec *exec, struct view *input, int limit_ms)
{
	struct pollfd fds[3] = {{pipes->in, POLLOUT, 0}, {pipes->out, POLLIN, 0}, {pipes->errors, POLLIN, 0}};

	if (pipes->in < 0 && pipes->out < 0 && pipes->errors < 0)
		return true;
	if (poll(fds, 3, limit_ms) <= 0)
		return false;
	if (fds[0].revents)
		feed(&pipes->in, input);
	if (fds[1].revents)
		drain(&pipes->out, exec->output);
	if (fds[2].revents)
		drain(&pipes->errors, exec->errors);
	return pipes->in < 0 && pipes->out < 0 && pipes->errors < 0;
}

/* The group is asked to end, then made to. */
static void program_end(struct environment *env, const struct member *member, uint32_t process, bool politely)
{
	const struct provider provider = env->all->provider;
	struct exit_status status;

	if (politely && provider_program_signal(provider, env->id, member->name, process, SIGTERM, NULL) == 0 &&
	    provider_program_wait(provider, env->id, member->name, process, STOP_GRACE_MS, &status, NULL) == 0) {
		(void)!provider_program_signal(provider, env->id, member->name, process, SIGKILL, NULL);
		return;
	}
	(void)!provider_program_signal(provider, env->id, member->name, process, SIGKILL, NULL);
	(void)!provider_program_wait(provider, env->id, member->name, process, STOP_GRACE_MS, &status, NULL);
}

/* Until the program has ended and its pipes are read. */
static int program_follow(struct environment *env, const struct member *member, const struct environment_exec *exec,
			  uint32_t process, struct pipes *pipes, struct exit_status *status, struct err *err)
{
	int64_t limit_ms = exec->timeout_ms ? exec->timeout_ms : EXEC_TIMEOUT_DEFAULT_MS;
	int64_t deadline_ms = elapsed_ms(env->all) + limit_ms;
	struct view input = exec->input;

	for (;;) {
		bool moved = pump(pipes, exec, &input, SLICE_MS);
		int64_t left_ms = deadline_ms - elapsed_ms(env->all);
		struct err problem = {0};

		if (provider_program_wait(env->all->provider, env->id, member->name, process,
					  moved ? (left_ms < SLICE_MS && left_ms > 0 ? left_ms : SLICE_MS) : 0, status,
					  &problem) == 0)
			break;
		if (problem.kind != ERR_RETRY) {
			if (err)
				*err = problem;
			return -1;
		}
		if (exec->cancelled && __atomic_load_n(exec->cancelled, __ATOMIC_RELAXED)) {
			program_end(env, member, process, true);
			return err_set(err, ERR_CANCELLED, "`%s` in %s was stopped", exec->argv[0], member->name);
		}
		if (environment_going(env)) {
			program_end(env, member, process, false);
			return err_set(err, ERR_CANCELLED, "the environment is being removed");
		}
		if (left_ms <= 0) {
			program_end(env, member, process, false);
			return err_set(err, ERR_LIMIT, "`%s` in %s ran longer than %lld ms", exec->argv[0], member->name,
				       (long long)limit_ms);
		}
	}
	for (int64_t until_ms = elapsed_ms(env->all) + AFTER_END_MS; elapsed_ms(env->all) < until_ms;)
		if (pump(pipes, exec, &input, SLICE_MS))
			break;
	return 0;
}

int member_run(struct environment *env, struct member *member, const struct environment_exec *exec, struct exit_status *status,
	       struct err *err)
{
	__attribute__((cleanup(pipes_fini))) struct pipes pipes = {-1, -1, -1, {-1, -1, -1}, {false, false, false}};
	const char *dir = exec->dir ? exec->dir : member->kind == MEMBER_DATABASE ? "/" : WORKSPACE_PATH;
	struct program_spec spec = {.argv = exec->argv, .dir = dir, .as_root = exec->as_root, .terminal = exec->terminal};
	struct err problem = {0};
	char **variables;
	uint32_t process = 0;
	int result;

	if (!exec->argv || !exec->argv[0])
		return err_set(err, ERR_INVALID, "no program to run in %s", member->name);
	if (pipes_make(&pipes, member, exec, err))
		return -1;
	variables = member_variables(env, member, exec->env);
	spec.env = (const char *const *)variables;
	memcpy(spec.fds, pipes.child, sizeof(spec.fds));
	result = provider_program_start(env->all->provider, env->id, member->name, &spec, &process, &problem);
	variables_free(variables);
	if (result) {
		if (problem.kind == ERR_CONFLICT || problem.kind == ERR_NOT_FOUND) /* its sandbox has ended */
			monitor_lost(env->all);
		if (environment_unstopped(env, err))
			status->reason = EXIT_GONE;
		else if (err)
			*err = problem;
		return -1;
	}
	for (size_t i = 0; i < 3; i++) {
		if (pipes.owned[i]) {
			scope_close(&pipes.child[i]);
			pipes.child[i] = -1;
			pipes.owned[i] = false;
		}
	}
	if (program_follow(env, member, exec, process, &pipes, status, &problem) || status->reason == EXIT_GONE) {
		/* The sandbox went away under the program; whether the environment did is found out at once. */
		if (problem.kind == ERR_NONE || problem.kind == ERR_NOT_FOUND) {
			monitor_lost(env->all);
			status->reason = EXIT_GONE;
			if (environment_unstopped(env, err))
				return -1;
			return err_set(err, ERR_RETRY, "%s was destroyed while `%.80s` ran in it", member->name, exec->argv[0]);
		}
		if (err)
			*err = problem;
		return -1;
	}
	if (exec->output && exec->output_fd <= 0 && buf_finish(exec->output, err))
		return -1;
	return exec->errors ? buf_finish(exec->errors, err) : 0;
}

int member_run_checked(struct environment *env, struct member *member, const struct environment_exec *exec, const char *what,
		       struct err *err)
{
	struct exit_status status;
	AUTO_BUF text = buf_new(256);

	if (member_run(env, member, exec, &status, err)) {
		(void)err_prefix(err, "%s", what);
		return exec->output ? -1 : member_quote_log(env, member, err);
	}
	if (status.reason == EXIT_CODE && status.code == 0)
		return 0;
	exit_status_format(&text, status);
	(void)err_set(err, ERR_INVALID, "%s: %s", what, text.at ? text.at : "");
	if (!exec->output)
		return member_quote_log(env, member, err);
	struct view said = view_trim(buf_view(exec->errors ? exec->errors : exec->output));

	if (said.length > 300)
		said = view_make(said.at + said.length - 300, 300);
	if (said.length) {
		size_t used = err ? strlen(err->text) : 0;
		AUTO_BUF shown = buf_new(2048);

		log_neutral(&shown, said);
		for (size_t i = 0; i < shown.length; i++)
			if (shown.at[i] == '\n')
				shown.at[i] = '|';
		if (err)
			(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", shown.at);
	}
	return -1;
}

static void busy_add(struct environment *env, int by)
{
	(void)pthread_mutex_lock(&env->mutex);
	env->busy += by;
	(void)pthread_mutex_unlock(&env->mutex);
	environment_touched(env);
}

/* A member that programs can run in. */
static struct member *member_get(struct environment *env, const char *name, struct err *err)
{
	struct member *member = member_find(env, name ? name : WORKSPACE_MEMBER);
	bool made = false;

	if (!member) {
		(void)err_set(err, ERR_NOT_FOUND, "environment %s has no sandbox `%s`", env->name, name);
		return NULL;
	}
	(void)pthread_mutex_lock(&env->mutex);
	made = member->made;
	(void)pthread_mutex_unlock(&env->mutex);
	if (!made) {
		(void)err_set(err, ERR_CONFLICT, "%s of environment %s is not there now", member->name, env->name);
		return NULL;
	}
	return member;
}

int environment_exec(struct environments *environments, struct env_id id, const struct environment_exec *exec,
		     struct exit_status *status, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct member *member;
	int result;

	if (!env || environment_awake(env, err))
		return -1;
	member = member_get(env, exec->sandbox, err);
	if (!member)
		return -1;
	busy_add(env, 1);
	result = member_run(env, member, exec, status, err);
	if (exec->sweep)
		(void)!provider_program_signal(env->all->provider, env->id, member->name, 0, SIGKILL, NULL);
	busy_add(env, -1);
	return result;
}

int environment_query(struct environments *environments, struct env_id id, const char *database, const char *statement,
		      struct buf *output, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_BUF errors = buf_new((size_t)64 << 10);
	struct environment_exec exec = {.timeout_ms = QUERY_LIMIT_MS, .output = output, .errors = &errors};
	struct member *member;
	int result;

	if (!env || environment_awake(env, err))
		return -1;
	member = member_get(env, database, err);
	if (!member)
		return -1;
	if (member->kind != MEMBER_DATABASE)
		return err_set(err, ERR_INVALID, "`%s` is no database of environment %s", database, env->name);
	member->target.ops->client(&member->target, statement, &program);
	exec.argv = engine_program_argv(&program);
	busy_add(env, 1);
	result = member_run_checked(env, member, &exec, member->name, err);
	busy_add(env, -1);
	return result;
}
