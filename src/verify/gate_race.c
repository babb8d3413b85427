/*
 * The rung after the faults: copies of requests that change something, sent at once, on base and head.
 *
 * Theory of operation: before such a request of the sessions is sent as recorded, copies of it are, in steps: RACE_COPIES of it at once
 * ("cold"), half as many one after another twice, with keys of their own against doing twice ("turns"), RACE_COPIES at once again
 * ("warm"), and, where each took as much of one number, the same when only half of the copies can have it ("scarce"). In another environment of
 * the same version all steps are made one after another: verify/race.h says what must be the same. While copies are under way at once, every
 * statement and call on the seams that the request crosses is held for a moment, so that what may overlap does: a race that is there
 * shows, at any load.
 *
 * What the head does and the base does too is no fault of the change; what blocks was seen in two environments of the head, and in neither of
 * two of the base.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/client.h"
#include "verify/call.h"
#include "verify/compare.h"
#include "verify/kept.h"
#include "verify/race.h"
#include "verify/rehearsal.h"

#define RACES_MAX 16
#define SEAMS_MAX 12 /* that are held, of one request */
#define HELD_MS 20
#define PATIENCE_MS 3500
#define STATEMENT_BYTES_MAX ((size_t)16384)

struct race {
	size_t session;
	size_t index;
	char *place;
	json_t *seams; /* [text], as gateway/fault.h wants them */
};

struct work {
	struct ladder *ladder;
	struct gate *gate;
	struct race races[RACES_MAX];
	size_t count;
	size_t left_out;
	char *kept_path;
	json_t *base_turns;
	json_t *base_together;
	json_t *suspects; /* {place: true}: what is raced again; NULL: everything */
};

static void work_fini(struct work *work)
{
	for (size_t i = 0; i < work->count; i++) {
		free(work->races[i].place);
		json_decref(work->races[i].seams);
	}
	free(work->kept_path);
	json_decref(work->base_turns);
	json_decref(work->base_together);
	json_decref(work->suspects);
}

/* ---- what is raced ---- */

/* A page that counts its visits changes something, too. */
static bool writes(const json_t *exchange)
{
	static const char *const words[] = {"INSERT ", "UPDATE ",  "DELETE ", "SET ",   "INCR",
					    "DECR",    "HINCRBY ", "LPUSH ",  "RPUSH ", "XADD "};
	AUTO_BUF statement = buf_new(STATEMENT_BYTES_MAX);

	if (call_is(exchange, "http"))
		return false;
	call_statement(&statement, exchange);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (view_starts(buf_view(&statement), view_of(words[i])))
			return true;
	return false;
}

static bool is_raced(const json_t *entry)
{
	const json_t *seams = json_member(entry, "seams");
	int status = call_status(entry);
	bool writing = call_changes(entry);

	for (size_t i = 0; i < json_array_size(seams); i++)
		writing = writing || writes(json_array_get(seams, i));
	return writing && status >= 200 && status < 400;
}

/* Services and databases that it crosses on its way; the outside has its own pace. */
static json_t *seams_of(const struct ladder *ladder, const json_t *entry)
{
	const json_t *exchanges = json_member(entry, "seams");
	AUTO_JSON seen = json_object();
	json_t *seams = json_array();

	for (size_t i = 0; i < json_array_size(exchanges) && json_array_size(seams) < SEAMS_MAX; i++) {
		const json_t *exchange = json_array_get(exchanges, i);
		AUTO_FREE char *seam = call_seam(exchange, ladder->inside);

		if (!json_object_get(ladder->inside, json_text(exchange, "to", "")) || json_object_get(seen, seam))
			continue;
		(void)json_object_set_new(seen, seam, json_true());
		(void)json_array_append_new(seams, json_string(seam));
	}
	return seams;
}

static void races_make(struct work *work)
{
	const struct ladder *ladder = work->ladder;
	const json_t *entries = json_member(ladder->base_run, "entries");
	AUTO_JSON seen = json_object();
	size_t index;
	json_t *entry;

	json_array_foreach(entries, index, entry) {
		size_t session = rehearsal_session(ladder->rehearsal, json_text(entry, "session", ""));
		AUTO_BUF place = buf_new(8192);

		call_endpoint(&place, entry);
		if (session == ladder->rehearsal->count || !is_raced(entry) || json_object_get(seen, place.at))
			continue;
		(void)json_object_set_new(seen, place.at, json_true());
		if (work->count == RACES_MAX) {
			work->left_out++;
			continue;
		}
		work->races[work->count++] = (struct race){.session = session,
							   .index = (size_t)json_number(entry, "index", 0),
							   .place = buf_take(&place),
							   .seams = seams_of(ladder, entry)};
	}
	gate_count(work->gate, "requests", (int64_t)work->count);
	if (work->left_out)
		ladder_not_covered(work->ladder, "race: %zu of %zu requests were left out", work->left_out,
				   work->left_out + work->count);
}

/* ---- sending copies ---- */

struct copies {
	struct running *running;
	const struct race *race;
	const json_t *request;
	int number; /* of copies with keys of their own, so far; -1: all are the very same request */
	bool at_once;
	json_t *steps;
	json_t *measure; /* before the step */
	json_t *rows;    /* the same as it was read */
};

struct copy {
	const struct copies *copies;
	json_t *request;
	json_t *entry;
};

static void *copy_send(void *self)
{
	struct copy *copy = self;
	const struct copies *copies = copy->copies;
	const struct replay_target target = {copies->running->preview, REQUEST_TIMEOUT_MS};

	copy->entry = replay_send(copies->running->rehearsal->replays[copies->race->session], copies->race->index, copy->request,
				  &target);
	return NULL;
}

static void answer_count(json_t *step, const json_t *entry)
{
	int status = call_status(entry);
	bool late = json_number(entry, "ms", 0) >= PATIENCE_MS; /* somebody's patience has ended */
	const char *name = status == 0 || (status >= 500 && late) ? "lost"
			   : status < 400                         ? "ok"
			   : status < 500                         ? "refused"
								  : "failed";

	(void)json_object_set_new(step, name, json_integer(json_number(step, name, 0) + 1));
}

static void copies_send(struct copies *copies, int count, bool at_once, json_t *answers)
{
	struct copy all[RACE_COPIES] = {{0}};
	pthread_t threads[RACE_COPIES] = {0};
	bool apart[RACE_COPIES] = {false};

	for (int i = 0; i < count; i++) {
		all[i].copies = copies;
		all[i].request = copies->number < 0 ? json_deep_copy(copies->request)
						    : replay_request_of_its_own(copies->request, copies->number++);
		apart[i] = at_once && pthread_create(&threads[i], NULL, copy_send, &all[i]) == 0;
		if (!apart[i])
			(void)copy_send(&all[i]);
	}
	for (int i = 0; i < count; i++) {
		if (apart[i])
			(void)pthread_join(threads[i], NULL);
		answer_count(answers, all[i].entry);
		json_decref(all[i].request);
		json_decref(all[i].entry);
	}
}

/* Of a caller that the gateway knows no faults of, a worker, everybody's calls are held. What cannot be held goes on at its own pace. */
static int seam_hold(const struct copies *copies, const char *seam, struct err *err)
{
	const char *arrow = strstr(seam, "->");
	AUTO_JSON fault = json_pack("{s:s, s:s, s:i}", "kind", "slow", "seam", seam, "ms", HELD_MS);

	if (running_break(copies->running, fault, err) == 0)
		return 0;
	if (err->kind == ERR_RETRY || err->kind == ERR_CANCELLED)
		return -1;
	return arrow ? seam_hold(copies, arrow + 2, err) : 0;
}

static int seams_hold(const struct copies *copies, struct err *err)
{
	size_t index;
	json_t *seam;

	json_array_foreach(copies->race->seams, index, seam)
		if (seam_hold(copies, json_string_value(seam), err))
			return -1;
	return 0;
}

/* ---- what stands after a step ---- */

static int sql_holds(struct running *running, const struct invariant *invariant, bool *holds, struct err *err)
{
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct view rest;

	if (environment_query(running->side->ladder->request->environments, running->side->env, invariant->database, invariant->sql,
			      &output, err))
		return err_prefix(err, "invariant `%s`", invariant->name);
	(void)view_cut(view_trim(buf_view(&output)), '\n', &rest); /* after the names of the columns */
	*holds = rest.length == 0;
	return 0;
}

static bool http_answers(const struct running *running, const struct invariant *invariant)
{
	AUTO_RESPONSE response = {0};
	size_t base = strlen(running->preview);

	while (base && running->preview[base - 1] == '/')
		base--;
	AUTO_FREE char *url = text_format("%.*s%s", (int)base, running->preview, invariant->http);
	AUTO_FREE char *place = replay_connect_place(url);
	struct http_call call = {.method = "GET",
				 .url = url,
				 .connect_to = place,
				 .timeout_ms = REQUEST_TIMEOUT_MS,
				 .body_bytes_max = REPLAY_BODY_MAX};

	return http_client_call(&call, &response, NULL) == 0 && response.status / 100 == 2;
}

/* Asked twice before it is said not to hold: what was under way may have ended since. */
static int http_holds(struct running *running, const struct invariant *invariant, bool *holds, struct err *err)
{
	*holds = http_answers(running, invariant);
	if (*holds)
		return 0;
	running_recover(running);
	if (running_quiet(running, err))
		return -1;
	*holds = http_answers(running, invariant);
	return 0;
}

/* [names of those that do not hold] */
static json_t *invariants_broken(struct running *running, struct err *err)
{
	const struct blueprint *blueprint = running->side->ladder->blueprint;
	AUTO_JSON broken = json_array();

	for (size_t i = 0; i < blueprint->verify.invariant_count; i++) {
		const struct invariant *invariant = &blueprint->verify.invariants[i];
		bool holds = true;

		if (invariant->http ? http_holds(running, invariant, &holds, err) : sql_holds(running, invariant, &holds, err))
			return NULL;
		if (!holds)
			(void)json_array_append_new(broken, json_string(invariant->name));
	}
	return TAKE(broken);
}

static int measure_take(struct copies *copies, struct err *err)
{
	struct running *running = copies->running;
	json_t *rows;

	if (running_quiet(running, err))
		return -1;
	rows = environment_rows_written(running->side->ladder->request->environments, running->side->env, err);
	if (!rows)
		return -1;
	json_decref(copies->rows);
	json_decref(copies->measure);
	copies->rows = rows;
	copies->measure = race_measure(rows);
	return 0;
}

/* One step, kept with what came of it. */
static int step_make(struct copies *copies, const char *name, int count, bool at_once, const char *scarce, struct err *err)
{
	AUTO_JSON answers = json_pack("{s:i, s:i, s:i, s:i}", "ok", 0, "refused", 0, "failed", 0, "lost", 0);
	AUTO_JSON before = json_incref(copies->measure);
	AUTO_JSON broken = NULL;
	json_t *step;

	if (ladder_stopped(copies->running->side->ladder))
		return err_set(err, ERR_CANCELLED, "stopped");
	if (at_once && seams_hold(copies, err))
		return -1;
	copies_send(copies, count, at_once, answers);
	if (at_once && running_mend(copies->running, err))
		return -1;
	running_recover(copies->running);
	if (measure_take(copies, err))
		return -1;
	broken = count == RACE_COPIES ? invariants_broken(copies->running, err) : json_array();
	if (!broken)
		return -1;
	step = race_step(name, before, copies->measure);
	(void)json_object_update(step, answers);
	(void)json_object_set(step, "broken", broken);
	if (scarce)
		(void)json_object_set_new(step, "scarce", json_string(scarce));
	(void)json_array_append_new(copies->steps, step);
	return 0;
}

/* ---- the scarce ---- */

static void quoted_add(struct buf *sql, char quote, const char *text)
{
	buf_add_char(sql, quote);
	for (; *text; text++) {
		if (*text == quote)
			buf_add_char(sql, quote);
		buf_add_char(sql, *text);
	}
	buf_add_char(sql, quote);
}

static void value_add(struct buf *sql, const json_t *value)
{
	AUTO_BUF text = buf_new(STATEMENT_BYTES_MAX);

	if (!json_is_string(value))
		json_format(&text, value);
	quoted_add(sql, '\'', json_is_string(value) ? json_string_value(value) : text.at);
}

/* How its engine quotes names. */
static char quote_of(const struct blueprint *blueprint, const char *database)
{
	for (size_t i = 0; i < blueprint->database_count; i++)
		if (strcmp(blueprint->databases[i].name, database) == 0)
			return blueprint->databases[i].engine == ENGINE_MARIADB || blueprint->databases[i].engine == ENGINE_MYSQL
				       ? '`'
				       : '"';
	return '"';
}

/* UPDATE "public"."items" SET "stock" = 6 WHERE "id" = '3' */
static int scarce_set(struct copies *copies, const json_t *scarce, int64_t value, struct err *err)
{
	struct view rest = view_of(json_text(scarce, "table", ""));
	AUTO_BUF sql = buf_new(STATEMENT_BYTES_MAX);
	AUTO_BUF output = buf_new((size_t)64 << 10);
	const char *between = "UPDATE ";
	char quote = quote_of(copies->running->side->ladder->blueprint, json_text(scarce, "database", ""));
	const char *column;
	json_t *key;

	while (rest.length) {
		AUTO_FREE char *part = view_copy(view_cut(rest, '.', &rest));

		buf_add_text(&sql, between);
		quoted_add(&sql, quote, part);
		between = ".";
	}
	buf_add_text(&sql, " SET ");
	quoted_add(&sql, quote, json_text(scarce, "column", ""));
	buf_add_format(&sql, " = %lld", (long long)value);
	between = " WHERE ";
	json_object_foreach(json_member(scarce, "key"), column, key) {
		buf_add_text(&sql, between);
		quoted_add(&sql, quote, column);
		buf_add_text(&sql, " = ");
		value_add(&sql, key);
		between = " AND ";
	}
	if (buf_finish(&sql, err))
		return -1;
	return environment_query(copies->running->side->ladder->request->environments, copies->running->side->env,
				 json_text(scarce, "database", ""), sql.at, &output, err);
}

/* Half of the copies can have what each takes of; a number that may not be set so is left alone. */
static int scarce_make(struct copies *copies, const json_t *scarce, bool at_once, struct err *err)
{
	int64_t value = json_number(scarce, "value", 0);
	AUTO_FREE char *name = text_format("%s.%s.%s", json_text(scarce, "database", ""), json_text(scarce, "table", ""),
					   json_text(scarce, "column", ""));

	if (scarce_set(copies, scarce, json_number(scarce, "each", 0) * (RACE_COPIES / 2), NULL))
		return 0;
	if (measure_take(copies, err) || step_make(copies, "scarce", RACE_COPIES, at_once, name, err))
		return -1;
	return scarce_set(copies, scarce, value, err);
}

/* ---- one request ---- */

static int steps_make(struct copies *copies, bool at_once, struct err *err)
{
	AUTO_JSON first = NULL;
	AUTO_JSON second = NULL;
	AUTO_JSON scarce = NULL;

	copies->number = -1;
	if (measure_take(copies, err) || step_make(copies, "cold", RACE_COPIES, at_once, NULL, err))
		return -1;
	copies->number = 0;
	first = json_incref(copies->rows);
	if (step_make(copies, "turns", RACE_COPIES / 2, false, NULL, err))
		return -1;
	second = json_incref(copies->rows);
	if (step_make(copies, "turns again", RACE_COPIES / 2, false, NULL, err))
		return -1;
	scarce = race_scarce(first, second, copies->rows);
	if (step_make(copies, "warm", RACE_COPIES, at_once, NULL, err))
		return -1;
	return scarce ? scarce_make(copies, scarce, at_once, err) : 0;
}

static int race_run(struct running *running, const struct race *race, const json_t *entries, bool at_once, struct err *err)
{
	AUTO_JSON request = replay_request(running->rehearsal->replays[race->session], race->index, entries);
	struct copies copies = {.running = running, .race = race, .request = request, .steps = json_array()};
	json_t *races = json_member(running->side->run, "races");
	int result;

	if (!races) {
		races = json_array();
		(void)json_object_set_new(running->side->run, "races", races);
	}
	(void)json_array_append_new(races,
				    json_pack("{s:s, s:s, s:I, s:o}", "place", race->place, "session",
					      json_text(json_array_get(running->rehearsal->sessions, race->session), "name", ""),
					      "entry", (json_int_t)race->index, "steps", copies.steps));
	result = environment_phase(running->side->ladder->request->environments, running->side->env, "race", err);
	if (result == 0)
		result = steps_make(&copies, at_once, err);
	json_decref(copies.rows);
	json_decref(copies.measure);
	return result;
}

/* Both hooks; `at_once` tells them apart. */
static int before(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index, const json_t *entries,
		  bool at_once, struct err *err)
{
	const struct work *work = plan->self;

	for (size_t i = 0; i < work->count; i++)
		if (work->races[i].session == session && work->races[i].index == index &&
		    (!work->suspects || json_object_get(work->suspects, work->races[i].place)))
			return race_run(running, &work->races[i], entries, at_once, err);
	return 0;
}

static int before_together(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index,
			   const json_t *entries, struct err *err)
{
	return before(running, plan, session, index, entries, true, err);
}

static int before_turns(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index,
			const json_t *entries, struct err *err)
{
	return before(running, plan, session, index, entries, false, err);
}

/* ---- the rung ---- */

struct plans {
	struct rehearsal_plan turns;
	struct rehearsal_plan together;
};

/* One version. */
struct version {
	struct side together;
	struct side turns;
};

static struct version version_make(const struct plans *plans, const char *label, const char *label_in_turns)
{
	return (struct version){rehearsal_side(&plans->together, "race", label),
				rehearsal_side(&plans->turns, "race", label_in_turns)};
}

static int version_end(const struct version *version, json_t **turns, json_t **together, struct err *err)
{
	const struct side *failed = version->together.result ? &version->together : &version->turns;

	*turns = version->turns.run;
	*together = version->together.run;
	if (failed->result)
		*err = failed->err;
	return failed->result;
}

/* The head, and the base where it is not kept, in turns and at once, side by side as far as the machine holds it. */
static int versions_run(struct work *work, const struct plans *plans, json_t **turns, json_t **together, struct err *err)
{
	bool kept = kept_read(work->ladder, work->kept_path, &work->base_turns, &work->base_together);
	struct version head = version_make(plans, "head", "head in turns");
	struct version base = version_make(plans, "base", "base in turns");
	int result;

	sides_run_some(side_rehearse, (struct side *const[]){&head.together, &head.turns, &base.together, &base.turns},
		       kept ? 2 : 4, ladder_at_once(work->ladder, 2));
	result = version_end(&head, turns, together, err);
	if (!kept && version_end(&base, &work->base_turns, &work->base_together, err))
		result = -1;
	if (!kept && result == 0)
		kept_write(work->ladder, work->kept_path, work->base_turns, work->base_together);
	return result;
}

static void finding_lower(json_t *finding, const char *detail)
{
	(void)json_object_set_new(finding, "severity", json_string(severity_name(SEVERITY_INFO)));
	json_set_bytes(finding, "detail", view_of(detail));
}

/* What the base does too was there before. */
static void base_take(json_t *findings, const json_t *of_base)
{
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (finding_find(of_base, json_text(json_array_get(findings, i), "id", "")))
			finding_lower(json_array_get(findings, i), "The base does so, too.");
}

/* What blocks must be seen again in other environments of the head, at once and in turn, and not in another of the base. */
static int confirm(struct work *work, const struct plans *plans, json_t *unstable, struct err *err)
{
	struct side base = rehearsal_side(&plans->together, "race", "base again");
	struct side head = rehearsal_side(&plans->together, "race", "head again");
	struct side turns = rehearsal_side(&plans->turns, "race", "head in turns again");
	const struct side *const sides[] = {&base, &head, &turns};
	size_t index;
	json_t *finding;
	int result = 0;

	work->suspects = json_object();
	json_array_foreach(work->gate->findings, index, finding)
		if (finding_is(finding, SEVERITY_BLOCK))
			(void)json_object_set_new(work->suspects, json_text(finding, "place", ""), json_true());
	sides_run(side_rehearse, (struct side *const[]){&head, &base, &turns}, 3);
	for (size_t i = 0; i < ARRAY_LEN(sides) && !result; i++) {
		result = sides[i]->result;
		if (result)
			*err = sides[i]->err;
	}
	if (!result) {
		AUTO_JSON of_base = races_judge(json_member(work->base_turns, "races"), json_member(base.run, "races"), unstable);
		AUTO_JSON again = races_judge(json_member(turns.run, "races"), json_member(head.run, "races"), unstable);

		races_judge_turns(json_member(work->base_turns, "races"), json_member(turns.run, "races"), again);
		base_take(work->gate->findings, of_base);
		findings_confirm(work->gate->findings, again, unstable);
	}
	json_decref(base.run);
	json_decref(head.run);
	json_decref(turns.run);
	return result;
}

/* Where the base itself could not be judged nothing is claimed. */
static void unstable_tell(struct work *work, const json_t *unstable)
{
	size_t index;
	json_t *row;

	json_array_foreach(unstable, index, row)
		ladder_not_covered(work->ladder, "race: %s: %s", json_text(row, "endpoint", ""), json_text(row, "reason", ""));
}

static int judge(struct work *work, const struct plans *plans, struct err *err)
{
	AUTO_JSON turns = NULL;
	AUTO_JSON together = NULL;
	AUTO_JSON unstable = json_array();
	AUTO_JSON of_base = NULL;

	if (versions_run(work, plans, &turns, &together, err))
		return -1;
	ladder_artefact_json(work->ladder, "race/base.json", work->base_together);
	ladder_artefact_json(work->ladder, "race/head.json", together);
	of_base = races_judge(json_member(work->base_turns, "races"), json_member(work->base_together, "races"), unstable);
	json_decref(work->gate->findings);
	work->gate->findings = races_judge(json_member(turns, "races"), json_member(together, "races"), unstable);
	races_judge_turns(json_member(work->base_turns, "races"), json_member(turns, "races"), work->gate->findings);
	base_take(work->gate->findings, of_base);
	if (findings_block(work->gate->findings) && confirm(work, plans, unstable, err))
		return -1;
	unstable_tell(work, unstable);
	for (size_t i = 0; i < json_array_size(work->gate->findings); i++)
		rehearsal_reproduce(work->ladder->rehearsal, json_array_get(work->gate->findings, i), "");
	return 0;
}

int gate_race(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {.ladder = ladder, .gate = gate};
	const struct plans plans = {
		.turns = {.rehearsal = ladder->rehearsal, .before = before_turns, .apart = true, .self = &work},
		.together = {.rehearsal = ladder->rehearsal, .before = before_together, .apart = true, .self = &work}};
	AUTO_BUF parts = buf_new((size_t)4 << 20);

	if (ladder->rehearsal && ladder->base_run)
		races_make(&work);
	if (!work.count) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "%s", ladder->base_run ? "no request of the sessions changes anything" : "nothing was replayed");
		return 0;
	}
	for (size_t i = 0; i < work.count; i++) {
		buf_add_format(&parts, "%zu %zu ", work.races[i].session, work.races[i].index);
		json_format(&parts, work.races[i].seams);
	}
	json_format_sorted(&parts, ladder->sessions);
	work.kept_path = kept_path(ladder, gate->name, buf_view(&parts));
	return judge(&work, &plans, err);
}
