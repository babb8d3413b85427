/* assay snapshot create|list|show|rm */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/verb.h"

struct sources {
	json_t *list;
	const char *database; /* for those that follow on the command line */
};

static int source_add(struct sources *sources, const char *kind, const char *value, bool path, struct err *err)
{
	AUTO_FREE char *whole = path ? realpath(value, NULL) : text_copy(value);
	json_t *source;

	if (!whole)
		return err_set(err, ERR_NOT_FOUND, "no file %s", value);
	source = json_pack("{s:s}", kind, whole);
	if (sources->database)
		(void)json_object_set_new(source, "database", json_string(sources->database));
	(void)json_array_append_new(sources->list, source);
	return 0;
}

static int each_seed(void *self, const char *value, struct err *err)
{
	return source_add(self, "seed", value, true, err);
}

static int each_dump(void *self, const char *value, struct err *err)
{
	return source_add(self, "dump", value, true, err);
}

static int each_from(void *self, const char *value, struct err *err)
{
	return source_add(self, "url", value, false, err);
}

static int each_database(void *self, const char *value, struct err *err)
{
	struct sources *sources = self;

	(void)err;
	sources->database = value;
	return 0;
}

static json_t *create(struct api *api, const char *name, const char *folder, const json_t *sources, bool as_json, struct err *err)
{
	AUTO_FREE char *path = realpath(folder, NULL);
	AUTO_JSON place = NULL;
	AUTO_JSON repository = NULL;
	AUTO_JSON body = NULL;

	if (!path) {
		(void)err_set(err, ERR_NOT_FOUND, "no folder %s", folder);
		return NULL;
	}
	place = json_pack("{s:s, s:s}", "path", path, "revision", "HEAD");
	repository = api_post(api, "/repositories", place, err);
	if (!repository)
		return NULL;
	body = json_pack("{s:s, s:s, s:s, s:O}", "name", name, "repository", json_text(repository, "name", ""), "commit",
			 json_text(repository, "commit", ""), "sources", sources);
	return api_work(api, "/snapshots", body, as_json ? (struct api_listener){0} : api_progress_printer(), err);
}

static int snapshot_create(int argc, char **argv)
{
	static const char program[] = "assay snapshot create";
	AUTO_JSON list = json_array();
	struct sources sources = {.list = list};
	const char *folder = ".";
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "seed", .value = "FILE", .help = "SQL, or a script to run", .each = each_seed, .self = &sources},
		{.name = "dump",
		 .value = "FILE",
		 .help = "of pg_dump or mariadb-dump, or a Redis RDB",
		 .each = each_dump,
		 .self = &sources},
		{.name = "from", .value = "URL", .help = "a running server", .each = each_from, .self = &sources},
		{.name = "database", .value = "NAME", .help = "where what follows goes", .each = each_database, .self = &sources},
		{.name = "folder", .value = "FOLDER", .help = "the repository (default: this one)", .text = &folder},
		{.name = "json", .help = "the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = program,
		.arguments = "NAME [[--database NAME] --seed FILE|--dump FILE|--from URL]…",
		.about =
			"Builds the next version of a snapshot of all databases of the blueprint. Those without a source start empty.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1,
	};
	AUTO_API struct api *api = NULL;
	AUTO_JSON answer = NULL;
	struct err err = {0};
	int code;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	api = api_open(program, true, &err);
	if (api)
		answer = create(api, argv[1], folder, list, as_json, &err);
	if (!answer)
		return cli_fail(program, as_json, &err);
	if (as_json)
		cli_print_json(answer);
	else
		printf("snapshot %s/%lld\n", json_text(answer, "name", argv[1]), (long long)json_number(answer, "version", 0));
	return CLI_DONE;
}

static void leaks_print(const json_t *leaks)
{
	json_t *leak;
	size_t index;

	json_array_foreach(leaks, index, leak) {
		AUTO_FREE char *column = terminal_line(json_text(leak, "column", ""));

		printf("  %-12s %s looks like somebody's: %lld of kind %s\n", "", column, (long long)json_number(leak, "count", 0),
		       json_text(leak, "kind", ""));
	}
}

static void snapshot_print(const json_t *snapshot)
{
	AUTO_BUF age = buf_new(64);
	json_t *database;
	size_t index;

	duration_format(&age, world_now_ms(world_real) - json_number(snapshot, "created_ms", 0));
	printf("%s/%lld  %.12s  %lld MiB  %s old  used by %lld\n", json_text(snapshot, "name", ""),
	       (long long)json_number(snapshot, "version", 0), json_text(snapshot, "digest", ""),
	       (long long)(json_number(snapshot, "bytes", 0) >> 20), age.at ? age.at : "",
	       (long long)json_number(snapshot, "used_by", 0));
	json_array_foreach(json_member(snapshot, "databases"), index, database) {
		AUTO_FREE char *source = terminal_line(json_text(database, "source", ""));

		printf("  %-12s %s %lld  from %s\n", json_text(database, "name", ""), json_text(database, "engine", ""),
		       (long long)json_number(database, "version", 0), source);
		if (json_number(database, "masked", 0))
			printf("  %-12s %lld columns masked\n", "", (long long)json_number(database, "masked", 0));
		leaks_print(json_member(database, "leaks"));
	}
}

static void list_print(const json_t *items)
{
	json_t *snapshot;
	size_t index;

	if (!json_array_size(items))
		printf("no snapshots: `assay snapshot create` makes one, and so does the first `assay env up` of a blueprint with a seed\n");
	json_array_foreach(items, index, snapshot)
		snapshot_print(snapshot);
}

static char *path_of(const char *text, bool any, struct err *err)
{
	struct view version;
	AUTO_FREE char *name = view_copy(view_cut(view_of(text), '/', &version));

	if (version.length)
		return api_path("/snapshots/{}/{}", name, version.at);
	if (any)
		return api_path("/snapshots/{}", name);
	(void)err_set(err, ERR_INVALID, "expected NAME/VERSION, not `%s`", text);
	return NULL;
}

static char *path_of_any(char **argv, struct err *err)
{
	return path_of(argv[1], true, err);
}

static char *path_of_one(char **argv, struct err *err)
{
	return path_of(argv[1], false, err);
}

static const struct verb list = {"[--json]",           "Lists the snapshots, newest first.",
				 .json = true,         .how = VERB_ITEMS,
				 .path = "/snapshots", .print = list_print};
static const struct verb show = {"NAME[/VERSION] [--json]",
				 "Shows a version of a snapshot (default: the newest).",
				 1,
				 1,
				 true,
				 VERB_GET,
				 .path_make = path_of_any,
				 .print = snapshot_print};
static const struct verb rm = {"NAME/VERSION",          "Removes a version that no environment uses.", 1, 1, .how = VERB_DELETE,
			       .path_make = path_of_one};

static const struct cli_command commands[] = {
	{"create", "NAME [--seed FILE|--dump FILE|--from URL]", "builds the next version", snapshot_create},
	{"list", "", "lists the snapshots", .verb = &list},
	{"show", "NAME[/VERSION]", "shows one", .verb = &show},
	{"rm", "NAME/VERSION", "removes one that nobody uses", .verb = &rm},
};

int cli_snapshot(int argc, char **argv)
{
	return cli_dispatch("assay snapshot", commands, ARRAY_LEN(commands), argc, argv);
}
