/*
 * Prepared checkouts as layers.
 *
 * Theory of operation. "tree/<digest>" is a commit, checked out in its own small repository that holds what is reachable from it and
 * nothing newer. When the blueprint has setup commands it lies over "deps/<digest>": what those commands left behind besides the
 * commit's own files (node_modules and the like), known by the commands and the lock files, so that most commits share one. Both are
 * made inside builders: git, and everything that the repository says to run, never runs on the host.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "sandbox/environment_priv.h"

#define LISTING_MAX ((size_t)64 << 20)
#define DIGEST_KEPT 32

static const char *const lock_files[] = {
	"Cargo.lock",          "Gemfile.lock",      "Pipfile.lock",       "bun.lock",       "bun.lockb",       "composer.lock",
	"conan.lock",          "deno.lock",         "flake.lock",         "go.sum",         "gradle.lockfile", "mix.lock",
	"npm-shrinkwrap.json", "package-lock.json", "packages.lock.json", "pnpm-lock.yaml", "poetry.lock",     "pubspec.lock",
	"requirements.txt",    "uv.lock",           "yarn.lock",
};

/* $1 is the commit, its bundle is on standard input. Statistics that change with every copy do not count as changes. */
static const char checkout_script[] = "set -e\n"
				      "cd " WORKSPACE_PATH "\n"
				      "git init --quiet --template= --initial-branch=main .\n"
				      "git config core.checkStat minimal\n"
				      "git config core.trustctime false\n"
				      "git config gc.auto 0\n"
				      "git config user.name Assay\n"
				      "git config user.email assay@localhost\n"
				      "cat >/tmp/bundle\n"
				      "git fetch --quiet --no-tags /tmp/bundle \"refs/assay/bundle/$1\"\n"
				      "rm -f /tmp/bundle .git/FETCH_HEAD\n"
				      "git checkout --quiet --force -B main \"$1\"\n";

/* Leaves what setup has made, and nothing of the commit. */
static const char strip_script[] = "set -e\n"
				   "cd " WORKSPACE_PATH "\n"
				   "git ls-files -z | xargs -0 -r rm -f --\n"
				   "rm -rf .git\n";

struct bundling {
	const char *repository;
	const struct git_hash *commit;
	int fd;
	int result;
	struct err err;
};

static void *bundle_run(void *self)
{
	struct bundling *bundling = self;

	bundling->result = git_bundle_write(bundling->repository, bundling->commit, bundling->fd, &bundling->err);
	(void)close(bundling->fd);
	return NULL;
}

static int checkout(struct environment *builder, struct member *workspace, struct err *err)
{
	struct bundling bundling = {.repository = builder->repository, .commit = &builder->commit};
	const char *argv[] = {"sh", "-c", checkout_script, "sh", builder->commit.text, NULL};
	struct environment_exec exec = {.argv = argv, .timeout_ms = BUILD_LIMIT_MS};
	AUTO_CLOSE int read_end = -1;
	pthread_t thread;
	int ends[2];
	int result;

	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, ERR_RETRY, "cannot make a pipe");
	read_end = ends[0];
	bundling.fd = ends[1];
	if (pthread_create(&thread, NULL, bundle_run, &bundling)) {
		(void)close(ends[1]);
		return err_set(err, ERR_RETRY, "cannot start a thread");
	}
	exec.input_fd = read_end;
	result = member_run_checked(builder, workspace, &exec, "cannot check the commit out", err);
	scope_close(&read_end);
	read_end = -1;
	(void)pthread_join(thread, NULL);
	if (bundling.result && err)
		*err = bundling.err;
	return result || bundling.result ? -1 : 0;
}

static bool is_lock(const struct blueprint *blueprint, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < blueprint->workspace.lock.count; i++)
		if (strcmp(blueprint->workspace.lock.at[i], path) == 0)
			return true;
	for (size_t i = 0; !blueprint->workspace.lock.count && i < ARRAY_LEN(lock_files); i++)
		if (strcmp(lock_files[i], name) == 0)
			return true;
	return false;
}

/* "<mode> blob <hash>\t<path>" of each lock file; the commit's whole tree when there is none. */
static int locks_add(struct buf *key, const char *repository, const struct git_hash *commit, const struct blueprint *blueprint,
		     struct err *err)
{
	AUTO_BUF listing = buf_new(LISTING_MAX);
	struct git_hash tree;
	struct view rest;
	bool found = false;

	if (git_run(repository, (const char *const[]){"ls-tree", "-r", "-z", "--full-tree", commit->text, NULL},
		    &(struct process_spec){.output = &listing}, NULL, err))
		return -1;
	for (rest = buf_view(&listing); rest.length;) {
		struct view entry = view_cut(rest, '\0', &rest);
		struct view path;

		(void)view_cut(entry, '\t', &path);
		if (!path.at)
			continue;
		AUTO_FREE char *name = view_copy(path);

		if (is_lock(blueprint, name)) {
			buf_add_view(key, entry);
			buf_add_char(key, '\n');
			found = true;
		}
	}
	if (found)
		return 0;
	if (git_tree_of(repository, commit, &tree, err))
		return -1;
	buf_add_text(key, tree.text);
	return 0;
}

static void command_add(struct buf *key, const struct command *command)
{
	if (command->shell)
		buf_add_format(key, "sh %s", command->shell);
	for (char **word = command->argv; !command->shell && word && *word; word++)
		buf_add_format(key, "%s%c", *word, '\x1f');
	buf_add_char(key, '\n');
}

/* The name of the layer of dependencies, or NULL when there is nothing to set up. *failed tells an error from that. */
static char *deps_name(const char *repository, const struct git_hash *commit, const struct blueprint *blueprint, bool *failed,
		       struct err *err)
{
	AUTO_BUF key = buf_new((size_t)1 << 20);

	*failed = false;
	if (!blueprint->workspace.setup_count)
		return NULL;
	for (size_t i = 0; i < blueprint->workspace.setup_count; i++)
		command_add(&key, &blueprint->workspace.setup[i]);
	for (size_t i = 0; i < blueprint->workspace.env.count; i++)
		buf_add_format(&key, "%s=%s\n", blueprint->workspace.env.at[i].name, blueprint->workspace.env.at[i].value);
	*failed = locks_add(&key, repository, commit, blueprint, err) || buf_finish(&key, err);
	return *failed ? NULL : text_format("deps/%.*s", DIGEST_KEPT, digest_of(buf_view(&key)).text);
}

static int setup_run(struct environment *builder, struct member *workspace, struct progress progress, struct err *err)
{
	const char *strip[] = {"sh", "-c", strip_script, NULL};
	struct environment_exec exec = {.timeout_ms = BUILD_LIMIT_MS, .cancelled = progress.cancelled};

	for (size_t i = 0; i < builder->blueprint->workspace.setup_count; i++) {
		const struct command *command = &builder->blueprint->workspace.setup[i];
		const char *held[4];
		AUTO_FREE char *what = text_format("workspace.setup `%s`", command->shell ? command->shell : command->argv[0]);

		exec.argv = command_argv(command, held);
		if (member_run_checked(builder, workspace, &exec, what, err))
			return -1;
	}
	exec.argv = strip;
	return member_run_checked(builder, workspace, &exec, "cannot keep what workspace.setup made", err);
}

/* Builds one of the two kinds, over `below` if that is not NULL. */
static int build(struct environments *all, const struct builder_spec *spec, const char *name, const char *below, bool setup,
		 struct progress progress, struct err *err)
{
	AUTO_BUILDER builder = builder_begin(all, spec, err);
	AUTO_JSON meta = json_pack("{s:s, s:s}", "commit", spec->commit->text, "repository", spec->repository);
	struct member *workspace = builder ? member_find(builder, WORKSPACE_MEMBER) : NULL;

	if (!builder || builder_member_make(builder, workspace, below, err) || checkout(builder, workspace, err) ||
	    (setup && setup_run(builder, workspace, progress, err)))
		return -1;
	member_unmake(builder, workspace);
	return builder_commit(builder, workspace, name, meta, err);
}

/* Makes the layer unless it exists; other threads that want the same one wait. */
static int ensure(struct environments *all, const struct builder_spec *spec, const char *name, const char *below, bool setup,
		  struct progress progress, struct err *err)
{
	const char *step = setup ? "install dependencies" : "check out";
	int64_t began_ms;
	bool exists = false;
	int result;

	environments_once_begin(all, name);
	result = layer_exists(all, name, &exists, err);
	if (result == 0 && !exists) {
		began_ms = elapsed_ms(all);
		step_report(progress, step, "", -1);
		result = build(all, spec, name, below, setup, progress, err);
		if (result == 0)
			step_report(progress, step, "", elapsed_ms(all) - began_ms);
	}
	environments_once_end(all, name);
	return result;
}

char *source_layer(struct environments *all, const char *repository, const struct git_hash *commit, const char *blueprint_text,
		   struct progress progress, struct err *err)
{
	struct builder_spec spec = {repository, commit, blueprint_text};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", err);
	AUTO_FREE char *deps = NULL;
	AUTO_FREE char *name = NULL;
	bool failed = false;

	if (!blueprint)
		return NULL;
	deps = deps_name(repository, commit, blueprint, &failed, err);
	if (failed || (deps && ensure(all, &spec, deps, NULL, true, progress, err)))
		return NULL;
	name = text_format("tree/%.40s%s%.12s", commit->text, deps ? "-" : "", deps ? deps + strlen("deps/") : "");
	if (ensure(all, &spec, name, deps, false, progress, err))
		return NULL;
	return TAKE(name);
}
