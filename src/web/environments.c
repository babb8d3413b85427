/* Rows of environments and snapshots. */
#include <stdlib.h>

#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "http/har.h"
#include "web/web_priv.h"

#define OUTPUT_BYTES_MAX ((size_t)16 << 20)
#define EXCHANGES_ALL INT64_MAX /* not from a place on */
#define EXCHANGES_SHOWN 200
#define ARGV_MAX 256
#define EXEC_MS_MAX 3600000
#define GRACE_MS_MAX ((int64_t)90 * 24 * 3600 * 1000)
#define SOURCES_MAX 16

static struct environments *environments_of(const struct call *call)
{
	return call->web->options.environments;
}

static json_t *list(struct call *call, struct err *err)
{
	return items_of(environment_list(environments_of(call), err));
}

static json_t *show(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err) ? NULL : environment_show(environments_of(call), env, err);
}

/* ---- long work ---- */

static json_t *up_work(struct job *job, struct progress progress, struct err *err)
{
	AUTO_FREE char *repository = runs_repository_path(job->web->options.runs, json_text(job->body, "repository", ""), err);
	struct environment_spec spec = {
		.repository = repository,
		.name = json_text(job->body, "name", NULL),
		.purpose = json_text(job->body, "purpose", "preview"),
		.owner = "",
		.snapshot = json_text(job->body, "snapshot", NULL),
		.services = json_member(job->body, "services"),
	};
	const char *below = json_text(job->body, "on", NULL);

	if (below && environment_find(job->web->options.environments, below, &spec.below, err))
		return NULL;
	if (!repository || git_resolve(repository, json_text(job->body, "commit", "main"), &spec.commit, err))
		return NULL;
	if (environment_up(job->web->options.environments, &spec, true, progress, &job->env, err))
		return NULL;
	return environment_show(job->web->options.environments, job->env, err);
}

static json_t *up(struct call *call, struct err *err)
{
	return work_stream(call, NULL, up_work, err);
}

static json_t *deploy_work(struct job *job, struct progress progress, struct err *err)
{
	if (environment_deploy(job->web->options.environments, job->env, json_text(job->body, "service", NULL), progress, err))
		return NULL;
	return environment_show(job->web->options.environments, job->env, err);
}

static json_t *fork_work(struct job *job, struct progress progress, struct err *err)
{
	struct env_id made;

	if (environment_fork(job->web->options.environments, job->env, progress, &made, err))
		return NULL;
	return environment_show(job->web->options.environments, made, err);
}

static json_t *reset_work(struct job *job, struct progress progress, struct err *err)
{
	if (environment_reset_data(job->web->options.environments, job->env, progress, err))
		return NULL;
	return environment_show(job->web->options.environments, job->env, err);
}

static json_t *job_of(struct call *call, json_t *(*work)(struct job *job, struct progress progress, struct err *err),
		      struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err) ? NULL : work_stream(call, &env, work, err);
}

static json_t *deploy(struct call *call, struct err *err)
{
	return job_of(call, deploy_work, err);
}

static json_t *fork_one(struct call *call, struct err *err)
{
	return job_of(call, fork_work, err);
}

static json_t *reset_data(struct call *call, struct err *err)
{
	return job_of(call, reset_work, err);
}

/* ---- short work ---- */

static json_t *after(struct call *call, struct env_id env, int failed, struct err *err)
{
	return failed ? NULL : environment_show(environments_of(call), env, err);
}

static json_t *freeze(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err)
		       ? NULL
		       : after(call, env, environment_freeze(environments_of(call), env, true, err), err);
}

static json_t *thaw(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err)
		       ? NULL
		       : after(call, env, environment_freeze(environments_of(call), env, false, err), err);
}

static json_t *pin(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err) ? NULL
						    : after(call, env, environment_pin(environments_of(call), env, true, err), err);
}

static json_t *unpin(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err)
		       ? NULL
		       : after(call, env, environment_pin(environments_of(call), env, false, err), err);
}

static json_t *revoke(struct call *call, struct err *err)
{
	const char *link = json_text(call->body, "link", NULL);
	struct env_id env;

	return request_environment(call, &env, err)
		       ? NULL
		       : after(call, env, environment_links_revoke(environments_of(call), env, link, err), err);
}

static json_t *extend(struct call *call, struct err *err)
{
	int64_t grace = json_number(call->body, "grace_ms", 0);
	struct env_id env;

	if (request_environment(call, &env, err))
		return NULL;
	if (!grace || grace > GRACE_MS_MAX) {
		(void)err_set(err, ERR_INVALID, "grace_ms: expected milliseconds, at most 90 days");
		return NULL;
	}
	return after(call, env, environment_extend(environments_of(call), env, grace, err), err);
}

static json_t *down(struct call *call, struct err *err)
{
	struct env_id env;

	return request_environment(call, &env, err) || environment_down(environments_of(call), env, err) ? NULL : json_object();
}

/* ---- looking in ---- */

/* The argument list of a request: texts only. *argv is NULL-terminated and borrows from `words`. */
static int argv_take(const json_t *words, const char *argv[ARGV_MAX + 1], struct err *err)
{
	size_t count = json_array_size(words);

	if (!count || count > ARGV_MAX)
		return err_set(err, ERR_INVALID, "argv: expected a list of 1 to %d texts", ARGV_MAX);
	for (size_t i = 0; i < count; i++) {
		const json_t *word = json_array_get(words, i);

		if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
			return err_set(err, ERR_INVALID, "argv[%zu]: expected a text", i);
		argv[i] = json_string_value(word);
	}
	argv[count] = NULL;
	return 0;
}

/* The values stay in `object`. */
static int variables_take(const json_t *object, struct variables *variables, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		if (!name[0] || strchr(name, '=') || !json_is_string(value))
			return err_set(err, ERR_INVALID, "env.%.100s: expected a text", name);
		variables->at = mem_grow(variables->at, variables->count + 1, sizeof(*variables->at));
		variables->at[variables->count++] = (struct name_value){(char *)(uintptr_t)name,
									(char *)(uintptr_t)json_string_value(value)};
	}
	return 0;
}

static json_t *exec_answer(struct exit_status status, const struct buf *output, const struct buf *errors)
{
	static const char *const reasons[] = {
		[EXIT_CODE] = "code", [EXIT_SIGNAL] = "signal", [EXIT_OOM] = "oom", [EXIT_GONE] = "gone"};
	json_t *answer = json_pack("{s:{s:s, s:i}}", "status", "reason", reasons[status.reason], "code", status.code);

	json_set_bytes(answer, "output", buf_view(output));
	json_set_bytes(answer, "errors", buf_view(errors));
	return answer;
}

static json_t *exec(struct call *call, struct err *err)
{
	const char *argv[ARGV_MAX + 1];
	struct variables variables = {0};
	AUTO_BUF output = buf_new(OUTPUT_BYTES_MAX);
	AUTO_BUF errors = buf_new(OUTPUT_BYTES_MAX);
	struct environment_exec request = {
		.sandbox = json_text(call->body, "sandbox", "workspace"),
		.argv = argv,
		.env = &variables,
		.dir = json_text(call->body, "dir", NULL),
		.as_root = json_flag(call->body, "root", false),
		.timeout_ms = json_number(call->body, "timeout_ms", 0),
		.input = view_of(json_text(call->body, "input", "")),
		.output = &output,
		.errors = &errors,
	};
	struct exit_status status = {0};
	struct env_id env;
	int failed;

	if (request_environment(call, &env, err) || argv_take(json_member(call->body, "argv"), argv, err))
		return NULL;
	if (request.timeout_ms > EXEC_MS_MAX) {
		(void)err_set(err, ERR_INVALID, "timeout_ms: at most %d", EXEC_MS_MAX);
		return NULL;
	}
	failed = variables_take(json_member(call->body, "env"), &variables, err) ||
		 environment_exec(environments_of(call), env, &request, &status, err);
	free(variables.at);
	return failed ? NULL : exec_answer(status, &output, &errors);
}

static json_t *query(struct call *call, struct err *err)
{
	AUTO_BUF output = buf_new(OUTPUT_BYTES_MAX);
	struct env_id env;
	json_t *answer;

	if (request_environment(call, &env, err) ||
	    environment_query(environments_of(call), env, json_text(call->body, "database", ""),
			      json_text(call->body, "statement", ""), &output, err))
		return NULL;
	answer = json_object();
	json_set_bytes(answer, "output", buf_view(&output));
	return answer;
}

/* All lines that there are, from the first byte on; one portion is at most what the manager reads at once. */
int exchanges_read(struct environments *environments, struct env_id env, struct buf *lines, struct err *err)
{
	int64_t from = 0;
	int64_t before;

	do {
		before = from;
		if (environment_exchanges(environments, env, &from, -1, lines, err))
			return -1;
	} while (from > before);
	return 0;
}

/* Where the last `count` lines begin. */
static struct view lines_last(struct view text, int64_t count)
{
	size_t at = text.length;

	while (at && count >= 0) {
		at--;
		count -= text.at[at] == '\n' && at + 1 < text.length;
		if (count == 0)
			return view_make(text.at + at + 1, text.length - at - 1);
	}
	return text;
}

/* From that byte of the log on, oldest first, and where the next ones will begin: for who follows. */
static json_t *exchanges_from(struct call *call, struct env_id env, int64_t from, struct err *err)
{
	AUTO_BUF lines = buf_new(EXCHANGES_BYTES_MAX);
	AUTO_JSON items = json_array();
	struct err none;
	struct view rest;

	if (environment_exchanges(environments_of(call), env, &from, -1, &lines, err))
		return NULL;
	rest = buf_view(&lines);
	while (rest.at && rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		json_t *exchange = line.length ? json_parse(line, &none) : NULL;

		if (exchange)
			(void)json_array_append_new(items, exchange);
	}
	return json_pack("{s:O,s:I}", "items", items, "next", (json_int_t)from);
}

static json_t *exchanges(struct call *call, struct err *err)
{
	AUTO_BUF lines = buf_new(EXCHANGES_BYTES_MAX);
	AUTO_JSON items = json_array();
	struct err none;
	struct env_id env;
	int64_t from;
	int64_t limit;

	if (request_environment(call, &env, err) || request_query(call, "from", EXCHANGES_ALL, EXCHANGES_ALL, &from, err))
		return NULL;
	if (from != EXCHANGES_ALL)
		return exchanges_from(call, env, from, err);
	if (request_query(call, "limit", EXCHANGES_SHOWN, ITEMS_MAX, &limit, err) ||
	    exchanges_read(environments_of(call), env, &lines, err))
		return NULL;
	for (struct view rest = limit ? lines_last(buf_view(&lines), limit) : VIEW(""), line; rest.at && rest.length;) {
		line = view_cut(rest, '\n', &rest);
		AUTO_JSON exchange = line.length ? json_parse(line, &none) : NULL;

		if (exchange)
			(void)json_array_insert(items, 0, exchange);
	}
	return items_of(TAKE(items));
}

/* What was recorded at the preview, as HAR, without its secrets. Their values stay here, sealed: they are of a forked environment, and the
 * replay must sign in with them. */
static json_t *session(struct call *call, struct err *err)
{
	AUTO_BUF lines = buf_new(EXCHANGES_BYTES_MAX);
	AUTO_BUF har = buf_new(HAR_BYTES_MAX);
	AUTO_SESSION recorded = {0};
	struct err none;
	struct env_id env;

	if (request_environment(call, &env, err) || exchanges_read(environments_of(call), env, &lines, err))
		return NULL;
	for (struct view rest = buf_view(&lines), line; rest.at && recorded.count < HAR_ENTRIES_MAX;) {
		struct exchange exchange = {0};

		line = view_cut(rest, '\n', &rest);
		if (!line.length || exchange_parse(line, &exchange, &none))
			continue;
		if (exchange.from && strcmp(exchange.from, "preview") == 0 && exchange.proto && strcmp(exchange.proto, "http") == 0)
			session_add(&recorded, &exchange);
		exchange_fini(&exchange);
	}
	if (session_clean(call, &recorded, json_member(call->body, "keep"), true, err))
		return NULL;
	har_format(&har, &recorded);
	return buf_finish(&har, err) ? NULL : request_bytes(call, "application/json", buf_view(&har));
}

/* ---- snapshots ---- */

static char *snapshot_name(const struct call *call)
{
	const char *version = http_request_param(call->request, "version");

	return text_format("%s%s%s", http_request_param(call->request, "name"), version ? "/" : "", version ? version : "");
}

static json_t *snapshots(struct call *call, struct err *err)
{
	return items_of(snapshot_list(environments_of(call), err));
}

static json_t *snapshot_one(struct call *call, struct err *err)
{
	AUTO_FREE char *name = snapshot_name(call);

	return snapshot_show(environments_of(call), name, err);
}

static json_t *snapshot_gone(struct call *call, struct err *err)
{
	AUTO_FREE char *name = snapshot_name(call);

	return snapshot_remove(environments_of(call), name, err) ? NULL : json_object();
}

static int sources_take(const json_t *body, struct snapshot_source sources[SOURCES_MAX], size_t *count, struct err *err)
{
	json_t *list_of = json_member(body, "sources");
	size_t i;
	json_t *source;

	if (json_array_size(list_of) > SOURCES_MAX)
		return err_set(err, ERR_LIMIT, "sources: at most %d", SOURCES_MAX);
	json_array_foreach(list_of, i, source) {
		struct snapshot_source *at = &sources[(*count)++];

		*at = (struct snapshot_source){json_text(source, "seed", NULL), json_text(source, "dump", NULL),
					       json_text(source, "url", NULL), json_text(source, "database", NULL)};
		if ((at->seed != NULL) + (at->dump != NULL) + (at->url != NULL) != 1)
			return err_set(err, ERR_INVALID, "sources[%zu]: expected exactly one of seed, dump, url", i);
	}
	return 0;
}

static json_t *snapshot_work(struct job *job, struct progress progress, struct err *err)
{
	AUTO_FREE char *repository = runs_repository_path(job->web->options.runs, json_text(job->body, "repository", ""), err);
	struct snapshot_source sources[SOURCES_MAX];
	AUTO_BUF text = buf_new((size_t)1 << 20);
	struct git_hash commit;
	struct blueprint *blueprint;
	size_t count = 0;
	int version = 0;
	int failed;

	if (!repository || sources_take(job->body, sources, &count, err) ||
	    git_resolve(repository, json_text(job->body, "commit", "main"), &commit, err) ||
	    git_file_read(repository, &commit, "assay.yaml", &text, err))
		return NULL;
	blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!blueprint)
		return NULL;
	failed = count ? snapshot_create(job->web->options.environments, json_text(job->body, "name", ""), blueprint, sources,
					 count, progress, &version, err)
		       : snapshot_create_from_seeds(job->web->options.environments, json_text(job->body, "name", ""), repository,
						    &commit, text.at, progress, &version, err);
	blueprint_free(blueprint);
	return failed ? NULL : json_pack("{s:s, s:i}", "name", json_text(job->body, "name", ""), "version", version);
}

static json_t *snapshot_make(struct call *call, struct err *err)
{
	return work_stream(call, NULL, snapshot_work, err);
}

#define ENVIRONMENT "/api/v1/environments/{env}"

const struct row environment_rows[] = {
	{"GET", "/api/v1/environments", list, WHO_PERSON, ROLE_VIEWER, .answers = "[Environment]", .does = "Environments"},
	{"POST", "/api/v1/environments", up, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"repository", FIELD_LINE, true},
		    {"commit", FIELD_LINE, false},
		    {"name", FIELD_LINE, false},
		    {"snapshot", FIELD_LINE, false},
		    {"on", FIELD_LINE, false},
		    {"services", FIELD_LIST, false},
		    {"purpose", FIELD_LINE, false}},
	 .answers = "stream Environment",
	 .does = "Makes an environment of a commit; with `on`, only of `services`, or of those that changed: the rest answers in that one"},
	{"GET", ENVIRONMENT, show, WHO_PERSON, ROLE_VIEWER, .answers = "Environment", .does = "An environment"},
	{"DELETE", ENVIRONMENT, down, WHO_PERSON, ROLE_DEVELOPER, .answers = "{}",
	 .does = "Removes an environment and all that is in it"},
	{"POST", ENVIRONMENT "/deploy", deploy, WHO_PERSON, ROLE_DEVELOPER, .fields = {{"service", FIELD_LINE, false}},
	 .answers = "stream Environment", .does = "Starts its services again with the code as it is now"},
	{"POST", ENVIRONMENT "/fork", fork_one, WHO_PERSON, ROLE_DEVELOPER, .answers = "stream Environment",
	 .does = "Makes a second one of it as it is now"},
	{"POST", ENVIRONMENT "/reset-data", reset_data, WHO_PERSON, ROLE_DEVELOPER, .answers = "stream Environment",
	 .does = "Puts its data back to the snapshot"},
	{"POST", ENVIRONMENT "/freeze", freeze, WHO_PERSON, ROLE_DEVELOPER, .answers = "Environment",
	 .does = "Stops its processes where they are; the next request thaws it"},
	{"POST", ENVIRONMENT "/thaw", thaw, WHO_PERSON, ROLE_DEVELOPER, .answers = "Environment",
	 .does = "Lets its processes go on"},
	{"POST", ENVIRONMENT "/pin", pin, WHO_PERSON, ROLE_DEVELOPER, .answers = "Environment",
	 .does = "Keeps it until it is unpinned"},
	{"POST", ENVIRONMENT "/unpin", unpin, WHO_PERSON, ROLE_DEVELOPER, .answers = "Environment",
	 .does = "Lets its grace period run again"},
	{"POST", ENVIRONMENT "/revoke", revoke, WHO_PERSON, ROLE_DEVELOPER, .fields = {{"link", FIELD_LINE, false}},
	 .answers = "Environment",
	 .does = "Takes back one link to its preview, or without `link` all; its `preview` is another then"},
	{"POST", ENVIRONMENT "/extend", extend, WHO_PERSON, ROLE_DEVELOPER, .fields = {{"grace_ms", FIELD_NUMBER, true}},
	 .answers = "Environment", .does = "Gives it a new grace period"},
	{"GET", ENVIRONMENT "/logs", environment_log, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "Its log; with `follow=1` the answer stays open",
	 .query = {{"sandbox", "line"}, {"lines", "integer"}, {"follow", "flag"}}},
	{"GET", ENVIRONMENT "/exchanges", exchanges, WHO_PERSON, ROLE_VIEWER, .answers = "[Exchange]",
	 .does = "What crossed its seams: the newest first, or with `from` those from that byte of the log on",
	 .query = {{"limit", "integer"}, {"from", "integer"}}},
	{"POST", ENVIRONMENT "/session", session, WHO_PERSON, ROLE_DEVELOPER,
	 .fields = {{"name", FIELD_LINE, false}, {"keep", FIELD_LIST, false}}, .answers = "object",
	 .does = "What was recorded at the preview so far, as HAR 1.2, secrets replaced by a keyed hash"},
	{"POST", ENVIRONMENT "/exec", exec, WHO_CLI, ROLE_DEVELOPER,
	 .fields = {{"sandbox", FIELD_LINE, true},
		    {"argv", FIELD_LIST, true},
		    {"dir", FIELD_LINE, false},
		    {"env", FIELD_OBJECT, false},
		    {"root", FIELD_FLAG, false},
		    {"timeout_ms", FIELD_NUMBER, false},
		    {"input", FIELD_TEXT, false}},
	 .answers = "Executed", .does = "Runs a program in a sandbox of it"},
	{"GET", ENVIRONMENT "/terminal", environment_terminal, WHO_PERSON, ROLE_DEVELOPER, .answers = "upgrade",
	 .does = "A terminal in a sandbox of it (doc/api.md has the frames)",
	 .query = {{"sandbox", "line"}, {"argv", "line"}, {"rows", "integer"}, {"cols", "integer"}}},
	{"POST", ENVIRONMENT "/query", query, WHO_CLI, ROLE_DEVELOPER,
	 .fields = {{"database", FIELD_LINE, true}, {"statement", FIELD_TEXT, true}}, .answers = "Output",
	 .does = "Runs a statement in a database of it"},
	{"GET", "/api/v1/snapshots", snapshots, WHO_PERSON, ROLE_VIEWER, .answers = "[Snapshot]", .does = "Snapshots of data"},
	{"POST", "/api/v1/snapshots", snapshot_make, WHO_CLI, ROLE_ADMIN,
	 .fields = {{"name", FIELD_LINE, true},
		    {"repository", FIELD_LINE, true},
		    {"commit", FIELD_LINE, false},
		    {"sources", FIELD_LIST, true}},
	 .answers = "stream Installed", .does = "Builds a snapshot"},
	{"GET", "/api/v1/snapshots/{name}", snapshot_one, WHO_PERSON, ROLE_VIEWER, .answers = "Snapshot",
	 .does = "A snapshot, its newest version"},
	{"GET", "/api/v1/snapshots/{name}/{version}", snapshot_one, WHO_PERSON, ROLE_VIEWER, .answers = "Snapshot",
	 .does = "A version of a snapshot"},
	{"DELETE", "/api/v1/snapshots/{name}/{version}", snapshot_gone, WHO_PERSON, ROLE_ADMIN, .answers = "{}",
	 .does = "Removes a version of a snapshot"},
};
const size_t environment_row_count = ARRAY_LEN(environment_rows);
