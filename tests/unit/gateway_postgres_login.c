/* Logins at PostgreSQL servers: what a client may begin with, and how a server is convinced, byte by byte. The proofs were computed by another
 * program (Python's hashlib). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "gateway/egress/postgres_login.h"

#define NONCE "000000000000000000000000000000000000"
#define SERVER_NONCE NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define CLIENT_FINAL "c=biws,r=" SERVER_NONCE ",p=9A1ECZbLZKe5lJ0yiGWtjG5yZZRBFMiWmM2+O2xGeSc="
#define SERVER_FINAL "v=kHYBM7otiNDQM/nMqMrCHBMEh0lTiTSi9IHTsln0LWY="

static const unsigned char nonce[POSTGRES_NONCE_BYTES];

static void number_add(struct buf *out, uint32_t number)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(out, (char)(number >> shift));
}

static void start_format(struct buf *out, uint32_t code, const char *body, size_t length)
{
	number_add(out, (uint32_t)length + 8);
	number_add(out, code);
	buf_add(out, body, length);
}

static void a_start_up_packet_is_read_in_one_way_or_refused(void **state)
{
	static const struct {
		const char *body;
		size_t length;
		uint32_t code;
		enum postgres_start_kind kind;
		const char *user, *database;
	} rows[] = {
#define BODY(text) text, sizeof(text) - 1
		{BODY("user\0app\0database\0shop\0\0"), 196608, POSTGRES_START_LOGIN, "app", "shop"},
		{BODY("database\0shop\0user\0app\0x\0y\0\0"), 196608, POSTGRES_START_LOGIN, "app", "shop"},
		{BODY("user\0app\0\0"), 196608, POSTGRES_START_LOGIN, "app", "app"},
		{BODY("user\0app\0replication\0database\0\0"), 196608, POSTGRES_START_LOGIN, "app", "app"},
		{BODY("user\0app\0\0"), 196610, POSTGRES_START_LOGIN, "app", "app"},
		{BODY("user\0app\0user\0root\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0database\0a\0database\0b\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0database\0../x\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0database\0..\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0database\0a b\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0replication\0true\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0replication\0ON\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("database\0shop\0\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0\0more\0"), 196608, POSTGRES_START_BAD, NULL, NULL},
		{BODY("user\0app\0\0"), 131072, POSTGRES_START_BAD, NULL, NULL},
		{BODY(""), 80877103, POSTGRES_START_TLS, NULL, NULL},
		{BODY(""), 80877104, POSTGRES_START_GSS, NULL, NULL},
		{BODY("12345678"), 80877102, POSTGRES_START_CANCEL, NULL, NULL},
		{BODY("x"), 80877103, POSTGRES_START_BAD, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF packet = buf_new(1024);
		struct postgres_start start;

		start_format(&packet, rows[i].code, rows[i].body, rows[i].length);
		for (size_t length = 0; length < packet.length; length++)
			if (postgres_start_parse(view_make(packet.at, length), &start) != POSTGRES_START_MORE)
				fail_msg("row %zu: %zu bytes are enough", i, length);
		buf_add_text(&packet, "what follows");
		if (postgres_start_parse(buf_view(&packet), &start) != rows[i].kind)
			fail_msg("row %zu: %s", i, start.why ? start.why : "another kind");
		if (rows[i].user)
			assert_string_equal(start.user, rows[i].user);
		if (rows[i].database)
			assert_string_equal(start.database, rows[i].database);
		assert_int_equal(start.why != NULL, rows[i].kind == POSTGRES_START_BAD);
	}
}

static void what_is_too_long_or_none_is_refused_at_once(void **state)
{
	struct postgres_start start;
	struct view password;
	size_t used;

	(void)state;
	assert_int_equal(postgres_start_parse(VIEW("GET / HTTP/1.1\r\n"), &start), POSTGRES_START_BAD);
	assert_int_equal(postgres_start_parse(VIEW("\x00\x00\x27\x11"), &start), POSTGRES_START_BAD);
	assert_int_equal(postgres_start_parse(VIEW("\x00\x00\x00\x04"), &start), POSTGRES_START_BAD);
	assert_int_equal(postgres_password_parse(VIEW("p\0\0\0\x08secx"), &password, &used), -1);
	assert_int_equal(postgres_password_parse(VIEW("p\0\0\0\x08se\0x"), &password, &used), -1);
	assert_int_equal(postgres_password_parse(VIEW("Q\0\0\0\x08sec\0"), &password, &used), -1);
	assert_int_equal(postgres_password_parse(VIEW("p\0\0\0\x08sec"), &password, &used), 0);
	assert_int_equal(postgres_password_parse(VIEW("p\0\0\0\x08sec\0more"), &password, &used), 1);
	assert_true(view_is(password, "sec") && used == 9);
}

/* ---- the server's end ---- */

struct talk {
	struct postgres_auth *auth;
	struct buf out, back;
	enum postgres_auth_result result;
	const char *why;
};

static void talk_begin(struct talk *talk, bool clear)
{
	*talk = (struct talk){postgres_auth_new("app", VIEW("pencil pencil"), clear, nonce), buf_new(65536), buf_new(65536),
			      POSTGRES_AUTH_MORE, NULL};
}

static void talk_end(struct talk *talk)
{
	postgres_auth_free(talk->auth);
	buf_fini(&talk->out);
	buf_fini(&talk->back);
}

/* The server says it, byte by byte; what is left is not looked at. */
static void hear(struct talk *talk, char type, int code, struct view text)
{
	AUTO_BUF message = buf_new(1024);
	AUTO_BUF kept = buf_new(1024);

	buf_clear(&talk->out);
	buf_add_char(&message, type);
	number_add(&message, (uint32_t)(text.length + (code < 0 ? 4 : 8)));
	if (code >= 0)
		number_add(&message, (uint32_t)code);
	buf_add_view(&message, text);
	for (size_t i = 0; i < message.length; i++) {
		struct view rest;

		buf_add_char(&kept, message.at[i]);
		rest = buf_view(&kept);
		talk->result = postgres_auth_feed(talk->auth, &rest, &talk->out, &talk->back, &talk->why);
		assert_true(i + 1 == message.length || talk->result == POSTGRES_AUTH_MORE);
		buf_drop_front(&kept, kept.length - rest.length);
	}
}

static bool said(const struct talk *talk, struct view text)
{
	return view_find(buf_view(&talk->out), text) >= 0;
}

static void a_password_is_shown_in_clear_only_where_it_may_be(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, true);
	hear(&talk, 'R', 3, VIEW(""));
	assert_true(said(&talk, VIEW("p\0\0\0\x12pencil pencil\0")));
	hear(&talk, 'R', 0, VIEW(""));
	assert_int_equal(talk.result, POSTGRES_AUTH_DONE);
	talk_end(&talk);
	talk_begin(&talk, false);
	hear(&talk, 'R', 3, VIEW(""));
	assert_int_equal(talk.result, POSTGRES_AUTH_BROKEN);
	assert_int_equal(talk.out.length, 0);
	talk_end(&talk);
}

static void md5_is_what_another_program_computes(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, false);
	hear(&talk, 'R', 5, VIEW("\1\2\3\4"));
	assert_true(said(&talk, VIEW("md510b177deac69875bd4d6be233b39a04f\0")));
	talk_end(&talk);
}

static void scram(struct talk *talk, const char *server_first)
{
	talk_begin(talk, false);
	hear(talk, 'R', 10, VIEW("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"));
	assert_true(said(talk, VIEW("SCRAM-SHA-256\0\0\0\0\x2cn,,n=,r=" NONCE)));
	hear(talk, 'R', 11, view_of(server_first));
}

static void scram_is_what_another_program_computes(void **state)
{
	struct talk talk;
	struct view none = VIEW("");

	(void)state;
	scram(&talk, SERVER_FIRST);
	assert_int_equal(talk.result, POSTGRES_AUTH_WORK);
	postgres_auth_work(talk.auth);
	talk.result = postgres_auth_feed(talk.auth, &none, &talk.out, &talk.back, &talk.why);
	assert_int_equal(talk.result, POSTGRES_AUTH_MORE);
	assert_true(said(&talk, VIEW(CLIENT_FINAL)));
	hear(&talk, 'R', 12, VIEW(SERVER_FINAL));
	assert_int_equal(talk.result, POSTGRES_AUTH_MORE);
	hear(&talk, 'R', 0, VIEW(""));
	assert_int_equal(talk.result, POSTGRES_AUTH_DONE);
	assert_int_equal(talk.back.length, 9); /* AuthenticationOk, and nothing before it, is for the client */
	talk_end(&talk);
}

static void a_server_that_does_not_know_the_password_is_found_out(void **state)
{
	static const char *const finals[] = {"v=kHYBM7otiNDQM/nMqMrCHBMEh0lTiTSi9IHTsln0LWU=", "v=", "e=no", "v=AAAA", ""};
	struct talk talk;
	struct view none = VIEW("");

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(finals); i++) {
		scram(&talk, SERVER_FIRST);
		postgres_auth_work(talk.auth);
		(void)postgres_auth_feed(talk.auth, &none, &talk.out, &talk.back, &talk.why);
		if (i < ARRAY_LEN(finals))
			hear(&talk, 'R', 12, view_of(finals[i]));
		else
			hear(&talk, 'R', 0, VIEW("")); /* leaves its proof out */
		assert_int_equal(talk.result, POSTGRES_AUTH_BROKEN);
		assert_non_null(talk.why);
		talk_end(&talk);
	}
}

static void scram_messages_that_are_none_are_refused(void **state)
{
	static const char *const firsts[] = {
		"r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"r=other" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"r=" SERVER_NONCE ",s=,i=4096",
		"r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
		"r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001",
		"r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,r=" SERVER_NONCE ",i=4096",
		"",
	};
	struct talk talk;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		scram(&talk, firsts[i]);
		if (talk.result != POSTGRES_AUTH_BROKEN)
			fail_msg("taken: %s", firsts[i]);
		talk_end(&talk);
	}
}

static void what_is_out_of_order_or_not_spoken_is_refused(void **state)
{
	static const struct {
		char type;
		int code;
		struct view text;
	} rows[] = {{'R', 11, VIEW("r=x")}, {'R', 12, VIEW("v=x")}, {'R', 7, VIEW("")},   {'R', 10, VIEW("SCRAM-SHA-1\0\0")},
		    {'R', 5, VIEW("abc")},  {'Z', -1, VIEW("I")},   {'R', -1, VIEW("ab")}};
	struct talk talk;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		talk_begin(&talk, true);
		hear(&talk, 'N', -1, VIEW("SNOTICE\0\0"));
		assert_int_equal(talk.result, POSTGRES_AUTH_MORE);
		buf_clear(&talk.out);
		{
			AUTO_BUF message = buf_new(1024);
			struct view rest;

			buf_add_char(&message, rows[i].type);
			number_add(&message, (uint32_t)(rows[i].text.length + (rows[i].code < 0 ? 4 : 8)));
			if (rows[i].code >= 0)
				number_add(&message, (uint32_t)rows[i].code);
			buf_add_view(&message, rows[i].text);
			rest = buf_view(&message);
			assert_int_equal(postgres_auth_feed(talk.auth, &rest, &talk.out, &talk.back, &talk.why),
					 POSTGRES_AUTH_BROKEN);
		}
		assert_int_equal(talk.out.length, 0);
		talk_end(&talk);
	}
}

static void what_the_server_says_of_a_refusal_is_for_the_client(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, false);
	hear(&talk, 'E', -1, VIEW("SFATAL\0C28P01\0Mno\0\0"));
	assert_int_equal(talk.result, POSTGRES_AUTH_REFUSED);
	assert_true(view_find(buf_view(&talk.back), VIEW("28P01")) >= 0);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_up_packet_is_read_in_one_way_or_refused),
		cmocka_unit_test(what_is_too_long_or_none_is_refused_at_once),
		cmocka_unit_test(a_password_is_shown_in_clear_only_where_it_may_be),
		cmocka_unit_test(md5_is_what_another_program_computes),
		cmocka_unit_test(scram_is_what_another_program_computes),
		cmocka_unit_test(a_server_that_does_not_know_the_password_is_found_out),
		cmocka_unit_test(scram_messages_that_are_none_are_refused),
		cmocka_unit_test(what_is_out_of_order_or_not_spoken_is_refused),
		cmocka_unit_test(what_the_server_says_of_a_refusal_is_for_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
