/* Linear's webhooks taken, and what is said there sent. */
#include "runs/linear.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/inbox.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"
#include "trackers/linear.h"

#define CONFIDENT 0.5
#define CANDIDATES_MAX 50

/* ---- in ---- */

/* The header's time is not signed: the body's is. */
static int verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	AUTO_TRACKER_EVENT event = {0};
	int64_t away_ms;

	if (webhook_verify(WEBHOOK_LINEAR, connection_secret(connection, "webhook_secret"), request, now_ms, err) ||
	    linear_event_parse(request->body, &event, err))
		return -1;
	away_ms = now_ms - event.time_ms;
	if (away_ms > LINEAR_WEBHOOK_AGE_MS || away_ms < -LINEAR_WEBHOOK_AGE_MS)
		return err_set(err, ERR_DENIED, "the webhook is refused: its time is more than a minute away");
	return 0;
}

static int keys(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *out, struct err *err)
{
	const char *delivery = request->header(request->self, "linear-delivery");
	const char *wanted = json_text(connection->configuration, "client_id", NULL);
	AUTO_TRACKER_EVENT event = {0};

	if (linear_event_parse(request->body, &event, err))
		return -1;
	if (!delivery || !delivery[0] || strlen(delivery) > 100)
		return err_set(err, ERR_INVALID, "the webhook has no Linear-Delivery");
	out->ignored = event.kind == TRACKER_IGNORED || !event.account ||
		       (wanted && event.client && strcmp(wanted, event.client) != 0);
	out->delivery = text_copy(delivery);
	out->content = event.key[0] ? text_copy(event.key) : NULL;
	/* What is said in a session is acted on in order; its other events may pass it. */
	out->stream = event.thread ? text_copy(event.thread) : NULL;
	out->kind = text_format("%.60s.%.60s", json_text(event.raw, "type", ""), json_text(event.raw, "action", ""));
	return 0;
}

static int take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct inbox_message *message,
		struct err *err)
{
	AUTO_TRACKER_EVENT event = {0};

	return linear_event_parse(message->data, &event, err) ? -1 : thread_take(runs, tx, connection, &event, err);
}

const struct inbox_source inbox_linear = {.name = "linear", .verify = verify, .keys = keys, .take = take};

/* ---- out ---- */

/* What one effect is about, while it is sent. */
struct sending {
	struct runs *runs;
	struct thread thread;
	const struct outbox_effect *effect;
	const json_t *speech;
	struct outbox_answer *answer;
};

static int ask(const struct sending *sending, const char *operation, json_t *variables, json_t **data, struct err *err)
{
	AUTO_JSON owned = variables;
	struct linear_said said;
	AUTO_JSON ignored = NULL;

	if (!linear_ask(sending->runs, sending->thread.connection, sending->thread.account, operation, variables,
			data ? data : &ignored, &said, err))
		return 0;
	sending->answer->blocked_until_ms = said.blocked_until_ms;
	return -1;
}

/* An activity under the operation's id: one that is there already was sent by an earlier try. `content` and `extra` are stolen. */
static int activity(const struct sending *sending, json_t *content, json_t *extra, struct err *err)
{
	struct linear_uuid id = linear_uuid_of(sending->effect->operation);
	json_t *input = json_pack("{s:s, s:s, s:o}", "id", id.text, "agentSessionId", sending->thread.thread, "content", content);

	if (extra) {
		(void)json_object_update(input, extra);
		json_decref(extra);
	}
	(void)snprintf(sending->answer->text, sizeof(sending->answer->text), "%s", id.text);
	if (!ask(sending, "ActivityCreate", json_pack("{s:o}", "input", input), NULL, err))
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	*err = (struct err){0};
	return 0;
}

static json_t *ephemeral_of(const struct sending *sending)
{
	return json_flag(sending->speech, "ephemeral", false) ? json_pack("{s:b}", "ephemeral", 1) : NULL;
}

static const char *text_of(const struct sending *sending)
{
	return json_text(sending->speech, "text", "");
}

static int send_thought(struct sending *sending, struct err *err)
{
	return activity(sending, linear_thought(text_of(sending)), ephemeral_of(sending), err);
}

static int send_action(struct sending *sending, struct err *err)
{
	const json_t *speech = sending->speech;

	return activity(sending,
			linear_action(json_text(speech, "action", ""), json_text(speech, "parameter", ""),
				      json_text(speech, "result", NULL)),
			ephemeral_of(sending), err);
}

static int send_ask(struct sending *sending, struct err *err)
{
	const json_t *options = json_member(sending->speech, "options");
	const char *values[LINEAR_OPTIONS_MAX];
	size_t count = 0;
	json_t *option;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)options, i, option)
		if (json_is_string(option) && count < LINEAR_OPTIONS_MAX)
			values[count++] = json_string_value(option);
	return activity(sending, linear_words("elicitation", text_of(sending)),
			count ? json_pack("{s:s, s:o}", "signal", "select", "signalMetadata", linear_options(values, count)) : NULL,
			err);
}

static int send_final(struct sending *sending, struct err *err)
{
	return activity(sending, linear_words(json_text(sending->speech, "say", ""), text_of(sending)), NULL, err);
}

static int session_update(const struct sending *sending, json_t *input, struct err *err)
{
	return ask(sending, "SessionUpdate", json_pack("{s:s, s:o}", "id", sending->thread.thread, "input", input), NULL, err);
}

static int send_plan(struct sending *sending, struct err *err)
{
	return session_update(sending, json_pack("{s:o}", "plan", linear_plan(json_member(sending->speech, "plan"))), err);
}

/* On the session, where they are one click away, and on the issue, where they stay; both know a URL they have. */
static int send_links(struct sending *sending, struct err *err)
{
	const json_t *links = json_member(sending->speech, "links");
	json_t *link;
	size_t i;

	if (session_update(sending, json_pack("{s:O}", "addedExternalUrls", links), err))
		return -1;
	json_array_foreach((json_t *)(uintptr_t)links, i, link) {
		json_t *input = json_pack("{s:s, s:s, s:s, s:s}", "issueId", sending->thread.item_id, "title",
					  json_text(link, "label", ""), "url", json_text(link, "url", ""), "subtitle", "Assay");

		if (ask(sending, "AttachmentCreate", json_pack("{s:o}", "input", input), NULL, err) && err->kind != ERR_CONFLICT)
			return -1;
		*err = (struct err){0};
	}
	return 0;
}

static int issue_update(const struct sending *sending, const json_t *input, struct err *err)
{
	return ask(sending, "IssueUpdate", json_pack("{s:s, s:O}", "id", sending->thread.item_id, "input", input), NULL, err);
}

/* The delegate is set when nobody is it; the state moves on only from before the work, and only when a person gave it. */
static int state_started(struct sending *sending, const json_t *issue, const json_t *states, const char *self, struct err *err)
{
	const char *type = json_text(json_member(issue, "state"), "type", "");
	bool over = strcmp(type, "started") == 0 || strcmp(type, "completed") == 0 || strcmp(type, "canceled") == 0;
	const char *started = linear_started_state(states);
	AUTO_JSON input = json_object();

	if (!json_is_object(json_member(issue, "delegate")) && self)
		(void)json_object_set_new(input, "delegateId", json_string(self));
	if (!over && started && sending->thread.actor)
		(void)json_object_set_new(input, "stateId", json_string(started));
	return json_object_size(input) ? issue_update(sending, input, err) : 0;
}

static int send_state(struct sending *sending, struct err *err)
{
	const char *state = json_text(sending->speech, "state", "");
	AUTO_CONNECTION connection = {0};
	AUTO_ACCOUNT account = {0};
	AUTO_FREE char *key = text_format("%s_state", state);
	AUTO_JSON issue = NULL;
	AUTO_JSON states = NULL;
	const char *name;
	const char *id;
	AUTO_TX tx = {0};

	if (store_begin_snapshot(sending->runs->store, &tx, err) ||
	    connection_read(&tx, sending->thread.connection, &connection, err) ||
	    account_read(&tx, connection.id, sending->thread.account, &account, err))
		return -1;
	store_abort(&tx);
	name = json_text(connection.configuration, key, NULL);
	if (strcmp(state, "started") != 0 && !name)
		return 0;
	if (ask(sending, "IssueContext", json_pack("{s:s}", "id", sending->thread.item_id), &issue, err))
		return -1;
	id = json_text(json_member(json_member(issue, "issue"), "team"), "id", "");
	if (ask(sending, "TeamStates", json_pack("{s:s}", "id", id), &states, err))
		return -1;
	if (strcmp(state, "started") == 0)
		return state_started(sending, json_member(issue, "issue"), states, account.self, err);
	id = linear_state_named(states, name);
	if (!id)
		return err_set(err, ERR_INVALID, "the team has no state `%.80s` (%s)", name, key);
	AUTO_JSON input = json_pack("{s:s}", "stateId", id);

	return issue_update(sending, input, err);
}

static int send_stop(struct sending *sending, struct err *err)
{
	if (thread_stop(sending->runs, &sending->thread, err))
		return -1;
	return activity(sending, linear_words("response", text_of(sending)), NULL, err);
}

static int send_end(struct sending *sending, struct err *err)
{
	return thread_stop(sending->runs, &sending->thread, err);
}

static int send_wake(struct sending *sending, struct err *err)
{
	return thread_wake(sending->runs, &sending->thread, sending->effect->operation, sending->speech, err);
}

/* What waited may be over by now: then there is nothing to decide. */
static int send_decide(struct sending *sending, struct err *err)
{
	struct runs *runs = sending->runs;
	const json_t *speech = sending->speech;
	bool allow = json_flag(speech, "allow", false);
	struct err why = {0};

	if (!runs->options.approve || !sending->thread.run)
		return 0;
	if (runs->options.approve(runs->options.self, sending->thread.run, json_text(speech, "hold", ""), allow,
				  json_text(speech, "author", "somebody"), &why))
		return activity(sending, linear_thought(why.text), NULL, err);
	return activity(sending, linear_thought(allow ? "The request goes out, this once." : "The request is refused."), NULL, err);
}

/* ---- opening ---- */

static json_t *names_of(const json_t *labels)
{
	json_t *names = json_array();
	json_t *label;
	size_t i;

	json_array_foreach(json_member(labels, "nodes"), i, label)
		(void)json_array_append_new(names, json_string(json_text(label, "name", "")));
	return names;
}

static json_t *comments_of(const json_t *issue, const char *self)
{
	json_t *list = json_array();
	const json_t *nodes = json_member(json_member(issue, "comments"), "nodes");

	/* The newest first there, the oldest first here. */
	for (size_t i = json_array_size(nodes); i--;) {
		const json_t *node = json_array_get(nodes, i);
		const json_t *user = json_member(node, "user");
		json_t *comment = json_object();

		if (self && strcmp(json_text(user, "id", ""), self) == 0) {
			json_decref(comment);
			continue;
		}
		(void)json_object_set_new(comment, "id", json_string(json_text(node, "id", "")));
		(void)json_object_set_new(
			comment, "author",
			json_string(json_text(user, "name", json_text(json_member(node, "botActor"), "name", "somebody"))));
		(void)json_object_set_new(comment, "text", json_string(json_text(node, "body", "")));
		(void)json_array_append_new(list, comment);
	}
	return list;
}

/* What is at code hosts that are connected: {"hostname", "repositoryFullName"}, and beside it the project's name here. */
static json_t *candidates_of(struct runs *runs, json_t *projects, struct err *err)
{
	AUTO_JSON list = json_array();
	AUTO_JSON ids = NULL;
	AUTO_TX tx = {0};
	size_t i;
	json_t *id;

	ids = store_begin_snapshot(runs->store, &tx, err) ? NULL : connection_ids(&tx, NULL, err);
	if (!ids)
		return NULL;
	json_array_foreach(ids, i, id) {
		AUTO_CONNECTION connection = {0};
		const char *full;
		json_t *project;
		struct view host;

		if (connection_read(&tx, json_string_value(id), &connection, err))
			return NULL;
		host = view_of(connection.base);
		(void)view_cut(host, '/', &host);
		host = host.length ? view_make(host.at + 1, host.length - 1) : host;
		host = view_cut(host, '/', &(struct view){0});
		if (view_starts(host, VIEW("api.")))
			host = view_make(host.at + 4, host.length - 4);
		json_object_foreach(json_member(connection.configuration, "repositories"), full, project) {
			if (!json_is_string(project) || json_array_size(list) >= CANDIDATES_MAX)
				continue;
			(void)json_array_append_new(
				list, json_pack("{s:s%, s:s}", "hostname", host.at, host.length, "repositoryFullName", full));
			(void)json_object_set(projects, full, project);
		}
	}
	return TAKE(list);
}

/* Linear's own guess, when it is sure enough and one of ours. */
static int suggestion(struct sending *sending, char **repository, struct err *err)
{
	AUTO_JSON projects = json_object();
	AUTO_JSON candidates = candidates_of(sending->runs, projects, err);
	AUTO_JSON data = NULL;
	const json_t *best = NULL;
	json_t *each;
	size_t i;

	if (!candidates)
		return -1;
	if (!json_array_size(candidates))
		return 0;
	if (ask(sending, "RepositorySuggestions",
		json_pack("{s:s, s:O, s:s}", "issueId", sending->thread.item_id, "candidates", candidates, "session",
			  sending->thread.thread),
		&data, err))
		return -1;
	json_array_foreach(json_member(json_member(data, "issueRepositorySuggestions"), "suggestions"), i, each) {
		double confidence = json_number_value(json_member(each, "confidence"));

		if (confidence >= CONFIDENT && (!best || confidence > json_number_value(json_member(best, "confidence"))))
			best = each;
	}
	*repository = text_copy(json_text(projects, json_text(best, "repositoryFullName", ""), NULL));
	return 0;
}

static int repository_choose(struct sending *sending, const struct thread_item *item, char **repository, struct err *err)
{
	AUTO_JSON request = json_parse(view_of(sending->thread.request), err);
	AUTO_CONNECTION connection = {0};

	if (!request || connection_load(sending->runs, sending->thread.connection, &connection, err))
		return -1;
	*repository = text_copy(json_text(request, "repository", NULL)); /* a person said it */
	if (*repository)
		return 0;
	if (thread_repository(sending->runs, &connection, item, false, repository, err))
		return -1;
	if (*repository)
		return 0;
	if (suggestion(sending, repository, err))
		return -1;
	return *repository ? 0 : thread_repository(sending->runs, &connection, item, true, repository, err);
}

static int send_open(struct sending *sending, struct err *err)
{
	AUTO_JSON data = NULL;
	AUTO_JSON labels = NULL;
	AUTO_JSON comments = NULL;
	AUTO_FREE char *repository = NULL;
	const json_t *issue;

	if (strcmp(sending->thread.state, "opening") != 0)
		return 0;
	if (ask(sending, "IssueContext", json_pack("{s:s}", "id", sending->thread.item_id), &data, err))
		return -1;
	issue = json_member(data, "issue");
	labels = names_of(json_member(issue, "labels"));
	comments = comments_of(issue, NULL);
	const struct thread_item item = {.item = json_text(issue, "identifier", sending->thread.item),
					 .item_id = json_text(issue, "id", sending->thread.item_id),
					 .url = json_text(issue, "url", NULL),
					 .title = json_text(issue, "title", NULL),
					 .body = json_text(issue, "description", NULL),
					 .team = json_text(json_member(issue, "team"), "key", NULL),
					 .project = json_text(json_member(issue, "project"), "name", NULL),
					 .labels = labels,
					 .comments = comments};

	if (repository_choose(sending, &item, &repository, err))
		return -1;
	return thread_begin(sending->runs, sending->thread.id, &item, repository, err);
}

/* ---- begun here ---- */

/* `data` is IssueContext's, owned by the caller; NULL: this workspace does not have it. */
static int item_find(struct runs *runs, const char *connection, const char *account, const char *name, json_t **data,
		     struct err *err)
{
	AUTO_JSON variables = json_pack("{s:s}", "id", name);
	struct linear_said said;

	if (!linear_ask(runs, connection, account, "IssueContext", variables, data, &said, err) || err->kind != ERR_NOT_FOUND)
		return *data ? 0 : -1;
	*err = (struct err){0};
	return 0;
}

static json_t *import_from(struct runs *runs, const char *connection, const char *account, const json_t *issue,
			   const char *repository, struct err *err)
{
	AUTO_JSON variables = json_pack("{s:{s:s}}", "input", "issueId", json_text(issue, "id", ""));
	AUTO_JSON labels = names_of(json_member(issue, "labels"));
	AUTO_JSON comments = comments_of(issue, NULL);
	AUTO_JSON data = NULL;
	AUTO_FREE char *text = NULL;
	const struct thread_item item = {.item = json_text(issue, "identifier", ""),
					 .item_id = json_text(issue, "id", ""),
					 .url = json_text(issue, "url", NULL),
					 .title = json_text(issue, "title", NULL),
					 .body = json_text(issue, "description", NULL),
					 .labels = labels,
					 .comments = comments};
	const json_t *session;
	struct linear_said said;
	int64_t number = 0;

	if (linear_ask(runs, connection, account, "SessionOnIssue", variables, &data, &said, err))
		return NULL;
	session = json_member(json_member(data, "agentSessionCreateOnIssue"), "agentSession");
	if (thread_import(runs, connection, account, json_text(session, "id", ""), json_text(session, "url", NULL), &item,
			  repository, &number, err))
		return NULL;
	text = text_format("%lld", (long long)number);
	return tracker_fetch(runs->tracker, text, err);
}

json_t *linear_import(struct runs *runs, const char *name, const char *repository, struct err *err)
{
	AUTO_JSON places = json_array();
	json_t *place;
	size_t i;

	{
		AUTO_TX tx = {0};
		AUTO_ROWS rows = {0};

		if (store_begin_snapshot(runs->store, &tx, err) ||
		    store_query(
			    &tx, &rows,
			    "SELECT connection, account FROM account JOIN connection ON connection.id = connection AND kind = 'linear'"
			    " ORDER BY connection, account",
			    NO_VALUES, err))
			return NULL;
		while (store_rows_next(&rows))
			(void)json_array_append_new(places, json_pack("{s:o, s:o}", "connection", store_rows_json(&rows, 0),
								      "account", store_rows_json(&rows, 1)));
		if (store_rows_finish(&rows, err))
			return NULL;
	}
	json_array_foreach(places, i, place) {
		const char *connection = json_text(place, "connection", "");
		const char *account = json_text(place, "account", "");
		AUTO_JSON data = NULL;

		if (item_find(runs, connection, account, name, &data, err))
			return NULL;
		if (data)
			return import_from(runs, connection, account, json_member(data, "issue"), repository, err);
	}
	(void)err_set(err, ERR_NOT_FOUND, "no issue `%.60s` here, nor in a workspace that is connected", name);
	return NULL;
}

/* ---- the table ---- */

static const struct {
	const char *say;
	int (*send)(struct sending *sending, struct err *err);
} rows[] = {
	{"thought", send_thought}, {"action", send_action}, {"ask", send_ask},     {"response", send_final}, {"error", send_final},
	{"plan", send_plan},       {"links", send_links},   {"state", send_state}, {"stop", send_stop},      {"end", send_end},
	{"wake", send_wake},       {"decide", send_decide}, {"open", send_open},
};

static int send_it(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_JSON speech = json_parse(effect->data, err);
	struct sending sending = {.runs = runs, .effect = effect, .speech = speech, .answer = answer};
	const char *say = json_text(speech, "say", "");
	int status;

	if (!speech || thread_load(runs, json_text(speech, "thread", ""), &sending.thread, err))
		return -1;
	if (thread_is_silent(&sending.thread, say)) {
		thread_fini(&sending.thread);
		return 0;
	}
	status = err_set(err, ERR_INVALID, "this version does not know how to say `%.40s`", say);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].say, say) == 0) {
			*err = (struct err){0};
			status = rows[i].send(&sending, err);
		}
	thread_fini(&sending.thread);
	return status;
}

/* What could not be opened is said; whatever else is dead stays in the outbox, to be looked at. */
static int settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
		   const struct err *failure, struct err *err)
{
	AUTO_JSON speech = json_parse(effect->data, NULL);
	const char *say = json_text(speech, "say", "");
	AUTO_THREAD thread = {0};
	AUTO_FREE char *operation = NULL;
	json_t *words;

	(void)answer;
	if (!failure || (strcmp(say, "open") != 0 && strcmp(say, "wake") != 0))
		return 0;
	if (thread_read(tx, json_text(speech, "thread", ""), &thread, err))
		return -1;
	operation = text_format("%s/failed", effect->operation);
	words = json_pack("{s:s, s:o}", "say", "error", "text", json_sprintf("I could not begin: %.400s", failure->text));
	return thread_say_in(runs, tx, &thread, operation, false, words, err);
}

const struct effect_kind effect_linear = {.name = "linear", .send = send_it, .settled = settled};
