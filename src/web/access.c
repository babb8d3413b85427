/*
 * Who may call what. Over the Unix socket the person at this machine may do everything. Over TCP: the Host must be ours (a name that somebody
 * points at 127.0.0.1 is not), a foreign Origin is refused, and what changes state needs the token that only our own pages can read. A
 * program holds a token of its own instead, which says its role. Where others than this machine's people can reach the pages, a browser has
 * to sign in with such a token first.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "web/web_priv.h"

#define SOCKET_TOKEN "token." /* the last of the protocols */

static const struct row *row_of(const struct surface *surface, const struct http_request *request)
{
	return request->route ? &surface->rows[request->route - surface->routes] : NULL;
}

/* "127.0.0.1:7420", "localhost:7420", or what `--pages` says; `scheme` is "http://" for an origin, and "" for a host alone. */
static bool host_is_ours(const struct web *web, const char *host, const char *scheme)
{
	static const char *const names[] = {"127.0.0.1", "localhost"};
	const char *own = web->pages_url ? strstr(web->pages_url, "://") + strlen("://") : NULL;

	if (own && view_equal_nocase(view_of(host), view_of(scheme[0] ? web->pages_url : own)))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *want = text_format("%s%s:%d", scheme, names[i], web->port);

		if (view_equal_nocase(view_of(host), view_of(want)))
			return true;
	}
	return false;
}

/* A WebSocket of a browser can have no header of a page's own: what it offers as protocols carries the token, as "token.HEX". */
static const char *token_of(const struct http_request *request)
{
	const char *token = http_request_header(request, "X-Assay-Token");
	const char *offered = token ? NULL : http_request_header(request, "Sec-WebSocket-Protocol");
	const char *found = offered ? strstr(offered, SOCKET_TOKEN) : NULL;

	return found ? found + strlen(SOCKET_TOKEN) : token;
}

static bool token_is_right(const struct web *web, const struct http_request *request)
{
	const char *token = token_of(request);

	unsigned different = 0;

	if (!token || strlen(token) != TOKEN_HEX)
		return false;
	for (size_t i = 0; i < TOKEN_HEX; i++) /* all of it, whatever differs: the time says nothing */
		different |= (unsigned char)(token[i] ^ web->token[i]);
	return !different;
}

/* Does the call have an effect? */
static bool row_acts(const struct row *row, const struct http_request *request)
{
	return (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) ||
	       (row->answers && strcmp(row->answers, "upgrade") == 0);
}

/* A request over TCP, where any page in any browser of this machine may try. */
static int page_judge(const struct web *web, const struct row *row, const struct http_request *request, struct err *err)
{
	const char *host = http_request_header(request, "Host");
	const char *origin = http_request_header(request, "Origin");
	const char *site = http_request_header(request, "Sec-Fetch-Site");
	const char *mode = http_request_header(request, "Sec-Fetch-Mode");

	if (!host || !host_is_ours(web, host, ""))
		return err_set(err, ERR_DENIED, "the Host must be 127.0.0.1:%d or localhost:%d%s%s", web->port, web->port,
			       web->pages_url ? ", or as in " : "", web->pages_url ? web->pages_url : " (--pages names another)");
	if (origin && !host_is_ours(web, origin, "http://"))
		return err_set(err, ERR_DENIED, "a page of %.200s may not call this", origin);
	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0 && (!mode || strcmp(mode, "navigate") != 0))
		return err_set(err, ERR_DENIED, "a page of another origin may not call this");
	if (row && !(row->who & WHO_PAGE))
		return err_set(err, ERR_DENIED, "this is for the command line: it is answered on the Unix socket only");
	if (row && !(row->who & WHO_ANYONE) && row_acts(row, request) && !token_is_right(web, request))
		return err_set(err, ERR_DENIED, "X-Assay-Token is missing or wrong: reload the page");
	return 0;
}

bool access_judge(void *self, const struct http_request *request, struct http_reply *reply)
{
	const struct surface *surface = self;
	const struct row *row = row_of(surface, request);
	/* A token is no cookie: a page of somebody else's cannot have it. What it may do is judged with the row, where one is asked for. */
	bool by_token = row && !(row->who & WHO_ANYONE) && http_request_header(request, "Authorization");
	struct err err = {0};

	if (request->local || by_token || !page_judge(surface->web, row, request, &err))
		return false;
	http_reply_err(reply, &err);
	return true;
}

/* What is wrong with who calls is 401, and how to say who one is. */
static int caller_unknown(struct call *call, const struct err *err)
{
	struct err many;

	if (err->kind == ERR_DENIED && !rate_refused(call, &many)) {
		http_reply_header(call->reply, "WWW-Authenticate", "Bearer");
		http_reply_problem(call->reply, 401, err);
		call->answered = true;
	}
	return -1;
}

int access_caller(struct call *call, const struct row *row, struct err *err)
{
	const char *authorization = http_request_header(call->request, "Authorization");
	bool over_tcp = !call->request->local;

	call->caller = (struct caller){.role = ROLE_ADMIN, .name = "you", .token = over_tcp && authorization};
	if (row->who & WHO_ANYONE)
		return 0;
	if (call->caller.token && token_judge(call, authorization, &call->caller, err))
		return caller_unknown(call, err);
	if (over_tcp && !authorization && call->web->options.sign_in) {
		call->caller.token = true;
		if (session_judge(call, &call->caller, err))
			return caller_unknown(call, err);
	}
	if (call->caller.role < row->role)
		return err_set(err, ERR_DENIED, "this is for the role %s: the token `%s` is a %s's", role_name(row->role),
			       call->caller.name, role_name(call->caller.role));
	return 0;
}

int access_lasts(struct store_tx *tx, const struct caller *caller, int64_t now_ms, bool *lasts, struct err *err)
{
	struct caller now = *caller;

	*lasts = true;
	switch (caller->known_by) {
	case KNOWN_BY_PLACE:
		return 0;
	case KNOWN_BY_TOKEN:
		return token_find(tx, &now, now_ms, lasts, err);
	case KNOWN_BY_SESSION:
		return session_find(tx, &now, now_ms, lasts, err);
	}
	return err_set(err, ERR_BROKEN, "a caller that is known by nothing");
}
