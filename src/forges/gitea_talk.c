/* Comments, reviews, reactions, and who may command. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitea_priv.h"

int gitea_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		   struct remote_told *told, struct err *err)
{
	AUTO_FREE char *comments = text_format("/repos/%s/issues/%lld/comments", repository, (long long)number);
	AUTO_FREE char *all = text_format("%s?limit=50", comments);
	AUTO_FREE char *whole = text_format("%s\n%s", marker, body);
	AUTO_JSON list = bot_list(self, all, told, err);
	AUTO_JSON text = json_object();
	AUTO_ANSWER answer = {0};
	int64_t id;

	(void)pull; /* one list of numbers, here */
	json_set_bytes(text, "body", view_of(whole));
	if (!list || bot_marked(self, list, "user", marker, &id, told, err))
		return -1;
	if (id) {
		AUTO_FREE char *path = text_format("/repos/%s/issues/comments/%lld", repository, (long long)id);

		return bot_ask(self, "PATCH", path, text, &answer, told, err);
	}
	return bot_ask(self, "POST", comments, text, &answer, told, err);
}

/* A thread takes no answer by the API: it is linked to. */
int gitea_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		struct remote_told *told, struct err *err)
{
	AUTO_FREE char *text = *thread ? text_format("> [to this](%s/%s/pulls/%lld#issuecomment-%s)\n\n%s", bot_web(self),
						     repository, (long long)number, thread, body)
				       : text_copy(body);

	return gitea_note_put(self, repository, true, number, marker, text, told, err);
}

/* What an earlier try brought there has its name. */
int gitea_picture_put(void *self, const char *repository, int64_t number, const char *file, struct view bytes, char **url,
		      struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/issues/%lld/assets", repository, (long long)number);
	AUTO_ANSWER there = {0};
	AUTO_ANSWER answer = {0};
	const char *made;
	size_t index;
	json_t *item;

	if (bot_ask(self, NULL, path, NULL, &there, told, err))
		return -1;
	json_array_foreach(there.body, index, item)
		if (!*url && strcmp(json_text(item, "name", ""), file) == 0)
			*url = text_copy(json_text(item, "browser_download_url", NULL));
	if (*url)
		return 0;
	if (bot_send_picture(self, path, "attachment", file, bytes, &answer, told, err) ||
	    json_text_get(answer.body, "browser_download_url", &made, err))
		return -1;
	*url = text_copy(made);
	return 0;
}

json_t *gitea_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/issues/%lld", repository, (long long)number);
	AUTO_ANSWER answer = {0};

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s}", "title", json_text(answer.body, "title", ""), "body",
			 json_text(answer.body, "body", ""), "url", json_text(answer.body, "html_url", ""), "state",
			 json_text(answer.body, "state", ""));
}

int gitea_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/issues/comments/%s/reactions", repository, event->id);
	AUTO_JSON body = json_pack("{s:s}", "content", "eyes");
	AUTO_ANSWER answer = {0};

	return *event->id ? bot_ask(self, "POST", path, body, &answer, told, err) : 0;
}

/* ---- what a reviewer wrote ---- */

static void word_add(json_t *items, const char *id, const char *thread, const json_t *from)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", id, "thread", thread, "path", json_text(from, "path", ""),
				 "line", (json_int_t)json_number(from, "position", json_number(from, "original_position", 0)),
				 "author", json_text(json_member(from, "user"), "login", ""));

	json_set_bytes(item, "text", view_of(json_text(from, "body", "")));
	(void)json_array_append_new(items, item);
}

static int lines_add(struct bot *bot, const char *repository, int64_t number, int64_t review, json_t *items,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/reviews/%lld/comments?limit=50", repository, (long long)number,
					   (long long)review);
	AUTO_JSON list = bot_list(bot, path, told, err);
	size_t index;
	json_t *comment;

	if (!list)
		return -1;
	json_array_foreach(list, index, comment) {
		AUTO_FREE char *id = text_format("%lld", (long long)json_number(comment, "id", 0));

		if (!json_is_object(json_member(comment, "resolver")))
			word_add(items, id, id, comment);
	}
	return 0;
}

/* A webhook does not say which review it tells of: all that this person has said, of which the caller knows what is new. */
json_t *gitea_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		     struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/reviews?limit=50", repository, (long long)number);
	AUTO_JSON list = bot_list(self, path, told, err);
	AUTO_JSON items = json_array();
	size_t index;
	json_t *one;

	if (!list)
		return NULL;
	json_array_foreach(list, index, one) {
		int64_t id = json_number(one, "id", 0);
		AUTO_FREE char *name = text_format("review/%lld", (long long)id);
		AUTO_FREE char *author = text_format("%lld", (long long)json_number(json_member(one, "user"), "id", 0));

		if (strcmp(author, review) != 0 || json_flag(one, "dismissed", false) ||
		    strcmp(json_text(one, "state", ""), "PENDING") == 0)
			continue;
		if (*json_text(one, "body", ""))
			word_add(items, name, "", one);
		if (json_number(one, "comments_count", 1) && lines_add(self, repository, number, id, items, told, err))
			return NULL;
	}
	return TAKE(items);
}

/* Gitea tells this to administrators of the repository only: no answer is no. */
int gitea_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err)
{
	static const char *const levels[] = {"owner", "admin", "write"};
	AUTO_BUF path = buf_new(1024);
	AUTO_ANSWER answer = {0};
	const char *level;

	*may = false;
	if (!*login)
		return 0;
	buf_add_format(&path, "/repos/%s/collaborators/", repository);
	buf_add_url(&path, view_of(login));
	buf_add_text(&path, "/permission");
	if (buf_finish(&path, err))
		return -1;
	if (bot_ask(self, NULL, path.at, NULL, &answer, told, err))
		return answer.status == 404 ? 0 : -1;
	level = json_text(answer.body, "permission", "");
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		*may = *may || strcmp(level, levels[i]) == 0;
	return 0;
}

/* ---- what no webhook told of ---- */

static json_t *event_of(const char *repository, int64_t number, const json_t *user, const char *name, const char *action)
{
	return json_pack("{s:s, s:{s:s, s:{s:s}, s:{s:I, s:s}, s:{s:I}, s:{s:I, s:{}}}}", "event", name, "body", "action", action,
			 "repository", "full_name", repository, "sender", "id", (json_int_t)json_number(user, "id", 0), "login",
			 json_text(user, "login", ""), "pull_request", "number", (json_int_t)number, "issue", "number",
			 (json_int_t)number, "pull_request");
}

static int comments_missed(struct bot *bot, const char *repository, int64_t number, const char *since, json_t *events,
			   struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/issues/%lld/comments?since=%s", repository, (long long)number, since);
	AUTO_ANSWER answer = {0};
	size_t index;
	json_t *comment;

	if (bot_ask(bot, NULL, path, NULL, &answer, told, err))
		return -1;
	json_array_foreach(answer.body, index, comment) {
		const char *created = json_text(comment, "created_at", "");
		json_t *event;

		/* Whoever may edit it could make its author say what is done: what was edited is no new word. */
		if (strcmp(json_text(comment, "updated_at", created), created) != 0)
			continue;
		event = event_of(repository, number, json_member(comment, "user"), "issue_comment", "created");
		(void)json_object_set(json_member(event, "body"), "comment", comment);
		(void)json_array_append_new(events, event);
	}
	return 0;
}

static int reviews_missed(struct bot *bot, const char *repository, int64_t number, const char *since, json_t *events,
			  struct remote_told *told, struct err *err)
{
	static const char *const states[][2] = {{"REQUEST_CHANGES", "pull_request_review_rejected"},
						{"APPROVED", "pull_request_review_approved"},
						{"COMMENT", "pull_request_review_comment"}};
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/reviews?limit=50", repository, (long long)number);
	AUTO_JSON list = bot_list(bot, path, told, err);
	size_t index;
	json_t *review;

	json_array_foreach(list, index, review)
		for (size_t i = 0; i < ARRAY_LEN(states); i++)
			if (strcmp(json_text(review, "state", ""), states[i][0]) == 0 &&
			    strcmp(json_text(review, "submitted_at", ""), since) > 0) {
				json_t *event = event_of(repository, number, json_member(review, "user"), states[i][1], "reviewed");

				(void)json_object_set_new(
					json_member(event, "body"), "review",
					json_pack("{s:s, s:s}", "type", states[i][1], "content", json_text(review, "body", "")));
				(void)json_array_append_new(events, event);
			}
	return list ? 0 : -1;
}

/* Whatever is known already is one. */
json_t *gitea_missed(void *self, const char *repository, int64_t number, int64_t since_ms, struct remote_told *told,
		     struct err *err)
{
	AUTO_JSON events = json_array();
	AUTO_BUF since = buf_new(64);

	time_format(&since, since_ms);
	if (buf_finish(&since, err) || comments_missed(self, repository, number, since.at, events, told, err) ||
	    reviews_missed(self, repository, number, since.at, events, told, err))
		return NULL;
	return TAKE(events);
}
