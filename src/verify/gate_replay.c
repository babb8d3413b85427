/*
 * Recorded sessions, replayed on base, base again and head, each on a fresh fork of one snapshot.
 *
 * Theory of operation: base and head run side by side; base again runs later, so that what depends on the time of day is learned as
 * noise. What blocks must be seen again in a second fresh run of the head. Runs of the base are kept for a short while for the next attempt;
 * when such a kept run leads to a blocking finding, the base runs once more before it is believed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "verify/compare.h"
#include "verify/kept.h"
#include "verify/rehearsal.h"

struct work {
	struct ladder *ladder;
	struct gate *gate;
	struct compare_options options;
	char *kept_path;
	json_t *base;
	json_t *again;
	bool kept; /* base and again come from an earlier verification */
};

static void work_fini(struct work *work)
{
	free(work->kept_path);
	json_decref(work->base);
	json_decref(work->again);
}

/* Of a kept run. */
static void services_seen(struct work *work)
{
	const json_t *entries = json_member(work->base, "entries");

	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *seams = json_member(json_array_get(entries, i), "seams");

		for (size_t k = 0; k < json_array_size(seams); k++)
			rehearsal_seen(work->ladder, json_array_get(seams, k));
	}
}

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
	const struct rehearsal_plan plan = {.rehearsal = work->ladder->rehearsal};
	struct side base = rehearsal_side(&plan, work->gate->name, "base");
	struct side head = rehearsal_side(&plan, work->gate->name, "head");
	struct side again = rehearsal_side(&plan, work->gate->name, "base again");
	int result;

	if (work->kept) {
		side_rehearse(&head);
	} else {
		sides_run(side_rehearse, (struct side *const[]){&base, &head}, 2);
		if (!base.result)
			side_rehearse(&again);
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
	const struct rehearsal_plan plan = {.rehearsal = work->ladder->rehearsal};
	struct side head = rehearsal_side(&plan, work->gate->name, "head again");
	struct side base = rehearsal_side(&plan, work->gate->name, "base again");
	struct comparison *comparison;
	json_t *again;
	int result;

	if (work->kept)
		sides_run(side_rehearse, (struct side *const[]){&base, &head}, 2);
	else
		side_rehearse(&head);
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

	work->kept = kept_read(work->ladder, work->kept_path, &work->base, &work->again);
	if (work->kept)
		services_seen(work);
	if (runs_make(work, &head_run, err))
		return -1;
	comparison = comparison_new(work->base, work->again, &work->options);
	unstable = comparison_unstable(comparison);
	noise_merge(work, comparison);
	json_decref(work->gate->findings);
	work->gate->findings = comparison_judge(comparison, head_run);
	comparison_free(comparison);
	if (!work->kept && !json_array_size(unstable)) /* only what is complete is worth keeping */
		kept_write(work->ladder, work->kept_path, work->base, work->again);
	work->ladder->base_run = json_incref(work->base);
	work->ladder->base_again = json_incref(work->again);
	result = findings_block(work->gate->findings) ? confirm(work, head_run, unstable, err) : 0;
	if (result == 0 && !findings_block(work->gate->findings) && !json_array_size(unstable))
		result = latency_judge(work->ladder, work->gate, work->again, head_run, err);
	if (result == 0) {
		pressure_mark(work->gate->findings, work->base, head_run);
		for (size_t i = 0; i < json_array_size(work->gate->findings); i++)
			rehearsal_reproduce(work->ladder->rehearsal, json_array_get(work->gate->findings, i), "");
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
	work.options = (struct compare_options){.gate = gate->name, .inside = ladder->inside};
	ladder->rehearsal = rehearsal_load(ladder, &digests, err);
	if (!ladder->rehearsal)
		return -1;
	gate_count(gate, "sessions", (int64_t)ladder->rehearsal->count);
	gate_count(gate, "requests", ladder->rehearsal->requests);
	if (!ladder->rehearsal->requests) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "no recorded session of the base can be replayed: assay session record makes one");
		ladder_not_covered(ladder, "replay: there is no recorded session");
		return 0;
	}
	ladder->sessions = json_incref(ladder->rehearsal->sessions);
	work.kept_path = kept_path(ladder, gate->name, buf_view(&digests));
	return judge(&work, err);
}
