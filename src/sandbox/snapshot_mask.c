/*
 * Subset, masks and the leak scan of a snapshot, between its loading and its freezing: the raw data is only ever in the builder, which reaches
 * nothing. What comes from a dump or a running server must have a rule for every column that looks like somebody's data; what a script
 * of the repository made is taken for made up, and only remarked upon.
 */
#include <stdlib.h>

#include "base/log.h"
#include "data/sql.h"
#include "sandbox/snapshot_priv.h"

#define CONNECT_LIMIT_MS 10000
#define LEAKS_SHOWN 8

static const struct database *rules_of(const struct plan *plan, const struct member *member)
{
	return blueprint_database_find(plan->blueprint ? plan->blueprint : plan->builder->blueprint, member->name);
}

static bool has_masks(const struct plan *plan, const struct member *member)
{
	const struct database *database = rules_of(plan, member);

	for (size_t i = 0; database && i < database->mask_count; i++)
		if (database->mask[i].kind != MASK_KEEP)
			return true;
	return false;
}

/* Was it loaded with what is not the repository's own? */
static bool is_real(const struct plan *plan, const struct member *member)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->loads[i].real && plan->loads[i].database == member)
			return true;
	return false;
}

bool plan_changes(const struct plan *plan, const struct member *member)
{
	const struct database *database = rules_of(plan, member);

	return has_masks(plan, member) || (database && database->subset_count);
}

static bool is_loaded(const struct plan *plan, const struct member *member)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->loads[i].database || plan->loads[i].database == member)
			return true;
	return false;
}

static int session_open(struct plan *plan, struct member *member, int *fd, struct sql *sql, struct err *err)
{
	if (member_connect(plan->builder, member, CONNECT_LIMIT_MS, fd, err) ||
	    member->target.ops->sql(&member->target, *fd, sql, err))
		return err_prefix(err, "%s", member->name);
	sql->cancelled = plan->progress.cancelled;
	return 0;
}

/* `sql`: NULL of a database that holds keys, to which fd leads. */
static int values_mask(struct plan *plan, const struct member *member, int fd, struct sql *sql, struct err *err)
{
	const struct database *database = rules_of(plan, member);
	unsigned char key[DIGEST_KEY_BYTES];
	int result;

	if (!plan->all->mask_key)
		return err_set(err, ERR_DENIED, "there is no key for masks");
	result = plan->all->mask_key(plan->all->self, key, err);
	if (result == 0 && !sql)
		result = member->target.ops->keys_mask(&member->target, fd, key, database->mask, database->mask_count, err);
	else if (result == 0)
		result = sql_mask(sql, &(struct sql_mask){key, database->mask, database->mask_count, is_real(plan, member)}, err);
	explicit_bzero(key, sizeof(key));
	return result;
}

int database_mask(struct plan *plan, struct member *member, struct err *err)
{
	const struct database *database = rules_of(plan, member);
	AUTO_SQL sql = {.ops = NULL};
	AUTO_CLOSE int fd = -1;
	int64_t began_ms;

	if (!plan_changes(plan, member) || !is_loaded(plan, member))
		return 0;
	began_ms = plan_step_begin(plan, "mask", member->name);
	if (member->target.ops->keys_mask) {
		if (member_connect(plan->builder, member, CONNECT_LIMIT_MS, &fd, err) || values_mask(plan, member, fd, NULL, err))
			return err_prefix(err, "%s", member->name);
		plan_step_end(plan, "mask", member->name, began_ms);
		return 0;
	}
	if (session_open(plan, member, &fd, &sql, err))
		return -1;
	if ((database->subset_count && sql_subset(&sql, database->subset, database->subset_count, err)) ||
	    (has_masks(plan, member) && values_mask(plan, member, fd, &sql, err)) || sql.ops->scrub(&sql, err))
		return err_prefix(err, "%s", member->name);
	plan_step_end(plan, "mask", member->name, began_ms);
	return 0;
}

static void leak_describe(struct buf *out, const json_t *leak)
{
	buf_add_format(out, "%s holds %s%lld %s%s", json_text(leak, "column", ""),
		       json_flag(leak, "sampled", false) ? "at least " : "", (long long)json_number(leak, "count", 0),
		       json_text(leak, "kind", ""), json_number(leak, "count", 0) == 1 ? "" : "s");
}

/* The lines that mend it, one for each column: of the kind that was found most. */
static void lines_add(struct buf *out, const json_t *leaks)
{
	const char *last = "";
	size_t shown = 0;
	size_t index;
	json_t *leak;

	json_array_foreach(leaks, index, leak) {
		const char *column = json_text(leak, "column", "");
		const char *kind = json_text(leak, "kind", "");

		if (strcmp(column, last) == 0 || shown++ >= LEAKS_SHOWN)
			continue;
		buf_add_format(out, "%s%s: %s", shown > 1 ? ", " : "", column,
			       strncmp(kind, "unreadable", 10) == 0 ? "keep" : kind);
		last = column;
	}
}

static int leaks_refuse(const struct member *member, const json_t *leaks, struct err *err)
{
	AUTO_BUF what = buf_new((size_t)1 << 16);
	AUTO_BUF lines = buf_new((size_t)1 << 16);
	size_t count = json_array_size(leaks);

	for (size_t i = 0; i < count && i < LEAKS_SHOWN; i++) {
		buf_add_text(&what, i ? "; " : "");
		leak_describe(&what, json_array_get(leaks, i));
	}
	if (count > LEAKS_SHOWN)
		buf_add_format(&what, "; and %zu more", count - LEAKS_SHOWN);
	lines_add(&lines, leaks);
	return err_set(err, ERR_DENIED, "%s: %s. Add to databases.%s.mask: {%s} (or `keep` where that is fine)", member->name,
		       what.at, member->name, lines.at);
}

/* Neither masks nor the scan look into other databases of the server. */
static int elsewhere_refuse(const struct member *member, struct sql *sql, struct err *err)
{
	AUTO_JSON rows = json_array();
	const char *name;

	if (!sql->ops->elsewhere)
		return 0;
	if (sql->ops->query(sql, sql->ops->elsewhere, rows, 1, NULL, err))
		return err_prefix(err, "%s", member->name);
	if (!json_array_size(rows))
		return 0;
	name = json_string_value(json_array_get(json_array_get(rows, 0), 0));
	return err_set(
		err, ERR_DENIED,
		"%s: the dump fills database %s too, which nothing masks or searches: dump one database, without --databases or -C",
		member->name, name ? name : "?");
}

/* What columns, or keys, without a rule hold; owned by the caller. */
static json_t *leaks_find(struct plan *plan, struct member *member, struct err *err)
{
	const struct database *database = rules_of(plan, member);
	const struct mask_rule *rules = database ? database->mask : NULL;
	size_t count = database ? database->mask_count : 0;
	AUTO_SQL sql = {.ops = NULL};
	AUTO_CLOSE int fd = -1;

	if (member->target.ops->keys_scan)
		return member_connect(plan->builder, member, CONNECT_LIMIT_MS, &fd, err)
			       ? NULL
			       : member->target.ops->keys_scan(&member->target, fd, rules, count, err);
	if (session_open(plan, member, &fd, &sql, err) || (is_real(plan, member) && elsewhere_refuse(member, &sql, err)))
		return NULL;
	return sql_scan(&sql, rules, count, err);
}

int database_scan(struct plan *plan, struct member *member, struct err *err)
{
	AUTO_JSON leaks = NULL;
	json_t *leak;
	size_t index;
	int64_t began_ms;

	if ((!member->target.ops->sql && !member->target.ops->keys_scan) || !is_loaded(plan, member))
		return 0;
	began_ms = plan_step_begin(plan, "scan", member->name);
	leaks = leaks_find(plan, member, err);
	if (!leaks)
		return err_prefix(err, "%s", member->name);
	plan_step_end(plan, "scan", member->name, began_ms);
	json_array_foreach(leaks, index, leak) {
		AUTO_BUF line = buf_new(4096);

		leak_describe(&line, leak);
		plan_step_end(plan, "leak", line.at, elapsed_ms(plan->all));
	}
	if (json_array_size(leaks) && is_real(plan, member))
		return leaks_refuse(member, leaks, err);
	if (json_array_size(leaks))
		log_warn("snapshot %s: %zu places of %s hold what looks like somebody's data", plan->name, json_array_size(leaks),
			 member->name);
	(void)json_object_set_new(plan->leaks, member->name, TAKE(leaks));
	return 0;
}

/* Beside the layer's other facts: how much was masked, by which rules, and what was remarked upon. */
void plan_mask_note(const struct plan *plan, const struct member *member, json_t *meta)
{
	const struct database *database = rules_of(plan, member);
	int64_t masked = 0;

	for (size_t i = 0; database && i < database->mask_count; i++)
		masked += database->mask[i].kind != MASK_KEEP;
	(void)json_object_set_new(meta, "masked", json_integer(has_masks(plan, member) && is_loaded(plan, member) ? masked : 0));
	if (json_array_size(json_object_get(plan->leaks, member->name)))
		(void)json_object_set(meta, "leaks", json_object_get(plan->leaks, member->name));
}

void plan_mask_digest(const struct plan *plan, struct buf *recipe)
{
	for (size_t i = 0; i < plan->builder->member_count; i++) {
		const struct member *member = &plan->builder->members[i];
		const struct database *database = member->kind == MEMBER_DATABASE ? rules_of(plan, member) : NULL;

		for (size_t k = 0; database && k < database->mask_count; k++)
			buf_add_format(recipe, "mask %s %s %s %s\n", member->name, database->mask[k].column,
				       mask_kind_name(database->mask[k].kind),
				       database->mask[k].fixed ? database->mask[k].fixed : "");
		for (size_t k = 0; database && k < database->subset_count; k++)
			buf_add_format(recipe, "subset %s %s %d %s\n", member->name, database->subset[k].table,
				       database->subset[k].percent, database->subset[k].where ? database->subset[k].where : "");
	}
}
