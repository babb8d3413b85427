/* ledger_priv: what the files of the writer share: rings.c (the workers' side), writer.c (the thread that writes), heads.c (the signer). */
#ifndef ASSAY_LEDGER_LEDGER_PRIV_H
#define ASSAY_LEDGER_LEDGER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/ledger.h"
#include "ledger/ring_priv.h"

#define HEADS_WAITING_MAX 4

/* What the writer does, for those who would wake it. */
enum nap { NAP_NONE, NAP_BATCH, NAP_IDLE };

/* A row that found no room. */
struct kept {
	struct kept *next;
	size_t bytes;
	unsigned char record[];
};

struct ledger_ring {
	struct ledger *ledger;
	struct ring *ring;
	size_t index;
	int room_fd; /* eventfd: the writer made room */
	atomic_bool room_wanted;
	uint64_t request_base;
	uint64_t requests;
	struct kept *kept, **kept_end;
	size_t kept_count;
	uint64_t lost;
	struct ledger_wait *waiting, **waiting_end;
	size_t waiting_count;
	_Alignas(8) unsigned char scratch[LEDGER_RECORD_BYTES_MAX];
};

/* Where the chain is. */
struct chain {
	uint64_t segment;
	uint64_t sequence; /* of the last row */
	unsigned char hash[LEDGER_CHAIN_BYTES];
};

struct segment_end {
	struct chain chain;
	uint64_t torn;                          /* bytes of a record that was not written whole */
	uint64_t ring_places[LEDGER_RINGS_MAX]; /* end of the last row of each ring; 0: none */
};

struct ledger {
	char writer[LEDGER_WRITER_MAX];
	struct ledger_signer signer;
	char key_id[65];
	char *public_key; /* base64 of its DER, or "" */
	int dir_fd;
	int lock_fd;
	int heads_fd;
	uint64_t segment_bytes_max;
	struct ledger_ring rings[LEDGER_RINGS_MAX];
	size_t ring_count;

	/* the writer's own */
	int fd;
	uint64_t segment_bytes;
	struct chain chain;
	void *digest; /* EVP_MD_CTX */
	unsigned char *batch;
	size_t batch_bytes;
	size_t batch_done; /* of it, written */
	uint64_t places[LEDGER_RINGS_MAX];
	uint64_t rows_unsynced;
	bool head_due; /* rows other than heads were written since the last head */
	int64_t head_ms;
	int64_t synced_ms;

	int wake_fd; /* eventfd */
	atomic_int nap;
	atomic_bool refusing; /* no head was signed for too long */
	atomic_bool stopping;
	pthread_t writer_thread;
	pthread_t signer_thread;
	bool writer_runs, signer_runs;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct ledger_head heads[HEADS_WAITING_MAX]; /* to be signed, the oldest first */
	size_t head_count;
	bool signing;
	bool signer_ends;
	struct ledger_head signed_heads[HEADS_WAITING_MAX]; /* to become rows */
	size_t signed_count;
	int64_t signed_ms; /* when the last one succeeded, or nothing was to be signed */
	uint64_t synced[LEDGER_RINGS_MAX];
	struct ledger_state state;
};

/* Monotonic. */
int64_t ledger_now_ms(void);
void ledger_wake(struct ledger *ledger);
void ledger_stamp(struct ledger_record *record); /* both clocks */

/* rings.c */
MUST_USE int rings_open(struct ledger *ledger, struct err *err);
void rings_close(struct ledger *ledger);
void ring_room_made(struct ledger_ring *ring); /* by the writer */

/* writer.c */
MUST_USE int writer_begin(struct ledger *ledger, struct err *err);
void *writer_main(void *ledger);

/* heads.c */
bool heads_idle(struct ledger *ledger);
void heads_ask(struct ledger *ledger); /* of the chain as it is: nothing when too many wait */
void *heads_main(void *ledger);
void heads_wait(struct ledger *ledger, int64_t timeout_ms);

#endif
