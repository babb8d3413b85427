/* Sends and receives with poll(2), so that a server that says nothing cannot hold its caller. */
#include "data/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/world.h"

#define CHUNK ((size_t)65536)

struct wire wire_new(int fd, int64_t timeout_ms, size_t bytes_max)
{
	return (struct wire){fd, world_elapsed_ms(world_real) + timeout_ms, buf_new(bytes_max)};
}

void wire_fini(struct wire *wire)
{
	buf_fini(&wire->in);
}

static int wait_for(struct wire *wire, short events, struct err *err)
{
	struct pollfd waiting = {wire->fd, events, 0};
	int64_t left_ms = wire->deadline_ms - world_elapsed_ms(world_real);

	if (left_ms <= 0)
		return err_set(err, ERR_RETRY, "the server did not answer in time");
	if (poll(&waiting, 1, (int)(left_ms > 1000 ? 1000 : left_ms)) < 0 && errno != EINTR)
		return err_errno(err, errno, "cannot wait for the server");
	return 0;
}

int wire_send(struct wire *wire, struct view bytes, struct err *err)
{
	while (bytes.length) {
		ssize_t put = send(wire->fd, bytes.at, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put > 0) {
			bytes.at += put;
			bytes.length -= (size_t)put;
		} else if (put < 0 && errno != EAGAIN && errno != EINTR) {
			return err_set(err, ERR_RETRY, "the server closed the connection");
		} else if (wait_for(wire, POLLOUT, err)) {
			return -1;
		}
	}
	return 0;
}

int wire_receive(struct wire *wire, struct err *err)
{
	for (;;) {
		size_t room = wire->in.length_max - wire->in.length;
		size_t wanted = room < CHUNK ? room : CHUNK;
		char *at = wanted ? buf_reserve(&wire->in, wanted) : NULL;
		ssize_t got;

		if (!at)
			return err_set(err, ERR_LIMIT, "the server's answer is longer than %zu bytes", wire->in.length_max);
		got = recv(wire->fd, at, wanted, MSG_DONTWAIT);
		if (got > 0) {
			buf_commit(&wire->in, (size_t)got);
			return 0;
		}
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return err_set(err, ERR_RETRY, "the server closed the connection");
		if (wait_for(wire, POLLIN, err))
			return -1;
	}
}
