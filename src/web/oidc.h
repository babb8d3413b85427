/*
 * oidc: who a person is, from an OpenID provider: authorization code with PKCE (RFC 7636), state, nonce, and an id token whose signature
 * (RS256, ES256) is judged with the provider's keys. The provider is found by its issuer (OpenID Connect Discovery 1.0); what it says of itself is
 * kept for an hour, its keys until a token names another one.
 *
 * Roles are words with blanks between them, `CLAIM:VALUE=ROLE`: `groups:platform=admin groups:dev=developer email:@example.com=viewer`. A claim is a text or a
 * list of texts; an address counts only when the provider has verified it, and `@example.com` is any address there. The highest role that fits is the person's;
 * who fits none is refused.
 */
#ifndef ASSAY_WEB_OIDC_H
#define ASSAY_WEB_OIDC_H

#include "base/json.h"
#include "base/world.h"

#define OIDC_SKEW_MS ((int64_t)60 * 1000) /* how far the provider's clock may be from ours */

struct oidc;

struct oidc_options {
	const char *issuer; /* https://…; http only on this machine */
	const char *client;
	const char *secret; /* NULL or "": a public client */
	const char *roles;
	struct world world;
};

/* Says what is wrong with the options; asks nobody. */
MUST_USE int oidc_open(const struct oidc_options *options, struct oidc **oidc, struct err *err);
void oidc_close(struct oidc *oidc); /* NULL is fine */

/* Where the browser is sent; owned by the caller. Blocks for the provider's answers, as the next. */
char *oidc_address(struct oidc *oidc, const char *redirect, const char *state, const char *nonce, const char *verifier,
		   struct err *err);

#define OIDC_NAME_MAX 64

struct oidc_person {
	char name[OIDC_NAME_MAX]; /* the address, or `sub@issuer's host`: never what a token may be called */
	char role[16];
};
/* ERR_DENIED: the provider, or we, do not want this person; ERR_RETRY and ERR_BROKEN: the provider does not answer, or wrongly. */
MUST_USE int oidc_exchange(struct oidc *oidc, const char *redirect, const char *code, const char *nonce, const char *verifier,
			   struct oidc_person *person, struct err *err);
/* Is `iss` of a callback (RFC 9207) the provider's, or absent where it may be? */
MUST_USE int oidc_issuer_check(struct oidc *oidc, const char *issuer, struct err *err);

/* For tests: judges claims that a key of the provider has signed. */
MUST_USE int oidc_claims_judge(const struct oidc_options *options, const json_t *claims, const char *nonce, struct err *err);
MUST_USE int oidc_role_find(const char *roles, const json_t *claims, char role[16], struct err *err);

#endif
