/*
 * PostgreSQL frames.
 *
 * Theory of operation: each direction is cut into frames; of the interesting ones up to a limit is kept, the rest is skipped. Each Query,
 * Execute and Sync of the client becomes an entry of a queue, and the server's CommandComplete, EmptyQueryResponse, PortalSuspended,
 * ErrorResponse and ReadyForQuery take them off in order. After an error the server skips to the next Sync, and so do we.
 */
#include "gateway/seams/postgres.h"

#include <stdlib.h>

#include "base/scope.h"

#define FRAME_BYTES_MAX ((uint64_t)1 << 30) /* PostgreSQL's own limit */
#define KEPT_MAX (POSTGRES_STATEMENT_KEPT_MAX + 256)

enum kind { KIND_QUERY, KIND_EXECUTE, KIND_SYNC };

struct pending {
	enum kind kind;
	char *statement;
	char *complete; /* of a simple query: the last command tag */
	char *error;
	int64_t begun_us;
};

/* Cuts one direction into frames. */
struct framer {
	struct buf head;  /* type and length */
	struct buf kept;  /* the front of the body */
	uint64_t left;    /* bytes of the body to come */
	bool untyped;     /* startup packets have no type byte */
	bool single_byte; /* the server's answer to SSLRequest is one byte */
};

struct named {
	char *name;
	char *text;
};

struct names {
	struct named *at;
	size_t count;
};

struct postgres {
	reader_tell *tell;
	void *self;
	struct framer client;
	struct framer server;
	bool blind;
	struct names prepared;
	struct names portals;
	struct pending *ring;
	size_t ring_size, first, count;
	int64_t now_us;
};

static void *postgres_make(reader_tell *tell, void *self)
{
	struct postgres *postgres = mem_new(sizeof(*postgres));

	postgres->tell = tell;
	postgres->self = self;
	postgres->client = (struct framer){.head = buf_new(5), .kept = buf_new(KEPT_MAX), .untyped = true};
	postgres->server = (struct framer){.head = buf_new(5), .kept = buf_new(KEPT_MAX)};
	return postgres;
}

static const char *names_find(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->at[i].name, name) == 0)
			return names->at[i].text;
	return NULL;
}

static void names_set(struct names *names, const char *name, const char *text)
{
	size_t at = 0;

	while (at < names->count && strcmp(names->at[at].name, name) != 0)
		at++;
	if (at == names->count) {
		if (names->count == POSTGRES_PREPARED_MAX)
			return;
		if ((names->count & (names->count + 1)) == 0)
			names->at = mem_grow(names->at, names->count * 2 + 1, sizeof(*names->at));
		names->at[names->count++] = (struct named){text_copy(name), NULL};
	}
	free(names->at[at].text);
	names->at[at].text = text_copy(text);
}

static void names_drop(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->at[i].name, name) != 0)
			continue;
		free(names->at[i].name);
		free(names->at[i].text);
		names->at[i] = names->at[--names->count];
		return;
	}
}

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->at[i].name);
		free(names->at[i].text);
	}
	free(names->at);
	*names = (struct names){0};
}

static struct pending *pending_front(struct postgres *postgres)
{
	return postgres->count ? &postgres->ring[postgres->first] : NULL;
}

static void pending_pop(struct postgres *postgres)
{
	struct pending *front = pending_front(postgres);

	free(front->statement);
	free(front->complete);
	free(front->error);
	postgres->first = (postgres->first + 1) % postgres->ring_size;
	postgres->count--;
}

static void pending_clear(struct postgres *postgres)
{
	while (postgres->count)
		pending_pop(postgres);
	free(postgres->ring);
	postgres->ring = NULL;
	postgres->ring_size = 0;
}

static void go_blind(struct postgres *postgres)
{
	postgres->blind = true;
	pending_clear(postgres);
}

static void ring_grow(struct postgres *postgres)
{
	size_t size = postgres->ring_size ? postgres->ring_size * 2 : 8;
	struct pending *ring = mem_new_array(size, sizeof(*ring));

	for (size_t i = 0; i < postgres->count; i++)
		ring[i] = postgres->ring[(postgres->first + i) % postgres->ring_size];
	free(postgres->ring);
	postgres->ring = ring;
	postgres->ring_size = size;
	postgres->first = 0;
}

static void pending_add(struct postgres *postgres, enum kind kind, const char *statement)
{
	if (postgres->count == POSTGRES_PENDING_MAX) {
		go_blind(postgres);
		return;
	}
	if (postgres->count == postgres->ring_size)
		ring_grow(postgres);
	postgres->ring[(postgres->first + postgres->count++) % postgres->ring_size] = (struct pending){
		.kind = kind, .statement = text_copy(statement), .begun_us = postgres->now_us};
}

/* Tells of the front entry, and takes it off. */
static void front_done(struct postgres *postgres, const char *complete, const char *error)
{
	struct pending *front = pending_front(postgres);
	struct reader_event event = {
		.command = front->kind == KIND_QUERY ? "query" : "execute",
		.statement = view_of(front->statement),
		.complete = error ? NULL : complete,
		.error = error,
		.begun_us = front->begun_us,
		.ended_us = postgres->now_us,
	};

	if (front->kind != KIND_SYNC)
		postgres->tell(postgres->self, &event);
	pending_pop(postgres);
}

static void postgres_end(void *reader, const char *why, int64_t now_us)
{
	struct postgres *postgres = reader;

	postgres->now_us = now_us;
	while (why && postgres->count) {
		struct pending *front = pending_front(postgres);
		AUTO_FREE char *error = TAKE(front->error);

		front_done(postgres, NULL, error ? error : why);
	}
	pending_clear(postgres);
	names_fini(&postgres->prepared);
	names_fini(&postgres->portals);
	buf_fini(&postgres->client.head);
	buf_fini(&postgres->client.kept);
	buf_fini(&postgres->server.head);
	buf_fini(&postgres->server.kept);
	free(postgres);
}

/* The NUL-terminated text at the front of *rest; "" when there is none. Kept bodies are NUL-terminated by their buf, so a text that
 * was cut ends there. */
static const char *text_take(struct view *rest)
{
	const char *text = rest->length ? rest->at : "";
	size_t length = strnlen(text, rest->length);

	if (length < rest->length)
		length++;
	*rest = view_make(rest->at + length, rest->length - length);
	return text;
}

static void client_frame(struct postgres *postgres, char type, struct view body)
{
	struct view rest = body;
	const char *name;
	char what;

	switch (type) {
	case 'Q':
		pending_add(postgres, KIND_QUERY, text_take(&rest));
		break;
	case 'P': /* Parse: name, text */
		name = text_take(&rest);
		names_set(&postgres->prepared, name, text_take(&rest));
		break;
	case 'B': { /* Bind: portal, prepared statement */
		const char *text;

		name = text_take(&rest);
		text = names_find(&postgres->prepared, text_take(&rest));
		names_set(&postgres->portals, name, text ? text : "");
		break;
	}
	case 'E': /* Execute: portal */
		pending_add(postgres, KIND_EXECUTE, names_find(&postgres->portals, text_take(&rest)));
		break;
	case 'F': /* function call: answered by ReadyForQuery, as a query is */
		pending_add(postgres, KIND_QUERY, NULL);
		break;
	case 'C': /* Close: S or P, name */
		what = body.length ? body.at[0] : 'P';
		rest = view_make(body.at + (body.length ? 1 : 0), body.length - (body.length ? 1 : 0));
		names_drop(what == 'S' ? &postgres->prepared : &postgres->portals, text_take(&rest));
		break;
	case 'S':
		pending_add(postgres, KIND_SYNC, NULL);
		break;
	default: /* Describe, Flush, passwords, COPY data, Terminate */
		break;
	}
}

#define PROTOCOL_3 196608u
#define REQUEST_CANCEL 80877102u
#define REQUEST_TLS 80877103u
#define REQUEST_GSS 80877104u

static void startup_frame(struct postgres *postgres, struct view body)
{
	uint32_t code = 0;

	for (size_t i = 0; i < 4 && i < body.length; i++)
		code = code << 8 | (unsigned char)body.at[i];
	if (code == REQUEST_TLS || code == REQUEST_GSS)
		postgres->server.single_byte = true;
	else if (code >> 16 == PROTOCOL_3 >> 16)
		postgres->client.untyped = false;
	else
		go_blind(postgres); /* cancel requests, other versions */
}

/* "42P01 relation … does not exist" of an ErrorResponse. */
static char *error_format(struct view body)
{
	const char *code = "";
	const char *text = "";

	while (body.length && body.at[0]) {
		char field = body.at[0];
		const char *value;

		body = view_make(body.at + 1, body.length - 1);
		value = text_take(&body);
		if (field == 'C')
			code = value;
		else if (field == 'M')
			text = value;
	}
	return text_format("%s %s", code, text);
}

static void server_error(struct postgres *postgres, struct view body)
{
	struct pending *front = pending_front(postgres);
	AUTO_FREE char *error = error_format(body);

	if (!front)
		return; /* while logging in, or going down */
	if (front->kind == KIND_QUERY) {
		free(front->error);
		front->error = TAKE(error);
		return; /* told at ReadyForQuery */
	}
	while (front && front->kind == KIND_EXECUTE) {
		front_done(postgres, NULL, error);
		front = pending_front(postgres);
		free(error);
		error = text_copy("skipped after an error");
	}
}

static void server_frame(struct postgres *postgres, char type, struct view body)
{
	struct pending *front = pending_front(postgres);

	switch (type) {
	case 'C': /* CommandComplete */
	case 'I': /* EmptyQueryResponse */
	case 's': /* PortalSuspended */
		if (front && front->kind == KIND_EXECUTE) {
			front_done(postgres, type == 'C' ? text_take(&body) : type == 'I' ? "EMPTY" : "SUSPENDED", NULL);
		} else if (front && front->kind == KIND_QUERY) {
			free(front->complete);
			front->complete = text_copy(type == 'C' ? text_take(&body) : "EMPTY");
		}
		break;
	case 'E':
		server_error(postgres, body);
		break;
	case 'Z': /* ReadyForQuery ends a query or a Sync; Executes before it got their answers or were skipped */
		while (front && front->kind == KIND_EXECUTE) {
			front_done(postgres, NULL, "skipped after an error");
			front = pending_front(postgres);
		}
		if (front) {
			AUTO_FREE char *complete = TAKE(front->complete);
			AUTO_FREE char *error = TAKE(front->error);

			front_done(postgres, complete ? complete : "", error);
		}
		break;
	default:
		break;
	}
}

/* Is the body of such a frame worth keeping? */
static bool frame_interests(char type, bool from_client)
{
	return strchr(from_client ? "QPBEC" : "CE", type) != NULL;
}

/* Starts the body of a frame whose head is whole; false when it is broken. */
static bool frame_begin(struct framer *framer)
{
	const unsigned char *at = (const unsigned char *)framer->head.at + (framer->untyped ? 0 : 1);
	uint64_t length = (uint64_t)at[0] << 24 | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 8 | at[3];

	if (length < 4 || length > FRAME_BYTES_MAX || (framer->untyped && length > 10000))
		return false;
	framer->left = length - 4;
	return true;
}

/* Takes from the front of *bytes until a frame is whole; true then. */
static bool frame_take(struct postgres *postgres, struct framer *framer, struct view *bytes, bool from_client)
{
	size_t head = framer->untyped ? 4 : 5;

	while (framer->head.length < head && bytes->length) {
		buf_add_char(&framer->head, bytes->at[0]);
		*bytes = view_make(bytes->at + 1, bytes->length - 1);
		if (framer->head.length == head && !frame_begin(framer)) {
			go_blind(postgres);
			return false;
		}
	}
	if (framer->head.length < head)
		return false;
	if (framer->left) {
		size_t take = framer->left < bytes->length ? (size_t)framer->left : bytes->length;

		if (framer->untyped || frame_interests(framer->head.at[0], from_client)) {
			size_t room = framer->kept.length_max - framer->kept.length;

			buf_add(&framer->kept, bytes->at, take < room ? take : room);
		}
		framer->left -= take;
		*bytes = view_make(bytes->at + take, bytes->length - take);
	}
	return framer->left == 0;
}

static void frame_end(struct framer *framer)
{
	buf_clear(&framer->head);
	buf_clear(&framer->kept);
}

static void postgres_client(void *reader, struct view bytes, int64_t now_us)
{
	struct postgres *postgres = reader;

	postgres->now_us = now_us;
	while (!postgres->blind && bytes.length && frame_take(postgres, &postgres->client, &bytes, true)) {
		struct view body = buf_view(&postgres->client.kept);

		if (postgres->client.untyped)
			startup_frame(postgres, body);
		else
			client_frame(postgres, postgres->client.head.at[0], body);
		frame_end(&postgres->client);
	}
}

static void postgres_server(void *reader, struct view bytes, int64_t now_us)
{
	struct postgres *postgres = reader;

	postgres->now_us = now_us;
	if (postgres->server.single_byte && bytes.length && !postgres->blind) {
		postgres->server.single_byte = false;
		if (bytes.at[0] != 'N')
			go_blind(postgres);
		bytes = view_make(bytes.at + 1, bytes.length - 1);
	}
	while (!postgres->blind && bytes.length && frame_take(postgres, &postgres->server, &bytes, false)) {
		server_frame(postgres, postgres->server.head.at[0], buf_view(&postgres->server.kept));
		frame_end(&postgres->server);
	}
}

static size_t postgres_in_flight(const void *reader)
{
	const struct postgres *postgres = reader;

	return postgres->count;
}

/* A start-up packet, or the question for TLS: its length and one of the codes. */
static bool postgres_looks(struct view bytes, bool server)
{
	static const char tls[] = "\0\0\0\x08\4\xd2\x16\x2f";

	if (server || bytes.length < 8 || bytes.at[0] || bytes.at[1])
		return false;
	return memcmp(bytes.at, tls, 8) == 0 || memcmp(bytes.at + 4, "\0\3\0\0", 4) == 0;
}

const struct reader_ops reader_postgres = {"postgres",      postgres_make,      postgres_end,  postgres_client,
					   postgres_server, postgres_in_flight, postgres_looks};
