/* What a run is told, in the transaction of whoever tells it: a person's call, or a delivery of an outside service. */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

void runs_told(struct runs *runs)
{
	(void)__atomic_add_fetch(&runs->signals, 1, __ATOMIC_SEQ_CST);
	flows_wake(runs->flow);
}

int run_start_in(struct runs *runs, struct store_tx *tx, struct run_id id, const json_t *issue, const json_t *request,
		 struct err *err)
{
	const char *repository = json_text(request, "repository", "");
	const json_t *agent = json_member(request, "agent");
	struct flow_line line = {.tenant = json_text(request, "organisation", repository),
				 .repository = repository,
				 .priority = (int)json_number(request, "priority", RUNS_PRIORITY)};
	AUTO_BUF config = buf_new((size_t)64 << 10);
	AUTO_FREE char *joined = parts_joined(request);
	int64_t now_ms = world_now_ms(runs->options.world);

	if (json_is_object(agent))
		json_format(&config, agent);
	else
		buf_add_text(&config, "{}");
	if (buf_finish(&config, err) || flow_start(runs->flow, tx, id.text, line, err) ||
	    store_run(
		    tx,
		    "INSERT INTO run (id, repository, issue, title, state, state_since_ms, base_wanted, agent, agent_config, created_ms,"
		    " joined) VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
		    VALUES(V(id.text), V(repository), V(json_number(issue, "number", 0)), V(json_text(issue, "title", "")),
			   V(now_ms), V(json_text(request, "base", "main")), V(json_text(agent, "use", "")), V(buf_view(&config)),
			   V(now_ms), V((const char *)joined)),
		    err) ||
	    parts_insert(tx, id.text, request, err) ||
	    event_add_in(runs, tx, id.text, "state", json_pack("{s:s}", "state", "queued"), err))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(id.text), "queued", err);
}

int run_signal_in(struct runs *runs, struct store_tx *tx, const char *id, const char *kind, const json_t *data, const char *type,
		  json_t *shown, struct err *err)
{
	AUTO_JSON owned = shown;
	AUTO_RUN run = {0};

	if (run_read(tx, id, &run, err))
		return -1;
	if (run_is_over(&run))
		return err_set(err, ERR_DENIED, "run %s is %s%s", id, run.state,
			       strcmp(run.state, "done") == 0 ? "" : ": retry it first");
	if (flow_signal(runs->flow, tx, id, kind, data, err) ||
	    (owned && event_add_in(runs, tx, id, type, json_incref(owned), err)))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(id), run.state, err);
}

int run_message_in(struct runs *runs, struct store_tx *tx, const char *id, const char *author, const char *text, struct err *err)
{
	AUTO_JSON data = json_object();
	AUTO_FREE char *unheard = NULL;
	AUTO_FREE char *answer = NULL;
	bool answered;

	if (!view_trim(view_of(text)).length)
		return err_set(err, ERR_INVALID, "the message is empty");
	if (question_answer_in(runs, tx, id, author, text, &unheard, &answered, err))
		return -1;
	if (answered && !unheard) /* its agent waits for just that, and nobody else need be told */
		return change_add_in(runs, tx, "run", "id", V(id), "turn", err);
	if (unheard)
		text = answer = text_format("You asked: %s\nThe answer: %s", unheard, text);
	json_set_bytes(data, "author", view_of(author));
	event_text_set(data, "text", view_of(text));
	return run_signal_in(runs, tx, id, "message", data, "message", json_incref(data), err);
}

int run_pull_in(struct runs *runs, struct store_tx *tx, const char *run, int64_t number, const char *kind, const json_t *data,
		const char *type, json_t *shown, struct err *err)
{
	AUTO_JSON owned = shown;

	if (run && (flow_signal(runs->flow, tx, run, kind, data, err) ||
		    (owned && event_add_in(runs, tx, run, type, json_incref(owned), err))))
		return -1;
	return change_add_in(runs, tx, "pull", "number", V(number), kind, err);
}

void runs_hold_asked(struct runs *runs, const json_t *hold)
{
	const char *run = json_text(hold, "run", "");
	json_t *data;

	if (!run[0])
		return;
	data = json_pack("{s:s}", "id", json_text(hold, "hold", ""));
	event_text_set(data, "method", view_of(json_text(hold, "method", "")));
	event_text_set(data, "host", view_of(json_text(hold, "host", "")));
	event_text_set(data, "path", view_of(json_text(hold, "path", "")));
	event_add(runs, run, "hold", data);
}

int runs_message(struct runs *runs, struct run_id id, const char *author, const char *text, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_message_in(runs, &tx, id.text, author, text, err) || store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}
