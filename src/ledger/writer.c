/*
 * The writer: takes records from the rings, gives each its number and its place in the chain, writes and syncs.
 *
 * Theory of operation: a batch is built in memory, chained as it is built, and written with one call; only then do the rings learn that
 * their records were taken, so that death at any moment leaves each record in a ring or in the segment (the next writer sees by the
 * records' origin which are in both). A batch that cannot be written is kept and tried again, and nothing is taken meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "ledger/ledger_priv.h"

#define BATCH_BYTES ((size_t)1 << 20)
#define IDLE_MS 1000
#define RETRY_MS 100
#define ORIGIN_RING_BITS 8
#define ORIGIN_NONE UINT64_MAX

/* ---- the batch ---- */

/* Numbers and chains the record at the end of the batch. */
static void batch_seal(struct ledger *ledger, uint64_t origin)
{
	unsigned char *at = ledger->batch + ledger->batch_bytes;
	struct ledger_record *record = (struct ledger_record *)(void *)at;
	size_t body = record->bytes - LEDGER_CHAIN_BYTES;

	record->sequence = ++ledger->chain.sequence;
	record->origin = origin;
	/* Only lack of memory could make these fail. */
	if (EVP_DigestInit_ex(ledger->digest, NULL, NULL) != 1 ||
	    EVP_DigestUpdate(ledger->digest, ledger->chain.hash, LEDGER_CHAIN_BYTES) != 1 ||
	    EVP_DigestUpdate(ledger->digest, at, body) != 1 || EVP_DigestFinal_ex(ledger->digest, ledger->chain.hash, NULL) != 1)
		abort();
	memcpy(at + body, ledger->chain.hash, LEDGER_CHAIN_BYTES);
	ledger->batch_bytes += record->bytes;
	ledger->rows_unsynced++;
}

/* A row of the writer's own. There is always room for one behind a batch. */
static void batch_add_own(struct ledger *ledger, const struct ledger_row *row)
{
	unsigned char *at = ledger->batch + ledger->batch_bytes;

	(void)ledger_row_encode(row, at);
	ledger_stamp((struct ledger_record *)(void *)at);
	batch_seal(ledger, ORIGIN_NONE);
}

static void batch_gather(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->ring_count; i++) {
		struct ring *ring = ledger->rings[i].ring;
		const unsigned char *record;
		struct ledger_record checked;
		struct ledger_row row;
		uint64_t at = 0;
		bool broken = false;

		while (ledger->batch_bytes < BATCH_BYTES && (record = ring_next(ring, &ledger->places[i], &at, &broken))) {
			uint32_t bytes;

			memcpy(&bytes, record, sizeof(bytes));
			memcpy(ledger->batch + ledger->batch_bytes, record, bytes);
			if (ledger_row_decode(view_make(ledger->batch + ledger->batch_bytes, bytes), &checked, &row, NULL)) {
				broken = true;
				break;
			}
			ledger->head_due = true;
			batch_seal(ledger, at << ORIGIN_RING_BITS | i);
		}
		if (broken) {
			log_error("the ledger's ring %zu is broken: what it held is lost", i);
			ring_drop(ring);
			ledger->places[i] = ring_taken(ring);
			batch_add_own(ledger,
				      &(struct ledger_row){.kind = LEDGER_LOST, .texts[LEDGER_DETAIL] = VIEW("a ring was broken")});
		}
	}
}

static void heads_gather(struct ledger *ledger)
{
	struct ledger_head heads[HEADS_WAITING_MAX];
	size_t count;

	(void)pthread_mutex_lock(&ledger->lock);
	count = ledger->signed_count;
	memcpy(heads, ledger->signed_heads, count * sizeof(heads[0]));
	ledger->signed_count = 0;
	(void)pthread_mutex_unlock(&ledger->lock);
	for (size_t i = 0; i < count; i++) {
		char text[LEDGER_HEAD_TEXT_MAX];

		ledger_head_format(&heads[i], text);
		batch_add_own(ledger, &(struct ledger_row){.kind = LEDGER_HEAD, .texts[LEDGER_DETAIL] = view_of(text)});
	}
}

/* ---- to the disk ---- */

static void state_note(struct ledger *ledger, const struct err *problem)
{
	(void)pthread_mutex_lock(&ledger->lock);
	if (problem && !ledger->state.stuck)
		log_error("%s; requests wait, and are refused when there is no room for their rows", problem->text);
	if (!problem && ledger->state.stuck)
		log_info("the ledger is written again");
	ledger->state.stuck = problem;
	(void)snprintf(ledger->state.problem, sizeof(ledger->state.problem), "%s", problem ? problem->text : "");
	ledger->state.sequence = ledger->chain.sequence;
	ledger->state.segment = ledger->chain.segment;
	(void)pthread_mutex_unlock(&ledger->lock);
}

/* What was written before an error stays, and the rest follows it. */
static int batch_write(struct ledger *ledger, struct err *err)
{
	while (ledger->batch_done < ledger->batch_bytes) {
		ssize_t done = write(ledger->fd, ledger->batch + ledger->batch_done, ledger->batch_bytes - ledger->batch_done);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(err, errno, "cannot write the ledger");
		ledger->batch_done += (size_t)done;
	}
	ledger->segment_bytes += ledger->batch_bytes;
	ledger->batch_bytes = ledger->batch_done = 0;
	for (size_t i = 0; i < ledger->ring_count; i++) {
		ring_take(ledger->rings[i].ring, ledger->places[i]);
		ring_room_made(&ledger->rings[i]);
	}
	return 0;
}

static int batch_sync(struct ledger *ledger, struct err *err)
{
	if (fdatasync(ledger->fd))
		return err_errno(err, errno, "cannot sync the ledger");
	ledger->rows_unsynced = 0;
	ledger->synced_ms = ledger_now_ms();
	(void)pthread_mutex_lock(&ledger->lock);
	memcpy(ledger->synced, ledger->places, sizeof(ledger->synced));
	(void)pthread_cond_broadcast(&ledger->changed);
	(void)pthread_mutex_unlock(&ledger->lock);
	return 0;
}

/* ---- segments ---- */

static json_t *genesis_detail(const struct ledger *ledger, const struct segment_end *previous)
{
	AUTO_BUF boot = buf_new(256);
	AUTO_BUF chain = buf_new(2 * LEDGER_CHAIN_BYTES);
	json_t *json;

	if (file_read("/proc/sys/kernel/random/boot_id", &boot, NULL))
		buf_add_text(&boot, "unknown");
	json = json_pack("{s:s, s:I, s:s, s:s}", "writer", ledger->writer, "segment", (json_int_t)ledger->chain.segment, "key_id",
			 ledger->key_id, "key", ledger->public_key);
	json_set_bytes(json, "boot", view_trim(buf_view(&boot)));
	if (previous->chain.segment) {
		buf_add_hex(&chain, previous->chain.hash, LEDGER_CHAIN_BYTES);
		(void)json_object_set_new(json, "previous",
					  json_pack("{s:I, s:I, s:s, s:I}", "segment", (json_int_t)previous->chain.segment,
						    "sequence", (json_int_t)previous->chain.sequence, "chain", chain.at, "torn",
						    (json_int_t)previous->torn));
	}
	return json;
}

/* Opens the next segment and puts its genesis into the batch, which is empty. */
static int segment_begin(struct ledger *ledger, const struct segment_end *previous, struct err *err)
{
	char name[SEGMENT_NAME_MAX];
	AUTO_JSON detail = NULL;
	AUTO_BUF text = buf_new(LEDGER_RECORD_BYTES_MAX);
	int fd;

	segment_name(previous->chain.segment + 1, name);
	fd = openat(ledger->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot make the ledger's segment %s", name);
	scope_close(&ledger->fd);
	ledger->fd = fd;
	ledger->segment_bytes = 0;
	ledger->chain = previous->chain;
	ledger->chain.segment++;
	detail = genesis_detail(ledger, previous);
	json_format_sorted(&text, detail);
	memcpy(ledger->batch, SEGMENT_MAGIC, SEGMENT_MAGIC_BYTES);
	ledger->batch_bytes = SEGMENT_MAGIC_BYTES;
	memset(ledger->chain.hash, 0, sizeof(ledger->chain.hash));
	batch_add_own(ledger, &(struct ledger_row){.kind = LEDGER_GENESIS, .texts[LEDGER_DETAIL] = buf_view(&text)});
	if (fsync(ledger->dir_fd))
		return err_errno(err, errno, "cannot sync the ledger's folder");
	return 0;
}

/* The end of a segment that another process may have left at any byte. */
static int segment_end_find(struct ledger *ledger, uint64_t number, struct segment_end *end, struct err *err)
{
	char name[SEGMENT_NAME_MAX];
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct view bytes;
	size_t torn = 0;
	int got;
	int fd;

	*end = (struct segment_end){.chain.segment = number};
	segment_name(number, name);
	fd = openat(ledger->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the ledger's segment %s", name);
	if (segment_reader_open(&reader, fd, 0, err))
		return -1;
	while ((got = segment_read(&reader, &bytes, &record, &row, &torn, err)) == 1) {
		end->chain.sequence = record.sequence;
		memcpy(end->chain.hash, bytes.at + bytes.length - LEDGER_CHAIN_BYTES, LEDGER_CHAIN_BYTES);
		if (record.origin != ORIGIN_NONE && (record.origin & ((1 << ORIGIN_RING_BITS) - 1)) < LEDGER_RINGS_MAX)
			end->ring_places[record.origin & ((1 << ORIGIN_RING_BITS) - 1)] = (record.origin >> ORIGIN_RING_BITS) +
											  record.bytes;
	}
	end->torn = torn;
	segment_reader_close(&reader);
	if (got < 0) {
		log_error("the ledger's segment %s is broken after row %llu: %s", name, (unsigned long long)end->chain.sequence,
			  err->text);
		return end->chain.sequence ? 0 : -1;
	}
	return 0;
}

/* The largest number of a segment in the folder, 0 when there is none. */
static int segment_last(struct ledger *ledger, uint64_t *last, struct err *err)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;

	*last = 0;
	if (ledger_segments(ledger->dir_fd, &names, &count, err))
		return -1;
	for (size_t i = 0; i < count; i++) {
		(void)segment_number(names[i], last); /* sorted */
		free(names[i]);
	}
	return 0;
}

int writer_begin(struct ledger *ledger, struct err *err)
{
	struct segment_end previous = {.chain.segment = 0};
	uint64_t last;

	ledger->batch = mem_new(BATCH_BYTES + 8 * LEDGER_RECORD_BYTES_MAX);
	ledger->digest = EVP_MD_CTX_new();
	if (!ledger->digest || EVP_DigestInit_ex(ledger->digest, EVP_sha256(), NULL) != 1)
		return err_set(err, ERR_BROKEN, "SHA-256 is not there");
	for (;;) {
		char name[SEGMENT_NAME_MAX];

		if (segment_last(ledger, &last, err))
			return -1;
		if (!last || (!segment_end_find(ledger, last, &previous, err) && previous.chain.sequence))
			break;
		/* Not even its genesis was written: no row was in it. */
		segment_name(last, name);
		log_warn("the ledger's segment %s is empty and begun again", name);
		if (unlinkat(ledger->dir_fd, name, 0))
			return err_errno(err, errno, "cannot remove the empty segment %s", name);
		previous = (struct segment_end){.chain.segment = 0};
	}
	for (size_t i = 0; i < ledger->ring_count; i++) {
		struct ring *ring = ledger->rings[i].ring;

		if (previous.ring_places[i] > ring_taken(ring) && previous.ring_places[i] <= ring_end(ring))
			ring_take(ring, previous.ring_places[i]);
		ledger->places[i] = ring_taken(ring);
	}
	if (segment_begin(ledger, &previous, err) || batch_write(ledger, err) || batch_sync(ledger, err))
		return -1;
	state_note(ledger, NULL);
	return 0;
}

/* Ends the segment and begins the next; what is in the batch was written. */
static int segment_turn(struct ledger *ledger, struct err *err)
{
	struct segment_end previous;

	batch_add_own(ledger, &(struct ledger_row){.kind = LEDGER_CLOSE});
	if (batch_write(ledger, err) || batch_sync(ledger, err))
		return -1;
	heads_ask(ledger);
	previous = (struct segment_end){.chain = ledger->chain};
	return segment_begin(ledger, &previous, err);
}

/* ---- the thread ---- */

static bool rings_empty(const struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->ring_count; i++)
		if (!ring_empty(ledger->rings[i].ring))
			return false;
	return true;
}

static void nap(struct ledger *ledger, enum nap how, int timeout_ms)
{
	struct pollfd wake = {.fd = ledger->wake_fd, .events = POLLIN};
	eventfd_t count;

	atomic_store(&ledger->nap, how);
	atomic_thread_fence(memory_order_seq_cst);
	if (how != NAP_IDLE || rings_empty(ledger))
		(void)poll(&wake, 1, timeout_ms);
	atomic_store(&ledger->nap, NAP_NONE);
	(void)eventfd_read(ledger->wake_fd, &count);
}

/* Until there is something to do: nothing came, or the batch is to grow for a moment. */
static void writer_rest(struct ledger *ledger)
{
	int64_t since_ms = ledger_now_ms() - ledger->synced_ms;

	if (rings_empty(ledger) && !ledger->rows_unsynced) {
		int64_t head_ms = ledger->head_ms + LEDGER_HEAD_MS - ledger_now_ms();

		nap(ledger, NAP_IDLE, ledger->head_due && head_ms < IDLE_MS ? (int)(head_ms > 0 ? head_ms : 1) : IDLE_MS);
	} else if (since_ms < LEDGER_SYNC_MS && ledger->rows_unsynced < LEDGER_SYNC_ROWS) {
		nap(ledger, NAP_BATCH, (int)(LEDGER_SYNC_MS - since_ms));
	}
}

/* One batch from the rings to the disk. */
static int writer_step(struct ledger *ledger, struct err *err)
{
	if (ledger->batch_bytes && batch_write(ledger, err))
		return -1;
	heads_gather(ledger);
	batch_gather(ledger);
	if (ledger->batch_bytes && batch_write(ledger, err))
		return -1;
	/* A row that comes alone is synced at once; what comes within LEDGER_SYNC_MS of a sync is synced together. */
	if (ledger->rows_unsynced &&
	    ((ledger->rows_unsynced >= LEDGER_SYNC_ROWS && rings_empty(ledger)) ||
	     ledger_now_ms() - ledger->synced_ms >= LEDGER_SYNC_MS) &&
	    batch_sync(ledger, err))
		return -1;
	if (ledger->segment_bytes > ledger->segment_bytes_max && segment_turn(ledger, err))
		return -1;
	if (ledger->head_due && ledger_now_ms() - ledger->head_ms >= LEDGER_HEAD_MS && !ledger->batch_bytes && heads_idle(ledger)) {
		heads_ask(ledger);
		ledger->head_ms = ledger_now_ms();
		ledger->head_due = false;
	}
	return 0;
}

/* The last rows: what is in the rings, the end, and a signature over it. */
static int writer_end(struct ledger *ledger, struct err *err)
{
	do {
		if (writer_step(ledger, err))
			return -1;
	} while (!rings_empty(ledger));
	batch_add_own(ledger, &(struct ledger_row){.kind = LEDGER_CLOSE});
	if (batch_write(ledger, err) || batch_sync(ledger, err))
		return -1;
	heads_ask(ledger);
	return 0;
}

void *writer_main(void *self)
{
	struct ledger *ledger = self;
	struct err err;

	while (!atomic_load(&ledger->stopping)) {
		writer_rest(ledger);
		if (writer_step(ledger, &err)) {
			state_note(ledger, &err);
			nap(ledger, NAP_NONE, RETRY_MS);
			continue;
		}
		state_note(ledger, NULL);
	}
	if (writer_end(ledger, &err))
		log_error("%s: the last rows stay in its rings until it is opened again", err.text);
	state_note(ledger, NULL);
	return NULL;
}
