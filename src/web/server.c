/* Rows of the server itself, of verification without a run, and of records. */
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "vault/vault.h"
#include "verify/declared.h"
#include "verify/reproduction.h"
#include "verify/verify.h"
#include "web/openapi.h"
#include "web/web_priv.h"

static json_t *status(struct call *call, struct err *err)
{
	const struct web *web = call->web;
	AUTO_JSON environments = environment_list(web->options.environments, err);
	int unfinished = 0;
	int active = 0;

	if (!environments)
		return NULL;
	runs_count(web->options.runs, &unfinished, &active);
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:b, s:i, s:i}", "version", ASSAY_VERSION, "pid", (int)getpid(),
			 "state_dir", web->state_dir, "pages", web->base, "preview_base", web->preview_base, "started_ms",
			 (json_int_t)web->started_ms, "idle", !unfinished && !json_array_size(environments), "runs", unfinished,
			 "environments", (int)json_array_size(environments));
}

static json_t *doctor(struct call *call, struct err *err)
{
	const struct web_options *options = &call->web->options;

	if (options->doctor)
		return options->doctor(options->self);
	(void)err_set(err, ERR_NOT_FOUND, "this server cannot examine its machine");
	return NULL;
}

static json_t *openapi(struct call *call, struct err *err)
{
	const struct surface *surface = &call->web->main;

	(void)err;
	return openapi_make(surface->rows, surface->row_count, call->web->base);
}

static json_t *reload(struct call *call, struct err *err)
{
	const struct web_options *options = &call->web->options;

	return options->reload ? options->reload(options->self, err) : json_pack("{s:[], s:[]}", "changed", "later");
}

static json_t *end(struct call *call, struct err *err)
{
	(void)err;
	call->web->options.shutdown(call->web->options.self);
	return json_object();
}

static json_t *verify_work(struct job *job, struct progress progress, struct err *err)
{
	const char *name = json_text(job->body, "repository", "");
	AUTO_FREE char *repository = runs_repository_path(job->web->options.runs, name, err);
	AUTO_FREE char *sessions = text_format("%s/sessions/%s", job->web->state_dir, name);
	AUTO_FREE char *cache = text_format("%s/verify/cache", job->web->state_dir);
	AUTO_FREE char *artefacts = NULL;
	struct verify_request request = {
		.cache_dir = cache,
		.environments = job->web->options.environments,
		.repository = repository,
		.sessions_dir = file_is_dir(sessions) ? sessions : NULL,
		.attempt = 1,
		.attempts = 1,
		.declared = json_member(job->body, "declared"),
		.sources = runs_verify_sources(job->web->options.runs),
		.progress = progress,
		.world = job->web->options.world,
	};
	AUTO_JSON secrets = session_values(job->web);
	const json_t *finding = json_member(job->body, "finding");
	const struct reproduction reproduction = {.gate = json_text(finding, "gate", ""),
						  .session = json_text(finding, "session", NULL),
						  .entry = json_number(finding, "entry", -1),
						  .snapshot = json_member(job->body, "snapshot")};
	struct run_id id = run_id_new(job->web->options.world);
	json_t *report = NULL;

	if (!repository || git_resolve(repository, json_text(job->body, "base", ""), &request.base, err) ||
	    git_resolve(repository, json_text(job->body, "head", ""), &request.head, err))
		return NULL;
	artefacts = text_format("%s/verify/%s", job->web->state_dir, id.text);
	request.artefacts_dir = artefacts;
	request.secrets = secrets;
	if (json_is_object(finding)) {
		request.reproduction = &reproduction;
		request.cache_dir = NULL; /* everything afresh */
	}
	return verify_run(&request, &report, err) ? NULL : report;
}

/* Texts become declarations of who calls. */
static int declarations_take(struct call *call, struct err *err)
{
	const json_t *texts = json_member(call->body, "declare");
	AUTO_JSON declared = json_array();

	if (json_array_size(texts) > DECLARATIONS_MAX)
		return err_set(err, ERR_LIMIT, "`declare` has at most %d texts", DECLARATIONS_MAX);
	for (size_t i = 0; i < json_array_size(texts); i++) {
		const char *match = json_string_value(json_array_get(texts, i));

		if (!match)
			return err_set(err, ERR_INVALID, "`declare` is a list of texts");
		if (declaration_check(match, err))
			return err_prefix(err, "`declare`");
		(void)json_array_append_new(
			declared, json_pack("{s:s, s:s, s:s}", "match", match, "by", request_author(call), "because", ""));
	}
	(void)json_object_set(call->body, "declared", declared);
	return 0;
}

static json_t *verify(struct call *call, struct err *err)
{
	if (declarations_take(call, err))
		return NULL;
	return work_stream(call, NULL, verify_work, err);
}

static json_t *record_key(struct call *call, struct err *err)
{
	AUTO_BUF pem = buf_new((size_t)1 << 16);

	if (vault_public_key(call->web->options.vault, &pem, err))
		return NULL;
	return request_bytes(call, "application/x-pem-file", buf_view(&pem));
}

const struct row server_rows[] = {
	{"GET", "/api/v1/status", status, WHO_PERSON, ROLE_VIEWER, .answers = "Status", .does = "The server and what it has to do"},
	{"GET", "/api/v1/doctor", doctor, WHO_PERSON, ROLE_VIEWER, .answers = "[Check]",
	 .does = "What this machine can do, and how to get what it lacks"},
	{"GET", "/api/v1/openapi.json", openapi, WHO_PERSON, ROLE_VIEWER, .answers = "object", .does = "This document"},
	{"POST", "/api/v1/reload", reload, WHO_CLI, ROLE_ADMIN, .answers = "Reloaded",
	 .does = "Reads the configuration and the policy again; what is wrong in them is the error, and all stays as it was"},
	{"POST", "/api/v1/shutdown", end, WHO_CLI, ROLE_ADMIN, .answers = "{}",
	 .does = "Ends the server; environments stop, their state stays"},
	{"POST", "/api/v1/verify", verify, WHO_CLI, ROLE_DEVELOPER,
	 .fields = {{"repository", FIELD_LINE, true},
		    {"base", FIELD_LINE, true},
		    {"head", FIELD_LINE, true},
		    {"declare", FIELD_LIST, false},
		    {"finding", FIELD_OBJECT, false},
		    {"snapshot", FIELD_OBJECT, false}},
	 .answers = "stream Report",
	 .does = "Judges one commit against another, without a run; `finding` (of a record: gate, session, entry): only what that one needs, "
		 "on the record's `snapshot` where it is here"},
	{"GET", "/api/v1/records/key", record_key, WHO_PERSON, ROLE_VIEWER, .answers = "bytes application/x-pem-file",
	 .does = "The public key that records and the ledger are signed with"},
	{"GET", "/api/v1/events", all_events, WHO_PERSON, ROLE_VIEWER, .answers = "events",
	 .does = "What changes: run, environment, issue, pull, hold. Always a stream",
	 .query = {{"after", "integer"}, {"follow", "flag"}}},
};
const size_t server_row_count = ARRAY_LEN(server_rows);
