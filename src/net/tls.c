/*
 * TLS by OpenSSL.
 *
 * Theory of operation: OpenSSL sees a BIO of ours. Reading, it takes first what came before the session, then the socket; once the
 * socket gave less than was asked for it is taken to be empty until the next event, which saves the call that would say so. Writing
 * collects records, so that a handshake's flight, or a head and its body, leave together. OpenSSL's own buffers are released whenever
 * they are empty: an idle session is some kilobytes.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/scope.h"

#define READ_BUFFER_BYTES ((size_t)32 << 10)
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
/* OpenSSL's ..._ctrl functions take what they only read as not const, and its macros around them cast: clang does not like that. */
#define UNCONST(text) ((void *)(uintptr_t)(text))

struct tls_side {
	SSL_CTX *context;
	BIO_METHOD *method;
	struct buf_spares spares; /* for what sessions send */
};

struct tls_key {
	EVP_PKEY *pair;
};

struct tls_certificate {
	X509 *x509;
	unsigned count;
};

struct tls {
	struct tls_side *side;
	SSL *ssl;
	int fd;
	unsigned protocols;
	struct buf first; /* read before us */
	size_t first_at;
	struct buf out;
	size_t out_at;
	bool dry;   /* the socket has nothing until the next event */
	bool ended; /* the socket ended */
	bool broken;
	/* a client that keeps sessions */
	struct tls_sessions *sessions; /* NULL: it does not */
	struct buf session_name;
	int64_t at_ms;
	int64_t until_ms; /* of the session that it went on with; 0: none was there */
};

/* OpenSSL's own clearing goes over all sixteen places, whatever is in them: before each read and write there is rarely anything. */
static void complaints_clear(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *at, int wanted)
{
	struct tls *tls = BIO_get_data(bio);
	size_t length = (size_t)wanted;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (tls->first_at < tls->first.length) {
		size_t left = tls->first.length - tls->first_at;

		length = left < length ? left : length;
		memcpy(at, tls->first.at + tls->first_at, length);
		tls->first_at += length;
		if (tls->first_at == tls->first.length) {
			buf_fini(&tls->first);
			tls->first_at = 0;
		}
		return (int)length;
	}
	if (!tls->dry && !tls->ended) {
		got = recv(tls->fd, at, length, 0);
		tls->dry = got < (ssize_t)length;
		if (got > 0)
			return (int)got;
		if (got == 0)
			tls->ended = true;
		else if (errno != EAGAIN && errno != EINTR)
			return -1;
	}
	if (tls->ended)
		return 0;
	BIO_set_retry_read(bio);
	return -1;
}

static int bio_write(BIO *bio, const char *at, int length)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	buf_borrow(&tls->out, &tls->side->spares);
	buf_add(&tls->out, at, (size_t)length);
	return length;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	const struct tls *tls = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return tls && tls->ended;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* ---- sides ---- */

/* The first of OpenSSL's complaints, for people. */
static const char *complaint(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	return reason ? reason : "the connection ended";
}

static const unsigned char http1_name[] = "\x08http/1.1";
static const unsigned char both_names[] = "\x02h2\x08http/1.1";

static struct view protocols_names(unsigned protocols)
{
	return protocols & TLS_HTTP2 ? view_make(both_names, sizeof(both_names) - 1)
				     : view_make(http1_name, sizeof(http1_name) - 1);
}

static int protocol_select(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
			   unsigned offered_length, void *self)
{
	const struct tls *tls = SSL_get_app_data(ssl);
	struct view names = protocols_names(tls->protocols);
	unsigned char *found;

	(void)self;
	if (!tls->protocols)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto(&found, length, (const unsigned char *)names.at, (unsigned)names.length, offered,
				  offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*chosen = found;
	return SSL_TLSEXT_ERR_OK;
}

static struct tls_side *side_new(const SSL_METHOD *method, struct err *err)
{
	struct tls_side *side = mem_new(sizeof(*side));

	side->context = SSL_CTX_new(method);
	side->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "assay");
	if (!side->context || !side->method || BIO_meth_set_read(side->method, bio_read) != 1 ||
	    BIO_meth_set_write(side->method, bio_write) != 1 || BIO_meth_set_ctrl(side->method, bio_ctrl) != 1 ||
	    BIO_meth_set_create(side->method, bio_create) != 1 ||
	    SSL_CTX_set_min_proto_version(side->context, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(side->context, SUITES) != 1 ||
	    SSL_CTX_ctrl(side->context, SSL_CTRL_SET_GROUPS_LIST, 0, UNCONST(GROUPS)) != 1 ||
	    SSL_CTX_set_num_tickets(side->context, 0) != 1) {
		(void)err_set(err, ERR_BROKEN, "cannot set up TLS: %s", complaint());
		tls_side_free(side);
		return NULL;
	}
	/* A peer that closes without saying so: lengths say whether something is missing, as for everybody else. */
	(void)SSL_CTX_set_options(side->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(side->context,
			       SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(side->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(side->context, 1);
	SSL_CTX_set_default_read_buffer_len(side->context, READ_BUFFER_BYTES);
	return side;
}

int tls_server_new(struct tls_side **side, struct err *err)
{
	*side = side_new(TLS_server_method(), err);
	if (!*side)
		return -1;
	(void)SSL_CTX_set_options((*side)->context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_max_early_data((*side)->context, 0);
	SSL_CTX_set_alpn_select_cb((*side)->context, protocol_select, NULL);
	return 0;
}

/* The host gave a session. 1: it is ours. */
static int session_came(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_get_app_data(ssl);

	if (!tls->sessions)
		return 0;
	tls_sessions_put(tls->sessions, buf_view(&tls->session_name), session, tls->at_ms, tls_resumed(tls) ? tls->until_ms : 0);
	return 1;
}

#define CHAIN_MAX 8

/* The certificates of a PEM text in their order, and its private key, wherever it stands. */
static int identity_parse(struct view pem, X509 **leaf, STACK_OF(X509) * chain, EVP_PKEY **key, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.length);
	X509 *next;
	int problem = 0;

	while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) && !problem) {
		if (!*leaf)
			*leaf = next;
		else if (sk_X509_num(chain) >= CHAIN_MAX || !sk_X509_push(chain, next))
			problem = err_set(err, ERR_INVALID, "more than %d certificates above the first", CHAIN_MAX);
		if (problem)
			X509_free(next);
	}
	(void)BIO_free(bio);
	bio = BIO_new_mem_buf(pem.at, (int)pem.length);
	*key = PEM_read_bio_PrivateKey(bio, NULL, NULL, UNCONST("")); /* none with a password: nobody is asked for one */
	(void)BIO_free(bio);
	if (problem)
		return -1;
	if (!*leaf)
		return err_set(err, ERR_INVALID, "there is no certificate");
	return *key ? 0 : err_set(err, ERR_INVALID, "there is no private key without a password");
}

static int identity_check(X509 *leaf, const EVP_PKEY *key, const char *host, struct err *err)
{
	if (X509_check_private_key(leaf, key) != 1)
		return err_set(err, ERR_INVALID, "the private key is not the certificate's");
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
		return err_set(err, ERR_INVALID, "the certificate has ended");
	if (X509_check_host(leaf, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
		return err_set(err, ERR_INVALID, "the certificate is not for %s", host);
	return 0;
}

int tls_server_identity(struct tls_side *side, struct view pem, const char *host, struct err *err)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	EVP_PKEY *key = NULL;
	X509 *leaf = NULL;
	int failed = identity_parse(pem, &leaf, chain, &key, err) || identity_check(leaf, key, host, err);

	if (!failed && SSL_CTX_use_cert_and_key(side->context, leaf, key, chain, 1) != 1)
		failed = err_set(err, ERR_INVALID, "the certificate cannot be used: %s", complaint());
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return failed ? -1 : 0;
}

int tls_client_new(const char *authorities_file, struct tls_side **side, struct err *err)
{
	struct tls_side *made = side_new(TLS_client_method(), err);

	if (!made)
		return -1;
	SSL_CTX_set_verify(made->context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_session_cache_mode(made->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(made->context, session_came);
	if (SSL_CTX_set_default_verify_paths(made->context) != 1)
		(void)err_set(err, ERR_BROKEN, "cannot use the system's certificate authorities: %s", complaint());
	else if (authorities_file && SSL_CTX_load_verify_file(made->context, authorities_file) != 1)
		(void)err_set(err, ERR_INVALID, "cannot read certificate authorities from %s: %s", authorities_file, complaint());
	else
		*side = made;
	ERR_clear_error();
	if (*side == made)
		return 0;
	tls_side_free(made);
	return -1;
}

void tls_side_free(struct tls_side *side)
{
	if (!side)
		return;
	SSL_CTX_free(side->context);
	BIO_meth_free(side->method);
	buf_spares_fini(&side->spares);
	free(side);
}

/* ---- keys and certificates ---- */

int tls_key_parse(struct view der, struct tls_key **key, struct err *err)
{
	const unsigned char *at = (const unsigned char *)der.at;
	EVP_PKEY *pair = d2i_AutoPrivateKey(NULL, &at, (long)der.length);

	ERR_clear_error();
	if (!pair)
		return err_set(err, ERR_INVALID, "no private key");
	*key = mem_new(sizeof(**key));
	(*key)->pair = pair;
	return 0;
}

void tls_key_free(struct tls_key *key)
{
	if (key)
		EVP_PKEY_free(key->pair);
	free(key);
}

int tls_certificate_parse(struct view der, struct tls_certificate **certificate, struct err *err)
{
	const unsigned char *at = (const unsigned char *)der.at;
	X509 *x509 = d2i_X509(NULL, &at, (long)der.length);

	ERR_clear_error();
	if (!x509)
		return err_set(err, ERR_INVALID, "no certificate");
	*certificate = mem_new(sizeof(**certificate));
	**certificate = (struct tls_certificate){x509, 1};
	return 0;
}

struct tls_certificate *tls_certificate_hold(struct tls_certificate *certificate)
{
	certificate->count++;
	return certificate;
}

void tls_certificate_release(struct tls_certificate *certificate)
{
	if (!certificate || --certificate->count)
		return;
	X509_free(certificate->x509);
	free(certificate);
}

/* ---- sessions ---- */

static struct tls *tls_new(struct tls_side *side, int fd, unsigned protocols)
{
	struct tls *tls = mem_new(sizeof(*tls));
	BIO *bio = BIO_new(side->method);

	tls->ssl = SSL_new(side->context);
	if (!tls->ssl || !bio)
		abort(); /* out of memory */
	tls->side = side;
	tls->fd = fd;
	tls->protocols = protocols;
	tls->first = buf_new(SIZE_MAX / 4);
	tls->out = buf_new(SIZE_MAX / 4); /* bounded by its user, who does not write while much waits */
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	(void)SSL_set_app_data(tls->ssl, tls);
	return tls;
}

struct tls *tls_accept(struct tls_side *side, int fd, const struct tls_certificate *certificate, const struct tls_key *key,
		       struct view first, unsigned protocols)
{
	struct tls *tls = tls_new(side, fd, protocols);

	complaints_clear();
	buf_add_view(&tls->first, first);
	if (certificate && SSL_use_cert_and_key(tls->ssl, certificate->x509, key->pair, NULL, 1) != 1)
		tls->broken = true; /* the handshake says so */
	SSL_set_accept_state(tls->ssl);
	return tls;
}

static void session_use(struct tls *tls, const struct tls_resume *resume)
{
	SSL_SESSION *session = tls_sessions_take(resume->sessions, resume->name, resume->now_ms, &tls->until_ms);

	tls->sessions = resume->sessions;
	tls->session_name = buf_new(TLS_SESSION_NAME_MAX);
	buf_add_view(&tls->session_name, resume->name);
	tls->at_ms = resume->now_ms;
	if (session && SSL_set_session(tls->ssl, session) != 1)
		complaints_clear(); /* a whole handshake is as good */
	SSL_SESSION_free(session);
}

struct tls *tls_connect(struct tls_side *side, int fd, const char *host, unsigned protocols, const struct tls_resume *resume)
{
	struct tls *tls = tls_new(side, fd, protocols);
	struct view names = protocols_names(protocols);

	complaints_clear();
	SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(tls->ssl, host) != 1 ||
	    SSL_ctrl(tls->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, UNCONST(host)) != 1 ||
	    (protocols && SSL_set_alpn_protos(tls->ssl, (const unsigned char *)names.at, (unsigned)names.length) != 0))
		tls->broken = true;
	SSL_set_connect_state(tls->ssl);
	if (resume)
		session_use(tls, resume);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	if (tls->sessions && !tls->broken) /* else OpenSSL takes its session for a broken one */
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN);
	SSL_free(tls->ssl);
	buf_fini(&tls->session_name);
	buf_fini(&tls->first);
	buf_fini(&tls->out);
	free(tls);
}

enum tls_result tls_handshake(struct tls *tls, struct err *err)
{
	int result;
	long verified;

	complaints_clear();
	if (tls->broken) {
		(void)err_set(err, ERR_BROKEN, "TLS cannot begin");
		return TLS_FAILED;
	}
	result = SSL_do_handshake(tls->ssl);
	if (result == 1)
		return TLS_DONE;
	if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
		return TLS_MORE;
	tls->broken = true;
	verified = SSL_get_verify_result(tls->ssl);
	if (!SSL_is_server(tls->ssl) && verified != X509_V_OK)
		(void)err_set(err, ERR_DENIED, "its certificate is not accepted: %s", X509_verify_cert_error_string(verified));
	else
		(void)err_set(err, ERR_BROKEN, "no TLS: %s", complaint());
	complaints_clear();
	return TLS_FAILED;
}

void tls_readable(struct tls *tls)
{
	tls->dry = false;
}

ssize_t tls_read(struct tls *tls, char *at, size_t length)
{
	size_t got = 0;
	int why;

	if (tls->broken)
		return -2;
	if (tls->dry && !tls->ended && !tls->first.length && !SSL_has_pending(tls->ssl))
		return -1; /* nothing can have come since */
	complaints_clear();
	if (SSL_read_ex(tls->ssl, at, length, &got) == 1)
		return (ssize_t)got;
	why = SSL_get_error(tls->ssl, 0);
	if (why == SSL_ERROR_WANT_READ)
		return -1;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	tls->broken = true;
	complaints_clear();
	return -2;
}

bool tls_write(struct tls *tls, struct view bytes)
{
	complaints_clear();
	while (bytes.length) {
		size_t done = 0;

		if (tls->broken || SSL_write_ex(tls->ssl, bytes.at, bytes.length, &done) != 1) {
			tls->broken = true;
			complaints_clear();
			return false;
		}
		bytes = view_make(bytes.at + done, bytes.length - done);
	}
	return true;
}

void tls_end(struct tls *tls)
{
	complaints_clear();
	if (!tls->broken && SSL_is_init_finished(tls->ssl))
		(void)SSL_shutdown(tls->ssl);
	complaints_clear();
}

bool tls_flush(struct tls *tls)
{
	while (tls->out_at < tls->out.length) {
		ssize_t sent = send(tls->fd, tls->out.at + tls->out_at, tls->out.length - tls->out_at, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN;
		tls->out_at += (size_t)sent;
	}
	tls->out_at = 0;
	buf_return(&tls->out, &tls->side->spares);
	return true;
}

size_t tls_waiting(const struct tls *tls)
{
	return tls->out.length - tls->out_at;
}

bool tls_resumed(const struct tls *tls)
{
	return SSL_session_reused(tls->ssl) == 1;
}

enum tls_protocol tls_protocol(const struct tls *tls)
{
	const unsigned char *name = NULL;
	unsigned length = 0;

	SSL_get0_alpn_selected(tls->ssl, &name, &length);
	return length == 2 && memcmp(name, "h2", 2) == 0 ? TLS_HTTP2 : TLS_HTTP1;
}

const char *tls_asked_name(const struct tls *tls)
{
	return SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
}
