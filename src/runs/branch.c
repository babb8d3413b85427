/*
 * What a run's branch at a code host was when we last knew it.
 *
 * Theory of operation: the ref moves after what it is about was done: a push was answered, or what was fetched is in the run's head. Until then it is
 * told again, which changes nothing. It only moves from what it was read as, so that a turn and a push, which are of two threads or two control planes,
 * do not undo what the other knows. Why: doc/adr/0064-what-is-taken-back-stays-so.md.
 */
#include "runs/branch.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

static char *seen_ref(const struct branch *branch)
{
	return text_format("refs/assay/seen/%s/%s", branch->run, branch->name);
}

int branch_seen(const struct branch *branch, struct git_hash *seen, struct err *err)
{
	AUTO_FREE char *ref = seen_ref(branch);
	bool found = false;

	memset(seen, 0, sizeof(*seen));
	return git_ref_find(branch->path, ref, seen, &found, err);
}

int branch_see(const struct branch *branch, const struct git_hash *before, const struct git_hash *now, struct err *err)
{
	AUTO_FREE char *ref = seen_ref(branch);
	struct git_hash there = {0};
	struct err why = {0};

	if (strcmp(before->text, now->text) == 0 || !git_ref_set(branch->path, ref, now, before, &why))
		return 0;
	if (why.kind == ERR_CONFLICT) { /* somebody was faster, or it could not be written */
		if (branch_seen(branch, &there, err))
			return -1;
		if (strcmp(there.text, before->text) != 0)
			return 0;
		why.kind = ERR_RETRY;
	}
	if (err)
		*err = why;
	return -1;
}

int branch_news(const struct branch *branch, const struct git_hash *seen, const struct git_hash *there, const struct git_hash *ours,
		enum branch_news *news, struct err *err)
{
	bool onward = true;
	bool held = false;
	bool known = false;

	if (*seen->text &&
	    (git_is_ancestor(branch->path, seen, there, &onward, err) || git_is_ancestor(branch->path, seen, ours, &held, err)))
		return -1;
	if (git_is_ancestor(branch->path, there, ours, &known, err))
		return -1;
	*news = !onward && held ? BRANCH_BACK : known ? BRANCH_KNOWN : BRANCH_MORE;
	return 0;
}

int branch_push_check(const struct branch *branch, const struct git_hash *seen, const struct git_hash *newest,
		      const struct git_hash *head, struct err *err)
{
	bool follows = true;
	bool current = true;

	if ((*seen->text && git_is_ancestor(branch->path, seen, head, &follows, err)) ||
	    (*newest->text && git_is_ancestor(branch->path, head, newest, &current, err)))
		return -1;
	if (!current)
		return err_set(err, ERR_DENIED, "the run went on without %.12s", head->text);
	return follows ? 0
		       : err_set(err, ERR_DENIED, "%s was %.12s there, which %.12s does not follow", branch->name, seen->text,
				 head->text);
}

int branch_keep(const struct branch *branch, const struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *ref = text_format("refs/assay/taken/%s/%s", branch->run, commit->text);

	return git_ref_set(branch->path, ref, commit, NULL, err);
}

int branches_forget(const char *path, const char *run, struct err *err)
{
	static const char *const kinds[] = {"seen", "taken", "theirs"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO_FREE char *name = text_format("refs/assay/%s/%s", kinds[i], run);

		if (git_refs_remove(path, name, err))
			return -1;
	}
	return 0;
}
