/* Verbs that do their work in the sandbox they were called in: tests, requests to services, Chromium. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "programs/assay_env_tool.h"
#include "programs/assay_env_verbs.h"

#define HEADERS_MAX 32
#define IMAGE_BYTES_MAX ((size_t)8 << 20)
#define CHROMIUM_TIMEOUT_MS 60000
#define CHROMIUM_PAGE_MS 10000 /* virtual time that a page has for its scripts */
#define SIDE_MAX 4096
#define WIDTH_DEFAULT 1280
#define HEIGHT_DEFAULT 800

/* ---- a program ---- */

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void program_exec(const char *const *argv, const char *dir, int output)
{
	(void)setpgid(0, 0);
	(void)dup2(output, STDOUT_FILENO);
	(void)dup2(output, STDERR_FILENO);
	if (dir && chdir(dir)) {
		(void)fprintf(stderr, "assay-env: %s: %s\n", dir, strerror(errno));
		_exit(126);
	}
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	(void)fprintf(stderr, "assay-env: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* What it writes is said as it comes. timeout_ms 0: none. *status is waitpid's. */
static int program_run(const char *const *argv, const char *dir, int64_t timeout_ms, void (*say)(void *self, struct view bytes),
		       void *self, int *status, struct err *err)
{
	int64_t until_ms = now_ms() + timeout_ms;
	AUTO_CLOSE int out = -1;
	char chunk[65536];
	int ends[2];
	ssize_t got;
	pid_t pid;

	if (pipe(ends))
		return err_errno(err, errno, "cannot make a pipe");
	out = ends[0];
	pid = fork();
	if (pid == 0) {
		(void)close(ends[0]);
		program_exec(argv, dir, ends[1]);
	}
	(void)close(ends[1]);
	if (pid < 0)
		return err_errno(err, errno, "cannot start %s", argv[0]);
	for (;;) {
		struct pollfd ready = {out, POLLIN, 0};
		int64_t left_ms = timeout_ms ? until_ms - now_ms() : -1;
		int count = timeout_ms && left_ms <= 0 ? 0 : poll(&ready, 1, (int)left_ms);

		if (count == 0) {
			(void)kill(-pid, SIGKILL);
			(void)waitpid(pid, status, 0);
			return err_set(err, ERR_LIMIT, "%s took longer than %lld s", argv[0], (long long)timeout_ms / 1000);
		}
		got = count < 0 ? -1 : read(out, chunk, sizeof(chunk));
		if (got > 0)
			say(self, view_make(chunk, (size_t)got));
		else if (got == 0 || errno != EINTR)
			break;
	}
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* ---- tests ---- */

static int suite_run(struct env_call *call, json_t *suite, struct err *err)
{
	const char *workspace = getenv("ASSAY_WORKSPACE"); /* for tests */
	AUTO_FREE char *dir = text_format("%s/%s", workspace ? workspace : "/workspace", json_text(suite, "dir", "."));
	const char *argv[] = {"/bin/sh", "-c", json_text(suite, "run", "true"), NULL};
	const char *name = json_text(suite, "name", "");
	AUTO_JSON body = json_object();
	AUTO_FREE char *doing = text_format("test %s", name);
	int64_t begun_ms = now_ms();
	int status = -1;

	env_say(call, "== %s: %s\n", name, json_text(suite, "run", ""));
	call->progress(call->self, doing);
	if (program_run(argv, dir, 0, call->say, call->self, &status, err))
		return -1;
	env_say(call, "== %s: %s\n", name, status == 0 ? "passed" : "FAILED");
	(void)json_object_set_new(suite, "passed", json_boolean(status == 0));
	(void)json_object_set_new(suite, "ms", json_integer(now_ms() - begun_ms));
	call->failed |= status != 0;
	return 0;
}

int env_verb_test(struct env_call *call, struct err *err)
{
	const char *wanted = json_text(call->arguments, "suite", NULL);
	AUTO_JSON answer = tool_json("GET", "tests", NULL, err);
	json_t *ran;
	size_t index;
	json_t *suite;

	if (!answer)
		return -1;
	ran = json_array();
	call->data = json_pack("{s:o}", "items", ran);
	json_array_foreach(json_member(answer, "items"), index, suite) {
		if (wanted && strcmp(wanted, json_text(suite, "name", "")) != 0)
			continue;
		(void)json_array_append(ran, suite);
		if (suite_run(call, suite, err))
			return -1;
	}
	if (json_array_size(ran))
		return 0;
	return err_set(err, ERR_NOT_FOUND, wanted ? "no suite `%.60s`" : "this application has no tests%s", wanted ? wanted : "");
}

/* ---- requests ---- */

static void head_say(void *self, struct view head)
{
	struct env_call *call = self;

	call->say(call->self, head);
}

static bool body_say(void *self, struct view bytes)
{
	head_say(self, bytes);
	return true;
}

int env_verb_http(struct env_call *call, struct err *err)
{
	const json_t *more = json_member(call->arguments, "headers");
	const char *body = json_text(call->arguments, "body", NULL);
	const char *headers[HEADERS_MAX + 1];
	struct env_request request = {
		.method = json_text(call->arguments, "method", "GET"), .headers = headers, .silence_ms = TOOL_SILENCE_MS};
	struct env_response response = {.headed = head_say, .bytes = body_say, .self = call, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	bool typed = false;
	size_t index;
	json_t *header;
	int status;

	if (json_array_size(more) > HEADERS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d headers", HEADERS_MAX);
	json_array_foreach(more, index, header) {
		typed |= strncasecmp(json_string_value(header), "content-type:", 13) == 0;
		if (strpbrk(json_string_value(header), "\r\n"))
			return err_set(err, ERR_INVALID, "a header is one line");
		headers[request.header_count++] = json_string_value(header);
	}
	if (body) {
		request.body = view_of(body);
		request.has_body = true;
	}
	if (body && !typed)
		headers[request.header_count++] = "Content-Type: application/json";
	if (!*request.method || strpbrk(request.method, " \r\n"))
		return err_set(err, ERR_INVALID, "`%.20s` is no method", request.method);
	if (env_url_parse(json_text(call->arguments, "url", ""), &request.url, err))
		return -1;
	tool_port_find(&request.url);
	status = env_http_call(&request, &response, err);
	call->data = json_pack("{s:i}", "status", response.status);
	buf_fini(&response.head);
	if (!status)
		env_say(call, "\n");
	return status;
}

/* ---- Chromium ---- */

static const char *chromium_find(void)
{
	static const char *const programs[] = {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
					       "/usr/bin/google-chrome-stable"};
	const char *named = getenv("CHROME_BIN");

	if (named && access(named, X_OK) == 0)
		return named;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (access(programs[i], X_OK) == 0)
			return programs[i];
	return NULL;
}

static void keep(void *self, struct view bytes)
{
	struct buf *kept = self;

	buf_add_view(kept, bytes);
	if (kept->length > 2048)
		buf_drop_front(kept, kept->length - 2048);
}

static int image_read(const char *file, struct buf *image, struct err *err)
{
	FILE *from = fopen(file, "re");
	char chunk[65536];
	size_t got;

	if (!from)
		return err_set(err, ERR_NOT_FOUND, "Chromium could not show the page, and made no %s: does the service answer?",
			       file);
	while ((got = fread(chunk, 1, sizeof(chunk), from)) > 0)
		buf_add(image, chunk, got);
	(void)fclose(from);
	if (buf_finish(image, err))
		return err_prefix(err, "%s", file);
	if (image->length < 8 || memcmp(image->at, "\x89PNG\r\n\x1a\n", 8) != 0)
		return err_set(err, ERR_BROKEN, "%s is no PNG", file);
	return 0;
}

/* Chromium's own sandbox needs what ours does not give; the page is of this environment, and Chromium is as locked in as the agent. */
static int chromium_run(struct env_call *call, const char *url, const char *file, int64_t width, int64_t height, struct err *err)
{
	const char *program = chromium_find();
	AUTO_FREE char *profile = text_copy("/tmp/assay-chromium-XXXXXX");
	AUTO_FREE char *data_dir = NULL;
	AUTO_FREE char *size = text_format("--window-size=%lld,%lld", (long long)width, (long long)height);
	AUTO_FREE char *budget = text_format("--virtual-time-budget=%d", CHROMIUM_PAGE_MS);
	AUTO_FREE char *shot = text_format("--screenshot=%s", file);
	AUTO_BUF said = buf_new((size_t)1 << 20);
	int status = -1;
	int failed;

	if (!program)
		return err_set(err, ERR_NOT_FOUND,
			       "no Chromium in this sandbox: have it on the machine, or in the workspace's image");
	if (!mkdtemp(profile))
		return err_errno(err, errno, "cannot make a folder in /tmp");
	data_dir = text_format("--user-data-dir=%s", profile);
	call->progress(call->self, "Chromium loads the page");
	failed = program_run((const char *const[]){program, "--headless=new", "--no-sandbox", "--disable-gpu",
						   "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
						   "--disable-background-networking", "--disable-component-update",
						   "--disable-sync", "--disable-extensions", data_dir, size, budget, shot, url,
						   NULL},
			     NULL, CHROMIUM_TIMEOUT_MS, keep, &said, &status, err);
	(void)program_run((const char *const[]){"/bin/rm", "-rf", profile, NULL}, NULL, 0, keep, &said, &(int){0},
			  &(struct err){0});
	if (failed)
		return -1;
	if (status)
		return err_set(err, ERR_INVALID, "Chromium ended with %d: %.300s",
			       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), said.length ? said.at : "");
	return 0;
}

/* For who reviews the run. The file is there in any case. */
static void picture_keep(struct env_call *call, const char *name)
{
	AUTO_BUF path = buf_new(8192);
	AUTO_JSON kept = NULL;
	struct err err = {0};

	buf_add_text(&path, "pictures?name=");
	buf_add_url(&path, view_of(name));
	kept = buf_finish(&path, &err) ? NULL : tool_bytes(path.at, "image/png", buf_view(&call->image), &err);
	env_say(call, kept ? "kept with the run\n" : "not kept with the run: %s\n", err.text);
}

int env_verb_screenshot(struct env_call *call, struct err *err)
{
	const char *asked = json_text(call->arguments, "file", NULL);
	AUTO_FREE char *file = asked ? text_copy(asked) : text_format("/tmp/screenshot-%lld.png", (long long)now_ms());
	int64_t width = json_number(call->arguments, "width", WIDTH_DEFAULT);
	int64_t height = json_number(call->arguments, "height", HEIGHT_DEFAULT);
	AUTO_FREE char *full = NULL;
	struct env_url url;

	if (width < 1 || width > SIDE_MAX || height < 1 || height > SIDE_MAX)
		return err_set(err, ERR_INVALID, "a window is 1 to %d pixels wide and high", SIDE_MAX);
	if (env_url_parse(json_text(call->arguments, "url", ""), &url, err))
		return -1;
	tool_port_find(&url);
	full = text_format("http://%s:%u%s%s", url.host, (unsigned)(url.port ? url.port : 80), *url.target == '/' ? "" : "/",
			   url.target);
	call->image = buf_new(IMAGE_BYTES_MAX);
	if (chromium_run(call, full, file, width, height, err) || image_read(file, &call->image, err))
		return -1;
	env_say(call, "%s: %lld x %lld, %zu bytes\n", file, (long long)width, (long long)height, call->image.length);
	picture_keep(call, full);
	call->data = json_pack("{s:s, s:s}", "file", file, "url", full);
	return 0;
}
