/*
 * assay-env: what an agent, or a person in a shell, has in a sandbox: deploy, test, look, verify. A static program without needs; it
 * speaks to the tool API at http://assay.internal/tool/v1 (doc/api.md), where the gateway knows who is asking.
 *
 * Exit codes: 0 done, 1 it did not succeed, 2 it was not understood.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/scope.h"
#include "programs/assay_env_http.h"

#define TOOL_HOST "http://assay.internal"
#define ANSWER_MAX ((size_t)64 << 20)
#define SILENCE_MS 120000
#define LINES_DEFAULT "200"
#define HEADERS_MAX 32
#define FINDINGS_SHOWN 3

static const char *verb = "";

static int failed(const struct err *err)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "assay-env %s: %s\n", verb, err->text);
	return 1;
}

static int misused(const char *usage)
{
	(void)fprintf(stderr, "usage: assay-env %s\n", usage);
	return 2;
}

static bool write_all(struct view bytes)
{
	return fwrite(bytes.at, 1, bytes.length, stdout) == bytes.length;
}

/* ---- the tool API ---- */

static bool collect(void *self, struct view bytes)
{
	struct buf *into = self;

	buf_add_view(into, bytes);
	return !into->over;
}

static int tool_url(const char *path, char **text, struct env_url *url, struct err *err)
{
	const char *base = getenv("ASSAY_TOOL_URL"); /* for tests */

	*text = text_format("%s/tool/v1/%s", base ? base : TOOL_HOST, path);
	return env_url_parse(*text, url, err);
}

/* The message of an error answer. */
static int refused(int status, struct view body, struct err *err)
{
	AUTO_JSON answer = json_parse(body, NULL);

	return err_set(err, ERR_INVALID, "%s",
		       json_text(answer, "detail",
				 status == 404 ? "this tool is not there" : "the request failed"));
}

/* One call with its whole answer as text in `out`. */
static int tool_call(const char *method, const char *path, const json_t *body, struct buf *out, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/json"};
	AUTO_FREE char *text = NULL;
	AUTO_BUF sent = buf_new(ANSWER_MAX);
	struct env_request request = {.method = method, .headers = headers, .header_count = 1, .silence_ms = SILENCE_MS};
	struct env_response response = {.bytes = collect, .self = out, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	int status;

	if (body) {
		json_format(&sent, body);
		request.body = buf_view(&sent);
		request.has_body = true;
	}
	status = tool_url(path, &text, &request.url, err) || env_http_call(&request, &response, err) ? -1 : 0;
	buf_fini(&response.head);
	if (!status && response.status >= 400)
		return refused(response.status, buf_view(out), err);
	return status;
}

static json_t *tool_json(const char *method, const char *path, const json_t *body, struct err *err)
{
	AUTO_BUF out = buf_new(ANSWER_MAX);

	return tool_call(method, path, body, &out, err) ? NULL : json_parse(buf_view(&out), err);
}

/* ---- server-sent events ---- */

struct stream {
	struct buf line;
	struct buf data;
	char event[32];
	struct buf refused; /* the body of an answer that is no stream */
	struct env_response *response;
	json_t *done;
	struct err err;
};

static void step_print(const json_t *data)
{
	int64_t ms = json_number(data, "ms", -1);

	if (ms < 0)
		return;
	printf("%-28s %6lld ms  %s\n", json_text(data, "step", ""), (long long)ms, json_text(data, "detail", ""));
	(void)fflush(stdout);
}

static void event_end(struct stream *stream)
{
	AUTO_JSON data = stream->data.length ? json_parse(buf_view(&stream->data), NULL) : NULL;

	if (strcmp(stream->event, "progress") == 0)
		step_print(data);
	if (strcmp(stream->event, "done") == 0 && data) {
		json_decref(stream->done);
		stream->done = json_incref(data);
	}
	if (strcmp(stream->event, "error") == 0)
		(void)err_set(&stream->err, ERR_INVALID, "%s",
			      json_text(data, "detail", "it failed"));
	buf_clear(&stream->data);
	stream->event[0] = '\0';
}

static void event_line(struct stream *stream, struct view line)
{
	struct view value;
	struct view field = view_cut(line, ':', &value);

	if (!line.length) {
		event_end(stream);
		return;
	}
	value = view_trim(value);
	if (view_is(field, "event"))
		(void)snprintf(stream->event, sizeof(stream->event), "%.*s", (int)value.length, value.at);
	else if (view_is(field, "data"))
		buf_add_view(&stream->data, value);
}

static bool stream_bytes(void *self, struct view bytes)
{
	struct stream *stream = self;

	if (stream->response->status >= 400)
		return collect(&stream->refused, bytes);
	while (bytes.length) {
		const char *newline = memchr(bytes.at, '\n', bytes.length);
		size_t length = newline ? (size_t)(newline - bytes.at) : bytes.length;

		buf_add(&stream->line, bytes.at, length);
		if (!newline)
			break;
		event_line(stream, view_trim(buf_view(&stream->line)));
		buf_clear(&stream->line);
		bytes = view_make(newline + 1, bytes.length - length - 1);
	}
	return true;
}

/* Prints progress as it comes; gives what `done` brought, owned by the caller. */
static json_t *tool_work(const char *path, const json_t *body, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/json", "Accept: text/event-stream"};
	AUTO_FREE char *text = NULL;
	AUTO_BUF sent = buf_new(ANSWER_MAX);
	struct stream stream = {.line = buf_new(ANSWER_MAX), .data = buf_new(ANSWER_MAX), .refused = buf_new(ANSWER_MAX)};
	struct env_response response = {.bytes = stream_bytes, .self = &stream, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	struct env_request request = {.method = "POST", .headers = headers, .header_count = 2, .has_body = true};
	int status;

	stream.response = &response;
	json_format(&sent, body);
	request.body = buf_view(&sent);
	status = tool_url(path, &text, &request.url, err) || env_http_call(&request, &response, err) ? -1 : 0;
	if (!status && response.status >= 400)
		status = refused(response.status, buf_view(&stream.refused), err);
	if (!status && stream.err.kind != ERR_NONE) {
		*err = stream.err;
		status = -1;
	}
	if (!status && !stream.done)
		status = err_set(err, ERR_RETRY, "the answer was cut off");
	buf_fini(&stream.line);
	buf_fini(&stream.data);
	buf_fini(&stream.refused);
	buf_fini(&response.head);
	if (status)
		json_decref(stream.done);
	return status ? NULL : stream.done;
}

/* ---- verbs ---- */

static int verb_status(int argc, char **argv)
{
	struct err err = {0};
	AUTO_JSON env = argc == 1 ? tool_json("GET", "environment", NULL, &err) : NULL;
	size_t index;
	json_t *sandbox;

	(void)argv;
	if (argc != 1)
		return misused("status");
	if (!env)
		return failed(&err);
	printf("%s  %s  %s\n", json_text(env, "id", ""), json_text(env, "state", ""), json_text(env, "preview", ""));
	json_array_foreach(json_member(env, "sandboxes"), index, sandbox) {
		printf("%-20s %-10s %-9s", json_text(sandbox, "name", ""), json_text(sandbox, "kind", ""),
		       json_text(sandbox, "state", ""));
		if (json_number(sandbox, "port", 0))
			printf(" http://%s:%lld", json_text(sandbox, "name", ""), (long long)json_number(sandbox, "port", 0));
		printf("%s%s\n", json_text(sandbox, "exit", NULL) ? "  " : "", json_text(sandbox, "exit", ""));
	}
	return 0;
}

static int verb_deploy(int argc, char **argv)
{
	struct err err = {0};
	AUTO_JSON body = json_object();
	AUTO_JSON done = NULL;

	if (argc > 2)
		return misused("deploy [SERVICE]");
	if (argc == 2)
		json_set_bytes(body, "service", view_of(argv[1]));
	done = tool_work("deploy", body, &err);
	if (!done)
		return failed(&err);
	printf("deployed; preview %s\n", json_text(done, "preview", "-"));
	return 0;
}

/* Runs one suite here, in the work tree. */
static bool suite_run(const json_t *suite)
{
	const char *dir = json_text(suite, "dir", ".");
	const char *workspace = getenv("ASSAY_WORKSPACE"); /* for tests */
	AUTO_FREE char *path = text_format("%s/%s", workspace ? workspace : "/workspace", dir);
	int status = -1;
	pid_t pid;

	printf("== %s: %s\n", json_text(suite, "name", ""), json_text(suite, "run", ""));
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (chdir(path)) {
			(void)fprintf(stderr, "assay-env test: %s: %s\n", path, strerror(errno));
			_exit(126);
		}
		(void)execl("/bin/sh", "sh", "-c", json_text(suite, "run", "true"), (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		status = -1;
	printf("== %s: %s\n", json_text(suite, "name", ""), status == 0 ? "passed" : "FAILED");
	return status == 0;
}

static int verb_test(int argc, char **argv)
{
	struct err err = {0};
	AUTO_JSON answer = argc <= 2 ? tool_json("GET", "tests", NULL, &err) : NULL;
	bool found = false;
	bool good = true;
	size_t index;
	json_t *suite;

	if (argc > 2)
		return misused("test [SUITE]");
	if (!answer)
		return failed(&err);
	json_array_foreach(json_member(answer, "items"), index, suite) {
		if (argc == 2 && strcmp(argv[1], json_text(suite, "name", "")) != 0)
			continue;
		found = true;
		good = suite_run(suite) && good;
	}
	if (!found) {
		(void)err_set(&err, ERR_NOT_FOUND, argc == 2 ? "no suite `%s`" : "this application has no tests%s",
			      argc == 2 ? argv[1] : "");
		return failed(&err);
	}
	return good ? 0 : 1;
}

static int verb_logs(int argc, char **argv)
{
	const char *lines = LINES_DEFAULT;
	const char *sandbox = "";
	struct err err = {0};
	AUTO_BUF out = buf_new(ANSWER_MAX);
	AUTO_BUF path = buf_new(4096);

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
			lines = argv[++i];
		else if (!*sandbox && argv[i][0] != '-')
			sandbox = argv[i];
		else
			return misused("logs [-n LINES] [SANDBOX]");
	}
	buf_add_text(&path, "logs?lines=");
	buf_add_url(&path, view_of(lines));
	if (*sandbox) {
		buf_add_text(&path, "&sandbox=");
		buf_add_url(&path, view_of(sandbox));
	}
	if (tool_call("GET", path.at, NULL, &out, &err))
		return failed(&err);
	return write_all(buf_view(&out)) ? 0 : 1;
}

static void head_print(void *self, struct view head)
{
	(void)self;
	(void)write_all(head);
}

static bool body_print(void *self, struct view bytes)
{
	(void)self;
	return write_all(bytes);
}

/* A URL without a port means the port of that service. */
static void port_find(struct env_url *url)
{
	AUTO_JSON env = strchr(url->host, '.') ? NULL : tool_json("GET", "environment", NULL, NULL);
	size_t index;
	json_t *sandbox;

	json_array_foreach(json_member(env, "sandboxes"), index, sandbox)
		if (strcmp(json_text(sandbox, "name", ""), url->host) == 0)
			url->port = (uint16_t)json_number(sandbox, "port", 0);
}

static int verb_http(int argc, char **argv)
{
	const char *headers[HEADERS_MAX];
	struct env_request request = {.headers = headers, .silence_ms = SILENCE_MS};
	struct env_response response = {.headed = head_print, .bytes = body_print, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	struct err err = {0};
	const char *url = NULL;
	bool typed = false;
	int status;

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "-d") == 0 && more && !request.has_body) {
			request.body = view_of(argv[++i]);
			request.has_body = true;
		} else if (strcmp(argv[i], "-H") == 0 && more && request.header_count < HEADERS_MAX - 1) {
			typed |= strncasecmp(argv[i + 1], "content-type:", 13) == 0;
			headers[request.header_count++] = argv[++i];
		} else if (!request.method && argv[i][0] != '-') {
			request.method = argv[i];
		} else if (!url && argv[i][0] != '-') {
			url = argv[i];
		} else {
			url = NULL;
			break;
		}
	}
	if (!url)
		return misused("http METHOD URL [-d BODY] [-H 'Name: value']…");
	if (request.has_body && !typed)
		headers[request.header_count++] = "Content-Type: application/json";
	if (env_url_parse(url, &request.url, &err))
		return failed(&err);
	if (!request.url.port)
		port_find(&request.url);
	status = env_http_call(&request, &response, &err);
	buf_fini(&response.head);
	if (status)
		return failed(&err);
	printf("\n");
	return 0;
}

static int query(const char *database, const char *statement)
{
	struct err err = {0};
	AUTO_JSON body = json_object();
	AUTO_JSON answer = NULL;
	const char *output;

	json_set_bytes(body, "database", view_of(database));
	json_set_bytes(body, "statement", view_of(statement));
	answer = tool_json("POST", "query", body, &err);
	if (!answer)
		return failed(&err);
	output = json_text(answer, "output", "");
	(void)fputs(output, stdout);
	if (*output && output[strlen(output) - 1] != '\n')
		(void)putchar('\n');
	return 0;
}

static int verb_sql(int argc, char **argv)
{
	return argc == 3 ? query(argv[1], argv[2]) : misused("sql DATABASE STATEMENT");
}

/* Words with blanks or quotes are quoted, as redis-cli reads them. */
static int verb_redis(int argc, char **argv)
{
	AUTO_BUF statement = buf_new((size_t)1 << 20);

	if (argc < 3)
		return misused("redis DATABASE COMMAND [WORD]…");
	for (int i = 2; i < argc; i++) {
		bool plain = argv[i][0] && !strpbrk(argv[i], " \t\n\"'\\");

		buf_add_text(&statement, i > 2 ? " " : "");
		if (argc == 3 || plain) {
			buf_add_text(&statement, argv[i]);
			continue;
		}
		buf_add_char(&statement, '"');
		for (const char *at = argv[i]; *at; at++) {
			if (*at == '\n') {
				buf_add_text(&statement, "\\n");
				continue;
			}
			if (*at == '"' || *at == '\\')
				buf_add_char(&statement, '\\');
			buf_add_char(&statement, *at);
		}
		buf_add_char(&statement, '"');
	}
	return query(argv[1], statement.at);
}

static void value_print(const char *label, const json_t *value)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
		return;
	if (json_is_string(value))
		buf_add_text(&text, json_string_value(value));
	else
		json_format(&text, value);
	printf("    %-10s %.2000s\n", label, text.at ? text.at : "");
}

static int report_print(const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	size_t index;
	json_t *item;

	json_array_foreach(json_member(report, "gates"), index, item)
		printf("%-10s %-10s %s\n", json_text(item, "status", ""), json_text(item, "name", ""),
		       json_text(item, "reason", ""));
	json_array_foreach(findings, index, item) {
		if (index == FINDINGS_SHOWN) {
			printf("… and %zu more\n", json_array_size(findings) - index);
			break;
		}
		printf("\n%s %s: %s\n", json_text(item, "severity", ""), json_text(item, "id", ""), json_text(item, "title", ""));
		value_print("request", json_member(item, "request"));
		value_print("expected", json_member(item, "expected"));
		value_print("got", json_member(item, "got"));
		value_print("detail", json_member(item, "detail"));
		value_print("try", json_member(item, "reproduce"));
	}
	printf("\n%s: %s\n", json_text(report, "verdict", "?"), json_text(report, "reason", ""));
	return strcmp(json_text(report, "verdict", ""), "verified") == 0 ? 0 : 1;
}

static int verb_verify(int argc, char **argv)
{
	struct err err = {0};
	AUTO_JSON body = json_object();
	AUTO_JSON report = NULL;

	(void)argv;
	if (argc != 1)
		return misused("verify");
	report = tool_work("verify", body, &err);
	return report ? report_print(report) : failed(&err);
}

static int verb_done(int argc, char **argv)
{
	struct err err = {0};
	AUTO_JSON body = json_object();
	AUTO_JSON answer = NULL;

	if (argc != 2)
		return misused("done \"SUMMARY\"");
	json_set_bytes(body, "summary", view_of(argv[1]));
	answer = tool_json("POST", "done", body, &err);
	if (!answer)
		return failed(&err);
	printf("noted: end now, and what is in /workspace is verified\n");
	return 0;
}

static int verb_help(int argc, char **argv);

static const struct {
	const char *name;
	const char *arguments;
	const char *about;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{"status", "", "this environment: its services and databases, their state and addresses", verb_status},
	{"deploy", "[SERVICE]", "build and restart from /workspace, and wait until it is ready", verb_deploy},
	{"test", "[SUITE]", "run the tests of the blueprint here", verb_test},
	{"logs", "[-n LINES] [SANDBOX]", "what services wrote", verb_logs},
	{"http", "METHOD URL [-d BODY] [-H HEADER]…", "ask a service: http://front/api/orders", verb_http},
	{"sql", "DATABASE STATEMENT", "one statement, as CSV", verb_sql},
	{"redis", "DATABASE COMMAND…", "one command", verb_redis},
	{"verify", "", "judge /workspace as it is now, as far as you may see it", verb_verify},
	{"done", "\"SUMMARY\"", "say what you changed and why, for the pull request", verb_done},
	{"help", "", "this", verb_help},
};

static int verb_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("assay-env works on this environment:\n\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-7s %-36s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].about);
	return 0;
}

int main(int argc, char **argv)
{
	verb = argc > 1 ? argv[1] : "help";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
		verb = "help";
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, verb) == 0)
			return verbs[i].run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
	(void)fprintf(stderr, "assay-env: no `%.60s`: see `assay-env help`\n", verb);
	return 2;
}
