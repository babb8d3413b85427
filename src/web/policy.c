/* Rows of rules that are only thought of: what they would say, and how they come in force. */
#include "base/scope.h"
#include "blueprint/egress.h"
#include "runs/egress.h"
#include "web/web_priv.h"

#define REQUESTS_MAX 10000

static struct egress *egress_of(const struct call *call, struct err *err)
{
	if (!call->web->options.egress)
		(void)err_set(err, ERR_NOT_FOUND, "this server governs nothing that leaves");
	return call->web->options.egress;
}

/* Whose rules count, and who is said to ask. */
struct ground {
	json_t *rules;
	json_t *organisation;
	json_t *origin;
};

static void ground_fini(struct ground *ground)
{
	json_decref(ground->rules);
	json_decref(ground->organisation);
	json_decref(ground->origin);
}
#define AUTO_GROUND __attribute__((cleanup(ground_fini))) struct ground

/* Of the environment that the body names; without one nobody asks, and only the organisation's rules count. */
static int ground_take(const struct call *call, struct egress *egress, struct ground *ground, struct err *err)
{
	const char *which = json_text(call->body, "env", NULL);
	struct environments *environments = call->web->options.environments;
	AUTO_JSON body = egress_policy_body(egress);
	AUTO_JSON shown = NULL;
	struct env_id env = {""};

	if (which && environment_find(environments, which, &env, err))
		return -1;
	shown = which ? environment_egress(environments, env, err) : json_object();
	if (!shown)
		return -1;
	ground->organisation = json_incref(json_object_get(body, "policy"));
	ground->rules = json_is_array(json_member(shown, "rules")) ? json_incref(json_object_get(shown, "rules")) : json_array();
	ground->origin = json_pack("{s:s, s:s, s:s, s:s}", "env", env.text, "agent", json_text(shown, "agent", ""), "repository",
				   json_text(shown, "repository", ""), "run", json_text(shown, "run", ""));
	return 0;
}

/* A draft of assay.yaml stands for the environment's rules, one of a policy file for the organisation's. */
static int draft_take(const struct call *call, struct ground *ground, struct err *err)
{
	const char *text = json_text(call->body, "text", NULL);
	json_t *draft = text ? policy_text_load(view_of(text), "the draft", err) : NULL;
	json_t **place = json_is_array(draft) ? &ground->rules : &ground->organisation;

	if (!text)
		return 0;
	if (!draft)
		return -1;
	json_decref(*place);
	*place = draft;
	return 0;
}

static int request_add(json_t *requests, const json_t *asked, size_t i, const json_t *origin, struct err *err)
{
	json_t *request = json_pack("{s:s, s:s, s:o}", "method", json_text(asked, "method", "GET"), "url",
				    json_text(asked, "url", ""), "origin", json_deep_copy(origin));

	if (!request)
		return err_set(err, ERR_INVALID, "requests[%zu]: expected a method and a URL", i);
	(void)json_object_set_new(json_object_get(request, "origin"), "sandbox",
				  json_string(json_text(asked, "sandbox", "workspace")));
	(void)json_array_append_new(requests, request);
	return 0;
}

static json_t *judge(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	const json_t *asked = json_member(call->body, "requests");
	AUTO_JSON requests = json_array();
	AUTO_GROUND ground = {0};
	json_t *one;
	size_t i;

	if (!egress || !call->web->options.policy_judge) {
		(void)err_set(err, ERR_NOT_FOUND, "this server governs nothing that leaves");
		return NULL;
	}
	if (json_array_size(asked) > REQUESTS_MAX) {
		(void)err_set(err, ERR_LIMIT, "requests: at most %d", REQUESTS_MAX);
		return NULL;
	}
	if (ground_take(call, egress, &ground, err) || draft_take(call, &ground, err))
		return NULL;
	json_array_foreach((json_t *)(uintptr_t)asked, i, one)
		if (request_add(requests, one, i, ground.origin, err))
			return NULL;
	return items_of(call->web->options.policy_judge(ground.rules, ground.organisation, requests, err));
}

static json_t *text(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);
	AUTO_BUF bytes = buf_new(POLICY_FILE_BYTES_MAX);

	return egress && !egress_policy_text(egress, &bytes, err)
		       ? request_bytes(call, "text/plain; charset=utf-8", buf_view(&bytes))
		       : NULL;
}

static json_t *text_put(struct call *call, struct err *err)
{
	struct egress *egress = egress_of(call, err);

	return egress && !egress_policy_write(egress, view_of(json_text(call->body, "text", "")), call->caller.name, err)
		       ? egress_policy_show(egress)
		       : NULL;
}

const struct row policy_rows[] = {
	{"POST", "/api/v1/policy/judge", judge, WHO_PERSON, ROLE_VIEWER,
	 .fields = {{"requests", FIELD_LIST, true}, {"env", FIELD_LINE, false}, {"text", FIELD_TEXT, false}}, .answers = "[Judged]",
	 .does = "What becomes of requests ({method, url, sandbox?}) of an environment, under its rules and the organisation's, or with a "
		 "draft in the place of either"},
	{"GET", "/api/v1/policy/text", text, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "The organisation's policy as it is written"},
	{"POST", "/api/v1/policy", text_put, WHO_PERSON, ROLE_ADMIN, .fields = {{"text", FIELD_TEXT, true}}, .answers = "Policy",
	 .does = "Writes the organisation's policy and puts it in force; what is wrong with it is refused, and the one before stays"},
};
const size_t policy_row_count = ARRAY_LEN(policy_rows);
