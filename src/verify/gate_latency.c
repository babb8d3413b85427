/*
 * A part of the replay: is what the head answers alike answered later?
 *
 * Theory of operation: requests whose one time in the replay was longer on the head than both times on the base are suspects. The sessions
 * go once more to fresh environments of both versions at once, which meet before each suspect: there it is sent to both in turn, first to
 * the one, then to the other, so that whatever keeps the machine busy keeps both. What was surely slower (verify/latency.h) is measured
 * again in other environments before it is a finding. On an overloaded machine nothing is measured.
 */
#include <stdio.h>
#include <time.h>

#include "verify/compare_priv.h"
#include "verify/call.h"
#include "verify/latency.h"
#include "verify/rehearsal.h"

#define WARM_UPS 3
#define SUSPECT_LIMIT_MS 12000 /* of all samples of one */
#define LOOK_NS 50000000

enum version { VERSION_BASE, VERSION_HEAD };

/* Where the two sides wait for each other. */
struct seat {
	const char *preview;
	json_t *request;
	size_t here; /* at how many suspects it was */
	bool gone;
};

struct suspect {
	size_t session;
	size_t index;
	int status;
	int64_t at;   /* in the run of the head */
	bool cleared; /* it is none any more */
	struct latency_times times;
};

struct meeting {
	struct ladder *ladder;
	struct suspect suspects[LATENCY_SUSPECTS_MAX];
	size_t count;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct seat seats[2];
	size_t measured; /* how many suspects are done with */
};

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void meeting_wait(struct meeting *meeting)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(&meeting->changed, &meeting->mutex, &until);
}

/* ---- one suspect ---- */

static void sample_take(const struct replay *replay, const struct suspect *suspect, const struct seat *seat, int number,
			const json_t *secrets, struct latency_samples *samples)
{
	const struct replay_target target = {seat->preview, REQUEST_TIMEOUT_MS, secrets};
	AUTO_JSON request = replay_request_of_its_own(seat->request, number);
	int64_t begin_us = now_us();
	AUTO_JSON entry = replay_send(replay, suspect->index, request, &target);
	int64_t took_us = now_us() - begin_us;

	if (number >= WARM_UPS && call_status(entry) == suspect->status && samples->count < LATENCY_SAMPLES_MAX)
		samples->at_us[samples->count++] = took_us;
}

static void suspect_measure(struct meeting *meeting, const struct rehearsal *rehearsal, struct suspect *suspect)
{
	const struct replay *replay = rehearsal->replays[suspect->session];
	const json_t *secrets = meeting->ladder->request->secrets;
	int64_t until_us = now_us() + (int64_t)SUSPECT_LIMIT_MS * 1000;

	suspect->times = (struct latency_times){0};
	for (int i = 0; i < WARM_UPS + LATENCY_SAMPLES_MAX && now_us() < until_us && !ladder_stopped(meeting->ladder); i++) {
		const struct seat *base = &meeting->seats[VERSION_BASE];
		const struct seat *head = &meeting->seats[VERSION_HEAD];

		if (i % 2)
			sample_take(replay, suspect, base, i, secrets, &suspect->times.base);
		sample_take(replay, suspect, head, i, secrets, &suspect->times.head);
		if (!(i % 2))
			sample_take(replay, suspect, base, i, secrets, &suspect->times.base);
	}
}

static struct suspect *suspect_find(struct meeting *meeting, size_t session, size_t index, size_t *place)
{
	*place = 0;
	for (size_t i = 0; i < meeting->count; i++)
		*place += !meeting->suspects[i].cleared &&
			  (meeting->suspects[i].session < session ||
			   (meeting->suspects[i].session == session && meeting->suspects[i].index < index));
	for (size_t i = 0; i < meeting->count; i++)
		if (meeting->suspects[i].session == session && meeting->suspects[i].index == index && !meeting->suspects[i].cleared)
			return &meeting->suspects[i];
	return NULL;
}

/* The head's side measures, the base's lends its environment. One that is gone is waited for by nobody. */
static int before(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index, const json_t *entries,
		  struct err *err)
{
	struct meeting *meeting = (struct meeting *)(uintptr_t)plan->self;
	enum version version = running->side->label[0] == 'b' ? VERSION_BASE : VERSION_HEAD;
	struct seat *seat = &meeting->seats[version];
	const struct seat *other = &meeting->seats[version == VERSION_BASE ? VERSION_HEAD : VERSION_BASE];
	size_t place;
	struct suspect *suspect = suspect_find(meeting, session, index, &place);

	if (!suspect)
		return 0;
	if (environment_phase(running->side->ladder->request->environments, running->side->env, "latency", err))
		return -1;
	(void)pthread_mutex_lock(&meeting->mutex);
	json_decref(seat->request);
	seat->request = replay_request(running->rehearsal->replays[session], index, entries);
	seat->preview = running->preview;
	seat->here = place + 1;
	(void)pthread_cond_broadcast(&meeting->changed);
	while (other->here <= place && !other->gone && !ladder_stopped(meeting->ladder))
		meeting_wait(meeting);
	if (version == VERSION_HEAD) {
		if (other->here == place + 1 && !other->gone)
			suspect_measure(meeting, running->rehearsal, suspect);
		meeting->measured = place + 1;
		(void)pthread_cond_broadcast(&meeting->changed);
	}
	while (meeting->measured <= place && !other->gone && !ladder_stopped(meeting->ladder))
		meeting_wait(meeting);
	(void)pthread_mutex_unlock(&meeting->mutex);
	return running_quiet(running, err);
}

static void side_measure(struct side *side)
{
	const struct rehearsal_plan *plan = side->argument;
	struct meeting *meeting = (struct meeting *)(uintptr_t)plan->self;
	struct seat *seat = &meeting->seats[side->label[0] == 'b' ? VERSION_BASE : VERSION_HEAD];

	side_rehearse(side);
	(void)pthread_mutex_lock(&meeting->mutex);
	seat->gone = true;
	(void)pthread_cond_broadcast(&meeting->changed);
	(void)pthread_mutex_unlock(&meeting->mutex);
}

/* ---- all of them ---- */

static int by_place(const void *left, const void *right)
{
	const struct suspect *a = left;
	const struct suspect *b = right;

	return a->session != b->session ? (a->session > b->session) - (a->session < b->session)
					: (a->index > b->index) - (a->index < b->index);
}

static void suspects_take(struct meeting *meeting, const json_t *base, const json_t *again, const json_t *head)
{
	struct latency_suspect found[LATENCY_SUSPECTS_MAX];
	size_t count = latency_suspects(base, again, head, found);

	for (size_t i = 0; i < count; i++) {
		size_t session = rehearsal_session(meeting->ladder->rehearsal, json_text(found[i].entry, "session", ""));
		const json_t *entries = json_member(head, "entries");
		int64_t at = 0;

		while (json_array_get(entries, (size_t)at) != found[i].entry)
			at++;
		if (session < meeting->ladder->rehearsal->count)
			meeting->suspects[meeting->count++] = (struct suspect){
				.session = session,
				.index = (size_t)json_number(found[i].entry, "index", 0),
				.status = call_status(found[i].entry),
				.at = at};
	}
	qsort(meeting->suspects, meeting->count, sizeof(meeting->suspects[0]), by_place);
}

/* Both versions once; who is not slower is no suspect any more. Returns how many are left. */
static int measure(struct meeting *meeting, const char *base_label, const char *head_label, size_t *left, struct err *err)
{
	const struct rehearsal_plan plan = {
		.rehearsal = meeting->ladder->rehearsal, .before = before, .apart = true, .self = meeting};
	struct side base = rehearsal_side(&plan, "replay", base_label);
	struct side head = rehearsal_side(&plan, "replay", head_label);

	sides_run(side_measure, (struct side *const[]){&base, &head}, 2);
	json_decref(base.run);
	json_decref(head.run);
	for (int i = 0; i < 2; i++) {
		json_decref(meeting->seats[i].request);
		meeting->seats[i] = (struct seat){0};
	}
	meeting->measured = 0;
	if (base.result || head.result) {
		*err = base.result ? base.err : head.err;
		return -1;
	}
	*left = 0;
	for (size_t i = 0; i < meeting->count; i++) {
		struct suspect *suspect = &meeting->suspects[i];

		suspect->cleared = suspect->cleared || !latency_slower(&suspect->times);
		*left += !suspect->cleared;
	}
	return 0;
}

static json_t *times_shown(const struct latency_samples *samples)
{
	return json_pack("{s:f, s:i}", "median_ms", (double)latency_median_us(samples) / 1000, "samples", (int)samples->count);
}

static void finding_make(struct gate *gate, const struct suspect *suspect, const json_t *entry, enum severity severity)
{
	AUTO_JSON expected = times_shown(&suspect->times.base);
	AUTO_JSON got = times_shown(&suspect->times.head);
	AUTO_BUF place = buf_new(8192);
	AUTO_BUF before_text = buf_new(64);
	AUTO_BUF after_text = buf_new(64);
	AUTO_FREE char *title = NULL;
	json_t *made;

	call_place(&place, entry);
	duration_format(&before_text, latency_median_us(&suspect->times.base) / 1000);
	duration_format(&after_text, latency_median_us(&suspect->times.head) / 1000);
	title = text_format("%s: takes %s instead of %s", place.at, after_text.at, before_text.at);
	made = finding_add(
		gate->findings,
		&(struct finding){
			.gate = gate->name,
			.kind = "latency",
			.place = place.at,
			.path = "",
			.severity = severity,
			.weight = WEIGHT_SLIGHT,
			.title = title,
			.detail =
				"Sent to both versions in turn, in two pairs of environments, and surely slower in both (p < 0.001); the "
				"times are medians of the second.",
			.expected = expected,
			.got = got},
		NULL);
	if (!made)
		return;
	(void)json_object_set_new(made, "where", json_string("latency"));
	(void)json_object_set_new(made, "at", json_integer((json_int_t)suspect->at));
	(void)json_object_set_new(made, "session", json_string(json_text(entry, "session", "")));
	(void)json_object_set_new(made, "entry", json_integer((json_int_t)suspect->index));
}

static bool calm(struct ladder *ladder)
{
	AUTO_BUF why = buf_new(400);
	bool over;

	(void)pthread_mutex_lock(&ladder->mutex);
	over = pressure_over(&ladder->pressure, &why);
	(void)pthread_mutex_unlock(&ladder->mutex);
	if (over)
		ladder_not_covered(ladder, "latency: the machine was overloaded: %s", why.at);
	return !over;
}

int latency_judge(struct ladder *ladder, struct gate *gate, const json_t *again, const json_t *head, struct err *err)
{
	static const enum severity severities[] = {
		[LATENCY_WARN] = SEVERITY_WARN, [LATENCY_INFORM] = SEVERITY_INFO, [LATENCY_BLOCK] = SEVERITY_BLOCK};
	enum latency_rule rule = ladder->blueprint->verify.latency;
	struct meeting meeting = {.ladder = ladder};
	size_t left = 0;
	int result = 0;

	if (rule == LATENCY_OFF)
		return 0;
	suspects_take(&meeting, ladder->base_run, again, head);
	if (!meeting.count || !calm(ladder))
		return 0;
	(void)pthread_mutex_init(&meeting.mutex, NULL);
	(void)pthread_cond_init(&meeting.changed, NULL);
	gate_count(gate, "timed", (int64_t)meeting.count);
	result = measure(&meeting, "base, timed", "head, timed", &left, err);
	if (result == 0 && left)
		result = measure(&meeting, "base, timed again", "head, timed again", &left, err);
	for (size_t i = 0; i < meeting.count && result == 0 && left && calm(ladder); i++)
		if (!meeting.suspects[i].cleared)
			finding_make(gate, &meeting.suspects[i],
				     json_array_get(json_member(head, "entries"), (size_t)meeting.suspects[i].at),
				     severities[rule]);
	(void)pthread_cond_destroy(&meeting.changed);
	(void)pthread_mutex_destroy(&meeting.mutex);
	if (result && !ladder_stopped(ladder)) { /* what was compared stands all the same */
		ladder_not_covered(ladder, "latency: %s", err->text);
		return 0;
	}
	return result;
}
