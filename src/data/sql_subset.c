/*
 * A part of a database that is whole in itself.
 *
 * Theory of operation. Rows of the tables that rules name are removed by their rule. Then, until nothing changes: what refers to a row
 * that is not there any more goes too, and in a table that is to hold only what is referred to, what nothing refers to. Rows are
 * only ever removed, so that ends; what is left has every row that it refers to.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "data/sql.h"

#define ROUNDS_MAX 1000

struct cutting {
	struct sql *sql;
	const struct subset_rule *rules;
	size_t rule_count;
	struct sql_schema schema;
	bool changed;
};

static bool rule_names(const struct sql *sql, const struct subset_rule *rule, const char *schema, const char *table)
{
	AUTO_FREE char *shown = sql_table_shown(sql, schema, table);
	AUTO_FREE char *whole = text_format("%s.%s", schema, table);

	return strcmp(rule->table, shown) == 0 || strcmp(rule->table, whole) == 0;
}

/* The first column of the table that a rule names; NULL: there is none. */
static const struct sql_column *rule_table(const struct cutting *cutting, const struct subset_rule *rule)
{
	for (size_t i = 0; i < cutting->schema.column_count; i++)
		if (rule_names(cutting->sql, rule, cutting->schema.columns[i].schema, cutting->schema.columns[i].table))
			return &cutting->schema.columns[i];
	return NULL;
}

static int rows_count(struct cutting *cutting, const char *schema, const char *table, int64_t *count, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);

	buf_add_text(&text, "SELECT count(*) FROM ");
	sql_add_table(cutting->sql, &text, schema, table);
	return buf_finish(&text, err) ? -1 : sql_number(cutting->sql, text.at, count, err);
}

/* DELETE FROM table WHERE condition, and whether that changed anything. */
static int rows_remove(struct cutting *cutting, const char *schema, const char *table, const char *condition, struct err *err)
{
	AUTO_BUF name = buf_new(4096);
	int64_t before = 0;
	int64_t after = 0;

	sql_add_table(cutting->sql, &name, schema, table);
	if (rows_count(cutting, schema, table, &before, err) ||
	    sql_run(cutting->sql, err, "DELETE FROM %s WHERE %s", name.at, condition) ||
	    rows_count(cutting, schema, table, &after, err))
		return err_prefix(err, "subset: %s", table);
	cutting->changed = cutting->changed || before != after;
	return 0;
}

/* One in so many of the values of a row, always the same ones: a digest of all of them decides. */
static int percent_keep(struct cutting *cutting, const struct sql_column *first, int percent, struct err *err)
{
	const struct sql_schema *schema = &cutting->schema;
	AUTO_BUF condition = buf_new(SQL_STATEMENT_MAX);

	buf_add_text(&condition, "substr(md5(concat_ws(',', ''");
	for (const struct sql_column *at = first; at < schema->columns + schema->column_count && sql_same_table(first, at); at++) {
		AUTO_BUF name = buf_new(4096);

		sql_add_as_text(cutting->sql, &name, NULL, at->name);
		buf_add_format(&condition, ", %s", name.at);
	}
	buf_add_format(&condition, ")), 1, 4) >= '%04x'", percent * 65536 / 100);
	return buf_finish(&condition, err) ? -1 : rows_remove(cutting, first->schema, first->table, condition.at, err);
}

static int rule_cut(struct cutting *cutting, const struct subset_rule *rule, struct err *err)
{
	const struct sql_column *first = rule_table(cutting, rule);
	AUTO_FREE char *condition = NULL;

	if (!first)
		return err_set(err, ERR_NOT_FOUND, "subset: there is no table %s", rule->table);
	if (rule->percent)
		return rule->percent < 100 ? percent_keep(cutting, first, rule->percent, err) : 0;
	if (!rule->where)
		return 0; /* by what refers to it, later */
	condition = text_format("NOT coalesce((%s), false)", rule->where);
	return rows_remove(cutting, first->schema, first->table, condition, err);
}

/* child.a = parent.b AND …, of which one is the table that rows are removed from. */
static void join_add(const struct cutting *cutting, struct buf *out, const struct sql_key *key, bool of_child)
{
	AUTO_BUF own = buf_new(4096);

	sql_add_table(cutting->sql, &own, of_child ? key->schema : key->parent_schema, of_child ? key->table : key->parent_table);
	for (size_t part = 0; part < key->parts; part++) {
		buf_add_format(out, "%sother.", part ? " AND " : "");
		sql_add_name(cutting->sql, out, of_child ? key->parent_columns[part] : key->columns[part]);
		buf_add_format(out, " = %s.", own.at);
		sql_add_name(cutting->sql, out, of_child ? key->columns[part] : key->parent_columns[part]);
	}
}

/* The other end's rows are read from a copy of their keys: not every server removes from a table that it reads. */
static void other_add(const struct cutting *cutting, struct buf *out, const struct sql_key *key, bool of_child)
{
	buf_add_text(out, "(SELECT ");
	for (size_t part = 0; part < key->parts; part++) {
		buf_add_text(out, part ? ", " : "");
		sql_add_name(cutting->sql, out, of_child ? key->parent_columns[part] : key->columns[part]);
	}
	buf_add_text(out, " FROM ");
	sql_add_table(cutting->sql, out, of_child ? key->parent_schema : key->schema, of_child ? key->parent_table : key->table);
	buf_add_text(out, ") other");
}

static int orphans_remove(struct cutting *cutting, const struct sql_key *key, struct err *err)
{
	AUTO_BUF condition = buf_new(SQL_STATEMENT_MAX);

	for (size_t part = 0; part < key->parts; part++) {
		sql_add_name(cutting->sql, &condition, key->columns[part]);
		buf_add_text(&condition, " IS NOT NULL AND ");
	}
	buf_add_text(&condition, "NOT EXISTS (SELECT 1 FROM ");
	other_add(cutting, &condition, key, true);
	buf_add_text(&condition, " WHERE ");
	join_add(cutting, &condition, key, true);
	buf_add_char(&condition, ')');
	return buf_finish(&condition, err) ? -1 : rows_remove(cutting, key->schema, key->table, condition.at, err);
}

/* In a table that is to hold what is referred to: rows that no key leads to. */
static int unreferred_remove(struct cutting *cutting, const struct subset_rule *rule, struct err *err)
{
	const struct sql_column *table = rule_table(cutting, rule);
	AUTO_BUF condition = buf_new(SQL_STATEMENT_MAX);

	for (size_t i = 0; i < cutting->schema.key_count; i++) {
		const struct sql_key *key = &cutting->schema.keys[i];

		if (strcmp(key->parent_schema, table->schema) != 0 || strcmp(key->parent_table, table->table) != 0)
			continue;
		buf_add_text(&condition, condition.length ? " AND NOT EXISTS (SELECT 1 FROM " : "NOT EXISTS (SELECT 1 FROM ");
		other_add(cutting, &condition, key, false);
		buf_add_text(&condition, " WHERE ");
		join_add(cutting, &condition, key, false);
		buf_add_char(&condition, ')');
	}
	if (!condition.length)
		return err_set(err, ERR_INVALID, "subset: nothing refers to %s by a foreign key: say how much of it is kept",
			       rule->table);
	return buf_finish(&condition, err) ? -1 : rows_remove(cutting, table->schema, table->table, condition.at, err);
}

static int cut_all(struct cutting *cutting, struct err *err)
{
	for (size_t i = 0; i < cutting->rule_count; i++)
		if (rule_cut(cutting, &cutting->rules[i], err))
			return -1;
	cutting->changed = true;
	for (int round = 0; cutting->changed; round++) {
		if (round == ROUNDS_MAX)
			return err_set(err, ERR_LIMIT, "subset: after %d rounds there is still more to remove", ROUNDS_MAX);
		cutting->changed = false;
		for (size_t i = 0; i < cutting->schema.key_count; i++)
			if (orphans_remove(cutting, &cutting->schema.keys[i], err))
				return -1;
		for (size_t i = 0; i < cutting->rule_count; i++)
			if (!cutting->rules[i].percent && !cutting->rules[i].where &&
			    unreferred_remove(cutting, &cutting->rules[i], err))
				return -1;
	}
	return 0;
}

int sql_subset(struct sql *sql, const struct subset_rule *rules, size_t rule_count, struct err *err)
{
	struct cutting cutting = {.sql = sql, .rules = rules, .rule_count = rule_count};
	int result = sql_schema_read(sql, &cutting.schema, err);

	if (result == 0)
		result = sql->ops->begin(sql, err) || cut_all(&cutting, err) || sql->ops->end(sql, err) || sql->ops->scrub(sql, err)
				 ? -1
				 : 0;
	sql_schema_fini(&cutting.schema);
	return result;
}
