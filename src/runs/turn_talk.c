/*
 * A program that talks: what goes into its standard input, and what it asks of its room: files and terminals. All of it is done by programs
 * in the room, as the agent's own tools would do it; the host opens no path and starts nothing that the agent names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "runs/turn_priv.h"

#define SENDING_BYTES_MAX ((size_t)32 << 20)
#define FILE_BYTES_MAX ((size_t)4 << 20)
#define FILE_TIMEOUT_MS 10000
#define WAITERS_MAX 16

struct turn_terminal {
	char id[16];
	struct turn *turn;
	struct agent_turn start; /* its argv and env */
	char *dir;
	pthread_t thread;
	int out; /* our end of its output, or -1 */
	int theirs;
	size_t most;
	bool truncated;
	struct buf output;
	uint32_t waiters[WAITERS_MAX];
	size_t waiter_count;
	bool cancelled; /* atomic */
	bool over;      /* atomic; then the next two are there */
	struct exit_status status;
	int failed;
};

/* ---- standard input ---- */

void turn_talk_send(void *self, struct view bytes)
{
	struct turn *turn = self;

	if (turn->input < 0 || turn->sending_ended)
		return;
	if (!turn->sending.length_max)
		turn->sending = buf_new(SENDING_BYTES_MAX);
	buf_add_view(&turn->sending, bytes);
	turn_talk_flush(turn);
}

void turn_talk_send_end(void *self)
{
	struct turn *turn = self;

	turn->sending_ended = true;
	turn->released_ms = turn_now_ms(turn);
	turn_talk_flush(turn);
}

void turn_talk_flush(struct turn *turn)
{
	while (turn->input >= 0 && turn->sending.length) {
		ssize_t put = write(turn->input, turn->sending.at, turn->sending.length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return;
		if (put <= 0) {
			buf_clear(&turn->sending); /* it has closed it: its end tells the rest */
			break;
		}
		buf_drop_front(&turn->sending, (size_t)put);
	}
	if (turn->sending_ended && !turn->sending.length) {
		scope_close(&turn->input);
		turn->input = -1;
	}
}

static void answer(struct turn *turn, uint32_t id, json_t *result, const char *error)
{
	AUTO_JSON owned = result;

	agent_parser_answer(turn->parser, id, result, error, turn_sink(turn));
}

/* ---- files ---- */

static int room_run(struct turn *turn, const char *const *argv, struct view input, struct buf *output, struct err *err)
{
	AUTO_BUF errors = buf_new((size_t)64 << 10);
	struct environment_exec exec = {.sandbox = "workspace",
					.argv = argv,
					.timeout_ms = FILE_TIMEOUT_MS,
					.input = input,
					.output = output,
					.errors = &errors,
					.cancelled = turn->visit->cancelled};
	struct exit_status status = {0};

	if (environment_exec(turn->runs->options.environments, turn->env, &exec, &status, err))
		return -1;
	if (status.reason != EXIT_CODE || status.code)
		return err_set(err, ERR_INVALID, "%.300s", errors.length ? errors.at : "it failed");
	return 0;
}

/* `limit` lines from line `first` (1…); 0: all. */
static struct view lines_of(struct view text, int64_t first, int64_t limit)
{
	const char *at = text.at;
	const char *end = text.at + text.length;
	const char *stop;

	for (; first > 1 && at < end; first--) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
	}
	for (stop = limit ? at : end; limit > 0 && stop < end; limit--) {
		const char *newline = memchr(stop, '\n', (size_t)(end - stop));

		stop = newline ? newline + 1 : end;
	}
	return view_make(at, (size_t)(stop - at));
}

static void ask_read(struct turn *turn, uint32_t id, const json_t *ask)
{
	static const char script[] = "exec head -c 4194305 -- \"$1\"";
	const char *argv[] = {"sh", "-c", script, "sh", json_text(ask, "path", ""), NULL};
	AUTO_BUF output = buf_new(FILE_BYTES_MAX + 1);
	struct err err = {0};
	json_t *result;

	if (!room_run(turn, argv, VIEW(""), &output, &err) && output.length > FILE_BYTES_MAX)
		(void)err_set(&err, ERR_LIMIT, "the file has more than 4 MiB");
	if (err.kind != ERR_NONE) {
		answer(turn, id, NULL, err.text);
		return;
	}
	result = json_object();
	json_set_bytes(result, "content", lines_of(buf_view(&output), json_number(ask, "line", 0), json_number(ask, "limit", 0)));
	answer(turn, id, result, NULL);
}

static void ask_write(struct turn *turn, uint32_t id, const json_t *ask)
{
	static const char script[] = "mkdir -p -- \"$(dirname -- \"$1\")\" && exec cat > \"$1\"";
	const char *argv[] = {"sh", "-c", script, "sh", json_text(ask, "path", ""), NULL};
	const json_t *content = json_member(ask, "content");
	AUTO_BUF output = buf_new(4096);
	struct err err = {0};

	if (room_run(turn, argv, view_make(json_string_value(content), json_string_length(content)), &output, &err))
		answer(turn, id, NULL, err.text);
	else
		answer(turn, id, NULL, NULL);
}

/* ---- terminals ---- */

static void *terminal_main(void *self)
{
	struct turn_terminal *terminal = self;
	struct environment_exec exec = {.sandbox = "workspace",
					.argv = (const char *const *)terminal->start.argv,
					.env = &terminal->start.env,
					.dir = terminal->dir,
					.timeout_ms = terminal->turn->exec.timeout_ms,
					.output_fd = terminal->theirs,
					.cancelled = &terminal->cancelled};

	terminal->failed = environment_exec(terminal->turn->runs->options.environments, terminal->turn->env, &exec,
					    &terminal->status, NULL);
	scope_close(&terminal->theirs);
	terminal->theirs = -1;
	__atomic_store_n(&terminal->over, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void output_take(struct turn_terminal *terminal)
{
	char chunk[16384];
	ssize_t got;

	while (terminal->out >= 0 && (got = read(terminal->out, chunk, sizeof(chunk))) > 0) {
		terminal->turn->heard_ms = turn_now_ms(terminal->turn);
		buf_add(&terminal->output, chunk, (size_t)got);
		if (terminal->output.length > terminal->most) {
			buf_drop_front(&terminal->output, terminal->output.length - terminal->most);
			terminal->truncated = true;
		}
	}
}

/* {"exitCode", "signal"}: one of them is null. */
static json_t *exit_json(const struct turn_terminal *terminal)
{
	if (terminal->failed || terminal->status.reason != EXIT_CODE)
		return json_pack("{s:n, s:s}", "exitCode", "signal", "KILL");
	return json_pack("{s:i, s:n}", "exitCode", terminal->status.code, "signal");
}

static void terminal_free(struct turn_terminal *terminal)
{
	__atomic_store_n(&terminal->cancelled, true, __ATOMIC_SEQ_CST);
	(void)pthread_join(terminal->thread, NULL);
	agent_turn_fini(&terminal->start);
	buf_fini(&terminal->output);
	scope_close(&terminal->out);
	scope_close(&terminal->theirs);
	free(terminal->dir);
	free(terminal);
}

static void start_of(struct agent_turn *start, const json_t *ask)
{
	const json_t *words = json_member(ask, "argv");
	size_t count = json_object_size(json_member(ask, "env"));
	size_t index;
	json_t *word;
	const char *name;
	json_t *value;

	start->argv = mem_new_array(json_array_size(words) + 1, sizeof(*start->argv));
	json_array_foreach(words, index, word)
		start->argv[index] = text_copy(json_string_value(word));
	start->env.at = mem_new_array(count + 1, sizeof(*start->env.at));
	json_object_foreach(json_member(ask, "env"), name, value)
		start->env.at[start->env.count++] = (struct name_value){text_copy(name), text_copy(json_string_value(value))};
}

static struct turn_terminal *terminal_new(struct turn *turn, const json_t *ask)
{
	struct turn_terminal *terminal = mem_new(sizeof(*terminal));
	int ends[2];

	terminal->turn = turn;
	terminal->out = terminal->theirs = -1;
	terminal->most = (size_t)json_number(ask, "bytes_max", 0);
	terminal->output = buf_new(terminal->most + 65536);
	terminal->dir = text_copy(json_text(ask, "dir", NULL));
	start_of(&terminal->start, ask);
	(void)snprintf(terminal->id, sizeof(terminal->id), "t%u", ++turn->terminal_last);
	if (pipe2(ends, O_CLOEXEC) == 0) {
		terminal->out = ends[0];
		terminal->theirs = ends[1];
		(void)fcntl(terminal->out, F_SETFL, O_NONBLOCK);
		if (pthread_create(&terminal->thread, NULL, terminal_main, terminal) == 0)
			return terminal;
	}
	agent_turn_fini(&terminal->start);
	scope_close(&terminal->out);
	scope_close(&terminal->theirs);
	buf_fini(&terminal->output);
	free(terminal->dir);
	free(terminal);
	return NULL;
}

static void ask_run(struct turn *turn, uint32_t id, const json_t *ask)
{
	struct turn_terminal **place = NULL;

	for (size_t i = 0; i < TURN_TERMINALS_MAX && !place; i++)
		place = turn->terminals[i] ? NULL : &turn->terminals[i];
	if (place)
		*place = terminal_new(turn, ask);
	if (!place || !*place)
		answer(turn, id, NULL, place ? "the terminal cannot be started" : "too many terminals are open: release some");
	else
		answer(turn, id, json_pack("{s:s}", "terminalId", (*place)->id), NULL);
}

static struct turn_terminal **terminal_find(struct turn *turn, const json_t *ask)
{
	const char *id = json_text(ask, "terminal", "");

	for (size_t i = 0; i < TURN_TERMINALS_MAX; i++)
		if (turn->terminals[i] && strcmp(turn->terminals[i]->id, id) == 0)
			return &turn->terminals[i];
	return NULL;
}

static void ask_terminal(struct turn *turn, uint32_t id, const json_t *ask)
{
	struct turn_terminal **place = terminal_find(turn, ask);
	struct turn_terminal *terminal = place ? *place : NULL;
	const char *what = json_text(ask, "ask", "");

	if (!terminal) {
		answer(turn, id, NULL, "there is no such terminal");
		return;
	}
	output_take(terminal);
	if (strcmp(what, "output") == 0) {
		json_t *result = json_pack("{s:b}", "truncated", (int)terminal->truncated);

		json_set_bytes(result, "output", buf_view(&terminal->output));
		if (turn_flag(&terminal->over))
			(void)json_object_set_new(result, "exitStatus", exit_json(terminal));
		answer(turn, id, result, NULL);
	} else if (strcmp(what, "wait") == 0) {
		if (terminal->waiter_count == WAITERS_MAX)
			answer(turn, id, NULL, "too many wait for this terminal");
		else
			terminal->waiters[terminal->waiter_count++] = id;
	} else {
		__atomic_store_n(&terminal->cancelled, true, __ATOMIC_SEQ_CST);
		if (strcmp(what, "release") == 0) {
			terminal_free(terminal);
			*place = NULL;
		}
		answer(turn, id, NULL, NULL);
	}
}

void turn_talk_ask(void *self, uint32_t id, const json_t *ask)
{
	const char *what = json_text(ask, "ask", "");

	if (strcmp(what, "read") == 0)
		ask_read(self, id, ask);
	else if (strcmp(what, "write") == 0)
		ask_write(self, id, ask);
	else if (strcmp(what, "run") == 0)
		ask_run(self, id, ask);
	else
		ask_terminal(self, id, ask);
}

void turn_talk_poll(struct turn *turn)
{
	for (size_t i = 0; i < TURN_TERMINALS_MAX; i++) {
		struct turn_terminal *terminal = turn->terminals[i];
		bool over = terminal && turn_flag(&terminal->over);

		if (!terminal)
			continue;
		output_take(terminal);
		while (over && terminal->waiter_count)
			answer(turn, terminal->waiters[--terminal->waiter_count], exit_json(terminal), NULL);
	}
}

void turn_talk_fini(struct turn *turn)
{
	for (size_t i = 0; i < TURN_TERMINALS_MAX; i++) {
		if (turn->terminals[i])
			terminal_free(turn->terminals[i]);
		turn->terminals[i] = NULL;
	}
	buf_fini(&turn->sending);
	scope_close(&turn->input);
	turn->input = -1;
}
