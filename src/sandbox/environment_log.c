/*
 * One thread reads the pipes of all programs and writes their logs.
 *
 * Theory of operation. The pump's mutex guards every log and pipe; the thread takes it for each chunk, log_open, log_pipe and log_close
 * for a moment. A pipe belongs to its log and is closed at its end or with the log. What is over a log's rate is dropped in whole
 * chunks up to a line's end, counted, and said when the flood ebbs.
 */
#include "sandbox/environment_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"

#define CHUNK ((size_t)65536)
#define EVENTS 32
#define NAME_WIDTH 10
#define COMBINED "all"

struct log_pipe {
	struct log *log;
	struct log_pipe *next;
	int fd;
};

struct log {
	struct log_pump *pump;
	struct log *next;
	struct log_pipe *pipes;
	char *dir;
	char *name;
	int fd;
	int combined_fd;
	int64_t size;
	int64_t combined_size;
	int64_t allowance; /* bytes that may still be written now */
	int64_t filled_ms; /* when the allowance was last raised */
	int64_t dropped;
	struct buf line; /* for all.log: what came of the last line */
};

struct log_pump {
	pthread_t thread;
	pthread_mutex_t mutex;
	int epoll;
	int wake;
	bool closing;
	struct log *logs;
	struct log_pipe *dead; /* of closed logs: freed by the thread, which may still hold events for them */
	void (*hint)(void *self);
	void *self;
};

static char *path_of(const char *dir, const char *name, const char *suffix)
{
	return text_format("%s/%s.log%s", dir, name, suffix);
}

static int file_open(const char *dir, const char *name, int64_t *size)
{
	AUTO_FREE char *path = path_of(dir, name, "");
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	struct stat stat;

	*size = fd >= 0 && fstat(fd, &stat) == 0 ? stat.st_size : 0;
	return fd;
}

static int64_t start_of(const char *dir, const char *name)
{
	AUTO_FREE char *path = path_of(dir, name, ".at");
	AUTO_BUF text = buf_new(64);
	uint64_t start = 0;

	if (file_read(path, &text, NULL) || !view_to_u64(buf_view(&text), &start) || start > INT64_MAX / 2)
		return 0;
	return (int64_t)start;
}

/* Full: the file becomes the older one. What it held before is remembered, so that positions go on. */
static void rotate(const char *dir, const char *name, int *fd, int64_t *size)
{
	AUTO_FREE char *path = path_of(dir, name, "");
	AUTO_FREE char *older = path_of(dir, name, ".1");
	AUTO_FREE char *at = path_of(dir, name, ".at");
	AUTO_FREE char *start = text_format("%lld", (long long)(start_of(dir, name) + *size));

	if (file_replace(at, view_of(start), 0640, NULL))
		return; /* no room on the disk: the file goes on growing slowly, as far as that lets it */
	(void)rename(path, older);
	scope_close(fd);
	*fd = file_open(dir, name, size);
}

static void put(struct log *log, struct view bytes)
{
	if (log->size + (int64_t)bytes.length > LOG_FILE_BYTES)
		rotate(log->dir, log->name, &log->fd, &log->size);
	if (log->fd >= 0 && file_write_fd(log->fd, bytes, NULL) == 0)
		log->size += (int64_t)bytes.length;
}

/* all.log is shared by the logs of a directory: only complete lines, each in one write. */
static void combined_put(struct log *log, struct view line)
{
	AUTO_BUF text = buf_new(LOG_LINE_MAX + 256);
	AUTO_FREE char *path = path_of(log->dir, COMBINED, "");
	struct stat ours;
	struct stat named;

	buf_add_format(&text, "%-*s | ", NAME_WIDTH, log->name);
	buf_add_view(&text, line);
	buf_add_char(&text, '\n');
	if (log->combined_fd < 0 || fstat(log->combined_fd, &ours))
		return;
	if (stat(path, &named) || named.st_ino != ours.st_ino) { /* another log of the directory rotated it */
		scope_close(&log->combined_fd);
		log->combined_fd = file_open(log->dir, COMBINED, &log->combined_size);
	} else {
		log->combined_size = ours.st_size;
	}
	if (log->combined_size + (int64_t)text.length > LOG_FILE_BYTES)
		rotate(log->dir, COMBINED, &log->combined_fd, &log->combined_size);
	if (log->combined_fd >= 0)
		(void)!write(log->combined_fd, text.at, text.length);
}

static void combined_add(struct log *log, struct view bytes)
{
	while (bytes.length) {
		struct view rest;
		struct view part = view_cut(bytes, '\n', &rest);

		if (log->line.length + part.length > LOG_LINE_MAX)
			part.length = LOG_LINE_MAX - log->line.length;
		buf_add_view(&log->line, part);
		if (!rest.at && log->line.length < LOG_LINE_MAX)
			return;
		combined_put(log, buf_view(&log->line));
		buf_clear(&log->line);
		/* A line over the maximum is broken there. */
		bytes = view_make(part.at + part.length, bytes.length - part.length);
		if (bytes.length && bytes.at[0] == '\n')
			bytes = view_make(bytes.at + 1, bytes.length - 1);
	}
}

static void write_both(struct log *log, struct view bytes)
{
	put(log, bytes);
	combined_add(log, bytes);
}

static void say(struct log *log, const char *text)
{
	AUTO_FREE char *line = text_format("%s[assay] %s\n", log->line.length ? "\n" : "", text);

	write_both(log, view_of(line));
}

static void take(struct log *log, struct view bytes)
{
	int64_t now_ms = world_elapsed_ms(world_real);
	int64_t passed_ms = now_ms - log->filled_ms;

	log->filled_ms = now_ms;
	if (passed_ms > LOG_BURST / LOG_RATE * 1000)
		log->allowance = LOG_BURST;
	else
		log->allowance += passed_ms * LOG_RATE / 1000;
	if (log->allowance > LOG_BURST)
		log->allowance = LOG_BURST;
	/* Once cut, it stays cut until there is room for a second's worth. */
	if (log->allowance < (log->dropped ? LOG_RATE : (int64_t)bytes.length)) {
		log->dropped += (int64_t)bytes.length;
		return;
	}
	if (log->dropped) {
		AUTO_FREE char *text = text_format("%lld bytes of output were dropped here: more than %lld KiB a second",
						   (long long)log->dropped, (long long)(LOG_RATE >> 10));

		say(log, text);
		log->dropped = 0;
	}
	log->allowance -= (int64_t)bytes.length;
	write_both(log, bytes);
}

/* Closing is not enough: a child between fork and exec holds the pipe open, and epoll would go on naming what we free. */
static void pipe_unlink(struct log_pipe *pipe)
{
	struct log_pipe **at = &pipe->log->pipes;

	while (*at && *at != pipe) /* NOLINT(clang-analyzer-core.NullDereference): every pipe has a log */
		at = &(*at)->next;
	*at = pipe->next;
	(void)epoll_ctl(pipe->log->pump->epoll, EPOLL_CTL_DEL, pipe->fd, NULL);
	(void)close(pipe->fd);
	pipe->log = NULL;
}

/* True when the pipe ended. */
static bool pipe_read(struct log_pump *pump, struct log_pipe *pipe, char *chunk)
{
	bool ended = false;

	(void)pthread_mutex_lock(&pump->mutex);
	if (pipe->log) {
		ssize_t got = read(pipe->fd, chunk, CHUNK);

		if (got > 0) {
			take(pipe->log, view_make(chunk, (size_t)got));
		} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			pipe_unlink(pipe);
			pipe->next = pump->dead;
			pump->dead = pipe;
			ended = true;
		}
	}
	(void)pthread_mutex_unlock(&pump->mutex);
	return ended;
}

static void dead_free(struct log_pump *pump)
{
	(void)pthread_mutex_lock(&pump->mutex);
	while (pump->dead) {
		struct log_pipe *pipe = pump->dead;

		pump->dead = pipe->next;
		free(pipe);
	}
	(void)pthread_mutex_unlock(&pump->mutex);
}

static void *pump_run(void *self)
{
	struct log_pump *pump = self;
	AUTO_FREE char *chunk = mem_new(CHUNK);

	while (!__atomic_load_n(&pump->closing, __ATOMIC_ACQUIRE)) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(pump->epoll, events, EVENTS, -1);
		bool ended = false;

		for (int i = 0; i < count; i++)
			if (events[i].data.ptr && pipe_read(pump, events[i].data.ptr, chunk))
				ended = true;
		dead_free(pump);
		if (ended && pump->hint)
			pump->hint(pump->self);
	}
	return NULL;
}

struct log_pump *log_pump_open(void (*hint)(void *self), void *self, struct err *err)
{
	struct log_pump *pump = mem_new(sizeof(*pump));
	struct epoll_event event = {.events = EPOLLIN};
	int problem;

	pump->hint = hint;
	pump->self = self;
	(void)pthread_mutex_init(&pump->mutex, NULL);
	pump->epoll = epoll_create1(EPOLL_CLOEXEC);
	pump->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	problem = pump->epoll < 0 || pump->wake < 0 ? errno : 0;
	if (!problem && epoll_ctl(pump->epoll, EPOLL_CTL_ADD, pump->wake, &event))
		problem = errno;
	if (!problem)
		problem = pthread_create(&pump->thread, NULL, pump_run, pump);
	if (!problem)
		return pump;
	(void)err_errno(err, problem, "cannot start the thread that keeps logs");
	scope_close(&pump->epoll);
	scope_close(&pump->wake);
	free(pump);
	return NULL;
}

void log_pump_close(struct log_pump *pump)
{
	uint64_t one = 1;

	if (!pump)
		return;
	__atomic_store_n(&pump->closing, true, __ATOMIC_RELEASE);
	(void)!write(pump->wake, &one, sizeof(one));
	(void)pthread_join(pump->thread, NULL);
	dead_free(pump);
	(void)close(pump->epoll);
	(void)close(pump->wake);
	(void)pthread_mutex_destroy(&pump->mutex);
	free(pump);
}

struct log *log_open(struct log_pump *pump, const char *dir, const char *name, struct err *err)
{
	struct log *log;

	if (file_make_dirs(dir, 0750, err))
		return NULL;
	log = mem_new(sizeof(*log));
	log->pump = pump;
	log->dir = text_copy(dir);
	log->name = text_copy(name);
	log->line = buf_new(LOG_LINE_MAX + 1);
	log->allowance = LOG_BURST;
	log->filled_ms = world_elapsed_ms(world_real);
	log->fd = file_open(dir, name, &log->size);
	log->combined_fd = file_open(dir, COMBINED, &log->combined_size);
	if (log->fd < 0 || log->combined_fd < 0) {
		(void)err_errno(err, errno, "cannot open the log of %s in %s", name, dir);
		log_close(log);
		return NULL;
	}
	return log;
}

void log_close(struct log *log)
{
	struct log_pump *pump;

	if (!log)
		return;
	pump = log->pump;
	(void)pthread_mutex_lock(&pump->mutex);
	while (log->pipes) {
		struct log_pipe *pipe = log->pipes;

		pipe_unlink(pipe);
		pipe->next = pump->dead;
		pump->dead = pipe;
	}
	if (log->line.length)
		combined_put(log, buf_view(&log->line));
	(void)pthread_mutex_unlock(&pump->mutex);
	scope_close(&log->fd);
	scope_close(&log->combined_fd);
	buf_fini(&log->line);
	free(log->dir);
	free(log->name);
	free(log);
}

int log_pipe(struct log *log, int *write_fd, struct err *err)
{
	struct log_pipe *pipe = mem_new(sizeof(*pipe));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = pipe};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC)) {
		free(pipe);
		return err_errno(err, errno, "cannot make a pipe for the log of %s", log->name);
	}
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	(void)pthread_mutex_lock(&log->pump->mutex);
	pipe->fd = ends[0];
	pipe->log = log;
	pipe->next = log->pipes;
	log->pipes = pipe;
	(void)epoll_ctl(log->pump->epoll, EPOLL_CTL_ADD, pipe->fd, &event);
	(void)pthread_mutex_unlock(&log->pump->mutex);
	*write_fd = ends[1];
	return 0;
}

void log_say(struct log *log, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	(void)pthread_mutex_lock(&log->pump->mutex);
	say(log, text);
	(void)pthread_mutex_unlock(&log->pump->mutex);
	free(text);
}

void log_neutral(struct buf *out, struct view text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '\r' && i + 1 < text.length && text.at[i + 1] == '\n')
			continue;
		if (c == '\n' || c == '\t' ||
		    (c >= 0x20 && c != 0x7f &&
		     !(c == 0xc2 && i + 1 < text.length && (unsigned char)text.at[i + 1] >= 0x80 &&
		       (unsigned char)text.at[i + 1] < 0xa0)))
			buf_add_char(out, (char)c);
		else if (c == 0xc2)
			buf_add_format(out, "\\x%02x", (unsigned)(unsigned char)text.at[++i]);
		else
			buf_add_format(out, "\\x%02x", (unsigned)c);
	}
}

/* The part of the text that is the last `lines` lines. */
static struct view last_lines(struct view text, int lines)
{
	size_t at = text.length;

	if (lines <= 0)
		return text;
	if (at && text.at[at - 1] == '\n')
		at--;
	while (at) {
		if (text.at[at - 1] == '\n' && --lines == 0)
			break;
		at--;
	}
	return view_make(text.at + at, text.length - at);
}

int log_read(const char *dir, const char *name, int lines, int64_t *from, struct buf *output, struct err *err)
{
	AUTO_FREE char *path = path_of(dir, name, "");
	AUTO_FREE char *older = path_of(dir, name, ".1");
	AUTO_BUF text = buf_new((size_t)LOG_FILE_BYTES * 3);
	int64_t start = start_of(dir, name);
	struct view wanted;

	if (file_exists(older) && file_read(older, &text, err))
		return -1;
	start -= (int64_t)text.length;
	/* One that has not been made yet has said nothing. */
	if (file_exists(path) && file_read(path, &text, err))
		return -1;
	if (from && *from >= 0) {
		int64_t skip = *from - start;

		if (skip < 0)
			skip = 0;
		if (skip > (int64_t)text.length)
			skip = (int64_t)text.length;
		wanted = view_make(text.at ? text.at + skip : "", text.length - (size_t)skip);
	} else {
		wanted = last_lines(buf_view(&text), lines);
	}
	if (from)
		*from = start + (int64_t)text.length;
	log_neutral(output, wanted);
	return buf_finish(output, err);
}
