/*
 * The keeper dies at every request it gets: before it is read, and after it was done but before its answer. Whatever an environment's
 * caller is told then, nothing of the environment is left. Needs root.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "fixture.h"
#include "sandbox/environment.h"
#include "sandbox/local/local.h"

#define GONE_LIMIT_MS 60000 /* for a machine under load */
#define VISITS_MAX 200

static char state_dir[] = "/tmp/assay-keeper-dies-XXXXXX";
static char *repository;
static struct git_hash first;
static struct provider local;
static struct provider_ops dying_ops;
static struct environments *environments;

static const struct fixture_file files[] = {
	{"assay.yaml",
	 "version: 1\nname: small\nservices:\n  idle: {run: 'exec sleep 1000'}\ndatabases:\n  cache: {engine: redis}\n"}};

/* ---- a provider whose keeper dies at one of its requests ---- */

enum death { DIES_NEVER, DIES_UNREAD, DIES_UNANSWERED, DIES_ALWAYS };

static enum death death;
static int fatal; /* the request at which it dies, from 0 */
static int visits;

static void keeper_kill(void)
{
	(void)kill(local_provider_keeper(local), SIGKILL);
}

static bool dies_now(enum death how)
{
	int visit = how == DIES_UNREAD ? __atomic_fetch_add(&visits, 1, __ATOMIC_SEQ_CST)
				       : __atomic_load_n(&visits, __ATOMIC_SEQ_CST) - 1;

	return death == how && visit == fatal;
}

static int answer_lost(int result, struct err *err)
{
	if (!dies_now(DIES_UNANSWERED))
		return result;
	keeper_kill();
	return err_set(err, ERR_RETRY, "the keeper ended before it answered");
}

#define DYING(verb, parameters, ...)                                   \
	static int dying_##verb parameters                             \
	{                                                              \
		if (dies_now(DIES_UNREAD))                             \
			keeper_kill();                                 \
		return answer_lost(local.ops->verb(__VA_ARGS__), err); \
	}

DYING(env_make, (void *self, struct env_id env, struct err *err), self, env, err)
DYING(env_stop, (void *self, struct env_id env, struct err *err), self, env, err)
DYING(env_freeze, (void *self, struct env_id env, bool frozen, struct err *err), self, env, frozen, err)
DYING(volume_make,
      (void *self, struct env_id env, const char *volume, const char *const *layers, size_t count, bool blocks, bool *copied,
       struct err *err),
      self, env, volume, layers, count, blocks, copied, err)
DYING(volume_remove, (void *self, struct env_id env, const char *volume, struct err *err), self, env, volume, err)
DYING(sandbox_make, (void *self, const struct sandbox_spec *spec, struct err *err), self, spec, err)
DYING(sandbox_remove, (void *self, struct env_id env, const char *name, struct err *err), self, env, name, err)

static int dying_env_remove(void *self, struct env_id env, struct err *err)
{
	if (death == DIES_ALWAYS) {
		keeper_kill();
		return err_set(err, ERR_RETRY, "the keeper ends whenever it removes");
	}
	if (dies_now(DIES_UNREAD))
		keeper_kill();
	return answer_lost(local.ops->env_remove(self, env, err), err);
}

/* ---- the manager over it ---- */

static void manager_open(void)
{
	struct err err = {0};
	struct local_options options = {.state_dir = state_dir, .program = fixture_self(), .runtime = getenv("ASSAY_RUNTIME")};

	must(local_provider_open(&options, &local, &err), &err);
	dying_ops = *local.ops;
	dying_ops.env_make = dying_env_make;
	dying_ops.env_remove = dying_env_remove;
	dying_ops.env_stop = dying_env_stop;
	dying_ops.env_freeze = dying_env_freeze;
	dying_ops.volume_make = dying_volume_make;
	dying_ops.volume_remove = dying_volume_remove;
	dying_ops.sandbox_make = dying_sandbox_make;
	dying_ops.sandbox_remove = dying_sandbox_remove;
	must(environments_open(&(struct environments_options){.state_dir = state_dir,
							      .provider = {&dying_ops, local.self},
							      .preview_base = "127.0.0.1:7421",
							      .world = world_real},
			       &environments, &err),
	     &err);
}

static void manager_close(void)
{
	environments_close(environments);
	local_provider_close(local);
}

static int up(struct env_id *id, bool volatile_, struct err *err)
{
	return environment_up(
		environments,
		&(struct environment_spec){.repository = repository, .commit = first, .purpose = "test", .volatile_ = volatile_},
		false, (struct progress){0}, id, err);
}

/* Nothing in the list, nothing at the provider. */
static bool nothing_is_left(void)
{
	AUTO_JSON listed = environment_list(environments, NULL);
	AUTO_JSON exists = local.ops->env_list(local.self, NULL);

	return json_array_size(listed) == 0 && exists && json_array_size(exists) == 0;
}

static void nothing_is_left_soon(const char *when)
{
	int64_t deadline_ms = world_elapsed_ms(world_real) + GONE_LIMIT_MS;
	AUTO_FREE char *dir = text_format("%s/envs", state_dir);

	while (!nothing_is_left()) {
		if (world_elapsed_ms(world_real) > deadline_ms) {
			AUTO_JSON listed = environment_list(environments, NULL);
			AUTO_FREE char *text = json_dumps(listed, 0);

			fail_msg("%s, request %d: an environment is left: %s", when, fatal, text);
		}
		(void)usleep(20000);
	}
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(file_make_dirs(dir, 0750, NULL), 0);
}

static void one_story(enum death how, const char *when)
{
	struct env_id id = {{0}};
	struct err err = {0};

	visits = 0;
	death = how;
	if (up(&id, true, &err) == 0)
		(void)!environment_down(environments, id, &err); /* whatever it says: who asked for it owes it nothing more */
	death = DIES_NEVER;
	nothing_is_left_soon(when);
}

static void whenever_the_keeper_dies_nothing_of_an_environment_is_left(void **state)
{
	static const struct {
		enum death how;
		const char *when;
	} rows[] = {{DIES_UNREAD, "it dies before it reads"}, {DIES_UNANSWERED, "it dies before it answers"}};

	(void)state;
	one_story(DIES_NEVER, "it lives"); /* makes the layers */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fatal = 0;
		do
			one_story(rows[i].how, rows[i].when);
		while (++fatal < visits && fatal < VISITS_MAX);
		printf("# %s: %d requests\n", rows[i].when, fatal);
		assert_true(fatal > 5);
	}
}

/* One that is up and was to be removed while the keeper died again and again. */
static void removal_fails(void)
{
	struct env_id id = {{0}};
	struct err err = {0};

	must(up(&id, false, &err), &err);
	death = DIES_ALWAYS;
	assert_int_equal(environment_down(environments, id, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
}

static void one_that_cannot_be_removed_now_is_removed_later(void **state)
{
	(void)state;
	removal_fails();
	death = DIES_NEVER;
	nothing_is_left_soon("it died twice");
}

static void one_that_could_not_be_removed_is_removed_by_the_next_manager(void **state)
{
	struct err err = {0};

	(void)state;
	removal_fails();
	manager_close();
	death = DIES_NEVER;
	manager_open();
	must(environment_reconcile(environments, &err), &err);
	nothing_is_left_soon("until a restart");
}

static void *keeper_kill_soon(void *environment)
{
	const struct env_id *id = environment;
	AUTO_JSON shown = NULL;

	/* Once the program runs. */
	do {
		(void)usleep(10000);
		json_decref(shown);
		shown = environment_show(environments, *id, NULL);
	} while (json_number(json_array_get(json_member(shown, "sandboxes"), 0), "cpu_ms", 0) < 30);
	keeper_kill();
	return NULL;
}

static void what_was_asked_of_a_sandbox_that_is_destroyed_has_no_answer(void **state)
{
	static const char *const argv[] = {"sh", "-c", "while :; do :; done", NULL};
	struct environment_exec exec = {.sandbox = "workspace", .argv = argv};
	struct exit_status status = {0};
	struct env_id id = {{0}};
	struct err err = {0};
	pthread_t killer;

	(void)state;
	must(up(&id, true, &err), &err);
	must(environment_intact(environments, id, &err), &err);
	assert_int_equal(pthread_create(&killer, NULL, keeper_kill_soon, &id), 0);
	assert_int_equal(environment_exec(environments, id, &exec, &status, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_int_equal(pthread_join(killer, NULL), 0);
	assert_int_equal(environment_intact(environments, id, &err), -1);
	nothing_is_left_soon("it was volatile");
}

/* ---- all of it ---- */

static int everything_begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(state_dir));
	repository = fixture_repository(state_dir, "small", files, ARRAY_LEN(files), &first);
	manager_open();
	return 0;
}

static int everything_end(void **state)
{
	(void)state;
	manager_close();
	free(repository);
	return fixture_remove(state_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whenever_the_keeper_dies_nothing_of_an_environment_is_left),
		cmocka_unit_test(what_was_asked_of_a_sandbox_that_is_destroyed_has_no_answer),
		cmocka_unit_test(one_that_cannot_be_removed_now_is_removed_later),
		cmocka_unit_test(one_that_could_not_be_removed_is_removed_by_the_next_manager),
	};

	return fixture_main(argc, argv, "keeper_dies", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
