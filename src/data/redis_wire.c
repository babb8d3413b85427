/* RESP 2: a recursive reader with limits, and one command at a time. */
#include "data/redis_wire.h"

#include "base/scope.h"

#define DEPTH_MAX 16
#define LINE_MAX_BYTES ((size_t)65536)
#define BULK_MAX ((uint64_t)32 << 20)
#define ITEMS_MAX ((uint64_t)1 << 20)

static json_t *text_of(struct view bytes)
{
	AUTO_JSON holder = json_object();
	json_t *text;

	json_set_bytes(holder, "text", bytes);
	text = json_object_get(holder, "text");
	return json_incref(text);
}

/* The rest of a line, without its CR LF: 1, 0, -1 as in redis_reply_take. */
static int line_take(struct view *in, struct view *line, struct err *err)
{
	const char *end = in->length ? memchr(in->at, '\n', in->length) : NULL;

	if (!end && in->length <= LINE_MAX_BYTES)
		return 0;
	if (!end || end == in->at || end[-1] != '\r')
		return err_set(err, ERR_BROKEN, "a line of the server does not end as Redis lines do");
	*line = view_make(in->at, (size_t)(end - in->at) - 1);
	in->length -= (size_t)(end - in->at) + 1;
	in->at = end + 1;
	return 1;
}

static int number_of(struct view line, uint64_t maximum, bool *nil, uint64_t *number, struct err *err)
{
	*nil = view_is(line, "-1");
	if (!*nil && (!view_to_u64(line, number) || *number > maximum))
		return err_set(err, ERR_BROKEN, "a length of the server is none");
	return 0;
}

static int integer_take(struct view line, json_t **reply, struct err *err)
{
	bool negative = line.length && line.at[0] == '-';
	uint64_t number;

	if (negative)
		line = view_make(line.at + 1, line.length - 1);
	if (!view_to_u64(line, &number) || number > INT64_MAX)
		return err_set(err, ERR_BROKEN, "a number of the server is none");
	*reply = json_integer(negative ? -(json_int_t)number : (json_int_t)number);
	return 1;
}

static int reply_take(struct view *in, json_t **reply, bool *is_error, int depth, struct err *err);

static int bulk_take(struct view *in, struct view line, json_t **reply, struct err *err)
{
	uint64_t length = 0;
	bool nil;

	if (number_of(line, BULK_MAX, &nil, &length, err))
		return -1;
	if (nil) {
		*reply = json_null();
		return 1;
	}
	if (in->length < length + 2)
		return 0;
	if (in->at[length] != '\r' || in->at[length + 1] != '\n')
		return err_set(err, ERR_BROKEN, "a text of the server is longer than it said");
	*reply = text_of(view_make(in->at, (size_t)length));
	in->at += length + 2;
	in->length -= (size_t)length + 2;
	return 1;
}

static int array_take(struct view *in, struct view line, json_t **reply, int depth, struct err *err)
{
	AUTO_JSON items = json_array();
	uint64_t count = 0;
	bool nil;

	if (number_of(line, ITEMS_MAX, &nil, &count, err))
		return -1;
	if (nil) {
		*reply = json_null();
		return 1;
	}
	for (uint64_t i = 0; i < count; i++) {
		json_t *item = NULL;
		bool item_error = false;
		int whole = reply_take(in, &item, &item_error, depth + 1, err);

		if (whole != 1)
			return whole;
		(void)json_array_append_new(items, item);
	}
	*reply = TAKE(items);
	return 1;
}

static int reply_take(struct view *in, json_t **reply, bool *is_error, int depth, struct err *err)
{
	struct view line;
	char type;
	int whole;

	*is_error = false;
	if (depth > DEPTH_MAX)
		return err_set(err, ERR_BROKEN, "a reply of the server is nested deeper than %d", DEPTH_MAX);
	if (!in->length)
		return 0;
	type = in->at[0];
	if (!strchr("+-:$*", type) || !type)
		return err_set(err, ERR_BROKEN, "a reply of the server is none of Redis");
	in->at++;
	in->length--;
	whole = line_take(in, &line, err);
	if (whole != 1)
		return whole;
	*is_error = type == '-';
	if (type == '+' || type == '-')
		*reply = text_of(line);
	if (type == ':')
		return integer_take(line, reply, err);
	if (type == '$')
		return bulk_take(in, line, reply, err);
	return type == '*' ? array_take(in, line, reply, depth, err) : 1;
}

int redis_reply_take(struct view *in, json_t **reply, bool *is_error, struct err *err)
{
	struct view rest = *in;
	int whole = reply_take(&rest, reply, is_error, 0, err);

	if (whole == 1)
		*in = rest;
	return whole;
}

static enum err_kind kind_of(const char *error)
{
	static const char *const transient[] = {"LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN"};

	for (size_t i = 0; i < ARRAY_LEN(transient); i++)
		if (strncmp(error, transient[i], strlen(transient[i])) == 0)
			return ERR_RETRY;
	return ERR_INVALID;
}

json_t *redis_wire_command(struct wire *wire, const char *const *arguments, size_t count, struct err *err)
{
	AUTO_BUF command = buf_new((size_t)16 << 20);
	AUTO_JSON reply = NULL;
	bool is_error = false;

	buf_add_format(&command, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++)
		buf_add_format(&command, "$%zu\r\n%s\r\n", strlen(arguments[i]), arguments[i]);
	if (buf_finish(&command, err) || wire_send(wire, buf_view(&command), err))
		return NULL;
	for (;;) {
		struct view in = buf_view(&wire->in);
		int whole = redis_reply_take(&in, &reply, &is_error, err);

		if (whole < 0)
			return NULL;
		if (whole) {
			buf_drop_front(&wire->in, wire->in.length - in.length);
			break;
		}
		if (wire_receive(wire, err))
			return NULL;
	}
	if (is_error) {
		(void)err_set(err, kind_of(json_string_value(reply)), "%.400s", json_string_value(reply));
		return NULL;
	}
	return TAKE(reply);
}
