/* A report as an in-toto statement, signed as a DSSE envelope, and the way back. */
#include "verify/record.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/digest.h"
#include "base/scope.h"
#include "base/world.h"
#include "verify/finding.h"

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define STATEMENT_BYTES_MAX ((size_t)12 << 20) /* with base64 and frame below the vault's 16 MiB */
#define ENVELOPE_BYTES_MAX ((size_t)18 << 20)
#define SIGNATURES_MAX 16
#define SIGNATURE_BYTES 64

static void bio_free(BIO **bio)
{
	(void)BIO_free(*bio);
}
#define AUTO_BIO __attribute__((cleanup(bio_free))) BIO *

static void key_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define AUTO_KEY __attribute__((cleanup(key_free))) EVP_PKEY *

static void context_free(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

/* What of a report goes into the predicate under its own name. */
static const char *const copied[] = {"verdict",  "reason",     "snapshot", "blueprint_digest", "tool",
				     "topology", "started_ms", "ms",       "attempt",          "attempts",
				     "gates",    "findings",   "noise",    "not_covered",      "artefacts",
				     "sessions", "ledger",     "claims",   "declared"};

static json_t *commit_make(const json_t *report, const char *commit, const char *tree)
{
	return json_pack("{s:s, s:s}", "gitCommit", json_text(report, commit, ""), "gitTree", json_text(report, tree, ""));
}

/* What the statement is about: the head, or, of several repositories, the head of each. */
static json_t *subject_make(const json_t *report)
{
	const json_t *repositories = json_member(report, "repositories");
	json_t *subject = json_array();
	size_t index;
	json_t *one;

	json_array_foreach(repositories, index, one)
		(void)json_array_append_new(subject, json_pack("{s:s, s:o}", "name", json_text(one, "name", ""), "digest",
							       commit_make(one, "head", "head_tree")));
	if (!json_array_size(repositories))
		(void)json_array_append_new(subject, json_pack("{s:s, s:o}", "name", json_text(report, "repository", ""), "digest",
							       commit_make(report, "head", "head_tree")));
	return subject;
}

/* [{"name", "base", "head"}]: the predicate's own base and head are all of them, joined. */
static json_t *repositories_make(const json_t *report)
{
	json_t *list = json_array();
	size_t index;
	json_t *one;

	json_array_foreach(json_member(report, "repositories"), index, one)
		(void)json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", json_text(one, "name", ""), "base",
							    commit_make(one, "base", "base_tree"), "head",
							    commit_make(one, "head", "head_tree")));
	return list;
}

static json_t *statement_make(const json_t *report, const char *previous)
{
	json_t *predicate = json_object();

	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		if (json_member(report, copied[i]))
			(void)json_object_set(predicate, copied[i], json_member(report, copied[i]));
	(void)json_object_set_new(predicate, "base", commit_make(report, "base", "base_tree"));
	(void)json_object_set_new(predicate, "head", commit_make(report, "head", "head_tree"));
	if (json_member(report, "repositories"))
		(void)json_object_set_new(predicate, "repositories", repositories_make(report));
	(void)json_object_set_new(predicate, "previous", previous[0] ? json_string(previous) : json_null());
	/* A bundle is not authenticated as a whole: the predicate says which statements belong to it. */
	(void)json_object_set_new(predicate, "attestations",
				  json_pack("[s, s, s]", RECORD_PREDICATE_TYPE, RECORD_TESTS_TYPE, RECORD_SUMMARY_TYPE));
	return json_pack("{s:s, s:o, s:s, s:o}", "_type", STATEMENT_TYPE, "subject", subject_make(report), "predicateType",
			 RECORD_PREDICATE_TYPE, "predicate", predicate);
}

/* DSSE's pre-authentication encoding: what is signed. */
static void encoding_make(struct buf *out, struct view type, struct view body)
{
	buf_add_format(out, "DSSEv1 %zu ", type.length);
	buf_add_view(out, type);
	buf_add_format(out, " %zu ", body.length);
	buf_add_view(out, body);
}

/* Takes the statement. */
static int envelope_add(json_t *made, struct signer signer, struct buf *envelope, struct err *err)
{
	AUTO_JSON statement = made;
	AUTO_JSON outer = NULL;
	AUTO_BUF body = buf_new(STATEMENT_BYTES_MAX);
	AUTO_BUF encoding = buf_new(STATEMENT_BYTES_MAX + 256);
	AUTO_BUF payload = buf_new(ENVELOPE_BYTES_MAX);
	AUTO_BUF text = buf_new(256);
	unsigned char signature[SIGNATURE_BYTES];
	char key_id[65] = "";

	if (!statement)
		return err_set(err, ERR_INVALID, "the report cannot be put into a statement");
	json_format_sorted(&body, statement);
	if (buf_finish(&body, err))
		return err_prefix(err, "the statement");
	encoding_make(&encoding, VIEW(RECORD_PAYLOAD_TYPE), buf_view(&body));
	if (signer.sign(signer.self, buf_view(&encoding), signature, key_id, err))
		return err_prefix(err, "cannot sign the record");
	buf_add_base64(&payload, body.at, body.length);
	buf_add_base64(&text, signature, sizeof(signature));
	outer = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "payloadType", RECORD_PAYLOAD_TYPE, "payload", payload.at, "signatures",
			  "keyid", key_id, "sig", text.at);
	json_format(envelope, outer);
	return buf_finish(envelope, err);
}

int record_make(const json_t *report, const char *previous, struct signer signer, struct buf *envelope, struct err *err)
{
	return envelope_add(statement_make(report, previous), signer, envelope, err);
}

static int public_key_parse(struct view pem, EVP_PKEY **key, struct err *err)
{
	AUTO_BIO bio = pem.length && pem.length < 65536 ? BIO_new_mem_buf(pem.at, (int)pem.length) : NULL;

	*key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	if (!*key || EVP_PKEY_get_id(*key) != EVP_PKEY_ED25519)
		return err_set(err, ERR_INVALID, "expected an Ed25519 public key in PEM form (-----BEGIN PUBLIC KEY-----)");
	return 0;
}

static bool signature_good(EVP_PKEY *key, struct view signature, struct view bytes)
{
	AUTO_CONTEXT context = EVP_MD_CTX_new();

	return context && signature.length == SIGNATURE_BYTES && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(context, (const unsigned char *)signature.at, signature.length, (const unsigned char *)bytes.at,
				bytes.length) == 1;
}

/* Is any of the envelope's signatures one of this key over these bytes? */
static bool signatures_good(const json_t *signatures, EVP_PKEY *key, struct view bytes)
{
	for (size_t i = 0; i < json_array_size(signatures); i++) {
		AUTO_BUF signature = buf_new(256);

		if (buf_add_unbase64(&signature, view_of(json_text(json_array_get(signatures, i), "sig", "")), NULL) == 0 &&
		    signature_good(key, buf_view(&signature), bytes))
			return true;
	}
	return false;
}

static int statement_check(const json_t *statement, struct err *err)
{
	const json_t *subject = json_array_get(json_member(statement, "subject"), 0);

	if (strcmp(json_text(statement, "_type", ""), STATEMENT_TYPE) != 0)
		return err_set(err, ERR_INVALID, "the payload is not an in-toto Statement v1");
	if (strcmp(json_text(statement, "predicateType", ""), RECORD_PREDICATE_TYPE) != 0)
		return err_set(err, ERR_INVALID, "the statement is not a verification record (%s)", RECORD_PREDICATE_TYPE);
	if (!json_text(json_member(subject, "digest"), "gitCommit", NULL))
		return err_set(err, ERR_INVALID, "the statement names no commit");
	if (!json_text(json_member(statement, "predicate"), "verdict", NULL))
		return err_set(err, ERR_INVALID, "the statement has no verdict");
	return 0;
}

/* The bytes that an envelope carries. */
static int envelope_payload(struct view envelope, json_t **outer, struct buf *body, struct err *err)
{
	const json_t *signatures;
	const char *payload;

	if (envelope.length > ENVELOPE_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "an envelope has at most %zu bytes", ENVELOPE_BYTES_MAX);
	*outer = json_parse(envelope, err);
	if (!*outer)
		return err_prefix(err, "the record");
	signatures = json_member(*outer, "signatures");
	if (json_text_get(*outer, "payload", &payload, err))
		return err_prefix(err, "the record is no DSSE envelope");
	if (strcmp(json_text(*outer, "payloadType", ""), RECORD_PAYLOAD_TYPE) != 0)
		return err_set(err, ERR_INVALID, "the record's payloadType is not %s", RECORD_PAYLOAD_TYPE);
	if (!json_is_array(signatures) || !json_array_size(signatures) || json_array_size(signatures) > SIGNATURES_MAX)
		return err_set(err, ERR_INVALID, "a record has 1 to %d signatures", SIGNATURES_MAX);
	if (buf_add_unbase64(body, view_of(payload), err) || buf_finish(body, err))
		return err_prefix(err, "the record's payload");
	return 0;
}

/* What an envelope says, when it is signed with the key. Owned by the caller; NULL: err says why not. */
static json_t *statement_open(struct view envelope, struct view public_key_pem, struct err *err)
{
	AUTO_KEY key = NULL;
	AUTO_JSON outer = NULL;
	json_t *parsed;
	AUTO_BUF body = buf_new(STATEMENT_BYTES_MAX);
	AUTO_BUF encoding = buf_new(STATEMENT_BYTES_MAX + 256);

	if (public_key_parse(public_key_pem, &key, err) || envelope_payload(envelope, &outer, &body, err))
		return NULL;
	encoding_make(&encoding, VIEW(RECORD_PAYLOAD_TYPE), buf_view(&body));
	if (!signatures_good(json_member(outer, "signatures"), key, buf_view(&encoding))) {
		(void)err_set(err, ERR_DENIED, "the signature is wrong: the record was changed, or signed with another key");
		return NULL;
	}
	parsed = json_parse(buf_view(&body), err);
	if (!parsed)
		(void)err_prefix(err, "the record's payload");
	return parsed;
}

int record_verify(struct view envelope, struct view public_key_pem, json_t **statement, struct err *err)
{
	AUTO_JSON parsed = statement_open(envelope, public_key_pem, err);

	if (!parsed || statement_check(parsed, err))
		return -1;
	*statement = TAKE(parsed);
	return 0;
}

/* ---- standard forms ---- */

static bool names(const json_t *record, const char *type)
{
	size_t index;
	json_t *one;

	json_array_foreach(json_member(json_member(record, "predicate"), "attestations"), index, one)
		if (json_is_string(one) && strcmp(json_string_value(one), type) == 0)
			return true;
	return false;
}

static bool is_verified(const json_t *predicate)
{
	return strcmp(json_text(predicate, "verdict", ""), "verified") == 0;
}

static json_t *blueprint_of(const json_t *predicate)
{
	return json_pack("{s:s, s:{s:s}}", "uri", "assay.yaml", "digest", "sha256", json_text(predicate, "blueprint_digest", ""));
}

static bool gate_warns(const json_t *predicate, const char *name)
{
	size_t index;
	json_t *finding;

	json_array_foreach(json_member(predicate, "findings"), index, finding)
		if (strcmp(json_text(finding, "gate", ""), name) == 0 && finding_is(finding, SEVERITY_WARN))
			return true;
	return false;
}

/* The list that a gate belongs to; NULL: it was not run. */
static const char *list_of(const json_t *predicate, const json_t *gate)
{
	const char *status = json_text(gate, "status", "");

	if (strcmp(status, "pass") == 0)
		return gate_warns(predicate, json_text(gate, "name", "")) ? "warnedTests" : "passedTests";
	if (strcmp(status, "unstable") == 0)
		return "warnedTests";
	return strcmp(status, "fail") == 0 ? "failedTests" : NULL;
}

/* The gates are the tests. */
static json_t *tests_make(const json_t *predicate)
{
	json_t *made = json_pack("{s:[o], s:[], s:[], s:[]}", "configuration", blueprint_of(predicate), "passedTests",
				 "warnedTests", "failedTests");
	const char *result = "FAILED";
	size_t index;
	json_t *gate;

	json_array_foreach(json_member(predicate, "gates"), index, gate) {
		const char *list = list_of(predicate, gate);

		if (list)
			(void)json_array_append(json_object_get(made, list), json_member(gate, "name"));
	}
	if (is_verified(predicate))
		result = json_array_size(json_object_get(made, "warnedTests")) ? "WARNED" : "PASSED";
	(void)json_object_set_new(made, "result", json_string(result));
	return made;
}

/* What we look at is no level of SLSA's build track: a value of our own says so. */
static json_t *summary_make(const json_t *record, const char *digest)
{
	const json_t *predicate = json_member(record, "predicate");
	const json_t *subject = json_array_get(json_member(record, "subject"), 0);
	AUTO_FREE char *uri = text_format("git:%s@%s", json_text(subject, "name", ""),
					  json_text(json_member(subject, "digest"), "gitCommit", ""));
	AUTO_FREE char *note = text_format("%s#refs/notes/verify", uri);
	AUTO_BUF when = buf_new(64);
	bool verified = is_verified(predicate);

	time_format(&when, json_number(predicate, "started_ms", 0) + json_number(predicate, "ms", 0));
	return json_pack("{s:{s:s, s:{s:s}}, s:s, s:s, s:o, s:[{s:s, s:{s:s}}], s:s, s:[s], s:s}", "verifier", "id",
			 "https://assay.dev/verifier", "version", "assay", json_text(json_member(predicate, "tool"), "version", ""),
			 "timeVerified", when.at, "resourceUri", uri, "policy", blueprint_of(predicate), "inputAttestations", "uri",
			 note, "digest", "sha256", digest, "verificationResult", verified ? "PASSED" : "FAILED", "verifiedLevels",
			 verified ? "ASSAY_BEHAVIOUR_VERIFIED" : "FAILED", "slsaVersion", "1.0");
}

/* Takes the predicate. */
static int line_add(const json_t *record, const char *type, json_t *predicate, struct signer signer, struct buf *bundle,
		    struct err *err)
{
	json_t *statement = json_pack("{s:s, s:O, s:s, s:o}", "_type", STATEMENT_TYPE, "subject", json_member(record, "subject"),
				      "predicateType", type, "predicate", predicate);

	if (envelope_add(statement, signer, bundle, err))
		return -1;
	buf_add_char(bundle, '\n');
	return 0;
}

int record_bundle(struct view envelope, struct signer signer, struct buf *bundle, struct err *err)
{
	struct digest digest = digest_of(envelope);
	AUTO_BUF body = buf_new(STATEMENT_BYTES_MAX);
	AUTO_JSON outer = NULL;
	AUTO_JSON record = NULL;

	if (envelope_payload(envelope, &outer, &body, err))
		return -1;
	record = json_parse(buf_view(&body), err);
	if (!record || statement_check(record, err))
		return -1;
	if (names(record, RECORD_TESTS_TYPE) &&
	    line_add(record, RECORD_TESTS_TYPE, tests_make(json_member(record, "predicate")), signer, bundle, err))
		return -1;
	if (names(record, RECORD_SUMMARY_TYPE) &&
	    line_add(record, RECORD_SUMMARY_TYPE, summary_make(record, digest.text), signer, bundle, err))
		return -1;
	buf_add_view(bundle, envelope);
	return buf_finish(bundle, err);
}

/* One that is no record: does it belong to this one? */
static int companion_check(const json_t *statement, const json_t *record, struct view envelope, struct err *err)
{
	const char *type = json_text(statement, "predicateType", "");
	const json_t *input = json_array_get(json_member(json_member(statement, "predicate"), "inputAttestations"), 0);

	if (strcmp(type, RECORD_PREDICATE_TYPE) == 0) /* a file of several records: the last one counts */
		return statement_check(statement, err);
	if (!names(record, type))
		return err_set(err, ERR_DENIED, "the bundle has a statement that its record does not name: %.120s", type);
	if (!json_equal(json_member(statement, "subject"), json_member(record, "subject")))
		return err_set(err, ERR_DENIED, "a statement of the bundle is about another commit: %.120s", type);
	if (strcmp(type, RECORD_SUMMARY_TYPE) == 0 &&
	    strcmp(json_text(json_member(input, "digest"), "sha256", ""), digest_of(envelope).text) != 0)
		return err_set(err, ERR_DENIED, "the bundle has a summary of another record");
	return 0;
}

int record_bundle_verify(struct view bundle, struct view public_key_pem, json_t **statement, struct err *err)
{
	struct view rest = view_trim(bundle);
	const char *newline = rest.length ? memrchr(rest.at, '\n', rest.length) : NULL;
	struct view envelope = newline ? view_make(newline + 1, rest.length - (size_t)(newline + 1 - rest.at)) : rest;
	AUTO_JSON record = NULL;

	if (newline && envelope.at[0] != '{') /* one that is indented ends in a lone bracket */
		return record_verify(rest, public_key_pem, statement, err);
	if (record_verify(envelope, public_key_pem, &record, err))
		return -1;
	rest.length -= envelope.length;
	while (rest.length) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));
		AUTO_JSON one = line.length ? statement_open(line, public_key_pem, err) : NULL;

		if (line.length && (!one || companion_check(one, record, envelope, err)))
			return err_prefix(err, "the bundle");
	}
	*statement = TAKE(record);
	return 0;
}
