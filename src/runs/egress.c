/*
 * Questions, kills, policy and spending.
 *
 * Theory of operation: everything that is known is one JSON object, guarded by the mutex and written whole after each change. What tells the
 * gateway is done without the mutex, since its answers come on other threads; a question is marked as being answered meanwhile, so that two
 * people cannot answer it differently.
 */
#include "runs/egress.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "blueprint/egress.h"
#include "runs/prices.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define PRICES_BYTES_MAX ((size_t)1 << 20)
#define REMEMBERED_MAX 256
#define SYSTEM_POLICY "/etc/assay/policy.yaml"
#define SYSTEM_PRICES "/etc/assay/prices.json"
#define ACTION_BYTES 300

struct egress {
	struct egress_ops ops;
	struct world world;
	char *path; /* of egress.json */
	char *state_policy;
	char *named_policy; /* NULL: not named */
	pthread_mutex_t mutex;
	pthread_mutex_t reloading;
	json_t *state;
	json_t *price_table;
	json_t *prices;       /* its rows: borrowed */
	json_t *prices_about; /* where they are from */
	json_t *policy;       /* NULL: none */
	char *policy_path;
	struct timespec policy_changed;
	off_t policy_size;
	int64_t policy_loaded_ms;
	char policy_error[ERR_TEXT_MAX];
	uint64_t version;
	bool attached;
};

static void lock(struct egress *egress)
{
	(void)pthread_mutex_lock(&egress->mutex);
}

static void unlock(struct egress *egress)
{
	(void)pthread_mutex_unlock(&egress->mutex);
}

/* Holding the mutex. */
static json_t *part(struct egress *egress, const char *name)
{
	json_t *found = json_object_get(egress->state, name);

	if (!found) {
		found = json_object();
		(void)json_object_set_new(egress->state, name, found);
	}
	return found;
}

static json_t *part_of(json_t *object, const char *name)
{
	json_t *found = json_object_get(object, name);

	if (!found) {
		found = json_object();
		(void)json_object_set_new(object, name, found);
	}
	return found;
}

/* Holding the mutex. */
static int save(struct egress *egress, struct err *err)
{
	AUTO_BUF text = buf_new(FILE_BYTES_MAX);

	egress->version++;
	json_format(&text, egress->state);
	return buf_finish(&text, err) || file_replace(egress->path, buf_view(&text), 0600, err) ? -1 : 0;
}

static void save_logged(struct egress *egress)
{
	struct err err;

	if (save(egress, &err))
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

	lock(egress);
	(void)json_object_set_new(body, "policy", egress->policy ? json_deep_copy(egress->policy) : json_null());
	unlock(egress);
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
	lock(egress); /* tried once for each change */
	egress->policy_changed = changed;
	egress->policy_size = size;
	free(egress->policy_path);
	egress->policy_path = text_copy(path);
	unlock(egress);
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
	lock(egress); /* a gateway that is starting is told of it then */
	json_decref(egress->policy);
	egress->policy = TAKE(fresh);
	egress->policy_loaded_ms = world_now_ms(egress->world);
	egress->version++;
	unlock(egress);
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
		lock(egress);
		if (result && strcmp(egress->policy_error, problem.text) != 0)
			log_error("%s", problem.text);
		if (!result)
			log_info("policy: %s is in force", path ? path : "none");
		memcpy(egress->policy_error, problem.text, sizeof(problem.text));
		unlock(egress);
		if (result && err)
			*err = problem;
	}
	(void)pthread_mutex_unlock(&egress->reloading);
	return result;
}

json_t *egress_policy_show(struct egress *egress)
{
	json_t *json;

	lock(egress);
	json = json_pack("{s:s?, s:I, s:b, s:b, s:I}", "path", egress->policy_path, "rules",
			 (json_int_t)json_array_size(json_member(egress->policy, "rules")), "ceiling",
			 json_flag(egress->policy, "ceiling", false), "passthrough", json_flag(egress->policy, "passthrough", true),
			 "loaded_ms", (json_int_t)egress->policy_loaded_ms);
	if (egress->policy_error[0])
		(void)json_object_set_new(json, "error", json_string(egress->policy_error));
	unlock(egress);
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

	json_object_foreach(part(egress, "holds"), id, hold)
		if (strcmp(json_text(hold, "status", ""), "open") == 0)
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
	lock(egress);
	egress->ops = *ops;
	egress->attached = true;
	unlock(egress);
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

	lock(egress);
	version = egress->version;
	unlock(egress);
	return version;
}

/* ---- what the gateway is told ---- */

static void over_text(const json_t *run, struct buf *out)
{
	int64_t micro = json_number(run, "micro", 0);
	int64_t budget = json_number(run, "budget_micro", 0);

	if (budget && micro >= budget)
		buf_add_format(out, "%.2f USD were spent on models, of a budget of %.2f USD", (double)micro / 1e6,
			       (double)budget / 1e6);
}

/* Whose answers are remembered and whose spending is added up together: a run's environments, or one that is nobody's. */
static const char *owner_key(const char *env, const char *run)
{
	return run[0] ? run : env;
}

void egress_describe(struct egress *egress, const char *env, const char *run, int64_t budget_micro_usd, json_t *body)
{
	AUTO_BUF over = buf_new(256);
	json_t *kill;
	json_t *remembered;
	json_t *spending;

	lock(egress);
	kill = json_object_get(part(egress, "kills"), "");
	if (!kill)
		kill = json_object_get(part(egress, "kills"), env);
	if (kill)
		(void)json_object_set_new(body, "killed", json_string(json_text(kill, "because", "")));
	remembered = json_object_get(part(egress, "remembered"), owner_key(env, run));
	if (remembered)
		(void)json_object_set_new(body, "remembered", json_deep_copy(remembered));
	(void)json_object_set_new(body, "run", json_string(run));
	spending = part_of(part(egress, "runs"), owner_key(env, run));
	if (budget_micro_usd && !json_object_get(spending, "budget_micro"))
		(void)json_object_set_new(spending, "budget_micro", json_integer(budget_micro_usd));
	(void)json_object_set_new(part_of(spending, "environments"), env, json_true());
	over_text(spending, &over);
	if (over.length)
		(void)json_object_set_new(body, "over_budget", json_string(over.at));
	unlock(egress);
}

/* ---- questions ---- */

static bool hold_is(const json_t *hold, const char *status)
{
	return strcmp(json_text(hold, "status", ""), status) == 0;
}

/* Holding the mutex: the oldest that are over make room. */
static size_t holds_prune(struct egress *egress)
{
	json_t *holds = part(egress, "holds");
	size_t open = 0;

	for (;;) {
		const char *oldest = NULL;
		int64_t oldest_ms = INT64_MAX;
		size_t over = 0;
		const char *id;
		json_t *hold;

		open = 0;
		json_object_foreach(holds, id, hold) {
			if (hold_is(hold, "open")) {
				open++;
				continue;
			}
			over++;
			if (json_number(hold, "asked_ms", 0) < oldest_ms) {
				oldest_ms = json_number(hold, "asked_ms", 0);
				oldest = id;
			}
		}
		if (over <= EGRESS_HOLDS_KEPT)
			return open;
		(void)json_object_del(holds, oldest);
	}
}

static char *hold_url(const json_t *body)
{
	const char *query = json_text(body, "query", "");

	return text_format("%s://%s:%lld%s%s%s", json_flag(body, "tls", true) ? "https" : "http", json_text(body, "host", ""),
			   (long long)json_number(body, "port", 0), json_text(body, "path", ""), query[0] ? "?" : "", query);
}

int egress_hold(struct egress *egress, const json_t *body, struct err *err)
{
	const char *run = json_text(body, "run", "");
	AUTO_FREE char *action = run[0] && egress->attached ? egress->ops.last_action(egress->ops.self, run) : NULL;
	AUTO_FREE char *url = hold_url(body);
	const char *id;
	json_t *hold;
	int result;

	if (json_text_get(body, "hold", &id, err))
		return -1;
	hold = json_deep_copy(body);
	(void)json_object_set_new(hold, "id", json_string(id));
	(void)json_object_set_new(hold, "status", json_string("open"));
	(void)json_object_set_new(hold, "asked_ms", json_integer(world_now_ms(egress->world)));
	(void)json_object_set_new(hold, "url", json_string(url));
	if (action)
		json_set_bytes(hold, "action", view_make(action, strlen(action) < ACTION_BYTES ? strlen(action) : ACTION_BYTES));
	lock(egress);
	if (holds_prune(egress) >= EGRESS_HOLDS_OPEN_MAX) {
		json_decref(hold);
		result = err_set(err, ERR_LIMIT, "more than %d requests wait for a person", EGRESS_HOLDS_OPEN_MAX);
	} else {
		(void)json_object_set_new(part(egress, "holds"), id, hold);
		result = save(egress, err);
	}
	unlock(egress);
	return result;
}

void egress_hold_gone(struct egress *egress, const json_t *body)
{
	const char *id = json_text(body, "hold", "");
	const char *status = json_text(body, "status", "gone");
	AUTO_FREE char *detail = text_format("%.20s: %.20s", id, status);
	AUTO_JSON copy = NULL;
	struct err err;
	json_t *hold;

	lock(egress);
	hold = json_object_get(part(egress, "holds"), id);
	if (hold && hold_is(hold, "open")) {
		(void)json_object_set_new(hold, "status", json_string(status));
		(void)json_object_set_new(hold, "answered_ms", json_integer(world_now_ms(egress->world)));
		copy = json_deep_copy(hold);
		save_logged(egress);
	}
	unlock(egress);
	if (copy)
		(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_ANSWER, false, json_text(copy, "env", ""),
					  json_text(copy, "run", ""), json_text(copy, "rule", ""), "gateway", detail, &err);
}

static int newest_first(const void *a, const void *b)
{
	int64_t left = json_number(*(json_t *const *)a, "asked_ms", 0);
	int64_t right = json_number(*(json_t *const *)b, "asked_ms", 0);

	return left < right ? 1 : left > right ? -1 : 0;
}

json_t *egress_holds(struct egress *egress, bool all)
{
	json_t *list = json_array();
	size_t count = 0;
	const char *id;
	json_t *hold;
	json_t **sorted;

	lock(egress);
	sorted = mem_new_array(json_object_size(part(egress, "holds")) + 1, sizeof(json_t *));
	json_object_foreach(part(egress, "holds"), id, hold)
		if (all || hold_is(hold, "open"))
			sorted[count++] = hold;
	qsort(sorted, count, sizeof(json_t *), newest_first);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_deep_copy(sorted[i]));
	unlock(egress);
	free(sorted);
	return list;
}

/* Holding the mutex. */
static json_t *hold_find(struct egress *egress, const char *prefix, struct err *err)
{
	json_t *found = json_object_get(part(egress, "holds"), prefix);
	size_t count = found ? 1 : 0;
	const char *id;
	json_t *hold;

	if (!found && prefix[0])
		json_object_foreach(part(egress, "holds"), id, hold)
			if (view_starts(view_of(id), view_of(prefix))) {
				found = hold;
				count++;
			}
	if (count > 1)
		(void)err_set(err, ERR_INVALID, "more than one question begins with %.40s", prefix);
	else if (!found)
		(void)err_set(err, ERR_NOT_FOUND, "no request %.40s waits, or did: `assay holds` lists them", prefix);
	return count == 1 ? found : NULL;
}

static void remember(struct egress *egress, const json_t *hold, int64_t until_ms)
{
	json_t *all = part(egress, "remembered");
	const char *key = owner_key(json_text(hold, "env", ""), json_text(hold, "run", ""));
	json_t *list = json_object_get(all, key);

	if (!list) {
		list = json_array();
		(void)json_object_set_new(all, key, list);
	}
	for (size_t i = json_array_size(list); i-- > 0;) {
		int64_t until = json_number(json_array_get(list, i), "until_ms", 0);

		if (until && until < world_now_ms(egress->world))
			(void)json_array_remove(list, i);
	}
	if (json_array_size(list) >= REMEMBERED_MAX)
		(void)json_array_remove(list, 0);
	(void)json_array_append_new(list,
				    json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I}", "hold", json_text(hold, "id", ""), "rule",
					      json_text(hold, "rule", ""), "host", json_text(hold, "host", ""), "port",
					      (json_int_t)json_number(hold, "port", 0), "method", json_text(hold, "method", ""),
					      "path", json_text(hold, "path", ""), "until_ms", (json_int_t)until_ms));
}

/* Takes the question for this answer: nobody else answers it meanwhile. Its copy is the caller's. */
static json_t *hold_take(struct egress *egress, const char *id, const char *scope, struct err *err)
{
	json_t *hold;
	json_t *copy = NULL;

	lock(egress);
	hold = hold_find(egress, id, err);
	if (hold && !hold_is(hold, "open")) {
		(void)err_set(err, ERR_CONFLICT, "%s is over: %s", json_text(hold, "id", ""), json_text(hold, "status", ""));
	} else if (hold && strcmp(scope, "once") != 0 && !json_flag(hold, "remember", false)) {
		(void)err_set(err, ERR_INVALID, "what a scanner found is approved once at a time");
	} else if (hold) {
		copy = json_deep_copy(hold);
		(void)json_object_set_new(hold, "status", json_string("answering"));
	}
	unlock(egress);
	return copy;
}

static void hold_settle(struct egress *egress, const char *id, const char *status, const json_t *said, int64_t until_ms)
{
	json_t *hold;

	lock(egress);
	hold = json_object_get(part(egress, "holds"), id);
	if (hold) {
		(void)json_object_set_new(hold, "status", json_string(status));
		if (strcmp(status, "open") != 0) {
			(void)json_object_set_new(hold, "answered_ms", json_integer(world_now_ms(egress->world)));
			(void)json_object_update(hold, (json_t *)(uintptr_t)said);
		}
		if (strcmp(status, "approved") == 0 && strcmp(json_text(said, "scope", "once"), "once") != 0)
			remember(egress, hold, until_ms);
		save_logged(egress);
	}
	unlock(egress);
}

json_t *egress_answer(struct egress *egress, const char *id, bool allow, const char *scope, bool stop_run, const char *by,
		      const char *because, struct err *err)
{
	bool hour = strcmp(scope, "hour") == 0;
	int64_t until_ms = hour ? world_now_ms(egress->world) + EGRESS_REMEMBER_HOUR_MS : 0;
	AUTO_JSON hold = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	AUTO_JSON said = json_pack("{s:s, s:s, s:s}", "by", by, "because", because, "scope", scope);
	AUTO_FREE char *record = NULL;
	const char *run;

	if (!hour && strcmp(scope, "once") != 0 && strcmp(scope, "run") != 0) {
		(void)err_set(err, ERR_INVALID, "an answer is for `once`, `run` or `hour`, not `%.40s`", scope);
		return NULL;
	}
	hold = hold_take(egress, id, scope, err);
	if (!hold)
		return NULL;
	run = json_text(hold, "run", "");
	body = json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:s, s:s}", "env", json_text(hold, "env", ""), "hold",
			 json_text(hold, "id", ""), "digest", json_text(hold, "digest", ""), "allow", allow, "remember", scope,
			 "until_ms", (json_int_t)until_ms, "by", by, "because", because);
	record = text_format("%s %s (%s) of %.16s%s%.200s", json_text(hold, "id", ""), allow ? "approved" : "denied", scope,
			     json_text(hold, "digest", ""), because[0] ? ": " : "", because);
	if (egress->ops.record(egress->ops.self, EGRESS_RECORD_ANSWER, allow, json_text(hold, "env", ""), run,
			       json_text(hold, "rule", ""), by, record, err)) {
		hold_settle(egress, json_text(hold, "id", ""), "open", said, 0);
		return NULL;
	}
	answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_ANSWER, body, EGRESS_GATEWAY_MS, err);
	if (!answer) {
		hold_settle(egress, json_text(hold, "id", ""), err->kind == ERR_NOT_FOUND ? "lost" : "open", said, 0);
		return NULL;
	}
	hold_settle(egress, json_text(hold, "id", ""), allow ? "approved" : "denied", said, until_ms);
	if (!allow && stop_run && run[0] && egress->ops.run_stop(egress->ops.self, run, err))
		return NULL;
	(void)json_object_set_new(hold, "status", json_string(allow ? "approved" : "denied"));
	(void)json_object_update(hold, said);
	return TAKE(hold);
}

/* ---- the kill switch ---- */

static int kill_record(struct egress *egress, const char *env, const char *by, const char *because)
{
	lock(egress);
	(void)json_object_set_new(
		part(egress, "kills"), env,
		json_pack("{s:s, s:s, s:I}", "because", because, "by", by, "at_ms", (json_int_t)world_now_ms(egress->world)));
	unlock(egress);
	return 0;
}

/* `others`: environments that stay stopped, each by a word of its own. */
static int kill_undo(struct egress *egress, const char *env, json_t *others, struct err *err)
{
	json_t *kills;
	const char *id;
	json_t *kill;
	int result = 0;

	lock(egress);
	kills = part(egress, "kills");
	if (!json_object_get(kills, env))
		result = err_set(err, ERR_NOT_FOUND, "%s was not stopped", env[0] ? env : "everything");
	else if (env[0] && json_object_get(kills, ""))
		result = err_set(err, ERR_CONFLICT, "everything is stopped: `assay kill --all --undo` comes first");
	else
		(void)json_object_del(kills, env);
	json_object_foreach(kills, id, kill)
		if (!env[0])
			(void)json_array_append_new(others, json_string(id));
	unlock(egress);
	return result;
}

struct kill_call {
	struct egress *egress;
	const json_t *body;
	bool answered;
};

static void *kill_call_main(void *self)
{
	struct kill_call *call = self;
	struct err problem = {0};
	AUTO_JSON answer = call->egress->ops.tell(call->egress->ops.self, EGRESS_TELL_KILL, call->body,
						  EGRESS_KILL_WAIT_MS + EGRESS_KILL_BUSY_MS, &problem);

	call->answered = answer || problem.kind == ERR_NOT_FOUND; /* it knows of no such environment: nothing is open */
	return NULL;
}

static bool kill_joined(pthread_t thread, int64_t wait_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += wait_ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

static void kill_sever(const struct egress *egress, const char *env, bool whole)
{
	struct err problem = {0};

	if (egress->ops.sever(egress->ops.self, env, whole, &problem))
		log_error("kill: %s", problem.text);
}

/*
 * Asks the gateway. When it does not answer at once, what the sandboxes have open is reset without it, and then one that was stopped is ended,
 * which ends the question too; one that waits for a processor on a busy machine has a while to answer: a kill is what it does first.
 */
static bool kill_tell(struct egress *egress, const char *env, const json_t *body)
{
	struct kill_call call = {.egress = egress, .body = body};
	pthread_t thread;
	bool asked = pthread_create(&thread, NULL, kill_call_main, &call) == 0;
	bool ended = asked && kill_joined(thread, EGRESS_KILL_WAIT_MS + 1);

	if (asked && !ended && !egress->ops.stopped(egress->ops.self)) {
		kill_sever(egress, env, false);
		ended = kill_joined(thread, EGRESS_KILL_BUSY_MS);
	}
	if (ended && call.answered)
		return true;
	kill_sever(egress, env, true);
	if (asked && !ended)
		(void)pthread_join(thread, NULL);
	return false;
}

json_t *egress_kill(struct egress *egress, const char *env, bool undo, const char *by, const char *because, struct err *err)
{
	int64_t began_ms = world_elapsed_ms(egress->world);
	AUTO_JSON body = json_pack("{s:s, s:s, s:b, s:[]}", "env", env, "because", because, "undo", undo, "except");
	AUTO_JSON answer = NULL;
	AUTO_FREE char *detail = NULL;
	struct err problem = {0};
	bool by_kernel = false;
	int saved;

	/* First here: whatever gateway starts from now on is told of it. */
	if (undo ? kill_undo(egress, env, json_object_get(body, "except"), err) : kill_record(egress, env, by, because))
		return NULL;
	if (undo)
		answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_KILL, body, EGRESS_GATEWAY_MS, &problem);
	else
		by_kernel = !kill_tell(egress, env, body);
	detail = text_format("%s%s%.200s",
			     undo        ? "undone"
			     : by_kernel ? "without the gateway"
					 : "stopped",
			     because[0] ? ": " : "", because);
	(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_KILL, false, env[0] ? env : NULL, NULL, "kill", by, detail,
				  &problem);
	lock(egress);
	saved = save(egress, err);
	unlock(egress);
	if (saved) /* it is done, and would not outlive us */
		return NULL;
	if (!undo && egress->ops.credentials_end(egress->ops.self, env, &problem))
		log_error("kill: the vault: %s", problem.text);
	return json_pack("{s:s, s:b, s:b, s:I}", "env", env, "killed", !undo, "by_kernel", by_kernel, "ms",
			 (json_int_t)(world_elapsed_ms(egress->world) - began_ms));
}

json_t *egress_kills(struct egress *egress)
{
	json_t *list = json_array();
	const char *env;
	json_t *kill;

	lock(egress);
	json_object_foreach(part(egress, "kills"), env, kill) {
		json_t *row = json_deep_copy(kill);

		(void)json_object_set_new(row, "env", json_string(env));
		(void)json_array_append_new(list, row);
	}
	unlock(egress);
	return list;
}

/* ---- spending ---- */

static double price_of(const json_t *row, const char *key)
{
	const json_t *price = json_object_get(row, key);

	return json_is_number(price) ? json_number_value(price) : json_number_value(json_object_get(row, "input"));
}

/* Dollars a million tokens are millionths of a dollar a token. */
static int64_t cost_of(const struct egress *egress, const json_t *usage)
{
	static const char *const kinds[] = {"input", "output", "cache_read", "cache_write"};
	const char *model = json_text(usage, "model", "");
	double micro = 0;
	json_t *row;
	size_t i;

	json_array_foreach(egress->prices, i, row) {
		if (fnmatch(json_text(row, "model", ""), model, 0) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			micro += (double)json_number(usage, kinds[k], 0) * price_of(row, kinds[k]);
		break;
	}
	return (int64_t)(micro + 0.5);
}

static void count_add(json_t *object, const char *key, int64_t more)
{
	(void)json_object_set_new(object, key, json_integer(json_number(object, key, 0) + more));
}

static void usage_add(json_t *object, const json_t *usage, int64_t micro)
{
	static const char *const kinds[] = {"input", "output", "cache_read", "cache_write"};

	count_add(object, "calls", 1);
	count_add(object, "micro", micro);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		count_add(object, kinds[i], json_number(usage, kinds[i], 0));
}

/* Tells the environments of a run whether it is over its budget. */
static void budget_tell(struct egress *egress, const char *run)
{
	AUTO_JSON environments = NULL;
	AUTO_BUF over = buf_new(256);
	const char *env;
	json_t *value;

	lock(egress);
	environments = json_deep_copy(part_of(part_of(part(egress, "runs"), run), "environments"));
	over_text(part_of(part(egress, "runs"), run), &over);
	unlock(egress);
	json_object_foreach(environments, env, value) {
		AUTO_JSON body = json_pack("{s:s, s:s?}", "env", env, "over", over.length ? over.at : NULL);
		struct err err = {0};
		AUTO_JSON answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_BUDGET, body, EGRESS_GATEWAY_MS, &err);

		if (!answer && err.kind != ERR_NOT_FOUND)
			log_warn("budget of %s: %s", run, err.text);
	}
}

void egress_usage(struct egress *egress, const json_t *body)
{
	const char *run = owner_key(json_text(body, "env", ""), json_text(body, "run", ""));
	const char *model = json_text(body, "model", "");
	int64_t micro = cost_of(egress, body);
	AUTO_BUF before = buf_new(256);
	AUTO_BUF after = buf_new(256);
	json_t *spending;

	if (!run[0])
		return;
	lock(egress);
	spending = part_of(part(egress, "runs"), run);
	over_text(spending, &before);
	usage_add(spending, body, micro);
	usage_add(part_of(part_of(spending, "models"), model[0] ? model : "?"), body, micro);
	if (json_flag(body, "estimated", false))
		(void)json_object_set_new(spending, "estimated", json_true());
	over_text(spending, &after);
	save_logged(egress);
	unlock(egress);
	if (after.length && !before.length) {
		struct err err;

		(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_BUDGET, false, json_text(body, "env", ""),
					  json_text(body, "run", ""), "budget", "serve", after.at, &err);
		budget_tell(egress, run);
	}
}

static void spending_show(const json_t *from, json_t *to)
{
	static const char *const kinds[] = {"calls", "input", "output", "cache_read", "cache_write"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		(void)json_object_set_new(to, kinds[i], json_integer(json_number(from, kinds[i], 0)));
	(void)json_object_set_new(to, "spent_usd", json_real((double)json_number(from, "micro", 0) / 1e6));
}

json_t *egress_budget(struct egress *egress, const char *run)
{
	json_t *shown = json_object();
	json_t *models = json_object();
	const json_t *spending;
	int64_t budget;
	const char *model;
	json_t *value;

	lock(egress);
	spending = json_object_get(part(egress, "runs"), run);
	budget = json_number(spending, "budget_micro", 0);
	(void)json_object_set_new(shown, "run", json_string(run));
	spending_show(spending, shown);
	(void)json_object_set_new(shown, "budget_usd", budget ? json_real((double)budget / 1e6) : json_null());
	(void)json_object_set_new(shown, "estimated", json_boolean(json_flag(spending, "estimated", false)));
	json_object_foreach(json_member(spending, "models"), model, value) {
		json_t *row = json_object();

		spending_show(value, row);
		(void)json_object_set_new(models, model, row);
	}
	(void)json_object_set_new(shown, "models", models);
	(void)json_object_set(shown, "prices", egress->prices_about);
	unlock(egress);
	return shown;
}

int egress_budget_set(struct egress *egress, const char *run, int64_t micro_usd, const char *by, struct err *err)
{
	AUTO_FREE char *set = text_format("set to %.2f USD", (double)micro_usd / 1e6);
	int result;

	if (egress->ops.record(egress->ops.self, EGRESS_RECORD_BUDGET, true, run[0] == 'e' ? run : NULL, run[0] == 'e' ? NULL : run,
			       "budget", by, set, err))
		return -1;
	lock(egress);
	(void)json_object_set_new(part_of(part(egress, "runs"), run), "budget_micro", json_integer(micro_usd));
	result = save(egress, err);
	unlock(egress);
	if (!result)
		budget_tell(egress, run);
	return result;
}
