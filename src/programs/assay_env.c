/*
 * assay-env: what an agent, or a person in a shell, has in a sandbox: deploy, test, look, verify, ask. A static program without needs. The
 * verbs are a table (assay_env_verbs.h), which `assay-env mcp` serves to programs that speak the Model Context Protocol.
 *
 * Exit codes: 0 done, 1 it did not succeed, 2 it was not understood.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "programs/assay_env_mcp.h"
#include "programs/assay_env_tool.h"
#include "programs/assay_env_verbs.h"

/* ---- words become arguments ---- */

static const struct env_param *option_find(const struct env_verb *verb, const char *word)
{
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++)
		if (verb->params[i].option && strcmp(verb->params[i].option, word) == 0)
			return &verb->params[i];
	return NULL;
}

/* The next one without an option that has no value yet. */
static const struct env_param *place_find(const struct env_verb *verb, const json_t *arguments)
{
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++)
		if (!verb->params[i].option && (verb->params[i].kind == ENV_TEXTS || !json_member(arguments, verb->params[i].name)))
			return &verb->params[i];
	return NULL;
}

static bool value_put(json_t *arguments, const struct env_param *param, const char *word)
{
	json_t *list = json_member(arguments, param->name);
	AUTO_JSON holder = json_object();
	uint64_t number;

	json_set_bytes(holder, "text", view_of(word));
	if (param->kind == ENV_TEXTS && !list) {
		list = json_array();
		(void)json_object_set_new(arguments, param->name, list);
	}
	if (param->kind == ENV_TEXTS)
		return json_array_append(list, json_member(holder, "text")) == 0;
	if (list || (param->kind == ENV_NUMBER && (!view_to_u64(view_of(word), &number) || number > INT32_MAX)))
		return false;
	return json_object_set_new(arguments, param->name,
				   param->kind == ENV_NUMBER ? json_integer((json_int_t)number)
							     : json_incref(json_member(holder, "text"))) == 0;
}

struct options {
	bool json;
	bool help;
};

/* Words that begin with a dash are options until the last place, whose words may be anything (`redis cache SET k -1`). */
static bool words_parse(const struct env_verb *verb, char **words, json_t *arguments, struct options *options)
{
	for (bool literal = false; *words; words++) {
		const struct env_param *place = place_find(verb, arguments);
		const struct env_param *option = literal ? NULL : option_find(verb, *words);
		bool rest = place && place->kind == ENV_TEXTS && json_member(arguments, place->name);

		if (!literal && !rest && strcmp(*words, "--json") == 0) {
			options->json = true;
		} else if (!literal && !rest && (strcmp(*words, "--help") == 0 || strcmp(*words, "-h") == 0)) {
			options->help = true;
		} else if (!literal && !rest && strcmp(*words, "--") == 0) {
			literal = true;
		} else if (option) {
			if (!words[1] || !value_put(arguments, option, *++words))
				return false;
		} else if (!place || (!literal && !rest && **words == '-' && (*words)[1]) || !value_put(arguments, place, *words)) {
			return false;
		}
	}
	return true;
}

/* ---- help ---- */

static int help(void)
{
	printf("assay-env works on this environment:\n\n");
	for (size_t i = 0; i < env_verb_count; i++) {
		AUTO_BUF usage = buf_new(4096);

		env_verb_usage(&usage, &env_verbs[i]);
		printf("  %s\n      %s\n", usage.at, env_verbs[i].about);
	}
	printf("  mcp\n      serve all of these to a program that speaks the Model Context Protocol, on standard input and output\n\n"
	       "Each takes --json (one line for programs) and --help. It ends with 0 when it is done, 1 when it did not succeed and 2 when it\n"
	       "was not understood. What is printed is cut in its middle after %zu KiB.\n",
	       (ENV_OUTPUT_HEAD + ENV_OUTPUT_TAIL) >> 10);
	return 0;
}

static int verb_help(const struct env_verb *verb)
{
	AUTO_BUF usage = buf_new(4096);

	env_verb_usage(&usage, verb);
	printf("usage: assay-env %s\n%s\n", usage.at, verb->about);
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++)
		printf("  %-10s %s\n", verb->params[i].option ? verb->params[i].option : verb->params[i].name,
		       verb->params[i].about);
	return 0;
}

static int misused(const struct env_verb *verb, const char *why)
{
	AUTO_BUF usage = buf_new(4096);

	env_verb_usage(&usage, verb);
	(void)fprintf(stderr, "assay-env: %s; usage: assay-env %s\n", why, usage.at);
	return 2;
}

/* ---- calls ---- */

struct terminal {
	struct env_output output;
	struct buf kept; /* with --json: all of it */
	bool json;
};

static void print(void *self, struct view bytes)
{
	struct terminal *terminal = self;

	if (terminal->json)
		buf_add_view(&terminal->kept, bytes);
	else
		(void)fwrite(bytes.at, 1, bytes.length, stdout);
}

static void say(void *self, struct view bytes)
{
	struct terminal *terminal = self;

	env_output_add(&terminal->output, bytes);
	(void)fflush(stdout);
}

static void progress(void *self, const char *line)
{
	struct terminal *terminal = self;

	if (terminal->json)
		return;
	(void)fprintf(stderr, "%s\n", line);
}

static void json_print(const struct terminal *terminal, struct env_call *call, const struct err *err)
{
	AUTO_JSON answer = json_pack("{s:b}", "ok", err->kind == ERR_NONE && !call->failed);
	AUTO_BUF line = buf_new(BUF_MAX_DEFAULT);

	if (call->data)
		(void)json_object_update_missing(answer, call->data);
	else
		json_set_bytes(answer, "output", buf_view(&terminal->kept));
	if (!json_member(answer, "output") && json_member(answer, "items"))
		json_set_bytes(answer, "output", buf_view(&terminal->kept));
	if (err->kind != ERR_NONE)
		json_set_bytes(answer, "error", view_of(err->text));
	json_format(&line, answer);
	printf("%s\n", line.at);
}

static int call_make(const struct env_verb *verb, const json_t *arguments, bool json)
{
	struct terminal terminal = {.kept = buf_new(BUF_MAX_DEFAULT), .json = json};
	struct env_call call = {.arguments = arguments, .say = say, .progress = progress, .self = &terminal};
	struct err err = {0};
	int code;

	terminal.output = env_output_new(print, &terminal);
	if (verb->run(&call, &err) && err.kind == ERR_NONE)
		(void)err_set(&err, ERR_BROKEN, "it failed");
	env_output_end(&terminal.output);
	if (json)
		json_print(&terminal, &call, &err);
	(void)fflush(stdout);
	if (err.kind != ERR_NONE && !json)
		(void)fprintf(stderr, "assay-env %s: %s\n", verb->name, err.text);
	code = err.kind != ERR_NONE || call.failed ? 1 : 0;
	json_decref(call.data);
	buf_fini(&call.image);
	buf_fini(&terminal.kept);
	return code;
}

/* For the hooks of agents, in the words of their vendors: one JSON object when the turn should go on, else nothing. An agent is never kept
 * for want of an answer. */
static int gate(const char *word)
{
	struct err err = {0};
	AUTO_JSON nothing = json_object();
	AUTO_JSON answer = tool_json("POST", "gate", nothing, &err);
	AUTO_JSON said = json_object();
	AUTO_BUF line = buf_new(TOOL_ANSWER_MAX);

	if (!json_flag(answer, "hold", false))
		return 0;
	json_set_bytes(said, "decision", view_of(word));
	json_set_bytes(said, "reason", view_of(json_text(answer, "reason", "")));
	json_format(&line, said);
	printf("%s\n", line.at);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	const struct env_verb *verb = env_verb_find(name);
	AUTO_JSON arguments = json_object();
	struct options options = {0};
	struct err err = {0};

	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help();
	if (strcmp(name, "mcp") == 0 && argc == 2)
		return mcp_serve(STDIN_FILENO, STDOUT_FILENO);
	if (strcmp(name, "gate") == 0 && argc <= 3)
		return gate(argc == 3 ? argv[2] : "block");
	if (!verb) {
		(void)fprintf(stderr, "assay-env: no `%.60s`: see `assay-env help`\n", name);
		return 2;
	}
	if (!words_parse(verb, argv + 2, arguments, &options))
		return misused(verb, "a word that has no place, or a number that is none");
	if (options.help)
		return verb_help(verb);
	if (env_verb_check(verb, arguments, &err))
		return misused(verb, err.text);
	return call_make(verb, arguments, options.json);
}
