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
#include "gateway/seams/redis_messages.h"

#define LINE_MAX_BYTES 65536 /* Redis' own limit of an inline command */
#define COMMAND_MAX 32
#define ERROR_KEPT_MAX 256
#define NUMBER_MAX 536870912               /* elements and bytes: proto-max-bulk-len */
#define REPLY_KEPT_MAX ((size_t)256 << 10) /* of one that brings messages */

struct pending {
	char command[COMMAND_MAX];
	struct view statement; /* owned */
	int64_t begun_us;
	bool waits;                          /* by design */
	const struct redis_carrier *carrier; /* NULL: it carries no messages */
	struct buf arguments;                /* of a carrier (seams/redis_messages.h) */
};

struct redis {
	reader_tell *tell;
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
	const struct redis_carrier *carrier; /* NULL: it carries no messages */
	struct buf arguments;                /* of a carrier */
	size_t argument_at;                  /* where in them the one that is coming in begins */
	size_t kept_bytes;                   /* of arguments that wait for a reply */
	bool pushes;                         /* RESP 3: subscriptions are told apart from replies */
	bool subscribed;                     /* RESP 2: after what waits, replies are no answers */
	bool acknowledges;                   /* what came in last, of a message */
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
	struct buf reply; /* all of it, where it may bring messages */
	bool reply_kept;

	struct pending *ring;
	size_t ring_size, first, count, waiting;
};

static void *redis_make(reader_tell *tell, void *self)
{
	struct redis *redis = mem_new(sizeof(*redis));

	redis->tell = tell;
	redis->self = self;
	redis->line = buf_new(LINE_MAX_BYTES);
	redis->reply_line = buf_new(LINE_MAX_BYTES);
	redis->statement = buf_new(REDIS_STATEMENT_KEPT_MAX);
	redis->error = buf_new(ERROR_KEPT_MAX);
	redis->arguments = buf_new(REDIS_MESSAGE_KEPT_MAX);
	redis->reply = buf_new(REPLY_KEPT_MAX);
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
	redis->kept_bytes -= front->arguments.length;
	buf_fini(&front->arguments);
	redis->first = (redis->first + 1) % redis->ring_size;
	redis->count--;
}

static void go_blind(struct redis *redis)
{
	redis->blind = true;
	while (redis->count)
		pending_pop(redis);
}

/* What the front's command carried. */
static void messages_tell(struct redis *redis, const struct pending *front)
{
	const struct redis_carried carried = {.carrier = front->carrier,
					      .arguments = buf_view(&front->arguments),
					      .cut = front->arguments.over,
					      .reply = redis->reply.over ? (struct view){"", 0} : buf_view(&redis->reply),
					      .begun_us = front->begun_us,
					      .ended_us = redis->now_us};

	redis_messages_tell(&carried, redis->tell, redis->self);
}

static void front_done(struct redis *redis, const char *complete, const char *error)
{
	struct pending *front = &redis->ring[redis->first];
	struct reader_event event = {
		.command = front->command,
		.statement = front->statement,
		.complete = error ? NULL : complete,
		.error = error,
		.begun_us = front->begun_us,
		.ended_us = redis->now_us,
	};

	redis->tell(redis->self, &event);
	if (front->carrier && !error)
		messages_tell(redis, front);
	pending_pop(redis);
}

static void redis_end(void *reader, const char *why, int64_t now_us)
{
	struct redis *redis = reader;

	redis->now_us = now_us;
	while (why && redis->count)
		front_done(redis, NULL, why);
	go_blind(redis);
	free(redis->ring);
	buf_fini(&redis->line);
	buf_fini(&redis->reply_line);
	buf_fini(&redis->statement);
	buf_fini(&redis->error);
	buf_fini(&redis->arguments);
	buf_fini(&redis->reply);
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
static const char *const subscribing_commands[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", NULL};
static const char *const blinding_commands[] = {"MONITOR", "SYNC", "PSYNC", NULL};
static const char *const secret_commands[] = {"AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE", NULL};

/* A command came in whole. */
static void command_end(struct redis *redis)
{
	struct pending pending = {.begun_us = redis->begun_us};
	bool xread = strcmp(redis->command, "XREAD") == 0 || strcmp(redis->command, "XREADGROUP") == 0;

	redis->arguments_left = -1;
	if (command_is(redis->command, subscribing_commands))
		redis->subscribed = !redis->pushes;
	if (redis->subscribed || command_is(redis->command, subscribing_commands))
		return;
	if (command_is(redis->command, blinding_commands) || redis->replies_off || redis->count == REDIS_PENDING_MAX) {
		go_blind(redis);
		return;
	}
	memcpy(pending.command, redis->command, sizeof(pending.command));
	pending.waits = command_is(redis->command, waiting_commands) || (xread && redis->argument_block);
	if (redis->statement.length && !command_is(redis->command, secret_commands))
		pending.statement = view_make(view_copy(buf_view(&redis->statement)), redis->statement.length);
	redis->acknowledges = redis->acknowledges || (redis->carrier && redis_carrier_acknowledges(redis->carrier));
	if (redis->carrier && redis->kept_bytes + redis->arguments.length <= READER_MESSAGES_KEPT_MAX) {
		buf_cut(&redis->arguments, redis->argument_at); /* what was opened and not filled */
		pending.carrier = redis->carrier;
		pending.arguments = redis->arguments;
		redis->kept_bytes += pending.arguments.length;
		redis->arguments = buf_new(REDIS_MESSAGE_KEPT_MAX);
	}
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
	redis->carrier = NULL;
	buf_clear(&redis->statement);
	buf_clear(&redis->arguments);
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
	if (redis->carrier)
		buf_add_view(&redis->arguments, bytes);
	for (size_t i = 0; i < bytes.length; i++, redis->argument_bytes++)
		if (redis->argument_bytes < COMMAND_MAX - 1)
			redis->argument[redis->argument_bytes] = (char)toupper((unsigned char)bytes.at[i]);
}

/* Room for the length of the next argument of a carrier. */
static void argument_open(struct redis *redis)
{
	static const char room[REDIS_ARGUMENT_HEAD];

	redis->argument_at = redis->arguments.length;
	buf_add(&redis->arguments, room, sizeof(room));
}

static void argument_close(struct redis *redis)
{
	size_t length = redis->arguments.length - redis->argument_at - REDIS_ARGUMENT_HEAD;
	uint32_t told = (uint32_t)length;

	if (redis->arguments.over)
		return;
	memcpy(redis->arguments.at + redis->argument_at, &told, sizeof(told));
	argument_open(redis);
}

static void argument_end(struct redis *redis)
{
	size_t length = redis->argument_bytes < COMMAND_MAX - 1 ? redis->argument_bytes : COMMAND_MAX - 1;

	redis->argument[length] = '\0';
	if (redis->carrier)
		argument_close(redis);
	if (redis->argument_count++ == 0) {
		memcpy(redis->command, redis->argument, sizeof(redis->command));
		redis->carrier = redis_carrier_find(redis->command);
		if (redis->carrier)
			argument_open(redis);
	} else if (strcmp(redis->argument, "BLOCK") == 0) {
		redis->argument_block = true;
	} else if (redis->argument_count == 2 && strcmp(redis->command, "HELLO") == 0) {
		redis->pushes = strcmp(redis->argument, "3") == 0;
	} else if (redis->argument_count == 2 && strcmp(redis->command, "CLIENT") == 0 && strcmp(redis->argument, "REPLY") == 0) {
		redis->replies_off = true;
	}
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

static void redis_client(void *reader, struct view bytes, int64_t now_us)
{
	struct redis *redis = reader;

	redis->now_us = now_us;
	redis->acknowledges = false;
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
	if (redis->reply_kept && (redis->push || !redis->count))
		redis_push_tell(redis->reply.over ? (struct view){"", 0} : buf_view(&redis->reply), redis->now_us, redis->tell,
				redis->self);
	if (!redis->push && redis->count)
		front_done(redis, kind_name(redis->kind, redis->null), redis->error.length ? redis->error.at : NULL);
	redis->reply_kept = false;
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

/* Keeps the line of a reply that may bring messages. */
static void reply_keep(struct redis *redis)
{
	struct view line = buf_view(&redis->reply_line);

	if (!redis->depth && !redis->reply_kept) {
		const struct redis_carrier *carrier = redis->count ? redis->ring[redis->first].carrier : NULL;

		redis->reply_kept = view_starts(line, VIEW(">")) || (redis->subscribed && !redis->count) ||
				    (carrier && redis_carrier_delivers(carrier));
		buf_clear(&redis->reply);
	}
	if (!redis->reply_kept)
		return;
	buf_add_view(&redis->reply, line);
	buf_add_text(&redis->reply, "\r\n");
}

static void redis_server(void *reader, struct view bytes, int64_t now_us)
{
	struct redis *redis = reader;

	redis->now_us = now_us;
	while (!redis->blind && bytes.length) {
		if (redis->reply_bulk_left) {
			size_t take = (uint64_t)redis->reply_bulk_left < bytes.length ? (size_t)redis->reply_bulk_left
										      : bytes.length;

			redis->reply_bulk_left -= (int64_t)take;
			if (redis->reply_kept)
				buf_add(&redis->reply, bytes.at, take);
			bytes = view_make(bytes.at + take, bytes.length - take);
			if (!redis->reply_bulk_left)
				value_end(redis);
		} else if (line_take(redis, &redis->reply_line, &bytes)) {
			reply_keep(redis);
			server_line(redis, buf_view(&redis->reply_line));
			buf_clear(&redis->reply_line);
		}
	}
}

static size_t redis_in_flight(const void *reader)
{
	const struct redis *redis = reader;

	return redis->count - redis->waiting;
}

static bool redis_acknowledges(const void *reader)
{
	const struct redis *redis = reader;

	return redis->acknowledges;
}

/* "*2\r\n$": clients send arrays. */
static bool redis_looks(struct view bytes, bool server)
{
	struct view rest;
	struct view line = view_cut(bytes, '\r', &rest);
	uint64_t count;

	return !server && line.length > 1 && line.at[0] == '*' && view_to_u64(view_make(line.at + 1, line.length - 1), &count) &&
	       view_starts(rest, VIEW("\n$"));
}

const struct reader_ops reader_redis = {"redis",      redis_make,      redis_end,   redis_client,
					redis_server, redis_in_flight, redis_looks, redis_acknowledges};
