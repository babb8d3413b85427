/* A queue of lines, one thread. */
#include "gateway/exchange_log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"

#define LINGER_NS 4000000 /* before a portion that may still grow is written: so many lines, one call */
#define PORTION_BYTES \
	((size_t)256 << 10) /* lines of one log are joined up to it; a line is some 300 KiB at most, by its bodies' maximum */

struct exchange_log {
	struct log_writer *writer;
	atomic_int fd; /* -1: none */
	atomic_uint holders;
	atomic_uint_fast64_t added;
	atomic_uint_fast64_t written;
	atomic_bool failed;
	struct portion *open; /* under the writer's mutex: the last portion of this log, while it may grow */
};

struct portion {
	struct portion *next;
	struct exchange_log *log;
	struct buf lines;
	uint64_t count;
};

struct log_writer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* something is to be written, or it ends */
	pthread_cond_t hurried;
	pthread_cond_t room;
	struct portion *first;
	struct portion **last;
	struct buf spare; /* of a portion that was written */
	size_t waiting_bytes;
	bool hurry; /* somebody waits for what was added so far */
	bool ending;
};

static void log_put(struct exchange_log *log)
{
	if (atomic_fetch_sub(&log->holders, 1) != 1)
		return;
	if (atomic_load(&log->fd) >= 0)
		(void)close(atomic_load(&log->fd));
	free(log);
}

/* Its lines' buffer is for the next portion. */
static void lines_spare(struct log_writer *writer, struct buf *lines)
{
	(void)pthread_mutex_lock(&writer->mutex);
	if (!writer->spare.at && lines->capacity <= 2 * PORTION_BYTES) {
		buf_clear(lines);
		writer->spare = *lines;
		*lines = buf_new(0);
	}
	(void)pthread_mutex_unlock(&writer->mutex);
	buf_fini(lines);
}

static void portion_write(struct log_writer *writer, struct portion *portion)
{
	struct exchange_log *log = portion->log;
	int fd = atomic_load(&log->fd);
	struct err err;

	if (fd >= 0 && file_write_fd(fd, buf_view(&portion->lines), &err) && !atomic_exchange(&log->failed, true))
		log_error("exchanges are lost: %s", err.text);
	atomic_fetch_add(&log->written, portion->count);
	lines_spare(writer, &portion->lines);
	free(portion);
	log_put(log);
}

/* Under the mutex: until the portion has had time to grow, or somebody waits for it. */
static void writer_linger(struct log_writer *writer)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LINGER_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!writer->hurry && !writer->ending && pthread_cond_timedwait(&writer->hurried, &writer->mutex, &until) == 0)
		;
}

static void *writer_main(void *self)
{
	struct log_writer *writer = self;
	bool linger = true;

	(void)pthread_mutex_lock(&writer->mutex);
	while (writer->first || !writer->ending) {
		struct portion *portion = writer->first;

		if (!portion) {
			writer->hurry = false;
			(void)pthread_cond_wait(&writer->changed, &writer->mutex);
			linger = true;
			continue;
		}
		if (linger && !writer->hurry && !writer->ending && portion->log->open == portion) {
			linger = false;
			writer_linger(writer);
			continue;
		}
		linger = true;
		writer->first = portion->next;
		if (!writer->first)
			writer->last = &writer->first;
		if (portion->log->open == portion)
			portion->log->open = NULL;
		writer->waiting_bytes -= portion->lines.length;
		(void)pthread_cond_broadcast(&writer->room);
		(void)pthread_mutex_unlock(&writer->mutex);
		portion_write(writer, portion);
		(void)pthread_mutex_lock(&writer->mutex);
	}
	(void)pthread_mutex_unlock(&writer->mutex);
	return NULL;
}

struct log_writer *log_writer_new(struct err *err)
{
	struct log_writer *writer = mem_new(sizeof(*writer));
	pthread_condattr_t monotonic;
	int failed;

	writer->last = &writer->first;
	(void)pthread_mutex_init(&writer->mutex, NULL);
	(void)pthread_cond_init(&writer->changed, NULL);
	(void)pthread_cond_init(&writer->room, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&writer->hurried, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	failed = pthread_create(&writer->thread, NULL, writer_main, writer);
	if (failed) {
		(void)err_errno(err, failed, "cannot start the log's thread");
		free(writer);
		return NULL;
	}
	return writer;
}

void log_writer_free(struct log_writer *writer)
{
	if (!writer)
		return;
	(void)pthread_mutex_lock(&writer->mutex);
	writer->ending = true;
	(void)pthread_cond_broadcast(&writer->changed);
	(void)pthread_cond_broadcast(&writer->hurried);
	(void)pthread_mutex_unlock(&writer->mutex);
	(void)pthread_join(writer->thread, NULL);
	(void)pthread_cond_destroy(&writer->changed);
	(void)pthread_cond_destroy(&writer->room);
	(void)pthread_cond_destroy(&writer->hurried);
	(void)pthread_mutex_destroy(&writer->mutex);
	buf_fini(&writer->spare);
	free(writer);
}

struct exchange_log *exchange_log_new(struct log_writer *writer)
{
	struct exchange_log *log = mem_new(sizeof(*log));

	log->writer = writer;
	atomic_store(&log->fd, -1);
	atomic_store(&log->holders, 1);
	return log;
}

void exchange_log_file_set(struct exchange_log *log, int fd)
{
	int old = atomic_load(&log->fd);

	if (old < 0) {
		atomic_store(&log->fd, fd);
		return;
	}
	(void)dup3(fd, old, O_CLOEXEC); /* the writer may be using the number: it keeps its meaning */
	(void)close(fd);
}

void exchange_log_release(struct exchange_log *log)
{
	if (log)
		log_put(log);
}

static struct buf spare_take(struct log_writer *writer)
{
	struct buf spare = writer->spare;

	writer->spare = buf_new(0);
	return spare;
}

/* Under the writer's mutex: a portion of this log that may grow. */
static struct portion *portion_open(struct exchange_log *log)
{
	struct log_writer *writer = log->writer;
	struct portion *portion = log->open;

	if (portion && portion->lines.length <= PORTION_BYTES)
		return portion;
	portion = mem_new(sizeof(*portion));
	portion->log = log;
	portion->lines = writer->spare.at ? spare_take(writer) : buf_new(SIZE_MAX / 4);
	atomic_fetch_add(&log->holders, 1);
	*writer->last = portion;
	writer->last = &portion->next;
	log->open = portion;
	(void)pthread_cond_signal(&writer->changed);
	return portion;
}

void exchange_log_add(struct exchange_log *log, const struct exchange *exchange)
{
	struct log_writer *writer = log->writer;
	struct portion *portion;
	size_t before;

	atomic_fetch_add(&log->added, 1);
	(void)pthread_mutex_lock(&writer->mutex);
	while (writer->waiting_bytes > LOG_WAITING_BYTES_MAX)
		(void)pthread_cond_wait(&writer->room, &writer->mutex);
	portion = portion_open(log);
	before = portion->lines.length;
	exchange_format(&portion->lines, exchange);
	portion->count++;
	writer->waiting_bytes += portion->lines.length - before;
	(void)pthread_mutex_unlock(&writer->mutex);
}

void exchange_log_counts(struct exchange_log *log, uint64_t *waiting, uint64_t *written)
{
	*written = atomic_load(&log->written);
	*waiting = atomic_load(&log->added) - *written;
}

void exchange_log_hurry(struct exchange_log *log)
{
	struct log_writer *writer = log->writer;

	(void)pthread_mutex_lock(&writer->mutex);
	writer->hurry = writer->first != NULL;
	(void)pthread_cond_signal(&writer->hurried);
	(void)pthread_mutex_unlock(&writer->mutex);
}
