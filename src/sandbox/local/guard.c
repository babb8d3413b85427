/*
 * The disk's guard: quotas are not in every kernel, so the keeper watches the pool's free space while sandboxes live. When it has
 * dropped by a step, a child counts what each environment holds of its own; one that holds more than its share is stopped, and when the
 * disk is nearly full, of bytes or of names, the largest is. So a disk that is being filled hurts only who fills it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/local/keeper_priv.h"

#define SHARE_PERCENT_DEFAULT 25 /* of the pool, for one environment */
#define STEP_PERCENT 2           /* of the pool: a drop of this much is worth a count */
#define RESERVE_PERCENT 5        /* of the pool, nearly full below that */
#define RESERVE_BYTES_MAX ((uint64_t)2 << 30)

struct row {
	struct env_id id;
	int64_t bytes;
};

struct count {
	struct keeper *keeper;
	int rows[2]; /* a pipe of struct row */
};

static bool counting;
static uint64_t free_then = UINT64_MAX;
static unsigned share_percent = SHARE_PERCENT_DEFAULT;

int guard_share_set(const char *percent, struct err *err)
{
	uint64_t number;

	if (!percent || !*percent)
		return 0;
	if (!view_to_u64(view_of(percent), &number) || number < 1 || number > 100)
		return err_set(err, ERR_INVALID, KEEPER_SHARE_VARIABLE "=%.20s: expected a number of percent, 1 to 100", percent);
	share_percent = (unsigned)number;
	return 0;
}

/* False when the file system cannot be asked. */
static bool space(const char *path, uint64_t *all, uint64_t *left)
{
	struct statvfs info;

	if (statvfs(path, &info))
		return false;
	*all = (uint64_t)info.f_blocks * info.f_frsize;
	*left = (uint64_t)info.f_bavail * info.f_frsize;
	return true;
}

static uint64_t reserve_of(uint64_t all)
{
	uint64_t reserve = all / 100 * RESERVE_PERCENT;

	return reserve < RESERVE_BYTES_MAX ? reserve : RESERVE_BYTES_MAX;
}

static bool nearly_full(const char *path)
{
	struct statvfs info;
	uint64_t all, left;

	if (statvfs(path, &info) == 0 && info.f_favail < info.f_files / 100 * RESERVE_PERCENT)
		return true; /* of names; some file systems have no number of them */
	return space(path, &all, &left) && left < reserve_of(all);
}

static bool is_short(const struct keeper *keeper)
{
	return nearly_full(keeper->pool.dir) || nearly_full(keeper->state_dir);
}

static bool lives(const struct kept_env *env)
{
	for (const struct room *room = env->rooms; room; room = room->next)
		if (room->pid)
			return true;
	return false;
}

static int count_work(void *self, struct err *err)
{
	const struct count *count = self;

	(void)err;
	for (const struct kept_env *env = count->keeper->environments; env; env = env->next) {
		struct row row = {.id = env->id};
		char path[PATH_BYTES];

		if (!lives(env))
			continue;
		kept_env_path(count->keeper, env->id, "", path);
		row.bytes = tree_bytes(path, true);
		(void)!write(count->rows[1], &row, sizeof(row));
	}
	return 0;
}

static void stop(struct keeper *keeper, const struct row *row, const char *because)
{
	struct kept_env *env = kept_env_find(keeper, row->id);

	if (!env)
		return;
	(void)snprintf(env->stopped, sizeof(env->stopped), "it held %lld MiB of the disk, and %s", (long long)(row->bytes >> 20),
		       because);
	log_error("environment %s is stopped: %s", row->id.text, env->stopped);
	rooms_kill(keeper, env);
	rooms_empty(keeper, env);
}

static void count_done(void *self, const struct err *failure)
{
	struct count *count = self;
	uint64_t all = 0, left;
	struct row row, largest = {.bytes = -1};
	bool stopped = false;
	char because[KEEPER_STOPPED_BYTES / 2];

	(void)failure;
	(void)space(count->keeper->pool.dir, &all, &left);
	(void)snprintf(because, sizeof(because), "one may hold %llu MiB (%u percent, " KEEPER_SHARE_VARIABLE ")",
		       (unsigned long long)(all / 100 * share_percent >> 20), share_percent);
	while (read(count->rows[0], &row, sizeof(row)) == (ssize_t)sizeof(row)) {
		if (all && (uint64_t)row.bytes > all / 100 * share_percent) {
			stop(count->keeper, &row, because);
			stopped = true;
		} else if (row.bytes > largest.bytes) {
			largest = row;
		}
	}
	/* What was stopped still holds its disk: the next is not to blame, nor is one that holds less than what is short. */
	if (!stopped && largest.bytes > 0 && (uint64_t)largest.bytes > reserve_of(all) && is_short(count->keeper))
		stop(count->keeper, &largest, "the most, when the disk was nearly full: free some");
	(void)close(count->rows[0]);
	(void)close(count->rows[1]);
	free(count);
	counting = false;
}

static void count_start(struct keeper *keeper)
{
	struct count *count = mem_new(sizeof(*count));
	struct job_spec job = {.work = count_work, .done = count_done, .self = count};

	count->keeper = keeper;
	if (pipe2(count->rows, O_CLOEXEC | O_NONBLOCK) || job_start(keeper, &job, NULL))
		free(count);
	else
		counting = true;
}

bool guard_look(struct keeper *keeper)
{
	uint64_t all, left;
	bool anyone = false;

	for (const struct kept_env *env = keeper->environments; env && !anyone; env = env->next)
		anyone = lives(env);
	if (!anyone || counting || !space(keeper->pool.dir, &all, &left))
		return anyone;
	if (free_then == UINT64_MAX || left > free_then)
		free_then = left;
	if (free_then - left > all / 100 * STEP_PERCENT || is_short(keeper)) {
		free_then = left;
		count_start(keeper);
	}
	return true;
}
