/* A certificate that signs itself. */
#include "net/identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/scope.h"

#define DAY_S (24L * 60 * 60)
#define END "-----END CERTIFICATE-----\n"

static bool extension_add(X509 *certificate, int kind, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
	bool added = extension && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return added;
}

/* It may sign itself and nothing else. */
static bool extensions_add(X509 *certificate, const char *name)
{
	AUTO_FREE char *names = text_format("DNS:%s", name);

	return extension_add(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       extension_add(certificate, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
	       extension_add(certificate, NID_ext_key_usage, "serverAuth") &&
	       extension_add(certificate, NID_subject_alt_name, names);
}

static bool serial_set(X509 *certificate)
{
	unsigned char bytes[16];
	BIGNUM *number = NULL;
	bool done = false;

	if (RAND_bytes(bytes, sizeof(bytes)) == 1) {
		bytes[0] &= 0x7f;
		number = BN_bin2bn(bytes, sizeof(bytes), NULL);
		done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	}
	BN_free(number);
	return done;
}

static bool certificate_fill(X509 *certificate, EVP_PKEY *key, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_set_version(certificate, X509_VERSION_3) == 1 && serial_set(certificate) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S) &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), IDENTITY_YEARS * 365 * DAY_S) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, subject) == 1 && X509_set_pubkey(certificate, key) == 1 &&
	       extensions_add(certificate, name) && X509_sign(certificate, key, EVP_sha256()) > 0;
}

int identity_make(const char *name, struct buf *pem, struct err *err)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *certificate = X509_new();
	BIO *text = BIO_new(BIO_s_secmem());
	char *at = NULL;
	bool made = key && certificate && text && certificate_fill(certificate, key, name) &&
		    PEM_write_bio_X509(text, certificate) == 1 &&
		    PEM_write_bio_PKCS8PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) == 1;

	if (made) {
		long length = BIO_get_mem_data(text, &at);

		buf_add(pem, at, (size_t)length);
	}
	BIO_free(text);
	X509_free(certificate);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return made ? buf_finish(pem, err) : err_set(err, ERR_BROKEN, "cannot make a certificate for %.100s", name);
}

struct view identity_public(struct view pem)
{
	ptrdiff_t at = view_find(pem, VIEW(END));

	return view_make(pem.at, at < 0 ? 0 : (size_t)at + sizeof(END) - 1);
}
