/* Egress rules: their setters, the policy file, and their JSON. */
#include "blueprint/egress.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/reader_priv.h"

#define POLICY_NODES_MAX ((size_t)4000000)

static bool is_address(const char *text)
{
	struct in6_addr address;

	return host_is_address(text) || inet_pton(AF_INET6, text, &address) == 1;
}

int set_host_pattern(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct egress_rule *rule = record;
	const char *text = tree_text(value);
	const char *name;

	if (!text)
		return reader_expect(reader, value, field->expected);
	rule->host = arena_copy(reader->arena, view_of(text));
	for (char *at = rule->host; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	name = strncmp(rule->host, "*.", 2) == 0 ? rule->host + 2 : rule->host;
	if (strcmp(name, "*") == 0 || name_is_host(name) || (name == rule->host && is_address(name)))
		return 0;
	return reader_expect(reader, value, field->expected);
}

static int set_words(struct reader *reader, const struct field *field, const struct tree_node *value, void *record,
		     bool (*valid)(const char *word))
{
	struct texts texts = {0};
	struct field as_texts = *field;

	as_texts.offset = 0;
	if (set_texts(reader, &as_texts, value, &texts))
		return -1;
	if (!texts.count || texts.count > 64)
		return reader_refuse(reader, value, "expected 1 to 64 entries");
	for (size_t i = 0; i < texts.count; i++)
		if (!valid(texts.at[i]))
			return reader_expect(reader, value->items[i], field->expected);
	memcpy((char *)record + field->offset, &texts, sizeof(texts));
	return 0;
}

static bool is_method(const char *word)
{
	return word[0] && strlen(word) <= 32 && strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == strlen(word);
}

static bool is_visible(const char *word)
{
	for (const char *at = word; *at; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
			return false;
	return word[0] && strlen(word) <= 1024;
}

static bool is_url_pattern(const char *word)
{
	return is_visible(word) && (word[0] == '/' || word[0] == '*') && !strpbrk(word, "#\\");
}

int set_methods(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return set_words(reader, field, value, record, is_method);
}

int set_url_patterns(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return set_words(reader, field, value, record, is_url_pattern);
}

int set_names(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return set_words(reader, field, value, record, is_visible);
}

int set_rule_id(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	if (!text || !text[0] || strlen(text) > 47 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != strlen(text))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

int set_because(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	if (!text || strlen(text) > 200 || strpbrk(text, "\r\n"))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

/* What no rule can be: said where the rule is. */
int egress_rules_check(struct reader *reader, const struct tree_node *list, const struct egress_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].action == RULE_PASSTHROUGH && (rules[i].methods.count || rules[i].paths.count))
			return reader_refuse(reader, list->items[i],
					     "egress.rules: passthrough does not look inside: it can have no `methods` or `paths`");
	return 0;
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

json_t *egress_rules_json(const struct egress_rule *rules, size_t count)
{
	static const char *const actions[] = {"deny", "allow", "approve", "passthrough"};
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct egress_rule *rule = &rules[i];
		json_t *json = json_pack("{s:s, s:s}", "host", rule->host, "action", actions[rule->action]);

		if (rule->id)
			(void)json_object_set_new(json, "id", json_string(rule->id));
		if (rule->port)
			(void)json_object_set_new(json, "port", json_integer(rule->port));
		if (rule->because)
			(void)json_object_set_new(json, "because", json_string(rule->because));
		texts_put(json, "methods", &rule->methods);
		texts_put(json, "paths", &rule->paths);
		texts_put(json, "agents", &rule->agents);
		texts_put(json, "sandboxes", &rule->sandboxes);
		texts_put(json, "repositories", &rule->repositories);
		texts_put(json, "environments", &rule->environments);
		(void)json_array_append_new(list, json);
	}
	return list;
}

json_t *policy_file_parse(struct view text, const char *file_name, struct err *err)
{
	AUTO_ARENA nodes = {0};
	AUTO_ARENA values = {0};
	const struct tree_limits limits = {POLICY_FILE_BYTES_MAX, POLICY_NODES_MAX};
	const struct tree_node *root = tree_parse_within(text, file_name, TREE_STRICT, limits, &nodes, err);
	struct policy_file file = {.passthrough = true};
	struct reader reader = {.file_name = file_name, .arena = &values, .members_max = POLICY_FILE_RULES_MAX, .err = err};
	json_t *rules;
	json_t *rule;
	size_t i;

	if (!root || reader_section(&reader, &schema_policy_section, root, &file) ||
	    egress_rules_check(&reader, tree_find(root, "rules"), file.rules, file.rule_count) ||
	    dlp_section_check(&reader, tree_find(root, "dlp"), &file.dlp))
		return NULL;
	rules = egress_rules_json(file.rules, file.rule_count);
	json_array_foreach(rules, i, rule) {
		AUTO_FREE char *id = text_format("organisation-%zu", i + 1);

		if (!json_object_get(rule, "id"))
			(void)json_object_set_new(rule, "id", json_string(id));
	}
	return json_pack("{s:o, s:b, s:b, s:o, s:s*}", "rules", rules, "ceiling", file.ceiling, "passthrough", file.passthrough,
			 "dlp", dlp_section_json(&file.dlp), "gitleaks", file.dlp.gitleaks);
}

/* Beside the policy file, unless its path is absolute. */
static int policy_gitleaks(json_t *policy, const char *path, struct err *err)
{
	const char *name = json_text(policy, "gitleaks", NULL), *slash = strrchr(path, '/');
	AUTO_FREE char *beside = NULL;
	AUTO_BUF text = buf_new(POLICY_FILE_BYTES_MAX);

	if (!name)
		return 0;
	beside = name[0] == '/' || !slash ? text_copy(name) : text_format("%.*s/%s", (int)(slash - path), path, name);
	return file_read(beside, &text, err) || buf_finish(&text, err) ||
			       dlp_gitleaks_put(json_object_get(policy, "dlp"), buf_view(&text), beside, err)
		       ? -1
		       : 0;
}

json_t *policy_text_load(struct view text, const char *file_name, struct err *err)
{
	AUTO_ARENA nodes = {0};
	const struct tree_limits limits = {POLICY_FILE_BYTES_MAX, POLICY_NODES_MAX};
	const struct tree_node *root = tree_parse_within(text, file_name, TREE_STRICT, limits, &nodes, err);

	if (root && tree_find(root, "services")) {
		AUTO_BLUEPRINT blueprint = blueprint_parse(text, file_name, err);

		return blueprint ? egress_rules_json(blueprint->egress.rules, blueprint->egress.rule_count) : NULL;
	}
	return root ? policy_file_parse(text, file_name, err) : NULL;
}

json_t *policy_file_load(const char *path, struct err *err)
{
	AUTO_BUF text = buf_new(POLICY_FILE_BYTES_MAX);
	const char *slash = strrchr(path, '/');
	AUTO_JSON policy = NULL;

	if (file_read(path, &text, err))
		return NULL;
	policy = policy_text_load(buf_view(&text), slash ? slash + 1 : path, err);
	return policy && (json_is_array(policy) || policy_gitleaks(policy, path, err) == 0) ? TAKE(policy) : NULL;
}
