/*
 * Snapshots as they are kept: a layer "snapshot/<name>/<version>/<database>" for each database. Each says how many databases its version
 * has; a version counts when all of them are there, so that one cut off while it was committed is never seen.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/environment_priv.h"

#define PREFIX "snapshot/"

/* Parts of "snapshot/<name>/<version>/<database>". */
struct layer_name {
	struct view name;
	struct view database;
	uint64_t version;
};

static bool layer_name_parse(const char *text, struct layer_name *parts)
{
	struct view rest = view_of(text);
	struct view version;

	if (!view_starts(rest, VIEW(PREFIX)))
		return false;
	rest = view_make(rest.at + strlen(PREFIX), rest.length - strlen(PREFIX));
	parts->name = view_cut(rest, '/', &rest);
	version = view_cut(rest, '/', &parts->database);
	return parts->name.length && parts->database.length && view_to_u64(version, &parts->version) && parts->version > 0 &&
	       parts->version <= INT32_MAX;
}

static json_t *version_find(json_t *versions, const struct layer_name *parts)
{
	json_t *entry;
	size_t index;

	json_array_foreach(versions, index, entry)
		if (view_is(parts->name, json_text(entry, "name", "")) &&
		    (uint64_t)json_number(entry, "version", 0) == parts->version)
			return entry;
	return NULL;
}

/* All versions, complete or not ("parts" says how many databases it should have). Owned by the caller. */
static json_t *versions_read(struct environments *all, const char *prefix, struct err *err)
{
	AUTO_JSON layers = provider_layer_list(all->provider, prefix, err);
	json_t *versions = json_array();
	json_t *layer;
	size_t index;

	json_array_foreach(layers, index, layer) {
		const json_t *meta = json_member(layer, "meta");
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *database = NULL;
		struct layer_name parts;
		json_t *entry;

		if (!layer_name_parse(json_text(layer, "layer", ""), &parts))
			continue;
		name = view_copy(parts.name);
		database = view_copy(parts.database);
		entry = version_find(versions, &parts);
		if (!entry) {
			entry = json_pack("{s:s, s:I, s:s, s:I, s:I, s:[], s:I}", "name", name, "version",
					  (json_int_t)parts.version, "digest", json_text(meta, "digest", ""), "created_ms",
					  (json_int_t)json_number(layer, "created_ms", 0), "bytes", (json_int_t)0, "databases",
					  "parts", (json_int_t)json_number(meta, "parts", 1));
			(void)json_array_append_new(versions, entry);
		}
		(void)json_object_set_new(entry, "bytes",
					  json_integer(json_number(entry, "bytes", 0) + json_number(layer, "bytes", 0)));
		(void)json_array_append_new(
			json_object_get(entry, "databases"),
			json_pack("{s:s, s:s, s:I, s:s, s:I, s:O*}", "name", database, "engine", json_text(meta, "engine", ""),
				  "version", (json_int_t)json_number(meta, "engine_version", 0), "source",
				  json_text(meta, "source", ""), "masked", (json_int_t)json_number(meta, "masked", 0), "leaks",
				  json_member(meta, "leaks")));
	}
	if (layers)
		return versions;
	json_decref(versions);
	return NULL;
}

static bool is_complete(const json_t *version)
{
	return (int64_t)json_array_size(json_member(version, "databases")) >= json_number(version, "parts", 1);
}

int snapshot_version_last(struct environments *all, const char *name, bool complete_only, int *version, struct err *err)
{
	AUTO_FREE char *prefix = text_format(PREFIX "%s/", name);
	AUTO_JSON versions = versions_read(all, prefix, err);
	json_t *entry;
	size_t index;

	*version = 0;
	if (!versions)
		return -1;
	json_array_foreach(versions, index, entry)
		if ((!complete_only || is_complete(entry)) && json_number(entry, "version", 0) > *version)
			*version = (int)json_number(entry, "version", 0);
	return 0;
}

const char *snapshot_name_of(const struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->database_count; i++)
		if (blueprint->databases[i].snapshot)
			return blueprint->databases[i].snapshot;
	return blueprint->name;
}

/* "name" or "name/version"; *version is 0 for the newest. */
static int wanted_parse(const char *text, char **name, int *version, struct err *err)
{
	struct view rest;
	struct view head = view_cut(view_of(text), '/', &rest);
	uint64_t number = 0;

	if (!head.length || (rest.at && (!view_to_u64(rest, &number) || !number || number > INT32_MAX)))
		return err_set(err, ERR_INVALID, "`%s` is no snapshot: expected NAME or NAME/VERSION", text);
	*name = view_copy(head);
	*version = (int)number;
	return 0;
}

/* The complete version wanted, out of all; borrowed. */
static json_t *version_choose(json_t *versions, int version)
{
	json_t *best = NULL;
	json_t *entry;
	size_t index;

	json_array_foreach(versions, index, entry) {
		int64_t number = json_number(entry, "version", 0);

		if (is_complete(entry) && (version ? number == version : !best || number > json_number(best, "version", 0)))
			best = entry;
	}
	return best;
}

char *snapshot_resolve(struct environments *all, const struct blueprint *blueprint, const char *wanted, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *prefix = NULL;
	AUTO_JSON versions = NULL;
	json_t *found;
	int version = 0;

	if (!wanted && !blueprint->database_count)
		return NULL;
	if (wanted_parse(wanted ? wanted : snapshot_name_of(blueprint), &name, &version, err))
		return NULL;
	prefix = text_format(PREFIX "%s/", name);
	versions = versions_read(all, prefix, err);
	if (!versions)
		return NULL;
	found = version_choose(versions, version);
	if (found)
		return text_format("%s/%lld", name, (long long)json_number(found, "version", 0));
	/* Not there: a mistake when it was asked for by the caller or with its version, else the blueprint's seeds make it. */
	if (wanted || version)
		(void)err_set(err, ERR_NOT_FOUND, "no snapshot `%s`: `assay snapshot list` shows them", wanted ? wanted : name);
	return NULL;
}

char *snapshot_layer(struct environments *all, const char *snapshot, const struct database *database, struct progress progress,
		     struct err *err)
{
	AUTO_FREE char *layer = snapshot ? text_format(PREFIX "%s/%s", snapshot, database->name) : NULL;
	bool exists = false;

	if (layer && layer_exists(all, layer, &exists, err))
		return NULL;
	return exists ? TAKE(layer) : snapshot_empty_layer(all, database, progress, err);
}

static int64_t used_by(struct environments *all, const char *snapshot)
{
	size_t count = 0;
	struct environment **list = environments_take_all(all, &count);
	int64_t users = 0;

	for (size_t i = 0; i < count; i++) {
		(void)pthread_mutex_lock(&list[i]->mutex);
		users += list[i]->snapshot_used && strcmp(list[i]->snapshot_used, snapshot) == 0;
		(void)pthread_mutex_unlock(&list[i]->mutex);
		environment_release(list[i]);
	}
	free(list);
	return users;
}

static json_t *shown(struct environments *all, json_t *entry)
{
	AUTO_FREE char *snapshot = text_format("%s/%lld", json_text(entry, "name", ""),
					       (long long)json_number(entry, "version", 0));
	json_t *copy = json_copy(entry);

	(void)json_object_del(copy, "parts");
	(void)json_object_set_new(copy, "used_by", json_integer(used_by(all, snapshot)));
	return copy;
}

static int newest_first(const void *a, const void *b)
{
	const json_t *const *left = (const json_t *const *)a;
	const json_t *const *right = (const json_t *const *)b;
	int64_t difference = json_number(*right, "created_ms", 0) - json_number(*left, "created_ms", 0);

	if (!difference)
		difference = json_number(*right, "version", 0) - json_number(*left, "version", 0);
	return difference < 0 ? -1 : difference > 0 ? 1 : 0;
}

json_t *snapshot_list(struct environments *environments, struct err *err)
{
	AUTO_JSON versions = versions_read(environments, PREFIX, err);
	AUTO_FREE json_t **sorted = NULL;
	json_t *list;
	size_t count = json_array_size(versions);

	if (!versions)
		return NULL;
	sorted = mem_new_array(count, sizeof(*sorted));
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(versions, i);
	qsort(sorted, count, sizeof(*sorted), newest_first);
	list = json_array();
	for (size_t i = 0; i < count; i++)
		if (is_complete(sorted[i]))
			(void)json_array_append_new(list, shown(environments, sorted[i]));
	return list;
}

static json_t *find(struct environments *all, const char *name_version, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *prefix = NULL;
	AUTO_JSON versions = NULL;
	json_t *entry;
	int version = 0;

	if (wanted_parse(name_version, &name, &version, err))
		return NULL;
	prefix = text_format(PREFIX "%s/", name);
	versions = versions_read(all, prefix, err);
	entry = version_choose(versions, version);
	if (versions && !entry)
		(void)err_set(err, ERR_NOT_FOUND, "no snapshot `%s`: `assay snapshot list` shows them", name_version);
	return entry ? shown(all, entry) : NULL;
}

json_t *snapshot_show(struct environments *environments, const char *name_version, struct err *err)
{
	return find(environments, name_version, err);
}

int snapshot_remove(struct environments *environments, const char *name_version, struct err *err)
{
	AUTO_JSON snapshot = find(environments, name_version, err);
	const char *name = json_text(snapshot, "name", "");
	long long version = json_number(snapshot, "version", 0);
	json_t *database;
	size_t index;

	if (!snapshot)
		return -1;
	if (json_number(snapshot, "used_by", 0))
		return err_set(err, ERR_CONFLICT, "snapshot %s/%lld is used by %lld environments: assay env down them first", name,
			       version, (long long)json_number(snapshot, "used_by", 0));
	pool_drop(environments); /* it may stand on it */
	json_array_foreach(json_object_get(snapshot, "databases"), index, database) {
		AUTO_FREE char *layer = text_format(PREFIX "%s/%lld/%s", name, version, json_text(database, "name", ""));

		if (provider_layer_remove(environments->provider, layer, err))
			return err_prefix(err, "snapshot %s/%lld", name, version);
	}
	return 0;
}
