/* Rows from requests, and the ledger on the loop. */
#include "gateway/egress/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/link.h"

#define HEAD_TIMEOUT_MS 2000
#define WAITING_TICK_MS 250

struct record {
	struct worker *worker;
	struct ledger *ledger;
	struct ledger_ring *ring;
	struct loop_watch watch;
	struct loop_timer timer; /* while something waits */
	bool ticking;
	atomic_bool closing;
};

/* On the ledger's own thread: the control plane has the vault sign it. */
static int head_sign(void *self, struct ledger_head *head, struct err *err)
{
	struct record *record = self;
	char line[LEDGER_HEAD_TEXT_MAX];
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	struct ledger_head back;

	if (atomic_load(&record->closing))
		return err_set(err, ERR_CANCELLED, "the gateway ends");
	ledger_head_format(head, line);
	body = json_pack("{s:s}", "head", line);
	answer = link_call(record->worker->link, MESSAGE_LEDGER_HEAD, body, NULL, 0, HEAD_TIMEOUT_MS, err);
	if (!answer)
		return -1;
	if (ledger_head_parse(view_of(json_text(answer, "head", "")), &back, err))
		return -1;
	memcpy(head->signature, back.signature, sizeof(head->signature));
	return 0;
}

static void waiting_tick(struct record *record)
{
	ledger_ring_run(record->ring);
	record->ticking = ledger_ring_waits(record->ring);
	if (record->ticking)
		loop_timer_set(record->worker->loop, &record->timer, WAITING_TICK_MS);
}

static void timer_expired(struct loop_timer *timer)
{
	waiting_tick((struct record *)((char *)timer - offsetof(struct record, timer)));
}

static void ring_ready(struct loop_watch *watch, unsigned events)
{
	(void)events;
	ledger_ring_run(((struct record *)((char *)watch - offsetof(struct record, watch)))->ring);
}

static void waiting_begin(struct record *record)
{
	if (!record->ticking && ledger_ring_waits(record->ring)) {
		record->ticking = true;
		loop_timer_set(record->worker->loop, &record->timer, WAITING_TICK_MS);
	}
}

int record_open(struct worker *worker, int dir_fd, const json_t *body, struct err *err)
{
	struct record *record;
	struct ledger_options options = {.dir_fd = dir_fd, .writer = "gateway", .rings = 1};

	if (worker->record)
		return err_set(err, ERR_CONFLICT, "the gateway has its ledger");
	record = mem_new(sizeof(*record));
	record->worker = worker;
	record->timer.expired = timer_expired;
	record->watch.ready = ring_ready;
	options.signer = (struct ledger_signer){head_sign, record};
	options.key_id = json_text(body, "key_id", "");
	options.public_key = view_of(json_text(body, "key", ""));
	if (ledger_open(&options, &record->ledger, err)) {
		free(record);
		return -1;
	}
	record->ring = ledger_ring(record->ledger, 0);
	if (loop_watch_add(worker->loop, &record->watch, ledger_ring_fd(record->ring), LOOP_READ, err)) {
		atomic_store(&record->closing, true);
		ledger_close(record->ledger);
		free(record);
		return -1;
	}
	worker->record = record;
	return 0;
}

void record_close(struct worker *worker)
{
	struct record *record = worker->record;

	if (!record)
		return;
	worker->record = NULL;
	atomic_store(&record->closing, true); /* nobody reads the link any more */
	loop_watch_remove(worker->loop, &record->watch);
	loop_timer_stop(worker->loop, &record->timer);
	ledger_ring_run(record->ring);
	ledger_close(record->ledger);
	free(record);
}

/* ---- rows ---- */

static struct ledger_row row_of(enum ledger_kind kind, uint64_t number, const struct egress_request *request)
{
	struct ledger_row row = {.kind = kind, .request = number, .port = request->port};

	row.texts[LEDGER_ENV] = view_of(request->origin.env);
	row.texts[LEDGER_RUN] = view_of(request->origin.run);
	row.texts[LEDGER_SANDBOX] = view_of(request->origin.sandbox);
	row.texts[LEDGER_AGENT] = view_of(request->origin.agent);
	row.texts[LEDGER_HOST] = view_of(request->host);
	row.texts[LEDGER_METHOD] = egress_method(request);
	row.texts[LEDGER_PATH] = request->path_hidden ? VIEW("[hidden]") : request->path;
	return row;
}

/* Begins with "h2" where that was spoken; NULL: nothing is to be said. */
static char *detail_of(const struct egress_request *request, const char *text)
{
	if (request->version != 20)
		return text_copy(text);
	return text && text[0] ? text_format("h2: %s", text) : text_copy("h2");
}

static void put(struct worker *worker, const struct ledger_row *row)
{
	if (!worker->record)
		return;
	ledger_put(worker->record->ring, row);
	waiting_begin(worker->record);
}

uint64_t record_request(struct worker *worker)
{
	return worker->record ? ledger_request_new(worker->record->ring) : 0;
}

enum ledger_answer record_intent(struct worker *worker, uint64_t number, const struct egress_request *request, const char *rule,
				 struct ledger_wait *wait)
{
	struct ledger_row row = row_of(LEDGER_INTENT, number, request);
	enum ledger_answer answer;

	if (!worker->record)
		return LEDGER_TAKEN;
	row.texts[LEDGER_RULE] = view_of(rule);
	row.texts[LEDGER_DETAIL] = request->version == 20 ? VIEW("h2") : VIEW("");
	answer = ledger_intent(worker->record->ring, &row, wait);
	waiting_begin(worker->record);
	return answer;
}

void record_cancel(struct worker *worker, struct ledger_wait *wait)
{
	if (worker->record)
		ledger_wait_cancel(worker->record->ring, wait);
}

void record_outcome(struct worker *worker, uint64_t number, const struct egress_request *request,
		    const struct record_outcome *outcome)
{
	struct ledger_row row = row_of(LEDGER_OUTCOME, number, request);
	AUTO_FREE char *detail = detail_of(request, outcome->error);

	row.status = (uint16_t)outcome->status;
	row.sent_bytes = outcome->sent_bytes;
	row.received_bytes = outcome->received_bytes;
	row.duration_us = outcome->duration_us;
	row.texts[LEDGER_DETAIL] = view_of(detail);
	put(worker, &row);
}

void record_verdict(struct worker *worker, uint64_t number, const struct egress_request *request,
		    const struct egress_verdict *verdict)
{
	struct ledger_row row = row_of(LEDGER_VERDICT, number, request);
	AUTO_FREE char *detail = detail_of(request, verdict->why);

	row.status = (uint16_t)verdict->status;
	row.texts[LEDGER_RULE] = view_of(verdict->rule);
	row.texts[LEDGER_DETAIL] = view_of(detail);
	/* What was refused for what is in it is not kept: only what a rule for hosts and paths refused is named by its path. */
	if (!view_starts(view_of(verdict->rule), VIEW("policy")) && !view_starts(view_of(verdict->rule), VIEW("default")))
		row.texts[LEDGER_PATH] = VIEW("");
	put(worker, &row);
}

void record_release(struct worker *worker, uint64_t number, const struct egress_request *request, const char *credential)
{
	struct ledger_row row = row_of(LEDGER_RELEASE, number, request);

	row.texts[LEDGER_DETAIL] = view_of(credential);
	put(worker, &row);
}

void record_row(struct worker *worker, uint64_t number, const struct egress_request *request, struct ledger_row row)
{
	struct ledger_row whole = row_of(row.kind, number, request);

	whole.status = row.status;
	whole.offset = row.offset;
	memcpy(whole.digest, row.digest, sizeof(whole.digest));
	whole.hidden = row.hidden;
	whole.hidden_count = row.hidden_count;
	for (size_t i = 0; i < LEDGER_TEXTS; i++)
		if (row.texts[i].at)
			whole.texts[i] = row.texts[i];
	put(worker, &whole);
}
