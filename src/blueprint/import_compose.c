/*
 * Compose files (https://github.com/compose-spec/compose-spec/blob/main/spec.md) as a draft. Theory of operation: the services are walked
 * twice. First each is either a database of ours, or a service with a command, or left out with a note; then depends_on can be told from
 * what became of the names.
 */
#include <ctype.h>

#include "base/scope.h"
#include "blueprint/import_compose_priv.h"
#include "blueprint/reader_priv.h"

/* Services that cannot start here are left out: the others are what a person begins with. */
static void service_read(struct member *member)
{
	struct draft *draft = member->compose->draft;
	const struct tree_node *profiles = tree_find(member->node, "profiles");
	size_t notes = draft->notes->length;

	if (profiles) {
		member_note(member, profiles, "profiles", "the service is left out: compose does not start it by default either");
		return;
	}
	member->service = draft_service_add(draft, member->name,
					    draft_format(draft, "%s:%d", member->compose->file_name, member->line));
	if (!member->service)
		return;
	member_fill(member);
	if (member->service->shell || member->service->argv.count)
		return;
	draft->service_count--;
	buf_cut(draft->notes, notes);
	draft_note(
		draft,
		"%s:%d: services.%s: left out: neither the file nor a Dockerfile has its command: give it a `command`, or add it here with `run`, or with its `image`",
		member->compose->file_name, member->line, member->name);
}

struct image_row {
	const char *name; /* the last part of the image's name */
	enum { IMAGE_POSTGRES, IMAGE_REDIS, IMAGE_MYSQL, IMAGE_RABBITMQ, IMAGE_NATS } kind;
};

static const struct image_row image_rows[] = {
	{"postgres", IMAGE_POSTGRES}, {"postgis", IMAGE_POSTGRES},         {"postgresql", IMAGE_POSTGRES},
	{"pgvector", IMAGE_POSTGRES}, {"timescaledb", IMAGE_POSTGRES},     {"redis", IMAGE_REDIS},
	{"valkey", IMAGE_REDIS},      {"redis-stack-server", IMAGE_REDIS}, {"mysql", IMAGE_MYSQL},
	{"mariadb", IMAGE_MYSQL},     {"mysql-server", IMAGE_MYSQL},       {"rabbitmq", IMAGE_RABBITMQ},
	{"nats", IMAGE_NATS},         {"nats-server", IMAGE_NATS},
};

/* The row of "docker.io/library/postgres:15-alpine@sha256:…"; *tag is "15-alpine", or empty. */
static const struct image_row *image_find(const char *image, struct view *tag)
{
	struct view digest;
	struct view name = view_cut(view_of(image), '@', &digest);
	struct view rest = name;

	while (rest.at)
		name = view_cut(rest, '/', &rest);
	name = view_cut(name, ':', tag);
	for (size_t i = 0; i < ARRAY_LEN(image_rows); i++)
		if (view_is(name, image_rows[i].name))
			return &image_rows[i];
	return NULL;
}

/* ./init.sql:/docker-entrypoint-initdb.d/… is how their images are seeded. */
static const char *seed_find(struct member *member, enum engine_kind engine)
{
	for (size_t i = 0; i + 1 < member->mounts.count; i += 2) {
		const char *from = member->mounts.at[i];

		if (strncmp(member->mounts.at[i + 1], "/docker-entrypoint-initdb.d", 27) != 0)
			continue;
		if (view_ends(view_of(from), VIEW(".sql")))
			return from;
		if (engine == ENGINE_POSTGRES && !view_ends(view_of(from), VIEW(".sh")) && !view_ends(view_of(from), VIEW(".gz")))
			return draft_format(member->compose->draft, "exec: cat %s/*.sql | psql -v ON_ERROR_STOP=1 \"$%s_URL\"",
					    from, "DATABASE");
		member_note(member, member->node, "volumes",
			    draft_format(member->compose->draft, "`%.60s` is no .sql file: write a `seed` of your own", from));
	}
	return NULL;
}

/* The name of <NAME>_URL. */
static const char *url_variable(struct draft *draft, const char *name)
{
	char *upper = draft_format(draft, "%s_URL", name);

	for (char *at = upper; *at; at++)
		*at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
	return upper;
}

/* Whose variables an image's name and user are in: its makers' own, and Bitnami's. */
static const struct sql_image {
	enum engine_kind engine;
	const char *users[3];
	const char *names[3];
	const char *fallback; /* the database of an image that is told nothing; NULL: its user's */
} sql_images[] = {
	{ENGINE_POSTGRES, {"POSTGRES_USER", "POSTGRESQL_USERNAME"}, {"POSTGRES_DB", "POSTGRESQL_DATABASE"}, "postgres"},
	{ENGINE_MARIADB, {"MYSQL_USER", "MARIADB_USER"}, {"MYSQL_DATABASE", "MARIADB_DATABASE"}, "app"},
};

static const char *variable_first(const struct draft_variables *env, const char *const *names)
{
	const char *found = NULL;

	for (; *names && !found; names++)
		found = draft_variables_find(env, *names);
	return found;
}

static void sql_fill(struct member *member, struct draft_database *database)
{
	const struct sql_image *image = &sql_images[database->engine == ENGINE_POSTGRES ? 0 : 1];
	struct draft *draft = member->compose->draft;
	struct draft_variables env = {0};
	const char *user;
	const char *name;

	member_draft_variables(member, &env);
	user = variable_first(&env, image->users);
	name = variable_first(&env, image->names);
	database->user = user && name_is_sql(user) ? user : NULL;
	database->database = name && name_is_sql(name) ? name : database->user ? database->user : image->fallback;
	if ((user && !database->user) || (name && strcmp(name, database->database) != 0))
		member_note(member, member->node, "environment",
			    "the database or its user has a name that is not letters, digits, `_` and `-`: another is used");
	database->seed = seed_find(member, database->engine);
	if (database->seed && strncmp(database->seed, "exec:", 5) == 0) {
		const char *line = strstr(database->seed, "$DATABASE_URL");

		database->seed = draft_format(draft, "%.*s$%s\"", (int)(line - database->seed), database->seed,
					      url_variable(draft, database->name));
	}
}

/* Whom it lets in, and its vhost. */
static void rabbitmq_fill(struct member *member, struct draft_database *database)
{
	static const char *const names[] = {"RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "RABBITMQ_DEFAULT_VHOST"};
	struct draft_variables env = {0};

	member_draft_variables(member, &env);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (draft_variables_find(&env, names[i]))
			draft_variables_set(member->compose->draft, &database->env, names[i], draft_variables_find(&env, names[i]));
}

static void database_read(struct member *member, const struct image_row *row, struct view tag)
{
	struct draft *draft = member->compose->draft;
	const char *origin = draft_format(draft, "%s:%d", member->compose->file_name, member->line);
	const struct tree_node *image = tree_find(member->node, "image");
	const struct tree_node *volumes = tree_find(member->node, "volumes");
	enum engine_kind engine = row->kind == IMAGE_POSTGRES   ? ENGINE_POSTGRES
				  : row->kind == IMAGE_MYSQL    ? ENGINE_MARIADB
				  : row->kind == IMAGE_RABBITMQ ? ENGINE_RABBITMQ
				  : row->kind == IMAGE_NATS     ? ENGINE_NATS
								: ENGINE_REDIS;
	struct draft_database *database;
	size_t digits = 0;

	database = draft_database_add(draft, member->name, origin, engine);
	if (!database)
		return;
	for (size_t i = 0; volumes && volumes->kind == TREE_LIST && i < volumes->count; i++) {
		const char *text = tree_text(volumes->items[i]);

		if (text && text[0] == '.')
			member_volume(member, volumes->items[i]);
	}
	while (digits < tag.length && isdigit((unsigned char)tag.at[digits]))
		digits++;
	if (digits && digits <= 2) {
		database->version = arena_copy(&draft->arena, view_make(tag.at, digits));
		member_note(
			member, image, "image",
			draft_format(
				draft,
				"version %s is asked for: the newest of this machine is used unless databases.%s.version says so",
				database->version, database->name));
	}
	if (engine == ENGINE_POSTGRES || engine == ENGINE_MARIADB)
		sql_fill(member, database);
	if (engine == ENGINE_RABBITMQ)
		rabbitmq_fill(member, database);
	if (row->kind == IMAGE_MYSQL && strcmp(row->name, "mariadb") != 0)
		member_note(member, image, "image", "MySQL is run as this machine's MariaDB");
	if (strcmp(row->name, "postgres") != 0 && engine == ENGINE_POSTGRES)
		member_note(member, image, "image",
			    draft_format(draft, "a PostgreSQL with extensions (%s): install them on this machine", row->name));
}

/* Does a service need another, directly or through others? `seen` has a flag for each service. */
static bool needs_already(const struct draft *draft, const char *name, const char *other, bool *seen)
{
	if (strcmp(name, other) == 0)
		return true;
	for (size_t i = 0; i < draft->service_count; i++) {
		const struct draft_service *service = &draft->services[i];

		if (seen[i] || strcmp(service->name, name) != 0)
			continue;
		seen[i] = true;
		for (size_t j = 0; j < service->needs.count; j++)
			if (needs_already(draft, service->needs.at[j], other, seen))
				return true;
	}
	return false;
}

static void need_add(struct member *member, const struct tree_node *node, const char *name, const char *condition)
{
	struct draft *draft = member->compose->draft;
	const struct draft_service *service = draft_service_find(draft, name);
	const struct draft_database *database = draft_database_find(draft, name);
	bool seen[DRAFT_MEMBERS_MAX] = {false};

	if (condition && strcmp(condition, "service_completed_successfully") == 0)
		member_note(
			member, node, "depends_on",
			draft_format(
				draft,
				"`%.60s` is to have ended: what runs once belongs into `migrate` of a database, or into `build`",
				name));
	else if (service && needs_already(draft, service->name, member->service->name, seen))
		member_note(member, node, "depends_on", draft_format(draft, "`%.60s` is left out: it needs this one itself", name));
	else if (service || database)
		draft_texts_add(draft, &member->service->needs, service ? service->name : database->name);
	else
		member_note(member, node, "depends_on", draft_format(draft, "`%.60s` is left out above", name));
}

static void needs_read(struct member *member)
{
	const char *const keys[] = {"depends_on", "links"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct tree_node *node = tree_find(member->node, keys[i]);

		for (size_t j = 0; node && node->kind == TREE_MAP && j < node->count; j++)
			need_add(member, node->pairs[j].key, node->pairs[j].key->text,
				 compose_text_at(member->compose, node->pairs[j].value, "condition"));
		for (size_t j = 0; node && node->kind == TREE_LIST && j < node->count; j++) {
			const char *name = tree_text(node->items[j]);
			struct view alias;

			if (name)
				need_add(member, node->items[j],
					 arena_copy(&member->compose->draft->arena, view_cut(view_of(name), ':', &alias)), NULL);
		}
	}
}

static struct member member_at(struct compose *compose, size_t index)
{
	const struct tree_pair *pair = &compose->services->pairs[index];

	return (struct member){.compose = compose, .name = pair->key->text, .line = pair->key->line, .node = pair->value};
}

static void members_read(struct compose *compose)
{
	for (size_t i = 0; i < compose->services->count; i++) {
		struct member member = member_at(compose, i);
		const char *image = compose_text_at(compose, member.node, "image");
		struct view tag = {0};
		const struct image_row *row = image && !tree_find(member.node, "build") ? image_find(image, &tag) : NULL;

		if (member.node->kind != TREE_MAP)
			draft_note(compose->draft, "%s:%d: services.%s: is no mapping: left out", compose->file_name,
				   member.node->line, member.name);
		else if (row)
			database_read(&member, row, tag);
		else
			service_read(&member);
	}
	for (size_t i = 0; i < compose->services->count; i++) {
		struct member member = member_at(compose, i);

		member.service = draft_service_find(compose->draft, member.name);
		if (member.service)
			needs_read(&member);
	}
}

static void top_note(struct compose *compose, const struct tree_node *root)
{
	static const char *const silent[] = {"version", "name", "services", "volumes", "networks"};

	for (size_t i = 0; i < root->count; i++) {
		const struct tree_node *key = root->pairs[i].key;
		bool known = strncmp(key->text, "x-", 2) == 0;

		for (size_t j = 0; j < ARRAY_LEN(silent); j++)
			known = known || strcmp(silent[j], key->text) == 0;
		if (!known)
			draft_note(compose->draft, "%s:%d: %s: is left out", compose->file_name, key->line, key->text);
	}
}

int draft_read_compose(struct draft *draft, const char *file_name, struct err *err)
{
	struct compose compose = {.draft = draft, .file_name = file_name};
	const char *text = draft_file(draft, file_name);
	const char *values = draft_file(draft, ".env");
	const struct tree_node *root = tree_parse(view_of(text), file_name, TREE_LOOSE, &draft->arena, err);
	const char *name;

	if (!root)
		return -1;
	compose.services = tree_find(root, "services");
	if (!compose.services || compose.services->kind != TREE_MAP)
		return err_set(err, ERR_INVALID, "%s:%d:%d: expected `services`, a mapping", file_name, root->line, root->column);
	if (values)
		draft_read_env_file(draft, values, &compose.values);
	name = compose_text_at(&compose, root, "name");
	draft->name = name ? draft_label(draft, name) : NULL;
	top_note(&compose, root);
	members_read(&compose);
	return 0;
}
