/*
 * record: what the gateway writes into the ledger (ledger/ledger.h). Its folder comes from the control plane, which also has its heads
 * signed. Without a ledger, as in tests, nothing is recorded and nothing is refused for it.
 */
#ifndef ASSAY_GATEWAY_EGRESS_RECORD_H
#define ASSAY_GATEWAY_EGRESS_RECORD_H

#include "gateway/egress/request.h"
#include "gateway/worker.h"
#include "ledger/ledger.h"

struct record;

/* The LEDGER message: opens the ledger in the folder `dir_fd`, which stays the caller's. A second one is refused. */
MUST_USE int record_open(struct worker *worker, int dir_fd, const json_t *body, struct err *err);
void record_close(struct worker *worker);

/* The number by which all rows of a request are found; 0 without a ledger. */
uint64_t record_request(struct worker *worker);
/* The row of an allowed request, before its first byte leaves; its detail, as that of the others, begins with "h2" when it came by HTTP/2. `rule` allowed it. LEDGER_WAITING: wait->done is called on the loop. */
enum ledger_answer record_intent(struct worker *worker, uint64_t number, const struct egress_request *request, const char *rule,
				 struct ledger_wait *wait);
void record_cancel(struct worker *worker, struct ledger_wait *wait);

struct record_outcome {
	unsigned status; /* 0: no answer came */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t duration_us;
	const char *error; /* NULL: none */
};

/* How an allowed request ended. */
void record_outcome(struct worker *worker, uint64_t number, const struct egress_request *request,
		    const struct record_outcome *outcome);
/* A request that was refused, and why. */
void record_verdict(struct worker *worker, uint64_t number, const struct egress_request *request,
		    const struct egress_verdict *verdict);
/* A credential was released for a request. */
void record_release(struct worker *worker, uint64_t number, const struct egress_request *request, const char *credential);
/* Any other row about a request: a hold, an answer, a finding; `row` says what is not in the request. */
void record_row(struct worker *worker, uint64_t number, const struct egress_request *request, struct ledger_row row);

#endif
