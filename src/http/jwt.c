/* Three parts with dots between them, and OpenSSL's judgement of the last. */
#include "http/jwt.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/scope.h"

#define RSA_BITS_MIN 2048
#define P256_BYTES 32

static void key_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define AUTO_KEY __attribute__((cleanup(key_free))) EVP_PKEY *

void base64url_add(struct buf *out, const void *at, size_t length)
{
	size_t from = out->length;

	buf_add_base64(out, at, length);
	if (out->over)
		return;
	while (out->length > from && out->at[out->length - 1] == '=')
		buf_cut(out, out->length - 1);
	for (size_t i = from; i < out->length; i++)
		out->at[i] = (char)(out->at[i] == '+' ? '-' : out->at[i] == '/' ? '_' : out->at[i]);
}

/* A member of a key, as bytes. */
static int member_take(const json_t *key, const char *name, struct buf *out, struct err *err)
{
	const char *text = json_text(key, name, "");

	if (buf_add_unbase64(out, view_of(text), err) || buf_finish(out, err) || !out->length)
		return err_set(err, ERR_DENIED, "a key of the provider has no good `%s`", name);
	return 0;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM *params, struct err *err)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *made = NULL;

	if (!context || EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &made, EVP_PKEY_PUBLIC_KEY, params) != 1)
		(void)err_set(err, ERR_DENIED, "a key of the provider is none");
	EVP_PKEY_CTX_free(context);
	return made;
}

static EVP_PKEY *rsa_make(const json_t *key, struct err *err)
{
	AUTO_BUF n = buf_new(JWT_BYTES_MAX);
	AUTO_BUF e = buf_new(JWT_BYTES_MAX);
	OSSL_PARAM_BLD *builder;
	OSSL_PARAM *params = NULL;
	BIGNUM *modulus, *exponent;
	EVP_PKEY *made = NULL;

	if (member_take(key, "n", &n, err) || member_take(key, "e", &e, err))
		return NULL;
	builder = OSSL_PARAM_BLD_new();
	modulus = BN_bin2bn((const unsigned char *)n.at, (int)n.length, NULL);
	exponent = BN_bin2bn((const unsigned char *)e.at, (int)e.length, NULL);
	if (builder && modulus && exponent && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		params = OSSL_PARAM_BLD_to_param(builder);
	if (params)
		made = key_from("RSA", params, err);
	if (made && EVP_PKEY_get_bits(made) < RSA_BITS_MIN) {
		(void)err_set(err, ERR_DENIED, "a key of the provider has only %d bits", EVP_PKEY_get_bits(made));
		EVP_PKEY_free(TAKE(made));
	}
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	BN_free(modulus);
	BN_free(exponent);
	return made;
}

static EVP_PKEY *ec_make(const json_t *key, struct err *err)
{
	AUTO_BUF x = buf_new(JWT_BYTES_MAX);
	AUTO_BUF y = buf_new(JWT_BYTES_MAX);
	unsigned char point[1 + 2 * P256_BYTES] = {0x04};
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
			       OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
			       OSSL_PARAM_construct_end()};

	if (member_take(key, "x", &x, err) || member_take(key, "y", &y, err))
		return NULL;
	if (strcmp(json_text(key, "crv", ""), "P-256") != 0 || x.length != P256_BYTES || y.length != P256_BYTES) {
		(void)err_set(err, ERR_DENIED, "a key of the provider is not of P-256");
		return NULL;
	}
	memcpy(point + 1, x.at, P256_BYTES);
	memcpy(point + 1 + P256_BYTES, y.at, P256_BYTES);
	return key_from("EC", params, err);
}

/* r and s after each other become what OpenSSL reads (RFC 7518, 3.4). */
static int signature_make(struct buf *signature, struct err *err)
{
	const unsigned char *raw = (const unsigned char *)signature->at;
	unsigned char der[16 + 2 * (P256_BYTES + 2)];
	unsigned char *end = der;
	ECDSA_SIG *made = NULL;
	BIGNUM *r, *s;
	int length = -1;

	if (signature->length != 2 * P256_BYTES)
		return err_set(err, ERR_DENIED, "the token's signature has the wrong length");
	r = BN_bin2bn(raw, P256_BYTES, NULL);
	s = BN_bin2bn(raw + P256_BYTES, P256_BYTES, NULL);
	made = ECDSA_SIG_new();
	if (made && r && s && ECDSA_SIG_set0(made, r, s) == 1) {
		length = i2d_ECDSA_SIG(made, NULL) <= (int)sizeof(der) ? i2d_ECDSA_SIG(made, &end) : -1;
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(made);
	if (length < 0)
		return err_set(err, ERR_DENIED, "the token's signature is none");
	buf_clear(signature);
	buf_add(signature, der, (size_t)length);
	return 0;
}

static bool signed_by(EVP_PKEY *key, struct view text, struct view signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(context, (const unsigned char *)signature.at, signature.length, (const unsigned char *)text.at,
				     text.length) == 1;

	EVP_MD_CTX_free(context);
	return good;
}

/* May this key be the token's? */
static bool key_fits(const json_t *key, const char *id, bool ec)
{
	const char *use = json_text(key, "use", "sig");
	const char *algorithm = json_text(key, "alg", ec ? "ES256" : "RS256");

	return strcmp(json_text(key, "kty", ""), ec ? "EC" : "RSA") == 0 && strcmp(use, "sig") == 0 &&
	       strcmp(algorithm, ec ? "ES256" : "RS256") == 0 && (!id || strcmp(json_text(key, "kid", ""), id) == 0);
}

static json_t *part_parse(struct view part, struct err *err)
{
	AUTO_BUF text = buf_new(JWT_BYTES_MAX);
	json_t *json;

	if (memchr(part.at, '=', part.length) || buf_add_unbase64(&text, part, err) || buf_finish(&text, err)) {
		(void)err_set(err, ERR_DENIED, "the token is no JSON Web Token");
		return NULL;
	}
	json = json_parse(buf_view(&text), err);
	if (!json_is_object(json)) {
		json_decref(json);
		(void)err_set(err, ERR_DENIED, "the token is no JSON Web Token");
		return NULL;
	}
	return json;
}

static int signature_judge(const json_t *header, struct view text, struct buf *signature, const json_t *keys, struct err *err)
{
	const char *algorithm = json_text(header, "alg", "");
	const char *id = json_text(header, "kid", NULL);
	bool ec = strcmp(algorithm, "ES256") == 0;
	bool tried = false;
	size_t i;
	json_t *key;

	if (!ec && strcmp(algorithm, "RS256") != 0)
		return err_set(err, ERR_DENIED, "the token is signed with `%.20s`: expected RS256 or ES256", algorithm);
	if (json_member(header, "crit"))
		return err_set(err, ERR_DENIED, "the token wants something to be understood that is not");
	if (ec && signature_make(signature, err))
		return -1;
	json_array_foreach(json_member(keys, "keys"), i, key) {
		AUTO_KEY made = key_fits(key, id, ec) ? ec ? ec_make(key, err) : rsa_make(key, err) : NULL;

		tried = tried || made;
		if (made && signed_by(made, text, buf_view(signature)))
			return 0;
	}
	return tried ? err_set(err, ERR_DENIED, "the token is signed by nobody that is known")
		     : err_set(err, ERR_NOT_FOUND, "the provider has no key `%.60s` for the token", id ? id : "");
}

json_t *jwt_verify(struct view token, const json_t *keys, struct err *err)
{
	struct view rest, last, signed_text;
	struct view head = view_cut(token, '.', &rest);
	struct view body = view_cut(rest, '.', &last);
	AUTO_BUF signature = buf_new(JWT_BYTES_MAX);
	AUTO_JSON header = NULL;
	AUTO_JSON claims = NULL;

	if (token.length > JWT_BYTES_MAX || !rest.at || !last.at || memchr(last.at, '.', last.length) || !last.length) {
		(void)err_set(err, ERR_DENIED, "the token is no JSON Web Token");
		return NULL;
	}
	signed_text = view_make(token.at, head.length + 1 + body.length);
	header = part_parse(head, err);
	claims = header ? part_parse(body, err) : NULL;
	if (!claims)
		return NULL;
	if (buf_add_unbase64(&signature, last, err) || buf_finish(&signature, err)) {
		(void)err_set(err, ERR_DENIED, "the token's signature is none");
		return NULL;
	}
	return signature_judge(header, signed_text, &signature, keys, err) ? NULL : TAKE(claims);
}
