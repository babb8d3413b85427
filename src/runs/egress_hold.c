/* Questions: requests that wait for a person, and the answers. */
#include "runs/egress_priv.h"

#include <stdlib.h>

#include "base/scope.h"

#define REMEMBERED_MAX 256
#define ACTION_BYTES 300

static bool hold_is(const json_t *hold, const char *status)
{
	return strcmp(json_text(hold, "status", ""), status) == 0;
}

/* Holding the mutex: the oldest that are over make room. */
static size_t holds_prune(struct egress *egress)
{
	json_t *holds = egress_part(egress, "holds");
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
	egress_lock(egress);
	if (holds_prune(egress) >= EGRESS_HOLDS_OPEN_MAX) {
		json_decref(hold);
		result = err_set(err, ERR_LIMIT, "more than %d requests wait for a person", EGRESS_HOLDS_OPEN_MAX);
	} else {
		(void)json_object_set_new(egress_part(egress, "holds"), id, hold);
		result = egress_save(egress, err);
	}
	egress_unlock(egress);
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

	egress_lock(egress);
	hold = json_object_get(egress_part(egress, "holds"), id);
	if (hold && hold_is(hold, "open")) {
		(void)json_object_set_new(hold, "status", json_string(status));
		(void)json_object_set_new(hold, "answered_ms", json_integer(world_now_ms(egress->world)));
		copy = json_deep_copy(hold);
		egress_save_logged(egress);
	}
	egress_unlock(egress);
	if (copy)
		(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_ANSWER, false, json_text(copy, "env", ""),
					  json_text(copy, "run", ""), json_text(copy, "rule", ""), "gateway", detail, &err);
}

void egress_reconcile(struct egress *egress, int64_t gateway_since_ms, bool (*lives)(void *self, const char *env), void *self)
{
	AUTO_JSON open = egress_holds(egress, false);
	size_t index;
	json_t *hold;

	json_array_foreach(open, index, hold) {
		AUTO_JSON body = json_pack("{s:O, s:s}", "hold", json_member(hold, "id"), "status", "lost");

		if (json_number(hold, "asked_ms", 0) < gateway_since_ms || !lives(self, json_text(hold, "env", "")))
			egress_hold_gone(egress, body);
	}
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

	egress_lock(egress);
	sorted = mem_new_array(json_object_size(egress_part(egress, "holds")) + 1, sizeof(json_t *));
	json_object_foreach(egress_part(egress, "holds"), id, hold)
		if (all || hold_is(hold, "open"))
			sorted[count++] = hold;
	qsort(sorted, count, sizeof(json_t *), newest_first);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_deep_copy(sorted[i]));
	egress_unlock(egress);
	free(sorted);
	return list;
}

/* Holding the mutex. */
static json_t *hold_find(struct egress *egress, const char *prefix, struct err *err)
{
	json_t *found = json_object_get(egress_part(egress, "holds"), prefix);
	size_t count = found ? 1 : 0;
	const char *id;
	json_t *hold;

	if (!found && prefix[0])
		json_object_foreach(egress_part(egress, "holds"), id, hold)
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
	json_t *all = egress_part(egress, "remembered");
	const char *key = egress_owner(json_text(hold, "env", ""), json_text(hold, "run", ""));
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
	(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:b, s:s, s:s, s:I}", "hold", json_text(hold, "id", ""),
						    "rule", json_text(hold, "rule", ""), "host", json_text(hold, "host", ""),
						    "port", (json_int_t)json_number(hold, "port", 0), "tls",
						    json_flag(hold, "tls", true), "method", json_text(hold, "method", ""), "path",
						    json_text(hold, "path", ""), "until_ms", (json_int_t)until_ms));
}

/* Takes the question for this answer: nobody else answers it meanwhile. Its copy is the caller's. */
static json_t *hold_take(struct egress *egress, const char *id, const char *scope, struct err *err)
{
	json_t *hold;
	json_t *copy = NULL;

	egress_lock(egress);
	hold = hold_find(egress, id, err);
	if (hold && !hold_is(hold, "open")) {
		(void)err_set(err, ERR_CONFLICT, "%s is over: %s", json_text(hold, "id", ""), json_text(hold, "status", ""));
	} else if (hold && strcmp(scope, "once") != 0 && !json_flag(hold, "remember", false)) {
		(void)err_set(err, ERR_INVALID, "what a scanner found is approved once at a time");
	} else if (hold) {
		copy = json_deep_copy(hold);
		(void)json_object_set_new(hold, "status", json_string("answering"));
	}
	egress_unlock(egress);
	return copy;
}

static void hold_settle(struct egress *egress, const char *id, const char *status, const json_t *said, int64_t until_ms)
{
	json_t *hold;

	egress_lock(egress);
	hold = json_object_get(egress_part(egress, "holds"), id);
	if (hold) {
		(void)json_object_set_new(hold, "status", json_string(status));
		if (strcmp(status, "open") != 0) {
			(void)json_object_set_new(hold, "answered_ms", json_integer(world_now_ms(egress->world)));
			(void)json_object_update(hold, (json_t *)(uintptr_t)said);
		}
		if (strcmp(status, "approved") == 0 && strcmp(json_text(said, "scope", "once"), "once") != 0)
			remember(egress, hold, until_ms);
		egress_save_logged(egress);
	}
	egress_unlock(egress);
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
