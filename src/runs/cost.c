/*
 * What a run may cost, held against what its agents tell of it: `egress.budget`, before each turn, and in its middle where they tell it there. Over
 * it no turn begins, and one that works is ended when it has a result: a person is asked, and the run waits without a thread. `yes` allows as much again; anything else, or silence for a day, ends the run. The gateway counts by itself what
 * passes it, and holds calls in the middle of a turn (runs/egress.h); this is for what does not pass it, and for all programs alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

#define ASK_MS ((int64_t)86400000)

static double cap_of(const struct blueprint *blueprint)
{
	return (double)blueprint->egress.budget_micro_usd / 1e6;
}

bool cost_is_over(const struct run *run, const struct blueprint *blueprint, double more_usd)
{
	double cap_usd = cap_of(blueprint);

	return cap_usd > 0 && run->cost_usd + more_usd >= cap_usd + run->cost_allowed;
}

/* Does the run wait, or end, for what a person said? *go: it may go on. */
static int answer_read(struct runs *runs, const struct run *run, double cap_usd, struct flow_visit *visit, bool *go,
		       struct err *err)
{
	AUTO_JSON question = NULL;
	const char *state;
	const char *said;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    question_get(&tx, run->id, run->cost_question, world_now_ms(runs->options.world), &question, err))
		return -1;
	state = json_text(question, "state", "expired");
	said = json_text(question, "answer", "");
	if (strcmp(state, "open") == 0) {
		visit->park = true;
		visit->wake_ms = json_number(question, "deadline_ms", 0) + 1;
		(void)snprintf(visit->detail, sizeof(visit->detail), "waits for a person: may it cost more?");
		return 0;
	}
	*go = strcmp(state, "answered") == 0 && strncasecmp(said, "yes", 3) == 0;
	/* Whoever tries again is asked again. */
	if (run_write(&tx, run->id, "cost_question = 0, cost_allowed = cost_allowed + ?", VALUES(V(*go ? cap_usd : 0.0)), err) ||
	    store_commit(&tx, err))
		return -1;
	return *go ? 0
		   : err_set(err, ERR_DENIED, "the run has cost %.2f USD, and %s: a person said %s%.200s", run->cost_usd,
			     "may cost no more", *said ? "" : "nothing for a day", said);
}

static int ask(struct runs *runs, const struct run *run, double cap_usd, struct flow_visit *visit, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_FREE char *text = text_format(
		"This run has cost %.2f USD by what its agents tell, of %.2f USD that it may (egress.budget). May it cost "
		"%.2f USD more? Answer `yes`, or why not.",
		run->cost_usd, cap_usd + run->cost_allowed, cap_usd);
	int64_t id = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || question_put(runs, &tx, run->id, text, ASK_MS, true, &id, err) ||
	    run_write(&tx, run->id, "cost_question = ?", VALUES(V(id)), err) || store_commit(&tx, err))
		return -1;
	visit->park = true;
	visit->wake_ms = now_ms + ASK_MS + 1;
	(void)snprintf(visit->detail, sizeof(visit->detail), "waits for a person: may it cost more?");
	return 0;
}

int cost_check(struct runs *runs, const struct run *run, const struct blueprint *blueprint, struct flow_visit *visit,
	       struct err *err)
{
	double cap_usd = cap_of(blueprint);
	bool go = false;

	if (!cost_is_over(run, blueprint, 0.0))
		return 0;
	if (!run->cost_question)
		return ask(runs, run, cap_usd, visit, err);
	return answer_read(runs, run, cap_usd, visit, &go, err);
}
