/* Passes: a text in fixed form, and its signature. */
#include "net/pass.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/scope.h"

#define STATEMENT_MAX 512
#define SIGNATURE_TEXT 86 /* 64 bytes in base64url */
#define SECONDS_DIGITS_MAX 11

struct pass_key {
	EVP_PKEY *key;
};

void pass_statement(const struct pass *pass, const char *host, const char *browser, struct buf *out)
{
	buf_add_format(out, "assay preview pass 1\n%s\n%s\n%lld\n%lld\n%s\n", pass->kind == PASS_LINK ? "link" : "person", host,
		       (long long)(pass->kind == PASS_LINK ? pass->serial : pass->issued_s), (long long)pass->ends_s,
		       pass->kind == PASS_LINK ? "" : browser);
}

void pass_format(const struct pass *pass, struct buf *out)
{
	AUTO_BUF text = buf_new(PASS_TEXT_MAX);

	if (pass->kind == PASS_LINK && pass->serial)
		buf_add_format(out, "l.%lld.%lld.", (long long)pass->serial, (long long)pass->ends_s);
	else if (pass->kind == PASS_LINK)
		buf_add_format(out, "l.%lld.", (long long)pass->ends_s);
	else
		buf_add_format(out, "p.%lld.%lld.", (long long)pass->issued_s, (long long)pass->ends_s);
	buf_add_base64(&text, pass->signature, sizeof(pass->signature));
	for (size_t i = 0; i < SIGNATURE_TEXT; i++)
		buf_add_char(out, text.at[i] == '+' ? '-' : text.at[i] == '/' ? '_' : text.at[i]);
}

static bool seconds_take(struct view *rest, int64_t *seconds)
{
	struct view part = view_cut(*rest, '.', rest);
	uint64_t number = 0;

	if (!rest->at || part.length > SECONDS_DIGITS_MAX || !view_to_u64(part, &number))
		return false;
	*seconds = (int64_t)number;
	return true;
}

int pass_parse(struct view text, struct pass *pass, struct err *err)
{
	AUTO_BUF bytes = buf_new(PASS_SIGNATURE_BYTES + 1);
	struct view rest;
	struct view kind = view_cut(text, '.', &rest);
	int64_t first = 0;
	bool is_numbered; /* has it two numbers? */

	*pass = (struct pass){.kind = view_is(kind, "p") ? PASS_PERSON : PASS_LINK};
	if (text.length > PASS_TEXT_MAX || (!view_is(kind, "l") && !view_is(kind, "p")) || !rest.at || !seconds_take(&rest, &first))
		return err_set(err, ERR_INVALID, "no pass");
	is_numbered = pass->kind == PASS_PERSON || memchr(rest.at, '.', rest.length);
	*(pass->kind == PASS_PERSON ? &pass->issued_s : is_numbered ? &pass->serial : &pass->ends_s) = first;
	if ((is_numbered && !seconds_take(&rest, &pass->ends_s)) || (pass->kind == PASS_LINK && is_numbered && !first) ||
	    rest.length != SIGNATURE_TEXT || memchr(rest.at, '=', rest.length) || buf_add_unbase64(&bytes, rest, NULL) ||
	    bytes.length != PASS_SIGNATURE_BYTES)
		return err_set(err, ERR_INVALID, "no pass");
	memcpy(pass->signature, bytes.at, PASS_SIGNATURE_BYTES);
	return 0;
}

int pass_key_parse(struct view pem, struct pass_key **key, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.length);
	EVP_PKEY *found = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	(void)BIO_free(bio);
	ERR_clear_error();
	if (!found || EVP_PKEY_get_id(found) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(found);
		return err_set(err, ERR_INVALID, "no Ed25519 public key");
	}
	*key = mem_new(sizeof(**key));
	(*key)->key = found;
	return 0;
}

void pass_key_free(struct pass_key *key)
{
	if (key)
		EVP_PKEY_free(key->key);
	free(key);
}

bool pass_good(const struct pass *pass, const struct pass_key *key, const char *host, const char *browser, int64_t now_s)
{
	AUTO_BUF statement = buf_new(STATEMENT_MAX);
	EVP_MD_CTX *context;
	bool good;

	if (now_s >= pass->ends_s || (pass->kind == PASS_PERSON && !browser))
		return false;
	pass_statement(pass, host, browser, &statement);
	context = EVP_MD_CTX_new();
	good = context && !statement.over && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
	       EVP_DigestVerify(context, pass->signature, PASS_SIGNATURE_BYTES, (const unsigned char *)statement.at,
				statement.length) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}
