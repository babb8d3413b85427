/* assay run: an issue is given to an agent, and watched until its pull request is ready. */
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/story.h"
#include "cli/terminal.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define PROGRAM "assay run"
#define REPOS_MAX 6 /* that one run may work in */

struct wish {
	const char *text;
	const char *file;
	int64_t issue;
	const char *item;             /* its name outside */
	const char *repos[REPOS_MAX]; /* checkouts */
	size_t repo_count;
	const char *base;
	bool as_json;
	bool wait;
};

/* The first line is the title, without a Markdown heading's marks; the rest is the body. */
static int title_cut(struct view text, json_t *body, struct err *err)
{
	struct view rest;
	struct view title = view_trim(view_cut(view_trim(text), '\n', &rest));

	while (title.length && title.at[0] == '#')
		title = view_trim(view_make(title.at + 1, title.length - 1));
	if (!title.length)
		return err_set(err, ERR_INVALID, "there is no text: say what should be different");
	json_set_bytes(body, "title", title);
	json_set_bytes(body, "body", rest.at ? view_trim(rest) : VIEW(""));
	return 0;
}

static int spec_read(const struct wish *wish, json_t *body, struct err *err)
{
	AUTO_BUF text = buf_new(TEXT_BYTES_MAX);

	if (wish->item) {
		json_set_bytes(body, "item", view_of(wish->item));
		return 0;
	}
	if (wish->issue) {
		(void)json_object_set_new(body, "issue", json_integer(wish->issue));
		return 0;
	}
	if (!wish->file)
		return title_cut(view_of(wish->text), body, err);
	if (strcmp(wish->file, "-") == 0 ? file_read_fd(STDIN_FILENO, &text, err) : file_read(wish->file, &text, err))
		return -1;
	if (title_cut(buf_view(&text), body, err))
		return err_prefix(err, "%s", wish->file);
	return 0;
}

/* The issue says of which repository it is; otherwise, and when we are in a checkout, the checkout is put there as it is now. */
static int repository_choose(struct api *api, const struct wish *wish, json_t *body, struct err *err)
{
	struct err none;
	const char *repo = wish->repo_count ? wish->repos[0] : NULL;
	AUTO_FREE char *top = checkout_find(repo, wish->issue && !repo ? &none : err);
	AUTO_JSON put = NULL;

	if (!top && wish->issue && !repo) {
		AUTO_FREE char *number = text_format("%lld", (long long)wish->issue);
		AUTO_FREE char *path = api_path("/issues/{}", number);
		AUTO_JSON issue = api_get(api, path, err);

		if (!issue)
			return -1;
		(void)json_object_set_new(body, "repository", json_string(json_text(issue, "repository", "")));
		if (wish->base)
			(void)json_object_set_new(body, "base", json_string(wish->base));
		return 0;
	}
	if (!top)
		return -1;
	put = checkout_put(api, PROGRAM, top, wish->base, NULL, true, err);
	if (!put)
		return -1;
	(void)json_object_set_new(body, "repository", json_string(json_text(put, "name", "")));
	(void)json_object_set_new(body, "base", json_string(json_text(put, "commit", "")));
	return 0;
}

/* Another checkout is put there, under the name of its blueprint, or of its folder when it has none. */
static int repository_add(struct api *api, const char *dir, json_t *list, struct err *err)
{
	AUTO_FREE char *top = checkout_find(dir, err);
	AUTO_FREE char *file = top ? text_format("%s/assay.yaml", top) : NULL;
	AUTO_JSON put = NULL;

	if (!top)
		return -1;
	put = checkout_put(api, PROGRAM, top, NULL, file_exists(file) ? NULL : strrchr(top, '/') + 1, true, err);
	if (!put)
		return -1;
	(void)json_array_append_new(list, json_sprintf("%s@%s", json_text(put, "name", ""), json_text(put, "commit", "")));
	return 0;
}

/* The run is of the first, and works in all of them. */
static int repositories_choose(struct api *api, const struct wish *wish, json_t *body, struct err *err)
{
	json_t *list;

	if (repository_choose(api, wish, body, err))
		return -1;
	if (wish->repo_count < 2)
		return 0;
	list = json_pack("[o]", json_sprintf("%s@%s", json_text(body, "repository", ""), json_text(body, "base", "main")));
	(void)json_object_set_new(body, "repositories", list);
	for (size_t i = 1; i < wish->repo_count; i++)
		if (repository_add(api, wish->repos[i], list, err))
			return -1;
	return 0;
}

static json_t *run_start(struct api *api, const struct wish *wish, struct err *err)
{
	AUTO_JSON body = json_object();

	if (spec_read(wish, body, err) || repositories_choose(api, wish, body, err))
		return NULL;
	return api_post(api, "/runs", body, err);
}

static void opening_print(const json_t *run, bool as_json)
{
	AUTO_FREE char *title = terminal_line(json_text(run, "title", ""));
	AUTO_FREE char *names = story_repositories(run);
	AUTO_JSON event = json_pack("{s:s, s:O}", "type", "run", "run", run);
	AUTO_BUF line = buf_new(BUF_MAX_DEFAULT);

	if (as_json) {
		json_format(&line, event);
		printf("%s\n", line.at);
	} else {
		printf("%s%s%s  %s%s · run %s%s\n", terminal_tone(stdout, TONE_BOLD), title, terminal_end(stdout),
		       terminal_tone(stdout, TONE_FAINT), names, json_text(run, "id", ""), terminal_end(stdout));
	}
	(void)fflush(stdout);
}

static int conclude(struct api *api, const char *id, bool as_json)
{
	struct err err = {0};
	AUTO_FREE char *path = api_path("/runs/{}", id);
	AUTO_JSON run = api_get(api, path, &err);

	if (!run) {
		(void)cli_fail(PROGRAM, as_json, &err);
		return STORY_OTHER;
	}
	if (as_json) {
		opening_print(run, true);
		return story_exit_code(run);
	}
	return story_conclude(api, run);
}

static int run(const struct wish *wish)
{
	struct err err = {0};
	AUTO_API struct api *api = api_open(PROGRAM, true, &err);
	AUTO_JSON started = api ? run_start(api, wish, &err) : NULL;
	const char *id = json_text(started, "id", "");
	struct story_options options = {.program = PROGRAM, .until = wish->wait ? "" : "review"};
	int code;

	if (!started) {
		(void)cli_fail(PROGRAM, wish->as_json, &err);
		return STORY_OTHER;
	}
	options.form = wish->as_json ? STORY_JSON : terminal_is(stdout) ? STORY_PANEL : STORY_LINES;
	opening_print(started, wish->as_json);
	code = story_follow(api, id, &options);
	return code ? code : conclude(api, id, wish->as_json);
}

/* A number, or a name of outside: letters, a dash and digits. */
static int issue_each(void *self, const char *value, struct err *err)
{
	struct wish *wish = self;
	size_t letters = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
	uint64_t number;

	if (view_to_u64(view_of(value), &number) && number <= INT64_MAX) {
		wish->issue = (int64_t)number;
		return 0;
	}
	if (!letters || value[letters] != '-' || !view_to_u64(view_of(value + letters + 1), &number))
		return err_set(err, ERR_INVALID, "expected a number, not `%s`", value);
	wish->item = value;
	return 0;
}

static int repo_each(void *self, const char *value, struct err *err)
{
	struct wish *wish = self;

	if (wish->repo_count == REPOS_MAX)
		return err_set(err, ERR_LIMIT, "a run works in at most %d repositories", REPOS_MAX);
	wish->repos[wish->repo_count++] = value;
	return 0;
}

int cli_run(int argc, char **argv)
{
	struct wish wish = {0};
	const struct cli_option options[] = {
		{.name = "issue",
		 .value = "N",
		 .help = "an issue of the built-in tracker, or one of a connected tracker by its name (ENG-12)",
		 .each = issue_each,
		 .self = &wish},
		{.name = "file", .value = "FILE", .help = "the text is in a file (`-`: standard input)", .text = &wish.file},
		{.name = "repo",
		 .value = "DIR",
		 .help = "the git checkout (default: the one around here); again: one more that the run works in",
		 .each = repo_each,
		 .self = &wish},
		{.name = "base", .value = "REV", .help = "what to start from, in the first (default: HEAD)", .text = &wish.base},
		{.name = "wait", .help = "stay until the pull request is merged or closed", .flag = &wish.wait},
		{.name = "json", .help = "print the events, one JSON object a line", .flag = &wish.as_json},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments = "\"TEXT\" | --issue N | --file FILE",
		.about =
			"Gives an issue to an agent: forks an environment, lets the agent work in it, verifies what it wrote, opens a pull\n"
			"request. Shows it live; Ctrl-C detaches, and the run goes on. The first line of the text is the title.\n\n"
			"Exit code: 0 verified, 1 failed, 2 unverified (or wrong usage), 3 stopped, detached, or another error.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1,
	};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	wish.text = count ? argv[1] : NULL;
	if ((wish.text != NULL) + (wish.file != NULL) + (wish.issue != 0 || wish.item) != 1)
		return cli_refuse(PROGRAM, "say what should be different: exactly one of \"TEXT\", --issue N, --file FILE");
	return run(&wish);
}
