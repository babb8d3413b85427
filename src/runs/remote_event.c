/*
 * What code hosts tell: deliveries become effects that ask the host (what is the pull request's state, who may say this, which comments
 * belong to the review), and what the host answers becomes a signal, a run, or nothing.
 *
 * Theory of operation: a delivery is a hint. It may come twice, late, in another order, or never: so the state of a pull request is always read from
 * the host, and a comment is taken once, by its own id. Only words of people who may write to the repository reach an agent or do anything;
 * whether they may is asked of the host each time, and no answer is no.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"
#include "forges/builtin.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "trackers/builtin.h"

#define OWN_MARK "<!-- assay:"
#define LABEL_DEFAULT "agent"
#define MISSED_BYTES_MAX ((size_t)1 << 20)
#define WORDS_BYTES_MAX ((size_t)32 << 10)

/* ---- the source ---- */

static int forge_verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	return remote_kind_find(connection->kind)->verify(connection->secrets, request, now_ms, err);
}

static bool own_doing(const struct connection *connection, const struct forge_event *event)
{
	return remote_kind_is_self(remote_kind_find(connection->kind), connection->configuration, event->actor) ||
	       strncmp(event->text, OWN_MARK, strlen(OWN_MARK)) == 0;
}

/* A pull request's own doing (a push, a merge through our pages) is looked at all the same: it is cheap, and the truth. */
static bool concerns_us(const struct connection *connection, const struct forge_event *event)
{
	if (event->kind == FORGE_EVENT_IGNORED)
		return false;
	return event->kind == FORGE_EVENT_PULL || event->kind == FORGE_EVENT_PUSH || event->kind == FORGE_EVENT_MOVED ||
	       !own_doing(connection, event);
}

static char *delivery_of(const struct remote_kind *kind, const struct webhook_request *request)
{
	for (size_t i = 0; i < REMOTE_DELIVERY_HEADERS_MAX && kind->delivery_headers[i]; i++) {
		const char *id = request->header(request->self, kind->delivery_headers[i]);

		if (id && *id)
			return text_copy(id);
	}
	return text_copy(digest_of(request->body).text);
}

static int forge_keys(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *keys,
		      struct err *err)
{
	const struct remote_kind *kind = remote_kind_find(connection->kind);
	const char *name = request->header(request->self, kind->event_header);
	AUTO_EVENT event = {0};

	if (!name)
		return err_set(err, ERR_INVALID, "the delivery has no %s", kind->event_header);
	if (kind->event_parse(name, request->body, &event, err))
		return -1;
	keys->ignored = !concerns_us(connection, &event);
	keys->delivery = delivery_of(kind, request);
	keys->content = *event.content ? text_copy(event.content) : NULL;
	keys->stream = *event.stream ? text_copy(event.stream) : NULL;
	keys->kind = text_copy(name);
	return 0;
}

static const char *mention_of(const struct connection *connection)
{
	return remote_kind_mention(remote_kind_find(connection->kind), connection->configuration);
}

/* ---- what is put ---- */

struct taking {
	struct runs *runs;
	struct store_tx *tx;
	const struct connection *connection;
	const struct forge_event *event;
	const char *delivery;
	struct place place;
	int64_t here; /* our pull request or issue; 0: none */
	char *run;    /* NULL: none */
};

static int ask_host(struct taking *taking, const char *kind, const char *form, json_t *data, struct err *err)
{
	const struct forge_event *event = taking->event;
	AUTO_FREE char *operation = text_format("%s#%lld/%s/%s", taking->place.name, (long long)event->number, kind, form);
	AUTO_FREE char *target = text_format("#%lld/in", (long long)event->number);

	(void)json_object_set_new(data, "number", json_integer(event->number));
	(void)json_object_set_new(data, "author", json_string(event->actor));
	if (taking->run)
		(void)json_object_set_new(data, "run", json_string(taking->run));
	return remote_put(taking->runs, taking->tx, &taking->place, kind, operation, target, false, data, err);
}

static json_t *words_data(const struct forge_event *event, const char *id)
{
	json_t *data = json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "id", id, "thread", event->thread, "review", event->review,
				 "path", event->path, "line", (json_int_t)event->line, "on_pull", event->on_pull);

	json_set_bytes(data, "text", view_of(event->text));
	json_set_bytes(data, "state", view_of(event->review_state));
	return data;
}

static int intake(struct taking *taking, struct err *err)
{
	json_t *data = json_object();

	json_set_bytes(data, "title", view_of(taking->event->title));
	json_set_bytes(data, "url", view_of(taking->event->url));
	return ask_host(taking, "forge.intake", taking->delivery, data, err);
}

static int on_comment(struct taking *taking, struct err *err)
{
	const struct forge_event *event = taking->event;
	const char *name = mention_of(taking->connection);
	struct view rest;
	enum forge_command command = forge_command_find(event->text, &rest);
	bool wanted = command == FORGE_COMMAND_RUN || (command == FORGE_COMMAND_NONE && forge_mentions(event->text, name));
	AUTO_FREE char *id = text_format("comment/%s", event->id);
	json_t *data;

	if (!event->on_pull && wanted && !taking->run)
		return intake(taking, err);
	if (command != FORGE_COMMAND_NONE && command != FORGE_COMMAND_RUN) {
		data = words_data(event, id);
		(void)json_object_set_new(data, "command", json_integer(command));
		(void)json_object_set_new(data, "rest", json_stringn(rest.at, rest.length));
		return ask_host(taking, "forge.command", event->id, data, err);
	}
	if (!taking->run || (!event->on_pull && !wanted))
		return 0;
	data = words_data(event, id);
	(void)json_object_set_new(data, "called", json_boolean(wanted));
	return ask_host(taking, "forge.words", id, data, err);
}

/* A review and each of its comments tell of it: it is read once, whole. */
static int on_review(struct taking *taking, struct err *err)
{
	const struct forge_event *event = taking->event;
	AUTO_FREE char *form = text_format("review/%s", event->review);
	json_t *data;

	if (!taking->run || !*event->review)
		return 0;
	data = words_data(event, form);
	if (event->kind == FORGE_EVENT_REVIEW_COMMENT)
		(void)json_object_set_new(data, "text", json_string("")); /* it comes with the others */
	return ask_host(taking, "forge.words", *event->content ? event->content : taking->delivery, data, err);
}

static int on_pull(struct taking *taking, struct err *err)
{
	const char *action = taking->event->action;
	bool moved = strcmp(action, "opened") == 0 || strcmp(action, "synchronize") == 0 || strcmp(action, "reopened") == 0 ||
		     strcmp(action, "ready_for_review") == 0 || strcmp(action, "closed") == 0;

	if (taking->here)
		return ask_host(taking, "forge.look", taking->delivery, json_pack("{s:I}", "pull", (json_int_t)taking->here), err);
	if (!taking->place.judges || !moved || taking->event->draft)
		return 0;
	return judge_put_in(taking->runs, taking->tx, &taking->place, taking->event->number, taking->delivery, false, err);
}

static int on_issue(struct taking *taking, struct err *err)
{
	const struct forge_event *event = taking->event;
	const char *label = json_text(taking->connection->configuration, "label", LABEL_DEFAULT);
	const char *name = mention_of(taking->connection);
	const char *action = event->action;

	if ((forge_event_lists(event->gained, label, name) && !(event->whole && taking->run)) ||
	    (strcmp(action, "opened") == 0 && forge_mentions(event->text, name)))
		return intake(taking, err);
	if (taking->run && (strcmp(action, "closed") == 0 || strcmp(action, "deleted") == 0 || strcmp(action, "transferred") == 0 ||
			    forge_event_lists(event->lost, label, name)))
		return ask_host(taking, "forge.command", taking->delivery,
				json_pack("{s:i, s:s, s:b}", "command", FORGE_COMMAND_STOP, "rest", "", "known", 1), err);
	return 0;
}

static int on_push(struct taking *taking, struct err *err)
{
	return strcmp(taking->event->branch, taking->place.branch) == 0
		       ? ask_host(taking, "forge.fetch", taking->event->head, json_object(), err)
		       : 0;
}

/* Of what is published now; an older commit's failure is old news. */
static int on_checks(struct taking *taking, struct err *err)
{
	const struct forge_event *event = taking->event;
	AUTO_RUN run = {0};

	if (!taking->run || run_read(taking->tx, taking->run, &run, err))
		return taking->run ? -1 : 0;
	if (!run.published || strcmp(run.published, event->head) != 0)
		return 0;
	return ask_host(taking, "forge.failure", event->content,
			json_pack("{s:s, s:s, s:s}", "id", event->id, "title", event->title, "form", event->content), err);
}

static int on_again(struct taking *taking, struct err *err)
{
	const struct forge_event *event = taking->event;

	if (!event->number)
		return 0;
	return ask_host(taking, "forge.command", taking->delivery,
			json_pack("{s:i, s:s}", "command", FORGE_COMMAND_VERIFY, "rest", ""), err);
}

static int on_installation(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			   const struct forge_event *event, struct err *err)
{
	bool gone = strcmp(event->action, "deleted") == 0 || strcmp(event->action, "suspend") == 0;
	AUTO_FREE char *text = text_format("the App's installation at %s was %s", event->title,
					   strcmp(event->action, "suspend") == 0 ? "suspended" : "removed");

	(void)runs;
	log_info("connection=%s installation=%s: %s", connection->name, event->title, event->action);
	return connection_state_set(tx, connection->id, gone ? text : NULL, err);
}

/* Its project goes on under the new name: what is on its way there, too. */
static int on_moved(struct store_tx *tx, const struct connection *connection, const struct forge_event *event, struct err *err)
{
	struct view name;
	struct view owner = view_cut(view_of(event->repository), '/', &name);
	AUTO_FREE char *was = *event->base ? text_format("%s/%s", event->base, event->title)
					   : text_format("%.*s/%s", (int)owner.length, owner.at, event->title);

	/* A name that is a project's already is nobody's to take. */
	if (store_run(tx,
		      "UPDATE repository SET remote = ?, url = ? WHERE connection = ? AND lower(remote) = lower(?) AND NOT EXISTS"
		      " (SELECT 1 FROM repository other WHERE other.connection = repository.connection AND"
		      " other.name <> repository.name AND lower(other.remote) = lower(?))",
		      VALUES(V(event->repository), V(event->url), V((const char *)connection->id), V((const char *)was),
			     V(event->repository)),
		      err))
		return -1;
	if (store_changed(tx))
		log_info("connection=%s: %s is %s now", connection->name, was, event->repository);
	return 0;
}

/* ---- taking ---- */

static int take_at(struct taking *taking, struct err *err)
{
	static int (*const takers[])(struct taking * taking, struct err * err) = {
		[FORGE_EVENT_ISSUE] = on_issue,    [FORGE_EVENT_COMMENT] = on_comment,
		[FORGE_EVENT_REVIEW] = on_review,  [FORGE_EVENT_REVIEW_COMMENT] = on_review,
		[FORGE_EVENT_PULL] = on_pull,      [FORGE_EVENT_PUSH] = on_push,
		[FORGE_EVENT_CHECKS] = on_checks,  [FORGE_EVENT_AGAIN] = on_again,
		[FORGE_EVENT_INSTALLATION] = NULL, [FORGE_EVENT_MOVED] = NULL,
	};
	const struct forge_event *event = taking->event;
	bool found;
	int failed;

	if (place_find_remote(taking->tx, taking->connection->id, event->repository, &taking->place, &found, err))
		return -1;
	if (!found || !takers[event->kind])
		return 0;
	failed = event->on_pull
			 ? remote_pull_find(taking->tx, taking->place.name, event->number, &taking->here, &taking->run, err)
			 : remote_issue_find(taking->tx, taking->place.name, event->number, &taking->here, &taking->run, err);
	return failed ? -1 : takers[event->kind](taking, err);
}

static int event_take(struct runs *runs, struct store_tx *tx, const struct connection *connection,
		      const struct inbox_message *message, const struct forge_event *event, struct err *err)
{
	struct taking taking = {.runs = runs, .tx = tx, .connection = connection, .event = event, .delivery = message->delivery};
	int status;

	if (event->kind == FORGE_EVENT_INSTALLATION)
		return on_installation(runs, tx, connection, event, err);
	if (event->kind == FORGE_EVENT_MOVED)
		return on_moved(tx, connection, event, err);
	status = take_at(&taking, err); /* that it is signed says nothing of the credential by which we ask */
	place_fini(&taking.place);
	free(taking.run);
	return status;
}

static int forge_take(struct runs *runs, struct store_tx *tx, const struct connection *connection,
		      const struct inbox_message *message, struct err *err)
{
	AUTO_EVENT event = {0};

	if (remote_kind_find(connection->kind)->event_parse(message->kind, message->data, &event, err))
		return -1;
	return event_take(runs, tx, connection, message, &event, err);
}

int remote_missed(struct runs *runs, const char *id, const char *name, const json_t *body, struct err *err)
{
	AUTO_BUF text = buf_new(MISSED_BYTES_MAX);
	AUTO_FREE char *delivery = NULL;
	AUTO_CONNECTION connection = {0};
	AUTO_EVENT event = {0};
	AUTO_TX tx = {0};

	json_format_sorted(&text, body);
	if (buf_finish(&text, err) || store_begin(runs->store, &tx, err) || connection_read(&tx, id, &connection, err) ||
	    remote_kind_find(connection.kind)->event_parse(name, buf_view(&text), &event, err))
		return -1;
	if (!concerns_us(&connection, &event))
		return 0;
	delivery = text_format("missed/%.32s", digest_of(buf_view(&text)).text);
	const struct inbox_message message = {.source = connection.id, .delivery = delivery, .kind = name};

	return event_take(runs, &tx, &connection, &message, &event, err) ? -1 : store_commit(&tx, err);
}

const struct inbox_source inbox_forge = {"forge", forge_verify, forge_keys, forge_take};
