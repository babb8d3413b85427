/*
 * The last rung of today: recorded sessions, replayed on base, base again and head, each on a fresh fork of one snapshot.
 *
 * Theory of operation: requests go one after the other through the preview, and the environment is waited for to be quiet after each, so
 * that every call, row and event belongs to one request. Base and head run side by side; base again runs later, so that what depends on
 * the time of day is learned as noise. What blocks must be seen again in a second fresh run of the head. Runs of the base are kept for a
 * short while for the next attempt; when such a kept run leads to a blocking finding, the base runs once more before it is believed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "http/har.h"
#include "verify/call.h"
#include "verify/compare.h"
#include "verify/ladder.h"
#include "verify/replay.h"

#define REQUEST_TIMEOUT_MS 15000
#define QUIET_TIMEOUT_MS 10000
#define QUIET_TIMEOUT_SHORT_MS 300
#define QUIET_MISSES_MAX 3  /* after so many the environment is taken for one that is never quiet */
#define CACHE_AGE_MS 900000 /* what depends on the date must not differ */
#define CACHE_BYTES_MAX ((size_t)128 << 20)
#define STATEMENT_KEPT ((size_t)2000)
#define RUN_VERSION "2" /* of the shape of a kept run */

struct work {
	struct ladder *ladder;
	struct gate *gate;
	struct replay **replays;
	size_t count;
	struct compare_options options;
	char *cache_path;
	json_t *sessions; /* [{"name", "digest", "requests", "held_out"}], as `replays` */
	json_t *base;
	json_t *again;
	bool kept; /* base and again come from an earlier verification */
};

/* ---- sessions ---- */

static int sessions_load(struct work *work, struct buf *digest_text, struct err *err)
{
	AUTO_JSON texts = sessions_read(work->ladder, err);
	int64_t requests = 0;

	if (!texts)
		return -1;
	work->sessions = json_array();
	work->replays = mem_new_array(json_array_size(texts) + 1, sizeof(work->replays[0]));
	for (size_t i = 0; i < json_array_size(texts); i++) {
		const char *name = json_text(json_array_get(texts, i), "name", "");
		struct view text = view_of(json_text(json_array_get(texts, i), "text", ""));
		AUTO_SESSION session = {0};
		struct err problem;
		struct replay *replay;
		size_t index;
		json_t *line;

		if (har_parse(text, &session, &problem)) {
			ladder_not_covered(work->ladder, "session %s: %s", name, problem.text);
			continue;
		}
		replay = replay_new(&session, name);
		json_array_foreach(replay_left_out(replay), index, line)
			ladder_not_covered(work->ladder, "not replayed: %s", json_string_value(line));
		buf_add_format(digest_text, "%s %s\n", name, digest_of(text).text);
		(void)json_array_append_new(work->sessions,
					    json_pack("{s:s, s:s, s:I, s:b}", "name", name, "digest", digest_of(text).text,
						      "requests", (json_int_t)replay_count(replay), "held_out",
						      json_flag(json_array_get(texts, i), "held_out", false)));
		work->replays[work->count++] = replay;
		requests += (int64_t)replay_count(replay);
	}
	gate_count(work->gate, "sessions", (int64_t)work->count);
	gate_count(work->gate, "requests", requests);
	return 0;
}

static void work_fini(struct work *work)
{
	for (size_t i = 0; i < work->count; i++)
		replay_free(work->replays[i]);
	free(work->replays);
	free(work->cache_path);
	json_decref(work->sessions);
	json_decref(work->base);
	json_decref(work->again);
}

/* ---- one run ---- */

struct running {
	struct side *side;
	const char *preview;
	json_t *entries;
	int64_t exchanges_from;
	int quiet_misses;
	int sent;
	int total;
};

/* Who took part: for what is not covered. */
static void seen_note(struct ladder *ladder, const json_t *exchange)
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

/* The exchanges of the request that was just sent. */
static json_t *seams_take(struct running *running, const char *phase, struct err *err)
{
	struct ladder *ladder = running->side->ladder;
	AUTO_BUF lines = buf_new((size_t)256 << 20);
	json_t *seams;
	struct view rest;

	if (environment_exchanges(ladder->request->environments, running->side->env, &running->exchanges_from, &lines, err))
		return NULL;
	seams = json_array();
	rest = buf_view(&lines);
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		AUTO_JSON exchange = line.length ? json_parse(line, NULL) : NULL;

		if (!exchange || strcmp(json_text(exchange, "phase", ""), phase) != 0)
			continue;
		seen_note(ladder, exchange);
		if (strcmp(json_text(exchange, "from", ""), "preview") != 0)
			(void)json_array_append(seams, exchange_keep(exchange));
	}
	return seams;
}

static int quiet_wait(struct running *running, struct err *err)
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

static int request_replay(struct running *running, const struct replay *replay, size_t index, json_t *entries, struct err *err)
{
	struct ladder *ladder = running->side->ladder;
	AUTO_FREE char *phase = text_format("replay-%d", running->sent);
	AUTO_JSON request = replay_request(replay, index, entries);
	const struct replay_target target = {running->preview, REQUEST_TIMEOUT_MS};
	json_t *entry;
	json_t *seams;

	if (ladder_stopped(ladder))
		return err_set(err, ERR_CANCELLED, "stopped");
	if (environment_phase(ladder->request->environments, running->side->env, phase, err))
		return -1;
	entry = replay_send(replay, index, request, &target);
	(void)json_array_append(entries, entry);
	(void)json_array_append_new(running->entries, entry);
	if (quiet_wait(running, err))
		return -1;
	seams = seams_take(running, phase, err);
	if (!seams)
		return -1;
	(void)json_object_set_new(entry, "seams", seams);
	running->sent++;
	return 0;
}

static int sessions_replay(struct running *running, const struct work *work, struct err *err)
{
	for (size_t i = 0; i < work->count; i++) {
		AUTO_JSON entries = json_array(); /* of this session: what its links look at */

		for (size_t k = 0; k < replay_count(work->replays[i]); k++)
			if (request_replay(running, work->replays[i], k, entries, err))
				return err_prefix(err, "replay of %s on %s",
						  json_text(json_array_get(running->entries, 0), "session", "the sessions"),
						  running->side->label);
	}
	return 0;
}

static int run_in(struct side *side, const struct work *work, struct err *err)
{
	struct environments *environments = side->ladder->request->environments;
	AUTO_FREE char *preview = environment_preview_url(environments, side->env);
	struct running running = {.side = side, .preview = preview, .entries = json_array()};
	AUTO_BUF before = buf_new((size_t)256 << 20);
	json_t *rows = NULL;

	side->run = json_pack("{s:o}", "entries", running.entries);
	if (!preview)
		return err_set(err, ERR_INVALID, "the environment has no preview: no service of the blueprint has a port");
	if (quiet_wait(&running, err) || environment_exchanges(environments, side->env, &running.exchanges_from, &before, err) ||
	    sessions_replay(&running, work, err))
		return -1;
	rows = environment_rows_written(environments, side->env, err);
	if (!rows)
		return err_prefix(err, "rows written on %s", side->label);
	(void)json_object_set_new(side->run, "rows", rows);
	if (environment_intact(environments, side->env, err)) /* its answers would be findings about ourselves */
		return -1;
	(void)json_object_set_new(side->run, "never_quiet", json_boolean(running.quiet_misses >= QUIET_MISSES_MAX));
	return 0;
}

static void side_replay(struct side *side)
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

static struct side side_make(struct work *work, const char *label)
{
	return (struct side){.ladder = work->ladder,
			     .gate = work->gate->name,
			     .label = label,
			     .argument = work,
			     .commit = label[0] == 'b' ? &work->ladder->request->base : &work->ladder->request->head};
}

/* ---- kept runs of the base ---- */

static void cache_name(struct work *work, struct view sessions)
{
	struct ladder *ladder = work->ladder;
	AUTO_BUF snapshot = buf_new(4096);

	json_format_sorted(&snapshot, ladder->snapshot);
	const struct view parts[] = {view_of(RUN_VERSION), view_of(ladder->request->base.text), view_of(ladder->blueprint_text),
				     sessions, buf_view(&snapshot)};

	if (ladder->request->cache_dir)
		work->cache_path = text_format("%s/%s.json", ladder->request->cache_dir,
					       digest_of_parts(parts, ARRAY_LEN(parts)).text);
}

static void cache_read(struct work *work)
{
	AUTO_BUF text = buf_new(CACHE_BYTES_MAX);
	AUTO_JSON kept = NULL;
	int64_t age_ms;

	if (!work->cache_path || file_read(work->cache_path, &text, NULL))
		return;
	kept = json_parse(buf_view(&text), NULL);
	age_ms = world_now_ms(work->ladder->request->world) - json_number(kept, "made_ms", 0);
	if (age_ms < 0 || age_ms > CACHE_AGE_MS || !json_member(kept, "base") || !json_member(kept, "again"))
		return;
	work->base = json_incref(json_member(kept, "base"));
	work->again = json_incref(json_member(kept, "again"));
	work->kept = true;
	for (size_t i = 0; i < json_array_size(json_member(work->base, "entries")); i++) {
		const json_t *seams = json_member(json_array_get(json_member(work->base, "entries"), i), "seams");

		for (size_t k = 0; k < json_array_size(seams); k++)
			seen_note(work->ladder, json_array_get(seams, k));
	}
}

/* What is too old to be used is only in the way. */
static void cache_clean(const char *dir_path)
{
	DIR *dir = opendir(dir_path);

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", dir_path, entry->d_name);
		struct stat facts;

		if (view_ends(view_of(entry->d_name), VIEW(".json")) && lstat(path, &facts) == 0 &&
		    (world_now_ms(world_real) - (int64_t)facts.st_mtim.tv_sec * 1000) > CACHE_AGE_MS)
			(void)unlink(path);
	}
	if (dir)
		(void)closedir(dir);
}

/* Only what is complete is worth keeping. */
static void cache_write(struct work *work, const json_t *unstable)
{
	const char *dir = work->ladder->request->cache_dir;
	AUTO_BUF text = buf_new(CACHE_BYTES_MAX);
	AUTO_JSON kept = NULL;
	struct err err;

	if (!dir || json_array_size(unstable))
		return;
	kept = json_pack("{s:I, s:O, s:O}", "made_ms", (json_int_t)world_now_ms(work->ladder->request->world), "base", work->base,
			 "again", work->again);
	json_format(&text, kept);
	if (text.over)
		return;
	if (file_make_dirs(dir, 0700, &err) || file_replace(work->cache_path, buf_view(&text), 0600, &err))
		log_warn("the base's replay is not kept: %s", err.text);
	cache_clean(dir);
}

/* ---- judging ---- */

static int failed(const struct side *side, struct err *err)
{
	if (!side->result)
		return 0;
	*err = side->err;
	return -1;
}

/* base and head side by side, then base again; with kept runs the head alone. */
static int runs_make(struct work *work, json_t **head_run, struct err *err)
{
	struct side base = side_make(work, "base");
	struct side head = side_make(work, "head");
	struct side again = side_make(work, "base again");
	int result;

	if (work->kept) {
		side_replay(&head);
	} else {
		sides_run(side_replay, &base, &head);
		if (!base.result)
			side_replay(&again);
		work->base = base.run;
		work->again = again.run;
	}
	*head_run = head.run;
	result = failed(&base, err) || failed(&again, err) || failed(&head, err) ? -1 : 0;
	if (result == 0) {
		ladder_artefact_json(work->ladder, "replay/base.json", work->base);
		ladder_artefact_json(work->ladder, "replay/head.json", *head_run);
	}
	return result;
}

static void noise_merge(struct work *work, struct comparison *comparison)
{
	json_decref(work->ladder->noise);
	work->ladder->noise = comparison_noise(comparison);
	gate_count(work->gate, "noise", (int64_t)json_array_size(work->ladder->noise));
}

static void detail_add(json_t *findings, const char *text)
{
	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);
		const char *old = json_text(finding, "detail", "");
		AUTO_FREE char *joined = text_format("%s%s%s", old, old[0] ? "; " : "", text);

		if (finding_is(finding, SEVERITY_BLOCK))
			json_set_bytes(finding, "detail", view_of(joined));
	}
}

/* A second fresh run of the head must show what blocks; and when the base's runs were kept ones, a fresh one of the base must differ from
 * both in the same way. */
static int confirm(struct work *work, const json_t *head_run, json_t *unstable, struct err *err)
{
	struct side head = side_make(work, "head again");
	struct side base = side_make(work, "base again");
	struct comparison *comparison;
	json_t *again;
	int result;

	if (work->kept)
		sides_run(side_replay, &base, &head);
	else
		side_replay(&head);
	result = failed(&base, err) || failed(&head, err) ? -1 : 0;
	if (result == 0) {
		comparison = comparison_new(work->kept ? base.run : work->base, work->kept ? work->base : work->again,
					    &work->options);
		if (work->kept) { /* with what the time since then has changed among the noise */
			json_decref(work->gate->findings);
			work->gate->findings = comparison_judge(comparison, head_run);
			noise_merge(work, comparison);
		}
		again = comparison_judge(comparison, head.run);
		findings_confirm(work->gate->findings, again, unstable);
		detail_add(work->gate->findings, "seen in 2 of 2 runs of the change, in none of the base");
		json_decref(again);
		comparison_free(comparison);
	}
	json_decref(head.run);
	json_decref(base.run);
	return result;
}

/* How to come to the request of a finding by hand. Of a held-out session no other request is told. */
static void reproduce_set(struct work *work, json_t *finding)
{
	const char *session = json_text(finding, "session", "");
	const char *service = work->ladder->blueprint->preview.service;

	for (size_t i = 0; i < work->count; i++) {
		AUTO_BUF script = buf_new((size_t)64 << 10);
		int64_t index = json_number(finding, "entry", -1);

		if (strcmp(json_text(json_array_get(work->sessions, i), "name", ""), session) != 0 || index < 0 ||
		    (size_t)index >= replay_count(work->replays[i]))
			continue;
		replay_script(work->replays[i], (size_t)index, service,
			      json_flag(json_array_get(work->sessions, i), "held_out", false), &script);
		if (!script.over)
			json_set_bytes(finding, "reproduce", buf_view(&script));
	}
}

static void not_covered_note(struct work *work, const json_t *head_run)
{
	const struct blueprint *blueprint = work->ladder->blueprint;
	json_t *seen = work->ladder->services_seen;

	for (size_t i = 0; i < blueprint->service_count; i++)
		if (!json_object_get(seen, blueprint->services[i].name))
			ladder_not_covered(work->ladder, "service %s: no exchange of the sessions reaches it",
					   blueprint->services[i].name);
	for (size_t i = 0; i < blueprint->host_count; i++)
		if (!json_object_get(seen, blueprint->hosts[i].name))
			ladder_not_covered(work->ladder, "host %s: no exchange of the sessions reaches it",
					   blueprint->hosts[i].name);
	if (json_flag(work->base, "never_quiet", false) || json_flag(head_run, "never_quiet", false))
		ladder_not_covered(work->ladder, "the application is never quiet: calls may be counted for a neighbouring request");
	if (json_flag(json_member(work->base, "rows"), "cut", false))
		ladder_not_covered(work->ladder, "rows written: there were more than are compared");
}

static void unstable_tell(struct work *work, const json_t *unstable)
{
	const json_t *first = json_array_get(unstable, 0);

	if (!json_array_size(unstable) || findings_block(work->gate->findings))
		return;
	work->gate->status = GATE_UNSTABLE;
	gate_reason(work->gate, "%zu endpoints could not be judged; %s: %s", json_array_size(unstable),
		    json_text(first, "endpoint", ""), json_text(first, "reason", ""));
}

static int judge(struct work *work, struct err *err)
{
	AUTO_JSON head_run = NULL;
	AUTO_JSON unstable = NULL;
	struct comparison *comparison;
	int result;

	cache_read(work);
	if (runs_make(work, &head_run, err))
		return -1;
	comparison = comparison_new(work->base, work->again, &work->options);
	unstable = comparison_unstable(comparison);
	noise_merge(work, comparison);
	json_decref(work->gate->findings);
	work->gate->findings = comparison_judge(comparison, head_run);
	comparison_free(comparison);
	if (!work->kept)
		cache_write(work, unstable);
	result = findings_block(work->gate->findings) ? confirm(work, head_run, unstable, err) : 0;
	if (result == 0) {
		for (size_t i = 0; i < json_array_size(work->gate->findings); i++)
			reproduce_set(work, json_array_get(work->gate->findings, i));
		not_covered_note(work, head_run);
		unstable_tell(work, unstable);
	}
	return result;
}

int gate_replay(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {.ladder = ladder, .gate = gate};
	AUTO_BUF digests = buf_new((size_t)1 << 20);

	/* What the deploy and the tests used is not fresh any more, and its memory is needed. */
	ladder_env_down(ladder, ladder->base_env);
	ladder_env_down(ladder, ladder->head_env);
	work.options = (struct compare_options){ladder->inside};
	if (sessions_load(&work, &digests, err))
		return -1;
	if (!json_number(gate->counts, "requests", 0)) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "no recorded session of the base can be replayed: assay session record makes one");
		ladder_not_covered(ladder, "replay: there is no recorded session");
		return 0;
	}
	ladder->sessions = json_incref(work.sessions);
	cache_name(&work, buf_view(&digests));
	return judge(&work, err);
}
