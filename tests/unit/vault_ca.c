/* Certificate authorities and what they mint, judged by OpenSSL's strict verifier; and the gateway's link to a real vault process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

static char state_dir[] = "/tmp/assay-vault-ca-XXXXXX";

static X509 *x509_of(struct view der)
{
	const unsigned char *at = (const unsigned char *)der.at;

	return d2i_X509(NULL, &at, (long)der.length);
}

/* The error by which OpenSSL, at its strictest, refuses the leaf under that authority for that name; 0 when it takes it. */
static int verify(X509 *leaf, X509 *authority, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int error;

	(void)X509_STORE_add_cert(store, authority);
	(void)X509_STORE_CTX_init(context, store, leaf, NULL);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
	(void)X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(context), X509_PURPOSE_SSL_SERVER);
	(void)X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), host, 0);
	error = X509_verify_cert(context) == 1 ? 0 : X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return error;
}

static struct vault_ca *authorities(void)
{
	struct vault_ca *ca = NULL;
	struct err err = {0};

	if (vault_ca_load(state_dir, &ca, &err))
		fail_msg("%s", err.text);
	return ca;
}

static X509 *authority_of(struct vault_ca *ca, const char *env)
{
	AUTO_BUF der = buf_new(4096);
	struct err err = {0};
	X509 *made;

	if (vault_ca_certificate(ca, env, time(NULL), &der, &err))
		fail_msg("%s", err.text);
	made = x509_of(buf_view(&der));
	assert_non_null(made);
	return made;
}

static X509 *leaf_of(struct vault_ca *ca, const char *env, const char *host)
{
	AUTO_BUF der = buf_new(4096);
	struct err err = {0};
	X509 *made;

	if (vault_ca_mint(ca, env, host, time(NULL), &der, &err))
		fail_msg("%s", err.text);
	made = x509_of(buf_view(&der));
	assert_non_null(made);
	return made;
}

static void a_leaf_is_good_for_its_name_under_its_authority_and_nowhere_else(void **state)
{
	struct vault_ca *ca = authorities();
	X509 *authority = authority_of(ca, "e1");
	X509 *other = authority_of(ca, "e2");
	X509 *leaf = leaf_of(ca, "e1", "api.example.com");
	int days = 0;
	int seconds = 0;

	(void)state;
	assert_int_equal(verify(leaf, authority, "api.example.com"), 0);
	assert_int_equal(verify(leaf, authority, "other.example.com"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_not_equal(verify(leaf, other, "api.example.com"), 0);
	assert_int_equal(X509_get_version(leaf), X509_VERSION_3);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)), 1);
	assert_int_equal(days, 90);
	assert_true(X509_cmp_time(X509_get0_notBefore(leaf), &(time_t){time(NULL) - 86000}) < 0);
	assert_true(X509_get_ext_by_NID(leaf, NID_authority_key_identifier, -1) >= 0);
	assert_true(X509_get_ext_by_NID(leaf, NID_subject_key_identifier, -1) >= 0);
	assert_true(X509_get_ext_by_NID(leaf, NID_ext_key_usage, -1) >= 0);
	assert_true(X509_get_ext_by_NID(leaf, NID_basic_constraints, -1) >= 0);
	X509_free(authority);
	X509_free(other);
	X509_free(leaf);
	vault_ca_free(ca);
}

static void item_73_the_key_of_the_leaves_is_not_the_authoritys_and_environments_share_none(void **state)
{
	struct vault_ca *ca = authorities();
	X509 *authorities_of[] = {authority_of(ca, "e1"), authority_of(ca, "e2")};
	X509 *leaves[] = {leaf_of(ca, "e1", "a.example"), leaf_of(ca, "e2", "a.example")};
	X509 *sibling = leaf_of(ca, "e1", "b.example");
	AUTO_BUF key = buf_new(4096);
	const unsigned char *at;
	EVP_PKEY *pair;
	struct err err = {0};

	(void)state;
	assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(leaves[0]), X509_get0_pubkey(authorities_of[0])), 1);
	assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(leaves[0]), X509_get0_pubkey(leaves[1])), 1);
	assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(authorities_of[0]), X509_get0_pubkey(authorities_of[1])), 1);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaves[0]), X509_get0_pubkey(sibling)), 1);
	assert_int_not_equal(X509_cmp(leaves[0], sibling), 0);
	assert_int_equal(vault_ca_leaf_key(ca, "e1", &key, &err), 0);
	at = (const unsigned char *)key.at;
	pair = d2i_AutoPrivateKey(NULL, &at, (long)key.length);
	assert_non_null(pair);
	assert_int_equal(X509_check_private_key(leaves[0], pair), 1);
	EVP_PKEY_free(pair);
	for (size_t i = 0; i < 2; i++) {
		X509_free(authorities_of[i]);
		X509_free(leaves[i]);
	}
	X509_free(sibling);
	vault_ca_free(ca);
}

static void item_73_what_is_no_canonical_host_name_gets_no_certificate(void **state)
{
	static const char *const rows[] = {"",
					   "*.example.com",
					   "*",
					   "a..b",
					   ".a",
					   "a.",
					   "A.example",
					   "a b",
					   "a/b",
					   "a\nb",
					   "a,DNS:evil",
					   "[::1]",
					   "\xd0\xbek.test",
					   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"};
	struct vault_ca *ca = authorities();
	AUTO_FREE char *longest = mem_new(300);
	X509 *leaf;
	X509 *authority;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF der = buf_new(4096);
		struct err err = {0};

		if (vault_ca_mint(ca, "e1", rows[i], time(NULL), &der, &err) == 0)
			fail_msg("row %zu: `%s` got one", i, rows[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	for (size_t i = 0; i < 253; i++)
		longest[i] = i % 50 == 49 ? '.' : 'a';
	authority = authority_of(ca, "e1");
	leaf = leaf_of(ca, "e1", longest);
	assert_int_equal(verify(leaf, authority, longest), 0);
	X509_free(leaf);
	X509_free(authority);
	vault_ca_free(ca);
}

static void no_id_of_an_environment_no_authority(void **state)
{
	static const char *const rows[] = {"", "../x", "E1", "e 1", "e\n"};
	struct vault_ca *ca = authorities();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF der = buf_new(4096);
		struct err err = {0};

		assert_int_equal(vault_ca_certificate(ca, rows[i], time(NULL), &der, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	vault_ca_free(ca);
}

static void keys_are_the_same_after_a_restart_and_after_many_other_environments(void **state)
{
	AUTO_FREE char *path = text_format("%s/vault/ca.secret", state_dir);
	struct vault_ca *ca = authorities();
	X509 *before = authority_of(ca, "kept");
	struct stat facts;
	X509 *after;

	(void)state;
	for (int i = 0; i < 200; i++) {
		AUTO_FREE char *env = text_format("e%d", i);

		X509_free(authority_of(ca, env));
	}
	after = authority_of(ca, "kept");
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)), 1);
	X509_free(after);
	vault_ca_free(ca);
	ca = authorities();
	after = authority_of(ca, "kept");
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)), 1);
	X509_free(after);
	X509_free(before);
	vault_ca_free(ca);
	assert_int_equal(stat(path, &facts), 0);
	assert_int_equal(facts.st_mode & 0777, 0600);
}

static bool ask(int link, const void *request, size_t bytes, void *reply, size_t reply_bytes)
{
	return send(link, request, bytes, MSG_NOSIGNAL) == (ssize_t)bytes &&
	       recv(link, reply, reply_bytes, 0) == (ssize_t)reply_bytes;
}

static struct vault_mint_request mint_request(const char *host)
{
	struct vault_mint_request request = {.header = {sizeof(request), MESSAGE_VERSION, VAULT_MINT, 7}, .env = "e1"};

	(void)snprintf(request.host, sizeof(request.host), "%s", host);
	return request;
}

static void the_gateway_is_given_leaves_and_nothing_of_the_control_planes(void **state)
{
	struct vault_mint_request mint = mint_request("api.example.com");
	struct vault_mint_request bad = mint_request("*.example.com");
	struct vault_request sign = {.header = {sizeof(sign), MESSAGE_VERSION, VAULT_PUBLIC_KEY, 8}};
	struct vault_mint_reply reply;
	struct vault_reply none;
	AUTO_BUF pem = buf_new(8192);
	struct vault *vault;
	char hash[9];
	struct err err = {0};
	X509 *leaf;
	X509 *authority;
	BIO *bio;
	int link;
	int next;

	(void)state;
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	assert_int_equal(vault_gateway_link(vault, &link, &err), 0);
	assert_int_equal(vault_authority(vault, "e1", &pem, hash, &err), 0);
	bio = BIO_new_mem_buf(pem.at, (int)pem.length);
	authority = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(authority);
	assert_true(ask(link, &mint, sizeof(mint), &reply, sizeof(reply)));
	assert_int_equal(reply.errno_value, 0);
	assert_int_equal(reply.header.request, 7);
	leaf = x509_of(view_make(reply.leaf, reply.leaf_bytes));
	assert_int_equal(verify(leaf, authority, "api.example.com"), 0);
	assert_true(ask(link, &bad, sizeof(bad), &reply, sizeof(reply)));
	assert_int_equal(reply.errno_value, EINVAL);
	/* A second link ends the first; a question of the control plane's ends the gateway's link, and nothing else. */
	assert_int_equal(vault_gateway_link(vault, &next, &err), 0);
	assert_int_equal(recv(link, &reply, sizeof(reply), 0), 0);
	assert_false(ask(next, &sign, sizeof(sign), &none, sizeof(none)));
	assert_int_equal(vault_public_key(vault, &pem, &err), 0);
	(void)close(link);
	(void)close(next);
	X509_free(leaf);
	X509_free(authority);
	(void)BIO_free(bio);
	vault_close(vault);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_is_good_for_its_name_under_its_authority_and_nowhere_else),
		cmocka_unit_test(item_73_the_key_of_the_leaves_is_not_the_authoritys_and_environments_share_none),
		cmocka_unit_test(item_73_what_is_no_canonical_host_name_gets_no_certificate),
		cmocka_unit_test(no_id_of_an_environment_no_authority),
		cmocka_unit_test(keys_are_the_same_after_a_restart_and_after_many_other_environments),
		cmocka_unit_test(the_gateway_is_given_leaves_and_nothing_of_the_control_planes),
	};
	int failed;

	if (argc > 1 && strcmp(argv[1], "vault") == 0)
		return vault_main(argc - 1, argv + 1);
	if (!mkdtemp(state_dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!file_remove_tree(state_dir, NULL);
	return failed;
}
