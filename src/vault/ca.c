/*
 * Certificate authorities.
 *
 * Theory of operation: there is one secret. An environment's two keys (of the authority, of its leaves) are HMACs of it over what they
 * are for and the environment's id, taken as P-256 scalars: nothing is kept for an environment, nothing is lost by a restart, and no
 * environment's key says anything about another's. A certificate is written straight as DER, then signed once: no X.509 objects, which
 * cost ten times as much.
 */
#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "vault/der.h"
#include "vault/vault_priv.h"

#define SECRET_BYTES 32
#define SECRET_FILE "ca.secret"
#define KEPT_MAX 64 /* environments whose keys are not derived again each time */
#define POINT_BYTES 65
#define SCALAR_BYTES 32
#define SERIAL_BYTES 16
#define DAY_SECONDS 86400
#define LEAF_DAYS 90
#define AUTHORITY_DAYS 1825
#define COMMON_NAME_MAX 64 /* RFC 5280, ub-common-name */

struct identity {
	char env[VAULT_ENV_MAX];
	EVP_PKEY *authority;
	EVP_PKEY *leaf;
	unsigned char authority_id[SHA_DIGEST_LENGTH];
	unsigned char leaf_id[SHA_DIGEST_LENGTH];
	unsigned char authority_point[POINT_BYTES];
	unsigned char leaf_point[POINT_BYTES];
	uint64_t used;
};

struct vault_ca {
	unsigned char secret[SECRET_BYTES];
	struct identity kept[KEPT_MAX];
	uint64_t uses;
};

#define OID_COMMON_NAME "\x55\x04\x03"
#define OID_ORGANIZATION "\x55\x04\x0a"
#define OID_ALTERNATIVE_NAME "\x55\x1d\x11"
#define OID_BASIC_CONSTRAINTS "\x55\x1d\x13"
#define OID_KEY_USAGE "\x55\x1d\x0f"
#define OID_EXTENDED_KEY_USAGE "\x55\x1d\x25"
#define OID_SUBJECT_KEY "\x55\x1d\x0e"
#define OID_AUTHORITY_KEY "\x55\x1d\x23"
#define OID_TAG 0x06

/* SEQUENCE { ecdsa-with-SHA256 } */
static const unsigned char algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
/* SEQUENCE { ecPublicKey, prime256v1 } */
static const unsigned char key_kind[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
					 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const unsigned char key_usage_leaf[] = {0x03, 0x02, 0x07, 0x80};      /* digitalSignature */
static const unsigned char key_usage_authority[] = {0x03, 0x02, 0x01, 0x06}; /* keyCertSign, cRLSign */
static const unsigned char constraints_leaf[] = {0x30, 0x00};
static const unsigned char constraints_authority[] = {0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00}; /* CA, no other below it */
static const unsigned char server_auth[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};

#define BYTES(array) view_make((array), sizeof(array))

/* ---- keys ---- */

/* 1 … n-1, without a bias worth speaking of: 512 bits are reduced to 256. */
static int scalar_derive(const struct vault_ca *ca, const char *what, const char *env, const BIGNUM *order, BIGNUM *scalar)
{
	AUTO_FREE char *label = text_format("assay %s %s", what, env);
	unsigned char bytes[SHA512_DIGEST_LENGTH];
	BIGNUM *wide = BN_secure_new();
	BIGNUM *less = BN_dup(order);
	BN_CTX *context = BN_CTX_secure_new();
	unsigned length = sizeof(bytes);
	int good;

	good = wide && less && context &&
	       HMAC(EVP_sha512(), ca->secret, SECRET_BYTES, (const unsigned char *)label, strlen(label), bytes, &length) &&
	       BN_bin2bn(bytes, (int)length, wide) && BN_sub_word(less, 1) && BN_mod(scalar, wide, less, context) &&
	       BN_add_word(scalar, 1);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	BN_clear_free(wide);
	BN_free(less);
	BN_CTX_free(context);
	return good ? 0 : -1;
}

static EVP_PKEY *key_build(const BIGNUM *scalar, const unsigned char *point)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (build && context && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_BYTES))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(context) == 1)
		(void)EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	return key;
}

static int key_derive(const struct vault_ca *ca, const char *what, const char *env, EVP_PKEY **key, unsigned char *point)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *public = group ? EC_POINT_new(group) : NULL;
	BIGNUM *scalar = BN_secure_new();

	if (public && scalar && scalar_derive(ca, what, env, EC_GROUP_get0_order(group), scalar) == 0 &&
	    EC_POINT_mul(group, public, scalar, NULL, NULL, NULL) == 1 &&
	    EC_POINT_point2oct(group, public, POINT_CONVERSION_UNCOMPRESSED, point, POINT_BYTES, NULL) == POINT_BYTES)
		*key = key_build(scalar, point);
	BN_clear_free(scalar);
	EC_POINT_free(public);
	EC_GROUP_free(group);
	return *key ? 0 : -1;
}

static void identity_fini(struct identity *identity)
{
	EVP_PKEY_free(identity->authority);
	EVP_PKEY_free(identity->leaf);
	*identity = (struct identity){0};
}

static bool env_valid(const char *env)
{
	size_t length = strnlen(env, VAULT_ENV_MAX);

	return length && length < VAULT_ENV_MAX && strspn(env, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static struct identity *identity_get(struct vault_ca *ca, const char *env, struct err *err)
{
	struct identity *oldest = &ca->kept[0];

	if (!env_valid(env)) {
		(void)err_set(err, ERR_INVALID, "no id of an environment");
		return NULL;
	}
	for (size_t i = 0; i < KEPT_MAX; i++) {
		if (ca->kept[i].used && strcmp(ca->kept[i].env, env) == 0) {
			ca->kept[i].used = ++ca->uses;
			return &ca->kept[i];
		}
		if (ca->kept[i].used < oldest->used)
			oldest = &ca->kept[i];
	}
	identity_fini(oldest);
	if (key_derive(ca, "authority", env, &oldest->authority, oldest->authority_point) ||
	    key_derive(ca, "leaf", env, &oldest->leaf, oldest->leaf_point)) {
		identity_fini(oldest);
		(void)err_set(err, ERR_BROKEN, "cannot derive a key");
		return NULL;
	}
	(void)SHA1(oldest->authority_point, POINT_BYTES, oldest->authority_id);
	(void)SHA1(oldest->leaf_point, POINT_BYTES, oldest->leaf_id);
	(void)snprintf(oldest->env, sizeof(oldest->env), "%s", env);
	oldest->used = ++ca->uses;
	return oldest;
}

/* ---- certificates ---- */

static void name_part(struct der *der, struct view oid, struct view value)
{
	size_t mark = der->at;

	der_element(der, DER_UTF8_STRING, value);
	der_element(der, OID_TAG, oid);
	der_wrap(der, DER_SEQUENCE, mark);
	der_wrap(der, DER_SET, mark);
}

static void name_write(struct der *der, struct view common)
{
	size_t mark = der->at;

	name_part(der, VIEW(OID_COMMON_NAME), common);
	name_part(der, VIEW(OID_ORGANIZATION), VIEW("Assay"));
	der_wrap(der, DER_SEQUENCE, mark);
}

static void authority_name_write(struct der *der, const struct identity *identity)
{
	char common[COMMON_NAME_MAX + 1];

	(void)snprintf(common, sizeof(common), "Assay environment %.45s", identity->env);
	name_write(der, view_of(common));
}

/* `content` is the DER of the extension's value. */
static void extension_write(struct der *der, struct view oid, bool critical, struct view content)
{
	size_t mark = der->at;

	der_element(der, DER_OCTET_STRING, content);
	if (critical)
		der_element(der, DER_BOOLEAN, VIEW("\xff"));
	der_element(der, OID_TAG, oid);
	der_wrap(der, DER_SEQUENCE, mark);
}

/* One element of `tag` around `content`, and perhaps one of `outer` around that. */
static void wrapped_extension_write(struct der *der, struct view oid, unsigned tag, unsigned outer, struct view content)
{
	size_t mark = der->at;

	der_bytes(der, content);
	der_wrap(der, tag, mark);
	if (outer)
		der_wrap(der, outer, mark);
	der_wrap(der, DER_OCTET_STRING, mark);
	der_element(der, OID_TAG, oid);
	der_wrap(der, DER_SEQUENCE, mark);
}

static void leaf_extensions_write(struct der *der, const struct identity *identity, const char *host)
{
	size_t mark = der->at;

	wrapped_extension_write(der, VIEW(OID_ALTERNATIVE_NAME), 0x82, DER_SEQUENCE, view_of(host));
	extension_write(der, VIEW(OID_EXTENDED_KEY_USAGE), false, BYTES(server_auth));
	extension_write(der, VIEW(OID_KEY_USAGE), true, BYTES(key_usage_leaf));
	extension_write(der, VIEW(OID_BASIC_CONSTRAINTS), true, BYTES(constraints_leaf));
	wrapped_extension_write(der, VIEW(OID_SUBJECT_KEY), DER_OCTET_STRING, 0, BYTES(identity->leaf_id));
	wrapped_extension_write(der, VIEW(OID_AUTHORITY_KEY), 0x80, DER_SEQUENCE, BYTES(identity->authority_id));
	der_wrap(der, DER_SEQUENCE, mark);
	der_wrap(der, 0xa3, mark);
}

static void authority_extensions_write(struct der *der, const struct identity *identity)
{
	size_t mark = der->at;

	extension_write(der, VIEW(OID_KEY_USAGE), true, BYTES(key_usage_authority));
	extension_write(der, VIEW(OID_BASIC_CONSTRAINTS), true, BYTES(constraints_authority));
	wrapped_extension_write(der, VIEW(OID_SUBJECT_KEY), DER_OCTET_STRING, 0, BYTES(identity->authority_id));
	wrapped_extension_write(der, VIEW(OID_AUTHORITY_KEY), 0x80, DER_SEQUENCE, BYTES(identity->authority_id));
	der_wrap(der, DER_SEQUENCE, mark);
	der_wrap(der, 0xa3, mark);
}

static void public_key_write(struct der *der, const unsigned char *point)
{
	size_t mark = der->at;

	der_bytes(der, view_make(point, POINT_BYTES));
	der_bytes(der, VIEW("\0")); /* no unused bits */
	der_wrap(der, DER_BIT_STRING, mark);
	der_bytes(der, BYTES(key_kind));
	der_wrap(der, DER_SEQUENCE, mark);
}

static int serial_write(struct der *der)
{
	unsigned char serial[SERIAL_BYTES];

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return -1;
	serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and as long as it looks */
	der_element(der, DER_INTEGER, BYTES(serial));
	return 0;
}

/* Signs the part that was written and puts it before the signature: the whole certificate. */
static int certificate_sign(const struct identity *identity, const struct der *part, struct buf *out, struct err *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char signature[80];
	size_t length = sizeof(signature);
	struct view bytes = der_view(part);
	struct der whole;
	size_t mark;
	bool good = context && !part->over && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, identity->authority) == 1 &&
		    EVP_DigestSign(context, signature, &length, (const unsigned char *)bytes.at, bytes.length) == 1;

	EVP_MD_CTX_free(context);
	if (!good)
		return err_set(err, ERR_BROKEN, "cannot sign a certificate");
	der_init(&whole);
	mark = whole.at;
	der_bytes(&whole, view_make(signature, length));
	der_bytes(&whole, VIEW("\0"));
	der_wrap(&whole, DER_BIT_STRING, mark);
	der_bytes(&whole, BYTES(algorithm));
	der_bytes(&whole, bytes);
	der_wrap(&whole, DER_SEQUENCE, mark);
	if (whole.over)
		return err_set(err, ERR_LIMIT, "a certificate longer than %d bytes", DER_BYTES_MAX);
	buf_add_view(out, der_view(&whole));
	return 0;
}

/* What is written before (behind) the extensions is the same for both kinds. `host` NULL: the authority's own. */
static int certificate_make(const struct identity *identity, const char *host, int64_t now, int days, struct buf *out,
			    struct err *err)
{
	struct view common = view_of(host);
	struct der der;
	size_t mark;
	size_t dates;

	der_init(&der);
	mark = der.at;
	if (host)
		leaf_extensions_write(&der, identity, host);
	else
		authority_extensions_write(&der, identity);
	public_key_write(&der, host ? identity->leaf_point : identity->authority_point);
	if (host)
		name_write(&der, common.length <= COMMON_NAME_MAX ? common : VIEW("a long name"));
	else
		authority_name_write(&der, identity);
	dates = der.at;
	der_time(&der, now + (int64_t)days * DAY_SECONDS - DAY_SECONDS);
	der_time(&der, now - DAY_SECONDS);
	der_wrap(&der, DER_SEQUENCE, dates);
	authority_name_write(&der, identity);
	der_bytes(&der, BYTES(algorithm));
	if (serial_write(&der))
		return err_set(err, ERR_BROKEN, "no random bytes");
	der_bytes(&der, VIEW("\xa0\x03\x02\x01\x02")); /* version 3 */
	der_wrap(&der, DER_SEQUENCE, mark);
	return certificate_sign(identity, &der, out, err);
}

int vault_ca_certificate(struct vault_ca *ca, const char *env, int64_t now, struct buf *der, struct err *err)
{
	const struct identity *identity = identity_get(ca, env, err);

	return identity ? certificate_make(identity, NULL, now, AUTHORITY_DAYS, der, err) : -1;
}

/* As the gateway's host_canonical: nothing that could be read as a pattern, an address or two names. */
static bool host_valid(const char *host)
{
	size_t length = strnlen(host, VAULT_HOST_MAX);
	size_t label = 0;

	if (!length || length == VAULT_HOST_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)host[i];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
		} else if ((!islower(c) && !isdigit(c) && c != '-' && c != '_') || ++label > 63) {
			return false;
		}
	}
	return label > 0;
}

int vault_ca_mint(struct vault_ca *ca, const char *env, const char *host, int64_t now, struct buf *der, struct err *err)
{
	const struct identity *identity = identity_get(ca, env, err);

	if (!identity)
		return -1;
	if (!host_valid(host))
		return err_set(err, ERR_INVALID, "no name to make a certificate for");
	return certificate_make(identity, host, now, LEAF_DAYS, der, err);
}

int vault_ca_leaf_key(struct vault_ca *ca, const char *env, struct buf *der, struct err *err)
{
	const struct identity *identity = identity_get(ca, env, err);
	unsigned char *bytes = NULL;
	int length;

	if (!identity)
		return -1;
	length = i2d_PrivateKey(identity->leaf, &bytes);
	if (length <= 0)
		return err_set(err, ERR_BROKEN, "cannot write a key");
	buf_add(der, bytes, (size_t)length);
	OPENSSL_clear_free(bytes, (size_t)length);
	return 0;
}

int vault_ca_load(const char *state_dir, struct vault_ca **ca, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/vault", state_dir);
	struct vault_ca *made = mem_new(sizeof(*made));
	AUTO_BUF first = buf_new(DER_BYTES_MAX);

	/* One certificate at once: what the library wants to find and load is found before the system calls for it are forbidden. */
	if (file_make_dirs(dir, 0700, err) || vault_secret_load(dir, SECRET_FILE, made->secret, SECRET_BYTES, err) ||
	    vault_ca_mint(made, "first", "first.invalid", 0, &first, err)) {
		vault_ca_free(made);
		return -1;
	}
	*ca = made;
	return 0;
}

void vault_ca_free(struct vault_ca *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < KEPT_MAX; i++)
		identity_fini(&ca->kept[i]);
	OPENSSL_cleanse(ca->secret, SECRET_BYTES);
	free(ca);
}
