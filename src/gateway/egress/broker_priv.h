/* broker_priv: what the files of the broker share: its credentials (broker.c), judging (broker_judge.c), putting in (broker_apply.c). */
#ifndef ASSAY_GATEWAY_EGRESS_BROKER_PRIV_H
#define ASSAY_GATEWAY_EGRESS_BROKER_PRIV_H

#include "gateway/egress/broker.h"

#define MARK VIEW(CREDENTIAL_MARK)
#define TAG_VALUE 1 /* of what a swap found: a placeholder that a value is put in for */
#define TAG_STRAY 2 /* one that may not be there */

struct broker_credential {
	char name[CREDENTIAL_NAME_MAX];
	char *placeholder;
	size_t placeholder_bytes;
	size_t mark_at; /* of CREDENTIAL_MARK in it */
	struct credential_use use;
};

struct broker {
	struct broker_credential *credentials;
	size_t count;
	size_t references;
	struct swap *strays; /* finds placeholders in a body that none goes into; made when it is first wanted */
};

enum credential_scheme broker_scheme(const struct egress_request *request);
bool broker_want_signs(const struct broker *broker, const struct broker_want *want); /* it does not go into the request as it is */
/* A field's value of Basic authentication, without its coding. */
bool broker_basic_decode(struct view value, struct buf *out);
void broker_refuse(struct egress_verdict *verdict, const char *rule, const char *why, const char *remedy);

#endif
