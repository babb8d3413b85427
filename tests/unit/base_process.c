/* Programs started on the host: what goes in, what comes out, how they end, and that nothing of ours leaks into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/process.h"
#include "base/restart.h"
#include "base/scope.h"
#include "base/world.h"

static int shell(const char *line, struct view input, struct buf *output, int *status, struct err *err)
{
	return process_run(&(struct process_spec){.argv = (const char *const[]){"sh", "-c", line, NULL},
						  .input = input,
						  .output = output,
						  .timeout_ms = 10000},
			   status, err);
}

static void a_megabyte_goes_through_a_program_and_back(void **state)
{
	AUTO_BUF input = buf_new(2 << 20);
	AUTO_BUF output = buf_new(2 << 20);
	struct err err = {0};

	(void)state;
	while (input.length < 1 << 20)
		buf_add_text(&input, "0123456789abcdef");
	assert_int_equal(shell("cat", buf_view(&input), &output, NULL, &err), 0);
	assert_true(view_equal(buf_view(&input), buf_view(&output)));
}

static void a_program_that_does_not_read_its_input_is_no_error(void **state)
{
	AUTO_BUF input = buf_new(2 << 20);
	struct err err = {0};

	(void)state;
	while (input.length < 1 << 20)
		buf_add_text(&input, "0123456789abcdef");
	assert_int_equal(shell("exit 0", buf_view(&input), NULL, NULL, &err), 0);
}

static void a_failing_program_is_quoted_by_its_last_line(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(shell("echo one >&2; echo two >&2; exit 3", (struct view){0}, NULL, NULL, &err), -1);
	assert_string_equal(err.text, "sh ended with 3: two");
}

static void exit_codes_and_signals_are_told_apart(void **state)
{
	struct err err = {0};
	int status = -1;

	(void)state;
	assert_int_equal(shell("exit 7", (struct view){0}, NULL, &status, &err), 0);
	assert_int_equal(status, 7);
	assert_int_equal(shell("kill -9 $$", (struct view){0}, NULL, &status, &err), 0);
	assert_int_equal(status, 128 + 9);
}

static void output_over_the_maximum_is_a_limit(void **state)
{
	AUTO_BUF output = buf_new(1000);
	struct err err = {0};

	(void)state;
	assert_int_equal(shell("head -c 100000 /dev/zero", (struct view){0}, &output, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void a_program_over_its_time_is_killed_with_its_children(void **state)
{
	const struct process_spec spec = {.argv = (const char *const[]){"sh", "-c", "sleep 1000 & wait", NULL}, .timeout_ms = 100};
	int64_t began_ms = world_elapsed_ms(world_real);
	struct err err = {0};

	(void)state;
	assert_int_equal(process_run(&spec, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_true(world_elapsed_ms(world_real) - began_ms < 5000);
}

static void a_daemon_that_keeps_the_pipe_open_does_not_hold_us(void **state)
{
	AUTO_BUF output = buf_new(1000);
	int64_t began_ms = world_elapsed_ms(world_real);
	struct err err = {0};

	(void)state;
	assert_int_equal(shell("echo hi; sleep 4 & exit 0", (struct view){0}, &output, NULL, &err), 0);
	assert_string_equal(output.at, "hi\n");
	assert_true(world_elapsed_ms(world_real) - began_ms < 3000);
}

static void children_see_neither_our_environment_nor_our_descriptors(void **state)
{
	AUTO_BUF output = buf_new(1000);
	AUTO_CLOSE int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */
	struct err err = {0};

	(void)state;
	(void)setenv("ASSAY_TEST_SECRET", "x", 1);
	assert_int_equal(shell("echo ${ASSAY_TEST_SECRET-none}; ls /proc/self/fd | wc -l", (struct view){0}, &output, NULL, &err),
			 0);
	assert_string_equal(output.at, "none\n4\n");
}

static void a_missing_program_is_named(void **state)
{
	const struct process_spec spec = {.argv = (const char *const[]){"no-such-program", NULL}};
	struct err err = {0};

	(void)state;
	assert_int_equal(process_run(&spec, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "no-such-program"));
}

static void a_process_that_cannot_be_started_waits_longer_each_time_and_a_good_one_not_at_all(void **state)
{
	struct restart restart = {0};
	struct err err = {0};
	int64_t now_ms = 1000;

	(void)state;
	assert_int_equal(restart_allowed(&restart, now_ms, "it", &err), 0);
	for (int64_t pause_ms = RESTART_PAUSE_FIRST_MS, i = 0; i < 12; i++) {
		restart_ended(&restart, now_ms, false);
		assert_int_equal(restart_allowed(&restart, now_ms + pause_ms - 1, "it", &err), -1);
		assert_int_equal(err.kind, ERR_RETRY);
		now_ms += pause_ms;
		assert_int_equal(restart_allowed(&restart, now_ms, "it", &err), 0);
		pause_ms = pause_ms * 2 < RESTART_PAUSE_LONGEST_MS ? pause_ms * 2 : RESTART_PAUSE_LONGEST_MS;
	}
	restart_ended(&restart, now_ms, true);
	assert_int_equal(restart_allowed(&restart, now_ms, "it", &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_megabyte_goes_through_a_program_and_back),
		cmocka_unit_test(a_program_that_does_not_read_its_input_is_no_error),
		cmocka_unit_test(a_failing_program_is_quoted_by_its_last_line),
		cmocka_unit_test(exit_codes_and_signals_are_told_apart),
		cmocka_unit_test(output_over_the_maximum_is_a_limit),
		cmocka_unit_test(a_program_over_its_time_is_killed_with_its_children),
		cmocka_unit_test(a_daemon_that_keeps_the_pipe_open_does_not_hold_us),
		cmocka_unit_test(children_see_neither_our_environment_nor_our_descriptors),
		cmocka_unit_test(a_missing_program_is_named),
		cmocka_unit_test(a_process_that_cannot_be_started_waits_longer_each_time_and_a_good_one_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
