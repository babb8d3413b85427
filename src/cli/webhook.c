/* assay webhook: who is told of what changes. */
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verb.h"

static int kind_each(void *self, const char *value, struct err *err)
{
	(void)err;
	(void)json_array_append_new(self, json_string(value));
	return 0;
}

static int webhook_create(int argc, char **argv)
{
	AUTO_JSON on = json_array();
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "on",
		 .value = "KIND",
		 .help = "run, issue or pull; may be repeated (default: all)",
		 .each = kind_each,
		 .self = on},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = "assay webhook create",
		.arguments = "URL [--on KIND...] [--json]",
		.about = "Sends what changes to a receiver, signed (standardwebhooks.com); prints the secret, this once.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_JSON body = json_object();
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	json_set_bytes(body, "url", view_of(argv[1]));
	(void)json_object_set(body, "on", on);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_post(api, "/webhooks", body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s\n", json_text(answer, "secret", ""));
	return CLI_DONE;
}

static void list_print(const json_t *hooks)
{
	struct table *table = table_new((const char *const[]){"ID", "URL", "ON", "TOLD", "SAID", "WAITING", NULL});
	json_t *hook;
	size_t i, k;

	json_array_foreach((json_t *)(uintptr_t)hooks, i, hook) {
		const json_t *on = json_member(hook, "on");
		AUTO_FREE char *url = terminal_fit(json_text(hook, "url", ""), 60);
		AUTO_FREE char *said = terminal_fit(json_text(hook, "said", ""), 40);
		AUTO_FREE char *waiting = text_format("%lld", (long long)json_number(hook, "waiting", 0));
		AUTO_BUF kinds = buf_new(256);
		AUTO_BUF told = buf_new(64);

		for (k = 0; k < json_array_size(on); k++)
			buf_add_format(&kinds, "%s%s", k ? " " : "", json_string_value(json_array_get(on, k)));
		if (json_number(hook, "told_ms", 0))
			time_format(&told, json_number(hook, "told_ms", 0));
		else
			buf_add_text(&told, "never");
		table_cell(table, json_text(hook, "id", ""));
		table_cell(table, url);
		table_cell(table, kinds.at);
		table_cell(table, told.at);
		table_cell(table, said);
		table_cell(table, waiting);
	}
	table_end(table, "nobody is told of what changes: `assay webhook create https://HOST/PATH`");
}

static const struct verb list = {"[--json]",          "Lists who is told of what changes, and what they said.",
				 .json = true,        .how = VERB_ITEMS,
				 .path = "/webhooks", .print = list_print};
static const struct verb rm = {
	"ID", "Tells a receiver no more.", 1, 1, .how = VERB_DELETE, .path = "/webhooks/{}", .said = "removed"};

int cli_webhook(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"create", "URL [--on KIND...]", "adds a receiver", webhook_create, NULL},
		{"list", "[--json]", "lists them", NULL, &list},
		{"rm", "ID", "removes one", NULL, &rm},
	};

	return cli_dispatch("assay webhook", commands, ARRAY_LEN(commands), argc, argv);
}
