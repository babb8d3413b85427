/* Issues in the store. */
#include "trackers/builtin.h"

#include <stdlib.h>

#include "base/scope.h"

struct builtin {
	struct store *store;
	struct world world;
};

#define ISSUE_COLUMNS "number, repository, title, body, state, created_ms, run, pull, connection, item, url"

/* A number, or the name that it has outside. */
static int item_parse(struct store_tx *tx, const char *item, int64_t *number, struct err *err)
{
	uint64_t value;

	if (view_to_u64(view_of(item), &value) && value <= INT64_MAX) {
		*number = (int64_t)value;
		return 0;
	}
	if (store_number_get(tx, number, 0, "SELECT number FROM issue WHERE item = ? ORDER BY number DESC LIMIT 1", VALUES(V(item)),
			     err))
		return -1;
	return *number ? 0 : err_set(err, ERR_NOT_FOUND, "`%.40s` is no issue that is known here", item);
}

static json_t *issue_row(struct store_rows *rows)
{
	static const char *const names[] = {"number", "repository", "title",      "body", "state", "created_ms",
					    "run",    "pull",       "connection", "item", "url"};
	json_t *issue = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_object_set_new(issue, names[i], store_rows_json(rows, (int)i));
	return issue;
}

static int comments_add(struct store_tx *tx, int64_t number, json_t *issue, struct err *err)
{
	AUTO_ROWS rows = {0};
	json_t *comments = json_array();

	(void)json_object_set_new(issue, "comments", comments);
	if (store_query(tx, &rows, "SELECT author, text, time_ms FROM issue_comment WHERE issue = ? ORDER BY seq",
			VALUES(V(number)), err))
		return -1;
	while (store_rows_next(&rows)) {
		json_t *comment = json_object();

		(void)json_object_set_new(comment, "author", store_rows_json(&rows, 0));
		(void)json_object_set_new(comment, "text", store_rows_json(&rows, 1));
		(void)json_object_set_new(comment, "time_ms", store_rows_json(&rows, 2));
		(void)json_array_append_new(comments, comment);
	}
	return store_rows_finish(&rows, err);
}

static json_t *list(void *self, const struct list_ask *ask, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	AUTO_LIST page;
	AUTO_JSON items = json_array();

	list_init(&page, "SELECT " ISSUE_COLUMNS " FROM issue");
	list_any(&page, "state", ask->state);
	list_any(&page, "repository", ask->repository);
	list_text(&page, "title || ' ' || body", ask->text);
	if (store_begin_snapshot(builtin->store, &tx, err) || list_query(&page, &tx, &rows, "number", ask, err))
		return NULL;
	while (store_rows_next(&rows) && list_takes(&page, store_rows_number(&rows, 0))) {
		json_t *issue = issue_row(&rows);

		if (comments_add(&tx, json_number(issue, "number", 0), issue, err)) {
			json_decref(issue);
			return NULL;
		}
		(void)json_array_append_new(items, issue);
	}
	return store_rows_finish(&rows, err) ? NULL : list_page(&page, TAKE(items));
}

static json_t *fetch_in(struct store_tx *tx, int64_t number, struct err *err)
{
	AUTO_ROWS rows = {0};
	AUTO_JSON issue = NULL;

	if (store_query(tx, &rows, "SELECT " ISSUE_COLUMNS " FROM issue WHERE number = ?", VALUES(V(number)), err))
		return NULL;
	if (!store_rows_next(&rows)) {
		if (!store_rows_finish(&rows, err))
			(void)err_set(err, ERR_NOT_FOUND, "no issue %lld", (long long)number);
		return NULL;
	}
	issue = issue_row(&rows);
	return comments_add(tx, number, issue, err) ? NULL : TAKE(issue);
}

static json_t *fetch(void *self, const char *item, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	int64_t number;

	if (store_begin(builtin->store, &tx, err) || item_parse(&tx, item, &number, err))
		return NULL;
	return fetch_in(&tx, number, err);
}

json_t *tracker_builtin_make_in(struct store_tx *tx, struct world world, const char *repository, const char *title,
				const char *body, struct err *err)
{
	if (store_run(tx, "INSERT INTO issue (repository, title, body, state, created_ms) VALUES (?, ?, ?, 'open', ?)",
		      VALUES(V(repository), V(title), V(body), V(world_now_ms(world))), err))
		return NULL;
	return fetch_in(tx, store_last_id(tx), err);
}

static json_t *make(void *self, const char *repository, const char *title, const char *body, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	AUTO_JSON issue = NULL;

	if (store_begin(builtin->store, &tx, err))
		return NULL;
	issue = tracker_builtin_make_in(&tx, builtin->world, repository, title, body, err);
	return issue && !store_commit(&tx, err) ? TAKE(issue) : NULL;
}

static int claim_in(struct store_tx *tx, int64_t number, const char *run, struct err *err)
{
	AUTO_JSON issue = fetch_in(tx, number, err);
	const char *state;

	if (!issue)
		return -1;
	state = json_text(issue, "state", "");
	if (strcmp(state, "done") == 0 || strcmp(state, "closed") == 0)
		return err_set(err, ERR_DENIED, "issue %lld is %s: reopen it first", (long long)number, state);
	if (strcmp(state, "open") != 0 && strcmp(json_text(issue, "run", run), run) != 0)
		return err_set(err, ERR_DENIED, "issue %lld is worked on by run %s", (long long)number,
			       json_text(issue, "run", ""));
	return store_run(tx, "UPDATE issue SET state = 'working', run = ? WHERE number = ?", VALUES(V(run), V(number)), err);
}

static int claim(void *self, const char *item, const char *run, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	int64_t number;

	if (store_begin(builtin->store, &tx, err) || item_parse(&tx, item, &number, err) || claim_in(&tx, number, run, err))
		return -1;
	return store_commit(&tx, err);
}

static int post(void *self, const char *item, const char *author, const char *text, const char *operation, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	AUTO_JSON issue = NULL;
	int64_t number;

	if (store_begin(builtin->store, &tx, err) || item_parse(&tx, item, &number, err))
		return -1;
	issue = fetch_in(&tx, number, err);
	if (!issue || store_run(&tx,
				"INSERT INTO issue_comment (issue, operation, author, text, time_ms) VALUES (?, ?, ?, ?, ?)"
				" ON CONFLICT (operation) DO NOTHING",
				VALUES(V(number), V(operation), V(author), V(text), V(world_now_ms(builtin->world))), err))
		return -1;
	return store_commit(&tx, err);
}

static int update(struct builtin *builtin, const char *item, const char *sql, struct store_value value, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t number;

	if (store_begin(builtin->store, &tx, err) || item_parse(&tx, item, &number, err) ||
	    store_run(&tx, sql, VALUES(value, V(number)), err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_NOT_FOUND, "no issue %s", item);
	return store_commit(&tx, err);
}

static int link_pull(void *self, const char *item, int64_t pull, struct err *err)
{
	return update(self, item, "UPDATE issue SET pull = ? WHERE number = ?", V(pull), err);
}

static int set_state(void *self, const char *item, const char *state, struct err *err)
{
	return update(self, item, "UPDATE issue SET state = ? WHERE number = ?", V(state), err);
}

/* ---- issues from outside ---- */

int tracker_builtin_mirror(struct store_tx *tx, const struct tracker_mirror *mirror, int64_t now_ms, int64_t *number,
			   struct err *err)
{
	if (store_run(
		    tx,
		    "INSERT INTO issue (repository, title, body, state, created_ms, connection, account, item, item_id, url)"
		    " VALUES (?, ?, ?, 'open', ?, ?, ?, ?, ?, ?) ON CONFLICT (connection, account, item_id) WHERE connection IS NOT NULL"
		    " DO UPDATE SET repository = excluded.repository, title = excluded.title, body = excluded.body, item = excluded.item,"
		    " url = excluded.url, state = CASE WHEN issue.state IN ('done', 'closed') THEN 'open' ELSE issue.state END",
		    VALUES(V(mirror->repository), V(mirror->title), V(mirror->body), V(now_ms), V(mirror->connection),
			   V(mirror->account), V(mirror->item), V(mirror->item_id), V(mirror->url)),
		    err))
		return -1;
	return store_number_get(tx, number, 0, "SELECT number FROM issue WHERE connection = ? AND account = ? AND item_id = ?",
				VALUES(V(mirror->connection), V(mirror->account), V(mirror->item_id)), err);
}

int tracker_builtin_comment(struct store_tx *tx, int64_t number, const char *author, const char *text, const char *operation,
			    int64_t now_ms, struct err *err)
{
	return store_run(tx,
			 "INSERT INTO issue_comment (issue, operation, author, text, time_ms) VALUES (?, ?, ?, ?, ?)"
			 " ON CONFLICT (operation) DO NOTHING",
			 VALUES(V(number), V(operation), V(author), V(text), V(now_ms)), err);
}

/* One that another run had, which is over, is free: its end sets it so, and may still be on its way. */
int tracker_builtin_claim(struct store_tx *tx, int64_t number, const char *run, struct err *err)
{
	return store_run(tx, "UPDATE issue SET state = 'working', run = ? WHERE number = ?", VALUES(V(run), V(number)), err);
}

static const struct tracker_ops builtin_ops = {"builtin", list, fetch, make, claim, post, link_pull, set_state};

struct tracker tracker_builtin_new(struct store *store, struct world world)
{
	struct builtin *builtin = mem_new(sizeof(*builtin));

	*builtin = (struct builtin){store, world};
	return (struct tracker){&builtin_ops, builtin};
}

void tracker_builtin_free(struct tracker tracker)
{
	free(tracker.self);
}
