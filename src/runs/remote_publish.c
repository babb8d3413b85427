/*
 * What a code host is shown of a run: the branch, the pull request, the verdict, the preview, answers, progress.
 *
 * Theory of operation: an effect names what is to be shown, and what it shows is read when it is sent, where the newest is the right one (the
 * pull request's text, progress); a verdict is of one commit, and goes with the effect. All of one run goes in order, so that a pull request
 * never comes before its branch. Each driver looks before it writes: sent twice is sent once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/markdown.h"
#include "base/scope.h"
#include "runs/branch.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define LISTED_MAX 30
#define ANSWER_SUMMARY_MAX 4000

/* ---- what every sender begins with ---- */

struct sending {
	json_t *data;
	struct place place;
	struct remote_told told;
};

static void sending_fini(struct sending *sending)
{
	json_decref(sending->data);
	place_fini(&sending->place);
}
#define AUTO_SENDING __attribute__((cleanup(sending_fini))) struct sending

static int sending_begin(struct runs *runs, const struct outbox_effect *effect, struct sending *sending, struct err *err)
{
	sending->data = json_parse(effect->data, err);
	return !sending->data || place_load(runs, json_text(sending->data, "repository", ""), &sending->place, err) ? -1 : 0;
}

/* What never will be is told where the run's people look. */
static int told_in(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *what,
		   const struct err *failure, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	const char *run = json_text(data, "run", NULL);

	if (!data || !failure || !run)
		return data ? 0 : -1;
	log_warn("run=%s effect=%s: %s", run, effect->kind, failure->text);
	return event_add_in(
		runs, tx, run, "note",
		json_pack("{s:o}", "text", json_sprintf("%s could not be brought to the code host: %s", what, failure->text)), err);
}

/* ---- the branch ---- */

struct pushing {
	struct branch branch;
	struct git_hash head;
	struct git_hash seen;
};

static int push(void *self, const struct git_remote *remote, struct err *err)
{
	const struct pushing *pushing = self;

	return git_push_remote(pushing->branch.path, remote, pushing->branch.name, &pushing->head,
			       *pushing->seen.text ? &pushing->seen : NULL, err);
}

static int head_read(struct runs *runs, const struct sending *sending, struct git_hash *head, struct err *err)
{
	const char *run = json_text(sending->data, "run", "");
	AUTO_ROWS rows = {0};
	AUTO_TX tx = {0};
	const char *text;

	memset(head, 0, sizeof(*head));
	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(&tx, &rows,
			"SELECT run_part.head FROM run_part WHERE run = ? AND repository = ? UNION ALL"
			" SELECT run.head FROM run WHERE id = ? AND joined IS NULL",
			VALUES(V(run), V((const char *)sending->place.name), V(run)), err))
		return -1;
	text = store_rows_next(&rows) ? store_rows_text(&rows, 0) : NULL;
	if (text && run_hash(text, head, err))
		return -1;
	return store_rows_finish(&rows, err);
}

static int push_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	AUTO_FREE char *path = NULL;
	struct pushing pushing = {0};
	struct git_hash newest;

	if (sending_begin(runs, effect, &sending, err) ||
	    git_hash_parse(view_of(json_text(sending.data, "head", "")), &pushing.head, err))
		return -1;
	path = repository_path(runs, sending.place.name);
	pushing.branch = (struct branch){path, json_text(sending.data, "run", ""), json_text(sending.data, "branch", "")};
	if (branch_seen(&pushing.branch, &pushing.seen, err) || head_read(runs, &sending, &newest, err) ||
	    branch_push_check(&pushing.branch, &pushing.seen, &newest, &pushing.head, err))
		return -1;
	if (!place_git(&sending.place, true, push, &pushing, &sending.told, err))
		return branch_see(&pushing.branch, &pushing.seen, &pushing.head, err);
	/* Moved by somebody else: the same call fails again. */
	if (err->kind == ERR_CONFLICT)
		err->kind = ERR_DENIED;
	return remote_failed(&sending.told, answer);
}

/* Whoever looks at the pull request there is told that it does not show what was made since. */
static int unpushed_say(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	const char *run = json_text(data, "run", "");
	const char *head = json_text(data, "head", "");
	AUTO_FREE char *name = text_format("%s:unpushed:%.40s", run, head);
	AUTO_FREE char *text = text_format("What I made since, %.40s, could not be pushed to this branch: it was moved by somebody "
					   "else, or is protected. It is on [the run's page](%s/runs/%s), and nothing here was "
					   "verified with what others pushed; `/assay verify` does that.",
					   head, runs->pages_base, run);
	AUTO_PLACE place = {0};
	int64_t number = 0;
	bool found = false;

	if (!data || place_find(tx, json_text(data, "repository", ""), &place, &found, err) ||
	    store_number_get(tx, &number, 0,
			     "SELECT max(pull_remote.number) FROM pull_remote JOIN pull ON pull.number = pull_remote.pull WHERE"
			     " pull.run = ? AND pull_remote.repository = ? AND pull.state = 'open'",
			     VALUES(V(run), V(json_text(data, "repository", ""))), err))
		return -1;
	return found && number ? remote_note_in(runs, tx, &place, true, number, name, text, err) : 0;
}

static int push_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			const struct err *failure, struct err *err)
{
	(void)answer;
	return told_in(runs, tx, effect, "the branch", failure, err) || (failure && unpushed_say(runs, tx, effect, err)) ? -1 : 0;
}

const struct effect_kind effect_push = {"forge.push", push_send, NULL, push_settled};

/* ---- the pull request ---- */

/* As it is here, with the evidence folded, and the issue that its merge closes. */
static char *body_fold(const char *body, int64_t issue)
{
	AUTO_BUF out = buf_new(REMOTE_BODY_BYTES_MAX);
	const char *evidence = NULL;
	size_t before;

	/* The last is ours: the agent's words stand before it, whatever is in them. */
	for (const char *next = strstr(body, "\n" PULL_EVIDENCE); next; next = strstr(next + 1, "\n" PULL_EVIDENCE))
		evidence = next;
	before = evidence ? (size_t)(evidence - body) : strlen(body);
	buf_add(&out, body, before);
	if (issue)
		buf_add_format(&out, "\nFixes #%lld.\n", (long long)issue);
	if (evidence)
		buf_add_format(&out, "\n<details><summary>The evidence</summary>\n%.*s\n\n</details>\n",
			       (int)(REMOTE_BODY_BYTES_MAX / 2), evidence);
	return buf_take(&out);
}

/* The text with a link that is good from now on; owned by the caller. */
static char *body_renew(struct runs *runs, const json_t *pull)
{
	const char *body = json_text(pull, "body", "");
	const char *posted = json_text(pull, "preview", "");
	AUTO_FREE char *now = *posted ? preview_url_now(runs, json_text(pull, "environment", NULL)) : NULL;
	AUTO_BUF out = buf_new(REMOTE_BODY_BYTES_MAX);

	if (!now)
		return text_copy(body);
	buf_add_replaced(&out, view_of(body), view_of(posted), view_of(now));
	return buf_take(&out);
}

static int pull_read(struct runs *runs, const struct sending *sending, json_t **pull, char **body, struct err *err)
{
	int64_t number = 0;
	AUTO_FREE char *url = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_TX tx = {0};

	*pull = forge_fetch(runs->forge, json_number(sending->data, "pull", 0), err);
	if (!*pull)
		return -1;
	text = body_renew(runs, *pull);
	if (store_begin(runs->store, &tx, err) || remote_issue_number(&tx, json_number(*pull, "issue", 0), &number, &url, err))
		return -1;
	*body = body_fold(text, number);
	return 0;
}

/* A thing is put once for each form of it; owned by the caller. */
static char *operation_of(const char *run, const char *kind, const char *form)
{
	return text_format("%s/%s/%s", run, kind, form);
}

/* What is known there of it: its number, or 0; and whether the branch shows its head: it was published, and no push of it waits or was refused
 * (one that is kept no more was long ago). */
static int pull_known(struct runs *runs, const json_t *pull, int64_t *number, bool *shown, struct err *err)
{
	const char *run = json_text(pull, "run", "");
	const char *head = json_text(pull, "head", "");
	AUTO_FREE char *push = operation_of(run, "forge.push", head);
	int64_t missing = 0;
	int64_t waiting = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || remote_pull_number(&tx, json_number(pull, "number", 0), number, NULL, err) ||
	    store_number_get(&tx, &missing, 0,
			     "SELECT count(*) FROM run LEFT JOIN run_part ON run_part.run = run.id AND run_part.repository = ?"
			     " WHERE run.id = ? AND coalesce(run_part.published, run.published, '') <> ?",
			     VALUES(V(json_text(pull, "repository", "")), V(run), V(head)), err) ||
	    store_number_get(&tx, &waiting, 0, "SELECT count(*) FROM outbox WHERE operation = ? AND status <> 'sent'",
			     VALUES(V(push)), err))
		return -1;
	*shown = !missing && !waiting;
	return 0;
}

/* A branch that the host did not take shows something else than what was proven: nothing is said of it as if it did. */
static int unpushed_refuse(struct runs *runs, const json_t *data, struct err *err)
{
	const char *head = json_text(data, "head", NULL);
	AUTO_FREE char *operation = operation_of(json_text(data, "run", ""), "forge.push", head ? head : "");
	int64_t dead = 0;
	AUTO_TX tx = {0};

	if (!head)
		return 0;
	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_number_get(&tx, &dead, 0, "SELECT count(*) FROM outbox WHERE operation = ? AND status = 'dead'",
			     VALUES(V((const char *)operation)), err))
		return -1;
	return dead ? err_set(err, ERR_DENIED, "the branch there is not at %.12s, which could not be pushed", head) : 0;
}

/* Its text and verdict are of its head: until the branch shows that one, it is a draft and says so. */
static int pull_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	AUTO_JSON pull = NULL;
	AUTO_FREE char *body = NULL;
	const struct remote *host = &sending.place.host;
	struct remote_pull wanted = {0};
	int64_t known = 0;
	bool shown = false;

	if (sending_begin(runs, effect, &sending, err) || unpushed_refuse(runs, sending.data, err) ||
	    pull_read(runs, &sending, &pull, &body, err))
		return -1;
	if (forge_state_of(pull) != FORGE_OPEN)
		return 0;
	if (pull_known(runs, pull, &known, &shown, err))
		return -1;
	if (!shown) {
		AUTO_FREE char *whole = TAKE(body);

		body = text_format("> This is of %.40s, which is not what the branch shows.\n\n%s", json_text(pull, "head", ""),
				   whole);
	}
	wanted = (struct remote_pull){.branch = json_text(pull, "branch", ""),
				      .target = sending.place.branch,
				      .title = json_text(pull, "title", ""),
				      .body = body,
				      .head = json_text(pull, "head", ""),
				      .number = known,
				      .run = json_text(pull, "run", NULL),
				      .draft = !shown || json_flag(pull, "draft", false)};
	if (host->ops->pull_put(host->self, sending.place.remote, &wanted, &sending.told, err)) {
		if (err->kind == ERR_CONFLICT && known)
			err->kind = ERR_DENIED; /* a person was faster: looking at it tells the run */
		return remote_failed(&sending.told, answer);
	}
	(void)snprintf(answer->text, sizeof(answer->text), "%lld %s", (long long)sending.told.number, sending.told.url);
	return 0;
}

static int pull_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			const struct err *failure, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	struct view url;
	struct view text = view_cut(view_of(answer ? answer : ""), ' ', &url);
	int64_t pull = json_number(data, "pull", 0);
	uint64_t number;

	if (!data || failure)
		return failure ? told_in(runs, tx, effect, "the pull request", failure, err) : -1;
	if (!view_to_u64(text, &number) || !number)
		return 0;
	if (store_run(tx,
		      "INSERT INTO pull_remote (pull, repository, number, url) VALUES (?, ?, ?, ?)"
		      " ON CONFLICT (pull) DO UPDATE SET number = excluded.number, url = excluded.url",
		      VALUES(V(pull), V(json_text(data, "repository", "")), V((int64_t)number), V(url)), err) ||
	    event_add_in(runs, tx, json_text(data, "run", ""), "note",
			 json_pack("{s:o}", "text",
				   json_sprintf("pull request #%lld: %.*s", (long long)number, (int)url.length, url.at)),
			 err))
		return -1;
	return change_add_in(runs, tx, "pull", "number", V(pull), "open", err);
}

const struct effect_kind effect_pull = {"forge.pull", pull_send, NULL, pull_settled};

/* ---- the verdict ---- */

/* GitHub fetches what it shows: links to us are of use where it reaches us. */
static json_t *pictures_linked(const struct runs *runs, const struct sending *sending)
{
	bool reached = strncmp(runs->pages_base, "https://", strlen("https://")) == 0;
	json_t *list = json_array();
	size_t index;
	json_t *each;

	if (sending->place.host.ops->picture_put || !json_flag(sending->place.settings, "pictures", reached))
		return list;
	json_array_foreach(json_member(sending->data, "pictures"), index, each)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:o}", "name", json_text(each, "name", ""), "url",
						      json_sprintf("%s/pictures/%s", runs->pages_base, json_text(each, "id", ""))));
	return list;
}

static int check_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;
	AUTO_FREE char *path = NULL;
	AUTO_JSON pictures = NULL;
	struct remote_check check;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	path = repository_path(runs, sending.place.name);
	remote_check_place(path, sending.data);
	pictures = pictures_linked(runs, &sending);
	check = (struct remote_check){.name = REMOTE_CHECK,
				      .head = json_text(sending.data, "head", ""),
				      .run = json_text(sending.data, "run", json_text(sending.data, "about", "")),
				      .title = json_text(sending.data, "title", ""),
				      .summary = json_text(sending.data, "summary", ""),
				      .url = json_text(sending.data, "url", NULL),
				      .state = (enum remote_state)json_number(sending.data, "state", REMOTE_UNKNOWN),
				      .annotations = json_member(sending.data, "annotations"),
				      .number = json_number(sending.data, "number", 0),
				      .pictures = pictures};
	return host->ops->check_put(host->self, sending.place.remote, &check, &sending.told, err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

static int check_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			 const struct err *failure, struct err *err)
{
	(void)answer;
	return told_in(runs, tx, effect, "the verdict", failure, err);
}

const struct effect_kind effect_check = {"forge.check", check_send, NULL, check_settled};

/* ---- the preview ---- */

static int deployment_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;
	struct remote_deployment deployment;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	deployment = (struct remote_deployment){.environment = json_text(sending.data, "branch", ""),
						.head = json_text(sending.data, "head", ""),
						.branch = json_text(sending.data, "branch", ""),
						.run = json_text(sending.data, "run", ""),
						.url = json_text(sending.data, "preview", NULL),
						.log_url = json_text(sending.data, "url", NULL),
						.state = REMOTE_GOOD,
						.number = json_number(sending.data, "number", 0)};
	return host->ops->deployment_put(host->self, sending.place.remote, &deployment, &sending.told, err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

static int deployment_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			      const struct err *failure, struct err *err)
{
	(void)answer;
	return told_in(runs, tx, effect, "the preview", failure, err);
}

const struct effect_kind effect_deployment = {"forge.deployment", deployment_send, NULL, deployment_settled};

static int retire_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	return host->ops->deployment_end(host->self, sending.place.remote, json_text(sending.data, "branch", ""), &sending.told,
					 err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

const struct effect_kind effect_retire = {"forge.retire", retire_send, NULL, NULL};

/* ---- pictures ---- */

struct bringing {
	const struct sending *sending;
	int64_t number;
	struct remote_told *told;
};

static int picture_upload(void *self, const char *file, struct view bytes, char **url, struct err *err)
{
	const struct bringing *bringing = self;
	const struct place *place = &bringing->sending->place;

	return place->host.ops->picture_put(place->host.self, place->remote, bringing->number, file, bytes, url, bringing->told,
					    err);
}

/* One comment with what the agent saw, edited when it looks again. */
static int pictures_text(struct runs *runs, struct bringing *bringing, struct buf *text, struct err *err)
{
	const struct sending *sending = bringing->sending;
	AUTO_FREE char *place = text_format("%s/%s", sending->place.connection, sending->place.remote);
	size_t index;
	json_t *each;

	buf_add_text(text, "What the agent saw, in its own environment:\n");
	json_array_foreach(json_member(sending->data, "pictures"), index, each) {
		const char *name = json_text(each, "name", "");
		AUTO_FREE char *url = NULL;

		if (picture_bring(runs, each, place, picture_upload, bringing, &url, err))
			return -1;
		/* The agent's name of it is shown as it is, under our account: nothing in it is a link or calls anybody. */
		buf_add_format(text, "\n`%s`\n\n![picture %zu](%s)\n", name, index + 1, url);
	}
	return buf_finish(text, err);
}

static int pictures_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;
	struct bringing bringing = {.sending = &sending, .told = &sending.told};
	AUTO_BUF text = buf_new(REMOTE_BODY_BYTES_MAX);
	AUTO_FREE char *marker = NULL;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	if (!host->ops->picture_put || !json_flag(sending.place.settings, "pictures", true))
		return 0;
	{
		AUTO_TX tx = {0};

		if (store_begin_snapshot(runs->store, &tx, err) ||
		    remote_pull_number(&tx, json_number(sending.data, "pull", 0), &bringing.number, NULL, err))
			return -1;
	}
	if (!bringing.number)
		return 0;
	marker = text_format("<!-- assay:%s:pictures -->", json_text(sending.data, "run", ""));
	if (pictures_text(runs, &bringing, &text, err) ||
	    host->ops->note_put(host->self, sending.place.remote, true, bringing.number, marker, text.at, &sending.told, err))
		return remote_failed(&sending.told, answer);
	return 0;
}

static int pictures_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			    const struct err *failure, struct err *err)
{
	(void)answer;
	return told_in(runs, tx, effect, "what the agent saw", failure, err);
}

const struct effect_kind effect_pictures = {"forge.pictures", pictures_send, NULL, pictures_settled};

/* ---- words ---- */

/* Where people want it: of a thread that a verified change dealt with. What the host does not let us is said, and no more: it is answered. */
static int thread_resolve(struct sending *sending, struct err *err)
{
	const struct remote *host = &sending->place.host;
	const char *thread = json_text(sending->data, "thread", "");

	if (!json_flag(sending->data, "dealt", false) || !*thread || !host->ops->resolve ||
	    !json_flag(sending->place.settings, "resolve", false) ||
	    !host->ops->resolve(host->self, sending->place.remote, json_number(sending->data, "number", 0), thread, &sending->told,
				err))
		return 0;
	if (err->kind == ERR_RETRY || err->kind == ERR_LIMIT)
		return -1;
	log_warn("repository=%s thread=%s: cannot be resolved: %s", sending->place.remote, thread, err->text);
	*err = (struct err){0};
	return 0;
}

static int reply_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	return host->ops->reply(host->self, sending.place.remote, json_number(sending.data, "number", 0),
				json_text(sending.data, "thread", ""), json_text(sending.data, "marker", ""),
				json_text(sending.data, "text", ""), &sending.told, err) ||
			       thread_resolve(&sending, err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

const struct effect_kind effect_reply = {"forge.reply", reply_send, NULL, NULL};

static int note_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	return host->ops->note_put(host->self, sending.place.remote, json_flag(sending.data, "on_pull", false),
				   json_number(sending.data, "number", 0), json_text(sending.data, "marker", ""),
				   json_text(sending.data, "text", ""), &sending.told, err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

const struct effect_kind effect_note = {"forge.note", note_send, NULL, NULL};

int remote_note_in(struct runs *runs, struct store_tx *tx, const struct place *place, bool pull, int64_t number, const char *name,
		   const char *text, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s#%lld/note/%s", place->name, (long long)number, name);
	AUTO_FREE char *target = text_format("#%lld", (long long)number);
	json_t *data = json_pack("{s:b, s:I, s:o, s:s}", "on_pull", pull, "number", (json_int_t)number, "marker",
				 json_sprintf("<!-- assay:%s -->", name), "text", text);

	return remote_put(runs, tx, place, "forge.note", operation, target, false, data, err);
}

/* One comment on the issue, edited as the run goes on. */
static int progress_text(struct runs *runs, const char *id, const char *sign, struct buf *out, int64_t *number, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_JSON plan = NULL;
	AUTO_FREE char *url = NULL;
	int64_t pull = 0;
	size_t index;
	json_t *step;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_read(&tx, id, &run, err) ||
	    remote_issue_number(&tx, run.issue, number, NULL, err) ||
	    (run.pull && remote_pull_number(&tx, run.pull, &pull, &url, err)))
		return -1;
	buf_add_format(out, "**Assay** works on this: *%s*. [Timeline](%s/runs/%s)\n", run.state, runs->pages_base, run.id);
	if (pull)
		buf_add_format(out, "\nPull request: %s%lld\n", sign, (long long)pull);
	if (run.error) {
		buf_add_text(out, "\nIt ended: ");
		markdown_code_add(out, run.error, false);
		buf_add_char(out, '\n');
	}
	plan = json_parse(view_of(run.plan), NULL);
	json_array_foreach(plan, index, step) {
		const char *state = json_text(step, "state", json_text(step, "status", ""));

		if (index >= LISTED_MAX)
			break;
		buf_add_format(out, "%s- [%c] ", index ? "" : "\n", strcmp(state, "completed") == 0 ? 'x' : ' ');
		markdown_code_add(out, json_text(step, "text", json_text(step, "content", "")), false);
		buf_add_char(out, '\n');
	}
	return buf_finish(out, err);
}

static int progress_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_SENDING sending = {0};
	const struct remote *host = &sending.place.host;
	const char *run;
	AUTO_FREE char *marker = NULL;
	AUTO_BUF text = buf_new(REMOTE_BODY_BYTES_MAX);
	int64_t number = 0;

	if (sending_begin(runs, effect, &sending, err))
		return -1;
	run = json_text(sending.data, "run", "");
	marker = text_format("<!-- assay:%s:progress -->", run);
	if (progress_text(runs, run, host->ops->pull_sign, &text, &number, err) || !number)
		return number ? -1 : 0;
	return host->ops->note_put(host->self, sending.place.remote, false, number, marker, text.at, &sending.told, err)
		       ? remote_failed(&sending.told, answer)
		       : 0;
}

const struct effect_kind effect_progress = {"forge.progress", progress_send, NULL, NULL};

/* ---- putting ---- */

/* Once for each form of a thing: what is put under a name before stays as it is. */
static int put(struct runs *runs, struct store_tx *tx, const struct place *place, const struct run *run, const char *kind,
	       const char *form, json_t *data, struct err *err)
{
	AUTO_FREE char *operation = operation_of(run->id, kind, form);

	/* What was given up before is tried anew: its reason may be gone, and each driver looks before it writes. */
	if (store_run(tx, "DELETE FROM outbox WHERE operation = ? AND status = 'dead'", VALUES(V((const char *)operation)), err)) {
		json_decref(data);
		return -1;
	}
	(void)json_object_set_new(data, "run", json_string(run->id));
	return remote_put(runs, tx, place, kind, operation, run->branch, false, data, err);
}

int remote_publish_in(struct runs *runs, struct store_tx *tx, const struct run *run, const struct flow_visit *visit,
		      const json_t *report, int64_t pull, struct err *err)
{
	AUTO_FREE char *url = text_format("%s/runs/%s", runs->pages_base, run->id);
	AUTO_FREE char *form = text_format("%d/%lld", visit->visit, (long long)pull);
	AUTO_FREE char *shown = text_format("%.40s/%lld", run->head, (long long)run->attempt);
	AUTO_JSON pictures = NULL;
	AUTO_PLACE place = {0};
	AUTO_JSON check = NULL;
	AUTO_JSON preview = json_pack("{s:s, s:s, s:s?, s:s}", "branch", run->branch, "head", run->head, "preview", run->preview,
				      "url", url);
	bool found;

	if (place_find(tx, run->repository, &place, &found, err))
		return -1;
	if (!found)
		return 0;
	pictures = pictures_shown(tx, run->id, err);
	if (!pictures)
		return -1;
	check = remote_check_data(report, run->base, run->head, url);
	(void)json_object_set(check, "pictures", pictures);
	preview_shown_add(preview, run->environment, run->preview);
	if (put(runs, tx, &place, run, "forge.push", run->head, json_pack("{s:s, s:s}", "branch", run->branch, "head", run->head),
		err) ||
	    put(runs, tx, &place, run, "forge.pull", form, json_pack("{s:I, s:s}", "pull", (json_int_t)pull, "head", run->head),
		err) ||
	    put(runs, tx, &place, run, "forge.check", shown, json_incref(check), err) ||
	    (run->preview && put(runs, tx, &place, run, "forge.deployment", run->head, json_incref(preview), err)))
		return -1;
	/* Last: they are sent in order, and nothing should wait for a picture that the host does not take. */
	return json_array_size(pictures) ? put(runs, tx, &place, run, "forge.pictures", form,
					       json_pack("{s:I, s:O}", "pull", (json_int_t)pull, "pictures", pictures), err)
					 : 0;
}

int remote_given_in(struct store_tx *tx, const char *run, struct err *err)
{
	return store_run(
		tx,
		"UPDATE pull_thread SET state = 'given', head = coalesce((SELECT head FROM run_part WHERE run_part.run = pull_thread.run AND"
		" run_part.repository = pull_thread.repository), (SELECT head FROM run WHERE id = ?)) WHERE run = ? AND state = 'new'",
		VALUES(V(run), V(run)), err);
}

/* Since its words were given to the agent. */
static bool is_changed(const struct run *run, const char *head)
{
	return run->head && (!head || strcmp(run->head, head) != 0);
}

/* The agent's words are fenced: whom they name is not called, and what they link is not followed. */
static char *answer_text(const struct run *run, const char *author, const char *head)
{
	AUTO_BUF text = buf_new(REMOTE_BODY_BYTES_MAX);

	if (is_changed(run, head))
		buf_add_format(&text, "@%s dealt with in %.40s, which is **%s**.\n", author, run->head,
			       run->verdict ? run->verdict : "not judged");
	else
		buf_add_format(&text, "@%s nothing was changed for this.\n", author);
	if (run->summary && *run->summary)
		prompt_fence(&text, "\nThe agent says", view_make(run->summary, strnlen(run->summary, ANSWER_SUMMARY_MAX)));
	return buf_take(&text);
}

/* Other comments of its thread that wait, or that nothing was changed for: it stays open for them. */
#define OPEN_OF_THREAD                                                                                     \
	"(SELECT count(*) FROM pull_thread other WHERE other.repository = pull_thread.repository"          \
	" AND other.thread = pull_thread.thread AND other.seq <> pull_thread.seq AND (other.state = 'new'" \
	" OR (other.state = 'given' AND other.head = ?)))"

int remote_answer_in(struct runs *runs, struct store_tx *tx, const struct run *run, struct err *err)
{
	AUTO_PLACE place = {0};
	AUTO_ROWS rows = {0};
	bool found;

	if (place_find(tx, run->repository, &place, &found, err))
		return -1;
	if (!found)
		return 0;
	if (store_query(tx, &rows,
			"SELECT number, comment, thread, author, head, " OPEN_OF_THREAD
			" FROM pull_thread WHERE run = ? AND repository = ? AND state = 'given' ORDER BY seq",
			VALUES(V(run->head), V(run->id), V(run->repository)), err))
		return -1;
	while (store_rows_next(&rows)) {
		const char *comment = store_rows_text(&rows, 1);
		const char *head = store_rows_text(&rows, 4);
		AUTO_FREE char *text = answer_text(run, store_rows_text(&rows, 3), head);

		if (put(runs, tx, &place, run, "forge.reply", comment,
			json_pack("{s:I, s:s, s:o, s:s, s:b}", "number", (json_int_t)store_rows_number(&rows, 0), "thread",
				  store_rows_text(&rows, 2), "marker",
				  json_sprintf("<!-- assay:%s:answer:%s -->", run->id, comment), "text", text, "dealt",
				  is_changed(run, head) && run->verdict && strcmp(run->verdict, "verified") == 0 &&
					  !store_rows_number(&rows, 5)),
			err))
			return -1;
	}
	if (store_rows_finish(&rows, err))
		return -1;
	store_rows_fini(&rows);
	return store_run(tx, "UPDATE pull_thread SET state = 'answered' WHERE run = ? AND repository = ? AND state = 'given'",
			 VALUES(V(run->id), V(run->repository)), err);
}

/* What shows the preview of a run that is over shows it no longer. */
static int retire_in(struct runs *runs, struct store_tx *tx, const struct run *run, const char *form, struct err *err)
{
	AUTO_PARTS parts = {.count = 0};

	if (!run->branch || parts_read(tx, run, &parts, err))
		return run->branch ? -1 : 0;
	for (size_t i = 0; i < parts.count; i++) {
		const struct run own = part_run(run, &parts.at[i]);
		AUTO_FREE char *own_form = run->joined ? text_format("%s/%s", form, own.repository) : text_copy(form);
		AUTO_PLACE place = {0};
		bool found = false;

		if (own.published && (place_find(tx, own.repository, &place, &found, err) ||
				      (found && put(runs, tx, &place, &own, "forge.retire", own_form,
						    json_pack("{s:s}", "branch", run->branch), err))))
			return -1;
	}
	return 0;
}

int remote_moved_in(struct runs *runs, struct store_tx *tx, const char *id, const char *state, bool over, struct err *err)
{
	AUTO_FREE char *form = NULL;
	AUTO_FREE char *operation = NULL;
	AUTO_FREE char *target = NULL;
	AUTO_PLACE place = {0};
	AUTO_RUN run = {0};
	int64_t issue = 0;
	bool found;

	form = text_format("%s/%lld", state, (long long)world_now_ms(runs->options.world));
	if (run_read(tx, id, &run, err) || (over && retire_in(runs, tx, &run, form, err)) ||
	    place_find(tx, run.repository, &place, &found, err))
		return -1;
	if (!found)
		return 0;
	if (remote_issue_number(tx, run.issue, &issue, NULL, err) || !issue)
		return issue ? -1 : 0;
	operation = text_format("%s/forge.progress/%s", run.id, form);
	target = text_format("#%lld", (long long)issue);
	return remote_put(runs, tx, &place, "forge.progress", operation, target, !over, json_pack("{s:s}", "run", run.id), err);
}

/* ---- what people do on Assay's pages ---- */

/* Is it on its way to the host, or may be there though no answer came? */
static int on_its_way(struct store_tx *tx, const json_t *pull, bool *way, struct err *err)
{
	AUTO_FREE char *operations = text_format("%s/forge.pull/%%", json_text(pull, "run", ""));
	int64_t queued = 0;

	if (store_number_get(tx, &queued, 0,
			     "SELECT count(*) FROM outbox WHERE kind = 'forge.pull' AND status = 'queued' AND operation LIKE ?",
			     VALUES(V((const char *)operations)), err))
		return -1;
	*way = queued > 0;
	return 0;
}

/* Number 0: it is only here, and will be. What belongs to a host is not decided before it is there: nobody there would know. */
static int there_find(struct runs *runs, const json_t *pull, bool merge, struct place *place, int64_t *number, struct err *err)
{
	const char *repository = json_text(pull, "repository", "");
	long long here = (long long)json_number(pull, "number", 0);
	bool at_host = false;
	bool way = false;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || remote_pull_number(&tx, here, number, NULL, err) ||
	    (!*number && (place_find(&tx, repository, place, &at_host, err) || on_its_way(&tx, pull, &way, err))))
		return -1;
	store_abort(&tx);
	if (*number)
		return place_load(runs, repository, place, err);
	if (at_host && way)
		return err_set(err, ERR_RETRY, "pull request %lld is on its way to the code host: try again in a moment", here);
	if (at_host && merge)
		return err_set(err, ERR_DENIED, "pull request %lld could not be brought to the code host: its run says why", here);
	return 0;
}

int remote_pull_merge(struct runs *runs, const json_t *pull, bool *there, struct err *err)
{
	AUTO_PLACE place = {0};
	struct remote_told told = {0};
	int64_t number = 0;

	if (there_find(runs, pull, true, &place, &number, err))
		return -1;
	*there = number != 0;
	return number ? place.host.ops->pull_merge(place.host.self, place.remote, number, json_text(pull, "head", ""), &told, err)
		      : 0;
}

/* Hosts take it as done that what was merged is to be closed. */
static int close_there(const struct place *place, int64_t number, struct err *err)
{
	AUTO_JSON now = NULL;
	struct remote_told told = {0};

	if (place->host.ops->pull_close(place->host.self, place->remote, number, &told, err))
		return -1;
	now = place->host.ops->pull_get(place->host.self, place->remote, number, &told, err);
	if (!now)
		return -1;
	return strcmp(json_text(now, "state", ""), "merged") == 0
		       ? err_set(err, ERR_CONFLICT, "pull request %lld was merged at the code host", (long long)number)
		       : 0;
}

int remote_pull_close(struct runs *runs, const json_t *pull, bool *there, struct err *err)
{
	AUTO_PLACE place = {0};
	int64_t number = 0;

	if (there_find(runs, pull, false, &place, &number, err))
		return -1;
	*there = number != 0;
	return number ? close_there(&place, number, err) : 0;
}

void remote_pull_json(struct runs *runs, json_t *pull)
{
	AUTO_FREE char *url = NULL;
	int64_t number = 0;
	AUTO_TX tx = {0};

	if (store_begin_snapshot(runs->store, &tx, NULL) ||
	    remote_pull_number(&tx, json_number(pull, "number", 0), &number, &url, NULL))
		number = 0;
	(void)json_object_set_new(pull, "remote",
				  number ? json_pack("{s:I, s:s?}", "number", (json_int_t)number, "url", url) : json_null());
}
