/*
 * Candidates: several agents, or models, work on one issue at once, each as a run of its own; the evidence chooses one.
 *
 * Theory of operation. The first run of a race is the one that was asked for; when it is claimed the others are inserted beside it, each with
 * its own agent, and `race` names the first in all of them. They fork, work and are verified like any run. Where a run would publish, a
 * candidate waits until all others are at rest. Whoever is verified meanwhile stops those that have already cost as much and are not done:
 * they could only win by being cheaper. Then the winner is written down once, in all rows, and publishes; the others close as `lost`. No
 * branch is removed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

#define LOOK_MS 2000

/* ---- the beginning ---- */

bool agent_config_name(json_t *config, const char *name, const char *own)
{
	struct view model;
	struct view use = view_cut(view_of(name), ':', &model);

	json_set_bytes(config, "use", use);
	if (model.length)
		json_set_bytes(config, "model", model);
	else if (own)
		(void)json_object_del(config, "model");
	return own && view_is(use, own);
}

/* What the nth candidate is started with: what the request said of the agent, and "claude" or "claude:model" of the list over it. */
static json_t *config_of(const json_t *request, const struct candidates *candidates, size_t nth)
{
	json_t *config = json_deep_copy(request);

	(void)json_object_set_new(config, "candidates", json_integer(1));
	if (nth < candidates->agents.count)
		(void)agent_config_name(config, candidates->agents.at[nth], NULL);
	return config;
}

static int candidate_insert(struct runs *runs, struct store_tx *tx, const struct run *first, const json_t *config, struct err *err)
{
	struct run_id id = run_id_new(runs->options.world);
	int64_t priority = RUNS_PRIORITY;
	struct flow_line line = {.tenant = first->repository, .repository = first->repository};
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_BUF text = buf_new((size_t)64 << 10);

	json_format(&text, config);
	if (buf_finish(&text, err) ||
	    store_number_get(tx, &priority, RUNS_PRIORITY, "SELECT priority FROM flow WHERE id = ?", VALUES(V(first->id)), err))
		return -1;
	line.priority = (int)priority;
	if (flow_start(runs->flow, tx, id.text, line, err) ||
	    store_run(
		    tx,
		    "INSERT INTO run (id, repository, issue, title, state, state_since_ms, base_wanted, agent, agent_config, created_ms, race,"
		    " joined) VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
		    VALUES(V(id.text), V(first->repository), V(first->issue), V(first->title), V(now_ms), V(first->base),
			   V(json_text(config, "use", "")), V(buf_view(&text)), V(now_ms), V(first->id),
			   V((const char *)first->joined)),
		    err) ||
	    parts_copy(tx, first->id, id.text, err) ||
	    event_add_in(runs, tx, id.text, "state", json_pack("{s:s}", "state", "queued"), err))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(id.text), "queued", err);
}

static int first_mark(struct store_tx *tx, const struct run *first, const json_t *request, const struct candidates *candidates,
		      struct err *err)
{
	AUTO_JSON config = config_of(request, candidates, 0);
	AUTO_BUF text = buf_new((size_t)64 << 10);

	json_format(&text, config);
	if (buf_finish(&text, err))
		return -1;
	return run_write(tx, first->id, "race = ?, agent_config = ?, agent = coalesce(?, agent)",
			 VALUES(V(first->id), V(buf_view(&text)), V(json_text(config, "use", NULL))), err);
}

int race_begin(struct runs *runs, struct store_tx *tx, const struct run *first, const struct blueprint *blueprint, struct err *err)
{
	const struct candidates *candidates = &blueprint->agent.candidates;
	AUTO_JSON request = json_parse(view_of(first->agent_config), err);

	if (!request || candidates->count < 2 || first->race)
		return request ? 0 : -1;
	for (size_t i = 1; i < candidates->count; i++) {
		AUTO_JSON config = config_of(request, candidates, i);

		if (candidate_insert(runs, tx, first, config, err))
			return -1;
	}
	return first_mark(tx, first, request, candidates, err);
}

/* ---- standing ---- */

struct standing {
	struct run run;
	int verdict;      /* 0 verified, 1 unverified, 2 failed, 3 none: it ended otherwise */
	int64_t blocking; /* findings that block */
	int64_t findings;
	int64_t lines; /* of the change */
};

struct field {
	struct standing *at;
	size_t count;
};

static void field_fini(struct field *field)
{
	for (size_t i = 0; i < field->count; i++)
		run_fini(&field->at[i].run);
	free(field->at);
}

static bool at_rest(const struct run *run)
{
	return run_is_over(run) || strcmp(run->state, "publish") == 0;
}

static int64_t change_lines(struct runs *runs, const struct run *run)
{
	AUTO_FREE char *repository = run_repository_path(runs, run);
	struct git_hash base;
	struct git_hash head;
	struct err err = {0};
	AUTO_JSON changes = NULL;
	int64_t lines = 0;
	size_t index;
	json_t *change;

	if (run_hash(run->base, &base, &err) || run_hash(run->head, &head, &err))
		return 0;
	changes = git_changes(repository, &base, &head, &err);
	json_array_foreach(changes, index, change)
		lines += json_number(change, "added", 0) + json_number(change, "removed", 0);
	return lines;
}

static void standing_fill(struct runs *runs, struct standing *standing)
{
	const char *verdict = standing->run.verdict ? standing->run.verdict : "";
	AUTO_JSON report = json_parse(view_of(standing->run.report), NULL);
	size_t index;
	json_t *finding;

	standing->verdict = run_is_over(&standing->run)        ? 3
			    : strcmp(verdict, "verified") == 0 ? 0
			    : strcmp(verdict, "failed") == 0   ? 2
							       : 1;
	json_array_foreach(json_member(report, "findings"), index, finding) {
		standing->findings++;
		standing->blocking += strcmp(json_text(finding, "severity", ""), "block") == 0;
	}
	if (standing->verdict < 3)
		standing->lines = change_lines(runs, &standing->run);
}

/* What it has cost: in money where any of them told of money, else in time of its agent. */
static double cost_of(const struct field *field, const struct run *run)
{
	for (size_t i = 0; i < field->count; i++)
		if (field->at[i].run.cost_usd > 0)
			return run->cost_usd;
	return (double)run->agent_ms;
}

static int field_read(struct runs *runs, struct store_tx *tx, const char *race, struct field *field, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT id FROM run WHERE race = ? ORDER BY seq", VALUES(V(race)), err))
		return -1;
	while (store_rows_next(&rows)) {
		field->at = mem_grow(field->at, field->count + 1, sizeof(*field->at));
		field->at[field->count] = (struct standing){.verdict = 3};
		if (run_read(tx, store_rows_text(&rows, 0), &field->at[field->count].run, err))
			return -1;
		standing_fill(runs, &field->at[field->count++]);
	}
	return store_rows_finish(&rows, err);
}

/* The better one: proven, then with less found, then smaller, then cheaper, then first. */
static bool is_better(const struct field *field, const struct standing *a, const struct standing *b)
{
	double cost_a = cost_of(field, &a->run);
	double cost_b = cost_of(field, &b->run);

	if (a->verdict != b->verdict)
		return a->verdict < b->verdict;
	if (a->blocking != b->blocking)
		return a->blocking < b->blocking;
	if (a->findings != b->findings)
		return a->findings < b->findings;
	if (a->lines != b->lines)
		return a->lines < b->lines;
	return cost_a < cost_b;
}

/* *stopped: it is not, when it came to rest, or the race was decided, since it was looked at. */
static int candidate_stop(struct runs *runs, const char *id, bool *stopped, struct err *err)
{
	AUTO_RUN now = {0};
	AUTO_TX tx = {0};

	*stopped = false;
	if (store_begin(runs->store, &tx, err) || run_read(&tx, id, &now, err))
		return -1;
	if (at_rest(&now) || now.race_winner)
		return 0;
	if (run_write(&tx, id, "outcome = 'lost'", NO_VALUES, err) || flow_stop_in(runs->flow, &tx, id, err))
		return err->kind == ERR_DENIED ? 0 : -1;
	if (store_commit_synced(&tx, err))
		return -1;
	*stopped = true;
	return flow_stop(runs->flow, id, err) && err->kind != ERR_DENIED ? -1 : 0; /* what runs of it hears of it */
}

/* A verified one stops those that cost as much already and are not done. */
static int dearer_stop(struct runs *runs, const struct field *field, const struct run *self, struct err *err)
{
	double limit = cost_of(field, self);

	for (size_t i = 0; i < field->count; i++) {
		const struct run *other = &field->at[i].run;
		bool stopped;

		if (strcmp(other->id, self->id) == 0 || at_rest(other) || cost_of(field, other) < limit || limit <= 0)
			continue;
		if (candidate_stop(runs, other->id, &stopped, err))
			return -1;
		if (!stopped)
			continue;
		event_note(runs, other->id, "run %s is verified, and this one is not cheaper any more: it is stopped", self->id);
	}
	return 0;
}

static void winner_tell(struct runs *runs, const struct field *field, const struct standing *winner)
{
	static const char *const verdicts[] = {"verified", "unverified", "failed", "without a verdict"};

	for (size_t i = 0; i < field->count; i++) {
		const struct standing *one = &field->at[i];

		event_note(runs, winner->run.id, "candidate %s (%s)%s: %s, %lld findings, %lld lines, %.4f USD, %lld s, branch %s",
			   one->run.id, one->run.agent, one == winner ? ", chosen" : "", verdicts[one->verdict],
			   (long long)one->findings, (long long)one->lines, one->run.cost_usd, (long long)one->run.agent_ms / 1000,
			   one->run.branch ? one->run.branch : "-");
	}
}

/* Writes the winner down, once: who wrote one meanwhile, from what stood then, has chosen. Owned by the caller. */
static int winner_choose(struct runs *runs, const struct field *field, const struct run *self, char **winner, struct err *err)
{
	const struct standing *best = NULL;
	AUTO_RUN written = {0};
	AUTO_TX tx = {0};

	for (size_t i = 0; i < field->count; i++)
		if (field->at[i].verdict < 3 && (!best || is_better(field, &field->at[i], best)))
			best = &field->at[i];
	if (!best)
		return err_set(err, ERR_BROKEN, "a race without candidates");
	if (store_begin(runs->store, &tx, err) ||
	    store_run(&tx, "UPDATE run SET race_winner = ? WHERE race = ? AND race_winner IS NULL",
		      VALUES(V(best->run.id), V(self->race)), err) ||
	    run_read(&tx, self->id, &written, err) || store_commit(&tx, err))
		return -1;
	*winner = text_copy(written.race_winner);
	if (strcmp(*winner, best->run.id) == 0)
		winner_tell(runs, field, best);
	return 0;
}

#define AUTO_FIELD __attribute__((cleanup(field_fini))) struct field

int race_stand(struct runs *runs, const struct run *run, struct flow_visit *visit, bool *publishes, struct err *err)
{
	AUTO_FIELD field = {0};
	AUTO_FREE char *winner = text_copy(run->race_winner);
	AUTO_TX tx = {0};

	*publishes = !run->race || (winner && strcmp(winner, run->id) == 0);
	if (*publishes)
		return 0;
	if (!winner) {
		if (store_begin(runs->store, &tx, err) || field_read(runs, &tx, run->race, &field, err))
			return -1;
		store_abort(&tx);
		if (run->verdict && strcmp(run->verdict, "verified") == 0 && dearer_stop(runs, &field, run, err))
			return -1;
		for (size_t i = 0; i < field.count; i++) {
			if (at_rest(&field.at[i].run))
				continue;
			visit->park = true;
			visit->wake_ms = world_now_ms(runs->options.world) + LOOK_MS;
			(void)snprintf(visit->detail, sizeof(visit->detail), "waits for the other candidates");
			return 0;
		}
		if (winner_choose(runs, &field, run, &winner, err))
			return -1;
		*publishes = strcmp(winner, run->id) == 0;
		if (*publishes)
			return 0;
	}
	visit->next = "close";
	(void)snprintf(visit->detail, sizeof(visit->detail), "candidate %s was chosen; the branch %s stays", winner, run->branch);
	return run_store(runs, run->id, "outcome = 'lost'", NO_VALUES, err);
}

bool run_lost(const struct run *run)
{
	return run->outcome && strcmp(run->outcome, "lost") == 0;
}

int race_others(struct runs *runs, const char *first, json_t *ids, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT id FROM run WHERE race = ? AND id <> race", VALUES(V(first)), err))
		return -1;
	while (store_rows_next(&rows))
		(void)json_array_append_new(ids, json_string(store_rows_text(&rows, 0)));
	return store_rows_finish(&rows, err);
}

/* ---- for people ---- */

json_t *race_json(struct runs *runs, struct store_tx *tx, const char *race, struct err *err)
{
	AUTO_FIELD field = {0};
	json_t *items;

	if (field_read(runs, tx, race, &field, err))
		return NULL;
	items = json_array();
	for (size_t i = 0; i < field.count; i++) {
		const struct standing *one = &field.at[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:I, s:I, s:f, s:b}", "id", one->run.id, "agent",
					 one->run.agent, "state", one->run.state, "verdict", one->run.verdict, "branch",
					 one->run.branch, "findings", (json_int_t)one->findings, "lines", (json_int_t)one->lines,
					 "cost_usd", one->run.cost_usd, "chosen",
					 one->run.race_winner && strcmp(one->run.race_winner, one->run.id) == 0);

		(void)json_array_append_new(items, item);
	}
	return items;
}

int race_body(struct buf *out, struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_JSON items = NULL;
	AUTO_TX tx = {0};
	size_t index;
	json_t *item;

	if (!run->race)
		return 0;
	if (store_begin(runs->store, &tx, err))
		return -1;
	items = race_json(runs, &tx, run->race, err);
	if (!items)
		return -1;
	buf_add_text(
		out,
		"\n### The candidates\n\n| run | agent | verdict | findings | lines | cost | branch | |\n|---|---|---|---|---|---|---|---|\n");
	json_array_foreach(items, index, item) {
		const json_t *cost = json_member(item, "cost_usd");

		buf_add_format(out, "| [%s](%s/runs/%s) | %s | %s | %lld | %lld | %.4f USD | `%s` | %s |\n",
			       json_text(item, "id", ""), runs->pages_base, json_text(item, "id", ""), json_text(item, "agent", ""),
			       json_text(item, "verdict", "none"), (long long)json_number(item, "findings", 0),
			       (long long)json_number(item, "lines", 0), json_real_value(cost), json_text(item, "branch", ""),
			       json_flag(item, "chosen", false) ? "chosen" : "");
	}
	return 0;
}
