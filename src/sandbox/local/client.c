/* The local provider's talk with the keeper and with the pid 1 of each room. */
#include "sandbox/local/keeper.h"
#include "sandbox/local/local_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "net/socket.h"

#define READY_TIMEOUT_MS 120000 /* a first start formats the pool */
#define CONTROL_TIMEOUT_MS 30000
#define EVENTS_MAX 64

/* ---- messages ---- */

static int message_send(int socket_fd, const void *at, size_t length, const int *fds, size_t fd_count, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {(void *)(uintptr_t)at, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count) {
		struct cmsghdr *header = &control.align;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
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

void local_room_lost(struct local *local, struct room *room)
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

void local_keeper_lost(struct local *local)
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
		ssize_t got = socket_take(local->keeper_fd, &reply, sizeof(reply), &fd);

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
			local_keeper_lost(local);
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
		ssize_t got = socket_take(room->control_fd, &reply, sizeof(reply), &fd);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got != (ssize_t)sizeof(reply))
			local_room_lost(local, room);
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

void *local_reader(void *self)
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

void local_watch(struct local *local, int fd)
{
	(void)epoll_ctl(local->epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

/* Waits, holding the mutex, until *done or the deadline (0: none). */
bool local_wait(struct local *local, const bool *done, int64_t deadline_ms)
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
	if (socket_take(fd, &ready, sizeof(ready), &none) != (ssize_t)sizeof(ready))
		return err_set(err, ERR_BROKEN, "the keeper ended when it started (its log says why)");
	ready.text[sizeof(ready.text) - 1] = '\0';
	return ready.kind ? err_set(err, (enum err_kind)ready.kind, "%s", ready.text) : 0;
}

/* Holding the mutex. */
static int keeper_begin(struct local *local, struct err *err)
{
	const char *argv[] = {local->program, "keeper", "--state", local->state_dir, local->runtime ? "--oci" : NULL,
			      local->runtime, NULL};
	AUTO_FREE char *log = text_format("ASSAY_LOG=%s", getenv("ASSAY_LOG") ? getenv("ASSAY_LOG") : "info");
	AUTO_FREE char *share = getenv(KEEPER_SHARE_VARIABLE)
					? text_format(KEEPER_SHARE_VARIABLE "=%s", getenv(KEEPER_SHARE_VARIABLE))
					: NULL;
	AUTO_FREE char *format = getenv("ASSAY_LOG_FORMAT") ? text_format("ASSAY_LOG_FORMAT=%s", getenv("ASSAY_LOG_FORMAT")) : NULL;
	const char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", log, share ? share : format, share ? format : NULL, NULL};
	AUTO_CLOSE int null_fd = -1;
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	int pair[2];

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
	local_watch(local, local->keeper_fd);
	return 0;
}

/* Holding the mutex: starts the keeper if it does not run. */
int keeper_ensure(struct local *local, struct err *err)
{
	int failed;

	if (local->keeper_fd >= 0)
		return 0;
	if (restart_allowed(&local->restart, world_elapsed_ms(world_real), "the keeper", err))
		return -1;
	failed = keeper_begin(local, err);
	restart_ended(&local->restart, world_elapsed_ms(world_real), !failed);
	return failed;
}

/* One request and its reply. *fd (may be NULL) is what came with it. */
int keeper_ask(struct local *local, struct keeper_request *request, enum keeper_ask ask, int send_fd, struct keeper_reply *reply,
	       int *fd, struct err *err)
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
		(void)local_wait(local, &pending.done, 0);
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
struct keeper_request *request_new(struct env_id env, const char *name)
{
	struct keeper_request *request = mem_new(sizeof(*request));

	request->env = env;
	(void)snprintf(request->name, sizeof(request->name), "%s", name ? name : "");
	return request;
}

/* ---- rooms ---- */

struct room *local_room_find(struct local *local, struct env_id env, const char *name)
{
	struct room *room = local->rooms;

	while (room && (strcmp(room->env.text, env.text) != 0 || strcmp(room->name, name) != 0))
		room = room->next;
	return room;
}

/* Holding the mutex. */
void local_room_free_unused(struct room *room)
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
void local_rooms_forget(struct local *local, struct env_id env, const char *name)
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
		local_room_lost(local, room);
		room->removed = true;
		local_room_free_unused(room);
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

void local_env_frozen_set(struct local *local, struct env_id env, bool frozen)
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
int local_room_use(struct local *local, struct env_id env, const char *name, struct room **room, struct err *err)
{
	*room = local_room_find(local, env, name);
	if (!*room)
		return err_set(err, ERR_NOT_FOUND, "there is no sandbox %s in environment %s", name, env.text);
	if ((*room)->control_fd < 0)
		return err_set(err, ERR_CONFLICT, "sandbox %s has ended", name);
	if (env_is_frozen(local, env))
		return err_set(err, ERR_CONFLICT, "environment %s is frozen: thaw it first", env.text);
	(*room)->users++;
	return 0;
}

void local_room_unuse(struct room *room)
{
	room->users--;
	local_room_free_unused(room);
}

/* Holding the mutex: one request to a pid 1 and its reply; *fd is what came with it, or NULL when nothing is wanted. */
int local_room_ask(struct local *local, struct room *room, struct init_request *request, const int *fds, size_t fd_count, int *fd,
		   struct err *err)
{
	struct pending pending = {.room = room, .id = request->id};
	bool done;

	if (message_send(room->control_fd, request, sizeof(*request), fds, fd_count, MSG_DONTWAIT))
		return err_errno(err, errno, "cannot reach sandbox %s", room->name);
	pending_link(local, &pending);
	done = local_wait(local, &pending.done, world_elapsed_ms(world_real) + CONTROL_TIMEOUT_MS);
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

/* The bytes of a list that the keeper made. */
int list_read(int fd, struct buf *bytes, struct err *err)
{
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_BROKEN, "the keeper sent no list");
	return file_read_fd(fd, bytes, err);
}
