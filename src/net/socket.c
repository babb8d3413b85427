/* Listen, connect, accept. */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"

#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static int address_parse(const char *text, union address *address, socklen_t *length, struct err *err)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "127.0.0.1";
	size_t host_length = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || !view_to_u64(view_of(colon + 1), &port) || port > 65535 || host_length >= sizeof(host))
		return err_set(err, ERR_INVALID, "`%s` is not an address: expected 127.0.0.1:7420 or [::1]:7420", text);
	if (host_length) {
		memcpy(host, text, host_length);
		host[host_length] = '\0';
	}
	memset(address, 0, sizeof(*address));
	if (host[0] == '[' && host[host_length - 1] == ']') {
		host[host_length - 1] = '\0';
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons((uint16_t)port);
		*length = sizeof(address->v6);
		if (inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) == 1)
			return 0;
	} else {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons((uint16_t)port);
		*length = sizeof(address->v4);
		if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1)
			return 0;
	}
	return err_set(err, ERR_INVALID, "`%s` is not a numeric address", text);
}

static int address_unix(const char *path, union address *address, socklen_t *length, struct err *err)
{
	memset(address, 0, sizeof(*address));
	address->local.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->local.sun_path))
		return err_set(err, ERR_INVALID, "the socket path %s is longer than %zu bytes", path,
			       sizeof(address->local.sun_path) - 1);
	memcpy(address->local.sun_path, path, strlen(path) + 1);
	*length = sizeof(address->local);
	return 0;
}

void socket_tune(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

#define KEEP_IDLE_S 20
#define KEEP_EVERY_S 10
#define KEEP_PROBES 3
#define KEEP_UNSENT_MS 50000

void socket_keep(int fd)
{
	const struct {
		int level, name, value;
	} rows[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
		    {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
		    {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S},
		    {IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES},
		    {IPPROTO_TCP, TCP_USER_TIMEOUT, KEEP_UNSENT_MS}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		(void)setsockopt(fd, rows[i].level, rows[i].name, &rows[i].value, sizeof(rows[i].value));
}

int socket_listen_tcp(const char *text, int *out, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	union address address;
	socklen_t length;
	int one = 1;

	if (address_parse(text, &address, &length, err))
		return -1;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &address.any, length) || listen(fd, BACKLOG))
		return err_errno(err, errno, "cannot listen on %s", text);
	*out = TAKE_FD(fd);
	return 0;
}

int socket_listen_unix(const char *path, mode_t mode, int *out, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int probe = -1;
	union address address;
	socklen_t length;

	if (address_unix(path, &address, &length, err))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || probe < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (connect(probe, &address.any, length) == 0)
		return err_set(err, ERR_CONFLICT, "somebody listens on %s already", path);
	(void)unlink(path);
	if (bind(fd, &address.any, length) || chmod(path, mode) || listen(fd, BACKLOG))
		return err_errno(err, errno, "cannot listen on %s", path);
	*out = TAKE_FD(fd);
	return 0;
}

static int address_connect(const union address *address, socklen_t length, const char *text, int *out, bool *pending,
			   struct err *err)
{
	AUTO_CLOSE int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (address->any.sa_family != AF_UNIX)
		socket_tune(fd);
	*pending = false;
	if (connect(fd, &address->any, length)) {
		if (errno != EINPROGRESS)
			return err_errno(err, errno, "cannot connect to %s", text);
		*pending = true;
	}
	*out = TAKE_FD(fd);
	return 0;
}

int socket_connect_tcp(const char *text, int *fd, bool *pending, struct err *err)
{
	union address address;
	socklen_t length;

	if (address_parse(text, &address, &length, err))
		return -1;
	return address_connect(&address, length, text, fd, pending, err);
}

int socket_connect_unix(const char *path, int *fd, struct err *err)
{
	union address address;
	socklen_t length;
	bool pending;

	if (address_unix(path, &address, &length, err))
		return -1;
	return address_connect(&address, length, path, fd, &pending, err);
}

int socket_accept(int listener, int *fd, struct err *err)
{
	int got = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (got < 0)
		return err_errno(err, errno == ECONNABORTED ? EAGAIN : errno, "cannot accept a connection");
	socket_tune(got);
	*fd = got;
	return 0;
}

int socket_port(int fd)
{
	union address address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length))
		return 0;
	if (address.any.sa_family == AF_INET)
		return ntohs(address.v4.sin_port);
	return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

int socket_error(int fd)
{
	socklen_t length = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) ? errno : error;
}

void socket_peer_format(struct buf *out, int fd)
{
	union address address = {0};
	socklen_t length = sizeof(address);
	char text[INET6_ADDRSTRLEN] = "?";

	if (getpeername(fd, &address.any, &length)) {
		buf_add_text(out, "?");
	} else if (address.any.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof(text));
		buf_add_format(out, "%s:%u", text, (unsigned)ntohs(address.v4.sin_port));
	} else if (address.any.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text));
		buf_add_format(out, "[%s]:%u", text, (unsigned)ntohs(address.v6.sin6_port));
	} else {
		buf_add_text(out, "unix");
	}
}

void socket_reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

ssize_t socket_take(int socket_fd, void *at, size_t length, int *fd)
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
