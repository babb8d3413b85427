/* assay-env against a server that says what it is told to: what it asks, what it prints, how it ends. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "programs/assay_env_http.h"

/* ---- the server: one answer a connection, in order ---- */

struct server {
	int fd;
	uint16_t port;
	const char *const *answers;
	struct buf asked; /* all requests */
	pthread_t thread;
};

static void *server_main(void *self)
{
	struct server *server = self;

	for (const char *const *answer = server->answers; *answer; answer++) {
		AUTO_CLOSE int fd = accept(server->fd, NULL, NULL);
		char chunk[4096];
		ssize_t got = fd >= 0 ? read(fd, chunk, sizeof(chunk)) : -1;

		if (got <= 0)
			return NULL;
		buf_add(&server->asked, chunk, (size_t)got);
		/* In two pieces, so that whoever reads must put them together. */
		for (size_t half = strlen(*answer) / 2, i = 0; i < 2; i++) {
			if (file_write_fd(fd, i ? view_of(*answer + half) : view_make(*answer, half), NULL))
				return NULL;
			(void)usleep(2000);
		}
	}
	return NULL;
}

static void server_start(struct server *server, const char *const *answers)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*server = (struct server){
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .answers = answers, .asked = buf_new(1 << 20)};
	assert_int_equal(bind(server->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->fd, 4), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &length), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

/* What it was asked is whole after this. */
static void server_end(struct server *server)
{
	(void)shutdown(server->fd, SHUT_RDWR);
	(void)pthread_join(server->thread, NULL);
	(void)close(server->fd);
	buf_add_text(&server->asked, "");
}

#define OK_JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

static const struct {
	const char *const argv[8];
	const char *const answers[3];
	int code;
	const char *asked;  /* is in the requests */
	const char *output; /* is in what it prints, on either stream */
} rows[] = {
	{{"help"}, {NULL}, 0, NULL, "assay-env works on this environment"},
	{{"dance"}, {NULL}, 2, NULL, "no `dance`: see `assay-env help`"},
	{{"sql", "db"}, {NULL}, 2, NULL, "usage: assay-env sql DATABASE STATEMENT"},
	{{"http", "GET"}, {NULL}, 2, NULL, "usage: assay-env http"},
	{{"http", "GET", "ftp://x/"}, {NULL}, 1, NULL, "only http:// is spoken here"},
	{{"http", "GET", "http://x:99999/"}, {NULL}, 1, NULL, "has no good port"},
	{{"status"},
	 {OK_JSON
	  "Content-Length: 77\r\n\r\n{\"id\": \"e1\", \"state\": \"ready\", \"sandboxes\": [{\"name\": \"web\", \"port\": 8000}]}  "},
	 0,
	 "GET /tool/v1/environment HTTP/1.1\r\n",
	 "http://web:8000"},
	{{"sql", "db", "SELECT 'a\"b'"},
	 {OK_JSON "\r\n{\"output\": \"a\\n1\\n\"}"},
	 0,
	 "{\"database\":\"db\",\"statement\":\"SELECT 'a\\\"b'\"}",
	 "a\n1\n"},
	{{"redis", "cache", "SET", "k", "two words"},
	 {OK_JSON "\r\n{\"output\": \"OK\"}"},
	 0,
	 "\"statement\":\"SET k \\\"two words\\\"\"",
	 "OK\n"},
	{{"logs", "-n", "5", "web"},
	 {CHUNKED "3\r\none\r\n4;x=y\r\n two\r\n0\r\n\r\n"},
	 0,
	 "GET /tool/v1/logs?lines=5&sandbox=web ",
	 "one two"},
	{{"logs"}, {CHUNKED "3\r\none\r\nzz\r\n"}, 1, NULL, "framing is wrong"},
	{{"logs"}, {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}, 1, NULL, "cut off"},
	{{"logs"}, {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc"}, 1, NULL, "length is wrong"},
	{{"logs"}, {"220 smtp\r\n\r\n"}, 1, NULL, "no HTTP"},
	{{"logs"}, {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"}, 0, NULL, "hi"},
	{{"deploy", "web"},
	 {STREAM
	  "event: progress\ndata: {\"step\": \"start web\", \"ms\": 12}\n\nevent: done\ndata: {\"preview\": \"http://p/\"}\n\n"},
	 0,
	 "{\"service\":\"web\"}",
	 "deployed; preview http://p/"},
	{{"deploy"}, {STREAM "event: error\ndata: {\"detail\": \"web did not get ready\"}\n\n"}, 1, NULL, "web did not get ready"},
	{{"deploy"}, {STREAM "event: progress\ndata: {\"step\": \"x\"}\n\n"}, 1, NULL, "cut off"},
	{{"deploy"},
	 {"HTTP/1.1 409 Conflict\r\n\r\n{\"kind\": \"conflict\", \"detail\": \"one deploy at a time\"}"},
	 1,
	 NULL,
	 "assay-env deploy: one deploy at a time"},
	{{"verify"},
	 {STREAM
	  "event: done\ndata: {\"verdict\": \"failed\", \"reason\": \"replay\", \"findings\": [{\"id\": \"f-1\", \"severity\": \"block\","
	  " \"title\": \"the price is wrong\", \"expected\": {\"a\": 1}, \"reproduce\": \"assay-env http GET http://web/\"}]}\n\n"},
	 1,
	 "POST /tool/v1/verify ",
	 "try        assay-env http GET http://web/"},
	{{"verify"}, {STREAM "event: done\ndata: {\"verdict\": \"verified\", \"reason\": \"all\"}\n\n"}, 0, NULL, "verified: all"},
	{{"done", "I did it"}, {OK_JSON "\r\n{}"}, 0, "{\"summary\":\"I did it\"}", "noted"},
	{{"test", "unit"},
	 {OK_JSON "\r\n{\"items\": [{\"name\": \"unit\", \"run\": \"exit 3\", \"dir\": \".\"}]}"},
	 1,
	 NULL,
	 "unit: FAILED"},
	{{"test", "unit"},
	 {OK_JSON "\r\n{\"items\": [{\"name\": \"unit\", \"run\": \"true\", \"dir\": \".\"}]}"},
	 0,
	 NULL,
	 "unit: passed"},
	{{"logs", "--json"}, {OK_JSON "\r\nhi\n"}, 0, NULL, "{\"ok\":true,\"output\":\"hi\\n\"}"},
	{{"deploy", "--json"},
	 {STREAM "event: done\ndata: {\"preview\": \"http://p/\"}\n\n"},
	 0,
	 NULL,
	 "{\"ok\":true,\"preview\":\"http://p/\"}"},
	{{"sql", "db", "SELEC", "--json"},
	 {"HTTP/1.1 400 Bad Request\r\n\r\n{\"detail\": \"a syntax error\"}"},
	 1,
	 NULL,
	 "{\"ok\":false,\"output\":\"\",\"error\":\"a syntax error\"}"},
	{{"sql", "--help"}, {NULL}, 0, NULL, "usage: assay-env sql DATABASE STATEMENT\none statement"},
	{{"logs", "-n", "many"}, {NULL}, 2, NULL, "usage: assay-env logs [-n LINES] [SANDBOX]"},
	{{"fault", "wobble"}, {NULL}, 2, NULL, "`kind` cannot be `wobble`"},
	{{"fault", "hang"}, {NULL}, 1, NULL, "fault hang needs the seam"},
	{{"fault", "503", "front->catalog", "--times", "2"},
	 {OK_JSON "\r\n{\"items\": [{\"to\": \"catalog\", \"from\": \"front\", \"kind\": \"503\", \"left\": 2, \"met\": 0}]}"},
	 0,
	 "{\"kind\":\"503\",\"seam\":\"front->catalog\",\"times\":2}",
	 "front -> catalog  503, 2 more times"},
	{{"trace", "-n", "1", "front->db"},
	 {OK_JSON "\r\n{\"items\": [{\"from\": \"front\", \"to\": \"db\", \"dt_us\": 2100, \"request\": {\"command\": \"Query\","
		  " \"statement\": \"SELECT 1\"}}]}"},
	 0,
	 "GET /tool/v1/exchanges?limit=1&seam=front-%3Edb ",
	 "    asked     SELECT 1"},
	{{"snapshot", "reset"},
	 {STREAM "event: done\ndata: {\"ok\": true}\n\n"},
	 0,
	 "POST /tool/v1/reset-data ",
	 "as the snapshot has them"},
	{{"up"},
	 {OK_JSON "\r\n{\"id\": \"e1\", \"sandboxes\": [{\"name\": \"web\", \"kind\": \"service\", \"state\": \"exited\"}]}",
	  STREAM "event: done\ndata: {\"id\": \"e1\"}\n\n"},
	 0,
	 "{\"service\":\"web\"}",
	 "1 started"},
	{{"ask", "Which one?", "--wait", "5"},
	 {OK_JSON "\r\n{\"id\": 7, \"state\": \"open\"}",
	  OK_JSON "\r\n{\"id\": 7, \"state\": \"answered\", \"by\": \"Ada\", \"answer\": \"both\"}"},
	 0,
	 "{\"question\":\"Which one?\",\"wait_s\":5}",
	 "Ada answers: both"},
	{{"ask", "Which one?"}, {OK_JSON "\r\n{\"id\": 7, \"state\": \"expired\"}"}, 1, NULL, "Nobody answered in time"},
	{{"verify"},
	 {STREAM "event: done\ndata: {\"verdict\": \"failed\", \"reason\": \"tests\", \"feedback\": \"1. greeting fails\"}\n\n"},
	 1,
	 NULL,
	 "1. greeting fails"},
	{{"test", "e2e"}, {OK_JSON "\r\n{\"items\": []}"}, 1, NULL, "no suite `e2e`"},
};

static const char *program; /* the static binary */

static void each_verb_asks_and_prints_what_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct server server;
		AUTO_BUF out = buf_new(1 << 20);
		AUTO_BUF errors = buf_new(1 << 20);
		AUTO_FREE char *url = NULL;
		const char *argv[10] = {program};
		const char *env[] = {NULL, "PATH=/usr/bin:/bin", "ASSAY_WORKSPACE=/tmp", NULL};
		int code = -1;

		for (size_t k = 0; k < 8 && rows[i].argv[k]; k++)
			argv[k + 1] = rows[i].argv[k];
		server_start(&server, rows[i].answers);
		url = text_format("ASSAY_TOOL_URL=http://127.0.0.1:%u", (unsigned)server.port);
		env[0] = url;
		assert_int_equal(process_run(&(struct process_spec){.argv = argv, .env = env, .output = &out, .errors = &errors},
					     &code, NULL),
				 0);
		server_end(&server);
		buf_add_view(&out, buf_view(&errors));
		buf_add_text(&out, "");
		if (code != rows[i].code || !strstr(out.at, rows[i].output))
			fail_msg("%s: ended with %d: %s", rows[i].argv[0], code, out.at);
		if (rows[i].asked && !strstr(server.asked.at, rows[i].asked))
			fail_msg("%s: asked %s", rows[i].argv[0], server.asked.at);
		buf_fini(&server.asked);
	}
}

static void a_url_is_host_port_and_target(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
		int port;
		const char *target;
	} urls[] = {
		{"http://web/a?b#c", "web", 0, "/a?b#c"},
		{"web:80", "web", 80, ""},
		{"HTTP://Web:8080", "Web", 8080, ""},
		{"web?x", "web", 0, "?x"},
		{"", NULL, 0, NULL},
		{"http://:80/", NULL, 0, NULL},
		{"http://web:0/", NULL, 0, NULL},
		{"https://web/", NULL, 0, NULL},
		{"web:1x/", NULL, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct env_url url;
		int status = env_url_parse(urls[i].text, &url, NULL);

		assert_int_equal(status, urls[i].host ? 0 : -1);
		if (!urls[i].host)
			continue;
		assert_string_equal(url.host, urls[i].host);
		assert_int_equal(url.port, urls[i].port);
		assert_string_equal(url.target, urls[i].target);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_is_host_port_and_target),
		cmocka_unit_test(each_verb_asks_and_prints_what_it_should),
	};

	program = argc > 1 ? argv[1] : "assay-env";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
