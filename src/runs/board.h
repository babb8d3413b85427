/*
 * board: what happens in a thread where a service has no session of its own: one message that is changed, instead of many. It holds the plan, the
 * last lines, what is done right now, and the links. Questions and final words are messages of their own, since nobody is told of a change.
 *
 * It is put together in the transaction that says something, and told whole: whatever was dropped or sent twice, the last one is right.
 *
 *	{"n": of changes, "turn": N, "over": bool, "plan": [{"text", "state"}], "lines": [texts], "now"?: text, "links": [{"label", "url"}]}
 */
#ifndef ASSAY_RUNS_BOARD_H
#define ASSAY_RUNS_BOARD_H

#include "base/json.h"
#include "store/store.h"

#define BOARD_LINES_MAX 12
#define BOARD_LINKS_MAX 20 /* of which each is a label and an address of ours */
#define BOARD_BYTES_MAX ((size_t)64 << 10)

struct runs;
struct thread;

/* Puts speech (thread.h) on the board; what has the same operation as before changes nothing. What is said after final words begins a new
 * message. */
MUST_USE int board_put(struct store_tx *tx, const char *thread, const char *operation, const json_t *speech, struct err *err);

/* The board as it is; {} when nothing is on it. Owned. */
json_t *board_read(const struct thread *thread);
/* The message of this turn, as the service calls it; NULL: it is not made yet. Owned. */
char *board_message(const struct thread *thread, const json_t *board);
/* Is all of it told? Then there is nothing to send. */
bool board_is_told(const struct thread *thread, const json_t *board);
/* This board was told, in that message. */
MUST_USE int board_told(struct runs *runs, const struct thread *thread, const json_t *board, const char *message, struct err *err);
/* "THREAD/board/TURN": names the message before the service does. Owned. */
char *board_name(const struct thread *thread, const json_t *board);

/* One line of the head: that work goes on, or is over for now. Borrowed. */
const char *board_title(const json_t *board);
/* "✔", "▸", "○", "✗" for a step's state. */
const char *board_sign(const char *state);
void board_markdown(const json_t *board, struct buf *out);

#endif
