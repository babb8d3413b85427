/* DNS messages, by rows of bytes; and synthetic addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/address.h"
#include "gateway/dns.h"

#define HEADER "\x12\x34\x01\0\0\1\0\0\0\0\0\0"
#define BYTES(literal) literal, sizeof(literal) - 1

static void questions_are_understood_or_refused_as_the_rows_say(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		int code;
		const char *name;
	} rows[] = {
		{BYTES(HEADER "\2db\0\0\1\0\1"), DNS_OK, "db"},
		{BYTES(HEADER "\3Api\5Local\0\0\x1c\0\1"), DNS_OK, "api.local"},
		{BYTES(HEADER "\0\0\1\0\1"), DNS_OK, ""},
		{BYTES("\x12\x34\x01\0\0\1\0\0\0\0\0\1\2db\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\0"), DNS_OK, "db"}, /* EDNS */
		{BYTES("\x12\x34\x01\0\0"), -1, NULL},
		{BYTES("\x12\x34\x81\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\1"), -1, NULL},                       /* an answer */
		{BYTES("\x12\x34\x29\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\1"), DNS_NOT_IMPLEMENTED, NULL},      /* UPDATE */
		{BYTES("\x12\x34\x01\0\0\2\0\0\0\0\0\0\2db\0\0\1\0\1\2db\0\0\1\0\1"), DNS_FORMAT, NULL}, /* two questions */
		{BYTES("\x12\x34\x01\0\0\1\0\1\0\0\0\0\2db\0\0\1\0\1"), DNS_FORMAT, NULL},
		{BYTES(HEADER "\2db\0\0\1\0\3"), DNS_REFUSED, NULL}, /* class CHAOS */
		{BYTES(HEADER "\2db\0\0\1"), DNS_FORMAT, NULL},      /* cut */
		{BYTES(HEADER "\2db"), DNS_FORMAT, NULL},
		{BYTES(HEADER "\xc0\x0c\0\1\0\1"), DNS_FORMAT, NULL}, /* compression that leads to itself */
		{BYTES(HEADER "\7d\0evil\0\0\0\1\0\1"), DNS_FORMAT, NULL},
		{BYTES(HEADER "\4a.bc\0\0\1\0\1"), DNS_FORMAT, NULL}, /* a dot within a label */
		{BYTES(HEADER "\3a b\0\0\1\0\1"), DNS_FORMAT, NULL},
		{BYTES(HEADER "\x40"), DNS_FORMAT, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_query query;
		int code = dns_query_parse(view_make(rows[i].bytes, rows[i].length), &query);

		if (code != rows[i].code)
			fail_msg("row %zu gave %d", i, code);
		if (rows[i].name)
			assert_string_equal(query.name, rows[i].name);
	}
}

static void a_name_has_at_most_253_bytes(void **state)
{
	AUTO_BUF bytes = buf_new(4096);
	struct dns_query query;

	(void)state;
	buf_add(&bytes, HEADER, 12);
	for (int i = 0; i < 5; i++) {
		buf_add_char(&bytes, 60);
		for (int k = 0; k < 60; k++)
			buf_add_char(&bytes, 'a');
	}
	buf_add(&bytes, "\0\0\1\0\1", 5);
	assert_int_equal(dns_query_parse(buf_view(&bytes), &query), DNS_FORMAT);
}

static void answers_repeat_the_question(void **state)
{
	static const char want[] = "\x12\x34\x85\x80\0\1\0\1\0\0\0\0\2DB\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\1\2";
	AUTO_BUF out = buf_new(DNS_MESSAGE_MAX);
	struct dns_query query;
	uint32_t address = 0xc6120102;

	(void)state;
	assert_int_equal(dns_query_parse(view_make(BYTES(HEADER "\2DB\0\0\1\0\1")), &query), DNS_OK);
	dns_answer_format(&out, &query, DNS_OK, &address, 1, NULL);
	assert_int_equal(out.length, sizeof(want) - 1);
	assert_memory_equal(out.at, want, sizeof(want) - 1);
	buf_clear(&out);
	dns_answer_format(&out, &query, DNS_NO_NAME, &address, 1, NULL);
	assert_int_equal(out.at[3] & 15, DNS_NO_NAME);
	assert_int_equal(out.at[7], 0);
}

static void addresses_follow_from_names_and_lead_back(void **state)
{
	struct addresses *one = addresses_new();
	struct addresses *two = addresses_new();
	uint32_t front = address_of_own(one, "front");
	uint32_t back = address_of_own(one, "back");

	(void)state;
	assert_int_not_equal(front, back);
	assert_int_equal(address_of_own(two, "back"), back); /* whatever came first */
	assert_int_equal(address_of_own(two, "front"), front);
	assert_int_equal(address_of_own(one, "front"), front);
	assert_string_equal(address_own_name(one, back), "back");
	assert_null(address_own_name(one, ADDRESS_TOOLS));
	addresses_free(one);
	addresses_free(two);
}

static void the_hosts_used_last_keep_their_addresses(void **state)
{
	struct addresses *addresses = addresses_new();
	uint32_t kept = address_of_host(addresses, "kept.example");
	uint32_t lost = address_of_host(addresses, "lost.example");

	(void)state;
	for (int i = 0; i < ADDRESS_HOSTS_MAX + 100; i++) {
		AUTO_FREE char *name = text_format("h%d.example", i);

		(void)address_of_host(addresses, name);
		assert_string_equal(address_host_name(addresses, kept), "kept.example");
	}
	assert_true(!address_host_name(addresses, lost) || strcmp(address_host_name(addresses, lost), "lost.example") != 0);
	addresses_free(addresses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_are_understood_or_refused_as_the_rows_say),
		cmocka_unit_test(a_name_has_at_most_253_bytes),
		cmocka_unit_test(answers_repeat_the_question),
		cmocka_unit_test(addresses_follow_from_names_and_lead_back),
		cmocka_unit_test(the_hosts_used_last_keep_their_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
