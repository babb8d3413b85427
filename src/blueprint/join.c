/*
 * Blueprints of several repositories as one.
 *
 * Theory of operation. Each is read on its own first, so that what is wrong in it is said with its line. Then they are put together as JSON, which
 * YAML is a form of: paths get their folder, commands begin in it, mappings are united by name, lists appended. What comes out is parsed again
 * like anybody's assay.yaml.
 */
#include "blueprint/join.h"

#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "blueprint/reader_priv.h"

struct joining {
	json_t *whole;
	json_t *side; /* of the one that is being added */
	const char *folder;
	bool added;     /* one was before it */
	json_t *owners; /* "services.web" -> the folder that it came from */
	struct err *err;
};

/* ---- from a tree to JSON ---- */

/* Numbers and truths stay what they are; everything else is a text. */
static json_t *scalar_json(const struct tree_node *node)
{
	AUTO_FREE char *canonical = NULL;
	uint64_t number;

	if (node->plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0))
		return json_boolean(node->text[0] == 't');
	if (node->plain && view_to_u64(view_of(node->text), &number) && number <= INT64_MAX) {
		canonical = text_format("%llu", (unsigned long long)number);
		if (strcmp(canonical, node->text) == 0)
			return json_integer((json_int_t)number);
	}
	return json_string(node->text);
}

static json_t *tree_json(const struct tree_node *node)
{
	json_t *json = node->kind == TREE_LIST ? json_array() : json_object();

	if (node->kind == TREE_SCALAR) {
		json_decref(json);
		return scalar_json(node);
	}
	for (size_t i = 0; node->kind == TREE_LIST && i < node->count; i++)
		(void)json_array_append_new(json, tree_json(node->items[i]));
	for (size_t i = 0; node->kind == TREE_MAP && i < node->count; i++)
		if (!tree_is_null(node->pairs[i].value))
			(void)json_object_set_new(json, node->pairs[i].key->text, tree_json(node->pairs[i].value));
		else /* a member without a value is there all the same */
			(void)json_object_set_new(json, node->pairs[i].key->text, json_null());
	return json;
}

/* ---- paths and commands of a folder ---- */

static json_t *path_in(const char *folder, const char *path)
{
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	return strcmp(path, ".") == 0 || !*path ? json_string(folder) : json_sprintf("%s/%s", folder, path);
}

static void path_move(json_t *object, const char *key, const char *folder)
{
	const char *path = json_text(object, key, NULL);

	if (path)
		(void)json_object_set_new(object, key, path_in(folder, path));
}

static json_t *paths_in(const json_t *list, const char *folder)
{
	json_t *moved = json_array();
	size_t index;
	json_t *path;

	json_array_foreach(list, index, path)
		if (json_is_string(path))
			(void)json_array_append_new(moved, path_in(folder, json_string_value(path)));
	return moved;
}

/* A shell line, or a list of arguments, that begins in the folder. */
static json_t *command_in(const json_t *command, const char *folder)
{
	json_t *list;

	if (json_is_string(command))
		return json_sprintf("cd %s && {\n%s\n}", folder, json_string_value(command));
	list = json_pack("[s, s, o, s]", "sh", "-c", json_sprintf("cd %s && exec \"$@\"", folder), "sh");
	(void)json_array_extend(list, (json_t *)(uintptr_t)command);
	return list;
}

/* What has no `dir` is about the whole tree, which is the folder now. */
static void dir_move(json_t *object, const char *folder)
{
	(void)json_object_set_new(object, "dir", path_in(folder, json_text(object, "dir", ".")));
}

/* ---- mappings by name ---- */

static void service_move(struct joining *joining, json_t *service)
{
	if (json_member(service, "dir"))
		path_move(service, "dir", joining->folder);
	else if (json_member(service, "run"))
		(void)json_object_set_new(service, "dir", json_string(joining->folder));
}

static void database_move(struct joining *joining, json_t *database)
{
	const char *seed = json_text(database, "seed", NULL);
	json_t *migrate = json_member(database, "migrate");

	if (seed && strncmp(seed, "exec:", 5) == 0)
		(void)json_object_set_new(database, "seed", json_sprintf("exec: cd %s && {\n%s\n}", joining->folder, seed + 5));
	else
		path_move(database, "seed", joining->folder);
	if (migrate)
		(void)json_object_set_new(database, "migrate", command_in(migrate, joining->folder));
	if (json_member(database, "rollback"))
		(void)json_object_set_new(database, "rollback", command_in(json_member(database, "rollback"), joining->folder));
	if (strcmp(json_text(database, "engine", ""), "redis") != 0 && !json_member(database, "database"))
		(void)json_object_set(database, "database", json_member(joining->side, "name"));
}

static void suite_move(struct joining *joining, json_t *suite)
{
	dir_move(suite, joining->folder);
	if (json_member(suite, "files"))
		(void)json_object_set_new(suite, "files", paths_in(json_member(suite, "files"), joining->folder));
}

static void host_move(struct joining *joining, json_t *host)
{
	path_move(host, "stub", joining->folder);
}

static const struct mapping {
	const char *name;
	const char *one; /* for messages */
	void (*move)(struct joining *joining, json_t *member);
	bool renames; /* one whose name is taken gets its folder before it */
} mappings[] = {
	{"services", "service", service_move, false},
	{"databases", "database", database_move, false},
	{"queues", "queue", NULL, false},
	{"tests", "test suite", suite_move, true},
	{"hosts", "host", host_move, false},
	{"secrets", "variable of `secrets`", NULL, false},
};

static json_t *section_of(json_t *whole, const char *name, bool list)
{
	json_t *section = json_member(whole, name);

	if (!section) {
		section = list ? json_array() : json_object();
		(void)json_object_set_new(whole, name, section);
	}
	return section;
}

/* The same thing twice is one thing. */
static int member_add(struct joining *joining, const struct mapping *mapping, json_t *section, const char *name, json_t *member)
{
	AUTO_FREE char *own = text_format("%s-%s", joining->folder, name);
	AUTO_FREE char *key = text_format("%s.%s", mapping->name, name);
	json_t *there = json_object_get(section, name);

	if (there && mapping->renames && json_object_get(section, own))
		return err_set(joining->err, ERR_INVALID, "%s: `%s` is taken, too: rename one %s", joining->folder, own,
			       mapping->one);
	if (there && mapping->renames)
		name = own;
	else if (there && json_equal(there, member))
		return 0;
	else if (there)
		return err_set(joining->err, ERR_INVALID,
			       "%s and %s both have a %s `%s`, and not the same: together they need different names",
			       json_text(joining->owners, key, ""), joining->folder, mapping->one, name);
	(void)json_object_set_new(joining->owners, key, json_string(joining->folder));
	(void)json_object_set(section, name, member);
	return 0;
}

static int mapping_add(struct joining *joining, const struct mapping *mapping)
{
	json_t *section;
	const char *name;
	json_t *member;

	if (!json_is_object(json_member(joining->side, mapping->name)))
		return 0;
	section = section_of(joining->whole, mapping->name, false);
	json_object_foreach(json_member(joining->side, mapping->name), name, member) {
		if (mapping->move && json_is_object(member))
			mapping->move(joining, member);
		if (member_add(joining, mapping, section, name, member))
			return -1;
	}
	return 0;
}

/* ---- the other sections ---- */

static bool list_has(const json_t *list, const json_t *item)
{
	size_t index;
	json_t *one;

	json_array_foreach(list, index, one)
		if (json_equal(one, item))
			return true;
	return false;
}

/* Appends what is not there yet. */
static void list_add(json_t *section, const char *key, const json_t *items)
{
	json_t *list;
	size_t index;
	json_t *item;

	if (!json_array_size(items))
		return;
	list = section_of(section, key, true);
	json_array_foreach(items, index, item)
		if (!list_has(list, item))
			(void)json_array_append(list, item);
}

static void list_move(json_t *section, const char *key, const json_t *items, const char *folder)
{
	AUTO_JSON moved = paths_in(items, folder);

	list_add(section, key, moved);
}

/* What only one can say is said by the first that does. */
static void first_says(json_t *section, const char *key, const json_t *from)
{
	if (!json_member(section, key) && json_member(from, key))
		(void)json_object_set(section, key, json_member(from, key));
}

static int variables_add(struct joining *joining, const char *where, json_t *section, const json_t *variables)
{
	json_t *all;
	const char *name;
	json_t *value;

	if (!json_object_size(variables))
		return 0;
	all = section_of(section, "env", false);
	json_object_foreach((json_t *)(uintptr_t)variables, name, value) {
		json_t *there = json_object_get(all, name);

		if (there && !json_equal(there, value))
			return err_set(joining->err, ERR_INVALID, "%s: another repository has another value for %s.env.%s",
				       joining->folder, where, name);
		(void)json_object_set(all, name, value);
	}
	return 0;
}

/* Whose lock files are not named means the well-known ones, and whose are named means only those: both at once cannot be said. */
static int locks_add(struct joining *joining, json_t *section, const json_t *workspace)
{
	bool first = !json_member(section, "setup");

	if (!json_member(workspace, "setup"))
		return 0;
	if (!first && !json_member(section, "lock") != !json_member(workspace, "lock"))
		return err_set(joining->err, ERR_INVALID,
			       "%s: workspace.lock must be given in all repositories that have workspace.setup, or in none",
			       joining->folder);
	list_move(section, "lock", json_member(workspace, "lock"), joining->folder);
	return 0;
}

static int workspace_add(struct joining *joining)
{
	const json_t *workspace = json_member(joining->side, "workspace");
	const json_t *setup = json_member(workspace, "setup");
	json_t *section;
	size_t index;
	json_t *line;

	if (!json_is_object(workspace))
		return 0;
	section = section_of(joining->whole, "workspace", false);
	if (locks_add(joining, section, workspace) || variables_add(joining, "workspace", section, json_member(workspace, "env")))
		return -1;
	first_says(section, "limits", workspace);
	if (json_is_string(setup))
		(void)json_array_append_new(section_of(section, "setup", true), command_in(setup, joining->folder));
	json_array_foreach(setup, index, line)
		(void)json_array_append_new(section_of(section, "setup", true), command_in(line, joining->folder));
	return 0;
}

static void longest_says(json_t *section, const char *key, const json_t *from)
{
	int64_t there = 0;
	int64_t here = 0;

	if (!duration_parse(view_of(json_text(section, key, "0s")), &there, NULL) &&
	    !duration_parse(view_of(json_text(from, key, "0s")), &here, NULL) && here > there)
		(void)json_object_set(section, key, json_member(from, key));
}

/* Its blueprint, and what runs its checks, may be changed by a person only: in the repository itself the gates know these names. */
static void protected_add(json_t *verify, const char *folder)
{
	json_t *list = section_of(verify, "protected", true);

	(void)json_array_append_new(list, path_in(folder, "assay.yaml"));
	for (const char *const *glob = blueprint_ci_globs; *glob; glob++)
		(void)json_array_append_new(list, path_in(folder, *glob));
}

static void linters_add(json_t *section, const json_t *linters, const char *folder)
{
	AUTO_JSON moved = json_array();
	size_t index;
	json_t *linter;

	json_array_foreach(linters, index, linter) {
		json_t *copy = json_deep_copy(linter);

		dir_move(copy, folder);
		(void)json_array_append_new(moved, copy);
	}
	list_add(section, "linters", moved);
}

/* A gate is left out where everybody leaves it out. */
static void skip_join(const struct joining *joining, json_t *section, const json_t *skip)
{
	AUTO_JSON old = json_incref(json_member(section, "skip"));
	json_t *both = json_array();
	size_t index;
	size_t place;
	json_t *gate;
	json_t *other;

	json_array_foreach(skip, index, gate) {
		bool there = !joining->added;

		json_array_foreach(old, place, other)
			there = there || json_equal(gate, other);
		if (there)
			(void)json_array_append(both, gate);
	}
	(void)json_object_set_new(section, "skip", both);
}

static void verify_add(struct joining *joining)
{
	const json_t *from = json_member(joining->side, "verify");
	json_t *section = section_of(joining->whole, "verify", false);

	protected_add(section, joining->folder);
	list_move(section, "protected", json_member(from, "protected"), joining->folder);
	skip_join(joining, section, json_member(from, "skip"));
	first_says(section, "latency", from);
	first_says(section, "clock", from);
	if (json_number(from, "attempts", 0) > json_number(section, "attempts", 0))
		(void)json_object_set(section, "attempts", json_member(from, "attempts"));
	longest_says(section, "timeout", from);
	longest_says(section, "mutation", from);
	list_add(section, "invariants", json_member(from, "invariants"));
	linters_add(section, json_member(from, "linters"), joining->folder);
	list_add(section, "rules", json_member(from, "rules"));
	list_add(section, "pages", json_member(from, "pages"));
	list_add(section, "licences", json_member(from, "licences"));
}

static void egress_add(struct joining *joining)
{
	const json_t *from = json_member(joining->side, "egress");
	json_t *dlp = json_member(from, "dlp");
	json_t *section;

	if (!json_is_object(from))
		return;
	section = section_of(joining->whole, "egress", false);
	list_add(section, "rules", json_member(from, "rules"));
	first_says(section, "budget", from);
	if (!json_is_object(dlp))
		return;
	path_move(dlp, "gitleaks", joining->folder);
	section = section_of(section, "dlp", false);
	list_add(section, "rules", json_member(dlp, "rules"));
	list_add(section, "allow", json_member(dlp, "allow"));
	list_add(section, "secrets", json_member(dlp, "secrets"));
	first_says(section, "gitleaks", dlp);
}

/* Who works is said by the first; its program begins where it is written for. */
static void agent_add(struct joining *joining)
{
	json_t *agent = json_member(joining->side, "agent");
	json_t *run = json_member(agent, "run");

	if (json_member(joining->whole, "agent") || !json_is_object(agent))
		return;
	if (run)
		(void)json_object_set_new(agent, "run", command_in(run, joining->folder));
	(void)json_object_set(joining->whole, "agent", agent);
}

static int side_add(struct joining *joining)
{
	for (size_t i = 0; i < ARRAY_LEN(mappings); i++)
		if (mapping_add(joining, &mappings[i]))
			return -1;
	if (workspace_add(joining))
		return -1;
	list_move(joining->whole, "sessions", json_member(joining->side, "sessions"), joining->folder);
	verify_add(joining);
	egress_add(joining);
	agent_add(joining);
	first_says(joining->whole, "preview", joining->side);
	return 0;
}

/* ---- the whole ---- */

/* A host that another repository has as a service is that service. */
static void hosts_drop(json_t *whole)
{
	json_t *hosts = json_member(whole, "hosts");
	const char *name;
	json_t *member;

	json_object_foreach(json_member(whole, "services"), name, member)
		(void)json_object_del(hosts, name);
	json_object_foreach(json_member(whole, "databases"), name, member)
		(void)json_object_del(hosts, name);
}

/* The first that is marked, else the first with a port: of the first repository that has one. */
static void preview_choose(json_t *whole)
{
	json_t *preview = section_of(whole, "preview", false);
	const char *chosen = json_text(preview, "service", NULL);
	const char *first = NULL;
	const char *name;
	json_t *service;

	json_object_foreach(json_member(whole, "services"), name, service) {
		if (!chosen && json_flag(service, "preview", false))
			chosen = name;
		if (!first && json_number(service, "port", 0))
			first = name;
		(void)json_object_del(service, "preview");
	}
	if (chosen || first)
		(void)json_object_set_new(preview, "service", json_string(chosen ? chosen : first));
}

/* A snapshot is one cut of all databases: that of the only repository that has some, else one of the whole. */
static void snapshot_choose(json_t *whole, const json_t *owners)
{
	const char *owner = NULL;
	bool several = false;
	const char *name;
	json_t *database;

	json_object_foreach(json_member(whole, "databases"), name, database) {
		AUTO_FREE char *key = text_format("databases.%s", name);
		const char *from = json_text(owners, key, "");

		several = several || (owner && strcmp(owner, from) != 0);
		owner = from;
	}
	json_object_foreach(json_member(whole, "databases"), name, database) {
		AUTO_FREE char *key = text_format("names.%s", owner);

		if (several)
			(void)json_object_del(database, "snapshot");
		else if (!json_member(database, "snapshot"))
			(void)json_object_set(database, "snapshot", json_member(owners, key));
	}
}

/* "shop-lib", cut to what a name may have. */
static void name_choose(json_t *whole, const struct blueprint_side *sides, size_t count)
{
	AUTO_BUF name = buf_new(READER_NAME_MAX);

	for (size_t i = 0; i < count; i++)
		buf_add_format(&name, "%s%s", i ? "-" : "", sides[i].folder);
	while (name.length && name.at[name.length - 1] == '-')
		buf_cut(&name, name.length - 1);
	json_set_bytes(whole, "name", buf_view(&name));
}

static json_t *side_read(const struct blueprint_side *side, struct err *err)
{
	AUTO_FREE char *file = text_format("%s/assay.yaml", side->folder);
	AUTO_BLUEPRINT checked = blueprint_parse(side->text, file, err);
	AUTO_ARENA nodes = {0};
	const struct tree_node *root = checked ? tree_parse(side->text, file, TREE_STRICT, &nodes, err) : NULL;

	return root ? tree_json(root) : NULL;
}

static int sides_add(struct joining *joining, const struct blueprint_side *sides, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_JSON side = NULL;
		AUTO_FREE char *key = text_format("names.%s", sides[i].folder);

		joining->folder = sides[i].folder;
		if (!sides[i].text.length) {
			protected_add(section_of(joining->whole, "verify", false), joining->folder);
			continue;
		}
		joining->side = side = side_read(&sides[i], joining->err);
		if (!side || side_add(joining))
			return -1;
		joining->added = true;
		(void)json_object_set(joining->owners, key, json_member(side, "name"));
	}
	return 0;
}

int blueprint_join(const struct blueprint_side *sides, size_t count, struct buf *out, struct err *err)
{
	AUTO_JSON whole = json_object();
	AUTO_JSON owners = json_object();
	AUTO_BLUEPRINT checked = NULL;
	struct joining joining = {.whole = whole, .owners = owners, .err = err};

	(void)json_object_set_new(whole, "version", json_integer(1));
	name_choose(whole, sides, count);
	if (sides_add(&joining, sides, count))
		return -1;
	if (!json_member(whole, "services"))
		return err_set(err, ERR_INVALID, "none of the repositories has an assay.yaml: at least one must say what runs");
	hosts_drop(whole);
	preview_choose(whole);
	snapshot_choose(whole, owners);
	buf_add_text(out, "# Made of the blueprints of several repositories: each is in the folder of its name.\n");
	json_format_pretty(out, whole);
	buf_add_char(out, '\n');
	if (buf_finish(out, err))
		return err_prefix(err, "the blueprint of all repositories");
	checked = blueprint_parse(buf_view(out), "assay.yaml of all repositories", err);
	return checked ? 0 : -1;
}
