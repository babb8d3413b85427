/* The tables of assay.yaml, and the setters that only one field has. */
#include "blueprint/schema.h"

#include <ctype.h>
#include <strings.h>
#include <time.h>

#include "base/scope.h"
#include "base/world.h"
#include "blueprint/reader_priv.h"

#define BLUEPRINT_VERSION 1
#define PORT_OF_DOOR 15001 /* taken in every sandbox (net/door.h) */
#define DURATION_LEAST 100 /* ms */
#define DURATION_MOST ((int64_t)365 * 86400000)
#define READY_TIMEOUT_MOST ((int64_t)3600000)
#define MATCH_LETTERS_MIN 2
#define CLOCK_OFFSET_MOST ((int64_t)36500 * 86400000)
#define MEMORY_LEAST ((int64_t)1 << 20)
#define MEMORY_MOST ((int64_t)1 << 45)
#define CPU_PERCENT_MOST 102400
#define FIELD_END            \
	{                    \
		.name = NULL \
	}

#define COMMAND_EXPECTED "a shell line, or a list of arguments"
#define TEXT_EXPECTED "a text"
#define PATH_EXPECTED "a path inside the checkout, without `..`"
#define PATHS_EXPECTED "a list of paths or patterns inside the checkout"
#define VARIABLES_EXPECTED "a mapping of variables to texts"
#define DURATION_EXPECTED "a duration: 500ms, 30s, 10m, 24h or 7d"
#define FLAG_EXPECTED "true or false"
#define DATA_FILE_EXPECTED "a file in a folder of its own: /data/shop/shop.db, or below /srv, /var, /home, /opt, /app or /mnt"
#define DATA_FILE_MAX 200

static int set_version(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	(void)record;
	return text && strcmp(text, "1") == 0 ? 0 : reader_expect(reader, value, field->expected);
}

static int set_port(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct service *service = record;
	struct field as_int = *field;
	int port;

	as_int.offset = 0;
	if (set_int(reader, &as_int, value, &port))
		return -1;
	if (port == PORT_OF_DOOR || port == 53)
		return reader_refuse(reader, value, "port %d is taken in every sandbox: choose another", port);
	service->port = (uint16_t)port;
	return 0;
}

static int set_ready(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct service *service = record;
	const char *text = tree_text(value);
	struct view line;

	if (!text)
		return reader_expect(reader, value, field->expected);
	line = view_of(text);
	if (text[0] == '/') {
		service->ready = READY_HTTP;
	} else if (view_starts(line, VIEW("exec:"))) {
		service->ready = READY_EXEC;
		line = view_trim(view_make(text + 5, line.length - 5));
	} else if (view_is(line, "tcp")) {
		service->ready = READY_TCP;
		return 0;
	}
	if (service->ready == READY_NONE || !line.length || strpbrk(text, "\r\n"))
		return reader_expect(reader, value, field->expected);
	service->ready_target = arena_copy(reader->arena, line);
	return 0;
}

static int set_image(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	for (const char *at = text; at && *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			text = NULL;
	if (!text || text[0] == '-')
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

static int set_cpus(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct resource_limits *limits = record;
	const char *text = tree_text(value);
	struct view fraction;
	struct view whole = view_cut(view_of(text), '.', &fraction);
	uint64_t cores;
	uint64_t tenths = 0;

	if (!text || !view_to_u64(whole, &cores) || cores > CPU_PERCENT_MOST / 100 || fraction.length > 2 ||
	    (fraction.at && !view_to_u64(fraction, &tenths)))
		return reader_expect(reader, value, field->expected);
	limits->cpu_percent = (int)(cores * 100 + (fraction.length == 1 ? tenths * 10 : tenths));
	return limits->cpu_percent >= 1 && limits->cpu_percent <= CPU_PERCENT_MOST ? 0
										   : reader_expect(reader, value, field->expected);
}

static int set_sql_name(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);

	return text && name_is_sql(text) ? set_text(reader, field, value, record) : reader_expect(reader, value, field->expected);
}

static int set_snapshot(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);
	struct view version;
	AUTO_FREE char *name = view_copy(view_cut(view_of(text), '/', &version));
	uint64_t number;

	if (!text || !name_is_label(name) || (version.at && (!view_to_u64(version, &number) || !number)))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

static int set_seed(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);
	bool line = text && strncmp(text, "exec:", 5) == 0;

	if (!text || (line ? !view_trim(view_of(text + 5)).length : !path_is_inside(text)))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

static int set_queue_engine(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	unsigned engine;
	struct field as_word = *field;

	(void)record;
	as_word.offset = 0;
	return set_word(reader, &as_word, value, &engine);
}

static int set_test_needs(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct test_suite *test = record;
	struct field as_word = *field;
	unsigned needs;

	as_word.offset = 0;
	if (set_word(reader, &as_word, value, &needs))
		return -1;
	test->needs_services = needs == 1;
	return 0;
}

/* Only what looks for more than the base's own means show can be left out. */
static int set_gates(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	static const char *const gates[] = {"faults", "migrations", "race", "visual", NULL};
	const struct texts *list = (const struct texts *)(const void *)((const char *)record + field->offset);

	if (set_texts(reader, field, value, record))
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		size_t at = 0;

		while (gates[at] && strcmp(gates[at], list->at[i]) != 0)
			at++;
		if (!gates[at])
			return reader_expect(reader, value, field->expected);
	}
	return 0;
}

/* "5 USD", "0.50 USD": in millionths. */
static int set_budget(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	int64_t *micro = (int64_t *)(void *)((char *)record + field->offset);
	const char *text = tree_text(value);
	struct view fraction;
	struct view amount = view_of(text);
	struct view whole;
	uint64_t dollars;
	uint64_t cents = 0;

	if (!text || !view_ends(amount, VIEW(" USD")))
		return reader_expect(reader, value, field->expected);
	amount.length -= sizeof(" USD") - 1;
	whole = view_cut(amount, '.', &fraction);
	if (!view_to_u64(whole, &dollars) || dollars > 1000000 || fraction.length > 2 ||
	    (fraction.at && !view_to_u64(fraction, &cents)))
		return reader_expect(reader, value, field->expected);
	*micro = (int64_t)(dollars * 1000000 + cents * (fraction.length == 1 ? 100000 : 10000));
	return *micro ? 0 : reader_expect(reader, value, field->expected);
}

/* "-30d", "+12h"; "2026-05-01T12:00:00Z". */
static int set_clock(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	struct blueprint *blueprint = record;
	const char *text = tree_text(value);
	struct tm moment = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &moment) : NULL;
	int64_t ms;

	if (text && (text[0] == '-' || text[0] == '+') && duration_parse(view_of(text + 1), &ms, NULL) == 0 && ms > 0 &&
	    ms <= CLOCK_OFFSET_MOST) {
		blueprint->verify.clock.kind = CLOCK_OFFSET;
		blueprint->verify.clock.ms = text[0] == '-' ? -ms : ms;
		return 0;
	}
	if (!rest || *rest || moment.tm_year < 70)
		return reader_expect(reader, value, field->expected);
	blueprint->verify.clock.kind = CLOCK_FROZEN;
	blueprint->verify.clock.ms = (int64_t)timegm(&moment) * 1000;
	return 0;
}

bool severity_match_wide(const char *match)
{
	size_t method = strspn(match, "ABCDEFGHIJKLMNOPQRSTUVWXYZ*");
	size_t letters = 0;

	for (const char *c = match[method] == ' ' ? match + method : match; *c; c++) /* a method alone names nothing */
		letters += *c != '*' && *c != ' ' && *c != '/';
	return letters < MATCH_LETTERS_MIN;
}

static int set_match(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *match = tree_text(value);

	if (match && (severity_match_wide(match) || strncmp(match, "f-", 2) == 0))
		return reader_expect(reader, value, field->expected);
	return set_text(reader, field, value, record);
}

static int set_url_path(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	const char *text = tree_text(value);
	bool good = text && text[0] == '/' && text[1] != '/';

	for (const char *at = text; good && *at; at++)
		good = (unsigned char)*at > ' ' && *at != 0x7f;
	return good ? set_text(reader, field, value, record) : reader_expect(reader, value, field->expected);
}

/* Its folder is mounted where nothing of the room's own is. */
static int set_data_file(struct reader *reader, const struct field *field, const struct tree_node *value, void *record)
{
	static const char *const roots[] = {"/data/", "/srv/", "/var/", "/home/", "/opt/", "/app/", "/mnt/"};
	const char *text = tree_text(value);
	const char *name = text ? strrchr(text, '/') : NULL;
	bool good = false;

	if (text && (strncmp(text, "/opt/assay/", 11) == 0 || strncmp(text, "/home/assay/", 12) == 0))
		return reader_refuse(reader, value, "databases: %s would hide what every sandbox has there", text);
	for (size_t i = 0; text && i < ARRAY_LEN(roots); i++)
		good = good || (strncmp(text, roots[i], strlen(roots[i])) == 0 && name >= text + strlen(roots[i]));
	for (const char *at = text; good && *at; at++)
		good = isalnum((unsigned char)*at) || (strchr("._-", *at) && at[-1] != '/') ||
		       (*at == '/' && at[1] != '/' && at[1]);
	return good && strlen(text) <= DATA_FILE_MAX ? set_text(reader, field, value, record)
						     : reader_expect(reader, value, field->expected);
}

static const char *const engine_words[] = {"postgres", "redis", "mariadb", "mysql", "rabbitmq", "nats", "sqlite", NULL};
static const char *const queue_engine_words[] = {"redis", "rabbitmq", "nats", NULL};
static const char *const restart_words[] = {"always", "on-failure", "never", NULL};
static const char *const format_words[] = {"junit", "tap", "ctrf", "json", NULL};
static const char *const test_needs_words[] = {"nothing", "services", NULL};
const char *const blueprint_agent_words[] = {"acp", "claude", "codex", "command", "cursor", "gemini", "opencode", NULL};
static const char *const agent_format_words[] = {"text", "jsonl", "acp", NULL};
static const char *const dlp_check_words[] = {"base64", "crc32-base62", "iban", "jwt", "key-block", "luhn", "mixed", "none", NULL};
static const char *const dlp_action_words[] = {"block", "hold", "redact", "log", "off", NULL};
static const char *const agent_settings_words[] = {"ignore", "base", NULL};
static const char *const severity_words[] = {"warn", "inform", "block", NULL}; /* enum rule_severity */
static const char *const latency_words[] = {"warn", "inform", "block", "off", NULL};
static const char *const action_words[] = {"deny", "allow", "approve", "passthrough", NULL};

/* clang-format off */
#define AT(type, member) .offset = offsetof(struct type, member)
#define LIST_AT(type, member, count) .offset = offsetof(struct type, member), .count_offset = offsetof(struct type, count)

static const struct field limits_fields[] = {
	{"memory", "a size from 1M: 64M, 2G", set_size, AT(resource_limits, memory_bytes), .least = MEMORY_LEAST, .most = MEMORY_MOST},
	{"cpus", "a number of cores: 0.5, 1, 2", set_cpus},
	{"pids", "a number from 4 to 100000", set_int, AT(resource_limits, pids), .least = 4, .most = 100000},
	FIELD_END,
};
static const struct section limits_section = {"limits", limits_fields, sizeof(struct resource_limits)};

static const struct field service_fields[] = {
	{"run", COMMAND_EXPECTED, set_command, AT(service, run)},
	{"dir", PATH_EXPECTED, set_path, AT(service, dir)},
	{"build", COMMAND_EXPECTED, set_command, AT(service, build)},
	{"port", "a number from 1 to 65535", set_port, .least = 1, .most = 65535},
	{"ready", "a path (/healthz), `tcp`, or `exec: LINE`", set_ready},
	{"ready_timeout", DURATION_EXPECTED, set_duration, AT(service, ready_timeout_ms), .least = DURATION_LEAST, .most = READY_TIMEOUT_MOST},
	{"needs", "a list of services and databases", set_texts, AT(service, needs)},
	{"env", VARIABLES_EXPECTED, set_variables, AT(service, env)},
	{"preview", FLAG_EXPECTED, set_flag, AT(service, preview)},
	{"replicas", "a number from 1 to 32", set_int, AT(service, replicas), .least = 1, .most = 32},
	{"image", "an image: name:tag, or dir:/path", set_image, AT(service, image)},
	{"restart", "always, on-failure or never", set_word, AT(service, restart), .words = restart_words},
	{"limits", "a mapping of memory, cpus and pids", set_section, AT(service, limits), .section = &limits_section},
	FIELD_END,
};
static const struct section service_section = {"service", service_fields, sizeof(struct service)};

static const struct field database_fields[] = {
	{"engine", "postgres, mariadb (or mysql), sqlite, redis, rabbitmq or nats", set_word, AT(database, engine), .words = engine_words, .required = true},
	{"version", "a major version: 15", set_int, AT(database, version), .least = 1, .most = 99},
	{"database", "letters, digits, `_` and `-`, at most 63", set_sql_name, AT(database, database)},
	{"user", "letters, digits, `_` and `-`, at most 63", set_sql_name, AT(database, user)},
	{"path", DATA_FILE_EXPECTED, set_data_file, AT(database, path)},
	{"snapshot", "the name of a snapshot, or name/version", set_snapshot, AT(database, snapshot)},
	{"seed", "a path inside the checkout, or `exec: LINE`", set_seed, AT(database, seed)},
	{"migrate", COMMAND_EXPECTED, set_command, AT(database, migrate)},
	{"rollback", COMMAND_EXPECTED, set_command, AT(database, rollback)},
	{"env", VARIABLES_EXPECTED, set_variables, AT(database, env)},
	{"subset", "a mapping of tables to what is kept: 10%, a condition, or referenced", set_subset, LIST_AT(database, subset, subset_count)},
	{"mask", "a mapping of columns (users.email) to kinds: email, name, …", set_mask, LIST_AT(database, mask, mask_count)},
	FIELD_END,
};
static const struct section database_section = {"database", database_fields, sizeof(struct database)};

static const struct field queue_fields[] = {
	{"engine", "redis, rabbitmq or nats: what `database` is", set_queue_engine, .words = queue_engine_words},
	{"database", "the name of a redis, rabbitmq or nats database", set_label, AT(queue, database), .required = true},
	{"stream", TEXT_EXPECTED, set_text, AT(queue, stream)},
	{"group", TEXT_EXPECTED, set_text, AT(queue, group)},
	FIELD_END,
};
static const struct section queue_section = {"queue", queue_fields, sizeof(struct queue)};

static const struct field workspace_fields[] = {
	{"setup", "a shell line, or a list of them", set_commands, LIST_AT(blueprint, workspace.setup, workspace.setup_count)},
	{"lock", PATHS_EXPECTED, set_paths, AT(blueprint, workspace.lock)},
	{"env", VARIABLES_EXPECTED, set_variables, AT(blueprint, workspace.env)},
	{"limits", "a mapping of memory, cpus and pids", set_section, AT(blueprint, workspace.limits), .section = &limits_section},
	FIELD_END,
};
static const struct section workspace_section = {"workspace", workspace_fields, sizeof(struct blueprint)};

static const struct field test_fields[] = {
	{"run", COMMAND_EXPECTED, set_command, AT(test_suite, run), .required = true},
	{"dir", PATH_EXPECTED, set_path, AT(test_suite, dir)},
	{"report", PATH_EXPECTED, set_path, AT(test_suite, report)},
	{"format", "junit, tap, ctrf or json", set_word, AT(test_suite, format), .words = format_words, .least = REPORT_JUNIT},
	{"files", PATHS_EXPECTED, set_paths, AT(test_suite, files)},
	{"artefacts", PATHS_EXPECTED, set_paths, AT(test_suite, artefacts)},
	{"needs", "`services` or `nothing`", set_test_needs, .words = test_needs_words},
	{"timeout", DURATION_EXPECTED, set_duration, AT(test_suite, timeout_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	{"env", VARIABLES_EXPECTED, set_variables, AT(test_suite, env)},
	FIELD_END,
};
static const struct section test_section = {"test", test_fields, sizeof(struct test_suite)};

static const struct field host_fields[] = {
	{"stub", PATH_EXPECTED, set_path, AT(host_stub, stub)},
	FIELD_END,
};
static const struct section host_section = {"host", host_fields, sizeof(struct host_stub)};

static const struct field invariant_fields[] = {
	{"name", "one line of at most 200 bytes", set_because, AT(invariant, name), .required = true},
	{"database", "the name of a postgres, mariadb or sqlite database", set_label, AT(invariant, database)},
	{"sql", "a query that gives no row while it holds", set_text, AT(invariant, sql)},
	{"http", "a path that begins with /", set_url_path, AT(invariant, http)},
	FIELD_END,
};
static const struct section invariant_section = {"invariant", invariant_fields, sizeof(struct invariant)};

static const struct field linter_fields[] = {
	{"name", "a name", set_label, AT(linter_run, name), .required = true},
	{"run", COMMAND_EXPECTED, set_command, AT(linter_run, run), .required = true},
	{"dir", PATH_EXPECTED, set_path, AT(linter_run, dir)},
	{"report", PATH_EXPECTED, set_path, AT(linter_run, report)},
	{"blocks", FLAG_EXPECTED, set_flag, AT(linter_run, blocks)},
	FIELD_END,
};
static const struct section linter_section = {"linter", linter_fields, sizeof(struct linter_run)};

static const struct field severity_fields[] = {
	{"match", "a place, and what differs there: GET /api/products body.items.*", set_match, AT(severity_rule, match), .required = true},
	{"as", "warn, inform or block", set_word, AT(severity_rule, as), .words = severity_words, .required = true},
	{"because", "one line", set_text, AT(severity_rule, because)},
	FIELD_END,
};
static const struct section severity_section = {"severity", severity_fields, sizeof(struct severity_rule)};

static const struct field verify_fields[] = {
	{"attempts", "a number from 1 to 50", set_int, AT(blueprint, verify.attempts), .least = 1, .most = 50},
	{"protected", PATHS_EXPECTED, set_paths, AT(blueprint, verify.protected_paths)},
	{"invariants", "a list of {name, sql} or {name, http}", set_records,
	 LIST_AT(blueprint, verify.invariants, verify.invariant_count), .section = &invariant_section},
	{"rules", "a list of {match, as}", set_records, LIST_AT(blueprint, verify.rules, verify.rule_count), .section = &severity_section},
	{"linters", "a list of {name, run}", set_records, LIST_AT(blueprint, verify.linters, verify.linter_count), .section = &linter_section},
	{"pages", "a list of paths that begin with /", set_texts, AT(blueprint, verify.pages)},
	{"licences", "a list of licences that are refused, as SPDX names them: [\"AGPL-*\"]", set_texts, AT(blueprint, verify.refused_licences)},
	{"explore", "a number from 1 to 5000", set_int, AT(blueprint, verify.explore), .least = 1, .most = 5000},
	{"clock", "an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z)", set_clock},
	{"latency", "warn, inform, block or off", set_word, AT(blueprint, verify.latency), .words = latency_words},
	{"mutation", DURATION_EXPECTED, set_duration, AT(blueprint, verify.mutation_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	{"skip", "a list of gates: faults, migrations, race, visual", set_gates, AT(blueprint, verify.skip)},
	{"timeout", DURATION_EXPECTED, set_duration, AT(blueprint, verify.timeout_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	FIELD_END,
};
static const struct section verify_section = {"verify", verify_fields, sizeof(struct blueprint)};

static const struct field agent_fields[] = {
	{"use", "acp, claude, codex, command, cursor, gemini or opencode", set_word_text, AT(blueprint, agent.use), .words = blueprint_agent_words},
	{"run", COMMAND_EXPECTED, set_command, AT(blueprint, agent.run)},
	{"format", "text, jsonl or acp", set_word_text, AT(blueprint, agent.format), .words = agent_format_words},
	{"model", TEXT_EXPECTED, set_text, AT(blueprint, agent.model)},
	{"env", VARIABLES_EXPECTED, set_variables, AT(blueprint, agent.env)},
	{"candidates", "a number from 1 to 8, or a list of 1 to 8 agents: [claude, \"codex:MODEL\"]", set_candidates, AT(blueprint, agent.candidates)},
	{"reviewers", "a list of 1 to 3 agents: [claude, \"codex:MODEL\"]", set_reviewers, AT(blueprint, agent.reviewers)},
	{"settings", "ignore or base", set_word_text, AT(blueprint, agent.settings), .words = agent_settings_words},
	{"timeout", DURATION_EXPECTED, set_duration, AT(blueprint, agent.timeout_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	FIELD_END,
};
static const struct section agent_section = {"agent", agent_fields, sizeof(struct blueprint)};

#define RULE_FIELDS \
	{"id", "lower-case letters, digits, `-`, `_` and `.`, at most 47", set_rule_id, AT(egress_rule, id)}, \
	{"host", "a host name, `*.name`, or `*` for any", set_host_pattern, .required = true}, \
	{"port", "a number from 1 to 65535", set_int, AT(egress_rule, port), .least = 1, .most = 65535}, \
	{"methods", "a list of methods: GET, POST", set_methods, AT(egress_rule, methods)}, \
	{"paths", "a list of patterns that begin with `/`: /v1/*", set_url_patterns, AT(egress_rule, paths)}, \
	{"agents", "a list of kinds of agents: claude", set_names, AT(egress_rule, agents)}, \
	{"sandboxes", "a list of names of services, or `workspace`", set_names, AT(egress_rule, sandboxes)}, \
	{"action", "allow, deny, approve or passthrough", set_word, AT(egress_rule, action), .words = action_words, .required = true}, \
	{"because", "one line of at most 200 bytes", set_because, AT(egress_rule, because)}

static const struct field rule_fields[] = {
	RULE_FIELDS,
	FIELD_END,
};
static const struct section rule_section = {"rule", rule_fields, sizeof(struct egress_rule)};

static const struct field policy_rule_fields[] = {
	RULE_FIELDS,
	{"repositories", "a list of patterns of repositories: acme/*", set_names, AT(egress_rule, repositories)},
	{"environments", "a list of patterns of environments", set_names, AT(egress_rule, environments)},
	FIELD_END,
};
static const struct section policy_rule_section = {"rule", policy_rule_fields, sizeof(struct egress_rule)};

static const struct field dlp_rule_fields[] = {
	{"id", "letters, digits, `-`, `_` and `.`, at most 63; `*` for rules that are there", set_dlp_id, AT(dlp_rule, id), .required = true},
	{"title", "one line of at most 200 bytes", set_because, AT(dlp_rule, title)},
	{"pattern", "a regular expression", set_text, AT(dlp_rule, pattern)},
	{"near", "a regular expression, in any case", set_text, AT(dlp_rule, near)},
	{"value", "a regular expression", set_text, AT(dlp_rule, value)},
	{"group", "a number from 1 to 99", set_int, AT(dlp_rule, group), .least = 1, .most = 99},
	{"keywords", "a list of words", set_texts, AT(dlp_rule, keywords)},
	{"entropy", "a number from 0 to 8", set_entropy, AT(dlp_rule, entropy)},
	{"check", "base64, crc32-base62, iban, jwt, key-block, luhn, mixed or none", set_word_text, AT(dlp_rule, check), .words = dlp_check_words},
	{"stop", "a list of words", set_texts, AT(dlp_rule, stop)},
	{"allow", "a list of regular expressions", set_texts, AT(dlp_rule, allow)},
	{"paths", "a list of patterns that begin with `/`: /v1/*", set_url_patterns, AT(dlp_rule, paths)},
	{"action", "block, hold, redact, log or off", set_word_text, AT(dlp_rule, action), .words = dlp_action_words},
	FIELD_END,
};
static const struct section dlp_rule_section = {"dlp_rule", dlp_rule_fields, sizeof(struct dlp_rule)};

#define DLP_FIELDS \
	{"rules", "a list of {id, pattern} or {id, action}", set_records, LIST_AT(dlp_section, rules, rule_count), .section = &dlp_rule_section}, \
	{"allow", "a list of regular expressions", set_texts, AT(dlp_section, allow)}

static const struct field dlp_fields[] = {
	DLP_FIELDS,
	{"gitleaks", PATH_EXPECTED, set_path, AT(dlp_section, gitleaks)},
	{"secrets", "a list of variables", set_texts, AT(dlp_section, secrets)},
	FIELD_END,
};
static const struct section dlp_section = {"dlp", dlp_fields, sizeof(struct dlp_section)};

static const struct field policy_dlp_fields[] = {
	DLP_FIELDS,
	{"gitleaks", "the path of a gitleaks.toml", set_text, AT(dlp_section, gitleaks)},
	FIELD_END,
};
static const struct section policy_dlp_section = {"dlp", policy_dlp_fields, sizeof(struct dlp_section)};

static const struct field policy_fields[] = {
	{"rules", "a list of {host, action}", set_records, LIST_AT(policy_file, rules, rule_count), .section = &policy_rule_section},
	{"ceiling", FLAG_EXPECTED, set_flag, AT(policy_file, ceiling)},
	{"passthrough", FLAG_EXPECTED, set_flag, AT(policy_file, passthrough)},
	{"dlp", "a mapping", set_section, AT(policy_file, dlp), .section = &policy_dlp_section},
	FIELD_END,
};
const struct section schema_policy_section = {"policy", policy_fields, sizeof(struct policy_file)};

static const struct field egress_fields[] = {
	{"rules", "a list of {host, action}", set_records, LIST_AT(blueprint, egress.rules, egress.rule_count), .section = &rule_section},
	{"dlp", "a mapping", set_section, AT(blueprint, egress.dlp), .section = &dlp_section},
	{"budget", "an amount for a run's model traffic: 5 USD, 0.50 USD", set_budget, AT(blueprint, egress.budget_micro_usd)},
	FIELD_END,
};
static const struct section egress_section = {"egress", egress_fields, sizeof(struct blueprint)};

static const struct field preview_fields[] = {
	{"service", "the name of a service", set_label, AT(blueprint, preview.service)},
	{"path", "a path that begins with /", set_url_path, AT(blueprint, preview.path)},
	{"grace", DURATION_EXPECTED, set_duration, AT(blueprint, preview.grace_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	{"idle", DURATION_EXPECTED, set_duration, AT(blueprint, preview.idle_ms), .least = DURATION_LEAST, .most = DURATION_MOST},
	FIELD_END,
};
static const struct section preview_section = {"preview", preview_fields, sizeof(struct blueprint)};

static const struct field blueprint_fields[] = {
	{"version", "1, the version of this format", set_version, .required = true},
	{"name", "lower-case letters, digits and dashes, at most 40", set_label, AT(blueprint, name), .required = true},
	{"services", "a mapping of at least one service", set_members, LIST_AT(blueprint, services, service_count),
	 .section = &service_section, .required = true},
	{"databases", "a mapping of databases", set_members, LIST_AT(blueprint, databases, database_count), .section = &database_section},
	{"queues", "a mapping of queues", set_members, LIST_AT(blueprint, queues, queue_count), .section = &queue_section},
	{"workspace", "a mapping", set_section, .section = &workspace_section},
	{"tests", "a mapping of test suites", set_members, LIST_AT(blueprint, tests, test_count), .section = &test_section},
	{"sessions", PATHS_EXPECTED, set_paths, AT(blueprint, sessions)},
	{"hosts", "a mapping of host names", set_host_members, LIST_AT(blueprint, hosts, host_count), .section = &host_section},
	{"verify", "a mapping", set_section, .section = &verify_section},
	{"agent", "a mapping", set_section, .section = &agent_section},
	{"egress", "a mapping of rules", set_section, .section = &egress_section},
	{"secrets", "a mapping of variables to names of credentials", set_secrets, AT(blueprint, secrets)},
	{"preview", "a mapping", set_section, .section = &preview_section},
	FIELD_END,
};
static const struct section blueprint_section = {"blueprint", blueprint_fields, sizeof(struct blueprint)};
const struct section *const schema_sections[] = {
	&blueprint_section,
	&service_section,
	&database_section,
	&queue_section,
	&workspace_section,
	&test_section,
	&host_section,
	&verify_section,
	&agent_section,
	&egress_section,
	&rule_section,
	&dlp_section,
	&dlp_rule_section,
	&preview_section,
	&limits_section,
	&invariant_section,
	&linter_section,
	&severity_section,
	NULL,
};
/* clang-format on */

const char *engine_word(enum engine_kind kind)
{
	return engine_words[kind];
}
