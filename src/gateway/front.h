/*
 * front: previews for people elsewhere, at https://<env>.<domain>. TLS is with the owner's certificate, or ends at the owner's proxy; nobody comes in without a pass
 * (net/pass.h): a signed link, which becomes a cookie of that one host and leaves the address, or a person's from the pages' sign-in. Who has
 * none learns nothing, not even which environments there are. Pages of other hosts, previews among them, may link here and no more.
 */
#ifndef ASSAY_GATEWAY_FRONT_H
#define ASSAY_GATEWAY_FRONT_H

#include "base/json.h"
#include "gateway/pages.h"
#include "http/codec.h"
#include "net/pass.h"
#include "net/tls.h"

#define FRONT_ENV_MAX 64
#define FRONT_HEADERS "X-Robots-Tag: noindex, nofollow\r\n" /* of every answer */
#define FRONT_FIRST_MS 15000                                /* for the handshake and the first request */

struct front;

struct front *front_new(void);
void front_free(struct front *front); /* NULL is fine */
/* FRONT (net/messages.h); `identity` -1: none came with it. What is wrong with it is the error, and all stays as it was. */
MUST_USE int front_put(struct front *front, const json_t *body, int identity, struct err *err);
/* {"serial": how often links were taken back, "from": those of a lower serial are, "refused": [[serial, ends]…] and those} of an environment; what has
 * no higher serial than what is known changes nothing. NULL: it is gone. */
void front_links_put(struct front *front, const char *env, const json_t *links);
/* May a connection come in? Not before FRONT. *tls is its session, NULL where TLS ended before. */
bool front_accept(struct front *front, int fd, struct tls **tls);

/* What a connection has shown: checked once, not for each request. */
struct front_shown {
	char pass[PASS_TEXT_MAX + 1];
	char host[PASS_HOST_MAX];
	char browser[PASS_BROWSER_HEX + 1];
	int64_t ends_s;
	uint64_t turn; /* of the front's key and domain, and what was taken back */
};

/* Is what let this connection in good no more, though it has not ended? */
bool front_is_taken_back(const struct front *front, const struct front_shown *shown);

struct front_answer {
	enum page page; /* where `location` is NULL */
	char *location; /* owned by the caller, as the next */
	char *cookie;   /* to be set; or NULL */
};

/* May this request come in? Then `env` is where to; else there is an answer. `asked` is the name of its TLS session;
 * NULL: it has none, which is right where TLS ended before. */
bool front_judge(struct front *front, const struct http_head *head, const char *asked, struct front_shown *shown,
		 char env[FRONT_ENV_MAX], struct front_answer *answer);
/* For how long what let the last request in is good; at least 1. */
int64_t front_shown_ms(const struct front_shown *shown);
/* A header line: who may show a preview within a page of theirs. Borrowed. */
const char *front_framing(const struct front *front);
/* Does the cookie (a part of a Cookie or Set-Cookie field) belong to the front? The application neither sees nor sets those. */
bool front_cookie_is_own(struct view cookie);
/* A Cookie field's value without those; appended. */
void front_cookies_write(struct buf *out, struct view value);
/* A Set-Cookie field's value for this host alone, whatever domain it asks for; appended. */
void front_set_cookie_write(struct buf *out, struct view value);

#endif
