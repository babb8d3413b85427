/*
 * The pull requests of a run: one for each repository in which it changed something, all of them or none.
 *
 * Theory of operation. They were proven together, so they are decided together. Who merges one on our pages merges all, in the order of the run's
 * repositories, after each was tried without an effect; what was asked for is stored first (`merging`), and the run's `review` goes on with it
 * after a crash. One that is closed closes the others. At code hosts people can merge one alone: then the run waits for the others. The run is over
 * when none is open.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

/* ---- what became of them ---- */

struct count {
	size_t open;
	size_t merged;
	size_t closed;
};

static int outcome_store(struct runs *runs, const struct run *run, struct part *part, const char *outcome, struct err *err)
{
	AUTO_TX tx = {0};

	if (!run->joined || part->outcome)
		return 0;
	part->outcome = text_copy(outcome);
	if (store_begin(runs->store, &tx, err) || part_write(&tx, run, part, "outcome = ?", VALUES(V(outcome)), err))
		return -1;
	return store_commit(&tx, err);
}

static int look(struct runs *runs, const struct run *run, struct parts *parts, struct count *count, struct err *err)
{
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->at[i];
		AUTO_JSON pull = part->pull ? forge_fetch(runs->forge, part->pull, err) : NULL;
		enum forge_state state = pull ? forge_state_of(pull) : FORGE_OPEN;

		if (part->pull && !pull)
			return -1;
		count->open += pull && state == FORGE_OPEN;
		count->merged += state == FORGE_MERGED;
		count->closed += state == FORGE_CLOSED;
		if (state != FORGE_OPEN && outcome_store(runs, run, part, json_text(pull, "state", ""), err))
			return -1;
	}
	return 0;
}

/* Closed with words that say why; at its code host, too. */
static int part_close(struct runs *runs, const struct run *run, const struct part *part, const char *why, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/withdrawn/%lld", run->id, (long long)part->pull);
	AUTO_JSON pull = forge_fetch(runs->forge, part->pull, err);
	bool there = false;

	if (!pull)
		return -1;
	if (forge_state_of(pull) != FORGE_OPEN)
		return 0;
	if (forge_review(runs->forge, part->pull, "assay", "comment", why, operation, err) ||
	    remote_pull_close(runs, pull, &there, err) || forge_close(runs->forge, part->pull, err))
		return -1;
	change_add(runs, "pull", "number", V(part->pull), "closed");
	event_note(runs, run->id, "pull request %lld of %s was closed: %s", (long long)part->pull, part->repository, why);
	return 0;
}

static int others_close(struct runs *runs, const struct run *run, struct parts *parts, struct err *err)
{
	const struct part *closed = NULL;
	AUTO_FREE char *why = NULL;

	for (size_t i = 0; i < parts->count && !closed; i++)
		if (parts->at[i].outcome && strcmp(parts->at[i].outcome, "closed") == 0)
			closed = &parts->at[i];
	if (!closed)
		return 0;
	why = text_format("pull request %lld of %s, with which it was proven, was closed", (long long)closed->pull,
			  closed->repository);
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->at[i];

		if (part->pull && !part->outcome &&
		    (part_close(runs, run, part, why, err) || outcome_store(runs, run, part, "closed", err)))
			return -1;
	}
	return 0;
}

int parts_settle(struct runs *runs, const struct run *run, struct parts *parts, struct flow_visit *visit, bool *settled,
		 struct err *later, struct err *err)
{
	struct count count = {0};
	const char *outcome;

	*settled = false;
	if (look(runs, run, parts, &count, err))
		return -1;
	if (count.closed && count.open && others_close(runs, run, parts, later)) {
		if (later->kind != ERR_CANCELLED && later->kind != ERR_BROKEN)
			return 0;
		*err = *later;
		return -1;
	}
	if (!count.closed && (count.open || !count.merged))
		return 0;
	*settled = true;
	outcome = count.closed ? "closed" : "merged";
	(void)snprintf(visit->detail, sizeof(visit->detail), "%s", outcome);
	if (count.closed && count.merged)
		event_note(runs, run->id, "%zu of its pull requests were merged, and not all", count.merged);
	visit->next = "close";
	return run_store(runs, run->id, "outcome = ?", VALUES(V(outcome)), err);
}

/* ---- merging all ---- */

int parts_of_pull(struct runs *runs, const json_t *pull, struct run *run, struct parts *parts, bool *several, struct err *err)
{
	const char *id = json_text(pull, "run", NULL);
	struct err absent = {0};

	*several = false;
	if (!id)
		return 0;
	if (run_load(runs, id, run, &absent)) { /* it is kept no longer than it has to be */
		if (absent.kind == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = absent;
		return -1;
	}
	if (parts_load(runs, run, parts, err))
		return -1;
	for (size_t i = 0; run->joined && i < parts->count; i++)
		*several = *several || parts->at[i].pull == json_number(pull, "number", 0);
	return 0;
}

/* Would it merge, and was it proven as it is now? What only the code host can tell is told there. */
static int part_try(struct runs *runs, const struct part *part, bool force, struct err *err)
{
	AUTO_FREE char *path = repository_path(runs, part->repository);
	AUTO_JSON pull = forge_fetch(runs->forge, part->pull, err);
	AUTO_FREE char *target = pull ? text_format("refs/heads/%s", json_text(pull, "target", "main")) : NULL;
	struct git_hash into;
	struct git_hash head;
	struct git_hash merged;

	if (!pull)
		return -1;
	if (forge_state_of(pull) != FORGE_OPEN)
		return 0;
	if (!force && strcmp(json_text(pull, "verdict", ""), "verified") != 0)
		return err_set(err, ERR_CONFLICT,
			       "nothing is merged: pull request %lld of %s is not verified: merging it needs `force`",
			       (long long)part->pull, part->repository);
	if (git_hash_parse(view_of(json_text(pull, "head", "")), &head, err) || git_resolve(path, target, &into, err) ||
	    git_merge(path, &into, &head, "Would it merge?\n", &merged, err))
		return err_prefix(err, "nothing is merged: pull request %lld of %s", (long long)part->pull, part->repository);
	return 0;
}

/* It will not be merged as it is. */
static bool is_final(const struct err *err)
{
	return err->kind == ERR_CONFLICT || err->kind == ERR_DENIED || err->kind == ERR_INVALID || err->kind == ERR_NOT_FOUND;
}

/* What cannot be merged is told to whoever asked, and nobody goes on with it. */
static int merge_all(struct runs *runs, const struct run *run, const struct parts *parts, const char *author, struct err *err)
{
	for (size_t i = 0; i < parts->count; i++)
		if (parts->at[i].pull && !parts->at[i].outcome && pull_merge_one(runs, parts->at[i].pull, author, err)) {
			struct err now = {0};

			if (is_final(err) && run_store(runs, run->id, "merging = NULL", NO_VALUES, &now))
				*err = now;
			return err_prefix(err, "%s", parts->at[i].repository);
		}
	return 0;
}

/* The run hears of it, too: it goes on with what we do not finish. */
static int merging_store(struct runs *runs, const struct run *run, const char *author, struct err *err)
{
	AUTO_JSON data = json_pack("{s:s}", "author", author);
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_write(&tx, run->id, "merging = ?", VALUES(V(author)), err) ||
	    (!run_is_over(run) && flow_signal(runs->flow, &tx, run->id, "merge", data, err)))
		return -1;
	return store_commit_synced(&tx, err);
}

int parts_merge(struct runs *runs, const struct run *run, const struct parts *parts, const char *author, bool force,
		struct err *err)
{
	struct err own = {0};
	int result = 0;

	if (strcmp(run->state, "publish") == 0) /* some of them may be as they were proven before, some as they are now */
		result = err_set(&own, ERR_RETRY, "its pull requests are being published: try again in a moment");
	for (size_t i = 0; i < parts->count && !result; i++)
		result = parts->at[i].pull && !parts->at[i].outcome ? part_try(runs, &parts->at[i], force, &own) : 0;
	if (!result)
		result = merging_store(runs, run, author, &own);
	if (!result)
		result = merge_all(runs, run, parts, author, &own);
	if (result && err)
		*err = own;
	return result;
}

int parts_merge_on(struct runs *runs, const struct run *run, const struct parts *parts, struct err *err)
{
	struct err own = {0};

	if (!run->merging || !merge_all(runs, run, parts, run->merging, &own))
		return 0;
	if (!is_final(&own)) {
		*err = own;
		return -1;
	}
	event_note(runs, run->id, "not all could be merged, as %s wanted: %s", run->merging, own.text);
	return 0;
}

/* ---- undoing ---- */

/* Closes its pull request, unless a person merged it meanwhile: then it stays. */
static int part_withdraw(struct runs *runs, const struct run *run, struct part *part, bool *undone, struct err *err)
{
	AUTO_JSON pull = NULL;

	if (part_close(runs, run, part, "the pull requests that belong to it could not be made", err))
		return -1;
	pull = forge_fetch(runs->forge, part->pull, err);
	if (!pull)
		return -1;
	if (forge_state_of(pull) == FORGE_MERGED)
		return outcome_store(runs, run, part, "merged", err);
	*undone = true;
	return 0;
}

int parts_unpublish(struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_PARTS parts = {.count = 0};
	AUTO_FREE char *branch = text_format("%s-again", run->branch ? run->branch : "");
	bool whole = true;
	bool undone = false;
	AUTO_TX tx = {0};

	if (!run->joined || parts_load(runs, run, &parts, err))
		return run->joined ? -1 : 0;
	for (size_t i = 0; i < parts.count; i++)
		whole = whole && (parts.at[i].pull || !part_is_changed(&parts.at[i]));
	for (size_t i = 0; i < parts.count && !whole; i++) {
		struct part *part = &parts.at[i];

		if (part->pull && !part->published && !part->outcome && part_withdraw(runs, run, part, &undone, err))
			return -1;
	}
	if (!undone)
		return 0;
	/* Whoever tries again makes new ones, on a branch that has none. */
	if (store_begin(runs->store, &tx, err) || run_write(&tx, run->id, "branch = ?, pull = NULL", VALUES(V(branch)), err) ||
	    store_run(&tx, "UPDATE run_part SET pull = NULL WHERE run = ? AND published IS NULL AND outcome IS NULL",
		      VALUES(V(run->id)), err))
		return -1;
	return store_commit(&tx, err);
}

/* ---- what is shown ---- */

void parts_body(struct buf *out, const struct runs *runs, const struct parts *parts)
{
	buf_add_text(
		out,
		"\n### One change in several repositories\n\nThey were proven together, in this order; one without the others was not. "
		"Merging one on Assay's page merges all, as far as that goes: it is no transaction.\n\n"
		"| repository | pull request | base | head |\n|---|---|---|---|\n");
	for (size_t i = 0; i < parts->count; i++) {
		const struct part *part = &parts->at[i];

		buf_add_format(out, "| %s | ", part->repository);
		if (part->pull)
			buf_add_format(out, "[%lld](%s/pulls/%lld)", (long long)part->pull, runs->pages_base,
				       (long long)part->pull);
		else
			buf_add_text(out, part_is_changed(part) ? "" : "unchanged");
		buf_add_format(out, " | `%.12s` | `%.12s` |\n", part->base ? part->base : "",
			       part->head   ? part->head
			       : part->base ? part->base
					    : "");
	}
}

json_t *part_report(const json_t *report, const struct part *part)
{
	json_t *own = json_deep_copy(report);
	AUTO_FREE char *folder = text_format("%s/", part->repository);
	size_t index;
	json_t *finding;

	json_array_foreach(json_member(own, "findings"), index, finding) {
		const char *file = json_text(finding, "file", "");

		if (strncmp(file, folder, strlen(folder)) == 0)
			(void)json_object_set_new(finding, "file", json_string(file + strlen(folder)));
		else if (*file)
			(void)json_object_del(finding, "file");
	}
	return own;
}
