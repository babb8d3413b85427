/* Deliveries of outside services: taken, and acted on. */
#include "runs/inbox.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define IDLE_MS 1000
#define SWEEP_MS ((int64_t)600 * 1000)
#define KEEP_MS ((int64_t)30 * 24 * 3600 * 1000) /* services send again for a few days at most */

static const struct inbox_source *const sources[] = {&inbox_standard, &inbox_linear, &inbox_jira, &inbox_slack};

struct inboxes {
	struct runs *runs;
	struct inbox inbox;
	pthread_t thread;
	bool threaded;
	bool ending; /* atomic */
	int64_t swept_ms;
};

static const struct inbox_source *source_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (strcmp(sources[i]->name, name) == 0)
			return sources[i];
	return remote_kind_find(name) ? &inbox_forge : NULL;
}

/* ---- taking ---- */

static void keys_fini(struct inbox_keys *keys)
{
	free(keys->delivery);
	free(keys->content);
	free(keys->stream);
	free(keys->kind);
	free(keys->answer);
	free(keys->known);
}

static bool is_text(struct view body)
{
	for (size_t length; body.length; body = view_make(body.at + length, body.length - length)) {
		length = view_utf8_length(body);
		if (!length || !*body.at)
			return false;
	}
	return true;
}

/* Stored as a text: what is none was not written by a service that we know. */
static int body_check(struct view body, struct err *err)
{
	if (body.length > INBOX_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a delivery has at most %zu bytes", INBOX_BYTES_MAX);
	if (!is_text(body))
		return err_set(err, ERR_INVALID, "the body is no text");
	return 0;
}

/* Whatever kept the store from taking them may pass: the sender is told to send them again. */
static int again_later(const struct err *failure, struct err *err)
{
	return err_set(err, ERR_RETRY, "the delivery could not be kept, send it again: %s", failure->text);
}

/* Is the thread there, or on its way? What people say to each other is not kept. */
static int known_check(struct runs *runs, const struct connection *connection, struct inbox_keys *keys, struct err *err)
{
	int64_t found = 0;
	AUTO_TX tx = {0};

	if (!keys->known || keys->ignored) {
		free(keys->known); /* what is left of it was looked for, and not found */
		keys->known = NULL;
		return 0;
	}
	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_number_get(&tx, &found, 0,
			     "SELECT (SELECT count(*) FROM thread WHERE id = ?) +"
			     " (SELECT count(*) FROM inbox WHERE source = ? AND stream = ? AND status = 'new')",
			     VALUES(V((const char *)keys->known), V(connection->id), V((const char *)keys->stream)), err)) {
		if (err)
			err->kind = ERR_RETRY;
		return -1;
	}
	keys->ignored = !found;
	return 0;
}

static int age_check(const struct inbox_keys *keys, int64_t now_ms, struct err *err)
{
	int64_t away_ms = now_ms - keys->time_ms;

	if (!keys->age_max_ms || (away_ms <= keys->age_max_ms && away_ms >= -keys->age_max_ms))
		return 0;
	return err_set(err, ERR_DENIED, "the webhook is refused: its time is more than %lld s away",
		       (long long)keys->age_max_ms / 1000);
}

static const struct inbox_source *source_get(const struct connection *connection, const char *id, struct err *err)
{
	const struct inbox_source *source = source_find(connection->kind);

	if (!source)
		(void)err_set(err, ERR_NOT_FOUND, "no deliveries are taken for `%.60s`", id);
	return source;
}

/* Its names, of a request that is the connection's; `came`: from outside, and not over a connection of ours. */
static int delivery_read(struct runs *runs, const struct connection *connection, const struct webhook_request *request, bool came,
			 struct inbox_keys *keys, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	const struct inbox_source *source = source_get(connection, connection->id, err);

	return !source || (came && source->verify(connection, request, now_ms, err)) || body_check(request->body, err) ||
			       source->keys(connection, request, keys, err) || (came && age_check(keys, now_ms, err)) ||
			       known_check(runs, connection, keys, err)
		       ? -1
		       : 0;
}

static struct inbox_message message_of(const struct connection *connection, const struct inbox_keys *keys, struct view body)
{
	return (struct inbox_message){.source = connection->id,
				      .delivery = keys->delivery,
				      .content = keys->content,
				      .stream = keys->stream,
				      .kind = keys->kind,
				      .data = body};
}

static char *answer_of(struct inbox_keys *keys)
{
	return keys->answer ? TAKE(keys->answer) : text_copy("{}");
}

/* Those whose names were read, and that are something of ours. */
static void deliveries_keep(struct runs *runs, struct runs_delivery *deliveries, const struct connection *const *of,
			    struct inbox_keys *keys, size_t count)
{
	struct inbox_message messages[RUNS_DELIVERIES_MAX];
	struct inbox_result results[RUNS_DELIVERIES_MAX];
	struct runs_delivery *kept[RUNS_DELIVERIES_MAX];
	size_t left = 0;

	for (size_t i = 0; i < count; i++)
		if (of[i] && deliveries[i].failure.kind == ERR_NONE && !keys[i].ignored) {
			kept[left] = &deliveries[i];
			messages[left++] = message_of(of[i], &keys[i], deliveries[i].request.body);
		}
	if (left)
		inbox_accept_all(runs->store, runs->options.world, messages, left, results);
	for (size_t i = 0; i < left; i++) {
		if (results[i].failure.kind != ERR_NONE)
			(void)again_later(&results[i].failure, &kept[i]->failure);
		else if (results[i].seen)
			log_debug("connection=%s delivery=%s: known", messages[i].source, messages[i].delivery);
	}
	for (size_t i = 0; i < count; i++)
		if (deliveries[i].failure.kind == ERR_NONE)
			deliveries[i].answer = answer_of(&keys[i]);
}

/* The connections that they are for, each read once: of[i] is NULL when that failed. */
static void connections_read(struct runs *runs, struct runs_delivery *deliveries, size_t count, struct connection *connections,
			     const struct connection **of)
{
	struct err failure = {0};
	AUTO_TX tx = {0};
	bool begun = !store_begin_snapshot(runs->store, &tx, &failure);

	for (size_t i = 0; i < count; i++) {
		const char *id = deliveries[i].connection;
		struct err *err = &deliveries[i].failure;

		of[i] = NULL;
		for (size_t j = 0; j < i && !of[i]; j++)
			if (of[j] && strcmp(of[j]->id, id) == 0)
				of[i] = of[j];
		if (of[i])
			continue;
		if (!begun || connection_read(&tx, id, &connections[i], &failure))
			(void)err_set(err, begun && failure.kind == ERR_NOT_FOUND ? ERR_NOT_FOUND : ERR_RETRY, "%s", failure.text);
		else if (strcmp(connections[i].id, id) != 0) /* a name may change; what a service calls is the id */
			(void)err_set(err, ERR_NOT_FOUND, "no deliveries are taken for `%.60s`", id);
		else
			of[i] = &connections[i];
	}
}

/* What begins a thread may have come with what is said in it. */
static void batch_know(const struct runs_delivery *deliveries, const struct connection *const *of, struct inbox_keys *keys,
		       size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count && of[i] && keys[i].known && keys[i].ignored && keys[i].stream; k++)
			if (of[k] == of[i] && deliveries[k].failure.kind == ERR_NONE && !keys[k].ignored && !keys[k].known &&
			    keys[k].stream && strcmp(keys[k].stream, keys[i].stream) == 0)
				keys[i].ignored = false;
}

void runs_deliveries_take(struct runs *runs, struct runs_delivery *deliveries, size_t count)
{
	struct connection connections[RUNS_DELIVERIES_MAX] = {0};
	const struct connection *of[RUNS_DELIVERIES_MAX];
	struct inbox_keys keys[RUNS_DELIVERIES_MAX] = {0};

	assert(count <= RUNS_DELIVERIES_MAX);
	for (size_t i = 0; i < count; i++)
		deliveries[i].failure = (struct err){0};
	connections_read(runs, deliveries, count, connections, of);
	for (size_t i = 0; i < count; i++)
		if (of[i] && delivery_read(runs, of[i], &deliveries[i].request, true, &keys[i], &deliveries[i].failure))
			assert(deliveries[i].failure.kind != ERR_NONE);
	batch_know(deliveries, of, keys, count);
	deliveries_keep(runs, deliveries, of, keys, count);
	for (size_t i = 0; i < count; i++) {
		connection_fini(&connections[i]);
		keys_fini(&keys[i]);
	}
}

int runs_delivery_take(struct runs *runs, const char *id, const struct webhook_request *request, char **answer, struct err *err)
{
	struct runs_delivery delivery = {.connection = id, .request = *request};

	runs_deliveries_take(runs, &delivery, 1);
	*answer = delivery.answer;
	return delivery.failure.kind == ERR_NONE ? 0 : err_set(err, delivery.failure.kind, "%s", delivery.failure.text);
}

static const char *no_header(void *self, const char *name)
{
	(void)self;
	(void)name;
	return NULL;
}

int runs_delivery_keep(struct runs *runs, const char *id, struct view body, struct err *err)
{
	const struct webhook_request request = {no_header, NULL, body};
	__attribute__((cleanup(keys_fini))) struct inbox_keys keys = {0};
	AUTO_CONNECTION connection = {0};
	struct inbox_message message;
	struct err failure = {0};
	bool seen;

	if (connection_load(runs, id, &connection, err) || delivery_read(runs, &connection, &request, false, &keys, err))
		return -1;
	message = message_of(&connection, &keys, body);
	if (!keys.ignored && inbox_accept(runs->store, runs->options.world, &message, &seen, &failure))
		return again_later(&failure, err);
	return 0;
}

/* ---- acting ---- */

static int act(void *self, struct store_tx *tx, const struct inbox_message *message, struct err *err)
{
	struct inboxes *inboxes = self;
	AUTO_CONNECTION connection = {0};
	const struct inbox_source *source;

	if (connection_read(tx, message->source, &connection, err))
		return -1;
	source = source_find(connection.kind);
	return source ? source->take(inboxes->runs, tx, &connection, message, err)
		      : err_set(err, ERR_INVALID, "this version takes nothing from connections of the kind `%.60s`",
				connection.kind);
}

/* What is over is known for as long as anybody may send it again. */
static int sweep(struct inboxes *inboxes, struct err *err)
{
	int64_t now_ms = world_now_ms(inboxes->runs->options.world);
	AUTO_TX tx = {0};

	if (now_ms - inboxes->swept_ms < SWEEP_MS)
		return 0;
	inboxes->swept_ms = now_ms;
	if (store_begin(inboxes->runs->store, &tx, err) ||
	    store_run(&tx, "DELETE FROM inbox WHERE status = 'done' AND time_ms < ?", VALUES(V(now_ms - KEEP_MS)), err))
		return -1;
	return store_commit(&tx, err);
}

int inboxes_work(struct runs *runs, bool *did, struct err *err)
{
	int failed;

	*did = false;
	failed = inbox_work(&runs->inboxes->inbox, did, err);
	if (*did) /* also those before the one that failed */
		runs_told(runs);
	return failed ? -1 : sweep(runs->inboxes, err);
}

static bool is_ending(struct inboxes *inboxes)
{
	return __atomic_load_n(&inboxes->ending, __ATOMIC_SEQ_CST);
}

static void *inboxes_run(void *self)
{
	struct inboxes *inboxes = self;

	while (!is_ending(inboxes)) {
		int64_t seen = store_version(inboxes->runs->store);
		struct err err = {0};
		bool did = false;

		if (inboxes_work(inboxes->runs, &did, &err))
			log_warn("inbox: %s", err.text);
		if (!did && !is_ending(inboxes))
			store_wait(inboxes->runs->store, seen, IDLE_MS);
	}
	return NULL;
}

int inboxes_open(struct runs *runs, bool threaded, struct err *err)
{
	struct inboxes *inboxes = mem_new(sizeof(*inboxes));
	int failed;

	inboxes->runs = runs;
	inboxes->inbox = (struct inbox){.store = runs->store, .world = runs->options.world, .act = act, .self = inboxes};
	runs->inboxes = inboxes;
	if (!threaded)
		return 0;
	failed = pthread_create(&inboxes->thread, NULL, inboxes_run, inboxes);
	if (failed)
		return err_errno(err, failed, "cannot start a thread");
	inboxes->threaded = true;
	return 0;
}

void inboxes_close(struct runs *runs)
{
	struct inboxes *inboxes = runs->inboxes;

	if (!inboxes)
		return;
	__atomic_store_n(&inboxes->ending, true, __ATOMIC_SEQ_CST);
	store_nudge(runs->store);
	if (inboxes->threaded)
		(void)pthread_join(inboxes->thread, NULL);
	free(inboxes);
	runs->inboxes = NULL;
}
