/* Ids, times, durations and sizes: what people and files write, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "base/world.h"

static void new_ids_parse_and_do_not_pass_for_others(void **state)
{
	struct env_id env = env_id_new(world_real);
	struct env_id again;
	struct run_id run;

	(void)state;
	assert_int_equal(env_id_parse(view_of(env.text), &again, NULL), 0);
	assert_string_equal(env.text, again.text);
	assert_int_equal(run_id_parse(view_of(env.text), &run, NULL), -1);
}

static void texts_that_are_no_ids_are_refused(void **state)
{
	static const char *const rows[] = {"",           "e", "e123", "e0123456789a", "e01234567.9", "E0123456789", "e01234/6789",
					   "e012345678i"};
	struct env_id id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		assert_int_equal(env_id_parse(view_of(rows[i]), &id, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void durations_mean_what_they_say(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {{"0s", 0}, {"500ms", 500}, {"30s", 30000}, {"10m", 600000}, {"24h", 86400000}, {"7d", 604800000}};
	static const char *const wrong[] = {
		"", "s", "10", "-1s", "1.5s", "1 s", "10w", "99999999999999999999d", "9223372036854775807d"};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(duration_parse(view_of(rows[i].text), &ms, NULL), 0);
		assert_int_equal(ms, rows[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(duration_parse(view_of(wrong[i]), &ms, NULL), -1);
}

static void sizes_are_powers_of_1024(void **state)
{
	int64_t bytes;

	(void)state;
	assert_int_equal(size_parse(VIEW("512M"), &bytes, NULL), 0);
	assert_int_equal(bytes, 536870912);
	assert_int_equal(size_parse(VIEW("12"), &bytes, NULL), 0);
	assert_int_equal(bytes, 12);
	assert_int_equal(size_parse(VIEW("9G "), &bytes, NULL), -1);
	assert_int_equal(size_parse(VIEW("9223372036854775807G"), &bytes, NULL), -1);
}

static void durations_are_shown_in_the_unit_that_people_use(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{12, "12 ms"}, {1340, "1.3 s"}, {250000, "4 min 10 s"}, {7500000, "2 h 5 min"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = buf_new(100);

		duration_format(&out, rows[i].ms);
		assert_string_equal(out.at, rows[i].text);
	}
}

static void times_are_utc_with_milliseconds(void **state)
{
	AUTO_BUF out = buf_new(100);

	(void)state;
	time_format(&out, 1795289400123);
	assert_string_equal(out.at, "2026-11-21T19:30:00.123Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_ids_parse_and_do_not_pass_for_others),
		cmocka_unit_test(texts_that_are_no_ids_are_refused),
		cmocka_unit_test(durations_mean_what_they_say),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(durations_are_shown_in_the_unit_that_people_use),
		cmocka_unit_test(times_are_utc_with_milliseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
