/* serve_relay: `assay relay --to` as the control plane holds it: started, started again when it dies, ended with it. */
#ifndef ASSAY_PROGRAMS_SERVE_RELAY_H
#define ASSAY_PROGRAMS_SERVE_RELAY_H

#include "base/err.h"

struct serve_relay;

struct serve_relay_options {
	const char *relay;      /* "relay.example.com:7422" */
	const char *domain;     /* "preview.example.com" */
	const char *token_file; /* what the relay knows for it */
	const char *forward;    /* "127.0.0.1:443": where visits go */
};

MUST_USE int serve_relay_open(const struct serve_relay_options *options, struct serve_relay **relay, struct err *err);
void serve_relay_look(struct serve_relay *relay);  /* to be called once in a while, by one thread */
void serve_relay_close(struct serve_relay *relay); /* NULL is fine */

#endif
