/* Connections to outside services, as the API shows and changes them. */
#include "base/scope.h"
#include "runs/connection.h"
#include "web/web_priv.h"

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
	{"DELETE", "/api/v1/connections/{connection}", drop, WHO_PERSON, ROLE_ADMIN, .answers = "{}",
	 .does = "Forgets a connection and its secrets"},
};
const size_t connection_row_count = ARRAY_LEN(connection_rows);
