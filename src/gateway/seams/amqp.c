/*
 * AMQP frames.
 *
 * Theory of operation: each direction is a row of frames {type, channel, length, payload, 0xCE}. Methods and content headers are kept whole,
 * up to a limit; of bodies what a message keeps is copied as they pass. A channel is in the middle of at most one message each way: its
 * method opens it, its header says how long it is, and when that much body came it is told.
 */
#include "gateway/seams/amqp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define GREETING "AMQP\0\0\x09\1"
#define GREETING_BYTES 8
#define FRAME_HEAD_BYTES 7
#define FRAME_END 0xce
#define FRAME_BYTES_MAX ((uint64_t)64 << 20)
#define FRAME_METHOD 1
#define FRAME_HEADER 2
#define FRAME_BODY 3
#define TEXT_MAX 600
#define TABLE_DEPTH_MAX 8
#define HEADER_BYTES 32 /* of one, beside its texts */

#define METHOD(class, method) ((uint32_t)(class) << 16 | (uint32_t)(method))
#define CONNECTION_CLOSE METHOD(10, 50)
#define CHANNEL_OPEN METHOD(20, 10)
#define CHANNEL_CLOSE METHOD(20, 40)
#define CHANNEL_CLOSE_OK METHOD(20, 41)
#define EXCHANGE_DECLARE METHOD(40, 10)
#define EXCHANGE_DELETE METHOD(40, 20)
#define QUEUE_DECLARE METHOD(50, 10)
#define QUEUE_BIND METHOD(50, 20)
#define QUEUE_PURGE METHOD(50, 30)
#define QUEUE_DELETE METHOD(50, 40)
#define BASIC_CONSUME METHOD(60, 20)
#define BASIC_CONSUME_OK METHOD(60, 21)
#define BASIC_CANCEL METHOD(60, 30)
#define BASIC_PUBLISH METHOD(60, 40)
#define BASIC_RETURN METHOD(60, 50)
#define BASIC_DELIVER METHOD(60, 60)
#define BASIC_GET METHOD(60, 70)
#define BASIC_GET_OK METHOD(60, 71)
#define BASIC_ACK METHOD(60, 80)
#define BASIC_REJECT METHOD(60, 90)
#define BASIC_NACK METHOD(60, 120)
#define BASIC_RECOVER METHOD(60, 110)
#define BASIC_RECOVER_ASYNC METHOD(60, 100)

enum way { WAY_CLIENT, WAY_SERVER };

/* A message that is coming in. */
struct message {
	const char *command; /* NULL: none is */
	char *place;
	char *queue; /* NULL: not known */
	char *error;
	bool redelivered;
	bool headed;
	uint64_t tag;
	bool acknowledged; /* as it is given: nobody will */
	uint64_t left;     /* of its body */
	int64_t begun_us;
	struct exchange_headers headers;
	size_t header_bytes;
	struct exchange_body body;
};

/* One that was given and not acknowledged. */
struct given {
	uint64_t tag;
	char *place;
	char *queue;
	int64_t at_us;
};

struct channel {
	uint16_t number;
	bool fetch_acknowledged; /* of the Get that is under way */
	char *fetched;           /* its queue */
	char *consumed;          /* the queue of the Consume that is under way */
	bool consume_acknowledged;
	struct message messages[2];
	struct given *given;
	size_t given_count;
};

struct consumer {
	uint16_t channel;
	bool acknowledged; /* by itself */
	char *tag;
	char *queue;
};

struct cutter {
	unsigned char head[FRAME_HEAD_BYTES];
	size_t head_bytes;
	uint64_t left; /* of the payload */
	bool end;      /* the end's byte is awaited */
	struct buf kept;
};

struct amqp {
	reader_tell *tell;
	void *self;
	int64_t now_us;
	bool blind;
	size_t greeted;
	struct cutter cutters[2];
	struct channel *channels;
	size_t channel_count;
	struct consumer *consumers;
	size_t consumer_count;
	size_t given_count;
	size_t kept_bytes; /* of headers and bodies that are coming in */
};

static void *amqp_make(reader_tell *tell, void *self)
{
	struct amqp *amqp = mem_new(sizeof(*amqp));

	amqp->tell = tell;
	amqp->self = self;
	for (int way = 0; way < 2; way++)
		amqp->cutters[way].kept = buf_new(AMQP_FRAME_KEPT_MAX);
	return amqp;
}

static void headers_fini(struct exchange_headers *headers)
{
	struct exchange holder = {.request_headers = *headers};

	exchange_fini(&holder);
	*headers = (struct exchange_headers){0};
}

static void message_clear(struct amqp *amqp, struct message *message)
{
	amqp->kept_bytes -= message->body.length + message->header_bytes;
	free(message->place);
	free(message->queue);
	free(message->error);
	free(message->body.at);
	headers_fini(&message->headers);
	*message = (struct message){0};
}

static void given_fini(struct given *given)
{
	free(given->place);
	free(given->queue);
}

static void channel_clear(struct amqp *amqp, struct channel *channel)
{
	size_t kept = 0;

	for (int way = 0; way < 2; way++)
		message_clear(amqp, &channel->messages[way]);
	for (size_t i = 0; i < channel->given_count; i++)
		given_fini(&channel->given[i]);
	amqp->given_count -= channel->given_count;
	free(channel->given);
	free(channel->fetched);
	free(channel->consumed);
	for (size_t i = 0; i < amqp->consumer_count; i++) {
		struct consumer *consumer = &amqp->consumers[i];

		if (consumer->channel == channel->number) {
			free(consumer->tag);
			free(consumer->queue);
		} else {
			amqp->consumers[kept++] = *consumer;
		}
	}
	amqp->consumer_count = kept;
	*channel = (struct channel){.number = channel->number};
}

static void all_clear(struct amqp *amqp)
{
	for (size_t i = 0; i < amqp->channel_count; i++)
		channel_clear(amqp, &amqp->channels[i]);
	amqp->channel_count = 0;
}

static void tell(struct amqp *amqp, const char *command, struct view statement, const char *complete, const char *error)
{
	const struct reader_event event = {.command = command,
					   .statement = statement,
					   .complete = error ? NULL : complete,
					   .error = error,
					   .begun_us = amqp->now_us,
					   .ended_us = amqp->now_us};

	amqp->tell(amqp->self, &event);
}

static void go_blind(struct amqp *amqp, const char *why)
{
	if (amqp->blind)
		return;
	amqp->blind = true;
	all_clear(amqp);
	tell(amqp, "unread", (struct view){0}, why, NULL);
}

static void amqp_end(void *reader, const char *why, int64_t now_us)
{
	struct amqp *amqp = reader;

	(void)why;
	amqp->now_us = now_us;
	all_clear(amqp);
	free(amqp->channels);
	free(amqp->consumers);
	for (int way = 0; way < 2; way++)
		buf_fini(&amqp->cutters[way].kept);
	free(amqp);
}

/* ---- what is in a frame ---- */

/* Reads on in a payload; `bad` once it was too short, and then all is empty. */
struct fields {
	struct view rest;
	bool bad;
};

static uint64_t number_take(struct fields *fields, size_t bytes)
{
	uint64_t number = 0;

	if (fields->rest.length < bytes) {
		fields->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | (unsigned char)fields->rest.at[i];
	fields->rest = view_make(fields->rest.at + bytes, fields->rest.length - bytes);
	return number;
}

static struct view bytes_take(struct fields *fields, uint64_t length)
{
	struct view taken = {"", 0};

	if (length > fields->rest.length) {
		fields->bad = true;
		return taken;
	}
	taken = view_make(fields->rest.at, (size_t)length);
	fields->rest = view_make(fields->rest.at + length, fields->rest.length - (size_t)length);
	return taken;
}

static struct view short_take(struct fields *fields)
{
	return bytes_take(fields, number_take(fields, 1));
}

static struct view long_take(struct fields *fields)
{
	return bytes_take(fields, number_take(fields, 4));
}

static char *place_format(struct view exchange, struct view key)
{
	AUTO_BUF place = buf_new(TEXT_MAX);

	buf_add_view(&place, exchange);
	if (exchange.length)
		buf_add_char(&place, '/');
	buf_add_view(&place, key);
	return view_copy(buf_view(&place));
}

/* How many bytes a value of that type has; -1: a text, a table or a list, which say so themselves; -2: no such type. */
static int value_bytes(char type)
{
	switch (type) {
	case 'V':
		return 0;
	case 't':
	case 'b':
	case 'B':
		return 1;
	case 'U':
	case 's':
	case 'u':
		return 2;
	case 'I':
	case 'i':
	case 'f':
		return 4;
	case 'D':
		return 5;
	case 'L':
	case 'l':
	case 'd':
	case 'T':
		return 8;
	case 'S':
	case 'x':
	case 'F':
	case 'A':
		return -1;
	default:
		return -2;
	}
}

static void amqp_header_add(struct amqp *amqp, struct message *message, struct view name, struct view value)
{
	size_t bytes = name.length + value.length + HEADER_BYTES;

	if (amqp->kept_bytes + bytes > READER_MESSAGES_KEPT_MAX) {
		message->body.cut = true;
		return;
	}
	exchange_header_add(&message->headers, name, value);
	message->header_bytes += bytes;
	amqp->kept_bytes += bytes;
}

/* A table's values that are texts or whole numbers become headers. */
static void table_take(struct amqp *amqp, struct fields *fields, struct message *message)
{
	struct fields table = {.rest = long_take(fields)};

	while (table.rest.length && !table.bad && message->headers.count < AMQP_PROPERTIES_MAX) {
		struct view name = short_take(&table);
		char type = (char)number_take(&table, 1);
		int bytes = value_bytes(type);
		char number[32];

		if (bytes == -1) {
			struct view value = long_take(&table);

			if (type == 'S' && !table.bad)
				amqp_header_add(amqp, message, name, value);
		} else if (bytes >= 0) {
			uint64_t value = number_take(&table, (size_t)bytes);

			(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)value);
			if (!table.bad && !strchr("fdDV", type))
				amqp_header_add(amqp, message, name, view_of(number));
		} else {
			table.bad = true;
		}
	}
}

/* The properties of class basic, in the order of their flags from the highest. */
static void properties_take(struct amqp *amqp, struct fields *fields, struct message *message)
{
	static const struct {
		const char *name;
		char type; /* s: short string; t: table; 1, 8: number */
	} rows[] = {
		{"content-type", 's'},   {"content-encoding", 's'}, {"headers", 't'},    {"delivery-mode", '1'}, {"priority", '1'},
		{"correlation-id", 's'}, {"reply-to", 's'},         {"expiration", 's'}, {"message-id", 's'},    {"timestamp", '8'},
		{"type", 's'},           {"user-id", 's'},          {"app-id", 's'},
	};
	uint64_t flags = number_take(fields, 2);

	for (size_t i = 0; i < ARRAY_LEN(rows) && !fields->bad; i++) {
		if (!(flags & (0x8000u >> i)))
			continue;
		if (rows[i].type == 't') {
			table_take(amqp, fields, message);
		} else if (rows[i].type == 's') {
			struct view value = short_take(fields);

			amqp_header_add(amqp, message, view_of(rows[i].name), value);
		} else {
			char number[32];

			(void)snprintf(number, sizeof(number), "%llu",
				       (unsigned long long)number_take(fields, rows[i].type == '8' ? 8 : 1));
			amqp_header_add(amqp, message, view_of(rows[i].name), view_of(number));
		}
	}
}

/* ---- channels ---- */

static struct channel *channel_get(struct amqp *amqp, uint16_t number)
{
	for (size_t i = 0; i < amqp->channel_count; i++)
		if (amqp->channels[i].number == number)
			return &amqp->channels[i];
	if (amqp->channel_count == AMQP_CHANNELS_MAX) {
		go_blind(amqp, "too many channels");
		return NULL;
	}
	if ((amqp->channel_count & (amqp->channel_count + 1)) == 0)
		amqp->channels = mem_grow(amqp->channels, amqp->channel_count * 2 + 1, sizeof(*amqp->channels));
	amqp->channels[amqp->channel_count] = (struct channel){.number = number};
	return &amqp->channels[amqp->channel_count++];
}

static void channel_drop(struct amqp *amqp, struct channel *channel)
{
	channel_clear(amqp, channel);
	*channel = amqp->channels[--amqp->channel_count];
}

static const struct consumer *consumer_find(const struct amqp *amqp, uint16_t channel, struct view tag)
{
	for (size_t i = 0; i < amqp->consumer_count; i++)
		if (amqp->consumers[i].channel == channel && view_is(tag, amqp->consumers[i].tag))
			return &amqp->consumers[i];
	return NULL;
}

static void consumer_add(struct amqp *amqp, struct channel *channel, struct view tag)
{
	if (!channel->consumed || amqp->consumer_count == AMQP_CONSUMERS_MAX || consumer_find(amqp, channel->number, tag))
		return;
	if ((amqp->consumer_count & (amqp->consumer_count + 1)) == 0)
		amqp->consumers = mem_grow(amqp->consumers, amqp->consumer_count * 2 + 1, sizeof(*amqp->consumers));
	amqp->consumers[amqp->consumer_count++] = (struct consumer){.channel = channel->number,
								    .acknowledged = channel->consume_acknowledged,
								    .tag = view_copy(tag),
								    .queue = TAKE(channel->consumed)};
}

static void consumer_drop(struct amqp *amqp, uint16_t channel, struct view tag)
{
	const struct consumer *found = consumer_find(amqp, channel, tag);

	if (!found)
		return;
	free(found->tag);
	free(found->queue);
	amqp->consumers[found - amqp->consumers] = amqp->consumers[--amqp->consumer_count];
}

/* ---- messages ---- */

static void message_open(struct amqp *amqp, struct channel *channel, enum way way, const char *command, char *place, char *queue)
{
	struct message *message = &channel->messages[way];

	message_clear(amqp, message);
	message->command = command;
	message->place = place;
	message->queue = queue;
	message->begun_us = amqp->now_us;
}

static void given_add(struct amqp *amqp, struct channel *channel, struct message *message)
{
	if (amqp->given_count == AMQP_UNACKNOWLEDGED_MAX)
		return;
	if ((channel->given_count & (channel->given_count + 1)) == 0)
		channel->given = mem_grow(channel->given, channel->given_count * 2 + 1, sizeof(*channel->given));
	channel->given[channel->given_count++] = (struct given){
		.tag = message->tag, .place = text_copy(message->place), .queue = text_copy(message->queue), .at_us = amqp->now_us};
	amqp->given_count++;
}

static void message_done(struct amqp *amqp, struct channel *channel, enum way way)
{
	struct message *message = &channel->messages[way];
	const struct reader_event event = {.command = message->command,
					   .statement = view_of(message->queue),
					   .place = view_of(message->place),
					   .complete = message->error         ? NULL
						       : message->redelivered ? "redelivered"
									      : "",
					   .error = message->error,
					   .begun_us = message->begun_us,
					   .ended_us = amqp->now_us,
					   .headers = &message->headers,
					   .body = &message->body};

	if (way == WAY_SERVER && !message->acknowledged)
		given_add(amqp, channel, message);
	amqp->kept_bytes -= message->body.length; /* the callee may take it */
	amqp->tell(amqp->self, &event);
	amqp->kept_bytes += message->body.length;
	message_clear(amqp, message);
}

static void header_frame(struct amqp *amqp, struct channel *channel, enum way way, struct view payload)
{
	struct fields fields = {.rest = payload};
	struct message *message = &channel->messages[way];

	if (!message->command || message->headed)
		return;                /* of what is not told */
	(void)number_take(&fields, 4); /* class and weight */
	message->left = number_take(&fields, 8);
	message->headed = true;
	properties_take(amqp, &fields, message);
	if (fields.bad)
		go_blind(amqp, "a content header that is too short");
	else if (!message->left)
		message_done(amqp, channel, way);
}

/* Some of a body. */
static void body_piece(struct amqp *amqp, uint16_t number, enum way way, struct view piece)
{
	struct channel *channel = channel_get(amqp, number);
	struct message *message = channel ? &channel->messages[way] : NULL;
	size_t before;

	if (!message || !message->command || !message->headed)
		return;
	if (piece.length > message->left)
		piece.length = (size_t)message->left;
	before = message->body.length;
	if (amqp->kept_bytes + piece.length <= READER_MESSAGES_KEPT_MAX) {
		exchange_body_add(&message->body, piece);
	} else {
		message->body.bytes += piece.length;
		message->body.cut = true;
	}
	amqp->kept_bytes += message->body.length - before;
	message->left -= piece.length;
	if (!message->left)
		message_done(amqp, channel, way);
}

/* ---- what became of them ---- */

static void given_tell(struct amqp *amqp, const struct given *given, const char *command)
{
	const struct reader_event event = {.command = command,
					   .statement = view_of(given->queue),
					   .place = view_of(given->place),
					   .complete = "",
					   .begun_us = given->at_us,
					   .ended_us = amqp->now_us};

	amqp->tell(amqp->self, &event);
}

/* One of them: tags rise as messages are given. */
static void given_settle_one(struct amqp *amqp, struct channel *channel, uint64_t tag, const char *command)
{
	size_t first = 0;
	size_t end = channel->given_count;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (channel->given[middle].tag < tag)
			first = middle + 1;
		else
			end = middle;
	}
	if (first == channel->given_count || channel->given[first].tag != tag)
		return;
	given_tell(amqp, &channel->given[first], command);
	given_fini(&channel->given[first]);
	channel->given_count--;
	memmove(&channel->given[first], &channel->given[first + 1], (channel->given_count - first) * sizeof(*channel->given));
	amqp->given_count--;
}

/* Tag 0 with `multiple` is all of them. */
static void given_settle(struct amqp *amqp, struct channel *channel, uint64_t tag, bool multiple, const char *command)
{
	size_t kept = 0;

	if (!multiple) {
		given_settle_one(amqp, channel, tag, command);
		return;
	}
	for (size_t i = 0; i < channel->given_count; i++) {
		struct given *given = &channel->given[i];

		if (tag && given->tag > tag) {
			channel->given[kept++] = *given;
			continue;
		}
		given_tell(amqp, given, command);
		given_fini(given);
		amqp->given_count--;
	}
	channel->given_count = kept;
}

static void client_basic(struct amqp *amqp, struct channel *channel, uint32_t method, struct fields *fields)
{
	struct view exchange, name;
	uint64_t tag, flags;

	switch (method) {
	case BASIC_PUBLISH:
		(void)number_take(fields, 2);
		exchange = short_take(fields);
		name = short_take(fields);
		message_open(amqp, channel, WAY_CLIENT, "publish", place_format(exchange, name), NULL);
		break;
	case BASIC_CONSUME:
		(void)number_take(fields, 2);
		name = short_take(fields);
		(void)short_take(fields); /* the server says the tag again */
		flags = number_take(fields, 1);
		free(channel->consumed);
		channel->consumed = view_copy(name);
		channel->consume_acknowledged = flags & 2;
		tell(amqp, "consume", name, "", NULL);
		break;
	case BASIC_CANCEL:
		consumer_drop(amqp, channel->number, short_take(fields));
		break;
	case BASIC_GET:
		(void)number_take(fields, 2);
		free(channel->fetched);
		channel->fetched = view_copy(short_take(fields));
		channel->fetch_acknowledged = number_take(fields, 1) & 1;
		break;
	case BASIC_ACK:
		tag = number_take(fields, 8);
		given_settle(amqp, channel, tag, number_take(fields, 1) & 1, "ack");
		break;
	case BASIC_REJECT:
		tag = number_take(fields, 8);
		given_settle(amqp, channel, tag, false, number_take(fields, 1) & 1 ? "requeue" : "reject");
		break;
	case BASIC_NACK:
		tag = number_take(fields, 8);
		flags = number_take(fields, 1);
		given_settle(amqp, channel, tag, flags & 1, flags & 2 ? "requeue" : "reject");
		break;
	case BASIC_RECOVER:
	case BASIC_RECOVER_ASYNC:
		given_settle(amqp, channel, 0, true, "requeue");
		break;
	default:
		break;
	}
}

/* A name in `command`'s first field but a reserved number. */
static void named_tell(struct amqp *amqp, const char *command, struct fields *fields)
{
	struct view name;

	(void)number_take(fields, 2);
	name = short_take(fields);
	if (!fields->bad)
		tell(amqp, command, name, "", NULL);
}

static void client_method(struct amqp *amqp, struct channel *channel, uint32_t method, struct fields *fields)
{
	switch (method) {
	case EXCHANGE_DECLARE:
	case QUEUE_DECLARE:
		named_tell(amqp, "declare", fields);
		break;
	case QUEUE_BIND:
		named_tell(amqp, "bind", fields);
		break;
	case QUEUE_PURGE:
		named_tell(amqp, "purge", fields);
		break;
	case EXCHANGE_DELETE:
	case QUEUE_DELETE:
		named_tell(amqp, "delete", fields);
		break;
	case CHANNEL_OPEN:
	case CHANNEL_CLOSE_OK:
		channel_drop(amqp, channel);
		break;
	default:
		client_basic(amqp, channel, method, fields);
		break;
	}
}

static char *reason_take(struct fields *fields)
{
	unsigned code = (unsigned)number_take(fields, 2);
	struct view text = short_take(fields);

	return text_format("%u %.*s", code, (int)text.length, text.at);
}

static void server_message(struct amqp *amqp, struct channel *channel, uint32_t method, struct fields *fields)
{
	const struct consumer *consumer = NULL;
	AUTO_FREE char *reason = NULL;
	struct view exchange;
	bool redelivered = false;
	uint64_t tag = 0;

	if (method == BASIC_DELIVER)
		consumer = consumer_find(amqp, channel->number, short_take(fields));
	if (method == BASIC_RETURN) {
		reason = reason_take(fields);
	} else {
		tag = number_take(fields, 8);
		redelivered = number_take(fields, 1) & 1;
	}
	exchange = short_take(fields);
	message_open(amqp, channel, WAY_SERVER, method == BASIC_RETURN ? "return" : "deliver",
		     place_format(exchange, short_take(fields)),
		     method == BASIC_GET_OK ? TAKE(channel->fetched) : text_copy(consumer ? consumer->queue : NULL));
	channel->messages[WAY_SERVER].tag = tag;
	channel->messages[WAY_SERVER].redelivered = redelivered;
	channel->messages[WAY_SERVER].error = TAKE(reason);
	channel->messages[WAY_SERVER].acknowledged = method == BASIC_RETURN ||
						     (method == BASIC_GET_OK && channel->fetch_acknowledged) ||
						     (consumer && consumer->acknowledged);
}

static void server_method(struct amqp *amqp, struct channel *channel, uint32_t method, struct fields *fields)
{
	AUTO_FREE char *reason = NULL;

	switch (method) {
	case BASIC_CONSUME_OK:
		consumer_add(amqp, channel, short_take(fields));
		break;
	case BASIC_CANCEL:
		consumer_drop(amqp, channel->number, short_take(fields));
		break;
	case BASIC_DELIVER:
	case BASIC_GET_OK:
	case BASIC_RETURN:
		server_message(amqp, channel, method, fields);
		break;
	case BASIC_NACK:
		tell(amqp, "unconfirmed", (struct view){0}, NULL, "the broker refused a published message");
		break;
	case CHANNEL_CLOSE:
	case CONNECTION_CLOSE:
		reason = reason_take(fields);
		if (strncmp(reason, "200 ", 4) != 0)
			tell(amqp, "close", (struct view){0}, NULL, reason);
		if (method == CHANNEL_CLOSE)
			channel_drop(amqp, channel);
		else
			all_clear(amqp);
		break;
	case CHANNEL_CLOSE_OK:
		channel_drop(amqp, channel);
		break;
	default:
		break;
	}
}

/* ---- frames ---- */

static void frame_done(struct amqp *amqp, enum way way, unsigned type, uint16_t number, struct view payload)
{
	struct fields fields = {.rest = payload};
	struct channel *channel;
	uint32_t method;

	if (type != FRAME_METHOD && type != FRAME_HEADER)
		return;
	channel = channel_get(amqp, number);
	if (!channel)
		return;
	if (type == FRAME_HEADER) {
		header_frame(amqp, channel, way, payload);
		return;
	}
	method = (uint32_t)number_take(&fields, 4);
	(way == WAY_CLIENT ? client_method : server_method)(amqp, channel, method, &fields);
	if (fields.bad)
		go_blind(amqp, "a method that is too short");
}

/* The head of a frame, as far as `bytes` goes; true when it is whole. */
static bool head_take(struct amqp *amqp, struct cutter *cutter, struct view *bytes)
{
	uint64_t length = 0;

	while (cutter->head_bytes < FRAME_HEAD_BYTES && bytes->length) {
		cutter->head[cutter->head_bytes++] = (unsigned char)bytes->at[0];
		*bytes = view_make(bytes->at + 1, bytes->length - 1);
	}
	if (cutter->head_bytes < FRAME_HEAD_BYTES)
		return false;
	for (size_t i = 3; i < FRAME_HEAD_BYTES; i++)
		length = length << 8 | cutter->head[i];
	if (!strchr("\1\2\3\4\x08", cutter->head[0]) || !cutter->head[0] || length > FRAME_BYTES_MAX) {
		go_blind(amqp, "not AMQP 0-9-1, or encrypted");
		return false;
	}
	cutter->left = length;
	cutter->end = true;
	return true;
}

static void frame_pieces(struct amqp *amqp, enum way way, struct cutter *cutter, struct view *bytes)
{
	uint16_t number = (uint16_t)(cutter->head[1] << 8 | cutter->head[2]);
	size_t take = cutter->left < bytes->length ? (size_t)cutter->left : bytes->length;

	if (take) {
		if (cutter->head[0] == FRAME_BODY)
			body_piece(amqp, number, way, view_make(bytes->at, take));
		else
			buf_add(&cutter->kept, bytes->at, take);
		cutter->left -= take;
		*bytes = view_make(bytes->at + take, bytes->length - take);
		if (cutter->kept.over)
			go_blind(amqp, "a frame that is too long");
	}
	if (cutter->left || !bytes->length || amqp->blind)
		return;
	if ((unsigned char)bytes->at[0] != FRAME_END) {
		go_blind(amqp, "a frame without its end");
		return;
	}
	*bytes = view_make(bytes->at + 1, bytes->length - 1);
	frame_done(amqp, way, cutter->head[0], number, buf_view(&cutter->kept));
	cutter->end = false;
	cutter->head_bytes = 0;
	buf_clear(&cutter->kept);
}

static void frames_take(struct amqp *amqp, enum way way, struct view bytes)
{
	struct cutter *cutter = &amqp->cutters[way];

	while (!amqp->blind && bytes.length)
		if (cutter->end || head_take(amqp, cutter, &bytes))
			frame_pieces(amqp, way, cutter, &bytes);
}

static void amqp_client(void *reader, struct view bytes, int64_t now_us)
{
	struct amqp *amqp = reader;

	amqp->now_us = now_us;
	while (amqp->greeted < GREETING_BYTES && bytes.length && !amqp->blind) {
		if (bytes.at[0] != GREETING[amqp->greeted++])
			go_blind(amqp, "not AMQP 0-9-1, or encrypted");
		bytes = view_make(bytes.at + 1, bytes.length - 1);
	}
	frames_take(amqp, WAY_CLIENT, bytes);
}

static void amqp_server(void *reader, struct view bytes, int64_t now_us)
{
	struct amqp *amqp = reader;

	amqp->now_us = now_us;
	frames_take(amqp, WAY_SERVER, bytes);
}

static size_t amqp_in_flight(const void *reader)
{
	const struct amqp *amqp = reader;

	return amqp->given_count;
}

static bool amqp_looks(struct view bytes, bool server)
{
	return !server && view_starts(bytes, view_make(GREETING, GREETING_BYTES));
}

const struct reader_ops reader_amqp = {"amqp", amqp_make, amqp_end, amqp_client, amqp_server, amqp_in_flight, amqp_looks};
