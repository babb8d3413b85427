/*
 * What the files of a turn share: turn.c (before and after), turn_program.c (the process and its watchdogs), turn_talk.c (what goes into a
 * program that talks, and what it asks of its room), turn_message.c (what people write meanwhile).
 */
#ifndef ASSAY_RUNS_TURN_PRIV_H
#define ASSAY_RUNS_TURN_PRIV_H

#include "runs/redact.h"
#include "runs/runs_priv.h"

#define TURN_TERMINALS_MAX 16
#define TURN_SAFE_WAIT_MS ((int64_t)60000) /* for a moment to interrupt it without loss; then it is done anyway */
#define MODEL_LOOK_MS 500
#define TURN_DEFAULT_MS ((int64_t)1800000)

struct turn_terminal; /* turn_talk.c: a program that the agent had started beside it */

/* What was done, so that doing it again and again is seen; turn_program.c. */
struct turn_progress {
	uint64_t *seen; /* what each action and its result came to; a hash set, open addressing */
	size_t seen_count;
	uint64_t action; /* the last one */
	int repeated;    /* results in a row that were all there before */
	char *title;     /* of the last action, for people */
};

struct turn {
	struct runs *runs;
	struct run *run;
	struct blueprint *blueprint;
	struct env_id env;
	struct flow_visit *visit;
	const char *opinion; /* the name of its transcript, when it is a reviewer's and not the run's own work; NULL */
	const struct agent_ops *ops;
	struct agent_parser *parser;
	struct agent_turn start;
	struct redactor *redactors[2]; /* of what it writes, and of its errors */
	bool stop;                     /* raised to end the program; atomic */
	int transcript;                /* a file, or -1 */
	int64_t kept;                  /* bytes in it */
	int64_t read;                  /* bytes of output */
	int64_t heard_ms;
	int64_t heard_cpu_ms;
	int64_t began_ms;
	int64_t asked_ms;     /* when it was last looked whether it waits for a person */
	int64_t model_status; /* that people were told of */
	int64_t model_ms;     /* when it was last looked what the model's host answers */
	struct buf errors;    /* the end of stderr */
	json_t *end;          /* the terminal event */
	struct turn_progress progress;
	bool hopeless;     /* it was ended because trying on could not help */
	bool resumed;      /* it was given a session */
	bool interrupted;  /* it was ended so that a message can be given to it */
	bool costly;       /* so it was for what the run has cost */
	bool safe;         /* what it told last was a result: it can be interrupted without loss */
	int64_t signals;   /* how many had come in when they were last looked at */
	int64_t wait_ms;   /* since when a message waits; 0: none */
	int64_t over_ms;   /* since when the run has cost what it may; 0: it has not */
	int64_t oom_kills; /* in the workspace, before */

	/* Of a program that talks. */
	int input;          /* our end of its stdin, or -1 */
	struct buf sending; /* what it did not take yet */
	bool sending_ended;
	int64_t released_ms; /* when all was said; 0: not yet */
	struct turn_terminal *terminals[TURN_TERMINALS_MAX];
	uint32_t terminal_last;

	/* The program's thread. */
	struct environment_exec exec;
	struct exit_status status;
	struct err failure;
	int failed;
	bool over; /* atomic */
};

void turn_fini(struct turn *turn);
#define AUTO_TURN __attribute__((cleanup(turn_fini))) struct turn

static inline bool turn_flag(const bool *at)
{
	return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static inline int64_t turn_now_ms(const struct turn *turn)
{
	return world_elapsed_ms(turn->runs->options.world);
}

/* Where what the agent tells goes, and, of one that talks, what it says to us. */
struct agent_sink turn_sink(struct turn *turn);

/* Argv, environment, files of HOME, parser, transcript. */
MUST_USE int turn_program_prepare(struct turn *turn, struct err *err);
/* After turn_program_run(): the rule of agents/agent.h, and no watchdog ended it. */
bool turn_program_succeeded(struct turn *turn, const struct err *reason);
/* Why it did not; the kind says what follows. Always -1. */
MUST_USE int turn_program_failure(struct turn *turn, const struct err *reason, struct err *err);

/* ---- turn_program.c ---- */

/* Runs the program to its end. *reason is filled when a watchdog ended it. */
MUST_USE int turn_program_run(struct turn *turn, struct err *reason, struct err *err);
void turn_progress_note(struct turn_progress *progress, enum agent_event_kind kind, const json_t *event);
bool turn_progress_stuck(const struct turn_progress *progress); /* nothing new has come for too long */
void turn_progress_fini(struct turn_progress *progress);
/* {"cpu_ms", "oom_kills"} of the workspace, as environment_show() has them. */
json_t *turn_workspace(struct turn *turn);

/* ---- turn_theirs.c ---- */

/* Before the program: what others pushed to the branch since is in the workspace, the run's head and its prompt, or both sides are told why not. */
MUST_USE int turn_theirs_take(struct turn *turn, struct err *err);

/* ---- model.c ---- */

/* Does the model's host answer so that the program is not to be waited for? Then err says how, and its kind what follows. */
MUST_USE int model_watch(struct turn *turn, struct err *err);
/* The class of a failure of which the program did not say one; what the host answers is told if nobody was told yet. */
const char *model_failure_class(struct turn *turn, const char *class);

/* ---- turn_talk.c ---- */

void turn_talk_send(void *self, struct view bytes);
void turn_talk_send_end(void *self);
void turn_talk_ask(void *self, uint32_t id, const json_t *ask);
/* The program takes more: writes what waits. */
void turn_talk_flush(struct turn *turn);
/* Takes what terminals wrote, and answers who waited for their end. */
void turn_talk_poll(struct turn *turn);
void turn_talk_fini(struct turn *turn); /* ends every terminal */

/* ---- turn_message.c ---- */

/* While the program runs: a message that waits is given to it when that loses nothing, or after a while anyway. May raise `stop`. */
void turn_message_deliver(struct turn *turn);
/* After it: what waits now is the next turn's prompt, behind what this one did not finish if it was ended for its cost; *again says that
 * there is one. */
MUST_USE int turn_message_next(struct turn *turn, bool *again, struct err *err);

#endif
