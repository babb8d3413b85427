/*
 * Who may come in.
 *
 * Theory of operation: a pass in the address is taken before anything else is looked at, turned into a cookie and taken out of the address by a
 * redirect, so that neither the application nor a Referer ever has it. Cookies are `__Host-`: of one host, over TLS, for no script. The
 * person's way: a secret is put into the browser, its digest goes to the pages by a redirect, and what comes back is good with that secret
 * only. Environments are each other's strangers although browsers call them the same site: what another host's page sends is refused unless it
 * is a person who follows a link.
 */
#include "gateway/front.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"

#define COOKIE "__Host-assay"
#define COOKIE_BROWSER "__Host-assay-browser"
#define COOKIE_RULES "; Path=/; Secure; HttpOnly; SameSite=Lax"
#define IDENTITY_BYTES_MAX ((size_t)256 << 10)
#define LABEL_MAX (FRONT_ENV_MAX - 1)
#define TICKET_S 60     /* from a person's pass is made until it has come back */
#define BROWSER_S 50400 /* a sign-in may take two hours, and its pass is good for twelve */
#define TARGET_MAX 2000 /* a longer one is forgotten on the way through the sign-in */
#define LEEWAY_S 5      /* the pages may be another machine's */

struct front {
	struct tls_side *side; /* NULL: no certificate */
	bool plain;            /* TLS ends at somebody else's proxy, whose connections bring many visitors' requests */
	struct pass_key *key;
	char *domain;  /* ".preview.example.com" */
	char *sign_in; /* "https://assay.example.com", or NULL */
	char *framing; /* of sign_in */
	json_t *links; /* {env: what is taken back} */
	uint64_t turn; /* counts FRONTs, and links that are taken back: what was shown before is looked at again */
};

struct front *front_new(void)
{
	struct front *front = mem_new(sizeof(*front));

	front->links = json_object();
	return front;
}

void front_free(struct front *front)
{
	if (!front)
		return;
	tls_side_free(front->side);
	pass_key_free(front->key);
	json_decref(front->links);
	free(front->domain);
	free(front->sign_in);
	free(front->framing);
	free(front);
}

/* Only Assay's own pages put previews side by side; where nobody said where they are, they are on this machine. */
static char *framing_make(const char *sign_in)
{
	return text_format("Content-Security-Policy: frame-ancestors 'self' %s\r\n",
			   sign_in ? sign_in : "http://localhost:* http://127.0.0.1:*");
}

static int identity_take(struct front *front, const char *domain, int identity, struct err *err)
{
	AUTO_BUF pem = buf_new(IDENTITY_BYTES_MAX);
	AUTO_FREE char *name = text_format("env.%s", domain);
	int failed;

	if (identity < 0)
		return err_set(err, ERR_INVALID, "FRONT without a certificate");
	failed = file_read_fd(identity, &pem, err) || buf_finish(&pem, err) ||
		 (!front->side && tls_server_new(&front->side, err)) || tls_server_identity(front->side, buf_view(&pem), name, err);
	if (pem.at)
		explicit_bzero(pem.at, pem.length);
	return failed ? -1 : 0;
}

int front_put(struct front *front, const json_t *body, int identity, struct err *err)
{
	bool plain = json_flag(body, "plain", false);
	const char *domain;
	const char *key;
	struct pass_key *parsed = NULL;

	if (json_text_get(body, "domain", &domain, err) || json_text_get(body, "key", &key, err) ||
	    pass_key_parse(view_of(key), &parsed, err))
		return -1;
	if (!plain && identity_take(front, domain, identity, err)) {
		pass_key_free(parsed);
		return -1;
	}
	front->plain = plain;
	pass_key_free(front->key);
	front->key = parsed;
	free(front->domain);
	free(front->sign_in);
	front->domain = text_format(".%s", domain);
	front->sign_in = text_copy(json_text(body, "sign_in", NULL));
	free(front->framing);
	front->framing = framing_make(front->sign_in);
	front->turn++;
	return 0;
}

void front_links_put(struct front *front, const char *env, const json_t *links)
{
	const json_t *known = json_object_get(front->links, env);

	if (links && json_number(known, "serial", -1) >= json_number(links, "serial", 0))
		return;
	if (links)
		(void)json_object_set_new(front->links, env, json_deep_copy(links));
	else
		(void)json_object_del(front->links, env);
	front->turn++;
}

bool front_accept(struct front *front, int fd, struct tls **tls)
{
	bool secure = front->key && !front->plain;

	*tls = secure ? tls_accept(front->side, fd, NULL, NULL, VIEW(""), TLS_HTTP1) : NULL;
	return secure ? *tls != NULL : front->plain;
}

/* ---- what a request says ---- */

static bool label_take(struct view label, char env[FRONT_ENV_MAX])
{
	if (!label.length || label.length > LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.length; i++) {
		char c = label.at[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || !i))
			return false;
		env[i] = c;
	}
	env[label.length] = '\0';
	return true;
}

static bool port_valid(struct view port)
{
	uint64_t number;

	return !port.at || (port.length <= 5 && view_to_u64(port, &number) && number && number <= UINT16_MAX);
}

/* "env.domain" or "env.domain:8443", and the TLS session, if it ends here, was for the same name. `host` is it without the port, in lower case. */
static bool host_take(const struct front *front, struct view said, const char *asked, char env[FRONT_ENV_MAX],
		      char host[PASS_HOST_MAX])
{
	struct view port;
	struct view name = view_cut(said, ':', &port);
	struct view domain = view_of(front->domain);

	if (name.length <= domain.length || !port_valid(port) ||
	    !view_equal_nocase(view_make(name.at + name.length - domain.length, domain.length), domain) ||
	    !label_take(view_make(name.at, name.length - domain.length), env))
		return false;
	(void)snprintf(host, PASS_HOST_MAX, "%s%s", env, front->domain);
	return front->plain ? !asked : asked && view_equal_nocase(view_of(asked), view_of(host));
}

/* The value of the first cookie of that name, in all Cookie fields. */
static struct view cookie_find(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->field_count; i++) {
		struct view rest = head->fields[i].value;

		if (!view_equal_nocase(head->fields[i].name, VIEW("cookie")))
			continue;
		while (rest.at) {
			struct view value;

			if (view_is(view_cut(view_trim(view_cut(rest, ';', &rest)), '=', &value), name) && value.at)
				return value;
		}
	}
	return (struct view){NULL, 0};
}

bool front_cookie_is_own(struct view cookie)
{
	struct view value;
	struct view name = view_trim(view_cut(cookie, '=', &value));

	return name.length >= sizeof(COOKIE) - 1 && view_equal_nocase(view_make(name.at, sizeof(COOKIE) - 1), VIEW(COOKIE));
}

void front_cookies_write(struct buf *out, struct view value)
{
	bool first = true;

	while (value.at) {
		struct view cookie = view_trim(view_cut(value, ';', &value));

		if (!cookie.length || front_cookie_is_own(cookie))
			continue;
		buf_add_text(out, first ? "" : "; ");
		buf_add_view(out, cookie);
		first = false;
	}
}

void front_set_cookie_write(struct buf *out, struct view value)
{
	bool first = true;

	while (value.at) {
		struct view part = view_trim(view_cut(value, ';', &value));
		struct view rest;

		if (!first && view_equal_nocase(view_trim(view_cut(part, '=', &rest)), VIEW("domain")))
			continue;
		buf_add_text(out, first ? "" : "; ");
		buf_add_view(out, part);
		first = false;
	}
}

/* The target without its pass, which is *pass (at == NULL: it has none). */
static void target_clean(struct view target, struct buf *clean, struct view *pass)
{
	struct view query;
	char before = '?';

	buf_add_view(clean, view_cut(target, '?', &query));
	*pass = (struct view){NULL, 0};
	while (query.at) {
		struct view pair = view_cut(query, '&', &query);
		struct view value;

		if (view_is(view_cut(pair, '=', &value), PASS_PARAMETER)) {
			*pass = value.at ? value : VIEW("");
			continue;
		}
		buf_add_char(clean, before);
		buf_add_view(clean, pair);
		before = '&';
	}
}

/* ---- passes ---- */

static int64_t now_s(void)
{
	return world_now_ms(world_real) / 1000;
}

static bool text_take(struct view text, char *out, size_t size)
{
	if (!text.at || text.length >= size)
		return false;
	memcpy(out, text.at, text.length);
	out[text.length] = '\0';
	return true;
}

/* The digest of the browser's secret; false: it has none. */
static bool browser_take(const struct http_head *head, char digest[PASS_BROWSER_HEX + 1])
{
	struct view secret = cookie_find(head, COOKIE_BROWSER);

	if (secret.length != PASS_BROWSER_HEX)
		return false;
	memcpy(digest, digest_of(secret).text, PASS_BROWSER_HEX + 1);
	return true;
}

/* A link that was called back before it ends. What cannot be read of it refuses. */
static bool is_taken_back(const struct front *front, const char *host, const struct pass *pass)
{
	AUTO_FREE char *env = view_copy(view_cut(view_of(host), '.', &(struct view){0}));
	const json_t *links = json_object_get(front->links, env);
	size_t index;
	json_t *each;

	if (pass->kind != PASS_LINK || !links)
		return false;
	if (pass->serial < json_number(links, "from", INT64_MAX))
		return true;
	json_array_foreach(json_member(links, "refused"), index, each)
		if (json_integer_value(json_array_get(each, 0)) == pass->serial &&
		    json_integer_value(json_array_get(each, 1)) == pass->ends_s)
			return true;
	return false;
}

bool front_is_taken_back(const struct front *front, const struct front_shown *shown)
{
	struct pass pass;

	return shown->ends_s && (pass_parse(view_of(shown->pass), &pass, NULL) || is_taken_back(front, shown->host, &pass));
}

/* Is it one that lets in at this host, from an address (where a person's must be fresh) or a cookie? */
static bool pass_judge(const struct front *front, struct view text, const char *host, const char *browser, bool in_address,
		       struct pass *pass)
{
	int64_t now = now_s();

	if (!text.at || pass_parse(text, pass, NULL))
		return false;
	if (in_address && pass->kind == PASS_PERSON && (now > pass->issued_s + TICKET_S || now + LEEWAY_S < pass->issued_s))
		return false;
	return !is_taken_back(front, host, pass) && pass_good(pass, front->key, host, browser, now);
}

/* The cookie's, which a connection shows with each request. */
static bool cookie_judge(const struct front *front, const struct http_head *head, const char *host, const char *browser,
			 struct front_shown *shown)
{
	struct view text = cookie_find(head, COOKIE);
	struct pass pass;

	if (shown->ends_s && shown->turn == front->turn && text.at && view_equal(text, view_of(shown->pass)) &&
	    view_equal(view_of(host), view_of(shown->host)) && view_equal(view_of(browser ? browser : ""), view_of(shown->browser)))
		return now_s() < shown->ends_s;
	if (!pass_judge(front, text, host, browser, false, &pass) || !text_take(text, shown->pass, sizeof(shown->pass)))
		return false;
	(void)snprintf(shown->host, sizeof(shown->host), "%s", host);
	(void)snprintf(shown->browser, sizeof(shown->browser), "%s", browser ? browser : "");
	shown->ends_s = pass.ends_s;
	shown->turn = front->turn;
	return true;
}

int64_t front_shown_ms(const struct front_shown *shown)
{
	int64_t left = shown->ends_s * 1000 - world_now_ms(world_real);

	return left > 0 ? left : 1;
}

const char *front_framing(const struct front *front)
{
	return front->framing;
}

/* ---- the verdict ---- */

/* A page of another host asks, and it is not a person who follows a link or a frame that shows this one. */
static bool is_foreign(const struct http_head *head)
{
	struct view origin = http_head_field(head, "origin");
	struct view site = http_head_field(head, "sec-fetch-site");
	struct view mode = http_head_field(head, "sec-fetch-mode");
	bool harmless = view_is(head->method, "GET") || view_is(head->method, "HEAD");

	if (origin.at &&
	    (!view_starts(origin, VIEW("https://")) ||
	     !view_equal_nocase(view_make(origin.at + strlen("https://"), origin.length - strlen("https://")), head->host)))
		return true;
	if (!site.at || view_is(site, "same-origin") || view_is(site, "none"))
		return false;
	return !harmless || !view_is(mode, "navigate");
}

static char *location_make(const struct http_head *head, struct view target)
{
	return text_format("https://%.*s%.*s", (int)head->host.length, head->host.at, (int)target.length, target.at);
}

static void page_set(struct front_answer *answer, enum page page)
{
	*answer = (struct front_answer){.page = page};
}

static void sign_in_answer(const struct front *front, const struct http_head *head, struct view target, const char *browser,
			   struct front_answer *answer)
{
	AUTO_BUF location = buf_new(16384);
	struct view kept = cookie_find(head, COOKIE_BROWSER);
	struct digest digest;

	if (browser) { /* for as long again */
		answer->cookie = text_format(COOKIE_BROWSER "=%.*s" COOKIE_RULES "; Max-Age=%d", (int)kept.length, kept.at,
					     BROWSER_S);
	} else {
		unsigned char bytes[PASS_BROWSER_HEX / 2];
		AUTO_BUF secret = buf_new(PASS_BROWSER_HEX);

		world_random(world_real, bytes, sizeof(bytes));
		buf_add_hex(&secret, bytes, sizeof(bytes));
		digest = digest_of(buf_view(&secret));
		browser = digest.text;
		answer->cookie = text_format(COOKIE_BROWSER "=%s" COOKIE_RULES "; Max-Age=%d", secret.at, BROWSER_S);
	}
	buf_add_format(&location, "%s/signin/preview?host=", front->sign_in);
	buf_add_url(&location, head->host);
	buf_add_text(&location, "&to=");
	buf_add_url(&location, target.length <= TARGET_MAX ? target : VIEW("/"));
	buf_add_format(&location, "&browser=%s", browser);
	answer->location = buf_take(&location);
}

static void pass_answer(const struct http_head *head, struct view target, struct view text, const struct pass *pass,
			struct front_answer *answer)
{
	*answer = (struct front_answer){.location = location_make(head, target)};
	answer->cookie = text_format(COOKIE "=%.*s" COOKIE_RULES "; Max-Age=%lld", (int)text.length, text.at,
				     (long long)(pass->ends_s - now_s()));
}

bool front_judge(struct front *front, const struct http_head *head, const char *asked, struct front_shown *shown,
		 char env[FRONT_ENV_MAX], struct front_answer *answer)
{
	AUTO_BUF clean = buf_new(HTTP_TARGET_BYTES_MAX);
	bool reads = view_is(head->method, "GET") || view_is(head->method, "HEAD");
	bool html = view_find(http_head_field(head, "accept"), VIEW("text/html")) >= 0;
	char digest[PASS_BROWSER_HEX + 1];
	char host[PASS_HOST_MAX];
	const char *browser;
	struct view shown_in_address;
	struct pass pass;
	bool known;

	page_set(answer, PAGE_ELSEWHERE);
	if (!head->target.length || head->target.at[0] != '/' || !host_take(front, head->host, asked, env, host))
		return false;
	browser = browser_take(head, digest) ? digest : NULL;
	target_clean(head->target, &clean, &shown_in_address);
	known = cookie_judge(front, head, host, browser, shown);
	if (shown_in_address.at && reads && pass_judge(front, shown_in_address, host, browser, true, &pass)) {
		pass_answer(head, buf_view(&clean), shown_in_address, &pass, answer);
		return false;
	}
	/* One that is none is not for the application either. */
	if (shown_in_address.at && known && reads) {
		answer->location = location_make(head, buf_view(&clean));
		return false;
	}
	page_set(answer, shown_in_address.at ? PAGE_PASS_ENDED : PAGE_NO_PASS);
	if (known && !shown_in_address.at) {
		page_set(answer, PAGE_FOREIGN);
		return !is_foreign(head) && !http_head_field(head, "service-worker").at; /* it would see passes in addresses */
	}
	if (front->sign_in && reads && html)
		sign_in_answer(front, head, buf_view(&clean), browser, answer);
	return false;
}
