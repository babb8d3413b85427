/* HMAC-SHA256 over what each sender says is signed. */
#include "http/webhook.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/scope.h"

#define MAC_BYTES 32
#define SECRET_BYTES_MAX ((size_t)1024)
#define STANDARD_PREFIX "whsec_"

/* Over the parts, one after another. */
static void mac_make(struct view secret, const struct view *parts, size_t count, unsigned char mac[MAC_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)secret.at, secret.length);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = MAC_BYTES;

	if (!key || !context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1)
		abort();
	for (size_t i = 0; i < count; i++)
		if (EVP_DigestSignUpdate(context, parts[i].at, parts[i].length) != 1)
			abort();
	if (EVP_DigestSignFinal(context, mac, &length) != 1)
		abort();
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
}

static bool same(struct view a, struct view b)
{
	return a.length == b.length && CRYPTO_memcmp(a.at, b.at, a.length) == 0;
}

static bool hex_is(const unsigned char mac[MAC_BYTES], struct view text)
{
	AUTO_BUF hex = buf_new(2 * MAC_BYTES + 1);

	buf_add_hex(&hex, mac, MAC_BYTES);
	return same(buf_view(&hex), text);
}

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_DENIED, "the webhook is refused: %s", why);
}

static int header_take(const struct webhook_request *request, const char *name, struct view *value, struct err *err)
{
	const char *text = request->header(request->self, name);

	*value = view_of(text ? text : "");
	return value->length ? 0 : err_set(err, ERR_DENIED, "the webhook is refused: it has no %s", name);
}

static int recent(struct view seconds, int64_t now_ms, struct err *err)
{
	uint64_t at;
	int64_t away;

	if (!view_to_u64(seconds, &at) || at > INT64_MAX / 1000)
		return refuse(err, "its time is no number of seconds");
	away = now_ms - (int64_t)at * 1000;
	return away > WEBHOOK_TOLERANCE_MS || away < -WEBHOOK_TOLERANCE_MS ? refuse(err, "its time is more than five minutes away")
									   : 0;
}

/* ---- one signature in hexadecimal, over the body ---- */

static int hex_verify(const struct webhook_request *request, const char *name, const char *prefix, const char *secret,
		      struct err *err)
{
	unsigned char mac[MAC_BYTES];
	struct view value;

	if (header_take(request, name, &value, err))
		return -1;
	if (!view_starts(value, view_of(prefix)))
		return refuse(err, "its signature is of another kind");
	mac_make(view_of(secret), &request->body, 1, mac);
	value = view_make(value.at + strlen(prefix), value.length - strlen(prefix));
	return hex_is(mac, value) ? 0 : refuse(err, "its signature is not of this secret");
}

/* Both forges send the same under two names. */
static int gitea_verify(const struct webhook_request *request, const char *secret, struct err *err)
{
	bool forgejo = !request->header(request->self, "x-gitea-signature");

	return hex_verify(request, forgejo ? "x-forgejo-signature" : "x-gitea-signature", "", secret, err);
}

static int gitlab_verify(const struct webhook_request *request, const char *secret, struct err *err)
{
	struct view value;

	if (header_take(request, "x-gitlab-token", &value, err))
		return -1;
	return same(value, view_of(secret)) ? 0 : refuse(err, "its token is another");
}

static int slack_verify(const struct webhook_request *request, const char *secret, int64_t now_ms, struct err *err)
{
	unsigned char mac[MAC_BYTES];
	struct view seconds, value;

	if (header_take(request, "x-slack-request-timestamp", &seconds, err) ||
	    header_take(request, "x-slack-signature", &value, err) || recent(seconds, now_ms, err))
		return -1;
	if (!view_starts(value, VIEW("v0=")))
		return refuse(err, "its signature is of another kind");
	mac_make(view_of(secret), (const struct view[]){VIEW("v0:"), seconds, VIEW(":"), request->body}, 4, mac);
	return hex_is(mac, view_make(value.at + 3, value.length - 3)) ? 0 : refuse(err, "its signature is not of this secret");
}

/* ---- Standard Webhooks ---- */

static int standard_mac(const char *secret, struct view id, struct view seconds, struct view body, struct buf *out, struct err *err)
{
	AUTO_BUF key = buf_new(SECRET_BYTES_MAX);
	unsigned char mac[MAC_BYTES];

	if (!view_starts(view_of(secret), VIEW(STANDARD_PREFIX)) ||
	    buf_add_unbase64(&key, view_of(secret + strlen(STANDARD_PREFIX)), NULL) || !key.length || key.over)
		return err_set(err, ERR_INVALID, "the secret of a webhook is " STANDARD_PREFIX " and base64");
	mac_make(buf_view(&key), (const struct view[]){id, VIEW("."), seconds, VIEW("."), body}, 5, mac);
	buf_add_base64(out, mac, sizeof(mac));
	return buf_finish(out, err);
}

static int standard_verify(const struct webhook_request *request, const char *secret, int64_t now_ms, struct err *err)
{
	AUTO_BUF wanted = buf_new(128);
	struct view id, seconds, rest;

	if (header_take(request, "webhook-id", &id, err) || header_take(request, "webhook-timestamp", &seconds, err) ||
	    header_take(request, "webhook-signature", &rest, err) || recent(seconds, now_ms, err) ||
	    standard_mac(secret, id, seconds, request->body, &wanted, err))
		return -1;
	for (int i = 0; i < WEBHOOK_SIGNATURES_MAX && rest.length; i++) {
		struct view one = view_cut(rest, ' ', &rest);

		if (view_starts(one, VIEW("v1,")) && same(view_make(one.at + 3, one.length - 3), buf_view(&wanted)))
			return 0;
	}
	return refuse(err, "its signature is not of this secret");
}

int webhook_verify(enum webhook_scheme scheme, const char *secret, const struct webhook_request *request, int64_t now_ms,
		   struct err *err)
{
	if (!secret || !secret[0])
		return err_set(err, ERR_INVALID, "a webhook without a secret proves nothing");
	switch (scheme) {
	case WEBHOOK_STANDARD:
		return standard_verify(request, secret, now_ms, err);
	case WEBHOOK_GITHUB:
		return hex_verify(request, "x-hub-signature-256", "sha256=", secret, err);
	case WEBHOOK_JIRA:
		return hex_verify(request, "x-hub-signature", "sha256=", secret, err);
	case WEBHOOK_LINEAR:
		return hex_verify(request, "linear-signature", "", secret, err);
	case WEBHOOK_GITEA:
		return gitea_verify(request, secret, err);
	case WEBHOOK_GITLAB:
		return gitlab_verify(request, secret, err);
	case WEBHOOK_SLACK:
		return slack_verify(request, secret, now_ms, err);
	}
	return err_set(err, ERR_INVALID, "no such scheme");
}

int webhook_sign(const char *secret, const char *id, int64_t seconds, struct view body, struct buf *out, struct err *err)
{
	AUTO_FREE char *text = text_format("%lld", (long long)seconds);

	buf_add_text(out, "v1,");
	return standard_mac(secret, view_of(id), view_of(text), body, out, err);
}

void webhook_secret_format(const unsigned char random[32], struct buf *out)
{
	buf_add_text(out, STANDARD_PREFIX);
	buf_add_base64(out, random, 32);
}
