/* Runs over two repositories, on a faked world with real git: one environment, one record, a pull request each, all or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs_fake.h"

static char root[64];
static char state_dir[128];
static struct runs *runs;
static struct run_id run;

/* ---- a world ---- */

static int64_t skew_ms; /* pauses are jumped over */
static int64_t fake_now(void *self)
{
	(void)self;
	return world_now_ms(world_real) + skew_ms;
}
static int64_t fake_elapsed(void *self)
{
	(void)self;
	return world_elapsed_ms(world_real);
}
static void fake_random(void *self, void *at, size_t length)
{
	(void)self;
	world_random(world_real, at, length);
}
static const struct world_ops world_ops = {fake_now, fake_elapsed, fake_random};

static int fault_at;
static int fault_count;

static bool crash(const char *name)
{
	(void)name;
	if (!fake.dead && fault_at && ++fault_count == fault_at)
		fake.dead = true;
	return fake.dead;
}

static void shell(const char *line)
{
	struct err err = {0};

	if (process_run(&(struct process_spec){.argv = (const char *const[]){"sh", "-ec", line, NULL}}, NULL, &err))
		fail_msg("%s: %s", line, err.text);
}

static int open_runs(void)
{
	struct runs_options options = {.state_dir = state_dir, .pages_base = "http://assay", .world = {&world_ops, NULL}};
	struct err err = {0};

	runs = NULL;
	if (!runs_open(&options, &runs, &err))
		return 0;
	if (!fake.dead)
		fail_msg("%s", err.text);
	return -1;
}

static void put(const char *name)
{
	AUTO_FREE char *path = text_format("%s/%s", root, name);
	AUTO_JSON done = NULL;
	struct err err = {0};

	done = runs_repository_put(runs, path, "HEAD", name, true, &err);
	if (!done)
		fail_msg("%s", err.text);
}

static int group_setup(void **state)
{
	AUTO_FREE char *make = NULL;

	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	(void)snprintf(root, sizeof(root), "/tmp/assay-parts-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	make = text_format("cd %s; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b;"
			   "for n in shop lib; do git init -q -b main $n; printf base >$n/app.txt; done;"
			   "printf 'version: 1\\nname: shop\\nservices:\\n  web: {run: x, port: 80}\\nverify: {attempts: 3}\\n"
			   "agent: {use: command, run: agent, format: jsonl}\\n' >shop/assay.yaml;"
			   "for n in shop lib; do git -C $n add .; git -C $n commit -qm base; done",
			   root);
	shell(make);
	(void)snprintf(state_dir, sizeof(state_dir), "%s/template", root);
	if (mkdir(state_dir, 0700) || open_runs())
		return -1;
	put("shop");
	put("lib");
	runs_close(runs);
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", root);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return file_remove_tree(root, NULL);
}

static int story_setup(void **state)
{
	AUTO_FREE char *copy = text_format("rm -rf %s/state; cp -a %s/template %s/state", root, root, root);

	(void)state;
	fake_reset();
	skew_ms = 0;
	fault_hook = crash;
	fault_at = 0;
	fake.output = "{\"type\":\"start\",\"session\":\"s\"}\n{\"type\":\"end\",\"ok\":true,\"text\":\"I did it\"}\n";
	shell(copy);
	return open_runs();
}

static int story_teardown(void **state)
{
	(void)state;
	runs_close(runs);
	fault_hook = NULL;
	return 0;
}

static json_t *request(void)
{
	return json_pack("{s:[ss], s:s, s:s}", "repositories", "shop", "lib@main", "title", "Fix both", "body", "It is wrong.");
}

static int start(void)
{
	AUTO_JSON asked = request();
	AUTO_JSON begun = runs_start(runs, asked, NULL);

	return begun ? run_id_parse(view_of(json_text(begun, "id", "")), &run, NULL) : -1;
}

/* Works until nothing is due; -1 when the world died. */
static int work_all(void)
{
	for (int idle = 0; idle < 3;) {
		bool did = false;

		if (flows_work(runs->flow, &did, NULL) || fake.dead)
			return -1;
		idle = did ? 0 : idle + 1;
		skew_ms += did ? 0 : 2 * FLOW_RETRY_LONGEST_MS;
	}
	return 0;
}

static void begin_and_work(const char *writes)
{
	fake.writes[0] = writes;
	assert_int_equal(start(), 0);
	assert_int_equal(work_all(), 0);
}

static void state_is(const char *expected)
{
	AUTO_JSON shown = runs_show(runs, run, NULL);

	if (strcmp(json_text(shown, "state", ""), expected) != 0)
		fail_msg("state %s, expected %s: %s", json_text(shown, "state", ""), expected, json_text(shown, "error", ""));
}

static int64_t number_of(const char *sql)
{
	int64_t number = -1;
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &number, -1, sql, NO_VALUES, NULL), 0);
	return number;
}

static void main_holds(const char *name, const char *expected)
{
	AUTO_FREE char *repository = repository_path(runs, name);
	AUTO_BUF content = buf_new(4096);
	struct git_hash head;

	assert_int_equal(git_resolve(repository, "main", &head, NULL), 0);
	assert_int_equal(git_file_read(repository, &head, "app.txt", &content, NULL), 0);
	assert_string_equal(content.at, expected);
}

static void pull_is(int64_t number, const char *key, const char *expected)
{
	AUTO_JSON pull = runs_pull_show(runs, number, NULL);

	assert_string_equal(json_text(pull, key, ""), expected);
}

/* ---- the ways it can go ---- */

static void both_are_worked_on_proven_reviewed_and_merged_together(void **state)
{
	AUTO_JSON shown = NULL;
	AUTO_JSON merged = NULL;
	AUTO_BUF record = buf_new(65536);
	const json_t *parts;

	(void)state;
	fake.writes[1] = "better";
	begin_and_work("good|new");
	state_is("review");
	shown = runs_show(runs, run, NULL);
	parts = json_member(shown, "repositories");
	assert_int_equal(json_array_size(parts), 2);
	assert_string_equal(json_text(json_array_get(parts, 1), "repository", ""), "lib");
	assert_int_equal(json_number(json_array_get(parts, 1), "pull", 0), 2);
	assert_int_equal(json_number(shown, "pull", 0), 1);
	assert_int_equal(fake.verifies, 1);
	assert_int_equal(fake.env_count, 1);
	assert_non_null(strstr(fake.prompts[0], "each in its folder: `shop`, `lib`"));
	pull_is(1, "repository", "shop");
	pull_is(2, "repository", "lib");
	{
		AUTO_JSON pull = runs_pull_show(runs, 1, NULL);
		AUTO_JSON changes = runs_pull_changes(runs, 2, NULL);

		assert_non_null(strstr(json_text(pull, "body", ""), "| lib | [2](http://assay/pulls/2)"));
		assert_int_equal(json_array_size(changes), 1);
		assert_string_equal(json_text(json_array_get(changes, 0), "path", ""), "app.txt");
	}
	assert_int_equal(number_of("SELECT count(*) FROM record"), 1);
	assert_int_equal(runs_record(runs, run, &record, NULL), 0);
	assert_non_null(strstr(record.at, json_text(json_array_get(parts, 0), "head", "?")));
	assert_non_null(strstr(record.at, json_text(json_array_get(parts, 1), "head", "?")));
	/* words under either wake the same run, and what is not asked to change stays */
	assert_int_equal(runs_pull_review(runs, 2, "ann", "changes", "Mend the shop.", NULL), 0);
	assert_int_equal(work_all(), 0);
	state_is("review");
	assert_non_null(strstr(fake.prompts[1], "ann wrote about lib: Mend the shop."));
	assert_int_equal(number_of("SELECT count(*) FROM pull"), 2);
	assert_int_equal(number_of("SELECT count(*) FROM record"), 2);
	merged = runs_pull_merge(runs, 2, "ann", false, NULL);
	assert_string_equal(json_text(merged, "state", ""), "merged");
	pull_is(1, "state", "merged");
	assert_int_equal(work_all(), 0);
	state_is("done");
	main_holds("shop", "better");
	main_holds("lib", "new");
	assert_int_equal(fake_alive(), 0);
	assert_int_equal(number_of("SELECT count(*) FROM issue WHERE state = 'done'"), 1);
	assert_int_equal(number_of("SELECT count(*) FROM run_part WHERE outcome = 'merged'"), 2);
}

static void findings_in_either_go_back_and_only_what_changed_is_published(void **state)
{
	(void)state;
	fake.writes[1] = "base|good";
	begin_and_work("base|bug 1");
	state_is("review");
	assert_int_equal(fake.agent_turns, 2);
	assert_int_equal(number_of("SELECT count(*) FROM pull"), 1);
	pull_is(1, "repository", "lib");
	pull_is(1, "verdict", "verified");
}

static void an_agent_that_changes_nothing_is_told_once(void **state)
{
	(void)state;
	begin_and_work(NULL);
	state_is("failed");
	assert_int_equal(fake.agent_turns, 2);
	assert_int_equal(number_of("SELECT count(*) FROM pull"), 0);
}

static void one_that_is_closed_closes_the_other(void **state)
{
	(void)state;
	begin_and_work("good|new");
	assert_int_equal(runs_pull_close(runs, 1, NULL), 0);
	assert_int_equal(work_all(), 0);
	state_is("done");
	pull_is(2, "state", "closed");
	{
		AUTO_JSON pull = runs_pull_show(runs, 2, NULL);

		assert_non_null(strstr(json_text(json_array_get(json_member(pull, "reviews"), 0), "text", ""),
				       "pull request 1 of shop, with which it was proven, was closed"));
	}
	assert_int_equal(number_of("SELECT count(*) FROM run WHERE outcome = 'closed'"), 1);
	main_holds("lib", "base");
}

static void none_is_merged_when_one_cannot_be(void **state)
{
	AUTO_FREE char *other = text_format(
		"cd %s/lib; printf other >app.txt; git -c user.name=a -c user.email=a@b commit -qam other", root);
	AUTO_FREE char *back = text_format("cd %s/lib; git reset -q --hard HEAD~1", root);
	struct err err = {0};

	(void)state;
	begin_and_work("good|new");
	shell(other);
	put("lib");
	shell(back);
	assert_null(runs_pull_merge(runs, 1, "ann", false, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "nothing is merged: pull request 2 of lib"));
	pull_is(1, "state", "open");
	main_holds("shop", "base");
	assert_int_equal(work_all(), 0);
	state_is("review");
}

/* ---- a forge that cannot make the second one ---- */

static struct forge real_forge;

static json_t *list_real(void *self, const struct list_ask *ask, struct err *err)
{
	(void)self;
	return forge_list(real_forge, ask, err);
}
static json_t *fetch_real(void *self, int64_t number, struct err *err)
{
	(void)self;
	return forge_fetch(real_forge, number, err);
}
static int upsert_shop(void *self, const struct forge_pull *pull, int64_t *number, struct err *err)
{
	(void)self;
	return strcmp(pull->repository, "lib") == 0 ? err_set(err, ERR_DENIED, "no pull requests here")
						    : forge_upsert(real_forge, pull, number, err);
}
static int review_real(void *self, int64_t number, const char *author, const char *kind, const char *text, const char *operation,
		       struct err *err)
{
	(void)self;
	return forge_review(real_forge, number, author, kind, text, operation, err);
}
static int merge_real(void *self, int64_t number, struct git_hash *merged, struct err *err)
{
	(void)self;
	return forge_merge(real_forge, number, merged, err);
}
static int close_real(void *self, int64_t number, struct err *err)
{
	(void)self;
	return forge_close(real_forge, number, err);
}
static const struct forge_ops half = {"half", list_real, fetch_real, upsert_shop, review_real, merge_real, close_real};

static void what_was_published_is_withdrawn_when_not_all_of_it_can_be(void **state)
{
	AUTO_JSON merged = NULL;

	(void)state;
	real_forge = runs->forge;
	runs->forge = (struct forge){&half, NULL};
	begin_and_work("good|new");
	runs->forge = real_forge;
	state_is("failed");
	pull_is(1, "state", "closed");
	assert_int_equal(number_of("SELECT count(*) FROM run WHERE pull IS NULL"), 1);
	/* whoever tries again gets both, on another branch */
	assert_int_equal(runs_retry(runs, run, NULL), 0);
	assert_int_equal(work_all(), 0);
	state_is("review");
	assert_int_equal(fake.agent_turns, 1);
	pull_is(2, "branch", "assay/1-fix-both-again");
	pull_is(3, "repository", "lib");
	merged = runs_pull_merge(runs, 3, "ann", false, NULL);
	assert_non_null(merged);
	assert_int_equal(work_all(), 0);
	state_is("done");
	main_holds("shop", "good");
	main_holds("lib", "new");
}

/* A person is faster than the second pull request, which cannot be made then. */
static int upsert_late(void *self, const struct forge_pull *pull, int64_t *number, struct err *err)
{
	struct git_hash merged;

	(void)self;
	if (strcmp(pull->repository, "lib") != 0)
		return forge_upsert(real_forge, pull, number, err);
	return forge_merge(real_forge, 1, &merged, err) ? -1 : err_set(err, ERR_DENIED, "no pull requests here");
}
static const struct forge_ops late = {"late", list_real, fetch_real, upsert_late, review_real, merge_real, close_real};

static void what_a_person_merged_before_the_rest_was_published_is_not_published_again(void **state)
{
	AUTO_JSON merged = NULL;

	(void)state;
	real_forge = runs->forge;
	runs->forge = (struct forge){&late, NULL};
	begin_and_work("good|new");
	runs->forge = real_forge;
	state_is("failed");
	pull_is(1, "state", "merged");
	assert_int_equal(runs_retry(runs, run, NULL), 0);
	assert_int_equal(work_all(), 0);
	state_is("review");
	assert_int_equal(number_of("SELECT count(*) FROM pull"), 2);
	pull_is(2, "repository", "lib");
	merged = runs_pull_merge(runs, 2, "ann", false, NULL);
	assert_non_null(merged);
	assert_int_equal(work_all(), 0);
	state_is("done");
	main_holds("shop", "good");
	main_holds("lib", "new");
}

static void of_candidates_over_both_the_proven_one_is_published(void **state)
{
	AUTO_JSON asked = request();
	AUTO_JSON begun = NULL;

	(void)state;
	(void)json_object_set_new(asked, "agent", json_pack("{s:i}", "candidates", 2));
	fake.writes[0] = "bug|bug";
	fake.writes[1] = "good|new";
	fake.writes[2] = "bug|bug";
	begun = runs_start(runs, asked, NULL);
	assert_non_null(begun);
	assert_int_equal(work_all(), 0);
	assert_int_equal(number_of("SELECT count(*) FROM run WHERE joined = 'shop+lib'"), 2);
	assert_int_equal(number_of("SELECT count(*) FROM pull"), 2);
	assert_int_equal(number_of("SELECT count(*) FROM pull WHERE verdict = 'verified'"), 2);
}

static void what_cannot_be_worked_on_together_is_refused(void **state)
{
	static const struct {
		const char *request;
		const char *said;
	} rows[] = {
		{"{\"repositories\": [], \"title\": \"x\"}", "expected 1 to 6"},
		{"{\"repositories\": \"shop\", \"title\": \"x\"}", "expected 1 to 6"},
		{"{\"repositories\": [1], \"title\": \"x\"}", "expected a list of names"},
		{"{\"repositories\": [\"shop\", \"shop\"], \"title\": \"x\"}", "`shop` is there twice"},
		{"{\"repositories\": [\"shop\", \"shop+lib\"], \"title\": \"x\"}", "is no name of a repository"},
		{"{\"repositories\": [\"shop\", \"none\"], \"title\": \"x\"}", "no repository `none`"},
		{"{\"repositories\": [\"shop\", \"lib@nowhere\"], \"title\": \"x\"}", "lib: no commit `nowhere`"},
		{"{\"repositories\": [\"shop\", \"lib\"], \"repository\": \"lib\", \"title\": \"x\"}",
		 "the first of `repositories` is shop"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON asked = json_parse(view_of(rows[i].request), NULL);
		AUTO_JSON begun = NULL;
		struct err err = {0};

		begun = runs_start(runs, asked, &err);
		if (begun || !strstr(err.text, rows[i].said))
			fail_msg("row %zu: %s", i, begun ? "it began" : err.text);
	}
	{
		AUTO_JSON alone = json_pack("{s:[s], s:s}", "repositories", "shop", "title", "Only one");
		AUTO_JSON begun = runs_start(runs, alone, NULL);

		assert_int_equal(json_array_size(json_member(begun, "repositories")), 1);
		assert_int_equal(number_of("SELECT count(*) FROM run WHERE joined IS NULL"), 1);
	}
}

/* ---- crashes ---- */

/* From wherever it stands to the end; -1 when the world died. */
static int live_on(void)
{
	AUTO_JSON merged = NULL;

	if (work_all())
		return -1;
	merged = runs_pull_merge(runs, 1, "ann", false, NULL);
	return merged && !work_all() ? 0 : -1;
}

static void crash_at(int at, bool *died)
{
	(void)story_setup(NULL);
	fake.writes[0] = fake.writes[1] = "good|new";
	fault_count = 0;
	fault_at = at;
	if (!start())
		(void)live_on();
	*died = fake.dead;
	runs_close(runs);
	fake.dead = false;
	fault_at = 0;
	assert_int_equal(open_runs(), 0);
	if ((!number_of("SELECT count(*) FROM run") && start()) || live_on())
		fail_msg("crash at store call %d: it does not go on", at);
	if (number_of("SELECT count(*) FROM pull") != 2 || number_of("SELECT count(*) FROM pull WHERE state = 'merged'") != 2)
		fail_msg("crash at store call %d: %lld pull requests", at, (long long)number_of("SELECT count(*) FROM pull"));
	if (number_of("SELECT count(*) FROM record") != 1 || number_of("SELECT count(*) FROM run WHERE state = 'done'") != 1)
		fail_msg("crash at store call %d: %lld records", at, (long long)number_of("SELECT count(*) FROM record"));
	main_holds("shop", "good");
	main_holds("lib", "new");
	if (fake_alive())
		fail_msg("crash at store call %d: %d environments are left", at, fake_alive());
	(void)story_teardown(NULL);
}

static void a_crash_at_any_store_call_leads_to_the_same_end(void **state)
{
	int step = getenv("ASSAY_LONG") ? 1 : 41;
	int at = 1 + (step == 1 ? 0 : (int)(world_now_ms(world_real) / 86400000 % step));
	bool died = true;
	int crashes = 0;

	(void)state;
	for (; died; at += step) {
		crash_at(at, &died);
		crashes += died;
	}
	assert_true(crashes > 3);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(both_are_worked_on_proven_reviewed_and_merged_together),
		STORY(findings_in_either_go_back_and_only_what_changed_is_published),
		STORY(an_agent_that_changes_nothing_is_told_once),
		STORY(one_that_is_closed_closes_the_other),
		STORY(none_is_merged_when_one_cannot_be),
		STORY(what_was_published_is_withdrawn_when_not_all_of_it_can_be),
		STORY(what_a_person_merged_before_the_rest_was_published_is_not_published_again),
		STORY(of_candidates_over_both_the_proven_one_is_published),
		STORY(what_cannot_be_worked_on_together_is_refused),
		cmocka_unit_test(a_crash_at_any_store_call_leads_to_the_same_end),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
