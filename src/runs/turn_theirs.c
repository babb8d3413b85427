/*
 * What people pushed to the run's branch at a code host is in the workspace before the agent works again.
 *
 * Theory of operation: the branch there is fetched, and when it has what the run's head has not, the two are one commit from then on: theirs, if it follows
 * ours, else a merge. The workspace gets it first (environment_import() may be done again) and the run's head is stored then, with what the agent is told.
 * So the next push only goes forward. What cannot be merged stays as it is on both sides: the agent is told, and, once, whoever looks at the pull request.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/remote.h"
#include "runs/turn_priv.h"

#define LOOK_TRIES 3 /* a host that is away does not keep the agent from working */
#define PROMPT_BYTES_MAX ((size_t)4 << 20)

struct theirs {
	struct turn *turn;
	struct place place;
	char *path;
	char *ref; /* of what is fetched */
	struct git_hash commit;
	struct git_hash ours;
	struct git_hash both;
};

static void theirs_fini(struct theirs *theirs)
{
	place_fini(&theirs->place);
	free(theirs->path);
	free(theirs->ref);
}
#define AUTO_THEIRS __attribute__((cleanup(theirs_fini))) struct theirs

static int is_ancestor(const char *path, const struct git_hash *a, const struct git_hash *b, bool *is, struct err *err)
{
	int status = 0;

	if (git_run(path, (const char *const[]){"merge-base", "--is-ancestor", a->text, b->text, NULL}, NULL, &status, err))
		return -1;
	*is = status == 0;
	return 0;
}

/* The prompt of this turn and of what repeats it: what is told of a commit is told once. */
static int told(struct theirs *theirs, const char *text, const struct git_hash *head, struct err *err)
{
	struct turn *turn = theirs->turn;
	struct run *run = turn->run;
	const char *prompt = run->prompt ? run->prompt : "";
	AUTO_FREE char *whole = strstr(prompt, theirs->commit.text) ? text_copy(prompt) : text_format("%s\n%s\n", prompt, text);
	AUTO_TX tx = {0};

	if (store_begin(turn->runs->store, &tx, err) || flow_visit_held(&tx, turn->visit, err) ||
	    run_write(&tx, run->id, "prompt = ?, head = ?", VALUES(V((const char *)whole), V(head->text)), err) ||
	    /* A reviewer is not told that others' commits are an answer. */
	    store_run(&tx, "UPDATE pull_thread SET head = ? WHERE run = ? AND repository = ? AND state = 'given' AND head = ?",
		      VALUES(V(head->text), V(run->id), V(run->repository), V(theirs->ours.text)), err))
		return -1;
	return store_commit(&tx, err) || run_load(turn->runs, turn->visit->id, run, err) ? -1 : 0;
}

static int clash_note(struct theirs *theirs, const char *why, struct err *err)
{
	struct runs *runs = theirs->turn->runs;
	const struct run *run = theirs->turn->run;
	AUTO_FREE char *name = text_format("%s:clash:%.40s", run->id, theirs->commit.text);
	AUTO_BUF text = buf_new(REMOTE_BODY_BYTES_MAX);
	int64_t number = 0;
	AUTO_TX tx = {0};

	buf_add_format(
		&text,
		"%.40s, which was pushed to this branch, cannot be joined with what I made. I go on without it, and nothing of it is "
		"lost; what I make cannot be pushed here until one of the two gives way. ",
		theirs->commit.text);
	prompt_fence(&text, "What git says", view_of(why));
	if (buf_finish(&text, err) || store_begin(runs->store, &tx, err) ||
	    remote_pull_number(&tx, run->pull, &number, NULL, err) ||
	    (number && remote_note_in(runs, &tx, &theirs->place, true, number, name, text.at, err)))
		return -1;
	return store_commit(&tx, err);
}

static int clash_tell(struct theirs *theirs, const char *why, struct err *err)
{
	const struct run *run = theirs->turn->run;
	AUTO_BUF text = buf_new(PROMPT_BYTES_MAX);

	event_note(theirs->turn->runs, run->id, "%.12s, which was pushed to %s, cannot be joined with the work here: %.300s",
		   theirs->commit.text, run->branch, why);
	buf_add_format(
		&text,
		"Somebody pushed %s to the branch of your pull request. It could not be joined with your work, and is not in "
		"/workspace: change as little as you can of the files that are named here, and say that a person has to decide.\n",
		theirs->commit.text);
	prompt_fence(&text, "What git says", view_of(why));
	return buf_finish(&text, err) || clash_note(theirs, why, err) || told(theirs, text.at, &theirs->ours, err) ? -1 : 0;
}

static int join_tell(struct theirs *theirs, struct err *err)
{
	const struct run *run = theirs->turn->run;
	AUTO_FREE char *branch = text_format("refs/heads/%s", run->branch);
	AUTO_FREE char *text = text_format(
		"Somebody pushed %s to the branch of your pull request. It is in /workspace now, with your work: "
		"look at what it changed (`git diff %.12s %.12s`) and keep it.",
		theirs->commit.text, theirs->ours.text, theirs->both.text);

	if (git_ref_set(theirs->path, branch, &theirs->both, NULL, err) || told(theirs, text, &theirs->both, err))
		return -1;
	event_note(theirs->turn->runs, run->id, "%.12s, which was pushed to %s, is in the workspace", theirs->commit.text,
		   run->branch);
	return 0;
}

/* Theirs follows ours, or both have something of their own. */
static int join(struct theirs *theirs, struct err *err)
{
	struct turn *turn = theirs->turn;
	struct err why = {0};
	bool forward = false;

	if (is_ancestor(theirs->path, &theirs->ours, &theirs->commit, &forward, err))
		return -1;
	theirs->both = theirs->commit;
	if ((!forward && git_merge(theirs->path, &theirs->ours, &theirs->commit, "Joined with what was pushed to the branch\n",
				   &theirs->both, &why)) ||
	    environment_import(turn->runs->options.environments, turn->env, &theirs->ours, &theirs->both, &why)) {
		if (why.kind == ERR_CONFLICT)
			return clash_tell(theirs, why.text, err);
		if (why.kind == ERR_RETRY || why.kind == ERR_CANCELLED) {
			*err = why;
			return -1;
		}
		/* A full disk, say: nobody has to give way for that. It is looked at again before the next turn. */
		event_note(turn->runs, turn->run->id,
			   "%.12s, which was pushed to %s, could not be brought into the workspace: %.300s", theirs->commit.text,
			   turn->run->branch, why.text);
		return 0;
	}
	return join_tell(theirs, err);
}

/* *there: is it known what the branch is there? */
static int look(struct theirs *theirs, bool *there, struct err *err)
{
	struct turn *turn = theirs->turn;
	AUTO_FREE char *branch = text_format("refs/heads/%s", turn->run->branch);
	struct err why = {0};

	*there = !place_load(turn->runs, turn->run->repository, &theirs->place, &why) &&
		 !place_fetch(turn->runs, &theirs->place, branch, theirs->ref, &theirs->commit, &why);
	if (*there)
		return 0;
	if (why.kind == ERR_CANCELLED || (why.kind == ERR_RETRY && turn->visit->tries < LOOK_TRIES)) {
		*err = why;
		return -1;
	}
	event_note(turn->runs, turn->run->id, "whether somebody pushed to %s could not be looked at: %.300s", turn->run->branch,
		   why.text);
	return 0;
}

static int is_at_host(const struct turn *turn, bool *found, struct err *err)
{
	AUTO_PLACE place = {0};
	AUTO_TX tx = {0};

	return store_begin_snapshot(turn->runs->store, &tx, err) || place_find(&tx, turn->run->repository, &place, found, err) ? -1
															       : 0;
}

int turn_theirs_take(struct turn *turn, struct err *err)
{
	const struct run *run = turn->run;
	AUTO_THEIRS theirs = {.turn = turn,
			      .path = repository_path(turn->runs, run->repository),
			      .ref = text_format("refs/assay/theirs/%s", run->id)};
	bool there = false;
	bool known = false;

	if (!run->published || !run->head || run->joined)
		return 0;
	if (is_at_host(turn, &there, err) || (there && look(&theirs, &there, err)))
		return -1;
	if (!there)
		return 0;
	if (run_hash(run->head, &theirs.ours, err) || is_ancestor(theirs.path, &theirs.commit, &theirs.ours, &known, err))
		return -1;
	return known ? 0 : join(&theirs, err);
}
