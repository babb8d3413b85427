/*
 * Redis frames.
 *
 * Theory of operation: both directions are lines that end in CRLF, and bulks of a given length. The client sends arrays of bulks, or
 * inline lines; the server sends one value per command, which may nest: a stack of how many elements are still to come says when it
 * is whole. Values of the push type are no replies.
 */
#include "gateway/seams/redis.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"

#define LINE_MAX_BYTES 65536 /* Redis' own limit of an inline command */
#define COMMAND_MAX 32
#define ERROR_KEPT_MAX 256
#define NUMBER_MAX 536870912 /* elements and bytes: proto-max-bulk-len */

struct pending {
	char command[COMMAND_MAX];
	struct view statement; /* owned */
	int64_t begun_us;
	bool waits; /* by design */
};

struct redis {
	void (*done)(void *self, const struct redis_done *done);
	void *self;
	bool blind;
	int64_t now_us;

	/* The client's side: the command that is coming in. */
	struct buf line;        /* of the frame that is being read */
	int64_t arguments_left; /* -1: none is coming */
	int64_t bulk_left;      /* with its CRLF; -1: a line is awaited */
	bool argument_block;
	bool replies_off; /* CLIENT REPLY: from then on replies cannot be told apart */
	size_t argument_count;
	char command[COMMAND_MAX];
	size_t argument_bytes; /* of the argument that is coming in */
	char argument[COMMAND_MAX];
	struct buf statement;
	int64_t begun_us;

	/* The server's side: the value that is coming in. */
	struct buf reply_line;
	int64_t reply_bulk_left; /* 0: a line is awaited */
	int64_t stack[REDIS_DEPTH_MAX];
	unsigned depth;
	bool push;
	char kind;
	bool null;
	struct buf error;

	struct pending *ring;
	size_t ring_size, first, count, waiting;
};

struct redis *redis_new(void (*done)(void *self, const struct redis_done *done), void *self)
{
	struct redis *redis = mem_new(sizeof(*redis));

	redis->done = done;
	redis->self = self;
	redis->line = buf_new(LINE_MAX_BYTES);
	redis->reply_line = buf_new(LINE_MAX_BYTES);
	redis->statement = buf_new(REDIS_STATEMENT_KEPT_MAX);
	redis->error = buf_new(ERROR_KEPT_MAX);
	redis->arguments_left = -1;
	redis->bulk_left = -1;
	return redis;
}

static void pending_pop(struct redis *redis)
{
	struct pending *front = &redis->ring[redis->first];

	if (front->waits)
		redis->waiting--;
	free((char *)(uintptr_t)front->statement.at);
	redis->first = (redis->first + 1) % redis->ring_size;
	redis->count--;
}

static void go_blind(struct redis *redis)
{
	redis->blind = true;
	while (redis->count)
		pending_pop(redis);
}

static void front_done(struct redis *redis, const char *complete, const char *error)
{
	struct pending *front = &redis->ring[redis->first];
	struct redis_done done = {
		.command = front->command,
		.statement = front->statement,
		.complete = error ? NULL : complete,
		.error = error,
		.begun_us = front->begun_us,
		.ended_us = redis->now_us,
	};

	redis->done(redis->self, &done);
	pending_pop(redis);
}

void redis_free(struct redis *redis, const char *why, int64_t now_us)
{
	if (!redis)
		return;
	redis->now_us = now_us;
	while (why && redis->count)
		front_done(redis, NULL, why);
	go_blind(redis);
	free(redis->ring);
	buf_fini(&redis->line);
	buf_fini(&redis->reply_line);
	buf_fini(&redis->statement);
	buf_fini(&redis->error);
	free(redis);
}

static void ring_grow(struct redis *redis)
{
	size_t size = redis->ring_size ? redis->ring_size * 2 : 8;
	struct pending *ring = mem_new_array(size, sizeof(*ring));

	for (size_t i = 0; i < redis->count; i++)
		ring[i] = redis->ring[(redis->first + i) % redis->ring_size];
	free(redis->ring);
	redis->ring = ring;
	redis->ring_size = size;
	redis->first = 0;
}

static bool command_is(const char *command, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(command, *list) == 0)
			return true;
	return false;
}

static const char *const waiting_commands[] = {"BLPOP",    "BRPOP",  "BRPOPLPUSH", "BLMOVE",  "BLMPOP", "BZPOPMIN",
					       "BZPOPMAX", "BZMPOP", "WAIT",       "WAITAOF", NULL};
static const char *const blinding_commands[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", NULL};
static const char *const secret_commands[] = {"AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE", NULL};

/* A command came in whole. */
static void command_end(struct redis *redis)
{
	struct pending pending = {.begun_us = redis->begun_us};
	bool xread = strcmp(redis->command, "XREAD") == 0 || strcmp(redis->command, "XREADGROUP") == 0;

	redis->arguments_left = -1;
	if (command_is(redis->command, blinding_commands) || redis->replies_off || redis->count == REDIS_PENDING_MAX) {
		go_blind(redis);
		return;
	}
	memcpy(pending.command, redis->command, sizeof(pending.command));
	pending.waits = command_is(redis->command, waiting_commands) || (xread && redis->argument_block);
	if (redis->statement.length && !command_is(redis->command, secret_commands))
		pending.statement = view_make(view_copy(buf_view(&redis->statement)), redis->statement.length);
	if (redis->count == redis->ring_size)
		ring_grow(redis);
	redis->ring[(redis->first + redis->count++) % redis->ring_size] = pending;
	if (pending.waits)
		redis->waiting++;
}

static void command_begin(struct redis *redis, int64_t arguments)
{
	redis->arguments_left = arguments;
	redis->argument_count = 0;
	redis->argument_block = false;
	redis->argument_bytes = 0;
	redis->command[0] = '\0';
	redis->begun_us = redis->now_us;
	buf_clear(&redis->statement);
}

static void statement_add(struct redis *redis, struct view bytes)
{
	size_t room = redis->statement.length_max - redis->statement.length;

	if (room)
		buf_add(&redis->statement, bytes.at, bytes.length < room ? bytes.length : room);
}

/* Some bytes of the argument that comes in. */
static void argument_add(struct redis *redis, struct view bytes)
{
	if (!redis->argument_bytes && redis->argument_count)
		statement_add(redis, VIEW(" "));
	statement_add(redis, bytes);
	for (size_t i = 0; i < bytes.length; i++, redis->argument_bytes++)
		if (redis->argument_bytes < COMMAND_MAX - 1)
			redis->argument[redis->argument_bytes] = (char)toupper((unsigned char)bytes.at[i]);
}

static void argument_end(struct redis *redis)
{
	size_t length = redis->argument_bytes < COMMAND_MAX - 1 ? redis->argument_bytes : COMMAND_MAX - 1;

	redis->argument[length] = '\0';
	if (redis->argument_count++ == 0)
		memcpy(redis->command, redis->argument, sizeof(redis->command));
	else if (strcmp(redis->argument, "BLOCK") == 0)
		redis->argument_block = true;
	else if (redis->argument_count == 2 && strcmp(redis->command, "CLIENT") == 0 && strcmp(redis->argument, "REPLY") == 0)
		redis->replies_off = true;
	redis->argument_bytes = 0;
}

static void inline_command(struct redis *redis, struct view line)
{
	command_begin(redis, 0);
	while (line.at) {
		struct view word = view_cut(line, ' ', &line);

		if (!word.length)
			continue;
		argument_add(redis, word);
		argument_end(redis);
	}
	if (redis->argument_count)
		command_end(redis);
	redis->arguments_left = -1;
}

/* A whole number of RESP, -1 included; false when it is none. */
static bool number_parse(struct view text, int64_t *number)
{
	uint64_t value;

	if (view_is(text, "-1")) {
		*number = -1;
		return true;
	}
	if (!view_to_u64(text, &value) || value > NUMBER_MAX)
		return false;
	*number = (int64_t)value;
	return true;
}

/* A line of the client, without its CRLF. */
static void client_line(struct redis *redis, struct view line)
{
	char type = line.length ? line.at[0] : '\0';
	int64_t number;

	if (redis->arguments_left < 0) {
		if (type != '*') {
			inline_command(redis, line);
			return;
		}
		if (!number_parse(view_make(line.at + 1, line.length - 1), &number)) {
			go_blind(redis);
		} else if (number > 0) {
			command_begin(redis, number);
		}
		return;
	}
	if (type != '$' || !number_parse(view_make(line.at + 1, line.length - 1), &number) || number < 0)
		go_blind(redis);
	else
		redis->bulk_left = number + 2;
}

static void client_bulk(struct redis *redis, struct view *bytes)
{
	size_t take = (uint64_t)redis->bulk_left < bytes->length ? (size_t)redis->bulk_left : bytes->length;
	int64_t content = redis->bulk_left - 2; /* without the CRLF at its end */

	if (content > 0)
		argument_add(redis, view_make(bytes->at, (int64_t)take < content ? take : (size_t)content));
	redis->bulk_left -= (int64_t)take;
	*bytes = view_make(bytes->at + take, bytes->length - take);
	if (redis->bulk_left)
		return;
	redis->bulk_left = -1;
	argument_end(redis);
	if (--redis->arguments_left == 0)
		command_end(redis);
}

/* Takes up to the end of a line; true when `line` holds a whole one, without CRLF (or LF, which inline commands may end in). */
static bool line_take(struct redis *redis, struct buf *line, struct view *bytes)
{
	const char *end = memchr(bytes->at, '\n', bytes->length);
	size_t take = end ? (size_t)(end - bytes->at) + 1 : bytes->length;

	buf_add(line, bytes->at, take);
	*bytes = view_make(bytes->at + take, bytes->length - take);
	if (line->over) {
		go_blind(redis);
		return false;
	}
	if (!end)
		return false;
	line->length--;
	if (line->length && line->at[line->length - 1] == '\r')
		line->length--;
	line->at[line->length] = '\0';
	return true;
}

void redis_client(struct redis *redis, struct view bytes, int64_t now_us)
{
	redis->now_us = now_us;
	while (!redis->blind && bytes.length) {
		if (redis->bulk_left >= 0) {
			client_bulk(redis, &bytes);
		} else if (line_take(redis, &redis->line, &bytes)) {
			client_line(redis, buf_view(&redis->line));
			buf_clear(&redis->line);
		}
	}
}

static const char *kind_name(char kind, bool null)
{
	if (null)
		return "null";
	switch (kind) {
	case '+':
		return "status";
	case ':':
		return "integer";
	case '$':
	case '=':
		return "bulk";
	case '*':
		return "array";
	case '%':
		return "map";
	case '~':
		return "set";
	case ',':
		return "double";
	case '#':
		return "boolean";
	default:
		return "value";
	}
}

/* A value ended; so may the ones around it, and then the reply. */
static void value_end(struct redis *redis)
{
	while (redis->depth && --redis->stack[redis->depth - 1] == 0)
		redis->depth--;
	if (redis->depth)
		return;
	if (!redis->push && redis->count)
		front_done(redis, kind_name(redis->kind, redis->null), redis->error.length ? redis->error.at : NULL);
	redis->kind = '\0';
	redis->push = false;
	buf_clear(&redis->error);
}

static void aggregate_begin(struct redis *redis, int64_t elements)
{
	if (elements <= 0) {
		value_end(redis);
		return;
	}
	if (redis->depth == REDIS_DEPTH_MAX) {
		go_blind(redis);
		return;
	}
	redis->stack[redis->depth++] = elements;
}

/* A line of the server, without its CRLF. */
static void server_line(struct redis *redis, struct view line)
{
	char type = line.length ? line.at[0] : '\0';
	struct view rest = line.length ? view_make(line.at + 1, line.length - 1) : line;
	int64_t number = 0;

	if (!redis->depth) {
		redis->kind = type;
		redis->push = type == '>';
		redis->null = type == '_' || ((type == '$' || type == '*') && view_is(rest, "-1"));
		if (type == '-')
			buf_add(&redis->error, rest.at, rest.length < ERROR_KEPT_MAX ? rest.length : ERROR_KEPT_MAX);
	}
	if (!type || !strchr("+-:_,#($=!*~>%|", type) || (strchr("$=!*~>%|", type) && !number_parse(rest, &number))) {
		go_blind(redis); /* also the streamed aggregates of RESP 3, which no server sends */
		return;
	}
	if (strchr("$=!", type) && number >= 0) {
		redis->reply_bulk_left = number + 2;
		if (!redis->depth && type == '!')
			buf_add_text(&redis->error, "error");
	} else if (strchr("*~>", type)) {
		aggregate_begin(redis, number);
	} else if (type == '%') {
		aggregate_begin(redis, number * 2);
	} else if (type == '|') {
		/* Attributes come before the value they belong to: as many elements more, and then that value. */
		aggregate_begin(redis, number * 2 + 1);
	} else {
		value_end(redis);
	}
}

void redis_server(struct redis *redis, struct view bytes, int64_t now_us)
{
	redis->now_us = now_us;
	while (!redis->blind && bytes.length) {
		if (redis->reply_bulk_left) {
			size_t take = (uint64_t)redis->reply_bulk_left < bytes.length ? (size_t)redis->reply_bulk_left
										      : bytes.length;

			redis->reply_bulk_left -= (int64_t)take;
			bytes = view_make(bytes.at + take, bytes.length - take);
			if (!redis->reply_bulk_left)
				value_end(redis);
		} else if (line_take(redis, &redis->reply_line, &bytes)) {
			server_line(redis, buf_view(&redis->reply_line));
			buf_clear(&redis->reply_line);
		}
	}
}

size_t redis_in_flight(const struct redis *redis)
{
	return redis->count - redis->waiting;
}
