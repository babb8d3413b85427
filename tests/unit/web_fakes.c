/* Fakes of what src/web stands on, for its tests: one run, one environment, one issue, one pull request. What they are asked to do is
 * written into fake_said. */
#include "web_fakes.h"

#include <poll.h>
#include <stdio.h>

#include "base/scope.h"
#include "runs/inbox.h"
#include "runs/connection.h"
#include "runs/token.h"
#include "runs/runs.h"
#include "sandbox/environment.h"
#include "vault/vault.h"
#include "verify/verify.h"

char fake_said[512];
atomic_int fake_changes, fake_change_bytes, fake_change_reads;
struct store *fake_store;

const struct verify_sources *runs_verify_sources(const struct runs *runs)
{
	(void)runs;
	return NULL;
}

struct store *runs_store(struct runs *runs)
{
	(void)runs;
	return fake_store;
}

static void said(const char *format, ...) PRINTF_LIKE(1, 2);
static void said(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(fake_said, sizeof(fake_said), format, args);
	va_end(args);
}

static json_t *none(struct err *err, const char *what)
{
	(void)err_set(err, ERR_NOT_FOUND, "there is no %s", what);
	return NULL;
}

/* ---- runs ---- */

json_t *runs_repository_add(struct runs *runs, const char *where, const char *connection, const char *name, bool judges,
			    struct err *err)
{
	(void)runs;
	(void)connection;
	(void)judges;
	(void)err;
	return json_pack("{s:s, s:s, s:s, s:s}", "name", name ? name : "app", "commit", "0123456789012345678901234567890123456789",
			 "remote", where, "branch", "main");
}

json_t *runs_forge_examine(struct runs *runs, const char *connection, const char *public_base, struct err *err)
{
	(void)runs;
	(void)connection;
	(void)public_base;
	(void)err;
	return json_array();
}

json_t *runs_repository_list(struct runs *runs, struct err *err)
{
	(void)runs;
	(void)err;
	return json_pack("[{s:s}]", "name", "shop");
}

json_t *runs_repository_put(struct runs *runs, const char *path, const char *revision, const char *name, bool move, struct err *err)
{
	(void)move;
	(void)runs;
	(void)err;
	said("put %s %s %s", path, revision, name ? name : "-");
	return json_pack("{s:s, s:s}", "name", "shop", "commit", FAKE_COMMIT);
}

char *runs_repository_path(struct runs *runs, const char *name, struct err *err)
{
	(void)runs;
	if (strcmp(name, "shop") == 0)
		return text_copy("/nowhere/shop.git");
	(void)err_set(err, ERR_NOT_FOUND, "there is no repository %s", name);
	return NULL;
}

/* What was asked for, said back. */
static json_t *page_of(const struct list_ask *ask)
{
	said("list %lld %lld %s %s %s %s%s", (long long)ask->after, (long long)ask->limit, ask->state ? ask->state : "-",
	     ask->repository ? ask->repository : "-", ask->agent ? ask->agent : "-", ask->text ? ask->text : "-",
	     ask->asks ? " asks" : "");
	return json_pack("{s:[{s:i}, {s:i}], s:s}", "items", "number", 3, "number", 2, "next", "2");
}

json_t *runs_issue_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	(void)runs;
	(void)err;
	return page_of(ask);
}

json_t *runs_issue_show(struct runs *runs, int64_t number, struct err *err)
{
	(void)runs;
	return number == 1 ? json_pack("{s:i}", "number", 1) : none(err, "such issue");
}

json_t *runs_issue_make(struct runs *runs, const char *repository, const char *title, const char *body, struct err *err)
{
	(void)runs;
	(void)err;
	said("issue %s %s %s", repository, title, body);
	return json_pack("{s:i}", "number", 1);
}

int runs_issue_comment(struct runs *runs, int64_t number, const char *author, const char *text, struct err *err)
{
	(void)runs;
	(void)err;
	said("comment %lld %s %s", (long long)number, author, text);
	return 0;
}

json_t *runs_template_list(struct runs *runs, const char *repository, struct err *err)
{
	(void)runs;
	(void)err;
	return json_pack("[{s:s, s:s}]", "name", "bug", "text", repository);
}

json_t *runs_attachment_add(struct runs *runs, int64_t number, const char *name, const char *author, struct view bytes,
			    struct err *err)
{
	(void)runs;
	(void)err;
	said("attach %lld %s %s %.*s", (long long)number, name, author, (int)bytes.length, bytes.at);
	return json_pack("{s:s}", "name", name);
}

json_t *runs_attachment_list(struct runs *runs, int64_t number, struct err *err)
{
	(void)runs;
	return number == 1 ? json_pack("[{s:s}]", "name", "a b.txt") : none(err, "such issue");
}

int runs_attachment_read(struct runs *runs, int64_t number, const char *name, struct buf *out, struct err *err)
{
	(void)runs;
	(void)err;
	buf_add_format(out, "%lld <%s>", (long long)number, name);
	return 0;
}

int runs_attachment_remove(struct runs *runs, int64_t number, const char *name, struct err *err)
{
	(void)runs;
	(void)err;
	said("detach %lld %s", (long long)number, name);
	return 0;
}

json_t *runs_turns(struct runs *runs, struct run_id id, struct err *err)
{
	(void)runs;
	(void)id;
	(void)err;
	return json_pack("[{s:i, s:s, s:i, s:i, s:s}]", "number", 1, "state", "done", "began_ms", 1, "ended_ms", 2, "text", "done");
}

json_t *runs_picture_list(struct runs *runs, struct run_id run, struct err *err)
{
	(void)runs;
	(void)run;
	(void)err;
	return json_pack("[{s:s, s:s, s:i, s:i, s:s, s:s}]", "id", "p1", "name", "http://front/", "bytes", 9, "time_ms", 1,
			 "source", "agent", "type", "image/png");
}

int runs_picture_read(struct runs *runs, const char *id, struct buf *out, char type[RUNS_PICTURE_TYPE_MAX], struct err *err)
{
	(void)runs;
	(void)snprintf(type, RUNS_PICTURE_TYPE_MAX, "image/png");
	buf_add_text(out, "\x89PNG");
	return strcmp(id, "p1") == 0 ? 0 : err_set(err, ERR_NOT_FOUND, "there is no such picture");
}

json_t *runs_tool_picture(struct runs *runs, struct env_id env, const char *name, struct view bytes, struct err *err)
{
	(void)runs;
	(void)err;
	said("picture %s %s %.*s", env.text, name, (int)bytes.length, bytes.at);
	return json_pack("{s:s, s:s}", "id", "p1", "name", name);
}

int runs_issue_close(struct runs *runs, int64_t number, bool closed, struct err *err)
{
	(void)runs;
	(void)err;
	said("%s %lld", closed ? "close" : "reopen", (long long)number);
	return number == 1 ? 0 : err_set(err, ERR_NOT_FOUND, "there is no such issue");
}

json_t *runs_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	(void)runs;
	(void)err;
	(void)ask;
	return json_pack("{s:[{s:s}]}", "items", "id", FAKE_RUN);
}

json_t *runs_export(struct runs *runs, const char *kind, const char *after, int64_t limit, struct err *err)
{
	(void)runs;
	(void)err;
	said("export %s %s %lld", kind, after ? after : "-", (long long)limit);
	return json_array();
}

json_t *runs_states(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	(void)runs;
	(void)err;
	(void)ask;
	return json_pack("{s:i}", "review", 1);
}

json_t *runs_show(struct runs *runs, struct run_id id, struct err *err)
{
	(void)runs;
	(void)err;
	return json_pack("{s:s}", "id", id.text);
}

json_t *runs_start(struct runs *runs, const json_t *request, struct err *err)
{
	(void)runs;
	(void)err;
	said("start %s %s", json_text(request, "repository", ""), json_text(request, "title", ""));
	return json_pack("{s:s}", "id", FAKE_RUN);
}

int runs_message(struct runs *runs, struct run_id id, const char *author, const char *text, struct err *err)
{
	(void)runs;
	(void)err;
	said("message %s %s %s", id.text, author, text);
	return 0;
}

int runs_stop(struct runs *runs, struct run_id id, struct err *err)
{
	(void)runs;
	(void)id;
	return err_set(err, ERR_CONFLICT, "the run has ended");
}

int runs_retry(struct runs *runs, struct run_id id, struct err *err)
{
	(void)runs;
	(void)err;
	said("retry %s", id.text);
	return 0;
}

json_t *runs_events(struct runs *runs, struct run_id id, int64_t after, int limit, int64_t wait_ms, struct err *err)
{
	json_t *items = json_array();

	(void)runs;
	(void)id;
	(void)err;
	for (int64_t seq = after + 1; seq <= 3 && seq <= after + limit; seq++)
		(void)json_array_append_new(items,
					    json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)seq, "type", "note", "text", "a\nb"));
	if (!json_array_size(items) && wait_ms)
		(void)usleep(
			20000); /* as the real one waits: a loop that spins starves others where threads take turns (valgrind) */
	return items;
}

int runs_record(struct runs *runs, struct run_id id, struct buf *envelope, struct err *err)
{
	(void)runs;
	(void)id;
	(void)envelope;
	return err_set(err, ERR_NOT_FOUND, "nothing was signed yet");
}

int runs_record_bundle(struct runs *runs, struct run_id id, struct buf *bundle, struct err *err)
{
	(void)runs;
	(void)id;
	(void)bundle;
	return err_set(err, ERR_NOT_FOUND, "nothing was signed yet");
}

json_t *runs_report(struct runs *runs, struct run_id id, struct err *err)
{
	(void)runs;
	(void)id;
	return none(err, "report");
}

int runs_diff(struct runs *runs, struct run_id id, struct buf *diff, struct err *err)
{
	(void)runs;
	(void)id;
	(void)diff;
	return err_set(err, ERR_NOT_FOUND, "nothing was changed yet");
}

int runs_find(struct runs *runs, const char *text, struct run_id *id, struct err *err)
{
	(void)runs;
	if (strncmp(FAKE_RUN, text, strlen(text)) != 0)
		return err_set(err, ERR_NOT_FOUND, "there is no run %s", text);
	(void)snprintf(id->text, sizeof(id->text), "%s", FAKE_RUN);
	return 0;
}

json_t *runs_agent_list(struct runs *runs, struct err *err)
{
	(void)runs;
	(void)err;
	return json_pack("[{s:s, s:b, s:[]}]", "name", "codex", "resumes", true, "installed");
}

json_t *runs_agent_install(struct runs *runs, const char *name, const char *version, const char *registry, struct progress progress,
			   struct err *err)
{
	(void)runs;
	(void)err;
	progress.report(progress.self, "install", NULL, 1);
	said("install %s %s %s", name, version ? version : "-", registry ? registry : "-");
	return json_pack("{s:s, s:s}", "name", name, "version", "1");
}

int runs_agent_remove(struct runs *runs, const char *name, const char *version, struct err *err)
{
	(void)runs;
	(void)err;
	said("remove %s %s", name, version);
	return 0;
}

json_t *runs_hook_list(struct runs *runs, struct err *err)
{
	(void)runs;
	(void)err;
	return json_array();
}

json_t *runs_hook_make(struct runs *runs, const char *url, const json_t *on, struct err *err)
{
	(void)runs;
	(void)err;
	said("hook %s %zu", url, json_array_size(on));
	return json_pack("{s:s, s:s, s:s}", "id", "w1", "url", url, "secret", "whsec_");
}

int runs_hook_remove(struct runs *runs, const char *id, struct err *err)
{
	(void)runs;
	(void)err;
	said("unhook %s", id);
	return 0;
}

void runs_deliveries_take(struct runs *runs, struct runs_delivery *deliveries, size_t count)
{
	(void)runs;
	for (size_t i = 0; i < count; i++) {
		struct runs_delivery *delivery = &deliveries[i];
		struct webhook_request *request = &delivery->request;

		delivery->failure = (struct err){0};
		if (strcmp(delivery->connection, "busy") == 0) {
			(void)err_set(&delivery->failure, ERR_RETRY, "no room");
		} else if (!request->header(request->self, "webhook-signature")) {
			(void)err_set(&delivery->failure, ERR_DENIED, "not signed");
		} else {
			said("delivery %s %zu", delivery->connection, request->body.length);
			delivery->answer = text_copy("{\"taken\":true}");
		}
	}
}

json_t *runs_connection_list(struct runs *runs, struct err *err)
{
	(void)runs;
	(void)err;
	return json_array();
}

json_t *runs_connection_kinds(void)
{
	return json_array();
}

json_t *runs_connection_accounts(struct runs *runs, const char *id, struct err *err)
{
	(void)runs;
	(void)id;
	(void)err;
	return json_array();
}

json_t *runs_connection_check(struct runs *runs, const char *id, struct err *err)
{
	(void)runs;
	(void)id;
	(void)err;
	return json_array();
}

json_t *runs_permission(struct runs *runs, const char *connection, const char *redirect, bool own, struct err *err)
{
	AUTO_FREE char *url = text_format("https://service.test/%s?%s", connection, redirect);

	(void)runs;
	(void)err;
	return own ? json_pack("{s:s, s:s}", "account", connection, "name", "acme")
		   : json_pack("{s:s, s:s}", "url", url, "redirect", redirect);
}

json_t *runs_allowed(struct runs *runs, const char *state, const char *code, struct err *err)
{
	(void)runs;
	(void)err;
	said("allowed %s %s", state, code);
	return json_pack("{s:s, s:s}", "account", "a1", "name", "<acme>");
}

static json_t *fake_connection(const char *id)
{
	return json_pack("{s:s}", "id", id);
}

json_t *runs_connection_show(struct runs *runs, const char *id, struct err *err)
{
	(void)runs;
	(void)err;
	return fake_connection(id);
}

json_t *runs_connection_make(struct runs *runs, const json_t *request, struct err *err)
{
	(void)runs;
	(void)err;
	said("connect %s", json_text(request, "kind", ""));
	return fake_connection("c1");
}

json_t *runs_connection_change(struct runs *runs, const char *id, const json_t *request, struct err *err)
{
	(void)runs;
	(void)err;
	said("change %s %zu", id, json_object_size(request));
	return fake_connection(id);
}

int runs_connection_remove(struct runs *runs, const char *id, struct err *err)
{
	(void)runs;
	(void)err;
	said("disconnect %s", id);
	return 0;
}

json_t *runs_pull_list(struct runs *runs, const struct list_ask *ask, struct err *err)
{
	(void)runs;
	(void)err;
	return page_of(ask);
}

json_t *runs_pull_show(struct runs *runs, int64_t number, struct err *err)
{
	(void)runs;
	return number == 1 ? json_pack("{s:i}", "number", 1) : none(err, "such pull request");
}

int runs_pull_diff(struct runs *runs, int64_t number, struct buf *diff, struct err *err)
{
	(void)runs;
	(void)number;
	(void)err;
	buf_add_text(diff, "diff --git a/<b>x</b> b/x\n");
	return 0;
}

json_t *runs_pull_changes(struct runs *runs, int64_t number, struct err *err)
{
	(void)runs;
	(void)number;
	(void)err;
	return json_array();
}

int runs_pull_review(struct runs *runs, int64_t number, const char *author, const char *kind, const char *text, struct err *err)
{
	(void)runs;
	(void)author;
	(void)err;
	said("review %lld %s %s", (long long)number, kind, text);
	return 0;
}

json_t *runs_pull_merge(struct runs *runs, int64_t number, const char *author, bool force, struct err *err)
{
	(void)runs;
	(void)number;
	(void)author;
	if (force)
		return json_pack("{s:s}", "state", "merged");
	(void)err_set(err, ERR_CONFLICT, "it is not verified");
	return NULL;
}

int runs_pull_close(struct runs *runs, int64_t number, struct err *err)
{
	(void)runs;
	(void)err;
	said("close %lld", (long long)number);
	return 0;
}

json_t *runs_changes(struct runs *runs, int64_t after, int limit, int64_t wait_ms, struct err *err)
{
	json_t *items = json_array();
	AUTO_BUF filler = buf_new(1 << 20);

	(void)runs;
	(void)wait_ms;
	(void)err;
	while ((int)filler.length < atomic_load(&fake_change_bytes))
		buf_add_char(&filler, 'x');
	buf_add_char(&filler, '\0');
	for (int64_t seq = after + 1; seq <= atomic_load(&fake_changes) && seq <= after + limit; seq++)
		(void)json_array_append_new(
			items, json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)seq, "kind", "issue", "filler", filler.at));
	(void)atomic_fetch_add(&fake_change_reads, 1);
	return items;
}

int runs_changes_end(struct runs *runs, int64_t *seq, struct err *err)
{
	(void)runs;
	(void)err;
	*seq = atomic_load(&fake_changes);
	return 0;
}

void runs_count(struct runs *runs, int *unfinished, int *active)
{
	(void)runs;
	*unfinished = 1;
	*active = 0;
}

void runs_tool_verified(struct runs *runs, struct env_id env, const char *tree, const char *feedback)
{
	(void)runs;
	(void)env;
	(void)tree;
	(void)feedback;
}

json_t *runs_tool_gate(struct runs *runs, struct env_id env, bool changed, const char *tree, struct err *err)
{
	(void)runs;
	(void)env;
	(void)changed;
	(void)tree;
	(void)err;
	return json_pack("{s:b}", "hold", 0);
}

int runs_tool_done(struct runs *runs, struct env_id env, const char *summary, struct err *err)
{
	(void)runs;
	(void)err;
	said("done %s %s", env.text, summary);
	return 0;
}

int runs_declare(struct runs *runs, struct run_id id, const char *match, const char *by, const char *because, struct err *err)
{
	(void)runs;
	(void)err;
	said("declare %s %s %s %s", id.text, match, by, because);
	return 0;
}

int runs_declare_undo(struct runs *runs, struct run_id id, const char *match, const char *by, struct err *err)
{
	(void)runs;
	(void)err;
	said("declare %s %s %s undo", id.text, match, by);
	return 0;
}

int runs_tool_declare(struct runs *runs, struct env_id env, const char *match, const char *because, struct err *err)
{
	(void)runs;
	(void)err;
	said("propose %s %s %s", env.text, match, because);
	return 0;
}

json_t *runs_tool_declared(struct runs *runs, struct env_id env, struct err *err)
{
	(void)runs;
	(void)env;
	(void)err;
	return json_array();
}

json_t *runs_tool_ask(struct runs *runs, struct env_id env, const char *question, int64_t wait_ms, struct err *err)
{
	(void)runs;
	(void)env;
	(void)question;
	(void)wait_ms;
	(void)err;
	return json_pack("{s:i, s:s}", "id", 7, "state", "open");
}

json_t *runs_tool_question(struct runs *runs, struct env_id env, int64_t id, struct err *err)
{
	(void)runs;
	(void)env;
	if (id == 7)
		return json_pack("{s:i, s:s, s:s}", "id", 7, "state", "answered", "answer", "both");
	(void)err_set(err, ERR_NOT_FOUND, "no question %lld", (long long)id);
	return NULL;
}

/* ---- environments ---- */

json_t *environment_fault(struct environments *environments, struct env_id id, const json_t *fault, struct err *err)
{
	(void)environments;
	(void)err;
	return json_pack("[{s:s, s:O}]", "env", id.text, "fault", fault);
}

json_t *environments_gateway_call(struct environments *environments, uint16_t name, const json_t *body, int64_t timeout_ms,
				  struct err *err)
{
	(void)environments;
	(void)name;
	(void)timeout_ms;
	(void)err;
	return json_pack("{s:[O]}", "items", body);
}

int environment_up(struct environments *environments, const struct environment_spec *spec, bool keep_failed,
		   struct progress progress, struct env_id *id, struct err *err)
{
	(void)environments;
	(void)spec;
	(void)keep_failed;
	(void)progress;
	(void)id;
	return err_set(err, ERR_INVALID, "not here");
}

int environment_down(struct environments *environments, struct env_id id, struct err *err)
{
	(void)environments;
	(void)err;
	said("down %s", id.text);
	return 0;
}

int environment_fork(struct environments *environments, struct env_id from, struct progress progress, struct env_id *id,
		     struct err *err)
{
	(void)environments;
	progress.report(progress.self, "clone db", NULL, -1);
	progress.report(progress.self, "clone db", "shop/1", 12);
	if (strcmp(fake_said, "fail the fork") == 0)
		return err_set(err, ERR_LIMIT, "the pool is full");
	*id = from;
	return 0;
}

int environment_deploy(struct environments *environments, struct env_id id, const char *service, struct progress progress,
		       struct err *err)
{
	(void)environments;
	(void)progress;
	(void)err;
	said("deploy %s %s", id.text, service ? service : "everything");
	return 0;
}

int environment_reset_data(struct environments *environments, struct env_id id, struct progress progress, struct err *err)
{
	(void)environments;
	(void)id;
	(void)progress;
	(void)err;
	return 0;
}

int environment_secrets(struct environments *environments, struct env_id id, bool bound, struct err *err)
{
	(void)environments;
	(void)id;
	(void)bound;
	(void)err;
	return 0;
}

int environment_freeze(struct environments *environments, struct env_id id, bool frozen, struct err *err)
{
	(void)environments;
	(void)err;
	said("%s %s", frozen ? "freeze" : "thaw", id.text);
	return 0;
}

int environment_pin(struct environments *environments, struct env_id id, bool pinned, struct err *err)
{
	(void)environments;
	(void)err;
	said("%s %s", pinned ? "pin" : "unpin", id.text);
	return 0;
}

int environment_links_revoke(struct environments *environments, struct env_id id, const char *link, struct err *err)
{
	(void)environments;
	(void)err;
	said("revoke %s %s", id.text, link ? link : "all");
	return 0;
}

int environment_extend(struct environments *environments, struct env_id id, int64_t grace_ms, struct err *err)
{
	(void)environments;
	(void)err;
	said("extend %s %lld", id.text, (long long)grace_ms);
	return 0;
}

json_t *environment_egress(struct environments *environments, struct env_id id, struct err *err)
{
	(void)environments;
	(void)id;
	(void)err;
	return json_pack("{s:[]}", "rules");
}

json_t *environment_list(struct environments *environments, struct err *err)
{
	(void)environments;
	(void)err;
	return json_pack("[{s:s, s:s}]", "id", FAKE_ENV, "state", "ready");
}

json_t *environment_show(struct environments *environments, struct env_id id, struct err *err)
{
	(void)environments;
	(void)err;
	return json_pack("{s:s, s:s, s:s}", "id", id.text, "repository", "shop", "commit", FAKE_COMMIT);
}

int environment_find(struct environments *environments, const char *text, struct env_id *id, struct err *err)
{
	(void)environments;
	if (strcmp(text, "shop") != 0 && strncmp(FAKE_ENV, text, strlen(text)) != 0)
		return err_set(err, ERR_NOT_FOUND, "there is no environment %s", text);
	(void)snprintf(id->text, sizeof(id->text), "%s", FAKE_ENV);
	return 0;
}

/* Says its arguments; on a terminal it reads a line and says it again. */
int environment_exec(struct environments *environments, struct env_id id, const struct environment_exec *exec,
		     struct exit_status *status, struct err *err)
{
	(void)environments;
	(void)id;
	*status = (struct exit_status){EXIT_CODE, 3};
	if (strcmp(exec->sandbox, "nowhere") == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no sandbox nowhere");
	if (exec->terminal) {
		char line[64] = "";
		struct pollfd typed = {.fd = exec->input_fd, .events = POLLIN};

		while (!*(const volatile bool *)exec->cancelled && poll(&typed, 1, 20) == 0)
			continue;
		if (*(const volatile bool *)exec->cancelled)
			return err_set(err, ERR_CANCELLED, "nobody is there any more");
		ssize_t got = read(exec->input_fd, line, sizeof(line) - 1);
		AUTO_FREE char *answer = text_format("heard %.*s", got > 0 ? (int)got : 0, line);

		return write(exec->output_fd, answer, strlen(answer)) < 0 ? err_set(err, ERR_BROKEN, "no terminal") : 0;
	}
	for (const char *const *word = exec->argv; *word; word++)
		buf_add_format(exec->output, "%s ", *word);
	for (size_t i = 0; i < exec->env->count; i++)
		buf_add_format(exec->errors, "%s=%s ", exec->env->at[i].name, exec->env->at[i].value);
	return 0;
}

int environment_query(struct environments *environments, struct env_id id, const char *database, const char *statement,
		      struct buf *output, struct err *err)
{
	(void)environments;
	(void)id;
	(void)err;
	buf_add_format(output, "%s: %s", database, statement);
	return 0;
}

int environment_logs(struct environments *environments, struct env_id id, const char *sandbox, int lines, int64_t *from,
		     struct buf *output, struct err *err)
{
	(void)environments;
	(void)id;
	(void)from;
	(void)err;
	buf_add_format(output, "%s %d\n", sandbox ? sandbox : "all", lines);
	return 0;
}

int environment_exchanges(struct environments *environments, struct env_id id, int64_t *from, int64_t until, struct buf *lines,
			  struct err *err)
{
	(void)until;
	(void)environments;
	(void)id;
	(void)err;
	for (; *from < 3; ++*from)
		buf_add_format(
			lines,
			"{\"seq\": %d, \"from\": \"%s\", \"to\": \"front\", \"proto\": \"http\", \"t0_ms\": 1, \"dt_us\": 2}\n",
			(int)*from + 1, *from == 1 ? "preview" : "front");
	return 0;
}

int environment_export(struct environments *environments, struct env_id id, const struct git_hash *base, const char *ref,
		       const char *message, struct git_hash *head, struct err *err)
{
	(void)environments;
	(void)id;
	(void)base;
	(void)ref;
	(void)message;
	(void)head;
	return err_set(err, ERR_INVALID, "not here");
}

int environment_import(struct environments *environments, struct env_id id, const struct git_hash *base,
		       const struct git_hash *commit, struct err *err)
{
	(void)environments;
	(void)id;
	(void)base;
	(void)commit;
	return err_set(err, ERR_INVALID, "not here");
}

int snapshot_create(struct environments *environments, const char *name, const struct blueprint *blueprint,
		    const struct snapshot_source *sources, size_t source_count, struct progress progress, int *version,
		    struct err *err)
{
	(void)environments;
	(void)name;
	(void)blueprint;
	(void)sources;
	(void)source_count;
	(void)progress;
	(void)version;
	return err_set(err, ERR_INVALID, "not here");
}

int snapshot_create_from_seeds(struct environments *environments, const char *name, const char *repository,
			       const struct git_hash *commit, const char *blueprint, struct progress progress, int *version,
			       struct err *err)
{
	(void)repository;
	(void)commit;
	(void)blueprint;
	return snapshot_create(environments, name, NULL, NULL, 0, progress, version, err);
}

json_t *snapshot_list(struct environments *environments, struct err *err)
{
	(void)environments;
	(void)err;
	return json_array();
}

json_t *snapshot_show(struct environments *environments, const char *name_version, struct err *err)
{
	(void)environments;
	(void)err;
	return json_pack("{s:s}", "name", name_version);
}

int snapshot_remove(struct environments *environments, const char *name_version, struct err *err)
{
	(void)environments;
	(void)err;
	said("remove %s", name_version);
	return 0;
}

/* ---- the rest ---- */

int vault_public_key(struct vault *vault, struct buf *pem, struct err *err)
{
	(void)vault;
	(void)err;
	buf_add_text(pem, "-----BEGIN PUBLIC KEY-----\n");
	return 0;
}

int vault_sign(struct vault *vault, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	(void)vault;
	(void)bytes;
	(void)err;
	memset(signature, 1, 64);
	memset(key_id, '0', 64);
	key_id[64] = '\0';
	return 0;
}

int verify_run(const struct verify_request *request, json_t **report, struct err *err)
{
	(void)request;
	(void)report;
	return err_set(err, ERR_INVALID, "not here");
}

void verify_feedback(struct buf *out, const json_t *report)
{
	(void)out;
	(void)report;
}

enum verdict verdict_of(const json_t *report)
{
	(void)report;
	return VERDICT_UNVERIFIED;
}

const char *verdict_name(enum verdict verdict)
{
	(void)verdict;
	return "unverified";
}

int vault_secret_set(struct vault *vault, const char *name, const struct credential_use *use, struct view value, struct err *err)
{
	(void)vault;
	(void)name;
	(void)use;
	(void)value;
	(void)err;
	return 0;
}

int vault_secret_remove(struct vault *vault, const char *name, struct err *err)
{
	(void)vault;
	return err_set(err, ERR_NOT_FOUND, "there is no credential `%s`", name);
}

void vault_secret_each(struct vault *vault,
		       void (*each)(void *self, const char *name, const struct credential_use *use, int64_t set_ms), void *self)
{
	(void)vault;
	(void)each;
	(void)self;
}
