/* Modules as one script: what is made of them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "web/bundle.h"

#define MODULES_MAX 4

struct source {
	const char *name;
	const char *text;
};

static int make(const struct source *sources, struct bundle_module *modules, struct buf *out, struct err *err)
{
	size_t count = 0;

	for (; count < MODULES_MAX && sources[count].name; count++)
		modules[count] = (struct bundle_module){.name = sources[count].name, .text = view_of(sources[count].text)};
	return bundle_make(modules, count, "/main.js", out, err);
}

static void modules_stand_behind_those_they_import_once(void **state)
{
	static const struct source sources[MODULES_MAX] = {
		{"/main.js", "import {b, c as d} from './parts/b.js';\nimport a from './a.js';\na(b, d);"},
		{"/a.js", "import {b} from './parts/b.js';\nexport default function a() {\n\treturn b;\n}\n"},
		{"/parts/b.js", "import {$x_1} from '../parts/deep/c.js';\nexport const b = $x_1;\nexport async function c() {}\n"},
		{"/parts/deep/c.js", "export class $x_1 {}\n\texport\n"},
	};
	struct bundle_module modules[MODULES_MAX];
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	struct err err;

	(void)state;
	assert_int_equal(make(sources, modules, &out, &err), 0);
	assert_string_equal(out.at,
			    "// parts/deep/c.js\nconst module_1 = (() => {\nclass $x_1 {}\n\texport\nreturn {$x_1, };\n})();\n"
			    "// parts/b.js\nconst module_2 = (() => {\nconst {$x_1: $x_1, } = module_1;\nconst b = $x_1;\n"
			    "async function c() {}\nreturn {b, c, };\n})();\n"
			    "// a.js\nconst module_3 = (() => {\nconst {b: b, } = module_2;\nfunction a() {\n\treturn b;\n}\n"
			    "return {default: a, };\n})();\n"
			    "// main.js\nconst module_4 = (() => {\nconst {b: b, c: d, } = module_2;\n"
			    "const {default: a} = module_3;\na(b, d);\nreturn {};\n})();\n");
}

static void what_nobody_imports_is_not_in_it(void **state)
{
	static const struct source sources[MODULES_MAX] = {
		{"/theme.js", "theme();\n"}, {"/main.js", "import {a} from './a.js';\n"}, {"/a.js", "export const a = 1;\n"}};
	struct bundle_module modules[MODULES_MAX];
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	struct err err;

	(void)state;
	assert_int_equal(make(sources, modules, &out, &err), 0);
	assert_null(strstr(out.at, "theme"));
	assert_int_equal(modules[0].place, 0);
	assert_int_equal(modules[1].place, 2);
	assert_int_equal(modules[2].place, 1);
}

static void what_is_not_understood_is_refused(void **state)
{
	static const struct {
		const char *main;
		const char *other;
		const char *text;
	} rows[] = {
		{"import {a} from './none.js';", "", "main.js: there is no such module"},
		{"import {a} from '../../a.js';", "", "there is no such module"},
		{"import {a} from 'https://x.example/a.js';", "", "there is no such module"},
		{"import {a} from \"./a.js\";", "", "what does this import?"},
		{"import * as all from './a.js';", "", "what does this import?"},
		{"import {a b} from './a.js';", "", "what does this import?"},
		{"import './a.js';", "", "what does this import?"},
		{"import {a} from './a.js';", "export let a = 1;", "a.js: what does this export?"},
		{"import {a} from './a.js';", "export {a};", "what does this export?"},
		{"import {a} from './a.js';", "export const {a} = b;", "what does this export?"},
		{"import {a} from './a.js';", "export default 1;", "what does this export?"},
		{"import {a} from './a.js';", "export default function () {}", "what does this export?"},
		{"import {a} from './a.js';", "import {m} from './main.js';", "main.js: what it imports imports it"},
		{"import {a} from './main.js';", "", "main.js: what it imports imports it"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct source sources[MODULES_MAX] = {{"/main.js", rows[i].main}, {"/a.js", rows[i].other}};
		struct bundle_module modules[MODULES_MAX];
		AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
		struct err err;

		assert_int_equal(make(sources, modules, &out, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.text, rows[i].text))
			fail_msg("%s: %s", rows[i].main, err.text);
	}
}

static void without_its_first_module_there_is_none(void **state)
{
	static const struct source sources[MODULES_MAX] = {{"/a.js", "export const a = 1;\n"}};
	struct bundle_module modules[MODULES_MAX];
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	struct err err;

	(void)state;
	assert_int_equal(make(sources, modules, &out, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modules_stand_behind_those_they_import_once),
		cmocka_unit_test(what_nobody_imports_is_not_in_it),
		cmocka_unit_test(what_is_not_understood_is_refused),
		cmocka_unit_test(without_its_first_module_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
