/*
 * The way of work out of a sandbox. git runs inside, as the sandbox's user, with whatever configuration is there; the host takes a
 * pack from a pipe, checks every object, and nothing else of the sandbox is read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/beside.h"
#include "sandbox/environment_priv.h"

#define PACK_BYTES_MAX ((int64_t)512 << 20)
#define EXPORT_LIMIT_MS 300000

/* What interpreters and test runners leave beside the code is no work, also where nobody told git to ignore it.
 * $1 is the base. The index is a copy, so that what the agent has staged stays as it is. A commit of the agent's own that descends
 * from the base is kept as history; anything else is put on the base as one commit. Prints the commit. */
static const char commit_script[] =
	"set -e\n"
	"cd " WORKSPACE_PATH "\n"
	"git config --global --get-all safe.directory >/dev/null 2>&1 || git config --global safe.directory '*'\n"
	"dir=$(git rev-parse --absolute-git-dir)\n"
	"index=$(mktemp)\n"
	"caches=$(mktemp)\n"
	"trap 'rm -f \"$index\" \"$caches\"' EXIT\n"
	"{ cat \"$(git config --get --type=path core.excludesFile || echo \"${XDG_CONFIG_HOME:-$HOME/.config}/git/ignore\")\" 2>/dev/null || :; printf '%s\\n' __pycache__/ .pytest_cache/ "
	".mypy_cache/ .ruff_cache/ .tox/ .nyc_output/; } >\"$caches\"\n"
	"if [ -f \"$dir/index\" ]; then cp \"$dir/index\" \"$index\"; else rm -f \"$index\"; fi\n"
	"export GIT_INDEX_FILE=\"$index\"\n"
	"git -c core.hooksPath=/dev/null -c core.excludesFile=\"$caches\" add -A\n"
	"tree=$(git write-tree)\n"
	"parent=$1\n"
	"if git merge-base --is-ancestor \"$1\" HEAD 2>/dev/null; then parent=$(git rev-parse HEAD); fi\n"
	"if [ \"$tree\" = \"$(git rev-parse \"$parent^{tree}\")\" ]; then echo \"$parent\"; exit 0; fi\n"
	"git commit-tree \"$tree\" -p \"$parent\" -F -\n";

static const char pack_script[] = "cd " WORKSPACE_PATH " && printf '%s\\n' \"$1\" \"^$2\" | "
				  "git -c pack.threads=1 pack-objects --thin --stdout --revs --quiet\n";

static const struct variables identity = {
	.at =
		(struct name_value[]){
			{(char[]){"GIT_AUTHOR_NAME"}, (char[]){"Assay"}},
			{(char[]){"GIT_AUTHOR_EMAIL"}, (char[]){"assay@localhost"}},
			{(char[]){"GIT_COMMITTER_NAME"}, (char[]){"Assay"}},
			{(char[]){"GIT_COMMITTER_EMAIL"}, (char[]){"assay@localhost"}},
		},
	.count = 4,
};

static int commit_make(struct environment *env, struct member *workspace, const struct git_hash *base, const char *message,
		       struct git_hash *head, struct err *err)
{
	const char *argv[] = {"sh", "-c", commit_script, "sh", base->text, NULL};
	AUTO_BUF output = buf_new(4096);
	AUTO_BUF errors = buf_new((size_t)1 << 20);
	struct environment_exec exec = {.argv = argv,
					.env = &identity,
					.timeout_ms = EXPORT_LIMIT_MS,
					.input = view_of(message[0] ? message : "Work of the agent\n"),
					.output = &output,
					.errors = &errors};

	if (member_run_checked(env, workspace, &exec, "cannot commit the work", err))
		return -1;
	return git_hash_parse(view_trim(buf_view(&output)), head, err);
}

struct taking {
	const char *repository;
	const char *ref;
	const struct git_hash *head;
	const struct git_hash *base;
	int result;
	struct err err;
};

static void take_serve(void *self, int fd)
{
	struct taking *taking = self;

	taking->result = git_pack_take(taking->repository, fd, taking->head, taking->base, taking->ref, PACK_BYTES_MAX,
				       &taking->err);
}

/* The pack flows from git in the sandbox to git on the host while both run. */
static int pack_move(struct environment *env, struct member *workspace, const struct git_hash *base, const struct git_hash *head,
		     const char *ref, struct err *err)
{
	const char *argv[] = {"sh", "-c", pack_script, "sh", head->text, base->text, NULL};
	struct taking taking = {.repository = env->repository, .ref = ref, .head = head, .base = base};
	AUTO_BUF errors = buf_new((size_t)1 << 20);
	struct environment_exec exec = {.argv = argv, .timeout_ms = EXPORT_LIMIT_MS, .errors = &errors};
	struct exit_status status = {EXIT_GONE, 0};
	struct err problem = {0};
	struct beside beside = {.serve = take_serve, .self = &taking};
	int result;

	if (beside_begin(&beside, false, err))
		return -1;
	exec.output_fd = beside.program_end;
	result = member_run(env, workspace, &exec, &status, &problem);
	beside_end(&beside);
	if (taking.result || result) {
		/* What arrived was no pack because the workspace went away: that says more. */
		if (err)
			*err = taking.result && problem.kind != ERR_RETRY ? taking.err : problem;
		return -1;
	}
	if (status.reason != EXIT_CODE || status.code)
		return err_set(err, ERR_BROKEN, "git in the workspace cannot pack the work: %.*s",
			       (int)(errors.length < 300 ? errors.length : 300), errors.length ? errors.at : "");
	return 0;
}

int environment_export(struct environments *environments, struct env_id id, const struct git_hash *base, const char *ref,
		       const char *message, struct git_hash *head, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct member *workspace;
	int result;

	if (!env || environment_awake(env, err) || environment_lock(env, err))
		return -1;
	workspace = member_find(env, WORKSPACE_MEMBER);
	result = workspace->made ? commit_make(env, workspace, base, message, head, err)
				 : err_set(err, ERR_CONFLICT, "the workspace of %s is not there now", env->name);
	if (result == 0 && strcmp(head->text, base->text) != 0)
		result = pack_move(env, workspace, base, head, ref, err);
	environment_unlock(env);
	return result ? err_prefix(err, "environment %s", env->name) : 0;
}
