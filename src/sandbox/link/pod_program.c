/* Programs of a pod: those of the room by its pid 1, those beside it, their streams, and the ports that are dialled. */
#include "sandbox/link/pod_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "net/door.h"
#include "net/socket.h"

#define START_HEAD (4 * (size_t)LINK_START_FIELDS)

/* ---- to pid 1 and to the control plane ---- */

/* An errno. */
static int init_ask(struct pod *pod, const struct init_request *request, const int *fds, size_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * (1 + POD_STREAMS))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {(void *)(uintptr_t)request, sizeof(*request)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (pod->control_fd < 0)
		return ENOTCONN;
	if (fd_count) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * fd_count);
	}
	return sendmsg(pod->control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*request) ? 0 : errno;
}

static void reply_send(struct pod *pod, uint32_t id, int errno_value, struct view more)
{
	AUTO_BUF body = buf_new(256);

	strand_put_u32(&body, (uint32_t)errno_value);
	buf_add_view(&body, more);
	mux_send(pod->mux, LINK_REPLY, id, buf_view(&body));
}

/* ---- programs ---- */

static struct pod_program *program_find(struct pod *pod, uint32_t id)
{
	struct pod_program *program = pod->programs;

	while (program && program->id != id)
		program = program->next;
	return program;
}

static void program_end(void *self)
{
	free(self);
}

static void program_forget(struct pod_program *program)
{
	struct pod_program **place = &program->pod->programs;

	while (*place != program)
		place = &(*place)->next;
	*place = program->next;
	if (program->pid_fd >= 0) {
		loop_watch_remove(program->pod->loop, &program->pid_watch);
		(void)close(program->pid_fd);
	}
	if (program->terminal_fd >= 0)
		(void)close(program->terminal_fd);
	loop_defer(program->pod->loop, program_end, program);
}

static void streams_drop(struct pod *pod, uint32_t id)
{
	for (uint32_t which = 0; which < POD_STREAMS; which++)
		mux_stream_drop(pod->mux, LINK_STREAM(id, which));
}

/* Tells a program's end once everything is on its way that it had written by then. */
static void end_tell(struct pod_program *program)
{
	struct pod *pod = program->pod;
	AUTO_BUF body = buf_new(8);

	for (uint32_t which = 1; which < POD_STREAMS; which++) {
		int64_t ignored = 0;
		int64_t read = mux_stream_read(pod->mux, LINK_STREAM(program->id, which), &ignored);

		if (read >= 0 && read < program->until[which])
			return;
	}
	mux_stream_drop(pod->mux, LINK_STREAM(program->id, 0)); /* nobody reads that any more */
	strand_put_u32(&body, (uint32_t)program->status);
	mux_send(pod->mux, LINK_EXIT, program->id, buf_view(&body));
	program_forget(program);
}

static void program_ended(struct pod_program *program, int status)
{
	program->ended = true;
	program->status = status;
	for (uint32_t which = 1; which < POD_STREAMS; which++) {
		int64_t there = 0;
		int64_t read = mux_stream_read(program->pod->mux, LINK_STREAM(program->id, which), &there);

		program->until[which] = read < 0 ? -1 : read + there;
	}
	end_tell(program);
}

void pod_moved(void *self, uint32_t stream)
{
	struct pod *pod = self;
	struct pod_program *program = program_find(pod, stream / 4);

	if (link_is_open(stream / 4))
		pod_door_moved(pod->door, stream / 4);
	if (program && program->ended)
		end_tell(program);
}

/* What is to be started: views into the message. */
struct start {
	uint32_t fields[LINK_START_FIELDS];
	struct view texts;
	int theirs[POD_STREAMS]; /* the program's descriptors */
	int fd_count;
};

static void fds_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
		fds[i] = -1;
	}
}

/* A terminal for the program, the master for us: read and written by a descriptor each. */
static int terminal_open(struct pod_program *program, struct start *start)
{
	struct winsize size = {.ws_row = (unsigned short)start->fields[LINK_START_ROWS],
			       .ws_col = (unsigned short)start->fields[LINK_START_COLUMNS]};
	AUTO_CLOSE int master = -1;
	int slave;

	if (openpty(&master, &slave, NULL, NULL, &size))
		return errno;
	for (size_t i = 0; i < POD_STREAMS; i++)
		start->theirs[i] = i ? fcntl(slave, F_DUPFD_CLOEXEC, 3) : slave;
	(void)fcntl(slave, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFD, FD_CLOEXEC);
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
	program->terminal_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	mux_stream(program->pod->mux, LINK_STREAM(program->id, 0), -1, fcntl(master, F_DUPFD_CLOEXEC, 3));
	mux_stream(program->pod->mux, LINK_STREAM(program->id, 1), TAKE_FD(master), -1);
	return 0;
}

static int pipes_open(struct pod_program *program, struct start *start)
{
	for (uint32_t which = 0; which < POD_STREAMS; which++) {
		int pair[2], ours;

		if (!(start->fields[LINK_START_FLAGS] & (1u << which)))
			continue;
		if (pipe2(pair, O_CLOEXEC))
			return errno;
		start->theirs[which] = pair[which != 0];
		ours = pair[which == 0];
		(void)fcntl(ours, F_SETFL, O_NONBLOCK);
		mux_stream(program->pod->mux, LINK_STREAM(program->id, which), which ? ours : -1, which ? -1 : ours);
	}
	return 0;
}

/* ---- in the room ---- */

static int room_start(struct pod *pod, uint32_t id, struct start *start)
{
	uint32_t flags = start->fields[LINK_START_FLAGS];
	struct init_request request = {.ask = INIT_START,
				       .id = id,
				       .argv_count = start->fields[LINK_START_ARGC],
				       .env_count = start->fields[LINK_START_ENVC],
				       .stdio = flags & LINK_START_STDIO,
				       .as_root = (flags & LINK_START_ROOT) != 0,
				       .terminal = (flags & LINK_START_TERMINAL) != 0};
	AUTO_CLOSE int texts = file_anonymous(start->texts, NULL);
	int fds[1 + POD_STREAMS] = {texts};
	size_t count = 1;

	if (texts < 0)
		return ENOMEM;
	for (size_t i = 0; i < POD_STREAMS; i++)
		if (request.stdio & (1u << i))
			fds[count++] = start->theirs[i];
	return init_ask(pod, &request, fds, count);
}

/* ---- beside it ---- */

static void on_pid(struct loop_watch *watch, unsigned events)
{
	struct pod_program *program = (struct pod_program *)(void *)((char *)watch - offsetof(struct pod_program, pid_watch));
	int code = 0;

	(void)events;
	if (process_wait(program->pid_fd, 0, &code, NULL))
		return;
	loop_watch_remove(program->pod->loop, &program->pid_watch);
	program_ended(program, code << 8);
}

/* The texts as a list that ends with NULL. False: they are not what was said. */
static bool texts_cut(struct view texts, size_t count, const char **list)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		size_t length = at < texts.length ? strnlen(texts.at + at, texts.length - at) : 0;

		if (at + length >= texts.length)
			return false;
		list[i] = texts.at + at;
		at += length + 1;
	}
	list[count] = NULL;
	return true;
}

static int aside_start(struct pod_program *program, struct start *start)
{
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", NULL};
	size_t count = start->fields[LINK_START_ARGC];
	AUTO_FREE const char **argv = mem_new_array(count + 1, sizeof(*argv));
	AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[POD_STREAMS];
	struct err err = {0};
	pid_t pid;

	if (null_fd < 0 || !texts_cut(start->texts, count, argv))
		return EINVAL;
	for (size_t i = 0; i < POD_STREAMS; i++)
		fds[i] = start->theirs[i] >= 0 ? start->theirs[i] : null_fd;
	if (process_start(argv, env, fds, POD_STREAMS, &pid, &program->pid_fd, &err)) {
		log_warn("%s", err.text);
		return ENOENT;
	}
	program->pid_watch.ready = on_pid;
	if (loop_watch_add(program->pod->loop, &program->pid_watch, program->pid_fd, LOOP_READ, &err))
		log_error("%s", err.text);
	return 0;
}

static void start_serve(struct pod *pod, uint32_t id, struct view body)
{
	struct start start = {.theirs = {-1, -1, -1}};
	struct pod_program *program;
	bool aside;
	int failed;

	for (size_t i = 0; i < LINK_START_FIELDS; i++)
		start.fields[i] = strand_u32(body, 4 * i);
	if (body.length <= START_HEAD || body.at[body.length - 1] || start.fields[LINK_START_ARGC] > INIT_TEXTS_MAX ||
	    program_find(pod, id)) {
		reply_send(pod, id, EINVAL, VIEW(""));
		return;
	}
	start.texts = view_make(body.at + START_HEAD, body.length - START_HEAD);
	aside = start.fields[LINK_START_FLAGS] & LINK_START_ASIDE;
	program = mem_new(sizeof(*program));
	*program = (struct pod_program){.next = pod->programs, .pod = pod, .id = id, .pid_fd = -1, .terminal_fd = -1};
	pod->programs = program;
	failed = start.fields[LINK_START_FLAGS] & LINK_START_TERMINAL ? terminal_open(program, &start)
								      : pipes_open(program, &start);
	if (!failed)
		failed = aside ? aside_start(program, &start) : room_start(pod, id, &start);
	fds_close(start.theirs, POD_STREAMS);
	if (failed) {
		streams_drop(pod, id);
		program_forget(program);
	}
	if (failed || aside)
		reply_send(pod, id, failed, VIEW(""));
}

/* ---- what pid 1 says ---- */

static void usage_reply(struct pod *pod, const struct init_reply *reply, int fd)
{
	uint64_t usage[LINK_USAGE_FIELDS] = {0};
	AUTO_BUF body = buf_new(sizeof(usage));

	if (fd >= 0)
		pod_usage_read(fd, usage);
	for (size_t i = 0; i < LINK_USAGE_FIELDS; i++)
		strand_put_u64(&body, usage[i]);
	reply_send(pod, reply->id, reply->errno_value, buf_view(&body));
}

static void activity_reply(struct pod *pod, const struct init_reply *reply, int fd)
{
	AUTO_BUF body = buf_new(sizeof(uint64_t));

	strand_put_u64(&body, fd >= 0 ? pod_activity_read(fd) : ACTIVITY_UNKNOWN);
	reply_send(pod, reply->id, reply->errno_value, buf_view(&body));
}

void pod_init_reply(struct pod *pod, const struct init_reply *reply, int fd)
{
	struct pod_program *program = program_find(pod, reply->id);

	switch (reply->ask) {
	case INIT_START:
		if (program && reply->errno_value) {
			streams_drop(pod, program->id);
			program_forget(program);
		}
		reply_send(pod, reply->id, reply->errno_value, VIEW(""));
		break;
	case INIT_SIGNAL:
		if (reply->id)
			reply_send(pod, reply->id, reply->errno_value, VIEW(""));
		break;
	case INIT_GROUP:
		usage_reply(pod, reply, fd);
		break;
	case INIT_PROCESSES:
		activity_reply(pod, reply, fd);
		break;
	case INIT_EXIT:
		if (program && !program->ended && program->pid_fd < 0)
			program_ended(program, reply->status);
		break;
	default:
		break;
	}
}

/* ---- signals and sizes ---- */

static void signal_serve(struct pod *pod, uint32_t id, uint32_t number, int signal_number)
{
	const struct init_request request = {.ask = INIT_SIGNAL, .id = id, .program = number, .signal_number = signal_number};
	const struct pod_program *program = number ? program_find(pod, number) : NULL;
	int failed;

	if (program && program->pid_fd >= 0)
		failed = syscall(SYS_pidfd_send_signal, program->pid_fd, signal_number, NULL, 0) ? errno : 0;
	else
		failed = init_ask(pod, &request, NULL, 0);
	if (id && (failed || (program && program->pid_fd >= 0)))
		reply_send(pod, id, failed, VIEW(""));
}

void pod_programs_end(struct pod *pod)
{
	while (pod->programs) {
		struct pod_program *program = pod->programs;

		if (!program->ended)
			signal_serve(pod, 0, program->id, SIGKILL);
		streams_drop(pod, program->id);
		program_forget(program);
	}
	signal_serve(pod, 0, 0, SIGKILL); /* and what they left */
}

static void resize_serve(struct pod *pod, uint32_t id, struct view body)
{
	const struct pod_program *program = program_find(pod, id);
	struct winsize size = {.ws_row = (unsigned short)strand_u32(body, 0), .ws_col = (unsigned short)strand_u32(body, 4)};

	if (program && program->terminal_fd >= 0)
		(void)ioctl(program->terminal_fd, TIOCSWINSZ, &size);
}

/* ---- ports: of the pod, whose network the room shares ---- */

static void dial_begin(struct pod_dial *dial);

static void dial_end(void *self)
{
	free(self);
}

static void dial_finish(struct pod_dial *dial, int failed)
{
	struct pod *pod = dial->pod;
	struct pod_dial **place = &pod->dials;

	loop_watch_remove(pod->loop, &dial->watch);
	if (failed && dial->fd >= 0)
		(void)close(dial->fd);
	dial->fd = failed ? -1 : dial->fd;
	if (failed == ECONNREFUSED && !dial->v6) {
		dial->v6 = true;
		dial_begin(dial);
		return;
	}
	reply_send(pod, dial->id, failed, VIEW(""));
	if (!failed)
		mux_stream(pod->mux, LINK_STREAM(dial->id, 0), fcntl(dial->fd, F_DUPFD_CLOEXEC, 3), dial->fd);
	while (*place != dial)
		place = &(*place)->next;
	*place = dial->next;
	loop_defer(pod->loop, dial_end, dial);
}

static void on_dialled(struct loop_watch *watch, unsigned events)
{
	struct pod_dial *dial = (struct pod_dial *)(void *)((char *)watch - offsetof(struct pod_dial, watch));

	(void)events;
	dial_finish(dial, socket_error(dial->fd));
}

static void dial_begin(struct pod_dial *dial)
{
	AUTO_FREE char *address = text_format("%s:%u", dial->v6 ? "[::1]" : "127.0.0.1", dial->port);
	struct err err = {0};
	bool pending;

	if (socket_connect_tcp(address, &dial->fd, &pending, &err)) {
		dial->fd = -1;
		dial_finish(dial, ECONNREFUSED);
		return;
	}
	dial->watch.ready = on_dialled;
	if (loop_watch_add(dial->pod->loop, &dial->watch, dial->fd, LOOP_WRITE, &err))
		dial_finish(dial, EIO);
}

static void dial_serve(struct pod *pod, uint32_t id, struct view body)
{
	struct pod_dial *dial = mem_new(sizeof(*dial));

	*dial = (struct pod_dial){.next = pod->dials, .pod = pod, .id = id, .port = (uint16_t)strand_u32(body, 0), .fd = -1};
	pod->dials = dial;
	dial_begin(dial);
}

/* ---- what the control plane says ---- */

/* What is in the folder is told when pid 1 has given it. */
static void folder_serve(struct pod *pod, uint32_t id, enum init_ask ask)
{
	const struct init_request request = {.ask = ask, .id = id};
	int failed = init_ask(pod, &request, NULL, 0);

	if (failed)
		reply_send(pod, id, failed, VIEW(""));
}

void pod_message(void *self, unsigned kind, uint32_t id, struct view body)
{
	struct pod *pod = self;

	switch (kind) {
	case LINK_START:
		start_serve(pod, id, body);
		break;
	case LINK_SIGNAL:
		signal_serve(pod, id, strand_u32(body, 0), (int)strand_u32(body, 4));
		break;
	case LINK_RESIZE:
		resize_serve(pod, id, body);
		break;
	case LINK_DIAL:
		dial_serve(pod, id, body);
		break;
	case LINK_USAGE:
		folder_serve(pod, id, INIT_GROUP);
		break;
	case LINK_ACTIVITY:
		folder_serve(pod, id, INIT_PROCESSES);
		break;
	case LINK_LISTEN:
		pod_door_listen(pod->door, body);
		break;
	case LINK_BYE: /* with its control socket pid 1 ends, and with that all in its container */
		loop_stop(pod->loop);
		break;
	default:
		log_warn("the control plane sent a message of an unknown kind %u", kind);
	}
}
