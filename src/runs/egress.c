/*
 * The state of what leaves, the policy file, and what the gateway is told. Questions are in egress_hold.c, kills in egress_kill.c, spending in
 * egress_budget.c.
 *
 * Theory of operation: everything that is known is one JSON object, guarded by the mutex and written whole after each change. What tells the
 * gateway is done without the mutex, since its answers come on other threads; a question is marked as being answered meanwhile, so that two
 * people cannot answer it differently.
 */
#include "runs/egress_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "blueprint/egress.h"
#include "runs/prices.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define PRICES_BYTES_MAX ((size_t)1 << 20)
#define SYSTEM_POLICY "/etc/assay/policy.yaml"
#define SYSTEM_PRICES "/etc/assay/prices.json"

void egress_lock(struct egress *egress)
{
	(void)pthread_mutex_lock(&egress->mutex);
}

void egress_unlock(struct egress *egress)
{
	(void)pthread_mutex_unlock(&egress->mutex);
}

json_t *egress_part(struct egress *egress, const char *name)
{
	json_t *found = json_object_get(egress->state, name);

	if (!found) {
		found = json_object();
		(void)json_object_set_new(egress->state, name, found);
	}
	return found;
}

json_t *egress_part_of(json_t *object, const char *name)
{
	json_t *found = json_object_get(object, name);

	if (!found) {
		found = json_object();
		(void)json_object_set_new(object, name, found);
	}
	return found;
}

int egress_save(struct egress *egress, struct err *err)
{
	AUTO_BUF text = buf_new(FILE_BYTES_MAX);

	egress->version++;
	json_format(&text, egress->state);
	return buf_finish(&text, err) || file_replace(egress->path, buf_view(&text), 0600, err) ? -1 : 0;
}

void egress_save_logged(struct egress *egress)
{
	struct err err;

	if (egress_save(egress, &err))
		log_error("%s", err.text);
}

/* ---- the policy file ---- */

/* The file that counts, or NULL. */
static const char *policy_place(const struct egress *egress)
{
	if (egress->named_policy)
		return egress->named_policy;
	if (file_exists(egress->state_policy))
		return egress->state_policy;
	return file_exists(SYSTEM_POLICY) ? SYSTEM_POLICY : NULL;
}

#define POLICY_FILE_MODE 0600 /* of a new one */
#define MODE_BITS 0777

static json_t *policy_read(const char *path, struct timespec *changed, off_t *size, struct err *err)
{
	struct stat status;

	*changed = (struct timespec){0};
	*size = 0;
	if (stat(path, &status)) {
		(void)err_errno(err, errno, "cannot read the policy %s", path);
		return NULL;
	}
	*changed = status.st_mtim;
	*size = status.st_size;
	return policy_file_load(path, err);
}

json_t *egress_policy_body(struct egress *egress)
{
	json_t *body = json_object();

	egress_lock(egress);
	(void)json_object_set_new(body, "policy", egress->policy ? json_deep_copy(egress->policy) : json_null());
	egress_unlock(egress);
	return body;
}

static int policy_load_first(struct egress *egress, struct err *err)
{
	const char *path = policy_place(egress);

	if (!path)
		return 0;
	egress->policy = policy_read(path, &egress->policy_changed, &egress->policy_size, err);
	egress->policy_path = text_copy(path);
	egress->policy_loaded_ms = world_now_ms(egress->world);
	return egress->policy ? 0 : err_prefix(err, "the organisation's policy");
}

/* Has the file changed? A file that is gone has: it is an error, and the policy stays. */
static bool policy_is_stale(struct egress *egress, const char *path)
{
	struct stat status;

	if (!path)
		return egress->policy_path != NULL;
	if (!egress->policy_path || strcmp(path, egress->policy_path) != 0)
		return true;
	return stat(path, &status) || status.st_size != egress->policy_size ||
	       status.st_mtim.tv_sec != egress->policy_changed.tv_sec || status.st_mtim.tv_nsec != egress->policy_changed.tv_nsec;
}

static int policy_try(struct egress *egress, const char *path, struct err *err)
{
	struct timespec changed;
	off_t size;
	AUTO_JSON fresh = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	AUTO_FREE char *said = NULL;

	if (!path)
		return err_set(err, ERR_NOT_FOUND, "the policy %s is gone: the one before stays in force", egress->policy_path);
	fresh = policy_read(path, &changed, &size, err);
	egress_lock(egress); /* tried once for each change */
	egress->policy_changed = changed;
	egress->policy_size = size;
	free(egress->policy_path);
	egress->policy_path = text_copy(path);
	egress_unlock(egress);
	if (!fresh)
		return err_prefix(err, "the policy before stays in force");
	body = json_pack("{s:O}", "policy", fresh);
	said = text_format("%s: %zu rules%s%s", path, json_array_size(json_member(fresh, "rules")),
			   json_flag(fresh, "ceiling", false) ? ", a ceiling" : "",
			   json_flag(fresh, "passthrough", true) ? "" : ", no passthrough");
	if (egress->ops.record(egress->ops.self, EGRESS_RECORD_POLICY, true, NULL, NULL, NULL, "serve", said, err))
		return -1;
	answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_POLICY, body, EGRESS_GATEWAY_MS, err);
	if (!answer && err->kind != ERR_RETRY) {
		AUTO_FREE char *refused = text_format("%s: refused: the policy before stays in force", path);
		struct err ignored;

		(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_POLICY, false, NULL, NULL, NULL, "gateway", refused,
					  &ignored);
		return err_prefix(err, "%s: the policy before stays in force", path);
	}
	egress_lock(egress); /* a gateway that is starting is told of it then */
	json_decref(egress->policy);
	egress->policy = TAKE(fresh);
	egress->policy_loaded_ms = world_now_ms(egress->world);
	egress->version++;
	egress_unlock(egress);
	return 0;
}

int egress_policy_reload(struct egress *egress, bool now, struct err *err)
{
	const char *path = policy_place(egress);
	int result = 0;

	(void)pthread_mutex_lock(&egress->reloading);
	if (now || policy_is_stale(egress, path)) {
		struct err problem = {0};

		result = now && !path && !egress->policy_path ? 0 : policy_try(egress, path, &problem);
		egress_lock(egress);
		if (result && strcmp(egress->policy_error, problem.text) != 0)
			log_error("%s", problem.text);
		if (!result)
			log_info("policy: %s is in force", path ? path : "none");
		memcpy(egress->policy_error, problem.text, sizeof(problem.text));
		egress_unlock(egress);
		if (result && err)
			*err = problem;
	}
	(void)pthread_mutex_unlock(&egress->reloading);
	return result;
}

int egress_policy_text(struct egress *egress, struct buf *text, struct err *err)
{
	const char *path = policy_place(egress);

	return path ? file_read(path, text, err) : err_set(err, ERR_NOT_FOUND, "the organisation has no policy");
}

/* An empty file is as none: it denies nothing and allows nothing. */
int egress_policy_write(struct egress *egress, struct view text, const char *by, struct err *err)
{
	const char *place = policy_place(egress);
	const char *path = place ? place : egress->state_policy;
	AUTO_JSON policy = policy_file_parse(text, "policy.yaml", err);
	AUTO_BUF before = buf_new(POLICY_FILE_BYTES_MAX);
	AUTO_FREE char *said = text_format("%s: written on the pages", path);
	struct stat status = {.st_mode = POLICY_FILE_MODE};
	struct err ignored;

	if (!policy || (place && (file_read(path, &before, err) || stat(path, &status))) ||
	    egress->ops.record(egress->ops.self, EGRESS_RECORD_POLICY, true, NULL, NULL, NULL, by, said, err) ||
	    file_replace(path, text, status.st_mode & MODE_BITS, err))
		return -1;
	if (!egress_policy_reload(egress, true, err))
		return 0;
	if (!file_replace(path, buf_view(&before), status.st_mode & MODE_BITS, &ignored))
		(void)!egress_policy_reload(egress, true, &ignored);
	return -1;
}

json_t *egress_policy_show(struct egress *egress)
{
	json_t *json;

	egress_lock(egress);
	json = json_pack("{s:s?, s:I, s:b, s:b, s:I}", "path", egress->policy_path, "rules",
			 (json_int_t)json_array_size(json_member(egress->policy, "rules")), "ceiling",
			 json_flag(egress->policy, "ceiling", false), "passthrough", json_flag(egress->policy, "passthrough", true),
			 "loaded_ms", (json_int_t)egress->policy_loaded_ms);
	if (egress->policy_error[0])
		(void)json_object_set_new(json, "error", json_string(egress->policy_error));
	egress_unlock(egress);
	return json;
}

/* ---- opening ---- */

/* The file that counts; NULL: what is built in. Owned by the caller. */
static char *prices_place(const struct egress_options *options)
{
	AUTO_FREE char *own = text_format("%s/prices.json", options->state_dir);

	if (options->prices_path)
		return text_copy(options->prices_path);
	if (file_exists(own))
		return TAKE(own);
	return file_exists(SYSTEM_PRICES) ? text_copy(SYSTEM_PRICES) : NULL;
}

static int prices_load(struct egress *egress, const struct egress_options *options, struct err *err)
{
	AUTO_FREE char *path = prices_place(options);
	const char *name = path ? path : "the prices that are built in";
	AUTO_BUF text = buf_new(PRICES_BYTES_MAX);
	json_t *row;
	size_t i;

	if (path && file_read(path, &text, err))
		return -1;
	egress->price_table = json_parse(path ? buf_view(&text) : view_make(prices_blob, prices_blob_length), err);
	if (!egress->price_table)
		return err_prefix(err, "%s", name);
	egress->prices = json_is_array(egress->price_table) ? egress->price_table : json_object_get(egress->price_table, "models");
	if (!json_is_array(egress->prices))
		return err_set(err, ERR_INVALID, "%s: expected a list of prices, or {\"models\": [...]}", name);
	json_array_foreach(egress->prices, i, row)
		if (!json_text(row, "model", NULL) || !json_is_number(json_object_get(row, "input")) ||
		    !json_is_number(json_object_get(row, "output")))
			return err_set(err, ERR_INVALID, "%s: row %zu needs `model`, `input` and `output`", name, i + 1);
	egress->prices_about = json_pack("{s:s, s:s, s:s}", "path", path ? path : "built in", "as_of",
					 json_text(egress->price_table, "as_of", ""), "note",
					 json_text(egress->price_table, "note", ""));
	return 0;
}

/* Nobody waits for them any more. */
static void holds_lose(struct egress *egress)
{
	const char *id;
	json_t *hold;

	json_object_foreach(egress_part(egress, "holds"), id, hold)
		if (strcmp(json_text(hold, "status", ""), "open") == 0 || strcmp(json_text(hold, "status", ""), "answering") == 0)
			(void)json_object_set_new(hold, "status", json_string("lost"));
}

int egress_open(const struct egress_options *options, struct egress **egress, struct err *err)
{
	struct egress *self = mem_new(sizeof(*self));
	AUTO_BUF text = buf_new(FILE_BYTES_MAX);

	self->world = options->world;
	self->path = text_format("%s/egress.json", options->state_dir);
	self->state_policy = text_format("%s/policy.yaml", options->state_dir);
	self->named_policy = text_copy(options->policy_path);
	(void)pthread_mutex_init(&self->mutex, NULL);
	(void)pthread_mutex_init(&self->reloading, NULL);
	if (file_exists(self->path) && file_read(self->path, &text, err))
		goto failed;
	self->state = text.length ? json_parse(buf_view(&text), err) : json_object();
	if (!json_is_object(self->state)) { /* it may hold a kill: nothing starts without it */
		(void)err_set(err, ERR_BROKEN, "%s cannot be read: what was stopped is not known; mend or remove it", self->path);
		goto failed;
	}
	holds_lose(self);
	if (prices_load(self, options, err) || policy_load_first(self, err))
		goto failed;
	*egress = self;
	return 0;
failed:
	egress_close(self);
	return -1;
}

void egress_attach(struct egress *egress, const struct egress_ops *ops)
{
	egress_lock(egress);
	egress->ops = *ops;
	egress->attached = true;
	egress_unlock(egress);
}

void egress_close(struct egress *egress)
{
	if (!egress)
		return;
	json_decref(egress->state);
	json_decref(egress->price_table);
	json_decref(egress->prices_about);
	json_decref(egress->policy);
	free(egress->policy_path);
	free(egress->named_policy);
	free(egress->state_policy);
	free(egress->path);
	(void)pthread_mutex_destroy(&egress->mutex);
	(void)pthread_mutex_destroy(&egress->reloading);
	free(egress);
}

uint64_t egress_version(struct egress *egress)
{
	uint64_t version;

	egress_lock(egress);
	version = egress->version;
	egress_unlock(egress);
	return version;
}

/* ---- what the gateway is told ---- */

void egress_over_text(const json_t *run, struct buf *out)
{
	int64_t micro = json_number(run, "micro", 0);
	int64_t budget = json_number(run, "budget_micro", 0);

	if (budget && micro >= budget)
		buf_add_format(out, "%.2f USD were spent on models, of a budget of %.2f USD", (double)micro / 1e6,
			       (double)budget / 1e6);
}

const char *egress_owner(const char *env, const char *run)
{
	return run[0] ? run : env;
}

void egress_describe(struct egress *egress, const char *env, const char *run, int64_t budget_micro_usd, json_t *body)
{
	AUTO_BUF over = buf_new(256);
	json_t *kill;
	json_t *remembered;
	json_t *spending;

	egress_lock(egress);
	kill = json_object_get(egress_part(egress, "kills"), "");
	if (!kill)
		kill = json_object_get(egress_part(egress, "kills"), env);
	if (kill)
		(void)json_object_set_new(body, "killed", json_string(json_text(kill, "because", "")));
	remembered = json_object_get(egress_part(egress, "remembered"), egress_owner(env, run));
	if (remembered)
		(void)json_object_set_new(body, "remembered", json_deep_copy(remembered));
	(void)json_object_set_new(body, "run", json_string(run));
	spending = egress_part_of(egress_part(egress, "runs"), egress_owner(env, run));
	if (budget_micro_usd && !json_object_get(spending, "budget_micro"))
		(void)json_object_set_new(spending, "budget_micro", json_integer(budget_micro_usd));
	(void)json_object_set_new(egress_part_of(spending, "environments"), env, json_true());
	egress_over_text(spending, &over);
	if (over.length)
		(void)json_object_set_new(body, "over_budget", json_string(over.at));
	egress_unlock(egress);
}
