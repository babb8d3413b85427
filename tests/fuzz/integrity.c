/* What a change does to its judges: the first byte chooses the file, the rest is what it says on the head; the base says half of it. */
#include "base/scope.h"
#include "verify/integrity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {"package.json", "package-lock.json", "Makefile",   "justfile", "Taskfile.yml", "run-tests.sh",
				    "a.test.js",    "test_a.py",         "src/a.js",   "a.py",     "tests/a.c",    "pyproject.toml",
				    "go.mod",       "a_test.go",         "Cargo.toml", "yarn.lock"};
static const char blueprint_text[] =
	"version: 1\nname: x\nservices: {a: {run: ./a, port: 80}}\nworkspace: {setup: [npm ci]}\n"
	"tests: {a: {run: npm test}, b: {run: make check}, c: {run: just verify; task test}, d: {run: sh run-tests.sh}}\nsessions: [s/*.har]\n";

struct text {
	struct view head;
	const char *path;
};

static int file_text(void *self, bool head, const char *path, struct buf *out)
{
	const struct text *text = self;

	if (strcmp(path, text->path) != 0)
		return -1;
	buf_add(out, text->head.at, head ? text->head.length : text->head.length / 2);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct blueprint *blueprint;
	struct text text = {{0}, paths[size ? data[0] % ARRAY_LEN(paths) : 0]};
	AUTO_JSON changes = json_pack("[{s:s, s:s, s:s}]", "path", text.path, "status", "M", "blob", "");
	AUTO_JSON literals = json_pack("[s]", "Juniper Copper Mug");
	AUTO_JSON findings = NULL;

	if (!blueprint)
		blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", NULL);
	if (!blueprint)
		__builtin_trap();
	text.head = size ? view_make(data + 1, size - 1) : VIEW("");
	findings = integrity_check(changes, blueprint, literals, (struct file_reader){file_text, &text});
	if (!json_is_array(findings))
		__builtin_trap();
	return 0;
}
