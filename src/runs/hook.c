/*
 * Webhooks out: who wants to be told of what changes, and the telling. A change and what is to be told of it are stored in one transaction
 * (the outbox), so that neither is without the other; each receiver gets its own in order, signed as standardwebhooks.com has it. A
 * message names what changed and its state; what it is now is asked of the API.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "http/client.h"
#include "http/url.h"
#include "http/webhook.h"
#include "runs/runs_priv.h"

#define SEND_MS 15000
#define ANSWER_BYTES_MAX ((size_t)64 << 10)
#define HOOKS_MAX 100
#define STATUS_GONE 410
#define STATUS_BUSY 429

static const char *const kinds[] = {"run", "issue", "pull"};

/* ---- putting ---- */

static bool wants(const char *list, const char *kind)
{
	for (struct view rest = view_of(list); rest.length;)
		if (view_is(view_cut(rest, ' ', &rest), kind))
			return true;
	return false;
}

static int one_put(struct runs *runs, struct store_tx *tx, const char *hook, int64_t seq, struct view body, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/%lld", hook, (long long)seq);
	AUTO_FREE char *target = text_format("hook/%s", hook);
	struct outbox_effect effect = {
		.operation = operation, .tenant = target, .target = target, .kind = effect_hook.name, .data = body};

	return outbox_put(tx, runs->options.world, &effect, err);
}

int hook_put_in(struct runs *runs, struct store_tx *tx, int64_t seq, const char *kind, const json_t *data, struct err *err)
{
	AUTO_BUF type = buf_new(64);
	AUTO_BUF time = buf_new(64);
	AUTO_BUF body = buf_new(8192);
	AUTO_JSON message = NULL;
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT id, kinds FROM hook ORDER BY id", NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows)) {
		if (!wants(store_rows_text(&rows, 1), kind))
			continue;
		if (!message) {
			buf_add_format(&type, "%s.changed", kind);
			time_format(&time, world_now_ms(runs->options.world));
			message = json_pack("{s:s, s:s, s:O}", "type", type.at, "timestamp", time.at, "data", data);
			json_format(&body, message);
		}
		if (one_put(runs, tx, store_rows_text(&rows, 0), seq, buf_view(&body), err))
			return -1;
	}
	return store_rows_finish(&rows, err);
}

/* ---- sending ---- */

/* The receiver of an effect; ERR_NOT_FOUND: it was removed. Texts are owned by the caller. */
static int receiver_find(struct runs *runs, const char *target, char **url, char **secret, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT url, secret FROM hook WHERE id = ?", VALUES(V(target + strlen("hook/"))), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "its receiver was removed");
	*url = text_copy(store_rows_text(&rows, 0));
	*secret = text_copy(store_rows_text(&rows, 1));
	return 0;
}

/* `Retry-After` in seconds; a date is not worth reading: the outbox has its own pause. */
static int64_t wait_of(const struct http_response *response, int64_t now_ms)
{
	const char *text = http_response_header(response, "Retry-After");
	uint64_t seconds;

	return text && view_to_u64(view_of(text), &seconds) && seconds < 86400 ? now_ms + (int64_t)seconds * 1000 : 0;
}

static int answer_judge(const struct http_response *response, int64_t now_ms, struct outbox_answer *answer, struct err *err)
{
	(void)snprintf(answer->text, sizeof(answer->text), "%u", response->status);
	if (response->status >= 200 && response->status < 300)
		return 0;
	if (response->status == STATUS_GONE)
		return err_set(err, ERR_NOT_FOUND, "the receiver answers 410: it wants no more");
	if (response->status != STATUS_BUSY)
		return err_set(err, ERR_RETRY, "the receiver answers %u", response->status);
	answer->blocked_until_ms = wait_of(response, now_ms);
	return err_set(err, ERR_LIMIT, "the receiver answers 429");
}

static int hook_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_FREE char *url = NULL;
	AUTO_FREE char *secret = NULL;
	AUTO_FREE char *seconds = text_format("%lld", (long long)(now_ms / 1000));
	AUTO_BUF signature = buf_new(256);
	AUTO_RESPONSE response = {0};

	if (receiver_find(runs, effect->target, &url, &secret, err) ||
	    webhook_sign(secret, effect->operation, now_ms / 1000, effect->data, &signature, err))
		return -1;
	const struct http_header headers[] = {{"Content-Type", "application/json"},
					      {"User-Agent", "assay/" ASSAY_VERSION},
					      {"webhook-id", effect->operation},
					      {"webhook-timestamp", seconds},
					      {"webhook-signature", signature.at}};
	const struct http_call call = {.method = "POST",
				       .url = url,
				       .headers = headers,
				       .header_count = ARRAY_LEN(headers),
				       .body = effect->data,
				       .has_body = true,
				       .timeout_ms = SEND_MS,
				       .body_bytes_max = ANSWER_BYTES_MAX};
	return http_client_call(&call, &response, err) ? -1 : answer_judge(&response, now_ms, answer, err);
}

/* What came of the last message is shown with the receiver; one that wants no more is removed. */
static int hook_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			const struct err *failure, struct err *err)
{
	const char *id = effect->target + strlen("hook/");

	if (failure && strstr(failure->text, "410"))
		return store_run(tx, "DELETE FROM hook WHERE id = ?", VALUES(V(id)), err);
	return store_run(tx, "UPDATE hook SET told_ms = ?, said = ? WHERE id = ?",
			 VALUES(V(world_now_ms(runs->options.world)), V(failure ? failure->text : answer), V(id)), err);
}

const struct effect_kind effect_hook = {.name = "hook", .send = hook_send, .settled = hook_settled};

/* ---- receivers ---- */

json_t *runs_hook_list(struct runs *runs, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_query(
		    &tx, &rows,
		    "SELECT id, url, kinds, created_ms, told_ms, said, (SELECT count(*) FROM outbox WHERE target = 'hook/' || hook.id AND "
		    "status = 'queued') FROM hook ORDER BY created_ms DESC, id",
		    NO_VALUES, err))
		return NULL;
	while (store_rows_next(&rows)) {
		AUTO_JSON list = json_array();

		for (struct view rest = view_of(store_rows_text(&rows, 2)); rest.length;) {
			struct view kind = view_cut(rest, ' ', &rest);

			(void)json_array_append_new(list, json_stringn(kind.at, kind.length));
		}
		(void)json_array_append_new(items,
					    json_pack("{s:o, s:o, s:O, s:o, s:o, s:o, s:o}", "id", store_rows_json(&rows, 0), "url",
						      store_rows_json(&rows, 1), "on", list, "created_ms",
						      store_rows_json(&rows, 3), "told_ms", store_rows_json(&rows, 4), "said",
						      store_rows_json(&rows, 5), "waiting", store_rows_json(&rows, 6)));
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

/* "run issue", of a list of kinds; all of them without one. */
static int kinds_take(const json_t *list, struct buf *out, struct err *err)
{
	size_t i, k;
	json_t *kind;

	for (i = 0; !json_array_size(list) && i < ARRAY_LEN(kinds); i++)
		buf_add_format(out, "%s%s", i ? " " : "", kinds[i]);
	json_array_foreach((json_t *)(uintptr_t)list, i, kind) {
		for (k = 0; k < ARRAY_LEN(kinds) && (!json_is_string(kind) || strcmp(json_string_value(kind), kinds[k]) != 0); k++)
			;
		if (k == ARRAY_LEN(kinds))
			return err_set(err, ERR_INVALID, "on: expected run, issue or pull");
		buf_add_format(out, "%s%s", i ? " " : "", kinds[k]);
	}
	return buf_finish(out, err);
}

static int url_check(const char *text, struct err *err)
{
	struct url url;

	if (url_parse(view_of(text), &url, err))
		return err_prefix(err, "url");
	return view_is(url.scheme, "https") || view_is(url.scheme, "http")
		       ? 0
		       : err_set(err, ERR_INVALID, "url: expected https://… or http://…, not `%.200s`", text);
}

static int hook_keep(struct runs *runs, const char *id, const char *url, const char *secret, const char *list, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t there = 0;

	if (store_begin(runs->store, &tx, err) || store_number_get(&tx, &there, 0, "SELECT count(*) FROM hook", NO_VALUES, err))
		return -1;
	if (there >= HOOKS_MAX)
		return err_set(err, ERR_LIMIT, "there are %d webhooks already", HOOKS_MAX);
	if (store_run(&tx, "INSERT INTO hook (id, url, secret, kinds, created_ms) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(id), V(url), V(secret), V(list), V(world_now_ms(runs->options.world))), err))
		return -1;
	return store_commit(&tx, err);
}

json_t *runs_hook_make(struct runs *runs, const char *url, const json_t *on, struct err *err)
{
	unsigned char random[32];
	AUTO_BUF id = buf_new(64);
	AUTO_BUF secret = buf_new(128);
	AUTO_BUF list = buf_new(256);

	if (url_check(url, err) || kinds_take(on, &list, err))
		return NULL;
	world_random(runs->options.world, random, 6);
	buf_add_text(&id, "w");
	buf_add_hex(&id, random, 6);
	world_random(runs->options.world, random, sizeof(random));
	webhook_secret_format(random, &secret);
	if (hook_keep(runs, id.at, url, secret.at, list.at, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s}", "id", id.at, "url", url, "secret", secret.at);
}

int runs_hook_remove(struct runs *runs, const char *id, struct err *err)
{
	AUTO_FREE char *target = text_format("hook/%s", id);
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || store_run(&tx, "DELETE FROM hook WHERE id = ?", VALUES(V(id)), err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_NOT_FOUND, "there is no webhook `%.80s`", id);
	if (store_run(&tx, "DELETE FROM outbox WHERE target = ? AND owner IS NULL", VALUES(V(target)), err))
		return -1;
	return store_commit(&tx, err);
}
