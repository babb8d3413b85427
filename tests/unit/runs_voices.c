/*
 * What every tracker outside must do, whichever it is: one table of trackers, one list of promises. Behind each stands a server of a few lines that
 * keeps what was made, and errs once, in the vendor's shape.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"
#include "runs_fake.h"
#include "trackers/builtin.h"

#define MADE_MAX 8
#define REQUEST_BYTES_MAX ((size_t)1 << 20)
#define STEP_MS 61000 /* longer than any pause that is announced here */

/* ---- the table ---- */

struct tracker_row {
	const char *kind;
	const char *request; /* to make its connection */
	const char *settings;
	const struct inbox_source *source;
	/* Deliveries, with ' for ": work is given; the same under another name; a word; stop; taken away (NULL: nobody can); our own word; nothing. */
	const char *given, *given_again, *word, *stop, *taken, *own, *nothing;
	/* Of the server: what is written where, and the name that it carries; NULL: names are known there. */
	const char *makes;
	const char *(*name)(const json_t *body);
	const char *made;          /* the answer */
	const char *known;         /* the answer to the same name again */
	const char *refuses_token; /* whole answers, with their heads */
	const char *limits;
	int thoughts; /* messages that two thoughts are */
};

static const char *linear_name(const json_t *body)
{
	return json_text(json_member(json_member(body, "variables"), "input"), "id", NULL);
}

static const char *jira_name(const json_t *body)
{
	return json_text(json_member(json_array_get(json_member(body, "properties"), 0), "value"), "operation", NULL);
}

static const char *slack_name(const json_t *body)
{
	return json_text(json_member(json_member(body, "metadata"), "event_payload"), "operation", NULL);
}

#define LINEAR "'organizationId':'o','appUserId':'us','agentSession':{'id':'s','issue':{'id':'i','identifier':'ENG-1','title':'T'}}"
#define LINEAR_WORD(id, user, signal, body)                                                                              \
	"{'type':'AgentSessionEvent','action':'prompted'," LINEAR ",'agentActivity':{'id':'" id "','signal':" signal "," \
	"'content':{'body':'" body "'},'userId':'" user "'}}"
#define JIRA_ISSUE "'issue':{'id':'i','key':'SHOP-1','fields':{'summary':'T','assignee':{'accountId':'us'}}}"
#define JIRA_CHANGED(id, from, to)                                                                          \
	"{'webhookEvent':'jira:issue_updated','user':{'accountId':'u'},'changelog':{'id':'" id "','items':" \
	"[{'fieldId':'assignee','from':'" from "','to':'" to "'}]}," JIRA_ISSUE "}"
#define JIRA_WORD(id, user, body)                                                                                    \
	"{'webhookEvent':'comment_created','comment':{'id':'" id "','author':{'accountId':'" user "'},'body':'" body \
	"'}," JIRA_ISSUE "}"
#define SLACK_WORD(ts, user, more, text)                                                                                    \
	"{'type':'event_callback','team_id':'o','event_id':'E" ts "','event':{'type':'app_mention','channel':'C','ts':'" ts \
	"','user':'" user "'," more "'text':'" text "'}}"

static const struct tracker_row trackers[] = {
	{.kind = "linear",
	 .request = "{'kind':'linear','configuration':{'client_id':'c'}}",
	 .settings = "{}",
	 .source = &inbox_linear,
	 .given = "{'type':'AgentSessionEvent','action':'created'," LINEAR "}",
	 .given_again = "{'type':'AgentSessionEvent','action':'created'," LINEAR "}",
	 .word = LINEAR_WORD("a1", "u", "null", "and this"),
	 .stop = LINEAR_WORD("a2", "u", "'stop'", "stop"),
	 .taken = "{'type':'AppUserNotification','action':'issueUnassignedFromYou','organizationId':'o','appUserId':'us',"
		  "'notification':{'id':'n','issueId':'i'}}",
	 .own = LINEAR_WORD("a3", "us", "null", "our own"),
	 .nothing = "{'type':'Rocket','action':'launch','organizationId':'o'}",
	 .makes = "ActivityCreate",
	 .name = linear_name,
	 .made = "{\"data\":{\"agentActivityCreate\":{\"success\":true,\"agentActivity\":{\"id\":\"x\"}}}}",
	 .known =
		 "HTTP/1.1 400 Bad\r\n\r\n{\"errors\":[{\"message\":\"conflict on insert of AgentActivity\",\"extensions\":{\"code\":"
		 "\"INPUT_ERROR\",\"type\":\"invalid input\"}}]}",
	 .refuses_token =
		 "HTTP/1.1 401 No\r\n\r\n{\"errors\":[{\"message\":\"x\",\"extensions\":{\"code\":\"AUTHENTICATION_ERROR\"}}]}",
	 .limits =
		 "HTTP/1.1 400 Bad\r\nRetry-After: 30\r\n\r\n{\"errors\":[{\"message\":\"x\",\"extensions\":{\"code\":\"RATELIMITED\"}}]}",
	 .thoughts = 2},
	{.kind = "jira",
	 .request = "{'kind':'jira','configuration':{'email':'e'},'secrets':{'token':'t'}}",
	 .settings = "{'account':'o','self':'us'}",
	 .source = &inbox_jira,
	 .given = JIRA_CHANGED("1", "", "us"),
	 .given_again = JIRA_CHANGED("2", "", "us"),
	 .word = JIRA_WORD("1", "u", "and this"),
	 .stop = JIRA_WORD("2", "u", "stop"),
	 .taken = JIRA_CHANGED("3", "us", ""),
	 .own = JIRA_WORD("3", "us", "our own"),
	 .nothing = "{'webhookEvent':'rocket_launched'," JIRA_ISSUE "}",
	 .makes = "POST /rest/api/3/issue/i/comment",
	 .name = jira_name,
	 .made = "{\"id\":\"1\"}",
	 .refuses_token = "HTTP/1.1 401 No\r\n\r\n{\"message\":\"Client must be authenticated\"}",
	 .limits =
		 "HTTP/1.1 429 Slow\r\nRetry-After: 30\r\nX-RateLimit-Reset: 2026-11-22T10:00Z\r\n\r\n{\"errorMessages\":[\"Rate limit exceeded.\"]}",
	 .thoughts = 1},
	{.kind = "slack",
	 .request = "{'kind':'slack','secrets':{'token':'t'}}",
	 .settings = "{'account':'o','self':'us'}",
	 .source = &inbox_slack,
	 .given = SLACK_WORD("5.1", "u", "", "<@us> do it"),
	 .word = SLACK_WORD("6.1", "u", "'thread_ts':'5.1',", "and this"),
	 .stop = SLACK_WORD("7.1", "u", "'thread_ts':'5.1',", "stop"),
	 .own = SLACK_WORD("8.1", "us", "'thread_ts':'5.1',", "our own"),
	 .nothing = "{'type':'event_callback','team_id':'o','event_id':'E','event':{'type':'rocket'}}",
	 .makes = "POST /chat.postMessage",
	 .name = slack_name,
	 .made = "{\"ok\":true,\"ts\":\"1\"}",
	 .refuses_token = "HTTP/1.1 200 OK\r\n\r\n{\"ok\":false,\"error\":\"invalid_auth\"}",
	 .limits = "HTTP/1.1 429 Slow\r\nRetry-After: 30\r\n\r\n{\"ok\":false,\"error\":\"ratelimited\"}",
	 .thoughts = 1},
};

/* ---- the server ---- */

static struct {
	const struct tracker_row *row;
	pthread_t thread;
	int listening;
	char base[64];
	pthread_mutex_t lock;
	char made[MADE_MAX][128];
	int count;          /* of what was made */
	char last[4096];    /* the body of the last try */
	int tries;          /* to make something */
	const char *answer; /* whole, to the next try; NULL: what is right */
	bool happens;       /* although it is answered so; "" closes without a word */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What is there, and who we are, as trackers say it: all shapes in one answer. */
static char *list_make(void)
{
	AUTO_JSON comments = json_array();
	AUTO_JSON messages = json_array();
	AUTO_BUF text = buf_new(REQUEST_BYTES_MAX);

	for (int i = 0; i < server.count; i++) {
		(void)json_array_append_new(comments,
					    json_pack("{s:s, s:{s:s}, s:[{s:s, s:{s:s}}]}", "id", "1", "author", "accountId", "us",
						      "properties", "key", "assay", "value", "operation", server.made[i]));
		(void)json_array_append_new(messages, json_pack("{s:s, s:{s:s, s:{s:s}}}", "ts", "1", "metadata", "event_type",
								"assay", "event_payload", "operation", server.made[i]));
	}
	AUTO_JSON guess = json_pack("{s:{s:[{s:s, s:s, s:f}, {s:s, s:s, s:f}]}}", "issueRepositorySuggestions", "suggestions",
				    "hostname", "github.com", "repositoryFullName", "acme/site", "confidence", 0.6, "hostname",
				    "github.com", "repositoryFullName", "acme/shop", "confidence", 0.9);
	AUTO_JSON both = json_pack("{s:O, s:b, s:O, s:O, s:s, s:s, s:s, s:s}", "data", guess, "ok", 1, "comments", comments,
				   "messages", messages, "accountId", "us", "team_id", "elsewhere", "team", "Elsewhere", "user_id",
				   "us");

	json_format(&text, both);
	return buf_take(&text);
}

static bool is_made(const char *name)
{
	for (int i = 0; i < server.count; i++)
		if (strcmp(server.made[i], name) == 0)
			return true;
	return false;
}

/* A whole answer, or the body of a good one; owned. */
static char *answer_make(const char *request, struct view body)
{
	AUTO_JSON json = body.length ? json_parse(body, NULL) : NULL;
	const char *name = server.row->name(json);
	const char *answer = server.answer;

	if (!strstr(request, server.row->makes))
		return list_make();
	server.tries++;
	(void)snprintf(server.last, sizeof(server.last), "%.*s", (int)body.length, body.at);
	server.answer = NULL;
	if (name && server.row->known && is_made(name))
		return text_copy(server.row->known);
	if (name && (!answer || server.happens) && server.count < MADE_MAX)
		(void)snprintf(server.made[server.count++], sizeof(server.made[0]), "%s", name);
	return text_copy(answer ? answer : server.row->made);
}

static void answer_send(int fd, const char *answer)
{
	const char *blank = strstr(answer, "\r\n\r\n");
	AUTO_FREE char *whole = blank ? text_format("%.*s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
						    (int)(blank - answer), answer, strlen(blank + 4), blank + 4)
				      : text_format("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
						    strlen(answer), answer);

	if (answer[0])
		(void)send(fd, whole, strlen(whole), MSG_NOSIGNAL);
}

static void serve_one(int fd)
{
	AUTO_BUF request = buf_new(REQUEST_BYTES_MAX);
	size_t length = 0;
	char *end;

	do {
		char bytes[4096];
		ssize_t got = read(fd, bytes, sizeof(bytes));
		const char *said;

		if (got <= 0)
			return;
		buf_add(&request, bytes, (size_t)got);
		end = strstr(request.at, "\r\n\r\n");
		said = strcasestr(request.at, "content-length: ");
		length = said ? strtoul(said + 16, NULL, 10) : 0;
	} while (!end || request.length < (size_t)(end + 4 - request.at) + length);
	(void)pthread_mutex_lock(&server.lock);
	AUTO_FREE char *answer = answer_make(request.at, view_make(end + 4, length));
	(void)pthread_mutex_unlock(&server.lock);
	answer_send(fd, answer);
}

static void *server_run(void *self)
{
	(void)self;
	for (;;) {
		AUTO_CLOSE int fd = accept4(server.listening, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		serve_one(fd);
	}
}

static void server_begin(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	server.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server.listening, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server.listening, 16), 0);
	assert_int_equal(getsockname(server.listening, (struct sockaddr *)&address, &size), 0);
	(void)snprintf(server.base, sizeof(server.base), "http://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
	assert_int_equal(pthread_create(&server.thread, NULL, server_run, NULL), 0);
}

static void server_end(void)
{
	(void)shutdown(server.listening, SHUT_RDWR);
	(void)pthread_join(server.thread, NULL);
	(void)close(server.listening);
}

/* ---- a world whose clock is set ---- */

static int64_t ahead_ms;

static int64_t set_now(void *self)
{
	(void)self;
	return world_now_ms(world_real) + ahead_ms;
}

static int64_t set_elapsed(void *self)
{
	(void)self;
	return world_elapsed_ms(world_real) + ahead_ms;
}

static void set_random(void *self, void *at, size_t length)
{
	(void)self;
	world_random(world_real, at, length);
}

static const struct world_ops set_ops = {set_now, set_elapsed, set_random};

/* ---- the bench ---- */

static char root[64];
static struct runs *runs;
static struct connection connection;

static json_t *quoted(const char *text)
{
	AUTO_FREE char *copy = text_copy(text);
	json_t *json;

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	json = json_parse(view_of(copy), NULL);
	assert_non_null(json);
	return json;
}

static int approved(void *self, const char *run, const char *hold, bool allow, const char *by, struct err *err)
{
	(void)self;
	(void)run;
	(void)by;
	return allow ? 0 : err_set(err, ERR_NOT_FOUND, "%s is over", hold);
}

static void bench_begin(const struct tracker_row *row)
{
	struct runs_options options = {
		.state_dir = root, .pages_base = "http://127.0.0.1:7420", .world = {&set_ops, NULL}, .approve = approved};
	AUTO_JSON request = quoted(row->request);
	AUTO_JSON settings = quoted(row->settings);
	struct account account = {
		.connection = NULL, .account = text_copy("o"), .name = text_copy("Acme"), .self = text_copy("us")};
	struct err err = {0};
	AUTO_TX tx = {0};

	(void)json_object_set_new(request, "base", json_string(server.base));
	(void)snprintf(root, sizeof(root), "/tmp/assay-voices-XXXXXX");
	assert_non_null(mkdtemp(root));
	assert_int_equal(runs_open(&options, &runs, NULL), 0);
	AUTO_JSON made = runs_connection_make(runs, request, &err);

	if (!made)
		fail_msg("%s", err.text);
	account.connection = text_copy(json_text(made, "id", ""));
	account.secrets = json_pack("{s:s}", "access_token", "t");
	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(account_write(&tx, &account, NULL), 0);
	assert_int_equal(connection_merge(&tx, account.connection, settings, NULL, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	account_fini(&account);
	assert_int_equal(connection_load(runs, row->kind, &connection, NULL), 0);
	server.row = row;
	server.count = server.tries = 0;
	server.answer = NULL;
}

static void bench_end(void)
{
	connection_fini(&connection);
	runs_close(runs);
	assert_int_equal(file_remove_tree(root, NULL), 0);
}

static const char *header(void *self, const char *name)
{
	(void)name;
	return self;
}

/* As a delivery that was verified, under a name that no other one has: what it says is known by its content. */
static void take(const char *body)
{
	static int deliveries;
	AUTO_FREE char *name = text_format("d%d", deliveries++);
	AUTO_JSON json = quoted(body);
	AUTO_BUF text = buf_new(REQUEST_BYTES_MAX);
	struct inbox_keys keys = {0};
	struct err err = {0};
	bool seen;

	json_format(&text, json);
	const struct webhook_request request = {header, name, buf_view(&text)};

	if (server.row->source->keys(&connection, &request, &keys, &err))
		fail_msg("%s: %s", body, err.text);
	const struct inbox_message message = {connection.id, keys.delivery, keys.content, keys.stream, keys.kind, buf_view(&text)};

	if (!keys.ignored && inbox_accept(runs->store, runs->options.world, &message, &seen, &err))
		fail_msg("%s: %s", body, err.text);
	free(keys.delivery);
	free(keys.content);
	free(keys.stream);
	free(keys.kind);
	free(keys.known);
	for (bool did = true; did;)
		if (inboxes_work(runs, &did, &err))
			fail_msg("%s: %s", body, err.text);
}

/* What is to be said and is not dropped, in order. */
static void put_is(const char *wanted)
{
	AUTO_BUF out = buf_new(4096);
	AUTO_ROWS rows = {0};
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(store_query(&tx, &rows, "SELECT data FROM outbox WHERE status = 'queued' ORDER BY seq", NO_VALUES, NULL),
			 0);
	while (store_rows_next(&rows)) {
		AUTO_JSON data = json_parse(view_of(store_rows_text(&rows, 0)), NULL);

		buf_add_format(&out, "%s%s", out.length ? " " : "", json_text(data, "say", "?"));
	}
	if (strcmp(out.at ? out.at : "", wanted) != 0)
		fail_msg("%s: `%s`, not `%s`", server.row->kind, out.at ? out.at : "", wanted);
}

static void thread_load_only(struct thread *thread)
{
	AUTO_FREE char *id = NULL;
	AUTO_ROWS rows = {0};
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(store_query(&tx, &rows, "SELECT id FROM thread", NO_VALUES, NULL), 0);
	assert_true(store_rows_next(&rows));
	id = text_copy(store_rows_text(&rows, 0));
	store_rows_fini(&rows);
	assert_int_equal(thread_read(&tx, id, thread, NULL), 0);
}

/* The thread has a run; nothing waits to be said. */
static struct run_id run_begin(void)
{
	struct run_id run = run_id_new(world_real);
	AUTO_THREAD thread = {0};
	AUTO_JSON request = json_pack("{s:s}", "repository", "shop");
	int64_t number = 0;
	AUTO_TX tx = {0};

	thread_load_only(&thread);
	const struct tracker_mirror mirror = {connection.id, "o", thread.item, thread.item_id, NULL, "shop", "T", "B"};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(tracker_builtin_mirror(&tx, &mirror, 1, &number, NULL), 0);
	AUTO_JSON issue = json_pack("{s:I, s:s}", "number", (json_int_t)number, "title", "T");

	assert_int_equal(store_run(&tx, "UPDATE thread SET run = ?, state = 'running'", VALUES(V(run.text)), NULL), 0);
	assert_int_equal(run_start_in(runs, &tx, run, issue, request, NULL), 0);
	assert_int_equal(store_run(&tx, "UPDATE outbox SET status = 'sent'", NO_VALUES, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	return run;
}

/* ---- what comes in ---- */

static void given_work_is_taken_once_and_a_thought_is_put_first(void)
{
	take(server.row->nothing);
	take(server.row->own);
	put_is("");
	take(server.row->given);
	put_is("thought open");
	take(server.row->given);
	if (server.row->given_again)
		take(server.row->given_again);
	put_is("thought open");
}

static void a_word_is_for_the_run_and_stop_silences_all_but_its_end(void)
{
	struct run_id run;

	take(server.row->given);
	run = run_begin();
	take(server.row->word);
	take(server.row->own);
	put_is("thought");
	event_add(runs, run.text, "question", json_pack("{s:s}", "text", "Which?"));
	put_is("thought ask");
	take(server.row->stop);
	put_is("stop");
	event_add(runs, run.text, "question", json_pack("{s:s}", "text", "And?"));
	put_is("stop");
}

static void what_is_taken_away_ends(void)
{
	AUTO_THREAD thread = {0};

	if (!server.row->taken)
		return;
	take(server.row->given);
	(void)run_begin();
	take(server.row->taken);
	put_is("stop");
	thread_load_only(&thread);
	assert_string_equal(thread.state, "gone");
}

/* trackers/tracker.h, of an issue that lives outside. */
static void its_issue_keeps_what_trackers_promise(void)
{
	AUTO_THREAD thread = {0};
	struct err err = {0};

	take(server.row->given);
	(void)run_begin();
	thread_load_only(&thread);
	AUTO_JSON issue = tracker_fetch(runs->tracker, thread.item, &err);

	assert_string_equal(json_text(issue, "connection", ""), connection.id);
	assert_int_equal(tracker_claim(runs->tracker, thread.item, "r1", NULL), 0);
	assert_int_equal(tracker_claim(runs->tracker, thread.item, "r1", NULL), 0);
	assert_int_equal(tracker_claim(runs->tracker, thread.item, "r2", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(tracker_post(runs->tracker, thread.item, "assay", "hello", "op", NULL), 0);
	assert_int_equal(tracker_post(runs->tracker, thread.item, "assay", "hello", "op", NULL), 0);
	assert_int_equal(tracker_link_pull(runs->tracker, thread.item, 3, NULL), 0);
	assert_int_equal(tracker_set_state(runs->tracker, thread.item, "closed", NULL), 0);
	assert_int_equal(tracker_claim(runs->tracker, thread.item, "r1", NULL), -1);
	AUTO_JSON after = tracker_fetch(runs->tracker, thread.item, NULL);

	assert_int_equal(json_array_size(json_member(after, "comments")), 1);
	assert_int_equal(json_number(after, "pull", 0), 3);
	assert_null(tracker_fetch(runs->tracker, "ELSE-2", &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

/* ---- what goes out ---- */

static void say(const char *operation, const char *what, const char *text)
{
	AUTO_THREAD thread = {0};
	AUTO_TX tx = {0};

	thread_load_only(&thread);
	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(
		thread_say_in(runs, &tx, &thread, operation, false, json_pack("{s:s, s:s}", "say", what, "text", text), NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

static int64_t waiting(const char *status)
{
	int64_t count = -1;
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &count, 0, "SELECT count(*) FROM outbox WHERE status = ? AND operation LIKE 'op%'",
					  VALUES(V(status)), NULL),
			 0);
	return count;
}

static void work(void)
{
	bool did = true;

	while (did) {
		struct err err = {0};

		if (effects_work(runs, &did, &err))
			fail_msg("%s", err.text);
	}
}

/* Until nothing waits any more, or it never will. */
static void work_to_the_end(void)
{
	for (int i = 0; i < 10 && waiting("queued"); i++) {
		work();
		ahead_ms += STEP_MS;
	}
	assert_int_equal(waiting("queued"), 0);
}

static void speak_once(const char *answer, bool happens)
{
	take(server.row->given);
	(void)run_begin();
	server.answer = answer;
	server.happens = happens;
	say("op1", "response", "Done.");
	work();
}

static void whatever_goes_wrong_once_it_is_said_once(void)
{
	const struct {
		const char *answer;
		bool happens;
		int tries;
	} rows[] = {
		{NULL, false, 1},
		{"HTTP/1.1 500 Oh\r\n\r\n{\"errors\":[]}", false, 2},
		{"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\n\r\n<html>", false, 2},
		{"HTTP/1.1 200 OK\r\n\r\n<html>", false, 2},
		{"", false, 2},
		{"", true, server.row->known ? 2 : 1}, /* it happened, and nobody heard of it */
		{"HTTP/1.1 502 Bad\r\n\r\n<html>", true, server.row->known ? 2 : 1},
		{server.row->refuses_token, false, 2},
		{server.row->limits, false, 2},
	};
	const struct tracker_row *row = server.row;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bench_end();
		bench_begin(row);
		speak_once(rows[i].answer, rows[i].happens);
		work_to_the_end();
		if (waiting("sent") != 1 || server.count != 1 || server.tries != rows[i].tries)
			fail_msg("%s, row %zu: %lld sent, %d made in %d tries", row->kind, i, (long long)waiting("sent"),
				 server.count, server.tries);
	}
}

static void an_announced_limit_is_waited_for_and_no_longer(void)
{
	speak_once(server.row->limits, false);
	assert_int_equal(server.tries, 1);
	ahead_ms += 20000;
	work();
	assert_int_equal(server.tries, 1);
	ahead_ms += 11000;
	work();
	assert_int_equal(server.tries, 2);
	assert_int_equal(waiting("sent"), 1);
}

static void what_is_refused_for_good_is_not_tried_again(void)
{
	speak_once(
		"HTTP/1.1 400 Bad\r\n\r\n{\"errorMessages\":[\"no\"],\"errors\":[{\"message\":\"no\",\"extensions\":{\"code\":\"INVALID_INPUT\"}}]}",
		false);
	ahead_ms += STEP_MS;
	work();
	assert_int_equal(server.tries, 1);
	assert_int_equal(waiting("dead"), 1);
}

static int64_t alive_count(void)
{
	int64_t count = -1;
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(
		store_number_get(&tx, &count, 0, "SELECT count(*) FROM outbox WHERE operation LIKE '%/alive/%'", NO_VALUES, NULL),
		0);
	return count;
}

/* Before half an hour, after which Linear shows a session as stale; once for each silence, and not while people are waited for. */
static void a_long_silence_is_broken_before_the_session_is_stale(void)
{
	struct err err = {0};

	take(server.row->given);
	(void)run_begin();
	say("op1", "thought", "I look at it.");
	work();
	assert_true(THREAD_SILENCE_MS < 30 * 60 * 1000);
	ahead_ms += THREAD_SILENCE_MS - STEP_MS;
	assert_int_equal(threads_keep_alive(runs, &err), 0);
	assert_int_equal(alive_count(), 0);
	ahead_ms += 2 * STEP_MS;
	assert_int_equal(threads_keep_alive(runs, &err), 0);
	assert_int_equal(threads_keep_alive(runs, &err), 0);
	assert_int_equal(alive_count(), 1);
	work();
	assert_int_equal(threads_keep_alive(runs, &err), 0);
	assert_int_equal(alive_count(), 1);
	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
		assert_int_equal(store_run(&tx, "UPDATE run SET state = 'review'", NO_VALUES, NULL), 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
	ahead_ms += 2 * THREAD_SILENCE_MS;
	assert_int_equal(threads_keep_alive(runs, &err), 0);
	assert_int_equal(alive_count(), 1);
}

/* The first try, and the pause after it, are longer than the link is good. */
static void a_link_that_is_sent_late_is_the_one_of_then(void)
{
	AUTO_THREAD thread = {0};
	json_t *speech = json_pack("{s:s, s:s}", "say", "response", "text", "Preview: https://e000000000e.preview.test/?assay=1");

	take(server.row->given);
	(void)run_begin();
	preview_shown_add(speech, "e000000000e", "https://e000000000e.preview.test/?assay=1");
	server.answer = "HTTP/1.1 500 Oh\r\n\r\n{\"errors\":[]}";
	thread_load_only(&thread);
	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
		assert_int_equal(thread_say_in(runs, &tx, &thread, "op1", false, speech, NULL), 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
	fake.link = 1;
	work();
	assert_non_null(strstr(server.last, "/?assay=1"));
	fake.link = 2;
	work_to_the_end();
	fake.link = 0;
	assert_int_equal(waiting("sent"), 1);
	assert_non_null(strstr(server.last, "/?assay=2"));
	assert_null(strstr(server.last, "/?assay=1"));
}

static void progress_is_as_many_messages_as_the_service_shows_it_in(void)
{
	take(server.row->given);
	(void)run_begin();
	say("op1", "thought", "One.");
	work();
	say("op2", "thought", "Two.");
	say("op2", "thought", "Two.");
	work_to_the_end();
	assert_int_equal(server.count, server.row->thoughts);
	say("op3", "response", "Done.");
	work_to_the_end();
	assert_int_equal(server.count, server.row->thoughts + 1);
}

static void what_came_of_an_answer_is_said(void)
{
	AUTO_THREAD thread = {0};
	AUTO_TX tx = {0};

	take(server.row->given);
	(void)run_begin();
	thread_load_only(&thread);
	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(thread_say_in(runs, &tx, &thread, "op1", false,
				       json_pack("{s:s, s:s, s:b, s:s}", "say", "decide", "hold", "h1", "allow", 1, "author", "A"),
				       NULL),
			 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	work_to_the_end();
	assert_int_equal(waiting("sent"), 2);
	assert_int_equal(server.count, 1);
}

/* Whatever an agent says, its words are one line here, and keep nothing else from being said. */
static void no_words_are_too_many_or_too_odd(void)
{
	char odd[4000];

	memset(odd, 1, sizeof(odd) - 1);
	odd[sizeof(odd) - 1] = '\0';
	take(server.row->given);
	(void)run_begin();
	for (int i = 0; i < 40; i++) {
		AUTO_FREE char *operation = text_format("op%d", i);

		memset(odd, i % 4 == 0 ? 1 : i % 4 == 1 ? '"' : i % 4 == 2 ? '\\' : '\t', sizeof(odd) - 1);
		say(operation, "thought", odd);
	}
	work_to_the_end();
	assert_int_equal(waiting("sent"), 40);
	assert_int_equal(waiting("dead"), 0);
}

/* What is known of it is of that place. */
static void a_connection_stays_where_it_was_allowed(void)
{
	struct err err = {0};

	if (strcmp(server.row->kind, "linear") == 0)
		return; /* it has many workspaces */
	assert_null(runs_permission(runs, connection.id, "http://127.0.0.1:7420/connect/back", true, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
}

static int refused(void *self, const char *file, struct view bytes, char **url, struct err *err)
{
	(void)self;
	(void)file;
	(void)bytes;
	(void)url;
	return err_set(err, ERR_RETRY, "no room");
}

static void a_picture_that_cannot_be_brought_keeps_no_words_back(void **state)
{
	static const struct {
		int tries;
		int64_t blocked_until_ms;
		int wanted;
	} rows[] = {{1, 0, -1}, {3, 0, -1}, {4, 0, 0}, {40, 0, 0}, {4, 1, -1}};
	struct digest digest = digest_of(VIEW("x"));

	(void)state;
	bench_begin(&trackers[0]);
	take(trackers[0].given);
	{
		struct run_id run = run_begin();
		AUTO_TX tx = {0};

		assert_int_equal(kept_bytes_put(runs, &digest, VIEW("x"), NULL), 0);
		assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
		assert_int_equal(
			store_run(&tx, "INSERT INTO picture (id, run, name, digest, bytes, time_ms) VALUES ('p1', ?, 'n', ?, 1, 1)",
				  VALUES(V(run.text), V(digest.text)), NULL),
			0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct outbox_effect effect = {.operation = "op", .tries = rows[i].tries};
		struct outbox_answer answer = {.blocked_until_ms = rows[i].blocked_until_ms};
		AUTO_JSON speech = json_pack("{s:[{s:s, s:s}]}", "pictures", "id", "p1", "name", "n");
		struct speaking speaking = {.runs = runs, .effect = &effect, .speech = speech, .answer = &answer};
		AUTO_BUF text = buf_new(1000);
		AUTO_JSON pictures = NULL;
		struct err err = {0};

		speaking.thread.connection = connection.id;
		speaking.thread.account = connection.id;
		pictures = voice_pictures(&speaking, refused, &err);
		if ((pictures ? 0 : -1) != rows[i].wanted)
			fail_msg("row %zu: %s", i, err.text);
		voice_pictures_write(pictures, true, &text);
		if (!rows[i].wanted)
			assert_string_equal(text.at, "\n\n(A picture of `n` could not be brought here: no room)");
		assert_int_equal(err.kind == ERR_NONE, rows[i].wanted == 0);
	}
	bench_end();
}

/* Of the projects that are at code hosts it is told which there are, and its surest guess is taken. */
static void linear_is_asked_which_repository(void **state)
{
	struct outbox_answer answer = {0};
	struct speaking speaking = {.answer = &answer};
	AUTO_FREE char *repository = NULL;
	struct err err = {0};

	(void)state;
	bench_begin(&trackers[0]);
	take(trackers[0].given);
	thread_load_only(&speaking.thread);
	speaking.runs = runs;
	assert_int_equal(voice_linear.suggest(&speaking, &repository, &err), 0);
	assert_null(repository); /* there is none to choose from */
	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
		assert_int_equal(store_run(&tx,
					   "INSERT INTO repository (name, connection, remote, url, branch, judges) VALUES"
					   " ('shop-here', 'c', 'acme/shop', 'https://github.com/acme/shop', 'main', 0)",
					   NO_VALUES, NULL),
				 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
	if (voice_linear.suggest(&speaking, &repository, &err))
		fail_msg("%s", err.text);
	assert_string_equal(repository, "shop-here");
	thread_fini(&speaking.thread);
	bench_end();
}

/* ---- all of them ---- */

static void every_tracker(void (*promise)(void))
{
	for (size_t i = 0; i < ARRAY_LEN(trackers); i++) {
		bench_begin(&trackers[i]);
		promise();
		bench_end();
	}
}

#define PROMISE(name)                         \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		every_tracker(name);          \
	}

PROMISE(given_work_is_taken_once_and_a_thought_is_put_first)
PROMISE(a_word_is_for_the_run_and_stop_silences_all_but_its_end)
PROMISE(what_is_taken_away_ends)
PROMISE(its_issue_keeps_what_trackers_promise)
PROMISE(whatever_goes_wrong_once_it_is_said_once)
PROMISE(an_announced_limit_is_waited_for_and_no_longer)
PROMISE(what_is_refused_for_good_is_not_tried_again)
PROMISE(a_long_silence_is_broken_before_the_session_is_stale)
PROMISE(a_link_that_is_sent_late_is_the_one_of_then)
PROMISE(progress_is_as_many_messages_as_the_service_shows_it_in)
PROMISE(what_came_of_an_answer_is_said)
PROMISE(no_words_are_too_many_or_too_odd)
PROMISE(a_connection_stays_where_it_was_allowed)

static int group_setup(void **state)
{
	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	server_begin();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	server_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_work_is_taken_once_and_a_thought_is_put_first),
		cmocka_unit_test(test_a_word_is_for_the_run_and_stop_silences_all_but_its_end),
		cmocka_unit_test(test_what_is_taken_away_ends),
		cmocka_unit_test(test_its_issue_keeps_what_trackers_promise),
		cmocka_unit_test(test_whatever_goes_wrong_once_it_is_said_once),
		cmocka_unit_test(test_an_announced_limit_is_waited_for_and_no_longer),
		cmocka_unit_test(test_what_is_refused_for_good_is_not_tried_again),
		cmocka_unit_test(test_a_long_silence_is_broken_before_the_session_is_stale),
		cmocka_unit_test(test_a_link_that_is_sent_late_is_the_one_of_then),
		cmocka_unit_test(test_progress_is_as_many_messages_as_the_service_shows_it_in),
		cmocka_unit_test(test_what_came_of_an_answer_is_said),
		cmocka_unit_test(test_no_words_are_too_many_or_too_odd),
		cmocka_unit_test(test_a_connection_stays_where_it_was_allowed),
		cmocka_unit_test(linear_is_asked_which_repository),
		cmocka_unit_test(a_picture_that_cannot_be_brought_keeps_no_words_back),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
