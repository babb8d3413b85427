/* assay explore: a session of requests that nobody has asked yet, from an OpenAPI document and from what was seen. */
#include <stdio.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "session/document.h"
#include "session/explore.h"

#define PROGRAM "assay explore"

static json_t *document_read(const char *path, struct err *err)
{
	AUTO_BUF text = buf_new(DOCUMENT_BYTES_MAX);

	return file_read(path, &text, err) ? NULL : document_parse(buf_view(&text), path, err);
}

/* What was asked of an environment's preview so far, or what a file has. */
static int seen_read(const char *env, const char *file, struct session *seen, struct err *err)
{
	AUTO_BUF text = buf_new(HAR_BYTES_MAX);

	if (file && file_read(file, &text, err))
		return -1;
	if (!file) {
		AUTO_API struct api *api = api_open(PROGRAM, true, err);
		AUTO_FREE char *path = api_path("/environments/{}/session", env);
		AUTO_JSON har = api ? api_post(api, path, NULL, err) : NULL;

		if (!har)
			return -1;
		json_format(&text, har);
	}
	return har_parse(buf_view(&text), seen, err) ? err_prefix(err, "%s", file ? file : env) : 0;
}

static int session_put(const struct session *session, const char *output, struct err *err)
{
	AUTO_BUF har = buf_new(HAR_BYTES_MAX);

	har_format(&har, session);
	if (buf_finish(&har, err))
		return -1;
	if (!output)
		return printf("%s", har.at) < 0 ? err_set(err, ERR_BROKEN, "cannot write") : 0;
	if (file_replace(output, buf_view(&har), 0644, err))
		return -1;
	fprintf(stderr, "%s: %zu requests written to %s\n", PROGRAM, session->count, output);
	return 0;
}

int cli_explore(int argc, char **argv)
{
	const char *openapi = NULL;
	const char *file = NULL;
	const char *output = NULL;
	const char *env;
	int given;
	int64_t seed = 1;
	int64_t count = EXPLORE_DEFAULT;
	const struct cli_option options[] = {
		{.name = "output", .value = "FILE", .help = "write it here (-o FILE; default: standard output)", .text = &output},
		{.name = "openapi", .value = "FILE", .help = "an OpenAPI 3 document, JSON or YAML", .text = &openapi},
		{.name = "session", .value = "FILE.har", .help = "a session of what was seen", .text = &file},
		{.name = "count", .value = "N", .help = "at most so many (default: 100; at most 5000)", .number = &count},
		{.name = "seed", .value = "N", .help = "the same seed makes the same requests (default: 1)", .number = &seed},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments = "[ENV] [--openapi FILE] [--session FILE.har] [--count N] [--seed N] [-o FILE.har]",
		.about =
			"Makes a session of requests that nobody has asked yet, one thing about each varied: empty, zero, null, long, unicode, at\n"
			"a boundary, missing, twice. From an OpenAPI document, from a session, or from what was asked of ENV's preview.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	AUTO_SESSION seen = {0};
	AUTO_SESSION made = {0};
	AUTO_JSON document = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	session_short_options(argc, argv);
	given = cli_options(&usage, argc, argv, &code);
	if (given < 0)
		return code;
	env = given ? argv[1] : NULL;
	if (!env && !openapi && !file)
		return cli_refuse(PROGRAM, "of what? ENV, --openapi FILE or --session FILE.har");
	if (!count || count > EXPLORE_MAX)
		return cli_refuse(PROGRAM, "--count: 1 to %d", EXPLORE_MAX);
	if (openapi && !(document = document_read(openapi, &err)))
		return cli_fail(PROGRAM, false, &err);
	if ((env || file) && seen_read(env, file, &seen, &err))
		return cli_fail(PROGRAM, false, &err);
	const struct explore_spec spec = {document, env || file ? &seen : NULL, (uint64_t)seed, (size_t)count};
	if (explore_make(&spec, &made, &err) || session_put(&made, output, &err))
		return cli_fail(PROGRAM, false, &err);
	return CLI_DONE;
}
