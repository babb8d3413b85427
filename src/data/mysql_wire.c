/* Packets of MySQL's protocol: framing, the handshake and the text protocol. */
#include "data/mysql_wire.h"

#include "base/scope.h"
#include "data/engine.h"

#define PACKET_MAX ((size_t)0xffffff)
#define COLUMNS_MAX 4096

enum { LONG_PASSWORD = 1, PROTOCOL_41 = 1 << 9, TRANSACTIONS = 1 << 13, SECURE_CONNECTION = 1 << 15, PLUGIN_AUTH = 1 << 19 };
enum { UTF8MB4 = 45, COM_QUERY = 3 };
enum { OK_PACKET = 0, LOCAL_INFILE = 0xfb, END_PACKET = 0xfe, ERROR_PACKET = 0xff };
enum { NO_SUCH_COLUMN = 1054, NO_SUCH_TABLE = 1146 };
enum { NO_SUCH_DATABASE = 1049, TOO_MANY_CONNECTIONS = 1040, SHUTTING_DOWN = 1053, STARTING = 1927 };

static uint32_t u24_at(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
}

int mysql_packet_take(struct view *in, uint8_t *number, struct view *body, struct err *err)
{
	size_t length;

	if (in->length < 4)
		return 0;
	length = u24_at(in->at);
	if (length == PACKET_MAX)
		return err_set(err, ERR_LIMIT, "a row of the server is longer than %zu bytes", PACKET_MAX);
	if (in->length < length + 4)
		return 0;
	*number = (uint8_t)in->at[3];
	*body = view_make(in->at + 4, length);
	*in = view_make(in->at + length + 4, in->length - length - 4);
	return 1;
}

bool mysql_length_take(struct view *in, uint64_t *length)
{
	static const size_t bytes_of[] = {2, 3, 8};
	unsigned char first;
	size_t bytes;

	if (!in->length)
		return false;
	first = (unsigned char)in->at[0];
	if (first < 0xfb) {
		*length = first;
		*in = view_make(in->at + 1, in->length - 1);
		return true;
	}
	if (first == 0xfb || first == 0xff)
		return false;
	bytes = bytes_of[first - 0xfc];
	if (in->length < bytes + 1)
		return false;
	*length = 0;
	for (size_t i = bytes; i > 0; i--)
		*length = *length << 8 | (unsigned char)in->at[i];
	*in = view_make(in->at + 1 + bytes, in->length - 1 - bytes);
	return true;
}

json_t *mysql_row_parse(struct view body, size_t columns, struct err *err)
{
	AUTO_JSON row = json_array();

	for (size_t i = 0; i < columns; i++) {
		AUTO_JSON holder = json_object();
		uint64_t length;

		if (body.length && (unsigned char)body.at[0] == 0xfb) {
			(void)json_array_append_new(row, json_null());
			body = view_make(body.at + 1, body.length - 1);
			continue;
		}
		if (!mysql_length_take(&body, &length) || length > body.length)
			goto broken;
		json_set_bytes(holder, "text", view_make(body.at, (size_t)length));
		(void)json_array_append(row, json_object_get(holder, "text"));
		body = view_make(body.at + length, body.length - (size_t)length);
	}
	if (!body.length)
		return TAKE(row);
broken:
	(void)err_set(err, ERR_BROKEN, "a row of the server does not add up");
	return NULL;
}

void mysql_error_parse(struct view body, unsigned *code, struct view *message)
{
	*code = 0;
	*message = VIEW("an error without a message");
	if (body.length < 3)
		return;
	*code = (unsigned)(unsigned char)body.at[1] | (unsigned)(unsigned char)body.at[2] << 8;
	body = view_make(body.at + 3, body.length - 3);
	if (body.length >= 6 && body.at[0] == '#')
		body = view_make(body.at + 6, body.length - 6);
	if (body.length)
		*message = body;
}

/* What it quotes may be a value of somebody's ("Duplicate entry 'mia@acme.io'"), unless it is a name of the schema. */
static struct view message_without_values(struct view message, unsigned code)
{
	size_t length = 0;

	if (code == NO_SUCH_DATABASE || code == NO_SUCH_COLUMN || code == NO_SUCH_TABLE)
		return message;
	while (length < message.length && message.at[length] != '\'' && message.at[length] != '"' && message.at[length] != '`')
		length++;
	return view_trim(view_make(message.at, length));
}

static int error_set(struct err *err, struct view body)
{
	enum err_kind kind = ERR_INVALID;
	struct view message;
	unsigned code;

	mysql_error_parse(body, &code, &message);
	if (code == NO_SUCH_DATABASE)
		kind = ERR_NOT_FOUND;
	else if (code == TOO_MANY_CONNECTIONS || code == SHUTTING_DOWN || code == STARTING)
		kind = ERR_RETRY;
	message = message_without_values(message, code);
	return err_set(err, kind, "error %u: %.*s", code, (int)(message.length < 400 ? message.length : 400), message.at);
}

/* One packet, received as needed; the body is valid until the next call. */
static int packet_next(struct wire *wire, size_t *taken, uint8_t *number, struct view *body, struct err *err)
{
	if (*taken)
		buf_drop_front(&wire->in, *taken);
	*taken = 0;
	for (;;) {
		struct view in = buf_view(&wire->in);
		int whole = mysql_packet_take(&in, number, body, err);

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

static void header_add(struct buf *out, size_t length, uint8_t number)
{
	const unsigned char header[4] = {(unsigned char)length, (unsigned char)(length >> 8), (unsigned char)(length >> 16),
					 number};

	buf_add(out, header, sizeof(header));
}

static unsigned first_of(struct view body)
{
	return body.length ? (unsigned char)body.at[0] : ERROR_PACKET;
}

/* HandshakeResponse41: nothing secret is sent, the server takes whoever comes. */
static int answer_send(struct wire *wire, const char *user, uint8_t number, struct err *err)
{
	static const uint32_t wanted = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
	static const char plugin[] = "mysql_native_password";
	AUTO_BUF body = buf_new(1024);
	AUTO_BUF packet = buf_new(2048);
	char zeros[23] = {0};

	for (unsigned i = 0; i < 4; i++)
		buf_add_char(&body, (char)(wanted >> 8 * i));
	buf_add(&body, "\0\0\0\1", 4); /* its largest packet: 16 MiB */
	buf_add_char(&body, UTF8MB4);
	buf_add(&body, zeros, sizeof(zeros));
	buf_add(&body, user, strlen(user) + 1);
	buf_add_char(&body, '\0'); /* an answer of no bytes to its challenge */
	buf_add(&body, plugin, sizeof(plugin));
	header_add(&packet, body.length, number);
	buf_add_view(&packet, buf_view(&body));
	return buf_finish(&packet, err) ? -1 : wire_send(wire, buf_view(&packet), err);
}

int mysql_wire_start(struct wire *wire, const char *user, struct err *err)
{
	size_t taken = 0;
	struct view body;
	uint8_t number;

	if (packet_next(wire, &taken, &number, &body, err))
		return -1;
	if (first_of(body) == ERROR_PACKET)
		return error_set(err, body);
	if (first_of(body) != 10)
		return err_set(err, ERR_BROKEN, "the server speaks version %u of MySQL's protocol, not 10", first_of(body));
	if (answer_send(wire, user, (uint8_t)(number + 1), err) || packet_next(wire, &taken, &number, &body, err))
		return -1;
	if (first_of(body) == END_PACKET) { /* it wants another way of signing in: nothing, that way */
		AUTO_BUF nothing = buf_new(4);

		header_add(&nothing, 0, (uint8_t)(number + 1));
		if (wire_send(wire, buf_view(&nothing), err) || packet_next(wire, &taken, &number, &body, err))
			return -1;
	}
	if (first_of(body) == ERROR_PACKET)
		return error_set(err, body);
	if (first_of(body) != OK_PACKET)
		return err_set(err, ERR_DENIED, "the server asks for a password");
	buf_drop_front(&wire->in, taken);
	return 0;
}

static bool is_end(struct view body)
{
	return first_of(body) == END_PACKET && body.length < 9;
}

/* After the number of columns: their descriptions, an end, rows, an end. */
static int rows_receive(struct wire *wire, size_t *taken, size_t columns, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	size_t bytes = 0;
	struct view body;
	uint8_t number;

	for (size_t i = 0; i <= columns; i++)
		if (packet_next(wire, taken, &number, &body, err))
			return -1;
	if (!is_end(body))
		return err_set(err, ERR_BROKEN, "the server's columns do not end");
	for (;;) {
		json_t *row;

		if (packet_next(wire, taken, &number, &body, err))
			return -1;
		if (is_end(body))
			return bytes > ENGINE_REPLY_BYTES_MAX && !cut
				       ? err_set(err, ERR_LIMIT, "the server's answer is longer than %zu bytes",
						 ENGINE_REPLY_BYTES_MAX)
				       : 0;
		if (first_of(body) == ERROR_PACKET)
			return error_set(err, body);
		if (!rows)
			continue;
		if (bytes <= ENGINE_REPLY_BYTES_MAX && json_array_size(rows) < rows_max)
			bytes += body.length;
		if (bytes > ENGINE_REPLY_BYTES_MAX || json_array_size(rows) >= rows_max) {
			if (cut)
				*cut = true;
			continue;
		}
		row = mysql_row_parse(body, columns, err);
		if (!row)
			return -1;
		(void)json_array_append_new(rows, row);
	}
}

int mysql_wire_query(struct wire *wire, const char *sql, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	AUTO_BUF packet = buf_new(MYSQL_STATEMENT_MAX + 8);
	size_t taken = 0;
	struct view body;
	uint64_t columns = 0;
	uint8_t number;
	int result = 0;

	header_add(&packet, strlen(sql) + 1, 0);
	buf_add_char(&packet, COM_QUERY);
	buf_add_text(&packet, sql);
	if (buf_finish(&packet, err) || wire_send(wire, buf_view(&packet), err) || packet_next(wire, &taken, &number, &body, err))
		return -1;
	if (first_of(body) == ERROR_PACKET)
		result = error_set(err, body);
	else if (first_of(body) == LOCAL_INFILE)
		result = err_set(err, ERR_BROKEN, "the server asks for a file");
	else if (first_of(body) != OK_PACKET)
		result = !mysql_length_take(&body, &columns) || columns > COLUMNS_MAX
				 ? err_set(err, ERR_BROKEN, "the server's answer does not add up")
				 : rows_receive(wire, &taken, (size_t)columns, rows, rows_max, cut, err);
	buf_drop_front(&wire->in, taken);
	return result;
}
