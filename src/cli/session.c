/* assay session record|list|show: recorded traffic in HAR files. */
#include <dirent.h>
#include <stdio.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "cli/api.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/table.h"
#include "http/har.h"

#define FOLDER_DEPTH_MAX 12
#define FILES_MAX 1000

void session_short_options(int argc, char **argv)
{
	static char output[] = "--output";

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-o") == 0)
			argv[i] = output;
}

static size_t entries_of(const json_t *har)
{
	return json_array_size(json_member(json_member(har, "log"), "entries"));
}

static int session_record(int argc, char **argv)
{
	static const char program[] = "assay session record";
	const char *output = NULL;
	AUTO_JSON keep = json_array();
	AUTO_JSON body = json_pack("{s:O}", "keep", keep);
	const struct cli_option options[] = {
		{.name = "output", .value = "FILE", .help = "write it here (-o FILE; default: standard output)", .text = &output},
		{.name = "keep",
		 .value = "NAME",
		 .help = "leave what stands under this name of a header or field as it is; may be given several times",
		 .each = session_name_keep,
		 .self = keep},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "ENV [-o FILE.har] [--keep NAME]...",
		.about =
			"Writes what was asked of an environment's preview so far as a session. Commit it below a path of `sessions:` in\n"
			"assay.yaml, and it is replayed by every verification. Secrets are replaced by a keyed hash; this server keeps them,\n"
			"sealed, so that logins can be replayed.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	AUTO_BUF text = buf_new(HAR_BYTES_MAX);
	struct err err = {0};
	int code = CLI_DONE;

	session_short_options(argc, argv);
	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *path = api_path("/environments/{}/session", argv[1]);
	AUTO_JSON har = api ? api_post(api, path, body, &err) : NULL;
	if (!har)
		return cli_fail(program, false, &err);
	if (!output) {
		cli_print_json(har);
		return CLI_DONE;
	}
	json_format_pretty(&text, har);
	buf_add_char(&text, '\n');
	if (buf_finish(&text, &err) || file_replace(output, buf_view(&text), 0644, &err))
		return cli_fail(program, false, &err);
	fprintf(stderr, "%s: %zu requests written to %s\n", program, entries_of(har), output);
	return CLI_DONE;
}

/* ---- list ---- */

struct listing {
	const struct blueprint *blueprint;
	const char *top;
	json_t *items;
};

static void file_list(struct listing *listing, const char *path)
{
	AUTO_FREE char *full = text_format("%s/%s", listing->top, path);
	AUTO_BUF text = buf_new(HAR_BYTES_MAX);
	AUTO_SESSION session = {0};
	struct err err = {0};
	json_t *item = json_object();
	bool good = file_read(full, &text, &err) == 0 && har_parse(buf_view(&text), &session, &err) == 0;

	json_set_bytes(item, "path", view_of(path));
	(void)json_object_set_new(item, "requests", json_integer((json_int_t)session.count));
	(void)json_object_set_new(item, "bytes", json_integer((json_int_t)text.length));
	if (!good)
		json_set_bytes(item, "error", view_of(err.text));
	(void)json_array_append_new(listing->items, item);
}

static void items_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"SESSION", "REQUESTS", "SIZE", "", NULL});
	size_t index;
	json_t *item;

	json_array_foreach(items, index, item) {
		table_cell(table, json_text(item, "path", ""));
		table_cell_number(table, json_number(item, "requests", 0));
		table_cell_bytes(table, json_number(item, "bytes", 0));
		table_cell_tone(table, json_text(item, "error", ""), TONE_BAD);
	}
	table_end(table, "no session yet: assay session record ENV -o sessions/NAME.har");
}

static bool listed(const struct listing *listing, const char *path)
{
	for (size_t i = 0; i < listing->blueprint->sessions.count; i++)
		if (glob_match(listing->blueprint->sessions.at[i], path))
			return true;
	return false;
}

static void folder_list(struct listing *listing, const char *folder, int depth)
{
	AUTO_FREE char *full = text_format("%s/%s", listing->top, folder);
	DIR *dir = depth < FOLDER_DEPTH_MAX ? opendir(full) : NULL;

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s%s%s", folder, folder[0] ? "/" : "", entry->d_name);

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "node_modules") == 0)
			continue;
		if (entry->d_type == DT_DIR)
			folder_list(listing, path, depth + 1);
		else if (entry->d_type == DT_REG && listed(listing, path) && json_array_size(listing->items) < FILES_MAX)
			file_list(listing, path);
	}
	if (dir)
		(void)closedir(dir);
}

static int session_list(int argc, char **argv)
{
	static const char program[] = "assay session list";
	const char *dir = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "repo", .value = "DIR", .help = "a git checkout (default: the one around this folder)", .text = &dir},
		{.name = "json", .help = "print them as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "[--repo DIR] [--json]",
		.about = "Lists the sessions of a checkout: the files that `sessions:` of its assay.yaml names.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	AUTO_JSON items = json_array();
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_FREE char *top = checkout_find(dir, &err);
	AUTO_FREE char *path = top ? text_format("%s/assay.yaml", top) : NULL;
	AUTO_BLUEPRINT blueprint = top ? blueprint_load(path, &err) : NULL;
	struct listing listing = {.blueprint = blueprint, .top = top, .items = items};
	if (!blueprint)
		return cli_fail(program, as_json, &err);
	folder_list(&listing, "", 0);
	if (as_json)
		list_print_json(items);
	else
		items_print(items);
	return CLI_DONE;
}

/* ---- show ---- */

static int session_show(int argc, char **argv)
{
	static const char program[] = "assay session show";
	const struct cli_usage usage = {.program = program,
					.arguments = "FILE.har",
					.about = "Shows the requests of a session.",
					.positional_min = 1,
					.positional_max = 1};
	AUTO_BUF text = buf_new(HAR_BYTES_MAX);
	AUTO_SESSION session = {0};
	struct err err = {0};
	struct table *table;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (file_read(argv[1], &text, &err) || har_parse(buf_view(&text), &session, &err))
		return cli_fail(program, false, &err);
	table = table_new((const char *const[]){"#", "METHOD", "STATUS", "MS", "URL", NULL});
	for (size_t i = 0; i < session.count; i++) {
		const struct exchange *exchange = &session.at[i];

		table_cell_number(table, (int64_t)i + 1);
		table_cell(table, exchange->method ? exchange->method : exchange->proto);
		table_cell_number(table, exchange->status);
		table_cell_number(table, exchange->dt_us / 1000);
		table_cell(table, exchange->url ? exchange->url : exchange->statement);
	}
	table_end(table, "the session is empty");
	return CLI_DONE;
}

static const struct cli_command commands[] = {
	{"record", "ENV [-o FILE.har] [--keep NAME]...", "writes what was asked of an environment's preview", session_record},
	{"import", "FILE [-o FILE.har] [--har | --openapi | --postman | --log] [--keep NAME]... [--with-values]",
	 "makes one of what others recorded", session_import},
	{"mirror", "--listen ADDRESS:PORT -o FILE.har [--count N] [--sample PERCENT] [--seconds N]",
	 "makes one of live traffic that proxies mirror", session_mirror},
	{"list", "[--repo DIR] [--json]", "lists the sessions of a checkout", session_list},
	{"show", "FILE.har", "shows the requests of a session", session_show},
	{"hold", "REPOSITORY FILE.har [--keep NAME]... [--with-values]", "holds one out: replayed, but in no repository",
	 session_hold},
	{"held", "REPOSITORY [--json]", "lists those that are held out", session_held},
	{"release", "REPOSITORY NAME.har", "holds one out no more", session_release},
};

int cli_session(int argc, char **argv)
{
	return cli_dispatch("assay session", commands, ARRAY_LEN(commands), argc, argv);
}
