/* Defaults, and the rules that join several values of a blueprint: names, needs, queues, the preview. */
#include <strings.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "blueprint/reader_priv.h"

#define ATTEMPTS_DEFAULT 4
#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define TEST_TIMEOUT_DEFAULT (10 * MINUTE_MS)
#define VERIFY_TIMEOUT_DEFAULT (10 * MINUTE_MS)
#define AGENT_TIMEOUT_DEFAULT (30 * MINUTE_MS)
#define PREVIEW_GRACE_DEFAULT (24 * 60 * MINUTE_MS)
#define PREVIEW_IDLE_DEFAULT (10 * MINUTE_MS)

static const char *const reserved_names[] = {"all", "assay", "workspace", "preview", "localhost", "internal", NULL};

static void text_default(struct reader *reader, char **text, const char *value)
{
	if (!*text)
		*text = arena_copy(reader->arena, view_of(value));
}

static void number_default(int64_t *number, int64_t value)
{
	if (!*number)
		*number = value;
}

/* The node of a section's member: the records of a mapping are in the order of its pairs. */
static const struct tree_pair *member_at(const struct tree_node *root, const char *section, size_t index)
{
	return &tree_find(root, section)->pairs[index];
}

bool blueprint_name_is_reserved(const char *name)
{
	for (const char *const *reserved = reserved_names; *reserved; reserved++)
		if (strcmp(*reserved, name) == 0)
			return true;
	return false;
}

static int names_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->service_count; i++)
		if (blueprint_name_is_reserved(blueprint->services[i].name))
			return reader_refuse(reader, member_at(root, "services", i)->key, "services: the name `%s` is reserved",
					     blueprint->services[i].name);
	for (size_t i = 0; i < blueprint->database_count; i++) {
		const char *name = blueprint->databases[i].name;

		if (blueprint_name_is_reserved(name))
			return reader_refuse(reader, member_at(root, "databases", i)->key, "databases: the name `%s` is reserved",
					     name);
		if (blueprint_service_find(blueprint, name))
			return reader_refuse(reader, member_at(root, "databases", i)->key,
					     "databases: `%s` is the name of a service too: choose another", name);
	}
	return 0;
}

/* Replicas of `front` are called front-2, front-3, …: no service may have such a name. */
static int replicas_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->service_count; i++)
		for (int number = 2; number <= blueprint->services[i].replicas; number++) {
			AUTO_FREE char *name = text_format("%s-%d", blueprint->services[i].name, number);

			if (blueprint_service_find(blueprint, name) || blueprint_database_find(blueprint, name))
				return reader_refuse(reader, member_at(root, "services", i)->key,
						     "services.%s: its replica %d would be called `%s`, which is taken",
						     blueprint->services[i].name, number, name);
		}
	return 0;
}

static int need_unknown(struct reader *reader, const struct blueprint *blueprint, const struct tree_node *node, const char *service)
{
	struct nearest nearest = nearest_new(view_of(node->text));
	AUTO_BUF shown = buf_new(256);

	tree_describe(&shown, node);
	for (size_t i = 0; i < blueprint->service_count; i++)
		nearest_offer(&nearest, blueprint->services[i].name);
	for (size_t i = 0; i < blueprint->database_count; i++)
		nearest_offer(&nearest, blueprint->databases[i].name);
	return reader_refuse(reader, node, "services.%s.needs: %s is no service or database%s%s%s", service, shown.at,
			     nearest.name ? ": did you mean `" : "", nearest.name ? nearest.name : "", nearest.name ? "`?" : "");
}

static size_t service_index(const struct blueprint *blueprint, const char *name)
{
	const struct service *service = blueprint_service_find(blueprint, name);

	return service ? (size_t)(service - blueprint->services) : SIZE_MAX;
}

enum visit { VISIT_NEW, VISIT_OPEN, VISIT_DONE };

/* Depth first along needs; meeting an open service again is a cycle. */
static int cycle_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint, size_t index,
		       enum visit *visits)
{
	const struct service *service = &blueprint->services[index];

	visits[index] = VISIT_OPEN;
	for (size_t i = 0; i < service->needs.count; i++) {
		size_t next = service_index(blueprint, service->needs.at[i]);

		if (next == SIZE_MAX || visits[next] == VISIT_DONE)
			continue;
		if (visits[next] == VISIT_OPEN)
			return reader_refuse(reader, tree_find(member_at(root, "services", index)->value, "needs")->items[i],
					     "services.%s.needs: `%s` needs, directly or through others, `%s`: a cycle",
					     service->name, service->needs.at[i], service->name);
		if (cycle_check(reader, root, blueprint, next, visits))
			return -1;
	}
	visits[index] = VISIT_DONE;
	return 0;
}

static int needs_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint)
{
	enum visit visits[READER_MEMBERS_MAX] = {VISIT_NEW};

	for (size_t i = 0; i < blueprint->service_count; i++) {
		const struct service *service = &blueprint->services[i];
		const struct tree_node *list = tree_find(member_at(root, "services", i)->value, "needs");

		for (size_t j = 0; j < service->needs.count; j++) {
			const char *need = service->needs.at[j];

			if (!blueprint_service_find(blueprint, need) && !blueprint_database_find(blueprint, need))
				return need_unknown(reader, blueprint, list->items[j], service->name);
			for (size_t k = 0; k < j; k++)
				if (strcmp(service->needs.at[k], need) == 0)
					return reader_refuse(reader, list->items[j], "services.%s.needs: `%s` is here twice",
							     service->name, need);
		}
	}
	for (size_t i = 0; i < blueprint->service_count; i++)
		if (visits[i] == VISIT_NEW && cycle_check(reader, root, blueprint, i, visits))
			return -1;
	return 0;
}

static int services_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	if (!blueprint->service_count)
		return reader_refuse(reader, tree_find(root, "services"), "services: expected at least one service");
	for (size_t i = 0; i < blueprint->service_count; i++) {
		struct service *service = &blueprint->services[i];
		const struct tree_node *node = member_at(root, "services", i)->value;

		if (!service->run.shell && !service->run.argv) {
			if (!service->image)
				return reader_refuse(reader, member_at(root, "services", i)->key,
						     "services.%s: needs `run`, a shell line or a list of arguments, or an `image` "
						     "whose own program is run",
						     service->name);
		} else /* the image's own program starts in the image's own folder */
			text_default(reader, &service->dir, ".");
		service->replicas = service->replicas ? service->replicas : 1;
		if ((service->ready == READY_TCP || service->ready == READY_HTTP) && !service->port)
			return reader_refuse(reader, tree_find(node, "ready"), "services.%s.ready: needs `port`, or `exec: LINE`",
					     service->name);
		if (service->ready == READY_NONE && service->port)
			service->ready = READY_TCP;
	}
	return 0;
}

static bool has_queues(const struct database *database)
{
	return database->engine == ENGINE_REDIS || database->engine == ENGINE_RABBITMQ || database->engine == ENGINE_NATS;
}

/* The folder of a SQLite file, which is its alone; owned by the caller. */
static char *folder_of(const char *path)
{
	return view_copy(view_make(path, (size_t)(strrchr(path, '/') - path)));
}

static int file_finish(struct reader *reader, const struct tree_node *node, struct blueprint *blueprint, size_t index)
{
	struct database *database = &blueprint->databases[index];
	const char *stray = database->database ? "database" : database->user ? "user" : NULL;
	AUTO_FREE char *path = text_format("/data/%s/%s.db", database->name, blueprint->name);
	AUTO_FREE char *folder = NULL;

	if (stray)
		return reader_refuse(reader, tree_find(node, stray),
				     "databases.%s.%s: sqlite has none: `path` is where the file is", database->name, stray);
	text_default(reader, &database->path, path);
	text_default(reader, &database->database, strrchr(database->path, '/') + 1);
	text_default(reader, &database->user, "sqlite");
	folder = folder_of(database->path);
	for (size_t i = 0; i < index; i++) {
		AUTO_FREE char *other = blueprint->databases[i].path ? folder_of(blueprint->databases[i].path) : NULL;

		if (other && strcmp(folder, other) == 0)
			return reader_refuse(reader, node, "databases.%s: its folder %s is that of `%s`: each file needs its own",
					     database->name, folder, blueprint->databases[i].name);
	}
	return 0;
}

static int databases_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->database_count; i++) {
		struct database *database = &blueprint->databases[i];
		const struct tree_node *node = member_at(root, "databases", i)->value;
		const char *stray = database->database ? "database" : database->user ? "user" : NULL;

		if (database->engine == ENGINE_MYSQL)
			database->engine = ENGINE_MARIADB;
		if (database->path && database->engine != ENGINE_SQLITE)
			return reader_refuse(reader, tree_find(node, "path"), "databases.%s.path: only sqlite is a file",
					     database->name);
		if (database->engine == ENGINE_SQLITE) {
			if (file_finish(reader, node, blueprint, i))
				return -1;
		} else if (!has_queues(database)) {
			text_default(reader, &database->database, blueprint->name);
			text_default(reader, &database->user, database->engine == ENGINE_POSTGRES ? "postgres" : "root");
		} else if (stray) {
			return reader_refuse(reader, tree_find(node, stray), "databases.%s.%s: %s has none", database->name, stray,
					     engine_word(database->engine));
		}
		if (database->subset_count && has_queues(database))
			return reader_refuse(reader, tree_find(node, "subset"), "databases.%s.subset: it has no tables",
					     database->name);
		if (database->mask_count && has_queues(database) && database->engine != ENGINE_REDIS)
			return reader_refuse(reader, tree_find(node, "mask"),
					     "databases.%s.mask: it has no columns: mask what a program loads into it",
					     database->name);
		if (database->mask_count &&
		    mask_names_check(reader, tree_find(node, "mask"), database->name, database->engine == ENGINE_REDIS))
			return -1;
	}
	return 0;
}

static int queues_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->queue_count; i++) {
		struct queue *queue = &blueprint->queues[i];
		const struct database *database = blueprint_database_find(blueprint, queue->database);
		const struct tree_node *node = tree_find(member_at(root, "queues", i)->value, "database");

		if (!database || !has_queues(database))
			return reader_refuse(reader, node, "queues.%s.database: `%s` is not %s", queue->name, queue->database,
					     database ? "a redis, rabbitmq or nats" : "one of the databases");
		text_default(reader, &queue->stream, queue->name);
	}
	return 0;
}

/* A statement is asked of the one PostgreSQL there is, when it does not say which. */
static bool speaks_sql(const struct database *database)
{
	return database->engine == ENGINE_POSTGRES || database->engine == ENGINE_MARIADB || database->engine == ENGINE_SQLITE;
}

static int invariant_database(struct reader *reader, const struct tree_node *node, struct blueprint *blueprint,
			      struct invariant *invariant)
{
	const struct database *only = NULL;
	const struct database *named = invariant->database ? blueprint_database_find(blueprint, invariant->database) : NULL;
	size_t count = 0;

	for (size_t i = 0; i < blueprint->database_count; i++)
		if (speaks_sql(&blueprint->databases[i])) {
			only = &blueprint->databases[i];
			count++;
		}
	if (invariant->database && (!named || !speaks_sql(named)))
		return reader_refuse(reader, node, "verify.invariants: `%s` is not %s", invariant->database,
				     named ? "one that speaks SQL" : "one of the databases");
	if (!invariant->database && count != 1)
		return reader_refuse(reader, node, "verify.invariants: `sql` needs a `database`: there %s",
				     count ? "are several" : "is none that speaks SQL");
	if (!invariant->database)
		text_default(reader, &invariant->database, only->name);
	return 0;
}

static int invariants_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	const struct tree_node *list = tree_find(tree_find(root, "verify"), "invariants");

	for (size_t i = 0; i < blueprint->verify.invariant_count; i++) {
		struct invariant *invariant = &blueprint->verify.invariants[i];

		if (!invariant->sql == !invariant->http)
			return reader_refuse(reader, list->items[i], "verify.invariants: expected either `sql` or `http` of `%s`",
					     invariant->name);
		if (invariant->sql && invariant_database(reader, list->items[i], blueprint, invariant))
			return -1;
	}
	return 0;
}

static enum report_format format_of(const char *report)
{
	static const struct {
		const char *suffix;
		enum report_format format;
	} rows[] = {{".xml", REPORT_JUNIT},
		    {".tap", REPORT_TAP},
		    {".json", REPORT_CTRF},
		    {".jsonl", REPORT_JSON},
		    {".ndjson", REPORT_JSON}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_ends(view_of(report), view_of(rows[i].suffix)))
			return rows[i].format;
	return REPORT_NONE;
}

static int tests_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->test_count; i++) {
		struct test_suite *test = &blueprint->tests[i];
		const struct tree_node *node = member_at(root, "tests", i)->value;

		text_default(reader, &test->dir, ".");
		number_default(&test->timeout_ms, TEST_TIMEOUT_DEFAULT);
		if (test->format != REPORT_NONE && !test->report)
			return reader_refuse(reader, tree_find(node, "format"), "tests.%s.format: needs `report`, the file",
					     test->name);
		if (test->report && test->format == REPORT_NONE)
			test->format = format_of(test->report);
		if (test->report && test->format == REPORT_NONE)
			return reader_refuse(
				reader, tree_find(node, "report"),
				"tests.%s.report: needs `format`: junit, tap, ctrf or json, since the name does not tell",
				test->name);
	}
	return 0;
}

static int hosts_finish(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->host_count; i++) {
		const char *name = blueprint->hosts[i].name;
		const struct tree_node *key = member_at(root, "hosts", i)->key;

		if (blueprint_name_is_reserved(name) || view_ends(view_of(name), VIEW(".internal")) ||
		    view_ends(view_of(name), VIEW(".localhost")))
			return reader_refuse(reader, key, "hosts: the name `%s` is reserved", name);
		if (blueprint_service_find(blueprint, name) || blueprint_database_find(blueprint, name))
			return reader_refuse(reader, key, "hosts: `%s` is the name of a service or database too", name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(blueprint->hosts[j].name, name) == 0)
				return reader_refuse(reader, key, "hosts: `%s` is here twice", name);
	}
	return 0;
}

static int agent_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	const struct tree_node *node = tree_find(root, "agent");
	bool runs = blueprint->agent.run.shell || blueprint->agent.run.argv;

	text_default(reader, &blueprint->agent.use, runs ? "command" : "claude");
	text_default(reader, &blueprint->agent.format, "text");
	text_default(reader, &blueprint->agent.settings, "ignore");
	number_default(&blueprint->agent.timeout_ms, AGENT_TIMEOUT_DEFAULT);
	if ((strcmp(blueprint->agent.use, "command") == 0 || strcmp(blueprint->agent.use, "acp") == 0) && !runs)
		return reader_refuse(reader, tree_find(node, "use"), "agent.use: `%s` needs `run`", blueprint->agent.use);
	return 0;
}

/* The service that the preview shows: the one that `preview` names, else the one marked, else the first with a port. */
static int preview_choose(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	const struct service *marked = NULL;
	const struct service *first = NULL;

	for (size_t i = 0; i < blueprint->service_count; i++) {
		const struct service *service = &blueprint->services[i];
		const struct tree_node *node = tree_find(member_at(root, "services", i)->value, "preview");

		if (!first && service->port)
			first = service;
		if (!service->preview)
			continue;
		if (!service->port)
			return reader_refuse(reader, node, "services.%s.preview: needs `port`", service->name);
		if (marked)
			return reader_refuse(reader, node, "services.%s.preview: `%s` is the preview already", service->name,
					     marked->name);
		if (blueprint->preview.service && strcmp(blueprint->preview.service, service->name) != 0)
			return reader_refuse(reader, node, "services.%s.preview: `preview.service` says `%s`", service->name,
					     blueprint->preview.service);
		marked = service;
	}
	if (!blueprint->preview.service && (marked || first))
		text_default(reader, &blueprint->preview.service, marked ? marked->name : first->name);
	return 0;
}

static int preview_finish(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	const struct tree_node *node = tree_find(tree_find(root, "preview"), "service");
	size_t index;

	text_default(reader, &blueprint->preview.path, "/");
	number_default(&blueprint->preview.grace_ms, PREVIEW_GRACE_DEFAULT);
	number_default(&blueprint->preview.idle_ms, PREVIEW_IDLE_DEFAULT);
	if (preview_choose(reader, root, blueprint))
		return -1;
	if (!blueprint->preview.service)
		return 0;
	index = service_index(blueprint, blueprint->preview.service);
	if (index == SIZE_MAX)
		return reader_refuse(reader, node, "preview.service: there is no service `%s`", blueprint->preview.service);
	if (!blueprint->services[index].port)
		return reader_refuse(reader, node, "preview.service: `%s` has no port", blueprint->preview.service);
	blueprint->services[index].preview = true;
	return 0;
}

int blueprint_check(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint)
{
	blueprint->verify.attempts = blueprint->verify.attempts ? blueprint->verify.attempts : ATTEMPTS_DEFAULT;
	number_default(&blueprint->verify.timeout_ms, VERIFY_TIMEOUT_DEFAULT);
	if (services_finish(reader, root, blueprint) || databases_finish(reader, root, blueprint) ||
	    names_check(reader, root, blueprint) || replicas_check(reader, root, blueprint) ||
	    needs_check(reader, root, blueprint) || queues_finish(reader, root, blueprint) ||
	    tests_finish(reader, root, blueprint) || hosts_finish(reader, root, blueprint) ||
	    invariants_finish(reader, root, blueprint) ||
	    egress_rules_check(reader, tree_find(tree_find(root, "egress"), "rules"), blueprint->egress.rules,
			       blueprint->egress.rule_count) ||
	    blueprint_dlp_check(reader, root, blueprint))
		return -1;
	return agent_finish(reader, root, blueprint) || preview_finish(reader, root, blueprint) ? -1 : 0;
}
