/* The ledger as it is written, broken and verified. Those named by a number are of the list of attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "ledger/ledger.h"
#include "ledger/prune.h"
#include "ledger/verify.h"

#define FLUSH_MS 60000

static EVP_PKEY *key;
static struct buf public_key;
static char dir[64];

/* ---- both ends ---- */

static int sign(void *self, struct ledger_head *head, struct err *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char bytes[LEDGER_HEAD_BYTES];
	size_t length = sizeof(head->signature);
	int done;

	if (self && *(bool *)self)
		return err_set(err, ERR_RETRY, "the vault is gone");
	ledger_head_bytes(head, bytes);
	done = EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestSign(context, head->signature, &length, bytes, sizeof(bytes)) == 1;
	EVP_MD_CTX_free(context);
	return done ? 0 : err_set(err, ERR_BROKEN, "no signature");
}

static struct ledger_options options_of(void)
{
	return (struct ledger_options){.dir = dir,
				       .writer = "gateway",
				       .rings = 2,
				       .signer = {sign, NULL},
				       .key_id = "k",
				       .public_key = buf_view(&public_key)};
}

static struct ledger *ledger_new(const struct ledger_options *options)
{
	struct ledger *ledger = NULL;
	struct err err = {0};

	if (ledger_open(options, &ledger, &err))
		fail_msg("%s", err.text);
	return ledger;
}

static struct ledger *ledger_plain(void)
{
	struct ledger_options options = options_of();

	return ledger_new(&options);
}

static struct ledger_row request_row(enum ledger_kind kind, uint64_t request, const char *path)
{
	struct ledger_row row = {.kind = kind, .request = request, .port = 443};

	row.texts[LEDGER_ENV] = VIEW("e0123456789");
	row.texts[LEDGER_RUN] = VIEW("r0123456789");
	row.texts[LEDGER_HOST] = VIEW("api.example.com");
	row.texts[LEDGER_METHOD] = VIEW("POST");
	row.texts[LEDGER_PATH] = view_of(path);
	row.texts[LEDGER_RULE] = VIEW("policy:api");
	return row;
}

static void rows_put(struct ledger *ledger, size_t ring, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t request = ledger_request_new(ledger_ring(ledger, ring));
		struct ledger_row intent = request_row(LEDGER_INTENT, request, "/v1/messages");
		struct ledger_row outcome = request_row(LEDGER_OUTCOME, request, "/v1/messages");
		struct ledger_wait wait = {.done = NULL};

		outcome.status = 200;
		assert_int_equal(ledger_intent(ledger_ring(ledger, ring), &intent, &wait), LEDGER_TAKEN);
		ledger_put(ledger_ring(ledger, ring), &outcome);
	}
}

static void flush(struct ledger *ledger)
{
	struct err err = {0};

	if (ledger_flush(ledger, FLUSH_MS, &err))
		fail_msg("%s", err.text);
}

static struct buf said;

static void on_say(void *self, bool is_break, const char *text)
{
	(void)self;
	buf_add_format(&said, "%s: %s\n", is_break ? "break" : "note", text);
}

static struct ledger_report verify_with(const struct ledger_head *witness, size_t count)
{
	const struct ledger_checks checks = {
		.public_key = buf_view(&public_key), .witness = witness, .witness_count = count, .say = on_say};
	struct ledger_report report;
	struct err err = {0};

	buf_clear(&said);
	if (ledger_verify(dir, &checks, &report, &err))
		fail_msg("%s", err.text);
	return report;
}

static struct ledger_report verify(void)
{
	return verify_with(NULL, 0);
}

static void assert_said(const char *text)
{
	if (view_find(buf_view(&said), view_of(text)) < 0)
		fail_msg("`%s` is not in:\n%s", text, said.at ? said.at : "");
}

static char *segment_path(uint64_t number)
{
	char name[SEGMENT_NAME_MAX];

	segment_name(number, name);
	return text_format("%s/%s", dir, name);
}

/* All records of a segment: offset and length of each. */
struct place {
	size_t at, length;
	struct ledger_record record;
	char host[64];
	char *path; /* of the first PATHS_MAX */
};

#define PATHS_MAX 64
static char paths[PATHS_MAX][4096];

static size_t places_of(uint64_t number, struct place *places, size_t most)
{
	AUTO_FREE char *path = segment_path(number);
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct view bytes;
	struct err err = {0};
	size_t count = 0;
	size_t torn;

	assert_int_equal(segment_reader_open(&reader, open(path, O_RDONLY | O_CLOEXEC), 0, &err), 0);
	while (segment_read(&reader, &bytes, &record, &row, &torn, &err) == 1) {
		struct place *place = &places[count < most ? count : most - 1];

		place->at = (size_t)segment_reader_offset(&reader) - bytes.length;
		place->length = bytes.length;
		place->record = record;
		(void)snprintf(place->host, sizeof(place->host), "%.*s", (int)row.texts[LEDGER_HOST].length,
			       row.texts[LEDGER_HOST].at);
		place->path = paths[count < PATHS_MAX ? count : PATHS_MAX - 1];
		(void)snprintf(place->path, sizeof(paths[0]), "%.*s", (int)row.texts[LEDGER_PATH].length,
			       row.texts[LEDGER_PATH].at);
		count++;
	}
	segment_reader_close(&reader);
	return count;
}

#define PLACES_MAX 65536
static struct place places[PLACES_MAX];

static void bytes_change(uint64_t segment, size_t at, const void *bytes, size_t length)
{
	AUTO_FREE char *path = segment_path(segment);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, bytes, length, (off_t)at), length);
}

static int folder_new(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/assay-ledger-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int folder_remove(void **state)
{
	struct err err;

	(void)state;
	return file_remove_tree(dir, &err);
}

/* ---- stories ---- */

static void what_was_put_is_there_in_order_and_verifies(void **state)
{
	struct ledger *ledger = ledger_plain();
	struct ledger_report report;
	size_t count;

	(void)state;
	rows_put(ledger, 0, 100);
	rows_put(ledger, 1, 50);
	flush(ledger);
	ledger_close(ledger);
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_int_equal(report.rows_unsigned, 0); /* the head at the end is over the last row */
	assert_true(report.heads >= 1);
	count = places_of(1, places, PLACES_MAX);
	assert_true(count >= 302);
	assert_int_equal(places[0].record.kind, LEDGER_GENESIS);
	assert_int_equal(places[count - 1].record.kind, LEDGER_CLOSE);
	assert_string_equal(places[1].host, "api.example.com");
}

static void a_second_ledger_continues_the_first(void **state)
{
	struct ledger_report report;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct ledger *ledger = ledger_plain();

		rows_put(ledger, 0, 10);
		ledger_close(ledger);
	}
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_int_equal(report.segments, 3);
	assert_int_equal(report.sequence, report.rows);
}

static void a_full_segment_is_closed_and_the_next_goes_on(void **state)
{
	struct ledger_options options = options_of();
	struct ledger_report report;
	struct ledger *ledger;

	(void)state;
	options.segment_bytes = 20000;
	ledger = ledger_new(&options);
	for (int i = 0; i < 10; i++) {
		rows_put(ledger, 0, 50);
		flush(ledger);
	}
	ledger_close(ledger);
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_true(report.segments > 3);
	assert_true(report.rows >= 1000);
}

static void item_72_two_writers_are_refused_by_the_lock(void **state)
{
	struct ledger *ledger = ledger_plain();
	struct ledger_options options = options_of();
	struct ledger *second = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(ledger_open(&options, &second, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	ledger_close(ledger);
	ledger = ledger_plain();
	ledger_close(ledger);
}

static void item_72_line_ends_and_terminal_sequences_are_escaped(void **state)
{
	static const struct {
		const char *path, *written;
	} rows[] = {
		{"/a\r\nGET /evil", "/a\\x0d\\x0aGET /evil"},
		{"/\x1b[31mred", "/\\x1b[31mred"},
		{"/back\\x0dslash", "/back\\\\x0dslash"},
		{"/\xe2\x80\xaeltr", "/\\xe2\\x80\\xaeltr"}, /* right-to-left override */
		{"/\xc2\x9b"
		 "31m",
		 "/\\xc2\\x9b31m"},                             /* C1: a terminal's CSI */
		{"/\xff\xfe", "/\\xff\\xfe"},                   /* no UTF-8 */
		{"/gr\xc3\xbc\xc3\x9f", "/gr\xc3\xbc\xc3\x9f"}, /* a letter is a letter */
		{"/\x7f", "/\\x7f"},
	};
	struct ledger *ledger = ledger_plain();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ledger_row row = request_row(LEDGER_VERDICT, 1, rows[i].path);

		ledger_put(ledger_ring(ledger, 0), &row);
	}
	ledger_close(ledger);
	assert_int_equal(verify().breaks, 0);
	assert_true(places_of(1, places, PLACES_MAX) >= ARRAY_LEN(rows) + 2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(places[i + 1].path, rows[i].written);
}

static void item_72_a_line_longer_than_the_buffer_is_cut_and_says_so(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *path = mem_new(1 << 20);
	struct ledger_row row;

	(void)state;
	memset(path, '\n', (1 << 20) - 1);
	row = request_row(LEDGER_VERDICT, 1, path);
	for (size_t i = 0; i < LEDGER_TEXTS; i++)
		row.texts[i] = view_of(path);
	ledger_put(ledger_ring(ledger, 0), &row);
	ledger_close(ledger);
	assert_int_equal(verify().breaks, 0);
	assert_int_equal(places_of(1, places, PLACES_MAX), 3);
	assert_true(places[1].record.flags & LEDGER_CUT);
	assert_true(strlen(places[1].path) <= 2048 && strlen(places[1].path) > 2000);
}

static void item_72_a_secret_in_the_path_is_hidden(void **state)
{
	const char *path = "/v1/sk-live-1234567890/items/sk-live-1234567890";
	const struct ledger_span hidden[] = {{4, 18}, {29, 100}};
	struct ledger_row row = request_row(LEDGER_FINDING, 1, path);
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *segment = segment_path(1);
	AUTO_BUF bytes = buf_new(1 << 20);
	struct err err = {0};

	(void)state;
	row.hidden = hidden;
	row.hidden_count = 2;
	memcpy(row.digest, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
	row.offset = 4;
	ledger_put(ledger_ring(ledger, 0), &row);
	ledger_close(ledger);
	(void)places_of(1, places, PLACES_MAX);
	assert_string_equal(places[1].path, "/v1/[hidden]/items/[hidden]");
	assert_true(places[1].record.flags & LEDGER_HIDDEN);
	assert_int_equal(file_read(segment, &bytes, &err), 0);
	assert_int_equal(view_find(buf_view(&bytes), VIEW("sk-live")), -1);
}

static void item_72_a_changed_byte_is_named(void **state)
{
	struct ledger *ledger = ledger_plain();
	size_t count;

	(void)state;
	rows_put(ledger, 0, 20);
	ledger_close(ledger);
	count = places_of(1, places, PLACES_MAX);
	assert_true(count > 20);
	bytes_change(1, places[10].at + sizeof(struct ledger_record) + 2, "x", 1);
	assert_true(verify().breaks >= 1);
	assert_said("break: 0000000001.seg: the chain breaks at row 11");
}

static void item_72_a_row_taken_out_is_named(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *path = segment_path(1);
	AUTO_BUF bytes = buf_new(1 << 20);
	AUTO_BUF fewer = buf_new(1 << 20);
	struct err err = {0};

	(void)state;
	rows_put(ledger, 0, 20);
	ledger_close(ledger);
	(void)places_of(1, places, PLACES_MAX);
	assert_int_equal(file_read(path, &bytes, &err), 0);
	buf_add(&fewer, bytes.at, places[5].at);
	buf_add(&fewer, bytes.at + places[6].at, bytes.length - places[6].at);
	assert_int_equal(file_replace(path, buf_view(&fewer), 0600, &err), 0);
	assert_true(verify().breaks >= 1);
	assert_said("the chain breaks at row 7");
}

static void item_72_the_last_rows_cut_off_are_named_by_the_heads(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *path = segment_path(1);
	size_t count;

	(void)state;
	rows_put(ledger, 0, 20);
	ledger_close(ledger);
	count = places_of(1, places, PLACES_MAX);
	assert_int_equal(truncate(path, (off_t)places[count - 3].at), 0);
	assert_true(verify().breaks >= 1);
	assert_said("are gone: a head was signed over them");
}

static void item_72_rows_cut_off_with_their_heads_are_named_by_a_head_kept_elsewhere(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *path = segment_path(1);
	AUTO_FREE char *heads = text_format("%s/heads", dir);
	struct ledger_state kept;

	(void)state;
	rows_put(ledger, 0, 20);
	flush(ledger);
	do { /* the head of the first second */
		(void)usleep(10000);
		ledger_state(ledger, &kept);
	} while (!kept.head.segment);
	rows_put(ledger, 0, 1);
	ledger_close(ledger);
	(void)places_of(1, places, PLACES_MAX);
	assert_int_equal(truncate(path, (off_t)places[5].at), 0);
	assert_int_equal(truncate(heads, 0), 0);
	assert_int_equal(verify().breaks, 0); /* alone it cannot know */
	assert_int_equal(verify_with(&kept.head, 1).breaks, 1);
	assert_said("are gone: a head was signed over them");
}

static void item_72_a_segment_taken_away_is_named(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct ledger *ledger = ledger_plain();

		rows_put(ledger, 0, 5);
		ledger_close(ledger);
	}
	{
		AUTO_FREE char *path = segment_path(2);

		assert_int_equal(unlink(path), 0);
	}
	assert_true(verify().breaks >= 1);
	assert_said("segment 2, which");
	{
		AUTO_FREE char *path = segment_path(3);

		assert_int_equal(unlink(path), 0);
	}
	assert_true(verify().breaks >= 1);
	assert_said("segment 3 is gone: a head was signed over its row");
}

/* Leave to be gone is signed under a mark of its own: a head of the chain is none. */
static void item_72_a_head_is_no_leave_to_take_segments_away(void **state)
{
	struct ledger_head head;
	struct err err = {0};
	AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned char bytes[LEDGER_HEAD_BYTES];
	size_t length = sizeof(head.signature);
	size_t removed = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct ledger *ledger = ledger_plain();

		rows_put(ledger, 0, 5);
		ledger_close(ledger);
	}
	assert_int_equal(ledger_prune_find(dir_fd, INT64_MAX, 2, &head, &err), 0);
	assert_int_equal(head.segment, 1); /* the index read no further */
	assert_int_equal(ledger_prune_find(dir_fd, 1, 3, &head, &err), 0);
	assert_int_equal(head.segment, 0); /* nothing is so old */
	assert_int_equal(ledger_prune_find(dir_fd, INT64_MAX, 3, &head, &err), 0);
	assert_int_equal(head.segment, 2);
	assert_int_equal(sign(NULL, &head, &err), 0);
	assert_int_equal(ledger_prune(dir_fd, &head, &removed, &err), 0);
	assert_int_equal(removed, 2);
	assert_true(verify().breaks >= 1);
	assert_said("`pruned`, which lets the segments up to 2 be gone, is not signed by this key");
	ledger_pruned_bytes(&head, bytes);
	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, head.signature, &length, bytes, sizeof(bytes)), 1);
	EVP_MD_CTX_free(context);
	assert_int_equal(ledger_prune(dir_fd, &head, &removed, &err), 0);
	assert_int_equal(verify().breaks, 0);
	assert_int_equal(verify().pruned, head.sequence);
	head.sequence--; /* nor is what stays to begin anywhere else */
	assert_int_equal(ledger_prune(dir_fd, &head, &removed, &err), 0);
	assert_true(verify().breaks >= 1);
}

static void item_72_a_history_written_again_is_not_signed(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *heads = text_format("%s/heads", dir);
	AUTO_FREE char *kept = text_format("%s/kept", dir);
	AUTO_FREE char *path = segment_path(1);

	(void)state;
	rows_put(ledger, 0, 20);
	ledger_close(ledger);
	assert_int_equal(rename(heads, kept), 0);
	assert_int_equal(unlink(path), 0);
	ledger = ledger_plain();
	rows_put(ledger, 0, 30);
	ledger_close(ledger);
	assert_int_equal(rename(kept, heads), 0);
	assert_true(verify().breaks >= 1);
	assert_said("up to row 42 the rows are not those that were signed");
}

static void item_72_a_clock_that_was_set_back_is_told(void **state)
{
	struct ledger *ledger = ledger_plain();
	struct ledger_report report;
	AUTO_FREE char *path = segment_path(1);
	AUTO_FREE char *heads = text_format("%s/heads", dir);
	AUTO_CLOSE int fd = -1;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char chain[32] = {0};
	static unsigned char record[LEDGER_RECORD_BYTES_MAX];
	size_t count;

	(void)state;
	rows_put(ledger, 0, 5);
	ledger_close(ledger);
	count = places_of(1, places, PLACES_MAX);
	fd = open(path, O_RDWR | O_CLOEXEC);
	/* The same rows as a writer would have chained them while somebody set the clock. */
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(pread(fd, record, places[i].length, (off_t)places[i].at), places[i].length);
		if (i >= 6)
			((struct ledger_record *)(void *)record)->wall_ms -= 3600000;
		assert_int_equal(EVP_DigestInit_ex(digest, EVP_sha256(), NULL), 1);
		assert_int_equal(EVP_DigestUpdate(digest, chain, 32), 1);
		assert_int_equal(EVP_DigestUpdate(digest, record, places[i].length - 32), 1);
		assert_int_equal(EVP_DigestFinal_ex(digest, chain, NULL), 1);
		memcpy(record + places[i].length - 32, chain, 32);
		assert_int_equal(pwrite(fd, record, places[i].length, (off_t)places[i].at), places[i].length);
	}
	EVP_MD_CTX_free(digest);
	assert_int_equal(truncate(heads, 0), 0);
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_int_equal(report.notes, 1);
	assert_said("row 7: the clock was set back by 3600000 ms");
}

static void another_key_verifies_nothing(void **state)
{
	struct ledger *ledger = ledger_plain();
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	struct ledger_checks checks = {.say = on_say};
	struct ledger_report report;
	struct err err = {0};
	char *text = NULL;

	(void)state;
	rows_put(ledger, 0, 5);
	ledger_close(ledger);
	assert_int_equal(PEM_write_bio_PUBKEY(bio, other), 1);
	checks.public_key.length = (size_t)BIO_get_mem_data(bio, &text);
	checks.public_key.at = text;
	assert_int_equal(ledger_verify(dir, &checks, &report, &err), 0);
	assert_true(report.breaks >= 1);
	assert_int_equal(report.heads, 0);
	checks.public_key = VIEW("no key");
	assert_int_equal(ledger_verify(dir, &checks, &report, &err), -1);
	(void)BIO_free(bio);
	EVP_PKEY_free(other);
}

/* A child that puts numbered rows until it is killed; it tells each number that it has put through a pipe. */
static pid_t victim_start(int *told)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct ledger_options options = options_of();
		struct ledger *ledger = NULL;
		struct err err;

		options.segment_bytes = 200000;
		if (ledger_open(&options, &ledger, &err))
			_exit(1);
		for (uint64_t i = 1;; i++) {
			struct ledger_row row = request_row(LEDGER_INTENT, i, "/v1/victim");
			struct ledger_wait wait = {.done = NULL};

			while (ledger_intent(ledger_ring(ledger, 0), &row, &wait) != LEDGER_TAKEN) {
				ledger_wait_cancel(ledger_ring(ledger, 0), &wait);
				(void)usleep(1000);
			}
			if (write(ends[1], &i, sizeof(i)) != (ssize_t)sizeof(i))
				_exit(1);
		}
	}
	(void)close(ends[1]);
	*told = ends[0];
	return pid;
}

static void item_72_after_kill_9_every_row_that_was_taken_is_there_once(void **state)
{
	int rounds = getenv("ASSAY_LONG") ? 100 : 8;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		struct ledger *ledger;
		struct ledger_report report;
		uint64_t last = 0, number, expected = 1;
		uint64_t segments;
		int told = -1;
		pid_t pid = victim_start(&told);

		for (int i = 0; i < 200 + 700 * round && read(told, &number, sizeof(number)) == (ssize_t)sizeof(number); i++)
			last = number;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		while (read(told, &number, sizeof(number)) == (ssize_t)sizeof(number))
			last = number;
		(void)close(told);
		ledger = ledger_plain(); /* takes over what was in the ring */
		flush(ledger);
		ledger_close(ledger);
		report = verify();
		if (report.breaks)
			fail_msg("round %d:\n%s", round, said.at);
		segments = report.segments;
		for (uint64_t i = 1; i <= segments; i++) {
			size_t count = places_of(i, places, PLACES_MAX);

			assert_true(count <= PLACES_MAX);
			for (size_t k = 0; k < count; k++)
				if (places[k].record.kind == LEDGER_INTENT)
					assert_int_equal(places[k].record.request, expected++);
		}
		assert_true(expected > last);
		assert_true(expected <= last + 2); /* one may have been put and not told */
		assert_int_equal(folder_remove(NULL), 0);
		assert_int_equal(folder_new(NULL), 0);
	}
}

static void a_torn_last_record_is_a_note_and_the_next_segment_names_it(void **state)
{
	struct ledger *ledger = ledger_plain();
	AUTO_FREE char *path = segment_path(1);
	AUTO_FREE char *heads = text_format("%s/heads", dir);
	struct ledger_report report;
	size_t count;

	(void)state;
	rows_put(ledger, 0, 5);
	ledger_close(ledger);
	count = places_of(1, places, PLACES_MAX);
	assert_int_equal(truncate(path, (off_t)(places[count - 1].at + 50)), 0);
	assert_int_equal(truncate(heads, 0), 0);
	ledger = ledger_plain();
	rows_put(ledger, 0, 5);
	ledger_close(ledger);
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_said("note: 0000000001.seg: after row 11 50 bytes of a row were written");
	assert_int_equal(truncate(path, (off_t)(places[count - 1].at)), 0);
	assert_true(verify().breaks >= 1); /* somebody was there since */
}

/* ---- no room ---- */

static int answered_taken, answered_refused;

static void on_answer(struct ledger_wait *wait, bool taken)
{
	(void)wait;
	answered_taken += taken;
	answered_refused += !taken;
}

/* The disk is full for what is written by this process: RLIMIT_FSIZE, whose signal is off. */
static void disk_full(bool full)
{
	struct rlimit limit = {.rlim_cur = full ? 4096 : RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void item_72_with_a_full_disk_requests_wait_and_go_on_when_there_is_room(void **state)
{
	struct ledger *ledger = ledger_plain();
	struct ledger_ring *ring = ledger_ring(ledger, 0);
	static struct ledger_wait waits[100];
	struct ledger_state now;
	uint64_t taken = 0;
	int waiting = 0;

	(void)state;
	answered_taken = answered_refused = 0;
	flush(ledger);
	disk_full(true);
	while (waiting < 100) {
		struct ledger_row row = request_row(LEDGER_INTENT, 7, "/v1/full");

		waits[waiting] = (struct ledger_wait){.done = on_answer};
		if (ledger_intent(ring, &row, &waits[waiting]) == LEDGER_TAKEN)
			taken++;
		else
			waiting++;
		assert_true(taken < 1000000);
	}
	assert_true(taken > 1000);
	ledger_wait_cancel(ring, &waits[50]);
	for (int i = 0; i < 20000; i++) { /* outcomes of what is under way: kept beyond the ring */
		struct ledger_row row = request_row(LEDGER_OUTCOME, 7, "/v1/full");

		ledger_put(ring, &row);
	}
	ledger_ring_run(ring);
	assert_int_equal(answered_taken + answered_refused, 0);
	assert_true(ledger_ring_waits(ring));
	do {
		(void)usleep(1000);
		ledger_state(ledger, &now);
	} while (!now.stuck);
	disk_full(false);
	for (int i = 0; i < 30000 && answered_taken < 99; i++) {
		ledger_ring_run(ring);
		(void)usleep(1000);
	}
	assert_int_equal(answered_taken, 99);
	assert_int_equal(answered_refused, 0);
	flush(ledger);
	ledger_close(ledger);
	{
		struct ledger_report report = verify();

		if (report.breaks)
			fail_msg("%s", said.at);
		assert_true(report.rows >= taken + 99 + 20000);
	}
}

static void item_72_who_waited_too_long_is_refused(void **state)
{
	struct ledger *ledger = ledger_plain();
	struct ledger_ring *ring = ledger_ring(ledger, 0);
	struct ledger_wait wait = {.done = on_answer};
	enum ledger_answer answer = LEDGER_TAKEN;

	(void)state;
	answered_taken = answered_refused = 0;
	disk_full(true);
	while (answer == LEDGER_TAKEN) {
		struct ledger_row row = request_row(LEDGER_INTENT, 7, "/v1/full");

		answer = ledger_intent(ring, &row, &wait);
	}
	assert_int_equal(answer, LEDGER_WAITING);
	wait.until_ms = 0; /* as if the time had passed */
	ledger_ring_run(ring);
	assert_int_equal(answered_refused, 1);
	assert_false(ledger_ring_waits(ring));
	disk_full(false);
	ledger_close(ledger);
	assert_int_equal(verify().breaks, 0);
}

static void without_signatures_rows_are_written_and_nothing_claims_to_be_signed(void **state)
{
	bool gone = true;
	struct ledger_options options = options_of();
	struct ledger_report report;
	struct ledger *ledger;

	(void)state;
	options.signer.self = &gone;
	ledger = ledger_new(&options);
	rows_put(ledger, 0, 10);
	flush(ledger);
	gone = false;
	ledger_close(ledger);
	report = verify();
	assert_int_equal(report.breaks, 0);
	assert_true(report.rows >= 22);
}

static void rows_read_as_json_and_cef(void **state)
{
	static unsigned char bytes[LEDGER_RECORD_BYTES_MAX];
	struct ledger_row row = request_row(LEDGER_VERDICT, 255, "/a=b\\c|d");
	struct ledger_record record;
	struct ledger_row back;
	AUTO_BUF cef = buf_new(4096);
	AUTO_JSON json = NULL;
	struct err err = {0};
	size_t length;

	(void)state;
	row.status = 403;
	length = ledger_row_encode(&row, bytes);
	assert_int_equal(ledger_row_decode(view_make(bytes, length), &record, &back, &err), 0);
	json = ledger_row_json("gateway", &record, &back);
	assert_string_equal(json_text(json, "request", ""), "qff");
	assert_string_equal(json_text(json, "kind", ""), "verdict");
	assert_string_equal(json_text(json, "host", ""), "api.example.com");
	assert_int_equal(json_number(json, "status", 0), 403);
	ledger_row_cef(&cef, "gateway", &record, &back);
	assert_true(view_starts(buf_view(&cef), VIEW("CEF:0|Assay|assay|")));
	assert_true(view_find(buf_view(&cef), VIEW("request=/a\\=b\\\\\\\\c|d")) > 0);
	assert_true(view_find(buf_view(&cef), VIEW("cs4Label=rule cs4=policy:api")) > 0);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(ledger_row_decode(view_make(bytes, i), &record, &back, NULL), -1);
}

static void heads_and_requests_are_read_as_they_are_written(void **state)
{
	struct ledger_head head = {.writer = "serve", .segment = 3, .sequence = 77, .wall_ms = 1234};
	struct ledger_head back;
	char text[LEDGER_HEAD_TEXT_MAX];
	char request[LEDGER_REQUEST_TEXT_MAX];
	uint64_t number;
	struct err err = {0};

	(void)state;
	memset(head.chain, 0xab, sizeof(head.chain));
	memset(head.signature, 0xcd, sizeof(head.signature));
	ledger_head_format(&head, text);
	assert_int_equal(ledger_head_parse(view_of(text), &back, &err), 0);
	assert_memory_equal(&head, &back, sizeof(head));
	for (size_t i = 0; text[i]; i++)
		assert_int_equal(ledger_head_parse(view_make(text, i), &back, NULL), -1);
	ledger_request_format(UINT64_MAX, request);
	assert_int_equal(ledger_request_parse(view_of(request), &number, &err), 0);
	assert_true(number == UINT64_MAX);
	assert_int_equal(ledger_request_parse(VIEW("q"), &number, &err), -1);
	assert_int_equal(ledger_request_parse(VIEW("12"), &number, &err), -1);
	assert_int_equal(ledger_request_parse(VIEW("qxyz"), &number, &err), -1);
}

#define STORY(function) cmocka_unit_test_setup_teardown(function, folder_new, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(what_was_put_is_there_in_order_and_verifies),
		STORY(a_second_ledger_continues_the_first),
		STORY(a_full_segment_is_closed_and_the_next_goes_on),
		STORY(item_72_two_writers_are_refused_by_the_lock),
		STORY(item_72_line_ends_and_terminal_sequences_are_escaped),
		STORY(item_72_a_line_longer_than_the_buffer_is_cut_and_says_so),
		STORY(item_72_a_secret_in_the_path_is_hidden),
		STORY(item_72_a_changed_byte_is_named),
		STORY(item_72_a_row_taken_out_is_named),
		STORY(item_72_the_last_rows_cut_off_are_named_by_the_heads),
		STORY(item_72_rows_cut_off_with_their_heads_are_named_by_a_head_kept_elsewhere),
		STORY(item_72_a_segment_taken_away_is_named),
		STORY(item_72_a_head_is_no_leave_to_take_segments_away),
		STORY(item_72_a_history_written_again_is_not_signed),
		STORY(item_72_a_clock_that_was_set_back_is_told),
		STORY(another_key_verifies_nothing),
		STORY(item_72_after_kill_9_every_row_that_was_taken_is_there_once),
		STORY(a_torn_last_record_is_a_note_and_the_next_segment_names_it),
		STORY(item_72_with_a_full_disk_requests_wait_and_go_on_when_there_is_room),
		STORY(item_72_who_waited_too_long_is_refused),
		STORY(without_signatures_rows_are_written_and_nothing_claims_to_be_signed),
		cmocka_unit_test(rows_read_as_json_and_cef),
		cmocka_unit_test(heads_and_requests_are_read_as_they_are_written),
	};
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long length;
	int failed;

	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	public_key = buf_new(4096);
	said = buf_new(1 << 20);
	if (!key || PEM_write_bio_PUBKEY(bio, key) != 1)
		return 1;
	length = BIO_get_mem_data(bio, &text);
	buf_add(&public_key, text, (size_t)length);
	(void)BIO_free(bio);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	EVP_PKEY_free(key);
	buf_fini(&public_key);
	buf_fini(&said);
	return failed;
}
