/*
 * record: the signed statement of a verdict: in-toto Statement v1 in a DSSE envelope (secure-systems-lab/dsse protocol.md,
 * in-toto/attestation spec v1). The bytes that are signed are "DSSEv1 <type length> <type> <body length> <body>".
 */
#ifndef ASSAY_VERIFY_RECORD_H
#define ASSAY_VERIFY_RECORD_H

#include "base/json.h"

#define RECORD_PAYLOAD_TYPE "application/vnd.in-toto+json"
#define RECORD_PREDICATE_TYPE "https://assay.dev/verification/v1"
#define RECORD_TESTS_TYPE \
	"https://in-toto.io/attestation/test-result/v0.1"              /* in-toto/attestation, spec/predicates/test-result.md */
#define RECORD_SUMMARY_TYPE "https://slsa.dev/verification_summary/v1" /* slsa.dev/spec/v1.0/verification_summary */

/* Signs bytes and says with which key; implemented over the vault by the caller. `signature` gets 64 bytes (Ed25519). */
struct signer {
	int (*sign)(void *self, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err);
	void *self;
};

/* One DSSE envelope (one line of JSON, no newline) about the report of verify_run(), with a member "ledger" (heads, as lines) if it has one. One with
 * "repositories" ([{"name", "base", "head", "base_tree", "head_tree"}]) is about all of their heads. `previous` is the digest of the repository's record
 * before this one, or "". */
MUST_USE int record_make(const json_t *report, const char *previous, struct signer signer, struct buf *envelope, struct err *err);

/* The same verdict for who reads standard forms: a test result and a SLSA verification summary, signed as the record is, and the record itself, which
 * comes last: JSON lines (in-toto/attestation, spec/v1/bundle.md). Of one record it is always the same. A record that does not name those forms comes
 * alone. */
MUST_USE int record_bundle(struct view envelope, struct signer signer, struct buf *bundle, struct err *err);
/* Checks all lines of a bundle: each signed with the key, the last a record (*statement), the others records before it, or about the same commits, named
 * by it, and a summary of that very record. A single envelope is a bundle, too. */
MUST_USE int record_bundle_verify(struct view bundle, struct view public_key_pem, json_t **statement, struct err *err);

/* Checks the signature with a public key (PEM, SubjectPublicKeyInfo) and the statement's shape; *statement is owned by the caller. A
 * wrong signature is ERR_DENIED, a malformed envelope ERR_INVALID. */
MUST_USE int record_verify(struct view envelope, struct view public_key_pem, json_t **statement, struct err *err);

#endif
