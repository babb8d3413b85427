/* Frames between a relay and the machines behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/scope.h"
#include "relay/wire.h"

static void a_frame_reads_as_it_was_written_and_not_before_it_is_whole(void **state)
{
	static const unsigned char name[WIRE_VISIT_BYTES] = "sixteen bytes..";
	AUTO_BUF out = buf_new(1024);
	struct wire wire;

	(void)state;
	wire_add(&out, WIRE_REGISTER, VIEW("preview.example.com"));
	wire_add(&out, WIRE_VISIT, view_make(name, sizeof(name)));
	for (size_t i = 0; i < WIRE_HEAD_BYTES + strlen("preview.example.com"); i++)
		assert_int_equal(wire_parse(view_make(out.at, i), &wire), WIRE_MORE);
	assert_int_equal(wire_parse(buf_view(&out), &wire), WIRE_DONE);
	assert_true(wire.kind == WIRE_REGISTER && view_is(wire.body, "preview.example.com"));
	buf_drop_front(&out, wire.bytes);
	assert_int_equal(wire_parse(buf_view(&out), &wire), WIRE_DONE);
	assert_true(wire.kind == WIRE_VISIT && view_equal(wire.body, view_make(name, sizeof(name))));
	assert_int_equal(wire.bytes, out.length);
}

static void what_is_no_frame_is_seen_at_once(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
	} rows[] = {
		{"GET /", 5},        {"\2", 1},          {"\1\0", 2},         {"\1\10", 2},        {"\1\7\0\0", 4},
		{"\1\3\37\0", 4},    {"\1\4\1\0", 4},    {"\1\1\2\0", 4},     {"\1\1\277\0", 4},   {"\1\6\20\1", 4},
		{"\1\1\4\0ABCD", 8}, {"\1\1\3\0a..", 7}, {"\1\1\4\0abcd", 8}, {"\1\1\4\0.a.b", 8},
	};
	struct wire wire;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(wire_parse(view_make(rows[i].bytes, rows[i].length), &wire), WIRE_BAD);
}

static void a_domain_is_two_labels_or_more_in_lower_case(void **state)
{
	static const struct {
		const char *domain;
		bool valid;
	} rows[] = {
		{"a.b", true},    {"preview.example.com", true},
		{"a-b.c1", true}, {"a", false},
		{"", false},      {"a.", false},
		{".a", false},    {"a..b", false},
		{"A.b", false},   {"-a.b", false},
		{"a.-b", false},  {"a.b-", false},
		{"a_b.c", false}, {"a.b\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(wire_domain_valid(view_of(rows[i].domain)), rows[i].valid);
}

static void a_proof_is_of_one_token_one_purpose_one_challenge_and_one_domain(void **state)
{
	unsigned char macs[5][WIRE_MAC_BYTES];

	(void)state;
	wire_mac("token", WIRE_PROOF, VIEW("challenge"), "a.b", macs[0]);
	wire_mac("tokem", WIRE_PROOF, VIEW("challenge"), "a.b", macs[1]);
	wire_mac("token", WIRE_JOIN, VIEW("challenge"), "a.b", macs[2]);
	wire_mac("token", WIRE_PROOF, VIEW("challengf"), "a.b", macs[3]);
	wire_mac("token", WIRE_PROOF, VIEW("challenge"), "a.c", macs[4]);
	for (size_t i = 0; i < ARRAY_LEN(macs); i++)
		for (size_t j = 0; j < ARRAY_LEN(macs); j++)
			assert_int_equal(wire_mac_same(macs[i], macs[j]), i == j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_reads_as_it_was_written_and_not_before_it_is_whole),
		cmocka_unit_test(what_is_no_frame_is_seen_at_once),
		cmocka_unit_test(a_domain_is_two_labels_or_more_in_lower_case),
		cmocka_unit_test(a_proof_is_of_one_token_one_purpose_one_challenge_and_one_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
