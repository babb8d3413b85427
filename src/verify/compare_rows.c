/*
 * The layer of effects: rows written and deleted in databases, by table, and keys written in Redis, by the form of their names. A table's rows are a list
 * that is aligned by key; values that only a cache holds may change, what is queued may not.
 */
#include "base/scope.h"
#include "verify/compare_priv.h"
#include "verify/format.h"

#define CONNECTIONS_MORE 12    /* fewer are a pool: of ten, with most drivers */
#define CONNECTIONS_REQUESTS 3 /* one more for so many requests is a leak */

static void count_report(struct judge *judge, const char *kind, enum severity severity, size_t expected, size_t got,
			 const char *what)
{
	AUTO_JSON a = json_integer((json_int_t)expected);
	AUTO_JSON b = json_integer((json_int_t)got);

	judge_report(judge, kind, "", severity, severity == SEVERITY_BLOCK ? WEIGHT_EFFECT + 2 : WEIGHT_SLIGHT, a, b,
		     "%zu %s written instead of %zu", got, what, expected);
}

static void judge_table(struct judge *judge, const json_t *expected, const json_t *got)
{
	size_t count = json_array_size(expected);
	size_t got_count = json_array_size(got);
	AUTO_JSON none = json_array();

	if (count != got_count && judge->noise)
		judge_learn(judge, "#count", NULL, NULL);
	else if (count != got_count && !judge_noise(judge, "#count"))
		count_report(judge, "rows", SEVERITY_BLOCK, count, got_count, "rows");
	/* Of a table with more or fewer rows those of both runs are held against each other only when their keys tell which. */
	if (count == got_count)
		judge_values(judge, expected ? expected : none, got ? got : none);
}

static void judge_database(struct judge *judge, const char *database, json_t *expected, json_t *got)
{
	AUTO_JSON tables = json_object();
	const char *table;
	json_t *rows;

	(void)json_object_update(tables, expected);
	(void)json_object_update(tables, got);
	json_object_foreach(tables, table, rows) {
		AUTO_FREE char *place = text_format("rows of %s.%s", database, table);

		if (!json_is_array(rows))
			continue;
		judge->place = place;
		judge->layer = LAYER_ROWS;
		judge->within = "";
		judge_table(judge, json_object_get(expected, table), json_object_get(got, table));
	}
}

/* ---- rows that are gone ---- */

static int64_t touched_count(const json_t *touched)
{
	const char *text = json_string_value(json_array_get(touched, 0));
	uint64_t count = 0;

	return text && view_to_u64(view_of(text), &count) ? (int64_t)count : 0;
}

/* Have the same rows been written? */
static bool same_keys(const json_t *expected, const json_t *got)
{
	for (size_t i = 0; i < json_array_size(expected); i++)
		if (!json_equal(json_member(json_array_get(expected, i), "key"), json_member(json_array_get(got, i), "key")))
			return false;
	return true;
}

/* What became of the snapshot's rows in a table into which both wrote as many: those that are not what they were differ only by what was
 * deleted. */
static void judge_touched(struct judge *judge, const json_t *expected, const json_t *got, bool same)
{
	int64_t more = touched_count(got) - touched_count(expected);
	AUTO_JSON a = json_integer(touched_count(expected));
	AUTO_JSON b = json_integer(touched_count(got));

	if (json_equal(expected, got) || (!more && !same))
		return;
	if (judge->noise)
		judge_learn(judge, "#deleted", NULL, NULL);
	else if (judge_noise(judge, "#deleted"))
		return;
	else if (more > 0)
		judge_report(judge, "rows-deleted", "", SEVERITY_BLOCK, WEIGHT_EFFECT + 3, a, b,
			     "%lld more rows of the snapshot are deleted", (long long)more);
	else if (more < 0)
		judge_report(judge, "rows-left", "", SEVERITY_BLOCK, WEIGHT_EFFECT + 1, a, b,
			     "%lld rows of the snapshot that should be deleted are still there", (long long)-more);
	else
		judge_report(judge, "rows-deleted", "", SEVERITY_BLOCK, WEIGHT_EFFECT + 3, NULL, NULL,
			     "as many rows of the snapshot are deleted, but others");
}

static void judge_deleted(struct judge *judge, const json_t *base_rows, const json_t *head_rows)
{
	json_t *a = json_member(base_rows, "touched");
	json_t *b = json_member(head_rows, "touched");
	AUTO_JSON databases = json_object();
	const char *database;
	json_t *unused;

	if (json_flag(base_rows, "cut", false) || json_flag(head_rows, "cut", false))
		return; /* which rows were written is not known whole, and so not which were deleted */
	(void)json_object_update(databases, a);
	(void)json_object_update(databases, b);
	json_object_foreach(databases, database, unused) {
		const json_t *written_a = json_member(json_member(base_rows, "tables"), database);
		const json_t *written_b = json_member(json_member(head_rows, "tables"), database);
		json_t *of_a = json_member(a, database);
		json_t *of_b = json_member(b, database);
		AUTO_JSON tables = json_object();
		const char *table;
		json_t *touched;

		(void)json_object_update(tables, of_a);
		(void)json_object_update(tables, of_b);
		json_object_foreach(tables, table, touched) {
			AUTO_FREE char *place = text_format("rows of %s.%s", database, table);

			judge->place = place;
			judge->layer = LAYER_ROWS;
			judge->within = "";
			if (json_array_size(json_member(written_a, table)) == json_array_size(json_member(written_b, table)))
				judge_touched(judge, json_member(of_a, table), json_member(of_b, table),
					      same_keys(json_member(written_a, table), json_member(written_b, table)));
		}
	}
}

/* ---- Redis, and brokers ---- */

/* JSON inside a text is compared as JSON. */
static json_t *text_opened(json_t *value)
{
	const char *text = json_string_value(value);
	json_t *opened = text && (text[0] == '{' || text[0] == '[') ? json_parse(view_of(text), NULL) : NULL;

	return opened ? opened : json_incref(value);
}

/* A stream's entry is [id, [name, value, name, value…]]: its id is a time, what it says are its fields. */
static json_t *stream_opened(const json_t *value)
{
	json_t *entries = json_array();

	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *pairs = json_array_get(json_array_get(value, i), 1);
		json_t *fields = json_object();

		for (size_t k = 0; k + 1 < json_array_size(pairs); k += 2)
			if (json_is_string(json_array_get(pairs, k)))
				(void)json_object_set_new(fields, json_string_value(json_array_get(pairs, k)),
							  text_opened(json_array_get(pairs, k + 1)));
		(void)json_array_append_new(entries, fields);
	}
	return entries;
}

static json_t *value_opened(const json_t *key)
{
	json_t *value = json_member(key, "value");
	json_t *opened;
	const char *name;
	json_t *member;

	if (strcmp(json_text(key, "type", ""), "stream") == 0)
		return stream_opened(value);
	if (!json_is_object(value))
		return text_opened(value);
	opened = json_object();
	json_object_foreach(value, name, member)
		(void)json_object_set_new(opened, name, text_opened(member));
	return opened;
}

/* {form of the key: [{"type", "value"}, in the order of the keys]} */
static json_t *keys_by_form(json_t *keys)
{
	json_t *forms = json_object();
	const char *key;
	json_t *value;

	json_object_foreach(keys, key, value) {
		AUTO_BUF form = buf_new(8192);
		json_t *list;

		if (!json_is_object(value))
			continue;
		format_mask(&form, view_of(key));
		list = json_object_get(forms, form.at ? form.at : "");
		if (!list) {
			list = json_array();
			(void)json_object_set_new(forms, form.at ? form.at : "", list);
		}
		(void)json_array_append_new(
			list, json_pack("{s:s, s:o?}", "type", json_text(value, "type", ""), "value", value_opened(value)));
	}
	return forms;
}

/* Of a form whose keys all end by themselves on the base, one that never does: what is in it is never right again, or fills the memory. */
static void judge_expiry(struct judge *judge, json_t *expected, json_t *got, const char *place, const char *form)
{
	size_t of_form = 0;
	size_t stay = 0;
	const char *key;
	json_t *value;

	json_object_foreach(expected, key, value) {
		AUTO_BUF masked = buf_new(8192);

		format_mask(&masked, view_of(key));
		if (strcmp(masked.at ? masked.at : "", form) == 0 && !json_flag(value, "expires", false))
			return;
	}
	json_object_foreach(got, key, value) {
		AUTO_BUF masked = buf_new(8192);

		format_mask(&masked, view_of(key));
		if (strcmp(masked.at ? masked.at : "", form) == 0) {
			of_form++;
			stay += !json_flag(value, "expires", true);
		}
	}
	judge->place = place;
	judge->layer = LAYER_KEYS;
	judge->within = "";
	if (stay && judge->noise)
		judge_learn(judge, "#expires", NULL, NULL);
	else if (stay && !judge_noise(judge, "#expires"))
		judge_report(judge, "never-expires", "", SEVERITY_BLOCK, WEIGHT_EFFECT, NULL, NULL,
			     "%zu of %zu keys never expire; on the base they all do", stay, of_form);
}

/* Entries of a stream that a group takes on the base, and now leaves. */
static void judge_left(struct judge *judge, const char *database, json_t *expected, json_t *got)
{
	const char *stream, *group;
	json_t *about, *count;

	json_object_foreach(got, stream, about) {
		AUTO_FREE char *place = text_format("keys of %s %s", database, stream);

		judge->place = place;
		judge->layer = LAYER_ROWS;
		judge->within = "";
		json_object_foreach(json_member(about, "left"), group, count) {
			int64_t had = json_number(json_member(json_member(expected, stream), "left"), group, 0);
			AUTO_JSON before = json_integer(had);
			AUTO_FREE char *path = text_format("#left %s", group);

			if (judge->noise && json_integer_value(count) != had)
				judge_learn(judge, path, NULL, NULL);
			else if (!judge->noise && json_integer_value(count) > had && !judge_noise(judge, path))
				judge_report(judge, "messages-left", path, SEVERITY_BLOCK, WEIGHT_EFFECT + 3, before, count,
					     "%lld messages that the group %s did not take, or not acknowledge, instead of %lld",
					     (long long)json_integer_value(count), group, (long long)had);
		}
	}
}

/* Streams and lists are queues as those of brokers are: what is in them is work for somebody. */
static bool is_queue(const json_t *values)
{
	const char *type = json_text(json_array_get(values, 0), "type", "");

	return strcmp(type, "stream") == 0 || strcmp(type, "list") == 0 || strcmp(type, "queue") == 0;
}

static void judge_keys(struct judge *judge, const char *database, json_t *expected, json_t *got)
{
	AUTO_JSON a = keys_by_form(expected);
	AUTO_JSON b = keys_by_form(got);
	AUTO_JSON all = json_object();
	const char *form;
	json_t *values;

	(void)json_object_update(all, a);
	(void)json_object_update(all, b);
	json_object_foreach(all, form, values) {
		AUTO_FREE char *place = text_format("keys of %s %s", database, form);
		const json_t *left = json_object_get(a, form);
		const json_t *right = json_object_get(b, form);
		bool queue = is_queue(values);

		judge->place = place;
		judge->layer = queue ? LAYER_ROWS : LAYER_KEYS;
		judge->within = "";
		if (json_array_size(left) == 1 && json_array_size(right) == 1)
			judge_values(judge, json_array_get(left, 0), json_array_get(right, 0));
		else if (json_array_size(left) == json_array_size(right))
			judge_values(judge, left, right);
		else if (judge->noise)
			judge_learn(judge, "#count", NULL, NULL);
		else if (!judge_noise(judge, "#count"))
			count_report(judge, "keys", queue ? SEVERITY_BLOCK : SEVERITY_WARN, json_array_size(left),
				     json_array_size(right), "keys");
		if (json_array_size(left) && json_array_size(right) && !queue)
			judge_expiry(judge, expected, got, place, form);
	}
	judge_left(judge, database, expected, got);
}

/* Connections that are open when all is quiet, and more of them with every so many requests: taken, and not given back. */
static void judge_connections(struct judge *judge, const json_t *base_rows, const json_t *head_rows, int64_t requests)
{
	json_t *left = json_member(head_rows, "connections");
	const char *database;
	json_t *count;

	json_object_foreach(left, database, count) {
		AUTO_FREE char *place = text_format("connections of %s", database);
		int64_t more = requests / CONNECTIONS_REQUESTS > CONNECTIONS_MORE ? requests / CONNECTIONS_REQUESTS
										  : CONNECTIONS_MORE;
		int64_t is = json_integer_value(count);
		int64_t was = json_number(json_member(base_rows, "connections"), database, is);
		AUTO_JSON before = json_integer(was);

		judge->place = place;
		judge->layer = LAYER_ROWS;
		judge->within = "";
		if (is <= 2 * was || is < was + more)
			continue;
		if (judge->noise)
			judge_learn(judge, "#connections", NULL, NULL);
		else if (!judge_noise(judge, "#connections"))
			judge_report(judge, "connections", "", SEVERITY_BLOCK, WEIGHT_MANY, before, count,
				     "%lld are open after %lld requests, instead of %lld: they are not given back", (long long)is,
				     (long long)requests, (long long)was);
	}
}

static void judge_engine(struct judge *judge, const char *engine, const json_t *expected, const json_t *got,
			 void (*with)(struct judge *judge, const char *database, json_t *expected, json_t *got))
{
	json_t *a = json_member(expected, engine);
	json_t *b = json_member(got, engine);
	AUTO_JSON all = json_object();
	const char *database;
	json_t *value;

	(void)json_object_update(all, a);
	(void)json_object_update(all, b);
	json_object_foreach(all, database, value)
		with(judge, database, json_object_get(a, database), json_object_get(b, database));
}

void judge_rows(struct judge *judge, const json_t *base_rows, const json_t *head_rows, size_t requests)
{
	static const char *const keyed[] = {"redis", "rabbitmq", "nats"};

	judge->soft = false;
	judge_engine(judge, "tables", base_rows, head_rows, judge_database);
	judge_deleted(judge, base_rows, head_rows);
	for (size_t i = 0; i < ARRAY_LEN(keyed); i++)
		judge_engine(judge, keyed[i], base_rows, head_rows, judge_keys);
	judge_connections(judge, base_rows, head_rows, (int64_t)requests);
	judge->place = NULL;
}
