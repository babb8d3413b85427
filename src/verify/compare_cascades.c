/*
 * The layer of cascades: how the calls of one request hang together (verify/tree.h).
 *
 * Theory of operation: each kind of cascade is looked for in one run of the request alone and gives names, "orders answers POST /orders well,
 * though …". What neither run of the base has is reported. A retry that helps, an error that is handled by design (a key that exists already,
 * a lock that was not got), and calls of another request are none; so each rule says what it leaves out.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/call.h"
#include "verify/compare_priv.h"
#include "verify/format.h"
#include "verify/tree.h"

#define RETRIES_MANY 5    /* fewer attempts after a failure are patience */
#define RETRIES_FACTOR 2  /* times those of the base */
#define OUTLIVES_MS 250.0 /* work that goes on so long after its caller gave up */
#define AFTER_MS 100.0    /* what is begun so long after an error was answered */
#define TEXT_MAX ((size_t)64 << 10)

/* What one run has: {"kind \n path": title}. */
struct found {
	json_t *names;
	const struct tree *tree;
};

static void PRINTF_LIKE(4, 5) found_add(struct found *found, const char *kind, const char *path, const char *format, ...)
{
	AUTO_FREE char *key = text_format("%s\n%s", kind, path);
	AUTO_JSON holder = json_object();
	char text[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_set_bytes(holder, "key", view_of(key));
	json_set_bytes(found->names, json_text(holder, "key", ""), view_of(text));
}

static bool is_request(const struct tree_node *node)
{
	return call_is(node->exchange, "http");
}

static bool answered_well(const struct tree_node *node)
{
	int status = call_status(node->exchange);

	return is_request(node) && status >= 200 && status < 400 && !json_text(node->exchange, "error", NULL);
}

/* What came of the answer itself, in words. */
static void outcome_format(struct buf *out, const struct tree_node *node)
{
	const char *error = json_text(node->exchange, "error", NULL);

	if (is_request(node) && call_status(node->exchange))
		buf_add_format(out, "answers %d", call_status(node->exchange));
	else
		buf_add_format(out, "fails: %.120s", error ? error : "no answer");
}

/* The same call once more: for retries the address and body must be the same, too. */
static bool same_call(const struct tree_node *a, const struct tree_node *b)
{
	const json_t *left = json_member(a->exchange, "request");
	const json_t *right = json_member(b->exchange, "request");

	return strcmp(a->name, b->name) == 0 && strcmp(json_text(left, "url", ""), json_text(right, "url", "")) == 0 &&
	       strcmp(json_text(left, "body", ""), json_text(right, "body", "")) == 0;
}

/* Was the call made again by the same cause, and then went well? */
static bool mended(const struct tree *tree, size_t at)
{
	for (size_t i = at + 1; i < tree->count; i++)
		if (tree->nodes[i].parent == tree->nodes[at].parent && !tree->nodes[i].failed &&
		    strcmp(tree->nodes[i].name, tree->nodes[at].name) == 0)
			return true;
	return false;
}

/* Was the very same call made again when the first had failed, and then went well? */
static bool tried_again(const struct tree *tree, size_t at)
{
	const struct tree_node *node = &tree->nodes[at];

	for (size_t i = 0; i < tree->count; i++) {
		const struct tree_node *other = &tree->nodes[i];

		if (i != at && other->parent == node->parent && !other->failed &&
		    other->begun_ms + TREE_SLACK_MS >= node->ended_ms && same_call(other, node))
			return true;
	}
	return false;
}

/* Errors of databases that programs ask for: keys that exist, locks that are taken, transactions that are tried again; and what follows another. */
static bool by_design(const struct tree_node *node)
{
	static const char *const begin[] = {"23503", "23505", "23P01", "40001", "40P01", "42710", "42P07", "55P03", "25P02",
					    "57014", "1050",  "1062",  "1205",  "1213",  "1451",  "1452",  "3572"};
	const char *error = json_text(node->exchange, "error", "");

	for (size_t i = 0; i < ARRAY_LEN(begin); i++)
		if (strncmp(error, begin[i], strlen(begin[i])) == 0)
			return true;
	return false;
}

/* Is it an error that a database of SQL answered, and not one of the connection? */
static bool sql_error(const struct tree_node *node)
{
	const char *error = json_text(node->exchange, "error", "");

	return (call_is(node->exchange, "postgres") || call_is(node->exchange, "mysql")) &&
	       strcspn(error, " ") == (call_is(node->exchange, "mysql") ? 4U : 5U) && error[0] >= '0' && error[0] <= '9' &&
	       !by_design(node);
}

static bool request_failed(const struct tree_node *node)
{
	return is_request(node) && node->failed;
}

static void hidden_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	const struct tree_node *cause = node->parent == TREE_ROOT ? NULL : &found->tree->nodes[node->parent];
	AUTO_FREE char *path = cause ? text_format("%s < %s", cause->name, node->name) : NULL;
	AUTO_BUF outcome = buf_new(1024);

	if (!cause || node->late || (!request_failed(node) && !sql_error(node)))
		return;
	if (mended(found->tree, at)) {
		if (tried_again(found->tree, at))
			found_add(found, "error-told", path, " "); /* or dealt with */
		return;
	}
	outcome_format(&outcome, node);
	if (answered_well(cause))
		found_add(found, is_request(node) ? "error-hidden" : "statement-hidden", path, "%s is answered %d, though %s %s",
			  cause->name, call_status(cause->exchange), node->name, outcome.at);
	else if (is_request(cause) && call_status(cause->exchange) >= 400)
		found_add(found, "error-told", path, " "); /* what the base must do for its hiding to be news */
}

/* One error below that becomes a worse one above. */
static void grown_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	const struct tree_node *cause = node->parent == TREE_ROOT ? NULL : &found->tree->nodes[node->parent];
	int status = call_status(node->exchange);
	AUTO_FREE char *path = cause ? text_format("%s < %s", cause->name, node->name) : NULL;

	if (!cause || node->late || !is_request(node) || status < 400 || !is_request(cause) || mended(found->tree, at))
		return;
	if (status < 500 && call_status(cause->exchange) >= 500)
		found_add(found, "error-grows", path, "%s is answered %d, because %s answers %d", cause->name,
			  call_status(cause->exchange), node->name, status);
	else if (status < 500)
		found_add(found, "error-kept", path, " ");
}

static void storm_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	AUTO_FREE char *path = NULL;
	size_t attempts = 1;

	if (!request_failed(node))
		return;
	for (size_t i = 0; i < found->tree->count; i++) {
		const struct tree_node *other = &found->tree->nodes[i];

		if (i == at || other->parent != node->parent || !same_call(other, node))
			continue;
		if (i < at)
			return; /* told by the first */
		attempts++;
	}
	path = text_format("%s", node->name);
	if (attempts > 1)
		found_add(found, "retries", path, "%zu", attempts);
}

/* The caller gave up, and what it asked for goes on. */
static void outliving_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	const struct tree_node *cause = node->parent == TREE_ROOT ? NULL : &found->tree->nodes[node->parent];
	AUTO_FREE char *path = cause ? text_format("%s < %s", cause->name, node->name) : NULL;

	if (!cause || node->late || !is_request(cause) || strcmp(cause->from, "preview") == 0 || call_status(cause->exchange) ||
	    !json_text(cause->exchange, "error", NULL) || node->ended_ms < cause->ended_ms + OUTLIVES_MS)
		return;
	found_add(found, "deadline", path, "%s goes on when the caller of %s has given up: its deadline is the longer one",
		  node->name, cause->name);
}

static bool changes_something(const struct tree_node *node)
{
	static const char *const verbs[] = {"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"};
	const json_t *request = json_member(node->exchange, "request");
	AUTO_BUF statement = buf_new(TEXT_MAX);

	if (is_request(node))
		return call_changes(node->exchange);
	if (call_is_message(node->exchange))
		return strcmp(json_text(request, "method", ""), "publish") == 0;
	if (!call_is(node->exchange, "postgres") && !call_is(node->exchange, "mysql"))
		return false;
	call_statement(&statement, node->exchange);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (statement.length && strncasecmp(statement.at, verbs[i], strlen(verbs[i])) == 0)
			return true;
	return false;
}

static void orphan_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	const struct tree_node *cause = node->parent == TREE_ROOT ? NULL : &found->tree->nodes[node->parent];
	AUTO_FREE char *path = cause ? text_format("%s < %s", cause->name, node->name) : NULL;

	if (!cause || !node->late || !cause->failed || node->failed || node->begun_ms < cause->ended_ms + AFTER_MS ||
	    !changes_something(node))
		return;
	if (strcmp(cause->from, "preview") == 0 && !call_status(cause->exchange))
		return; /* it was we who did not wait: nobody was told that it failed */
	found_add(found, "orphan", path, "%s is done after %s had failed: nobody knows of it", node->name, cause->name);
}

static void twin_find(struct found *found, size_t at)
{
	const struct tree_node *node = &found->tree->nodes[at];
	const json_t *request = json_member(node->exchange, "request");
	size_t before = 0;

	if (!call_is_message(node->exchange) || strcmp(json_text(request, "method", ""), "publish") != 0 ||
	    !*json_text(request, "body", json_text(request, "body64", "")) || json_flag(request, "cut", false))
		return;
	for (size_t i = 0; i < at; i++)
		before += same_call(&found->tree->nodes[i], node) &&
			  strcmp(json_text(json_member(found->tree->nodes[i].exchange, "request"), "body64", ""),
				 json_text(request, "body64", "")) == 0;
	if (before)
		found_add(found, "message-twice", node->name, "%s: the same message %zu times", node->name, before + 1);
}

/* What of a header's value is the request's own, and goes on from call to call: of a traceparent all but the span. */
static struct view context_value(const struct tree_node *node, const char *header)
{
	const char *value = call_header(json_member(node->exchange, "request"), header);

	if (value && strcmp(header, "traceparent") == 0)
		return node->trace;
	return view_of(value ? value : "");
}

/* Had the service got the value by another request, which may be the cause as well? */
static bool context_came(const struct tree *tree, const struct tree_node *node, const char *header, struct view value)
{
	for (size_t i = 0; i < tree->count; i++) {
		const struct tree_node *other = &tree->nodes[i];

		if (other != node && other->http && strcmp(other->to, node->from) == 0 &&
		    other->begun_ms <= node->begun_ms + TREE_SLACK_MS && view_equal(context_value(other, header), value))
			return true;
	}
	return false;
}

/* Is what the cause was called with handed on? What the preview was sent is compared with the calls by judge_propagation(). */
static void context_find(struct found *found, size_t at)
{
	static const char *const headers[] = {"traceparent", "x-request-id", "x-correlation-id", "x-tenant",
					      "x-tenant-id", "tenant-id",    "idempotency-key",  "x-idempotency-key"};
	const struct tree_node *node = &found->tree->nodes[at];
	const struct tree_node *cause = node->parent == TREE_ROOT ? NULL : &found->tree->nodes[node->parent];

	if (!cause || !node->http || !cause->http || node->late || strcmp(cause->from, "preview") == 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct view came = context_value(cause, headers[i]);
		struct view goes = context_value(node, headers[i]);
		AUTO_FREE char *path = text_format("%s %s", node->name, headers[i]);

		if (!came.length || !goes.length)
			continue;
		if (context_came(found->tree, node, headers[i], goes))
			found_add(found, "context-kept", path, " ");
		else
			found_add(found, "context-remade", path, "%s has another %s than %s, for which it is made", node->name,
				  headers[i], cause->name);
	}
}

/* Of one entry of a run; owned by the caller. */
static json_t *cascades_find(const json_t *entry, const json_t *inside)
{
	static void (*const rules[])(struct found * found, size_t at) = {hidden_find, grown_find, storm_find,  outliving_find,
									 orphan_find, twin_find,  context_find};
	AUTO_JSON exchanges = tree_exchanges(entry);
	AUTO_TREE tree = tree_make(exchanges, inside);
	struct found found = {json_object(), tree};

	for (size_t rule = 0; rule < ARRAY_LEN(rules); rule++)
		for (size_t i = 0; i < tree->count; i++)
			rules[rule](&found, i);
	return found.names;
}

/* ---- judging ---- */

static const char *title_of(json_t *names, const char *kind, const char *path)
{
	AUTO_FREE char *key = text_format("%s\n%s", kind, path);

	return json_text(names, key, NULL);
}

struct rule {
	const char *kind;
	const char *was; /* what both runs of the base must have in its place; NULL: nothing of it */
	int weight;
};

static const struct rule rules[] = {
	{"error-hidden", "error-told", WEIGHT_FAILS - 1},
	{"error-grows", "error-kept", WEIGHT_FAILS - 2},
	{"context-remade", "context-kept", WEIGHT_LOST},
	{"statement-hidden", NULL, WEIGHT_FAILS - 3},
	{"deadline", NULL, WEIGHT_MANY - 1},
	{"orphan", NULL, WEIGHT_EFFECT + 1},
	{"message-twice", NULL, WEIGHT_EFFECT + 2},
};

static void storm_judge(struct judge *judge, const char *path, const char *count, json_t *base, json_t *again)
{
	uint64_t attempts = 0;
	uint64_t before = 1;
	json_t *const runs[] = {base, again};

	(void)view_to_u64(view_of(count), &attempts);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		uint64_t number;
		const char *text = title_of(runs[i], "retries", path);

		if (text && view_to_u64(view_of(text), &number) && number > before)
			before = number;
	}
	if (attempts >= RETRIES_MANY && attempts > RETRIES_FACTOR * before)
		judge_report(judge, "retry-storm", path, SEVERITY_BLOCK, WEIGHT_MANY + 1, NULL, NULL,
			     "%s fails and is tried %llu times, before at most %llu", path, (unsigned long long)attempts,
			     (unsigned long long)before);
}

static void cascade_judge(struct judge *judge, const char *kind, const char *path, const char *title, json_t *base, json_t *again)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		const struct rule *rule = &rules[i];

		if (strcmp(rule->kind, kind) != 0 || title_of(base, kind, path) || title_of(again, kind, path))
			continue;
		if (!rule->was || (title_of(base, rule->was, path) && title_of(again, rule->was, path)))
			judge_report(judge, kind, path, SEVERITY_BLOCK, rule->weight, NULL, NULL, "%s", title);
	}
}

void judge_cascades(struct judge *judge)
{
	const json_t *inside = judge->comparison->options.inside;
	AUTO_JSON base = cascades_find(judge->base_entry, inside);
	AUTO_JSON again = cascades_find(json_array_get(json_member(judge->comparison->again, "entries"), judge->at), inside);
	AUTO_JSON head = cascades_find(judge->head_entry, inside);
	const char *key;
	json_t *title;

	judge->within = "";
	judge->layer = LAYER_SEAM;
	json_object_foreach(head, key, title) {
		struct view path;
		AUTO_FREE char *kind = view_copy(view_cut(view_of(key), '\n', &path));

		if (strcmp(kind, "retries") == 0)
			storm_judge(judge, path.at, json_string_value(title), base, again);
		else
			cascade_judge(judge, kind, path.at, json_string_value(title), base, again);
	}
}
