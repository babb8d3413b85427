/* What a connection still lacks: each line says what is so, or what to do about it. What is looked at is the service's (voice.h). */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"

void check_say(struct check *check, const char *what, bool ok, bool note, const char *says, const char *how)
{
	json_t *item = json_pack("{s:s, s:s, s:s}", "connection", check->connection->name, "what", what, "state",
				 ok     ? "ok"
				 : note ? "note"
					: "missing");

	json_set_bytes(item, "says", view_of(says));
	if (!ok)
		json_set_bytes(item, "do", view_of(how));
	(void)json_array_append_new(check->items, item);
}

void check_setting(struct check *check, const char *key, bool set, const char *how)
{
	check_say(check, key, set, false, set ? "is set" : "is not set", how);
}

bool check_scope(const char *scopes, const char *name)
{
	for (struct view rest = view_of(scopes); rest.length;) {
		struct view word = view_cut(rest, strchr(scopes, ',') ? ',' : ' ', &rest);

		if (view_is(view_trim(word), name))
			return true;
	}
	return false;
}

int check_deliveries(struct check *check, const char *kind, const char *title, bool note, const char *how, struct err *err)
{
	int64_t seen = 0;
	AUTO_TX tx = {0};

	if (store_begin_snapshot(check->runs->store, &tx, err) ||
	    store_number_get(&tx, &seen, 0, "SELECT count(*) FROM inbox WHERE source = ? AND substr(kind, 1, length(?)) = ?",
			     VALUES(V(check->connection->id), V(kind), V(kind)), err))
		return -1;
	check_say(check, title, seen > 0, note, seen ? "have come" : "have never come", how);
	return 0;
}

json_t *check_accounts(struct check *check, struct err *err)
{
	AUTO_FREE char *how = text_format("`assay %s connect %s`, as an admin there", check->connection->kind,
					  check->connection->name);
	json_t *accounts = NULL;
	AUTO_TX tx = {0};

	accounts = store_begin_snapshot(check->runs->store, &tx, err) ? NULL : account_list(&tx, check->connection->id, err);
	if (accounts && !json_array_size(accounts))
		check_say(check, "workspace", false, false, "none has allowed it", how);
	return accounts;
}

json_t *runs_connection_check(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	struct check check = {runs, &connection, NULL};
	AUTO_JSON items = json_array();
	const struct voice *voice;

	if (connection_load(runs, id, &connection, err))
		return NULL;
	check.items = items;
	voice = voice_find(connection.kind);
	if (!voice) {
		check_say(&check, connection.kind, connection_secret(&connection, "webhook_secret"), true, "its secret",
			  "set webhook_secret");
		return TAKE(items);
	}
	return voice->check(&check, err) ? NULL : TAKE(items);
}

json_t *runs_connection_accounts(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err) || connection_read(&tx, id, &connection, err)
		       ? NULL
		       : account_list(&tx, connection.id, err);
}
