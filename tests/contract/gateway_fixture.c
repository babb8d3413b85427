/* The world around a gateway. */
#include "gateway_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "base/scope.h"
#include "gateway/gateway.h"
#include "net/door.h"
#include "net/socket.h"

#define UNKNOWN_NAME "nothing.invalid"

uint16_t fixture_dns_port = 5300;
const char *const *fixture_arguments;
const char *fixture_usage_path;
void (*fixture_head_sign)(void *self, struct link *link, struct link_message *message);
void *fixture_head_sign_self;

static void check(bool good, const char *what)
{
	if (good)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	abort();
}

static bool run(const char *const *argv, const char *input)
{
	struct process_spec spec = {.argv = argv, .input = view_of(input)};
	struct err err;

	if (process_run(&spec, NULL, &err) == 0)
		return true;
	(void)printf("# %s\n", err.text);
	return false;
}

/* lo up, every address on it, and the redirect of a sandbox. */
static bool network_make(void)
{
	static const char rules[] = "table ip t {\n chain out {\n  type nat hook output priority -100;\n"
				    "  ip daddr 198.18.0.0/15 tcp dport 1-65535 redirect to :15001\n"
				    "  ip daddr 203.0.113.0/24 tcp dport 1-65535 redirect to :15001\n }\n}\n";
	static const char *const up[] = {"ip", "link", "set", "lo", "up", NULL};
	static const char *const address[] = {"ip", "address", "add", DOOR_ADDRESS_SELF "/32", "dev", "lo", NULL};
	static const char *const route[] = {"ip", "route", "add", "local", "default", "dev", "lo", "src", DOOR_ADDRESS_SELF, NULL};
	static const char *const nft[] = {"nft", "-f", "-", NULL};

	return unshare(CLONE_NEWNET) == 0 && run(up, "") && run(address, "") && run(route, "") && run(nft, rules);
}

static void on_thaw(void *self, struct link *link, struct link_message *message)
{
	struct world_fixture *world = self;

	(void)pthread_mutex_lock(&world->mutex);
	world->thaws++;
	(void)pthread_mutex_unlock(&world->mutex);
	/* "stuck" stands for an environment that cannot be thawed. */
	if (strncmp(json_text(message->body, "env", ""), "stuck", 5) != 0)
		link_reply(link, message->name, message->request, NULL, NULL);
}

static void on_touch(void *self, struct link *link, struct link_message *message)
{
	struct world_fixture *world = self;

	(void)link;
	(void)message;
	(void)pthread_mutex_lock(&world->mutex);
	world->touches++;
	(void)pthread_mutex_unlock(&world->mutex);
}

static void on_denied(void *self, struct link *link, struct link_message *message)
{
	struct world_fixture *world = self;
	size_t used;

	(void)link;
	(void)pthread_mutex_lock(&world->mutex);
	used = strlen(world->denied);
	(void)snprintf(world->denied + used, sizeof(world->denied) - used, "%s:%d %s\n", json_text(message->body, "host", ""),
		       (int)json_number(message->body, "port", -1), json_text(message->body, "why", ""));
	(void)pthread_mutex_unlock(&world->mutex);
}

static void on_head(void *self, struct link *link, struct link_message *message)
{
	const struct err nobody = {.kind = ERR_BROKEN, .text = "nobody signs"};

	(void)self;
	if (fixture_head_sign)
		fixture_head_sign(fixture_head_sign_self, link, message);
	else
		link_reply(link, message->name, message->request, NULL, &nobody);
}

static void on_usage(void *self, struct link *link, struct link_message *message)
{
	AUTO_BUF line = buf_new(1 << 16);
	AUTO_CLOSE int fd = fixture_usage_path ? open(fixture_usage_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;

	(void)self;
	(void)link;
	json_format(&line, message->body);
	buf_add_char(&line, '\n');
	if (fd >= 0)
		(void)!write(fd, line.at, line.length);
}

static const struct link_row rows[] = {
	{MESSAGE_USAGE, LINK_GATEWAY, on_usage},   {MESSAGE_LEDGER_HEAD, LINK_GATEWAY, on_head},
	{MESSAGE_THAW, LINK_GATEWAY, on_thaw},     {MESSAGE_TOUCH, LINK_GATEWAY, on_touch},
	{MESSAGE_DENIED, LINK_GATEWAY, on_denied},
};

bool world_denied(struct world_fixture *world, const char *text)
{
	for (int turn = 0; turn < 200; turn++) {
		bool found;

		(void)pthread_mutex_lock(&world->mutex);
		found = strstr(world->denied, text) != NULL;
		(void)pthread_mutex_unlock(&world->mutex);
		if (found)
			return true;
		usleep(5000);
	}
	(void)printf("# denied so far: %s\n", world->denied);
	return false;
}

static pid_t gateway_start(const struct world_fixture *world, int link_fd, int ours)
{
	AUTO_FREE char *number = text_format("%d", link_fd);
	AUTO_FREE char *listen = text_format("127.0.0.1:%d", PREVIEW_PORT);
	pid_t pid = fork();

	if (pid == 0) {
		char tool_socket[64];
		char *argv[8 + FIXTURE_ARGUMENTS_MAX] = {(char *)(uintptr_t) "gateway",
							 (char *)(uintptr_t) "--link-fd",
							 number,
							 (char *)(uintptr_t) "--preview-listen",
							 listen,
							 (char *)(uintptr_t) "--tool-socket",
							 tool_socket};
		int argc = 7;

		for (size_t i = 0; fixture_arguments && i < FIXTURE_ARGUMENTS_MAX && fixture_arguments[i]; i++)
			argv[argc++] = (char *)(uintptr_t)fixture_arguments[i];

		(void)close(ours);
		memcpy(tool_socket, world->tool_socket, sizeof(tool_socket));
		exit(gateway_main(argc, argv));
	}
	return pid;
}

struct world_fixture *world_open(void)
{
	struct world_fixture *world = mem_new(sizeof(*world));
	struct link_spec spec = {.peer = LINK_GATEWAY, .rows = rows, .row_count = ARRAY_LEN(rows), .self = world};
	struct err err;
	int pair[2];

	if (geteuid() != 0 || !network_make()) {
		(void)printf("1..0 # SKIP: a network namespace with nftables needs root, ip and nft\n");
		free(world);
		return NULL;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)pthread_mutex_init(&world->mutex, NULL);
	(void)snprintf(world->tool_socket, sizeof(world->tool_socket), "/tmp/assay-contract-%d.sock", (int)getpid());
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "socketpair");
	{
		int listener;

		/* The tool API: the same service behind a Unix socket. */
		check(socket_listen_unix(world->tool_socket, 0600, &listener, &err) == 0, "tool socket");
		world->gateway = gateway_start(world, pair[1], pair[0]);
		(void)close(pair[1]);
		(void)fcntl(pair[0], F_SETFD, FD_CLOEXEC);
		service_listen(listener);
	}
	spec.fd = pair[0];
	world->link = link_on_thread(&spec, &err);
	check(world->link != NULL, "link");
	return world;
}

void world_close(struct world_fixture *world)
{
	int status = 0;

	link_free(world->link); /* its end is the gateway's end */
	(void)waitpid(world->gateway, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the gateway did not end well");
	(void)unlink(world->tool_socket);
	free(world);
}

json_t *control(struct world_fixture *world, uint16_t name, const char *body)
{
	AUTO_JSON json = json_parse(view_of(body), NULL);
	struct err err = {0};
	json_t *answer;

	check(json != NULL, body);
	answer = link_call(world->link, name, json, NULL, 0, 5000, &err);
	if (!answer)
		(void)printf("# message %u: %s\n", name, err.text);
	return answer;
}

void copy_make(struct world_fixture *world, const char *id, const char *state, const char *routes, struct copy *copy)
{
	AUTO_JSON body = json_parse(view_of(routes), NULL);
	AUTO_JSON answer = NULL;
	struct err err = {0};

	if (world->last[0]) { /* a test that failed did not get to drop its own */
		AUTO_FREE char *left = text_format("{\"env\": \"%s\"}", world->last);

		json_decref(control(world, MESSAGE_ENV_GONE, left));
	}
	(void)snprintf(world->last, sizeof(world->last), "%s", id);
	*copy = (struct copy){.world = world};
	(void)snprintf(copy->id, sizeof(copy->id), "%s", id);
	copy->log_fd = memfd_create("log", MFD_CLOEXEC);
	check(body != NULL, "routes");
	(void)json_object_set_new(body, "env", json_string(id));
	(void)json_object_set_new(body, "state", json_string(state));
	answer = link_call(world->link, MESSAGE_ENV_PUT, body, &copy->log_fd, 1, 5000, &err);
	check(answer != NULL, err.text);
}

void copy_drop(struct copy *copy)
{
	AUTO_FREE char *body = text_format("{\"env\": \"%s\"}", copy->id);

	json_decref(control(copy->world, MESSAGE_ENV_GONE, body));
	copy->world->last[0] = '\0';
	(void)close(copy->log_fd);
}

void copy_state(struct copy *copy, const char *state)
{
	AUTO_FREE char *body = text_format("{\"env\": \"%s\", \"state\": \"%s\"}", copy->id, state);

	json_decref(control(copy->world, MESSAGE_ENV_STATE, body));
}

static int listener_make(int type, int family, int port)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	int one = 1;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (port)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	check(bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		   family == AF_INET ? sizeof(v4) : sizeof(v6)) == 0,
	      "bind");
	if (type == SOCK_STREAM)
		check(listen(fd, 128) == 0, "listen");
	return fd;
}

static void door_reply_send(int fd, uint32_t ask, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * DOOR_SOCKETS_MAX)];
	} room = {0};
	struct door_reply reply = {.ask = ask, .count = (uint32_t)count};
	struct iovec piece = {.iov_base = &reply, .iov_len = sizeof(reply)};
	struct msghdr header = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
	(void)sendmsg(fd, &header, MSG_NOSIGNAL);
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

struct pid1 {
	int fd;
	bool caller;
};

/* What a pid 1 answers at its door. */
static void *pid1_main(void *self)
{
	struct pid1 *pid1 = self;
	struct door_request request;

	while (recv(pid1->fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		int fds[DOOR_SOCKETS_MAX];
		size_t count = 0;

		if (request.ask == DOOR_LISTENERS) {
			fds[count++] = listener_make(SOCK_STREAM, AF_INET, pid1->caller ? DOOR_PORT : 0);
			fds[count++] = listener_make(SOCK_STREAM, AF_INET6, pid1->caller ? DOOR_PORT : 0);
			fds[count++] = listener_make(SOCK_DGRAM, AF_INET, pid1->caller ? fixture_dns_port : 0);
			fds[count++] = listener_make(SOCK_STREAM, AF_INET, pid1->caller ? fixture_dns_port : 0);
		}
		while (request.ask == DOOR_SOCKETS && count < request.count && count < DOOR_SOCKETS_MAX)
			fds[count++] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		door_reply_send(pid1->fd, request.ask, fds, count);
	}
	(void)close(pid1->fd);
	free(pid1);
	return NULL;
}

static void sandbox_put(struct copy *copy, const char *sandbox, bool caller)
{
	AUTO_JSON body = json_pack("{s:s,s:s}", "env", copy->id, "sandbox", sandbox);
	AUTO_JSON answer = NULL;
	struct pid1 *pid1 = mem_new(sizeof(*pid1));
	struct err err = {0};
	pthread_t thread;
	int pair[2];

	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	*pid1 = (struct pid1){pair[0], caller};
	check(pthread_create(&thread, NULL, pid1_main, pid1) == 0, "thread");
	(void)pthread_detach(thread);
	answer = link_call(copy->world->link, MESSAGE_SANDBOX_PUT, body, &pair[1], 1, 5000, &err);
	check(answer != NULL, err.text);
	(void)close(pair[1]);
}

void copy_caller(struct copy *copy, const char *sandbox)
{
	char address[32];
	int code;

	sandbox_put(copy, sandbox, true);
	ask_name(UNKNOWN_NAME, 1, false, address, &code); /* waits until the listeners are the gateway's */
}

void copy_callee(struct copy *copy, const char *sandbox)
{
	sandbox_put(copy, sandbox, false);
}

static void by_flow_reply(struct by_flow *door, const void *at, size_t length, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room = {0};
	struct iovec piece = {(void *)(uintptr_t)at, length};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (fd >= 0) {
		header.msg_control = room.bytes;
		header.msg_controllen = sizeof(room.bytes);
		room.align = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&room.align), &fd, sizeof(fd));
	}
	(void)sendmsg(door->fd, &header, MSG_NOSIGNAL);
	scope_close(&fd);
}

static void by_flow_dial(struct by_flow *door, const struct door_dial *dial)
{
	struct door_reply reply = {.ask = DOOR_DIAL, .count = dial->serial};
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)dial->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		reply.errno_value = errno;
		scope_close(&fd);
		fd = -1;
	}
	by_flow_reply(door, &reply, sizeof(reply), fd);
}

static void by_flow_told(struct by_flow *door, const struct door_listen *listen)
{
	size_t used = 0;

	(void)pthread_mutex_lock(&door->mutex);
	door->listens[0] = '\0';
	for (uint32_t i = 0; i < listen->count; i++) {
		uint32_t address = listen->at[i].address;

		used += (size_t)snprintf(door->listens + used, sizeof(door->listens) - used, "%u.%u.%u.%u %u\n", address >> 24,
					 address >> 16 & 255, address >> 8 & 255, address & 255, listen->at[i].port);
	}
	door->told++;
	(void)pthread_cond_broadcast(&door->changed);
	(void)pthread_mutex_unlock(&door->mutex);
}

static void *by_flow_main(void *self)
{
	struct by_flow *door = self;
	union {
		struct door_request request;
		struct door_dial dial;
		struct door_listen listen;
	} asked;

	while (recv(door->fd, &asked, sizeof(asked), 0) > 0) {
		if (asked.request.ask == DOOR_LISTENERS)
			by_flow_reply(door, &(struct door_reply){.ask = DOOR_BY_FLOW}, sizeof(struct door_reply), -1);
		else if (asked.request.ask == DOOR_DIAL)
			by_flow_dial(door, &asked.dial);
		else if (asked.request.ask == DOOR_LISTEN)
			by_flow_told(door, &asked.listen);
	}
	(void)close(door->fd);
	free(door);
	return NULL;
}

struct by_flow *copy_by_flow(struct copy *copy, const char *sandbox)
{
	AUTO_JSON body = json_pack("{s:s,s:s}", "env", copy->id, "sandbox", sandbox);
	AUTO_JSON answer = NULL;
	struct by_flow *door = mem_new(sizeof(*door));
	struct err err = {0};
	pthread_t thread;
	int pair[2];

	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	door->fd = pair[0];
	(void)pthread_mutex_init(&door->mutex, NULL);
	(void)pthread_cond_init(&door->changed, NULL);
	check(pthread_create(&thread, NULL, by_flow_main, door) == 0, "thread");
	(void)pthread_detach(thread);
	answer = link_call(copy->world->link, MESSAGE_SANDBOX_PUT, body, &pair[1], 1, 5000, &err);
	check(answer != NULL, err.text);
	(void)close(pair[1]);
	free(by_flow_listens(door, 0)); /* a flow before the door has said of what kind it is means nothing */
	return door;
}

char *by_flow_listens(struct by_flow *door, unsigned before)
{
	char *listens;

	(void)pthread_mutex_lock(&door->mutex);
	while (door->told <= before)
		(void)pthread_cond_wait(&door->changed, &door->mutex);
	listens = text_copy(door->listens);
	(void)pthread_mutex_unlock(&door->mutex);
	return listens;
}

int by_flow_open(struct by_flow *door, uint32_t kind, const char *address, uint32_t port, bool bare)
{
	struct timeval limit = {.tv_sec = 10};
	struct door_flow flow = {.ask = DOOR_FLOW, .kind = kind, .port = port};
	struct in_addr meant;
	int pair[2];

	check(inet_pton(AF_INET, address, &meant) == 1, address);
	flow.address = ntohl(meant.s_addr);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	(void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	by_flow_reply(door, &flow, sizeof(flow), bare ? -1 : pair[1]);
	if (bare)
		(void)close(pair[1]);
	return pair[0];
}

json_t *copy_log(struct copy *copy)
{
	AUTO_FREE char *body = text_format("{\"env\": \"%s\"}", copy->id);
	AUTO_BUF text = buf_new(64 << 20);
	json_t *lines = json_array();
	struct stat info;
	struct view rest;

	for (int turn = 0; turn < 500; turn++) {
		AUTO_JSON answer = control(copy->world, MESSAGE_QUIET, body);

		if (!json_number(answer, "in_flight", -1) && !json_number(answer, "unwritten", -1))
			break;
		usleep(5000);
	}
	check(fstat(copy->log_fd, &info) == 0, "log");
	if (info.st_size) {
		check(pread(copy->log_fd, buf_reserve(&text, (size_t)info.st_size), (size_t)info.st_size, 0) == info.st_size,
		      "log");
		buf_commit(&text, (size_t)info.st_size);
	}
	rest = buf_view(&text);
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		struct err err = {0};
		json_t *json = json_parse(line, &err);

		check(json != NULL, err.text);
		if (strcmp(json_text(json, "to", ""), UNKNOWN_NAME) == 0) /* our own question */
			json_decref(json);
		else
			(void)json_array_append_new(lines, json);
	}
	return lines;
}

int dial_to(const char *address)
{
	struct timeval limit = {.tv_sec = 10};
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[64];
	unsigned port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(sscanf(address, "%63[0-9.]:%u", host, &port) == 2, address);
	to.sin_port = htons((uint16_t)port);
	check(inet_pton(AF_INET, host, &to.sin_addr) == 1, address);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	socket_tune(fd);
	check(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
	return fd;
}

void say(int fd, const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		length -= (size_t)sent;
	}
}

char *hear(int fd, const char *until)
{
	struct buf text = buf_new(16 << 20);
	char piece[65536];
	ssize_t got;

	buf_add_text(&text, "");
	while ((!until || !text.at || !memmem(text.at, text.length, until, strlen(until))) &&
	       (got = recv(fd, piece, sizeof(piece), 0)) > 0)
		buf_add(&text, piece, (size_t)got);
	return buf_take(&text);
}

size_t question_make(const char *name, unsigned type, unsigned char *at)
{
	struct view rest = view_of(name);
	size_t length = 12;

	memset(at, 0, 12);
	at[1] = 7;
	at[2] = 1;
	at[5] = 1;
	while (rest.at) {
		struct view label = view_cut(rest, '.', &rest);

		at[length++] = (unsigned char)label.length;
		memcpy(at + length, label.at, label.length);
		length += label.length;
	}
	at[length++] = 0;
	at[length++] = 0;
	at[length++] = (unsigned char)type;
	at[length++] = 0;
	at[length++] = 1;
	return length;
}

void ask_name(const char *name, unsigned type, bool tcp, char address[32], int *code)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(fixture_dns_port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct timeval limit = {.tv_sec = 5};
	unsigned char bytes[600];
	size_t length = question_make(name, type, bytes + 2);
	ssize_t got = -1;

	address[0] = '\0';
	*code = -1;
	for (int turn = 0; turn < 200 && got < 12; turn++) {
		int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

		bytes[0] = (unsigned char)(length >> 8);
		bytes[1] = (unsigned char)length;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		    send(fd, bytes + (tcp ? 0 : 2), length + (tcp ? 2 : 0), MSG_NOSIGNAL) > 0)
			got = recv(fd, bytes, sizeof(bytes), 0);
		(void)close(fd);
		if (got < 12)
			usleep(10000);
	}
	if (got < 12)
		return;
	if (tcp)
		memmove(bytes, bytes + 2, (size_t)got - 2);
	*code = bytes[3] & 15;
	if (bytes[7] && type == 1) {
		const unsigned char *at = bytes + (tcp ? got - 2 : got) - 4;

		(void)snprintf(address, 32, "%u.%u.%u.%u", at[0], at[1], at[2], at[3]);
	}
}
