/* Two values, field by field: what a difference is called, how bad it is in which layer, and what is said of it. */
#include <strings.h>

#include "base/scope.h"
#include "verify/compare_priv.h"
#include "verify/format.h"

#define TITLE_MAX 400
#define ORDERED_MIN ((size_t)3)

static const json_t *fields_noise(void *self, const char *path)
{
	const struct judge *judge = self;

	return judge->noise ? NULL : judge_noise(judge, path);
}

static void learn_difference(struct judge *judge, const struct difference *difference)
{
	const char *suffix = "";
	AUTO_FREE char *path = NULL;
	struct view trimmed = view_of(difference->path);

	switch (difference->kind) {
	case DIFFERENCE_MISSING:
	case DIFFERENCE_ADDED:
		suffix = "#presence";
		break;
	case DIFFERENCE_ELEMENT:
		if (view_ends(trimmed, VIEW("[]")))
			trimmed.length -= 2;
		suffix = "#length";
		break;
	case DIFFERENCE_LENGTH:
		suffix = "#length";
		break;
	case DIFFERENCE_ORDER:
		suffix = "#order";
		break;
	case DIFFERENCE_TYPE:
	case DIFFERENCE_VALUE:
	case DIFFERENCE_FORMAT:
		break;
	}
	path = text_format("%.*s%s", (int)trimmed.length, trimmed.at, suffix);
	judge_learn(judge, path, suffix[0] ? NULL : difference->expected, suffix[0] ? NULL : difference->got);
}

static bool names_secret(const char *path)
{
	static const char *const words[] = {"password", "passwd", "secret",  "token",       "api_key", "apikey",
					    "private",  "ssn",    "card_no", "card_number", "cvv",     "password_hash"};
	const char *dot = strrchr(path, '.');
	const char *name = dot ? dot + 1 : path;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

static bool looks_secret(const char *path, const json_t *value)
{
	const char *text = json_string_value(value);
	AUTO_BUF mask = buf_new((size_t)64 << 10);

	if (names_secret(path) && (json_is_string(value) || json_is_number(value)))
		return true;
	if (!text)
		return false;
	format_mask(&mask, view_of(text));
	return strstr(text, "PRIVATE KEY-----") || (mask.at && strcmp(mask.at, "<jwt>") == 0);
}

static bool is_wording(const char *path)
{
	static const char *const words[] = {"error", "message", "detail", "title", "description", "reason", "hint"};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(dot ? dot + 1 : path, words[i]) == 0)
			return true;
	return false;
}

struct judgement {
	enum severity severity;
	int weight;
};

/* -1, 0 or 1 for two numbers or two texts; false: they are neither. */
static bool scalars_compare(const json_t *a, const json_t *b, int *order)
{
	double left = json_number_value(a);
	double right = json_number_value(b);

	if (json_is_number(a) && json_is_number(b))
		*order = (left > right) - (left < right);
	else if (json_is_string(a) && json_is_string(b))
		*order = strcmp(json_string_value(a), json_string_value(b));
	else
		return false;
	*order = (*order > 0) - (*order < 0);
	return true;
}

/* 1: each element's field (NULL: the element itself) is larger than the one before, -1: smaller; 0: neither. */
static int sorted_by(const json_t *list, const char *field)
{
	int direction = 0;

	for (size_t i = 1; i < json_array_size(list); i++) {
		const json_t *before = json_array_get(list, i - 1);
		const json_t *element = json_array_get(list, i);
		int order;

		if (!scalars_compare(field ? json_member(before, field) : before, field ? json_member(element, field) : element,
				     &order) ||
		    !order || (direction && order != -direction))
			return 0;
		direction = -order;
	}
	return direction;
}

/* Was the list sorted by something, and is it not any more? Of three elements, only where it is now sorted the other way round: too often they
 * are in an order by chance. */
static bool order_is_lost(const json_t *expected, const json_t *got)
{
	size_t count = json_array_size(expected);
	const json_t *first = json_array_get(expected, 0);
	const char *field;
	json_t *value;

	if (count < ORDERED_MIN || json_array_size(got) != count)
		return false;
	if (!json_is_object(first)) {
		int was = sorted_by(expected, NULL);
		int is = sorted_by(got, NULL);

		return was && (count > ORDERED_MIN ? is != was : is == -was);
	}
	json_object_foreach((json_t *)(uintptr_t)first, field, value) {
		int was = sorted_by(expected, field);
		int is = was ? sorted_by(got, field) : 0;

		if (was && (count > ORDERED_MIN ? is != was : is == -was))
			return true;
	}
	return false;
}

/* In a list: what is lost is noticed, what comes on top or stands elsewhere may be meant. */
static struct judgement list_judgement(const struct difference *difference)
{
	size_t had = json_array_size(difference->expected);
	size_t has = json_array_size(difference->got);

	if (difference->kind == DIFFERENCE_ELEMENT)
		return difference->expected ? (struct judgement){SEVERITY_BLOCK, WEIGHT_VALUE + 2}
					    : (struct judgement){SEVERITY_WARN, WEIGHT_VALUE};
	if (difference->kind == DIFFERENCE_LENGTH && has < had)
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_VALUE + 2};
	if (difference->kind == DIFFERENCE_ORDER && order_is_lost(difference->expected, difference->got))
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_VALUE + 1};
	return (struct judgement){SEVERITY_WARN, WEIGHT_SLIGHT};
}

static struct judgement field_judgement(const struct judge *judge, const struct difference *difference)
{
	switch (difference->kind) {
	case DIFFERENCE_MISSING:
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_SHAPE + 2};
	case DIFFERENCE_TYPE:
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_SHAPE};
	case DIFFERENCE_FORMAT:
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_SHAPE - 2};
	case DIFFERENCE_ADDED:
		return looks_secret(difference->path, difference->got) ? (struct judgement){SEVERITY_BLOCK, WEIGHT_SHAPE + 4}
								       : (struct judgement){SEVERITY_INFO, WEIGHT_SLIGHT};
	case DIFFERENCE_VALUE:
		if (judge->soft && json_is_string(difference->expected) && is_wording(difference->path))
			return (struct judgement){SEVERITY_WARN, WEIGHT_SLIGHT};
		return (struct judgement){SEVERITY_BLOCK, WEIGHT_VALUE};
	case DIFFERENCE_ELEMENT:
	case DIFFERENCE_LENGTH:
	case DIFFERENCE_ORDER:
		return list_judgement(difference);
	}
	return (struct judgement){SEVERITY_BLOCK, WEIGHT_VALUE};
}

/* What the layers make of it: a seam's body may change, the outside's and the database's not. */
static struct judgement layer_judgement(const struct judge *judge, const struct difference *difference)
{
	struct judgement judgement = field_judgement(judge, difference);

	switch (judge->layer) {
	case LAYER_BODY:
		return judgement;
	case LAYER_HEADER:
	case LAYER_COOKIE:
		judgement.weight = WEIGHT_HEADER;
		return judgement;
	case LAYER_SEAM:
	case LAYER_KEYS:
	case LAYER_LOG:
		if (judgement.severity == SEVERITY_BLOCK)
			judgement.severity = SEVERITY_WARN;
		judgement.weight = WEIGHT_SEAM;
		return judgement;
	case LAYER_OUTBOUND:
	case LAYER_ROWS:
		judgement.weight = WEIGHT_EFFECT + (judgement.weight - WEIGHT_VALUE) / 4; /* a lost field before a changed value */
		return judgement;
	}
	return judgement;
}

static void describe_change(struct buf *out, const struct difference *difference, const json_t *class_)
{
	switch (difference->kind) {
	case DIFFERENCE_MISSING:
		buf_add_text(out, " is gone (was ");
		value_describe(out, difference->expected);
		buf_add_char(out, ')');
		return;
	case DIFFERENCE_ADDED:
		buf_add_text(out, " is new: ");
		value_describe(out, difference->got);
		return;
	case DIFFERENCE_TYPE:
		buf_add_format(out, " was %s, is %s: ", json_type_name(difference->expected), json_type_name(difference->got));
		break;
	case DIFFERENCE_FORMAT:
		buf_add_text(out, " has lost its form (");
		class_describe(out, class_);
		buf_add_text(out, "): ");
		break;
	case DIFFERENCE_VALUE:
		buf_add_char(out, ' ');
		break;
	case DIFFERENCE_ELEMENT:
		buf_add_text(out, difference->expected ? " lost an element: " : " has a new element: ");
		value_describe(out, difference->expected ? difference->expected : difference->got);
		return;
	case DIFFERENCE_LENGTH:
		buf_add_format(out, " has %zu elements instead of %zu", json_array_size(difference->got),
			       json_array_size(difference->expected));
		return;
	case DIFFERENCE_ORDER:
		buf_add_text(out, " has the same elements in another order");
		return;
	}
	value_describe(out, difference->expected);
	buf_add_text(out, " → ");
	value_describe(out, difference->got);
}

static const char *layer_word(const struct judge *judge)
{
	static const char *const words[] = {"body", "header", "cookie", "", "", "", ""};

	return words[judge->layer];
}

static void fields_report(void *self, const struct difference *difference)
{
	struct judge *judge = self;
	struct judgement judgement;
	AUTO_BUF text = buf_new(TITLE_MAX * 2);
	const char *word = layer_word(judge);

	if (judge->noise) {
		learn_difference(judge, difference);
		return;
	}
	if (judge->shape_only && difference->kind != DIFFERENCE_MISSING && difference->kind != DIFFERENCE_TYPE &&
	    difference->kind != DIFFERENCE_FORMAT)
		return;
	judgement = layer_judgement(judge, difference);
	buf_add_text(&text, judge->within);
	if (word[0])
		buf_add_format(&text, "%s%s", text.length ? " " : "", word);
	if (difference->path[0])
		buf_add_format(&text, "%s%s",
			       !text.length                                               ? ""
			       : judge->layer == LAYER_BODY && difference->path[0] != '[' ? "."
											  : " ",
			       difference->path);
	describe_change(&text, difference, judge_noise(judge, difference->path));
	judge_report(judge, difference_name(difference->kind), difference->path, judgement.severity, judgement.weight,
		     difference->expected, difference->got, "%s", text.at);
}

void judge_values(struct judge *judge, const json_t *expected, const json_t *got)
{
	const struct fields_rules rules = {fields_noise, fields_report, judge};

	fields_compare(expected, got, &rules);
}
