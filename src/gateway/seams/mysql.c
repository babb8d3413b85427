/*
 * MySQL packets.
 *
 * Theory of operation: each direction is a row of packets {length, number, payload}, of which the front is kept. While logging in only the
 * flags of the client's answer matter. Then each command waits in a list for its answer, which is one packet, or a result: how many columns,
 * that many definitions, rows, an end; and perhaps another result. What a packet of the server is depends on where in a result it stands.
 */
#include "gateway/seams/mysql.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define HEAD_BYTES 4
#define PAYLOAD_MAX 0xffffffu /* of a packet; a payload of that length goes on in the next */
#define KEPT_MAX (MYSQL_STATEMENT_KEPT_MAX + 512)
#define ERROR_KEPT 256

#define CLIENT_COMPRESS 0x20u
#define CLIENT_TLS 0x800u
#define CLIENT_DEPRECATE_EOF 0x1000000u
#define CLIENT_OPTIONAL_METADATA 0x2000000u
#define CLIENT_ZSTD 0x4000000u
#define CLIENT_QUERY_ATTRIBUTES 0x8000000u
#define CLIENT_LONG_PASSWORD 1u      /* not set: MariaDB's further flags follow */
#define MARIADB_CACHE_METADATA 0x10u /* of these */
#define STATUS_MORE_RESULTS 8u
#define STATUS_CURSOR 0x40u
#define LAST_PREPARED 0xffffffffu

enum command {
	COMMAND_QUIT = 1,
	COMMAND_QUERY = 3,
	COMMAND_FIELDS = 4,
	COMMAND_STATISTICS = 9,
	COMMAND_CHANGE_USER = 17,
	COMMAND_BINLOG = 18,
	COMMAND_TABLE_DUMP = 19,
	COMMAND_BINLOG_GTID = 30,
	COMMAND_PREPARE = 22,
	COMMAND_EXECUTE = 23,
	COMMAND_LONG_DATA = 24,
	COMMAND_CLOSE = 25,
	COMMAND_FETCH = 28,
	COMMAND_BULK_EXECUTE = 250,
};

/* Where in an answer the server is. */
enum part { PART_FIRST, PART_COLUMNS, PART_COLUMNS_END, PART_ROWS, PART_PREPARED };

struct pending {
	unsigned command;
	char *statement;
	int64_t begun_us;
};

struct prepared {
	uint32_t id;
	char *text;
};

struct packets {
	unsigned char head[HEAD_BYTES];
	size_t head_bytes;
	uint32_t left;
	bool more;       /* the payload goes on in the next packet */
	uint64_t length; /* of the payload so far */
	struct buf kept;
};

struct mysql {
	reader_tell *tell;
	void *self;
	int64_t now_us;
	bool blind;
	bool answered; /* the client answered the greeting */
	bool ready;    /* logged in */
	uint32_t flags;
	bool metadata_told; /* MariaDB says whether definitions follow */
	struct packets client;
	struct packets server;
	enum part part;
	uint64_t columns; /* definitions to come */
	uint64_t rows;
	bool file; /* the client sends a file, until an empty packet */
	struct pending *ring;
	size_t ring_size, first, count;
	struct prepared *prepared;
	size_t prepared_count;
};

static void *mysql_make(reader_tell *tell, void *self)
{
	struct mysql *mysql = mem_new(sizeof(*mysql));

	mysql->tell = tell;
	mysql->self = self;
	mysql->client.kept = buf_new(KEPT_MAX);
	mysql->server.kept = buf_new(KEPT_MAX);
	return mysql;
}

static struct pending *front(struct mysql *mysql)
{
	return mysql->count ? &mysql->ring[mysql->first] : NULL;
}

static void pending_pop(struct mysql *mysql)
{
	free(front(mysql)->statement);
	mysql->first = (mysql->first + 1) % mysql->ring_size;
	mysql->count--;
	mysql->part = PART_FIRST;
	mysql->rows = 0;
}

static void front_done(struct mysql *mysql, const char *complete, const char *error)
{
	const struct pending *pending = front(mysql);
	bool told = pending->command == COMMAND_QUERY || pending->command == COMMAND_EXECUTE ||
		    pending->command == COMMAND_BULK_EXECUTE || (pending->command == COMMAND_PREPARE && error);
	const struct reader_event event = {.command = pending->command == COMMAND_QUERY     ? "query"
						      : pending->command == COMMAND_PREPARE ? "prepare"
											    : "execute",
					   .statement = view_of(pending->statement),
					   .complete = error ? NULL : complete,
					   .error = error,
					   .begun_us = pending->begun_us,
					   .ended_us = mysql->now_us};

	if (told)
		mysql->tell(mysql->self, &event);
	pending_pop(mysql);
}

static void all_clear(struct mysql *mysql)
{
	while (mysql->count)
		pending_pop(mysql);
	for (size_t i = 0; i < mysql->prepared_count; i++)
		free(mysql->prepared[i].text);
	mysql->prepared_count = 0;
}

static void go_blind(struct mysql *mysql, const char *why)
{
	const struct reader_event event = {
		.command = "unread", .complete = why, .begun_us = mysql->now_us, .ended_us = mysql->now_us};

	if (mysql->blind)
		return;
	mysql->blind = true;
	all_clear(mysql);
	mysql->tell(mysql->self, &event);
}

static void mysql_end(void *reader, const char *why, int64_t now_us)
{
	struct mysql *mysql = reader;

	mysql->now_us = now_us;
	while (why && mysql->count)
		front_done(mysql, NULL, why);
	all_clear(mysql);
	free(mysql->ring);
	free(mysql->prepared);
	buf_fini(&mysql->client.kept);
	buf_fini(&mysql->server.kept);
	free(mysql);
}

/* ---- what is in a packet: little endian; what is not there is 0 ---- */

static uint64_t number_at(struct view body, size_t at, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes && at + i < body.length; i++)
		number |= (uint64_t)(unsigned char)body.at[at + i] << (8 * i);
	return number;
}

/* A length-encoded number, and past it. */
static uint64_t number_take(struct view *body)
{
	unsigned char lead = (unsigned char)number_at(*body, 0, 1);
	size_t bytes = lead == 0xfc ? 2 : lead == 0xfd ? 3 : lead == 0xfe ? 8 : 0;
	uint64_t number = bytes ? number_at(*body, 1, bytes) : lead;
	size_t used = bytes + 1 < body->length ? bytes + 1 : body->length;

	*body = view_make(body->at + used, body->length - used);
	return number;
}

static struct view past(struct view body, size_t bytes)
{
	return bytes < body.length ? view_make(body.at + bytes, body.length - bytes) : (struct view){"", 0};
}

/* ---- prepared statements ---- */

static struct prepared *prepared_find(struct mysql *mysql, uint32_t id)
{
	for (size_t i = 0; i < mysql->prepared_count; i++)
		if (mysql->prepared[i].id == id)
			return &mysql->prepared[i];
	return NULL;
}

static void prepared_add(struct mysql *mysql, uint32_t id, const char *text)
{
	struct prepared *found = prepared_find(mysql, id);

	if (!found) {
		if (mysql->prepared_count == MYSQL_PREPARED_MAX)
			return;
		if ((mysql->prepared_count & (mysql->prepared_count + 1)) == 0)
			mysql->prepared = mem_grow(mysql->prepared, mysql->prepared_count * 2 + 1, sizeof(*mysql->prepared));
		found = &mysql->prepared[mysql->prepared_count++];
		*found = (struct prepared){.id = id};
	}
	free(found->text);
	found->text = text_copy(text);
}

static void prepared_drop(struct mysql *mysql, uint32_t id)
{
	struct prepared *found = prepared_find(mysql, id);

	if (!found)
		return;
	free(found->text);
	*found = mysql->prepared[--mysql->prepared_count];
}

/* MariaDB's clients may execute what they prepare before they know its id. */
static const char *text_of(struct mysql *mysql, uint32_t id)
{
	const struct prepared *found = prepared_find(mysql, id);

	for (size_t i = mysql->count; id == LAST_PREPARED && i > 0; i--) {
		const struct pending *pending = &mysql->ring[(mysql->first + i - 1) % mysql->ring_size];

		if (pending->command == COMMAND_PREPARE)
			return pending->statement;
	}
	return found ? found->text : NULL;
}

/* ---- the client ---- */

static void pending_add(struct mysql *mysql, unsigned command, struct view statement)
{
	if (mysql->count == MYSQL_PENDING_MAX) {
		go_blind(mysql, "too many statements at once");
		return;
	}
	if (mysql->count == mysql->ring_size) {
		size_t size = mysql->ring_size ? mysql->ring_size * 2 : 4;
		struct pending *ring = mem_new_array(size, sizeof(*ring));

		for (size_t i = 0; i < mysql->count; i++)
			ring[i] = mysql->ring[(mysql->first + i) % mysql->ring_size];
		free(mysql->ring);
		mysql->ring = ring;
		mysql->ring_size = size;
		mysql->first = 0;
	}
	mysql->ring[(mysql->first + mysql->count++) % mysql->ring_size] = (struct pending){
		.command = command, .statement = statement.at ? view_copy(statement) : NULL, .begun_us = mysql->now_us};
}

/* The text of a query behind its attributes: there are none but in their count, or it is not looked for. */
static struct view query_text(const struct mysql *mysql, struct view body)
{
	struct view rest = body;

	if (mysql->flags & CLIENT_QUERY_ATTRIBUTES) {
		uint64_t attributes = number_take(&rest);

		(void)number_take(&rest); /* of sets */
		if (attributes)
			return (struct view){"", 0};
	}
	return view_make(rest.at, rest.length < MYSQL_STATEMENT_KEPT_MAX ? rest.length : MYSQL_STATEMENT_KEPT_MAX);
}

static void command_packet(struct mysql *mysql, struct view body)
{
	unsigned command = (unsigned)number_at(body, 0, 1);
	uint32_t id = (uint32_t)number_at(body, 1, 4);
	struct view rest = past(body, 1);

	switch (command) {
	case COMMAND_QUIT:
	case COMMAND_LONG_DATA:
		break;
	case COMMAND_CLOSE:
		prepared_drop(mysql, id);
		break;
	case COMMAND_QUERY:
		pending_add(mysql, command, query_text(mysql, rest));
		break;
	case COMMAND_PREPARE:
		pending_add(mysql, command,
			    view_make(rest.at, rest.length < MYSQL_STATEMENT_KEPT_MAX ? rest.length : MYSQL_STATEMENT_KEPT_MAX));
		break;
	case COMMAND_EXECUTE:
	case COMMAND_BULK_EXECUTE:
		pending_add(mysql, command, view_of(text_of(mysql, id)));
		break;
	case COMMAND_BINLOG:
	case COMMAND_BINLOG_GTID:
	case COMMAND_TABLE_DUMP:
		go_blind(mysql, "replication");
		break;
	case COMMAND_CHANGE_USER:
		all_clear(mysql);
		mysql->ready = false;
		break;
	default:
		pending_add(mysql, command, (struct view){0});
		break;
	}
}

/* The client's answer to the greeting: what the two will speak. */
static void answer_packet(struct mysql *mysql, struct view body)
{
	mysql->flags = (uint32_t)number_at(body, 0, 4);
	mysql->metadata_told = !(mysql->flags & CLIENT_LONG_PASSWORD) && number_at(body, 28, 4) & MARIADB_CACHE_METADATA;
	mysql->answered = true;
	if (mysql->flags & CLIENT_TLS)
		go_blind(mysql, "encrypted: the client asked for TLS");
	else if (mysql->flags & (CLIENT_COMPRESS | CLIENT_ZSTD))
		go_blind(mysql, "compressed");
	else if (mysql->flags & CLIENT_OPTIONAL_METADATA)
		go_blind(mysql, "results without definitions");
}

static void client_packet(struct mysql *mysql, struct view body, uint64_t length)
{
	if (!mysql->answered)
		answer_packet(mysql, body);
	else if (mysql->file)
		mysql->file = length > 0;
	else if (mysql->ready && length)
		command_packet(mysql, body);
}

/* ---- the server ---- */

static bool is_end(const struct mysql *mysql, struct view body, uint64_t length)
{
	return number_at(body, 0, 1) == 0xfe && (mysql->flags & CLIENT_DEPRECATE_EOF ? length < PAYLOAD_MAX : length < 9);
}

/* Of an answer's last packet, 0 or 0xfe ahead. */
static unsigned status_of(const struct mysql *mysql, struct view body, uint64_t *changed)
{
	struct view rest = past(body, 1);

	*changed = 0;
	if (number_at(body, 0, 1) == 0xfe && !(mysql->flags & CLIENT_DEPRECATE_EOF))
		return (unsigned)number_at(body, 3, 2);
	*changed = number_take(&rest);
	(void)number_take(&rest);
	return (unsigned)number_at(rest, 0, 2);
}

/* The end of one result, and perhaps of the answer. */
static void result_end(struct mysql *mysql, struct view body, bool rows)
{
	uint64_t changed;
	unsigned status = status_of(mysql, body, &changed);
	char text[40];

	(void)snprintf(text, sizeof(text), rows ? "ROWS %llu" : "OK %llu", (unsigned long long)(rows ? mysql->rows : changed));
	mysql->part = PART_FIRST;
	if (!(status & STATUS_MORE_RESULTS))
		front_done(mysql, text, NULL);
}

static void error_end(struct mysql *mysql, struct view body)
{
	struct view text = past(body, number_at(body, 3, 1) == '#' ? 9 : 3);
	AUTO_FREE char *error = text_format("%u %.*s", (unsigned)number_at(body, 1, 2),
					    (int)(text.length < ERROR_KEPT ? text.length : ERROR_KEPT), text.at);

	front_done(mysql, NULL, error);
}

static void prepared_answer(struct mysql *mysql, struct view body)
{
	uint64_t columns = number_at(body, 5, 2);
	uint64_t parameters = number_at(body, 7, 2);
	bool ends = !(mysql->flags & CLIENT_DEPRECATE_EOF);

	prepared_add(mysql, (uint32_t)number_at(body, 1, 4), front(mysql)->statement);
	if (!columns && !parameters) {
		front_done(mysql, "OK", NULL);
		return;
	}
	mysql->columns = columns + parameters + (ends && columns) + (ends && parameters);
	mysql->part = PART_PREPARED;
}

static void first_packet(struct mysql *mysql, struct view body)
{
	unsigned command = front(mysql)->command;
	unsigned lead = (unsigned)number_at(body, 0, 1);
	struct view rest = body;

	if (lead == 0xff) {
		error_end(mysql, body);
	} else if (command == COMMAND_PREPARE) {
		prepared_answer(mysql, body);
	} else if (command == COMMAND_FIELDS || command == COMMAND_FETCH) {
		mysql->part = PART_ROWS; /* definitions, or rows, until an end */
		mysql->rows = 1;
		if (lead == 0xfe)
			result_end(mysql, body, true);
	} else if (lead == 0 || lead == 0xfe || command == COMMAND_STATISTICS ||
		   (command != COMMAND_QUERY && command != COMMAND_EXECUTE && command != COMMAND_BULK_EXECUTE)) {
		result_end(mysql, body, false);
	} else if (lead == 0xfb) {
		mysql->file = true;
	} else {
		uint64_t columns = number_take(&rest);

		mysql->rows = 0;
		mysql->columns = columns;
		mysql->part = PART_COLUMNS;
		if (mysql->metadata_told && !number_at(rest, 0, 1))
			mysql->part = mysql->flags & CLIENT_DEPRECATE_EOF ? PART_ROWS : PART_COLUMNS_END;
	}
}

/* A definition, or an end behind some. */
static void definition_packet(struct mysql *mysql)
{
	if (mysql->columns && --mysql->columns)
		return;
	if (mysql->part == PART_PREPARED)
		front_done(mysql, "OK", NULL);
	else
		mysql->part = mysql->flags & CLIENT_DEPRECATE_EOF ? PART_ROWS : PART_COLUMNS_END;
}

static void server_packet(struct mysql *mysql, struct view body, uint64_t length)
{
	uint64_t changed;

	if (!mysql->ready) {
		mysql->ready = mysql->answered && length && number_at(body, 0, 1) == 0;
		return;
	}
	if (!front(mysql) || mysql->file)
		return;
	switch (mysql->part) {
	case PART_FIRST:
		first_packet(mysql, body);
		break;
	case PART_COLUMNS:
	case PART_PREPARED:
		definition_packet(mysql);
		break;
	case PART_COLUMNS_END:
		mysql->part = PART_ROWS;
		if (status_of(mysql, body, &changed) & STATUS_CURSOR)
			result_end(mysql, body, true); /* the rows are fetched later */
		break;
	case PART_ROWS:
		if (number_at(body, 0, 1) == 0xff)
			error_end(mysql, body);
		else if (is_end(mysql, body, length))
			result_end(mysql, body, true);
		else
			mysql->rows++;
		break;
	}
}

/* ---- packets ---- */

/* Takes up to the end of a payload; true when one is whole. */
static bool packet_take(struct packets *packets, struct view *bytes)
{
	size_t take, keep;

	while (packets->head_bytes < HEAD_BYTES && bytes->length) {
		packets->head[packets->head_bytes++] = (unsigned char)bytes->at[0];
		*bytes = view_make(bytes->at + 1, bytes->length - 1);
		if (packets->head_bytes == HEAD_BYTES) {
			packets->left = (uint32_t)(packets->head[0] | packets->head[1] << 8 | packets->head[2] << 16);
			packets->more = packets->left == PAYLOAD_MAX;
		}
	}
	if (packets->head_bytes < HEAD_BYTES)
		return false;
	take = packets->left < bytes->length ? packets->left : bytes->length;
	keep = KEPT_MAX - packets->kept.length;
	buf_add(&packets->kept, bytes->at, take < keep ? take : keep);
	packets->left -= (uint32_t)take;
	packets->length += take;
	*bytes = view_make(bytes->at + take, bytes->length - take);
	if (packets->left)
		return false;
	packets->head_bytes = 0;
	return !packets->more;
}

static void packets_read(struct mysql *mysql, struct packets *packets, struct view bytes,
			 void (*packet)(struct mysql *mysql, struct view body, uint64_t length))
{
	while (!mysql->blind && bytes.length) {
		if (!packet_take(packets, &bytes))
			continue;
		packet(mysql, buf_view(&packets->kept), packets->length);
		buf_clear(&packets->kept);
		packets->length = 0;
	}
}

static void mysql_client(void *reader, struct view bytes, int64_t now_us)
{
	struct mysql *mysql = reader;

	mysql->now_us = now_us;
	packets_read(mysql, &mysql->client, bytes, client_packet);
}

static void mysql_server(void *reader, struct view bytes, int64_t now_us)
{
	struct mysql *mysql = reader;

	mysql->now_us = now_us;
	packets_read(mysql, &mysql->server, bytes, server_packet);
}

static size_t mysql_in_flight(const void *reader)
{
	const struct mysql *mysql = reader;

	return mysql->count;
}

/* A greeting: packet 0, version 10, and the server's version as text. */
static bool mysql_looks(struct view bytes, bool server)
{
	return server && bytes.length > 10 && !bytes.at[2] && !bytes.at[3] && bytes.at[4] == 10 && bytes.at[5] >= '0' &&
	       bytes.at[5] <= '9';
}

const struct reader_ops reader_mysql = {"mysql", mysql_make, mysql_end, mysql_client, mysql_server, mysql_in_flight, mysql_looks};
