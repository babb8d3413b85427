/*
 * row: one line of the ledger: what was asked, decided, answered, released or stopped. Rows of one request share a number: its intent
 * is put before its first byte leaves, its outcome after the last.
 *
 * A row never holds a secret: of what a rule found it keeps the rule's id, eight bytes of the secret's SHA-256 and its offset, and
 * the places of `hidden` in its path are written as "[hidden]". Texts are cut at their maximum (the row says so), and what could move a
 * terminal's cursor or begin a line (control characters, invalid UTF-8, bidirectional marks) is written as \xNN.
 */
#ifndef ASSAY_LEDGER_ROW_H
#define ASSAY_LEDGER_ROW_H

#include "base/json.h"

enum ledger_kind {
	LEDGER_GENESIS = 1, /* the first of a segment: who writes, what came before, whose key signs */
	LEDGER_HEAD,        /* a signature over the chain up to an earlier row */
	LEDGER_CLOSE,       /* the last of a segment that ended in order */
	LEDGER_LOST,        /* rows that could not be kept: `offset` says how many */
	LEDGER_INTENT = 16, /* a request is allowed and about to be sent */
	LEDGER_OUTCOME,     /* how it ended: status, bytes, duration */
	LEDGER_VERDICT,     /* a request or connection was refused, or a connection is let through unopened */
	LEDGER_FINDING,     /* a rule found what looks like a secret */
	LEDGER_HOLD,        /* a request waits for a person */
	LEDGER_ANSWER,      /* what the person said, or that the time was over */
	LEDGER_RELEASE,     /* the vault released a credential for one request */
	LEDGER_SECRET,      /* a credential was set, removed, bound to an environment or unbound */
	LEDGER_POLICY,      /* the rules changed */
	LEDGER_KILL,        /* the kill switch was thrown, or taken back */
	LEDGER_BUDGET,      /* a budget was set, raised or exhausted */
	LEDGER_KIND_END,
};

enum ledger_text {
	LEDGER_ENV,
	LEDGER_RUN,
	LEDGER_SANDBOX,
	LEDGER_AGENT,
	LEDGER_HOST,
	LEDGER_METHOD,
	LEDGER_PATH, /* without the query, which is never kept */
	LEDGER_RULE,
	LEDGER_ACTOR, /* the person, or the part of Assay */
	LEDGER_DETAIL,
	LEDGER_TEXTS,
};

#define LEDGER_DIGEST_BYTES 8

struct ledger_span {
	size_t at;
	size_t length;
};

struct ledger_row {
	enum ledger_kind kind;
	uint64_t request; /* 0: belongs to none */
	uint16_t port;
	uint16_t status;
	uint64_t sent_bytes; /* to the outside */
	uint64_t received_bytes;
	uint64_t duration_us;
	uint64_t offset; /* of a finding */
	unsigned char digest[LEDGER_DIGEST_BYTES];
	struct view texts[LEDGER_TEXTS];
	const struct ledger_span *hidden; /* within the path, in order, not overlapping */
	size_t hidden_count;
};

/* As it is kept: fixed head, the texts one after the other, zeros up to a multiple of 8, and the chain: SHA-256 of the chain before and
 * of all bytes before it. Little endian. */
struct ledger_record {
	uint32_t bytes; /* of all of it, the chain included */
	uint16_t kind;
	uint16_t flags; /* enum ledger_flag */
	uint64_t sequence;
	uint64_t
		origin; /* place in the ring that it came through, in bytes << 8, and the ring's number; UINT64_MAX: the writer's own */
	uint64_t request;
	int64_t wall_ms;     /* what the clock said */
	uint64_t elapsed_us; /* since the machine started: a clock that was set shows against it */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t duration_us;
	uint64_t offset;
	unsigned char digest[LEDGER_DIGEST_BYTES];
	uint16_t port;
	uint16_t status;
	uint16_t texts[LEDGER_TEXTS]; /* bytes of each */
};

enum ledger_flag {
	LEDGER_CUT = 1,    /* a text was longer than its maximum */
	LEDGER_HIDDEN = 2, /* a secret was taken out of the path */
};

#define LEDGER_CHAIN_BYTES 32
#define LEDGER_RECORD_BYTES_MIN (sizeof(struct ledger_record) + LEDGER_CHAIN_BYTES)
#define LEDGER_RECORD_BYTES_MAX ((size_t)6144)

/* Writes the record without its sequence, origin, times and chain (zeros); returns its bytes. `out` is aligned to 8. */
size_t ledger_row_encode(const struct ledger_row *row, unsigned char out[LEDGER_RECORD_BYTES_MAX]);
/* The record at the front of `bytes` (which need not be aligned): ERR_BROKEN unless all of it is there and well-formed; the chain is not
 * checked. Texts of `row` borrow from `bytes`. */
MUST_USE int ledger_row_decode(struct view bytes, struct ledger_record *record, struct ledger_row *row, struct err *err);

const char *ledger_kind_name(enum ledger_kind kind); /* "intent"; NULL for what is none */
enum ledger_kind ledger_kind_of(const char *name);   /* 0 when there is no such kind */
const char *ledger_text_name(enum ledger_text text); /* "env", "host", … */

/* "q" and hexadecimal digits: what a refusal names, and `assay ledger show` takes. */
#define LEDGER_REQUEST_TEXT_MAX 20
void ledger_request_format(uint64_t request, char text[LEDGER_REQUEST_TEXT_MAX]);
MUST_USE int ledger_request_parse(struct view text, uint64_t *request, struct err *err);

/* For export. Owned by the caller. */
json_t *ledger_row_json(const char *writer, const struct ledger_record *record, const struct ledger_row *row);
/* ArcSight's Common Event Format, version 0: one line without its end. */
void ledger_row_cef(struct buf *out, const char *writer, const struct ledger_record *record, const struct ledger_row *row);

#endif
