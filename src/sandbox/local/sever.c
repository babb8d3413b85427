/*
 * Resetting the gateway's connections without the gateway: the kill switch's last resort. A connection crosses two network namespaces: one
 * leg belongs to a sandbox's (its sockets were made there), the other to ours. Those of the gateway are known by the inodes that it holds
 * open; sock_diag(7) finds them in each namespace, and SOCK_DESTROY sends the reset and drops what waits to be sent. Listeners inside the
 * sandboxes go, too: nothing new is accepted until a gateway asks for others.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/local/keeper_priv.h"

#define INODES_MAX ((size_t)1 << 21)
#define ANSWER_BYTES 65536
#define STATE_LISTEN 10

struct inodes {
	uint64_t *at;
	size_t count;
};

static int inodes_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static int inodes_of(pid_t pid, struct inodes *inodes, struct err *err)
{
	AUTO_FREE char *path = text_format("/proc/%d/fd", (int)pid);
	DIR *folder = opendir(path);
	const struct dirent *entry;

	if (!folder)
		return err_errno(err, errno, "cannot look at the gateway's sockets");
	while ((entry = readdir(folder)) && inodes->count < INODES_MAX) {
		char target[64];
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		unsigned long long inode;

		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%llu]", &inode) != 1)
			continue;
		if ((inodes->count & (inodes->count + 1)) == 0) /* full at 0, 1, 3, 7, … */
			inodes->at = mem_grow(inodes->at, inodes->count * 2 + 1, sizeof(*inodes->at));
		inodes->at[inodes->count++] = inode;
	}
	(void)closedir(folder);
	if (inodes->count)
		qsort(inodes->at, inodes->count, sizeof(*inodes->at), inodes_compare);
	return 0;
}

static bool inodes_hold(const struct inodes *inodes, uint32_t inode)
{
	uint64_t wanted = inode;

	return inodes->count && bsearch(&wanted, inodes->at, inodes->count, sizeof(*inodes->at), inodes_compare);
}

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static int diag_send(int fd, struct diag_request *request)
{
	request->header.nlmsg_len = sizeof(*request);
	return send(fd, request, sizeof(*request), 0) == (ssize_t)sizeof(*request) ? 0 : -1;
}

/* 0, or why not. */
static int destroy(int fd, const struct inet_diag_msg *found)
{
	struct diag_request request = {
		.header = {.nlmsg_type = SOCK_DESTROY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.body = {.sdiag_family = found->idiag_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u, .id = found->id}};
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	ssize_t got;

	if (diag_send(fd, &request))
		return errno;
	got = recv(fd, &answer, sizeof(answer), 0);
	if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.header.nlmsg_type != NLMSG_ERROR)
		return EPROTO;
	return -((const struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
}

bool sever_is_possible(void)
{
	/* A listener of ours, in our own network: who may reset that one may reset the gateway's connections there. */
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct inet_diag_msg own = {.idiag_family = AF_INET, .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}};
	socklen_t length = sizeof(at);
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	AUTO_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || listener < 0 || bind(listener, (const struct sockaddr *)&at, sizeof(at)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &length))
		return false;
	own.id.idiag_sport = at.sin_port;
	own.id.idiag_src[0] = at.sin_addr.s_addr;
	return destroy(fd, &own) == 0;
}

struct found {
	struct inet_diag_msg *at;
	size_t count;
};

/* Lists first: a dump and a destruction do not share a socket. */
static int sockets_find(int fd, unsigned char family, const struct inodes *inodes, bool listeners, struct found *found)
{
	struct diag_request request = {.header = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
				       .body = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u}};
	AUTO_FREE char *answer = mem_new(ANSWER_BYTES);

	if (!listeners)
		request.body.idiag_states &= ~(1u << STATE_LISTEN);
	if (diag_send(fd, &request))
		return -1;
	for (;;) {
		ssize_t got = recv(fd, answer, ANSWER_BYTES, 0);
		unsigned left = got > 0 ? (unsigned)got : 0;

		if (got <= 0)
			return -1;
		for (struct nlmsghdr *at = (struct nlmsghdr *)(void *)answer; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
			const struct inet_diag_msg *message = NLMSG_DATA(at);

			if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR)
				return 0;
			if (!inodes_hold(inodes, message->idiag_inode))
				continue;
			if ((found->count & (found->count + 1)) == 0)
				found->at = mem_grow(found->at, found->count * 2 + 1, sizeof(*found->at));
			found->at[found->count++] = *message;
		}
	}
}

/* A netlink socket belongs to the namespace in which it was made. `ns_fd` -1: ours. */
static int diag_open(int ns_fd, int own_fd)
{
	int fd;

	if (ns_fd >= 0 && setns(ns_fd, CLONE_NEWNET))
		return -1;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (ns_fd >= 0 && setns(own_fd, CLONE_NEWNET))
		abort(); /* in a sandbox's network for good: the next start is clean */
	return fd;
}

static size_t namespace_sever(int ns_fd, int own_fd, const struct inodes *inodes, bool listeners)
{
	static const unsigned char families[] = {AF_INET, AF_INET6};
	AUTO_CLOSE int fd = diag_open(ns_fd, own_fd);
	struct found found = {0};
	size_t gone = 0;

	for (size_t i = 0; fd >= 0 && i < sizeof(families); i++)
		if (sockets_find(fd, families[i], inodes, listeners, &found))
			log_warn("sever: the sockets of a namespace cannot be listed");
	for (size_t i = 0; i < found.count; i++)
		gone += destroy(fd, &found.at[i]) == 0;
	free(found.at);
	return gone;
}

static size_t env_sever(const struct kept_env *env, int own_fd, const struct inodes *inodes, bool listeners)
{
	size_t gone = 0;

	for (const struct room *room = env->rooms; room; room = room->next) {
		char path[64];
		AUTO_CLOSE int ns_fd = -1;

		if (!room->pid)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)room->pid);
		ns_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (ns_fd >= 0)
			gone += namespace_sever(ns_fd, own_fd, inodes, listeners);
	}
	return gone;
}

int handle_sever(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		 struct answer *answer, struct err *err)
{
	AUTO_CLOSE int own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct inodes inodes = {0};
	size_t gone = 0;
	int result = 0;

	(void)meta_fd;
	(void)answer;
	if (own_fd < 0 || !request->flag)
		return err_set(err, ERR_INVALID, "the gateway's process is missing");
	result = inodes_of((pid_t)request->flag, &inodes, err);
	if (!result && env)
		gone += env_sever(env, own_fd, &inodes, !request->part);
	for (const struct kept_env *one = keeper->environments; !result && !env && one; one = one->next)
		gone += env_sever(one, own_fd, &inodes, !request->part);
	if (!result && !request->part)
		gone += namespace_sever(-1, own_fd, &inodes, false);
	log_info("severed %zu connections of the gateway", gone);
	free(inodes.at);
	return result;
}
