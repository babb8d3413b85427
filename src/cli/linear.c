/* assay linear: a workspace of Linear that gives work. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"

static int linear_connect(int argc, char **argv)
{
	bool own = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "own",
		 .help = "one's own workspace: by the application's right, without a page (client_credentials=true)",
		 .flag = &own},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay linear connect",
		.arguments = "[NAME] [--own] [--json]",
		.about = "Lets a workspace give work through the connection NAME (linear), which `assay connect linear` made:\n"
			 "prints the page on which an admin of the workspace allows it.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_max = 1};
	AUTO_JSON body = NULL;
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	AUTO_FREE char *path = api_path("/connections/{}/permission", count ? argv[1] : "linear");
	AUTO_API struct api *api = api_open(usage.program, true, &err);

	body = json_pack("{s:b}", "own", own);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else if (json_text(answer, "url", NULL))
		printf("Open this as an admin of the workspace:\n%s\n\nThe application's callback URL must be %s\n",
		       json_text(answer, "url", ""), json_text(answer, "redirect", ""));
	else
		printf("%s is connected.\n", json_text(answer, "name", ""));
	return CLI_DONE;
}

int cli_linear(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"connect", "[NAME] [--own]", "lets a workspace give work", linear_connect, NULL},
	};

	return cli_dispatch("assay linear", commands, ARRAY_LEN(commands), argc, argv);
}
