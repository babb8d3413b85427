/*
 * request: a request that wants out of a sandbox, in the one form in which it is judged, scanned, brokered, recorded and sent: whatever it
 * came as (HTTP/1.1 or HTTP/2, through the door or by CONNECT), whatever it leaves as. What has no such form is refused before anybody
 * looks at it, and nothing is sent that was not written from it again.
 */
#ifndef ASSAY_GATEWAY_EGRESS_REQUEST_H
#define ASSAY_GATEWAY_EGRESS_REQUEST_H

#include "base/buf.h"

#define EGRESS_FIELDS_MAX 128
#define LOGIN_METHOD "login" /* at a database: no program can send it, as those of HTTP are in capital letters */
#define EGRESS_RULE_MAX 64   /* bytes of a rule's id, with its NUL */

/* Who asks. Texts live as long as the environment. */
struct egress_origin {
	const char *env;
	const char *sandbox;
	const char *agent; /* its kind ("claude", "codex", …) where the sandbox is an agent's workspace; "" for services */
	const char *run;   /* "" when the environment belongs to none */
	const char *repository;
};

struct egress_field {
	struct view name; /* lower case; no hop-by-hop fields, no host */
	struct view value;
};

/* Views borrow from the request's own buffers and live as long as it does. */
struct egress_request {
	struct egress_origin origin;
	const char *host; /* canonical: gateway/policy/host.h */
	uint16_t port;
	bool tls;
	unsigned version;   /* as it came: 11 or 20 */
	struct view method; /* a token */
	struct view path;   /* canonical: gateway/policy/path.h */
	struct view query;  /* without "?" */
	const struct egress_field *fields;
	size_t field_count;
	const struct egress_field *trailing; /* fields behind its body, as far as they came; NULL: none */
	size_t trailing_count;
	int64_t body_bytes; /* 0: none, -1: as many as come */
	bool websocket;     /* wants to become one */
	bool path_hidden;   /* there is a secret in it: it is shown nowhere */
	bool trailers;      /* who asks reads trailers of the answer */
};

/* Its method as rules, people and the ledger name it: what asks for a WebSocket is no GET to them. */
static inline struct view egress_method(const struct egress_request *request)
{
	return request->websocket ? VIEW("WEBSOCKET") : request->method;
}

/* The answer, in the same form. */
struct egress_response {
	unsigned status;
	const struct egress_field *fields; /* as those of a request */
	size_t field_count;
	int64_t body_bytes; /* 0: none, -1: as many as come */
	bool tunnel;        /* it became a WebSocket: from here on both sides send as they like */
};

enum egress_action {
	EGRESS_DENY, /* zero: what nobody set is refused */
	EGRESS_ALLOW,
	EGRESS_APPROVE,     /* waits for a person */
	EGRESS_PASSTHROUGH, /* TLS is not opened: only host and port are judged */
};

/* What a refusal says to the agent, what the ledger keeps, what a person is asked. */
struct egress_verdict {
	enum egress_action action;
	unsigned status;            /* of the refusal: 403, 421, 429, 451, 502 … */
	char rule[EGRESS_RULE_MAX]; /* which rule decided: "policy:<id>", "dlp:<id>", "default-deny", "kill", … */
	const char *why;            /* one line for people, constant or owned by the policy */
	const char *remedy;         /* what to do about it, one line */
};

#endif
