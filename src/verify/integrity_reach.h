/*
 * integrity_reach: the scripts, targets and files that a suite's command comes to, by name, in the base and in the head.
 */
#ifndef ASSAY_VERIFY_INTEGRITY_REACH_H
#define ASSAY_VERIFY_INTEGRITY_REACH_H

#include "verify/integrity_priv.h"

#define REACH_NAME_MAX ((size_t)300)

struct reached {
	struct check *check; /* borrowed, like the files */
	const struct changed *files;
	size_t file_count;
	json_t *todo;    /* [text]: commands not yet read */
	json_t *scripts; /* {name or glob: true}, of package.json */
	json_t *targets;
	json_t *paths;   /* files that are run */
	json_t *folders; /* in which something is run; "" is the root */
	json_t *texts;   /* {path: text}: of the base, read once */
	json_t *known;   /* {digest: true}, of the commands that were read */
	json_t *unread;  /* {path: true}, of the head, in which a command is too long */
	bool installs;   /* packages, with what their scripts do */
	bool too_many;   /* names were not looked up */
};

struct reached reached_new(struct check *check, const struct changed *files, size_t count);
void reached_fini(struct reached *reach); /* what it holds */
void reached_add(struct reached *reach, const struct command *command);
void reached_add_folder(struct reached *reach, struct view path);
void reached_read(struct reached *reach);   /* the commands that were added, and nothing that they name */
void reached_follow(struct reached *reach); /* all that they name, until no new name comes */

bool reached_has_script(const struct reached *reach, const char *name); /* also one that npm runs by itself before or after */
bool reached_has_file(const struct reached *reach, const char *path);
bool reached_has_folder(const struct reached *reach, const char *path); /* that the file is in */

/* A set is an object {name: true}; names that are too long, or too many, are left out. */
void name_set_add(json_t *set, struct view name);
/* Is it named as what checks the code is? What builds it may change with it. */
bool name_is_check(struct view name);
struct view path_base_name(struct view path);
bool path_is_targets(const char *path); /* of make, just or task */
/* Adds what the text of such a file says of a target: the lines that declare it, and what is indented below. */
void targets_text_of(struct view text, const char *name, struct buf *out);

#endif
