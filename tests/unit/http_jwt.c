/* Tokens of others: what is taken, and every way to get one wrong. Keys are made here, and tokens signed with them by OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/scope.h"
#include "http/jwt.h"

static EVP_PKEY *rsa, *ec, *other;
static json_t *keys;

static void number_add(json_t *key, const char *name, const EVP_PKEY *from, const char *param)
{
	BIGNUM *number = NULL;
	unsigned char bytes[1024];
	AUTO_BUF text = buf_new(4096);

	assert_int_equal(EVP_PKEY_get_bn_param(from, param, &number), 1);
	base64url_add(&text, bytes, (size_t)BN_bn2bin(number, bytes));
	(void)json_object_set_new(key, name, json_string(text.at));
	BN_free(number);
}

static void point_add(json_t *key, const EVP_PKEY *from)
{
	BIGNUM *x = NULL, *y = NULL;
	unsigned char bytes[32];
	AUTO_BUF one = buf_new(256);
	AUTO_BUF two = buf_new(256);

	assert_int_equal(EVP_PKEY_get_bn_param(from, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
	assert_int_equal(EVP_PKEY_get_bn_param(from, OSSL_PKEY_PARAM_EC_PUB_Y, &y), 1);
	(void)BN_bn2binpad(x, bytes, sizeof(bytes));
	base64url_add(&one, bytes, sizeof(bytes));
	(void)BN_bn2binpad(y, bytes, sizeof(bytes));
	base64url_add(&two, bytes, sizeof(bytes));
	(void)json_object_set_new(key, "x", json_string(one.at));
	(void)json_object_set_new(key, "y", json_string(two.at));
	BN_free(x);
	BN_free(y);
}

static int keys_make(void **state)
{
	json_t *first = json_pack("{s:s, s:s, s:s, s:s}", "kty", "RSA", "kid", "r", "use", "sig", "alg", "RS256");
	json_t *second = json_pack("{s:s, s:s, s:s}", "kty", "EC", "kid", "e", "crv", "P-256");

	(void)state;
	rsa = EVP_RSA_gen(2048);
	other = EVP_RSA_gen(2048);
	ec = EVP_EC_gen("P-256");
	if (!rsa || !other || !ec)
		return -1;
	number_add(first, "n", rsa, OSSL_PKEY_PARAM_RSA_N);
	number_add(first, "e", rsa, OSSL_PKEY_PARAM_RSA_E);
	point_add(second, ec);
	keys = json_pack("{s:[o, o]}", "keys", first, second);
	return 0;
}

static int keys_free(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ec);
	json_decref(keys);
	return 0;
}

/* r and s after each other, of what OpenSSL writes. */
static size_t raw_make(unsigned char *signature, size_t length)
{
	const unsigned char *at = signature;
	ECDSA_SIG *read = d2i_ECDSA_SIG(NULL, &at, (long)length);
	unsigned char raw[64];

	(void)BN_bn2binpad(ECDSA_SIG_get0_r(read), raw, 32);
	(void)BN_bn2binpad(ECDSA_SIG_get0_s(read), raw + 32, 32);
	ECDSA_SIG_free(read);
	memcpy(signature, raw, sizeof(raw));
	return sizeof(raw);
}

/* Owned by the caller. */
static char *token_make(const char *header, const char *claims, EVP_PKEY *key)
{
	AUTO_BUF out = buf_new(JWT_BYTES_MAX);
	unsigned char signature[512];
	size_t length = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	base64url_add(&out, header, strlen(header));
	buf_add_char(&out, '.');
	base64url_add(&out, claims, strlen(claims));
	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, signature, &length, (const unsigned char *)out.at, out.length), 1);
	EVP_MD_CTX_free(context);
	if (key == ec)
		length = raw_make(signature, length);
	buf_add_char(&out, '.');
	base64url_add(&out, signature, length);
	return buf_take(&out);
}

#define CLAIMS "{\"sub\":\"ann\"}"

static void a_token_is_judged_by_its_signature_and_nothing_it_says(void **state)
{
	const struct {
		const char *header;
		EVP_PKEY *key;
		enum err_kind kind;
		const char *says;
	} rows[] = {
		{"{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, ERR_NONE, ""},
		{"{\"alg\":\"RS256\"}", rsa, ERR_NONE, ""},
		{"{\"alg\":\"ES256\",\"kid\":\"e\",\"typ\":\"JWT\"}", ec, ERR_NONE, ""},
		{"{\"alg\":\"RS256\",\"kid\":\"r\"}", other, ERR_DENIED, "signed by nobody that is known"},
		{"{\"alg\":\"RS256\",\"kid\":\"new\"}", rsa, ERR_NOT_FOUND, "no key `new`"},
		{"{\"alg\":\"RS256\",\"kid\":\"e\"}", rsa, ERR_NOT_FOUND, "no key `e`"},
		{"{\"alg\":\"ES256\",\"kid\":\"r\"}", ec, ERR_NOT_FOUND, "no key `r`"},
		{"{\"alg\":\"ES256\",\"kid\":\"e\"}", rsa, ERR_DENIED, "wrong length"},
		{"{\"alg\":\"none\"}", rsa, ERR_DENIED, "signed with `none`"},
		{"{\"alg\":\"HS256\",\"kid\":\"r\"}", rsa, ERR_DENIED, "signed with `HS256`"},
		{"{\"alg\":\"RS512\",\"kid\":\"r\"}", rsa, ERR_DENIED, "signed with `RS512`"},
		{"{\"kid\":\"r\"}", rsa, ERR_DENIED, "signed with ``"},
		{"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"x\"]}", rsa, ERR_DENIED, "to be understood"},
		{"{\"alg\":\"RS256\",\"jwk\":{}}", other, ERR_DENIED, "nobody that is known"},
		{"[]", rsa, ERR_DENIED, "no JSON Web Token"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *token = token_make(rows[i].header, CLAIMS, rows[i].key);
		struct err err = {0};
		AUTO_JSON claims = jwt_verify(view_of(token), keys, &err);

		if ((rows[i].kind == ERR_NONE) != (claims != NULL) ||
		    (!claims && (err.kind != rows[i].kind || !strstr(err.text, rows[i].says))))
			fail_msg("%s: %s", rows[i].header, claims ? "taken" : err.text);
		if (claims)
			assert_string_equal(json_text(claims, "sub", ""), "ann");
	}
}

static void what_is_no_token_is_none(void **state)
{
	AUTO_FREE char *good = token_make("{\"alg\":\"RS256\"}", CLAIMS, rsa);
	AUTO_FREE char *changed = text_copy(good);
	AUTO_FREE char *longer = text_format("%s.x", good);
	const char *const rows[] = {"", ".", "..", "a.b", "a.b.c", "e30.e30.", ".e30.e30", "e30=.e30.e30", changed, longer};

	(void)state;
	changed[strlen(changed) / 2] ^= 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		if (jwt_verify(view_of(rows[i]), keys, &err) || err.kind != ERR_DENIED)
			fail_msg("%s: %s", rows[i], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_judged_by_its_signature_and_nothing_it_says),
		cmocka_unit_test(what_is_no_token_is_none),
	};

	return cmocka_run_group_tests(tests, keys_make, keys_free);
}
