/* Who is slower, told by thousands of made-up measurements, and who is worth being measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "quoted.h"
#include "verify/call.h"
#include "verify/latency.h"

/* ---- machines that are busy in their own ways ---- */

static uint64_t chance_state;

static uint64_t chance(void)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return chance_state;
}

static double share(void)
{
	return (double)(chance() >> 11) / (double)((uint64_t)1 << 53);
}

/* A steady machine; one with long tails; one whose load comes and goes for seconds; one with a timer tick that rounds. */
enum machine { STEADY, TAILS, WAVES, TICKS, MACHINES };

static const char *const machine_names[] = {"steady", "tails", "waves", "ticks"};

static double delay(enum machine machine, int at)
{
	double time = 1 + 0.1 * share();

	switch (machine) {
	case TAILS:
		return share() < 0.2 ? time * (1 + 20 * share() * share()) : time;
	case WAVES:
		return time * (1 + 4 * ((at / 7) % 2) + share());
	case STEADY:
	case TICKS:
	case MACHINES:
		break;
	}
	return time;
}

static int64_t sample(enum machine machine, int at, double usual_us, double factor)
{
	int64_t us = (int64_t)(usual_us * factor * delay(machine, at));

	return machine == TICKS ? us / 4000 * 4000 : us;
}

/* In turn, as they are taken: pairs feel the same moment. */
static struct latency_times times_make(enum machine machine, double usual_us, double factor, size_t count)
{
	struct latency_times times = {0};

	for (size_t i = 0; i < count; i++) {
		times.base.at_us[times.base.count++] = sample(machine, (int)i, usual_us, 1);
		times.head.at_us[times.head.count++] = sample(machine, (int)i, usual_us, factor);
	}
	return times;
}

static int slower_of(int count, enum machine machine, double usual_us, double factor, size_t samples)
{
	int slower = 0;

	for (int i = 0; i < count; i++) {
		struct latency_times first = times_make(machine, usual_us, factor, samples);
		struct latency_times second = times_make(machine, usual_us, factor, samples);

		slower += latency_slower(&first) && latency_slower(&second); /* as the gate does it */
	}
	return slower;
}

static void the_same_code_is_never_slower_on_any_machine(void **state)
{
	static const double usual_us[] = {2000, 20000, 400000};

	(void)state;
	chance_state = 88172645463325252U;
	for (int machine = 0; machine < MACHINES; machine++)
		for (size_t i = 0; i < ARRAY_LEN(usual_us); i++) {
			int slower = slower_of(1000, (enum machine)machine, usual_us[i], 1, LATENCY_SAMPLES_MAX) +
				     slower_of(1000, (enum machine)machine, usual_us[i], 1, LATENCY_SAMPLES_MIN);

			if (slower)
				fail_msg("%s, %.0f us: %d of 2000 comparisons of the same with itself", machine_names[machine],
					 usual_us[i], slower);
		}
}

static void a_real_slowdown_is_seen_on_every_machine(void **state)
{
	static const struct { /* at least, of 1000 */
		int twice;
		int many;
		int half;
	} seen[MACHINES] = {
		[STEADY] = {1000, 1000, 1000}, [TAILS] = {900, 400, 850}, [WAVES] = {950, 950, 50}, [TICKS] = {1000, 1000, 1000}};

	(void)state;
	chance_state = 88172645463325252U;
	for (int machine = 0; machine < MACHINES; machine++) {
		int twice = slower_of(1000, (enum machine)machine, 20000, 2, LATENCY_SAMPLES_MAX);
		int many = slower_of(1000, (enum machine)machine, 20000, 10, LATENCY_SAMPLES_MIN);
		int half = slower_of(1000, (enum machine)machine, 40000, 1.5, LATENCY_SAMPLES_MAX);

		printf("# %-6s twice as long: %d of 1000; ten times, few samples: %d; half as long again: %d\n",
		       machine_names[machine], twice, many, half);
		assert_true(twice >= seen[machine].twice && many >= seen[machine].many && half >= seen[machine].half);
	}
}

static void what_nobody_would_notice_is_not_slower(void **state)
{
	(void)state;
	chance_state = 88172645463325252U;
	assert_int_equal(slower_of(1000, STEADY, 2000, 3, LATENCY_SAMPLES_MAX), 0);      /* 4 ms */
	assert_int_equal(slower_of(1000, STEADY, 400000, 1.15, LATENCY_SAMPLES_MAX), 0); /* 15 % */
	assert_int_equal(slower_of(1000, STEADY, 20000, 0.3, LATENCY_SAMPLES_MAX), 0);   /* faster */
	assert_int_equal(slower_of(10, STEADY, 20000, 10, LATENCY_SAMPLES_MIN - 1), 0);  /* too few */
	assert_int_equal(slower_of(10, STEADY, 20000, 10, LATENCY_SAMPLES_MIN), 10);
}

static void a_median_is_in_the_middle(void **state)
{
	const struct latency_samples odd = {{9, 1, 5}, 3};
	const struct latency_samples even = {{9, 1, 5, 7}, 4};

	(void)state;
	assert_int_equal(latency_median_us(&odd), 5);
	assert_int_equal(latency_median_us(&even), 6);
	assert_int_equal(latency_median_us(&(struct latency_samples){0}), 0);
}

/* Of one request each: ms on base, base again and head; status on each. */
static json_t *run_of(const char *url, int ms, int status)
{
	return json_pack("{s:[{s:{s:s, s:s}, s:{s:i}, s:i}]}", "entries", "request", "method", "GET", "url", url, "response",
			 "status", status, "ms", ms);
}

static void one_time_makes_suspicious_what_was_longer_than_both_of_the_base(void **state)
{
	static const struct {
		int base;
		int again;
		int head;
		int base_status;
		int head_status;
		bool suspect;
	} rows[] = {{20, 20, 40, 200, 200, true},    {20, 39, 40, 200, 200, false}, {20, 20, 24, 200, 200, false},
		    {2, 2, 7, 200, 200, true},       {2, 2, 6, 200, 200, false},    {20, 20, 40, 200, 404, false},
		    {20, 20, 40, 404, 404, false},   {0, 0, 5, 200, 200, true},     {20, 20, 900, 302, 302, true},
		    {100, 100, 120, 200, 200, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct latency_suspect suspects[LATENCY_SUSPECTS_MAX];
		AUTO_JSON base = run_of("/a", rows[i].base, rows[i].base_status);
		AUTO_JSON again = run_of("/a", rows[i].again, rows[i].base_status);
		AUTO_JSON head = run_of("/a", rows[i].head, rows[i].head_status);

		if (latency_suspects(base, again, head, suspects) != rows[i].suspect)
			fail_msg("row %zu", i);
	}
}

static void the_worst_few_endpoints_are_measured_each_once(void **state)
{
	struct latency_suspect suspects[LATENCY_SUSPECTS_MAX];
	AUTO_JSON base = json_pack("{s:[]}", "entries");
	AUTO_JSON head = json_pack("{s:[]}", "entries");

	(void)state;
	for (int i = 0; i < 20; i++) {
		AUTO_FREE char *url = text_format("/%c", 'a' + i % 10);
		AUTO_JSON fast = run_of(url, 10, 200);
		AUTO_JSON slow = run_of(url, 50 + 10 * (i % 10), 200);

		(void)json_array_extend(json_member(base, "entries"), json_member(fast, "entries"));
		(void)json_array_extend(json_member(head, "entries"), json_member(slow, "entries"));
	}
	assert_int_equal(latency_suspects(base, base, head, suspects), LATENCY_SUSPECTS_MAX);
	for (int i = 0; i < LATENCY_SUSPECTS_MAX; i++)
		assert_int_equal(suspects[i].over_ms, 130 - 10 * i);
	assert_int_equal(latency_suspects(base, base, base, suspects), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_code_is_never_slower_on_any_machine),
		cmocka_unit_test(a_real_slowdown_is_seen_on_every_machine),
		cmocka_unit_test(what_nobody_would_notice_is_not_slower),
		cmocka_unit_test(a_median_is_in_the_middle),
		cmocka_unit_test(one_time_makes_suspicious_what_was_longer_than_both_of_the_base),
		cmocka_unit_test(the_worst_few_endpoints_are_measured_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
