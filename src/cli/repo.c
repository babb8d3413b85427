/* assay repo: the repositories that the server has. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define HASH_SHOWN 12

static int repo_list(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print them as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = "assay repo list",
					.arguments = "[--json]",
					.about = "Lists the repositories.",
					.options = options,
					.option_count = 1};
	struct err err = {0};
	struct table *table;
	size_t i;
	json_t *repository;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? api_items(api, "/repositories", &err) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		list_print_json(items);
		return CLI_DONE;
	}
	table = table_new((const char *const[]){"NAME", "BRANCH", "HEAD", "PATH", NULL});
	json_array_foreach(items, i, repository) {
		AUTO_FREE char *head = text_format("%.*s", HASH_SHOWN, json_text(repository, "head", ""));

		table_cell(table, json_text(repository, "name", ""));
		table_cell(table, json_text(repository, "branch", ""));
		table_cell(table, head);
		table_cell(table, json_text(repository, "path", ""));
	}
	table_end(table, "no repository yet: `assay repo put` in a checkout, or `assay run`, puts one here");
	return CLI_DONE;
}

static int repo_put(int argc, char **argv)
{
	const char *name = NULL;
	const char *revision = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "name", .value = "NAME", .help = "(default: the blueprint's)", .text = &name},
		{.name = "revision", .value = "REV", .help = "(default: HEAD)", .text = &revision},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay repo put",
		.arguments = "[DIR] [--revision REV] [--name NAME]",
		.about = "Makes a commit of a git checkout `main` of the server's repository of that project.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	AUTO_FREE char *top = checkout_find(count ? argv[1] : NULL, &err);
	AUTO_API struct api *api = top ? api_open(usage.program, true, &err) : NULL;
	AUTO_JSON answer = api ? checkout_put(api, usage.program, top, revision, name, true, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s %s\n", json_text(answer, "name", ""), json_text(answer, "commit", ""));
	return CLI_DONE;
}

static int repo_add(int argc, char **argv)
{
	const char *connection = NULL;
	const char *name = NULL;
	bool judge = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "connection", .value = "NAME", .help = "(default: the one of the URL's host)", .text = &connection},
		{.name = "name", .value = "NAME", .help = "of the project here (default: the repository's)", .text = &name},
		{.name = "judge", .help = "verify pull requests of anybody who may write there", .flag = &judge},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay repo add",
		.arguments = "URL [--connection NAME] [--name NAME] [--judge]",
		.about = "Makes a project of a repository at a code host (`assay connect`), whose default branch it follows.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_JSON body = json_pack("{s:s, s:s*, s:b}", "url", argv[1], "connection", connection, "judge", judge);
	if (!body)
		return cli_refuse(usage.program, "the URL or the connection's name is no text");
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	if (name)
		json_set_bytes(body, "name", view_of(name));
	AUTO_JSON answer = api ? api_post(api, "/repositories/remote", body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s %s\n", json_text(answer, "name", ""), json_text(answer, "commit", ""));
	return CLI_DONE;
}

int cli_repo(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"list", "[--json]", "lists the repositories", repo_list},
		{"put", "[DIR] [--revision REV] [--name NAME]", "puts a commit of a checkout there", repo_put},
		{"add", "URL [--connection NAME] [--name NAME] [--judge]", "adds a repository at a code host", repo_add},
	};

	return cli_dispatch("assay repo", commands, ARRAY_LEN(commands), argc, argv);
}
