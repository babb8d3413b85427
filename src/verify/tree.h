/*
 * tree: what came of what while one request was answered, by what the gateway saw: a service calls while it is asked itself, or after a
 * message was given to it; a message is given after it was published, with the same body, whoever took it meanwhile. Where several could be
 * the cause, the one with the same trace (`traceparent`), then the latest, is taken.
 */
#ifndef ASSAY_VERIFY_TREE_H
#define ASSAY_VERIFY_TREE_H

#include "base/json.h"

#define TREE_ROOT SIZE_MAX
#define TREE_NODES_MAX 5000 /* exchanges of one request; more are left out */
#define TREE_SLACK_MS 2.0   /* the log's clock is one of milliseconds */
#define TREE_ROWS_MAX 60    /* shown */
#define TREE_DEPTH_MAX 20

struct tree_node {
	const json_t *exchange; /* borrowed */
	char *from, *to;        /* services, as verify/call.h calls them */
	char *name; /* "front > catalog GET /products/:id", "front POST /buy" of what the preview asked, "orders > db INSERT …", "orders > mq publish orders" */
	double begun_ms, ended_ms;
	size_t parent; /* index, or TREE_ROOT */
	bool late;     /* it began when its parent had ended */
	bool failed;   /* no answer, 5xx, an error of a database */
	bool http;
	bool delivery;     /* of a message to who takes it */
	struct view trace; /* of its traceparent, borrowed from the exchange */
};

struct tree {
	struct tree_node *nodes; /* as they began */
	size_t count;
};

/* Those of an entry of a run (verify/compare.h), with what the preview asked first: what came of it is found by it. Owned by the caller. */
json_t *tree_exchanges(const json_t *entry);
/* Of the exchanges of one request; `inside` as for call_edge(). They must outlive the tree. */
struct tree *tree_make(const json_t *exchanges, const json_t *inside);
void tree_free(struct tree *tree);
#define AUTO_TREE __attribute__((cleanup(tree_free_auto))) struct tree *
static inline void tree_free_auto(struct tree **tree)
{
	tree_free(*tree);
}

/* [{"edge", "call", "status", "depth", "late"?, "error"?, "count"?}], each under what it came of, equal neighbours collapsed. */
json_t *tree_rows(const json_t *exchanges, const json_t *inside);

#endif
