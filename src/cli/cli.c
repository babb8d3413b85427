/* Finding the subcommand, taking options out of its arguments, and the one way in which commands fail. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "cli/commands.h"
#include "cli/verb.h"

static void commands_print(const char *program, const struct cli_command *commands, size_t count)
{
	printf("usage: %s COMMAND [ARGUMENTS]\n\n", program);
	for (size_t i = 0; i < count; i++)
		printf("  %-11s %s\n", commands[i].name, commands[i].summary);
	printf("\n%s COMMAND --help says more.\n", program);
}

static const struct cli_command *command_find(const struct cli_command *commands, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int command_unknown(const char *program, const struct cli_command *commands, size_t count, const char *name)
{
	struct nearest nearest = nearest_new(view_of(name));

	for (size_t i = 0; i < count; i++)
		nearest_offer(&nearest, commands[i].name);
	if (nearest.name)
		return cli_refuse(program, "unknown command `%s`: did you mean `%s`?", name, nearest.name);
	return cli_refuse(program, "unknown command `%s`: `%s help` lists them", name, program);
}

static int command_run(const char *program, const struct cli_command *command, int argc, char **argv)
{
	AUTO_FREE char *whole = text_format("%s %s", program, command->name);

	return command->verb ? verb_run(command->verb, whole, argc, argv) : command->run(argc, argv);
}

int cli_dispatch(const char *program, const struct cli_command *commands, size_t count, int argc, char **argv)
{
	const struct cli_command *command;
	bool help = argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
	char *about[] = {NULL, (char[]){"--help"}, NULL};

	if (help && argc < 3) {
		commands_print(program, commands, count);
		return CLI_DONE;
	}
	command = command_find(commands, count, help ? argv[2] : argv[1]);
	if (!command)
		return command_unknown(program, commands, count, help ? argv[2] : argv[1]);
	if (!help)
		return command_run(program, command, argc - 1, argv + 1);
	about[0] = argv[2];
	return command_run(program, command, 2, about);
}

#define COMMAND_ROW(name, arguments, summary) {#name, arguments, summary, .run = cli_##name},
static const struct cli_command commands[] = {CLI_COMMANDS(COMMAND_ROW)};

int cli_main(int argc, char **argv)
{
	char *version[] = {(char[]){"version"}, NULL};

	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return cli_version(1, version);
	return cli_dispatch("assay", commands, ARRAY_LEN(commands), argc, argv);
}

static void usage_print(const struct cli_usage *usage)
{
	printf("usage: %s%s%s\n\n%s\n", usage->program, usage->arguments[0] ? " " : "", usage->arguments, usage->about);
	if (usage->option_count)
		putchar('\n');
	for (size_t i = 0; i < usage->option_count; i++) {
		const struct cli_option *option = &usage->options[i];
		AUTO_FREE char *left = text_format("--%s%s%s", option->name, option->value ? " " : "",
						   option->value ? option->value : "");

		printf("  %-22s %s\n", left, option->help);
	}
}

static const struct cli_option *option_find(const struct cli_usage *usage, struct view name)
{
	for (size_t i = 0; i < usage->option_count; i++)
		if (view_is(name, usage->options[i].name))
			return &usage->options[i];
	return NULL;
}

static int option_unknown(const struct cli_usage *usage, const char *argument, struct view name)
{
	struct nearest nearest = nearest_new(name);

	for (size_t i = 0; i < usage->option_count; i++)
		nearest_offer(&nearest, usage->options[i].name);
	if (nearest.name)
		return cli_refuse(usage->program, "unknown option `%s`: did you mean `--%s`?", argument, nearest.name);
	return cli_refuse(usage->program, "unknown option `%s`: `%s --help` lists them", argument, usage->program);
}

/* Puts a value where the option's row says. Returns CLI_DONE or CLI_USAGE. */
static int option_apply(const struct cli_usage *usage, const struct cli_option *option, const char *value)
{
	struct err err = {0};
	uint64_t number;

	if (option->flag)
		*option->flag = true;
	if (option->text)
		*option->text = value;
	if (option->number) {
		if (!view_to_u64(view_of(value), &number) || number > INT64_MAX)
			return cli_refuse(usage->program, "--%s: expected a number, not `%s`", option->name, value);
		*option->number = (int64_t)number;
	}
	if (option->each && option->each(option->self, value, &err))
		return cli_refuse(usage->program, "--%s: %s", option->name, err.text);
	return CLI_DONE;
}

/* One option at argv[at]; *used is how many arguments it took. */
static int option_take(const struct cli_usage *usage, int argc, char **argv, int at, int *used)
{
	struct view value;
	struct view name = view_cut(view_of(argv[at] + 2), '=', &value);
	const struct cli_option *option = option_find(usage, name);

	*used = 1;
	if (!option)
		return option_unknown(usage, argv[at], name);
	if (!option->value && value.at)
		return cli_refuse(usage->program, "--%s takes no value", option->name);
	if (!option->value)
		return option_apply(usage, option, NULL);
	if (value.at)
		return option_apply(usage, option, value.at);
	if (at + 1 >= argc)
		return cli_refuse(usage->program, "--%s needs a value: --%s %s", option->name, option->name, option->value);
	*used = 2;
	return option_apply(usage, option, argv[at + 1]);
}

static int positional_check(const struct cli_usage *usage, int count, char **argv, int *code)
{
	const char *space = usage->arguments[0] ? " " : "";

	if (count < usage->positional_min) {
		*code = cli_refuse(usage->program, "too few arguments: usage: %s%s%s", usage->program, space, usage->arguments);
		return -1;
	}
	if (usage->positional_max >= 0 && count > usage->positional_max) {
		*code = cli_refuse(usage->program, "unexpected argument `%s`: usage: %s%s%s", argv[usage->positional_max + 1],
				   usage->program, space, usage->arguments);
		return -1;
	}
	return count;
}

int cli_options(const struct cli_usage *usage, int argc, char **argv, int *code)
{
	bool ended = false;
	int count = 0;

	for (int at = 1, used = 1; at < argc; at += used) {
		used = 1;
		if (ended || argv[at][0] != '-' || argv[at][1] == '\0') {
			argv[++count] = argv[at];
			ended = ended || usage->options_first;
			continue;
		}
		if (strcmp(argv[at], "--") == 0) {
			ended = true;
			continue;
		}
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
			usage_print(usage);
			*code = CLI_DONE;
			return -1;
		}
		*code = argv[at][1] == '-' ? option_take(usage, argc, argv, at, &used)
					   : option_unknown(usage, argv[at], view_of(argv[at] + 1));
		if (*code != CLI_DONE)
			return -1;
	}
	return positional_check(usage, count, argv, code);
}

int cli_fail(const char *program, bool as_json, const struct err *err)
{
	AUTO_JSON json = NULL;

	if (!as_json) {
		fprintf(stderr, "%s: %s\n", program, err->text);
		return CLI_FAILED;
	}
	json = json_pack("{s:b, s:s}", "ok", 0, "kind", err_kind_name(err->kind));
	json_set_bytes(json, "error", view_of(err->text));
	cli_print_json(json);
	return CLI_FAILED;
}

int cli_refuse(const char *program, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return CLI_USAGE;
}

void cli_print_json(const json_t *json)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	json_format_pretty(&text, json);
	printf("%s\n", text.at ? text.at : "");
}
