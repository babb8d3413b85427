/* What the agent said it did, held against what this run saw (verify/claims.h). */
#include "verify/claims.h"

#include "base/scope.h"
#include "runs/runs_priv.h"

#define ACTIONS_READ 5000

/* The tools and commands of all turns, one text each. */
static int actions_read(struct runs *runs, const struct run *run, json_t **ran, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	*ran = json_array();
	if (store_begin(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT data FROM run_event WHERE run = ? AND type = 'agent' ORDER BY seq LIMIT ?",
			VALUES(V(run->id), V(ACTIONS_READ)), err))
		return -1;
	while (store_rows_next(&rows)) {
		AUTO_JSON event = json_parse(view_of(store_rows_text(&rows, 0)), NULL);
		AUTO_FREE char *text = NULL;

		if (strcmp(json_text(event, "kind", ""), "action") != 0)
			continue;
		text = text_format("%s %s %s", json_text(event, "tool", ""), json_text(event, "title", ""),
				   json_text(event, "detail", ""));
		(void)json_array_append_new(*ran, json_string(text));
	}
	return store_rows_finish(&rows, err);
}

int run_claims(struct runs *runs, const struct run *run, const json_t *report, json_t **claims, struct err *err)
{
	AUTO_FREE char *repository = run_repository_path(runs, run);
	AUTO_JSON changes = NULL;
	AUTO_JSON ran = NULL;
	struct git_hash base;
	struct git_hash head;

	*claims = NULL;
	if (run_hash(run->base, &base, err) || run_hash(run->head, &head, err) || actions_read(runs, run, &ran, err))
		return -1;
	changes = git_changes(repository, &base, &head, err);
	if (!changes)
		return -1;
	*claims = claims_check(view_of(run->summary ? run->summary : ""),
			       &(struct claim_facts){.report = report, .changes = changes, .ran = ran});
	return 0;
}
