/* assay session import|hold|held|release: what others recorded becomes a session; sessions that the organisation holds out. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/api.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "session/import.h"

/* A file that is too large is not read at all. */
static int bounded_read(const char *path, struct buf *text, struct err *err)
{
	struct stat facts;

	if (stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > (off_t)IMPORT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "%s: %lld MiB: at most %zu MiB are read; take a part of it", path,
			       (long long)facts.st_size >> 20, IMPORT_BYTES_MAX >> 20);
	return file_read(path, text, err);
}

int session_name_keep(void *self, const char *value, struct err *err)
{
	json_t *text = json_string(value);

	return text && !strchr(value, ',') && json_array_append_new(self, text) == 0
		       ? 0
		       : err_set(err, ERR_INVALID, "--keep: one name of a header or field");
}

/* "/sessions/hide?keep=a,b&values=1" */
static char *path_with(const char *path, const json_t *keep, bool values)
{
	AUTO_BUF text = buf_new((size_t)64 << 10);

	buf_add_format(&text, "%s?values=%d", path, values);
	for (size_t i = 0; i < json_array_size(keep); i++) {
		buf_add_text(&text, i ? "%2C" : "&keep=");
		buf_add_url(&text, view_of(json_string_value(json_array_get(keep, i))));
	}
	return buf_take(&text);
}

int session_write(const char *program, const struct session_writing *writing, struct err *err)
{
	AUTO_BUF har = buf_new(HAR_BYTES_MAX);
	AUTO_BUF text = buf_new(HAR_BYTES_MAX * 2);
	AUTO_FREE char *path = path_with("/sessions/hide", writing->keep, writing->values);
	AUTO_API struct api *api = api_open(program, true, err);
	AUTO_JSON hidden = NULL;

	har_format(&har, writing->session);
	if (!api || buf_finish(&har, err))
		return -1;
	hidden = api_post_bytes(api, path, buf_view(&har), err);
	if (!hidden)
		return -1;
	if (!writing->output) {
		cli_print_json(hidden);
		return 0;
	}
	json_format_pretty(&text, hidden);
	buf_add_char(&text, '\n');
	if (buf_finish(&text, err) || file_replace(writing->output, buf_view(&text), 0644, err))
		return -1;
	fprintf(stderr, "%s: %zu requests written to %s\n", program, writing->session->count, writing->output);
	return 0;
}

static void left_out_tell(const char *program, const json_t *lines)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		AUTO_FREE char *line = terminal_line(json_string_value(json_array_get(lines, i)));

		fprintf(stderr, "%s: left out: %s\n", program, line);
	}
}

int session_import(int argc, char **argv)
{
	static const char program[] = "assay session import";
	AUTO_JSON keep = json_array();
	bool forms[4] = {false};
	bool values = false;
	const char *output = NULL;
	const struct cli_option options[] = {
		{.name = "output", .value = "FILE", .help = "write it here (-o FILE; default: standard output)", .text = &output},
		{.name = "keep",
		 .value = "NAME",
		 .help = "leave what stands under this name of a header or field as it is; may be given several times",
		 .each = session_name_keep,
		 .self = keep},
		{.name = "with-values",
		 .help = "keep its secrets on this server, sealed, so that logins can be replayed",
		 .flag = &values},
		{.name = "har", .help = "it is a HAR file (1.2)", .flag = &forms[0]},
		{.name = "openapi", .help = "it is an OpenAPI 3 document: its examples", .flag = &forms[1]},
		{.name = "postman", .help = "it is a Postman collection (v2.1)", .flag = &forms[2]},
		{.name = "log", .help = "it is an access log (Common or Combined)", .flag = &forms[3]},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "FILE [-o FILE.har] [--har | --openapi | --postman | --log] [--keep NAME]... [--with-values]",
		.about =
			"Makes a session of what others recorded or wrote down: a HAR file, the examples of an OpenAPI document, a Postman\n"
			"collection, an access log. Secrets are replaced by a keyed hash, so that what belongs together is still found.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	enum import_form form = IMPORT_GUESS;
	AUTO_BUF text = buf_new(IMPORT_BYTES_MAX);
	AUTO_IMPORT import = {.left_out = NULL};
	struct err err = {0};
	int code = CLI_DONE;

	session_short_options(argc, argv);
	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (forms[i] && form != IMPORT_GUESS)
			return cli_refuse(program, "one of --har, --openapi, --postman and --log");
		if (forms[i])
			form = (enum import_form)(i + 1);
	}
	if (bounded_read(argv[1], &text, &err) || import_parse(buf_view(&text), argv[1], form, &import, &err))
		return cli_fail(program, false, &err);
	buf_fini(&text);
	left_out_tell(program, import.left_out);
	if (!import.session.count) {
		(void)err_set(&err, ERR_INVALID, "%s: nothing in it can be asked again", argv[1]);
		return cli_fail(program, false, &err);
	}
	if (session_write(program, &(struct session_writing){&import.session, keep, values, output}, &err))
		return cli_fail(program, false, &err);
	return CLI_DONE;
}

/* ---- held out ---- */

static char *held_path(const char *repository, const char *name)
{
	return name ? api_path("/repositories/{}/sessions/{}", repository, name)
		    : api_path("/repositories/{}/sessions", repository);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int session_hold(int argc, char **argv)
{
	static const char program[] = "assay session hold";
	AUTO_JSON keep = json_array();
	bool values = false;
	const struct cli_option options[] = {
		{.name = "keep",
		 .value = "NAME",
		 .help = "leave what stands under this name of a header or field as it is; may be given several times",
		 .each = session_name_keep,
		 .self = keep},
		{.name = "with-values",
		 .help = "keep its secrets on this server, sealed, so that logins can be replayed",
		 .flag = &values},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "REPOSITORY FILE.har [--keep NAME]... [--with-values]",
		.about =
			"Holds a session out: every verification of the repository replays it, but it is in no repository, and no agent\n"
			"sees more of it than the one request that fails.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 2,
		.positional_max = 2};
	AUTO_BUF text = buf_new(IMPORT_BYTES_MAX);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (bounded_read(argv[2], &text, &err))
		return cli_fail(program, false, &err);
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *plain = held_path(argv[1], base_name(argv[2]));
	AUTO_FREE char *path = path_with(plain, keep, values);
	AUTO_JSON done = api ? api_post_bytes(api, path, buf_view(&text), &err) : NULL;
	return done ? CLI_DONE : cli_fail(program, false, &err);
}

int session_held(int argc, char **argv)
{
	static const char program[] = "assay session held";
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print them as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = program,
					.arguments = "REPOSITORY [--json]",
					.about = "Lists the sessions that are held out for a repository.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	struct err err = {0};
	struct table *table;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *path = held_path(argv[1], NULL);
	AUTO_JSON items = api ? api_items(api, path, &err) : NULL;
	if (!items)
		return cli_fail(program, as_json, &err);
	if (as_json) {
		list_print_json(items);
		return CLI_DONE;
	}
	table = table_new((const char *const[]){"SESSION", "SIZE", NULL});
	for (size_t i = 0; i < json_array_size(items); i++) {
		table_cell(table, json_text(json_array_get(items, i), "name", ""));
		table_cell_bytes(table, json_number(json_array_get(items, i), "bytes", 0));
	}
	table_end(table, "no session is held out: assay session hold REPOSITORY FILE.har");
	return CLI_DONE;
}

int session_release(int argc, char **argv)
{
	static const char program[] = "assay session release";
	const struct cli_usage usage = {.program = program,
					.arguments = "REPOSITORY NAME.har",
					.about = "Holds a session out no more: it is removed.",
					.positional_min = 2,
					.positional_max = 2};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *path = held_path(argv[1], argv[2]);
	AUTO_JSON done = api ? api_delete(api, path, &err) : NULL;
	return done ? CLI_DONE : cli_fail(program, false, &err);
}
