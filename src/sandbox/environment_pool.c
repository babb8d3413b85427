/*
 * The warm pool: one set of started databases, ready before anybody asks.
 *
 * Theory of operation. After an environment came up, a builder with the same databases over the same snapshot is started in quiet
 * moments by the monitor, and kept as the spare. An environment that wants just that takes the spare's id, volumes and running servers
 * as its own before anyone has seen it; nothing of a task has ever run in them. A spare that nobody takes, whose snapshot is
 * removed, or whose sandboxes are gone, is dropped.
 */
#include <stdlib.h>
#include <unistd.h>

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

void pool_drop(struct environments *all)
{
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

void pool_want(struct environment *env)
{
	struct environments *all = env->all;

	if (!all->pool.warm || !env->snapshot_used)
		return;
	(void)pthread_mutex_lock(&all->mutex);
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
		    member_wait_ready(spare, &spare->members[i], START_LIMIT_MS, NULL, err))
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

static bool somebody_starts(struct environments *all)
{
	bool starts = false;

	(void)pthread_mutex_lock(&all->mutex);
	for (size_t i = 0; i < all->count && !starts; i++)
		starts = environment_state_of(all->list[i]) == ENV_STARTING && all->list[i] != all->pool.spare;
	(void)pthread_mutex_unlock(&all->mutex);
	return starts;
}

void pool_tend(struct environments *all)
{
	AUTO_FREE char *wanted = NULL;
	AUTO_FREE char *snapshot = NULL;
	int64_t now_ms = elapsed_ms(all);
	bool idle;

	if (!all->pool.warm)
		return;
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
	pool_drop(all);
	free(all->pool.wanted);
	free(all->pool.wanted_snapshot);
	free(all->pool.spare_key);
}
