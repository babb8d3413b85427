/* Notes, discussions, emoji, who may command, and why a pipeline failed. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitlab_priv.h"

#define JOBS_TOLD_MAX 5
#define LOG_TAIL_BYTES ((size_t)6 << 10)

static json_t *text_body(const char *marker, const char *text)
{
	AUTO_FREE char *whole = text_format("%s\n\n%s", marker, text);
	json_t *body = json_object();

	gitlab_text_set(body, "body", whole);
	return body;
}

int gitlab_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		    struct remote_told *told, struct err *err)
{
	AUTO_FREE char *notes = gitlab_path(repository, "/%s/%lld/notes", pull ? "merge_requests" : "issues", (long long)number);
	AUTO_FREE char *all = text_format("%s?sort=asc&per_page=100", notes);
	AUTO_JSON text = text_body(marker, body);
	AUTO_JSON list = bot_list(self, all, told, err);
	AUTO_ANSWER answer = {0};
	int64_t id;

	if (!list || bot_marked(self, list, "author", marker, &id, told, err))
		return -1;
	if (id) {
		AUTO_FREE char *path = text_format("%s/%lld", notes, (long long)id);

		return bot_ask(self, "PUT", path, text, &answer, told, err);
	}
	return bot_ask(self, "POST", notes, text, &answer, told, err);
}

int gitlab_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		 struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld/discussions/%s", (long long)number, thread);
	AUTO_FREE char *notes = text_format("%s/notes", path);
	AUTO_JSON text = text_body(marker, body);
	AUTO_ANSWER there = {0};
	AUTO_ANSWER answer = {0};
	int64_t id;

	if (!*thread)
		return gitlab_note_put(self, repository, true, number, marker, body, told, err);
	if (bot_ask(self, NULL, path, NULL, &there, told, err)) /* deleted: it is answered where everybody reads */
		return there.status == 404 ? gitlab_note_put(self, repository, true, number, marker, body, told, err) : -1;
	if (bot_marked(self, json_member(there.body, "notes"), "author", marker, &id, told, err))
		return -1;
	return id ? 0 : bot_ask(self, "POST", notes, text, &answer, told, err);
}

/* One that is resolved stays so. */
int gitlab_resolve(void *self, const char *repository, int64_t number, const char *thread, struct remote_told *told,
		   struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld/discussions/%s", (long long)number, thread);
	AUTO_JSON body = json_pack("{s:b}", "resolved", 1);
	AUTO_ANSWER answer = {0};

	if (!*thread || !bot_ask(self, "PUT", path, body, &answer, told, err))
		return 0;
	return answer.status == 404 ? 0 : -1;
}

/* An upload belongs to the project: whose note it is in decides who sees it. */
int gitlab_picture_put(void *self, const char *repository, int64_t number, const char *file, struct view bytes, char **url,
		       struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/uploads");
	AUTO_ANSWER answer = {0};
	const char *there;

	(void)number;
	if (bot_send_picture(self, path, "file", file, bytes, &answer, told, err) || json_text_get(answer.body, "url", &there, err))
		return -1;
	*url = text_copy(there);
	return 0;
}

json_t *gitlab_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/issues/%lld", (long long)number);
	AUTO_ANSWER answer = {0};

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s}", "title", json_text(answer.body, "title", ""), "body",
			 json_text(answer.body, "description", ""), "url", json_text(answer.body, "web_url", ""), "state",
			 strcmp(json_text(answer.body, "state", ""), "closed") == 0 ? "closed" : "open");
}

int gitlab_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/%s/%lld/notes/%s/award_emoji",
					   event->on_pull ? "merge_requests" : "issues", (long long)event->number, event->id);
	AUTO_JSON body = json_pack("{s:s}", "name", "eyes");
	AUTO_ANSWER answer = {0};

	if (!*event->id || !bot_ask(self, "POST", path, body, &answer, told, err))
		return 0;
	return answer.status == 404 ? 0 : -1; /* it has been given already, or the note is gone */
}

/* ---- what a reviewer wrote ---- */

static bool is_word(const json_t *note, const char *reviewer)
{
	AUTO_FREE char *author = text_format("%lld", (long long)json_number(json_member(note, "author"), "id", 0));
	struct view rest;

	return !json_flag(note, "system", false) && !json_flag(note, "resolved", false) && json_text(note, "type", NULL) &&
	       strcmp(author, reviewer) == 0 && forge_command_find(json_text(note, "body", ""), &rest) == FORGE_COMMAND_NONE;
}

static void word_add(json_t *items, const json_t *discussion, const json_t *note)
{
	const json_t *position = json_member(note, "position");
	json_t *item = json_pack("{s:o, s:s, s:s, s:I, s:s}", "id", json_sprintf("%lld", (long long)json_number(note, "id", 0)),
				 "thread", json_text(discussion, "id", ""), "path",
				 json_text(position, "new_path", json_text(position, "old_path", "")), "line",
				 (json_int_t)json_number(position, "new_line", json_number(position, "old_line", 0)), "author",
				 json_text(json_member(note, "author"), "username", ""));

	json_set_bytes(item, "text", view_of(json_text(note, "body", "")));
	(void)json_array_append_new(items, item);
}

/* GitLab publishes a review as so many notes: whichever tells of it first brings all that this person wrote in threads that are open. */
json_t *gitlab_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld/discussions?per_page=100", (long long)number);
	AUTO_JSON list = bot_list(self, path, told, err);
	AUTO_JSON items = json_array();
	size_t index;
	size_t i;
	json_t *discussion;
	json_t *note;

	if (!list)
		return NULL;
	json_array_foreach(list, index, discussion) {
		json_array_foreach(json_member(discussion, "notes"), i, note) {
			if (is_word(note, review))
				word_add(items, discussion, note);
		}
	}
	return TAKE(items);
}

/* ---- people ---- */

static int user_find(struct bot *bot, const char *login, int64_t *id, struct remote_told *told, struct err *err)
{
	AUTO_BUF path = buf_new(1024);
	AUTO_ANSWER answer = {0};
	size_t index;
	json_t *user;

	*id = 0;
	buf_add_text(&path, "/users?username=");
	buf_add_url(&path, view_of(login));
	if (buf_finish(&path, err) || bot_ask(bot, NULL, path.at, NULL, &answer, told, err))
		return -1;
	json_array_foreach(answer.body, index, user)
		if (strcasecmp(json_text(user, "username", ""), login) == 0 && strcmp(json_text(user, "state", ""), "active") == 0)
			*id = json_number(user, "id", 0);
	return 0;
}

/* Also by a group above it. */
int gitlab_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err)
{
	AUTO_ANSWER answer = {0};
	AUTO_FREE char *path = NULL;
	int64_t id = 0;

	*may = false;
	if (!*login)
		return 0;
	if (user_find(self, login, &id, told, err))
		return -1;
	if (!id)
		return 0;
	path = gitlab_path(repository, "/members/all/%lld", (long long)id);
	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return answer.status == 404 ? 0 : -1;
	*may = json_number(answer.body, "access_level", 0) >= GITLAB_LEVEL_DEVELOPER;
	return 0;
}

/* ---- GitLab's own CI ---- */

static int trace_add(struct bot *bot, const char *repository, int64_t job, struct buf *text, struct remote_told *told,
		     struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/jobs/%lld/trace", (long long)job);
	AUTO_ANSWER answer = {0};
	struct view log;

	if (bot_ask_plain(bot, path, &answer, told, err))
		return -1;
	log = buf_view(&answer.text);
	if (log.length > LOG_TAIL_BYTES)
		log = view_make(log.at + log.length - LOG_TAIL_BYTES, LOG_TAIL_BYTES);
	buf_add_view(text, log);
	buf_add_char(text, '\n');
	return 0;
}

int gitlab_failure_read(void *self, const char *repository, const char *id, struct buf *text, struct remote_told *told,
			struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/pipelines/%s/jobs?scope[]=failed&per_page=%d", id, JOBS_TOLD_MAX);
	AUTO_ANSWER answer = {0};
	struct err left = {0};
	size_t index;
	json_t *job;

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return -1;
	json_array_foreach(answer.body, index, job) {
		if (json_flag(job, "allow_failure", false))
			continue;
		buf_add_format(text, "job: %s (%s)\n", json_text(job, "name", ""), json_text(job, "stage", ""));
		/* Traces are erased after a time: the names of what failed are better than nothing. */
		if (trace_add(self, repository, json_number(job, "id", 0), text, told, &left)) {
			if (left.kind == ERR_LIMIT || left.kind == ERR_RETRY) {
				*err = left;
				return -1;
			}
			buf_add_format(text, "(no log: %s)\n", left.text);
		}
	}
	return buf_finish(text, err);
}

/* ---- what no webhook told of ---- */

static json_t *note_event(const char *repository, int64_t number, const json_t *note)
{
	const json_t *author = json_member(note, "author");
	json_int_t by = (json_int_t)json_number(author, "id", 0);

	return json_pack("{s:s, s:{s:s, s:{s:I, s:s}, s:{s:s}, s:{s:I, s:s, s:s, s:s?, s:I}, s:{s:I}}}", "event", "Note Hook",
			 "body", "object_kind", "note", "user", "id", by, "username", json_text(author, "username", ""), "project",
			 "path_with_namespace", repository, "object_attributes", "id", (json_int_t)json_number(note, "id", 0),
			 "note", json_text(note, "body", ""), "noteable_type", "MergeRequest", "type",
			 json_text(note, "type", NULL), "author_id", by, "merge_request", "iid", (json_int_t)number);
}

/* Of the newest hundred; whatever is known already is one. Times are compared as texts: a zone more or less makes no difference to days. */
json_t *gitlab_missed(void *self, const char *repository, int64_t number, int64_t since_ms, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld/notes?sort=desc&order_by=created_at&per_page=100",
					   (long long)number);
	AUTO_BUF since = buf_new(64);
	AUTO_JSON events = json_array();
	AUTO_ANSWER answer = {0};
	size_t index;
	json_t *note;

	time_format(&since, since_ms);
	if (buf_finish(&since, err) || bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	json_array_foreach(answer.body, index, note) {
		const char *created = json_text(note, "created_at", "");

		/* Whoever may edit it could make its author say what is done: what was edited is no new word. */
		if (!json_flag(note, "system", false) && strcmp(created, since.at) > 0 &&
		    strcmp(json_text(note, "updated_at", created), created) == 0)
			(void)json_array_insert_new(events, 0, note_event(repository, number, note));
	}
	return TAKE(events);
}
