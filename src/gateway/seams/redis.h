/*
 * redis: reads along with a connection of the Redis protocol (RESP 2 and 3, redis.io/docs/reference/protocol-spec) and tells of each
 * command when its reply has come. It never changes a byte. Commands that wait by design (BLPOP, XREAD BLOCK, …) are not counted as
 * in flight; after SUBSCRIBE or MONITOR, or a broken frame, it is blind for the rest of the connection.
 */
#ifndef ASSAY_GATEWAY_SEAMS_REDIS_H
#define ASSAY_GATEWAY_SEAMS_REDIS_H

#include "base/buf.h"

#define REDIS_STATEMENT_KEPT_MAX 1024
#define REDIS_PENDING_MAX 262144 /* commands of one connection without a reply */
#define REDIS_DEPTH_MAX 32

struct redis;

struct redis_done {
	const char *command;   /* upper case: "XADD"; "AUTH" has no statement */
	struct view statement; /* arguments separated by blanks, perhaps cut, any bytes */
	const char *complete;  /* kind of reply: "status", "integer", "bulk", "null", "array", … */
	const char *error;     /* of an error reply, or why there is none; NULL when it went well */
	int64_t begun_us;
	int64_t ended_us;
};

struct redis *redis_new(void (*done)(void *self, const struct redis_done *done), void *self);
/* What still waits for a reply is told as failed with `why` (NULL: not told). */
void redis_free(struct redis *redis, const char *why, int64_t now_us);
void redis_client(struct redis *redis, struct view bytes, int64_t now_us);
void redis_server(struct redis *redis, struct view bytes, int64_t now_us);
size_t redis_in_flight(const struct redis *redis);

#endif
