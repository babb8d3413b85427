/* assay token: who may call the API over TCP, and as what. */
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

#define DAYS_DEFAULT 90

static int token_create(int argc, char **argv)
{
	const char *role = "viewer";
	int64_t days = DAYS_DEFAULT;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "role", .value = "ROLE", .help = "viewer (default), developer, approver or admin", .text = &role},
		{.name = "days", .value = "N", .help = "how long it counts (90)", .number = &days},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay token create",
		.arguments = "NAME [--role ROLE] [--days N] [--json]",
		.about = "Makes a token and prints it, this once: `Authorization: Bearer TOKEN` to the API.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_JSON body = json_pack("{s:s, s:s, s:I}", "name", argv[1], "role", role, "days", (json_int_t)days);
	if (!body)
		return cli_refuse(usage.program, "the name is no text");
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_post(api, "/tokens", body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s\n", json_text(answer, "token", ""));
	return CLI_DONE;
}

static void list_print(const json_t *tokens)
{
	struct table *table = table_new((const char *const[]){"NAME", "ROLE", "ENDS", "USED", NULL});
	json_t *token;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)tokens, i, token) {
		int64_t used_ms = json_number(token, "used_ms", 0);
		AUTO_BUF ends = buf_new(64);
		AUTO_BUF used = buf_new(64);

		time_format(&ends, json_number(token, "ends_ms", 0));
		if (used_ms)
			time_format(&used, used_ms);
		else
			buf_add_text(&used, "never");
		table_cell(table, json_text(token, "name", ""));
		table_cell(table, json_text(token, "role", ""));
		table_cell(table, ends.at);
		table_cell(table, used.at);
	}
	table_end(table, "no token yet: `assay token create NAME --role developer`");
}

static const struct verb list = {"[--json]",        "Lists the tokens: whose they are, never what they are.",
				 .json = true,      .how = VERB_ITEMS,
				 .path = "/tokens", .print = list_print};
static const struct verb rm = {"NAME", "Ends a token, at once.", 1, 1, .how = VERB_DELETE, .path = "/tokens/{}", .said = "removed"};

int cli_token(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"create", "NAME [--role ROLE] [--days N]", "makes one", token_create, NULL},
		{"list", "[--json]", "lists them", NULL, &list},
		{"rm", "NAME", "ends one", NULL, &rm},
	};

	return cli_dispatch("assay token", commands, ARRAY_LEN(commands), argc, argv);
}
