/*
 * frames: a WebSocket that host and client agreed on, read as frames and written as frames again, in both directions. Of the client each
 * message is looked at before it leaves, and credentials are put in where a rule says so; of the host each message is masked and metered.
 * What is no WebSocket, a secret, or a message over FRAMES_MESSAGE_BYTES_MAX ends it: the client hears why in a close frame.
 */
#ifndef ASSAY_GATEWAY_EGRESS_FRAMES_H
#define ASSAY_GATEWAY_EGRESS_FRAMES_H

#include "gateway/egress/pipeline.h"

#define FRAMES_MESSAGE_BYTES_MAX ((uint64_t)16 << 20) /* inflated */

struct frames;

/* The host agreed to it. False: also to what was not offered. */
bool frames_begin(struct pipeline *pipeline, const struct egress_response *response);
/* From the client: what goes to the host, until the next call. *refused: nothing may, it must end, and the verdict says why. */
struct view frames_out(struct pipeline *pipeline, struct view bytes, bool *refused);
/* From the host: what goes to the client, until the next call. False: it must end, and the verdict says why. */
bool frames_back(struct pipeline *pipeline, struct view bytes, struct view *out);
/* A close frame for the client with the verdict in it; until the next call. */
struct view frames_farewell(struct pipeline *pipeline);
void frames_free(struct frames *frames); /* NULL is fine */

#endif
