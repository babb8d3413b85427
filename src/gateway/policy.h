/*
 * policy: what may leave an environment. Rules name a host ("api.example.com", "*.example.com" for everything below it but not itself,
 * "*" for all) and perhaps a port ("host:5432"; without one an allow rule means 80 and 443, a deny rule every port). Deny wins; what no
 * rule names is denied; names have one canonical form, and what has none is denied.
 */
#ifndef ASSAY_GATEWAY_POLICY_H
#define ASSAY_GATEWAY_POLICY_H

#include <sys/socket.h>

#include "base/json.h"

#define POLICY_RULES_MAX 4096
#define HOST_NAME_MAX_BYTES 254 /* with its NUL */

#define REACH_MAX 16

struct policy_rule {
	char host[HOST_NAME_MAX_BYTES]; /* canonical, without "*." */
	bool below;                     /* "*.": names below it; with an empty host: every name */
	bool allow;
	uint16_t port; /* 0: none given */
};

struct policy {
	struct policy_rule *rules;
	size_t count;
};

/* `rules`: [{"host": …, "action": "allow"|"deny", "port"?: n}] or NULL. One bad rule refuses all of them. */
MUST_USE int policy_parse(const json_t *rules, struct policy *policy, struct err *err);
void policy_fini(struct policy *policy);
/* `host` is canonical. *why is a constant for people when it is refused. */
bool policy_allows(const struct policy *policy, const char *host, uint16_t port, const char **why);
/* Is there a port at which the host may be reached? Then its name gets an address. */
bool policy_resolves(const struct policy *policy, const char *host);

/* Lower case, no last dot, labels of at most 63 letters, digits, `-` and `_`, not a number at the end: so never an address. */
bool host_canonical(struct view text, char host[HOST_NAME_MAX_BYTES]);
/* "203.0.113.0/24", "fd00::/8" or one address: the operator lets egress rules lead there although it is not the public internet (a company's
 * own registry). At most REACH_MAX, before any thread starts; no blueprint can do this. */
MUST_USE int reach_add(const char *network, struct err *err);
/* Is it an address that an allowed name may lead to: of the public internet, or within what reach_add() was told? */
bool address_is_reachable(const struct sockaddr *address);
/* Is it an address of the public internet? Private, loopback, link-local, metadata, multicast, documentation and mapped ones are not. */
bool address_is_public(const struct sockaddr *address);

#endif
