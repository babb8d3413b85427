/* The server's process as its starter sees it: a pipe that says "ready", and a log. */
#include "cli/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/place.h"
#include "base/process.h"
#include "base/scope.h"
#include "base/world.h"
#include "http/client.h"

#define START_MS 60000 /* a first start makes its pool and its keys */
#define STEAL_MS 5000
#define LOG_TAIL 2048

bool server_answers(const char *socket)
{
	AUTO_RESPONSE response = {0};
	struct http_call request = {.url = "http://localhost/api/v1/status", .unix_socket = socket, .timeout_ms = 10000};

	return file_exists(socket) && http_client_call(&request, &response, NULL) == 0;
}

static char *own_path(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length <= 0 || view_ends(view_make(path, (size_t)length), VIEW(" (deleted)")))
		return text_copy("/proc/self/exe");
	return view_copy(view_make(path, (size_t)length));
}

/* The last line of the log: why it did not start. */
static int start_failed(const char *log, struct err *err)
{
	AUTO_BUF text = buf_new(LOG_TAIL);
	AUTO_CLOSE int fd = open(log, O_RDONLY | O_CLOEXEC);
	struct view last = VIEW("");

	if (fd >= 0 && lseek(fd, -LOG_TAIL, SEEK_END) < 0)
		(void)lseek(fd, 0, SEEK_SET);
	if (fd < 0 || file_read_fd(fd, &text, NULL))
		buf_add_text(&text, ""); /* what was read is enough, and may be nothing */
	for (struct view rest = buf_view(&text), line; rest.at;) {
		line = view_cut(rest, '\n', &rest);
		if (line.length)
			last = line;
	}
	return err_set(err, ERR_RETRY, "the server did not start (%s): %.*s", log, (int)(last.length > 300 ? 300 : last.length),
		       last.at);
}

/* It writes something into the pipe when it is ready, and only its end closes the pipe. */
static bool ready_wait(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char byte;
	int got;

	do
		got = poll(&poll_fd, 1, START_MS);
	while (got < 0 && errno == EINTR);
	return got > 0 && read(fd, &byte, 1) == 1;
}

static int serve_spawn(const char *const *args, const char *log, int *ready, struct err *err)
{
	AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	AUTO_CLOSE int pid_fd = -1;
	AUTO_CLOSE int read_end = -1;
	AUTO_CLOSE int write_end = -1;
	AUTO_FREE char *self = own_path();
	const char *argv[SERVER_ARGS_MAX + 5] = {self, "serve", "--ready-fd", "3"};
	int ends[2];
	pid_t pid;

	for (size_t i = 0; i < SERVER_ARGS_MAX && args[i]; i++)
		argv[4 + i] = args[i];
	if (null_fd < 0 || log_fd < 0)
		return err_errno(err, errno, "cannot open %s", log_fd < 0 ? log : "/dev/null");
	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	read_end = ends[0];
	write_end = ends[1];
	if (process_start(argv, (const char *const *)(uintptr_t)environ, (int[]){null_fd, log_fd, log_fd, write_end}, 4, &pid,
			  &pid_fd, err))
		return err_prefix(err, "cannot start assay serve");
	*ready = TAKE_FD(read_end);
	return 0;
}

int server_start(const char *const *args, const char *socket, struct err *err)
{
	AUTO_FREE char *state = place_state(err);
	AUTO_FREE char *runtime = place_runtime(err);
	AUTO_FREE char *log = text_format("%s/serve.log", state ? state : "");
	AUTO_CLOSE int ready = -1;
	int64_t begun = world_elapsed_ms(world_real);

	if (!state || !runtime || file_make_dirs(state, 0700, err) || file_make_dirs(runtime, 0700, err))
		return -1;
	if (serve_spawn(args, log, &ready, err))
		return -1;
	if (ready_wait(ready))
		return 0;
	while (world_elapsed_ms(world_real) - begun < STEAL_MS) {
		if (server_answers(socket))
			return 0;
		(void)poll(NULL, 0, 50);
	}
	return start_failed(log, err);
}
