/* Reading rules, and the index by which those of a host are found. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/policy/rule_priv.h"

#define SLOTS_LEAST 16

static void words_fini(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->at[i]);
	free(words->at);
}

static bool method_valid(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!isupper((unsigned char)text.at[i]) && text.at[i] != '-')
			return false;
	return text.length && text.length <= 32;
}

static bool pattern_valid(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] <= ' ' || (unsigned char)text.at[i] >= 0x7f)
			return false;
	return text.length && text.length <= PATH_PATTERN_BYTES_MAX;
}

static int words_parse(const json_t *rule, const char *key, bool (*valid)(struct view text), struct words *words, struct err *err)
{
	const json_t *list = json_member(rule, key);
	json_t *word;
	size_t index;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > POLICY_LIST_MAX)
		return err_set(err, ERR_INVALID, "`%s` must be a list of 1 to %d", key, POLICY_LIST_MAX);
	words->at = mem_new_array(json_array_size(list), sizeof(*words->at));
	json_array_foreach(list, index, word) {
		struct view text = view_of(json_string_value(word));

		if (!text.at || !valid(text))
			return err_set(err, ERR_INVALID, "`%s` has an entry that is none: %.60s", key,
				       text.at ? text.at : "no text");
		words->at[words->count++] = view_copy(text);
	}
	return 0;
}

static int host_parse(const char *text, struct rule *rule, struct err *err)
{
	char canonical[HOST_NAME_MAX_BYTES];
	struct view host = view_of(text);
	bool address = false;

	if (view_is(host, "*")) {
		rule->kind = HOST_ANY;
		rule->host = text_copy("");
		return 0;
	}
	if (view_starts(host, VIEW("*."))) {
		rule->kind = HOST_BELOW;
		host = view_make(host.at + 2, host.length - 2);
	}
	if (!host_or_address_canonical(host, canonical, &address) || (address && rule->kind == HOST_BELOW))
		return err_set(err, ERR_INVALID, "`%.200s` is no host: expected a name, `*.name`, `*` or an address", text);
	rule->host = text_copy(canonical);
	return 0;
}

/* "host:5432" and "[2606:4700::1]:5432"; an address of version 6 without brackets has no port. */
static int host_port_parse(const json_t *json, struct rule *rule, struct err *err)
{
	const json_t *port_json = json_member(json, "port");
	int64_t port = json_number(json, "port", 0);
	const char *text;
	const char *colon;
	uint64_t number;

	if (json_text_get(json, "host", &text, err))
		return -1;
	if (port_json && !json_is_null(port_json) && (!json_is_integer(port_json) || port < 1 || port > 65535))
		return err_set(err, ERR_INVALID, "`port` of %.200s must be a number from 1 to 65535", text);
	rule->port = (uint16_t)port;
	colon = strrchr(text, ':');
	if (colon && (strchr(text, ':') == colon || colon[-1] == ']')) {
		AUTO_FREE char *host = view_copy(view_make(text, (size_t)(colon - text)));

		if (port || colon[1] == '0' || !view_to_u64(view_of(colon + 1), &number) || !number || number > 65535)
			return err_set(err, ERR_INVALID, "`%.200s` has a port that is none, or two", text);
		rule->port = (uint16_t)number;
		return host_parse(host, rule, err);
	}
	return host_parse(text, rule, err);
}

static int action_parse(const json_t *json, struct rule *rule, struct err *err)
{
	const char *text = json_text(json, "action", "");

	for (unsigned action = EGRESS_DENY; action <= EGRESS_PASSTHROUGH; action++) {
		if (strcmp(text, egress_action_name(action)) != 0)
			continue;
		rule->action = action;
		if (action == EGRESS_PASSTHROUGH && (rule->methods.count || rule->paths.count))
			return err_set(err, ERR_INVALID, "passthrough does not look inside: it can have no `methods` or `paths`");
		return 0;
	}
	return err_set(err, ERR_INVALID, "`action` must be allow, deny, approve or passthrough, not `%.40s`", text);
}

static int id_parse(const json_t *json, const char *prefix, size_t number, struct rule *rule, struct err *err)
{
	const char *text = json_text(json, "id", NULL);

	if (!text) {
		(void)snprintf(rule->id, sizeof(rule->id), "%s-%zu", prefix, number);
		return 0;
	}
	if (!text[0] || strlen(text) >= sizeof(rule->id) || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != strlen(text))
		return err_set(err, ERR_INVALID, "`id` must be lower-case letters, digits, `-`, `_` and `.`, at most %d",
			       POLICY_ID_MAX - 1);
	memcpy(rule->id, text, strlen(text) + 1);
	return 0;
}

static int rule_parse(const json_t *json, const char *prefix, size_t number, struct rule *rule, struct err *err)
{
	static const char *const keys[] = {"id",     "host",      "port",         "methods",      "paths",  "agents",
					   "action", "sandboxes", "repositories", "environments", "because"};
	const char *because = json_text(json, "because", NULL);
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "a rule must be an object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value) {
		size_t i = 0;

		while (i < ARRAY_LEN(keys) && strcmp(keys[i], key) != 0)
			i++;
		if (i == ARRAY_LEN(keys)) /* one that is not understood might be a condition */
			return err_set(err, ERR_INVALID, "unknown key `%.40s`", key);
	}
	if (because && (strlen(because) > 200 || strpbrk(because, "\r\n")))
		return err_set(err, ERR_INVALID, "`because` must be one line of at most 200 bytes");
	rule->because = text_copy(because);
	if (host_port_parse(json, rule, err) || words_parse(json, "methods", method_valid, &rule->methods, err) ||
	    words_parse(json, "paths", path_pattern_valid, &rule->paths, err) ||
	    words_parse(json, "agents", pattern_valid, &rule->agents, err) ||
	    words_parse(json, "sandboxes", pattern_valid, &rule->sandboxes, err) ||
	    words_parse(json, "repositories", pattern_valid, &rule->repositories, err) ||
	    words_parse(json, "environments", pattern_valid, &rule->environments, err) || action_parse(json, rule, err))
		return -1;
	return id_parse(json, prefix, number, rule, err);
}

static void rule_fini(struct rule *rule)
{
	free(rule->host);
	free(rule->because);
	words_fini(&rule->methods);
	words_fini(&rule->paths);
	words_fini(&rule->agents);
	words_fini(&rule->sandboxes);
	words_fini(&rule->repositories);
	words_fini(&rule->environments);
}

struct layer *layer_hold(struct layer *layer)
{
	if (layer)
		(void)atomic_fetch_add(&layer->users, 1);
	return layer;
}

void layer_release(struct layer *layer)
{
	if (!layer || atomic_fetch_sub(&layer->users, 1) != 1)
		return;
	for (size_t i = 0; i < layer->count; i++)
		rule_fini(&layer->rules[i]);
	free(layer->rules);
	free(layer->slots);
	free(layer);
}

static uint64_t host_hash(const char *host, enum host_kind kind)
{
	return (view_hash(view_of(host)) * 2 + (kind == HOST_BELOW)) * 0x9e3779b97f4a7c15u >> 7;
}

/* The slot of a host, or the empty one where it belongs. */
static struct slot *slot_find(const struct layer *layer, const char *host, enum host_kind kind)
{
	uint64_t hash = host_hash(host, kind);
	size_t at = hash & (layer->slot_count - 1);

	for (;; at = (at + 1) & (layer->slot_count - 1)) {
		struct slot *slot = &layer->slots[at];
		const struct rule *rule = slot->first ? &layer->rules[slot->first - 1] : NULL;

		if (!rule || (slot->hash == hash && rule->kind == kind && strcmp(rule->host, host) == 0))
			return slot;
	}
}

/* From the last to the first, so that the chains are in the order of the rules. */
static void layer_index(struct layer *layer)
{
	layer->slot_count = SLOTS_LEAST;
	while (layer->slot_count < layer->count * 2)
		layer->slot_count *= 2;
	layer->slots = mem_new_array(layer->slot_count, sizeof(*layer->slots));
	for (size_t i = layer->count; i-- > 0;) {
		struct rule *rule = &layer->rules[i];
		struct slot *slot = rule->kind == HOST_ANY ? NULL : slot_find(layer, rule->host, rule->kind);
		uint32_t *first = slot ? &slot->first : &layer->any;

		if (slot)
			slot->hash = host_hash(rule->host, rule->kind);
		rule->next = *first;
		*first = (uint32_t)i + 1;
	}
}

static int ids_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int ids_check(const struct layer *layer, struct err *err)
{
	AUTO_FREE const char **ids = mem_new_array(layer->count + 1, sizeof(*ids));

	for (size_t i = 0; i < layer->count; i++)
		ids[i] = layer->rules[i].id;
	qsort(ids, layer->count, sizeof(*ids), ids_compare);
	for (size_t i = 1; i < layer->count; i++)
		if (strcmp(ids[i - 1], ids[i]) == 0)
			return err_set(err, ERR_INVALID, "two rules have the id `%s`", ids[i]);
	return 0;
}

static int options_parse(const json_t *document, struct layer *layer, const json_t **rules, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)document, key, value) {
		if (strcmp(key, "rules") == 0)
			*rules = value;
		else if (strcmp(key, "ceiling") == 0 && json_is_boolean(value))
			layer->ceiling = json_is_true(value);
		else if (strcmp(key, "passthrough") == 0 && json_is_boolean(value))
			layer->no_passage = !json_is_true(value);
		else
			return err_set(err, ERR_INVALID, "`%.40s` is no setting of a policy, or not true or false", key);
	}
	return 0;
}

static int rules_parse(const json_t *rules, const char *prefix, struct layer *layer, struct err *err)
{
	json_t *json;
	size_t index;

	if (!rules || json_is_null(rules))
		return 0;
	if (!json_is_array(rules) || json_array_size(rules) > POLICY_RULES_MAX)
		return err_set(err, ERR_INVALID, "egress rules must be a list of at most %d", POLICY_RULES_MAX);
	layer->rules = mem_new_array(json_array_size(rules) + 1, sizeof(*layer->rules));
	json_array_foreach(rules, index, json)
		if (rule_parse(json, prefix, index + 1, &layer->rules[layer->count++], err))
			return err_prefix(err, "egress rule %zu", index + 1);
	return ids_check(layer, err);
}

struct layer *layer_new(const json_t *document, const char *id_prefix, struct err *err)
{
	struct layer *layer = mem_new(sizeof(*layer));
	const json_t *rules = json_is_object(document) ? NULL : document;

	atomic_store(&layer->users, 1);
	if ((json_is_object(document) && options_parse(document, layer, &rules, err)) ||
	    rules_parse(rules, id_prefix, layer, err)) {
		layer_release(layer);
		return NULL;
	}
	layer_index(layer);
	return layer;
}

const struct rule *layer_next(const struct layer *layer, const char *host, struct layer_step *step)
{
	if (step->rule)
		step->rule = layer->rules[step->rule - 1].next;
	if (!step->begun) {
		step->begun = true;
		step->at = host;
		step->rule = slot_find(layer, host, HOST_EXACT)->first;
	}
	while (!step->rule && step->at) {
		const char *dot = strchr(step->at, '.');

		step->at = dot ? dot + 1 : NULL;
		if (step->at)
			step->rule = slot_find(layer, step->at, HOST_BELOW)->first;
	}
	if (!step->rule && !step->any) {
		step->any = true;
		step->rule = layer->any;
	}
	return step->rule ? &layer->rules[step->rule - 1] : NULL;
}
