/* Several clusters as one provider (sandbox/kubernetes/fleet.h): two scripted API servers, each with a kubelet of tests (for root alone). */
#include "kubernetes_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "net/identity.h"
#include "sandbox/kubernetes/fleet.h"

#define NAME "assay.internal"
#define IMAGE "assay:test"
#define OUTPUT_MAX ((size_t)1 << 20)
#define SWEEP_MS 3600000
#define PORTS "127.0.0.1:0"

static const char *const names[] = {"east", "west"};
static struct cluster servers[2];
static char folder[] = "/tmp/assay-fleet-XXXXXX";
static struct buf identity;
static char *authority;
static struct kube_fleet_member members[2];
static struct provider provider;

static const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", NULL};

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

/* ---- begin and end ---- */

static void fleet_begin(int64_t sweep_ms)
{
	struct err err = {0};

	for (size_t i = 0; i < 2; i++) {
		const struct kube_cluster_options options = {
			.site = {.client = servers[i].client, .world = world_real, .owner = "fleet", .snapshot_class = "fast"},
			.rooms = {.image = IMAGE, .name = NAME, .authority = authority},
			.peer = {.cidr = "127.0.0.1/32", .port = 7430},
			.name = names[i],
			.state_dir = folder,
			.image = IMAGE,
			.listen = PORTS,
			.identity = buf_view(&identity),
			.claim_bytes = (int64_t)1 << 30,
			.sweep_ms = sweep_ms};

		members[i].name = names[i];
		good(kube_cluster_open(&options, &members[i].provider, &err), &err);
	}
	good(kube_fleet_open(members, 2, folder, world_real, &provider, &err), &err);
}

static void fleet_end(void)
{
	kube_fleet_close(provider);
	for (size_t i = 0; i < 2; i++)
		kube_cluster_close(members[i].provider);
}

static bool server_begin(size_t which, const char *assay)
{
	if (!cluster_begin(&servers[which], NULL, NULL))
		return false;
	cluster_act(&servers[which], "set",
		    "{\"snapshot_class\": \"fast\", \"kubelet\": {\"base\": \"%s/node-%s\", \"programs\": {\"" IMAGE
		    "\": \"%s\"}}}",
		    folder, names[which], assay);
	return true;
}

/* ---- steps ---- */

static bool is_at(size_t which, struct env_id env)
{
	AUTO_FREE char *prefix = text_format("/namespaces//assay-%s-", env.text);

	return cluster_count(&servers[which], prefix) == 1;
}

static struct env_id env_make(void)
{
	struct env_id env = env_id_new(world_real);
	struct err err = {0};

	good(provider_env_make(provider, env, &err), &err);
	return env;
}

static void env_end(struct env_id env)
{
	struct err err = {0};

	good(provider_env_remove(provider, env, &err), &err);
}

/* At that cluster: others keep the other one busier until it is there. */
static struct env_id env_at(size_t which)
{
	struct env_id passed[8];
	size_t count = 0;
	struct env_id env = env_make();

	while (!is_at(which, env)) {
		assert_true(count < 8);
		passed[count++] = env;
		env = env_make();
	}
	while (count)
		env_end(passed[--count]);
	return env;
}

static bool volume_and_room(struct env_id env, const char *layer, bool *copied)
{
	const struct sandbox_spec spec = {.env = env, .name = "one", .mounts = {{"work", "/workspace", false}}, .mount_count = 1};
	struct err err = {0};

	if (provider_volume_make(provider, env, "work", &layer, layer ? 1 : 0, true, copied, &err) ||
	    provider_sandbox_make(provider, &spec, &err)) {
		print_message("%s\n", err.text);
		return false;
	}
	return true;
}

static void says(struct env_id env, const char *line, const char *wanted)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .fds = {-1, -1, -1}};
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct exit_status status;
	struct err err = {0};
	uint32_t process;
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec.fds[1] = spec.fds[2] = out[1];
	good(provider_program_start(provider, env, "one", &spec, &process, &err), &err);
	(void)close(out[1]);
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	good(provider_program_wait(provider, env, "one", process, 30000, &status, &err), &err);
	buf_add_char(&output, '\0');
	assert_string_equal(output.at, wanted);
}

static bool is_listed(struct env_id env)
{
	struct err err = {0};
	AUTO_JSON list = provider_env_list(provider, &err);
	size_t index, times = 0;
	json_t *row;

	if (!list)
		fail_msg("%s", err.text);
	json_array_foreach(list, index, row)
		times += strcmp(json_text(row, "env", ""), env.text) == 0;
	assert_true(times <= 1);
	return times == 1;
}

static void layer_end(const char *layer)
{
	struct err err = {0};
	int failed = -1;

	for (int i = 0; i < 600 && failed; i++) {
		failed = provider_layer_remove(provider, layer, &err);
		if (failed && err.kind != ERR_CONFLICT)
			break;
		(void)usleep(failed ? 50000 : 0);
	}
	good(failed, &err);
}

/* ---- tests ---- */

static void environments_are_shared_out_and_each_is_wholly_on_one(void **state)
{
	struct env_id envs[4];
	size_t at[2] = {0};
	bool copied;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		envs[i] = env_make();
		at[0] += is_at(0, envs[i]);
		at[1] += is_at(1, envs[i]);
		assert_true(is_at(0, envs[i]) != is_at(1, envs[i]));
		assert_true(is_listed(envs[i]));
	}
	assert_int_equal(at[0], 2);
	assert_int_equal(at[1], 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(volume_and_room(envs[i], NULL, &copied));
		says(envs[i], "echo x >/workspace/f; cat /workspace/f", "x\n");
	}
	assert_int_equal(cluster_count(&servers[0], "/pods/"), 1);
	assert_int_equal(cluster_count(&servers[1], "/pods/"), 1);
	for (size_t i = 0; i < 4; i++)
		env_end(envs[i]);
	for (size_t i = 0; i < 4; i++)
		assert_false(is_listed(envs[i]));
}

static void data_of_one_cluster_is_had_at_the_other_and_forks_go_where_they_go(void **state)
{
	static const char layer[] = "snapshot/db";
	struct env_id east = env_at(0), west, same, fork;
	struct sandbox_spec spec = {.name = "one", .mounts = {{"work", "/workspace", false}}, .mount_count = 1};
	struct err err = {0};
	bool copied;

	(void)state;
	assert_true(volume_and_room(east, NULL, &copied));
	says(east, "echo made >/workspace/f", "");
	good(provider_env_stop(provider, east, &err), &err);
	good(provider_volume_commit(provider, east, "work", layer, NULL, &err), &err);
	same = env_at(0);
	assert_true(volume_and_room(same, layer, &copied));
	assert_false(copied); /* by the storage of the cluster that it was taken on */
	west = env_at(1);
	assert_true(volume_and_room(west, layer, &copied));
	assert_true(copied);
	says(same, "cat /workspace/f", "made\n");
	says(west, "cat /workspace/f; echo more >>/workspace/f", "made\n");
	env_end(east);
	env_end(same);
	assert_int_equal(provider_layer_remove(provider, layer, &err), -1); /* that the other cluster has something of */
	assert_int_equal(err.kind, ERR_CONFLICT);

	good(provider_env_freeze(provider, west, true, &err), &err);
	fork = env_at(0);
	good(provider_volume_clone(provider, west, fork, "work", &err), &err);
	spec.env = fork;
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(fork, "cat /workspace/f", "made\nmore\n");
	env_end(west);
	env_end(fork);
	layer_end(layer);
	fleet_end();
	fleet_begin(200); /* its snapshot is another one's to end than who forgot the layer */
	for (int i = 0; i < 600 && (cluster_count(&servers[0], "snapshot.storage.k8s.io/") ||
				    cluster_count(&servers[1], "snapshot.storage.k8s.io/"));
	     i++)
		(void)usleep(50000);
	assert_int_equal(cluster_count(&servers[0], "snapshot.storage.k8s.io/"), 0);
	assert_int_equal(cluster_count(&servers[1], "snapshot.storage.k8s.io/"), 0);
	fleet_end();
	fleet_begin(SWEEP_MS);
}

/* Its API server answers nothing but errors. */
static void away(size_t which, bool gone)
{
	if (gone)
		cluster_act(&servers[which], "fault", "{\"match\": \"/api|/version\", \"kind\": \"503\", \"count\": 1000000}");
	else
		cluster_act(&servers[which], "heal", "{}");
}

static void a_cluster_that_is_away_keeps_what_it_has_and_gets_nothing_new(void **state)
{
	struct env_id old = env_at(0), fresh[2];
	struct err err = {0};

	(void)state;
	assert_true(is_listed(old));
	away(0, true);
	for (size_t i = 0; i < 2; i++) {
		fresh[i] = env_make();
		assert_true(is_at(1, fresh[i]));
	}
	assert_true(is_listed(old)); /* as it was: nobody may take it for gone */
	fleet_end();
	away(1, true);
	fleet_begin(SWEEP_MS);
	away(1, false);
	assert_int_equal(provider_env_make(provider, old, &err), -1); /* not at the other one, though it alone answers */
	assert_int_equal(err.kind, ERR_RETRY);
	assert_false(is_at(1, old));
	assert_null(provider_env_list(provider, &err)); /* nobody knows any more what it had */
	away(0, false);
	assert_true(is_listed(old));
	good(provider_env_make(provider, old, &err), &err);
	env_end(old);
	env_end(fresh[0]);
	env_end(fresh[1]);
}

static void one_that_refuses_leaves_it_to_the_next_and_is_not_the_first_choice_for_a_while(void **state)
{
	struct env_id envs[3];
	struct err err = {0};

	(void)state;
	cluster_act(&servers[0], "set", "{\"rules\": []}");
	for (size_t i = 0; i < 2; i++) {
		envs[i] = env_make();
		assert_true(is_at(1, envs[i]));
	}
	cluster_act(&servers[0], "set", "{\"rules\": null}");
	envs[2] = env_make();
	assert_true(is_at(1, envs[2]));
	for (size_t i = 0; i < 3; i++)
		env_end(envs[i]);
	cluster_act(&servers[0], "set", "{\"rules\": []}");
	cluster_act(&servers[1], "set", "{\"rules\": []}");
	envs[0] = env_id_new(world_real);
	assert_int_equal(provider_env_make(provider, envs[0], &err), -1);
	assert_non_null(strstr(err.text, "403 Forbidden"));
	cluster_act(&servers[0], "set", "{\"rules\": null}");
	cluster_act(&servers[1], "set", "{\"rules\": null}");
	fleet_end(); /* which forgets the trouble */
	fleet_begin(SWEEP_MS);
}

static void where_one_is_is_known_again_and_one_of_nobody_is_none(void **state)
{
	struct env_id east = env_at(0), unknown = env_id_new(world_real);
	AUTO_FREE char *place = text_format("%s/kubernetes/place-%s", folder, east.text);
	AUTO_FREE char *elsewhere = text_format("%s/kubernetes/place-%s", folder, unknown.text);
	const struct sandbox_spec spec = {.env = unknown, .name = "one"};
	struct err err = {0};

	(void)state;
	assert_true(file_exists(place));
	assert_int_equal(unlink(place), 0); /* as for whoever takes over what another replica had */
	fleet_end();
	fleet_begin(SWEEP_MS);
	good(provider_env_stop(provider, east, &err), &err);
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	env_end(unknown);
	env_end(east);

	/* Of a cluster that nobody names any more: its data is there, so it is made nowhere else. */
	good(file_replace(elsewhere, VIEW("north"), 0600, &err), &err);
	assert_int_equal(provider_env_stop(provider, unknown, &err), -1);
	assert_non_null(strstr(err.text, "north"));
	assert_non_null(strstr(err.text, "kubernetes-context"));
	assert_int_equal(provider_env_make(provider, unknown, &err), -1);
	assert_false(is_at(0, unknown) || is_at(1, unknown));
	assert_int_equal(unlink(elsewhere), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environments_are_shared_out_and_each_is_wholly_on_one),
		cmocka_unit_test(data_of_one_cluster_is_had_at_the_other_and_forks_go_where_they_go),
		cmocka_unit_test(a_cluster_that_is_away_keeps_what_it_has_and_gets_nothing_new),
		cmocka_unit_test(one_that_refuses_leaves_it_to_the_next_and_is_not_the_first_choice_for_a_while),
		cmocka_unit_test(where_one_is_is_known_again_and_one_of_nobody_is_none),
	};
	AUTO_FREE char *assay = argc > 1 ? realpath(argv[1], NULL) : NULL; /* containers are started elsewhere */
	struct err err = {0};
	int failed = 77;

	if (!assay) {
		(void)fprintf(stderr, "usage: contract_kubernetes_fleet ASSAY [TEST]\n");
		return 2;
	}
	if (geteuid() != 0) {
		print_message("a kubelet of tests makes namespaces: for root alone: skipped\n");
		return 77;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder))
		return 1;
	identity = buf_new(65536);
	good(identity_make(NAME, &identity, &err), &err);
	authority = view_copy(identity_public(buf_view(&identity)));
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	if (server_begin(0, assay) && server_begin(1, assay)) {
		fleet_begin(SWEEP_MS);
		failed = cmocka_run_group_tests(tests, NULL, NULL);
		fleet_end();
	}
	for (size_t i = 0; i < 2; i++) {
		if (servers[i].base)
			cluster_unwrong(&servers[i]);
		if (servers[i].base)
			cluster_end(&servers[i]);
	}
	buf_fini(&identity);
	free(authority);
	(void)!file_remove_tree(folder, &err);
	return failed;
}
