/* Several clusters. */
#include "sandbox/kubernetes/fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"

#define NAME_BYTES_MAX 1024
#define TROUBLE_MS 300000 /* so long one that did not make a room is not the first choice */

struct place {
	struct place *next;
	struct env_id env;
	size_t member;
};

struct member {
	struct kube_fleet_member given;
	json_t *last;       /* what it had when it last said so; NULL: it never did */
	int64_t trouble_ms; /* until when */
};

struct fleet {
	struct world world;
	struct member members[KUBE_FLEET_MAX];
	size_t count;
	char *folder;
	pthread_mutex_t mutex; /* guards what follows, and what members remember; held over no request */
	struct place *places;
};

static struct provider at_member(const struct fleet *fleet, size_t member)
{
	return fleet->members[member].given.provider;
}

/* ---- where an environment is ---- */

/* Holding the mutex. */
static struct place *place_find(struct fleet *fleet, struct env_id env)
{
	struct place *place = fleet->places;

	while (place && strcmp(place->env.text, env.text) != 0)
		place = place->next;
	return place;
}

static void place_remember(struct fleet *fleet, struct env_id env, size_t member)
{
	struct place *place;

	(void)pthread_mutex_lock(&fleet->mutex);
	place = place_find(fleet, env);
	if (!place) {
		place = mem_new(sizeof(*place));
		place->env = env;
		place->next = fleet->places;
		fleet->places = place;
	}
	place->member = member;
	(void)pthread_mutex_unlock(&fleet->mutex);
}

static char *place_path(const struct fleet *fleet, struct env_id env)
{
	return text_format("%s/place-%s", fleet->folder, env.text);
}

/* Before anything of it is there: whatever becomes of us or of the cluster, it is not made at another one, too. */
static int place_write(struct fleet *fleet, struct env_id env, size_t member, struct err *err)
{
	AUTO_FREE char *path = place_path(fleet, env);

	return file_replace(path, view_of(fleet->members[member].given.name), 0600, err);
}

static void place_forget(struct fleet *fleet, struct env_id env)
{
	AUTO_FREE char *path = place_path(fleet, env);

	(void)unlink(path);
	(void)pthread_mutex_lock(&fleet->mutex);
	for (struct place **at = &fleet->places; *at; at = &(*at)->next)
		if (strcmp((*at)->env.text, env.text) == 0) {
			struct place *place = *at;

			*at = place->next;
			free(place);
			break;
		}
	(void)pthread_mutex_unlock(&fleet->mutex);
}

/* ERR_NOT_FOUND: it was not written down. */
static int place_read(struct fleet *fleet, struct env_id env, size_t *member, struct err *err)
{
	AUTO_FREE char *path = place_path(fleet, env);
	AUTO_BUF name = buf_new(NAME_BYTES_MAX);

	if (!file_exists(path))
		return err_set(err, ERR_NOT_FOUND, "there is no environment %s", env.text);
	if (file_read(path, &name, err))
		return -1;
	for (*member = 0; *member < fleet->count; (*member)++)
		if (view_is(buf_view(&name), fleet->members[*member].given.name))
			return 0;
	return err_set(err, ERR_INVALID, "environment %s is on the cluster %.*s, which kubernetes-context does not name", env.text,
		       (int)name.length, name.at);
}

/* Of one that somebody else made. ERR_NOT_FOUND: all clusters say that they have not got it. */
static int place_ask(struct fleet *fleet, struct env_id env, size_t *member, struct err *err)
{
	struct err trouble = {0};

	for (*member = 0; *member < fleet->count; (*member)++) {
		struct err why = {0};

		if (kube_cluster_look(at_member(fleet, *member), &why) == 0 &&
		    kube_cluster_find(at_member(fleet, *member), env, &why) == 0)
			return 0;
		if (why.kind != ERR_NOT_FOUND)
			(void)err_set(&trouble, why.kind, "cluster %s: %s", fleet->members[*member].given.name, why.text);
	}
	return trouble.kind != ERR_NONE ? err_set(err, trouble.kind, "%s", trouble.text)
					: err_set(err, ERR_NOT_FOUND, "there is no environment %s", env.text);
}

static int place_of(struct fleet *fleet, struct env_id env, size_t *member, struct err *err)
{
	struct err why = {0};
	const struct place *place;

	(void)pthread_mutex_lock(&fleet->mutex);
	place = place_find(fleet, env);
	if (place)
		*member = place->member;
	(void)pthread_mutex_unlock(&fleet->mutex);
	if (place)
		return 0;
	if (place_read(fleet, env, member, &why)) {
		if (why.kind != ERR_NOT_FOUND)
			return err_set(err, why.kind, "%s", why.text);
		if (place_ask(fleet, env, member, err))
			return -1;
	}
	place_remember(fleet, env, *member);
	return 0;
}

/* Its cluster; ops NULL: there is none, or nobody knows. */
static struct provider home(struct fleet *fleet, struct env_id env, struct err *err)
{
	size_t member;

	return place_of(fleet, env, &member, err) ? (struct provider){0} : at_member(fleet, member);
}

/* ---- choosing ---- */

/* Holding the mutex. */
static size_t load_of(const struct fleet *fleet, size_t member)
{
	size_t load = 0;

	for (const struct place *place = fleet->places; place; place = place->next)
		load += place->member == member;
	return load;
}

/* Is `a` to be tried before `b`? Holding the mutex. */
static bool is_better(const struct fleet *fleet, size_t a, size_t b, int64_t now_ms)
{
	bool trouble_a = fleet->members[a].trouble_ms > now_ms, trouble_b = fleet->members[b].trouble_ms > now_ms;

	if (trouble_a != trouble_b)
		return trouble_b;
	return load_of(fleet, a) < load_of(fleet, b);
}

/* All, the best first; of equal ones the first. */
static void order(struct fleet *fleet, size_t tried[KUBE_FLEET_MAX])
{
	int64_t now_ms = world_elapsed_ms(fleet->world);

	(void)pthread_mutex_lock(&fleet->mutex);
	for (size_t i = 0; i < fleet->count; i++) {
		size_t at = i;

		for (; at && is_better(fleet, i, tried[at - 1], now_ms); at--)
			tried[at] = tried[at - 1];
		tried[at] = i;
	}
	(void)pthread_mutex_unlock(&fleet->mutex);
}

static void trouble_note(struct fleet *fleet, size_t member)
{
	(void)pthread_mutex_lock(&fleet->mutex);
	fleet->members[member].trouble_ms = world_elapsed_ms(fleet->world) + TROUBLE_MS;
	(void)pthread_mutex_unlock(&fleet->mutex);
}

static int make_at(struct fleet *fleet, struct env_id env, size_t member, struct err *err)
{
	struct provider at = at_member(fleet, member);

	if (place_write(fleet, env, member, err) || at.ops->env_make(at.self, env, err))
		return -1;
	place_remember(fleet, env, member);
	return 0;
}

/* What was begun at one that then gave no answer goes on there. One that says no, or is away before it was asked for anything, leaves it to the next. */
static int fleet_env_make(void *self, struct env_id env, struct err *err)
{
	struct fleet *fleet = self;
	AUTO_FREE char *written = place_path(fleet, env);
	size_t tried[KUBE_FLEET_MAX] = {0};
	struct err why = {0};
	size_t there;

	if (place_of(fleet, env, &there, &why) == 0)
		return kube_cluster_look(at_member(fleet, there), err) ? -1 : make_at(fleet, env, there, err);
	if (file_exists(written)) /* and cannot be read, or is of a cluster that nobody names any more */
		return err_set(err, why.kind, "%s", why.text);
	order(fleet, tried);
	for (size_t i = 0; i < fleet->count; i++) {
		const struct kube_fleet_member *given = &fleet->members[tried[i]].given;
		bool answers = kube_cluster_look(given->provider, &why) == 0;

		if (answers && make_at(fleet, env, tried[i], &why) == 0)
			return 0;
		trouble_note(fleet, tried[i]);
		log_warn("kubernetes: cluster %s takes no environment: %s", given->name, why.text);
		if (answers && why.kind == ERR_RETRY)
			break;
		place_forget(fleet, env);
	}
	return err_set(err, why.kind, "%s", why.text);
}

/* ---- whole environments ---- */

static int fleet_env_remove(void *self, struct env_id env, struct err *err)
{
	struct fleet *fleet = self;
	struct err why = {0};
	size_t there;

	if (place_of(fleet, env, &there, &why))
		return why.kind == ERR_NOT_FOUND ? 0 : err_set(err, why.kind, "%s", why.text);
	if (at_member(fleet, there).ops->env_remove(at_member(fleet, there).self, env, err))
		return -1;
	place_forget(fleet, env);
	return 0;
}

static int fleet_env_stop(void *self, struct env_id env, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->env_stop(at.self, env, err) : -1;
}

static int fleet_env_freeze(void *self, struct env_id env, bool frozen, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->env_freeze(at.self, env, frozen, err) : -1;
}

/* Of a cluster that does not answer: as it was, so that what is there does not look as if it had gone. The others do not wait for it long. */
static int member_list(struct fleet *fleet, size_t member, json_t *into, struct err *err)
{
	struct member *one = &fleet->members[member];
	struct provider at = one->given.provider;
	struct err why = {0};
	json_t *rows = kube_cluster_look(at, &why) ? NULL : at.ops->env_list(at.self, &why);
	bool known;

	(void)pthread_mutex_lock(&fleet->mutex);
	if (rows) {
		json_decref(one->last);
		one->last = rows;
	}
	known = one->last != NULL;
	(void)json_array_extend(into, one->last);
	(void)pthread_mutex_unlock(&fleet->mutex);
	if (!rows && known)
		log_warn("kubernetes: cluster %s does not say what it has: %s", one->given.name, why.text);
	return known ? 0 : err_set(err, why.kind, "cluster %s: %s", one->given.name, why.text);
}

static json_t *fleet_env_list(void *self, struct err *err)
{
	struct fleet *fleet = self;
	AUTO_JSON all = json_array();

	for (size_t i = 0; i < fleet->count; i++) {
		AUTO_JSON own = json_array();
		size_t index;
		json_t *row;

		if (member_list(fleet, i, own, err))
			return NULL;
		json_array_foreach(own, index, row) {
			struct env_id env;

			if (env_id_parse(view_of(json_text(row, "env", "")), &env, NULL) == 0)
				place_remember(fleet, env, i);
		}
		(void)json_array_extend(all, own);
	}
	return TAKE(all);
}

/* ---- volumes and layers ---- */

static int fleet_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			     bool blocks, bool *copied, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->volume_make(at.self, env, volume, layers, layer_count, blocks, copied, err) : -1;
}

static int fleet_volume_remove(void *self, struct env_id env, const char *volume, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->volume_remove(at.self, env, volume, err) : -1;
}

static int fleet_volume_commit(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			       struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->volume_commit(at.self, env, volume, layer, meta, err) : -1;
}

static int fleet_volume_clone(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err)
{
	struct provider one = home(self, from, err);
	struct provider other = one.ops ? home(self, to, err) : one;

	return other.ops ? kube_cluster_clone(one, from, other, to, volume, err) : -1;
}

static json_t *fleet_layer_list(void *self, const char *prefix, struct err *err)
{
	const struct fleet *fleet = self;

	return provider_layer_list(at_member(fleet, 0), prefix, err);
}

/* No cluster may need it. */
static int fleet_layer_remove(void *self, const char *layer, struct err *err)
{
	const struct fleet *fleet = self;

	for (size_t i = 1; i < fleet->count; i++)
		if (kube_cluster_layer_unused(at_member(fleet, i), layer, err))
			return -1;
	return provider_layer_remove(at_member(fleet, 0), layer, err);
}

static json_t *fleet_image_describe(void *self, const char *image, struct err *err)
{
	const struct fleet *fleet = self;

	return provider_image_describe(at_member(fleet, 0), image, err);
}

/* ---- rooms ---- */

static int fleet_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err)
{
	struct fleet *fleet = self;
	size_t there;

	if (place_of(fleet, spec->env, &there, err))
		return -1;
	if (at_member(fleet, there).ops->sandbox_make(at_member(fleet, there).self, spec, err) == 0)
		return 0;
	if (err->kind == ERR_RETRY) /* no node for it, no answer: the next environment goes elsewhere */
		trouble_note(fleet, there);
	return -1;
}

static int fleet_sandbox_remove(void *self, struct env_id env, const char *name, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->sandbox_remove(at.self, env, name, err) : -1;
}

static int fleet_sandbox_door(void *self, struct env_id env, const char *name, int *fd, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->sandbox_door(at.self, env, name, fd, err) : -1;
}

static int fleet_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			       struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->program_start(at.self, env, name, spec, process, err) : -1;
}

static int fleet_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			      struct exit_status *status, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->program_wait(at.self, env, name, process, timeout_ms, status, err) : -1;
}

static int fleet_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number,
				struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->program_signal(at.self, env, name, process, signal_number, err) : -1;
}

static int fleet_sandbox_dial(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->sandbox_dial(at.self, env, name, port, fd, err) : -1;
}

static int fleet_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err)
{
	struct provider at = home(self, env, err);

	return at.ops ? at.ops->sandbox_usage(at.self, env, name, usage, err) : -1;
}

static enum activity fleet_env_activity(void *self, struct env_id env)
{
	struct provider at = home(self, env, NULL);

	return at.ops ? at.ops->env_activity(at.self, env) : ACTIVITY_UNKNOWN;
}

/* ---- begin and end ---- */

static const struct provider_ops fleet_ops = {
	.name = "kubernetes",
	.door_mode = DOOR_MODE_PROXY,
	.elsewhere = true,
	.freeze_ends = true,
	.env_make = fleet_env_make,
	.env_remove = fleet_env_remove,
	.env_stop = fleet_env_stop,
	.env_freeze = fleet_env_freeze,
	.env_list = fleet_env_list,
	.volume_make = fleet_volume_make,
	.volume_remove = fleet_volume_remove,
	.volume_commit = fleet_volume_commit,
	.volume_clone = fleet_volume_clone,
	.layer_list = fleet_layer_list,
	.layer_remove = fleet_layer_remove,
	.image_describe = fleet_image_describe,
	.sandbox_make = fleet_sandbox_make,
	.sandbox_remove = fleet_sandbox_remove,
	.sandbox_door = fleet_sandbox_door,
	.program_start = fleet_program_start,
	.program_wait = fleet_program_wait,
	.program_signal = fleet_program_signal,
	.sandbox_dial = fleet_sandbox_dial,
	.sandbox_usage = fleet_sandbox_usage,
	.env_activity = fleet_env_activity,
	.sever = NULL,
};

int kube_fleet_open(const struct kube_fleet_member *members, size_t count, const char *state_dir, struct world world,
		    struct provider *provider, struct err *err)
{
	struct fleet *fleet;

	if (!count || count > KUBE_FLEET_MAX)
		return err_set(err, ERR_INVALID, "kubernetes-context: 1 to %d clusters, not %zu", KUBE_FLEET_MAX, count);
	fleet = mem_new(sizeof(*fleet));
	fleet->world = world;
	fleet->count = count;
	fleet->folder = text_format("%s/kubernetes", state_dir);
	for (size_t i = 0; i < count; i++)
		fleet->members[i].given = members[i];
	(void)pthread_mutex_init(&fleet->mutex, NULL);
	*provider = (struct provider){&fleet_ops, fleet};
	return 0;
}

void kube_fleet_close(struct provider provider)
{
	struct fleet *fleet = provider.self;

	while (fleet->places) {
		struct place *place = fleet->places;

		fleet->places = place->next;
		free(place);
	}
	for (size_t i = 0; i < fleet->count; i++)
		json_decref(fleet->members[i].last);
	(void)pthread_mutex_destroy(&fleet->mutex);
	free(fleet->folder);
	free(fleet);
}
