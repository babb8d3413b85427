/* assay ledger: what was asked, decided, released and stopped, and whether the log of it holds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define ROWS_A_CALL 5000
#define SHOWN_DEFAULT 50

struct filter {
	const char *env, *run, *host, *rule, *kind, *request, *since, *until;
	int64_t limit;
};

#define FILTER_OPTIONS(filter)                                                                                                   \
	{.name = "env", .value = "ENV", .help = "of an environment", .text = &(filter).env},                                     \
		{.name = "run", .value = "RUN", .help = "of a run", .text = &(filter).run},                                      \
		{.name = "host", .value = "HOST", .help = "to a host; *.example.com: below it", .text = &(filter).host},         \
		{.name = "rule", .value = "RULE", .help = "decided by a rule; policy:*: that begin so", .text = &(filter).rule}, \
		{.name = "kind",                                                                                                 \
		 .value = "KIND",                                                                                                \
		 .help = "intent, outcome, verdict, finding, hold, answer, release, ...",                                        \
		 .text = &(filter).kind},                                                                                        \
		{.name = "since", .value = "TIME", .help = "how long ago at most: 10m, 24h, 7d", .text = &(filter).since},       \
	{                                                                                                                        \
		.name = "until", .value = "TIME", .help = "how long ago at least", .text = &(filter).until                       \
	}

static void query_add(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_add_char(path, memchr(path->at, '?', path->length) ? '&' : '?');
	buf_add_text(path, name);
	buf_add_char(path, '=');
	buf_add_url(path, view_of(value));
}

static int ago_add(struct buf *path, const char *name, const char *ago, struct err *err)
{
	int64_t ms;
	AUTO_FREE char *text = NULL;

	if (!ago)
		return 0;
	if (duration_parse(view_of(ago), &ms, err))
		return err_prefix(err, "how long ago");
	text = text_format("%lld", (long long)(world_now_ms(world_real) - ms));
	query_add(path, name, text);
	return 0;
}

static int filter_path(const struct filter *filter, const char *base, struct buf *path, struct err *err)
{
	AUTO_FREE char *limit = filter->limit ? text_format("%lld", (long long)filter->limit) : NULL;

	buf_add_text(path, base);
	query_add(path, "env", filter->env);
	query_add(path, "run", filter->run);
	query_add(path, "host", filter->host);
	query_add(path, "rule", filter->rule);
	query_add(path, "kind", filter->kind);
	query_add(path, "request", filter->request);
	query_add(path, "limit", limit);
	return ago_add(path, "since_ms", filter->since, err) || ago_add(path, "until_ms", filter->until, err) ? -1 : 0;
}

/* What a row says, in one cell: texts are escaped since they were written. */
static char *row_text(const json_t *row)
{
	AUTO_BUF text = buf_new(65536);
	const char *method = json_text(row, "method", "");
	const char *host = json_text(row, "host", "");
	const char *detail = json_text(row, "detail", "");
	int64_t status = json_number(row, "status", 0);

	if (*host)
		buf_add_format(&text, "%s%s%s%s", method, *method ? " " : "", host, json_text(row, "path", ""));
	if (status)
		buf_add_format(&text, "%s%lld", text.length ? " " : "", (long long)status);
	if (*detail)
		buf_add_format(&text, "%s%s", text.length ? ": " : "", detail);
	buf_add_text(&text, "");
	return text.at ? buf_take(&text) : text_copy("");
}

static void rows_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"TIME", "KIND", "REQUEST", "ENV", "RULE", "WHAT", NULL});

	for (size_t i = json_array_size(items); i > 0; i--) { /* the newest at the end, where one looks */
		const json_t *row = json_array_get(items, i - 1);
		AUTO_FREE char *what = row_text(row);

		table_cell(table, json_text(row, "time", ""));
		table_cell(table, json_text(row, "kind", ""));
		table_cell(table, json_text(row, "request", ""));
		table_cell(table, json_text(row, "env", ""));
		table_cell(table, json_text(row, "rule", ""));
		table_cell(table, what);
	}
	table_end(table, "nothing in the ledger is like that");
}

/* Asks for the rows and prints them; *count (may be NULL) is how many there are. Returns what to exit with. */
static int rows_ask(const char *program, const struct filter *filter, bool as_json, size_t *count)
{
	AUTO_BUF path = buf_new(65536);
	struct err err = {0};

	if (filter_path(filter, "/ledger", &path, &err))
		return cli_refuse(program, "%s", err.text);
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_JSON items = api ? api_items(api, path.at, &err) : NULL;
	if (!items)
		return cli_fail(program, as_json, &err);
	if (as_json)
		list_print_json(items);
	else
		rows_print(items);
	if (count)
		*count = json_array_size(items);
	return CLI_DONE;
}

static int ledger_search(int argc, char **argv)
{
	struct filter filter = {.limit = SHOWN_DEFAULT};
	bool as_json = false;
	const struct cli_option options[] = {
		FILTER_OPTIONS(filter),
		{.name = "limit", .value = "N", .help = "at most so many, the newest (50)", .number = &filter.limit},
		{.name = "json", .help = "print them as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay ledger search",
					.arguments = "[--run RUN] [--host HOST] [--rule RULE] [--since TIME] [--json]",
					.about = "Finds rows of the ledger.",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	return rows_ask(usage.program, &filter, as_json, NULL);
}

static int ledger_show(int argc, char **argv)
{
	struct filter filter = {.limit = ROWS_A_CALL};
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print them as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = "assay ledger show",
					.arguments = "REQUEST [--json]",
					.about = "Shows all rows of a request: its number is in every refusal (`id q…`).",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	size_t count = 0;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	filter.request = argv[1];
	code = rows_ask(usage.program, &filter, as_json, &count);
	return code == CLI_DONE && !count ? CLI_FAILED : code;
}

/* One line of JSON a row, the oldest first, page after page. */
static int export_jsonl(struct api *api, const struct filter *filter, struct err *err)
{
	int64_t after = 0;

	for (;;) {
		AUTO_BUF path = buf_new(65536);
		AUTO_FREE char *number = text_format("%lld", (long long)after);
		AUTO_JSON items = NULL;
		size_t index;
		json_t *row;

		if (filter_path(filter, "/ledger", &path, err))
			return -1;
		query_add(&path, after ? "after" : "oldest_first", after ? number : "1");
		items = api_items(api, path.at, err);
		if (!items)
			return -1;
		json_array_foreach(items, index, row) {
			AUTO_BUF line = buf_new(65536);

			after = json_number(row, "id", 0);
			json_format(&line, row);
			printf("%s\n", line.at);
		}
		if (json_array_size(items) < (size_t)filter->limit)
			return 0;
	}
}

static int ledger_export(int argc, char **argv)
{
	struct filter filter = {.limit = ROWS_A_CALL};
	const char *format = "jsonl";
	const struct cli_option options[] = {
		FILTER_OPTIONS(filter),
		{.name = "format", .value = "FORMAT", .help = "jsonl (default) or cef", .text = &format},
	};
	const struct cli_usage usage = {.program = "assay ledger export",
					.arguments = "[--format jsonl|cef] [--run RUN] [--since TIME]",
					.about = "Writes rows of the ledger, the oldest first, for another program.",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	AUTO_BUF path = buf_new(65536);
	AUTO_BUF text = buf_new((size_t)1 << 30);
	struct err err = {0};
	int code = CLI_DONE;
	bool cef;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	cef = strcmp(format, "cef") == 0;
	if (!cef && strcmp(format, "jsonl") != 0)
		return cli_refuse(usage.program, "--format: expected jsonl or cef, not `%s`", format);
	if (filter_path(&filter, "/ledger", &path, &err))
		return cli_refuse(usage.program, "%s", err.text);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	if (!api)
		return cli_fail(usage.program, false, &err);
	if (!cef)
		return export_jsonl(api, &filter, &err) ? cli_fail(usage.program, false, &err) : CLI_DONE;
	filter.limit = 0; /* all of them */
	buf_clear(&path);
	if (filter_path(&filter, "/ledger/cef", &path, &err) || api_text(api, path.at, &text, &err))
		return cli_fail(usage.program, false, &err);
	if (text.length)
		(void)fwrite(text.at, 1, text.length, stdout);
	return CLI_DONE;
}

static void verified_print(const json_t *answer)
{
	size_t index, k;
	json_t *writer, *said;

	json_array_foreach(json_member(answer, "writers"), index, writer) {
		json_array_foreach(json_member(writer, "said"), k, said)
			printf("%s: %s\n", json_text(writer, "writer", ""), json_string_value(said));
		printf("%s: %s: %lld rows in %lld segments, %lld heads good, %lld rows after the last one\n",
		       json_text(writer, "writer", ""), json_number(writer, "breaks", 1) ? "BROKEN" : "holds",
		       (long long)json_number(writer, "rows", 0), (long long)json_number(writer, "segments", 0),
		       (long long)json_number(writer, "heads", 0), (long long)json_number(writer, "unsigned", 0));
	}
}

static int ledger_verify_all(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print the answer as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay ledger verify",
		.arguments = "[--json]",
		.about = "Reads all of the ledger and says whether it is what was written.\n"
			 "The server does that; whoever does not trust it takes assay-ledger-verify and the public key.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_post(api, "/ledger/verify", NULL, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		verified_print(answer);
	return json_flag(answer, "ok", false) ? CLI_DONE : CLI_FAILED;
}

static int ledger_heads(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay ledger heads",
					.arguments = "",
					.about = "Prints the newest signed head of each writer, to be kept elsewhere:\n"
						 "`assay-ledger-verify --heads FILE` then knows whether rows were cut off."};
	struct err err = {0};
	int code = CLI_DONE;
	size_t index;
	json_t *line;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? api_items(api, "/ledger/heads", &err) : NULL;
	if (!items)
		return cli_fail(usage.program, false, &err);
	json_array_foreach(items, index, line)
		printf("%s\n", json_string_value(line));
	return CLI_DONE;
}

int cli_ledger(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"search", "[--run RUN] [--host HOST] [--rule RULE] [--since TIME] [--json]", "finds rows", ledger_search, NULL},
		{"show", "REQUEST [--json]", "shows all rows of a request", ledger_show, NULL},
		{"export", "[--format jsonl|cef] [--run RUN]", "writes rows for another program", ledger_export, NULL},
		{"verify", "[--json]", "says whether all of it is what was written", ledger_verify_all, NULL},
		{"heads", "", "prints the newest signatures", ledger_heads, NULL},
	};

	return cli_dispatch("assay ledger", commands, ARRAY_LEN(commands), argc, argv);
}
