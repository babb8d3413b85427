/*
 * linters: what the linters and static analysers that a repository already configures say, as one list: SARIF 2.1.0, eslint's JSON, and lines as
 * compilers write them ("path:line:column: text", "path(line,column): text"). Their output is of the code under test and of tools in its
 * tree: hostile bytes, read leniently, bounded, and believed for remarks only.
 */
#ifndef ASSAY_VERIFY_LINTERS_H
#define ASSAY_VERIFY_LINTERS_H

#include "base/json.h"

#define LINT_BYTES_MAX ((size_t)16 << 20) /* of one linter's output */
#define LINT_REMARKS_MAX ((size_t)20000)
#define LINT_TEXT_MAX ((size_t)500)

/* Appends {"path", "line", "rule", "text"} for each remark. `root` is the folder that paths are relative to ("/workspace"). False when
 * something was left out. */
bool lint_read(struct view output, const char *root, json_t *remarks);

/* The remarks of `head` that `base` does not have as often: by path, rule and text without numbers, whatever the line. Owned by the caller. */
json_t *lint_fresh(const json_t *base, const json_t *head);

/* A linter that is known without being told of. */
struct linter {
	const char *name;
	const char *configs[8]; /* one of these files in the base's tree says that it is used; */
	const char *within;     /* and holds this text, NULL: anything */
	const char *files;      /* extensions of changed files that it is given, ".c .h"; NULL: it finds its files itself */
	const char *program;    /* what has to be there */
	const char *command;    /* for sh; "$@" are the files */
};
extern const struct linter linters_known[];
extern const size_t linters_known_count;

/* Is `path` of one of the extensions in `files`? */
bool linter_takes(const struct linter *linter, const char *path);

#endif
