/*
 * tls_sessions: what a client of TLS may go on with: the sessions that hosts gave it, by name. A name says all that has to be the same for a
 * session to be used, and who may forget it by its beginning: who asks, for which host and port, with whose credential, trusting whom. So what
 * hosts could link by a session is what they see as one connection anyway.
 *
 * A session of TLS 1.3 is used once. None is used later than TLS_SESSION_MS after the certificate was verified, or when that has expired,
 * however often it was gone on with in between. One thread.
 */
#ifndef ASSAY_NET_TLS_SESSIONS_H
#define ASSAY_NET_TLS_SESSIONS_H

#include "base/buf.h"

#define TLS_SESSION_MS (60 * 60 * 1000)
#define TLS_SESSIONS_MAX 256 /* the later of two takes the place */
#define TLS_SESSION_NAME_MAX 512

struct ssl_session_st;
struct tls_sessions;

struct tls_sessions *tls_sessions_new(void);
void tls_sessions_free(struct tls_sessions *sessions); /* after those who use it; NULL is fine */
void tls_sessions_forget(struct tls_sessions *sessions, struct view beginning);

/* For tls.c. NULL: none; else it is the caller's, with the time (monotonic) until which it counts. */
struct ssl_session_st *tls_sessions_take(struct tls_sessions *sessions, struct view name, int64_t now_ms, int64_t *until_ms);
/* Takes the session. `until_ms` 0: its certificate was verified just now. */
void tls_sessions_put(struct tls_sessions *sessions, struct view name, struct ssl_session_st *session, int64_t now_ms,
		      int64_t until_ms);

#endif
