/* Rows of the ledger and of credentials. */
#include <stdlib.h>

#include "audit/audit.h"
#include "base/scope.h"
#include "vault/vault.h"
#include "web/web_priv.h"

#define CEF_BYTES_MAX ((size_t)512 << 20)
#define ROWS_A_CALL_MAX 10000
#define ROWS_A_FILE_MAX 1000000

static struct audit *audit_of(const struct call *call, struct err *err)
{
	if (!call->web->options.audit)
		(void)err_set(err, ERR_NOT_FOUND, "this server has no ledger");
	return call->web->options.audit;
}

enum { ASKED_ENV, ASKED_RUN, ASKED_HOST, ASKED_RULE, ASKED_KIND, ASKED_REQUEST, ASKED_TEXTS };

struct asked {
	struct audit_query query;
	char *texts[ASKED_TEXTS];
};

static void asked_free(struct asked *asked)
{
	for (size_t i = 0; i < ASKED_TEXTS; i++)
		free(asked->texts[i]);
}
#define AUTO_ASKED __attribute__((cleanup(asked_free))) struct asked

/* ?env=&run=&host=&rule=&kind=&request=&since_ms=&until_ms=&before=&after=&limit= */
static int query_take(const struct call *call, struct asked *asked, int64_t limit, int64_t limit_max, struct err *err)
{
	static const char *const names[ASKED_TEXTS] = {"env", "run", "host", "rule", "kind", "request"};
	struct audit_query *query = &asked->query;

	for (size_t i = 0; i < ASKED_TEXTS; i++)
		asked->texts[i] = http_request_query(call->request, names[i]);
	*query = (struct audit_query){.env = asked->texts[ASKED_ENV],
				      .run = asked->texts[ASKED_RUN],
				      .host = asked->texts[ASKED_HOST],
				      .rule = asked->texts[ASKED_RULE],
				      .kind = asked->texts[ASKED_KIND]};
	if (query->kind && !ledger_kind_of(query->kind))
		return err_set(err, ERR_INVALID, "kind: `%.40s` is none of the ledger's", query->kind);
	if (asked->texts[ASKED_REQUEST] && ledger_request_parse(view_of(asked->texts[ASKED_REQUEST]), &query->request, err))
		return -1;
	if (request_query(call, "since_ms", 0, INT64_MAX, &query->since_ms, err) ||
	    request_query(call, "until_ms", 0, INT64_MAX, &query->until_ms, err) ||
	    request_query(call, "before", 0, INT64_MAX, &query->before, err) ||
	    request_query(call, "after", 0, INT64_MAX, &query->after, err) ||
	    request_query(call, "limit", limit, limit_max, &query->limit, err))
		return -1;
	return 0;
}

static json_t *ledger(struct call *call, struct err *err)
{
	struct audit *audit = audit_of(call, err);
	AUTO_ASKED asked = {.texts = {NULL}};

	if (!audit || query_take(call, &asked, ITEMS_DEFAULT, ROWS_A_CALL_MAX, err))
		return NULL;
	if (request_wants(call, "oldest_first") && !asked.query.after)
		asked.query.after = -1;
	return items_of(audit_search(audit, &asked.query, err));
}

static json_t *ledger_cef(struct call *call, struct err *err)
{
	struct audit *audit = audit_of(call, err);
	AUTO_BUF text = buf_new(CEF_BYTES_MAX);
	AUTO_ASKED asked = {.texts = {NULL}};

	if (!audit || query_take(call, &asked, ROWS_A_FILE_MAX, ROWS_A_FILE_MAX, err) ||
	    audit_export_cef(audit, &asked.query, &text, err))
		return NULL;
	return request_bytes(call, "text/plain; charset=utf-8", buf_view(&text));
}

static json_t *ledger_check(struct call *call, struct err *err)
{
	struct audit *audit = audit_of(call, err);

	return audit ? audit_verify(audit, err) : NULL;
}

static json_t *ledger_heads(struct call *call, struct err *err)
{
	struct audit *audit = audit_of(call, err);

	return audit ? items_of(audit_heads(audit, err)) : NULL;
}

/* ---- credentials ---- */

static json_t *rules_json(const struct credential_use *use)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < use->rule_count; i++) {
		AUTO_BUF rule = buf_new(1024);

		credential_rule_format(&use->rules[i], &rule);
		(void)json_array_append_new(rules, json_string(rule.at));
	}
	return rules;
}

static void secret_add(void *self, const char *name, const struct credential_use *use, int64_t set_ms)
{
	AUTO_BUF place = buf_new(CREDENTIAL_SLOT_MAX * 2);

	credential_place_format(use, &place);
	(void)json_array_append_new(self, json_pack("{s:s, s:o, s:s, s:b, s:I}", "name", name, "for", rules_json(use), "in",
						    place.at, "require", use->require != 0, "set_ms", (json_int_t)set_ms));
}

static json_t *secrets(struct call *call, struct err *err)
{
	json_t *items = json_array();

	(void)err;
	vault_secret_each(call->web->options.vault, secret_add, items);
	return items_of(items);
}

static int secret_note(struct call *call, const char *name, const char *what, struct err *err)
{
	AUTO_FREE char *detail = text_format("%s: %s", name, what);
	struct ledger_row row = audit_row(LEDGER_SECRET, NULL, NULL, NULL, call->caller.name, detail);
	struct audit *audit = audit_of(call, err);

	return audit ? audit_put(audit, &row, err) : -1;
}

static json_t *secret_set(struct call *call, struct err *err)
{
	const char *name = http_request_param(call->request, "name");
	const json_t *rules = json_member(call->body, "for");
	const char *value = json_text(call->body, "value", "");
	struct credential_use use = {.require = json_flag(call->body, "require", false)};
	size_t index;
	json_t *rule;

	if (!credential_name_valid(view_of(name))) {
		(void)err_set(err, ERR_INVALID, "`%.80s` is no name of a credential: lower-case letters, digits and dashes are",
			      name);
		return NULL;
	}
	json_array_foreach((json_t *)(uintptr_t)rules, index, rule) {
		if (!json_is_string(rule)) {
			(void)err_set(err, ERR_INVALID, "for: a list of rules is expected");
			return NULL;
		}
		if (credential_rule_parse(view_of(json_string_value(rule)), &use, err))
			return NULL;
	}
	if (credential_place_parse(view_of(json_text(call->body, "in", "")), &use, err) || credential_use_check(&use, err) ||
	    credential_value_check(&use, view_of(value), err) || secret_note(call, name, "set", err) ||
	    vault_secret_set(call->web->options.vault, name, &use, view_of(value), err))
		return NULL;
	explicit_bzero((char *)(uintptr_t)value, strlen(value)); /* the body's only copy of it */
	return json_pack("{s:s}", "name", name);
}

static json_t *secret_remove(struct call *call, struct err *err)
{
	const char *name = http_request_param(call->request, "name");

	if (!credential_name_valid(view_of(name))) {
		(void)err_set(err, ERR_NOT_FOUND, "there is no credential `%.80s`", name);
		return NULL;
	}
	return secret_note(call, name, "removed", err) || vault_secret_remove(call->web->options.vault, name, err) ? NULL
														   : json_object();
}

#define LEDGER_QUERY                                                                                                 \
	{"env", "line"}, {"run", "line"}, {"host", "line"}, {"rule", "line"}, {"kind", "line"}, {"request", "line"}, \
		{"since_ms", "time"}, {"until_ms", "time"}, {"before", "integer"}, {"after", "integer"},             \
	{                                                                                                            \
		"limit", "integer"                                                                                   \
	}
const struct row audit_rows[] = {
	{"GET", "/api/v1/ledger", ledger, WHO_PERSON, ROLE_VIEWER, .answers = "[LedgerRow]",
	 .does = "Rows of the ledger, the newest first", .query = {LEDGER_QUERY, {"oldest_first", "flag"}}},
	{"GET", "/api/v1/ledger/cef", ledger_cef, WHO_PERSON, ROLE_VIEWER, .answers = "bytes text/plain",
	 .does = "Rows of the ledger as CEF, the oldest first", .query = {LEDGER_QUERY}},
	{"GET", "/api/v1/ledger/heads", ledger_heads, WHO_PERSON, ROLE_VIEWER, .answers = "[line]",
	 .does = "The newest signed head of each writer"},
	{"POST", "/api/v1/ledger/verify", ledger_check, WHO_PERSON, ROLE_VIEWER, .answers = "LedgerVerified",
	 .does = "Reads and checks the whole ledger"},
	{"GET", "/api/v1/secrets", secrets, WHO_PERSON, ROLE_VIEWER, .answers = "[Secret]",
	 .does = "Credentials: names and rules, never values"},
	{"POST", "/api/v1/secrets/{name}", secret_set, WHO_CLI, ROLE_ADMIN,
	 .fields =
		 {{"for", FIELD_LIST, true}, {"in", FIELD_LINE, true}, {"value", FIELD_TEXT, true}, {"require", FIELD_FLAG, false}},
	 .answers = "Named", .does = "Sets a credential; nobody can read it again"},
	{"DELETE", "/api/v1/secrets/{name}", secret_remove, WHO_CLI, ROLE_ADMIN, .answers = "{}", .does = "Removes a credential"},
};
const size_t audit_row_count = ARRAY_LEN(audit_rows);
