/* Blueprints of several repositories as one: what is moved, united, chosen and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "blueprint/join.h"

static const char shop[] = "version: 1\nname: shop\n"
			   "services:\n"
			   "  front: {run: node server.js, dir: front, port: 8080, ready: /healthz, needs: [db], preview: true}\n"
			   "  worker: {run: [python3, -m, worker], build: make -C pricing}\n"
			   "databases:\n"
			   "  db: {engine: postgres, seed: db/seed.sql, migrate: sh db/migrate.sh}\n"
			   "workspace: {setup: npm ci, env: {MODE: test}, limits: {memory: 1G}}\n"
			   "tests:\n  unit: {run: npm test, report: r.xml, files: ['test/**'], timeout: 90s}\n"
			   "sessions: [sessions/*.har]\n"
			   "hosts: {bank.example: {stub: stubs/bank.json}, prices: {stub: stubs/prices.json}}\n"
			   "verify: {attempts: 2, protected: ['sessions/**'], timeout: 5m}\n"
			   "agent: {use: command, run: agent}\n"
			   "egress: {rules: [{host: registry.npmjs.org, action: allow}]}\n"
			   "preview: {grace: 2h}\n";
static const char prices[] =
	"version: 1\nname: prices\n"
	"services:\n  prices: {run: ./serve, port: 9000, preview: true}\n"
	"workspace: {setup: [make deps, [make, 'all it']], env: {MODE: test}}\n"
	"tests:\n  unit: {run: make test, dir: sub}\n"
	"verify: {attempts: 5, skip: [faults], licences: [AGPL-*], linters: [{name: own, run: ./lint}, {name: sub, run: ./lint, dir: sub}]}\n"
	"agent: {use: claude}\n"
	"egress: {rules: [{host: registry.npmjs.org, action: allow}, {host: '*.example.com', action: deny}]}\n";

static char *joined(const char *first, const char *second)
{
	const struct blueprint_side sides[] = {{"shop", view_of(first)}, {"lib", view_of(second)}};
	AUTO_BUF out = buf_new((size_t)1 << 20);
	struct err err = {0};

	if (blueprint_join(sides, 2, &out, &err))
		fail_msg("%s", err.text);
	return buf_take(&out);
}

static bool has(const struct texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->at[i], text) == 0)
			return true;
	return false;
}

static const struct test_suite *suite_of(const struct blueprint *blueprint, const char *name)
{
	for (size_t i = 0; i < blueprint->test_count; i++)
		if (strcmp(blueprint->tests[i].name, name) == 0)
			return &blueprint->tests[i];
	fail_msg("no suite %s", name);
	return NULL;
}

static void what_each_says_holds_in_its_folder(void **state)
{
	AUTO_FREE char *text = joined(shop, prices);
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);
	const struct service *front = blueprint_service_find(blueprint, "front");
	const struct database *db = blueprint_database_find(blueprint, "db");

	(void)state;
	assert_string_equal(blueprint->name, "shop-lib");
	assert_int_equal(blueprint->service_count, 3);
	assert_string_equal(front->dir, "shop/front");
	assert_string_equal(blueprint_service_find(blueprint, "worker")->dir, "shop");
	assert_string_equal(blueprint_service_find(blueprint, "prices")->dir, "lib");
	assert_string_equal(db->seed, "shop/db/seed.sql");
	assert_string_equal(db->migrate.shell, "cd shop && {\nsh db/migrate.sh\n}");
	assert_string_equal(db->database, "shop");
	assert_string_equal(db->snapshot, "shop");
	assert_int_equal(blueprint->workspace.setup_count, 3);
	assert_string_equal(blueprint->workspace.setup[0].shell, "cd shop && {\nnpm ci\n}");
	assert_string_equal(blueprint->workspace.setup[2].argv[2], "cd lib && exec \"$@\"");
	assert_string_equal(blueprint->workspace.setup[2].argv[5], "all it");
	assert_int_equal(blueprint->workspace.env.count, 1);
	assert_string_equal(suite_of(blueprint, "unit")->dir, "shop");
	assert_string_equal(suite_of(blueprint, "unit")->files.at[0], "shop/test/**");
	assert_string_equal(suite_of(blueprint, "unit")->report, "r.xml");
	assert_string_equal(suite_of(blueprint, "lib-unit")->dir, "lib/sub");
	assert_string_equal(blueprint->sessions.at[0], "shop/sessions/*.har");
}

static void what_only_one_can_say_is_the_firsts_and_the_rest_is_united(void **state)
{
	AUTO_FREE char *text = joined(shop, prices);
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);

	(void)state;
	assert_string_equal(blueprint->agent.use, "command");
	assert_string_equal(blueprint->agent.run.shell, "cd shop && {\nagent\n}");
	assert_string_equal(blueprint->preview.service, "front");
	assert_int_equal(blueprint->preview.grace_ms, 2 * 3600000);
	assert_int_equal(blueprint->verify.attempts, 5);
	assert_int_equal(blueprint->verify.timeout_ms, 5 * 60000);
	assert_false(has(&blueprint->verify.skip, "faults")); /* the shop does not leave them out */
	assert_true(has(&blueprint->verify.refused_licences, "AGPL-*"));
	assert_int_equal(blueprint->verify.linter_count, 2);
	assert_string_equal(blueprint->verify.linters[0].dir, "lib");
	assert_string_equal(blueprint->verify.linters[1].dir, "lib/sub");
	assert_int_equal(blueprint->egress.rule_count, 2);
	/* a host that is stubbed alone is the service when that is there */
	assert_int_equal(blueprint->host_count, 1);
	assert_string_equal(blueprint->hosts[0].stub, "shop/stubs/bank.json");
}

static void what_judges_is_protected_in_each_folder(void **state)
{
	AUTO_FREE char *text = joined(shop, prices);
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);
	static const char *const paths[] = {"shop/assay.yaml", "lib/assay.yaml", "lib/.github/workflows/**", "shop/sessions/**"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_true(has(&blueprint->verify.protected_paths, paths[i]));
}

static void a_repository_without_a_blueprint_only_brings_its_files(void **state)
{
	AUTO_FREE char *text = joined(shop, "");
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);

	(void)state;
	assert_int_equal(blueprint->service_count, 2);
	assert_int_equal(blueprint->host_count, 2);
	assert_true(has(&blueprint->verify.protected_paths, "lib/assay.yaml"));
}

static void databases_of_two_repositories_are_one_snapshot_of_their_own(void **state)
{
	AUTO_FREE char *text = joined(shop, "version: 1\nname: prices\nservices: {prices: {run: x}}\n"
					    "databases: {cache: {engine: redis, seed: 'exec: load it'}}\n");
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);

	(void)state;
	assert_null(blueprint_database_find(blueprint, "db")->snapshot);
	assert_string_equal(blueprint_database_find(blueprint, "cache")->seed, "exec: cd lib && {\n load it\n}");
}

static void what_does_not_go_together_is_said(void **state)
{
	static const struct {
		const char *second;
		const char *said;
	} rows[] = {
		{"version: 1\nname: b\nservices: {front: {run: y}}\n", "shop and lib both have a service `front`"},
		{"version: 1\nname: b\nservices: {db: {run: y}}\n", "`db` is the name of a service too"},
		{"version: 1\nname: b\nservices: {x: {run: y}}\ndatabases: {db: {engine: redis}}\n", "both have a database `db`"},
		{"version: 1\nname: b\nservices: {x: {run: y}}\nworkspace: {env: {MODE: live}}\n",
		 "lib: another repository has another value for workspace.env.MODE"},
		{"version: 1\nname: b\nservices: {x: {run: y}}\nworkspace: {setup: z, lock: [a.lock]}\n",
		 "lib: workspace.lock must be given in all repositories"},
		{"version: 1\nname: b\nservices: {x: {run: y, prt: 1}}\n", "lib/assay.yaml:3:24: unknown key `prt`"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct blueprint_side sides[] = {{"shop", VIEW(shop)}, {"lib", view_of(rows[i].second)}};
		AUTO_BUF out = buf_new((size_t)1 << 20);
		struct err err = {0};

		assert_int_equal(blueprint_join(sides, 2, &out, &err), -1);
		if (err.kind != ERR_INVALID || !strstr(err.text, rows[i].said))
			fail_msg("row %zu: %s", i, err.text);
	}
	{
		const struct blueprint_side sides[] = {{"a", VIEW("")}, {"b", VIEW("")}};
		AUTO_BUF out = buf_new((size_t)1 << 20);
		struct err err = {0};

		assert_int_equal(blueprint_join(sides, 2, &out, &err), -1);
		assert_non_null(strstr(err.text, "none of the repositories has an assay.yaml"));
	}
}

static void a_gate_is_left_out_where_everybody_leaves_it_out(void **state)
{
	AUTO_FREE char *text = joined(
		"version: 1\nname: a\nservices: {a: {run: x}}\nverify: {skip: [race, faults], latency: block}\n",
		"version: 1\nname: b\nservices: {b: {run: x}}\nverify: {skip: [faults, migrations], latency: off}\n");
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", NULL);

	(void)state;
	assert_int_equal(blueprint->verify.skip.count, 1);
	assert_string_equal(blueprint->verify.skip.at[0], "faults");
	assert_int_equal(blueprint->verify.latency, LATENCY_BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_each_says_holds_in_its_folder),
		cmocka_unit_test(what_only_one_can_say_is_the_firsts_and_the_rest_is_united),
		cmocka_unit_test(what_judges_is_protected_in_each_folder),
		cmocka_unit_test(a_repository_without_a_blueprint_only_brings_its_files),
		cmocka_unit_test(databases_of_two_repositories_are_one_snapshot_of_their_own),
		cmocka_unit_test(what_does_not_go_together_is_said),
		cmocka_unit_test(a_gate_is_left_out_where_everybody_leaves_it_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
