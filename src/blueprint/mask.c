/* Of `mask` and `subset`: columns, and what is put in their values' place; tables, and what is kept of them. */
#include <string.h>

#include "base/scope.h"
#include "blueprint/reader_priv.h"

#define RULES_MAX ((size_t)2000)
#define SUBSET_EXPECTED "10%, a condition on the table's columns, or referenced"
#define KEYS_EXPECTED "keys: PATTERN, or PATTERN/FIELD of hashes"
#define COLUMN_EXPECTED "a column: TABLE.COLUMN, SCHEMA.TABLE.COLUMN, or TABLE.COLUMN/KEY within JSON"
#define FIXED_PREFIX "fixed:"
#define KIND_EXPECTED "keep, null, fixed:TEXT, email, name, phone, token, card, address, text, number or date"

static const char *const kind_names[] = {
	[MASK_KEEP] = "keep",       [MASK_NULL] = "null",   [MASK_FIXED] = "fixed",   [MASK_EMAIL] = "email",
	[MASK_NAME] = "name",       [MASK_PHONE] = "phone", [MASK_TOKEN] = "token",   [MASK_CARD] = "card",
	[MASK_ADDRESS] = "address", [MASK_TEXT] = "text",   [MASK_NUMBER] = "number", [MASK_DATE] = "date",
};

const char *mask_kind_name(enum mask_kind kind)
{
	return kind_names[kind];
}

/* "table.column" or "schema.table.column", perhaps with a path into JSON behind it. */
static bool column_is_good(const char *column)
{
	size_t length = strcspn(column, "/");
	struct view rest = view_make(column, length);
	size_t parts = 0;

	for (const char *at = column; *at; at++)
		if ((unsigned char)*at < ' ')
			return false;
	while (rest.at) {
		struct view part = view_cut(rest, '.', &rest);

		if (!part.length)
			return false;
		parts++;
	}
	return (parts == 2 || parts == 3) && (!column[length] || column[length + 1]);
}

/* "user:*", perhaps with a field of hashes behind it. */
static bool keys_are_good(const char *keys)
{
	size_t length = strcspn(keys, "/");

	for (const char *at = keys; *at; at++)
		if ((unsigned char)*at < ' ')
			return false;
	return length && (!keys[length] || keys[length + 1]);
}

static int kind_read(struct reader *reader, const struct tree_node *value, struct mask_rule *rule)
{
	const char *text = value->kind == TREE_SCALAR ? value->text : NULL;

	if (text && strncmp(text, FIXED_PREFIX, strlen(FIXED_PREFIX)) == 0) {
		rule->kind = MASK_FIXED;
		rule->fixed = arena_copy(reader->arena, view_trim(view_of(text + strlen(FIXED_PREFIX))));
		return 0;
	}
	for (size_t i = 0; text && i < ARRAY_LEN(kind_names); i++)
		if (i != MASK_FIXED && strcmp(text, kind_names[i]) == 0) {
			rule->kind = (enum mask_kind)i;
			return 0;
		}
	return reader_expect(reader, value, KIND_EXPECTED);
}

/* Room for as many rules as the mapping has, put into the record. NULL: it is none. */
static void *rules_take(struct reader *reader, const struct field *field, const struct tree_node *value, void *record, size_t size)
{
	void *rules;

	if (value->kind != TREE_MAP) {
		(void)reader_expect(reader, value, field->expected);
		return NULL;
	}
	if (value->count > RULES_MAX) {
		(void)reader_refuse(reader, value, "more than %zu entries", RULES_MAX);
		return NULL;
	}
	rules = arena_take_array(reader->arena, value->count + 1, size);
	memcpy((char *)record + field->offset, &rules, sizeof(rules));
	memcpy((char *)record + field->count_offset, &value->count, sizeof(value->count));
	return rules;
}

int set_subset(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct subset_rule *rules = rules_take(reader, field, value, record, sizeof(*rules));

	for (size_t i = 0; rules && i < value->count; i++) {
		const struct tree_pair *pair = &value->pairs[i];
		const char *text = tree_text(pair->value);
		struct view rest;
		uint64_t percent;

		if (!text)
			return reader_expect(reader, pair->value, SUBSET_EXPECTED);
		rules[i].table = arena_copy(reader->arena, view_of(pair->key->text));
		if (view_to_u64(view_cut(view_of(text), '%', &rest), &percent) && rest.at && !rest.length) {
			if (percent < 1 || percent > 100)
				return reader_expect(reader, pair->value, SUBSET_EXPECTED);
			rules[i].percent = (int)percent;
		} else if (strcmp(text, "referenced") != 0) {
			rules[i].where = arena_copy(reader->arena, view_of(text));
		}
	}
	return rules ? 0 : -1;
}

int set_mask(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct mask_rule *rules = rules_take(reader, field, value, record, sizeof(*rules));

	for (size_t i = 0; rules && i < value->count; i++) {
		const struct tree_pair *pair = &value->pairs[i];

		rules[i].column = arena_copy(reader->arena, view_of(pair->key->text));
		if (kind_read(reader, pair->value, &rules[i]))
			return -1;
	}
	return rules ? 0 : -1;
}

int mask_names_check(struct reader *reader, const struct tree_node *value, const char *database, bool keys)
{
	for (size_t i = 0; value && i < value->count; i++) {
		const struct tree_node *name = value->pairs[i].key;

		if (keys ? !keys_are_good(name->text) : !column_is_good(name->text))
			return reader_refuse(reader, name, "databases.%s.mask: expected %s, found `%s`", database,
					     keys ? KEYS_EXPECTED : COLUMN_EXPECTED, name->text);
	}
	return 0;
}
