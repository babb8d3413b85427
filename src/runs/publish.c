/* Publishing: the signed record, the note on the commit, the preview from the head, the pull request. */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/markdown.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "vault/vault.h"
#include "verify/finding.h"
#include "verify/record.h"

#define RECORD_BYTES_MAX ((size_t)32 << 20)
#define DEPLOY_TRIES 3
#define TREES_SHOWN 3 /* findings, the worst ones, with the calls behind them */
#define TREES_MAX ((size_t)64 << 10)
#define LISTED_MAX 20 /* lines of one list in the body */

static int sign(void *self, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	return vault_sign(self, bytes, signature, key_id, err);
}

/* ---- the record ---- */

static int record_previous(struct store_tx *tx, const struct run *run, char digest[65], bool *made, struct err *err)
{
	int64_t count = 0;
	AUTO_ROWS rows = {0};

	digest[0] = '\0';
	if (store_number_get(tx, &count, 0, "SELECT count(*) FROM record WHERE run = ? AND head = ? AND attempt = ?",
			     VALUES(V(run->id), V(run->head), V(run->attempt)), err) ||
	    store_query(tx, &rows, "SELECT digest FROM record WHERE repository = ? ORDER BY seq DESC LIMIT 1",
			VALUES(V(run_repository(run))), err))
		return -1;
	*made = count > 0;
	if (store_rows_next(&rows))
		(void)snprintf(digest, 65, "%s", store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

static int record_store(struct runs *runs, const struct run *run, const char *previous, const struct buf *envelope, struct err *err)
{
	struct digest digest = digest_of(buf_view(envelope));
	char last[65];
	bool made;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || record_previous(&tx, run, last, &made, err))
		return -1;
	if (made || strcmp(last, previous) != 0)
		return err_set(err, ERR_CONFLICT, "another control plane made a record of %s meanwhile", run_repository(run));
	if (store_run(&tx,
		      "INSERT INTO record (repository, run, head, attempt, digest, envelope, time_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
		      VALUES(V(run_repository(run)), V(run->id), V(run->head), V(run->attempt), V(digest.text),
			     V(buf_view(envelope)), V(world_now_ms(runs->options.world))),
		      err))
		return -1;
	return store_commit(&tx, err);
}

static int record_read(struct runs *runs, const struct run *run, char previous[65], bool *made, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? -1 : record_previous(&tx, run, previous, made, err);
}

/* Once per (run, head, attempt). Under the lock: each record names the one before it. */
static int record_once(struct runs *runs, const struct run *run, const json_t *report, const json_t *claims, struct err *err)
{
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);
	struct signer signer = {sign, runs->options.vault};
	AUTO_JSON whole = json_copy((json_t *)(uintptr_t)report);
	json_t *heads = NULL;
	char previous[65];
	bool made;

	if (record_read(runs, run, previous, &made, err))
		return -1;
	if (made)
		return 0;
	(void)json_object_set(whole, "claims", (json_t *)(uintptr_t)claims);
	/* What the ledger said at this time, where nobody can change it: rows cut off later are missed. */
	if (runs->options.ledger_heads) {
		heads = runs->options.ledger_heads(runs->options.self, err);
		if (!heads)
			return err_prefix(err, "the record's heads of the ledger");
		(void)json_object_set_new(whole, "ledger", heads);
	}
	if (record_make(whole, previous, signer, &envelope, err) || buf_finish(&envelope, err))
		return err_prefix(err, "the record");
	return record_store(runs, run, previous, &envelope, err);
}

int runs_record_bundle(struct runs *runs, struct run_id id, struct buf *bundle, struct err *err)
{
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);

	if (runs_record(runs, id, &envelope, err))
		return -1;
	return record_bundle(buf_view(&envelope), (struct signer){sign, runs->options.vault}, bundle, err);
}

/* The envelope as a note on the head, in each repository that has one: `git notes --ref=verify show`. */
static int note_put(struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_PARTS parts = {.count = 0};
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);
	struct run_id id;

	if (run_id_parse(view_of(run->id), &id, err) || runs_record(runs, id, &envelope, err) || parts_load(runs, run, &parts, err))
		return -1;
	for (size_t i = 0; i < parts.count; i++) {
		AUTO_FREE char *repository = repository_path(runs, parts.at[i].repository);
		const char *head = parts.at[i].head;

		if ((!run->joined || part_is_changed(&parts.at[i])) &&
		    git_run(repository, (const char *const[]){"notes", "--ref=verify", "add", "--force", "--file=-", head, NULL},
			    &(struct process_spec){.input = buf_view(&envelope)}, NULL, err))
			return -1;
	}
	return 0;
}

int record_publish(struct runs *runs, const struct run *run, const json_t *report, const json_t *claims, struct err *err)
{
	int status;

	(void)pthread_mutex_lock(&runs->records);
	status = record_once(runs, run, report, claims, err) || note_put(runs, run, err) ? -1 : 0;
	(void)pthread_mutex_unlock(&runs->records);
	return status;
}

/* ---- the pull request's text ---- */

/* What is published, and of what. */
struct publication {
	struct runs *runs;
	const struct run *run;
	struct flow_visit *visit;
	struct parts parts;
	const json_t *report;
	const json_t *claims;
	int64_t first; /* of the first repository that has a pull request */
};

static void publication_fini(struct publication *publication)
{
	parts_fini(&publication->parts);
}

/* Does the part have a pull request that shows what was written? */
static bool part_is_shown(const struct run *run, const struct part *part)
{
	return !run->joined || (part_is_changed(part) && !part->outcome);
}

static const char *verdict_line(const json_t *report)
{
	switch (verdict_of(report)) {
	case VERDICT_VERIFIED:
		return "**Verified.**";
	case VERDICT_FAILED:
		return "**Not verified: it failed.** This is a draft; a person must look at it.";
	case VERDICT_UNVERIFIED:
		break;
	}
	return "**Unverified: it could not be told whether this works.** This is a draft; a person must look at it.";
}

static void body_gates(struct buf *out, const json_t *report)
{
	size_t index;
	json_t *gate;

	buf_add_text(out, "\n" PULL_EVIDENCE "\n\n| gate | result | |\n|---|---|---|\n");
	json_array_foreach(json_member(report, "gates"), index, gate) {
		buf_add_format(out, "| %s | %s | ", json_text(gate, "title", json_text(gate, "name", "")),
			       json_text(gate, "status", ""));
		markdown_code_add(out, json_text(gate, "reason", ""), true);
		buf_add_text(out, " |\n");
	}
}

/* The calls behind it, as a diff. */
static void body_trees(struct buf *out, const json_t *finding)
{
	AUTO_BUF trees = buf_new(TREES_MAX);

	finding_trees_format(&trees, finding, "  ");
	if (trees.length)
		buf_add_format(out, "\n  ```diff\n%s  ```\n\n", trees.at);
}

static void body_findings(struct buf *out, const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	size_t index;
	json_t *finding;

	if (!json_array_size(findings))
		return;
	buf_add_text(out, "\n### Findings\n\n");
	json_array_foreach(findings, index, finding) {
		if (index == LISTED_MAX) {
			buf_add_format(out, "- … and %zu more\n", json_array_size(findings) - index);
			break;
		}
		const json_t *declared = json_member(finding, "declared");

		buf_add_format(out, "- %s `%s` ", json_is_object(declared) ? "meant" : json_text(finding, "severity", ""),
			       json_text(finding, "id", ""));
		markdown_code_add(out, json_text(finding, "title", ""), false);
		if (json_is_object(declared)) {
			buf_add_text(out, " declared by ");
			markdown_code_add(out, json_text(declared, "by", ""), false);
		}
		if (*json_text(finding, "reproduce", "")) {
			buf_add_text(out, "\n  ");
			markdown_code_add(out, json_text(finding, "reproduce", ""), false);
		}
		buf_add_char(out, '\n');
		if (index < TREES_SHOWN)
			body_trees(out, finding);
	}
}

static void body_not_covered(struct buf *out, const json_t *report)
{
	const json_t *list = json_member(report, "not_covered");
	size_t index;
	json_t *item;

	if (!json_array_size(list))
		return;
	buf_add_text(out, "\n### What was not covered\n\n");
	json_array_foreach(list, index, item)
		if (index < LISTED_MAX && json_is_string(item)) {
			buf_add_text(out, "- ");
			markdown_code_add(out, json_string_value(item), false);
			buf_add_char(out, '\n');
		}
}

/* Its word, and what became of each claim in it. Words of the agent are fenced or in code: they are data. */
static void body_summary(struct buf *out, const struct run *run, const json_t *claims)
{
	size_t index;
	json_t *claim;

	if (!run->summary || !*run->summary)
		return;
	prompt_fence(out, "\nThe agent says (its word; what of it could be checked is below)", view_of(run->summary));
	json_array_foreach(claims, index, claim) {
		buf_add_format(out, index ? "" : "\n### What it claims\n\n");
		buf_add_format(out, "- **%s**: ", json_text(claim, "status", ""));
		markdown_code_add(out, json_text(claim, "claim", ""), false);
		buf_add_text(out, ": ");
		markdown_code_add(out, json_text(claim, "why", ""), false);
		buf_add_char(out, '\n');
	}
}

/* All of it; and the worst that blocks, by whoever has the repository and the record. */
static void reproduce_line(struct buf *out, const struct run *run, const json_t *report)
{
	const json_t *worst = json_array_get(json_member(report, "findings"), 0);

	buf_add_format(out, "- Reproduce: `assay verify --base %.12s --head %.12s`", run->base, run->head);
	if (finding_is(worst, SEVERITY_BLOCK))
		buf_add_format(out, "; the worst finding alone: `assay reproduce %s#%s`, elsewhere with the record as a file",
			       run->id, json_text(worst, "id", ""));
	buf_add_char(out, '\n');
}

/* Time and money: of the verification, and of the agent as far as its traffic was metered. */
static void cost_line(struct buf *out, const struct run *run, const json_t *report)
{
	buf_add_text(out, "- Verified in ");
	duration_format(out, json_number(report, "ms", 0));
	if (run->cost_usd > 0)
		buf_add_format(out, "; the agent's models took %.2f USD", run->cost_usd);
	buf_add_char(out, '\n');
}

static void pull_body(struct buf *out, const struct publication *publication)
{
	const struct runs *runs = publication->runs;
	const struct run *run = publication->run;
	const json_t *report = publication->report;
	const json_t *claims = publication->claims;

	buf_add_format(out, "%s ", verdict_line(report));
	markdown_code_add(out, json_text(report, "reason", ""), false);
	buf_add_char(out, '\n');
	body_not_covered(out, report);
	if (run->joined)
		parts_body(out, runs, &publication->parts);
	buf_add_text(out, "\n### Look for yourself\n\n");
	if (run->preview)
		buf_add_format(out, "- Preview: %s\n", run->preview);
	buf_add_format(out, "- Timeline: %s/runs/%s\n- Record: %s/api/v1/runs/%s/record (`assay record show %s`)\n",
		       runs->pages_base, run->id, runs->pages_base, run->id, run->id);
	if (!run->joined)
		reproduce_line(out, run, report);
	cost_line(out, run, report);
	buf_add_format(out, "\nResolves issue %lld.\n", (long long)run->issue);
	if (verdict_of(report) == VERDICT_FAILED)
		buf_add_format(
			out,
			"\nA difference that is meant is declared by a person: `assay declare %s f-… --because \"…\"`, or on the run's page.\n",
			run->id);
	body_summary(out, run, claims);
	body_gates(out, report);
	body_findings(out, report);
}

/* ---- the step ---- */

/* The preview shows what is published: services from the work tree, which is the head. A failure is told, not fatal: the record and
 * the pull request do not depend on it. */
static int preview_deploy(struct runs *runs, const struct run *run, struct flow_visit *visit, struct err *err)
{
	struct run_progress progress = {runs, run->id, visit->cancelled};
	struct env_id env;
	struct err failure = {0};

	if ((run->published && strcmp(run->published, run->head) == 0) || !run->environment || run_env(run, &env, err))
		return 0;
	if (!environment_deploy(runs->options.environments, env, NULL, run_progress(&progress), &failure))
		return 0;
	if (failure.kind == ERR_CANCELLED || (failure.kind == ERR_RETRY && visit->tries < DEPLOY_TRIES)) {
		*err = failure;
		return -1;
	}
	event_note(runs, run->id, "the preview does not show this head: %s", failure.text);
	return 0;
}

static int visit_held(const void *self, struct store_tx *tx, struct err *err)
{
	return flow_visit_held(tx, self, err);
}

static int pull_upsert(struct publication *publication, struct part *part, int64_t *number, struct err *err)
{
	struct runs *runs = publication->runs;
	const struct run *run = publication->run;
	enum verdict verdict = verdict_of(publication->report);
	AUTO_BUF body = buf_new(FORGE_TEXT_BYTES_MAX);
	struct forge_pull pull = {.repository = part->repository,
				  .branch = run->branch,
				  .target = "main",
				  .title = run->title,
				  .draft = verdict != VERDICT_VERIFIED,
				  .run = run->id,
				  .issue = run->issue,
				  .verdict = verdict_name(verdict),
				  .environment = run->environment,
				  .preview = run->preview,
				  .held = visit_held,
				  .held_self = publication->visit};

	pull_body(&body, publication);
	if (race_body(&body, runs, run, err))
		return -1;
	pull.body = body.at; /* what is over the maximum is cut */
	if (run_hash(part->base, &pull.base, err) || run_hash(part->head, &pull.head, err))
		return -1;
	return forge_upsert(runs->forge, &pull, number, err);
}

/* A branch that was named anew has its commits, and what was just made is known: whoever comes after a crash need not look for it. */
static int part_made(struct publication *publication, struct part *part, struct err *err)
{
	const struct run *run = publication->run;
	AUTO_FREE char *path = repository_path(publication->runs, part->repository);
	AUTO_FREE char *ref = text_format("refs/heads/%s", run->branch);
	struct git_hash head;
	AUTO_TX tx = {0};

	if (run_hash(part->head, &head, err) || git_ref_set(path, ref, &head, NULL, err) ||
	    pull_upsert(publication, part, &part->pull, err) || store_begin(publication->runs->store, &tx, err) ||
	    flow_visit_held(&tx, publication->visit, err) || part_write(&tx, run, part, "pull = ?", VALUES(V(part->pull)), err))
		return -1;
	return store_commit(&tx, err);
}

/* One for each repository that differs. Where there are several they name each other: so all are there before any has its last form. */
static int pulls_upsert(struct publication *publication, struct err *err)
{
	struct parts *parts = &publication->parts;

	for (size_t i = 0; publication->run->joined && i < parts->count; i++)
		if (part_is_shown(publication->run, &parts->at[i]) && !parts->at[i].pull &&
		    part_made(publication, &parts->at[i], err))
			return err_prefix(err, "the pull request of %s", parts->at[i].repository);
	for (size_t i = 0; i < parts->count; i++)
		if (part_is_shown(publication->run, &parts->at[i]) &&
		    pull_upsert(publication, &parts->at[i], &parts->at[i].pull, err))
			return -1;
	return 0;
}

/* "Pull request 3 (verified): URL", for each of them. */
static void shown_add(const struct publication *publication, struct buf *text)
{
	const struct run *run = publication->run;

	for (size_t i = 0; i < publication->parts.count; i++) {
		const struct part *part = &publication->parts.at[i];

		if (part_is_shown(run, part))
			buf_add_format(text, "%sPull request %lld (%s%s%s): %s/pulls/%lld", text->length ? "\n" : "",
				       (long long)part->pull, run->joined ? part->repository : "", run->joined ? ", " : "",
				       run->verdict, publication->runs->pages_base, (long long)part->pull);
	}
}

static int part_published_in(const struct publication *publication, struct store_tx *tx, const struct part *part, struct err *err)
{
	struct runs *runs = publication->runs;
	const struct run *run = publication->run;
	const struct run own = part_run(run, part);
	AUTO_FREE char *url = text_format("%s/pulls/%lld", runs->pages_base, (long long)part->pull);
	AUTO_JSON report = run->joined ? part_report(publication->report, part)
				       : json_incref((json_t *)(uintptr_t)publication->report);

	if (part_write(tx, run, part, "pull = ?, published = head", VALUES(V(part->pull)), err) ||
	    event_add_in(runs, tx, run->id, "pull", json_pack("{s:I, s:s}", "number", (json_int_t)part->pull, "url", url), err) ||
	    change_add_in(runs, tx, "pull", "number", V(part->pull), "open", err))
		return -1;
	return remote_publish_in(runs, tx, &own, publication->visit, report, part->pull, err);
}

static int published_store(const struct publication *publication, struct err *err)
{
	struct runs *runs = publication->runs;
	const struct run *run = publication->run;
	const struct parts *parts = &publication->parts;
	const json_t *claims = publication->claims;
	AUTO_FREE char *item = text_format("%lld", (long long)run->issue);
	AUTO_FREE char *operation = text_format("%s/published/%s/%lld", run->id, run->head, (long long)run->attempt);
	AUTO_BUF text = buf_new((size_t)64 << 10);
	AUTO_TX tx = {0};

	shown_add(publication, &text);
	if (tracker_link_pull(runs->tracker, item, publication->first, err) ||
	    tracker_post(runs->tracker, item, "assay", text.at, operation, err) ||
	    tracker_set_state(runs->tracker, item, "review", err) || store_begin(runs->store, &tx, err) ||
	    flow_visit_held(&tx, publication->visit, err) ||
	    run_write(&tx, run->id, "pull = ?, published = head, merging = NULL", VALUES(V(publication->first)), err) ||
	    (json_array_size(claims) && event_add_in(runs, &tx, run->id, "claims", json_pack("{s:O}", "items", claims), err)))
		return -1;
	for (size_t i = 0; i < parts->count; i++)
		if (part_is_shown(run, &parts->at[i]) && part_published_in(publication, &tx, &parts->at[i], err))
			return -1;
	if (change_add_in(runs, &tx, "issue", "number", V(run->issue), "review", err))
		return -1;
	return store_commit(&tx, err);
}

static int publish(struct publication *publication, struct err *err)
{
	const struct run *run = publication->run;

	if (pulls_upsert(publication, err))
		return -1;
	for (size_t i = 0; i < publication->parts.count && !publication->first; i++)
		if (part_is_shown(run, &publication->parts.at[i]))
			publication->first = publication->parts.at[i].pull;
	if (!publication->first)
		return err_set(err, ERR_DENIED, "there is nothing to publish: what was changed came too late for its pull request");
	return published_store(publication, err) || opinions_ask(publication->runs, run, publication->first, publication->report,
								 publication->visit, err)
		       ? -1
		       : 0;
}

int step_publish(void *self, struct flow_visit *visit, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};
	AUTO_JSON report = NULL;
	AUTO_JSON claims = NULL;
	__attribute__((cleanup(publication_fini))) struct publication publication = {.runs = runs, .run = &run, .visit = visit};
	struct err later = {0};
	bool publishes;
	bool settled;

	if (run_load(runs, visit->id, &run, err) || race_stand(runs, &run, visit, &publishes, err))
		return -1;
	if (!publishes)
		return 0;
	if (run.pull) { /* perhaps a person was faster */
		if (parts_load(runs, &run, &publication.parts, err) ||
		    parts_settle(runs, &run, &publication.parts, visit, &settled, &later, err))
			return -1;
		if (later.kind != ERR_NONE) /* one was closed: nothing is published, the others follow when they can */
			visit->next = "review";
		if (settled || later.kind != ERR_NONE)
			return 0;
	}
	report = json_parse(view_of(run.report), err);
	if (!report || run_preview_renew(runs, &run, err))
		return -1;
	if (run.judges)
		return record_publish(runs, &run, report, NULL, err) ? -1 : step_judge_publish(runs, &run, report, visit, err);
	if (run_claims(runs, &run, report, &claims, err) || record_publish(runs, &run, report, claims, err) ||
	    preview_deploy(runs, &run, visit, err) || parts_load(runs, &run, &publication.parts, err))
		return -1;
	publication.report = report;
	publication.claims = claims;
	if (publish(&publication, err))
		return -1;
	(void)snprintf(visit->detail, sizeof(visit->detail), "pull request %lld, %s", (long long)publication.first, run.verdict);
	visit->next = "review";
	return 0;
}
