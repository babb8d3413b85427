/*
 * verify: is a ledger what its writer wrote? It needs the segments, the public key, and, to know that the newest rows were not cut off
 * together with their heads, a head that was kept elsewhere (a run's record, the search index).
 *
 * A break is a place where the chain does not hold: a changed, missing, repeated or moved record, a segment that is not there, a head
 * whose signature or chain is another, rows that a head speaks of and that are gone. A note is what happens without anybody's doing: the
 * end of a record that a crash cut off, rows after the last head, a clock that was set.
 */
#ifndef ASSAY_LEDGER_VERIFY_H
#define ASSAY_LEDGER_VERIFY_H

#include "ledger/segment.h"

struct ledger_report {
	uint64_t segments;
	uint64_t rows;
	uint64_t heads;  /* whose signature and chain are right */
	uint64_t breaks; /* 0: it holds */
	uint64_t notes;
	uint64_t rows_unsigned; /* after the last good head */
	uint64_t sequence;      /* of the last row */
	uint64_t pruned;        /* rows up to this one left under a signature; 0: none did */
	char writer[LEDGER_WRITER_MAX];
	char chain[2 * LEDGER_CHAIN_BYTES + 1]; /* after the last row */
	int64_t first_ms, last_ms;
};

struct ledger_checks {
	struct view public_key;            /* PEM of an Ed25519 key */
	const struct ledger_head *witness; /* heads that were kept elsewhere; those of other writers are passed over */
	size_t witness_count;
	uint64_t first_segment; /* older ones may be gone, beside those that were pruned (prune.h); 0: none may */
	uint64_t last_segment;  /* nothing behind it is looked at; 0: all is */
	/* Each finding, as one line that names segment and row. */
	void (*say)(void *self, bool is_break, const char *text);
	void *self;
};

/* Of a folder of one writer. Fails when it cannot be read at all or the key is none; what it finds is in the report. Blocks. */
MUST_USE int ledger_verify(const char *dir, const struct ledger_checks *checks, struct ledger_report *report, struct err *err);

/* Is the head's signature this key's? */
bool ledger_head_good(const struct ledger_head *head, struct view public_key);

#endif
