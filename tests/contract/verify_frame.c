/* Environments with a gateway, applications as commits, and changes to them held against what was expected. */
#include "verify_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "gateway/gateway.h"
#include "net/socket.h"
#include "programs/secrets_find.h"
#include "programs/serve_gateway.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"

#define SKIPPED 77
#define DISK_SHARE "6" /* percent, of one environment: what fills the disk is not to fill this machine's */

static char state_dir[] = "/tmp/assay-verify-XXXXXX";
static char *preview;
static struct provider provider;
static struct serve_gateway *gateway;
static struct environments *environments;
static char **wanted;
static int wanted_count;

void must(int result, const struct err *err)
{
	if (result) {
		printf("Bail out! %s\n", err->text);
		fail_msg("%s", err->text);
	}
}

static void host_git(const struct application *application, const char *const *args)
{
	const char *argv[16] = {"git", "-c", "user.name=t", "-c", "user.email=t@t"};
	struct err err = {0};
	size_t count = 5;

	for (; *args; args++)
		argv[count++] = *args;
	must(process_run(&(struct process_spec){.argv = argv, .dir = application->origin}, NULL, &err), &err);
}

static void edit_apply(const struct application *application, const struct edit *edit)
{
	AUTO_FREE char *path = text_format("%s/%s", application->origin, edit->file);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	AUTO_BUF made = buf_new((size_t)1 << 20);
	struct err err = {0};
	ptrdiff_t at;

	if (edit->find && strcmp(edit->find, "->") == 0) {
		must(file_remove_tree(path, &err), &err);
		assert_int_equal(symlink(edit->replace, path), 0);
		return;
	}
	if (edit->find && strcmp(edit->find, "<>") == 0) {
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		assert_int_equal(ftruncate(fileno(file), atoll(edit->replace)), 0);
		assert_int_equal(fclose(file), 0);
		return;
	}
	if (!edit->find) {
		AUTO_FREE char *folder = view_copy(view_make(path, (size_t)(strrchr(path, '/') - path)));

		must(file_make_dirs(folder, 0755, &err), &err);
		must(file_replace(path, view_of(edit->replace), 0644, &err), &err);
		return;
	}
	must(file_read(path, &text, &err), &err);
	at = view_find(buf_view(&text), view_of(edit->find));
	if (at < 0)
		fail_msg("%s does not have `%s`", edit->file, edit->find);
	buf_add(&made, text.at, (size_t)at);
	buf_add_text(&made, edit->replace);
	buf_add_text(&made, text.at + at + strlen(edit->find));
	must(file_replace(path, buf_view(&made), 0644, &err), &err);
}

static void edits_apply(const struct application *application, const struct edit *edits, size_t count)
{
	for (size_t i = 0; i < count && edits[i].file; i++)
		edit_apply(application, &edits[i]);
}

static struct git_hash commit_make(const struct application *application, const char *branch, const char *title)
{
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);
	struct git_hash commit;
	struct err err = {0};

	host_git(application, (const char *const[]){"add", "-A", NULL});
	host_git(application, (const char *const[]){"commit", "-qm", title, NULL});
	must(git_fetch_local(application->repository, application->origin, branch, ref, &commit, &err), &err);
	return commit;
}

void application_make(struct application *application)
{
	const char *root = getenv("ASSAY_SOURCE_ROOT");
	AUTO_FREE char *data = text_format("%s/%s%s", root ? root : ".",
					   application->from ? application->from : "tests/data/verify/",
					   application->from ? "" : application->folder);
	static int number;
	struct err err = {0};

	application->origin = text_format("%s/origin-%d", state_dir, ++number);
	application->repository = text_format("%s/repos/%s-%d.git", state_dir, application->folder, number);
	must(process_run(&(struct process_spec){.argv = (const char *const[]){"cp", "-r", data, application->origin, NULL}}, NULL,
			 &err),
	     &err);
	must(git_repository_make(application->repository, &err), &err);
	host_git(application, (const char *const[]){"init", "-q", "-b", "main", NULL});
	application->base = commit_make(application, "main", "base");
	host_git(application, (const char *const[]){"checkout", "-q", "-b", "quick", NULL});
	edits_apply(application, application->quick, ARRAY_LEN(application->quick));
	application->base_quick = application->quick[0].file ? commit_make(application, "quick", "quick") : application->base;
}

void application_fini(struct application *application)
{
	free(application->origin);
	free(application->repository);
}

static struct git_hash change_commit(const struct application *application, const struct change *change)
{
	host_git(application, (const char *const[]){"checkout", "-q", "-B", "change", change->whole ? "main" : "quick", NULL});
	edits_apply(application, change->edits, ARRAY_LEN(change->edits));
	if (change->patch)
		host_git(application, (const char *const[]){"apply", change->patch, NULL});
	return commit_make(application, "change", change->name);
}

static void report_step(void *self, const char *step, const char *detail, int64_t ms)
{
	(void)self;
	if (ms >= 0 && getenv("ASSAY_TEST_VERBOSE"))
		printf("#     %-40s %6lld ms %s\n", step, (long long)ms, detail ? detail : "");
}

/* One known defect, of one package. */
static void advisory_make(void)
{
	AUTO_FREE char *dir = text_format("%s/advisories/npm", state_dir);
	AUTO_FREE char *file = text_format("%s/GHSA-test.json", dir);
	struct err err = {0};

	must(file_make_dirs(dir, 0700, &err), &err);
	must(file_replace(
		     file,
		     VIEW("{\"id\":\"GHSA-test\",\"summary\":\"a hole\",\"database_specific\":{\"severity\":\"CRITICAL\"},\"affected\":[{\"package\":"
			  "{\"ecosystem\":\"npm\",\"name\":\"holed\"},\"ranges\":[{\"type\":\"SEMVER\",\"events\":[{\"introduced\":\"0\"},"
			  "{\"fixed\":\"1.3.0\"}]}]}]}"),
		     0600, &err),
	     &err);
}

struct verify_request frame_request(const struct application *application)
{
	static char artefacts[sizeof(state_dir) + 16];
	static char cache[sizeof(state_dir) + 16];
	static char advisories[sizeof(state_dir) + 16];
	static char rules[sizeof(state_dir) + 16];
	static const struct verify_sources sources = {secrets_find, rules, advisories};

	(void)snprintf(artefacts, sizeof(artefacts), "%s/artefacts", state_dir);
	(void)snprintf(cache, sizeof(cache), "%s/cache", state_dir);
	(void)snprintf(advisories, sizeof(advisories), "%s/advisories", state_dir);
	(void)snprintf(rules, sizeof(rules), "%s/rules", state_dir);
	return (struct verify_request){.cache_dir = cache,
				       .sources = &sources,
				       .environments = environments,
				       .repository = application->repository,
				       .base = application->base,
				       .artefacts_dir = artefacts,
				       .attempt = 1,
				       .attempts = 1,
				       .progress = {report_step, NULL, NULL},
				       .world = world_real};
}

/* Tests hold at any load: how busy the machine is, they say themselves. */
static void pressure_told(void *self, struct pressure *now)
{
	const bool *busy = self;

	*now = (struct pressure){.cores = 2, .running = *busy ? 60 : 2, .memory_us = -1, .disk_us = -1};
}

static json_t *change_verify(const struct application *application, const struct change *change)
{
	struct verify_request request = frame_request(application);
	AUTO_JSON declared = change->declares ? json_pack("[{s:s, s:s, s:s}]", "match", change->declares, "by", "ada", "because",
							  "it is what the issue asks for")
					      : NULL;
	bool busy = change->busy;
	json_t *report = NULL;
	struct err err = {0};

	request.pressure = (struct pressure_source){pressure_told, &busy};
	request.declared = declared;
	request.base = change->whole ? application->base : application->base_quick;
	request.head = change_commit(application, change);
	must(verify_run(&request, &report, &err), &err);
	return report;
}

/* The first finding that blocks, of a gate and a kind; NULL stands for any. Borrowed. */
static const json_t *finding_blocks(const json_t *report, const char *gate, const char *kind)
{
	const json_t *findings = json_member(report, "findings");

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		if (strcmp(json_text(finding, "severity", ""), "block") == 0 &&
		    (!gate || strcmp(json_text(finding, "gate", ""), gate) == 0) &&
		    (!kind || strcmp(json_text(finding, "kind", ""), kind) == 0))
			return finding;
	}
	return NULL;
}

/* The suite `unit` is one whose neighbours are all mocked. */
static void row_write(const struct application *application, const struct change *change, const json_t *report)
{
	const char *path = getenv("ASSAY_TEST_TABLE");
	FILE *file = path ? fopen(path, "ae") : NULL;
	const json_t *worst = finding_blocks(report, NULL, NULL);
	const json_t *tests = finding_blocks(report, "tests", NULL);

	if (!file)
		return;
	(void)fprintf(file, "%s\t%s\t%s\t%s\t%s\t%s\t%lld\t%s\n", application->folder, change->name,
		      change->about ? change->about : "", json_text(report, "verdict", ""), json_text(worst, "gate", "-"),
		      tests && strcmp(json_text(tests, "place", ""), "unit") == 0 ? "red" : "green",
		      (long long)json_number(report, "ms", 0), json_text(worst, "title", json_text(report, "reason", "")));
	(void)fclose(file);
}

static bool says(const json_t *finding, const char *part)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	json_format_sorted(&text, finding);
	return view_find(buf_view(&text), view_of(part)) >= 0;
}

static bool is_uncovered(const json_t *report, const char *part)
{
	const json_t *lines = json_member(report, "not_covered");

	for (size_t i = 0; i < json_array_size(lines); i++)
		if (strstr(json_string_value(json_array_get(lines, i)), part))
			return true;
	return false;
}

/* Does the outcome agree with the row? Says what it was. */
static bool change_judge(const struct change *change, const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	const json_t *worst = finding_blocks(report, NULL, NULL);
	bool good = strcmp(json_text(report, "verdict", ""), change->verdict) == 0 &&
		    (!change->why || strstr(json_text(report, "reason", ""), change->why));

	if (good && change->gate) {
		const json_t *finding = finding_blocks(report, change->gate, change->kind);

		good = finding && (!change->says || says(finding, change->says));
	}
	if (change->asks && good) {
		good = false;
		for (size_t i = 0; i < json_array_size(findings) && !good; i++)
			good = strcmp(json_text(json_array_get(findings, i), "kind", ""), change->asks) == 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(change->uncovered) && change->uncovered[i]; i++)
		good = is_uncovered(report, change->uncovered[i]) && good;
	printf("# %s %-34s %-10s %6lld ms  %s\n", good ? "good" : "BAD ", change->name, json_text(report, "verdict", ""),
	       (long long)json_number(report, "ms", 0),
	       change->gate || !good ? json_text(worst, "title", json_text(report, "reason", "")) : "");
	if (!good || getenv("ASSAY_TEST_VERBOSE")) {
		AUTO_BUF text = buf_new((size_t)16 << 20);

		if (getenv("ASSAY_TEST_REPORT"))
			json_format_pretty(&text, report);
		else
			verify_feedback(&text, report);
		printf("%s\n", text.at);
	}
	(void)fflush(stdout);
	return good;
}

static bool is_wanted(const char *name)
{
	for (int i = 0; i < wanted_count; i++)
		if (strcmp(wanted[i], name) == 0)
			return true;
	return wanted_count == 0;
}

static json_t *finding_ids(const json_t *report)
{
	const json_t *findings = json_member(report, "findings");
	json_t *ids = json_object();

	for (size_t i = 0; i < json_array_size(findings); i++)
		(void)json_object_set(ids, json_text(json_array_get(findings, i), "id", ""),
				      json_member(json_array_get(findings, i), "severity"));
	return ids;
}

/* How often each change is verified: never not at all, which would be to pass. */
static uint64_t times_wanted(void)
{
	const char *text = getenv("ASSAY_TEST_TIMES");
	uint64_t times = 1;

	if (text && (!view_to_u64(view_of(text), &times) || times < 1))
		fail_msg("ASSAY_TEST_TIMES is `%s`: give a number from 1", text);
	return times;
}

static bool change_is_judged_well(const struct application *application, const struct change *change)
{
	uint64_t times = times_wanted();
	AUTO_JSON first = NULL;
	bool good = true;

	for (uint64_t i = 0; i < times; i++) {
		AUTO_JSON report = change_verify(application, change);
		AUTO_JSON ids = finding_ids(report);

		good = change_judge(change, report) && good;
		if (i == 0)
			row_write(application, change, report);
		if (first && !json_equal(first, ids)) {
			AUTO_BUF text = buf_new((size_t)1 << 20);

			json_format_sorted(&text, first);
			buf_add_text(&text, " and then ");
			json_format_sorted(&text, ids);
			printf("# BAD  %s: other findings: %s\n", change->name, text.at);
			good = false;
		}
		if (!first)
			first = json_incref(ids);
	}
	return good;
}

int changes_run(struct application *application, const struct change *changes, size_t count)
{
	int bugs = 0, caught = 0, missed = 0, harmless = 0, alarms = 0;

	for (size_t i = 0; i < count; i++) {
		bool good;

		if (!is_wanted(changes[i].name) || (changes[i].rare && !wanted_count && !getenv("ASSAY_LONG")))
			continue;
		if (!application->origin)
			application_make(application);
		good = change_is_judged_well(application, &changes[i]);
		if (changes[i].missed) {
			bugs++;
			missed++;
			alarms += !good; /* it is caught now, and should say so */
		} else if (changes[i].gate) {
			bugs++;
			caught += good;
		} else {
			harmless++;
			alarms += !good;
		}
	}
	printf("# %s: caught %d of %d seeded bugs; %d false alarms in %d harmless changes\n", application->folder, caught, bugs,
	       alarms, harmless);
	(void)fflush(stdout);
	application_fini(application);
	return bugs - caught - missed + alarms;
}

void nothing_is_left_of_a_verification(void **state)
{
	struct err err = {0};
	AUTO_JSON list = environment_list(environments, &err);

	(void)state;
	assert_int_equal(json_array_size(list), 0);
}

int frame_open(void **state)
{
	AUTO_FREE char *tools = NULL;
	struct local_options local = {.state_dir = state_dir, .runtime = getenv("ASSAY_RUNTIME")};
	struct environments_options options = {.state_dir = state_dir, .world = world_real};
	struct err err = {0};
	int fd = -1;

	(void)state;
	if (!mkdtemp(state_dir))
		return -1;
	tools = text_format("%s/tools", state_dir);
	must(file_make_dirs(tools, 0711, &err), &err);
	(void)chmod(state_dir, 0711);
	advisory_make();
	must(socket_listen_tcp("127.0.0.1:0", &fd, &err), &err);
	preview = text_format("127.0.0.1:%d", socket_port(fd));
	(void)close(fd);
	(void)setenv(KEEPER_SHARE_VARIABLE, DISK_SHARE, 1);
	must(local_provider_open(&local, &provider, &err), &err);
	must(serve_gateway_open(preview, NULL, tools, "tool.sock", NULL, NULL, NULL, &gateway, &err), &err);
	options.provider = provider;
	options.gateway = serve_gateway_link(gateway);
	options.preview_base = preview;
	must(environments_open(&options, &environments, &err), &err);
	must(serve_gateway_watch(gateway, environments, &err), &err);
	return 0;
}

int frame_close(void **state)
{
	(void)state;
	serve_gateway_unwatch(gateway);
	environments_close(environments);
	serve_gateway_close(gateway);
	local_provider_close(provider);
	free(preview);
	return getenv("ASSAY_TEST_KEEP") ? 0 : file_remove_tree(state_dir, NULL);
}

int frame_main(int argc, char **argv, int (*run)(void))
{
	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "gateway") == 0)
		return gateway_main(argc - 1, argv + 1);
	if (getuid() != 0) {
		printf("contract verify: skipped: needs root\n");
		return SKIPPED;
	}
	log_init("contract-verify", LOG_LEVEL_WARN);
	wanted = argv + 1;
	wanted_count = argc - 1;
	return run();
}
