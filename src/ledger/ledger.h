/*
 * ledger: the append-only log of everything that was decided, asked, answered and let out, written before the effect that it records.
 *
 * A process has one ledger, in a folder of its own that it locks: segment files whose records are chained by SHA-256, signed heads of the
 * chain each second and at the end, and a ring for each worker. Putting a row costs a copy into the worker's ring, which lies in a mapped
 * file: from then on the row outlives the death of the process. One thread chains, writes and syncs (every LEDGER_SYNC_MS, or
 * when LEDGER_SYNC_ROWS rows are written and no more wait); another has heads signed. A crash leaves a chain that verifies: the next writer begins a
 * new segment that names the end of the one before, and takes over what was left in the rings, once.
 *
 * When the disk is full, the writer stuck, or no head was signed for LEDGER_UNSIGNED_MS_MAX, rows stay in the rings; when a ring is
 * full, intents wait, and are refused after LEDGER_WAIT_MS_MAX. What had its intent always has its outcome kept.
 *
 *	struct ledger_row row = {.kind = LEDGER_INTENT, .request = ledger_request_new(ring), …};
 *	switch (ledger_intent(ring, &row, &wait)) {
 *	case LEDGER_TAKEN: send(); break;
 *	case LEDGER_WAITING: break; // wait.done(&wait, taken) is called by ledger_ring_run(), or ledger_wait_cancel(&wait)
 *	}
 */
#ifndef ASSAY_LEDGER_LEDGER_H
#define ASSAY_LEDGER_LEDGER_H

#include "base/world.h"
#include "ledger/segment.h"

#define LEDGER_RINGS_MAX 16
#define LEDGER_SYNC_MS 25
#define LEDGER_SYNC_ROWS 1000
#define LEDGER_HEAD_MS 1000
#define LEDGER_WAIT_MS_MAX 10000
#define LEDGER_UNSIGNED_MS_MAX 60000
#define LEDGER_WAITING_MAX 65536 /* rows that are kept in memory when a ring is full */
#define LEDGER_SEGMENT_BYTES ((uint64_t)64 << 20)

struct ledger;
struct ledger_ring;

/* Who signs: may block, is called on a thread of its own. */
struct ledger_signer {
	/* Of ledger_head_bytes(): fills head->signature. */
	int (*sign)(void *self, struct ledger_head *head, struct err *err);
	void *self;
};

struct ledger_options {
	const char *dir;    /* made when absent, 0700; or */
	int dir_fd;         /* when `dir` is NULL: stays the caller's */
	const char *writer; /* "gateway", "serve": at most 15 letters */
	size_t rings;       /* 1 to LEDGER_RINGS_MAX */
	struct ledger_signer signer;
	const char *key_id;     /* of the signing key: 64 hexadecimal digits, for the genesis; NULL: "" */
	struct view public_key; /* PEM, for the genesis */
	uint64_t segment_bytes; /* 0: LEDGER_SEGMENT_BYTES */
};

/* ERR_CONFLICT when another process writes there. Blocks. */
MUST_USE int ledger_open(const struct ledger_options *options, struct ledger **ledger, struct err *err);
/* Writes what is in the rings, closes the segment with a signed head. Blocks; NULL is fine. The rings' users must have stopped. */
void ledger_close(struct ledger *ledger);

/* Of the worker `index`: its thread alone may use it. Lives as long as the ledger. */
struct ledger_ring *ledger_ring(struct ledger *ledger, size_t index);
/* A number that no other request has, also after a restart. */
uint64_t ledger_request_new(struct ledger_ring *ring);

struct ledger_wait {
	/* Once, from ledger_ring_run(): the row was taken, or it was not and the request must be refused. */
	void (*done)(struct ledger_wait *wait, bool taken);
	/* the ring's */
	struct ledger_wait *next;
	unsigned char *record;
	int64_t until_ms;
};

enum ledger_answer { LEDGER_TAKEN, LEDGER_WAITING, LEDGER_REFUSED };

/* A row whose effect must not happen before it is taken. Never blocks. `wait` with `done` set is the caller's, and stays put while
 * waiting. LEDGER_REFUSED: too many wait already. */
enum ledger_answer ledger_intent(struct ledger_ring *ring, const struct ledger_row *row, struct ledger_wait *wait);
void ledger_wait_cancel(struct ledger_ring *ring, struct ledger_wait *wait); /* no effect when it does not wait */
/* Any other row: never refused, never blocks. When the ring is full it is kept in memory; beyond LEDGER_WAITING_MAX it is counted, and the
 * number becomes a row LEDGER_LOST. */
void ledger_put(struct ledger_ring *ring, const struct ledger_row *row);

/* Readable when ledger_ring_run() has something to do. */
int ledger_ring_fd(const struct ledger_ring *ring);
/* Takes in what waits, and refuses what waited too long: when the descriptor is readable, and at least each second while
 * ledger_ring_waits(). */
void ledger_ring_run(struct ledger_ring *ring);
bool ledger_ring_waits(const struct ledger_ring *ring);

/* Waits until every row that was put is on the disk; ERR_RETRY after timeout_ms. Any thread. */
MUST_USE int ledger_flush(struct ledger *ledger, int64_t timeout_ms, struct err *err);

struct ledger_state {
	uint64_t sequence; /* rows written, genesis and heads included */
	uint64_t segment;
	struct ledger_head head; /* the last one signed; segment 0: none yet */
	bool stuck;              /* the last write failed */
	char problem[ERR_TEXT_MAX];
};
void ledger_state(struct ledger *ledger, struct ledger_state *state); /* any thread */

#endif
