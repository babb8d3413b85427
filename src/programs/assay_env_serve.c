/*
 * The MCP server's lines and calls.
 *
 * Theory of operation: one loop polls the input and a pipe of every call. A call is a child of its own in a process group of its own; it
 * writes JSON lines: {"progress": text}…, then {"text", "image"?, "failed"}. Whoever cancels kills the group; a child that ends without
 * its last line is told as a failure. The end of the input ends everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "programs/assay_env_mcp.h"

#define CALLS_MAX 8
#define FRAME_MAX ((size_t)16 << 20) /* of a call: a text and a picture */

struct call {
	json_t *id; /* NULL: free */
	json_t *token;
	json_t *end; /* its last line */
	pid_t pid;
	int fd;
	int64_t told;
	struct buf line;
};

struct server {
	struct mcp mcp;
	int output;
	bool broken; /* nobody reads any more */
	struct call calls[CALLS_MAX];
};

static bool bytes_write(int fd, struct view bytes)
{
	while (bytes.length) {
		ssize_t wrote = write(fd, bytes.at, bytes.length);

		if (wrote < 0 && errno != EINTR)
			return false;
		bytes = wrote > 0 ? view_make(bytes.at + wrote, bytes.length - (size_t)wrote) : bytes;
	}
	return true;
}

static bool json_write(int fd, const json_t *message)
{
	AUTO_BUF line = buf_new(FRAME_MAX * 2);

	json_format(&line, message);
	buf_add_char(&line, '\n');
	return bytes_write(fd, buf_view(&line));
}

static void server_send(void *self, const json_t *message)
{
	struct server *server = self;

	server->broken |= !json_write(server->output, message);
}

/* ---- in the child ---- */

struct worker {
	struct env_output output;
	struct buf text;
	int fd;
};

static void worker_keep(void *self, struct view bytes)
{
	struct worker *worker = self;

	buf_add_view(&worker->text, bytes);
}

static void worker_say(void *self, struct view bytes)
{
	struct worker *worker = self;

	env_output_add(&worker->output, bytes);
}

static void worker_progress(void *self, const char *line)
{
	const struct worker *worker = self;
	AUTO_JSON frame = json_object();

	json_set_bytes(frame, "progress", view_of(line));
	(void)json_write(worker->fd, frame);
}

/* Its own standard input and output are nobody's: the parent's are the protocol's. */
static void worker_main(const struct env_verb *verb, const json_t *arguments, int fd)
{
	struct worker worker = {.text = buf_new(BUF_MAX_DEFAULT), .fd = fd};
	struct env_call call = {.arguments = arguments, .say = worker_say, .progress = worker_progress, .self = &worker};
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_JSON frame = json_object();
	struct err err = {0};
	int result;

	(void)setpgid(0, 0);
	(void)dup2(nowhere, STDIN_FILENO);
	(void)dup2(nowhere, STDOUT_FILENO);
	worker.output = env_output_new(worker_keep, &worker);
	result = verb->run(&call, &err);
	env_output_end(&worker.output);
	if (result)
		buf_add_format(&worker.text, "%s\n", err.text);
	json_set_bytes(frame, "text", buf_view(&worker.text));
	(void)json_object_set_new(frame, "failed", json_boolean(result || call.failed));
	if (!result && call.image.length) {
		AUTO_BUF image = buf_new(FRAME_MAX);

		buf_add_base64(&image, call.image.at, call.image.length);
		json_set_bytes(frame, "image", buf_view(&image));
	}
	(void)json_write(fd, frame);
	_exit(0);
}

/* ---- calls ---- */

static void call_end(struct call *call)
{
	if (call->fd >= 0)
		(void)close(call->fd);
	(void)kill(-call->pid, SIGKILL); /* whatever it left */
	while (waitpid(call->pid, NULL, 0) < 0 && errno == EINTR)
		;
	json_decref(call->id);
	json_decref(call->token);
	json_decref(call->end);
	buf_fini(&call->line);
	*call = (struct call){.fd = -1};
}

static int server_call(void *self, const json_t *id, const struct env_verb *verb, const json_t *arguments, const json_t *token,
		       struct err *err)
{
	struct server *server = self;
	struct call *call = NULL;
	int ends[2];

	for (size_t i = 0; i < CALLS_MAX && !call; i++)
		call = server->calls[i].id ? NULL : &server->calls[i];
	if (!call)
		return err_set(err, ERR_LIMIT, "%d calls are under way: wait for one of them", CALLS_MAX);
	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	call->pid = fork();
	if (call->pid == 0) {
		(void)close(ends[0]);
		worker_main(verb, arguments, ends[1]);
	}
	(void)close(ends[1]);
	if (call->pid < 0) {
		(void)close(ends[0]);
		return err_errno(err, errno, "cannot start the call");
	}
	(void)setpgid(call->pid, call->pid); /* whoever is first */
	call->fd = ends[0];
	call->id = json_incref((json_t *)(uintptr_t)id);
	call->token = json_incref((json_t *)(uintptr_t)token);
	call->line = buf_new(FRAME_MAX * 2);
	return 0;
}

static void server_cancel(void *self, const json_t *id)
{
	struct server *server = self;

	for (size_t i = 0; i < CALLS_MAX; i++)
		if (server->calls[i].id && json_equal(server->calls[i].id, id))
			call_end(&server->calls[i]);
}

static void frame_take(struct server *server, struct call *call, struct view line)
{
	json_t *frame = json_parse(line, NULL);
	const char *told = json_text(frame, "progress", NULL);

	if (told && call->token)
		mcp_progress(&server->mcp, call->token, ++call->told, told);
	if (!frame || told) {
		json_decref(frame);
		return;
	}
	json_decref(call->end);
	call->end = frame;
}

/* Gives each whole line to `take`; false: a line is longer than may be, and dropped. */
static bool lines_take(struct buf *line, struct view bytes, void (*take)(void *self, struct view line), void *self)
{
	bool fits = true;

	while (bytes.length) {
		const char *newline = memchr(bytes.at, '\n', bytes.length);
		size_t length = newline ? (size_t)(newline - bytes.at) : bytes.length;

		buf_add(line, bytes.at, length);
		if (!newline)
			return fits;
		fits &= !line->over;
		if (!line->over)
			take(self, buf_view(line));
		buf_clear(line);
		bytes = view_make(newline + 1, bytes.length - length - 1);
	}
	return fits;
}

struct frame_reader {
	struct server *server;
	struct call *call;
};

static void frame_line(void *self, struct view line)
{
	const struct frame_reader *reader = self;

	frame_take(reader->server, reader->call, line);
}

static void call_read(struct server *server, struct call *call)
{
	struct frame_reader reader = {server, call};
	char chunk[65536];
	ssize_t got = read(call->fd, chunk, sizeof(chunk));

	if (got > 0)
		(void)lines_take(&call->line, view_make(chunk, (size_t)got), frame_line, &reader);
	if (got > 0 || (got < 0 && errno == EINTR))
		return;
	if (call->end)
		mcp_answer(&server->mcp, call->id, json_text(call->end, "text", ""), json_text(call->end, "image", NULL),
			   json_flag(call->end, "failed", false));
	else
		mcp_answer(&server->mcp, call->id, "the call was killed", NULL, true);
	call_end(call);
}

static void message_line(void *self, struct view line)
{
	const struct server *server = self;

	mcp_line(&server->mcp, line);
}

/* false: the input has ended. */
static bool input_read(struct server *server, int input, struct buf *line)
{
	char chunk[65536];
	ssize_t got = read(input, chunk, sizeof(chunk));

	if (got <= 0)
		return got < 0 && errno == EINTR;
	if (!lines_take(line, view_make(chunk, (size_t)got), message_line, server))
		mcp_line_too_long(&server->mcp);
	return true;
}

int mcp_serve(int input, int output)
{
	struct server server = {.output = output};
	AUTO_BUF line = buf_new(MCP_LINE_MAX);
	bool more = true;

	(void)signal(SIGPIPE, SIG_IGN);
	server.mcp = (struct mcp){server_send, server_call, server_cancel, &server};
	for (size_t i = 0; i < CALLS_MAX; i++)
		server.calls[i].fd = -1;
	while (more && !server.broken) {
		struct pollfd ready[CALLS_MAX + 1] = {{input, POLLIN, 0}};

		for (size_t i = 0; i < CALLS_MAX; i++)
			ready[i + 1] = (struct pollfd){server.calls[i].fd, POLLIN, 0};
		if (poll(ready, CALLS_MAX + 1, -1) < 0)
			continue;
		for (size_t i = 0; i < CALLS_MAX; i++)
			if (ready[i + 1].revents)
				call_read(&server, &server.calls[i]);
		if (ready[0].revents)
			more = input_read(&server, input, &line);
	}
	for (size_t i = 0; i < CALLS_MAX; i++)
		if (server.calls[i].id)
			call_end(&server.calls[i]);
	return 0;
}
