/* From an item outside to a run: its mirror here, the repository, the beginning; and how a run that is over goes on or ends. */
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"
#include "trackers/builtin.h"

#define OPTIONS_MAX 20
#define TEXT_BYTES_MAX ((size_t)256 << 10)

/* ---- which repository ---- */

static bool rule_says(const json_t *rule, const char *key, const char *value)
{
	const char *wanted = json_text(rule, key, NULL);

	return !wanted || (value && strcasecmp(wanted, value) == 0);
}

static bool rule_label(const json_t *rule, const json_t *labels)
{
	const char *wanted = json_text(rule, "label", NULL);
	json_t *label;
	size_t i;

	if (!wanted)
		return true;
	json_array_foreach((json_t *)(uintptr_t)labels, i, label)
		if (json_is_string(label) && strcasecmp(json_string_value(label), wanted) == 0)
			return true;
	return false;
}

int thread_repository(struct runs *runs, const struct connection *connection, const struct thread_item *item, bool defaults,
		      char **repository, struct err *err)
{
	AUTO_JSON all = NULL;
	json_t *rule;
	size_t i;

	*repository = NULL;
	json_array_foreach(json_member(connection->configuration, "repositories"), i, rule)
		if (rule_says(rule, "team", item->team) && rule_says(rule, "project", item->project) &&
		    rule_label(rule, item->labels)) {
			*repository = text_copy(json_text(rule, "repository", NULL));
			return 0;
		}
	if (!defaults)
		return 0;
	*repository = text_copy(json_text(connection->configuration, "repository", NULL));
	if (*repository)
		return 0;
	all = runs_repository_list(runs, err);
	if (!all)
		return -1;
	if (json_array_size(all) == 1)
		*repository = text_copy(json_text(json_array_get(all, 0), "name", NULL));
	return 0;
}

/* ---- the issue's mirror ---- */

static void comments_of_request(struct store_tx *tx, int64_t number, const struct thread *thread, int64_t now_ms, int *failed,
				struct err *err)
{
	AUTO_JSON request = json_parse(view_of(thread->request), NULL);
	static const char *const lists[][2] = {{"guidance", "the workspace's guidance"}, {"comments", "the thread before"}};
	const char *context = json_text(request, "context", NULL);
	json_t *each;
	size_t k;

	for (size_t i = 0; i < ARRAY_LEN(lists) && !*failed; i++)
		json_array_foreach(json_member(request, lists[i][0]), k, each) {
			AUTO_FREE char *operation = text_format("%s/%s/%zu", thread->id, lists[i][0], k);

			if (tracker_builtin_comment(tx, number, lists[i][1], json_text(each, "body", ""), operation, now_ms, err))
				*failed = -1;
		}
	if (context && !*failed) {
		AUTO_FREE char *operation = text_format("%s/context", thread->id);

		*failed = tracker_builtin_comment(tx, number, "the thread", context, operation, now_ms, err);
	}
}

static int comments_of_item(struct store_tx *tx, int64_t number, const struct thread *thread, const struct thread_item *item,
			    int64_t now_ms, struct err *err)
{
	json_t *comment;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)item->comments, i, comment) {
		AUTO_FREE char *operation = text_format("%s/comment/%s", thread->connection, json_text(comment, "id", ""));

		if (tracker_builtin_comment(tx, number, json_text(comment, "author", "somebody"), json_text(comment, "text", ""),
					    operation, now_ms, err))
			return -1;
	}
	return 0;
}

static int mirror(struct runs *runs, struct store_tx *tx, const struct thread *thread, const struct thread_item *item,
		  const char *repository, int64_t *number, struct err *err)
{
	const struct tracker_mirror row = {.connection = thread->connection,
					   .account = thread->account,
					   .item = item->item,
					   .item_id = item->item_id,
					   .url = item->url,
					   .repository = repository,
					   .title = item->title ? item->title : item->item,
					   .body = item->body ? item->body : ""};
	int64_t now_ms = world_now_ms(runs->options.world);
	int failed = 0;

	if (tracker_builtin_mirror(tx, &row, now_ms, number, err) || comments_of_item(tx, *number, thread, item, now_ms, err))
		return -1;
	comments_of_request(tx, *number, thread, now_ms, &failed, err);
	return failed;
}

/* ---- the beginning ---- */

static int say(struct runs *runs, struct store_tx *tx, const struct thread *thread, const char *what, json_t *speech,
	       struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/begin/%s/%s", thread->id, thread->run ? thread->run : "-", what);

	return thread_say_in(runs, tx, thread, operation, false, speech, err);
}

static json_t *words(const char *kind, const char *text)
{
	json_t *speech = json_pack("{s:s}", "say", kind);

	json_set_bytes(speech, "text", view_of(text));
	return speech;
}

static int ask_repository(struct runs *runs, struct store_tx *tx, const struct thread *thread, const json_t *all, struct err *err)
{
	AUTO_JSON names = json_array();
	AUTO_JSON asked = json_pack("{s:O}", "repositories", names);
	AUTO_BUF text = buf_new(TEXT_BYTES_MAX);
	json_t *speech;
	json_t *each;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)all, i, each)
		if (i < OPTIONS_MAX)
			(void)json_array_append(names, json_member(each, "name"));
	if (!json_array_size(names))
		return say(
			runs, tx, thread, "none",
			words("error", "No repository is known here yet: `assay repo put` in a checkout, or connect a code host."),
			err);
	json_format(&text, asked);
	if (store_run(tx, "UPDATE thread SET state = 'asking', asked = ? WHERE id = ?", VALUES(V(buf_view(&text)), V(thread->id)),
		      err))
		return -1;
	speech = words("ask", "Which repository is this about?");
	(void)json_object_set(speech, "options", names);
	return say(runs, tx, thread, "repository", speech, err);
}

/* Is another run at it already? Then it is said where. */
static int busy(struct runs *runs, struct store_tx *tx, const struct thread *thread, int64_t number, bool *is_busy, struct err *err)
{
	AUTO_ROWS rows = {0};
	AUTO_FREE char *text = NULL;

	*is_busy = false;
	if (store_query(tx, &rows,
			"SELECT run.id FROM run JOIN issue ON issue.run = run.id WHERE issue.number = ? AND"
			" run.state NOT IN ('done', 'failed', 'stopped')",
			VALUES(V(number)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err);
	*is_busy = true;
	text = text_format("I am at it already: %s/runs/%s", runs->pages_base, store_rows_text(&rows, 0));
	store_rows_fini(&rows);
	return store_run(tx, "UPDATE thread SET state = 'stopped' WHERE id = ?", VALUES(V(thread->id)), err) ||
			       say(runs, tx, thread, "busy", words("response", text), err)
		       ? -1
		       : 0;
}

static int start(struct runs *runs, struct store_tx *tx, struct thread *thread, int64_t number, const struct thread_item *item,
		 const char *repository, struct err *err)
{
	struct run_id run = run_id_new(runs->options.world);
	AUTO_JSON issue = json_pack("{s:I, s:s}", "number", (json_int_t)number, "title", item->title ? item->title : item->item);
	AUTO_JSON request = json_pack("{s:s}", "repository", repository);
	AUTO_FREE char *page = text_format("%s/runs/%s", runs->pages_base, run.text);

	if (store_run(tx, "UPDATE thread SET run = ?, issue = ?, state = 'running', asked = NULL WHERE id = ?",
		      VALUES(V(run.text), V(number), V(thread->id)), err) ||
	    tracker_builtin_claim(tx, number, run.text, err) || run_start_in(runs, tx, run, issue, request, err) ||
	    change_add_in(runs, tx, "issue", "number", V(number), "working", err) || thread_read(tx, thread->id, thread, err))
		return -1;
	if (say(runs, tx, thread, "links", json_pack("{s:s, s:[{s:s, s:s}]}", "say", "links", "links", "label", "Run", "url", page),
		err))
		return -1;
	return say(runs, tx, thread, "state", json_pack("{s:s, s:s}", "say", "state", "state", "started"), err);
}

static int begin_in(struct runs *runs, struct store_tx *tx, const char *id, const struct thread_item *item, const char *repository,
		    const json_t *all, struct err *err)
{
	AUTO_THREAD thread = {0};
	int64_t number = 0;
	bool is_busy = false;

	if (thread_read(tx, id, &thread, err))
		return -1;
	if (strcmp(thread.state, "opening") != 0) /* begun, or stopped meanwhile */
		return 0;
	if (!repository)
		return ask_repository(runs, tx, &thread, all, err);
	if (mirror(runs, tx, &thread, item, repository, &number, err) || busy(runs, tx, &thread, number, &is_busy, err))
		return -1;
	return is_busy ? 0 : start(runs, tx, &thread, number, item, repository, err);
}

int thread_begin(struct runs *runs, const char *id, const struct thread_item *item, const char *repository, struct err *err)
{
	AUTO_JSON all = runs_repository_list(runs, err);
	AUTO_FREE char *path = repository && all ? runs_repository_path(runs, repository, err) : NULL;
	AUTO_TX tx = {0};

	if (!all || (repository && !path))
		return -1;
	if (store_begin(runs->store, &tx, err) || begin_in(runs, &tx, id, item, repository, all, err) || store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

/* ---- begun by a person here ---- */

int thread_import(struct runs *runs, const char *connection, const char *account, const char *session, const char *url,
		  const struct thread_item *item, const char *repository, int64_t *number, struct err *err)
{
	AUTO_THREAD thread = {.connection = text_copy(connection), .account = text_copy(account), .request = text_copy("{}")};
	AUTO_TX tx = {0};

	thread.id = thread_id_of(connection, account, session);
	if (store_begin(runs->store, &tx, err) || mirror(runs, &tx, &thread, item, repository, number, err) ||
	    store_run(
		    &tx,
		    "INSERT INTO thread (id, connection, kind, account, thread, item, item_id, url, issue, state, request, created_ms)"
		    " SELECT ?, id, kind, ?, ?, ?, ?, ?, ?, 'opening', '{}', ? FROM connection WHERE id = ? ON CONFLICT (id) DO NOTHING",
		    VALUES(V((const char *)thread.id), V(account), V(session), V(item->item), V(item->item_id), V(url), V(*number),
			   V(world_now_ms(runs->options.world)), V(connection)),
		    err))
		return -1;
	return store_commit(&tx, err);
}

int thread_follow(struct runs *runs, int64_t issue, const char *run, struct err *err)
{
	AUTO_FREE char *page = text_format("%s/runs/%s", runs->pages_base, run);
	AUTO_FREE char *id = NULL;
	AUTO_THREAD thread = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err))
		return -1;
	{
		AUTO_ROWS rows = {0};

		if (store_query(&tx, &rows, "SELECT id FROM thread WHERE issue = ? ORDER BY created_ms DESC LIMIT 1",
				VALUES(V(issue)), err))
			return -1;
		if (store_rows_next(&rows))
			id = text_copy(store_rows_text(&rows, 0));
		if (store_rows_finish(&rows, err))
			return -1;
	}
	if (!id)
		return 0;
	if (store_run(&tx, "UPDATE thread SET run = ?, state = 'running', asked = NULL WHERE id = ?",
		      VALUES(V(run), V((const char *)id)), err) ||
	    thread_read(&tx, id, &thread, err) ||
	    say(runs, &tx, &thread, "links",
		json_pack("{s:s, s:[{s:s, s:s}]}", "say", "links", "links", "label", "Run", "url", page), err) ||
	    say(runs, &tx, &thread, "state", json_pack("{s:s, s:s}", "say", "state", "state", "started"), err))
		return -1;
	return store_commit(&tx, err);
}

/* ---- on, and over ---- */

static int wake_in(struct runs *runs, struct store_tx *tx, const struct thread *thread, const char *operation, const json_t *speech,
		   struct err *err)
{
	if (run_message_in(runs, tx, thread->run, json_text(speech, "author", "somebody"), json_text(speech, "text", ""), err))
		return -1;
	return store_run(tx, "UPDATE thread SET state = 'running', woken = ? WHERE id = ?", VALUES(V(operation), V(thread->id)),
			 err);
}

/* What was merged stays merged: what is said then is new work on the same issue. */
static int again(struct runs *runs, const struct thread *old, const struct run *run, const char *operation, const json_t *speech,
		 struct err *err)
{
	AUTO_THREAD thread = {0};
	const struct thread_item item = {.title = run->title};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || thread_read(&tx, old->id, &thread, err) ||
	    tracker_builtin_comment(&tx, run->issue, json_text(speech, "author", "somebody"), json_text(speech, "text", ""),
				    operation, world_now_ms(runs->options.world), err) ||
	    start(runs, &tx, &thread, run->issue, &item, run->repository, err) ||
	    store_run(&tx, "UPDATE thread SET woken = ? WHERE id = ?", VALUES(V(operation), V(thread.id)), err) ||
	    store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

/* Is there nothing to go on with, because the run is done, or its issue by another one? */
static int is_done(struct runs *runs, const struct run *run, bool *done, struct err *err)
{
	int64_t found = 0;
	AUTO_TX tx = {0};

	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_number_get(&tx, &found, 0, "SELECT count(*) FROM issue WHERE number = ? AND state = 'done'",
			     VALUES(V(run->issue)), err))
		return -1;
	*done = strcmp(run->state, "done") == 0 || (run_is_over(run) && found > 0);
	return 0;
}

int thread_wake(struct runs *runs, const struct thread *thread, const char *operation, const json_t *speech, struct err *err)
{
	AUTO_RUN run = {0};
	struct run_id id;
	bool done;
	AUTO_TX tx = {0};

	if (!thread->run)
		return err_set(err, ERR_RETRY, "its run has not begun");
	if (thread->woken && strcmp(thread->woken, operation) == 0)
		return 0;
	if (run_load(runs, thread->run, &run, err) || run_id_parse(view_of(thread->run), &id, err) ||
	    is_done(runs, &run, &done, err))
		return -1;
	if (done)
		return again(runs, thread, &run, operation, speech, err);
	if (run_is_over(&run)) {
		/* What the retried run says first is said here, too. Who speaks there cannot open an issue that was closed here: to speak opens it. */
		if (store_begin(runs->store, &tx, err) ||
		    store_run(&tx, "UPDATE thread SET state = 'running' WHERE id = ?", VALUES(V(thread->id)), err) ||
		    store_run(&tx, "UPDATE issue SET state = 'open' WHERE number = ? AND state = 'closed'", VALUES(V(run.issue)),
			      err) ||
		    store_commit(&tx, err))
			return -1;
		if (runs_retry(runs, id, err)) {
			if (err->kind == ERR_DENIED) /* somebody else did */
				err->kind = ERR_RETRY;
			return -1;
		}
	}
	if (store_begin(runs->store, &tx, err))
		return -1;
	if (wake_in(runs, &tx, thread, operation, speech, err)) {
		if (err->kind == ERR_DENIED) /* it ended again meanwhile */
			err->kind = ERR_RETRY;
		return -1;
	}
	if (store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

int thread_stop(struct runs *runs, const struct thread *thread, struct err *err)
{
	struct run_id id;

	if (!thread->run)
		return 0;
	if (run_id_parse(view_of(thread->run), &id, err))
		return -1;
	if (!runs_stop(runs, id, err) || err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND) {
		*err = (struct err){0};
		return 0;
	}
	return -1;
}
