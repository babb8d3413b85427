/* First blueprints from what repositories have, against the texts in tests/data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/blueprint.h"
#include "blueprint/import.h"

#define TEXT_MAX ((size_t)1 << 20)

/* A folder that is removed at the end of its scope. */
struct folder {
	char path[64];
};

static void folder_remove(struct folder *folder)
{
	assert_int_equal(file_remove_tree(folder->path, NULL), 0);
}
#define AUTO_FOLDER __attribute__((cleanup(folder_remove))) struct folder

static struct folder folder_make(void)
{
	struct folder folder = {"/tmp/assay-import-XXXXXX"};

	assert_non_null(mkdtemp(folder.path));
	return folder;
}

static void folder_write(const struct folder *folder, const char *name, const char *text)
{
	AUTO_FREE char *path = text_format("%s/%s", folder->path, name);

	assert_int_equal(file_replace(path, view_of(text), 0644, NULL), 0);
}

static char *expected_read(const char *name, const char *suffix)
{
	AUTO_FREE char *path = text_format("%s/tests/data/%s.%s", getenv("SOURCE_ROOT"), name, suffix);
	AUTO_BUF text = buf_new(TEXT_MAX);
	struct err err = {0};

	if (file_read(path, &text, &err))
		fail_msg("%s", err.text);
	return buf_take(&text);
}

static void each_repository_gets_its_blueprint_and_notes(void **state)
{
	static const char *const names[] = {"compose-django", "compose-node", "package", "procfile"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *dir = text_format("%s/tests/data/%s", getenv("SOURCE_ROOT"), names[i]);
		AUTO_FREE char *expected = expected_read(names[i], "yaml");
		AUTO_FREE char *expected_notes = expected_read(names[i], "notes");
		AUTO_BUF yaml = buf_new(TEXT_MAX);
		AUTO_BUF notes = buf_new(TEXT_MAX);
		AUTO_BLUEPRINT blueprint = NULL;
		struct err err = {0};

		if (blueprint_import(dir, &yaml, &notes, &err))
			fail_msg("%s: %s", names[i], err.text);
		assert_string_equal(yaml.at, expected);
		assert_string_equal(notes.at, expected_notes);
		blueprint = blueprint_parse(buf_view(&yaml), "assay.yaml", &err);
		assert_non_null(blueprint);
	}
}

/* One compose file, the `needle` its blueprint must have, and one its notes must have. */
static const struct {
	const char *compose;
	const char *yaml;
	const char *note;
} rows[] = {
	{"services: {a: {image: x, command: run me, ports: ['8000-8010:8000-8010']}}", "run: run me",
	 "`8000-8010` is no single port"},
	{"services: {a: {image: x, command: r, ports: ['53:53/udp', '80:8080']}}", "port: 8080", "only TCP ports are reached"},
	{"services: {a: {image: x, command: r, ports: ['80:8080', '9090:9090']}}", "port: 8080", "8080 is kept, 9090 is left out"},
	{"services: {a: {image: x, entrypoint: [sh, -c], command: ['echo \"$$HOME\"']}}",
	 "run: [sh, \"-c\", \"echo \\\"$HOME\\\"\"]", ""},
	{"services: {a: {image: x, entrypoint: /entry.sh, command: [a b, c]}}", "run: \"/entry.sh 'a b' c\"", ""},
	{"services: {a: {image: x, command: r, volumes: ['./src:/srv/app'], working_dir: /srv/app/lib}}", "dir: src/lib", ""},
	{"services: {a: {image: x, command: r, volumes: ['../other:/srv']}}", "run: r", "`../other:/srv` is not mounted"},
	{"services: {a: {build: ../up, command: r}}", "run: r", "`../up` is not inside the checkout"},
	{"services: {a: {image: x, command: r, env_file: /etc/passwd}}", "run: r", "`/etc/passwd` cannot be read"},
	{"services: {a: {image: x, command: r, environment: {A: '${B:-${C:-deep}}'}}}", "A: deep", ""},
	{"services: {a: {image: x, command: r, environment: ['A=${B:?no}', ASSAY_ENV=x]}}", "A: \"\"",
	 "`ASSAY_ENV` cannot be the name"},
	{"services: {a: {image: x, command: r, healthcheck: {test: [NONE]}}}", "run: r", ""},
	{"services: {a: {image: x, command: r, healthcheck: {test: [CMD, t], start_period: 1m30s}}}", "ready_timeout: 110s", ""},
	{"services: {a: {image: x, command: r, healthcheck: {test: [CMD, t], start_period: soon}}}", "ready: \"exec: t\"", ""},
	{"services: {a: {image: x, command: r, healthcheck: {test: [CMD, test, -f, /x]}}}", "ready: \"exec: test -f /x\"", ""},
	{"services: {a: {image: x, command: r, depends_on: [b]}}", "run: r", "`b` is left out above"},
	{"services: {assay: {image: x, command: r}}", "  assay-app0: #", "`assay` is called `assay-app0`"},
	{"services: {my_db: {image: postgres}, a: {image: x, command: r, environment: {U: 'postgres://u@my_db/x?host=my_db', H: my_db}}}",
	 "U: \"postgres://u@my-db/x?host=my_db\"\n      H: my-db\n", "`my_db` is called `my-db`"},
	{"services: {a: {image: x, command: r, mem_limit: 4kb}}", "run: r", "the memory limit `4kb` is left out"},
	{"services: {a: {image: x, command: r, wibble: 1}}", "run: r", "services.a.wibble: is left out"},
	{"services: {a: {image: x, command: r}, b: 5}", "run: r", "services.b: is no mapping"},
	{"include: [x.yaml]\nservices: {a: {image: x, command: r}}", "run: r", "compose.yaml:1: include: is left out"},
	{"services: {a: {image: x, command: r}, db: {image: 'postgres:15', environment: {POSTGRES_USER: 'a b'}}}",
	 "database: postgres", "another is used"},
};

static void each_compose_file_is_mapped_as_far_as_it_goes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FOLDER folder = folder_make();
		AUTO_BUF yaml = buf_new(TEXT_MAX);
		AUTO_BUF notes = buf_new(TEXT_MAX);
		struct err err = {0};

		folder_write(&folder, "compose.yaml", rows[i].compose);
		if (blueprint_import(folder.path, &yaml, &notes, &err))
			fail_msg("%s: %s", rows[i].compose, err.text);
		if (!strstr(yaml.at, rows[i].yaml))
			fail_msg("no `%s` in\n%s", rows[i].yaml, yaml.at);
		if (!strstr(buf_view(&notes).at, rows[i].note))
			fail_msg("no `%s` in\n%s", rows[i].note, buf_view(&notes).at);
	}
}

static const struct {
	const char *file;
	const char *text;
	const char *error;
} wrong_rows[] = {
	{"README", "hello", "no compose.yaml, Procfile or package.json in "},
	{"compose.yaml", "services: [a]", "compose.yaml:1:1: expected `services`, a mapping"},
	{"compose.yaml", "services: {web: {image: nginx}}", "compose.yaml has no service with a command"},
	{"compose.yaml", "services: {web: *x}", "an alias (*) of an anchor that is not complete before it"},
	{"compose.yaml", "a: &a [*a]", "an alias (*) of an anchor that is not complete before it"},
	{"compose.yaml", "services:\n  web: {image: x\n", "compose.yaml:3:1: not YAML"},
	{"Procfile", "web\n", "Procfile:1:1: expected `name: command`"},
	{"package.json", "{\"scripts\": {}", "package.json: not JSON"},
	{"package.json", "{}", "package.json has no service with a command"},
};

static void what_cannot_be_read_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong_rows); i++) {
		AUTO_FOLDER folder = folder_make();
		AUTO_BUF yaml = buf_new(TEXT_MAX);
		AUTO_BUF notes = buf_new(TEXT_MAX);
		struct err err = {0};

		folder_write(&folder, wrong_rows[i].file, wrong_rows[i].text);
		assert_int_equal(blueprint_import(folder.path, &yaml, &notes, &err), -1);
		if (!strstr(err.text, wrong_rows[i].error))
			fail_msg("expected `%s`, got `%s`", wrong_rows[i].error, err.text);
	}
}

static void a_small_file_that_unfolds_into_a_huge_one_is_a_limit(void **state)
{
	AUTO_FOLDER folder = folder_make();
	AUTO_BUF text = buf_new(TEXT_MAX);
	AUTO_BUF yaml = buf_new(TEXT_MAX);
	AUTO_BUF notes = buf_new(TEXT_MAX);
	struct err err = {0};

	(void)state;
	buf_add_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 20; i++)
		buf_add_format(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1);
	folder_write(&folder, "compose.yaml", text.at);
	assert_int_equal(blueprint_import(folder.path, &yaml, &notes, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void a_link_that_leaves_the_checkout_is_not_read(void **state)
{
	AUTO_FOLDER folder = folder_make();
	AUTO_FOLDER outside = folder_make();
	AUTO_FREE char *link = text_format("%s/.env.app", folder.path);
	AUTO_FREE char *target = text_format("%s/secret", outside.path);
	AUTO_BUF yaml = buf_new(TEXT_MAX);
	AUTO_BUF notes = buf_new(TEXT_MAX);

	(void)state;
	folder_write(&outside, "secret", "PASSWORD=hunter2\n");
	folder_write(&folder, "compose.yaml", "services: {a: {image: x, command: r, env_file: .env.app}}");
	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(blueprint_import(folder.path, &yaml, &notes, NULL), 0);
	assert_null(strstr(yaml.at, "hunter2"));
	assert_non_null(strstr(notes.at, "`.env.app` cannot be read"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_repository_gets_its_blueprint_and_notes),
		cmocka_unit_test(each_compose_file_is_mapped_as_far_as_it_goes),
		cmocka_unit_test(what_cannot_be_read_is_told_with_its_place),
		cmocka_unit_test(a_small_file_that_unfolds_into_a_huge_one_is_a_limit),
		cmocka_unit_test(a_link_that_leaves_the_checkout_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
