/* assay init [DIR] */
#include <stdio.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/import.h"
#include "cli/cli.h"
#include "cli/commands.h"

#define PROGRAM "assay init"
#define TEXT_BYTES_MAX ((size_t)1 << 20)

/* The notes on standard error, under one line that says what they are. */
static void print_notes(struct view notes)
{
	size_t count = 0;

	for (size_t i = 0; i < notes.length; i++)
		count += notes.at[i] == '\n';
	if (count)
		fprintf(stderr, "%s: %zu %s not mapped:\n%.*s", PROGRAM, count, count == 1 ? "thing is" : "things are",
			(int)notes.length, notes.at);
}

static int write_file(const char *path, bool force, struct view yaml)
{
	struct err err;

	if (file_exists(path) && !force)
		return cli_refuse(PROGRAM, "%s is there already: --force replaces it, --stdout prints", path);
	if (file_replace(path, yaml, 0644, &err))
		return cli_fail(PROGRAM, false, &err);
	printf("%s is written: read it, then `assay check`\n", path);
	return CLI_DONE;
}

int cli_init(int argc, char **argv)
{
	bool force = false;
	bool to_stdout = false;
	const struct cli_option options[] = {
		{.name = "force", .help = "replaces an assay.yaml that is there", .flag = &force},
		{.name = "stdout", .help = "prints it and writes nothing", .flag = &to_stdout},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments = "[DIR] [--force] [--stdout]",
		.about =
			"Writes a first assay.yaml into DIR (this folder) from its compose.yaml, Procfile or package.json, and says what of\n"
			"them it could not map.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1,
	};
	AUTO_BUF yaml = buf_new(TEXT_BYTES_MAX);
	AUTO_BUF notes = buf_new(TEXT_BYTES_MAX);
	AUTO_FREE char *path = NULL;
	const char *dir = ".";
	struct err err;
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);
	bool failed;

	if (count < 0)
		return code;
	if (count)
		dir = argv[1];
	if (!file_is_dir(dir))
		return cli_refuse(PROGRAM, "%s is not a folder", dir);
	failed = blueprint_import(dir, &yaml, &notes, &err);
	print_notes(buf_view(&notes));
	if (failed)
		return cli_fail(PROGRAM, false, &err);
	if (to_stdout) {
		printf("%s", yaml.at);
		return CLI_DONE;
	}
	path = text_format("%s%sassay.yaml", count ? dir : "", count ? "/" : "");
	return write_file(path, force, buf_view(&yaml));
}
