/*
 * audit: the control plane's side of the ledger: its own rows, the signatures of every writer's heads, and a search index over all of them.
 *
 * Below <state>/ledger each process has its folder: `serve` (ours) and `gateway`. The index is a database beside them, filled from the
 * segments as they grow: it can be thrown away. What a search shows is read from the segments. Of each writer the last signed head is kept
 * in the index too, where that writer cannot reach it: a writer that cuts off its own last rows is found out, and one that asks for a head
 * behind the last one is refused. Any thread.
 */
#ifndef ASSAY_AUDIT_AUDIT_H
#define ASSAY_AUDIT_AUDIT_H

#include "base/json.h"
#include "ledger/ledger.h"

struct audit;

struct audit_options {
	const char *state_dir;
	/* Signs bytes with the vault's key; may block. */
	int (*sign)(void *self, struct view bytes, unsigned char signature[LEDGER_SIGNATURE_BYTES], struct err *err);
	void *self;
	const char *key_id;
	struct view public_key; /* PEM; copied */
};

MUST_USE int audit_open(const struct audit_options *options, struct audit **audit, struct err *err);
void audit_close(struct audit *audit); /* NULL is fine */

/* A row of ours, on the disk when this returns 0: before the effect that it records. Blocks for some 20 ms. */
MUST_USE int audit_put(struct audit *audit, const struct ledger_row *row, struct err *err);
/* The same without waiting for the disk: for what has happened already. */
void audit_note(struct audit *audit, const struct ledger_row *row);
/* What a row says, short: texts may be NULL. */
struct ledger_row audit_row(enum ledger_kind kind, const char *env, const char *run, const char *rule, const char *actor,
			    const char *detail);

const char *audit_key_id(const struct audit *audit);
/* The folder of another writer, made when absent; owned by the caller of this function. */
char *audit_folder(const struct audit *audit, const char *writer);
/* Signs a head of that writer, and keeps it. ERR_CONFLICT when it is behind one that was signed before. Blocks. */
MUST_USE int audit_head_sign(struct audit *audit, const char *writer, struct ledger_head *head, struct err *err);
/* The newest head of every writer, as lines: what a run's record notes. Owned by the caller; NULL: they cannot be read. */
json_t *audit_heads(struct audit *audit, struct err *err);

/* Takes in what was written since; at most `rows_max` rows. Blocks. */
MUST_USE int audit_index(struct audit *audit, int64_t rows_max, struct err *err);

/* Segments whose last row is older than keep_ms leave, of each writer but its newest; what stays verifies. 0: none does. ERR_BROKEN: what would leave
 * does not hold. Blocks, and reads all of what leaves. */
MUST_USE int audit_retain(struct audit *audit, int64_t keep_ms, struct err *err);

struct audit_query {                                /* NULL, 0: any */
	const char *env, *run, *host, *rule, *kind; /* host "*.example.com": below it; rule "policy:*": that begin so */
	uint64_t request;
	int64_t since_ms, until_ms;
	int64_t before; /* an item's "id": older ones only */
	int64_t after;  /* newer ones only, the oldest first */
	int64_t limit;
};

/* Items, the newest first: ledger_row_json() and "id". The index is brought up to date before. Owned by the caller. */
json_t *audit_search(struct audit *audit, const struct audit_query *query, struct err *err);
/* The same as CEF lines, the oldest first. */
MUST_USE int audit_export_cef(struct audit *audit, const struct audit_query *query, struct buf *out, struct err *err);
/* {"ok": bool, "writers": [{"writer", "segments", "rows", "heads", "breaks", "notes", "unsigned", "said": [text]}]}. Reads everything. */
json_t *audit_verify(struct audit *audit, struct err *err);

#endif
