/*
 * Signing in: a browser shows a token once and gets a cookie, which no script can read and no other site can send. The session ends with its
 * token, after half a day, or when somebody signs out.
 */
#include "base/digest.h"
#include "base/scope.h"
#include "store/store.h"
#include "web/web_priv.h"

#define COOKIE "assay_session"
#define SECRET_BYTES 32
#define SESSION_MS ((int64_t)12 * 3600 * 1000)

/* One that no other host of the domain can set, where that is possible. */
static const char *cookie_name(const struct call *call)
{
	return call_is_safe(call) ? "__Host-" COOKIE : COOKIE;
}

int session_find(struct store_tx *tx, struct caller *caller, int64_t now_ms, bool *found, struct err *err)
{
	const char *digest = caller->secret.text;
	AUTO_ROWS rows = {0};

	if (store_query(
		    tx, &rows,
		    "SELECT token.name, token.role FROM session JOIN token ON token.name = session.token AND token.digest = session.token_digest "
		    "WHERE session.digest = ? AND session.ends_ms > ? AND token.ends_ms > ? "
		    "UNION ALL SELECT name, role FROM session_person WHERE digest = ? AND ends_ms > ?",
		    VALUES(V(digest), V(now_ms), V(now_ms), V(digest), V(now_ms)), err))
		return -1;
	*found = store_rows_next(&rows) && !role_parse(store_rows_text(&rows, 1), &caller->role, err);
	if (*found)
		(void)snprintf(caller->name, sizeof(caller->name), "%s", store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

int session_judge(const struct call *call, struct caller *caller, struct err *err)
{
	AUTO_FREE char *cookie = http_request_cookie(call->request, cookie_name(call));
	bool found;
	AUTO_TX tx = {0};

	if (!cookie)
		return err_set(err, ERR_DENIED, "sign in first");
	caller->known_by = KNOWN_BY_SESSION;
	caller->secret = digest_of(view_of(cookie));
	if (store_begin(call_store(call), &tx, err) ||
	    session_find(&tx, caller, world_now_ms(call->web->options.world), &found, err))
		return -1;
	return found ? 0 : err_set(err, ERR_DENIED, "the session has ended: sign in again");
}

static void cookie_set(struct call *call, const char *value, int64_t seconds)
{
	AUTO_FREE char *text = text_format("%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", cookie_name(call), value,
					   (long long)seconds, call_is_safe(call) ? "; Secure" : "");

	http_reply_header(call->reply, "Set-Cookie", text);
	http_reply_header(call->reply, "Cache-Control", "no-store");
}

/* The session is bound to the token as it is: another one of the same name is another. */
static int session_keep(const struct call *call, const struct caller *caller, struct view token, struct view secret,
			struct err *err)
{
	struct digest digest = digest_of(secret);
	struct digest of = digest_of(token);
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM session WHERE ends_ms <= ?", VALUES(V(now)), err) ||
	    store_run(&tx, "INSERT INTO session (digest, token, token_digest, ends_ms) VALUES (?, ?, ?, ?)",
		      VALUES(V(digest.text), V(caller->name), V(of.text), V(now + SESSION_MS)), err))
		return -1;
	return store_commit(&tx, err);
}

int session_person(struct call *call, const char *name, const char *role, struct err *err)
{
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_BUF secret = buf_new(256);
	unsigned char bytes[SECRET_BYTES];
	struct digest digest;
	AUTO_TX tx = {0};

	world_random(call->web->options.world, bytes, sizeof(bytes));
	buf_add_hex(&secret, bytes, sizeof(bytes));
	digest = digest_of(buf_view(&secret));
	if (store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM session_person WHERE ends_ms <= ?", VALUES(V(now)), err) ||
	    store_run(&tx, "INSERT INTO session_person (digest, name, role, ends_ms) VALUES (?, ?, ?, ?)",
		      VALUES(V(digest.text), V(name), V(role), V(now + SESSION_MS)), err) ||
	    store_commit(&tx, err))
		return -1;
	cookie_set(call, secret.at, SESSION_MS / 1000);
	return 0;
}

static json_t *sign_in(struct call *call, struct err *err)
{
	const char *token = json_text(call->body, "token", "");
	AUTO_FREE char *authorization = text_format("Bearer %s", token);
	AUTO_BUF secret = buf_new(256);
	unsigned char bytes[SECRET_BYTES];
	struct caller caller = {0};
	struct err many;

	if (token_judge(call, authorization, &caller, err)) {
		if (err->kind == ERR_DENIED && !rate_refused(call, &many)) {
			http_reply_problem(call->reply, 401, err);
			call->answered = true;
		}
		return NULL;
	}
	world_random(call->web->options.world, bytes, sizeof(bytes));
	buf_add_hex(&secret, bytes, sizeof(bytes));
	if (session_keep(call, &caller, view_of(token), buf_view(&secret), err))
		return NULL;
	cookie_set(call, secret.at, SESSION_MS / 1000);
	return json_pack("{s:s, s:s}", "name", caller.name, "role", role_name(caller.role));
}

static json_t *sign_out(struct call *call, struct err *err)
{
	AUTO_FREE char *cookie = http_request_cookie(call->request, cookie_name(call));
	struct digest digest = digest_of(view_of(cookie ? cookie : ""));
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM session WHERE digest = ?", VALUES(V(digest.text)), err) ||
	    store_run(&tx, "DELETE FROM session_person WHERE digest = ?", VALUES(V(digest.text)), err) || store_commit(&tx, err))
		return NULL;
	cookie_set(call, "", 0);
	return json_object();
}

const struct row signin_rows[] = {
	{"POST", "/signin", sign_in, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER, .fields = {{"token", FIELD_LINE, true}}},
	{"POST", "/signout", sign_out, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
};
const size_t signin_row_count = ARRAY_LEN(signin_rows);
