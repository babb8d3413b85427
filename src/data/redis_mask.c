/*
 * Masks and the leak scan of a Redis. The names of all keys are read first: SCAN may give a key twice while others are written, and a
 * mask of a mask would join nothing. A name that is no text cannot be asked about, and is said to be unreadable.
 */
#include "data/redis_mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "data/leak.h"
#include "data/mask.h"
#include "data/redis_wire.h"

#define LIMIT_MS 600000
#define KEYS_MAX ((size_t)1000000)
#define PLACES_MAX ((size_t)1000)
#define PART_LETTERS_MAX 24
#define PAGE "500"
#define PAGE_ENTRIES 500
#define NO_TEXT "\xef\xbf\xbd" /* what the reader of replies puts for a byte that is none */

struct work {
	struct wire *wire;
	const unsigned char *key;
	const struct mask_rule *rules;
	size_t rule_count;
	json_t *places; /* {"user:*": [1, 0, 0, 0, 0]}, the last of what cannot be read */
};

enum { UNREADABLE = LEAK_KINDS, COUNTS };

static json_t *ask(struct work *work, struct err *err, size_t count, const char *const *arguments)
{
	return redis_wire_command(work->wire, arguments, count, err);
}

#define ASK(work, err, ...) \
	ask(work, err, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

/* ---- names ---- */

/* One star after the other, each taken back at most once for a letter: no pattern makes it slow. */
static bool pattern_matches(struct view pattern, const char *text)
{
	const char *again = NULL;
	size_t star = 0;
	size_t at = 0;

	while (*text) {
		if (at < pattern.length && pattern.at[at] == '*') {
			star = ++at;
			again = text;
		} else if (at < pattern.length && pattern.at[at] == *text) {
			at++;
			text++;
		} else if (again) {
			at = star;
			text = ++again;
		} else {
			return false;
		}
	}
	while (at < pattern.length && pattern.at[at] == '*')
		at++;
	return at == pattern.length;
}

bool redis_rule_matches(const struct mask_rule *rule, const char *key, const char *field)
{
	size_t length = strcspn(rule->column, "/");
	const char *named = rule->column[length] ? rule->column + length + 1 : NULL;

	return pattern_matches(view_make(rule->column, length), key) && (!named || (field && strcmp(named, field) == 0));
}

char *redis_key_place(const char *key)
{
	AUTO_BUF place = buf_new((size_t)16 << 20);
	struct view rest = view_of(key);

	while (rest.at) {
		struct view part = view_cut(rest, ':', &rest);
		bool plain = part.length <= PART_LETTERS_MAX;

		for (size_t i = 0; i < part.length; i++)
			plain = plain && (isalpha((unsigned char)part.at[i]) || strchr("-_. ", part.at[i])) && part.at[i];
		if (plain)
			buf_add_view(&place, part);
		else
			buf_add_char(&place, '*');
		if (rest.at)
			buf_add_char(&place, ':');
	}
	return place.length ? buf_take(&place) : text_copy("*");
}

static bool is_text(const json_t *name)
{
	const char *text = json_string_value(name);

	return text && strlen(text) == json_string_length(name) && !strstr(text, NO_TEXT);
}

static const struct mask_rule *rule_of(const struct work *work, const char *key, const char *field)
{
	for (size_t i = 0; i < work->rule_count; i++)
		if (redis_rule_matches(&work->rules[i], key, field))
			return &work->rules[i];
	return NULL;
}

/* Is there a rule for the key as a whole that leaves nothing to be found in names? */
static bool is_kept(const struct work *work, const char *key)
{
	const struct mask_rule *rule = rule_of(work, key, NULL);

	return rule && rule->kind == MASK_KEEP;
}

static int names_read(struct work *work, json_t *names, struct err *err)
{
	AUTO_FREE char *cursor = text_copy("0");

	do {
		AUTO_JSON page = ASK(work, err, "SCAN", cursor, "COUNT", PAGE);
		const char *next = json_string_value(json_array_get(page, 0));
		json_t *name;
		size_t index;

		if (!page)
			return -1;
		if (!next)
			return err_set(err, ERR_BROKEN, "Redis answered SCAN with something else");
		json_array_foreach(json_array_get(page, 1), index, name) {
			if (json_object_size(names) >= KEYS_MAX)
				return err_set(err, ERR_LIMIT, "Redis holds more than %zu keys in one database", KEYS_MAX);
			if (json_is_string(name))
				(void)json_object_setn(names, json_string_value(name), json_string_length(name), name);
		}
		free(cursor);
		cursor = text_copy(next);
	} while (strcmp(cursor, "0") != 0);
	return 0;
}

/* Calls `each` with the name of every key, in every database. */
static int keys_each(struct work *work, int (*each)(struct work *work, const json_t *name, struct err *err), struct err *err)
{
	for (int number = 0; number < REDIS_DATABASES; number++) {
		AUTO_FREE char *text = text_format("%d", number);
		AUTO_JSON selected = ASK(work, err, "SELECT", text);
		AUTO_JSON names = json_object();
		void *at;

		if (!selected || names_read(work, names, err))
			return -1;
		for (at = json_object_iter(names); at; at = json_object_iter_next(names, at))
			if (each(work, json_object_iter_value(at), err))
				return -1;
	}
	return 0;
}

/* ---- masks ---- */

/* What stands for the value, owned by the caller. */
static char *made_for(const struct work *work, const struct mask_rule *rule, const json_t *value, struct err *err)
{
	static const struct mask_place place = {.unique = false};
	AUTO_BUF made = buf_new(MASK_VALUE_MAX);
	struct view old = view_make(json_string_value(value), json_string_length(value));

	if (mask_value(work->key, rule, &place, old, &made, err) || buf_finish(&made, err))
		return NULL;
	if (made.length && memchr(made.at, 0, made.length)) {
		(void)err_set(err, ERR_INVALID,
			      "a value with bytes that are no text is kept, removed (null) or replaced (fixed:TEXT)");
		return NULL;
	}
	return made.length ? buf_take(&made) : text_copy("");
}

static int string_mask(struct work *work, const char *key, const struct mask_rule *rule, struct err *err)
{
	AUTO_JSON value = ASK(work, err, "GET", key);
	AUTO_JSON set = NULL;
	AUTO_FREE char *made = NULL;

	if (!value || !json_is_string(value))
		return value ? 0 : -1; /* it ended meanwhile */
	made = made_for(work, rule, value, err);
	if (!made)
		return -1;
	set = ASK(work, err, "SET", key, made, "XX", "KEEPTTL");
	return set ? 0 : -1;
}

static int field_mask(struct work *work, const char *key, const json_t *name, const json_t *value, struct err *err)
{
	const struct mask_rule *rule = rule_of(work, key, json_string_value(name));
	AUTO_JSON set = NULL;
	AUTO_FREE char *made = NULL;

	if (!rule || rule->kind == MASK_KEEP)
		return 0;
	if (!is_text(name))
		return err_set(err, ERR_INVALID, "the name of a field is no text, and cannot be masked");
	if (rule->kind == MASK_NULL) {
		set = ASK(work, err, "HDEL", key, json_string_value(name));
		return set ? 0 : -1;
	}
	made = made_for(work, rule, value, err);
	if (!made)
		return -1;
	set = ASK(work, err, "HSET", key, json_string_value(name), made);
	return set ? 0 : -1;
}

static int hash_mask(struct work *work, const char *key, struct err *err)
{
	AUTO_JSON fields = ASK(work, err, "HGETALL", key);

	if (!fields)
		return -1;
	for (size_t i = 0; i + 1 < json_array_size(fields); i += 2)
		if (field_mask(work, key, json_array_get(fields, i), json_array_get(fields, i + 1), err))
			return -1;
	return 0;
}

/* The first rule that has to do with the key, whatever field it names, and changes something. */
static const struct mask_rule *rule_that_changes(const struct work *work, const char *key)
{
	for (size_t i = 0; i < work->rule_count; i++) {
		const struct mask_rule *rule = &work->rules[i];

		if (rule->kind != MASK_KEEP && pattern_matches(view_make(rule->column, strcspn(rule->column, "/")), key))
			return rule;
	}
	return NULL;
}

static int key_mask(struct work *work, const json_t *name, struct err *err)
{
	const char *key = json_string_value(name);
	const struct mask_rule *rule = rule_that_changes(work, key);
	const struct mask_rule *whole = rule_of(work, key, NULL);
	AUTO_JSON answer = NULL;
	const char *type;
	int result = 0;

	if (!rule)
		return 0;
	if (!is_text(name))
		return err_set(err, ERR_INVALID, "mask %s: the name of a key is no text", rule->column);
	answer = ASK(work, err, "TYPE", key);
	type = json_string_value(answer);
	if (!type)
		return answer ? err_set(err, ERR_BROKEN, "Redis answered TYPE with something else") : -1;
	if (whole && whole->kind == MASK_NULL) {
		AUTO_JSON gone = ASK(work, err, "DEL", key);

		return gone ? 0 : -1;
	}
	if (strcmp(type, "hash") == 0)
		result = hash_mask(work, key, err);
	else if (strcmp(type, "string") == 0 && whole)
		result = whole->kind == MASK_KEEP ? 0 : string_mask(work, key, whole, err);
	else if (strcmp(type, "none") != 0 && !(whole && whole->kind == MASK_KEEP))
		return err_set(
			err, ERR_INVALID,
			"mask %s: a key is a %s: texts and fields of hashes are masked, others are `keep` or `null`, as a whole",
			rule->column, type);
	return result ? err_prefix(err, "mask %s", rule->column) : 0;
}

int redis_keys_mask(const struct engine_target *target, int fd, const unsigned char key[DIGEST_KEY_BYTES],
		    const struct mask_rule *rules, size_t rule_count, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, LIMIT_MS, ENGINE_REPLY_BYTES_MAX);
	struct work work = {.wire = &wire, .key = key, .rules = rules, .rule_count = rule_count};

	(void)target;
	return keys_each(&work, key_mask, err);
}

/* ---- the search ---- */

static void found_add(struct work *work, const char *key, const char *field, const int64_t counts[COUNTS])
{
	AUTO_FREE char *keys = redis_key_place(key);
	AUTO_FREE char *fields = field ? redis_key_place(field) : NULL;
	AUTO_FREE char *place = fields && !strpbrk(fields, "*/") ? text_format("%s/%s", keys, fields) : text_copy(keys);
	const char *shown = json_object_size(work->places) < PLACES_MAX || json_object_get(work->places, place) ? place : "*";
	json_t *before = json_object_get(work->places, shown);
	bool any = false;

	for (size_t kind = 0; kind < COUNTS; kind++)
		any = any || counts[kind];
	if (!any)
		return;
	if (!before) {
		before = json_pack("[i, i, i, i, i]", 0, 0, 0, 0, 0);
		(void)json_object_set_new(work->places, shown, before);
	}
	for (size_t kind = 0; kind < COUNTS; kind++)
		(void)json_array_set_new(before, kind,
					 json_integer(json_integer_value(json_array_get(before, kind)) + counts[kind]));
}

static void text_look(struct work *work, const char *key, const char *field, const json_t *text)
{
	int64_t counts[COUNTS] = {0};

	leak_find(view_make(json_string_value(text), json_string_length(text)), field ? field : key, counts);
	found_add(work, key, field, counts);
}

/* A name is looked at part by part: behind a colon, an address would pass for the password of a URL. */
static void name_look(struct work *work, const char *key, const json_t *name)
{
	struct view rest = view_make(json_string_value(name), json_string_length(name));
	int64_t counts[COUNTS] = {0};

	while (rest.at)
		leak_find(view_cut(rest, ':', &rest), "", counts);
	found_add(work, key, NULL, counts);
}

static void unreadable_add(struct work *work, const char *key)
{
	found_add(work, key, NULL, (const int64_t[COUNTS]){[UNREADABLE] = 1});
}

/* Every text in a reply, however deep: elements of lists and sets, entries of streams. */
static void texts_look(struct work *work, const char *key, const json_t *reply)
{
	const json_t *item;
	size_t index;

	if (json_is_string(reply))
		text_look(work, key, NULL, reply);
	json_array_foreach(reply, index, item)
		texts_look(work, key, item);
}

static void fields_look(struct work *work, const char *key, const json_t *pairs)
{
	for (size_t i = 0; i + 1 < json_array_size(pairs); i += 2) {
		const json_t *name = json_array_get(pairs, i);
		const char *field = json_string_value(name);

		if (!is_kept(work, key) && field)
			name_look(work, key, name);
		if (field && !rule_of(work, key, field))
			text_look(work, key, field, json_array_get(pairs, i + 1));
	}
}

static int cursor_look(struct work *work, const char *key, const char *command, struct err *err)
{
	AUTO_FREE char *cursor = text_copy("0");

	do {
		AUTO_JSON page = ASK(work, err, command, key, cursor, "COUNT", PAGE);
		const char *next = json_string_value(json_array_get(page, 0));

		if (!page)
			return -1;
		if (!next)
			return err_set(err, ERR_BROKEN, "Redis answered %s with something else", command);
		if (strcmp(command, "HSCAN") == 0)
			fields_look(work, key, json_array_get(page, 1));
		else
			texts_look(work, key, json_array_get(page, 1));
		free(cursor);
		cursor = text_copy(next);
	} while (strcmp(cursor, "0") != 0);
	return 0;
}

static int list_look(struct work *work, const char *key, struct err *err)
{
	size_t entries = PAGE_ENTRIES;

	for (size_t from = 0; entries == PAGE_ENTRIES; from += PAGE_ENTRIES) {
		AUTO_FREE char *first = text_format("%zu", from);
		AUTO_FREE char *last = text_format("%zu", from + PAGE_ENTRIES - 1);
		AUTO_JSON page = ASK(work, err, "LRANGE", key, first, last);

		if (!page)
			return -1;
		texts_look(work, key, page);
		entries = json_array_size(page);
	}
	return 0;
}

static int stream_look(struct work *work, const char *key, struct err *err)
{
	AUTO_FREE char *from = text_copy("-");
	size_t entries = PAGE_ENTRIES;

	while (entries == PAGE_ENTRIES) {
		AUTO_JSON page = ASK(work, err, "XRANGE", key, from, "+", "COUNT", PAGE);
		const json_t *entry;
		size_t index;

		if (!page)
			return -1;
		json_array_foreach(page, index, entry) {
			const char *id = json_string_value(json_array_get(entry, 0));

			texts_look(work, key, json_array_get(entry, 1));
			if (index + 1 < PAGE_ENTRIES || !id)
				continue;
			free(from);
			from = text_format("(%s", id);
		}
		entries = json_array_size(page);
	}
	return 0;
}

static int value_look(struct work *work, const char *key, const char *type, struct err *err)
{
	if (strcmp(type, "string") == 0) {
		AUTO_JSON value = ASK(work, err, "GETRANGE", key, "0", "65535");

		if (!value)
			return -1;
		texts_look(work, key, value);
		return 0;
	}
	if (strcmp(type, "set") == 0)
		return cursor_look(work, key, "SSCAN", err);
	if (strcmp(type, "zset") == 0)
		return cursor_look(work, key, "ZSCAN", err);
	if (strcmp(type, "list") == 0)
		return list_look(work, key, err);
	if (strcmp(type, "stream") == 0)
		return stream_look(work, key, err);
	if (strcmp(type, "none") != 0)
		unreadable_add(work, key); /* a module's */
	return 0;
}

static int key_look(struct work *work, const json_t *name, struct err *err)
{
	const char *key = json_string_value(name);
	AUTO_JSON type = NULL;

	if (is_kept(work, key))
		return 0;
	name_look(work, key, name);
	if (!is_text(name)) {
		unreadable_add(work, key);
		return 0;
	}
	type = ASK(work, err, "TYPE", key);
	if (!type)
		return -1;
	if (!json_is_string(type))
		return err_set(err, ERR_BROKEN, "Redis answered TYPE with something else");
	if (strcmp(json_string_value(type), "hash") == 0)
		return cursor_look(work, key, "HSCAN", err);
	return rule_of(work, key, NULL) ? 0 : value_look(work, key, json_string_value(type), err);
}

json_t *redis_keys_scan(const struct engine_target *target, int fd, const struct mask_rule *rules, size_t rule_count,
			struct err *err)
{
	AUTO_JSON places = json_object();
	AUTO_JSON found = json_array();
	AUTO_WIRE wire = wire_new(fd, LIMIT_MS, ENGINE_REPLY_BYTES_MAX);
	struct work work = {.wire = &wire, .rules = rules, .rule_count = rule_count, .places = places};
	int result = keys_each(&work, key_look, err);
	const char *place;
	json_t *counts;

	(void)target;
	if (result)
		return NULL;
	json_object_foreach(places, place, counts)
		for (size_t kind = 0; kind < COUNTS; kind++) {
			json_int_t count = json_integer_value(json_array_get(counts, kind));
			const char *word = kind == UNREADABLE ? "unreadable key" : leak_name((enum leak_kind)kind);

			if (count)
				(void)json_array_append_new(found, json_pack("{s:s, s:s, s:I, s:b}", "column", place, "kind", word,
									     "count", count, "sampled", 0));
		}
	return TAKE(found);
}
