/*
 * Rows of the agent's tools. The gateway says in X-Assay-Env which environment the caller is in, on a socket that nobody else can
 * reach; nothing in the request itself can name another one.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "verify/verify.h"
#include "web/web_priv.h"

#define OUTPUT_BYTES_MAX ((size_t)4 << 20)
#define LOG_LINES_MAX 10000
#define TRACE_ITEMS 10
#define TRACE_ITEMS_MAX 200

static int own_environment(const struct call *call, struct env_id *env, struct err *err)
{
	const char *text = http_request_header(call->request, "X-Assay-Env");

	if (!text || env_id_parse(view_of(text), env, err))
		return err_set(err, ERR_DENIED, "this call comes from no environment");
	return 0;
}

/* A reviewer's environment is there to be looked at: nothing is deployed, broken, judged or asked from it. */
static int working_environment(const struct call *call, struct env_id *env, struct err *err)
{
	AUTO_JSON shown = own_environment(call, env, err) ? NULL : environment_show(call->web->options.environments, *env, err);

	if (!shown)
		return -1;
	return strcmp(json_text(shown, "purpose", ""), "opinion") == 0
		       ? err_set(err, ERR_DENIED, "this environment is for a second opinion: it can be looked at, and no more")
		       : 0;
}

/* Does the statement only look? One statement, by its first word: what it could still do stays in a copy that is thrown away. */
static bool statement_looks(const char *statement)
{
	static const char *const words[] = {"select", "show",     "explain", "get",    "mget",   "hget", "hgetall", "lrange",
					    "llen",   "smembers", "scard",   "zrange", "zcard",  "keys", "scan",    "exists",
					    "ttl",    "type",     "xlen",    "xrange", "dbsize", NULL};
	struct view rest = view_trim(view_of(statement));
	size_t length = 0;

	if (rest.length && rest.at[rest.length - 1] == ';')
		rest.length--;
	while (length < rest.length && isalpha((unsigned char)rest.at[length]))
		length++;
	for (size_t i = 0; words[i]; i++)
		if (strlen(words[i]) == length && strncasecmp(words[i], rest.at, length) == 0)
			return !memchr(rest.at, ';', rest.length);
	return false;
}

static json_t *environment(struct call *call, struct err *err)
{
	struct env_id env;

	return own_environment(call, &env, err) ? NULL : environment_show(call->web->options.environments, env, err);
}

static json_t *deploy_work(struct job *job, struct progress progress, struct err *err)
{
	if (environment_deploy(job->web->options.environments, job->env, json_text(job->body, "service", NULL), progress, err))
		return NULL;
	return environment_show(job->web->options.environments, job->env, err);
}

static json_t *deploy(struct call *call, struct err *err)
{
	struct env_id env;

	return working_environment(call, &env, err) ? NULL : work_stream(call, &env, deploy_work, err);
}

/* The bare repository and the commit that the environment was made from. */
static char *origin_of(const struct web *web, struct env_id env, struct git_hash *commit, struct err *err)
{
	AUTO_JSON shown = environment_show(web->options.environments, env, err);
	const char *repository = json_text(shown, "repository", "");

	if (!shown || git_hash_parse(view_of(json_text(shown, "commit", "")), commit, err))
		return NULL;
	return repository[0] == '/' ? text_copy(repository) : runs_repository_path(web->options.runs, repository, err);
}

static void line_of(struct buf *out, const struct command *command)
{
	if (command->shell)
		buf_add_text(out, command->shell);
	for (char **word = command->argv; word && *word; word++) {
		if (out->length)
			buf_add_char(out, ' ');
		buf_add_shell(out, view_of(*word));
	}
}

/* What the base says, not what the agent made of it. */
static json_t *tests(struct call *call, struct err *err)
{
	struct env_id env;
	struct git_hash commit;
	AUTO_FREE char *repository = own_environment(call, &env, err) ? NULL : origin_of(call->web, env, &commit, err);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	AUTO_BLUEPRINT blueprint = NULL;
	json_t *items;

	if (!repository || git_file_read(repository, &commit, "assay.yaml", &text, err))
		return NULL;
	blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!blueprint)
		return NULL;
	items = json_array();
	for (size_t i = 0; i < blueprint->test_count; i++) {
		const struct test_suite *suite = &blueprint->tests[i];
		AUTO_BUF line = buf_new((size_t)1 << 16);
		json_t *item = json_object();

		line_of(&line, &suite->run);
		json_set_bytes(item, "name", view_of(suite->name));
		json_set_bytes(item, "run", buf_view(&line));
		json_set_bytes(item, "dir", view_of(suite->dir ? suite->dir : "."));
		if (suite->report)
			json_set_bytes(item, "report", view_of(suite->report));
		(void)json_array_append_new(items, item);
	}
	return items_of(items);
}

static json_t *logs(struct call *call, struct err *err)
{
	AUTO_FREE char *sandbox = http_request_query(call->request, "sandbox");
	AUTO_BUF bytes = buf_new(OUTPUT_BYTES_MAX);
	struct env_id env;
	int64_t lines;

	if (own_environment(call, &env, err) || request_query(call, "lines", 200, LOG_LINES_MAX, &lines, err) ||
	    environment_logs(call->web->options.environments, env, sandbox && sandbox[0] ? sandbox : NULL, (int)lines, NULL, &bytes,
			     err))
		return NULL;
	return request_bytes(call, "text/plain; charset=utf-8", buf_view(&bytes));
}

static json_t *query(struct call *call, struct err *err)
{
	AUTO_BUF output = buf_new(OUTPUT_BYTES_MAX);
	struct env_id env;
	json_t *answer;

	if (own_environment(call, &env, err) ||
	    (!statement_looks(json_text(call->body, "statement", "")) && working_environment(call, &env, err)) ||
	    environment_query(call->web->options.environments, env, json_text(call->body, "database", ""),
			      json_text(call->body, "statement", ""), &output, err))
		return NULL;
	answer = json_object();
	json_set_bytes(answer, "output", buf_view(&output));
	return answer;
}

/* The tree of a commit, owned; NULL: it is none. */
static char *tree_of(const char *repository, const struct git_hash *commit, struct err *err)
{
	AUTO_FREE char *name = text_format("%s^{tree}", commit->text);
	AUTO_BUF tree = buf_new(4096);

	if (git_run(repository, (const char *const[]){"rev-parse", name, NULL}, &(struct process_spec){.output = &tree}, NULL, err))
		return NULL;
	return view_copy(view_trim(buf_view(&tree)));
}

/* The tree as it is now, against where it started, by the gates that need no held-out evidence. The answer is what an agent is told
 * after a turn, and no more. */
static json_t *verify_work(struct job *job, struct progress progress, struct err *err)
{
	struct environments *environments = job->web->options.environments;
	struct verify_request request = {
		.environments = environments, .attempt = 1, .attempts = 1, .progress = progress, .world = job->web->options.world};
	AUTO_FREE char *repository = origin_of(job->web, job->env, &request.base, err);
	AUTO_FREE char *ref = text_format("refs/assay/tried/%s", job->env.text);
	AUTO_FREE char *artefacts = text_format("%s/verify/%s", job->web->state_dir, job->env.text);
	AUTO_FREE char *cache = text_format("%s/verify/cache", job->web->state_dir);
	AUTO_BUF feedback = buf_new(OUTPUT_BYTES_MAX);
	AUTO_FREE char *tree = NULL;
	AUTO_JSON report = NULL;
	json_t *answer;

	request.repository = repository;
	request.artefacts_dir = artefacts;
	request.cache_dir = cache;
	AUTO_JSON declared = runs_tool_declared(job->web->options.runs, job->env, err);

	request.declared = declared;
	request.sources = runs_verify_sources(job->web->options.runs);
	if (!declared || !repository ||
	    environment_export(environments, job->env, &request.base, ref, "tried", &request.head, err) ||
	    verify_run(&request, &report, err))
		return NULL;
	verify_feedback(&feedback, report);
	tree = tree_of(repository, &request.head, NULL);
	if (tree)
		runs_tool_verified(job->web->options.runs, job->env, tree,
				   verdict_of(report) == VERDICT_FAILED ? buf_view(&feedback).at : NULL);
	answer = json_pack("{s:s, s:s, s:O}", "verdict", verdict_name(verdict_of(report)), "reason",
			   json_text(report, "reason", ""), "gates", json_member(report, "gates"));
	json_set_bytes(answer, "feedback", buf_view(&feedback));
	return answer;
}

static json_t *verify(struct call *call, struct err *err)
{
	struct env_id env;

	return working_environment(call, &env, err) ? NULL : work_stream(call, &env, verify_work, err);
}

static json_t *reset_work(struct job *job, struct progress progress, struct err *err)
{
	if (environment_reset_data(job->web->options.environments, job->env, progress, err))
		return NULL;
	return environment_show(job->web->options.environments, job->env, err);
}

static json_t *reset_data(struct call *call, struct err *err)
{
	struct env_id env;

	return working_environment(call, &env, err) ? NULL : work_stream(call, &env, reset_work, err);
}

/* "front->catalog", or "front" for all that it asked and was asked. */
static bool on_seam(const json_t *exchange, struct view seam)
{
	ptrdiff_t arrow = view_find(seam, VIEW("->"));
	const char *from = json_text(exchange, "from", "");
	const char *to = json_text(exchange, "to", "");

	if (!seam.length)
		return true;
	if (arrow < 0)
		return view_is(seam, from) || view_is(seam, to);
	return view_is(view_trim(view_make(seam.at, (size_t)arrow)), from) &&
	       view_is(view_trim(view_make(seam.at + arrow + 2, seam.length - (size_t)arrow - 2)), to);
}

static json_t *exchanges(struct call *call, struct err *err)
{
	AUTO_FREE char *seam = http_request_query(call->request, "seam");
	AUTO_BUF lines = buf_new(EXCHANGES_BYTES_MAX);
	AUTO_JSON items = json_array();
	struct view rest;
	struct env_id env;
	int64_t limit;

	if (own_environment(call, &env, err) || request_query(call, "limit", TRACE_ITEMS, TRACE_ITEMS_MAX, &limit, err) ||
	    exchanges_read(call->web->options.environments, env, &lines, err))
		return NULL;
	rest = buf_view(&lines);
	while (rest.length && (int64_t)json_array_size(items) < limit) { /* the newest is the last line */
		size_t begin = rest.length - (rest.at[rest.length - 1] == '\n');
		size_t end = begin;
		AUTO_JSON exchange = NULL;

		while (begin && rest.at[begin - 1] != '\n')
			begin--;
		exchange = json_parse(view_make(rest.at + begin, end - begin), NULL);
		if (exchange && on_seam(exchange, seam ? view_trim(view_of(seam)) : VIEW("")))
			(void)json_array_insert(items, 0, exchange);
		rest.length = begin;
	}
	return items_of(TAKE(items));
}

/* The gateway's, who breaks the seams (gateway/fault.h). */
static json_t *faults(struct call *call, struct err *err)
{
	AUTO_JSON body = json_copy(call->body);
	AUTO_JSON items = NULL;
	struct env_id env;

	if (own_environment(call, &env, err) || (json_member(body, "kind") && working_environment(call, &env, err)))
		return NULL;
	if (!json_member(body, "kind"))
		json_set_bytes(body, "kind", VIEW("list"));
	items = environment_fault(call->web->options.environments, env, body, err);
	return items ? json_pack("{s:O}", "items", items) : NULL;
}

static json_t *ask(struct call *call, struct err *err)
{
	struct env_id env;

	if (own_environment(call, &env, err))
		return NULL;
	return runs_tool_ask(call->web->options.runs, env, json_text(call->body, "question", ""),
			     json_number(call->body, "wait_s", 0) * 1000, err);
}

static json_t *question(struct call *call, struct err *err)
{
	struct env_id env;
	int64_t id;

	if (own_environment(call, &env, err) || request_number(call, "id", &id, err))
		return NULL;
	return runs_tool_question(call->web->options.runs, env, id, err);
}

/* What a program asks before it ends. */
static json_t *gate(struct call *call, struct err *err)
{
	AUTO_FREE char *repository = NULL;
	AUTO_FREE char *ref = NULL;
	AUTO_FREE char *tree = NULL;
	struct git_hash base;
	struct git_hash head;
	struct env_id env;

	if (own_environment(call, &env, err))
		return NULL;
	repository = origin_of(call->web, env, &base, err);
	ref = text_format("refs/assay/tried/%s", env.text);
	if (!repository || environment_export(call->web->options.environments, env, &base, ref, "tried", &head, err))
		return NULL;
	tree = tree_of(repository, &head, err);
	return tree ? runs_tool_gate(call->web->options.runs, env, strcmp(head.text, base.text) != 0, tree, err) : NULL;
}

static json_t *declare(struct call *call, struct err *err)
{
	struct env_id env;

	if (own_environment(call, &env, err) ||
	    runs_tool_declare(call->web->options.runs, env, json_text(call->body, "difference", ""),
			      json_text(call->body, "because", ""), err))
		return NULL;
	return json_object();
}

static json_t *done(struct call *call, struct err *err)
{
	struct env_id env;

	if (own_environment(call, &env, err) ||
	    runs_tool_done(call->web->options.runs, env, json_text(call->body, "summary", ""), err))
		return NULL;
	return json_object();
}

/* Of a page that it made, for who reviews it. */
static json_t *picture(struct call *call, struct err *err)
{
	AUTO_FREE char *name = http_request_query(call->request, "name");
	struct env_id env;

	return working_environment(call, &env, err)
		       ? NULL
		       : runs_tool_picture(call->web->options.runs, env, name ? name : "", call->request->body, err);
}

const struct row tool_rows[] = {
	{"GET", "/tool/v1/environment", environment, WHO_TOOL, false, {{0}}},
	{"POST", "/tool/v1/deploy", deploy, WHO_TOOL, true, {{"service", FIELD_LINE, false}}},
	{"POST", "/tool/v1/reset-data", reset_data, WHO_TOOL, true, {{0}}},
	{"GET", "/tool/v1/exchanges", exchanges, WHO_TOOL, false, {{0}}},
	{"GET", "/tool/v1/faults", faults, WHO_TOOL, false, {{0}}},
	{"POST",
	 "/tool/v1/faults",
	 faults,
	 WHO_TOOL,
	 true,
	 {{"kind", FIELD_LINE, true}, {"seam", FIELD_LINE, false}, {"times", FIELD_NUMBER, false}, {"ms", FIELD_NUMBER, false}}},
	{"POST", "/tool/v1/ask", ask, WHO_TOOL, true, {{"question", FIELD_TEXT, true}, {"wait_s", FIELD_NUMBER, false}}},
	{"GET", "/tool/v1/ask/{id}", question, WHO_TOOL, false, {{0}}},
	{"GET", "/tool/v1/tests", tests, WHO_TOOL, false, {{0}}},
	{"GET", "/tool/v1/logs", logs, WHO_TOOL, false, {{0}}},
	{"POST", "/tool/v1/query", query, WHO_TOOL, true, {{"database", FIELD_LINE, true}, {"statement", FIELD_TEXT, true}}},
	{"POST", "/tool/v1/verify", verify, WHO_TOOL, true, {{0}}},
	{"POST", "/tool/v1/gate", gate, WHO_TOOL, true, {{0}}},
	{"POST", "/tool/v1/declare", declare, WHO_TOOL, true, {{"difference", FIELD_LINE, true}, {"because", FIELD_LINE, true}}},
	{"POST", "/tool/v1/pictures", picture, WHO_TOOL, true, .raw_bytes_max = RUNS_PICTURE_BYTES_MAX},
	{"POST", "/tool/v1/done", done, WHO_TOOL, true, {{"summary", FIELD_TEXT, false}}},
};
const size_t tool_row_count = ARRAY_LEN(tool_rows);
