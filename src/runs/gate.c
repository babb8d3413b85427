/*
 * The gate inside an agent's program, for those that ask before they end (doc/agents.md): it answers from what is known, and lets go at once
 * where nothing is. It saves the start of another process; what decides is the verification after the turn.
 *
 * Theory of operation. What the agent's own `assay-env verify` found is kept with the tree it was found in. Who wants to end with that
 * same tree, or with a tree in which nothing is changed, is told so, once a turn; after that, and after a restart of ours, it may end.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

#define FEEDBACK_BYTES_MAX ((size_t)64 << 10)

struct gate {
	char run[ID_TEXT_MAX];
	int64_t turn; /* that was held already; 0: none */
	char *tree;   /* in which the agent's last verification failed, or NULL */
	char *feedback;
};

static void gate_clear(struct gate *gate)
{
	free(gate->tree);
	free(gate->feedback);
	gate->tree = gate->feedback = NULL;
}

/* The run's own, or one of a run that is longest not asked about. Under the lock. */
static struct gate *gate_of(struct runs *runs, const char *run)
{
	struct gate *gates = runs->gates ? runs->gates : (runs->gates = mem_new_array(RUN_GATES_MAX, sizeof(*gates)));
	struct gate *gate;

	for (size_t i = 0; i < RUN_GATES_MAX; i++)
		if (strcmp(gates[i].run, run) == 0)
			return &gates[i];
	gate = &gates[runs->gate_next++ % RUN_GATES_MAX];
	gate_clear(gate);
	gate->turn = 0;
	(void)snprintf(gate->run, sizeof(gate->run), "%s", run);
	return gate;
}

void gates_free(struct runs *runs)
{
	for (size_t i = 0; runs->gates && i < RUN_GATES_MAX; i++)
		gate_clear(&runs->gates[i]);
	free(runs->gates);
}

static int run_find(struct runs *runs, struct env_id env, struct run *run, struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) || run_of_environment(&tx, env, &id, err) || run_read(&tx, id, run, err) ? -1 : 0;
}

void runs_tool_verified(struct runs *runs, struct env_id env, const char *tree, const char *feedback)
{
	AUTO_RUN run = {0};
	struct gate *gate;

	if (run_find(runs, env, &run, NULL))
		return;
	(void)pthread_mutex_lock(&runs->records);
	gate = gate_of(runs, run.id);
	gate_clear(gate);
	if (feedback && strlen(feedback) < FEEDBACK_BYTES_MAX) {
		gate->tree = text_copy(tree);
		gate->feedback = text_copy(feedback);
	}
	(void)pthread_mutex_unlock(&runs->records);
}

/* Why the turn should go on, once; false: there is no reason. */
static bool hold(struct runs *runs, const struct run *run, bool changed, const char *tree, struct buf *reason)
{
	struct gate *gate;

	(void)pthread_mutex_lock(&runs->records);
	gate = gate_of(runs, run->id);
	if (gate->turn != run->turn && gate->feedback && strcmp(gate->tree, tree) == 0)
		prompt_unmended(reason, gate->feedback);
	else if (gate->turn != run->turn && !changed && !run->head && !run->unchanged)
		prompt_unchanged(reason);
	if (reason->length)
		gate->turn = run->turn;
	(void)pthread_mutex_unlock(&runs->records);
	return reason->length > 0;
}

json_t *runs_tool_gate(struct runs *runs, struct env_id env, bool changed, const char *tree, struct err *err)
{
	AUTO_BUF reason = buf_new(FEEDBACK_BYTES_MAX * 2);
	AUTO_RUN run = {0};
	json_t *answer;

	if (run_find(runs, env, &run, err))
		return NULL;
	if (strcmp(run.state, "turn") != 0 || !hold(runs, &run, changed, tree, &reason))
		return json_pack("{s:b}", "hold", 0);
	event_note(runs, run.id, "the agent wanted to end, and was told why not yet");
	answer = json_pack("{s:b}", "hold", 1);
	json_set_bytes(answer, "reason", buf_view(&reason));
	return answer;
}
