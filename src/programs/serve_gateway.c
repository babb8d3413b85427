/*
 * The supervisor of the gateway.
 *
 * Theory of operation: the gateway runs as an unprivileged user and holds nothing that outlives it, so a death is repaired by a fresh
 * process and by telling it everything again. One thread waits for the process. What the gateway says arrives on the link's reader thread,
 * which must not block, and is handed to a small pool; a link is freed when no job of the pool may still answer on it.
 */
#include "programs/serve_gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "gateway/gateway.h"
#include "net/link.h"
#include "net/pool.h"
#include "programs/policy.h"
#include "programs/serve_front.h"
#include "runs/egress.h"

#define LEDGER_WRITER "gateway"
#define KEY_BYTES_MAX 4096
#define ANSWER_TIMEOUT_MS 20000
#define END_TIMEOUT_MS 5000
#define RESTART_FIRST_MS 100
#define RESTART_LONGEST_MS 5000
#define RESTART_GOOD_MS 30000 /* lived this long: the next pause is short again */
#define POOL_THREADS 8
#define POOL_WAITING_MAX 1024

/* In the child: 3 is the link, 4 the folder of the tool socket, which the unprivileged user could not reach by its path. */
#define LINK_FD_TEXT "3"
#define TOOLS_FD_TEXT "4"
#define REACH_VARIABLE "ASSAY_REACH" /* networks that egress rules may lead to although they are not public, separated by blanks */
#define REACH_WORDS_MAX 16
#define ARGUMENTS 8 /* that it always gets */
#define AUTHORITIES_VARIABLE \
	"ASSAY_AUTHORITIES" /* a PEM file of certificate authorities, a company's own, trusted for hosts outside */

struct serve_gateway {
	char *preview_listen;
	struct serve_front *front; /* NULL: none */
	char *tools_dir;
	char *tools_socket;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct environments *environments; /* NULL: not watched */
	struct vault *vault;               /* NULL: none, as in tests */
	struct audit *audit;               /* NULL: none */
	struct egress *egress;             /* NULL: nobody's policy is above */
	struct pool *pool;
	struct link *link;
	int pid_fd;
	pid_t pid;        /* 0: none; under lock, like the life of pid_fd */
	int64_t since_ms; /* likewise */
	int jobs;         /* in the pool */
	bool closing;
	bool watched;
	pthread_t watcher;
};

/* A message on its way to the environments. */
struct job {
	struct serve_gateway *gateway;
	struct link *link;
	uint16_t name;
	uint64_t request;
	json_t *body;
};

/* A fresh link to the vault, which is started again for it when it has died. */
static int vault_introduce(const struct serve_gateway *gateway, struct link *link, struct err *err)
{
	AUTO_JSON body = json_object();
	AUTO_JSON answer = NULL;
	AUTO_CLOSE int fd = -1;

	if (!gateway->vault)
		return 0;
	if (vault_gateway_link(gateway->vault, &fd, err))
		return -1;
	answer = link_call(link, MESSAGE_VAULT, body, &fd, 1, ANSWER_TIMEOUT_MS, err);
	return answer ? 0 : err_prefix(err, "the gateway does not take its link to the vault");
}

/* A gateway without the organisation's policy hears of no environment. */
static int policy_introduce(const struct serve_gateway *gateway, struct err *err)
{
	AUTO_JSON body = gateway->egress ? egress_policy_body(gateway->egress) : NULL;
	AUTO_JSON answer = NULL;
	AUTO_CLOSE int scan = -1;

	if (body && policy_scan_file(body, &scan, err) == 0)
		answer = link_call(gateway->link, MESSAGE_POLICY_PUT, body, &scan, scan >= 0, ANSWER_TIMEOUT_MS, err);
	return answer || !body ? 0 : err_prefix(err, "the organisation's policy");
}

/* Previews for people elsewhere: their certificate, and what passes are checked by. */
static int front_introduce(const struct serve_gateway *gateway, bool first, struct err *err)
{
	AUTO_CLOSE int identity = -1;
	AUTO_JSON body = gateway->front ? serve_front_body(gateway->front, &identity, err) : NULL;
	AUTO_JSON answer = NULL;

	if (!gateway->front)
		return 0;
	if (body)
		answer = link_call(gateway->link, MESSAGE_FRONT, body, &identity, identity >= 0, ANSWER_TIMEOUT_MS, err);
	if (answer || first)
		return answer ? 0 : err_prefix(err, "previews for people elsewhere");
	/* All else goes on: a certificate that has ended meanwhile is no reason to be without a gateway. */
	log_error("previews for people elsewhere are not answered: %s", err->text);
	return 0;
}

/* The folder of its ledger, which its user may write. */
static int ledger_introduce(const struct serve_gateway *gateway, struct err *err)
{
	AUTO_FREE char *path = gateway->audit ? audit_folder(gateway->audit, LEDGER_WRITER) : NULL;
	AUTO_BUF key = buf_new(KEY_BYTES_MAX);
	AUTO_CLOSE int folder = -1;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	const struct passwd *user;

	if (!path)
		return 0;
	if (file_make_dirs(path, 0700, err) || vault_public_key(gateway->vault, &key, err))
		return -1;
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	user = geteuid() == 0 ? getpwnam(GATEWAY_USER) : NULL;
	if (folder < 0 || (user && fchown(folder, user->pw_uid, user->pw_gid)))
		return err_errno(err, errno, "cannot hand %s to the gateway", path);
	body = json_pack("{s:s, s:s}", "key_id", audit_key_id(gateway->audit), "key", key.at);
	answer = link_call(gateway->link, MESSAGE_LEDGER, body, &folder, 1, ANSWER_TIMEOUT_MS, err);
	return answer ? 0 : err_prefix(err, "the gateway's ledger");
}

/* What is answered to LEDGER_HEAD. */
static json_t *head_sign(const struct serve_gateway *gateway, const json_t *body, struct err *err)
{
	char line[LEDGER_HEAD_TEXT_MAX];
	struct ledger_head head;

	if (ledger_head_parse(view_of(json_text(body, "head", "")), &head, err) ||
	    audit_head_sign(gateway->audit, LEDGER_WRITER, &head, err))
		return NULL;
	ledger_head_format(&head, line);
	return json_pack("{s:s}", "head", line);
}

static int job_run(const struct job *job, json_t **answer, struct err *err)
{
	struct serve_gateway *gateway = job->gateway;

	if (job->name == MESSAGE_VAULT_LOST)
		return vault_introduce(gateway, job->link, err);
	if (job->name != MESSAGE_LEDGER_HEAD)
		return environments_gateway_message(gateway->environments, job->name, job->body, err);
	*answer = head_sign(gateway, job->body, err);
	return *answer ? 0 : -1;
}

static void job_do(void *self)
{
	struct job *job = self;
	struct serve_gateway *gateway = job->gateway;
	struct err failure = {0};
	AUTO_JSON answer = NULL;
	int status = job_run(job, &answer, &failure);

	if (job->request)
		link_reply(job->link, job->name, job->request, answer, status ? &failure : NULL);
	else if (status)
		log_debug("gateway message %u: %s", (unsigned)job->name, failure.text);
	json_decref(job->body);
	(void)pthread_mutex_lock(&gateway->lock);
	gateway->jobs--;
	(void)pthread_cond_broadcast(&gateway->changed);
	(void)pthread_mutex_unlock(&gateway->lock);
	free(job);
}

static void on_message(void *self, struct link *link, struct link_message *message)
{
	struct serve_gateway *gateway = self;
	struct err failure = {.kind = ERR_RETRY, .text = "the control plane is busy"};
	struct job *job;
	bool added;

	(void)pthread_mutex_lock(&gateway->lock);
	added = gateway->environments && !gateway->closing;
	gateway->jobs += added;
	(void)pthread_mutex_unlock(&gateway->lock);
	if (added) {
		job = mem_new(sizeof(*job));
		*job = (struct job){gateway, link, message->name, message->request, TAKE(message->body)};
		if (pool_add(gateway->pool, job_do, job))
			return;
		json_decref(job->body);
		free(job);
		(void)pthread_mutex_lock(&gateway->lock);
		gateway->jobs--;
		(void)pthread_cond_broadcast(&gateway->changed);
		(void)pthread_mutex_unlock(&gateway->lock);
	}
	if (message->request)
		link_reply(link, message->name, message->request, NULL, &failure);
}

static void jobs_wait(struct serve_gateway *gateway)
{
	(void)pthread_mutex_lock(&gateway->lock);
	while (gateway->jobs)
		(void)pthread_cond_wait(&gateway->changed, &gateway->lock);
	(void)pthread_mutex_unlock(&gateway->lock);
}

/* ---- the process ---- */

static void process_end(struct serve_gateway *gateway)
{
	jobs_wait(gateway);
	link_free(gateway->link); /* its end: the gateway ends with it */
	gateway->link = NULL;
	if (gateway->pid_fd < 0)
		return;
	if (process_wait(gateway->pid_fd, END_TIMEOUT_MS, NULL, NULL)) {
		(void)syscall(SYS_pidfd_send_signal, gateway->pid_fd, SIGKILL, NULL, 0);
		if (process_wait(gateway->pid_fd, END_TIMEOUT_MS, NULL, NULL))
			log_debug("the gateway was gone already");
	}
	(void)pthread_mutex_lock(&gateway->lock);
	scope_close(&gateway->pid_fd);
	gateway->pid_fd = -1;
	gateway->pid = 0;
	(void)pthread_mutex_unlock(&gateway->lock);
}

/* Any answer will do, also that it knows no such environment. */
static int process_ask(struct serve_gateway *gateway, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s}", "env", "e0000000000");
	struct err answer = {0};
	AUTO_JSON reply = link_call(gateway->link, MESSAGE_QUIET, body, NULL, 0, ANSWER_TIMEOUT_MS, &answer);

	if (reply || answer.kind != ERR_RETRY)
		return 0;
	return err_set(err, ERR_RETRY, "the gateway did not start: %s", answer.text);
}

/* "10.0.0.0/8 fd00::/8", which is cut up, as options. */
static size_t reach_words(char *text, const char **argv)
{
	char *rest = NULL;
	size_t count = 0;

	for (char *word = strtok_r(text, " ,", &rest); word && count < REACH_WORDS_MAX;
	     word = strtok_r(NULL, " ,", &rest), count++) {
		argv[2 * count] = "--reach";
		argv[2 * count + 1] = word;
	}
	return 2 * count;
}

static int process_begin(struct serve_gateway *gateway, struct err *err)
{
	static const struct link_row rows[] = {
		{MESSAGE_THAW, LINK_GATEWAY, on_message},       {MESSAGE_TOUCH, LINK_GATEWAY, on_message},
		{MESSAGE_DENIED, LINK_GATEWAY, on_message},     {MESSAGE_PROPAGATION, LINK_GATEWAY, on_message},
		{MESSAGE_HOLD, LINK_GATEWAY, on_message},       {MESSAGE_HOLD_GONE, LINK_GATEWAY, on_message},
		{MESSAGE_USAGE, LINK_GATEWAY, on_message},      {MESSAGE_MODEL, LINK_GATEWAY, on_message},
		{MESSAGE_VAULT_LOST, LINK_GATEWAY, on_message}, {MESSAGE_LEDGER_HEAD, LINK_GATEWAY, on_message},
	};
	AUTO_FREE char *tools = text_format("/proc/self/fd/" TOOLS_FD_TEXT "/%s", gateway->tools_socket);
	AUTO_FREE char *reach = text_copy(getenv(REACH_VARIABLE) ? getenv(REACH_VARIABLE) : "");
	const char *authorities = getenv(AUTHORITIES_VARIABLE);
	const char *argv[ARGUMENTS + 2 * REACH_WORDS_MAX + 5] = {
		"/proc/self/exe",        "gateway",       "--link-fd", LINK_FD_TEXT, "--preview-listen",
		gateway->preview_listen, "--tool-socket", tools};
	AUTO_FREE char *format = getenv("ASSAY_LOG_FORMAT") ? text_format("ASSAY_LOG_FORMAT=%s", getenv("ASSAY_LOG_FORMAT")) : NULL;
	const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent",
				   "LANG=C.UTF-8", format, NULL};
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int folder = open(gateway->tools_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int theirs = -1;
	struct link_spec spec = {.peer = LINK_GATEWAY, .rows = rows, .row_count = ARRAY_LEN(rows), .self = gateway};
	bool first = !gateway->since_ms;
	size_t count;
	int ends[2];
	pid_t pid;

	if (null < 0 || folder < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_errno(err, errno, "cannot start the gateway");
	count = ARGUMENTS + reach_words(reach, argv + ARGUMENTS);
	if (authorities && *authorities) {
		argv[count++] = "--authorities";
		argv[count++] = authorities;
	}
	if (gateway->front) {
		argv[count++] = "--front-listen";
		argv[count++] = serve_front_listen(gateway->front);
	}
	spec.fd = ends[0];
	theirs = ends[1];
	gateway->link = link_on_thread(&spec, err);
	if (!gateway->link)
		return -1;
	if (process_start(argv, env, (int[]){null, null, STDERR_FILENO, theirs, folder}, 5, &pid, &gateway->pid_fd, err))
		return err_prefix(err, "cannot start the gateway");
	scope_close(&theirs);
	theirs = -1;
	(void)pthread_mutex_lock(&gateway->lock);
	gateway->pid = pid;
	gateway->since_ms = world_now_ms(world_real);
	(void)pthread_mutex_unlock(&gateway->lock);
	return process_ask(gateway, err) || vault_introduce(gateway, gateway->link, err) || ledger_introduce(gateway, err) ||
			       policy_introduce(gateway, err) || front_introduce(gateway, first, err)
		       ? -1
		       : 0;
}

/* ---- the watcher ---- */

static bool closing(struct serve_gateway *gateway, int64_t wait_ms)
{
	struct timespec until;
	bool is;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&gateway->lock);
	while (!gateway->closing && wait_ms > 0)
		if (pthread_cond_timedwait(&gateway->changed, &gateway->lock, &until))
			break;
	is = gateway->closing;
	(void)pthread_mutex_unlock(&gateway->lock);
	return is;
}

static int restart(struct serve_gateway *gateway, struct err *err)
{
	process_end(gateway);
	if (process_begin(gateway, err)) {
		process_end(gateway);
		return -1;
	}
	return environments_gateway_reset(gateway->environments, gateway->link, err);
}

static void *watcher_main(void *self)
{
	struct serve_gateway *gateway = self;
	int64_t pause_ms = RESTART_FIRST_MS;
	int64_t began_ms = world_elapsed_ms(world_real);

	while (!closing(gateway, 0)) {
		struct err err = {0};

		if (gateway->pid_fd >= 0 && process_wait(gateway->pid_fd, 500, NULL, &err) && err.kind == ERR_RETRY)
			continue;
		if (closing(gateway, 0))
			break;
		log_warn("the gateway ended; it is started again");
		if (environments_gateway_reset(gateway->environments, NULL, &err))
			log_debug("%s", err.text);
		if (world_elapsed_ms(world_real) - began_ms > RESTART_GOOD_MS)
			pause_ms = RESTART_FIRST_MS;
		if (closing(gateway, pause_ms))
			break;
		pause_ms = pause_ms * 2 < RESTART_LONGEST_MS ? pause_ms * 2 : RESTART_LONGEST_MS;
		began_ms = world_elapsed_ms(world_real);
		if (restart(gateway, &err))
			log_error("%s", err.text);
	}
	return NULL;
}

/* ---- from outside ---- */

int serve_gateway_open(const char *preview_listen, struct serve_front *front, const char *tools_dir, const char *tools_socket,
		       struct vault *vault, struct egress *egress, struct audit *audit, struct serve_gateway **gateway,
		       struct err *err)
{
	struct serve_gateway *self = mem_new(sizeof(*self));
	pthread_condattr_t clock;

	*self = (struct serve_gateway){.preview_listen = text_copy(preview_listen),
				       .front = front,
				       .tools_dir = text_copy(tools_dir),
				       .tools_socket = text_copy(tools_socket),
				       .vault = vault,
				       .audit = audit,
				       .egress = egress,
				       .pid_fd = -1};
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&self->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	self->pool = pool_new(POOL_THREADS, POOL_WAITING_MAX, err);
	if (!self->pool || process_begin(self, err)) {
		serve_gateway_close(self);
		return -1;
	}
	*gateway = self;
	return 0;
}

int serve_gateway_pid(struct serve_gateway *gateway)
{
	int pid;

	(void)pthread_mutex_lock(&gateway->lock);
	pid = (int)gateway->pid;
	(void)pthread_mutex_unlock(&gateway->lock);
	return pid;
}

int64_t serve_gateway_since_ms(struct serve_gateway *gateway)
{
	int64_t since_ms;

	(void)pthread_mutex_lock(&gateway->lock);
	since_ms = gateway->since_ms;
	(void)pthread_mutex_unlock(&gateway->lock);
	return since_ms;
}

void serve_gateway_kill(struct serve_gateway *gateway)
{
	(void)pthread_mutex_lock(&gateway->lock);
	if (gateway->pid_fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, gateway->pid_fd, SIGKILL, NULL, 0);
	(void)pthread_mutex_unlock(&gateway->lock);
}

struct link *serve_gateway_link(struct serve_gateway *gateway)
{
	return gateway->link;
}

int serve_gateway_watch(struct serve_gateway *gateway, struct environments *environments, struct err *err)
{
	int problem;

	(void)pthread_mutex_lock(&gateway->lock);
	gateway->environments = environments;
	(void)pthread_mutex_unlock(&gateway->lock);
	problem = pthread_create(&gateway->watcher, NULL, watcher_main, gateway);
	if (problem)
		return err_errno(err, problem, "cannot start a thread");
	gateway->watched = true;
	return 0;
}

void serve_gateway_unwatch(struct serve_gateway *gateway)
{
	if (!gateway)
		return;
	(void)pthread_mutex_lock(&gateway->lock);
	gateway->closing = true;
	(void)pthread_cond_broadcast(&gateway->changed);
	(void)pthread_mutex_unlock(&gateway->lock);
	if (gateway->watched)
		(void)pthread_join(gateway->watcher, NULL);
	gateway->watched = false;
	jobs_wait(gateway);
}

void serve_gateway_close(struct serve_gateway *gateway)
{
	if (!gateway)
		return;
	serve_gateway_unwatch(gateway);
	process_end(gateway);
	pool_free(gateway->pool);
	(void)pthread_cond_destroy(&gateway->changed);
	(void)pthread_mutex_destroy(&gateway->lock);
	free(gateway->preview_listen);
	free(gateway->tools_dir);
	free(gateway->tools_socket);
	free(gateway);
}
