/* Sending sessions to a fresh environment, and taking what came of each request. */
#include "verify/rehearsal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/har.h"
#include "verify/call.h"
#include "verify/format.h"
#include "verify/logs.h"
#include "verify/reproduction.h"
#include "verify/said.h"

#define QUIET_TIMEOUT_MS 10000
#define QUIET_TIMEOUT_SHORT_MS 300
#define QUIET_MISSES_MAX 3 /* after so many the environment is taken for one that is never quiet */
#define RECOVERY_MS 4000
#define RECOVERY_LOOK_US 20000
#define LOG_BYTES_MAX ((size_t)32 << 20)
#define STATEMENT_KEPT ((size_t)2000)

/* ---- sessions ---- */

/* A request that needs a secret which is not here is answered as whoever has it not. */
static void hidden_tell(struct ladder *ladder, const struct replay *replay, const char *name)
{
	AUTO_JSON hidden = replay_hidden(replay);
	size_t missing = 0;

	for (size_t i = 0; i < json_array_size(hidden); i++)
		missing += !json_text(ladder->request->secrets, json_string_value(json_array_get(hidden, i)), NULL);
	if (missing)
		ladder_not_covered(ladder, "session %s: %zu %s whose value is not here: what needs it is answered without", name,
				   missing, missing == 1 ? "secret" : "secrets");
}

static void sessions_add(struct rehearsal *rehearsal, const json_t *read, struct buf *digests)
{
	const char *name = json_text(read, "name", "");
	struct view text = view_of(json_text(read, "text", ""));
	AUTO_SESSION session = {0};
	struct err problem;
	const struct reproduction *again = rehearsal->ladder->request->reproduction;
	struct replay *replay;
	size_t index;
	json_t *line;

	if (again && again->session && strcmp(again->session, name) != 0)
		return;
	if (har_parse(text, &session, &problem)) {
		ladder_not_covered(rehearsal->ladder, "session %s: %s", name, problem.text);
		return;
	}
	replay = replay_new(&session, name);
	if (again && again->entry >= 0)
		replay_cut(replay, (size_t)again->entry + 1);
	json_array_foreach(replay_left_out(replay), index, line)
		ladder_not_covered(rehearsal->ladder, "not replayed: %s", json_string_value(line));
	hidden_tell(rehearsal->ladder, replay, name);
	buf_add_format(digests, "%s %s\n", name, digest_of(text).text);
	(void)json_array_append_new(rehearsal->sessions,
				    json_pack("{s:s, s:s, s:I, s:b}", "name", name, "digest", digest_of(text).text, "requests",
					      (json_int_t)replay_count(replay), "held_out", json_flag(read, "held_out", false)));
	rehearsal->replays[rehearsal->count++] = replay;
	rehearsal->requests += (int64_t)replay_count(replay);
}

struct rehearsal *rehearsal_load(struct ladder *ladder, struct buf *digests, struct err *err)
{
	AUTO_JSON texts = sessions_read(ladder, err);
	struct rehearsal *rehearsal;

	if (!texts)
		return NULL;
	rehearsal = mem_new(sizeof(*rehearsal));
	rehearsal->ladder = ladder;
	rehearsal->sessions = json_array();
	rehearsal->replays = mem_new_array(json_array_size(texts) + 1, sizeof(rehearsal->replays[0]));
	for (size_t i = 0; i < json_array_size(texts); i++)
		sessions_add(rehearsal, json_array_get(texts, i), digests);
	if (ladder->request->reproduction && ladder->request->reproduction->session && !rehearsal->count) {
		(void)err_set(err, ERR_NOT_FOUND, "session %s is not here: it is held out, and this machine does not have it",
			      ladder->request->reproduction->session);
		rehearsal_free(rehearsal);
		return NULL;
	}
	return rehearsal;
}

void rehearsal_free(struct rehearsal *rehearsal)
{
	if (!rehearsal)
		return;
	for (size_t i = 0; i < rehearsal->count; i++)
		replay_free(rehearsal->replays[i]);
	free(rehearsal->replays);
	json_decref(rehearsal->sessions);
	free(rehearsal);
}

size_t rehearsal_session(const struct rehearsal *rehearsal, const char *name)
{
	size_t at = 0;

	while (at < rehearsal->count && strcmp(json_text(json_array_get(rehearsal->sessions, at), "name", ""), name) != 0)
		at++;
	return at;
}

/* ---- one run ---- */

void rehearsal_seen(struct ladder *ladder, const json_t *exchange)
{
	const char *const ends[] = {json_text(exchange, "from", ""), json_text(exchange, "to", "")};

	(void)pthread_mutex_lock(&ladder->mutex);
	for (size_t i = 0; i < 2; i++) {
		const char *dash = strrchr(ends[i], '-');
		uint64_t number;

		if (dash && !json_object_get(ladder->inside, ends[i]) && view_to_u64(view_of(dash + 1), &number)) {
			AUTO_FREE char *service = view_copy(view_make(ends[i], (size_t)(dash - ends[i])));

			(void)json_object_set_new(ladder->services_seen, service, json_true());
		}
		(void)json_object_set_new(ladder->services_seen, ends[i], json_true());
	}
	(void)pthread_mutex_unlock(&ladder->mutex);
}

/* What is compared of an exchange; statements are cut. */
static json_t *exchange_keep(json_t *exchange)
{
	json_t *request = json_member(exchange, "request");
	const char *statement = json_text(request, "statement", NULL);

	if (!call_is(exchange, "http"))
		(void)json_object_del(exchange, "response");
	if (statement && strlen(statement) > STATEMENT_KEPT)
		json_set_bytes(request, "statement", view_make(statement, STATEMENT_KEPT));
	return exchange;
}

/* The preview's own exchange says when the request reached its service and when it was answered. What is in it the entry has already, and there
 * without the secrets that were put in as it was sent. */
static json_t *asked_keep(json_t *exchange)
{
	json_t *request = json_member(exchange, "request");
	const char *trace = call_header(request, "traceparent");
	json_t *headers = trace ? json_pack("[[ss]]", "traceparent", trace) : json_array();
	json_t *kept = json_pack("{s:s, s:o}", "method", json_text(request, "method", "GET"), "headers", headers);
	int status = call_status(exchange);
	AUTO_BUF path = buf_new(8192);

	format_path(&path, view_of(json_text(request, "url", "/")));
	json_set_bytes(kept, "url", buf_view(&path));
	(void)json_object_set_new(exchange, "request", kept);
	(void)json_object_set_new(exchange, "response", status ? json_pack("{s:i}", "status", status) : json_object());
	return exchange;
}

/* What the log has since, up to byte `until`: of the phase (NULL: of none) to `seams` and `asked`, and what applications said to `words`. */
static int exchanges_take(struct running *running, int64_t until, const char *phase, json_t *seams, json_t *asked, json_t *words,
			  struct err *err)
{
	struct ladder *ladder = running->side->ladder;
	AUTO_BUF lines = buf_new((size_t)256 << 20);
	struct view rest;

	if (environment_exchanges(ladder->request->environments, running->side->env, &running->exchanges_from, until, &lines, err))
		return -1;
	rest = buf_view(&lines);
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		AUTO_JSON exchange = line.length ? json_parse(line, NULL) : NULL;

		if (exchange && call_is(exchange, "otlp")) {
			(void)json_array_append(words, exchange);
			continue;
		}
		if (!exchange || !phase || strcmp(json_text(exchange, "phase", ""), phase) != 0)
			continue;
		rehearsal_seen(ladder, exchange);
		if (strcmp(json_text(exchange, "from", ""), "preview") == 0)
			(void)json_array_append(asked, asked_keep(exchange));
		else
			(void)json_array_append(seams, exchange_keep(exchange));
	}
	return 0;
}

static void words_give(struct running *running, const json_t *words)
{
	size_t index;
	json_t *word;

	json_array_foreach(words, index, word)
		(void)said_take(running->traces, word);
}

/* Gives the entry the exchanges of its request, which was just sent. */
static int seams_take(struct running *running, int64_t until, const char *phase, json_t *entry, struct err *err)
{
	AUTO_JSON words = json_array();
	json_t *seams = json_array();
	json_t *asked = json_array();

	(void)json_object_set_new(entry, "seams", seams);
	(void)json_object_set_new(entry, "asked", asked);
	if (exchanges_take(running, until, phase, seams, asked, words, err))
		return -1;
	said_expect(running->traces, entry);
	words_give(running, words);
	return 0;
}

static char *phase_name(int number)
{
	return text_format("replay-%d", number);
}

static int read_later(struct running *running, json_t *entry, struct err *err)
{
	struct unread *unread;

	running->unread = mem_grow(running->unread, running->unread_count + 1, sizeof(*running->unread));
	unread = &running->unread[running->unread_count++];
	*unread = (struct unread){.entry = entry, .number = running->sent};
	return environment_exchanges_end(running->side->ladder->request->environments, running->side->env, &unread->end, err);
}

static int unread_take(struct running *running, struct err *err)
{
	for (size_t i = 0; i < running->unread_count; i++) {
		const struct unread *unread = &running->unread[i];
		AUTO_FREE char *phase = phase_name(unread->number);

		if (seams_take(running, unread->end, phase, unread->entry, err))
			return -1;
	}
	running->unread_count = 0;
	return 0;
}

/* What exporters still had when the last request was over. */
static int words_rest(struct running *running, struct err *err)
{
	AUTO_JSON words = json_array();

	if (exchanges_take(running, -1, NULL, NULL, NULL, words, err))
		return -1;
	words_give(running, words);
	return 0;
}

int running_quiet(struct running *running, struct err *err)
{
	struct ladder *ladder = running->side->ladder;
	bool never = running->quiet_misses >= QUIET_MISSES_MAX;
	struct err problem;

	if (environment_quiet(ladder->request->environments, running->side->env, never ? QUIET_TIMEOUT_SHORT_MS : QUIET_TIMEOUT_MS,
			      &problem) == 0)
		return 0;
	if (problem.kind != ERR_LIMIT) {
		*err = problem;
		return -1;
	}
	running->quiet_misses++;
	return 0;
}

void running_recover(struct running *running)
{
	struct ladder *ladder = running->side->ladder;
	int64_t until_ms = world_elapsed_ms(ladder->request->world) + RECOVERY_MS;
	bool down = true;

	while (down && !ladder_stopped(ladder) && world_elapsed_ms(ladder->request->world) < until_ms) {
		AUTO_JSON shown = environment_show(ladder->request->environments, running->side->env, NULL);
		const json_t *sandboxes = json_member(shown, "sandboxes");

		down = false;
		for (size_t i = 0; i < json_array_size(sandboxes); i++) {
			const char *state = json_text(json_array_get(sandboxes, i), "state", "");

			down = down || strcmp(state, "starting") == 0 || strcmp(state, "exited") == 0 ||
			       strcmp(state, "failed") == 0;
		}
		if (down)
			(void)usleep(RECOVERY_LOOK_US);
	}
}

int running_break(struct running *running, const json_t *fault, struct err *err)
{
	AUTO_JSON items = environment_fault(running->side->ladder->request->environments, running->side->env, fault, err);

	return items ? 0 : err_prefix(err, "fault %s on %s", json_text(fault, "kind", ""), json_text(fault, "seam", ""));
}

int running_mend(struct running *running, struct err *err)
{
	AUTO_JSON fault = json_pack("{s:s}", "kind", "clear");

	return running_break(running, fault, err);
}

json_t *running_send(struct running *running, size_t session, size_t index, const json_t *entries, const struct sending *how,
		     struct err *err)
{
	struct ladder *ladder = running->side->ladder;
	const struct replay *replay = running->rehearsal->replays[session];
	AUTO_FREE char *phase = phase_name(running->sent);
	AUTO_JSON request = replay_request(replay, index, entries);
	const struct replay_target target = {running->preview, how->timeout_ms, ladder->request->secrets};
	json_t *entry;

	if (ladder_stopped(ladder)) {
		(void)err_set(err, ERR_CANCELLED, "stopped");
		return NULL;
	}
	if (environment_phase(ladder->request->environments, running->side->env, phase, err))
		return NULL;
	entry = replay_send(replay, index, request, &target);
	if (how->under)
		json_set_bytes(entry, "under", view_of(how->under));
	if (how->in_passing)
		(void)json_object_set_new(entry, "in_passing", json_true());
	(void)json_array_append_new(running->entries, entry);
	if (how->answered && how->answered(running, err))
		return NULL;
	if (!how->in_passing && running_quiet(running, err))
		return NULL;
	if (how->in_passing)
		(void)json_object_set_new(entry, "seams", json_array());
	else if (how->read_later ? read_later(running, entry, err) : seams_take(running, -1, phase, entry, err))
		return NULL;
	running->sent++;
	return entry;
}

static int session_replay(struct running *running, const struct rehearsal_plan *plan, size_t session, struct err *err)
{
	const struct sending as_recorded = {.timeout_ms = REQUEST_TIMEOUT_MS, .read_later = !plan->before};
	AUTO_JSON entries = json_array(); /* of this session, as recorded: what its links look at */

	for (size_t i = 0; i < replay_count(running->rehearsal->replays[session]); i++) {
		json_t *entry;

		if (plan->before && plan->before(running, plan, session, i, entries, err))
			return -1;
		entry = running_send(running, session, i, entries, &as_recorded, err);
		if (!entry)
			return -1;
		(void)json_array_append(entries, entry);
	}
	return unread_take(running, err);
}

static int sessions_replay(struct running *running, const struct rehearsal_plan *plan, struct err *err)
{
	for (size_t i = 0; i < running->rehearsal->count; i++)
		if (session_replay(running, plan, i, err))
			return err_prefix(err, "replay of %s on %s",
					  json_text(json_array_get(running->rehearsal->sessions, i), "name", "the sessions"),
					  running->side->label);
	return 0;
}

/* {service: where its log ends now}: what starting up printed is nobody's request. */
static json_t *logs_mark(struct side *side)
{
	const struct blueprint *blueprint = side->ladder->blueprint;
	json_t *marks = json_object();

	for (size_t i = 0; i < blueprint->service_count; i++) {
		AUTO_BUF text = buf_new(LOG_BYTES_MAX);
		int64_t from = 0;

		if (environment_logs(side->ladder->request->environments, side->env, blueprint->services[i].name, 0, &from, &text,
				     NULL) == 0)
			(void)json_object_set_new(marks, blueprint->services[i].name, json_integer(from));
	}
	return marks;
}

/* {service: {"errors", "leaks"}}; what cannot be read is not there. */
static json_t *logs_take(struct side *side, const json_t *entries, const json_t *marks)
{
	const struct blueprint *blueprint = side->ladder->blueprint;
	AUTO_JSON secrets = logs_secrets(entries);
	const char *placeholder;
	json_t *value;
	json_t *logs = json_object();

	json_object_foreach((json_t *)(uintptr_t)side->ladder->request->secrets, placeholder, value)
		if (json_string_length(value) >= LOG_SECRET_MIN / 2)
			(void)json_object_set_new(secrets, json_string_value(value), json_string("secret of a session"));
	for (size_t i = 0; i < blueprint->service_count; i++) {
		const char *service = blueprint->services[i].name;
		AUTO_BUF text = buf_new(LOG_BYTES_MAX);
		int64_t from = json_number(marks, service, -1);

		if (from < 0 || environment_logs(side->ladder->request->environments, side->env, service, 0, &from, &text, NULL))
			continue;
		(void)json_object_set_new(logs, service,
					  json_pack("{s:o, s:o}", "errors", logs_errors(buf_view(&text)), "leaks",
						    logs_leaks(buf_view(&text), secrets)));
	}
	return logs;
}

static void room_note(struct side *side)
{
	struct ladder *ladder = side->ladder;
	size_t room = environment_room(ladder->request->environments, side->env);

	(void)pthread_mutex_lock(&ladder->mutex);
	ladder->room = room;
	(void)pthread_mutex_unlock(&ladder->mutex);
}

static void running_fini(struct running *running)
{
	json_decref(running->rows);
	free(running->unread);
}

static int run_in(struct side *side, const struct rehearsal_plan *plan, struct err *err)
{
	struct environments *environments = side->ladder->request->environments;
	AUTO_FREE char *preview = environment_preview_url(environments, side->env);
	AUTO_JSON traces = json_object();
	struct running running = {
		.side = side, .rehearsal = plan->rehearsal, .preview = preview, .entries = json_array(), .traces = traces};
	AUTO_BUF before = buf_new((size_t)256 << 20);
	json_t *rows = NULL;
	struct world world = side->ladder->request->world;
	int64_t begin_ms;

	AUTO_JSON marks = plan->apart ? NULL : logs_mark(side);

	side->run = json_pack("{s:o}", "entries", running.entries);
	if (!preview)
		return err_set(err, ERR_INVALID, "the environment has no preview: no service of the blueprint has a port");
	if (running_quiet(&running, err) ||
	    environment_exchanges(environments, side->env, &running.exchanges_from, -1, &before, err))
		return -1;
	begin_ms = world_elapsed_ms(world);
	if (sessions_replay(&running, plan, err) || (plan->after && plan->after(&running, plan, err)) ||
	    words_rest(&running, err)) {
		running_fini(&running);
		return -1;
	}
	(void)json_object_set_new(side->run, "ms", json_integer(world_elapsed_ms(world) - begin_ms));
	running_fini(&running);
	rows = plan->apart ? json_null() : environment_rows_written(environments, side->env, err);
	if (!rows)
		return err_prefix(err, "rows written on %s", side->label);
	(void)json_object_set_new(side->run, "rows", rows);
	if (!plan->apart)
		(void)json_object_set_new(side->run, "logs", logs_take(side, running.entries, marks));
	if (environment_intact(environments, side->env, err)) /* its answers would be findings about ourselves */
		return -1;
	if (!plan->apart)
		room_note(side);
	(void)json_object_set_new(side->run, "never_quiet", json_boolean(running.quiet_misses >= QUIET_MISSES_MAX));
	return 0;
}

void side_rehearse(struct side *side)
{
	int64_t begin_ms = world_elapsed_ms(side->ladder->request->world);

	ladder_report(side->ladder, side->gate, side->label, "", -1);
	side->result = ladder_env_up(side, &side->err);
	if (side->result)
		return;
	side->result = run_in(side, side->argument, &side->err);
	ladder_env_down(side->ladder, side->env);
	ladder_report(side->ladder, side->gate, side->label, "", world_elapsed_ms(side->ladder->request->world) - begin_ms);
}

struct side rehearsal_side(const struct rehearsal_plan *plan, const char *gate, const char *label)
{
	struct ladder *ladder = plan->rehearsal->ladder;

	return (struct side){.ladder = ladder,
			     .gate = gate,
			     .label = label,
			     .argument = plan,
			     .commit = label[0] == 'b' ? &ladder->request->base : &ladder->request->head};
}

void rehearsal_reproduce(const struct rehearsal *rehearsal, json_t *finding, const char *before)
{
	const char *session = json_text(finding, "session", "");
	const char *service = rehearsal->ladder->blueprint->preview.service;

	for (size_t i = 0; i < rehearsal->count; i++) {
		const json_t *about = json_array_get(rehearsal->sessions, i);
		AUTO_BUF script = buf_new((size_t)64 << 10);
		int64_t index = json_number(finding, "entry", -1);

		if (strcmp(json_text(about, "name", ""), session) != 0 || index < 0 ||
		    (size_t)index >= replay_count(rehearsal->replays[i]))
			continue;
		buf_add_text(&script, before);
		replay_script(rehearsal->replays[i], (size_t)index, service, json_flag(about, "held_out", false), &script);
		if (!script.over)
			json_set_bytes(finding, "reproduce", buf_view(&script));
	}
}
