/* assay runs, show, message, stop, retry: the runs there are, and a hand on one of them. */
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/story.h"
#include "cli/table.h"
#include "cli/verb.h"

static enum tone verdict_tone(const char *verdict)
{
	return !verdict                           ? TONE_PLAIN
	       : strcmp(verdict, "verified") == 0 ? TONE_GOOD
	       : strcmp(verdict, "failed") == 0   ? TONE_BAD
						  : TONE_UNSURE;
}

static void runs_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"RUN", "STATE", "VERDICT", "REPOSITORY", "MADE", "TITLE", NULL});
	size_t i;
	json_t *run;

	json_array_foreach(items, i, run) {
		const char *verdict = json_text(run, "verdict", NULL);
		AUTO_FREE char *names = story_repositories(run);

		table_cell(table, json_text(run, "id", ""));
		if (json_is_object(json_member(run, "question")))
			table_cell_tone(table, "asks you", TONE_UNSURE);
		else
			table_cell(table, json_text(run, "state", ""));
		table_cell_tone(table, verdict, verdict_tone(verdict));
		table_cell(table, names);
		table_cell_ago(table, json_number(run, "created_ms", 0));
		table_cell(table, json_text(run, "title", ""));
	}
	table_end(table, "no run yet: assay run \"what should be different\"");
}

static void filter_add(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_add_format(path, "&%s=", name);
	buf_add_url(path, view_of(value));
}

/* The newest, or all; *more: there are others. Owned by the caller. */
static json_t *runs_get(struct api *api, const char *path, bool all, bool *more, struct err *err)
{
	AUTO_JSON page = all ? NULL : api_get(api, path, err);

	*more = json_text(page, "next", NULL) != NULL;
	return all ? api_items(api, path, err) : json_incref(json_member(page, "items"));
}

int cli_runs(int argc, char **argv)
{
	const char *state = NULL, *repository = NULL, *agent = NULL, *text = NULL;
	bool asks = false, all = false, as_json = false, more = false;
	const struct cli_option options[] = {
		{.name = "state",
		 .value = "STATE",
		 .help = "in any of these states, with commas; `active`: not over, `over`: over",
		 .text = &state},
		{.name = "repository", .value = "NAME", .help = "of this project", .text = &repository},
		{.name = "agent", .value = "NAME", .help = "of this agent", .text = &agent},
		{.name = "text", .value = "TEXT", .help = "with this in the title", .text = &text},
		{.name = "asks", .help = "whose agent waits for an answer", .flag = &asks},
		{.name = "all", .help = "not only the newest hundred", .flag = &all},
		{.name = "json", .help = "the list as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay runs",
		.arguments = "[--state S] [--repository R] [--agent A] [--text T] [--asks] [--all] [--json]",
		.about = "Lists the runs, newest first.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	AUTO_BUF path = buf_new((size_t)64 << 10);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	buf_add_text(&path, "/runs?limit=100");
	filter_add(&path, "state", state);
	filter_add(&path, "repository", repository);
	filter_add(&path, "agent", agent);
	filter_add(&path, "text", text);
	filter_add(&path, "asks", asks ? "1" : NULL);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? runs_get(api, path.at, all, &more, &err) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		list_print_json(items);
	else
		runs_print(items);
	if (more && !as_json)
		fprintf(stderr, "there are more: --all shows them\n");
	return CLI_DONE;
}

static const char *const states[] = {"queued", "claim", "fork", "turn",   "verify", "publish",
				     "review", "close", "done", "failed", "stopped"};

static bool is_state(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(text, states[i]) == 0)
			return true;
	return false;
}

static void question_print(const json_t *run)
{
	const json_t *question = json_member(run, "question");
	AUTO_FREE char *text = terminal_line(json_text(question, "question", ""));

	if (json_is_object(question))
		printf("\n%s?%s the agent waits for an answer: %s\n  answer it     assay message %s \"…\"\n",
		       terminal_tone(stdout, TONE_UNSURE), terminal_end(stdout), text, json_text(run, "id", ""));
}

static void head_print(const json_t *run)
{
	AUTO_FREE char *title = terminal_line(json_text(run, "title", ""));
	AUTO_FREE char *names = story_repositories(run);

	printf("%s%s%s  %s · run %s · %s\n", terminal_tone(stdout, TONE_BOLD), title, terminal_end(stdout), names,
	       json_text(run, "id", ""), json_text(run, "state", ""));
}

static int show(struct api *api, const json_t *run, const struct story_options *options, struct err *err)
{
	if (options->form == STORY_JSON) {
		cli_print_json(run);
		return CLI_DONE;
	}
	head_print(run);
	if (story_print(api, json_text(run, "id", ""), options, err))
		return cli_fail(options->program, false, err);
	(void)story_conclude(api, run);
	question_print(run);
	return CLI_DONE;
}

static int follow(struct api *api, const json_t *run, const struct story_options *options, struct err *err)
{
	const char *id = json_text(run, "id", "");
	AUTO_FREE char *path = api_path("/runs/{}", id);
	AUTO_JSON after = NULL;
	int code;

	if (options->form != STORY_JSON)
		head_print(run);
	code = story_follow(api, id, options);
	if (code)
		return code;
	after = api_get(api, path, err);
	if (!after)
		return cli_fail(options->program, options->form == STORY_JSON, err);
	return options->form == STORY_JSON ? story_exit_code(after) : story_conclude(api, after);
}

/* What `show` and `watch` end with; the exit code. */
static int told(const char *program, const char *id, bool follows, const char *until, bool as_json)
{
	const struct story_options story = {
		.program = program,
		.until = until ? until : "",
		.only_now = true,
		.form = as_json                          ? STORY_JSON
			: follows && terminal_is(stdout) ? STORY_PANEL
							 : STORY_LINES,
	};
	struct err err = {0};

	if (until && !is_state(until))
		return cli_refuse(program, "--until: `%s` is no state of a run", until);
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *path = api_path("/runs/{}", id);
	AUTO_JSON run = api ? api_get(api, path, &err) : NULL;
	if (!run)
		return cli_fail(program, as_json, &err);
	return follows ? follow(api, run, &story, &err) : show(api, run, &story, &err);
}

int cli_show(int argc, char **argv)
{
	bool as_json = false;
	bool follows = false;
	const char *until = NULL;
	const struct cli_option options[] = {
		{.name = "follow",
		 .help = "from the step that runs now to the run's end; exit code as of `assay run`",
		 .flag = &follows},
		{.name = "until",
		 .value = "STATE",
		 .help = "with --follow: only until it is in that state (`review`: with your last message done)",
		 .text = &until},
		{.name = "json", .help = "the run as JSON; with --follow its events, one a line", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay show",
					.arguments = "RUN [--follow [--until STATE]] [--json]",
					.about = "Shows what happened in a run. RUN is an id or the beginning of one.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (until && !follows)
		return cli_refuse(usage.program, "--until is of --follow");
	return told(usage.program, argv[1], follows, until, as_json);
}

int cli_watch(int argc, char **argv)
{
	bool as_json = false;
	const char *until = NULL;
	const struct cli_option options[] = {
		{.name = "until",
		 .value = "STATE",
		 .help = "only until it is in that state (`review`: with your last message done)",
		 .text = &until},
		{.name = "json", .help = "its events, one a line", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay watch",
		.arguments = "RUN [--until STATE] [--json]",
		.about = "Shows a run live, from the step that runs now to its end; exit code as of `assay run`.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	int code = CLI_DONE;

	return cli_options(&usage, argc, argv, &code) < 0 ? code : told(usage.program, argv[1], true, until, as_json);
}

static json_t *message_body(int count, char **argv, struct err *err)
{
	json_t *body;

	(void)count;
	if (!view_trim(view_of(argv[2])).length) {
		(void)err_set(err, ERR_INVALID, "the message is empty");
		return NULL;
	}
	body = json_object();
	json_set_bytes(body, "text", view_of(argv[2]));
	return body;
}

int cli_message(int argc, char **argv)
{
	static const struct verb verb = {
		.arguments = "RUN TEXT",
		.about =
			"Says something to the agent of a run, or answers what it asked: it reads it now when it waits, else at the next safe point.",
		.least = 2,
		.most = 2,
		.how = VERB_POST,
		.path = "/runs/{}/message",
		.body_make = message_body,
		.said = "sent",
	};

	return verb_run(&verb, "assay message", argc, argv);
}

int cli_declare(int argc, char **argv)
{
	const char *because = "";
	bool undo = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "because", .value = "TEXT", .help = "why it is meant; kept in the record", .text = &because},
		{.name = "undo", .help = "take it back: it blocks again", .flag = &undo},
		{.name = "json", .help = "the run as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay declare",
		.arguments = "RUN DIFFERENCE [--because TEXT] [--undo] [--json]",
		.about =
			"Says that a difference of a run's change is meant: the run is verified again, and does not fail by it. DIFFERENCE is a finding\n"
			"(f-…, as `assay show RUN` has it), or a place and what differs there: \"GET /api/products body.items.*\".",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 2,
		.positional_max = 2,
	};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_JSON body = json_pack("{s:s, s:s}", "difference", argv[2], "because", because);
	if (!body)
		return cli_refuse(usage.program, "the difference or the reason is no text");
	if (!because[0])
		(void)json_object_del(body, "because");
	AUTO_FREE char *path = undo ? api_path("/runs/{}/declarations?difference={}", argv[1], argv[2])
				    : api_path("/runs/{}/declarations", argv[1]);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON run = !api ? NULL : undo ? api_delete(api, path, &err) : api_post(api, path, body, &err);
	const char *state = json_text(run, "state", "");
	if (!run)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(run);
	else
		printf("%s: %s is %s\n", undo ? "taken back" : "declared", json_text(run, "id", ""),
		       strcmp(state, "review") == 0 || strcmp(state, "verify") == 0 ? "verified again" : state);
	return CLI_DONE;
}

int cli_stop(int argc, char **argv)
{
	static const struct verb verb = {
		.arguments = "RUN",
		.about = "Stops a run now. Its environment stays for its grace period; `assay retry` goes on.",
		.least = 1,
		.most = 1,
		.how = VERB_POST,
		.path = "/runs/{}/stop",
		.said = "stopped",
	};

	return verb_run(&verb, "assay stop", argc, argv);
}

int cli_retry(int argc, char **argv)
{
	static const struct verb verb = {
		.arguments = "RUN",
		.about =
			"Takes up a run that failed or was stopped at the step where it ended. `assay show RUN --follow` watches it.",
		.least = 1,
		.most = 1,
		.how = VERB_POST,
		.path = "/runs/{}/retry",
		.said = "started again",
	};

	return verb_run(&verb, "assay retry", argc, argv);
}
