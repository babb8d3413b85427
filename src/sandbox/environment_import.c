/* The way of other people's commits into a workspace. As on the way out, git runs inside, as the sandbox's user; the host only writes a pack. */
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/beside.h"
#include "sandbox/environment_priv.h"

#define IMPORT_LIMIT_MS 300000
#define CLASH_STATUS 3
#define CLASH_BYTES_MAX 300

/* $1 is what the work tree was made a commit of last, $2 what it is to have besides; the objects are on standard input. It may be done again wherever it was
 * cut off: what is written is noted before (of which commit, from which tree, to which), and who finds such a note first writes those files, of which one may be half: to
 * the end where it is the same commit that comes, else back. Nothing is written when a file was changed on both sides. Where the agent's own
 * branch only has to go forward it does, so that what came is not shown as its changes; else its index has what came by name, which a file that is
 * ignored needs to be kept. Where $2 does not follow $1, something was taken back: the branch is $2 then, or it would bring that back with its history. */
static const char join_script[] =
	"set -e\n"
	"cd " WORKSPACE_PATH "\n"
	"git config --global --get-all safe.directory >/dev/null 2>&1 || git config --global safe.directory '*'\n"
	"git unpack-objects -q\n"
	"dir=$(git rev-parse --absolute-git-dir)\n"
	"index=$(mktemp)\n"
	"trial=$(mktemp)\n"
	"trap 'rm -f \"$index\" \"$trial\"' EXIT\n"
	"from=$(git rev-parse -q --verify refs/assay/joining/from) && to=$(git rev-parse -q --verify refs/assay/joining/to) && {\n"
	"[ \"$(git rev-parse -q --verify refs/assay/joining/of)\" = \"$2\" ] || { back=$to; to=$from; from=$back; }\n"
	"rm -f \"$trial\"; GIT_INDEX_FILE=\"$trial\" git read-tree \"$to\"\n"
	"git diff-tree -r --no-renames --name-only --diff-filter=AMT -z \"$from\" \"$to\" | GIT_INDEX_FILE=\"$trial\" git checkout-index -f -q -z --stdin\n"
	"git diff-tree -r --no-renames --name-only --diff-filter=D -z \"$from\" \"$to\" | xargs -0 -r rm -f --\n"
	"}\n"
	"for note in to from of; do git update-ref -d refs/assay/joining/$note; done\n"
	"if [ -f \"$dir/index\" ]; then cp \"$dir/index\" \"$index\"; else rm -f \"$index\"; fi\n"
	"export GIT_INDEX_FILE=\"$index\"\n"
	"git -c core.hooksPath=/dev/null add -A\n"
	"now=$(git write-tree)\n"
	"cp \"$index\" \"$trial\"\n"
	"GIT_INDEX_FILE=\"$trial\" git read-tree -i -m --aggressive \"$1\" \"$now\" \"$2\"\n"
	"clash=$(GIT_INDEX_FILE=\"$trial\" git ls-files --unmerged | cut -f 2 | sort -u)\n"
	"if [ \"$clash\" ]; then printf '%s\\n' \"$clash\"; exit 3; fi\n"
	"git update-ref refs/assay/joining/of \"$2\"\n"
	"git update-ref refs/assay/joining/from \"$now\"\n"
	"git update-ref refs/assay/joining/to \"$(GIT_INDEX_FILE=\"$trial\" git write-tree)\"\n"
	"git read-tree -m -u --aggressive \"$1\" \"$now\" \"$2\"\n"
	"unset GIT_INDEX_FILE\n"
	"for note in to from of; do git update-ref -d refs/assay/joining/$note; done\n"
	"git update-ref refs/assay/brought \"$2\"\n"
	"if git merge-base --is-ancestor HEAD \"$2\" 2>/dev/null || ! git merge-base --is-ancestor \"$1\" \"$2\" 2>/dev/null; then git -c core.hooksPath=/dev/null reset -q \"$2\"\n"
	"else git diff-tree -r --no-renames --name-only --diff-filter=AMT -z \"$1\" \"$2\" | git update-index -q --add --remove -z --stdin; fi\n";

struct giving {
	const char *repository;
	const struct git_hash *commit;
	const struct git_hash *base;
	int result;
	struct err err;
};

static void give_serve(void *self, int fd)
{
	struct giving *giving = self;

	giving->result = git_pack_write(giving->repository, giving->commit, giving->base, fd, &giving->err);
}

static int joined_check(struct exit_status status, const struct buf *output, const struct buf *errors, struct err *err)
{
	struct view files = view_trim(buf_view(output));

	if (status.reason == EXIT_CODE && !status.code)
		return 0;
	if (status.reason == EXIT_CODE && status.code == CLASH_STATUS)
		return err_set(err, ERR_CONFLICT, "the work tree has other changes in %.*s",
			       (int)(files.length < CLASH_BYTES_MAX ? files.length : CLASH_BYTES_MAX), files.at);
	return err_set(err, ERR_BROKEN, "git in the workspace cannot take commits: %.*s",
		       (int)(errors->length < CLASH_BYTES_MAX ? errors->length : CLASH_BYTES_MAX),
		       errors->length ? errors->at : "");
}

static int pack_give(struct environment *env, struct member *workspace, const struct git_hash *base, const struct git_hash *commit,
		     struct err *err)
{
	const char *argv[] = {"sh", "-c", join_script, "sh", base->text, commit->text, NULL};
	struct giving giving = {.repository = env->repository, .commit = commit, .base = base};
	AUTO_BUF output = buf_new((size_t)1 << 20);
	AUTO_BUF errors = buf_new((size_t)1 << 20);
	struct environment_exec exec = {.argv = argv, .timeout_ms = IMPORT_LIMIT_MS, .output = &output, .errors = &errors};
	struct exit_status status = {EXIT_GONE, 0};
	struct beside beside = {.serve = give_serve, .self = &giving};
	int result;

	if (beside_begin(&beside, true, err))
		return -1;
	exec.input_fd = beside.program_end;
	result = member_run(env, workspace, &exec, &status, err);
	beside_end(&beside);
	if (result)
		return -1;
	if (status.reason == EXIT_CODE && status.code) /* it says why itself; that nobody read the rest comes of it */
		return joined_check(status, &output, &errors, err);
	if (giving.result) {
		if (err)
			*err = giving.err;
		return -1;
	}
	return joined_check(status, &output, &errors, err);
}

int environment_import(struct environments *environments, struct env_id id, const struct git_hash *base,
		       const struct git_hash *commit, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct member *workspace;
	int result;

	if (!env || environment_awake(env, err) || environment_lock(env, err))
		return -1;
	workspace = member_find(env, WORKSPACE_MEMBER);
	result = workspace->made ? pack_give(env, workspace, base, commit, err)
				 : err_set(err, ERR_RETRY, "the workspace of %s is not there now", env->name);
	environment_unlock(env);
	return result ? err_prefix(err, "environment %s", env->name) : 0;
}
