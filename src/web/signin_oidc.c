/*
 * Signing in at an OpenID provider. `/signin/oidc` sends the browser there; what it must bring back is kept under a cookie of its own for ten minutes
 * and taken once. That cookie is Lax, for the way back comes from the provider; the session's is Strict, so the browser is sent on by a page of ours.
 */
#include "audit/audit.h"
#include "base/log.h"
#include "base/scope.h"
#include "store/store.h"
#include "web/oidc.h"
#include "web/web_priv.h"

#define COOKIE "assay_signin"
#define SECRET_BYTES 32
#define TRY_MS ((int64_t)10 * 60 * 1000)
#define CALLBACK "/signin/oidc/callback"
#define PAGE_BYTES_MAX ((size_t)16 << 10)
#define PLACE_MAX 300

static char *secret_make(const struct call *call)
{
	unsigned char bytes[SECRET_BYTES];
	AUTO_BUF text = buf_new(256);

	world_random(call->web->options.world, bytes, sizeof(bytes));
	buf_add_hex(&text, bytes, sizeof(bytes));
	return buf_take(&text);
}

/* As the browser reached us: the Host was judged. Owned. */
static char *redirect_make(const struct call *call)
{
	const char *host = http_request_header(call->request, "Host");
	const char *own = call->web->pages_url ? strstr(call->web->pages_url, "://") + strlen("://") : NULL;

	if (own && host && view_equal_nocase(view_of(host), view_of(own)))
		return text_format("%s" CALLBACK, call->web->pages_url);
	return text_format("http://%s" CALLBACK, host ? host : "");
}

/* One that no other host of the domain can set, where that is possible. */
static const char *cookie_name(const struct call *call)
{
	return call_is_safe(call) ? "__Host-" COOKIE : COOKIE;
}

static void try_cookie_set(struct call *call, const char *value, int64_t seconds)
{
	bool safe = call_is_safe(call);
	AUTO_FREE char *text = text_format("%s=%s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Lax%s", cookie_name(call), value,
					   safe ? "/" : "/signin", (long long)seconds, safe ? "; Secure" : "");

	http_reply_header(call->reply, "Set-Cookie", text);
}

json_t *sentence_answer(struct call *call, unsigned status, const char *text, const char *to, const char *link)
{
	AUTO_BUF page = buf_new(PAGE_BYTES_MAX);

	buf_add_text(&page, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Assay: sign in</title>");
	if (status == 200)
		buf_add_format(&page, "<meta http-equiv=\"refresh\" content=\"0;url=%s\">", to);
	buf_add_text(&page, "<link rel=\"stylesheet\" href=\"/style.css\"><main><p>");
	buf_add_html(&page, view_of(text));
	buf_add_format(&page, "</p><p><a href=\"%s\">%s</a></p></main></html>", to, link);
	http_reply_header(call->reply, "Cache-Control", "no-store");
	http_reply_send(call->reply, status, "text/html; charset=utf-8", buf_view(&page));
	call->answered = true;
	return NULL;
}

static json_t *refused_answer(struct call *call, const struct err *err)
{
	AUTO_FREE char *text = text_format("Signing in did not work: %s.", err->text);

	log_info("sign-in: %s", err->text);
	return sentence_answer(call,
			       err->kind == ERR_DENIED    ? 403
			       : err->kind == ERR_INVALID ? 400
							  : 502,
			       text, "/", "Back to the pages");
}

static int try_keep(const struct call *call, const char *cookie, const char *state, const char *nonce, const char *verifier,
		    struct err *err)
{
	const struct view parts[] = {view_of(cookie), view_of(state)};
	struct digest digest = digest_of_parts(parts, ARRAY_LEN(parts));
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM signin WHERE ends_ms <= ?", VALUES(V(now)), err) ||
	    store_run(&tx, "INSERT INTO signin (digest, nonce, verifier, ends_ms) VALUES (?, ?, ?, ?)",
		      VALUES(V(digest.text), V(nonce), V(verifier), V(now + TRY_MS)), err))
		return -1;
	return store_commit(&tx, err);
}

/* What was kept, once; owned. */
static int try_take(const struct call *call, const char *cookie, const char *state, char **nonce, char **verifier, struct err *err)
{
	const struct view parts[] = {view_of(cookie), view_of(state)};
	struct digest digest = digest_of_parts(parts, ARRAY_LEN(parts));
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(call_store(call), &tx, err) ||
	    store_query(&tx, &rows, "SELECT nonce, verifier FROM signin WHERE digest = ? AND ends_ms > ?",
			VALUES(V(digest.text), V(world_now_ms(call->web->options.world))), err))
		return -1;
	if (store_rows_next(&rows)) {
		*nonce = text_copy(store_rows_text(&rows, 0));
		*verifier = text_copy(store_rows_text(&rows, 1));
	}
	if (store_rows_finish(&rows, err) || store_run(&tx, "DELETE FROM signin WHERE digest = ?", VALUES(V(digest.text)), err) ||
	    store_commit(&tx, err))
		return -1;
	return *nonce ? 0 : err_set(err, ERR_DENIED, "this sign-in was begun in another browser, or more than ten minutes ago");
}

static struct oidc *oidc_of(struct call *call, struct err *err)
{
	if (!call->web->options.oidc)
		(void)err_set(err, ERR_NOT_FOUND, "no OpenID provider is configured (oidc-issuer)");
	return call->web->options.oidc;
}

static json_t *begin(struct call *call, struct err *err)
{
	struct oidc *oidc = oidc_of(call, err);
	AUTO_FREE char *cookie = secret_make(call);
	AUTO_FREE char *state = secret_make(call);
	AUTO_FREE char *nonce = secret_make(call);
	AUTO_FREE char *verifier = secret_make(call);
	AUTO_FREE char *redirect = redirect_make(call);
	AUTO_FREE char *address = NULL;

	if (!oidc)
		return NULL;
	address = oidc_address(oidc, redirect, state, nonce, verifier, err);
	if (!address || try_keep(call, cookie, state, nonce, verifier, err))
		return refused_answer(call, err);
	try_cookie_set(call, cookie, TRY_MS / 1000);
	http_reply_header(call->reply, "Cache-Control", "no-store");
	http_reply_redirect(call->reply, 302, address);
	call->answered = true;
	return NULL;
}

static int person_note(const struct call *call, const struct oidc_person *person, struct err *err)
{
	AUTO_FREE char *detail = text_format("%s signs in as %s", person->name, person->role);
	struct ledger_row row = audit_row(LEDGER_SECRET, NULL, NULL, NULL, person->name, detail);

	return call->web->options.audit ? audit_put(call->web->options.audit, &row, err) : 0;
}

static int callback_judge(struct call *call, struct oidc *oidc, struct oidc_person *person, struct err *err)
{
	AUTO_FREE char *problem = http_request_query(call->request, "error");
	AUTO_FREE char *said = http_request_query(call->request, "error_description");
	AUTO_FREE char *code = http_request_query(call->request, "code");
	AUTO_FREE char *state = http_request_query(call->request, "state");
	AUTO_FREE char *issuer = http_request_query(call->request, "iss");
	AUTO_FREE char *cookie = http_request_cookie(call->request, cookie_name(call));
	AUTO_FREE char *redirect = redirect_make(call);
	AUTO_FREE char *nonce = NULL;
	AUTO_FREE char *verifier = NULL;

	if (!state || !cookie)
		return err_set(err, ERR_DENIED, "this sign-in was begun in another browser, or more than ten minutes ago");
	if (try_take(call, cookie, state, &nonce, &verifier, err) || oidc_issuer_check(oidc, issuer, err))
		return -1;
	if (problem)
		return err_set(err, ERR_DENIED, "the provider says %.60s%s%.*s", problem, said ? ": " : "", PLACE_MAX,
			       said ? said : "");
	if (!code)
		return err_set(err, ERR_INVALID, "the provider sent no code");
	return oidc_exchange(oidc, redirect, code, nonce, verifier, person, err);
}

static json_t *callback(struct call *call, struct err *err)
{
	struct oidc *oidc = oidc_of(call, err);
	struct oidc_person person = {0};

	if (!oidc)
		return NULL;
	try_cookie_set(call, "", 0);
	if (callback_judge(call, oidc, &person, err) || person_note(call, &person, err) ||
	    session_person(call, person.name, person.role, err))
		return refused_answer(call, err);
	return sentence_answer(call, 200, "You are signed in.", "/", "To the pages");
}

const struct row signin_oidc_rows[] = {
	{"GET", "/signin/oidc", begin, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
	{"GET", CALLBACK, callback, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
};
const size_t signin_oidc_row_count = ARRAY_LEN(signin_oidc_rows);
