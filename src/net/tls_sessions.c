/* A table with one place for all names of the same hash. */
#include "net/tls_sessions.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/scope.h"

struct place {
	SSL_SESSION *session; /* NULL: empty */
	char *name;
	size_t name_length;
	int64_t until_ms;
};

struct tls_sessions {
	struct place places[TLS_SESSIONS_MAX];
};

struct tls_sessions *tls_sessions_new(void)
{
	return mem_new(sizeof(struct tls_sessions));
}

static void place_clear(struct place *place)
{
	SSL_SESSION_free(place->session);
	free(place->name);
	*place = (struct place){0};
}

void tls_sessions_free(struct tls_sessions *sessions)
{
	if (!sessions)
		return;
	tls_sessions_forget(sessions, view_of(""));
	free(sessions);
}

void tls_sessions_forget(struct tls_sessions *sessions, struct view beginning)
{
	for (size_t i = 0; i < TLS_SESSIONS_MAX; i++) {
		struct place *place = &sessions->places[i];

		if (place->session && view_starts(view_make(place->name, place->name_length), beginning))
			place_clear(place);
	}
}

static struct place *place_of(struct tls_sessions *sessions, struct view name)
{
	return &sessions->places[view_hash(name) % TLS_SESSIONS_MAX];
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, struct view name, int64_t now_ms, int64_t *until_ms)
{
	struct place *place = place_of(sessions, name);
	SSL_SESSION *session;

	if (!place->session || !view_equal(view_make(place->name, place->name_length), name))
		return NULL;
	*until_ms = place->until_ms;
	if (now_ms >= place->until_ms) {
		place_clear(place);
		return NULL;
	}
	session = place->session;
	(void)SSL_SESSION_up_ref(session);
	/* Who uses one of these twice lets everybody on the way see that it is the same client (RFC 8446, C.4). */
	if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
		place_clear(place);
	return session;
}

/* For how long the host's certificate is still good. */
static int64_t certificate_ms(SSL_SESSION *session)
{
	const X509 *certificate = SSL_SESSION_get0_peer(session);
	int days = 0, seconds = 0;

	if (!certificate || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1)
		return 0;
	return ((int64_t)days * 86400 + seconds) * 1000;
}

void tls_sessions_put(struct tls_sessions *sessions, struct view name, SSL_SESSION *session, int64_t now_ms, int64_t until_ms)
{
	struct place *place = place_of(sessions, name);
	int64_t certificate = certificate_ms(session);

	if (!until_ms)
		until_ms = now_ms + TLS_SESSION_MS;
	if (until_ms > now_ms + certificate)
		until_ms = now_ms + certificate;
	place_clear(place);
	*place = (struct place){session, view_copy(name), name.length, until_ms};
}
