/* The workers' side: rows into the ring, and what waits while there is no room. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "ledger/ledger_priv.h"

#define INTENT_SPARE_BYTES ((size_t)256 << 10) /* room that intents leave for the rows that follow from them */
#define REQUEST_RING_BITS 4
_Static_assert(LEDGER_RINGS_MAX <= 1 << REQUEST_RING_BITS, "a request's number holds its ring's");

int rings_open(struct ledger *ledger, struct err *err)
{
	for (size_t i = 0; i < ledger->ring_count; i++) {
		struct ledger_ring *ring = &ledger->rings[i];
		char name[32];
		bool renewed = false;

		(void)snprintf(name, sizeof(name), "ring.%zu", i);
		*ring = (struct ledger_ring){.ledger = ledger, .index = i, .room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
		ring->kept_end = &ring->kept;
		ring->waiting_end = &ring->waiting;
		/* A thousand million requests later than a million a second since now: never met by a later start. */
		ring->request_base = (uint64_t)world_now_ms(world_real) * 1000;
		if (ring->room_fd < 0)
			return err_errno(err, errno, "cannot make an event descriptor");
		if (ring_open(ledger->dir_fd, name, &ring->ring, &renewed, err))
			return -1;
		if (renewed)
			log_warn("the ledger's %s was broken: what it still held is lost", name);
	}
	return 0;
}

void rings_close(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->ring_count; i++) {
		struct ledger_ring *ring = &ledger->rings[i];

		while (ring->kept) {
			struct kept *kept = ring->kept;

			ring->kept = kept->next;
			free(kept);
		}
		while (ring->waiting) {
			struct ledger_wait *wait = ring->waiting;

			ring->waiting = wait->next;
			free(TAKE(wait->record));
		}
		ring_close(ring->ring);
		if (ring->room_fd > 0)
			(void)close(ring->room_fd);
	}
}

struct ledger_ring *ledger_ring(struct ledger *ledger, size_t index)
{
	return &ledger->rings[index];
}

uint64_t ledger_request_new(struct ledger_ring *ring)
{
	return (ring->request_base + ring->requests++) << REQUEST_RING_BITS | ring->index;
}

int ledger_ring_fd(const struct ledger_ring *ring)
{
	return ring->room_fd;
}

bool ledger_ring_waits(const struct ledger_ring *ring)
{
	return ring->kept || ring->waiting;
}

void ring_room_made(struct ledger_ring *ring)
{
	if (atomic_load_explicit(&ring->room_wanted, memory_order_relaxed) && atomic_exchange(&ring->room_wanted, false))
		(void)eventfd_write(ring->room_fd, 1);
}

static bool record_put(struct ledger_ring *ring, const unsigned char *record, size_t bytes, size_t spare)
{
	int nap;

	if (!ring_put(ring->ring, record, bytes, spare)) {
		atomic_store(&ring->room_wanted, true);
		/* The writer may have made room before it could see the wish. */
		if (!ring_put(ring->ring, record, bytes, spare))
			return false;
	}
	atomic_thread_fence(
		memory_order_seq_cst); /* the record before the look at the nap; the writer does it the other way round */
	nap = atomic_load_explicit(&ring->ledger->nap, memory_order_relaxed);
	if (nap == NAP_IDLE || (nap == NAP_BATCH && ring_worth_waking(ring->ring)))
		ledger_wake(ring->ledger);
	return true;
}

static size_t row_encode(struct ledger_ring *ring, const struct ledger_row *row)
{
	size_t bytes = ledger_row_encode(row, ring->scratch);

	ledger_stamp((struct ledger_record *)(void *)ring->scratch);
	return bytes;
}

enum ledger_answer ledger_intent(struct ledger_ring *ring, const struct ledger_row *row, struct ledger_wait *wait)
{
	size_t bytes = row_encode(ring, row);

	if (!ledger_ring_waits(ring) && !atomic_load_explicit(&ring->ledger->refusing, memory_order_relaxed) &&
	    record_put(ring, ring->scratch, bytes, INTENT_SPARE_BYTES))
		return LEDGER_TAKEN;
	if (ring->waiting_count >= LEDGER_WAITING_MAX)
		return LEDGER_REFUSED;
	atomic_store(&ring->room_wanted, true);
	wait->record = mem_new(bytes);
	memcpy(wait->record, ring->scratch, bytes);
	wait->until_ms = ledger_now_ms() + LEDGER_WAIT_MS_MAX;
	wait->next = NULL;
	*ring->waiting_end = wait;
	ring->waiting_end = &wait->next;
	ring->waiting_count++;
	return LEDGER_WAITING;
}

void ledger_wait_cancel(struct ledger_ring *ring, struct ledger_wait *wait)
{
	for (struct ledger_wait **place = &ring->waiting; *place; place = &(*place)->next) {
		if (*place != wait)
			continue;
		*place = wait->next;
		if (!*place)
			ring->waiting_end = place;
		ring->waiting_count--;
		free(TAKE(wait->record));
		return;
	}
}

void ledger_put(struct ledger_ring *ring, const struct ledger_row *row)
{
	size_t bytes = row_encode(ring, row);
	struct kept *kept;

	if (!ring->kept && !ring->lost && record_put(ring, ring->scratch, bytes, 0))
		return;
	if (ring->kept_count >= LEDGER_WAITING_MAX) {
		ring->lost++;
		return;
	}
	atomic_store(&ring->room_wanted, true);
	kept = mem_new(sizeof(*kept) + bytes);
	kept->bytes = bytes;
	memcpy(kept->record, ring->scratch, bytes);
	*ring->kept_end = kept;
	ring->kept_end = &kept->next;
	ring->kept_count++;
}

/* true: nothing is kept any more. */
static bool kept_put(struct ledger_ring *ring)
{
	while (ring->kept) {
		struct kept *kept = ring->kept;

		if (!record_put(ring, kept->record, kept->bytes, 0))
			return false;
		ring->kept = kept->next;
		if (!ring->kept)
			ring->kept_end = &ring->kept;
		ring->kept_count--;
		free(kept);
	}
	if (ring->lost) {
		const struct ledger_row row = {.kind = LEDGER_LOST, .offset = ring->lost};
		size_t bytes = row_encode(ring, &row);

		if (!record_put(ring, ring->scratch, bytes, 0))
			return false;
		log_error("the ledger could not keep %llu rows", (unsigned long long)ring->lost);
		ring->lost = 0;
	}
	return true;
}

/* Takes the first that waits off the list. */
static void wait_end(struct ledger_ring *ring, bool taken)
{
	struct ledger_wait *wait = ring->waiting;

	ring->waiting = wait->next;
	if (!ring->waiting)
		ring->waiting_end = &ring->waiting;
	ring->waiting_count--;
	free(TAKE(wait->record));
	wait->done(wait, taken);
}

void ledger_ring_run(struct ledger_ring *ring)
{
	int64_t now_ms = ledger_now_ms();
	eventfd_t count;

	(void)eventfd_read(ring->room_fd, &count);
	if (kept_put(ring)) {
		while (ring->waiting && !atomic_load_explicit(&ring->ledger->refusing, memory_order_relaxed)) {
			struct ledger_record *record = (struct ledger_record *)(void *)ring->waiting->record;

			ledger_stamp(record); /* not before it is taken */
			if (!record_put(ring, ring->waiting->record, record->bytes, INTENT_SPARE_BYTES))
				break;
			wait_end(ring, true);
		}
	}
	while (ring->waiting && ring->waiting->until_ms <= now_ms)
		wait_end(ring, false);
	if (ledger_ring_waits(ring))
		atomic_store(&ring->room_wanted, true);
}
