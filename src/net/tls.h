/*
 * tls: TLS 1.2 and 1.3 over a socket of somebody else's loop. A session reads from the socket when it is asked to and collects what it has
 * to send, so that a turn of the loop is one receive and one send. It never blocks, never takes early data, and as a client it never
 * accepts a certificate that does not verify for the host's name.
 *
 * One thread: a side and its sessions belong to the loop they are used on.
 */
#ifndef ASSAY_NET_TLS_H
#define ASSAY_NET_TLS_H

#include <sys/types.h>

#include "base/buf.h"
#include "net/tls_sessions.h"

/* Before anything else uses OpenSSL, in programs with many sessions: keeps record buffers at hand, for each thread. */
void tls_memory_keep(void);
void tls_memory_drop(void); /* those of this thread */

struct tls_side;        /* what all sessions of one side share */
struct tls_key;         /* a private key */
struct tls_certificate; /* counted */
struct tls;             /* one session */

MUST_USE int tls_server_new(struct tls_side **side, struct err *err);
/* What a server's sessions show from now on, unless they are given another: a PEM text with a certificate, those above it and their private key.
 * ERR_INVALID: it is none, the key is another's, or it has ended or is not for `host`; then what was shown before stays. */
MUST_USE int tls_server_identity(struct tls_side *side, struct view pem, const char *host, struct err *err);
/* Trusts the system's authorities and, unless NULL, those of a PEM file. */
MUST_USE int tls_client_new(const char *authorities_file, struct tls_side **side, struct err *err);
void tls_side_free(struct tls_side *side); /* NULL is fine, as below */

MUST_USE int tls_key_parse(struct view der, struct tls_key **key, struct err *err);
void tls_key_free(struct tls_key *key);
MUST_USE int tls_certificate_parse(struct view der, struct tls_certificate **certificate, struct err *err);
struct tls_certificate *tls_certificate_hold(struct tls_certificate *certificate);
void tls_certificate_release(struct tls_certificate *certificate);

/* Protocols are offered and chosen in this order; 0: none is named, as where it is not HTTP that is spoken. */
enum tls_protocol { TLS_HTTP1 = 1, TLS_HTTP2 = 2 }; /* bits */

/* The server's end of `fd`, which stays the caller's. `first` is what was already read from it. `certificate` NULL: what the side shows. */
struct tls *tls_accept(struct tls_side *side, int fd, const struct tls_certificate *certificate, const struct tls_key *key,
		       struct view first, unsigned protocols);
/* The client's end. `host` is what the certificate must be for and what is asked for by SNI. `resume`, unless NULL: goes on with a session of
 * that name, where there is one and the host wants to, and keeps those that the host gives. */
struct tls_resume {
	struct tls_sessions *sessions; /* live longer than what is connected */
	struct view name;              /* at most TLS_SESSION_NAME_MAX */
	int64_t now_ms;                /* monotonic */
};
struct tls *tls_connect(struct tls_side *side, int fd, const char *host, unsigned protocols, const struct tls_resume *resume);
bool tls_resumed(const struct tls *tls); /* after the handshake: it went on with a session */
void tls_free(struct tls *tls);

enum tls_result { TLS_DONE, TLS_MORE, TLS_FAILED };

/* Goes on with the handshake as far as the bytes reach. TLS_FAILED: err says why, and an alert may wait to be flushed. */
enum tls_result tls_handshake(struct tls *tls, struct err *err);
/* After the handshake. More than 0: so many bytes; 0: its end; -1: nothing now; -2: broken. */
ssize_t tls_read(struct tls *tls, char *at, size_t length);
/* Before the reads of one event: the socket may have something again. */
void tls_readable(struct tls *tls);
/* Encrypts all of it, to be flushed. false: broken. */
bool tls_write(struct tls *tls, struct view bytes);
void tls_end(struct tls *tls); /* says that no more is coming */
/* Sends what the socket takes. false: the peer is gone. */
bool tls_flush(struct tls *tls);
size_t tls_waiting(const struct tls *tls);             /* bytes that are not sent yet */
enum tls_protocol tls_protocol(const struct tls *tls); /* what was agreed on; TLS_HTTP1 when nothing was */
const char *tls_asked_name(const struct tls *tls);     /* of a server's session: what the client asked for by SNI; NULL: for none */

#endif
