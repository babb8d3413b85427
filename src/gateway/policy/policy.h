/*
 * policy: what may leave an environment: the rules of its blueprint under those of the organisation, compiled once into a snapshot that
 * never changes, is counted, and answers from any thread.
 *
 * A rule names a host: "api.example.com"; "*.example.com" for everything below it at any depth, but not itself; "*" for every name; or one
 * address, which no wildcard stands for. Without a port it means 80 and 443 (a rule that denies: every port). It may name methods, path
 * patterns (gateway/policy/path.h), kinds of agents, sandboxes, repositories and environments; what it does not name, it does not ask for.
 *
 *   1. Deny wins: over every other rule, of every layer.
 *   2. Otherwise, in each layer, the rules with the most specific host that fit decide (exact, then the longest "*.", then "*"); among them
 *      approve comes before allow, and allow before passthrough.
 *   3. Of two layers that fit the stricter answer holds. What no rule fits is denied: an empty list denies everything.
 *
 * Never under a wildcard: names without a dot or below names that are private by convention (.internal, .local, …). Never at all: the names
 * of clouds' metadata services. Addresses are judged again when they are dialled (gateway/policy/host.h).
 */
#ifndef ASSAY_GATEWAY_POLICY_POLICY_H
#define ASSAY_GATEWAY_POLICY_POLICY_H

#include "base/json.h"
#include "gateway/egress/request.h"
#include "gateway/policy/host.h"
#include "gateway/policy/path.h"

#define POLICY_RULES_MAX 200000
#define POLICY_ID_MAX 48 /* bytes of a rule's id, with its NUL */
#define POLICY_LIST_MAX 64

struct policy;

/*
 * `rules`: NULL, a list of rules, or {"rules": [...], "ceiling": bool, "passthrough": bool}. A rule is
 *   {"id"?, "host", "port"?, "methods"?: [...], "paths"?: [...], "agents"?: [...], "sandboxes"?: [...], "repositories"?: [patterns],
 *    "environments"?: [patterns], "action": "allow|deny|approve|passthrough", "because"?: text for refusals}.
 * `above`: the organisation's policy, or NULL; it is held. Of that one, "ceiling" says that what none of its rules allows is denied whatever
 * blueprints say, and "passthrough": false that TLS is always opened. Bad rules, ids given twice and an answer that is not the right one for
 * names that must be denied (each snapshot is probed) are errors: then there is no policy at all. */
struct policy *policy_new(const json_t *rules, struct policy *above, struct err *err);
/* The rules of `policy` under another organisation's (or none). */
struct policy *policy_under(struct policy *policy, struct policy *above);
struct policy *policy_hold(struct policy *policy); /* NULL gives NULL */
void policy_release(struct policy *policy);        /* NULL is fine */
/* Differs for any two snapshots: a connection that remembers it knows when to be judged again. */
uint64_t policy_generation(const struct policy *policy);
size_t policy_rule_count(const struct policy *policy); /* of its own layer */

/* Before anything is looked up or dialled: what is the best that a request to this host and port may hope for? DENY: nothing. PASSTHROUGH:
 * TLS is not to be opened. APPROVE: nothing without a person, so do not dial before. ALLOW: some requests, or all: judge each.
 * `origin` NULL: of somebody unknown. `host` as host_or_address_canonical() gives it. Texts of `verdict` live as long as the policy. */
enum egress_action policy_host(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port,
			       struct egress_verdict *verdict);
/* Is every request there allowed, whatever it says? Then it may be dialled while the client still shakes hands. */
bool policy_host_is_free(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port);
/* For who cannot look inside: is everything there allowed, or passed through? *why is set when not. */
bool policy_allows(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port,
		   const char **why);
/* Does a rule that lets something go name this very host, and not only a wildcard that it is below? */
bool policy_host_listed(const struct policy *policy, const char *host);
/* Is there a port at which somebody may hope for something? Then the name gets an address. */
bool policy_resolves(const struct policy *policy, const char *host);
/* The ports at which somebody may hope for something: of 80, 443 and those that rules name for the host, at most `max`; how many. */
size_t policy_ports(const struct policy *policy, const char *host, uint16_t *ports, size_t max);
/* One request. Never passthrough. */
void policy_judge(const struct policy *policy, const struct egress_request *request, struct egress_verdict *verdict);
/* Is it that field, to servers of every kind? CGI and its like make one variable of x-api-key and x_api_key. `name` in lower case. */
bool policy_field_is(struct view name, const char *field);
/* Fields that could make a request mean another method, host or path than was judged (x-http-method-override, x-original-url, …): not passed
 * on. `name` in lower case. */
bool policy_field_is_dropped(struct view name);

/* What policy_judge (or, with `host_only`, policy_host) says, with every rule that names the host: {"action", "rule", "why", "remedy",
 * "rules": [{"id", "layer": "organisation|blueprint", "host", "action", "fits": bool, "not"?: why it does not fit}]}. */
json_t *policy_explain(const struct policy *policy, const struct egress_request *request, bool host_only);
const char *egress_action_name(enum egress_action action); /* "deny", … */

#endif
