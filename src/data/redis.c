/*
 * Redis as an engine. The append-only file is on, without fsync: the data then survives the end of the server, whatever ends it, and a
 * clone of the volume of a frozen environment is complete.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/world.h"
#include "data/engine.h"
#include "data/redis_mask.h"
#include "data/redis_wire.h"

#define SERVER "/usr/bin/redis-server"
#define DIRECTORY ENGINE_DATA_PATH "/redis"
#define REWRITE_LIMIT_MS 600000

static int version_choose(int wanted, int *version, struct err *err)
{
	if (access(SERVER, X_OK))
		return err_set(err, ERR_NOT_FOUND, "Redis is not installed: apt install redis-server");
	/* One is installed or none: which one, the package knows. */
	*version = wanted ? wanted : 7;
	return 0;
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "mkdir");
	engine_program_add(program, "-p");
	engine_program_add(program, DIRECTORY);
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	const char *const settings[] = {
		"--bind",
		"127.0.0.1",
		"--dir",
		DIRECTORY,
		"--save",
		"",
		"--appendonly",
		loading ? "no" : "yes",
		"--appendfsync",
		"no",
		"--protected-mode",
		"no",
		"--daemonize",
		"no",
		"--logfile",
		"",
		"--loglevel",
		"warning",
		"--dbfilename",
		"dump.rdb",
		"--auto-aof-rewrite-min-size",
		"256mb",
		"--aof-use-rdb-preamble",
		"yes",
		"--always-show-logo",
		"no",
		"--stop-writes-on-bgsave-error",
		"no",
	};

	engine_program_add(program, SERVER);
	engine_program_add(program, "--port");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		engine_program_add(program, "%s", settings[i]);
}

static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 16);
	json_t *reply = redis_wire_command(&wire, (const char *const[]){"PING"}, 1, err);

	(void)target;
	json_decref(reply);
	return reply ? 0 : -1;
}

static int create(const struct engine_target *target, int fd, struct err *err)
{
	(void)target;
	(void)fd;
	(void)err;
	return 0;
}

/* Splits a line as redis-cli does for its own input: blanks separate, "…" and '…' hold together, backslash escapes in "…". */
static void words_add(const char *line, struct engine_program *program)
{
	while (program->count < ENGINE_ARGUMENTS_MAX) {
		AUTO_BUF word = buf_new((size_t)1 << 20);
		char quote = 0;

		line += strspn(line, " \t\r\n");
		if (!*line)
			return;
		for (; *line && (quote || !strchr(" \t\r\n", *line)); line++) {
			if (quote ? *line == quote : *line == '"' || *line == '\'')
				quote = quote ? 0 : *line;
			else if (quote == '"' && *line == '\\' && line[1])
				buf_add_char(&word, *++line);
			else
				buf_add_char(&word, *line);
		}
		engine_program_add(program, "%s", word.length ? word.at : "");
	}
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	engine_program_add(program, "redis-cli");
	engine_program_add(program, "-e");
	engine_program_add(program, "-p");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
	words_add(statement, program);
}

static int loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err)
{
	*offline = form == FORM_RDB;
	if (form == FORM_RDB) {
		engine_program_add(program, "sh");
		engine_program_add(program, "-c");
		engine_program_add(program, "mkdir -p " DIRECTORY " && cat >" DIRECTORY "/dump.rdb && "
					    "redis-check-rdb " DIRECTORY "/dump.rdb >/dev/null");
		return 0;
	}
	if (form != FORM_COMMANDS)
		return err_set(err, ERR_INVALID, "Redis loads RDB files and lists of commands");
	engine_program_add(program, "redis-cli");
	engine_program_add(program, "-e");
	engine_program_add(program, "-p");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
	return 0;
}

static int dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err)
{
	if (strncmp(url, "redis://", 8) != 0 && strncmp(url, "rediss://", 9) != 0)
		return err_set(err, ERR_INVALID, "database %s is Redis: its URL begins with redis://", target->database->name);
	engine_program_add(program, "redis-cli");
	engine_program_add(program, "-u");
	engine_program_add(program, "%s", url);
	engine_program_add(program, "--rdb");
	engine_program_add(program, "-");
	*form = FORM_RDB;
	return 0;
}

static int command(struct wire *wire, const char *const *arguments, size_t count, json_t **reply, struct err *err)
{
	*reply = redis_wire_command(wire, arguments, count, err);
	return *reply ? 0 : -1;
}

/* Waits until no append-only file is written anew; *well: was the last one written? */
static int rewrite_wait(struct wire *wire, bool *well, struct err *err)
{
	static const char *const info[] = {"INFO", "persistence"};

	for (;;) {
		AUTO_JSON state = NULL;
		const char *text;

		if (command(wire, info, ARRAY_LEN(info), &state, err))
			return -1;
		text = json_string_value(state);
		*well = text && strstr(text, "aof_last_bgrewrite_status:ok");
		if (text && strstr(text, "aof_rewrite_in_progress:0") && strstr(text, "aof_rewrite_scheduled:0"))
			return 0;
		(void)usleep(5000);
	}
}

/* Writes everything into one new append-only base, so that a fork loads a compact file, and so that what masks replaced is in none: one that was begun
 * before them, by itself or as the file was turned on, is waited for, and another one asked for. */
static int settle(const struct engine_target *target, int fd, struct err *err)
{
	static const char *const on[] = {"CONFIG", "SET", "appendonly", "yes"};
	AUTO_WIRE wire = wire_new(fd, REWRITE_LIMIT_MS, (size_t)1 << 20);
	AUTO_JSON set = NULL;
	bool asked = false;
	bool well = false;

	(void)target;
	if (command(&wire, on, ARRAY_LEN(on), &set, err))
		return -1;
	while (!asked) {
		AUTO_JSON rewrite = NULL;

		if (rewrite_wait(&wire, &well, err))
			return -1;
		rewrite = redis_wire_command(&wire, (const char *const[]){"BGREWRITEAOF"}, 1, NULL);
		asked = rewrite != NULL;
		if (!asked) /* another one began meanwhile; what is refused for good ends at the limit */
			(void)usleep(5000);
	}
	if (rewrite_wait(&wire, &well, err))
		return -1;
	return well ? 0 : err_set(err, ERR_BROKEN, "Redis could not write its append-only file");
}

/* All keys are looked at later: nothing need be counted now. */
static json_t *mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err)
{
	(void)target;
	(void)fd;
	(void)marking;
	(void)err;
	return json_object();
}

struct reader {
	const char *type;
	const char *arguments[6]; /* NULL stands for the key */
	size_t count;
};

/* How each type is read whole, up to ENGINE_ROWS_MAX elements. */
static const struct reader readers[] = {
	{"string", {"GETRANGE", NULL, "0", "65535"}, 4},    {"list", {"LRANGE", NULL, "0", "999"}, 4},
	{"set", {"SSCAN", NULL, "0", "COUNT", "1000"}, 5},  {"zset", {"ZRANGE", NULL, "0", "999", "WITHSCORES"}, 5},
	{"hash", {"HSCAN", NULL, "0", "COUNT", "1000"}, 5}, {"stream", {"XRANGE", NULL, "-", "+", "COUNT", "1000"}, 6},
};

static int by_text(const void *a, const void *b)
{
	const json_t *const *left = (const json_t *const *)a;
	const json_t *const *right = (const json_t *const *)b;

	return strcmp(json_string_value(*left), json_string_value(*right));
}

/* A set has no order: give it one, or two runs would seem to differ. */
static json_t *sorted(json_t *members)
{
	size_t count = json_array_size(members);
	json_t **at = mem_new_array(count, sizeof(*at));
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		at[i] = json_array_get(members, i);
	qsort(at, count, sizeof(*at), by_text);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append(list, at[i]);
	free(at);
	return list;
}

static json_t *hash_of(json_t *fields)
{
	json_t *hash = json_object();

	for (size_t i = 0; i + 1 < json_array_size(fields); i += 2)
		(void)json_object_set(hash, json_string_value(json_array_get(fields, i)), json_array_get(fields, i + 1));
	return hash;
}

/* {"worker": how many entries the group was not given, or did not acknowledge}. Owned by the caller; NULL: the stream has no groups. */
static json_t *groups_left(struct wire *wire, const char *stream)
{
	AUTO_JSON groups = redis_wire_command(wire, (const char *const[]){"XINFO", "GROUPS", stream}, 3, NULL);
	json_t *left = json_array_size(groups) ? json_object() : NULL;

	for (size_t i = 0; i < json_array_size(groups); i++) {
		const json_t *pairs = json_array_get(groups, i);
		json_int_t waiting = 0;
		const char *name = NULL;

		for (size_t k = 0; k + 1 < json_array_size(pairs); k += 2) {
			const char *key = json_string_value(json_array_get(pairs, k));
			const json_t *value = json_array_get(pairs, k + 1);

			if (key && strcmp(key, "name") == 0)
				name = json_string_value(value);
			else if (key && (strcmp(key, "pending") == 0 || strcmp(key, "lag") == 0))
				waiting += json_integer_value(value);
		}
		if (name)
			(void)json_object_set_new(left, name, json_integer(waiting));
	}
	return left;
}

/* Its type and value, whether it ends by itself, and of a stream what its groups have left. Owned by the caller. */
static json_t *key_told(struct wire *wire, const char *key, const char *type, json_t *value)
{
	AUTO_JSON ttl = redis_wire_command(wire, (const char *const[]){"PTTL", key}, 2, NULL);
	json_t *told = json_pack("{s:s, s:o, s:b}", "type", type, "value", value, "expires", json_integer_value(ttl) >= 0 && ttl);
	json_t *left = strcmp(type, "stream") == 0 ? groups_left(wire, key) : NULL;

	if (left)
		(void)json_object_set_new(told, "left", left);
	return told;
}

static int key_read(struct wire *wire, const char *key, json_t *keys, struct err *err)
{
	AUTO_JSON type = NULL;
	const char *name;

	if (command(wire, (const char *const[]){"TYPE", key}, 2, &type, err))
		return -1;
	name = json_is_string(type) ? json_string_value(type) : "";
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		const char *arguments[6];
		json_t *value;

		if (strcmp(name, readers[i].type) != 0)
			continue;
		for (size_t at = 0; at < readers[i].count; at++)
			arguments[at] = readers[i].arguments[at] ? readers[i].arguments[at] : key;
		if (command(wire, arguments, readers[i].count, &value, err))
			return -1;
		if (strcmp(name, "set") == 0 || strcmp(name, "hash") == 0) {
			json_t *elements = json_array_get(value, 1);
			json_t *ordered = strcmp(name, "set") == 0 ? sorted(elements) : hash_of(elements);

			json_decref(value);
			value = ordered;
		}
		(void)json_object_set_new(keys, key, key_told(wire, key, name, value));
		return 0;
	}
	/* Gone meanwhile, or a module's type. */
	if (strcmp(name, "none") != 0)
		(void)json_object_set_new(keys, key, json_pack("{s:s, s:n}", "type", name, "value"));
	return 0;
}

static int keys_read(struct wire *wire, json_t *keys, bool *cut, struct err *err)
{
	AUTO_FREE char *cursor = text_copy("0");

	do {
		AUTO_JSON page = NULL;
		const char *next;
		json_t *key;
		size_t index;

		if (command(wire, (const char *const[]){"SCAN", cursor, "COUNT", "1000"}, 4, &page, err))
			return -1;
		next = json_string_value(json_array_get(page, 0));
		if (!next)
			return err_set(err, ERR_BROKEN, "Redis answered SCAN with something else");
		json_array_foreach(json_array_get(page, 1), index, key) {
			if (json_object_size(keys) >= ENGINE_KEYS_MAX)
				*cut = true;
			else if (json_is_string(key) && key_read(wire, json_string_value(key), keys, err))
				return -1;
		}
		free(cursor);
		cursor = text_copy(next);
	} while (strcmp(cursor, "0") != 0 && !*cut);
	return 0;
}

/* How many connections others have open; nothing where the server does not say. */
static void connections_count(struct wire *wire, json_t *result)
{
	AUTO_JSON info = redis_wire_command(wire, (const char *const[]){"INFO", "clients"}, 2, NULL);
	const char *at = json_is_string(info) ? strstr(json_string_value(info), "connected_clients:") : NULL;

	if (at)
		(void)json_object_set_new(result, "connections",
					  json_integer(strtoll(at + strlen("connected_clients:"), NULL, 10) - 1));
}

/* Redis does not know when a key was written: all of them are given, database 0 plainly, the others as "3:key". */
static json_t *rows(const struct engine_target *target, int fd, const json_t *marked, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ENGINE_REPLY_BYTES_MAX);
	AUTO_JSON result = json_pack("{s:{}}", "keys");
	bool cut = false;

	(void)target;
	(void)marked;
	for (int number = 0; number < REDIS_DATABASES && !cut; number++) {
		AUTO_FREE char *text = text_format("%d", number);
		AUTO_JSON selected = NULL;
		AUTO_JSON keys = json_object();
		const char *key;
		json_t *value;

		if (command(&wire, (const char *const[]){"SELECT", text}, 2, &selected, err) || keys_read(&wire, keys, &cut, err))
			return NULL;
		json_object_foreach(keys, key, value) {
			AUTO_FREE char *shown = number ? text_format("%d:%s", number, key) : text_copy(key);

			(void)json_object_set(json_object_get(result, "keys"), shown, value);
		}
	}
	if (cut)
		(void)json_object_set_new(result, "cut", json_true());
	connections_count(&wire, result);
	return TAKE(result);
}

/* The file that was loaded: what a fork is to have is in the append-only file. */
static void scrub(const struct engine_target *target, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "rm");
	engine_program_add(program, "-f");
	engine_program_add(program, DIRECTORY "/dump.rdb");
}

static void url(const struct engine_target *target, struct buf *out)
{
	buf_add_format(out, "redis://%s:%u", target->database->name, (unsigned)target->ops->port);
}

const struct engine_ops engine_redis = {
	.kind = ENGINE_REDIS,
	.name = "redis",
	.port = 6379,
	.stop_signal = SIGTERM,
	.stop_limit_ms = 30000,
	.version = version_choose,
	.initialise = initialise,
	.serve = serve,
	.ready = ready,
	.create = create,
	.client = client,
	.loader = loader,
	.dumper = dumper,
	.settle = settle,
	.mark = mark,
	.rows = rows,
	.keys_mask = redis_keys_mask,
	.keys_scan = redis_keys_scan,
	.scrub = scrub,
	.url = url,
};
