/*
 * Linear as an application's user sees it (linear.app/developers: agents, graphql, rate-limiting): one workspace, its issues, agent sessions with
 * their activities, tokens that end and are refused, limits, errors in answers of any status.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "outside.h"

#define WORKSPACE "org-1"
#define SELF "user-app"
#define TOKEN_LIFE_S 1800

static struct {
	json_t *sessions; /* [{"id", "issue", "activities": []}] */
	json_t *issues;   /* [{"id", "title", …}] */
	int64_t number;
	int64_t token; /* the last one that was given */
	int64_t ends_ms;
	bool used;
	int64_t refused_until_ms; /* somebody switched the application off */
} lin;

static json_t *find(json_t *list, const char *id)
{
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
		if (strcmp(json_text(item, "id", ""), id) == 0 || strcmp(json_text(item, "identifier", ""), id) == 0)
			return item;
	return NULL;
}

/* ---- answers ---- */

static int failed(struct http_response *response, unsigned status, const char *code, const char *message)
{
	return answer_put(response, status,
			  json_pack("{s:[{s:s, s:{s:s}}]}", "errors", "message", message, "extensions", "code", code));
}

static int done(struct http_response *response, const char *what)
{
	return answer_put(response, 200, json_pack("{s:{s:{s:b}}}", "data", what, "success", 1));
}

static int viewer(struct http_response *response, const json_t *variables)
{
	(void)variables;
	return answer_put(response, 200,
			  json_pack("{s:{s:{s:s}, s:{s:s, s:s}}}", "data", "viewer", "id", SELF, "organization", "id", WORKSPACE,
				    "name", "Acme"));
}

static int issue_context(struct http_response *response, const json_t *variables)
{
	json_t *issue = find(lin.issues, json_text(variables, "id", ""));

	if (!issue)
		return failed(response, 200, "INPUT_ERROR", "Entity not found: Issue");
	return answer_put(response, 200, json_pack("{s:{s:O}}", "data", "issue", issue));
}

static int team_states(struct http_response *response, const json_t *variables)
{
	if (strcmp(json_text(variables, "id", ""), "team-1") != 0)
		return failed(response, 200, "INPUT_ERROR", "Entity not found: Team");
	return answer_put(response, 200,
			  json_pack("{s:{s:{s:{s:[{s:s, s:s, s:s, s:i}]}}}}", "data", "team", "states", "nodes", "id", "state-2",
				    "name", "In Progress", "type", "started", "position", 2));
}

static int suggestions(struct http_response *response, const json_t *variables)
{
	const json_t *first = json_array_get(json_member(variables, "candidates"), 0);
	double sure = pick(2) ? 0.9 : 0.1;

	if (!first || !find(lin.sessions, json_text(variables, "session", "")))
		return failed(response, 200, "INPUT_ERROR", "Argument Validation Error");
	return answer_put(response, 200,
			  json_pack("{s:{s:{s:[{s:s, s:s, s:f}]}}}", "data", "issueRepositorySuggestions", "suggestions",
				    "hostname", json_text(first, "hostname", ""), "repositoryFullName", "acme/shop", "confidence",
				    sure));
}

static void prompt(json_t *session, const char *text, const char *signal);

static void content_check(const json_t *content)
{
	const char *type = json_text(content, "type", "");
	bool action = strcmp(type, "action") == 0;
	bool words = strcmp(type, "thought") == 0 || strcmp(type, "elicitation") == 0 || strcmp(type, "response") == 0 ||
		     strcmp(type, "error") == 0;

	if (!action && !words)
		broken("Linear is sent an activity of the type `%s`", type);
	if (words && !json_text(content, "body", NULL))
		broken("Linear is sent a %s without a body", type);
	if (action && (!json_text(content, "action", NULL) || !json_text(content, "parameter", NULL)))
		broken("Linear is sent an action without its name or parameter");
}

/* Named by its sender: the same name is refused, so that a repetition is one. */
static int activity_create(struct http_response *response, const json_t *variables)
{
	const json_t *input = json_member(variables, "input");
	const char *id = json_text(input, "id", "");
	json_t *session = find(lin.sessions, json_text(input, "agentSessionId", ""));
	json_t *list = json_object_get(session, "activities");
	const json_t *content = json_member(input, "content");

	if (strlen(id) != 36 || id[14] != '4')
		broken("an activity's id is no UUID: %s", id);
	if (!session)
		return failed(response, 200, "INPUT_ERROR", "Entity not found: AgentSession");
	content_check(content);
	if (find(list, id))
		return failed(response, 200, "INPUT_ERROR", "conflict on insert of AgentActivity");
	(void)json_array_append(list, (json_t *)(uintptr_t)input);
	if (strcmp(json_text(content, "type", ""), "elicitation") == 0)
		prompt(session, "shop", NULL);
	return done(response, "agentActivityCreate");
}

static int session_update(struct http_response *response, const json_t *variables)
{
	if (!find(lin.sessions, json_text(variables, "id", "")))
		return failed(response, 200, "INPUT_ERROR", "Entity not found: AgentSession");
	return done(response, "agentSessionUpdate");
}

static int issue_update(struct http_response *response, const json_t *variables)
{
	json_t *issue = find(lin.issues, json_text(variables, "id", ""));

	if (!issue)
		return failed(response, 200, "INPUT_ERROR", "Entity not found: Issue");
	if (json_text(json_member(variables, "input"), "delegateId", NULL))
		(void)json_object_set_new(issue, "delegate", json_pack("{s:s}", "id", SELF));
	return done(response, "issueUpdate");
}

static int attachment_create(struct http_response *response, const json_t *variables)
{
	const json_t *input = json_member(variables, "input");

	if (!json_text(input, "url", NULL) || !find(lin.issues, json_text(input, "issueId", "")))
		broken("an attachment without a URL or an issue");
	if (chance(4))
		return failed(response, 200, "INPUT_ERROR", "Duplicate attachment");
	return done(response, "attachmentCreate");
}

static const struct {
	const char *operation;
	int (*answer)(struct http_response *response, const json_t *variables);
} operations[] = {
	{"Viewer", viewer},
	{"IssueContext", issue_context},
	{"TeamStates", team_states},
	{"RepositorySuggestions", suggestions},
	{"ActivityCreate", activity_create},
	{"SessionUpdate", session_update},
	{"IssueUpdate", issue_update},
	{"AttachmentCreate", attachment_create},
};

static int token_give(struct http_response *response)
{
	if (sim.calm)
		lin.refused_until_ms = 0;
	if (sim.clock_ms < lin.refused_until_ms)
		return answer_put(response, 401, json_pack("{s:s}", "error", "invalid_client"));
	if (chance(30))
		return answer_put(response, 502, NULL);
	lin.ends_ms = sim.clock_ms + (int64_t)TOKEN_LIFE_S * 1000;
	lin.used = false;
	return answer_put(response, 200,
			  json_pack("{s:o, s:i, s:s}", "access_token", json_sprintf("token-%lld", (long long)++lin.token),
				    "expires_in", TOKEN_LIFE_S, "scope", "read write"));
}

static bool knows(const struct http_call *call)
{
	AUTO_FREE char *wanted = text_format("Bearer token-%lld", (long long)lin.token);

	if (lin.used && chance(300)) {
		lin.ends_ms = 0;
		lin.refused_until_ms = sim.clock_ms + (int64_t)pick(100000);
	}
	lin.used = true;
	for (size_t i = 0; i < call->header_count; i++)
		if (strcmp(call->headers[i].name, "Authorization") == 0)
			return strcmp(call->headers[i].value, wanted) == 0 && sim.clock_ms < lin.ends_ms;
	return false;
}

static bool refuses(struct http_response *response)
{
	if (!chance(25))
		return false;
	switch (pick(5)) {
	case 0:
		buf_add_text(&response->body, "upstream connect error");
		response->status = 503;
		break;
	case 1:
		(void)failed(response, 200, "INTERNAL_SERVER_ERROR", "Internal server error");
		break;
	case 2:
		(void)failed(response, 200, "LOCK", "lock timeout");
		(void)answer_put(
			response, 200,
			json_pack("{s:[{s:s, s:{s:s}}]}", "errors", "message", "busy", "extensions", "type", "lock timeout"));
		break;
	case 3:
		(void)failed(response, 400, "RATELIMITED", "Rate limit exceeded");
		answer_head(response, "X-RateLimit-Requests-Remaining", 0);
		answer_head(response, "X-RateLimit-Requests-Reset", sim.clock_ms + (int64_t)pick(60000));
		break;
	default:
		(void)answer_put(response, 500, json_pack("{s:{}}", "data"));
	}
	return true;
}

int linear_answer(const struct http_call *call, struct http_response *response)
{
	AUTO_JSON body = NULL;
	const char *operation;

	if (strstr(call->url, "/oauth/token"))
		return token_give(response);
	body = json_parse(call->body, NULL);
	operation = json_text(body, "operationName", "");
	if (!knows(call))
		return failed(response, 401, "AUTHENTICATION_ERROR", "Authentication required, not authenticated");
	if (refuses(response))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (strcmp(operations[i].operation, operation) == 0)
			return operations[i].answer(response, json_member(body, "variables"));
	broken("Linear knows no %s", operation);
}

/* ---- people ---- */

static json_t *told(const char *action, const json_t *session)
{
	const json_t *issue = json_member(session, "issue");

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:O}}", "type", "AgentSessionEvent", "action", action,
			 "organizationId", WORKSPACE, "oauthClientId", "app", "appUserId", SELF, "agentSession", "id",
			 json_text(session, "id", ""), "appUserId", SELF, "creatorId", "user-ann", "issue", issue);
}

void linear_give(int nth)
{
	long long number = (long long)++lin.number;
	json_t *issue = json_pack("{s:o, s:o, s:o, s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:[]}, s:{s:[]}}", "id",
				  json_sprintf("issue-%lld", number), "identifier", json_sprintf("ENG-%lld", number), "title",
				  json_sprintf("mail %d", nth), "description", "do it", "url",
				  "https://linear.app/acme/issue/ENG-1", "team", "id", "team-1", "key", "ENG", "state", "id",
				  "state-1", "name", "Todo", "type", "unstarted", "labels", "nodes", "comments", "nodes");
	json_t *session = json_pack("{s:o, s:O, s:[]}", "id", json_sprintf("session-%lld", number), "issue", issue, "activities");

	(void)json_array_append_new(lin.issues, issue);
	(void)json_array_append_new(lin.sessions, session);
	hook_put("", told("created", session));
}

static void prompt(json_t *session, const char *text, const char *signal)
{
	json_t *body = told("prompted", session);

	(void)json_object_set_new(body, "agentActivity",
				  json_pack("{s:o, s:s, s:s*, s:{s:s, s:s}}", "id",
					    json_sprintf("activity-%lld", (long long)++lin.number), "userId", "user-ann", "signal",
					    signal, "content", "type", "prompt", "body", text));
	hook_put("", body);
}

/* Of whatever run the session has when it arrives. */
static bool stop_expected(const json_t *session)
{
	const char *thread = json_text(session, "id", "");

	if (!stored("SELECT count(*) FROM run JOIN thread ON thread.issue = run.issue WHERE thread.thread = ?", VALUES(V(thread))))
		return false;
	stop_note(thread);
	return true;
}

/* It is not the application's any more. */
static void take_back(const json_t *session)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:o, s:s, s:O}}", "type", "AppUserNotification", "action",
				 "issueUnassignedFromYou", "organizationId", WORKSPACE, "oauthClientId", "app", "appUserId", SELF,
				 "notification", "id", json_sprintf("note-%lld", (long long)++lin.number), "actorId", "user-ann",
				 "issue", json_member(session, "issue"));

	hook_put("", body);
}

void linear_act(void)
{
	json_t *session = json_array_size(lin.sessions) ? json_array_get(lin.sessions, pick(json_array_size(lin.sessions))) : NULL;
	AUTO_FREE char *text = words_new("msg");

	if (!session)
		return;
	switch (pick(8)) {
	case 0:
		if (chance(3) && stop_expected(session))
			prompt(session, "stop", "stop");
		break;
	case 1:
		if (chance(6) && stop_expected(session))
			take_back(session);
		break;
	default:
		prompt(session, text, NULL);
	}
}

/* ---- at the end ---- */

/* Whoever looks at the session sees how it ended: the last that stays is a response, an error, or a question. */
static void session_check(const json_t *session)
{
	const char *last = "nothing";
	size_t index;
	json_t *activity;

	json_array_foreach(json_object_get(session, "activities"), index, activity)
		if (!json_flag(activity, "ephemeral", false))
			last = json_text(json_member(activity, "content"), "type", "");
	if (strcmp(last, "response") != 0 && strcmp(last, "error") != 0)
		broken("%s ends with %s", json_text(session, "id", ""), last);
}

void linear_check(void)
{
	size_t index;
	json_t *session;

	json_array_foreach(lin.sessions, index, session)
		session_check(session);
}

/* ---- a world's ---- */

void linear_begin(void)
{
	memset(&lin, 0, sizeof(lin));
	lin.sessions = json_array();
	lin.issues = json_array();
}

void linear_end(void)
{
	json_decref(lin.sessions);
	json_decref(lin.issues);
	memset(&lin, 0, sizeof(lin));
}
