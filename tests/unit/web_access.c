/* The API's door: who may call what, from where, and as whom. */
#include "web_bench.h"

#include <stdlib.h>

static void only_our_own_pages_may_change_anything(void **state)
{
	static const struct question rows[] = {
		{TCP, "POST", "/api/v1/issues/1/close", GOOD, NULL, 200, "number"},
		{TCP, "POST", "/api/v1/issues/1/close", NULL, NULL, 403, "X-Assay-Token is missing or wrong"},
		{TCP, "POST", "/api/v1/issues/1/close", "X-Assay-Token: 0000", NULL, 403, "X-Assay-Token"},
		{TCP, "POST", "/api/v1/issues/1/close",
		 "X-Assay-Token: 0000000000000000000000000000000000000000000000000000000000000000", NULL, 403, "X-Assay-Token"},
		{TCP, "POST", "/api/v1/issues/1/close", GOOD "\nOrigin: http://127.0.0.1:$PORT", NULL, 200, "number"},
		{TCP, "POST", "/api/v1/issues/1/close", GOOD "\nOrigin: http://localhost:$PORT", NULL, 200, "number"},
		{TCP, "POST", "/api/v1/issues/1/close", GOOD "\nOrigin: http://ebbbbbbbbbb.localhost:7421", NULL, 403,
		 "may not call this"},
		{TCP, "POST", "/api/v1/issues/1/close", GOOD "\nOrigin: https://127.0.0.1:$PORT", NULL, 403, "may not call this"},
		{TCP, "POST", "/api/v1/issues/1/close", GOOD "\nOrigin: null", NULL, 403, "may not call this"},
		{TCP, "GET", "/api/v1/runs", NULL, NULL, 200, FAKE_RUN},
		{TCP, "GET", "/api/v1/runs", "Host: localhost:$PORT", NULL, 200, FAKE_RUN},
		{TCP, "GET", "/api/v1/runs", "Host: evil.example:$PORT", NULL, 403, "the Host must be"},
		{TCP, "GET", "/api/v1/runs", "Host: 127.0.0.1", NULL, 403, "the Host must be"},
		{TCP, "GET", "/api/v1/runs", "Host: ebbbbbbbbbb.localhost:$PORT", NULL, 403, "the Host must be"},
		{TCP, "GET", "/api/v1/runs", "Origin: http://evil.example", NULL, 403, "may not call this"},
		{TCP, "GET", "/api/v1/runs", "Sec-Fetch-Site: cross-site", NULL, 403, "another origin"},
		{TCP, "GET", "/api/v1/runs", "Sec-Fetch-Site: same-site", NULL, 403, "another origin"},
		{TCP, "GET", "/", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate", NULL, 200, "<title>Assay</title>"},
		{TCP, "GET", "/session.json", NULL, NULL, 403, "only the pages of this server"},
		{TCP, "GET", "/session.json", "Host: evil.example:$PORT\nSec-Fetch-Site: same-origin\nAuthorization: x", NULL, 403,
		 "the Host must be"},
		{TCP, "GET", "/session.json", "Sec-Fetch-Site: same-site", NULL, 403, "another origin"},
		{TCP, "GET", "/session.json", "Sec-Fetch-Site: none", NULL, 403, "only the pages of this server"},
		{TCP, "GET", "/session.json", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate", NULL, 403, "only the pages"},
		{TCP, "POST", "/api/v1/shutdown", GOOD, NULL, 403, "for the command line"},
		{TCP, "POST", "/api/v1/environments/shop/exec", GOOD, "{}", 403, "for the command line"},
		{TCP, "GET", "/api/v1/environments/shop/terminal", NULL, NULL, 403, "X-Assay-Token is missing or wrong"},
		{TCP, "GET", "/api/v1/environments/shop/terminal", "Sec-WebSocket-Protocol: assay-terminal, token.0000", NULL, 403,
		 "X-Assay-Token is missing or wrong"},
		{TCP, "GET", "/api/v1/environments/shop/terminal", GOOD, NULL, 400, "Upgrade: assay-terminal"},
		{TCP, "GET", "/api/v1/environments/shop/terminal", "Sec-WebSocket-Protocol: assay-terminal, token.$TOKEN", NULL,
		 400, "Upgrade: assay-terminal"},
		{TCP, "GET", "/api/v1/environments/shop/terminal",
		 "Sec-WebSocket-Protocol: assay-terminal, token.$TOKEN\nOrigin: http://evil.example", NULL, 403,
		 "may not call this"},
		{UNIX, "POST", "/api/v1/issues/1/close", NULL, NULL, 200, "number"},
		{UNIX, "POST", "/api/v1/shutdown", NULL, NULL, 200, "{}"},
		{UNIX, "POST", "/tool/v1/done", NULL, NULL, 405, "Method Not Allowed"},
		{TOOL, "GET", "/api/v1/runs", "X-Assay-Env: ebbbbbbbbbb", NULL, 404, "not_found"},
	};

	questions_ask(*state, rows, ARRAY_LEN(rows));
	assert_true(((struct bench *)*state)->ended);
}

/* Makes a token over the Unix socket; a header of it. Owned by the caller. */
static char *token_header(struct bench *bench, const char *name, const char *role)
{
	AUTO_FREE char *body = text_format("{\"name\":\"%s\",\"role\":\"%s\"}", name, role);
	AUTO_ANSWER made = ask(bench, UNIX, "POST", "/api/v1/tokens", NULL, body);
	AUTO_JSON json = json_parse(view_of(made.text), NULL);

	assert_int_equal(made.status, 200);
	return text_format("Authorization: Bearer %s", json_text(json, "token", ""));
}

static void a_token_may_do_what_its_role_may(void **state)
{
	static const char *const roles[] = {"viewer", "developer", "approver", "admin"};
	static const struct {
		const char *method, *path, *body;
		unsigned status[ARRAY_LEN(roles)];
	} rows[] = {
		{"GET", "/api/v1/runs", NULL, {200, 200, 200, 200}},
		{"POST", "/api/v1/issues/1/close", NULL, {403, 200, 200, 200}},
		{"POST", "/api/v1/pulls/1/review", "{\"kind\":\"comment\",\"text\":\"why?\"}", {403, 200, 200, 200}},
		{"POST", "/api/v1/pulls/1/review", "{\"kind\":\"approve\"}", {403, 403, 200, 200}},
		{"POST", "/api/v1/pulls/1/merge", "{\"force\":true}", {403, 403, 200, 200}},
		{"GET", "/api/v1/tokens", NULL, {403, 403, 403, 200}},
		{"POST", "/api/v1/shutdown", NULL, {403, 403, 403, 200}},
		{"DELETE", "/api/v1/tokens/nobody", NULL, {403, 403, 403, 404}},
	};

	for (size_t role = 0; role < ARRAY_LEN(roles); role++) {
		AUTO_FREE char *header = token_header(*state, roles[role], roles[role]);

		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			AUTO_ANSWER answer = ask(*state, TCP, rows[i].method, rows[i].path, header, rows[i].body);

			if (answer.status != rows[i].status[role])
				fail_msg("%s: %s %s: %u %s, wanted %u", roles[role], rows[i].method, rows[i].path, answer.status,
					 answer.text, rows[i].status[role]);
		}
	}
	AUTO_FREE char *reviewer = token_header(*state, "ci", "developer");
	AUTO_ANSWER said = ask(*state, TCP, "POST", "/api/v1/runs/ra/message", reviewer, "{\"text\":\"hi\",\"author\":\"boss\"}");
	assert_int_equal(said.status, 200);
	assert_string_equal(fake_said, "message " FAKE_RUN " ci hi"); /* a token speaks in its own name */
}

static void a_token_that_is_none_or_has_ended_is_refused(void **state)
{
	static const struct question rows[] = {
		{TCP, "GET", "/api/v1/runs", "Authorization: Bearer assay_0000", NULL, 401, "none of this server's"},
		{TCP, "GET", "/api/v1/runs", "Authorization: Bearer ", NULL, 401, "expected `Bearer TOKEN`"},
		{TCP, "GET", "/api/v1/runs", "Authorization: Basic YTpi", NULL, 401, "expected `Bearer TOKEN`"},
		{TCP, "POST", "/api/v1/issues/1/close", "Authorization: Bearer x\nX-Assay-Token: $TOKEN", NULL, 401,
		 "none of this"},
		{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"a b\",\"role\":\"admin\"}", 400, "name: expected lower-case"},
		{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"a\",\"role\":\"root\"}", 400, "role: expected viewer"},
		{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"a\",\"role\":\"admin\",\"days\":0}", 400, "days: expected"},
		{UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"gone\",\"role\":\"viewer\"}", 409, "a token `gone` already"},
		{UNIX, "DELETE", "/api/v1/tokens/gone", NULL, NULL, 200, "{}"},
		{UNIX, "DELETE", "/api/v1/tokens/gone", NULL, NULL, 404, "there is no token `gone`"},
		{TCP, "POST", "/api/v1/tokens", GOOD, "{\"name\":\"a\",\"role\":\"admin\"}", 403, "for the command line"},
	};
	AUTO_FREE char *header = token_header(*state, "gone", "admin");
	AUTO_ANSWER before = ask(*state, TCP, "GET", "/api/v1/runs", header, NULL);

	assert_int_equal(before.status, 200);
	questions_ask(*state, rows, ARRAY_LEN(rows));
	AUTO_ANSWER after = ask(*state, TCP, "GET", "/api/v1/runs", header, NULL);
	assert_int_equal(after.status, 401);
	AUTO_ANSWER listed = ask(*state, UNIX, "GET", "/api/v1/tokens", NULL, NULL);
	assert_null(strstr(listed.text, "assay_"));
}

static int guarded_open(void **state)
{
	struct bench *bench = *state;
	struct bench *guarded = mem_new(sizeof(*guarded));
	struct web_options options = {.state_dir = "/nowhere",
				      .listen = "127.0.0.1:0",
				      .pages_url = "https://assay.example.com",
				      .sign_in = true,
				      .preview_base = "127.0.0.1:7421",
				      .self = guarded,
				      .world = world_real};
	struct err err = {0};

	guarded->serve_socket = text_format("%s/guarded.sock", bench->dir);
	guarded->tool_socket = text_format("%s/guarded-tool.sock", bench->dir);
	guarded->token = text_copy("");
	options.serve_socket = guarded->serve_socket;
	options.tool_socket = guarded->tool_socket;
	*state = guarded;
	return web_open(&options, &guarded->web, &err);
}

static int guarded_close(void **state)
{
	struct bench *guarded = *state;

	web_close(guarded->web);
	free(guarded->serve_socket);
	free(guarded->tool_socket);
	free(guarded->token);
	free(guarded);
	return 0;
}

#define PROXIED "Host: assay.example.com\nOrigin: https://assay.example.com\nSec-Fetch-Site: same-origin"

/* Signs in and asks for the token that pages send; the session's cookie as a header. Owned by the caller. */
static char *session_open(struct bench *bench, const char *header)
{
	AUTO_FREE char *body = text_format("{\"token\":\"%s\"}", strrchr(header, ' ') + 1);
	AUTO_ANSWER in = ask(bench, TCP, "POST", "/signin", PROXIED, body);
	struct view rest;

	if (in.status != 200 || !in.cookie || !strstr(in.cookie, "; HttpOnly; SameSite=Strict; Secure"))
		fail_msg("%u %s %s", in.status, in.text, in.cookie ? in.cookie : "no cookie");
	AUTO_FREE char *value = view_copy(view_cut(view_of(in.cookie), ';', &rest));
	AUTO_FREE char *cookie = text_format("Cookie: %s", value);
	AUTO_FREE char *headers = text_format("Sec-Fetch-Site: same-origin\n%s", cookie);
	AUTO_ANSWER session = ask(bench, TCP, "GET", "/session.json", headers, NULL);
	AUTO_JSON json = json_parse(view_of(session.text), NULL);
	free(bench->token);
	bench->token = text_copy(json_text(json, "token", ""));
	assert_string_equal(json_text(json, "role", ""), "developer");
	return TAKE(cookie);
}

static void who_comes_from_elsewhere_signs_in_first(void **state)
{
	static const struct question before[] = {
		{TCP, "GET", "/", NULL, NULL, 200, "<title>Assay</title>"},
		{TCP, "GET", "/healthz", NULL, NULL, 200, "ok"},
		{TCP, "GET", "/metrics", NULL, NULL, 401, "sign in first"},
		{TCP, "GET", "/api/v1/runs", NULL, NULL, 401, "sign in first"},
		{TCP, "GET", "/api/v1/runs", "Cookie: __Host-assay_session=0000", NULL, 401, "the session has ended"},
		{TCP, "GET", "/api/v1/runs", "Host: assay.example.com", NULL, 401, "sign in first"},
		{TCP, "GET", "/api/v1/runs", "Host: evil.example.com", NULL, 403, "or as in https://assay.example.com"},
		{TCP, "GET", "/session.json", "Sec-Fetch-Site: same-origin", NULL, 200, "{\"sign_in\":true,\"oidc\":false}"},
		{TCP, "POST", "/api/v1/issues/1/close", "X-Assay-Token: 00", NULL, 403, "X-Assay-Token"},
		{TCP, "POST", "/signin", PROXIED, "{\"token\":\"assay_00\"}", 401, "none of this server's"},
		{TCP, "POST", "/signin", PROXIED, "{}", 400, "token: expected a line"},
		{TCP, "POST", "/signin", "Origin: https://evil.example", "{\"token\":\"assay_00\"}", 403, "may not call this"},
		{UNIX, "GET", "/api/v1/runs", NULL, NULL, 200, FAKE_RUN},
	};
	struct bench *bench = *state;
	AUTO_FREE char *header = token_header(bench, "elsewhere", "developer");

	questions_ask(bench, before, ARRAY_LEN(before));
	AUTO_FREE char *cookie = session_open(bench, header);
	AUTO_FREE char *with_token = text_format("%s\n" GOOD, cookie);
	const struct question after[] = {
		{TCP, "GET", "/api/v1/runs", cookie, NULL, 200, FAKE_RUN},
		{TCP, "POST", "/api/v1/issues/1/close", cookie, NULL, 403, "X-Assay-Token is missing"},
		{TCP, "POST", "/api/v1/issues/1/close", with_token, NULL, 200, "number"},
		{TCP, "GET", "/api/v1/tokens", cookie, NULL, 403, "for the role admin"},
		{TCP, "POST", "/signout", cookie, NULL, 200, "{}"},
		{TCP, "GET", "/api/v1/runs", cookie, NULL, 401, "the session has ended"},
	};
	questions_ask(bench, after, ARRAY_LEN(after));
	AUTO_FREE char *again = session_open(bench, header);
	const struct question ended[] = {
		{TCP, "GET", "/api/v1/runs", again, NULL, 200, FAKE_RUN},
		{UNIX, "DELETE", "/api/v1/tokens/elsewhere", NULL, NULL, 200, "{}"},
		{TCP, "GET", "/api/v1/runs", again, NULL, 401, "the session has ended"},
	};
	questions_ask(bench, ended, ARRAY_LEN(ended));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_our_own_pages_may_change_anything),
		cmocka_unit_test(a_token_may_do_what_its_role_may),
		cmocka_unit_test(a_token_that_is_none_or_has_ended_is_refused),
		cmocka_unit_test_setup_teardown(who_comes_from_elsewhere_signs_in_first, guarded_open, guarded_close),
	};

	return cmocka_run_group_tests(tests, bench_open, bench_close);
}
