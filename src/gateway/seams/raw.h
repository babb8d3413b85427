/*
 * raw: a seam whose bytes are passed as they are, in both directions, while a reader of its protocol (seams/reader.h) tells what
 * they say. With PROTOCOL_GUESS the first bytes of whoever speaks first decide whether it is HTTP (then seams/http.h goes on), something that
 * a reader knows, or just bytes.
 */
#ifndef ASSAY_GATEWAY_SEAMS_RAW_H
#define ASSAY_GATEWAY_SEAMS_RAW_H

#include "gateway/flow.h"

void raw_begin(struct flow *flow, enum protocol protocol);
/* As it is, whatever it is: logged as one row when it ends. `first` is what the client sent already. */
void raw_begin_plain(struct flow *flow, struct view first);
/* A PostgreSQL connection whose login is done (egress/login.h): `start` is its start-up packet; what came since from either side goes on. */
void raw_begin_postgres(struct flow *flow, struct view start, struct view from_server, struct view from_client);

#endif
