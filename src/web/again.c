/*
 * The same request again: who sends `Idempotency-Key` with a POST may send it again when no answer came, and gets the answer of the first.
 *
 * Theory of operation. Before a row's handler runs, the key is stored with a digest of who asks, of what, and of the body; after it the
 * answer is. A key that is there already with another body is refused (422); with the same and an answer it is answered by that, and the handler does
 * not run. What failed made nothing, so its key is forgotten and may be tried again. A key without an answer is being worked on, or a crash came between the
 * deed and its answer: neither is done a second time, and whoever asks is told which (409). An answer that has a secret in it is not kept: that it
 * was given is. Keys are forgotten after a day.
 */
#include "base/digest.h"
#include "base/scope.h"
#include "store/store.h"
#include "web/web_priv.h"

#define KEY_BYTES_MAX ((size_t)255)
#define KEPT_MS ((int64_t)24 * 3600 * 1000)
#define WORKED_ON_MS ((int64_t)60 * 1000) /* longer than any handler takes */
#define ANSWER_BYTES_MAX ((size_t)8 << 20)
#define RETRY_AFTER "1"

static bool key_valid(const char *key)
{
	size_t length = strlen(key);

	for (const char *at = key; *at; at++)
		if (*at < 0x21 || *at > 0x7e)
			return false;
	return length >= 1 && length <= KEY_BYTES_MAX;
}

/* Streams and bytes are no answer that can be given again. */
bool again_fits(const struct row *row)
{
	return row->answers && !row->raw_bytes_max && !strchr(row->answers, ' ') && strcmp(row->answers, "upgrade") != 0;
}

static struct digest key_digest(const struct call *call, const char *key)
{
	const struct view parts[] = {view_of(call->caller.token ? "token" : ""), view_of(call->caller.name),
				     view_of(call->request->path), view_of(key)};

	return digest_of_parts(parts, ARRAY_LEN(parts));
}

/* Stores that it begins; when somebody began before, *kept is what is there. */
static int begin(const struct call *call, const struct again *again, json_t **kept, struct err *err)
{
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	*kept = NULL;
	if (store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM idempotency WHERE time_ms < ?", VALUES(V(now - KEPT_MS)), err) ||
	    store_query(&tx, &rows, "SELECT body, answer, time_ms, secret FROM idempotency WHERE key = ?",
			VALUES(V(again->key.text)), err))
		return -1;
	if (store_rows_next(&rows))
		*kept = json_pack("{s:o, s:o, s:o, s:o}", "body", store_rows_json(&rows, 0), "answer", store_rows_json(&rows, 1),
				  "time_ms", store_rows_json(&rows, 2), "secret", store_rows_json(&rows, 3));
	if (store_rows_finish(&rows, err))
		return -1;
	if (!*kept && store_run(&tx, "INSERT INTO idempotency (key, body, time_ms) VALUES (?, ?, ?)",
				VALUES(V(again->key.text), V(again->body.text), V(now)), err))
		return -1;
	return store_commit(&tx, err);
}

static int refuse(struct call *call, unsigned status, struct err *err)
{
	http_reply_problem(call->reply, status, err);
	call->answered = true;
	return -1;
}

/* What was kept is the answer, or says why there is none. */
static int answer_again(struct call *call, const struct again *again, const json_t *kept, struct err *err)
{
	const char *answer = json_text(kept, "answer", NULL);
	int64_t age = world_now_ms(call->web->options.world) - json_number(kept, "time_ms", 0);

	if (strcmp(json_text(kept, "body", ""), again->body.text) != 0)
		return refuse(call, 422, (err_set(err, ERR_INVALID, "Idempotency-Key: it was sent with another body before"), err));
	if (json_number(kept, "secret", 0))
		return err_set(err, ERR_CONFLICT,
			       "Idempotency-Key: this was done already, and its answer, which has a secret, is said once only");
	if (!answer && age < WORKED_ON_MS) {
		http_reply_header(call->reply, "Retry-After", RETRY_AFTER);
		return err_set(err, ERR_CONFLICT, "Idempotency-Key: the first request with it is still worked on");
	}
	if (!answer)
		return err_set(
			err, ERR_CONFLICT,
			"Idempotency-Key: the server ended while the first request with it was worked on: see whether it was done, "
			"and send another key if not");
	http_reply_header(call->reply, "Idempotency-Replayed", "true");
	http_reply_send(call->reply, 200, "application/json", view_of(answer));
	call->answered = true;
	return -1;
}

int again_begin(struct call *call, const struct row *row, struct again *again, struct err *err)
{
	const char *key = http_request_header(call->request, "Idempotency-Key");
	AUTO_JSON kept = NULL;
	AUTO_BUF body = buf_new(BODY_BYTES_MAX * 2);

	if (!key || strcmp(call->request->method, "POST") != 0)
		return 0;
	if (row->who & WHO_ANYONE && row->raw_bytes_max) /* a webhook: its sender's name of the delivery, which the inbox knows */
		return 0;
	if (!key_valid(key))
		return err_set(err, ERR_INVALID, "Idempotency-Key: expected 1 to %zu visible characters", KEY_BYTES_MAX);
	if (!again_fits(row))
		return err_set(err, ERR_INVALID, "Idempotency-Key: what this answers cannot be given again");
	json_format_sorted(&body, call->body);
	if (buf_finish(&body, err))
		return err_prefix(err, "the body");
	again->key = key_digest(call, key);
	again->body = digest_of(buf_view(&body));
	if (begin(call, again, &kept, err))
		return -1;
	if (kept)
		return answer_again(call, again, kept, err);
	again->begun = true;
	return 0;
}

static int end(const struct call *call, const struct row *row, const struct again *again, const json_t *answer, struct err *err)
{
	AUTO_BUF text = buf_new(ANSWER_BYTES_MAX);
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err))
		return -1;
	if (!answer)
		return store_run(&tx, "DELETE FROM idempotency WHERE key = ?", VALUES(V(again->key.text)), err)
			       ? -1
			       : store_commit(&tx, err);
	if (!row->secret) {
		json_format(&text, answer);
		buf_add_char(&text, '\n');
	}
	if (buf_finish(&text, err) ||
	    store_run(&tx, "UPDATE idempotency SET answer = ?, secret = ? WHERE key = ?",
		      VALUES(V(row->secret ? (const char *)NULL : text.at), V(row->secret), V(again->key.text)), err))
		return -1;
	return store_commit(&tx, err);
}

int again_end(const struct call *call, const struct row *row, const struct again *again, const json_t *answer, struct err *err)
{
	return again->begun ? end(call, row, again, answer, err) : 0;
}
