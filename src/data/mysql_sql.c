/* MariaDB's words for masks, scans and comparisons. */
#include "data/mysql_sql.h"

#include "base/scope.h"
#include "data/mysql_wire.h"

#define WORK_LIMIT_MS ((int64_t)6 * 3600000)
#define TRIGGERS_MAX 10000
#define SESSION_MODE "NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"

static const char columns_sql[] =
	"SELECT '', c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, "
	"CASE WHEN c.DATA_TYPE IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext') THEN 'text' "
	"WHEN c.DATA_TYPE IN ('bigint', 'decimal') THEN 'number' "
	"WHEN c.DATA_TYPE LIKE '%blob' OR c.DATA_TYPE LIKE '%binary' OR c.DATA_TYPE IN ('bit', 'geometry', 'point', 'polygon', 'linestring') "
	"THEN 'bytes' ELSE 'other' END, "
	"CASE WHEN c.DATA_TYPE IN ('char', 'varchar') THEN c.CHARACTER_MAXIMUM_LENGTH END, "
	"CASE c.DATA_TYPE WHEN 'tinyint' THEN 127 WHEN 'smallint' THEN 32767 WHEN 'mediumint' THEN 8388607 WHEN 'int' THEN 2147483647 "
	"WHEN 'bigint' THEN 9223372036854775807 END, "
	"c.IS_GENERATED = 'ALWAYS', "
	"EXISTS (SELECT 1 FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME "
	"AND s.COLUMN_NAME = c.COLUMN_NAME AND s.NON_UNIQUE = 0), 0, "
	"(SELECT k.ORDINAL_POSITION FROM information_schema.KEY_COLUMN_USAGE k WHERE k.TABLE_SCHEMA = c.TABLE_SCHEMA "
	"AND k.TABLE_NAME = c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME AND k.CONSTRAINT_NAME = 'PRIMARY') "
	"FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) "
	"WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION";

static const char keys_sql[] =
	"SELECT CONSTRAINT_NAME, '', TABLE_NAME, COLUMN_NAME, '', REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME "
	"FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_SCHEMA = DATABASE() "
	"ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";

static int query(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	return mysql_wire_query(&sql->wire, text, rows, rows_max, cut, err);
}

/* Triggers cannot rest: they are taken away, each as the statement that makes it and the mode it was made in. */
static int trigger_take(struct sql *sql, const char *name, struct err *err)
{
	AUTO_BUF quoted = buf_new(4096);
	AUTO_FREE char *show = NULL;
	AUTO_JSON rows = json_array();

	if (!name)
		return err_set(err, ERR_BROKEN, "the server has a trigger without a name");
	sql_add_name(sql, &quoted, name);
	show = text_format("SHOW CREATE TRIGGER %s", quoted.at);
	if (query(sql, show, rows, 1, NULL, err))
		return -1;
	/* Once it is dropped, this is all that makes it again. */
	if (!json_is_string(json_array_get(json_array_get(rows, 0), 1)) ||
	    !json_is_string(json_array_get(json_array_get(rows, 0), 2)))
		return err_set(err, ERR_BROKEN, "the server does not say how trigger %s is made", name);
	if (sql_run(sql, err, "DROP TRIGGER %s", quoted.at))
		return -1;
	(void)json_array_append(sql->aside, json_array_get(rows, 0));
	return 0;
}

static int begin(struct sql *sql, struct err *err)
{
	AUTO_JSON names = json_array();
	size_t index;
	json_t *row;

	sql->aside = json_array();
	if (sql_run(sql, err, "SET foreign_key_checks = 0") ||
	    query(sql,
		  "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY EVENT_OBJECT_TABLE, "
		  "ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
		  names, TRIGGERS_MAX, NULL, err))
		return -1;
	json_array_foreach(names, index, row)
		if (trigger_take(sql, json_string_value(json_array_get(row, 0)), err))
			return -1;
	return 0;
}

static int end(struct sql *sql, struct err *err)
{
	size_t index;
	json_t *row;

	json_array_foreach(sql->aside, index, row) {
		AUTO_BUF mode = buf_new(4096);

		sql_add_text(&mode, json_string_value(json_array_get(row, 1)));
		if (sql_run(sql, err, "SET sql_mode = %s", mode.at) ||
		    query(sql, json_string_value(json_array_get(row, 2)), NULL, 0, NULL, err))
			return -1;
	}
	return sql_run(sql, err, "SET sql_mode = '" SESSION_MODE "'") || sql_run(sql, err, "SET foreign_key_checks = 1") ? -1 : 0;
}

/* What was there is in undo and redo logs, which nothing empties: the data is written anew (engine_ops.rewriter). */
static int scrub(struct sql *sql, struct err *err)
{
	(void)sql;
	(void)err;
	return 0;
}

static const struct sql_ops ops = {
	.quote = '`',
	.columns = columns_sql,
	.keys = keys_sql,
	.elsewhere = "SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN "
		     "('mysql', 'information_schema', 'performance_schema', 'sys', DATABASE()) LIMIT 1",
	.as_text = "CAST(%s AS CHAR(1000000) CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
	.matches = "%s REGEXP %s",
	.insert_all = "",
	.value_index = "CREATE INDEX assay_old_v ON assay_old (old(191))",
	.update_joins = true,
	.row_digest = "left(md5(concat_ws(',', ",
	.row_digest_end = ")), 16)",
	.query = query,
	.begin = begin,
	.end = end,
	.scrub = scrub,
};

int mysql_sql_open(const struct engine_target *target, int fd, struct sql *sql, struct err *err)
{
	return mysql_sql_open_for(target, fd, WORK_LIMIT_MS, sql, err);
}

int mysql_sql_open_for(const struct engine_target *target, int fd, int64_t limit_ms, struct sql *sql, struct err *err)
{
	*sql = (struct sql){.ops = &ops, .wire = wire_new(fd, limit_ms, ENGINE_REPLY_BYTES_MAX)};
	if (mysql_wire_start(&sql->wire, target->database->user, err))
		return -1;
	return sql_run(sql, err, "SET NAMES utf8mb4") || sql_run(sql, err, "SET sql_mode = '" SESSION_MODE "'") ||
			       sql_run(sql, err, "SET time_zone = '+00:00'") ||
			       sql_run(sql, err, "USE `%s`", target->database->database)
		       ? -1
		       : 0;
}
