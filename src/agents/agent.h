/*
 * agent: the coding agents, a table row each (contracts of the real programs: doc/agents.md). A row says how to start a new and a
 * resumed turn, what to put into the environment and into HOME, and how a line of output becomes one of seven events. Nothing here
 * starts a process: a turn is run in the workspace by src/runs.
 *
 * A turn succeeded when the terminal event came AND it is no error AND the exit code is 0.
 */
#ifndef ASSAY_AGENTS_AGENT_H
#define ASSAY_AGENTS_AGENT_H

#include "base/json.h"
#include "blueprint/blueprint.h"

enum agent_event_kind {
	AGENT_START,       /* session, model */
	AGENT_THOUGHT,     /* text */
	AGENT_ACTION,      /* id, tool, title, detail */
	AGENT_OBSERVATION, /* id, ok, text */
	AGENT_PLAN,        /* items: [{text, state: pending|in_progress|completed}] */
	AGENT_MESSAGE,     /* text */
	/* ok, error class (auth, quota, overload, limit, crash), text, usage: {input_tokens, output_tokens, cost_usd} of this turn, or, with
	 * "session_" before each name, of the session so far */
	AGENT_END,
};

/* `event` is {"kind": "thought", …} as in doc/api.md; owned by the callee's caller, valid during the call. The last three are for
 * programs that talk (agent_turn.talks) and may be NULL for others. */
struct agent_sink {
	void (*event)(void *self, enum agent_event_kind kind, const json_t *event);
	void *self;
	void (*send)(void *self, struct view bytes); /* to its standard input */
	void (*send_end)(void *self);                /* which ends */
	/* What the program wants done, in its own sandbox and nowhere else; answered by agent_parser_answer(), now or later:
	 *	{"ask": "read", "path", "line"?, "limit"?}                 {"content": text}
	 *	{"ask": "write", "path", "content"}                        {}
	 *	{"ask": "run", "argv": [], "env": {}, "dir"?, "bytes_max"} {"terminalId": text}
	 *	{"ask": "output" | "wait" | "kill" | "release", "terminal"}
	 *		{"output", "truncated", "exitStatus"?} | {"exitCode", "signal"} | {} | {} */
	void (*ask)(void *self, uint32_t id, const json_t *ask);
};

struct agent_turn {
	char **argv;            /* owned, NULL-terminated */
	struct variables env;   /* owned: on top of the standard ones */
	struct variables files; /* owned: name is a path below HOME, value the content */
	char *input;            /* owned: the whole stdin */
	bool talks;             /* stdin stays open: agent_parser_begin() says what goes into it, `input` is not sent */
};

struct agent_request {
	const struct blueprint *blueprint; /* its `agent` section */
	const char *prompt;
	const char *session; /* to resume, or NULL */
	const char *history; /* earlier prompts and messages, for rows that cannot resume; or NULL */
	bool settings;       /* the program's settings in the repository may be used: hooks and servers in them run */
};

struct agent_parser; /* the state of one turn's output */

/* How npm has the program. In both texts {arch} is x64 or arm64, {version} the version. */
struct agent_package {
	const char *version; /* the one whose output was measured */
	const char *npm;     /* what `npm install` is asked for */
	const char *program; /* its file, below node_modules */
	const char *command; /* what it is called in PATH */
};

struct agent_ops {
	const char *name; /* `agent.use` */
	bool resumes;
	bool instructs; /* what it has to work with is told in a place of its own, not in the prompt */
	/* Where its settings are in a repository, NULL-terminated: what of it can run code. NULL: not known. */
	const char *const *settings;
	/* Those of them that it uses whatever it is told; NULL: none. */
	const char *const *settings_forced;
	const char *key;              /* the variable that its key is in; NULL: its own business */
	struct agent_package package; /* `npm` NULL: npm does not have it */
	int (*turn)(const struct agent_request *request, struct agent_turn *turn, struct err *err);
	/* One line of stdout without its newline; at most 1 MiB, hostile. */
	void (*line)(struct agent_parser *parser, struct view line, struct agent_sink sink);
	/* After the last line: what of the output only its end makes clear, the terminal event included. May be NULL. */
	void (*output_end)(struct agent_parser *parser, struct agent_sink sink);
	/* Rows that talk, else NULL: the first words; a message in the middle of a turn; the answer to an ask. */
	void (*begin)(struct agent_parser *parser, const struct agent_request *request, struct agent_sink sink);
	bool (*message)(struct agent_parser *parser, const char *text, struct agent_sink sink);
	void (*answer)(struct agent_parser *parser, uint32_t id, const json_t *result, const char *error, struct agent_sink sink);
	void (*own_free)(void *own); /* the row's own state in the parser; NULL: none */
};

const struct agent_ops *agent_find(const char *name); /* NULL when there is none */
const struct agent_ops *const *agent_rows(size_t *count);
const char *agent_names(void);                                                 /* "acp, claude, … or opencode": for refusals */
const struct agent_ops *agent_of_blueprint(const struct blueprint *blueprint); /* its row; NULL when there is none */

/* The script that installs a version (NULL: the measured one) into the empty folder it is run in, for sh; owned. NULL: npm does not
 * have the program, or the version is no version. Its variables are npm's: npm_config_registry and so on. */
char *agent_install_script(const struct agent_ops *ops, const char *version, struct err *err);

MUST_USE int agent_turn_make(const struct agent_request *request, struct agent_turn *turn, struct err *err);
void agent_turn_fini(struct agent_turn *turn);

struct agent_parser *agent_parser_new(const struct agent_ops *ops, const struct blueprint *blueprint);
/* Before anything is fed: for programs that talk; nothing for others. */
void agent_parser_begin(struct agent_parser *parser, const struct agent_request *request, struct agent_sink sink);
/* Interrupts what the program does and gives it the message, in the same process. False: it cannot, or it has ended. */
bool agent_parser_message(struct agent_parser *parser, const char *text, struct agent_sink sink);
/* `error` NULL: it was done. An id that is not open is ignored. */
void agent_parser_answer(struct agent_parser *parser, uint32_t id, const json_t *result, const char *error, struct agent_sink sink);
void agent_parser_feed(struct agent_parser *parser, struct view bytes, struct agent_sink sink); /* any chunking */
/* After the last byte: emits AGENT_END if none came; true when the turn succeeded by the rule above. */
bool agent_parser_finish(struct agent_parser *parser, int exit_code, struct agent_sink sink);
const char *agent_parser_session(const struct agent_parser *parser); /* borrowed; NULL */
bool agent_parser_ended(const struct agent_parser *parser);          /* the terminal event came, or is all that is missing */
/* What the turn has cost so far by what was told in its middle; `before_usd` is what its session, which it resumed, had cost then. 0: not
 * told yet. */
double agent_parser_cost_usd(const struct agent_parser *parser, double before_usd);
/* After agent_parser_finish(): the output ended and the terminal event did not come. */
bool agent_parser_cut_off(const struct agent_parser *parser);
bool agent_parser_acting(const struct agent_parser *parser); /* an action began whose observation did not come yet */
/* The class of a failure that trying on cannot mend, seen before the program itself gives up; or NULL. A literal. */
const char *agent_parser_hopeless(const struct agent_parser *parser);
void agent_parser_free(struct agent_parser *parser);
/* The class of an HTTP status that a model's API answered: a literal. */
const char *agent_status_class(int64_t status);

#endif
