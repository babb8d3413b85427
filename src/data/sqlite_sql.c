/*
 * SQLite's words for masks, scans and comparisons. Any column may hold a value of any type, so what stands in one is asked of the value
 * and not of the column's declaration. Full-text indexes are tables of their own: one that holds its text is a table like any other,
 * by its rowid; one over another table's text is made anew from that, and one without any text cannot be.
 */
#include "data/sqlite_sql.h"

#include "base/scope.h"
#include "data/postgres_wire.h"

#define WORK_LIMIT_MS ((int64_t)6 * 3600000)
#define NAMES_MAX 10000

/* A full-text table, and one of those whose text is elsewhere; `m` is its row of sqlite_master. */
#define IS_SEARCH "lower(m.sql) LIKE 'create virtual table%using fts%'"
#define IS_ELSEWHERE "replace(lower(m.sql), ' ', '') LIKE '%content=%'"
#define IS_TABLE                                                                                                                  \
	"(t.type = 'table' OR (t.type = 'virtual' AND EXISTS (SELECT 1 FROM sqlite_master m WHERE m.name = t.name AND " IS_SEARCH \
	" AND NOT " IS_ELSEWHERE ")))"

static const char columns_sql[] =
	"SELECT '', t.name, c.name, c.type, "
	"CASE WHEN upper(c.type) LIKE '%INT%' OR upper(c.type) LIKE '%REAL%' OR upper(c.type) LIKE '%FLOA%' OR upper(c.type) LIKE '%DOUB%' "
	"OR upper(c.type) LIKE '%NUMERIC%' OR upper(c.type) LIKE '%DECIMAL%' THEN 'number' ELSE 'text' END, "
	"CASE WHEN upper(c.type) LIKE '%CHAR%(%' THEN CAST(substr(c.type, instr(c.type, '(') + 1) AS INTEGER) END, "
	"CASE WHEN upper(c.type) LIKE '%INT%' THEN 9223372036854775807 END, "
	"c.hidden IN (2, 3), "
	"c.pk > 0 OR EXISTS (SELECT 1 FROM pragma_index_list(t.name) i JOIN pragma_index_info(i.name) k WHERE i.\"unique\" AND k.name = c.name), "
	"0, c.pk FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c WHERE t.schema = 'main' AND c.hidden <> 1 "
	"AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND " IS_TABLE " "
	"UNION ALL SELECT '', t.name, 'rowid', 'INTEGER', 'other', NULL, 9223372036854775807, 0, 1, 0, 1 FROM pragma_table_list t "
	"WHERE t.schema = 'main' AND t.type = 'virtual' AND " IS_TABLE " ORDER BY 2, 11, 3";

static const char keys_sql[] =
	"SELECT f.id, '', t.name, f.\"from\", '', p.name, coalesce(f.\"to\", "
	"(SELECT c.name FROM pragma_table_info(p.name) c WHERE c.pk = f.seq + 1)) "
	"FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f JOIN pragma_table_list p ON p.schema = 'main' AND p.name = f.\"table\" COLLATE NOCASE "
	"WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, f.id, f.seq";

static int query(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	return postgres_wire_query(&sql->wire, text, rows, rows_max, cut, err);
}

static int begin(struct sql *sql, struct err *err)
{
	return sql_run(sql, err, "PRAGMA foreign_keys = OFF") || sql_run(sql, err, "PRAGMA synchronous = OFF") ? -1 : 0;
}

static int end(struct sql *sql, struct err *err)
{
	(void)sql;
	(void)err;
	return 0;
}

/* Every name that `list` gives, put into a statement at its "%s", quoted, however often. */
static int each_run(struct sql *sql, const char *list, const char *statement, struct err *err)
{
	AUTO_JSON names = json_array();
	size_t index;
	json_t *row;

	if (query(sql, list, names, NAMES_MAX, NULL, err))
		return -1;
	json_array_foreach(names, index, row) {
		const char *name = json_string_value(json_array_get(row, 0));
		AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);
		const char *at = statement;

		if (!name)
			return err_set(err, ERR_BROKEN, "the database has a table without a name");
		for (const char *place; (place = strstr(at, "%s")); at = place + 2) {
			buf_add(&text, at, (size_t)(place - at));
			sql_add_name(sql, &text, name);
		}
		buf_add_text(&text, at);
		if (buf_finish(&text, err) || query(sql, text.at, NULL, 0, NULL, err))
			return err_prefix(err, "%s", name);
	}
	return 0;
}

/* Statistics hold values, full-text indexes hold words, and pages that are free what stood in them. */
static int scrub(struct sql *sql, struct err *err)
{
	static const char statistics[] =
		"SELECT name FROM sqlite_master WHERE name LIKE 'sqlite\\_stat%' ESCAPE '\\' AND type = 'table'";
	static const char searches[] = "SELECT m.name FROM sqlite_master m WHERE " IS_SEARCH;
	AUTO_JSON rows = json_array();

	if (query(sql, statistics, rows, 1, NULL, err) || each_run(sql, statistics, "DELETE FROM %s", err) ||
	    each_run(sql, searches, "INSERT INTO %s(%s) VALUES ('rebuild')", err) ||
	    (json_array_size(rows) && sql_run(sql, err, "ANALYZE")))
		return -1;
	return sql_run(sql, err, "VACUUM") || sql_run(sql, err, "PRAGMA wal_checkpoint(TRUNCATE)") ? -1 : 0;
}

static const struct sql_ops ops = {
	.quote = '"',
	.columns = columns_sql,
	.keys = keys_sql,
	.as_text = "assay_text(%s)",
	.matches = "%s REGEXP %s",
	.insert_all = "",
	.value_index = "CREATE INDEX assay_old_v ON assay_old (old)",
	.row_digest = "substr(md5(concat_ws(',', ",
	.row_digest_end = ")), 1, 16)",
	.as_json = "CASE typeof(%s) WHEN 'blob' THEN hex(%s) ELSE %s END",
	.query = query,
	.begin = begin,
	.end = end,
	.scrub = scrub,
};

int sqlite_sql_open(const struct engine_target *target, int fd, struct sql *sql, struct err *err)
{
	return sqlite_sql_open_for(target, fd, WORK_LIMIT_MS, sql, err);
}

int sqlite_sql_open_for(const struct engine_target *target, int fd, int64_t limit_ms, struct sql *sql, struct err *err)
{
	*sql = (struct sql){.ops = &ops, .wire = wire_new(fd, limit_ms, ENGINE_REPLY_BYTES_MAX)};
	return postgres_wire_start(&sql->wire, target->database->user, target->database->database, err);
}
