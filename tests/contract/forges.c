/*
 * What every code host must do: one table, over the built-in forge (what of it there is), GitHub, GitLab and Gitea, each of the latter played by a fake in tests/fakes that
 * holds what it is asked against the vendor's description. Then everything goes wrong at every call of every verb, as each vendor says it: what is done
 * again is done once. Needs node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "forges_fixture.h"

#define MARK "<!-- assay:r1:progress -->"
#define VISITS_MAX 40

/* ---- pull requests: the built-in forge, too ---- */

static struct remote_pull pull_of(struct side *side, const char *branch, const char *title, bool draft)
{
	return (struct remote_pull){.branch = branch,
				    .target = "main",
				    .title = title,
				    .body = "**Verified.** The words.",
				    .head = side_head(side, branch),
				    .draft = draft};
}

static void one_pull_request_has_a_branch(struct side *side)
{
	struct remote_pull pull = pull_of(side, "topic", "Shout", true);
	int64_t number = side_pull_put(side, &pull, 0);
	AUTO_JSON made = side_pull_get(side, number);
	AUTO_JSON changed = NULL;

	assert_string_equal(json_text(made, "state", ""), "open");
	assert_string_equal(json_text(made, "title", ""), "Shout");
	assert_string_equal(json_text(made, "branch", ""), "topic");
	assert_string_equal(json_text(made, "head", ""), pull.head);
	assert_true(json_flag(made, "draft", false));
	pull.title = "Shout, and whisper";
	pull.draft = false;
	assert_int_equal(side_pull_put(side, &pull, 0), number);
	changed = side_pull_get(side, number);
	assert_string_equal(json_text(changed, "title", ""), "Shout, and whisper");
	assert_false(json_flag(changed, "draft", true));
	assert_int_equal(side_writes_of_same(side, &pull), 0);
}

static void what_a_person_closed_stays_closed(struct side *side)
{
	struct remote_pull pull = pull_of(side, "topic", "Shout", false);
	int64_t number = side_pull_put(side, &pull, 0);
	AUTO_JSON closed = NULL;

	side_good(side, side_pull_close(side, number, &side->err));
	closed = side_pull_get(side, number);
	assert_string_equal(json_text(closed, "state", ""), "closed");
	pull.number = number;
	assert_int_equal(side_pull_try(side, &pull), -1);
	assert_int_equal(side->err.kind, ERR_CONFLICT);
}

/* Its answer was lost, and a person was faster than the next try. */
static void what_was_over_before_its_answer_came_is_found(struct side *side)
{
	static const char *const states[] = {"closed", "merged"};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		bool merged = strcmp(states[i], "merged") == 0;
		struct remote_pull pull = pull_of(side, merged ? "other" : "topic", "Shout", false);
		int64_t number = side_pull_put(side, &pull, 0);
		AUTO_JSON seen = NULL;

		side_good(side, merged ? side_pull_merge(side, number, pull.head, &side->err)
				       : side_pull_close(side, number, &side->err));
		side->told.number = 0;
		assert_int_equal(side_writes_of_same(side, &pull), 0);
		assert_int_equal(side->told.number, number);
		seen = side_seen(side);
		assert_int_equal(json_array_size(json_member(seen, "pulls")), i + 1);
		assert_string_equal(json_text(side_find(seen, "pulls", "branch", pull.branch), "state", ""), states[i]);
		/* GitHub says when there is nothing left to merge, whatever its head was in the end. */
		pull.head = side->main.text;
		if (merged && strcmp(side->kind, "github") == 0)
			assert_int_equal(side_pull_put(side, &pull, 0), number);
	}
}

static void a_branch_that_was_closed_with_another_head_may_be_opened(struct side *side)
{
	struct remote_pull pull = pull_of(side, "topic", "Shout", false);
	int64_t number = side_pull_put(side, &pull, 0);

	side_good(side, side_pull_close(side, number, &side->err));
	pull.head = "00000000000000000000000000000000000000aa";
	assert_int_not_equal(side_pull_put(side, &pull, 0), number);
}

static void git_asks_anew_when_its_credential_is_refused(struct side *side)
{
	struct err err = {0};

	if (!side->remote.ops->credential_refused)
		return;
	assert_int_equal(side_push(side, "topic", "pushed", &err), 0);
	json_decref(side_act(side, "revoke", "{}"));
	assert_int_equal(side_push(side, "other", "pushed2", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	side->remote.ops->credential_refused(side->remote.self, SIDE_NAME, true);
	err = (struct err){0};
	assert_int_equal(side_push(side, "other", "pushed2", &err), 0);
}

/* A push says what it expects there: also what only goes forward is refused where somebody was meanwhile. */
static void a_push_finds_what_it_expects_or_does_not_happen(struct side *side)
{
	struct err err = {0};

	if (!side->remote.ops)
		return;
	assert_int_equal(side_push(side, "main", "lease", &err), 0);
	assert_int_equal(side_push_over(side, "topic", "lease", "other", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	err = (struct err){0};
	assert_int_equal(side_push_over(side, "topic", "lease", "main", &err), 0);
	assert_int_equal(side_push_over(side, "topic", "lease", "main", &err), 0); /* its answer was lost */
	assert_int_equal(side_push_over(side, "topic", "gone", "main", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

/* The answer to an earlier try was lost, and somebody has put more on it since. */
static void a_push_under_what_others_pushed_on_top_is_done(struct side *side)
{
	struct remote_pull pull = pull_of(side, "topic", "Topic", false);
	struct err err = {0};

	if (!side->remote.ops)
		return;
	side_good(side, side_pull_merge(side, side_pull_put(side, &pull, 0), pull.head, &side->err));
	assert_int_equal(side_push_over(side, "topic", "main", "other", &err), 0);
	assert_int_equal(side_push_over(side, "other", "main", "topic", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

static void a_merge_is_of_the_head_that_was_published(struct side *side)
{
	struct remote_pull pull = pull_of(side, "other", "Other", false);
	int64_t number = side_pull_put(side, &pull, 0);
	AUTO_JSON merged = NULL;

	if (side->remote.ops) {
		assert_int_equal(side_pull_merge(side, number, side_head(side, "topic"), &side->err), -1);
		assert_int_equal(side->err.kind, ERR_CONFLICT);
	}
	side_good(side, side_pull_merge(side, number, pull.head, &side->err));
	side_good(side, side_pull_merge(side, number, pull.head, &side->err));
	if (side->remote.ops) { /* it is merged, but not that */
		assert_int_equal(side_pull_merge(side, number, side_head(side, "topic"), &side->err), -1);
		assert_int_equal(side->err.kind, ERR_CONFLICT);
		side->err = (struct err){0};
	}
	merged = side_pull_get(side, number);
	assert_string_equal(json_text(merged, "state", ""), "merged");
}

/* ---- words ---- */

static int note(struct side *side, const char *text)
{
	return side->remote.ops->note_put(side->remote.self, SIDE_NAME, true, side->number, MARK, text, &side->told, &side->err);
}

static void a_note_is_found_by_its_marker_and_edited(struct side *side)
{
	AUTO_JSON seen = NULL;

	side_open(side);
	for (int i = 0; i < 120; i++) /* more than one page of others', of which one has the marker */
		json_decref(side_act(side, "comment", "{\"by\": \"mallory\", \"number\": %lld, \"body\": \"" MARK " mine\"}",
				     (long long)side->number));
	side_good(side, note(side, "one"));
	side_good(side, note(side, "two\n/close\n  /merge"));
	seen = side_seen(side);
	assert_int_equal(side_count(seen, "notes", "by", side->login), 1);
	assert_non_null(strstr(json_text(side_find(seen, "notes", "by", side->login), "body", ""), "two"));
}

static void a_review_is_read_whole_and_each_thread_answered_once(struct side *side)
{
	AUTO_JSON items = NULL;
	AUTO_JSON seen = NULL;
	size_t index;
	json_t *item;

	side_open(side);
	json_decref(side_act(side, "comment", "{\"by\": \"bob\", \"number\": %lld, \"body\": \"by the way\"}",
			     (long long)side->number));
	items = side_review(side, "bob", "Please add whisper.", "and a test of it");
	assert_int_equal(json_array_size(items), 2);
	json_array_foreach(items, index, item) {
		AUTO_FREE char *marker = text_format("<!-- assay:r1:answer:%s -->", json_text(item, "id", ""));

		assert_string_equal(json_text(item, "author", ""), "bob");
		assert_string_equal(json_text(item, "path", ""), "words.py");
		assert_int_equal(json_number(item, "line", 0), 8 + (json_int_t)index);
		for (int again = 0; again < 2; again++)
			side_good(side,
				  side->remote.ops->reply(side->remote.self, SIDE_NAME, side->number, json_text(item, "thread", ""),
							  marker, "done", &side->told, &side->err));
	}
	seen = side_seen(side);
	assert_int_equal(json_array_size(json_member(seen, "replies")), 2);
}

/* Gitea has no way to. */
static void a_thread_is_resolved_where_there_is_such_a_thing(struct side *side)
{
	AUTO_JSON items = NULL;
	AUTO_JSON seen = NULL;
	const char *thread;

	if (!side->remote.ops->resolve)
		return;
	side_open(side);
	items = side_review(side, "bob", "Please add whisper.", "and a test of it");
	thread = json_text(json_array_get(items, 1), "thread", "");
	for (int again = 0; again < 2; again++)
		side_good(side,
			  side->remote.ops->resolve(side->remote.self, SIDE_NAME, side->number, thread, &side->told, &side->err));
	seen = side_seen(side);
	assert_int_equal(json_array_size(json_member(seen, "resolved")), 1);
	assert_int_equal(side_count(seen, "resolved", "thread", thread), 1);
	/* Whatever is no thread any more needs no word. */
	side_good(side, side->remote.ops->resolve(side->remote.self, SIDE_NAME, side->number, "4711", &side->told, &side->err));
}

#define PNG "\x89PNG\r\n\x1a\n--not the boundary\r\n"

static int picture(struct side *side, char **url)
{
	return side->remote.ops->picture_put(side->remote.self, SIDE_NAME, side->number, "assay-p1.png", VIEW(PNG), url,
					     &side->told, &side->err);
}

/* GitHub takes none: it fetches what a check shows. */
static void a_picture_is_brought_byte_for_byte(struct side *side)
{
	AUTO_BUF bytes = buf_new(1024);
	AUTO_FREE char *url = NULL;
	AUTO_JSON seen = NULL;
	const json_t *one;

	side_open(side);
	if (!side->remote.ops->picture_put) {
		AUTO_JSON pictures = json_pack("[{s:s, s:s}]", "name", "http://front/", "url", "https://assay.example/pictures/p1");
		const struct remote_check check = {.name = "assay",
						   .head = side_head(side, "topic"),
						   .run = "r1",
						   .title = "verified",
						   .summary = "good",
						   .state = REMOTE_GOOD,
						   .pictures = pictures};

		side_good(side, side->remote.ops->check_put(side->remote.self, SIDE_NAME, &check, &side->told, &side->err));
		seen = side_seen(side);
		one = json_array_get(json_member(json_array_get(json_member(seen, "checks"), 0), "images"), 0);
		assert_string_equal(json_text(one, "image_url", ""), "https://assay.example/pictures/p1");
		assert_string_equal(json_text(one, "alt", ""), "http://front/");
		return;
	}
	side_good(side, picture(side, &url));
	buf_add_base64(&bytes, PNG, sizeof(PNG) - 1);
	seen = side_seen(side);
	one = json_array_get(json_member(seen, "pictures"), 0);
	assert_string_equal(json_text(one, "name", ""), "assay-p1.png");
	assert_string_equal(json_text(one, "bytes", ""), bytes.at);
	assert_string_equal(json_text(one, "url", ""), url);
}

static void a_comment_is_seen_and_may_be_seen_again(struct side *side)
{
	struct forge_event event = {.kind = FORGE_EVENT_COMMENT, .on_pull = true};
	AUTO_JSON made = NULL;

	side_open(side);
	event.number = side->number;
	made = side_act(side, "comment", "{\"by\": \"bob\", \"number\": %lld, \"body\": \"hm\"}", (long long)side->number);
	(void)snprintf(event.id, sizeof(event.id), "%lld", (long long)json_number(made, "id", 0));
	for (int again = 0; again < 2; again++)
		side_good(side, side->remote.ops->ack(side->remote.self, SIDE_NAME, &event, &side->told, &side->err));
}

static void only_who_may_write_is_heard(struct side *side)
{
	static const struct {
		const char *login;
		bool may;
	} rows[] = {{"alice", true}, {"bob", true}, {"mallory", false}, {"carol", false}, {"nobody-knows", false}, {"", false}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool may = true;

		side_good(side, side->remote.ops->may_command(side->remote.self, SIDE_NAME, rows[i].login, &may, &side->told,
							      &side->err));
		if (may != rows[i].may)
			fail_msg("%s: %s", side->name, rows[i].login);
	}
}

static void an_issue_is_read(struct side *side)
{
	AUTO_JSON made = side_act(side, "issue", "{\"by\": \"alice\", \"title\": \"Shout\", \"body\": \"Add it.\"}");
	AUTO_JSON issue = side->remote.ops->issue_get(side->remote.self, SIDE_NAME, json_number(made, "number", 0), &side->told,
						      &side->err);

	side_good(side, issue ? 0 : -1);
	assert_string_equal(json_text(issue, "title", ""), "Shout");
	assert_string_equal(json_text(issue, "body", ""), "Add it.");
	assert_string_equal(json_text(issue, "state", ""), "open");
	assert_non_null(strstr(json_text(issue, "url", ""), "http"));
}

/* ---- verdicts and previews ---- */

static int check(struct side *side, enum remote_state state)
{
	AUTO_JSON annotations = json_pack("[{s:s, s:i, s:s, s:s, s:s}]", "path", "words.py", "line", 3, "level", "failure", "title",
					  "t1", "message", "the word is lost");
	struct remote_check wanted = {.name = "assay",
				      .head = side_head(side, "topic"),
				      .run = "r1",
				      .title = state == REMOTE_RUNNING ? "is being verified" : "judged",
				      .summary = "| gate | result |",
				      .url = "http://127.0.0.1/runs/r1",
				      .state = state,
				      .annotations = annotations,
				      .number = side->number};

	return side->remote.ops->check_put(side->remote.self, SIDE_NAME, &wanted, &side->told, &side->err);
}

static void a_verdict_is_one_check_of_a_commit(struct side *side)
{
	AUTO_JSON seen = NULL;

	side_open(side);
	side_good(side, check(side, REMOTE_RUNNING));
	side_good(side, check(side, REMOTE_RUNNING));
	side_good(side, check(side, REMOTE_GOOD));
	side_good(side, check(side, REMOTE_GOOD));
	seen = side_seen(side);
	assert_int_equal(json_array_size(json_member(seen, "checks")), 1);
	assert_string_equal(json_text(json_array_get(json_member(seen, "checks"), 0), "state", ""), "success");
}

static void what_could_not_be_told_is_neither_good_nor_bad(struct side *side)
{
	AUTO_JSON seen = NULL;
	const char *state;

	side_open(side);
	side_good(side, check(side, REMOTE_UNKNOWN));
	seen = side_seen(side);
	state = json_text(json_array_get(json_member(seen, "checks"), 0), "state", "success");
	assert_string_not_equal(state, "success");
	assert_string_not_equal(state, "failure");
	assert_string_not_equal(state, "failed");
	assert_string_not_equal(state, "neutral");
}

static int deploy(struct side *side, const char *url)
{
	struct remote_deployment wanted = {.environment = "topic",
					   .head = side_head(side, "topic"),
					   .branch = "topic",
					   .run = "r1",
					   .url = url,
					   .log_url = "http://127.0.0.1/runs/r1",
					   .state = REMOTE_GOOD};

	return side->remote.ops->deployment_put(side->remote.self, SIDE_NAME, &wanted, &side->told, &side->err);
}

static void a_preview_is_shown_once_and_ends(struct side *side)
{
	AUTO_JSON seen = NULL;
	AUTO_JSON after = NULL;
	const json_t *one;

	side_open(side);
	side_good(side, deploy(side, "http://e1.localhost:7421"));
	side_good(side, deploy(side, "http://e1.localhost:7421"));
	side_good(side, deploy(side, "http://e2.localhost:7421"));
	seen = side_seen(side);
	one = json_array_get(json_member(seen, "deployments"), 0);
	assert_int_equal(json_array_size(json_member(seen, "deployments")), 1);
	assert_true(json_flag(one, "live", false));
	assert_string_equal(json_text(one, "url", ""), "http://e2.localhost:7421");
	for (int again = 0; again < 2; again++)
		side_good(side, side->remote.ops->deployment_end(side->remote.self, SIDE_NAME, "topic", &side->told, &side->err));
	after = side_seen(side);
	assert_false(json_flag(json_array_get(json_member(after, "deployments"), 0), "live", true));
}

static void a_repository_says_what_it_is(struct side *side)
{
	AUTO_JSON about = side->remote.ops->describe(side->remote.self, SIDE_NAME, &side->told, &side->err);

	side_good(side, about ? 0 : -1);
	assert_string_equal(json_text(about, "branch", ""), "main");
	assert_true(json_flag(about, "private", false));
	assert_non_null(strstr(json_text(about, "url", ""), SIDE_NAME));
	assert_null(side->remote.ops->describe(side->remote.self, "acme/none", &side->told, &side->err));
	assert_int_equal(side->err.kind, ERR_NOT_FOUND);
}

static void the_doctor_finds_nothing_wrong_with_what_is_whole(struct side *side)
{
	AUTO_JSON list = side->remote.ops->examine(side->remote.self, SIDE_NAME, SIDE_HOOK, &side->err);
	size_t index;
	json_t *item;

	side_good(side, list ? 0 : -1);
	assert_true(json_array_size(list) > 2);
	json_array_foreach(list, index, item)
		if (strcmp(json_text(item, "state", ""), "wrong") == 0)
			fail_msg("%s: %s: %s", side->name, json_text(item, "what", ""), json_text(item, "do", ""));
}

/* ---- everything goes wrong ---- */

static int verb_pull(struct side *side)
{
	struct remote_pull pull = pull_of(side, "other", "Other", true);

	return side->remote.ops->pull_put(side->remote.self, SIDE_NAME, &pull, &side->told, &side->err);
}

static int verb_ready(struct side *side)
{
	struct remote_pull pull = pull_of(side, "topic", "Ready", false);

	return side->remote.ops->pull_put(side->remote.self, SIDE_NAME, &pull, &side->told, &side->err);
}

static int verb_note(struct side *side)
{
	return note(side, "words");
}

static int verb_reply(struct side *side)
{
	return side->remote.ops->reply(side->remote.self, SIDE_NAME, side->number, side->thread, "<!-- assay:r1:answer:1 -->",
				       "done", &side->told, &side->err);
}

static int verb_resolve(struct side *side)
{
	return side->remote.ops->resolve ? side->remote.ops->resolve(side->remote.self, SIDE_NAME, side->number, side->thread,
								     &side->told, &side->err)
					 : verb_reply(side);
}

static int verb_check(struct side *side)
{
	return check(side, REMOTE_BAD);
}

static int verb_deploy(struct side *side)
{
	return deploy(side, "http://e1.localhost:7421");
}

static int verb_close(struct side *side)
{
	return side->remote.ops->pull_close(side->remote.self, SIDE_NAME, side->number, &side->told, &side->err);
}

static int verb_merge(struct side *side)
{
	return side->remote.ops->pull_merge(side->remote.self, SIDE_NAME, side->number, side_head(side, "topic"), &side->told,
					    &side->err);
}

/* `list` of what was seen has `count` entries of ours; or 0: it is not looked at. */
static const struct {
	const char *name;
	int (*act)(struct side *side);
	const char *list;
	size_t count;
	const char *state; /* of the pull request that was there before; NULL: any */
} verbs[] = {
	{"pull_put", verb_pull, "pulls", 2, "open"},
	{"pull_put again", verb_ready, "pulls", 1, "open"},
	{"note_put", verb_note, "notes", 1, NULL},
	{"reply", verb_reply, "replies", 1, NULL},
	{"resolve", verb_resolve, NULL, 0, NULL},
	{"check_put", verb_check, "checks", 1, NULL},
	{"deployment_put", verb_deploy, "deployments", 1, NULL},
	{"pull_close", verb_close, "pulls", 1, "closed"},
	{"pull_merge", verb_merge, "pulls", 1, "merged"},
};

static const struct {
	const char *kind;
	enum err_kind error;
	bool mends; /* an App makes another token, and goes on */
	bool limits;
} faults[] = {
	{"401", ERR_DENIED, true, false},       {"403", ERR_DENIED, false, false}, {"limit", ERR_LIMIT, false, true},
	{"busy", ERR_LIMIT, false, true},       {"500", ERR_RETRY, false, false},  {"html502", ERR_RETRY, false, false},
	{"moved", ERR_NOT_FOUND, false, false}, {"lost", ERR_RETRY, false, false},
};

/* Returns whether the fault was met. */
static bool fault_try(struct side *side, size_t verb, size_t fault, int visit)
{
	AUTO_JSON left = NULL;
	AUTO_JSON seen = NULL;
	int status;

	side_reset(side);
	side_open(side);
	if (verbs[verb].act == verb_reply || verbs[verb].act == verb_resolve)
		side_thread(side);
	json_decref(side_act(side, "inject", "{\"clear\": true, \"match\": \".\", \"skip\": %d, \"times\": 1, \"kind\": \"%s\"}",
			     visit, faults[fault].kind));
	status = verbs[verb].act(side);
	left = side_act(side, "inject", "{}");
	if (json_number(left, "left", 0)) {
		side_good(side, status);
		return false;
	}
	if (status && side->err.kind != faults[fault].error)
		fail_msg("%s: %s, %s at call %d: %s", side->name, verbs[verb].name, faults[fault].kind, visit, side->err.text);
	if (!status && !faults[fault].mends && strcmp(faults[fault].kind, "lost") != 0)
		fail_msg("%s: %s, %s at call %d is not noticed", side->name, verbs[verb].name, faults[fault].kind, visit);
	/* Only a credential that is refused itself is one to be renewed. */
	if (status)
		assert_int_equal(side->told.refused, strcmp(faults[fault].kind, "401") == 0);
	if (status && faults[fault].limits)
		assert_true(side->told.wait_until_ms > world_now_ms(world_real) - 1000);
	if (status)
		side_good(side, verbs[verb].act(side));
	seen = side_seen(side);
	if (verbs[verb].act == verb_resolve && side->remote.ops->resolve)
		assert_int_equal(side_count(seen, "resolved", "thread", side->thread), 1);
	if (verbs[verb].list && json_array_size(json_member(seen, verbs[verb].list)) != verbs[verb].count)
		fail_msg("%s: %s, %s at call %d: there are %zu %s", side->name, verbs[verb].name, faults[fault].kind, visit,
			 json_array_size(json_member(seen, verbs[verb].list)), verbs[verb].list);
	if (verbs[verb].state)
		assert_string_equal(json_text(side_find(seen, "pulls", "branch", "topic"), "state", ""), verbs[verb].state);
	return true;
}

static void what_fails_at_any_call_is_done_once_by_the_next_try(struct side *side)
{
	for (size_t verb = 0; verb < ARRAY_LEN(verbs); verb++)
		for (size_t fault = 0; fault < ARRAY_LEN(faults); fault++) {
			bool every = getenv("ASSAY_LONG") || strcmp(faults[fault].kind, "lost") == 0;
			int visit = 0;

			/* What is lost was done, at whichever call; the rest was not: there the first call stands for all but in a long check. */
			while (visit < (every ? VISITS_MAX : 1) && fault_try(side, verb, fault, visit))
				visit++;
			assert_in_range(visit, 1, VISITS_MAX - 1);
		}
}

static void git_is_refused_or_answered_as_it_is(struct side *side)
{
	static const struct {
		const char *match;
		const char *kind;
		enum err_kind error;
	} rows[] = {{"GIT push GET", "git503", ERR_RETRY}, {"GIT push POST", "lost", ERR_NONE}, {NULL, NULL, ERR_NONE}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		if (rows[i].match)
			json_decref(side_act(side, "inject", "{\"clear\": true, \"match\": \"%s\", \"times\": 1, \"kind\": \"%s\"}",
					     rows[i].match, rows[i].kind));
		assert_int_equal(side_push(side, "topic", "pushed", &err), rows[i].error ? -1 : 0);
		if (err.kind != rows[i].error)
			fail_msg("%s: %s: %s", side->name, rows[i].kind ? rows[i].kind : "good", err.text);
	}
}

/* ---- the table ---- */

static const struct {
	const char *says;
	void (*act)(struct side *side);
	bool builtin; /* the built-in forge does it, too */
} duties[] = {
	{"a repository says what it is", a_repository_says_what_it_is, false},
	{"one pull request has a branch", one_pull_request_has_a_branch, true},
	{"what a person closed stays closed", what_a_person_closed_stays_closed, true},
	{"what was over before its answer came is found", what_was_over_before_its_answer_came_is_found, false},
	{"a branch that was closed with another head may be opened", a_branch_that_was_closed_with_another_head_may_be_opened,
	 false},
	{"a merge is of the head that was published", a_merge_is_of_the_head_that_was_published, true},
	{"a note is found by its marker and edited", a_note_is_found_by_its_marker_and_edited, false},
	{"a review is read whole and each thread answered once", a_review_is_read_whole_and_each_thread_answered_once, false},
	{"a thread is resolved, where there is such a thing", a_thread_is_resolved_where_there_is_such_a_thing, false},
	{"a picture is brought, byte for byte", a_picture_is_brought_byte_for_byte, false},
	{"a comment is seen, and may be seen again", a_comment_is_seen_and_may_be_seen_again, false},
	{"only who may write is heard", only_who_may_write_is_heard, false},
	{"an issue is read", an_issue_is_read, false},
	{"a verdict is one check of a commit", a_verdict_is_one_check_of_a_commit, false},
	{"what could not be told is neither good nor bad", what_could_not_be_told_is_neither_good_nor_bad, false},
	{"a preview is shown once, and ends", a_preview_is_shown_once_and_ends, false},
	{"the doctor finds nothing wrong with what is whole", the_doctor_finds_nothing_wrong_with_what_is_whole, false},
	{"git is refused, or answered, as it is", git_is_refused_or_answered_as_it_is, false},
	{"a push finds what it expects or does not happen", a_push_finds_what_it_expects_or_does_not_happen, false},
	{"a push under what others pushed on top is done", a_push_under_what_others_pushed_on_top_is_done, false},
	{"git asks anew when its credential is refused", git_asks_anew_when_its_credential_is_refused, false},
	{"what fails at any call is done once by the next try", what_fails_at_any_call_is_done_once_by_the_next_try, false},
};

static void every_duty(void **state)
{
	struct side *side = *state;

	if (!side_begin(side)) {
		print_message("%s: skipped: needs node and openssl\n", side->name);
		side_end(side);
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(duties); i++) {
		if (!side->kind && !duties[i].builtin)
			continue;
		print_message("%s: %s\n", side->name, duties[i].says);
		side_reset(side);
		duties[i].act(side);
		side_unwrong(side);
	}
	side_end(side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"the built-in forge does its duties", every_duty, NULL, NULL, &sides[SIDE_BUILTIN]},
		{"GitHub does its duties", every_duty, NULL, NULL, &sides[SIDE_GITHUB]},
		{"GitHub Enterprise Server does its duties", every_duty, NULL, NULL, &sides[SIDE_ENTERPRISE]},
		{"GitLab does its duties", every_duty, NULL, NULL, &sides[SIDE_GITLAB]},
		{"Gitea does its duties", every_duty, NULL, NULL, &sides[SIDE_GITEA]},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
