/*
 * Judging.
 *
 * Theory of operation: a layer answers for itself: it steps through the rules of the host, the most specific first, and keeps the answer of
 * the first group (of one host pattern) in which a rule fits; a rule that denies ends it at once, wherever it stands. Then the answers of
 * the two layers are joined. Before a connection is dialled the same is asked without a request: then a rule with methods or paths is one
 * that may fit, which is enough for permission and not for denial.
 */
#include "gateway/policy/policy.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "gateway/policy/rule_priv.h"

#define STATUS_DENIED 403

struct policy {
	atomic_uint users;
	uint64_t generation;
	struct layer *own;
	struct layer *above; /* NULL: no organisation's */
};

enum fit { FIT_NOT, FIT_MAYBE, FIT_YES };

struct question {
	const struct egress_origin *origin; /* NULL: unknown */
	const char *host;
	uint16_t port; /* 0: any */
	bool address;
	const struct egress_request *request; /* NULL: before there is one */
	bool ambiguous;                       /* its path */
};

struct answer {
	const struct rule *rule; /* NULL: none fits */
	enum egress_action action;
	const char *builtin;
};

/* What requests to a host may be answered with. */
struct hopes {
	const struct rule *denied;   /* all of them are, by this one */
	const struct rule *rules[4]; /* of each action: one by which it may come */
	bool none;                   /* no rule may fit */
	bool looks_inside;           /* a denial that must see the request */
};

const char *egress_action_name(enum egress_action action)
{
	static const char *const names[] = {"deny", "allow", "approve", "passthrough"};

	return names[action];
}

/* How strict an answer is. */
static unsigned strictness(enum egress_action action)
{
	static const unsigned order[] = {[EGRESS_DENY] = 3, [EGRESS_APPROVE] = 2, [EGRESS_ALLOW] = 1, [EGRESS_PASSTHROUGH] = 0};

	return order[action];
}

static bool words_fit(const struct words *words, const char *text)
{
	for (size_t i = 0; i < words->count; i++)
		if (text && fnmatch(words->at[i], text, 0) == 0)
			return true;
	return !words->count;
}

/* Of several repositories ("shop+lib"): what is refused to one is refused, what is allowed must be so for each. */
static bool repositories_fit(const struct rule *rule, const char *text)
{
	bool any = rule->action == EGRESS_DENY || rule->action == EGRESS_APPROVE;
	struct view rest = view_of(text);

	if (!rule->repositories.count || !text)
		return !rule->repositories.count;
	while (rest.at) {
		AUTO_FREE char *name = view_copy(view_cut(rest, '+', &rest));

		if (words_fit(&rule->repositories, name) == any)
			return any;
	}
	return !any;
}

/* Of an unknown origin a permission may be meant for it, a denial not. */
static bool origin_fits(const struct rule *rule, const struct egress_origin *origin)
{
	if (!origin)
		return rule->action != EGRESS_DENY ||
		       !(rule->agents.count || rule->sandboxes.count || rule->repositories.count || rule->environments.count);
	return words_fit(&rule->agents, origin->agent) && words_fit(&rule->sandboxes, origin->sandbox) &&
	       repositories_fit(rule, origin->repository) && words_fit(&rule->environments, origin->env);
}

/* What a rule without methods means; the others must be named. A WebSocket is a GET, or WEBSOCKET. */
static bool method_is_ordinary(struct view method)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", LOGIN_METHOD};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (view_is(method, methods[i]))
			return true;
	return false;
}

static bool method_fits(const struct rule *rule, const struct egress_request *request)
{
	if (!rule->methods.count)
		return rule->action == EGRESS_DENY || method_is_ordinary(request->method);
	for (size_t i = 0; i < rule->methods.count; i++) {
		if (request->websocket && rule->action != EGRESS_DENY
			    ? strcmp(rule->methods.at[i], "WEBSOCKET") == 0
			    : view_is(request->method, rule->methods.at[i]) ||
				      (request->websocket && strcmp(rule->methods.at[i], "WEBSOCKET") == 0))
			return true;
	}
	return false;
}

static bool path_fits(const struct rule *rule, const struct egress_request *request)
{
	for (size_t i = 0; i < rule->paths.count; i++)
		if (path_matches(view_of(rule->paths.at[i]), request->path, request->query, rule->action == EGRESS_DENY))
			return true;
	return !rule->paths.count;
}

static bool port_fits(const struct rule *rule, uint16_t port)
{
	if (!port)
		return true;
	if (rule->port)
		return rule->port == port;
	return rule->action == EGRESS_DENY || port == 80 || port == 443;
}

/* *not: why it does not fit, for people. */
static enum fit rule_fit(const struct rule *rule, const struct question *question, const char * * not )
{
	*not = NULL;
	if (question->address && rule->kind != HOST_EXACT)
		*not = "an address must be named as it is";
	else if (!port_fits(rule, question->port))
		*not = rule->port ? "it is for another port" : "without a port it is for 80 and 443";
	else if (!origin_fits(rule, question->origin))
		*not = "it is for other agents, sandboxes, repositories or environments";
	if (*not )
		return FIT_NOT;
	if (!question->port && rule->port && rule->action == EGRESS_DENY)
		return FIT_MAYBE;
	if (!question->request)
		return (rule->methods.count || rule->paths.count) ? FIT_MAYBE : FIT_YES;
	if (!method_fits(rule, question->request))
		*not = rule->methods.count ? "it is for other methods" : "a method as rare as this must be named";
	else if (!path_fits(rule, question->request))
		*not = "it is for other paths";
	return *not ? FIT_NOT : FIT_YES;
}

/* Names that no wildcard stands for: they mean something inside of networks. */
static bool name_is_private(const char *host)
{
	static const char *const endings[] = {"internal",  "local", "localhost", "localdomain", "lan",  "intranet",
					      "home.arpa", "home",  "corp",      "invalid",     "onion"};
	struct view text = view_of(host);

	if (!strchr(host, '.'))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		struct view ending = view_of(endings[i]);

		if (view_ends(text, ending) && text.length > ending.length && text.at[text.length - ending.length - 1] == '.')
			return true;
	}
	return false;
}

static bool name_is_metadata(const char *host)
{
	static const char *const names[] = {
		"metadata.google.internal",     "metadata.goog",           "metadata",           "instance-data",
		"instance-data.ec2.internal",   "metadata.azure.internal", "metadata.azure.com", "metadata.tencentyun.com",
		"metadata.platformequinix.com", "metadata.packet.net",     "rancher-metadata",   "kubernetes.default.svc"};

	for (size_t i = 0; host && i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], host) == 0)
			return true;
	return false;
}

static bool same_group(const struct rule *a, const struct rule *b)
{
	return a->kind == b->kind && view_equal(view_of(a->host), view_of(b->host));
}

static bool rule_is_for_private(const struct rule *rule, const char *host)
{
	return rule->kind == HOST_EXACT || rule->action == EGRESS_DENY || !name_is_private(host);
}

static struct answer layer_answer(const struct layer *layer, const struct question *question)
{
	struct answer best = {0};
	struct layer_step step = {0};
	const struct rule *rule;
	const char * not ;

	while ((rule = layer_next(layer, question->host, &step)) != NULL) {
		if (rule_fit(rule, question, &not ) != FIT_YES || !rule_is_for_private(rule, question->host))
			continue;
		if (rule->action == EGRESS_DENY)
			return (struct answer){.rule = rule, .action = EGRESS_DENY};
		/* Behind the first group only denials count. */
		if (!best.rule || (same_group(best.rule, rule) && strictness(rule->action) > strictness(best.action)))
			best = (struct answer){.rule = rule, .action = rule->action};
	}
	return best;
}

/* One host pattern's rules are stepped through; what they may answer is in `group`. */
static bool group_end(struct hopes *hopes, const struct rule *const group[4], bool certain)
{
	bool more = group[EGRESS_ALLOW] || group[EGRESS_APPROVE];

	for (unsigned action = EGRESS_ALLOW; action <= EGRESS_PASSTHROUGH; action++) {
		unsigned as = action == EGRESS_PASSTHROUGH && more ? EGRESS_ALLOW : action;

		if (group[action] && !hopes->rules[as])
			hopes->rules[as] = group[action];
	}
	return certain;
}

static struct hopes layer_hopes(const struct layer *layer, const struct question *question)
{
	const struct rule *group[4] = {NULL};
	const struct rule *of = NULL; /* one of the group */
	bool certain = false;         /* one of the group always fits */
	bool asked = false;           /* and it is one to approve: the others of the group have no say */
	bool done = false;
	struct hopes hopes = {0};
	struct layer_step step = {0};
	const struct rule *rule;
	const char * not ;

	while ((rule = layer_next(layer, question->host, &step)) != NULL) {
		enum fit fit = rule_fit(rule, question, &not );

		if (fit == FIT_NOT || !rule_is_for_private(rule, question->host))
			continue;
		if (rule->action == EGRESS_DENY) {
			hopes.looks_inside = true;
			if (fit == FIT_YES && !hopes.denied)
				hopes.denied = rule;
			continue;
		}
		if (of && !same_group(of, rule)) {
			done = done || group_end(&hopes, group, certain);
			memset(group, 0, sizeof(group));
			certain = asked = false;
		}
		of = rule;
		if (done || asked)
			continue;
		certain = certain || fit == FIT_YES;
		asked = fit == FIT_YES && rule->action == EGRESS_APPROVE;
		if (asked)
			memset(group, 0, sizeof(group));
		if (!group[rule->action])
			group[rule->action] = rule;
	}
	done = done || group_end(&hopes, group, certain);
	hopes.none = !done;
	return hopes;
}

/* Joins what the layers say. */
static struct answer question_answer(const struct policy *policy, const struct question *question)
{
	struct answer own;
	struct answer above = {0};

	if (name_is_metadata(question->host))
		return (struct answer){.builtin = "metadata"};
	if (question->address && !address_text_is_reachable(question->host))
		return (struct answer){.builtin = "private-address"};
	if (policy->above) {
		above = layer_answer(policy->above, question);
		if ((above.rule && above.action == EGRESS_DENY) || (!above.rule && policy->above->ceiling))
			return above;
	}
	own = layer_answer(policy->own, question);
	if (!own.rule || (above.rule && strictness(above.action) > strictness(own.action)))
		return above;
	return own;
}

static void verdict_fill(const struct policy *policy, const struct answer *answer, struct egress_verdict *verdict)
{
	*verdict = (struct egress_verdict){.action = answer->action, .status = STATUS_DENIED};
	if (answer->builtin) {
		(void)snprintf(verdict->rule, sizeof(verdict->rule), "builtin:%s", answer->builtin);
		verdict->why = "it leads to this machine's own or its cloud's services";
		verdict->remedy = "nothing: this is never allowed";
		return;
	}
	if (!answer->rule) {
		bool ceiling = policy->above && policy->above->ceiling;

		(void)snprintf(verdict->rule, sizeof(verdict->rule), "default-deny");
		verdict->why = ceiling ? "no rule allows it, of the blueprint or of the organisation" : "no rule allows it";
		verdict->remedy = "ask a person to allow it: `egress.rules` in assay.yaml";
		return;
	}
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "policy:%s", answer->rule->id);
	verdict->why = answer->rule->because;
	if (!verdict->why)
		verdict->why = answer->action == EGRESS_DENY ? "a rule denies it" : "a rule names it";
	verdict->remedy = "do without it, or ask a person to change that rule";
}

/* Of all pairs of answers that the two layers may give, what they come to; a NULL is one of none. */
static void hopes_join(const struct hopes *own, const struct hopes *above, bool ceiling, struct hopes *joined)
{
	for (unsigned a = EGRESS_DENY; a <= EGRESS_PASSTHROUGH; a++) {
		if (a == EGRESS_DENY ? !above->none || ceiling : !above->rules[a])
			continue;
		for (unsigned o = EGRESS_DENY; o <= EGRESS_PASSTHROUGH; o++) {
			bool own_holds = a == EGRESS_DENY || (o != EGRESS_DENY && strictness(o) >= strictness(a));

			if (o == EGRESS_DENY ? !own->none : !own->rules[o])
				continue;
			if (own_holds && o != EGRESS_DENY)
				joined->rules[o] = own->rules[o];
			else if (a != EGRESS_DENY && !joined->rules[a])
				joined->rules[a] = above->rules[a];
		}
	}
	joined->looks_inside = own->looks_inside || above->looks_inside;
	joined->denied = above->denied ? above->denied : own->denied;
}

static struct answer host_answer(const struct policy *policy, const struct question *question, bool *free_of_conditions)
{
	struct hopes above = {.none = true};
	struct hopes own;
	struct hopes all = {0};

	*free_of_conditions = false;
	if (name_is_metadata(question->host))
		return (struct answer){.builtin = "metadata"};
	if (question->address && !address_text_is_reachable(question->host))
		return (struct answer){.builtin = "private-address"};
	if (policy->above)
		above = layer_hopes(policy->above, question);
	own = layer_hopes(policy->own, question);
	hopes_join(&own, &above, policy->above && policy->above->ceiling, &all);
	if (all.denied)
		return (struct answer){.rule = all.denied, .action = EGRESS_DENY};
	*free_of_conditions = all.rules[EGRESS_ALLOW] && !all.rules[EGRESS_APPROVE] && !all.rules[EGRESS_PASSTHROUGH] &&
			      !all.looks_inside && (!own.none || !above.none) &&
			      !(policy->above && policy->above->ceiling && above.none);
	if (all.rules[EGRESS_PASSTHROUGH] && !all.rules[EGRESS_ALLOW] && !all.rules[EGRESS_APPROVE] && !all.looks_inside &&
	    !(policy->above && policy->above->no_passage))
		return (struct answer){.rule = all.rules[EGRESS_PASSTHROUGH], .action = EGRESS_PASSTHROUGH};
	if (all.rules[EGRESS_ALLOW] || all.rules[EGRESS_PASSTHROUGH])
		return (struct answer){.rule = all.rules[EGRESS_ALLOW] ? all.rules[EGRESS_ALLOW] : all.rules[EGRESS_PASSTHROUGH],
				       .action = EGRESS_ALLOW};
	return (struct answer){.rule = all.rules[EGRESS_APPROVE],
			       .action = all.rules[EGRESS_APPROVE] ? EGRESS_APPROVE : EGRESS_DENY};
}

static enum egress_action host_judge(const struct policy *policy, const struct egress_origin *origin, const char *host,
				     uint16_t port, struct egress_verdict *verdict, bool *free_of_conditions)
{
	char address[HOST_NAME_MAX_BYTES];
	struct question question = {
		.origin = origin, .host = host, .port = port, .address = host_address_canonical(view_of(host), address)};
	struct answer answer = host_answer(policy, &question, free_of_conditions);

	verdict_fill(policy, &answer, verdict);
	if (verdict->action == EGRESS_DENY && !answer.rule && !answer.builtin && port && policy_resolves(policy, host))
		verdict->why = "it is allowed on other ports only";
	return verdict->action;
}

enum egress_action policy_host(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port,
			       struct egress_verdict *verdict)
{
	bool free_of_conditions;

	return host_judge(policy, origin, host, port, verdict, &free_of_conditions);
}

bool policy_host_is_free(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port)
{
	struct egress_verdict verdict;
	bool free_of_conditions;

	(void)host_judge(policy, origin, host, port, &verdict, &free_of_conditions);
	return free_of_conditions;
}

bool policy_allows(const struct policy *policy, const struct egress_origin *origin, const char *host, uint16_t port,
		   const char **why)
{
	struct egress_verdict verdict;
	bool free_of_conditions;
	enum egress_action action = host_judge(policy, origin, host, port, &verdict, &free_of_conditions);

	*why = action == EGRESS_DENY ? verdict.why : "its rules ask for what cannot be seen here";
	return free_of_conditions || action == EGRESS_PASSTHROUGH;
}

static bool layer_lists(const struct layer *layer, const char *host)
{
	struct layer_step step = {0};
	const struct rule *rule;

	while ((rule = layer_next(layer, host, &step)) != NULL)
		if (rule->kind == HOST_EXACT && rule->action != EGRESS_DENY)
			return true;
	return false;
}

bool policy_host_listed(const struct policy *policy, const char *host)
{
	return layer_lists(policy->own, host) || (policy->above && layer_lists(policy->above, host));
}

bool policy_resolves(const struct policy *policy, const char *host)
{
	struct egress_verdict verdict;

	return policy_host(policy, NULL, host, 0, &verdict) != EGRESS_DENY;
}

struct ports {
	uint16_t *at;
	size_t count, max;
};

static void port_add(const struct policy *policy, const char *host, uint16_t port, struct ports *ports)
{
	struct egress_verdict verdict;

	for (size_t i = 0; i < ports->count; i++)
		if (ports->at[i] == port)
			return;
	if (ports->count < ports->max && policy_host(policy, NULL, host, port, &verdict) != EGRESS_DENY)
		ports->at[ports->count++] = port;
}

static void layer_ports(const struct policy *policy, const struct layer *layer, const char *host, struct ports *ports)
{
	struct layer_step step = {0};
	const struct rule *rule;

	while (ports->count < ports->max && (rule = layer_next(layer, host, &step)) != NULL)
		if (rule->port && rule->action != EGRESS_DENY)
			port_add(policy, host, rule->port, ports);
}

size_t policy_ports(const struct policy *policy, const char *host, uint16_t *ports, size_t max)
{
	struct ports found = {.at = ports, .max = max};

	port_add(policy, host, 443, &found);
	port_add(policy, host, 80, &found);
	layer_ports(policy, policy->own, host, &found);
	if (policy->above)
		layer_ports(policy, policy->above, host, &found);
	return found.count;
}

/* Is there a rule for this host that asks for paths (or methods)? Then a path (or a query) that has two meanings is none. */
static bool layer_asks(const struct layer *layer, const struct question *question, bool methods)
{
	struct question host_only = *question;
	struct layer_step step = {0};
	const struct rule *rule;
	const char * not ;

	host_only.request = NULL;
	while ((rule = layer_next(layer, question->host, &step)) != NULL)
		if ((methods ? rule->methods.count : rule->paths.count) && rule_fit(rule, &host_only, &not ) != FIT_NOT)
			return true;
	return false;
}

static bool policy_asks(const struct policy *policy, const struct question *question, bool methods)
{
	return layer_asks(policy->own, question, methods) || (policy->above && layer_asks(policy->above, question, methods));
}

/* `_method=DELETE` is how some frameworks let a form say what it means. */
static bool query_overrides_method(struct view query)
{
	struct view rest = query;

	while (rest.at) {
		struct view pair = view_cut(rest, '&', &rest);

		if (pair.length >= 8 && view_equal_nocase(view_make(pair.at, 8), VIEW("_method=")))
			return true;
	}
	return false;
}

static bool method_is_never(struct view method)
{
	return view_is(method, "TRACE") || view_is(method, "TRACK") || view_is(method, "CONNECT") || view_is(method, "PRI");
}

static bool says_nocase(struct view text, struct view wanted)
{
	for (size_t at = 0; at + wanted.length <= text.length; at++)
		if (view_equal_nocase(view_make(text.at + at, wanted.length), wanted))
			return true;
	return false;
}

/* A resolver within an allowed host would be a way round ours (RFC 8484, RFC 9230, and the two forms in JSON). */
static bool asks_names(const struct egress_request *request)
{
	for (size_t i = 0; i < request->field_count; i++) {
		const struct egress_field *field = &request->fields[i];

		if ((view_is(field->name, "accept") || view_is(field->name, "content-type")) &&
		    (says_nocase(field->value, VIEW("dns-message")) || says_nocase(field->value, VIEW("dns-json")) ||
		     says_nocase(field->value, VIEW("dns+json")) || says_nocase(field->value, VIEW("dns-udpwireformat"))))
			return true;
	}
	return false;
}

static void verdict_builtin(struct egress_verdict *verdict, const char *rule, const char *why, const char *remedy)
{
	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = STATUS_DENIED, .why = why, .remedy = remedy};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "builtin:%s", rule);
}

void policy_judge(const struct policy *policy, const struct egress_request *request, struct egress_verdict *verdict)
{
	char address[HOST_NAME_MAX_BYTES];
	const struct question question = {.origin = &request->origin,
					  .host = request->host,
					  .port = request->port,
					  .address = host_address_canonical(view_of(request->host), address),
					  .request = request};
	struct answer answer;

	if (method_is_never(request->method)) {
		verdict_builtin(verdict, "method", "this method is never passed on", "use another method");
		return;
	}
	if (asks_names(request)) {
		verdict_builtin(verdict, "dns-over-https", "names are looked up by the environment's own resolver only",
				"let the system look names up");
		return;
	}
	if (path_is_ambiguous(request->path) && policy_asks(policy, &question, false)) {
		verdict_builtin(verdict, "ambiguous-path",
				"servers disagree what its path names, and rules for this host ask for paths",
				"write the path without `//`, `;` and escaped `/`, `\\` or `%`");
		return;
	}
	if (query_overrides_method(request->query) && policy_asks(policy, &question, true)) {
		verdict_builtin(verdict, "method-override",
				"its query asks for another method, and rules for this host ask for methods",
				"use the method that is meant");
		return;
	}
	answer = question_answer(policy, &question);
	if (answer.action == EGRESS_PASSTHROUGH)
		answer.action = EGRESS_ALLOW;
	verdict_fill(policy, &answer, verdict);
}

bool policy_field_is(struct view name, const char *field)
{
	for (size_t i = 0; i < name.length; i++)
		if (!field[i] || (name.at[i] != field[i] && !(name.at[i] == '_' && field[i] == '-')))
			return false;
	return !field[name.length];
}

bool policy_field_is_dropped(struct view name)
{
	static const char *const names[] = {"x-http-method-override", "x-http-method",    "x-method-override", "x-original-method",
					    "x-original-url",         "x-rewrite-url",    "x-original-uri",    "x-forwarded-uri",
					    "x-forwarded-prefix",     "x-forwarded-host", "x-original-host",   "x-host",
					    "x-forwarded-server",     "forwarded"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (policy_field_is(name, names[i]))
			return true;
	return false;
}

/* Snapshots. */

static struct policy *policy_make(struct layer *own, struct policy *above)
{
	static atomic_ullong generations;
	struct policy *policy = mem_new(sizeof(*policy));

	atomic_store(&policy->users, 1);
	policy->generation = atomic_fetch_add(&generations, 1) + 1;
	policy->own = own;
	policy->above = above ? layer_hold(above->own) : NULL;
	return policy;
}

/* Names and addresses that must be denied whatever the rules are. */
static bool policy_denies_what_it_must(const struct policy *policy)
{
	static const char *const probes[] = {"metadata.google.internal", "169.254.169.254", "self-test.assay-denied.invalid"};
	struct egress_verdict verdict;
	struct layer_step step = {0};
	const struct rule *named = layer_next(policy->own, probes[2], &step);

	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		if (i == 2 && named && named->kind == HOST_EXACT)
			continue;
		if (i == 1 && address_text_is_reachable(probes[i])) /* the operator said so */
			continue;
		if (policy_host(policy, NULL, probes[i], 443, &verdict) != EGRESS_DENY)
			return false;
	}
	return true;
}

struct policy *policy_new(const json_t *rules, struct policy *above, struct err *err)
{
	struct layer *layer = layer_new(rules, "rule", err);
	struct policy *policy = layer ? policy_make(layer, above) : NULL;

	if (policy && !policy_denies_what_it_must(policy)) {
		policy_release(policy);
		(void)err_set(err, ERR_BROKEN, "the new policy lets through what must be denied: it is not used");
		return NULL;
	}
	return policy;
}

struct policy *policy_under(struct policy *policy, struct policy *above)
{
	return policy_make(layer_hold(policy->own), above);
}

struct policy *policy_hold(struct policy *policy)
{
	if (policy)
		(void)atomic_fetch_add(&policy->users, 1);
	return policy;
}

void policy_release(struct policy *policy)
{
	if (!policy || atomic_fetch_sub(&policy->users, 1) != 1)
		return;
	layer_release(policy->own);
	layer_release(policy->above);
	free(policy);
}

uint64_t policy_generation(const struct policy *policy)
{
	return policy->generation;
}

size_t policy_rule_count(const struct policy *policy)
{
	return policy->own->count;
}

static void layer_explain(const struct layer *layer, const char *name, const struct question *question, json_t *rules)
{
	struct layer_step step = {0};
	const struct rule *rule;
	const char * not ;

	while ((rule = layer_next(layer, question->host, &step)) != NULL) {
		enum fit fit = rule_fit(rule, question, &not );
		AUTO_FREE char *host = text_format("%s%s",
						   rule->kind == HOST_BELOW ? "*."
						   : rule->kind == HOST_ANY ? "*"
									    : "",
						   rule->host);
		json_t *row;

		if (fit != FIT_NOT && !rule_is_for_private(rule, question->host)) {
			fit = FIT_NOT;
			not = "no wildcard stands for a name that is private by convention";
		}
		row = json_pack("{s:s,s:s,s:s,s:s,s:b}", "id", rule->id, "layer", name, "host", host, "action",
				egress_action_name(rule->action), "fits", fit != FIT_NOT);
		if (not )
			(void)json_object_set_new(row, "not", json_string(not ));
		(void)json_array_append_new(rules, row);
	}
}

json_t *policy_explain(const struct policy *policy, const struct egress_request *request, bool host_only)
{
	char address[HOST_NAME_MAX_BYTES];
	const struct question question = {.origin = &request->origin,
					  .host = request->host,
					  .port = request->port,
					  .address = host_address_canonical(view_of(request->host), address),
					  .request = host_only ? NULL : request};
	struct egress_verdict verdict;
	json_t *rules = json_array();

	if (host_only)
		(void)policy_host(policy, &request->origin, request->host, request->port, &verdict);
	else
		policy_judge(policy, request, &verdict);
	if (policy->above)
		layer_explain(policy->above, "organisation", &question, rules);
	layer_explain(policy->own, "blueprint", &question, rules);
	return json_pack("{s:s,s:s,s:s,s:s,s:o}", "action", egress_action_name(verdict.action), "rule", verdict.rule, "why",
			 verdict.why, "remedy", verdict.remedy, "rules", rules);
}
