/* Messages in Redis: a table of commands by what their arguments and replies are made of. */
#include "gateway/seams/redis_messages.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/scope.h"

#define FIELDS_BYTES_MAX ((size_t)1 << 20)
#define ELEMENTS_MAX 1048576

enum carried_kind {
	CARRIES_CHANNEL, /* channel, message */
	CARRIES_LIST,    /* key, message… */
	CARRIES_STREAM,  /* key, options, id, (name, value)… */
	CARRIES_ACK,     /* key, group, id… */
	BRINGS_STREAMS,  /* [[key, [entry…]]…], or a map of them */
	BRINGS_ENTRIES,  /* [entry…]; the key is the first argument */
	BRINGS_CLAIMED,  /* [cursor, [entry…], …] */
	BRINGS_POPPED,   /* [key, message, …] */
	BRINGS_SEVERAL,  /* [key, [message…]] */
	BRINGS_PLAIN,    /* message or [message…]; the key is the first argument */
};

struct redis_carrier {
	const char *command;
	enum carried_kind kind;
};

static const struct redis_carrier carriers[] = {
	{"PUBLISH", CARRIES_CHANNEL}, {"SPUBLISH", CARRIES_CHANNEL},  {"LPUSH", CARRIES_LIST},     {"RPUSH", CARRIES_LIST},
	{"LPUSHX", CARRIES_LIST},     {"RPUSHX", CARRIES_LIST},       {"XADD", CARRIES_STREAM},    {"XACK", CARRIES_ACK},
	{"XREAD", BRINGS_STREAMS},    {"XREADGROUP", BRINGS_STREAMS}, {"XCLAIM", BRINGS_ENTRIES},  {"XAUTOCLAIM", BRINGS_CLAIMED},
	{"BLPOP", BRINGS_POPPED},     {"BRPOP", BRINGS_POPPED},       {"BZPOPMIN", BRINGS_POPPED}, {"BZPOPMAX", BRINGS_POPPED},
	{"LMPOP", BRINGS_SEVERAL},    {"BLMPOP", BRINGS_SEVERAL},     {"LPOP", BRINGS_PLAIN},      {"RPOP", BRINGS_PLAIN},
	{"LMOVE", BRINGS_PLAIN},      {"BLMOVE", BRINGS_PLAIN},       {"RPOPLPUSH", BRINGS_PLAIN}, {"BRPOPLPUSH", BRINGS_PLAIN},
};

const struct redis_carrier *redis_carrier_find(const char *command)
{
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
		if (strcmp(carriers[i].command, command) == 0)
			return &carriers[i];
	return NULL;
}

bool redis_carrier_delivers(const struct redis_carrier *carrier)
{
	return carrier->kind >= BRINGS_STREAMS;
}

bool redis_carrier_acknowledges(const struct redis_carrier *carrier)
{
	return carrier->kind == CARRIES_ACK;
}

/* ---- what both sides tell with ---- */

struct telling {
	reader_tell *tell;
	void *self;
	struct reader_event event;
	size_t left;
	bool cut;
};

static void message_tell(struct telling *telling, struct view place, struct view body)
{
	struct exchange_body kept = {.at = NULL};

	if (!telling->left)
		return;
	telling->left--;
	exchange_body_add(&kept, body);
	kept.cut = kept.cut || telling->cut;
	telling->event.place = place;
	telling->event.body = &kept;
	telling->tell(telling->self, &telling->event);
	free(kept.at);
}

/* ---- arguments ---- */

static bool argument_take(struct view *arguments, struct view *argument)
{
	uint32_t length;

	if (arguments->length < REDIS_ARGUMENT_HEAD)
		return false;
	memcpy(&length, arguments->at, sizeof(length));
	if (length > arguments->length - REDIS_ARGUMENT_HEAD)
		return false;
	*argument = view_make(arguments->at + REDIS_ARGUMENT_HEAD, length);
	*arguments = view_make(arguments->at + REDIS_ARGUMENT_HEAD + length, arguments->length - REDIS_ARGUMENT_HEAD - length);
	return true;
}

static void field_add(json_t *fields, struct view name, struct view value)
{
	AUTO_FREE char *key = view_copy(name);

	json_set_bytes(fields, key, value);
}

static void fields_tell(struct telling *telling, struct view place, const json_t *fields)
{
	AUTO_BUF body = buf_new(FIELDS_BYTES_MAX);

	json_format(&body, fields);
	message_tell(telling, place, buf_view(&body));
}

/* Past what stands between the key of XADD and its first field. */
static void options_skip(struct view *arguments)
{
	struct view word, number;

	while (argument_take(arguments, &word)) {
		if (view_equal_nocase(word, VIEW("NOMKSTREAM")))
			continue;
		if (!view_equal_nocase(word, VIEW("MAXLEN")) && !view_equal_nocase(word, VIEW("MINID")) &&
		    !view_equal_nocase(word, VIEW("LIMIT")))
			return; /* the id */
		if (argument_take(arguments, &number) && (view_is(number, "=") || view_is(number, "~")))
			(void)argument_take(arguments, &number);
	}
}

static void stream_tell(struct telling *telling, struct view key, struct view arguments)
{
	AUTO_JSON fields = json_object();
	struct view name, value;

	options_skip(&arguments);
	while (argument_take(&arguments, &name) && argument_take(&arguments, &value))
		field_add(fields, name, value);
	fields_tell(telling, key, fields);
}

static void arguments_tell(const struct redis_carried *carried, struct telling *telling)
{
	struct view rest = carried->arguments;
	struct view key, one;

	if (!argument_take(&rest, &key))
		return;
	telling->event.command = carried->carrier->kind == CARRIES_ACK ? "ack" : "publish";
	telling->cut = carried->cut;
	if (carried->carrier->kind == CARRIES_STREAM) {
		stream_tell(telling, key, rest);
		return;
	}
	if (carried->carrier->kind == CARRIES_ACK && argument_take(&rest, &one)) {
		telling->event.statement = one;
		while (argument_take(&rest, &one))
			message_tell(telling, key, (struct view){"", 0});
		return;
	}
	while (argument_take(&rest, &one))
		message_tell(telling, key, one);
	if (carried->cut)
		message_tell(telling, key, (struct view){"", 0});
}

/* ---- replies ---- */

struct value {
	char type;
	struct view text;
	size_t count; /* of what follows in it */
};

/* One value of RESP, or the head of one that holds others; attributes are passed over. false: broken, or not whole. */
static bool value_take(struct view *rest, struct value *value)
{
	for (size_t over = 0; rest->length; over -= over > 0) {
		ptrdiff_t end = view_find(*rest, VIEW("\r\n"));
		uint64_t number = 0;
		struct view line;
		bool sized;

		if (end < 1)
			return false;
		line = view_make(rest->at + 1, (size_t)end - 1);
		*value = (struct value){.type = rest->at[0], .text = line};
		*rest = view_make(rest->at + end + 2, rest->length - (size_t)end - 2);
		sized = strchr("$=!*~>%|", value->type) && !view_is(line, "-1");
		if (sized && (!view_to_u64(line, &number) || number > ELEMENTS_MAX * 512))
			return false;
		if (sized && strchr("$=!", value->type)) {
			if (rest->length < number + 2)
				return false;
			value->text = view_make(rest->at, (size_t)number);
			*rest = view_make(rest->at + number + 2, rest->length - (size_t)number - 2);
		} else if (sized) {
			value->count = (size_t)number * (strchr("%|", value->type) ? 2 : 1);
		}
		if (value->type == '|')
			over += value->count + 1;
		else if (over)
			over += value->count;
		if (!over)
			return true;
	}
	return false;
}

static bool value_skip(struct view *rest)
{
	struct value value;

	for (size_t left = 1; left; left--) {
		if (!value_take(rest, &value) || value.count > ELEMENTS_MAX)
			return false;
		left += value.count;
	}
	return true;
}

/* [id, [name, value…]] */
static bool entry_tell(struct telling *telling, struct view key, struct view *rest)
{
	AUTO_JSON fields = json_object();
	struct value value, name;

	if (!value_take(rest, &value))
		return false;
	if (!value.count)
		return true; /* it was deleted meanwhile */
	if (value.count != 2 || !value_skip(rest) || !value_take(rest, &value))
		return false;
	for (size_t i = 0; i + 1 < value.count; i += 2) {
		struct value held;

		if (!value_take(rest, &name) || !value_take(rest, &held) || name.count || held.count)
			return false;
		field_add(fields, name.text, held.text);
	}
	fields_tell(telling, key, fields);
	return true;
}

static bool entries_tell(struct telling *telling, struct view key, struct view *rest)
{
	struct value list;

	if (!value_take(rest, &list))
		return false;
	for (size_t i = 0; i < list.count; i++)
		if (!entry_tell(telling, key, rest))
			return false;
	return true;
}

static void streams_tell(struct telling *telling, struct view rest)
{
	struct value top, value;
	size_t count;

	if (!value_take(&rest, &top))
		return;
	count = top.type == '%' ? top.count / 2 : top.count;
	for (size_t i = 0; i < count; i++) {
		if (top.type != '%' && (!value_take(&rest, &value) || value.count != 2))
			return;
		if (!value_take(&rest, &value) || value.count || !entries_tell(telling, value.text, &rest))
			return;
	}
}

/* A message, or a list of them. */
static void plain_tell(struct telling *telling, struct view key, struct view rest)
{
	struct value value, element;

	if (!value_take(&rest, &value))
		return;
	if (strchr("$=", value.type) && !view_is(value.text, "-1"))
		message_tell(telling, key, value.text);
	for (size_t i = 0; i < value.count && value_take(&rest, &element) && !element.count; i++)
		message_tell(telling, key, element.text);
}

static void popped_tell(struct telling *telling, struct view rest)
{
	struct value value, key;

	if (value_take(&rest, &value) && value.count >= 2 && value_take(&rest, &key) && value_take(&rest, &value) && !value.count)
		message_tell(telling, key.text, value.text);
}

static void reply_tell(const struct redis_carried *carried, struct telling *telling)
{
	struct view rest = carried->reply;
	struct view arguments = carried->arguments;
	struct view key = {"", 0};
	struct value value;

	(void)argument_take(&arguments, &key);
	telling->event.command = "deliver";
	switch (carried->carrier->kind) {
	case BRINGS_STREAMS:
		streams_tell(telling, rest);
		break;
	case BRINGS_ENTRIES:
		telling->event.complete = "redelivered";
		(void)entries_tell(telling, key, &rest);
		break;
	case BRINGS_CLAIMED:
		telling->event.complete = "redelivered";
		if (value_take(&rest, &value) && value.count >= 2 && value_skip(&rest))
			(void)entries_tell(telling, key, &rest);
		break;
	case BRINGS_POPPED:
		popped_tell(telling, rest);
		break;
	case BRINGS_SEVERAL:
		if (value_take(&rest, &value) && value.count == 2 && value_take(&rest, &value))
			plain_tell(telling, value.text, rest);
		break;
	case BRINGS_PLAIN:
		plain_tell(telling, key, rest);
		break;
	case CARRIES_CHANNEL:
	case CARRIES_LIST:
	case CARRIES_STREAM:
	case CARRIES_ACK:
		break;
	}
}

void redis_messages_tell(const struct redis_carried *carried, reader_tell *tell, void *self)
{
	struct telling telling = {.tell = tell, .self = self, .left = REDIS_MESSAGES_TOLD_MAX};

	telling.event.complete = "";
	telling.event.begun_us = carried->begun_us;
	telling.event.ended_us = carried->ended_us;
	(redis_carrier_delivers(carried->carrier) ? reply_tell : arguments_tell)(carried, &telling);
}

void redis_push_tell(struct view value, int64_t now_us, reader_tell *tell, void *self)
{
	struct telling telling = {.tell = tell, .self = self, .left = 1};
	struct value head, kind, channel, message;

	telling.event = (struct reader_event){.command = "deliver", .complete = "", .begun_us = now_us, .ended_us = now_us};
	if (!value_take(&value, &head) || head.count < 3 || head.count > 4 || !value_take(&value, &kind) ||
	    !view_ends(kind.text, VIEW("message")))
		return;
	if (head.count == 4 && !value_take(&value, &channel)) /* the pattern */
		return;
	if (value_take(&value, &channel) && value_take(&value, &message) && !message.count)
		message_tell(&telling, channel.text, message.text);
}
