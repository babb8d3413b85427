/* PostgreSQL's words for masks, scans and subsets. */
#include "data/postgres_sql.h"

#include "base/scope.h"
#include "data/postgres_wire.h"

#define WORK_LIMIT_MS ((int64_t)6 * 3600000)
#define NAMES_MAX 10000

static const char columns_sql[] =
	"SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), "
	"CASE WHEN b.typcategory = 'S' OR b.typname IN ('json', 'jsonb', 'xml', 'bytea', 'hstore') OR b.typcategory = 'A' THEN 'text' "
	"WHEN b.typname IN ('int8', 'numeric') THEN 'number' ELSE 'other' END, "
	"CASE WHEN b.typname IN ('varchar', 'bpchar') AND greatest(a.atttypmod, t.typtypmod) > 4 THEN greatest(a.atttypmod, t.typtypmod) - 4 END, "
	"CASE b.typname WHEN 'int2' THEN 32767 WHEN 'int4' THEN 2147483647 WHEN 'int8' THEN 9223372036854775807 END, "
	"a.attgenerated <> '', "
	"EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND (a.attnum = ANY (i.indkey) OR i.indexprs IS NOT NULL)), "
	"c.relkind = 'p' "
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
	"JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid) "
	"WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped "
	"AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY n.nspname, c.relname, a.attnum";

static const char keys_sql[] =
	"SELECT k.conname, n.nspname, c.relname, a.attname, pn.nspname, p.relname, pa.attname "
	"FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
	"JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace "
	"CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(child, parent, place) "
	"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.child JOIN pg_attribute pa ON pa.attrelid = p.oid AND pa.attnum = u.parent "
	"WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY n.nspname, c.relname, k.conname, u.place";

static int query(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	return postgres_wire_query(&sql->wire, text, rows, rows_max, cut, err);
}

static int begin(struct sql *sql, struct err *err)
{
	return sql_run(sql, err, "SET session_replication_role = replica");
}

static int end(struct sql *sql, struct err *err)
{
	return sql_run(sql, err, "SET session_replication_role = origin");
}

/* Views that hold rows are made again in the order in which they were made. Rewriting every table leaves no old row version in a file,
 * and the statistics are those of what is there now. What the log of changes holds goes with it, when the server has stopped. */
static int scrub(struct sql *sql, struct err *err)
{
	AUTO_JSON views = json_array();
	size_t index;
	json_t *row;

	if (query(sql, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid", views,
		  NAMES_MAX, NULL, err))
		return -1;
	json_array_foreach(views, index, row) {
		const char *name = json_string_value(json_array_get(row, 0));

		if (!name)
			return err_set(err, ERR_BROKEN, "the server has a view without a name");
		if (sql_run(sql, err, "REFRESH MATERIALIZED VIEW %s", name))
			return -1;
	}
	return sql_run(sql, err, "VACUUM (FULL, ANALYZE)") || sql_run(sql, err, "VACUUM (FULL) pg_statistic") ? -1 : 0;
}

static const struct sql_ops ops = {
	.default_schema = "public",
	.quote = '"',
	.columns = columns_sql,
	.keys = keys_sql,
	.elsewhere =
		"SELECT datname FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', current_database()) LIMIT 1",
	.as_text = "(%s)::text",
	.matches = "%s ~ %s",
	.cast = "::%s",
	.insert_all = " OVERRIDING SYSTEM VALUE",
	.query = query,
	.begin = begin,
	.end = end,
	.scrub = scrub,
};

int postgres_sql_open(const struct engine_target *target, int fd, struct sql *sql, struct err *err)
{
	*sql = (struct sql){.ops = &ops, .wire = wire_new(fd, WORK_LIMIT_MS, ENGINE_REPLY_BYTES_MAX)};
	if (postgres_wire_start(&sql->wire, target->database->user, target->database->database, err))
		return -1;
	return sql_run(sql, err, "SET datestyle = 'ISO, YMD'") || sql_run(sql, err, "SET bytea_output = 'escape'") ||
			       sql_run(sql, err, "SET client_min_messages = error") ||
			       sql_run(sql, err, "SET row_security = off") ||
			       sql_run(sql, err, "SET search_path = pg_catalog, public")
		       ? -1
		       : 0;
}
