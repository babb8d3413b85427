/*
 * The control plane's store and engine: webhooks taken durably at a steady rate, events through the engine, and the same durable steps at a
 * peer. `bench_control [--dir DIR] [--peer COMMAND] [--only engine]`: COMMAND is run with a PostgreSQL's URL and a number of steps, and prints
 * steps a second; `engine` is what needs no PostgreSQL and no time.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "flow/flow.h"
#include "flow/inbox.h"
#include "postgres_fixture.h"

#define HOOKS 10000
#define HOOKS_A_SECOND 1000
#define HOOK_THREADS 64
#define HOOK_BYTES 6000 /* as GitHub's for an issue's comment */
#define FLOWS 2000
#define STEPS 5
#define PEER_STEPS 2000
#define WORKERS 4

static double seconds(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(int failed, const struct err *err)
{
	if (!failed)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void times_print(const char *name, double *times, size_t count)
{
	qsort(times, count, sizeof(*times), compare);
	printf("%-52s p50 %7.2f ms  p99 %7.2f ms  (%zu)\n", name, times[count / 2] * 1e3, times[count * 99 / 100] * 1e3, count);
	(void)fflush(stdout);
}

/* ---- what the disk alone does ---- */

static void disk(const char *dir)
{
	static double times[300];
	AUTO_FREE char *path = text_format("%s/disk", dir);
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char block[8192] = {1};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		double from = seconds(CLOCK_MONOTONIC);

		if (pwrite(fd, block, sizeof(block), (off_t)(i * sizeof(block))) < 0 || fdatasync(fd))
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
		times[i] = seconds(CLOCK_MONOTONIC) - from;
	}
	times_print("the disk: 8 KiB and fdatasync, one at a time", times, ARRAY_LEN(times));
}

/* ---- webhooks ---- */

struct hooks {
	struct store *store;
	double began;
	int next; /* atomic */
	double times[HOOKS];
};

/* Each at its time, whatever became of the one before: what waits for a thread has waited. */
static void *hooks_main(void *self)
{
	struct hooks *hooks = self;
	char body[HOOK_BYTES];

	memset(body, 'x', sizeof(body));
	for (;;) {
		int i = __atomic_fetch_add(&hooks->next, 1, __ATOMIC_SEQ_CST);
		double due = hooks->began + (double)i / HOOKS_A_SECOND;
		double wait = due - seconds(CLOCK_MONOTONIC);
		char delivery[32];
		struct inbox_message message = {"bench", delivery, NULL, NULL, "issue_comment", view_make(body, sizeof(body))};
		struct err err = {0};
		bool seen;

		if (i >= HOOKS)
			return NULL;
		(void)snprintf(delivery, sizeof(delivery), "d%d", i);
		if (wait > 0)
			(void)usleep((useconds_t)(wait * 1e6));
		must(inbox_accept(hooks->store, world_real, &message, &seen, &err), &err);
		hooks->times[i] = seconds(CLOCK_MONOTONIC) - due;
	}
}

static void hooks_run(const char *name, const char *where)
{
	struct hooks *hooks = mem_new(sizeof(*hooks));
	pthread_t threads[HOOK_THREADS];
	struct err err = {0};

	must(store_open(where, &hooks->store, &err), &err);
	hooks->began = seconds(CLOCK_MONOTONIC) + 0.2;
	for (int i = 0; i < HOOK_THREADS; i++)
		(void)pthread_create(&threads[i], NULL, hooks_main, hooks);
	for (int i = 0; i < HOOK_THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	times_print(name, hooks->times, HOOKS);
	store_close(hooks->store);
	free(hooks);
}

/* ---- the engine ---- */

static int step(void *self, struct flow_visit *visit, struct err *err)
{
	static const char *const next[STEPS] = {"b", "c", "d", "e", NULL};

	(void)self;
	(void)err;
	visit->next = next[visit->step[0] - 'a'];
	return 0;
}

static const struct flow_step steps[STEPS] = {
	{.name = "a", .next = {"b"}, .act = step, .tries_max = 1},  {.name = "b", .next = {"c"}, .act = step, .tries_max = 1},
	{.name = "c", .next = {"d"}, .act = step, .tries_max = 1},  {.name = "d", .next = {"e"}, .act = step, .tries_max = 1},
	{.name = "e", .next = {NULL}, .act = step, .tries_max = 1},
};
static const struct flow_definition definition = {"bench", steps, STEPS, NULL, NULL};

static int64_t number(struct store *store, const char *sql)
{
	struct err err = {0};
	int64_t found = 0;
	AUTO_TX tx = {0};

	must(store_begin(store, &tx, &err) || store_number_get(&tx, &found, 0, sql, NO_VALUES, &err), &err);
	return found;
}

static void flows_start(struct store *store, struct flows *flows, int count)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	must(store_begin(store, &tx, &err), &err);
	for (int i = 0; i < count; i++) {
		AUTO_FREE char *id = text_format("f%d", i);

		must(flow_start(flows, &tx, id, (struct flow_line){.tenant = i % 3 ? "big" : "small"}, &err), &err);
	}
	must(store_commit(&tx, &err), &err);
}

static double engine_run(const char *name, const char *where, int count, int workers)
{
	struct flow_options options = {.definition = &definition, .world = world_real, .workers = workers};
	struct flows *flows = NULL;
	struct err err = {0};
	bool did = true;
	double wall;
	double cpu;
	double events;

	must(store_open(where, &options.store, &err) || flows_open(&options, &flows, &err), &err);
	flows_start(options.store, flows, count);
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	flows_wake(flows);
	while (!workers && did)
		must(flows_work_on(flows, FLOWS * STEPS, &did, &err), &err);
	while (workers && number(options.store, "SELECT count(*) FROM flow WHERE status <> 'done'"))
		(void)usleep(20000);
	must(store_sync(options.store, &err), &err);
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	events = (double)number(options.store, "SELECT count(*) FROM flow_event");
	printf("%-52s %7.0f events/s of wall, %7.0f of CPU  %7.0f steps/s\n", name, events / wall, events / cpu,
	       count * STEPS / wall);
	(void)fflush(stdout);
	flows_close(flows);
	store_close(options.store);
	return count * STEPS / wall;
}

static void peer_run(const char *command, const char *url)
{
	AUTO_FREE char *count = text_format("%d", PEER_STEPS);
	AUTO_BUF out = buf_new(65536);
	struct err err = {0};
	const char *const argv[] = {command, url, count, NULL};

	must(process_run(&(struct process_spec){.argv = argv, .output = &out, .timeout_ms = 300000}, NULL, &err), &err);
	printf("%s", out.at ? out.at : "");
}

int main(int argc, char **argv)
{
	struct postgres_fixture server;
	const char *base = "/var/tmp";
	const char *peer = NULL;
	const char *only = NULL;
	AUTO_FREE char *dir = NULL;
	AUTO_FREE char *hooks_file = NULL;
	AUTO_FREE char *engine_file = NULL;
	struct err err = {0};

	for (int i = 1; i + 1 < argc; i += 2)
		*(strcmp(argv[i], "--dir") == 0 ? &base : strcmp(argv[i], "--peer") == 0 ? &peer : &only) = argv[i + 1];
	log_init("bench", LOG_LEVEL_WARN);
	dir = text_format("%s/assay-bench-control-%d", base, (int)getpid());
	hooks_file = text_format("%s/hooks.db", dir);
	engine_file = text_format("%s/engine.db", dir);
	must(file_make_dirs(dir, 0700, &err), &err);
	disk(dir);
	if (!only)
		hooks_run("webhooks, 1,000/s, durable, SQLite", hooks_file);
	(void)engine_run("engine, one thread, SQLite", engine_file, FLOWS, 0);
	(void)engine_run("engine, one thread, in memory", ":memory:", FLOWS, 0);
	if (!only && postgres_fixture_start(&server, true)) {
		AUTO_FREE char *hooks_url = postgres_fixture_database(&server, "hooks");
		AUTO_FREE char *engine_url = postgres_fixture_database(&server, "engine");
		AUTO_FREE char *peer_url = postgres_fixture_database(&server, "peer");

		hooks_run("webhooks, 1,000/s, durable, PostgreSQL", hooks_url);
		(void)engine_run("engine, four threads, PostgreSQL", engine_url, PEER_STEPS / STEPS, WORKERS);
		if (peer)
			peer_run(peer, peer_url);
	}
	if (!only)
		postgres_fixture_stop(&server);
	must(file_remove_tree(dir, &err), &err);
	return 0;
}
