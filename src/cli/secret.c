/* assay secret: the credentials that the vault keeps and the gateway puts in. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define VALUE_BYTES_MAX 65536

static int rule_each(void *self, const char *value, struct err *err)
{
	(void)err;
	(void)json_array_append_new(self, json_string(value));
	return 0;
}

/* Standard input without the line end that an editor or echo puts there. */
static int value_read(struct buf *value, struct err *err)
{
	struct view text;

	if (isatty(STDIN_FILENO))
		fprintf(stderr, "the value, then Ctrl-D: ");
	if (file_read_fd(STDIN_FILENO, value, err))
		return -1;
	text = buf_view(value);
	if (view_ends(text, VIEW("\n")))
		text.length--;
	if (view_ends(text, VIEW("\r")))
		text.length--;
	buf_cut(value, text.length);
	return value->length ? 0 : err_set(err, ERR_INVALID, "the value is read from standard input, and there is none");
}

/* At a database there is but one place for a credential. */
static bool rules_are_logins(const json_t *rules)
{
	for (size_t i = 0; i < json_array_size(rules); i++)
		if (strncmp(json_string_value(json_array_get(rules, i)), "postgres://", strlen("postgres://")) != 0)
			return false;
	return true;
}

static int secret_set(int argc, char **argv)
{
	AUTO_JSON rules = json_array();
	const char *place = NULL;
	bool require = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "for",
		 .value = "RULE",
		 .help = "what it is for: 'POST https://api.example.com/v1/*', postgres://HOST/DATABASE; may be repeated",
		 .each = rule_each,
		 .self = rules},
		{.name = "in",
		 .value = "PLACE",
		 .help = "header:NAME, bearer, query:NAME, path, basic, body, websocket, password, or aws:KEYID (it signs requests)",
		 .text = &place},
		{.name = "require", .help = "requests that a rule fits must carry it", .flag = &require},
		{.name = "json", .help = "print the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {.program = "assay secret set",
					.arguments = "NAME --for RULE... [--in PLACE] < VALUE",
					.about = "Keeps a credential in the vault; its value is read from standard input.\n"
						 "Sandboxes get a placeholder: `secrets: {VARIABLE: NAME}` in assay.yaml.",
					.options = options,
					.option_count = ARRAY_LEN(options),
					.positional_min = 1,
					.positional_max = 1};
	AUTO_BUF value = buf_new(VALUE_BYTES_MAX);
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (!json_array_size(rules))
		return cli_refuse(usage.program, "what is it for? Say --for 'METHOD https://HOST/PATH'");
	if (!place && rules_are_logins(rules))
		place = "password";
	if (!place)
		return cli_refuse(usage.program, "where does it stand? Say --in header:NAME, bearer, query:NAME, basic, ...");
	if (value_read(&value, &err))
		return cli_fail(usage.program, as_json, &err);
	body = json_pack("{s:O, s:s, s:b, s:s%}", "for", rules, "in", place, "require", require, "value", value.at, value.length);
	explicit_bzero(value.at, value.length);
	if (!body)
		return cli_refuse(usage.program, "the value is no text");
	path = api_path("/secrets/{}", argv[1]);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("%s is kept. In assay.yaml, `secrets: {VARIABLE: %s}` puts its placeholder into sandboxes.\n", argv[1],
		       argv[1]);
	return CLI_DONE;
}

static int secret_list(int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "print them as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = "assay secret list",
					.arguments = "[--json]",
					.about = "Lists the credentials: what they are for, never what they are.",
					.options = options,
					.option_count = 1};
	struct err err = {0};
	struct table *table;
	json_t *secret;
	size_t i, k;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON items = api ? api_items(api, "/secrets", &err) : NULL;
	if (!items)
		return cli_fail(usage.program, as_json, &err);
	if (as_json) {
		list_print_json(items);
		return CLI_DONE;
	}
	table = table_new((const char *const[]){"NAME", "FOR", "IN", "SET", NULL});
	json_array_foreach(items, i, secret) {
		const json_t *rules = json_member(secret, "for");
		AUTO_BUF text = buf_new(65536);
		AUTO_BUF set = buf_new(64);

		for (k = 0; k < json_array_size(rules); k++)
			buf_add_format(&text, "%s%s", k ? ", " : "", json_string_value(json_array_get(rules, k)));
		buf_add_text(&text, json_flag(secret, "require", false) ? " (required)" : "");
		time_format(&set, json_number(secret, "set_ms", 0));
		table_cell(table, json_text(secret, "name", ""));
		table_cell(table, text.at);
		table_cell(table, json_text(secret, "in", ""));
		table_cell(table, set.at);
	}
	table_end(table, "no credential yet: `assay secret set NAME --for 'POST https://HOST/PATH' --in header:NAME`");
	return CLI_DONE;
}

static int secret_rm(int argc, char **argv)
{
	const struct cli_usage usage = {.program = "assay secret rm",
					.arguments = "NAME",
					.about = "Removes a credential: for running environments too, at once.",
					.positional_min = 1,
					.positional_max = 1};
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	AUTO_FREE char *path = api_path("/secrets/{}", argv[1]);
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_delete(api, path, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, false, &err);
	printf("%s is removed.\n", argv[1]);
	return CLI_DONE;
}

int cli_secret(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"set", "NAME --for RULE --in PLACE < VALUE", "keeps a credential", secret_set, NULL},
		{"list", "[--json]", "lists what they are for", secret_list, NULL},
		{"rm", "NAME", "removes one", secret_rm, NULL},
	};

	return cli_dispatch("assay secret", commands, ARRAY_LEN(commands), argc, argv);
}
