/*
 * NATS as an engine, with JetStream in its volume. What is in it is asked over its own protocol: subjects under $JS.API answer with JSON. Messages
 * that no stream keeps are gone when they are given, so there is nothing to ask of them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "data/broker.h"
#include "data/wire.h"

#define SERVER "/usr/sbin/nats-server"
#define DIRECTORY ENGINE_DATA_PATH "/nats"
#define INBOX "_INBOX.assay"
#define ANSWER_BYTES_MAX ((size_t)16 << 20)
#define STREAMS_MAX 256
#define MESSAGES_MAX 1000 /* of a stream, the newest */
#define BODY_MAX ((size_t)1 << 20)
#define ROWS_BYTES_MAX ((size_t)16 << 20) /* of all messages that are read */

static int version_choose(int wanted, int *version, struct err *err)
{
	if (access(SERVER, X_OK))
		return err_set(err, ERR_NOT_FOUND, "NATS is not installed: apt install nats-server");
	*version = wanted ? wanted : 2; /* one is installed or none */
	return 0;
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "mkdir");
	engine_program_add(program, "-p");
	engine_program_add(program, DIRECTORY);
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	static const char *const settings[] = {"-a", "127.0.0.1", "-js", "-sd", DIRECTORY};

	(void)loading;
	engine_program_add(program, SERVER);
	engine_program_add(program, "-p");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		engine_program_add(program, "%s", settings[i]);
}

/* ---- a few lines of its protocol ---- */

/* Takes a line off the front, waiting for it; without its CRLF, valid until the next call. */
static int line_take(struct wire *wire, struct buf *line, struct err *err)
{
	ptrdiff_t end;

	while ((end = view_find(buf_view(&wire->in), VIEW("\r\n"))) < 0)
		if (wire_receive(wire, err))
			return -1;
	buf_clear(line);
	buf_add(line, wire->in.at, (size_t)end);
	buf_add_char(line, '\0');
	line->length--;
	buf_drop_front(&wire->in, (size_t)end + 2);
	return 0;
}

static int hello(struct wire *wire, struct err *err)
{
	AUTO_BUF line = buf_new((size_t)1 << 20);

	if (line_take(wire, &line, err))
		return -1;
	if (!view_starts(buf_view(&line), VIEW("INFO ")))
		return err_set(err, ERR_BROKEN, "what listens there does not speak NATS");
	if (wire_send(wire, VIEW("CONNECT {\"verbose\":false,\"name\":\"assay\"}\r\nSUB " INBOX " 1\r\nPING\r\n"), err))
		return -1;
	for (;;) {
		if (line_take(wire, &line, err))
			return -1;
		if (view_starts(buf_view(&line), VIEW("PONG")))
			return 0;
		if (view_starts(buf_view(&line), VIEW("-ERR")))
			return err_set(err, ERR_BROKEN, "NATS: %.200s", line.at);
	}
}

/* A question of JetStream's, and its answer, owned by the caller. */
static json_t *ask(struct wire *wire, const char *subject, const char *body, struct err *err)
{
	AUTO_FREE char *text = text_format("PUB $JS.API.%s " INBOX " %zu\r\n%s\r\n", subject, strlen(body), body);
	AUTO_BUF line = buf_new((size_t)1 << 20);
	struct view last, rest;
	uint64_t bytes;
	json_t *answer;

	if (wire_send(wire, view_of(text), err))
		return NULL;
	do {
		if (line_take(wire, &line, err))
			return NULL;
		if (view_starts(buf_view(&line), VIEW("PING")) && wire_send(wire, VIEW("PONG\r\n"), err))
			return NULL;
	} while (!view_starts(buf_view(&line), VIEW("MSG ")));
	for (rest = buf_view(&line), last = rest; rest.at;)
		last = view_cut(rest, ' ', &rest);
	if (!view_to_u64(last, &bytes) || bytes > ANSWER_BYTES_MAX) {
		(void)err_set(err, ERR_BROKEN, "NATS answered with a broken line");
		return NULL;
	}
	while (wire->in.length < bytes + 2)
		if (wire_receive(wire, err))
			return NULL;
	answer = json_parse(view_make(wire->in.at, bytes), err);
	buf_drop_front(&wire->in, bytes + 2);
	return answer;
}

static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 20);

	(void)target;
	return hello(&wire, err);
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	(void)target;
	(void)statement;
	engine_program_add(program, "sh");
	engine_program_add(program, "-c");
	engine_program_add(program,
			   "echo 'Debian has no client of NATS for the command line: use one in the workspace' >&2; exit 2");
}

/* ---- what is in its streams ---- */

/* An answer with a list under `name`, of which the server gives so many at once; *cut says that it has more. Owned by the caller. */
static json_t *list_ask(struct wire *wire, const char *subject, const char *name, bool *cut, struct err *err)
{
	AUTO_JSON answer = ask(wire, subject, "", err);

	if (!answer)
		return NULL;
	if (json_member(answer, "error")) {
		(void)err_set(err, ERR_RETRY, "NATS: %.200s", json_text(json_member(answer, "error"), "description", "an error"));
		return NULL;
	}
	*cut = *cut || json_number(answer, "total", 0) > (int64_t)json_array_size(json_member(answer, name));
	return TAKE(answer);
}

/* Streams by name. Owned by the caller. */
static json_t *streams_list(struct wire *wire, bool *cut, struct err *err)
{
	AUTO_JSON answer = NULL;

	if (hello(wire, err))
		return NULL;
	answer = list_ask(wire, "STREAM.LIST", "streams", cut, err);
	if (!answer)
		return NULL;
	return json_is_array(json_member(answer, "streams")) ? json_incref(json_member(answer, "streams")) : json_array();
}

static bool name_is_plain(const char *name)
{
	return *name && !strpbrk(name, " \t\r\n.*>");
}

static int stream_waiting(struct wire *wire, const char *stream, const char *group, int64_t *count, struct err *err)
{
	AUTO_FREE char *subject = text_format("CONSUMER.LIST.%s", stream);
	bool cut = false;
	AUTO_JSON answer = list_ask(wire, subject, "consumers", &cut, err);
	json_t *consumer;
	size_t index;

	if (!answer)
		return -1;
	if (cut)
		return err_set(err, ERR_LIMIT, "more consumers of stream %s than NATS lists at once", stream);
	json_array_foreach(json_member(answer, "consumers"), index, consumer) {
		const char *policy = json_text(json_member(consumer, "config"), "ack_policy", "explicit");

		if (group && strcmp(json_text(consumer, "name", ""), group) != 0)
			continue;
		*count += json_number(consumer, "num_pending", 0);
		if (strcmp(policy, "none") != 0)
			*count += json_number(consumer, "num_ack_pending", 0);
	}
	return 0;
}

static int waiting(const struct engine_target *target, int fd, const struct queue *queue, int64_t *count, char **which,
		   struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ANSWER_BYTES_MAX);
	bool cut = false;
	AUTO_JSON streams = streams_list(&wire, &cut, err);
	json_t *stream;
	size_t index;

	(void)target;
	*count = 0;
	*which = NULL;
	if (!streams)
		return -1;
	if (cut)
		return err_set(err, ERR_LIMIT, "more streams than NATS lists at once");
	json_array_foreach(streams, index, stream) {
		const char *name = json_text(json_member(stream, "config"), "name", "");

		if (!name_is_plain(name) || (queue && strcmp(queue->stream, name) != 0) || index >= STREAMS_MAX)
			continue;
		if (stream_waiting(&wire, name, queue ? queue->group : NULL, count, err))
			return -1;
		if (*count && !*which)
			*which = text_copy(name);
	}
	return 0;
}

/* Adds [number, ["subject", …, "data", …]], as the entries of a Redis stream are; nothing when it is gone. */
static int message_read(struct wire *wire, const char *stream, int64_t number, json_t *entries, size_t *bytes, struct err *err)
{
	AUTO_FREE char *subject = text_format("STREAM.MSG.GET.%s", stream);
	AUTO_FREE char *body = text_format("{\"seq\":%lld}", (long long)number);
	AUTO_JSON answer = ask(wire, subject, body, err);
	const json_t *message = json_member(answer, "message");
	AUTO_BUF data = buf_new(BODY_MAX);
	AUTO_JSON holder = json_object();

	if (!answer)
		return -1;
	if (!message || buf_add_unbase64(&data, view_of(json_text(message, "data", "")), NULL))
		return 0;
	json_set_bytes(holder, "data", buf_view(&data));
	*bytes += data.length;
	(void)json_array_append_new(entries, json_pack("[I, [s, s, s, O]]", (json_int_t)number, "subject",
						       json_text(message, "subject", ""), "data", json_member(holder, "data")));
	return 0;
}

static int stream_read(struct wire *wire, const json_t *stream, json_t *keys, size_t *bytes, bool *cut, struct err *err)
{
	const char *name = json_text(json_member(stream, "config"), "name", "");
	const json_t *state = json_member(stream, "state");
	int64_t first = json_number(state, "first_seq", 1);
	int64_t last = json_number(state, "messages", 0) ? json_number(state, "last_seq", 0) : 0;
	json_t *entries = json_array();

	(void)json_object_set_new(keys, name, json_pack("{s:s, s:o}", "type", "stream", "value", entries));
	first = first > 0 ? first : 1;
	if (last == INT64_MAX)
		return err_set(err, ERR_BROKEN, "NATS numbers the messages of stream %s beyond all", name);
	if (first > last)
		return 0;
	if (last - first >= MESSAGES_MAX) {
		*cut = true;
		first = last - MESSAGES_MAX + 1;
	}
	for (int64_t number = first; number <= last; number++) {
		if (*bytes >= ROWS_BYTES_MAX) {
			*cut = true;
			return 0;
		}
		if (message_read(wire, name, number, entries, bytes, err))
			return -1;
	}
	return 0;
}

static json_t *rows(const struct engine_target *target, int fd, const json_t *mark, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ANSWER_BYTES_MAX);
	bool cut = false;
	size_t bytes = 0;
	AUTO_JSON streams = streams_list(&wire, &cut, err);
	AUTO_JSON result = json_pack("{s:{}}", "keys");
	json_t *stream;
	size_t index;

	(void)target;
	(void)mark;
	if (!streams)
		return NULL;
	json_array_foreach(streams, index, stream)
		if (name_is_plain(json_text(json_member(stream, "config"), "name", "")) && index < STREAMS_MAX &&
		    stream_read(&wire, stream, json_object_get(result, "keys"), &bytes, &cut, err))
			return NULL;
	if (cut || json_array_size(streams) > STREAMS_MAX)
		(void)json_object_set_new(result, "cut", json_true());
	return TAKE(result);
}

static void url(const struct engine_target *target, struct buf *out)
{
	buf_add_format(out, "nats://%s:%u", target->database->name, (unsigned)target->ops->port);
}

const struct engine_ops engine_nats = {
	.kind = ENGINE_NATS,
	.name = "nats",
	.port = 4222,
	.stop_signal = SIGINT, /* of SIGTERM it ends with 1 */
	.stop_limit_ms = 30000,
	.version = version_choose,
	.initialise = initialise,
	.serve = serve,
	.ready = ready,
	.create = broker_create,
	.client = client,
	.loader = broker_loader,
	.dumper = broker_dumper,
	.settle = broker_settle,
	.mark = broker_mark,
	.rows = rows,
	.url = url,
	.waiting = waiting,
};
