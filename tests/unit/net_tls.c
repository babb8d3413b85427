/* TLS as a client: what a session is gone on with, and what not. The server is OpenSSL's own, without anything of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/tls.h"

#define HOUR_MS ((int64_t)60 * 60 * 1000)

struct stage {
	SSL_CTX *server;
	EVP_PKEY *key;
	char authorities[64];
	struct tls_side *client;
	struct tls_sessions *sessions;
};

/* A certificate for host.test that is its own authority, good for `seconds`. */
static X509 *certificate_make(EVP_PKEY *key, long seconds)
{
	X509 *made = X509_new();
	X509_NAME *name = X509_get_subject_name(made);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:host.test");

	assert_true(X509_set_version(made, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(made), 1) &&
		    X509_gmtime_adj(X509_getm_notBefore(made), -60) && X509_gmtime_adj(X509_getm_notAfter(made), seconds) &&
		    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"host.test", -1, -1, 0) &&
		    X509_set_issuer_name(made, name) && X509_set_pubkey(made, key) && X509_add_ext(made, names, -1) &&
		    X509_sign(made, key, EVP_sha256()));
	X509_EXTENSION_free(names);
	return made;
}

static void stage_make(struct stage *stage, int version, long seconds)
{
	FILE *file;
	X509 *certificate;
	struct err err;

	memset(stage, 0, sizeof(*stage));
	stage->key = EVP_EC_gen("P-256");
	certificate = certificate_make(stage->key, seconds);
	strcpy(stage->authorities, "/tmp/assay-net-tls-XXXXXX");
	file = fdopen(mkstemp(stage->authorities), "w");
	assert_true(file && PEM_write_X509(file, certificate) && fclose(file) == 0);
	stage->server = SSL_CTX_new(TLS_server_method());
	assert_true(SSL_CTX_use_certificate(stage->server, certificate) && SSL_CTX_use_PrivateKey(stage->server, stage->key) &&
		    SSL_CTX_set_min_proto_version(stage->server, version) && SSL_CTX_set_max_proto_version(stage->server, version));
	X509_free(certificate);
	assert_int_equal(tls_client_new(stage->authorities, &stage->client, &err), 0);
	stage->sessions = tls_sessions_new();
}

static void stage_drop(struct stage *stage)
{
	tls_side_free(stage->client);
	tls_sessions_free(stage->sessions);
	SSL_CTX_free(stage->server);
	EVP_PKEY_free(stage->key);
	(void)unlink(stage->authorities);
}

enum went { WHOLE, RESUMED, REFUSED };

/* A connection with a handshake, a byte of the server's (and with it what it gives of sessions), and an end that nobody announces.
 * `name` NULL: keeps nothing. */
static enum went connect_as(struct stage *stage, const char *name, const char *host, int64_t now_ms)
{
	struct tls_resume resume = {stage->sessions, view_of(name ? name : ""), now_ms};
	SSL *ssl = SSL_new(stage->server);
	enum tls_result result = TLS_MORE;
	bool said = false, resumed = false;
	ssize_t got = -1;
	struct tls *tls;
	struct err err;
	char byte;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_true(SSL_set_fd(ssl, ends[1]));
	SSL_set_accept_state(ssl);
	tls = tls_connect(stage->client, ends[0], host, TLS_HTTP1, name ? &resume : NULL);
	for (int turn = 0; turn < 20 && got < 0 && result != TLS_FAILED; turn++) {
		tls_readable(tls);
		if (result == TLS_MORE)
			result = tls_handshake(tls, &err);
		if (result == TLS_DONE)
			got = tls_read(tls, &byte, 1);
		assert_true(tls_flush(tls));
		said = said || (SSL_do_handshake(ssl) == 1 && SSL_write(ssl, "x", 1) == 1);
	}
	resumed = result == TLS_DONE && tls_resumed(tls);
	if (result == TLS_DONE) {
		assert_int_equal(got, 1);
		assert_int_equal(SSL_session_reused(ssl), resumed);
	}
	tls_free(tls);
	(void)SSL_shutdown(ssl); /* else it forgets the session */
	SSL_free(ssl);
	(void)(close(ends[0]) + close(ends[1]));
	return result != TLS_DONE ? REFUSED : resumed ? RESUMED : WHOLE;
}

static void a_second_connection_of_the_same_name_goes_on_with_the_session_of_the_first(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct stage stage;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		stage_make(&stage, versions[i], 86400);
		assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
		for (int again = 0; again < 3; again++)
			assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 2000), RESUMED);
		stage_drop(&stage);
	}
}

static void another_environment_another_credential_and_nobody_have_a_handshake_of_their_own(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage, TLS1_3_VERSION, 86400);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e2/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e1/other/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, NULL, "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), RESUMED);
	stage_drop(&stage);
}

static void what_is_forgotten_is_not_gone_on_with(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage, TLS1_3_VERSION, 86400);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e2/key/host.test", "host.test", 1000), WHOLE);
	tls_sessions_forget(stage.sessions, view_of("e1/"));
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e2/key/host.test", "host.test", 1000), RESUMED);
	stage_drop(&stage);
}

static void a_certificate_is_verified_again_after_an_hour_however_often_it_was_gone_on_with(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage, TLS1_3_VERSION, 86400);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", HOUR_MS / 2), RESUMED);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", HOUR_MS + 999), RESUMED);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", HOUR_MS + 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", HOUR_MS + 1001), RESUMED);
	stage_drop(&stage);
}

static void no_session_outlives_the_certificate(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage, TLS1_3_VERSION, 600);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000), WHOLE);
	assert_int_equal(connect_as(&stage, "e1/key/host.test", "host.test", 1000 + 601 * 1000), WHOLE);
	stage_drop(&stage);
}

static void a_name_that_the_certificate_is_not_for_is_refused_and_leaves_no_session(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage, TLS1_3_VERSION, 86400);
	for (int again = 0; again < 2; again++)
		assert_int_equal(connect_as(&stage, "e1/key/other.test", "other.test", 1000), REFUSED);
	stage_drop(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_connection_of_the_same_name_goes_on_with_the_session_of_the_first),
		cmocka_unit_test(another_environment_another_credential_and_nobody_have_a_handshake_of_their_own),
		cmocka_unit_test(what_is_forgotten_is_not_gone_on_with),
		cmocka_unit_test(a_certificate_is_verified_again_after_an_hour_however_often_it_was_gone_on_with),
		cmocka_unit_test(no_session_outlives_the_certificate),
		cmocka_unit_test(a_name_that_the_certificate_is_not_for_is_refused_and_leaves_no_session),
	};

	return cmocka_run_group_tests_name("net/tls", tests, NULL, NULL);
}
