/*
 * aws: requests that are signed for AWS (Signature Version 4, in the field Authorization). A sandbox signs with the placeholder of its secret key; the
 * gateway checks that, and signs anew with a key that the vault makes for that day, region and service. What is signed piece by piece while it
 * is sent, and URLs that carry their signature, cannot be signed anew.
 */
#ifndef ASSAY_GATEWAY_EGRESS_AWS_H
#define ASSAY_GATEWAY_EGRESS_AWS_H

#include "gateway/egress/request.h"
#include "net/sigv4.h"

/* What Authorization says; views into it. */
struct aws_claim {
	struct view key_id;
	struct view scope;  /* day/region/service */
	struct view fields; /* signed ones: a;b;c */
	struct view signature;
};

bool aws_is_signed(struct view authorization); /* so it says */
bool aws_claim_parse(struct view authorization, struct aws_claim *claim);
/* Why a request cannot be signed anew, whoever holds the key; NULL: it can. A constant. */
const char *aws_cannot(const struct egress_request *request);
/* Its signature, appended. `body` is all of it, or `whole` is false. Why there is none: a constant; NULL: there is one. */
const char *aws_sign(const struct egress_request *request, const struct aws_claim *claim, struct view body, bool whole,
		     const unsigned char key[SIGV4_KEY_BYTES], struct buf *out);
/* The claim with another signature, appended. */
void aws_claim_format(const struct aws_claim *claim, struct view signature, struct buf *out);

#endif
