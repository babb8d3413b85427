/* Good blueprints, their defaults, and the published schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "blueprint/schema.h"

static struct blueprint *parse(const char *text)
{
	struct err err = {0};
	struct blueprint *blueprint = blueprint_parse(view_of(text), "assay.yaml", &err);

	if (!blueprint)
		fail_msg("%s", err.text);
	return blueprint;
}

static void the_smallest_blueprint_gets_every_default(void **state)
{
	AUTO_BLUEPRINT blueprint = parse("version: 1\nname: shop\nservices:\n  front: {run: node server.js, port: 8080}\n"
					 "databases:\n  db: {engine: postgres}\n");
	const struct service *front = blueprint_service_find(blueprint, "front");
	const struct database *db = blueprint_database_find(blueprint, "db");

	(void)state;
	assert_string_equal(front->run.shell, "node server.js");
	assert_null(front->run.argv);
	assert_null(front->build.shell);
	assert_string_equal(front->dir, ".");
	assert_int_equal(front->ready, READY_TCP);
	assert_int_equal(front->replicas, 1);
	assert_int_equal(front->restart, RESTART_ALWAYS);
	assert_true(front->preview);
	assert_string_equal(db->database, "shop");
	assert_string_equal(db->user, "postgres");
	assert_null(db->snapshot);
	assert_int_equal(blueprint->verify.attempts, 4);
	assert_int_equal(blueprint->verify.timeout_ms, 600000);
	assert_string_equal(blueprint->agent.use, "claude");
	assert_string_equal(blueprint->agent.format, "text");
	assert_int_equal(blueprint->agent.timeout_ms, 1800000);
	assert_string_equal(blueprint->preview.service, "front");
	assert_string_equal(blueprint->preview.path, "/");
	assert_int_equal(blueprint->preview.grace_ms, 86400000);
	assert_int_equal(blueprint->preview.idle_ms, 600000);
	assert_null(blueprint_service_find(blueprint, "db"));
	assert_null(blueprint_database_find(blueprint, "front"));
}

static void candidates_are_a_number_or_agents_with_their_models(void **state)
{
	AUTO_BLUEPRINT three = parse("version: 1\nname: a\nservices:\n  w: {run: x}\nagent: {candidates: 3}\n");
	AUTO_BLUEPRINT two = parse(
		"version: 1\nname: a\nservices:\n  w: {run: x}\nagent: {candidates: [claude, \"codex:gpt-5.5\"]}\n");

	(void)state;
	assert_int_equal(three->agent.candidates.count, 3);
	assert_int_equal(three->agent.candidates.agents.count, 0);
	assert_int_equal(two->agent.candidates.count, 2);
	assert_string_equal(two->agent.candidates.agents.at[1], "codex:gpt-5.5");
}

static void reviewers_are_agents_with_their_models(void **state)
{
	AUTO_BLUEPRINT blueprint = parse(
		"version: 1\nname: a\nservices:\n  w: {run: x}\nagent: {reviewers: [claude, \"codex:gpt-5.5\"]}\n");

	(void)state;
	assert_int_equal(blueprint->agent.reviewers.count, 2);
	assert_string_equal(blueprint->agent.reviewers.at[0], "claude");
	assert_string_equal(blueprint->agent.reviewers.at[1], "codex:gpt-5.5");
}

static void only_workers_have_no_preview(void **state)
{
	AUTO_BLUEPRINT blueprint = parse("version: 1\nname: a\nservices:\n  w: {run: [sh, -c, \"\", '5']}\n");

	(void)state;
	assert_null(blueprint->preview.service);
	assert_int_equal(blueprint->services[0].ready, READY_NONE);
	assert_null(blueprint->services[0].run.shell);
	assert_string_equal(blueprint->services[0].run.argv[2], "");
	assert_string_equal(blueprint->services[0].run.argv[3], "5");
	assert_null(blueprint->services[0].run.argv[4]);
}

static void texts_keep_what_was_written(void **state)
{
	AUTO_BLUEPRINT blueprint = parse(
		"version: 1\nname: a\nservices:\n  w:\n    run: x\n    ready: 'exec: test -f x'\n"
		"    env: {A: 007, B: yes, C: , D: \"~\", E: 1.50}\n    limits: {cpus: 0.25, memory: 64M}\n");
	const struct service *w = &blueprint->services[0];
	static const char *const values[] = {"007", "yes", "", "~", "1.50"};

	(void)state;
	assert_int_equal(w->env.count, ARRAY_LEN(values));
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_string_equal(w->env.at[i].value, values[i]);
	assert_int_equal(w->ready, READY_EXEC);
	assert_string_equal(w->ready_target, "test -f x");
	assert_int_equal(w->limits.cpu_percent, 25);
	assert_int_equal(w->limits.memory_bytes, 64 << 20);
}

static void a_null_is_as_if_the_key_were_absent(void **state)
{
	AUTO_BLUEPRINT blueprint = parse("version: 1\nname: a\nservices:\n  w: {run: x, env: , limits: ~, port: null}\ndatabases:\n"
					 "hosts:\n  bank.example:\n");

	(void)state;
	assert_int_equal(blueprint->services[0].port, 0);
	assert_int_equal(blueprint->database_count, 0);
	assert_null(blueprint->hosts[0].stub);
}

static void reports_tell_their_format_by_their_names(void **state)
{
	AUTO_BLUEPRINT blueprint = parse(
		"version: 1\nname: a\nservices: {w: {run: x}}\ntests:\n  a: {run: x, report: r.xml}\n"
		"  b: {run: x, report: r.json}\n  c: {run: x, report: r.out, format: tap, needs: services}\n  d: {run: x}\n");
	static const enum report_format formats[] = {REPORT_JUNIT, REPORT_CTRF, REPORT_TAP, REPORT_NONE};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		assert_int_equal(blueprint->tests[i].format, formats[i]);
	assert_true(blueprint->tests[2].needs_services);
	assert_false(blueprint->tests[3].needs_services);
}

static void hosts_are_lower_case_and_patterns_are_taken(void **state)
{
	AUTO_BLUEPRINT blueprint = parse(
		"version: 1\nname: a\nservices: {w: {run: x}}\nhosts: {Bank.Example: {}}\negress:\n  rules:\n"
		"    - {host: '*', action: deny}\n    - {host: '*.Example.com', action: allow}\n    - {host: 10.0.0.1, action: allow}\n");

	(void)state;
	assert_string_equal(blueprint->hosts[0].name, "bank.example");
	assert_int_equal(blueprint->egress.rule_count, 3);
	assert_string_equal(blueprint->egress.rules[0].host, "*");
	assert_int_equal(blueprint->egress.rules[0].action, RULE_DENY);
	assert_string_equal(blueprint->egress.rules[1].host, "*.example.com");
	assert_int_equal(blueprint->egress.rules[1].action, RULE_ALLOW);
}

static char *source_read(const char *path)
{
	AUTO_FREE char *full = text_format("%s/%s", getenv("SOURCE_ROOT"), path);
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	if (file_read(full, &text, &err))
		fail_msg("%s", err.text);
	return buf_take(&text);
}

static void the_documented_example_is_good(void **state)
{
	AUTO_FREE char *page = source_read("doc/blueprint.md");
	char *from = strstr(page, "```yaml\n");
	char *to = strstr(from + 8, "```");

	(void)state;
	*to = '\0';
	blueprint_free(parse(from + 8));
}

static void the_shop_is_good(void **state)
{
	AUTO_FREE char *text = source_read("examples/shop/assay.yaml");

	(void)state;
	blueprint_free(parse(text));
}

static bool schema_requires(const json_t *object, const char *name)
{
	json_t *entry;
	size_t index;

	json_array_foreach(json_object_get(object, "required"), index, entry)
		if (strcmp(json_string_value(entry), name) == 0)
			return true;
	return false;
}

static void field_compare(const struct section *section, const struct field *field, const json_t *object)
{
	json_t *property = json_object_get(json_object_get(object, "properties"), field->name);
	json_t *words = json_object_get(property, "enum");

	if (!property)
		fail_msg("%s.%s is not in the schema", section->name, field->name);
	if (field->required != schema_requires(object, field->name))
		fail_msg("%s.%s: the schema and the parser do not agree on `required`", section->name, field->name);
	if (!field->words != !words)
		fail_msg("%s.%s: the schema and the parser do not agree that it is an enumeration", section->name, field->name);
	for (size_t i = 0; field->words && (field->words[i] || i < json_array_size(words)); i++)
		assert_string_equal(json_string_value(json_array_get(words, i)), field->words[i]);
}

static void every_key_of_the_parser_is_in_the_schema_and_vice_versa(void **state)
{
	AUTO_FREE char *text = source_read("doc/assay.schema.json");
	AUTO_JSON schema = json_parse(view_of(text), NULL);

	(void)state;
	assert_non_null(schema);
	for (const struct section *const *at = schema_sections; *at; at++) {
		const struct section *section = *at;
		json_t *object = at == schema_sections ? schema : json_object_get(json_object_get(schema, "$defs"), section->name);
		size_t count = 0;

		if (!object)
			fail_msg("no $defs/%s in the schema", section->name);
		for (const struct field *field = section->fields; field->name; field++, count++)
			field_compare(section, field, object);
		if (json_object_size(json_object_get(object, "properties")) != count)
			fail_msg("$defs/%s has keys that the parser does not know", section->name);
		assert_false(json_flag(object, "additionalProperties", true));
	}
}

static void another_date_is_an_offset_or_a_moment(void **state)
{
	static const struct {
		const char *clock;
		enum clock_kind kind;
		int64_t ms;
	} rows[] = {{"-30d", CLOCK_OFFSET, (int64_t)-30 * 86400000},
		    {"+12h", CLOCK_OFFSET, 12 * 3600000},
		    {"2020-05-01T12:00:00Z", CLOCK_FROZEN, 1588334400000},
		    {"'1970-01-01T00:00:00Z'", CLOCK_FROZEN, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = text_format("version: 1\nname: a\nservices: {a: {run: x}}\nverify: {clock: %s}\n",
						   rows[i].clock);
		struct err err = {0};
		AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", &err);

		if (!blueprint)
			fail_msg("%s: %s", rows[i].clock, err.text);
		assert_int_equal(blueprint->verify.clock.kind, rows[i].kind);
		assert_int_equal(blueprint->verify.clock.ms, rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_blueprint_gets_every_default),
		cmocka_unit_test(candidates_are_a_number_or_agents_with_their_models),
		cmocka_unit_test(reviewers_are_agents_with_their_models),
		cmocka_unit_test(only_workers_have_no_preview),
		cmocka_unit_test(texts_keep_what_was_written),
		cmocka_unit_test(a_null_is_as_if_the_key_were_absent),
		cmocka_unit_test(reports_tell_their_format_by_their_names),
		cmocka_unit_test(hosts_are_lower_case_and_patterns_are_taken),
		cmocka_unit_test(the_documented_example_is_good),
		cmocka_unit_test(the_shop_is_good),
		cmocka_unit_test(every_key_of_the_parser_is_in_the_schema_and_vice_versa),
		cmocka_unit_test(another_date_is_an_offset_or_a_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
