/* Trees of exchanges. */
#include "verify/tree.h"

#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/call.h"

#define TEXT_MAX ((size_t)64 << 10)
#define CALL_SHOWN ((size_t)120)
#define ERROR_SHOWN 100
#define TRACE_AT 3 /* in a traceparent "00-<32 hex>-…" */
#define TRACE_LENGTH 32

/* ---- nodes ---- */

static bool is_asked(const json_t *exchange)
{
	return strcmp(json_text(exchange, "from", ""), "preview") == 0;
}

/* What a person asked is named by who answers it. */
static void name_format(struct buf *out, const struct tree_node *node, const json_t *inside)
{
	if (is_asked(node->exchange))
		buf_add_text(out, node->to);
	else
		call_edge(out, node->exchange, inside);
	buf_add_char(out, ' ');
	if (call_is_statement(node->exchange))
		call_statement(out, node->exchange);
	else
		call_endpoint(out, node->exchange);
}

static bool failed(const json_t *exchange)
{
	return json_text(exchange, "error", NULL) ||
	       (call_is(exchange, "http") && (!call_status(exchange) || call_status(exchange) >= 500));
}

static bool is_method(const struct tree_node *node, const char *method)
{
	return call_is_message(node->exchange) &&
	       strcmp(json_text(json_member(node->exchange, "request"), "method", ""), method) == 0;
}

static struct view trace_of(const struct tree_node *node)
{
	const char *header = call_header(json_member(node->exchange, "request"), "traceparent");

	return header && strlen(header) >= TRACE_AT + TRACE_LENGTH ? view_make(header + TRACE_AT, TRACE_LENGTH) : VIEW("");
}

static void node_init(struct tree_node *node, const json_t *exchange, const json_t *inside)
{
	AUTO_BUF name = buf_new(TEXT_MAX);
	struct view whole;
	ptrdiff_t arrow;
	size_t behind;

	call_edge(&name, exchange, inside);
	whole = buf_view(&name);
	arrow = view_find(whole, VIEW(" > "));
	behind = arrow < 0 ? whole.length : (size_t)arrow + 3;
	*node = (struct tree_node){
		.exchange = exchange,
		.from = view_copy(view_make(whole.at, arrow < 0 ? whole.length : (size_t)arrow)),
		.to = view_copy(view_make(whole.at + behind, whole.length - behind)),
		.begun_ms = json_number_value(json_member(exchange, "t0_ms")),
		.parent = TREE_ROOT,
		.failed = failed(exchange),
	};
	buf_clear(&name);
	name_format(&name, node, inside);
	node->name = view_copy(buf_view(&name));
	node->ended_ms = node->begun_ms + json_number_value(json_member(exchange, "dt_us")) / 1000;
	node->http = call_is(exchange, "http");
	node->delivery = is_method(node, "deliver");
	node->trace = trace_of(node);
}

static int node_compare(const void *left, const void *right)
{
	const struct tree_node *a = left;
	const struct tree_node *b = right;

	if (a->begun_ms < b->begun_ms || a->begun_ms > b->begun_ms)
		return a->begun_ms < b->begun_ms ? -1 : 1;
	/* Of two of one millisecond the one that ended later is around the other. */
	return (a->ended_ms < b->ended_ms) - (a->ended_ms > b->ended_ms);
}

/* ---- causes ---- */

static bool same_body(const struct tree_node *a, const struct tree_node *b)
{
	const json_t *left = json_member(a->exchange, "request");
	const json_t *right = json_member(b->exchange, "request");
	const char *name = json_member(left, "body") ? "body" : "body64";

	return json_member(left, name) && json_equal(json_member(left, name), json_member(right, name));
}

/* The publication that the delivery brings. */
static size_t publication_find(const struct tree *tree, size_t at)
{
	const struct tree_node *node = &tree->nodes[at];
	size_t found = TREE_ROOT;

	for (size_t i = 0; i < tree->count && tree->nodes[i].begun_ms <= node->ended_ms + TREE_SLACK_MS; i++)
		if (i != at && is_method(&tree->nodes[i], "publish") && strcmp(tree->nodes[i].to, node->to) == 0 &&
		    same_body(&tree->nodes[i], node))
			found = i;
	return found;
}

/* How good a cause of it `cause` is: 0 is none. A request that its service is busy with, then one that it had answered. */
static int cause_weigh(const struct tree_node *cause, const struct tree_node *node)
{
	bool around = node->begun_ms <= cause->ended_ms + TREE_SLACK_MS;
	int traced = node->trace.length && view_equal(node->trace, cause->trace) ? 1 : 0;

	if (cause->begun_ms > node->begun_ms + TREE_SLACK_MS)
		return 0;
	if (cause->delivery)
		return strcmp(cause->from, node->from) == 0 ? 3 + traced : 0;
	if (!cause->http || strcmp(cause->to, node->from) != 0)
		return 0;
	return around ? 5 + traced : 1 + traced;
}

static void cause_find(const struct tree *tree, size_t at)
{
	struct tree_node *node = &tree->nodes[at];
	int best = 0;

	if (node->delivery) {
		node->parent = publication_find(tree, at);
		return;
	}
	for (size_t i = 0; i < tree->count && tree->nodes[i].begun_ms <= node->begun_ms + TREE_SLACK_MS; i++) {
		int weight = i == at ? 0 : cause_weigh(&tree->nodes[i], node);

		if (weight && weight >= best) {
			best = weight;
			node->parent = i;
		}
	}
	node->late = best == 1 || best == 2;
}

/* Causes of one millisecond could go round: who is its own cause has none. */
static void rounds_cut(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		size_t steps = 0;

		for (size_t at = tree->nodes[i].parent; at != TREE_ROOT; at = tree->nodes[at].parent)
			if (at == i || ++steps > TREE_DEPTH_MAX) {
				tree->nodes[i].parent = TREE_ROOT;
				break;
			}
	}
}

struct tree *tree_make(const json_t *exchanges, const json_t *inside)
{
	struct tree *tree = mem_new(sizeof(*tree));
	size_t count = json_array_size(exchanges);

	tree->count = count < TREE_NODES_MAX ? count : TREE_NODES_MAX;
	tree->nodes = mem_new_array(tree->count + 1, sizeof(tree->nodes[0]));
	for (size_t i = 0; i < tree->count; i++)
		node_init(&tree->nodes[i], json_array_get(exchanges, i), inside);
	qsort(tree->nodes, tree->count, sizeof(tree->nodes[0]), node_compare);
	for (size_t i = 0; i < tree->count; i++)
		cause_find(tree, i);
	rounds_cut(tree);
	return tree;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->count; i++) {
		free(tree->nodes[i].from);
		free(tree->nodes[i].to);
		free(tree->nodes[i].name);
	}
	free(tree->nodes);
	free(tree);
}

json_t *tree_exchanges(const json_t *entry)
{
	json_t *all = json_array();

	(void)json_array_extend(all, json_member(entry, "asked"));
	(void)json_array_extend(all, json_member(entry, "seams"));
	return all;
}

/* ---- shown ---- */

static json_t *row_make(const struct tree_node *node, const json_t *inside, size_t depth)
{
	const json_t *exchange = node->exchange;
	const json_t *request = json_member(exchange, "request");
	const char *error = json_text(exchange, "error", NULL);
	AUTO_BUF edge = buf_new(1024);
	AUTO_BUF call = buf_new(TEXT_MAX);
	json_t *row = json_object();

	call_edge(&edge, exchange, inside);
	if (call_is_statement(exchange))
		call_statement(&call, exchange);
	else
		buf_add_format(&call, "%s %s", json_text(request, "method", call_is(exchange, "http") ? "GET" : ""),
			       json_text(request, "url", call_is(exchange, "http") ? "/" : ""));
	json_set_bytes(row, "edge", buf_view(&edge));
	json_set_bytes(row, "call", view_make(call.at, call.length < CALL_SHOWN ? call.length : CALL_SHOWN));
	(void)json_object_set_new(row, "status", json_integer(call_status(exchange)));
	(void)json_object_set_new(row, "depth", json_integer((json_int_t)depth));
	if (node->late)
		(void)json_object_set_new(row, "late", json_true());
	if (error)
		json_set_bytes(row, "error", view_make(error, strlen(error) < ERROR_SHOWN ? strlen(error) : ERROR_SHOWN));
	return row;
}

static bool rows_equal(const json_t *a, const json_t *b)
{
	static const char *const members[] = {"edge", "call", "status", "depth", "error", "late"};

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const json_t *left = json_member(a, members[i]);
		const json_t *right = json_member(b, members[i]);

		if (!left != !right || (left && !json_equal(left, right)))
			return false;
	}
	return true;
}

/* What a driver sends around every statement tells nothing. */
static bool is_frame(const json_t *exchange)
{
	static const char *const words[] = {"BEGIN", "COMMIT", "ROLLBACK", "SET ", "START TRANSACTION", "DISCARD"};
	AUTO_BUF statement = buf_new(TEXT_MAX);

	if (!call_is(exchange, "postgres") && !call_is(exchange, "mysql"))
		return false;
	call_statement(&statement, exchange);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (statement.length && strncasecmp(statement.at, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

struct showing {
	const struct tree *tree;
	const json_t *inside;
	json_t *rows;
};

static void row_show(const struct showing *showing, const struct tree_node *node, size_t depth)
{
	json_t *last = json_array_get(showing->rows, json_array_size(showing->rows) - 1);
	json_t *row = row_make(node, showing->inside, depth);

	if (last && rows_equal(last, row)) {
		(void)json_object_set_new(last, "count", json_integer(json_number(last, "count", 1) + 1));
		json_decref(row);
	} else {
		(void)json_array_append_new(showing->rows, row);
	}
}

/* What came of `parent`; what the preview asked is the request itself and no row. */
static void children_show(const struct showing *showing, size_t parent, size_t depth)
{
	for (size_t i = 0; i < showing->tree->count && json_array_size(showing->rows) < TREE_ROWS_MAX; i++) {
		const struct tree_node *node = &showing->tree->nodes[i];
		bool hidden;

		if (node->parent != parent)
			continue;
		hidden = is_asked(node->exchange) || is_frame(node->exchange);
		if (!hidden)
			row_show(showing, node, depth);
		if (depth < TREE_DEPTH_MAX)
			children_show(showing, i, hidden ? depth : depth + 1);
	}
}

json_t *tree_rows(const json_t *exchanges, const json_t *inside)
{
	AUTO_TREE tree = tree_make(exchanges, inside);
	const struct showing showing = {tree, inside, json_array()};

	children_show(&showing, TREE_ROOT, 0);
	return showing.rows;
}
