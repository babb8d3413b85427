/* assay agents [list|install|rm] */
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/verb.h"

static void list_print(const json_t *items)
{
	struct table *table = table_new((const char *const[]){"AGENT", "INSTALLED", "MEASURED WITH", "KEY", "MISSING", NULL});
	json_t *agent;
	size_t index;

	json_array_foreach(items, index, agent) {
		AUTO_BUF versions = buf_new(4096);
		json_t *version;
		size_t nth;

		json_array_foreach(json_member(agent, "installed"), nth, version)
			buf_add_format(&versions, "%s%s", nth ? ", " : "", json_string_value(version));
		table_cell(table, json_text(agent, "name", ""));
		table_cell(table, versions.length ? versions.at : "-");
		table_cell(table, json_text(agent, "measured", "-"));
		table_cell(table, json_text(agent, "key", "-"));
		table_cell(table, json_text(agent, "missing", "-"));
	}
	table_end(table, "no agents");
}

/* NAME[@VERSION], as npm writes it. */
static json_t *install_body(int count, char **argv, struct err *err)
{
	struct view version;
	AUTO_FREE char *name = view_copy(view_cut(view_of(argv[1]), '@', &version));
	json_t *body;

	if (!*name || (version.at && !version.length)) {
		(void)err_set(err, ERR_INVALID, "expected NAME or NAME@VERSION, not `%s`", argv[1]);
		return NULL;
	}
	body = json_pack("{s:s}", "name", name);
	if (version.at)
		(void)json_object_set_new(body, "version", json_string(version.at));
	if (count > 1)
		(void)json_object_set_new(body, "registry", json_string(argv[2]));
	return body;
}

static void install_print(const json_t *answer)
{
	printf("%s %s is installed\n", json_text(answer, "name", ""), json_text(answer, "version", ""));
}

static char *rm_path(char **argv, struct err *err)
{
	struct view version;
	AUTO_FREE char *name = view_copy(view_cut(view_of(argv[1]), '@', &version));

	if (*name && version.length)
		return api_path("/agents/{}/{}", name, version.at);
	(void)err_set(err, ERR_INVALID, "expected NAME@VERSION, not `%s`", argv[1]);
	return NULL;
}

static const struct verb list = {
	"[--json]",        "Lists the agents that a blueprint can name, and which of them are installed here.",
	.json = true,      .how = VERB_ITEMS,
	.path = "/agents", .print = list_print};
static const struct verb install = {
	"NAME[@VERSION] [REGISTRY] [--json]",
	"Installs an agent from npm (REGISTRY: its URL, when it is not npm's own). Runs that name it have it.",
	1,
	2,
	true,
	VERB_WORK,
	.path = "/agents",
	.body_make = install_body,
	.print = install_print};
static const struct verb rm = {"NAME@VERSION",      "Removes a version that no environment has.", 1, 1, .how = VERB_DELETE,
			       .path_make = rm_path};

static const struct cli_command commands[] = {
	{"list", "[--json]", "lists the agents", .verb = &list},
	{"install", "NAME[@VERSION] [REGISTRY]", "installs one from npm", .verb = &install},
	{"rm", "NAME@VERSION", "removes one", .verb = &rm},
};

int cli_agents(int argc, char **argv)
{
	static char list_word[] = "list";
	char *listed[] = {argv[0], list_word, argc > 1 ? argv[1] : NULL, NULL};
	bool only_options = argc == 1 || (argc == 2 && strcmp(argv[1], "--json") == 0);

	return only_options ? cli_dispatch("assay agents", commands, ARRAY_LEN(commands), argc + 1, listed)
			    : cli_dispatch("assay agents", commands, ARRAY_LEN(commands), argc, argv);
}
