/*
 * What happens in a run, as it is said in the thread that gave the work.
 *
 * Theory of operation. Events of a run are stored in transactions; what is said of them is put in the same one, under the run's name and the
 * event's number: neither is without the other, and nothing is said twice. Progress is chatter: one line in a while, dropped when something
 * that stays is said. The end of a turn is said once, with the plan as it is then.
 */
#include <stdlib.h>

#include "base/markdown.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"

struct told {
	struct runs *runs;
	struct store_tx *tx;
	const struct thread *thread;
	int64_t seq;
	const json_t *data;
};

static int say(const struct told *told, const char *what, bool chatter, json_t *speech, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/said/%lld/%s", told->thread->run, (long long)told->seq, what);

	return thread_say_in(told->runs, told->tx, told->thread, operation, chatter, speech, err);
}

static json_t *words(const char *kind, struct view text)
{
	json_t *speech = json_pack("{s:s}", "say", kind);

	if (text.length > THREAD_TEXT_MAX)
		text.length = THREAD_TEXT_MAX;
	json_set_bytes(speech, "text", text);
	return speech;
}

static json_t *action(const char *name, const char *parameter, const char *result)
{
	json_t *speech = json_pack("{s:s, s:s}", "say", "action", "action", name);

	json_set_bytes(speech, "parameter", view_of(parameter));
	if (result)
		json_set_bytes(speech, "result", view_of(result));
	else
		(void)json_object_set_new(speech, "ephemeral", json_true());
	return speech;
}

/* Was nothing said for long enough that one more line of progress is no noise? */
static bool may_chat(const struct told *told)
{
	return world_now_ms(told->runs->options.world) - told->thread->said_ms >= THREAD_CHATTER_MS;
}

static int on_agent(const struct told *told, struct err *err)
{
	const char *kind = json_text(told->data, "kind", "");
	const json_t *plan = json_member(told->data, "items");

	if (strcmp(kind, "plan") == 0 && json_is_array(plan))
		return say(told, "plan", true, json_pack("{s:s, s:O}", "say", "plan", "plan", plan), err);
	if (strcmp(kind, "action") == 0 && may_chat(told))
		return say(told, "action", true,
			   action(json_text(told->data, "tool", "Works"), json_text(told->data, "title", ""), NULL), err);
	return 0;
}

static int on_gate(const struct told *told, struct err *err)
{
	const char *status = json_text(told->data, "status", "");
	const char *detail = json_text(told->data, "detail", "");
	const char *title = json_text(told->data, "title", json_text(told->data, "name", ""));
	AUTO_BUF result = buf_new(THREAD_TEXT_MAX);

	if (strcmp(status, "running") == 0)
		return say(told, "gate", true, action("Verifies", title, NULL), err);
	buf_add_format(&result, "%s%s", status, detail[0] ? ": " : "");
	markdown_code_add(&result, detail, false);
	return say(told, "gate", false, action("Verified", title, result.at), err);
}

static int on_verdict(const struct told *told, struct err *err)
{
	const char *reason = json_text(told->data, "reason", "");
	AUTO_BUF text = buf_new(THREAD_TEXT_MAX);

	buf_add_format(&text, "Verdict: **%s**%s", json_text(told->data, "verdict", ""), reason[0] ? ". " : "");
	markdown_code_add(&text, reason, false);
	return say(told, "verdict", false, words("thought", buf_view(&text)), err);
}

static int on_question(const struct told *told, struct err *err)
{
	json_t *speech = words("ask", view_of(json_text(told->data, "text", "")));
	const json_t *options = json_member(told->data, "options");

	if (json_is_array(options))
		(void)json_object_set(speech, "options", (json_t *)(uintptr_t)options);
	return say(told, "question", false, speech, err);
}

/* Whoever may, answers in the thread; the path is the agent's, and shown as code. */
static int on_hold(const struct told *told, struct err *err)
{
	const char *hold = json_text(told->data, "id", "");
	/* One that was asked before may still wait: then only words that name one are an answer. */
	AUTO_JSON asked = json_pack("{s:s, s:b}", "hold", hold, "several", told->thread->asked != NULL);
	AUTO_FREE char *text = text_format(
		"The agent wants to send a request that waits for a person:\n\n```\n%.20s %.200s%.500s\n```\n\nMay it? (`%.60s`)",
		json_text(told->data, "method", ""), json_text(told->data, "host", ""), json_text(told->data, "path", ""), hold);
	AUTO_BUF row = buf_new(4096);
	json_t *speech = words("ask", view_of(text));

	(void)json_object_set_new(speech, "options", json_pack("[s, s]", THREAD_APPROVE, THREAD_DENY));
	(void)json_object_set_new(speech, "hold", json_string(hold));
	if (say(told, "hold", false, speech, err))
		return -1;
	json_format(&row, asked);
	return store_run(told->tx, "UPDATE thread SET asked = ? WHERE id = ?", VALUES(V(buf_view(&row)), V(told->thread->id)), err);
}

static int on_link(const struct told *told, const char *label, struct err *err)
{
	const char *url = json_text(told->data, "url", NULL);
	json_t *speech;

	if (!url)
		return 0;
	speech = json_pack("{s:s, s:[{s:s, s:s}]}", "say", "links", "links", "label", label, "url", url);
	preview_shown_add(speech, json_text(told->data, "environment", NULL), url);
	return say(told, "link", false, speech, err);
}

static int on_pull(const struct told *told, struct err *err)
{
	AUTO_FREE char *label = text_format("Pull request %lld", (long long)json_number(told->data, "number", 0));

	return on_link(told, label, err);
}

/* The end of a turn: the checklist as it is, then the words that close the session until somebody writes. */
static int finish(const struct told *told, const struct run *run, const char *kind, const char *text, const json_t *pictures,
		  struct err *err)
{
	json_t *speech;
	json_t *plan = run->plan ? json_parse(view_of(run->plan), NULL) : NULL;

	if (json_array_size(plan)) {
		if (say(told, "plan", false, json_pack("{s:s, s:o}", "say", "plan", "plan", plan), err))
			return -1;
	} else {
		json_decref(plan);
	}
	speech = words(kind, view_of(text));
	preview_shown_add(speech, run->environment, run->preview);
	if (json_array_size(pictures))
		(void)json_object_set(speech, "pictures", (json_t *)(uintptr_t)pictures);
	return say(told, kind, false, speech, err);
}

static int on_review(const struct told *told, const struct run *run, struct err *err)
{
	AUTO_BUF text = buf_new(THREAD_TEXT_MAX);
	AUTO_JSON pictures = NULL;

	if (!run->pull)
		return 0;
	buf_add_format(&text, "Pull request %lld (%s): %s/pulls/%lld\n", (long long)run->pull,
		       run->verdict ? run->verdict : "unverified", told->runs->pages_base, (long long)run->pull);
	if (run->preview)
		buf_add_format(&text, "Preview: %s\n", run->preview);
	if (run->summary)
		buf_add_format(&text, "\n%.8000s\n", run->summary);
	buf_add_text(&text, "\nWrite here and I change it.");
	if (say(told, "state", false, json_pack("{s:s, s:s}", "say", "state", "state", "review"), err))
		return -1;
	pictures = pictures_untold(told->tx, run->id, err);
	return pictures ? finish(told, run, "response", text.at, pictures, err) : -1;
}

static int on_state(const struct told *told, struct err *err)
{
	static const char *const progress[][2] = {{"fork", "I make an environment: every service and database, forked."},
						  {"turn", "I work on it."},
						  {"verify", "I verify it from a fresh copy."}};
	const char *state = json_text(told->data, "state", "");
	AUTO_RUN run = {0};

	for (size_t i = 0; i < ARRAY_LEN(progress); i++)
		if (strcmp(state, progress[i][0]) == 0) {
			json_t *speech = words("thought", view_of(progress[i][1]));

			(void)json_object_set_new(speech, "ephemeral", json_true());
			return say(told, "state", true, speech, err);
		}
	if (run_read(told->tx, told->thread->run, &run, err))
		return -1;
	if (strcmp(state, "review") == 0)
		return on_review(told, &run, err);
	if (strcmp(state, "done") == 0)
		return finish(told, &run, "response",
			      run.outcome && strcmp(run.outcome, "merged") == 0 ? "Merged. Its environment is gone."
										: "Closed without a merge.",
			      NULL, err);
	if (strcmp(state, "stopped") == 0)
		return finish(told, &run, "response", "Stopped. Write here and I go on.", NULL, err);
	return 0;
}

static int on_error(const struct told *told, struct err *err)
{
	AUTO_BUF text = buf_new(THREAD_TEXT_MAX);
	AUTO_RUN run = {0};

	if (run_read(told->tx, told->thread->run, &run, err))
		return -1;
	if (strcmp(run.state, "failed") != 0)
		return 0;
	buf_add_text(&text, "I cannot go on: ");
	markdown_code_add(&text, json_text(told->data, "message", "no reason is known"), false);
	buf_add_text(&text, "\n\nWrite here and I try again.");
	if (say(told, "state", false, json_pack("{s:s, s:s}", "say", "state", "state", "failed"), err))
		return -1;
	return finish(told, &run, "error", text.at, NULL, err);
}

static int on_preview(const struct told *told, struct err *err)
{
	return on_link(told, "Preview", err);
}

static const struct {
	const char *type;
	int (*act)(const struct told *told, struct err *err);
} rows[] = {
	{"agent", on_agent}, {"gate", on_gate},   {"verdict", on_verdict}, {"question", on_question}, {"hold", on_hold},
	{"pull", on_pull},   {"state", on_state}, {"error", on_error},     {"preview", on_preview},
};

int thread_event_in(struct runs *runs, struct store_tx *tx, const char *run, int64_t seq, const char *type, const json_t *data,
		    struct err *err)
{
	AUTO_THREAD thread = {0};
	AUTO_FREE char *id = NULL;
	size_t row = 0;

	while (row < ARRAY_LEN(rows) && strcmp(rows[row].type, type) != 0)
		row++;
	if (row == ARRAY_LEN(rows))
		return 0;
	{
		AUTO_ROWS found = {0};

		if (store_query(tx, &found, "SELECT id FROM thread WHERE run = ? AND state = 'running'", VALUES(V(run)), err))
			return -1;
		if (store_rows_next(&found))
			id = text_copy(store_rows_text(&found, 0));
		if (store_rows_finish(&found, err))
			return -1;
	}
	if (!id)
		return 0;
	if (thread_read(tx, id, &thread, err))
		return -1;
	const struct told told = {runs, tx, &thread, seq, data};

	return rows[row].act(&told, err);
}

/* ---- silence ---- */

static int alive_one(struct runs *runs, const char *id, struct err *err)
{
	AUTO_THREAD thread = {0};
	AUTO_FREE char *last = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *operation = NULL;
	struct run_id run;
	json_t *speech;
	AUTO_TX tx = {0};

	if (thread_load(runs, id, &thread, err) || run_id_parse(view_of(thread.run), &run, err))
		return -1;
	last = runs_last_action(runs, run);
	text = text_format("I am still at it.%s%.300s", last ? " Last: " : "", last ? last : "");
	operation = text_format("%s/alive/%lld", thread.run, (long long)thread.said_ms);
	speech = words("thought", view_of(text));
	(void)json_object_set_new(speech, "ephemeral", json_true());
	if (store_begin(runs->store, &tx, err)) {
		json_decref(speech);
		return -1;
	}
	return thread_say_in(runs, &tx, &thread, operation, true, speech, err) ? -1 : store_commit(&tx, err);
}

int threads_keep_alive(struct runs *runs, struct err *err)
{
	AUTO_JSON ids = json_array();
	json_t *id;
	size_t i;

	{
		AUTO_TX tx = {0};
		AUTO_ROWS rows_found = {0};

		if (store_begin_snapshot(runs->store, &tx, err) ||
		    store_query(
			    &tx, &rows_found,
			    "SELECT thread.id FROM thread JOIN run ON run.id = thread.run WHERE thread.state = 'running' AND said_ms < ? AND"
			    " run.state NOT IN ('review', 'done', 'failed', 'stopped')",
			    VALUES(V(world_now_ms(runs->options.world) - THREAD_SILENCE_MS)), err))
			return -1;
		while (store_rows_next(&rows_found))
			(void)json_array_append_new(ids, store_rows_json(&rows_found, 0));
		if (store_rows_finish(&rows_found, err))
			return -1;
	}
	json_array_foreach(ids, i, id)
		if (alive_one(runs, json_string_value(id), err))
			return -1;
	return 0;
}
