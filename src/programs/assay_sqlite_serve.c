/* A database behind a socket. The file is opened anew by each visitor, so that it may be replaced between two. */
#include "programs/assay_sqlite_serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs/assay_sqlite_file.h"

#define VISITORS_MAX 32
#define START_BYTES_MAX 65536u
#define STATEMENT_BYTES_MAX (66u << 20)
#define ROW_BYTES_MAX (31 << 20) /* the other end takes messages of 32 MiB */

static uint32_t u32_at(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void u32_put(FILE *out, uint32_t number)
{
	const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16), (unsigned char)(number >> 8),
					(unsigned char)number};

	(void)fwrite(bytes, 1, sizeof(bytes), out);
}

static void message_put(FILE *out, char type, const void *body, size_t length)
{
	(void)fputc(type, out);
	u32_put(out, (uint32_t)length + 4);
	(void)fwrite(body, 1, length, out);
}

/* C: a class that says whether to try again; M: what it is. Both end with a NUL, and so does the list. */
static void error_put(FILE *out, int result, const char *text)
{
	const char *code = result == SQLITE_BUSY || result == SQLITE_LOCKED ? "53300" : "XX000";
	size_t length = strnlen(text, 1000);
	char body[1100];
	size_t used = 0;

	body[used++] = 'C';
	memcpy(body + used, code, 6);
	used += 6;
	body[used++] = 'M';
	memcpy(body + used, text, length);
	used += length;
	body[used++] = '\0';
	body[used++] = '\0';
	message_put(out, 'E', body, used);
}

/* -1: it is longer than can be sent. */
static int row_put(FILE *out, sqlite3_stmt *statement)
{
	int columns = sqlite3_column_count(statement);
	int64_t length = 2 + 4 * (int64_t)columns;

	for (int i = 0; i < columns; i++) {
		(void)sqlite3_column_text(statement, i);
		length += sqlite3_column_bytes(statement, i);
	}
	if (length > ROW_BYTES_MAX)
		return -1;
	(void)fputc('D', out);
	u32_put(out, (uint32_t)length + 4);
	(void)fputc((columns >> 8) & 0xff, out);
	(void)fputc(columns & 0xff, out);
	for (int i = 0; i < columns; i++) {
		const unsigned char *text = sqlite3_column_text(statement, i);
		int bytes = sqlite3_column_bytes(statement, i);

		u32_put(out, text ? (uint32_t)bytes : UINT32_MAX);
		if (text)
			(void)fwrite(text, 1, (size_t)bytes, out);
	}
	return 0;
}

static int statement_run(FILE *out, sqlite3 *file, sqlite3_stmt *statement)
{
	int result;

	while ((result = sqlite3_step(statement)) == SQLITE_ROW && !ferror(out))
		if (row_put(out, statement)) {
			error_put(out, SQLITE_TOOBIG, "a row is longer than 31 MiB");
			return -1;
		}
	if (result == SQLITE_DONE) {
		message_put(out, 'C', "OK", 3);
		return 0;
	}
	error_put(out, result & 0xff, sqlite3_errmsg(file));
	return -1;
}

static void query_run(FILE *out, sqlite3 *file, const char *text)
{
	while (text && *text) {
		sqlite3_stmt *statement = NULL;
		int result = sqlite3_prepare_v2(file, text, -1, &statement, &text);

		if (result != SQLITE_OK) {
			error_put(out, result & 0xff, sqlite3_errmsg(file));
			return;
		}
		if (statement)
			result = statement_run(out, file, statement);
		(void)sqlite3_finalize(statement);
		if (result)
			return;
	}
}

static unsigned char *body_read(FILE *in, uint32_t length_max, uint32_t *length)
{
	unsigned char header[4];
	unsigned char *body;

	if (fread(header, 1, sizeof(header), in) != sizeof(header))
		return NULL;
	*length = u32_at(header);
	if (*length < 4 || *length > length_max)
		return NULL;
	*length -= 4;
	body = calloc((size_t)*length + 1, 1);
	if (body && fread(body, 1, *length, in) != *length) {
		free(body);
		return NULL;
	}
	return body;
}

static void talk(FILE *in, FILE *out, const char *path)
{
	uint32_t length;
	unsigned char *start = body_read(in, START_BYTES_MAX, &length);
	sqlite3 *file = start ? sqlite_file_open(path, false) : NULL;
	int type;

	free(start);
	if (!file) {
		error_put(out, SQLITE_CANTOPEN, "the file cannot be opened");
		return;
	}
	message_put(out, 'R', "\0\0\0", 4);
	message_put(out, 'Z', "I", 1);
	while (fflush(out) == 0 && (type = fgetc(in)) == 'Q') {
		unsigned char *text = body_read(in, STATEMENT_BYTES_MAX, &length);

		if (!text)
			break;
		query_run(out, file, (const char *)text);
		message_put(out, 'Z', "I", 1);
		free(text);
	}
	(void)sqlite3_close(file); /* what was begun and not committed is undone */
}

static int visit(int fd, const char *path)
{
	FILE *in = fdopen(fd, "r");
	FILE *out = fdopen(dup(fd), "w");

	if (!in || !out)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	talk(in, out, path);
	(void)fclose(out);
	(void)fclose(in);
	return 0;
}

static int listener_open(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 64) == 0)
		return fd;
	(void)fprintf(stderr, "assay-sqlite: cannot listen on port %u: %s\n", (unsigned)port, strerror(errno));
	return -1;
}

/* How many visitors are left, after those that went were waited for. */
static int visitors_reap(int visitors)
{
	while (visitors && waitpid(-1, NULL, WNOHANG) > 0)
		visitors--;
	return visitors;
}

static void visitor_take(int listener, int signals, const char *path, int *visitors)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t child;

	if (fd < 0)
		return;
	child = fork();
	if (child == 0) {
		sigset_t none;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)close(listener);
		(void)close(signals);
		_exit(visit(fd, path));
	}
	*visitors += child > 0;
	(void)close(fd);
}

int sqlite_serve(const char *path, uint16_t port)
{
	int listener = listener_open(port);
	struct signalfd_siginfo info;
	int visitors = 0;
	sigset_t watched;
	int signals;

	if (listener < 0)
		return 1;
	(void)sigemptyset(&watched);
	(void)sigaddset(&watched, SIGTERM);
	(void)sigaddset(&watched, SIGINT);
	(void)sigaddset(&watched, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &watched, NULL);
	signals = signalfd(-1, &watched, SFD_CLOEXEC);
	for (;;) {
		struct pollfd waiting[2] = {{signals, POLLIN, 0}, {visitors < VISITORS_MAX ? listener : -1, POLLIN, 0}};

		if (poll(waiting, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (waiting[0].revents && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo != SIGCHLD)
				return 0;
			visitors = visitors_reap(visitors);
		}
		if (waiting[1].revents)
			visitor_take(listener, signals, path, &visitors);
	}
}
