/* assay issue: the built-in tracker. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/scope.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

#define BODY_BYTES_MAX ((size_t)1 << 20)
#define FILES_MAX 16
#define FILE_BYTES_MAX ((size_t)8 << 20)

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
	json_array_foreach(json_member(issue, "attachments"), i, comment) {
		AUTO_FREE char *name = terminal_line(json_text(comment, "name", ""));

		printf("%sfile %s (%" PRId64 " bytes)\n", i ? "" : "\n", name, json_number(comment, "bytes", 0));
	}
	if (json_text(issue, "run", NULL))
		printf("\nrun %s\n", json_text(issue, "run", ""));
	if (json_number(issue, "pull", 0))
		printf("pull request %" PRId64 "\n", json_number(issue, "pull", 0));
}

/* ---- files ---- */

struct attached {
	struct buf bytes;
	char *name;
};

struct files {
	struct attached at[FILES_MAX];
	size_t count;
};

static void files_fini(struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		buf_fini(&files->at[i].bytes);
		free(files->at[i].name);
	}
}
#define AUTO_FILES __attribute__((cleanup(files_fini))) struct files

/* All are read before anything is made. */
static int file_take(void *self, const char *path, struct err *err)
{
	struct files *files = self;
	const char *slash = strrchr(path, '/');
	struct attached *file = &files->at[files->count];

	if (files->count == FILES_MAX)
		return err_set(err, ERR_INVALID, "more than %d files", FILES_MAX);
	files->count++;
	*file = (struct attached){buf_new(FILE_BYTES_MAX), text_copy(slash ? slash + 1 : path)};
	return file_read(path, &file->bytes, err);
}

static int files_send(struct api *api, const char *number, const struct files *files, struct err *err)
{
	for (size_t i = 0; i < files->count; i++) {
		AUTO_FREE char *path = api_path("/issues/{}/attachments?name={}", number, files->at[i].name);
		AUTO_JSON put = api_post_bytes(api, path, buf_view(&files->at[i].bytes), err);

		if (!put)
			return err_prefix(err, "issue %s, the file %s", number, files->at[i].name);
	}
	return 0;
}

static int issue_attach(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay issue attach",
					.arguments = "N FILE...",
					.about = "Puts files to an issue. Its agent gets them beside the repository.",
					.positional_min = 2,
					.positional_max = -1};
	AUTO_FILES files = {0};
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	for (int i = 2; i <= count; i++)
		if (file_take(&files, argv[i], &err))
			return cli_fail(usage.program, false, &err);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	return api && !files_send(api, argv[1], &files, &err) ? CLI_DONE : cli_fail(usage.program, false, &err);
}

static int issue_file(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay issue file",
					.arguments = "N NAME",
					.about = "Writes a file of an issue to standard output.",
					.positional_min = 2,
					.positional_max = 2};
	AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_FREE char *path = api_path("/issues/{}/attachments/{}", argv[1], argv[2]);
	if (!api || api_text(api, path, &bytes, &err) || file_write_fd(STDOUT_FILENO, buf_view(&bytes), &err))
		return cli_fail(usage.program, false, &err);
	return CLI_DONE;
}

/* ---- writing one ---- */

/* What the template says comes first. */
static int template_use(struct api *api, const char *repository, const char *name, json_t *body, struct err *err)
{
	AUTO_FREE char *path = api_path("/repositories/{}/templates", repository);
	AUTO_JSON items = api_items(api, path, err);
	AUTO_BUF text = buf_new(BODY_BYTES_MAX);
	struct nearest nearest = nearest_new(view_of(name));
	const char *own = json_text(body, "body", "");
	size_t i;
	json_t *item;

	if (!items)
		return -1;
	json_array_foreach(items, i, item) {
		nearest_offer(&nearest, json_text(item, "name", ""));
		if (strcmp(json_text(item, "name", ""), name) == 0) {
			buf_add_format(&text, "%s%s%s", json_text(item, "text", ""), *own ? "\n" : "", own);
			if (buf_finish(&text, err))
				return -1;
			json_set_bytes(body, "body", buf_view(&text));
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "%s has no .assay/templates/%.100s.md on main%s%s%s", repository, name,
		       nearest.name ? ": did you mean `" : "", nearest.name ? nearest.name : "", nearest.name ? "`?" : "");
}

static json_t *issue_make(struct api *api, const char *program, const char *repo, const char *repository, const char *template,
			  json_t *body, struct err *err)
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
	if (template && template_use(api, repository, template, body, err))
		return NULL;
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
	const char *template = NULL;
	bool as_json = false;
	AUTO_FILES files = {0};
	const struct cli_option options[] = {
		{.name = "body", .value = "TEXT", .help = "more about it", .text = &text},
		{.name = "file", .value = "FILE", .help = "more about it, from a file (`-`: standard input)", .text = &file},
		{.name = "repo", .value = "DIR", .help = "the git checkout (default: the one around here)", .text = &repo},
		{.name = "repository", .value = "NAME", .help = "one that the server has already", .text = &repository},
		{.name = "template",
		 .value = "NAME",
		 .help = "begin with .assay/templates/NAME.md of the project",
		 .text = &template},
		{.name = "attach",
		 .value = "FILE",
		 .help = "a file for its agent; may be repeated",
		 .each = file_take,
		 .self = &files},
		{.name = "json", .help = "print it as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay issue new",
					.arguments = "TITLE [--template NAME] [--body TEXT | --file FILE] [--attach FILE...]",
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
	AUTO_JSON issue = api ? issue_make(api, usage.program, repo, repository, template, request, &err) : NULL;
	AUTO_FREE char *number = text_format("%" PRId64, json_number(issue, "number", 0));
	if (!issue || files_send(api, number, &files, &err))
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(issue);
	else
		printf("issue %s\n", number);
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
static const struct verb detach = {"N NAME",
				   "Takes a file away from an issue: the next turn of its agent does not have it.",
				   2,
				   2,
				   .how = VERB_DELETE,
				   .path = "/issues/{}/attachments/{}",
				   .said = "taken away"};
static const struct verb close_one = {
	"N", "Closes an issue.", 1, 1, .how = VERB_POST, .path = "/issues/{}/close", .said = "closed"};
static const struct verb reopen = {"N", "Opens it again.", 1, 1, .how = VERB_POST, .path = "/issues/{}/reopen", .said = "open"};

int cli_issue(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"list", "[--json]", "lists the issues", .verb = &list},
		{"show", "N [--json]", "shows one with its comments", .verb = &show},
		{"new", "TITLE [--template NAME] [--body TEXT | --file FILE] [--attach FILE...]", "writes one", issue_new},
		{"comment", "N TEXT", "adds a comment", .verb = &comment},
		{"attach", "N FILE...", "puts files to one", issue_attach},
		{"file", "N NAME", "writes a file of one to standard output", issue_file},
		{"detach", "N NAME", "takes a file away from one", .verb = &detach},
		{"close", "N", "closes one", .verb = &close_one},
		{"reopen", "N", "opens one again", .verb = &reopen},
	};

	return cli_dispatch("assay issue", commands, ARRAY_LEN(commands), argc, argv);
}
