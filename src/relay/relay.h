/*
 * relay: for machines that can open no port. The relay stands where visitors reach it and forwards bytes: it reads the name in a visitor's ClientHello and
 * nothing else, finds the machine that proved to be behind that name's domain (relay/wire.h), and joins the two. TLS ends at the machine; the
 * relay has no certificate, no key and no state.
 *
 * The machine's side is a client that keeps one connection to the relay, and opens another for each visit, which it joins with its own listener.
 */
#ifndef ASSAY_RELAY_RELAY_H
#define ASSAY_RELAY_RELAY_H

#include "base/err.h"
#include "net/loop.h"

#define RELAY_VISITS_MAX 256     /* of one machine, at once */
#define RELAY_WAITING_MAX 64     /* of those, not joined yet */
#define RELAY_STRANGERS_MAX 1024 /* connections that have not said what they want */
#define RELAY_SAY_MS 5000        /* to say it */
#define RELAY_JOIN_MS 10000      /* to join a visit */

struct relay_server;

struct relay_server_options {
	struct loop *loop;
	const char *visitors; /* "0.0.0.0:443" */
	const char *machines; /* "0.0.0.0:7422" */
	int tokens; /* a file of lines "DOMAIN TOKEN", read at each registration; stays the caller's. It is written in place: one that was
			       * replaced is told of, and lets nobody register */
};

MUST_USE int relay_server_open(const struct relay_server_options *options, struct relay_server **server, struct err *err);
int relay_server_visitors_port(const struct relay_server *server);
int relay_server_machines_port(const struct relay_server *server);
void relay_server_close(struct relay_server *server); /* NULL is fine; as the loop has stopped */

struct relay_client;

struct relay_client_options {
	struct loop *loop;
	const char *relay;   /* "relay.example.com:7422" */
	const char *domain;  /* "preview.example.com" */
	const char *token;   /* what the relay knows for it */
	const char *forward; /* "127.0.0.1:443": the own listener; numbers only */
};

/* Begins, and begins again for as long as it lives, with growing pauses. */
MUST_USE int relay_client_open(const struct relay_client_options *options, struct relay_client **client, struct err *err);
void relay_client_close(struct relay_client *client); /* NULL is fine; as the loop has stopped */

#endif
