/* assay egress tail: what leaves an environment, as it goes. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/terminal.h"

#define POLL_US 300000

/* A request to the outside names its scheme; what passes between services of the environment does not. */
static bool leaves(const json_t *exchange)
{
	const char *url = json_text(json_member(exchange, "request"), "url", "");
	const char *command = json_text(json_member(exchange, "request"), "command", "");

	return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 || strncmp(command, "passthrough ", 12) == 0 ||
	       strncmp(command, "connect ", 8) == 0 || strcmp(command, "resolve") == 0;
}

static void exchange_print(const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");
	const json_t *response = json_member(exchange, "response");
	const char *error = json_text(exchange, "error", "");
	const char *url = json_text(request, "url", NULL);
	int64_t status = json_number(response, "status", 0);
	time_t at = (time_t)(json_number(exchange, "t0_ms", 0) / 1000);
	AUTO_BUF took = buf_new(64);
	AUTO_FREE char *what = url ? text_format("%s %s", json_text(request, "method", ""), url)
				   : text_format("%s %s", json_text(exchange, "to", ""), json_text(request, "command", ""));
	AUTO_FREE char *line = terminal_line(what);
	AUTO_FREE char *why = terminal_line(error);
	bool bad = *error || status >= 400;
	struct tm parts;
	char clock[16];

	(void)localtime_r(&at, &parts);
	(void)strftime(clock, sizeof(clock), "%H:%M:%S", &parts);
	duration_format(&took, json_number(exchange, "dt_us", 0) / 1000);
	printf("%s  %-12s %s%3lld%s  %s  %s%lld → %lld bytes, %s%s%s%s\n", clock, json_text(exchange, "from", ""),
	       terminal_tone(stdout, bad ? TONE_BAD : TONE_GOOD), (long long)status, terminal_end(stdout), line,
	       terminal_tone(stdout, TONE_FAINT), (long long)json_number(request, "body_bytes", 0),
	       (long long)json_number(response, "body_bytes", 0), took.at, terminal_end(stdout), *why ? "  " : "", why);
}

static int portion_show(struct api *api, const char *env, int64_t *from, bool all, bool as_json, struct err *err)
{
	AUTO_FREE char *number = text_format("%lld", (long long)*from);
	AUTO_FREE char *path = api_path("/environments/{}/exchanges?from={}", env, number);
	AUTO_JSON answer = api_get(api, path, err);
	json_t *exchange;
	size_t i;

	if (!answer)
		return -1;
	json_array_foreach(json_member(answer, "items"), i, exchange) {
		if (!all && !leaves(exchange))
			continue;
		if (as_json) {
			AUTO_BUF text = buf_new((size_t)16 << 20);

			json_format(&text, exchange);
			printf("%s\n", text.at);
		} else {
			exchange_print(exchange);
		}
	}
	(void)fflush(stdout);
	*from = json_number(answer, "next", *from);
	return 0;
}

static int egress_tail(int argc, char **argv)
{
	static const char program[] = "assay egress tail";
	bool all = false;
	bool once = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "all", .help = "calls between services and databases of the environment, too", .flag = &all},
		{.name = "once", .help = "what there is, and then the end", .flag = &once},
		{.name = "json", .help = "one exchange a line, whole", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "ENV [--all] [--once] [--json]",
		.about = "Shows each request that leaves an environment, or was refused, with the rule that did so.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	struct err err = {0};
	int64_t from = 0;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(program, true, &err);
	if (!api)
		return cli_fail(program, as_json, &err);
	for (;;) {
		int64_t before = from;

		if (portion_show(api, argv[1], &from, all, as_json, &err))
			return cli_fail(program, as_json, &err);
		if (from > before) /* there may be more than one portion */
			continue;
		if (once)
			return CLI_DONE;
		(void)usleep(POLL_US);
	}
}

int cli_egress(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{.name = "tail",
		 .arguments = "ENV [--all] [--once] [--json]",
		 .summary = "shows what leaves an environment, live",
		 .run = egress_tail},
	};

	return cli_dispatch("assay egress", commands, ARRAY_LEN(commands), argc, argv);
}
