/*
 * Rows of the agent's tools. The gateway says in X-Assay-Env which environment the caller is in, on a socket that nobody else can
 * reach; nothing in the request itself can name another one.
 */
#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "verify/verify.h"
#include "web/web_priv.h"

#define OUTPUT_BYTES_MAX ((size_t)4 << 20)
#define LOG_LINES_MAX 10000

static int own_environment(const struct call *call, struct env_id *env, struct err *err)
{
	const char *text = http_request_header(call->request, "X-Assay-Env");

	if (!text || env_id_parse(view_of(text), env, err))
		return err_set(err, ERR_DENIED, "this call comes from no environment");
	return 0;
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

	return own_environment(call, &env, err) ? NULL : work_stream(call, &env, deploy_work, err);
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
	    environment_query(call->web->options.environments, env, json_text(call->body, "database", ""),
			      json_text(call->body, "statement", ""), &output, err))
		return NULL;
	answer = json_object();
	json_set_bytes(answer, "output", buf_view(&output));
	return answer;
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
	AUTO_JSON report = NULL;
	json_t *answer;

	request.repository = repository;
	request.artefacts_dir = artefacts;
	request.cache_dir = cache;
	if (!repository || environment_export(environments, job->env, &request.base, ref, "tried", &request.head, err) ||
	    verify_run(&request, &report, err))
		return NULL;
	verify_feedback(&feedback, report);
	answer = json_pack("{s:s, s:s, s:O}", "verdict", verdict_name(verdict_of(report)), "reason",
			   json_text(report, "reason", ""), "gates", json_member(report, "gates"));
	json_set_bytes(answer, "feedback", buf_view(&feedback));
	return answer;
}

static json_t *verify(struct call *call, struct err *err)
{
	struct env_id env;

	return own_environment(call, &env, err) ? NULL : work_stream(call, &env, verify_work, err);
}

static json_t *done(struct call *call, struct err *err)
{
	struct env_id env;

	if (own_environment(call, &env, err) ||
	    runs_tool_done(call->web->options.runs, env, json_text(call->body, "summary", ""), err))
		return NULL;
	return json_object();
}

const struct row tool_rows[] = {
	{"GET", "/tool/v1/environment", environment, WHO_TOOL, false, {{0}}},
	{"POST", "/tool/v1/deploy", deploy, WHO_TOOL, true, {{"service", FIELD_LINE, false}}},
	{"GET", "/tool/v1/tests", tests, WHO_TOOL, false, {{0}}},
	{"GET", "/tool/v1/logs", logs, WHO_TOOL, false, {{0}}},
	{"POST", "/tool/v1/query", query, WHO_TOOL, true, {{"database", FIELD_LINE, true}, {"statement", FIELD_TEXT, true}}},
	{"POST", "/tool/v1/verify", verify, WHO_TOOL, true, {{0}}},
	{"POST", "/tool/v1/done", done, WHO_TOOL, true, {{"summary", FIELD_TEXT, false}}},
};
const size_t tool_row_count = ARRAY_LEN(tool_rows);
