/* Another date for a program: what it is told, and that it waits as long as it means to. This program is its own subject, run again with the
 * library before its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <sys/time.h>
#include <time.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "sandbox/init/blob.h"
#include "sandbox/init/clock.h"

static char dir[] = "/tmp/assay-clock-XXXXXX";
static const char *self;

#define WAIT_MS 100

static int64_t monotonic_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct timespec soon(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += WAIT_MS * 1000000L;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	return at;
}

/* As the subject: dates of four kinds in seconds, and whether each wait took its time. */
static int subject(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec until = soon();
	struct timespec utc;
	struct timeval day;
	int64_t begin_ms = monotonic_ms();
	sem_t semaphore;

	(void)sem_init(&semaphore, 0, 0);
	(void)gettimeofday(&day, NULL);
	(void)timespec_get(&utc, TIME_UTC);
	printf("%lld %lld %lld %lld", (long long)time(NULL), (long long)day.tv_sec, (long long)utc.tv_sec, (long long)until.tv_sec);
	(void)pthread_mutex_lock(&mutex);
	(void)pthread_cond_timedwait(&cond, &mutex, &until);
	printf(" %d", monotonic_ms() - begin_ms >= WAIT_MS / 2);
	begin_ms = monotonic_ms();
	until = soon();
	(void)sem_timedwait(&semaphore, &until);
	printf(" %d", monotonic_ms() - begin_ms >= WAIT_MS / 2);
	begin_ms = monotonic_ms();
	until = soon();
	(void)clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
	printf(" %d\n", monotonic_ms() - begin_ms >= WAIT_MS / 2);
	return 0;
}

/* Dates are in `at`; the waits must have been as long as meant, in whatever time the machine needs (but ended). */
static void run_with(const char *clock, long long at[4])
{
	AUTO_FREE char *preload = text_format("LD_PRELOAD=%s/clock.so", dir);
	AUTO_FREE char *asked = text_format(CLOCK_VARIABLE "=%s", clock);
	const char *const env[] = {preload, asked, "ASAN_OPTIONS=verify_asan_link_order=0", NULL};
	AUTO_BUF output = buf_new(4096);
	struct err err = {0};
	int waits[3];

	if (process_run(&(struct process_spec){.argv = (const char *const[]){self, "subject", NULL},
					       .env = env,
					       .output = &output,
					       .timeout_ms = 60000},
			NULL, &err))
		fail_msg("%s", err.text);
	if (sscanf(output.at, "%lld %lld %lld %lld %d %d %d", &at[0], &at[1], &at[2], &at[3], &waits[0], &waits[1], &waits[2]) != 7)
		fail_msg("%s", output.at);
	for (int i = 0; i < 3; i++)
		assert_int_equal(waits[i], 1);
}

static void a_date_stands_still_and_whoever_waits_for_it_does_not(void **state)
{
	long long at[4];

	(void)state;
	run_with("=1588334400500", at);
	for (int i = 0; i < 4; i++)
		assert_int_equal(at[i], 1588334400);
}

static void a_date_is_off_by_what_was_asked(void **state)
{
	static const struct {
		const char *clock;
		long long off_s;
	} rows[] = {{"-2592000000", -2592000}, {"+86400000", 86400}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		long long before = (long long)time(NULL);
		long long at[4];
		long long after;

		run_with(rows[i].clock, at);
		after = (long long)time(NULL);
		for (int k = 0; k < 4; k++)
			assert_true(at[k] >= before + rows[i].off_s - 1 && at[k] <= after + rows[i].off_s + 1);
	}
}

static void without_an_order_the_date_is_what_it_is(void **state)
{
	static const char *const clocks[] = {"", "soon"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		long long before = (long long)time(NULL);
		long long at[4];

		run_with(clocks[i], at);
		assert_true(at[0] >= before - 1 && at[1] >= before - 1 && at[0] <= (long long)time(NULL) + 1);
	}
}

static int library_make(void **state)
{
	AUTO_FREE char *path = NULL;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	path = text_format("%s/clock.so", dir);
	return file_replace(path, view_make((const char *)clock_blob, clock_blob_length), 0755, NULL);
}

static int library_remove(void **state)
{
	(void)state;
	return file_remove_tree(dir, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_date_stands_still_and_whoever_waits_for_it_does_not),
		cmocka_unit_test(a_date_is_off_by_what_was_asked),
		cmocka_unit_test(without_an_order_the_date_is_what_it_is),
	};

	if (argc > 1 && strcmp(argv[1], "subject") == 0)
		return subject();
	self = argv[0];
	return cmocka_run_group_tests(tests, library_make, library_remove);
}
