/* What is asked of the code host after a delivery, and what follows from its answer. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "forges/builtin.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "trackers/builtin.h"

#define WORDS_BYTES_MAX ((size_t)32 << 10)
#define MISSED_MS ((int64_t)3 * 24 * 3600 * 1000)
#define LOG_BYTES_MAX ((size_t)64 << 10)

struct asking {
	json_t *data;
	struct place place;
	struct remote_told told;
	const char *run; /* NULL: none */
	const char *author;
	int64_t number;
};

static void asking_fini(struct asking *asking)
{
	json_decref(asking->data);
	place_fini(&asking->place);
}
#define AUTO_ASKING __attribute__((cleanup(asking_fini))) struct asking

static int asking_begin(struct runs *runs, const struct outbox_effect *effect, struct asking *asking, struct err *err)
{
	asking->data = json_parse(effect->data, err);
	if (!asking->data || place_load(runs, json_text(asking->data, "repository", ""), &asking->place, err))
		return -1;
	asking->run = json_text(asking->data, "run", NULL);
	asking->author = json_text(asking->data, "author", "");
	asking->number = json_number(asking->data, "number", 0);
	return 0;
}

/* Strangers are refused, and that is logged. */
static int may_ask(struct runs *runs, struct asking *asking, bool *may, struct err *err)
{
	const struct remote *host = &asking->place.host;

	if (host->ops->may_command(host->self, asking->place.remote, asking->author, may, &asking->told, err))
		return -1;
	if (*may)
		return 0;
	log_info("repository=%s number=%lld: refused: %s may not write there", asking->place.name, (long long)asking->number,
		 asking->author);
	if (asking->run)
		event_note(runs, asking->run, "refused: %s may not write to %s", asking->author, asking->place.remote);
	return 0;
}

static void ack(struct asking *asking)
{
	const struct remote *host = &asking->place.host;
	const char *id = json_text(asking->data, "id", "");
	struct forge_event event = {
		.kind = FORGE_EVENT_COMMENT, .number = asking->number, .on_pull = json_flag(asking->data, "on_pull", false)};
	struct err left = {0};

	if (strncmp(id, "comment/", 8) != 0)
		return;
	(void)snprintf(event.id, sizeof(event.id), "%s", id + 8);
	if (host->ops->ack(host->self, asking->place.remote, &event, &asking->told, &left))
		log_info("repository=%s: %s", asking->place.name, left.text);
}

/* ---- the pull request's real state ---- */

/* Hosts that send nothing again are asked what was written: it is taken as if their webhook had told of it, once. */
static int missed_take(struct runs *runs, struct asking *asking, struct err *err)
{
	const struct remote *host = &asking->place.host;
	int64_t since_ms = world_now_ms(runs->options.world) - MISSED_MS;
	AUTO_JSON events = NULL;
	size_t index;
	json_t *each;

	if (!host->ops->missed)
		return 0;
	events = host->ops->missed(host->self, asking->place.remote, asking->number, since_ms, &asking->told, err);
	json_array_foreach(events, index, each)
		if (remote_missed(runs, asking->place.connection, json_text(each, "event", ""), json_member(each, "body"), err))
			return -1;
	return events ? 0 : -1;
}

static int look_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_ASKING asking = {0};
	AUTO_JSON pull = NULL;
	const struct remote *host = &asking.place.host;

	if (asking_begin(runs, effect, &asking, err))
		return -1;
	pull = host->ops->pull_get(host->self, asking.place.remote, asking.number, &asking.told, err);
	if (!pull)
		return remote_failed(&asking.told, answer);
	(void)snprintf(answer->text, sizeof(answer->text), "%s %s", json_text(pull, "state", ""), json_text(pull, "head", ""));
	return strcmp(json_text(pull, "state", ""), "open") == 0 && missed_take(runs, &asking, err)
		       ? remote_failed(&asking.told, answer)
		       : 0;
}

static int look_settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			const struct err *failure, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	const char *run = json_text(data, "run", NULL);
	int64_t pull = json_number(data, "pull", 0);
	AUTO_JSON signal = json_object();
	struct view head;
	struct view state = view_cut(view_of(answer ? answer : ""), ' ', &head);
	bool merged = view_is(state, "merged");
	AUTO_FREE char *hash = view_copy(head);
	bool changed;

	if (!data || failure)
		return data ? 0 : -1;
	if (!merged && !view_is(state, "closed"))
		return 0;
	if (forge_builtin_end_in(tx, pull, merged, hash, &changed, err))
		return -1;
	if (!changed)
		return 0;
	return run_pull_in(runs, tx, run, pull, merged ? "merged" : "closed", signal, "note",
			   json_pack("{s:s}", "text", merged ? "the pull request was merged" : "the pull request was closed"), err);
}

const struct effect_kind effect_look = {"forge.look", look_send, NULL, look_settled};

/* ---- answers ---- */

static int said_in(struct runs *runs, const struct asking *asking, const char *text, struct err *err)
{
	const char *id = json_text(asking->data, "id", "");
	AUTO_FREE char *name = text_format("%s:answer", *id ? id : "command");
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    remote_note_in(runs, &tx, &asking->place, json_flag(asking->data, "on_pull", false), asking->number, name, text, err))
		return -1;
	return store_commit(&tx, err);
}

/* Whoever calls a run that is over is told so, and what would be heard. */
static int over_say(struct runs *runs, const struct asking *asking, const struct run *run, struct err *err)
{
	bool done = strcmp(run->state, "done") == 0;
	AUTO_FREE char *text =
		done ? text_format("This run is over (%s) and hears nothing any more: what else is to be done is another issue. "
				   "`/assay verify` still works on a pull request that is open.",
				   run->outcome ? run->outcome : run->state)
		     : text_format("This run is over (%s): what is written here is kept for it, and `/assay retry` lets it go on.",
				   run->state);

	return said_in(runs, asking, text, err);
}

/* ---- words for the agent ---- */

static int thread_insert(struct store_tx *tx, const struct asking *asking, const json_t *item, bool *fresh, struct err *err)
{
	if (store_run(
		    tx,
		    "INSERT INTO pull_thread (repository, number, run, comment, thread, author, state) VALUES (?, ?, ?, ?, ?, ?, 'new')"
		    " ON CONFLICT (repository, comment) DO NOTHING",
		    VALUES(V(asking->place.name), V(asking->number), V(asking->run), V(json_text(item, "id", "")),
			   V(json_text(item, "thread", "")), V(json_text(item, "author", ""))),
		    err))
		return -1;
	*fresh = store_changed(tx) > 0;
	return 0;
}

static void word_add(struct buf *text, const json_t *item)
{
	const char *path = json_text(item, "path", "");

	if (*path)
		buf_add_format(text, "%s%s, line %lld: %s", text->length ? "\n\n" : "", path,
			       (long long)json_number(item, "line", 0), json_text(item, "text", ""));
	else
		buf_add_format(text, "%s%s", text->length ? "\n\n" : "", json_text(item, "text", ""));
}

/* What is new of it becomes one message. */
static int words_store(struct runs *runs, const struct asking *asking, const json_t *items, const char *kind, struct err *err)
{
	AUTO_BUF text = buf_new(WORDS_BYTES_MAX);
	AUTO_JSON data = json_object();
	AUTO_RUN run = {0};
	AUTO_FREE char *own = NULL;
	int64_t pull = 0;
	size_t index;
	json_t *item;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_read(&tx, asking->run, &run, err))
		return -1;
	if (strcmp(run.state, "done") == 0)
		return 0;
	json_array_foreach((json_t *)(uintptr_t)items, index, item) {
		bool fresh;

		if (thread_insert(&tx, asking, item, &fresh, err))
			return -1;
		if (fresh)
			word_add(&text, item);
	}
	if (!text.length)
		return 0;
	json_set_bytes(data, "author", view_of(asking->author));
	json_set_bytes(data, "kind", view_of(kind));
	event_text_set(data, "text", buf_view(&text));
	if (run.joined)
		json_set_bytes(data, "repository", view_of(asking->place.name));
	if (run.joined && remote_pull_find(&tx, asking->place.name, asking->number, &pull, &own, err))
		return -1;
	if (run_pull_in(runs, &tx, run.id, pull ? pull : run.pull, "review", data, "message", json_incref(data), err) ||
	    store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

/* The comment, or all that the review says: whichever of its deliveries comes first brings all of it. */
static json_t *words_list(struct asking *asking, struct err *err)
{
	const struct remote *host = &asking->place.host;
	const char *review = json_text(asking->data, "review", "");
	const char *text = json_text(asking->data, "text", "");
	AUTO_JSON items = json_array();
	AUTO_JSON lines = NULL;

	if (*text && !*review)
		(void)json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s}", "id", json_text(asking->data, "id", ""),
							     "thread", "", "author", asking->author, "text", text));
	if (*review) {
		lines = host->ops->review(host->self, asking->place.remote, asking->number, review, &asking->told, err);
		if (!lines)
			return NULL;
		(void)json_array_extend(items, lines);
	}
	return TAKE(items);
}

/* Others who talk to each other there are left in peace. */
static int called_over(struct runs *runs, const struct asking *asking, struct err *err)
{
	AUTO_RUN run = {0};

	if (!json_flag(asking->data, "called", false))
		return 0;
	if (run_load(runs, asking->run, &run, err))
		return -1;
	return run_is_over(&run) ? over_say(runs, asking, &run, err) : 0;
}

static int words_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_ASKING asking = {0};
	AUTO_JSON items = NULL;
	bool may;
	const char *state;

	if (asking_begin(runs, effect, &asking, err))
		return -1;
	if (!asking.run)
		return 0;
	if (may_ask(runs, &asking, &may, err))
		return remote_failed(&asking.told, answer);
	if (!may)
		return 0;
	if (called_over(runs, &asking, err))
		return -1;
	items = words_list(&asking, err);
	if (!items)
		return remote_failed(&asking.told, answer);
	state = json_text(asking.data, "state", "");
	if (words_store(runs, &asking, items, strcmp(state, "changes_requested") == 0 ? "changes" : "comment", err))
		return -1;
	ack(&asking);
	return 0;
}

const struct effect_kind effect_words = {"forge.words", words_send, NULL, NULL};

/* ---- the host's own CI ---- */

static int failure_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_ASKING asking = {0};
	AUTO_BUF text = buf_new(LOG_BYTES_MAX);
	AUTO_JSON items = NULL;
	json_t *item;
	size_t begin;
	const struct remote *host = &asking.place.host;

	if (asking_begin(runs, effect, &asking, err))
		return -1;
	if (!asking.run || !host->ops->failure_read)
		return 0;
	buf_add_format(&text, "The repository's own CI failed: %s. What it printed last:\n", json_text(asking.data, "title", ""));
	begin = text.length;
	if (host->ops->failure_read(host->self, asking.place.remote, json_text(asking.data, "id", ""), &text, &asking.told, err))
		return remote_failed(&asking.told, answer);
	if (text.length == begin)
		return 0; /* nothing of its own failed: a status of ours did */
	item = json_pack("{s:s, s:s, s:s}", "id", json_text(asking.data, "form", ""), "thread", "", "author", "ci");
	json_set_bytes(item, "text", buf_view(&text));
	items = json_pack("[o]", item);
	asking.author = "CI";
	return words_store(runs, &asking, items, REMOTE_WORDS_CI, err);
}

const struct effect_kind effect_failure = {"forge.failure", failure_send, NULL, NULL};

/* ---- main follows ---- */

static int fetch_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	struct remote_told told = {0};

	return data && !remote_refresh(runs, json_text(data, "repository", ""), &told, err) ? 0 : remote_failed(&told, answer);
}

const struct effect_kind effect_fetch = {"forge.fetch", fetch_send, NULL, NULL};

/* ---- commands ---- */

static int run_do(struct runs *runs, const char *run, int (*act)(struct runs *runs, struct run_id id, struct err *err),
		  struct err *err)
{
	struct run_id id;
	struct err why = {0};

	if (run_id_parse(view_of(run), &id, err))
		return -1;
	/* Over already, or running already: it is as was asked. */
	if (!act(runs, id, &why) || why.kind == ERR_DENIED)
		return 0;
	*err = why;
	return -1;
}

/* From fresh environments, with the head as it is. */
static int verify_again(struct runs *runs, struct asking *asking, const char *form, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || judge_put_in(runs, &tx, &asking->place, asking->number, form, true, err))
		return -1;
	return store_commit(&tx, err);
}

static int preview_say(struct runs *runs, struct asking *asking, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_FREE char *fresh = NULL; /* the link that was posted may have ended */
	AUTO_FREE char *text = NULL;

	if (!asking->run)
		return said_in(runs, asking, "There is no run, and no preview, of this.", err);
	if (run_load(runs, asking->run, &run, err))
		return -1;
	fresh = preview_url_now(runs, run.environment);
	text = run.preview ? text_format("The preview: %s", fresh ? fresh : run.preview) : text_copy("There is no preview yet.");
	return said_in(runs, asking, text, err);
}

static int approve_hold(struct runs *runs, struct asking *asking, struct err *err)
{
	const char *hold = json_text(asking->data, "rest", "");
	struct err why = {0};

	if (!asking->run || !runs->options.approve)
		return said_in(runs, asking, "There is no run here that anything waits for.", err);
	if (!runs->options.approve(runs->options.self, asking->run, hold, true, asking->author, &why))
		return 0;
	return said_in(runs, asking, why.text, err);
}

/* Would nothing come of it, because the run has ended? What the host did by itself (a label was taken away) asks nothing. */
static bool is_late(const struct asking *asking, const struct run *run, enum forge_command command)
{
	bool done = strcmp(run->state, "done") == 0;

	if (json_flag(asking->data, "known", false) || !run_is_over(run))
		return false;
	return command == FORGE_COMMAND_STOP ||
	       (done && (command == FORGE_COMMAND_RETRY || command == FORGE_COMMAND_PREVIEW || command == FORGE_COMMAND_APPROVE));
}

static int command_do(struct runs *runs, struct asking *asking, enum forge_command command, const char *operation, struct err *err)
{
	AUTO_RUN run = {0};

	if (asking->run && run_load(runs, asking->run, &run, err))
		return -1;
	if (asking->run && is_late(asking, &run, command))
		return over_say(runs, asking, &run, err);
	switch (command) {
	case FORGE_COMMAND_STOP:
		return asking->run ? run_do(runs, asking->run, runs_stop, err) : 0;
	case FORGE_COMMAND_RETRY:
		return asking->run ? run_do(runs, asking->run, runs_retry, err) : 0;
	case FORGE_COMMAND_VERIFY:
		return verify_again(runs, asking, operation, err);
	case FORGE_COMMAND_PREVIEW:
		return preview_say(runs, asking, err);
	case FORGE_COMMAND_APPROVE:
		return approve_hold(runs, asking, err);
	case FORGE_COMMAND_NONE:
	case FORGE_COMMAND_RUN:
	case FORGE_COMMAND_UNKNOWN:
		break;
	}
	return said_in(runs, asking, "I know `/assay stop`, `retry`, `verify`, `preview` and `approve HOLD`.", err);
}

static int command_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_ASKING asking = {0};
	bool may = true;
	enum forge_command command;

	if (asking_begin(runs, effect, &asking, err))
		return -1;
	command = (enum forge_command)json_number(asking.data, "command", FORGE_COMMAND_UNKNOWN);
	/* Who may close or label an issue is the host's to say, and it was done. */
	if (!json_flag(asking.data, "known", false) && may_ask(runs, &asking, &may, err))
		return remote_failed(&asking.told, answer);
	if (!may)
		return 0;
	log_info("repository=%s number=%lld: %s said /assay %s", asking.place.name, (long long)asking.number, asking.author,
		 forge_command_name(command));
	if (asking.run)
		event_note(runs, asking.run, "%s said: /assay %s", asking.author, forge_command_name(command));
	if (command_do(runs, &asking, command, effect->operation, err))
		return remote_failed(&asking.told, answer);
	ack(&asking);
	return 0;
}

const struct effect_kind effect_command = {"forge.command", command_send, NULL, NULL};

/* ---- an issue is given to us ---- */

/* The lock is the row of the issue: whoever comes second finds it, and a run that is over may be begun again. */
static int intake_store(struct runs *runs, const struct asking *asking, const json_t *issue, struct err *err)
{
	AUTO_JSON made = NULL;
	AUTO_FREE char *run = NULL;
	AUTO_JSON request = json_pack("{s:s}", "repository", asking->place.name);
	struct run_id id = run_id_new(runs->options.world);
	int64_t here = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || remote_issue_find(&tx, asking->place.name, asking->number, &here, &run, err))
		return -1;
	if (here) {
		store_abort(&tx);
		return run ? run_do(runs, run, runs_retry, err) : 0;
	}
	made = tracker_builtin_make_in(&tx, runs->options.world, asking->place.name, json_text(issue, "title", ""),
				       json_text(issue, "body", ""), err);
	if (!made)
		return -1;
	here = json_number(made, "number", 0);
	if (store_run(&tx, "INSERT INTO issue_remote (issue, repository, number, url) VALUES (?, ?, ?, ?)",
		      VALUES(V(here), V(asking->place.name), V(asking->number), V(json_text(issue, "url", ""))), err) ||
	    run_start_in(runs, &tx, id, made, request, err) || change_add_in(runs, &tx, "issue", "number", V(here), "open", err) ||
	    store_commit(&tx, err))
		return -1;
	log_info("run=%s repository=%s issue=%lld: given by %s", id.text, asking->place.name, (long long)asking->number,
		 asking->author);
	runs_told(runs);
	return 0;
}

static int intake_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_ASKING asking = {0};
	AUTO_JSON issue = NULL;
	const struct remote *host = &asking.place.host;
	bool may;

	if (asking_begin(runs, effect, &asking, err))
		return -1;
	if (may_ask(runs, &asking, &may, err))
		return remote_failed(&asking.told, answer);
	if (!may)
		return 0;
	issue = host->ops->issue_get(host->self, asking.place.remote, asking.number, &asking.told, err);
	if (!issue)
		return remote_failed(&asking.told, answer);
	if (remote_refresh(runs, asking.place.name, &asking.told, err))
		return remote_failed(&asking.told, answer);
	return intake_store(runs, &asking, issue, err);
}

const struct effect_kind effect_intake = {"forge.intake", intake_send, NULL, NULL};
