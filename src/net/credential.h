/*
 * credential: what a credential is for, as the vault, the control plane and the gateway all read it. A rule names method, scheme, host,
 * port and path: "POST https://api.anthropic.com/v1/messages", "postgres://db.example.com:5432/shop"; without a method it means GET and
 * HEAD, with `*` any. The host is exact. In a path `*` at the end is any rest, and elsewhere any part of one segment. Nothing is
 * matched that is not in canonical form (gateway/egress/request.h).
 *
 * What a sandbox holds instead is a placeholder: text that contains CREDENTIAL_MARK, which nothing else that is sent may.
 */
#ifndef ASSAY_NET_CREDENTIAL_H
#define ASSAY_NET_CREDENTIAL_H

#include "base/buf.h"

#define CREDENTIAL_MARK "xAssay0"
#define CREDENTIAL_NAME_MAX 64 /* with its NUL: lower-case letters, digits and dashes */
#define CREDENTIAL_VALUE_MIN 8 /* less cannot be told from ordinary text when it comes back */
#define CREDENTIAL_VALUE_MAX 4096
#define CREDENTIAL_RULES_MAX 8
#define CREDENTIAL_METHOD_MAX 24
#define CREDENTIAL_HOST_MAX 254
#define CREDENTIAL_PATH_MAX 256
#define CREDENTIAL_SLOT_MAX 64

enum credential_place {
	CREDENTIAL_HEADER = 1, /* `slot`: its name, in lower case */
	CREDENTIAL_QUERY,      /* `slot`: the parameter's name */
	CREDENTIAL_PATH,
	CREDENTIAL_BASIC, /* user or password of Authorization: Basic */
	CREDENTIAL_BODY,
	CREDENTIAL_WEBSOCKET, /* messages to the host */
	CREDENTIAL_PASSWORD,  /* of a PostgreSQL login */
	CREDENTIAL_AWS,       /* it signs requests (SigV4) of the access key id `slot`, and is itself in none */
};

enum credential_scheme { CREDENTIAL_HTTPS = 1, CREDENTIAL_HTTP, CREDENTIAL_POSTGRES };

/* Fixed: it travels to the vault as it is. Texts end with NUL. */
struct credential_rule {
	uint16_t scheme;
	uint16_t port;
	char method[CREDENTIAL_METHOD_MAX]; /* "*": any; "": GET and HEAD */
	char host[CREDENTIAL_HOST_MAX];
	char path[CREDENTIAL_PATH_MAX]; /* of PostgreSQL: "/database" */
};

struct credential_use {
	uint16_t place;
	uint16_t rule_count;
	uint16_t require; /* a request that a rule fits must carry the placeholder */
	uint16_t unused;
	char slot[CREDENTIAL_SLOT_MAX];
	struct credential_rule rules[CREDENTIAL_RULES_MAX];
};

bool credential_name_valid(struct view name);
/* "header:x-api-key", "query:key", "path", "basic", "body", "websocket", "password", "aws:AKIA…"; "bearer" is header:authorization. */
MUST_USE int credential_place_parse(struct view text, struct credential_use *use, struct err *err);
void credential_place_format(const struct credential_use *use, struct buf *out);
/* Adds a rule. Plain http only to names of one's own making: ".internal", ".test", ".localhost" hosts. */
MUST_USE int credential_rule_parse(struct view text, struct credential_use *use, struct err *err);
void credential_rule_format(const struct credential_rule *rule, struct buf *out);
/* Is the use whole: a place, at least one rule, and both of a kind? */
MUST_USE int credential_use_check(const struct credential_use *use, struct err *err);
/* Can such a value be put there: its length, and no byte that would end a header field or a line? */
MUST_USE int credential_value_check(const struct credential_use *use, struct view value, struct err *err);

/* `path` has no query. */
bool credential_allows(const struct credential_use *use, enum credential_scheme scheme, const char *host, uint16_t port,
		       struct view method, struct view path);
/* Of one's own making, so that it may be spoken to without TLS: .internal, .test, .localhost. */
bool credential_host_is_own(const char *host);
bool credential_is_for_host(const struct credential_use *use, const char *host, uint16_t port);

#endif
