/*
 * What an agent asks the person who gave it the task: kept, shown with the run, answered by a message.
 *
 * Theory of operation. The asker polls, and each poll is noted: so an answer is known to be heard. One that comes when nobody polls any more
 * (the agent's own patience is shorter than a person's) is also told to the agent as a message. Who asks the same again gets the same
 * question, so that asking may be repeated.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

#define WAIT_DEFAULT_MS ((int64_t)600000)
#define WAIT_LONGEST_MS ((int64_t)86400000)
#define HEARD_MS ((int64_t)15000) /* who polled this recently is still there */
#define QUESTIONS_MAX 100         /* of one run */
#define COLUMNS "id, text, asked_ms, deadline_ms, heard_ms, answer, answered_by, answered_ms"

enum column { ID, TEXT, ASKED, DEADLINE, HEARD, ANSWER, BY, ANSWERED };

static json_t *question_json(struct store_rows *rows, int64_t now_ms)
{
	bool answered = !store_rows_null(rows, ANSWER);
	const char *state = answered ? "answered" : store_rows_number(rows, DEADLINE) > now_ms ? "open" : "expired";
	json_t *question = json_pack("{s:I, s:s, s:I, s:I}", "id", (json_int_t)store_rows_number(rows, ID), "state", state,
				     "asked_ms", (json_int_t)store_rows_number(rows, ASKED), "deadline_ms",
				     (json_int_t)store_rows_number(rows, DEADLINE));

	json_set_bytes(question, "question", view_of(store_rows_text(rows, TEXT)));
	if (answered) {
		json_set_bytes(question, "answer", view_of(store_rows_text(rows, ANSWER)));
		json_set_bytes(question, "by", view_of(store_rows_text(rows, BY)));
		(void)json_object_set_new(question, "answered_ms", store_rows_json(rows, ANSWERED));
	}
	return question;
}

/* One row; *question is NULL when there is none. */
static int question_read(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, int64_t now_ms,
			 json_t **question, bool *heard, struct err *err)
{
	AUTO_ROWS rows = {0};

	*question = NULL;
	if (store_query(tx, &rows, sql, values, count, err))
		return -1;
	if (store_rows_next(&rows)) {
		*question = question_json(&rows, now_ms);
		*heard = now_ms - store_rows_number(&rows, HEARD) < HEARD_MS;
	}
	return store_rows_finish(&rows, err);
}

int question_open_find(struct store_tx *tx, const char *run, int64_t now_ms, json_t **question, bool *heard, struct err *err)
{
	return question_read(tx,
			     "SELECT " COLUMNS
			     " FROM question WHERE run = ? AND answer IS NULL AND deadline_ms > ? ORDER BY id DESC LIMIT 1",
			     VALUES(V(run), V(now_ms)), now_ms, question, heard, err);
}

bool question_waits(struct runs *runs, const char *run)
{
	AUTO_JSON question = NULL;
	AUTO_TX tx = {0};
	bool heard = false;
	struct err err = {0};

	return !store_begin(runs->store, &tx, &err) &&
	       !question_open_find(&tx, run, world_now_ms(runs->options.world), &question, &heard, &err) && question && heard;
}

int question_answer_in(struct runs *runs, struct store_tx *tx, const char *run, const char *author, const char *text,
		       char **unheard, bool *answered, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_JSON question = NULL;
	AUTO_JSON answer = json_object();
	json_t *shown;
	bool heard = false;

	*answered = false;
	*unheard = NULL;
	if (question_open_find(tx, run, now_ms, &question, &heard, err))
		return -1;
	if (!question)
		return 0;
	shown = json_pack("{s:I, s:s}", "id", (json_int_t)json_number(question, "id", 0), "by", author);
	event_text_set(shown, "text", view_of(text));
	if (store_run(tx, "UPDATE question SET answer = ?, answered_by = ?, answered_ms = ? WHERE id = ?",
		      VALUES(V(text), V(author), V(now_ms), V(json_number(question, "id", 0))), err)) {
		json_decref(shown);
		return -1;
	}
	*answered = true;
	if (!heard)
		*unheard = text_copy(json_text(question, "question", ""));
	/* One that the run itself waits for: it goes on. */
	if (event_add_in(runs, tx, run, "answer", shown, err) || (heard && flow_signal(runs->flow, tx, run, "answer", answer, err)))
		return -1;
	return 0;
}

/* ---- the agent's side ---- */

int run_of_environment(struct store_tx *tx, struct env_id env, char **run, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT id FROM run WHERE environment = ? ORDER BY seq DESC LIMIT 1", VALUES(V(env.text)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "no run works in environment %s", env.text);
	*run = text_copy(store_rows_text(&rows, 0));
	return 0;
}

int question_put(struct runs *runs, struct store_tx *tx, const char *run, const char *text, int64_t wait_ms, bool waits,
		 int64_t *id, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	int64_t count = 0;
	json_t *shown;

	if (store_number_get(tx, &count, 0, "SELECT count(*) FROM question WHERE run = ?", VALUES(V(run)), err))
		return -1;
	if (count >= QUESTIONS_MAX && !waits)
		return err_set(err, ERR_LIMIT, "this run has asked %d questions: decide yourself", QUESTIONS_MAX);
	if (store_run(tx, "INSERT INTO question (run, text, asked_ms, deadline_ms, heard_ms) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(run), V(text), V(now_ms), V(now_ms + wait_ms), V(waits ? now_ms + wait_ms : now_ms)), err))
		return -1;
	*id = store_last_id(tx);
	shown = json_pack("{s:I, s:I}", "id", (json_int_t)*id, "deadline_ms", (json_int_t)(now_ms + wait_ms));
	event_text_set(shown, "text", view_of(text));
	if (event_add_in(runs, tx, run, "question", shown, err))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(run), "turn", err);
}

int question_get(struct store_tx *tx, const char *run, int64_t id, int64_t now_ms, json_t **question, struct err *err)
{
	bool heard;

	return question_read(tx, "SELECT " COLUMNS " FROM question WHERE run = ? AND id = ?", VALUES(V(run), V(id)), now_ms,
			     question, &heard, err);
}

json_t *runs_tool_ask(struct runs *runs, struct env_id env, const char *text, int64_t wait_ms, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	static const char last[] = "SELECT " COLUMNS " FROM question WHERE run = ? AND text = ? ORDER BY id DESC LIMIT 1";
	AUTO_FREE char *run = NULL;
	AUTO_JSON question = NULL;
	bool heard = false;
	int64_t id;
	AUTO_TX tx = {0};

	if (!view_trim(view_of(text)).length || strlen(text) > RUN_EVENT_TEXT_MAX) {
		(void)err_set(err, ERR_INVALID, "a question is not empty, and at most %zu bytes", RUN_EVENT_TEXT_MAX);
		return NULL;
	}
	wait_ms = wait_ms <= 0 ? WAIT_DEFAULT_MS : wait_ms > WAIT_LONGEST_MS ? WAIT_LONGEST_MS : wait_ms;
	if (store_begin(runs->store, &tx, err) || run_of_environment(&tx, env, &run, err) ||
	    question_read(&tx, last, VALUES(V(run), V(text)), now_ms, &question, &heard, err))
		return NULL;
	if (question && strcmp(json_text(question, "state", ""), "expired") != 0)
		return TAKE(question);
	json_decref(TAKE(question));
	if (question_put(runs, &tx, run, text, wait_ms, false, &id, err) ||
	    question_read(&tx, last, VALUES(V(run), V(text)), now_ms, &question, &heard, err) || store_commit(&tx, err))
		return NULL;
	return TAKE(question);
}

json_t *runs_tool_question(struct runs *runs, struct env_id env, int64_t id, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_FREE char *run = NULL;
	AUTO_JSON question = NULL;
	bool heard = false;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_of_environment(&tx, env, &run, err) ||
	    question_read(&tx, "SELECT " COLUMNS " FROM question WHERE run = ? AND id = ?", VALUES(V(run), V(id)), now_ms,
			  &question, &heard, err))
		return NULL;
	if (!question) {
		(void)err_set(err, ERR_NOT_FOUND, "no question %lld", (long long)id);
		return NULL;
	}
	if (store_run(&tx, "UPDATE question SET heard_ms = ? WHERE id = ?", VALUES(V(now_ms), V(id)), err) ||
	    store_commit(&tx, err))
		return NULL;
	return TAKE(question);
}
