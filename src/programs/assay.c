/*
 * assay: the one binary. `assay keeper`, `assay gateway`, `assay vault` and `assay serve` are the processes of ARCHITECTURE.md, each
 * started by its supervisor with this binary; everything else is the command line.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "blueprint/egress.h"
#include "cli/cli.h"
#include "gateway/gateway.h"
#include "programs/assay_env.h"
#include "programs/assay_sqlite.h"
#include "programs/backup.h"
#include "programs/config.h"
#include "programs/doctor.h"
#include "programs/kubernetes.h"
#include "programs/policy.h"
#include "programs/relay.h"
#include "programs/serve.h"
#include "sandbox/link/pod.h"
#include "sandbox/local/keeper.h"
#include "vault/vault.h"

struct program {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
};

static int keeper_run(int argc, char **argv)
{
	static struct keeper_tool tools[] = {{"assay-env", assay_env_blob, 0}, {"assay-sqlite", assay_sqlite_blob, 0}};

	tools[0].length = assay_env_blob_length;
	tools[1].length = assay_sqlite_blob_length;
	keeper_tools_set(tools, sizeof(tools) / sizeof(tools[0]));
	return keeper_main(argc, argv);
}

static int pod_run(int argc, char **argv)
{
	static struct pod_tool tools[2];

	tools[0] = (struct pod_tool){"assay-env", view_make(assay_env_blob, assay_env_blob_length)};
	tools[1] = (struct pod_tool){"assay-sqlite", view_make(assay_sqlite_blob, assay_sqlite_blob_length)};
	pod_tools_set(tools, sizeof(tools) / sizeof(tools[0]));
	return pod_main(argc, argv);
}

static const struct program programs[] = {
	{"gateway", gateway_main}, {"keeper", keeper_run}, {"pod", pod_run},
	{"serve", serve_main},     {"vault", vault_main},  {NULL, NULL},
};

/* `assay serve` is a process and a command: with one of these it is only the command. */
static bool is_command(int argc, char **argv)
{
	static const char *const options[] = {"--background", "--reload", "--stop", "--help", "-h"};

	for (int at = 2; at < argc; at++)
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			if (strcmp(argv[at], options[i]) == 0)
				return strcmp(argv[1], "serve") == 0;
	return false;
}

/* `assay serve --config FILE`: for the processes that it starts, too. */
static void config_name(int argc, char **argv)
{
	static const char option[] = "--config";

	for (int at = 2; at < argc && strcmp(argv[1], "serve") == 0; at++) {
		if (strcmp(argv[at], option) == 0 && at + 1 < argc)
			(void)setenv("ASSAY_CONFIG", argv[at + 1], 1);
		else if (strncmp(argv[at], option, sizeof(option) - 1) == 0 && argv[at][sizeof(option) - 1] == '=')
			(void)setenv("ASSAY_CONFIG", argv[at] + sizeof(option), 1);
	}
}

/* The keeper, the gateway, the vault and a pod's link get what they need from who starts them. */
static bool reads_config(int argc, char **argv)
{
	return argc < 2 || (strcmp(argv[1], "keeper") != 0 && strcmp(argv[1], "gateway") != 0 && strcmp(argv[1], "pod") != 0 &&
			    strcmp(argv[1], "vault") != 0);
}

int main(int argc, char **argv)
{
	struct err err = {0};

	config_name(argc, argv);
	if (reads_config(argc, argv) && config_load(&err))
		return cli_fail("assay", false, &err);
	dlp_rules_source(policy_dlp_judge);
	for (const struct program *program = programs; argc > 1 && !is_command(argc, argv) && program->name; program++)
		if (strcmp(argv[1], program->name) == 0)
			return program->run(argc - 1, argv + 1);
	cli_backup_source(backup_make, backup_restore);
	cli_doctor_source(doctor_items);
	cli_policy_source(policy_requests_judge);
	cli_kubernetes_source(kubernetes_main);
	cli_relay_source(relay_main);
	return cli_main(argc, argv);
}
