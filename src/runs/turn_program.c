/*
 * The process of a turn: started on a thread of its own, its output read here, and watched.
 *
 * Theory of operation: environment_exec() blocks on that thread. Here the pipes are read, secrets taken out, the parser fed, a bounded
 * transcript kept; and the watchdogs look: a stop, silence, the turn's time, the size of the output, going round in circles, a failure that
 * trying on cannot mend. Any of these raises the flag that ends the program, and whatever it left in the room ends with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/turn_priv.h"

#define SILENCE_MS ((int64_t)600000)
#define SILENCE_CPU_MS ((int64_t)5000) /* a silent agent whose sandbox used this much is working */
#define OUTPUT_BYTES_MAX ((int64_t)64 << 20)
#define TRANSCRIPT_BYTES_MAX ((int64_t)16 << 20)
#define STDERR_KEPT ((size_t)2048)
#define POLL_MS 200
#define ASK_LOOK_MS 2000
#define POLL_TALKING_MS 20
#define DRAIN_MS 1000    /* for output after the program ended: what it left behind may hold the pipe */
#define RELEASE_MS 10000 /* a program that talks is ended when it does not leave by itself */
#define EXEC_TIMEOUT_MARGIN_MS 60000
#define SEEN_MAX 4096   /* actions with their results that are remembered; a power of two */
#define REPEATED_MAX 30 /* of those that were all there before */

/* ---- going round in circles ---- */

static uint64_t text_hash(uint64_t hash, const json_t *event, const char *key)
{
	return hash * 31 + view_hash(view_of(json_text(event, key, "")));
}

/* True when it was there. A full table remembers nothing new: then nothing repeats any more. */
static bool seen_add(struct turn_progress *progress, uint64_t hash)
{
	size_t at = (size_t)hash & (SEEN_MAX - 1);

	if (!progress->seen)
		progress->seen = mem_new_array(SEEN_MAX, sizeof(*progress->seen));
	hash = hash ? hash : 1;
	for (; progress->seen[at]; at = (at + 1) & (SEEN_MAX - 1))
		if (progress->seen[at] == hash)
			return true;
	if (progress->seen_count < SEEN_MAX / 2) {
		progress->seen[at] = hash;
		progress->seen_count++;
	}
	return false;
}

void turn_progress_note(struct turn_progress *progress, enum agent_event_kind kind, const json_t *event)
{
	uint64_t hash;

	if (kind == AGENT_ACTION) {
		hash = text_hash(text_hash(text_hash(0, event, "tool"), event, "title"), event, "detail");
		progress->action = hash;
		free(progress->title);
		progress->title = text_copy(json_text(event, "title", "?"));
	}
	if (kind != AGENT_OBSERVATION || !progress->title)
		return;
	hash = text_hash(progress->action, event, "text");
	progress->repeated = seen_add(progress, hash) ? progress->repeated + 1 : 0;
}

bool turn_progress_stuck(const struct turn_progress *progress)
{
	return progress->repeated >= REPEATED_MAX;
}

void turn_progress_fini(struct turn_progress *progress)
{
	free(progress->seen);
	free(progress->title);
	*progress = (struct turn_progress){0};
}

/* ---- the program's thread ---- */

static void *exec_main(void *self)
{
	struct turn *turn = self;

	turn->failed = environment_exec(turn->runs->options.environments, turn->env, &turn->exec, &turn->status, &turn->failure);
	/* Ours were the last ends, unless the program left somebody behind: the pipes end now. */
	(void)close(turn->exec.output_fd);
	(void)close(turn->exec.error_fd);
	if (turn->exec.input_fd > 0)
		(void)close(turn->exec.input_fd);
	__atomic_store_n(&turn->over, true, __ATOMIC_SEQ_CST);
	return NULL;
}

json_t *turn_workspace(struct turn *turn)
{
	AUTO_JSON shown = environment_show(turn->runs->options.environments, turn->env, NULL);
	size_t index;
	json_t *sandbox;

	json_array_foreach(json_member(shown, "sandboxes"), index, sandbox)
		if (strcmp(json_text(sandbox, "name", ""), "workspace") == 0)
			return json_incref(sandbox);
	return NULL;
}

static int64_t workspace_cpu_ms(struct turn *turn)
{
	AUTO_JSON workspace = turn_workspace(turn);

	return json_number(workspace, "cpu_ms", 0);
}

/* ---- its output ---- */

static void transcript_add(struct turn *turn, struct view bytes)
{
	if (turn->transcript < 0 || turn->kept >= TRANSCRIPT_BYTES_MAX)
		return;
	turn->kept += (int64_t)bytes.length;
	if (file_write_fd(turn->transcript, bytes, NULL))
		turn->kept = TRANSCRIPT_BYTES_MAX;
}

static void output_told(struct turn *turn, struct view bytes)
{
	transcript_add(turn, bytes);
	agent_parser_feed(turn->parser, bytes, turn_sink(turn));
}

static void errors_told(struct turn *turn, struct view bytes)
{
	transcript_add(turn, bytes);
	buf_add_view(&turn->errors, bytes);
	if (turn->errors.length > STDERR_KEPT)
		buf_drop_front(&turn->errors, turn->errors.length - STDERR_KEPT);
}

/* Takes what is there. Returns false at the end of the pipe. */
static bool output_read(struct turn *turn, int fd, bool is_error)
{
	struct redactor *redactor = turn->redactors[is_error];
	AUTO_BUF clean = buf_new((size_t)4 << 20);
	char chunk[65536];
	ssize_t got = read(fd, chunk, sizeof(chunk));

	if (got < 0)
		return errno == EINTR || errno == EAGAIN;
	turn->heard_ms = turn_now_ms(turn);
	turn->heard_cpu_ms = -1;
	turn->read += got;
	if (got)
		redactor_feed(redactor, view_make(chunk, (size_t)got), &clean);
	else
		redactor_end(redactor, &clean);
	if (is_error)
		errors_told(turn, buf_view(&clean));
	else
		output_told(turn, buf_view(&clean));
	return got > 0;
}

/* ---- the watchdogs ---- */

/* Silent for too long, and not busy either? */
static bool silent(struct turn *turn, int64_t now_ms)
{
	int64_t cpu_ms;

	if (now_ms - turn->heard_ms < SILENCE_MS)
		return false;
	cpu_ms = workspace_cpu_ms(turn);
	if (turn->heard_cpu_ms >= 0 && cpu_ms - turn->heard_cpu_ms < SILENCE_CPU_MS)
		return true;
	turn->heard_cpu_ms = cpu_ms; /* another such time, measured from here */
	turn->heard_ms = now_ms - SILENCE_MS / 2;
	return false;
}

static int64_t limit_of(const struct turn *turn)
{
	return turn->blueprint->agent.timeout_ms ? turn->blueprint->agent.timeout_ms : TURN_DEFAULT_MS;
}

/* While the agent waits for a person neither its silence nor its time counts. */
static void asking_pause(struct turn *turn, int64_t now_ms)
{
	if (now_ms - turn->asked_ms < ASK_LOOK_MS)
		return;
	if (turn->asked_ms && question_waits(turn->runs, turn->run->id)) {
		turn->began_ms += now_ms - turn->asked_ms;
		turn->heard_ms = now_ms;
	}
	turn->asked_ms = now_ms;
}

/* Is there a reason to end the program now? Then err says which. */
static int watch(struct turn *turn, struct err *err)
{
	int64_t now_ms = turn_now_ms(turn);

	if (turn_flag(turn->visit->cancelled))
		return err_set(err, ERR_CANCELLED, "the turn was cancelled");
	asking_pause(turn, now_ms);
	if (now_ms - turn->began_ms > limit_of(turn))
		return err_set(err, ERR_LIMIT, "the agent worked longer than agent.timeout (%lld s)",
			       (long long)limit_of(turn) / 1000);
	if (turn->read > OUTPUT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the agent wrote more than %lld MiB", (long long)(OUTPUT_BYTES_MAX >> 20));
	if (turn->sending.over)
		return err_set(err, ERR_LIMIT, "the agent does not read what it asked for");
	if (turn_progress_stuck(&turn->progress))
		return err_set(
			err, ERR_LIMIT,
			"the agent goes round in circles: its last %d actions and their results were all there before; the last: %.200s",
			REPEATED_MAX, turn->progress.title);
	if (model_watch(turn, err))
		return -1;
	if (silent(turn, now_ms))
		return err_set(err, ERR_LIMIT, "the agent said nothing and did nothing for %lld min",
			       (long long)SILENCE_MS / 60000);
	return 0;
}

/* By what it tells in its middle: the gateway counts what passes it by itself. */
static void cost_watch(struct turn *turn)
{
	bool resumed = turn->resumed && turn->run->session;
	double more_usd = agent_parser_cost_usd(turn->parser, resumed ? turn->run->session_cost_usd : 0.0);
	int64_t now_ms = turn_now_ms(turn);

	if (turn->opinion || turn->interrupted || agent_parser_ended(turn->parser) || more_usd <= 0 ||
	    !cost_is_over(turn->run, turn->blueprint, more_usd))
		return;
	turn->over_ms = turn->over_ms ? turn->over_ms : now_ms;
	if (!turn->safe && now_ms - turn->over_ms < TURN_SAFE_WAIT_MS)
		return;
	turn->interrupted = turn->costly = true;
	event_note(turn->runs, turn->run->id, "the agent is interrupted: the run has cost %.2f USD by what it tells",
		   turn->run->cost_usd + more_usd);
	__atomic_store_n(&turn->stop, true, __ATOMIC_SEQ_CST);
}

/* Ends the program where that is what is left to do. */
static void look(struct turn *turn, struct err *reason)
{
	bool end = false;

	turn_message_deliver(turn);
	cost_watch(turn);
	if (reason->kind == ERR_NONE && watch(turn, reason))
		end = true;
	if (agent_parser_hopeless(turn->parser))
		end = turn->hopeless = true;
	if (turn->released_ms && turn_now_ms(turn) - turn->released_ms > RELEASE_MS)
		end = true;
	if (end)
		__atomic_store_n(&turn->stop, true, __ATOMIC_SEQ_CST);
}

/* Reads both pipes until they end, or until a moment after the program did. *reason is filled when the watchdog ended it. */
static void pump(struct turn *turn, int out, int errors, struct err *reason)
{
	struct pollfd fds[3] = {{out, POLLIN, 0}, {errors, POLLIN, 0}, {-1, POLLOUT, 0}};
	int64_t over_ms = 0;

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int ready;
		int64_t now_ms;

		fds[2].fd = turn->sending.length ? turn->input : -1;
		ready = poll(fds, 3, turn->start.talks ? POLL_TALKING_MS : POLL_MS);
		now_ms = world_elapsed_ms(world_real);
		for (int i = 0; i < 2 && ready > 0; i++)
			if (fds[i].fd >= 0 && fds[i].revents && !output_read(turn, fds[i].fd, i == 1))
				fds[i].fd = -1;
		if (fds[2].fd >= 0 && fds[2].revents)
			turn_talk_flush(turn);
		turn_talk_poll(turn);
		if (turn_flag(&turn->over)) {
			over_ms = over_ms ? over_ms : now_ms;
			if (ready == 0 || now_ms - over_ms > DRAIN_MS)
				return;
		} else {
			look(turn, reason);
		}
	}
}

/* ---- its beginning ---- */

struct pipes {
	int in[2];
	int out[2];
	int errors[2];
};

static void pipes_fini(struct pipes *pipes)
{
	for (int i = 0; i < 2; i++) {
		scope_close(&pipes->in[i]);
		scope_close(&pipes->out[i]);
		scope_close(&pipes->errors[i]);
	}
}

static int pipes_make(struct pipes *pipes, bool talks, struct err *err)
{
	if (pipe2(pipes->out, O_CLOEXEC) || pipe2(pipes->errors, O_CLOEXEC) || (talks && pipe2(pipes->in, O_CLOEXEC)))
		return err_errno(err, errno, "cannot make a pipe");
	(void)fcntl(pipes->out[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(pipes->errors[0], F_SETFL, O_NONBLOCK);
	if (talks)
		(void)fcntl(pipes->in[1], F_SETFL, O_NONBLOCK);
	return 0;
}

static void talk_begin(struct turn *turn)
{
	struct agent_request request = {.blueprint = turn->blueprint,
					.prompt = turn->run->prompt ? turn->run->prompt : "",
					.session = turn->resumed ? turn->run->session : NULL,
					.history = turn->run->history};

	agent_parser_begin(turn->parser, &request, turn_sink(turn));
}

int turn_program_run(struct turn *turn, struct err *reason, struct err *err)
{
	__attribute__((cleanup(pipes_fini))) struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}};
	bool talks = turn->start.talks;
	pthread_t thread;
	int problem;

	if (pipes_make(&pipes, talks, err))
		return -1;
	turn->exec = (struct environment_exec){.sandbox = "workspace",
					       .argv = (const char *const *)turn->start.argv,
					       .env = &turn->start.env,
					       .timeout_ms = limit_of(turn) + EXEC_TIMEOUT_MARGIN_MS,
					       .input = talks ? VIEW("") : view_of(turn->start.input),
					       .input_fd = talks ? pipes.in[0] : 0,
					       .output_fd = pipes.out[1],
					       .error_fd = pipes.errors[1],
					       .cancelled = &turn->stop,
					       .sweep = true};
	turn->began_ms = turn->heard_ms = turn_now_ms(turn);
	turn->heard_cpu_ms = -1;
	problem = pthread_create(&thread, NULL, exec_main, turn);
	if (problem)
		return err_errno(err, problem, "cannot start a thread");
	pipes.in[0] = pipes.out[1] = pipes.errors[1] = -1; /* the thread's */
	if (talks) {
		turn->input = TAKE_FD(pipes.in[1]);
		talk_begin(turn);
	}
	pump(turn, pipes.out[0], pipes.errors[0], reason);
	turn_talk_fini(turn);
	(void)pthread_join(thread, NULL);
	return 0;
}
