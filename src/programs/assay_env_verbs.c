/* The table of verbs, what is common to them, and those that ask the tool API. */
#include "programs/assay_env_verbs.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "programs/assay_env_tool.h"

#define LINES_DEFAULT 200
#define TRACE_DEFAULT 10
#define TRACE_BODY_SHOWN 600
#define FINDINGS_SHOWN 3
#define ASK_DEFAULT_S 600
#define ASK_POLL_US 1000000

/* ---- output within bounds ---- */

struct env_output env_output_new(void (*write)(void *self, struct view bytes), void *self)
{
	return (struct env_output){.write = write, .self = self, .tail = buf_new(ENV_OUTPUT_TAIL * 4)};
}

void env_output_add(struct env_output *output, struct view bytes)
{
	size_t straight = ENV_OUTPUT_HEAD - output->head;

	straight = bytes.length < straight ? bytes.length : straight;
	output->write(output->self, view_make(bytes.at, straight));
	output->head += straight;
	bytes = view_make(bytes.at + straight, bytes.length - straight);
	if (bytes.length > ENV_OUTPUT_TAIL) {
		output->dropped += output->tail.length + bytes.length - ENV_OUTPUT_TAIL;
		buf_clear(&output->tail);
		bytes = view_make(bytes.at + bytes.length - ENV_OUTPUT_TAIL, ENV_OUTPUT_TAIL);
	}
	buf_add_view(&output->tail, bytes);
	if (output->tail.length > ENV_OUTPUT_TAIL) {
		output->dropped += output->tail.length - ENV_OUTPUT_TAIL;
		buf_drop_front(&output->tail, output->tail.length - ENV_OUTPUT_TAIL);
	}
}

void env_output_end(struct env_output *output)
{
	AUTO_FREE char *left_out = text_format("\n[%llu bytes are left out here]\n", (unsigned long long)output->dropped);

	if (output->dropped)
		output->write(output->self, view_of(left_out));
	output->write(output->self, buf_view(&output->tail));
	buf_fini(&output->tail);
}

void env_say(struct env_call *call, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	call->say(call->self, view_of(line));
}

/* ---- arguments ---- */

static const char *text_of(const struct env_call *call, const char *name, const char *fallback)
{
	return json_text(call->arguments, name, fallback);
}

static const struct env_param *param_find(const struct env_verb *verb, const char *name)
{
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++)
		if (strcmp(verb->params[i].name, name) == 0)
			return &verb->params[i];
	return NULL;
}

static bool texts_valid(const json_t *value)
{
	size_t index;
	json_t *text;

	json_array_foreach(value, index, text)
		if (!json_is_string(text))
			return false;
	return json_is_array(value);
}

static int param_check(const struct env_param *param, const json_t *value, struct err *err)
{
	static const char *const expected[] = {
		[ENV_TEXT] = "a text", [ENV_NUMBER] = "a number of 0 or more", [ENV_TEXTS] = "a list of texts"};
	bool good = param->kind == ENV_TEXT     ? json_is_string(value)
		    : param->kind == ENV_NUMBER ? json_is_integer(value) && json_integer_value(value) >= 0
						: texts_valid(value);

	if (!good)
		return err_set(err, ERR_INVALID, "`%s` must be %s", param->name, expected[param->kind]);
	for (const char *const *word = param->words; word && *word; word++)
		if (strcmp(*word, json_string_value(value)) == 0)
			return 0;
	if (param->words)
		return err_set(err, ERR_INVALID, "`%s` cannot be `%.60s`: %s", param->name, json_string_value(value), param->about);
	return 0;
}

int env_verb_check(const struct env_verb *verb, const json_t *arguments, struct err *err)
{
	const char *name;
	json_t *value;

	if (arguments && !json_is_object(arguments))
		return err_set(err, ERR_INVALID, "the arguments must be an object");
	json_object_foreach((json_t *)(uintptr_t)arguments, name, value) {
		const struct env_param *param = param_find(verb, name);

		if (!param)
			return err_set(err, ERR_INVALID, "%s takes no `%.60s`", verb->name, name);
		if (!json_is_null(value) && param_check(param, value, err))
			return -1;
	}
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++) {
		value = json_member(arguments, verb->params[i].name);
		if (verb->params[i].required && (!value || json_is_null(value)))
			return err_set(err, ERR_INVALID, "%s needs `%s`: %s", verb->name, verb->params[i].name,
				       verb->params[i].about);
	}
	return 0;
}

json_t *env_verb_schema(const struct env_verb *verb)
{
	json_t *properties = json_object();
	json_t *required = json_array();

	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++) {
		const struct env_param *param = &verb->params[i];
		json_t *words = param->words ? json_array() : NULL;
		json_t *property = param->kind == ENV_TEXTS
					   ? json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string")
				   : param->kind == ENV_NUMBER ? json_pack("{s:s, s:i}", "type", "integer", "minimum", 0)
							       : json_pack("{s:s}", "type", "string");

		for (const char *const *word = param->words; word && *word; word++)
			(void)json_array_append_new(words, json_string(*word));
		if (words)
			(void)json_object_set_new(property, "enum", words);
		(void)json_object_set_new(property, "description", json_string(param->about));
		(void)json_object_set_new(properties, param->name, property);
		if (param->required)
			(void)json_array_append_new(required, json_string(param->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required", required,
			 "additionalProperties", 0);
}

static void upper_add(struct buf *out, const char *name)
{
	for (; *name; name++)
		buf_add_char(out, (char)toupper((unsigned char)*name));
}

void env_verb_usage(struct buf *out, const struct env_verb *verb)
{
	buf_add_text(out, verb->name);
	for (size_t i = 0; i < ENV_PARAMS_MAX && verb->params[i].name; i++) {
		const struct env_param *param = &verb->params[i];

		buf_add_format(out, param->required ? " " : " [");
		if (param->option)
			buf_add_format(out, "%s ", param->option);
		if (param->words && !param->option) {
			for (const char *const *word = param->words; *word; word++)
				buf_add_format(out, "%s%s", word == param->words ? "" : "|", *word);
		} else {
			upper_add(out, param->name);
		}
		buf_add_format(out, "%s%s", param->required ? "" : "]", param->kind == ENV_TEXTS ? "…" : "");
	}
}

const struct env_verb *env_verb_find(const char *name)
{
	for (size_t i = 0; i < env_verb_count; i++)
		if (strcmp(env_verbs[i].name, name) == 0)
			return &env_verbs[i];
	return NULL;
}

/* ---- the environment ---- */

static void sandboxes_say(struct env_call *call, const json_t *env)
{
	size_t index;
	json_t *sandbox;

	env_say(call, "%s  %s  %s\n", json_text(env, "id", ""), json_text(env, "state", ""), json_text(env, "preview", ""));
	json_array_foreach(json_member(env, "sandboxes"), index, sandbox) {
		env_say(call, "%-20s %-10s %-9s", json_text(sandbox, "name", ""), json_text(sandbox, "kind", ""),
			json_text(sandbox, "state", ""));
		if (json_number(sandbox, "port", 0))
			env_say(call, " http://%s:%lld", json_text(sandbox, "name", ""),
				(long long)json_number(sandbox, "port", 0));
		env_say(call, "%s%s\n", json_text(sandbox, "exit", NULL) ? "  " : "", json_text(sandbox, "exit", ""));
	}
}

static int verb_status(struct env_call *call, struct err *err)
{
	call->data = tool_json("GET", "environment", NULL, err);
	if (!call->data)
		return -1;
	sandboxes_say(call, call->data);
	return 0;
}

static int deploy_one(struct env_call *call, const char *service, struct err *err)
{
	AUTO_JSON body = json_object();

	if (service)
		json_set_bytes(body, "service", view_of(service));
	json_decref(call->data);
	call->data = tool_work("deploy", body, call->progress, call->self, err);
	return call->data ? 0 : -1;
}

static int verb_deploy(struct env_call *call, struct err *err)
{
	if (deploy_one(call, text_of(call, "service", NULL), err))
		return -1;
	env_say(call, "deployed; preview %s\n", json_text(call->data, "preview", "-"));
	return 0;
}

/* A service that should run, and does not. */
static bool is_down(const json_t *sandbox)
{
	const char *kind = json_text(sandbox, "kind", "");
	const char *state = json_text(sandbox, "state", "");

	return (strcmp(kind, "service") == 0 || strcmp(kind, "worker") == 0) && strcmp(state, "ready") != 0 &&
	       strcmp(state, "running") != 0;
}

/* What runs stays as it is. */
static int verb_up(struct env_call *call, struct err *err)
{
	const char *service = text_of(call, "service", NULL);
	AUTO_JSON env = tool_json("GET", "environment", NULL, err);
	bool named = false;
	size_t begun = 0;
	size_t index;
	json_t *sandbox;

	if (!env)
		return -1;
	json_array_foreach(json_member(env, "sandboxes"), index, sandbox) {
		const char *name = json_text(sandbox, "name", "");

		if (service && strcmp(service, name) != 0)
			continue;
		named = true;
		if (!is_down(sandbox))
			continue;
		if (deploy_one(call, name, err))
			return -1;
		begun++;
	}
	if (service && !named)
		return err_set(err, ERR_NOT_FOUND, "no service `%.60s`", service);
	if (!call->data)
		call->data = json_incref(env);
	env_say(call, begun ? "%zu started\n" : "everything was up\n", begun);
	sandboxes_say(call, call->data);
	return 0;
}

static int verb_snapshot(struct env_call *call, struct err *err)
{
	AUTO_JSON body = json_object();

	call->data = tool_work("reset-data", body, call->progress, call->self, err);
	if (!call->data)
		return -1;
	env_say(call, "the databases are as the snapshot has them\n");
	return 0;
}

static int verb_logs(struct env_call *call, struct err *err)
{
	AUTO_BUF out = buf_new(TOOL_ANSWER_MAX);
	AUTO_BUF path = buf_new(4096);

	buf_add_format(&path, "logs?lines=%lld", (long long)json_number(call->arguments, "lines", LINES_DEFAULT));
	if (*text_of(call, "sandbox", "")) {
		buf_add_text(&path, "&sandbox=");
		buf_add_url(&path, view_of(text_of(call, "sandbox", "")));
	}
	if (tool_call("GET", path.at, NULL, &out, err))
		return -1;
	call->say(call->self, buf_view(&out));
	return 0;
}

/* ---- data ---- */

static int query(struct env_call *call, const char *statement, struct err *err)
{
	AUTO_JSON body = json_object();
	const char *output;

	json_set_bytes(body, "database", view_of(text_of(call, "database", "")));
	json_set_bytes(body, "statement", view_of(statement));
	call->data = tool_json("POST", "query", body, err);
	if (!call->data)
		return -1;
	output = json_text(call->data, "output", "");
	call->say(call->self, view_of(output));
	if (*output && output[strlen(output) - 1] != '\n')
		env_say(call, "\n");
	return 0;
}

static int verb_sql(struct env_call *call, struct err *err)
{
	return query(call, text_of(call, "statement", ""), err);
}

static void word_add(struct buf *statement, const char *word)
{
	if (*word && !strpbrk(word, " \t\n\"'\\")) {
		buf_add_text(statement, word);
		return;
	}
	buf_add_char(statement, '"');
	for (const char *at = word; *at; at++) {
		if (*at == '\n') {
			buf_add_text(statement, "\\n");
			continue;
		}
		if (*at == '"' || *at == '\\')
			buf_add_char(statement, '\\');
		buf_add_char(statement, *at);
	}
	buf_add_char(statement, '"');
}

/* Words with blanks or quotes are quoted, as redis-cli reads them; a command in one word is taken as it is. */
static int verb_redis(struct env_call *call, struct err *err)
{
	const json_t *words = json_member(call->arguments, "command");
	AUTO_BUF statement = buf_new((size_t)1 << 20);
	size_t index;
	json_t *word;

	json_array_foreach(words, index, word) {
		buf_add_text(&statement, index ? " " : "");
		if (json_array_size(words) == 1)
			buf_add_text(&statement, json_string_value(word));
		else
			word_add(&statement, json_string_value(word));
	}
	if (buf_finish(&statement, err))
		return -1;
	return query(call, statement.at ? statement.at : "", err);
}

/* ---- seams ---- */

static void message_say(struct env_call *call, const char *label, const json_t *message)
{
	const char *body = json_text(message, "body", "");

	if (json_text(message, "statement", NULL))
		env_say(call, "    %-9s %.*s\n", label, TRACE_BODY_SHOWN, json_text(message, "statement", ""));
	if (*body)
		env_say(call, "    %-9s %.*s%s\n", label, TRACE_BODY_SHOWN, body,
			strlen(body) > TRACE_BODY_SHOWN || json_flag(message, "cut", false) ? "…" : "");
}

static void exchange_say(struct env_call *call, const json_t *item)
{
	const json_t *request = json_member(item, "request");
	const json_t *response = json_member(item, "response");
	const char *problem = json_text(item, "error", NULL);

	env_say(call, "%s -> %s  %s %s  ", json_text(item, "from", "?"), json_text(item, "to", "?"),
		json_text(request, "method", json_text(request, "command", "")), json_text(request, "url", ""));
	if (json_number(response, "status", 0))
		env_say(call, "%lld  ", (long long)json_number(response, "status", 0));
	env_say(call, "%lld ms%s%.200s\n", (long long)json_number(item, "dt_us", 0) / 1000, problem ? "  " : "",
		problem ? problem : "");
	message_say(call, "asked", request);
	message_say(call, "answered", response);
}

static int verb_trace(struct env_call *call, struct err *err)
{
	AUTO_BUF path = buf_new(4096);
	size_t index;
	json_t *item;

	buf_add_format(&path, "exchanges?limit=%lld", (long long)json_number(call->arguments, "count", TRACE_DEFAULT));
	if (*text_of(call, "seam", "")) {
		buf_add_text(&path, "&seam=");
		buf_add_url(&path, view_of(text_of(call, "seam", "")));
	}
	call->data = tool_json("GET", path.at, NULL, err);
	if (!call->data)
		return -1;
	json_array_foreach(json_member(call->data, "items"), index, item)
		exchange_say(call, item);
	if (!json_array_size(json_member(call->data, "items")))
		env_say(call, "nothing was seen%s%s\n", *text_of(call, "seam", "") ? " on " : "", text_of(call, "seam", ""));
	return 0;
}

static void faults_say(struct env_call *call)
{
	size_t index;
	json_t *item;

	json_array_foreach(json_member(call->data, "items"), index, item) {
		env_say(call, "%s -> %s  %s", json_text(item, "from", "*"), json_text(item, "to", ""), json_text(item, "kind", ""));
		if (json_number(item, "ms", 0))
			env_say(call, " %lld ms", (long long)json_number(item, "ms", 0));
		if (json_number(item, "left", -1) >= 0)
			env_say(call, ", %lld more times", (long long)json_number(item, "left", 0));
		env_say(call, ", met %lld times\n", (long long)json_number(item, "met", 0));
	}
	if (!json_array_size(json_member(call->data, "items")))
		env_say(call, "no faults: seams are as they are\n");
}

static int verb_fault(struct env_call *call, struct err *err)
{
	const char *kind = text_of(call, "kind", "");
	bool list = strcmp(kind, "list") == 0;
	bool clear = strcmp(kind, "clear") == 0;

	if (!list && !clear && !*text_of(call, "seam", ""))
		return err_set(err, ERR_INVALID, "fault %s needs the seam: CALLER->SERVICE, or SERVICE for every caller", kind);
	call->data = tool_json(list ? "GET" : "POST", "faults", list ? NULL : call->arguments, err);
	if (!call->data)
		return -1;
	faults_say(call);
	return 0;
}

/* ---- judging ---- */

static void value_say(struct env_call *call, const char *label, const json_t *value)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
		return;
	if (json_is_string(value))
		buf_add_text(&text, json_string_value(value));
	else
		json_format(&text, value);
	env_say(call, "    %-10s %.2000s\n", label, text.at ? text.at : "");
}

static void findings_say(struct env_call *call, const json_t *findings)
{
	static const char *const parts[][2] = {
		{"request", "request"}, {"expected", "expected"}, {"got", "got"}, {"detail", "detail"}, {"try", "reproduce"}};
	size_t index;
	json_t *item;

	json_array_foreach(findings, index, item) {
		if (index == FINDINGS_SHOWN) {
			env_say(call, "… and %zu more\n", json_array_size(findings) - index);
			break;
		}
		env_say(call, "\n%s %s: %s\n", json_text(item, "severity", ""), json_text(item, "id", ""),
			json_text(item, "title", ""));
		for (size_t i = 0; i < ARRAY_LEN(parts); i++)
			value_say(call, parts[i][0], json_member(item, parts[i][1]));
	}
}

static int verb_verify(struct env_call *call, struct err *err)
{
	AUTO_JSON body = json_object();
	size_t index;
	json_t *item;

	call->data = tool_work("verify", body, call->progress, call->self, err);
	if (!call->data)
		return -1;
	json_array_foreach(json_member(call->data, "gates"), index, item)
		env_say(call, "%-10s %-10s %s\n", json_text(item, "status", ""), json_text(item, "name", ""),
			json_text(item, "reason", ""));
	if (*json_text(call->data, "feedback", "")) {
		env_say(call, "\n");
		call->say(call->self, view_of(json_text(call->data, "feedback", "")));
	}
	findings_say(call, json_member(call->data, "findings"));
	env_say(call, "\n%s: %s\n", json_text(call->data, "verdict", "?"), json_text(call->data, "reason", ""));
	call->failed = strcmp(json_text(call->data, "verdict", ""), "verified") != 0;
	return 0;
}

/* ---- people ---- */

/* The server keeps the question; who asks again asks for the same answer. */
static int verb_ask(struct env_call *call, struct err *err)
{
	AUTO_JSON body = json_object();
	AUTO_FREE char *path = NULL;
	bool told = false;

	json_set_bytes(body, "question", view_of(text_of(call, "question", "")));
	(void)json_object_set_new(body, "wait_s", json_integer(json_number(call->arguments, "wait", ASK_DEFAULT_S)));
	call->data = tool_json("POST", "ask", body, err);
	if (!call->data)
		return -1;
	path = text_format("ask/%lld", (long long)json_number(call->data, "id", 0));
	while (strcmp(json_text(call->data, "state", ""), "open") == 0) {
		if (!told)
			call->progress(call->self, "a person is asked");
		told = true;
		(void)usleep(ASK_POLL_US);
		json_decref(call->data);
		call->data = tool_json("GET", path, NULL, err);
		if (!call->data)
			return -1;
	}
	if (strcmp(json_text(call->data, "state", ""), "answered") == 0) {
		env_say(call, "%s answers: ", json_text(call->data, "by", "a person"));
		call->say(call->self, view_of(json_text(call->data, "answer", "")));
		env_say(call, "\n");
		return 0;
	}
	call->failed = true;
	env_say(call,
		"Nobody answered in time. Decide yourself, choose what is easy to take back, and say in `assay-env done` what you assumed.\n");
	return 0;
}

static int verb_done(struct env_call *call, struct err *err)
{
	AUTO_JSON body = json_object();

	json_set_bytes(body, "summary", view_of(text_of(call, "summary", "")));
	call->data = tool_json("POST", "done", body, err);
	if (!call->data)
		return -1;
	env_say(call, "noted: end now, and what is in /workspace is verified\n");
	return 0;
}

static int verb_declare(struct env_call *call, struct err *err)
{
	AUTO_JSON body = json_object();

	json_set_bytes(body, "difference", view_of(text_of(call, "difference", "")));
	json_set_bytes(body, "because", view_of(text_of(call, "because", "")));
	call->data = tool_json("POST", "declare", body, err);
	if (!call->data)
		return -1;
	env_say(call, "proposed: a person decides; until then it blocks\n");
	return 0;
}

/* ---- the table ---- */

static const char *const snapshot_words[] = {"reset", NULL};
static const char *const fault_words[] = {"hang", "slow", "reset", "lost", "503", "list", "clear", NULL};

const struct env_verb env_verbs[] = {
	{"status", "this environment: its services and databases, their state and addresses", false, verb_status, {{0}}},
	{"up", "start the services that do not run", true, verb_up, {{.name = "service", .about = "only this one"}}},
	{"deploy",
	 "build and restart from /workspace, and wait until it is ready",
	 true,
	 verb_deploy,
	 {{.name = "service", .about = "only this one; without it all of them, with migrations"}}},
	{"test", "run the tests of the blueprint here", false, env_verb_test, {{.name = "suite", .about = "only this one"}}},
	{"logs",
	 "what services wrote",
	 false,
	 verb_logs,
	 {{.name = "lines", .option = "-n", .kind = ENV_NUMBER, .about = "how many of the last lines (200)"},
	  {.name = "sandbox", .about = "of this service or database only"}}},
	{"http",
	 "ask a service: http://front/api/orders",
	 true,
	 env_verb_http,
	 {{.name = "method", .required = true, .about = "GET, POST, …"},
	  {.name = "url", .required = true, .about = "http://SERVICE/PATH; without a port it is the service's"},
	  {.name = "body", .option = "-d", .about = "of the request; JSON unless a header says otherwise"},
	  {.name = "headers", .option = "-H", .kind = ENV_TEXTS, .about = "each as `Name: value`"}}},
	{"sql",
	 "one statement, answered as CSV",
	 true,
	 verb_sql,
	 {{.name = "database", .required = true, .about = "its name in the blueprint"},
	  {.name = "statement", .required = true, .about = "SQL"}}},
	{"redis",
	 "one command",
	 true,
	 verb_redis,
	 {{.name = "database", .required = true, .about = "its name in the blueprint"},
	  {.name = "command", .kind = ENV_TEXTS, .required = true, .about = "its words"}}},
	{"trace",
	 "the last exchanges between services, and with databases and the outside",
	 false,
	 verb_trace,
	 {{.name = "count", .option = "-n", .kind = ENV_NUMBER, .about = "how many (10)"},
	  {.name = "seam", .about = "CALLER->SERVICE, or SERVICE for all that it asked and was asked"}}},
	{"screenshot",
	 "a page as Chromium shows it, as a PNG file; reviewers see it, too",
	 false,
	 env_verb_screenshot,
	 {{.name = "url", .required = true, .about = "http://SERVICE/PATH"},
	  {.name = "file", .option = "-o", .about = "where to put it (in /tmp)"},
	  {.name = "width", .option = "--width", .kind = ENV_NUMBER, .about = "of the window (1280)"},
	  {.name = "height", .option = "--height", .kind = ENV_NUMBER, .about = "of the window (800)"}}},
	{"snapshot",
	 "put the databases back to the snapshot",
	 true,
	 verb_snapshot,
	 {{.name = "action", .required = true, .about = "reset", .words = snapshot_words}}},
	{"fault",
	 "break a seam of this environment on purpose, to see what the callers do",
	 true,
	 verb_fault,
	 {{.name = "kind",
	   .required = true,
	   .about = "hang, slow, reset, lost or 503; list; clear (one seam, or all)",
	   .words = fault_words},
	  {.name = "seam", .about = "CALLER->SERVICE, or SERVICE for every caller"},
	  {.name = "times",
	   .option = "--times",
	   .kind = ENV_NUMBER,
	   .about = "how often (until cleared; 503, reset and lost: once)"},
	  {.name = "ms", .option = "--ms", .kind = ENV_NUMBER, .about = "of slow (1000)"}}},
	{"verify", "judge /workspace as it is now by the gates that you may see", false, verb_verify, {{0}}},
	{"ask",
	 "ask the person who gave the task, and wait for the answer",
	 true,
	 verb_ask,
	 {{.name = "wait", .option = "--wait", .kind = ENV_NUMBER, .about = "seconds (600)"},
	  {.name = "question", .required = true, .about = "one question that a sentence can answer"}}},
	{"declare",
	 "propose that a difference which verification found is meant; a person decides",
	 true,
	 verb_declare,
	 {{.name = "difference",
	   .required = true,
	   .about = "a finding (f-…), or its place and path: GET /api/products body.items.*"},
	  {.name = "because", .required = true, .about = "what in the task asks for it"}}},
	{"done",
	 "say what you changed and why, for the pull request",
	 true,
	 verb_done,
	 {{.name = "summary", .required = true, .about = "a few sentences; what it claims is checked"}}},
};
const size_t env_verb_count = ARRAY_LEN(env_verbs);
