/* Accounts: rows with tokens. */
#include "runs/account.h"

#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"

void account_fini(struct account *account)
{
	const char *key;
	json_t *value;

	if (account->secrets && account->secrets->refcount == 1)
		json_object_foreach(account->secrets, key, value)
			if (json_is_string(value))
				explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	json_decref(account->secrets);
	free(account->connection);
	free(account->account);
	free(account->name);
	free(account->self);
	free(account->scopes);
	*account = (struct account){0};
}

int account_read(struct store_tx *tx, const char *connection, const char *id, struct account *account, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT name, self, scopes, secrets, ends_ms FROM account WHERE connection = ? AND account = ?",
			VALUES(V(connection), V(id)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err)
			       ? -1
			       : err_set(err, ERR_NOT_FOUND, "`%.80s` has not allowed anything: connect it", id);
	account_fini(account);
	account->connection = text_copy(connection);
	account->account = text_copy(id);
	account->name = text_copy(store_rows_text(&rows, 0));
	account->self = text_copy(store_rows_text(&rows, 1));
	account->scopes = text_copy(store_rows_text(&rows, 2));
	account->secrets = json_parse(view_of(store_rows_text(&rows, 3)), err);
	account->ends_ms = store_rows_number(&rows, 4);
	return account->secrets ? 0 : -1;
}

int account_write(struct store_tx *tx, const struct account *account, struct err *err)
{
	AUTO_BUF secrets = buf_new(CONNECTION_BYTES_MAX);
	int failed;

	json_format(&secrets, account->secrets);
	failed =
		buf_finish(&secrets, err) ||
		store_run(
			tx,
			"INSERT INTO account (connection, account, name, self, scopes, secrets, ends_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
			" ON CONFLICT (connection, account) DO UPDATE SET name = excluded.name, self = excluded.self,"
			" scopes = excluded.scopes, secrets = excluded.secrets, ends_ms = excluded.ends_ms",
			VALUES(V(account->connection), V(account->account), V(account->name), V(account->self),
			       V(account->scopes ? account->scopes : ""), V(buf_view(&secrets)), V(account->ends_ms)),
			err);
	if (secrets.at)
		explicit_bzero(secrets.at, secrets.length);
	return failed ? -1 : 0;
}

json_t *account_list(struct store_tx *tx, const char *connection, struct err *err)
{
	static const char *const names[] = {"account", "name", "self", "scopes", "ends_ms"};
	AUTO_JSON items = json_array();
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows,
			"SELECT account, name, self, scopes, ends_ms FROM account WHERE connection = ? ORDER BY name LIMIT ?",
			VALUES(V(connection), V(ACCOUNTS_MAX)), err))
		return NULL;
	while (store_rows_next(&rows)) {
		json_t *item = json_object();

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			(void)json_object_set_new(item, names[i], store_rows_json(&rows, (int)i));
		(void)json_array_append_new(items, item);
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}
