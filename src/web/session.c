/* Sessions: secrets taken out, and those that the organisation holds out, which no agent sees. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "session/values.h"
#include "vault/vault.h"
#include "web/web_priv.h"

#define SESSION_NAME_MAX ((size_t)120)
#define HELD_OUT_MAX 1000

static int key_make(const struct web *web, struct hide_key *key, struct err *err)
{
	unsigned char signature[64];
	char key_id[65];

	if (vault_sign(web->options.vault, VIEW(HIDE_KEY_TEXT), signature, key_id, err))
		return err_prefix(err, "the key for secrets of sessions");
	hide_key_derive(key, signature);
	return 0;
}

int session_clean(const struct call *call, struct session *session, const json_t *keep, bool keep_values, struct err *err)
{
	struct hide_key key;
	AUTO_JSON values = NULL;

	if (key_make(call->web, &key, err))
		return -1;
	values = session_hide(session, &key, keep);
	return keep_values ? values_add(call->web->state_dir, &key, values, err) : 0;
}

json_t *session_values(const struct web *web)
{
	struct hide_key key;
	struct err err = {0};
	json_t *values = NULL;

	if (!values_exist(web->state_dir))
		return json_object();
	if (key_make(web, &key, &err) == 0)
		values = values_read(web->state_dir, &key, &err);
	if (values)
		return values;
	log_warn("secrets of sessions: %s", err.text);
	return json_object();
}

/* "password,x-api-key" */
static json_t *names_of(const struct call *call, const char *name)
{
	AUTO_FREE char *text = http_request_query(call->request, name);
	struct view rest = view_of(text);
	json_t *list = json_array();

	while (rest.length) {
		struct view one = view_trim(view_cut(rest, ',', &rest));
		AUTO_JSON holder = json_object();

		if (!one.length)
			continue;
		json_set_bytes(holder, "x", one);
		(void)json_array_append(list, json_member(holder, "x"));
	}
	return list;
}

/* The request's HAR without its secrets. */
static int har_clean(struct call *call, struct buf *har, struct err *err)
{
	AUTO_SESSION session = {0};
	AUTO_JSON keep = names_of(call, "keep");

	if (har_parse(call->request->body, &session, err) ||
	    session_clean(call, &session, keep, request_wants(call, "values"), err))
		return -1;
	har_format(har, &session);
	return buf_finish(har, err);
}

static json_t *hide(struct call *call, struct err *err)
{
	AUTO_BUF har = buf_new(HAR_BYTES_MAX);

	return har_clean(call, &har, err) ? NULL : request_bytes(call, "application/json", buf_view(&har));
}

/* ---- held out ---- */

/* The folder of the repository's sessions, whose name is checked. Owned by the caller. */
static char *held_dir(const struct call *call, struct err *err)
{
	const char *name = http_request_param(call->request, "name");
	AUTO_FREE char *path = runs_repository_path(call->web->options.runs, name, err);

	return path ? text_format("%s/sessions/%s", call->web->state_dir, name) : NULL;
}

/* "checkout.har": of plain characters. Owned by the caller. */
static char *held_path(const struct call *call, struct err *err)
{
	const char *name = http_request_param(call->request, "file");
	AUTO_FREE char *dir = held_dir(call, err);

	if (!dir)
		return NULL;
	if (name[0] == '.' || strlen(name) > SESSION_NAME_MAX || !view_ends(view_of(name), VIEW(".har")) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")]) {
		(void)err_set(err, ERR_INVALID, "a session is called NAME.har, of letters, digits, dots, dashes and underscores");
		return NULL;
	}
	return text_format("%s/%s", dir, name);
}

static json_t *hold(struct call *call, struct err *err)
{
	AUTO_FREE char *dir = held_dir(call, err);
	AUTO_FREE char *path = dir ? held_path(call, err) : NULL;
	AUTO_BUF har = buf_new(HAR_BYTES_MAX);

	if (!path || har_clean(call, &har, err) || file_make_dirs(dir, 0700, err) || file_replace(path, buf_view(&har), 0600, err))
		return NULL;
	return json_pack("{s:s, s:I}", "name", http_request_param(call->request, "file"), "bytes", (json_int_t)har.length);
}

static json_t *held(struct call *call, struct err *err)
{
	AUTO_FREE char *path = held_dir(call, err);
	json_t *items = json_array();
	DIR *dir = path ? opendir(path) : NULL;

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		struct stat facts;

		if (!view_ends(view_of(entry->d_name), VIEW(".har")) || json_array_size(items) >= HELD_OUT_MAX ||
		    fstatat(dirfd(dir), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW))
			continue;
		(void)json_array_append_new(items,
					    json_pack("{s:s, s:I}", "name", entry->d_name, "bytes", (json_int_t)facts.st_size));
	}
	if (dir)
		(void)closedir(dir);
	if (path)
		return json_pack("{s:o}", "items", items);
	json_decref(items);
	return NULL;
}

static json_t *held_remove(struct call *call, struct err *err)
{
	AUTO_FREE char *path = held_path(call, err);

	if (!path)
		return NULL;
	if (unlink(path) == 0)
		return json_object();
	(void)(errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "no session of that name is held out")
			       : err_errno(err, errno, "cannot remove %s", path));
	return NULL;
}

#define HELD "/api/v1/repositories/{name}/sessions"

const struct row session_rows[] = {
	{"POST", "/api/v1/sessions/hide", hide, WHO_CLI, ROLE_DEVELOPER, .answers = "bytes application/json",
	 .does = "A HAR file with its secrets replaced by a keyed hash; with `values=1` they are kept, sealed, so that it can be replayed",
	 .raw_bytes_max = HAR_BYTES_MAX, .query = {{"keep", "line"}, {"values", "flag"}}},
	{"GET", HELD, held, WHO_PERSON, ROLE_DEVELOPER, .answers = "[object]",
	 .does = "The sessions that are held out: replayed, but in no repository and never seen by an agent"},
	{"POST", HELD "/{file}", hold, WHO_CLI, ROLE_APPROVER, .answers = "object",
	 .does = "Holds a HAR file out as NAME.har, its secrets replaced by a keyed hash", .raw_bytes_max = HAR_BYTES_MAX,
	 .query = {{"keep", "line"}, {"values", "flag"}}},
	{"DELETE", HELD "/{file}", held_remove, WHO_CLI, ROLE_APPROVER, .answers = "{}", .does = "Holds it out no more"},
};
const size_t session_row_count = ARRAY_LEN(session_rows);
