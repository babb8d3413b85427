/* What requests take away. */
#include "verify/effects.h"

#include <strings.h>

#include "base/buf.h"
#include "base/scope.h"
#include "verify/call.h"

#define NAME_MAX ((size_t)64 << 10)

/* Commands of Redis after which something is gone or counted; what is set again is mostly a cache. */
static const char *const taking[] = {"DEL",
				     "UNLINK",
				     "GETDEL",
				     "HDEL",
				     "LPOP",
				     "RPOP",
				     "LREM",
				     "LTRIM",
				     "SREM",
				     "SPOP",
				     "ZREM",
				     "ZPOPMIN",
				     "ZPOPMAX",
				     "ZREMRANGEBYSCORE",
				     "ZREMRANGEBYRANK",
				     "XDEL",
				     "XTRIM",
				     "INCR",
				     "DECR",
				     "INCRBY",
				     "DECRBY",
				     "HINCRBY",
				     "ZINCRBY",
				     "INCRBYFLOAT"};
/* Those after which there is something: a lock, a number of requests under way. */
static const char *const making[] = {"SET",  "SETNX",  "SETEX",   "PSETEX", "GETSET", "MSET", "HSET", "HMSET", "HSETNX",
				     "INCR", "INCRBY", "HINCRBY", "LPUSH",  "RPUSH",  "SADD", "ZADD", "XADD"};

static bool is_one_of(const char *const *commands, size_t count, struct view command)
{
	for (size_t i = 0; i < count; i++)
		if (command.length == strlen(commands[i]) && strncasecmp(command.at, commands[i], command.length) == 0)
			return true;
	return false;
}

/* "front > cache cart:…" of a command for its key; owned. `command` is set to the command alone, borrowed from `text`. */
static char *place_of(const json_t *exchange, const json_t *inside, struct buf *text, struct view *command)
{
	AUTO_BUF edge = buf_new(NAME_MAX);
	struct view key;

	call_edge(&edge, exchange, inside);
	call_statement(text, exchange);
	*command = view_cut(buf_view(text), ' ', &key);
	return text_format("%s %.*s", edge.at, (int)key.length, key.length ? key.at : "");
}

json_t *effects_of(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");
	AUTO_JSON made = json_object();
	json_t *names = json_object();

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < json_array_size(seams); i++) {
			const json_t *exchange = json_array_get(seams, i);
			AUTO_BUF text = buf_new(NAME_MAX);
			AUTO_FREE char *place = NULL;
			AUTO_BUF name = buf_new(NAME_MAX);
			struct view command;

			if (!call_is(exchange, "redis") || json_text(exchange, "error", NULL))
				continue;
			place = place_of(exchange, inside, &text, &command);
			if (pass == 0 && is_one_of(making, ARRAY_LEN(making), command))
				(void)json_object_set_new(made, place, json_true());
			if (pass == 0 || !is_one_of(taking, ARRAY_LEN(taking), command) || json_object_get(made, place))
				continue;
			call_edge(&name, exchange, inside);
			buf_add_format(&name, " %s", text.at);
			(void)json_object_set_new(names, name.at, json_true());
		}
	return names;
}

char *effects_first_early(const json_t *whole, const json_t *base, const json_t *again, const json_t *head, const json_t *inside)
{
	AUTO_JSON wanted = effects_of(whole, inside);
	AUTO_JSON before = effects_of(base, inside);
	AUTO_JSON once_more = effects_of(again, inside);
	AUTO_JSON now = effects_of(head, inside);
	const char *name;
	json_t *unused;

	json_object_foreach(now, name, unused)
		if (json_object_get(wanted, name) && !json_object_get(before, name) && !json_object_get(once_more, name))
			return text_copy(name);
	return NULL;
}
