/* What the rules know of a language, shared by the reader of test files and the rules. */
#ifndef ASSAY_VERIFY_INTEGRITY_PRIV_H
#define ASSAY_VERIFY_INTEGRITY_PRIV_H

#include "verify/finding.h"
#include "verify/integrity.h"

enum named {
	NAMED_QUOTED = 1, /* the first quoted text behind it */
	NAMED_WORD,       /* the word it begins, or that follows */
	NAMED_REST,       /* until its own last character comes again */
	NAMED_AFTER_TEST, /* the word that follows, on a line after a mark (#[test], @Test) */
};

struct declaration {
	const char *text;
	enum named named;
};

struct language {
	const char *extensions[8];
	struct declaration tests[9];
	const char *skips[13];
	const char *onlys[6];
	const char *asserts[7];
	const char *comment;
};

enum weight {
	WEIGHT_PROTECTED = 90,
	WEIGHT_REMOVED = 80,
	WEIGHT_SKIPPED = 75,
	WEIGHT_ASKS = 74,
	WEIGHT_COMMAND = 70,
	WEIGHT_SLIGHT = 10
};

struct check {
	const struct blueprint *blueprint;
	const json_t *literals;
	struct file_reader reader;
	json_t *findings;
	json_t *base_tests; /* name -> path, of every changed test file */
	json_t *head_tests;
	size_t bytes; /* of files that were read, all of which are kept */
};

struct changed {
	const char *path;
	const char *old_path;
	const char *blob; /* what it is now, by its hash */
	char status;
	bool test;
	struct buf base;
	struct buf head;
};

/* A finding about the file at its `place`; gate, file and title are set here. */
void integrity_add(struct check *check, const struct finding *about, const char *format, ...) PRINTF_LIKE(3, 4);
bool integrity_matches(const char *const *rows, size_t count, const char *path);
/* Rules on code: what it does to its own judges. */
void integrity_check_code(struct check *check, struct changed *file);
void integrity_check_place(struct check *check, const struct changed *file); /* what its path alone says */
/* What runs the tests, by name or as a file, and where what they need comes from. */
void integrity_check_runners(struct check *check, const struct changed *files, size_t count);
void integrity_check_sources(struct check *check, const struct changed *file);
bool integrity_is_manifest(const char *path); /* that the one above reads */

/* The lines of `text` that the other text does not have (as often), each with its number. */
struct fresh_lines {
	struct view rest;
	json_t *others; /* line -> how often it may be skipped */
	int number;
};

struct fresh_lines fresh_lines_new(struct view text, struct view other);
/* False at the end, which frees it. */
bool fresh_lines_next(struct fresh_lines *lines, struct view *line);

/* NULL: no language whose tests we can read. */
const struct language *language_of(const char *path);
bool line_has_any(struct view line, const char *const *words, size_t count);
/* Lines that assert something. */
size_t assertions_of(const char *path, struct view text);

#endif
