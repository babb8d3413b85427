/* What the rows of agents/ share: the parser's state and how events are made. Texts in events are bounded and valid UTF-8. */
#ifndef ASSAY_AGENTS_AGENT_PRIV_H
#define ASSAY_AGENTS_AGENT_PRIV_H

#include "agents/agent.h"

#define AGENT_LINE_MAX ((size_t)1 << 20)
#define AGENT_TEXT_MAX ((size_t)16 << 10) /* of one text in an event */
#define AGENT_PLAN_MAX ((size_t)100)      /* items */
#define AGENT_VERSION_MAX 40
#define AGENT_LAST_MAX ((size_t)4 << 10) /* of what a text agent said last */

struct agent_parser {
	const struct agent_ops *ops;
	struct buf line;
	bool json; /* `command` with format jsonl */
	bool started;
	bool ended; /* the terminal event came */
	bool ok;    /* and it was no error */
	char *session;
	bool hopeless;                       /* `failure` is one that trying on cannot mend */
	bool cut_off;                        /* the output ended without a terminal event */
	const char *failure;                 /* class of what went wrong so far, or NULL: a literal */
	struct buf last;                     /* the end of what was said, for the terminal event of rows without one */
	json_t *plan;                        /* of rows that change one item at a time; NULL */
	struct buf said;                     /* gemini: a message that comes in pieces */
	int64_t input_tokens, output_tokens; /* opencode: summed up over the steps */
	double cost_usd;                     /* of this turn so far, where it is told in its middle */
	double session_cost_usd;             /* the same of the session, where that is what is told; acp: < 0: it is not */
	bool stopped;                        /* opencode: the last step was the last */
	size_t acting;                       /* actions whose observation did not come yet */
	char *queued;                        /* rows that talk: a message that waits until what is interrupted has ended */
	void *own;                           /* the row's; see agent_ops.own_free */
};

extern const struct agent_ops agent_acp;
extern const struct agent_ops agent_claude;
extern const struct agent_ops agent_codex;
extern const struct agent_ops agent_command;
extern const struct agent_ops agent_cursor;
extern const struct agent_ops agent_gemini;
extern const struct agent_ops agent_opencode;

/* The class that a failure's words speak of, as vendors put it ("credit balance", "status 401 Unauthorized"), or NULL. Success is never
 * read from words. */
const char *agent_text_class(const char *text);
/* A line or a message that no row knows: shown as it is. */
void agent_unknown(struct agent_parser *parser, struct view line, struct agent_sink sink);
/* Events of one text, and an observation. */
void agent_say(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind, const char *text);
void agent_observe(struct agent_parser *parser, struct agent_sink sink, const char *id, bool ok, struct view text);
/* What came in pieces (parser->said) is whole: emits it as an event of one text; nothing when there is none. */
void agent_said_end(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind);
/* A tool's call: the title and the detail are chosen from its input for a person. `title` NULL: chosen. */
void agent_act(struct agent_parser *parser, struct agent_sink sink, const char *id, const char *tool, const char *title,
	       const json_t *input);
/* A list of {text_key, state_key} as a plan; state_key NULL: `done_key` is a boolean. */
void agent_plan(struct agent_parser *parser, struct agent_sink sink, const json_t *list, const char *text_key,
		const char *state_key, const char *done_key);

/* ---- tools.c ---- */

#define AGENT_TOOLS_PROGRAM "/usr/local/bin/assay-env" /* in every sandbox; with the word `mcp` it is the server */

/* What the agent has to work with. Rows that have a place of their own for it say so in agent_ops.instructs; others are told in the prompt. */
extern const char agent_tools_text[];
void agent_tools_claude(struct agent_turn *turn);
void agent_tools_codex(struct agent_turn *turn);
void agent_tools_cursor(struct agent_turn *turn);
void agent_tools_opencode(struct agent_turn *turn, bool settings);
json_t *agent_tools_acp(void); /* `mcpServers` of a session; owned by the caller */

/* ---- settings.c ---- */

#define AGENT_GATE AGENT_TOOLS_PROGRAM " gate"
#define AGENT_GATE_S "20" /* then the program ends its turn without an answer */

/* Our gate as the program's own hook, and settings of the repository only where the request has them; what people wrote for agents in
 * the repository is read either way. */
void agent_settings_claude(struct agent_turn *turn, const struct agent_request *request);
void agent_settings_codex(struct agent_turn *turn, const struct agent_request *request);

/* What was said last, for a terminal event that must be made up. */
void agent_last_set(struct agent_parser *parser, const char *text);
/* A message that waits until what is interrupted has ended; after those that do already. */
void agent_queue(struct agent_parser *parser, const char *text);
/* What the program is to be told: the prompt, and before it what was said so far unless it knows that; owned. */
char *agent_prompt(const struct agent_request *request, bool knows);

/* Emits; `event` is stolen, its "kind" is set here. Remembers START's session and END's outcome. */
void agent_emit(struct agent_parser *parser, struct agent_sink sink, enum agent_event_kind kind, json_t *event);
void agent_text_set(json_t *event, const char *key, struct view text); /* cut to AGENT_TEXT_MAX */
/* Copies a text member when it is one. */
void agent_text_take(json_t *event, const char *key, const json_t *from, const char *from_key);
/* An item of a plan, its state one of pending, in_progress, completed. */
json_t *agent_plan_item(const char *text, const char *state);

void agent_env_add(struct variables *env, const char *name, const char *value);
void agent_argv_add(struct agent_turn *turn, const char *word);
/* The row's own words, then the model and the session, each after its option, where the request has them. */
void agent_argv_options(struct agent_turn *turn, const struct agent_request *request, const char *const *words, size_t count,
			const char *model_option, const char *session_option);
/* sh -c LINE, or the words, or `program` when the command is empty; more words can follow by agent_argv_add. */
void agent_argv_begin(struct agent_turn *turn, const struct command *command, const char *program);

#endif
