/*
 * Files that people put to an issue. Their bytes lie beside the repositories, which all control planes of a store share and a backup holds, by
 * their digest; their names are in the store. Bytes whose last name was taken away leave a day later.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/markdown.h"
#include "base/scope.h"
#include "runs/runs_priv.h"

#define FOLDER ".attachments"
#define COLUMNS "name, digest, bytes, author, time_ms"

static char *bytes_path(const struct runs *runs, const char *digest)
{
	return text_format("%s/" FOLDER "/%s", runs->repositories_dir, digest);
}

int kept_bytes_put(const struct runs *runs, const struct digest *digest, struct view bytes, struct err *err)
{
	AUTO_FREE char *folder = text_format("%s/" FOLDER, runs->repositories_dir);
	AUTO_FREE char *path = bytes_path(runs, digest->text);

	return file_make_dirs(folder, 0700, err) || file_replace(path, bytes, 0600, err) ? -1 : 0;
}

int kept_bytes_read(const struct runs *runs, const char *digest, struct buf *out, struct err *err)
{
	AUTO_FREE char *path = bytes_path(runs, digest);
	size_t before = out->length;
	struct digest is;

	if (file_read(path, out, err))
		return -1;
	is = digest_of(view_make(out->at + before, out->length - before));
	return strcmp(is.text, digest) == 0 ? 0 : err_set(err, ERR_BROKEN, "it is not what was put there: %s", path);
}

/* The agent has it as a file of this name. */
static int name_check(struct view name, struct err *err)
{
	bool good = name.length > 0 && name.length <= RUNS_ATTACHMENT_NAME_MAX && name.at[0] != '.';

	for (size_t i = 0; good && i < name.length; i++)
		good = (unsigned char)name.at[i] >= ' ' && name.at[i] != '/' && name.at[i] != '\\';
	return good && !markdown_hides(name)
		       ? 0
		       : err_set(err, ERR_INVALID,
				 "name: expected the name of a file that can be seen, without slashes, not beginning with "
				 "a dot, of at most %d bytes",
				 RUNS_ATTACHMENT_NAME_MAX);
}

static json_t *row_json(struct store_rows *rows)
{
	static const char *const names[] = {"name", "digest", "bytes", "author", "time_ms"};
	json_t *item = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_object_set_new(item, names[i], store_rows_json(rows, (int)i));
	return item;
}

static json_t *list_in(struct store_tx *tx, int64_t number, struct err *err)
{
	AUTO_ROWS rows = {0};
	AUTO_JSON items = json_array();

	if (store_query(tx, &rows, "SELECT " COLUMNS " FROM attachment WHERE issue = ? ORDER BY name", VALUES(V(number)), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(items, row_json(&rows));
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

static const json_t *item_find(const json_t *items, const char *name)
{
	size_t index;
	json_t *item;

	json_array_foreach(items, index, item)
		if (strcmp(json_text(item, "name", ""), name) == 0)
			return item;
	return NULL;
}

/* Is there room for it? *same: it is there already. */
static int room_check(struct store_tx *tx, int64_t number, const char *name, const struct digest *digest, size_t bytes, bool *same,
		      struct err *err)
{
	AUTO_JSON items = list_in(tx, number, err);
	const json_t *item = items ? item_find(items, name) : NULL;
	int64_t total = (int64_t)bytes;
	int64_t known = 0;
	size_t index;
	json_t *each;

	if (!items || store_number_get(tx, &known, 0, "SELECT count(*) FROM issue WHERE number = ?", VALUES(V(number)), err))
		return -1;
	if (!known)
		return err_set(err, ERR_NOT_FOUND, "no issue %lld", (long long)number);
	*same = item && strcmp(json_text(item, "digest", ""), digest->text) == 0;
	if (*same)
		return 0;
	if (item)
		return err_set(err, ERR_CONFLICT, "issue %lld has another file of this name: give it another one",
			       (long long)number);
	json_array_foreach(items, index, each)
		total += json_number(each, "bytes", 0);
	if (json_array_size(items) >= RUNS_ATTACHMENTS_MAX)
		return err_set(err, ERR_LIMIT, "issue %lld has %d files, which is the most", (long long)number,
			       RUNS_ATTACHMENTS_MAX);
	if (total > RUNS_ATTACHMENTS_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the files of an issue may have %lld MiB together",
			       (long long)RUNS_ATTACHMENTS_BYTES_MAX >> 20);
	return 0;
}

static int row_add(struct runs *runs, int64_t number, const char *name, const char *author, const struct digest *digest,
		   size_t bytes, struct err *err)
{
	bool same;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || room_check(&tx, number, name, digest, bytes, &same, err))
		return -1;
	if (same)
		return 0;
	return store_run(&tx, "INSERT INTO attachment (issue, " COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)",
			 VALUES(V(number), V(name), V(digest->text), V((int64_t)bytes), V(author),
				V(world_now_ms(runs->options.world))),
			 err) ||
			       store_commit_synced(&tx, err)
		       ? -1
		       : 0;
}

/* Before its bytes are written: what there is no room for fills no disk. */
static int room_ask(struct runs *runs, int64_t number, const char *name, const struct digest *digest, size_t bytes, struct err *err)
{
	bool same;
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) || room_check(&tx, number, name, digest, bytes, &same, err) ? -1 : 0;
}

json_t *runs_attachment_add(struct runs *runs, int64_t number, const char *name, const char *author, struct view bytes,
			    struct err *err)
{
	struct digest digest = digest_of(bytes);
	AUTO_JSON items = NULL;

	if (name_check(view_of(name), err))
		return NULL;
	if (!bytes.length || bytes.length > RUNS_ATTACHMENT_BYTES_MAX) {
		(void)err_set(err, bytes.length ? ERR_LIMIT : ERR_INVALID, "the body: expected a file of 1 byte to %zu MiB",
			      RUNS_ATTACHMENT_BYTES_MAX >> 20);
		return NULL;
	}
	if (room_ask(runs, number, name, &digest, bytes.length, err) || kept_bytes_put(runs, &digest, bytes, err) ||
	    row_add(runs, number, name, author, &digest, bytes.length, err))
		return NULL;
	change_add(runs, "issue", "number", V(number), NULL);
	items = runs_attachment_list(runs, number, err);
	return items ? json_incref((json_t *)(uintptr_t)item_find(items, name)) : NULL;
}

json_t *runs_attachment_list(struct runs *runs, int64_t number, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err) ? NULL : list_in(&tx, number, err);
}

int runs_attachment_read(struct runs *runs, int64_t number, const char *name, struct buf *out, struct err *err)
{
	AUTO_JSON items = runs_attachment_list(runs, number, err);
	const json_t *item = items ? item_find(items, name) : NULL;

	if (!items)
		return -1;
	if (!item)
		return err_set(err, ERR_NOT_FOUND, "issue %lld has no file `%.120s`", (long long)number, name);
	return kept_bytes_read(runs, json_text(item, "digest", ""), out, err)
		       ? err_prefix(err, "the file `%s` of issue %lld", name, (long long)number)
		       : 0;
}

int runs_attachment_remove(struct runs *runs, int64_t number, const char *name, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_run(&tx, "DELETE FROM attachment WHERE issue = ? AND name = ?", VALUES(V(number), V(name)), err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_NOT_FOUND, "issue %lld has no file `%.120s`", (long long)number, name);
	if (store_commit_synced(&tx, err))
		return -1;
	change_add(runs, "issue", "number", V(number), NULL);
	return 0;
}

/* Nobody's, and not just being put: its row follows its bytes. */
static int bytes_sweep(struct runs *runs, const char *digest, int64_t before_ms, struct err *err)
{
	AUTO_FREE char *path = bytes_path(runs, digest);
	struct stat about;
	int64_t used = 0;
	AUTO_TX tx = {0};

	if (stat(path, &about) || (int64_t)about.st_mtime * 1000 >= before_ms)
		return 0;
	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_number_get(
		    &tx, &used, 0,
		    "SELECT (SELECT count(*) FROM attachment WHERE digest = ?) + (SELECT count(*) FROM picture WHERE digest = ?)",
		    VALUES(V(digest), V(digest)), err))
		return -1;
	if (!used && unlink(path) && errno != ENOENT)
		return err_errno(err, errno, "cannot remove %s", path);
	return 0;
}

int attachments_sweep(struct runs *runs, int64_t before_ms, struct err *err)
{
	AUTO_FREE char *folder = text_format("%s/" FOLDER, runs->repositories_dir);
	DIR *dir = opendir(folder);
	int failed = 0;

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry && !failed; entry = readdir(dir))
		if (strlen(entry->d_name) == sizeof(((struct digest *)0)->text) - 1)
			failed = bytes_sweep(runs, entry->d_name, before_ms, err);
	if (dir)
		(void)closedir(dir);
	return failed;
}
