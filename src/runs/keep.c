/*
 * The environments of a run: which are its own, which stay when it ends, and until when.
 *
 * Theory of operation. An environment says whose it is (`owner`); that, not what a step remembers, decides. While a run goes on it has one,
 * which a step that begins again finds. When it was merged none stays; when it ended otherwise the one it worked in stays, frozen, for
 * its grace period; one that a person pinned always stays. A reconciler removes what a run that is over still has, whatever it was
 * that kept its last step from doing so.
 */
#include <string.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/runs_priv.h"

#define GRACE_DEFAULT_MS ((int64_t)24 * 3600000)

static bool is_own(const json_t *item, const char *run)
{
	return strcmp(json_text(item, "owner", ""), run) == 0 && strcmp(json_text(item, "purpose", ""), "work") == 0;
}

int run_environment_adopt(struct runs *runs, const struct run *run, struct env_id *env, bool *found, struct err *err)
{
	AUTO_JSON all = environment_list(runs->options.environments, err);
	size_t index;
	json_t *item;

	*found = false;
	if (!all)
		return -1;
	json_array_foreach(all, index, item) {
		const char *state = json_text(item, "state", "");
		struct env_id id;

		if (!is_own(item, run->id) || env_id_parse(view_of(json_text(item, "id", "")), &id, err))
			continue;
		if (!*found && (strcmp(state, "ready") == 0 || strcmp(state, "frozen") == 0)) {
			*found = true;
			*env = id;
		} else if (environment_down(runs->options.environments, id, err)) {
			return -1;
		}
	}
	return 0;
}

/* ---- at the end ---- */

static int64_t grace_ms(struct runs *runs, const struct run *run)
{
	AUTO_BLUEPRINT blueprint = run->base ? run_blueprint(runs, run, NULL) : NULL;

	return blueprint && blueprint->preview.grace_ms ? blueprint->preview.grace_ms : GRACE_DEFAULT_MS;
}

/* Frozen as it is, for its grace period, so that a person can look into it. */
static void freeze(struct runs *runs, const struct run *run, struct env_id env)
{
	struct err err = {0};

	/* One that failed cannot be frozen: it stays as it is. */
	if (environment_extend(runs->options.environments, env, grace_ms(runs, run), &err) ||
	    environment_freeze(runs->options.environments, env, true, &err)) {
		log_info("run=%s environment=%s: %s", run->id, env.text, err.text);
		return;
	}
	change_add(runs, "environment", "id", V(env.text), "frozen");
}

static bool stays(const struct run *run, const json_t *item)
{
	bool merged = run->outcome && strcmp(run->outcome, "merged") == 0;
	bool worked_in = run->environment && strcmp(run->environment, json_text(item, "id", "")) == 0;

	return json_flag(item, "pinned", false) || (!merged && !run_lost(run) && worked_in);
}

static int remove_one(struct runs *runs, struct env_id env, struct err *err)
{
	struct err problem = {0};

	if (environment_down(runs->options.environments, env, &problem) && problem.kind != ERR_NOT_FOUND) {
		if (err)
			*err = problem;
		return -1;
	}
	change_add(runs, "environment", "id", V(env.text), "gone");
	return 0;
}

int run_environments_end(struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_JSON all = environment_list(runs->options.environments, err);
	int result = 0;
	size_t index;
	json_t *item;

	if (!all)
		return -1;
	json_array_foreach(all, index, item) {
		struct env_id env;

		if (!is_own(item, run->id) || env_id_parse(view_of(json_text(item, "id", "")), &env, err))
			continue;
		if (stays(run, item))
			freeze(runs, run, env);
		else if (remove_one(runs, env, err))
			result = -1;
	}
	return result;
}

int judge_environments_end(struct runs *runs, const struct run *run, struct err *err)
{
	struct run over = *run;

	over.outcome = (char[]){"merged"};
	return run_environments_end(runs, &over, err);
}

/* Was it taken over by another control plane, while we were gone? */
static int lives_elsewhere(struct runs *runs, const char *run, bool *elsewhere, struct err *err)
{
	int64_t count = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_number_get(&tx, &count, 0, "SELECT count(*) FROM flow WHERE id = ? AND home <> '' AND home <> ?",
			     VALUES(V(run), V(flows_plane(runs->flow)->lease.name)), err))
		return -1;
	*elsewhere = count > 0;
	return 0;
}

int run_environments_reconcile(struct runs *runs, struct err *err)
{
	AUTO_JSON all = environment_list(runs->options.environments, err);
	int result = 0;
	size_t index;
	json_t *item;

	if (!all)
		return -1;
	json_array_foreach(all, index, item) {
		const char *owner = json_text(item, "owner", "");
		AUTO_RUN run = {0};
		struct err absent = {0};
		struct env_id env;
		bool elsewhere = false;

		if (!*owner || !is_own(item, owner) || env_id_parse(view_of(json_text(item, "id", "")), &env, err))
			continue;
		if (run_load(runs, owner, &run, &absent)) {
			if (absent.kind != ERR_NOT_FOUND)
				log_warn("run=%s: %s", owner, absent.text);
			continue;
		}
		if (lives_elsewhere(runs, run.id, &elsewhere, err)) {
			result = -1;
			continue;
		}
		if (elsewhere ? json_flag(item, "pinned", false) : !run_is_over(&run) || stays(&run, item))
			continue;
		log_info("run=%s environment=%s removed: the run %s", run.id, env.text,
			 elsewhere ? "goes on on another machine" : "is over");
		if (remove_one(runs, env, err))
			result = -1;
	}
	return result;
}
