/* Reading mappings by their tables, and the setters. */
#include "blueprint/reader_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "base/world.h"

static void *place(void *record, size_t offset)
{
	return (char *)record + offset;
}

int reader_refuse(struct reader *reader, const struct tree_node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)err_set_va(reader->err, ERR_INVALID, format, args);
	va_end(args);
	if (reader->path[0])
		(void)err_prefix(reader->err, "%s", reader->path);
	return err_prefix(reader->err, "%s:%d:%d", reader->file_name, node ? node->line : 1, node ? node->column : 1);
}

int reader_expect(struct reader *reader, const struct tree_node *node, const char *expected)
{
	AUTO_BUF found = buf_new(256);

	tree_describe(&found, node);
	return reader_refuse(reader, node, "expected %s, found %s", expected, found.at);
}

size_t reader_enter(struct reader *reader, const char *key)
{
	size_t mark = strlen(reader->path);

	(void)snprintf(reader->path + mark, sizeof(reader->path) - mark, "%s%.*s", mark ? "." : "", (int)READER_NAME_MAX, key);
	return mark;
}

void reader_leave(struct reader *reader, size_t mark)
{
	reader->path[mark] = '\0';
}

static const struct field *field_find(const struct section *section, const char *name)
{
	for (const struct field *field = section->fields; field->name; field++)
		if (strcmp(field->name, name) == 0)
			return field;
	return NULL;
}

static int key_unknown(struct reader *reader, const struct section *section, const struct tree_node *key)
{
	struct nearest nearest = nearest_new(view_of(key->text));
	AUTO_FREE char *where = text_format("%s%s", reader->path[0] ? " in " : "", reader->path);
	AUTO_BUF shown = buf_new(256);
	AUTO_BUF known = buf_new(512);

	tree_describe(&shown, key);
	for (const struct field *field = section->fields; field->name; field++) {
		nearest_offer(&nearest, field->name);
		buf_add_format(&known, "%s%s", known.length ? ", " : "", field->name);
	}
	reader->path[0] = '\0';
	if (nearest.name)
		return reader_refuse(reader, key, "unknown key %s%s: did you mean `%s`?", shown.at, where, nearest.name);
	return reader_refuse(reader, key, "unknown key %s%s: expected one of %s", shown.at, where, known.at);
}

/* One pair of a section. */
static int pair_read(struct reader *reader, const struct section *section, const struct tree_pair *pair, void *record)
{
	const struct field *field = field_find(section, pair->key->text);
	const struct tree_node *outer = reader->at;
	size_t mark;
	int result;

	if (!field)
		return key_unknown(reader, section, pair->key);
	if (tree_is_null(pair->value))
		return 0;
	mark = reader_enter(reader, field->name);
	reader->at = pair->key;
	result = field->set(reader, field, pair->value, record);
	reader->at = outer;
	if (result == 0)
		reader_leave(reader, mark);
	return result;
}

int reader_section(struct reader *reader, const struct section *section, const struct tree_node *map, void *record)
{
	bool empty = tree_is_null(map);

	if (!empty && map->kind != TREE_MAP)
		return reader_expect(reader, map, "a mapping");
	for (size_t i = 0; !empty && i < map->count; i++)
		if (pair_read(reader, section, &map->pairs[i], record))
			return -1;
	for (const struct field *field = section->fields; field->name; field++)
		if (field->required && !tree_find(map, field->name))
			return reader_refuse(reader, reader->at, "needs `%s`: %s", field->name, field->expected);
	return 0;
}

bool path_is_inside(const char *path)
{
	struct view rest = view_of(path);

	if (!path[0] || path[0] == '/')
		return false;
	for (const char *at = path; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f || *at == '\\')
			return false;
	while (rest.at)
		if (view_is(view_cut(rest, '/', &rest), ".."))
			return false;
	return true;
}

static bool label_view_is_good(struct view label, size_t length_max)
{
	if (!label.length || label.length > length_max || label.at[0] == '-' || label.at[label.length - 1] == '-')
		return false;
	for (size_t i = 0; i < label.length; i++)
		if (!islower((unsigned char)label.at[i]) && !isdigit((unsigned char)label.at[i]) && label.at[i] != '-')
			return false;
	return true;
}

bool name_is_label(const char *name)
{
	return label_view_is_good(view_of(name), READER_NAME_MAX);
}

bool name_is_host(const char *name)
{
	struct view rest = view_of(name);
	struct view label = {0};

	if (rest.length > 253)
		return false;
	while (rest.at) {
		label = view_cut(rest, '.', &rest);
		if (!label_view_is_good(label, 63))
			return false;
	}
	return label.at && strspn(label.at, "0123456789") != label.length;
}

bool name_is_sql(const char *name)
{
	bool good = (isalpha((unsigned char)name[0]) || name[0] == '_') && strlen(name) <= 63;

	for (const char *at = name; good && *at; at++)
		good = isalnum((unsigned char)*at) || *at == '_' || *at == '-';
	return good;
}

bool host_is_address(const char *text)
{
	struct in_addr address;

	return inet_pton(AF_INET, text, &address) == 1;
}

/* The text of a scalar within the limits, or NULL after an error. */
static const char *text_get(struct reader *reader, const char *expected, const struct tree_node *value)
{
	const char *text = tree_text(value);

	if (!text || !text[0]) {
		(void)reader_expect(reader, value, expected);
		return NULL;
	}
	if (strlen(text) > READER_TEXT_MAX) {
		(void)reader_refuse(reader, value, "longer than %zu bytes", READER_TEXT_MAX);
		return NULL;
	}
	return text;
}

static int text_store(struct reader *reader, const char *text, void *at)
{
	char *copy = arena_copy(reader->arena, view_of(text));

	memcpy(at, &copy, sizeof(copy));
	return 0;
}

int set_text(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = text_get(reader, field->expected, value);

	return text ? text_store(reader, text, place(record, field->offset)) : -1;
}

int set_label(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = text_get(reader, field->expected, value);

	if (!text)
		return -1;
	if (!name_is_label(text))
		return reader_expect(reader, value, field->expected);
	return text_store(reader, text, place(record, field->offset));
}

int set_path(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = text_get(reader, field->expected, value);

	if (!text)
		return -1;
	if (!path_is_inside(text))
		return reader_expect(reader, value, field->expected);
	return text_store(reader, text, place(record, field->offset));
}

int set_flag(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	bool *at = place(record, field->offset);
	bool yes = value->kind == TREE_SCALAR && value->plain && strcmp(value->text, "true") == 0;
	bool no = value->kind == TREE_SCALAR && value->plain && strcmp(value->text, "false") == 0;

	if (!yes && !no)
		return reader_expect(reader, value, field->expected);
	*at = yes;
	return 0;
}

/* A plain decimal number within the field's bounds. */
static int number_get(struct reader *reader, const struct field *field, const struct tree_node *value, int64_t *number)
{
	uint64_t read;

	if (value->kind != TREE_SCALAR || !value->plain || !view_to_u64(view_of(value->text), &read) ||
	    read > (uint64_t)field->most || (int64_t)read < field->least)
		return reader_expect(reader, value, field->expected);
	*number = (int64_t)read;
	return 0;
}

int set_int(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int *at = place(record, field->offset);
	int64_t number = 0;

	if (number_get(reader, field, value, &number))
		return -1;
	*at = (int)number;
	return 0;
}

static int word_get(struct reader *reader, const struct field *field, const struct tree_node *value, int *index)
{
	const char *text = tree_text(value);
	struct nearest nearest = nearest_new(view_of(text ? text : ""));
	AUTO_BUF shown = buf_new(256);

	for (*index = 0; text && field->words[*index]; (*index)++) {
		if (strcmp(field->words[*index], text) == 0)
			return 0;
		nearest_offer(&nearest, field->words[*index]);
	}
	if (!nearest.name)
		return reader_expect(reader, value, field->expected);
	tree_describe(&shown, value);
	return reader_refuse(reader, value, "expected %s, found %s: did you mean `%s`?", field->expected, shown.at, nearest.name);
}

int set_word(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int index;
	unsigned stored;

	if (word_get(reader, field, value, &index))
		return -1;
	stored = (unsigned)(index + field->least);
	memcpy(place(record, field->offset), &stored, sizeof(stored));
	return 0;
}

int set_word_text(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int index;

	return word_get(reader, field, value, &index) ? -1 : text_store(reader, field->words[index], place(record, field->offset));
}

int set_duration(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int64_t *at = place(record, field->offset);
	const char *text = tree_text(value);

	if (!text || duration_parse(view_of(text), at, NULL) || *at < field->least || *at > field->most)
		return reader_expect(reader, value, field->expected);
	return 0;
}

int set_size(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int64_t *at = place(record, field->offset);
	const char *text = tree_text(value);

	if (!text || size_parse(view_of(text), at, NULL) || *at < field->least || *at > field->most)
		return reader_expect(reader, value, field->expected);
	return 0;
}

/* The texts of a list, NULL-terminated, or NULL after an error. An empty text is allowed in an argument list only. */
static char **texts_get(struct reader *reader, const char *expected, const struct tree_node *list, bool empty_allowed)
{
	char **texts;

	if (list->kind != TREE_LIST) {
		(void)reader_expect(reader, list, expected);
		return NULL;
	}
	if (list->count > READER_TEXTS_MAX) {
		(void)reader_refuse(reader, list, "more than %zu entries", READER_TEXTS_MAX);
		return NULL;
	}
	texts = arena_take_array(reader->arena, list->count + 1, sizeof(*texts));
	for (size_t i = 0; i < list->count; i++) {
		const struct tree_node *item = list->items[i];
		const char *text = empty_allowed && item->kind == TREE_SCALAR && !item->plain ? item->text
											      : text_get(reader, expected, item);

		if (!text)
			return NULL;
		texts[i] = arena_copy(reader->arena, view_of(text));
	}
	return texts;
}

static int command_read(struct reader *reader, const char *expected, const struct tree_node *value, struct command *command)
{
	const char *line;

	if (value->kind == TREE_LIST) {
		command->argv = texts_get(reader, expected, value, true);
		if (!command->argv)
			return -1;
		return command->argv[0] && command->argv[0][0]
			       ? 0
			       : reader_refuse(reader, value, "expected %s, found an empty list", expected);
	}
	line = text_get(reader, expected, value);
	return line ? text_store(reader, line, &command->shell) : -1;
}

int set_command(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return command_read(reader, field->expected, value, place(record, field->offset));
}

int set_commands(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct command **at = place(record, field->offset);
	size_t *count = place(record, field->count_offset);
	bool many = value->kind == TREE_LIST;

	*count = many ? value->count : 1;
	if (*count > READER_MEMBERS_MAX)
		return reader_refuse(reader, value, "more than %zu entries", READER_MEMBERS_MAX);
	*at = arena_take_array(reader->arena, *count, sizeof(**at));
	for (size_t i = 0; i < *count; i++)
		if (command_read(reader, field->expected, many ? value->items[i] : value, &(*at)[i]))
			return -1;
	return 0;
}

int set_texts(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct texts *texts = place(record, field->offset);

	texts->at = texts_get(reader, field->expected, value, false);
	texts->count = texts->at ? value->count : 0;
	return texts->at ? 0 : -1;
}

/* "claude", or "claude:model": the agent is one of the words. */
static bool is_candidate(const char *text, const char *const *words)
{
	size_t length = strcspn(text, ":");

	for (; *words; words++)
		if (strlen(*words) == length && memcmp(*words, text, length) == 0)
			return !text[length] || text[length + 1];
	return false;
}

/* A list of 1 to `most` of them. */
static int agents_get(struct reader *reader, const struct field *field, const struct tree_node *value, size_t most,
		      struct texts *agents)
{
	agents->at = texts_get(reader, field->expected, value, false);
	if (!agents->at)
		return -1;
	agents->count = value->count;
	if (!agents->count || agents->count > most)
		return reader_expect(reader, value, field->expected);
	for (size_t i = 0; i < agents->count; i++)
		if (!is_candidate(agents->at[i], blueprint_agent_words))
			return reader_expect(reader, value->items[i], "an agent, or AGENT:MODEL");
	return 0;
}

int set_candidates(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct candidates *candidates = place(record, field->offset);
	const char *text = tree_text(value);
	uint64_t number = 0;

	if (text) {
		if (!view_to_u64(view_of(text), &number) || number < 1 || number > BLUEPRINT_CANDIDATES_MAX)
			return reader_expect(reader, value, field->expected);
		candidates->count = (size_t)number;
		return 0;
	}
	if (agents_get(reader, field, value, BLUEPRINT_CANDIDATES_MAX, &candidates->agents))
		return -1;
	candidates->count = candidates->agents.count;
	return 0;
}

int set_reviewers(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return agents_get(reader, field, value, BLUEPRINT_REVIEWERS_MAX, place(record, field->offset));
}

int set_paths(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const struct texts *texts = place(record, field->offset);

	if (set_texts(reader, field, value, record))
		return -1;
	for (size_t i = 0; i < texts->count; i++)
		if (!path_is_inside(texts->at[i]))
			return reader_expect(reader, value->items[i], "a path inside the checkout, without `..`");
	return 0;
}

bool name_is_variable(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '_')
			return false;
	return true;
}

int set_variables(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct variables *variables = place(record, field->offset);

	if (value->kind != TREE_MAP)
		return reader_expect(reader, value, field->expected);
	if (value->count > READER_TEXTS_MAX)
		return reader_refuse(reader, value, "more than %zu variables", READER_TEXTS_MAX);
	variables->at = arena_take_array(reader->arena, value->count, sizeof(*variables->at));
	variables->count = value->count;
	for (size_t i = 0; i < value->count; i++) {
		const struct tree_pair *pair = &value->pairs[i];

		if (!name_is_variable(pair->key->text))
			return reader_expect(reader, pair->key, "the name of a variable: letters, digits and `_`");
		if (strncmp(pair->key->text, "ASSAY_", 6) == 0)
			return reader_refuse(reader, pair->key, "names that begin with ASSAY_ are set by assay");
		if (pair->value->kind != TREE_SCALAR)
			return reader_expect(reader, pair->value, "a text");
		if (strlen(pair->value->text) > READER_TEXT_MAX)
			return reader_refuse(reader, pair->value, "longer than %zu bytes", READER_TEXT_MAX);
		variables->at[i].name = arena_copy(reader->arena, view_of(pair->key->text));
		variables->at[i].value = arena_copy(reader->arena, view_of(tree_is_null(pair->value) ? "" : pair->value->text));
	}
	return 0;
}

int set_secrets(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	if (set_variables(reader, field, value, record))
		return -1;
	for (size_t i = 0; i < value->count; i++) {
		const struct tree_node *name = value->pairs[i].value;

		if (tree_is_null(name) || !name_is_label(name->text))
			return reader_expect(reader, name, "the name of a credential, as `assay secret list` shows it");
	}
	return 0;
}

int set_section(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return reader_section(reader, field->section, value, place(record, field->offset));
}

/* Room for the records of a list or mapping. */
static char *records_make(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	size_t members_max = reader->members_max ? reader->members_max : READER_MEMBERS_MAX;
	char *at;

	if (value->count > members_max) {
		(void)reader_refuse(reader, value, "more than %zu entries", members_max);
		return NULL;
	}
	at = arena_take_array(reader->arena, value->count, field->section->size);
	memcpy(place(record, field->offset), &at, sizeof(at));
	memcpy(place(record, field->count_offset), &value->count, sizeof(value->count));
	return at;
}

static int members_read(struct reader *reader, const struct field *field, const struct tree_node *value, void *record,
			bool (*name_is_good)(const char *name), const char *name_expected)
{
	const struct tree_node *outer = reader->at;
	char *at;

	if (value->kind != TREE_MAP)
		return reader_expect(reader, value, field->expected);
	at = records_make(reader, field, value, record);
	for (size_t i = 0; at && i < value->count; i++, at += field->section->size) {
		const struct tree_node *key = value->pairs[i].key;
		char *name = arena_copy(reader->arena, view_of(key->text));
		size_t mark;

		for (char *c = name; name_is_good == name_is_host && *c; c++)
			*c = (char)tolower((unsigned char)*c);
		if (!name_is_good(name))
			return reader_expect(reader, key, name_expected);
		mark = reader_enter(reader, name);
		reader->at = key;
		memcpy(at, &name, sizeof(name));
		if (reader_section(reader, field->section, value->pairs[i].value, at))
			return -1;
		reader_leave(reader, mark);
	}
	reader->at = outer;
	return at ? 0 : -1;
}

int set_members(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return members_read(reader, field, value, record, name_is_label,
			    "a name of lower-case letters, digits and dashes, at most 40");
}

int set_host_members(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	return members_read(reader, field, value, record, name_is_host, "the name of a host");
}

int set_records(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	char *at;

	if (value->kind != TREE_LIST)
		return reader_expect(reader, value, field->expected);
	at = records_make(reader, field, value, record);
	for (size_t i = 0; at && i < value->count; i++, at += field->section->size) {
		const struct tree_node *item = value->items[i];

		reader->at = item;
		if (item->kind != TREE_MAP)
			return reader_expect(reader, item, field->expected);
		if (reader_section(reader, field->section, item, at))
			return -1;
	}
	return at ? 0 : -1;
}
