/* ClientHello. */
#include "net/hello.h"

#define RECORD_HANDSHAKE 22
#define RECORD_BYTES_MAX 16384
#define CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0

/* Takes `length` bytes from the front of *rest; at == NULL when there are fewer. */
static struct view take(struct view *rest, size_t length)
{
	struct view taken = {NULL, 0};

	if (rest->at && length <= rest->length) {
		taken = view_make(rest->at, length);
		*rest = view_make(rest->at + length, rest->length - length);
	} else {
		rest->at = NULL;
		rest->length = 0;
	}
	return taken;
}

static size_t take_number(struct view *rest, size_t bytes)
{
	struct view taken = take(rest, bytes);
	size_t number = 0;

	for (size_t i = 0; i < taken.length; i++)
		number = number << 8 | (unsigned char)taken.at[i];
	return number;
}

/* Handshake bytes of the records so far. */
static enum hello_result records_join(struct view bytes, struct buf *scratch)
{
	while (bytes.length) {
		size_t length;

		if (bytes.at[0] != RECORD_HANDSHAKE || (bytes.length > 1 && bytes.at[1] != 3))
			return HELLO_BAD;
		if (bytes.length < 5)
			return HELLO_MORE;
		length = (size_t)(unsigned char)bytes.at[3] << 8 | (unsigned char)bytes.at[4];
		if (!length || length > RECORD_BYTES_MAX)
			return HELLO_BAD;
		bytes = view_make(bytes.at + 5, bytes.length - 5);
		length = length < bytes.length ? length : bytes.length;
		buf_add(scratch, bytes.at, length);
		bytes = view_make(bytes.at + length, bytes.length - length);
		/* Enough for the whole message? What follows is not ours to read. */
		if (scratch->length >= 4) {
			struct view head = view_make(scratch->at + 1, 3);

			if (scratch->length >= 4 + take_number(&head, 3))
				return HELLO_DONE;
		}
	}
	return HELLO_MORE;
}

static enum hello_result names_parse(struct view extension, struct view *name)
{
	size_t list_length = take_number(&extension, 2);

	if (!extension.at || list_length != extension.length)
		return HELLO_BAD;
	while (extension.length) {
		size_t type = take_number(&extension, 1);
		struct view value = take(&extension, take_number(&extension, 2));

		if (!value.at || name->at || type != 0 || !value.length)
			return HELLO_BAD;
		*name = value;
	}
	return name->at ? HELLO_DONE : HELLO_BAD;
}

static enum hello_result extensions_parse(struct view rest, struct view *name)
{
	while (rest.length) {
		size_t type = take_number(&rest, 2);
		struct view value = take(&rest, take_number(&rest, 2));

		if (!value.at)
			return HELLO_BAD;
		if (type == EXTENSION_SERVER_NAME && names_parse(value, name) != HELLO_DONE)
			return HELLO_BAD;
	}
	if (!name->at)
		*name = (struct view){"", 0};
	return HELLO_DONE;
}

enum hello_result hello_parse(struct view bytes, struct buf *scratch, struct view *name)
{
	enum hello_result result;
	struct view rest;

	*name = (struct view){NULL, 0};
	buf_clear(scratch);
	result = records_join(bytes, scratch);
	if (scratch->length && scratch->at[0] != CLIENT_HELLO)
		return HELLO_BAD;
	if (result != HELLO_DONE)
		return result == HELLO_MORE && bytes.length >= HELLO_BYTES_MAX ? HELLO_BAD : result;
	rest = view_make(scratch->at + 1, scratch->length - 1);
	rest = take(&rest, take_number(&rest, 3));
	(void)take(&rest, 34);                    /* version and random */
	(void)take(&rest, take_number(&rest, 1)); /* session id */
	(void)take(&rest, take_number(&rest, 2)); /* cipher suites */
	(void)take(&rest, take_number(&rest, 1)); /* compression */
	if (!rest.at)
		return HELLO_BAD;
	if (!rest.length)
		return extensions_parse(rest, name);
	rest = take(&rest, take_number(&rest, 2));
	return rest.at ? extensions_parse(rest, name) : HELLO_BAD;
}
