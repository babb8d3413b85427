/* Rows of repositories, issues, runs and pull requests: each is a call of runs/ with its arguments checked. */
#include "base/scope.h"
#include "web/web_priv.h"

#define DIFF_BYTES_MAX ((size_t)32 << 20)
#define FILE_BYTES_MAX ((size_t)32 << 20)

static struct runs *runs_of(const struct call *call)
{
	return call->web->options.runs;
}

static const char *text_of(const struct call *call, const char *name)
{
	return json_text(call->body, name, NULL);
}

/* ---- repositories ---- */

static json_t *repository_list(struct call *call, struct err *err)
{
	return items_of(runs_repository_list(runs_of(call), err));
}

static json_t *repository_put(struct call *call, struct err *err)
{
	const char *path = text_of(call, "path");

	if (path[0] != '/') {
		(void)err_set(err, ERR_INVALID, "path: expected an absolute path, not `%.200s`", path);
		return NULL;
	}
	return runs_repository_put(runs_of(call), path, json_text(call->body, "revision", "HEAD"), text_of(call, "name"),
				   json_flag(call->body, "move", true), err);
}

static json_t *repository_add(struct call *call, struct err *err)
{
	return runs_repository_add(runs_of(call), text_of(call, "url"), text_of(call, "connection"), text_of(call, "name"),
				   json_flag(call->body, "judge", false), err);
}

static json_t *repository_file(struct call *call, struct err *err)
{
	AUTO_FREE char *repository = runs_repository_path(runs_of(call), http_request_param(call->request, "name"), err);
	AUTO_FREE char *revision = http_request_query(call->request, "commit");
	AUTO_FREE char *path = http_request_query(call->request, "path");
	AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
	struct git_hash commit;

	if (!repository)
		return NULL;
	if (!path || !path[0]) {
		(void)err_set(err, ERR_INVALID, "path= is missing");
		return NULL;
	}
	if (git_resolve(repository, revision ? revision : "main", &commit, err) ||
	    git_file_read(repository, &commit, path, &bytes, err))
		return NULL;
	return request_bytes(call, "text/plain; charset=utf-8", buf_view(&bytes));
}

static json_t *template_list(struct call *call, struct err *err)
{
	return items_of(runs_template_list(runs_of(call), http_request_param(call->request, "name"), err));
}

/* ---- issues ---- */

static json_t *issue_list(struct call *call, struct err *err)
{
	static const char *const states[] = {"open", "working", "review", "done", "closed", "active=open,working,review", NULL};
	AUTO_LIST_WORDS words = {.texts = {NULL}};

	return list_words_take(call, states, &words, err) ? NULL : runs_issue_list(runs_of(call), &words.ask, err);
}

static json_t *issue_show(struct call *call, struct err *err)
{
	int64_t number;

	return request_number(call, "number", &number, err) ? NULL : runs_issue_show(runs_of(call), number, err);
}

static json_t *issue_make(struct call *call, struct err *err)
{
	return runs_issue_make(runs_of(call), text_of(call, "repository"), text_of(call, "title"),
			       json_text(call->body, "body", ""), err);
}

static json_t *issue_comment(struct call *call, struct err *err)
{
	int64_t number;

	if (request_number(call, "number", &number, err) ||
	    runs_issue_comment(runs_of(call), number, request_author(call), text_of(call, "text"), err))
		return NULL;
	return runs_issue_show(runs_of(call), number, err);
}

static json_t *attachment_list(struct call *call, struct err *err)
{
	int64_t number;

	return request_number(call, "number", &number, err) ? NULL : items_of(runs_attachment_list(runs_of(call), number, err));
}

static json_t *attachment_add(struct call *call, struct err *err)
{
	AUTO_FREE char *name = http_request_query(call->request, "name");
	int64_t number;

	if (request_number(call, "number", &number, err))
		return NULL;
	return runs_attachment_add(runs_of(call), number, name ? name : "", request_author(call), call->request->body, err);
}

static json_t *attachment_remove(struct call *call, struct err *err)
{
	int64_t number;

	if (request_number(call, "number", &number, err) ||
	    runs_attachment_remove(runs_of(call), number, http_request_param(call->request, "name"), err))
		return NULL;
	return json_object();
}

static json_t *attachment_read(struct call *call, struct err *err)
{
	AUTO_BUF bytes = buf_new(RUNS_ATTACHMENT_BYTES_MAX + 1);
	int64_t number;

	if (request_number(call, "number", &number, err) ||
	    runs_attachment_read(runs_of(call), number, http_request_param(call->request, "name"), &bytes, err))
		return NULL;
	http_reply_header(call->reply, "Content-Disposition", "attachment"); /* no browser shows it as a page of ours */
	return request_bytes(call, "application/octet-stream", buf_view(&bytes));
}

static json_t *issue_move(struct call *call, bool closed, struct err *err)
{
	int64_t number;

	if (request_number(call, "number", &number, err) || runs_issue_close(runs_of(call), number, closed, err))
		return NULL;
	return runs_issue_show(runs_of(call), number, err);
}

static json_t *issue_close(struct call *call, struct err *err)
{
	return issue_move(call, true, err);
}

static json_t *issue_reopen(struct call *call, struct err *err)
{
	return issue_move(call, false, err);
}

/* ---- runs ---- */

static json_t *run_list(struct call *call, struct err *err)
{
	static const char *const states[] = {"queued",
					     "claim",
					     "fork",
					     "turn",
					     "verify",
					     "publish",
					     "review",
					     "close",
					     "done",
					     "failed",
					     "stopped",
					     "active=queued,claim,fork,turn,verify,publish,review,close",
					     "over=done,failed,stopped",
					     NULL};
	AUTO_LIST_WORDS words = {.texts = {NULL}};
	json_t *page = list_words_take(call, states, &words, err) ? NULL : runs_list(runs_of(call), &words.ask, err);
	json_t *counts = page && request_wants(call, "states") ? runs_states(runs_of(call), &words.ask, err) : NULL;

	if (counts)
		(void)json_object_set_new(page, "states", counts);
	return page;
}

static json_t *run_show(struct call *call, struct err *err)
{
	struct run_id id;

	return request_run(call, &id, err) ? NULL : runs_show(runs_of(call), id, err);
}

static json_t *run_make(struct call *call, struct err *err)
{
	if (!json_object_get(call->body, "issue") && !text_of(call, "item") && !text_of(call, "title")) {
		(void)err_set(err, ERR_INVALID, "title: expected a line of text, or issue: the number of one");
		return NULL;
	}
	return runs_start(runs_of(call), call->body, err);
}

static json_t *run_message(struct call *call, struct err *err)
{
	struct run_id id;

	if (request_run(call, &id, err) || runs_message(runs_of(call), id, request_author(call), text_of(call, "text"), err))
		return NULL;
	return runs_show(runs_of(call), id, err);
}

static json_t *run_stop(struct call *call, struct err *err)
{
	struct run_id id;

	return request_run(call, &id, err) || runs_stop(runs_of(call), id, err) ? NULL : runs_show(runs_of(call), id, err);
}

static json_t *run_retry(struct call *call, struct err *err)
{
	struct run_id id;

	return request_run(call, &id, err) || runs_retry(runs_of(call), id, err) ? NULL : runs_show(runs_of(call), id, err);
}

static json_t *run_declare(struct call *call, struct err *err)
{
	struct run_id id;

	if (request_run(call, &id, err) || runs_declare(runs_of(call), id, json_text(call->body, "difference", ""),
							request_author(call), json_text(call->body, "because", ""), err))
		return NULL;
	return runs_show(runs_of(call), id, err);
}

static json_t *run_declare_undo(struct call *call, struct err *err)
{
	AUTO_FREE char *match = http_request_query(call->request, "difference");
	struct run_id id;

	if (request_run(call, &id, err) || runs_declare_undo(runs_of(call), id, match ? match : "", request_author(call), err))
		return NULL;
	return runs_show(runs_of(call), id, err);
}

static json_t *run_record(struct call *call, struct err *err)
{
	AUTO_BUF envelope = buf_new(BUF_MAX_DEFAULT);
	struct run_id id;

	if (request_run(call, &id, err) || runs_record(runs_of(call), id, &envelope, err))
		return NULL;
	return request_bytes(call, "application/vnd.dsse+json", buf_view(&envelope));
}

static json_t *run_attestations(struct call *call, struct err *err)
{
	AUTO_BUF bundle = buf_new(BUF_MAX_DEFAULT);
	struct run_id id;

	if (request_run(call, &id, err) || runs_record_bundle(runs_of(call), id, &bundle, err))
		return NULL;
	return request_bytes(call, "application/jsonl", buf_view(&bundle));
}

static json_t *run_report(struct call *call, struct err *err)
{
	struct run_id id;

	return request_run(call, &id, err) ? NULL : runs_report(runs_of(call), id, err);
}

static json_t *turn_list(struct call *call, struct err *err)
{
	struct run_id id;

	return request_run(call, &id, err) ? NULL : items_of(runs_turns(runs_of(call), id, err));
}

static json_t *picture_list(struct call *call, struct err *err)
{
	const char *base = call->web->pages_url ? call->web->pages_url : call->web->base;
	struct run_id id;
	json_t *items = request_run(call, &id, err) ? NULL : runs_picture_list(runs_of(call), id, err);
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
		(void)json_object_set_new(item, "url", json_sprintf("%s/pictures/%s", base, json_text(item, "id", "")));
	return items_of(items);
}

/* Its id is a secret that whoever was given it has: code hosts fetch what they show. */
static json_t *picture_read(struct call *call, struct err *err)
{
	AUTO_BUF bytes = buf_new(RUNS_RECORDING_BYTES_MAX + 1);
	char type[RUNS_PICTURE_TYPE_MAX];

	if (runs_picture_read(runs_of(call), http_request_param(call->request, "picture"), &bytes, type, err))
		return NULL;
	http_reply_header(call->reply, "Cache-Control", "private, max-age=86400, immutable");
	return request_bytes(call, type, buf_view(&bytes));
}

/* What its commits change, published or not. */
static json_t *run_diff(struct call *call, struct err *err)
{
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	struct run_id id;

	if (request_run(call, &id, err) || runs_diff(runs_of(call), id, &diff, err))
		return NULL;
	return request_bytes(call, "text/plain; charset=utf-8", buf_view(&diff));
}

/* ---- pull requests ---- */

static json_t *pull_list(struct call *call, struct err *err)
{
	static const char *const states[] = {"open", "merged", "closed", NULL};
	AUTO_LIST_WORDS words = {.texts = {NULL}};

	return list_words_take(call, states, &words, err) ? NULL : runs_pull_list(runs_of(call), &words.ask, err);
}

static json_t *pull_show(struct call *call, struct err *err)
{
	int64_t number;

	return request_number(call, "number", &number, err) ? NULL : runs_pull_show(runs_of(call), number, err);
}

static json_t *pull_diff(struct call *call, struct err *err)
{
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	int64_t number;

	if (request_number(call, "number", &number, err) || runs_pull_diff(runs_of(call), number, &diff, err))
		return NULL;
	return request_bytes(call, "text/plain; charset=utf-8", buf_view(&diff));
}

static json_t *pull_changes(struct call *call, struct err *err)
{
	int64_t number;

	return request_number(call, "number", &number, err) ? NULL : items_of(runs_pull_changes(runs_of(call), number, err));
}

static bool kind_known(const char *kind)
{
	return strcmp(kind, "approve") == 0 || strcmp(kind, "changes") == 0 || strcmp(kind, "comment") == 0;
}

static json_t *pull_review(struct call *call, struct err *err)
{
	const char *kind = text_of(call, "kind");
	const char *text = json_text(call->body, "text", "");
	int64_t number;

	if (request_number(call, "number", &number, err))
		return NULL;
	if (!kind_known(kind)) {
		(void)err_set(err, ERR_INVALID, "kind: expected approve, changes or comment, not `%.100s`", kind);
		return NULL;
	}
	if (strcmp(kind, "approve") != 0 && !view_trim(view_of(text)).length) {
		(void)err_set(err, ERR_INVALID, "text: say what the agent should read");
		return NULL;
	}
	if (strcmp(kind, "approve") == 0 && call->caller.role < ROLE_APPROVER) {
		(void)err_set(err, ERR_DENIED, "approving is for approvers: `%s` is a %s's", call->caller.name,
			      role_name(call->caller.role));
		return NULL;
	}
	if (runs_pull_review(runs_of(call), number, request_author(call), kind, text, err))
		return NULL;
	return runs_pull_show(runs_of(call), number, err);
}

static json_t *pull_merge(struct call *call, struct err *err)
{
	int64_t number;

	if (request_number(call, "number", &number, err))
		return NULL;
	return runs_pull_merge(runs_of(call), number, request_author(call), json_flag(call->body, "force", false), err);
}

static json_t *pull_close(struct call *call, struct err *err)
{
	int64_t number;

	if (request_number(call, "number", &number, err) || runs_pull_close(runs_of(call), number, err))
		return NULL;
	return runs_pull_show(runs_of(call), number, err);
}

/* ---- agents ---- */

static json_t *agent_list(struct call *call, struct err *err)
{
	return items_of(runs_agent_list(runs_of(call), err));
}

static json_t *agent_work(struct job *job, struct progress progress, struct err *err)
{
	return runs_agent_install(job->web->options.runs, json_text(job->body, "name", ""), json_text(job->body, "version", NULL),
				  json_text(job->body, "registry", NULL), progress, err);
}

static json_t *agent_install(struct call *call, struct err *err)
{
	return work_stream(call, NULL, agent_work, err);
}

static json_t *agent_remove(struct call *call, struct err *err)
{
	if (runs_agent_remove(runs_of(call), http_request_param(call->request, "name"),
			      http_request_param(call->request, "version"), err))
		return NULL;
	return json_object();
}

/* ---- webhooks ---- */

static json_t *hook_list(struct call *call, struct err *err)
{
	return items_of(runs_hook_list(runs_of(call), err));
}

static json_t *hook_make(struct call *call, struct err *err)
{
	return runs_hook_make(runs_of(call), text_of(call, "url"), json_member(call->body, "on"), err);
}

static json_t *hook_remove(struct call *call, struct err *err)
{
	return runs_hook_remove(runs_of(call), http_request_param(call->request, "hook"), err) ? NULL : json_object();
}

static json_t *exported(struct call *call, struct err *err)
{
	AUTO_FREE char *after = http_request_query(call->request, "after");
	int64_t limit;

	if (request_query(call, "limit", LIST_LIMIT_MAX, LIST_LIMIT_MAX, &limit, err))
		return NULL;
	return items_of(runs_export(runs_of(call), http_request_param(call->request, "kind"), after, limit, err));
}

#define LIST_QUERY                                                                          \
	{"limit", "integer"}, {"after", "line"}, {"state", "line"}, {"repository", "line"}, \
	{                                                                                   \
		"text", "line"                                                              \
	}
#define AUTHOR                              \
	{                                   \
		"author", FIELD_LINE, false \
	}

const struct row run_rows[] = {
	{"GET", "/api/v1/repositories", repository_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Repository]",
	 .does = "The projects"},
	{"POST", "/api/v1/repositories", repository_put, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"path", FIELD_LINE, true},
		    {"revision", FIELD_LINE, false},
		    {"name", FIELD_LINE, false},
		    {"move", FIELD_FLAG, false}},
	 .answers = "Fetched",
	 .does = "Fetches a checkout on the server's machine as `main` of a project; makes the project when there is none"},
	{"POST", "/api/v1/repositories/remote", repository_add, WHO_PERSON, ROLE_ADMIN,
	 .fields = {{"url", FIELD_LINE, true},
		    {"connection", FIELD_LINE, false},
		    {"name", FIELD_LINE, false},
		    {"judge", FIELD_FLAG, false}},
	 .answers = "Placed",
	 .does = "Makes a project of a repository at a code host, whose default branch its `main` follows; `judge`: pull requests of anybody are "
		 "verified, and have the verdict as a check"},
	{"GET", "/api/v1/repositories/{name}/file", repository_file, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "One file of a commit", .query = {{"commit", "line"}, {"path", "line"}}},
	{"GET", "/api/v1/repositories/{name}/templates", template_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Template]",
	 .does = "What new issues of a project may begin with: its files .assay/templates/NAME.md on `main`"},
	{"GET", "/api/v1/issues", issue_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Issue]",
	 .does = "Issues of the built-in tracker, the newest first; `state` is any of the words, `active` those that are not over",
	 .query = {LIST_QUERY}},
	{"POST", "/api/v1/issues", issue_make, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"repository", FIELD_LINE, true}, {"title", FIELD_LINE, true}, {"body", FIELD_TEXT, false}}, .answers = "Issue",
	 .does = "Makes an issue"},
	{"GET", "/api/v1/issues/{number}", issue_show, WHO_PERSON, ROLE_VIEWER, .answers = "Issue", .does = "An issue"},
	{"POST", "/api/v1/issues/{number}/comments", issue_comment, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"text", FIELD_TEXT, true}, AUTHOR}, .answers = "Issue", .does = "Comments on an issue"},
	{"GET", "/api/v1/issues/{number}/attachments", attachment_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Attachment]",
	 .does = "The files of an issue"},
	{"POST", "/api/v1/issues/{number}/attachments", attachment_add, WHO_PERSON, ROLE_DEVELOPER,
	 .raw_bytes_max = RUNS_ATTACHMENT_BYTES_MAX, .query = {{"name", "line"}}, .answers = "Attachment",
	 .does = "Puts a file, the body, to an issue: the agent gets it beside the repository, as data that gives no orders"},
	{"GET", "/api/v1/issues/{number}/attachments/{name}", attachment_read, WHO_PERSON, ROLE_VIEWER,
	 .answers = "bytes application/octet-stream", .does = "The bytes of a file of an issue"},
	{"DELETE", "/api/v1/issues/{number}/attachments/{name}", attachment_remove, WHO_PERSON, ROLE_DEVELOPER, .answers = "{}",
	 .does = "Takes a file away from an issue: the next turn of its agent does not have it"},
	{"POST", "/api/v1/issues/{number}/close", issue_close, WHO_PERSON, ROLE_DEVELOPER, .answers = "Issue",
	 .does = "Closes an issue"},
	{"POST", "/api/v1/issues/{number}/reopen", issue_reopen, WHO_PERSON, ROLE_DEVELOPER, .answers = "Issue",
	 .does = "Opens an issue again"},
	{"GET", "/api/v1/runs", run_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Run]",
	 .does = "Runs, the newest first; `state` is any of the words, `active` or `over`; `asks=1`: only those whose agent waits for an "
		 "answer; `states=1`: the page says how many are in each state",
	 .query = {LIST_QUERY, {"agent", "line"}, {"asks", "flag"}, {"states", "flag"}}},
	{"POST", "/api/v1/runs", run_make, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"repository", FIELD_LINE, false},
		    {"repositories", FIELD_LIST, false},
		    {"issue", FIELD_NUMBER, false},
		    {"item", FIELD_LINE, false},
		    {"title", FIELD_LINE, false},
		    {"body", FIELD_TEXT, false},
		    {"base", FIELD_LINE, false},
		    {"agent", FIELD_OBJECT, false},
		    {"priority", FIELD_NUMBER, false}},
	 .answers = "Run",
	 .does = "Starts a run, of an issue or of one made from title and body; `repositories`: it works in all of them, each "
		 "NAME or NAME@REVISION, and the issue is of the first"},
	{"GET", "/api/v1/runs/{run}", run_show, WHO_PERSON, ROLE_VIEWER, .answers = "Run", .does = "A run"},
	{"GET", "/api/v1/runs/{run}/events", run_events, WHO_PERSON, ROLE_VIEWER, .answers = "[Event]",
	 .does = "What happened in a run, in order; with `follow=1` a stream that goes on (`Last-Event-ID` is honoured)",
	 .query = {{"after", "integer"}, {"limit", "integer"}, {"follow", "flag"}}},
	{"POST", "/api/v1/runs/{run}/message", run_message, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"text", FIELD_TEXT, true}, AUTHOR}, .answers = "Run",
	 .does = "Tells the agent: now when it waits, else at the next safe point"},
	{"POST", "/api/v1/runs/{run}/stop", run_stop, WHO_PERSON, ROLE_DEVELOPER, .answers = "Run", .does = "Stops a run"},
	{"POST", "/api/v1/runs/{run}/retry", run_retry, WHO_PERSON, ROLE_DEVELOPER, .answers = "Run",
	 .does = "Tries a run again that failed or was stopped"},
	{"POST", "/api/v1/runs/{run}/declarations", run_declare, WHO_PERSON, ROLE_APPROVER,
	 .fields = {{"difference", FIELD_LINE, true}, {"because", FIELD_LINE, false}, AUTHOR}, .answers = "Run",
	 .does = "Declares a difference of its change to be meant: a finding (`f-…`), or `PLACE [PATH]`. It is verified again"},
	{"DELETE", "/api/v1/runs/{run}/declarations", run_declare_undo, WHO_PERSON, ROLE_APPROVER,
	 .query = {{"difference", "line"}}, .answers = "Run", .does = "Takes such a declaration, or a proposal, back"},
	{"GET", "/api/v1/runs/{run}/record", run_record, WHO_PERSON, ROLE_VIEWER, .answers = "bytes application/vnd.dsse+json",
	 .does = "The signed record"},
	{"GET", "/api/v1/runs/{run}/attestations", run_attestations, WHO_PERSON, ROLE_VIEWER, .answers = "bytes application/jsonl",
	 .does = "The verdict as in-toto statements, an envelope a line: a test result, a SLSA verification summary, and last the record"},
	{"GET", "/api/v1/runs/{run}/diff", run_diff, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "The unified diff of its commits"},
	{"GET", "/api/v1/runs/{run}/report", run_report, WHO_PERSON, ROLE_VIEWER, .answers = "Report",
	 .does = "What verification found last"},
	{"GET", "/api/v1/runs/{run}/turns", turn_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Turn]",
	 .does = "What its agent did, turn by turn, as its program says it"},
	{"GET", "/api/v1/runs/{run}/pictures", picture_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Picture]",
	 .does = "Pictures that its agent took of pages, and what verification made: pages before and after, what suites recorded; the newest first"},
	{"GET", "/pictures/{picture}", picture_read, WHO_PERSON | WHO_ANYONE, ROLE_VIEWER},
	{"GET", "/api/v1/export/{kind}", exported, WHO_PERSON, ROLE_VIEWER, .answers = "[Exported]",
	 .does = "Runs, events, issues, pulls or records, the oldest first, behind the row whose `cursor` is `after`",
	 .query = {{"after", "line"}, {"limit", "integer"}}},
	{"GET", "/api/v1/agents", agent_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Agent]",
	 .does = "Agent programs, and which are installed"},
	{"POST", "/api/v1/agents", agent_install, WHO_CLI, ROLE_ADMIN,
	 .fields = {{"name", FIELD_LINE, true}, {"version", FIELD_LINE, false}, {"registry", FIELD_LINE, false}},
	 .answers = "stream Installed", .does = "Installs an agent program"},
	{"DELETE", "/api/v1/agents/{name}/{version}", agent_remove, WHO_CLI, ROLE_ADMIN, .answers = "{}",
	 .does = "Removes an agent program"},
	{"GET", "/api/v1/webhooks", hook_list, WHO_PERSON, ROLE_ADMIN, .answers = "[Webhook]",
	 .does = "Who is told of what changes"},
	{"POST", "/api/v1/webhooks", hook_make, WHO_PERSON, ROLE_ADMIN,
	 .fields = {{"url", FIELD_LINE, true}, {"on", FIELD_LIST, false}}, .answers = "WebhookMade", .secret = true,
	 .does = "Tells a receiver of what changes (standardwebhooks.com); this answer is the only one with the secret"},
	{"DELETE", "/api/v1/webhooks/{hook}", hook_remove, WHO_PERSON, ROLE_ADMIN, .answers = "{}",
	 .does = "Tells a receiver no more"},

	{"GET", "/api/v1/pulls", pull_list, WHO_PERSON, ROLE_VIEWER, .answers = "[Pull]",
	 .does = "Pull requests of the built-in forge, the newest first", .query = {LIST_QUERY}},
	{"GET", "/api/v1/pulls/{number}", pull_show, WHO_PERSON, ROLE_VIEWER, .answers = "Pull", .does = "A pull request"},
	{"GET", "/api/v1/pulls/{number}/diff", pull_diff, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "Its unified diff"},
	{"GET", "/api/v1/pulls/{number}/changes", pull_changes, WHO_PERSON, ROLE_VIEWER, .answers = "[Change]",
	 .does = "The files it changes"},
	{"POST", "/api/v1/pulls/{number}/review", pull_review, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"kind", FIELD_LINE, true}, {"text", FIELD_TEXT, false}, AUTHOR}, .answers = "Pull",
	 .does = "Reviews it: `changes` and `comment` wake the agent, `approve` is for approvers"},
	{"POST", "/api/v1/pulls/{number}/merge", pull_merge, WHO_PERSON, ROLE_APPROVER,
	 .fields = {{"force", FIELD_FLAG, false}, AUTHOR}, .answers = "Pull",
	 .does = "Merges it; without a verified verdict only by force"},
	{"POST", "/api/v1/pulls/{number}/close", pull_close, WHO_PERSON, ROLE_DEVELOPER, .answers = "Pull",
	 .does = "Closes it without a merge"},
};
const size_t run_row_count = ARRAY_LEN(run_rows);
