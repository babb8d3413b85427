/*
 * websocket_client: the calling side of a WebSocket (RFC 6455), for text messages. Blocks; one thread. Connecting is libcurl's (names, TLS and its
 * verification as for every call of http/client.h), the frames are websocket.h's. Pings are answered within.
 */
#ifndef ASSAY_HTTP_WEBSOCKET_CLIENT_H
#define ASSAY_HTTP_WEBSOCKET_CLIENT_H

#include "base/buf.h"

#define WEBSOCKET_MESSAGE_BYTES_MAX ((size_t)16 << 20)

struct websocket_client;

/* "wss://…" or "ws://…". ERR_RETRY: nobody answers; ERR_DENIED: the answer is no upgrade (its status is in the text); ERR_BROKEN: it is none. */
struct websocket_client *websocket_client_open(const char *url, int64_t timeout_ms, struct err *err);
/* The next message, waiting for it at most so long; *message (owned) is NULL when none came. ERR_RETRY: the connection is over. */
MUST_USE int websocket_client_receive(struct websocket_client *client, int64_t timeout_ms, char **message, struct err *err);
MUST_USE int websocket_client_send(struct websocket_client *client, struct view text, struct err *err);
/* Asks the other side for a sign of life; what it answers counts as received. */
MUST_USE int websocket_client_ping(struct websocket_client *client, struct err *err);
/* Milliseconds since anything came, by the monotonic clock. */
int64_t websocket_client_silent_ms(const struct websocket_client *client);
void websocket_client_close(struct websocket_client *client); /* NULL is allowed */

#endif
