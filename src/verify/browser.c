/* The DevTools protocol over pipes: https://chromedevtools.github.io/devtools-protocol/. */
#include "verify/browser.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "verify/suite.h"

#define MESSAGE_BYTES_MAX ((size_t)32 << 20)
#define CALL_LIMIT_MS 20000
#define LOAD_LIMIT_MS 15000
#define IDLE_LIMIT_MS 5000
#define IDLE_MS 300
#define BROWSER_LIMIT_MS 180000
#define TEXT_SHOWN 300
#define NOT_THERE 127

/* The first Chromium there is, with the pipes where it wants them. */
static const char start[] =
	"for program in \"$CHROME_BIN\" chromium chromium-browser google-chrome google-chrome-stable; do "
	"command -v \"$program\" >/dev/null 2>&1 && break; program=; done; [ -n \"$program\" ] || exit 127; "
	"profile=$(mktemp -d) || exit 1; "
	"\"$program\" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run "
	"--disable-background-networking --disable-component-update --disable-sync --disable-extensions --mute-audio "
	"--force-device-scale-factor=1 --font-render-hinting=none --remote-debugging-pipe --user-data-dir=\"$profile\" "
	"about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1; code=$?; rm -rf \"$profile\"; exit $code";

struct browser {
	struct ladder *ladder;
	struct env_id env;
	const char *origin;
	int to;
	int from;
	struct buf in;
	int64_t last_id;
	char *session;
	/* of the page that is looked at */
	json_t *page;
	bool answered;
	bool loaded;
	int64_t in_flight;
	int64_t quiet_since_ms;
	/* of the program */
	pthread_t thread;
	bool running;
	int child_in;
	int child_out;
	struct exit_status status;
	int result;
	struct err err;
};

/* ---- the program ---- */

static void *program_run(void *self)
{
	struct browser *browser = self;
	const struct environment_exec exec = {
		.input_fd = browser->child_in, .output_fd = browser->child_out, .timeout_ms = BROWSER_LIMIT_MS, .sweep = true};

	browser->result = workspace_exec(browser->ladder, browser->env, (const char *const[]){"sh", "-c", start, NULL}, &exec,
					 &browser->status, &browser->err);
	(void)close(browser->child_in);
	(void)close(browser->child_out);
	return NULL;
}

static int program_begin(struct browser *browser, struct err *err)
{
	int in[2];
	int out[2];

	if (pipe2(in, O_CLOEXEC))
		return err_errno(err, errno, "pipe");
	if (pipe2(out, O_CLOEXEC)) {
		(void)close(in[0]);
		(void)close(in[1]);
		return err_errno(err, errno, "pipe");
	}
	browser->child_in = in[0];
	browser->to = in[1];
	browser->from = out[0];
	browser->child_out = out[1];
	if (pthread_create(&browser->thread, NULL, program_run, browser)) {
		(void)close(in[0]);
		(void)close(out[1]);
		return err_set(err, ERR_RETRY, "the machine has no thread left");
	}
	browser->running = true;
	return 0;
}

/* Chromium ends when its pipe does. */
static void browser_fini(struct browser *browser)
{
	if (browser->to >= 0)
		(void)close(browser->to);
	if (browser->from >= 0)
		(void)close(browser->from);
	if (browser->running)
		(void)pthread_join(browser->thread, NULL);
	buf_fini(&browser->in);
	free(browser->session);
	json_decref(browser->page);
}

/* ---- what it says ---- */

static void problem_add(struct browser *browser, const char *kind, const char *text)
{
	json_t *problems = json_member(browser->page, "problems");
	AUTO_FREE char *line = NULL;
	AUTO_JSON holder = json_object();

	if (!problems || json_array_size(problems) >= BROWSER_PROBLEMS_MAX)
		return;
	line = text_format("%s: %.*s", kind, TEXT_SHOWN, text);
	json_set_bytes(holder, "text", view_cut(view_of(line), '\n', &(struct view){0}));
	(void)json_array_append(problems, json_member(holder, "text"));
}

/* The path of a URL of ours; the URL itself otherwise. */
static const char *path_of(const struct browser *browser, const char *url)
{
	size_t length = strlen(browser->origin);

	return strncmp(url, browser->origin, length) == 0 ? url + length : url;
}

static void response_note(struct browser *browser, const json_t *params)
{
	const json_t *response = json_member(params, "response");
	const char *url = json_text(response, "url", "");
	int64_t status = json_number(response, "status", 0);
	AUTO_FREE char *what = NULL;

	if (strcmp(json_text(params, "type", ""), "Document") == 0 && !browser->answered) { /* those after it are of frames */
		browser->answered = true;
		(void)json_object_set_new(browser->page, "status", json_integer(status));
		(void)json_object_set_new(browser->page, "html",
					  json_boolean(strcmp(json_text(response, "mimeType", ""), "text/html") == 0));
	}
	if (status < 400)
		return;
	what = text_format("%s answers %lld", path_of(browser, url), (long long)status);
	problem_add(browser, "request", what);
}

static void console_note(struct browser *browser, const json_t *params)
{
	const json_t *first = json_array_get(json_member(params, "args"), 0);

	if (strcmp(json_text(params, "type", ""), "error") == 0)
		problem_add(browser, "console", json_text(first, "value", json_text(first, "description", "an error")));
}

static void thrown_note(struct browser *browser, const json_t *params)
{
	const json_t *details = json_member(params, "exceptionDetails");

	problem_add(browser, "error",
		    json_text(json_member(details, "exception"), "description", json_text(details, "text", "an exception")));
}

static void failed_note(struct browser *browser, const json_t *params)
{
	const char *why = json_text(params, "errorText", "");

	if (!json_flag(params, "canceled", false) && strcmp(why, "net::ERR_ABORTED") != 0)
		problem_add(browser, "request", why);
}

static void event_take(struct browser *browser, const json_t *message)
{
	const char *method = json_text(message, "method", "");
	const json_t *params = json_member(message, "params");

	if (!browser->page || strcmp(json_text(message, "sessionId", ""), browser->session) != 0)
		return;
	browser->quiet_since_ms = world_elapsed_ms(browser->ladder->request->world);
	if (strcmp(method, "Page.loadEventFired") == 0)
		browser->loaded = true;
	else if (strcmp(method, "Network.requestWillBeSent") == 0)
		browser->in_flight += !json_member(params, "redirectResponse");
	else if (strcmp(method, "Network.loadingFinished") == 0)
		browser->in_flight--;
	else if (strcmp(method, "Network.responseReceived") == 0)
		response_note(browser, params);
	else if (strcmp(method, "Runtime.consoleAPICalled") == 0)
		console_note(browser, params);
	else if (strcmp(method, "Runtime.exceptionThrown") == 0)
		thrown_note(browser, params);
	if (strcmp(method, "Network.loadingFailed") == 0) {
		browser->in_flight--;
		failed_note(browser, params);
	}
}

/* ---- messages ---- */

/* More bytes, until `until_ms`. ERR_RETRY: none came by then; ERR_BROKEN: it is gone. */
static int bytes_read(struct browser *browser, int64_t until_ms, struct err *err)
{
	struct pollfd ready = {.fd = browser->from, .events = POLLIN};
	int64_t left = until_ms - world_elapsed_ms(browser->ladder->request->world);
	char *room;
	ssize_t got;

	if (ladder_stopped(browser->ladder))
		return err_set(err, ERR_CANCELLED, "the verification was stopped");
	if (left <= 0 || poll(&ready, 1, (int)(left < 200 ? left : 200)) <= 0)
		return left > 0 ? 0 : err_set(err, ERR_RETRY, "Chromium takes too long");
	room = buf_reserve(&browser->in, (size_t)64 << 10);
	if (!room)
		return err_set(err, ERR_LIMIT, "Chromium says more than %zu bytes at once", MESSAGE_BYTES_MAX);
	got = read(browser->from, room, (size_t)64 << 10);
	if (got <= 0)
		return err_set(err, ERR_BROKEN, "Chromium ended");
	buf_commit(&browser->in, (size_t)got);
	return 0;
}

/* The next message, owned by the caller; NULL: there is no whole one yet. */
static json_t *message_take(struct browser *browser)
{
	const char *end = browser->in.length ? memchr(browser->in.at, 0, browser->in.length) : NULL;
	json_t *message;

	if (!end)
		return NULL;
	message = json_parse(view_make(browser->in.at, (size_t)(end - browser->in.at)), NULL);
	buf_drop_front(&browser->in, (size_t)(end - browser->in.at) + 1);
	return message ? message : json_object();
}

/* Asks, and waits for its answer. Takes `params`. The result is owned by the caller. */
static json_t *call(struct browser *browser, const char *method, json_t *params, struct err *err)
{
	AUTO_JSON request = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)++browser->last_id, "method", method, "params",
				      params ? params : json_object());
	AUTO_BUF text = buf_new(MESSAGE_BYTES_MAX);
	int64_t until_ms = world_elapsed_ms(browser->ladder->request->world) + CALL_LIMIT_MS;

	if (browser->session)
		(void)json_object_set_new(request, "sessionId", json_string(browser->session));
	json_format(&text, request);
	buf_add_char(&text, '\0');
	if (file_write_fd(browser->to, buf_view(&text), err))
		return NULL;
	for (;;) {
		AUTO_JSON message = message_take(browser);
		const json_t *error = json_member(message, "error");

		if (!message) {
			if (bytes_read(browser, until_ms, err))
				return NULL;
			continue;
		}
		if (json_number(message, "id", 0) != browser->last_id) {
			event_take(browser, message);
			continue;
		}
		if (error) {
			(void)err_set(err, ERR_BROKEN, "Chromium: %s: %.200s", method, json_text(error, "message", ""));
			return NULL;
		}
		return json_incref(json_member(message, "result"));
	}
}

static int told(struct browser *browser, const char *method, json_t *params, struct err *err)
{
	AUTO_JSON result = call(browser, method, params, err);

	return result ? 0 : -1;
}

/* ---- a page ---- */

/* Until it has loaded and nothing was under way for a moment; what never ends is looked at as it is. */
static int settle(struct browser *browser, struct err *err)
{
	struct world world = browser->ladder->request->world;
	int64_t begin_ms = world_elapsed_ms(world);
	int64_t limit_ms = begin_ms + LOAD_LIMIT_MS;

	for (;;) {
		AUTO_JSON message = message_take(browser);
		int64_t now_ms = world_elapsed_ms(world);
		struct err late;

		if (message) {
			event_take(browser, message);
			continue;
		}
		if (browser->loaded && limit_ms == begin_ms + LOAD_LIMIT_MS)
			limit_ms = now_ms + IDLE_LIMIT_MS;
		if (now_ms >= limit_ms ||
		    (browser->loaded && browser->in_flight <= 0 && now_ms - browser->quiet_since_ms >= IDLE_MS))
			return 0;
		if (bytes_read(browser, now_ms + IDLE_MS, &late) && late.kind != ERR_RETRY) {
			*err = late;
			return -1;
		}
	}
}

/* What a screen reader would say, in its order. */
static void lines_note(struct browser *browser, const json_t *tree)
{
	const json_t *nodes = json_member(tree, "nodes");
	json_t *lines = json_member(browser->page, "lines");

	for (size_t i = 0; i < json_array_size(nodes) && json_array_size(lines) < BROWSER_LINES_MAX; i++) {
		const json_t *node = json_array_get(nodes, i);
		const char *role = json_text(json_member(node, "role"), "value", "");
		const char *name = json_text(json_member(node, "name"), "value", "");
		AUTO_JSON holder = json_object();
		AUTO_FREE char *line = NULL;

		if (json_flag(node, "ignored", false) || !name[0] || strcmp(role, "InlineTextBox") == 0)
			continue;
		line = text_format("%s \"%.*s\"", role, TEXT_SHOWN, name);
		json_set_bytes(holder, "line", view_of(line));
		(void)json_array_append(lines, json_member(holder, "line"));
	}
}

static bool listed(const json_t *paths, const char *path)
{
	for (size_t i = 0; i < json_array_size(paths); i++)
		if (strcmp(json_string_value(json_array_get(paths, i)), path) == 0)
			return true;
	return false;
}

static int links_follow(struct browser *browser, json_t *paths, struct err *err)
{
	AUTO_JSON result = call(browser, "Runtime.evaluate",
				json_pack("{s:s, s:b}", "expression", "[...document.links].slice(0, 200).map((link) => link.href)",
					  "returnByValue", 1),
				err);
	const json_t *links = json_member(json_member(result, "result"), "value");

	if (!result)
		return -1;
	for (size_t i = 0; i < json_array_size(links) && json_array_size(paths) < BROWSER_PAGES_MAX; i++) {
		const char *url = json_string_value(json_array_get(links, i));
		const char *path = url ? path_of(browser, url) : NULL;
		AUTO_FREE char *clean = path && path[0] == '/' ? view_copy(view_cut(view_of(path), '#', &(struct view){0})) : NULL;

		if (clean && clean[0] == '/' && !listed(paths, clean))
			(void)json_array_append_new(paths, json_string(clean));
	}
	return 0;
}

static json_t *page_look(struct browser *browser, const char *path, json_t *paths, bool crawl, struct err *err)
{
	AUTO_FREE char *url = text_format("%s%s", browser->origin, path);
	AUTO_JSON tree = NULL;
	AUTO_JSON shot = NULL;

	json_decref(browser->page);
	browser->page = json_pack("{s:s, s:i, s:b, s:[], s:[], s:s}", "path", path, "status", 0, "html", 0, "lines", "problems",
				  "png", "");
	browser->answered = false;
	browser->loaded = false;
	browser->in_flight = 0;
	browser->quiet_since_ms = world_elapsed_ms(browser->ladder->request->world);
	if (!browser->page)
		return err_set(err, ERR_INVALID, "a page's path is no text"), NULL;
	if (told(browser, "Page.navigate", json_pack("{s:s}", "url", url), err) || settle(browser, err))
		return NULL;
	tree = call(browser, "Accessibility.getFullAXTree", NULL, err);
	shot = tree ? call(browser, "Page.captureScreenshot", json_pack("{s:s}", "format", "png"), err) : NULL;
	if (!shot || (crawl && links_follow(browser, paths, err)))
		return NULL;
	lines_note(browser, tree);
	(void)json_object_set(browser->page, "png", json_member(shot, "data"));
	return json_incref(browser->page);
}

/* ---- the whole ---- */

static int attach(struct browser *browser, struct err *err)
{
	static const char *const domains[] = {"Page.enable", "Runtime.enable", "Network.enable", "Accessibility.enable"};
	AUTO_JSON target = call(browser, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"), err);
	AUTO_JSON session = target ? call(browser, "Target.attachToTarget",
					  json_pack("{s:s, s:b}", "targetId", json_text(target, "targetId", ""), "flatten", 1), err)
				   : NULL;

	if (!session)
		return -1;
	browser->session = text_copy(json_text(session, "sessionId", ""));
	for (size_t i = 0; i < ARRAY_LEN(domains); i++)
		if (told(browser, domains[i], NULL, err))
			return -1;
	return told(browser, "Emulation.setDeviceMetricsOverride",
		    json_pack("{s:i, s:i, s:i, s:b}", "width", BROWSER_WIDTH, "height", BROWSER_HEIGHT, "deviceScaleFactor", 1,
			      "mobile", 0),
		    err) || told(browser, "Emulation.setEmulatedMedia",
				 json_pack("{s:[{s:s, s:s}]}", "features", "name", "prefers-reduced-motion", "value", "reduce"),
				 err)
		       ? -1
		       : 0;
}

/* Why it did not begin: its own end says it better than the pipe's. */
static void why_ended(struct browser *browser, struct err *err)
{
	(void)close(browser->to);
	browser->to = -1;
	(void)pthread_join(browser->thread, NULL);
	browser->running = false;
	if (browser->result)
		*err = browser->err;
	else if (browser->status.reason == EXIT_CODE && browser->status.code == NOT_THERE)
		(void)err_set(err, ERR_NOT_FOUND,
			      "there is no Chromium in the workspace: have it on the machine, or in the workspace's image");
}

json_t *browser_look(struct ladder *ladder, struct env_id env, const char *origin, json_t *paths, bool crawl, struct err *err)
{
	__attribute__((cleanup(browser_fini))) struct browser browser = {
		.ladder = ladder, .env = env, .origin = origin, .to = -1, .from = -1, .in = buf_new(MESSAGE_BYTES_MAX)};
	AUTO_JSON pages = json_array();

	if (program_begin(&browser, err))
		return NULL;
	if (attach(&browser, err)) {
		if (err->kind == ERR_BROKEN || err->kind == ERR_RETRY)
			why_ended(&browser, err);
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(paths) && i < BROWSER_PAGES_MAX; i++) {
		json_t *page = page_look(&browser, json_string_value(json_array_get(paths, i)), paths, crawl, err);

		if (!page)
			return NULL;
		(void)json_array_append_new(pages, page);
	}
	return TAKE(pages);
}
