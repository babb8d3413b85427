/* assay policy: check, explain, suggest, simulate, show, reload: rules before, while and after they are in force. */
#include <stdio.h>
#include <unistd.h>

#include "base/scope.h"
#include "blueprint/egress.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define PROGRAM "assay policy"
#define EXCHANGES_MAX "100000"
#define RUNS_MAX 64
#define ROWS_AT_ONCE "500"

static json_t *(*judge_source)(const json_t *policy, const json_t *above, const json_t *requests, struct err *err);

void cli_policy_source(json_t *(*judge)(const json_t *policy, const json_t *above, const json_t *requests, struct err *err))
{
	judge_source = judge;
}

/* ---- check ---- */

static int check(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = PROGRAM " check",
		.arguments = "[FILE] [--json]",
		.about = "Says whether a policy file, or the rules of an assay.yaml (the default), may be used.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	AUTO_JSON rules = NULL;
	AUTO_JSON none = json_array();
	AUTO_JSON judged = NULL;
	AUTO_JSON answer = NULL;
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);
	const char *path = count == 1 ? argv[1] : "assay.yaml";
	size_t rule_count;

	if (count < 0)
		return code;
	rules = policy_file_load(path, &err);
	judged = rules ? judge_source(rules, NULL, none, &err) : NULL;
	if (!judged)
		return cli_fail(usage.program, as_json, &err);
	rule_count = json_array_size(json_is_array(rules) ? rules : json_member(rules, "rules"));
	answer = json_pack("{s:b, s:s, s:I}", "ok", 1, "file", path, "rules", (json_int_t)rule_count);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s is good: %zu %s%s\n", path, rule_count, rule_count == 1 ? "rule" : "rules",
		       rule_count ? "" : ": everything is denied");
	return CLI_DONE;
}

/* ---- the policies that count ---- */

struct policies {
	json_t *rules;
	json_t *above;
	json_t *origin; /* {"env", "sandbox", "agent", "repository", "run"} */
};

static void policies_fini(struct policies *policies)
{
	json_decref(policies->rules);
	json_decref(policies->above);
	json_decref(policies->origin);
}

#define AUTO_POLICIES __attribute__((cleanup(policies_fini))) struct policies

static int policies_of_env(struct api *api, const char *env, struct policies *policies, struct err *err)
{
	AUTO_FREE char *path = api_path("/environments/{}/policy", env);
	AUTO_JSON answer = api_get(api, path, err);

	if (!answer)
		return -1;
	policies->rules = json_incref(json_member(answer, "rules"));
	policies->above = json_incref(json_member(answer, "organisation"));
	policies->origin = json_pack("{s:s, s:s, s:s, s:s, s:s}", "env", env, "sandbox", "workspace", "agent",
				     json_text(answer, "agent", ""), "repository", json_text(answer, "repository", ""), "run",
				     json_text(answer, "run", ""));
	return 0;
}

/* Without an environment: the assay.yaml here, under the policy of the server that runs, if one does. */
static int policies_of_here(struct policies *policies, struct err *err)
{
	struct err none = {0};
	AUTO_API struct api *api = api_open(PROGRAM, false, &none);
	AUTO_JSON answer = api ? api_get(api, "/policy?rules=1", &none) : NULL;

	policies->rules = access("assay.yaml", R_OK) == 0 ? policy_file_load("assay.yaml", err) : json_array();
	policies->above = json_incref(json_member(answer, "policy"));
	policies->origin = json_pack("{s:s, s:s, s:s, s:s, s:s}", "env", "", "sandbox", "workspace", "agent", "", "repository", "",
				     "run", "");
	return policies->rules ? 0 : -1;
}

/* ---- explain ---- */

static void explain_print(const json_t *said, const char *method, const char *url)
{
	const char *action = json_text(said, "action", "");
	struct table *table = table_new((const char *const[]){"RULE", "OF", "HOST", "ACTION", "FITS", NULL});
	AUTO_FREE char *line = terminal_line(url);
	AUTO_FREE char *why = terminal_line(json_text(said, "why", ""));
	json_t *rule;
	size_t i;

	printf("%s %s: %s%s%s by %s: %s\n", method, line,
	       terminal_tone(stdout, strcmp(action, "allow") == 0  ? TONE_GOOD
				     : strcmp(action, "deny") == 0 ? TONE_BAD
								   : TONE_UNSURE),
	       action, terminal_end(stdout), json_text(said, "rule", ""), why);
	json_array_foreach(json_member(said, "rules"), i, rule) {
		bool fits = json_flag(rule, "fits", false);

		table_cell(table, json_text(rule, "id", ""));
		table_cell(table, json_text(rule, "layer", ""));
		table_cell(table, json_text(rule, "host", ""));
		table_cell(table, json_text(rule, "action", ""));
		table_cell(table, fits ? "yes" : json_text(rule, "not", "no"));
	}
	table_end(table, "no rule names this host");
}

static int explain(int argc, char **argv)
{
	bool as_json = false;
	const char *method = "GET";
	const char *env = NULL;
	const char *sandbox = NULL;
	const char *agent = NULL;
	const struct cli_option options[] = {
		{.name = "method", .value = "M", .help = "GET unless said; WEBSOCKET for one", .text = &method},
		{.name = "env", .value = "ENV", .help = "under the rules of that environment", .text = &env},
		{.name = "sandbox", .value = "NAME", .help = "asked for by that service (workspace)", .text = &sandbox},
		{.name = "agent", .value = "KIND", .help = "asked for by that kind of agent", .text = &agent},
		{.name = "json", .help = "the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = PROGRAM " explain",
					.arguments = "URL [--method M] [--env ENV] [--sandbox NAME] [--agent KIND] [--json]",
					.about = "Says what becomes of a request, which rule decides, and why the others do not.\n"
						 "Exit code 1 when it is denied.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_POLICIES policies = {0};
	AUTO_JSON requests = NULL;
	AUTO_JSON judged = NULL;
	struct err err = {0};
	int code = CLI_DONE;
	int result;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (env) {
		AUTO_API struct api *api = api_open(usage.program, false, &err);

		result = api ? policies_of_env(api, env, &policies, &err) : -1;
	} else {
		result = policies_of_here(&policies, &err);
	}
	if (result)
		return cli_fail(usage.program, as_json, &err);
	if (sandbox)
		(void)json_object_set_new(policies.origin, "sandbox", json_string(sandbox));
	if (agent)
		(void)json_object_set_new(policies.origin, "agent", json_string(agent));
	requests = json_pack("[{s:s, s:s, s:O}]", "method", method, "url", argv[1], "origin", policies.origin);
	judged = requests ? judge_source(policies.rules, policies.above, requests, &err) : NULL;
	if (!judged)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(json_array_get(judged, 0));
	else
		explain_print(json_array_get(judged, 0), method, argv[1]);
	return strcmp(json_text(json_array_get(judged, 0), "action", ""), "deny") == 0 ? CLI_FAILED : CLI_DONE;
}

/* ---- what was seen ---- */

/* Which rule of the gateway's decided, as the exchange says it; "" when it only went out. */
static const char *rule_of_exchange(const json_t *exchange)
{
	json_t *header;
	size_t i;

	json_array_foreach(json_member(json_member(exchange, "response"), "headers"), i, header) {
		const char *name = json_string_value(json_array_get(header, 0));

		if (name && strcmp(name, "assay-rule") == 0)
			return json_string_value(json_array_get(header, 1));
	}
	return "";
}

/* What rules had said of a request that was decided by `rule`: "allow", "approve", "deny"; "passed" (allow or approve: something after the rules
 * refused it); NULL: it was refused before rules were asked. `held`: it waited for a person, for that rule. */
static const char *rules_said(struct view rule, bool held)
{
	static const char *const after[] = {"dlp", "broker:", "budget", "ledger", "hold", "websocket", "upstream"};

	if (held)
		return view_starts(rule, VIEW("policy:")) ? "approve" : "passed";
	if (view_starts(rule, VIEW("hold:"))) /* a person's answer that was remembered */
		return "approve";
	if (view_is(rule, "builtin:dns-over-https")) /* by a field, which nobody keeps */
		return "passed";
	if (view_starts(rule, VIEW("policy:")) || view_starts(rule, VIEW("builtin:")) || view_is(rule, "default-deny"))
		return "deny";
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		if (view_starts(rule, view_of(after[i])))
			return "passed";
	return NULL;
}

static const char *said_of_exchange(const json_t *exchange)
{
	struct view rule = view_of(rule_of_exchange(exchange));
	bool held = view_starts(rule, VIEW("hold "));

	if (!rule.length || view_is(rule, "upstream"))
		return "allow";
	return rules_said(held ? view_make(rule.at + strlen("hold "), rule.length - strlen("hold ")) : rule, held);
}

static bool is_websocket(const json_t *request)
{
	json_t *header;
	size_t i;

	json_array_foreach(json_member(request, "headers"), i, header)
		if (strcasecmp(json_string_value(json_array_get(header, 0)) ? json_string_value(json_array_get(header, 0)) : "",
			       "sec-websocket-key") == 0)
			return true;
	return false;
}

/* One request of a run, as it was judged: {"method", "url", "origin", "was", "by"?}; "was" as rules_said() has it, "" when rules were not asked.
 * Rows of seams are none. */
static json_t *request_of_exchange(const json_t *exchange, const json_t *origin)
{
	const json_t *request = json_member(exchange, "request");
	const char *url = json_text(request, "url", "");
	const char *was = said_of_exchange(exchange);
	const char *method = is_websocket(request) ? "WEBSOCKET" : json_text(request, "method", "GET");
	AUTO_JSON row = NULL;

	if (!view_starts(view_of(url), VIEW("http")) || strcmp(json_text(exchange, "from", ""), "preview") == 0)
		return NULL;
	row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "method", method, "url", url, "was", was ? was : "", "by",
			rule_of_exchange(exchange), "sandbox", json_text(exchange, "from", ""));
	(void)json_object_set_new(row, "origin", json_deep_copy(origin));
	(void)json_object_set_new(json_object_get(row, "origin"), "sandbox", json_string(json_text(exchange, "from", "")));
	return TAKE(row);
}

/* The same of a row of the ledger, which keeps no query, and no path of what was refused for its content. `holds`: request -> the rule for which
 * it waited. */
static json_t *request_of_row(const json_t *row, const json_t *holds)
{
	struct view rule = view_of(json_text(row, "rule", ""));
	const char *path = json_text(row, "path", "");
	const char *method = json_text(row, "method", "connect");
	const char *asked = json_text(holds, json_text(row, "request", ""), NULL);
	int64_t port = json_number(row, "port", 0);
	bool intent = strcmp(json_text(row, "kind", ""), "intent") == 0;
	const char *was = asked                                          ? rules_said(view_of(asked), true)
			  : intent && view_starts(rule, VIEW("policy:")) ? "allow"
									 : rules_said(rule, false);
	AUTO_FREE char *url = text_format("%s://%s:%lld%s", port == 80 ? "http" : "https", json_text(row, "host", ""),
					  (long long)port, path);

	if (strcmp(method, "connect") == 0 || strcmp(method, "resolve") == 0) /* it ended before there was a request */
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s}}", "method", method, "url", url, "was",
			 was && path[0] ? was : "", "by", json_text(row, "rule", ""), "origin", "env", json_text(row, "env", ""),
			 "sandbox", json_text(row, "sandbox", ""), "agent", json_text(row, "agent", ""), "run",
			 json_text(row, "run", ""), "repository", "");
}

typedef void row_each(void *self, const json_t *row);

/* All rows of one kind that the ledger has of a run or an environment, which may be gone. */
static int rows_kept(struct api *api, const char *what, const char *kind, row_each *each, void *self, struct err *err)
{
	int64_t before = 0;
	size_t count;

	do {
		AUTO_FREE char *older = before ? text_format("&before=%lld", (long long)before) : text_copy("");
		AUTO_FREE char *path = text_format("/ledger?%s=%s&kind=%s&limit=" ROWS_AT_ONCE "%s", what[0] == 'e' ? "env" : "run",
						   what, kind, older);
		AUTO_JSON items = api_items(api, path, err);
		json_t *row;
		size_t k;

		if (!items)
			return -1;
		count = json_array_size(items);
		json_array_foreach(items, k, row) {
			before = json_number(row, "id", 0);
			each(self, row);
		}
	} while (count && before);
	return 0;
}

struct kept {
	json_t *holds;
	json_t *requests;
};

static void hold_keep(void *self, const json_t *row)
{
	struct kept *kept = self;

	(void)json_object_set_new(kept->holds, json_text(row, "request", ""), json_string(json_text(row, "rule", "")));
}

static void request_keep(void *self, const json_t *row)
{
	struct kept *kept = self;
	json_t *request = request_of_row(row, kept->holds);

	if (request)
		(void)json_array_append_new(kept->requests, request);
}

static int requests_kept(struct api *api, const char *what, json_t *requests, struct err *err)
{
	AUTO_JSON holds = json_object();
	struct kept kept = {holds, requests};

	return rows_kept(api, what, "hold", hold_keep, &kept, err) || rows_kept(api, what, "intent", request_keep, &kept, err)
		       ? -1
		       : rows_kept(api, what, "verdict", request_keep, &kept, err);
}

/* Appends the requests of a run (or an environment) that went out or were refused. */
static int requests_seen(struct api *api, const char *what, json_t *requests, struct policies *policies, struct err *err)
{
	AUTO_FREE char *run_path = api_path("/runs/{}", what);
	struct err ignored = {0};
	AUTO_JSON run = api_get(api, run_path, &ignored);
	const char *env = run ? json_text(run, "environment", "") : what;
	AUTO_FREE char *path = NULL;
	AUTO_JSON items = NULL;
	json_t *exchange;
	size_t i;

	if (!env[0])
		return err_set(err, ERR_NOT_FOUND, "%s has no environment any more: what it asked for is not known", what);
	if (!policies->origin && policies_of_env(api, env, policies, err))
		return -1;
	path = text_format("/environments/%s/exchanges?limit=" EXCHANGES_MAX, env);
	items = api_items(api, path, err);
	if (!items)
		return -1;
	json_array_foreach(items, i, exchange) {
		json_t *row = request_of_exchange(exchange, policies->origin);

		if (row)
			(void)json_array_append_new(requests, row);
	}
	return 0;
}

/* "https://host:port/…" -> host and, when it is neither 80 nor 443, ":port"; owned by the caller. */
static char *host_of(const char *url)
{
	const char *from = strstr(url, "://");
	size_t length = from ? strcspn(from + 3, "/?") : 0;

	return from ? view_copy(view_make(from + 3, length)) : text_copy("");
}

static void method_note(json_t *hosts, const char *host, const char *method)
{
	json_t *seen = json_object_get(hosts, host);

	if (!seen) {
		seen = json_object();
		(void)json_object_set_new(hosts, host, seen);
	}
	(void)json_object_set_new(seen, method, json_integer(json_number(seen, method, 0) + 1));
}

static void suggestion_print(const json_t *hosts)
{
	const char *host;
	json_t *methods;

	printf("# what was seen, and no more: read it before you use it\negress:\n  rules:\n");
	json_object_foreach((json_t *)(uintptr_t)hosts, host, methods) {
		const char *colon = strchr(host, ':');
		AUTO_FREE char *name = terminal_line(host);
		const char *separator = "";
		const char *method;
		json_t *count;

		printf("    - {host: %.*s, ", (int)(colon ? colon - host : (ptrdiff_t)strlen(name)), name);
		if (colon)
			printf("port: %s, ", colon + 1);
		printf("methods: [");
		json_object_foreach(methods, method, count) {
			printf("%s%s", separator, method);
			separator = ", ";
		}
		printf("], action: allow}\n");
	}
}

static int suggest(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "json", .help = "hosts and how often which method, as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = PROGRAM " suggest",
		.arguments = "RUN [--json]",
		.about = "Prints rules for what a run (or an environment) asked for, refused or not: to be read by a person.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_POLICIES policies = {0};
	AUTO_API struct api *api = NULL;
	AUTO_JSON requests = json_array();
	AUTO_JSON hosts = json_object();
	struct err err = {0};
	int code = CLI_DONE;
	json_t *request;
	size_t i;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	api = api_open(usage.program, false, &err);
	if (!api || requests_seen(api, argv[1], requests, &policies, &err))
		return cli_fail(usage.program, as_json, &err);
	json_array_foreach(requests, i, request) {
		AUTO_FREE char *host = host_of(json_text(request, "url", ""));

		method_note(hosts, host, json_text(request, "method", ""));
	}
	if (as_json)
		cli_print_json(hosts);
	else if (json_object_size(hosts))
		suggestion_print(hosts);
	else
		fprintf(stderr, "it asked for nothing outside\n");
	return CLI_DONE;
}

/* ---- simulate ---- */

struct runs_given {
	const char *at[RUNS_MAX];
	size_t count;
};

static int run_take(void *self, const char *value, struct err *err)
{
	struct runs_given *runs = self;

	if (runs->count == RUNS_MAX)
		return err_set(err, ERR_LIMIT, "at most %d runs", RUNS_MAX);
	runs->at[runs->count++] = value;
	return 0;
}

/* What the draft says beside what was done; the answer of --json, too. What rules had no word in is in it, and not compared. */
static json_t *simulation(const json_t *requests, const json_t *judged, size_t *changed)
{
	json_t *rows = json_array();
	json_t *request;
	size_t i;

	*changed = 0;
	json_array_foreach(requests, i, request) {
		const json_t *said = json_array_get(judged, i);
		const char *was = json_text(request, "was", "");
		const char *action = json_text(said, "action", "");
		bool same = !*was || (strcmp(was, "passed") == 0 ? strcmp(action, "deny") != 0 : strcmp(action, was) == 0);

		*changed += !same;
		(void)json_array_append_new(
			rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "method", json_text(request, "method", ""),
					"url", json_text(request, "url", ""), "was", *was ? was : "not asked", "by",
					json_text(request, "by", ""), "draft", *was ? action : "", "rule",
					*was ? json_text(said, "rule", "") : "", "why", *was ? json_text(said, "why", "") : "",
					"compared", *was != '\0', "same", same));
	}
	return rows;
}

/* Who else decides, and how often: a draft changes nothing about that. */
static void others_print(const json_t *rows)
{
	AUTO_JSON others = json_object();
	const char *who;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		struct view rest;
		struct view by = view_cut(view_of(json_text(row, "by", "")), ':', &rest);
		AUTO_FREE char *name = view_copy(by);

		if (!json_flag(row, "compared", false) || strcmp(json_text(row, "was", ""), "passed") == 0)
			(void)json_object_set_new(others, name, json_integer(json_number(others, name, 0) + 1));
	}
	json_object_foreach(others, who, row) {
		AUTO_FREE char *line = terminal_line(who);

		printf("%lld of them were decided by something else than rules, as they still would be: %s\n",
		       (long long)json_integer_value(row), line);
	}
}

static void simulation_print(const json_t *rows, size_t changed)
{
	struct table *table = table_new((const char *const[]){"WAS", "DRAFT", "RULE", "REQUEST", NULL});
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		AUTO_FREE char *request = text_format("%s %s", json_text(row, "method", ""), json_text(row, "url", ""));

		if (json_flag(row, "same", false))
			continue;
		table_cell(table, json_text(row, "was", ""));
		table_cell_tone(table, json_text(row, "draft", ""),
				strcmp(json_text(row, "draft", ""), "deny") == 0 ? TONE_BAD : TONE_UNSURE);
		table_cell(table, json_text(row, "rule", ""));
		table_cell(table, request);
	}
	table_end(table, "nothing would be different");
	printf("%zu of %zu requests would be answered differently\n", changed, json_array_size(rows));
	others_print(rows);
}

static int simulate(int argc, char **argv)
{
	bool as_json = false;
	bool ledger = false;
	struct runs_given runs = {0};
	const struct cli_option options[] = {
		{.name = "ledger",
		 .help = "what the ledger kept, also of environments that are gone; without queries",
		 .flag = &ledger},
		{.name = "on",
		 .value = "RUN",
		 .help = "a run or environment whose requests are judged; may be given again",
		 .each = run_take,
		 .self = &runs},
		{.name = "json", .help = "every row as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = PROGRAM " simulate",
		.arguments = "FILE --on RUN… [--ledger] [--json]",
		.about = "Judges what runs asked for under a draft: an assay.yaml (instead of theirs, under the organisation's\n"
			 "policy) or a policy file (instead of the organisation's, over theirs).",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_API struct api *api = NULL;
	AUTO_JSON draft = NULL;
	AUTO_JSON all = json_array();
	struct err err = {0};
	size_t changed_all = 0;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (!runs.count)
		return cli_refuse(usage.program, "--on RUN is missing");
	draft = policy_file_load(argv[1], &err);
	api = draft ? api_open(usage.program, false, &err) : NULL;
	if (!api)
		return cli_fail(usage.program, as_json, &err);
	for (size_t i = 0; i < runs.count; i++) {
		AUTO_POLICIES policies = {0};
		AUTO_JSON requests = json_array();
		AUTO_JSON judged = NULL;
		AUTO_JSON rows = NULL;
		size_t changed = 0;

		if (ledger ? policies_of_here(&policies, &err) || requests_kept(api, runs.at[i], requests, &err)
			   : requests_seen(api, runs.at[i], requests, &policies, &err))
			return cli_fail(usage.program, as_json, &err);
		judged = json_is_array(draft) ? judge_source(draft, policies.above, requests, &err)
					      : judge_source(policies.rules, draft, requests, &err);
		if (!judged)
			return cli_fail(usage.program, as_json, &err);
		rows = simulation(requests, judged, &changed);
		(void)json_array_extend(all, rows);
		changed_all += changed;
	}
	if (as_json)
		list_print_json(all);
	else
		simulation_print(all, changed_all);
	return CLI_DONE;
}

/* ---- the organisation's ---- */

static int shown(const char *program, int argc, char **argv, bool reload)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = program,
					.arguments = "[--json]",
					.about = reload ? "Has the server read its policy file now; it looks every second anyway."
							: "Shows the organisation's policy that is in force.",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	AUTO_API struct api *api = NULL;
	AUTO_JSON answer = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	api = api_open(program, false, &err);
	answer = !api ? NULL : reload ? api_post(api, "/policy/reload", NULL, &err) : api_get(api, "/policy?rules=1", &err);
	if (!answer)
		return cli_fail(program, as_json, &err);
	if (as_json) {
		cli_print_json(answer);
		return CLI_DONE;
	}
	if (json_text(answer, "path", NULL))
		printf("%s: %lld rules%s%s\n", json_text(answer, "path", ""), (long long)json_number(answer, "rules", 0),
		       json_flag(answer, "ceiling", false) ? ", nothing beyond them" : "",
		       json_flag(answer, "passthrough", true) ? "" : ", TLS is always opened");
	else
		printf("no policy of the organisation: STATE/policy.yaml, or `assay serve --policy FILE`\n");
	if (json_text(answer, "error", NULL))
		fprintf(stderr, "%s: the last reload failed: %s\n", program, json_text(answer, "error", ""));
	return json_text(answer, "error", NULL) ? CLI_FAILED : CLI_DONE;
}

static int show(int argc, char **argv)
{
	return shown(PROGRAM " show", argc, argv, false);
}

static int reload(int argc, char **argv)
{
	return shown(PROGRAM " reload", argc, argv, true);
}

int cli_policy(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"check", "[FILE]", "says whether a policy file, or an assay.yaml's rules, may be used", check},
		{"explain", "URL", "says which rule decides about a request, and why", explain},
		{"suggest", "RUN", "prints rules for what was seen", suggest},
		{"simulate", "FILE --on RUN…", "judges what runs asked for under a draft", simulate},
		{"show", "", "shows the organisation's policy that is in force", show},
		{"reload", "", "has the server read its policy file now", reload},
	};

	return cli_dispatch(PROGRAM, commands, ARRAY_LEN(commands), argc, argv);
}
