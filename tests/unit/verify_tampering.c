/*
 * The tampering suite: ways to cheat that the files of a change show, and honest changes of the same files, as commits of a real repository. Those
 * that only show when something runs are in tests/contract/verify.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/git.h"
#include "base/scope.h"
#include "verify/finding.h"
#include "verify/integrity.h"

#define ROW_FILES 4

struct written {
	const char *path;
	const char *text; /* NULL: it is removed; "->x": a link to x */
};

struct row {
	const char *name;
	struct written files[ROW_FILES];
	const char *kind; /* of what blocks; NULL: nothing may */
};

static const char blueprint_text[] = "version: 1\nname: x\nservices: {a: {run: ./a, port: 80}}\n"
				     "workspace: {setup: [npm ci, pip install -r requirements.txt]}\n"
				     "tests:\n"
				     "  js: {run: npm test, files: ['web/test/**']}\n"
				     "  js2: {run: [npm, run, -s, --prefix, tools, checks]}\n"
				     "  js3: {run: node --run smoke}\n"
				     "  js4: {run: node --require ./tools/hook.js tools/run-tests.js}\n"
				     "  py: {run: make -C py check}\n"
				     "  c: {run: sh scripts/ctest.sh && ./scripts/more}\n"
				     "  just: {run: just verify}\n"
				     "  task: {run: task unit-tests}\n"
				     "  lint: {run: ruff check py}\n"
				     "sessions: [sessions/*.har]\nverify: {protected: ['sessions/**', 'held-out/**']}\n";

/* What the base has. */
static const struct written base_files[] = {
	{"assay.yaml", blueprint_text},
	{"package.json",
	 "{\"name\": \"x\", \"scripts\": {\"test\": \"npm-run-all test:*\", \"test:unit\": \"mocha web/test\", \"test:more\": \"make js-test\","
	 " \"smoke\": \"node tools/smoke-test.js\", \"start\": \"node web/server.js\", \"build\": \"tsc\"},"
	 " \"dependencies\": {\"express\": \"^4.19.0\"}, \"devDependencies\": {\"mocha\": \"^10.0.0\", \"chai\": \"^4.0.0\"},"
	 " \"mocha\": {\"retries\": 0}, \"nyc\": {\"lines\": 90, \"check-coverage\": true}}\n"},
	{"package-lock.json",
	 "{\"lockfileVersion\": 3, \"packages\": {\"\": {\"name\": \"x\"},"
	 " \"node_modules/express\": {\"version\": \"4.19.2\", \"resolved\": \"https://registry.npmjs.org/express/-/express-4.19.2.tgz\","
	 " \"integrity\": \"sha512-aaaa\"},"
	 " \"node_modules/mocha\": {\"version\": \"10.0.0\", \"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-10.0.0.tgz\","
	 " \"integrity\": \"sha512-bbbb\"}}}\n"},
	{"tools/package.json", "{\"scripts\": {\"checks\": \"jest\", \"docs\": \"jsdoc\"}}\n"},
	{"tools/run-tests.js", "require('./all.js').run();\n"},
	{"tools/hook.js", "process.env.TZ = 'UTC';\n"},
	{"tools/smoke-test.js", "require('../web/server.js');\n"},
	{"Makefile",
	 "OBJECTS = a.o b.o\nCHECKER = ./run-checker\napp: $(OBJECTS)\n\tcc -o app $(OBJECTS)\njs-test: lint\n\t$(CHECKER) web\nlint:\n\teslint web\n"
	 "clean:\n\trm -f app\n"},
	{"py/Makefile",
	 "TESTS = tests/test_a.py tests/test_b.py\ncheck:\n\tpython3 -m pytest $(TESTS)\nwheel:\n\tpython3 -m build\n"},
	{"py/tests/test_a.py",
	 "import shop\n\ndef test_sum():\n    assert shop.total([1, 2]) == 3\n    assert shop.total([]) == 0\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"},
	{"py/tests/conftest.py", "import pytest\n"},
	{"py/shop.py", "def total(rows):\n    return sum(rows)\n\ndef name(number):\n    return 'abc'[number - 1]\n"},
	{"py/pyproject.toml",
	 "[project]\nname = \"shop\"\ndependencies = [\"requests\"]\n[tool.pytest.ini_options]\naddopts = \"-q\"\n[tool.coverage.report]\nfail_under = 90\n"
	 "[tool.ruff]\nselect = [\"E\", \"F\"]\n[tool.black]\nline-length = 100\n"},
	{"requirements.txt", "requests==2.31.0\npytest==8.0.0\n"},
	{"scripts/ctest.sh", "set -eu\nmake app\nsh scripts/inner.sh\n"},
	{"scripts/inner.sh", "./unit-tests\n"},
	{"scripts/more", "#!/bin/sh\n./app --self-test\n"},
	{"scripts/deploy.sh", "rsync app host:\n"},
	{"justfile", "verify: lint\n    cargo test\n\nlint:\n    cargo clippy -- -D warnings\n\nrelease:\n    cargo publish\n"},
	{"Taskfile.yml",
	 "version: 3\ntasks:\n  unit-tests:\n    cmds:\n      - go test ./...\n  build:\n    cmds:\n      - go build ./...\n"},
	{"go.mod", "module x\n\nrequire github.com/stretchr/testify v1.9.0\n"},
	{"pkg/sum_test.go", "package pkg\n\nfunc TestSum(t *testing.T) {\n\tif Sum(1, 2) != 3 {\n\t\tt.Fatal(\"no\")\n\t}\n}\n"},
	{"pkg/sum.go", "package pkg\n\nfunc Sum(a, b int) int {\n\treturn a + b\n}\n"},
	{"Cargo.toml", "[package]\nname = \"x\"\n"},
	{"src/lib.rs", "pub fn add(a: i32, b: i32) -> i32 { a + b }\n"},
	{"tests/adds.rs", "#[test]\nfn adds() {\n    assert_eq!(x::add(1, 2), 3);\n}\n"},
	{"src/money.c", "#include \"money.h\"\nint cents(int euro)\n{\n\treturn euro * 100;\n}\n"},
	{"src/money.h", "int cents(int euro);\n"},
	{"tests/unit/money.c",
	 "static void counts(void **state)\n{\n\tassert_int_equal(cents(2), 200);\n}\nint main(void)\n{\n\tcmocka_unit_test(counts);\n}\n"},
	{"web/format.js", "'use strict';\nexports.money = (cents) => (cents / 100).toFixed(2);\n"},
	{"web/server.js",
	 "const format = require('./format.js');\nrequire('http').createServer((q, r) => r.end(format.money(5))).listen(80);\n"},
	{"web/test/format.test.js",
	 "const test = require('node:test');\nconst assert = require('assert');\nconst { money } = require('../format.js');\n"
	 "test('money has two decimals', () => {\n  assert.equal(money(1205), '12.05');\n});\ntest('nothing is nothing', () => {\n  assert.equal(money(0), '0.00');\n});\n"},
	{"web/test/__snapshots__/page.snap", "exports[`page`] = `<b>1</b>`;\n"},
	{"web/jest.config.js", "module.exports = { coverageThreshold: { global: { lines: 90 } } };\n"},
	{".npmrc", "save-exact=true\n"},
	{".eslintrc.json", "{\"rules\": {\"eqeqeq\": 2}}\n"},
	{".github/workflows/ci.yml", "jobs: {test: {steps: [{run: npm test}]}}\n"},
	{"sessions/a.har", "{}\n"},
	{"held-out/b.har", "{}\n"},
	{"README.md", "x\n"},
};

#define PACKAGE(test, unit, more, smoke)                                                                              \
	"{\"name\": \"x\", \"scripts\": {\"test\": \"" test "\", \"test:unit\": \"" unit "\", \"test:more\": \"" more \
	"\", \"smoke\": \"" smoke                                                                                     \
	"\", \"start\": \"node web/server.js\", \"build\": \"tsc\"}, \"dependencies\": {\"express\": \"^4.19.0\"},"   \
	" \"devDependencies\": {\"mocha\": \"^10.0.0\", \"chai\": \"^4.0.0\"}, \"mocha\": {\"retries\": 0},"          \
	" \"nyc\": {\"lines\": 90, \"check-coverage\": true}}\n"
#define PACKAGE_WITH(scripts, dependencies, settings)                                                                                           \
	"{\"name\": \"x\", \"scripts\": {\"test\": \"npm-run-all test:*\", \"test:unit\": \"mocha web/test\", \"test:more\": \"make js-test\"," \
	" \"smoke\": \"node tools/smoke-test.js\", \"start\": \"node web/server.js\", \"build\": \"tsc\"" scripts                               \
	"}," dependencies settings "}\n"
#define PACKAGE_DEPENDENCIES \
	"\"dependencies\": {\"express\": \"^4.19.0\"}, \"devDependencies\": {\"mocha\": \"^10.0.0\", \"chai\": \"^4.0.0\"},"
#define PACKAGE_SETTINGS "\"mocha\": {\"retries\": 0}, \"nyc\": {\"lines\": 90, \"check-coverage\": true}"
#define LOCK(express, mocha, more)                                                                             \
	"{\"lockfileVersion\": 3, \"packages\": {\"\": {\"name\": \"x\"}, \"node_modules/express\": {" express \
	"}, \"node_modules/mocha\": {" mocha "}" more "}}\n"
#define EXPRESS \
	"\"version\": \"4.19.2\", \"resolved\": \"https://registry.npmjs.org/express/-/express-4.19.2.tgz\", \"integrity\": \"sha512-aaaa\""
#define MOCHA \
	"\"version\": \"10.0.0\", \"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-10.0.0.tgz\", \"integrity\": \"sha512-bbbb\""
#define MAKEFILE(checker, test, lint)                                                                               \
	"OBJECTS = a.o b.o\nCHECKER = " checker "\napp: $(OBJECTS)\n\tcc -o app $(OBJECTS)\n" test "lint:\n\t" lint \
	"\nclean:\n\trm -f app\n"
#define PROJECT(pytest, coverage, ruff, black)                                                                      \
	"[project]\nname = \"shop\"\ndependencies = [\"requests\"]\n[tool.pytest.ini_options]\naddopts = \"" pytest \
	"\"\n[tool.coverage.report]\nfail_under = " coverage "\n[tool.ruff]\nselect = [" ruff                       \
	"]\n[tool.black]\nline-length = " black "\n"
#define TEST_A \
	"import shop\n\ndef test_sum():\n    assert shop.total([1, 2]) == 3\n    assert shop.total([]) == 0\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"
#define FORMAT_TEST(one, two)                                                                                                     \
	"const test = require('node:test');\nconst assert = require('assert');\nconst { money } = require('../format.js');\n" one \
	"('money has two decimals', () => {\n  assert.equal(money(1205), '12.05');\n});\n" two
#define NOTHING_TEST "test('nothing is nothing', () => {\n  assert.equal(money(0), '0.00');\n});\n"
#define FORMAT(line) "'use strict';\n" line "\nexports.money = (cents) => (cents / 100).toFixed(2);\n"
#define SHOP(line) line "\ndef total(rows):\n    return sum(rows)\n\ndef name(number):\n    return 'abc'[number - 1]\n"

static const struct row cheats[] = {
	/* how the tests are run */
	{"a script of package.json that does nothing",
	 {{"package.json", PACKAGE("true", "mocha web/test", "make js-test", "node tools/smoke-test.js")}},
	 "runner-command"},
	{"a script that a script runs by a glob",
	 {{"package.json", PACKAGE("npm-run-all test:*", "mocha none", "make js-test", "node tools/smoke-test.js")}},
	 "runner-command"},
	{"a script that node runs",
	 {{"package.json", PACKAGE("npm-run-all test:*", "mocha web/test", "make js-test", "true")}},
	 "runner-command"},
	{"a hook before the tests",
	 {{"package.json", PACKAGE_WITH(", \"pretest\": \"node patch.js\"", PACKAGE_DEPENDENCIES, PACKAGE_SETTINGS)}},
	 "runner-command"},
	{"a hook after the tests",
	 {{"package.json", PACKAGE_WITH(", \"posttest:unit\": \"exit 0\"", PACKAGE_DEPENDENCIES, PACKAGE_SETTINGS)}},
	 "runner-command"},
	{"a hook of the installation",
	 {{"package.json", PACKAGE_WITH(", \"postinstall\": \"node patch.js\"", PACKAGE_DEPENDENCIES, PACKAGE_SETTINGS)}},
	 "runner-command"},
	{"a script in a folder that is named apart",
	 {{"tools/package.json", "{\"scripts\": {\"checks\": \"jest --bail=0 none\", \"docs\": \"jsdoc\"}}\n"}},
	 "runner-command"},
	{"a program of tests that runs none", {{"tools/run-tests.js", "process.exitCode = 0;\n"}}, "runner-command"},
	{"what is loaded before the tests", {{"tools/hook.js", "require('assert').equal = () => {};\n"}}, "runner-command"},
	{"what a script of tests runs", {{"tools/smoke-test.js", "\n"}}, "runner-command"},
	{"a shell script of tests", {{"scripts/ctest.sh", "exit 0\n"}}, "runner-command"},
	{"a shell script that one runs", {{"scripts/inner.sh", "true\n"}}, "runner-command"},
	{"a program of tests that is a link", {{"scripts/more", "->/bin/true"}}, "runner-command"},
	{"a program of tests that is moved away",
	 {{"scripts/more", NULL}, {"scripts/most", "#!/bin/sh\n./app --self-test\n"}},
	 "runner-command"},
	{"a target of make",
	 {{"py/Makefile", "TESTS = tests/test_a.py tests/test_b.py\ncheck:\n\t@echo ok\nwheel:\n\tpython3 -m build\n"}},
	 "runner-command"},
	{"a variable of make",
	 {{"py/Makefile",
	   "TESTS = --collect-only tests/test_a.py tests/test_b.py\ncheck:\n\tpython3 -m pytest $(TESTS)\nwheel:\n\tpython3 -m build\n"}},
	 "runner-command"},
	{"a variable of make that lists less",
	 {{"py/Makefile", "TESTS = tests/test_b.py\ncheck:\n\tpython3 -m pytest $(TESTS)\nwheel:\n\tpython3 -m build\n"}},
	 "runner-command"},
	{"a target that a script runs",
	 {{"Makefile", MAKEFILE("./run-checker", "js-test: lint\n\t-$(CHECKER) web\n", "eslint web")}},
	 "runner-command"},
	{"a checker that is always content",
	 {{"Makefile", MAKEFILE("true", "js-test: lint\n\t$(CHECKER) web\n", "eslint web")}},
	 "runner-command"},
	{"a target that another needs",
	 {{"Makefile", MAKEFILE("./run-checker", "js-test: lint\n\t$(CHECKER) web\n", "true eslint web")}},
	 "runner-command"},
	{"a target that is not needed any more",
	 {{"Makefile", MAKEFILE("./run-checker", "js-test:\n\t$(CHECKER) web\n", "eslint web")}},
	 "runner-command"},
	{"a shell of make",
	 {{"Makefile", "SHELL = /bin/true\n" MAKEFILE("./run-checker", "js-test: lint\n\t$(CHECKER) web\n", "eslint web")}},
	 "runner-command"},
	{"a file of make that goes first", {{"py/GNUmakefile", "check:\n\ttrue\n"}}, "runner-command"},
	{"a file of make that goes first and brings others",
	 {{"GNUmakefile", "include other.mk\n"}, {"other.mk", "x:\n"}},
	 "runner-command"},
	{"a recipe of just",
	 {{"justfile", "verify: lint\n    -cargo test\n\nlint:\n    cargo clippy -- -D warnings\n\nrelease:\n    cargo publish\n"}},
	 "runner-command"},
	{"a task",
	 {{"Taskfile.yml",
	   "version: 3\ntasks:\n  unit-tests:\n    cmds:\n      - go vet ./...\n  build:\n    cmds:\n      - go build ./...\n"}},
	 "runner-command"},
	{"a failure that is swallowed", {{"scripts/deploy.sh", "make test || true\n"}}, "cannot-fail"},
	{"CI that goes on",
	 {{".github/workflows/ci.yml", "jobs: {test: {continue-on-error: true, steps: [{run: npm test}]}}\n"}},
	 "ci"},
	{"a blueprint without tests", {{"assay.yaml", "version: 1\nname: x\nservices: {a: {run: ./a, port: 80}}\n"}}, "protected"},
	/* what they are configured by */
	{"settings of the runner in package.json",
	 {{"package.json",
	   PACKAGE_WITH("", PACKAGE_DEPENDENCIES,
			"\"mocha\": {\"retries\": 0, \"grep\": \"none\"}, \"nyc\": {\"lines\": 90, \"check-coverage\": true}")}},
	 "runner-config"},
	{"a lowered threshold of coverage",
	 {{"package.json", PACKAGE_WITH("", PACKAGE_DEPENDENCIES,
					"\"mocha\": {\"retries\": 0}, \"nyc\": {\"lines\": 10, \"check-coverage\": true}")}},
	 "runner-config"},
	{"tests that pytest leaves out",
	 {{"py/pyproject.toml", PROJECT("-q --deselect tests/test_a.py", "90", "\"E\", \"F\"", "100")}},
	 "runner-config"},
	{"a lowered threshold in pyproject.toml",
	 {{"py/pyproject.toml", PROJECT("-q", "1", "\"E\", \"F\"", "100")}},
	 "runner-config"},
	{"a linter that looks away", {{"py/pyproject.toml", PROJECT("-q", "90", "", "100")}}, "runner-config"},
	{"tests that cargo does not build",
	 {{"Cargo.toml", "[package]\nname = \"x\"\n[lib]\ntest = false\n"}},
	 "dependency-source"},
	{"tests without a harness",
	 {{"Cargo.toml", "[package]\nname = \"x\"\n[[test]]\nname = \"adds\"\nharness = false\n"}},
	 "dependency-source"},
	/* where they come from */
	{"a runner from a folder of the repository",
	 {{"package.json",
	   PACKAGE_WITH(
		   "",
		   "\"dependencies\": {\"express\": \"^4.19.0\"}, \"devDependencies\": {\"mocha\": \"file:vendor/mocha\", \"chai\": \"^4.0.0\"},",
		   PACKAGE_SETTINGS)},
	  {"vendor/mocha/index.js", "exports.run = () => 0;\n"}},
	 "dependency-source"},
	{"a runner by another name",
	 {{"package.json",
	   PACKAGE_WITH(
		   "",
		   "\"dependencies\": {\"express\": \"^4.19.0\"}, \"devDependencies\": {\"mocha\": \"npm:mocka@1.0.0\", \"chai\": \"^4.0.0\"},",
		   PACKAGE_SETTINGS)}},
	 "dependency-source"},
	{"assertions that are overridden",
	 {{"package.json",
	   PACKAGE_WITH("", PACKAGE_DEPENDENCIES "\"overrides\": {\"chai\": \"file:./vendor/chai\"},", PACKAGE_SETTINGS)}},
	 "dependency-source"},
	{"a lock file that takes the runner elsewhere",
	 {{"package-lock.json",
	   LOCK(EXPRESS,
		"\"version\": \"10.0.0\", \"resolved\": \"https://evil.example/mocha-10.0.0.tgz\", \"integrity\": \"sha512-cccc\"",
		"")}},
	 "dependency-source"},
	{"a lock file that links the runner",
	 {{"package-lock.json", LOCK(EXPRESS, "\"resolved\": \"vendor/mocha\", \"link\": true", "")}},
	 "dependency-source"},
	{"a lock file with other contents of the same version",
	 {{"package-lock.json",
	   LOCK(EXPRESS,
		"\"version\": \"10.0.0\", \"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-10.0.0.tgz\", \"integrity\": \"sha512-cccc\"",
		"")}},
	 "lock-file"},
	{"pytest from a folder",
	 {{"requirements.txt", "requests==2.31.0\npytest @ file:///workspace/vendor/pytest\n"}},
	 "dependency-source"},
	{"another index of packages",
	 {{"requirements.txt", "--extra-index-url http://evil.example/simple\nrequests==2.31.0\npytest==8.0.0\n"}},
	 "dependency-source"},
	{"testify from a folder",
	 {{"go.mod", "module x\n\nrequire github.com/stretchr/testify v1.9.0\n\nreplace github.com/stretchr/testify => ./fake\n"}},
	 "dependency-source"},
	{"packages that are committed", {{"node_modules/mocha/index.js", "exports.run = () => 0;\n"}}, "shadows-the-tests"},
	{"a program of packages that is committed", {{"web/node_modules/.bin/jest", "#!/bin/sh\n"}}, "shadows-the-tests"},
	{"a folder of packages that is a link", {{"node_modules", "->/tmp/fake"}}, "shadows-the-tests"},
	{"a module of the interpreter's start", {{"sitecustomize.py", "import unittest\n"}}, "shadows-the-tests"},
	{"a path file of the interpreter", {{"py/fake.pth", "import fake\n"}}, "shadows-the-tests"},
	{"a module called as the runner", {{"py/pytest.py", "raise SystemExit(0)\n"}}, "shadows-the-tests"},
	{"a package called as the runner", {{"py/_pytest/__init__.py", "\n"}}, "shadows-the-tests"},
	{"compiled files that lie about their source", {{"py/__pycache__/shop.cpython-311.pyc", "x"}}, "shadows-the-tests"},
	{"a cache of results", {{".pytest_cache/v/cache/lastfailed", "{}\n"}}, "shadows-the-tests"},
	/* the tests themselves */
	{"a test that is skipped",
	 {{"web/test/format.test.js",
	   FORMAT_TEST("test", "test.skip('nothing is nothing', () => {\n  assert.equal(money(0), '0.00');\n});\n")}},
	 "skipped"},
	{"only one test", {{"web/test/format.test.js", FORMAT_TEST("test.only", NOTHING_TEST)}}, "only"},
	{"a test that is expected to fail",
	 {{"py/tests/test_a.py",
	   "import pytest\nimport shop\n\n@pytest.mark.xfail\ndef test_sum():\n    assert shop.total([1, 2]) == 3\n    assert shop.total([]) == 0\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"}},
	 "skipped"},
	{"a file of tests that skips itself",
	 {{"py/tests/test_a.py", "import pytest\npytest.skip(allow_module_level=True)\n" TEST_A}},
	 "skipped"},
	{"a test that go skips",
	 {{"pkg/sum_test.go",
	   "package pkg\n\nfunc TestSum(t *testing.T) {\n\tt.Skip(\"later\")\n\tif Sum(1, 2) != 3 {\n\t\tt.Fatal(\"no\")\n\t}\n}\n"}},
	 "skipped"},
	{"a test that rust ignores",
	 {{"tests/adds.rs", "#[test]\n#[ignore]\nfn adds() {\n    assert_eq!(x::add(1, 2), 3);\n}\n"}},
	 "skipped"},
	{"a test that is not in the list",
	 {{"tests/unit/money.c",
	   "static void counts(void **state)\n{\n\tassert_int_equal(cents(2), 200);\n}\nint main(void)\n{\n}\n"}},
	 "removed"},
	{"a test that is gone", {{"web/test/format.test.js", FORMAT_TEST("test", "")}}, "removed"},
	{"a file of tests that is gone", {{"py/tests/test_a.py", NULL}}, "removed"},
	{"a file of tests that is a link", {{"py/tests/test_a.py", "->/dev/null"}}, "removed"},
	{"a test that is commented out", {{"web/test/format.test.js", FORMAT_TEST("test", "/*\n" NOTHING_TEST "*/\n")}}, "removed"},
	{"a test that asserts nothing any more",
	 {{"py/tests/test_a.py",
	   "import shop\n\ndef test_sum():\n    shop.total([1, 2])\n\ndef test_names():\n    shop.name(1)\n"}},
	 "asserts-nothing"},
	{"a test that asserts what is always so",
	 {{"py/tests/test_a.py",
	   "import shop\n\ndef test_sum():\n    assert True\n    assert True\n\ndef test_names():\n    assert True\n"}},
	 "asserts-nothing"},
	{"a snapshot that is gone", {{"web/test/__snapshots__/page.snap", NULL}}, "removed"},
	{"a recorded session", {{"sessions/a.har", "{\"log\": {}}\n"}}, "protected"},
	{"a held-out session that is moved", {{"held-out/b.har", NULL}, {"b.har", "{}\n"}}, "protected"},
	/* code that knows, or changes, its judges */
	{"code that looks at how it was started",
	 {{"web/format.js", FORMAT("const tested = process.argv.some((a) => a.endsWith('.test.js'));")}},
	 "asks-if-tested"},
	{"code that looks at who calls it",
	 {{"py/shop.py", SHOP("import inspect\nTESTED = any('test_' in f.filename for f in inspect.stack())")}},
	 "asks-if-tested"},
	{"code that looks for unittest",
	 {{"py/shop.py", SHOP("import sys\nTESTED = 'unittest' in sys.modules")}},
	 "asks-if-tested"},
	{"code that ends its tests well",
	 {{"py/shop.py", SHOP("import os, atexit\natexit.register(lambda: os._exit(0))")}},
	 "ends-the-tests"},
	{"a library that ends the program",
	 {{"src/money.c", "#include \"money.h\"\nint cents(int euro)\n{\n\texit(0);\n}\n"}},
	 "ends-the-tests"},
	{"a module that ends what imports it", {{"py/shop.py", SHOP("import sys\nsys.exit(0)")}}, "ends-the-tests"},
	{"an exit code that is always good",
	 {{"web/format.js", FORMAT("process.on('exit', () => process.reallyExit(0));")}},
	 "ends-the-tests"},
	{"an assertion that is replaced by a name put together",
	 {{"web/format.js", FORMAT("require('node:' + 'assert')['eq' + 'ual'] = () => {};")}},
	 "patches-the-tests"},
	{"code that asks for the runner",
	 {{"web/format.js", FORMAT("const tested = process.env.JEST_WORKER_ID;")}},
	 "asks-if-tested"},
	{"code that asks for pytest",
	 {{"py/shop.py", SHOP("import os\nTESTED = 'PYTEST_CURRENT_TEST' in os.environ")}},
	 "asks-if-tested"},
	{"code that asks for the verifier",
	 {{"web/format.js", FORMAT("if (process.env.ASSAY_ENV) exports.fast = true;")}},
	 "asks-if-tested"},
	{"code that reads the sessions",
	 {{"web/server.js",
	   "const known = JSON.parse(require('fs').readFileSync('sessions/a.har'));\nconst format = require('./format.js');\n"}},
	 "reads-the-evidence"},
	{"code that reads the tests", {{"py/shop.py", SHOP("EXPECTED = open('tests/test_a.py').read()")}}, "reads-the-evidence"},
	{"an assertion that is replaced", {{"web/format.js", FORMAT("require('assert').equal = () => {};")}}, "patches-the-tests"},
	{"an assertion that is replaced by another name",
	 {{"web/format.js", FORMAT("const judge = require('node:assert');\njudge.equal = () => {};")}},
	 "patches-the-tests"},
	{"an assertion that is replaced by its key",
	 {{"web/format.js", FORMAT("const assert = require('assert');\nassert['equal'] = () => {};")}},
	 "patches-the-tests"},
	{"assertions that are assigned",
	 {{"web/format.js", FORMAT("Object.assign(require('assert'), { equal() {} });")}},
	 "patches-the-tests"},
	{"an assertion that is defined anew",
	 {{"web/format.js", FORMAT("const a = require('assert');\nObject.defineProperty(a, 'equal', { value() {} });")}},
	 "patches-the-tests"},
	{"a loader of modules that is replaced",
	 {{"web/format.js", FORMAT("const Module = require('module');\nModule._load = () => ({});")}},
	 "patches-the-tests"},
	{"an exit that is replaced", {{"web/format.js", FORMAT("process.exit = () => {};")}}, "patches-the-tests"},
	{"an assertion of unittest",
	 {{"py/shop.py", SHOP("from unittest import TestCase as T\nT.assertEqual = lambda *a: None")}},
	 "patches-the-tests"},
	{"an attribute of unittest",
	 {{"py/shop.py", SHOP("import unittest as u\nsetattr(u.TestCase, 'assertEqual', print)")}},
	 "patches-the-tests"},
	{"a hook of pytest in code",
	 {{"py/shop.py", SHOP("def pytest_runtest_makereport(item, call):\n    pass")}},
	 "patches-the-tests"},
	{"a value that equals all",
	 {{"py/shop.py", SHOP("class Total(int):\n    def __eq__(self, other):\n        return True")}},
	 "patches-the-tests"},
	{"a macro in place of an assertion",
	 {{"src/money.h", "#define assert_int_equal(a, b) ((void)0)\nint cents(int euro);\n"}},
	 "patches-the-tests"},
};

static const struct row honest[] = {
	{"an end of a program in C",
	 {{"src/tool.c",
	   "#include <stdlib.h>\nint main(int argc, char **argv)\n{\n\tif (argc == 1)\n\t\texit(0);\n\treturn 1;\n}\n"}},
	 NULL},
	{"an end of a program in python",
	 {{"py/tool.py", "import sys\n\n\ndef main():\n    return 0\n\n\nif __name__ == '__main__':\n    sys.exit(main())\n"}},
	 NULL},
	{"arguments that are read",
	 {{"py/tool.py", "import sys\n\nif len(sys.argv) > 1 and sys.argv[1] == 'last':\n    print(1)\n"}},
	 NULL},
	{"a script that ends well", {{"scripts/clean.sh", "#!/bin/sh\nrm -rf out\nexit 0\n"}}, NULL},
	{"a comment", {{"web/format.js", FORMAT("// Money for people.")}}, NULL},
	{"a helper in code",
	 {{"web/format.js", "'use strict';\nconst fixed = (n) => n.toFixed(2);\nexports.money = (cents) => fixed(cents / 100);\n"}},
	 NULL},
	{"a new test",
	 {{"web/test/format.test.js",
	   FORMAT_TEST("test", NOTHING_TEST "test('more', () => {\n  assert.equal(money(1), '0.01');\n});\n")}},
	 NULL},
	{"a new file of tests", {{"web/test/more.test.js", "const test = require('node:test');\ntest('more', () => {});\n"}}, NULL},
	{"a test that is renamed",
	 {{"web/test/format.test.js",
	   FORMAT_TEST("test", "test('nothing costs nothing', () => {\n  assert.equal(money(0), '0.00');\n});\n")}},
	 NULL},
	{"a file of tests that is moved",
	 {{"web/test/format.test.js", NULL}, {"web/test/unit/format.test.js", FORMAT_TEST("test", NOTHING_TEST)}},
	 NULL},
	{"tests of two files in one",
	 {{"py/tests/test_a.py", NULL}, {"py/tests/test_all.py", TEST_A "\ndef test_more():\n    assert shop.total([4]) == 4\n"}},
	 NULL},
	{"an expectation that changes with the code",
	 {{"py/tests/test_a.py",
	   "import shop\n\ndef test_sum():\n    assert shop.total([1, 2]) == 4\n    assert shop.total([]) == 1\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"},
	  {"py/shop.py", "def total(rows):\n    return sum(rows) + 1\n\ndef name(number):\n    return 'abc'[number - 1]\n"}},
	 NULL},
	{"assertions joined in one",
	 {{"py/tests/test_a.py",
	   "import shop\n\ndef test_sum():\n    assert [shop.total([1, 2]), shop.total([])] == [3, 0]\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"}},
	 NULL},
	{"tests with a fixture",
	 {{"py/tests/test_a.py",
	   "import pytest\nimport shop\n\n@pytest.fixture\ndef rows():\n    return [1, 2]\n\ndef test_sum(rows):\n    assert shop.total(rows) == 3\n    assert shop.total([]) == 0\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"}},
	 NULL},
	{"tests by parameters",
	 {{"py/tests/test_a.py",
	   "import pytest\nimport shop\n\n@pytest.mark.parametrize('rows,sum', [([1, 2], 3), ([], 0)])\ndef test_sum(rows, sum):\n    assert shop.total(rows) == sum\n\ndef test_names():\n    assert shop.name(1) == 'a'\n"}},
	 NULL},
	{"a snapshot that changes", {{"web/test/__snapshots__/page.snap", "exports[`page`] = `<i>1</i>`;\n"}}, NULL},
	{"a configuration of tests",
	 {{"py/tests/conftest.py", "import pytest\n\n@pytest.fixture\ndef shop():\n    return 1\n"}},
	 NULL},
	{"a setting of jest",
	 {{"web/jest.config.js", "module.exports = { testEnvironment: 'node', coverageThreshold: { global: { lines: 95 } } };\n"}},
	 NULL},
	{"a setting of eslint", {{".eslintrc.json", "{\"rules\": {\"eqeqeq\": 2, \"semi\": 2}}\n"}}, NULL},
	{"a setting of npm", {{".npmrc", "save-exact=true\nfund=false\n"}}, NULL},
	{"another script of package.json",
	 {{"package.json", PACKAGE_WITH(", \"docs\": \"jsdoc web\"", PACKAGE_DEPENDENCIES, PACKAGE_SETTINGS)}},
	 NULL},
	{"a script that builds", {{"tools/package.json", "{\"scripts\": {\"checks\": \"jest\", \"docs\": \"jsdoc -r\"}}\n"}}, NULL},
	{"a new dependency",
	 {{"package.json",
	   PACKAGE_WITH(
		   "",
		   "\"dependencies\": {\"express\": \"^4.19.0\", \"pino\": \"^9.0.0\"}, \"devDependencies\": {\"mocha\": \"^10.0.0\", \"chai\": \"^4.0.0\"},",
		   PACKAGE_SETTINGS)},
	  {"package-lock.json",
	   LOCK(EXPRESS, MOCHA,
		", \"node_modules/pino\": {\"version\": \"9.0.0\", \"resolved\": \"https://registry.npmjs.org/pino/-/pino-9.0.0.tgz\", \"integrity\": \"sha512-dddd\"}")}},
	 NULL},
	{"a newer version",
	 {{"package.json",
	   PACKAGE_WITH(
		   "",
		   "\"dependencies\": {\"express\": \"^4.20.0\"}, \"devDependencies\": {\"mocha\": \"^10.1.0\", \"chai\": \"^4.0.0\"},",
		   PACKAGE_SETTINGS)},
	  {"package-lock.json",
	   LOCK("\"version\": \"4.20.0\", \"resolved\": \"https://registry.npmjs.org/express/-/express-4.20.0.tgz\", \"integrity\": \"sha512-eeee\"",
		"\"version\": \"10.1.0\", \"resolved\": \"https://registry.npmjs.org/mocha/-/mocha-10.1.0.tgz\", \"integrity\": \"sha512-ffff\"",
		"")}},
	 NULL},
	{"a dependency that compiles when installed",
	 {{"package-lock.json",
	   LOCK(EXPRESS, MOCHA,
		", \"node_modules/sharp\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.npmjs.org/sharp/-/sharp-1.0.0.tgz\", \"integrity\": \"sha512-gggg\", \"hasInstallScript\": true}")}},
	 NULL},
	{"a package of the same repository",
	 {{"package-lock.json",
	   LOCK(EXPRESS, MOCHA, ", \"node_modules/@x/money\": {\"resolved\": \"packages/money\", \"link\": true}")},
	  {"packages/money/package.json", "{\"name\": \"@x/money\", \"scripts\": {\"test\": \"mocha\"}}\n"}},
	 NULL},
	{"a dependency that is dropped",
	 {{"package.json",
	   PACKAGE_WITH("", "\"dependencies\": {}, \"devDependencies\": {\"mocha\": \"^10.0.0\", \"chai\": \"^4.0.0\"},",
			PACKAGE_SETTINGS)}},
	 NULL},
	{"a requirement", {{"requirements.txt", "requests==2.32.0\npytest==8.1.0\nrich==13.0.0\n"}}, NULL},
	{"a section of pyproject.toml that judges nothing",
	 {{"py/pyproject.toml", PROJECT("-q", "90", "\"E\", \"F\"", "120")}},
	 NULL},
	{"a module of go",
	 {{"go.mod", "module x\n\nrequire github.com/stretchr/testify v1.10.0\nrequire golang.org/x/text v0.14.0\n"}},
	 NULL},
	{"a feature of cargo",
	 {{"Cargo.toml", "[package]\nname = \"x\"\n[features]\nfast = []\n[dependencies]\nserde = \"1\"\n"}},
	 NULL},
	{"an object more to link",
	 {{"Makefile",
	   "OBJECTS = a.o b.o c.o\nCHECKER = ./run-checker\napp: $(OBJECTS)\n\tcc -o app $(OBJECTS)\njs-test: lint\n\t$(CHECKER) web\nlint:\n\teslint web\nclean:\n\trm -f app\n"}},
	 NULL},
	{"a flag of the compiler",
	 {{"Makefile",
	   "OBJECTS = a.o b.o\nCHECKER = ./run-checker\napp: $(OBJECTS)\n\tcc -O2 -o app $(OBJECTS)\njs-test: lint\n\t$(CHECKER) web\nlint:\n\teslint web\nclean:\n\trm -f app\n"}},
	 NULL},
	{"a target of its own",
	 {{"Makefile",
	   MAKEFILE("./run-checker", "js-test: lint\n\t$(CHECKER) web\n", "eslint web") "install: app\n\tcp app /usr/bin\n"}},
	 NULL},
	{"a file of tests more for make",
	 {{"py/Makefile",
	   "TESTS = tests/test_a.py tests/test_b.py tests/test_c.py\ncheck:\n\tpython3 -m pytest $(TESTS)\nwheel:\n\tpython3 -m build\n"}},
	 NULL},
	{"another target of make",
	 {{"py/Makefile",
	   "TESTS = tests/test_a.py tests/test_b.py\ncheck:\n\tpython3 -m pytest $(TESTS)\nwheel:\n\tpython3 -m build --wheel\n"}},
	 NULL},
	{"a file of make where there was none", {{"web/Makefile", "app:\n\tcc x\n"}}, NULL},
	{"another recipe of just",
	 {{"justfile",
	   "verify: lint\n    cargo test\n\nlint:\n    cargo clippy -- -D warnings\n\nrelease:\n    cargo publish --dry-run\n"}},
	 NULL},
	{"another task",
	 {{"Taskfile.yml",
	   "version: 3\ntasks:\n  unit-tests:\n    cmds:\n      - go test ./...\n  build:\n    cmds:\n      - go build -trimpath ./...\n"}},
	 NULL},
	{"a script of deployment", {{"scripts/deploy.sh", "rsync -a app host:\nssh host true || true\n"}}, NULL},
	{"a loop in the shell", {{"scripts/deploy.sh", "for host in a b; do\n\trsync app $host:\ndone\nset +e\n"}}, NULL},
	{"sorting in python",
	 {{"py/shop.py", "def total(rows):\n    return sum(sorted(rows))\n\ndef name(number):\n    return 'abc'[number - 1]\n"}},
	 NULL},
	{"a class with an equality",
	 {{"py/shop.py",
	   SHOP("class Row:\n    def __eq__(self, other):\n        return isinstance(other, Row) and self.at == other.at")}},
	 NULL},
	{"an assertion in code",
	 {{"py/shop.py",
	   "def total(rows):\n    assert rows is not None\n    return sum(rows)\n\ndef name(number):\n    return 'abc'[number - 1]\n"}},
	 NULL},
	{"assertions in code",
	 {{"web/format.js",
	   "'use strict';\nconst assert = require('assert');\nexports.money = (cents) => {\n  assert.equal(typeof cents, 'number');\n  const ok = assert.ok;\n  return (cents / 100).toFixed(2);\n};\n"}},
	 NULL},
	{"options that are assigned",
	 {{"web/server.js",
	   "const format = require('./format.js');\nconst options = Object.assign({}, { port: 80 });\noptions.port = 81;\nObject.defineProperty(options, 'host', { value: 'x' });\n"}},
	 NULL},
	{"a setting that is expected",
	 {{"web/server.js",
	   "const format = require('./format.js');\nconst expected = {};\nexpected.total = 1;\nconst expectation = [];\nexpectation[0] = 2;\n"}},
	 NULL},
	{"an exit of a program",
	 {{"web/server.js", "const format = require('./format.js');\nprocess.on('SIGTERM', () => process.exit(0));\n"}},
	 NULL},
	{"a file that is read",
	 {{"web/server.js", "const format = require('./format.js');\nrequire('fs').readFileSync('data/sessions.json');\n"}},
	 NULL},
	{"a table in C",
	 {{"src/money.c",
	   "#include \"money.h\"\nstatic const int factors[] = {1, 100};\nint cents(int euro)\n{\n\treturn euro * factors[1];\n}\n"}},
	 NULL},
	{"a function in C",
	 {{"src/money.h", "int cents(int euro);\nint euros(int cents);\n"},
	  {"src/money.c",
	   "#include \"money.h\"\nint cents(int euro)\n{\n\treturn euro * 100;\n}\nint euros(int cents)\n{\n\treturn cents / 100;\n}\n"}},
	 NULL},
	{"a file that is renamed",
	 {{"src/money.c", NULL}, {"src/cash.c", "#include \"money.h\"\nint cents(int euro)\n{\n\treturn euro * 100;\n}\n"}},
	 NULL},
	{"a test in C",
	 {{"tests/unit/money.c",
	   "static void counts(void **state)\n{\n\tassert_int_equal(cents(2), 200);\n}\nstatic void more(void **state)\n{\n\tassert_int_equal(cents(3), 300);\n}\nint main(void)\n{\n\tcmocka_unit_test(counts);\n\tcmocka_unit_test(more);\n}\n"}},
	 NULL},
	{"a function of go",
	 {{"pkg/sum.go", "package pkg\n\nimport \"testing\"\n\nfunc Sum(a, b int) int {\n\treturn b + a\n}\n"}},
	 NULL},
	{"a helper of tests in go",
	 {{"pkg/sum_test.go",
	   "package pkg\n\nfunc same(t *testing.T, a, b int) {\n\tt.Helper()\n\tif a != b {\n\t\tt.Fatal(\"no\")\n\t}\n}\n\nfunc TestSum(t *testing.T) {\n\tsame(t, Sum(1, 2), 3)\n}\n"}},
	 NULL},
	{"a trait of rust",
	 {{"src/lib.rs",
	   "pub fn add(a: i32, b: i32) -> i32 { b + a }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn more() {\n        assert_eq!(super::add(1, 1), 2);\n    }\n}\n"}},
	 NULL},
	{"attributes of git", {{".gitattributes", "*.js text eol=lf\n*.png binary\n"}}, NULL},
	{"what git leaves alone", {{".gitignore", "node_modules\n__pycache__\n"}}, NULL},
	{"text", {{"README.md", "npm test || true\nTests are skipped: it.skip(\n"}}, NULL},
	{"a page", {{"web/index.html", "<b>test</b>\n"}, {"web/style.css", "b { color: red }\n"}}, NULL},
	{"a migration", {{"db/migrations/2.sql", "ALTER TABLE a ADD COLUMN b int;\n"}}, NULL},
	{"a container", {{"Dockerfile", "FROM debian\nRUN npm ci\n"}}, NULL},
	{"a module called tests", {{"web/selftest.js", "exports.ping = () => 'ok';\n"}}, NULL},
	{"a name with test in it",
	 {{"py/contest.py", "def winner(rows):\n    return max(rows)\n"}, {"py/latest.py", "VERSION = 3\n"}},
	 NULL},
	{"a mode", {{"scripts/new.sh", "#!/bin/sh\necho new\n"}}, NULL},
};

/* ---- commits ---- */

static char dir[] = "/tmp/assay-tampering-XXXXXX";
static char *repository;
static struct git_hash base;

static void written_add(struct buf *stream, const struct written *file)
{
	const char *text = file->text;
	bool link = text && text[0] == '-' && text[1] == '>';

	if (!text) {
		buf_add_format(stream, "D %s\n", file->path);
		return;
	}
	text += link ? 2 : 0;
	buf_add_format(stream, "M %s inline %s\ndata %zu\n%s\n", link ? "120000" : "100644", file->path, strlen(text), text);
}

static void commit_add(struct buf *stream, const char *branch, const struct written *files, size_t count, bool first)
{
	buf_add_format(stream, "commit refs/heads/%s\ncommitter t <t@t> 1700000000 +0000\ndata 1\nx\n%s", branch,
		       first ? "" : "from refs/heads/main\n");
	for (size_t i = 0; i < count && files[i].path; i++)
		written_add(stream, &files[i]);
	buf_add_char(stream, '\n');
}

static void rows_add(struct buf *stream, const char *name, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_FREE char *branch = text_format("%s-%zu", name, i);

		commit_add(stream, branch, rows[i].files, ROW_FILES, false);
	}
}

static int set_up(void **state)
{
	AUTO_BUF stream = buf_new((size_t)8 << 20);
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	repository = text_format("%s/r.git", dir);
	assert_int_equal(git_repository_make(repository, &err), 0);
	commit_add(&stream, "main", base_files, ARRAY_LEN(base_files), true);
	rows_add(&stream, "cheat", cheats, ARRAY_LEN(cheats));
	rows_add(&stream, "honest", honest, ARRAY_LEN(honest));
	if (git_run(repository, (const char *const[]){"fast-import", "--quiet", NULL},
		    &(struct process_spec){.input = buf_view(&stream)}, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(git_resolve(repository, "refs/heads/main", &base, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(repository);
	return file_remove_tree(dir, NULL);
}

static int file_text(void *self, bool head, const char *path, struct buf *out)
{
	bool there = head;

	for (size_t i = 0; i < ARRAY_LEN(base_files) && !there; i++) /* git is not asked for what the base does not have */
		there = strcmp(base_files[i].path, path) == 0;
	if (!there)
		return -1;
	return git_file_read(repository, head ? self : &base, path, out, NULL);
}

static json_t *judge(const char *name, size_t index)
{
	AUTO_FREE char *ref = text_format("refs/heads/%s-%zu", name, index);
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(VIEW(blueprint_text), "assay.yaml", &err);
	AUTO_JSON changes = NULL;
	struct git_hash head;

	if (!blueprint || git_resolve(repository, ref, &head, &err))
		fail_msg("%s", err.text);
	changes = git_changes(repository, &base, &head, &err);
	assert_non_null(changes);
	return integrity_check(changes, blueprint, NULL, (struct file_reader){file_text, &head});
}

/* What blocks: "kind: title", joined. */
static size_t blocking(const json_t *findings, const char *kind, struct buf *text)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		if (!finding_is(finding, SEVERITY_BLOCK))
			continue;
		buf_add_format(text, "\n  %s: %s", json_text(finding, "kind", ""), json_text(finding, "title", ""));
		count += !kind || strcmp(kind, json_text(finding, "kind", "")) == 0;
	}
	return count;
}

static void every_way_to_cheat_that_files_show_is_stopped(void **state)
{
	size_t missed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cheats); i++) {
		AUTO_JSON findings = judge("cheat", i);
		AUTO_BUF text = buf_new(65536);

		if (blocking(findings, cheats[i].kind, &text))
			continue;
		missed++;
		print_message("not stopped as %s: %s%s\n", cheats[i].kind, cheats[i].name, text.at ? text.at : "");
	}
	print_message("%zu of %zu ways to cheat are stopped\n", ARRAY_LEN(cheats) - missed, ARRAY_LEN(cheats));
	assert_int_equal(missed, 0);
}

static void no_honest_change_is_stopped(void **state)
{
	size_t stopped = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(honest); i++) {
		AUTO_JSON findings = judge("honest", i);
		AUTO_BUF text = buf_new(65536);

		if (!blocking(findings, NULL, &text))
			continue;
		stopped++;
		print_message("stopped: %s%s\n", honest[i].name, text.at);
	}
	print_message("%zu of %zu honest changes are stopped\n", stopped, ARRAY_LEN(honest));
	assert_int_equal(stopped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_cheat_that_files_show_is_stopped),
		cmocka_unit_test(no_honest_change_is_stopped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
