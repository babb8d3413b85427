/* What the gate `scan` reads: lock files, advisories, versions, and what linters say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "verify/advisories.h"
#include "verify/linters.h"
#include "verify/packages.h"

static void every_form_of_lock_file_is_read(void **state)
{
	static const struct {
		const char *path;
		const char *text;
		const char *keys; /* of what is found, each ended by ";", in order of names */
	} rows[] = {
		{"package-lock.json",
		 "{\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"shop\",\"version\":\"1.0.0\"},"
		 "\"node_modules/a\":{\"version\":\"1.2.3\",\"resolved\":\"https://registry.npmjs.org/a/-/a-1.2.3.tgz\"},"
		 "\"node_modules/a/node_modules/@s/b\":{\"version\":\"2.0.0\"},\"node_modules/l\":{\"link\":true},\"packages/own\":{\"version\":\"1.0.0\"}}}",
		 "npm @s/b 2.0.0;npm a 1.2.3;"},
		{"web/npm-shrinkwrap.json",
		 "{\"dependencies\":{\"a\":{\"version\":\"1.0.0\",\"dependencies\":{\"b\":{\"version\":\"2.0.0\"}}}}}",
		 "npm a 1.0.0;npm b 2.0.0;"},
		{"package-lock.json", "{broken", ""},
		{"yarn.lock",
		 "# yarn lockfile v1\n\n\"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.2.3\"\n  resolved \"https://registry.yarnpkg.com/x\"\n\nb@~2:\n"
		 "  version \"2.0.1\"\n",
		 "npm @s/a 1.2.3;npm b 2.0.1;"},
		{"pnpm-lock.yaml",
		 "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\npackages:\n\n  '@s/a@1.2.3':\n    resolution: {integrity: x}\n  /b@2.0.0(c@1):\n"
		 "  \t\t\t\nsnapshots:\n  d@1.0.0:\n",
		 "npm @s/a 1.2.3;npm b 2.0.0;"},
		{"requirements-dev.txt",
		 "# x==1\n-r other.txt\nDjango==4.2.1 ; python_version > '3'\nrequests[socks]==2.31.0 \\\n    --hash=sha256:00\nloose>=1\n",
		 "PyPI Django 4.2.1;PyPI requests 2.31.0;"},
		{"poetry.lock",
		 "[[package]]\nname = \"a\"\nversion = \"1.0\"\n\n[package.dependencies]\nversion = \"9\"\n[[package]]\nname = \"b\"\nversion = \"2\"\n",
		 "PyPI a 1.0;PyPI b 2;"},
		{"Cargo.lock",
		 "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
		 "crates.io serde 1.0.1;"},
		{"go.sum", "example.com/a v1.2.3 h1:x=\nexample.com/a v1.2.3/go.mod h1:y=\n", "Go example.com/a 1.2.3;"},
		{"Gemfile.lock", "GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (2.2.3)\n      dep (>= 1)\n",
		 "RubyGems rack 2.2.3;"},
		{"composer.lock",
		 "{\"packages\":[{\"name\":\"v/p\",\"version\":\"1.0.0\",\"license\":[\"MIT\"]}],\"packages-dev\":null}",
		 "Packagist v/p 1.0.0;"},
		{"notes.txt", "a==1\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON packages = json_object();
		AUTO_BUF keys = buf_new(4096);
		AUTO_BUF sorted = buf_new(4096);

		(void)packages_read(rows[i].path, view_of(rows[i].text), packages);
		json_format_sorted(&sorted, packages);
		AUTO_JSON again = json_parse(buf_view(&sorted), NULL);
		const char *key;
		json_t *package;

		json_object_foreach(again, key, package)
			buf_add_format(&keys, "%s;", key);
		if (strcmp(keys.at ? keys.at : "", rows[i].keys) != 0)
			fail_msg("%s: %s", rows[i].path, keys.at ? keys.at : "nothing");
	}
}

static void what_a_package_is_and_where_it_comes_from_is_noted(void **state)
{
	static const char text[] =
		"{\"packages\":{\"node_modules/a\":{\"version\":\"1.0.0\",\"resolved\":\"git+ssh://git@example.com/a.git#x\",\"license\":\"MIT\","
		"\"hasInstallScript\":true}}}";
	AUTO_JSON packages = json_object();
	const json_t *package;

	(void)state;
	assert_true(packages_read("package-lock.json", VIEW(text), packages));
	package = json_member(packages, "npm a 1.0.0");
	assert_string_equal(json_text(package, "from", ""), "git+ssh://git@example.com/a.git#x");
	assert_string_equal(json_text(package, "licence", ""), "MIT");
	assert_true(json_flag(package, "script", false));
}

static void versions_have_an_order(void **state)
{
	static const struct {
		const char *left;
		const char *right;
		int order;
	} rows[] = {
		{"1.2.3", "1.2.3", 0},
		{"1.2.3", "1.2.4", -1},
		{"1.2.10", "1.2.9", 1},
		{"2", "10", -1},
		{"1.0", "1.0.0", 0},
		{"v1.2.3", "1.2.3", 0},
		{"1.0.0-rc.1", "1.0.0", -1},
		{"1.0.0", "1.0.0-alpha", 1},
		{"1.0.0-alpha", "1.0.0-beta", -1},
		{"1.0.0-alpha.1", "1.0.0-alpha.2", -1},
		{"1.0rc1", "1.0", -1},
		{"1.0rc1", "1.0.1", -1},
		{"1.0.post1", "1.0", 1},
		{"1.0.post1", "1.0.1", -1},
		{"1.0.dev1", "1.0a1", -1},
		{"1.0.0+build", "1.0.0", 0},
		{"1.0.0-next.1", "1.0.0", -1},
		{"0.0.0", "0", 0},
		{"", "1", -1},
		{"1.0a2", "1.0b1", -1},
		{"1.0.0-1", "1.0.0", -1},
		{"1.0.0-2", "1.0.0-10", -1},
		{"1.2.4-0.20200101000000-abcdef", "1.2.4", -1},
		{"99999999999999999999999", "99999999999999999999998", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int order = version_compare(view_of(rows[i].left), view_of(rows[i].right));
		int back = version_compare(view_of(rows[i].right), view_of(rows[i].left));

		if ((order > 0) - (order < 0) != rows[i].order || (back > 0) - (back < 0) != -rows[i].order)
			fail_msg("%s and %s: %d and %d", rows[i].left, rows[i].right, order, back);
	}
}

static const char advisory_text[] =
	"{\"id\":\"GHSA-1\",\"summary\":\"a hole\",\"database_specific\":{\"severity\":\"HIGH\"},\"affected\":[{\"package\":{\"ecosystem\":\"npm\",\"name\":\"a\"},"
	"\"ranges\":[{\"type\":\"SEMVER\",\"events\":[{\"introduced\":\"2.0.0\"},{\"introduced\":\"0\"},{\"fixed\":\"1.4.0\"},{\"fixed\":\"2.1.0\"}]}]},"
	"{\"package\":{\"ecosystem\":\"PyPI\",\"name\":\"Py_Thing\"},\"versions\":[\"1.0\"],\"ranges\":[{\"type\":\"ECOSYSTEM\",\"events\":[{\"introduced\":"
	"\"3.0\"},{\"last_affected\":\"3.2\"}]}]}]}";

static void an_advisory_is_about_its_versions_only(void **state)
{
	static const struct {
		const char *ecosystem;
		const char *name;
		const char *version;
		bool affected;
	} rows[] = {
		{"npm", "a", "0.1.0", true},       {"npm", "a", "1.3.9", true},        {"npm", "a", "1.4.0", false},
		{"npm", "a", "1.9.0", false},      {"npm", "a", "2.0.5", true},        {"npm", "a", "2.1.0", false},
		{"npm", "b", "0.1.0", false},      {"PyPI", "a", "0.1.0", false},      {"PyPI", "py-thing", "1.0.0", true},
		{"PyPI", "py.thing", "3.2", true}, {"PyPI", "py-thing", "3.3", false}, {"PyPI", "py-thing", "2.9", false},
	};
	AUTO_JSON advisory = json_parse(VIEW(advisory_text), NULL);

	(void)state;
	assert_non_null(advisory);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (advisory_affects(advisory, rows[i].ecosystem, rows[i].name, rows[i].version) != rows[i].affected)
			fail_msg("%s %s %s", rows[i].ecosystem, rows[i].name, rows[i].version);
}

static void advisories_lie_in_a_folder_for_each_ecosystem(void **state)
{
	char root[] = "/tmp/assay-advisories-XXXXXX";
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(root));
	AUTO_FREE char *dir = text_format("%s/npm", root);
	AUTO_FREE char *file = text_format("%s/GHSA-1.json", dir);
	AUTO_FREE char *broken = text_format("%s/broken.json", dir);
	AUTO_FREE char *cache = text_format("%s/cache", root);
	AUTO_JSON packages = json_parse(
		VIEW("[{\"ecosystem\":\"npm\",\"name\":\"c\",\"version\":\"1\"},{\"ecosystem\":\"npm\",\"name\":\"a\",\"version\":\"1.0.0\"},"
		     "{\"ecosystem\":\"Go\",\"name\":\"a\",\"version\":\"1.0.0\"},{\"ecosystem\":\"Go\",\"name\":\"b\",\"version\":\"1.0.0\"}]"),
		NULL);

	assert_int_equal(file_make_dirs(dir, 0700, &err), 0);
	assert_int_equal(file_replace(file, VIEW(advisory_text), 0600, &err), 0);
	assert_int_equal(file_replace(broken, VIEW("{"), 0600, &err), 0);
	for (int round = 0; round < 2; round++) { /* the second time from the cache */
		AUTO_JSON found = json_array();
		AUTO_JSON missing = json_array();
		const bool stop = true;

		assert_int_equal(advisories_search(root, NULL, packages, found, missing, &stop, &err), -1);
		assert_int_equal(err.kind, ERR_CANCELLED);
		assert_int_equal(advisories_search(root, cache, packages, found, missing, NULL, &err), 0);
		assert_int_equal(json_array_size(found), 1);
		assert_int_equal(json_number(json_array_get(found, 0), "package", -1), 1);
		assert_string_equal(json_text(json_array_get(found, 0), "severity", ""), "high");
		assert_int_equal(json_array_size(missing), 1);
		assert_string_equal(json_string_value(json_array_get(missing, 0)), "Go");
	}
	assert_int_equal(file_remove_tree(root, &err), 0);
}

static void what_linters_say_is_read_in_any_form(void **state)
{
	static const struct {
		const char *output;
		const char *remarks; /* path:line rule text; */
	} rows[] = {
		{"src/a.c:3:7: warning: unused variable\nsrc/a.c:4: note: here\n  3 | int a;\n",
		 "src/a.c:3  warning: unused variable;"},
		{"/workspace/a.py:10: error: Incompatible types\n./b.py:1:1: F401 unused\nFound 2 errors.\n",
		 "a.py:10  error: Incompatible types;b.py:1  F401 unused;"},
		{"src/x.ts(3,7): error TS2322: Type\n", "src/x.ts:3  error TS2322: Type;"},
		{"[{\"filePath\":\"/workspace/a.js\",\"messages\":[{\"ruleId\":\"no-undef\",\"line\":2,\"message\":\"x is not defined\"}]}]",
		 "a.js:2 no-undef x is not defined;"},
		{"{\"version\":\"2.1.0\",\"runs\":[{\"results\":[{\"ruleId\":\"R1\",\"message\":{\"text\":\"bad\"},\"locations\":[{\"physicalLocation\":"
		 "{\"artifactLocation\":{\"uri\":\"file:///workspace/s.c\"},\"region\":{\"startLine\":9}}}]},{\"ruleId\":\"R2\",\"suppressions\":[{}]},"
		 "{\"level\":\"none\",\"ruleId\":\"R3\"}]}]}",
		 "s.c:9 R1 bad;"},
		{"{broken", ""},
		{"[1,{\"filePath\":3,\"messages\":{}}]", ""},
		{"12:30:01 a line of a log: 3\nhttp://x:80/: no\n", ""},
		{"", ""},
		{"::::\n(((\na:1:\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON remarks = json_array();
		AUTO_BUF told = buf_new(4096);
		size_t index;
		json_t *remark;

		(void)lint_read(view_of(rows[i].output), "/workspace", remarks);
		json_array_foreach(remarks, index, remark)
			buf_add_format(&told, "%s:%lld %s %s;", json_text(remark, "path", ""),
				       (long long)json_number(remark, "line", 0), json_text(remark, "rule", ""),
				       json_text(remark, "text", ""));
		if (strcmp(told.at ? told.at : "", rows[i].remarks) != 0)
			fail_msg("row %zu: %s", i, told.at ? told.at : "nothing");
	}
}

static void only_new_remarks_count_wherever_the_lines_went(void **state)
{
	AUTO_JSON base = json_parse(VIEW("[{\"path\":\"a\",\"line\":1,\"rule\":\"r\",\"text\":\"line 1 is long\"}]"), NULL);
	AUTO_JSON head = json_parse(
		VIEW("[{\"path\":\"a\",\"line\":7,\"rule\":\"r\",\"text\":\"line 7 is long\"},"
		     "{\"path\":\"a\",\"line\":8,\"rule\":\"r\",\"text\":\"line 8 is long\"},{\"path\":\"b\",\"line\":1,\"rule\":\"r\","
		     "\"text\":\"line 1 is long\"}]"),
		NULL);
	AUTO_JSON fresh = lint_fresh(base, head);

	(void)state;
	assert_int_equal(json_array_size(fresh), 2);
	assert_int_equal(json_number(json_array_get(fresh, 0), "line", 0), 8);
	assert_string_equal(json_text(json_array_get(fresh, 1), "path", ""), "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_lock_file_is_read),
		cmocka_unit_test(what_a_package_is_and_where_it_comes_from_is_noted),
		cmocka_unit_test(versions_have_an_order),
		cmocka_unit_test(an_advisory_is_about_its_versions_only),
		cmocka_unit_test(advisories_lie_in_a_folder_for_each_ecosystem),
		cmocka_unit_test(what_linters_say_is_read_in_any_form),
		cmocka_unit_test(only_new_remarks_count_wherever_the_lines_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
