/* The domain, its files and its passes. */
#include "programs/serve_front.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "http/url.h"
#include "net/messages.h"
#include "net/pass.h"

#define FILE_BYTES_MAX ((size_t)128 << 10)
#define KEY_BYTES_MAX 4096
#define ANSWER_TIMEOUT_MS 20000
#define PERSON_MS ((int64_t)12 * 3600 * 1000) /* as long as a session of the pages */
#define ROUND_S 3600                          /* links of one hour are the same: what is posted again has not changed */
#define STATEMENT_MAX 1024
#define URL_MAX 16384
#define LABEL_MAX 63

struct stamp {
	struct timespec changed;
	ino_t inode;
	off_t bytes;
};

struct serve_front {
	char *domain; /* without a port */
	char *port;   /* ":8443", or "" */
	char *shown;  /* both */
	char *listen;
	char *certificate; /* NULL: TLS ends elsewhere */
	char *key;         /* or NULL */
	char *sign_in;     /* or NULL */
	int64_t link_ms;
	struct world world;
	struct vault *vault;
	struct stamp stamps[2];
	pthread_mutex_t lock;
	struct buf identity; /* under lock: PEM of both files, the last that was read whole */
};

static struct stamp stamp_of(const char *path)
{
	struct stat facts;

	if (!path || stat(path, &facts))
		return (struct stamp){0};
	return (struct stamp){facts.st_mtim, facts.st_ino, facts.st_size};
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec && a->inode == b->inode &&
	       a->bytes == b->bytes;
}

static void identity_wipe(struct buf *identity)
{
	if (identity->at)
		explicit_bzero(identity->at, identity->length);
	buf_fini(identity);
}

/* Key first: what follows a certificate may be another. */
static int identity_read(const struct serve_front *front, struct buf *identity, struct err *err)
{
	*identity = buf_new(2 * FILE_BYTES_MAX);
	if (front->key && file_read(front->key, identity, err))
		return err_prefix(err, "preview-key");
	buf_add_char(identity, '\n');
	if (file_read(front->certificate, identity, err) || buf_finish(identity, err))
		return err_prefix(err, "preview-cert");
	return 0;
}

/* `fresh` is what holds from now on, of files that were as `stamps` say. */
static void identity_set(struct serve_front *front, struct buf *fresh, const struct stamp stamps[2])
{
	struct buf before;

	(void)pthread_mutex_lock(&front->lock);
	before = front->identity;
	front->identity = *fresh;
	(void)pthread_mutex_unlock(&front->lock);
	identity_wipe(&before);
	memcpy(front->stamps, stamps, sizeof(front->stamps));
}

static int identity_take(struct serve_front *front, struct err *err)
{
	const struct stamp stamps[2] = {stamp_of(front->certificate), stamp_of(front->key)};
	struct buf fresh;

	if (identity_read(front, &fresh, err)) {
		identity_wipe(&fresh);
		return -1;
	}
	identity_set(front, &fresh, stamps);
	return 0;
}

/* "preview.example.com" or "preview.example.com:8443", in lower case. */
static int domain_parse(struct serve_front *front, const char *text, struct err *err)
{
	struct view port;
	struct view name = view_cut(view_of(text), ':', &port);
	uint64_t number = 0;
	bool good = name.length && name.length <= PASS_HOST_MAX - LABEL_MAX - 2 && name.at[0] != '.' && name.at[0] != '-' &&
		    memchr(name.at, '.', name.length) && name.at[name.length - 1] != '.';

	for (size_t i = 0; good && i < name.length; i++)
		good = strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", name.at[i]) != NULL;
	if (!good || (port.at && (!view_to_u64(port, &number) || !number || number > UINT16_MAX)))
		return err_set(
			err, ERR_INVALID,
			"preview-domain: expected a name in lower case, preview.example.com or preview.example.com:8443, not `%.200s`",
			text);
	front->domain = view_copy(name);
	front->port = text_format("%s%.*s", port.at ? ":" : "", (int)port.length, port.at ? port.at : "");
	front->shown = text_copy(text);
	return 0;
}

static int secrecy_check(const struct serve_front_options *options, const char *domain, struct err *err)
{
	if (options->plain && (options->certificate || options->key))
		return err_set(
			err, ERR_INVALID,
			"preview-plain says that TLS ends before it, preview-cert and preview-key that it ends here: take one");
	if (!options->plain && !options->certificate)
		return err_set(err, ERR_INVALID, "preview-domain wants a certificate for *.%s: preview-cert", domain);
	return 0;
}

int serve_front_open(const struct serve_front_options *options, struct serve_front **front, struct err *err)
{
	struct serve_front *made = mem_new(sizeof(*made));

	(void)pthread_mutex_init(&made->lock, NULL);
	made->identity = buf_new(2 * FILE_BYTES_MAX);
	made->link_ms = options->link_ms;
	made->world = options->world;
	made->vault = options->vault;
	made->listen = text_copy(options->listen);
	made->certificate = text_copy(options->certificate);
	made->key = text_copy(options->key);
	made->sign_in = text_copy(options->sign_in);
	if (domain_parse(made, options->domain, err) || secrecy_check(options, made->domain, err) ||
	    (made->certificate && identity_take(made, err))) {
		serve_front_close(made);
		return -1;
	}
	*front = made;
	return 0;
}

void serve_front_close(struct serve_front *front)
{
	if (!front)
		return;
	identity_wipe(&front->identity);
	(void)pthread_mutex_destroy(&front->lock);
	free(front->domain);
	free(front->port);
	free(front->shown);
	free(front->listen);
	free(front->certificate);
	free(front->key);
	free(front->sign_in);
	free(front);
}

const char *serve_front_listen(const struct serve_front *front)
{
	return front->listen;
}

const char *serve_front_name(const struct serve_front *front)
{
	return front->domain;
}

const char *serve_front_domain(const struct serve_front *front)
{
	return front->shown;
}

/* FRONT with what is in `*fd`, which is the identity. */
static json_t *body_make(const struct serve_front *front, struct view identity, int *fd, struct err *err)
{
	AUTO_BUF key = buf_new(KEY_BYTES_MAX);

	if (vault_public_key(front->vault, &key, err))
		return NULL;
	*fd = front->certificate ? file_anonymous(identity, err) : -1;
	if (front->certificate && *fd < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:s?, s:b}", "domain", front->domain, "key", key.at, "sign_in", front->sign_in, "plain",
			 !front->certificate);
}

json_t *serve_front_body(struct serve_front *front, int *identity, struct err *err)
{
	json_t *body;

	(void)pthread_mutex_lock(&front->lock);
	body = body_make(front, buf_view(&front->identity), identity, err);
	(void)pthread_mutex_unlock(&front->lock);
	return body;
}

void serve_front_look(struct serve_front *front, struct environments *environments)
{
	const struct stamp now[2] = {stamp_of(front->certificate), stamp_of(front->key)};
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	AUTO_CLOSE int identity = -1;
	struct err err = {0};
	struct buf fresh;

	if (!front->certificate)
		return;
	if (stamp_same(&now[0], &front->stamps[0]) && stamp_same(&now[1], &front->stamps[1]))
		return;
	/* The old one is there for whoever asks until the gateway has taken the new one. */
	if (!identity_read(front, &fresh, &err) && (body = body_make(front, buf_view(&fresh), &identity, &err)))
		answer = environments_gateway_call_fd(environments, MESSAGE_FRONT, body, identity, ANSWER_TIMEOUT_MS, &err);
	if (answer) {
		log_info("previews for people elsewhere show another certificate");
		identity_set(front, &fresh, now);
		return;
	}
	identity_wipe(&fresh);
	/* Perhaps only one of the two files is new: the other's change is seen as well. */
	log_warn("the certificate of previews stays as it was: %s", err.text);
	if (err.kind != ERR_RETRY) /* the gateway begins just now: it is asked again */
		memcpy(front->stamps, now, sizeof(now));
	else
		memset(front->stamps, 0, sizeof(front->stamps));
}

static int pass_sign(const struct serve_front *front, struct pass *pass, const char *host, const char *browser, struct err *err)
{
	AUTO_BUF statement = buf_new(STATEMENT_MAX);
	char key_id[65];

	pass_statement(pass, host, browser, &statement);
	return buf_finish(&statement, err) || vault_sign(front->vault, buf_view(&statement), pass->signature, key_id, err) ? -1 : 0;
}

char *serve_front_url(struct serve_front *front, const char *env, const char *path, int64_t serial)
{
	AUTO_FREE char *host = text_format("%s.%s", env, front->domain);
	AUTO_BUF url = buf_new(URL_MAX);
	size_t target = strcspn(path, "#");
	int64_t now_s = world_now_ms(front->world) / 1000;
	struct pass pass = {.kind = PASS_LINK, .serial = serial, .ends_s = (now_s / ROUND_S + 1) * ROUND_S + front->link_ms / 1000};
	struct err err = {0};

	buf_add_format(&url, "https://%s%s%.*s", host, front->port, (int)target, path);
	if (front->link_ms && pass_sign(front, &pass, host, "", &err)) {
		log_warn("env=%s has no link to its preview: %s", env, err.text);
		return NULL;
	}
	if (front->link_ms) {
		buf_add_format(&url, "%c" PASS_PARAMETER "=", memchr(path, '?', target) ? '&' : '?');
		pass_format(&pass, &url);
	}
	buf_add_text(&url, path + target); /* what a browser keeps to itself comes last */
	return buf_take(&url);
}

/* The pass of an address; of what is none, all of it. */
static struct view pass_of(const char *link)
{
	const char *at = strstr(link, PASS_PARAMETER "=");

	return at ? view_make(at + strlen(PASS_PARAMETER "="), strcspn(at + strlen(PASS_PARAMETER "="), "&#")) : view_of(link);
}

int serve_front_link(struct serve_front *front, const char *env, const char *link, struct preview_link *found, struct err *err)
{
	AUTO_FREE char *host = text_format("%s.%s", env, front->domain);
	AUTO_BUF pem = buf_new(KEY_BYTES_MAX);
	struct pass_key *key;
	struct pass pass;
	bool good;

	if (pass_parse(pass_of(link), &pass, NULL) || pass.kind != PASS_LINK)
		return err_set(err, ERR_INVALID, "`%.300s` is no link to a preview", link);
	if (vault_public_key(front->vault, &pem, err) || buf_finish(&pem, err) || pass_key_parse(buf_view(&pem), &key, err))
		return -1;
	good = pass_good(&pass, key, host, NULL, world_now_ms(front->world) / 1000);
	pass_key_free(key);
	*found = (struct preview_link){pass.serial, pass.ends_s};
	return good ? 0 : err_set(err, ERR_INVALID, "that is no link to the preview of %s, or it has ended", env);
}

/* "ENV.DOMAIN", with any port: who listens for us at another one may be before us. */
static bool host_fits(const struct serve_front *front, const char *host, char name[PASS_HOST_MAX])
{
	struct view port;
	struct view said = view_cut(view_of(host), ':', &port);
	size_t domain = strlen(front->domain);
	uint64_t number;

	if (said.length >= PASS_HOST_MAX || said.length < domain + 2 || said.length > domain + LABEL_MAX + 1 ||
	    !view_equal_nocase(view_make(said.at + said.length - domain, domain), view_of(front->domain)) ||
	    said.at[said.length - domain - 1] != '.' || (port.at && (port.length > 5 || !view_to_u64(port, &number))))
		return false;
	for (size_t i = 0; i < said.length; i++) {
		name[i] = (char)(said.at[i] >= 'A' && said.at[i] <= 'Z' ? said.at[i] | 0x20 : said.at[i]);
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", name[i]))
			return false;
	}
	name[said.length] = '\0';
	return memchr(name, '.', said.length - domain - 1) == NULL;
}

/* A path and perhaps a query, as an address may have it. */
static bool target_fits(const char *to)
{
	for (const char *at = to; *at; at++)
		if (*at <= ' ' || *at == 0x7f || *at == '#' || *at == '\\' || *at == '"' || *at == '<' || *at == '>')
			return false;
	return to[0] == '/';
}

char *serve_front_enter(struct serve_front *front, const char *host, const char *to, const char *browser, struct err *err)
{
	AUTO_BUF url = buf_new(URL_MAX);
	int64_t now_s = world_now_ms(front->world) / 1000;
	struct pass pass = {.kind = PASS_PERSON, .issued_s = now_s, .ends_s = now_s + PERSON_MS / 1000};
	char name[PASS_HOST_MAX];

	if (!host_fits(front, host, name) || !target_fits(to) || strlen(browser) != PASS_BROWSER_HEX ||
	    strspn(browser, "0123456789abcdef") != PASS_BROWSER_HEX) {
		(void)err_set(err, ERR_INVALID, "that is no address of a preview here");
		return NULL;
	}
	if (pass_sign(front, &pass, name, browser, err))
		return NULL;
	buf_add_format(&url, "https://%s%s%c" PASS_PARAMETER "=", host, to, strchr(to, '?') ? '&' : '?');
	pass_format(&pass, &url);
	return buf_take(&url);
}
