/* bench_kubernetes [ENVIRONMENTS [WATCHED]]: requests and CPU of ours for each environment that is made and removed on a cluster, and the memory of a process that
 * watches many; at the scripted API server, so that no time of a cluster is in it. */
#include "kubernetes_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "sandbox/kubernetes/space.h"

#define PODS 5
#define PIECE 100

static struct cluster cluster;
static int environments = 50, watched = 1000;

static double cpu_ms(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static long resident_kb(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

static void made_and_removed(void **state)
{
	const struct kube_site site = {.client = cluster.client, .world = world_real, .owner = "bench"};
	static const char *const argv[] = {"app", NULL};
	struct env_id *ids = mem_new_array((size_t)environments, sizeof(*ids));
	double begun = cpu_ms(), made;
	uint64_t requests = kube_client_requests(cluster.client), requests_made;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < environments; i++) {
		char space[KUBE_NAME_MAX];

		ids[i] = env_id_new(world_real);
		good(kube_space_make(&site, ids[i], space, &err), &err);
		for (int pod = 0; pod < PODS; pod++) {
			AUTO_FREE char *name = text_format("p%d", pod);
			const struct kube_pod_spec spec = {.space = space, .name = name, .main = {"main", "app:1", argv, 80}};
			AUTO_JSON object = kube_pod_object(&spec);

			good(kube_pod_put(&site, object, &err), &err);
		}
	}
	made = cpu_ms();
	requests_made = kube_client_requests(cluster.client);
	for (int i = 0; i < environments; i++)
		good(kube_space_remove(&site, ids[i], &err), &err);
	printf("| made, with %d pods | %.1f requests | %.2f ms CPU |\n", PODS, (double)(requests_made - requests) / environments,
	       (made - begun) / environments);
	printf("| removed | %.1f requests | %.2f ms CPU |\n",
	       (double)(kube_client_requests(cluster.client) - requests_made) / environments, (cpu_ms() - made) / environments);
	free(ids);
}

struct seen {
	int events;
};

static bool on_listed(void *self, const json_t *items)
{
	(void)self;
	assert_int_equal(json_array_size(items), watched);
	for (int i = 0; i < watched; i += PIECE)
		cluster_act(&cluster, "status",
			    "{\"path\": \"/api/v1/namespaces/w%d/pods/p\", \"status\": {\"phase\": \"Running\"}}", i);
	return true;
}

static bool on_changed(void *self, enum kube_change change, const json_t *object)
{
	struct seen *seen = self;

	(void)change;
	(void)object;
	return ++seen->events < watched / PIECE;
}

static void many_are_watched(void **state)
{
	struct seen seen = {0};
	struct kube_watch watch = {
		.path = "/api/v1/pods", .selector = KUBE_LABEL_POD, .listed = on_listed, .changed = on_changed, .self = &seen};
	double begun;
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "set", "{\"pods\": \"hold\"}");
	for (int i = 0; i < watched; i++)
		cluster_act(
			&cluster, "put",
			"{\"path\": \"/api/v1/namespaces/w%d/pods/p\", \"object\": {\"metadata\": {\"name\": \"p\", \"namespace\": \"w%d\", "
			"\"labels\": {\"%s\": \"p\"}}, \"spec\": {\"containers\": [{\"name\": \"main\", \"image\": \"app:1\"}]}}}",
			i, i, KUBE_LABEL_POD);
	begun = cpu_ms();
	good(kube_watch_run(cluster.client, &watch, &err), &err);
	printf("| a list of %d, and %d events of one watch | %u connections | %.2f ms CPU |\n", watched, seen.events,
	       watch.lists + watch.watches, cpu_ms() - begun);
	printf("| memory of the process at its most | %ld MB | |\n", resident_kb() / 1024);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest parts[] = {cmocka_unit_test(made_and_removed), cmocka_unit_test(many_are_watched)};
	int failed;

	if (argc > 1)
		environments = atoi(argv[1]);
	if (argc > 2)
		watched = atoi(argv[2]);
	if (environments < 1 || watched < PIECE) {
		(void)fprintf(stderr, "usage: bench_kubernetes [ENVIRONMENTS [WATCHED (100 or more)]]\n");
		return 2;
	}
	if (!cluster_begin(&cluster, NULL, NULL))
		return 77;
	printf("| what | how much | beside |\n|---|---|---|\n");
	failed = cmocka_run_group_tests(parts, NULL, NULL);
	cluster_end(&cluster);
	return failed;
}
