/*
 * Pull requests that others write, people or agents: verified without an agent, where a project says so. A run whose `judges` is the pull
 * request's number at the host has no issue and no turns: its steps fetch the commits, fork an environment of the head, verify, show the verdict as a check
 * and the preview as a deployment, and wait for the next commit or the end.
 *
 * What a stranger proposes from a fork is not run unless somebody who may write to the repository asks for it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

/* ---- begun, and told ---- */

int judge_put_in(struct runs *runs, struct store_tx *tx, const struct place *place, int64_t number, const char *form, bool asked,
		 struct err *err)
{
	AUTO_FREE char *operation = text_format("%s#%lld/forge.judge/%s", place->name, (long long)number, form);
	AUTO_FREE char *target = text_format("#%lld/judge", (long long)number);

	return remote_put(runs, tx, place, "forge.judge", operation, target, false,
			  json_pack("{s:I, s:b}", "number", (json_int_t)number, "asked", asked), err);
}

int judge_find(struct store_tx *tx, const char *name, int64_t number, struct run *run, bool *found, struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_ROWS rows = {0};

	*found = false;
	if (store_query(tx, &rows, "SELECT id FROM run WHERE repository = ? AND judges = ? ORDER BY seq DESC LIMIT 1",
			VALUES(V(name), V(number)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err);
	id = text_copy(store_rows_text(&rows, 0));
	store_rows_fini(&rows);
	*found = true;
	return run_read(tx, id, run, err);
}

static int judge_begin(struct runs *runs, struct store_tx *tx, const struct place *place, const json_t *pull, struct err *err)
{
	struct run_id id = run_id_new(runs->options.world);
	AUTO_JSON request = json_pack("{s:s}", "repository", place->name);
	AUTO_JSON issue = json_pack("{s:I, s:s}", "number", (json_int_t)0, "title", json_text(pull, "title", ""));

	if (run_start_in(runs, tx, id, issue, request, err) ||
	    run_write(tx, id.text, "judges = ?", VALUES(V(json_number(pull, "number", 0))), err))
		return -1;
	log_info("run=%s repository=%s pull=%lld: is verified", id.text, place->name, (long long)json_number(pull, "number", 0));
	return 0;
}

/* The run that judges it is begun, told of a new head, or told of the end. */
static int judge_tell(struct runs *runs, const struct place *place, const json_t *pull, bool asked, struct err *err)
{
	bool open = strcmp(json_text(pull, "state", ""), "open") == 0;
	AUTO_JSON data = json_pack("{s:s}", "head", json_text(pull, "head", ""));
	AUTO_RUN run = {0};
	bool found;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || judge_find(&tx, place->name, json_number(pull, "number", 0), &run, &found, err))
		return -1;
	if (!found || run_is_over(&run)) {
		if (!open)
			return 0;
		if (judge_begin(runs, &tx, place, pull, err))
			return -1;
	} else if (!open) {
		if (run_signal_in(runs, &tx, run.id, json_text(pull, "state", ""), data, "note", NULL, err))
			return -1;
	} else if (asked || !run.head || strcmp(run.head, json_text(pull, "head", "")) != 0) {
		if (run_signal_in(runs, &tx, run.id, "judge", data, "note", NULL, err))
			return -1;
	}
	if (store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

static int judge_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	bool asked = json_flag(data, "asked", false);
	AUTO_PLACE place = {0};
	AUTO_JSON pull = NULL;
	struct remote_told told = {0};
	bool may = true;

	if (!data || place_load(runs, json_text(data, "repository", ""), &place, err))
		return -1;
	pull = place.host.ops->pull_get(place.host.self, place.remote, json_number(data, "number", 0), &told, err);
	if (!pull)
		return remote_failed(&told, answer);
	if (!asked && json_flag(pull, "fork", false) &&
	    place.host.ops->may_command(place.host.self, place.remote, json_text(pull, "author", ""), &may, &told, err))
		return remote_failed(&told, answer);
	if (!may) {
		log_info(
			"repository=%s pull=%lld: from a fork of %s, who may not write: `/assay verify` by somebody who may begins it",
			place.name, (long long)json_number(pull, "number", 0), json_text(pull, "author", ""));
		return 0;
	}
	return judge_tell(runs, &place, pull, asked, err);
}

const struct effect_kind effect_judge = {"forge.judge", judge_send, NULL, NULL};

/* ---- the steps ---- */

/* Where the pull request's branch left its target. */
static int base_find(struct runs *runs, const struct place *place, const struct git_hash *target, const struct git_hash *head,
		     struct git_hash *base, struct err *err)
{
	AUTO_FREE char *path = repository_path(runs, place->name);
	AUTO_BUF out = buf_new(4096);

	if (git_run(path, (const char *const[]){"merge-base", target->text, head->text, NULL},
		    &(struct process_spec){.output = &out}, NULL, err))
		return err_prefix(err, "the pull request has nothing in common with its target");
	return git_hash_parse(view_trim(buf_view(&out)), base, err);
}

static int commits_fetch(struct runs *runs, const struct place *place, const struct run *run, const json_t *pull,
			 struct git_hash *base, struct git_hash *head, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *there = place->host.ops->pull_ref(run->judges);
	AUTO_FREE char *here = text_format("refs/assay/pull/%lld", (long long)run->judges);
	AUTO_FREE char *into = text_format("refs/heads/%s", json_text(pull, "target", ""));
	AUTO_FREE char *into_here = text_format("refs/assay/pull/%lld-target", (long long)run->judges);
	struct git_hash target;

	return place_fetch(runs, place, there, here, head, told, err) ||
			       place_fetch(runs, place, into, into_here, &target, told, err) ||
			       base_find(runs, place, &target, head, base, err)
		       ? -1
		       : 0;
}

static int claimed_store(struct runs *runs, const struct place *place, const struct run *run, const struct git_hash *base,
			 const struct git_hash *head, struct err *err)
{
	AUTO_FREE char *branch = text_format("pull/%lld", (long long)run->judges);
	AUTO_FREE char *url = text_format("%s/runs/%s", runs->pages_base, run->id);
	AUTO_FREE char *operation = text_format("%s/forge.check/%s/%lld", run->id, head->text, (long long)run->turn);
	json_t *data = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "run", run->id, "head", head->text, "title", "is being verified",
				 "summary", "An environment is forked from this commit, and its base.", "url", url, "state",
				 REMOTE_RUNNING);
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || flow_signals_take(&tx, run->id, &signals, err) ||
	    run_write(
		    &tx, run->id,
		    "branch = ?, base = ?, head = ?, environment = NULL, preview = NULL, attempts = 1, turn = turn + 1, pending = 0, judged = NULL",
		    VALUES(V(branch), V(base->text), V(head->text)), err) ||
	    remote_put(runs, &tx, place, "forge.check", operation, branch, false, data, err))
		return -1;
	return store_commit(&tx, err);
}

int step_judge_claim(struct runs *runs, const struct run *run, struct flow_visit *visit, struct err *err)
{
	AUTO_PLACE place = {0};
	AUTO_JSON pull = NULL;
	struct remote_told told = {0};
	struct git_hash base;
	struct git_hash head;

	if (place_load(runs, run->repository, &place, err))
		return -1;
	pull = place.host.ops->pull_get(place.host.self, place.remote, run->judges, &told, err);
	if (!pull)
		return remote_wait(runs, run->repository, &told, visit, err);
	if (strcmp(json_text(pull, "state", ""), "open") != 0) {
		visit->next = "close";
		return 0;
	}
	if (commits_fetch(runs, &place, run, pull, &base, &head, &told, err))
		return remote_wait(runs, run->repository, &told, visit, err);
	if (judge_environments_end(runs, run, err) || claimed_store(runs, &place, run, &base, &head, err))
		return -1;
	(void)snprintf(visit->detail, sizeof(visit->detail), "pull request #%lld at %.12s", (long long)run->judges, head.text);
	visit->next = "fork";
	return 0;
}

int step_judge_publish(struct runs *runs, const struct run *run, const json_t *report, struct flow_visit *visit, struct err *err)
{
	AUTO_FREE char *url = text_format("%s/runs/%s", runs->pages_base, run->id);
	AUTO_FREE char *check = text_format("%s/forge.check/%s/%lld/done", run->id, run->head, (long long)run->turn);
	AUTO_FREE char *deployment = text_format("%s/forge.deployment/%s", run->id, run->head);
	json_t *data = remote_check_data(report, run->base, run->head, url);
	AUTO_JSON preview = json_pack("{s:s, s:s, s:s, s:s?, s:s, s:I}", "run", run->id, "branch", run->branch, "head", run->head,
				      "preview", run->preview, "url", url, "number", (json_int_t)run->judges);
	AUTO_PLACE place = {0};
	bool found;
	AUTO_TX tx = {0};

	preview_shown_add(preview, run->environment, run->preview);
	(void)json_object_set_new(data, "run", json_string(run->id));
	(void)json_object_set_new(data, "number", json_integer(run->judges));
	if (store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err) ||
	    place_find(&tx, run->repository, &place, &found, err)) {
		json_decref(data);
		return -1;
	}
	if (remote_put(runs, &tx, &place, "forge.check", check, run->branch, false, data, err) ||
	    (run->preview &&
	     remote_put(runs, &tx, &place, "forge.deployment", deployment, run->branch, false, json_incref(preview), err)) ||
	    run_write(&tx, run->id, "published = head", NO_VALUES, err))
		return -1;
	(void)snprintf(visit->detail, sizeof(visit->detail), "pull request #%lld, %s", (long long)run->judges, run->verdict);
	visit->next = "review";
	return store_commit(&tx, err);
}

int step_judge_review(struct runs *runs, const struct run *run, struct flow_visit *visit, struct err *err)
{
	AUTO_JSON signals = NULL;
	size_t index;
	json_t *signal;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || flow_signals_take(&tx, run->id, &signals, err))
		return -1;
	json_array_foreach(signals, index, signal) {
		const char *kind = json_text(signal, "kind", "");

		if (strcmp(kind, "judge") == 0)
			visit->next = "claim";
		else if (strcmp(kind, "merged") == 0 || strcmp(kind, "closed") == 0)
			visit->next = "close";
	}
	if (visit->next && strcmp(visit->next, "close") == 0 && run_write(&tx, run->id, "outcome = 'merged'", NO_VALUES, err))
		return -1;
	if (!visit->next && declarations_changed(run)) {
		visit->next = "verify";
		if (run->judged && run_write(&tx, run->id, "judged = NULL, attempt = attempt + 1", NO_VALUES, err))
			return -1;
	}
	(void)snprintf(visit->detail, sizeof(visit->detail), visit->next ? "goes on" : "waits for its next commit");
	visit->park = !visit->next;
	return store_commit(&tx, err);
}
