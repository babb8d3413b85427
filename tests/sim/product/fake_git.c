/*
 * Git as src/runs and the built-in forge use it, in memory: one file, app.txt, beside the blueprint. In a commit of several repositories it is
 * all of theirs, with a bar between: "good 1|good 1".
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/git_join.h"
#include "base/scope.h"
#include "outside.h"

#define HASH_DIGITS 40

struct commit {
	char hash[65];
	int parents[2];
	char content[64];
};

static struct commit commits[COMMITS_MAX];
static int commit_count;
static struct {
	char name[128]; /* "shop:refs/heads/main" */
	int commit;
} refs[REFS_MAX];
static int ref_count;

static const char blueprint[] = "version: 1\nname: shop\nservices:\n  web: {run: x, port: 80}\n"
				"verify: {attempts: 3}\nagent: {use: command, run: agent, format: jsonl, candidates: %d}\n";

void git_reset(void)
{
	commit_count = ref_count = 0;
	git_ref_put("shop", "refs/heads/main", git_commit_make(NULL, NULL, "base"));
	git_ref_put("lib", "refs/heads/main", git_commit_make(NULL, NULL, "base"));
}

/* "/tmp/…/lib.git" is called lib. */
static char *name_of(const char *repository)
{
	const char *slash = strrchr(repository, '/');
	struct view name = view_of(slash ? slash + 1 : repository);

	if (view_ends(name, VIEW(".git")))
		name.length -= 4;
	return view_copy(name);
}

static int find(const char *hash)
{
	for (int i = 0; i < commit_count; i++)
		if (strcmp(commits[i].hash, hash) == 0)
			return i;
	return -1;
}

const char *git_commit_make(const char *parent, const char *other, const char *content)
{
	struct commit *commit = &commits[commit_count];

	if (commit_count == COMMITS_MAX)
		broken("too many commits");
	(void)snprintf(commit->hash, sizeof(commit->hash), "%08x%032x", (unsigned)commit_count * 2654435761u,
		       (unsigned)commit_count);
	commit->parents[0] = parent ? find(parent) : -1;
	commit->parents[1] = other ? find(other) : -1;
	(void)snprintf(commit->content, sizeof(commit->content), "%s", content);
	commit_count++;
	return commit->hash;
}

static int ref_find(const char *repository, const char *name)
{
	AUTO_FREE char *folder = name_of(repository);
	AUTO_FREE char *whole = text_format("%s:%s", folder, name);

	for (int i = 0; i < ref_count; i++)
		if (strcmp(refs[i].name, whole) == 0)
			return i;
	return -1;
}

void git_ref_put(const char *repository, const char *name, const char *hash)
{
	AUTO_FREE char *folder = name_of(repository);
	int at = ref_find(repository, name);

	if (at < 0)
		at = ref_count++;
	if (at >= REFS_MAX)
		broken("too many refs");
	(void)snprintf(refs[at].name, sizeof(refs[at].name), "%s:%s", folder, name);
	refs[at].commit = find(hash);
}

const char *git_ref(const char *repository, const char *name)
{
	int at = ref_find(repository, name);

	return at < 0 ? NULL : commits[refs[at].commit].hash;
}

const char *git_content(const char *hash)
{
	int at = find(hash);

	return at < 0 ? "" : commits[at].content;
}

static bool reaches(int from, int to)
{
	if (from < to || from < 0) /* parents come first */
		return false;
	return from == to || reaches(commits[from].parents[0], to) || reaches(commits[from].parents[1], to);
}

bool git_holds(const char *main, const char *hash)
{
	return find(hash) >= 0 && reaches(find(main), find(hash));
}

const char *git_main(const char *repository)
{
	return outside.github ? github_main(repository) : git_ref(repository, "refs/heads/main");
}

int git_parents_merged(const char *repository, const char *head)
{
	int main = find(git_main(repository));
	int count = 0;

	for (int i = 0; i < commit_count; i++)
		count += commits[i].parents[1] == find(head) && reaches(main, i);
	return count;
}

/* ---- base/git.h ---- */

int git_hash_parse(struct view text, struct git_hash *hash, struct err *err)
{
	if (text.length != HASH_DIGITS)
		return err_set(err, ERR_INVALID, "no hash");
	(void)snprintf(hash->text, sizeof(hash->text), "%.*s", (int)text.length, text.at);
	return 0;
}

int git_repository_make(const char *repository, struct err *err)
{
	return file_make_dirs(repository, 0700, err);
}

static int resolve(const char *repository, const char *revision)
{
	AUTO_FREE char *branch = text_format("refs/heads/%s", revision);
	int at = ref_find(repository, revision);

	if (at < 0)
		at = ref_find(repository, branch);
	return at < 0 ? find(revision) : refs[at].commit;
}

int git_run(const char *repository, const char *const *args, const struct process_spec *io, int *status, struct err *err)
{
	(void)io;
	if (alive_check(sim.current, err))
		return -1;
	if (strcmp(args[0], "merge-base") == 0)
		*status = !reaches(resolve(repository, args[3]), resolve(repository, args[2]));
	return 0;
}

int git_is_ancestor(const char *repository, const struct git_hash *a, const struct git_hash *b, bool *is, struct err *err)
{
	*is = reaches(resolve(repository, b->text), resolve(repository, a->text));
	return alive_check(sim.current, err);
}

int git_ref_find(const char *repository, const char *ref, struct git_hash *commit, bool *found, struct err *err)
{
	int at = ref_find(repository, ref);

	*found = at >= 0;
	if (*found)
		(void)snprintf(commit->text, sizeof(commit->text), "%s", commits[refs[at].commit].hash);
	return alive_check(sim.current, err);
}

int git_resolve(const char *repository, const char *revision, struct git_hash *commit, struct err *err)
{
	int at = resolve(repository, revision);

	if (alive_check(sim.current, err))
		return -1;
	if (at < 0)
		return err_set(err, ERR_NOT_FOUND, "no commit `%s`", revision);
	(void)snprintf(commit->text, sizeof(commit->text), "%s", commits[at].hash);
	return 0;
}

int git_file_read(const char *repository, const struct git_hash *commit, const char *path, struct buf *out, struct err *err)
{
	AUTO_FREE char *name = name_of(repository);

	if (alive_check(sim.current, err))
		return -1;
	if (strcmp(path, "assay.yaml") == 0 && strcmp(name, "lib") == 0)
		return err_set(err, ERR_NOT_FOUND, "it has no blueprint");
	if (strcmp(path, "assay.yaml") == 0)
		buf_add_format(out, blueprint, sim.candidates);
	else
		buf_add_text(out, git_content(commit->text));
	return buf_finish(out, err);
}

int git_ref_set(const char *repository, const char *ref, const struct git_hash *commit, const struct git_hash *old, struct err *err)
{
	const char *now;

	meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(60, "the ref is locked", err))
		return -1;
	now = git_ref(repository, ref);
	if (old && strcmp(now ? now : "", old->text) != 0)
		return err_set(err, ERR_CONFLICT, "%s was moved", ref);
	git_ref_put(repository, ref, commit->text);
	note("ref");
	meanwhile(sim.current);
	return alive_check(sim.current, err);
}

/* Runs are kept for longer than a world lasts. */
int git_refs_remove(const char *repository, const char *name, struct err *err)
{
	(void)repository;
	(void)name;
	return alive_check(sim.current, err);
}

int git_merge(const char *repository, const struct git_hash *into, const struct git_hash *from, const char *message,
	      struct git_hash *merged, struct err *err)
{
	(void)repository;
	(void)message;
	meanwhile(sim.current);
	if (alive_check(sim.current, err))
		return -1;
	(void)snprintf(merged->text, sizeof(merged->text), "%s", git_commit_make(into->text, from->text, git_content(from->text)));
	return 0;
}

int git_carry(const char *repository, const struct git_hash *from, const struct git_hash *base, const struct git_hash *onto,
	      const char *message, struct git_hash *carried, struct err *err)
{
	bool changed = strcmp(git_content(from->text), git_content(base->text)) != 0;

	(void)repository;
	(void)message;
	meanwhile(sim.current);
	if (alive_check(sim.current, err))
		return -1;
	*carried = *onto;
	if (changed)
		(void)snprintf(carried->text, sizeof(carried->text), "%s",
			       git_commit_make(onto->text, NULL, git_content(from->text)));
	return 0;
}

json_t *git_changes(const char *repository, const struct git_hash *base, const struct git_hash *head, struct err *err)
{
	(void)repository;
	(void)base;
	(void)head;
	return alive_check(sim.current, err) ? NULL : json_array();
}

int git_diff(const char *repository, const struct git_hash *base, const struct git_hash *head, struct buf *out, struct err *err)
{
	(void)repository;
	(void)base;
	(void)head;
	(void)out;
	return alive_check(sim.current, err);
}

static int not_here(struct err *err)
{
	return err_set(err, ERR_BROKEN, "nobody asks this of git here");
}

int git_fetch_local(const char *repository, const char *from_path, const char *revision, const char *ref, struct git_hash *commit,
		    struct err *err)
{
	(void)repository;
	(void)from_path;
	(void)revision;
	(void)ref;
	(void)commit;
	return not_here(err);
}

/* "https://github.com/acme/shop.git" is there-shop. */
static char *there(const struct git_remote *remote)
{
	AUTO_FREE char *name = name_of(remote->url);

	if (!remote->header || strncmp(remote->header, "Authorization: Basic ", 21) != 0)
		broken("git goes to %s without saying who it is", remote->url);
	return text_format("there-%s", name);
}

static int git_outside(struct err *err)
{
	meanwhile(sim.current);
	return alive_check(sim.current, err) || maybe_fails(30, "git: the remote end hung up", err) ? -1 : 0;
}

int git_fetch_remote(const char *repository, const struct git_remote *remote, const char *revision, const char *ref,
		     struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *folder = there(remote);
	const char *hash;

	if (git_outside(err))
		return -1;
	hash = git_ref(folder, revision);
	if (!hash)
		return err_set(err, ERR_NOT_FOUND, "no %s there", revision);
	(void)snprintf(commit->text, sizeof(commit->text), "%s", hash);
	git_ref_put(repository, ref, hash);
	note("fetched");
	return 0;
}

int git_push_remote(const char *repository, const struct git_remote *remote, const char *branch, const struct git_hash *commit,
		    const struct git_hash *old, struct err *err)
{
	AUTO_FREE char *folder = there(remote);
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);
	AUTO_FREE char *name = name_of(repository);
	const char *now;

	if (git_outside(err))
		return -1;
	now = git_ref(folder, ref);
	if (strcmp(now ? now : "", commit->text) != 0 &&
	    (old ? strcmp(now ? now : "", old->text) != 0 : now && !git_holds(commit->text, now)))
		return err_set(err, ERR_CONFLICT, "%s was moved", branch);
	if (now && !git_holds(commit->text, now))
		broken("a branch is pushed over what was there");
	if (!now || strcmp(now, commit->text) != 0) {
		git_ref_put(folder, ref, commit->text);
		github_pushed(name, branch);
		note("pushed");
	}
	return maybe_fails(30, "its answer was lost", err);
}

bool git_is_unauthorized(const struct err *err)
{
	(void)err;
	return false;
}

int git_remote_branch(const char *repository, const struct git_remote *remote, const char *branch, struct git_hash *commit,
		      struct err *err)
{
	(void)repository;
	(void)remote;
	(void)branch;
	(void)commit;
	return not_here(err);
}

int git_tree_of(const char *repository, const struct git_hash *commit, struct git_hash *tree, struct err *err)
{
	(void)repository;
	*tree = *commit;
	return alive_check(sim.current, err);
}

/* ---- base/git_join.h ---- */

/* The same call gives the same commit. */
static const char *commit_same(const char *parent, const char *other, const char *content)
{
	for (int i = 0; i < commit_count; i++)
		if (commits[i].parents[0] == find(parent) && commits[i].parents[1] == (other ? find(other) : -1) &&
		    strcmp(commits[i].content, content) == 0)
			return commits[i].hash;
	return git_commit_make(parent, other, content);
}

int git_join(const char *joined, const struct git_side *sides, size_t count, const char *file, struct view text,
	     struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *content = NULL;

	(void)joined;
	(void)file;
	(void)text;
	meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(60, "no room for the objects", err))
		return -1;
	if (count != 2)
		broken("%zu repositories are joined", count);
	content = text_format("%s|%s", git_content(sides[0].commit.text), git_content(sides[1].commit.text));
	(void)snprintf(commit->text, sizeof(commit->text), "%s", commit_same(sides[0].commit.text, sides[1].commit.text, content));
	return 0;
}

int git_split(const char *joined, const struct git_hash *whole, const struct git_side *side, const char *ref, const char *message,
	      struct git_hash *commit, struct err *err)
{
	struct view rest;
	struct view first = view_cut(view_of(git_content(whole->text)), '|', &rest);
	AUTO_FREE char *content = view_copy(strcmp(side->name, "shop") == 0 ? first : rest);

	(void)joined;
	(void)message;
	meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(60, "no room for the objects", err))
		return -1;
	*commit = side->commit;
	if (strcmp(content, git_content(side->commit.text)) == 0)
		return 0;
	(void)snprintf(commit->text, sizeof(commit->text), "%s", commit_same(side->commit.text, NULL, content));
	git_ref_put(side->repository, ref, commit->text);
	note(content);
	return 0;
}
