/* Comments, threads, reactions, who may command, and why the host's own CI failed. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/github_priv.h"

#define PAGES_MAX 20
#define JOBS_TOLD_MAX 5
#define LOG_TAIL_BYTES ((size_t)6 << 10)

static int ask(struct github *github, const char *repository, const char *method, const char *path, const json_t *body,
	       struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	struct github_call call = {.repository = repository, .right = GITHUB_WORK, .method = method, .path = path, .body = body};

	return github_ask(github, &call, answer, told, err);
}

/* Of a list of comments the one with the marker: 0 when there is none. Only one of ours, for anyone can write a marker. */
static int marked_find(struct github *github, const char *repository, const char *list, const char *marker, int64_t *id,
		       struct remote_told *told, struct err *err)
{
	AUTO_FREE char *bot = text_format("%s[bot]", github_name(github));
	bool more = true;
	size_t index;
	json_t *item;

	*id = 0;
	for (int page = 1; more && !*id && page <= PAGES_MAX; page++) {
		AUTO_FREE char *path = text_format("%s?per_page=100&page=%d", list, page);
		AUTO_ANSWER answer = {0};

		if (ask(github, repository, NULL, path, NULL, &answer, told, err))
			return -1;
		json_array_foreach(answer.body, index, item)
			if (strstr(json_text(item, "body", ""), marker) &&
			    (!github_is_app(github) || strcmp(json_text(json_member(item, "user"), "login", ""), bot) == 0))
				*id = json_number(item, "id", 0);
		more = *answer.next != '\0';
	}
	return 0;
}

static json_t *text_body(const char *marker, const char *text)
{
	AUTO_FREE char *whole = text_format("%s\n%s", marker, text);
	json_t *body = json_object();

	json_set_bytes(body, "body", view_of(whole));
	return body;
}

int github_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		    struct remote_told *told, struct err *err)
{
	AUTO_FREE char *list = text_format("/repos/%s/issues/%lld/comments", repository, (long long)number);
	AUTO_JSON text = text_body(marker, body);
	AUTO_ANSWER answer = {0};
	int64_t id;

	(void)pull; /* one list of numbers, here */
	if (marked_find(self, repository, list, marker, &id, told, err))
		return -1;
	if (id) {
		AUTO_FREE char *path = text_format("/repos/%s/issues/comments/%lld", repository, (long long)id);

		return ask(self, repository, "PATCH", path, text, &answer, told, err);
	}
	return ask(self, repository, "POST", list, text, &answer, told, err);
}

int github_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		 struct remote_told *told, struct err *err)
{
	AUTO_FREE char *list = text_format("/repos/%s/pulls/%lld/comments", repository, (long long)number);
	AUTO_FREE char *path = text_format("%s/%s/replies", list, thread);
	AUTO_JSON text = text_body(marker, body);
	AUTO_ANSWER answer = {0};
	int64_t id;

	if (!*thread)
		return github_note_put(self, repository, true, number, marker, body, told, err);
	if (marked_find(self, repository, list, marker, &id, told, err))
		return -1;
	if (id || !ask(self, repository, "POST", path, text, &answer, told, err))
		return 0;
	/* The comment was deleted: it is answered where everybody reads. */
	return answer.status == 404 ? github_note_put(self, repository, true, number, marker, body, told, err) : -1;
}

/* ---- threads ---- */

#define THREADS                                                                                                                 \
	"query($owner: String!, $name: String!, $number: Int!, $after: String) { repository(owner: $owner, name: $name) {"      \
	" pullRequest(number: $number) { reviewThreads(first: 100, after: $after) { nodes { id isResolved comments(first: 1) {" \
	" nodes { fullDatabaseId } } } pageInfo { hasNextPage endCursor } } } } }"
#define RESOLVE "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }"

/* The thread that begins with a comment, among these; borrowed. */
static const json_t *thread_among(const json_t *threads, const char *comment)
{
	size_t index;
	json_t *each;

	json_array_foreach(json_member(threads, "nodes"), index, each) {
		const json_t *first = json_array_get(json_member(json_member(each, "comments"), "nodes"), 0);

		/* A BigInt, which GraphQL tells as a string: databaseId has 32 bits, fewer than ids need. */
		if (strcmp(json_text(first, "fullDatabaseId", ""), comment) == 0)
			return each;
	}
	return NULL;
}

/* REST knows no threads: they are looked for by their first comment. *id (owned) is NULL when it is gone, or resolved. */
static int thread_find(struct github *github, const char *repository, int64_t number, const char *comment, char **id,
		       struct remote_told *told, struct err *err)
{
	struct view name;
	struct view owner = view_cut(view_of(repository), '/', &name);
	AUTO_FREE char *after = NULL;
	bool more = true;

	for (int page = 0; more && page < PAGES_MAX; page++) {
		AUTO_JSON data = NULL;
		json_t *variables = json_pack("{s:s%, s:s%, s:I, s:s?}", "owner", owner.at, owner.length, "name", name.at,
					      name.length, "number", (json_int_t)number, "after", after);
		const json_t *threads;
		const json_t *found;

		if (github_query(github, repository, THREADS, variables, &data, told, err))
			return -1;
		threads = json_member(json_member(json_member(data, "repository"), "pullRequest"), "reviewThreads");
		found = thread_among(threads, comment);
		if (found) {
			*id = json_flag(found, "isResolved", false) ? NULL : text_copy(json_text(found, "id", NULL));
			return 0;
		}
		more = json_flag(json_member(threads, "pageInfo"), "hasNextPage", false);
		free(after);
		after = text_copy(json_text(json_member(threads, "pageInfo"), "endCursor", NULL));
	}
	return 0;
}

int github_resolve(void *self, const char *repository, int64_t number, const char *thread, struct remote_told *told,
		   struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_JSON data = NULL;

	if (!*thread || thread_find(self, repository, number, thread, &id, told, err))
		return *thread ? -1 : 0;
	return id ? github_query(self, repository, RESOLVE, json_pack("{s:s}", "id", id), &data, told, err) : 0;
}

json_t *github_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/issues/%lld", repository, (long long)number);
	AUTO_ANSWER answer = {0};

	if (ask(self, repository, NULL, path, NULL, &answer, told, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s}", "title", json_text(answer.body, "title", ""), "body",
			 json_text(answer.body, "body", ""), "url", json_text(answer.body, "html_url", ""), "state",
			 json_text(answer.body, "state", ""));
}

int github_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err)
{
	bool line = event->kind == FORGE_EVENT_REVIEW_COMMENT;
	AUTO_FREE char *path = text_format("/repos/%s/%s/comments/%s/reactions", repository, line ? "pulls" : "issues", event->id);
	AUTO_JSON body = json_pack("{s:s}", "content", "eyes");
	AUTO_ANSWER answer = {0};

	if (!*event->id || (!line && event->kind != FORGE_EVENT_COMMENT))
		return 0;
	return ask(self, repository, "POST", path, body, &answer, told, err);
}

/* What the review says as a whole, when it says something. */
static int review_add(struct github *github, const char *repository, int64_t number, const char *review, json_t *items,
		      struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/reviews/%s", repository, (long long)number, review);
	AUTO_ANSWER answer = {0};

	if (ask(github, repository, NULL, path, NULL, &answer, told, err))
		return -1;
	if (*json_text(answer.body, "body", ""))
		(void)json_array_append_new(items,
					    json_pack("{s:o, s:s, s:s, s:I, s:s, s:s}", "id", json_sprintf("review/%s", review),
						      "thread", "", "path", "", "line", (json_int_t)0, "author",
						      json_text(json_member(answer.body, "user"), "login", ""), "text",
						      json_text(answer.body, "body", "")));
	return 0;
}

json_t *github_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		      struct err *err)
{
	AUTO_JSON items = json_array();
	bool more = true;
	size_t index;
	json_t *item;

	if (review_add(self, repository, number, review, items, told, err))
		return NULL;
	for (int page = 1; more && page <= PAGES_MAX; page++) {
		AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/reviews/%s/comments?per_page=100&page=%d", repository,
						   (long long)number, review, page);
		AUTO_ANSWER answer = {0};

		if (ask(self, repository, NULL, path, NULL, &answer, told, err))
			return NULL;
		json_array_foreach(answer.body, index, item) {
			int64_t id = json_number(item, "id", 0);

			(void)json_array_append_new(
				items,
				json_pack("{s:o, s:o, s:s, s:I, s:s, s:s}", "id", json_sprintf("%lld", (long long)id), "thread",
					  json_sprintf("%lld", (long long)json_number(item, "in_reply_to_id", id)), "path",
					  json_text(item, "path", ""), "line",
					  (json_int_t)json_number(item, "line", json_number(item, "original_line", 0)), "author",
					  json_text(json_member(item, "user"), "login", ""), "text", json_text(item, "body", "")));
		}
		more = *answer.next != '\0';
	}
	return TAKE(items);
}

int github_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err)
{
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
	if (ask(self, repository, NULL, path.at, NULL, &answer, told, err))
		return answer.status == 404 ? 0 : -1;
	level = json_text(answer.body, "permission", "");
	*may = strcmp(level, "admin") == 0 || strcmp(level, "write") == 0;
	return 0;
}

/* ---- the host's own CI ---- */

static int log_read(struct github *github, const char *repository, int64_t job, struct buf *text, struct remote_told *told,
		    struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/actions/jobs/%lld/logs", repository, (long long)job);
	struct github_call call = {.repository = repository, .right = GITHUB_WORK, .path = path, .plain = true};
	struct rest_call elsewhere = {.plain = true};
	AUTO_ANSWER answer = {0};
	AUTO_ANSWER stored = {0};
	struct view log;

	if (github_ask(github, &call, &answer, told, err))
		return -1;
	log = buf_view(&answer.text);
	if (*answer.location) { /* a signed place of its own, where our token has no business */
		elsewhere.url = answer.location;
		if (rest_ask(github_world(github), &elsewhere, &stored, err))
			return -1;
		log = buf_view(&stored.text);
	}
	if (log.length > LOG_TAIL_BYTES)
		log = view_make(log.at + log.length - LOG_TAIL_BYTES, LOG_TAIL_BYTES);
	buf_add_view(text, log);
	buf_add_char(text, '\n');
	return 0;
}

static void steps_add(struct buf *text, const json_t *job)
{
	size_t index;
	json_t *step;

	json_array_foreach(json_member(job, "steps"), index, step)
		if (strcmp(json_text(step, "conclusion", ""), "failure") == 0)
			buf_add_format(text, "failed step: %s\n", json_text(step, "name", ""));
}

int github_failure_read(void *self, const char *repository, const char *id, struct buf *text, struct remote_told *told,
			struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/actions/runs/%s/jobs?filter=latest&per_page=100", repository, id);
	AUTO_ANSWER answer = {0};
	struct err left = {0};
	int count = 0;
	size_t index;
	json_t *job;

	if (ask(self, repository, NULL, path, NULL, &answer, told, err))
		return -1;
	json_array_foreach(json_member(answer.body, "jobs"), index, job) {
		const char *conclusion = json_text(job, "conclusion", "");

		if ((strcmp(conclusion, "failure") != 0 && strcmp(conclusion, "timed_out") != 0) || count++ >= JOBS_TOLD_MAX)
			continue;
		buf_add_format(text, "job: %s\n", json_text(job, "name", ""));
		steps_add(text, job);
		/* Logs expire, and need a right of their own: the names of what failed are better than nothing. */
		if (log_read(self, repository, json_number(job, "id", 0), text, told, &left)) {
			if (left.kind == ERR_LIMIT || left.kind == ERR_RETRY) {
				*err = left;
				return -1;
			}
			buf_add_format(text, "(no log: %s)\n", left.text);
		}
	}
	return buf_finish(text, err);
}
