/* Pages of a table. */
#include "store/list.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/scope.h"

void list_init(struct list_sql *list, const char *select)
{
	*list = (struct list_sql){.sql = buf_new(LIST_SQL_MAX), .pattern = buf_new(LIST_SQL_MAX)};
	buf_add_text(&list->sql, select);
}

void list_fini(struct list_sql *list)
{
	buf_fini(&list->sql);
	buf_fini(&list->pattern);
}

void list_value(struct list_sql *list, struct store_value value)
{
	if (list->count == LIST_VALUES_MAX)
		list->over = true;
	else
		list->values[list->count++] = value;
}

void list_condition(struct list_sql *list, const char *condition)
{
	buf_add_format(&list->sql, " %s %s", list->conditions ? "AND" : "WHERE", condition);
	list->conditions = true;
}

void list_any(struct list_sql *list, const char *column, const char *words)
{
	const char *mark = "?";

	if (!words || !*words)
		return;
	list_condition(list, column);
	buf_add_text(&list->sql, " IN (");
	for (struct view rest = view_of(words); rest.length; mark = ", ?") {
		buf_add_text(&list->sql, mark);
		list_value(list, V(view_trim(view_cut(rest, ',', &rest))));
	}
	buf_add_char(&list->sql, ')');
}

void list_text(struct list_sql *list, const char *columns, const char *text)
{
	AUTO_FREE char *condition = text_format("lower(%s) LIKE ? ESCAPE '\\'", columns);

	if (!text || !*text)
		return;
	list_condition(list, condition);
	buf_add_char(&list->pattern, '%');
	for (; *text; text++) {
		if (strchr("%_\\", *text))
			buf_add_char(&list->pattern, '\\');
		buf_add_char(&list->pattern, (char)tolower((unsigned char)*text));
	}
	buf_add_char(&list->pattern, '%');
	list_value(list, V(buf_view(&list->pattern)));
}

int list_query(struct list_sql *list, struct store_tx *tx, struct store_rows *rows, const char *key, const struct list_ask *ask,
	       struct err *err)
{
	AUTO_FREE char *below = text_format("%s < ?", key);

	list->limit = ask->limit ? ask->limit : LIST_LIMIT_DEFAULT;
	if (list->limit < 1 || list->limit > LIST_LIMIT_MAX)
		return err_set(err, ERR_INVALID, "limit: expected 1 to %d", LIST_LIMIT_MAX);
	if (ask->after) {
		list_condition(list, below);
		list_value(list, V(ask->after));
	}
	buf_add_format(&list->sql, " ORDER BY %s DESC LIMIT ?", key);
	list_value(list, V(list->limit + 1));
	if (list->over)
		return err_set(err, ERR_LIMIT, "a filter has too many words");
	if (buf_finish(&list->sql, err) || buf_finish(&list->pattern, err))
		return err_prefix(err, "a filter");
	return store_query(tx, rows, list->sql.at, list->values, list->count, err);
}

bool list_takes(struct list_sql *list, int64_t key)
{
	if (list->taken == list->limit) {
		list->next = list->last;
		return false;
	}
	list->taken++;
	list->last = key;
	return true;
}

json_t *list_page(const struct list_sql *list, json_t *items)
{
	char next[32];

	(void)snprintf(next, sizeof(next), "%" PRId64, list->next);
	return json_pack("{s:o, s:s*}", "items", items, "next", list->next ? next : NULL);
}
