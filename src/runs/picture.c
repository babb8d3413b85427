/*
 * Pictures of a run: what its agent saw of the pages it made (`assay-env screenshot`), shown to who reviews it.
 *
 * Theory of operation. The bytes lie beside the files of issues, by their digest. A picture's id is 128 random bits, and is the only thing that a link
 * to it needs: a code host that has no place for pictures shows those of a summary by fetching them from us. Elsewhere they are uploaded, once:
 * where a picture was brought is kept with it. What an agent calls one is shown in many places, so that only plain characters of it stay.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "runs/runs_priv.h"

#define ID_BYTES 16
#define NAME_BYTES_MAX 160
#define PNG_HEAD "\x89PNG\r\n\x1a\n"

/* Only the characters of a plain address: no Markdown, no HTML, nobody is called by it. */
static char *name_clean(const char *name)
{
	static const char plain[] = " /:.,-?=&%#+~";
	AUTO_BUF out = buf_new(NAME_BYTES_MAX + 1);

	for (; *name && out.length < NAME_BYTES_MAX; name++)
		buf_add_char(&out, isalnum((unsigned char)*name) || strchr(plain, *name) ? *name : '_');
	if (!out.length)
		buf_add_text(&out, "a page");
	return buf_take(&out);
}

static char *id_new(const struct runs *runs)
{
	unsigned char random[ID_BYTES];
	AUTO_BUF out = buf_new(1 + 2 * ID_BYTES + 1);

	world_random(runs->options.world, random, sizeof(random));
	buf_add_char(&out, 'p');
	buf_add_hex(&out, random, sizeof(random));
	return buf_take(&out);
}

/* Its run, owned. *known (owned): the same was kept before, as the last one of its name. */
static int room_check(struct store_tx *tx, struct env_id env, const char *name, const struct digest *digest, size_t bytes,
		      char **run, char **known, struct err *err)
{
	int64_t count;
	int64_t total;
	AUTO_ROWS rows = {0};

	if (run_of_environment(tx, env, run, err) ||
	    store_query(
		    tx, &rows,
		    "SELECT id, digest FROM picture WHERE run = ? AND name = ? AND source = 'agent' ORDER BY time_ms DESC, id LIMIT 1",
		    VALUES(V((const char *)*run), V(name)), err))
		return -1;
	if (store_rows_next(&rows) && strcmp(store_rows_text(&rows, 1), digest->text) == 0)
		*known = text_copy(store_rows_text(&rows, 0));
	if (store_rows_finish(&rows, err) ||
	    store_number_get(tx, &count, 0, "SELECT count(*) FROM picture WHERE run = ? AND source = 'agent'",
			     VALUES(V((const char *)*run)), err) ||
	    store_number_get(tx, &total, 0, "SELECT sum(bytes) FROM picture WHERE run = ? AND source = 'agent'",
			     VALUES(V((const char *)*run)), err))
		return -1;
	if (!*known && (count >= RUNS_PICTURES_MAX || total + (int64_t)bytes > RUNS_PICTURES_BYTES_MAX))
		return err_set(err, ERR_LIMIT, "a run keeps %d pictures of %lld MiB together, and this one has them",
			       RUNS_PICTURES_MAX, (long long)RUNS_PICTURES_BYTES_MAX >> 20);
	return 0;
}

/* Before its bytes are written: what there is no room for fills no disk. */
static int room_ask(struct runs *runs, struct env_id env, const char *name, const struct digest *digest, size_t bytes, char **known,
		    struct err *err)
{
	AUTO_FREE char *run = NULL;
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) || room_check(&tx, env, name, digest, bytes, &run, known, err) ? -1 : 0;
}

static int row_add(struct runs *runs, struct env_id env, const char *id, const char *name, const struct digest *digest,
		   size_t bytes, struct err *err)
{
	AUTO_FREE char *run = NULL;
	AUTO_FREE char *known = NULL;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || room_check(&tx, env, name, digest, bytes, &run, &known, err) ||
	    store_run(&tx, "INSERT INTO picture (id, run, name, digest, bytes, time_ms) VALUES (?, ?, ?, ?, ?, ?)",
		      VALUES(V(id), V((const char *)run), V(name), V(digest->text), V((int64_t)bytes),
			     V(world_now_ms(runs->options.world))),
		      err) ||
	    event_add_in(runs, &tx, run, "note",
			 json_pack("{s:o, s:s}", "text", json_sprintf("the agent took a picture of %s", name), "picture", id), err))
		return -1;
	return store_commit_synced(&tx, err);
}

json_t *runs_tool_picture(struct runs *runs, struct env_id env, const char *name, struct view bytes, struct err *err)
{
	struct digest digest = digest_of(bytes);
	AUTO_FREE char *clean = name_clean(name);
	AUTO_FREE char *known = NULL;
	AUTO_FREE char *id = NULL;

	if (bytes.length > RUNS_PICTURE_BYTES_MAX || bytes.length < sizeof(PNG_HEAD) ||
	    memcmp(bytes.at, PNG_HEAD, sizeof(PNG_HEAD) - 1) != 0) {
		(void)err_set(err, bytes.length > RUNS_PICTURE_BYTES_MAX ? ERR_LIMIT : ERR_INVALID,
			      "the body: expected a PNG of at most %zu MiB", RUNS_PICTURE_BYTES_MAX >> 20);
		return NULL;
	}
	if (room_ask(runs, env, clean, &digest, bytes.length, &known, err))
		return NULL;
	if (known)
		return json_pack("{s:s, s:s}", "id", known, "name", clean);
	id = id_new(runs);
	if (kept_bytes_put(runs, &digest, bytes, err) || row_add(runs, env, id, clean, &digest, bytes.length, err))
		return NULL;
	return json_pack("{s:s, s:s}", "id", id, "name", clean);
}

/* ---- what verification made ---- */

static bool is_among(const json_t *media, const char *name, const char *digest)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)media, index, item)
		if (strcmp(json_text(item, "name", ""), name) == 0 && strcmp(json_text(item, "digest", ""), digest) == 0)
			return true;
	return false;
}

/* Those of the verification before go, but for what is the same again: whoever was given its link still has it. */
static int others_remove(struct store_tx *tx, const char *run, const json_t *media, json_t *known, struct err *err)
{
	AUTO_JSON gone = json_array();
	AUTO_ROWS rows = {0};
	size_t index;
	json_t *id;

	if (store_query(tx, &rows, "SELECT id, name, digest FROM picture WHERE run = ? AND source = 'verify'", VALUES(V(run)), err))
		return -1;
	while (store_rows_next(&rows)) {
		if (is_among(media, store_rows_text(&rows, 1), store_rows_text(&rows, 2)))
			(void)json_object_set_new(known, store_rows_text(&rows, 1), json_true());
		else
			(void)json_array_append_new(gone, json_string(store_rows_text(&rows, 0)));
	}
	if (store_rows_finish(&rows, err))
		return -1;
	json_array_foreach(gone, index, id) {
		const char *text = json_string_value(id);

		if (store_run(tx, "DELETE FROM picture_place WHERE picture = ?", VALUES(V(text)), err) ||
		    store_run(tx, "DELETE FROM picture WHERE id = ?", VALUES(V(text)), err))
			return -1;
	}
	return 0;
}

/* Its bytes are read from the artefacts, into the place where the others lie; then it has the name that people see. */
static json_t *media_item(struct runs *runs, const char *dir, const json_t *item, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, json_text(item, "digest", ""));
	AUTO_FREE char *name = name_clean(json_text(item, "title", ""));
	AUTO_BUF bytes = buf_new(RUNS_RECORDING_BYTES_MAX);
	struct digest digest;

	if (file_read(path, &bytes, err))
		return NULL;
	digest = digest_of(buf_view(&bytes));
	if (kept_bytes_put(runs, &digest, buf_view(&bytes), err))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:I}", "name", name, "digest", digest.text, "type", json_text(item, "type", ""), "bytes",
			 (json_int_t)bytes.length);
}

int pictures_keep(struct runs *runs, const char *run, const char *dir, const json_t *media, struct err *err)
{
	AUTO_JSON kept = json_array();
	AUTO_JSON known = json_object();
	AUTO_TX tx = {0};
	int64_t total = 0;
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)media, index, item) {
		json_t *made;

		total += json_number(item, "bytes", 0);
		if (index >= RUNS_PICTURES_MAX || total > RUNS_PICTURES_BYTES_MAX)
			break; /* the artefacts have the rest */
		made = media_item(runs, dir, item, err);
		if (!made)
			return -1;
		(void)json_array_append_new(kept, made);
	}
	if (store_begin(runs->store, &tx, err) || others_remove(&tx, run, kept, known, err))
		return -1;
	json_array_foreach(kept, index, item) {
		AUTO_FREE char *id = id_new(runs);
		const char *name = json_text(item, "name", "");

		if (json_object_get(known, name))
			continue;
		(void)json_object_set_new(known, name, json_true());
		if (store_run(
			    &tx,
			    "INSERT INTO picture (id, run, name, digest, bytes, time_ms, source, type) VALUES (?, ?, ?, ?, ?, ?, 'verify', ?)",
			    VALUES(V((const char *)id), V(run), V(name), V(json_text(item, "digest", "")),
				   V((int64_t)json_number(item, "bytes", 0)), V(world_now_ms(runs->options.world)),
				   V(json_text(item, "type", "image/png"))),
			    err))
			return -1;
	}
	return store_commit(&tx, err);
}

/* ---- reading ---- */

static json_t *rows_read(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err)
{
	static const char *const names[] = {"id", "name", "bytes", "time_ms", "source", "type"};
	AUTO_JSON items = json_array();
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, sql, values, count, err))
		return NULL;
	while (store_rows_next(&rows)) {
		json_t *item = json_object();

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			(void)json_object_set_new(item, names[i], store_rows_json(&rows, (int)i));
		(void)json_array_append_new(items, item);
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

#define NEWEST_OF_ITS_NAME                                                                                                                          \
	"NOT EXISTS (SELECT 1 FROM picture newer WHERE newer.run = picture.run AND newer.name = picture.name AND newer.source = picture.source AND" \
	" (newer.time_ms > picture.time_ms OR (newer.time_ms = picture.time_ms AND newer.id < picture.id)))"

json_t *pictures_shown(struct store_tx *tx, const char *run, struct err *err)
{
	return rows_read(
		tx,
		"SELECT id, name, bytes, time_ms, source, type FROM picture WHERE run = ? AND type = 'image/png' AND " NEWEST_OF_ITS_NAME
		" ORDER BY time_ms DESC, id LIMIT ?",
		VALUES(V(run), V((int64_t)PICTURES_SHOWN_MAX)), err);
}

json_t *pictures_untold(struct store_tx *tx, const char *run, struct err *err)
{
	json_t *items = rows_read(
		tx,
		"SELECT id, name, bytes, time_ms, source, type FROM picture WHERE run = ? AND told = 0 AND type = 'image/png' AND " NEWEST_OF_ITS_NAME
		" ORDER BY time_ms DESC, id LIMIT ?",
		VALUES(V(run), V((int64_t)PICTURES_SHOWN_MAX)), err);

	if (items && store_run(tx, "UPDATE picture SET told = 1 WHERE run = ? AND told = 0", VALUES(V(run)), err)) {
		json_decref(items);
		return NULL;
	}
	return items;
}

json_t *runs_picture_list(struct runs *runs, struct run_id run, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err)
		       ? NULL
		       : rows_read(
				 &tx,
				 "SELECT id, name, bytes, time_ms, source, type FROM picture WHERE run = ? ORDER BY time_ms DESC, id",
				 VALUES(V(run.text)), err);
}

int runs_picture_read(struct runs *runs, const char *id, struct buf *out, char type[RUNS_PICTURE_TYPE_MAX], struct err *err)
{
	AUTO_FREE char *digest = NULL;

	{
		AUTO_TX tx = {0};
		AUTO_ROWS rows = {0};

		if (store_begin_snapshot(runs->store, &tx, err) ||
		    store_query(&tx, &rows, "SELECT digest, type FROM picture WHERE id = ?", VALUES(V(id)), err))
			return -1;
		if (store_rows_next(&rows)) {
			digest = text_copy(store_rows_text(&rows, 0));
			(void)snprintf(type, RUNS_PICTURE_TYPE_MAX, "%s", store_rows_text(&rows, 1));
		}
		if (store_rows_finish(&rows, err))
			return -1;
	}
	if (!digest)
		return err_set(err, ERR_NOT_FOUND, "there is no such picture");
	return kept_bytes_read(runs, digest, out, err);
}

/* ---- bringing it elsewhere ---- */

static int place_find_url(struct runs *runs, const char *id, const char *place, char **url, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT url FROM picture_place WHERE picture = ? AND place = ?", VALUES(V(id), V(place)), err))
		return -1;
	if (store_rows_next(&rows))
		*url = text_copy(store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

static int place_keep_url(struct runs *runs, const char *id, const char *place, const char *url, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_run(&tx,
		      "INSERT INTO picture_place (picture, place, url) VALUES (?, ?, ?) ON CONFLICT (picture, place) DO NOTHING",
		      VALUES(V(id), V(place), V(url)), err))
		return -1;
	return store_commit(&tx, err);
}

char *picture_file(const json_t *picture)
{
	return text_format("assay-%.12s.png", json_text(picture, "id", ""));
}

int picture_bring(struct runs *runs, const json_t *picture, const char *place,
		  int (*upload)(void *self, const char *file, struct view bytes, char **url, struct err *err), void *self,
		  char **url, struct err *err)
{
	const char *id = json_text(picture, "id", "");
	AUTO_FREE char *file = picture_file(picture);
	AUTO_BUF bytes = buf_new(RUNS_RECORDING_BYTES_MAX);
	char type[RUNS_PICTURE_TYPE_MAX];

	if (place_find_url(runs, id, place, url, err))
		return -1;
	if (*url)
		return 0;
	if (runs_picture_read(runs, id, &bytes, type, err) || upload(self, file, buf_view(&bytes), url, err))
		return -1;
	return place_keep_url(runs, id, place, *url, err);
}
