/*
 * Masks in a SQL database.
 *
 * Theory of operation. Rules are bound to columns; a foreign key carries a rule to its other end, until nothing changes. A table with
 * rules is copied into a temporary one; for each of its columns the distinct values are numbered (assay_old), what stands for each is
 * computed here, outside of the database, and put beside it (assay_new); one UPDATE replaces them in the copy. Then the table is emptied
 * and filled from the copy: values may change places in a unique column, and no trigger, key or cascade acts meanwhile. The key never
 * enters the database.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "data/leaves.h"
#include "data/sql.h"

#define BATCH_BYTES ((size_t)512 << 10)
#define RULES_OF_COLUMN_MAX 64

/* The rules that a column has: one for all of it, or some for places in its JSON. */
struct bound {
	const struct mask_rule *rules[RULES_OF_COLUMN_MAX];
	size_t count;
	bool carried; /* by a foreign key */
};

struct masking {
	struct sql *sql;
	const struct sql_mask *mask;
	struct sql_schema schema;
	struct bound *bound; /* of each column */
	int64_t *orphans;    /* of each key, before */
};

static const char *rule_path(const struct mask_rule *rule)
{
	return rule->column + strcspn(rule->column, "/");
}

/* "schema.table.column" or "table.column", without what is within JSON. */
static bool rule_names(const struct sql *sql, const struct mask_rule *rule, const struct sql_column *column)
{
	AUTO_FREE char *table = sql_table_shown(sql, column->schema, column->table);
	AUTO_FREE char *name = text_format("%s.%s", table, column->name);
	AUTO_FREE char *whole = text_format("%s.%s.%s", column->schema, column->table, column->name);
	size_t length = strcspn(rule->column, "/");

	return (strlen(name) == length && strncmp(rule->column, name, length) == 0) ||
	       (strlen(whole) == length && strncmp(rule->column, whole, length) == 0);
}

static int rule_bind(struct masking *masking, const struct mask_rule *rule, struct err *err)
{
	struct bound *found = NULL;

	for (size_t i = 0; i < masking->schema.column_count; i++) {
		const struct sql_column *column = &masking->schema.columns[i];
		struct bound *bound = &masking->bound[i];

		if (!rule_names(masking->sql, rule, column))
			continue;
		found = bound;
		if (column->generated && rule->kind != MASK_KEEP)
			return err_set(err, ERR_INVALID, "mask: %s is computed from other columns: mask those", rule->column);
		if (bound->count && (!rule_path(rule)[0] || !rule_path(bound->rules[0])[0]))
			return err_set(err, ERR_INVALID, "mask: %s has more than one rule", rule->column);
		if (bound->count == RULES_OF_COLUMN_MAX)
			return err_set(err, ERR_LIMIT, "mask: %s: more than %d rules within one column", rule->column,
				       RULES_OF_COLUMN_MAX);
		bound->rules[bound->count++] = rule;
	}
	if (!found && masking->mask->all_there)
		return err_set(err, ERR_NOT_FOUND, "mask: there is no column %s", rule->column);
	return 0;
}

static struct bound *bound_of(struct masking *masking, const char *schema, const char *table, const char *name)
{
	for (size_t i = 0; i < masking->schema.column_count; i++)
		if (sql_column_is(&masking->schema.columns[i], schema, table, name))
			return &masking->bound[i];
	return NULL;
}

static bool is_masked(const struct bound *bound)
{
	return bound && bound->count && (bound->count > 1 || bound->rules[0]->kind != MASK_KEEP);
}

static bool same_rule(const struct mask_rule *a, const struct mask_rule *b)
{
	return a->kind == b->kind && (a->kind != MASK_FIXED || strcmp(a->fixed, b->fixed) == 0);
}

/* One pair of columns of a foreign key: they hold the same values, so the same is put in their place. */
static int pair_carry(const struct sql_key *key, size_t part, struct bound *child, struct bound *parent, bool *changed,
		      struct err *err)
{
	if (!child || !parent || (!is_masked(child) && !is_masked(parent)))
		return 0;
	/* A reference that is gone joins nothing, and may. */
	if (is_masked(child) && child->rules[0]->kind == MASK_NULL && !is_masked(parent))
		return 0;
	if (child->count && parent->count) {
		if (child->rules[0]->kind != MASK_NULL && !same_rule(child->rules[0], parent->rules[0]))
			return err_set(err, ERR_INVALID, "mask: %s.%s refers to %s.%s: both need the same rule", key->table,
				       key->columns[part], key->parent_table, key->parent_columns[part]);
		return 0;
	}
	struct bound *to = child->count ? parent : child;

	*to = *(child->count ? child : parent);
	to->carried = true;
	*changed = true;
	return 0;
}

static int keys_carry(struct masking *masking, struct err *err)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < masking->schema.key_count; i++) {
			const struct sql_key *key = &masking->schema.keys[i];

			for (size_t part = 0; part < key->parts; part++)
				if (pair_carry(key, part, bound_of(masking, key->schema, key->table, key->columns[part]),
					       bound_of(masking, key->parent_schema, key->parent_table, key->parent_columns[part]),
					       &changed, err))
					return -1;
		}
	}
	return 0;
}

/* ---- foreign keys still join ---- */

static void add_parts(const struct sql *sql, struct buf *text, const struct sql_key *key, const char *between, bool joins)
{
	for (size_t part = 0; part < key->parts; part++) {
		buf_add_text(text, part ? between : "");
		buf_add_text(text, "c.");
		sql_add_name(sql, text, key->columns[part]);
		buf_add_text(text, joins ? " = p." : " IS NOT NULL");
		if (joins)
			sql_add_name(sql, text, key->parent_columns[part]);
	}
}

static int orphans_count(struct masking *masking, const struct sql_key *key, int64_t *count, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);

	buf_add_text(&text, "SELECT count(*) FROM ");
	sql_add_table(masking->sql, &text, key->schema, key->table);
	buf_add_text(&text, " c WHERE ");
	add_parts(masking->sql, &text, key, " AND ", false);
	buf_add_text(&text, " AND NOT EXISTS (SELECT 1 FROM ");
	sql_add_table(masking->sql, &text, key->parent_schema, key->parent_table);
	buf_add_text(&text, " p WHERE ");
	add_parts(masking->sql, &text, key, " AND ", true);
	buf_add_char(&text, ')');
	return buf_finish(&text, err) ? -1 : sql_number(masking->sql, text.at, count, err);
}

static bool key_is_masked(struct masking *masking, const struct sql_key *key)
{
	bool masked = false;

	for (size_t part = 0; part < key->parts; part++)
		masked = masked || is_masked(bound_of(masking, key->schema, key->table, key->columns[part]));
	return masked;
}

static int keys_check(struct masking *masking, bool before, struct err *err)
{
	for (size_t i = 0; i < masking->schema.key_count; i++) {
		const struct sql_key *key = &masking->schema.keys[i];
		int64_t count = 0;

		if (!key_is_masked(masking, key))
			continue;
		if (orphans_count(masking, key, &count, err))
			return -1;
		if (before)
			masking->orphans[i] = count;
		else if (count > masking->orphans[i])
			return err_set(err, ERR_INVALID,
				       "mask: %lld rows of %s do not join %s any more (%s): their columns hold them differently",
				       (long long)(count - masking->orphans[i]), key->table, key->parent_table, key->name);
	}
	return 0;
}

/* ---- one column ---- */

struct column_work {
	struct masking *masking;
	const struct sql_column *column;
	const struct bound *bound;
	struct buf batch;
};

struct document_work {
	const struct column_work *work;
	struct view document;
	size_t copied;
	struct buf *out;
};

/* A number stays one where what stands for it can be one. */
static void leaf_put(const struct leaf *leaf, const struct mask_rule *rule, struct buf *masked, struct buf *out)
{
	bool number = !leaf->is_text && (rule->kind == MASK_NUMBER || rule->kind == MASK_PHONE || rule->kind == MASK_CARD);
	AUTO_JSON text = NULL;
	AUTO_FREE char *shown = NULL;

	if (rule->kind == MASK_NULL) {
		buf_add_text(out, "null");
		return;
	}
	if (number) {
		buf_add_view(out, buf_view(masked));
		return;
	}
	text = json_stringn(buf_view(masked).at, masked->length);
	shown = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
	buf_add_text(out, shown ? shown : "\"\"");
}

static int document_leaf(void *self, const struct leaf *leaf, struct err *err)
{
	struct document_work *document = self;
	const struct column_work *work = document->work;

	for (size_t i = 0; i < work->bound->count; i++) {
		const struct mask_rule *rule = work->bound->rules[i];
		AUTO_BUF masked = buf_new(MASK_VALUE_MAX);
		AUTO_FREE char *text = NULL;

		if (rule->kind == MASK_KEEP || !leaf_is_at(rule_path(rule), leaf->path))
			continue;
		text = leaf_text(leaf);
		if (!text)
			return err_set(err, ERR_INVALID, "a value is no JSON");
		if (rule->kind != MASK_NULL &&
		    mask_value(work->masking->mask->key, rule, &(struct mask_place){.length_max = 0}, view_of(text), &masked, err))
			return -1;
		buf_add(document->out, document->document.at + document->copied,
			(size_t)(leaf->raw.at - document->document.at) - document->copied);
		leaf_put(leaf, rule, &masked, document->out);
		document->copied = (size_t)(leaf->raw.at - document->document.at) + leaf->raw.length;
		return 0;
	}
	return 0;
}

static int document_mask(const struct column_work *work, struct view document, struct buf *out, struct err *err)
{
	struct document_work walk = {work, document, 0, out};

	if (leaves_walk(document, document_leaf, &walk, err))
		return -1;
	buf_add(out, document.at + walk.copied, document.length - walk.copied);
	return 0;
}

static int batch_flush(void *self, struct err *err)
{
	struct column_work *work = self;
	struct sql *sql = work->masking->sql;
	int result;

	if (!work->batch.length)
		return 0;
	if (buf_finish(&work->batch, err))
		return -1;
	result = sql->ops->query(sql, work->batch.at, NULL, 0, NULL, err);
	buf_clear(&work->batch);
	return result;
}

static int value_mask(void *self, const char *n, const char *old, struct err *err)
{
	struct column_work *work = self;
	const struct mask_rule *rule = work->bound->rules[0];
	const struct mask_place place = {work->column->length_max, work->column->number_max, work->column->unique};
	AUTO_BUF masked = buf_new(MASK_VALUE_MAX);
	int failed = rule_path(rule)[0] ? document_mask(work, view_of(old), &masked, err)
					: mask_value(work->masking->mask->key, rule, &place, view_of(old), &masked, err);

	if (failed || buf_finish(&masked, err) || (work->batch.length + masked.length > BATCH_BYTES && batch_flush(work, err)))
		return -1;
	buf_add_text(&work->batch, work->batch.length ? ", (" : "INSERT INTO assay_new VALUES (");
	buf_add_text(&work->batch, n);
	buf_add_text(&work->batch, ", ");
	sql_add_text(&work->batch, masked.at ? masked.at : "");
	buf_add_char(&work->batch, ')');
	return work->batch.length > BATCH_BYTES ? batch_flush(work, err) : 0;
}

static void set_add(const struct sql *sql, struct buf *text, const struct sql_column *column)
{
	const char *cast = sql->ops->cast;

	buf_add_text(text, sql->ops->update_joins ? "assay_rows." : "");
	sql_add_name(sql, text, column->name);
	buf_add_text(text, " = x.new");
	if (cast)
		buf_add_format(text, "%.*s%s%s", (int)strcspn(cast, "%"), cast, column->type, strstr(cast, "%s") + 2);
}

static int values_replace(struct sql *sql, const struct sql_column *column, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);
	AUTO_BUF value = buf_new(SQL_STATEMENT_MAX);

	sql_add_as_text(sql, &value, "assay_rows", column->name);
	buf_add_text(&text, "UPDATE assay_rows ");
	if (sql->ops->update_joins) {
		buf_add_format(&text, "JOIN assay_old o ON o.old = %s JOIN assay_new x ON x.n = o.n SET ", value.at);
		set_add(sql, &text, column);
	} else {
		buf_add_text(&text, "SET ");
		set_add(sql, &text, column);
		buf_add_format(&text, " FROM assay_old o JOIN assay_new x ON x.n = o.n WHERE o.old = %s", value.at);
	}
	return buf_finish(&text, err) ? -1 : sql->ops->query(sql, text.at, NULL, 0, NULL, err);
}

/* All of it becomes one thing. */
static int column_set(struct sql *sql, const struct sql_column *column, const struct mask_rule *rule, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);

	buf_add_text(&text, "UPDATE assay_rows SET ");
	sql_add_name(sql, &text, column->name);
	buf_add_text(&text, " = ");
	if (rule->kind == MASK_NULL)
		buf_add_text(&text, "NULL");
	else
		sql_add_text(&text, rule->fixed);
	buf_add_text(&text, " WHERE ");
	sql_add_name(sql, &text, column->name);
	buf_add_text(&text, " IS NOT NULL");
	return buf_finish(&text, err) ? -1 : sql->ops->query(sql, text.at, NULL, 0, NULL, err);
}

static int values_number(struct sql *sql, const struct sql_column *column, struct err *err)
{
	AUTO_BUF value = buf_new(SQL_STATEMENT_MAX);

	sql_add_as_text(sql, &value, NULL, column->name);
	return sql_run(sql, err,
		       "CREATE TEMPORARY TABLE assay_old AS SELECT row_number() OVER (ORDER BY v) AS n, v AS old FROM "
		       "(SELECT DISTINCT %s AS v FROM assay_rows) d WHERE v IS NOT NULL",
		       value.at) ||
			       sql_run(sql, err, "CREATE INDEX assay_old_n ON assay_old (n)") ||
			       (sql->ops->value_index && sql_run(sql, err, "%s", sql->ops->value_index)) ||
			       sql_run(sql, err, "CREATE TEMPORARY TABLE assay_new (n bigint PRIMARY KEY, new %s)",
				       sql->ops->update_joins ? "longtext" : "text")
		       ? -1
		       : 0;
}

/* Bytes that are no text are NULL as one: nothing would be put in their place. */
static int values_check(struct sql *sql, const struct sql_column *column, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);
	int64_t count = 0;

	buf_add_text(&text, "SELECT count(*) FROM assay_rows WHERE ");
	sql_add_name(sql, &text, column->name);
	buf_add_text(&text, " IS NOT NULL AND ");
	sql_add_as_text(sql, &text, NULL, column->name);
	buf_add_text(&text, " IS NULL");
	if (buf_finish(&text, err) || sql_number(sql, text.at, &count, err))
		return -1;
	return count ? err_set(err, ERR_INVALID, "values that are no text: only keep, null and fixed can be put in their place")
		     : 0;
}

static int column_mask(struct masking *masking, size_t index, struct err *err)
{
	struct column_work work = {masking, &masking->schema.columns[index], &masking->bound[index], buf_new(SQL_STATEMENT_MAX)};
	const struct mask_rule *rule = work.bound->rules[0];
	struct sql *sql = masking->sql;
	bool whole = !rule_path(rule)[0];
	int result;

	if (whole && (rule->kind == MASK_NULL || rule->kind == MASK_FIXED))
		result = column_set(sql, work.column, rule, err);
	else
		result = values_number(sql, work.column, err) || values_check(sql, work.column, err) ||
					 sql_pages(sql, value_mask, &work, batch_flush, err) ||
					 values_replace(sql, work.column, err) || sql_run(sql, err, "DROP TABLE assay_old") ||
					 sql_run(sql, err, "DROP TABLE assay_new")
				 ? -1
				 : 0;
	buf_fini(&work.batch);
	return result ? err_prefix(err, "mask: %s.%s", work.column->table, work.column->name) : 0;
}

/* ---- one table, whose columns are those from `first` to before `end` ---- */

static void columns_add(const struct masking *masking, struct buf *text, size_t first, size_t end)
{
	bool some = false;

	for (size_t i = first; i < end; i++) {
		if (masking->schema.columns[i].generated)
			continue;
		buf_add_text(text, some ? ", " : "");
		sql_add_name(masking->sql, text, masking->schema.columns[i].name);
		some = true;
	}
}

static int table_mask(struct masking *masking, size_t first, size_t end, struct err *err)
{
	const struct sql_column *column = &masking->schema.columns[first];
	struct sql *sql = masking->sql;
	AUTO_BUF names = buf_new(SQL_STATEMENT_MAX);
	AUTO_BUF table = buf_new(SQL_STATEMENT_MAX);
	bool masked = false;

	for (size_t i = first; i < end; i++)
		masked = masked || is_masked(&masking->bound[i]);
	if (!masked)
		return 0;
	/* Children of an inherited table are tables of their own. */
	buf_add_text(&table, sql->ops->cast && !column->partitioned ? "ONLY " : "");
	sql_add_table(sql, &table, column->schema, column->table);
	columns_add(masking, &names, first, end);
	if (sql_run(sql, err, "CREATE TEMPORARY TABLE assay_rows AS SELECT %s FROM %s", names.at, table.at))
		return err_prefix(err, "mask: %s", column->table);
	for (size_t i = first; i < end; i++)
		if (is_masked(&masking->bound[i]) && column_mask(masking, i, err))
			return -1;
	if (sql_run(sql, err, "DELETE FROM %s", table.at) ||
	    sql_run(sql, err, "INSERT INTO %s (%s)%s SELECT %s FROM assay_rows",
		    table.at + (view_starts(buf_view(&table), VIEW("ONLY ")) ? strlen("ONLY ") : 0), names.at, sql->ops->insert_all,
		    names.at) ||
	    sql_run(sql, err, "DROP TABLE assay_rows"))
		return err_prefix(err, "mask: %s", column->table);
	return 0;
}

static int tables_mask(struct masking *masking, struct err *err)
{
	const struct sql_schema *schema = &masking->schema;

	for (size_t first = 0; first < schema->column_count;) {
		size_t end = first + 1;

		while (end < schema->column_count && sql_same_table(&schema->columns[first], &schema->columns[end]))
			end++;
		if (table_mask(masking, first, end, err))
			return -1;
		first = end;
	}
	return 0;
}

static int mask_all(struct masking *masking, struct err *err)
{
	masking->bound = mem_new_array(masking->schema.column_count + 1, sizeof(*masking->bound));
	masking->orphans = mem_new_array(masking->schema.key_count + 1, sizeof(*masking->orphans));
	for (size_t i = 0; i < masking->mask->rule_count; i++)
		if (rule_bind(masking, &masking->mask->rules[i], err))
			return -1;
	return keys_carry(masking, err) || keys_check(masking, true, err) || masking->sql->ops->begin(masking->sql, err) ||
			       tables_mask(masking, err) || masking->sql->ops->end(masking->sql, err) ||
			       keys_check(masking, false, err)
		       ? -1
		       : 0;
}

/* Where in the text a quoted value begins, behind its first quote; 0: there is none. */
static size_t value_begin(const char *text)
{
	/* PostgreSQL: invalid input syntax for type integer: "x"; MariaDB: Incorrect integer value: 'x', Duplicate entry 'x', DOUBLE value: 'x' */
	static const char *const before[] = {": \"", ": '", "entry '", "value '", "value \""};
	size_t first = 0;

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		const char *at = strstr(text, before[i]);
		size_t begin = at ? (size_t)(at - text) + strlen(before[i]) : 0;

		if (begin && (!first || begin < first))
			first = begin;
	}
	return first;
}

void sql_error_hide(struct err *err)
{
	static const char dots[] = "…";
	size_t from = value_begin(err->text);
	size_t length = strlen(err->text);
	size_t to = length;
	char quote;
	char behind[8];
	const char *name;

	if (!from)
		return;
	quote = err->text[from - 1];
	/* A value may hold quotes: it ends before what the server says behind it, or at the last one. */
	(void)snprintf(behind, sizeof(behind), "%c for ", quote);
	for (name = strstr(err->text + from, behind); name; name = strstr(name + 1, behind))
		to = (size_t)(name - err->text);
	if (to == length) {
		const char *last = strrchr(err->text + from, quote);

		to = last ? (size_t)(last - err->text) : length; /* cut: nothing of it is shown */
	}
	if (from + sizeof(dots) > sizeof(err->text)) {
		err->text[from] = '\0';
		return;
	}
	if (from + sizeof(dots) + (length - to) > sizeof(err->text))
		to = length;
	memmove(err->text + from + sizeof(dots) - 1, err->text + to, length - to + 1);
	memcpy(err->text + from, dots, sizeof(dots) - 1);
}

int sql_mask(struct sql *sql, const struct sql_mask *mask, struct err *err)
{
	struct masking masking = {.sql = sql, .mask = mask};
	int result = sql_schema_read(sql, &masking.schema, err);

	if (result == 0)
		result = mask_all(&masking, err);
	free(masking.bound);
	free(masking.orphans);
	sql_schema_fini(&masking.schema);
	if (result && err)
		sql_error_hide(err);
	return result;
}
