/* What is put in a value's place: the same for the same, another for another, of the same form; and what looks like people's data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/scope.h"
#include "data/leak.h"
#include "data/leaves.h"
#include "data/mask.h"

static const unsigned char key[DIGEST_KEY_BYTES] = "a key for tests, of thirty-two b";
static const unsigned char other_key[DIGEST_KEY_BYTES] = "another key for tests, thirty-tw";
static const struct mask_place anywhere = {.length_max = 0};

static char *masked_by(const unsigned char *by, enum mask_kind kind, const char *value, const struct mask_place *place)
{
	const struct mask_rule rule = {.kind = kind};
	AUTO_BUF out = buf_new(MASK_VALUE_MAX);
	struct err err = {0};

	if (mask_value(by, &rule, place, view_of(value), &out, &err))
		fail_msg("%s", err.text);
	return out.length ? buf_take(&out) : text_copy("");
}

static char *masked(enum mask_kind kind, const char *value)
{
	return masked_by(key, kind, value, &anywhere);
}

static const struct row {
	enum mask_kind kind;
	const char *value;
} rows[] = {
	{MASK_EMAIL, "mia.kruger@acme.io"},
	{MASK_NAME, "Mia Kruger"},
	{MASK_PHONE, "+49 30 901820"},
	{MASK_CARD, "4539 1488 0343 6467"},
	{MASK_TOKEN, "sk_live_9aX2kd82Hs"},
	{MASK_ADDRESS, "1 Main Street"},
	{MASK_TEXT, "Called on 3 May; b\xc3\xb6se."},
	{MASK_NUMBER, "-120450.75"},
	{MASK_DATE, "1984-02-29 10:00:00+01"},
	{MASK_TOKEN, "9f86d081884c7d659a2feaa0c55ad015"},
	{MASK_TOKEN, "123e4567-e89b-42d3-a456-426614174000"},
	{MASK_TEXT, "\xe7\x8e\x8b\xe4\xbc\x9f"},
};

static void the_same_value_becomes_the_same_and_only_with_the_same_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *first = masked(rows[i].kind, rows[i].value);
		AUTO_FREE char *second = masked(rows[i].kind, rows[i].value);
		AUTO_FREE char *other = masked_by(other_key, rows[i].kind, rows[i].value, &anywhere);

		assert_string_equal(first, second);
		assert_string_not_equal(first, rows[i].value);
		assert_string_not_equal(first, other);
	}
}

/* Digits where digits were, letters where letters were, as long, in the same case. */
static void forms_are_kept(void **state)
{
	static const enum mask_kind kinds[] = {MASK_PHONE, MASK_CARD, MASK_TEXT, MASK_TOKEN, MASK_NUMBER};
	static const char value[] = "+1 (202) 456-1111 x";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO_FREE char *got = masked(kinds[i], value);

		assert_int_equal(strlen(got), strlen(value));
		for (size_t at = 0; value[at]; at++)
			assert_true((value[at] >= '0' && value[at] <= '9') == (got[at] >= '0' && got[at] <= '9'));
	}
	{
		AUTO_FREE char *token = masked(MASK_TOKEN, "sk_live_9aX2kd82Hs");
		AUTO_FREE char *uuid = masked(MASK_TOKEN, "123e4567-e89b-42d3-a456-426614174000");
		AUTO_FREE char *low = masked(MASK_TEXT, "hello there");
		AUTO_FREE char *high = masked(MASK_TEXT, "HELLO there");

		assert_memory_equal(token, "sk_live_", 8);
		assert_int_equal(uuid[14], '4');
		assert_int_equal(uuid[19], 'a');
		assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
		assert_int_equal(strcasecmp(low, high), 0); /* collations that take them for one still do */
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every number of four digits, every token of a letter and two digits. */
static void what_differs_differs(void **state)
{
	enum { COUNT = 9000 };
	static const enum mask_kind kinds[] = {MASK_NUMBER, MASK_TEXT, MASK_CARD, MASK_EMAIL};

	(void)state;
	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		char **all = mem_new_array(COUNT, sizeof(*all));

		for (int i = 0; i < COUNT; i++) {
			AUTO_FREE char *value = text_format(kinds[kind] == MASK_EMAIL ? "%d@a.io" : "%d", 1000 + i);

			all[i] = masked(kinds[kind], value);
		}
		qsort(all, COUNT, sizeof(*all), by_text);
		for (int i = 1; i < COUNT; i++)
			assert_string_not_equal(all[i - 1], all[i]);
		for (int i = 0; i < COUNT; i++)
			free(all[i]);
		free(all);
	}
}

static void numbers_stay_in_the_range_of_their_type(void **state)
{
	const struct mask_place small = {.number_max = 32767};

	(void)state;
	for (int i = 10000; i < 32768; i += 7) {
		AUTO_FREE char *value = text_format("%d", i);
		AUTO_FREE char *got = masked_by(key, MASK_NUMBER, value, &small);

		assert_in_range(atoi(got), 10000, 32767);
	}
	{
		AUTO_FREE char *zero = masked(MASK_NUMBER, "0.00");

		assert_string_equal(zero, "0.00");
	}
}

static void dates_move_together(void **state)
{
	static const char *const never[] = {"0000-00-00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "infinity", "-infinity"};
	static const char *const moved[] = {"1984-05-00", "9990-12-31", "0010-01-01"};
	AUTO_FREE char *first = masked(MASK_DATE, "2024-02-28 23:59:59.5+00");
	AUTO_FREE char *second = masked(MASK_DATE, "2024-03-01");
	AUTO_FREE char *third = masked(MASK_DATE, "2024-02-29");
	const struct mask_rule rule = {.kind = MASK_DATE};
	AUTO_BUF out = buf_new(100);
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		AUTO_FREE char *kept = masked(MASK_DATE, never[i]);

		assert_string_equal(kept, never[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		AUTO_FREE char *other = masked(MASK_DATE, moved[i]);

		assert_string_not_equal(other, moved[i]);
	}
	assert_true(strncmp(first, third, 10) < 0);
	assert_true(strcmp(third, second) < 0);
	assert_string_equal(first + 10, " 23:59:59.5+00");
	assert_int_equal(mask_value(key, &rule, &anywhere, VIEW("secret"), &out, &err), -1);
	assert_null(strstr(err.text, "secret"));
}

static void what_is_made_fits_and_is_nobodys(void **state)
{
	const struct mask_place narrow = {.length_max = 24};
	const struct mask_place unique = {.length_max = 30, .unique = true};
	AUTO_FREE char *email = masked_by(key, MASK_EMAIL, "someone.with.a.long.name@acme.io", &narrow);
	AUTO_FREE char *capital = masked_by(key, MASK_EMAIL, "SomeOne.With.A.Long.Name@acme.io", &narrow);
	AUTO_FREE char *name = masked_by(key, MASK_NAME, "Mia Kruger", &unique);
	AUTO_FREE char *one = masked(MASK_NAME, "Mia");
	const struct mask_rule rule = {.kind = MASK_EMAIL};
	AUTO_BUF out = buf_new(100);
	int64_t counts[LEAK_KINDS] = {0};
	struct err err = {0};

	(void)state;
	assert_true(strlen(email) <= 24 && strstr(email, "@example.com"));
	assert_string_equal(email, capital);
	assert_true(strlen(name) <= 30 && strrchr(name, ' ') && strlen(strrchr(name, ' ')) == 13);
	assert_null(strchr(one, ' '));
	leak_find(view_of(email), "email", counts);
	assert_int_equal(counts[LEAK_EMAIL], 0);
	assert_int_equal(mask_value(key, &rule, &(struct mask_place){.length_max = 10}, VIEW("a@b.io"), &out, &err), -1);
}

static void a_card_stays_valid_and_what_is_none_stays_none(void **state)
{
	static const char *const cards[] = {"4539148803436467", "4539 1488 0343 6467", "374245455400126", "6011000990139424"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cards); i++) {
		AUTO_FREE char *got = masked(MASK_CARD, cards[i]);
		int64_t counts[LEAK_KINDS] = {0};

		leak_find(view_of(got), "n", counts);
		assert_int_equal(got[0], cards[i][0]);
		assert_int_equal(counts[LEAK_CARD], 1);
	}
}

static void letters_of_other_alphabets_are_replaced_too(void **state)
{
	static const char *const words[] = {"\xce\xa3\xce\xa4\xce\xa9",
					    "\xd1\x91\xd1\x91",
					    "\xd9\x8a\xd9\x88\xd9\x85",
					    "\xd9\xa4\xd9\xa2\xd9\xa7",
					    "\xe0\xb9\x84\xe0\xb8\x97\xe0\xb8\xa2\xe0\xb8\x81\xe0\xb8\x82",
					    "\xe1\x83\x9c\xe1\x83\x98\xe1\x83\x9c\xe1\x83\x9d",
					    "\xef\xbc\x94\xef\xbc\x92\xef\xbc\x97",
					    "\xef\xbc\xa1\xef\xbc\xa2\xef\xbd\x83",
					    "\xe1\xba\xa0\xe1\xba\xa5\xe1\xbb\x99",
					    "\xd5\x80\xd5\xa1\xd5\xb5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		AUTO_FREE char *got = masked(MASK_TEXT, words[i]);
		struct view before = view_of(words[i]);
		struct view after = view_of(got);
		bool same = true;

		assert_int_equal(before.length, after.length);
		while (before.length) {
			size_t length = view_utf8_length(after);

			assert_int_equal(length, view_utf8_length(before));
			same = same && memcmp(before.at, after.at, length) == 0;
			before = view_make(before.at + length, before.length - length);
			after = view_make(after.at + length, after.length - length);
		}
		if (same)
			fail_msg("%s stays", words[i]);
	}
}

static void leaks_are_found_and_what_is_nobodys_is_none(void **state)
{
	static const struct {
		const char *text;
		const char *name;
		int64_t counts[LEAK_KINDS]; /* e-mail, phone, card, token */
	} table[] = {
		{"mia@acme.io", "x", {1}},
		{"write to mia@acme.io, or <jo.bo+1@mail.acme.co.uk>!", "x", {2}},
		{"mia@example.com, x@y.test, a@localhost", "x", {0}},
		{"@mia said a@b", "x", {0}},
		{"postgres://user:word@db.acme.io/shop", "x", {0}},
		{"+49 30 901820", "x", {0, 1}},
		{"call (212) 736-5000 or 212-736-5001", "x", {0, 2}},
		{"+1 202-555-0143", "x", {0}},
		{"03012345678", "phone", {0, 1}},
		{"03012345678", "reference", {0}},
		{"2026-11-22 12:50:33", "x", {0}},
		{"4539 1488 0343 6467", "x", {0, 0, 1}},
		{"4539148803436468", "x", {0}},
		{"4242424242424242", "x", {0}},
		{"123e4567-e89b-42d3-a456-426614174000", "x", {0}},
		{"AKIAIOSFODNN7EXAMPL3", "x", {0, 0, 0, 1}},
		{"ghp_012345678901234567890123456789012345", "x", {0, 0, 0, 1}},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "x", {0, 0, 0, 1}},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.short", "x", {0}},
		{"a.b.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "x", {0, 0, 0, 1}},
		{"eyJhbGciOiJIUzI1NiJ9.dozjgNryP4J3jVmNHl0w5N", "x", {0}},
		{"-----BEGIN RSA PRIVATE KEY-----", "x", {0, 0, 0, 1}},
		{"item 1000, 3 pieces, 12.50", "x", {0}},
		{"", "x", {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t counts[LEAK_KINDS] = {0};

		leak_find(view_of(table[i].text), table[i].name, counts);
		for (size_t kind = 0; kind < LEAK_KINDS; kind++)
			if (counts[kind] != table[i].counts[kind])
				fail_msg("%s: %s: %lld", table[i].text, leak_name((enum leak_kind)kind), (long long)counts[kind]);
	}
}

/* Rows of words, each of which could begin a token: looked at in one pass. */
static void a_long_row_of_words_is_looked_at_once(void **state)
{
	static const struct {
		const char *piece;
		bool tokens;
	} table[] = {{"a.", false},   {"sk-", true}, {"-eyJ", false}, {"eyJ.", true},
		     {"eyJ-", false}, {"a@", false}, {"1 1 ", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_BUF text = buf_new((size_t)1 << 17);
		int64_t counts[LEAK_KINDS] = {0};

		while (text.length < 65536)
			buf_add_text(&text, table[i].piece);
		leak_find(buf_view(&text), "x", counts);
		assert_int_equal(counts[LEAK_TOKEN] > 0, table[i].tokens);
		assert_int_equal(counts[LEAK_EMAIL], 0);
	}
}

static int leaf_print(void *self, const struct leaf *leaf, struct err *err)
{
	AUTO_FREE char *text = leaf_text(leaf);

	(void)err;
	buf_add_format(self, "%s=%s%s;", leaf->path, text ? text : "?", leaf->is_text ? "" : "#");
	return 0;
}

static void leaves_of_a_document_are_given_with_their_paths(void **state)
{
	static const struct {
		const char *document;
		const char *leaves; /* NULL: refused */
	} table[] = {
		{"{\"a\": {\"b\": \"x\"}, \"c\": [1, {\"d\": \"y\\n\\u00e9\"}], \"e\": null}",
		 "/a/b=x;/c/*=1#;/c/*/d=y\n\xc3\xa9;"},
		{"\"plain\"", "=plain;"},
		{"[\"a\\u0000b\"]", "/*=a b;"},
		{"[]", ""},
		{"{}", ""},
		{" [ true , false ] ", ""},
		{"[1,]", NULL},
		{"{\"a\" 1}", NULL},
		{"{\"a\":1} x", NULL},
		{"[\"open", NULL},
		{"nonsense", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_BUF out = buf_new(4096);
		struct err err = {0};
		int result = leaves_walk(view_of(table[i].document), leaf_print, &out, &err);

		if (!result != !!table[i].leaves)
			fail_msg("%s: %d %s", table[i].document, result, err.text);
		if (table[i].leaves)
			assert_string_equal(out.at ? out.at : "", table[i].leaves);
	}
	assert_true(leaf_is_at("/a/b", "/a/b"));
	assert_true(leaf_is_at("/a", "/a/b"));
	assert_true(leaf_is_at("/c/*/d", "/c/*/d"));
	assert_true(leaf_is_at("/*/b", "/a/b"));
	assert_false(leaf_is_at("/a/b", "/a"));
	assert_false(leaf_is_at("/a/b", "/a/c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_value_becomes_the_same_and_only_with_the_same_key),
		cmocka_unit_test(forms_are_kept),
		cmocka_unit_test(what_differs_differs),
		cmocka_unit_test(numbers_stay_in_the_range_of_their_type),
		cmocka_unit_test(dates_move_together),
		cmocka_unit_test(what_is_made_fits_and_is_nobodys),
		cmocka_unit_test(a_card_stays_valid_and_what_is_none_stays_none),
		cmocka_unit_test(letters_of_other_alphabets_are_replaced_too),
		cmocka_unit_test(leaks_are_found_and_what_is_nobodys_is_none),
		cmocka_unit_test(a_long_row_of_words_is_looked_at_once),
		cmocka_unit_test(leaves_of_a_document_are_given_with_their_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
