/*
 * socket: stream sockets as the rest of the program wants them: close-on-exec, non-blocking, TCP_NODELAY, SO_REUSEADDR.
 */
#ifndef ASSAY_NET_SOCKET_H
#define ASSAY_NET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* "127.0.0.1:7420", "[::1]:7420" or ":0" (127.0.0.1); numbers only, nothing is looked up. Port 0 takes a free one. */
MUST_USE int socket_listen_tcp(const char *address, int *fd, struct err *err);
/* An absolute path; one that nobody listens on any more is replaced, one that is alive is ERR_CONFLICT. */
MUST_USE int socket_listen_unix(const char *path, mode_t mode, int *fd, struct err *err);
/* Starts a connect; *pending when it is still under way: then wait for writability and ask socket_error(). */
MUST_USE int socket_connect_tcp(const char *address, int *fd, bool *pending, struct err *err);
MUST_USE int socket_connect_unix(const char *path, int *fd, struct err *err);
/* Accepts one connection; -1 and ERR_RETRY when none waits. */
MUST_USE int socket_accept(int listener, int *fd, struct err *err);
/* One message that is there already, as recvmsg(); *fd: the descriptor that came with it, owned by the caller, or -1. */
ssize_t socket_take(int socket_fd, void *at, size_t length, int *fd);
int socket_port(int fd);                          /* bound port, 0 when it has none */
int socket_error(int fd);                         /* takes SO_ERROR: 0 or an errno */
void socket_peer_format(struct buf *out, int fd); /* "127.0.0.1:5001", "unix" */
void socket_tune(int fd);                         /* TCP_NODELAY; harmless on others */
void socket_keep(int fd);                         /* a peer that is gone without a word is found out within a minute */
void socket_reset(int fd);                        /* closes so that the peer sees a reset */

#endif
