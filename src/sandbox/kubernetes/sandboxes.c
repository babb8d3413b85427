/* Environments and rooms on a cluster: made, frozen, thawed, removed, and watched. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/scope.h"

#define PATIENCE_MS 300000
#define GONE_MS 60000 /* for a pod: it has a second's grace */
#define LOOK_FIRST_MS 50
#define LOOK_MAX_MS 500
#define WATCH_AGAIN_S 5
#define SWEEP_MS 300000

/* ---- namespaces ---- */

/* Holding the mutex. */
static void space_remember(struct cluster *cluster, struct env_id env, const char *space, bool frozen)
{
	struct space_row *row = cluster->spaces;

	while (row && strcmp(row->env.text, env.text) != 0)
		row = row->next;
	if (!row) {
		row = mem_new(sizeof(*row));
		row->env = env;
		row->next = cluster->spaces;
		cluster->spaces = row;
	}
	(void)snprintf(row->space, sizeof(row->space), "%s", space);
	row->frozen = frozen;
}

static void space_forget(struct cluster *cluster, struct env_id env)
{
	(void)pthread_mutex_lock(&cluster->mutex);
	for (struct space_row **place = &cluster->spaces; *place; place = &(*place)->next)
		if (strcmp((*place)->env.text, env.text) == 0) {
			struct space_row *row = *place;

			*place = row->next;
			free(row);
			break;
		}
	(void)pthread_mutex_unlock(&cluster->mutex);
}

int space_of(struct cluster *cluster, struct env_id env, char space[KUBE_NAME_MAX], bool *frozen, struct err *err)
{
	const struct space_row *row;

	(void)pthread_mutex_lock(&cluster->mutex);
	for (row = cluster->spaces; row && strcmp(row->env.text, env.text) != 0;)
		row = row->next;
	if (row) {
		(void)snprintf(space, KUBE_NAME_MAX, "%s", row->space);
		*frozen = row->frozen;
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (row)
		return 0;
	if (kube_space_find(&cluster->site, env, space, frozen, err))
		return -1;
	(void)pthread_mutex_lock(&cluster->mutex);
	space_remember(cluster, env, space, *frozen);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return 0;
}

int cluster_env_make(void *self, struct env_id env, struct err *err)
{
	struct cluster *cluster = self;
	char space[KUBE_NAME_MAX];
	AUTO_JSON policy = NULL;

	if (kube_space_make(&cluster->site, env, space, err))
		return -1;
	policy = cluster->options.peer.port ? kube_link_object(space, &cluster->options.peer) : NULL;
	if (policy && kube_object_put(&cluster->site, policy, err))
		return -1;
	(void)pthread_mutex_lock(&cluster->mutex);
	space_remember(cluster, env, space, false);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return 0;
}

/* ---- objects ---- */

static int object_delete(struct cluster *cluster, const char *plural, const char *space, const char *name, const char *uid,
			 struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", plural, space, name);
	struct err why = {0};

	if (kube_delete(cluster->site.client, path, uid, &why) == 0 || why.kind == ERR_NOT_FOUND ||
	    (uid && why.kind == ERR_CONFLICT))
		return 0;
	return err_set(err, why.kind, "%s", why.text);
}

int object_make(struct cluster *cluster, const char *plural, const json_t *object, bool fresh, char uid[UID_MAX], struct err *err)
{
	const char *space = kube_meta_text(object, "namespace");
	AUTO_FREE char *own = kube_path("v1", plural, space, kube_meta_text(object, "name"));
	AUTO_FREE char *path = text_format("%s?fieldManager=" KUBE_MANAGER "&fieldValidation=Strict", own);
	int64_t until_ms = world_elapsed_ms(cluster->site.world) + GONE_MS;

	for (int64_t look_ms = LOOK_FIRST_MS;; look_ms = look_ms * 2 < LOOK_MAX_MS ? look_ms * 2 : LOOK_MAX_MS) {
		struct kube_status status = {0};
		const struct kube_request request = {
			.method = "PATCH", .path = path, .type = "application/apply-patch+yaml", .body = object, .status = &status};
		AUTO_JSON there = NULL;
		struct err why = {0};
		bool ending;

		if (kube_ask(cluster->site.client, &request, &there, &why)) {
			if (!strstr(why.text, "status unknown for quota")) /* a quota that is young: see kube_pod_put */
				return err_set(err, why.kind, "%s", why.text);
		} else {
			ending = json_member(json_member(there, "metadata"), "deletionTimestamp") != NULL;
			if (!ending && (!fresh || status.code == 201)) {
				if (uid)
					(void)snprintf(uid, UID_MAX, "%s", kube_meta_text(there, "uid"));
				return 0;
			}
			if (!ending && object_delete(cluster, plural, space, kube_meta_text(object, "name"),
						     kube_meta_text(there, "uid"), err))
				return -1;
		}
		if (world_elapsed_ms(cluster->site.world) >= until_ms)
			return err_set(err, ERR_RETRY, "%s %s of %s is still on its way out", plural,
				       kube_meta_text(object, "name"), space);
		kube_pause_ms(look_ms);
	}
}

/* ---- rooms ---- */

/* Holding the mutex: a new one in the list. */
static int room_add(struct cluster *cluster, struct env_id env, const char *space, const char *name, struct room **added,
		    struct err *err)
{
	struct room *room = pod_room_find(cluster, env, name);

	if (room && !room->gone)
		return err_set(err, ERR_CONFLICT, "there is a sandbox %s in environment %s", name, env.text);
	if (room)
		pod_room_remove(room);
	room = mem_new(sizeof(*room));
	room->cluster = cluster;
	room->env = env;
	room->users = 2; /* the loop, and us */
	room_door_init(room);
	world_random(cluster->site.world, &room->last_id, sizeof(room->last_id));
	room->last_id %= LINK_ID_MAX / 2; /* what another control plane asked for has other ids */
	(void)snprintf(room->name, sizeof(room->name), "%s", name);
	(void)snprintf(room->space, sizeof(room->space), "%s", space);
	room->next = cluster->rooms;
	cluster->rooms = room;
	*added = room;
	return 0;
}

static bool room_settled(const struct room *room)
{
	return room->linked || room->gone || room->state.phase == KUBE_POD_FAILED || room->state.phase == KUBE_POD_ENDED;
}

/* Holding the mutex: until it is linked, has failed, or patience ends, which stands still while the pod is queued. */
static void room_await(struct cluster *cluster, struct room *room)
{
	int64_t until_ms = world_elapsed_ms(world_real) +
			   (cluster->options.patience_ms ? cluster->options.patience_ms : PATIENCE_MS);

	while (!room_settled(room)) {
		int64_t now_ms = world_elapsed_ms(world_real);
		bool never = false;

		if (now_ms >= until_ms)
			return;
		(void)cluster_wait(cluster, &never, now_ms + 1000 < until_ms ? now_ms + 1000 : until_ms);
		if (room->state.phase == KUBE_POD_QUEUED)
			until_ms += world_elapsed_ms(world_real) - now_ms;
	}
}

/* Why it did not become one, in the cluster's words. */
static int room_failed(struct cluster *cluster, const struct room *room, struct err *err)
{
	bool over = room->gone || room->state.phase == KUBE_POD_FAILED || room->state.phase == KUBE_POD_ENDED;
	bool ready = room->state.phase == KUBE_POD_READY;
	AUTO_BUF words = buf_new(ERR_TEXT_MAX);

	buf_add_text(&words, room->state.why[0] ? room->state.why
			     : ready            ? "its pod is ready, and its link did not reach us"
			     : room->why[0]     ? room->why
						: "the cluster says nothing");
	kube_pod_events(&cluster->site, room->space, room->name, &words);
	return err_set(err, over ? ERR_INVALID : ERR_RETRY, "sandbox %s: %s%s", room->name,
		       over ? "" : "not there in time: ", words.at);
}

int pod_room_make(struct cluster *cluster, struct env_id env, const char *space, const json_t *pod, struct err *err)
{
	const char *name = kube_meta_text(pod, "name");
	struct room *room = NULL;
	char uid[UID_MAX];
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = room_add(cluster, env, space, name, &room, err);
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (result || !room)
		return -1;
	result = object_make(cluster, "pods", pod, true, uid, err);
	(void)pthread_mutex_lock(&cluster->mutex);
	if (!result) {
		(void)snprintf(room->uid, sizeof(room->uid), "%s", uid);
		room_await(cluster, room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (!result && (!room->linked || room->gone))
		result = room_failed(cluster, room, err);
	(void)pthread_mutex_lock(&cluster->mutex);
	if (result && !room->removed)
		pod_room_remove(room);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (result)
		(void)!object_delete(cluster, "pods", space, name, NULL, NULL);
	return result;
}

int pod_room_unmake(struct cluster *cluster, struct env_id env, const char *space, const char *name, struct err *err)
{
	struct room *room;

	(void)pthread_mutex_lock(&cluster->mutex);
	room = pod_room_find(cluster, env, name);
	if (room)
		pod_room_remove(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return object_delete(cluster, "pods", space, name, NULL, err);
}

bool env_has_rooms(struct cluster *cluster, struct env_id env)
{
	bool any = false;

	(void)pthread_mutex_lock(&cluster->mutex);
	for (const struct room *room = cluster->rooms; room; room = room->next)
		any = any || (strcmp(room->env.text, env.text) == 0 && !room->gone);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return any;
}

static int spec_check(const struct sandbox_spec *spec, struct err *err)
{
	const char *image = spec->image ? spec->image : "";

	if (strncmp(image, "dir:", 4) == 0 || strncmp(image, "layer:", 6) == 0 || strncmp(image, "oci:", 4) == 0)
		return err_set(err, ERR_INVALID, "the image `%.100s` is of one machine: a cluster needs one of a registry", image);
	return 0;
}

int cluster_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err)
{
	struct cluster *cluster = self;
	struct sandbox_spec own = *spec;
	AUTO_JSON claims = NULL;
	AUTO_JSON pod = NULL;
	AUTO_JSON note = NULL;
	char space[KUBE_NAME_MAX];
	bool frozen;

	own.image = spec->image ? spec->image : cluster->options.image;
	if (spec_check(spec, err) || space_of(cluster, spec->env, space, &frozen, err))
		return -1;
	if (frozen)
		return err_set(err, ERR_CONFLICT, "environment %s is frozen: thaw it first", spec->env.text);
	claims = volumes_find(cluster, space, &own, err);
	if (!claims)
		return -1;
	pod = kube_room_object(&cluster->rooms_site, space, &own);
	note = kube_room_note_object(&cluster->rooms_site, space, own.name, pod);
	if (pod_room_make(cluster, own.env, space, pod, err))
		return -1;
	if (volumes_fill(cluster, &own, claims, err) || kube_object_put(&cluster->site, note, err)) {
		(void)!pod_room_unmake(cluster, own.env, space, own.name, NULL);
		return -1;
	}
	return 0;
}

int cluster_sandbox_remove(void *self, struct env_id env, const char *name, struct err *err)
{
	struct cluster *cluster = self;
	char space[KUBE_NAME_MAX], note[KUBE_NAME_MAX + 8];
	bool frozen;

	kube_room_note_name(note, name);
	if (space_of(cluster, env, space, &frozen, err))
		return -1;
	return object_delete(cluster, "configmaps", space, note, NULL, err) || pod_room_unmake(cluster, env, space, name, err) ? -1
															       : 0;
}

/* ---- whole environments ---- */

static void rooms_forget(struct cluster *cluster, struct env_id env)
{
	(void)pthread_mutex_lock(&cluster->mutex);
	for (struct room *room = cluster->rooms, *next; room; room = next) {
		next = room->next;
		if (strcmp(room->env.text, env.text) == 0)
			pod_room_remove(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
}

/* What we made of a kind in a namespace. */
static json_t *ours_list(struct cluster *cluster, const char *plural, const char *space, struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", plural, space, NULL);
	AUTO_FREE char *selector = text_format(KUBE_LABEL_OWNER "=%s", cluster->site.owner);
	json_t *items;

	return kube_list(cluster->site.client, path, selector, &items, NULL, err) ? NULL : items;
}

static int ours_delete(struct cluster *cluster, const char *plural, const char *space, struct err *err)
{
	AUTO_JSON items = ours_list(cluster, plural, space, err);
	size_t index;
	json_t *item;

	if (!items)
		return -1;
	json_array_foreach(items, index, item)
		if (object_delete(cluster, plural, space, kube_meta_text(item, "name"), kube_meta_text(item, "uid"), err))
			return -1;
	return 0;
}

int pods_end(struct cluster *cluster, const char *space, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(cluster->site.world) + GONE_MS;

	if (ours_delete(cluster, "pods", space, err))
		return -1;
	for (int64_t look_ms = LOOK_FIRST_MS;; look_ms = look_ms * 2 < LOOK_MAX_MS ? look_ms * 2 : LOOK_MAX_MS) {
		AUTO_JSON left = ours_list(cluster, "pods", space, err);

		if (!left || !json_array_size(left))
			return left ? 0 : -1;
		if (world_elapsed_ms(cluster->site.world) >= until_ms)
			return err_set(err, ERR_RETRY, "pod %s of %s is still on its way out",
				       kube_meta_text(json_array_get(left, 0), "name"), space);
		kube_pause_ms(look_ms);
	}
}

int cluster_env_remove(void *self, struct env_id env, struct err *err)
{
	struct cluster *cluster = self;

	rooms_forget(cluster, env);
	if (kube_space_remove(&cluster->site, env, err))
		return -1;
	space_forget(cluster, env);
	clones_remove(cluster, env);
	return snapshot_names_end(cluster, env, err);
}

static int frozen_set(struct cluster *cluster, struct env_id env, bool frozen, struct err *err)
{
	char space[KUBE_NAME_MAX];

	if (kube_space_freeze(&cluster->site, env, frozen, space, err))
		return -1;
	(void)pthread_mutex_lock(&cluster->mutex);
	space_remember(cluster, env, space, frozen);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return 0;
}

int cluster_env_stop(void *self, struct env_id env, struct err *err)
{
	struct cluster *cluster = self;
	char space[KUBE_NAME_MAX];
	bool frozen;

	if (space_of(cluster, env, space, &frozen, err))
		return -1;
	rooms_forget(cluster, env);
	if (ours_delete(cluster, "configmaps", space, err) || pods_end(cluster, space, err))
		return -1;
	return frozen ? frozen_set(cluster, env, false, err) : 0;
}

/* Each room again, as its note has it. */
static int thaw(struct cluster *cluster, struct env_id env, const char *space, struct err *err)
{
	AUTO_JSON notes = ours_list(cluster, "configmaps", space, err);
	size_t index;
	json_t *note;

	if (!notes)
		return -1;
	json_array_foreach(notes, index, note) {
		AUTO_JSON pod = json_parse(view_of(json_text(json_member(note, "data"), "pod", "")), err);

		if (!pod)
			return err_prefix(err, "the note %s of %s", kube_meta_text(note, "name"), space);
		kube_room_relink(&cluster->rooms_site, pod);
		if (pod_room_make(cluster, env, space, pod, err)) {
			rooms_forget(cluster, env);
			return -1;
		}
	}
	return 0;
}

int cluster_env_freeze(void *self, struct env_id env, bool frozen, struct err *err)
{
	struct cluster *cluster = self;
	char space[KUBE_NAME_MAX];
	bool is_frozen;

	if (space_of(cluster, env, space, &is_frozen, err))
		return -1;
	if (is_frozen == frozen)
		return 0;
	if (!frozen)
		return thaw(cluster, env, space, err) || frozen_set(cluster, env, false, err) ? -1 : 0;
	if (frozen_set(cluster, env, true, err)) /* first: whoever comes after a death here goes on with it */
		return -1;
	rooms_forget(cluster, env);
	return pods_end(cluster, space, err);
}

json_t *cluster_env_list(void *self, struct err *err)
{
	struct cluster *cluster = self;
	AUTO_JSON spaces = kube_space_list(&cluster->site, err);
	json_t *list;
	size_t index;
	json_t *space;

	if (!spaces)
		return NULL;
	list = json_array();
	(void)pthread_mutex_lock(&cluster->mutex);
	json_array_foreach(spaces, index, space) {
		const char *env = json_text(space, "env", "");
		json_t *row;

		if (json_flag(space, "ending", false))
			continue;
		row = json_pack("{s:s, s:[], s:b}", "env", env, "sandboxes", "frozen", json_flag(space, "frozen", false));
		for (const struct room *room = cluster->rooms; room; room = room->next) {
			if (strcmp(room->env.text, env) != 0)
				continue;
			if (!room->gone)
				(void)json_array_append_new(json_object_get(row, "sandboxes"), json_string(room->name));
			else
				(void)json_object_set_new(row, "stopped", json_sprintf("sandbox %s: %s", room->name, room->why));
		}
		(void)json_array_append_new(list, row);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return list;
}

/* ---- the watch ---- */

/* Holding the mutex. */
static void pod_look(struct cluster *cluster, const json_t *pod, bool deleted)
{
	struct room *room = pod_room_by_pod(cluster, kube_meta_text(pod, "namespace"), kube_meta_text(pod, "name"));

	if (!room || (room->uid[0] && strcmp(room->uid, kube_meta_text(pod, "uid")) != 0))
		return;
	if (!room->uid[0])
		return; /* one that goes before ours comes, or ours before we know: the next change tells */
	room->seen = true;
	kube_pod_judge(pod, &room->state);
	if (deleted)
		pod_room_lose(room, "its pod was deleted");
	else if (room->state.phase == KUBE_POD_ENDED || room->state.phase == KUBE_POD_FAILED)
		pod_room_lose(room, room->state.why[0] ? room->state.why : "its pod ended");
	(void)pthread_cond_broadcast(&cluster->changed);
}

static bool goes_on(struct cluster *cluster)
{
	bool on;

	(void)pthread_mutex_lock(&cluster->mutex);
	on = !cluster->closing;
	(void)pthread_mutex_unlock(&cluster->mutex);
	return on;
}

static bool on_listed(void *self, const json_t *items)
{
	struct cluster *cluster = self;
	size_t index;
	json_t *pod;

	(void)pthread_mutex_lock(&cluster->mutex);
	json_array_foreach(items, index, pod)
		pod_look(cluster, pod, false);
	for (struct room *room = cluster->rooms; room; room = room->next) {
		bool there = !room->seen;

		json_array_foreach(items, index, pod)
			there = there || strcmp(room->uid, kube_meta_text(pod, "uid")) == 0;
		if (!there)
			pod_room_lose(room, "its pod was deleted");
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return goes_on(cluster);
}

static bool on_changed(void *self, enum kube_change change, const json_t *object)
{
	struct cluster *cluster = self;

	(void)pthread_mutex_lock(&cluster->mutex);
	pod_look(cluster, object, change == KUBE_DELETED);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return goes_on(cluster);
}

/* Whose environments are wanted is not for us to say: whoever has them removes them (provider_env_list). */
static bool all_wanted(void *self, struct env_id env)
{
	(void)self;
	(void)env;
	return true;
}

/* Now and then: namespaces that a lost answer doubled, and those whose time is over. */
static void sweep(struct cluster *cluster)
{
	int64_t every_ms = cluster->options.sweep_ms ? cluster->options.sweep_ms : SWEEP_MS;
	int64_t now_ms = world_elapsed_ms(cluster->site.world);
	struct err err = {0};
	int removed;

	if (cluster->swept_ms && now_ms - cluster->swept_ms < every_ms)
		return;
	cluster->swept_ms = now_ms;
	if (kube_space_sweep(&cluster->site, all_wanted, NULL, &removed, &err))
		log_warn("kubernetes: leftovers cannot be swept: %s", err.text);
	else if (removed)
		log_info("kubernetes: %d namespaces were doubled or had expired: removed", removed);
	snapshots_sweep(cluster);
}

static bool on_idle(void *self)
{
	struct cluster *cluster = self;

	if (goes_on(cluster))
		sweep(cluster);
	return goes_on(cluster);
}

void *cluster_watcher(void *self)
{
	struct cluster *cluster = self;
	AUTO_FREE char *selector = text_format(KUBE_LABEL_OWNER "=%s," KUBE_LABEL_POD, cluster->site.owner);
	struct kube_watch watch = {.path = "/api/v1/pods",
				   .selector = selector,
				   .listed = on_listed,
				   .changed = on_changed,
				   .idle = on_idle,
				   .self = cluster};

	while (goes_on(cluster)) {
		struct err err = {0};

		if (kube_watch_run(cluster->site.client, &watch, &err) == 0)
			continue;
		log_warn("kubernetes: pods cannot be watched: %s", err.text);
		for (int i = 0; i < WATCH_AGAIN_S * 10 && goes_on(cluster); i++)
			kube_pause_ms(100);
	}
	return NULL;
}
