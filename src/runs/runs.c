/* The open object, and what the API asks about runs. */
#include "runs/runs.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "forges/builtin.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "runs/slack_socket.h"
#include "runs/thread.h"
#include "runs/voice.h"
#include "trackers/builtin.h"

#define EFFECT_THREADS 3

/* This state directory, among those of all machines that share a store. */
static char *place_name(const char *state_dir)
{
	char host[HOST_NAME_MAX + 1] = "";
	AUTO_FREE char *whole = NULL;
	struct digest digest;

	(void)gethostname(host, sizeof(host) - 1);
	whole = text_format("%s:%s", host, state_dir);
	digest = digest_of(view_of(whole));
	return text_format("%.40s-%.12s", host, digest.text);
}

/* A run's environment is on this machine: so is the run, until we are gone, or for good where nobody else has its repository. */
static struct flow_options flow_options_of(struct runs *runs, const char *place)
{
	bool shared = runs->external || store_is_shared(runs->store);

	return (struct flow_options){.store = runs->store,
				     .definition = &run_definition,
				     .self = runs,
				     .world = runs->options.world,
				     .workers = runs->options.workers,
				     .tenant_max = runs->options.organisation_max,
				     .repository_max = runs->options.repository_max,
				     .plane = shared ? place : NULL,
				     .home = !shared                      ? FLOW_ANYWHERE
					     : runs->options.repositories ? FLOW_WHERE_TAKEN
									  : FLOW_WHERE_BEGUN};
}

static int store_take(struct runs *runs, const struct runs_inside *inside, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/assay.db", runs->state_dir);

	runs->external = inside && inside->store;
	if (runs->external)
		runs->store = inside->store;
	return runs->external ? 0 : store_open(runs->options.store ? runs->options.store : path, &runs->store, err);
}

int runs_open_inside(const struct runs_options *options, const struct runs_inside *inside, struct runs **runs, struct err *err)
{
	struct runs *self = mem_new(sizeof(*self));
	AUTO_FREE char *place = inside && inside->plane ? text_copy(inside->plane) : place_name(options->state_dir);
	struct flow_options flow;

	self->options = *options;
	self->state_dir = text_copy(options->state_dir);
	self->pages_base = text_copy(options->pages_base);
	self->repositories_dir = options->repositories ? text_copy(options->repositories)
						       : text_format("%s/repos", options->state_dir);
	(void)pthread_mutex_init(&self->repositories, NULL);
	(void)pthread_mutex_init(&self->records, NULL);
	(void)pthread_mutex_init(&self->clients_lock, NULL);
	if (file_make_dirs(self->repositories_dir, 0700, err) || store_take(self, inside, err)) {
		runs_close(self);
		return -1;
	}
	self->tracker = tracker_builtin_new(self->store, options->world);
	self->forge = forge_builtin_new(self->store, self->repositories_dir, options->world);
	flow = flow_options_of(self, place);
	if (flows_open(&flow, &self->flow, err) || effects_open(self, options->goes_outside ? EFFECT_THREADS : 0, err) ||
	    inboxes_open(self, options->goes_outside, err) ||
	    (options->goes_outside && (remote_reconcile(self, err) || slack_sockets_open(self, err)))) {
		runs_close(self);
		return -1;
	}
	*runs = self;
	return 0;
}

int runs_open(const struct runs_options *options, struct runs **runs, struct err *err)
{
	return runs_open_inside(options, NULL, runs, err);
}

const struct verify_sources *runs_verify_sources(const struct runs *runs)
{
	return runs->options.sources;
}

struct store *runs_store(struct runs *runs)
{
	return runs->store;
}

void runs_close(struct runs *runs)
{
	if (!runs)
		return;
	slack_sockets_close(runs);
	inboxes_close(runs);
	effects_close(runs);
	flows_close(runs->flow);
	tracker_builtin_free(runs->tracker);
	forge_builtin_free(runs->forge);
	remotes_close(runs);
	if (!runs->external)
		store_close(runs->store);
	gates_free(runs);
	models_free(runs);
	(void)pthread_mutex_destroy(&runs->clients_lock);
	(void)pthread_mutex_destroy(&runs->records);
	(void)pthread_mutex_destroy(&runs->repositories);
	free(runs->repositories_dir);
	free(runs->pages_base);
	free(runs->state_dir);
	free(runs);
}

/* ---- runs ---- */

json_t *runs_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	AUTO_LIST page;

	run_list_init(&page);
	list_any(&page, "state", ask->state);
	list_any(&page, "repository", ask->repository);
	list_any(&page, "agent", ask->agent);
	list_text(&page, "title || ' ' || id", ask->text);
	if (ask->asks) {
		list_condition(&page, "id IN (SELECT run FROM question WHERE answer IS NULL AND deadline_ms > ?)");
		list_value(&page, V(world_now_ms(runs->options.world)));
	}
	if (store_begin_snapshot(runs->store, &tx, err) || list_query(&page, &tx, &rows, "seq", ask, err))
		return NULL;
	while (store_rows_next(&rows) && list_takes(&page, store_rows_number(&rows, 0))) {
		AUTO_RUN run = {0};
		json_t *item;

		run_row(&rows, &run);
		item = run_json(runs, &tx, &run, err);
		if (!item)
			return NULL;
		preview_now(runs, item);
		(void)json_array_append_new(items, item);
	}
	return store_rows_finish(&rows, err) ? NULL : list_page(&page, TAKE(items));
}

json_t *runs_states(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	AUTO_JSON states = json_object();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	AUTO_LIST query;

	list_init(&query, "SELECT state, count(*) FROM run");
	list_any(&query, "repository", ask->repository);
	list_any(&query, "agent", ask->agent);
	buf_add_text(&query.sql, " GROUP BY state");
	if (store_begin_snapshot(runs->store, &tx, err) || store_query(&tx, &rows, query.sql.at, query.values, query.count, err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_object_set_new(states, store_rows_text(&rows, 0), json_integer(store_rows_number(&rows, 1)));
	return store_rows_finish(&rows, err) ? NULL : TAKE(states);
}

json_t *runs_show(struct runs *runs, struct run_id id, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_TX tx = {0};
	json_t *item;

	if (store_begin(runs->store, &tx, err) || run_read(&tx, id.text, &run, err))
		return NULL;
	item = run_json(runs, &tx, &run, err);
	if (item)
		preview_now(runs, item);
	if (item && run.race) {
		json_t *candidates = race_json(runs, &tx, run.race, err);

		if (candidates)
			(void)json_object_set_new(item, "candidates", candidates);
	}
	if (item) {
		json_t *opinions = opinions_json(&tx, run.id, NULL);

		json_t *declarations = declarations_json(&tx, run.id, NULL);

		(void)json_object_set_new(item, "opinions", opinions ? opinions : json_array());
		(void)json_object_set_new(item, "declarations", declarations ? declarations : json_array());
	}
	return item;
}

/* The issue that the request names, or a new one made of its title and body; owned. */
static json_t *issue_of_request(struct runs *runs, const char *repository, const json_t *request, struct err *err)
{
	int64_t number = json_number(request, "issue", 0);
	const char *body = json_text(request, "body", "");
	const char *title = json_text(request, "title", NULL);
	const char *outside = json_text(request, "item", NULL);
	AUTO_FREE char *item = outside ? text_copy(outside) : text_format("%lld", (long long)number);
	AUTO_FREE char *first_line = NULL;
	json_t *issue;

	if (number || outside) {
		issue = tracker_fetch(runs->tracker, item, err);
		if (!issue && outside && err->kind == ERR_NOT_FOUND)
			return voice_import(runs, outside, repository, err);
		if (issue && strcmp(json_text(issue, "repository", ""), repository) != 0) {
			(void)err_set(err, ERR_INVALID, "issue %lld belongs to the repository %s", (long long)number,
				      json_text(issue, "repository", ""));
			json_decref(issue);
			return NULL;
		}
		return issue;
	}
	if (!title) {
		struct view rest;
		struct view line = view_trim(view_cut(view_trim(view_of(body)), '\n', &rest));

		if (line.length > RUN_TITLE_MAX)
			line.length = RUN_TITLE_MAX;
		first_line = view_copy(line);
		title = first_line;
	}
	return runs_issue_make(runs, repository, title, body, err);
}

/* What can be told at once is told at once: a revision that is not there, an agent that is none. */
static int request_check(struct runs *runs, const char *repository, const json_t *request, struct err *err)
{
	AUTO_FREE char *path = runs_repository_path(runs, repository, err);
	const json_t *agent = json_member(request, "agent");
	const char *use = json_text(agent, "use", NULL);
	struct git_hash base;

	if (!path || git_resolve(path, json_text(request, "base", "main"), &base, err))
		return -1;
	if (json_number(request, "priority", 0) < 0 || json_number(request, "priority", 0) > RUNS_PRIORITY_MAX)
		return err_set(err, ERR_INVALID, "priority: expected a number from 0 to %d", RUNS_PRIORITY_MAX);
	if (agent && !json_is_null(agent) && !json_is_object(agent))
		return err_set(err, ERR_INVALID, "`agent` must be an object, as in the blueprint");
	if (use && !agent_find(use))
		return err_set(err, ERR_INVALID, "no agent `%.60s`: expected %s", use, agent_names());
	return 0;
}

static int start_store(struct runs *runs, struct run_id id, const json_t *issue, const json_t *request, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_start_in(runs, &tx, id, issue, request, err))
		return -1;
	return store_commit_synced(&tx, err); /* somebody is told that it runs */
}

json_t *runs_start(struct runs *runs, const json_t *asked, struct err *err)
{
	struct run_id id = run_id_new(runs->options.world);
	AUTO_JSON request = NULL;
	AUTO_JSON issue = NULL;
	AUTO_FREE char *item = NULL;
	const char *repository;

	if (parts_request(runs, asked, &request, err) || json_text_get(request, "repository", &repository, err) ||
	    request_check(runs, repository, request, err))
		return NULL;
	issue = issue_of_request(runs, repository, request, err);
	if (!issue)
		return NULL;
	item = text_format("%lld", (long long)json_number(issue, "number", 0));
	if (tracker_claim(runs->tracker, item, id.text, err) || start_store(runs, id, issue, request, err))
		return NULL;
	if (json_text(issue, "connection", NULL) && thread_follow(runs, json_number(issue, "number", 0), id.text, err))
		return NULL;
	change_add(runs, "issue", "number", V(json_number(issue, "number", 0)), "working");
	runs_told(runs);
	return runs_show(runs, id, err);
}

int runs_stop(struct runs *runs, struct run_id id, struct err *err)
{
	return flow_stop(runs->flow, id.text, err);
}

int runs_retry(struct runs *runs, struct run_id id, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_FREE char *item = NULL;
	AUTO_TX tx = {0};
	struct env_id env;

	if (run_load(runs, id.text, &run, err))
		return -1;
	item = text_format("%lld", (long long)run.issue);
	if (strcmp(run.state, "failed") != 0 && strcmp(run.state, "stopped") != 0)
		return err_set(err, ERR_DENIED, "run %s is %s: only a failed or stopped one can be tried again", id.text,
			       run.state);
	if (tracker_claim(runs->tracker, item, run.race ? run.race : id.text, err))
		return -1;
	if (run.environment && !run_env(&run, &env, err)) {
		struct err frozen = {0};

		if (environment_secrets(runs->options.environments, env, true, &frozen) ||
		    environment_freeze(runs->options.environments, env, false, &frozen))
			log_info("run=%s environment=%s: %s", id.text, env.text, frozen.text);
	}
	if (store_begin(runs->store, &tx, err) ||
	    run_write(&tx, id.text, "error = NULL, ended_ms = NULL, outcome = NULL", NO_VALUES, err) ||
	    flow_retry(runs->flow, &tx, id.text, err) || store_commit_synced(&tx, err))
		return -1;
	flows_wake(runs->flow);
	return 0;
}

int runs_record(struct runs *runs, struct run_id id, struct buf *envelope, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT envelope FROM record WHERE run = ? ORDER BY seq DESC LIMIT 1", VALUES(V(id.text)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "run %s has no record yet", id.text);
	buf_add_text(envelope, store_rows_text(&rows, 0));
	return buf_finish(envelope, err);
}

json_t *runs_report(struct runs *runs, struct run_id id, struct err *err)
{
	AUTO_RUN run = {0};

	if (run_load(runs, id.text, &run, err))
		return NULL;
	if (!run.report) {
		(void)err_set(err, ERR_NOT_FOUND, "run %s has no report yet", id.text);
		return NULL;
	}
	return json_parse(view_of(run.report), err);
}

int runs_diff(struct runs *runs, struct run_id id, struct buf *diff, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_FREE char *repository = NULL;
	struct git_hash base;
	struct git_hash head;

	if (run_load(runs, id.text, &run, err))
		return -1;
	if (!run.base || !run.head)
		return err_set(err, ERR_NOT_FOUND, "run %s has changed nothing yet", id.text);
	repository = run_repository_path(runs, &run);
	return run_hash(run.base, &base, err) || run_hash(run.head, &head, err) || git_diff(repository, &base, &head, diff, err)
		       ? -1
		       : 0;
}

int runs_find(struct runs *runs, const char *text, struct run_id *id, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (!*text || strlen(text) >= ID_TEXT_MAX)
		return err_set(err, ERR_NOT_FOUND, "no run `%.40s`", text);
	if (store_begin(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT id FROM run WHERE substr(id, 1, length(?)) = ? LIMIT 2", VALUES(V(text), V(text)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "no run `%.40s`", text);
	if (run_id_parse(view_of(store_rows_text(&rows, 0)), id, err))
		return -1;
	if (store_rows_next(&rows))
		return err_set(err, ERR_INVALID, "more than one run begins with `%.40s`", text);
	return store_rows_finish(&rows, err);
}

void runs_count(struct runs *runs, int *unfinished, int *active)
{
	flows_count(runs->flow, unfinished, active);
}

int runs_tool_done(struct runs *runs, struct env_id env, const char *summary, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_FREE char *id = NULL;
	AUTO_JSON shown = json_object();

	if (strlen(summary) > RUN_EVENT_TEXT_MAX)
		return err_set(err, ERR_LIMIT, "the summary is longer than %zu bytes", RUN_EVENT_TEXT_MAX);
	if (store_begin(runs->store, &tx, err) || run_of_environment(&tx, env, &id, err))
		return -1;
	json_set_bytes(shown, "text", view_of(summary));
	if (run_write(&tx, id, "summary = ?", VALUES(V(json_text(shown, "text", ""))), err) ||
	    event_add_in(runs, &tx, id, "agent", json_pack("{s:s, s:s}", "kind", "message", "text", json_text(shown, "text", "")),
			 err))
		return -1;
	return store_commit(&tx, err);
}
