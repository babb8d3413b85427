/* Procfile and package.json as a draft. */
#include <ctype.h>

#include "base/file.h"
#include "base/json.h"
#include "base/scope.h"
#include "blueprint/import_priv.h"

#define PROCFILE_PORT 5000 /* what foreman gives `web` */
#define NODE_PORT 3000     /* what frameworks of Node listen on without PORT, which is set all the same */

static void process_read(struct draft *draft, int line, const char *name, const char *command)
{
	struct draft_service *service;

	if (strcmp(name, "release") == 0) {
		draft_note(draft, "Procfile:%d: `release` is not run: put it into `migrate` of a database: %.80s", line, command);
		return;
	}
	service = draft_service_add(draft, name, draft_format(draft, "Procfile:%d", line));
	if (!service)
		return;
	service->shell = command;
	if (strcmp(name, "web") == 0) {
		service->port = PROCFILE_PORT;
		service->published = true;
	}
}

int draft_read_procfile(struct draft *draft, struct err *err)
{
	struct view rest = view_of(draft_file(draft, "Procfile"));
	int number = 0;

	while (rest.at) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));
		struct view command;
		struct view name = view_trim(view_cut(line, ':', &command));

		number++;
		if (!line.length || line.at[0] == '#')
			continue;
		command = view_trim(command);
		if (!name.length || !command.length)
			return err_set(err, ERR_INVALID, "Procfile:%d:1: expected `name: command`", number);
		process_read(draft, number, arena_copy(&draft->arena, name), arena_copy(&draft->arena, command));
	}
	return 0;
}

/* The line of a key in the text, for notes: JSON values do not know theirs. */
static int line_of(const char *text, const char *key)
{
	AUTO_FREE char *quoted = text_format("\"%s\"", key);
	const char *found = strstr(text, quoted);
	int line = 1;

	for (const char *at = text; found && at < found; at++)
		line += *at == '\n';
	return line;
}

static bool depends_on(const json_t *package, const char *const *names, const char **found)
{
	static const char *const kinds[] = {"dependencies", "devDependencies", "optionalDependencies"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (size_t j = 0; names[j]; j++)
			if (json_object_get(json_member(package, kinds[i]), names[j])) {
				*found = names[j];
				return true;
			}
	return false;
}

static void database_detect(struct draft *draft, const json_t *package, const char *text, const char *name, enum engine_kind engine,
			    const char *const *modules)
{
	struct draft_database *database;
	const char *module = NULL;

	for (size_t i = 0; i < draft->database_count; i++)
		if (draft->databases[i].engine == engine)
			return;
	if (!depends_on(package, modules, &module))
		return;
	database = draft_database_add(draft, name, draft_format(draft, "package.json:%d: uses %s", line_of(text, module), module),
				      engine);
	if (database && engine != ENGINE_REDIS)
		database->database = "app";
	for (size_t i = 0; database && i < draft->service_count; i++)
		draft_texts_add(draft, &draft->services[i].needs, database->name);
}

static void databases_detect(struct draft *draft, const json_t *package, const char *text)
{
	static const char *const postgres[] = {"pg", "postgres", "pg-promise", "pg-native", "slonik", NULL};
	static const char *const redis[] = {"redis", "ioredis", "bull", "bullmq", "connect-redis", NULL};
	static const char *const mysql[] = {"mysql", "mysql2", "mariadb", NULL};
	static const char *const others[] = {"mongodb", "mongoose", NULL};
	const char *module = NULL;

	database_detect(draft, package, text, "db", ENGINE_POSTGRES, postgres);
	database_detect(draft, package, text, "cache", ENGINE_REDIS, redis);
	database_detect(draft, package, text, "mysql", ENGINE_MARIADB, mysql);
	if (depends_on(package, others, &module))
		draft_note(draft, "package.json:%d: %s: this database is not supported yet", line_of(text, module), module);
}

static void setup_read(struct draft *draft)
{
	static const struct {
		const char *lock;
		const char *command;
	} rows[] = {
		{"pnpm-lock.yaml", "pnpm install --frozen-lockfile"},
		{"yarn.lock", "yarn install --frozen-lockfile"},
		{"package-lock.json", "npm ci"},
		{"npm-shrinkwrap.json", "npm ci"},
	};

	draft_texts_add(draft, &draft->hosts, "registry.npmjs.org");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *path = text_format("%s/%s", draft->dir, rows[i].lock);

		if (!file_exists(path))
			continue;
		draft_texts_add(draft, &draft->setup, rows[i].command);
		draft_texts_add(draft, &draft->lock, rows[i].lock);
		return;
	}
	draft_texts_add(draft, &draft->setup, "npm install");
	draft_note(draft, "package.json: no lock file: each install may get other versions; commit one, and let setup be `npm ci`");
}

/* scripts.start, else scripts.dev, becomes the service. */
static void script_read(struct draft *draft, const json_t *scripts, const char *text)
{
	const char *script = json_text(scripts, "start", NULL) ? "start" : json_text(scripts, "dev", NULL) ? "dev" : NULL;
	struct draft_service *service;

	if (!script) {
		draft_note(draft, "package.json:%d: scripts: there is no `start` and no `dev`: write the service's `run`",
			   line_of(text, "scripts"));
		return;
	}
	service = draft_service_add(draft, "web", draft_format(draft, "package.json:%d", line_of(text, script)));
	if (!service)
		return;
	service->shell = strcmp(script, "start") == 0 ? "npm start" : "npm run dev";
	service->build = json_text(scripts, "build", NULL) ? "npm run build" : NULL;
	service->port = NODE_PORT;
	service->published = true;
	draft_note(
		draft,
		"package.json:%d: scripts.%s: port %d is assumed: PORT tells it to the program; change `port` if it does not listen there",
		line_of(text, script), script, NODE_PORT);
}

static void test_read(struct draft *draft, const json_t *scripts)
{
	const char *test = json_text(scripts, "test", NULL);

	if (test && !strstr(test, "no test specified"))
		draft->test = "npm test";
}

int draft_read_package(struct draft *draft, bool services, struct err *err)
{
	const char *text = draft_file(draft, "package.json");
	AUTO_JSON package = json_parse(view_of(text), err);
	const json_t *scripts = json_member(package, "scripts");
	const char *engine = json_text(json_member(package, "engines"), "node", NULL);

	if (!package)
		return err_prefix(err, "package.json");
	if (!draft->name && json_text(package, "name", NULL))
		draft->name = draft_label(draft, json_text(package, "name", ""));
	if (services)
		script_read(draft, scripts, text);
	if (!draft->setup.count)
		setup_read(draft);
	test_read(draft, scripts);
	if (services || strcmp(draft->source, "Procfile") == 0)
		databases_detect(draft, package, text);
	if (engine)
		draft_note(draft, "package.json:%d: engines: Node %.40s is asked for: this machine's is used, or set `image`",
			   line_of(text, "engines"), engine);
	return 0;
}
