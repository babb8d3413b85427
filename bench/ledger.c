/*
 * Rows a second: ours, chained, synced in batches, with signed heads; and a peer, SQLite with a write-ahead log and as many rows a
 * transaction as ours has a sync at most (with the indexes that a search needs, and without a chain). Both write rows of the same
 * requests to the same disk. `bench_ledger [ROWS] [DIR]`.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"
#include "store/store.h"

#define ROWS_DEFAULT 2000000
#define PEER_ROWS 200000
#define FLUSH_MS 600000

struct measured {
	double wall_s, cpu_s;
};

static double seconds(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct measured begin(void)
{
	return (struct measured){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void end(const char *name, struct measured from, long rows)
{
	double wall_s = seconds(CLOCK_MONOTONIC) - from.wall_s;
	double cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - from.cpu_s;

	printf("%-44s %9.0f rows/s  %6.2f us CPU a row  (%ld rows in %.2f s)\n", name, (double)rows / wall_s,
	       cpu_s * 1e6 / (double)rows, rows, wall_s);
	(void)fflush(stdout);
}

static void must(int failed, const struct err *err)
{
	if (!failed)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static int sign(void *self, struct ledger_head *head, struct err *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char bytes[LEDGER_HEAD_BYTES];
	size_t length = sizeof(head->signature);
	int done;

	ledger_head_bytes(head, bytes);
	done = EVP_DigestSignInit(context, NULL, NULL, NULL, self) == 1 &&
	       EVP_DigestSign(context, head->signature, &length, bytes, sizeof(bytes)) == 1;
	EVP_MD_CTX_free(context);
	return done ? 0 : err_set(err, ERR_BROKEN, "no signature");
}

static struct ledger_row row_make(long i)
{
	struct ledger_row row = {
		.kind = i % 2 ? LEDGER_OUTCOME : LEDGER_INTENT, .request = (uint64_t)i / 2, .port = 443, .status = 200};

	row.texts[LEDGER_ENV] = VIEW("e0123456789");
	row.texts[LEDGER_RUN] = VIEW("r0123456789");
	row.texts[LEDGER_SANDBOX] = VIEW("workspace");
	row.texts[LEDGER_AGENT] = VIEW("claude");
	row.texts[LEDGER_HOST] = VIEW("api.anthropic.com");
	row.texts[LEDGER_METHOD] = VIEW("POST");
	row.texts[LEDGER_PATH] = VIEW("/v1/messages");
	row.texts[LEDGER_RULE] = VIEW("policy:models");
	return row;
}

static void ours(const char *dir, long rows)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct ledger_options options = {.dir = dir, .writer = "bench", .rings = 1, .signer = {sign, key}};
	struct ledger *ledger = NULL;
	struct measured from;
	struct err err;

	must(ledger_open(&options, &ledger, &err), &err);
	from = begin();
	for (long i = 0; i < rows; i++) {
		struct ledger_row row = row_make(i);
		struct ledger_wait wait = {.done = NULL};

		while (ledger_intent(ledger_ring(ledger, 0), &row, &wait) != LEDGER_TAKEN) {
			ledger_wait_cancel(ledger_ring(ledger, 0), &wait);
			(void)usleep(200);
		}
	}
	must(ledger_flush(ledger, FLUSH_MS, &err), &err);
	end("ledger: chained, signed, on the disk", from, rows);
	ledger_close(ledger);
	EVP_PKEY_free(key);
}

static void peer(const char *dir, long rows, long batch)
{
	AUTO_FREE char *path = text_format("%s/peer-%ld.db", dir, batch);
	AUTO_FREE char *name = text_format("SQLite, WAL, %ld rows a transaction", batch);
	struct store *store = NULL;
	struct measured from;
	struct err err;

	must(store_open(path, &store, &err), &err);
	from = begin();
	for (long i = 0; i < rows;) {
		AUTO_TX tx = {0};

		must(store_begin(store, &tx, &err), &err);
		for (long k = 0; k < batch && i < rows; k++, i++)
			must(store_run(
				     &tx,
				     "INSERT INTO ledger_row (writer, segment, place, time_ms, kind, request, env, run, host, rule)"
				     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				     VALUES(V("bench"), V((long)1), V(i), V(i), V("intent"), V(i / 2), V("e0123456789"),
					    V("r0123456789"), V("api.anthropic.com"), V("policy:models")),
				     &err),
			     &err);
		must(store_commit(&tx, &err), &err);
	}
	end(name, from, rows);
	store_close(store);
}

int main(int argc, char **argv)
{
	long rows = argc > 1 ? atol(argv[1]) : ROWS_DEFAULT;
	AUTO_FREE char *root = text_format("%s/assay-bench-ledger-%d", argc > 2 ? argv[2] : "/tmp", (int)getpid());
	struct err err;

	for (int round = 0; round < 3; round++) {
		AUTO_FREE char *dir = text_format("%s/%d", root, round);

		must(file_make_dirs(root, 0700, &err), &err);
		ours(dir, rows);
		peer(dir, PEER_ROWS, 1000);
	}
	must(file_remove_tree(root, &err), &err);
	return 0;
}
