/*
 * outbox: what is to happen outside, stored by the step that wants it, in the step's own transaction.
 *
 * Each effect has an operation, a name that a step which is begun again gives again: it is stored once. A crash between sending and
 * storing that it was sent sends it again, under the same name: a receiver that knows the name does nothing, and for one that does not
 * the sender asks first whether it happened (`happened`). Effects of one target (an issue, a pull request, a channel) are sent in order. A
 * limit that a service announces stops all of its tenant until then, not only the one call. Chatter (progress that the next line makes
 * obsolete) is dropped when a final of its target is put, or when too much of it waits; finals never are.
 */
#ifndef ASSAY_FLOW_OUTBOX_H
#define ASSAY_FLOW_OUTBOX_H

#include "flow/plane.h"
#include "store/store.h"

#define OUTBOX_OPERATION_MAX ((size_t)200)
#define OUTBOX_BYTES_MAX ((size_t)4 << 20)
#define OUTBOX_CHATTER_MAX 20 /* that waits for one target: older ones are dropped */
#define OUTBOX_TRIES_MAX 40   /* about half an hour */

struct outbox_effect {
	const char *operation; /* unique: "RUN/STEP/VISIT/what" */
	const char *tenant;    /* whom a limit is for: an account, a workspace */
	const char *target;    /* within which order is kept */
	const char *kind;
	struct view data;
	bool chatter;
	int tries; /* of a sender: 1… */
};

/* Stored once, however often it is put. */
MUST_USE int outbox_put(struct store_tx *tx, struct world world, const struct outbox_effect *effect, struct err *err);

struct outbox_answer {
	int64_t blocked_until_ms; /* with ERR_LIMIT: wall clock; 0: the sender was told nothing */
	bool refused;             /* for the sender: with ERR_DENIED, the credential was */
	char text[1024];          /* what is kept of the answer: a number, a URL */
};

#define OUTBOX_SENDERS_MAX 64 /* threads in outbox_work() of one outbox */

struct outbox {
	struct store *store;
	struct world world;
	struct plane *plane;
	/* Sends it; blocks. ERR_RETRY and ERR_CONFLICT: again, after a pause; ERR_LIMIT: when the tenant may; else it is dead. */
	int (*send)(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err);
	/* Did an earlier try happen, whose answer was lost? Asked before each try but the first; NULL: the receiver knows operations. */
	int (*happened)(void *self, const struct outbox_effect *effect, bool *did, struct outbox_answer *answer, struct err *err);
	/* It was sent (err NULL), or never will be: told in the transaction that stores it; may be NULL. */
	int (*settled)(void *self, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
		       const struct err *failure, struct err *err);
	void *self;
	/* the outbox's own, zero at first: what is being sent, and whether something was left without a word */
	int64_t sending[OUTBOX_SENDERS_MAX];
	bool unsettled;
	int64_t connects; /* of the store, when what was taken was last known to be what the store says */
};

/* Sends what is due first, if anything is. Any thread. */
MUST_USE int outbox_work(struct outbox *outbox, bool *did, struct err *err);

#endif
