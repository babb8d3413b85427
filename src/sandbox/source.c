/*
 * Prepared checkouts as layers.
 *
 * Theory of operation. "tree/<digest>" is a commit, checked out in its own small repository that holds what is reachable from it and
 * nothing newer. When the blueprint has setup commands it lies over "deps/<digest>": what those commands left behind besides the
 * commit's own files (node_modules and the like), known by the commands and the lock files, so that most commits share one. When
 * services are built in it, "built/<digest>" lies over both, so that a fork starts programs and compiles nothing. All are made inside
 * builders: git, and everything that the repository says to run, never runs on the host.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "sandbox/beside.h"
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

enum step_kind { STEP_DEPS, STEP_TREE, STEP_BUILT };

static const char *const step_names[] = {
	[STEP_DEPS] = "install dependencies",
	[STEP_TREE] = "check out",
	[STEP_BUILT] = "build",
};

struct bundling {
	const char *repository;
	const struct git_hash *commit;
	int result;
	struct err err;
};

static void bundle_serve(void *self, int fd)
{
	struct bundling *bundling = self;

	bundling->result = git_bundle_write(bundling->repository, bundling->commit, fd, &bundling->err);
}

static int checkout(struct environment *builder, struct member *workspace, struct err *err)
{
	struct bundling bundling = {.repository = builder->repository, .commit = &builder->commit};
	const char *argv[] = {"sh", "-c", checkout_script, "sh", builder->commit.text, NULL};
	struct environment_exec exec = {.argv = argv, .timeout_ms = BUILD_LIMIT_MS};
	struct beside beside = {.serve = bundle_serve, .self = &bundling};
	int result;

	if (beside_begin(&beside, true, err))
		return -1;
	exec.input_fd = beside.program_end;
	result = member_run_checked(builder, workspace, &exec, "cannot check the commit out", err);
	beside_end(&beside);
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

bool source_builds(const struct service *service)
{
	return (service->build.shell || service->build.argv) && !service->image;
}

/* The services' builds, one after the other, where the agent's will run too: in the workspace, with the service's variables. */
static int services_build(struct environment *builder, struct member *workspace, struct progress progress, struct err *err)
{
	for (size_t i = 0; i < builder->blueprint->service_count; i++) {
		const struct service *service = &builder->blueprint->services[i];
		AUTO_FREE char *dir = text_format(WORKSPACE_PATH "/%s", service->dir ? service->dir : ".");
		AUTO_FREE char *what = text_format("build %s", service->name);
		const char *held[4];
		struct environment_exec exec = {.argv = command_argv(&service->build, held),
						.env = &service->env,
						.dir = dir,
						.timeout_ms = BUILD_LIMIT_MS,
						.cancelled = progress.cancelled};

		if (source_builds(service) && member_run_checked(builder, workspace, &exec, what, err))
			return -1;
	}
	return 0;
}

/* Builds one of the three kinds, over `below` if that is not NULL. */
static int build(struct environments *all, const struct builder_spec *spec, const char *name, const char *below,
		 enum step_kind step, struct progress progress, struct err *err)
{
	AUTO_BUILDER builder = builder_begin(all, spec, err);
	AUTO_JSON meta = json_pack("{s:s, s:s}", "commit", spec->commit->text, "repository", spec->repository);
	struct member *workspace = builder ? member_find(builder, WORKSPACE_MEMBER) : NULL;

	if (!builder || builder_member_make(builder, workspace, below, err) ||
	    (step != STEP_BUILT && checkout(builder, workspace, err)) ||
	    (step == STEP_DEPS && setup_run(builder, workspace, progress, err)) ||
	    (step == STEP_BUILT && services_build(builder, workspace, progress, err)))
		return -1;
	member_unmake(builder, workspace);
	return builder_commit(builder, workspace, name, meta, err);
}

/* Makes the layer unless it exists; other threads that want the same one wait. */
static int ensure(struct environments *all, const struct builder_spec *spec, const char *name, const char *below,
		  enum step_kind step, struct progress progress, struct err *err)
{
	int64_t began_ms;
	bool exists = false;
	int result;

	environments_once_begin(all, name);
	result = layer_exists(all, name, &exists, err);
	if (result == 0 && !exists) {
		began_ms = elapsed_ms(all);
		step_report(progress, step_names[step], "", -1);
		result = build(all, spec, name, below, step, progress, err);
		if (result == 0)
			step_report(progress, step_names[step], "", elapsed_ms(all) - began_ms);
	}
	environments_once_end(all, name);
	return result;
}

/* The name of the layer with the services built over `tree`, or NULL when there is nothing to build. */
static char *built_name(const char *tree, const struct blueprint *blueprint)
{
	AUTO_BUF key = buf_new((size_t)1 << 20);
	bool any = false;

	buf_add_format(&key, "%s\n", tree);
	for (size_t i = 0; i < blueprint->service_count; i++) {
		const struct service *service = &blueprint->services[i];

		if (!source_builds(service))
			continue;
		any = true;
		buf_add_format(&key, "%s %s\n", service->name, service->dir);
		command_add(&key, &service->build);
		for (size_t j = 0; j < service->env.count; j++)
			buf_add_format(&key, "%s=%s\n", service->env.at[j].name, service->env.at[j].value);
	}
	return any ? text_format("built/%.*s", DIGEST_KEPT, digest_of(buf_view(&key)).text) : NULL;
}

char *source_layer(struct environments *all, const char *repository, const struct git_hash *commit, const char *blueprint_text,
		   bool built, struct progress progress, struct err *err)
{
	struct builder_spec spec = {repository, commit, blueprint_text};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", err);
	AUTO_FREE char *deps = NULL;
	AUTO_FREE char *tree = NULL;
	AUTO_FREE char *whole = NULL;
	bool failed = false;

	if (!blueprint)
		return NULL;
	deps = deps_name(repository, commit, blueprint, &failed, err);
	if (failed || (deps && ensure(all, &spec, deps, NULL, STEP_DEPS, progress, err)))
		return NULL;
	tree = text_format("tree/%.40s%s%.12s", commit->text, deps ? "-" : "", deps ? deps + strlen("deps/") : "");
	if (ensure(all, &spec, tree, deps, STEP_TREE, progress, err))
		return NULL;
	whole = built ? built_name(tree, blueprint) : NULL;
	if (whole && ensure(all, &spec, whole, tree, STEP_BUILT, progress, err))
		return NULL;
	return whole ? TAKE(whole) : TAKE(tree);
}
