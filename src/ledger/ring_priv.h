/*
 * ring: records on their way from one worker to the writer: one thread puts, one takes. It lies in a file that both map, so what was put
 * outlives the death of the process, and the next writer takes it from there. Places count bytes from the file's beginning of life.
 */
#ifndef ASSAY_LEDGER_RING_PRIV_H
#define ASSAY_LEDGER_RING_PRIV_H

#include "ledger/row.h"

struct ring;

/* Makes or opens it; its room is allocated now, so that a full disk does not kill us later. A file that is no ring of ours is made anew
 * (*renewed says so). */
MUST_USE int ring_open(int dir_fd, const char *name, struct ring **ring, bool *renewed, struct err *err);
void ring_close(struct ring *ring); /* what is in it stays there */

/* The worker's: false when there is not so much room beyond `spare` bytes. The record's origin is not set. */
bool ring_put(struct ring *ring, const unsigned char *record, size_t bytes, size_t spare);
bool ring_worth_waking(struct ring *ring); /* more waits than a batch is to be */
/* The writer's: the record at `place`, which becomes the place after it; NULL when there is none. ERR_BROKEN: what is there is no record. */
const unsigned char *ring_next(struct ring *ring, uint64_t *place, uint64_t *at, bool *broken);
uint64_t ring_taken(const struct ring *ring); /* where the writer begins */
void ring_take(struct ring *ring, uint64_t place);
bool ring_empty(const struct ring *ring);
uint64_t ring_end(const struct ring *ring); /* where the worker goes on; any thread */
/* Forgets what is in it: only for a writer that found it broken. */
void ring_drop(struct ring *ring);

#endif
