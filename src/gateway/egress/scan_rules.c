/* From descriptions to a scanner for each environment, compiled beside the loop. */
#include "gateway/egress/scan_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "gateway/egress/broker.h"
#include "gateway/egress/release.h"
#include "net/pool.h"

#define SETS_MAX 8 /* compiled sets of rules that are kept for environments to come */

struct set {
	char digest[sizeof(((struct digest *)0)->text)]; /* of the rules that are not Assay's own; empty: there are none */
	struct dlp_rules *rules;
};

struct scan_sets {
	char *cache_dir; /* NULL: none */
	json_t *above;   /* the organisation's description; NULL: none */
	struct set sets[SETS_MAX];
	size_t next;
};

/* ---- descriptions ---- */

/* Its rules, those of gitleaks.toml first; owned by the caller. */
static json_t *rules_of(const json_t *description, struct err *err)
{
	const char *gitleaks = json_text(description, "gitleaks", NULL);
	json_t *list = gitleaks ? dlp_rules_from_gitleaks(view_of(gitleaks), err) : json_array();

	if (list)
		(void)json_array_extend(list, json_object_get(description, "rules"));
	return list;
}

static int secrets_check(const json_t *list, struct err *err)
{
	if (json_array_size(list) > DLP_SECRETS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d secrets to be looked for", DLP_SECRETS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name;
		const char *value;

		if (json_text_get(json_array_get(list, i), "name", &name, err) ||
		    json_text_get(json_array_get(list, i), "value", &value, err))
			return -1;
		if (strlen(value) > DLP_SECRET_MOST)
			return err_set(err, ERR_LIMIT, "secret %s: it is longer than %zu bytes", name, DLP_SECRET_MOST);
	}
	return 0;
}

int scan_description_read(int fd, json_t **description, struct err *err)
{
	AUTO_BUF text = buf_new(SCAN_DESCRIPTION_BYTES_MAX);
	AUTO_JSON read = NULL;
	AUTO_JSON rules = NULL;
	size_t wrong;

	*description = NULL;
	if (fd < 0)
		return 0;
	if (lseek(fd, 0, SEEK_SET) < 0 || file_read_fd(fd, &text, err) || buf_finish(&text, err))
		return err_prefix(err, "what to scan by");
	read = json_parse(buf_view(&text), err);
	explicit_bzero(text.at, text.length);
	rules = read ? rules_of(read, err) : NULL;
	if (!rules || dlp_rules_check(rules, &wrong, err) || secrets_check(json_member(read, "secrets"), err))
		return -1;
	(void)json_object_set(read, "rules", rules);
	(void)json_object_del(read, "gitleaks");
	*description = TAKE(read);
	return 0;
}

/* ---- compiling ---- */

struct secret_text {
	char *name;
	char *value;
	size_t length;
};

struct known_value {
	char *name;
	struct fingerprint print;
};

struct scan_job {
	struct worker *worker;
	char *env; /* NULL: only the rules are wanted */
	uint64_t turn;
	json_t *list; /* of rules; nobody else has it */
	char digest[sizeof(((struct digest *)0)->text)];
	struct dlp_rules *rules; /* NULL: not compiled yet */
	struct dlp *dlp;         /* NULL: a new one is made */
	struct secret_text secrets[DLP_SECRETS_MAX];
	size_t secret_count;
	struct known_value *known; /* of its credentials, as the vault told them one after the other */
	size_t known_count;
	size_t asked; /* of its credentials */
	struct err err;
};

static void job_free(struct scan_job *job)
{
	for (size_t i = 0; i < job->secret_count; i++) {
		explicit_bzero(job->secrets[i].value, job->secrets[i].length);
		free(job->secrets[i].value);
		free(job->secrets[i].name);
	}
	for (size_t i = 0; i < job->known_count; i++)
		free(job->known[i].name);
	free(job->known);
	json_decref(job->list);
	dlp_rules_unref(job->rules);
	dlp_unref(job->dlp);
	free(job->env);
	free(job);
}

static struct set *set_find(struct scan_sets *sets, const char *digest)
{
	for (size_t i = 0; i < SETS_MAX; i++)
		if (sets->sets[i].rules && strcmp(sets->sets[i].digest, digest) == 0)
			return &sets->sets[i];
	return NULL;
}

static void set_keep(struct scan_sets *sets, const struct scan_job *job)
{
	struct set *set = set_find(sets, job->digest);

	if (set || !job->rules)
		return;
	set = &sets->sets[sets->next++ % SETS_MAX];
	dlp_rules_unref(set->rules);
	set->rules = dlp_rules_ref(job->rules);
	memcpy(set->digest, job->digest, sizeof(set->digest));
}

static void job_done(void *self)
{
	struct scan_job *job = self;
	struct worker *worker = job->worker;
	struct env *env = job->env && worker->scan_sets ? env_find(worker, job->env) : NULL;

	if (worker->scan_sets)
		set_keep(worker->scan_sets, job);
	if (!job->env && !job->rules) {
		worker->scan_failed = true;
		log_error("nothing leaves any environment: the DLP rules cannot be compiled: %s", job->err.text);
	}
	if (env && env->scan.turn == job->turn) {
		env->scan.under_way = false;
		env->scan.stale = env->scan.failed = job->err.kind != ERR_NONE;
		if (env->scan.failed)
			log_error("env=%s: nothing leaves it: %s", env->id, job->err.text);
		else if (!env->dlp)
			env->dlp = TAKE(job->dlp);
	}
	job_free(job);
}

static void job_known_set(struct scan_job *job)
{
	struct dlp_known known[BROKER_CREDENTIALS_MAX];

	for (size_t i = 0; i < job->known_count; i++)
		known[i] = (struct dlp_known){job->known[i].name, &job->known[i].print};
	dlp_known_set(job->dlp, known, job->known_count);
}

static void job_run(void *self)
{
	struct scan_job *job = self;
	struct dlp_secret secrets[DLP_SECRETS_MAX];

	if (!job->rules) {
		job->rules = dlp_rules_new(job->list, false, job->worker->scan_sets->cache_dir, &job->err);
		mem_settle(); /* making a set takes several times of what it keeps, and is rare */
	}
	if (job->rules && job->env) {
		for (size_t i = 0; i < job->secret_count; i++)
			secrets[i] = (struct dlp_secret){job->secrets[i].name, {job->secrets[i].value, job->secrets[i].length}};
		if (job->dlp)
			dlp_rules_set(job->dlp, job->rules);
		else
			job->dlp = dlp_new(job->rules);
		job_known_set(job);
		(void)!dlp_secrets_set(job->dlp, secrets, job->secret_count, &job->err);
	}
	loop_post(job->worker->loop, job_done, job);
}

static struct scan_job *job_new(struct worker *worker, const struct env *env)
{
	struct scan_job *job = mem_new(sizeof(*job));

	job->worker = worker;
	job->env = env ? text_copy(env->id) : NULL;
	return job;
}

static void job_secret(struct scan_job *job, const char *name, struct view value)
{
	if (job->secret_count < DLP_SECRETS_MAX)
		job->secrets[job->secret_count++] = (struct secret_text){text_copy(name), view_copy(value), value.length};
}

static void job_start(struct scan_job *job)
{
	if (!pool_add(job->worker->lookups, job_run, job))
		job_run(job);
}

void scan_begin(struct worker *worker, const char *cache_dir)
{
	worker->scan_sets = mem_new(sizeof(*worker->scan_sets));
	worker->scan_sets->cache_dir = text_copy(cache_dir);
	job_start(job_new(worker, NULL));
}

void scan_end(struct worker *worker)
{
	struct scan_sets *sets = worker->scan_sets;

	if (!sets)
		return;
	for (size_t i = 0; i < SETS_MAX; i++)
		dlp_rules_unref(sets->sets[i].rules);
	json_decref(sets->above);
	free(sets->cache_dir);
	free(sets);
	worker->scan_sets = NULL;
}

/* ---- environments ---- */

void scan_env_describe(struct env *env, json_t *description)
{
	json_decref(env->scan.description);
	env->scan.description = description;
	env->scan.stale = true;
	env->scan.failed = env->scan.under_way = false;
	env->scan.turn++;
	(void)scan_env_ready(env);
}

void scan_worker_describe(struct worker *worker, json_t *description)
{
	json_decref(worker->scan_sets->above);
	worker->scan_sets->above = description;
	for (struct env *env = worker->envs; env; env = env->next)
		scan_env_describe(env, json_incref(env->scan.description));
}

/* What it is known to have: the values that its blueprint marks, the organisation's, and placeholders, which in bodies, compressed or in other
 * clothes, are leak attempts: the broker itself looks only at what is plain. */
static void job_secrets(struct scan_job *job, const struct env *env)
{
	const json_t *lists[] = {json_member(job->worker->scan_sets->above, "secrets"),
				 json_member(env->scan.description, "secrets")};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t j = 0; j < json_array_size(lists[i]); j++) {
			const json_t *secret = json_array_get(lists[i], j);

			job_secret(job, json_text(secret, "name", ""), view_of(json_text(secret, "value", "")));
		}
	for (size_t i = 0; i < broker_count(env->broker); i++)
		if (!broker_goes_into_bodies(env->broker, i))
			job_secret(job, broker_name(env->broker, i), broker_placeholder(env->broker, i));
}

/* False: Assay's own rules are all that is wanted, and are not there yet. */
static bool job_rules(struct scan_job *job, const struct env *env)
{
	struct scan_sets *sets = job->worker->scan_sets;
	const json_t *own = json_member(env->scan.description, "rules"), *above = json_member(sets->above, "rules");
	const struct set *set;

	if (json_array_size(own) || json_array_size(above)) {
		AUTO_JSON both = json_array();
		AUTO_BUF text = buf_new(SCAN_DESCRIPTION_BYTES_MAX * 4);
		struct digest digest;

		(void)json_array_extend(both, (json_t *)(uintptr_t)own);
		(void)json_array_extend(both, (json_t *)(uintptr_t)above);
		json_format(&text, both);
		digest = digest_of(buf_view(&text));
		memcpy(job->digest, digest.text, sizeof(job->digest));
		job->list = json_deep_copy(both); /* counts of references are not for two threads */
	}
	set = set_find(sets, job->digest);
	if (set)
		job->rules = dlp_rules_ref(set->rules);
	return set || job->list;
}

static void known_ask(struct scan_job *job, const struct env *env);

static void known_answered(void *self, const struct vault_fingerprint_reply *reply)
{
	struct scan_job *job = self;
	struct env *env = env_find(job->worker, job->env);

	if (!env || env->scan.turn != job->turn) { /* another is told of, or on its way */
		job_free(job);
		return;
	}
	if (!reply) {
		env->scan.under_way = false; /* who waits asks again, and meanwhile nothing leaves */
		job_free(job);
		return;
	}
	if (!reply->errno_value && fingerprint_valid(&reply->print) && job->asked < broker_count(env->broker)) {
		job->known = mem_grow(job->known, job->known_count + 1, sizeof(*job->known));
		job->known[job->known_count++] = (struct known_value){text_copy(broker_name(env->broker, job->asked)),
								      reply->print};
	}
	job->asked++;
	known_ask(job, env);
}

/* Asks the vault for the next credential's fingerprint; compiles when there is none left. */
static void known_ask(struct scan_job *job, const struct env *env)
{
	struct vault_fingerprint_request ask = {.env = ""};

	if (job->asked >= broker_count(env->broker)) {
		job_start(job);
		return;
	}
	(void)snprintf(ask.env, sizeof(ask.env), "%s", env->id);
	(void)snprintf(ask.name, sizeof(ask.name), "%s", broker_name(env->broker, job->asked));
	(void)fingerprint_ask(job->worker->releases, &ask, known_answered, job);
}

void scan_vault_changed(void *self, const char *credential)
{
	struct worker *worker = self;

	for (struct env *env = worker->envs; env; env = env->next)
		for (size_t i = 0; i < broker_count(env->broker); i++)
			if (!credential || strcmp(broker_name(env->broker, i), credential) == 0) {
				scan_env_describe(env, json_incref(env->scan.description));
				break;
			}
}

static void env_start(struct env *env)
{
	struct scan_job *job = job_new(env->worker, env);

	if (!job_rules(job, env)) {
		job_free(job);
		return;
	}
	job_secrets(job, env);
	if (!job->secret_count && !broker_count(env->broker) && job->rules && !env->dlp) { /* nothing to wait for */
		env->dlp = dlp_new(job->rules);
		env->scan.stale = false;
		job_free(job);
		return;
	}
	job->turn = env->scan.turn;
	job->dlp = env->dlp ? dlp_ref(env->dlp) : NULL;
	env->scan.under_way = true;
	known_ask(job, env);
}

enum scan_ready scan_env_ready(struct env *env)
{
	if (env->scan.stale && !env->scan.under_way && !env->scan.failed)
		env_start(env);
	if (!env->scan.stale)
		return SCAN_READY;
	return env->scan.failed || (!env->scan.under_way && env->worker->scan_failed) ? SCAN_READY_NEVER : SCAN_READY_SOON;
}

void scan_env_free(struct env *env)
{
	json_decref(env->scan.description);
	dlp_unref(env->dlp);
}
