/* Code hosts for a test. */
#include "forges_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "http/rest.h"
#include "store/store.h"

#define HOST_END_MS 60000

struct side sides[SIDE_COUNT] = {
	[SIDE_BUILTIN] = {.name = "built in", .pid_fd = -1},
	[SIDE_GITHUB] = {.name = "GitHub", .kind = "github", .login = "assay[bot]", .pid_fd = -1},
	[SIDE_ENTERPRISE] =
		{.name = "GitHub Enterprise Server", .kind = "github", .below = "/api/v3", .login = "assay[bot]", .pid_fd = -1},
	[SIDE_GITLAB] = {.name = "GitLab", .kind = "gitlab", .login = "assay-bot", .pid_fd = -1},
	[SIDE_GITEA] = {.name = "Gitea", .kind = "gitea", .login = "assay-bot", .pid_fd = -1},
};

void side_good(struct side *side, int status)
{
	if (status)
		fail_msg("%s: %s", side->name, side->err.text);
}

/* ---- the repository ---- */

static struct git_hash commit_make(const char *repository, const char *content, const struct git_hash *parent)
{
	AUTO_BUF blob = buf_new(256);
	AUTO_BUF tree = buf_new(256);
	AUTO_BUF commit = buf_new(256);
	AUTO_FREE char *entry = NULL;
	AUTO_FREE char *tree_text = NULL;
	struct git_hash hash = {""};

	assert_int_equal(git_run(repository, (const char *const[]){"hash-object", "-w", "--stdin", NULL},
				 &(struct process_spec){.input = view_of(content), .output = &blob}, NULL, NULL),
			 0);
	entry = text_format("100644 blob %.*s\twords.py\n", (int)view_trim(buf_view(&blob)).length, blob.at);
	assert_int_equal(git_run(repository, (const char *const[]){"mktree", NULL},
				 &(struct process_spec){.input = view_of(entry), .output = &tree}, NULL, NULL),
			 0);
	tree_text = view_copy(view_trim(buf_view(&tree)));
	assert_int_equal(git_run(repository,
				 (const char *const[]){"commit-tree", tree_text, "-m", content, parent ? "-p" : NULL,
						       parent ? parent->text : NULL, NULL},
				 &(struct process_spec){.output = &commit}, NULL, NULL),
			 0);
	assert_int_equal(git_hash_parse(view_trim(buf_view(&commit)), &hash, NULL), 0);
	return hash;
}

static char *repository_of(const struct side *side)
{
	return text_format("%s/%s.git", side->root, side->kind ? SIDE_NAME : "tiny");
}

static void repository_make(struct side *side)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *folder = NULL;

	(void)snprintf(side->root, sizeof(side->root), "/tmp/assay-forges-XXXXXX");
	assert_non_null(mkdtemp(side->root));
	path = repository_of(side);
	folder = text_format("%s/acme", side->root);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(git_repository_make(path, NULL), 0);
	side->main = commit_make(path, "base\n", NULL);
	side->topic = commit_make(path, "topic\n", &side->main);
	side->other = commit_make(path, "base\nother\n", &side->main);
}

/* Only merges move one: git is not started for nothing. */
static void ref_set(struct side *side, const char *name, const struct git_hash *hash)
{
	AUTO_FREE char *path = repository_of(side);
	AUTO_FREE char *file = text_format("%s/refs/heads/%s", path, name);
	AUTO_BUF now = buf_new(128);

	if (file_read(file, &now, NULL) || !view_is(view_trim(buf_view(&now)), hash->text)) {
		AUTO_FREE char *ref = text_format("refs/heads/%s", name);

		assert_int_equal(git_ref_set(path, ref, hash, NULL, NULL), 0);
	}
}

static void refs_set(struct side *side)
{
	ref_set(side, "main", &side->main);
	ref_set(side, "topic", &side->topic);
	ref_set(side, "other", &side->other);
}

const char *side_head(struct side *side, const char *branch)
{
	return strcmp(branch, "main") == 0 ? side->main.text : strcmp(branch, "topic") == 0 ? side->topic.text : side->other.text;
}

/* ---- a fake ---- */

static json_t *ask(struct side *side, const char *path, const json_t *body)
{
	AUTO_FREE char *url = text_format("%s%s", side->base, path);
	AUTO_ANSWER answer = {0};
	struct err err = {0};

	if (rest_ask(world_real, &(struct rest_call){.url = url, .body = body}, &answer, &err))
		fail_msg("%s", err.text);
	return json_incref(answer.body);
}

json_t *side_act(struct side *side, const char *what, const char *format, ...)
{
	AUTO_FREE char *path = text_format("/_/%s", what);
	AUTO_FREE char *text = NULL;
	AUTO_JSON body = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		abort();
	va_end(arguments);
	body = json_parse(view_of(text), NULL);
	assert_non_null(body);
	(void)json_object_set_new(body, "repository", json_string(SIDE_NAME));
	return ask(side, path, body);
}

json_t *side_seen(struct side *side)
{
	return side_act(side, "seen", "{}");
}

size_t side_count(const json_t *seen, const char *list, const char *key, const char *value)
{
	size_t count = 0;
	size_t index;
	json_t *item;

	json_array_foreach(json_member(seen, list), index, item)
		count += strcmp(json_text(item, key, ""), value) == 0;
	return count;
}

const json_t *side_find(const json_t *seen, const char *list, const char *key, const char *value)
{
	size_t index;
	json_t *item;

	json_array_foreach(json_member(seen, list), index, item)
		if (strcmp(json_text(item, key, ""), value) == 0)
			return item;
	return NULL;
}

void side_unwrong(struct side *side)
{
	AUTO_JSON seen = side->kind ? side_seen(side) : NULL;
	const json_t *wrong = json_member(seen, "wrong");

	for (size_t i = 1; i < json_array_size(wrong); i++)
		print_message("%s: %s\n", side->name, json_string_value(json_array_get(wrong, i)));
	if (json_array_size(wrong))
		fail_msg("%s: %zu times, first: %s", side->name, json_array_size(wrong),
			 json_string_value(json_array_get(wrong, 0)));
}

/* The first line that the program writes. */
static bool line_read(int fd, char *line, size_t size)
{
	size_t length = 0;

	while (length + 1 < size && read(fd, line + length, 1) == 1)
		if (line[length++] == '\n') {
			line[length - 1] = '\0';
			return true;
		}
	return false;
}

/* Where the shapes of the vendor's client are kept; empty: npm is not there. */
static void types_find(const struct side *side, const char *source, char *path, size_t size)
{
	AUTO_FREE char *program = text_format("%s/tests/fakes/types_make.mjs", source);
	AUTO_FREE char *home = text_format("HOME=%s", getenv("HOME") ? getenv("HOME") : "/root");
	AUTO_FREE char *paths = text_format("PATH=%s", getenv("PATH"));
	AUTO_BUF out = buf_new(4096);
	int status = -1;
	const char *const argv[] = {"node", program, side->kind, NULL};
	const char *const env[] = {home, paths, NULL};

	*path = '\0';
	if (!process_run(&(struct process_spec){.argv = argv, .env = env, .output = &out}, &status, NULL) && !status && out.length)
		(void)snprintf(path, size, "%.*s", (int)view_trim(buf_view(&out)).length, out.at);
}

static bool fake_start(struct side *side)
{
	const char *source = getenv("ASSAY_SOURCE_ROOT");
	AUTO_FREE char *program = text_format("%s/tests/fakes/%s.mjs", source ? source : ".", side->kind);
	AUTO_FREE char *key = text_format("APP_KEY=%s/app.pub", side->root);
	AUTO_FREE char *paths = text_format("PATH=%s", getenv("PATH"));
	AUTO_FREE char *types = NULL;
	char found[512];
	int out[2];
	int life[2];
	int status;
	char port[16];
	pid_t pid;

	types_find(side, source ? source : ".", found, sizeof(found));
	types = text_format("TYPES=%s", found);
	const char *const argv[] = {"node", program, side->root, NULL};
	const char *const env[] = {key, paths, types, "UNTIL_STDIN_ENDS=1", side->below ? "ENTERPRISE=1" : NULL, NULL};

	if (pipe2(out, O_CLOEXEC) || pipe2(life, O_CLOEXEC))
		return false;
	status = process_start(argv, env, (const int[]){life[0], out[1], STDERR_FILENO}, 3, &pid, &side->pid_fd, &side->err);
	(void)close(out[1]);
	(void)close(life[0]);
	side->life = life[1];
	if (!status && line_read(out[0], port, sizeof(port)))
		side->base = text_format("http://127.0.0.1:%s", port);
	(void)close(out[0]);
	return side->base != NULL;
}

static char *key_make(struct side *side)
{
	AUTO_FREE char *private = text_format("%s/app.pem", side->root);
	AUTO_FREE char *public = text_format("%s/app.pub", side->root);
	const char *const make[] = {"openssl", "genrsa", "-traditional", "-out", private, NULL};
	const char *const show[] = {"openssl", "rsa", "-in", private, "-pubout", "-out", public, NULL};
	AUTO_BUF text = buf_new(8192);

	if (process_run(&(struct process_spec){.argv = make}, NULL, &side->err) ||
	    process_run(&(struct process_spec){.argv = show}, NULL, &side->err) || file_read(private, &text, &side->err))
		return NULL;
	return buf_take(&text);
}

static void remote_make(struct side *side, const char *key)
{
	AUTO_JSON configuration = json_pack("{s:s, s:s, s:s}", "app_id", "4242", "slug", "assay", "user", "assay-bot");
	AUTO_JSON secrets = strcmp(side->kind, "github") == 0 ? json_pack("{s:s}", "private_key", key)
			    : strcmp(side->kind, "gitlab") == 0
				    ? json_pack("{s:s}", "token", "glpat-ffffffffffffffffffff")
				    : json_pack("{s:s}", "token", "gitea-ffffffffffffffffffffffffffffffffff");
	AUTO_FREE char *base = text_format("%s%s", side->base, side->below ? side->below : "");
	struct remote_options options = {base, configuration, secrets, world_real};

	side_good(side, remote_kind_find(side->kind)->make(&options, &side->remote, &side->err));
}

/* ---- a side ---- */

bool side_begin(struct side *side)
{
	AUTO_FREE char *key = NULL;

	repository_make(side);
	refs_set(side);
	if (!side->kind)
		return true;
	key = key_make(side);
	if (!key || !fake_start(side))
		return false;
	remote_make(side, key);
	return true;
}

static void builtin_end(struct side *side)
{
	if (side->builtin.ops)
		forge_builtin_free(side->builtin);
	if (side->store)
		store_close(side->store);
	side->store = NULL;
}

void side_end(struct side *side)
{
	builtin_end(side);
	if (side->remote.ops)
		side->remote.ops->free(side->remote.self);
	if (side->pid_fd >= 0) {
		int status;

		(void)close(side->life);
		assert_int_equal(process_wait(side->pid_fd, HOST_END_MS, &status, NULL), 0);
		(void)close(side->pid_fd);
	}
	free(side->base);
	assert_int_equal(file_remove_tree(side->root, NULL), 0);
}

void side_reset(struct side *side)
{
	AUTO_FREE char *path = text_format("%s/db", side->root);

	side->err = (struct err){0};
	side->told = (struct remote_told){0};
	side->number = 0;
	refs_set(side);
	if (side->kind) {
		json_decref(side_act(side, "reset", "{}"));
		json_decref(side_act(side, "inject", "{\"clear\": true}"));
		json_decref(side_act(side, "hook", "{\"url\": \"" SIDE_HOOK "\"}"));
		return;
	}
	builtin_end(side);
	(void)unlink(path);
	assert_int_equal(store_open(path, &side->store, NULL), 0);
	side->builtin = forge_builtin_new(side->store, side->root, world_real);
}

/* ---- pull requests, whoever has them ---- */

int side_pull_try(struct side *side, const struct remote_pull *pull)
{
	struct forge_pull own = {.repository = "tiny",
				 .branch = pull->branch,
				 .target = pull->target,
				 .title = pull->title,
				 .body = pull->body,
				 .draft = pull->draft,
				 .base = side->main,
				 .run = "r1",
				 .issue = 1,
				 .verdict = "verified"};

	if (side->remote.ops)
		return side->remote.ops->pull_put(side->remote.self, SIDE_NAME, pull, &side->told, &side->err);
	assert_int_equal(git_hash_parse(view_of(pull->head), &own.head, NULL), 0);
	return forge_upsert(side->builtin, &own, &side->told.number, &side->err);
}

int64_t side_pull_put(struct side *side, const struct remote_pull *pull, int64_t number)
{
	struct remote_pull wanted = *pull;

	wanted.number = number;
	side_good(side, side_pull_try(side, &wanted));
	assert_true(side->told.number > 0);
	return side->told.number;
}

json_t *side_pull_get(struct side *side, int64_t number)
{
	json_t *pull = side->remote.ops ? side->remote.ops->pull_get(side->remote.self, SIDE_NAME, number, &side->told, &side->err)
					: forge_fetch(side->builtin, number, &side->err);

	side_good(side, pull ? 0 : -1);
	return pull;
}

int side_pull_close(struct side *side, int64_t number, struct err *err)
{
	return side->remote.ops ? side->remote.ops->pull_close(side->remote.self, SIDE_NAME, number, &side->told, err)
				: forge_close(side->builtin, number, err);
}

int side_pull_merge(struct side *side, int64_t number, const char *head, struct err *err)
{
	struct git_hash merged;

	return side->remote.ops ? side->remote.ops->pull_merge(side->remote.self, SIDE_NAME, number, head, &side->told, err)
				: forge_merge(side->builtin, number, &merged, err);
}

int64_t side_writes_of_same(struct side *side, const struct remote_pull *pull)
{
	AUTO_JSON before = side->kind ? side_seen(side) : NULL;
	AUTO_JSON after = NULL;

	side_good(side, side_pull_try(side, pull));
	after = side->kind ? side_seen(side) : NULL;
	return json_number(after, "writes", 0) - json_number(before, "writes", 0);
}

int side_push_over(struct side *side, const char *from, const char *branch, const char *over, struct err *err)
{
	AUTO_FREE char *path = repository_of(side);
	AUTO_BUF url = buf_new(1024);
	AUTO_BUF header = buf_new(8192);
	struct git_hash commit;
	struct git_hash old;

	assert_int_equal(git_hash_parse(view_of(side_head(side, from)), &commit, NULL), 0);
	assert_int_equal(over ? git_hash_parse(view_of(side_head(side, over)), &old, NULL) : 0, 0);
	side->remote.ops->clone_url(side->remote.self, SIDE_NAME, &url);
	side_good(side, side->remote.ops->credential(side->remote.self, SIDE_NAME, true, &header, &side->told, &side->err));
	return git_push_remote(path, &(struct git_remote){url.at, header.at}, branch, &commit, over ? &old : NULL, err);
}

int side_push(struct side *side, const char *from, const char *branch, struct err *err)
{
	return side_push_over(side, from, branch, NULL, err);
}

void side_open(struct side *side)
{
	struct remote_pull pull = {
		.branch = "topic", .target = "main", .title = "Topic", .body = "The words.", .head = side->topic.text};

	side->number = side_pull_put(side, &pull, 0);
}

json_t *side_review(struct side *side, const char *by, const char *first, const char *second)
{
	AUTO_JSON made = side_act(
		side, "review",
		"{\"by\": \"%s\", \"number\": %lld, \"state\": \"changes_requested\", \"lines\": [{\"path\": "
		"\"words.py\", \"line\": 8, \"body\": \"%s\"}, {\"path\": \"words.py\", \"line\": 9, \"body\": \"%s\"}]}",
		by, (long long)side->number, first, second);
	AUTO_FREE char *review = text_format("%lld", (long long)json_number(made, "review", 0));
	json_t *items = side->remote.ops->review(side->remote.self, SIDE_NAME, side->number, review, &side->told, &side->err);

	side_good(side, items ? 0 : -1);
	return items;
}

void side_thread(struct side *side)
{
	AUTO_JSON items = side_review(side, "bob", "one", "two");

	(void)snprintf(side->thread, sizeof(side->thread), "%s", json_text(json_array_get(items, 0), "thread", ""));
}
