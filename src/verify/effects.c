/* What requests take away. */
#include "verify/effects.h"

#include <strings.h>

#include "base/buf.h"
#include "base/scope.h"
#include "verify/call.h"

#define NAME_MAX ((size_t)64 << 10)

/* Commands of Redis after which something is gone or counted; what is set again is mostly a cache. */
static bool takes_away(struct view command)
{
	static const char *const rows[] = {"DEL",
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
					   "XDEL",
					   "XTRIM",
					   "ZREMRANGEBYSCORE",
					   "ZREMRANGEBYRANK",
					   "ZPOPMAX",
					   "INCR",
					   "DECR",
					   "INCRBY",
					   "DECRBY",
					   "HINCRBY",
					   "ZINCRBY",
					   "INCRBYFLOAT"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (command.length == strlen(rows[i]) && strncasecmp(command.at, rows[i], command.length) == 0)
			return true;
	return false;
}

json_t *effects_of(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");
	json_t *names = json_object();

	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *exchange = json_array_get(seams, i);
		AUTO_BUF name = buf_new(NAME_MAX);
		AUTO_BUF command = buf_new(NAME_MAX);

		if (!call_is(exchange, "redis") || json_text(exchange, "error", NULL))
			continue;
		call_statement(&command, exchange);
		if (!takes_away(view_cut(buf_view(&command), ' ', &(struct view){0})))
			continue;
		call_edge(&name, exchange, inside);
		buf_add_format(&name, " %s", command.at);
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
