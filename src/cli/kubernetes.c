/* assay kubernetes: a program of its own (src/programs/kubernetes.c). */
#include "cli/cli.h"
#include "cli/commands.h"

static int (*source)(int argc, char **argv);

void cli_kubernetes_source(int (*main)(int argc, char **argv))
{
	source = main;
}

int cli_kubernetes(int argc, char **argv)
{
	return source ? source(argc, argv) : cli_refuse("assay kubernetes", "this binary was built without it");
}
