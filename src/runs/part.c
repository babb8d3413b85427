/*
 * Runs over several repositories: what each repository's part is, and how all of them are one commit.
 *
 * Theory of operation. `joined` is a bare repository of our own in which a commit is all repositories, each in a folder of its name, under one
 * assay.yaml made of theirs (base/git_join.h, blueprint/join.h). The run's base and head are such commits: so its environment, its agent's workspace
 * and its verification are those of any run, and judge all repositories at once. What is exported is split again: each repository in which something
 * differs gets one commit on the run's branch, and the run's head is those commits, joined. What was written beside the folders is in none of them.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "blueprint/join.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define BLUEPRINT_BYTES_MAX ((size_t)1 << 20)

/* ---- as they are stored ---- */

void parts_fini(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->at[i];

		free(part->repository);
		free(part->base_wanted);
		free(part->base);
		free(part->head);
		free(part->published);
		free(part->outcome);
	}
	memset(parts, 0, sizeof(*parts));
}

static struct part part_of_run(const struct run *run)
{
	return (struct part){.repository = text_copy(run->repository),
			     .base_wanted = text_copy(run->base_wanted),
			     .base = text_copy(run->base),
			     .head = text_copy(run->head),
			     .published = text_copy(run->published),
			     .outcome = text_copy(run->outcome),
			     .pull = run->pull};
}

int parts_read(struct store_tx *tx, const struct run *run, struct parts *parts, struct err *err)
{
	AUTO_ROWS rows = {0};

	parts_fini(parts);
	if (!run->joined) {
		parts->at[parts->count++] = part_of_run(run);
		return 0;
	}
	if (store_query(tx, &rows,
			"SELECT position, repository, base_wanted, base, head, published, outcome, pull FROM run_part WHERE run = ?"
			" ORDER BY position",
			VALUES(V(run->id)), err))
		return -1;
	while (parts->count < PARTS_MAX && store_rows_next(&rows))
		parts->at[parts->count++] = (struct part){.position = store_rows_number(&rows, 0),
							  .repository = text_copy(store_rows_text(&rows, 1)),
							  .base_wanted = text_copy(store_rows_text(&rows, 2)),
							  .base = text_copy(store_rows_text(&rows, 3)),
							  .head = text_copy(store_rows_text(&rows, 4)),
							  .published = text_copy(store_rows_text(&rows, 5)),
							  .outcome = text_copy(store_rows_text(&rows, 6)),
							  .pull = store_rows_number(&rows, 7)};
	return store_rows_finish(&rows, err);
}

int parts_load(struct runs *runs, const struct run *run, struct parts *parts, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? -1 : parts_read(&tx, run, parts, err);
}

int part_write(struct store_tx *tx, const struct run *run, const struct part *part, const char *set,
	       const struct store_value *values, size_t count, struct err *err)
{
	AUTO_FREE char *sql = text_format("UPDATE run_part SET %s WHERE run = ? AND position = ?", set);
	AUTO_FREE struct store_value *all = mem_new_array(count + 2, sizeof(*all));

	if (!run->joined)
		return run_write(tx, run->id, set, values, count, err);
	if (count)
		memcpy(all, values, count * sizeof(*all));
	all[count] = V(run->id);
	all[count + 1] = V(part->position);
	return store_run(tx, sql, all, count + 2, err);
}

bool part_is_changed(const struct part *part)
{
	return part->head && part->base && strcmp(part->head, part->base) != 0;
}

struct run part_run(const struct run *run, const struct part *part)
{
	struct run view = *run;

	view.repository = part->repository;
	view.base = part->base;
	view.head = part->head;
	view.published = part->published;
	view.pull = part->pull;
	view.joined = NULL;
	return view;
}

json_t *parts_json(struct store_tx *tx, const struct run *run, struct err *err)
{
	AUTO_PARTS parts = {.count = 0};
	json_t *list;

	if (parts_read(tx, run, &parts, err))
		return NULL;
	list = json_array();
	for (size_t i = 0; i < parts.count; i++) {
		const struct part *part = &parts.at[i];
		json_t *item = json_pack("{s:s, s:s?, s:s?, s:s?}", "repository", part->repository, "base", part->base, "head",
					 part->head, "outcome", part->outcome);

		(void)json_object_set_new(item, "pull", part->pull ? json_integer(part->pull) : json_null());
		(void)json_array_append_new(list, item);
	}
	return list;
}

/* ---- as they are asked for ---- */

/* "lib@REVISION"; without one it is `main`. */
static void wish_cut(const json_t *wish, char **name, char **revision)
{
	struct view rest;
	struct view first = view_cut(view_of(json_string_value(wish)), '@', &rest);

	*name = view_copy(first);
	*revision = rest.at ? view_copy(rest) : text_copy("main");
}

static int wish_check(struct runs *runs, const json_t *wishes, size_t nth, json_t *names, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *revision = NULL;
	AUTO_FREE char *path = NULL;
	struct git_hash base;

	if (!json_is_string(json_array_get(wishes, nth)))
		return err_set(err, ERR_INVALID, "repositories: expected a list of names, or NAME@REVISION");
	wish_cut(json_array_get(wishes, nth), &name, &revision);
	path = runs_repository_path(runs, name, err);
	if (!path)
		return -1;
	if (json_member(names, name))
		return err_set(err, ERR_INVALID, "repositories: `%s` is there twice", name);
	(void)json_object_set_new(names, name, json_true());
	return git_resolve(path, revision, &base, err) ? err_prefix(err, "%s", name) : 0;
}

int parts_request(struct runs *runs, const json_t *request, json_t **first, struct err *err)
{
	const json_t *wishes = json_member(request, "repositories");
	size_t count = json_array_size(wishes);
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *revision = NULL;
	AUTO_JSON names = json_object();

	*first = json_copy((json_t *)(uintptr_t)request);
	if (!wishes || json_is_null(wishes))
		return 0;
	if (!count || count > PARTS_MAX)
		return err_set(err, ERR_INVALID, "repositories: expected 1 to %d of them", PARTS_MAX);
	for (size_t i = 0; i < count; i++)
		if (wish_check(runs, wishes, i, names, err))
			return -1;
	wish_cut(json_array_get(wishes, 0), &name, &revision);
	if (strcmp(json_text(request, "repository", name), name) != 0)
		return err_set(err, ERR_INVALID, "`repository` is %s, and the first of `repositories` is %s",
			       json_text(request, "repository", ""), name);
	(void)json_object_set_new(*first, "repository", json_string(name));
	(void)json_object_set_new(*first, "base", json_string(revision));
	return 0;
}

char *parts_joined(const json_t *request)
{
	const json_t *wishes = json_member(request, "repositories");
	AUTO_BUF joined = buf_new(1024);
	size_t index;
	json_t *wish;

	if (json_array_size(wishes) < 2)
		return NULL;
	json_array_foreach(wishes, index, wish) {
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *revision = NULL;

		wish_cut(wish, &name, &revision);
		buf_add_format(&joined, "%s%s", index ? "+" : "", name);
	}
	return buf_take(&joined);
}

int parts_insert(struct store_tx *tx, const char *run, const json_t *request, struct err *err)
{
	const json_t *wishes = json_member(request, "repositories");
	size_t count = json_array_size(wishes);

	if (count > PARTS_MAX)
		return err_set(err, ERR_INVALID, "repositories: expected 1 to %d of them", PARTS_MAX);
	for (size_t i = 0; count > 1 && i < count; i++) {
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *revision = NULL;

		wish_cut(json_array_get(wishes, i), &name, &revision);
		if (repository_name_check(name, err))
			return -1;
		if (i == 0 && strcmp(json_text(request, "repository", ""), name) != 0)
			return err_set(err, ERR_INVALID, "`repository` must be the first of `repositories`, %s", name);
		if (store_run(tx, "INSERT INTO run_part (run, position, repository, base_wanted) VALUES (?, ?, ?, ?)",
			      VALUES(V(run), V((int64_t)i), V(name), V(revision)), err))
			return -1;
	}
	return 0;
}

int parts_copy(struct store_tx *tx, const char *from, const char *to, struct err *err)
{
	return store_run(tx,
			 "INSERT INTO run_part (run, position, repository, base_wanted)"
			 " SELECT ?, position, repository, coalesce(base, base_wanted) FROM run_part WHERE run = ?",
			 VALUES(V(to), V(from)), err);
}

/* ---- one commit of all ---- */

/* The assay.yaml of all, made of what each has at its base. */
static int blueprint_make(struct runs *runs, const struct parts *parts, struct buf *text, struct err *err)
{
	struct blueprint_side sides[PARTS_MAX];
	struct buf texts[PARTS_MAX];
	int result = 0;

	for (size_t i = 0; i < parts->count; i++) {
		AUTO_FREE char *path = repository_path(runs, parts->at[i].repository);
		struct git_hash base;
		struct err absent = {0};

		texts[i] = buf_new(BLUEPRINT_BYTES_MAX);
		if (run_hash(parts->at[i].base, &base, err))
			result = -1;
		else if (git_file_read(path, &base, "assay.yaml", &texts[i], &absent) && absent.kind != ERR_NOT_FOUND) {
			if (err)
				*err = absent;
			result = -1;
		}
		sides[i] = (struct blueprint_side){parts->at[i].repository, buf_view(&texts[i])};
	}
	if (!result)
		result = blueprint_join(sides, parts->count, text, err);
	for (size_t i = 0; i < parts->count; i++)
		buf_fini(&texts[i]);
	return result;
}

static int join(struct runs *runs, const struct run *run, const struct parts *parts, bool heads, struct git_hash *commit,
		struct err *err)
{
	AUTO_FREE char *joined = run_repository_path(runs, run);
	AUTO_BUF text = buf_new(BLUEPRINT_BYTES_MAX);
	struct git_side sides[PARTS_MAX];
	char *paths[PARTS_MAX] = {NULL};
	int result = blueprint_make(runs, parts, &text, err);

	for (size_t i = 0; i < parts->count && !result; i++) {
		const struct part *part = &parts->at[i];

		paths[i] = repository_path(runs, part->repository);
		sides[i] = (struct git_side){.name = part->repository, .repository = paths[i]};
		result = run_hash(heads && part->head ? part->head : part->base, &sides[i].commit, err);
	}
	(void)pthread_mutex_lock(&runs->repositories);
	if (!result)
		result = git_join(joined, sides, parts->count, "assay.yaml", buf_view(&text), commit, err);
	(void)pthread_mutex_unlock(&runs->repositories);
	for (size_t i = 0; i < parts->count; i++)
		free(paths[i]);
	return result;
}

int parts_pin(struct runs *runs, const struct run *run, struct parts *parts, struct git_hash *base, struct flow_visit *visit,
	      struct err *err)
{
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->at[i];
		AUTO_FREE char *path = repository_path(runs, part->repository);
		struct remote_told told = {0};
		struct git_hash commit;

		if (remote_refresh(runs, part->repository, &told, err) && remote_wait(runs, part->repository, &told, visit, err))
			return err_prefix(err, "%s", part->repository);
		if (visit->park)
			return 0;
		if (git_resolve(path, part->base_wanted, &commit, err))
			return err_prefix(err, "%s", part->repository);
		free(part->base);
		part->base = text_copy(commit.text);
	}
	return join(runs, run, parts, false, base, err);
}

/* One that was merged or closed has a pull request that shows nothing newer: what was changed there since is said, and left out. */
static int late_tell(struct runs *runs, const struct run *run, const struct part *part, const char *joined,
		     const struct git_hash *exported, const struct git_side *side, struct err *err)
{
	struct git_hash head;

	if (git_split(joined, exported, side, "refs/assay/late", "Too late\n", &head, err))
		return -1;
	if (strcmp(head.text, side->commit.text) != 0)
		event_note(runs, run->id, "what was changed in %s since its pull request was %s is in none", part->repository,
			   part->outcome);
	return 0;
}

static int part_take(struct runs *runs, const struct run *run, struct part *part, const struct git_hash *exported,
		     const char *message, struct err *err)
{
	AUTO_FREE char *joined = run_repository_path(runs, run);
	AUTO_FREE char *path = repository_path(runs, part->repository);
	AUTO_FREE char *ref = text_format("refs/heads/%s", run->branch);
	struct git_side side = {.name = part->repository, .repository = path};
	struct git_hash head;

	if (run_hash(part->head ? part->head : part->base, &side.commit, err))
		return -1;
	if (part->outcome)
		return late_tell(runs, run, part, joined, exported, &side, err);
	if (git_split(joined, exported, &side, ref, message, &head, err))
		return -1;
	free(part->head);
	part->head = text_copy(head.text);
	return 0;
}

int parts_take(struct runs *runs, const struct run *run, struct parts *parts, const struct git_hash *exported, const char *message,
	       struct git_hash *whole, struct err *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&runs->repositories);
	for (size_t i = 0; i < parts->count && !result; i++)
		result = part_take(runs, run, &parts->at[i], exported, message, err);
	(void)pthread_mutex_unlock(&runs->repositories);
	return result ? -1 : join(runs, run, parts, true, whole, err);
}

int parts_store(struct store_tx *tx, const struct run *run, const struct parts *parts, struct err *err)
{
	for (size_t i = 0; run->joined && i < parts->count; i++)
		if (part_write(tx, run, &parts->at[i], "base = ?, head = ?", VALUES(V(parts->at[i].base), V(parts->at[i].head)),
			       err))
			return -1;
	return 0;
}

/* ---- for the verifier ---- */

static json_t *part_commits(struct runs *runs, const struct part *part, struct err *err)
{
	AUTO_FREE char *path = repository_path(runs, part->repository);
	struct git_hash base;
	struct git_hash head;
	struct git_hash base_tree;
	struct git_hash head_tree;

	if (run_hash(part->base, &base, err) || run_hash(part->head ? part->head : part->base, &head, err) ||
	    git_tree_of(path, &base, &base_tree, err) || git_tree_of(path, &head, &head_tree, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", part->repository, "base", base.text, "head", head.text, "base_tree",
			 base_tree.text, "head_tree", head_tree.text);
}

int parts_report(struct runs *runs, const struct run *run, json_t *report, struct err *err)
{
	AUTO_PARTS parts = {.count = 0};
	AUTO_JSON list = json_array();

	if (!run->joined)
		return 0;
	if (parts_load(runs, run, &parts, err))
		return -1;
	for (size_t i = 0; i < parts.count; i++) {
		json_t *commits = part_commits(runs, &parts.at[i], err);

		if (!commits)
			return -1;
		(void)json_array_append_new(list, commits);
	}
	(void)json_object_set(report, "repositories", list);
	return 0;
}

/* Under other names, so that two repositories may each have a `checkout.har`. */
static void sessions_link(const char *from, const char *repository, const char *folder)
{
	DIR *dir = opendir(from);

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *old = text_format("%s/%s", from, entry->d_name);
		AUTO_FREE char *new = text_format("%s/%s-%s", folder, repository, entry->d_name);

		if (view_ends(view_of(entry->d_name), VIEW(".har")) && link(old, new))
			log_warn("cannot link %s: it is not replayed", old);
	}
	if (dir)
		(void)closedir(dir);
}

char *parts_sessions(struct runs *runs, const struct run *run)
{
	AUTO_FREE char *own = text_format("%s/sessions/%s", runs->state_dir, run->repository);
	AUTO_FREE char *folder = text_format("%s/runs/%s/sessions", runs->state_dir, run->id);
	AUTO_PARTS parts = {.count = 0};
	struct err err = {0};

	if (!run->joined)
		return file_is_dir(own) ? TAKE(own) : NULL;
	if (parts_load(runs, run, &parts, &err) || file_remove_tree(folder, &err) || file_make_dirs(folder, 0700, &err)) {
		log_warn("run=%s held-out sessions: %s", run->id, err.text);
		return NULL;
	}
	for (size_t i = 0; i < parts.count; i++) {
		AUTO_FREE char *from = text_format("%s/sessions/%s", runs->state_dir, parts.at[i].repository);

		sessions_link(from, parts.at[i].repository, folder);
	}
	return TAKE(folder);
}
