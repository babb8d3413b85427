/*
 * assay: the one binary. `assay keeper`, `assay gateway`, `assay vault` and `assay serve` are the processes of ARCHITECTURE.md, each
 * started by its supervisor with this binary; everything else is the command line.
 */
#include <stdbool.h>
#include <string.h>

#include "cli/cli.h"
#ifdef ASSAY_HAS_GATEWAY
#include "gateway/gateway.h"
#endif
#ifdef ASSAY_HAS_SERVE
#include "programs/serve.h"
#endif
#ifdef ASSAY_HAS_KEEPER
#include "programs/assay_env.h"
#include "sandbox/local/keeper.h"
#endif
#ifdef ASSAY_HAS_VAULT
#include "vault/vault.h"
#endif

struct program {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
};

#ifdef ASSAY_HAS_KEEPER
static int keeper_run(int argc, char **argv)
{
	static struct keeper_tool tools[] = {{"assay-env", assay_env_blob, 0}};

	tools[0].length = assay_env_blob_length;
	keeper_tools_set(tools, sizeof(tools) / sizeof(tools[0]));
	return keeper_main(argc, argv);
}
#endif

static const struct program programs[] = {
#ifdef ASSAY_HAS_GATEWAY
	{"gateway", gateway_main},
#endif
#ifdef ASSAY_HAS_KEEPER
	{"keeper", keeper_run},
#endif
#ifdef ASSAY_HAS_SERVE
	{"serve", serve_main},
#endif
#ifdef ASSAY_HAS_VAULT
	{"vault", vault_main},
#endif
	{NULL, NULL},
};

/* `assay serve` is a process and a command: with one of these it is only the command. */
static bool is_command(int argc, char **argv)
{
	static const char *const options[] = {"--background", "--stop", "--help", "-h"};

	for (int at = 2; at < argc; at++)
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			if (strcmp(argv[at], options[i]) == 0)
				return strcmp(argv[1], "serve") == 0;
	return false;
}

int main(int argc, char **argv)
{
	for (const struct program *program = programs; argc > 1 && !is_command(argc, argv) && program->name; program++)
		if (strcmp(argv[1], program->name) == 0)
			return program->run(argc - 1, argv + 1);
	return cli_main(argc, argv);
}
