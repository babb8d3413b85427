/*
 * bench_sandbox: what a sandbox costs, by the provider's interface: `bench_sandbox STATE start ROUNDS` prints milliseconds from request to the
 * first instruction of a static program, one a line; `remove ROUNDS` from request to reply; `idle COUNT` prints three lines: all
 * started (ms), all removed (ms), kernel and user memory each (KiB); `workspace FILES ROUNDS` prints ms to have a sandbox over a tree of
 * that many files, which is made first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"

#define STAMP_BYTES 32

static const char *const plain_env[] = {"PATH=/usr/bin:/bin", NULL};

static double now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(int result, const struct err *err)
{
	if (!result)
		return;
	(void)fprintf(stderr, "bench_sandbox: %s\n", err->text);
	exit(1);
}

static void run(struct provider provider, struct env_id env, const char *const *argv, int in, int out)
{
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .fds = {in, out, 2}};
	struct exit_status status;
	struct err err = {0};
	uint32_t process;

	must(provider_program_start(provider, env, "one", &spec, &process, &err), &err);
	must(provider_program_wait(provider, env, "one", process, -1, &status, &err), &err);
	if (status.reason != EXIT_CODE || status.code)
		must(err_set(&err, ERR_BROKEN, "%s failed", argv[0]), &err);
}

static void room(struct provider provider, struct env_id env, const char *name, const char *volume)
{
	struct sandbox_spec spec = {.env = env, .name = name};
	struct err err = {0};

	if (volume) {
		spec.mounts[0] = (struct mount_spec){volume, "/workspace", false};
		spec.mount_count = 1;
	}
	must(provider_sandbox_make(provider, &spec, &err), &err);
}

static struct env_id environment(struct provider provider, const char *layer)
{
	struct env_id env = env_id_new(world_real);
	struct err err = {0};

	must(provider_env_make(provider, env, &err), &err);
	must(provider_volume_make(provider, env, "work", &layer, layer ? 1 : 0, false, NULL, &err), &err);
	return env;
}

/* A layer "bench/stamp" with the static program, or "bench/tree" with files, made inside a sandbox. */
static void layer_make(struct provider provider, const char *layer, const char *const *argv, const char *input)
{
	struct env_id env = environment(provider, NULL);
	AUTO_CLOSE int in = open(input, O_RDONLY | O_CLOEXEC);
	struct err err = {0};

	room(provider, env, "one", "work");
	run(provider, env, argv, in, 2);
	must(provider_env_stop(provider, env, &err), &err);
	must(provider_volume_commit(provider, env, "work", layer, NULL, &err), &err);
	must(provider_env_remove(provider, env, &err), &err);
}

static void bench_start(struct provider provider, const char *stamp, int rounds, bool removal)
{
	static const char *const copy[] = {"sh", "-c", "cat >/workspace/stamp; chmod 755 /workspace/stamp", NULL};
	static const char *const argv[] = {"/workspace/stamp", NULL};
	struct err err = {0};

	layer_make(provider, "bench/stamp", copy, stamp);
	for (int i = 0; i < rounds; i++) {
		struct env_id env = environment(provider, "bench/stamp");
		char text[STAMP_BYTES] = {0};
		double before = now_ms();
		int out[2];

		if (pipe2(out, O_CLOEXEC))
			exit(1);
		room(provider, env, "one", "work");
		run(provider, env, argv, -1, out[1]);
		if (read(out[0], text, sizeof(text) - 1) <= 0)
			exit(1);
		if (!removal)
			(void)printf("%.3f\n", atof(text) / 1e6 - before);
		(void)close(out[0]);
		(void)close(out[1]);
		before = now_ms();
		must(provider_env_remove(provider, env, &err), &err);
		if (removal)
			(void)printf("%.3f\n", now_ms() - before);
	}
	must(provider_layer_remove(provider, "bench/stamp", &err), &err);
}

/* MemAvailable is noisy: what one sandbox takes is told by many. */
static double memory_used_kib(void)
{
	AUTO_BUF text = buf_new(65536);
	struct err err = {0};
	const char *at;

	must(file_read("/proc/meminfo", &text, &err), &err);
	at = strstr(text.at, "MemAvailable:");
	return at ? -atof(at + strlen("MemAvailable:")) : 0;
}

static void bench_idle(struct provider provider, int count)
{
	struct env_id *envs = mem_new_array((size_t)count, sizeof(*envs));
	double memory = memory_used_kib(), before = now_ms();
	struct err err = {0};

	for (int i = 0; i < count; i++) {
		envs[i] = env_id_new(world_real);
		must(provider_env_make(provider, envs[i], &err), &err);
		room(provider, envs[i], "one", NULL);
	}
	(void)printf("%.3f\n", now_ms() - before);
	memory = memory_used_kib() - memory;
	before = now_ms();
	for (int i = 0; i < count; i++)
		must(provider_env_remove(provider, envs[i], &err), &err);
	(void)printf("%.3f\n%.1f\n", now_ms() - before, memory / count);
	free(envs);
}

static void bench_workspace(struct provider provider, int files, int rounds)
{
	AUTO_FREE char *line = text_format(
		"cd /workspace; n=%d; i=0; while [ $i -lt $n ]; do mkdir d$i; cd d$i; "
		"j=0; while [ $j -lt 1000 ]; do echo $i >f$j; j=$((j + 1)); done; cd ..; i=$((i + 1)); done",
		files / 1000);
	const char *fill[] = {"sh", "-c", line, NULL};
	static const char *const touch[] = {"/bin/true", NULL};
	struct err err = {0};

	layer_make(provider, "bench/tree", fill, "/dev/null");
	for (int i = 0; i < rounds; i++) {
		double before = now_ms();
		struct env_id env = environment(provider, "bench/tree");

		room(provider, env, "one", "work");
		(void)printf("%.3f\n", now_ms() - before);
		run(provider, env, touch, -1, 2);
		must(provider_env_remove(provider, env, &err), &err);
	}
	must(provider_layer_remove(provider, "bench/tree", &err), &err);
}

int main(int argc, char **argv)
{
	struct local_options options = {.state_dir = argc > 1 ? argv[1] : NULL, .runtime = getenv("ASSAY_RUNTIME")};
	struct provider provider;
	struct err err = {0};

	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (argc < 4) {
		(void)fprintf(stderr,
			      "usage: bench_sandbox STATE start|remove ROUNDS STAMP | idle COUNT | workspace FILES ROUNDS\n");
		return 2;
	}
	must(local_provider_open(&options, &provider, &err), &err);
	if (strcmp(argv[2], "idle") == 0)
		bench_idle(provider, atoi(argv[3]));
	else if (argc > 4 && strcmp(argv[2], "workspace") == 0)
		bench_workspace(provider, atoi(argv[3]), atoi(argv[4]));
	else if (argc > 4)
		bench_start(provider, argv[4], atoi(argv[3]), strcmp(argv[2], "remove") == 0);
	local_provider_close(provider);
	return 0;
}
