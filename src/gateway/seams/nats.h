/*
 * nats: reads along with a connection of the NATS client protocol (docs.nats.io/reference/reference-protocols/nats-protocol) and tells of
 * messages: "publish" (PUB, HPUB) and "deliver" (MSG, HMSG), with the subject as place, headers and body; and of "subscribe" (its queue
 * group as statement) and errors of the server ("-ERR"). JetStream is such messages: what a consumer is given has a reply subject
 * "$JS.ACK.STREAM.CONSUMER.TRIES.…", so that "deliver" then has "STREAM CONSUMER" as its statement and is "redelivered" from the second try on, and
 * what is published to it is told as "ack", "requeue" (-NAK) or "reject" (+TERM), with the stream as place. Nothing counts as in flight.
 *
 * After TLS, or a broken line, it says so once and is blind.
 */
#ifndef ASSAY_GATEWAY_SEAMS_NATS_H
#define ASSAY_GATEWAY_SEAMS_NATS_H

#include "gateway/seams/reader.h"

#define NATS_LINE_MAX 65536 /* INFO is long; the server's own limit of other lines is 4096 */

extern const struct reader_ops reader_nats;

#endif
