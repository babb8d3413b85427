/* assay relay: a program of its own (src/programs/relay.c). */
#include "cli/cli.h"
#include "cli/commands.h"

static int (*source)(int argc, char **argv);

void cli_relay_source(int (*main)(int argc, char **argv))
{
	source = main;
}

int cli_relay(int argc, char **argv)
{
	return source ? source(argc, argv) : cli_refuse("assay relay", "this binary was built without the relay");
}
