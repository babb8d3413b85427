/*
 * A person's shell in a sandbox, of the command line or of a page.
 *
 * Theory of operation: the connection is handed over by the HTTP server. One thread runs the program in the sandbox on the slave of a
 * pty that is made here; another moves bytes between the pty's master and the socket. Both directions are frames: u8 type, u32 length
 * (little endian), then that many bytes. The program's end closes the last slave, so the master ends after the last byte that it
 * wrote; then comes the exit frame. A client that leaves cancels the program, and so does one whose token or session ends. A page speaks WebSocket instead: binary messages are the
 * bytes, a text message is "ROWS COLUMNS", and the reason of the closing frame is "exit CODE".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "http/websocket.h"
#include "web/web_priv.h"

#define PROTOCOL "assay-terminal"
#define FRAME_HEAD 5
#define FRAME_BYTES_MAX ((uint32_t)1 << 20)
#define CHUNK ((size_t)16384)
#define ARGV_MAX 64
#define SIZE_MAX_CELLS 1000
#define TERMINAL_MS ((int64_t)7 * 24 * 3600 * 1000)
#define LOOK_MS 500
#define JUDGE_MS 1000
#define SIZE_TEXT_MAX ((size_t)16) /* "ROWS COLUMNS" */
#define CLOSE_NORMAL 1000          /* RFC 6455 7.4.1 */

enum frame { FRAME_BYTES, FRAME_RESIZE, FRAME_EXIT };

struct terminal {
	struct web *web;
	struct env_id env;
	char *sandbox;
	json_t *words;
	int socket;
	int master;
	int slave;
	struct buf in;                      /* of the client: frames that are not whole yet */
	struct websocket_reader *websocket; /* NULL: the command line's frames */
	struct buf size_text;               /* the text message that is coming in */
	struct caller caller;
	int64_t judged_ms; /* when it was found out last whether the caller may stay */
	bool judged;       /* it could be */
	bool gone;
	bool cancelled;
	atomic_bool ended; /* the program */
	int code;
};

static void terminal_free(struct terminal *terminal)
{
	if (terminal->socket >= 0)
		(void)close(terminal->socket);
	if (terminal->master >= 0)
		(void)close(terminal->master);
	if (terminal->slave >= 0)
		(void)close(terminal->slave);
	free(terminal->sandbox);
	json_decref(terminal->words);
	buf_fini(&terminal->in);
	buf_fini(&terminal->size_text);
	websocket_reader_free(terminal->websocket);
	free(terminal);
}

/* All of it, waiting for a slow reader; false when the client is gone. */
static bool send_all(struct terminal *terminal, const void *at, size_t length)
{
	const char *from = at;

	while (length) {
		ssize_t sent = send(terminal->socket, from, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			struct pollfd wait = {.fd = terminal->socket, .events = POLLOUT};

			(void)poll(&wait, 1, LOOK_MS);
			if (atomic_load(&terminal->web->closing))
				return false;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		from += sent;
		length -= (size_t)sent;
	}
	return true;
}

static void message_send(struct terminal *terminal, enum websocket_opcode opcode, struct view payload)
{
	AUTO_BUF frame = buf_new(CHUNK * 2);

	websocket_frame_write(&frame, opcode, true, true, NULL, payload);
	if (!terminal->gone && !send_all(terminal, frame.at, frame.length))
		terminal->gone = true;
}

static void frame_send(struct terminal *terminal, enum frame type, const void *at, size_t length)
{
	unsigned char head[FRAME_HEAD] = {(unsigned char)type, (unsigned char)length, (unsigned char)(length >> 8),
					  (unsigned char)(length >> 16), (unsigned char)(length >> 24)};

	if (!terminal->gone && (!send_all(terminal, head, sizeof(head)) || !send_all(terminal, at, length)))
		terminal->gone = true;
}

static void resize(const struct terminal *terminal, unsigned rows, unsigned columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	(void)ioctl(terminal->master, TIOCSWINSZ, &size);
}

/* A pty takes what it has room for: what is over waits with the next look. */
static bool type_in(struct terminal *terminal, struct view body)
{
	while (body.length) {
		ssize_t wrote = write(terminal->master, body.at, body.length);
		struct pollfd wait = {.fd = terminal->master, .events = POLLOUT};

		if (wrote < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (wrote < 0 &&
		    (poll(&wait, 1, LOOK_MS) < 0 || atomic_load(&terminal->ended) || atomic_load(&terminal->web->closing)))
			return false;
		if (wrote > 0)
			body = view_make(body.at + wrote, body.length - (size_t)wrote);
	}
	return true;
}

static void frames_take(struct terminal *terminal)
{
	while (terminal->in.length >= FRAME_HEAD) {
		const unsigned char *head = (const unsigned char *)terminal->in.at;
		uint32_t length = (uint32_t)head[1] | (uint32_t)head[2] << 8 | (uint32_t)head[3] << 16 | (uint32_t)head[4] << 24;
		struct view body = view_make(terminal->in.at + FRAME_HEAD, length);

		if (length > FRAME_BYTES_MAX) {
			terminal->gone = true;
			return;
		}
		if (terminal->in.length < FRAME_HEAD + (size_t)length)
			return;
		if (head[0] == FRAME_RESIZE && body.length == 4)
			resize(terminal, (unsigned)(head[5] | head[6] << 8), (unsigned)(head[7] | head[8] << 8));
		else if (head[0] == FRAME_BYTES)
			(void)type_in(terminal, body);
		buf_drop_front(&terminal->in, FRAME_HEAD + (size_t)length);
	}
}

static void size_take(const struct terminal *terminal)
{
	struct view columns;
	struct view rows = view_cut(buf_view(&terminal->size_text), ' ', &columns);
	uint64_t height;
	uint64_t width;

	if (view_to_u64(rows, &height) && view_to_u64(columns, &width) && height <= SIZE_MAX_CELLS && width <= SIZE_MAX_CELLS)
		resize(terminal, (unsigned)height, (unsigned)width);
}

static void message_take(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct terminal *terminal = self;

	if (opcode == WEBSOCKET_BINARY) {
		(void)type_in(terminal, bytes);
		return;
	}
	if (first)
		buf_clear(&terminal->size_text);
	if (terminal->size_text.length + bytes.length <= SIZE_TEXT_MAX)
		buf_add_view(&terminal->size_text, bytes);
	if (last)
		size_take(terminal);
}

static void control_take(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct terminal *terminal = self;

	if (opcode == WEBSOCKET_PING)
		message_send(terminal, WEBSOCKET_PONG, payload);
	else if (opcode == WEBSOCKET_CLOSE)
		terminal->gone = true;
}

static const struct websocket_events page_events = {message_take, control_take};

/* What came of the client, in its way of saying it. */
static void input_take(struct terminal *terminal)
{
	struct err err;

	if (!terminal->websocket) {
		frames_take(terminal);
		return;
	}
	if (websocket_read(terminal->websocket, buf_view(&terminal->in), &err))
		terminal->gone = true;
	buf_clear(&terminal->in);
}

static void client_read(struct terminal *terminal)
{
	char bytes[CHUNK];
	ssize_t got = recv(terminal->socket, bytes, sizeof(bytes), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		terminal->gone = true;
		return;
	}
	buf_add(&terminal->in, bytes, (size_t)got);
	input_take(terminal);
}

/* false at the pty's end: EIO when the last slave is closed. */
static bool program_read(struct terminal *terminal)
{
	char bytes[CHUNK];
	ssize_t got = read(terminal->master, bytes, sizeof(bytes));

	if (got > 0 && terminal->websocket)
		message_send(terminal, WEBSOCKET_BINARY, view_make(bytes, (size_t)got));
	else if (got > 0)
		frame_send(terminal, FRAME_BYTES, bytes, (size_t)got);
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void program_main(void *self)
{
	struct terminal *terminal = self;
	const char *argv[ARGV_MAX + 1] = {NULL};
	struct environment_exec exec = {
		.sandbox = terminal->sandbox,
		.argv = argv,
		.timeout_ms = TERMINAL_MS,
		.terminal = true,
		.cancelled = &terminal->cancelled,
		.input_fd = terminal->slave,
		.output_fd = terminal->slave,
		.error_fd = terminal->slave,
	};
	struct exit_status status = {.reason = EXIT_GONE};
	struct err err = {0};
	size_t i;
	json_t *word;

	json_array_foreach(terminal->words, i, word)
		argv[i] = json_string_value(word);
	if (environment_exec(terminal->web->options.environments, terminal->env, &exec, &status, &err)) {
		AUTO_FREE char *line = text_format("assay: %s\r\n", err.text);

		(void)!write(terminal->slave, line, strlen(line));
		terminal->code = 1;
	} else {
		terminal->code = status.reason == EXIT_CODE ? status.code : status.reason == EXIT_SIGNAL ? 128 + status.code : 137;
	}
	(void)close(terminal->slave);
	terminal->slave = -1;
	atomic_store(&terminal->ended, true);
}

static void exit_send(struct terminal *terminal)
{
	uint32_t code = (uint32_t)terminal->code;
	AUTO_BUF reason = buf_new(WEBSOCKET_CONTROL_BYTES_MAX);

	if (!terminal->websocket) {
		frame_send(terminal, FRAME_EXIT, (unsigned char[]){(unsigned char)code, (unsigned char)(code >> 8), 0, 0}, 4);
		return;
	}
	buf_add(&reason, (const char[]){(char)(CLOSE_NORMAL >> 8), (char)(CLOSE_NORMAL & 0xff)}, 2);
	buf_add_format(&reason, "exit %d", terminal->code);
	message_send(terminal, WEBSOCKET_CLOSE, buf_view(&reason));
}

static int caller_judge(struct terminal *terminal, struct err *err)
{
	struct world world = terminal->web->options.world;
	bool lasts;
	AUTO_TX tx = {0};

	terminal->judged_ms = world_elapsed_ms(world);
	if (store_begin_snapshot(runs_store(terminal->web->options.runs), &tx, err) ||
	    access_lasts(&tx, &terminal->caller, world_now_ms(world), &lasts, err))
		return -1;
	terminal->gone |= !lasts;
	return 0;
}

/* May it still read and type? While nobody can say so, nothing goes through. */
static bool caller_may(struct terminal *terminal)
{
	struct err err = {0};

	if (terminal->caller.known_by == KNOWN_BY_PLACE)
		return true;
	if (world_elapsed_ms(terminal->web->options.world) - terminal->judged_ms > JUDGE_MS) {
		terminal->judged = !caller_judge(terminal, &err);
		if (!terminal->judged)
			log_warn("a terminal waits: %s", err.text);
	}
	return terminal->judged && !terminal->gone;
}

static void terminal_main(void *self)
{
	struct terminal *terminal = self;
	bool open = true;

	input_take(terminal);
	while (open && !terminal->gone && !atomic_load(&terminal->web->closing)) {
		if (!caller_may(terminal)) {
			(void)poll(NULL, 0, LOOK_MS);
			continue;
		}
		struct pollfd fds[] = {{.fd = terminal->master, .events = POLLIN}, {.fd = terminal->socket, .events = POLLIN}};

		(void)poll(fds, ARRAY_LEN(fds), LOOK_MS);
		if (fds[1].revents)
			client_read(terminal);
		if (fds[0].revents)
			open = program_read(terminal);
	}
	terminal->cancelled = open;
	while (!atomic_load(&terminal->ended))
		(void)poll(NULL, 0, 10);
	if (!open)
		exit_send(terminal);
	terminal_free(terminal);
}

static int words_take(const struct call *call, json_t **words, struct err *err)
{
	AUTO_FREE char *text = http_request_query(call->request, "argv");
	AUTO_JSON list = text ? json_parse(view_of(text), err) : json_pack("[s]", "sh");
	size_t i;
	json_t *word;

	if (!list || !json_is_array(list) || !json_array_size(list) || json_array_size(list) > ARGV_MAX)
		return err_set(err, ERR_INVALID, "argv: expected a JSON list of 1 to %d texts", ARGV_MAX);
	json_array_foreach(list, i, word)
		if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
			return err_set(err, ERR_INVALID, "argv[%zu]: expected a text", i);
	*words = TAKE(list);
	return 0;
}

static int pty_make(struct call *call, struct terminal *terminal, struct err *err)
{
	struct winsize size = {0};
	int64_t rows;
	int64_t columns;

	if (request_query(call, "rows", 24, SIZE_MAX_CELLS, &rows, err) ||
	    request_query(call, "cols", 80, SIZE_MAX_CELLS, &columns, err))
		return -1;
	size.ws_row = (unsigned short)rows;
	size.ws_col = (unsigned short)columns;
	if (openpty(&terminal->master, &terminal->slave, NULL, NULL, &size))
		return err_errno(err, errno, "cannot make a terminal");
	(void)fcntl(terminal->master, F_SETFD, FD_CLOEXEC);
	(void)fcntl(terminal->slave, F_SETFD, FD_CLOEXEC);
	(void)fcntl(terminal->master, F_SETFL, O_NONBLOCK);
	return 0;
}

/* A browser asks for `Upgrade: websocket`, which no other client does. */
static int socket_take(struct call *call, struct terminal *terminal, struct err *err)
{
	const char *upgrade = http_request_header(call->request, "Upgrade");
	struct websocket_spec spec = {
		.masked = true, .message_bytes_max = FRAME_BYTES_MAX, .events = &page_events, .self = terminal};

	if (!upgrade || !view_equal_nocase(view_of(upgrade), VIEW("websocket")))
		return http_reply_upgrade(call->reply, PROTOCOL, &terminal->in, err);
	terminal->websocket = websocket_reader_new(&spec);
	return http_reply_websocket(call->reply, PROTOCOL, &terminal->in, err);
}

json_t *environment_terminal(struct call *call, struct err *err)
{
	struct terminal *terminal = mem_new(sizeof(*terminal));
	AUTO_FREE char *sandbox = http_request_query(call->request, "sandbox");

	terminal->web = call->web;
	terminal->caller = call->caller;
	terminal->judged = true;
	terminal->judged_ms = world_elapsed_ms(call->web->options.world);
	terminal->socket = terminal->master = terminal->slave = -1;
	terminal->in = buf_new((size_t)FRAME_BYTES_MAX + FRAME_HEAD + CHUNK);
	terminal->size_text = buf_new(SIZE_TEXT_MAX + 1);
	terminal->sandbox = text_copy(sandbox && sandbox[0] ? sandbox : "workspace");
	if (request_environment(call, &terminal->env, err) || words_take(call, &terminal->words, err) ||
	    pty_make(call, terminal, err)) {
		terminal_free(terminal);
		return NULL;
	}
	terminal->socket = socket_take(call, terminal, err);
	if (terminal->socket < 0) {
		terminal_free(terminal);
		return NULL;
	}
	call->answered = true;
	if (web_work(call->web, program_main, terminal, err)) {
		terminal_free(terminal);
		return NULL;
	}
	if (web_work(call->web, terminal_main, terminal, err)) {
		terminal->cancelled = true; /* the program ends by itself; only then is the memory free */
		while (!atomic_load(&terminal->ended))
			(void)poll(NULL, 0, 10);
		terminal_free(terminal);
	}
	return NULL;
}
