/* assay version */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/commands.h"

int cli_version(int argc, char **argv)
{
	static const struct cli_usage usage = {.program = "assay version", .arguments = "", .about = "Prints the version."};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	printf("assay %s\n", ASSAY_VERSION);
	return CLI_DONE;
}
