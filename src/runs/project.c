/* Repositories, issues and pull requests, as the API asks for them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "forges/builtin.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define NAME_MAX_LENGTH 40
#define REF_MAIN "refs/heads/main"
#define REF_PUT "refs/assay/put" /* what a person's checkout last brought */

/* ---- repositories ---- */

int repository_name_check(const char *name, struct err *err)
{
	size_t length = strlen(name);
	bool good = length > 0 && length <= NAME_MAX_LENGTH && name[0] != '-';

	for (size_t i = 0; good && i < length; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '-';
	return good ? 0
		    : err_set(err, ERR_INVALID,
			      "`%.60s` is no name of a repository: lower-case letters, digits and dashes, at most %d", name,
			      NAME_MAX_LENGTH);
}

char *runs_repository_path(struct runs *runs, const char *name, struct err *err)
{
	AUTO_FREE char *path = NULL;

	if (repository_name_check(name, err))
		return NULL;
	path = repository_path(runs, name);
	if (!file_is_dir(path)) {
		(void)err_set(err, ERR_NOT_FOUND, "no repository `%s`", name);
		return NULL;
	}
	return TAKE(path);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Where it comes from, when it is at a code host. */
static int remote_add(struct runs *runs, json_t *items, struct err *err)
{
	AUTO_TX tx = {0};
	size_t index;
	json_t *item;

	if (store_begin_snapshot(runs->store, &tx, err))
		return -1;
	json_array_foreach(items, index, item) {
		AUTO_PLACE place = {0};
		bool found;

		if (place_find(&tx, json_text(item, "name", ""), &place, &found, err))
			return -1;
		(void)json_object_set_new(item, "remote", found ? json_string(place.url) : json_null());
		(void)json_object_set_new(item, "judges", json_boolean(found && place.judges));
	}
	return 0;
}

json_t *runs_repository_list(struct runs *runs, struct err *err)
{
	const char *folder = runs->repositories_dir;
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, NULL, by_name);
	json_t *items = json_array();

	if (count < 0) {
		json_decref(items);
		(void)err_errno(err, errno, "cannot list %s", folder);
		return NULL;
	}
	for (int i = 0; i < count; i++) {
		struct view name = view_of(entries[i]->d_name);
		AUTO_FREE char *path = text_format("%s/%s", folder, entries[i]->d_name);
		struct git_hash head;

		if (name.at[0] != '.' && view_ends(name, VIEW(".git")) && !git_resolve(path, REF_MAIN, &head, NULL)) {
			json_t *item = json_object();

			json_set_bytes(item, "name", view_make(name.at, name.length - 4));
			json_set_bytes(item, "head", view_of(head.text));
			json_set_bytes(item, "branch", VIEW("main"));
			json_set_bytes(item, "path", view_of(path));
			(void)json_array_append_new(items, item);
		}
		free(entries[i]);
	}
	free(entries);
	if (remote_add(runs, items, err)) {
		json_decref(items);
		return NULL;
	}
	return items;
}

/*
 * Moves `main` to what a checkout brought, without losing what was merged here: it moves when it would only go forward, or when
 * nothing was merged since the last time; it stays when the checkout is merely behind. Without `move` the commit is only kept.
 */
static int main_move(const char *repository, const char *name, const struct git_hash *commit, bool move, struct err *err)
{
	AUTO_FREE char *kept = text_format("refs/assay/kept/%s", commit->text);
	struct git_hash now;
	struct git_hash put;
	bool forward = true;
	bool behind = false;

	if (!move && !git_resolve(repository, REF_MAIN, &now, NULL))
		return git_ref_set(repository, kept, commit, NULL, err);
	if (!git_resolve(repository, REF_MAIN, &now, NULL)) {
		bool merged_since = git_resolve(repository, REF_PUT, &put, NULL) || strcmp(put.text, now.text) != 0;

		if (!merged_since && strcmp(now.text, commit->text) == 0)
			return 0;
		if (git_is_ancestor(repository, &now, commit, &forward, err) ||
		    git_is_ancestor(repository, commit, &now, &behind, err))
			return -1;
		if (!forward && merged_since && !behind)
			return err_set(
				err, ERR_CONFLICT,
				"`main` of %s has merged pull requests that this checkout lacks: `git pull %s main` first, or "
				"give the project another name",
				name, repository);
		if (merged_since && behind)
			return 0;
	}
	if (git_ref_set(repository, REF_MAIN, commit, NULL, err))
		return -1;
	return git_ref_set(repository, REF_PUT, commit, NULL, err);
}

static int blueprint_name(const char *repository, const struct git_hash *commit, char name[NAME_MAX_LENGTH + 1], struct err *err)
{
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (git_file_read(repository, commit, "assay.yaml", &text, err))
		return err_prefix(err, "no blueprint (commit it, or give the project a name)");
	blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!blueprint)
		return -1;
	(void)snprintf(name, NAME_MAX_LENGTH + 1, "%s", blueprint->name);
	return repository_name_check(name, err);
}

/*
 * A commit that is here already needs no fetch, and most `env up` bring one. The checkout is only asked for a hash and a blob, by git
 * commands that start no program whatever its configuration says.
 */
static bool put_before(struct runs *runs, const char *path, const char *revision, char name[NAME_MAX_LENGTH + 1],
		       struct git_hash *commit)
{
	AUTO_FREE char *folder = text_format("%s/.git", path);
	AUTO_FREE char *repository = NULL;
	char found[NAME_MAX_LENGTH + 1];
	struct git_hash here;

	if (git_resolve(folder, revision, commit, NULL))
		return false;
	(void)snprintf(found, sizeof(found), "%s", name);
	if (!*found && blueprint_name(folder, commit, found, NULL))
		return false;
	repository = repository_path(runs, found);
	if (!file_is_dir(repository) || git_resolve(repository, commit->text, &here, NULL))
		return false;
	(void)snprintf(name, NAME_MAX_LENGTH + 1, "%s", found);
	return true;
}

/* Fetches into a place of its own first: the name may only be known from what comes. */
static int put(struct runs *runs, const char *incoming, const char *path, const char *revision, char name[NAME_MAX_LENGTH + 1],
	       bool move, struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *repository = NULL;

	if (put_before(runs, path, revision, name, commit)) {
		repository = repository_path(runs, name);
		return main_move(repository, name, commit, move, err);
	}
	if (!*name &&
	    (git_repository_make(incoming, err) || git_fetch_local(incoming, path, revision, "refs/assay/incoming", commit, err) ||
	     blueprint_name(incoming, commit, name, err)))
		return -1;
	repository = repository_path(runs, name);
	if (!file_is_dir(repository) && file_is_dir(incoming) && rename(incoming, repository))
		return err_errno(err, errno, "cannot make %s", repository);
	if (git_repository_make(repository, err) || git_fetch_local(repository, path, revision, "refs/assay/incoming", commit, err))
		return -1;
	return main_move(repository, name, commit, move, err);
}

json_t *runs_repository_put(struct runs *runs, const char *path, const char *revision, const char *name, bool move, struct err *err)
{
	AUTO_FREE char *incoming = text_format("%s/.incoming-%s.git", runs->repositories_dir, flows_plane(runs->flow)->lease.owner);
	char found[NAME_MAX_LENGTH + 1] = "";
	struct git_hash commit;
	struct err left = {0};
	int status = 0;

	if (name) {
		if (repository_name_check(name, err))
			return NULL;
		(void)snprintf(found, sizeof(found), "%s", name);
	}
	(void)pthread_mutex_lock(&runs->repositories);
	status = file_remove_tree(incoming, err);
	if (!status)
		status = put(runs, incoming, path, revision && *revision ? revision : "HEAD", found, move, &commit, err);
	if (file_remove_tree(incoming, &left))
		log_warn("%s", left.text);
	(void)pthread_mutex_unlock(&runs->repositories);
	return status ? NULL : json_pack("{s:s, s:s}", "name", found, "commit", commit.text);
}

/* ---- issues ---- */

struct item {
	char text[24];
};

static struct item item_of(int64_t number)
{
	struct item item;

	(void)snprintf(item.text, sizeof(item.text), "%lld", (long long)number);
	return item;
}

json_t *runs_issue_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	return tracker_list(runs->tracker, ask, err);
}

json_t *runs_issue_show(struct runs *runs, int64_t number, struct err *err)
{
	AUTO_JSON issue = tracker_fetch(runs->tracker, item_of(number).text, err);
	json_t *attachments = issue ? runs_attachment_list(runs, number, err) : NULL;

	if (!attachments)
		return NULL;
	(void)json_object_set_new(issue, "attachments", attachments);
	return TAKE(issue);
}

json_t *runs_issue_make(struct runs *runs, const char *repository, const char *title, const char *body, struct err *err)
{
	AUTO_FREE char *path = runs_repository_path(runs, repository, err);
	json_t *issue = path ? tracker_make(runs->tracker, repository, title, body, err) : NULL;

	if (issue)
		change_add(runs, "issue", "number", V(json_number(issue, "number", 0)), "open");
	return issue;
}

int runs_issue_comment(struct runs *runs, int64_t number, const char *author, const char *text, struct err *err)
{
	if (tracker_post(runs->tracker, item_of(number).text, author, text, NULL, err))
		return -1;
	change_add(runs, "issue", "number", V(number), NULL);
	return 0;
}

/* Closing an issue ends what is being done about it: its run, and the candidates beside it. */
static void issue_run_stop(struct runs *runs, const json_t *issue)
{
	const char *text = json_text(issue, "run", NULL);
	AUTO_JSON race = json_array();
	struct err err = {0};
	size_t index;
	json_t *id;

	if (!text)
		return;
	(void)json_array_append_new(race, json_string(text));
	if (race_others(runs, text, race, &err))
		log_warn("run=%s: %s", text, err.text);
	json_array_foreach(race, index, id)
		if (flow_stop(runs->flow, json_string_value(id), &err) && err.kind != ERR_DENIED && err.kind != ERR_NOT_FOUND)
			log_warn("run=%s: cannot stop: %s", json_string_value(id), err.text);
}

int runs_issue_close(struct runs *runs, int64_t number, bool closed, struct err *err)
{
	AUTO_JSON issue = runs_issue_show(runs, number, err);
	const char *state = json_text(issue, "state", "");

	if (!issue)
		return -1;
	if (!closed && strcmp(state, "closed") != 0 && strcmp(state, "done") != 0)
		return err_set(err, ERR_DENIED, "issue %lld is not closed: it is %s", (long long)number, state);
	if (closed)
		issue_run_stop(runs, issue);
	if (tracker_set_state(runs->tracker, item_of(number).text, closed ? "closed" : "open", err))
		return -1;
	change_add(runs, "issue", "number", V(number), closed ? "closed" : "open");
	return 0;
}

/* ---- pull requests ---- */

json_t *runs_pull_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	json_t *page = forge_list(runs->forge, ask, err);
	json_t *item;
	size_t index;

	json_array_foreach(json_member(page, "items"), index, item) {
		preview_now(runs, item);
		remote_pull_json(runs, item);
	}
	return page;
}

json_t *runs_pull_show(struct runs *runs, int64_t number, struct err *err)
{
	json_t *item = forge_fetch(runs->forge, number, err);

	if (item) {
		preview_now(runs, item);
		remote_pull_json(runs, item);
	}
	return item;
}

static int pull_commits(struct runs *runs, int64_t number, char **repository, struct git_hash *base, struct git_hash *head,
			struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);

	if (!pull || git_hash_parse(view_of(json_text(pull, "base", "")), base, err) ||
	    git_hash_parse(view_of(json_text(pull, "head", "")), head, err))
		return -1;
	*repository = repository_path(runs, json_text(pull, "repository", ""));
	return 0;
}

int runs_pull_diff(struct runs *runs, int64_t number, struct buf *diff, struct err *err)
{
	AUTO_FREE char *repository = NULL;
	struct git_hash base;
	struct git_hash head;

	if (pull_commits(runs, number, &repository, &base, &head, err))
		return -1;
	return git_diff(repository, &base, &head, diff, err);
}

json_t *runs_pull_changes(struct runs *runs, int64_t number, struct err *err)
{
	AUTO_FREE char *repository = NULL;
	struct git_hash base;
	struct git_hash head;

	return pull_commits(runs, number, &repository, &base, &head, err) ? NULL : git_changes(repository, &base, &head, err);
}

/* Tells the run of a pull request what happened to it; a run that is over need not know. `shown` is stolen. */
static int pull_signal(struct runs *runs, const json_t *pull, const char *kind, const json_t *data, const char *type, json_t *shown,
		       struct err *err)
{
	AUTO_JSON owned = shown;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    run_pull_in(runs, &tx, json_text(pull, "run", NULL), json_number(pull, "number", 0), kind, data, type,
			json_incref(owned), err) ||
	    store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

/* Then its words say which repository they are about. */
static bool pull_is_of_several(struct runs *runs, const json_t *pull)
{
	AUTO_RUN run = {0};
	AUTO_PARTS parts = {.count = 0};
	bool several;

	return !parts_of_pull(runs, pull, &run, &parts, &several, NULL) && several;
}

int runs_pull_review(struct runs *runs, int64_t number, const char *author, const char *kind, const char *text, struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);
	AUTO_JSON data = json_object();
	json_t *shown = json_object();

	json_set_bytes(data, "author", view_of(author));
	json_set_bytes(data, "kind", view_of(kind));
	event_text_set(data, "text", view_of(text));
	if (pull && pull_is_of_several(runs, pull))
		(void)json_object_set(data, "repository", json_member(pull, "repository"));
	(void)json_object_update(shown, data);
	if (!pull || forge_review(runs->forge, number, author, kind, text, NULL, err)) {
		json_decref(shown);
		return -1;
	}
	return pull_signal(runs, pull, "review", data, "message", shown, err);
}

/* At the code host it is done already. A delivery that says so, too, finds nothing changed. */
static int pull_ended_there(struct runs *runs, const json_t *pull, bool merged, const char *author, struct err *err)
{
	const char *kind = merged ? "merged" : "closed";
	int64_t number = json_number(pull, "number", 0);
	AUTO_JSON data = json_object();
	bool changed;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    forge_builtin_end_in(&tx, number, merged, json_text(pull, "head", ""), &changed, err) ||
	    (changed && run_pull_in(runs, &tx, json_text(pull, "run", NULL), number, kind, data, "note",
				    json_pack("{s:o}", "text", json_sprintf("%s by %s", kind, author)), err)) ||
	    store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

static int merge_one(struct runs *runs, const json_t *pull, const char *author, struct err *err)
{
	int64_t number = json_number(pull, "number", 0);
	AUTO_JSON data = json_object();
	struct git_hash merged;
	bool there = false;

	if (forge_state_of(pull) == FORGE_OPEN && remote_pull_merge(runs, pull, &there, err))
		return -1;
	if (there)
		return pull_ended_there(runs, pull, true, author, err);
	return forge_merge(runs->forge, number, &merged, err) ||
			       pull_signal(runs, pull, "merged", data, "note",
					   json_pack("{s:o}", "text", json_sprintf("merged by %s as %.12s", author, merged.text)),
					   err)
		       ? -1
		       : 0;
}

int pull_merge_one(struct runs *runs, int64_t number, const char *author, struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);

	if (!pull)
		return -1;
	if (forge_state_of(pull) == FORGE_CLOSED)
		return err_set(err, ERR_DENIED, "pull request %lld is closed", (long long)number);
	return forge_state_of(pull) == FORGE_MERGED ? 0 : merge_one(runs, pull, author, err);
}

json_t *runs_pull_merge(struct runs *runs, int64_t number, const char *author, bool force, struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);
	AUTO_RUN run = {0};
	AUTO_PARTS parts = {.count = 0};
	const char *verdict = json_text(pull, "verdict", NULL);
	bool several;

	if (!pull || parts_of_pull(runs, pull, &run, &parts, &several, err))
		return NULL;
	if (forge_state_of(pull) == FORGE_OPEN && !force && (!verdict || strcmp(verdict, "verified") != 0)) {
		(void)err_set(err, ERR_CONFLICT, "pull request %lld is not verified (%s): merging it needs `force`",
			      (long long)number, verdict ? verdict : "no verdict");
		return NULL;
	}
	if (several && forge_state_of(pull) == FORGE_OPEN ? parts_merge(runs, &run, &parts, author, force, err)
							  : merge_one(runs, pull, author, err))
		return NULL;
	return runs_pull_show(runs, number, err);
}

int runs_pull_close(struct runs *runs, int64_t number, struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);
	AUTO_JSON data = json_object();
	bool there = false;

	if (!pull || (forge_state_of(pull) == FORGE_OPEN && remote_pull_close(runs, pull, &there, err)))
		return -1;
	if (there)
		return pull_ended_there(runs, pull, false, "a person", err);
	if (forge_close(runs->forge, number, err))
		return -1;
	return pull_signal(runs, pull, "closed", data, "note", json_pack("{s:s}", "text", "the pull request was closed"), err);
}
