/*
 * upstream: asks a host outside, over a connection that was kept from before or a fresh one, by HTTP/2 where the host speaks it and by
 * HTTP/1.1 otherwise. Connections are shared by nobody but requests of the same environment, host, port, transport and credential, wait
 * idle for at most UPSTREAM_IDLE_MS, and are not kept after anything odd: bytes that nobody asked for, a broken message, over HTTP/1.1 an
 * answer before the request was whole. In clear HTTP/2 is spoken with those hosts alone that the sandbox speaks it with.
 *
 * TLS is always verified, for the name that was judged; a session that was verified before is gone on with by those alone who would share the
 * connection, and for an hour. One request has one answer; the asker hears of it by its table of callbacks, of which
 * `ends` or `lost` is the last.
 */
#ifndef ASSAY_GATEWAY_EGRESS_UPSTREAM_H
#define ASSAY_GATEWAY_EGRESS_UPSTREAM_H

#include "gateway/egress/request.h"
#include "gateway/env.h"

#define UPSTREAM_IDLE_MS 60000
#define UPSTREAM_KEPT_MAX 512      /* idle connections of a worker */
#define UPSTREAM_CREDENTIAL_MAX 65 /* of the credential's name or digest, with its NUL */

struct upstream;
struct upstreams;

struct upstream_asker {
	void (*head)(void *self, const struct egress_response *response); /* views live for the call */
	void (*data)(void *self, struct view bytes);
	void (*trailers)(void *self, const struct egress_field *fields, size_t count); /* after the data; views live for the call */
	void (*ends)(void *self);
	/* `code` is HTTP/2's, by which the host reset the stream; 0. `again`: the connection had been kept and ended before anything of the
	 * answer came, and the request may be sent twice; or the host says that it did nothing of it. */
	void (*lost)(void *self, const char *why, uint32_t code, bool again);
	void (*drained)(void *self); /* after upstream_full was true: room for more of the body */
};

struct upstreams *upstreams_new(struct worker *worker);
void upstreams_free(struct upstreams *upstreams);
/* Nothing of TLS that was agreed on for the environment is gone on with. */
void upstreams_forget(struct env *env);
/* Asks; the request lives until it ends, is lost or is cancelled. `credential` tells whose it is ("": nobody's). `fresh`: not over a kept connection. */
struct upstream *upstream_ask(struct env *env, const struct egress_request *request, const char *credential, bool fresh,
			      const struct upstream_asker *asker, void *self);
void upstream_body(struct upstream *upstream, struct view bytes);
void upstream_trailers(struct upstream *upstream, const struct egress_field *fields,
		       size_t count); /* before the end; they live as the request */
void upstream_body_end(struct upstream *upstream);
/* Sends what was written: once after all of the calls above. */
void upstream_send(struct upstream *upstream);
bool upstream_full(struct upstream *upstream);
void upstream_pause(struct upstream *upstream, bool paused); /* do not read the answer now */
void upstream_cancel(struct upstream *upstream);             /* nobody listens any more */

#endif
