/*
 * The ladder: gates in order, until one blocks; environments are removed whatever happens; and a verdict that says "could not tell" when it
 * could not.
 */
#include "verify/verify.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/span.h"
#include "verify/declared.h"
#include "verify/rehearsal.h"
#include "verify/reproduction.h"

#define BLUEPRINT_BYTES_MAX ((size_t)1 << 20)
#define WATCH_US 50000
#define LOOK_MS 200 /* at the machine's pressure */

static const struct {
	const char *name;
	const char *title;
	int (*run)(struct ladder *ladder, struct gate *gate, struct err *err);
} gates[] = {
	{"deploy", "deploys and migrates", gate_deploy},
	{"tests", "the base's tests on the new code", gate_tests},
	{"red-green", "new tests: red before, green after", gate_red_green},
	{"integrity", "tests and checks left intact", gate_integrity},
	{"scan", "no secrets, bad packages or new remarks of linters", gate_scan},
	{"replay", "recorded traffic answered alike", gate_replay},
	{"migrations", "migrations on data in use", gate_migrations},
	{"faults", "broken seams borne as before", gate_faults},
	{"race", "copies at once end as they do in turn", gate_race},
	{"visual", "pages that look and read as before", gate_visual},
	{"mutation", "mistakes that no test would see", gate_mutation},
};

static const char *const status_names[] = {"pass", "fail", "unstable", "skipped"};

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {"verified", "failed", "unverified"};

	return names[verdict];
}

enum verdict verdict_of(const json_t *report)
{
	const char *name = json_text(report, "verdict", "");

	if (strcmp(name, "verified") == 0)
		return VERDICT_VERIFIED;
	return strcmp(name, "failed") == 0 ? VERDICT_FAILED : VERDICT_UNVERIFIED;
}

/* ---- the one flag ---- */

static void pressure_look(struct ladder *ladder, bool afresh)
{
	struct pressure now = {0};

	pressure_read(ladder->request->pressure, &now);
	(void)pthread_mutex_lock(&ladder->mutex);
	if (afresh)
		ladder->pressure = (struct pressure_sum){0};
	pressure_add(&ladder->pressure, &now, world_elapsed_ms(ladder->request->world));
	(void)pthread_mutex_unlock(&ladder->mutex);
}

static void *watch(void *self)
{
	struct ladder *ladder = self;
	const bool *cancelled = ladder->request->progress.cancelled;
	int64_t look_ms = world_elapsed_ms(ladder->request->world) + LOOK_MS;

	while (!__atomic_load_n(&ladder->ending, __ATOMIC_ACQUIRE)) {
		bool late = world_elapsed_ms(ladder->request->world) >= ladder->deadline_ms;

		if (late)
			__atomic_store_n(&ladder->late, true, __ATOMIC_RELAXED);
		if (late || (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED)))
			__atomic_store_n(&ladder->stop, true, __ATOMIC_RELAXED);
		if (world_elapsed_ms(ladder->request->world) >= look_ms) {
			pressure_look(ladder, false);
			look_ms += LOOK_MS;
		}
		(void)usleep(WATCH_US);
	}
	return NULL;
}

static bool was_cancelled(const struct ladder *ladder)
{
	const bool *cancelled = ladder->request->progress.cancelled;

	return cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED);
}

/* ---- before and after the gates ---- */

static json_t *inside_make(const struct blueprint *blueprint)
{
	json_t *inside = json_object();

	for (size_t i = 0; i < blueprint->service_count; i++)
		(void)json_object_set_new(inside, blueprint->services[i].name, json_string("service"));
	for (size_t i = 0; i < blueprint->database_count; i++)
		(void)json_object_set_new(inside, blueprint->databases[i].name, json_string("database"));
	(void)json_object_set_new(inside, "workspace", json_string("service"));
	return inside;
}

static int blueprint_read(struct ladder *ladder, struct err *err)
{
	AUTO_BUF text = buf_new(BLUEPRINT_BYTES_MAX);

	if (git_file_read(ladder->request->repository, &ladder->request->base, "assay.yaml", &text, err))
		return err_prefix(err, "the blueprint of the base");
	ladder->blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!ladder->blueprint)
		return err_prefix(err, "the blueprint of the base");
	ladder->blueprint_text = buf_take(&text);
	ladder->inside = inside_make(ladder->blueprint);
	ladder->deadline_ms = world_elapsed_ms(ladder->request->world) + ladder->blueprint->verify.timeout_ms;
	return 0;
}

static int ladder_init(struct ladder *ladder, const struct verify_request *request, struct err *err)
{
	*ladder = (struct ladder){.request = request,
				  .suites = json_object(),
				  .noise = json_array(),
				  .not_covered = json_array(),
				  .artefacts = json_array(),
				  .media = json_array(),
				  .services_seen = json_object(),
				  .snapshot = json_null()};
	(void)pthread_mutex_init(&ladder->mutex, NULL);
	(void)pthread_cond_init(&ladder->started, NULL);
	if (file_make_dirs(request->artefacts_dir, 0700, err) ||
	    git_tree_of(request->repository, &request->base, &ladder->base_tree, err) ||
	    git_tree_of(request->repository, &request->head, &ladder->head_tree, err))
		return -1;
	ladder->changes = git_changes(request->repository, &request->base, &request->head, err);
	return ladder->changes ? 0 : -1;
}

static void ladder_fini(struct ladder *ladder)
{
	while (ladder->env_count)
		ladder_env_down(ladder, ladder->envs[ladder->env_count - 1]);
	json_t *const owned[] = {ladder->changes,     ladder->inside,     ladder->snapshot, ladder->suites,        ladder->noise,
				 ladder->not_covered, ladder->artefacts,  ladder->media,    ladder->services_seen, ladder->sessions,
				 ladder->base_run,    ladder->base_again, ladder->coverage};

	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		json_decref(owned[i]);
	rehearsal_free(ladder->rehearsal);
	blueprint_free(ladder->blueprint);
	free(ladder->blueprint_text);
	free(ladder->pinned);
	(void)pthread_cond_destroy(&ladder->started);
	(void)pthread_mutex_destroy(&ladder->mutex);
}

/* "/var/lib/assay/repos/shop.git" is called shop. */
static char *repository_name(const char *path)
{
	size_t length = strlen(path);
	const char *slash;
	struct view name;

	while (length > 1 && path[length - 1] == '/')
		length--;
	slash = memrchr(path, '/', length);
	name = slash && slash + 1 < path + length ? view_make(slash + 1, length - (size_t)(slash + 1 - path))
						  : view_make(path, length);
	if (view_ends(name, VIEW(".git")) && name.length > 4)
		name.length -= 4;
	return view_copy(name);
}

static json_t *report_begin(const struct ladder *ladder)
{
	const struct verify_request *request = ladder->request;
	AUTO_FREE char *name = repository_name(request->repository);
	json_t *report = json_object();

	(void)json_object_set_new(report, "repository", json_string(name));
	(void)json_object_set_new(report, "base", json_string(request->base.text));
	(void)json_object_set_new(report, "head", json_string(request->head.text));
	(void)json_object_set_new(report, "base_tree", json_string(ladder->base_tree.text));
	(void)json_object_set_new(report, "head_tree", json_string(ladder->head_tree.text));
	(void)json_object_set_new(report, "tool", json_pack("{s:s}", "version", ASSAY_VERSION));
	(void)json_object_set_new(report, "topology", json_string("full"));
	(void)json_object_set_new(report, "started_ms", json_integer(world_now_ms(request->world)));
	(void)json_object_set_new(report, "attempt", json_integer(request->attempt));
	(void)json_object_set_new(report, "attempts", json_integer(request->attempts));
	(void)json_object_set_new(report, "gates", json_array());
	(void)json_object_set_new(report, "findings", json_array());
	return report;
}

/* ---- the ladder ---- */

static void gate_append(json_t *report, const struct gate *gate, int64_t ms)
{
	json_t *row = json_object();
	json_t *ids = json_array();
	json_t *all = json_member(report, "findings");

	for (size_t i = 0; i < json_array_size(gate->findings); i++) {
		json_t *finding = json_array_get(gate->findings, i);

		(void)json_array_append(ids, json_member(finding, "id"));
		(void)json_array_append(all, finding);
	}
	(void)json_object_set_new(row, "name", json_string(gate->name));
	(void)json_object_set_new(row, "title", json_string(gate->title));
	(void)json_object_set_new(row, "status", json_string(status_names[gate->status]));
	json_set_bytes(row, "reason", view_of(gate->reason ? gate->reason : ""));
	(void)json_object_set_new(row, "ms", json_integer(ms));
	(void)json_object_set(row, "counts", gate->counts);
	(void)json_object_set_new(row, "findings", ids);
	(void)json_array_append_new(json_member(report, "gates"), row);
}

static size_t blocking_count(const json_t *findings)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(findings); i++)
		count += finding_is(json_array_get(findings, i), SEVERITY_BLOCK);
	return count;
}

/* Is there nothing that blocks but what a delay explains, and was the machine so busy that it may have? */
static bool overloaded(struct ladder *ladder, struct gate *gate)
{
	AUTO_BUF why = buf_new(400);
	size_t timed = 0;
	bool over;

	pressure_mark_kinds(gate->findings);
	for (size_t i = 0; i < json_array_size(gate->findings); i++) {
		const json_t *finding = json_array_get(gate->findings, i);

		timed += finding_is(finding, SEVERITY_BLOCK) && json_flag(finding, "timed", false);
	}
	pressure_look(ladder, false);
	(void)pthread_mutex_lock(&ladder->mutex);
	over = pressure_over(&ladder->pressure, &why);
	(void)pthread_mutex_unlock(&ladder->mutex);
	if (!over || !timed || timed < blocking_count(gate->findings))
		return false;
	gate_reason(gate, "%zu %s would block, but the machine was overloaded: %s", timed, timed == 1 ? "finding" : "findings",
		    why.at);
	return true;
}

static void gate_judge(struct ladder *ladder, struct gate *gate, int result, const struct err *err)
{
	size_t declared, blocking;

	findings_rule(gate->findings, ladder->blueprint->verify.rules, ladder->blueprint->verify.rule_count);
	declared = findings_declare(gate->findings, ladder->request->declared);
	blocking = blocking_count(gate->findings);
	if (declared)
		gate_count(gate, "declared", (int64_t)declared);
	if (result) {
		gate->status = GATE_UNSTABLE;
		if (__atomic_load_n(&ladder->late, __ATOMIC_RELAXED))
			gate_reason(gate, "out of time: verify.timeout is %lld s",
				    (long long)ladder->blueprint->verify.timeout_ms / 1000);
		else
			gate_reason(gate, "%s", err->text);
	} else if (blocking && overloaded(ladder, gate)) {
		gate->status = GATE_UNSTABLE;
	} else if (blocking && gate->status != GATE_UNSTABLE) {
		gate->status = GATE_FAIL;
		gate_reason(gate, "%zu %s", blocking, blocking == 1 ? "finding blocks" : "findings block");
	}
	findings_sort(gate->findings);
}

/* A suite that needs the services fails because of what the last rung looks into: that rung says where it begins, so it is climbed all the
 * same. */
static bool only_services_fail(const struct ladder *ladder, const struct gate *gate)
{
	for (size_t i = 0; i < json_array_size(gate->findings); i++) {
		const json_t *finding = json_array_get(gate->findings, i);
		bool needs = false;

		for (size_t k = 0; k < ladder->blueprint->test_count; k++)
			needs = needs || (ladder->blueprint->tests[k].needs_services &&
					  strcmp(ladder->blueprint->tests[k].name, json_text(finding, "place", "")) == 0);
		if (finding_is(finding, SEVERITY_BLOCK) && (!needs || strcmp(json_text(finding, "kind", ""), "disk-full") == 0))
			return false;
	}
	return strcmp(gate->name, "tests") == 0 && gate->status == GATE_FAIL;
}

static bool left_out(struct ladder *ladder, struct gate *gate)
{
	const struct texts *skip = &ladder->blueprint->verify.skip;
	const struct reproduction *again = ladder->request->reproduction;

	if (again && !reproduction_needs(again, gate->name)) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "one finding of %s is looked at again", again->gate);
		return true;
	}
	for (size_t i = 0; i < skip->count; i++) {
		if (strcmp(skip->at[i], gate->name) != 0)
			continue;
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "left out by assay.yaml (verify.skip)");
		ladder_not_covered(ladder, "%s: left out by assay.yaml (verify.skip)", gate->name);
		return true;
	}
	return false;
}

/* One rung. Returns false when the ladder ends here. */
static bool gate_climb(struct ladder *ladder, json_t *report, size_t index)
{
	struct gate gate = {gates[index].name, gates[index].title, GATE_PASS, NULL, json_array(), json_object()};
	int64_t begin_ms = world_elapsed_ms(ladder->request->world);
	int64_t ms;
	struct err err = {0};
	struct span span;
	int result = 0;
	bool on;

	span_begin(&span, SPAN_INTERNAL, "gate %s", gate.name);
	ladder_report(ladder, gate.name, "", gate.title, -1);
	pressure_look(ladder, true);
	if (!left_out(ladder, &gate)) {
		result = gates[index].run(ladder, &gate, &err);
		gate_judge(ladder, &gate, result, &err);
	}
	ms = world_elapsed_ms(ladder->request->world) - begin_ms;
	gate_append(report, &gate, ms);
	ladder_report(ladder, gate.name, "", status_names[gate.status], ms);
	span_text(&span, "assay.gate.status", status_names[gate.status]);
	span_text(&span, "assay.gate.reason", gate.reason);
	span_number(&span, "assay.gate.findings", (int64_t)json_array_size(gate.findings));
	span_end(&span, result ? &err : NULL);
	on = gate.status == GATE_PASS || gate.status == GATE_SKIPPED || only_services_fail(ladder, &gate);
	json_decref(gate.findings);
	json_decref(gate.counts);
	free(gate.reason);
	return on;
}

static void gates_skip(json_t *report, size_t from, const char *because)
{
	for (size_t i = from; i < ARRAY_LEN(gates); i++) {
		struct gate gate = {gates[i].name, gates[i].title, GATE_SKIPPED, text_format("not reached: %s", because),
				    json_array(),  json_object()};

		gate_append(report, &gate, 0);
		json_decref(gate.findings);
		json_decref(gate.counts);
		free(gate.reason);
	}
}

static void climb(struct ladder *ladder, json_t *report)
{
	for (size_t i = 0; i < ARRAY_LEN(gates); i++) {
		if (gate_climb(ladder, report, i))
			continue;
		const json_t *row = json_array_get(json_member(report, "gates"), i);
		AUTO_FREE char *because = text_format("%s is %s", gates[i].name, json_text(row, "status", ""));

		gates_skip(report, i + 1, because);
		return;
	}
}

/* ---- the verdict ---- */

static const json_t *gate_with(const json_t *report, const char *status)
{
	const json_t *rows = json_member(report, "gates");

	for (size_t i = 0; i < json_array_size(rows); i++)
		if (strcmp(json_text(json_array_get(rows, i), "status", ""), status) == 0)
			return json_array_get(rows, i);
	return NULL;
}

static void verdict_set(json_t *report, enum verdict verdict, const char *reason)
{
	(void)json_object_set_new(report, "verdict", json_string(verdict_name(verdict)));
	json_set_bytes(report, "reason", view_of(reason));
}

/* The worst finding says it best. */
static void verdict_failed(json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	const json_t *worst = NULL;

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		if (finding_is(finding, SEVERITY_BLOCK) &&
		    (!worst || json_number(finding, "weight", 0) > json_number(worst, "weight", 0)))
			worst = finding;
	}
	AUTO_FREE char *reason = text_format("%s: %s", json_text(worst, "gate", ""), json_text(worst, "title", ""));

	verdict_set(report, VERDICT_FAILED, reason);
}

static void verdict_judge(json_t *report)
{
	const json_t *fail = gate_with(report, "fail");
	const json_t *unstable = gate_with(report, "unstable");
	int64_t passed = 0;
	size_t count = json_array_size(json_member(report, "gates"));

	if (fail) {
		verdict_failed(report);
		return;
	}
	if (unstable) {
		AUTO_FREE char *reason = text_format("could not tell: %s: %s", json_text(unstable, "name", ""),
						     json_text(unstable, "reason", ""));

		verdict_set(report, VERDICT_UNVERIFIED, reason);
		return;
	}
	for (size_t i = 0; i < count; i++)
		passed += strcmp(json_text(json_array_get(json_member(report, "gates"), i), "status", ""), "pass") == 0;
	AUTO_FREE char *declared = declared_summary(json_member(report, "findings"));
	AUTO_FREE char *reason = text_format("%lld of %zu gates passed, none failed%s%s", (long long)passed, count,
					     declared ? "; differences: " : "", declared ? declared : "");

	verdict_set(report, VERDICT_VERIFIED, reason);
}

static void report_end(const struct ladder *ladder, json_t *report)
{
	(void)json_object_set_new(report, "declared", declared_count(ladder->request->declared, json_member(report, "findings")));
	(void)json_object_set(report, "snapshot", ladder->snapshot);
	(void)json_object_set_new(report, "blueprint_digest",
				  json_string(ladder->blueprint_text ? digest_of(view_of(ladder->blueprint_text)).text : ""));
	(void)json_object_set_new(report, "sessions", ladder->sessions ? json_incref(ladder->sessions) : json_array());
	(void)json_object_set(report, "noise", ladder->noise);
	(void)json_object_set(report, "not_covered", ladder->not_covered);
	(void)json_object_set(report, "artefacts", ladder->artefacts);
	(void)json_object_set(report, "media", ladder->media);
	(void)json_object_set_new(report, "ms",
				  json_integer(world_now_ms(ladder->request->world) - json_number(report, "started_ms", 0)));
}

static void ladder_run(struct ladder *ladder, json_t *report)
{
	struct err err;

	if (blueprint_read(ladder, &err)) {
		AUTO_FREE char *reason = text_format("could not tell: %s", err.text);

		gates_skip(report, 0, "the base has no blueprint that can be used");
		verdict_set(report, VERDICT_UNVERIFIED, reason);
		return;
	}
	if (pthread_create(&ladder->watcher, NULL, watch, ladder)) {
		gates_skip(report, 0, "no thread could be made");
		verdict_set(report, VERDICT_UNVERIFIED, "could not tell: the machine has no thread left");
		return;
	}
	climb(ladder, report);
	__atomic_store_n(&ladder->ending, true, __ATOMIC_RELEASE);
	(void)pthread_join(ladder->watcher, NULL);
	findings_sort(json_member(report, "findings")); /* worst first, over all gates */
	verdict_judge(report);
}

int verify_run(const struct verify_request *request, json_t **report, struct err *err)
{
	__attribute__((cleanup(ladder_fini))) struct ladder ladder;
	AUTO_JSON made = NULL;

	if (ladder_init(&ladder, request, err))
		return -1;
	made = report_begin(&ladder);
	ladder_run(&ladder, made);
	if (was_cancelled(&ladder))
		return err_set(err, ERR_CANCELLED, "the verification was stopped");
	report_end(&ladder, made);
	*report = TAKE(made);
	return 0;
}
