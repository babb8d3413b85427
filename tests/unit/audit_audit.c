/* The control plane's ledger and the index over all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/audit_priv.h"
#include "base/file.h"
#include "base/scope.h"

static EVP_PKEY *key;
static struct buf public_key;
static char state_dir[64];
static struct audit *audit;

static int sign(void *self, struct view bytes, unsigned char signature[LEDGER_SIGNATURE_BYTES], struct err *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = LEDGER_SIGNATURE_BYTES;
	int done = EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		   EVP_DigestSign(context, signature, &length, (const unsigned char *)bytes.at, bytes.length) == 1;

	(void)self;
	EVP_MD_CTX_free(context);
	return done ? 0 : err_set(err, ERR_BROKEN, "no signature");
}

static int audit_begin(void)
{
	const struct audit_options options = {
		.state_dir = state_dir, .sign = sign, .key_id = "k", .public_key = buf_view(&public_key)};
	struct err err = {0};

	if (audit_open(&options, &audit, &err) == 0)
		return 0;
	print_error("%s\n", err.text);
	return -1;
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(state_dir, sizeof(state_dir), "/tmp/assay-audit-XXXXXX");
	return mkdtemp(state_dir) ? audit_begin() : -1;
}

static int end(void **state)
{
	(void)state;
	audit_close(audit);
	return file_remove_tree(state_dir, NULL);
}

static int gateway_sign(void *self, struct ledger_head *head, struct err *err)
{
	return audit_head_sign(self, "gateway", head, err);
}

static struct ledger *gateway_open(void)
{
	AUTO_FREE char *folder = audit_folder(audit, "gateway");
	struct ledger_options options = {.dir = folder,
					 .writer = "gateway",
					 .rings = 1,
					 .signer = {gateway_sign, audit},
					 .segment_bytes = 100000,
					 .public_key = buf_view(&public_key)};
	struct ledger *ledger = NULL;
	struct err err = {0};

	if (ledger_open(&options, &ledger, &err))
		fail_msg("%s", err.text);
	return ledger;
}

/* A thousand requests to ten hosts, each refused by one of three rules. */
static void gateway_rows(struct ledger *ledger, int count)
{
	struct err err = {0};

	for (int i = 0; i < count; i++) {
		AUTO_FREE char *host = text_format("h%d.example.com", i % 10);
		AUTO_FREE char *rule = text_format("policy:r%d", i % 3);
		struct ledger_row row = {.kind = LEDGER_VERDICT, .request = (uint64_t)i + 1, .port = 443, .status = 403};

		row.texts[LEDGER_ENV] = VIEW("e1");
		row.texts[LEDGER_RUN] = i % 2 ? VIEW("r1") : VIEW("r2");
		row.texts[LEDGER_HOST] = view_of(host);
		row.texts[LEDGER_RULE] = view_of(rule);
		ledger_put(ledger_ring(ledger, 0), &row);
		if (i % 500 == 499)
			assert_int_equal(ledger_flush(ledger, 60000, &err), 0);
	}
	assert_int_equal(ledger_flush(ledger, 60000, &err), 0);
}

static size_t found(const struct audit_query *query)
{
	struct err err = {0};
	AUTO_JSON items = audit_search(audit, query, &err);

	if (!items)
		fail_msg("%s", err.text);
	return json_array_size(items);
}

static void rows_of_all_writers_are_found_by_what_they_say(void **state)
{
	struct ledger *ledger = gateway_open();
	struct ledger_row own = audit_row(LEDGER_POLICY, NULL, NULL, NULL, "ann", "the organisation's rules were changed");
	struct err err = {0};
	AUTO_JSON items = NULL;

	(void)state;
	gateway_rows(ledger, 1000);
	assert_int_equal(audit_put(audit, &own, &err), 0);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .env = "e1"}), 1000);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .run = "r1"}), 500);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .host = "h3.example.com"}), 100);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .host = "*.example.com"}), 1000);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .host = "*.xample.com"}), 0);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .rule = "policy:r0"}), 334);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .rule = "policy:*"}), 1000);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .rule = "p_licy:*"}), 0);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .run = "r1", .rule = "policy:r0", .host = "h3.example.com"}),
			 34);
	assert_int_equal(found(&(struct audit_query){.kind = "policy"}), 1);
	assert_int_equal(found(&(struct audit_query){.request = 77}), 1);
	assert_int_equal(found(&(struct audit_query){.env = "e1"}), 100);
	assert_int_equal(found(&(struct audit_query){.until_ms = 1}), 0);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .since_ms = 1, .env = "e1"}), 1000);
	items = audit_search(audit, &(struct audit_query){.limit = 1, .env = "e1"}, &err);
	assert_string_equal(json_text(json_array_get(items, 0), "request", ""), "q3e8"); /* the newest */
	gateway_rows(ledger, 5);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .env = "e1"}), 1005);
	ledger_close(ledger);
}

static void pages_follow_each_other(void **state)
{
	struct ledger *ledger = gateway_open();
	int64_t before = 0;
	size_t all = 0;

	(void)state;
	gateway_rows(ledger, 250);
	for (;;) {
		struct err err = {0};
		AUTO_JSON items = audit_search(audit, &(struct audit_query){.env = "e1", .before = before, .limit = 100}, &err);

		assert_non_null(items);
		if (!json_array_size(items))
			break;
		all += json_array_size(items);
		before = json_number(json_array_get(items, json_array_size(items) - 1), "id", 0);
	}
	assert_int_equal(all, 250);
	ledger_close(ledger);
}

static void it_is_exported_as_cef(void **state)
{
	struct ledger *ledger = gateway_open();
	AUTO_BUF out = buf_new(1 << 20);
	struct err err = {0};

	(void)state;
	gateway_rows(ledger, 3);
	assert_int_equal(audit_export_cef(audit, &(struct audit_query){.env = "e1"}, &out, &err), 0);
	assert_true(view_starts(buf_view(&out), VIEW("CEF:0|Assay|assay|")));
	assert_true(view_find(buf_view(&out), VIEW("dhost=h0.example.com")) > 0);
	ledger_close(ledger);
}

static void all_writers_are_verified_against_the_heads_that_were_kept(void **state)
{
	struct ledger *ledger = gateway_open();
	AUTO_FREE char *folder = audit_folder(audit, "gateway");
	AUTO_FREE char *segment = text_format("%s/0000000001.seg", folder);
	AUTO_FREE char *heads = text_format("%s/heads", folder);
	struct err err = {0};
	AUTO_JSON whole = NULL;
	AUTO_JSON cut = NULL;
	AUTO_JSON kept = NULL;

	(void)state;
	gateway_rows(ledger, 100);
	ledger_close(ledger);
	whole = audit_verify(audit, &err);
	assert_true(json_flag(whole, "ok", false));
	assert_int_equal(json_array_size(json_member(whole, "writers")), 2);
	kept = audit_heads(audit, &err);
	assert_true(json_array_size(kept) >= 1);
	/* The gateway cuts off its own last rows, with their heads. */
	assert_int_equal(truncate(segment, 1024), 0);
	assert_int_equal(truncate(heads, 0), 0);
	cut = audit_verify(audit, &err);
	assert_false(json_flag(cut, "ok", true));
}

static void a_head_behind_the_last_one_is_not_signed(void **state)
{
	struct ledger_head head = {.writer = "gateway", .segment = 2, .sequence = 100};
	struct err err = {0};

	(void)state;
	assert_int_equal(audit_head_sign(audit, "gateway", &head, &err), 0);
	head.sequence = 99;
	assert_int_equal(audit_head_sign(audit, "gateway", &head, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	head = (struct ledger_head){.writer = "gateway", .segment = 1, .sequence = 200};
	assert_int_equal(audit_head_sign(audit, "gateway", &head, &err), -1);
	head = (struct ledger_head){.writer = "serve", .segment = 9, .sequence = 200};
	assert_int_equal(audit_head_sign(audit, "gateway", &head, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
}

static void the_index_goes_on_after_a_restart(void **state)
{
	struct ledger *ledger = gateway_open();

	(void)state;
	gateway_rows(ledger, 100);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .env = "e1"}), 100);
	ledger_close(ledger);
	audit_close(audit);
	assert_int_equal(audit_begin(), 0);
	ledger = gateway_open();
	gateway_rows(ledger, 100);
	assert_int_equal(found(&(struct audit_query){.limit = 10000, .env = "e1"}), 200);
	ledger_close(ledger);
}

/* Until something has left: the newest segment must be a millisecond old. */
static void retain(int64_t *pruned)
{
	for (*pruned = 0; !*pruned;) {
		struct err err = {0};
		AUTO_JSON judged = NULL;
		size_t i;
		json_t *writer;

		assert_int_equal(audit_index(audit, INT64_MAX, &err), 0);
		if (audit_retain(audit, 1, &err))
			fail_msg("%s", err.text);
		judged = audit_verify(audit, &err);
		assert_true(json_flag(judged, "ok", false));
		json_array_foreach(json_member(judged, "writers"), i, writer)
			if (strcmp(json_text(writer, "writer", ""), "gateway") == 0)
				*pruned = json_number(writer, "pruned", 0);
	}
}

static void old_segments_leave_and_what_stays_verifies(void **state)
{
	struct ledger *ledger = gateway_open();
	AUTO_FREE char *folder = audit_folder(audit, "gateway");
	AUTO_FREE char *first = text_format("%s/0000000001.seg", folder);
	AUTO_FREE char *pruned_file = text_format("%s/pruned", folder);
	AUTO_JSON judged = NULL;
	struct err err = {0};
	int64_t pruned;
	size_t before;

	(void)state;
	gateway_rows(ledger, 2000);
	before = found(&(struct audit_query){.limit = 10000, .env = "e1"});
	assert_int_equal(before, 2000);
	assert_int_equal(audit_retain(audit, 0, &err), 0); /* for ever */
	assert_int_equal(audit_retain(audit, (int64_t)24 * 3600 * 1000, &err), 0);
	assert_true(file_exists(first));
	retain(&pruned);
	assert_false(file_exists(first));
	assert_true(found(&(struct audit_query){.limit = 10000, .env = "e1"}) < before);
	assert_true(found(&(struct audit_query){.limit = 10000, .kind = "policy"}) >= 1); /* its leaving is a row */
	gateway_rows(ledger, 1000);
	ledger_close(ledger);
	judged = audit_verify(audit, &err);
	assert_true(json_flag(judged, "ok", false));
	/* Without the signature it is a loss, as ever. */
	assert_int_equal(unlink(pruned_file), 0);
	json_decref(judged);
	judged = audit_verify(audit, &err);
	assert_false(json_flag(judged, "ok", true));
}

static void what_does_not_hold_does_not_leave(void **state)
{
	struct ledger *ledger = gateway_open();
	AUTO_FREE char *folder = audit_folder(audit, "gateway");
	AUTO_FREE char *first = text_format("%s/0000000001.seg", folder);
	struct err err = {0};
	FILE *file;

	(void)state;
	gateway_rows(ledger, 2000);
	ledger_close(ledger);
	assert_int_equal(audit_index(audit, INT64_MAX, &err), 0);
	file = fopen(first, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 3000, SEEK_SET), 0);
	assert_int_equal(fputs("changed", file) < 0, 0);
	assert_int_equal(fclose(file), 0);
	while (!audit_retain(audit, 1, &err)) /* until it is old enough */
		assert_true(file_exists(first));
	assert_int_equal(err.kind, ERR_BROKEN);
	assert_true(file_exists(first));
}

static void heads_that_cannot_be_read_are_no_empty_list(void **state)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	(void)state;
	assert_int_equal(store_begin(audit->store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "DROP TABLE ledger_witness", NO_VALUES, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	assert_null(audit_verify(audit, &err));
	assert_int_not_equal(err.kind, ERR_NONE);
}

#define STORY(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(rows_of_all_writers_are_found_by_what_they_say),
		STORY(pages_follow_each_other),
		STORY(it_is_exported_as_cef),
		STORY(all_writers_are_verified_against_the_heads_that_were_kept),
		STORY(a_head_behind_the_last_one_is_not_signed),
		STORY(the_index_goes_on_after_a_restart),
		STORY(old_segments_leave_and_what_stays_verifies),
		STORY(what_does_not_hold_does_not_leave),
		STORY(heads_that_cannot_be_read_are_no_empty_list),
	};
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long length;
	int failed;

	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	public_key = buf_new(4096);
	if (!key || PEM_write_bio_PUBKEY(bio, key) != 1)
		return 1;
	length = BIO_get_mem_data(bio, &text);
	buf_add(&public_key, text, (size_t)length);
	(void)BIO_free(bio);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	EVP_PKEY_free(key);
	buf_fini(&public_key);
	return failed;
}
