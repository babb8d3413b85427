/*
 * integrity: what a change does to the means by which it is judged: tests removed, skipped or weakened, commands that cannot fail any
 * more, protected paths, the configuration of runners and of CI, and code that knows the expected answers. It reads files of both commits
 * as text, by extension, and is honest about what that can tell: what may be meant warns, what must not happen without a person blocks.
 */
#ifndef ASSAY_VERIFY_INTEGRITY_H
#define ASSAY_VERIFY_INTEGRITY_H

#include "base/json.h"
#include "blueprint/blueprint.h"

#define INTEGRITY_FILE_MAX ((size_t)2 << 20) /* larger files are not read */
#define INTEGRITY_LITERAL_MIN ((size_t)8)

/* Appends a file of the base or the head; -1 when it is not there or cannot be read. */
struct file_reader {
	int (*read)(void *self, bool head, const char *path, struct buf *out);
	void *self;
};

/* `changes` as git_changes() gives them; `blueprint` is the base's: its test files and protected paths. `literals` are texts of recorded
 * answers ([text]) that no code should know. Findings of gate "integrity", worst first; owned by the caller. */
json_t *integrity_check(const json_t *changes, const struct blueprint *blueprint, const json_t *literals,
			struct file_reader reader);

/* For others: is it a test file, by the blueprint's globs or by the habits of its language? */
bool integrity_is_test(const struct blueprint *blueprint, const char *path);
/* Is it in a language that we know something of? */
bool integrity_is_code(const char *path);
/* Is it what a test runner is configured by? */
bool integrity_is_runner_config(const char *path);
/* Names of the tests that a file declares, in order: [text]. Owned by the caller. */
json_t *integrity_tests_of(const char *path, struct view text);

#endif
