/*
 * The step `turn`: one agent process in the workspace, from a prompt to its terminal event; then its work tree becomes a commit.
 *
 * Theory of operation: turn_program.c runs the program and tells its events here. The session is stored when it begins, and what the
 * agent reached (`pending` = worked) before its tree is exported: a crash in the first part resumes the session, one in between exports
 * again instead of working again. Messages that wait when it ends are another turn before anything is judged.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/span.h"
#include "runs/turn_priv.h"

#define HISTORY_BYTES_MAX ((size_t)64 << 10)
#define FILE_WRITE_TIMEOUT_MS 30000
#define SETTINGS_WORDS_MAX 16
#define KILLED_TRIES 3  /* an agent that somebody killed is started again */
#define CUT_OFF_TRIES 2 /* so is one whose output ended in the middle */

void turn_fini(struct turn *turn)
{
	agent_parser_free(turn->parser);
	agent_turn_fini(&turn->start);
	turn_progress_fini(&turn->progress);
	for (size_t i = 0; i < ARRAY_LEN(turn->redactors); i++)
		redactor_free(turn->redactors[i]);
	buf_fini(&turn->errors);
	json_decref(turn->end);
	scope_close(&turn->transcript);
}

/* ---- events ---- */

/* The plan of the run is the last one that the agent told. */
static void plan_store(struct turn *turn, const json_t *event)
{
	AUTO_BUF plan = buf_new((size_t)1 << 20);
	struct err err = {0};

	json_format(&plan, json_member(event, "items"));
	if (buf_finish(&plan, &err) || run_store(turn->runs, turn->run->id, "plan = ?", VALUES(V(buf_view(&plan))), &err))
		log_warn("run=%s plan: %s", turn->run->id, err.text);
}

/* The session is stored at once: whatever ends the turn, the next one resumes it. What an earlier session had come to is not its. */
static void session_store(struct turn *turn, const char *session)
{
	struct err err = {0};

	if (!session || !*session || (turn->run->session && strcmp(session, turn->run->session) == 0))
		return;
	if (run_store(turn->runs, turn->run->id,
		      "session = ?, session_cost_usd = 0.0, session_input_tokens = 0, session_output_tokens = 0",
		      VALUES(V(session)), &err))
		log_warn("run=%s session: %s", turn->run->id, err.text);
}

static void on_event(void *self, enum agent_event_kind kind, const json_t *event)
{
	struct turn *turn = self;

	if (kind == AGENT_END) {
		json_decref(turn->end);
		turn->end = json_deep_copy(event);
	}
	turn_progress_note(&turn->progress, kind, event);
	if (turn->opinion)
		return; /* the run's session, plan and timeline are those of who works */
	if (kind == AGENT_START && turn->ops->resumes)
		session_store(turn, json_text(event, "session", NULL));
	if (kind == AGENT_PLAN)
		plan_store(turn, event);
	if (kind == AGENT_OBSERVATION || kind == AGENT_ACTION)
		turn->safe = kind == AGENT_OBSERVATION && json_member(event, "id") && !agent_parser_acting(turn->parser);
	event_add(turn->runs, turn->run->id, "agent", json_deep_copy(event));
}

struct agent_sink turn_sink(struct turn *turn)
{
	return (struct agent_sink){on_event, turn, turn_talk_send, turn_talk_send_end, turn_talk_ask};
}

/* ---- before ---- */

/* The environment of the run, thawed. *gone: it is no more, another one must be forked. */
static int environment_ready(struct turn *turn, bool *gone, struct err *err)
{
	struct environments *environments = turn->runs->options.environments;
	struct err absent = {0};
	AUTO_JSON shown = NULL;
	const char *state;

	*gone = turn->run->environment == NULL;
	if (*gone)
		return 0;
	if (run_env(turn->run, &turn->env, err))
		return -1;
	shown = environment_show(environments, turn->env, &absent);
	*gone = !shown && absent.kind == ERR_NOT_FOUND;
	if (*gone)
		return 0;
	if (!shown) {
		*err = absent;
		return -1;
	}
	state = json_text(shown, "state", "");
	if (strcmp(state, "starting") == 0 || strcmp(state, "stopped") == 0)
		return err_set(err, ERR_RETRY, "environment %s is %s", turn->env.text, state);
	return strcmp(state, "frozen") == 0 ? environment_freeze(environments, turn->env, false, err) : 0;
}

/* A file below the agent's HOME; it may hold what others need not read. */
static int home_file_write(struct turn *turn, const char *name, struct view bytes, struct err *err)
{
	static const char script[] = "umask 077 && mkdir -p \"$HOME/$(dirname -- \"$1\")\" && cat > \"$HOME/$1\"";
	const char *argv[] = {"sh", "-c", script, "sh", name, NULL};
	AUTO_BUF output = buf_new(4096);
	struct environment_exec exec = {.sandbox = "workspace",
					.argv = argv,
					.timeout_ms = FILE_WRITE_TIMEOUT_MS,
					.input = bytes,
					.output = &output,
					.cancelled = turn->visit->cancelled};
	struct exit_status status = {0};

	if (environment_exec(turn->runs->options.environments, turn->env, &exec, &status, err))
		return err_prefix(err, "cannot write %s for the agent", name);
	if (status.reason != EXIT_CODE || status.code)
		return err_set(err, ERR_INVALID, "cannot write %s for the agent: %.200s", name,
			       output.length ? output.at : "the program failed");
	return 0;
}

/* Before each turn: its workspace may be another one, and files may have come. */
static int attachments_write(struct turn *turn, struct err *err)
{
	AUTO_JSON items = runs_attachment_list(turn->runs, turn->run->issue, err);
	size_t index;
	json_t *item;

	if (!items)
		return -1;
	json_array_foreach(items, index, item) {
		const char *name = json_text(item, "name", "");
		AUTO_FREE char *path = text_format(ATTACHMENTS_FOLDER "/%s", name);
		AUTO_BUF bytes = buf_new(RUNS_ATTACHMENT_BYTES_MAX + 1);

		if (runs_attachment_read(turn->runs, turn->run->issue, name, &bytes, err) ||
		    home_file_write(turn, path, buf_view(&bytes), err))
			return -1;
	}
	return 0;
}

static void transcript_open(struct turn *turn)
{
	AUTO_FREE char *folder = text_format("%s/runs/%s", turn->runs->state_dir, turn->run->id);
	AUTO_FREE char *name = text_format("turn-%lld", (long long)turn->run->turn);
	AUTO_FREE char *path = text_format("%s/%s.log", folder, turn->opinion ? turn->opinion : name);
	struct err err = {0};

	if (file_make_dirs(folder, 0700, &err))
		log_warn("run=%s: %s", turn->run->id, err.text);
	else
		turn->transcript = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* What git says about paths of the repository; a repository that cannot be asked says nothing. */
static bool paths_told(struct turn *turn, const char *const *words, const char *const *paths, struct buf *out)
{
	AUTO_FREE char *repository = run_repository_path(turn->runs, turn->run);
	const char *argv[SETTINGS_WORDS_MAX + 1];
	struct err err = {0};
	size_t count = 0;

	for (; *words; words++)
		argv[count++] = *words;
	for (; *paths && count < SETTINGS_WORDS_MAX; paths++)
		argv[count++] = *paths;
	argv[count] = NULL;
	if (git_run(repository, argv, &(struct process_spec){.output = out}, NULL, &err)) {
		log_warn("run=%s settings of the repository: %s", turn->run->id, err.text);
		return false;
	}
	return true;
}

/* Settings in the repository that can run code are used when the blueprint, which is of the base commit, says so, and while they are
 * as they are there. What a program uses whatever it is told is told to people. */
static bool settings_allowed(struct turn *turn)
{
	const char *base = turn->run->base ? turn->run->base : "";
	const char *head = turn->run->head ? turn->run->head : base;
	const char *const changed[] = {"diff", "--name-only", base, head, "--", NULL};
	const char *const there[] = {"ls-tree", "--name-only", head, "--", NULL};
	AUTO_BUF names = buf_new((size_t)64 << 10);
	bool wanted = turn->blueprint->agent.settings && strcmp(turn->blueprint->agent.settings, "base") == 0;

	if (!turn->ops->settings || !*base)
		return false;
	if (wanted && paths_told(turn, changed, turn->ops->settings, &names) && !names.length)
		return true;
	if (names.length)
		event_note(turn->runs, turn->run->id,
			   "settings of the agent's program are not those of the base commit, and not used: %.300s", names.at);
	buf_clear(&names);
	if (turn->ops->settings_forced && paths_told(turn, there, turn->ops->settings_forced, &names) && names.length)
		event_note(turn->runs, turn->run->id,
			   "%s uses this of the repository whatever it is told, and may run what it says: %.300s", turn->ops->name,
			   names.at);
	return false;
}

int turn_program_prepare(struct turn *turn, struct err *err)
{
	struct agent_request request = {.blueprint = turn->blueprint,
					.prompt = turn->run->prompt ? turn->run->prompt : "",
					.session = turn->ops->resumes ? turn->run->session : NULL,
					.history = turn->run->history,
					.settings = settings_allowed(turn)};
	struct variables *env = &turn->start.env;
	AUTO_JSON workspace = turn_workspace(turn);

	model_forget(turn->runs, turn->env.text);
	turn->resumed = request.session != NULL;
	turn->oom_kills = json_number(workspace, "oom_kills", 0);
	for (size_t i = 0; i < ARRAY_LEN(turn->redactors); i++) {
		turn->redactors[i] = redactor_new();
		redactor_add(turn->redactors[i], &turn->blueprint->agent.env);
		redactor_add(turn->redactors[i], &turn->blueprint->workspace.env);
	}
	if (agent_turn_make(&request, &turn->start, err))
		return -1;
	env->at = mem_grow(env->at, env->count + 1, sizeof(*env->at));
	env->at[env->count++] = (struct name_value){text_copy("ASSAY_RUN"), text_copy(turn->run->id)};
	for (size_t i = 0; i < turn->start.files.count; i++)
		if (home_file_write(turn, turn->start.files.at[i].name, view_of(turn->start.files.at[i].value), err))
			return -1;
	if (attachments_write(turn, err))
		return -1;
	turn->parser = agent_parser_new(turn->ops, turn->blueprint);
	transcript_open(turn);
	return 0;
}

/* ---- after ---- */

static double real_of(const json_t *object, const char *key)
{
	const json_t *value = json_member(object, key);

	return json_is_number(value) ? json_number_value(value) : 0.0;
}

struct counter {
	int64_t turn;    /* of this turn alone */
	int64_t session; /* what the session had come to at its end */
};

/* Some agents tell a turn's count, others the session's, which never shrinks while it is the same. */
static struct counter counter_of(const json_t *usage, const char *name, const char *session_name, int64_t before)
{
	int64_t session = json_number(usage, session_name, 0);

	session = session > before ? session : before;
	return (struct counter){json_number(usage, name, 0) + session - before, session};
}

/* What was said in this turn, for agents that cannot resume: the prompt and the last words, the oldest dropped first. */
static void history_grow(struct buf *out, const struct turn *turn)
{
	buf_add_text(out, turn->run->history ? turn->run->history : "");
	buf_add_format(out, "You were told:\n%s\n\nYou ended with:\n%s\n\n", turn->run->prompt ? turn->run->prompt : "",
		       json_text(turn->end, "text", ""));
	if (out->length > HISTORY_BYTES_MAX)
		buf_drop_front(out, out->length - HISTORY_BYTES_MAX);
}

/* Usage, session and history; and, when the turn succeeded, that the agent need not work again. */
static int worked_store(struct turn *turn, bool succeeded, struct err *err)
{
	const json_t *usage = json_member(turn->end, "usage");
	const char *session = agent_parser_session(turn->parser);
	bool same = session && turn->run->session && strcmp(session, turn->run->session) == 0;
	double session_cost = real_of(usage, "session_cost_usd");
	double before = same ? turn->run->session_cost_usd : 0.0;
	double cost = real_of(usage, "cost_usd") + (session_cost > before ? session_cost - before : 0.0);
	struct counter input = counter_of(usage, "input_tokens", "session_input_tokens",
					  same ? turn->run->session_input_tokens : 0);
	struct counter output = counter_of(usage, "output_tokens", "session_output_tokens",
					   same ? turn->run->session_output_tokens : 0);
	AUTO_BUF history = buf_new((size_t)8 << 20);

	history_grow(&history, turn);
	return run_store(
		turn->runs, turn->run->id,
		"input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, cost_usd = cost_usd + ?,"
		" session_cost_usd = ?, session_input_tokens = ?, session_output_tokens = ?, session = coalesce(?, session), turns = turns + 1, agent_ms = agent_ms + ?,"
		" history = CASE WHEN ? THEN ? ELSE history END, pending = CASE WHEN ? THEN ? ELSE pending END",
		VALUES(V(input.turn), V(output.turn), V(cost), V(session_cost > before ? session_cost : before), V(input.session),
		       V(output.session), V(session), V(world_elapsed_ms(world_real) - turn->began_ms), V(succeeded),
		       V(buf_view(&history)), V(succeeded), V(TURN_WORKED)),
		err);
}

/* Why a turn did not succeed, as an error whose kind says what follows. */
static int turn_failure(struct turn *turn, struct err *err)
{
	const char *class = model_failure_class(turn, json_text(turn->end, "error", "crash"));
	struct view said = view_trim(view_of(json_text(turn->end, "text", "")));
	struct view errors = view_trim(buf_view(&turn->errors));
	struct view shown = said.length && (!errors.length || strcmp(class, "crash") != 0) ? said : errors;
	AUTO_BUF ended = buf_new(256);
	enum err_kind kind = ERR_INVALID;

	if (strcmp(class, "auth") == 0 || strcmp(class, "quota") == 0)
		kind = ERR_DENIED;
	else if (strcmp(class, "overload") == 0)
		kind = ERR_RETRY;
	else if (strcmp(class, "limit") == 0)
		kind = ERR_LIMIT;
	else if (agent_parser_cut_off(turn->parser) && turn->visit->tries < CUT_OFF_TRIES)
		kind = ERR_RETRY;
	if (turn->failed)
		buf_add_text(&ended, "so it was ended");
	else
		exit_status_format(&ended, turn->status);
	if (shown.length > 250)
		shown = view_make(shown.at + shown.length - 250, 250);
	return err_set(err, kind, "the agent (%s) did not succeed: %s, %s%s%.*s", turn->ops->name, class, ended.at ? ended.at : "",
		       shown.length ? ": " : "", (int)shown.length, shown.at);
}

/* By somebody else: not for time or memory, which are told apart. A shell around the agent says 128 + 9. */
static bool was_killed(struct exit_status status)
{
	return (status.reason == EXIT_SIGNAL && status.code == SIGKILL) ||
	       (status.reason == EXIT_CODE && status.code == 128 + SIGKILL);
}

static void memory_limit_add(struct buf *out, const struct turn *turn)
{
	int64_t bytes = turn->blueprint->workspace.limits.memory_bytes;

	if (bytes)
		buf_add_format(out, "%lld MiB (workspace.limits.memory)", (long long)(bytes >> 20));
	else
		buf_add_text(out, "what workspaces have where workspace.limits.memory does not say");
}

/* What ran out of memory was the workspace: the agent, or something it started. */
static void memory_note(struct turn *turn)
{
	AUTO_JSON workspace = turn_workspace(turn);
	int64_t kills = json_number(workspace, "oom_kills", 0) - turn->oom_kills;
	AUTO_BUF limit = buf_new(256);

	memory_limit_add(&limit, turn);
	if (kills > 0)
		event_note(turn->runs, turn->run->id,
			   "the workspace ran out of memory: %lld of its processes were killed for that; it has %s",
			   (long long)kills, limit.at);
}

int turn_program_failure(struct turn *turn, const struct err *reason, struct err *err)
{
	AUTO_BUF limit = buf_new(256);

	if (reason->kind != ERR_NONE) {
		*err = *reason;
		return -1;
	}
	memory_limit_add(&limit, turn);
	if (turn->resumed && !agent_parser_session(turn->parser) && !turn->hopeless && !turn->failed) {
		if (run_store(turn->runs, turn->run->id, "session = NULL", NO_VALUES, err))
			return -1;
		return err_set(err, ERR_RETRY, "the agent could not resume its session: a new one begins");
	}
	if (turn->failed && !turn->hopeless) {
		*err = turn->failure; /* its sandbox went away: whether the environment did is asked before the next try */
		return err_prefix(err, "the agent's program");
	}
	if (turn->status.reason == EXIT_OOM)
		return err_set(err, ERR_LIMIT, "the workspace ran out of memory and the agent (%s) was killed for that: it has %s",
			       turn->ops->name, limit.at);
	if (was_killed(turn->status) && turn->visit->tries < KILLED_TRIES)
		return err_set(err, ERR_RETRY, "the agent was killed");
	return turn_failure(turn, err);
}

bool turn_program_succeeded(struct turn *turn, const struct err *reason)
{
	/* One that was told that all is said, and does not leave, is none the worse for being ended. */
	bool released = turn->released_ms && turn->failed && turn->failure.kind == ERR_CANCELLED && reason->kind == ERR_NONE;
	int code = released ? 0 : turn->failed ? 1 : turn->status.reason == EXIT_CODE ? turn->status.code : 128 + turn->status.code;
	bool succeeded = agent_parser_finish(turn->parser, code, turn_sink(turn)) && reason->kind == ERR_NONE && code == 0;

	memory_note(turn);
	return succeeded;
}

/* A seam that it broke to see what happens is whole again before anybody else comes: a person at the preview, the next turn. */
static void faults_clear(struct turn *turn)
{
	struct err err = {0};
	int count = 0;

	if (environment_faults_clear(turn->runs->options.environments, turn->env, &count, &err))
		log_info("run=%s faults: %s", turn->run->id, err.text);
	else if (count)
		event_note(turn->runs, turn->run->id, "faults that the agent left on %d seams are cleared", count);
}

static int agent_work(struct turn *turn, struct err *err)
{
	struct err reason = {0};
	bool succeeded;

	if (turn_program_prepare(turn, err) || turn_program_run(turn, &reason, err))
		return -1;
	succeeded = turn_program_succeeded(turn, &reason);
	if (succeeded && turn->costly) /* it had ended by itself: nothing is to be gone on with */
		turn->costly = turn->interrupted = false;
	faults_clear(turn);
	if (worked_store(turn, succeeded, err))
		return -1;
	return succeeded || turn->interrupted ? 0 : turn_program_failure(turn, &reason, err);
}

/* The same, watched. */
static int agent_turn(struct turn *turn, struct err *err)
{
	const json_t *usage;
	struct span span;
	int failed;

	span_begin(&span, SPAN_INTERNAL, "turn %lld", (long long)turn->run->turn);
	span_text(&span, "gen_ai.operation.name", "invoke_agent");
	span_text(&span, "gen_ai.agent.name", turn->ops->name);
	span_text(&span, "assay.turn.reason", turn->run->reason);
	failed = agent_work(turn, err);
	usage = json_member(turn->end, "usage");
	span_number(&span, "gen_ai.usage.input_tokens", json_number(usage, "input_tokens", 0));
	span_number(&span, "gen_ai.usage.output_tokens", json_number(usage, "output_tokens", 0));
	span_end(&span, failed ? err : NULL);
	return failed;
}

/* ---- the tree becomes a commit ---- */

static char *commit_message(const struct run *run)
{
	const char *summary = run->summary && *run->summary ? run->summary : "";

	return text_format("%s\n\n%s%sIssue: %lld\nRun: %s\nAgent: %s\n", run->title, summary, *summary ? "\n\n" : "",
			   (long long)run->issue, run->id, run->agent);
}

/* The agent's words, where it was asked: under each of its pull requests that are open. */
static int reviewers_tell(struct turn *turn, struct err *err)
{
	const struct run *run = turn->run;
	const char *answer = run->summary && *run->summary ? run->summary : "I changed nothing.";
	AUTO_PARTS parts = {.count = 0};

	if (parts_load(turn->runs, run, &parts, err))
		return -1;
	for (size_t i = 0; i < parts.count; i++) {
		int64_t pull = parts.at[i].pull;
		AUTO_FREE char *operation = run->joined ? text_format("%s/answer/%lld/%lld", run->id, (long long)run->turn,
								      (long long)pull)
							: text_format("%s/answer/%lld", run->id, (long long)run->turn);

		if (pull && forge_review(turn->runs->forge, pull, run->agent, "comment", answer, operation, err) &&
		    err->kind != ERR_DENIED)
			return -1;
	}
	return 0;
}

/* The turn wrote nothing: what that means depends on why it happened. */
static int unchanged_decide(struct turn *turn, const struct git_hash *head, struct err *err)
{
	struct run *run = turn->run;
	bool judged = run->judged && strcmp(run->judged, head->text) == 0;
	AUTO_BUF prompt = buf_new((size_t)64 << 10);

	(void)snprintf(turn->visit->detail, sizeof(turn->visit->detail), "nothing changed");
	if (run->head && !judged) {
		turn->visit->next = "verify";
		return step_store(turn->runs, turn->visit, "pending = ?", VALUES(V(TURN_NONE)), err);
	}
	if (run->head && (strcmp(run->reason, "review") == 0 || (run->pull && strcmp(run->reason, "message") == 0))) {
		turn->visit->next = "review";
		if (reviewers_tell(turn, err))
			return -1;
		return step_store(turn->runs, turn->visit, "pending = ?", VALUES(V(TURN_NONE)), err);
	}
	if (run->head) {
		event_note(turn->runs, run->id,
			   "no progress: the agent changed nothing about the findings: a draft goes to a person");
		turn->visit->next = "publish";
		return step_store(turn->runs, turn->visit, "pending = ?", VALUES(V(TURN_NONE)), err);
	}
	if (run->unchanged) {
		/* Whoever tries again means another turn. */
		if (step_store(turn->runs, turn->visit, "pending = ?, unchanged = 0", VALUES(V(TURN_PENDING)), err))
			return -1;
		return err_set(err, ERR_DENIED, "the agent changed nothing in two turns%s%.300s", run->summary ? "; it says: " : "",
			       run->summary ? run->summary : "");
	}
	event_note(turn->runs, run->id, "the agent changed nothing: it is told once");
	prompt_unchanged(&prompt);
	turn->visit->next = "turn";
	return step_store(turn->runs, turn->visit, "prompt = ?, reason = 'unchanged', pending = ?, turn = turn + 1, unchanged = 1",
			  VALUES(V(prompt.at), V(TURN_PENDING)), err);
}

/* What was exported of several repositories becomes a commit in each; *head: all of them. */
static int parts_export(struct turn *turn, const char *message, const struct git_hash *exported, struct git_hash *head,
			struct err *err)
{
	const struct run *run = turn->run;
	AUTO_PARTS parts = {.count = 0};
	AUTO_TX tx = {0};

	if (parts_load(turn->runs, run, &parts, err) || parts_take(turn->runs, run, &parts, exported, message, head, err) ||
	    store_begin(turn->runs->store, &tx, err) || flow_visit_held(&tx, turn->visit, err) ||
	    parts_store(&tx, run, &parts, err) || run_write(&tx, run->id, "exported = ?", VALUES(V(exported->text)), err))
		return -1;
	return store_commit(&tx, err);
}

static int tree_export(struct turn *turn, struct err *err)
{
	struct run *run = turn->run;
	const char *before = run->head ? run->head : run->base;
	AUTO_FREE char *ref = text_format("refs/heads/%s", run->branch);
	AUTO_FREE char *message = commit_message(run);
	struct git_hash parent;
	struct git_hash exported;
	struct git_hash head;

	if (run_hash(run->exported ? run->exported : before, &parent, err) ||
	    environment_export(turn->runs->options.environments, turn->env, &parent, ref, message, &exported, err))
		return -1;
	head = exported;
	if (run->joined && parts_export(turn, message, &exported, &head, err))
		return -1;
	if (strcmp(head.text, before) == 0)
		return unchanged_decide(turn, &head, err);
	(void)snprintf(turn->visit->detail, sizeof(turn->visit->detail), "commit %.12s on %s", head.text, run->branch);
	turn->visit->next = "verify";
	return step_store(turn->runs, turn->visit, "head = ?, pending = ?, unchanged = 0", VALUES(V(head.text), V(TURN_NONE)), err);
}

/* The agent's last words stand in for a summary that it did not give. */
static int summary_default(struct turn *turn, struct err *err)
{
	const char *text = json_text(turn->end, "text", NULL);

	if (text && *text && run_store(turn->runs, turn->run->id, "summary = coalesce(summary, ?)", VALUES(V(text)), err))
		return -1;
	return run_load(turn->runs, turn->visit->id, turn->run, err);
}

int step_turn(void *self, struct flow_visit *visit, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_TURN turn = {.runs = self, .run = &run, .visit = visit, .transcript = -1, .input = -1, .signals = -1};
	int64_t pause_ms;
	bool gone = false;
	bool again = false;

	turn.errors = buf_new((size_t)1 << 20);
	if (run_load(self, visit->id, &run, err))
		return -1;
	if (run.pending == TURN_NONE) { /* exported before a crash */
		visit->next = run.judged && run.head && strcmp(run.judged, run.head) == 0 ? "publish" : "verify";
		return 0;
	}
	blueprint = run_blueprint(self, &run, err);
	if (!blueprint || environment_ready(&turn, &gone, err))
		return -1;
	if (gone) {
		visit->next = "fork";
		(void)snprintf(visit->detail, sizeof(visit->detail), "the environment is gone: another one is forked");
		return run_store(self, run.id, "pending = ?", VALUES(V(TURN_PENDING)), err);
	}
	pause_ms = run.pending == TURN_PENDING ? model_pause_ms(self, turn.env.text) : 0;
	if (pause_ms) {
		visit->park = true;
		visit->wake_ms = world_now_ms(turn.runs->options.world) + pause_ms;
		(void)snprintf(visit->detail, sizeof(visit->detail), "the model's host wants to be asked again in %lld s",
			       (long long)(pause_ms + 999) / 1000);
		event_note(self, run.id, "%s", visit->detail);
		return 0;
	}
	turn.blueprint = blueprint;
	turn.ops = agent_of_blueprint(blueprint);
	if (!turn.ops)
		return err_set(err, ERR_INVALID, "no agent `%.60s`", blueprint->agent.use ? blueprint->agent.use : "");
	if (run.pending == TURN_PENDING && (cost_check(self, &run, blueprint, visit, err) || visit->park))
		return visit->park ? 0 : -1;
	if (run.pending == TURN_PENDING) {
		if (turn_theirs_take(&turn, err) || run_store(self, run.id, "summary = NULL", NO_VALUES, err) ||
		    agent_turn(&turn, err) || turn_message_next(&turn, &again, err))
			return -1;
		if (again || turn.interrupted) {
			(void)snprintf(visit->detail, sizeof(visit->detail), "%s",
				       turn.costly ? "it has cost what it may" : "a person wrote meanwhile");
			visit->next = "turn";
			return 0;
		}
		if (summary_default(&turn, err))
			return -1;
	}
	return tree_export(&turn, err);
}
