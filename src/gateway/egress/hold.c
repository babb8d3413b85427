/*
 * Questions and who waits for their answers.
 *
 * Theory of operation: a question is known by its digest, its rule and its sandbox; the waiters are a list of it. It is told to the control
 * plane, which answers with HOLD_ANSWER at any time later; what ends it otherwise (deadline, the last client left, a kill) is told as
 * HOLD_GONE. The waiters are called from a deferred function, so that a caller is never called from within its own call.
 */
#include "gateway/egress/hold.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "gateway/env.h"

#define STATUS_DENIED 403
#define STATUS_BUSY 429
#define STATUS_LARGE 413
#define HOLD_ID_BYTES 12
#define WHY_BYTES 300

struct hold_waiter {
	struct hold_waiter *next;
	struct question *question;
	void (*answered)(void *self, const struct egress_verdict *verdict);
	void *self;
};

struct question {
	struct question *next;
	struct holds *holds;
	char id[HOLD_ID_BYTES];
	char digest[65];
	char rule[EGRESS_RULE_MAX];
	char *sandbox;
	char *host;
	char *method;
	char *path;
	uint16_t port;
	bool tls;
	struct hold_waiter *waiters;
	size_t waiter_count;
	struct loop_timer deadline;
	bool over; /* answered: the waiters are being told */
	struct egress_verdict verdict;
	char why[WHY_BYTES];
};

/* What the control plane's word on a question is for: the environment may be gone when it comes. */
struct asked {
	struct worker *worker;
	char env[64];
	char hold[HOLD_ID_BYTES];
};

struct remembered {
	char rule[EGRESS_RULE_MAX];
	char id[HOLD_ID_BYTES];
	char *host;
	char *method;
	char *path;
	uint16_t port;
	bool tls;         /* what was approved behind TLS is not approved in the clear */
	int64_t until_ms; /* wall clock; 0: while the environment lives */
};

struct holds {
	struct env *env;
	struct question *questions;
	size_t count;
	struct remembered remembered[HOLD_REMEMBERED_MAX];
	size_t remembered_count;
};

struct holds *holds_new(struct env *env)
{
	struct holds *holds = mem_new(sizeof(*holds));

	holds->env = env;
	return holds;
}

static void remembered_fini(struct remembered *remembered)
{
	free(remembered->host);
	free(remembered->method);
	free(remembered->path);
}

static void question_free(void *self)
{
	struct question *question = self;

	while (question->waiters) {
		struct hold_waiter *waiter = question->waiters;

		question->waiters = waiter->next;
		if (waiter->answered)
			waiter->answered(waiter->self, &question->verdict);
		free(waiter);
	}
	free(question->sandbox);
	free(question->host);
	free(question->method);
	free(question->path);
	free(question);
}

/* Leaves the list; its waiters are told at the end of the turn. */
static void question_end(struct question *question, enum egress_action action, const char *rule, const char *why)
{
	struct holds *holds = question->holds;
	struct question **place = &holds->questions;

	while (*place != question)
		place = &(*place)->next;
	*place = question->next;
	holds->count--;
	loop_timer_stop(holds->env->worker->loop, &question->deadline);
	question->over = true;
	(void)snprintf(question->why, sizeof(question->why), "%s", why);
	question->verdict = (struct egress_verdict){
		.action = action,
		.status = STATUS_DENIED,
		.why = question->why,
		.remedy = "ask the person, or do without it; asking again in the same way asks again"};
	(void)snprintf(question->verdict.rule, sizeof(question->verdict.rule), "%s", rule);
	loop_defer(holds->env->worker->loop, question_free, question);
}

static void question_told_gone(const struct question *question, const char *status)
{
	AUTO_JSON body = json_pack("{s:s,s:s,s:s}", "env", question->holds->env->id, "hold", question->id, "status", status);

	link_notify(question->holds->env->worker->link, MESSAGE_HOLD_GONE, body);
}

void holds_deny(struct holds *holds, const char *rule, const char *why)
{
	while (holds->questions) {
		question_told_gone(holds->questions, rule);
		question_end(holds->questions, EGRESS_DENY, rule, why);
	}
}

void holds_free(struct holds *holds)
{
	if (!holds)
		return;
	holds_deny(holds, "gone", "the environment is gone");
	for (size_t i = 0; i < holds->remembered_count; i++)
		remembered_fini(&holds->remembered[i]);
	free(holds);
}

void hold_digest(const struct egress_request *request, struct view body, char digest[65])
{
	AUTO_FREE char *place = text_format("%s://%s:%u", request->tls ? "https" : "http", request->host, (unsigned)request->port);
	size_t count = 6 + (request->field_count + request->trailing_count) * 2, at = 0;
	AUTO_FREE struct view *parts = mem_new_array(count, sizeof(*parts));
	struct digest made;

	parts[at++] = egress_method(request);
	parts[at++] = view_of(place);
	parts[at++] = request->path;
	parts[at++] = request->query;
	parts[at++] = body;
	for (size_t i = 0; i < request->field_count; i++) {
		parts[at++] = request->fields[i].name;
		parts[at++] = request->fields[i].value;
	}
	parts[at++] = VIEW(""); /* no field has this name */
	for (size_t i = 0; i < request->trailing_count; i++) {
		parts[at++] = request->trailing[i].name;
		parts[at++] = request->trailing[i].value;
	}
	made = digest_of_parts(parts, count);
	memcpy(digest, made.text, sizeof(made.text));
}

static bool remembered_fits(const struct remembered *remembered, const struct egress_request *request, const char *rule)
{
	return strcmp(remembered->rule, rule) == 0 && remembered->port == request->port && remembered->tls == request->tls &&
	       strcmp(remembered->host, request->host) == 0 && view_is(egress_method(request), remembered->method) &&
	       view_is(request->path, remembered->path) && (!remembered->until_ms || worker_wall_ms() < remembered->until_ms);
}

bool hold_remembered(struct holds *holds, const struct egress_request *request, struct egress_verdict *verdict)
{
	for (size_t i = 0; i < holds->remembered_count; i++) {
		if (!remembered_fits(&holds->remembered[i], request, verdict->rule))
			continue;
		*verdict = (struct egress_verdict){.action = EGRESS_ALLOW, .why = "a person approved this method and path before"};
		(void)snprintf(verdict->rule, sizeof(verdict->rule), "hold:%s", holds->remembered[i].id);
		return true;
	}
	return false;
}

static struct hold_waiter *refuse(struct egress_verdict *refusal, unsigned status, const char *why, const char *remedy)
{
	*refusal = (struct egress_verdict){.action = EGRESS_DENY, .status = status, .rule = "hold", .why = why, .remedy = remedy};
	return NULL;
}

static void question_expired(struct loop_timer *timer)
{
	struct question *question = (struct question *)((char *)timer - offsetof(struct question, deadline));
	char rule[EGRESS_RULE_MAX];

	(void)snprintf(rule, sizeof(rule), "hold:%s", question->id);
	question_told_gone(question, "expired");
	question_end(question, EGRESS_DENY, rule, "a person had to approve this, and nobody answered in time");
}

/* What the control plane said to the question itself: that it keeps it, or not. */
static void question_taken(void *self, json_t *answer, const struct err *err)
{
	struct asked *asked = self;
	struct env *env = answer ? NULL : env_find(asked->worker, asked->env);
	struct question *question = env ? env->holds->questions : NULL;

	while (question && strcmp(question->id, asked->hold) != 0)
		question = question->next;
	if (question) {
		log_warn("env=%s: a hold could not be asked: %s", env->id, err->text);
		question_end(question, EGRESS_DENY, "hold", "a person would have to approve this, and none can be asked now");
	}
	json_decref(answer);
	free(asked);
}

static json_t *question_json(const struct question *question, const struct egress_request *request,
			     const struct egress_verdict *verdict, struct view body)
{
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:I,s:I,s:s}", "env", question->holds->env->id, "hold",
				 question->id, "sandbox", question->sandbox, "agent",
				 request->origin.agent ? request->origin.agent : "", "run",
				 request->origin.run ? request->origin.run : "", "host", question->host, "port",
				 (int)question->port, "rule", question->rule, "body_bytes", (json_int_t)body.length, "deadline_ms",
				 (json_int_t)(worker_wall_ms() + HOLD_DEADLINE_MS_DEFAULT), "digest", question->digest);

	json_set_bytes(json, "why", view_of(verdict->why ? verdict->why : ""));
	json_set_bytes(json, "method", egress_method(request));
	json_set_bytes(json, "path", request->path);
	json_set_bytes(json, "query", request->query);
	json_set_bytes(json, "body_start", view_make(body.at, body.length < HOLD_SHOWN_BYTES ? body.length : HOLD_SHOWN_BYTES));
	(void)json_object_set_new(json, "tls", json_boolean(request->tls));
	(void)json_object_set_new(json, "remember", json_boolean(strncmp(question->rule, "dlp:", 4) != 0));
	return json;
}

static void id_make(char id[HOLD_ID_BYTES])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char bytes[HOLD_ID_BYTES - 2];

	world_random(world_real, bytes, sizeof(bytes));
	id[0] = 'h';
	for (size_t i = 0; i < sizeof(bytes); i++)
		id[i + 1] = letters[bytes[i] & 31];
	id[HOLD_ID_BYTES - 1] = '\0';
}

static struct question *question_find(struct holds *holds, const char *digest, const char *rule, const char *sandbox)
{
	for (struct question *question = holds->questions; question; question = question->next)
		if (strcmp(question->digest, digest) == 0 && strcmp(question->rule, rule) == 0 &&
		    strcmp(question->sandbox, sandbox) == 0)
			return question;
	return NULL;
}

/* NULL when the control plane cannot be asked. */
static struct question *question_ask(struct holds *holds, const struct egress_request *request,
				     const struct egress_verdict *verdict, struct view body, const char *digest)
{
	struct question *question = mem_new(sizeof(*question));
	struct asked *asked = mem_new(sizeof(*asked));
	struct err err;
	AUTO_JSON json = NULL;

	question->holds = holds;
	id_make(question->id);
	memcpy(question->digest, digest, sizeof(question->digest));
	(void)snprintf(question->rule, sizeof(question->rule), "%s", verdict->rule);
	question->sandbox = text_copy(request->origin.sandbox);
	question->host = text_copy(request->host);
	question->method = view_copy(egress_method(request));
	question->path = view_copy(request->path);
	question->port = request->port;
	question->tls = request->tls;
	question->deadline.expired = question_expired;
	json = question_json(question, request, verdict, body);
	asked->worker = holds->env->worker;
	(void)snprintf(asked->env, sizeof(asked->env), "%s", holds->env->id);
	memcpy(asked->hold, question->id, sizeof(asked->hold));
	if (link_ask(holds->env->worker->link, MESSAGE_HOLD, json, question_taken, asked, &err)) {
		log_warn("env=%s: a hold could not be asked: %s", holds->env->id, err.text);
		free(asked);
		question_free(question);
		return NULL;
	}
	loop_timer_set(holds->env->worker->loop, &question->deadline, HOLD_DEADLINE_MS_DEFAULT);
	question->next = holds->questions;
	holds->questions = question;
	holds->count++;
	return question;
}

struct hold_waiter *hold_park(struct holds *holds, const struct egress_request *request, const struct egress_verdict *verdict,
			      struct view body, void (*answered)(void *self, const struct egress_verdict *verdict), void *self,
			      struct egress_verdict *refusal)
{
	struct question *question;
	struct hold_waiter *waiter;
	char digest[65];

	if (body.length > HOLD_BODY_BYTES_MAX)
		return refuse(refusal, STATUS_LARGE, "a person would have to approve this, and its body is too large to be shown",
			      "send less at once, or ask a person to allow it by a rule");
	hold_digest(request, body, digest);
	question = question_find(holds, digest, verdict->rule, request->origin.sandbox);
	if (!question && holds->count == HOLD_QUESTIONS_MAX)
		return refuse(refusal, STATUS_BUSY, "too many requests of this environment wait for a person",
			      "wait until some of them are answered");
	if (!question)
		question = question_ask(holds, request, verdict, body, digest);
	if (!question)
		return refuse(refusal, STATUS_DENIED, "a person would have to approve this, and none can be asked now",
			      "try again later");
	if (question->waiter_count == HOLD_WAITERS_MAX)
		return refuse(refusal, STATUS_BUSY, "too many requests like this one wait for a person", "wait for its answer");
	waiter = mem_new(sizeof(*waiter));
	*waiter = (struct hold_waiter){question->waiters, question, answered, self};
	question->waiters = waiter;
	question->waiter_count++;
	return waiter;
}

void hold_cancel(struct hold_waiter *waiter)
{
	struct question *question = waiter->question;
	struct hold_waiter **place = &question->waiters;

	waiter->answered = NULL;
	if (question->over) /* freed with it */
		return;
	while (*place != waiter)
		place = &(*place)->next;
	*place = waiter->next;
	free(waiter);
	if (--question->waiter_count == 0) {
		question_told_gone(question, "cancelled");
		question_end(question, EGRESS_DENY, "hold", "nobody waits for it any more");
	}
}

static void remember(struct holds *holds, struct remembered remembered)
{
	if (holds->remembered_count == HOLD_REMEMBERED_MAX) { /* the oldest is asked again */
		remembered_fini(&holds->remembered[0]);
		memmove(&holds->remembered[0], &holds->remembered[1], (HOLD_REMEMBERED_MAX - 1) * sizeof(holds->remembered[0]));
		holds->remembered_count--;
	}
	holds->remembered[holds->remembered_count++] = remembered;
}

int hold_answer(struct holds *holds, const json_t *body, struct err *err)
{
	const char *id = json_text(body, "hold", "");
	const char *scope = json_text(body, "remember", "once");
	const char *by = json_text(body, "by", "a person");
	const char *because = json_text(body, "because", "");
	bool allow = json_flag(body, "allow", false);
	struct question *question = holds->questions;
	char rule[EGRESS_RULE_MAX];

	while (question && strcmp(question->id, id) != 0)
		question = question->next;
	if (!question)
		return err_set(err, ERR_NOT_FOUND, "no request waits for %.20s any more", id);
	if (strcmp(json_text(body, "digest", ""), question->digest) != 0)
		return err_set(err, ERR_CONFLICT, "the answer is to another request than the one that waits");
	if (strcmp(scope, "once") != 0 && strncmp(question->rule, "dlp:", 4) == 0)
		return err_set(err, ERR_INVALID, "what a scanner found is approved once at a time");
	if (allow && strcmp(scope, "once") != 0) {
		struct remembered remembered = {.host = text_copy(question->host),
						.method = text_copy(question->method),
						.path = text_copy(question->path),
						.port = question->port,
						.tls = question->tls,
						.until_ms = json_number(body, "until_ms", 0)};

		memcpy(remembered.rule, question->rule, sizeof(remembered.rule));
		memcpy(remembered.id, question->id, sizeof(remembered.id));
		remember(holds, remembered);
	}
	(void)snprintf(rule, sizeof(rule), "hold:%s", question->id);
	if (allow) {
		question_end(question, EGRESS_ALLOW, rule, "a person approved it");
	} else {
		AUTO_FREE char *why = text_format("%.60s denied it%s%.200s", by, because[0] ? ": " : "", because);

		question_end(question, EGRESS_DENY, rule, why);
	}
	return 0;
}

int holds_remember(struct holds *holds, const json_t *list, struct err *err)
{
	json_t *row;
	size_t index;

	if (list && !json_is_null(list) && (!json_is_array(list) || json_array_size(list) > HOLD_REMEMBERED_MAX))
		return err_set(err, ERR_INVALID, "`remembered` must be a list of at most %d", HOLD_REMEMBERED_MAX);
	while (holds->remembered_count)
		remembered_fini(&holds->remembered[--holds->remembered_count]);
	json_array_foreach(list, index, row) {
		const char *texts[5];
		static const char *const keys[] = {"host", "method", "path", "rule", "hold"};
		int64_t port = json_number(row, "port", 0);
		struct remembered remembered = {
			.port = (uint16_t)port, .tls = json_flag(row, "tls", true), .until_ms = json_number(row, "until_ms", 0)};

		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (json_text_get(row, keys[i], &texts[i], err))
				return -1;
		if (port < 1 || port > 65535 || strncmp(texts[3], "dlp:", 4) == 0)
			return err_set(err, ERR_INVALID, "`remembered` has a row that cannot be one");
		remembered.host = text_copy(texts[0]);
		remembered.method = text_copy(texts[1]);
		remembered.path = text_copy(texts[2]);
		(void)snprintf(remembered.rule, sizeof(remembered.rule), "%s", texts[3]);
		(void)snprintf(remembered.id, sizeof(remembered.id), "%s", texts[4]);
		remember(holds, remembered);
	}
	return 0;
}
