/*
 * redis_messages: which commands of Redis carry messages, and what they carried: streams, lists as queues, channels. Arguments and replies
 * are kept by the reader (seams/redis.h), whole or not at all; what they hold is hostile.
 */
#ifndef ASSAY_GATEWAY_SEAMS_REDIS_MESSAGES_H
#define ASSAY_GATEWAY_SEAMS_REDIS_MESSAGES_H

#include "gateway/seams/reader.h"

#define REDIS_ARGUMENT_HEAD 4        /* bytes before each kept argument: its length, as the machine has it */
#define REDIS_MESSAGES_TOLD_MAX 1000 /* of one command */

struct redis_carrier;

/* NULL: the command (upper case) carries none. */
const struct redis_carrier *redis_carrier_find(const char *command);
bool redis_carrier_delivers(const struct redis_carrier *carrier); /* its reply is wanted */
bool redis_carrier_acknowledges(const struct redis_carrier *carrier);

struct redis_carried {
	const struct redis_carrier *carrier;
	struct view arguments; /* without the command */
	bool cut;              /* there were more */
	struct view reply;     /* as on the wire; empty when it was too long */
	int64_t begun_us;
	int64_t ended_us;
};

void redis_messages_tell(const struct redis_carried *carried, reader_tell *tell, void *self);
/* A push, or an array of a connection that subscribed: tells when it is a message. */
void redis_push_tell(struct view value, int64_t now_us, reader_tell *tell, void *self);

#endif
