/* The API: what bodies are taken, what is answered, what the streams look like. */
#include "web_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "http/client.h"
#include "web/openapi.h"

static void what_is_wrong_in_a_request_is_said_in_one_line(void **state)
{
	static const struct question rows[] = {
		{UNIX, "POST", "/api/v1/issues", NULL, "", 400, "repository: expected a line of text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{", 400, "the body: "},
		{UNIX, "POST", "/api/v1/issues", NULL, "[]", 400, "the body must be a JSON object"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\"}", 400, "title: expected a line of text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"title\":\"  \"}", 400,
		 "title: expected a line of text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"title\":\"a\\nb\"}", 400,
		 "title: expected a line of text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"title\":7}", 400,
		 "title: expected a line of text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"title\":\"a\",\"body\":{}}", 400,
		 "body: expected a text"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"titel\":\"a\"}", 400, "did you mean `title`?"},
		{UNIX, "POST", "/api/v1/issues", NULL, "{\"repository\":\"shop\",\"title\":\"a\",\"x\":1,\"x\":2}", 400,
		 "the body: "},
		{UNIX, "POST", "/api/v1/issues/1/close", NULL, "{\"why\":1}", 400, "nothing is expected here"},
		{UNIX, "POST", "/api/v1/issues/x/close", NULL, NULL, 400, "`x` is no number"},
		{UNIX, "POST", "/api/v1/issues/0/close", NULL, NULL, 400, "`0` is no number"},
		{UNIX, "GET", "/api/v1/issues/2", NULL, NULL, 404, "there is no such issue"},
		{UNIX, "GET", "/api/v1/issues/99999999999", NULL, NULL, 400, "is no number"},
		{UNIX, "POST", "/api/v1/runs", NULL, "{\"repository\":\"shop\"}", 400, "title: expected a line of text, or issue"},
		{UNIX, "POST", "/api/v1/runs", NULL, "{\"repository\":\"shop\",\"issue\":-1}", 400, "issue: expected a number"},
		{UNIX, "POST", "/api/v1/repositories", NULL, "{\"path\":\"here\"}", 400, "expected an absolute path"},
		{UNIX, "GET", "/api/v1/repositories/shop/file", NULL, NULL, 400, "path= is missing"},
		{UNIX, "GET", "/api/v1/repositories/none/file?path=a", NULL, NULL, 404, "there is no repository none"},
		{UNIX, "GET", "/api/v1/runs/rzzz", NULL, NULL, 404, "there is no run rzzz"},
		{UNIX, "POST", "/api/v1/runs/ra/stop", NULL, NULL, 409, "the run has ended"},
		{UNIX, "POST", "/api/v1/runs/ra/declarations", NULL, "{\"difference\":\"GET /a\"}", 200, "\"id\":\"ra"},
		{UNIX, "POST", "/api/v1/runs/ra/declarations", NULL, "{}", 400, "difference: expected a line of text"},
		{UNIX, "DELETE", "/api/v1/runs/ra/declarations?difference=GET%20/a", NULL, NULL, 200, "\"id\":\"ra"},
		{UNIX, "POST", "/api/v1/runs/ra/message", NULL, "{}", 400, "text: expected a text"},
		{UNIX, "GET", "/api/v1/runs/ra/events?after=x", NULL, NULL, 400, "after=x: expected a number"},
		{UNIX, "GET", "/api/v1/runs/ra/events?limit=1000000", NULL, NULL, 400, "limit=1000000: expected a number up to"},
		{UNIX, "GET", "/api/v1/runs/ra/record", NULL, NULL, 404, "nothing was signed yet"},
		{UNIX, "POST", "/api/v1/pulls/1/review", NULL, "{\"kind\":\"like\"}", 400, "expected approve, changes or comment"},
		{UNIX, "POST", "/api/v1/pulls/1/review", NULL, "{\"kind\":\"changes\",\"text\":\" \"}", 400,
		 "say what the agent should read"},
		{UNIX, "POST", "/api/v1/pulls/1/merge", NULL, "{\"force\":\"yes\"}", 400, "force: expected true or false"},
		{UNIX, "POST", "/api/v1/pulls/1/merge", NULL, NULL, 409, "it is not verified"},
		{UNIX, "POST", "/api/v1/environments/none/freeze", NULL, NULL, 404, "there is no environment none"},
		{UNIX, "POST", "/api/v1/environments/shop/extend", NULL, "{\"grace_ms\":0}", 400, "at most 90 days"},
		{UNIX, "POST", "/api/v1/environments/shop/exec", NULL, "{\"sandbox\":\"front\",\"argv\":[]}", 400,
		 "argv: expected a list"},
		{UNIX, "POST", "/api/v1/environments/shop/exec", NULL, "{\"sandbox\":\"front\",\"argv\":[1]}", 400,
		 "argv[0]: expected a text"},
		{UNIX, "POST", "/api/v1/environments/shop/exec", NULL,
		 "{\"sandbox\":\"front\",\"argv\":[\"a\"],\"env\":{\"A=B\":\"c\"}}", 400, "env.A=B"},
		{UNIX, "POST", "/api/v1/environments/shop/exec", NULL, "{\"sandbox\":\"nowhere\",\"argv\":[\"a\"]}", 404,
		 "no sandbox nowhere"},
		{UNIX, "GET", "/api/v1/environments/shop/logs?lines=-1", NULL, NULL, 400, "lines=-1"},
		{UNIX, "GET", "/api/v1/environments/shop/terminal", NULL, NULL, 400, "Upgrade: assay-terminal"},
		{UNIX, "GET", "/api/v1/environments/shop/terminal?argv=7", NULL, NULL, 400, "argv: expected a JSON list"},
		{UNIX, "PUT", "/api/v1/runs", NULL, NULL, 405, "Method Not Allowed"},
		{UNIX, "GET", "/api/v1/nothing", NULL, NULL, 404, "there is no call GET /api/v1/nothing"},
		{UNIX, "GET", "/nothing.js", NULL, NULL, 404, "there is no such page"},
		{UNIX, "GET", "/../../etc/passwd.txt", NULL, NULL, 400, "invalid"},
		{TOOL, "GET", "/tool/v1/environment", NULL, NULL, 403, "comes from no environment"},
		{TOOL, "GET", "/tool/v1/environment", "X-Assay-Env: shop", NULL, 403, "comes from no environment"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
}

static void calls_reach_what_they_name(void **state)
{
	static const struct {
		enum road road;
		const char *method;
		const char *path;
		const char *body;
		const char *said;
	} rows[] = {
		{UNIX, "POST", "/api/v1/repositories", "{\"path\":\"/src/shop\"}", "put /src/shop HEAD -"},
		{UNIX, "POST", "/api/v1/issues", "{\"repository\":\"shop\",\"title\":\"a\",\"body\":\"b\\nc\"}",
		 "issue shop a b\nc"},
		{UNIX, "POST", "/api/v1/issues/1/comments", "{\"text\":\"hi\",\"author\":\"ines\"}", "comment 1 ines hi"},
		{UNIX, "POST", "/api/v1/issues/1/reopen", NULL, "reopen 1"},
		{UNIX, "POST", "/api/v1/issues/1/attachments?name=a%20b.txt", "{not JSON", "attach 1 a b.txt you {not JSON"},
		{UNIX, "DELETE", "/api/v1/issues/1/attachments/a%20b.txt", NULL, "detach 1 a b.txt"},
		{UNIX, "POST", "/api/v1/runs", "{\"repository\":\"shop\",\"title\":\"a\"}", "start shop a"},
		{UNIX, "POST", "/api/v1/runs/raa/message", "{\"text\":\"hi\"}", "message " FAKE_RUN " you hi"},
		{UNIX, "POST", "/api/v1/runs/raa/retry", "{}", "retry " FAKE_RUN},
		{UNIX, "POST", "/api/v1/pulls/1/review", "{\"kind\":\"approve\"}", "review 1 approve "},
		{UNIX, "POST", "/api/v1/pulls/1/close", NULL, "close 1"},
		{UNIX, "DELETE", "/api/v1/environments/ebb", NULL, "down " FAKE_ENV},
		{UNIX, "POST", "/api/v1/environments/shop/thaw", NULL, "thaw " FAKE_ENV},
		{UNIX, "POST", "/api/v1/environments/shop/unpin", NULL, "unpin " FAKE_ENV},
		{UNIX, "POST", "/api/v1/environments/shop/extend", "{\"grace_ms\":1000}", "extend " FAKE_ENV " 1000"},
		{UNIX, "POST", "/api/v1/environments/shop/revoke", "{}", "revoke " FAKE_ENV " all"},
		{UNIX, "POST", "/api/v1/environments/shop/revoke", "{\"link\":\"l.1.x\"}", "revoke " FAKE_ENV " l.1.x"},
		{UNIX, "DELETE", "/api/v1/snapshots/shop/3", NULL, "remove shop/3"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_ANSWER answer = ask(*state, rows[i].road, rows[i].method, rows[i].path, NULL, rows[i].body);

		assert_int_equal(answer.status, 200);
		assert_string_equal(fake_said, rows[i].said);
	}
}

static void files_of_an_issue_are_bytes_that_no_browser_shows(void **state)
{
	static const struct question rows[] = {
		{UNIX, "GET", "/api/v1/issues/1/attachments", NULL, NULL, 200, "\"a b.txt\""},
		{UNIX, "GET", "/api/v1/issues/2/attachments", NULL, NULL, 404, "there is no such issue"},
		{UNIX, "POST", "/api/v1/issues/1/attachments?file=a", NULL, "x", 400, "unknown parameter `file`"},
		{TCP, "POST", "/api/v1/issues/1/attachments?name=a", NULL, "x", 403, "X-Assay-Token"},
		{TCP, "DELETE", "/api/v1/issues/1/attachments/a", NULL, NULL, 403, "X-Assay-Token"},
		{UNIX, "GET", "/api/v1/repositories/shop/templates", NULL, NULL, 200, "\"bug\""},
	};
	AUTO_ANSWER answer = ask(*state, UNIX, "GET", "/api/v1/issues/1/attachments/a%20%3Cb%3E.html", NULL, NULL);

	questions_ask(*state, rows, ARRAY_LEN(rows));
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.text, "1 <a <b>.html>");
	assert_string_equal(answer.type, "application/octet-stream");
}

static void the_tools_see_only_the_environment_that_the_gateway_names(void **state)
{
	static const char env[] = "X-Assay-Env: " FAKE_ENV;
	static const struct question rows[] = {
		{TOOL, "GET", "/tool/v1/environment", env, NULL, 200, FAKE_ENV},
		{TOOL, "GET", "/tool/v1/environment?env=eccccccccc", env, NULL, 200, FAKE_ENV},
		{TOOL, "GET", "/tool/v1/logs?sandbox=front&lines=7", env, NULL, 200, "front 7"},
		{TOOL, "POST", "/tool/v1/query", env, "{\"database\":\"db\",\"statement\":\"select 1\"}", 200, "db: select 1"},
		{TOOL, "POST", "/tool/v1/query", env, "{\"database\":\"db\",\"statement\":\"select 1\",\"env\":\"x\"}", 400,
		 "unknown member `env`"},
		{TOOL, "POST", "/tool/v1/declare", env, "{\"difference\":\"GET /a\",\"because\":\"asked for\"}", 200, ""},
		{TOOL, "POST", "/tool/v1/declare", env, "{\"difference\":\"GET /a\"}", 400, "because: expected a line of text"},
		{TOOL, "POST", "/tool/v1/deploy", env, "{\"service\":\"front\"}", 200, "event: done"},
		{TOOL, "POST", "/tool/v1/reset-data", env, "{}", 200, "event: done"},
		{TOOL, "GET", "/tool/v1/exchanges?limit=1&seam=front", env, NULL, 200, "\"items\""},
		{TOOL, "POST", "/tool/v1/faults", env, "{\"kind\":\"hang\",\"seam\":\"db\",\"env\":\"x\"}", 400, "env"},
		{TOOL, "POST", "/tool/v1/faults", env, "{\"kind\":\"hang\",\"seam\":\"db\"}", 200, "\"env\":\"" FAKE_ENV "\""},
		{TOOL, "POST", "/tool/v1/ask", env, "{\"question\":\"which?\"}", 200, "\"state\":\"open\""},
		{TOOL, "GET", "/tool/v1/ask/7", env, NULL, 200, "both"},
		{TOOL, "GET", "/tool/v1/ask/8", env, NULL, 404, "no question 8"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
	assert_string_equal(fake_said, "deploy " FAKE_ENV " front");
}

static void long_work_tells_its_steps_and_its_end(void **state)
{
	AUTO_ANSWER good = ask(*state, UNIX, "POST", "/api/v1/environments/shop/fork", NULL, NULL);

	assert_int_equal(good.status, 200);
	assert_string_equal(good.type, "text/event-stream");
	assert_non_null(strstr(good.text, "event: progress\ndata: {\"ms\":12,\"step\":\"clone db\",\"detail\":\"shop/1\"}\n\n"));
	assert_non_null(strstr(good.text, "event: done\ndata: {\"id\":\"" FAKE_ENV "\""));
	strcpy(fake_said, "fail the fork");
	AUTO_ANSWER bad = ask(*state, UNIX, "POST", "/api/v1/environments/shop/fork", NULL, NULL);
	assert_non_null(
		strstr(bad.text,
		       "event: error\ndata: {\"type\":\"urn:assay:problem:limit\",\"title\":\"Content Too Large\",\"status\":413,"
		       "\"detail\":\"the pool is full\",\"kind\":\"limit\"}\n\n"));
	assert_null(strstr(bad.text, "event: done"));
}

static bool three_events(void *self, struct view bytes)
{
	struct buf *text = self;

	buf_add_view(text, bytes);
	return !text->length || !strstr(text->at, "id: 3\n");
}

static void a_followed_run_goes_on_behind_the_last_event_that_the_browser_had(void **state)
{
	struct bench *bench = *state;
	AUTO_RESPONSE response = {0};
	AUTO_BUF text = buf_new(65536);
	AUTO_FREE char *url = text_format("%s/api/v1/runs/ra/events?follow=1&after=0", web_base(bench->web));
	struct http_header last = {"Last-Event-ID", "1"};
	struct http_call call = {
		.url = url, .headers = &last, .header_count = 1, .timeout_ms = 10000, .on_bytes = three_events, .self = &text};
	struct err err;

	assert_int_equal(http_client_call(&call, &response, &err), -1); /* we hung up */
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_null(strstr(text.at, "id: 1\n"));
	assert_non_null(strstr(text.at, "event: note\nid: 2\ndata: {\"seq\":2"));
}

static void events_without_follow_are_a_list(void **state)
{
	AUTO_ANSWER answer = ask(*state, UNIX, "GET", "/api/v1/runs/ra/events?after=1&limit=1", NULL, NULL);
	struct err err;
	AUTO_JSON json = json_parse(view_of(answer.text), &err);

	assert_int_equal(json_array_size(json_member(json, "items")), 1);
	assert_int_equal(json_number(json_array_get(json_member(json, "items"), 0), "seq", 0), 2);
}

static void pages_come_with_a_strict_policy_and_are_sent_once(void **state)
{
	AUTO_ANSWER page = ask(*state, TCP, "GET", "/runs/" FAKE_RUN, NULL, NULL);
	AUTO_FREE char *known = text_format("If-None-Match: %s", page.etag);
	AUTO_ANSWER again = ask(*state, TCP, "GET", "/runs/" FAKE_RUN, known, NULL);
	AUTO_ANSWER script = ask(*state, TCP, "GET", "/theme.js", NULL, NULL);
	AUTO_ANSWER diff = ask(*state, TCP, "GET", "/api/v1/pulls/1/diff", NULL, NULL);

	assert_int_equal(page.status, 200);
	assert_string_equal(page.type, "text/html; charset=utf-8");
	assert_non_null(strstr(page.policy, "default-src 'self'"));
	assert_string_equal(page.keeping, "no-cache");
	assert_non_null(strstr(page.text, "href=\"/session.json\"")); /* what is no file stays where it is */
	assert_int_equal(again.status, 304);
	assert_string_equal(again.text, "");
	assert_string_equal(script.type, "text/javascript; charset=utf-8");
	assert_string_equal(diff.type, "text/plain; charset=utf-8");
	assert_non_null(diff.policy);
}

/* "/static/VERSION" */
static char *version_folder(const char *page)
{
	const char *at = strstr(page, "<script type=\"module\" src=\"/static/");

	assert_non_null(at);
	at += strlen("<script type=\"module\" src=\"");
	return view_copy(view_make(at, strcspn(at + strlen("/static/"), "/") + strlen("/static/")));
}

static void what_a_page_names_is_kept_for_good_and_is_one_script(void **state)
{
	AUTO_ANSWER page = ask(*state, TCP, "GET", "/", NULL, NULL);
	AUTO_FREE char *folder = version_folder(page.text);
	AUTO_FREE char *main = text_format("%s/main.js", folder);
	AUTO_FREE char *part = text_format("%s/parts/diff.js", folder);
	AUTO_ANSWER script = ask(*state, TCP, "GET", main, NULL, NULL);
	AUTO_ANSWER plain = ask(*state, TCP, "GET", "/main.js", NULL, NULL);
	AUTO_ANSWER inside = ask(*state, TCP, "GET", part, NULL, NULL);
	AUTO_ANSWER bare = ask(*state, TCP, "GET", folder, NULL, NULL);

	assert_int_equal(script.status, 200);
	assert_string_equal(script.keeping, "public, max-age=31536000, immutable");
	assert_string_equal(script.type, "text/javascript; charset=utf-8");
	assert_string_equal(script.text, plain.text);
	assert_string_equal(plain.keeping, "no-cache");
	assert_non_null(strstr(script.text, "// parts/diff.js\n"));
	assert_null(strstr(script.text, "\nimport "));
	assert_int_equal(inside.status, 404);
	assert_int_equal(bare.status, 404);
}

static void a_page_of_another_version_gets_this_ones_files_which_nobody_keeps(void **state)
{
	AUTO_ANSWER own = ask(*state, TCP, "GET", "/main.js", NULL, NULL);
	AUTO_ANSWER other = ask(*state, TCP, "GET", "/static/000000000000000000000000/main.js", NULL, NULL);
	AUTO_ANSWER absent = ask(*state, TCP, "GET", "/static/000000000000000000000000/absent.js", NULL, NULL);
	AUTO_ANSWER shorter = ask(*state, TCP, "GET", "/static/0/main.js", NULL, NULL);

	assert_int_equal(other.status, 200);
	assert_string_equal(other.keeping, "no-store");
	assert_string_equal(other.text, own.text);
	assert_int_equal(absent.status, 404);
	assert_int_equal(shorter.status, 404);
}

static void the_newest_exchanges_come_first_and_a_session_is_those_of_the_preview(void **state)
{
	AUTO_ANSWER list = ask(*state, UNIX, "GET", "/api/v1/environments/shop/exchanges?limit=2", NULL, NULL);
	AUTO_ANSWER har = ask(*state, UNIX, "POST", "/api/v1/environments/shop/session", NULL, "{\"name\":\"a\"}");
	struct err err;
	AUTO_JSON items = json_parse(view_of(list.text), &err);
	AUTO_JSON session = json_parse(view_of(har.text), &err);

	assert_int_equal(json_array_size(json_member(items, "items")), 2);
	assert_int_equal(json_number(json_array_get(json_member(items, "items"), 0), "seq", 0), 3);
	assert_int_equal(json_array_size(json_member(json_member(session, "log"), "entries")), 1);
}

static void a_command_comes_back_with_its_output_and_how_it_ended(void **state)
{
	AUTO_ANSWER answer = ask(*state, UNIX, "POST", "/api/v1/environments/shop/exec", NULL,
				 "{\"sandbox\":\"front\",\"argv\":[\"echo\",\"a b\"],\"env\":{\"A\":\"1\"}}");
	struct err err;
	AUTO_JSON json = json_parse(view_of(answer.text), &err);

	assert_string_equal(json_text(json, "output", ""), "echo a b ");
	assert_string_equal(json_text(json, "errors", ""), "A=1 ");
	assert_string_equal(json_text(json_member(json, "status"), "reason", ""), "code");
	assert_int_equal(json_number(json_member(json, "status"), "code", 0), 3);
}

/* Sends `hello` over the Unix socket and reads all that comes. */
static void converse(struct bench *bench, struct view hello, struct buf *got)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err;

	strcpy(address.sun_path, bench->serve_socket);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(file_write_fd(fd, hello, &err), 0);
	assert_int_equal(file_read_fd(fd, got, &err), 0);
	assert_true(view_starts(buf_view(got), VIEW("HTTP/1.1 101 ")));
}

static void a_terminal_carries_bytes_both_ways_and_ends_with_the_exit_code(void **state)
{
	static const char hello[] =
		"GET /api/v1/environments/shop/terminal?rows=24&cols=80&argv=%5B%22sh%22%5D HTTP/1.1\r\nHost: localhost\r\n"
		"Connection: Upgrade\r\nUpgrade: assay-terminal\r\n\r\n"
		"\1\4\0\0\0\30\0\120\0"
		"\0\3\0\0\0hi\n";
	AUTO_BUF got = buf_new(65536);

	converse(*state, view_make(hello, sizeof(hello) - 1), &got);
	assert_true(view_find(buf_view(&got), VIEW("heard hi")) > 0);
	assert_true(view_ends(buf_view(&got), view_make("\2\4\0\0\0\3\0\0\0", 9)));
}

/* RFC 6455 1.3 has the key and what is to be answered; the mask is nought. */
static void a_page_has_a_terminal_as_a_websocket(void **state)
{
	static const char hello[] = "GET /api/v1/environments/shop/terminal HTTP/1.1\r\nHost: localhost\r\n"
				    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
				    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				    "Sec-WebSocket-Protocol: assay-terminal, token.0000\r\n\r\n"
				    "\x81\x85\0\0\0\0"
				    "24 80"
				    "\x89\x81\0\0\0\0!"
				    "\x82\x83\0\0\0\0hi\n";
	AUTO_BUF got = buf_new(65536);

	converse(*state, view_make(hello, sizeof(hello) - 1), &got);
	assert_true(view_find(buf_view(&got), VIEW("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")) > 0);
	assert_true(view_find(buf_view(&got), VIEW("\r\nSec-WebSocket-Protocol: assay-terminal\r\n")) > 0);
	assert_true(view_find(buf_view(&got), VIEW("\x8a\1!")) > 0);
	assert_true(view_find(buf_view(&got), VIEW("heard hi")) > 0);
	assert_true(view_ends(buf_view(&got), VIEW("\x88\x08\x03\xe8"
						   "exit 3")));
}

/* GETs the path: what it asks runs/ for. */
static void ask_said(struct bench *bench, const char *path, const char *said)
{
	AUTO_ANSWER answer = ask(bench, UNIX, "GET", path, NULL, NULL);

	assert_int_equal(answer.status, 200);
	assert_string_equal(fake_said, said);
}

static void lists_come_in_pages(void **state)
{
	static const struct question rows[] = {
		{UNIX, "GET", "/api/v1/issues?limit=2", NULL, NULL, 200,
		 "{\"items\":[{\"number\":3},{\"number\":2}],\"next\":\"2\"}"},
		{UNIX, "GET", "/api/v1/issues?after=x", NULL, NULL, 400, "after=x: expected `next` of the page before"},
		{UNIX, "GET", "/api/v1/issues?limit=1001", NULL, NULL, 400, "limit=1001: expected a number up to 1000"},
		{UNIX, "GET", "/api/v1/issues?state=opne", NULL, NULL, 400, "state: there is no `opne`: did you mean `open`?"},
		{UNIX, "GET", "/api/v1/runs?state=open", NULL, NULL, 400, "state: there is no `open`"},
		{UNIX, "GET", "/api/v1/runs?states=1", NULL, NULL, 200, "\"states\":{\"review\":1}"},
		{UNIX, "GET", "/api/v1/issues?agent=codex", NULL, NULL, 400, "unknown parameter `agent`"},
		{UNIX, "GET", "/api/v1/issues?limit=0", NULL, NULL, 400, "limit=0: expected a number from 1"},
		{UNIX, "GET", "/api/v1/issues?limit=-1", NULL, NULL, 400, "limit=-1: expected a number"},
		{UNIX, "GET", "/api/v1/issues?limits=1", NULL, NULL, 400, "unknown parameter `limits`: did you mean `limit`?"},
		{UNIX, "GET", "/api/v1/status?verbose=1", NULL, NULL, 400, "unknown parameter `verbose`"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
	ask_said(*state, "/api/v1/issues?limit=5&after=7&state=active&repository=shop,api&text=50%25",
		 "list 7 5 open,working,review shop,api - 50%");
	ask_said(*state, "/api/v1/pulls?state=open,merged", "list 0 100 open,merged - - -");
}

static void a_delivery_needs_no_token_but_its_senders_signature(void **state)
{
	static const struct question rows[] = {
		{TCP, "POST", "/hooks/c1", "webhook-signature: v1,x", "not even JSON", 200, "{\"taken\":true}"},
		{TCP, "POST", "/hooks/c1", "", "{}", 401, "not signed"},
		{TCP, "POST", "/hooks/busy", "webhook-signature: v1,x", "{}", 503, "no room"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
}

static void who_watches_the_server_is_told(void **state)
{
	static const struct question rows[] = {
		{TCP, "GET", "/healthz", NULL, NULL, 200, "ok\n"},
		{TCP, "GET", "/readyz", NULL, NULL, 200, "store: ok\nvault: ok\nenvironments: ok\n"},
		{TCP, "GET", "/metrics", NULL, NULL, 200, "\n# TYPE assay_runs gauge\n"},
		{TCP, "GET", "/metrics", NULL, NULL, 200, "assay_environments{state=\"ready\"} 1\n"},
		{TCP, "GET", "/metrics", "Host: evil.example", NULL, 403, "the Host must be"},
		{TOOL, "GET", "/metrics", NULL, NULL, 404, "not_found"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
}

/* Every `$ref` below `json` names a part of `document`. */
static void refs_look(const json_t *document, json_t *json)
{
	const char *name;
	json_t *value;
	size_t i;

	json_array_foreach(json, i, value)
		refs_look(document, value);
	json_object_foreach(json, name, value) {
		refs_look(document, value);
		if (strcmp(name, "$ref") != 0)
			continue;
		const char *ref = strrchr(json_string_value(value), '/') + 1;
		const json_t *components = json_member(document, "components");

		if (!json_member(json_member(components, "schemas"), ref) &&
		    !json_member(json_member(components, "responses"), ref))
			fail_msg("the document has no %s", json_string_value(value));
	}
}

/* A second one of a name would take the place of the first in the document. */
static void shapes_have_names_of_their_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < shape_count; i++)
		for (size_t j = i + 1; j < shape_count; j++)
			if (strcmp(shapes[i].name, shapes[j].name) == 0)
				fail_msg("there are two shapes %s", shapes[i].name);
}

static void the_document_names_every_call_once_and_every_shape(void **state)
{
	AUTO_ANSWER answer = ask(*state, TCP, "GET", "/api/v1/openapi.json", NULL, NULL);
	AUTO_JSON document = json_parse(view_of(answer.text), NULL);
	AUTO_JSON seen = json_object();
	const char *path, *method;
	json_t *methods, *operation;

	assert_non_null(document);
	refs_look(document, document);
	json_object_foreach(json_member(document, "paths"), path, methods) {
		json_object_foreach(methods, method, operation) {
			const char *name = json_text(operation, "operationId", "");

			if (json_object_get(seen, name))
				fail_msg("%s %s: there is a second %s", method, path, name);
			(void)json_object_set_new(seen, name, json_true());
		}
	}
	assert_in_range(json_object_size(seen), 70, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_in_a_request_is_said_in_one_line),
		cmocka_unit_test(lists_come_in_pages),
		cmocka_unit_test(a_delivery_needs_no_token_but_its_senders_signature),
		cmocka_unit_test(who_watches_the_server_is_told),
		cmocka_unit_test(shapes_have_names_of_their_own),
		cmocka_unit_test(the_document_names_every_call_once_and_every_shape),
		cmocka_unit_test(calls_reach_what_they_name),
		cmocka_unit_test(files_of_an_issue_are_bytes_that_no_browser_shows),
		cmocka_unit_test(the_tools_see_only_the_environment_that_the_gateway_names),
		cmocka_unit_test(long_work_tells_its_steps_and_its_end),
		cmocka_unit_test(a_followed_run_goes_on_behind_the_last_event_that_the_browser_had),
		cmocka_unit_test(events_without_follow_are_a_list),
		cmocka_unit_test(pages_come_with_a_strict_policy_and_are_sent_once),
		cmocka_unit_test(what_a_page_names_is_kept_for_good_and_is_one_script),
		cmocka_unit_test(a_page_of_another_version_gets_this_ones_files_which_nobody_keeps),
		cmocka_unit_test(the_newest_exchanges_come_first_and_a_session_is_those_of_the_preview),
		cmocka_unit_test(a_command_comes_back_with_its_output_and_how_it_ended),
		cmocka_unit_test(a_terminal_carries_bytes_both_ways_and_ends_with_the_exit_code),
		cmocka_unit_test(a_page_has_a_terminal_as_a_websocket),
	};

	return cmocka_run_group_tests(tests, bench_open, bench_close);
}
