/*
 * Sockets of Socket Mode.
 *
 * Theory of operation. A keeper looks from time to time which connections want a socket, and starts a thread for each that has
 * none. That thread holds one until its connection is gone, or is another one than it was (its secrets are compared); then it ends, and the
 * keeper starts the next. An envelope is acknowledged after inbox_accept() returned, or when it says nothing to us; one that could not be
 * kept is not, and Slack sends it again.
 */
#include "runs/slack_socket.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "http/websocket_client.h"
#include "runs/runs_priv.h"
#include "trackers/slack.h"

#define SOCKETS_MAX 8
#define LOOK_MS 2000       /* how soon the keeper sees a new connection, and a socket that it is to end */
#define OPEN_MS 20000      /* for connecting and the handshake */
#define PING_MS 30000      /* of silence, after which a sign of life is asked for */
#define SILENCE_MS 60000   /* after which it is over */
#define PAUSE_MS 1000      /* before trying again, doubled up to… */
#define PAUSE_MAX_MS 60000 /* … */
#define DRAINED_MAX 1000   /* messages of a socket that is left */

struct slack_socket {
	struct slack_sockets *sockets;
	pthread_t thread;
	char *connection; /* an id; NULL: free */
	bool over;        /* atomic: the thread is to be joined */
	struct websocket_client *client;
};

struct slack_sockets {
	struct runs *runs;
	pthread_t keeper;
	bool ending; /* atomic */
	struct slack_socket at[SOCKETS_MAX];
};

static bool is_ending(const struct slack_sockets *sockets)
{
	return __atomic_load_n(&sockets->ending, __ATOMIC_SEQ_CST);
}

/* ---- what comes ---- */

static int acknowledge(struct websocket_client *client, const char *id, struct err *err)
{
	AUTO_JSON json = json_pack("{s:s}", "envelope_id", id);
	AUTO_BUF text = buf_new(1024);

	json_format(&text, json);
	return buf_finish(&text, err) ? -1 : websocket_client_send(client, buf_view(&text), err);
}

/* *renew: Slack wants another socket. */
static int message_take(struct slack_socket *socket, struct websocket_client *client, const char *text, bool *renew,
			struct err *err)
{
	__attribute__((cleanup(slack_envelope_fini))) struct slack_envelope envelope = {0};
	struct runs *runs = socket->sockets->runs;
	struct err failure = {0};

	if (slack_envelope_parse(view_of(text), &envelope, err))
		return -1;
	if (envelope.kind == SLACK_DISCONNECT) {
		*renew = true;
		return strcmp(envelope.reason, "link_disabled") == 0
			       ? err_set(err, ERR_DENIED, "Socket Mode is switched off in Slack")
			       : 0;
	}
	if (envelope.kind == SLACK_EVENT && runs_delivery_keep(runs, socket->connection, view_of(envelope.payload), &failure)) {
		log_warn("connection=%s envelope=%s: %s", socket->connection, envelope.id, failure.text);
		/* What is no event of ours will be none later; everything else comes again when it is not acknowledged. */
		if (failure.kind != ERR_INVALID && failure.kind != ERR_LIMIT)
			return 0;
	}
	return envelope.id[0] ? acknowledge(client, envelope.id, err) : 0;
}

/* What is still on the way in a socket that is left. */
static void drain(struct slack_socket *socket, struct websocket_client *client)
{
	struct err err = {0};
	bool renew = false;

	for (int i = 0; i < DRAINED_MAX; i++) {
		AUTO_FREE char *text = NULL;

		if (websocket_client_receive(client, 0, &text, &err) || !text || message_take(socket, client, text, &renew, &err))
			return;
	}
}

/* ---- one connection ---- */

static int connection_wanted(struct runs *runs, const char *id, struct connection *connection, struct err *err)
{
	if (connection_load(runs, id, connection, err))
		return -1;
	return connection_secret(connection, "app_token") && json_text(connection->configuration, "account", NULL)
		       ? 0
		       : err_set(err, ERR_NOT_FOUND, "no Socket Mode is wanted");
}

static struct websocket_client *socket_open(struct runs *runs, const struct connection *connection, struct err *err)
{
	const struct slack_call call = {.world = runs->options.world,
					.base = connection->base,
					.token = connection_secret(connection, "app_token"),
					.method = "apps.connections.open"};
	AUTO_JSON answer = NULL;
	struct slack_said said;

	if (slack_ask(&call, &answer, &said, err))
		return NULL;
	return websocket_client_open(json_text(answer, "url", ""), OPEN_MS, err);
}

/* Is it still the connection that the socket was opened for? */
static bool is_same(struct runs *runs, const struct connection *connection)
{
	AUTO_CONNECTION now = {0};
	struct err err = {0};

	if (connection_wanted(runs, connection->id, &now, &err))
		return err.kind != ERR_NOT_FOUND;
	return strcmp(connection_secret(&now, "app_token"), connection_secret(connection, "app_token")) == 0 &&
	       strcmp(now.base, connection->base) == 0;
}

/* One socket after another, as long as they follow each other without a failure. *worked: one of them said something. */
static int socket_hold(struct slack_socket *socket, const struct connection *connection, bool *worked, struct err *err)
{
	struct runs *runs = socket->sockets->runs;
	bool renew = false;
	bool pinged = false;

	while (!is_ending(socket->sockets) && is_same(runs, connection)) {
		AUTO_FREE char *text = NULL;
		int64_t silent_ms = websocket_client_silent_ms(socket->client);

		if (silent_ms > SILENCE_MS)
			return err_set(err, ERR_RETRY, "Slack is silent");
		if (silent_ms > PING_MS && !pinged && websocket_client_ping(socket->client, err))
			return -1;
		pinged = silent_ms > PING_MS;
		if (websocket_client_receive(socket->client, LOOK_MS, &text, err) ||
		    (text && message_take(socket, socket->client, text, &renew, err)))
			return -1;
		*worked = *worked || text;
		if (renew) {
			struct websocket_client *old = socket->client;
			struct websocket_client *next = socket_open(runs, connection, err);

			if (!next)
				return -1;
			socket->client = next;
			renew = false;
			drain(socket, old);
			websocket_client_close(old);
		}
	}
	return 0;
}

static void state_tell(struct runs *runs, const char *connection, const char *error)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, &err) || connection_state_set(&tx, connection, error, &err) || store_commit(&tx, &err))
		log_warn("connection=%s: %s", connection, err.text);
}

static void pause_for(const struct slack_sockets *sockets, int64_t pause_ms)
{
	int64_t until_ms = world_elapsed_ms(world_real) + pause_ms;

	for (int64_t left_ms = pause_ms; left_ms > 0 && !is_ending(sockets); left_ms = until_ms - world_elapsed_ms(world_real))
		store_wait(sockets->runs->store, store_version(sockets->runs->store), left_ms);
}

static int socket_once(struct slack_socket *socket, const struct connection *connection, bool *worked, struct err *err)
{
	int failed;

	socket->client = socket_open(socket->sockets->runs, connection, err);
	if (!socket->client)
		return -1;
	state_tell(socket->sockets->runs, connection->id, NULL);
	failed = socket_hold(socket, connection, worked, err);
	websocket_client_close(TAKE(socket->client));
	return failed;
}

static void *socket_run(void *self)
{
	struct slack_socket *socket = self;
	struct slack_sockets *sockets = socket->sockets;
	int64_t pause_ms = PAUSE_MS;

	while (!is_ending(sockets)) {
		AUTO_CONNECTION connection = {0};
		struct err err = {0};
		bool worked = false;

		if (connection_wanted(sockets->runs, socket->connection, &connection, &err)) {
			if (err.kind == ERR_NOT_FOUND)
				break;
		} else if (!socket_once(socket, &connection, &worked, &err)) {
			continue;
		} else {
			log_warn("connection=%s: Socket Mode: %s", connection.name, err.text);
			if (err.kind != ERR_RETRY && err.kind != ERR_LIMIT)
				state_tell(sockets->runs, connection.id, err.text);
		}
		pause_ms = worked ? PAUSE_MS : pause_ms;
		pause_for(sockets, pause_ms);
		pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
	}
	__atomic_store_n(&socket->over, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* ---- the keeper ---- */

static void socket_join(struct slack_socket *socket)
{
	(void)pthread_join(socket->thread, NULL);
	free(TAKE(socket->connection));
	__atomic_store_n(&socket->over, false, __ATOMIC_SEQ_CST);
}

static void socket_begin(struct slack_sockets *sockets, const char *id)
{
	struct slack_socket *found = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (sockets->at[i].connection && strcmp(sockets->at[i].connection, id) == 0)
			return;
		if (!sockets->at[i].connection)
			found = &sockets->at[i];
	}
	if (!found)
		return;
	found->sockets = sockets;
	found->connection = text_copy(id);
	if (pthread_create(&found->thread, NULL, socket_run, found))
		free(TAKE(found->connection));
}

static void sockets_look(struct slack_sockets *sockets)
{
	AUTO_JSON ids = NULL;
	struct err err = {0};
	json_t *id;
	size_t i;

	for (i = 0; i < SOCKETS_MAX; i++)
		if (sockets->at[i].connection && __atomic_load_n(&sockets->at[i].over, __ATOMIC_SEQ_CST))
			socket_join(&sockets->at[i]);
	{
		AUTO_TX tx = {0};

		ids = store_begin_snapshot(sockets->runs->store, &tx, &err) ? NULL : connection_ids(&tx, "slack", &err);
	}
	json_array_foreach(ids, i, id) {
		AUTO_CONNECTION connection = {0};

		if (!connection_wanted(sockets->runs, json_string_value(id), &connection, &err))
			socket_begin(sockets, connection.id);
	}
}

static void *keeper_run(void *self)
{
	struct slack_sockets *sockets = self;

	while (!is_ending(sockets)) {
		sockets_look(sockets);
		pause_for(sockets, LOOK_MS);
	}
	return NULL;
}

int slack_sockets_open(struct runs *runs, struct err *err)
{
	struct slack_sockets *sockets = mem_new(sizeof(*sockets));
	int failed;

	sockets->runs = runs;
	failed = pthread_create(&sockets->keeper, NULL, keeper_run, sockets);
	if (failed) {
		free(sockets);
		return err_errno(err, failed, "cannot start a thread");
	}
	runs->slack_sockets = sockets;
	return 0;
}

void slack_sockets_close(struct runs *runs)
{
	struct slack_sockets *sockets = runs->slack_sockets;

	if (!sockets)
		return;
	__atomic_store_n(&sockets->ending, true, __ATOMIC_SEQ_CST);
	store_nudge(runs->store);
	(void)pthread_join(sockets->keeper, NULL);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (sockets->at[i].connection)
			socket_join(&sockets->at[i]);
	free(sockets);
	runs->slack_sockets = NULL;
}
