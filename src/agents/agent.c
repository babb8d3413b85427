/* The table of agents, and what all rows share: lines, events, the rule of success. */
#include "agents/agent_priv.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"

static const struct agent_ops *const rows[] = {&agent_acp,    &agent_claude, &agent_codex,   &agent_command,
					       &agent_cursor, &agent_gemini, &agent_opencode};

static const char *const kind_names[] = {
	[AGENT_START] = "start", [AGENT_THOUGHT] = "thought", [AGENT_ACTION] = "action", [AGENT_OBSERVATION] = "observation",
	[AGENT_PLAN] = "plan",   [AGENT_MESSAGE] = "message", [AGENT_END] = "end",
};

const struct agent_ops *agent_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i]->name, name) == 0)
			return rows[i];
	return NULL;
}

const struct agent_ops *const *agent_rows(size_t *count)
{
	*count = ARRAY_LEN(rows);
	return rows;
}

const char *agent_names(void)
{
	return "acp, claude, codex, command, cursor, gemini or opencode";
}

const struct agent_ops *agent_of_blueprint(const struct blueprint *blueprint)
{
	const struct agent_ops *ops = blueprint->agent.use ? agent_find(blueprint->agent.use) : NULL;
	const char *format = blueprint->agent.format;

	return ops == &agent_command && format && strcmp(format, "acp") == 0 ? &agent_acp : ops;
}

/* ---- the program ---- */

/* {arch} by the shell, which runs on the machine it is for; {version} here. */
static void pattern_add(struct buf *out, const char *pattern, const char *version)
{
	struct view rest = view_of(pattern);

	while (rest.length) {
		if (view_starts(rest, VIEW("{arch}"))) {
			buf_add_text(out, "\"$arch\"");
			rest = view_make(rest.at + 6, rest.length - 6);
		} else if (view_starts(rest, VIEW("{version}"))) {
			buf_add_text(out, version);
			rest = view_make(rest.at + 9, rest.length - 9);
		} else {
			buf_add_char(out, rest.at[0]);
			rest = view_make(rest.at + 1, rest.length - 1);
		}
	}
}

/* So that it may stand in a script as it is. */
static bool version_valid(const char *version)
{
	for (size_t i = 0; version[i]; i++)
		if (!isalnum((unsigned char)version[i]) && (!i || !strchr(".-", version[i])))
			return false;
	return version[0] && strlen(version) <= AGENT_VERSION_MAX;
}

char *agent_install_script(const struct agent_ops *ops, const char *version, struct err *err)
{
	const struct agent_package *package = &ops->package;
	AUTO_BUF out = buf_new(4096);

	if (!package->npm) {
		(void)err_set(err, ERR_INVALID, "%s cannot be installed from npm: put it into the image or on the host", ops->name);
		return NULL;
	}
	version = version ? version : package->version;
	if (!version_valid(version)) {
		(void)err_set(err, ERR_INVALID, "`%.60s` is no version", version);
		return NULL;
	}
	buf_add_text(&out,
		     "command -v npm >/dev/null || { echo 'npm is not installed on this machine' >&2; exit 1; }\n"
		     "case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac\n"
		     "npm install --prefix . --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error ");
	pattern_add(&out, package->npm, version);
	buf_add_text(&out, "\nmkdir bin\ncd bin\nln -s ../node_modules/");
	pattern_add(&out, package->program, version);
	buf_add_format(&out, " %s\ntest -x %s\n", package->command, package->command);
	return buf_take(&out);
}

/* ---- a turn ---- */

void agent_env_add(struct variables *env, const char *name, const char *value)
{
	env->at = mem_grow(env->at, env->count + 1, sizeof(*env->at));
	env->at[env->count++] = (struct name_value){text_copy(name), text_copy(value)};
}

void agent_argv_add(struct agent_turn *turn, const char *word)
{
	size_t count = 0;

	while (turn->argv && turn->argv[count])
		count++;
	turn->argv = mem_grow(turn->argv, count + 2, sizeof(*turn->argv));
	turn->argv[count] = text_copy(word);
	turn->argv[count + 1] = NULL;
}

void agent_argv_begin(struct agent_turn *turn, const struct command *command, const char *program)
{
	if (command->argv) {
		for (char **word = command->argv; *word; word++)
			agent_argv_add(turn, *word);
	} else if (command->shell) {
		AUTO_FREE char *line = text_format("%s \"$@\"", command->shell);

		agent_argv_add(turn, "sh");
		agent_argv_add(turn, "-c");
		agent_argv_add(turn, program ? line : command->shell);
		agent_argv_add(turn, "sh");
	} else {
		agent_argv_add(turn, program);
	}
}

void agent_argv_options(struct agent_turn *turn, const struct agent_request *request, const char *const *words, size_t count,
			const char *model_option, const char *session_option)
{
	for (size_t i = 0; i < count; i++)
		agent_argv_add(turn, words[i]);
	if (request->blueprint->agent.model) {
		agent_argv_add(turn, model_option);
		agent_argv_add(turn, request->blueprint->agent.model);
	}
	if (request->session) {
		agent_argv_add(turn, session_option);
		agent_argv_add(turn, request->session);
	}
}

void agent_queue(struct agent_parser *parser, const char *text)
{
	AUTO_FREE char *before = parser->queued;

	parser->queued = before ? text_format("%s\n\n%s", before, text) : text_copy(text);
}

char *agent_prompt(const struct agent_request *request, bool knows)
{
	const struct agent_ops *ops = agent_of_blueprint(request->blueprint);
	const char *tools = knows || !ops || ops->instructs ? "" : agent_tools_text;

	if (knows || !request->history || !*request->history)
		return text_format("%s%s%s", tools, *tools ? "\n" : "", request->prompt);
	return text_format("%s%sWhat was said so far:\n\n%s\n\nNow:\n\n%s", tools, *tools ? "\n" : "", request->history,
			   request->prompt);
}

int agent_turn_make(const struct agent_request *request, struct agent_turn *turn, struct err *err)
{
	const char *use = request->blueprint->agent.use;
	const struct agent_ops *ops = agent_of_blueprint(request->blueprint);

	*turn = (struct agent_turn){0};
	if (!ops)
		return err_set(err, ERR_INVALID, "no agent `%.60s`: expected %s", use ? use : "", agent_names());
	if (ops->turn(request, turn, err)) {
		agent_turn_fini(turn);
		return -1;
	}
	for (size_t i = 0; i < request->blueprint->agent.env.count; i++)
		agent_env_add(&turn->env, request->blueprint->agent.env.at[i].name, request->blueprint->agent.env.at[i].value);
	turn->input = agent_prompt(request, ops->resumes && request->session);
	turn->talks = ops->begin != NULL;
	return 0;
}

static void variables_free(struct variables *variables)
{
	for (size_t i = 0; i < variables->count; i++) {
		free(variables->at[i].name);
		free(variables->at[i].value);
	}
	free(variables->at);
}

void agent_turn_fini(struct agent_turn *turn)
{
	for (char **word = turn->argv; word && *word; word++)
		free(*word);
	free(turn->argv);
	variables_free(&turn->env);
	variables_free(&turn->files);
	free(turn->input);
	*turn = (struct agent_turn){0};
}

/* ---- events ---- */

void agent_text_set(json_t *event, const char *key, struct view text)
{
	AUTO_BUF cut = buf_new(AGENT_TEXT_MAX + 64);

	if (text.length <= AGENT_TEXT_MAX) {
		json_set_bytes(event, key, text);
		return;
	}
	buf_add(&cut, text.at, AGENT_TEXT_MAX);
	buf_add_format(&cut, "\n[%zu more bytes]", text.length - AGENT_TEXT_MAX);
	json_set_bytes(event, key, buf_view(&cut));
}

void agent_text_take(json_t *event, const char *key, const json_t *from, const char *from_key)
{
	const json_t *value = json_member(from, from_key);

	if (json_is_string(value))
		agent_text_set(event, key, view_make(json_string_value(value), json_string_length(value)));
}

json_t *agent_plan_item(const char *text, const char *state)
{
	json_t *item = json_object();

	if (strcmp(state, "in_progress") != 0 && strcmp(state, "completed") != 0)
		state = "pending";
	agent_text_set(item, "text", view_of(text));
	json_set_bytes(item, "state", view_of(state));
	return item;
}

void agent_last_set(struct agent_parser *parser, const char *text)
{
	buf_clear(&parser->last);
	buf_add_text(&parser->last, text);
}

void agent_emit(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind, json_t *event)
{
	AUTO_JSON owned = event;
	const char *session = json_text(event, "session", NULL);

	(void)json_object_set_new(event, "kind", json_string(kind_names[kind]));
	if (kind == AGENT_START) {
		parser->started = true;
		if (session && *session) {
			free(parser->session);
			parser->session = text_copy(session);
		}
	}
	if (kind == AGENT_MESSAGE && parser->ops != &agent_command)
		agent_last_set(parser, json_text(event, "text", ""));
	if (kind == AGENT_ACTION && json_member(event, "id"))
		parser->acting++;
	if (kind == AGENT_OBSERVATION && json_member(event, "id") && parser->acting)
		parser->acting--;
	if (kind == AGENT_END) {
		parser->ended = true;
		parser->ok = json_flag(event, "ok", false);
	}
	sink.event(sink.self, kind, event);
}

void agent_say(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind, const char *text)
{
	json_t *event = json_object();

	agent_text_set(event, "text", view_of(text));
	agent_emit(parser, sink, kind, event);
}

void agent_said_end(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind)
{
	json_t *event;

	if (!parser->said.length)
		return;
	event = json_object();
	agent_text_set(event, "text", buf_view(&parser->said));
	buf_clear(&parser->said);
	agent_emit(parser, sink, kind, event);
}

void agent_observe(struct agent_parser *parser, struct agent_sink sink, const char *id, bool ok, struct view text)
{
	json_t *event = json_object();

	if (id)
		agent_text_set(event, "id", view_of(id));
	(void)json_object_set_new(event, "ok", json_boolean(ok));
	agent_text_set(event, "text", text);
	agent_emit(parser, sink, AGENT_OBSERVATION, event);
}

void agent_unknown(struct agent_parser *parser, struct view line, struct agent_sink sink)
{
	agent_observe(parser, sink, NULL, true, line);
}

/* What a person wants to see of a tool's input. */
static const char *const title_keys[] = {"description", "title",   "file_path", "filePath", "path",
					 "command",     "pattern", "url",       "query",    "prompt"};
static const char *const detail_keys[] = {"command", "file_path", "filePath", "path", "pattern", "url", "query", "prompt"};
/* With one of these the input says more than a name of a file. */
static const char *const change_keys[] = {"old_string", "oldString", "new_string", "newString", "content", "contents", "changes"};

static const char *first_text(const json_t *input, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (json_text(input, keys[i], NULL))
			return json_text(input, keys[i], NULL);
	return NULL;
}

static bool changes_something(const json_t *input)
{
	for (size_t i = 0; i < ARRAY_LEN(change_keys); i++)
		if (json_member(input, change_keys[i]))
			return true;
	return false;
}

void agent_act(struct agent_parser *parser, struct agent_sink sink, const char *id, const char *tool, const char *title,
	       const json_t *input)
{
	const char *detail = first_text(input, detail_keys, ARRAY_LEN(detail_keys));
	AUTO_BUF whole = buf_new((size_t)2 << 20);
	json_t *event = json_object();

	title = title ? title : first_text(input, title_keys, ARRAY_LEN(title_keys));
	if (id)
		agent_text_set(event, "id", view_of(id));
	agent_text_set(event, "tool", view_of(tool));
	agent_text_set(event, "title", view_of(title ? title : tool));
	if (!detail || changes_something(input)) {
		if (json_is_object(input))
			json_format(&whole, input);
		agent_text_set(event, "detail", buf_view(&whole));
	} else {
		agent_text_set(event, "detail", view_of(detail));
	}
	agent_emit(parser, sink, AGENT_ACTION, event);
}

void agent_plan(struct agent_parser *parser, struct agent_sink sink, const json_t *list, const char *text_key,
		const char *state_key, const char *done_key)
{
	json_t *event = json_object();
	json_t *items = json_array();
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item) {
		const char *state = state_key                          ? json_text(item, state_key, "")
				    : json_flag(item, done_key, false) ? "completed"
								       : "pending";

		if (index < AGENT_PLAN_MAX)
			(void)json_array_append_new(items, agent_plan_item(json_text(item, text_key, ""), state));
	}
	(void)json_object_set_new(event, "items", items);
	agent_emit(parser, sink, AGENT_PLAN, event);
}

const char *agent_status_class(int64_t status)
{
	if (status == 401 || status == 403)
		return "auth";
	if (status == 402)
		return "quota";
	if (status == 429 || status >= 500)
		return "overload";
	return "crash";
}

/* In order: a quota is often told as 429. */
static const struct {
	const char *words;
	const char *class;
} failure_words[] = {
	{"credit balance", "quota"},
	{"usage limit", "quota"},
	{"insufficient_quota", "quota"},
	{"exceeded your current quota", "quota"},
	{"billing", "quota"},
	{"invalid api key", "auth"},
	{"please run /login", "auth"},
	{"unauthorized", "auth"},
	{"unauthenticated", "auth"},
	{"invalid x-api-key", "auth"},
	{"api key not valid", "auth"},
	{"rate limit", "overload"},
	{"overloaded", "overload"},
	{"resource_exhausted", "overload"},
};

const char *agent_text_class(const char *text)
{
	const char *status = strcasestr(text, "status ");

	for (size_t i = 0; i < ARRAY_LEN(failure_words); i++)
		if (strcasestr(text, failure_words[i].words))
			return failure_words[i].class;
	if (status) {
		long number = strtol(status + strlen("status "), NULL, 10);

		if (number >= 400 && number < 600)
			return agent_status_class(number);
	}
	return NULL;
}

/* ---- the parser ---- */

struct agent_parser *agent_parser_new(const struct agent_ops *ops, const struct blueprint *blueprint)
{
	struct agent_parser *parser = mem_new(sizeof(*parser));
	const char *format = blueprint->agent.format;

	parser->ops = ops;
	parser->json = format && strcmp(format, "jsonl") == 0;
	if (ops == &agent_command && format && strcmp(format, "acp") == 0)
		parser->ops = &agent_acp;
	parser->line = buf_new(AGENT_LINE_MAX);
	parser->last = buf_new(AGENT_TEXT_MAX + 128);
	parser->said = buf_new(AGENT_LINE_MAX);
	return parser;
}

void agent_parser_free(struct agent_parser *parser)
{
	if (!parser)
		return;
	buf_fini(&parser->line);
	buf_fini(&parser->last);
	buf_fini(&parser->said);
	json_decref(parser->plan);
	if (parser->own && parser->ops->own_free)
		parser->ops->own_free(parser->own);
	free(parser->queued);
	free(parser->session);
	free(parser);
}

const char *agent_parser_session(const struct agent_parser *parser)
{
	return parser->session;
}

bool agent_parser_ended(const struct agent_parser *parser)
{
	return parser->ended || parser->stopped;
}

double agent_parser_cost_usd(const struct agent_parser *parser, double before_usd)
{
	double session = parser->session_cost_usd > before_usd ? parser->session_cost_usd - before_usd : 0.0;

	return parser->cost_usd + session;
}

bool agent_parser_cut_off(const struct agent_parser *parser)
{
	return parser->cut_off;
}

bool agent_parser_acting(const struct agent_parser *parser)
{
	return parser->acting > 0;
}

const char *agent_parser_hopeless(const struct agent_parser *parser)
{
	return parser->hopeless && !parser->ended ? parser->failure : NULL;
}

void agent_parser_begin(struct agent_parser *parser, const struct agent_request *request, struct agent_sink sink)
{
	if (parser->ops->begin)
		parser->ops->begin(parser, request, sink);
}

bool agent_parser_message(struct agent_parser *parser, const char *text, struct agent_sink sink)
{
	return parser->ops->message && !parser->ended && parser->ops->message(parser, text, sink);
}

void agent_parser_answer(struct agent_parser *parser, uint32_t id, const json_t *result, const char *error, struct agent_sink sink)
{
	if (parser->ops->answer)
		parser->ops->answer(parser, id, result, error, sink);
}

static void line_end(struct agent_parser *parser, struct agent_sink sink)
{
	struct view line = buf_view(&parser->line);

	if (line.length && line.at[line.length - 1] == '\r')
		line.length--;
	if (parser->line.over) {
		json_t *event = json_object();

		agent_text_set(event, "text", VIEW("[a line of more than 1 MiB was dropped]"));
		(void)json_object_set_new(event, "ok", json_false());
		agent_emit(parser, sink, AGENT_OBSERVATION, event);
	} else if (line.length) {
		parser->ops->line(parser, line, sink);
	}
	buf_clear(&parser->line);
}

void agent_parser_feed(struct agent_parser *parser, struct view bytes, struct agent_sink sink)
{
	while (bytes.length) {
		const char *newline = memchr(bytes.at, '\n', bytes.length);
		size_t length = newline ? (size_t)(newline - bytes.at) : bytes.length;

		buf_add(&parser->line, bytes.at, length);
		if (!newline)
			return;
		line_end(parser, sink);
		bytes = view_make(newline + 1, bytes.length - length - 1);
	}
}

bool agent_parser_finish(struct agent_parser *parser, int exit_code, struct agent_sink sink)
{
	/* A text agent has no terminal event of its own: the end of its output is it, and its exit code the outcome. */
	bool by_exit_code = parser->ops == &agent_command && !parser->json;
	json_t *event;

	if (parser->line.length || parser->line.over)
		line_end(parser, sink);
	if (parser->ops->output_end)
		parser->ops->output_end(parser, sink);
	if (parser->ended)
		return parser->ok && exit_code == 0;
	parser->cut_off = !by_exit_code;
	event = json_object();
	(void)json_object_set_new(event, "ok", json_boolean(by_exit_code && exit_code == 0));
	if (!by_exit_code || exit_code)
		(void)json_object_set_new(event, "error", json_string(parser->failure ? parser->failure : "crash"));
	if (parser->cost_usd > 0 || parser->session_cost_usd > 0)
		(void)json_object_set_new(
			event, "usage",
			json_pack("{s:f, s:f}", "cost_usd", parser->cost_usd, "session_cost_usd", parser->session_cost_usd));
	agent_text_set(event, "text", view_trim(buf_view(&parser->last)));
	agent_emit(parser, sink, AGENT_END, event);
	return parser->ok && exit_code == 0;
}
