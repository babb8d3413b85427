/* assay connect, assay connections: the outside services that the server is joined to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verb.h"

#define SECRETS_BYTES_MAX ((size_t)64 << 10)

struct request {
	json_t *configuration;
	json_t *secrets;
};

/* KEY=VALUE; a value that is JSON but no text is taken as JSON. */
static int set_each(void *self, const char *value, struct err *err)
{
	struct request *request = self;
	struct view rest;
	struct view key = view_cut(view_of(value), '=', &rest);
	AUTO_FREE char *name = view_copy(key);
	json_t *json;

	if (!key.length || !rest.at)
		return err_set(err, ERR_INVALID, "expected KEY=VALUE, not `%.100s`", value);
	json = rest.length ? json_parse(rest, NULL) : json_null();
	if (!json || json_is_number(json)) {
		json_decref(json);
		json = json_stringn(rest.at, rest.length);
	}
	return json_object_set_new(request->configuration, name, json) ? err_set(err, ERR_INVALID, "`%.100s` is no text", name) : 0;
}

static int secret_put(json_t *secrets, struct view key, struct view value, struct err *err)
{
	AUTO_FREE char *name = view_copy(key);

	return json_object_set_new(secrets, name, value.length ? json_stringn(value.at, value.length) : json_null())
		       ? err_set(err, ERR_INVALID, "the secret `%.60s` is no text", name)
		       : 0;
}

/* KEY=FILE: a secret of many lines, as a private key is. */
static int file_each(void *self, const char *value, struct err *err)
{
	struct request *request = self;
	AUTO_BUF bytes = buf_new(SECRETS_BYTES_MAX);
	struct view path;
	struct view key = view_cut(view_of(value), '=', &path);
	int failed;

	if (!key.length || !path.length)
		return err_set(err, ERR_INVALID, "expected KEY=FILE, not `%.100s`", value);
	failed = file_read(path.at, &bytes, err) || secret_put(request->secrets, key, buf_view(&bytes), err);
	if (bytes.at)
		explicit_bzero(bytes.at, bytes.length);
	return failed ? -1 : 0;
}

/* Lines KEY=VALUE, or one JSON object. */
static int secrets_parse(json_t *secrets, struct view text, struct err *err)
{
	AUTO_JSON object = NULL;

	if (view_starts(view_trim(text), VIEW("{"))) {
		object = json_parse(text, err);
		return object ? json_object_update(secrets, object) : -1;
	}
	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		struct view value;
		struct view key = view_cut(line, '=', &value);

		if (!line.length)
			continue;
		if (!value.at)
			return err_set(err, ERR_INVALID, "on standard input: expected lines KEY=VALUE, or a JSON object");
		if (secret_put(secrets, key, value, err))
			return -1;
	}
	return 0;
}

static int secrets_read(json_t *secrets, struct err *err)
{
	AUTO_BUF bytes = buf_new(SECRETS_BYTES_MAX);
	int failed;

	if (isatty(STDIN_FILENO))
		fprintf(stderr, "secrets as lines KEY=VALUE, then Ctrl-D: ");
	failed = file_read_fd(STDIN_FILENO, &bytes, err) || secrets_parse(secrets, buf_view(&bytes), err);
	if (bytes.at)
		explicit_bzero(bytes.at, bytes.length);
	return failed ? -1 : 0;
}

static void connection_print(const json_t *connection)
{
	const json_t *secrets = json_member(connection, "secrets");
	const char *error = json_text(connection, "error", NULL);
	AUTO_BUF settings = buf_new(SECRETS_BYTES_MAX);
	size_t i;

	json_format_pretty(&settings, json_member(connection, "configuration"));
	printf("%s (%s) at %s: %s%s%s\n", json_text(connection, "name", ""), json_text(connection, "kind", ""),
	       json_text(connection, "base", ""), json_text(connection, "state", ""), error ? ": " : "", error ? error : "");
	printf("webhooks come to: %s\nsecrets that are set:", json_text(connection, "hook", ""));
	for (i = 0; i < json_array_size(secrets); i++)
		printf(" %s", json_string_value(json_array_get(secrets, i)));
	printf("%s\nsettings: %s\n", i ? "" : " none", settings.at);
}

/* Both make and change: options, secrets from standard input, one POST. */
static int connection_send(int argc, char **argv, bool change)
{
	struct request request = {json_object(), json_object()};
	AUTO_JSON configuration = request.configuration;
	AUTO_JSON secrets = request.secrets;
	const char *name = NULL;
	const char *base = NULL;
	bool reads = false;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "name", .value = "NAME", .help = "what it is called here (default: its kind)", .text = &name},
		{.name = "base", .value = "URL", .help = "where the service is", .text = &base},
		{.name = "set",
		 .value = "KEY=VALUE",
		 .help = "a setting; an empty value removes it",
		 .each = set_each,
		 .self = &request},
		{.name = "secrets", .help = "read secrets from standard input: lines KEY=VALUE, or a JSON object", .flag = &reads},
		{.name = "secret-file",
		 .value = "KEY=FILE",
		 .help = "a secret that is in a file",
		 .each = file_each,
		 .self = &request},
		{.name = "json", .help = "print the connection as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = change ? "assay connections set" : "assay connect",
		.arguments = change ? "NAME [--set KEY=VALUE...] [--secrets] ..." : "KIND [--set KEY=VALUE...] [--secrets] ...",
		.about =
			change ? "Changes a connection."
			       : "Joins an outside service: linear, jira, slack, github, gitlab, gitea, or standard (anybody who signs as standardwebhooks.com has it).",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_JSON body = json_object();
	struct err err = {0};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (reads && secrets_read(secrets, &err))
		return cli_fail(usage.program, as_json, &err);
	if (!change)
		json_set_bytes(body, "kind", view_of(argv[1]));
	if (name)
		json_set_bytes(body, "name", view_of(name));
	if (base)
		json_set_bytes(body, "base", view_of(base));
	(void)json_object_set(body, "configuration", configuration);
	(void)json_object_set(body, "secrets", secrets);
	AUTO_FREE char *path = change ? api_path("/connections/{}", argv[1]) : text_copy("/connections");
	AUTO_API struct api *api = api_open(usage.program, true, &err);
	AUTO_JSON answer = api ? api_post(api, path, body, &err) : NULL;
	if (!answer)
		return cli_fail(usage.program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		connection_print(answer);
	return CLI_DONE;
}

int cli_connect(int argc, char **argv)
{
	return connection_send(argc, argv, false);
}

static int connection_change(int argc, char **argv)
{
	return connection_send(argc, argv, true);
}

static void list_print(const json_t *connections)
{
	struct table *table = table_new((const char *const[]){"NAME", "KIND", "STATE", "AT", "WEBHOOKS", "SAID", NULL});
	json_t *connection;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)connections, i, connection) {
		AUTO_FREE char *error = terminal_fit(json_text(connection, "error", ""), 60);

		table_cell(table, json_text(connection, "name", ""));
		table_cell(table, json_text(connection, "kind", ""));
		table_cell(table, json_text(connection, "state", ""));
		table_cell(table, json_text(connection, "base", ""));
		table_cell(table, json_text(connection, "hook", ""));
		table_cell(table, error);
	}
	table_end(table, "not joined to anything: `assay connect linear|jira|slack|github|gitlab|gitea|standard`");
}

static const struct verb list = {"[--json]",
				 "Lists the outside services that the server is joined to.",
				 .json = true,
				 .how = VERB_ITEMS,
				 .path = "/connections",
				 .print = list_print};
static const struct verb show = {"NAME [--json]",   "Shows one, without its secrets.", 1, 1, true, VERB_GET,
				 "/connections/{}", .print = connection_print};
static const struct verb rm = {
	"NAME", "Forgets one and its secrets.", 1, 1, .how = VERB_DELETE, .path = "/connections/{}", .said = "removed"};

int cli_connections(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{"list", "[--json]", "lists them", NULL, &list},
		{"show", "NAME [--json]", "shows one", NULL, &show},
		{"set", "NAME [--set KEY=VALUE] [--secrets]", "changes one", connection_change, NULL},
		{"rm", "NAME", "forgets one", NULL, &rm},
	};

	if (argc < 2 || strcmp(argv[1], "--json") == 0)
		return verb_run(&list, "assay connections", argc, argv);
	return cli_dispatch("assay connections", commands, ARRAY_LEN(commands), argc, argv);
}
