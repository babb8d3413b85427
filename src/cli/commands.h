/*
 * commands: the rows of `assay help`, in its order. A row is COMMAND(name, arguments, summary); the function is cli_<name>, in
 * src/cli/<name>.c, which is also added to src/cli/meson.build.
 */
#ifndef ASSAY_CLI_COMMANDS_H
#define ASSAY_CLI_COMMANDS_H

#define CLI_COMMANDS(COMMAND)                                                                              \
	COMMAND(check, "[FILE] [--json]", "checks a blueprint")                                            \
	COMMAND(env, "up|list|show|logs|shell|exec|… [ENV]", "makes, looks into and removes environments") \
	COMMAND(snapshot, "create|list|show|rm", "keeps states of databases to fork from")                 \
	COMMAND(version, "", "prints the version")

#define CLI_COMMAND_DECLARE(name, arguments, summary) int cli_##name(int argc, char **argv);
CLI_COMMANDS(CLI_COMMAND_DECLARE)
#undef CLI_COMMAND_DECLARE

#endif
