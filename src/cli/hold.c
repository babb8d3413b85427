/* assay holds, approve, deny, kill, budget: what waits for a person, what a person stops, and what runs spend. */
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

#define SHOWN_LINES 6

static void line_print(const char *label, const char *text)
{
	AUTO_FREE char *line = terminal_line(text);

	if (line[0])
		printf("  %-8s %s\n", label, line);
}

/* The first lines of a body, each made harmless. */
static void body_print(const json_t *hold)
{
	struct view rest = view_of(json_text(hold, "body_start", ""));
	int64_t bytes = json_number(hold, "body_bytes", 0);

	if (!bytes)
		return;
	printf("  %-8s %lld bytes, sha256 of all that would be sent %.16s…\n", "body", (long long)bytes,
	       json_text(hold, "digest", ""));
	for (int i = 0; i < SHOWN_LINES && rest.at && rest.length; i++) {
		AUTO_FREE char *text = view_copy(view_cut(rest, '\n', &rest));
		AUTO_FREE char *line = terminal_fit(text, 100);

		printf("  %-8s │ %s\n", "", line);
	}
}

static void hold_print(const json_t *hold)
{
	const char *id = json_text(hold, "id", "");
	bool open = strcmp(json_text(hold, "status", ""), "open") == 0;
	int64_t left_ms = json_number(hold, "deadline_ms", 0) - world_now_ms(world_real);
	AUTO_BUF left = buf_new(64);
	AUTO_FREE char *request = text_format("%s %s", json_text(hold, "method", ""), json_text(hold, "url", ""));
	AUTO_FREE char *who = text_format("%s%s%s in %s of environment %s", json_text(hold, "run", "")[0] ? "run " : "",
					  json_text(hold, "run", ""), json_text(hold, "run", "")[0] ? "," : "a program",
					  json_text(hold, "sandbox", ""), json_text(hold, "env", ""));
	AUTO_FREE char *rule = text_format("%s: %s", json_text(hold, "rule", ""), json_text(hold, "why", ""));
	AUTO_FREE char *line = terminal_line(request);

	duration_format(&left, left_ms > 0 ? left_ms : 0);
	printf("%s%s%s  %s%s%s\n", terminal_tone(stdout, TONE_BOLD), id, terminal_end(stdout), line, open ? "" : "  ",
	       open ? "" : json_text(hold, "status", ""));
	line_print("who", who);
	line_print("rule", rule);
	line_print("action", json_text(hold, "action", ""));
	body_print(hold);
	line_print("answer", json_text(hold, "because", ""));
	if (open)
		printf("  denied in %s unless: assay approve %s%s\n", left.at, id,
		       json_flag(hold, "remember", false) ? "  [--for run|hour]" : "");
}

static void holds_print(const json_t *items)
{
	json_t *hold;
	size_t i;

	json_array_foreach(items, i, hold)
		hold_print(hold);
	if (!json_array_size(items))
		fprintf(stderr, "nothing waits for you\n");
}

int cli_holds(int argc, char **argv)
{
	bool as_json = false;
	bool all = false;
	const struct cli_option options[] = {{.name = "all", .help = "those that are over, too", .flag = &all},
					     {.name = "json", .help = "the list as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = "assay holds",
					.arguments = "[--all] [--json]",
					.about = "Lists the requests that wait for a person.",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	AUTO_API struct api *api = NULL;
	AUTO_JSON items = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	api = api_open(usage.program, false, &err);
	items = api ? api_items(api, all ? "/holds?all=1" : "/holds", &err) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		list_print_json(items);
	else
		holds_print(items);
	return CLI_DONE;
}

static int answer_post(const char *program, const char *pattern, const char *id, const json_t *body, const char *said)
{
	struct err err = {0};
	AUTO_FREE char *path = api_path(pattern, id);
	AUTO_API struct api *api = api_open(program, false, &err);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;
	AUTO_FREE char *request = NULL;

	if (!answer)
		return cli_fail(program, false, &err);
	request = terminal_line(json_text(answer, "url", ""));
	printf("%s %s: %s %s\n", said, json_text(answer, "id", ""), json_text(answer, "method", ""), request);
	return CLI_DONE;
}

int cli_approve(int argc, char **argv)
{
	const char *scope = "once";
	const struct cli_option options[] = {
		{.name = "for",
		 .value = "SCOPE",
		 .help = "once (default), or this host, method and path for the run or an hour: run, hour",
		 .text = &scope}};
	const struct cli_usage usage = {
		.program = "assay approve",
		.arguments = "HOLD [--for once|run|hour]",
		.about = "Lets a request go that waits (assay holds). HOLD is its id or the beginning of one.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_JSON body = NULL;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (strcmp(scope, "once") != 0 && strcmp(scope, "run") != 0 && strcmp(scope, "hour") != 0)
		return cli_refuse(usage.program, "--for: expected once, run or hour, not `%s`", scope);
	body = json_pack("{s:s}", "for", scope);
	return answer_post(usage.program, "/holds/{}/approve", argv[1], body, "approved");
}

int cli_deny(int argc, char **argv)
{
	bool stop_run = false;
	const char *because = "";
	const struct cli_option options[] = {{.name = "stop-run", .help = "and stop the run", .flag = &stop_run},
					     {.name = "because", .value = "TEXT", .help = "told to the agent", .text = &because}};
	const struct cli_usage usage = {
		.program = "assay deny",
		.arguments = "HOLD [--because TEXT] [--stop-run]",
		.about = "Refuses a request that waits (assay holds). HOLD is its id or the beginning of one.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_JSON body = NULL;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	body = json_pack("{s:b}", "stop_run", stop_run);
	if (because[0])
		(void)json_object_set_new(body, "because", json_string(because));
	return answer_post(usage.program, "/holds/{}/deny", argv[1], body, "denied");
}

static int kill_post(const char *program, const json_t *body, const char *what, bool undo)
{
	struct err err = {0};
	AUTO_API struct api *api = api_open(program, false, &err);
	AUTO_JSON answer = api ? api_post(api, "/kill", body, &err) : NULL;

	if (!answer)
		return cli_fail(program, false, &err);
	if (undo)
		printf("%s may go on; its credentials live again\n", what);
	else
		printf("stopped %s in %lld ms%s\n", what, (long long)json_number(answer, "ms", 0),
		       json_flag(answer, "by_kernel", false) ? ", without the gateway, which did not answer and was ended" : "");
	return CLI_DONE;
}

int cli_kill(int argc, char **argv)
{
	bool all = false;
	bool undo = false;
	const char *because = "";
	const struct cli_option options[] = {
		{.name = "all", .help = "every environment, and those that are made from now on", .flag = &all},
		{.name = "because", .value = "TEXT", .help = "kept, and shown", .text = &because},
		{.name = "undo", .help = "let it go on", .flag = &undo},
	};
	const struct cli_usage usage = {
		.program = "assay kill",
		.arguments = "ENV | --all [--because TEXT] [--undo]",
		.about =
			"Resets every connection of an environment at once, denies what waits for a person, ends its credentials and refuses\n"
			"everything new, until --undo: also when the gateway hangs, and across restarts of the server.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	AUTO_JSON body = json_object();
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	if (all == (count == 1))
		return cli_refuse(usage.program, "say one of ENV, --all");
	if (all)
		(void)json_object_set_new(body, "all", json_true());
	else
		(void)json_object_set_new(body, "env", json_string(argv[1]));
	if (undo)
		(void)json_object_set_new(body, "undo", json_true());
	if (because[0])
		(void)json_object_set_new(body, "because", json_string(because));
	return kill_post(usage.program, body, all ? "everything" : argv[1], undo);
}

static void spending_row(struct table *table, const char *name, const json_t *row)
{
	AUTO_FREE char *spent = text_format("%.4f", json_real_value(json_object_get(row, "spent_usd")));

	table_cell(table, name);
	table_cell_number(table, json_number(row, "calls", 0));
	table_cell_number(table, json_number(row, "input", 0));
	table_cell_number(table, json_number(row, "output", 0));
	table_cell_number(table, json_number(row, "cache_read", 0) + json_number(row, "cache_write", 0));
	table_cell(table, spent);
}

/* Money is only as right as the table. */
static void prices_print(const json_t *prices)
{
	const char *as_of = json_text(prices, "as_of", "");
	AUTO_FREE char *path = terminal_line(json_text(prices, "path", ""));

	if (path[0])
		printf("prices: %s%s%.40s; check them before you rely on it\n", path, as_of[0] ? ", as of " : "", as_of);
}

static void budget_print(const json_t *budget)
{
	struct table *table = table_new((const char *const[]){"MODEL", "CALLS", "INPUT", "OUTPUT", "CACHE", "USD", NULL});
	const json_t *cap = json_member(budget, "budget_usd");
	const char *model;
	json_t *row;

	json_object_foreach(json_member(budget, "models"), model, row)
		spending_row(table, model, row);
	spending_row(table, "all", budget);
	table_end(table, "");
	if (json_is_number(cap))
		printf("budget: %.2f USD; over it a person is asked (assay holds)\n", json_number_value(cap));
	else
		printf("no budget: assay budget RUN --set 5, or egress.budget in assay.yaml\n");
	if (json_flag(budget, "estimated", false))
		printf("some answers did not say what they used: those are estimated\n");
	prices_print(json_member(budget, "prices"));
}

int cli_budget(int argc, char **argv)
{
	bool as_json = false;
	const char *set = NULL;
	const struct cli_option options[] = {{.name = "set",
					      .value = "USD",
					      .help = "the most that its models may cost before a person is asked; 0: no limit",
					      .text = &set},
					     {.name = "json", .help = "as JSON", .flag = &as_json}};
	const struct cli_usage usage = {
		.program = "assay budget",
		.arguments = "RUN [--set USD] [--json]",
		.about = "Shows what the models of a run (or of an environment that belongs to none) have cost, as metered\n"
			 "at the gateway.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_API struct api *api = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON budget = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path(argv[1][0] == 'e' ? "/environments/{}/budget" : "/runs/{}/budget", argv[1]);
	body = set ? json_pack("{s:s}", "usd", set) : NULL;
	api = api_open(usage.program, false, &err);
	budget = !api ? NULL : set ? api_post(api, path, body, &err) : api_get(api, path, &err);
	if (!budget)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(budget);
	else
		budget_print(budget);
	return CLI_DONE;
}
