/*
 * The layer of calls: what the services asked of each other, of their databases and of the outside, for one request. Calls are a
 * multiset by edge, method and path template: concurrency may change their order. Messages that are given to a queue are calls by edge and
 * exchange, stream or subject, and are judged as strictly as what the outside is told: they are work for somebody.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/compare_priv.h"
#include "verify/call.h"
#include "verify/format.h"

#define MANY_CALLS 3      /* fewer are never "many" */
#define NEW_CALLS_MANY 5  /* of a call that the base does not make at all */
#define MANY_STATEMENTS 8 /* a page has ten or twelve of something */
#define STATEMENTS_FACTOR 3
#define BODY_MAX ((size_t)16 << 20)

/* Headers that carry a request's context from call to call. */
static const char *const propagated[] = {"traceparent", "baggage",   "x-request-id",    "x-correlation-id", "x-tenant",
					 "x-tenant-id", "tenant-id", "idempotency-key", "x-idempotency-key"};
/* What the outside must be told too. */
static const char *const outside_needs[] = {"authorization", "idempotency-key", "x-idempotency-key", "content-type",
					    "x-request-id"};

static bool is_outside(const struct judge *judge, const json_t *exchange)
{
	AUTO_BUF edge = buf_new(1024);
	struct view to;

	call_edge(&edge, exchange, judge->comparison->options.inside);
	to = view_make(edge.at, edge.length);
	to = view_make(to.at + view_find(to, VIEW(" > ")) + 3, to.length - (size_t)view_find(to, VIEW(" > ")) - 3);
	AUTO_FREE char *name = view_copy(to);
	return !json_object_get(judge->comparison->options.inside, name);
}

static bool is_seam(const json_t *exchange)
{
	return strcmp(json_text(exchange, "from", ""), "preview") != 0;
}

static int calls_order(const void *left, const void *right)
{
	const json_t *const *a = left;
	const json_t *const *b = right;
	const json_t *first = json_member(*a, "request");
	const json_t *second = json_member(*b, "request");
	int order = strcmp(json_text(first, "url", ""), json_text(second, "url", ""));

	return order ? order : strcmp(json_text(first, "body", ""), json_text(second, "body", ""));
}

static void list_sort(json_t *list)
{
	size_t count = json_array_size(list);
	json_t **at = mem_new_array(count + 1, sizeof(json_t *));

	for (size_t i = 0; i < count; i++)
		at[i] = json_incref(json_array_get(list, i));
	qsort(at, count, sizeof(json_t *), calls_order);
	(void)json_array_clear(list);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, at[i]);
	free(at);
}

/* Has the place of a message a name for one connection only, or is it the protocol's own? */
static bool is_private(const char *place)
{
	static const char *const prefixes[] = {"_INBOX.", "$JS.", "amq.gen-", "amq.rabbitmq.reply-to"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(place, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* Calls of HTTP, and messages that are given to a queue: what they are called in, appended. false: neither. */
static bool call_group(struct buf *name, const struct judge *judge, const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");
	bool publishes = call_is_message(exchange) && strcmp(json_text(request, "method", ""), "publish") == 0 &&
			 !is_private(json_text(request, "url", ""));

	if (!is_seam(exchange) || (!publishes && !call_is(exchange, "http")))
		return false;
	call_edge(name, exchange, judge->comparison->options.inside);
	buf_add_char(name, ' ');
	call_endpoint(name, exchange);
	return true;
}

/* {"front > catalog GET /products/:id": [exchanges], "orders > mq publish orders/created": […]}, each list in a stable order. */
static json_t *calls_group(const struct judge *judge, const json_t *seams)
{
	json_t *groups = json_object();
	const char *key;
	json_t *list;

	for (size_t i = 0; i < json_array_size(seams); i++) {
		json_t *exchange = json_array_get(seams, i);
		AUTO_BUF name = buf_new(16384);

		if (!call_group(&name, judge, exchange))
			continue;
		list = json_object_get(groups, name.at);
		if (!list) {
			list = json_array();
			(void)json_object_set_new(groups, name.at, list);
		}
		(void)json_array_append(list, exchange);
	}
	json_object_foreach(groups, key, list)
		list_sort(list);
	return groups;
}

static size_t failures_of(const json_t *calls)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(calls); i++)
		count += call_status(json_array_get(calls, i)) >= 500;
	return count;
}

/* Did every call of the list carry the header? */
static bool all_carry(const json_t *calls, const char *header)
{
	for (size_t i = 0; i < json_array_size(calls); i++)
		if (!call_header(json_member(json_array_get(calls, i), "request"), header))
			return false;
	return json_array_size(calls) > 0;
}

/* Did every call carry the value that came in with the request? */
static bool all_carry_on(const json_t *calls, const char *header, const char *value)
{
	for (size_t i = 0; i < json_array_size(calls); i++) {
		const char *carried = call_header(json_member(json_array_get(calls, i), "request"), header);

		if (!carried || strcmp(carried, value) != 0)
			return false;
	}
	return json_array_size(calls) > 0;
}

static void judge_propagation(struct judge *judge, const json_t *expected, const json_t *got, const char *const *names,
			      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *came = call_header(json_member(judge->base_entry, "request"), names[i]);
		bool lost = all_carry(expected, names[i]) && json_array_size(got) && !all_carry(got, names[i]);
		bool replaced = came && all_carry_on(expected, names[i], came) && json_array_size(got) &&
				!all_carry_on(got, names[i], came);

		if (judge->noise && (lost || (all_carry(got, names[i]) && !all_carry(expected, names[i]))))
			judge_learn(judge, names[i], NULL, NULL);
		else if (!judge->noise && (lost || replaced) && !judge_noise(judge, names[i]))
			judge_report(judge, "header-lost", names[i], SEVERITY_BLOCK, WEIGHT_LOST,
				     json_object_get(json_member(json_array_get(expected, 0), "request"), "headers"),
				     json_object_get(json_member(json_array_get(got, 0), "request"), "headers"),
				     "%s: the header %s is not passed on any more", judge->within, names[i]);
	}
}

/* Is a parameter that every call of the base had missing in one of the head's? */
static void judge_parameters(struct judge *judge, const json_t *expected, const json_t *got)
{
	AUTO_JSON first = call_query(json_text(json_member(json_array_get(expected, 0), "request"), "url", ""));
	bool same_count = json_array_size(expected) == json_array_size(got);
	const char *name;
	json_t *value;

	json_object_foreach(first, name, value) {
		bool everywhere = true;
		bool lost = false;
		AUTO_JSON before = json_array();
		AUTO_JSON after = json_array();
		AUTO_FREE char *path = text_format("?%s", name);

		for (size_t i = 0; i < json_array_size(expected); i++) {
			AUTO_JSON query = call_query(json_text(json_member(json_array_get(expected, i), "request"), "url", ""));

			everywhere = everywhere && json_member(query, name);
			(void)json_array_append(before, json_member(query, name) ? json_member(query, name) : json_null());
		}
		for (size_t i = 0; i < json_array_size(got); i++) {
			AUTO_JSON query = call_query(json_text(json_member(json_array_get(got, i), "request"), "url", ""));

			lost = lost || !json_member(query, name);
			(void)json_array_append(after, json_member(query, name) ? json_member(query, name) : json_null());
		}
		if (judge->noise && !json_equal(before, after))
			judge_learn(judge, path, NULL, NULL);
		else if (judge->noise || judge_noise(judge, path))
			continue;
		else if (everywhere && lost)
			judge_report(judge, "query-lost", path, SEVERITY_BLOCK, WEIGHT_LOST, before, after,
				     "%s: the parameter %s is not sent any more", judge->within, name);
		else if (same_count && !json_equal(before, after))
			judge_report(judge, "query", path, SEVERITY_BLOCK, WEIGHT_LOST - 1, before, after,
				     "%s: the parameter %s differs", judge->within, name);
	}
}

/* A body as JSON, and what its texts hold, which producers write in an order of their own. Owned by the caller; NULL: it is none. */
static json_t *body_opened(const json_t *exchange, const char *part)
{
	const json_t *message = json_member(exchange, part);
	json_t *body = json_flag(message, "cut", false) ? NULL : call_body_json(message);
	const char *name;
	json_t *value;

	if (!json_is_object(body) || !call_is_message(exchange))
		return body;
	json_object_foreach(body, name, value) {
		const char *text = json_string_value(value);
		json_t *opened = text && (text[0] == '{' || text[0] == '[') ? json_parse(view_of(text), NULL) : NULL;

		if (opened)
			(void)json_object_set_new(body, name, opened);
	}
	return body;
}

static void judge_bodies(struct judge *judge, const json_t *expected, const json_t *got, const char *part)
{
	AUTO_FREE char *within = text_format("%s, %s", judge->within, part);
	const char *outer = judge->within;

	judge->within = within;
	for (size_t i = 0; i < json_array_size(expected) && i < json_array_size(got); i++) {
		AUTO_JSON left = body_opened(json_array_get(expected, i), part);
		AUTO_JSON right = body_opened(json_array_get(got, i), part);

		if (left && right)
			judge_values(judge, left, right);
	}
	judge->within = outer;
}

static void count_report(struct judge *judge, const char *kind, enum severity severity, int weight, size_t expected, size_t got)
{
	AUTO_JSON a = json_integer((json_int_t)expected);
	AUTO_JSON b = json_integer((json_int_t)got);

	judge_report(judge, kind, "", severity, weight, a, b, "%s: %zu times instead of %zu", judge->within, got, expected);
}

static bool many_more(size_t expected, size_t got)
{
	return expected ? got >= MANY_CALLS && got > 2 * expected : got >= NEW_CALLS_MANY;
}

static void judge_count(struct judge *judge, size_t expected, size_t got, bool outside, bool message)
{
	if (expected == got)
		return;
	if (judge->noise)
		judge_learn(judge, "#count", NULL, NULL);
	else if (judge_noise(judge, "#count"))
		return;
	else if (outside)
		count_report(judge, message ? "messages" : "outside-count", SEVERITY_BLOCK, WEIGHT_OUTSIDE, expected, got);
	else if (many_more(expected, got))
		count_report(judge, "many-calls", SEVERITY_BLOCK, WEIGHT_MANY, expected, got);
	else
		count_report(judge, "count", SEVERITY_WARN, WEIGHT_SLIGHT, expected, got);
}

static void judge_group(struct judge *judge, const char *name, const json_t *expected, const json_t *got, bool alike)
{
	const json_t *any = json_array_get(json_array_size(expected) ? expected : got, 0);
	bool message = call_is_message(any);
	bool outside = message || is_outside(judge, any);
	size_t failed = failures_of(expected);
	size_t fails = failures_of(got);

	judge->within = name;
	judge->layer = outside ? LAYER_OUTBOUND : LAYER_SEAM;
	if (judge->noise && failed != fails)
		judge_learn(judge, "#failures", NULL, NULL);
	else if (fails > failed && !judge->noise && !judge_noise(judge, "#failures"))
		judge_report(judge, "call-fails", "", SEVERITY_BLOCK, WEIGHT_FAILS, NULL, NULL,
			     "%s: %zu of %zu calls fail (5xx), before %zu", name, fails, json_array_size(got), failed);
	if (!alike)
		return; /* a request that ends otherwise calls otherwise: that is told once */
	judge_count(judge, json_array_size(expected), json_array_size(got), outside, message);
	if (!json_array_size(expected) || !json_array_size(got))
		return;
	if (outside && !message)
		judge_propagation(judge, expected, got, outside_needs, ARRAY_LEN(outside_needs));
	else
		judge_propagation(judge, expected, got, propagated, ARRAY_LEN(propagated));
	if (!message)
		judge_parameters(judge, expected, got);
	if (json_array_size(expected) == json_array_size(got))
		judge_bodies(judge, expected, got, "request");
}

/* ---- what becomes of messages ---- */

/* {"pricing > mq orders is requeued": n, …} */
static json_t *refusals_count(const struct judge *judge, const json_t *seams)
{
	static const struct {
		const char *method;
		const char *says;
	} rows[] = {{"requeue", "is given back"}, {"reject", "is refused"}, {"return", "comes back: no queue takes it"}};
	json_t *counts = json_object();

	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *exchange = json_array_get(seams, i);
		const json_t *request = json_member(exchange, "request");

		for (size_t row = 0; call_is_message(exchange) && row < ARRAY_LEN(rows); row++) {
			AUTO_BUF name = buf_new(16384);

			if (strcmp(json_text(request, "method", ""), rows[row].method) != 0)
				continue;
			call_edge(&name, exchange, judge->comparison->options.inside);
			buf_add_char(&name, ' ');
			format_path(&name, view_of(json_text(request, "url", "")));
			buf_add_format(&name, " %s", rows[row].says);
			(void)json_object_set_new(counts, name.at, json_integer(json_number(counts, name.at, 0) + 1));
		}
	}
	return counts;
}

/* A message that is refused where the base takes it is work that is not done. */
static void judge_refusals(struct judge *judge, const json_t *base_seams, const json_t *head_seams)
{
	AUTO_JSON a = refusals_count(judge, base_seams);
	AUTO_JSON b = refusals_count(judge, head_seams);
	const char *name;
	json_t *count;

	json_object_foreach(b, name, count) {
		int64_t had = json_number(a, name, 0);

		judge->within = name;
		judge->layer = LAYER_OUTBOUND;
		if (judge->noise && json_integer_value(count) != had)
			judge_learn(judge, "#refused", NULL, NULL);
		else if (!judge->noise && json_integer_value(count) > had && !judge_noise(judge, "#refused"))
			judge_report(judge, "message-refused", "", SEVERITY_BLOCK, WEIGHT_FAILS, json_object_get(a, name), count,
				     "%s: %lld times instead of %lld", name, (long long)json_integer_value(count), (long long)had);
	}
}

/* ---- statements ---- */

/* {"orders > db": {"SELECT ?": n}} */
static json_t *statements_count(const struct judge *judge, const json_t *seams)
{
	json_t *edges = json_object();

	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *exchange = json_array_get(seams, i);
		AUTO_BUF edge = buf_new(1024);
		AUTO_BUF statement = buf_new(16384);
		AUTO_JSON holder = json_object();
		const char *text;
		json_t *counts;

		if (!call_is_statement(exchange))
			continue;
		call_edge(&edge, exchange, judge->comparison->options.inside);
		call_statement(&statement, exchange);
		json_set_bytes(holder, "text", buf_view(&statement));
		text = json_text(holder, "text", "");
		counts = json_object_get(edges, edge.at);
		if (!counts) {
			counts = json_object();
			(void)json_object_set_new(edges, edge.at, counts);
		}
		(void)json_object_set_new(counts, text, json_integer(json_number(counts, text, 0) + 1));
	}
	return edges;
}

static int64_t counts_total(json_t *counts)
{
	int64_t total = 0;
	const char *text;
	json_t *count;

	json_object_foreach(counts, text, count)
		total += json_integer_value(count);
	return total;
}

/* Many transactions are told by what is in them. */
static bool only_parts(const char *statement)
{
	static const char *const words[] = {"BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(statement, words[i]) == 0)
			return true;
	return false;
}

/* A statement that is sent many times more often, on an edge that has become busier: a reworded statement is none. */
static void judge_statements(struct judge *judge, const json_t *base_seams, const json_t *head_seams)
{
	AUTO_JSON a = statements_count(judge, base_seams);
	AUTO_JSON b = statements_count(judge, head_seams);
	const char *edge;
	json_t *counts;

	json_object_foreach(b, edge, counts) {
		json_t *before = json_object_get(a, edge);
		bool busier = counts_total(counts) > 2 * counts_total(before);
		const char *text;
		json_t *count;

		json_object_foreach(counts, text, count) {
			int64_t had = json_number(before, text, 0);
			int64_t has = json_integer_value(count);

			judge->within = edge;
			judge->layer = LAYER_SEAM;
			if (judge->noise && has != had)
				judge_learn(judge, text, NULL, NULL);
			if (has < MANY_STATEMENTS || has < STATEMENTS_FACTOR * had || !busier || judge->noise || only_parts(text) ||
			    judge_noise(judge, text))
				continue;
			judge_report(judge, "many-statements", text, SEVERITY_BLOCK, WEIGHT_MANY, json_object_get(before, text),
				     count, "%s: %lld times instead of %lld: %s", edge, (long long)has, (long long)had, text);
		}
	}
}

void judge_seams(struct judge *judge, const json_t *base_seams, const json_t *head_seams, bool alike)
{
	AUTO_JSON a = calls_group(judge, base_seams);
	AUTO_JSON b = calls_group(judge, head_seams);
	AUTO_JSON all = json_object();
	AUTO_JSON none = json_array();
	const char *name;
	json_t *calls;

	(void)json_object_update(all, a);
	(void)json_object_update(all, b);
	json_object_foreach(all, name, calls) {
		const json_t *left = json_object_get(a, name);
		const json_t *right = json_object_get(b, name);

		judge_group(judge, name, left ? left : none, right ? right : none, alike);
		judge->shape_only = true;
		if ((alike || judge->noise) && left && right && json_array_size(left) == json_array_size(right))
			judge_bodies(judge, left, right, "response");
		judge->shape_only = false;
	}
	if (alike) {
		judge_statements(judge, base_seams, head_seams);
		judge_order(judge, base_seams, head_seams);
	}
	judge_refusals(judge, base_seams, head_seams);
	judge->within = "";
}

/* ---- where it begins ---- */

struct first {
	struct buf *out;
	const struct judge *judge;
	const char *label;
};

static const json_t *first_noise(void *self, const char *path)
{
	const struct first *first = self;

	return judge_noise(first->judge, path);
}

static void first_report(void *self, const struct difference *difference)
{
	struct first *first = self;

	if (first->out->length || difference->kind == DIFFERENCE_ADDED)
		return;
	buf_add_format(first->out, "first difference in the calls: %s: %s%s", first->label, difference->path,
		       difference->path[0] ? " " : "");
	value_describe(first->out, difference->expected);
	buf_add_text(first->out, " → ");
	value_describe(first->out, difference->got);
}

static bool first_in_bodies(struct judge *judge, const char *name, const json_t *a, const json_t *b, const char *part,
			    struct buf *out)
{
	AUTO_FREE char *within = text_format("%s, %s", name, part);
	struct first first = {out, judge, within};
	const struct fields_rules rules = {first_noise, first_report, &first};
	AUTO_JSON left = call_body_json(json_member(a, part));
	AUTO_JSON right = call_body_json(json_member(b, part));
	const char *outer = judge->within;
	enum layer layer = judge->layer;

	if (left && right) {
		judge->within = within;
		judge->layer = is_outside(judge, a) ? LAYER_OUTBOUND : LAYER_SEAM;
		fields_compare(left, right, &rules);
		judge->within = outer;
		judge->layer = layer;
	}
	return out->length > 0;
}

static double end_of(const json_t *exchange)
{
	return json_number_value(json_member(exchange, "t0_ms")) + json_number_value(json_member(exchange, "dt_us")) / 1000;
}

static int end_compare(const void *left, const void *right)
{
	double a = end_of(*(const json_t *const *)left);
	double b = end_of(*(const json_t *const *)right);

	return (a > b) - (a < b);
}

/* The base's call of the group with the same URL, or else the one at the same place. */
static const json_t *counterpart(const json_t *group, const json_t *call, json_t *used, const char *name)
{
	const char *url = json_text(json_member(call, "request"), "url", "");
	int64_t at = json_number(used, name, 0);

	(void)json_object_set_new(used, name, json_integer(at + 1));
	for (size_t i = 0; i < json_array_size(group); i++)
		if (strcmp(json_text(json_member(json_array_get(group, i), "request"), "url", ""), url) == 0)
			return json_array_get(group, i);
	return json_array_get(group, (size_t)at);
}

static void first_of_calls(struct judge *judge, json_t *groups, const json_t **calls, size_t count, struct buf *out)
{
	AUTO_JSON used = json_object();

	for (size_t i = 0; i < count && !out->length; i++) {
		AUTO_BUF name = buf_new(16384);
		const json_t *group;
		const json_t *other;

		call_edge(&name, calls[i], judge->comparison->options.inside);
		buf_add_char(&name, ' ');
		call_endpoint(&name, calls[i]);
		group = json_object_get(groups, name.at);
		other = counterpart(group, calls[i], used, name.at);
		if (!other)
			buf_add_format(out, "first difference in the calls: %s %s", name.at,
				       group ? "is called more often" : "is a new call");
		else if (call_status(other) != call_status(calls[i]))
			buf_add_format(out, "first difference in the calls: %s answers %d instead of %d", name.at,
				       call_status(calls[i]), call_status(other));
		else if (!first_in_bodies(judge, name.at, other, calls[i], "request", out))
			(void)first_in_bodies(judge, name.at, other, calls[i], "response", out);
	}
}

void judge_first_difference(struct judge *judge, struct buf *out)
{
	const json_t *seams = json_member(judge->head_entry, "seams");
	AUTO_JSON groups = calls_group(judge, json_member(judge->base_entry, "seams"));
	const json_t **calls = mem_new_array(json_array_size(seams) + 1, sizeof(calls[0]));
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(seams); i++)
		if (is_seam(json_array_get(seams, i)) && call_is(json_array_get(seams, i), "http"))
			calls[count++] = json_array_get(seams, i);
	/* What ends first was asked last: the deepest difference comes first. */
	qsort(calls, count, sizeof(calls[0]), end_compare);
	first_of_calls(judge, groups, calls, count, out);
	free(calls);
}
