/*
 * The last rung, and one that never blocks: would the tests see a mistake in the lines that the change brings?
 *
 * Theory of operation: each changed line of code gets one small mistake (verify/mutate.h); the suites that need nothing but the work tree are run
 * with it, in fresh environments of the head, some side by side, until `verify.mutation` of time is over. A mistake that no suite sees is
 * a question to the author. Lines that coverage files say never ran are asked about as they are; a mistake there would tell nothing more.
 */
#include <stdio.h>
#include <stdlib.h>

#include "verify/integrity.h"
#include "verify/mutate.h"
#include "verify/suite.h"

#define MUTANTS_MAX 60
#define WORKERS 2
#define SLOWER_TIMES 5 /* than without the mistake, until it counts as seen */
#define PATIENCE_LEAST_MS 10000
#define TIME_LEFT_MS 15000 /* of the whole verification, behind the last mistake */
#define QUESTION_WEIGHT 3
#define SHOWN 100
#define DIFF_BYTES_MAX ((size_t)8 << 20)

enum fate { FATE_NOT_TRIED, FATE_SEEN, FATE_SURVIVED };

struct mutant {
	char *path;
	int64_t line;
	char *text;  /* the line as it is */
	char *wrong; /* with the mistake */
	const char *what;
	enum fate fate;
};

struct work {
	struct ladder *ladder;
	struct gate *gate;
	struct mutant mutants[MUTANTS_MAX];
	size_t count;
	size_t left_out;
	size_t next; /* atomic: the one that is tried next */
	int64_t until_ms;
	json_t *coverage;
};

static void work_fini(struct work *work)
{
	for (size_t i = 0; i < work->count; i++) {
		free(work->mutants[i].path);
		free(work->mutants[i].text);
		free(work->mutants[i].wrong);
	}
	json_decref(work->coverage);
}

/* ---- mistakes ---- */

static void line_take(struct work *work, const json_t *line)
{
	const char *path = json_text(line, "path", "");
	const char *text = json_text(line, "text", "");
	const char *what = "";
	char *wrong;

	if (!integrity_is_code(path) || integrity_is_test(work->ladder->blueprint, path) ||
	    coverage_of(work->coverage, path, json_number(line, "line", 0)) == 0)
		return;
	wrong = mutant_of(view_of(text), &what);
	if (!wrong)
		return;
	if (work->count == MUTANTS_MAX) {
		work->left_out++;
		free(wrong);
		return;
	}
	work->mutants[work->count++] = (struct mutant){.path = text_copy(path),
						       .line = json_number(line, "line", 0),
						       .text = text_copy(text),
						       .wrong = wrong,
						       .what = what};
}

static int mutants_make(struct work *work, struct err *err)
{
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	AUTO_JSON lines = NULL;
	size_t index;
	json_t *line;

	if (git_diff(work->ladder->request->repository, &work->ladder->request->base, &work->ladder->request->head, &diff, err))
		return -1;
	lines = diff_lines(buf_view(&diff));
	json_array_foreach(lines, index, line)
		line_take(work, line);
	return 0;
}

/* The whole file, with the line mistaken. */
static int file_mutate(const struct work *work, const struct mutant *mutant, struct buf *out, struct err *err)
{
	AUTO_BUF text = buf_new(INTEGRITY_FILE_MAX);
	struct view rest;
	int64_t number = 0;

	if (git_file_read(work->ladder->request->repository, &work->ladder->request->head, mutant->path, &text, err))
		return -1;
	rest = buf_view(&text);
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);

		if (++number == mutant->line)
			buf_add_text(out, mutant->wrong);
		else
			buf_add_view(out, line);
		buf_add_char(out, '\n');
	}
	return buf_finish(out, err);
}

/* ---- trying them ---- */

/* A mistake may make a suite go on for ever: it is given a multiple of what it takes without. */
static struct test_suite suite_in_time(const struct test_suite *suite, int64_t usual_ms)
{
	struct test_suite own = *suite;
	int64_t limit_ms = usual_ms * SLOWER_TIMES > PATIENCE_LEAST_MS ? usual_ms * SLOWER_TIMES : PATIENCE_LEAST_MS;

	if (usual_ms && (!own.timeout_ms || limit_ms < own.timeout_ms))
		own.timeout_ms = limit_ms;
	return own;
}

/* Do all suites pass that need nothing but the work tree? *any: there is one. `usual_ms`: what they take as they are, 0 when that is not known. */
static int suites_pass(struct side *side, int64_t usual_ms, bool *pass, bool *any, struct err *err)
{
	const struct blueprint *blueprint = side->ladder->blueprint;

	*pass = true;
	*any = false;
	for (size_t i = 0; i < blueprint->test_count && *pass; i++) {
		const struct test_suite suite = suite_in_time(&blueprint->tests[i], usual_ms);
		AUTO_JSON result = NULL;

		if (suite.needs_services)
			continue;
		*any = true;
		result = suite_run(side->ladder, side->env, &suite, err);
		if (!result)
			return -1;
		*pass = json_flag(result, "ok", false);
	}
	return 0;
}

static int mutant_try(struct side *side, const struct work *work, struct mutant *mutant, int64_t usual_ms, struct err *err)
{
	const struct mutant as_it_is = {.path = mutant->path};
	AUTO_BUF wrong = buf_new(INTEGRITY_FILE_MAX + 4096);
	AUTO_BUF right = buf_new(INTEGRITY_FILE_MAX + 4096);
	bool pass = false;
	bool any;

	if (file_mutate(work, mutant, &wrong, err) || file_mutate(work, &as_it_is, &right, err) ||
	    file_write_in(side->ladder, side->env, mutant->path, buf_view(&wrong), err) ||
	    suites_pass(side, usual_ms, &pass, &any, err))
		return -1;
	mutant->fate = pass ? FATE_SURVIVED : FATE_SEEN;
	return file_write_in(side->ladder, side->env, mutant->path, buf_view(&right), err);
}

static int mutants_try(struct side *side, struct work *work, struct err *err)
{
	bool pass = false;
	bool any = false;
	int64_t begin_ms = world_elapsed_ms(side->ladder->request->world);
	int64_t usual_ms;

	if (suites_pass(side, 0, &pass, &any, err))
		return -1;
	usual_ms = world_elapsed_ms(side->ladder->request->world) - begin_ms + 1;
	if (!pass || !any)
		return err_set(err, ERR_NOT_FOUND, "%s",
			       any ? "the suites do not pass on the change" : "no suite runs without services");
	while (world_elapsed_ms(side->ladder->request->world) < work->until_ms) {
		size_t at = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);

		if (at >= work->count)
			break;
		if (mutant_try(side, work, &work->mutants[at], usual_ms, err))
			return -1;
	}
	return 0;
}

static void worker(struct side *side)
{
	struct work *work = (struct work *)(uintptr_t)side->argument;

	side->result = ladder_env_up(side, &side->err);
	if (side->result)
		return;
	side->result = mutants_try(side, work, &side->err);
	ladder_env_down(side->ladder, side->env);
}

/* ---- asking ---- */

static void PRINTF_LIKE(6, 7)
	ask(const struct work *work, const char *kind, const char *path, const char *text, int64_t line, const char *format, ...)
{
	char title[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(title, sizeof(title), format, args);
	va_end(args);
	(void)finding_add(work->gate->findings,
			  &(struct finding){.gate = work->gate->name,
					    .kind = kind,
					    .place = path,
					    .path = text,
					    .severity = SEVERITY_INFO,
					    .weight = QUESTION_WEIGHT,
					    .title = title,
					    .detail = "A question, no failure.",
					    .file = path,
					    .line = (int)line},
			  NULL);
}

static void mutants_tell(const struct work *work)
{
	size_t tried = 0;
	size_t survived = 0;

	for (size_t i = 0; i < work->count; i++) {
		const struct mutant *mutant = &work->mutants[i];
		struct view text = view_trim(view_of(mutant->text));

		tried += mutant->fate != FATE_NOT_TRIED;
		if (mutant->fate != FATE_SURVIVED)
			continue;
		survived++;
		ask(work, "survivor", mutant->path, mutant->text, mutant->line, "%s:%lld: no test sees %s in: %.*s", mutant->path,
		    (long long)mutant->line, mutant->what, text.length < SHOWN ? (int)text.length : SHOWN, text.at);
	}
	gate_count(work->gate, "mutants", (int64_t)tried);
	gate_count(work->gate, "survived", (int64_t)survived);
	if (tried < work->count + work->left_out)
		ladder_not_covered(work->ladder, "mutation: %zu of %zu mistakes were tried in the time there is (verify.mutation)",
				   tried, work->count + work->left_out);
}

/* Changed lines that never ran, by file. */
static int coverage_ask(struct work *work, struct err *err)
{
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	AUTO_JSON lines = NULL;
	size_t index;
	json_t *line;

	if (!json_object_size(work->coverage))
		return 0;
	if (git_diff(work->ladder->request->repository, &work->ladder->request->base, &work->ladder->request->head, &diff, err))
		return -1;
	lines = diff_lines(buf_view(&diff));
	json_array_foreach(lines, index, line) {
		const char *path = json_text(line, "path", "");
		struct view text = view_trim(view_of(json_text(line, "text", "")));
		int64_t number = json_number(line, "line", 0);

		if (integrity_is_test(work->ladder->blueprint, path) || coverage_of(work->coverage, path, number) != 0)
			continue;
		gate_count_add(work->gate, "not_run", 1);
		ask(work, "not-run", path, json_text(line, "text", ""), number, "%s:%lld: no test runs: %.*s", path,
		    (long long)number, text.length < SHOWN ? (int)text.length : SHOWN, text.at);
	}
	return 0;
}

/* ---- the rung ---- */

static int mutants_judge(struct work *work, struct err *err)
{
	struct side sides[WORKERS];
	struct side *at[WORKERS];
	size_t workers = work->count < WORKERS ? 1 : WORKERS;

	for (size_t i = 0; i < workers; i++) {
		sides[i] = (struct side){.ladder = work->ladder,
					 .gate = work->gate->name,
					 .label = i ? "head, too" : "head",
					 .commit = &work->ladder->request->head,
					 .argument = work};
		at[i] = &sides[i];
	}
	sides_run(worker, at, workers);
	for (size_t i = 0; i < workers; i++) {
		if (!sides[i].result)
			continue;
		if (sides[i].err.kind != ERR_NOT_FOUND) {
			*err = sides[i].err;
			return -1;
		}
		work->gate->status = GATE_SKIPPED;
		gate_reason(work->gate, "%s", sides[i].err.text);
		return 0;
	}
	mutants_tell(work);
	return 0;
}

static int mutants_ask(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {
		.ladder = ladder, .gate = gate, .coverage = ladder->coverage ? json_incref(ladder->coverage) : json_object()};
	int64_t time_ms = ladder->blueprint->verify.mutation_ms;

	if (coverage_ask(&work, err) || mutants_make(&work, err))
		return -1;
	if (!time_ms || !work.count) {
		gate->status = json_object_size(work.coverage) ? GATE_PASS : GATE_SKIPPED;
		gate_reason(gate, "%s",
			    time_ms ? "the change has no line of code in which a mistake could be made"
				    : "assay.yaml gives it no time (verify.mutation)");
		return 0;
	}
	/* It ends before the time of the whole does: a verdict does not wait for questions. */
	if (time_ms > ladder_left_ms(ladder) - TIME_LEFT_MS)
		time_ms = ladder_left_ms(ladder) - TIME_LEFT_MS;
	work.until_ms = world_elapsed_ms(ladder->request->world) + time_ms;
	return mutants_judge(&work, err);
}

/* It asks, and decides nothing: what keeps it from asking is said, and the verdict is that of the others. */
int gate_mutation(struct ladder *ladder, struct gate *gate, struct err *err)
{
	struct err own = {0};

	if (!mutants_ask(ladder, gate, &own))
		return 0;
	if (own.kind == ERR_CANCELLED && !__atomic_load_n(&ladder->late, __ATOMIC_RELAXED)) {
		*err = own;
		return -1;
	}
	gate->status = GATE_SKIPPED;
	gate_reason(gate, "it could not be asked: %s", own.text);
	ladder_not_covered(ladder, "mutation: %s", own.text);
	return 0;
}
