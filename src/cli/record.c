/* assay record show|verify: the signed statements of verdicts. `verify` with a key needs no server. */
#include <stdio.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/record.h"
#include "cli/report.h"
#include "verify/record.h"

#define KEY_BYTES_MAX ((size_t)64 << 10)

int record_envelope(const char *program, const char *what, struct buf *envelope, struct err *err)
{
	AUTO_BUF text = buf_new(8 * RECORD_BYTES_MAX);
	struct view trimmed;
	const char *newline;

	if (!file_exists(what)) {
		AUTO_API struct api *api = api_open(program, true, err);
		AUTO_FREE char *path = api_path("/runs/{}/record", what);

		return api ? api_text(api, path, envelope, err) : -1;
	}
	if (file_read(what, &text, err))
		return -1;
	trimmed = view_trim(buf_view(&text));
	newline = trimmed.length && trimmed.at[0] == '{' ? memrchr(trimmed.at, '\n', trimmed.length) : NULL;
	/* A bundle has a record a line; an indented envelope ends in a lone bracket. */
	if (newline && newline + 1 < trimmed.at + trimmed.length && newline[1] == '{')
		trimmed = view_make(newline + 1, trimmed.length - (size_t)(newline + 1 - trimmed.at));
	buf_add_view(envelope, trimmed);
	return buf_finish(envelope, err);
}

json_t *record_payload(struct view envelope, struct err *err)
{
	AUTO_JSON outer = json_parse(envelope, err);
	AUTO_BUF payload = buf_new(RECORD_BYTES_MAX);
	const char *encoded;

	if (!outer || json_text_get(outer, "payload", &encoded, err) || buf_add_unbase64(&payload, view_of(encoded), err))
		return NULL;
	return json_parse(buf_view(&payload), err);
}

static void statement_draw(const json_t *statement, bool all)
{
	size_t index;
	json_t *subject;
	const json_t *predicate = json_member(statement, "predicate");
	const json_t *snapshot = json_member(predicate, "snapshot");
	AUTO_BUF when = buf_new(64);

	time_format(&when, json_number(predicate, "started_ms", 0));
	json_array_foreach(json_member(statement, "subject"), index, subject) {
		AUTO_FREE char *name = terminal_line(json_text(subject, "name", ""));

		printf("%s %s %.12s", index ? " and" : "record of", name,
		       json_text(json_member(subject, "digest"), "gitCommit", ""));
	}
	printf(", %s\n", when.at);
	if (json_is_object(snapshot))
		printf("snapshot %s/%lld, blueprint %.12s, assay %s\n", json_text(snapshot, "name", ""),
		       (long long)json_number(snapshot, "version", 0), json_text(predicate, "blueprint_digest", ""),
		       json_text(json_member(predicate, "tool"), "version", ""));
	report_draw(predicate, (struct report_form){.all = all});
}

static int bundle_print(const char *program, const char *run)
{
	AUTO_BUF text = buf_new(RECORD_BYTES_MAX);
	AUTO_FREE char *path = api_path("/runs/{}/attestations", run);
	struct err err = {0};
	AUTO_API struct api *api = api_open(program, true, &err);

	if (!api || api_text(api, path, &text, &err))
		return cli_fail(program, false, &err);
	printf("%.*s\n", (int)text.length, text.at);
	return CLI_DONE;
}

static int record_show(int argc, char **argv)
{
	static const char program[] = "assay record show";
	bool as_json = false;
	bool sealed = false;
	bool bundle = false;
	bool all = false;
	const struct cli_option options[] = {
		{.name = "envelope", .help = "the record itself, signature and all: for a file", .flag = &sealed},
		{.name = "bundle",
		 .help = "the run's bundle: the record, a test result and a SLSA verification summary, an envelope a line",
		 .flag = &bundle},
		{.name = "all", .help = "findings that only inform, too", .flag = &all},
		{.name = "json", .help = "the statement as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = program,
					.arguments = "FILE|RUN [--all | --envelope | --bundle] [--json]",
					.about = "Shows what a record says. It is not checked: assay record verify does that.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);
	AUTO_JSON statement = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (bundle)
		return bundle_print(program, argv[1]);
	if (record_envelope(program, argv[1], &envelope, &err) == 0)
		statement = record_payload(buf_view(&envelope), &err);
	if (!statement)
		return cli_fail(program, as_json, &err);
	if (sealed)
		printf("%.*s\n", (int)envelope.length, envelope.at);
	else if (as_json)
		cli_print_json(statement);
	else
		statement_draw(statement, all);
	return CLI_DONE;
}

int record_key_read(const char *program, const char *path, struct buf *pem, struct err *err)
{
	AUTO_API struct api *api = NULL;

	if (path)
		return file_read(path, pem, err);
	api = api_open(program, true, err);
	return api ? api_text(api, "/records/key", pem, err) : -1;
}

static int record_check(int argc, char **argv)
{
	static const char program[] = "assay record verify";
	const char *key = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "key", .value = "PEM", .help = "the public key, in a file (default: this server's)", .text = &key},
		{.name = "json", .help = "the statement as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "FILE|RUN [--key PEM] [--json]",
		.about =
			"Checks the signature and shape of a record, or of all that is in a bundle. Exits with 0 when both are good,\n"
			"whatever the verdict is; with a file and --key no server is asked.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);
	AUTO_BUF pem = buf_new(KEY_BYTES_MAX);
	AUTO_JSON statement = NULL;
	size_t index;
	json_t *subject;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if ((file_exists(argv[1]) ? file_read(argv[1], &envelope, &err) : record_envelope(program, argv[1], &envelope, &err)) ||
	    record_key_read(program, key, &pem, &err) ||
	    record_bundle_verify(buf_view(&envelope), buf_view(&pem), &statement, &err))
		return cli_fail(program, as_json, &err);
	if (as_json) {
		cli_print_json(statement);
		return CLI_DONE;
	}
	printf("%s✓ the signature is good%s:", terminal_tone(stdout, TONE_GOOD), terminal_end(stdout));
	json_array_foreach(json_member(statement, "subject"), index, subject)
		printf("%s %.12s of %s", index ? " and" : "", json_text(json_member(subject, "digest"), "gitCommit", ""),
		       json_text(subject, "name", ""));
	printf(" is %s\n", json_text(json_member(statement, "predicate"), "verdict", ""));
	return CLI_DONE;
}

static int record_key(int argc, char **argv)
{
	static const char program[] = "assay record key";
	const struct cli_usage usage = {
		.program = program,
		.arguments = "",
		.about = "Prints the public key of this server's vault (PEM): all that checking a record needs."};
	AUTO_BUF pem = buf_new(KEY_BYTES_MAX);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (record_key_read(program, NULL, &pem, &err))
		return cli_fail(program, false, &err);
	printf("%.*s", (int)pem.length, pem.at);
	return CLI_DONE;
}

static const struct cli_command commands[] = {
	{"show", "FILE|RUN [--all | --envelope | --bundle] [--json]", "shows what a record says", record_show},
	{"key", "", "prints the public key that records are checked with", record_key},
	{"verify", "FILE|RUN [--key PEM] [--json]", "checks a record's signature", record_check},
};

int cli_record(int argc, char **argv)
{
	return cli_dispatch("assay record", commands, ARRAY_LEN(commands), argc, argv);
}
