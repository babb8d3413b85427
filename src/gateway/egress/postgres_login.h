/*
 * postgres_login: the beginning of a connection of the PostgreSQL protocol (version 3, "Message Flow" and "Message Formats" of its manual),
 * from both ends: what a client asks for, and how a server is shown a password (in clear, by MD5, by SCRAM-SHA-256 of RFC 5802 and 7677). Only
 * bytes in and bytes out: sockets are egress/login.h's. Nothing blocks but postgres_auth_work(), which is for another thread.
 */
#ifndef ASSAY_GATEWAY_EGRESS_POSTGRES_LOGIN_H
#define ASSAY_GATEWAY_EGRESS_POSTGRES_LOGIN_H

#include "base/buf.h"

#define POSTGRES_START_BYTES_MAX 10000 /* PostgreSQL's own limit */
#define POSTGRES_AUTH_BYTES_MAX 65536  /* of one message of a server before it is convinced */
#define POSTGRES_DATABASE_MAX 64       /* with its NUL: PostgreSQL's own limit */
#define POSTGRES_NONCE_BYTES 18
#define POSTGRES_ITERATIONS_MAX 1000000 /* that a server may ask for: about a second on the pool */

/* ---- the client's end ---- */

enum postgres_start_kind {
	POSTGRES_START_MORE,
	POSTGRES_START_BAD, /* not version 3, not in one reading only, or what no rule can name: `why` is a constant */
	POSTGRES_START_TLS,
	POSTGRES_START_GSS,
	POSTGRES_START_CANCEL,
	POSTGRES_START_LOGIN,
};

struct postgres_start {
	struct view packet; /* all of it, as it came */
	char user[POSTGRES_DATABASE_MAX];
	char database[POSTGRES_DATABASE_MAX]; /* the user's name where none was named */
	const char *why;
};

/* The packet at the front of `bytes`. */
enum postgres_start_kind postgres_start_parse(struct view bytes, struct postgres_start *start);
/* A PasswordMessage at the front: 1 and its text; 0: more is needed; -1: it is none. */
int postgres_password_parse(struct view bytes, struct view *password, size_t *used);

/* What a gateway says. */
void postgres_ask_password(struct buf *out);
void postgres_ask_tls(struct buf *out);
/* An ErrorResponse that ends the connection. `code` is an SQLSTATE. */
void postgres_fatal_format(struct buf *out, const char *code, const char *text, const char *hint);

/* ---- the server's end ---- */

struct postgres_auth;

enum postgres_auth_result {
	POSTGRES_AUTH_MORE,
	POSTGRES_AUTH_WORK,    /* have postgres_auth_work() called, then feed it again, perhaps with nothing */
	POSTGRES_AUTH_DONE,    /* AuthenticationOk came; what is left of `bytes` is for the client */
	POSTGRES_AUTH_REFUSED, /* the server's ErrorResponse is in `back` */
	POSTGRES_AUTH_BROKEN, /* it breaks the protocol, cannot prove that it knows the password, or wants what is not spoken: `why` */
};

/* Copies the password, which is wiped when it is freed. `nonce` is fresh randomness; `clear`: the server may have the password itself. */
struct postgres_auth *postgres_auth_new(const char *user, struct view password, bool clear,
					const unsigned char nonce[POSTGRES_NONCE_BYTES]);
void postgres_auth_free(struct postgres_auth *auth); /* NULL is fine */
/* Takes the server's messages from the front of *bytes. `out` is for the server; `back` for the client, before anything of the rest. */
enum postgres_auth_result postgres_auth_feed(struct postgres_auth *auth, struct view *bytes, struct buf *out, struct buf *back,
					     const char **why);
void postgres_auth_work(struct postgres_auth *auth); /* blocks for as long as the server's iterations take */

#endif
