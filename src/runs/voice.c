/* The table of services, and what is found by going through it. */
#include "runs/voice.h"

#include <string.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

/* Of the whole speech: its words must not be lost with a picture that no place takes. */
#define PICTURE_TRIES_MAX 4
#define PICTURE_WHY_MAX 200

static const struct voice *const voices[] = {&voice_linear, &voice_jira, &voice_slack};

const struct voice *voice_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(voices); i++)
		if (strcmp(voices[i]->kind, kind) == 0)
			return voices[i];
	return NULL;
}

int voice_say(const struct voice_row *rows, size_t count, struct speaking *speaking, struct err *err)
{
	const char *what = json_text(speaking->speech, "say", "");

	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].say, what) == 0)
			return rows[i].send(speaking, err);
	return err_set(err, ERR_INVALID, "this version does not know how to say `%.40s`", what);
}

bool voice_picture_is_over(const struct speaking *speaking, const struct err *err)
{
	bool passes = err->kind == ERR_RETRY || err->kind == ERR_LIMIT;

	return !speaking->answer->blocked_until_ms && (!passes || speaking->effect->tries >= PICTURE_TRIES_MAX);
}

json_t *voice_pictures(struct speaking *speaking,
		       int (*upload)(void *self, const char *file, struct view bytes, char **url, struct err *err), struct err *err)
{
	AUTO_FREE char *place = text_format("%s/%s", speaking->thread.connection, speaking->thread.account);
	AUTO_JSON brought = json_array();
	json_t *each;
	size_t i;

	json_array_foreach(json_member(speaking->speech, "pictures"), i, each) {
		json_t *item = json_pack("{s:s, s:s}", "id", json_text(each, "id", ""), "name", json_text(each, "name", ""));
		AUTO_FREE char *url = NULL;

		(void)json_array_append_new(brought, item);
		if (!picture_bring(speaking->runs, each, place, upload, speaking, &url, err)) {
			json_set_bytes(item, "url", view_of(url));
			continue;
		}
		if (!voice_picture_is_over(speaking, err))
			return NULL;
		json_set_bytes(item, "why", view_make(err->text, strnlen(err->text, PICTURE_WHY_MAX)));
		*err = (struct err){0};
	}
	return TAKE(brought);
}

void voice_pictures_write(const json_t *pictures, bool shown, struct buf *text)
{
	json_t *each;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)pictures, i, each) {
		const char *name = json_text(each, "name", "");
		const char *why = json_text(each, "why", NULL);

		if (why)
			buf_add_format(text, "\n\n(A picture of `%s` could not be brought here: %s)", name, why);
		else if (shown)
			buf_add_format(text, "\n\n![%s](%s)", name, json_text(each, "url", ""));
	}
}

void voice_item_fini(struct voice_item *item)
{
	json_decref(item->owned);
	*item = (struct voice_item){0};
}

void voice_item_keep(struct voice_item *item, json_t *json)
{
	if (!item->owned)
		item->owned = json_array();
	(void)json_array_append_new(item->owned, json);
}

/* [{"connection", "account", "kind"}] */
static json_t *places_find(struct runs *runs, struct err *err)
{
	AUTO_JSON places = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(&tx, &rows,
			"SELECT connection, account, kind FROM account JOIN connection ON connection.id = connection"
			" ORDER BY connection, account",
			NO_VALUES, err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(places, json_pack("{s:o, s:o, s:o}", "connection", store_rows_json(&rows, 0), "account",
							      store_rows_json(&rows, 1), "kind", store_rows_json(&rows, 2)));
	return store_rows_finish(&rows, err) ? NULL : TAKE(places);
}

json_t *voice_import(struct runs *runs, const char *name, const char *repository, struct err *err)
{
	AUTO_JSON places = places_find(runs, err);
	json_t *place;
	size_t i;

	if (!places)
		return NULL;
	json_array_foreach(places, i, place) {
		const struct voice *voice = voice_find(json_text(place, "kind", ""));
		json_t *issue;

		if (!voice || !voice->import)
			continue;
		*err = (struct err){0};
		issue = voice->import(runs, json_text(place, "connection", ""), json_text(place, "account", ""), name, repository,
				      err);
		if (issue || err->kind != ERR_NONE)
			return issue;
	}
	(void)err_set(err, ERR_NOT_FOUND, "no issue `%.60s` here, nor in a workspace that is connected", name);
	return NULL;
}
