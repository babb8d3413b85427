/* Host git, reduced to what cannot run anybody else's code. */
#include "base/git.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"

#define ARGS_MAX 64
#define CONFLICT_LIST_MAX 200
#define ERRORS_MAX ((size_t)1 << 20)
#define KNOWN_MAX 64                       /* facts that are remembered */
#define KNOWN_BYTES_MAX ((size_t)64 << 10) /* of one */
#define REF_BYTES_MAX ((size_t)4096)

/* Nothing of the machine's or the person's git configuration is read; what could start a program is switched off. */
static const char *const git_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
				      "HOME=/nonexistent",
				      "LANG=C.UTF-8",
				      "GIT_CONFIG_NOSYSTEM=1",
				      "GIT_CONFIG_SYSTEM=/dev/null",
				      "GIT_CONFIG_GLOBAL=/dev/null",
				      "GIT_ATTR_NOSYSTEM=1",
				      "GIT_TERMINAL_PROMPT=0",
				      "GIT_ASKPASS=/bin/false",
				      "GIT_NO_LAZY_FETCH=1",
				      "GIT_NO_REPLACE_OBJECTS=1",
				      "GIT_OPTIONAL_LOCKS=0",
				      "GIT_ALLOW_PROTOCOL=file",
				      "GIT_AUTHOR_NAME=Assay",
				      "GIT_AUTHOR_EMAIL=assay@localhost",
				      "GIT_COMMITTER_NAME=Assay",
				      "GIT_COMMITTER_EMAIL=assay@localhost",
				      NULL};

static const char *const git_settings[] = {
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.fsmonitor=false",
	"-c", "core.attributesFile=/dev/null",
	"-c", "safe.directory=*",
	"-c", "transfer.fsckObjects=true",
	"-c", "fetch.recurseSubmodules=false",
	"-c", "core.pager=cat",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
	"-c", "commit.gpgSign=false",
	"-c", "merge.renames=true",
	"-c", "core.quotePath=false",
};

int git_hash_parse(struct view text, struct git_hash *hash, struct err *err)
{
	bool good = text.length == 40 || text.length == 64;

	for (size_t i = 0; good && i < text.length; i++)
		good = (text.at[i] >= '0' && text.at[i] <= '9') || (text.at[i] >= 'a' && text.at[i] <= 'f');
	if (!good)
		return err_set(err, ERR_INVALID, "`%.*s` is not a commit's hash", (int)(text.length < 70 ? text.length : 70),
			       text.at ? text.at : "");
	memset(hash->text, 0, sizeof(hash->text));
	memcpy(hash->text, text.at, text.length);
	return 0;
}

/*
 * What was found out about a commit that is named by its hash is true for ever: small answers are kept, the oldest goes first. An
 * environment of a commit seen before then starts no git at all.
 */
struct known {
	char *key;
	struct buf value;
};
static pthread_mutex_t known_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct known known[KNOWN_MAX];
static size_t known_next;

static char *known_key(const char *repository, const char *hash, const char *what)
{
	return text_format("%s\n%s\n%s", repository, hash, what);
}

static bool known_get(const char *key, struct buf *out)
{
	bool found = false;

	(void)pthread_mutex_lock(&known_mutex);
	for (size_t i = 0; i < KNOWN_MAX && !found; i++)
		if (known[i].key && strcmp(known[i].key, key) == 0) {
			buf_add_view(out, buf_view(&known[i].value));
			found = true;
		}
	(void)pthread_mutex_unlock(&known_mutex);
	return found;
}

/* Takes the key. */
static void known_put(char *key, struct view value)
{
	struct known *entry;

	if (value.length > KNOWN_BYTES_MAX) {
		free(key);
		return;
	}
	(void)pthread_mutex_lock(&known_mutex);
	entry = &known[known_next++ % KNOWN_MAX];
	free(entry->key);
	buf_fini(&entry->value);
	entry->key = key;
	entry->value = buf_new(KNOWN_BYTES_MAX);
	buf_add_view(&entry->value, value);
	(void)pthread_mutex_unlock(&known_mutex);
}

/* Of what git said the line that tells most: the first error, else what was fatal first, else the last line. */
static struct view complaint_of(struct view said)
{
	struct view rest = said;
	struct view line = {0};
	struct view fatal = {0};

	while (rest.length) {
		struct view next = view_cut(rest, '\n', &rest);

		if (next.length)
			line = next;
		if (view_starts(next, VIEW("error: ")))
			return view_make(next.at + 7, next.length - 7);
		if (!fatal.length && view_starts(next, VIEW("fatal: ")))
			fatal = view_make(next.at + 7, next.length - 7);
	}
	return fatal.length ? fatal : line;
}

static int run_in(const char *repository, const char *const *args, const struct process_spec *io, const char *const *env,
		  int *status, struct err *err)
{
	const char *argv[ARGS_MAX] = {"git"};
	AUTO_FREE char *dir = text_format("--git-dir=%s", repository);
	AUTO_BUF said = buf_new(ERRORS_MAX);
	const char *verb = args[0];
	struct process_spec spec = io ? *io : (struct process_spec){0};
	size_t count = 1;
	int code = 0;

	for (size_t i = 0; i < ARRAY_LEN(git_settings); i++)
		argv[count++] = git_settings[i];
	argv[count++] = dir;
	for (; *args; args++) {
		if (count + 1 >= ARGS_MAX)
			return err_set(err, ERR_LIMIT, "more than %d arguments for git", ARGS_MAX);
		argv[count++] = *args;
	}
	spec.argv = argv;
	spec.env = env;
	spec.dir = "/";
	if (!spec.errors)
		spec.errors = &said;
	if (process_run(&spec, &code, err))
		return err_prefix(err, "git %s", verb);
	if (status)
		*status = code;
	else if (code) {
		struct view line = complaint_of(buf_view(spec.errors));

		return err_set(err, ERR_INVALID, "git %s ended with %d: %.*s", verb, code,
			       (int)(line.length < 300 ? line.length : 300), line.at ? line.at : "");
	}
	return 0;
}

int git_run(const char *repository, const char *const *args, const struct process_spec *io, int *status, struct err *err)
{
	return run_in(repository, args, io, git_env, status, err);
}

int git_repository_make(const char *repository, struct err *err)
{
	AUTO_FREE char *head = text_format("%s/HEAD", repository);

	if (file_exists(head))
		return 0;
	if (file_make_dirs(repository, 0755, err))
		return -1;
	return git_run(repository, (const char *const[]){"init", "--quiet", "--bare", "--template=", "--initial-branch=main", NULL},
		       NULL, NULL, err);
}

/* Runs and parses the single hash it prints. */
static int hash_of(const char *repository, const char *const *args, struct git_hash *hash, struct err *err)
{
	AUTO_BUF out = buf_new(4096);

	if (git_run(repository, args, &(struct process_spec){.output = &out}, NULL, err))
		return -1;
	return git_hash_parse(view_trim(buf_view(&out)), hash, err);
}

static bool file_first_line(const char *repository, const char *name, struct buf *line)
{
	AUTO_FREE char *path = text_format("%s/%s", repository, name);

	buf_clear(line);
	if (file_read(path, line, NULL) || !line->length)
		return false;
	buf_cut(line, (size_t)(view_trim(buf_view(line)).length));
	return true;
}

/* A branch that has a file of its own is read as git would; false when git must be asked. */
static bool branch_read(const char *repository, const char *revision, struct git_hash *commit)
{
	AUTO_BUF line = buf_new(REF_BYTES_MAX);
	AUTO_FREE char *name = NULL;

	if (strcmp(revision, "HEAD") == 0) {
		if (!file_first_line(repository, "HEAD", &line) || !view_starts(buf_view(&line), VIEW("ref: refs/heads/")))
			return false;
		name = view_copy(view_make(line.at + 5, line.length - 5));
	} else {
		name = text_copy(revision);
	}
	return strncmp(name, "refs/heads/", 11) == 0 && !strstr(name, "..") && !strpbrk(name, "^~:@{} ") &&
	       file_first_line(repository, name, &line) && git_hash_parse(buf_view(&line), commit, NULL) == 0;
}

int git_resolve(const char *repository, const char *revision, struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *wanted = text_format("%s^{commit}", revision);
	AUTO_FREE char *key = NULL;
	AUTO_BUF unused = buf_new(1);

	if (branch_read(repository, revision, commit))
		return 0;
	if (git_hash_parse(view_of(revision), commit, NULL) == 0) {
		key = known_key(repository, revision, "");
		if (known_get(key, &unused))
			return 0;
	}
	if (revision[0] == '-' ||
	    hash_of(repository, (const char *const[]){"rev-parse", "--verify", "--quiet", "--end-of-options", wanted, NULL}, commit,
		    NULL))
		return err_set(err, ERR_NOT_FOUND, "no commit `%s` in the repository", revision);
	if (key)
		known_put(TAKE(key), VIEW(""));
	return 0;
}

int git_tree_of(const char *repository, const struct git_hash *commit, struct git_hash *tree, struct err *err)
{
	AUTO_FREE char *wanted = text_format("%s^{tree}", commit->text);

	return hash_of(repository, (const char *const[]){"rev-parse", "--verify", wanted, NULL}, tree, err);
}

int git_file_read(const char *repository, const struct git_hash *commit, const char *path, struct buf *out, struct err *err)
{
	AUTO_BUF entry = buf_new(8192);
	AUTO_FREE char *key = known_key(repository, commit->text, path);
	AUTO_FREE char *object = NULL;
	size_t before = out->length;
	struct view hash;
	struct view rest;

	if (known_get(key, out))
		return buf_finish(out, err);
	if (git_run(repository, (const char *const[]){"ls-tree", "-z", "--full-tree", commit->text, "--", path, NULL},
		    &(struct process_spec){.output = &entry}, NULL, err))
		return -1;
	/* 100644 blob <hash>\t<path>\0 */
	if (!view_starts(buf_view(&entry), VIEW("100644 blob ")) && !view_starts(buf_view(&entry), VIEW("100755 blob ")))
		return err_set(err, ERR_NOT_FOUND, "no file `%s` in commit %.12s", path, commit->text);
	hash = view_cut(view_make(entry.at + 12, entry.length - 12), '\t', &rest);
	object = view_copy(hash);
	if (git_run(repository, (const char *const[]){"cat-file", "blob", object, NULL}, &(struct process_spec){.output = out},
		    NULL, err))
		return err_prefix(err, "%s", path);
	known_put(TAKE(key), view_make(out->at + before, out->length - before));
	return 0;
}

/* What a person should do about a fetch that failed, where git's words do not say it. */
static int fetch_failed(const char *from, const char *revision, const struct err *why, struct err *err)
{
	if (strstr(why->text, "does not appear to be a git repository"))
		return err_set(err, ERR_NOT_FOUND, "%s is not a git repository: `git init` there, and a first commit, make it one",
			       from);
	if (strstr(why->text, "couldn't find remote ref") && strcmp(revision, "HEAD") == 0)
		return err_set(err, ERR_NOT_FOUND, "%s has no commit yet", from);
	if (strstr(why->text, "couldn't find remote ref"))
		return err_set(err, ERR_NOT_FOUND, "there is no commit, branch or tag `%s` in %s", revision, from);
	return err_set(err, why->kind, "cannot read `%s` of %s: %s", revision, from, why->text);
}

int git_fetch_local(const char *repository, const char *from_path, const char *revision, const char *ref, struct git_hash *commit,
		    struct err *err)
{
	AUTO_FREE char *from = realpath(from_path, NULL);
	AUTO_FREE char *spec = NULL;
	struct err why = {0};

	if (!from)
		return err_set(err, ERR_NOT_FOUND, "no repository at %s", from_path);
	if (revision[0] == '-' || revision[0] == '+')
		return err_set(err, ERR_INVALID, "`%s` is not a revision", revision);
	spec = text_format("+%s:%s", revision, ref);
	if (git_run(repository,
		    (const char *const[]){"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
					  "--no-recurse-submodules",
					  "--upload-pack=git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack",
					  from, spec, NULL},
		    &(struct process_spec){.timeout_ms = 600000}, NULL, &why))
		return fetch_failed(from, revision, &why, err);
	return git_resolve(repository, ref, commit, err);
}

/* ---- other repositories, over HTTP ---- */

static const char *const remote_env[] = {"GIT_ALLOW_PROTOCOL=http:https", "GIT_CONFIG_KEY_0=http.followRedirects",
					 "GIT_CONFIG_VALUE_0=false",      "GIT_CONFIG_KEY_1=credential.helper",
					 "GIT_CONFIG_VALUE_1=",           "GIT_CONFIG_KEY_2=http.lowSpeedLimit",
					 "GIT_CONFIG_VALUE_2=1",          "GIT_CONFIG_KEY_3=http.lowSpeedTime",
					 "GIT_CONFIG_VALUE_3=60"};
#define REMOTE_SETTINGS 4
#define REMOTE_TIMEOUT_MS 600000
#define UNAUTHORIZED "the host answers 401: it refuses the credential"

/* What git says of a host that did not do it. That a credential is refused is said in our words: git's are about whom it wanted to ask. */
static int remote_failed(const struct git_remote *remote, const char *verb, struct view said, struct err *err)
{
	static const struct {
		const char *words;
		enum err_kind kind;
	} rows[] = {
		{"stale info", ERR_CONFLICT},
		{"non-fast-forward", ERR_CONFLICT},
		{"fetch first", ERR_CONFLICT},
		{"couldn't find remote ref", ERR_NOT_FOUND},
		{"returned error: 403", ERR_DENIED},
		{"not found", ERR_NOT_FOUND},
		{"returned error: 404", ERR_NOT_FOUND},
		{"[remote rejected]", ERR_DENIED},
		{"pre-receive hook declined", ERR_DENIED},
	};
	static const char *const unauthorized[] = {"returned error: 401", "Authentication failed", "could not read Username"};
	AUTO_FREE char *text = view_copy(said);
	struct view line = complaint_of(said);

	for (size_t i = 0; i < ARRAY_LEN(unauthorized); i++)
		if (strstr(text, unauthorized[i]))
			return err_set(err, ERR_DENIED, "git %s %s: " UNAUTHORIZED, verb, remote->url);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strstr(text, rows[i].words))
			return err_set(err, rows[i].kind, "git %s %s: %.*s", verb, remote->url,
				       (int)(line.length < 300 ? line.length : 300), line.at ? line.at : "");
	return err_set(err, ERR_RETRY, "git %s %s: %.*s", verb, remote->url, (int)(line.length < 300 ? line.length : 300),
		       line.at ? line.at : "");
}

bool git_is_unauthorized(const struct err *err)
{
	return err->kind == ERR_DENIED && strstr(err->text, UNAUTHORIZED);
}

static int remote_run(const char *repository, const struct git_remote *remote, const char *const *args, struct buf *output,
		      struct err *err)
{
	const char *env[ARRAY_LEN(git_env) + ARRAY_LEN(remote_env) + 4];
	AUTO_FREE char *count = text_format("GIT_CONFIG_COUNT=%d", REMOTE_SETTINGS + (remote->header ? 1 : 0));
	AUTO_FREE char *value = text_format("GIT_CONFIG_VALUE_%d=%s", REMOTE_SETTINGS, remote->header ? remote->header : "");
	AUTO_BUF said = buf_new(ERRORS_MAX);
	struct process_spec spec = {.timeout_ms = REMOTE_TIMEOUT_MS, .output = output, .errors = &said};
	size_t n = 0;
	int status = 0;
	int failed;

	if (strncmp(remote->url, "https://", 8) != 0 && strncmp(remote->url, "http://", 7) != 0)
		return err_set(err, ERR_INVALID, "`%.200s` is no https:// address of a repository", remote->url);
	for (size_t i = 0; git_env[i]; i++)
		if (strncmp(git_env[i], "GIT_ALLOW_PROTOCOL=", 19) != 0)
			env[n++] = git_env[i];
	for (size_t i = 0; i < ARRAY_LEN(remote_env); i++)
		env[n++] = remote_env[i];
	env[n++] = count;
	if (remote->header) {
		env[n++] = "GIT_CONFIG_KEY_4=http.extraHeader";
		env[n++] = value;
	}
	env[n] = NULL;
	failed = run_in(repository, args, &spec, env, &status, err);
	explicit_bzero(value, strlen(value));
	if (failed)
		return -1;
	return status ? remote_failed(remote, args[0], buf_view(&said), err) : 0;
}

int git_fetch_remote(const char *repository, const struct git_remote *remote, const char *revision, const char *ref,
		     struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *spec = text_format("+%s:%s", revision, ref);

	if (revision[0] == '-' || revision[0] == '+' || strpbrk(revision, ": "))
		return err_set(err, ERR_INVALID, "`%s` is not a revision", revision);
	if (remote_run(repository, remote,
		       (const char *const[]){"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
					     "--no-recurse-submodules", remote->url, spec, NULL},
		       NULL, err))
		return -1;
	return git_resolve(repository, ref, commit, err);
}

int git_remote_branch(const char *repository, const struct git_remote *remote, const char *branch, struct git_hash *commit,
		      struct err *err)
{
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);
	AUTO_BUF out = buf_new((size_t)64 << 10);
	struct view rest;

	if (remote_run(repository, remote, (const char *const[]){"ls-remote", "--quiet", remote->url, ref, NULL}, &out, err))
		return -1;
	if (!out.length)
		return err_set(err, ERR_NOT_FOUND, "%s has no branch %s", remote->url, branch);
	return git_hash_parse(view_cut(buf_view(&out), '\t', &rest), commit, err);
}

/* Is the commit on the branch there, alone or with what somebody pushed on top? What that is, is fetched, and no ref of ours names it. */
static bool remote_has(const char *repository, const struct git_remote *remote, const char *branch, const struct git_hash *commit)
{
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);
	struct git_hash there;
	bool has = false;

	if (git_remote_branch(repository, remote, branch, &there, NULL))
		return false;
	if (strcmp(there.text, commit->text) == 0)
		return true;
	return !remote_run(repository, remote,
			   (const char *const[]){"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
						 "--no-recurse-submodules", remote->url, ref, NULL},
			   NULL, NULL) &&
	       !git_is_ancestor(repository, commit, &there, &has, NULL) && has;
}

int git_push_remote(const char *repository, const struct git_remote *remote, const char *branch, const struct git_hash *commit,
		    const struct git_hash *old, struct err *err)
{
	AUTO_FREE char *spec = text_format("%s:refs/heads/%s", commit->text, branch);
	AUTO_FREE char *lease = text_format("--force-with-lease=refs/heads/%s:%s", branch, old ? old->text : "");
	struct err why = {0};

	if (!remote_run(repository, remote,
			old ? (const char *const[]){"push", "--quiet", "--no-verify", lease, remote->url, spec, NULL}
			    : (const char *const[]){"push", "--quiet", "--no-verify", remote->url, spec, NULL},
			NULL, &why))
		return 0;
	/* A try whose answer was lost has brought it there: an earlier one, or the first of two that git's HTTP makes of one. */
	if ((why.kind == ERR_CONFLICT || why.kind == ERR_DENIED) && remote_has(repository, remote, branch, commit))
		return 0;
	if (err)
		*err = why;
	return -1;
}

int git_pack_take(const char *repository, int pack_fd, const struct git_hash *commit, const struct git_hash *base, const char *ref,
		  int64_t bytes_max, struct err *err)
{
	AUTO_FREE char *limit = text_format("--max-input-size=%lld", (long long)bytes_max);
	AUTO_FREE char *without = text_format("^%s", base->text);
	int status = 0;

	if (git_run(repository, (const char *const[]){"index-pack", "--stdin", "--fix-thin", "--strict", limit, NULL},
		    &(struct process_spec){.input_fd = pack_fd, .timeout_ms = 600000}, NULL, err))
		return err_prefix(err, "the sandbox sent a pack that is refused");
	if (git_run(repository, (const char *const[]){"rev-list", "--objects", "--quiet", commit->text, without, NULL}, NULL, NULL,
		    err))
		return err_prefix(err, "the sandbox sent commit %.12s without all of its objects", commit->text);
	if (git_run(repository, (const char *const[]){"merge-base", "--is-ancestor", base->text, commit->text, NULL}, NULL, &status,
		    err))
		return -1;
	if (status)
		return err_set(err, ERR_DENIED, "commit %.12s does not descend from %.12s", commit->text, base->text);
	return git_ref_set(repository, ref, commit, NULL, err);
}

int git_pack_write(const char *repository, const struct git_hash *commit, const struct git_hash *base, int fd, struct err *err)
{
	AUTO_FREE char *wanted = text_format("%s\n^%s\n", commit->text, base->text);

	return git_run(repository, (const char *const[]){"pack-objects", "--thin", "--stdout", "--revs", "--quiet", NULL},
		       &(struct process_spec){.input = view_of(wanted), .output_fd = fd, .timeout_ms = 600000}, NULL, err);
}

int git_bundle_write(const char *repository, const struct git_hash *commit, int fd, struct err *err)
{
	/* A bundle names refs, and only of what it holds: a throw-away one, so that nothing newer is named or sent. */
	AUTO_FREE char *ref = text_format("refs/assay/bundle/%s", commit->text);

	if (git_ref_set(repository, ref, commit, NULL, err))
		return -1;
	return git_run(repository, (const char *const[]){"bundle", "create", "--quiet", "-", ref, NULL},
		       &(struct process_spec){.output_fd = fd, .timeout_ms = 600000}, NULL, err);
}

int git_ref_set(const char *repository, const char *ref, const struct git_hash *commit, const struct git_hash *old, struct err *err)
{
	int status = 0;

	if (git_run(repository, (const char *const[]){"update-ref", ref, commit->text, old ? old->text : NULL, NULL}, NULL, &status,
		    err))
		return -1;
	if (status)
		return err_set(err, old ? ERR_CONFLICT : ERR_BROKEN, "cannot set %s to %.12s%s", ref, commit->text,
			       old ? ": it has moved" : "");
	return 0;
}

int git_ref_find(const char *repository, const char *ref, struct git_hash *commit, bool *found, struct err *err)
{
	AUTO_BUF out = buf_new((size_t)64 << 10);
	struct view rest;
	struct view name;

	*found = false;
	if (git_run(repository, (const char *const[]){"for-each-ref", "--format=%(refname) %(objectname)", ref, NULL},
		    &(struct process_spec){.output = &out}, NULL, err) ||
	    buf_finish(&out, err))
		return -1;
	/* A pattern is also of what is below it. */
	for (struct view left = buf_view(&out); left.length && !*found;) {
		name = view_cut(view_cut(left, '\n', &left), ' ', &rest);
		*found = view_equal(name, view_of(ref));
		if (*found && git_hash_parse(rest, commit, err))
			return -1;
	}
	return 0;
}

int git_refs_remove(const char *repository, const char *name, struct err *err)
{
	AUTO_BUF found = buf_new((size_t)16 << 20);

	if (git_run(repository, (const char *const[]){"for-each-ref", "--format=delete %(refname)", name, NULL},
		    &(struct process_spec){.output = &found}, NULL, err))
		return -1;
	return found.length ? git_run(repository, (const char *const[]){"update-ref", "--stdin", NULL},
				      &(struct process_spec){.input = buf_view(&found)}, NULL, err)
			    : 0;
}

int git_is_ancestor(const char *repository, const struct git_hash *a, const struct git_hash *b, bool *is, struct err *err)
{
	int status = 0;

	if (git_run(repository, (const char *const[]){"merge-base", "--is-ancestor", a->text, b->text, NULL}, NULL, &status, err))
		return -1;
	if (status > 1)
		return err_set(err, ERR_BROKEN, "git cannot tell whether %.12s is in the history of %.12s", a->text, b->text);
	*is = status == 0;
	return 0;
}

static int tree_merge(const char *repository, const struct git_hash *into, const struct git_hash *from, struct git_hash *tree,
		      struct err *err)
{
	AUTO_BUF out = buf_new((size_t)1 << 20);
	struct view rest;
	struct view first;
	int status = 0;

	if (git_run(repository,
		    (const char *const[]){"merge-tree", "--write-tree", "--name-only", "--no-messages", into->text, from->text,
					  NULL},
		    &(struct process_spec){.output = &out}, &status, err))
		return -1;
	first = view_cut(buf_view(&out), '\n', &rest);
	if (status == 1) {
		rest = view_trim(rest);
		return err_set(err, ERR_CONFLICT, "the merge conflicts in %.*s",
			       (int)(rest.length < CONFLICT_LIST_MAX ? rest.length : CONFLICT_LIST_MAX), rest.at);
	}
	if (status || git_hash_parse(view_trim(first), tree, err))
		return err_set(err, ERR_BROKEN, "git merge-tree ended with %d", status);
	return 0;
}

int git_merge(const char *repository, const struct git_hash *into, const struct git_hash *from, const char *message,
	      struct git_hash *merged, struct err *err)
{
	struct git_hash tree;

	if (tree_merge(repository, into, from, &tree, err))
		return -1;
	return hash_of(repository,
		       (const char *const[]){"commit-tree", tree.text, "-p", into->text, "-p", from->text, "-m", message, NULL},
		       merged, err);
}

/* The commit's files as if they were made of nothing but `base`: so git takes that for what both sides began with. */
static int commit_since(const char *repository, const struct git_hash *commit, const struct git_hash *base, struct git_hash *since,
			struct err *err)
{
	struct git_hash tree;

	return git_tree_of(repository, commit, &tree, err) ||
			       hash_of(repository,
				       (const char *const[]){"commit-tree", tree.text, "-p", base->text, "-m", "since", NULL},
				       since, err)
		       ? -1
		       : 0;
}

int git_carry(const char *repository, const struct git_hash *from, const struct git_hash *base, const struct git_hash *onto,
	      const char *message, struct git_hash *carried, struct err *err)
{
	struct git_hash ours;
	struct git_hash theirs;
	struct git_hash there;
	struct git_hash tree;

	if (commit_since(repository, onto, base, &theirs, err) || commit_since(repository, from, base, &ours, err) ||
	    tree_merge(repository, &theirs, &ours, &tree, err) || git_tree_of(repository, onto, &there, err))
		return -1;
	*carried = *onto;
	if (strcmp(tree.text, there.text) == 0)
		return 0;
	return hash_of(repository, (const char *const[]){"commit-tree", tree.text, "-p", onto->text, "-m", message, NULL}, carried,
		       err);
}

int git_diff(const char *repository, const struct git_hash *base, const struct git_hash *head, struct buf *out, struct err *err)
{
	AUTO_BUF all = buf_new(out->length_max);
	struct err over = {0};
	const char *newline;

	if (git_run(repository,
		    (const char *const[]){"diff", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", base->text,
					  head->text, "--", NULL},
		    &(struct process_spec){.output = &all}, NULL, &over)) {
		if (over.kind != ERR_LIMIT) {
			if (err)
				*err = over;
			return -1;
		}
		newline = all.length ? memrchr(all.at, '\n', all.length) : NULL;
		buf_add(out, all.at, newline ? (size_t)(newline - all.at) : 0);
		out->over = false;
		return 0;
	}
	buf_add_view(out, buf_view(&all));
	return 0;
}

/* One record of `--numstat -z`: "added\tremoved\tpath\0", or for renames "added\tremoved\t\0old\0new\0". */
static void numstat_apply(struct view text, json_t *changes)
{
	while (text.length) {
		struct view rest;
		struct view record = view_cut(text, '\0', &rest);
		struct view added;
		struct view removed;
		struct view path;
		uint64_t lines = 0;
		json_t *change;
		size_t index;

		added = view_cut(record, '\t', &path);
		removed = view_cut(path, '\t', &path);
		if (!path.length && rest.length) {
			(void)view_cut(rest, '\0', &rest);
			path = view_cut(rest, '\0', &rest);
		}
		json_array_foreach(changes, index, change) {
			if (!view_is(path, json_text(change, "path", "")))
				continue;
			(void)json_object_set_new(change, "added",
						  json_integer(view_to_u64(added, &lines) ? (json_int_t)lines : 0));
			(void)json_object_set_new(change, "removed",
						  json_integer(view_to_u64(removed, &lines) ? (json_int_t)lines : 0));
		}
		text = rest;
	}
}

/* The fourth word of ":oldmode newmode oldhash newhash S". */
static struct view raw_blob(struct view meta)
{
	for (int i = 0; i < 3; i++)
		(void)view_cut(meta, ' ', &meta);
	return view_cut(meta, ' ', &(struct view){0});
}

/* Records of `--raw -z`: ":oldmode newmode oldhash newhash S\0path\0", with a second path for renames. */
static json_t *raw_parse(struct view text)
{
	json_t *changes = json_array();

	while (text.length) {
		struct view rest;
		struct view meta = view_cut(text, '\0', &rest);
		struct view path = view_cut(rest, '\0', &rest);
		const char *space = meta.length ? memrchr(meta.at, ' ', meta.length) : NULL;
		char status[2] = {space && space + 1 < meta.at + meta.length ? space[1] : '?', '\0'};
		json_t *change = json_object();

		if (status[0] == 'R' || status[0] == 'C') {
			json_set_bytes(change, "old_path", path);
			path = view_cut(rest, '\0', &rest);
		}
		json_set_bytes(change, "path", path);
		(void)json_object_set_new(change, "status", json_string(status));
		json_set_bytes(change, "mode", meta.length > 14 ? view_make(meta.at + 8, 6) : VIEW(""));
		json_set_bytes(change, "blob", raw_blob(meta));
		(void)json_array_append_new(changes, change);
		text = rest;
	}
	return changes;
}

json_t *git_changes(const char *repository, const struct git_hash *base, const struct git_hash *head, struct err *err)
{
	AUTO_BUF raw = buf_new((size_t)16 << 20);
	AUTO_BUF numbers = buf_new((size_t)16 << 20);
	json_t *changes;

	if (git_run(repository,
		    (const char *const[]){"diff", "--raw", "-z", "--no-abbrev", "--find-renames", base->text, head->text, "--",
					  NULL},
		    &(struct process_spec){.output = &raw}, NULL, err) ||
	    git_run(repository,
		    (const char *const[]){"diff", "--numstat", "-z", "--no-ext-diff", "--no-textconv", "--find-renames", base->text,
					  head->text, "--", NULL},
		    &(struct process_spec){.output = &numbers}, NULL, err))
		return NULL;
	changes = raw_parse(buf_view(&raw));
	numstat_apply(buf_view(&numbers), changes);
	return changes;
}
