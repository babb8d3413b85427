/* Several repositories as one tree, and back. Commits are written as bytes: their time is that of what they are made of, so that they are repeatable. */
#include "base/git_join.h"

#include "base/scope.h"

#define COMMIT_BYTES_MAX ((size_t)1 << 20)
#define LISTING_BYTES_MAX ((size_t)64 << 10)
#define JOINED_MESSAGE "Several repositories, each in its folder\n"

/* Runs and parses the single hash it prints. */
static int hash_of(const char *repository, const char *const *args, struct view input, struct git_hash *hash, struct err *err)
{
	AUTO_BUF out = buf_new(4096);

	if (git_run(repository, args, &(struct process_spec){.input = input, .output = &out}, NULL, err))
		return -1;
	return git_hash_parse(view_trim(buf_view(&out)), hash, err);
}

static int commit_write(const char *repository, const struct buf *text, struct git_hash *commit, struct err *err)
{
	return buf_finish(text, err) ||
			       hash_of(repository, (const char *const[]){"hash-object", "-t", "commit", "-w", "--stdin", NULL},
				       buf_view(text), commit, err)
		       ? -1
		       : 0;
}

static void people_add(struct buf *text, uint64_t seconds)
{
	buf_add_format(text, "author Assay <assay@localhost> %llu +0000\ncommitter Assay <assay@localhost> %llu +0000\n\n",
		       (unsigned long long)seconds, (unsigned long long)seconds);
}

/* When the commit was made, in seconds. */
static int time_of(const char *repository, const struct git_hash *commit, uint64_t *seconds, struct err *err)
{
	AUTO_BUF out = buf_new(4096);

	if (git_run(repository,
		    (const char *const[]){"show", "--no-patch", "--no-show-signature", "--format=%ct", commit->text, NULL},
		    &(struct process_spec){.output = &out}, NULL, err))
		return -1;
	return view_to_u64(view_trim(buf_view(&out)), seconds)
		       ? 0
		       : err_set(err, ERR_INVALID, "commit %.12s has no time that can be used", commit->text);
}

static int side_bring(const char *joined, const struct git_side *side, struct err *err)
{
	AUTO_FREE char *ref = text_format("refs/assay/side/%s", side->commit.text);
	struct git_hash there;

	if (!git_resolve(joined, ref, &there, NULL))
		return 0;
	return git_fetch_local(joined, side->repository, side->commit.text, ref, &there, err);
}

int git_join(const char *joined, const struct git_side *sides, size_t count, const char *file, struct view text,
	     struct git_hash *commit, struct err *err)
{
	AUTO_BUF entries = buf_new(LISTING_BYTES_MAX);
	AUTO_BUF parents = buf_new(LISTING_BYTES_MAX);
	AUTO_BUF whole = buf_new(COMMIT_BYTES_MAX);
	struct git_hash object;
	uint64_t latest = 0;

	if (git_repository_make(joined, err) ||
	    hash_of(joined, (const char *const[]){"hash-object", "-w", "--stdin", NULL}, text, &object, err))
		return -1;
	buf_add_format(&entries, "100644 blob %s\t%s\n", object.text, file);
	for (size_t i = 0; i < count; i++) {
		uint64_t seconds;

		if (side_bring(joined, &sides[i], err) || git_tree_of(joined, &sides[i].commit, &object, err) ||
		    time_of(joined, &sides[i].commit, &seconds, err))
			return err_prefix(err, "%s", sides[i].name);
		buf_add_format(&entries, "040000 tree %s\t%s\n", object.text, sides[i].name);
		buf_add_format(&parents, "parent %s\n", sides[i].commit.text);
		latest = seconds > latest ? seconds : latest;
	}
	if (buf_finish(&entries, err) || hash_of(joined, (const char *const[]){"mktree", NULL}, buf_view(&entries), &object, err))
		return -1;
	buf_add_format(&whole, "tree %s\n%s", object.text, parents.at);
	people_add(&whole, latest);
	buf_add_text(&whole, JOINED_MESSAGE);
	return commit_write(joined, &whole, commit, err);
}

/* The tree in the side's folder; an empty one when the folder is not there. */
static int folder_tree(const char *joined, const struct git_hash *whole, const char *name, struct git_hash *tree, struct err *err)
{
	AUTO_BUF entry = buf_new(LISTING_BYTES_MAX);
	struct view rest;

	if (git_run(joined, (const char *const[]){"ls-tree", "-z", "--full-tree", whole->text, "--", name, NULL},
		    &(struct process_spec){.output = &entry}, NULL, err))
		return -1;
	if (!entry.length)
		return hash_of(joined, (const char *const[]){"mktree", NULL}, VIEW(""), tree, err);
	if (!view_starts(buf_view(&entry), VIEW("040000 tree ")))
		return err_set(err, ERR_INVALID, "`%s` is no folder of files any more: it was replaced, or made a repository",
			       name);
	return git_hash_parse(view_cut(view_make(entry.at + 12, entry.length - 12), '\t', &rest), tree, err);
}

int git_split(const char *joined, const struct git_hash *whole, const struct git_side *side, const char *ref, const char *message,
	      struct git_hash *commit, struct err *err)
{
	AUTO_BUF text = buf_new(COMMIT_BYTES_MAX);
	struct git_hash before;
	struct git_hash tree;
	uint64_t seconds;

	if (folder_tree(joined, whole, side->name, &tree, err) || git_tree_of(side->repository, &side->commit, &before, err))
		return -1;
	if (strcmp(tree.text, before.text) == 0) {
		*commit = side->commit;
		return 0;
	}
	if (time_of(joined, whole, &seconds, err))
		return -1;
	buf_add_format(&text, "tree %s\nparent %s\n", tree.text, side->commit.text);
	people_add(&text, seconds);
	buf_add_text(&text, message);
	if (side_bring(joined, side, err) || commit_write(joined, &text, commit, err))
		return -1;
	return git_fetch_local(side->repository, joined, commit->text, ref, commit, err);
}
