/*
 * git: the host's git, only on bare repositories of our own, with no configuration but ours: no hooks, no filters, no helpers, no
 * external diff, no lazy fetches, every incoming object checked. It is never run in a work tree and never in a repository that
 * a sandbox or a user's checkout can write. Blocks.
 */
#ifndef ASSAY_BASE_GIT_H
#define ASSAY_BASE_GIT_H

#include "base/json.h"
#include "base/process.h"

struct git_hash {
	char text[65]; /* 40 or 64 lower-case hexadecimal digits */
};

MUST_USE int git_hash_parse(struct view text, struct git_hash *hash, struct err *err);

/* Makes (or checks) the bare repository. */
MUST_USE int git_repository_make(const char *repository, struct err *err);

/* Runs `git <args…>` in the bare repository; args end with NULL. `io` may be NULL or give input, output, errors, timeout_ms and
 * descriptors (argv, env and dir are set here). With `status` NULL any exit code but 0 is an error. */
MUST_USE int git_run(const char *repository, const char *const *args, const struct process_spec *io, int *status, struct err *err);

MUST_USE int git_resolve(const char *repository, const char *revision, struct git_hash *commit, struct err *err);
MUST_USE int git_tree_of(const char *repository, const struct git_hash *commit, struct git_hash *tree, struct err *err);
/* The bytes of one file of a commit; ERR_NOT_FOUND when it is not there (a symlink or a folder counts as not there). */
MUST_USE int git_file_read(const char *repository, const struct git_hash *commit, const char *path, struct buf *out,
			   struct err *err);
/* Fetches `revision` of a user's repository (a path) as `ref` here. Nothing of that repository's hooks or configuration runs. */
MUST_USE int git_fetch_local(const char *repository, const char *from_path, const char *revision, const char *ref,
			     struct git_hash *commit, struct err *err);
/* Takes a pack (git pack-objects --thin --stdout) from a descriptor, hostile bytes: checks every object, its connectivity, and at
 * most bytes_max; then points `ref` at `commit`, which must descend from `base`. */
MUST_USE int git_pack_take(const char *repository, int pack_fd, const struct git_hash *commit, const struct git_hash *base,
			   const char *ref, int64_t bytes_max, struct err *err);
/* The other way: what `commit` has and `base`, which who takes it has, has not. */
MUST_USE int git_pack_write(const char *repository, const struct git_hash *commit, const struct git_hash *base, int fd,
			    struct err *err);
/* A bundle of everything reachable from `commit`, as refs/heads/main, written to a descriptor. */
MUST_USE int git_bundle_write(const char *repository, const struct git_hash *commit, int fd, struct err *err);
/*
 * Another repository over HTTP(S), as a code host has it. `header` ("Authorization: …", NULL: none) goes to git by its environment, is in no file
 * and no argument, and is sent nowhere else: redirects are not followed. ERR_DENIED: it was refused; ERR_RETRY: no answer, or 429 or 5xx.
 */
struct git_remote {
	const char *url;
	const char *header;
};
/* As git_fetch_local. `revision` is a branch, a tag, a ref or a hash. */
MUST_USE int git_fetch_remote(const char *repository, const struct git_remote *remote, const char *revision, const char *ref,
			      struct git_hash *commit, struct err *err);
/* Of an error of these: was it the credential itself that was refused, and not what it may not do? */
bool git_is_unauthorized(const struct err *err);
/* Branch := commit there, when it is `old` there, which nobody can change meanwhile (NULL: when it only goes forward, or is new). Already so, or
 * with more on top of it, is no error: the answer to an earlier try was lost. ERR_CONFLICT: somebody else has moved it, or it is gone. */
MUST_USE int git_push_remote(const char *repository, const struct git_remote *remote, const char *branch,
			     const struct git_hash *commit, const struct git_hash *old, struct err *err);
/* What a branch is there; ERR_NOT_FOUND: it is not. */
MUST_USE int git_remote_branch(const char *repository, const struct git_remote *remote, const char *branch, struct git_hash *commit,
			       struct err *err);
/* Exactly this ref, and not found only when it is not there: whatever else keeps it from being read is an error. */
MUST_USE int git_ref_find(const char *repository, const char *ref, struct git_hash *commit, bool *found, struct err *err);
/* refs/x := commit, when it still is `old` (NULL: whatever it is; of no digits: when there is none). */
MUST_USE int git_ref_set(const char *repository, const char *ref, const struct git_hash *commit, const struct git_hash *old,
			 struct err *err);
/* Every ref that is called so, or below it: "refs/x/y". None is no error. */
MUST_USE int git_refs_remove(const char *repository, const char *name, struct err *err);
/* Is `a` the commit `b`, or in its history? */
MUST_USE int git_is_ancestor(const char *repository, const struct git_hash *a, const struct git_hash *b, bool *is, struct err *err);
/* Three-way merge without a work tree; ERR_CONFLICT names the first conflicting files. */
MUST_USE int git_merge(const char *repository, const struct git_hash *into, const struct git_hash *from, const char *message,
		       struct git_hash *merged, struct err *err);
/* What `from` changed since `base`, as one commit on `onto`, which none of it is in the history of; `onto` itself when that changes nothing.
 * ERR_CONFLICT as of git_merge(). */
MUST_USE int git_carry(const char *repository, const struct git_hash *from, const struct git_hash *base,
		       const struct git_hash *onto, const char *message, struct git_hash *carried, struct err *err);
/* Unified diff, no external programs, at most out's maximum (what is over is cut at a line, and said). */
MUST_USE int git_diff(const char *repository, const struct git_hash *base, const struct git_hash *head, struct buf *out,
		      struct err *err);
/* [{"path": …, "status": "A|M|D|R|T", "old_path"?: …, "added": n, "removed": n, "mode": "100644", "blob": hash of
 * what it is now, zeros when it is gone}]; owned by the caller. */
json_t *git_changes(const char *repository, const struct git_hash *base, const struct git_hash *head, struct err *err);

#endif
