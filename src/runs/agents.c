/* The agents of this machine: which are installed, installing one, and which of them a run's workspace has. */
#include <stdlib.h>
#include <unistd.h>

#include "agents/agent.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "sandbox/environment.h"

#define REGISTRY_DEFAULT "https://registry.npmjs.org/"
#define CERTIFICATES "/etc/ssl/certs/ca-certificates.crt"

/* The versions of one tool, newest first as installed. */
static json_t *versions_of(const json_t *tools, const char *name)
{
	json_t *versions = json_array();
	size_t index;
	json_t *tool;

	json_array_foreach(tools, index, tool)
		if (strcmp(json_text(tool, "name", ""), name) == 0)
			(void)json_array_append_new(versions, json_string(json_text(tool, "version", "")));
	return versions;
}

/* Where the machine itself has the program, as sandboxes without an image see it; owned, or NULL. */
static char *host_program(const char *command)
{
	static const char *const places[] = {"/usr/local/bin", "/usr/bin", "/bin"};

	for (size_t i = 0; command && i < ARRAY_LEN(places); i++) {
		char *path = text_format("%s/%s", places[i], command);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

/* What a run that names it would miss, and what to do about it; NULL: nothing, or it is the blueprint's to say. Owned. */
static char *missing(const struct agent_ops *ops, const json_t *versions)
{
	const char *command = ops->package.command;
	AUTO_FREE char *found = host_program(command);

	if (!command || found || json_array_size(versions))
		return NULL;
	if (ops->package.npm)
		return text_format("its program: assay agents install %s", ops->name);
	return text_format("its program, `%s`: not on npm; install it on this machine or in the image", command);
}

json_t *runs_agent_list(struct runs *runs, struct err *err)
{
	AUTO_JSON tools = tool_list(runs->options.environments, err);
	json_t *list = tools ? json_array() : NULL;
	size_t count;
	const struct agent_ops *const *rows = agent_rows(&count);

	for (size_t i = 0; list && i < count; i++) {
		json_t *row = json_pack("{s:s, s:b, s:o}", "name", rows[i]->name, "resumes", rows[i]->resumes, "installed",
					versions_of(tools, rows[i]->name));

		AUTO_FREE char *lack = NULL;

		if (rows[i]->key)
			(void)json_object_set_new(row, "key", json_string(rows[i]->key));
		if (rows[i]->package.npm)
			(void)json_object_set_new(row, "measured", json_string(rows[i]->package.version));
		lack = missing(rows[i], json_member(row, "installed"));
		if (lack)
			(void)json_object_set_new(row, "missing", json_string(lack));
		(void)json_array_append_new(list, row);
	}
	return list;
}

/* The host of an http(s) URL, as a rule names it; owned. NULL: it is no URL. */
static char *host_of(const char *url, struct err *err)
{
	const char *begin = strstr(url, "://");
	size_t length = begin ? strcspn(begin + 3, ":/?#@") : 0;

	if (!begin || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || !length ||
	    begin[3 + length] == '@' || strpbrk(url, "\"'\\ ")) {
		(void)err_set(err, ERR_INVALID, "`%.200s` is no URL of an npm registry", url);
		return NULL;
	}
	return view_copy(view_make(begin + 3, length));
}

json_t *runs_agent_install(struct runs *runs, const char *name, const char *version, const char *registry, struct progress progress,
			   struct err *err)
{
	const struct agent_ops *ops = agent_find(name);
	AUTO_FREE char *script = NULL;
	AUTO_FREE char *host = NULL;
	char *url = (char *)(uintptr_t)(registry ? registry : REGISTRY_DEFAULT); /* variables are read only */
	static char cafile_name[] = "npm_config_cafile", cafile[] = CERTIFICATES, registry_name[] = "npm_config_registry",
		    notifier_name[] = "npm_config_update_notifier", off[] = "false";
	struct name_value variables[] = {{registry_name, url}, {cafile_name, cafile}, {notifier_name, off}};
	const struct variables env = {variables, ARRAY_LEN(variables)};
	struct tool_spec spec = {.name = name, .env = &env};

	if (!ops) {
		(void)err_set(err, ERR_NOT_FOUND, "no agent `%.60s`", name);
		return NULL;
	}
	script = agent_install_script(ops, version, err);
	host = script ? host_of(url, err) : NULL;
	if (!host)
		return NULL;
	spec.version = version ? version : ops->package.version;
	spec.script = script;
	spec.hosts = (const char *const[]){host, NULL};
	if (tool_install(runs->options.environments, &spec, progress, err))
		return NULL;
	return json_pack("{s:s, s:s}", "name", name, "version", spec.version);
}

int runs_agent_remove(struct runs *runs, const char *name, const char *version, struct err *err)
{
	return tool_remove(runs->options.environments, name, version, err);
}

/* The row whose program it is that is run: its own, or the one that a program for `acp` or `command` is called by. */
static const struct agent_ops *program_row(const struct blueprint *blueprint)
{
	const struct agent_ops *ops = agent_find(blueprint->agent.use);
	const char *line = blueprint->agent.run.shell;
	struct view rest;
	struct view word = blueprint->agent.run.argv ? view_of(blueprint->agent.run.argv[0])
						     : view_cut(view_trim(view_of(line ? line : "")), ' ', &rest);
	size_t count;
	const struct agent_ops *const *rows = agent_rows(&count);

	if (!word.length)
		return ops && ops->package.npm ? ops : NULL;
	for (size_t i = 0; i < count; i++)
		if (rows[i]->package.command && view_is(word, rows[i]->package.command))
			return rows[i];
	return NULL;
}

char *agent_tool(struct runs *runs, const struct blueprint *blueprint)
{
	const struct agent_ops *ops = program_row(blueprint);
	AUTO_JSON tools = ops ? tool_list(runs->options.environments, NULL) : NULL;
	const char *chosen = NULL;
	size_t index;
	json_t *tool;

	if (!ops)
		return NULL;
	json_array_foreach(tools, index, tool) {
		const char *version = json_text(tool, "version", "");

		if (strcmp(json_text(tool, "name", ""), ops->name) == 0 && (!chosen || strcmp(version, ops->package.version) == 0))
			chosen = version;
	}
	return chosen ? text_format("%s/%s", ops->name, chosen) : NULL;
}
