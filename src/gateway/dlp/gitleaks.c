/* gitleaks.toml (https://github.com/gitleaks/gitleaks#configuration) as rules of ours: what a file says about paths and commits has no meaning
 * for what leaves, and is left out. */
#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "gateway/dlp/toml.h"

static void copy(json_t *rule, const char *to, const json_t *table, const char *from)
{
	json_t *value = json_object_get(table, from);

	if (value && !json_object_get(rule, to))
		json_object_set(rule, to, value);
}

static void append_all(json_t *rule, const char *to, const json_t *list)
{
	json_t *target = json_object_get(rule, to), *item;
	size_t i;

	if (!json_array_size(list))
		return;
	if (!target) {
		target = json_array();
		json_object_set_new(rule, to, target);
	}
	json_array_foreach(list, i, item)
		json_array_append(target, item);
}

/* One allowlist, or a list of them. Of "AND" ones, which also name paths or commits, nothing can be said here. */
static void add_allowed(json_t *rule, const json_t *allowed)
{
	size_t i;
	json_t *one;

	if (json_is_array(allowed)) {
		json_array_foreach(allowed, i, one)
			add_allowed(rule, one);
		return;
	}
	if (strcmp(json_text(allowed, "condition", "OR"), "AND") == 0)
		return;
	append_all(rule, "stop", json_member(allowed, "stopwords"));
	if (strcmp(json_text(allowed, "regexTarget", "secret"), "line") != 0)
		append_all(rule, "allow", json_member(allowed, "regexes"));
}

static json_t *rule_of(const json_t *table, const json_t *root)
{
	json_t *rule = json_object();

	copy(rule, "id", table, "id");
	copy(rule, "title", table, "description");
	copy(rule, "pattern", table, "regex");
	copy(rule, "entropy", table, "entropy");
	copy(rule, "group", table, "secretGroup");
	copy(rule, "keywords", table, "keywords");
	add_allowed(rule, json_member(table, "allowlist"));
	add_allowed(rule, json_member(table, "allowlists"));
	add_allowed(rule, json_member(root, "allowlist"));
	add_allowed(rule, json_member(root, "allowlists"));
	return rule;
}

json_t *dlp_rules_from_gitleaks(struct view toml, struct err *err)
{
	AUTO_JSON root = toml_parse(toml, err);
	AUTO_JSON list = NULL;
	const json_t *tables;
	json_t *table;
	size_t i;

	if (!root) {
		err_prefix(err, "gitleaks.toml");
		return NULL;
	}
	list = json_array();
	tables = json_member(root, "rules");
	if (tables && !json_is_array(tables)) {
		err_set(err, ERR_INVALID, "gitleaks.toml: `rules` must be tables: [[rules]]");
		return NULL;
	}
	json_array_foreach(tables, i, table) {
		if (!json_text(table, "id", NULL)) {
			err_set(err, ERR_INVALID, "gitleaks.toml: rule %zu has no `id`", i + 1);
			return NULL;
		}
		if (json_text(table, "regex", NULL))
			json_array_append_new(list, rule_of(table, root));
	}
	return TAKE(list);
}
