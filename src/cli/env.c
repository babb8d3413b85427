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
#include "cli/verb.h"

#define LOG_LINES_DEFAULT 200

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

/* Of a call whose caller was called for an environment, and does not say so. */
static const char *context_said(const char *why)
{
	if (strcmp(why, "lost") == 0)
		return "the baggage that it was called with is not passed on";
	if (strcmp(why, "ambiguous") == 0)
		return "the baggage is not passed on, and with several requests under way nobody can say whose call it is: refused";
	return "calls of this protocol are not stamped: what they call on knows nothing of the environment";
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
	if (json_text(env, "below", NULL))
		printf("  stands on %s\n", json_text(env, "below", ""));
	json_array_foreach(json_member(env, "propagation"), index, sandbox)
		printf("  context   %s -> %s: %s\n", json_text(sandbox, "from", ""), json_text(sandbox, "to", ""),
		       context_said(json_text(sandbox, "why", "")));
	if (json_text(env, "preview", NULL))
		printf("  preview   %s\n", json_text(env, "preview", ""));
	if (json_array_size(json_member(env, "unlimited"))) {
		printf("  limits    not kept for a sandbox as a whole here:");
		json_array_foreach(json_member(env, "unlimited"), index, sandbox)
			printf("%s %s", index ? "," : "", json_string_value(sandbox));
		printf(" (assay doctor)\n");
	}
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
static json_t *repository_put(struct api *api, const char *path, const char *revision, struct err *err)
{
	AUTO_FREE char *folder = realpath(path, NULL);
	AUTO_JSON body = NULL;

	if (!folder) {
		(void)err_set(err, ERR_NOT_FOUND, "no folder %s", path);
		return NULL;
	}
	body = json_pack("{s:s, s:s}", "path", folder, "revision", revision);
	return api_post(api, "/repositories", body, err);
}

/* "a,b": a list of texts, owned by the caller. */
static json_t *words_list(const char *text)
{
	struct view rest = view_of(text);
	json_t *list = json_array();

	while (rest.at) {
		AUTO_FREE char *word = view_copy(view_trim(view_cut(rest, ',', &rest)));

		if (word[0])
			(void)json_array_append_new(list, json_string(word));
	}
	return list;
}

static int env_up(int argc, char **argv)
{
	bool as_json = false;
	const char *at = "HEAD";
	const char *name = NULL;
	const char *snapshot = NULL;
	const char *on = NULL;
	const char *services = NULL;
	const struct cli_option options[] = {
		{.name = "at", .value = "COMMIT", .help = "a revision of the repository (default: HEAD)", .text = &at},
		{.name = "name", .value = "NAME", .help = "what to call it", .text = &name},
		{.name = "snapshot",
		 .value = "NAME[/VERSION]",
		 .help = "data to fork instead of the blueprint's",
		 .text = &snapshot},
		{.name = "on",
		 .value = "ENV",
		 .help = "an environment of all services, where those that did not change answer",
		 .text = &on},
		{.name = "services",
		 .value = "NAME,…",
		 .help = "with --on: which are its own (default: those whose files differ)",
		 .text = &services},
		{.name = "json", .help = "the environment as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay env up",
		.arguments = "[FOLDER] [--at COMMIT] [--snapshot NAME] [--on ENV] [--json]",
		.about = "Forks an environment from a commit of the repository in FOLDER (default: this one) and deploys it.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1,
	};
	AUTO_API struct api *api = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON repository = NULL;
	AUTO_JSON env = NULL;
	struct err err = {0};
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	api = api_open(usage.program, true, &err);
	if (api)
		repository = repository_put(api, count ? argv[1] : ".", at, &err);
	if (!repository)
		return cli_fail(usage.program, as_json, &err);
	body = json_pack("{s:s, s:s, s:s}", "repository", json_text(repository, "name", ""), "commit",
			 json_text(repository, "commit", ""), "purpose", "preview");
	if (name)
		(void)json_object_set_new(body, "name", json_string(name));
	if (snapshot)
		(void)json_object_set_new(body, "snapshot", json_string(snapshot));
	if (on)
		(void)json_object_set_new(body, "on", json_string(on));
	if (services)
		(void)json_object_set_new(body, "services", words_list(services));
	env = api_work(api, "/environments", body, as_json ? (struct api_listener){0} : api_progress_printer(), &err);
	if (!env)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(env);
	else
		environment_print(env);
	return CLI_DONE;
}

/* ---- looking ---- */

static void list_print(const json_t *items)
{
	json_t *env;
	size_t index;

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
}

static int env_url(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay env url",
					.arguments = "ENV",
					.about = "Prints the URL of the preview.",
					.positional_min = 1,
					.positional_max = 1};
	AUTO_FREE char *path = NULL;
	AUTO_JSON env = NULL;
	AUTO_API struct api *api = NULL;
	struct err err = {0};
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	path = api_path("/environments/{}", argv[1]);
	api = api_open(usage.program, true, &err);
	if (api)
		env = api_get(api, path, &err);
	if (env && !json_text(env, "preview", NULL))
		(void)err_set(&err, ERR_NOT_FOUND, "%s has no preview: no service of its blueprint has a port", argv[1]);
	if (!json_text(env, "preview", NULL))
		return cli_fail(usage.program, false, &err);
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
	bool follow = false;
	int64_t lines = LOG_LINES_DEFAULT;
	const struct cli_option options[] = {
		{.name = "follow", .help = "stay, and print what comes", .flag = &follow},
		{.name = "lines", .value = "N", .help = "how many to begin with (default: 200)", .number = &lines},
	};
	const struct cli_usage usage = {.program = "assay env logs",
					.arguments = "ENV [SANDBOX] [--lines N] [--follow]",
					.about = "Prints what the programs of an environment, or of one sandbox, have said.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 2};
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *number = NULL;
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	AUTO_API struct api *api = NULL;
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
	api = api_open(usage.program, true, &err);
	if (api)
		result = follow ? api_follow_text(api, path, text_print, NULL, &err) : api_text(api, path, &text, &err);
	if (result)
		return cli_fail(usage.program, false, &err);
	(void)text_print(NULL, buf_view(&text));
	return CLI_DONE;
}

/* ---- programs inside ---- */

static int env_exec(int argc, char **argv)
{
	bool as_json = false;
	const char *sandbox = "workspace";
	const char *dir = NULL;
	bool root = false;
	bool terminal = false;
	const struct cli_option options[] = {
		{.name = "in", .value = "SANDBOX", .help = "a service or database (default: workspace)", .text = &sandbox},
		{.name = "dir", .value = "FOLDER", .help = "where to run it (default: /workspace)", .text = &dir},
		{.name = "root", .help = "as the sandbox's root", .flag = &root},
		{.name = "terminal", .help = "with a terminal", .flag = &terminal},
		{.name = "json", .help = "the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay env exec",
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
	AUTO_API struct api *api = NULL;
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
	api = api_open(usage.program, true, &err);
	if (!api)
		return cli_fail(usage.program, as_json, &err);
	if (terminal)
		return env_terminal(usage.program, api_socket(api), argv[1], sandbox, words);
	path = api_path("/environments/{}/exec", argv[1]);
	answer = api_post(api, path, body, &err);
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
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
	const struct cli_usage usage = {
		.program = "assay env shell",
		.arguments = "ENV [SANDBOX]",
		.about = "Opens a shell in the workspace of an environment, or in another of its sandboxes.",
		.positional_min = 1,
		.positional_max = 2};
	AUTO_JSON words = json_pack("[s, s, s]", "sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi");
	AUTO_API struct api *api = NULL;
	struct err err = {0};
	int code;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	api = api_open(usage.program, true, &err);
	if (!api)
		return cli_fail(usage.program, false, &err);
	return env_terminal(usage.program, api_socket(api), argv[1], count == 2 ? argv[2] : "workspace", words);
}

/* ---- one environment, one call ---- */

static void output_print(const json_t *answer)
{
	fputs(json_text(answer, "output", ""), stdout);
}

static json_t *query_body(int count, char **argv, struct err *err)
{
	(void)count;
	(void)err;
	return json_pack("{s:s, s:s}", "database", argv[2], "statement", argv[3]);
}

static json_t *deploy_body(int count, char **argv, struct err *err)
{
	(void)err;
	return count == 2 ? json_pack("{s:s}", "service", argv[2]) : json_object();
}

static json_t *extend_body(int count, char **argv, struct err *err)
{
	int64_t grace_ms = 0;

	(void)count;
	if (duration_parse(view_of(argv[2]), &grace_ms, err))
		return NULL;
	return json_pack("{s:I}", "grace_ms", (json_int_t)grace_ms);
}

static json_t *revoke_body(int count, char **argv, struct err *err)
{
	(void)err;
	return count > 1 ? json_pack("{s:s}", "link", argv[2]) : json_object();
}

static void url_print(const json_t *environment)
{
	printf("%s\n", json_text(environment, "preview", ""));
}

#define ONE .arguments = "ENV [--json]", .least = 1, .most = 1, .json = true /* an environment is all they are told */

static const struct verb list = {.arguments = "[--json]",
				 .about = "Lists the environments, newest first.",
				 .json = true,
				 .how = VERB_ITEMS,
				 .path = "/environments",
				 .print = list_print};
static const struct verb show = {ONE, .about = "Shows an environment and its sandboxes.", .how = VERB_GET,
				 .path = "/environments/{}", .print = environment_print};
static const struct verb query = {.arguments = "ENV DATABASE STATEMENT",
				  .about = "Runs one statement on a database of an environment.",
				  .least = 3,
				  .most = 3,
				  .json = true,
				  .how = VERB_POST,
				  .path = "/environments/{}/query",
				  .body_make = query_body,
				  .print = output_print};
static const struct verb deploy = {
	.arguments = "ENV [SERVICE] [--json]",
	.about = "Builds and restarts a service, or all with the migrations, from the work tree as it is now.",
	.least = 1,
	.most = 2,
	.json = true,
	.how = VERB_WORK,
	.path = "/environments/{}/deploy",
	.body_make = deploy_body,
};
static const struct verb reset_data = {ONE, .about = "Puts all databases of an environment back to the snapshot.", .how = VERB_WORK,
				       .path = "/environments/{}/reset-data", .print = environment_print};
static const struct verb fork_live = {ONE, .about = "Clones a live environment as it is now: work tree and databases.",
				      .how = VERB_WORK, .path = "/environments/{}/fork", .print = environment_print};
static const struct verb freeze = {ONE, .about = "Stops the clock of an environment; the next request wakes it.", .how = VERB_POST,
				   .path = "/environments/{}/freeze"};
static const struct verb thaw = {ONE, .about = "Wakes a frozen environment.", .how = VERB_POST, .path = "/environments/{}/thaw"};
static const struct verb pin = {ONE, .about = "Keeps an environment until it is unpinned.", .how = VERB_POST,
				.path = "/environments/{}/pin"};
static const struct verb unpin = {ONE, .about = "Lets an environment end with its grace period again.", .how = VERB_POST,
				  .path = "/environments/{}/unpin"};
static const struct verb extend = {.arguments = "ENV DURATION",
				   .about = "Keeps an environment for DURATION from now: 30m, 24h, 7d.",
				   .least = 2,
				   .most = 2,
				   .json = true,
				   .how = VERB_POST,
				   .path = "/environments/{}/extend",
				   .body_make = extend_body};
static const struct verb revoke_links = {
	.arguments = "ENV [LINK] [--json]",
	.about =
		"Takes back a link to the preview of an environment, or all that were given so far. Who came by it is sent away at once; who signed in "
		"stays. Prints the link that is given from now on.",
	.least = 1,
	.most = 2,
	.json = true,
	.how = VERB_POST,
	.path = "/environments/{}/revoke",
	.body_make = revoke_body,
	.print = url_print};
static const struct verb down = {ONE, .about = "Removes an environment and everything in it.", .how = VERB_DELETE,
				 .path = "/environments/{}"};

static const struct cli_command commands[] = {
	{"up", "[FOLDER] [--at COMMIT]", "forks an environment and deploys it", env_up},
	{"list", "", "lists the environments", .verb = &list},
	{"show", "ENV", "shows one and its sandboxes", .verb = &show},
	{"logs", "ENV [SANDBOX]", "prints what programs have said", env_logs},
	{"shell", "ENV [SANDBOX]", "opens a shell in it", env_shell},
	{"exec", "ENV COMMAND…", "runs a command in it", env_exec},
	{"query", "ENV DATABASE STATEMENT", "asks one of its databases", .verb = &query},
	{"url", "ENV", "prints the preview's URL", env_url},
	{"revoke", "ENV [LINK]", "takes back a link to the preview, or all", .verb = &revoke_links},
	{"deploy", "ENV [SERVICE]", "builds and restarts from the work tree", .verb = &deploy},
	{"reset-data", "ENV", "puts the databases back to the snapshot", .verb = &reset_data},
	{"fork", "ENV", "clones it as it is now", .verb = &fork_live},
	{"freeze", "ENV", "stops its clock", .verb = &freeze},
	{"thaw", "ENV", "wakes it", .verb = &thaw},
	{"pin", "ENV", "keeps it", .verb = &pin},
	{"unpin", "ENV", "lets it end with its grace period", .verb = &unpin},
	{"extend", "ENV DURATION", "keeps it that long from now", .verb = &extend},
	{"down", "ENV", "removes it", .verb = &down},
};

int cli_env(int argc, char **argv)
{
	return cli_dispatch("assay env", commands, ARRAY_LEN(commands), argc, argv);
}
