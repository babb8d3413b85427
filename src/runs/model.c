/*
 * What the hosts of models answered, as the gateway saw it: the same for all programs, however long they try on by themselves and whatever
 * they say about it.
 *
 * Theory of operation. The gateway tells each answer of a model's host that is a failure, and the first good one after it, numbered, because they
 * may arrive in another order. The last one of an environment is kept in memory: a turn's watchdog reads it, and what a turn failed by is
 * told from it when the program itself did not say. A pause that the host asked for outlives the turn: the next one begins after it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/turn_priv.h"

#define STATES_MAX ((size_t)256)
#define REFUSED_MS ((int64_t)10000)   /* one refusal may be a token that is renewed; two in a row, or silence after it, are none */
#define OVERLOAD_MS ((int64_t)120000) /* a program that tries for so long is ended, and its turn tried again */
#define PAUSE_MS ((int64_t)60000)     /* it is not kept waiting for longer pauses either */
#define PAUSE_LONGEST_MS ((int64_t)6 * 3600000)

void models_free(struct runs *runs)
{
	free(runs->models);
}

/* The environment's own, or NULL; with `make` one is made, in the place of the one told of longest ago. Under the lock. */
static struct model_state *state_of(struct runs *runs, const char *env, bool make)
{
	struct model_state *oldest;

	if (!runs->models)
		runs->models = mem_new_array(STATES_MAX, sizeof(*runs->models));
	oldest = runs->models;
	for (size_t i = 0; i < STATES_MAX; i++) {
		struct model_state *state = &runs->models[i];

		if (strcmp(state->env, env) == 0)
			return state;
		oldest = state->told_ms < oldest->told_ms ? state : oldest;
	}
	if (!make)
		return NULL;
	*oldest = (struct model_state){0};
	(void)snprintf(oldest->env, sizeof(oldest->env), "%s", env);
	return oldest;
}

void runs_model_status(struct runs *runs, const json_t *body)
{
	int64_t now_ms = world_elapsed_ms(runs->options.world);
	int64_t number = json_number(body, "number", 0);
	int64_t pause_ms = json_number(body, "retry_after_s", 0) * 1000;
	struct model_state *state;
	bool good = json_number(body, "status", 0) < 400;

	(void)pthread_mutex_lock(&runs->records);
	state = state_of(runs, json_text(body, "env", ""), true);
	if (number > state->number || number == 1) { /* a gateway that started again counts from 1 */
		state->number = number;
		state->told_ms = now_ms;
		state->since_ms = good || !state->status ? now_ms : state->since_ms;
		state->count = good ? 0 : state->count + 1;
		state->status = good ? 0 : json_number(body, "status", 0);
		state->pause_ms = good ? 0 : pause_ms > PAUSE_LONGEST_MS ? PAUSE_LONGEST_MS : pause_ms;
		(void)snprintf(state->host, sizeof(state->host), "%s", json_text(body, "host", ""));
	}
	(void)pthread_mutex_unlock(&runs->records);
}

struct model_state model_state(struct runs *runs, const char *env)
{
	struct model_state copy = {0};
	const struct model_state *state;

	(void)pthread_mutex_lock(&runs->records);
	state = state_of(runs, env, false);
	if (state)
		copy = *state;
	(void)pthread_mutex_unlock(&runs->records);
	return copy;
}

void model_forget(struct runs *runs, const char *env)
{
	struct model_state *state;

	(void)pthread_mutex_lock(&runs->records);
	state = state_of(runs, env, false);
	if (state) {
		state->status = 0;
		state->count = 0;
		state->pause_ms = 0;
	}
	(void)pthread_mutex_unlock(&runs->records);
}

int64_t model_pause_ms(struct runs *runs, const char *env)
{
	struct model_state state = model_state(runs, env);
	int64_t left_ms = state.told_ms + state.pause_ms - world_elapsed_ms(runs->options.world);

	return state.status && left_ms > 0 ? left_ms : 0;
}

/* What follows: an error whose kind says it. Always -1. */
static int refuse(const struct turn *turn, const struct model_state *state, struct err *err)
{
	const char *class = agent_status_class(state->status);
	bool overload = strcmp(class, "overload") == 0;

	return err_set(err, overload ? ERR_RETRY : ERR_DENIED, "the agent (%s) did not succeed: %s, %.100s answered %lld%s",
		       turn->ops->name, class, state->host, (long long)state->status,
		       overload                      ? " for too long"
		       : strcmp(class, "quota") == 0 ? ": its account is to be paid for, then `assay retry`"
						     : ": its key is no good, or not for this; then `assay retry`");
}

/* People hear of each status once. */
static void tell(struct turn *turn, const struct model_state *state)
{
	if (state->status && state->status != turn->model_status)
		event_note(turn->runs, turn->run->id, "%s answers the agent %lld", state->host, (long long)state->status);
	turn->model_status = state->status;
}

int model_watch(struct turn *turn, struct err *err)
{
	int64_t now_ms = turn_now_ms(turn);
	struct model_state state;
	int64_t age_ms;

	if (turn->model_ms && now_ms - turn->model_ms < MODEL_LOOK_MS)
		return 0;
	turn->model_ms = now_ms;
	state = model_state(turn->runs, turn->env.text);
	age_ms = now_ms - state.since_ms;
	if (!state.status)
		return 0;
	tell(turn, &state);
	if (agent_parser_acting(turn->parser) || agent_parser_ended(turn->parser))
		return 0; /* it may be what its tool asked */
	if (strcmp(agent_status_class(state.status), "overload") == 0)
		return age_ms > OVERLOAD_MS || state.pause_ms > PAUSE_MS ? refuse(turn, &state, err) : 0;
	return state.count > 1 || age_ms > REFUSED_MS ? refuse(turn, &state, err) : 0;
}

const char *model_failure_class(struct turn *turn, const char *class)
{
	struct model_state state = model_state(turn->runs, turn->env.text);

	tell(turn, &state); /* a program may have ended before anybody looked */
	return strcmp(class, "crash") == 0 && state.status ? agent_status_class(state.status) : class;
}
