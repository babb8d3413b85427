/* assay export: what the store holds, a JSON object a line, for other programs to read. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"

#define LINE_BYTES_MAX ((size_t)64 << 20)

/* Prints a portion; *after becomes the place of its last row. */
static int portion_print(struct api *api, const char *kind, char **after, size_t *count, struct err *err)
{
	AUTO_FREE char *path = *after ? api_path("/export/{}?after={}", kind, *after) : api_path("/export/{}", kind);
	AUTO_JSON answer = api_get(api, path, err);
	json_t *items = json_member(answer, "items");
	size_t i;
	json_t *item;

	if (!answer)
		return -1;
	*count = json_array_size(items);
	json_array_foreach(items, i, item) {
		AUTO_BUF line = buf_new(LINE_BYTES_MAX);

		json_format(&line, item);
		buf_add_char(&line, '\n');
		if (buf_finish(&line, err))
			return -1;
		if (fwrite(line.at, 1, line.length, stdout) != line.length)
			return err_set(err, ERR_BROKEN, "cannot write the lines");
		scope_free(after);
		*after = text_copy(json_text(item, "cursor", ""));
	}
	return fflush(stdout) ? err_set(err, ERR_BROKEN, "cannot write the lines") : 0;
}

int cli_export(int argc, char **argv)
{
	const char *from = NULL;
	const struct cli_option options[] = {
		{.name = "after",
		 .value = "CURSOR",
		 .help = "go on behind this row: `cursor` of the last line there is",
		 .text = &from},
	};
	const struct cli_usage usage = {.program = "assay export",
					.arguments = "runs|events|issues|pulls|records [--after CURSOR]",
					.about = "Prints what the store holds, the oldest first, a JSON object a line.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;
	size_t count = 1;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_FREE char *after = text_copy(from);
	if (!api)
		return cli_fail(usage.program, false, &err);
	while (count)
		if (portion_print(api, argv[1], &after, &count, &err))
			return cli_fail(usage.program, false, &err);
	return CLI_DONE;
}
