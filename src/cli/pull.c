/* assay pull: the built-in forge. */
#include <inttypes.h>
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

#define DIFF_BYTES_MAX ((size_t)64 << 20)

static enum tone verdict_tone(const char *verdict)
{
	return !verdict                           ? TONE_PLAIN
	       : strcmp(verdict, "verified") == 0 ? TONE_GOOD
	       : strcmp(verdict, "failed") == 0   ? TONE_BAD
						  : TONE_UNSURE;
}

static void list_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"PULL", "STATE", "VERDICT", "REPOSITORY", "RUN", "TITLE", NULL});
	size_t i;
	json_t *pull;

	json_array_foreach(items, i, pull) {
		const char *verdict = json_text(pull, "verdict", NULL);
		bool draft = json_flag(pull, "draft", false) && strcmp(json_text(pull, "state", ""), "open") == 0;

		table_cell_number(table, json_number(pull, "number", 0));
		table_cell(table, draft ? "draft" : json_text(pull, "state", ""));
		table_cell_tone(table, verdict, verdict_tone(verdict));
		table_cell(table, json_text(pull, "repository", ""));
		table_cell(table, json_text(pull, "run", ""));
		table_cell(table, json_text(pull, "title", ""));
	}
	table_end(table, "no pull request yet: they come from runs");
}

/* A text of the report from outside, as one line of a list. */
static void point_print(const char *mark, enum tone tone, const char *text)
{
	AUTO_FREE char *clean = terminal_line(text);

	printf("  %s%s%s %s\n", terminal_tone(stdout, tone), mark, terminal_end(stdout), clean);
}

static void report_print(const json_t *report)
{
	size_t i;
	json_t *row;

	printf("\nwhat was checked\n");
	json_array_foreach(json_member(report, "gates"), i, row) {
		const char *status = json_text(row, "status", "");
		AUTO_FREE char *text = text_format("%s: %s %s", json_text(row, "title", json_text(row, "name", "")), status,
						   json_text(row, "reason", ""));
		bool good = strcmp(status, "pass") == 0;
		bool bad = strcmp(status, "fail") == 0;

		point_print(good ? "✓" : bad ? "✗" : "~", good ? TONE_GOOD : bad ? TONE_BAD : TONE_UNSURE, text);
	}
	if (json_array_size(json_member(report, "findings")))
		printf("\nfindings\n");
	json_array_foreach(json_member(report, "findings"), i, row)
		point_print("!", strcmp(json_text(row, "severity", ""), "block") == 0 ? TONE_BAD : TONE_UNSURE,
			    json_text(row, "title", ""));
	if (json_array_size(json_member(report, "not_covered")))
		printf("\nnot covered\n");
	json_array_foreach(json_member(report, "not_covered"), i, row)
		point_print("-", TONE_FAINT, json_string_value(row) ? json_string_value(row) : "");
}

static void pull_print(const json_t *pull, const json_t *report)
{
	AUTO_FREE char *title = terminal_line(json_text(pull, "title", ""));
	AUTO_FREE char *reason = terminal_line(json_text(report, "reason", ""));
	AUTO_BUF body = buf_new(BUF_MAX_DEFAULT);
	const char *verdict = json_text(pull, "verdict", "not judged");
	size_t i;
	json_t *review;

	terminal_clean(&body, view_of(json_text(pull, "body", "")), true);
	printf("%s#%" PRId64 " %s%s\n%s · %s%s · run %s\n", terminal_tone(stdout, TONE_BOLD), json_number(pull, "number", 0), title,
	       terminal_end(stdout), json_text(pull, "repository", ""), json_text(pull, "state", ""),
	       json_flag(pull, "draft", false) ? " (draft)" : "", json_text(pull, "run", ""));
	printf("%s%s%s%s%s\n", terminal_tone(stdout, verdict_tone(json_text(pull, "verdict", NULL))), verdict, terminal_end(stdout),
	       reason[0] ? ": " : "", reason);
	if (json_text(pull, "preview", NULL))
		printf("preview %s\n", json_text(pull, "preview", ""));
	if (body.length)
		printf("\n%s\n", body.at);
	if (report)
		report_print(report);
	json_array_foreach(json_member(pull, "reviews"), i, review) {
		AUTO_FREE char *text = text_format("%s (%s): %s", json_text(review, "author", ""), json_text(review, "kind", ""),
						   json_text(review, "text", ""));

		if (i == 0)
			printf("\nreviews\n");
		point_print("·", TONE_FAINT, text);
	}
}

static int pull_show(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print it as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay pull show",
		.arguments = "N [--json]",
		.about = "Shows a pull request: its verdict, what was checked, what was found, what was not covered.",
		.options = options,
		.option_count = 1,
		.positional_min = 1,
		.positional_max = 1};
	struct err err = {0};
	struct err none;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_FREE char *path = api_path("/pulls/{}", argv[1]);
	AUTO_JSON pull = api ? api_get(api, path, &err) : NULL;
	if (!pull)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		cli_print_json(pull);
		return CLI_DONE;
	}
	AUTO_FREE char *report_path = api_path("/runs/{}/report", json_text(pull, "run", ""));
	AUTO_JSON report = api_get(api, report_path, &none); /* there may be none yet */
	pull_print(pull, report);
	return CLI_DONE;
}

static int pull_diff(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay pull diff",
					.arguments = "N",
					.about = "Prints the change as a unified diff.",
					.positional_min = 1,
					.positional_max = 1};
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	AUTO_BUF clean = buf_new(DIFF_BYTES_MAX * 3);
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_FREE char *path = api_path("/pulls/{}/diff", argv[1]);
	if (!api || api_text(api, path, &diff, &err))
		return cli_fail(usage.program, false, &err);
	if (terminal_is(stdout))
		terminal_clean(&clean, buf_view(&diff), true);
	else
		buf_add_view(&clean, buf_view(&diff)); /* for `git apply`: the bytes as they are */
	(void)fwrite(clean.at, 1, clean.length, stdout);
	return CLI_DONE;
}

static int pull_tell(const char *program, const char *pattern, const char *number, const json_t *body, const char *said)
{
	struct err err = {0};
	AUTO_API struct api *api = api_open(program, true, &err);
	AUTO_FREE char *path = api_path(pattern, number);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;

	if (!answer)
		return cli_fail(program, false, &err);
	printf("%s\n", said);
	return CLI_DONE;
}

static int pull_merge(int argc, char **argv)
{
	bool force = false;
	const struct cli_option options[] = {{.name = "force", .help = "although it is not verified", .flag = &force}};
	const struct cli_usage usage = {.program = "assay pull merge",
					.arguments = "N [--force]",
					.about = "Merges a verified pull request into main of Assay's repository.",
					.options = options,
					.option_count = 1,
					.positional_min = 1,
					.positional_max = 1};
	AUTO_JSON body = NULL;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	body = force ? json_pack("{s:b}", "force", 1) : json_object();
	return pull_tell(usage.program, "/pulls/{}/merge", argv[1], body, "merged");
}

static int pull_review(int argc, char **argv)
{
	bool approve = false;
	const char *changes = NULL;
	const char *comment = NULL;
	const struct cli_option options[] = {
		{.name = "approve", .help = "it is good (a --comment may go with it)", .flag = &approve},
		{.name = "changes",
		 .value = "TEXT",
		 .help = "what should be different: wakes the agent; what it does is verified again",
		 .text = &changes},
		{.name = "comment", .value = "TEXT", .help = "a word to the agent", .text = &comment},
	};
	const struct cli_usage usage = {.program = "assay pull review",
					.arguments = "N --approve | --changes TEXT | --comment TEXT",
					.about = "Says what you think of a pull request.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_JSON body = NULL;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if ((approve && changes) || (!approve && (changes != NULL) + (comment != NULL) != 1))
		return cli_refuse(usage.program, "say one of --approve, --changes TEXT, --comment TEXT");
	body = json_pack("{s:s}", "kind", approve ? "approve" : changes ? "changes" : "comment");
	json_set_bytes(body, "text", view_of(changes ? changes : comment ? comment : ""));
	return pull_tell(usage.program, "/pulls/{}/review", argv[1], body, approve ? "approved" : "sent");
}

static const struct verb list = {"[--json]",       "Lists the pull requests, newest first.",
				 .json = true,     .how = VERB_ITEMS,
				 .path = "/pulls", .print = list_print};
static const struct verb close_one = {"N",
				      "Closes it without merging: its run ends, its environment is cleaned up.",
				      1,
				      1,
				      .how = VERB_POST,
				      .path = "/pulls/{}/close",
				      .said = "closed"};

int cli_pull(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"list", "[--json]", "lists the pull requests", .verb = &list},
		{"show", "N [--json]", "shows one: verdict, gates, findings", pull_show},
		{"diff", "N", "prints its change", pull_diff},
		{"review", "N --approve | --changes TEXT | --comment TEXT", "says what you think of one", pull_review},
		{"merge", "N [--force]", "merges one", pull_merge},
		{"close", "N", "closes one without merging", .verb = &close_one},
	};

	return cli_dispatch("assay pull", commands, ARRAY_LEN(commands), argc, argv);
}
