/* Rows of threads, and what is done about what comes in. */
#include "runs/thread.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/board.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"
#include "trackers/builtin.h"

#define REQUEST_BYTES_MAX ((size_t)512 << 10)
#define OPTIONS_MAX 20
#define COLUMNS                                                                                                                           \
	"thread.id, connection, kind, account, thread, item, item_id, url, run, thread.state, actor, request, asked, woken, board, told," \
	" issue, said_ms"

/* ---- rows ---- */

void thread_fini(struct thread *thread)
{
	char **const texts[] = {&thread->id,     &thread->connection, &thread->kind,    &thread->account,
				&thread->thread, &thread->item,       &thread->item_id, &thread->url,
				&thread->run,    &thread->state,      &thread->actor,   &thread->request,
				&thread->asked,  &thread->woken,      &thread->board,   &thread->told};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(*texts[i]);
	*thread = (struct thread){0};
}

static void row_read(struct store_rows *rows, struct thread *thread)
{
	char **const texts[] = {&thread->id,     &thread->connection, &thread->kind,    &thread->account,
				&thread->thread, &thread->item,       &thread->item_id, &thread->url,
				&thread->run,    &thread->state,      &thread->actor,   &thread->request,
				&thread->asked,  &thread->woken,      &thread->board,   &thread->told};

	thread_fini(thread);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = text_copy(store_rows_text(rows, (int)i));
	thread->issue = store_rows_number(rows, (int)ARRAY_LEN(texts));
	thread->said_ms = store_rows_number(rows, (int)ARRAY_LEN(texts) + 1);
}

static int thread_find(struct store_tx *tx, const char *where, const struct store_value *values, size_t count,
		       struct thread *thread, bool *found, struct err *err)
{
	AUTO_FREE char *sql = text_format("SELECT " COLUMNS " FROM thread WHERE %s", where);
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, sql, values, count, err))
		return -1;
	*found = store_rows_next(&rows);
	if (*found)
		row_read(&rows, thread);
	return store_rows_finish(&rows, err);
}

int thread_read(struct store_tx *tx, const char *id, struct thread *thread, struct err *err)
{
	bool found;

	if (thread_find(tx, "id = ?", VALUES(V(id)), thread, &found, err))
		return -1;
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "no thread `%.60s`", id);
}

int thread_load(struct runs *runs, const char *id, struct thread *thread, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? -1 : thread_read(&tx, id, thread, err);
}

static int state_set(struct store_tx *tx, const struct thread *thread, const char *state, struct err *err)
{
	return store_run(tx, "UPDATE thread SET state = ? WHERE id = ?", VALUES(V(state), V(thread->id)), err);
}

int thread_unopened_in(struct store_tx *tx, const struct thread *thread, struct err *err)
{
	return store_run(tx, "UPDATE thread SET state = 'stopped' WHERE id = ? AND run IS NULL AND state = 'opening'",
			 VALUES(V(thread->id)), err);
}

/* ---- saying ---- */

static char *target_of(const struct thread *thread)
{
	return text_format("%s/%s", thread->kind, thread->id);
}

int thread_say_in(struct runs *runs, struct store_tx *tx, const struct thread *thread, const char *operation, bool chatter,
		  json_t *speech, struct err *err)
{
	AUTO_JSON owned = speech;
	AUTO_FREE char *tenant = text_format("%s/%s/%s", thread->kind, thread->connection, thread->account);
	AUTO_FREE char *target = target_of(thread);
	const struct voice *voice = voice_find(thread->kind);
	const struct effect effect = {.kind = thread->kind,
				      .operation = operation,
				      .tenant = tenant,
				      .target = target,
				      .data = speech,
				      .chatter = chatter};

	(void)json_object_set_new(speech, "thread", json_string(thread->id));
	if (voice && voice->has_board && board_put(tx, thread->id, operation, speech, err))
		return -1;
	if (effect_put(runs, tx, &effect, err))
		return -1;
	return store_run(tx, "UPDATE thread SET said_ms = ? WHERE id = ?",
			 VALUES(V(world_now_ms(runs->options.world)), V(thread->id)), err);
}

static json_t *speech_text(const char *say, const char *text)
{
	json_t *speech = json_pack("{s:s}", "say", say);

	json_set_bytes(speech, "text", view_of(text));
	return speech;
}

/* Named by the event that it answers. */
static int answer_in(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct tracker_event *event,
		     const char *what, json_t *speech, struct err *err)
{
	struct digest digest = digest_of(view_of(event->key));
	AUTO_FREE char *operation = text_format("%s/%.24s/%s", thread->id, digest.text, what);

	return thread_say_in(runs, tx, thread, operation, false, speech, err);
}

/* ---- what comes in ---- */

static char *request_of(const struct tracker_event *event, struct err *err)
{
	AUTO_JSON request = json_object();
	AUTO_BUF text = buf_new(REQUEST_BYTES_MAX);

	json_set_bytes(request, "text", view_of(event->text ? event->text : ""));
	json_set_bytes(request, "title", view_of(event->title ? event->title : ""));
	json_set_bytes(request, "by", view_of(event->actor_name ? event->actor_name : "an automation"));
	if (json_is_array(event->guidance))
		(void)json_object_set(request, "guidance", (json_t *)(uintptr_t)event->guidance);
	if (json_is_array(event->comments))
		(void)json_object_set(request, "comments", (json_t *)(uintptr_t)event->comments);
	if (event->context.length)
		json_set_bytes(request, "context", event->context);
	json_format(&text, request);
	return buf_finish(&text, err) ? NULL : buf_take(&text);
}

char *thread_id_of(const char *connection, const char *account, const char *session)
{
	struct digest digest = digest_of_parts((const struct view[]){view_of(connection), view_of(account), view_of(session)}, 3);

	return text_format("t%.20s", digest.text);
}

static int event_thread(struct store_tx *tx, const struct connection *connection, const struct tracker_event *event,
			struct thread *thread, bool *found, struct err *err)
{
	return thread_find(tx, "connection = ? AND account = ? AND thread = ?",
			   VALUES(V(connection->id), V(event->account), V(event->thread)), thread, found, err);
}

static int thread_insert(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			 const struct tracker_event *event, struct thread *thread, struct err *err)
{
	AUTO_FREE char *id = thread_id_of(connection->id, event->account, event->thread);
	AUTO_FREE char *request = request_of(event, err);

	if (!request ||
	    store_run(
		    tx,
		    "INSERT INTO thread (id, connection, kind, account, thread, item, item_id, url, state, actor, request, created_ms, team)"
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'opening', ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
		    VALUES(V(id), V(connection->id), V(connection->kind), V(event->account), V(event->thread), V(event->item),
			   V(event->item_id), V(event->url), V(event->actor), V((const char *)request),
			   V(world_now_ms(runs->options.world)), V(event->team_id)),
		    err))
		return -1;
	return thread_read(tx, id, thread, err);
}

/* The first thought goes out before anything is fetched: whoever gave the work sees within a second that it was taken. */
static int open_in(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct tracker_event *event,
		   struct err *err)
{
	if (answer_in(runs, tx, thread, event, "taken",
		      speech_text("thought", "I have it. I read the issue, then I make an environment to work in."), err))
		return -1;
	return answer_in(runs, tx, thread, event, "open", json_pack("{s:s}", "say", "open"), err);
}

/* The same item once more, where there are no sessions: what was stopped, or taken away, goes on; what goes on does so anyway. */
static int take_again(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct tracker_event *event,
		      struct err *err)
{
	json_t *wake;

	if (strcmp(thread->state, "stopped") != 0 && strcmp(thread->state, "gone") != 0)
		return 0;
	if (!thread->run)
		return state_set(tx, thread, "opening", err) ? -1 : open_in(runs, tx, thread, event, err);
	wake = speech_text("wake", "The issue was given to you again: go on with it.");
	json_set_bytes(wake, "author", view_of(event->actor_name ? event->actor_name : "somebody"));
	return answer_in(runs, tx, thread, event, "wake", wake, err);
}

static int take_created(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			const struct tracker_event *event, struct err *err)
{
	AUTO_THREAD thread = {0};
	bool known = false;

	if (event_thread(tx, connection, event, &thread, &known, err))
		return -1;
	if (known)
		return take_again(runs, tx, &thread, event, err);
	if (thread_insert(runs, tx, connection, event, &thread, err))
		return -1;
	if (!thread.item_id)
		return answer_in(
			runs, tx, &thread, event, "none",
			speech_text("response", "I am an agent that changes code, and work on issues: give me one, and I begin."),
			err);
	return open_in(runs, tx, &thread, event, err);
}

/* The name that an answer means: exactly, or as the only one that it contains. */
static const char *option_of(const json_t *options, const char *text)
{
	const char *found = NULL;
	json_t *option;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)options, i, option) {
		const char *name = json_string_value(option);

		if (name && view_equal_nocase(view_trim(view_of(text)), view_of(name)))
			return name;
		if (name && strstr(text, name))
			found = found ? "" : name;
	}
	return found && found[0] ? found : NULL;
}

static int repository_answered(struct runs *runs, struct store_tx *tx, const struct thread *thread,
			       const struct tracker_event *event, struct err *err)
{
	AUTO_JSON asked = json_parse(view_of(thread->asked ? thread->asked : "{}"), NULL);
	AUTO_JSON request = json_parse(view_of(thread->request), err);
	const json_t *options = json_member(asked, "repositories");
	const char *name = option_of(options, event->text ? event->text : "");
	AUTO_BUF text = buf_new(REQUEST_BYTES_MAX);
	json_t *again;

	if (!request)
		return -1;
	if (!name) {
		again = speech_text("ask", "I know no repository of that name. Which of these is it?");
		(void)json_object_set(again, "options", (json_t *)(uintptr_t)options);
		return answer_in(runs, tx, thread, event, "again", again, err);
	}
	(void)json_object_set_new(request, "repository", json_string(name));
	json_format(&text, request);
	if (buf_finish(&text, err) || store_run(tx, "UPDATE thread SET state = 'opening', asked = NULL, request = ? WHERE id = ?",
						VALUES(V(buf_view(&text)), V(thread->id)), err))
		return -1;
	return answer_in(runs, tx, thread, event, "open", json_pack("{s:s}", "say", "open"), err);
}

/* Said before the run begins: it goes into the issue with which it begins. */
static int request_add(struct store_tx *tx, const struct thread *thread, const struct tracker_event *event, struct err *err)
{
	AUTO_JSON request = json_parse(view_of(thread->request), err);
	AUTO_BUF text = buf_new(REQUEST_BYTES_MAX);
	json_t *comment = json_object();
	json_t *list;

	json_set_bytes(comment, "body", view_of(event->text));
	if (!request) {
		json_decref(comment);
		return -1;
	}
	list = json_object_get(request, "comments");
	if (!json_is_array(list)) {
		list = json_array();
		(void)json_object_set_new(request, "comments", list);
	}
	(void)json_array_append_new(list, comment);
	json_format(&text, request);
	return buf_finish(&text, err) ? -1
				      : store_run(tx, "UPDATE thread SET request = ? WHERE id = ?",
						  VALUES(V(buf_view(&text)), V(thread->id)), err);
}

/* No run yet: it is about to begin, or it was stopped or could not begin before, and begins now. */
static int said_before(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct tracker_event *event,
		       struct err *err)
{
	if (!thread->item_id)
		return answer_in(runs, tx, thread, event, "none",
				 speech_text("response", "I work on issues: give me one, and I begin."), err);
	if (request_add(tx, thread, event, err))
		return -1;
	if (strcmp(thread->state, "opening") == 0)
		return 0;
	return state_set(tx, thread, "opening", err) ||
			       answer_in(runs, tx, thread, event, "open", json_pack("{s:s}", "say", "open"), err)
		       ? -1
		       : 0;
}

static json_t *wake_of(const struct tracker_event *event)
{
	json_t *speech = speech_text("wake", event->text);

	json_set_bytes(speech, "author", view_of(event->actor_name ? event->actor_name : "somebody"));
	return speech;
}

static bool is_listed(const json_t *list, const char *who)
{
	json_t *each;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, each)
		if (who && json_is_string(each) && strcasecmp(json_string_value(each), who) == 0)
			return true;
	return false;
}

/* "approve", or "approve h4t5…": which one. */
static bool says(struct view text, const char *word, struct view *which)
{
	size_t length = strlen(word);

	if (text.length < length || !view_equal_nocase(view_make(text.at, length), view_of(word)))
		return false;
	*which = view_trim(view_make(text.at + length, text.length - length));
	return !which->length || (text.at[length] == ' ' && view_find(*which, VIEW(" ")) < 0);
}

/* *is_answer: the words are about a request that waits. Who is not listed as an approver is told so, and nothing happens. */
static int hold_answered(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct thread *thread,
			 const struct tracker_event *event, bool *is_answer, struct err *err)
{
	AUTO_JSON asked = json_parse(view_of(thread->asked ? thread->asked : "{}"), NULL);
	const json_t *approvers = json_member(connection->configuration, "approvers");
	const char *hold = json_text(asked, "hold", NULL);
	struct view text = view_trim(view_of(event->text));
	struct view which = {0};
	bool allow = says(text, THREAD_APPROVE, &which) || says(text, "approve", &which);
	bool deny = !allow && says(text, THREAD_DENY, &which);
	AUTO_FREE char *named = which.length ? view_copy(which) : NULL;
	bool newest = hold && (!named || strcmp(named, hold) == 0);

	*is_answer = (hold || named) && (allow || deny);
	if (!*is_answer)
		return 0;
	hold = named ? named : hold;
	if (!is_listed(approvers, event->actor) && !is_listed(approvers, event->actor_email)) {
		log_warn("connection=%s thread=%s actor=%s: may not answer for hold %s", connection->name, thread->id,
			 event->actor ? event->actor : "-", hold);
		return answer_in(runs, tx, thread, event, "refused",
				 speech_text("thought", "You are not one of those who may answer this here. It still waits."), err);
	}
	if (!named && json_flag(asked, "several", false))
		return answer_in(
			runs, tx, thread, event, "refused",
			speech_text(
				"thought",
				"More than one request was asked for: say which, with the name that stands behind the question."),
			err);
	if (newest && store_run(tx, "UPDATE thread SET asked = NULL WHERE id = ?", VALUES(V(thread->id)), err))
		return -1;
	return answer_in(runs, tx, thread, event, "decide",
			 json_pack("{s:s, s:s, s:b, s:s}", "say", "decide", "hold", hold, "allow", allow, "author",
				   event->actor_name ? event->actor_name : event->actor),
			 err);
}

static int take_prompted(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			 const struct tracker_event *event, struct err *err)
{
	AUTO_THREAD thread = {0};
	AUTO_RUN run = {0};
	const char *author = event->actor_name ? event->actor_name : "somebody";
	bool is_answer = false;
	bool found;

	if (!event->text || !view_trim(view_of(event->text)).length)
		return 0;
	if (event_thread(tx, connection, event, &thread, &found, err))
		return -1;
	if (!found && event->only_known)
		return 0;
	if (!found) /* the delivery that made it was lost, or there is none that makes it */
		return take_created(runs, tx, connection, event, err);
	if (strcmp(thread.state, "asking") == 0)
		return repository_answered(runs, tx, &thread, event, err);
	if (!thread.run)
		return said_before(runs, tx, &thread, event, err);
	if (run_read(tx, thread.run, &run, err))
		return -1;
	if (run_is_over(&run))
		return answer_in(runs, tx, &thread, event, "wake", wake_of(event), err);
	if (hold_answered(runs, tx, connection, &thread, event, &is_answer, err))
		return -1;
	if (is_answer)
		return 0;
	if (run_message_in(runs, tx, thread.run, author, event->text, err) || state_set(tx, &thread, "running", err))
		return -1;
	return answer_in(runs, tx, &thread, event, "noted",
			 json_pack("{s:s, s:s, s:b}", "say", "thought", "text", "Noted: I take it up at the next safe point.",
				   "ephemeral", 1),
			 err);
}

/* What is not sent yet is not said any more; only the end is. */
static int silence(struct store_tx *tx, const struct thread *thread, struct err *err)
{
	AUTO_FREE char *target = target_of(thread);

	return store_run(tx, "UPDATE outbox SET status = 'dropped' WHERE target = ? AND status = 'queued' AND owner IS NULL",
			 VALUES(V((const char *)target)), err);
}

static int end_one(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct tracker_event *event,
		   const char *state, json_t *speech, struct err *err)
{
	if (silence(tx, thread, err) || state_set(tx, thread, state, err)) {
		json_decref(speech);
		return -1;
	}
	return answer_in(runs, tx, thread, event, "end", speech, err);
}

static int take_stop(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct tracker_event *event,
		     struct err *err)
{
	AUTO_THREAD thread = {0};
	bool found;

	if (event_thread(tx, connection, event, &thread, &found, err))
		return -1;
	return found ? end_one(runs, tx, &thread, event, "stopped",
			       speech_text("stop", "Stopped. What was done so far is kept; write here and I go on."), err)
		     : 0;
}

/* All threads of an item (event->item_id), of a team (else NULL), or of the whole account. */
static int take_away(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct tracker_event *event,
		     const char *team, bool says, struct err *err)
{
	AUTO_JSON ids = json_array();
	json_t *id;
	size_t i;

	{
		AUTO_ROWS rows = {0};

		if (store_query(tx, &rows,
				"SELECT id FROM thread WHERE connection = ? AND account = ? AND (? = '' OR item_id = ?) AND"
				" (? = '' OR team = ?) AND state IN ('opening', 'asking', 'running')",
				VALUES(V(connection->id), V(event->account), V(event->item_id ? event->item_id : ""),
				       V(event->item_id ? event->item_id : ""), V(team ? team : ""), V(team ? team : "")),
				err))
			return -1;
		while (store_rows_next(&rows))
			(void)json_array_append_new(ids, store_rows_json(&rows, 0));
		if (store_rows_finish(&rows, err))
			return -1;
	}
	json_array_foreach(ids, i, id) {
		AUTO_THREAD thread = {0};

		if (thread_read(tx, json_string_value(id), &thread, err) ||
		    end_one(runs, tx, &thread, event, "gone",
			    says ? speech_text("stop", "The issue was taken from me: I stopped.")
				 : json_pack("{s:s}", "say", "end"),
			    err))
			return -1;
	}
	return 0;
}

static int take_revoked(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			const struct tracker_event *event, struct err *err)
{
	log_warn("connection=%s account=%s: its permission was taken back", connection->name, event->account);
	if (store_run(tx, "DELETE FROM account WHERE connection = ? AND account = ?", VALUES(V(connection->id), V(event->account)),
		      err))
		return -1;
	return take_away(runs, tx, connection, event, NULL, false, err);
}

/* What belongs to a team that we may not see any more ends: nothing could be said of it. */
static int take_access(struct runs *runs, struct store_tx *tx, const struct connection *connection,
		       const struct tracker_event *event, struct err *err)
{
	json_t *team;
	size_t i;

	log_info("connection=%s account=%s: what it may see changed: `assay trackers check` says what is missing", connection->name,
		 event->account);
	json_array_foreach(event->removed, i, team) {
		const char *id = json_string_value(team);

		if (id && id[0] && take_away(runs, tx, connection, event, id, false, err))
			return -1;
	}
	return 0;
}

/* What others write about an issue that we know is shown with it. */
static int take_comment(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			const struct tracker_event *event, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/%s", connection->id, event->key);

	if (!event->item_id || !event->text || !event->is_new || !event->key[0])
		return 0;
	return store_run(tx,
			 "INSERT INTO issue_comment (issue, operation, author, text, time_ms)"
			 " SELECT number, ?, ?, ?, ? FROM issue WHERE connection = ? AND account = ? AND item_id = ?"
			 " ON CONFLICT (operation) DO NOTHING",
			 VALUES(V((const char *)operation), V(event->actor_name ? event->actor_name : "somebody"), V(event->text),
				V(world_now_ms(runs->options.world)), V(connection->id), V(event->account), V(event->item_id)),
			 err);
}

/* As it is now, whatever order the deliveries came in. */
static int take_issue(struct store_tx *tx, const struct connection *connection, const struct tracker_event *event, struct err *err)
{
	const char *updated = event->updated ? event->updated : "";

	if (!event->item_id || !event->title)
		return 0;
	return store_run(
		tx,
		"UPDATE issue SET title = ?, body = ?, updated = ? WHERE connection = ? AND account = ? AND item_id = ? AND"
		" coalesce(updated, '') < ?",
		VALUES(V(event->title), V(event->text ? event->text : ""), V(updated), V(connection->id), V(event->account),
		       V(event->item_id), V(updated)),
		err);
}

bool thread_is_silent(const struct thread *thread, const char *say)
{
	bool over = strcmp(thread->state, "stopped") == 0 || strcmp(thread->state, "gone") == 0;
	bool ends = strcmp(say, "stop") == 0 || strcmp(say, "end") == 0 || strcmp(say, "wake") == 0 ||
		    strcmp(say, "response") == 0 || strcmp(say, "error") == 0;

	return over && !ends;
}

/* An item may be given to another team. */
static int team_note(struct store_tx *tx, const struct connection *connection, const struct tracker_event *event, struct err *err)
{
	if (!event->item_id || !event->team_id)
		return 0;
	return store_run(
		tx, "UPDATE thread SET team = ? WHERE connection = ? AND account = ? AND item_id = ? AND coalesce(team, '') <> ?",
		VALUES(V(event->team_id), V(connection->id), V(event->account), V(event->item_id), V(event->team_id)), err);
}

int thread_take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct tracker_event *event,
		struct err *err)
{
	if (!event->account)
		return 0;
	if (team_note(tx, connection, event, err))
		return -1;
	if (event->kind == TRACKER_IGNORED || event->actor_is_self)
		return 0;
	switch (event->kind) {
	case TRACKER_CREATED:
		return event->thread ? take_created(runs, tx, connection, event, err) : 0;
	case TRACKER_PROMPTED:
		return event->thread ? take_prompted(runs, tx, connection, event, err) : 0;
	case TRACKER_STOP:
		return event->thread ? take_stop(runs, tx, connection, event, err) : 0;
	case TRACKER_UNASSIGNED:
		return event->item_id ? take_away(runs, tx, connection, event, NULL, true, err) : 0;
	case TRACKER_REVOKED:
		return take_revoked(runs, tx, connection, event, err);
	case TRACKER_ACCESS:
		return take_access(runs, tx, connection, event, err);
	case TRACKER_COMMENT:
		return take_comment(runs, tx, connection, event, err);
	case TRACKER_ISSUE:
		return take_issue(tx, connection, event, err);
	case TRACKER_IGNORED:
		break;
	}
	return 0;
}
