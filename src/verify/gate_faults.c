/*
 * The rung after the replay: every seam that the sessions use is broken once, on base, base again and head, and what the application
 * makes of it is held against each other. A finding is what the head does worse than the base.
 *
 * Theory of operation: what the base was seen to call in the replay says which seams a request crosses. Before such a request is sent as
 * recorded, it is sent under each fault: its call is answered 503 (once, or all the time), reset, answered but the answer is lost (where the call changes
 * something), or never answered (once a seam: it takes as long as the caller's patience); connections to databases are reset before something
 * is written, messages are given again. Each fault of a request that changes something has a session of its own, made anew as far as the request
 * stands on it, and only some of them share an environment: what one uses up would be missing to the next. Then the request is sent as recorded,
 * which also tells whether the application recovers, and gives what later requests need. The order is the same on all sides, so that what one
 * fault leads to is the same for those who behave the same.
 *
 * What is worse than the base is for verify/faults.h to say. Where the base disagrees with itself, nothing is claimed.
 *
 * Where one side carries out under a fault what the other one does not (it tries again, which may well be meant), nothing that comes after it in
 * that environment can be held against each other: there is an order more. Such faults are then met each in an environment of its own, of
 * which only they are judged, and all others without them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "verify/call.h"
#include "verify/faults.h"
#include "verify/kept.h"
#include "verify/rehearsal.h"

#define TRIALS_MAX 240
#define PART_HANGS 2  /* faults of one environment that take somebody's patience: others are met meanwhile */
#define PART_TRIALS 6 /* faults of one request that changes something, in one environment: what it takes (a stock) runs out */
#define APART_MAX 8   /* faults with an environment of their own */
#define HANGS_MAX 8   /* each takes as long as somebody's patience */
#define FAULTED_TIMEOUT_MS 6000 /* ours: five seconds are what many have */

struct trial {
	size_t session;
	size_t index;
	char *seam;  /* "orders->bank.example", as the gateway wants it */
	char *under; /* "orders > bank.example is reset": a part of the findings' place */
	const char *kind;
	int times;     /* how often its seam fails; 0: until it is mended */
	bool changing; /* the request does: what it stands on is made anew for it */
	size_t part;   /* the environment that it shares with others */
	bool message;  /* it may be met after the answer */
	bool left_out; /* the sides do different things under it, as under too many others */
	size_t apart;  /* the environment of its own, from 1; 0: it shares `part` */
};

static const struct {
	const char *kind;
	const char *says;
	bool changing; /* only where the call changes something */
	bool once;     /* a seam */
	bool stores;   /* of databases, too */
	bool message;  /* where a message of RabbitMQ was dealt with, which gives it again at once */
	bool stream;   /* where one of a queue in Redis was, which is given again to who asks for it */
	bool lasting;  /* for as long as the request is under way: who tries again is not helped */
} kinds[] = {
	{"503", "answers 503"},
	{"503", "answers 503 " ALL_THE_TIME, .lasting = true},
	{"reset", "is reset", .stores = true},
	{"lost", "is answered, but the answer is lost", .changing = true},
	{"hang", "is never answered", .once = true},
	{"lost", "gives a message again", .message = true},
	{"lost", "gives a message again", .message = true, .stream = true},
};

struct work {
	struct ladder *ladder;
	struct gate *gate;
	struct trial *trials;
	size_t count;
	size_t hangs;
	size_t waits; /* environments for what takes somebody's patience */
	size_t parts; /* those, and behind them for all others that share one */
	size_t apart; /* and for one each, behind those */
	size_t left_out;
	size_t unjudged; /* under which something blocked, and there was no environment for */
	char *kept_path;
	json_t *base;
	json_t *again;
};

static void work_fini(struct work *work)
{
	for (size_t i = 0; i < work->count; i++) {
		free(work->trials[i].seam);
		free(work->trials[i].under);
	}
	free(work->trials);
	free(work->kept_path);
	json_decref(work->base);
	json_decref(work->again);
}

/* One environment's share of the faults. */
struct part {
	const struct work *work;
	size_t number;
};

/* ---- what is broken ---- */

/* How many there are of that request already that share environments with others like them. */
static size_t trials_of_request(const struct work *work, size_t session, size_t index)
{
	size_t count = 0;

	for (size_t i = 0; i < work->count; i++)
		count += work->trials[i].session == session && work->trials[i].index == index && work->trials[i].part >= work->waits
				 ? 1
				 : 0;
	return count;
}

/* What takes somebody's patience is added first. */
static size_t part_choose(struct work *work, size_t session, size_t index, bool changing, bool waits)
{
	size_t part = waits ? work->hangs / PART_HANGS
			    : work->waits + (changing ? trials_of_request(work, session, index) / PART_TRIALS : 0);

	work->waits = waits ? part + 1 : work->waits;
	work->parts = part >= work->parts ? part + 1 : work->parts;
	return part;
}

static void trial_add(struct work *work, size_t session, const json_t *entry, const json_t *exchange, size_t kind, json_t *seen)
{
	AUTO_BUF edge = buf_new(1024);
	AUTO_BUF endpoint = buf_new(8192);
	AUTO_FREE char *key = NULL;
	size_t index = (size_t)json_number(entry, "index", 0);
	size_t part;

	call_edge(&edge, exchange, work->ladder->inside);
	call_endpoint(&endpoint, entry);
	key = text_format("%s\n%s\n%s", kinds[kind].once || kinds[kind].stream ? "" : endpoint.at, edge.at, kinds[kind].says);
	if (json_object_get(seen, key))
		return;
	(void)json_object_set_new(seen, key, json_true());
	if (work->count == TRIALS_MAX || (kinds[kind].once && work->hangs == HANGS_MAX)) {
		work->left_out++;
		return;
	}
	part = part_choose(work, session, index, call_changes(entry), kinds[kind].once);
	work->hangs += kinds[kind].once;
	work->trials[work->count++] = (struct trial){.session = session,
						     .index = index,
						     .seam = call_seam(exchange, work->ladder->inside),
						     .under = text_format("%s %s", edge.at, kinds[kind].says),
						     .kind = kinds[kind].kind,
						     .times = kinds[kind].lasting ? 0 : 1,
						     .changing = call_changes(entry),
						     .part = part,
						     .message = kinds[kind].message};
}

/* Of a queue that is waited for: else nobody knows when the message was dealt with again. */
static bool is_queued(const struct work *work, const json_t *exchange)
{
	const struct blueprint *blueprint = work->ladder->blueprint;

	for (size_t i = 0; i < blueprint->queue_count; i++)
		if (strcmp(blueprint->queues[i].database, json_text(exchange, "to", "")) == 0 &&
		    strcmp(blueprint->queues[i].stream, json_text(json_member(exchange, "request"), "url", "")) == 0)
			return true;
	return false;
}

static bool is_acknowledged(const struct work *work, size_t kind, const json_t *exchange)
{
	return call_is_message(exchange) && strcmp(json_text(json_member(exchange, "request"), "method", ""), "ack") == 0 &&
	       (kinds[kind].stream ? call_is(exchange, "redis") && is_queued(work, exchange) : call_is(exchange, "amqp"));
}

/* A connection to a database or a queue can be reset by whatever is sent on it next; that is of use where something is to be written. */
static bool kind_fits(const struct work *work, size_t kind, const json_t *entry, const json_t *exchange)
{
	if (kinds[kind].message)
		return is_acknowledged(work, kind, exchange);
	if (call_is(exchange, "http"))
		return !kinds[kind].changing || call_changes(exchange);
	return kinds[kind].stores && call_is_statement(exchange) && call_changes(entry);
}

/* Requests that change something come first for what is broken once a seam. */
static void trials_of_entries(struct work *work, bool hangs, bool changing, json_t *seen)
{
	const json_t *entries = json_member(work->ladder->base_run, "entries");

	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);
		const json_t *seams = json_member(entry, "seams");
		size_t session = rehearsal_session(work->ladder->rehearsal, json_text(entry, "session", ""));

		if (session == work->ladder->rehearsal->count || (hangs && call_changes(entry) != changing))
			continue;
		for (size_t k = 0; k < json_array_size(seams); k++) {
			const json_t *exchange = json_array_get(seams, k);

			for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
				if (kinds[kind].once == hangs && !kinds[kind].stream && kind_fits(work, kind, entry, exchange))
					trial_add(work, session, entry, exchange, kind, seen);
		}
	}
}

/* Once a queue in Redis, and with the last request that led to a message: where nobody asks for it again, it waits from then on. */
static void trials_of_streams(struct work *work, json_t *seen)
{
	const json_t *entries = json_member(work->ladder->base_run, "entries");

	for (size_t i = json_array_size(entries); i > 0; i--) {
		const json_t *entry = json_array_get(entries, i - 1);
		const json_t *seams = json_member(entry, "seams");
		size_t session = rehearsal_session(work->ladder->rehearsal, json_text(entry, "session", ""));

		for (size_t k = 0; k < json_array_size(seams) && session < work->ladder->rehearsal->count; k++)
			for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
				if (kinds[kind].stream && kind_fits(work, kind, entry, json_array_get(seams, k)))
					trial_add(work, session, entry, json_array_get(seams, k), kind, seen);
	}
}

static void trials_make(struct work *work)
{
	AUTO_JSON seen = json_object();

	work->trials = mem_new_array(TRIALS_MAX, sizeof(work->trials[0]));
	trials_of_entries(work, true, true, seen);
	trials_of_entries(work, true, false, seen);
	trials_of_entries(work, false, false, seen);
	trials_of_streams(work, seen);
	gate_count(work->gate, "faults", (int64_t)work->count);
	if (work->left_out)
		ladder_not_covered(work->ladder, "faults: %zu of %zu were left out", work->left_out, work->left_out + work->count);
}

/* ---- breaking it ---- */

/* {"db.orders": how many rows were written since deploy, "cache.cart:*": …} */
static json_t *rows_count(struct running *running, struct err *err)
{
	AUTO_JSON rows = environment_rows_new(running->side->ladder->request->environments, running->side->env, err);
	json_t *counts;
	const char *database, *table;
	json_t *tables, *list;

	if (!rows)
		return NULL;
	counts = json_object();
	json_object_foreach(json_member(rows, "tables"), database, tables) {
		json_object_foreach(tables, table, list) {
			AUTO_FREE char *name = text_format("%s.%s", database, table);

			(void)json_object_set_new(counts, name, json_integer((json_int_t)json_array_size(list)));
		}
	}
	return counts;
}

/* What a request that was broken wrote all the same. */
static int rows_note(struct running *running, json_t *entry, struct err *err)
{
	json_t *now = rows_count(running, err);
	json_t *written = json_object();
	const char *table;
	json_t *count;

	if (!now) {
		json_decref(written);
		return -1;
	}
	json_object_foreach(now, table, count) {
		json_int_t more = json_integer_value(count) - json_number(running->rows, table, 0);

		if (more)
			(void)json_object_set_new(written, table, json_integer(more));
	}
	json_decref(running->rows);
	running->rows = now;
	if (entry)
		(void)json_object_set_new(entry, "written", written);
	else
		json_decref(written);
	return 0;
}

static int trial_run(struct running *running, const struct trial *trial, const json_t *entries, struct err *err)
{
	const struct sending how = {
		.under = trial->under, .timeout_ms = FAULTED_TIMEOUT_MS, .answered = trial->message ? NULL : running_mend};
	AUTO_JSON fault = json_pack("{s:s, s:s, s:i}", "kind", trial->kind, "seam", trial->seam, "times", trial->times);
	json_t *entry;

	if (running_break(running, fault, err))
		return -1;
	entry = running_send(running, trial->session, trial->index, entries, &how, err);
	if (!entry)
		return -1;
	running_recover(running);
	if (trial->message && running_mend(running, err))
		return -1;
	return call_changes(entry) ? rows_note(running, entry, err) : 0;
}

/* The session up to the request once more, as far as it stands on it, for a fault to use up: what was learned of a cart that is bought is that
 * it is empty. The entries, with those that came of it; where they come out otherwise than before, those that there are. NULL on failure. */
static json_t *session_again(struct running *running, size_t session, size_t index, const json_t *entries, struct err *err)
{
	static const struct sending in_passing = {.timeout_ms = REQUEST_TIMEOUT_MS, .in_passing = true};
	const struct replay *replay = running->rehearsal->replays[session];
	bool *steps = mem_new_array(replay_count(replay) + 1, sizeof(*steps));
	AUTO_JSON again = json_copy((json_t *)(uintptr_t)entries);
	bool alike = true;
	int result = 0;

	replay_steps(replay, index, steps);
	for (size_t i = 0; i < index && result == 0; i++) {
		const json_t *entry = steps[i] ? running_send(running, session, i, again, &in_passing, err) : NULL;

		result = steps[i] && !entry ? -1 : 0;
		if (!entry)
			continue;
		alike = alike && call_status(entry) == call_status(json_array_get(entries, i));
		(void)json_array_set(again, i, (json_t *)(uintptr_t)entry);
	}
	free(steps);
	if (result || running_quiet(running, err))
		return NULL;
	return alike ? TAKE(again) : json_incref((json_t *)(uintptr_t)entries);
}

/* The environment that it is met in. */
static size_t trial_part(const struct work *work, const struct trial *trial)
{
	return trial->apart ? work->parts + trial->apart - 1 : trial->part;
}

static int before(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index, const json_t *entries,
		  struct err *err)
{
	const struct part *part = plan->self;
	const struct work *work = part->work;
	bool first = true;

	for (size_t i = 0; i < work->count; i++) {
		const struct trial *trial = &work->trials[i];
		AUTO_JSON own = NULL;

		if (trial->session != session || trial->index != index || trial->left_out ||
		    trial_part(work, trial) != part->number)
			continue;
		if (trial->changing) {
			own = session_again(running, session, index, entries, err);
			if (!own)
				return -1;
		}
		if (((first || own) && rows_note(running, NULL, err)) || trial_run(running, trial, own ? own : entries, err))
			return -1;
		first = false;
	}
	return 0;
}

static void reproduce(struct work *work, json_t *finding)
{
	const json_t *entry = json_array_get(json_member(work->base, "entries"), (size_t)json_number(finding, "at", -1));
	AUTO_BUF before_it = buf_new(4096);

	for (size_t i = 0; i < work->count && entry; i++)
		if (strcmp(work->trials[i].under, json_text(entry, "under", "")) == 0 && !before_it.length)
			buf_add_format(&before_it, "assay-env fault %s '%s'; ", work->trials[i].kind, work->trials[i].seam);
	rehearsal_reproduce(work->ladder->rehearsal, finding, before_it.at ? before_it.at : "");
}

/* ---- the rung ---- */

static int side_end(const struct side *side, struct err *err)
{
	if (side->result)
		*err = side->err;
	return side->result;
}

/* What came of a part goes behind what came of those before. */
static void run_join(json_t **run, struct side *side, size_t number)
{
	size_t index;
	json_t *entry;

	json_array_foreach(json_member(side->run, "entries"), index, entry)
		(void)json_object_set_new(entry, "part", json_integer((json_int_t)number));
	if (!*run)
		*run = json_incref(side->run);
	else
		(void)json_array_extend(json_member(*run, "entries"), json_member(side->run, "entries"));
	json_decref(side->run);
}

/* One environment's share, on all sides. */
struct part_sides {
	struct part part;
	struct rehearsal_plan plan;
	struct side head, base, again;
};

static int parts_join(struct work *work, struct part_sides *parts, size_t count, bool head_alone, json_t **head_run,
		      struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct part_sides *part = &parts[i];

		run_join(head_run, &part->head, i);
		if (!head_alone) {
			run_join(&work->base, &part->base, i);
			run_join(&work->again, &part->again, i);
		}
		if (result == 0 && (side_end(&part->base, err) || side_end(&part->again, err) || side_end(&part->head, err)))
			result = -1;
	}
	return result;
}

/* All parts, each in fresh environments: of the base and again, unless they are kept, and of the head. */
static int parts_run(struct work *work, const char *head_label, bool head_alone, json_t **head_run, struct err *err)
{
	size_t count = work->parts + work->apart;
	size_t side_count = 0;
	AUTO_FREE struct part_sides *parts = mem_new_array(count, sizeof(*parts));
	AUTO_FREE struct side **sides = mem_new_array(count * 3, sizeof(struct side *));

	for (size_t i = 0; i < count; i++) {
		struct part_sides *part = &parts[i];

		part->part = (struct part){work, i};
		part->plan = (struct rehearsal_plan){
			.rehearsal = work->ladder->rehearsal, .before = before, .apart = true, .self = &part->part};
		part->head = rehearsal_side(&part->plan, work->gate->name, head_label);
		part->base = rehearsal_side(&part->plan, work->gate->name, "base");
		part->again = rehearsal_side(&part->plan, work->gate->name, "base again");
		sides[side_count++] = &part->head;
		if (!head_alone) {
			sides[side_count++] = &part->base;
			sides[side_count++] = &part->again;
		}
	}
	/* Most of it is waiting for somebody's patience to end. */
	sides_run_some(side_rehearse, sides, side_count, ladder_at_once(work->ladder, 3));
	return parts_join(work, parts, count, head_alone, head_run, err);
}

/* Of the base, now or from before, and of the head. */
static int runs_make(struct work *work, json_t **head_run, struct err *err)
{
	bool kept = kept_read(work->ladder, work->kept_path, &work->base, &work->again);

	if (parts_run(work, "head", kept, head_run, err))
		return -1;
	if (!kept)
		kept_write(work->ladder, work->kept_path, work->base, work->again);
	return 0;
}

static struct faults faults_of(const struct work *work)
{
	return (struct faults){work->base, work->again, work->ladder->inside, work->parts};
}

static int confirm(struct work *work, const struct comparison *comparison, struct err *err)
{
	AUTO_JSON head_run = NULL;
	AUTO_JSON unstable = json_array();
	AUTO_JSON again = NULL;
	const struct faults faults = faults_of(work);

	if (parts_run(work, "head again", true, &head_run, err))
		return -1;
	again = faults_judge(&faults, comparison, head_run);
	findings_confirm(work->gate->findings, again, unstable);
	return 0;
}

static void unstable_tell(struct work *work, const struct comparison *comparison)
{
	AUTO_JSON unstable = comparison_unstable(comparison);

	for (size_t i = 0; i < json_array_size(unstable); i++)
		ladder_not_covered(work->ladder, "faults: %s: %s", json_text(json_array_get(unstable, i), "endpoint", ""),
				   json_text(json_array_get(unstable, i), "reason", ""));
}

static void trial_set_apart(struct work *work, const json_t *entry, bool blocks)
{
	const struct rehearsal *rehearsal = work->ladder->rehearsal;

	for (size_t i = 0; i < work->count; i++) {
		struct trial *trial = &work->trials[i];

		if (strcmp(trial->under, json_text(entry, "under", "")) != 0 ||
		    trial->session != rehearsal_session(rehearsal, json_text(entry, "session", "")) ||
		    (int64_t)trial->index != json_number(entry, "index", -1) || trial->apart || trial->left_out)
			continue;
		trial->left_out = work->apart == APART_MAX;
		trial->apart = trial->left_out ? 0 : ++work->apart;
		work->unjudged += trial->left_out && blocks;
		return;
	}
}

/* Does something block at the entry itself? */
static bool entry_blocks(const struct work *work, size_t at)
{
	for (size_t i = 0; i < json_array_size(work->gate->findings); i++) {
		const json_t *finding = json_array_get(work->gate->findings, i);

		if (finding_is(finding, SEVERITY_BLOCK) && json_number(finding, "at", -1) == (int64_t)at)
			return true;
	}
	return false;
}

/* Does a finding that blocks come after a fault, in the same environment, under which the sides did different things? Those faults are then to be met in
 * environments of their own, first those under which something blocks by itself. */
static bool trials_set_apart(struct work *work, const json_t *head)
{
	const struct faults faults = faults_of(work);
	const json_t *entries = json_member(work->base, "entries");
	bool doubtful = false;

	for (size_t i = 0; i < json_array_size(work->gate->findings); i++) {
		const json_t *finding = json_array_get(work->gate->findings, i);
		size_t at = (size_t)json_number(finding, "at", -1);

		for (size_t k = 0; k < at && k < json_array_size(entries) && finding_is(finding, SEVERITY_BLOCK); k++)
			doubtful = doubtful || (json_number(json_array_get(entries, k), "part", 0) ==
							json_number(json_array_get(entries, at), "part", -1) &&
						faults_part_ways(&faults, k, head));
	}
	for (int own = 1; doubtful && own >= 0; own--)
		for (size_t i = 0; i < json_array_size(entries); i++)
			if (faults_part_ways(&faults, i, head) && entry_blocks(work, i) == (own == 1))
				trial_set_apart(work, json_array_get(entries, i), own == 1);
	return doubtful;
}

static struct comparison *runs_judge(struct work *work, const json_t *head_run)
{
	const struct compare_options options = {.inside = work->ladder->inside, .gate = work->gate->name};
	const struct faults faults = faults_of(work);
	struct comparison *comparison = comparison_new(work->base, work->again, &options);

	ladder_artefact_json(work->ladder, "faults/base.json", work->base);
	ladder_artefact_json(work->ladder, "faults/head.json", head_run);
	json_decref(work->gate->findings);
	work->gate->findings = faults_judge(&faults, comparison, head_run);
	return comparison;
}

/* Once more, with some faults in environments of their own. */
static int runs_make_apart(struct work *work, json_t **head_run, struct err *err)
{
	size_t left_out = 0;

	for (size_t i = 0; i < work->count; i++)
		left_out += work->trials[i].left_out;
	if (left_out)
		ladder_not_covered(work->ladder, "faults: %zu under which the versions do different things were left out",
				   left_out);
	json_decref(TAKE(work->base));
	json_decref(TAKE(work->again));
	json_decref(TAKE(*head_run));
	return parts_run(work, "head", false, head_run, err);
}

static int judge(struct work *work, struct err *err)
{
	AUTO_JSON head_run = NULL;
	struct comparison *comparison;
	int result = 0;

	if (runs_make(work, &head_run, err))
		return -1;
	comparison = runs_judge(work, head_run);
	if (trials_set_apart(work, head_run)) {
		comparison_free(comparison);
		if (runs_make_apart(work, &head_run, err))
			return -1;
		comparison = runs_judge(work, head_run);
	}
	unstable_tell(work, comparison);
	if (findings_block(work->gate->findings))
		result = confirm(work, comparison, err);
	if (work->unjudged && !findings_block(work->gate->findings)) {
		work->gate->status = GATE_UNSTABLE;
		gate_reason(work->gate, "%zu faults could not be judged: the versions do different things under more than %d",
			    work->unjudged, APART_MAX);
	}
	for (size_t i = 0; i < json_array_size(work->gate->findings); i++)
		reproduce(work, json_array_get(work->gate->findings, i));
	comparison_free(comparison);
	return result;
}

int gate_faults(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {.ladder = ladder, .gate = gate};
	AUTO_BUF parts = buf_new((size_t)4 << 20);

	if (ladder->rehearsal && ladder->base_run)
		trials_make(&work);
	if (!work.count) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "%s",
			    ladder->base_run ? "no call between services was seen in the replay" : "nothing was replayed");
		return 0;
	}
	for (size_t i = 0; i < work.count; i++)
		buf_add_format(&parts, "%zu %zu %s %s\n", work.trials[i].session, work.trials[i].index, work.trials[i].seam,
			       work.trials[i].kind);
	json_format_sorted(&parts, ladder->sessions);
	work.kept_path = kept_path(ladder, gate->name, buf_view(&parts));
	return judge(&work, err);
}
