/* Environments on a cluster, at a scripted API server: what they are made of, that they go, and that no death in between leaves or doubles one. */
#include "kubernetes_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/tree.h"
#include "sandbox/kubernetes/check.h"

#define SKIPPED 77 /* for meson */
#define WAIT_MS 20000
#define OWNER "test"
#define CALLS_TO_MAKE 40
#define CALLS_TO_REMOVE 3
#define DEATHS_MAX 40

static struct cluster cluster;
static struct kube_site site;

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

static struct env_id env_make(char space[KUBE_NAME_MAX])
{
	struct env_id env = env_id_new(world_real);
	struct err err = {0};

	good(kube_space_make(&site, env, space, &err), &err);
	return env;
}

static void env_gone(struct env_id env)
{
	struct err err = {0};

	good(kube_space_remove(&site, env, &err), &err);
	good(kube_space_wait_gone(&site, env, WAIT_MS, &err), &err);
}

static void pod_put(const char *space, const char *name)
{
	static const char *const argv[] = {"sleep", "1", NULL};
	static const struct kube_container beside = {"gateway", "gateway:1", argv, 9000};
	const struct kube_pod_spec spec = {.space = space,
					   .name = name,
					   .main = {"main", "app:1", argv, 80},
					   .sidecar = &beside,
					   .queue = "q",
					   .deadline_s = 60};
	AUTO_JSON pod = kube_pod_object(&spec);
	struct err err = {0};

	good(kube_pod_put(&site, pod, &err), &err);
}

static json_t *object_find(const char *path)
{
	AUTO_JSON state = cluster_state(&cluster);
	size_t index;
	json_t *object;

	json_array_foreach(json_member(state, "objects"), index, object)
		if (strcmp(json_text(object, "path", ""), path) == 0)
			return json_incref(json_member(object, "object"));
	fail_msg("%s is not there", path);
	return NULL;
}

/* ---- what it is ---- */

static void an_environment_is_a_namespace_with_walls(void **state)
{
	static const char *const paths[] = {"/resourcequotas/%s/assay", "/limitranges/%s/assay", "/serviceaccounts/%s/assay",
					    "networking.k8s.io/networkpolicies/%s/assay-deny"};
	char space[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	AUTO_FREE char *path = text_format("/namespaces//%s", space);
	AUTO_JSON object = object_find(path);
	const json_t *labels = json_member(json_member(object, "metadata"), "labels");

	(void)state;
	assert_int_equal(strncmp(space, "assay-e", 7), 0);
	assert_string_equal(json_text(labels, "pod-security.kubernetes.io/enforce", ""), "restricted");
	assert_string_equal(json_text(labels, KUBE_LABEL_OWNER, ""), OWNER);
	assert_string_equal(json_text(labels, KUBE_LABEL_ENVIRONMENT, ""), env.text);
	assert_true(kube_space_expires_ms(object) > world_now_ms(world_real));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const char *rest = strstr(paths[i], "%s") + 2;
		AUTO_FREE char *full = text_format("%.*s%s%s", (int)(strstr(paths[i], "%s") - paths[i]), paths[i], space, rest);
		AUTO_JSON there = object_find(full);

		assert_non_null(there);
	}
	env_gone(env);
	assert_int_equal(cluster_count(&cluster, ""), 0);
}

static void making_it_again_changes_nothing(void **state)
{
	char first[KUBE_NAME_MAX], second[KUBE_NAME_MAX];
	struct env_id env = env_make(first);
	AUTO_JSON before = cluster_state(&cluster);
	AUTO_JSON after = NULL;
	struct err err = {0};

	(void)state;
	good(kube_space_make(&site, env, second, &err), &err);
	assert_string_equal(first, second);
	after = cluster_state(&cluster);
	assert_int_equal(json_number(before, "version", 0), json_number(after, "version", 1));
	env_gone(env);
	good(kube_space_make(&site, env, second, &err), &err);
	assert_string_not_equal(first, second);
	env_gone(env);
}

static void what_holds_a_namespace_is_told_and_one_that_is_gone_is_no_error(void **state)
{
	char space[KUBE_NAME_MAX], next[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	AUTO_FREE char *path = text_format("/api/v1/namespaces/%s/resourcequotas/assay", space);
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "finalizers", "{\"path\": \"%s\", \"finalizers\": [\"spin.example/x\"]}", path);
	good(kube_space_remove(&site, env, &err), &err);
	assert_int_equal(kube_space_wait_gone(&site, env, 0, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "finalizers remaining: spin.example/x"));
	AUTO_JSON list = kube_space_list(&site, &err);
	assert_int_equal(json_array_size(list), 1);
	assert_true(json_flag(json_array_get(list, 0), "ending", false));
	assert_non_null(strstr(json_text(json_array_get(list, 0), "why", ""), "spin.example/x"));
	good(kube_space_remove(&site, env, &err), &err); /* again: it is on its way */
	good(kube_space_make(&site, env, next, &err), &err);
	assert_string_not_equal(space, next);
	cluster_act(&cluster, "finalizers", "{\"path\": \"%s\", \"finalizers\": []}", path);
	env_gone(env);
	good(kube_space_remove(&site, env, &err), &err);
}

static void owners_are_values_of_labels(void **state)
{
	static const char *const bad[] = {"",    "a b",   "-a", "a-",
					  "a/b", "a,b=c", "ä",  "a123456789012345678901234567890123456789012345678901234567890123"};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(kube_owner_check(bad[i], &err), -1);
	good(kube_owner_check("a.B_c-1", &err), &err);
}

/* ---- sweeping ---- */

struct wanted {
	struct env_id env;
};

static bool is_wanted(void *self, struct env_id env)
{
	const struct wanted *wanted = self;

	return strcmp(wanted->env.text, env.text) == 0;
}

static void leftovers_doubles_and_what_expired_are_swept_and_nothing_else(void **state)
{
	char space[KUBE_NAME_MAX];
	struct wanted wanted = {env_make(space)};
	struct env_id left = env_make(space), expired = env_id_new(world_real);
	int removed = 0;
	bool frozen;
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "put",
		    "{\"path\": \"/api/v1/namespaces/assay-%s-000000\", \"object\": {\"metadata\": {\"name\": \"assay-%s-000000\", "
		    "\"creationTimestamp\": \"2999-01-01T00:00:00Z\", \"labels\": {\"%s\": \"%s\", \"%s\": \"%s\"}}}}",
		    wanted.env.text, wanted.env.text, KUBE_LABEL_OWNER, OWNER, KUBE_LABEL_ENVIRONMENT, wanted.env.text);
	cluster_act(
		&cluster, "put",
		"{\"path\": \"/api/v1/namespaces/not-our-name\", \"object\": {\"metadata\": {\"name\": \"not-our-name\", \"labels\": "
		"{\"%s\": \"%s\", \"%s\": \"%s\"}}}}",
		KUBE_LABEL_OWNER, OWNER, KUBE_LABEL_ENVIRONMENT, left.text);
	cluster_act(
		&cluster, "put",
		"{\"path\": \"/api/v1/namespaces/of-another\", \"object\": {\"metadata\": {\"name\": \"of-another\", \"labels\": {\"%s\": "
		"\"other\", \"%s\": \"%s\"}}}}",
		KUBE_LABEL_OWNER, KUBE_LABEL_ENVIRONMENT, expired.text);
	cluster_act(
		&cluster, "put",
		"{\"path\": \"/api/v1/namespaces/strange\", \"object\": {\"metadata\": {\"name\": \"strange\", \"labels\": {\"%s\": \"%s\", "
		"\"%s\": \"?\"}}}}",
		KUBE_LABEL_OWNER, OWNER, KUBE_LABEL_ENVIRONMENT);
	good(kube_space_sweep(&site, is_wanted, &wanted, &removed, &err), &err);
	assert_int_equal(removed, 2);
	good(kube_space_wait_gone(&site, left, WAIT_MS, &err), &err);
	for (int i = 0; i < 200 && cluster_count(&cluster, "/namespaces//assay-") > 1; i++) /* the double goes, too */
		(void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	assert_int_equal(cluster_count(&cluster, "/namespaces//assay-"), 1);
	good(kube_space_find(&site, wanted.env, space, &frozen, &err), &err); /* the older one stays, whatever their names */
	assert_string_not_equal(space + strlen(space) - 6, "000000");
	assert_int_equal(cluster_count(&cluster, "/namespaces//not-our-name"), 1);
	assert_int_equal(cluster_count(&cluster, "/namespaces//of-another"), 1);
	assert_int_equal(cluster_count(&cluster, "/namespaces//strange"), 1);
	site.life_ms = -1000; /* over before it begins */
	good(kube_space_make(&site, expired, space, &err), &err);
	site.life_ms = 3600000;
	wanted.env = expired;
	good(kube_space_sweep(&site, is_wanted, &wanted, &removed, &err), &err);
	assert_int_equal(removed, 2);
}

/* ---- pods ---- */

static void a_pod_is_waited_for_until_it_is_what_it_will_be(void **state)
{
	char space[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	struct kube_pod_state pod;
	struct err err = {0};

	(void)state;
	pod_put(space, "ready");
	good(kube_pod_wait(&site, space, "ready", false, WAIT_MS, &pod, &err), &err);
	assert_int_equal(pod.phase, KUBE_POD_READY);
	cluster_act(&cluster, "set", "{\"ends\": {\"three\": 3, \"zero\": 0}}");
	pod_put(space, "three");
	good(kube_pod_wait(&site, space, "three", true, WAIT_MS, &pod, &err), &err);
	assert_int_equal(pod.phase, KUBE_POD_ENDED);
	assert_int_equal(pod.exit_code, 3);
	pod_put(space, "zero");
	good(kube_pod_wait(&site, space, "zero", false, WAIT_MS, &pod, &err), &err);
	assert_int_equal(pod.exit_code, 0);
	assert_int_equal(kube_pod_wait(&site, space, "ready", true, 0, &pod, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	env_gone(env);
}

static void a_quota_that_is_not_counted_yet_is_waited_for(void **state)
{
	char space[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	AUTO_JSON seen = NULL;

	(void)state;
	cluster_act(&cluster, "fault", "{\"match\": \"PATCH .*/pods/\", \"kind\": \"uncounted\", \"count\": 3}");
	pod_put(space, "p");
	seen = cluster_state(&cluster);
	assert_int_equal(json_array_size(json_member(seen, "faults")), 0);
	env_gone(env);
}

static void a_pod_that_will_not_become_ready_says_why_in_the_clusters_words(void **state)
{
	char space[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	struct kube_pod_state pod;
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "set", "{\"pods\": \"hold\"}");
	pod_put(space, "p");
	cluster_act(
		&cluster, "put",
		"{\"path\": \"/api/v1/namespaces/%s/events/e\", \"object\": {\"metadata\": {\"name\": \"e\"}, \"type\": \"Warning\", \"reason\": "
		"\"Failed\", \"message\": \"no such host registry\", \"involvedObject\": {\"kind\": \"Pod\", \"name\": \"p\"}}}",
		space);
	cluster_act(
		&cluster, "status",
		"{\"path\": \"/api/v1/namespaces/%s/pods/p\", \"status\": {\"phase\": \"Pending\", \"containerStatuses\": [{\"name\": \"main\", "
		"\"state\": {\"waiting\": {\"reason\": \"ErrImagePull\", \"message\": \"not found\"}}}]}}",
		space);
	assert_int_equal(kube_pod_wait(&site, space, "p", false, WAIT_MS, &pod, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, "main: ErrImagePull: not found; Failed: no such host registry"));
	cluster_act(
		&cluster, "status",
		"{\"path\": \"/api/v1/namespaces/%s/pods/p\", \"status\": {\"phase\": \"Pending\", \"conditions\": [{\"type\": \"PodScheduled\", "
		"\"status\": \"False\", \"reason\": \"Unschedulable\", \"message\": \"0/1 nodes are available\"}]}}",
		space);
	assert_int_equal(kube_pod_wait(&site, space, "p", false, 0, &pod, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "Unschedulable: 0/1 nodes are available"));
	env_gone(env);
}

static void states_of_pods_are_told_apart(void **state)
{
#define CONTAINER(kind, rest) "\"containerStatuses\": [{\"name\": \"m\", \"state\": {\"" kind "\": {" rest "}}}]"
	static const struct {
		const char *status;
		enum kube_pod_phase phase;
		int code;
		const char *why;
	} rows[] = {
		{"", KUBE_POD_WAITS, 0, ""},
		{"\"phase\": \"Pending\"", KUBE_POD_WAITS, 0, ""},
		{"\"conditions\": [{\"type\": \"PodScheduled\", \"status\": \"False\", \"reason\": \"SchedulingGated\"}]",
		 KUBE_POD_QUEUED, 0, "SchedulingGated: "},
		{"\"phase\": \"Running\", \"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"}]", KUBE_POD_READY, 0, ""},
		{"\"phase\": \"Running\", \"conditions\": [{\"type\": \"Ready\", \"status\": \"False\"}]", KUBE_POD_WAITS, 0, ""},
		{"\"phase\": \"Succeeded\", " CONTAINER("terminated", "\"exitCode\": 0, \"reason\": \"Completed\""), KUBE_POD_ENDED,
		 0, "Completed"},
		{"\"phase\": \"Failed\", " CONTAINER("terminated", "\"exitCode\": 3, \"reason\": \"Error\""), KUBE_POD_ENDED, 3,
		 "Error"},
		{"\"phase\": \"Failed\", " CONTAINER("terminated", "\"exitCode\": 137, \"reason\": \"OOMKilled\""), KUBE_POD_FAILED,
		 137, "OOMKilled"},
		{"\"phase\": \"Failed\", \"reason\": \"DeadlineExceeded\", " CONTAINER("terminated",
										       "\"exitCode\": 137, \"reason\": \"Error\""),
		 KUBE_POD_FAILED, 137, "DeadlineExceeded"},
		{"\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"disk\"", KUBE_POD_FAILED, -1, "Evicted: disk"},
		{CONTAINER("waiting", "\"reason\": \"ContainerCreating\""), KUBE_POD_WAITS, 0, ""},
		{CONTAINER("waiting", "\"reason\": \"ImagePullBackOff\", \"message\": \"x\""), KUBE_POD_FAILED, 0,
		 "m: ImagePullBackOff: x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = text_format("{\"status\": {%s}}", rows[i].status);
		AUTO_JSON pod = json_parse(view_of(text), NULL);
		struct kube_pod_state got;

		assert_non_null(pod);
		kube_pod_judge(pod, &got);
		if (got.phase != rows[i].phase || got.exit_code != rows[i].code || strcmp(got.why, rows[i].why) != 0)
			fail_msg("row %zu: %d, %d, %s", i, (int)got.phase, got.exit_code, got.why);
	}
}

/* ---- how much is asked ---- */

static void an_environment_costs_few_requests(void **state)
{
	uint64_t before = kube_client_requests(cluster.client);
	char space[KUBE_NAME_MAX];
	struct env_id env = env_make(space);
	uint64_t made, removed;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 5; i++) {
		AUTO_FREE char *name = text_format("p%d", i);

		pod_put(space, name);
	}
	made = kube_client_requests(cluster.client) - before;
	good(kube_space_remove(&site, env, &err), &err);
	removed = kube_client_requests(cluster.client) - before - made;
	print_message("requests to make one with five pods: %llu, to remove it: %llu\n", (unsigned long long)made,
		      (unsigned long long)removed);
	assert_true(made <= CALLS_TO_MAKE);
	assert_true(removed <= CALLS_TO_REMOVE);
	good(kube_space_wait_gone(&site, env, WAIT_MS, &err), &err);
}

/* ---- deaths ---- */

/* What a control plane does, in a process that is killed at its request number `at`. False: it came to its end before. */
static bool dies(struct env_id env, bool removes, int at, const char *when)
{
	int go[2], status = 0;
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe(go), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct kube_site mine = site;
		char space[KUBE_NAME_MAX];
		struct err err = {0};
		static const char *const argv[] = {"sleep", "1", NULL};

		if (read(go[0], &byte, 1) != 1)
			_exit(9);
		mine.client = kube_client_open(cluster.config, world_real);
		if (removes)
			_exit(kube_space_remove(&mine, env, &err) ? 8 : 0);
		if (kube_space_make(&mine, env, space, &err))
			_exit(7);
		const struct kube_pod_spec spec = {.space = space, .name = "p", .main = {"main", "app:1", argv, 0}};
		_exit(kube_object_put(&mine, kube_pod_object(&spec), &err) ? 6 : 0);
	}
	cluster_act(&cluster, "set", "{\"kill\": {\"at\": %d, \"when\": \"%s\", \"pid\": %d}}", at, when, (int)child);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	(void)close(go[0]);
	(void)close(go[1]);
	cluster_act(&cluster, "set", "{\"kill\": null}");
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static bool none_wanted(void *self, struct env_id env)
{
	(void)self;
	(void)env;
	return false;
}

static void all_gone(struct env_id env)
{
	int removed;
	struct err err = {0};

	good(kube_space_sweep(&site, none_wanted, NULL, &removed, &err), &err);
	good(kube_space_wait_gone(&site, env, WAIT_MS, &err), &err);
	assert_int_equal(cluster_count(&cluster, ""), 0);
}

static void no_death_leaves_or_doubles_an_environment(void **state)
{
	static const char *const whens[] = {"before", "after"};
	int deaths = 0;

	(void)state;
	for (size_t when = 0; when < ARRAY_LEN(whens); when++)
		for (int going_on = 0; going_on < 2; going_on++)
			for (int at = 1; at <= DEATHS_MAX; at++) {
				struct env_id env = env_id_new(world_real);
				char space[KUBE_NAME_MAX];
				struct err err = {0};

				if (!dies(env, false, at, whens[when])) {
					all_gone(env);
					break;
				}
				deaths++;
				if (going_on) { /* the next control plane makes what should be */
					good(kube_space_make(&site, env, space, &err), &err);
					pod_put(space, "p");
					assert_int_equal(cluster_count(&cluster, "/namespaces//"), 1);
					assert_int_equal(cluster_count(&cluster, "/pods/"), 1);
				}
				all_gone(env);
			}
	print_message("killed %d times while it was made\n", deaths);
	assert_true(deaths >= 4 * 7);
}

static void no_death_keeps_an_environment_that_was_to_go(void **state)
{
	static const char *const whens[] = {"before", "after"};
	int deaths = 0;

	(void)state;
	for (size_t when = 0; when < ARRAY_LEN(whens); when++)
		for (int at = 1; at <= DEATHS_MAX; at++) {
			char space[KUBE_NAME_MAX];
			struct env_id env = env_make(space);
			bool died = dies(env, true, at, whens[when]);

			deaths += died;
			env_gone(env);
			assert_int_equal(cluster_count(&cluster, ""), 0);
			if (!died)
				break;
		}
	print_message("killed %d times while it was removed\n", deaths);
	assert_true(deaths >= 4);
}

/* ---- what we may do ---- */

static json_t *json_of(const struct tree_node *node)
{
	json_t *json = node->kind == TREE_LIST ? json_array() : node->kind == TREE_MAP ? json_object() : json_string(node->text);

	for (size_t i = 0; i < node->count; i++)
		if (node->kind == TREE_LIST)
			(void)json_array_append_new(json, json_of(node->items[i]));
		else if (node->kind == TREE_MAP)
			(void)json_object_set_new(json, node->pairs[i].key->text, json_of(node->pairs[i].value));
	return json;
}

/* The rules of the first document of a file of deploy/kubernetes. */
static json_t *rules_read(const char *file)
{
	const char *root = getenv("ASSAY_SOURCE_ROOT");
	AUTO_FREE char *path = text_format("%s/deploy/kubernetes/%s", root ? root : ".", file);
	AUTO_BUF text = buf_new(TREE_BYTES_MAX);
	AUTO_ARENA arena = {.used = 0};
	const struct tree_node *node;
	struct err err = {0};

	good(file_read(path, &text, &err), &err);
	buf_add_char(&text, '\0');
	if (strstr(text.at, "\n---\n"))
		text.length = (size_t)(strstr(text.at, "\n---\n") - text.at) + 2;
	text.at[--text.length] = '\0';
	node = tree_parse(buf_view(&text), path, TREE_STRICT, &arena, &err);
	if (!node)
		fail_msg("%s", err.text);
	AUTO_JSON role = json_of(node);
	return json_incref(json_member(role, "rules"));
}

static json_t *role_read(void)
{
	return rules_read("clusterrole.yaml");
}

static bool has_text(const json_t *list, const char *text)
{
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
		if (strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

/* The rules, each for one verb of one resource: {"apiGroups", "resources", "verbs"}. */
static json_t *rules_split(const json_t *rules)
{
	json_t *single = json_array();
	size_t r, i, v;
	json_t *rule, *resource, *verb;

	json_array_foreach(rules, r, rule)
		json_array_foreach(json_member(rule, "resources"), i, resource)
			json_array_foreach(json_member(rule, "verbs"), v, verb)
				(void)json_array_append_new(single, json_pack("{s:O, s:[O], s:[O]}", "apiGroups",
									      json_member(rule, "apiGroups"), "resources", resource,
									      "verbs", verb));
	return single;
}

static void granted_exactly(const char *file, const struct kube_need *needs)
{
	AUTO_JSON rules = rules_read(file);
	AUTO_JSON single = rules_split(rules);
	size_t count = 0;

	for (const struct kube_need *need = needs; need->verb; need++, count++) {
		bool granted = false;
		size_t index;
		json_t *rule;

		json_array_foreach(single, index, rule)
			granted = granted || (has_text(json_member(rule, "apiGroups"), need->group) &&
					      has_text(json_member(rule, "resources"), need->resource) &&
					      has_text(json_member(rule, "verbs"), need->verb));
		if (!granted)
			fail_msg("the role does not grant %s %s", need->verb, need->resource);
	}
	assert_int_equal(json_array_size(single), count);
}

static void the_roles_are_what_is_asked_for(void **state)
{
	(void)state;
	granted_exactly("clusterrole.yaml", kube_needs);
	granted_exactly("snapshots.yaml", kube_snapshot_needs);
}

static bool rows_good(const json_t *rows)
{
	bool whole = true;
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row)
		whole = whole && (json_flag(row, "ok", false) || strcmp(json_text(row, "level", ""), "needed") != 0);
	return whole;
}

static void role_set(const json_t *rules)
{
	AUTO_BUF text = buf_new(65536);

	json_format(&text, rules);
	cluster_act(&cluster, "set",
		    "{\"rules\": %s, \"logs\": \"assay-conformance\\n\", \"ends\": {\"stranger\": 7, \"friend\": 0}}", text.at);
}

static void what_snapshots_need_is_asked_for_where_they_are_wanted(void **state)
{
	struct kube_site with = site;
	AUTO_JSON rules = role_read();
	AUTO_JSON without = NULL;
	AUTO_JSON rows = NULL;
	AUTO_BUF text = buf_new(65536);

	(void)state;
	cluster_act(&cluster, "reset", "{}");
	role_set(rules);
	without = kube_check(&with);
	assert_true(rows_good(without));
	with.snapshot_class = "fast";
	rows = kube_check(&with);
	assert_false(rows_good(rows));
	json_format(&text, rows);
	assert_non_null(strstr(text.at, "may not create volumesnapshots.snapshot.storage.k8s.io"));
	assert_non_null(strstr(text.at, "deploy/kubernetes/snapshots.yaml"));
}

/* All that we do on a cluster. */
static bool everything_works(void)
{
	struct kube_pod_state pod;
	char space[KUBE_NAME_MAX];
	struct env_id env = env_id_new(world_real);
	AUTO_JSON rows = kube_conform(&site, "busybox", WAIT_MS, NULL);
	struct err err = {0};
	bool told;

	if (!rows_good(rows) || kube_space_make(&site, env, space, &err))
		return false;
	cluster_act(
		&cluster, "put",
		"{\"path\": \"/api/v1/namespaces/%s/events/e\", \"object\": {\"metadata\": {\"name\": \"e\"}, \"type\": \"Warning\", \"reason\": "
		"\"Failed\", \"message\": \"the event\", \"involvedObject\": {\"kind\": \"Pod\", \"name\": \"absent\"}}}",
		space);
	told = kube_pod_wait(&site, space, "absent", false, 0, &pod, &err) && strstr(err.text, "the event");
	return told && kube_space_remove(&site, env, &err) == 0;
}

/* What only rooms need: tests/contract/provider_kubernetes.c takes each of these away. */
static bool is_of_rooms(const char *named)
{
	static const char *const verbs[] = {"delete pods", "configmaps", "persistentvolumeclaims", "tokenreviews"};

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strstr(named, verbs[i]))
			return true;
	return false;
}

static void without_any_verb_of_the_role_something_fails_and_the_check_names_it(void **state)
{
	AUTO_JSON rules = role_read();
	AUTO_JSON single = rules_split(rules);

	(void)state;
	role_set(single);
	assert_true(everything_works());
	for (size_t i = 0; i < json_array_size(single); i++) {
		AUTO_JSON fewer = json_copy(single);
		const json_t *rule = json_array_get(single, i);
		const char *verb = json_string_value(json_array_get(json_member(rule, "verbs"), 0));
		const char *resource = json_string_value(json_array_get(json_member(rule, "resources"), 0));
		AUTO_FREE char *named = text_format("%s %s", verb, resource);
		AUTO_BUF text = buf_new(65536);

		(void)json_array_remove(fewer, i);
		cluster_act(&cluster, "reset", "{}");
		role_set(fewer);
		AUTO_JSON rows = kube_check(&site);
		json_format(&text, rows);
		if (rows_good(rows) || !strstr(text.at, named))
			fail_msg("the check does not name %s: %s", named, text.at);
		if (!is_of_rooms(named) && everything_works())
			fail_msg("nothing needs %s", named);
	}
}

static void the_check_says_what_a_cluster_is_and_lacks(void **state)
{
	AUTO_BUF text = buf_new(65536);
	AUTO_JSON rows = NULL;
	AUTO_JSON old = NULL;

	(void)state;
	cluster_act(&cluster, "set", "{\"groups\": [\"kueue.x-k8s.io\"]}");
	rows = kube_check(&site);
	assert_true(rows_good(rows));
	json_format(&text, rows);
	assert_non_null(strstr(text.at, "\"found\":\"v1.35.6\""));
	assert_non_null(strstr(text.at, "\"found\":\"kueue.x-k8s.io\""));
	assert_non_null(strstr(text.at, "databases will be copied"));
	cluster_act(&cluster, "set", "{\"version\": \"1.32\"}");
	old = kube_check(&site);
	assert_false(rows_good(old));
}

static void a_cluster_whose_walls_do_not_hold_fails_the_conformance(void **state)
{
	static const struct {
		const char *set, *check;
	} rows[] = {
		{"{\"logs\": \"assay-conformance\", \"ends\": {\"stranger\": 0, \"friend\": 0}}", "NetworkPolicy keeps a pod out"},
		{"{\"logs\": \"assay-conformance\", \"ends\": {\"stranger\": 7, \"friend\": 7}}",
		 "NetworkPolicy lets a pod in that may"},
		{"{\"logs\": \"something\", \"ends\": {\"stranger\": 7, \"friend\": 0}}", "its log"},
		{"{\"logs\": \"assay-conformance\", \"ends\": {\"stranger\": 7, \"friend\": 0}, \"admits\": true}",
		 "a pod that breaks Pod Security is refused"},
		{"{\"ends\": {\"inside\": 1}}", "a pod with a sidecar becomes ready"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t index;
		json_t *row;

		cluster_act(&cluster, "reset", "{}");
		cluster_act(&cluster, "set", "%s", rows[i].set);
		AUTO_JSON result = kube_conform(&site, "busybox", WAIT_MS, NULL);
		json_array_foreach(result, index, row)
			if (json_flag(row, "ok", false) == (strcmp(json_text(row, "check", ""), rows[i].check) == 0))
				fail_msg("%s: %s: %s", rows[i].check, json_text(row, "check", ""), json_text(row, "found", ""));
		assert_int_equal(cluster_count(&cluster, ""), 0);
	}
}

/* ---- the frame ---- */

static int begin(void **state)
{
	(void)state;
	cluster_act(&cluster, "reset", "{}");
	return 0;
}

static int end(void **state)
{
	(void)state;
	cluster_unwrong(&cluster);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(an_environment_is_a_namespace_with_walls),
		TEST(making_it_again_changes_nothing),
		TEST(what_holds_a_namespace_is_told_and_one_that_is_gone_is_no_error),
		TEST(owners_are_values_of_labels),
		TEST(leftovers_doubles_and_what_expired_are_swept_and_nothing_else),
		TEST(a_pod_is_waited_for_until_it_is_what_it_will_be),
		TEST(a_quota_that_is_not_counted_yet_is_waited_for),
		TEST(a_pod_that_will_not_become_ready_says_why_in_the_clusters_words),
		TEST(states_of_pods_are_told_apart),
		TEST(an_environment_costs_few_requests),
		TEST(no_death_leaves_or_doubles_an_environment),
		TEST(no_death_keeps_an_environment_that_was_to_go),
		TEST(the_roles_are_what_is_asked_for),
		TEST(what_snapshots_need_is_asked_for_where_they_are_wanted),
		TEST(without_any_verb_of_the_role_something_fails_and_the_check_names_it),
		TEST(the_check_says_what_a_cluster_is_and_lacks),
		TEST(a_cluster_whose_walls_do_not_hold_fails_the_conformance),
	};
	int failed;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (!cluster_begin(&cluster, NULL, NULL))
		return SKIPPED;
	site = (struct kube_site){.client = cluster.client, .world = world_real, .owner = OWNER, .life_ms = 3600000};
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cluster_end(&cluster);
	return failed;
}
