/* What a request carries of whose it is: members of `baggage`, as anybody may have written them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/shared.h"

static void the_environment_is_taken_out_and_the_rest_stays(void **state)
{
	static const struct {
		const char *value;
		const char *others;
		const char *env;
	} rows[] = {
		{"", "", ""},
		{"a=1", "a=1", ""},
		{"env=e1", "", "e1"},
		{" env = e1 ", "", "e1"},
		{"a=1,env=e1;ttl=3,b=2;p;q=1", "a=1,b=2;p;q=1", "e1"},
		{"a=1 ,\tb = 2", "a=1,b = 2", ""},
		{"env=e1,env=e2", "", "e2"},                          /* what was put last by who came later */
		{"Env=e1,xenv=2,env2=3", "Env=e1,xenv=2,env2=3", ""}, /* keys are compared as they are */
		{",,a=1,,", "a=1", ""},
		{"env", "", ""},
		{"env=", "", ""},
		{"=env", "=env", ""},
		{"a=env=e1", "a=env=e1", ""},
		{"a;env=e1", "a;env=e1", ""},
		{"env=0123456789012345678901234567890123456789012345678901234567890123", "", ""}, /* no id is so long */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF others = buf_new(SHARED_BAGGAGE_MAX * 2);
		char env[64] = "";

		shared_baggage_read(view_of(rows[i].value), &others, env);
		assert_string_equal(env, rows[i].env);
		assert_true(view_is(buf_view(&others), rows[i].others));
	}
}

static void what_is_too_much_to_be_passed_on_is_left_out(void **state)
{
	AUTO_BUF value = buf_new(SHARED_BAGGAGE_MAX * 4);
	AUTO_BUF others = buf_new(SHARED_BAGGAGE_MAX * 2);
	char env[64] = "";

	(void)state;
	for (size_t i = 0; i < SHARED_BAGGAGE_MAX / 4; i++)
		buf_add_format(&value, "k%zu=%zu,", i, i);
	buf_add_text(&value, "env=e1");
	shared_baggage_read(buf_view(&value), &others, env);
	assert_string_equal(env, "e1");
	assert_true(others.length <= SHARED_BAGGAGE_MAX && others.length > SHARED_BAGGAGE_MAX - 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_is_taken_out_and_the_rest_stays),
		cmocka_unit_test(what_is_too_much_to_be_passed_on_is_left_out),
	};

	return cmocka_run_group_tests_name("gateway/shared", tests, NULL, NULL);
}
