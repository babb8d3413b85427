/*
 * What is wrong with a request, and the answer it gets: one row each, with the status, the type of the problem (RFC 9457) and its text. The first table is requests
 * of HTTP; the second is bytes that are none.
 */
#include "web_bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/file.h"

#define BODY_LONG ((size_t)5 << 20)
#define VERIFY(declare) "{\"repository\":\"shop\",\"base\":\"a\",\"head\":\"b\",\"declare\":" declare "}"
#define ISSUE(members) "{\"repository\":\"shop\"," members "}"
#define DEEP4(text) text text text text
#define DEEP64(text) DEEP4(DEEP4(DEEP4(text)))
#define DEEP(text) DEEP4(DEEP4(DEEP64(text)))
#define NOBODY "\nAuthorization: Bearer assay_00"

struct refusal {
	enum road road;
	const char *method;
	const char *path;
	const char *headers;
	const char *body;
	unsigned status;
	const char *kind;
	const char *says; /* how `detail` begins */
};

static const struct refusal refusals[] = {
	/* paths and methods */
	{UNIX, "GET", "/api/v2/runs", NULL, NULL, 404, "not_found", "there is no call GET /api/v2/runs"},
	{UNIX, "GET", "/api/v1/", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/"},
	{UNIX, "GET", "/api/v1/runs/ra/nothing", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/runs/ra/nothing"},
	{UNIX, "GET", "/api/v1/runs/../../etc/passwd", NULL, NULL, 404, "not_found", "there is no call GET /api/etc/passwd"},
	{UNIX, "GET", "/api/v1/runs/%2e%2e%2f%2e%2e", NULL, NULL, 404, "not_found", "there is no run ../.."},
	{UNIX, "DELETE", "/api/v1/runs", NULL, NULL, 405, "invalid", "Method Not Allowed"},
	{UNIX, "PUT", "/api/v1/issues/1", NULL, "{}", 405, "invalid", "Method Not Allowed"},
	{UNIX, "PATCH", "/api/v1/runs/ra", NULL, "{}", 405, "invalid", "Method Not Allowed"},
	{UNIX, "GET", "/api/v1/runs/ra/stop", NULL, NULL, 405, "invalid", "Method Not Allowed"},
	{UNIX, "GET", "/api/v1/runs/rzzz", NULL, NULL, 404, "not_found", "there is no run rzzz"},
	{UNIX, "GET", "/api/v1/issues/2", NULL, NULL, 404, "not_found", "there is no such issue"},
	{UNIX, "GET", "/api/v1/issues/x", NULL, NULL, 400, "invalid", "`x` is no number"},
	{UNIX, "GET", "/api/v1/issues/0", NULL, NULL, 400, "invalid", "`0` is no number"},
	{UNIX, "GET", "/api/v1/issues/-1", NULL, NULL, 400, "invalid", "`-1` is no number"},
	{UNIX, "GET", "/api/v1/issues/99999999999", NULL, NULL, 400, "invalid", "`99999999999` is no number"},
	{UNIX, "GET", "/api/v1/pulls/1%00", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/pulls/1%00"},
	{UNIX, "GET", "/api/v1/pulls/%zz", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/pulls/%zz"},
	{UNIX, "GET", "/api/v1/environments/none", NULL, NULL, 404, "not_found", "there is no environment none"},
	{UNIX, "DELETE", "/api/v1/tokens/nobody", NULL, NULL, 404, "not_found", "there is no token `nobody`"},
	{UNIX, "GET", "/api/v1/repositories/none/file?path=a", NULL, NULL, 404, "not_found", "there is no repository none"},

	/* queries */
	{UNIX, "GET", "/api/v1/issues?limit=0", NULL, NULL, 400, "invalid", "limit=0: expected a number from 1"},
	{UNIX, "GET", "/api/v1/issues?limit=1001", NULL, NULL, 400, "invalid", "limit=1001: expected a number up to 1000"},
	{UNIX, "GET", "/api/v1/issues?limit=ten", NULL, NULL, 400, "invalid", "limit=ten: expected a number"},
	{UNIX, "GET", "/api/v1/issues?limit=1e3", NULL, NULL, 400, "invalid", "limit=1e3: expected a number"},
	{UNIX, "GET", "/api/v1/issues?limits=1", NULL, NULL, 400, "invalid", "unknown parameter `limits`: did you mean `limit`?"},
	{UNIX, "GET", "/api/v1/issues?after=ra", NULL, NULL, 400, "invalid", "after=ra: expected `next` of the page before"},
	{UNIX, "GET", "/api/v1/issues?state=opne", NULL, NULL, 400, "invalid", "state: there is no `opne`: did you mean `open`?"},
	{UNIX, "GET", "/api/v1/runs?state=review,,done", NULL, NULL, 400, "invalid", "state: there is no ``"},
	{UNIX, "GET", "/api/v1/runs/ra/events?after=-1", NULL, NULL, 400, "invalid", "after=-1: expected a number"},
	{UNIX, "GET", "/api/v1/status?verbose", NULL, NULL, 400, "invalid", "unknown parameter `verbose`"},
	{UNIX, "GET", "/api/v1/repositories/shop/file", NULL, NULL, 400, "invalid", "path= is missing"},

	/* bodies */
	{UNIX, "POST", "/api/v1/issues", NULL, "", 400, "invalid", "repository: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, "{", 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, "{} {}", 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, "[]", 400, "invalid", "the body must be a JSON object"},
	{UNIX, "POST", "/api/v1/issues", NULL, "null", 400, "invalid", "the body must be a JSON object"},
	{UNIX, "POST", "/api/v1/issues", NULL, "title=a", 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"\xff\""), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"\\ud800\""), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\",\"title\":\"b\""), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":1"), 400, "invalid", "title: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":null"), 400, "invalid", "title: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\" \""), 400, "invalid", "title: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\\nb\""), 400, "invalid", "title: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\\u0000b\""), 400, "invalid", "title: expected a line of text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\",\"body\":[]"), 400, "invalid", "body: expected a text"},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"titel\":\"a\""), 400, "invalid",
	 "unknown member `titel`: did you mean `title`?"},
	{UNIX, "POST", "/api/v1/issues/1/close", NULL, "{\"why\":1}", 400, "invalid",
	 "unknown member `why`: nothing is expected here"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":-1"), 400, "invalid", "issue: expected a number"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":1.5"), 400, "invalid", "issue: expected a number"},
	{UNIX, "POST", "/api/v1/runs", NULL, "{\"repository\":\"shop\"}", 400, "invalid",
	 "title: expected a line of text, or issue"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"title\":\"a\",\"agent\":\"claude\""), 400, "invalid",
	 "agent: expected an object"},
	{UNIX, "POST", "/api/v1/repositories", NULL, "{\"path\":\"here\"}", 400, "invalid", "path: expected an absolute path"},
	{UNIX, "POST", "/api/v1/repositories", NULL, "{\"path\":\"/x\",\"move\":1}", 400, "invalid",
	 "move: expected true or false"},
	{UNIX, "POST", "/api/v1/pulls/1/review", NULL, "{\"kind\":\"like\"}", 400, "invalid",
	 "kind: expected approve, changes or comment"},
	{UNIX, "POST", "/api/v1/pulls/1/review", NULL, "{\"kind\":\"comment\",\"text\":\" \"}", 400, "invalid", "text: say what"},
	{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"A B\",\"role\":\"admin\"}", 400, "invalid",
	 "name: expected lower-case"},
	{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"a\",\"role\":\"root\"}", 400, "invalid", "role: expected viewer"},
	{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"a\",\"role\":\"admin\",\"days\":4000}", 400, "invalid",
	 "days: expected a number"},

	{UNIX, "POST", "/api/v1/verify", NULL, VERIFY("[1]"), 400, "invalid", "`declare` is a list of texts"},
	{UNIX, "POST", "/api/v1/verify", NULL, VERIFY("[\"POST *\"]"), 400, "invalid", "`declare`: `POST *` declares too much"},
	{UNIX, "POST", "/api/v1/verify", NULL, VERIFY("[\"GET /a\\nGET /b\"]"), 400, "invalid",
	 "`declare`: what is declared is one line"},

	/* bodies that readers of JSON disagree about */
	{UNIX, "POST", "/api/v1/issues", NULL, DEEP("{\"a\":"), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, DEEP("["), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, "\xef\xbb\xbf{}", 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"\\udc00\\ud800\""), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\",\"titl\\u0065\":\"b\""), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\","), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, "{'title':'a'}", 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/issues", NULL, ISSUE("\"title\":\"a\",\"__proto__\":{}"), 400, "invalid",
	 "unknown member `__proto__`"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":NaN"), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":1e400"), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":99999999999999999999"), 400, "invalid", "the body: "},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":\"1\""), 400, "invalid", "issue: expected a number"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":1.0"), 400, "invalid", "issue: expected a number"},
	{UNIX, "POST", "/api/v1/runs", NULL, ISSUE("\"issue\":true"), 400, "invalid", "issue: expected a number"},

	/* what some servers take for another request than it is */
	{UNIX, "GET", "/api/v1/issues/1/close", "X-HTTP-Method-Override: POST", NULL, 405, "invalid", "Method Not Allowed"},
	{UNIX, "GET", "/api/v1/issues/1/close?_method=POST", NULL, NULL, 405, "invalid", "Method Not Allowed"},
	{UNIX, "POST", "/api/v1/issues/1?_method=DELETE", NULL, "{}", 405, "invalid", "Method Not Allowed"},
	{UNIX, "GET", "/api/v1/nothing", "X-Original-URL: /api/v1/runs", NULL, 404, "not_found",
	 "there is no call GET /api/v1/nothing"},
	{UNIX, "GET", "/api/v1/runs/ra%2fstop", NULL, NULL, 404, "not_found", "there is no run ra/stop"},
	{UNIX, "GET", "/api/v1/runs/ra;stop", NULL, NULL, 404, "not_found", "there is no run ra;stop"},
	{UNIX, "GET", "/api/v1/runs/%00", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/runs/%00"},
	{UNIX, "GET", "/api/v1/runs/ra%00", NULL, NULL, 404, "not_found", "there is no call GET /api/v1/runs/ra%00"},
	{UNIX, "GET", "/parts/..%2f..%2f..%2fetc%2fpasswd.js", NULL, NULL, 404, "not_found",
	 "/parts/..%2f..%2f..%2fetc%2fpasswd.js: there is no"},
	{UNIX, "GET", "/pictures/..%2f..%2fassay.db", NULL, NULL, 404, "not_found", "there is no such picture"},
	{TCP, "GET", "/api/v1/runs", "X-Forwarded-Host: 127.0.0.1\nHost: evil.example", NULL, 403, "denied",
	 "the Host must be 127.0.0.1:"},
	{TCP, "POST", "/api/v1/issues/1/close", "Content-Type: text/plain\nOrigin: http://evil.example\n" GOOD, "{}", 403, "denied",
	 "a page of http://evil.example may not"},

	/* queries and places in a stream */
	{UNIX, "GET", "/api/v1/issues?limit=1&limit=2", NULL, NULL, 400, "invalid", "limit= is there twice"},
	{UNIX, "GET", "/api/v1/issues?limit=%31%00", NULL, NULL, 400, "invalid", "limit=%31%00: this cannot be read"},
	{UNIX, "GET", "/api/v1/issues?text=%zz", NULL, NULL, 400, "invalid", "text=%zz: this cannot be read"},
	{UNIX, "GET", "/api/v1/issues?state=open&text=a&state=closed", NULL, NULL, 400, "invalid", "state= is there twice"},
	{UNIX, "GET", "/api/v1/issues?limit=99999999999999999999", NULL, NULL, 400, "invalid",
	 "limit=99999999999999999999: expected a number"},
	{UNIX, "GET", "/api/v1/issues?after=18446744073709551615", NULL, NULL, 400, "invalid",
	 "after=18446744073709551615: expected"},
	{UNIX, "GET", "/api/v1/runs/ra/events?follow=1&after=x", NULL, NULL, 400, "invalid", "after=x: expected a number"},
	{UNIX, "GET", "/api/v1/runs/ra/events?after=0", "Last-Event-ID: x", NULL, 400, "invalid", "Last-Event-ID: expected"},
	{UNIX, "GET", "/api/v1/runs/ra/events?follow=1", "Last-Event-ID: -1", NULL, 400, "invalid", "Last-Event-ID: expected"},
	{UNIX, "GET", "/api/v1/events?follow=1", "Last-Event-ID: 99999999999999999999", NULL, 400, "invalid",
	 "Last-Event-ID: expected"},

	/* whose request it is */
	{TCP, "GET", "/api/v1/runs", "Host: evil.example", NULL, 403, "denied", "the Host must be 127.0.0.1:"},
	{TCP, "GET", "/api/v1/runs", "Host: 127.0.0.1", NULL, 403, "denied", "the Host must be 127.0.0.1:"},
	{TCP, "GET", "/api/v1/runs", "Host: localhost.evil.example:$PORT", NULL, 403, "denied", "the Host must be 127.0.0.1:"},
	{TCP, "GET", "/api/v1/runs", "Origin: http://evil.example", NULL, 403, "denied", "a page of http://evil.example may not"},
	{TCP, "GET", "/api/v1/runs", "Origin: null", NULL, 403, "denied", "a page of null may not"},
	{TCP, "GET", "/api/v1/runs", "Sec-Fetch-Site: cross-site", NULL, 403, "denied", "a page of another origin may not"},
	{TCP, "POST", "/api/v1/issues/1/close", NULL, NULL, 403, "denied", "X-Assay-Token is missing or wrong"},
	{TCP, "POST", "/api/v1/issues/1/close", "X-Assay-Token: 00", NULL, 403, "denied", "X-Assay-Token is missing or wrong"},
	{TCP, "POST", "/api/v1/shutdown", GOOD, NULL, 403, "denied", "this is for the command line"},
	{TCP, "POST", "/api/v1/environments/shop/exec", GOOD, "{}", 403, "denied", "this is for the command line"},
	{TCP, "POST", "/api/v1/tokens", GOOD, "{\"name\":\"a\",\"role\":\"admin\"}", 403, "denied", "this is for the command line"},
	{TCP, "GET", "/session.json", NULL, NULL, 403, "denied", "only the pages of this server"},

	/* tokens */
	{TCP, "GET", "/api/v1/runs", "Authorization: Bearer assay_00", NULL, 401, "denied", "the token is none of this server's"},
	{TCP, "GET", "/api/v1/runs", "Authorization: Bearer", NULL, 401, "denied", "Authorization: expected `Bearer TOKEN`"},
	{TCP, "GET", "/api/v1/runs", "Authorization: Bearer a b", NULL, 401, "denied", "the token is none of this server's"},
	{TCP, "GET", "/api/v1/runs", "Authorization: Basic YTpi", NULL, 401, "denied", "Authorization: expected `Bearer TOKEN`"},
	{TCP, "GET", "/api/v1/runs", "Authorization: assay_00", NULL, 401, "denied", "Authorization: expected `Bearer TOKEN`"},
	{TCP, "POST", "/api/v1/issues/1/close", GOOD NOBODY, NULL, 401, "denied", "the token is none of this server's"},
	{TCP, "POST", "/api/v1/tokens", "X-Assay-Token: x" NOBODY, "{}", 401, "denied", "the token is none of this server's"},
	{TCP, "POST", "/signin", GOOD, "{\"token\":\"assay_00\"}", 401, "denied", "the token is none of this server's"},
	{TCP, "POST", "/signin", GOOD, "{}", 400, "invalid", "token: expected a line of text"},

	/* requests that are made once */
	{UNIX, "POST", "/api/v1/issues", "Idempotency-Key: a b", ISSUE("\"title\":\"a\""), 400, "invalid",
	 "Idempotency-Key: expected"},
	{UNIX, "POST", "/api/v1/environments", "Idempotency-Key: a", "{\"repository\":\"shop\"}", 400, "invalid",
	 "Idempotency-Key: what this answers cannot be given again"},
};

static int different;

/* All rows are looked at before a test fails. */
static void differ(const char *format, ...) PRINTF_LIKE(1, 2);
static void differ(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint_error(format, args);
	print_error("\n");
	va_end(args);
	different++;
}

/* Holds an answer against what its row says. */
static void answer_is(const char *what, unsigned status, const char *type, const char *text, const struct refusal *row)
{
	AUTO_FREE char *urn = text_format("urn:assay:problem:%s", row->kind);
	AUTO_JSON problem = json_parse(view_of(text), NULL);
	const char *detail = json_text(problem, "detail", "");

	if (status != row->status || !type || strcmp(type, "application/problem+json") != 0 ||
	    json_number(problem, "status", 0) != row->status || strcmp(json_text(problem, "type", ""), urn) != 0 ||
	    !view_starts(view_of(detail), view_of(row->says)) || strchr(detail, '\n') || !json_text(problem, "title", NULL))
		differ("%s: wanted %u %s \"%s\", got %u %s %s", what, row->status, urn, row->says, status, type ? type : "-", text);
}

static void what_is_wrong_with_a_request_is_its_answer(void **state)
{
	different = 0;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *row = &refusals[i];
		AUTO_FREE char *what = text_format("%s %s %s %s", row->method, row->path, row->headers ? row->headers : "",
						   row->body ? row->body : "");
		AUTO_ANSWER answer = ask(*state, row->road, row->method, row->path, row->headers, row->body);

		answer_is(what, answer.status, answer.type, answer.text, row);
	}
	assert_int_equal(different, 0);
}

#define HEAD(more) "Host: 127.0.0.1:$PORT\r\n" more "\r\n"

static const struct {
	const char *bytes;
	unsigned status;
	const char *kind;
	const char *says;
} strange[] = {
	{"GET\r\n\r\n", 400, "invalid", "a request line without a method"},
	{"GET /api/v1/runs\r\n\r\n", 400, "invalid", "a request target with blanks, control bytes or `#`"},
	{"GET /api/v1/runs HTTP/2.0\r\n" HEAD(""), 400, "invalid", "the version is not HTTP/1.1"},
	{"GET /api/v1/runs HTTP/1.1\r\n\r\n", 400, "invalid", "a request needs exactly one Host"},
	{"GET /api/v1/runs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid", "a request needs exactly one Host"},
	{"GET /api/v1/runs HTTP/1.1\r\nHost : a\r\n\r\n", 400, "invalid", "a header name with bytes that are not allowed in one"},
	{"GET /api/v1/runs HTTP/1.1\r\n" HEAD("X: a\r\n b\r\n"), 400, "invalid", "a header line without a colon"},
	{"GET /api/v1/runs HTTP/1.1\r\n" HEAD("X: \1\r\n"), 400, "invalid", "control bytes in the value of X"},
	{"GE T /api/v1/runs HTTP/1.1\r\n" HEAD(""), 400, "invalid", "the version is not HTTP/1.1"},
	{"G\xc3\xa9T /api/v1/runs HTTP/1.1\r\n" HEAD(""), 400, "invalid", "a request line without a method"},
	{"GET api/v1/runs HTTP/1.1\r\n" HEAD(""), 400, "invalid", "a request target that does not start with `/`"},
	{"GET /api/v1/ru ns HTTP/1.1\r\n" HEAD(""), 400, "invalid", "the version is not HTTP/1.1"},
	{"GET /api/v1/ru\tns HTTP/1.1\r\n" HEAD(""), 400, "invalid", "a request target with blanks, control bytes or `#`"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Content-Length: x\r\n"), 400, "invalid", "a Content-Length that is no number"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Content-Length: -1\r\n"), 400, "invalid", "a Content-Length that is no number"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Content-Length: 1\r\nContent-Length: 2\r\n"), 400, "invalid",
	 "more than one Content-Length"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "invalid",
	 "both Content-Length and Transfer-Encoding"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Transfer-Encoding: gzip, chunked\r\n"), 400, "invalid",
	 "a Transfer-Encoding other than `chunked`"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("X-Assay-Token: $TOKEN\r\nTransfer-Encoding: chunked\r\n") "zz\r\n", 400,
	 "invalid", "a chunk size that is no number"},
	{"POST /api/v1/issues HTTP/1.1\r\n" HEAD("Content-Length: 99999999\r\n"), 413, "invalid", "the body is too large"},
};

/* Sends the bytes as they are and reads to the end. */
static void bytes_ask(struct bench *bench, const char *bytes, struct buf *answer)
{
	const char *port = strrchr(web_base(bench->web), ':') + 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_BUF sent = buf_new((size_t)1 << 20);
	struct err err = {0};

	for (const char *at = bytes; *at; at++) {
		bool is_port = strncmp(at, "$PORT", 5) == 0;
		bool is_token = strncmp(at, "$TOKEN", 6) == 0;

		if (is_port || is_token)
			buf_add_text(&sent, is_port ? port : bench->token);
		else
			buf_add_char(&sent, *at);
		at += is_port ? 4 : is_token ? 5 : 0;
	}
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(file_write_fd(fd, buf_view(&sent), &err), 0);
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(file_read_fd(fd, answer, &err), 0);
}

static void bytes_hold(struct bench *bench, const char *what, const char *bytes, const struct refusal *row)
{
	AUTO_BUF answer = buf_new((size_t)1 << 20);
	const char *body;
	unsigned status = 0;

	bytes_ask(bench, bytes, &answer);
	body = answer.length ? strstr(answer.at, "\r\n\r\n") : NULL;
	if (!body || sscanf(answer.at, "HTTP/1.1 %u", &status) != 1)
		differ("%s: %s", what, answer.length ? answer.at : "no answer");
	else
		answer_is(what, status, strstr(answer.at, "application/problem+json") ? "application/problem+json" : NULL, body + 4,
			  row);
}

static void bytes_that_are_no_request_are_answered_and_the_connection_ends(void **state)
{
	different = 0;
	for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
		const struct refusal row = {.status = strange[i].status, .kind = strange[i].kind, .says = strange[i].says};

		bytes_hold(*state, strange[i].bytes, strange[i].bytes, &row);
	}
	assert_int_equal(different, 0);
}

static void what_is_too_long_is_refused_before_it_is_kept(void **state)
{
	static const struct refusal body_row = {.status = 413, .kind = "invalid", .says = "the body is too large"};
	static const struct refusal line_row = {.status = 400, .kind = "invalid", .says = "title: expected a line of text"};
	static const struct refusal head_row = {.status = 431, .kind = "invalid", .says = "the head is longer than 65536 bytes"};
	AUTO_FREE char *text = mem_new(BODY_LONG + 1);
	AUTO_FREE char *title = NULL;
	AUTO_FREE char *bytes = NULL;

	different = 0;
	memset(text, 'a', BODY_LONG);
	AUTO_ANSWER body = ask(*state, UNIX, "POST", "/api/v1/issues", NULL, text);
	answer_is("5 MiB", body.status, body.type, body.text, &body_row);
	title = text_format("{\"repository\":\"shop\",\"title\":\"%.600s\"}", text);
	AUTO_ANSWER line = ask(*state, UNIX, "POST", "/api/v1/issues", NULL, title);
	answer_is("a title of 600", line.status, line.type, line.text, &line_row);
	bytes = text_format("GET /api/v1/status HTTP/1.1\r\nHost: a\r\nX-Long: %.100000s\r\n\r\n", text);
	bytes_hold(*state, "a header of 100,000", bytes, &head_row);
	assert_int_equal(different, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_with_a_request_is_its_answer),
		cmocka_unit_test(bytes_that_are_no_request_are_answered_and_the_connection_ends),
		cmocka_unit_test(what_is_too_long_is_refused_before_it_is_kept),
	};

	return cmocka_run_group_tests(tests, bench_open, bench_close);
}
