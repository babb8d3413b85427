/*
 * The local provider's side in the control plane: it speaks to the keeper and to the pid 1 of each room.
 *
 * Theory of operation. One thread reads all sockets (the keeper's and a control socket a room) and files what comes: replies to the
 * callers that wait for them, ends of programs into the room's list. Callers wait on one condition. The mutex guards all state
 * and is never held over a call that can block; sending to the keeper has a mutex of its own, so that a full socket never stops
 * the reader.
 */
#include "sandbox/local/local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "sandbox/init/control.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/protocol.h"

#define READY_TIMEOUT_MS 120000 /* a first start formats the pool */
#define CONTROL_TIMEOUT_MS 30000
#define DIAL_TIMEOUT_MS 5000
#define EVENTS_MAX 64
#define FROZEN_MAX 4096
#define LIST_BYTES_MAX ((size_t)256 << 20)
#define KILLED_BY_SHELL (128 + SIGKILL) /* how a shell reports a child's SIGKILL */

struct program {
	struct program *next;
	uint32_t id;
	bool ended;
	bool gone;   /* the room ended first */
	bool killed; /* by us */
	int status;  /* of waitpid(2) */
};

struct room {
	struct room *next;
	struct env_id env;
	char name[SANDBOX_NAME_MAX + 1];
	int control_fd; /* -1: pid 1 is gone */
	uint32_t last_id;
	struct program *programs;
	int oom_seen;
	int users;    /* callers that hold a pointer */
	bool removed; /* from the list: the last user frees it */
};

/* A caller that waits: for the keeper (room NULL) or for a pid 1. */
struct pending {
	struct pending *next;
	const struct room *room;
	uint64_t id;
	bool done;
	bool lost; /* the other side is gone */
	struct keeper_reply keeper;
	struct init_reply init;
	int fd;
};

struct local {
	pthread_mutex_t mutex;
	pthread_mutex_t send_mutex;
	pthread_cond_t changed;
	pthread_t thread;
	char *state_dir;
	char *program;
	int epoll_fd;
	int wake_fd;
	int keeper_fd; /* -1: it ended */
	int keeper_pid_fd;
	pid_t keeper_pid;
	bool closing;
	uint64_t last_request;
	struct pending *pendings;
	struct room *rooms;
	struct env_id frozen[FROZEN_MAX];
	size_t frozen_count;
};

/* ---- messages ---- */

static ssize_t message_take(int socket_fd, void *at, size_t length, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {at, length};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(int));
	return got;
}

static int message_send(int socket_fd, const void *at, size_t length, const int *fds, size_t fd_count, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {(void *)(uintptr_t)at, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	return sendmsg(socket_fd, &message, flags | MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

/* ---- the reader ---- */

static void pending_link(struct local *local, struct pending *pending)
{
	pending->fd = -1;
	pending->next = local->pendings;
	local->pendings = pending;
}

static void pending_unlink(struct local *local, const struct pending *pending)
{
	struct pending **place = &local->pendings;

	while (*place != pending)
		place = &(*place)->next;
	*place = pending->next;
}

static struct pending *pending_find(struct local *local, const struct room *room, uint64_t id)
{
	struct pending *pending = local->pendings;

	while (pending && (pending->room != room || pending->id != id || pending->done))
		pending = pending->next;
	return pending;
}

static void pendings_fail(struct local *local, const struct room *room)
{
	for (struct pending *pending = local->pendings; pending; pending = pending->next)
		if (pending->room == room && !pending->done)
			pending->done = pending->lost = true;
	(void)pthread_cond_broadcast(&local->changed);
}

static void room_lost(struct local *local, struct room *room)
{
	if (room->control_fd < 0)
		return;
	(void)close(room->control_fd);
	room->control_fd = -1;
	for (struct program *program = room->programs; program; program = program->next)
		if (!program->ended)
			program->ended = program->gone = true;
	pendings_fail(local, room);
}

static void keeper_lost(struct local *local)
{
	(void)close(local->keeper_fd);
	local->keeper_fd = -1;
	local->frozen_count = 0;
	pendings_fail(local, NULL);
}

static void keeper_read(struct local *local)
{
	for (;;) {
		struct keeper_reply reply;
		struct pending *pending;
		int fd;
		ssize_t got = message_take(local->keeper_fd, &reply, sizeof(reply), &fd);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		pending = got == (ssize_t)sizeof(reply) ? pending_find(local, NULL, reply.header.request) : NULL;
		if (pending) {
			pending->keeper = reply;
			pending->keeper.text[sizeof(reply.text) - 1] = '\0';
			pending->fd = fd;
			pending->done = true;
			(void)pthread_cond_broadcast(&local->changed);
			continue;
		}
		if (fd >= 0)
			(void)close(fd);
		if (got != (ssize_t)sizeof(reply)) {
			keeper_lost(local);
			return;
		}
	}
}

static void program_ended(struct local *local, struct room *room, const struct init_reply *event)
{
	for (struct program *program = room->programs; program; program = program->next)
		if (program->id == event->id && !program->ended) {
			program->ended = true;
			program->status = event->status;
			(void)pthread_cond_broadcast(&local->changed);
		}
}

static void room_read(struct local *local, struct room *room)
{
	while (room->control_fd >= 0) {
		struct init_reply reply;
		struct pending *pending;
		int fd;
		ssize_t got = message_take(room->control_fd, &reply, sizeof(reply), &fd);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got != (ssize_t)sizeof(reply))
			room_lost(local, room);
		else if (reply.ask == INIT_EXIT)
			program_ended(local, room, &reply);
		else if ((pending = pending_find(local, room, reply.id))) {
			pending->init = reply;
			pending->fd = TAKE_FD(fd);
			pending->done = true;
			(void)pthread_cond_broadcast(&local->changed);
		}
		if (fd >= 0)
			(void)close(fd);
	}
}

/* An event names its socket; a room that was removed meanwhile is not found. */
static void event_serve(struct local *local, int fd)
{
	if (fd == local->keeper_fd)
		keeper_read(local);
	else
		for (struct room *room = local->rooms; room; room = room->next)
			if (room->control_fd == fd) {
				room_read(local, room);
				return;
			}
}

static void *reader(void *self)
{
	struct local *local = self;
	bool closing = false;

	while (!closing) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(local->epoll_fd, events, EVENTS_MAX, -1);

		(void)pthread_mutex_lock(&local->mutex);
		for (int i = 0; i < count; i++)
			if (events[i].data.fd != local->wake_fd)
				event_serve(local, events[i].data.fd);
		closing = local->closing;
		(void)pthread_mutex_unlock(&local->mutex);
	}
	return NULL;
}

static void watch(struct local *local, int fd)
{
	(void)epoll_ctl(local->epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

/* Waits, holding the mutex, until *done or the deadline (0: none). */
static bool wait_for(struct local *local, const bool *done, int64_t deadline_ms)
{
	struct timespec until = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};

	while (!*done) {
		if (!deadline_ms)
			(void)pthread_cond_wait(&local->changed, &local->mutex);
		else if (pthread_cond_timedwait(&local->changed, &local->mutex, &until) == ETIMEDOUT)
			return *done;
	}
	return true;
}

/* ---- the keeper ---- */

/* Waits for the keeper's first message: what became of its start. */
static int ready_wait(int fd, struct err *err)
{
	struct pollfd polled = {fd, POLLIN, 0};
	struct keeper_reply ready;
	int none;

	if (poll(&polled, 1, READY_TIMEOUT_MS) <= 0)
		return err_set(err, ERR_RETRY, "the keeper was not ready within %d s", READY_TIMEOUT_MS / 1000);
	if (message_take(fd, &ready, sizeof(ready), &none) != (ssize_t)sizeof(ready))
		return err_set(err, ERR_BROKEN, "the keeper ended when it started (its log says why)");
	ready.text[sizeof(ready.text) - 1] = '\0';
	return ready.kind ? err_set(err, (enum err_kind)ready.kind, "%s", ready.text) : 0;
}

/* Holding the mutex: starts the keeper if it does not run. */
static int keeper_ensure(struct local *local, struct err *err)
{
	const char *argv[] = {local->program, "keeper", "--state", local->state_dir, NULL};
	AUTO_FREE char *log = text_format("ASSAY_LOG=%s", getenv("ASSAY_LOG") ? getenv("ASSAY_LOG") : "info");
	const char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", log, NULL};
	AUTO_CLOSE int null_fd = -1;
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	int pair[2];

	if (local->keeper_fd >= 0)
		return 0;
	if (local->keeper_pid_fd >= 0) {
		(void)!process_wait(local->keeper_pid_fd, 0, &pair[0], NULL);
		scope_close(&local->keeper_pid_fd);
		local->keeper_pid_fd = -1;
		log_warn("the keeper ended: starting another");
	}
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_errno(err, errno, "cannot make the keeper's socket");
	ours = pair[0];
	theirs = pair[1];
	if (process_start(argv, env, (int[]){null_fd, STDERR_FILENO, STDERR_FILENO, theirs}, 4, &local->keeper_pid,
			  &local->keeper_pid_fd, err))
		return err_prefix(err, "cannot start the keeper");
	scope_close(&theirs);
	theirs = -1;
	if (ready_wait(ours, err)) {
		int status;

		scope_close(&ours);
		ours = -1;
		(void)!process_wait(local->keeper_pid_fd, READY_TIMEOUT_MS, &status, NULL);
		scope_close(&local->keeper_pid_fd);
		local->keeper_pid_fd = -1;
		return -1;
	}
	local->keeper_fd = TAKE_FD(ours);
	watch(local, local->keeper_fd);
	return 0;
}

/* One request and its reply. *fd (may be NULL) is what came with it. */
static int keeper_ask(struct local *local, struct keeper_request *request, enum keeper_ask ask, int send_fd,
		      struct keeper_reply *reply, int *fd, struct err *err)
{
	struct pending pending = {0};
	int keeper_fd;
	bool sent;

	(void)pthread_mutex_lock(&local->mutex);
	if (keeper_ensure(local, err)) {
		(void)pthread_mutex_unlock(&local->mutex);
		return -1;
	}
	pending.id = ++local->last_request;
	request->header = (struct message_header){
		.length = sizeof(*request), .version = MESSAGE_VERSION, .name = (uint16_t)ask, .request = pending.id};
	pending_link(local, &pending);
	keeper_fd = local->keeper_fd;
	(void)pthread_mutex_unlock(&local->mutex);

	(void)pthread_mutex_lock(&local->send_mutex);
	sent = message_send(keeper_fd, request, sizeof(*request), &send_fd, send_fd >= 0 ? 1 : 0, 0) == 0;
	(void)pthread_mutex_unlock(&local->send_mutex);

	(void)pthread_mutex_lock(&local->mutex);
	if (sent)
		(void)wait_for(local, &pending.done, 0);
	pending_unlink(local, &pending);
	(void)pthread_mutex_unlock(&local->mutex);
	if (!sent || pending.lost)
		return err_set(err, ERR_RETRY, "the keeper ended: asking again starts another");
	if (reply)
		*reply = pending.keeper;
	if (fd)
		*fd = TAKE_FD(pending.fd);
	if (pending.fd >= 0)
		(void)close(pending.fd);
	return pending.keeper.kind ? err_set(err, (enum err_kind)pending.keeper.kind, "%s", pending.keeper.text) : 0;
}

/* Requests are large: on the heap. */
static struct keeper_request *request_new(struct env_id env, const char *name)
{
	struct keeper_request *request = mem_new(sizeof(*request));

	request->env = env;
	(void)snprintf(request->name, sizeof(request->name), "%s", name ? name : "");
	return request;
}

/* ---- rooms ---- */

static struct room *room_find(struct local *local, struct env_id env, const char *name)
{
	struct room *room = local->rooms;

	while (room && (strcmp(room->env.text, env.text) != 0 || strcmp(room->name, name) != 0))
		room = room->next;
	return room;
}

/* Holding the mutex. */
static void room_free_unused(struct room *room)
{
	if (!room->removed || room->users)
		return;
	while (room->programs) {
		struct program *program = room->programs;

		room->programs = program->next;
		free(program);
	}
	free(room);
}

/* Forgets the rooms of an environment (`name` NULL), or one. */
static void rooms_forget(struct local *local, struct env_id env, const char *name)
{
	struct room **place;

	(void)pthread_mutex_lock(&local->mutex);
	place = &local->rooms;
	while (*place) {
		struct room *room = *place;

		if (strcmp(room->env.text, env.text) != 0 || (name && strcmp(room->name, name) != 0)) {
			place = &room->next;
			continue;
		}
		*place = room->next;
		room_lost(local, room);
		room->removed = true;
		room_free_unused(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
}

static bool env_is_frozen(const struct local *local, struct env_id env)
{
	for (size_t i = 0; i < local->frozen_count; i++)
		if (strcmp(local->frozen[i].text, env.text) == 0)
			return true;
	return false;
}

static void env_frozen_set(struct local *local, struct env_id env, bool frozen)
{
	(void)pthread_mutex_lock(&local->mutex);
	for (size_t i = 0; i < local->frozen_count; i++)
		if (strcmp(local->frozen[i].text, env.text) == 0)
			local->frozen[i--] = local->frozen[--local->frozen_count];
	if (frozen && local->frozen_count < FROZEN_MAX)
		local->frozen[local->frozen_count++] = env;
	(void)pthread_mutex_unlock(&local->mutex);
}

/* Holding the mutex: the room, alive and thawed, with one more user. */
static int room_use(struct local *local, struct env_id env, const char *name, struct room **room, struct err *err)
{
	*room = room_find(local, env, name);
	if (!*room)
		return err_set(err, ERR_NOT_FOUND, "there is no sandbox %s in environment %s", name, env.text);
	if ((*room)->control_fd < 0)
		return err_set(err, ERR_CONFLICT, "sandbox %s has ended", name);
	if (env_is_frozen(local, env))
		return err_set(err, ERR_CONFLICT, "environment %s is frozen: thaw it first", env.text);
	(*room)->users++;
	return 0;
}

static void room_unuse(struct room *room)
{
	room->users--;
	room_free_unused(room);
}

/* Holding the mutex: one request to a pid 1 and its reply; *fd is what came with it, or NULL when nothing is wanted. */
static int room_ask(struct local *local, struct room *room, struct init_request *request, const int *fds, size_t fd_count, int *fd,
		    struct err *err)
{
	struct pending pending = {.room = room, .id = request->id};
	bool done;

	if (message_send(room->control_fd, request, sizeof(*request), fds, fd_count, MSG_DONTWAIT))
		return err_errno(err, errno, "cannot reach sandbox %s", room->name);
	pending_link(local, &pending);
	done = wait_for(local, &pending.done, world_elapsed_ms(world_real) + CONTROL_TIMEOUT_MS);
	pending_unlink(local, &pending);
	if (fd)
		*fd = TAKE_FD(pending.fd);
	if (pending.fd >= 0)
		(void)close(pending.fd);
	if (!done)
		return err_set(err, ERR_RETRY, "sandbox %s does not answer", room->name);
	if (pending.lost)
		return err_set(err, ERR_CONFLICT, "sandbox %s has ended", room->name);
	if (!pending.init.errno_value && fd && *fd < 0)
		return err_set(err, ERR_BROKEN, "sandbox %s sent no descriptor", room->name);
	return pending.init.errno_value;
}

/* ---- provider: environments ---- */

static int local_env_make(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	return keeper_ask(self, request, KEEPER_ENV_MAKE, -1, NULL, NULL, err);
}

static int local_env_remove(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	if (keeper_ask(self, request, KEEPER_ENV_REMOVE, -1, NULL, NULL, err))
		return -1;
	rooms_forget(self, env, NULL);
	env_frozen_set(self, env, false);
	return 0;
}

static int local_env_stop(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	if (keeper_ask(self, request, KEEPER_ENV_STOP, -1, NULL, NULL, err))
		return -1;
	rooms_forget(self, env, NULL);
	env_frozen_set(self, env, false);
	return 0;
}

static int local_env_freeze(void *self, struct env_id env, bool frozen, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	request->flag = frozen;
	if (keeper_ask(self, request, KEEPER_ENV_FREEZE, -1, NULL, NULL, err))
		return -1;
	env_frozen_set(self, env, frozen);
	return 0;
}

/* The bytes of a list that the keeper made. */
static int list_read(int fd, struct buf *bytes, struct err *err)
{
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_BROKEN, "the keeper sent no list");
	return file_read_fd(fd, bytes, err);
}

static json_t *local_env_list(void *self, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_BUF bytes = buf_new(LIST_BYTES_MAX);
	AUTO_CLOSE int fd = -1;
	json_t *list, *env = NULL;

	if (keeper_ask(self, request, KEEPER_ENV_LIST, -1, NULL, &fd, err) || list_read(fd, &bytes, err))
		return NULL;
	list = json_array();
	for (size_t at = 0; at + sizeof(struct keeper_env_row) <= bytes.length; at += sizeof(struct keeper_env_row)) {
		struct keeper_env_row row;

		memcpy(&row, bytes.at + at, sizeof(row));
		if (row.sandbox[0]) {
			(void)json_array_append_new(json_object_get(env, "sandboxes"), json_string(row.sandbox));
			continue;
		}
		env = json_pack("{s:s, s:[], s:b}", "env", row.env.text, "sandboxes", "frozen", (int)row.frozen);
		(void)json_array_append_new(list, env);
	}
	return list;
}

/* ---- provider: volumes and layers ---- */

static int local_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			     bool blocks, bool *copied, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);
	struct keeper_reply reply;

	request->flag = blocks;
	request->layer_count = (uint32_t)layer_count;
	for (size_t i = 0; i < layer_count; i++)
		(void)snprintf(request->layers[i], sizeof(request->layers[i]), "%s", layers[i]);
	if (keeper_ask(self, request, KEEPER_VOLUME_MAKE, -1, &reply, NULL, err))
		return -1;
	if (copied)
		*copied = reply.copied;
	return 0;
}

static int local_volume_remove(void *self, struct env_id env, const char *volume, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);

	return keeper_ask(self, request, KEEPER_VOLUME_REMOVE, -1, NULL, NULL, err);
}

static int local_volume_commit(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			       struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);
	AUTO_CLOSE int fd = memfd_create("meta", MFD_CLOEXEC);
	AUTO_BUF text = buf_new(KEEPER_META_BYTES_MAX);
	AUTO_JSON empty = json_object();

	json_format(&text, meta ? meta : empty);
	if (buf_finish(&text, err))
		return err_prefix(err, "the layer's meta");
	if (fd < 0 || file_write_fd(fd, buf_view(&text), err))
		return err_errno(err, errno, "cannot make a memfd");
	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	return keeper_ask(self, request, KEEPER_VOLUME_COMMIT, fd, NULL, NULL, err);
}

static int local_volume_clone(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(from, volume);

	request->env_to = to;
	return keeper_ask(self, request, KEEPER_VOLUME_CLONE, -1, NULL, NULL, err);
}

static json_t *local_layer_list(void *self, const char *prefix, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_BUF bytes = buf_new(LIST_BYTES_MAX);
	AUTO_CLOSE int fd = -1;
	struct keeper_layer_row row;
	json_t *list;

	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", prefix);
	if (keeper_ask(self, request, KEEPER_LAYER_LIST, -1, NULL, &fd, err) || list_read(fd, &bytes, err))
		return NULL;
	list = json_array();
	for (size_t at = 0; at + sizeof(row) <= bytes.length; at += sizeof(row) + row.meta_bytes) {
		json_t *meta;

		memcpy(&row, bytes.at + at, sizeof(row));
		if (row.meta_bytes > bytes.length - at - sizeof(row))
			break;
		meta = json_parse(view_make(bytes.at + at + sizeof(row), row.meta_bytes), NULL);
		(void)json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I}", "layer", row.name, "meta",
							    meta ? meta : json_object(), "bytes", (json_int_t)row.bytes,
							    "created_ms", (json_int_t)row.created_ms));
	}
	return list;
}

static int local_layer_remove(void *self, const char *layer, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);

	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	return keeper_ask(self, request, KEEPER_LAYER_REMOVE, -1, NULL, NULL, err);
}

/* ---- provider: sandboxes ---- */

static int local_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err)
{
	struct local *local = self;
	AUTO_FREE struct keeper_request *request = request_new(spec->env, spec->name);
	struct room *room;
	int fd = -1;

	(void)snprintf(request->image, sizeof(request->image), "%s", spec->image ? spec->image : "");
	request->limits = spec->limits;
	request->mount_count = (uint32_t)spec->mount_count;
	for (size_t i = 0; i < spec->mount_count; i++) {
		(void)snprintf(request->mounts[i].volume, sizeof(request->mounts[i].volume), "%s", spec->mounts[i].volume);
		(void)snprintf(request->mounts[i].path, sizeof(request->mounts[i].path), "%s", spec->mounts[i].path);
		request->mounts[i].read_only = spec->mounts[i].read_only;
	}
	if (keeper_ask(local, request, KEEPER_SANDBOX_MAKE, -1, NULL, &fd, err))
		return -1;
	if (fd < 0)
		return err_set(err, ERR_BROKEN, "the keeper sent no control socket");
	rooms_forget(local, spec->env, spec->name); /* one that the last keeper had */
	room = mem_new(sizeof(*room));
	room->env = spec->env;
	(void)snprintf(room->name, sizeof(room->name), "%s", spec->name);
	room->control_fd = fd;
	(void)pthread_mutex_lock(&local->mutex);
	room->next = local->rooms;
	local->rooms = room;
	watch(local, fd);
	(void)pthread_mutex_unlock(&local->mutex);
	return 0;
}

static int local_sandbox_remove(void *self, struct env_id env, const char *name, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, name);

	if (keeper_ask(self, request, KEEPER_SANDBOX_REMOVE, -1, NULL, NULL, err))
		return -1;
	rooms_forget(self, env, name);
	return 0;
}

/* A request to a room that gives a descriptor. */
static int descriptor_get(struct local *local, struct env_id env, const char *name, enum init_ask ask, int *fd, struct err *err)
{
	struct init_request request = {.ask = ask};
	struct room *room;
	int result;

	*fd = -1;
	(void)pthread_mutex_lock(&local->mutex);
	result = room_use(local, env, name, &room, err);
	if (!result) {
		request.id = ++room->last_id;
		result = room_ask(local, room, &request, NULL, 0, fd, err);
		if (result > 0)
			result = err_errno(err, result, "sandbox %s cannot make a socket", name);
		room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static int local_sandbox_door(void *self, struct env_id env, const char *name, int *fd, struct err *err)
{
	return descriptor_get(self, env, name, INIT_DOOR, fd, err);
}

/* The socket belongs to the room's network, the connect is ours. */
static int local_sandbox_dial(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	AUTO_CLOSE int dialled = -1;
	int failed = 0;

	if (descriptor_get(self, env, name, INIT_SOCKET, &dialled, err))
		return -1;
	if (connect(dialled, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
		failed = errno;
	else {
		struct pollfd polled = {dialled, POLLOUT, 0};
		socklen_t length = sizeof(failed);

		if (poll(&polled, 1, DIAL_TIMEOUT_MS) <= 0)
			failed = ETIMEDOUT;
		else if (getsockopt(dialled, SOL_SOCKET, SO_ERROR, &failed, &length))
			failed = errno;
	}
	if (!failed && fcntl(dialled, F_SETFL, 0))
		failed = errno;
	if (failed)
		return err_errno(err, failed, "port %u of sandbox %s", port, name);
	*fd = TAKE_FD(dialled);
	return 0;
}

static int local_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, name);
	struct keeper_reply reply;

	if (keeper_ask(self, request, KEEPER_SANDBOX_USAGE, -1, &reply, NULL, err))
		return -1;
	*usage = reply.usage;
	return 0;
}

/* ---- provider: programs ---- */

static uint32_t texts_add(struct buf *texts, const char *const *list)
{
	uint32_t count = 0;

	for (; list && list[count]; count++)
		buf_add(texts, list[count], strlen(list[count]) + 1);
	return count;
}

/* A memfd with argv, env and dir. */
static int texts_make(const struct program_spec *spec, struct init_request *request, int *fd, struct err *err)
{
	AUTO_BUF texts = buf_new(INIT_TEXTS_BYTES_MAX);
	AUTO_CLOSE int made = memfd_create("texts", MFD_CLOEXEC);
	const char *dir = spec->dir ? spec->dir : "/";

	request->argv_count = texts_add(&texts, spec->argv);
	request->env_count = texts_add(&texts, spec->env);
	buf_add(&texts, dir, strlen(dir) + 1);
	if (buf_finish(&texts, err))
		return err_prefix(err, "the program's arguments and environment");
	if (request->argv_count > INIT_TEXTS_MAX || request->env_count > INIT_TEXTS_MAX)
		return err_set(err, ERR_LIMIT, "a program has more than %d arguments", INIT_TEXTS_MAX);
	if (made < 0 || file_write_fd(made, buf_view(&texts), err))
		return err_errno(err, errno, "cannot make a memfd");
	*fd = TAKE_FD(made);
	return 0;
}

static void program_forget(struct room *room, const struct program *program)
{
	struct program **place = &room->programs;

	while (*place != program)
		place = &(*place)->next;
	*place = program->next;
	free((void *)(uintptr_t)program);
}

static int local_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			       struct err *err)
{
	struct local *local = self;
	struct init_request request = {.ask = INIT_START, .as_root = spec->as_root, .terminal = spec->terminal};
	struct program *program;
	AUTO_CLOSE int texts = -1;
	int fds[4], result;
	struct room *room;
	size_t count = 1;

	if (texts_make(spec, &request, &texts, err))
		return -1;
	fds[0] = texts;
	for (unsigned i = 0; i < 3; i++)
		if (spec->fds[i] >= 0) {
			request.stdio |= 1u << i;
			fds[count++] = spec->fds[i];
		}
	(void)pthread_mutex_lock(&local->mutex);
	result = room_use(local, env, name, &room, err);
	if (!result) {
		program = mem_new(sizeof(*program));
		program->id = request.id = ++room->last_id;
		program->next = room->programs;
		room->programs = program;
		result = room_ask(local, room, &request, fds, count, NULL, err);
		if (result > 0)
			result = err_errno(err, result, "cannot run `%s` in sandbox %s", spec->argv[0], name);
		if (result)
			program_forget(room, program);
		else
			*process = program->id;
		room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static struct program *program_find(const struct room *room, uint32_t id)
{
	struct program *program = room ? room->programs : NULL;

	while (program && program->id != id)
		program = program->next;
	return program;
}

/* Was it the kernel, for want of memory? Asked only when a SIGKILL that was not ours ended it. */
static bool was_oom(struct local *local, struct room *room)
{
	struct sandbox_usage usage;
	struct err ignored;
	bool oom;

	if (local_sandbox_usage(local, room->env, room->name, &usage, &ignored))
		return false;
	(void)pthread_mutex_lock(&local->mutex);
	oom = usage.oom_kills > room->oom_seen;
	room->oom_seen = usage.oom_kills;
	(void)pthread_mutex_unlock(&local->mutex);
	return oom;
}

static void status_tell(struct local *local, struct room *room, const struct program *program, struct exit_status *status)
{
	bool maybe_oom;

	if (program->gone)
		*status = (struct exit_status){EXIT_GONE, 0};
	else if (WIFSIGNALED(program->status))
		*status = (struct exit_status){EXIT_SIGNAL, WTERMSIG(program->status)};
	else
		*status = (struct exit_status){EXIT_CODE, WEXITSTATUS(program->status)};
	maybe_oom = program->gone || (status->reason == EXIT_SIGNAL && status->code == SIGKILL) ||
		    (status->reason == EXIT_CODE && status->code == KILLED_BY_SHELL);
	if (maybe_oom && !program->killed && !room->removed && was_oom(local, room))
		*status = (struct exit_status){EXIT_OOM, SIGKILL};
}

static int local_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			      struct exit_status *status, struct err *err)
{
	struct local *local = self;
	struct program *program, ended = {0};
	struct room *room;
	int result = 0;

	(void)pthread_mutex_lock(&local->mutex);
	room = room_find(local, env, name);
	program = program_find(room, process);
	if (!program) {
		(void)pthread_mutex_unlock(&local->mutex);
		return err_set(err, ERR_NOT_FOUND, "sandbox %s has no program %u", name, process);
	}
	room->users++;
	if (timeout_ms == 0 ? !program->ended
			    : !wait_for(local, &program->ended, timeout_ms < 0 ? 0 : world_elapsed_ms(world_real) + timeout_ms))
		result = err_set(err, ERR_RETRY, "program %u of sandbox %s still runs", process, name);
	else {
		ended = *program;
		program_forget(room, program);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	if (!result)
		status_tell(local, room, &ended, status);
	(void)pthread_mutex_lock(&local->mutex);
	room_unuse(room);
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static int local_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number,
				struct err *err)
{
	struct local *local = self;
	struct init_request request = {.ask = INIT_SIGNAL, .program = process, .signal_number = signal_number};
	struct program *program;
	struct room *room;
	int result;

	(void)pthread_mutex_lock(&local->mutex);
	result = room_use(local, env, name, &room, err);
	if (!result) {
		program = program_find(room, process);
		if (program && signal_number == SIGKILL)
			program->killed = true;
		request.id = ++room->last_id;
		result = room_ask(local, room, &request, NULL, 0, NULL, err);
		if (result > 0)
			result = err_errno(err, result, "cannot signal program %u of sandbox %s", process, name);
		room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static const struct provider_ops local_ops = {
	.name = "local",
	.env_make = local_env_make,
	.env_remove = local_env_remove,
	.env_stop = local_env_stop,
	.env_freeze = local_env_freeze,
	.env_list = local_env_list,
	.volume_make = local_volume_make,
	.volume_remove = local_volume_remove,
	.volume_commit = local_volume_commit,
	.volume_clone = local_volume_clone,
	.layer_list = local_layer_list,
	.layer_remove = local_layer_remove,
	.sandbox_make = local_sandbox_make,
	.sandbox_remove = local_sandbox_remove,
	.sandbox_door = local_sandbox_door,
	.program_start = local_program_start,
	.program_wait = local_program_wait,
	.program_signal = local_program_signal,
	.sandbox_dial = local_sandbox_dial,
	.sandbox_usage = local_sandbox_usage,
};

/* ---- open and close ---- */

static void local_free(struct local *local)
{
	scope_close(&local->keeper_pid_fd);
	scope_close(&local->epoll_fd);
	scope_close(&local->wake_fd);
	free(local->state_dir);
	free(local->program);
	free(local);
}

int local_provider_open(const struct local_options *options, struct provider *provider, struct err *err)
{
	struct local *local = mem_new(sizeof(*local));
	pthread_condattr_t attributes;
	int result;

	local->keeper_fd = local->keeper_pid_fd = -1;
	local->state_dir = text_copy(options->state_dir);
	local->program = text_copy(options->program ? options->program : "/proc/self/exe");
	local->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	local->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&local->mutex, NULL);
	(void)pthread_mutex_init(&local->send_mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&local->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (local->epoll_fd < 0 || local->wake_fd < 0)
		result = err_errno(err, errno, "cannot make the provider's descriptors");
	else {
		watch(local, local->wake_fd);
		result = keeper_ensure(local, err);
	}
	if (!result && pthread_create(&local->thread, NULL, reader, local))
		result = err_set(err, ERR_RETRY, "cannot start the provider's thread");
	if (result) {
		local_free(local);
		return -1;
	}
	*provider = (struct provider){&local_ops, local};
	return 0;
}

void local_provider_close(struct provider provider)
{
	struct local *local = provider.self;
	struct room *room;
	int status;

	(void)pthread_mutex_lock(&local->mutex);
	local->closing = true;
	(void)pthread_mutex_unlock(&local->mutex);
	(void)!write(local->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)pthread_join(local->thread, NULL);
	(void)pthread_mutex_lock(&local->mutex);
	if (local->keeper_fd >= 0)
		keeper_lost(local); /* it sees the end of its socket, and ends */
	(void)pthread_mutex_unlock(&local->mutex);
	if (local->keeper_pid_fd >= 0)
		(void)!process_wait(local->keeper_pid_fd, READY_TIMEOUT_MS, &status, NULL);
	while ((room = local->rooms)) {
		local->rooms = room->next;
		room_lost(local, room);
		room->removed = true;
		room_free_unused(room);
	}
	local_free(local);
}

pid_t local_provider_keeper(struct provider provider)
{
	const struct local *local = provider.self;

	return local->keeper_pid;
}
