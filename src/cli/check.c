/* assay check [FILE] */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "blueprint/egress.h"
#include "cli/cli.h"
#include "cli/commands.h"

#define PROGRAM "assay check"

static json_t *summary(const struct blueprint *blueprint)
{
	json_t *services = json_array();
	json_t *databases = json_array();
	json_t *tests = json_array();

	for (size_t i = 0; i < blueprint->service_count; i++)
		(void)json_array_append_new(services, json_string(blueprint->services[i].name));
	for (size_t i = 0; i < blueprint->database_count; i++)
		(void)json_array_append_new(databases, json_string(blueprint->databases[i].name));
	for (size_t i = 0; i < blueprint->test_count; i++)
		(void)json_array_append_new(tests, json_string(blueprint->tests[i].name));
	return json_pack("{s:b, s:s, s:o, s:o, s:o, s:s?}", "ok", 1, "name", blueprint->name, "services", services, "databases",
			 databases, "tests", tests, "preview", blueprint->preview.service);
}

static void print_count(const char *separator, size_t count, const char *one, const char *many)
{
	if (count)
		printf("%s%zu %s", separator, count, count == 1 ? one : many);
}

static void print_text(const char *path, const struct blueprint *blueprint)
{
	printf("%s is good: %s", path, blueprint->name);
	print_count(": ", blueprint->service_count, "service", "services");
	print_count(", ", blueprint->database_count, "database", "databases");
	print_count(", ", blueprint->queue_count, "queue", "queues");
	print_count(", ", blueprint->test_count, "test suite", "test suites");
	if (blueprint->preview.service)
		printf(", preview of %s", blueprint->preview.service);
	putchar('\n');
}

/* What a blueprint names is beside it. */
static int gitleaks_check(const char *path, const struct blueprint *blueprint, struct err *err)
{
	const char *name = blueprint->egress.dlp.gitleaks, *slash = strrchr(path, '/');
	AUTO_FREE char *beside = name ? text_format("%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name) : NULL;
	AUTO_JSON description = json_object();
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	return !name || (file_read(beside, &text, err) == 0 && dlp_gitleaks_put(description, buf_view(&text), name, err) == 0) ? 0
															       : -1;
}

int cli_check(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "json", .help = "the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments = "[FILE] [--json]",
		.about =
			"Checks a blueprint: FILE, or the assay.yaml of a folder, or of this one. Exits with 0 when it is good, 1 when not.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1,
	};
	AUTO_FREE char *path = NULL;
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_JSON json = NULL;
	struct err err;
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	path = count && !file_is_dir(argv[1]) ? text_copy(argv[1])
					      : text_format("%s%sassay.yaml", count ? argv[1] : "", count ? "/" : "");
	blueprint = blueprint_load(path, &err);
	if (!blueprint || gitleaks_check(path, blueprint, &err))
		return cli_fail(PROGRAM, as_json, &err);
	if (!as_json) {
		print_text(path, blueprint);
		return CLI_DONE;
	}
	json = summary(blueprint);
	cli_print_json(json);
	return CLI_DONE;
}
