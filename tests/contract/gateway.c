/* The gateway, from outside: seams, names, the way out, stubs, the tool API, the preview. Needs root, ip and nft; else skipped aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "gateway_fixture.h"
#include "http/exchange.h"
#include "net/door.h"
#include "net/socket.h"

static struct world_fixture *world;

#define ROUTES                                                                                                                                              \
	"{\"names\": {\"api\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8080},"                                                              \
	" \"db\": {\"sandbox\": \"db\", \"kind\": \"database\", \"protocol\": \"postgres\", \"port\": 5432},"                                               \
	" \"cache\": {\"sandbox\": \"cache\", \"kind\": \"database\", \"protocol\": \"redis\", \"port\": 6379},"                                            \
	" \"down\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8099}},"                                                                        \
	" \"preview\": {\"service\": \"api\", \"port\": 8080},"                                                                                             \
	" \"egress\": [{\"host\": \"allowed.example\", \"action\": \"allow\"}, {\"host\": \"*.wild.example\", \"action\": \"allow\"},"                      \
	"  {\"host\": \"no.wild.example\", \"action\": \"deny\"}, {\"host\": \"localhost.example\", \"action\": \"allow\"}],"                               \
	" \"stubs\": {\"bank.example\": [{\"request\": {\"method\": \"POST\", \"path\": \"/v1/pay\"}, \"response\": {\"status\": 201,"                      \
	"  \"headers\": {\"X-Bank\": \"yes\"}, \"body\": {\"ok\": true}}}, {\"request\": {\"path\": \"/v1/list*\"}, \"response\": {\"body\": \"text\"}}]}," \
	" \"tools\": [\"front\"]}"

static void ready_copy(const char *id, struct copy *copy)
{
	copy_make(world, id, "ready", ROUTES, copy);
	copy_callee(copy, "api");
	copy_caller(copy, "front");
}

static const char *text(const json_t *line, const char *part, const char *key)
{
	const char *found = json_text(part[0] ? json_member(line, part) : line, key, "");

	return found;
}

/* Address of a name, with its port. Owned by the caller. */
static char *address_of(const char *name, int port)
{
	char address[32];
	int code;

	ask_name(name, 1, false, address, &code);
	assert_int_equal(code, 0);
	return text_format("%s:%d", address, port);
}

static void a_call_passes_and_is_recorded(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *heard = NULL;
	AUTO_JSON log = NULL;
	const json_t *line;
	int fd;

	(void)state;
	ready_copy("seam", &copy);
	address = address_of("api", 8080);
	fd = dial_to(address);
	say(fd, "POST /orders HTTP/1.1\r\nHost: api:8080\r\nX-Tenant: t1\r\nContent-Length: 3\r\n\r\nabc");
	heard = hear(fd, "/orders 3 abc");
	assert_non_null(strstr(heard, "HTTP/1.1 200 OK\r\n"));
	(void)close(fd);
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 1);
	line = json_array_get(log, 0);
	assert_string_equal(text(line, "", "from"), "front");
	assert_string_equal(text(line, "", "to"), "api");
	assert_string_equal(text(line, "", "proto"), "http");
	assert_string_equal(text(line, "request", "method"), "POST");
	assert_string_equal(text(line, "request", "url"), "/orders");
	assert_string_equal(text(line, "request", "body"), "abc");
	assert_string_equal(text(line, "response", "body"), "/orders 3 abc");
	assert_int_equal(json_number(json_member(line, "response"), "status", 0), 200);
	copy_drop(&copy);
}

static void one_connection_carries_many_requests_even_pipelined(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *heard = NULL;
	AUTO_JSON log = NULL;
	unsigned before;
	int fd;

	(void)state;
	ready_copy("pipe", &copy);
	address = address_of("api", 8080);
	before = service_connections;
	fd = dial_to(address);
	say(fd,
	    "GET /1 HTTP/1.1\r\nHost: api\r\n\r\nPOST /2 HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	    "GET /chunked HTTP/1.1\r\nHost: api\r\n\r\nHEAD /4 HTTP/1.1\r\nHost: api\r\n\r\nGET /5 HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
	heard = hear(fd, NULL);
	assert_non_null(strstr(heard, "/1 0"));
	assert_non_null(strstr(heard, "/2 4 body"));
	assert_non_null(strstr(heard, "7\r\n, world\r\n0\r\nX-Trailer: yes\r\n\r\n"));
	assert_non_null(strstr(heard, "/5 0"));
	(void)close(fd);
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 5);
	assert_string_equal(text(json_array_get(log, 2), "response", "body"), "hello, world");
	assert_int_equal(service_connections - before, 1);
	copy_drop(&copy);
}

static void what_two_parsers_could_read_differently_never_gets_through(void **state)
{
	static const char *const rows[] = {
		"GET /evil HTTP/1.1\nHost: api\n\n",
		"POST /evil HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /evil HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"GET /evil HTTP/1.1\r\nHost: api\r\nHost: other\r\n\r\n",
		"GET /evil HTTP/1.1\r\nHost: api\r\nX: a\r\n b\r\n\r\n",
	};
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_JSON log = NULL;

	(void)state;
	ready_copy("strict", &copy);
	address = address_of("api", 8080);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *heard = NULL;
		int fd = dial_to(address);

		say(fd, rows[i]);
		heard = hear(fd, NULL);
		assert_int_equal(strncmp(heard, "HTTP/1.1 400 ", 13), 0);
		assert_null(strstr(heard, "/evil 0"));
		(void)close(fd);
	}
	{
		AUTO_FREE char *heard = NULL;
		int fd = dial_to(address);

		say(fd, "GET /smuggle HTTP/1.1\r\nHost: api\r\n\r\n");
		heard = hear(fd, NULL);
		assert_int_equal(strncmp(heard, "HTTP/1.1 502 ", 13), 0);
		(void)close(fd);
	}
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), ARRAY_LEN(rows) + 1);
	assert_non_null(strstr(text(json_array_get(log, 1), "", "error"), "both Content-Length and Transfer-Encoding"));
	copy_drop(&copy);
}

static void ends_of_responses_are_told_as_they_were(void **state)
{
	static const struct {
		const char *path;
		const char *body;
		const char *error; /* NULL: none */
	} rows[] = {
		{"/close", "until the end", NULL},
		{"/cut", "only this", "the server ended before the response did"},
		{"/drop", NULL, "the server ended before the response did"},
	};
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_JSON log = NULL;

	(void)state;
	ready_copy("ends", &copy);
	address = address_of("api", 8080);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *heard = NULL;
		AUTO_FREE char *request = text_format("GET %s HTTP/1.1\r\nHost: api\r\n\r\n", rows[i].path);
		int fd = dial_to(address);

		say(fd, request);
		heard = hear(fd, NULL);
		if (rows[i].body)
			assert_non_null(strstr(heard, rows[i].body));
		else
			assert_string_equal(heard, "");
		(void)close(fd);
	}
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(text(json_array_get(log, i), "", "error"), rows[i].error ? rows[i].error : "");
		assert_string_equal(text(json_array_get(log, i), "response", "body"), rows[i].body ? rows[i].body : "");
	}
	copy_drop(&copy);
}

static void a_refused_call_is_a_reset_and_a_row_with_its_request(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *heard = NULL;
	AUTO_JSON log = NULL;
	int fd;

	(void)state;
	ready_copy("refused", &copy);
	address = address_of("down", 8099);
	fd = dial_to(address);
	say(fd, "GET /x HTTP/1.1\r\nHost: down\r\n\r\n");
	heard = hear(fd, NULL);
	assert_string_equal(heard, "");
	(void)close(fd);
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 1);
	assert_string_equal(text(json_array_get(log, 0), "", "error"), "connection refused");
	assert_string_equal(text(json_array_get(log, 0), "request", "url"), "/x");
	copy_drop(&copy);
}

/* Of who has left meanwhile, the request is not made later, behind its back. */
static void a_call_that_hung_goes_on_for_who_waits(void **state)
{
	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		struct copy copy;
		AUTO_FREE char *address = NULL;
		AUTO_FREE char *name = text_format("hung-%d", waits);
		AUTO_FREE char *hang = text_format("{\"env\": \"%s\", \"kind\": \"hang\", \"seam\": \"front->api\", \"times\": 1}",
						   name);
		AUTO_FREE char *list = text_format("{\"env\": \"%s\", \"kind\": \"list\"}", name);
		AUTO_FREE char *clear = text_format("{\"env\": \"%s\", \"kind\": \"clear\"}", name);
		AUTO_FREE char *heard = NULL;
		AUTO_JSON log = NULL;
		bool met = false;
		int fd;

		ready_copy(name, &copy);
		json_decref(control(world, MESSAGE_FAULT, hang));
		address = address_of("api", 8080);
		fd = dial_to(address);
		say(fd, "POST /orders HTTP/1.1\r\nHost: api:8080\r\nContent-Length: 3\r\n\r\nabc");
		for (int turn = 0; turn < 2000 && !met; turn++) {
			AUTO_JSON answer = control(world, MESSAGE_FAULT, list);

			met = json_number(json_array_get(json_member(answer, "items"), 0), "met", 0) > 0;
			usleep(met ? 0 : 5000);
		}
		assert_true(met);
		if (!waits)
			(void)close(fd);
		json_decref(control(world, MESSAGE_FAULT, clear));
		if (waits) {
			heard = hear(fd, "/orders 3 abc");
			assert_non_null(strstr(heard, "HTTP/1.1 200 OK\r\n"));
			(void)close(fd);
		}
		log = copy_log(&copy);
		assert_int_equal(json_array_size(log), 1);
		assert_string_equal(text(json_array_get(log, 0), "", "error"), waits ? "" : "fault: hang");
		assert_int_equal(json_number(json_member(json_array_get(log, 0), "response"), "status", 0), waits ? 200 : 0);
		copy_drop(&copy);
	}
}

static void names_resolve_by_policy_only(void **state)
{
	static const struct {
		const char *name;
		unsigned type;
		int code;
		bool address;
	} rows[] = {
		{"api", 1, 0, true},
		{"DB", 1, 0, true},
		{"api.assay.internal", 1, 0, true},
		{"api", 28, 0, false},
		{"api", 16, 0, false},
		{"assay.internal", 1, 0, true},
		{"bank.example", 1, 0, true},
		{"allowed.example", 1, 0, true},
		{"a.b.wild.example", 1, 0, true},
		{"wild.example", 1, 3, false},
		{"no.wild.example", 1, 3, false},
		{"evil.example", 1, 3, false},
		{"evil.example", 28, 3, false},
		{"1.2.3.4", 1, 3, false},
		{"notapi", 1, 3, false},
	};
	static const char *const denied[] = {"wild.example", "no.wild.example", "evil.example", "notapi"};
	struct copy copy;
	AUTO_JSON log = NULL;
	char first[32], second[32];
	int code;

	(void)state;
	ready_copy("names", &copy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char address[32];

		for (int tcp = 0; tcp < 2; tcp++) {
			ask_name(rows[i].name, rows[i].type, tcp, address, &code);
			assert_int_equal(code, rows[i].code);
			assert_int_equal(address[0] != '\0', rows[i].address);
			if (rows[i].address)
				assert_true(strncmp(address, "198.18.", 7) == 0 || strncmp(address, "198.19.", 7) == 0);
		}
	}
	ask_name("api", 1, false, first, &code);
	ask_name("Api.Assay.Internal", 1, false, second, &code);
	assert_string_equal(first, second);
	assert_true(world_denied(world, "evil.example:0 no rule allows it"));
	assert_true(world_denied(world, "no.wild.example:0 a rule denies it"));
	log = copy_log(&copy);
	for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
		size_t times = 0;

		for (size_t k = 0; k < json_array_size(log); k++)
			if (strcmp(text(json_array_get(log, k), "", "to"), denied[i]) == 0) {
				assert_string_equal(text(json_array_get(log, k), "request", "command"), "resolve");
				assert_string_equal(text(json_array_get(log, k), "", "proto"), "dns");
				times++;
			}
		assert_int_equal(times, 1); /* however often it was asked for */
	}
	assert_int_equal(json_array_size(log), ARRAY_LEN(denied));
	copy_drop(&copy);
}

static void the_tool_api_is_for_the_listed_sandboxes_and_says_who_calls(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *heard = NULL;
	AUTO_JSON log = NULL;
	char none[32];
	int code;
	int fd;

	(void)state;
	ready_copy("tools", &copy);
	address = address_of("assay.internal", 80);
	fd = dial_to(address);
	say(fd,
	    "GET /headers HTTP/1.1\r\nHost: assay.internal\r\nX-Assay-Env: other\r\nX-Assay-Sandbox: root\r\nConnection: close\r\n\r\n");
	heard = hear(fd, NULL);
	assert_non_null(strstr(heard, "X-Assay-Env: tools\n"));
	assert_non_null(strstr(heard, "X-Assay-Sandbox: front\n"));
	assert_null(strstr(heard, "other"));
	assert_null(strstr(heard, "root"));
	(void)close(fd);
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 0);
	copy_drop(&copy);

	copy_make(world, "tools2", "ready", ROUTES, &copy);
	copy_caller(&copy, "stranger");
	ask_name("assay.internal", 1, false, none, &code);
	assert_int_equal(code, 3);
	fd = dial_to("198.18.0.1:80");
	say(fd, "GET / HTTP/1.1\r\nHost: assay.internal\r\n\r\n");
	free(TAKE(heard));
	heard = hear(fd, NULL);
	assert_int_equal(strncmp(heard, "HTTP/1.1 403 ", 13), 0);
	(void)close(fd);
	copy_drop(&copy);
}

static void a_stub_answers_for_its_host(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *tls_address = NULL;
	AUTO_FREE char *heard = NULL;
	AUTO_FREE char *nothing = NULL;
	AUTO_JSON log = NULL;
	int fd;

	(void)state;
	ready_copy("stub", &copy);
	address = address_of("bank.example", 80);
	fd = dial_to(address);
	say(fd,
	    "POST /v1/pay HTTP/1.1\r\nHost: bank.example\r\nContent-Length: 2\r\n\r\n{}"
	    "GET /v1/list/3?x HTTP/1.1\r\nHost: bank.example\r\n\r\nGET /other HTTP/1.1\r\nHost: bank.example\r\nConnection: close\r\n\r\n");
	heard = hear(fd, NULL);
	assert_non_null(strstr(heard, "HTTP/1.1 201 Created\r\n"));
	assert_non_null(strstr(heard, "X-Bank: yes\r\n"));
	assert_non_null(strstr(heard, "{\"ok\":true}"));
	assert_non_null(strstr(heard, "text"));
	assert_non_null(strstr(heard, "HTTP/1.1 501 "));
	(void)close(fd);
	tls_address = address_of("bank.example", 443);
	fd = dial_to(tls_address);
	(void)send(fd, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10, MSG_NOSIGNAL);
	nothing = hear(fd, NULL);
	assert_string_equal(nothing, "");
	(void)close(fd);
	assert_true(world_denied(world, "bank.example:443 what came is no TLS ClientHello"));
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 4);
	assert_string_equal(text(json_array_get(log, 0), "", "to"), "bank.example");
	assert_string_equal(text(json_array_get(log, 0), "request", "url"), "http://bank.example/v1/pay");
	assert_string_equal(text(json_array_get(log, 0), "request", "body"), "{}");
	assert_string_equal(text(json_array_get(log, 2), "", "error"), "no row of the stub fits");
	copy_drop(&copy);
}

/* A ClientHello with that server name, as short as can be. */
static size_t hello_make(const char *name, char *at)
{
	size_t length = strlen(name);
	size_t body = 2 + 32 + 1 + 2 + 2 + 1 + 1 + 2 + 4 + 2 + 3 + length;
	char *start = at;
	const char head[] = {0x16, 3, 1, (char)((body + 4) >> 8), (char)(body + 4), 1, 0, (char)(body >> 8), (char)body, 3, 3};

	memcpy(at, head, sizeof(head));
	at += sizeof(head);
	memset(at, 7, 32);
	at += 32;
	memcpy(at, "\0\0\2\x13\x01\1\0", 7);
	at += 7;
	*at++ = (char)((length + 9) >> 8);
	*at++ = (char)(length + 9);
	memcpy(at, "\0\0", 2);
	at += 2;
	*at++ = (char)((length + 5) >> 8);
	*at++ = (char)(length + 5);
	*at++ = (char)((length + 3) >> 8);
	*at++ = (char)(length + 3);
	*at++ = 0;
	*at++ = (char)(length >> 8);
	*at++ = (char)length;
	memcpy(at, name, length);
	return (size_t)(at + length - start);
}

static void the_outside_is_closed_but_for_what_the_rules_name(void **state)
{
	static const struct {
		const char *to; /* a name, or an address */
		int port;
		const char *http; /* sent as it is; NULL: a ClientHello for `hello` */
		const char *hello;
		const char *heard; /* the beginning of what comes back; "" a reset or an end */
		const char *denied;
	} rows[] = {
		{"203.0.113.9", 443, NULL, "allowed.example", "\x15\x03\x03", "203.0.113.9:443 it was asked for by number"},
		{"203.0.113.9", 80, "GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n", NULL, "HTTP/1.1 403 ",
		 "203.0.113.9:80 it was asked"},
		{"198.18.9.9", 80, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL, "HTTP/1.1 403 ", "198.18.9.9:80 it was asked"},
		{"allowed.example", 8443, NULL, "allowed.example", "\x15\x03\x03",
		 "allowed.example:8443 it is allowed on other ports only"},
		{"allowed.example", 443, NULL, "evil.example", "\x15\x03\x03", "allowed.example:443 TLS for another server name"},
		{"allowed.example", 443, "SSH-2.0-x\r\n", NULL, "", "allowed.example:443 neither HTTP nor TLS"},
		{"allowed.example", 80, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", NULL, "HTTP/1.1 421 ",
		 "allowed.example:80 the request names"},
		{"allowed.example", 80, "GET http://evil.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n", NULL, "HTTP/1.1 421 ",
		 "allowed"},
		{"allowed.example", 80, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", NULL,
		 "HTTP/1.1 405 ", "allowed"},
		/* Nobody knows the name in this namespace: an honest 502. */
		{"allowed.example", 80, "GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n", NULL, "HTTP/1.1 502 ", "allowed"},
	};
	struct copy copy;
	AUTO_JSON log = NULL;

	(void)state;
	ready_copy("outside", &copy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *address = rows[i].to[0] < 'a' ? text_format("%s:%d", rows[i].to, rows[i].port)
							      : address_of(rows[i].to, rows[i].port);
		AUTO_FREE char *heard = NULL;
		int fd = dial_to(address);

		if (rows[i].http) {
			say(fd, rows[i].http);
		} else {
			char hello[512];

			(void)send(fd, hello, hello_make(rows[i].hello, hello), MSG_NOSIGNAL);
		}
		heard = hear(fd, NULL);
		if (strncmp(heard, rows[i].heard, strlen(rows[i].heard)) != 0 || (!rows[i].heard[0] && heard[0]))
			fail_msg("row %zu: heard `%s`", i, heard);
		if (!world_denied(world, rows[i].denied))
			fail_msg("row %zu: not told", i);
		(void)close(fd);
	}
	log = copy_log(&copy);
	assert_non_null(strstr(text(json_array_get(log, json_array_size(log) - 1), "", "error"), "its name is not known outside"));
	copy_drop(&copy);
}

static void call(const char *method, const char *host, const char *path, struct view body, struct http_response *response)
{
	AUTO_FREE char *url = text_format("http://%s%s", host, path);
	AUTO_FREE char *there = text_format("127.0.0.1:%d", PREVIEW_PORT);
	struct http_header headers[] = {{"X-Assay-Replay", "7"}, {"X-Forwarded-For", "6.6.6.6"}, {"Accept", "text/html"}};
	struct http_call spec = {.method = method,
				 .url = url,
				 .connect_to = there,
				 .headers = headers,
				 .header_count = ARRAY_LEN(headers),
				 .body = body,
				 .timeout_ms = 20000,
				 .body_bytes_max = (size_t)200 << 20};
	struct err err = {0};

	if (http_client_call(&spec, response, &err))
		fail_msg("%s %s%s: %s", method, host, path, err.text);
}

static void the_preview_shows_the_service_by_host_and_by_path(void **state)
{
	struct copy copy;
	AUTO_RESPONSE by_host;
	AUTO_RESPONSE by_path;
	AUTO_RESPONSE moved;
	AUTO_JSON log = NULL;

	(void)state;
	ready_copy("show", &copy);
	call("GET", "show.localhost:7421", "/headers", (struct view){"", 0}, &by_host);
	assert_int_equal(by_host.status, 200);
	assert_non_null(strstr(by_host.body.at, "GET /headers\n"));
	assert_non_null(strstr(by_host.body.at, "Host: show.localhost:7421\n"));
	assert_non_null(strstr(by_host.body.at, "X-Forwarded-For: 127.0.0.1\n"));
	assert_null(strstr(by_host.body.at, "6.6.6.6"));
	assert_null(strcasestr(by_host.body.at, "x-assay"));
	assert_null(strstr(by_host.body.at, "X-Forwarded-Prefix"));
	call("GET", "127.0.0.1:7421", "/env/show/headers?a=1", (struct view){"", 0}, &by_path);
	assert_non_null(strstr(by_path.body.at, "GET /headers?a=1\n"));
	assert_non_null(strstr(by_path.body.at, "X-Forwarded-Prefix: /env/show\n"));
	call("GET", "127.0.0.1:7421", "/env/show/redirect", (struct view){"", 0}, &moved);
	assert_string_equal(http_response_header(&moved, "location"), "/env/show/login?x=1");
	assert_string_equal(http_response_header(&moved, "set-cookie"), "sid=1; Path=/env/show/; HttpOnly");
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 3);
	assert_string_equal(text(json_array_get(log, 0), "", "from"), "preview");
	assert_string_equal(text(json_array_get(log, 0), "", "to"), "api");
	assert_string_equal(text(json_array_get(log, 0), "", "replay"), "7");
	assert_string_equal(text(json_array_get(log, 1), "request", "url"), "http://127.0.0.1:7421/headers?a=1");
	assert_true(world->touches > 0);
	copy_drop(&copy);
}

static void the_preview_keeps_connections_and_mends_a_dead_one(void **state)
{
	struct copy copy;
	AUTO_FREE char *heard = NULL;
	unsigned before;
	int fd;

	(void)state;
	ready_copy("keep", &copy);
	before = service_connections;
	fd = dial_to("127.0.0.1:7421");
	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *piece = NULL;

		say(fd, "GET /k HTTP/1.1\r\nHost: keep.localhost\r\n\r\n");
		piece = hear(fd, "/k 0 ");
		assert_non_null(strstr(piece, "200 OK"));
	}
	assert_int_equal(service_connections - before, 1);
	say(fd, "GET /once HTTP/1.1\r\nHost: keep.localhost\r\n\r\n");
	free(hear(fd, "once"));
	say(fd, "GET /after HTTP/1.1\r\nHost: keep.localhost\r\nConnection: close\r\n\r\n");
	heard = hear(fd, NULL);
	assert_non_null(strstr(heard, "/after 0"));
	(void)close(fd);
	copy_drop(&copy);
}

static void websockets_and_events_pass_unbuffered(void **state)
{
	struct copy copy;
	AUTO_FREE char *switched = NULL;
	AUTO_FREE char *echo = NULL;
	AUTO_FREE char *events = NULL;
	AUTO_JSON log = NULL;
	int fd;

	(void)state;
	ready_copy("live", &copy);
	fd = dial_to("127.0.0.1:7421");
	say(fd,
	    "GET /env/live/ws HTTP/1.1\r\nHost: localhost:7421\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\nearly");
	switched = hear(fd, "early");
	assert_non_null(strstr(switched, "HTTP/1.1 101 "));
	assert_non_null(strcasestr(switched, "connection: upgrade"));
	say(fd, "ping");
	echo = hear(fd, "ping");
	(void)close(fd);
	fd = dial_to("127.0.0.1:7421");
	say(fd, "GET /sse HTTP/1.1\r\nHost: live.localhost\r\n\r\n");
	events = hear(fd, "data: 0\n\n");
	assert_null(strstr(events, "data: 2"));
	free(hear(fd, "data: 2\n\n"));
	log = copy_log(&copy); /* the stream is still open, and the environment is quiet all the same */
	assert_int_equal(json_array_size(log), 1);
	assert_int_equal(json_number(json_member(json_array_get(log, 0), "response"), "status", 0), 101);
	(void)close(fd);
	copy_drop(&copy);
}

#define STREAM_BYTES ((size_t)48 << 20)

static unsigned char stream_byte(size_t at)
{
	return (unsigned char)(at * 31 + (at >> 11));
}

static void *stream_main(void *self)
{
	int fd = (int)(intptr_t)self;
	unsigned char bytes[40000];

	for (size_t at = 0; at < STREAM_BYTES;) {
		size_t length = STREAM_BYTES - at < sizeof(bytes) ? STREAM_BYTES - at : sizeof(bytes);
		ssize_t sent;

		for (size_t i = 0; i < length; i++)
			bytes[i] = stream_byte(at + i);
		sent = send(fd, bytes, length, MSG_NOSIGNAL);
		if (sent <= 0)
			break;
		at += (size_t)sent;
	}
	(void)shutdown(fd, SHUT_WR);
	return NULL;
}

/* Both directions at once, with a reader that rests now and then: copied, kept, and spliced bytes stay in order. */
static void bytes_after_an_upgrade_pass_whole_and_in_order(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	pthread_t writer;
	unsigned char bytes[65536];
	size_t at = 0;
	ssize_t got;
	int fd;

	(void)state;
	ready_copy("stream", &copy);
	address = address_of("api", 8080);
	fd = dial_to(address);
	say(fd, "GET /ws HTTP/1.1\r\nHost: api\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	free(hear(fd, "\r\n\r\n"));
	assert_int_equal(pthread_create(&writer, NULL, stream_main, (void *)(intptr_t)fd), 0);
	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		for (ssize_t i = 0; i < got; i++, at++)
			if (bytes[i] != stream_byte(at))
				fail_msg("byte %zu is wrong", at);
		if (at % 7 == 0)
			usleep(2000);
	}
	assert_int_equal(at, STREAM_BYTES);
	(void)pthread_join(writer, NULL);
	(void)close(fd);
	copy_drop(&copy);
}

static long resident_kib(pid_t pid)
{
	AUTO_FREE char *path = text_format("/proc/%d/status", (int)pid);
	const char *line;
	FILE *file = fopen(path, "r");
	char bytes[4096];
	size_t got = fread(bytes, 1, sizeof(bytes) - 1, file);

	(void)fclose(file);
	bytes[got] = '\0';
	line = strstr(bytes, "VmRSS:");
	return line ? strtol(line + 6, NULL, 10) : 0;
}

static void bodies_of_100_mb_pass_in_flat_memory(void **state)
{
	size_t bytes = (size_t)100 << 20;
	AUTO_FREE char *body = mem_new(bytes);
	AUTO_RESPONSE up;
	AUTO_RESPONSE down;
	AUTO_JSON log = NULL;
	struct copy copy;
	long before;

	(void)state;
	ready_copy("large", &copy);
	memset(body, 'u', bytes);
	before = resident_kib(world->gateway);
	assert_true(before > 0);
	call("POST", "large.localhost:7421", "/upload", view_make(body, bytes), &up);
	assert_non_null(strstr(up.body.at, "/upload 104857600 "));
	call("GET", "large.localhost:7421", "/big/104857600", (struct view){"", 0}, &down);
	assert_int_equal(down.body.length, bytes);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory for a while */
	assert_true(resident_kib(world->gateway) - before < 16384);
#endif
	log = copy_log(&copy);
	assert_int_equal(json_number(json_member(json_array_get(log, 0), "request"), "body_bytes", 0), 104857600);
	assert_true(json_flag(json_member(json_array_get(log, 0), "request"), "cut", false));
	assert_int_equal(strlen(text(json_array_get(log, 1), "response", "body")), EXCHANGE_BODY_KEPT_MAX);
	copy_drop(&copy);
}

static void an_environment_that_shows_nothing_yet_says_so(void **state)
{
	static const struct {
		const char *host;
		const char *path;
		unsigned status;
		const char *title;
	} rows[] = {
		{"soon.localhost", "/", 503, "Starting"},
		{"localhost", "/env/soon/x", 503, "Starting"},
		{"nobody.localhost", "/", 404, "No such environment"},
		{"localhost", "/", 404, "No such environment"},
		{"evil.example", "/env/soon/", 421, "Not here"},
	};
	struct copy copy;
	AUTO_RESPONSE failed;
	AUTO_RESPONSE gone;
	AUTO_JSON log = NULL;

	(void)state;
	copy_make(world, "soon", "starting", ROUTES, &copy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_RESPONSE response;

		call("GET", rows[i].host, rows[i].path, (struct view){"", 0}, &response);
		assert_int_equal(response.status, rows[i].status);
		assert_non_null(strstr(response.body.at, rows[i].title));
		assert_int_equal(http_response_header(&response, "retry-after") != NULL, rows[i].status == 503);
		assert_int_equal(strstr(response.body.at, "http-equiv=\"refresh\"") != NULL, rows[i].status == 503);
	}
	copy_state(&copy, "failed");
	call("GET", "soon.localhost", "/", (struct view){"", 0}, &failed);
	assert_int_equal(failed.status, 503);
	assert_non_null(strstr(failed.body.at, "It did not start"));
	log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 0);
	copy_drop(&copy);
	call("GET", "soon.localhost", "/", (struct view){"", 0}, &gone);
	assert_int_equal(gone.status, 404);
	assert_non_null(strstr(gone.body.at, "has been removed"));
}

static void a_frozen_environment_is_thawed_by_its_first_request(void **state)
{
	struct copy copy;
	AUTO_RESPONSE response;
	AUTO_RESPONSE posted;
	unsigned before = world->thaws;

	(void)state;
	ready_copy("cold", &copy);
	copy_state(&copy, "frozen");
	call("POST", "cold.localhost", "/warm", VIEW("body"), &posted);
	assert_non_null(strstr(posted.body.at, "/warm 4 body"));
	assert_int_equal(world->thaws - before, 1);
	call("GET", "cold.localhost", "/again", (struct view){"", 0}, &response);
	assert_int_equal(response.status, 200);
	assert_int_equal(world->thaws - before, 1);
	copy_drop(&copy);
}

static void one_that_cannot_be_thawed_says_so_in_time(void **state)
{
	struct copy copy;
	AUTO_RESPONSE response;

	(void)state;
	copy_make(world, "stuck", "frozen", ROUTES, &copy);
	call("GET", "stuck.localhost", "/", (struct view){"", 0}, &response);
	assert_int_equal(response.status, 503);
	assert_non_null(strstr(response.body.at, "Waking up"));
	assert_true(response.duration_us > 9000000 && response.duration_us < 13000000);
	copy_drop(&copy);
}

static void an_acknowledgement_that_is_lost_ends_the_connection_at_the_broker(void **state)
{
	static const char delivery[] = "MSG jobs 1 $JS.ACK.S.C.1.1.1.1.1 2\r\nhi\r\n";
	struct copy copy;
	AUTO_FREE char *address = NULL;
	struct err err;
	int listener, client, server;

	(void)state;
	assert_int_equal(socket_listen_tcp("127.0.0.1:4222", &listener, &err), 0);
	(void)fcntl(listener, F_SETFL, 0);
	copy_make(world, "broker", "ready",
		  "{\"names\": {\"mq\": {\"sandbox\": \"mq\", \"kind\": \"database\", \"protocol\": \"nats\", \"port\": 4222}}}",
		  &copy);
	copy_callee(&copy, "mq");
	copy_caller(&copy, "front");
	address = address_of("mq", 4222);
	client = dial_to(address);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	say(server, "INFO {}\r\n");
	free(hear(client, "INFO {}\r\n"));
	say(client, "CONNECT {}\r\nSUB jobs 1\r\n");
	free(hear(server, "SUB jobs 1\r\n"));
	json_decref(control(world, MESSAGE_FAULT, "{\"env\": \"broker\", \"kind\": \"lost\", \"seam\": \"mq\", \"times\": 1}"));
	say(server, delivery);
	free(hear(client, "hi\r\n"));
	say(client, "PUB done 2\r\nok\r\n"); /* no acknowledgement */
	free(hear(server, "ok\r\n"));
	say(client, "PUB $JS.ACK.S.C.1.1.1.1.1 4\r\n+ACK\r\n");
	{
		AUTO_FREE char *rest = hear(server, NULL);

		assert_string_equal(rest, "");
	}
	(void)close(client);
	(void)close(server);
	client = dial_to(address); /* the next time it arrives */
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	say(server, "INFO {}\r\n");
	free(hear(client, "INFO {}\r\n"));
	say(client, "PUB $JS.ACK.S.C.2.1.1.1.1 4\r\n+ACK\r\n");
	free(hear(server, "+ACK\r\n"));
	(void)close(client);
	(void)close(server);
	(void)close(listener);
	copy_drop(&copy);
}

/* Redis tells of an acknowledgement only when it has answered it. */
static void an_acknowledgement_of_a_stream_is_lost_before_redis_has_it(void **state)
{
	static const char acknowledges[] = "*4\r\n$4\r\nXACK\r\n$4\r\njobs\r\n$1\r\ng\r\n$3\r\n1-1\r\n";
	static const char reads[] = "XREADGROUP GROUP g c STREAMS jobs >\r\n";
	struct copy copy;
	AUTO_FREE char *address = NULL;
	struct err err;
	int listener, client, server;

	(void)state;
	assert_int_equal(socket_listen_tcp("127.0.0.1:6379", &listener, &err), 0);
	(void)fcntl(listener, F_SETFL, 0);
	copy_make(
		world, "stream", "ready",
		"{\"names\": {\"cache\": {\"sandbox\": \"cache\", \"kind\": \"database\", \"protocol\": \"redis\", \"port\": 6379}}}",
		&copy);
	copy_callee(&copy, "cache");
	copy_caller(&copy, "front");
	address = address_of("cache", 6379);
	json_decref(control(world, MESSAGE_FAULT, "{\"env\": \"stream\", \"kind\": \"lost\", \"seam\": \"cache\", \"times\": 1}"));
	client = dial_to(address);
	say(client, reads); /* no acknowledgement */
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	free(hear(server, reads));
	say(server, "*-1\r\n");
	free(hear(client, "*-1\r\n"));
	say(client, acknowledges);
	{
		AUTO_FREE char *rest = hear(server, NULL);

		assert_string_equal(rest, "");
	}
	(void)close(client);
	(void)close(server);
	client = dial_to(address); /* the next time it arrives */
	say(client, acknowledges);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	free(hear(server, acknowledges));
	(void)close(client);
	(void)close(server);
	(void)close(listener);
	copy_drop(&copy);
}

static void kill_resets_what_is_open(void **state)
{
	struct copy copy;
	AUTO_FREE char *address = NULL;
	AUTO_FREE char *rest = NULL;
	int fd;

	(void)state;
	ready_copy("kill", &copy);
	address = address_of("api", 8080);
	fd = dial_to(address);
	say(fd, "GET /sse HTTP/1.1\r\nHost: api\r\n\r\n");
	free(hear(fd, "data: 2"));
	json_decref(control(world, MESSAGE_KILL, "{\"env\": \"kill\"}"));
	rest = hear(fd, NULL);
	assert_int_equal(recv(fd, rest, 1, 0) > 0, 0);
	(void)close(fd);
	copy_drop(&copy);
}

static bool program_run(const char *const *argv, const char *input, struct buf *output)
{
	struct process_spec spec = {.argv = argv, .input = view_of(input), .output = output, .timeout_ms = 30000};
	struct err err;

	if (process_run(&spec, NULL, &err) == 0)
		return true;
	(void)printf("# %s\n", err.text);
	return false;
}

/* Is there a row with that command, statement, completion and error? NULL: whatever. */
static bool row_is(const json_t *log, const char *command, const char *statement, const char *complete, const char *error)
{
	json_t *line;
	size_t index;

	json_array_foreach(log, index, line)
		if (strcmp(text(line, "request", "command"), command) == 0 &&
		    (!statement || strcmp(text(line, "request", "statement"), statement) == 0) &&
		    (!complete || strcmp(text(line, "response", "complete"), complete) == 0) &&
		    (!error || strstr(text(line, "", "error"), error)))
			return true;
	return false;
}

static void a_real_redis_is_read_along(void **state)
{
	static const char *const server[] = {"redis-server", "--port", "6379",  "--bind", "127.0.0.1", "--save",    "",
					     "--daemonize",  "yes",    "--dir", "/tmp",   "--logfile", "/dev/null", NULL};
	AUTO_BUF out = buf_new(65536);
	AUTO_JSON log = NULL;
	char address[32];
	struct copy copy;
	int code;

	(void)state;
	if (!program_run(server, "", NULL)) {
		(void)printf("SKIPPED: no redis-server here\n");
		skip();
	}
	ready_copy("redis", &copy);
	copy_callee(&copy, "cache");
	ask_name("cache", 1, false, address, &code);
	{
		const char *const client[] = {"redis-cli", "-h", address, NULL};

		assert_true(program_run(client,
					"SET a 1\nXADD s * k v\nXGROUP CREATE s g 0\nXREADGROUP GROUP g c BLOCK 100 STREAMS s >\n"
					"LPUSH a x\nMULTI\nINCR a\nEXEC\nSHUTDOWN NOSAVE\n",
					&out));
	}
	log = copy_log(&copy);
	assert_true(row_is(log, "SET", "SET a 1", "status", NULL));
	assert_true(row_is(log, "XREADGROUP", NULL, "array", NULL));
	assert_true(row_is(log, "LPUSH", "LPUSH a x", NULL, "WRONGTYPE"));
	assert_true(row_is(log, "EXEC", "EXEC", "array", NULL));
	copy_drop(&copy);
}

#define POSTGRES_BIN "/usr/lib/postgresql/15/bin"
#define POSTGRES_MAKE                                                                                                        \
	"set -e; rm -rf /tmp/assay-contract-pg; mkdir -m 700 /tmp/assay-contract-pg; chown postgres /tmp/assay-contract-pg;" \
	" cd /tmp; runuser -u postgres -- " POSTGRES_BIN "/initdb -A trust -N -D /tmp/assay-contract-pg/d >/dev/null;"       \
	" runuser -u postgres -- " POSTGRES_BIN "/pg_ctl -w -D /tmp/assay-contract-pg/d -l /dev/null"                        \
	" -o '-c listen_addresses=127.0.0.1 -c fsync=off -k /tmp/assay-contract-pg' start >/dev/null"
#define POSTGRES_END                                                                                                        \
	"cd /tmp; runuser -u postgres -- " POSTGRES_BIN "/pg_ctl -m immediate -D /tmp/assay-contract-pg/d stop >/dev/null;" \
	" rm -rf /tmp/assay-contract-pg"

static void a_real_postgres_is_read_along(void **state)
{
	static const char *const make[] = {"sh", "-c", POSTGRES_MAKE, NULL};
	static const char *const end[] = {"sh", "-c", POSTGRES_END, NULL};
	AUTO_BUF out = buf_new(65536);
	AUTO_JSON log = NULL;
	char address[32];
	struct copy copy;
	int code;

	(void)state;
	if (!file_exists(POSTGRES_BIN "/initdb") || !program_run(make, "", NULL)) {
		(void)printf("SKIPPED: no PostgreSQL 15 here\n");
		skip();
	}
	ready_copy("pg", &copy);
	copy_callee(&copy, "db");
	ask_name("db", 1, false, address, &code);
	{
		const char *const client[] = {"psql", "-X", "-h", address, "-U", "postgres", "-At", NULL};
		const char *const bench[] = {"pgbench", "-h", address, "-U", "postgres", "-i", "-q", "postgres", NULL};
		const char *const run[] = {"pgbench", "-h", address, "-U", "postgres", "-M", "extended",
					   "-c",      "4",  "-t",    "20", "postgres", NULL};

		assert_true(
			program_run(client,
				    "CREATE TABLE t (a int, b text);\nINSERT INTO t SELECT g, 'x' FROM generate_series(1, 3) g;\n"
				    "SELECT count(*) FROM t;\nSELECT * FROM missing;\nCOPY t FROM stdin;\n9\tx\n\\.\n",
				    &out) ||
			out.length);
		assert_non_null(strstr(out.at, "3\n"));
		assert_true(program_run(bench, "", NULL));
		assert_true(program_run(run, "", NULL));
	}
	log = copy_log(&copy);
	(void)program_run(end, "", NULL);
	assert_true(row_is(log, "query", "SELECT count(*) FROM t;", "SELECT 1", NULL));
	assert_true(row_is(log, "query", "SELECT * FROM missing;", NULL, "42P01 relation"));
	assert_true(row_is(log, "query", "COPY t FROM stdin;", "COPY 1", NULL));
	assert_true(row_is(log, "execute", "END;", "COMMIT", NULL));
	assert_true(json_array_size(log) > 4 * 20 * 7);
	copy_drop(&copy);
}

/* The address of a name as a sandbox with such a door is told; "" and the code when there is none. Owned by the caller. */
static char *flow_name(struct by_flow *door, const char *name, int *code)
{
	unsigned char bytes[600] = {0};
	size_t length = question_make(name, 1, bytes + 2);
	int fd = by_flow_open(door, DOOR_FLOW_DNS, "127.0.0.1", 53, false);
	ssize_t got;

	bytes[0] = (unsigned char)(length >> 8);
	bytes[1] = (unsigned char)length;
	assert_int_equal(send(fd, bytes, length + 2, MSG_NOSIGNAL), length + 2);
	assert_int_equal(recv(fd, bytes, 2, MSG_WAITALL), 2);
	length = (size_t)bytes[0] << 8 | bytes[1];
	assert_in_range(length, 13, 512);
	assert_int_equal(recv(fd, bytes + 2, length, MSG_WAITALL), length);
	(void)close(fd);
	got = (ssize_t)length + 2;
	*code = bytes[5] & 15;
	return bytes[9] ? text_format("%u.%u.%u.%u", bytes[got - 4], bytes[got - 3], bytes[got - 2], bytes[got - 1])
			: text_copy("");
}

/* What is heard on a connection of such a sandbox. Owned by the caller. */
static char *flow_heard(struct by_flow *door, const char *address, uint32_t port, const char *said, const char *until)
{
	int fd = by_flow_open(door, DOOR_FLOW_CONNECT, address, port, false);
	char *heard;

	say(fd, said);
	heard = hear(fd, until);
	(void)close(fd);
	return heard;
}

static const json_t *row_to(const json_t *log, const char *name)
{
	size_t index;
	json_t *line;

	json_array_foreach(log, index, line)
		if (strcmp(text(line, "", "to"), name) == 0)
			return line;
	fail_msg("nothing went to %s", name);
	return NULL;
}

/* The stub of bank.example by the explicit proxy. */
static void flow_stub(struct by_flow *door)
{
	int fd = by_flow_open(door, DOOR_FLOW_CONNECT, "127.18.0.2", 3128, false);
	AUTO_FREE char *connected = NULL, *heard = NULL;

	say(fd, "CONNECT bank.example:80 HTTP/1.1\r\nHost: bank.example:80\r\n\r\n");
	connected = hear(fd, "\r\n\r\n");
	assert_non_null(strstr(connected, "HTTP/1.1 200 "));
	say(fd, "GET /v1/list HTTP/1.1\r\nHost: bank.example\r\nConnection: close\r\n\r\n");
	heard = hear(fd, NULL);
	assert_non_null(strstr(heard, "HTTP/1.1 200 "));
	(void)close(fd);
}

static void a_door_by_flow_is_as_good_as_one_of_sockets(void **state)
{
	struct copy copy;
	struct by_flow *front;
	AUTO_FREE char *api = NULL, *down = NULL, *unknown = NULL, *listens = NULL, *listen = NULL;
	AUTO_FREE char *seam = NULL, *refused = NULL, *denied = NULL, *number = NULL, *tool = NULL, *told = NULL;
	AUTO_RESPONSE shown;
	AUTO_JSON log = NULL;
	int code;

	(void)state;
	copy_make(world, "byflow", "ready", ROUTES, &copy);
	(void)copy_by_flow(&copy, "api");
	front = copy_by_flow(&copy, "front");
	api = flow_name(front, "api", &code);
	assert_int_equal(code, 0);
	assert_int_equal(strncmp(api, "127.18.", 7), 0);
	unknown = flow_name(front, "evil.example", &code);
	assert_int_equal(code, 3);
	assert_string_equal(unknown, "");
	listens = by_flow_listens(front, 0);
	listen = text_format("%s 8080\n", api);
	assert_non_null(strstr(listens, listen));
	assert_non_null(strstr(listens, "127.18.0.1 80\n"));
	assert_non_null(strstr(listens, "127.18.0.1 4318\n"));
	assert_non_null(strstr(listens, "127.18.0.2 3128\n"));

	seam = flow_heard(front, api, 8080, "POST /orders HTTP/1.1\r\nHost: api:8080\r\nContent-Length: 3\r\n\r\nabc",
			  "/orders 3 abc");
	assert_non_null(strstr(seam, "HTTP/1.1 200 OK\r\n"));
	down = flow_name(front, "down", &code);
	refused = flow_heard(front, down, 8099, "GET /x HTTP/1.1\r\nHost: down\r\n\r\n", NULL);
	assert_string_equal(refused, "");
	denied = flow_heard(front, "127.18.0.2", 3128, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", NULL);
	assert_non_null(strstr(denied, "HTTP/1.1 403 "));
	assert_non_null(strstr(denied, "default-deny"));
	flow_stub(front);
	number = flow_heard(front, "127.9.9.9", 80, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	assert_non_null(strstr(number, "HTTP/1.1 403 "));
	assert_true(world_denied(world, "127.9.9.9:80 it was asked for by number"));
	tool = flow_heard(front, "127.18.0.1", 80, "GET /tool HTTP/1.1\r\nHost: assay.internal\r\nConnection: close\r\n\r\n", NULL);
	assert_non_null(strstr(tool, "HTTP/1.1 200 "));
	told = flow_heard(front, "127.18.0.1", 4318, "GET /v1/traces HTTP/1.1\r\nHost: telemetry.assay.internal\r\n\r\n", NULL);
	assert_non_null(strstr(told, "HTTP/1.1 405 "));
	call("GET", "127.0.0.1:7421", "/env/byflow/shown", (struct view){"", 0}, &shown);
	assert_int_equal(shown.status, 200);
	log = copy_log(&copy);
	assert_string_equal(text(row_to(log, "api"), "", "from"), "front");
	assert_string_equal(text(row_to(log, "api"), "response", "body"), "/orders 3 abc");
	assert_string_equal(text(row_to(log, "down"), "", "error"), "connection refused");
	copy_drop(&copy);
}

/* Its own port is its programs': a listener there would take it from them. What is added later is told. */
static void where_a_door_by_flow_listens_follows_the_names(void **state)
{
	static const char more[] =
		"{\"env\": \"places\", \"state\": \"ready\", \"names\": {\"api\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8080},"
		" \"web\": {\"sandbox\": \"web\", \"kind\": \"service\", \"port\": 8080},"
		" \"late\": {\"sandbox\": \"late\", \"kind\": \"service\", \"port\": 7001}}, \"preview\": null, \"egress\": [], \"stubs\": {}, \"tools\": []}";
	struct copy copy;
	struct by_flow *api;
	AUTO_FREE char *first = NULL, *second = NULL;

	(void)state;
	copy_make(world, "places", "ready", ROUTES, &copy);
	api = copy_by_flow(&copy, "api");
	first = by_flow_listens(api, 0);
	assert_non_null(strstr(first, " 5432\n"));
	assert_null(strstr(first, " 8080\n"));
	assert_null(strstr(first, " 8099\n"));
	assert_null(strstr(first, " 80\n"));
	json_decref(control(world, MESSAGE_ENV_PUT, more));
	second = by_flow_listens(api, 1);
	assert_non_null(strstr(second, " 7001\n"));
	assert_null(strstr(second, " 5432\n"));
	assert_null(strstr(second, " 8080\n"));
	copy_drop(&copy);
}

static void what_a_door_by_flow_should_not_say_is_thrown_away(void **state)
{
	static const struct {
		uint32_t kind, port;
		bool bare;
	} rows[] = {{DOOR_FLOW_CONNECT, 0, false}, {DOOR_FLOW_CONNECT, 65536, false}, {0, 80, false}, {9, 80, false},
		    {DOOR_FLOW_CONNECT, 80, true}, {DOOR_FLOW_DNS, 53, true}};
	struct copy copy;
	struct by_flow *front;

	(void)state;
	copy_make(world, "badflow", "ready", ROUTES, &copy);
	front = copy_by_flow(&copy, "front");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = by_flow_open(front, rows[i].kind, "127.18.0.2", rows[i].port, rows[i].bare);
		AUTO_FREE char *heard = hear(fd, NULL);

		assert_string_equal(heard, "");
		(void)close(fd);
	}
	flow_stub(front);
	copy_drop(&copy);
}

static void wrong_messages_are_refused_with_a_line(void **state)
{
	static const struct {
		uint16_t name;
		const char *body;
		const char *error;
	} rows[] = {
		{MESSAGE_ENV_PUT, "{}", "`env` must be a string"},
		{MESSAGE_ENV_PUT, "{\"env\": \"A b\", \"names\": {}}", "no id of an environment"},
		{MESSAGE_ENV_PUT, "{\"env\": \"e1\", \"names\": {}, \"state\": \"odd\"}", "`odd` is no state"},
		{MESSAGE_ENV_PUT, "{\"env\": \"e1\", \"names\": {}, \"egress\": [{\"host\": \"1.2.3\", \"action\": \"allow\"}]}",
		 "is no host"},
		{MESSAGE_ENV_PUT, "{\"env\": \"e1\", \"names\": {}, \"egress\": [{\"host\": \"a.b\", \"action\": \"maybe\"}]}",
		 "must be allow, deny, approve or passthrough"},
		{MESSAGE_SANDBOX_PUT, "{\"env\": \"nobody\", \"sandbox\": \"x\"}", "no environment nobody"},
		{MESSAGE_QUIET, "{\"env\": \"nobody\"}", "no environment nobody"},
		{MESSAGE_THAW, "{\"env\": \"nobody\"}", "not accepted from this peer"},
		{999, "{}", "not accepted from this peer"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON body = json_parse(view_of(rows[i].body), NULL);
		struct err err = {0};
		AUTO_JSON answer = link_call(world->link, rows[i].name, body, NULL, 0, 5000, &err);

		assert_null(answer);
		if (!strstr(err.text, rows[i].error))
			fail_msg("row %zu: %s", i, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_passes_and_is_recorded),
		cmocka_unit_test(one_connection_carries_many_requests_even_pipelined),
		cmocka_unit_test(what_two_parsers_could_read_differently_never_gets_through),
		cmocka_unit_test(ends_of_responses_are_told_as_they_were),
		cmocka_unit_test(a_refused_call_is_a_reset_and_a_row_with_its_request),
		cmocka_unit_test(a_call_that_hung_goes_on_for_who_waits),
		cmocka_unit_test(names_resolve_by_policy_only),
		cmocka_unit_test(the_tool_api_is_for_the_listed_sandboxes_and_says_who_calls),
		cmocka_unit_test(a_stub_answers_for_its_host),
		cmocka_unit_test(the_outside_is_closed_but_for_what_the_rules_name),
		cmocka_unit_test(the_preview_shows_the_service_by_host_and_by_path),
		cmocka_unit_test(the_preview_keeps_connections_and_mends_a_dead_one),
		cmocka_unit_test(websockets_and_events_pass_unbuffered),
		cmocka_unit_test(bytes_after_an_upgrade_pass_whole_and_in_order),
		cmocka_unit_test(bodies_of_100_mb_pass_in_flat_memory),
		cmocka_unit_test(an_environment_that_shows_nothing_yet_says_so),
		cmocka_unit_test(a_frozen_environment_is_thawed_by_its_first_request),
		cmocka_unit_test(one_that_cannot_be_thawed_says_so_in_time),
		cmocka_unit_test(a_real_redis_is_read_along),
		cmocka_unit_test(a_real_postgres_is_read_along),
		cmocka_unit_test(an_acknowledgement_that_is_lost_ends_the_connection_at_the_broker),
		cmocka_unit_test(an_acknowledgement_of_a_stream_is_lost_before_redis_has_it),
		cmocka_unit_test(kill_resets_what_is_open),
		cmocka_unit_test(a_door_by_flow_is_as_good_as_one_of_sockets),
		cmocka_unit_test(where_a_door_by_flow_listens_follows_the_names),
		cmocka_unit_test(what_a_door_by_flow_should_not_say_is_thrown_away),
		cmocka_unit_test(wrong_messages_are_refused_with_a_line),
	};
	int failed;

	world = world_open();
	if (!world)
		return 77;
	service_start(8080);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_close(world);
	return failed;
}
