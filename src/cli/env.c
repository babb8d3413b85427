/* assay env up|list|show|logs|shell|exec|query|url|deploy|reset-data|fork|freeze|thaw|pin|unpin|extend|down */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/env_terminal.h"
#include "cli/table.h"
#include "cli/terminal.h"

#define LOG_LINES_DEFAULT 200

/* What every subcommand has: an environment as its first argument, --json, a server. */
struct call {
	const char *program;
	bool as_json;
	struct api *api;
};

static void call_fini(struct call *call)
{
	api_close(call->api);
}
#define AUTO_CALL __attribute__((cleanup(call_fini))) struct call

static int call_open(struct call *call, struct err *err)
{
	call->api = api_open(call->program, true, err);
	return call->api ? 0 : -1;
}

/* The answer of a call as the exit code; prints nothing but with --json. Takes the answer. */
static int call_end(const struct call *call, json_t *answer, const struct err *err)
{
	if (!answer)
		return cli_fail(call->program, call->as_json, err);
	if (call->as_json)
		cli_print_json(answer);
	json_decref(answer);
	return CLI_DONE;
}

static void age_add(struct buf *out, int64_t then_ms)
{
	duration_format(out, world_now_ms(world_real) - then_ms);
}

static enum tone tone_of(const char *state)
{
	if (strcmp(state, "ready") == 0 || strcmp(state, "running") == 0)
		return TONE_GOOD;
	if (strcmp(state, "failed") == 0 || strcmp(state, "exited") == 0)
		return TONE_BAD;
	return strcmp(state, "starting") == 0 ? TONE_BUSY : TONE_FAINT;
}

static void state_print(const char *state, int width)
{
	printf("%s%-*s%s", terminal_tone(stdout, tone_of(state)), width, state, terminal_end(stdout));
}

static void environment_print(const json_t *env)
{
	AUTO_FREE char *error = terminal_line(json_text(env, "error", ""));
	AUTO_FREE char *name = terminal_line(json_text(env, "name", ""));
	json_t *sandbox;
	size_t index;

	printf("%s  %s  ", json_text(env, "id", ""), name);
	state_print(json_text(env, "state", ""), 0);
	printf("%s\n", json_flag(env, "pinned", false) ? "  pinned" : "");
	if (error[0])
		printf("  error     %s\n", error);
	printf("  commit    %.12s of %s\n", json_text(env, "commit", ""), json_text(env, "repository", ""));
	if (json_text(env, "snapshot", NULL))
		printf("  snapshot  %s\n", json_text(env, "snapshot", ""));
	if (json_text(env, "preview", NULL))
		printf("  preview   %s\n", json_text(env, "preview", ""));
	json_array_foreach(json_member(env, "sandboxes"), index, sandbox) {
		AUTO_FREE char *exit = terminal_line(json_text(sandbox, "exit", ""));
		int64_t port = json_number(sandbox, "port", 0);
		int64_t restarts = json_number(sandbox, "restarts", 0);

		printf("  %-12s %-10s", json_text(sandbox, "name", ""), json_text(sandbox, "kind", ""));
		state_print(json_text(sandbox, "state", ""), 9);
		if (port)
			printf(" :%-5lld", (long long)port);
		else
			printf("       ");
		printf(" %6lld MiB", (long long)(json_number(sandbox, "memory_bytes", 0) >> 20));
		if (restarts)
			printf("  %lld restarts", (long long)restarts);
		printf("%s%s\n", exit[0] ? "  " : "", exit);
	}
}

/* ---- up ---- */

/* The person's checkout becomes a commit in the server's repository. */
static json_t *repository_put(struct call *call, const char *path, const char *revision, struct err *err)
{
	AUTO_FREE char *folder = realpath(path, NULL);
	AUTO_JSON body = NULL;

	if (!folder) {
		(void)err_set(err, ERR_NOT_FOUND, "no folder %s", path);
		return NULL;
	}
	body = json_pack("{s:s, s:s}", "path", folder, "revision", revision);
	return api_post(call->api, "/repositories", body, err);
}

static int env_up(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env up"};
	const char *at = "HEAD";
	const char *name = NULL;
	const char *snapshot = NULL;
	const struct cli_option options[] = {
		{.name = "at", .value = "COMMIT", .help = "a revision of the repository (default: HEAD)", .text = &at},
		{.name = "name", .value = "NAME", .help = "what to call it", .text = &name},
		{.name = "snapshot",
		 .value = "NAME[/VERSION]",
		 .help = "data to fork instead of the blueprint's",
		 .text = &snapshot},
		{.name = "json", .help = "the environment as JSON", .flag = &call.as_json},
	};
	const struct cli_usage usage = {
		.program = call.program,
		.arguments = "[FOLDER] [--at COMMIT] [--snapshot NAME] [--json]",
		.about = "Forks an environment from a commit of the repository in FOLDER (default: this one) and deploys it.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1,
	};
	AUTO_JSON body = NULL;
	AUTO_JSON repository = NULL;
	AUTO_JSON env = NULL;
	struct err err = {0};
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	if (call_open(&call, &err) == 0)
		repository = repository_put(&call, count ? argv[1] : ".", at, &err);
	if (!repository)
		return cli_fail(call.program, call.as_json, &err);
	body = json_pack("{s:s, s:s, s:s}", "repository", json_text(repository, "name", ""), "commit",
			 json_text(repository, "commit", ""), "purpose", "preview");
	if (name)
		(void)json_object_set_new(body, "name", json_string(name));
	if (snapshot)
		(void)json_object_set_new(body, "snapshot", json_string(snapshot));
	env = api_work(call.api, "/environments", body, call.as_json ? (struct api_listener){0} : api_progress_printer(), &err);
	if (!env)
		return cli_fail(call.program, call.as_json, &err);
	if (call.as_json)
		cli_print_json(env);
	else
		environment_print(env);
	return CLI_DONE;
}

/* ---- looking ---- */

static int env_list(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env list"};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "[--json]",
					.about = "Lists the environments, newest first.",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	AUTO_JSON items = NULL;
	struct err err = {0};
	json_t *env;
	size_t index;
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (call_open(&call, &err) == 0)
		items = api_items(call.api, "/environments", &err);
	if (!items)
		return cli_fail(call.program, call.as_json, &err);
	if (call.as_json) {
		list_print_json(items);
		return CLI_DONE;
	}
	if (!json_array_size(items))
		printf("no environments: `assay env up` makes one\n");
	json_array_foreach(items, index, env) {
		AUTO_FREE char *name = terminal_line(json_text(env, "name", ""));
		AUTO_BUF age = buf_new(64);

		age_add(&age, json_number(env, "created_ms", 0));
		printf("%s  %-16s ", json_text(env, "id", ""), name);
		state_print(json_text(env, "state", ""), 9);
		printf(" %-8s %-12s %s\n", json_text(env, "purpose", ""), age.at ? age.at : "", json_text(env, "preview", ""));
	}
	return CLI_DONE;
}

static int env_show(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env show"};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "ENV [--json]",
					.about = "Shows an environment and its sandboxes.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_FREE char *path = NULL;
	AUTO_JSON env = NULL;
	struct err err = {0};
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path("/environments/{}", argv[1]);
	if (call_open(&call, &err) == 0)
		env = api_get(call.api, path, &err);
	if (!env)
		return cli_fail(call.program, call.as_json, &err);
	if (call.as_json)
		cli_print_json(env);
	else
		environment_print(env);
	return CLI_DONE;
}

static int env_url(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env url"};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "ENV",
					.about = "Prints the URL of the preview.",
					.positional_min = 1,
					.positional_max = 1};
	AUTO_FREE char *path = NULL;
	AUTO_JSON env = NULL;
	struct err err = {0};
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path("/environments/{}", argv[1]);
	if (call_open(&call, &err) == 0)
		env = api_get(call.api, path, &err);
	if (env && !json_text(env, "preview", NULL))
		(void)err_set(&err, ERR_NOT_FOUND, "%s has no preview: no service of its blueprint has a port", argv[1]);
	if (!json_text(env, "preview", NULL))
		return cli_fail(call.program, false, &err);
	printf("%s\n", json_text(env, "preview", ""));
	return CLI_DONE;
}

static bool text_print(void *self, struct view text)
{
	(void)self;
	if (text.length && fwrite(text.at, 1, text.length, stdout) != text.length)
		return false;
	return fflush(stdout) == 0;
}

static int env_logs(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env logs"};
	bool follow = false;
	int64_t lines = LOG_LINES_DEFAULT;
	const struct cli_option options[] = {
		{.name = "follow", .help = "stay, and print what comes", .flag = &follow},
		{.name = "lines", .value = "N", .help = "how many to begin with (default: 200)", .number = &lines},
	};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "ENV [SANDBOX] [--lines N] [--follow]",
					.about = "Prints what the programs of an environment, or of one sandbox, have said.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 2};
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *number = NULL;
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};
	int result = -1;
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	number = text_format("%lld", (long long)lines);
	if (count == 2)
		path = api_path(follow ? "/environments/{}/logs?sandbox={}&lines={}&follow=1"
				       : "/environments/{}/logs?sandbox={}&lines={}",
				argv[1], argv[2], number);
	else
		path = api_path(follow ? "/environments/{}/logs?lines={}&follow=1" : "/environments/{}/logs?lines={}", argv[1],
				number);
	if (call_open(&call, &err) == 0)
		result = follow ? api_follow_text(call.api, path, text_print, NULL, &err) : api_text(call.api, path, &text, &err);
	if (result)
		return cli_fail(call.program, false, &err);
	(void)text_print(NULL, buf_view(&text));
	return CLI_DONE;
}

/* ---- programs inside ---- */

static int env_exec(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env exec"};
	const char *sandbox = "workspace";
	const char *dir = NULL;
	bool root = false;
	bool terminal = false;
	const struct cli_option options[] = {
		{.name = "in", .value = "SANDBOX", .help = "a service or database (default: workspace)", .text = &sandbox},
		{.name = "dir", .value = "FOLDER", .help = "where to run it (default: /workspace)", .text = &dir},
		{.name = "root", .help = "as the sandbox's root", .flag = &root},
		{.name = "terminal", .help = "with a terminal", .flag = &terminal},
		{.name = "json", .help = "the answer as JSON", .flag = &call.as_json},
	};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "[OPTIONS] ENV COMMAND [ARGUMENT…]",
					.about = "Runs a command in an environment and exits with its code.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 2,
					.positional_max = -1,
					.options_first = true};
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	json_t *words = json_array();
	struct err err = {0};
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	/* `exec ENV -- COMMAND` is `exec ENV COMMAND`. */
	for (int i = count > 2 && strcmp(argv[2], "--") == 0 ? 3 : 2; i <= count; i++)
		(void)json_array_append_new(words, json_string(argv[i]));
	body = json_pack("{s:s, s:o, s:b}", "sandbox", sandbox, "argv", words, "root", root);
	if (count < 0)
		return code;
	if (dir)
		(void)json_object_set_new(body, "dir", json_string(dir));
	if (call_open(&call, &err))
		return cli_fail(call.program, call.as_json, &err);
	if (terminal)
		return env_terminal(call.program, api_socket(call.api), argv[1], sandbox, words);
	path = api_path("/environments/{}/exec", argv[1]);
	answer = api_post(call.api, path, body, &err);
	if (!answer)
		return cli_fail(call.program, call.as_json, &err);
	if (call.as_json) {
		cli_print_json(answer);
		return CLI_DONE;
	}
	fputs(json_text(answer, "output", ""), stdout);
	fputs(json_text(answer, "errors", ""), stderr);
	if (strcmp(json_text(json_member(answer, "status"), "reason", "code"), "code") != 0)
		return CLI_FAILED;
	return (int)json_number(json_member(answer, "status"), "code", CLI_FAILED);
}

static int env_shell(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env shell"};
	const struct cli_usage usage = {
		.program = call.program,
		.arguments = "ENV [SANDBOX]",
		.about = "Opens a shell in the workspace of an environment, or in another of its sandboxes.",
		.positional_min = 1,
		.positional_max = 2};
	AUTO_JSON words = json_pack("[s, s, s]", "sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi");
	struct err err = {0};
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	if (call_open(&call, &err))
		return cli_fail(call.program, false, &err);
	return env_terminal(call.program, api_socket(call.api), argv[1], count == 2 ? argv[2] : "workspace", words);
}

static int env_query(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env query"};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "ENV DATABASE STATEMENT",
					.about = "Runs one statement on a database of an environment.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 3,
					.positional_max = 3};
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	struct err err = {0};
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path("/environments/{}/query", argv[1]);
	body = json_pack("{s:s, s:s}", "database", argv[2], "statement", argv[3]);
	if (call_open(&call, &err) == 0)
		answer = api_post(call.api, path, body, &err);
	if (!answer)
		return cli_fail(call.program, call.as_json, &err);
	if (call.as_json)
		cli_print_json(answer);
	else
		fputs(json_text(answer, "output", ""), stdout);
	return CLI_DONE;
}

/* ---- one environment, one verb ---- */

static int env_deploy(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env deploy"};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {
		.program = call.program,
		.arguments = "ENV [SERVICE] [--json]",
		.about = "Builds and restarts a service, or all with the migrations, from the work tree as it is now.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 2};
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = json_object();
	struct err err = {0};
	json_t *answer = NULL;
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	if (count == 2)
		(void)json_object_set_new(body, "service", json_string(argv[2]));
	path = api_path("/environments/{}/deploy", argv[1]);
	if (call_open(&call, &err) == 0)
		answer = api_work(call.api, path, body, call.as_json ? (struct api_listener){0} : api_progress_printer(), &err);
	return call_end(&call, answer, &err);
}

/* Subcommands that are ENV and a path: `work` sends progress, the others answer at once. */
struct verb {
	const char *program;
	const char *path; /* below /environments/ENV */
	const char *about;
	bool work;
	bool removes;
};

static int verb_run(const struct verb *verb, int argc, char **argv)
{
	AUTO_CALL call = {.program = verb->program};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {.program = verb->program,
					.arguments = "ENV [--json]",
					.about = verb->about,
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *pattern = text_format("/environments/{}%s", verb->path);
	struct err err = {0};
	json_t *answer = NULL;
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path(pattern, argv[1]);
	if (call_open(&call, &err))
		return cli_fail(call.program, call.as_json, &err);
	if (verb->removes)
		answer = api_delete(call.api, path, &err);
	else if (verb->work)
		answer = api_work(call.api, path, NULL, call.as_json ? (struct api_listener){0} : api_progress_printer(), &err);
	else
		answer = api_post(call.api, path, NULL, &err);
	if (answer && verb->work && !call.as_json)
		environment_print(answer);
	return call_end(&call, answer, &err);
}

#define VERB(function, name, path_, about_, work_, removes_)                                         \
	static int function(int argc, char **argv)                                                   \
	{                                                                                            \
		static const struct verb verb = {"assay env " name, path_, about_, work_, removes_}; \
                                                                                                     \
		return verb_run(&verb, argc, argv);                                                  \
	}

VERB(env_reset_data, "reset-data", "/reset-data", "Puts all databases of an environment back to the snapshot.", true, false)
VERB(env_fork, "fork", "/fork", "Clones a live environment as it is now: work tree and databases.", true, false)
VERB(env_freeze, "freeze", "/freeze", "Stops the clock of an environment; the next request wakes it.", false, false)
VERB(env_thaw, "thaw", "/thaw", "Wakes a frozen environment.", false, false)
VERB(env_pin, "pin", "/pin", "Keeps an environment until it is unpinned.", false, false)
VERB(env_unpin, "unpin", "/unpin", "Lets an environment end with its grace period again.", false, false)
VERB(env_down, "down", "", "Removes an environment and everything in it.", false, true)

static int env_extend(int argc, char **argv)
{
	AUTO_CALL call = {.program = "assay env extend"};
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &call.as_json}};
	const struct cli_usage usage = {.program = call.program,
					.arguments = "ENV DURATION",
					.about = "Keeps an environment for DURATION from now: 30m, 24h, 7d.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 2,
					.positional_max = 2};
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	struct err err = {0};
	json_t *answer = NULL;
	int64_t grace_ms = 0;
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (duration_parse(view_of(argv[2]), &grace_ms, &err))
		return cli_refuse(call.program, "%s", err.text);
	path = api_path("/environments/{}/extend", argv[1]);
	body = json_pack("{s:I}", "grace_ms", (json_int_t)grace_ms);
	if (call_open(&call, &err) == 0)
		answer = api_post(call.api, path, body, &err);
	return call_end(&call, answer, &err);
}

static const struct cli_command commands[] = {
	{"up", "[FOLDER] [--at COMMIT]", "forks an environment and deploys it", env_up},
	{"list", "", "lists the environments", env_list},
	{"show", "ENV", "shows one and its sandboxes", env_show},
	{"logs", "ENV [SANDBOX]", "prints what programs have said", env_logs},
	{"shell", "ENV [SANDBOX]", "opens a shell in it", env_shell},
	{"exec", "ENV COMMAND…", "runs a command in it", env_exec},
	{"query", "ENV DATABASE STATEMENT", "asks one of its databases", env_query},
	{"url", "ENV", "prints the preview's URL", env_url},
	{"deploy", "ENV [SERVICE]", "builds and restarts from the work tree", env_deploy},
	{"reset-data", "ENV", "puts the databases back to the snapshot", env_reset_data},
	{"fork", "ENV", "clones it as it is now", env_fork},
	{"freeze", "ENV", "stops its clock", env_freeze},
	{"thaw", "ENV", "wakes it", env_thaw},
	{"pin", "ENV", "keeps it", env_pin},
	{"unpin", "ENV", "lets it end with its grace period", env_unpin},
	{"extend", "ENV DURATION", "keeps it that long from now", env_extend},
	{"down", "ENV", "removes it", env_down},
};

int cli_env(int argc, char **argv)
{
	return cli_dispatch("assay env", commands, ARRAY_LEN(commands), argc, argv);
}
