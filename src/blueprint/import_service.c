/* One service of a compose file. The keys of a service are rows: mapped, of no meaning here, or said to be left out. */
#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "blueprint/import_compose_priv.h"
#include "blueprint/reader_priv.h"

#define READY_USUAL_MS 20000        /* what a service gets without a word */
#define START_PERIOD_MAX_MS 3500000 /* of what a blueprint may say */

void member_note(struct member *member, const struct tree_node *node, const char *key, const char *text)
{
	draft_note(member->compose->draft, "%s:%d: services.%s.%s: %s", member->compose->file_name, node->line, member->name, key,
		   text);
}

/* The text of a scalar with its ${…} replaced; NULL when it is none. */
const char *compose_text(struct compose *compose, const struct tree_node *node)
{
	const char *missing = NULL;
	const char *text = tree_text(node);

	if (!text)
		return NULL;
	text = draft_interpolate(compose->draft, text, &compose->values, &missing);
	if (missing)
		draft_note(compose->draft, "%s:%d: `${%s}` has no value here: write it where it is needed", compose->file_name,
			   node->line, missing);
	return text;
}

const char *compose_text_at(struct compose *compose, const struct tree_node *map, const char *key)
{
	return compose_text(compose, tree_find(map, key));
}

/* A command's list, or its text: compose splits a text into words without a shell, so that `$$` is a `$`. */
static void command_read(struct member *member, const char *key, struct draft_texts *argv, const char **shell)
{
	const struct tree_node *node = tree_find(member->node, key);

	if (!node)
		return;
	if (node->kind == TREE_SCALAR)
		*shell = compose_text(member->compose, node);
	for (size_t i = 0; node->kind == TREE_LIST && i < node->count; i++) {
		const char *text = compose_text(member->compose, node->items[i]);

		draft_texts_append(member->compose->draft, argv, text ? text : "");
	}
}

static void command_finish(struct member *member)
{
	struct draft *draft = member->compose->draft;
	struct draft_service *service = member->service;
	const char *front = member->entrypoint_shell ? member->entrypoint_shell : draft_shell_line(draft, &member->entrypoint);
	const char *back = member->command_shell ? member->command_shell : draft_shell_line(draft, &member->command);

	if (member->entrypoint_shell || member->command_shell) {
		service->shell = front[0] && back[0] ? draft_format(draft, "%s %s", front, back) : front[0] ? front : back;
		if (!service->shell[0])
			service->shell = NULL;
		return;
	}
	for (size_t i = 0; i < member->entrypoint.count; i++)
		draft_texts_append(draft, &service->argv, member->entrypoint.at[i]);
	for (size_t i = 0; i < member->command.count; i++)
		draft_texts_append(draft, &service->argv, member->command.at[i]);
}

static void variable_add(struct member *member, const struct tree_node *node, struct draft_variables *variables, const char *name,
			 const char *value)
{
	struct draft *draft = member->compose->draft;

	if (!value)
		member_note(member, node, "environment",
			    draft_format(draft, "`%.60s` comes from the shell that runs compose: write its value", name));
	else if (draft_variable_is_good(&(struct draft_variable){name, value}))
		draft_variables_set(draft, variables, name, value);
	else
		member_note(member, node, "environment",
			    draft_format(draft, "`%.60s` cannot be the name of a variable, or is too long", name));
}

static void environment_read(struct member *member, struct draft_variables *variables)
{
	const struct tree_node *node = tree_find(member->node, "environment");
	struct draft *draft = member->compose->draft;

	for (size_t i = 0; node && i < node->count && node->kind == TREE_MAP; i++)
		variable_add(member, node->pairs[i].key, variables, node->pairs[i].key->text,
			     compose_text(member->compose, node->pairs[i].value));
	for (size_t i = 0; node && i < node->count && node->kind == TREE_LIST; i++) {
		const char *text = compose_text(member->compose, node->items[i]);
		struct view value;
		struct view name = view_cut(view_of(text ? text : ""), '=', &value);

		variable_add(member, node->items[i], variables, arena_copy(&draft->arena, name),
			     value.at ? arena_copy(&draft->arena, value) : NULL);
	}
}

static void env_file_read(struct member *member, const struct tree_node *node, struct draft_variables *variables)
{
	struct draft *draft = member->compose->draft;
	const char *path = node->kind == TREE_MAP ? compose_text_at(member->compose, node, "path")
						  : compose_text(member->compose, node);
	const char *inside = path ? draft_path(draft, ".", path) : NULL;
	const char *text = inside ? draft_file(draft, inside) : NULL;
	struct draft_variables read = {0};

	if (!text) {
		member_note(member, node, "env_file",
			    draft_format(draft, "`%.60s` cannot be read: write its variables into `env`", path ? path : ""));
		return;
	}
	draft_read_env_file(draft, text, &read);
	for (size_t i = 0; i < read.count; i++)
		variable_add(member, node, variables, read.at[i].name, read.at[i].value);
}

/* env_file first: environment wins. */
void member_draft_variables(struct member *member, struct draft_variables *variables)
{
	const struct tree_node *files = tree_find(member->node, "env_file");

	if (files && files->kind != TREE_LIST)
		env_file_read(member, files, variables);
	for (size_t i = 0; files && files->kind == TREE_LIST && i < files->count; i++)
		env_file_read(member, files->items[i], variables);
	environment_read(member, variables);
}

/* Takes a port that the program listens on: the first is the service's. */
static void port_take(struct member *member, const struct tree_node *node, const char *key, const char *text, bool published)
{
	uint64_t port;
	struct view protocol;
	struct view digits = view_cut(view_of(text), '/', &protocol);

	if (protocol.at && !view_is(protocol, "tcp")) {
		member_note(member, node, key, "only TCP ports are reached");
		return;
	}
	if (!view_to_u64(digits, &port) || !port || port > UINT16_MAX || port == 53 || port == 15001) {
		member_note(member, node, key,
			    draft_format(member->compose->draft, "`%.40s` is no single port that a service can have", text));
		return;
	}
	if (member->service->port && member->service->port != (int)port) {
		member_note(member, node, key,
			    draft_format(member->compose->draft, "a service has one port: %d is kept, %d is left out",
					 member->service->port, (int)port));
		return;
	}
	member->service->port = (int)port;
	member->service->published = member->service->published || published;
}

static void ports_read(struct member *member)
{
	const struct tree_node *ports = tree_find(member->node, "ports");
	const struct tree_node *expose = tree_find(member->node, "expose");

	for (size_t i = 0; ports && ports->kind == TREE_LIST && i < ports->count; i++) {
		const struct tree_node *node = ports->items[i];
		const char *text = node->kind == TREE_MAP ? compose_text_at(member->compose, node, "target")
							  : compose_text(member->compose, node);
		const char *colon = text ? strrchr(text, ':') : NULL;

		if (text)
			port_take(member, node, "ports", colon ? colon + 1 : text, true);
	}
	for (size_t i = 0; expose && expose->kind == TREE_LIST && i < expose->count; i++) {
		const char *text = compose_text(member->compose, expose->items[i]);

		if (text && !member->service->port)
			port_take(member, expose->items[i], "expose", text, false);
	}
}

/* A path of the checkout that is mounted is where the program's own files are; anything else starts empty. */
void member_volume(struct member *member, const struct tree_node *node)
{
	struct draft *draft = member->compose->draft;
	const char *text = node->kind == TREE_MAP ? NULL : compose_text(member->compose, node);
	struct view rest;
	struct view source = view_cut(view_of(text ? text : ""), ':', &rest);
	struct view target = view_cut(rest, ':', &rest);
	const char *from = node->kind == TREE_MAP ? compose_text_at(member->compose, node, "source")
						  : arena_copy(&draft->arena, source);
	const char *to = node->kind == TREE_MAP ? compose_text_at(member->compose, node, "target")
						: arena_copy(&draft->arena, target.at ? target : source);
	const char *inside = from && (from[0] == '.' || node->kind == TREE_MAP) ? draft_path(draft, ".", from) : NULL;

	if (inside && to && (target.at || node->kind == TREE_MAP)) {
		draft_texts_append(draft, &member->mounts, inside);
		draft_texts_append(draft, &member->mounts, to);
		return;
	}
	if (to && strstr(to, "node_modules"))
		return;
	member_note(member, node, "volumes",
		    draft_format(draft,
				 "`%.60s` is not mounted: what the program writes there is its own, and gone with the environment",
				 text ? text
				 : to ? to
				      : "a volume"));
}

static void volumes_read(struct member *member)
{
	const struct tree_node *volumes = tree_find(member->node, "volumes");

	for (size_t i = 0; volumes && volumes->kind == TREE_LIST && i < volumes->count; i++)
		member_volume(member, volumes->items[i]);
}

/* The folder of the checkout that is `path` inside the container, by the mounts; NULL when it is in none of them. */
static const char *path_in_checkout(struct member *member, const char *path)
{
	for (size_t i = 0; i + 1 < member->mounts.count; i += 2) {
		size_t length = strlen(member->mounts.at[i + 1]);

		while (length > 1 && member->mounts.at[i + 1][length - 1] == '/')
			length--;
		if (strncmp(path, member->mounts.at[i + 1], length) == 0 && (path[length] == '/' || !path[length]))
			return draft_path(member->compose->draft, member->mounts.at[i],
					  path[length] && path[length + 1] ? path + length + 1 : ".");
	}
	return NULL;
}

static void build_read(struct member *member)
{
	struct draft *draft = member->compose->draft;
	const struct tree_node *build = tree_find(member->node, "build");
	const char *context = build ? (build->kind == TREE_MAP ? compose_text_at(member->compose, build, "context")
							       : compose_text(member->compose, build))
				    : NULL;
	const char *file_name = compose_text_at(member->compose, build, "dockerfile");
	const char *inside = NULL;

	if (build && !context)
		context = ".";
	if (context && !(inside = draft_path(draft, ".", context)))
		member_note(member, build, "build", draft_format(draft, "`%.60s` is not inside the checkout", context));
	if (inside)
		draft_read_dockerfile(draft, member->service, inside, file_name ? file_name : "Dockerfile");
	if (member->working_dir && path_in_checkout(member, member->working_dir))
		inside = path_in_checkout(member, member->working_dir);
	else if (!inside && member->mounts.count == 2)
		inside = member->mounts.at[0];
	if (inside && strcmp(inside, ".") != 0)
		member->service->dir = inside;
}

/* "http://localhost:8080/health" in a health check that asks the service itself over HTTP: its path. */
static const char *health_path(struct member *member, const char *line)
{
	static const char *const starts[] = {"http://localhost", "http://127.0.0.1", "http://0.0.0.0"};
	struct draft *draft = member->compose->draft;

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		const char *at = strstr(line, starts[i]);
		char *end;
		long port = 80;

		if (!at)
			continue;
		at += strlen(starts[i]);
		end = (char *)(uintptr_t)at;
		if (*at == ':')
			port = strtol(at + 1, &end, 10);
		if (port != member->service->port)
			return NULL;
		at = arena_copy(&draft->arena, view_make(end, strcspn(end, " \"'|;&)")));
		return at[0] == '/' ? at : "/";
	}
	return NULL;
}

/* "1m30s"; 0: it is none. */
static int64_t compose_duration_ms(const char *text)
{
	int64_t sum_ms = 0;

	while (*text) {
		size_t digits = strspn(text, "0123456789");
		size_t length = digits + strcspn(text + digits, "0123456789");
		int64_t part_ms;

		if (duration_parse(view_make(text, length), &part_ms, NULL))
			return 0;
		sum_ms += part_ms;
		text += length;
	}
	return sum_ms;
}

/* In its start period nothing that the check says counts. */
static void start_period_read(struct member *member)
{
	const char *period = compose_text_at(member->compose, tree_find(member->node, "healthcheck"), "start_period");
	int64_t period_ms = period ? compose_duration_ms(period) : 0;

	if (period_ms > 0 && period_ms <= START_PERIOD_MAX_MS)
		member->service->ready_timeout = draft_format(member->compose->draft, "%llds",
							      (long long)(period_ms + READY_USUAL_MS + 999) / 1000);
}

static void healthcheck_read(struct member *member)
{
	struct draft *draft = member->compose->draft;
	const struct tree_node *test = tree_find(tree_find(member->node, "healthcheck"), "test");
	struct draft_texts words = {0};
	const char *line = compose_text(member->compose, test);
	const char *path;

	for (size_t i = 0; test && test->kind == TREE_LIST && i < test->count; i++) {
		const char *word = compose_text(member->compose, test->items[i]);

		draft_texts_append(draft, &words, word ? word : "");
	}
	if (words.count && strcmp(words.at[0], "NONE") == 0)
		return;
	if (words.count > 1 && strcmp(words.at[0], "CMD-SHELL") == 0) {
		line = words.at[1];
	} else if (words.count > 1) {
		struct draft_texts argv = {.at = words.at + 1, .count = words.count - 1};

		line = draft_shell_line(draft, &argv);
	}
	if (!line || !line[0] || strpbrk(line, "\r\n"))
		return;
	start_period_read(member);
	path = health_path(member, line);
	member->service->ready = path ? path : draft_format(draft, "exec: %s", line);
}

static void limits_read(struct member *member)
{
	struct draft *draft = member->compose->draft;
	struct compose *compose = member->compose;
	const struct tree_node *deploy = tree_find(member->node, "deploy");
	const struct tree_node *limits = tree_find(tree_find(deploy, "resources"), "limits");
	const char *memory = compose_text_at(compose, limits, "memory");
	const char *cpus = compose_text_at(compose, limits, "cpus");
	const char *pids = compose_text_at(compose, limits, "pids");
	const char *replicas = compose_text_at(compose, deploy, "replicas");
	uint64_t number;
	int64_t bytes;

	memory = memory ? memory : compose_text_at(compose, member->node, "mem_limit");
	cpus = cpus ? cpus : compose_text_at(compose, member->node, "cpus");
	pids = pids ? pids : compose_text_at(compose, member->node, "pids_limit");
	replicas = replicas ? replicas : compose_text_at(compose, member->node, "scale");
	if (memory) {
		char *upper = arena_copy(&draft->arena, view_make(memory, strcspn(memory, "bB")));

		for (char *at = upper; *at; at++)
			*at = (char)toupper((unsigned char)*at);
		if (size_parse(view_of(upper), &bytes, NULL) == 0 && bytes >= 1 << 20 && bytes <= (int64_t)1 << 45)
			member->service->memory = upper;
		else
			draft_note(draft, "%s: services.%s: the memory limit `%.40s` is left out", compose->file_name, member->name,
				   memory);
	}
	if (cpus && strspn(cpus, "0123456789.") == strlen(cpus) && strtod(cpus, NULL) >= 0.01 && strtod(cpus, NULL) <= 1024)
		member->service->cpus = draft_format(draft, "%.2g", strtod(cpus, NULL));
	if (pids && view_to_u64(view_of(pids), &number) && number >= 4 && number <= 100000)
		member->service->pids = pids;
	if (replicas && view_to_u64(view_of(replicas), &number) && number > 1)
		member->service->replicas = number > 32 ? 32 : (int)number;
}

static void restart_read(struct member *member)
{
	const char *restart = compose_text_at(member->compose, member->node, "restart");

	if (restart && strcmp(restart, "no") == 0)
		member->service->restart = "never";
	else if (restart && strncmp(restart, "on-failure", 10) == 0)
		member->service->restart = "on-failure";
}

/* The rows of a service's keys that are not mapped. */
static const struct {
	const char *key;
	const char *text; /* NULL: means nothing here, or is mapped elsewhere in this file */
} key_rows[] = {
	{"image", NULL},
	{"build", NULL},
	{"command", NULL},
	{"entrypoint", NULL},
	{"environment", NULL},
	{"env_file", NULL},
	{"ports", NULL},
	{"expose", NULL},
	{"depends_on", NULL},
	{"links", NULL},
	{"healthcheck", NULL},
	{"volumes", NULL},
	{"working_dir", NULL},
	{"deploy", NULL},
	{"restart", NULL},
	{"scale", NULL},
	{"mem_limit", NULL},
	{"cpus", NULL},
	{"pids_limit", NULL},
	{"container_name", NULL},
	{"hostname", NULL},
	{"networks", NULL},
	{"labels", NULL},
	{"logging", NULL},
	{"platform", NULL},
	{"tty", NULL},
	{"stdin_open", NULL},
	{"init", NULL},
	{"user", NULL},
	{"pull_policy", NULL},
	{"stop_signal", NULL},
	{"annotations", NULL},
	{"develop", NULL},
	{"attach", NULL},
	{"stop_grace_period", NULL},
	{"read_only", NULL},
	{"tmpfs", NULL},
	{"shm_size", NULL},
	{"ulimits", NULL},
	{"mem_reservation", NULL},
	{"security_opt", NULL},
	{"profiles", NULL},
	{"extends", "is not followed: copy what it takes from the other service"},
	{"secrets", "are not mounted: give the program what it needs in `env`"},
	{"configs", "are not mounted: keep them as files of the repository"},
	{"extra_hosts", "is left out: outside names belong into `hosts`"},
	{"dns", "is left out: names are answered by the gateway"},
	{"network_mode", "is left out: each service has a network of its own, and reaches the others by their names"},
	{"privileged", "is refused: a sandbox has no privileges"},
	{"cap_add", "is refused: a sandbox has no capabilities"},
	{"devices", "are refused: a sandbox has none of the machine's devices"},
	{"sysctls", "are left out"},
	{"pid", "is left out: each service has its own processes"},
	{"ipc", "is left out"},
	{"volumes_from", "is left out"},
};

static void keys_note(struct member *member)
{
	for (size_t i = 0; i < member->node->count; i++) {
		const struct tree_node *key = member->node->pairs[i].key;
		bool known = strncmp(key->text, "x-", 2) == 0;

		for (size_t j = 0; !known && j < ARRAY_LEN(key_rows); j++) {
			known = strcmp(key_rows[j].key, key->text) == 0;
			if (known && key_rows[j].text)
				member_note(member, key, key->text, key_rows[j].text);
		}
		if (!known)
			member_note(member, key, draft_format(member->compose->draft, "%.60s", key->text), "is left out");
	}
}

void member_fill(struct member *member)
{
	struct draft_service *service = member->service;

	member->working_dir = compose_text_at(member->compose, member->node, "working_dir");
	restart_read(member);
	ports_read(member);
	member_draft_variables(member, &service->env);
	volumes_read(member);
	command_read(member, "entrypoint", &member->entrypoint, &member->entrypoint_shell);
	command_read(member, "command", &member->command, &member->command_shell);
	command_finish(member);
	build_read(member);
	healthcheck_read(member);
	limits_read(member);
	service->image = compose_text_at(member->compose, member->node, "image");
	keys_note(member);
}
