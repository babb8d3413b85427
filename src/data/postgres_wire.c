/* Messages of PostgreSQL's protocol: framing, start-up and the simple query. */
#include "data/postgres_wire.h"

#include "base/scope.h"
#include "data/engine.h"
#include "data/sql.h"

#define MESSAGE_MAX ((uint32_t)32 << 20)
#define COLUMNS_MAX 1700
#define PROTOCOL_3 196608

static uint32_t u32_at(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void u32_add(struct buf *out, uint32_t number)
{
	const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16), (unsigned char)(number >> 8),
					(unsigned char)number};

	buf_add(out, bytes, sizeof(bytes));
}

int postgres_message_take(struct view *in, char *type, struct view *body, struct err *err)
{
	uint32_t length;

	if (in->length < 5)
		return 0;
	length = u32_at(in->at + 1);
	if (length < 4 || length > MESSAGE_MAX)
		return err_set(err, ERR_BROKEN, "a message of %u bytes is not PostgreSQL's protocol", length);
	if (in->length < (size_t)length + 1)
		return 0;
	*type = in->at[0];
	*body = view_make(in->at + 5, length - 4);
	in->at += (size_t)length + 1;
	in->length -= (size_t)length + 1;
	return 1;
}

/* A JSON string of any bytes. */
static json_t *text_of(struct view bytes)
{
	AUTO_JSON holder = json_object();
	json_t *text;

	json_set_bytes(holder, "text", bytes);
	text = json_object_get(holder, "text");
	return json_incref(text);
}

json_t *postgres_row_parse(struct view body, struct err *err)
{
	AUTO_JSON row = json_array();
	unsigned columns;

	if (body.length < 2)
		goto broken;
	columns = (unsigned)(unsigned char)body.at[0] << 8 | (unsigned char)body.at[1];
	if (columns > COLUMNS_MAX)
		goto broken;
	body = view_make(body.at + 2, body.length - 2);
	for (unsigned i = 0; i < columns; i++) {
		uint32_t length;

		if (body.length < 4)
			goto broken;
		length = u32_at(body.at);
		body = view_make(body.at + 4, body.length - 4);
		if (length == UINT32_MAX) {
			(void)json_array_append_new(row, json_null());
			continue;
		}
		if (length > body.length)
			goto broken;
		(void)json_array_append_new(row, text_of(view_make(body.at, length)));
		body = view_make(body.at + length, body.length - length);
	}
	if (body.length)
		goto broken;
	return TAKE(row);
broken:
	(void)err_set(err, ERR_BROKEN, "a row of the server does not add up");
	return NULL;
}

void postgres_error_parse(struct view body, struct view *code, struct view *message)
{
	*code = VIEW("");
	*message = VIEW("an error without a message");
	while (body.length && body.at[0]) {
		struct view rest;
		struct view field = view_cut(body, '\0', &rest);

		if (field.at[0] == 'C')
			*code = view_make(field.at + 1, field.length - 1);
		else if (field.at[0] == 'M')
			*message = view_make(field.at + 1, field.length - 1);
		body = rest;
	}
}

/* cannot_connect_now, admin_shutdown and crash_shutdown pass; too_many_connections too. */
static enum err_kind kind_of(struct view code)
{
	if (view_is(code, "57P03") || view_is(code, "57P01") || view_is(code, "57P02") || view_is(code, "53300"))
		return ERR_RETRY;
	if (view_is(code, "3D000"))
		return ERR_NOT_FOUND;
	return ERR_INVALID;
}

static int error_set(struct err *err, struct view body)
{
	struct view code;
	struct view message;

	postgres_error_parse(body, &code, &message);
	return err_set(err, kind_of(code), "%.*s", (int)(message.length < 400 ? message.length : 400), message.at);
}

/* One message, received as needed; the body is valid until the next call. */
static int message_next(struct wire *wire, size_t *taken, char *type, struct view *body, struct err *err)
{
	if (*taken)
		buf_drop_front(&wire->in, *taken);
	*taken = 0;
	for (;;) {
		struct view in = buf_view(&wire->in);
		int whole = postgres_message_take(&in, type, body, err);

		if (whole < 0)
			return -1;
		if (whole) {
			*taken = wire->in.length - in.length;
			return 0;
		}
		if (wire_receive(wire, err))
			return -1;
	}
}

int postgres_wire_start(struct wire *wire, const char *user, const char *database, struct err *err)
{
	AUTO_BUF parameters = buf_new(1024);
	AUTO_BUF message = buf_new(1024);
	size_t taken = 0;
	char type = 0;
	struct view body;

	buf_add(&parameters, "user", 5);
	buf_add(&parameters, user, strlen(user) + 1);
	buf_add(&parameters, "database", 9);
	buf_add(&parameters, database, strlen(database) + 1);
	buf_add(&parameters, "", 1);
	u32_add(&message, (uint32_t)parameters.length + 8);
	u32_add(&message, PROTOCOL_3);
	buf_add_view(&message, buf_view(&parameters));
	if (buf_finish(&message, err) || wire_send(wire, buf_view(&message), err))
		return -1;
	while (type != 'Z') {
		if (message_next(wire, &taken, &type, &body, err))
			return -1;
		if (type == 'E')
			return error_set(err, body);
		if (type == 'R' && (body.length < 4 || u32_at(body.at) != 0))
			return err_set(err, ERR_DENIED, "the server asks for a password");
	}
	buf_drop_front(&wire->in, taken);
	return 0;
}

int postgres_wire_query(struct wire *wire, const char *sql, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	AUTO_BUF message = buf_new(SQL_STATEMENT_MAX + 8);
	size_t taken = 0;
	char type = 0;
	bool failed = false;
	size_t bytes = 0;
	struct view body;

	buf_add_char(&message, 'Q');
	u32_add(&message, (uint32_t)strlen(sql) + 5);
	buf_add(&message, sql, strlen(sql) + 1);
	if (buf_finish(&message, err) || wire_send(wire, buf_view(&message), err))
		return -1;
	while (type != 'Z') {
		if (message_next(wire, &taken, &type, &body, err))
			return -1;
		if (type == 'E' && !failed) {
			(void)error_set(err, body);
			failed = true;
		}
		if (type != 'D' || failed || !rows)
			continue;
		if (bytes <= ENGINE_REPLY_BYTES_MAX && json_array_size(rows) < rows_max)
			bytes += body.length;
		if (bytes > ENGINE_REPLY_BYTES_MAX || json_array_size(rows) >= rows_max) {
			if (cut)
				*cut = true;
			continue;
		}
		json_t *row = postgres_row_parse(body, err);

		if (!row)
			return -1;
		(void)json_array_append_new(rows, row);
	}
	buf_drop_front(&wire->in, taken);
	if (!failed && bytes > ENGINE_REPLY_BYTES_MAX && !cut)
		return err_set(err, ERR_LIMIT, "the server's answer is longer than %zu bytes", ENGINE_REPLY_BYTES_MAX);
	return failed ? -1 : 0;
}
