/* Records: made, signed, verified, and refused after any change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "verify/record.h"

static EVP_PKEY *pair;
static char pem[512];

static int sign(void *self, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = 64;
	bool good = EVP_DigestSignInit(context, NULL, NULL, NULL, self) == 1 &&
		    EVP_DigestSign(context, signature, &length, (const unsigned char *)bytes.at, bytes.length) == 1;

	EVP_MD_CTX_free(context);
	memcpy(key_id, digest_of(view_of(pem)).text, 65);
	return good ? 0 : err_set(err, ERR_BROKEN, "cannot sign");
}

static json_t *report_make(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:i, s:s}, s:s, s:[{s:s, s:s}], s:[], s:[], s:[s], s:[]}",
			 "verdict", "verified", "reason", "all gates passed", "repository", "shop", "base",
			 "1111111111111111111111111111111111111111", "base_tree", "2222222222222222222222222222222222222222",
			 "head", "3333333333333333333333333333333333333333", "head_tree",
			 "4444444444444444444444444444444444444444", "snapshot", "name", "shop", "version", 3, "digest", "55",
			 "blueprint_digest", "66", "gates", "name", "deploy", "status", "pass", "findings", "noise", "not_covered",
			 "service pricing: no exchange", "artefacts");
}

static void envelope_make(struct buf *envelope)
{
	AUTO_JSON report = report_make();
	struct err err = {0};

	assert_int_equal(record_make(report, "previous-digest", (struct signer){sign, pair}, envelope, &err), 0);
}

static void a_record_says_what_was_proven_and_for_which_commits(void **state)
{
	AUTO_BUF envelope = buf_new((size_t)1 << 20);
	AUTO_JSON statement = NULL;
	const json_t *predicate;
	const json_t *digest;
	struct err err = {0};

	(void)state;
	envelope_make(&envelope);
	assert_null(strchr(envelope.at, '\n'));
	assert_int_equal(record_verify(buf_view(&envelope), view_of(pem), &statement, &err), 0);
	digest = json_member(json_array_get(json_member(statement, "subject"), 0), "digest");
	assert_string_equal(json_text(digest, "gitCommit", ""), "3333333333333333333333333333333333333333");
	assert_string_equal(json_text(digest, "gitTree", ""), "4444444444444444444444444444444444444444");
	predicate = json_member(statement, "predicate");
	assert_string_equal(json_text(predicate, "verdict", ""), "verified");
	assert_string_equal(json_text(predicate, "previous", ""), "previous-digest");
	assert_string_equal(json_text(json_member(predicate, "base"), "gitTree", ""), "2222222222222222222222222222222222222222");
	assert_int_equal(json_number(json_member(predicate, "snapshot"), "version", 0), 3);
	assert_int_equal(json_array_size(json_member(predicate, "not_covered")), 1);
}

/* The statement of a line. */
static json_t *line_statement(struct view line)
{
	AUTO_JSON outer = json_parse(line, NULL);
	AUTO_BUF body = buf_new((size_t)1 << 20);

	assert_int_equal(buf_add_unbase64(&body, view_of(json_text(outer, "payload", "")), NULL), 0);
	return json_parse(buf_view(&body), NULL);
}

static void bundle_make(const json_t *report, struct buf *envelope, struct buf *bundle)
{
	struct err err = {0};

	assert_int_equal(record_make(report, "", (struct signer){sign, pair}, envelope, &err), 0);
	assert_int_equal(record_bundle(buf_view(envelope), (struct signer){sign, pair}, bundle, &err), 0);
}

static void a_bundle_says_the_verdict_in_standard_forms(void **state)
{
	static const struct {
		const char *verdict, *gates, *findings, *result, *passed, *warned, *failed, *summary, *level;
	} rows[] = {
		{"verified", "[{\"name\": \"tests\", \"status\": \"pass\"}, {\"name\": \"race\", \"status\": \"skipped\"}]", "[]",
		 "PASSED", "[\"tests\"]", "[]", "[]", "PASSED", "ASSAY_BEHAVIOUR_VERIFIED"},
		{"verified", "[{\"name\": \"tests\", \"status\": \"pass\"}, {\"name\": \"scan\", \"status\": \"pass\"}]",
		 "[{\"gate\": \"scan\", \"severity\": \"warn\"}, {\"gate\": \"tests\", \"severity\": \"info\"}]", "WARNED",
		 "[\"tests\"]", "[\"scan\"]", "[]", "PASSED", "ASSAY_BEHAVIOUR_VERIFIED"},
		{"failed", "[{\"name\": \"tests\", \"status\": \"pass\"}, {\"name\": \"replay\", \"status\": \"fail\"}]",
		 "[{\"gate\": \"replay\", \"severity\": \"block\"}]", "FAILED", "[\"tests\"]", "[]", "[\"replay\"]", "FAILED",
		 "FAILED"},
		{"unverified", "[{\"name\": \"replay\", \"status\": \"unstable\"}]", "[]", "FAILED", "[]", "[\"replay\"]", "[]",
		 "FAILED", "FAILED"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF envelope = buf_new((size_t)1 << 20);
		AUTO_BUF bundle = buf_new((size_t)1 << 20);
		AUTO_JSON report = report_make();
		AUTO_JSON passed = json_parse(view_of(rows[i].passed), NULL);
		AUTO_JSON warned = json_parse(view_of(rows[i].warned), NULL);
		AUTO_JSON failed = json_parse(view_of(rows[i].failed), NULL);
		AUTO_JSON tests = NULL;
		AUTO_JSON summary = NULL;
		AUTO_JSON statement = NULL;
		const json_t *predicate;
		struct view rest;
		struct err err = {0};

		(void)json_object_set_new(report, "verdict", json_string(rows[i].verdict));
		(void)json_object_set_new(report, "gates", json_parse(view_of(rows[i].gates), NULL));
		(void)json_object_set_new(report, "findings", json_parse(view_of(rows[i].findings), NULL));
		(void)json_object_set_new(report, "started_ms", json_integer(1770000000000));
		(void)json_object_set_new(report, "ms", json_integer(2500));
		bundle_make(report, &envelope, &bundle);
		rest = buf_view(&bundle);
		tests = line_statement(view_cut(rest, '\n', &rest));
		assert_string_equal(json_text(tests, "predicateType", ""), "https://in-toto.io/attestation/test-result/v0.1");
		predicate = json_member(tests, "predicate");
		assert_string_equal(json_text(predicate, "result", ""), rows[i].result);
		assert_true(json_equal(json_member(predicate, "passedTests"), passed));
		assert_true(json_equal(json_member(predicate, "warnedTests"), warned));
		assert_true(json_equal(json_member(predicate, "failedTests"), failed));
		assert_int_equal(json_array_size(json_member(predicate, "configuration")), 1);
		summary = line_statement(view_cut(rest, '\n', &rest));
		assert_string_equal(json_text(summary, "predicateType", ""), "https://slsa.dev/verification_summary/v1");
		predicate = json_member(summary, "predicate");
		assert_string_equal(json_text(predicate, "verificationResult", ""), rows[i].summary);
		assert_string_equal(json_string_value(json_array_get(json_member(predicate, "verifiedLevels"), 0)), rows[i].level);
		assert_string_equal(json_text(predicate, "timeVerified", ""), "2026-02-02T02:40:02.500Z");
		assert_string_equal(json_text(predicate, "resourceUri", ""), "git:shop@3333333333333333333333333333333333333333");
		assert_true(json_equal(json_member(summary, "subject"), json_member(tests, "subject")));
		assert_true(view_equal(rest, buf_view(&envelope))); /* the record comes last */
		assert_int_equal(record_bundle_verify(buf_view(&bundle), view_of(pem), &statement, &err), 0);
		assert_string_equal(json_text(json_member(statement, "predicate"), "verdict", ""), rows[i].verdict);
	}
}

/* Lines that are each signed, and do not belong together. */
static void a_bundle_is_not_put_together_of_others(void **state)
{
	struct buf envelopes[2] = {buf_new((size_t)1 << 20), buf_new((size_t)1 << 20)};
	struct buf bundles[2] = {buf_new((size_t)1 << 20), buf_new((size_t)1 << 20)};
	struct view lines[2][3];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_JSON report = report_make();
		struct view rest;

		if (i)
			(void)json_object_set_new(report, "verdict", json_string("failed"));
		bundle_make(report, &envelopes[i], &bundles[i]);
		rest = buf_view(&bundles[i]);
		for (size_t k = 0; k < 3; k++)
			lines[i][k] = view_cut(rest, '\n', &rest);
	}
	for (size_t i = 0; i < 8; i++) {
		AUTO_BUF text = buf_new((size_t)1 << 20);
		AUTO_JSON statement = NULL;
		struct err err = {0};
		bool own = (i & 2) >> 1 == (i & 4) >> 2; /* the summary is of this record */

		for (size_t k = 0; k < 3; k++) {
			buf_add_view(&text, lines[(i >> k) & 1][k]);
			buf_add_char(&text, '\n');
		}
		assert_int_equal(record_bundle_verify(buf_view(&text), view_of(pem), &statement, &err), own ? 0 : -1);
		if (!own)
			assert_int_equal(err.kind, ERR_DENIED);
	}
	for (size_t i = 0; i < bundles[0].length; i += 97) { /* and what is signed cannot be changed */
		AUTO_BUF text = buf_new((size_t)1 << 20);
		AUTO_JSON statement = NULL;
		struct view rest;

		buf_add_view(&text, buf_view(&bundles[0]));
		text.at[i] = text.at[i] == 'A' ? 'B' : 'A';
		if (record_bundle_verify(buf_view(&text), view_of(pem), &statement, NULL))
			continue;
		rest = buf_view(&text);
		for (size_t k = 0; k < 3; k++) {
			AUTO_JSON said = line_statement(view_cut(rest, '\n', &rest));
			AUTO_JSON meant = line_statement(lines[0][k]);

			assert_true(json_equal(said, meant));
		}
	}
	for (size_t i = 0; i < 2; i++) {
		buf_fini(&envelopes[i]);
		buf_fini(&bundles[i]);
	}
}

static void a_record_of_several_repositories_is_about_the_head_of_each(void **state)
{
	AUTO_BUF envelope = buf_new((size_t)1 << 20);
	AUTO_JSON report = report_make();
	AUTO_JSON statement = NULL;
	const json_t *second;
	const json_t *listed;
	struct err err = {0};

	(void)state;
	(void)json_object_set_new(report, "repositories",
				  json_pack("[{s:s, s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s, s:s}]", "name", "shop", "base", "a1",
					    "base_tree", "a2", "head", "a3", "head_tree", "a4", "name", "lib", "base", "b1",
					    "base_tree", "b2", "head", "b3", "head_tree", "b4"));
	assert_int_equal(record_make(report, "", (struct signer){sign, pair}, &envelope, &err), 0);
	assert_int_equal(record_verify(buf_view(&envelope), view_of(pem), &statement, &err), 0);
	assert_int_equal(json_array_size(json_member(statement, "subject")), 2);
	second = json_array_get(json_member(statement, "subject"), 1);
	assert_string_equal(json_text(second, "name", ""), "lib");
	assert_string_equal(json_text(json_member(second, "digest"), "gitCommit", ""), "b3");
	listed = json_array_get(json_member(json_member(statement, "predicate"), "repositories"), 1);
	assert_string_equal(json_text(json_member(listed, "base"), "gitTree", ""), "b2");
}

/* Every bit of the payload, flipped alone, makes the record wrong or malformed, and never good. */
static void one_flipped_bit_fails(void **state)
{
	AUTO_BUF envelope = buf_new((size_t)1 << 20);
	AUTO_JSON outer = NULL;
	AUTO_BUF body = buf_new((size_t)1 << 20);
	struct err err = {0};
	int denied = 0;

	(void)state;
	envelope_make(&envelope);
	outer = json_parse(buf_view(&envelope), &err);
	assert_int_equal(buf_add_unbase64(&body, view_of(json_text(outer, "payload", "")), &err), 0);
	for (size_t bit = 0; bit < body.length * 8; bit += 7) {
		AUTO_BUF changed = buf_new((size_t)1 << 20);
		AUTO_BUF text = buf_new((size_t)1 << 20);
		AUTO_JSON statement = NULL;

		body.at[bit / 8] = (char)(body.at[bit / 8] ^ (1 << (bit % 8)));
		buf_add_base64(&text, body.at, body.length);
		body.at[bit / 8] = (char)(body.at[bit / 8] ^ (1 << (bit % 8)));
		(void)json_object_set_new(outer, "payload", json_string(text.at));
		json_format(&changed, outer);
		assert_int_equal(record_verify(buf_view(&changed), view_of(pem), &statement, &err), -1);
		assert_int_equal(err.kind, ERR_DENIED);
		denied++;
	}
	assert_true(denied > 100);
}

static void malformed_envelopes_are_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"{}",
		"[]",
		"{\"payload\": 1}",
		"{\"payload\": \"e30=\", \"payloadType\": \"text/plain\", \"signatures\": [{\"sig\": \"\"}]}",
		"{\"payload\": \"e30=\", \"payloadType\": \"application/vnd.in-toto+json\"}",
		"{\"payload\": \"e30=\", \"payloadType\": \"application/vnd.in-toto+json\", \"signatures\": []}",
		"{\"payload\": \"*\", \"payloadType\": \"application/vnd.in-toto+json\", \"signatures\": [{\"sig\": \"AA\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON statement = NULL;
		struct err err = {0};

		assert_int_equal(record_verify(view_of(rows[i]), view_of(pem), &statement, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void another_key_is_refused(void **state)
{
	AUTO_BUF envelope = buf_new((size_t)1 << 20);
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	AUTO_JSON statement = NULL;
	struct err err = {0};
	char *text;
	long length;

	(void)state;
	envelope_make(&envelope);
	assert_int_equal(PEM_write_bio_PUBKEY(bio, other), 1);
	length = BIO_get_mem_data(bio, &text);
	assert_int_equal(record_verify(buf_view(&envelope), view_make(text, (size_t)length), &statement, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	(void)BIO_free(bio);
	EVP_PKEY_free(other);
}

/* The command line of OpenSSL and Node agree with us, without any code of ours. */
static void openssl_and_node_verify_it_too(void **state)
{
	static const char script[] =
		"const fs = require('fs'), c = require('crypto'); const e = JSON.parse(fs.readFileSync('r.json'));"
		"const b = Buffer.from(e.payload, 'base64');"
		"const pae = Buffer.concat([Buffer.from(`DSSEv1 ${e.payloadType.length} ${e.payloadType} ${b.length} `), b]);"
		"fs.writeFileSync('pae', pae); fs.writeFileSync('sig', Buffer.from(e.signatures[0].sig, 'base64'));"
		"process.exit(c.verify(null, pae, fs.readFileSync('k.pem'), fs.readFileSync('sig')) ? 0 : 1);";
	static const char *const node[] = {"node", "-e", script, NULL};
	static const char *const openssl[] = {"openssl", "pkeyutl", "-verify", "-rawin",   "-pubin", "-inkey",
					      "k.pem",   "-in",     "pae",     "-sigfile", "sig",    NULL};
	AUTO_BUF envelope = buf_new((size_t)1 << 20);
	char dir[] = "/tmp/assay-record-XXXXXX";
	AUTO_FREE char *record = NULL;
	AUTO_FREE char *key = NULL;
	struct err err = {0};
	int code = -1;

	(void)state;
	if (access("/usr/bin/node", X_OK) || access("/usr/bin/openssl", X_OK)) {
		print_message("node or openssl is not installed: skipped\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	record = text_format("%s/r.json", dir);
	key = text_format("%s/k.pem", dir);
	envelope_make(&envelope);
	assert_int_equal(file_replace(record, buf_view(&envelope), 0644, &err), 0);
	assert_int_equal(file_replace(key, view_of(pem), 0644, &err), 0);
	assert_int_equal(process_run(&(struct process_spec){.argv = node, .dir = dir}, &code, &err), 0);
	assert_int_equal(code, 0);
	assert_int_equal(process_run(&(struct process_spec){.argv = openssl, .dir = dir}, &code, &err), 0);
	assert_int_equal(code, 0);
	assert_int_equal(file_remove_tree(dir, &err), 0);
}

static int key_setup(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long length;

	(void)state;
	pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	(void)PEM_write_bio_PUBKEY(bio, pair);
	length = BIO_get_mem_data(bio, &text);
	memcpy(pem, text, (size_t)length);
	(void)BIO_free(bio);
	return 0;
}

static int key_teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(pair);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_says_what_was_proven_and_for_which_commits),
		cmocka_unit_test(a_bundle_says_the_verdict_in_standard_forms),
		cmocka_unit_test(a_bundle_is_not_put_together_of_others),
		cmocka_unit_test(a_record_of_several_repositories_is_about_the_head_of_each),
		cmocka_unit_test(one_flipped_bit_fails),
		cmocka_unit_test(malformed_envelopes_are_refused),
		cmocka_unit_test(another_key_is_refused),
		cmocka_unit_test(openssl_and_node_verify_it_too),
	};

	return cmocka_run_group_tests(tests, key_setup, key_teardown);
}
