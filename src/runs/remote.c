/* Projects at code hosts: their rows, the clients of their connections, and bringing their default branch here. */
#include "runs/remote.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "http/url.h"
#include "runs/runs_priv.h"

#define CLIENTS_MAX 256 /* forms of connections since the start */
#define HEADER_BYTES_MAX ((size_t)16 << 10)
#define REF_MAIN "refs/heads/main"
#define REMOTE_NAME_MAX 200
#define REFUSED_AGAIN_MS ((int64_t)60 * 1000) /* what waits for a credential that a person must renew is tried so often */

/* A connection as it was set at some time; what is being done with an older form ends with it. */
struct remote_client {
	struct remote_client *next;
	struct digest key;
	struct remote remote;
};

void place_fini(struct place *place)
{
	free(place->name);
	free(place->connection);
	free(place->remote);
	free(place->url);
	free(place->branch);
	json_decref(place->settings);
	*place = (struct place){0};
}

/* ---- clients ---- */

static struct digest connection_digest(const struct connection *connection)
{
	AUTO_BUF text = buf_new(4 * CONNECTION_BYTES_MAX);
	struct digest digest;

	buf_add_format(&text, "%s\n%s\n%s\n", connection->id, connection->kind, connection->base);
	json_format_sorted(&text, connection->configuration);
	json_format_sorted(&text, connection->secrets);
	digest = digest_of(buf_view(&text));
	explicit_bzero(text.at, text.length);
	return digest;
}

static int client_make(struct runs *runs, const struct connection *connection, struct remote *remote, struct err *err)
{
	const struct remote_kind *kind = remote_kind_find(connection->kind);
	struct remote_options options = {.base = connection->base,
					 .configuration = connection->configuration,
					 .secrets = connection->secrets,
					 .world = runs->options.world};

	if (!kind)
		return err_set(err, ERR_INVALID, "a connection to %s is no code host", connection->kind);
	return kind->make(&options, remote, err) ? err_prefix(err, "connection %s", connection->name) : 0;
}

static int client_find(struct runs *runs, const struct connection *connection, const struct digest *key, struct remote *remote,
		       struct err *err)
{
	struct remote_client *client;
	int count = 0;

	for (client = runs->clients; client; client = client->next, count++)
		if (strcmp(client->key.text, key->text) == 0) {
			*remote = client->remote;
			return 0;
		}
	if (count >= CLIENTS_MAX)
		return err_set(err, ERR_LIMIT, "connections were changed %d times: start the server anew", CLIENTS_MAX);
	if (client_make(runs, connection, remote, err))
		return -1;
	client = mem_new(sizeof(*client));
	*client = (struct remote_client){.next = runs->clients, .key = *key, .remote = *remote};
	runs->clients = client;
	return 0;
}

int remote_open(struct runs *runs, const struct connection *connection, struct remote *remote, struct err *err)
{
	struct digest key = connection_digest(connection);
	int status;

	(void)pthread_mutex_lock(&runs->clients_lock);
	status = client_find(runs, connection, &key, remote, err);
	(void)pthread_mutex_unlock(&runs->clients_lock);
	return status;
}

void remotes_close(struct runs *runs)
{
	while (runs->clients) {
		struct remote_client *client = runs->clients;

		runs->clients = client->next;
		client->remote.ops->free(client->remote.self);
		free(client);
	}
}

/* ---- rows ---- */

#define PLACE_COLUMNS "name, connection, remote, url, branch, judges"

static int place_read(struct store_tx *tx, struct place *place, bool *found, const char *sql, const struct store_value *values,
		      size_t count, struct err *err)
{
	AUTO_ROWS rows = {0};

	*found = false;
	if (store_query(tx, &rows, sql, values, count, err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err);
	place_fini(place);
	*found = true;
	place->name = text_copy(store_rows_text(&rows, 0));
	place->connection = text_copy(store_rows_text(&rows, 1));
	place->remote = text_copy(store_rows_text(&rows, 2));
	place->url = text_copy(store_rows_text(&rows, 3));
	place->branch = text_copy(store_rows_text(&rows, 4));
	place->judges = store_rows_number(&rows, 5) != 0;
	return 0;
}

int place_find(struct store_tx *tx, const char *name, struct place *place, bool *found, struct err *err)
{
	return place_read(tx, place, found, "SELECT " PLACE_COLUMNS " FROM repository WHERE name = ?", VALUES(V(name)), err);
}

int place_find_remote(struct store_tx *tx, const char *connection, const char *remote, struct place *place, bool *found,
		      struct err *err)
{
	return place_read(tx, place, found,
			  "SELECT " PLACE_COLUMNS " FROM repository WHERE connection = ? AND lower(remote) = lower(?)",
			  VALUES(V(connection), V(remote)), err);
}

int place_load(struct runs *runs, const char *name, struct place *place, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};
	bool found;

	if (store_begin(runs->store, &tx, err) || place_find(&tx, name, place, &found, err))
		return -1;
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "the project %s is not at a code host", name);
	if (connection_read(&tx, place->connection, &connection, err))
		return -1;
	store_abort(&tx);
	place->settings = json_incref(connection.configuration);
	return remote_open(runs, &connection, &place->host, err);
}

static int number_read(struct store_tx *tx, const char *sql, int64_t key, int64_t *number, char **url, struct err *err)
{
	AUTO_ROWS rows = {0};

	*number = 0;
	if (store_query(tx, &rows, sql, VALUES(V(key)), err))
		return -1;
	if (store_rows_next(&rows)) {
		*number = store_rows_number(&rows, 0);
		if (url)
			*url = text_copy(store_rows_text(&rows, 1));
	}
	return store_rows_finish(&rows, err);
}

int remote_pull_number(struct store_tx *tx, int64_t pull, int64_t *number, char **url, struct err *err)
{
	return number_read(tx, "SELECT number, url FROM pull_remote WHERE pull = ?", pull, number, url, err);
}

int remote_issue_number(struct store_tx *tx, int64_t issue, int64_t *number, char **url, struct err *err)
{
	return number_read(tx, "SELECT number, url FROM issue_remote WHERE issue = ?", issue, number, url, err);
}

static int mine_find(struct store_tx *tx, const char *sql, const char *name, int64_t there, int64_t *here, char **run,
		     struct err *err)
{
	AUTO_ROWS rows = {0};

	*here = 0;
	*run = NULL;
	if (store_query(tx, &rows, sql, VALUES(V(name), V(there)), err))
		return -1;
	if (store_rows_next(&rows)) {
		*here = store_rows_number(&rows, 0);
		*run = text_copy(store_rows_text(&rows, 1));
	}
	return store_rows_finish(&rows, err);
}

int remote_pull_find(struct store_tx *tx, const char *name, int64_t there, int64_t *pull, char **run, struct err *err)
{
	return mine_find(
		tx,
		"SELECT pull, coalesce((SELECT run FROM run_part WHERE run_part.pull = pull_remote.pull AND run_part.repository ="
		" pull_remote.repository LIMIT 1), (SELECT id FROM run WHERE run.pull = pull_remote.pull AND run.repository ="
		" pull_remote.repository ORDER BY seq DESC LIMIT 1)) FROM pull_remote WHERE repository = ? AND number = ?",
		name, there, pull, run, err);
}

int remote_issue_find(struct store_tx *tx, const char *name, int64_t there, int64_t *issue, char **run, struct err *err)
{
	return mine_find(tx,
			 "SELECT issue, (SELECT id FROM run WHERE run.issue = issue_remote.issue ORDER BY seq DESC LIMIT 1)"
			 " FROM issue_remote WHERE repository = ? AND number = ?",
			 name, there, issue, run, err);
}

int remote_put(struct runs *runs, struct store_tx *tx, const struct place *place, const char *kind, const char *operation,
	       const char *target, bool chatter, json_t *data, struct err *err)
{
	AUTO_JSON owned = data;
	const char *slash = strchr(place->remote, '/');
	AUTO_FREE char *tenant = text_format("forge/%s/%.*s", place->connection, (int)(slash ? slash - place->remote : 0),
					     place->remote);
	AUTO_FREE char *whole = text_format("forge/%s/%s", place->name, target);

	(void)json_object_set_new(owned, "repository", json_string(place->name));
	return effect_put(
		runs, tx,
		&(struct effect){
			.kind = kind, .operation = operation, .tenant = tenant, .target = whole, .data = owned, .chatter = chatter},
		err);
}

int remote_failed(const struct remote_told *told, struct outbox_answer *answer)
{
	answer->blocked_until_ms = told->wait_until_ms;
	answer->refused = told->refused;
	return -1;
}

/* ---- what waits for a person ---- */

/* With ERR_DENIED of a credential: the connection says what is to be done. */
static int refusal_say(struct runs *runs, const char *id, struct err *err)
{
	const struct err failure = *err;
	struct err waits = {0};
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};

	/* A store that fails here says so: with the refusal's own error what waits would be given up. */
	*err = (struct err){0};
	if (store_begin(runs->store, &tx, err) || connection_read(&tx, id, &connection, err))
		return -1;
	(void)err_set(&waits, ERR_LIMIT, "%.250s; give the connection one that holds: `assay connections set %.60s --secrets`",
		      failure.text, connection.name);
	if (connection_state_set(&tx, connection.id, waits.text, err) || store_commit(&tx, err))
		return -1;
	*err = waits;
	return 0;
}

/* "forge/CONNECTION" and what follows; owned. NULL: no effect at a code host. */
static char *connection_of(const struct outbox_effect *effect)
{
	struct view rest = view_of(effect->tenant);

	return view_is(view_cut(rest, '/', &rest), "forge") ? view_copy(view_cut(rest, '/', &rest)) : NULL;
}

int remote_refused(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_FREE char *connection = connection_of(effect);

	if (connection && !refusal_say(runs, connection, err))
		answer->blocked_until_ms = world_now_ms(runs->options.world) + REFUSED_AGAIN_MS;
	return -1;
}

int remote_accepted_in(struct store_tx *tx, const struct outbox_effect *effect, struct err *err)
{
	AUTO_FREE char *connection = connection_of(effect);

	return connection ? connection_state_set(tx, connection, NULL, err) : 0;
}

int remote_wait(struct runs *runs, const char *repository, const struct remote_told *told, struct flow_visit *visit,
		struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	int64_t wake_ms = told->wait_until_ms;
	AUTO_PLACE place = {0};

	if (err->kind == ERR_DENIED && told->refused) {
		struct err failure = *err;

		*err = (struct err){0};
		if (place_load(runs, repository, &place, err))
			return -1;
		*err = failure;
		if (refusal_say(runs, place.connection, err))
			return -1;
		wake_ms = now_ms + REFUSED_AGAIN_MS;
	} else if (err->kind != ERR_LIMIT || !wake_ms) {
		return -1;
	}
	log_info("run=%s waits_ms=%lld: %s", visit->id, (long long)(wake_ms - now_ms), err->text);
	(void)snprintf(visit->detail, sizeof(visit->detail), "waits: %.240s", err->text);
	visit->park = true;
	visit->wake_ms = wake_ms;
	*err = (struct err){0};
	return 0;
}

/* ---- the default branch ---- */

static int git_once(const struct place *place, bool push, int (*act)(void *self, const struct git_remote *remote, struct err *err),
		    void *self, struct remote_told *told, struct err *err)
{
	AUTO_BUF header = buf_new(HEADER_BYTES_MAX);
	AUTO_BUF url = buf_new(2048);
	int status;

	place->host.ops->clone_url(place->host.self, place->remote, &url);
	if (buf_finish(&url, err) || place->host.ops->credential(place->host.self, place->remote, push, &header, told, err))
		return -1;
	status = act(self, &(struct git_remote){url.at, header.at}, err);
	explicit_bzero(header.at, header.length);
	return status;
}

int place_git(const struct place *place, bool push, int (*act)(void *self, const struct git_remote *remote, struct err *err),
	      void *self, struct remote_told *told, struct err *err)
{
	struct err why = {0};

	if (!git_once(place, push, act, self, told, &why))
		return 0;
	if (why.kind != ERR_DENIED || !place->host.ops->credential_refused) {
		told->refused = told->refused || git_is_unauthorized(&why);
		*err = why;
		return -1;
	}
	place->host.ops->credential_refused(place->host.self, place->remote, push);
	if (!git_once(place, push, act, self, told, &why))
		return 0;
	told->refused = told->refused || git_is_unauthorized(&why);
	*err = why;
	return -1;
}

struct fetching {
	struct runs *runs;
	const char *path;
	const char *there;
	const char *ref;
	struct git_hash *commit;
};

static int fetch(void *self, const struct git_remote *remote, struct err *err)
{
	const struct fetching *fetching = self;
	int status;

	(void)pthread_mutex_lock(&fetching->runs->repositories);
	status = git_repository_make(fetching->path, err) ||
				 git_fetch_remote(fetching->path, remote, fetching->there, fetching->ref, fetching->commit, err)
			 ? -1
			 : 0;
	(void)pthread_mutex_unlock(&fetching->runs->repositories);
	return status;
}

int place_fetch(struct runs *runs, const struct place *place, const char *there, const char *ref, struct git_hash *commit,
		struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = repository_path(runs, place->name);
	struct fetching fetching = {runs, path, there, ref, commit};

	return place_git(place, false, fetch, &fetching, told, err);
}

static int branch_fetch(struct runs *runs, const struct place *place, struct git_hash *commit, struct remote_told *told,
			struct err *err)
{
	AUTO_FREE char *wanted = text_format("refs/heads/%s", place->branch);

	return place_fetch(runs, place, wanted, REF_MAIN, commit, told, err);
}

int remote_refresh(struct runs *runs, const char *name, struct remote_told *told, struct err *err)
{
	AUTO_PLACE place = {0};
	struct git_hash commit;
	struct err why = {0};

	if (place_load(runs, name, &place, &why)) {
		if (why.kind == ERR_NOT_FOUND)
			return 0;
		*err = why;
		return -1;
	}
	return branch_fetch(runs, &place, &commit, told, err);
}

/* ---- adding one ---- */

/* "owner/name" of "https://host/owner/name.git" or of itself; owned. */
static char *remote_name(const char *text, struct err *err)
{
	struct view path = view_of(text);
	struct url url;

	if (strstr(text, "://")) {
		if (url_parse(path, &url, err))
			return NULL;
		path = url.path;
	}
	while (path.length && path.at[0] == '/')
		path = view_make(path.at + 1, path.length - 1);
	while (view_ends(path, VIEW("/")))
		path.length--;
	if (view_ends(path, VIEW(".git")))
		path.length -= 4;
	if (path.length > REMOTE_NAME_MAX || view_find(path, VIEW("/")) < 1 || view_ends(path, VIEW("/")) ||
	    view_find(path, VIEW("..")) >= 0 || memchr(path.at, '?', path.length) || memchr(path.at, '#', path.length)) {
		(void)err_set(err, ERR_INVALID, "`%.200s`: expected https://HOST/OWNER/NAME", text);
		return NULL;
	}
	return view_copy(path);
}

/* What follows the last slash, as a name of ours. */
static char *own_name(const char *remote)
{
	char *name = text_copy(strrchr(remote, '/') + 1);

	for (char *at = name; *at; at++)
		*at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at == '_' || *at == '.' ? '-' : *at;
	return name;
}

/* "https://git.acme.test:3000/owner/name" → "git.acme.test:3000"; empty: there is none. */
static struct view host_of(struct view url)
{
	ptrdiff_t scheme = view_find(url, VIEW("://"));
	struct view rest = scheme < 0 ? (struct view){0} : view_make(url.at + scheme + 3, url.length - (size_t)scheme - 3);
	struct view host = view_cut(rest, '/', &(struct view){0});

	return view_starts(host, VIEW("api.")) ? view_make(host.at + 4, host.length - 4) : host;
}

/* Which connection is meant when nobody says: the only one of a code host, and with a URL the only one of that host. */
static char *connection_choose(struct runs *runs, const char *where, struct err *err)
{
	struct view host = where ? host_of(view_of(where)) : (struct view){0};
	AUTO_JSON ids = NULL;
	AUTO_FREE char *chosen = NULL;
	size_t fits = 0;
	size_t index;
	json_t *id;
	AUTO_TX tx = {0};

	ids = store_begin_snapshot(runs->store, &tx, err) ? NULL : connection_ids(&tx, NULL, err);
	if (!ids)
		return NULL;
	json_array_foreach(ids, index, id) {
		AUTO_CONNECTION connection = {0};

		if (connection_read(&tx, json_string_value(id), &connection, err))
			return NULL;
		if (!remote_kind_find(connection.kind) ||
		    (host.length && !view_equal_nocase(host, host_of(view_of(connection.base)))))
			continue;
		if (!fits++)
			chosen = text_copy(connection.id);
	}
	if (fits == 1)
		return TAKE(chosen);
	(void)err_set(err, fits ? ERR_INVALID : ERR_NOT_FOUND, "%s connection is of %.*s%s", fits ? "more than one" : "no",
		      host.length ? (int)host.length : 11, host.length ? host.at : "a code host",
		      fits ? ": say which with --connection" : ": `assay connect github|gitlab|gitea` makes one");
	return NULL;
}

static int place_store(struct runs *runs, const struct place *place, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_run(
		    &tx,
		    "INSERT INTO repository (name, connection, remote, url, branch, judges) VALUES (?, ?, ?, ?, ?, ?)"
		    " ON CONFLICT (name) DO UPDATE SET connection = excluded.connection, remote = excluded.remote, url = excluded.url,"
		    " branch = excluded.branch, judges = excluded.judges",
		    VALUES(V(place->name), V(place->connection), V(place->remote), V(place->url), V(place->branch),
			   V(place->judges)),
		    err))
		return err && err->kind == ERR_CONFLICT ? err_set(err, ERR_CONFLICT, "%s is a project already", place->remote) : -1;
	return store_commit(&tx, err);
}

json_t *runs_repository_add(struct runs *runs, const char *where, const char *connection_name, const char *name, bool judges,
			    struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_PLACE place = {.judges = judges};
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *chosen = NULL;
	AUTO_JSON about = NULL;
	struct remote_told told = {0};
	struct git_hash commit;

	place.remote = remote_name(where, err);
	if (place.remote && !connection_name)
		connection_name = chosen = connection_choose(runs, where, err);
	if (!place.remote || !connection_name || connection_load(runs, connection_name, &connection, err) ||
	    remote_open(runs, &connection, &place.host, err))
		return NULL;
	place.connection = text_copy(connection.id);
	place.name = name ? text_copy(name) : own_name(place.remote);
	path = runs_repository_path(runs, place.name, err);
	if (!path && err->kind != ERR_NOT_FOUND)
		return NULL;
	about = place.host.ops->describe(place.host.self, place.remote, &told, err);
	if (!about)
		return NULL;
	place.branch = text_copy(json_text(about, "branch", "main"));
	place.url = text_copy(json_text(about, "url", ""));
	if (branch_fetch(runs, &place, &commit, &told, err) || place_store(runs, &place, err))
		return NULL;
	log_info("repository=%s connection=%s remote=%s", place.name, connection.name, place.remote);
	return json_pack("{s:s, s:s, s:s, s:s}", "name", place.name, "commit", commit.text, "remote", place.remote, "branch",
			 place.branch);
}

json_t *runs_forge_examine(struct runs *runs, const char *connection_name, const char *public_base, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_JSON items = json_array();
	AUTO_JSON names = json_array();
	AUTO_FREE char *hook = NULL;
	struct remote remote;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	size_t index;
	json_t *name;

	if (store_begin(runs->store, &tx, err) || connection_read(&tx, connection_name, &connection, err) ||
	    store_query(&tx, &rows, "SELECT remote FROM repository WHERE connection = ? ORDER BY name", VALUES(V(connection.id)),
			err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(names, store_rows_json(&rows, 0));
	if (store_rows_finish(&rows, err))
		return NULL;
	store_rows_fini(&rows);
	store_abort(&tx);
	if (remote_open(runs, &connection, &remote, err))
		return NULL;
	hook = text_format("%s/hooks/%s", public_base ? public_base : runs->pages_base, connection.id);
	if (!json_array_size(names))
		(void)json_array_append_new(names, json_null());
	json_array_foreach(names, index, name) {
		AUTO_JSON found = remote.ops->examine(remote.self, json_string_value(name), hook, err);

		if (!found)
			return NULL;
		(void)json_array_append_new(items, json_pack("{s:O, s:O}", "repository", name, "found", found));
	}
	return TAKE(items);
}
