/*
 * What people pushed to the run's branch at a code host is in the workspace before the agent works again.
 *
 * Theory of operation: the branch there is fetched, and when it has what the run's head has not, the two are one commit from then on: theirs, if it follows
 * ours, else a merge. The workspace gets it first (environment_import() may be done again) and the run's head is stored then, with what the agent is told.
 * So the next push only goes forward. What cannot be merged stays as it is on both sides: the agent is told, and, once, whoever looks at the pull request.
 *
 * What was there and is there no longer was taken back by a person (runs/branch.h). It goes from the run, too: its head is then what is there, with what
 * was made since and not pushed put on it as one commit. Both are told.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/branch.h"
#include "runs/remote.h"
#include "runs/turn_priv.h"

#define LOOK_TRIES 3 /* a host that is away does not keep the agent from working */
#define PROMPT_BYTES_MAX ((size_t)4 << 20)

struct theirs {
	struct turn *turn;
	struct place place;
	char *path; /* these three are what `branch` borrows: the run is loaded again */
	char *run;
	char *name;
	char *ref; /* of what is fetched */
	struct branch branch;
	enum branch_news news;
	struct git_hash seen;
	struct git_hash commit;
	struct git_hash ours;
	struct git_hash both;
};

static void theirs_fini(struct theirs *theirs)
{
	place_fini(&theirs->place);
	free(theirs->path);
	free(theirs->run);
	free(theirs->name);
	free(theirs->ref);
}
#define AUTO_THEIRS __attribute__((cleanup(theirs_fini))) struct theirs

/* The prompt of this turn and of what repeats it: what is told is told once. */
static int told(struct theirs *theirs, const char *text, const struct git_hash *head, struct err *err)
{
	struct turn *turn = theirs->turn;
	struct run *run = turn->run;
	const char *prompt = run->prompt ? run->prompt : "";
	AUTO_FREE char *whole = strstr(prompt, text) ? text_copy(prompt) : text_format("%s\n%s\n", prompt, text);
	AUTO_TX tx = {0};

	if (store_begin(turn->runs->store, &tx, err) || flow_visit_held(&tx, turn->visit, err) ||
	    run_write(&tx, run->id, "prompt = ?, head = ?", VALUES(V((const char *)whole), V(head->text)), err) ||
	    /* A reviewer is not told that others' commits are an answer. */
	    store_run(&tx, "UPDATE pull_thread SET head = ? WHERE run = ? AND repository = ? AND state = 'given' AND head = ?",
		      VALUES(V(head->text), V(run->id), V(run->repository), V(theirs->ours.text)), err))
		return -1;
	return store_commit(&tx, err) || run_load(turn->runs, turn->visit->id, run, err) ? -1 : 0;
}

static const char *how(const struct theirs *theirs)
{
	return theirs->news == BRANCH_BACK ? "to which this branch was set back" : "which was pushed to this branch";
}

/* Who looks at the pull request is told, once by `name`. */
static int note(struct theirs *theirs, const char *name, const char *text, struct err *err)
{
	struct runs *runs = theirs->turn->runs;
	const struct run *run = theirs->turn->run;
	int64_t number = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || remote_pull_number(&tx, run->pull, &number, NULL, err) ||
	    (number && remote_note_in(runs, &tx, &theirs->place, true, number, name, text, err)))
		return -1;
	return store_commit(&tx, err);
}

static int clash_note(struct theirs *theirs, const char *why, struct err *err)
{
	AUTO_FREE char *name = text_format("%s:clash:%.40s", theirs->turn->run->id, theirs->commit.text);
	AUTO_BUF text = buf_new(REMOTE_BODY_BYTES_MAX);

	buf_add_format(&text,
		       "%.40s, %s, cannot be joined with what I made. I go on without it, and nothing of it is "
		       "lost; what I make cannot be pushed here until one of the two gives way. ",
		       theirs->commit.text, how(theirs));
	prompt_fence(&text, "What git says", view_of(why));
	return buf_finish(&text, err) || note(theirs, name, text.at, err) ? -1 : 0;
}

static int clash_tell(struct theirs *theirs, const char *why, struct err *err)
{
	const struct run *run = theirs->turn->run;
	AUTO_BUF text = buf_new(PROMPT_BYTES_MAX);

	event_note(theirs->turn->runs, run->id, "%.12s, %s, cannot be joined with the work here: %.300s", theirs->commit.text,
		   how(theirs), why);
	buf_add_format(
		&text,
		"Somebody %s %s the branch of your pull request. It could not be joined with your work, and is not in "
		"/workspace: change as little as you can of the files that are named here, and say that a person has to decide.\n",
		theirs->news == BRANCH_BACK ? "took commits back, and left" : "pushed", theirs->commit.text);
	prompt_fence(&text, "What git says", view_of(why));
	return buf_finish(&text, err) || clash_note(theirs, why, err) || told(theirs, text.at, &theirs->ours, err) ? -1 : 0;
}

static int more_tell(struct theirs *theirs, struct err *err)
{
	const struct run *run = theirs->turn->run;
	AUTO_FREE char *text = text_format(
		"Somebody pushed %s to the branch of your pull request. It is in /workspace now, with your work: "
		"look at what it changed (`git diff %.12s %.12s`) and keep it.",
		theirs->commit.text, theirs->ours.text, theirs->both.text);

	if (told(theirs, text, &theirs->both, err))
		return -1;
	event_note(theirs->turn->runs, run->id, "%.12s, which was pushed to %s, is in the workspace", theirs->commit.text,
		   run->branch);
	return 0;
}

static int back_tell(struct theirs *theirs, struct err *err)
{
	const struct run *run = theirs->turn->run;
	AUTO_FREE char *name = text_format("%s:back:%.40s:%.40s", run->id, theirs->ours.text, theirs->commit.text);
	AUTO_FREE char *words = text_format(
		"This branch was set back by force: it was %.40s, and is %.40s. I take that as it is and go on from there: what was "
		"taken back is gone from my work, too, and I do not push it again. Who wants it back pushes it here.",
		theirs->seen.text, theirs->commit.text);
	AUTO_FREE char *text = text_format(
		"Somebody took back commits of the branch of your pull request: it was %.40s, and was set to %s by force. What they "
		"changed is no longer in /workspace, nor are they in its history (`git diff %.12s %.12s` shows what is different "
		"now). That was meant: do not bring it back unless you are asked to.",
		theirs->seen.text, theirs->commit.text, theirs->ours.text, theirs->both.text);

	if (note(theirs, name, words, err) || told(theirs, text, &theirs->both, err))
		return -1;
	event_note(theirs->turn->runs, run->id, "%s was set back from %.12s to %.12s: the run goes on from there", run->branch,
		   theirs->seen.text, theirs->commit.text);
	return 0;
}

/* What is unpublished of ours goes on theirs, as long as that is of this run at all. */
static int back_make(struct theirs *theirs, struct err *err)
{
	const struct run *run = theirs->turn->run;
	const char *path = theirs->branch.path;
	struct git_hash base;
	bool ours = false;

	if (run_hash(run->base, &base, err) || git_is_ancestor(path, &base, &theirs->commit, &ours, err))
		return -1;
	if (!ours)
		return err_set(err, ERR_CONFLICT, "%.12s, with which the run began, is not in its history", base.text);
	return branch_keep(&theirs->branch, &theirs->ours, err) ||
			       git_carry(path, &theirs->ours, &theirs->seen, &theirs->commit,
					 "What was not pushed yet when the branch was set back\n", &theirs->both, err)
		       ? -1
		       : 0;
}

/* Theirs follows ours, or both have something of their own. */
static int more_make(struct theirs *theirs, struct err *err)
{
	const char *path = theirs->branch.path;
	bool forward = false;

	if (git_is_ancestor(path, &theirs->ours, &theirs->commit, &forward, err))
		return -1;
	theirs->both = theirs->commit;
	return forward ? 0
		       : git_merge(path, &theirs->ours, &theirs->commit, "Joined with what was pushed to the branch\n",
				   &theirs->both, err);
}

static int brought(struct theirs *theirs, struct err *err)
{
	AUTO_FREE char *ref = text_format("refs/heads/%s", theirs->branch.name);

	if (git_ref_set(theirs->branch.path, ref, &theirs->both, NULL, err) ||
	    (theirs->news == BRANCH_BACK ? back_tell(theirs, err) : more_tell(theirs, err)))
		return -1;
	return branch_see(&theirs->branch, &theirs->seen, &theirs->commit, err);
}

static int join(struct theirs *theirs, struct err *err)
{
	struct turn *turn = theirs->turn;
	struct err why = {0};

	if (!(theirs->news == BRANCH_BACK ? back_make(theirs, &why) : more_make(theirs, &why)) &&
	    !environment_import(turn->runs->options.environments, turn->env, &theirs->ours, &theirs->both, &why))
		return brought(theirs, err);
	if (why.kind == ERR_CONFLICT)
		return clash_tell(theirs, why.text, err);
	if (why.kind == ERR_RETRY || why.kind == ERR_CANCELLED) {
		*err = why;
		return -1;
	}
	/* A full disk, say: nobody has to give way for that. It is looked at again before the next turn. */
	event_note(turn->runs, turn->run->id, "%.12s, %s, could not be brought into the workspace: %.300s", theirs->commit.text,
		   how(theirs), why.text);
	return 0;
}

/* *there: is it known what the branch is there? */
static int look(struct theirs *theirs, bool *there, struct err *err)
{
	struct turn *turn = theirs->turn;
	AUTO_FREE char *branch = text_format("refs/heads/%s", theirs->branch.name);
	struct remote_told told = {0};
	struct err why = {0};

	if (branch_seen(&theirs->branch, &theirs->seen, err))
		return -1;
	*there = !place_load(turn->runs, turn->run->repository, &theirs->place, &why) &&
		 !place_fetch(turn->runs, &theirs->place, branch, theirs->ref, &theirs->commit, &told, &why);
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
			      .run = text_copy(run->id),
			      .name = text_copy(run->branch),
			      .ref = text_format("refs/assay/theirs/%s", run->id)};
	bool there = false;

	if (!run->published || !run->head || run->joined)
		return 0;
	theirs.branch = (struct branch){theirs.path, theirs.run, theirs.name};
	if (is_at_host(turn, &there, err) || (there && look(&theirs, &there, err)))
		return -1;
	if (!there)
		return 0;
	if (run_hash(run->head, &theirs.ours, err) ||
	    branch_news(&theirs.branch, &theirs.seen, &theirs.commit, &theirs.ours, &theirs.news, err))
		return -1;
	return theirs.news == BRANCH_KNOWN ? branch_see(&theirs.branch, &theirs.seen, &theirs.commit, err) : join(&theirs, err);
}
