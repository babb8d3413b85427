/*
 * redis: reads along with a connection of the Redis protocol (RESP 2 and 3, redis.io/docs/reference/protocol-spec) and tells of each
 * command when its reply has come: command in upper case ("AUTH" and its like have no statement), the kind of reply or the error. Commands
 * that wait by design (BLPOP, XREAD BLOCK, …) are not counted as in flight; after MONITOR, or a broken frame, it is blind.
 *
 * What carries messages tells of them too, as events of their own behind the command's: "publish" of XADD, LPUSH, RPUSH, PUBLISH and SPUBLISH,
 * "deliver" of what XREAD, XREADGROUP, the pops of lists and subscriptions bring, "ack" of XACK. Their place is the key or channel.
 */
#ifndef ASSAY_GATEWAY_SEAMS_REDIS_H
#define ASSAY_GATEWAY_SEAMS_REDIS_H

#include "gateway/seams/reader.h"

#define REDIS_STATEMENT_KEPT_MAX 1024
#define REDIS_PENDING_MAX 262144 /* commands of one connection without a reply */
#define REDIS_DEPTH_MAX 32
#define REDIS_MESSAGE_KEPT_MAX (EXCHANGE_BODY_KEPT_MAX + 4096) /* arguments of a command that carries messages */

extern const struct reader_ops reader_redis;

#endif
