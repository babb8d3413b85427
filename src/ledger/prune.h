/*
 * prune: old segments leave, and what stays still verifies. What is left behind is the file `pruned`: a head, signed under a mark of its own, of the
 * last row that left; the first segment that is there must continue exactly there. Without that signature segments that are not there are a break,
 * as ever: no head of a chain can be passed off as leave to remove it.
 */
#ifndef ASSAY_LEDGER_PRUNE_H
#define ASSAY_LEDGER_PRUNE_H

#include "ledger/segment.h"

#define LEDGER_PRUNED_FILE "pruned"

/* What is signed. */
#define LEDGER_PRUNED_MARK "assay ledger gone 1\n"
_Static_assert(sizeof(LEDGER_PRUNED_MARK) == sizeof(LEDGER_HEAD_MARK), "both are signed alike");
void ledger_pruned_bytes(const struct ledger_head *head, unsigned char bytes[LEDGER_HEAD_BYTES]);

/* What has left a folder; head->segment is 0 when nothing has. ERR_BROKEN: the file is none of ours. */
MUST_USE int ledger_pruned_read(int dir_fd, struct ledger_head *head, struct err *err);

/* The end of the newest segment that is followed by another whose first row is older than `before_ms`, as that one names it, for signing;
 * head->segment is 0 when none is. `last` is the newest that may be looked at. Blocks. */
MUST_USE int ledger_prune_find(int dir_fd, int64_t before_ms, uint64_t last, struct ledger_head *head, struct err *err);

/* Stores the signed head, then removes all segments up to it; done again it removes what an earlier call had no time for. *removed counts
 * them. Blocks. */
MUST_USE int ledger_prune(int dir_fd, const struct ledger_head *head, size_t *removed, struct err *err);

#endif
