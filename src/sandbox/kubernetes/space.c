/* Environments on a cluster. */
#include "sandbox/kubernetes/space.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/scope.h"

#define SPACES "/api/v1/namespaces"
#define LABEL_VALUE_MAX 63
#define LOOK_FIRST_MS 50
#define LOOK_MAX_MS 1000
#define EVENTS_SHOWN 3
#define QUOTA_COUNTED_MS 15000

int kube_owner_check(const char *owner, struct err *err)
{
	size_t length = strlen(owner);
	bool good = length && length <= LABEL_VALUE_MAX && isalnum((unsigned char)owner[0]) &&
		    isalnum((unsigned char)owner[length - 1]);

	for (size_t i = 0; good && i < length; i++)
		good = isalnum((unsigned char)owner[i]) || strchr("-_.", owner[i]);
	return good ? 0
		    : err_set(err, ERR_INVALID,
			      "`%.80s` is no name of an owner: 1 to 63 letters, digits, `-`, `_`, `.` between letters or digits",
			      owner);
}

/* ---- objects ---- */

static const struct {
	const char *kind, *plural;
} kinds[] = {
	{"Namespace", "namespaces"},          {"ResourceQuota", "resourcequotas"},
	{"LimitRange", "limitranges"},        {"ServiceAccount", "serviceaccounts"},
	{"NetworkPolicy", "networkpolicies"}, {"Pod", "pods"},
	{"ConfigMap", "configmaps"},          {"PersistentVolumeClaim", "persistentvolumeclaims"},
};

int kube_object_put(const struct kube_site *site, const json_t *object, struct err *err)
{
	const json_t *meta = json_member(object, "metadata");
	const char *kind = json_text(object, "kind", "");
	const char *plural = NULL;
	AUTO_FREE char *path = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kind, kinds[i].kind) == 0)
			plural = kinds[i].plural;
	if (!plural)
		return err_set(err, ERR_INVALID, "no kind of ours: %s", kind);
	path = kube_path(json_text(object, "apiVersion", ""), plural, json_text(meta, "namespace", NULL),
			 json_text(meta, "name", ""));
	return kube_apply(site->client, path, object, NULL, err);
}

/* Takes the object. */
static int put(const struct kube_site *site, json_t *object, struct err *err)
{
	int failed = kube_object_put(site, object, err);

	json_decref(object);
	return failed;
}

/* ---- finding ---- */

static const char *env_of(const json_t *space)
{
	return json_text(json_member(json_member(space, "metadata"), "labels"), KUBE_LABEL_ENVIRONMENT, "");
}

/* Anybody may set labels: only what has our name, too (kube_space_name), is used and removed. */
static bool is_ours(const json_t *space)
{
	AUTO_FREE char *begin = text_format("assay-%s-", env_of(space));

	if (strncmp(kube_meta_text(space, "name"), begin, strlen(begin)) == 0)
		return true;
	log_warn("kubernetes: the namespace %s has our labels and not our name: it is left, look at it",
		 kube_meta_text(space, "name"));
	return false;
}

/* Those of the environment, or all (NULL, with those that have not our name), that have our owner. */
static json_t *spaces_find(const struct kube_site *site, const struct env_id *env, struct err *err)
{
	AUTO_FREE char *selector = text_format(KUBE_LABEL_OWNER "=%s,%s%s%s", site->owner, KUBE_LABEL_ENVIRONMENT, env ? "=" : "",
					       env ? env->text : "");
	json_t *items;

	if (kube_list(site->client, SPACES, selector, &items, NULL, err))
		return NULL;
	for (size_t i = env ? json_array_size(items) : 0; i-- > 0;)
		if (!is_ours(json_array_get(items, i)))
			(void)json_array_remove(items, i);
	return items;
}

static bool is_ending(const json_t *space)
{
	return json_member(json_member(space, "metadata"), "deletionTimestamp") != NULL;
}

/* ---- making ---- */

static int contents_make(const struct kube_site *site, const char *space, struct err *err)
{
	/* First what keeps things in: nothing may run before. */
	return put(site, kube_deny_object(space), err) || put(site, kube_quota_object(space, &site->share), err) ||
			       put(site, kube_limits_object(space), err) || put(site, kube_account_object(space), err)
		       ? -1
		       : 0;
}

/* Made before the other, by the cluster's clock, which counts seconds; of the same second the first by name. */
static bool is_older(const json_t *space, const json_t *other)
{
	int order = strcmp(kube_meta_text(space, "creationTimestamp"), kube_meta_text(other, "creationTimestamp"));

	return order < 0 || (order == 0 && strcmp(kube_meta_text(space, "name"), kube_meta_text(other, "name")) < 0);
}

/* The one that is there and stays, or NULL. Should there be several, the oldest is it, for whoever asks: things may be in it already. */
static const json_t *space_choose(const json_t *spaces)
{
	const json_t *chosen = NULL;
	size_t index;
	json_t *item;

	json_array_foreach(spaces, index, item)
		if (!is_ending(item) && (!chosen || is_older(item, chosen)))
			chosen = item;
	return chosen;
}

int kube_space_find(const struct kube_site *site, struct env_id env, char space[KUBE_NAME_MAX], bool *frozen, struct err *err)
{
	AUTO_JSON there = spaces_find(site, &env, err);
	const json_t *chosen = there ? space_choose(there) : NULL;

	if (!there)
		return err_prefix(err, "environment %s", env.text);
	if (!chosen)
		return err_set(err, ERR_NOT_FOUND, "there is no environment %s", env.text);
	(void)snprintf(space, KUBE_NAME_MAX, "%s", kube_meta_text(chosen, "name"));
	*frozen = kube_space_is_frozen(chosen);
	return 0;
}

int kube_space_freeze(const struct kube_site *site, struct env_id env, bool frozen, char space[KUBE_NAME_MAX], struct err *err)
{
	AUTO_JSON there = spaces_find(site, &env, err);
	const json_t *chosen = there ? space_choose(there) : NULL;
	AUTO_JSON object = NULL;

	if (!there)
		return -1;
	if (!chosen)
		return err_set(err, ERR_NOT_FOUND, "there is no environment %s", env.text);
	(void)snprintf(space, KUBE_NAME_MAX, "%s", kube_meta_text(chosen, "name"));
	object = kube_space_object(space, env, site->owner, kube_space_expires_ms(chosen), frozen);
	return kube_object_put(site, object, err);
}

int kube_space_make(const struct kube_site *site, struct env_id env, char space[KUBE_NAME_MAX], struct err *err)
{
	int64_t expires_ms = site->life_ms ? world_now_ms(site->world) + site->life_ms : 0;
	AUTO_JSON there = NULL;
	const json_t *chosen;

	if (kube_owner_check(site->owner, err))
		return -1;
	there = spaces_find(site, &env, err);
	if (!there)
		return err_prefix(err, "environment %s", env.text);
	chosen = space_choose(there);
	if (chosen) {
		(void)snprintf(space, KUBE_NAME_MAX, "%s", kube_meta_text(chosen, "name"));
	} else {
		kube_space_name(space, env, site->world);
		if (put(site, kube_space_object(space, env, site->owner, expires_ms, false), err))
			return err_prefix(err, "environment %s", env.text);
	}
	return contents_make(site, space, err) ? err_prefix(err, "environment %s", env.text) : 0;
}

/* ---- removing ---- */

/* Of exactly this one: another of the same name stays. */
static int space_end(const struct kube_site *site, const json_t *space, struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", "namespaces", NULL, kube_meta_text(space, "name"));
	struct err why = {0};

	if (is_ending(space) || kube_delete(site->client, path, kube_meta_text(space, "uid"), &why) == 0 ||
	    why.kind == ERR_NOT_FOUND || why.kind == ERR_CONFLICT)
		return 0;
	return err_set(err, why.kind, "%s", why.text);
}

int kube_space_remove(const struct kube_site *site, struct env_id env, struct err *err)
{
	AUTO_JSON spaces = spaces_find(site, &env, err);
	size_t index;
	json_t *space;

	if (!spaces)
		return err_prefix(err, "environment %s", env.text);
	json_array_foreach(spaces, index, space)
		if (space_end(site, space, err))
			return err_prefix(err, "environment %s", env.text);
	return 0;
}

int kube_space_wait_gone(const struct kube_site *site, struct env_id env, int64_t timeout_ms, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(site->world) + timeout_ms;

	for (int64_t look_ms = LOOK_FIRST_MS;; look_ms = look_ms * 2 < LOOK_MAX_MS ? look_ms * 2 : LOOK_MAX_MS) {
		AUTO_JSON spaces = spaces_find(site, &env, err);
		char why[300] = "";

		if (!spaces)
			return -1;
		if (!json_array_size(spaces))
			return 0;
		kube_space_why(json_array_get(spaces, 0), why, sizeof(why));
		if (world_elapsed_ms(site->world) >= until_ms)
			return err_set(err, ERR_RETRY, "the namespace %s is still there%s%s",
				       kube_meta_text(json_array_get(spaces, 0), "name"), why[0] ? ": " : "", why);
		kube_pause_ms(look_ms);
	}
}

json_t *kube_space_list(const struct kube_site *site, struct err *err)
{
	AUTO_JSON spaces = spaces_find(site, NULL, err);
	json_t *list;
	size_t index;
	json_t *space;

	if (!spaces)
		return NULL;
	list = json_array();
	json_array_foreach(spaces, index, space) {
		char why[300];
		json_t *row = json_pack("{s:s, s:s, s:b, s:b, s:I}", "env", env_of(space), "space", kube_meta_text(space, "name"),
					"ending", is_ending(space), "frozen", kube_space_is_frozen(space), "expires_ms",
					(json_int_t)kube_space_expires_ms(space));

		kube_space_why(space, why, sizeof(why));
		if (why[0])
			(void)json_object_set_new(row, "why", json_string(why));
		(void)json_array_append_new(list, row);
	}
	return list;
}

/* A request that outlived whoever sent it made a second one: the oldest is the environment (space_choose). */
static bool is_double(const json_t *spaces, const json_t *space)
{
	size_t index;
	json_t *other;

	json_array_foreach(spaces, index, other)
		if (!is_ending(other) && strcmp(env_of(other), env_of(space)) == 0 && is_older(other, space) && is_ours(other))
			return true;
	return false;
}

/* What has our label and names no environment is nobody's that we know: it stays, and is told. */
static bool is_leftover(const struct kube_site *site, const json_t *spaces, const json_t *space,
			bool (*wanted)(void *self, struct env_id env), void *self)
{
	const char *text = env_of(space);
	int64_t expires_ms = kube_space_expires_ms(space);
	struct env_id env;

	if (is_ending(space))
		return false;
	if (env_id_parse(view_of(text), &env, NULL)) {
		log_warn("kubernetes: the namespace %s has our owner and no environment: look at it",
			 kube_meta_text(space, "name"));
		return false;
	}
	return (!wanted(self, env) || is_double(spaces, space) || (expires_ms && expires_ms <= world_now_ms(site->world))) &&
	       is_ours(space);
}

int kube_space_sweep(const struct kube_site *site, bool (*wanted)(void *self, struct env_id env), void *self, int *removed,
		     struct err *err)
{
	AUTO_JSON spaces = spaces_find(site, NULL, err);
	size_t index;
	json_t *space;

	*removed = 0;
	if (!spaces)
		return -1;
	json_array_foreach(spaces, index, space) {
		if (!is_leftover(site, spaces, space, wanted, self))
			continue;
		if (space_end(site, space, err))
			return -1;
		(*removed)++;
	}
	return 0;
}

/* ---- pods ---- */

/* The text is all that tells it from other refusals (kubernetes/apiserver, admission of resource quotas). */
int kube_pod_put(const struct kube_site *site, const json_t *pod, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(site->world) + QUOTA_COUNTED_MS;

	for (;;) {
		struct err why = {0};

		if (kube_object_put(site, pod, &why) == 0)
			return 0;
		if (!strstr(why.text, "status unknown for quota") || world_elapsed_ms(site->world) >= until_ms)
			return err_set(err, why.kind, "%s", why.text);
		kube_pause_ms(LOOK_FIRST_MS * 4);
	}
}

struct waiting {
	const struct kube_site *site;
	const char *pod;
	struct kube_pod_state *state;
	int64_t until_ms;
	int64_t seen_ms;
	bool to_end; /* being ready is not enough */
	bool there, gone;
};

static bool goes_on(struct waiting *waiting)
{
	enum kube_pod_phase phase = waiting->state->phase;
	int64_t now_ms = world_elapsed_ms(waiting->site->world);
	bool done = phase == KUBE_POD_ENDED || phase == KUBE_POD_FAILED || (phase == KUBE_POD_READY && !waiting->to_end);

	if (phase == KUBE_POD_QUEUED)
		waiting->until_ms += now_ms - waiting->seen_ms;
	waiting->seen_ms = now_ms;
	return !done && !waiting->gone && now_ms < waiting->until_ms;
}

static void pod_look(struct waiting *waiting, const json_t *pod)
{
	if (strcmp(kube_meta_text(pod, "name"), waiting->pod) != 0)
		return;
	waiting->there = true;
	kube_pod_judge(pod, waiting->state);
}

static bool on_listed(void *self, const json_t *items)
{
	struct waiting *waiting = self;
	bool was = waiting->there;
	size_t index;
	json_t *pod;

	waiting->there = false;
	json_array_foreach(items, index, pod)
		pod_look(waiting, pod);
	waiting->gone = was && !waiting->there;
	return goes_on(waiting);
}

static bool on_changed(void *self, enum kube_change change, const json_t *pod)
{
	struct waiting *waiting = self;

	if (change == KUBE_DELETED && strcmp(kube_meta_text(pod, "name"), waiting->pod) == 0)
		waiting->gone = true;
	else
		pod_look(waiting, pod);
	return goes_on(waiting);
}

static bool on_idle(void *self)
{
	return goes_on(self);
}

void kube_pod_events(const struct kube_site *site, const char *space, const char *pod, struct buf *out)
{
	AUTO_FREE char *events = kube_path("v1", "events", space, NULL);
	AUTO_JSON items = NULL;
	size_t from;

	if (kube_list(site->client, events, NULL, &items, NULL, NULL))
		return;
	from = json_array_size(items) > 100 ? json_array_size(items) - 100 : 0;
	for (size_t i = json_array_size(items), shown = 0; i > from && shown < EVENTS_SHOWN; i--) {
		const json_t *event = json_array_get(items, i - 1);

		if (strcmp(json_text(json_member(event, "involvedObject"), "name", ""), pod) != 0 ||
		    strcmp(json_text(event, "type", ""), "Warning") != 0)
			continue;
		buf_add_format(out, "; %s: %s", json_text(event, "reason", ""), json_text(event, "message", ""));
		shown++;
	}
}

int kube_pod_wait(const struct kube_site *site, const char *space, const char *pod, bool to_end, int64_t timeout_ms,
		  struct kube_pod_state *state, struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", "pods", space, NULL);
	int64_t now_ms = world_elapsed_ms(site->world);
	struct waiting waiting = {site, pod, state, now_ms + timeout_ms, now_ms, to_end, false, false};
	struct kube_watch watch = {.path = path, .listed = on_listed, .changed = on_changed, .idle = on_idle, .self = &waiting};
	AUTO_BUF words = buf_new(ERR_TEXT_MAX);
	bool over;

	*state = (struct kube_pod_state){.phase = KUBE_POD_WAITS};
	if (kube_watch_run(site->client, &watch, err))
		return err_prefix(err, "pod %s", pod);
	if (state->phase == KUBE_POD_ENDED || (state->phase == KUBE_POD_READY && !to_end && !waiting.gone))
		return 0;
	over = state->phase == KUBE_POD_FAILED || waiting.gone;
	buf_add_text(&words, waiting.gone ? "it was deleted" : state->why[0] ? state->why : "it says nothing");
	kube_pod_events(site, space, pod, &words);
	return err_set(err, over ? ERR_INVALID : ERR_RETRY, "pod %s: %s%s", pod,
		       over     ? ""
		       : to_end ? "has not ended in time: "
				: "not ready in time: ",
		       words.at);
}
