/* Passes, and who may come in to a preview from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "gateway/front.h"
#include "quoted.h"

#define HOST "e1.preview.test"

struct fixture {
	EVP_PKEY *signer;
	struct front *front;
	struct front_shown shown;
	struct front_answer answer;
	char env[FRONT_ENV_MAX];
	bool plain; /* TLS ends before */
};

static void pem_add(struct buf *out, BIO *bio)
{
	char *at;
	long length = BIO_get_mem_data(bio, &at);

	buf_add(out, at, (size_t)length);
	(void)BIO_free(bio);
}

/* A certificate for *.`domain` that its own key signed, with the key. */
static void identity_make(struct buf *out, const char *domain, long ends_s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x509 = X509_new();
	AUTO_FREE char *names = text_format("DNS:*.%s", domain);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	BIO *bio = BIO_new(BIO_s_mem());

	assert_true(key && x509 && extension && bio);
	assert_int_equal(X509_set_version(x509, 2), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), ends_s));
	assert_int_equal(X509_set_pubkey(x509, key), 1);
	assert_int_equal(X509_add_ext(x509, extension, -1), 1);
	assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
	pem_add(out, bio);
	X509_EXTENSION_free(extension);
	X509_free(x509);
	EVP_PKEY_free(key);
}

static int put(struct fixture *fixture, struct view identity, const char *sign_in, struct err *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	AUTO_BUF key = buf_new(4096);
	AUTO_CLOSE int fd = file_anonymous(identity, err);
	AUTO_JSON body = NULL;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, fixture->signer), 1);
	pem_add(&key, bio);
	body = json_pack("{s:s, s:s, s:s?, s:b}", "domain", "preview.test", "key", key.at, "sign_in", sign_in, "plain",
			 fixture->plain);
	return front_put(fixture->front, body, fd, err);
}

static int setup(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));
	AUTO_BUF identity = buf_new(65536);
	struct err err;

	fixture->signer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	fixture->front = front_new();
	identity_make(&identity, "preview.test", 3600);
	assert_int_equal(put(fixture, buf_view(&identity), NULL, &err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->answer.location);
	free(fixture->answer.cookie);
	front_free(fixture->front);
	EVP_PKEY_free(fixture->signer);
	free(fixture);
	return 0;
}

static char *sign(const struct fixture *fixture, struct pass pass, const char *host, const char *browser)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	AUTO_BUF statement = buf_new(1024);
	AUTO_BUF text = buf_new(PASS_TEXT_MAX);
	size_t length = PASS_SIGNATURE_BYTES;

	pass_statement(&pass, host, browser, &statement);
	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, fixture->signer), 1);
	assert_int_equal(EVP_DigestSign(context, pass.signature, &length, (const unsigned char *)statement.at, statement.length),
			 1);
	EVP_MD_CTX_free(context);
	pass_format(&pass, &text);
	return buf_take(&text);
}

/* Is a GET with these lines of the head let in? */
static bool judge(struct fixture *fixture, const char *target, const char *lines)
{
	AUTO_FREE char *text = text_format("GET %s HTTP/1.1\r\nHost: " HOST "\r\n%s\r\n", target, lines);
	struct http_head head;
	size_t scanned = 0;
	struct err err;

	assert_int_equal(http_request_parse(view_of(text), &scanned, &head, &err), HTTP_DONE);
	free(fixture->answer.location);
	free(fixture->answer.cookie);
	fixture->answer = (struct front_answer){0};
	return front_judge(fixture->front, &head, fixture->plain ? NULL : HOST, &fixture->shown, fixture->env, &fixture->answer);
}

static void a_pass_reads_as_it_was_written_and_nothing_else_does(void **state)
{
	static const char *const none[] = {
		"", "l", "l.", "l..", "l.1", "x.1.A", "p.1.A", "l.-1.A", "l.+1.A", "l.123456789012.A", "l.0.1.A", "l.1.1.1.A"};
	const struct fixture *fixture = *state;
	AUTO_FREE char *text = sign(fixture, (struct pass){.kind = PASS_PERSON, .issued_s = 5, .ends_s = 9}, HOST, "b");
	AUTO_BUF again = buf_new(PASS_TEXT_MAX);
	struct pass pass;
	struct err err;

	assert_int_equal(pass_parse(view_of(text), &pass, &err), 0);
	assert_int_equal(pass.issued_s, 5);
	assert_int_equal(pass.serial, 0);
	assert_int_equal(pass.ends_s, 9);
	pass_format(&pass, &again);
	assert_string_equal(again.at, text);
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(pass_parse(view_of(none[i]), &pass, &err), -1);
	for (size_t i = 0; i + 1 < strlen(text); i++)
		assert_int_equal(pass_parse(view_make(text, i), &pass, &err), -1);
	for (int64_t serial = 0; serial < 2; serial++) {
		AUTO_FREE char *link = sign(fixture, (struct pass){.serial = serial, .ends_s = 9}, HOST, "");

		assert_int_equal(pass_parse(view_of(link), &pass, &err), 0);
		assert_int_equal(pass.serial, serial);
		assert_int_equal(pass.ends_s, 9);
		buf_fini(&again);
		again = buf_new(PASS_TEXT_MAX);
		pass_format(&pass, &again);
		assert_string_equal(again.at, link);
	}
}

static void a_pass_is_for_one_host_until_it_ends(void **state)
{
	struct fixture *fixture = *state;
	int64_t now = time(NULL);
	AUTO_FREE char *good = sign(fixture, (struct pass){.ends_s = now + 100}, HOST, "");
	AUTO_FREE char *ended = sign(fixture, (struct pass){.ends_s = now - 1}, HOST, "");
	AUTO_FREE char *other = sign(fixture, (struct pass){.ends_s = now + 100}, "e2.preview.test", "");
	const char *const passes[] = {good, ended, other};

	for (size_t i = 0; i < ARRAY_LEN(passes); i++) {
		AUTO_FREE char *target = text_format("/a?x=1&assay=%s&y=2", passes[i]);
		AUTO_FREE char *cookie = text_format("Cookie: q=1; __Host-assay=%s\r\n", passes[i]);

		assert_false(judge(fixture, target, ""));
		if (i)
			assert_null(fixture->answer.location);
		else
			assert_string_equal(fixture->answer.location, "https://" HOST "/a?x=1&y=2");
		assert_int_equal(judge(fixture, "/a", cookie), i == 0);
		assert_int_equal(judge(fixture, "/a", cookie), i == 0); /* and once more, from what the connection has shown */
	}
}

static void a_connection_without_tls_comes_in_only_where_that_ends_before(void **state)
{
	struct fixture *fixture = *state;
	AUTO_FREE char *good = sign(fixture, (struct pass){.ends_s = time(NULL) + 100}, HOST, "");
	AUTO_FREE char *cookie = text_format("Cookie: __Host-assay=%s\r\n", good);
	struct tls *tls;
	struct err err;

	assert_true(judge(fixture, "/a", cookie));
	fixture->plain = true;
	assert_false(judge(fixture, "/a", cookie)); /* no name of a session */
	assert_int_equal(put(fixture, VIEW(""), NULL, &err), 0);
	assert_true(judge(fixture, "/a", cookie));
	assert_false(judge(fixture, "/a", ""));
	assert_true(front_accept(fixture->front, 0, &tls));
	assert_null(tls);
	fixture->plain = false;
	assert_false(judge(fixture, "/a", cookie)); /* a session where none can be */
}

static void what_a_connection_has_shown_ends_with_the_pass_and_with_the_key(void **state)
{
	struct fixture *fixture = *state;
	AUTO_FREE char *good = sign(fixture, (struct pass){.ends_s = time(NULL) + 1000}, HOST, "");
	AUTO_FREE char *cookie = text_format("Cookie: __Host-assay=%s\r\n", good);
	AUTO_BUF identity = buf_new(65536);
	struct err err;

	assert_true(judge(fixture, "/a", cookie));
	assert_in_range(front_shown_ms(&fixture->shown), 1, 1000000);
	fixture->shown.ends_s = time(NULL) - 5;
	assert_int_equal(front_shown_ms(&fixture->shown), 1);
	assert_false(judge(fixture, "/a", cookie));
	fixture->shown = (struct front_shown){.ends_s = 0};
	assert_true(judge(fixture, "/a", cookie));
	EVP_PKEY_free(fixture->signer);
	fixture->signer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	identity_make(&identity, "preview.test", 3600);
	assert_int_equal(put(fixture, buf_view(&identity), NULL, &err), 0);
	assert_false(judge(fixture, "/a", cookie));
}

/* One, or all that were given before; people who signed in stay, and so does what is given afterwards. */
static void a_link_that_is_taken_back_is_good_no_more(void **state)
{
	struct fixture *fixture = *state;
	int64_t ends = time(NULL) + 1000;
	AUTO_FREE char *first = sign(fixture, (struct pass){.ends_s = ends}, HOST, "");
	AUTO_FREE char *second = sign(fixture, (struct pass){.serial = 1, .ends_s = ends}, HOST, "");
	AUTO_FREE char *third = sign(fixture, (struct pass){.serial = 2, .ends_s = ends}, HOST, "");
	AUTO_FREE char *other = sign(fixture, (struct pass){.ends_s = ends + 1}, HOST, "");
	char *cookies[] = {text_format("Cookie: __Host-assay=%s\r\n", first), text_format("Cookie: __Host-assay=%s\r\n", second),
			   text_format("Cookie: __Host-assay=%s\r\n", third), text_format("Cookie: __Host-assay=%s\r\n", other)};
	static const struct {
		const char *links;
		bool good[4];
	} rows[] = {
		{"{'serial': 1, 'from': 0, 'refused': [[0, ENDS]]}", {false, true, true, true}},
		{"{'serial': 0, 'from': 0, 'refused': []}", {false, true, true, true}}, /* told late: it is not undone */
		{"{'serial': 2, 'from': 2, 'refused': []}", {false, false, true, false}},
		{"{'serial': 3, 'from': 2, 'refused': [[2, ENDS], [9, 9], 'x']}", {false, false, false, false}},
		{"{'serial': 4}", {false, false, false, false}},
		{NULL, {true, true, true, true}}, /* another environment, if ever */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *number = text_format("%lld", (long long)ends);
		AUTO_BUF text = buf_new(1024);
		AUTO_JSON links = NULL;

		if (rows[i].links) {
			AUTO_FREE char *quoted = quoted_text(rows[i].links);

			buf_add_replaced(&text, view_of(quoted), VIEW("ENDS"), view_of(number));
			links = json_parse(buf_view(&text), NULL);
			assert_non_null(links);
		}
		assert_true(judge(fixture, "/", cookies[2]) || i > 3);
		front_links_put(fixture->front, "e1", links);
		front_links_put(fixture->front, "e2", links);
		if (i <= 4 && rows[i].links)
			assert_int_equal(front_is_taken_back(fixture->front, &fixture->shown), !rows[i].good[2]);
		for (size_t k = 0; k < ARRAY_LEN(cookies); k++)
			if (judge(fixture, "/", cookies[k]) != rows[i].good[k])
				fail_msg("row %zu, link %zu", i, k);
	}
	for (size_t k = 0; k < ARRAY_LEN(cookies); k++)
		free(cookies[k]);
}

static void previews_are_shown_within_the_pages_of_assay_only(void **state)
{
	struct fixture *fixture = *state;
	AUTO_BUF identity = buf_new(65536);
	struct err err;

	assert_string_equal(front_framing(fixture->front),
			    "Content-Security-Policy: frame-ancestors 'self' http://localhost:* http://127.0.0.1:*\r\n");
	identity_make(&identity, "preview.test", 3600);
	assert_int_equal(put(fixture, buf_view(&identity), "https://assay.test", &err), 0);
	assert_string_equal(front_framing(fixture->front),
			    "Content-Security-Policy: frame-ancestors 'self' https://assay.test\r\n");
}

static void an_address_never_leads_to_another_host(void **state)
{
	struct fixture *fixture = *state;
	AUTO_FREE char *good = sign(fixture, (struct pass){.ends_s = time(NULL) + 100}, HOST, "");
	AUTO_FREE char *target = text_format("//evil.test/?assay=%s", good);

	assert_false(judge(fixture, target, ""));
	assert_string_equal(fixture->answer.location, "https://" HOST "//evil.test/");
}

static void a_persons_pass_is_fresh_and_for_one_browser(void **state)
{
	struct fixture *fixture = *state;
	int64_t now = time(NULL);
	AUTO_FREE char *secret = text_format("%064d", 7);
	struct digest digest = digest_of(view_of(secret));
	AUTO_FREE char *cookie = text_format("Cookie: __Host-assay-browser=%s\r\n", secret);

	for (int age = 0; age < 2; age++) {
		struct pass pass = {.kind = PASS_PERSON, .issued_s = now - 1000 * age, .ends_s = now + 100};
		AUTO_FREE char *text = sign(fixture, pass, HOST, digest.text);
		AUTO_FREE char *target = text_format("/?assay=%s", text);
		AUTO_FREE char *both = text_format("Cookie: __Host-assay-browser=%s\r\nCookie: __Host-assay=%s\r\n", secret, text);

		assert_false(judge(fixture, target, ""));
		assert_null(fixture->answer.location);
		assert_false(judge(fixture, target, cookie));
		assert_int_equal(fixture->answer.location != NULL, age == 0);
		assert_true(judge(fixture, "/", both));
	}
}

static void who_has_no_pass_is_sent_to_the_pages_when_there_are_some(void **state)
{
	struct fixture *fixture = *state;
	AUTO_BUF identity = buf_new(65536);
	struct err err;

	assert_false(judge(fixture, "/", "Accept: text/html\r\n"));
	assert_null(fixture->answer.location);
	identity_make(&identity, "preview.test", 3600);
	assert_int_equal(put(fixture, buf_view(&identity), "https://pages.test", &err), 0);
	assert_false(judge(fixture, "/a?b=c", "Accept: text/html\r\n"));
	assert_non_null(
		strstr(fixture->answer.location, "https://pages.test/signin/preview?host=" HOST "&to=%2Fa%3Fb%3Dc&browser="));
	assert_non_null(strstr(fixture->answer.cookie, "__Host-assay-browser="));
	assert_false(judge(fixture, "/a", "Accept: application/json\r\n"));
	assert_null(fixture->answer.location);
}

static void a_certificate_that_does_not_fit_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	AUTO_BUF other = buf_new(65536);
	AUTO_BUF ended = buf_new(65536);
	AUTO_BUF mixed = buf_new(131072);
	AUTO_BUF good = buf_new(65536);
	struct err err;

	identity_make(&other, "other.test", 3600);
	identity_make(&ended, "preview.test", -10);
	identity_make(&good, "preview.test", 3600);
	buf_add_view(&mixed, buf_view(&other)); /* its key is the first */
	buf_drop_front(&good, (size_t)(strstr(good.at, "-----BEGIN CERT") - good.at));
	mixed.length = (size_t)(strstr(mixed.at, "-----BEGIN CERT") - mixed.at);
	buf_add_view(&mixed, buf_view(&good));
	assert_int_equal(put(fixture, buf_view(&other), NULL, &err), -1);
	assert_string_equal(err.text, "the certificate is not for env.preview.test");
	assert_int_equal(put(fixture, buf_view(&ended), NULL, &err), -1);
	assert_string_equal(err.text, "the certificate has ended");
	assert_int_equal(put(fixture, buf_view(&mixed), NULL, &err), -1);
	assert_string_equal(err.text, "the private key is not the certificate's");
	assert_int_equal(put(fixture, buf_view(&good), NULL, &err), -1);
	assert_string_equal(err.text, "there is no private key without a password");
	assert_int_equal(put(fixture, VIEW("nothing"), NULL, &err), -1);
	assert_string_equal(err.text, "there is no certificate");
}

static void cookies_of_the_front_are_not_the_applications(void **state)
{
	static const struct {
		const char *sent, *seen;
	} rows[] = {
		{"a=1; __Host-assay=x; b=2", "a=1; b=2"},
		{"__Host-assay-browser=x", ""},
		{"__host-ASSAY=x;a=1", "a=1"},
		{"", ""},
		{"a", "a"},
		{"a;b;c", "a; b; c"}, /* longer than it was */
	};
	AUTO_BUF kept = buf_new(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = buf_new(4096);

		front_cookies_write(&out, view_of(rows[i].sent));
		assert_string_equal(buf_view(&out).at, rows[i].seen);
	}
	front_set_cookie_write(&kept, VIEW("domain=1; Path=/; DOMAIN = preview.test;Secure"));
	assert_string_equal(kept.at, "domain=1; Path=/; Secure");
	assert_true(front_cookie_is_own(VIEW(" __Host-assay=1; Path=/")));
	assert_false(front_cookie_is_own(VIEW("assay=1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pass_reads_as_it_was_written_and_nothing_else_does, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pass_is_for_one_host_until_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_without_tls_comes_in_only_where_that_ends_before, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_connection_has_shown_ends_with_the_pass_and_with_the_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_that_is_taken_back_is_good_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(previews_are_shown_within_the_pages_of_assay_only, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_never_leads_to_another_host, setup, teardown),
		cmocka_unit_test_setup_teardown(a_persons_pass_is_fresh_and_for_one_browser, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_no_pass_is_sent_to_the_pages_when_there_are_some, setup, teardown),
		cmocka_unit_test_setup_teardown(a_certificate_that_does_not_fit_changes_nothing, setup, teardown),
		cmocka_unit_test(cookies_of_the_front_are_not_the_applications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
