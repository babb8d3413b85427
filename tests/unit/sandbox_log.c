/* What programs print, kept: no flood fills the disk or holds its program up, and no escape sequence reaches a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"
#include "sandbox/environment_log.h"

#define FLOOD_BYTES ((int64_t)64 << 20)
#define WAIT_STEPS 400

static char dir[] = "/tmp/assay-log-XXXXXX";
static struct log_pump *pump;
static bool ended;

static void hint(void *self)
{
	(void)self;
	__atomic_store_n(&ended, true, __ATOMIC_RELEASE);
}

static int begin(void **state)
{
	struct err err = {0};

	(void)state;
	pump = mkdtemp(dir) ? log_pump_open(hint, NULL, &err) : NULL;
	return pump ? 0 : -1;
}

static int finish(void **state)
{
	struct err err = {0};

	(void)state;
	log_pump_close(pump);
	return file_remove_tree(dir, &err);
}

static struct log *opened(const char *name)
{
	struct err err = {0};
	struct log *log = log_open(pump, dir, name, &err);

	assert_non_null(log);
	return log;
}

static int pipe_of(struct log *log)
{
	struct err err = {0};
	int fd = -1;

	ended = false;
	assert_int_equal(log_pipe(log, &fd, &err), 0);
	return fd;
}

static void wait_ended(void)
{
	for (int i = 0; i < WAIT_STEPS && !__atomic_load_n(&ended, __ATOMIC_ACQUIRE); i++)
		(void)usleep(25000);
	assert_true(ended);
}

static void printed(struct log *log, const char *text)
{
	int fd = pipe_of(log);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	wait_ended();
}

/* Owned. */
static char *read_all(const char *name, int64_t *from)
{
	AUTO_BUF text = buf_new((size_t)32 << 20);
	struct err err = {0};

	assert_int_equal(log_read(dir, name, 0, from, &text, &err), 0);
	return view_copy(buf_view(&text));
}

static int64_t size_of(const char *file)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, file);
	struct stat info;

	return stat(path, &info) ? 0 : info.st_size;
}

static void lines_are_kept_by_name_and_together(void **state)
{
	struct log *one = opened("one");
	struct log *two = opened("two");
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *all = NULL;

	(void)state;
	printed(one, "first\n");
	printed(two, "second\n");
	text = read_all("one", NULL);
	all = read_all("all", NULL);
	assert_string_equal(text, "first\n");
	assert_non_null(strstr(all, "one        | first\ntwo        | second\n"));
	log_close(one);
	log_close(two);
}

static void who_follows_gets_what_is_new(void **state)
{
	struct log *log = opened("followed");
	AUTO_FREE char *first = NULL;
	AUTO_FREE char *second = NULL;
	int64_t from = 0;

	(void)state;
	printed(log, "a\nb\n");
	first = read_all("followed", &from);
	printed(log, "c\n");
	second = read_all("followed", &from);
	assert_string_equal(first, "a\nb\n");
	assert_string_equal(second, "c\n");
	log_close(log);
}

static void escape_sequences_come_out_as_text(void **state)
{
	struct log *log = opened("escapes");
	AUTO_FREE char *text = NULL;

	(void)state;
	printed(log, "\033]0;title\007\033[2J\tred\r\b\x9b"
		     "31m\n");
	text = read_all("escapes", NULL);
	for (const char *at = text; *at; at++)
		assert_true(*at == '\n' || *at == '\t' || ((unsigned char)*at >= 0x20 && *at != 0x7f));
	assert_non_null(strstr(text, "title"));
	assert_non_null(strstr(text, "\tred"));
	log_close(log);
}

static void a_flood_is_cut_and_said_and_its_program_goes_on(void **state)
{
	static char piece[65536];
	struct log *log = opened("flood");
	int fd = pipe_of(log);
	AUTO_FREE char *text = NULL;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	piece[sizeof(piece) - 1] = '\n';
	for (int64_t sent = 0; sent < FLOOD_BYTES; sent += (int64_t)sizeof(piece))
		assert_int_equal(write(fd, piece, sizeof(piece)), sizeof(piece));
	for (int i = 0; i < WAIT_STEPS && (!text || !strstr(text, "bytes of output were dropped here")); i++) {
		(void)usleep(25000);
		assert_int_equal(write(fd, "more\n", 5), 5);
		free(text);
		text = read_all("flood", NULL);
	}
	assert_non_null(strstr(text, "bytes of output were dropped here: more than 1024 KiB a second"));
	(void)close(fd);
	wait_ended();
	log_close(log);
	assert_true(size_of("flood.log") + size_of("flood.log.1") <= 2 * LOG_FILE_BYTES);
	assert_true(size_of("all.log") + size_of("all.log.1") <= 2 * (LOG_FILE_BYTES + (int64_t)LOG_LINE_MAX));
}

static void a_full_file_is_rotated_once_and_positions_go_on(void **state)
{
	static char line[1024];
	struct log *log = opened("long");
	int64_t from = -1;
	AUTO_FREE char *text = NULL;

	(void)state;
	memset(line, 'y', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int64_t sent = 0; sent <= 3 * LOG_FILE_BYTES; sent += (int64_t)sizeof(line))
		log_say(log, "%s", line);
	free(read_all("long", &from));
	assert_true(from > 3 * LOG_FILE_BYTES);
	log_say(log, "the end");
	text = read_all("long", &from);
	assert_string_equal(text, "[assay] the end\n");
	assert_true(size_of("long.log") <= LOG_FILE_BYTES && size_of("long.log.1") <= LOG_FILE_BYTES);
	assert_int_equal(size_of("long.log.2"), 0);
	log_close(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_kept_by_name_and_together),
		cmocka_unit_test(who_follows_gets_what_is_new),
		cmocka_unit_test(escape_sequences_come_out_as_text),
		cmocka_unit_test(a_flood_is_cut_and_said_and_its_program_goes_on),
		cmocka_unit_test(a_full_file_is_rotated_once_and_positions_go_on),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
