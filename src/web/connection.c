/* Connections to outside services, as the API shows and changes them. */
#include "base/scope.h"
#include "runs/connection.h"
#include "runs/token.h"
#include "web/web_priv.h"

#define PAGE_BYTES_MAX ((size_t)8 << 10)

static struct runs *runs_of(const struct call *call)
{
	return call->web->options.runs;
}

static const char *name_of(const struct call *call)
{
	return http_request_param(call->request, "connection");
}

static json_t *list(struct call *call, struct err *err)
{
	return items_of(runs_connection_list(runs_of(call), err));
}

static json_t *kinds(struct call *call, struct err *err)
{
	(void)call;
	(void)err;
	return items_of(runs_connection_kinds());
}

static json_t *make(struct call *call, struct err *err)
{
	return runs_connection_make(runs_of(call), call->body, err);
}

static json_t *show(struct call *call, struct err *err)
{
	return runs_connection_show(runs_of(call), name_of(call), err);
}

static json_t *change(struct call *call, struct err *err)
{
	return runs_connection_change(runs_of(call), name_of(call), call->body, err);
}

static json_t *drop(struct call *call, struct err *err)
{
	return runs_connection_remove(runs_of(call), name_of(call), err) ? NULL : json_object();
}

static json_t *examine(struct call *call, struct err *err)
{
	AUTO_FREE char *base = http_request_query(call->request, "public");
	const char *id = http_request_param(call->request, "connection");

	return items_of(runs_forge_examine(call->web->options.runs, id, base, err));
}

static json_t *accounts(struct call *call, struct err *err)
{
	return items_of(runs_connection_accounts(runs_of(call), name_of(call), err));
}

static json_t *check(struct call *call, struct err *err)
{
	return items_of(runs_connection_check(runs_of(call), name_of(call), err));
}

/* ---- permission of a workspace ---- */

static json_t *allow(struct call *call, struct err *err)
{
	const struct web *web = call->web;
	AUTO_FREE char *redirect = text_format("%s/connect/back", web->pages_url ? web->pages_url : web->base);

	return runs_permission(runs_of(call), name_of(call), redirect, json_flag(call->body, "own", false), err);
}

static json_t *page_answer(struct call *call, unsigned status, const char *head, const char *text)
{
	AUTO_BUF page = buf_new(PAGE_BYTES_MAX);

	buf_add_text(&page, "<!doctype html><meta charset=utf-8><title>Assay</title><h1>");
	buf_add_html(&page, view_of(head));
	buf_add_text(&page, "</h1><p>");
	buf_add_html(&page, view_of(text));
	http_reply_header(call->reply, "Cache-Control", "no-store");
	http_reply_header(call->reply, "Referrer-Policy", "no-referrer");
	http_reply_send(call->reply, status, "text/html; charset=utf-8", buf_view(&page));
	call->answered = true;
	return NULL;
}

/* Where the service sends the person back to. Who knows the state, which was told to nobody else, is who asked. */
static json_t *allowed(struct call *call, struct err *err)
{
	AUTO_FREE char *state = http_request_query(call->request, "state");
	AUTO_FREE char *code = http_request_query(call->request, "code");
	AUTO_FREE char *error = http_request_query(call->request, "error");
	AUTO_FREE char *text = NULL;
	struct err failure = {0};
	AUTO_JSON account = NULL;

	(void)err;
	if (!state || !code)
		return page_answer(call, 400, "Not connected", error ? error : "The service sent neither a state nor a code.");
	account = runs_allowed(runs_of(call), state, code, &failure);
	if (!account)
		return page_answer(call, failure.kind == ERR_DENIED ? 403 : 502, "Not connected", failure.text);
	text = text_format("%s is connected. This page can be closed.", json_text(account, "name", ""));
	return page_answer(call, 200, "Connected", text);
}

const struct row connection_rows[] = {
	{"GET", "/api/v1/connections", list, WHO_PERSON, ROLE_ADMIN, .answers = "[Connection]",
	 .does = "The outside services that this server is joined to"},
	{"GET", "/api/v1/connection-kinds", kinds, WHO_PERSON, ROLE_VIEWER, .answers = "[ConnectionKind]",
	 .does = "What kinds there are, and what can be set for each"},
	{"POST", "/api/v1/connections", make, WHO_PERSON, ROLE_ADMIN,
	 .fields = {{"kind", FIELD_LINE, true},
		    {"name", FIELD_LINE, false},
		    {"base", FIELD_LINE, false},
		    {"configuration", FIELD_OBJECT, false},
		    {"secrets", FIELD_OBJECT, false}},
	 .answers = "Connection", .does = "Joins an outside service; secrets are kept and never shown"},
	{"GET", "/api/v1/connections/{connection}", show, WHO_PERSON, ROLE_ADMIN, .answers = "Connection",
	 .does = "A connection, by id or name"},
	{"POST", "/api/v1/connections/{connection}", change, WHO_PERSON, ROLE_ADMIN,
	 .fields = {{"name", FIELD_LINE, false},
		    {"base", FIELD_LINE, false},
		    {"configuration", FIELD_OBJECT, false},
		    {"secrets", FIELD_OBJECT, false}},
	 .answers = "Connection", .does = "Changes what is said of it; null removes a setting or a secret"},
	{"GET", "/api/v1/connections/{connection}/check", examine, WHO_PERSON, ROLE_ADMIN, .answers = "[Examined]",
	 .does = "What is missing at a code host: permissions, events, its webhook; `public` is where it reaches this server",
	 .query = {{"public", "line"}}},
	{"GET", "/api/v1/connections/{connection}/accounts", accounts, WHO_PERSON, ROLE_ADMIN, .answers = "[Account]",
	 .does = "The workspaces that allowed it"},
	{"GET", "/api/v1/connections/{connection}/tracker-check", check, WHO_PERSON, ROLE_ADMIN, .answers = "[TrackerCheck]",
	 .does = "What it lacks, and what to do about it; asks the service"},
	{"POST", "/api/v1/connections/{connection}/permission", allow, WHO_PERSON, ROLE_ADMIN,
	 .fields = {{"own", FIELD_FLAG, false}}, .answers = "Permission",
	 .does = "The address where an admin of a workspace allows it; with `own` it is allowed by the application's own right"},
	{"GET", "/connect/back", allowed, WHO_PAGE | WHO_CLI | WHO_ANYONE, ROLE_VIEWER},
	{"DELETE", "/api/v1/connections/{connection}", drop, WHO_PERSON, ROLE_ADMIN, .answers = "{}",
	 .does = "Forgets a connection and its secrets"},
};
const size_t connection_row_count = ARRAY_LEN(connection_rows);
