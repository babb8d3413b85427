/* The pages: files that were embedded at build time, and the token that only they may read. */
#include "base/scope.h"
#include "web/web_priv.h"

#define STATIC "/static/" /* as src/web/embed.c names it */

static const struct page *page_find(const char *path)
{
	for (size_t i = 0; i < page_count; i++)
		if (strcmp(pages[i].path, path) == 0)
			return &pages[i];
	return NULL;
}

/* A browser sends Sec-Fetch-Site with every request; a page of another origin cannot change what it says. Who has to sign in first is told
 * so, and gets no token. */
static json_t *session(struct call *call, struct err *err)
{
	const char *site = http_request_header(call->request, "Sec-Fetch-Site");

	if (!site || strcmp(site, "same-origin") != 0) {
		(void)err_set(err, ERR_DENIED, "only the pages of this server may read this");
		return NULL;
	}
	http_reply_header(call->reply, "Cache-Control", "no-store");
	if (call->web->options.sign_in) {
		call->caller.token = true;
		if (session_judge(call, &call->caller, err))
			return err->kind == ERR_DENIED
				       ? json_pack("{s:b, s:b}", "sign_in", 1, "oidc", call->web->options.oidc != NULL)
				       : NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:b}", "token", call->web->token, "name", call->caller.name, "role",
			 role_name(call->caller.role), "signed_in", call->caller.token);
}

static void page_send(struct call *call, const struct page *found, const char *keeping)
{
	const char *known = http_request_header(call->request, "If-None-Match");

	http_reply_header(call->reply, "ETag", found->etag);
	http_reply_header(call->reply, "Cache-Control", keeping);
	call->answered = true;
	if (known && strstr(known, found->etag))
		http_reply_send(call->reply, 304, NULL, VIEW(""));
	else
		http_reply_send(call->reply, 200, found->type, view_make(found->bytes, found->length));
}

/* Whatever is no file is a page's address: index.html finds out which. */
static json_t *page(struct call *call, struct err *err)
{
	const char *path = call->request->path;
	const char *name = strrchr(path, '/');
	const struct page *found = page_find(path);

	if (!found && name && !strchr(name, '.'))
		found = page_find("/index.html");
	if (!found)
		(void)err_set(err, ERR_NOT_FOUND, "%.200s: there is no such page", path);
	else
		page_send(call, found, "no-cache");
	return NULL;
}

/* A file at an address that says which version of all files it is of: it never changes. Of another version there is what this one has in
 * its place, so that a page works which another `assay serve` behind the same address sent; that must not be kept under its name. */
static json_t *versioned(struct call *call, struct err *err)
{
	const char *path = call->request->path + strlen(STATIC);
	const char *name = strchr(path, '/');
	const struct page *found = name ? page_find(name) : NULL;
	size_t length = name ? (size_t)(name - path) : 0;

	if (!found || length != strlen(page_version))
		(void)err_set(err, ERR_NOT_FOUND, "%.200s: there is no such file", call->request->path);
	else
		page_send(call, found,
			  strncmp(path, page_version, length) == 0 ? "public, max-age=31536000, immutable" : "no-store");
	return NULL;
}

static json_t *nothing(struct call *call, struct err *err)
{
	(void)err_set(err, ERR_NOT_FOUND, "there is no call %s %.300s (doc/api.md)", call->request->method, call->request->path);
	return NULL;
}

const struct row page_rows[] = {
	{"GET", "/session.json", session, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
	{"*", "/api/*", nothing, WHO_PERSON, ROLE_VIEWER},
	{"GET", STATIC "*", versioned, WHO_PERSON | WHO_ANYONE, ROLE_VIEWER},
	{"GET", "/*", page, WHO_PERSON | WHO_ANYONE, ROLE_VIEWER},
};
const size_t page_row_count = ARRAY_LEN(page_rows);
