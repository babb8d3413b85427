/* The walk over two values at once. */
#include "verify/fields.h"

#include <stdlib.h>

#include "base/scope.h"
#include "verify/format.h"

#define PATH_MAX_BYTES ((size_t)4096)
#define ALIGN_MAX ((size_t)20000) /* longer lists are compared by index */

struct walk {
	const struct fields_rules *rules;
	struct buf path;
};

static void walk_values(struct walk *walk, const json_t *expected, const json_t *got);

static void report(struct walk *walk, enum difference_kind kind, const json_t *expected, const json_t *got)
{
	struct difference difference = {
		.kind = kind, .path = walk->path.length ? walk->path.at : "", .expected = expected, .got = got};

	walk->rules->report(walk->rules->self, &difference);
}

static const json_t *noise_at(struct walk *walk, const char *suffix)
{
	size_t length = walk->path.length;
	const json_t *class_;

	buf_add_text(&walk->path, suffix);
	class_ = walk->rules->noise(walk->rules->self, walk->path.length ? walk->path.at : "");
	if (walk->path.at) {
		walk->path.length = length;
		walk->path.at[length] = '\0';
	}
	return class_;
}

static size_t push(struct walk *walk, const char *text)
{
	size_t length = walk->path.length;

	if (length && text[0] != '[')
		buf_add_char(&walk->path, '.');
	buf_add_text(&walk->path, text);
	return length;
}

static void pop(struct walk *walk, size_t length)
{
	walk->path.length = length;
	if (walk->path.at)
		walk->path.at[length] = '\0';
}

static void walk_objects(struct walk *walk, json_t *expected, json_t *got)
{
	const char *key;
	json_t *value;

	json_object_foreach(expected, key, value) {
		json_t *other = json_object_get(got, key);
		size_t length = push(walk, key);

		if (other)
			walk_values(walk, value, other);
		else if (!noise_at(walk, "#presence"))
			report(walk, DIFFERENCE_MISSING, value, NULL);
		pop(walk, length);
	}
	json_object_foreach(got, key, value) {
		size_t length;

		if (json_object_get(expected, key))
			continue;
		length = push(walk, key);
		if (!noise_at(walk, "#presence"))
			report(walk, DIFFERENCE_ADDED, NULL, value);
		pop(walk, length);
	}
}

/* ---- lists ---- */

/* What an element is called by: the text of one of its fields, or of itself when it is a scalar. Owned by the caller, NULL: nothing. */
static char *identity_text(const json_t *element, const char *field)
{
	const json_t *value = field ? json_object_get(element, field) : element;
	AUTO_BUF text = buf_new((size_t)64 << 10);

	if (!value || json_is_null(value) || json_is_array(value) ||
	    (json_is_object(value) && (!field || strcmp(field, "key") != 0)))
		return NULL;
	json_format_sorted(&text, value);
	return text.over ? NULL : buf_take(&text);
}

/* Index by identity, or NULL when an element has none or two share one. Owned by the caller. */
static json_t *identities(const json_t *list, const char *field)
{
	json_t *index = json_object();

	for (size_t i = 0; i < json_array_size(list); i++) {
		AUTO_FREE char *text = identity_text(json_array_get(list, i), field);

		if (!text || json_object_get(index, text)) {
			json_decref(index);
			return NULL;
		}
		(void)json_object_set_new(index, text, json_integer((json_int_t)i));
	}
	return index;
}

static bool field_noisy(struct walk *walk, const char *field)
{
	AUTO_FREE char *suffix = field ? text_format("[].%s", field) : text_copy("[]");

	return noise_at(walk, suffix) != NULL;
}

struct alignment {
	json_t *expected; /* identity -> index */
	json_t *got;
	size_t common;
};

static bool align_by(struct walk *walk, const json_t *expected, const json_t *got, const char *field, struct alignment *alignment)
{
	const char *key;
	json_t *value;

	if (field_noisy(walk, field))
		return false;
	alignment->expected = identities(expected, field);
	alignment->got = alignment->expected ? identities(got, field) : NULL;
	alignment->common = 0;
	if (alignment->got) {
		json_object_foreach(alignment->expected, key, value)
			alignment->common += json_object_get(alignment->got, key) != NULL;
		/* Half of them shared, or it is not the identity that stayed. */
		if (2 * alignment->common >= json_array_size(expected) && alignment->common)
			return true;
	}
	json_decref(alignment->expected);
	json_decref(alignment->got);
	return false;
}

static bool align(struct walk *walk, const json_t *expected, const json_t *got, struct alignment *alignment)
{
	static const char *const fields[] = {"id", "key", "_id", "uuid", "sku", "slug", "code", "name"};
	const json_t *first = json_array_get(expected, 0);
	const char *key;
	json_t *value;

	if (json_array_size(expected) > ALIGN_MAX || json_array_size(got) > ALIGN_MAX || !first)
		return false;
	if (!json_is_object(first))
		return align_by(walk, expected, got, NULL, alignment);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (json_object_get(first, fields[i]) && align_by(walk, expected, got, fields[i], alignment))
			return true;
	json_object_foreach((json_t *)(uintptr_t)first, key, value) {
		struct view name = view_of(key);

		if ((view_ends(name, VIEW("_id")) || view_ends(name, VIEW("Id"))) && align_by(walk, expected, got, key, alignment))
			return true;
	}
	return false;
}

static void walk_aligned(struct walk *walk, const json_t *expected, const json_t *got, struct alignment *alignment)
{
	bool length_noisy = noise_at(walk, "#length") != NULL;
	bool missing = false;
	bool ordered = true;
	json_int_t last = -1;
	const char *key;
	json_t *value;
	size_t length = push(walk, "[]");

	json_object_foreach(alignment->expected, key, value) {
		const json_t *element = json_array_get(expected, (size_t)json_integer_value(value));
		const json_t *at = json_object_get(alignment->got, key);

		if (!at) {
			if (!missing && !length_noisy)
				report(walk, DIFFERENCE_ELEMENT, element, NULL);
			missing = true;
			continue;
		}
		ordered = ordered && json_integer_value(at) > last;
		last = json_integer_value(at);
		if (json_is_object(element))
			walk_values(walk, element, json_array_get(got, (size_t)json_integer_value(at)));
	}
	json_object_foreach(alignment->got, key, value) {
		if (json_object_get(alignment->expected, key) || length_noisy)
			continue;
		report(walk, DIFFERENCE_ELEMENT, NULL, json_array_get(got, (size_t)json_integer_value(value)));
		break;
	}
	pop(walk, length);
	if (!ordered && !noise_at(walk, "#order"))
		report(walk, DIFFERENCE_ORDER, expected, got);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char **texts_sorted(const json_t *list)
{
	size_t count = json_array_size(list);
	char **texts = mem_new_array(count + 1, sizeof(texts[0]));

	for (size_t i = 0; i < count; i++) {
		AUTO_BUF text = buf_new((size_t)1 << 20);

		json_format_sorted(&text, json_array_get(list, i));
		texts[i] = buf_take(&text);
	}
	qsort(texts, count, sizeof(texts[0]), compare_texts);
	return texts;
}

static void texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

/* Exactly the same elements, in another order? Only asked of lists of one length without identities. */
static bool only_order_differs(const json_t *expected, const json_t *got)
{
	size_t count = json_array_size(expected);
	char **a;
	char **b;
	bool same = true;

	if (count > ALIGN_MAX || json_equal(expected, got))
		return false;
	a = texts_sorted(expected);
	b = texts_sorted(got);
	for (size_t i = 0; same && i < count; i++)
		same = strcmp(a[i], b[i]) == 0;
	texts_free(a, count);
	texts_free(b, count);
	return same;
}

static void walk_lists(struct walk *walk, const json_t *expected, const json_t *got)
{
	size_t count = json_array_size(expected);
	size_t got_count = json_array_size(got);
	struct alignment alignment;
	size_t length;

	if (align(walk, expected, got, &alignment)) {
		walk_aligned(walk, expected, got, &alignment);
		json_decref(alignment.expected);
		json_decref(alignment.got);
		return;
	}
	if (count != got_count && !noise_at(walk, "#length"))
		report(walk, DIFFERENCE_LENGTH, expected, got);
	if (count == got_count && only_order_differs(expected, got)) {
		if (!noise_at(walk, "#order"))
			report(walk, DIFFERENCE_ORDER, expected, got);
		return;
	}
	length = push(walk, "[]");
	for (size_t i = 0; i < count && i < got_count; i++)
		walk_values(walk, json_array_get(expected, i), json_array_get(got, i));
	pop(walk, length);
}

static bool types_agree(const json_t *expected, const json_t *got)
{
	if (json_is_boolean(expected))
		return json_is_boolean(got);
	return json_typeof(expected) == json_typeof(got);
}

static void walk_values(struct walk *walk, const json_t *expected, const json_t *got)
{
	const json_t *class_ = noise_at(walk, "");

	/* Where the base itself is not in the class, the class is about another element of the same path. */
	if (class_ && class_has(class_, expected)) {
		if (!class_has(class_, got) && !json_equal(expected, got))
			report(walk, DIFFERENCE_FORMAT, expected, got);
	} else if (!types_agree(expected, got)) {
		report(walk, DIFFERENCE_TYPE, expected, got);
	} else if (json_is_object(expected)) {
		walk_objects(walk, (json_t *)(uintptr_t)expected, (json_t *)(uintptr_t)got);
	} else if (json_is_array(expected)) {
		walk_lists(walk, expected, got);
	} else if (!json_equal(expected, got)) {
		report(walk, DIFFERENCE_VALUE, expected, got);
	}
}

void fields_compare(const json_t *expected, const json_t *got, const struct fields_rules *rules)
{
	struct walk walk = {.rules = rules, .path = buf_new(PATH_MAX_BYTES)};

	walk_values(&walk, expected, got);
	buf_fini(&walk.path);
}

const char *difference_name(enum difference_kind kind)
{
	static const char *const names[] = {"missing", "added", "type", "value", "format", "element", "length", "order"};

	return names[kind];
}

const char *json_type_name(const json_t *value)
{
	static const char *const names[] = {"an object",     "a list",    "a string",  "an integer",
					    "a real number", "a boolean", "a boolean", "null"};

	return value ? names[json_typeof(value)] : "absent";
}
