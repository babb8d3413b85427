/*
 * assay-init: pid 1 of a room. Starts programs, reaps, reports, and makes sockets for the gateway.
 *
 * Theory of operation. The keeper has set up everything (namespaces, root, routes, redirect rules, limits, capabilities) before it
 * executes us; we install the system call filter first of all, so this program holds nothing that the programs of the room do not. It
 * makes the listeners of the door
 * first, before any program can take their ports, then serves requests from one poll loop. It never blocks on a peer and never
 * allocates more than one request needs. It ends, and with it every process of the room, when the control socket closes.
 *
 * `assay-init SOCKET` is pid 1 of a container of a cluster's pod: it connects to the pod's link (sandbox/link/pod.h), which is there before it. There
 * are no doors: the pod's containers have one network.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "net/door.h"
#include "sandbox/init/control.h"
#include "sandbox/init/user.h"
#include "sandbox/local/filter.h"

#define DOORS_MAX 16
#define PROGRAMS_MAX 4096
#define FDS_MAX 4 /* of one request */
#define LISTEN_BACKLOG 1024
#define ACCOUNTS_BYTES_MAX ((size_t)256 << 10)
#define STRAYS_PASSES_MAX 200 /* then whatever makes new ones faster than they are killed takes the room with it */
#define STRAYS_PAUSE_NS 1000000

enum { LISTENER_TCP4, LISTENER_TCP6, LISTENER_DNS_UDP, LISTENER_DNS_TCP, LISTENER_COUNT };

struct program {
	bool used;
	bool ended; /* and its end is not reported yet */
	pid_t pid;
	uint32_t id;
	int status;
};

static int listeners[LISTENER_COUNT];
static int doors[DOORS_MAX];
static size_t door_count;
static struct program programs[PROGRAMS_MAX];

static bool message_send(int socket_fd, const void *at, size_t length, const int *fds, size_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * DOOR_SOCKETS_MAX)];
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
	/* The control plane always reads; a gateway that does not loses its door (the caller closes it). */
	return sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

static ssize_t message_take(int socket_fd, void *at, size_t length, int fds[FDS_MAX], size_t *fd_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec part = {at, length};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd_count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); got >= 0 && header; header = CMSG_NXTHDR(&message, header)) {
		size_t bytes = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && bytes <= sizeof(int) * FDS_MAX) {
			*fd_count = bytes / sizeof(int);
			memcpy(fds, CMSG_DATA(header), bytes);
		}
	}
	return got;
}

static void fds_close(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

static int listener_make(int family, int type, uint16_t port)
{
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const struct sockaddr *address = family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
	socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);

	if (fd < 0)
		return -1;
	if (bind(fd, address, length) || (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool listeners_make(void)
{
	listeners[LISTENER_TCP4] = listener_make(AF_INET, SOCK_STREAM, DOOR_PORT);
	listeners[LISTENER_TCP6] = listener_make(AF_INET6, SOCK_STREAM, DOOR_PORT);
	listeners[LISTENER_DNS_UDP] = listener_make(AF_INET, SOCK_DGRAM, DOOR_DNS_PORT);
	listeners[LISTENER_DNS_TCP] = listener_make(AF_INET, SOCK_STREAM, DOOR_DNS_PORT);
	/* A kernel without IPv6 has nothing to redirect there: the same listener twice keeps the reply's shape. */
	if (listeners[LISTENER_TCP6] < 0)
		listeners[LISTENER_TCP6] = listeners[LISTENER_TCP4];
	for (size_t i = 0; i < LISTENER_COUNT; i++)
		if (listeners[i] < 0)
			return false;
	return true;
}

/* What a program is started from; the child of fork uses it. */
struct start {
	char *texts;
	char **argv;
	char **env;
	const char *dir;
	const char *user; /* "": as_root decides */
	int stdio[3];
	bool as_root;
	bool terminal;
};

static void start_fini(struct start *start)
{
	free(start->texts);
	free(start->argv);
	free(start->env);
}

/* Reads the memfd and cuts it into texts; an errno. */
static int start_read(struct start *start, const struct init_request *request, int texts_fd)
{
	struct stat info;
	size_t length, at = 0, count = (size_t)request->argv_count + request->env_count + 2;

	if (fstat(texts_fd, &info) || info.st_size <= 0 || info.st_size > INIT_TEXTS_BYTES_MAX)
		return E2BIG;
	if (!request->argv_count || request->argv_count > INIT_TEXTS_MAX || request->env_count > INIT_TEXTS_MAX)
		return EINVAL;
	length = (size_t)info.st_size;
	start->texts = malloc(length);
	start->argv = calloc((size_t)request->argv_count + 1, sizeof(char *));
	start->env = calloc((size_t)request->env_count + 2, sizeof(char *)); /* and HOME */
	if (!start->texts || !start->argv || !start->env)
		return ENOMEM;
	if (pread(texts_fd, start->texts, length, 0) != (ssize_t)length || start->texts[length - 1])
		return EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (at >= length)
			return EINVAL;
		if (i < request->argv_count)
			start->argv[i] = start->texts + at;
		else if (i < count - 2)
			start->env[i - request->argv_count] = start->texts + at;
		else if (i < count - 1)
			start->dir = start->texts + at;
		else
			start->user = start->texts + at;
		at += strlen(start->texts + at) + 1;
	}
	return 0;
}

static const char *env_find(char *const *env, const char *name)
{
	size_t length = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
			return *env + length + 1;
	return NULL;
}

/* execve in each folder of PATH, as a shell does; returns an errno. */
static int exec_in_path(const struct start *start)
{
	const char *path = env_find(start->env, "PATH");
	const char *name = start->argv[0];
	int worst = ENOENT;

	if (strchr(name, '/')) {
		(void)execve(name, start->argv, start->env);
		return errno;
	}
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; path;) {
		const char *end = strchrnul(path, ':');
		char file[4096];

		if (snprintf(file, sizeof(file), "%.*s/%s", (int)(end - path), path, name) < (int)sizeof(file))
			(void)execve(file, start->argv, start->env);
		if (errno != ENOENT && errno != ENOTDIR)
			worst = errno;
		path = *end ? end + 1 : NULL;
	}
	return worst;
}

/* A file of the room, at most ACCOUNTS_BYTES_MAX of it; "" when it cannot be read. */
static void text_read(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t used = 0;
	ssize_t got;

	while (fd >= 0 && used < ACCOUNTS_BYTES_MAX && (got = read(fd, text + used, ACCOUNTS_BYTES_MAX - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

/* In the child: becomes the user that an image names, with its home unless the environment says another; an errno. */
static int user_become(const struct start *start)
{
	static char passwd[ACCOUNTS_BYTES_MAX + 1], group[ACCOUNTS_BYTES_MAX + 1], home[sizeof("HOME=") + USER_HOME_MAX];
	struct user user;
	size_t count = 0;

	text_read("/etc/passwd", passwd);
	text_read("/etc/group", group);
	if (!user_find(start->user, passwd, group, &user))
		return ESRCH;
	if (setgroups(user.group_count, user.groups) || setresgid(user.gid, user.gid, user.gid) ||
	    setresuid(user.uid, user.uid, user.uid))
		return errno;
	if (env_find(start->env, "HOME"))
		return 0;
	while (start->env[count])
		count++;
	(void)snprintf(home, sizeof(home), "HOME=%s", user.home);
	start->env[count] = home;
	return 0;
}

static int usual_user_become(const struct start *start)
{
	gid_t group = start->as_root ? 0 : INIT_PROGRAM_UID;

	return setgroups(1, &group) || setresgid(group, group, group) || setresuid(group, group, group) ? errno : 0;
}

/* In the child: becomes the program. What fails is written to report_fd as an errno. */
static void program_become(const struct start *start, int report_fd) __attribute__((noreturn));
static void program_become(const struct start *start, int report_fd)
{
	sigset_t none;
	int failed = 0;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setsid();
	for (int i = 0; i < 3 && !failed; i++)
		if (dup2(start->stdio[i], i) < 0)
			failed = errno;
	if (!failed && start->terminal && ioctl(0, TIOCSCTTY, 0))
		failed = errno;
	/* Where a user without a range of ids has the room made, there is one id in it, and all of it is that user's. */
	if (!failed && getuid() == 0)
		failed = *start->user ? user_become(start) : usual_user_become(start);
	if (!failed && chdir(*start->dir ? start->dir : "/"))
		failed = errno;
	if (!failed)
		failed = exec_in_path(start);
	(void)!write(report_fd, &failed, sizeof(failed));
	_exit(127);
}

static struct program *program_find(uint32_t id, pid_t pid)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		if (programs[i].used && !programs[i].ended && (pid ? programs[i].pid == pid : programs[i].id == id))
			return &programs[i];
	return NULL;
}

/* Forks and waits until the program is executed or could not be; an errno. */
static int program_fork(const struct start *start, struct program *program)
{
	int report[2], failed = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC))
		return errno;
	pid = fork();
	if (pid == 0)
		program_become(start, report[1]);
	failed = pid < 0 ? errno : 0;
	(void)close(report[1]);
	if (!failed && read(report[0], &failed, sizeof(failed)) != sizeof(failed))
		failed = 0;
	(void)close(report[0]);
	if (!failed) {
		program->pid = pid;
		program->used = true;
	}
	return failed;
}

static int program_start(const struct init_request *request, const int *fds, size_t fd_count)
{
	struct start start = {.as_root = request->as_root, .terminal = request->terminal};
	struct program *place = NULL;
	size_t used = 1;
	int null_fd, failed;

	for (size_t i = 0; i < PROGRAMS_MAX && !place; i++)
		place = programs[i].used ? NULL : &programs[i];
	if (!place)
		return EAGAIN;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < 3; i++) {
		bool attached = request->stdio & (1u << i);

		if (attached && used >= fd_count)
			used = fd_count + 1;
		start.stdio[i] = attached && used < fd_count ? fds[used++] : null_fd;
	}
	failed = null_fd < 0 ? ENOENT : used > fd_count || !fd_count ? EINVAL : start_read(&start, request, fds[0]);
	if (!failed) {
		*place = (struct program){.id = request->id};
		failed = program_fork(&start, place);
	}
	start_fini(&start);
	if (null_fd >= 0)
		(void)close(null_fd);
	return failed;
}

/* The parent of a process that lives; -1: it does not, or is a zombie. */
static pid_t parent_of(pid_t pid)
{
	char path[32], text[512], state;
	const char *rest;
	int parent;
	ssize_t got;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		(void)close(fd);
	text[got > 0 ? got : 0] = '\0';
	rest = strrchr(text, ')'); /* its name may hold anything */
	if (!rest || sscanf(rest, ") %c %d", &state, &parent) != 2 || state == 'Z' || state == 'X')
		return -1;
	return parent;
}

/* Does it descend from no program that runs? */
static bool is_stray(pid_t pid)
{
	pid_t parent = parent_of(pid);

	while (parent > 1 && pid != parent) {
		pid = parent;
		parent = parent_of(pid);
	}
	return parent >= 0 && !program_find(0, pid);
}

/* How many there were; -1: it cannot be told. */
static int strays_pass(int signal_number)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	int found = 0;

	if (!processes)
		return -1;
	while ((entry = readdir(processes))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && is_stray(pid) && kill(pid, signal_number) == 0)
			found++;
	}
	(void)closedir(processes);
	return found;
}

static bool any_program_runs(void)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		if (programs[i].used && !programs[i].ended)
			return true;
	return false;
}

/* Everything else in the room, in one act of the kernel: no fork gets past it. */
static int others_kill(void)
{
	return kill(-1, SIGKILL) && errno != ESRCH ? errno : 0;
}

static int strays_signal(int signal_number)
{
	const struct timespec pause = {0, STRAYS_PAUSE_NS};
	int failed = signal_number == SIGKILL && !any_program_runs() ? others_kill() : 0;
	int found = failed ? -1 : strays_pass(signal_number); /* which then only waits until they are gone */

	for (int i = 0; found > 0 && signal_number == SIGKILL; i++) {
		if (i == STRAYS_PASSES_MAX)
			return others_kill();
		(void)nanosleep(&pause, NULL);
		found = strays_pass(signal_number);
	}
	return failed ? failed : found < 0 ? EIO : 0;
}

static int program_signal(const struct init_request *request)
{
	const struct program *program = request->program ? program_find(request->program, 0) : NULL;

	if (!request->program)
		return strays_signal(request->signal_number);
	if (!program)
		return ESRCH;
	return kill(-program->pid, request->signal_number) ? errno : 0;
}

static int door_open(int *theirs)
{
	int pair[2];

	if (door_count == DOORS_MAX)
		return EMFILE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return errno;
	doors[door_count++] = pair[0];
	*theirs = pair[1];
	return 0;
}

static int stream_socket(int *fd)
{
	int only = 0;

	*fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0 && setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0)
		return 0;
	if (*fd >= 0)
		(void)close(*fd);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return *fd < 0 ? errno : 0;
}

/* As the room sees it; an errno. */
static int folder_open(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? errno : 0;
}

/* False when the control plane is gone. */
static bool control_serve(void)
{
	struct init_request request;
	struct init_reply reply = {0};
	int fds[FDS_MAX], given = -1;
	size_t fd_count;
	ssize_t got = message_take(INIT_CONTROL_FD, &request, sizeof(request), fds, &fd_count);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got != (ssize_t)sizeof(request))
		return false;
	reply.ask = request.ask;
	reply.id = request.id;
	switch (request.ask) {
	case INIT_START:
		reply.errno_value = program_start(&request, fds, fd_count);
		break;
	case INIT_SIGNAL:
		reply.errno_value = program_signal(&request);
		break;
	case INIT_DOOR:
		reply.errno_value = door_open(&given);
		break;
	case INIT_SOCKET:
		reply.errno_value = stream_socket(&given);
		break;
	case INIT_GROUP:
		reply.errno_value = folder_open("/sys/fs/cgroup", &given); /* of v2, as containers see their own */
		break;
	case INIT_PROCESSES:
		reply.errno_value = folder_open("/proc", &given);
		break;
	default:
		reply.errno_value = ENOSYS;
	}
	fds_close(fds, fd_count);
	(void)message_send(INIT_CONTROL_FD, &reply, sizeof(reply), &given, given >= 0 ? 1 : 0);
	if (given >= 0)
		(void)close(given);
	return true;
}

/* False when this door is to be closed. */
static bool door_serve(int door)
{
	struct door_request request;
	struct door_reply reply = {0};
	int fds[DOOR_SOCKETS_MAX], unwanted[FDS_MAX];
	size_t unwanted_count, made = 0;
	ssize_t got = message_take(door, &request, sizeof(request), unwanted, &unwanted_count);
	bool sent;

	fds_close(unwanted, unwanted_count);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got != (ssize_t)sizeof(request))
		return false;
	reply.ask = request.ask;
	if (request.ask == DOOR_LISTENERS) {
		reply.count = LISTENER_COUNT;
		return message_send(door, &reply, sizeof(reply), listeners, LISTENER_COUNT);
	}
	if (request.ask != DOOR_SOCKETS || request.count < 1 || request.count > DOOR_SOCKETS_MAX)
		reply.errno_value = EINVAL;
	while (!reply.errno_value && made < request.count) {
		reply.errno_value = stream_socket(&fds[made]);
		made += !reply.errno_value;
	}
	reply.count = reply.errno_value ? 0 : (uint32_t)made;
	sent = message_send(door, &reply, sizeof(reply), fds, reply.count);
	fds_close(fds, made);
	return sent;
}

static void children_reap(int signal_fd)
{
	struct signalfd_siginfo drained;
	int status;
	pid_t pid;

	(void)!read(signal_fd, &drained, sizeof(drained));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct program *program = program_find(0, pid);

		if (!program)
			continue; /* an orphan of a program, or one that could not be executed */
		program->ended = true;
		program->status = status;
	}
}

/* False while some are left because the control plane does not read. */
static bool exits_report(void)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		struct init_reply event = {.ask = INIT_EXIT, .id = programs[i].id, .status = programs[i].status};

		if (!programs[i].used || !programs[i].ended)
			continue;
		if (!message_send(INIT_CONTROL_FD, &event, sizeof(event), NULL, 0))
			return false;
		programs[i].used = false;
	}
	return true;
}

/* For us and whatever we start; here, so that it is the same whoever made the room. */
static bool filter_install(void)
{
	struct sock_fprog filter = {.len = filter_length, .filter = (struct sock_filter *)(uintptr_t)filter_code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

static bool control_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return false;
	return fd == INIT_CONTROL_FD || dup3(fd, INIT_CONTROL_FD, O_CLOEXEC) >= 0;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : NULL;
	bool reported = true;
	sigset_t wanted;
	int signal_fd;

	if (!path)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	else if (!control_connect(path))
		return 1;
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NAME, "assay-init"); /* it is executed by descriptor */
	(void)umask(022);
	(void)close_range(INIT_CONTROL_FD + 1, ~0U, 0); /* an OCI runtime leaves us our own program open */
	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGCHLD);
	(void)sigprocmask(SIG_SETMASK, &wanted, NULL);
	signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!filter_install() || signal_fd < 0 || fcntl(INIT_CONTROL_FD, F_SETFD, FD_CLOEXEC) || (!path && !listeners_make()))
		return 1;
	for (;;) {
		short control_events = reported ? POLLIN : POLLIN | POLLOUT;
		struct pollfd polled[2 + DOORS_MAX] = {{INIT_CONTROL_FD, control_events, 0}, {signal_fd, POLLIN, 0}};
		size_t count = door_count;

		for (size_t i = 0; i < count; i++)
			polled[2 + i] = (struct pollfd){doors[i], POLLIN, 0};
		if (poll(polled, (nfds_t)(2 + count), -1) < 0)
			continue;
		if (polled[1].revents)
			children_reap(signal_fd);
		/* A program's end cannot overtake the reply to its start: that was sent before this poll. */
		if (polled[1].revents || !reported)
			reported = exits_report();
		for (size_t i = count; i-- > 0;)
			if (polled[2 + i].revents && !door_serve(doors[i])) {
				(void)close(doors[i]);
				doors[i] = doors[--door_count];
			}
		if ((polled[0].revents & ~POLLOUT) && !control_serve())
			return 0;
	}
}
