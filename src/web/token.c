/*
 * Tokens of the API: who is not the person at this machine says who it is by one, over TCP. What is kept is only a token's digest; a token
 * has a name, a role and an end.
 */
#include "audit/audit.h"
#include "base/digest.h"
#include "base/scope.h"
#include "store/store.h"
#include "web/web_priv.h"

#define TOKEN_PREFIX "assay_"
#define SECRET_BYTES 32
#define DAYS_DEFAULT 90
#define DAYS_MAX 3650
#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define USED_EVERY_MS ((int64_t)3600 * 1000) /* how exact `used_ms` is */

static const char *const role_names[] = {
	[ROLE_VIEWER] = "viewer", [ROLE_DEVELOPER] = "developer", [ROLE_APPROVER] = "approver", [ROLE_ADMIN] = "admin"};

const char *role_name(enum role role)
{
	return role_names[role];
}

int role_parse(const char *name, enum role *role, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
		if (strcmp(role_names[i], name) != 0)
			continue;
		*role = (enum role)i;
		return 0;
	}
	return err_set(err, ERR_INVALID, "role: expected viewer, developer, approver or admin, not `%.40s`", name);
}

/* ---- who calls ---- */

static int token_used(struct store_tx *tx, const char *digest, int64_t now, struct err *err)
{
	return store_run(tx, "UPDATE token SET used_ms = ? WHERE digest = ? AND (used_ms IS NULL OR used_ms < ?)",
			 VALUES(V(now), V(digest), V(now - USED_EVERY_MS)), err);
}

/* Found by its digest: how long that takes says nothing about the token. */
int token_find(struct store_tx *tx, struct caller *caller, int64_t now_ms, bool *found, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT name, role FROM token WHERE digest = ? AND ends_ms > ?",
			VALUES(V(caller->secret.text), V(now_ms)), err))
		return -1;
	*found = store_rows_next(&rows) && !role_parse(store_rows_text(&rows, 1), &caller->role, err);
	if (*found)
		(void)snprintf(caller->name, sizeof(caller->name), "%s", store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

static int token_use(const struct call *call, struct caller *caller, bool *found, struct err *err)
{
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err) || token_find(&tx, caller, now, found, err) ||
	    (*found && token_used(&tx, caller->secret.text, now, err)))
		return -1;
	return store_commit(&tx, err);
}

int token_judge(const struct call *call, const char *authorization, struct caller *caller, struct err *err)
{
	struct view token;
	struct view scheme = view_cut(view_of(authorization), ' ', &token);
	bool found = false;

	token = view_trim(token);
	if (!view_equal_nocase(scheme, VIEW("Bearer")) || !token.length)
		return err_set(err, ERR_DENIED, "Authorization: expected `Bearer TOKEN`");
	caller->known_by = KNOWN_BY_TOKEN;
	caller->secret = digest_of(token);
	if (token_use(call, caller, &found, err))
		return -1;
	return found ? 0 : err_set(err, ERR_DENIED, "the token is none of this server's, or it has ended: `assay token create`");
}

/* ---- rows ---- */

static int token_note(const struct call *call, const char *name, const char *what, struct err *err)
{
	AUTO_FREE char *detail = text_format("token %s: %s", name, what);
	struct ledger_row row = audit_row(LEDGER_SECRET, NULL, NULL, NULL, call->caller.name, detail);

	return call->web->options.audit ? audit_put(call->web->options.audit, &row, err) : 0;
}

static json_t *token_list(struct call *call, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(call_store(call), &tx, err) ||
	    store_query(&tx, &rows, "SELECT name, role, created_ms, ends_ms, used_ms FROM token ORDER BY name", NO_VALUES, err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(items,
					    json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", store_rows_json(&rows, 0), "role",
						      store_rows_json(&rows, 1), "created_ms", store_rows_json(&rows, 2), "ends_ms",
						      store_rows_json(&rows, 3), "used_ms", store_rows_json(&rows, 4)));
	return store_rows_finish(&rows, err) ? NULL : items_of(TAKE(items));
}

static bool name_valid(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return length && !name[length] && length < CALLER_NAME_MAX;
}

static void secret_make(const struct call *call, struct buf *token)
{
	unsigned char bytes[SECRET_BYTES];

	world_random(call->web->options.world, bytes, sizeof(bytes));
	buf_add_text(token, TOKEN_PREFIX);
	buf_add_hex(token, bytes, sizeof(bytes));
}

static int token_keep(const struct call *call, const char *name, enum role role, struct view token, int64_t ends_ms,
		      struct err *err)
{
	struct digest digest = digest_of(token);
	int64_t now = world_now_ms(call->web->options.world);
	AUTO_TX tx = {0};

	if (store_begin(call_store(call), &tx, err))
		return -1;
	if (store_run(&tx, "INSERT INTO token (name, role, digest, created_ms, ends_ms) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(name), V(role_name(role)), V(digest.text), V(now), V(ends_ms)), err))
		return err && err->kind == ERR_CONFLICT ? err_set(err, ERR_CONFLICT, "there is a token `%s` already", name) : -1;
	return store_commit(&tx, err);
}

static json_t *token_make(struct call *call, struct err *err)
{
	const char *name = json_text(call->body, "name", "");
	int64_t days = json_number(call->body, "days", DAYS_DEFAULT);
	int64_t ends_ms = world_now_ms(call->web->options.world) + days * DAY_MS;
	AUTO_BUF token = buf_new(256);
	enum role role = ROLE_VIEWER;
	json_t *answer;

	if (role_parse(json_text(call->body, "role", ""), &role, err))
		return NULL;
	if (!name_valid(name)) {
		(void)err_set(err, ERR_INVALID, "name: expected lower-case letters, digits and dashes, not `%.80s`", name);
		return NULL;
	}
	if (days < 1 || days > DAYS_MAX) {
		(void)err_set(err, ERR_INVALID, "days: expected a number from 1 to %d", DAYS_MAX);
		return NULL;
	}
	secret_make(call, &token);
	if (token_note(call, name, role_name(role), err) || token_keep(call, name, role, buf_view(&token), ends_ms, err))
		return NULL;
	answer = json_pack("{s:s, s:s, s:I, s:s}", "name", name, "role", role_name(role), "ends_ms", (json_int_t)ends_ms, "token",
			   token.at);
	explicit_bzero(token.at, token.length);
	return answer;
}

static int token_known(const struct call *call, const char *name, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t there = 0;

	if (store_begin(call_store(call), &tx, err) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM token WHERE name = ?", VALUES(V(name)), err))
		return -1;
	return there ? 0 : err_set(err, ERR_NOT_FOUND, "there is no token `%.80s`", name);
}

static json_t *token_remove(struct call *call, struct err *err)
{
	const char *name = http_request_param(call->request, "name");
	AUTO_TX tx = {0};

	if (token_known(call, name, err) || token_note(call, name, "removed", err) || store_begin(call_store(call), &tx, err) ||
	    store_run(&tx, "DELETE FROM token WHERE name = ?", VALUES(V(name)), err) || store_commit(&tx, err))
		return NULL;
	return json_object();
}

const struct row token_rows[] = {
	{"GET", "/api/v1/tokens", token_list, WHO_PERSON, ROLE_ADMIN, .answers = "[Token]",
	 .does = "Tokens of the API, without what they are"},
	{"POST", "/api/v1/tokens", token_make, WHO_CLI, ROLE_ADMIN,
	 .fields = {{"name", FIELD_LINE, true}, {"role", FIELD_LINE, true}, {"days", FIELD_NUMBER, false}}, .answers = "TokenMade",
	 .secret = true, .does = "Makes a token; this answer is the only one that has it"},
	{"DELETE", "/api/v1/tokens/{name}", token_remove, WHO_CLI, ROLE_ADMIN, .answers = "{}", .does = "Ends a token"},
};
const size_t token_row_count = ARRAY_LEN(token_rows);
