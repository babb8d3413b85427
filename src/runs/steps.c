/*
 * The steps of a run: claim, fork, turn, verify, publish, review, close.
 *
 *	claim -> fork -> turn -> verify -> publish -> review -> close
 *	                  ^  \_____/  |                 |
 *	                  |___________|_________________|
 *
 * Each step may be begun again after a crash: it reads what the run had reached and goes on from there.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "session/values.h"
#include "vault/vault.h"

#define SLUG_MAX 40
#define MERGE_AGAIN_MS 30000
#define JUDGE_TRIES 2 /* a verification that could not tell is made once more, from fresh environments */
#define HOUR_MS ((int64_t)3600000)

static void report_service(void *self, const char *step, const char *detail, int64_t ms)
{
	struct run_progress *progress = self;
	json_t *data = json_object();

	json_set_bytes(data, "step", view_of(step));
	event_text_set(data, "detail", view_of(detail ? detail : ""));
	(void)json_object_set_new(data, "ms", json_integer(ms));
	event_add(progress->runs, progress->id, "service", data);
}

struct progress run_progress(struct run_progress *self)
{
	return (struct progress){report_service, self, self->cancelled};
}

static void issue_state(struct runs *runs, int64_t number, const char *state, struct err *err)
{
	AUTO_FREE char *item = text_format("%lld", (long long)number);

	if (!tracker_set_state(runs->tracker, item, state, err))
		change_add(runs, "issue", "number", V(number), state);
}

/* ---- claim: the issue is ours, the base commit is pinned ---- */

/* "12-fix-the-cart", with "-2" for the second run of the issue. */
static char *branch_name(const struct run *run, int64_t nth)
{
	AUTO_BUF slug = buf_new(SLUG_MAX + 64);
	size_t begin;

	buf_add_format(&slug, "assay/%lld-", (long long)run->issue);
	begin = slug.length;
	for (const char *at = run->title; *at && slug.length < begin + SLUG_MAX; at++) {
		if (isalnum((unsigned char)*at))
			buf_add_char(&slug, (char)tolower((unsigned char)*at));
		else if (slug.at[slug.length - 1] != '-')
			buf_add_char(&slug, '-');
	}
	if (slug.length == begin)
		buf_add_text(&slug, "run");
	else if (slug.at[slug.length - 1] == '-')
		slug.at[--slug.length] = '\0';
	if (nth > 1)
		buf_add_format(&slug, "-%lld", (long long)nth);
	return buf_take(&slug);
}

static int claim_store(struct runs *runs, const struct run *run, const struct flow_visit *visit, const struct parts *parts,
		       const struct blueprint *blueprint, struct err *err)
{
	AUTO_FREE char *item = text_format("%lld", (long long)run->issue);
	AUTO_JSON issue = tracker_fetch(runs->tracker, item, err);
	json_t *attachments = issue ? runs_attachment_list(runs, run->issue, err) : NULL;
	AUTO_BUF prompt = buf_new((size_t)1 << 20);
	AUTO_FREE char *branch = NULL;
	int64_t nth = 1;
	AUTO_TX tx = {0};

	if (!attachments)
		return -1;
	(void)json_object_set_new(issue, "attachments", attachments);
	prompt_issue(&prompt, issue, blueprint, run->joined ? parts : NULL);
	if (buf_finish(&prompt, err) || store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err) ||
	    store_number_get(&tx, &nth, 1, "SELECT count(*) FROM run WHERE issue = ? AND seq <= ?",
			     VALUES(V(run->issue), V(run->seq)), err))
		return -1;
	branch = branch_name(run, nth);
	if (run_write(&tx, run->id,
		      "branch = ?, agent = ?, attempts = ?, prompt = ?, reason = 'issue', turn = 1, pending = ?, base = ?",
		      VALUES(V(branch), V(blueprint->agent.use), V(blueprint->verify.attempts), V(prompt.at), V(TURN_PENDING),
			     V(run->base)),
		      err) ||
	    parts_store(&tx, run, parts, err) || race_begin(runs, &tx, run, blueprint, err))
		return -1;
	return store_commit(&tx, err);
}

/* The commit that the run starts from: of its repository, or of all of them. What is at a code host may have to wait for it: the visit is parked. */
static int base_pin(struct runs *runs, struct run *run, struct parts *parts, struct git_hash *base, struct flow_visit *visit,
		    struct err *err)
{
	AUTO_FREE char *repository = repository_path(runs, run->repository);
	struct remote_told told = {0};

	if (parts_load(runs, run, parts, err))
		return -1;
	if (run->joined)
		return parts_pin(runs, run, parts, base, visit, err);
	if (remote_refresh(runs, run->repository, &told, err))
		return remote_wait(runs, run->repository, &told, visit, err);
	return git_resolve(repository, run->base_wanted, base, err);
}

static int step_claim(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	AUTO_PARTS parts = {.count = 0};
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_FREE char *item = NULL;
	struct git_hash base;

	if (run_load(runs, visit->id, &run, err))
		return -1;
	if (run.judges)
		return step_judge_claim(runs, &run, visit, err);
	visit->next = "fork";
	item = text_format("%lld", (long long)run.issue);
	if (tracker_claim(runs->tracker, item, run.race ? run.race : run.id, err))
		return -1;
	change_add(runs, "issue", "number", V(run.issue), "working");
	if (run.branch) /* it was pinned before: the run is tried again */
		return 0;
	if (base_pin(runs, &run, &parts, &base, visit, err))
		return -1;
	if (visit->park)
		return 0;
	free(run.base);
	run.base = text_copy(base.text);
	blueprint = run_blueprint(runs, &run, err);
	if (!blueprint)
		return -1;
	if (!agent_of_blueprint(blueprint))
		return err_set(err, ERR_INVALID, "assay.yaml names no agent: set agent.use (%s)", agent_names());
	(void)snprintf(visit->detail, sizeof(visit->detail), "issue %lld at %.12s", (long long)run.issue, base.text);
	return claim_store(runs, &run, visit, &parts, blueprint, err);
}

/* ---- fork: an environment of the run's own ---- */

static int environment_make(struct runs *runs, const struct run *run, struct flow_visit *visit, struct env_id *env, struct err *err)
{
	AUTO_FREE char *repository = run_repository_path(runs, run);
	struct run_progress progress = {runs, run->id, visit->cancelled};
	struct environment_spec spec = {.repository = repository, .purpose = "work", .owner = run->id};
	AUTO_BLUEPRINT blueprint = run_blueprint(runs, run, err);
	AUTO_FREE char *tool = NULL;
	int status;

	if (!blueprint)
		return -1;
	tool = agent_tool(runs, blueprint);
	spec.tool = tool;
	if (run_hash(run->head ? run->head : run->base, &spec.commit, err))
		return -1;
	env->text[0] = '\0';
	status = environment_up(runs->options.environments, &spec, true, run_progress(&progress), env, err);
	if (status && env->text[0] && run_store(runs, run->id, "environment = ?", VALUES(V(env->text)), NULL))
		log_warn("run=%s: cannot store environment %s", run->id, env->text);
	return status;
}

static int step_fork(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	AUTO_FREE char *preview = NULL;
	struct env_id env;
	bool found;

	if (run_load(runs, visit->id, &run, err) || run_environment_adopt(runs, &run, &env, &found, err))
		return -1;
	if (!found && environment_make(runs, &run, visit, &env, err))
		return -1;
	if (environment_freeze(runs->options.environments, env, false, err))
		return -1;
	preview = environment_preview_url(runs->options.environments, env);
	/* What its agent remembers is in the environment that it worked in. */
	if (run_store(
		    runs, run.id,
		    "environment = ?, preview = ?, exported = CASE WHEN environment = ? THEN exported END, session = CASE WHEN environment = ? THEN session END,"
		    " session_cost_usd = CASE WHEN environment = ? THEN session_cost_usd ELSE 0.0 END,"
		    " session_input_tokens = CASE WHEN environment = ? THEN session_input_tokens ELSE 0 END,"
		    " session_output_tokens = CASE WHEN environment = ? THEN session_output_tokens ELSE 0 END",
		    VALUES(V(env.text), V(preview), V(env.text), V(env.text), V(env.text), V(env.text), V(env.text)), err))
		return -1;
	if (preview)
		event_add(runs, run.id, "preview", json_pack("{s:s, s:s}", "url", preview, "environment", env.text));
	change_add(runs, "environment", "id", V(env.text), "ready");
	(void)snprintf(visit->detail, sizeof(visit->detail), "environment %s%s", env.text, found ? " (was there)" : "");
	visit->next = run.judges ? "verify" : "turn";
	return 0;
}

/* ---- verify: what the findings mean ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The ids of the findings that block, sorted: the same text twice means that nothing got better. */
static char *blocking_ids(const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	AUTO_FREE const char **ids = mem_new_array(json_array_size(findings), sizeof(*ids));
	AUTO_BUF out = buf_new((size_t)64 << 10);
	size_t count = 0;
	size_t index;
	json_t *finding;

	json_array_foreach(findings, index, finding)
		if (strcmp(json_text(finding, "severity", ""), "block") == 0)
			ids[count++] = json_text(finding, "id", "?");
	qsort(ids, count, sizeof(*ids), compare_texts);
	for (size_t i = 0; i < count; i++)
		buf_add_format(&out, "%s%s", i ? " " : "", ids[i]);
	buf_add_text(&out, "");
	return out.at ? buf_take(&out) : text_copy("");
}

/* Another turn: the findings, and what people wrote meanwhile, are its prompt. */
static int findings_turn(struct runs *runs, const struct run *run, const struct flow_visit *visit, const json_t *report,
			 const char *blocking, struct err *err)
{
	AUTO_BUF prompt = buf_new((size_t)4 << 20);
	AUTO_BUF messages = buf_new((size_t)4 << 20);
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err) ||
	    flow_signals_take(&tx, run->id, &signals, err) || remote_given_in(&tx, run->id, err))
		return -1;
	prompt_findings(&prompt, report);
	prompt_review(&messages, signals);
	if (messages.length)
		buf_add_format(&prompt, "\n%s", messages.at);
	if (buf_finish(&prompt, err) ||
	    run_write(&tx, run->id,
		      "prompt = ?, reason = 'findings', pending = ?, turn = turn + 1, attempt = attempt + 1, blocking = ?",
		      VALUES(V(prompt.at), V(TURN_PENDING), V(blocking)), err))
		return -1;
	return store_commit(&tx, err);
}

/* Findings go back to the agent while there is hope; else a draft goes to a person. */
static int verdict_decide(struct runs *runs, const struct run *run, const json_t *report, struct flow_visit *visit, struct err *err)
{
	AUTO_FREE char *blocking = blocking_ids(report);
	enum verdict verdict = verdict_of(report);

	visit->next = "publish";
	(void)snprintf(visit->detail, sizeof(visit->detail), "%s: %.200s", verdict_name(verdict), json_text(report, "reason", ""));
	if (verdict != VERDICT_FAILED || run->judges)
		return 0;
	if (run->attempt >= run->attempts) {
		event_note(runs, run->id, "attempt %lld of %lld failed: a draft goes to a person", (long long)run->attempt,
			   (long long)run->attempts);
		return 0;
	}
	if (*blocking && strcmp(blocking, run->blocking) == 0) {
		event_note(runs, run->id, "no progress: the same findings twice (%.300s): a draft goes to a person", blocking);
		return 0;
	}
	visit->next = "turn";
	return findings_turn(runs, run, visit, report, blocking, err);
}

/* A gate as it begins; what came of it is told from the report. */
static void report_gate(void *self, const char *step, const char *detail, int64_t ms)
{
	struct run_progress *progress = self;

	if (strchr(step, ':'))
		report_service(self, step, detail, ms);
	else if (ms < 0)
		event_add(progress->runs, progress->id, "gate",
			  json_pack("{s:s, s:s, s:s}", "name", step, "status", "running", "detail", detail ? detail : ""));
}

/* Gates, findings and verdict into the timeline, the report into the run: in one transaction. */
static int report_store(struct runs *runs, const struct run *run, const struct flow_visit *visit, const json_t *report,
			struct err *err)
{
	AUTO_BUF text = buf_new((size_t)32 << 20);
	const char *verdict = verdict_name(verdict_of(report));
	AUTO_TX tx = {0};
	size_t index;
	json_t *item;

	json_format(&text, report);
	if (buf_finish(&text, err) || store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err))
		return -1;
	json_array_foreach(json_member(report, "gates"), index, item) {
		json_t *gate = json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", json_text(item, "name", ""), "title",
					 json_text(item, "title", ""), "status", json_text(item, "status", ""), "ms",
					 (json_int_t)json_number(item, "ms", 0), "detail", json_text(item, "reason", ""));

		if (event_add_in(runs, &tx, run->id, "gate", gate, err))
			return -1;
	}
	json_array_foreach(json_member(report, "findings"), index, item)
		if (event_add_in(runs, &tx, run->id, "finding", json_incref(item), err))
			return -1;
	if (event_add_in(runs, &tx, run->id, "verdict",
			 json_pack("{s:s, s:s, s:I}", "verdict", verdict, "reason", json_text(report, "reason", ""), "attempt",
				   (json_int_t)run->attempt),
			 err) ||
	    run_write(&tx, run->id, "report = ?, judged = ?, verdict = ?, judged_declarations = ?",
		      VALUES(V(buf_view(&text)), V(run->head), V(verdict), V(run->declarations)), err))
		return -1;
	return store_commit(&tx, err);
}

/* What recorded sessions need to be sent; without it they are sent as they are, and the report says so. */
static json_t *session_secrets(struct runs *runs)
{
	unsigned char signature[64];
	char key_id[65];
	struct hide_key key;
	struct err err = {0};
	json_t *secrets;

	if (!values_exist(runs->state_dir))
		return json_object();
	if (vault_sign(runs->options.vault, VIEW(HIDE_KEY_TEXT), signature, key_id, &err)) {
		log_warn("secrets of sessions: %s", err.text);
		return json_object();
	}
	hide_key_derive(&key, signature);
	secrets = values_read(runs->state_dir, &key, &err);
	if (secrets)
		return secrets;
	log_warn("secrets of sessions: %s", err.text);
	return json_object();
}

static int judge(struct runs *runs, const struct run *run, struct flow_visit *visit, json_t **report, struct err *err)
{
	AUTO_FREE char *repository = run_repository_path(runs, run);
	AUTO_FREE char *sessions = parts_sessions(runs, run);
	AUTO_FREE char *artefacts = text_format("%s/runs/%s/verify-%lld", runs->state_dir, run->id, (long long)run->turn);
	AUTO_FREE char *cache = text_format("%s/verify/cache", runs->state_dir);
	AUTO_JSON declared = declarations_held(runs, run->id, err);
	AUTO_JSON secrets = session_secrets(runs);
	struct run_progress progress = {runs, run->id, visit->cancelled};
	struct verify_request request = {
		.environments = runs->options.environments,
		.repository = repository,
		.sessions_dir = sessions,
		.artefacts_dir = artefacts,
		.cache_dir = cache,
		.declared = declared,
		.secrets = secrets,
		.sources = runs->options.sources,
		.attempt = (int)run->attempt,
		.attempts = (int)run->attempts,
		.progress = {report_gate, &progress, visit->cancelled},
		.world = runs->options.world,
	};

	if (!declared || run_hash(run->base, &request.base, err) || run_hash(run->head, &request.head, err) ||
	    file_remove_tree(artefacts, err))
		return -1;
	return verify_run(&request, report, err) || parts_report(runs, run, *report, err) ? -1 : 0;
}

/* Could a gate not tell, for a reason of the moment (an environment that went away, a test that is now red, now green)? */
static bool unstable(const json_t *report)
{
	size_t index;
	json_t *gate;

	if (verdict_of(report) != VERDICT_UNVERIFIED)
		return false;
	json_array_foreach(json_member(report, "gates"), index, gate)
		if (strcmp(json_text(gate, "status", ""), "unstable") == 0)
			return true;
	return false;
}

/* Before the report: whoever publishes what it says finds them. */
static int media_keep(struct runs *runs, const struct run *run, const json_t *report, struct err *err)
{
	AUTO_FREE char *artefacts = text_format("%s/runs/%s/verify-%lld", runs->state_dir, run->id, (long long)run->turn);

	return pictures_keep(runs, run->id, artefacts, json_member(report, "media"), err);
}

int step_verify(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	AUTO_JSON report = NULL;

	if (run_load(runs, visit->id, &run, err))
		return -1;
	if (run.pending != TURN_NONE) { /* decided already */
		visit->next = "turn";
		return 0;
	}
	if (run.judged && run.head && strcmp(run.judged, run.head) == 0 && run.report) {
		report = json_parse(view_of(run.report), err);
		return report ? verdict_decide(runs, &run, report, visit, err) : -1;
	}
	for (int i = 0; i < JUDGE_TRIES && (!report || unstable(report)); i++) {
		if (report)
			event_note(runs, run.id, "%.300s: judged once more", json_text(report, "reason", "could not tell"));
		json_decref(report);
		report = NULL;
		if (judge(runs, &run, visit, &report, err))
			return -1;
	}
	if (media_keep(runs, &run, report, err) || report_store(runs, &run, visit, report, err))
		return -1;
	return verdict_decide(runs, &run, report, visit, err);
}

/* ---- review: a person decides ---- */

static int review_wake(struct runs *runs, const struct run *run, const struct flow_visit *visit, bool *woken, struct err *err)
{
	AUTO_BUF prompt = buf_new((size_t)4 << 20);
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err) ||
	    flow_signals_take(&tx, run->id, &signals, err) || remote_given_in(&tx, run->id, err))
		return -1;
	prompt_review(&prompt, signals);
	*woken = prompt.length > 0;
	if (buf_finish(&prompt, err))
		return -1;
	if (*woken &&
	    run_write(&tx, run->id,
		      "prompt = ?, reason = 'review', pending = ?, turn = turn + 1, attempt = 1, blocking = '', unchanged = 0",
		      VALUES(V(prompt.at), V(TURN_PENDING)), err))
		return -1;
	return store_commit(&tx, err);
}

/* What they wrote was dealt with, when the run waits again. */
static int reviewers_answer(struct runs *runs, const struct run *run, const struct parts *parts, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err))
		return -1;
	for (size_t i = 0; i < parts->count; i++) {
		const struct run own = part_run(run, &parts->at[i]);

		if (remote_answer_in(runs, &tx, &own, err))
			return -1;
	}
	return store_commit(&tx, err);
}

static int step_review(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	AUTO_PARTS parts = {.count = 0};
	bool woken = false;
	bool settled;
	struct err later = {0};

	if (run_load(runs, visit->id, &run, err))
		return -1;
	if (run.judges)
		return step_judge_review(runs, &run, visit, err);
	if (parts_load(runs, &run, &parts, err) || parts_settle(runs, &run, &parts, visit, &settled, &later, err))
		return -1;
	if (!settled && run.merging && later.kind == ERR_NONE && parts_merge_on(runs, &run, &parts, &later) &&
	    (later.kind == ERR_CANCELLED || later.kind == ERR_BROKEN)) {
		*err = later;
		return -1;
	}
	if (!settled && run.merging && later.kind == ERR_NONE && parts_settle(runs, &run, &parts, visit, &settled, &later, err))
		return -1;
	if (settled)
		return 0;
	if (run.pending == TURN_NONE && review_wake(runs, &run, visit, &woken, err))
		return -1;
	if (run.pending == TURN_NONE && !woken && declarations_changed(&run)) {
		visit->next = "verify";
		return declarations_judge_again(runs, &run, err);
	}
	if (run.pending != TURN_NONE || woken) {
		issue_state(runs, run.issue, "working", err);
		visit->next = "turn";
		return 0;
	}
	visit->park = true;
	if (later.kind != ERR_NONE) { /* a code host that is away, or limits: what was promised is done when it can be */
		(void)snprintf(visit->detail, sizeof(visit->detail), "what becomes of its pull requests waits: %.200s", later.text);
		visit->wake_ms = world_now_ms(runs->options.world) + MERGE_AGAIN_MS;
	} else {
		(void)snprintf(visit->detail, sizeof(visit->detail), "waits for a person");
	}
	return reviewers_answer(runs, &run, &parts, err);
}

/* ---- close: nothing is left behind ---- */

static int step_close(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	bool merged;

	if (run_load(runs, visit->id, &run, err) || run_environments_end(runs, &run, err))
		return -1;
	merged = run.outcome && strcmp(run.outcome, "merged") == 0;
	if (run.judges)
		return 0;
	if (run_lost(&run)) {
		(void)snprintf(visit->detail, sizeof(visit->detail), "another candidate was chosen");
		return 0;
	}
	err->kind = ERR_NONE;
	issue_state(runs, run.issue, merged ? "done" : "closed", err);
	if (err->kind != ERR_NONE)
		return -1;
	(void)snprintf(visit->detail, sizeof(visit->detail), "%s", merged ? "merged" : "closed");
	return 0;
}

/* ---- the table ---- */

/* A run's state is its step, or how it ended. */
static int moved(void *self, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err)
{
	struct runs *runs = self;
	const char *state = move->flow == FLOW_DONE      ? "done"
			    : move->flow == FLOW_FAILED  ? "failed"
			    : move->flow == FLOW_STOPPED ? "stopped"
							 : move->step;
	bool over = move->flow == FLOW_DONE || move->flow == FLOW_FAILED || move->flow == FLOW_STOPPED;
	int64_t now_ms = world_now_ms(runs->options.world);
	bool entered = move->began || over;

	if (move->ms >= 0 && move->detail &&
	    event_add_in(runs, tx, id, "step",
			 json_pack("{s:s, s:s, s:s, s:I}", "name", move->step, "status", move->status, "detail", move->detail, "ms",
				   (json_int_t)move->ms),
			 err))
		return -1;
	if (entered &&
	    (run_write(tx, id, "state = ?, state_since_ms = ?, error = ?, ended_ms = ?",
		       VALUES(V(state), V(now_ms), V(over ? move->error : NULL), over ? V(now_ms) : store_value_text(NULL)), err) ||
	     event_add_in(runs, tx, id, "state", json_pack("{s:s}", "state", state), err)))
		return -1;
	if (over && move->error && event_add_in(runs, tx, id, "error", json_pack("{s:s}", "message", move->error), err))
		return -1;
	if (entered && remote_moved_in(runs, tx, id, state, over, err))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(id), state, err);
}

/* ---- undoing: a run that failed or was stopped leaves nothing taken ---- */

/* The issue may be worked on again; one that a person closed, or another run has, stays as it is. */
static int issue_free(struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_FREE char *item = text_format("%lld", (long long)run->issue);
	AUTO_JSON issue = run->judges ? NULL : tracker_fetch(runs->tracker, item, err);
	const char *state = json_text(issue, "state", "");

	if (!issue)
		return run->judges ? 0 : -1;
	if (run_lost(run) || strcmp(json_text(issue, "run", ""), run->id) != 0 ||
	    (strcmp(state, "working") != 0 && strcmp(state, "review") != 0))
		return 0;
	if (tracker_set_state(runs->tracker, item, "open", err))
		return -1;
	change_add(runs, "issue", "number", V(run->issue), "open");
	return 0;
}

static int undo_claim(void *self, struct flow_visit *visit, struct err *err)
{
	AUTO_RUN run = {0};

	return run_load(self, visit->id, &run, err) || issue_free(self, &run, err) ? -1 : 0;
}

/* Nothing is released for its environment any more; it is removed, or stays, frozen, to be looked into. What was published stays: it is a
 * person's to close; of several pull requests that belong together it is all or none. */
static int undo_fork(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	struct err gone = {0};
	AUTO_RUN run = {0};
	struct env_id env;

	if (run_load(runs, visit->id, &run, err) || parts_unpublish(runs, &run, err))
		return -1;
	if (run.environment && !run_env(&run, &env, &gone) && environment_secrets(runs->options.environments, env, false, &gone))
		log_info("run=%s: %s", run.id, gone.text); /* it is gone, and its credentials with it */
	return run_environments_end(runs, &run, err);
}

/* One that was stopped before its first step had its issue already. */
static void ending(void *self, const char *id, enum flow_status final)
{
	const char *state = final == FLOW_STOPPED ? "stopped" : "failed";
	AUTO_RUN run = {0};
	struct err err = {0};

	if (run_load(self, id, &run, &err) || (!run.branch && issue_free(self, &run, &err)))
		log_warn("run=%s: %s", id, err.text);
	log_info("run=%s state=%s", id, state);
	if (run.id)
		trace_run_over(self, &run, state);
}

static const struct flow_step steps[] = {
	{"claim", {"fork", "close"}, step_claim, 5, 0, undo_claim},
	{"fork", {"turn", "verify"}, step_fork, 5, HOUR_MS / 2, undo_fork},
	{"turn", {"verify", "turn", "fork", "publish", "review"}, step_turn, 7, 0},
	{"verify", {"turn", "publish"}, step_verify, 5, 4 * HOUR_MS},
	{"publish", {"review", "close"}, step_publish, 5, HOUR_MS},
	{"review", {"turn", "verify", "close", "claim"}, step_review, 5, 0},
	{"close", {NULL}, step_close, 5, HOUR_MS / 2},
};

const struct flow_definition run_definition = {"run", steps, ARRAY_LEN(steps), moved, ending, trace_step};
