/* From a list of rules in JSON to a compiled, immutable set. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "gateway/dlp/own.h"

#define RULE_FLAGS 0u
#define TURNED_PREFIX_LEAST 4
#define COUNTED_MOST 64 /* a repeat of at most fewer is counted exactly */
#define CACHE_FORMAT 1  /* what is made of a list of rules */
#define NEAR_GAP "[\\w .\\-\\]\\[(\"'\\\\]{0,40}?"
#define CACHE_BYTES_MAX ((size_t)64 << 20)
#define PATTERN_BYTES_MAX 4096

static const struct {
	const char *name;
	enum rule_check check;
} checks[] = {
	{"none", CHECK_NONE}, {"mixed", CHECK_MIXED},         {"luhn", CHECK_LUHN}, {"crc32-base62", CHECK_CRC32_BASE62},
	{"jwt", CHECK_JWT},   {"key-block", CHECK_KEY_BLOCK}, {"iban", CHECK_IBAN}, {"base64", CHECK_BASE64},
};

static const char *const action_names[] = {"none", "log", "redact", "hold", "block"};

const char *dlp_action_name(enum dlp_action action)
{
	return action_names[action];
}

const json_t *dlp_rules_built_in(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static json_t *list;

	(void)pthread_mutex_lock(&lock);
	if (!list) {
		AUTO_JSON file = json_parse(view_make(own_rules, own_rules_length), NULL);

		list = file ? json_incref(json_member(file, "rules")) : NULL;
		if (!list)
			abort(); /* the build made it, and a test reads it */
	}
	(void)pthread_mutex_unlock(&lock);
	return list;
}

/* Reading one rule */

static int rule_texts(const json_t *json, const char *key, const char ***texts, const char *id, struct err *err)
{
	const json_t *list = json_member(json, key);
	size_t count = json_array_size(list);

	*texts = mem_new_array(count + 1, sizeof **texts);
	if (list && !json_is_array(list))
		return err_set(err, ERR_INVALID, "DLP rule %s: `%s` must be a list of texts", id, key);
	if (count > RULE_WORDS_MAX)
		return err_set(err, ERR_LIMIT, "DLP rule %s: `%s` has more than %d texts", id, key, RULE_WORDS_MAX);
	for (size_t i = 0; i < count; i++) {
		(*texts)[i] = json_string_value(json_array_get(list, i));
		if (!(*texts)[i] || !*(*texts)[i])
			return err_set(err, ERR_INVALID, "DLP rule %s: `%s` must be a list of texts", id, key);
	}
	return 0;
}

static pcre2_code *pattern_compile(const char *pattern, const char *what, const char *id, struct err *err)
{
	pcre2_code *code;
	PCRE2_SIZE at;
	int number;

	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF, &number, &at, NULL);
	if (!code) {
		PCRE2_UCHAR text[128];

		(void)pcre2_get_error_message(number, text, sizeof text);
		err_set(err, ERR_INVALID, "DLP rule %s: its %s, at byte %zu: %s", id, what, (size_t)at, (const char *)text);
		return NULL;
	}
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it, it is only slower */
	return code;
}

/* `allow`: patterns of values that are none, as one. */
static int rule_allowed(const json_t *json, const char *id, pcre2_code **allowed, struct err *err)
{
	AUTO_BUF all = buf_new((size_t)1 << 20);
	const char **texts = NULL;
	int result = rule_texts(json, "allow", &texts, id, err);

	for (size_t i = 0; result == 0 && texts[i]; i++)
		buf_add_format(&all, "%s(?:%s)", i ? "|" : "", texts[i]);
	free(texts);
	if (result || !all.length)
		return result;
	if (buf_finish(&all, err))
		return err_prefix(err, "DLP rule %s: `allow`", id);
	*allowed = pattern_compile(all.at, "`allow`", id, err);
	return *allowed ? 0 : -1;
}

/* YAML's scalars come as texts, TOML's and people's as numbers. */
static int rule_number(const json_t *json, const char *key, double most, double *number, const char *id, struct err *err)
{
	const json_t *member = json_member(json, key);
	const char *text = json_string_value(member);
	char *end = NULL;

	if (!member)
		return 0;
	*number = json_is_number(member) ? json_number_value(member) : text ? strtod(text, &end) : -1;
	if ((text && end && (end == text || *end)) || !(*number >= 0 && *number <= most))
		return err_set(err, ERR_INVALID, "DLP rule %s: `%s` must be a number from 0 to %g", id, key, most);
	return 0;
}

/* `near` and `value`: a word, an assignment of some kind, the value, and its end. */
static const char *near_pattern(const json_t *json, const char *near, const char *id, struct err *err)
{
	const char *value = json_text(json, "value", NULL);
	char *pattern;

	if (!value) {
		err_set(err, ERR_INVALID, "DLP rule %s: `near` needs a `value`", id);
		return NULL;
	}
	pattern = text_format("(?i:%s)" NEAR_GAP "(?:=|:|=>|,|>)[ \\t]{0,3}[\"'`\\\\]{0,4}[ \\t]{0,2}(%s)(?:[^\\w\\-]|$)", near,
			      value);
	return pattern;
}

static int rule_read_pattern(struct dlp_rules *rules, const json_t *json, struct rule *rule, struct err *err)
{
	const char *near = json_text(json, "near", NULL);
	AUTO_FREE const char *made = NULL;

	rule->pattern = json_text(json, "pattern", NULL);
	if (!near == !rule->pattern)
		return err_set(err, ERR_INVALID, "DLP rule %s: give it a `pattern`, or `near` and `value`", rule->id);
	if (near) {
		made = near_pattern(json, near, rule->id, err);
		if (!made)
			return -1;
		/* The source owns it, as it owns the other texts. */
		json_array_append_new(json_object_get(rules->source, "made"), json_string(made));
		rule->pattern = json_string_value(json_array_get(json_object_get(rules->source, "made"),
								 json_array_size(json_object_get(rules->source, "made")) - 1));
		rule->group = 1;
		rule->loose = true;
	}
	if (!rule->pattern || strlen(rule->pattern) > PATTERN_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "DLP rule %s: its pattern is longer than %d bytes", rule->id, PATTERN_BYTES_MAX);
	return 0;
}

static int rule_paths(const json_t *json, const char ***paths, const char *id, struct err *err)
{
	if (rule_texts(json, "paths", paths, id, err))
		return -1;
	for (size_t i = 0; (*paths)[i]; i++)
		if ((*paths)[i][0] != '/' && (*paths)[i][0] != '*')
			return err_set(err, ERR_INVALID, "DLP rule %s: `paths` are patterns that begin with `/`: /v1/*", id);
	return 0;
}

static int action_read(const json_t *json, const char *id, enum dlp_action *read, struct err *err)
{
	const char *action = json_text(json, "action", "block");
	size_t i;

	*read = DLP_NONE;
	if (strcmp(action, "off") == 0)
		return 0;
	for (i = DLP_LOG; i <= DLP_BLOCK && strcmp(action, action_names[i]) != 0; i++)
		;
	if (i > DLP_BLOCK)
		return err_set(err, ERR_INVALID, "DLP rule %s: `action` is block, hold, redact, log or off, not `%.40s`", id,
			       action);
	*read = (enum dlp_action)i;
	return 0;
}

static int rule_read_words(const json_t *json, struct rule *rule, struct err *err)
{
	const char *check = json_text(json, "check", "none");
	const char *loose = json_text(json, "loose", NULL);
	size_t i;

	if (action_read(json, rule->id, &rule->action, err))
		return -1;
	for (i = 0; i < ARRAY_LEN(checks) && strcmp(check, checks[i].name) != 0; i++)
		;
	if (i == ARRAY_LEN(checks))
		return err_set(err, ERR_INVALID, "DLP rule %s: there is no check `%.40s`", rule->id, check);
	rule->check = checks[i].check;
	if (loose)
		rule->loose = strcmp(loose, "true") == 0;
	rule->loose = json_flag(json, "loose", rule->loose);
	return 0;
}

static int rule_compile(struct rule *rule, bool group_given, struct err *err)
{
	hs_compile_error_t *wrong = NULL;
	hs_expr_info_t *info = NULL;
	uint32_t groups = 0;
	unsigned least;

	if (hs_expression_info(rule->pattern, RULE_FLAGS, &info, &wrong) != HS_SUCCESS) {
		err_set(err, ERR_INVALID, "DLP rule %s: its pattern cannot be used: %s", rule->id,
			wrong ? wrong->message : "no memory");
		hs_free_compile_error(wrong);
		return -1;
	}
	rule->width = info->max_width < RULE_WIDTH_MOST ? info->max_width : RULE_WIDTH_MOST;
	least = info->min_width;
	free(info);
	if (!least)
		return err_set(err, ERR_INVALID, "DLP rule %s: its pattern matches nothing at all", rule->id);
	rule->code = pattern_compile(rule->pattern, "pattern", rule->id, err);
	if (!rule->code)
		return -1;
	(void)pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	if (rule->group > groups)
		return err_set(err, ERR_INVALID, "DLP rule %s: its pattern has no group %u", rule->id, rule->group);
	if (!group_given && !rule->group && groups)
		rule->group = 1;
	return 0;
}

/* With `*`, it is a pattern of ids. */
static bool id_is_good(const char *id)
{
	size_t length = id ? strlen(id) : 0;

	if (!length || length >= DLP_RULE_ID_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("-_.*", id[i]))
			return false;
	return true;
}

static void rule_fini(struct rule *rule)
{
	pcre2_code_free(rule->code);
	pcre2_code_free(rule->allowed);
	free(rule->stops);
	free(rule->keywords);
	free(rule->paths);
	*rule = (struct rule){.id = ""};
}

static struct rule *rule_find(struct dlp_rules *rules, const char *id)
{
	for (size_t i = 0; i < rules->count; i++)
		if (strcmp(rules->list[i].id, id) == 0)
			return &rules->list[i];
	return NULL;
}

static int rule_read(struct dlp_rules *rules, const json_t *json, struct rule *rule, struct err *err)
{
	double group = 0;

	rule->title = json_text(json, "title", rule->id);
	if (rule_read_pattern(rules, json, rule, err) || rule_read_words(json, rule, err) ||
	    rule_texts(json, "stop", &rule->stops, rule->id, err) || rule_texts(json, "keywords", &rule->keywords, rule->id, err) ||
	    rule_allowed(json, rule->id, &rule->allowed, err) || rule_paths(json, &rule->paths, rule->id, err) ||
	    rule_number(json, "entropy", 8, &rule->entropy, rule->id, err) || rule_number(json, "group", 99, &group, rule->id, err))
		return -1;
	if (json_member(json, "group"))
		rule->group = (unsigned)group;
	return rule_compile(rule, json_member(json, "group") || json_member(json, "near"), err);
}

static const char *const known_keys[] = {"id",    "title",   "pattern", "near",  "value",  "keywords", "group", "stop",
					 "allow", "entropy", "check",   "loose", "action", "paths",    "found", "clean"};

static int rule_check_keys(const json_t *json, const char *id, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json, key, value) {
		size_t i = 0;

		while (i < ARRAY_LEN(known_keys) && strcmp(known_keys[i], key) != 0)
			i++;
		if (i == ARRAY_LEN(known_keys))
			return err_set(err, ERR_INVALID, "DLP rule %s: `%.40s` is not a key of a rule", id, key);
	}
	return 0;
}

static bool rules_have(const struct dlp_rules *rules, const char *id)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rule_name_fits(id, rules->list[i].id))
			return true;
	return false;
}

static void rules_remove(struct dlp_rules *rules, const char *id)
{
	for (size_t i = rules->count; i-- > 0;) {
		if (!rule_name_fits(id, rules->list[i].id))
			continue;
		rule_fini(&rules->list[i]);
		rules->list[i] = rules->list[--rules->count];
	}
}

static int amendment_check_keys(const json_t *json, const char *id, struct err *err)
{
	static const char *const keys[] = {"id", "action", "allow", "paths"};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json, key, value) {
		size_t i = 0;

		while (i < ARRAY_LEN(keys) && strcmp(keys[i], key) != 0)
			i++;
		if (i == ARRAY_LEN(keys))
			return err_set(err, ERR_INVALID, "DLP rule %s: `%.40s` needs a `pattern`, or `near` and `value`", id, key);
	}
	return 0;
}

/* Something about rules that are there: another action, values that are none, for all requests or those for some paths. */
static int rules_amend(struct dlp_rules *rules, const json_t *json, const char *id, struct err *err)
{
	struct amendment *amendment;

	if (!rules_have(rules, id))
		return err_set(err, ERR_INVALID, "DLP rule %s: there is none of that name, and it has no `pattern` or `near`", id);
	if (amendment_check_keys(json, id, err))
		return -1;
	if (rules->amendment_count == DLP_RULES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d changes to DLP rules", DLP_RULES_MAX);
	rules->amendments = mem_grow(rules->amendments, rules->amendment_count + 1, sizeof *amendment);
	amendment = &rules->amendments[rules->amendment_count++];
	*amendment = (struct amendment){
		.turn = rules->turn++, .id = json_text(json, "id", ""), .acts = json_member(json, "action") != NULL};
	if (rule_paths(json, &amendment->paths, id, err) || rule_allowed(json, id, &amendment->allowed, err) ||
	    action_read(json, id, &amendment->action, err))
		return -1;
	if (!amendment->acts && !amendment->allowed)
		return err_set(err, ERR_INVALID, "DLP rule %s: give it an `action` or `allow`", id);
	rules->paths |= amendment->paths[0] != NULL;
	if (amendment->acts && amendment->action == DLP_NONE && !amendment->paths[0])
		rules_remove(rules, id);
	return 0;
}

static int rules_add(struct dlp_rules *rules, const json_t *json, struct err *err)
{
	const char *id = json_text(json, "id", NULL);
	struct rule rule = {.id = ""};
	struct rule *old;

	if (!json_is_object(json) || !id_is_good(id))
		return err_set(err, ERR_INVALID, "a DLP rule needs an `id`: letters, digits, `-`, `_` and `.`, at most %d",
			       DLP_RULE_ID_MAX - 1);
	if (rule_check_keys(json, id, err))
		return -1;
	if (!json_member(json, "pattern") && !json_member(json, "near"))
		return rules_amend(rules, json, id, err);
	if (strchr(id, '*'))
		return err_set(err, ERR_INVALID, "DLP rule %s: a rule of its own has a name without `*`", id);
	old = rule_find(rules, id);
	if (!old && rules->count == DLP_RULES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d DLP rules", DLP_RULES_MAX);
	rule.turn = rules->turn++;
	(void)snprintf(rule.id, sizeof rule.id, "%s", id);
	if (!rules->names && rule_read(rules, json, &rule, err)) {
		rule_fini(&rule);
		return -1;
	}
	rules->paths |= rule.paths && rule.paths[0];
	if (old) {
		rule_fini(old);
		*old = rule;
	} else {
		rules->list = mem_grow(rules->list, rules->count + 1, sizeof rule);
		rules->list[rules->count++] = rule;
	}
	if (rule.action == DLP_NONE && !rules->names)
		rules_remove(rules, id);
	return 0;
}

/* *wrong: which of the list is. */
static int rules_add_all(struct dlp_rules *rules, const json_t *list, size_t *wrong, struct err *err)
{
	AUTO_JSON kept = json_deep_copy(list);
	size_t i;
	json_t *json;

	if (!json_is_array(list))
		return err_set(err, ERR_INVALID, "DLP rules must be a list");
	json_array_append(json_object_get(rules->source, "lists"), kept);
	json_array_foreach(kept, i, json) {
		*wrong = i;
		if (rules_add(rules, json, err))
			return -1;
	}
	return 0;
}

/* The database */

uint64_t database_serial(void)
{
	static atomic_uint_least64_t next = 1;

	return atomic_fetch_add(&next, 1);
}

static char *cache_path(const struct dlp_rules *rules, const char *cache_dir)
{
	AUTO_FREE struct view *parts = mem_new_array(rules->count + 1, sizeof *parts);
	AUTO_FREE char *version = text_format("%s, %d", hs_version(), CACHE_FORMAT);
	struct digest digest;

	parts[0] = view_of(version);
	for (size_t i = 0; i < rules->count; i++)
		parts[i + 1] = view_of(rules->list[i].pattern);
	digest = digest_of_parts(parts, rules->count + 1);
	return text_format("%s/dlp-%.32s.hs", cache_dir, digest.text);
}

/* The library checks version, processor and CRC itself: what does not fit is compiled again. */
static hs_database_t *cache_load(const char *path)
{
	AUTO_BUF bytes = buf_new(CACHE_BYTES_MAX);
	hs_database_t *database = NULL;

	if (!file_exists(path) || file_read(path, &bytes, NULL) || buf_finish(&bytes, NULL))
		return NULL;
	return hs_deserialize_database(bytes.at, bytes.length, &database) == HS_SUCCESS ? database : NULL;
}

/* A cache that cannot be written costs time at the next start and nothing else. */
static void cache_store(const char *cache_dir, const char *path, const hs_database_t *database)
{
	char *bytes = NULL;
	size_t length = 0;

	if (hs_serialize_database(database, &bytes, &length) != HS_SUCCESS)
		return;
	if (file_make_dirs(cache_dir, 0700, NULL) == 0 && file_replace(path, view_make(bytes, length), 0600, NULL) != 0)
		(void)remove(path);
	free(bytes);
}

/*
 * What Hyperscan is given: repeats that may be many have no maximum there (counting them costs it seconds to compile and states to run), and
 * what a match ends with is asked for no longer than it must be. It reports more than the rule means, and PCRE2 decides.
 */
static char *pattern_widened(const char *pattern)
{
	AUTO_BUF out = buf_new(PATTERN_BYTES_MAX * 2);
	size_t last_from = 0, last_least = 0;

	for (const char *at = pattern; *at;) {
		unsigned least, most;
		int length = 0;

		if (*at == '\\' && at[1]) {
			buf_add(&out, at, 2);
			at += 2;
			continue;
		}
		if (*at == '{' && sscanf(at, "{%u,%u}%n", &least, &most, &length) == 2 && length) {
			last_from = out.length;
			last_least = least;
			if (most >= COUNTED_MOST)
				buf_add_format(&out, "{%u,}", least);
			else
				buf_add(&out, at, (size_t)length);
			at += length;
			last_from = at[strspn(at, ")")] && strcmp(at + strspn(at, ")"), "\\b") != 0 ? 0 : last_from;
			if (last_from && last_least) {
				buf_cut(&out, last_from);
				buf_add_format(&out, "{%zu}", last_least);
				buf_add(&out, at, strspn(at, ")"));
				break;
			}
			continue;
		}
		buf_add_char(&out, *at++);
	}
	return buf_take(&out);
}

/* What a match begins with, as far as it is letters, digits, `_` and `-`: its length. */
static size_t pattern_prefix(const char *pattern, const char **prefix)
{
	size_t length = 0;

	if (strncmp(pattern, "\\b", 2) == 0)
		pattern += 2;
	while (*pattern == '(' && (pattern[1] != '?' || strncmp(pattern, "(?:", 3) == 0))
		pattern += pattern[1] == '?' ? 3 : 1;
	while (pattern[length] && (isalnum((unsigned char)pattern[length]) || strchr("_-", pattern[length])))
		length++;
	/* What may be absent, or has another beside it, is no prefix. */
	if (pattern[length] && strchr("?*{|", pattern[length]))
		length = 0;
	*prefix = pattern;
	return length;
}

/* The prefixes of rules backwards, and then by rot13: where one is seen, the text is read that way too. */
static void rules_turn(struct dlp_rules *rules)
{
	rules->turned = mem_new_array(rules->count * 2 + 1, sizeof *rules->turned);
	for (int kind = 0; kind < 2; kind++) {
		size_t count = 0;

		for (size_t i = 0; i < rules->count; i++) {
			const char *prefix;
			size_t length = pattern_prefix(rules->list[i].pattern, &prefix);
			char *turned;

			if (length < TURNED_PREFIX_LEAST)
				continue;
			turned = view_copy(view_make(prefix, length));
			for (size_t j = 0; j < length; j++) {
				char c = prefix[kind ? j : length - 1 - j];

				if (kind && isalpha((unsigned char)c))
					c = (char)((islower((unsigned char)c) ? 'a' : 'A') + ((c | 0x20) - 'a' + 13) % 26);
				turned[j] = c;
			}
			rules->turned[(kind ? rules->turned_count : 0) + count++] = turned;
		}
		rules->turned_count = count;
	}
}

int rules_database(struct dlp_rules *rules, const char *cache_dir, struct err *err)
{
	size_t all;
	AUTO_FREE char *path = cache_dir ? cache_path(rules, cache_dir) : NULL;
	AUTO_FREE char **patterns = NULL;
	AUTO_FREE unsigned *flags = NULL;
	AUTO_FREE unsigned *ids = NULL;
	hs_compile_error_t *wrong = NULL;
	hs_error_t failed;

	rules_turn(rules);
	all = rules->count + 2 * rules->turned_count;
	patterns = mem_new_array(all, sizeof *patterns);
	flags = mem_new_array(all, sizeof *flags);
	ids = mem_new_array(all, sizeof *ids);
	rules->serial = database_serial();
	rules->database = path ? cache_load(path) : NULL;
	if (rules->database)
		return 0;
	for (size_t i = 0; i < all; i++) {
		patterns[i] = i < rules->count ? pattern_widened(rules->list[i].pattern)
					       : text_copy(rules->turned[i - rules->count]);
		ids[i] = (unsigned)i;
		flags[i] = RULE_FLAGS;
	}
	failed = hs_compile_multi((const char *const *)patterns, flags, ids, (unsigned)all, HS_MODE_STREAM, NULL, &rules->database,
				  &wrong);
	for (size_t i = 0; i < all; i++)
		free(patterns[i]);
	if (failed != HS_SUCCESS) {
		err_set(err, ERR_INVALID, "DLP rule %s: its pattern cannot be used: %s",
			wrong && wrong->expression >= 0 && (size_t)wrong->expression < rules->count
				? rules->list[wrong->expression].id
				: "set",
			wrong ? wrong->message : "no memory");
		hs_free_compile_error(wrong);
		return -1;
	}
	if (path)
		cache_store(cache_dir, path, rules->database);
	return 0;
}

/* Without the database. `names`: of Assay's own rules only their names, for who wants to know whether others are good. */
static struct dlp_rules *rules_read(const json_t *own, bool without_own, bool names, size_t *wrong, struct err *err)
{
	struct dlp_rules *rules = mem_new(sizeof *rules);
	bool good;

	atomic_init(&rules->references, 1);
	rules->source = json_pack("{s:[],s:[]}", "lists", "made");
	rules->names = names;
	good = without_own || rules_add_all(rules, dlp_rules_built_in(), wrong, err) == 0;
	*wrong = SIZE_MAX;
	rules->names = false;
	if (!good || (own && rules_add_all(rules, own, wrong, err))) {
		dlp_rules_unref(rules);
		return NULL;
	}
	return rules;
}

struct dlp_rules *dlp_rules_new(const json_t *own, bool without_own, const char *cache_dir, struct err *err)
{
	size_t wrong;
	struct dlp_rules *rules = rules_read(own, without_own, false, &wrong, err);

	if (rules && rules->count && rules_database(rules, cache_dir, err)) {
		dlp_rules_unref(rules);
		return NULL;
	}
	return rules;
}

int dlp_rules_check(const json_t *own, size_t *wrong, struct err *err)
{
	struct dlp_rules *rules = rules_read(own, false, true, wrong, err);

	if (!rules)
		return -1;
	dlp_rules_unref(rules);
	return 0;
}

struct dlp_rules *dlp_rules_ref(struct dlp_rules *rules)
{
	atomic_fetch_add(&rules->references, 1);
	return rules;
}

void dlp_rules_unref(struct dlp_rules *rules)
{
	if (!rules || atomic_fetch_sub(&rules->references, 1) != 1)
		return;
	for (size_t i = 0; i < rules->count; i++)
		rule_fini(&rules->list[i]);
	for (size_t i = 0; rules->turned && i < 2 * rules->turned_count; i++)
		free(rules->turned[i]);
	free(rules->turned);
	for (size_t i = 0; i < rules->amendment_count; i++) {
		pcre2_code_free(rules->amendments[i].allowed);
		free(rules->amendments[i].paths);
	}
	free(rules->amendments);
	hs_free_database(rules->database);
	json_decref(rules->source);
	free(rules->list);
	free(rules);
}

size_t dlp_rules_count(const struct dlp_rules *rules)
{
	return rules->count;
}
