/* The verifier: reads every record once, and holds it against the chain, its neighbours and the heads. */
#include "ledger/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "ledger/prune.h"

#define HEADS_BYTES_MAX ((size_t)1 << 30)
#define CLOCK_JUMP_MS 1000 /* less is adjusted all the time */
#define SAYS_MAX 1000      /* lines; the count goes on */

struct heads {
	struct ledger_head *at;
	size_t count, room;
};

struct verify {
	const struct ledger_checks *checks;
	struct ledger_report *report;
	EVP_PKEY *key;
	EVP_MD_CTX *digest;
	struct heads heads; /* of the file and of the witness, by segment and sequence */
	size_t next_head;
	/* the segment that is read */
	uint64_t segment;
	char name[SEGMENT_NAME_MAX];
	unsigned char chain[LEDGER_CHAIN_BYTES];
	uint64_t sequence; /* of the last row */
	uint64_t rows_here;
	uint64_t signed_sequence; /* of the last good head */
	bool closed;
	uint64_t first_segment; /* older ones may be gone */
	bool clock_known;
	int64_t clock_offset_ms;
	char boot[64];
	/* the one before */
	bool previous_known;
	bool pruned; /* and gone: how many bytes were torn at its end is not known */
	uint64_t previous_segment, previous_sequence, previous_torn;
	unsigned char previous_chain[LEDGER_CHAIN_BYTES];
};

static void say(struct verify *verify, bool is_break, const char *format, ...) PRINTF_LIKE(3, 4);
static void say(struct verify *verify, bool is_break, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	if (is_break)
		verify->report->breaks++;
	else
		verify->report->notes++;
	if (!verify->checks->say || verify->report->breaks + verify->report->notes > SAYS_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	verify->checks->say(verify->checks->self, is_break, text);
}

/* ---- heads ---- */

static bool signature_good(EVP_PKEY *key, const unsigned char signature[LEDGER_SIGNATURE_BYTES],
			   const unsigned char bytes[LEDGER_HEAD_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature, LEDGER_SIGNATURE_BYTES, bytes, LEDGER_HEAD_BYTES) == 1;

	EVP_MD_CTX_free(context);
	return good;
}

static EVP_PKEY *key_parse(struct view pem)
{
	BIO *bio = pem.length && pem.length < 4096 ? BIO_new_mem_buf(pem.at, (int)pem.length) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	(void)BIO_free(bio);
	if (key && EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static bool head_good(const struct ledger_head *head, EVP_PKEY *key)
{
	unsigned char bytes[LEDGER_HEAD_BYTES];

	ledger_head_bytes(head, bytes);
	return signature_good(key, head->signature, bytes);
}

bool ledger_head_good(const struct ledger_head *head, struct view public_key)
{
	EVP_PKEY *key = key_parse(public_key);
	bool good = key && head_good(head, key);

	EVP_PKEY_free(key);
	return good;
}

static void heads_add(struct heads *heads, const struct ledger_head *head)
{
	if (heads->count == heads->room) {
		heads->room = heads->room ? heads->room * 2 : 64;
		heads->at = mem_grow(heads->at, heads->room, sizeof(*heads->at));
	}
	heads->at[heads->count++] = *head;
}

static int head_compare(const void *a, const void *b)
{
	const struct ledger_head *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int heads_load(struct verify *verify, int dir_fd, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, LEDGER_HEADS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_BUF text = buf_new(HEADS_BYTES_MAX);
	struct view rest;
	struct ledger_head head;
	size_t line = 0;

	if (fd < 0 && errno != ENOENT)
		return err_errno(err, errno, "cannot open the ledger's heads");
	if (fd >= 0 && file_read_fd(fd, &text, err))
		return -1;
	rest = buf_view(&text);
	while (rest.length) {
		struct view words = view_trim(view_cut(rest, '\n', &rest));

		line++;
		if (!words.length)
			continue;
		if (ledger_head_parse(words, &head, NULL))
			say(verify, rest.at != NULL, "heads, line %zu: no head", line); /* the last one may be half written */
		else
			heads_add(&verify->heads, &head);
	}
	for (size_t i = 0; i < verify->checks->witness_count; i++)
		heads_add(&verify->heads, &verify->checks->witness[i]);
	if (verify->heads.count)
		qsort(verify->heads.at, verify->heads.count, sizeof(*verify->heads.at), head_compare);
	return 0;
}

static void head_check(struct verify *verify, const struct ledger_head *head, const unsigned char *chain)
{
	if (!head_good(head, verify->key)) {
		say(verify, true, "%s: the head of row %llu is not signed by this key", verify->name,
		    (unsigned long long)head->sequence);
		return;
	}
	if (memcmp(head->chain, chain, LEDGER_CHAIN_BYTES) != 0) {
		say(verify, true, "%s: up to row %llu the rows are not those that were signed", verify->name,
		    (unsigned long long)head->sequence);
		return;
	}
	verify->report->heads++;
	if (head->sequence > verify->signed_sequence)
		verify->signed_sequence = head->sequence;
}

/* Those of the row just read. */
static void heads_meet(struct verify *verify)
{
	for (; verify->next_head < verify->heads.count; verify->next_head++) {
		const struct ledger_head *head = &verify->heads.at[verify->next_head];

		if (strcmp(head->writer, verify->report->writer) != 0)
			continue;
		if (head->segment > verify->segment || (head->segment == verify->segment && head->sequence > verify->sequence))
			return;
		if (head->segment == verify->segment && head->sequence == verify->sequence)
			head_check(verify, head, verify->chain);
		else if (head->segment == verify->segment)
			say(verify, true, "%s: row %llu, which a head speaks of, is not there", verify->name,
			    (unsigned long long)head->sequence);
		else if (head->segment >= verify->first_segment)
			say(verify, true, "segment %llu, which a head speaks of, is not there", (unsigned long long)head->segment);
	}
}

/* At the end of a segment: heads of it that are still ahead speak of rows that are gone. */
static void heads_missing(struct verify *verify)
{
	const struct ledger_head *last = NULL;

	for (; verify->next_head < verify->heads.count; verify->next_head++) {
		const struct ledger_head *head = &verify->heads.at[verify->next_head];

		if (head->segment > verify->segment)
			break;
		if (strcmp(head->writer, verify->report->writer) == 0 && head_good(head, verify->key))
			last = head;
		else if (strcmp(head->writer, verify->report->writer) == 0)
			say(verify, true, "%s: the head of row %llu is not signed by this key", verify->name,
			    (unsigned long long)head->sequence);
	}
	if (last)
		say(verify, true, "%s: rows %llu to %llu are gone: a head was signed over them", verify->name,
		    (unsigned long long)verify->sequence + 1, (unsigned long long)last->sequence);
}

/* ---- rows ---- */

static void clock_check(struct verify *verify, const struct ledger_record *record)
{
	int64_t offset_ms = record->wall_ms - (int64_t)(record->elapsed_us / 1000);

	if (verify->clock_known &&
	    (offset_ms < verify->clock_offset_ms - CLOCK_JUMP_MS || offset_ms > verify->clock_offset_ms + CLOCK_JUMP_MS))
		say(verify, false, "%s, row %llu: the clock was set %s by %lld ms", verify->name,
		    (unsigned long long)record->sequence, offset_ms < verify->clock_offset_ms ? "back" : "forward",
		    (long long)(offset_ms < verify->clock_offset_ms ? verify->clock_offset_ms - offset_ms
								    : offset_ms - verify->clock_offset_ms));
	verify->clock_known = true;
	verify->clock_offset_ms = offset_ms;
	if (!verify->report->first_ms)
		verify->report->first_ms = record->wall_ms;
	verify->report->last_ms = record->wall_ms;
}

/* What the first record says of the one before. */
static void genesis_check(struct verify *verify, const struct ledger_record *record, const struct ledger_row *row)
{
	AUTO_JSON detail = row->kind == LEDGER_GENESIS ? json_parse(row->texts[LEDGER_DETAIL], NULL) : NULL;
	const json_t *previous = json_member(detail, "previous");
	const char *writer = json_text(detail, "writer", "");
	const char *boot = json_text(detail, "boot", "");
	AUTO_BUF chain = buf_new(2 * LEDGER_CHAIN_BYTES);

	if (!detail || json_number(detail, "segment", 0) != (int64_t)verify->segment || strlen(writer) >= LEDGER_WRITER_MAX) {
		say(verify, true, "%s: its first row does not begin this segment", verify->name);
		return;
	}
	if (verify->report->writer[0] && strcmp(verify->report->writer, writer) != 0)
		say(verify, true, "%s: it was written by `%s`, those before by `%s`", verify->name, writer, verify->report->writer);
	(void)snprintf(verify->report->writer, sizeof(verify->report->writer), "%s", writer);
	if (strncmp(verify->boot, boot, sizeof(verify->boot) - 1) != 0)
		verify->clock_known = false; /* the machine was started since */
	(void)snprintf(verify->boot, sizeof(verify->boot), "%s", boot);
	if (!verify->previous_known) {
		if (verify->segment > 1 && verify->segment > verify->first_segment)
			say(verify, true, "%s: the segments before it are not there", verify->name);
		return;
	}
	buf_add_hex(&chain, verify->previous_chain, LEDGER_CHAIN_BYTES);
	if (json_number(previous, "segment", 0) != (int64_t)verify->previous_segment)
		say(verify, true, "%s: segment %lld, which it continues, is not there", verify->name,
		    (long long)json_number(previous, "segment", 0));
	else if (json_number(previous, "sequence", 0) != (int64_t)verify->previous_sequence ||
		 strcmp(json_text(previous, "chain", ""), chain.at) != 0)
		say(verify, true, "%s: it continues row %lld of the segment before, whose last row is %llu%s", verify->name,
		    (long long)json_number(previous, "sequence", 0), (unsigned long long)verify->previous_sequence,
		    json_number(previous, "sequence", 0) == (int64_t)verify->previous_sequence ? " and another" : "");
	else if (!verify->pruned && json_number(previous, "torn", 0) != (int64_t)verify->previous_torn)
		say(verify, true, "segment %llu: %llu bytes follow its last row, its successor saw %lld",
		    (unsigned long long)verify->previous_segment, (unsigned long long)verify->previous_torn,
		    (long long)json_number(previous, "torn", 0));
	if (record->sequence != verify->previous_sequence + 1)
		say(verify, true, "%s: its first row is %llu, after %llu", verify->name, (unsigned long long)record->sequence,
		    (unsigned long long)verify->previous_sequence);
}

/* false: the chain does not hold, and nothing after it can be believed. */
static bool row_check(struct verify *verify, struct view bytes, const struct ledger_record *record, const struct ledger_row *row)
{
	size_t body = bytes.length - LEDGER_CHAIN_BYTES;
	unsigned char chain[LEDGER_CHAIN_BYTES];
	struct ledger_head head;

	if (EVP_DigestInit_ex(verify->digest, NULL, NULL) != 1 ||
	    EVP_DigestUpdate(verify->digest, verify->chain, LEDGER_CHAIN_BYTES) != 1 ||
	    EVP_DigestUpdate(verify->digest, bytes.at, body) != 1 || EVP_DigestFinal_ex(verify->digest, chain, NULL) != 1)
		abort();
	if (memcmp(chain, bytes.at + body, LEDGER_CHAIN_BYTES) != 0) {
		say(verify, true, "%s: the chain breaks at row %llu: this row, or the one before, is not what was written",
		    verify->name, (unsigned long long)record->sequence);
		return false;
	}
	if (!verify->rows_here)
		genesis_check(verify, record, row);
	else if (record->sequence != verify->sequence + 1)
		say(verify, true, "%s: row %llu follows row %llu", verify->name, (unsigned long long)record->sequence,
		    (unsigned long long)verify->sequence);
	if (verify->rows_here && row->kind == LEDGER_GENESIS)
		say(verify, true, "%s: row %llu begins a segment within one", verify->name, (unsigned long long)record->sequence);
	if (verify->closed)
		say(verify, true, "%s: row %llu follows the end", verify->name, (unsigned long long)record->sequence);
	memcpy(verify->chain, chain, sizeof(chain));
	verify->sequence = record->sequence;
	verify->closed = row->kind == LEDGER_CLOSE;
	verify->rows_here++;
	verify->report->rows++;
	clock_check(verify, record);
	heads_meet(verify);
	if (row->kind == LEDGER_HEAD &&
	    (ledger_head_parse(row->texts[LEDGER_DETAIL], &head, NULL) || !head_good(&head, verify->key)))
		say(verify, true, "%s: row %llu is a head that is not signed by this key", verify->name,
		    (unsigned long long)record->sequence);
	return true;
}

/* ---- segments ---- */

static int segment_check(struct verify *verify, int dir_fd, const char *name, bool newest, struct err *err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct view bytes;
	struct err problem;
	size_t torn = 0;
	int got;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", name);
	(void)segment_number(name, &verify->segment);
	(void)snprintf(verify->name, sizeof(verify->name), "%s", name);
	verify->rows_here = 0;
	verify->closed = false;
	memset(verify->chain, 0, sizeof(verify->chain));
	verify->report->segments++;
	if (segment_reader_open(&reader, fd, 0, &problem)) {
		say(verify, true, "%s: %s", name, problem.text);
		return 0;
	}
	while ((got = segment_read(&reader, &bytes, &record, &row, &torn, &problem)) == 1)
		if (!row_check(verify, bytes, &record, &row))
			break;
	if (got < 0)
		say(verify, true, "%s, after row %llu, at byte %llu: %s", name, (unsigned long long)verify->sequence,
		    (unsigned long long)segment_reader_offset(&reader), problem.text);
	segment_reader_close(&reader);
	heads_missing(verify);
	if (torn)
		say(verify, false, "%s: after row %llu %zu bytes of a row were written when its writer stopped", name,
		    (unsigned long long)verify->sequence, torn);
	else if (got == 0 && !verify->closed && !newest)
		say(verify, false, "%s: its writer stopped without closing it", name);
	verify->previous_known = verify->rows_here > 0;
	verify->pruned = false;
	verify->previous_segment = verify->segment;
	verify->previous_sequence = verify->sequence;
	verify->previous_torn = torn;
	memcpy(verify->previous_chain, verify->chain, sizeof(verify->chain));
	return 0;
}

/* Segments that were let go, under a signature: the first that is there continues the last of them. */
static void pruned_take(struct verify *verify, int dir_fd, const char *first)
{
	unsigned char bytes[LEDGER_HEAD_BYTES];
	struct ledger_head head;
	struct err problem;
	uint64_t number = 0;

	verify->first_segment = verify->checks->first_segment;
	if (ledger_pruned_read(dir_fd, &head, &problem)) {
		say(verify, true, "%s", problem.text);
		return;
	}
	if (!head.segment)
		return;
	ledger_pruned_bytes(&head, bytes);
	if (!signature_good(verify->key, head.signature, bytes)) {
		say(verify, true, "`" LEDGER_PRUNED_FILE "`, which lets the segments up to %llu be gone, is not signed by this key",
		    (unsigned long long)head.segment);
		return;
	}
	if (head.segment + 1 > verify->first_segment)
		verify->first_segment = head.segment + 1;
	(void)snprintf(verify->report->writer, sizeof(verify->report->writer), "%s", head.writer);
	verify->report->pruned = head.sequence;
	if (!segment_number(first, &number) || number <= head.segment)
		return;
	verify->previous_known = verify->pruned = true;
	verify->previous_segment = head.segment;
	verify->previous_sequence = head.sequence;
	memcpy(verify->previous_chain, head.chain, sizeof(verify->previous_chain));
}

static int segments_check(struct verify *verify, int dir_fd, struct err *err)
{
	AUTO_FREE char **names = NULL;
	uint64_t last = verify->checks->last_segment;
	size_t count = 0;
	int failed = 0;

	if (ledger_segments(dir_fd, &names, &count, err))
		return -1;
	pruned_take(verify, dir_fd, count ? names[0] : "");
	for (size_t i = 0; i < count; i++) {
		uint64_t number = 0;
		bool wanted = segment_number(names[i], &number) && (!last || number <= last);

		failed = failed || (wanted && segment_check(verify, dir_fd, names[i], i + 1 == count, err));
		free(names[i]);
	}
	if (failed)
		return -1;
	for (; verify->next_head < verify->heads.count; verify->next_head++) {
		const struct ledger_head *head = &verify->heads.at[verify->next_head];

		if ((!last || head->segment <= last) && (strcmp(head->writer, verify->report->writer) == 0 || !count) &&
		    head_good(head, verify->key))
			say(verify, true, "segment %llu is gone: a head was signed over its row %llu",
			    (unsigned long long)head->segment, (unsigned long long)head->sequence);
	}
	if (!count)
		say(verify, verify->checks->witness_count > 0, "there is no segment");
	return 0;
}

int ledger_verify(const char *dir, const struct ledger_checks *checks, struct ledger_report *report, struct err *err)
{
	AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct verify verify = {.checks = checks, .report = report};
	AUTO_BUF chain = buf_new(2 * LEDGER_CHAIN_BYTES);
	int failed = -1;

	*report = (struct ledger_report){.segments = 0};
	if (dir_fd < 0)
		return err_errno(err, errno, "cannot open %s", dir);
	verify.key = key_parse(checks->public_key);
	verify.digest = EVP_MD_CTX_new();
	if (!verify.key)
		(void)err_set(err, ERR_INVALID, "the public key is none: an Ed25519 key as PEM is expected");
	else if (verify.digest && EVP_DigestInit_ex(verify.digest, EVP_sha256(), NULL) == 1)
		failed = heads_load(&verify, dir_fd, err) || segments_check(&verify, dir_fd, err);
	else
		(void)err_set(err, ERR_BROKEN, "SHA-256 is not there");
	report->sequence = verify.sequence;
	report->rows_unsigned = verify.sequence -
				(verify.signed_sequence < verify.sequence ? verify.signed_sequence : verify.sequence);
	buf_add_hex(&chain, verify.chain, LEDGER_CHAIN_BYTES);
	memcpy(report->chain, chain.at, sizeof(report->chain));
	free(verify.heads.at);
	EVP_MD_CTX_free(verify.digest);
	EVP_PKEY_free(verify.key);
	return failed ? -1 : 0;
}
