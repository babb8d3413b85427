/* The person's terminal in raw mode at one end, a pty in a sandbox at the other. */
#include "cli/env_terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/terminal.h"

#define HEAD_MAX ((size_t)16384)
#define FRAME_HEAD 5
#define FRAME_MAX ((uint32_t)1 << 20)
#define CHUNK ((size_t)16384)

static int socket_connect(const char *path, int *fd, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	AUTO_CLOSE int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID, "the socket's path is too long: %s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (made < 0 || connect(made, (const struct sockaddr *)&address, sizeof(address)))
		return err_errno(err, errno, "cannot reach the server at %s", path);
	*fd = TAKE_FD(made);
	return 0;
}

static int request_send(int fd, const char *env, const char *sandbox, const json_t *argv, struct err *err)
{
	AUTO_BUF words = buf_new((size_t)1 << 16);
	AUTO_BUF request = buf_new((size_t)1 << 18);

	json_format(&words, argv);
	buf_add_text(&request, "GET /api/v1/environments/");
	buf_add_url(&request, view_of(env));
	buf_add_text(&request, "/terminal?sandbox=");
	buf_add_url(&request, view_of(sandbox));
	buf_add_text(&request, "&argv=");
	buf_add_url(&request, buf_view(&words));
	buf_add_format(&request,
		       "&rows=%d&cols=%d HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: assay-terminal\r\n\r\n",
		       terminal_rows(stdout), terminal_columns(stdout));
	if (buf_finish(&words, err) || buf_finish(&request, err))
		return -1;
	return file_write_fd(fd, buf_view(&request), err);
}

/* Reads until `in` holds the head and its end; then drops it. */
static int head_take(int fd, struct buf *in, struct err *err)
{
	for (;;) {
		ptrdiff_t end = view_find(buf_view(in), VIEW("\r\n\r\n"));
		char chunk[CHUNK];
		ssize_t got;

		if (end >= 0 && view_starts(buf_view(in), VIEW("HTTP/1.1 101"))) {
			buf_drop_front(in, (size_t)end + 4);
			return 0;
		}
		if (in->length > HEAD_MAX)
			return err_set(err, ERR_BROKEN, "the server's answer is none");
		got = read(fd, chunk, sizeof(chunk));
		if (got <= 0 && end >= 0) {
			struct view message = view_make(in->at + end + 4, in->length - (size_t)end - 4);
			AUTO_JSON answer = json_parse(message, NULL);

			return err_set(err, ERR_INVALID, "%s", json_text(answer, "detail", "the server refuses"));
		}
		if (got <= 0)
			return err_set(err, ERR_RETRY, "the server closed the connection");
		buf_add(in, chunk, (size_t)got);
		if (end >= 0 && !view_starts(buf_view(in), VIEW("HTTP/1.1 101")))
			(void)shutdown(fd, SHUT_WR);
	}
}

static int frame_send(int fd, enum terminal_frame type, struct view bytes, struct err *err)
{
	AUTO_BUF frame = buf_new(CHUNK + FRAME_HEAD);
	uint32_t length = (uint32_t)bytes.length;
	const unsigned char head[FRAME_HEAD] = {(unsigned char)type, (unsigned char)length, (unsigned char)(length >> 8),
						(unsigned char)(length >> 16), (unsigned char)(length >> 24)};

	buf_add(&frame, head, sizeof(head));
	buf_add_view(&frame, bytes);
	return file_write_fd(fd, buf_view(&frame), err);
}

static uint32_t u32_at(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Acts on every whole frame in `in`. 1 when the program has ended, with its code; -1 for an error. */
static int frames_take(struct buf *in, int *code, struct err *err)
{
	while (in->length >= FRAME_HEAD) {
		uint32_t length = u32_at(in->at + 1);
		struct view body;

		if (length > FRAME_MAX)
			return err_set(err, ERR_BROKEN, "the server sent something else than frames");
		if (in->length < FRAME_HEAD + (size_t)length)
			return 0;
		body = view_make(in->at + FRAME_HEAD, length);
		if (in->at[0] == TERMINAL_EXIT && length == 4) {
			*code = (int)(u32_at(body.at) & 0xff);
			return 1;
		}
		if (in->at[0] == TERMINAL_BYTES && file_write_fd(STDOUT_FILENO, body, err))
			return -1;
		buf_drop_front(in, FRAME_HEAD + (size_t)length);
	}
	return 0;
}

static int resize_send(int fd, struct err *err)
{
	struct winsize size = {0};

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		return 0;
	const unsigned char body[4] = {(unsigned char)size.ws_row, (unsigned char)(size.ws_row >> 8), (unsigned char)size.ws_col,
				       (unsigned char)(size.ws_col >> 8)};

	return frame_send(fd, TERMINAL_RESIZE, view_make(body, sizeof(body)), err);
}

static int loop(int fd, int signals, struct buf *in, int *code, struct err *err)
{
	bool open = true;

	for (;;) {
		struct pollfd fds[3] = {{fd, POLLIN, 0}, {open ? STDIN_FILENO : -1, POLLIN, 0}, {signals, POLLIN, 0}};
		char chunk[CHUNK];
		int ended = frames_take(in, code, err);
		ssize_t got;

		if (ended)
			return ended < 0 ? -1 : 0;
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot wait");
		if (fds[0].revents) {
			got = read(fd, chunk, sizeof(chunk));
			if (got <= 0)
				return err_set(err, ERR_RETRY, "the server closed the connection");
			buf_add(in, chunk, (size_t)got);
		}
		if (fds[1].revents) {
			got = read(STDIN_FILENO, chunk, sizeof(chunk));
			open = got > 0;
			/* An end of input is what Ctrl-D is. */
			if (frame_send(fd, TERMINAL_BYTES, got > 0 ? view_make(chunk, (size_t)got) : VIEW("\x04"), err))
				return -1;
		}
		if (fds[2].revents) {
			struct signalfd_siginfo info;

			if (read(signals, &info, sizeof(info)) > 0 && resize_send(fd, err))
				return -1;
		}
	}
}

static int session(const char *socket_path, const char *env, const char *sandbox, const json_t *argv, int *code, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int signals = -1;
	AUTO_BUF in = buf_new((size_t)FRAME_MAX * 2);
	struct termios before;
	struct termios raw;
	sigset_t set;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	int result;

	if (socket_connect(socket_path, &fd, err) || request_send(fd, env, sandbox, argv, err) || head_take(fd, &in, err))
		return -1;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (terminal) {
		raw = before;
		cfmakeraw(&raw);
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	result = loop(fd, signals, &in, code, err);
	if (terminal)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	return result;
}

int env_terminal(const char *program, const char *socket_path, const char *env, const char *sandbox, const json_t *argv)
{
	struct err err = {0};
	int code = CLI_FAILED;

	return session(socket_path, env, sandbox, argv, &code, &err) ? cli_fail(program, false, &err) : code;
}
