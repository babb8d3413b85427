/*
 * The warm pool: one whole environment and one set of started databases, ready before anybody asks.
 *
 * Theory of operation. After an environment came up, a builder with the same databases over the same snapshot is started in quiet
 * moments by the monitor, and kept as the spare. An environment that wants just that takes the spare's id, volumes and running servers
 * as its own before anyone has seen it; nothing of a task has ever run in them. A spare that nobody takes, whose snapshot is
 * removed, or whose sandboxes are gone, is dropped.
 *
 * The whole one is of the same commit, blueprint and snapshot as the last that came up, brought up by a thread of its own and frozen.
 * It is a builder, which nobody sees, until an environment of just that kind is wanted: then it becomes that one. Where freezing ends
 * programs (a cluster) it runs on meanwhile: its pods are scheduled, their images pulled, its volumes filled. Its timers ran, too, so no
 * verification gets it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/environment_priv.h"

#define PAUSE_MS 500   /* after the last environment came up, before the machine is used for another spare */
#define IDLE_MS 600000 /* a spare that nobody wanted for so long is dropped */
#define START_LIMIT_MS 60000
#define CONNECT_LIMIT_MS 200

/* Whatever makes two sets of databases the same. */
static char *key_of(const struct blueprint *blueprint, const char *snapshot)
{
	AUTO_BUF key = buf_new((size_t)1 << 18);

	buf_add_format(&key, "%s\n", snapshot);
	for (size_t i = 0; i < blueprint->database_count; i++) {
		const struct database *database = &blueprint->databases[i];

		buf_add_format(&key, "%s %d %d %s %s\n", database->name, (int)database->engine, database->version,
			       database->database, database->user);
		for (size_t k = 0; database->engine == ENGINE_RABBITMQ && k < database->env.count; k++)
			buf_add_format(&key, "%s=%s\n", database->env.at[k].name, database->env.at[k].value);
	}
	return buf_take(&key);
}

/* Takes it out of the pool; the caller has its reference. */
static struct environment *spare_take(struct environments *all, const char *key)
{
	struct environment *spare = NULL;

	(void)pthread_mutex_lock(&all->mutex);
	if (all->pool.spare && (!key || strcmp(all->pool.spare_key, key) == 0))
		spare = TAKE(all->pool.spare);
	(void)pthread_mutex_unlock(&all->mutex);
	return spare;
}

static struct environment *whole_take(struct environments *all)
{
	struct environment *whole;

	(void)pthread_mutex_lock(&all->mutex);
	whole = TAKE(all->pool.whole);
	(void)pthread_mutex_unlock(&all->mutex);
	return whole;
}

void pool_drop(struct environments *all)
{
	builder_end(whole_take(all));
	struct environment *spare = spare_take(all, NULL);

	if (spare)
		builder_end(spare);
}

/* Do its servers still answer? */
static bool spare_lives(struct environment *spare)
{
	for (size_t i = 0; i < spare->member_count; i++) {
		AUTO_CLOSE int fd = -1;

		if (spare->members[i].kind == MEMBER_DATABASE &&
		    member_connect(spare, &spare->members[i], CONNECT_LIMIT_MS, &fd, NULL))
			return false;
	}
	return true;
}

static void member_adopt(struct member *member, struct member *from)
{
	member->log = TAKE(from->log);
	member->state = from->state;
	member->made = from->made;
	member->running = from->running;
	member->process = from->process;
	member->started_ms = from->started_ms;
	member->ready_ms = from->ready_ms;
}

struct environment *pool_adopt(struct environment *env)
{
	AUTO_FREE char *snapshot = NULL;
	AUTO_FREE char *key = NULL;
	struct environment *spare;

	if (!env->all->pool.warm || !env->blueprint->database_count)
		return NULL;
	snapshot = snapshot_resolve(env->all, env->blueprint, env->snapshot, NULL);
	key = snapshot ? key_of(env->blueprint, snapshot) : NULL;
	spare = key ? spare_take(env->all, key) : NULL;
	if (!spare)
		return NULL;
	if (!spare_lives(spare)) {
		builder_end(spare);
		return NULL;
	}
	env->id = spare->id;
	env->adopted = true;
	free(env->dir);
	env->dir = text_copy(spare->dir);
	free(env->snapshot);
	env->snapshot = TAKE(snapshot);
	(void)json_object_update(env->layers, spare->layers);
	for (size_t i = 0; i < spare->member_count; i++)
		if (spare->members[i].kind == MEMBER_DATABASE)
			member_adopt(member_find(env, spare->members[i].name), &spare->members[i]);
	return spare;
}

static bool whole_fits(const struct environment *whole, const struct environment *planned, const char *snapshot)
{
	return !planned->no_services && !planned->below.text[0] && strcmp(whole->repository, planned->repository) == 0 &&
	       strcmp(whole->commit.text, planned->commit.text) == 0 &&
	       strcmp(whole->blueprint_text, planned->blueprint_text) == 0 &&
	       strcmp(whole->snapshot_used ? whole->snapshot_used : "", snapshot ? snapshot : "") == 0;
}

/* Everything that ran when it was frozen runs again. */
static bool whole_lives(struct environment *whole)
{
	if (!whole->all->provider.ops->freeze_ends && provider_env_freeze(whole->all->provider, whole->id, false, NULL))
		return false;
	for (size_t i = 0; i < whole->member_count; i++)
		if (whole->members[i].running && member_ended(whole, &whole->members[i]))
			return false;
	return true;
}

static void text_move(char **to, char **from)
{
	free(*to);
	*to = TAKE(*from);
}

struct environment *pool_take_whole(struct environment *planned)
{
	struct environments *all = planned->all;
	AUTO_FREE char *snapshot = NULL;
	struct environment *whole;

	if (!all->pool.warm || environment_has_clock(planned)) /* its services run already, at this date */
		return NULL;
	if (all->provider.ops->freeze_ends && planned->volatile_)
		return NULL;
	snapshot = snapshot_resolve(all, planned->blueprint, planned->snapshot, NULL);
	(void)pthread_mutex_lock(&all->mutex);
	whole = all->pool.whole && whole_fits(all->pool.whole, planned, snapshot) ? TAKE(all->pool.whole) : NULL;
	(void)pthread_mutex_unlock(&all->mutex);
	if (!whole)
		return NULL;
	if (environment_lock(whole, NULL) || !whole_lives(whole)) {
		environment_unlock(whole);
		builder_end(whole);
		return NULL;
	}
	text_move(&whole->name, &planned->name);
	text_move(&whole->purpose, &planned->purpose);
	text_move(&whole->owner, &planned->owner);
	text_move(&whole->snapshot, &planned->snapshot);
	(void)pthread_mutex_lock(&whole->mutex);
	whole->volatile_ = planned->volatile_;
	whole->created_ms = planned->created_ms;
	whole->expires_ms = planned->expires_ms;
	(void)pthread_mutex_unlock(&whole->mutex);
	(void)pthread_mutex_lock(&all->mutex);
	whole->builder = whole->spare = false;
	(void)pthread_mutex_unlock(&all->mutex);
	gateway_env_state(whole, ENV_READY);
	environment_touched(whole);
	pool_want(whole);
	return whole;
}

void pool_want(struct environment *env)
{
	struct environments *all = env->all;

	if (!all->pool.warm || env->builder)
		return;
	(void)pthread_mutex_lock(&all->mutex);
	if (!env->no_services && !env->below.text[0]) {
		free(all->pool.whole_repository);
		free(all->pool.whole_snapshot);
		all->pool.whole_repository = text_copy(env->repository);
		all->pool.whole_commit = env->commit;
		all->pool.whole_snapshot = text_copy(env->snapshot_used);
		all->pool.whole_wanted_ms = elapsed_ms(all);
	}
	if (!env->snapshot_used) {
		(void)pthread_mutex_unlock(&all->mutex);
		return;
	}
	free(all->pool.wanted);
	free(all->pool.wanted_snapshot);
	all->pool.wanted = text_copy(env->blueprint_text);
	all->pool.wanted_snapshot = text_copy(env->snapshot_used);
	all->pool.wanted_ms = elapsed_ms(all);
	(void)pthread_mutex_unlock(&all->mutex);
}

static int spare_start(struct environment *spare, const char *snapshot, struct err *err)
{
	struct progress quiet = {0};

	for (size_t i = 0; i < spare->member_count; i++) {
		struct member *member = &spare->members[i];
		AUTO_FREE char *layer = NULL;

		if (member->kind != MEMBER_DATABASE)
			continue;
		layer = snapshot_layer(spare->all, snapshot, member->target.database, quiet, err);
		if (!layer || builder_member_make(spare, member, layer, err) || member_start(spare, member, err))
			return -1;
		(void)json_object_set_new(spare->layers, member->volume, json_pack("[s]", layer));
	}
	for (size_t i = 0; i < spare->member_count; i++)
		if (spare->members[i].kind == MEMBER_DATABASE &&
		    member_wait_ready(spare, &spare->members[i], member_ready_limit_ms(&spare->members[i], START_LIMIT_MS), NULL,
				      err))
			return -1;
	return 0;
}

static void fill(struct environments *all, const char *blueprint_text, const char *snapshot)
{
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", &err);
	AUTO_FREE char *text = blueprint ? builder_databases_text(blueprint->databases, blueprint->database_count) : NULL;
	struct environment *spare = text ? builder_begin(all, &(struct builder_spec){.blueprint_text = text}, &err) : NULL;

	if (!spare || spare_start(spare, snapshot, &err)) {
		log_info("no warm databases: %s", err.text);
		builder_end(spare);
		return;
	}
	(void)pthread_mutex_lock(&all->mutex);
	all->pool.spare = spare;
	free(all->pool.spare_key);
	all->pool.spare_key = key_of(blueprint, snapshot);
	all->pool.spare_ms = elapsed_ms(all);
	(void)pthread_mutex_unlock(&all->mutex);
}

struct filling {
	struct environments *all;
	char *repository;
	struct git_hash commit;
	char *snapshot;
};

static struct environment *whole_start(const struct filling *filling, struct err *err)
{
	struct environments *all = filling->all;
	struct environment_spec spec = {
		.repository = filling->repository, .commit = filling->commit, .snapshot = filling->snapshot};
	struct environment *whole = environment_plan(all, &spec, err);
	int result;

	if (!whole)
		return NULL;
	whole->builder = whole->spare = true;
	if (file_make_dirs(whole->dir, 0750, err)) {
		environment_release(whole);
		return NULL;
	}
	environment_add(whole);
	result = environment_lock(whole, err);
	if (!result) {
		result = environment_up_locked(whole, (struct progress){0}, err) ||
			 (!all->provider.ops->freeze_ends && provider_env_freeze(all->provider, whole->id, true, err));
		environment_unlock(whole);
	}
	if (result) {
		builder_end(whole);
		return NULL;
	}
	return whole;
}

static void *whole_fill(void *self)
{
	struct filling *filling = self;
	struct environments *all = filling->all;
	struct err err = {0};
	struct environment *whole = whole_start(filling, &err);

	if (whole)
		log_info("env=%s is kept ready for who wants one of commit %.12s", whole->id.text, whole->commit.text);
	else
		log_info("no warm environment: %s", err.text);
	(void)pthread_mutex_lock(&all->mutex);
	all->pool.whole = whole;
	all->pool.whole_ms = elapsed_ms(all);
	(void)pthread_mutex_unlock(&all->mutex);
	free(filling->repository);
	free(filling->snapshot);
	free(filling);
	__atomic_store_n(&all->pool.filled, true, __ATOMIC_RELEASE);
	return NULL;
}

static void filler_join(struct environments *all, bool wait)
{
	if (!all->pool.filling || (!wait && !__atomic_load_n(&all->pool.filled, __ATOMIC_ACQUIRE)))
		return;
	(void)pthread_join(all->pool.filler, NULL);
	all->pool.filling = all->pool.filled = false;
}

static bool somebody_starts(struct environments *all)
{
	bool starts = false;

	(void)pthread_mutex_lock(&all->mutex);
	for (size_t i = 0; i < all->count && !starts; i++)
		starts = environment_state_of(all->list[i]) == ENV_STARTING && !all->list[i]->builder;
	(void)pthread_mutex_unlock(&all->mutex);
	return starts;
}

/* Starts another whole one when one is wanted and the machine is quiet. */
static void whole_tend(struct environments *all)
{
	struct filling *filling = NULL;
	bool drop;

	filler_join(all, false);
	(void)pthread_mutex_lock(&all->mutex);
	drop = all->pool.whole && elapsed_ms(all) - all->pool.whole_ms > IDLE_MS;
	(void)pthread_mutex_unlock(&all->mutex);
	if (drop)
		builder_end(whole_take(all));
	if (all->pool.filling || somebody_starts(all))
		return;
	(void)pthread_mutex_lock(&all->mutex);
	if (!all->pool.whole && all->pool.whole_repository && elapsed_ms(all) - all->pool.whole_wanted_ms > PAUSE_MS) {
		filling = mem_new(sizeof(*filling));
		*filling = (struct filling){all, TAKE(all->pool.whole_repository), all->pool.whole_commit,
					    TAKE(all->pool.whole_snapshot)};
	}
	(void)pthread_mutex_unlock(&all->mutex);
	if (!filling)
		return;
	all->pool.filling = pthread_create(&all->pool.filler, NULL, whole_fill, filling) == 0;
	if (!all->pool.filling) {
		free(filling->repository);
		free(filling->snapshot);
		free(filling);
	}
}

void pool_tend(struct environments *all)
{
	AUTO_FREE char *wanted = NULL;
	AUTO_FREE char *snapshot = NULL;
	int64_t now_ms = elapsed_ms(all);
	bool idle;

	if (!all->pool.warm)
		return;
	whole_tend(all);
	(void)pthread_mutex_lock(&all->mutex);
	idle = all->pool.spare && now_ms - all->pool.spare_ms > IDLE_MS;
	if (!all->pool.spare && all->pool.wanted && now_ms - all->pool.wanted_ms > PAUSE_MS) {
		wanted = TAKE(all->pool.wanted);
		snapshot = TAKE(all->pool.wanted_snapshot);
	}
	(void)pthread_mutex_unlock(&all->mutex);
	if (idle)
		pool_drop(all);
	if (!wanted)
		return;
	if (!somebody_starts(all)) {
		fill(all, wanted, snapshot);
		return;
	}
	(void)pthread_mutex_lock(&all->mutex);
	if (!all->pool.wanted) { /* later, then */
		all->pool.wanted = TAKE(wanted);
		all->pool.wanted_snapshot = TAKE(snapshot);
		all->pool.wanted_ms = now_ms;
	}
	(void)pthread_mutex_unlock(&all->mutex);
}

void pool_close(struct environments *all)
{
	filler_join(all, true);
	pool_drop(all);
	free(all->pool.whole_repository);
	free(all->pool.whole_snapshot);
	free(all->pool.wanted);
	free(all->pool.wanted_snapshot);
	free(all->pool.spare_key);
}
