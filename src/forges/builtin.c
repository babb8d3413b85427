/*
 * Pull requests in the store, branches in bare repositories.
 *
 * Theory of operation: a merge is three writes in two places. First the merge commit's hash is stored as what is about to happen
 * (`merging`), then the target branch is moved by compare-and-swap, then the pull request is stored as merged. Whoever comes after a
 * crash between them sees `merging` and asks the branch: if it has that commit the merge happened, else it did not.
 */
#include "forges/builtin.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/scope.h"

#define MERGE_TRIES 4 /* when somebody else moves the branch in between */

struct builtin {
	struct store *store;
	char *repositories;
	struct world world;
	pthread_mutex_t merging; /* one merge at a time: fewer races for the same branch */
};

static const char *const pull_names[] = {"number",  "repository",  "branch",  "target",     "title",   "body",
					 "draft",   "state",       "base",    "head",       "run",     "issue",
					 "verdict", "environment", "preview", "created_ms", "merging", "merged"};
#define PULL_COLUMNS                                                                                                    \
	"number, repository, branch, target, title, body, draft, state, base, head, run, issue, verdict, environment, " \
	"preview, created_ms, merging, merged"

static json_t *pull_row(struct store_rows *rows)
{
	json_t *pull = json_object();

	for (size_t i = 0; i < ARRAY_LEN(pull_names); i++)
		(void)json_object_set_new(pull, pull_names[i], store_rows_json(rows, (int)i));
	(void)json_object_set_new(pull, "draft", json_boolean(json_number(pull, "draft", 0)));
	return pull;
}

static int reviews_add(struct store_tx *tx, json_t *pull, struct err *err)
{
	AUTO_ROWS rows = {0};
	json_t *reviews = json_array();

	(void)json_object_set_new(pull, "reviews", reviews);
	if (store_query(tx, &rows, "SELECT author, kind, text, time_ms FROM pull_review WHERE pull = ? ORDER BY seq",
			VALUES(V(json_number(pull, "number", 0))), err))
		return -1;
	while (store_rows_next(&rows)) {
		static const char *const names[] = {"author", "kind", "text", "time_ms"};
		json_t *review = json_object();

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			(void)json_object_set_new(review, names[i], store_rows_json(&rows, (int)i));
		(void)json_array_append_new(reviews, review);
	}
	return store_rows_finish(&rows, err);
}

static json_t *pull_in(struct store_tx *tx, int64_t number, struct err *err)
{
	AUTO_ROWS rows = {0};
	AUTO_JSON pull = NULL;

	if (store_query(tx, &rows, "SELECT " PULL_COLUMNS " FROM pull WHERE number = ?", VALUES(V(number)), err))
		return NULL;
	if (!store_rows_next(&rows)) {
		if (!store_rows_finish(&rows, err))
			(void)err_set(err, ERR_NOT_FOUND, "no pull request %lld", (long long)number);
		return NULL;
	}
	pull = pull_row(&rows);
	return reviews_add(tx, pull, err) ? NULL : TAKE(pull);
}

static json_t *list(void *self, const struct list_ask *ask, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	AUTO_LIST page;
	AUTO_JSON items = json_array();

	list_init(&page, "SELECT " PULL_COLUMNS " FROM pull");
	list_any(&page, "state", ask->state);
	list_any(&page, "repository", ask->repository);
	list_text(&page, "title || ' ' || branch", ask->text);
	if (store_begin_snapshot(builtin->store, &tx, err) || list_query(&page, &tx, &rows, "number", ask, err))
		return NULL;
	while (store_rows_next(&rows) && list_takes(&page, store_rows_number(&rows, 0))) {
		json_t *pull = pull_row(&rows);

		(void)json_array_append_new(items, pull);
		if (reviews_add(&tx, pull, err))
			return NULL;
	}
	return store_rows_finish(&rows, err) ? NULL : list_page(&page, TAKE(items));
}

static json_t *read_pull(struct builtin *builtin, int64_t number, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(builtin->store, &tx, err) ? NULL : pull_in(&tx, number, err);
}

/* One statement about one pull request. */
static int write_pull(struct builtin *builtin, const char *sql, struct store_value value, int64_t number, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(builtin->store, &tx, err) || store_run(&tx, sql, VALUES(value, V(number)), err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_CONFLICT, "pull request %lld is not open any more", (long long)number);
	return store_commit(&tx, err);
}

static char *repository_path(const struct builtin *builtin, const json_t *pull)
{
	return text_format("%s/%s.git", builtin->repositories, json_text(pull, "repository", ""));
}

static int merged_store(struct builtin *builtin, int64_t number, const char *merged, struct err *err)
{
	return write_pull(
		builtin,
		"UPDATE pull SET state = 'merged', merged = ?, merging = NULL, draft = 0 WHERE number = ? AND state = 'open'",
		V(merged), number, err);
}

/* Finishes, or forgets, a merge that was cut by a crash. *pull is read again when it changed. */
static int settle(struct builtin *builtin, json_t **pull, struct err *err)
{
	const char *merging = json_text(*pull, "merging", NULL);
	int64_t number = json_number(*pull, "number", 0);
	AUTO_FREE char *repository = repository_path(builtin, *pull);
	AUTO_FREE char *target = text_format("refs/heads/%s", json_text(*pull, "target", "main"));
	struct err why = {0};
	int status = 0;

	if (!merging || forge_state_of(*pull) != FORGE_OPEN)
		return 0;
	if (git_run(repository, (const char *const[]){"merge-base", "--is-ancestor", merging, target, NULL}, NULL, &status, err))
		return -1;
	/* Who merges may have ended it since it was read: then it is as it should be. */
	if ((status ? write_pull(builtin, "UPDATE pull SET merging = ? WHERE number = ?", V((const char *)NULL), number, &why)
		    : merged_store(builtin, number, merging, &why)) &&
	    why.kind != ERR_CONFLICT)
		return err_set(err, why.kind, "%s", why.text);
	json_decref(*pull);
	*pull = read_pull(builtin, number, err);
	return *pull ? 0 : -1;
}

/* `merging` is how it is done, and no business of readers. */
static json_t *fetch(void *self, int64_t number, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_JSON pull = read_pull(builtin, number, err);
	int failed;

	if (!pull)
		return NULL;
	(void)pthread_mutex_lock(&builtin->merging);
	failed = settle(builtin, &pull, err);
	(void)pthread_mutex_unlock(&builtin->merging);
	if (failed)
		return NULL;
	(void)json_object_del(pull, "merging");
	return TAKE(pull);
}

static int upsert(void *self, const struct forge_pull *pull, int64_t *number, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};

	if (store_begin(builtin->store, &tx, err) || (pull->held && pull->held(pull->held_self, &tx, err)) ||
	    store_number_get(&tx, number, 0, "SELECT number FROM pull WHERE repository = ? AND branch = ? ORDER BY number DESC",
			     VALUES(V(pull->repository), V(pull->branch)), err))
		return -1;
	if (!*number) {
		if (store_run(
			    &tx,
			    "INSERT INTO pull (repository, branch, target, title, body, draft, state, base, head, run, issue, verdict,"
			    " environment, preview, created_ms) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?, ?)",
			    VALUES(V(pull->repository), V(pull->branch), V(pull->target), V(pull->title), V(pull->body),
				   V(pull->draft), V(pull->base.text), V(pull->head.text), V(pull->run), V(pull->issue),
				   V(pull->verdict), V(pull->environment), V(pull->preview), V(world_now_ms(builtin->world))),
			    err))
			return -1;
		*number = store_last_id(&tx);
		return store_commit(&tx, err);
	}
	if (store_run(
		    &tx,
		    "UPDATE pull SET title = ?, body = ?, draft = ?, base = ?, head = ?, verdict = ?, environment = ?, preview = ?"
		    " WHERE number = ? AND state = 'open' AND merging IS NULL",
		    VALUES(V(pull->title), V(pull->body), V(pull->draft), V(pull->base.text), V(pull->head.text), V(pull->verdict),
			   V(pull->environment), V(pull->preview), V(*number)),
		    err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_CONFLICT, "pull request %lld is not open any more", (long long)*number);
	return store_commit(&tx, err);
}

static int review(void *self, int64_t number, const char *author, const char *kind, const char *text, const char *operation,
		  struct err *err)
{
	struct builtin *builtin = self;
	AUTO_TX tx = {0};
	AUTO_JSON pull = NULL;

	if (store_begin(builtin->store, &tx, err))
		return -1;
	pull = pull_in(&tx, number, err);
	if (!pull)
		return -1;
	if (forge_state_of(pull) != FORGE_OPEN)
		return err_set(err, ERR_DENIED, "pull request %lld is %s", (long long)number, json_text(pull, "state", ""));
	if (store_run(&tx,
		      "INSERT INTO pull_review (pull, operation, author, kind, text, time_ms) VALUES (?, ?, ?, ?, ?, ?)"
		      " ON CONFLICT (operation) DO NOTHING",
		      VALUES(V(number), V(operation), V(author), V(kind), V(text), V(world_now_ms(builtin->world))), err))
		return -1;
	return store_commit(&tx, err);
}

static int merge_once(struct builtin *builtin, const json_t *pull, struct git_hash *merged, struct err *err)
{
	int64_t number = json_number(pull, "number", 0);
	AUTO_FREE char *repository = repository_path(builtin, pull);
	AUTO_FREE char *target = text_format("refs/heads/%s", json_text(pull, "target", "main"));
	AUTO_FREE char *message = text_format("Merge pull request %lld: %s\n\nIssue: %lld\nRun: %s\n", (long long)number,
					      json_text(pull, "title", ""), (long long)json_number(pull, "issue", 0),
					      json_text(pull, "run", ""));
	struct git_hash into;
	struct git_hash head;

	if (git_hash_parse(view_of(json_text(pull, "head", "")), &head, err) || git_resolve(repository, target, &into, err) ||
	    git_merge(repository, &into, &head, message, merged, err))
		return -1;
	if (write_pull(builtin, "UPDATE pull SET merging = ? WHERE number = ? AND state = 'open'", V(merged->text), number, err))
		return -1;
	if (git_ref_set(repository, target, merged, &into, err)) {
		if (err->kind == ERR_CONFLICT)
			err->kind = ERR_RETRY; /* moved: merge into what it is now */
		return -1;
	}
	return merged_store(builtin, number, merged->text, err);
}

static int merge_locked(struct builtin *builtin, int64_t number, struct git_hash *merged, struct err *err)
{
	struct err own = {0};

	for (int i = 0; i < MERGE_TRIES; i++) {
		AUTO_JSON pull = read_pull(builtin, number, err);

		if (!pull || settle(builtin, &pull, err))
			return -1;
		if (forge_state_of(pull) == FORGE_MERGED)
			return git_hash_parse(view_of(json_text(pull, "merged", "")), merged, err);
		if (forge_state_of(pull) == FORGE_CLOSED)
			return err_set(err, ERR_DENIED, "pull request %lld is closed", (long long)number);
		if (!merge_once(builtin, pull, merged, &own))
			return 0;
		if (own.kind != ERR_RETRY)
			break;
	}
	if (err)
		*err = own;
	return -1;
}

static int merge(void *self, int64_t number, struct git_hash *merged, struct err *err)
{
	struct builtin *builtin = self;
	int status;

	(void)pthread_mutex_lock(&builtin->merging);
	status = merge_locked(builtin, number, merged, err);
	(void)pthread_mutex_unlock(&builtin->merging);
	return status;
}

static int close_pull(void *self, int64_t number, struct err *err)
{
	struct builtin *builtin = self;
	AUTO_JSON pull = fetch(builtin, number, err);

	if (!pull)
		return -1;
	if (forge_state_of(pull) == FORGE_MERGED)
		return err_set(err, ERR_DENIED, "pull request %lld is merged", (long long)number);
	if (forge_state_of(pull) == FORGE_CLOSED)
		return 0;
	return write_pull(builtin, "UPDATE pull SET state = 'closed', merging = ? WHERE number = ? AND state = 'open'",
			  V((const char *)NULL), number, err);
}

int forge_builtin_end_in(struct store_tx *tx, int64_t number, bool merged, const char *hash, bool *changed, struct err *err)
{
	*changed = false;
	if (store_run(tx, "UPDATE pull SET state = ?, merged = ?, merging = NULL WHERE number = ? AND state = 'open'",
		      VALUES(V(merged ? "merged" : "closed"), V(merged ? hash : NULL), V(number)), err))
		return -1;
	*changed = store_changed(tx) > 0;
	return 0;
}

static const struct forge_ops builtin_ops = {"builtin", list, fetch, upsert, review, merge, close_pull};

struct forge forge_builtin_new(struct store *store, const char *repositories, struct world world)
{
	struct builtin *builtin = mem_new(sizeof(*builtin));

	*builtin = (struct builtin){.store = store, .repositories = text_copy(repositories), .world = world};
	(void)pthread_mutex_init(&builtin->merging, NULL);
	return (struct forge){&builtin_ops, builtin};
}

void forge_builtin_free(struct forge forge)
{
	struct builtin *builtin = forge.self;

	if (!builtin)
		return;
	(void)pthread_mutex_destroy(&builtin->merging);
	free(builtin->repositories);
	free(builtin);
}
