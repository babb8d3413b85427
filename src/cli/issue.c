/* assay issue: the built-in tracker. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

#define BODY_BYTES_MAX ((size_t)1 << 20)

static void list_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"ISSUE", "STATE", "REPOSITORY", "MADE", "TITLE", NULL});
	size_t i;
	json_t *issue;

	json_array_foreach(items, i, issue) {
		table_cell_number(table, json_number(issue, "number", 0));
		table_cell(table, json_text(issue, "state", ""));
		table_cell(table, json_text(issue, "repository", ""));
		table_cell_ago(table, json_number(issue, "created_ms", 0));
		table_cell(table, json_text(issue, "title", ""));
	}
	table_end(table, "no issue yet: assay issue new \"what should be different\"");
}

/* Text of several lines, from outside. */
static void text_print(const char *text)
{
	AUTO_BUF clean = buf_new(BUF_MAX_DEFAULT);

	terminal_clean(&clean, view_of(text), true);
	if (clean.length)
		printf("\n%s\n", clean.at);
}

static void issue_print(const json_t *issue)
{
	AUTO_FREE char *title = terminal_line(json_text(issue, "title", ""));
	json_t *comments = json_member(issue, "comments");
	size_t i;
	json_t *comment;

	printf("%s#%" PRId64 " %s%s\n%s · %s\n", terminal_tone(stdout, TONE_BOLD), json_number(issue, "number", 0), title,
	       terminal_end(stdout), json_text(issue, "repository", ""), json_text(issue, "state", ""));
	text_print(json_text(issue, "body", ""));
	json_array_foreach(comments, i, comment) {
		AUTO_FREE char *author = terminal_line(json_text(comment, "author", ""));

		printf("\n%s%s%s", terminal_tone(stdout, TONE_FAINT), author, terminal_end(stdout));
		text_print(json_text(comment, "text", ""));
	}
	if (json_text(issue, "run", NULL))
		printf("\nrun %s\n", json_text(issue, "run", ""));
	if (json_number(issue, "pull", 0))
		printf("pull request %" PRId64 "\n", json_number(issue, "pull", 0));
}

static json_t *issue_make(struct api *api, const char *program, const char *repo, const char *repository, json_t *body,
			  struct err *err)
{
	AUTO_FREE char *top = NULL;
	AUTO_JSON put = NULL;

	if (!repository) {
		top = checkout_find(repo, err);
		put = top ? checkout_put(api, program, top, NULL, NULL, true, err) : NULL;
		if (!put)
			return NULL;
		repository = json_text(put, "name", "");
	}
	json_set_bytes(body, "repository", view_of(repository));
	return api_post(api, "/issues", body, err);
}

static int body_read(const char *body, const char *file, struct buf *text, struct err *err)
{
	if (!file) {
		buf_add_text(text, body ? body : "");
		return 0;
	}
	return strcmp(file, "-") == 0 ? file_read_fd(STDIN_FILENO, text, err) : file_read(file, text, err);
}

static int issue_new(int argc, char **argv)
{
	const char *repo = NULL;
	const char *repository = NULL;
	const char *text = NULL;
	const char *file = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "body", .value = "TEXT", .help = "more about it", .text = &text},
		{.name = "file", .value = "FILE", .help = "more about it, from a file (`-`: standard input)", .text = &file},
		{.name = "repo", .value = "DIR", .help = "the git checkout (default: the one around here)", .text = &repo},
		{.name = "repository", .value = "NAME", .help = "one that the server has already", .text = &repository},
		{.name = "json", .help = "print it as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay issue new",
					.arguments = "TITLE [--body TEXT | --file FILE]",
					.about = "Writes an issue. `assay run --issue N` gives it to an agent.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_BUF body = buf_new(BODY_BYTES_MAX);
	AUTO_JSON request = json_object();
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (text && file)
		return cli_refuse(usage.program, "--body and --file are one too many");
	if (!view_trim(view_of(argv[1])).length)
		return cli_refuse(usage.program, "the title is empty");
	if (body_read(text, file, &body, &err))
		return cli_fail(usage.program, as_json, &err);
	json_set_bytes(request, "title", view_trim(view_of(argv[1])));
	json_set_bytes(request, "body", buf_view(&body));
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON issue = api ? issue_make(api, usage.program, repo, repository, request, &err) : NULL;
	if (!issue)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(issue);
	else
		printf("issue %" PRId64 "\n", json_number(issue, "number", 0));
	return CLI_DONE;
}

static json_t *comment_body(int count, char **argv, struct err *err)
{
	json_t *body = json_object();

	(void)count;
	(void)err;
	json_set_bytes(body, "text", view_of(argv[2]));
	return body;
}

static const struct verb list = {
	"[--json]", "Lists the issues, newest first.", .json = true, .how = VERB_ITEMS, .path = "/issues", .print = list_print};
static const struct verb show = {"N [--json]",        "Shows an issue with its comments.", 1, 1, true, VERB_GET, "/issues/{}",
				 .print = issue_print};
static const struct verb comment = {
	"N TEXT",         "Adds a comment.", 2, 2, .how = VERB_POST, .path = "/issues/{}/comments", .body_make = comment_body,
	.said = "written"};
static const struct verb close_one = {
	"N", "Closes an issue.", 1, 1, .how = VERB_POST, .path = "/issues/{}/close", .said = "closed"};
static const struct verb reopen = {"N", "Opens it again.", 1, 1, .how = VERB_POST, .path = "/issues/{}/reopen", .said = "open"};

int cli_issue(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"list", "[--json]", "lists the issues", .verb = &list},
		{"show", "N [--json]", "shows one with its comments", .verb = &show},
		{"new", "TITLE [--body TEXT | --file FILE]", "writes one", issue_new},
		{"comment", "N TEXT", "adds a comment", .verb = &comment},
		{"close", "N", "closes one", .verb = &close_one},
		{"reopen", "N", "opens one again", .verb = &reopen},
	};

	return cli_dispatch("assay issue", commands, ARRAY_LEN(commands), argc, argv);
}
