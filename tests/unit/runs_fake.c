/* The faked outside of src/runs. */
#include "runs_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "vault/vault.h"
#include "verify/record.h"
#include "verify/verify.h"

struct fake_world fake;

#define DIE(err)                                                                  \
	do {                                                                      \
		if (fake.dead)                                                    \
			return err_set(err, ERR_CANCELLED, "the machine is off"); \
	} while (0)

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

static struct fake_env *find(struct env_id id)
{
	for (int i = 0; i < fake.env_count; i++)
		if (fake.envs[i].alive && strcmp(fake.envs[i].id.text, id.text) == 0)
			return &fake.envs[i];
	return NULL;
}

struct fake_env *fake_env_of(const char *run)
{
	for (int i = 0; i < fake.env_count; i++)
		if (fake.envs[i].alive && strcmp(fake.envs[i].owner, run) == 0)
			return &fake.envs[i];
	return NULL;
}

int fake_alive(void)
{
	int count = 0;

	for (int i = 0; i < fake.env_count; i++)
		count += fake.envs[i].alive;
	return count;
}

static int env_get(struct env_id id, struct fake_env **env, struct err *err)
{
	DIE(err);
	*env = find(id);
	return *env ? 0 : err_set(err, ERR_NOT_FOUND, "no environment %s", id.text);
}

int tool_install(struct environments *environments, const struct tool_spec *spec, struct progress progress, struct err *err)
{
	(void)environments;
	(void)spec;
	(void)progress;
	DIE(err);
	return 0;
}

json_t *tool_list(struct environments *environments, struct err *err)
{
	(void)environments;
	(void)err;
	return json_array();
}

int tool_remove(struct environments *environments, const char *name, const char *version, struct err *err)
{
	(void)environments;
	(void)name;
	(void)version;
	DIE(err);
	return 0;
}

/* "shop+lib.git": each in its folder. */
static bool is_joined(const char *repository)
{
	return strchr(strrchr(repository, '/'), '+');
}

static int content_read(const char *repository, const struct git_hash *commit, const char *path, char content[256], struct err *err)
{
	AUTO_BUF text = buf_new(255);

	if (git_file_read(repository, commit, path, &text, err))
		return -1;
	(void)snprintf(content, 256, "%s", text.at);
	return 0;
}

static int contents_read(const char *repository, const struct git_hash *commit, char content[256], char other[256], struct err *err)
{
	bool joined = is_joined(repository);

	other[0] = '\0';
	return content_read(repository, commit, joined ? "shop/app.txt" : "app.txt", content, err) ||
			       (joined && content_read(repository, commit, "lib/app.txt", other, err))
		       ? -1
		       : 0;
}

/* "A|B" is in two repositories, "A" in the first. */
static void contents_write(struct fake_env *env, const char *text)
{
	struct view rest;
	struct view first = view_cut(view_of(text), '|', &rest);

	(void)snprintf(env->content, sizeof(env->content), "%.*s", (int)first.length, first.at);
	if (rest.at)
		(void)snprintf(env->other, sizeof(env->other), "%.*s", (int)rest.length, rest.at);
}

int environment_up(struct environments *environments, const struct environment_spec *spec, bool keep_failed,
		   struct progress progress, struct env_id *id, struct err *err)
{
	struct fake_env *env = &fake.envs[fake.env_count];

	(void)environments;
	(void)keep_failed;
	DIE(err);
	if (fake.up_retries) {
		fake.up_retries--;
		return err_set(err, ERR_RETRY, "no room now");
	}
	if (fake.env_count == FAKE_ENVS_MAX)
		abort();
	fake.env_count++;
	*env = (struct fake_env){.alive = true};
	(void)snprintf(env->id.text, sizeof(env->id.text), "e%010d", fake.env_count);
	(void)snprintf(env->owner, sizeof(env->owner), "%s", spec->owner);
	(void)snprintf(env->purpose, sizeof(env->purpose), "%s", spec->purpose);
	(void)snprintf(env->repository, sizeof(env->repository), "%s", spec->repository);
	*id = env->id;
	if (fake.up_failures) {
		fake.up_failures--;
		return err_set(err, ERR_INVALID, "service front: did not get ready");
	}
	progress.report(progress.self, "start front", "", 12);
	if (contents_read(spec->repository, &spec->commit, env->content, env->other, err))
		return -1;
	memcpy(env->deployed, env->content, sizeof(env->deployed));
	return 0;
}

int environment_down(struct environments *environments, struct env_id id, struct err *err)
{
	struct fake_env *env = find(id);

	(void)environments;
	DIE(err);
	if (env)
		env->alive = false;
	return 0;
}

int environment_secrets(struct environments *environments, struct env_id id, bool bound, struct err *err)
{
	(void)environments;
	(void)id;
	(void)bound;
	(void)err;
	return 0;
}

int environment_faults_clear(struct environments *environments, struct env_id id, int *count, struct err *err)
{
	(void)environments;
	(void)id;
	DIE(err);
	*count = fake.faults;
	fake.faults = 0;
	return 0;
}

int environment_freeze(struct environments *environments, struct env_id id, bool frozen, struct err *err)
{
	struct fake_env *env;

	(void)environments;
	if (env_get(id, &env, err))
		return -1;
	env->frozen = frozen;
	return 0;
}

int environment_extend(struct environments *environments, struct env_id id, int64_t grace_ms, struct err *err)
{
	struct fake_env *env;

	(void)environments;
	if (env_get(id, &env, err))
		return -1;
	env->grace_ms = grace_ms;
	return 0;
}

int environment_deploy(struct environments *environments, struct env_id id, const char *service, struct progress progress,
		       struct err *err)
{
	struct fake_env *env;

	(void)environments;
	(void)service;
	(void)progress;
	if (env_get(id, &env, err))
		return -1;
	memcpy(env->deployed, env->content, sizeof(env->deployed));
	return 0;
}

static json_t *env_json(const struct fake_env *env)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:[]}", "id", env->id.text, "owner", env->owner, "purpose", env->purpose,
			 "state", env->frozen ? "frozen" : "ready", "pinned", (int)env->pinned, "sandboxes");
}

json_t *environment_list(struct environments *environments, struct err *err)
{
	json_t *items;

	(void)environments;
	if (fake.dead) {
		(void)err_set(err, ERR_CANCELLED, "the machine is off");
		return NULL;
	}
	items = json_array();
	for (int i = 0; i < fake.env_count; i++)
		if (fake.envs[i].alive)
			(void)json_array_append_new(items, env_json(&fake.envs[i]));
	return items;
}

json_t *environment_show(struct environments *environments, struct env_id id, struct err *err)
{
	struct fake_env *env;

	(void)environments;
	(void)__atomic_add_fetch(&fake.shown, 1, __ATOMIC_SEQ_CST);
	return env_get(id, &env, err) ? NULL : env_json(env);
}

char *environment_preview_url(struct environments *environments, struct env_id id)
{
	(void)environments;
	return fake.link ? text_format("https://%s.preview.test/?assay=%d", id.text, fake.link)
			 : text_format("http://%s.localhost:7421/", id.text);
}

void exit_status_format(struct buf *out, struct exit_status status)
{
	buf_add_format(out, "exit %d", status.code);
}

int environment_exec(struct environments *environments, struct env_id id, const struct environment_exec *exec,
		     struct exit_status *status, struct err *err)
{
	struct fake_env *env;
	int turn = fake.agent_turns;
	bool hangs = fake.hangs && turn >= fake.hangs_from;

	(void)environments;
	if (env_get(id, &env, err))
		return -1;
	*status = (struct exit_status){EXIT_CODE, 0};
	if (!exec->output_fd) { /* a file of the agent's HOME is written */
		(void)snprintf(fake.file, sizeof(fake.file), "%s: %.*s", exec->argv[4], (int)exec->input.length, exec->input.at);
		return 0;
	}
	fake.agent_turns++;
	(void)snprintf(fake.prompts[turn % 16], sizeof(fake.prompts[0]), "%.*s", (int)exec->input.length, exec->input.at);
	for (size_t i = 0, at = 0; exec->argv[i] && at < sizeof(fake.words[0]); i++)
		at += (size_t)snprintf(fake.words[turn % 16] + at, sizeof(fake.words[0]) - at, "%s ", exec->argv[i]);
	if (hangs && fake.said && file_write_fd(exec->output_fd, view_of(fake.said), err))
		return -1;
	if (hangs || !fake.hangs)
		__atomic_store_n(&fake.agent_began, true, __ATOMIC_SEQ_CST);
	if (hangs) {
		fake.hangs--;
		for (int i = 0; i < 60000 && !__atomic_load_n(exec->cancelled, __ATOMIC_SEQ_CST); i++)
			(void)usleep(5000);
		return err_set(err, ERR_CANCELLED, "killed");
	}
	if (fake.destroyed) {
		fake.destroyed--;
		return err_set(err, ERR_RETRY, "workspace was destroyed while `sh` ran in it");
	}
	if (fake.output && file_write_fd(exec->output_fd, view_of(fake.output), err))
		return -1;
	for (size_t i = 0; fake.by_model && exec->env && i < exec->env->count; i++)
		if (strcmp(exec->env->at[i].name, "ASSAY_AGENT_MODEL") == 0)
			(void)snprintf(env->content, sizeof(env->content), "%s", exec->env->at[i].value);
	if (turn < 16 && fake.writes[turn])
		contents_write(env, fake.writes[turn]);
	*status = (struct exit_status){EXIT_CODE, fake.exit_code};
	return 0;
}

static int git_line(const char *repository, const char *const *args, struct view input, struct git_hash *hash, struct err *err)
{
	AUTO_BUF out = buf_new(4096);

	if (git_run(repository, args, &(struct process_spec){.input = input, .output = &out}, NULL, err))
		return -1;
	return git_hash_parse(view_trim(buf_view(&out)), hash, err);
}

/* The tree with another object under a name. */
static int tree_with(const char *repository, const char *tree, const char *name, const struct git_hash *object,
		     struct git_hash *made, struct err *err)
{
	AUTO_BUF entries = buf_new(65536);
	AUTO_BUF changed = buf_new(65536);
	struct view rest;

	if (git_run(repository, (const char *const[]){"ls-tree", tree, NULL}, &(struct process_spec){.output = &entries}, NULL,
		    err))
		return -1;
	for (rest = buf_view(&entries); rest.length;) {
		struct view path;
		struct view entry = view_cut(view_cut(rest, '\n', &rest), '\t', &path);

		buf_add(&changed, entry.at, entry.length - 40);
		buf_add_format(&changed, "%.40s\t%.*s\n", view_is(path, name) ? object->text : entry.at + entry.length - 40,
			       (int)path.length, path.at);
	}
	return git_line(repository, (const char *const[]){"mktree", NULL}, buf_view(&changed), made, err);
}

/* What `tree` (of a folder, or of all) is with another app.txt. */
static int app_put(const char *repository, const char *tree, const char *content, struct git_hash *made, struct err *err)
{
	struct git_hash object;

	return git_line(repository, (const char *const[]){"hash-object", "-w", "--stdin", NULL}, view_of(content), &object, err) ||
			       tree_with(repository, tree, "app.txt", &object, made, err)
		       ? -1
		       : 0;
}

static int tree_make(const struct fake_env *env, const struct git_hash *base, struct git_hash *tree, struct err *err)
{
	AUTO_FREE char *shop = text_format("%s:shop", base->text);
	AUTO_FREE char *lib = text_format("%s:lib", base->text);
	struct git_hash folder;

	if (!is_joined(env->repository))
		return app_put(env->repository, base->text, env->content, tree, err);
	return app_put(env->repository, shop, env->content, &folder, err) ||
			       tree_with(env->repository, base->text, "shop", &folder, tree, err) ||
			       app_put(env->repository, lib, env->other, &folder, err) ||
			       tree_with(env->repository, tree->text, "lib", &folder, tree, err)
		       ? -1
		       : 0;
}

int environment_export(struct environments *environments, struct env_id id, const struct git_hash *base, const char *ref,
		       const char *message, struct git_hash *head, struct err *err)
{
	struct fake_env *env;
	struct git_hash tree;
	char content[256];
	char other[256];

	(void)environments;
	if (env_get(id, &env, err) || contents_read(env->repository, base, content, other, err))
		return -1;
	*head = *base;
	if (strcmp(content, env->content) == 0 && strcmp(other, env->other) == 0)
		return 0;
	if (tree_make(env, base, &tree, err) ||
	    git_line(env->repository, (const char *const[]){"commit-tree", tree.text, "-p", base->text, "-m", message, NULL},
		     VIEW(""), head, err))
		return -1;
	return git_ref_set(env->repository, ref, head, NULL, err);
}

int environment_import(struct environments *environments, struct env_id id, const struct git_hash *base,
		       const struct git_hash *commit, struct err *err)
{
	struct fake_env *env;
	char content[256];
	char other[256];

	(void)environments;
	if (env_get(id, &env, err) || contents_read(env->repository, base, content, other, err))
		return -1;
	if (strcmp(content, env->content) != 0)
		return err_set(err, ERR_CONFLICT, "the work tree has other changes in app.txt");
	return contents_read(env->repository, commit, env->content, env->other, err);
}

static bool is_meant(const json_t *declared, const char *id)
{
	for (size_t i = 0; i < json_array_size(declared); i++)
		if (strcmp(json_text(json_array_get(declared, i), "match", ""), id) == 0)
			return true;
	return false;
}

/* "bug N" is found as finding N, "odd" cannot be told, everything else is good. */
static json_t *media_make(const char *dir)
{
	json_t *media = json_array();

	for (size_t i = 0; i < fake.media_count; i++) {
		const struct fake_media *from = &fake.media[i];
		struct digest digest = digest_of(view_of(from->bytes));
		AUTO_FREE char *path = text_format("%s/%s", dir, digest.text);
		struct err err;

		if (file_make_dirs(dir, 0700, &err) || file_replace(path, view_of(from->bytes), 0600, &err))
			abort();
		(void)json_array_append_new(media, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", from->title, "title", from->title,
							     "type", from->type, "digest", digest.text, "bytes",
							     (int)strlen(from->bytes)));
	}
	return media;
}

int verify_run(const struct verify_request *request, json_t **report, struct err *err)
{
	char content[256];
	char other[256];
	const char *verdict = "verified";
	const char *gate = "pass";
	json_t *findings = json_array();

	DIE(err);
	fake.verifies++;
	if (fake.verify_error != ERR_NONE) {
		json_decref(findings);
		return err_set(err, fake.verify_error, "the verifier has no room");
	}
	request->progress.report(request->progress.self, "tests", "", -1);
	request->progress.report(request->progress.self, "tests: base", "", 5);
	if (contents_read(request->repository, &request->head, content, other, err)) {
		json_decref(findings);
		return -1;
	}
	if (strncmp(other, "bug", 3) == 0)
		memcpy(content, other, sizeof(content));
	if (fake.unstable) {
		fake.unstable--;
		verdict = "unverified";
		gate = "unstable";
	} else if (strncmp(content, "bug", 3) == 0 && is_meant(request->declared, content)) {
		gate = "pass";
	} else if (strncmp(content, "bug", 3) == 0) {
		verdict = "failed";
		(void)json_array_append_new(findings,
					    json_pack("{s:s, s:s, s:s, s:s}", "id", content, "severity", "block", "title",
						      "the price is wrong", "reproduce", "assay-env http GET http://front/"));
	} else if (strncmp(content, "odd", 3) == 0) {
		verdict = "unverified";
	}
	*report = json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s}], s:o, s:[s], s:o}", "verdict", verdict, "reason", "so it is",
			    "base", request->base.text, "head", request->head.text, "gates", "name", "tests", "title", "Tests",
			    "status", gate, "findings", findings, "not_covered", "service pricing", "media",
			    media_make(request->artefacts_dir));
	return *report ? 0 : -1;
}

void verify_feedback(struct buf *out, const json_t *report)
{
	buf_add_format(out, "FEEDBACK %s", json_text(json_array_get(json_member(report, "findings"), 0), "id", "?"));
}

enum verdict verdict_of(const json_t *report)
{
	const char *verdict = json_text(report, "verdict", "");

	if (strcmp(verdict, "verified") == 0)
		return VERDICT_VERIFIED;
	return strcmp(verdict, "failed") == 0 ? VERDICT_FAILED : VERDICT_UNVERIFIED;
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {"verified", "failed", "unverified"};

	return names[verdict];
}

int record_make(const json_t *report, const char *previous, struct signer signer, struct buf *envelope, struct err *err)
{
	unsigned char signature[64];
	char key_id[65];
	size_t index;
	json_t *one;

	DIE(err);
	if (signer.sign(signer.self, VIEW("x"), signature, key_id, err))
		return -1;
	buf_add_format(envelope, "{\"head\":\"%s\",\"previous\":\"%s\"", json_text(report, "head", ""), previous);
	json_array_foreach(json_member(report, "repositories"), index, one)
		buf_add_format(envelope, ",\"%s\":\"%s\"", json_text(one, "name", ""), json_text(one, "head", ""));
	buf_add_char(envelope, '}');
	return 0;
}

int record_bundle(struct view envelope, struct signer signer, struct buf *bundle, struct err *err)
{
	(void)signer;
	buf_add_view(bundle, envelope);
	return buf_finish(bundle, err);
}

int vault_sign(struct vault *vault, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	(void)vault;
	(void)bytes;
	DIE(err);
	memset(signature, 1, 64);
	memset(key_id, '0', 64);
	key_id[64] = '\0';
	return 0;
}
