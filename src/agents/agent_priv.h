/* What the rows of agents/ share: the parser's state and how events are made. Texts in events are bounded and valid UTF-8. */
#ifndef ASSAY_AGENTS_AGENT_PRIV_H
#define ASSAY_AGENTS_AGENT_PRIV_H

#include "agents/agent.h"

#define AGENT_LINE_MAX ((size_t)1 << 20)
#define AGENT_TEXT_MAX ((size_t)16 << 10) /* of one text in an event */
#define AGENT_PLAN_MAX ((size_t)100)      /* items */
#define AGENT_LAST_MAX ((size_t)4 << 10)  /* of what a text agent said last */

struct agent_parser {
	const struct agent_ops *ops;
	struct buf line;
	bool json; /* `command` with format jsonl */
	bool started;
	bool ended; /* the terminal event came */
	bool ok;    /* and it was no error */
	char *session;
	const char *failure; /* class of what went wrong so far, or NULL: a literal */
	struct buf last;     /* the end of what was said, for the terminal event of rows without one */
	json_t *plan;        /* claude's tasks, by number; NULL */
};

extern const struct agent_ops agent_command;
extern const struct agent_ops agent_claude;

/* Emits; `event` is stolen, its "kind" is set here. Remembers START's session and END's outcome. */
void agent_emit(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind, json_t *event);
void agent_text_set(json_t *event, const char *key, struct view text); /* cut to AGENT_TEXT_MAX */
/* Copies a text member when it is one. */
void agent_text_take(json_t *event, const char *key, const json_t *from, const char *from_key);
/* An item of a plan, its state one of pending, in_progress, completed. */
json_t *agent_plan_item(const char *text, const char *state);

void agent_env_add(struct variables *env, const char *name, const char *value);
void agent_argv_add(struct agent_turn *turn, const char *word);
/* sh -c LINE, or the words, or `program` when the command is empty; more words can follow by agent_argv_add. */
void agent_argv_begin(struct agent_turn *turn, const struct command *command, const char *program);

#endif
