/*
 * assay-sqlite: what a sandbox has for a SQLite database, as other engines have their servers and clients (data/sqlite.c). It runs beside
 * the file and nowhere else: whatever the file is, it is opened where it can do no harm.
 *
 *     make FILE                 an empty database, when there is no file
 *     serve FILE PORT           statements of the environment manager
 *     query FILE STATEMENT      prints what it gives: names, then rows, by tabs
 *     load FILE                 runs the statements on standard input
 *     put FILE                  takes the database on standard input in its place
 *     restore FILE FROM         makes it what FROM is, also under programs that have it open
 *     check FILE                writes the log back and says "clean" when nothing of one is left
 *
 * Exit codes: 0 done, 1 it did not succeed, 2 it was not understood.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "programs/assay_sqlite_file.h"
#include "programs/assay_sqlite_serve.h"

#define STATEMENT_BYTES_MAX ((size_t)256 << 20)
#define RESTORE_PAGES 4096
#define RESTORE_TRIES 300
#define RESTORE_PAUSE_MS 100
#define COPY_BYTES ((size_t)1 << 20)

static int failed(sqlite3 *file)
{
	(void)fprintf(stderr, "assay-sqlite: %s\n", sqlite3_errmsg(file));
	return 1;
}

static int system_failed(const char *what, const char *path)
{
	(void)fprintf(stderr, "assay-sqlite: cannot %s %s: %s\n", what, path, strerror(errno));
	return 1;
}

/* Large temporary files lie beside the database, where there is room for one more. */
static void temporary_set(const char *path)
{
	char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (slash) {
		*slash = '\0';
		(void)setenv("SQLITE_TMPDIR", folder, 1);
	}
	free(folder);
}

static int make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 || close(fd) ? system_failed("make", path) : 0;
}

static int serve(const char *path, const char *port)
{
	long number = strtol(port, NULL, 10);

	if (access(path, R_OK | W_OK))
		return system_failed("open", path);
	return number > 0 && number < 65536 ? sqlite_serve(path, (uint16_t)number) : 2;
}

/* ---- query ---- */

/* One value in its column: what would end it is written as MariaDB's client does. */
static void value_print(const char *text)
{
	static const char special[] = "\t\n\r\\";
	static const char names[] = "tnr\\";

	for (; *text; text++) {
		const char *found = strchr(special, *text);

		if (found)
			(void)printf("\\%c", names[found - special]);
		else
			(void)putchar(*text);
	}
}

static int rows_print(sqlite3 *file, sqlite3_stmt *statement)
{
	int columns = sqlite3_column_count(statement);
	bool first = true;
	int result;

	while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
		for (int i = 0; first && i < columns; i++) {
			value_print(sqlite3_column_name(statement, i));
			(void)putchar(i + 1 < columns ? '\t' : '\n');
		}
		first = false;
		for (int i = 0; i < columns; i++) {
			const char *text = (const char *)sqlite3_column_text(statement, i);

			value_print(text ? text : "NULL");
			(void)putchar(i + 1 < columns ? '\t' : '\n');
		}
	}
	return result == SQLITE_DONE ? 0 : failed(file);
}

static int query(const char *path, const char *text)
{
	sqlite3 *file = sqlite_file_open(path, true);
	int result = file ? 0 : 1;

	while (file && !result && *text) {
		sqlite3_stmt *statement = NULL;

		if (sqlite3_prepare_v2(file, text, -1, &statement, &text) != SQLITE_OK)
			result = failed(file);
		else if (statement)
			result = rows_print(file, statement);
		(void)sqlite3_finalize(statement);
	}
	if (fflush(stdout))
		result = 1;
	(void)sqlite3_close(file);
	return result;
}

/* ---- load ---- */

static int whole_run(sqlite3 *file, const char *text)
{
	return sqlite3_exec(file, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(file);
}

/* Statement by statement, so that a dump need not fit into memory. */
static int statements_run(sqlite3 *file, FILE *in)
{
	char *line = NULL;
	char *text = NULL;
	size_t line_room = 0;
	size_t used = 0;
	size_t room = 0;
	ssize_t got;
	int result = 0;

	while (!result && (got = getline(&line, &line_room, in)) >= 0) {
		if (used + (size_t)got + 1 > room) {
			room = (used + (size_t)got + 1) * 2;
			text = room < STATEMENT_BYTES_MAX * 2 ? realloc(text, room) : NULL;
			if (!text) {
				(void)fprintf(stderr, "assay-sqlite: a statement is longer than %zu MiB\n",
					      STATEMENT_BYTES_MAX >> 20);
				result = 1;
				break;
			}
		}
		memcpy(text + used, line, (size_t)got + 1);
		used += (size_t)got;
		if (!strchr(line, ';') || !sqlite3_complete(text))
			continue;
		result = whole_run(file, text);
		used = 0;
	}
	if (!result && used)
		result = whole_run(file, text);
	if (!result && ferror(in))
		result = system_failed("read", "the statements");
	free(text);
	free(line);
	return result;
}

static int load(const char *path)
{
	sqlite3 *file = sqlite_file_open(path, true);
	int result = file ? whole_run(file, "PRAGMA synchronous = OFF") || statements_run(file, stdin) : 1;

	if (!result && !sqlite3_get_autocommit(file)) {
		(void)fprintf(stderr, "assay-sqlite: the statements begin a transaction that they do not end\n");
		result = 1;
	}
	(void)sqlite3_close(file);
	return result;
}

/* ---- put, restore, check ---- */

static int copy(int from, const char *path)
{
	char *bytes = malloc(COPY_BYTES);
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	ssize_t got = 0;

	while (bytes && to >= 0 && (got = read(from, bytes, COPY_BYTES)) > 0)
		for (ssize_t done = 0, part; done < got; done += part) {
			part = write(to, bytes + done, (size_t)(got - done));
			if (part < 0) {
				got = -1;
				break;
			}
		}
	free(bytes);
	return to < 0 || got < 0 || close(to) ? system_failed("write", path) : 0;
}

static void path_with(char *out, size_t size, const char *path, const char *end)
{
	(void)snprintf(out, size, "%s%s", path, end);
}

/* What belongs to the file that was there says nothing of the one that comes. */
static void logs_remove(const char *path)
{
	static const char *const ends[] = {"-journal", "-wal", "-shm"};
	char name[4096];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		path_with(name, sizeof(name), path, ends[i]);
		(void)unlink(name);
	}
}

static int replace(int from, const char *path)
{
	char name[4096];

	path_with(name, sizeof(name), path, ".new");
	if (copy(from, name))
		return 1;
	logs_remove(path);
	return rename(name, path) ? system_failed("replace", path) : 0;
}

static int is_whole(sqlite3 *file)
{
	sqlite3_stmt *statement = NULL;
	bool good = sqlite3_prepare_v2(file, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
		    sqlite3_step(statement) == SQLITE_ROW;
	const char *said = good ? (const char *)sqlite3_column_text(statement, 0) : sqlite3_errmsg(file);

	if (!good || !said || strcmp(said, "ok") != 0) {
		(void)fprintf(stderr, "assay-sqlite: it is no whole database: %s\n", said ? said : "?");
		good = false;
	}
	(void)sqlite3_finalize(statement);
	return good;
}

static int put(const char *path)
{
	sqlite3 *file;
	int result;

	if (replace(STDIN_FILENO, path))
		return 1;
	file = sqlite_file_open(path, false);
	result = file && is_whole(file) ? 0 : 1;
	(void)sqlite3_close(file);
	return result;
}

/* Page by page through the database that programs may have open; one that cannot be written so is replaced. */
static int restore(const char *path, const char *from_path)
{
	char uri[4096];
	sqlite3 *from = NULL;
	sqlite3 *to = sqlite_file_open(path, false);
	sqlite3_backup *backup = NULL;
	int result = SQLITE_ERROR;
	int fd;

	(void)snprintf(uri, sizeof(uri), "file:%s?immutable=1", from_path);
	if (to && sqlite3_open_v2(uri, &from, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) == SQLITE_OK)
		backup = sqlite3_backup_init(to, "main", from, "main");
	for (int i = 0; backup && i < RESTORE_TRIES; i++) {
		do {
			result = sqlite3_backup_step(backup, RESTORE_PAGES);
		} while (result == SQLITE_OK);
		if (result != SQLITE_BUSY && result != SQLITE_LOCKED)
			break;
		(void)sqlite3_sleep(RESTORE_PAUSE_MS);
	}
	(void)sqlite3_backup_finish(backup);
	(void)sqlite3_close(from);
	(void)sqlite3_close(to);
	if (result == SQLITE_DONE)
		return 0;
	fd = open(from_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? system_failed("read", from_path) : replace(fd, path);
}

static int check(const char *path)
{
	static const char *const ends[] = {"-journal", "-wal"};
	sqlite3 *file = sqlite_file_open(path, false);
	int result = file ? whole_run(file, "PRAGMA wal_checkpoint(TRUNCATE)") : 1;
	char name[4096];
	struct stat is;

	if (!result && !is_whole(file))
		result = 1;
	(void)sqlite3_close(file);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && !result; i++) {
		path_with(name, sizeof(name), path, ends[i]);
		if (stat(name, &is) == 0 && is.st_size) {
			(void)fprintf(stderr, "assay-sqlite: %s is left\n", name);
			result = 1;
		}
	}
	if (!result)
		(void)puts("clean");
	return result;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (argc > 2)
		temporary_set(argv[2]);
	if (strcmp(verb, "make") == 0 && argc == 3)
		return make(argv[2]);
	if (strcmp(verb, "serve") == 0 && argc == 4)
		return serve(argv[2], argv[3]);
	if (strcmp(verb, "query") == 0 && argc == 4)
		return query(argv[2], argv[3]);
	if (strcmp(verb, "load") == 0 && argc == 3)
		return load(argv[2]);
	if (strcmp(verb, "put") == 0 && argc == 3)
		return put(argv[2]);
	if (strcmp(verb, "restore") == 0 && argc == 4)
		return restore(argv[2], argv[3]);
	if (strcmp(verb, "check") == 0 && argc == 3)
		return check(argv[2]);
	(void)fprintf(stderr, "usage: assay-sqlite make|serve|query|load|put|restore|check FILE [PORT|STATEMENT|FROM]\n");
	return 2;
}
