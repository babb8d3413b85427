/*
 * assay-clock: another date for one program, loaded before its own libraries (LD_PRELOAD).
 *
 * ASSAY_CLOCK is "+MS" or "-MS", an offset, or "=MS", a moment (ms since 1970) at which the date stands still. Only the wall clock is
 * another: what waits and measures by the monotonic clock goes on as ever, and moments of the wall clock that a program waits for are
 * turned back into real ones. It needs no library of its own, so that it loads beside any libc; a program that is linked statically,
 * or asks the kernel itself, is not reached.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/init/clock.h"

#define SECOND_NS 1000000000
#define NEVER_MONOTONIC_S 1000000000 /* nobody's monotonic clock is there yet: since the start of the machine 31 years */

/* Before glibc 2.34 only there when something loads libdl; musl has no versions. */
extern void *dlsym(void *handle, const char *name) __attribute__((weak));
extern void *dlvsym(void *handle, const char *name, const char *version) __attribute__((weak));
#define NEXT ((void *)-1L) /* RTLD_NEXT */

/* The one that would be called without us. Before glibc 2.36 dlsym() gives the oldest version there is (glibc's bug 14932), and the condition
 * variables of x86-64's oldest one have another shape. */
static void *next_find(const char *name)
{
	void *found = NULL;

#ifdef __x86_64__
	found = dlvsym ? dlvsym(NEXT, name, "GLIBC_2.3.2") : NULL;
#endif
	return found || !dlsym ? found : dlsym(NEXT, name);
}

static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with) {
		text++;
		with++;
	}
	return !*with;
}

enum mode { MODE_UNKNOWN, MODE_REAL, MODE_OFFSET, MODE_FROZEN };

static struct {
	enum mode mode; /* atomic; written last */
	int64_t ns;
} clock_asked;

/* Read once; twice at once comes to the same. */
static enum mode asked(void)
{
	enum mode mode = __atomic_load_n(&clock_asked.mode, __ATOMIC_ACQUIRE);
	const char *text = NULL;
	int64_t ms = 0;

	if (mode != MODE_UNKNOWN || !environ)
		return mode;
	for (char **at = environ; *at && !text; at++)
		text = begins(*at, CLOCK_VARIABLE "=") ? *at + sizeof(CLOCK_VARIABLE "=") - 1 : NULL;
	for (const char *digit = text ? text + 1 : ""; text && *text && *digit >= '0' && *digit <= '9'; digit++)
		ms = ms * 10 + (*digit - '0');
	mode = !text ? MODE_REAL : *text == '=' ? MODE_FROZEN : *text == '+' || *text == '-' ? MODE_OFFSET : MODE_REAL;
	__atomic_store_n(&clock_asked.ns, (text && *text == '-' ? -ms : ms) * 1000000, __ATOMIC_RELAXED);
	__atomic_store_n(&clock_asked.mode, mode, __ATOMIC_RELEASE);
	return mode;
}

static bool is_wall(clockid_t id)
{
	return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_REALTIME_ALARM || id == CLOCK_TAI;
}

static struct timespec from_ns(int64_t ns)
{
	struct timespec at = {.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};

	if (at.tv_nsec < 0) {
		at.tv_nsec += SECOND_NS;
		at.tv_sec--;
	}
	return at;
}

static int64_t to_ns(const struct timespec *at)
{
	return (int64_t)at->tv_sec * SECOND_NS + at->tv_nsec;
}

/* The moment that a program believes in, and back. */
static struct timespec believed(const struct timespec *real)
{
	enum mode mode = asked();

	if (mode == MODE_FROZEN)
		return from_ns(clock_asked.ns);
	return mode == MODE_OFFSET ? from_ns(to_ns(real) + clock_asked.ns) : *real;
}

static struct timespec real_now(void)
{
	struct timespec now = {0};

	(void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	return now;
}

static const struct timespec *real_moment(const struct timespec *moment, struct timespec *held)
{
	struct timespec now;
	struct timespec shown;

	if (!moment || moment->tv_sec < NEVER_MONOTONIC_S || asked() < MODE_OFFSET)
		return moment;
	now = real_now();
	shown = believed(&now);
	*held = from_ns(to_ns(&now) + (to_ns(moment) - to_ns(&shown)));
	return held;
}

/* ---- what is asked ---- */

int clock_gettime(clockid_t id, struct timespec *at)
{
	int result = (int)syscall(SYS_clock_gettime, id, at);

	if (result == 0 && is_wall(id))
		*at = believed(at);
	return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now = real_now();

	now = believed(&now);
	*at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	if (zone)
		*(struct timezone *)zone = (struct timezone){0};
	return 0;
}

time_t time(time_t *at)
{
	struct timespec now = real_now();

	now = believed(&now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}

int timespec_get(struct timespec *at, int base)
{
	struct timespec now = real_now();

	if (base != TIME_UTC)
		return 0;
	*at = believed(&now);
	return base;
}

/* ---- what is waited for: moments, which no monotonic clock has reached, are of the wall clock ---- */

#define WAIT(name, parameters, arguments)                   \
	int name parameters                                 \
	{                                                   \
		static __typeof__(name) *next;              \
		struct timespec held;                       \
                                                            \
		if (!next)                                  \
			*(void **)&next = next_find(#name); \
		if (!next)                                  \
			return EINVAL;                      \
		until = real_moment(until, &held);          \
		return next arguments;                      \
	}

WAIT(pthread_cond_timedwait,
     (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until), (cond, mutex, until))
WAIT(pthread_cond_clockwait,
     (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t id, const struct timespec *restrict until),
     (cond, mutex, id, until))
WAIT(pthread_mutex_timedlock, (pthread_mutex_t *restrict mutex, const struct timespec *restrict until), (mutex, until))
WAIT(sem_timedwait, (sem_t *restrict semaphore, const struct timespec *restrict until), (semaphore, until))

int clock_nanosleep(clockid_t id, int flags, const struct timespec *request, struct timespec *left)
{
	static int (*next)(clockid_t id, int flags, const struct timespec *request, struct timespec *left);
	struct timespec held;

	if (!next)
		*(void **)&next = next_find("clock_nanosleep");
	if (!next)
		return EINVAL;
	return next(id, flags, flags & TIMER_ABSTIME && is_wall(id) ? real_moment(request, &held) : request, left);
}
