/*
 * The link of a pod.
 *
 * Theory of operation: one loop. At the one side the control socket of the room's pid 1, which connects once, before any program runs (the socket's name
 * is then gone); at the other a mux, whose strand is made again whenever it is lost. What programs say waits in their pipes meanwhile. A program's end is
 * told when all that it had written by then has been sent. What programs connect to is taken by pod_door.c, whose loop and mux are the same.
 */
#include "sandbox/link/pod_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "net/socket.h"
#include "sandbox/init/blob.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
#define WELCOME_MS 20000
#define TOKEN_BYTES_MAX ((size_t)64 << 10)

/* ---- the connection to the control plane ---- */

static void again_later(struct pod *pod)
{
	loop_timer_set(pod->loop, &pod->retry, pod->retry_ms);
	pod->retry_ms = pod->retry_ms * 2 < RETRY_MAX_MS ? pod->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_arrival_lost(void *self, struct strand *strand, const char *why)
{
	struct pod *pod = self;

	log_info("the control plane: %s: trying again", why);
	strand_free(strand);
	pod->arriving = NULL;
	again_later(pod);
}

static void on_welcome(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct pod *pod = self;
	struct err err = {0};

	(void)id;
	if (kind == LINK_REFUSED)
		log_warn("the control plane refuses us: %.*s", (int)(body.length < 300 ? body.length : 300), body.at);
	if (kind != LINK_WELCOME)
		return;
	if (strand_u32(body, 8)) {
		log_info("the control plane begins anew: what ran here ends");
		pod_programs_end(pod);
		mux_reset(pod->mux);
		pod_door_reset(pod->door);
	}
	pod->arriving = NULL;
	if (mux_attach(pod->mux, strand, strand_u64(body, 0), &err)) {
		log_warn("the control plane: %s", err.text);
		strand_free(strand);
		again_later(pod);
		return;
	}
	pod->retry_ms = RETRY_FIRST_MS;
	loop_timer_stop(pod->loop, &pod->retry);
}

static const struct strand_use arrival_use = {.frame = on_welcome, .lost = on_arrival_lost};

/* Read each time: the kubelet renews it. */
static int hello_send(struct pod *pod, struct strand *strand, struct err *err)
{
	AUTO_BUF hello = buf_new(TOKEN_BYTES_MAX + 16);
	AUTO_BUF token = buf_new(TOKEN_BYTES_MAX);
	int failed = file_read(POD_TOKEN, &token, err);

	if (!failed) {
		strand_put_u64(&hello, mux_received(pod->mux));
		strand_put_u64(&hello, pod->session);
		buf_add_view(&hello, view_trim(buf_view(&token)));
		strand_send(strand, LINK_HELLO, 0, buf_view(&hello));
		explicit_bzero(hello.at, hello.length);
	}
	if (token.at)
		explicit_bzero(token.at, token.length);
	return failed;
}

static void connect_now(struct pod *pod)
{
	struct err err = {0};
	struct tls *tls;
	bool pending;
	int fd;

	if (socket_connect_tcp(pod->address, &fd, &pending, &err)) {
		log_info("the control plane: %s: trying again", err.text);
		again_later(pod);
		return;
	}
	socket_tune(fd);
	socket_keep(fd);
	tls = tls_connect(pod->side, fd, pod->name, 0, NULL);
	pod->arriving = strand_new(pod->loop, tls, fd, &arrival_use, pod);
	loop_timer_set(pod->loop, &pod->retry, WELCOME_MS);
	if (hello_send(pod, pod->arriving, &err)) {
		log_warn("the pod's token: %s", err.text);
		on_arrival_lost(pod, pod->arriving, "no token");
	}
}

static void on_retry(struct loop_timer *timer)
{
	struct pod *pod = (struct pod *)(void *)((char *)timer - offsetof(struct pod, retry));

	strand_free(pod->arriving); /* it took too long */
	pod->arriving = NULL;
	connect_now(pod);
}

static void on_mux_lost(void *self, const char *why)
{
	struct pod *pod = self;

	if (mux_over(pod->mux)) {
		log_error("the control plane: %s: the pod ends", why);
		loop_stop(pod->loop);
		return;
	}
	log_info("the control plane: %s: connecting again", why);
	again_later(pod);
}

/* ---- the room's pid 1 ---- */

static void room_lost(struct pod *pod)
{
	loop_watch_remove(pod->loop, &pod->control_watch);
	scope_close(&pod->control_fd);
	pod->control_fd = -1;
	log_info("the room has ended");
	mux_send(pod->mux, LINK_BYE, 0, VIEW(""));
}

static void on_control(struct loop_watch *watch, unsigned events)
{
	struct pod *pod = (struct pod *)(void *)((char *)watch - offsetof(struct pod, control_watch));

	(void)events;
	while (pod->control_fd >= 0) {
		struct init_reply reply;
		int fd = -1;
		ssize_t got = socket_take(pod->control_fd, &reply, sizeof(reply), &fd);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got == (ssize_t)sizeof(reply))
			pod_init_reply(pod, &reply, fd);
		else
			room_lost(pod);
		if (fd >= 0)
			(void)close(fd);
	}
}

/* The room's pid 1 is the first to connect; nobody else is let in. */
static void on_listener(struct loop_watch *watch, unsigned events)
{
	struct pod *pod = (struct pod *)(void *)((char *)watch - offsetof(struct pod, listen_watch));
	struct err err = {0};

	(void)events;
	pod->control_fd = accept4(pod->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (pod->control_fd < 0)
		return;
	loop_watch_remove(pod->loop, &pod->listen_watch);
	(void)close(pod->listen_fd);
	pod->listen_fd = -1;
	(void)unlink(POD_CONTROL);
	pod->control_watch.ready = on_control;
	if (loop_watch_add(pod->loop, &pod->control_watch, pod->control_fd, LOOP_READ, &err))
		log_error("%s", err.text);
	connect_now(pod); /* whoever is linked has a room */
}

static int control_listen(struct pod *pod, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", POD_CONTROL);
	(void)unlink(POD_CONTROL);
	pod->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (pod->listen_fd < 0 || bind(pod->listen_fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    listen(pod->listen_fd, 1))
		return err_errno(err, errno, "cannot listen at %s", POD_CONTROL);
	pod->listen_watch.ready = on_listener;
	return loop_watch_add(pod->loop, &pod->listen_watch, pod->listen_fd, LOOP_READ, err);
}

/* ---- begin ---- */

static const struct pod_tool *tools;
static size_t tool_count;

void pod_tools_set(const struct pod_tool *list, size_t count)
{
	tools = list;
	tool_count = count;
}

static int tools_put(struct err *err)
{
	for (size_t i = 0; i < tool_count; i++) {
		AUTO_FREE char *path = text_format(POD_FOLDER "/%s", tools[i].name);

		if (file_replace(path, tools[i].bytes, 0755, err))
			return -1;
	}
	return 0;
}

static int folders_make(const char *volumes, struct err *err)
{
	AUTO_FREE char *names = text_copy(volumes);
	char *rest = names;

	if (file_replace(POD_INIT, view_make(init_blob, init_blob_length), 0755, err) || tools_put(err))
		return -1;
	for (const char *name; rest && (name = strsep(&rest, " "));) {
		AUTO_FREE char *tree = text_format(POD_VOLUMES "/%s/" POD_TREE, name);

		if (*name && file_make_dirs(tree, 0755, err))
			return -1;
	}
	return 0;
}

static const char *variable(const char *name, struct err *err)
{
	const char *value = getenv(name);

	if (!value || !*value)
		(void)err_set(err, ERR_INVALID, "%s is not set: this is a pod's own process, started by the control plane", name);
	return value && *value ? value : NULL;
}

static int pod_open(struct pod *pod, struct err *err)
{
	const char *volumes = getenv(POD_ENV_VOLUMES);
	const char *authority = variable(POD_ENV_AUTHORITY, err);
	const struct mux_use use = {.message = pod_message, .lost = on_mux_lost, .moved = pod_moved, .self = pod};

	pod->address = variable(POD_ENV_ADDRESS, err);
	pod->name = variable(POD_ENV_NAME, err);
	if (!pod->address || !pod->name || !authority || folders_make(volumes ? volumes : "", err) || pod_trust_write(err) ||
	    file_replace(POD_FOLDER "/authority.pem", view_of(authority), 0644, err) ||
	    tls_client_new(POD_FOLDER "/authority.pem", &pod->side, err))
		return -1;
	pod->loop = loop_new(err);
	if (!pod->loop)
		return -1;
	pod->retry.expired = on_retry;
	pod->retry_ms = RETRY_FIRST_MS;
	world_random(world_real, &pod->session, sizeof(pod->session));
	pod->mux = mux_new(pod->loop, &use);
	pod->door = pod_door_open(pod);
	return control_listen(pod, err);
}

int pod_main(int argc, char **argv)
{
	struct pod *pod = mem_new(sizeof(*pod));
	struct err err = {0};
	struct stat info;

	log_init("pod", LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN); /* a program that reads no more */
	*pod = (struct pod){.listen_fd = -1, .control_fd = -1};
	if (argc > 1 && strcmp(argv[1], "--ready") == 0)
		return stat(POD_CONTROL, &info) == 0 && S_ISSOCK(info.st_mode) ? 0 : 1;
	if (pod_open(pod, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	loop_run(pod->loop);
	return 0;
}
