/*
 * The user's checkout.
 *
 * Theory of operation: git in a checkout obeys what is in it: filters, fsmonitor programs, hooks. To ask whether the work tree differs
 * from a commit, a bare repository of our own is made for a moment, which borrows the checkout's objects and a copy of its index; git
 * then runs with our configuration only.
 */
#include "cli/checkout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/git.h"
#include "base/scope.h"

#define INDEX_BYTES_MAX ((size_t)256 << 20)
#define STATUS_BYTES_MAX ((size_t)64 << 10)

char *checkout_find(const char *dir, struct err *err)
{
	AUTO_FREE char *at = realpath(dir ? dir : ".", NULL);
	AUTO_FREE char *start = text_copy(at);

	if (!at) {
		(void)err_errno(err, errno, "%s", dir ? dir : "the current directory");
		return NULL;
	}
	for (;;) {
		AUTO_FREE char *git = text_format("%s/.git", strcmp(at, "/") == 0 ? "" : at);
		char *slash = strrchr(at, '/');

		if (file_exists(git))
			return TAKE(at);
		if (strcmp(at, "/") == 0)
			break;
		slash[slash == at ? 1 : 0] = '\0';
	}
	(void)err_set(err, ERR_INVALID, "%s is not in a git checkout: run this in one, or say --repo DIR", start);
	return NULL;
}

/* Our repository with the checkout's objects and index in it, at `commit`. Made by hand: `git init` would be one process more. */
static int mirror_make(const char *mirror, const char *git, const char *commit, struct err *err)
{
	AUTO_BUF bytes = buf_new(INDEX_BYTES_MAX);
	AUTO_FREE char *head = text_format("%s/HEAD", mirror);
	AUTO_FREE char *refs = text_format("%s/refs", mirror);
	AUTO_FREE char *commit_line = text_format("%s\n", commit);
	AUTO_FREE char *index = text_format("%s/index", git);
	AUTO_FREE char *index_copy = text_format("%s/index", mirror);
	AUTO_FREE char *alternates = text_format("%s/objects/info/alternates", mirror);
	AUTO_FREE char *info = text_format("%s/objects/info", mirror);
	AUTO_FREE char *objects = text_format("%s/objects\n", git);

	if (file_read(index, &bytes, err) || file_make_dirs(info, 0700, err) || file_make_dirs(refs, 0700, err) ||
	    file_replace(head, view_of(commit_line), 0600, err))
		return -1;
	if (file_replace(index_copy, buf_view(&bytes), 0600, err))
		return -1;
	return file_replace(alternates, view_of(objects), 0600, err);
}

bool checkout_changed(const char *top, const char *commit)
{
	char mirror[] = "/tmp/assay-index-XXXXXX";
	AUTO_FREE char *git = text_format("%s/.git", top);
	AUTO_FREE char *tree = text_format("--work-tree=%s", top);
	const char *compare[] = {"-c",           "core.bare=false",     tree, "status", "--porcelain", "--untracked-files=no",
				 "--no-renames", "--ignore-submodules", NULL};
	AUTO_BUF output = buf_new(STATUS_BYTES_MAX);
	struct err problem = {0};
	bool changed = false;

	if (!file_is_dir(git) || !mkdtemp(mirror))
		return false;
	if (!mirror_make(mirror, git, commit, NULL)) {
		/* More than fits is a change too. */
		bool failed = git_run(mirror, compare, &(struct process_spec){.output = &output}, NULL, &problem);

		changed = output.length && (!failed || problem.kind == ERR_LIMIT);
	}
	if (file_remove_tree(mirror, NULL))
		fprintf(stderr, "assay: %s could not be removed\n", mirror);
	return changed;
}

json_t *checkout_put(struct api *api, const char *program, const char *top, const char *revision, const char *name, bool move,
		     struct err *err)
{
	AUTO_JSON body = json_pack("{s:s, s:s}", "path", top, "revision", revision ? revision : "HEAD");
	AUTO_JSON answer = NULL;

	if (!body) {
		(void)err_set(err, ERR_INVALID, "%s: the path is not UTF-8", top);
		return NULL;
	}
	if (name)
		(void)json_object_set_new(body, "name", json_string(name));
	if (!move)
		(void)json_object_set_new(body, "move", json_false());
	answer = api_post(api, "/repositories", body, err);
	if (answer && !revision && checkout_changed(top, json_text(answer, "commit", "")))
		fprintf(stderr, "%s: %s has changes that are not committed; they are left out\n", program, top);
	return TAKE(answer);
}
