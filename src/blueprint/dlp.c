/* `dlp:` of assay.yaml and of the policy file: what is looked for in what leaves. */
#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "blueprint/egress.h"
#include "blueprint/reader_priv.h"

#define SECRET_LEAST ((size_t)8)
#define GITLEAKS_BYTES_MAX ((size_t)4 << 20)

static dlp_rules_judge *rules_judge;

void dlp_rules_source(dlp_rules_judge *judge)
{
	rules_judge = judge;
}

int set_dlp_id(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	for (const char *at = text; at && *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("-_.*", *at))
			text = NULL;
	if (!text || !text[0] || strlen(text) > 63)
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

int set_entropy(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);
	char *end = NULL;
	double number = text && isdigit((unsigned char)text[0]) ? strtod(text, &end) : -1;

	if (!end || *end || !(number >= 0 && number <= 8))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

static const struct name_value *variable_of(const struct variables *variables, const char *name)
{
	for (size_t i = 0; i < variables->count; i++)
		if (strcmp(variables->at[i].name, name) == 0)
			return &variables->at[i];
	return NULL;
}

/* The `index`th variable of that name, in whichever `env` of the file; NULL when there are no more. */
static const char *value_find(const struct blueprint *blueprint, const char *name, size_t index)
{
	const struct variables *groups[] = {&blueprint->workspace.env, &blueprint->agent.env};
	const struct name_value *found;
	size_t total = ARRAY_LEN(groups) + blueprint->service_count + blueprint->database_count + blueprint->test_count;

	for (size_t i = 0; i < total; i++) {
		size_t at = i;
		const struct variables *group;

		if (at < ARRAY_LEN(groups))
			group = groups[at];
		else if ((at -= ARRAY_LEN(groups)) < blueprint->service_count)
			group = &blueprint->services[at].env;
		else if ((at -= blueprint->service_count) < blueprint->database_count)
			group = &blueprint->databases[at].env;
		else
			group = &blueprint->tests[at - blueprint->database_count].env;
		found = variable_of(group, name);
		if (found && !index--)
			return found->value;
	}
	return NULL;
}

static void text_put(json_t *json, const char *key, const char *text)
{
	if (text)
		(void)json_object_set_new(json, key, json_string(text));
}

static void texts_put(json_t *json, const char *key, const struct texts *texts)
{
	json_t *list;

	if (!texts->count)
		return;
	list = json_array();
	for (size_t i = 0; i < texts->count; i++)
		(void)json_array_append_new(list, json_string(texts->at[i]));
	(void)json_object_set_new(json, key, list);
}

static json_t *rule_json(const struct dlp_rule *rule)
{
	json_t *json = json_pack("{s:s}", "id", rule->id);

	text_put(json, "title", rule->title);
	text_put(json, "pattern", rule->pattern);
	text_put(json, "near", rule->near);
	text_put(json, "value", rule->value);
	text_put(json, "entropy", rule->entropy);
	text_put(json, "check", rule->check);
	text_put(json, "action", rule->action);
	if (rule->group)
		(void)json_object_set_new(json, "group", json_integer(rule->group));
	texts_put(json, "keywords", &rule->keywords);
	texts_put(json, "stop", &rule->stop);
	texts_put(json, "allow", &rule->allow);
	texts_put(json, "paths", &rule->paths);
	return json;
}

static json_t *rules_json(const struct dlp_section *dlp)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < dlp->rule_count; i++)
		(void)json_array_append_new(rules, rule_json(&dlp->rules[i]));
	if (dlp->allow.count) {
		json_t *all = json_pack("{s:s}", "id", "*");

		texts_put(all, "allow", &dlp->allow);
		(void)json_array_append_new(rules, all);
	}
	return rules;
}

json_t *dlp_section_json(const struct dlp_section *dlp)
{
	json_t *json = json_object();

	if (dlp->rule_count || dlp->allow.count)
		(void)json_object_set_new(json, "rules", rules_json(dlp));
	return json;
}

json_t *blueprint_dlp_json(const struct blueprint *blueprint)
{
	const struct dlp_section *dlp = &blueprint->egress.dlp;
	json_t *json = dlp_section_json(dlp);
	json_t *secrets = json_array();

	for (size_t i = 0; i < dlp->secrets.count; i++) {
		const char *name = dlp->secrets.at[i];
		const char *value;

		for (size_t j = 0; (value = value_find(blueprint, name, j)); j++)
			(void)json_array_append_new(secrets, json_pack("{s:s, s:s}", "name", name, "value", value));
	}
	if (json_array_size(secrets))
		(void)json_object_set(json, "secrets", secrets);
	json_decref(secrets);
	return json;
}

int dlp_gitleaks_put(json_t *description, struct view text, const char *file_name, struct err *err)
{
	AUTO_JSON judged = json_object();
	size_t wrong;

	if (text.length > GITLEAKS_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "%s: it is longer than %zu bytes", file_name, GITLEAKS_BYTES_MAX);
	json_set_bytes(judged, "gitleaks", text);
	if (rules_judge && rules_judge(judged, &wrong, err))
		return err_prefix(err, "%s", file_name);
	(void)json_object_update(description, judged);
	return 0;
}

int dlp_section_check(struct reader *reader, const struct tree_node *node, const struct dlp_section *dlp)
{
	AUTO_JSON description = dlp_section_json(dlp);
	const struct tree_node *rules = tree_find(node, "rules"), *allow = tree_find(node, "allow");
	size_t wrong = SIZE_MAX;
	struct err problem;

	for (size_t i = 0; i < dlp->rule_count; i++)
		if (!dlp->rules[i].near != !dlp->rules[i].value)
			return reader_refuse(reader, rules->items[i], "dlp.rules: `near` and `value` belong together");
	if (!json_object_size(description) || !rules_judge || rules_judge(description, &wrong, &problem) == 0)
		return 0;
	return reader_refuse(reader, wrong < dlp->rule_count ? rules->items[wrong] : allow ? allow : node, "dlp: %s", problem.text);
}

int blueprint_dlp_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint)
{
	const struct tree_node *node = tree_find(tree_find(root, "egress"), "dlp");
	const struct tree_node *secrets = tree_find(node, "secrets");
	const struct dlp_section *dlp = &blueprint->egress.dlp;

	for (size_t i = 0; i < dlp->secrets.count; i++) {
		const char *value = value_find(blueprint, dlp->secrets.at[i], 0);

		if (!value)
			return reader_refuse(reader, secrets->items[i], "egress.dlp.secrets: no `env` of this file sets `%s`",
					     dlp->secrets.at[i]);
		for (size_t j = 0; (value = value_find(blueprint, dlp->secrets.at[i], j)); j++)
			if (strlen(value) < SECRET_LEAST)
				return reader_refuse(
					reader, secrets->items[i],
					"egress.dlp.secrets: the value of `%s` is shorter than %zu characters: it would be found everywhere",
					dlp->secrets.at[i], SECRET_LEAST);
	}
	return node ? dlp_section_check(reader, node, dlp) : 0;
}
