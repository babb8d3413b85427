/*
 * assay_env_verbs: what can be done in an environment from inside it, as one table. The command line (assay_env.c) and the MCP server
 * (assay_env_mcp.c) read their arguments, their help and their schemas from it and call the same functions.
 */
#ifndef ASSAY_PROGRAMS_ASSAY_ENV_VERBS_H
#define ASSAY_PROGRAMS_ASSAY_ENV_VERBS_H

#include "base/json.h"

#define ENV_PARAMS_MAX 8

enum env_param_kind { ENV_TEXT, ENV_NUMBER, ENV_TEXTS /* an option given again, or all words that are left */ };

struct env_param {
	const char *name;   /* in JSON; in capitals on the command line */
	const char *option; /* "-d"; NULL: a word in its place */
	enum env_param_kind kind;
	bool required;
	const char *about;
	const char *const *words; /* what it may be, NULL-terminated; NULL: anything */
};

/* One call. A verb says what a person would read, and may leave the same as data. */
struct env_call {
	const json_t *arguments; /* checked against the verb's params */
	void (*say)(void *self, struct view bytes);
	void (*progress)(void *self, const char *line); /* what is being done, while it takes long */
	void *self;
	json_t *data;     /* an object of the answer with --json; owned by the caller */
	struct buf image; /* a PNG for the caller's eyes */
	bool failed;      /* it was done, and what came of it is bad: a red test */
};

struct env_verb {
	const char *name;
	const char *about;
	bool changes; /* something of the environment, or of the run */
	int (*run)(struct env_call *call, struct err *err);
	struct env_param params[ENV_PARAMS_MAX];
};

extern const struct env_verb env_verbs[];
extern const size_t env_verb_count;

const struct env_verb *env_verb_find(const char *name); /* NULL: none */
/* "sql DATABASE STATEMENT" */
void env_verb_usage(struct buf *out, const struct env_verb *verb);
/* ERR_INVALID names the argument that is missing, unknown or wrong. */
MUST_USE int env_verb_check(const struct env_verb *verb, const json_t *arguments, struct err *err);
/* JSON Schema of the arguments; owned by the caller. */
json_t *env_verb_schema(const struct env_verb *verb);

void env_say(struct env_call *call, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- output that stays within bounds: its beginning, and its end ---- */

#define ENV_OUTPUT_HEAD ((size_t)48 << 10)
#define ENV_OUTPUT_TAIL ((size_t)16 << 10)

struct env_output {
	void (*write)(void *self, struct view bytes);
	void *self;
	size_t head; /* bytes written so far, at most ENV_OUTPUT_HEAD */
	struct buf tail;
	uint64_t dropped;
};

struct env_output env_output_new(void (*write)(void *self, struct view bytes), void *self);
void env_output_add(struct env_output *output, struct view bytes);
void env_output_end(struct env_output *output); /* writes what is kept, and how much is not; frees */

/* ---- verbs in files of their own ---- */

int env_verb_test(struct env_call *call, struct err *err);       /* assay_env_local.c */
int env_verb_http(struct env_call *call, struct err *err);       /* assay_env_local.c */
int env_verb_screenshot(struct env_call *call, struct err *err); /* assay_env_local.c */

#endif
