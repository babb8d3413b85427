/* Rows of what leaves: questions that wait for a person, the kill switch, the policy, budgets. */
#include "base/log.h"
#include "base/scope.h"
#include "runs/egress.h"
#include "web/web_priv.h"

#define USD_MAX 1000000

static struct egress *egress_of(const struct call *call, struct err *err)
{
	if (!call->web->options.egress)
		(void)err_set(err, ERR_NOT_FOUND, "this server governs nothing that leaves");
	return call->web->options.egress;
}

static json_t *holds(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);

	return egress ? items_of(egress_holds(egress, request_wants(call, "all"))) : NULL;
}

static json_t *hold_answer(struct call *call, bool allow, struct err *err)
{
	struct egress *egress = egress_of(call, err);

	return egress ? egress_answer(egress, http_request_param(call->request, "hold"), allow,
				      json_text(call->body, "for", "once"), json_flag(call->body, "stop_run", false),
				      request_author(call), json_text(call->body, "because", ""), err)
		      : NULL;
}

static json_t *hold_approve(struct call *call, struct err *err)
{
	return hold_answer(call, true, err);
}

static json_t *hold_deny(struct call *call, struct err *err)
{
	return hold_answer(call, false, err);
}

static json_t *kills(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);

	return egress ? items_of(egress_kills(egress)) : NULL;
}

/* What a kill made dead is released again: for one environment, or for all that are there ("" in `which`). */
static void credentials_restore(struct call *call, const struct env_id *which)
{
	struct environments *environments = call->web->options.environments;
	AUTO_JSON list = which->text[0] ? NULL : environment_list(environments, NULL);
	struct err err = {0};
	struct env_id env;
	json_t *item;
	size_t i;

	if (which->text[0] && environment_secrets(environments, *which, true, &err))
		log_warn("env=%s: its credentials stay dead: %s", which->text, err.text);
	json_array_foreach(list, i, item)
		if (!env_id_parse(view_of(json_text(item, "id", "")), &env, &err) &&
		    environment_secrets(environments, env, true, &err))
			log_warn("env=%s: its credentials stay dead: %s", env.text, err.text);
}

static json_t *kill_switch(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	const char *which = json_text(call->body, "env", NULL);
	struct env_id env = {""};
	json_t *answer;

	if (!egress)
		return NULL;
	if (json_flag(call->body, "all", false) == (which != NULL)) {
		(void)err_set(err, ERR_INVALID, "either `env` or `all` is needed");
		return NULL;
	}
	if (which && environment_find(call->web->options.environments, which, &env, err))
		return NULL;
	answer = egress_kill(egress, env.text, json_flag(call->body, "undo", false), request_author(call),
			     json_text(call->body, "because", ""), err);
	if (answer && json_flag(call->body, "undo", false))
		credentials_restore(call, &env);
	return answer;
}

/* With ?rules=1 the rules, too. */
static json_t *policy(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	AUTO_JSON shown = egress ? egress_policy_show(egress) : NULL;
	AUTO_JSON body = egress && request_wants(call, "rules") ? egress_policy_body(egress) : NULL;

	if (body)
		(void)json_object_set(shown, "policy", json_object_get(body, "policy"));
	return TAKE(shown);
}

static json_t *policy_reload(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);

	return egress && !egress_policy_reload(egress, true, err) ? egress_policy_show(egress) : NULL;
}

static json_t *environment_policy(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	AUTO_JSON shown = NULL;
	AUTO_JSON body = NULL;
	struct env_id env;

	if (!egress || request_environment(call, &env, err))
		return NULL;
	shown = environment_egress(call->web->options.environments, env, err);
	body = shown ? egress_policy_body(egress) : NULL;
	if (body)
		(void)json_object_set(shown, "organisation", json_object_get(body, "policy"));
	return TAKE(shown);
}

/* A run, or an environment that belongs to none. */
static int budget_owner(struct call *call, char owner[ID_TEXT_MAX], struct err *err)
{
	struct run_id run;
	struct env_id env;

	if (http_request_param(call->request, "env")) {
		if (request_environment(call, &env, err))
			return -1;
		memcpy(owner, env.text, sizeof(env.text));
		return 0;
	}
	if (request_run(call, &run, err))
		return -1;
	memcpy(owner, run.text, sizeof(run.text));
	return 0;
}

static json_t *budget(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	char owner[ID_TEXT_MAX];

	return egress && !budget_owner(call, owner, err) ? egress_budget(egress, owner) : NULL;
}

/* "5", "0.50"; "0" takes it away. */
static int usd_parse(const char *text, int64_t *micro, struct err *err)
{
	struct view fraction;
	struct view whole = view_cut(view_of(text), '.', &fraction);
	uint64_t dollars;
	uint64_t cents = 0;

	if (!view_to_u64(whole, &dollars) || dollars > USD_MAX || fraction.length > 2 ||
	    (fraction.at && !view_to_u64(fraction, &cents)))
		return err_set(err, ERR_INVALID, "usd: expected an amount such as 5 or 0.50, not `%.40s`", text);
	*micro = (int64_t)(dollars * 1000000 + cents * (fraction.length == 1 ? 100000 : 10000));
	return 0;
}

static json_t *budget_set(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	char owner[ID_TEXT_MAX];
	int64_t micro = 0;

	if (!egress || budget_owner(call, owner, err) || usd_parse(json_text(call->body, "usd", ""), &micro, err) ||
	    egress_budget_set(egress, owner, micro, call->caller.name, err))
		return NULL;
	return egress_budget(egress, owner);
}

#define AUTHOR                              \
	{                                   \
		"author", FIELD_LINE, false \
	}
const struct row egress_rows[] = {
	{"GET", "/api/v1/holds", holds, WHO_PERSON, ROLE_VIEWER, .answers = "[Hold]", .does = "Requests that wait for a person",
	 .query = {{"all", "flag"}}},
	{"POST", "/api/v1/holds/{hold}/approve", hold_approve, WHO_PERSON, ROLE_APPROVER,
	 .fields = {{"for", FIELD_LINE, false}, {"because", FIELD_LINE, false}, AUTHOR}, .answers = "Hold",
	 .does = "Lets it leave"},
	{"POST", "/api/v1/holds/{hold}/deny", hold_deny, WHO_PERSON, ROLE_APPROVER,
	 .fields = {{"stop_run", FIELD_FLAG, false}, {"because", FIELD_LINE, false}, AUTHOR}, .answers = "Hold",
	 .does = "Refuses it"},
	{"GET", "/api/v1/kills", kills, WHO_PERSON, ROLE_VIEWER, .answers = "[Kill]", .does = "What the kill switch holds"},
	{"POST", "/api/v1/kill", kill_switch, WHO_PERSON, ROLE_APPROVER,
	 .fields = {{"env", FIELD_LINE, false},
		    {"all", FIELD_FLAG, false},
		    {"because", FIELD_LINE, false},
		    {"undo", FIELD_FLAG, false},
		    AUTHOR},
	 .answers = "Killed", .does = "Cuts off an environment or everything, or undoes it"},
	{"GET", "/api/v1/policy", policy, WHO_PERSON, ROLE_VIEWER, .answers = "Policy", .does = "The organisation's policy",
	 .query = {{"rules", "flag"}}},
	{"POST", "/api/v1/policy/reload", policy_reload, WHO_PERSON, ROLE_ADMIN, .answers = "Policy",
	 .does = "Reads the policy file again"},
	{"GET", "/api/v1/environments/{env}/policy", environment_policy, WHO_PERSON, ROLE_VIEWER, .answers = "EnvironmentPolicy",
	 .does = "What counts in an environment"},
	{"GET", "/api/v1/runs/{run}/budget", budget, WHO_PERSON, ROLE_VIEWER, .answers = "Budget", .does = "What a run has spent"},
	{"POST", "/api/v1/runs/{run}/budget", budget_set, WHO_PERSON, ROLE_APPROVER, .fields = {{"usd", FIELD_LINE, true}},
	 .answers = "Budget", .does = "Sets what a run may spend"},
	{"GET", "/api/v1/environments/{env}/budget", budget, WHO_PERSON, ROLE_VIEWER, .answers = "Budget",
	 .does = "What an environment has spent"},
	{"POST", "/api/v1/environments/{env}/budget", budget_set, WHO_PERSON, ROLE_APPROVER, .fields = {{"usd", FIELD_LINE, true}},
	 .answers = "Budget", .does = "Sets what an environment may spend"},
};
const size_t egress_row_count = ARRAY_LEN(egress_rows);
