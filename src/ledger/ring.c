/* The ring: two counters and bytes, in a mapped file. */
#include "ledger/ring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

#define RING_MAGIC UINT64_C(0x31676e6972617961) /* "ayaring1" */
#define RING_BYTES ((uint64_t)16 << 20)         /* a power of two */
#define RING_WAKE_BYTES ((uint64_t)256 << 10)
#define LINE_BYTES 64 /* of the processor's cache: the two sides' counters are not in one */
#define FILE_HEAD_BYTES 4096

struct shared {
	uint64_t magic;
	uint64_t bytes;
	_Alignas(LINE_BYTES) _Atomic uint64_t put;   /* end of what the worker wrote */
	_Alignas(LINE_BYTES) _Atomic uint64_t taken; /* end of what the writer took */
};

struct ring {
	struct shared *shared;
	unsigned char *data;
	uint64_t put;        /* the worker's own copy */
	uint64_t taken_seen; /* the worker's last sight of the other's counter */
};

/* Nothing is believed of a file that was there: both counters must fit. */
static bool shared_good(const struct shared *shared)
{
	uint64_t put = atomic_load(&shared->put);
	uint64_t taken = atomic_load(&shared->taken);

	return shared->magic == RING_MAGIC && shared->bytes == RING_BYTES && taken <= put && put - taken <= RING_BYTES &&
	       !(put % 8) && !(taken % 8) && put < UINT64_MAX >> 9;
}

int ring_open(int dir_fd, const char *name, struct ring **ring, bool *renewed, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct shared *shared;
	struct ring *made;
	struct stat facts;
	int problem;

	if (fd < 0)
		return err_errno(err, errno, "cannot open the ledger's %s", name);
	if (fstat(fd, &facts) || !S_ISREG(facts.st_mode))
		return err_set(err, ERR_BROKEN, "the ledger's %s is no file", name);
	problem = posix_fallocate(fd, 0, (off_t)(FILE_HEAD_BYTES + RING_BYTES));
	if (problem)
		return err_errno(err, problem, "cannot make room for the ledger's %s", name);
	shared = mmap(NULL, FILE_HEAD_BYTES + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return err_errno(err, errno, "cannot map the ledger's %s", name);
	*renewed = !shared_good(shared) && shared->magic;
	if (!shared_good(shared)) {
		shared->magic = RING_MAGIC;
		shared->bytes = RING_BYTES;
		atomic_store(&shared->put, 0);
		atomic_store(&shared->taken, 0);
	}
	made = mem_new(sizeof(*made));
	*made = (struct ring){.shared = shared,
			      .data = (unsigned char *)shared + FILE_HEAD_BYTES,
			      .put = atomic_load(&shared->put),
			      .taken_seen = atomic_load(&shared->taken)};
	*ring = made;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	(void)munmap(ring->shared, FILE_HEAD_BYTES + RING_BYTES);
	free(ring);
}

bool ring_put(struct ring *ring, const unsigned char *record, size_t bytes, size_t spare)
{
	uint64_t at = ring->put % RING_BYTES;
	uint64_t skip = RING_BYTES - at < bytes ? RING_BYTES - at : 0; /* a record is never in two pieces */
	uint64_t need = skip + bytes + spare;

	if (RING_BYTES - (ring->put - ring->taken_seen) < need) {
		ring->taken_seen = atomic_load_explicit(&ring->shared->taken, memory_order_acquire);
		if (RING_BYTES - (ring->put - ring->taken_seen) < need)
			return false;
	}
	if (skip) {
		memset(ring->data + at, 0, sizeof(uint32_t)); /* no record: go on at the beginning */
		ring->put += skip;
		at = 0;
	}
	memcpy(ring->data + at, record, bytes);
	ring->put += bytes;
	atomic_store_explicit(&ring->shared->put, ring->put, memory_order_release);
	return true;
}

bool ring_worth_waking(struct ring *ring)
{
	if (ring->put - ring->taken_seen > RING_WAKE_BYTES)
		ring->taken_seen = atomic_load_explicit(&ring->shared->taken, memory_order_acquire);
	return ring->put - ring->taken_seen > RING_WAKE_BYTES;
}

const unsigned char *ring_next(struct ring *ring, uint64_t *place, uint64_t *at, bool *broken)
{
	uint64_t put = atomic_load_explicit(&ring->shared->put, memory_order_acquire);
	uint64_t left = RING_BYTES - *place % RING_BYTES;
	uint32_t bytes;

	*broken = put - *place > RING_BYTES;
	if (*broken || *place == put)
		return NULL;
	memcpy(&bytes, ring->data + *place % RING_BYTES, sizeof(bytes));
	if (bytes == 0 && put - *place >= left) {
		*place += left;
		left = RING_BYTES;
		if (*place == put)
			return NULL;
		memcpy(&bytes, ring->data, sizeof(bytes));
	}
	if (bytes < LEDGER_RECORD_BYTES_MIN || bytes > LEDGER_RECORD_BYTES_MAX || bytes % 8 || bytes > left ||
	    bytes > put - *place) {
		*broken = true;
		return NULL;
	}
	*at = *place;
	*place += bytes;
	return ring->data + *at % RING_BYTES;
}

uint64_t ring_taken(const struct ring *ring)
{
	return atomic_load_explicit(&ring->shared->taken, memory_order_relaxed);
}

void ring_take(struct ring *ring, uint64_t place)
{
	atomic_store_explicit(&ring->shared->taken, place, memory_order_release);
}

bool ring_empty(const struct ring *ring)
{
	return atomic_load_explicit(&ring->shared->put, memory_order_acquire) ==
	       atomic_load_explicit(&ring->shared->taken, memory_order_relaxed);
}

void ring_drop(struct ring *ring)
{
	atomic_store(&ring->shared->taken, atomic_load(&ring->shared->put));
}

uint64_t ring_end(const struct ring *ring)
{
	return atomic_load_explicit(&ring->shared->put, memory_order_acquire);
}
