/* What a Dockerfile says about running its last stage: CMD, ENTRYPOINT, EXPOSE, ENV. What it builds is said, not done. */
#include <ctype.h>
#include <strings.h>

#include "base/json.h"
#include "base/scope.h"
#include "blueprint/import_priv.h"

struct dockerfile {
	struct draft *draft;
	struct draft_service *service;
	const char *file_name; /* for notes: "front/Dockerfile" */
	const char *context;
	int line; /* of the instruction */
	struct draft_texts command;
	struct draft_texts entrypoint;
	const char *command_shell; /* the shell forms */
	const char *entrypoint_shell;
	const char *port;
	struct draft_variables env;
	struct draft_variables arguments;
};

/* The list of a JSON array of texts, or NULL when it is none: then it is the shell form. */
static bool exec_form(struct draft *draft, const char *text, struct draft_texts *argv)
{
	AUTO_JSON list = text[0] == '[' ? json_parse(view_of(text), NULL) : NULL;
	json_t *item;
	size_t index;

	*argv = (struct draft_texts){0};
	if (!json_is_array(list))
		return false;
	argv->at = arena_take_array(&draft->arena, json_array_size(list) + 1, sizeof(*argv->at));
	json_array_foreach(list, index, item)
		argv->at[argv->count++] = arena_copy(&draft->arena, view_of(json_is_string(item) ? json_string_value(item) : ""));
	return true;
}

/* ENV A=b C="d e", or the old ENV A b. */
static void env_read(struct dockerfile *file, const char *text, struct draft_variables *variables)
{
	struct draft *draft = file->draft;
	size_t name_end = strcspn(text, "= \t");
	AUTO_BUF lines = buf_new(DRAFT_FILE_BYTES_MAX);
	char quote = '\0';

	if (text[name_end] == ' ' || text[name_end] == '\t') {
		draft_variables_set(draft, variables, arena_copy(&draft->arena, view_make(text, name_end)),
				    arena_copy(&draft->arena, view_trim(view_of(text + name_end))));
		return;
	}
	for (const char *at = text; *at; at++) {
		if (!quote && (*at == '"' || *at == '\''))
			quote = *at;
		else if (*at == quote)
			quote = '\0';
		buf_add_char(&lines, !quote && (*at == ' ' || *at == '\t') ? '\n' : *at);
	}
	draft_read_env_file(draft, lines.at ? lines.at : "", variables);
}

/* RUN lines that prepare the checkout become workspace.setup, or the service's build; the others are only told. */
static void run_read(struct dockerfile *file, const char *text)
{
	static const char *const installers[] = {"npm ci", "npm install", "yarn install", "yarn --frozen", "pnpm install"};
	struct draft *draft = file->draft;

	for (size_t i = 0; i < ARRAY_LEN(installers); i++) {
		if (strncmp(text, installers[i], strlen(installers[i])) != 0)
			continue;
		draft_texts_add(draft, &draft->setup,
				strcmp(file->context, ".") == 0
					? arena_copy(&draft->arena, view_of(i < 2 ? installers[i] : text))
					: draft_format(draft, "cd %s && %s", file->context, i < 2 ? installers[i] : text));
		draft_texts_add(draft, &draft->hosts, "registry.npmjs.org");
		return;
	}
	if (strncmp(text, "npm run ", 8) == 0 || strncmp(text, "yarn build", 10) == 0 || strncmp(text, "yarn run ", 9) == 0) {
		file->service->build = file->service->build ? draft_format(draft, "%s && %s", file->service->build, text) : text;
		return;
	}
	draft_note(draft, "%s:%d: `RUN %.60s%s` is not run: install it on this machine, or put it into workspace.setup or `build`",
		   file->file_name, file->line, text, strlen(text) > 60 ? "…" : "");
}

static void instruction_read(struct dockerfile *file, const char *word, const char *text)
{
	struct draft *draft = file->draft;

	if (strcasecmp(word, "FROM") == 0) {
		file->command = file->entrypoint = (struct draft_texts){0};
		file->command_shell = file->entrypoint_shell = file->port = NULL;
		file->env = (struct draft_variables){0};
	} else if (strcasecmp(word, "CMD") == 0) {
		file->command_shell = exec_form(draft, text, &file->command) ? NULL : text;
	} else if (strcasecmp(word, "ENTRYPOINT") == 0) {
		file->entrypoint_shell = exec_form(draft, text, &file->entrypoint) ? NULL : text;
	} else if (strcasecmp(word, "EXPOSE") == 0 && !file->port) {
		file->port = text;
	} else if (strcasecmp(word, "ENV") == 0) {
		env_read(file, draft_interpolate(draft, text, &file->arguments, NULL), &file->env);
	} else if (strcasecmp(word, "ARG") == 0) {
		env_read(file, text, &file->arguments);
	} else if (strcasecmp(word, "RUN") == 0) {
		run_read(file, text);
	}
}

/* Joins lines that end with a backslash, drops comments and blank lines. */
static void instructions_read(struct dockerfile *file, const char *text)
{
	struct view rest = view_of(text);
	AUTO_BUF whole = buf_new(DRAFT_FILE_BYTES_MAX);
	int number = 0;

	while (rest.at) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));
		bool more = line.length && line.at[line.length - 1] == '\\';
		char *instruction;
		size_t word_end;

		number++;
		if (!line.length || line.at[0] == '#')
			continue;
		if (!whole.length)
			file->line = number;
		buf_add_format(&whole, "%s%.*s", whole.length ? " " : "", (int)(line.length - more), line.at);
		if (more)
			continue;
		instruction = arena_copy(&file->draft->arena, view_trim(buf_view(&whole)));
		buf_clear(&whole);
		word_end = strcspn(instruction, " \t");
		if (!instruction[word_end])
			continue;
		instruction[word_end] = '\0';
		instruction_read(file, instruction, instruction + word_end + 1 + strspn(instruction + word_end + 1, " \t"));
	}
}

static void command_fill(const struct dockerfile *file, struct draft_service *service)
{
	struct draft *draft = file->draft;

	if (file->entrypoint_shell) {
		service->shell = file->entrypoint_shell;
	} else if (file->entrypoint.count && file->command_shell) {
		service->shell = draft_format(draft, "%s %s", draft_shell_line(draft, &file->entrypoint), file->command_shell);
	} else if (file->command_shell) {
		service->shell = file->command_shell;
	} else {
		for (size_t i = 0; i < file->entrypoint.count; i++)
			draft_texts_append(draft, &service->argv, file->entrypoint.at[i]);
		for (size_t i = 0; i < file->command.count; i++)
			draft_texts_append(draft, &service->argv, file->command.at[i]);
	}
}

void draft_read_dockerfile(struct draft *draft, struct draft_service *service, const char *context, const char *file_name)
{
	const char *path = draft_path(draft, context, file_name);
	const char *text = path ? draft_file(draft, path) : NULL;
	struct dockerfile file = {.draft = draft, .service = service, .file_name = path, .context = context};
	uint64_t port;

	if (!text)
		return;
	instructions_read(&file, text);
	if (!service->shell && !service->argv.count)
		command_fill(&file, service);
	if (!service->port && !service->restart && file.port &&
	    view_to_u64(view_make(file.port, strspn(file.port, "0123456789")), &port) && port && port <= UINT16_MAX)
		service->port = (int)port;
	for (size_t i = 0; i < file.env.count; i++) {
		const struct draft_variable *variable = &file.env.at[i];

		if (!draft_variables_find(&service->env, variable->name) && draft_variable_is_good(variable) &&
		    strcmp(variable->name, "PATH") != 0)
			draft_variables_set(draft, &service->env, variable->name, variable->value);
	}
}
