/*
 * A source for whoever signs as standardwebhooks.com has it: a program of one's own that starts runs, writes to them and stops them.
 *
 *	{"type": "run.start", "data": {"repository", "title", "body"?, "base"?, "agent"?}}
 *	{"type": "run.message", "data": {"run", "text", "author"?}}
 *	{"type": "run.stop", "data": {"run"}}
 */
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "trackers/builtin.h"

static int verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	const char *secret = connection_secret(connection, "webhook_secret");

	return secret ? webhook_verify(WEBHOOK_STANDARD, secret, request, now_ms, err)
		      : err_set(err, ERR_DENIED, "the connection has no webhook_secret");
}

static int keys_find(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *keys,
		     struct err *err)
{
	AUTO_JSON body = json_parse(request->body, err);
	const char *run = json_text(json_member(body, "data"), "run", NULL);

	(void)connection;
	if (!body)
		return err_prefix(err, "the body");
	keys->delivery = text_copy(request->header(request->self, "webhook-id"));
	keys->kind = text_copy(json_text(body, "type", ""));
	keys->stream = text_copy(run);
	return 0;
}

/* ---- acting ---- */

static int start(struct runs *runs, struct store_tx *tx, const json_t *data, struct err *err)
{
	struct run_id id = run_id_new(runs->options.world);
	const char *repository;
	const char *title;
	AUTO_FREE char *path = NULL;
	AUTO_JSON issue = NULL;

	if (json_text_get(data, "repository", &repository, err) || json_text_get(data, "title", &title, err))
		return -1;
	path = runs_repository_path(runs, repository, err);
	if (!path)
		return -1;
	if (!view_trim(view_of(title)).length || strlen(title) > TRACKER_TITLE_BYTES_MAX ||
	    strlen(json_text(data, "body", "")) > TRACKER_TEXT_BYTES_MAX)
		return err_set(err, ERR_INVALID, "an issue has a title of at most %zu bytes and a body of at most %zu",
			       TRACKER_TITLE_BYTES_MAX, TRACKER_TEXT_BYTES_MAX);
	issue = tracker_builtin_make_in(tx, runs->options.world, repository, title, json_text(data, "body", ""), err);
	if (!issue || run_start_in(runs, tx, id, issue, data, err))
		return -1;
	return change_add_in(runs, tx, "issue", "number", V(json_number(issue, "number", 0)), "open", err);
}

static int message(struct runs *runs, struct store_tx *tx, const json_t *data, struct err *err)
{
	const char *run;
	const char *text;

	if (json_text_get(data, "run", &run, err) || json_text_get(data, "text", &text, err))
		return -1;
	return run_message_in(runs, tx, run, json_text(data, "author", "webhook"), text, err);
}

static int stop(struct runs *runs, struct store_tx *tx, const json_t *data, struct err *err)
{
	const char *run;

	return json_text_get(data, "run", &run, err) ? -1 : flow_stop_in(runs->flow, tx, run, err);
}

static int take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct inbox_message *delivery,
		struct err *err)
{
	static const struct {
		const char *kind;
		int (*act)(struct runs *runs, struct store_tx *tx, const json_t *data, struct err *err);
	} acts[] = {{"run.start", start}, {"run.message", message}, {"run.stop", stop}};
	AUTO_JSON body = json_parse(delivery->data, err);

	(void)connection;
	for (size_t i = 0; body && i < ARRAY_LEN(acts); i++)
		if (strcmp(delivery->kind, acts[i].kind) == 0)
			return acts[i].act(runs, tx, json_member(body, "data"), err);
	return body ? err_set(err, ERR_INVALID, "`%.60s`: expected run.start, run.message or run.stop", delivery->kind) : -1;
}

const struct inbox_source inbox_standard = {"standard", verify, keys_find, take};
