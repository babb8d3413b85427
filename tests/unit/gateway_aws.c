/*
 * Requests that are signed for AWS: the examples of AWS's documentation and of its test suite, and what the broker makes of a request that was signed
 * with a placeholder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "asked.h"
#include "base/scope.h"
#include "gateway/egress/aws.h"
#include "gateway/egress/broker.h"

#define S3_ID "AKIAIOSFODNN7EXAMPLE"
#define S3_KEY "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define PLACEHOLDER "xAssay0abcdefghijABCDEFGHIJ0123456789abc"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void signatures_are_those_of_the_documentation(void **state)
{
	static const struct {
		const char *key, *scope, *method, *host, *target;
		const char *fields[FIELDS_MAX];
		const char *signed_fields, *body, *signature;
	} rows[] = {
		{S3_KEY,
		 "20130524/us-east-1/s3",
		 "GET",
		 "examplebucket.s3.amazonaws.com",
		 "/test.txt",
		 {"range: bytes=0-9", "x-amz-content-sha256: " EMPTY_HASH, "x-amz-date: 20130524T000000Z"},
		 "host;range;x-amz-content-sha256;x-amz-date",
		 "",
		 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{S3_KEY,
		 "20130524/us-east-1/s3",
		 "PUT",
		 "examplebucket.s3.amazonaws.com",
		 "/test%24file.text",
		 {"date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		  "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
		 "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		 "Welcome to Amazon S3.",
		 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{S3_KEY,
		 "20130524/us-east-1/s3",
		 "GET",
		 "examplebucket.s3.amazonaws.com",
		 "/?lifecycle",
		 {"x-amz-content-sha256: " EMPTY_HASH, "x-amz-date: 20130524T000000Z"},
		 "host;x-amz-content-sha256;x-amz-date",
		 "",
		 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{S3_KEY,
		 "20130524/us-east-1/s3",
		 "GET",
		 "examplebucket.s3.amazonaws.com",
		 "/?prefix=J&max-keys=2",
		 {"x-amz-content-sha256: " EMPTY_HASH, "x-amz-date: 20130524T000000Z"},
		 "host;x-amz-content-sha256;x-amz-date",
		 "",
		 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		{SUITE_KEY,
		 "20150830/us-east-1/service",
		 "GET",
		 "example.amazonaws.com",
		 "/",
		 {"x-amz-date: 20150830T123600Z"},
		 "host;x-amz-date",
		 "",
		 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{SUITE_KEY,
		 "20150830/us-east-1/iam",
		 "GET",
		 "iam.amazonaws.com",
		 "/?Action=ListUsers&Version=2010-05-08",
		 {"content-type: application/x-www-form-urlencoded; charset=utf-8", "x-amz-date: 20150830T123600Z"},
		 "content-type;host;x-amz-date",
		 "",
		 "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct aws_claim claim = {.key_id = VIEW("X")};
		unsigned char key[SIGV4_KEY_BYTES];
		AUTO_BUF signature = buf_new(128);
		struct asked asked;
		const char *why;

		claim.scope = view_of(rows[i].scope);
		claim.fields = view_of(rows[i].signed_fields);
		ask_fill(&asked, rows[i].method, rows[i].host, rows[i].target, rows[i].fields);
		assert_true(sigv4_key(view_of(rows[i].key), rows[i].scope, key));
		why = aws_sign(&asked.request, &claim, view_of(rows[i].body), true, key, &signature);
		if (why)
			fail_msg("row %zu: %s", i, why);
		assert_string_equal(signature.at, rows[i].signature);
	}
}

static void a_signing_key_is_the_documentations(void **state)
{
	unsigned char key[SIGV4_KEY_BYTES];
	AUTO_BUF text = buf_new(128);

	(void)state;
	assert_true(sigv4_key(VIEW(SUITE_KEY), "20150830/us-east-1/iam", key));
	buf_add_hex(&text, key, sizeof(key));
	assert_string_equal(text.at, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
	assert_false(sigv4_key(VIEW(SUITE_KEY), "2015083/us-east-1/iam", key));
	assert_false(sigv4_key(VIEW(SUITE_KEY), "20150830/us-east-1", key));
	assert_false(sigv4_key(VIEW(SUITE_KEY), "20150830/us-east-1/iam/more", key));
	assert_false(sigv4_key(VIEW(SUITE_KEY), "20150830//iam", key));
}

static void claims_are_read_strictly(void **state)
{
#define SIGNATURE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host, Signature=" SIGNATURE, true},
		{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request,SignedHeaders=host,Signature=" SIGNATURE, true},
		{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host, Signature=0123", false},
		{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s, SignedHeaders=host, Signature=" SIGNATURE, false},
		{"AWS4-HMAC-SHA256 Credential=/20150830/r/s/aws4_request, SignedHeaders=host, Signature=" SIGNATURE, false},
		{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, Signature=" SIGNATURE, false},
		{"AWS4-HMAC-SHA256 Credential=A/1/r/s/aws4_request, Credential=B/1/r/s/aws4_request, SignedHeaders=host, "
		 "Signature=" SIGNATURE,
		 false},
		{"AWS4-ECDSA-P256-SHA256 Credential=A/20150830/s/aws4_request, SignedHeaders=host, Signature=" SIGNATURE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct aws_claim claim;

		if (aws_claim_parse(view_of(rows[i].text), &claim) != rows[i].good)
			fail_msg("row %zu", i);
	}
}

/* ---- at the broker ---- */

static struct broker *broker_of(void)
{
	AUTO_JSON list = json_pack("[{s:s,s:s,s:[s],s:s}]", "name", "s3", "placeholder", PLACEHOLDER, "for",
				   "* https://examplebucket.s3.amazonaws.com/*", "in", "aws:" S3_ID);
	struct broker *broker = NULL;
	struct err err = {0};

	if (broker_new(list, &broker, &err))
		fail_msg("%s", err.text);
	return broker;
}

/* What a sandbox sends that signs with `secret`; the texts are the caller's. */
static void signed_fill(struct asked *asked, const char *secret, const char *id, const char *target, const char *const *fields,
			struct buf *authorization)
{
	struct aws_claim claim = {.key_id = view_of(id),
				  .scope = VIEW("20130524/us-east-1/s3"),
				  .fields = VIEW("host;range;x-amz-content-sha256;x-amz-date")};
	unsigned char key[SIGV4_KEY_BYTES];
	AUTO_BUF signature = buf_new(128);

	ask_fill(asked, "GET", "examplebucket.s3.amazonaws.com", target, fields);
	assert_true(sigv4_key(view_of(secret), "20130524/us-east-1/s3", key));
	assert_null(aws_sign(&asked->request, &claim, VIEW(""), true, key, &signature));
	aws_claim_format(&claim, buf_view(&signature), authorization);
	asked->fields[asked->request.field_count++] = (struct egress_field){VIEW("authorization"), buf_view(authorization)};
}

static const char *const usual[] = {"range: bytes=0-9", "x-amz-content-sha256: " EMPTY_HASH, "x-amz-date: 20130524T000000Z", NULL};

static void what_the_placeholder_signed_is_signed_by_the_key(void **state)
{
	struct broker *broker = broker_of();
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct vault_release_request ask;
	struct vault_release_reply reply = {.value_bytes = SIGV4_KEY_BYTES};
	AUTO_BUF authorization = buf_new(1024);
	struct broker_head head;
	struct asked asked;

	(void)state;
	signed_fill(&asked, PLACEHOLDER, S3_ID, "/test.txt", usual, &authorization);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	broker_ask(broker, &plan, 0, &asked.request, &ask);
	assert_string_equal(ask.name, "s3");
	assert_string_equal(ask.scope, "20130524/us-east-1/s3");
	assert_true(sigv4_key(VIEW(S3_KEY), ask.scope, reply.value));
	assert_int_equal(broker_answered(broker, &plan, 0, &reply, &verdict), 0);
	assert_int_equal(broker_apply(broker, &plan, &asked.request, &head, &verdict), 0);
	assert_int_equal(head.request.field_count, asked.request.field_count); /* none is left out that was signed */
	assert_false(broker_puts_in(broker, &plan));
	assert_int_equal(broker_sign(broker, &plan, &asked.request, VIEW(""), true, &head, &verdict), 0);
	assert_true(view_ends(head.fields[3].value, VIEW("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")));
	assert_true(view_starts(head.fields[3].value,
				VIEW("AWS4-HMAC-SHA256 Credential=" S3_ID "/20130524/us-east-1/s3/aws4_request")));
	broker_head_fini(&head);
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void item_59_what_another_key_signed_does_not_go_there(void **state)
{
	static const char *const streamed[] = {"range: x", "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
					       "x-amz-date: 20130524T000000Z", NULL};
	static const struct {
		const char *secret, *id, *target;
		const char *const *fields;
		const char *rule;
	} rows[] = {
		{PLACEHOLDER, "AKIAOFSOMEBODYELSE00", "/test.txt", usual, "broker:foreign-credential"},
		{PLACEHOLDER, S3_ID, "/test.txt?X-Amz-Signature=00&X-Amz-Credential=A", usual, "broker:cannot-sign"},
		{PLACEHOLDER, S3_ID, "/test.txt", streamed, "broker:cannot-sign"},
		{"the-attackers-own-secret-key-0123456789a", S3_ID, "/test.txt", usual, "broker:cannot-sign"},
	};
	struct broker *broker = broker_of();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct broker_plan plan = {0, NULL};
		struct egress_verdict verdict = {.action = EGRESS_ALLOW};
		AUTO_BUF authorization = buf_new(1024);
		struct broker_head head;
		struct asked asked;

		signed_fill(&asked, rows[i].secret, rows[i].id, rows[i].target, rows[i].fields, &authorization);
		if (broker_judge(broker, &asked.request, &plan, &verdict) != BROKER_REFUSED) {
			assert_int_equal(broker_apply(broker, &plan, &asked.request, &head, &verdict), 0);
			assert_int_equal(broker_sign(broker, &plan, &asked.request, VIEW(""), true, &head, &verdict), -1);
		}
		if (strcmp(verdict.rule, rows[i].rule) != 0)
			fail_msg("row %zu: %s", i, verdict.rule);
		broker_plan_fini(&plan);
	}
	broker_free(broker);
}

static void a_long_body_without_its_hash_cannot_be_signed(void **state)
{
	static const char *const fields[] = {"x-amz-date: 20150830T123600Z", NULL};
	static const char *const unsigned_payload[] = {"x-amz-date: 20150830T123600Z", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
						       NULL};
	struct aws_claim claim = {.scope = VIEW("20150830/us-east-1/s3"), .fields = VIEW("host;x-amz-date")};
	unsigned char key[SIGV4_KEY_BYTES] = {0};
	AUTO_BUF signature = buf_new(128);
	struct asked asked;

	(void)state;
	ask_fill(&asked, "PUT", "b.s3.amazonaws.com", "/x", fields);
	assert_non_null(aws_sign(&asked.request, &claim, VIEW("the beginning"), false, key, &signature));
	ask_fill(&asked, "PUT", "b.s3.amazonaws.com", "/x", unsigned_payload);
	assert_null(aws_sign(&asked.request, &claim, VIEW("the beginning"), false, key, &signature));
	claim.fields = VIEW("host;x-not-there");
	assert_non_null(aws_sign(&asked.request, &claim, VIEW(""), true, key, &signature));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_the_documentation),
		cmocka_unit_test(a_signing_key_is_the_documentations),
		cmocka_unit_test(claims_are_read_strictly),
		cmocka_unit_test(what_the_placeholder_signed_is_signed_by_the_key),
		cmocka_unit_test(item_59_what_another_key_signed_does_not_go_there),
		cmocka_unit_test(a_long_body_without_its_hash_cannot_be_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
