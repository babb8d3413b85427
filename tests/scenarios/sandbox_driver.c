/*
 * sandbox_driver: runs one program in a fresh sandbox of the local provider, for scenario tests that must not depend on the command
 * line: `sandbox_driver STATE [--root] [--memory BYTES] [--pids N] [--image IMAGE] [--volume NAME:PATH] [--timeout MS] -- ARGV…`.
 * Its exit code is the program's, 128 + its signal, 240 for out of memory, 241 when the sandbox was destroyed, 2 for errors.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"

#define EXIT_WAS_OOM 240
#define EXIT_WAS_GONE 241

struct options {
	struct sandbox_spec sandbox;
	struct program_spec program;
	char volume[SANDBOX_NAME_MAX + 1];
	int64_t timeout_ms;
};

static int options_parse(struct options *options, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			options->program.argv = (const char *const *)argv + i + 1;
			return i + 1 < argc ? 0 : -1;
		}
		if (strcmp(argv[i], "--root") == 0)
			options->program.as_root = true;
		else if (i + 1 == argc)
			return -1;
		else if (strcmp(argv[i], "--memory") == 0)
			options->sandbox.limits.memory_bytes = atoll(argv[++i]);
		else if (strcmp(argv[i], "--pids") == 0)
			options->sandbox.limits.pids = atoi(argv[++i]);
		else if (strcmp(argv[i], "--timeout") == 0)
			options->timeout_ms = atoll(argv[++i]);
		else if (strcmp(argv[i], "--image") == 0)
			options->sandbox.image = argv[++i];
		else if (strcmp(argv[i], "--volume") == 0) {
			char *path = strchr(argv[++i], ':');

			if (!path)
				return -1;
			(void)snprintf(options->volume, sizeof(options->volume), "%.*s", (int)(path - argv[i]), argv[i]);
			options->sandbox.mounts[0] = (struct mount_spec){options->volume, path + 1, false};
			options->sandbox.mount_count = 1;
		} else
			return -1;
	}
	return -1;
}

static int run(struct provider provider, struct options *options, struct err *err)
{
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/assay", "LANG=C.UTF-8", NULL};
	struct exit_status status;
	uint32_t process;

	options->sandbox.name = "room";
	options->program.env = env;
	options->program.fds[0] = 0;
	options->program.fds[1] = 1;
	options->program.fds[2] = 2;
	if (provider_env_make(provider, options->sandbox.env, err))
		return -1;
	if (options->volume[0] && provider_volume_make(provider, options->sandbox.env, options->volume, NULL, 0, false, NULL, err))
		return -1;
	if (provider_sandbox_make(provider, &options->sandbox, err) ||
	    provider_program_start(provider, options->sandbox.env, "room", &options->program, &process, err))
		return -1;
	if (provider_program_wait(provider, options->sandbox.env, "room", process, options->timeout_ms, &status, err))
		return -1;
	switch (status.reason) {
	case EXIT_CODE:
		return status.code;
	case EXIT_SIGNAL:
		return 128 + status.code;
	case EXIT_OOM:
		return EXIT_WAS_OOM;
	case EXIT_GONE:
		return EXIT_WAS_GONE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = {.timeout_ms = -1};
	struct local_options local = {.state_dir = argc > 1 ? argv[1] : NULL, .runtime = getenv("ASSAY_RUNTIME")};
	struct provider provider;
	struct err err = {0};
	int code;

	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (argc < 3 || options_parse(&options, argc, argv)) {
		(void)fprintf(stderr, "usage: sandbox_driver STATE [--root] [--memory BYTES] [--pids N] [--image IMAGE] "
				      "[--volume NAME:PATH] [--timeout MS] -- ARGV…\n");
		return 2;
	}
	if (local_provider_open(&local, &provider, &err)) {
		(void)fprintf(stderr, "sandbox_driver: %s\n", err.text);
		return 2;
	}
	options.sandbox.env = env_id_new(world_real);
	code = run(provider, &options, &err);
	if (code < 0)
		(void)fprintf(stderr, "sandbox_driver: %s\n", err.text);
	if (provider_env_remove(provider, options.sandbox.env, &err))
		(void)fprintf(stderr, "sandbox_driver: %s\n", err.text);
	local_provider_close(provider);
	return code < 0 ? 2 : code;
}
