/*
 * amqp: reads along with a connection of AMQP 0-9-1 (the protocol of RabbitMQ; its "AMQP 0-9-1 Complete Reference") and tells of messages:
 *
 *	publish  a message went to an exchange; place "exchange/routing key" (the default exchange: the key alone), headers its properties
 *	deliver  one came, pushed or fetched: also its queue; complete is "redelivered" when it was given before
 *	ack, requeue, reject   what became of a delivered one; place and queue as when it was delivered, from then on
 *	return, unconfirmed    a published one came back, or was refused by the broker: an error
 *	declare, bind, consume, purge, delete   of queues and exchanges
 *	close    a channel or the connection ended with an error: "404 NOT_FOUND - no queue …"
 *
 * Messages that were delivered and are not acknowledged count as in flight. After anything but AMQP 0-9-1 (TLS, 1.0) or a broken frame it
 * says so once and is blind.
 */
#ifndef ASSAY_GATEWAY_SEAMS_AMQP_H
#define ASSAY_GATEWAY_SEAMS_AMQP_H

#include "gateway/seams/reader.h"

#define AMQP_FRAME_KEPT_MAX ((size_t)256 << 10) /* of a method or a header; bodies pass in pieces */
#define AMQP_CHANNELS_MAX 2048
#define AMQP_CONSUMERS_MAX 4096      /* of a connection */
#define AMQP_UNACKNOWLEDGED_MAX 8192 /* of a connection; more are not followed */
#define AMQP_PROPERTIES_MAX 64       /* of a message */

extern const struct reader_ops reader_amqp;

#endif
