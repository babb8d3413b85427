/*
 * HTTP seams.
 *
 * Theory of operation: what comes from a side is parsed from its input buffer (or in place, when that is empty) as far as the state
 * allows. A request head is taken only when no exchange is open; while one is, further bytes of the client wait unread. Bodies pass in
 * their own framing, so nothing is buffered and nothing re-chunked; the decoder only finds their end and their content for the log.
 */
#include "gateway/seams/http.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/fault.h"

#define INPUT_BYTES_MAX (SCRATCH_BYTES * 2 + HTTP_HEAD_BYTES_MAX)

static const char *const methods[] = {"GET ",   "POST ",    "PUT ",      "HEAD ",   "DELETE ", "PATCH ",  "OPTIONS ",
				      "TRACE ", "CONNECT ", "PROPFIND ", "REPORT ", "MKCOL ",  "SEARCH ", "PURGE "};

bool http_looks(struct view bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (view_starts(bytes, view_of(methods[i])))
			return true;
	return false;
}

bool http_looks_more(struct view bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (bytes.length < strlen(methods[i]) && view_starts(view_of(methods[i]), bytes))
			return true;
	return false;
}

void http_plain_format(struct buf *out, unsigned status, const char *text, bool keep_alive)
{
	buf_add_format(
		out,
		"HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: %zu\r\n"
		"%s\r\n%s",
		status, http_status_text(status), strlen(text), keep_alive ? "" : "Connection: close\r\n", text);
}

static bool field_dropped(struct view name, const char *const *drop)
{
	for (; drop && *drop; drop++) {
		struct view wanted = view_of(*drop);

		if (view_ends(wanted, VIEW("-"))
			    ? name.length >= wanted.length && view_equal_nocase(view_make(name.at, wanted.length), wanted)
			    : view_equal_nocase(name, wanted))
			return true;
	}
	return false;
}

void http_fields_write(struct buf *out, const struct http_head *head, const char *const *drop)
{
	for (size_t i = 0; i < head->field_count; i++) {
		if (field_dropped(head->fields[i].name, drop))
			continue;
		buf_add_view(out, head->fields[i].name);
		buf_add_text(out, ": ");
		buf_add_view(out, head->fields[i].value);
		buf_add_text(out, "\r\n");
	}
}

static void count_set(struct http_seam *seam, bool counted)
{
	if (seam->counted == counted || !seam->flow->env)
		return;
	seam->counted = counted;
	seam->flow->env->in_flight += counted ? 1 : (uint64_t)-1;
}

/* Logs the exchange, whatever there is of it. */
static void exchange_close(struct http_seam *seam, const char *error)
{
	struct env *env = seam->flow->env;

	if (!seam->open)
		return;
	seam->open = false;
	count_set(seam, false);
	seam->exchange.dt_us = worker_now_us() - seam->begun_us;
	if (error && !seam->exchange.error)
		seam->exchange.error = text_copy(error);
	if (seam->hooks->logged && env && !env->gone)
		exchange_log_add(env->log, &seam->exchange);
	exchange_fini(&seam->exchange);
}

static void client_resume(struct http_seam *seam);

/* Both halves are whole: the exchange is over. */
static void exchange_check(struct http_seam *seam)
{
	struct flow *flow = seam->flow;
	bool ends = !seam->keep_alive || seam->until_close || seam->answer_close;

	if (!seam->open || seam->request_state != REQUEST_DONE || seam->response_state != RESPONSE_DONE)
		return;
	exchange_close(seam, NULL);
	seam->request_state = REQUEST_HEAD;
	seam->response_state = RESPONSE_HEAD;
	if (seam->hooks->done)
		seam->hooks->done(seam);
	/* Where the server's end is passed on, it says itself when the connection is over. */
	if (ends && (seam->hooks->owns_server || flow->legs[SIDE_SERVER].fd < 0))
		flow_finish(flow);
	else if (flow->legs[SIDE_CLIENT].ended && !seam->input[SIDE_CLIENT].length &&
		 (seam->hooks->owns_server || flow->legs[SIDE_SERVER].fd < 0))
		flow_finish(flow);
}

/* The client learns nothing of what was done for it. */
static void answer_lose(struct http_seam *seam)
{
	flow_close(seam->flow, "fault: the response was lost");
}

static void answer_send(struct http_seam *seam)
{
	if (seam->lose) {
		answer_lose(seam);
		return;
	}
	flow_write(seam->flow, SIDE_CLIENT, buf_view(&seam->answer));
	buf_clear(&seam->answer);
	seam->response_sent = true;
	seam->response_state = RESPONSE_DONE;
	exchange_check(seam);
}

void http_seam_answer(struct http_seam *seam, unsigned status, const char *headers, struct view body, const char *error)
{
	const char *type = strcasestr(headers, "content-type:");
	bool head = seam->exchange.method && strcmp(seam->exchange.method, "HEAD") == 0;
	bool whole = seam->request_state == REQUEST_DONE;
	struct view rest = view_of(headers);
	bool waited = seam->waiting;

	seam->waiting = false;
	/* A client that waits for leave to send its body gets the answer at once, and then the end. */
	seam->answer_close = !seam->keep_alive || (!whole && seam->expect_continue);
	buf_add_format(&seam->answer, "HTTP/1.1 %u %s\r\n%s%sContent-Length: %zu\r\n%s\r\n", status, http_status_text(status),
		       type ? "" : "Content-Type: text/plain; charset=utf-8\r\n", headers, body.length,
		       seam->answer_close ? "Connection: close\r\n" : "");
	if (!head)
		buf_add_view(&seam->answer, body);
	seam->exchange.status = (int)status;
	while (rest.at && rest.length) {
		struct view value;
		struct view name = view_cut(view_cut(rest, '\n', &rest), ':', &value);

		if (value.at)
			exchange_header_add(&seam->exchange.response_headers, name, view_trim(value));
	}
	exchange_body_add(&seam->exchange.response_body, body);
	if (error)
		seam->exchange.error = text_copy(error);
	if (!whole && seam->expect_continue)
		seam->request_state = REQUEST_DONE;
	if (seam->request_state == REQUEST_DONE)
		answer_send(seam);
	if (waited)
		client_resume(seam);
}

static void exchange_fill(struct http_seam *seam, const struct http_head *head)
{
	struct exchange *exchange = &seam->exchange;

	exchange->method = view_copy(head->method);
	exchange->url = view_copy(head->target);
	for (size_t i = 0; i < head->field_count; i++)
		exchange_header_add(&exchange->request_headers, head->fields[i].name, head->fields[i].value);
}

/* What cannot be parsed is not passed on. */
static void request_bad(struct http_seam *seam, const struct err *err)
{
	AUTO_FREE char *line = text_format("assay: the request was refused: %s\n", err->text);
	AUTO_FREE char *error = text_format("bad request: %s", err->text);
	AUTO_BUF out = buf_new(4096);
	bool sent = seam->open && seam->response_sent;

	if (!seam->open && seam->flow->env) {
		env_exchange_begin(seam->flow->env, &seam->exchange, seam->flow->from, seam->flow->to, "http");
		seam->begun_us = worker_now_us();
		seam->open = true;
	}
	exchange_close(seam, error);
	if (sent) {
		flow_close(seam->flow, error);
		return;
	}
	http_plain_format(&out, err->kind == ERR_LIMIT ? 431 : 400, line, false);
	flow_write(seam->flow, SIDE_CLIENT, buf_view(&out));
	flow_finish(seam->flow);
}

/* The hooks take the request: nobody else gives leave to send its body. */
static void taken_begin(struct http_seam *seam)
{
	bool whole = seam->request_state == REQUEST_DONE;

	if (seam->expect_continue && !whole)
		flow_write(seam->flow, SIDE_CLIENT, VIEW("HTTP/1.1 100 Continue\r\n\r\n"));
	seam->expect_continue = false;
	if (whole)
		seam->hooks->body(seam, VIEW(""), true);
}

static void request_begin(struct http_seam *seam, const struct http_head *head, struct view raw)
{
	enum http_verdict verdict;

	if (seam->hooks->enter)
		seam->hooks->enter(seam, head);
	if (seam->flow->env)
		env_exchange_begin(seam->flow->env, &seam->exchange, seam->flow->from, seam->flow->to, "http");
	exchange_fill(seam, head);
	seam->open = true;
	seam->begun_us = worker_now_us();
	seam->keep_alive = head->keep_alive;
	seam->expect_continue = head->expect_continue;
	seam->upgrade = head->upgrade || view_is(head->method, "CONNECT");
	seam->until_close = seam->response_sent = seam->answer_close = seam->lose = seam->taken = false;
	http_body_init(&seam->request_body, head);
	seam->request_state = http_body_ended(&seam->request_body) ? REQUEST_DONE : REQUEST_BODY;
	seam->response_state = RESPONSE_HEAD;
	buf_clear(&seam->head);
	buf_clear(&seam->answer);
	verdict = seam->hooks->request(seam, head, &seam->head);
	if (seam->flow->closed || !seam->open)
		return;
	seam->taken = verdict == HTTP_TAKE;
	if (seam->taken) {
		taken_begin(seam);
		return;
	}
	count_set(seam, true);
	if (!seam->head.length)
		buf_add_view(&seam->head, raw);
	if (verdict == HTTP_PASS && !seam->answer.length)
		flow_write(seam->flow, SIDE_SERVER, buf_view(&seam->head));
	seam->waiting = verdict == HTTP_WAIT;
}

/* Takes a piece of the request's body; how much of it. */
static size_t request_body_take(struct http_seam *seam, struct view bytes)
{
	struct view data;
	struct err err;
	size_t used;
	enum http_result result = http_body_feed(&seam->request_body, bytes, &used, &data, &err);

	if (result == HTTP_BAD) {
		request_bad(seam, &err);
		return bytes.length;
	}
	exchange_body_add(&seam->exchange.request_body, data);
	if (seam->taken) {
		if (result == HTTP_DONE)
			seam->request_state = REQUEST_DONE;
		seam->hooks->body(seam, data, result == HTTP_DONE);
		return used;
	}
	if (!seam->answer.length)
		flow_write(seam->flow, SIDE_SERVER, view_make(bytes.at, used));
	if (result == HTTP_DONE) {
		seam->request_state = REQUEST_DONE;
		if (seam->answer.length)
			answer_send(seam);
		else
			exchange_check(seam);
	}
	return used;
}

/* Takes a request head; how much of the bytes, 0 when more are needed. */
static size_t request_head_take(struct http_seam *seam, struct view bytes)
{
	struct http_head head;
	struct err err;
	enum http_result result = http_request_parse(bytes, &seam->scanned[SIDE_CLIENT], &head, &err);

	if (result == HTTP_MORE)
		return 0;
	seam->scanned[SIDE_CLIENT] = 0;
	if (result == HTTP_BAD) {
		request_bad(seam, &err);
		return bytes.length;
	}
	request_begin(seam, &head, view_make(bytes.at, head.bytes));
	return head.bytes;
}

/* Is the flow still this seam's? It may have been closed, finished, or handed on. */
static bool alive(const struct http_seam *seam)
{
	return !seam->flow->closed && seam->flow->state == seam;
}

/* As many of the client's bytes as can be taken now. */
static size_t client_take(struct http_seam *seam, struct view bytes)
{
	size_t done = 0;

	while (alive(seam) && done < bytes.length && !seam->waiting) {
		struct view rest = view_make(bytes.at + done, bytes.length - done);
		size_t used;

		if (seam->upgraded) {
			flow_write(seam->flow, SIDE_SERVER, rest);
			return bytes.length;
		}
		if (seam->request_state == REQUEST_HEAD && !seam->open)
			used = request_head_take(seam, rest);
		else if (seam->request_state == REQUEST_BODY)
			used = request_body_take(seam, rest);
		else
			break;
		if (!used)
			break;
		done += used;
	}
	return done;
}

/* The client is not read while what it sent already cannot be taken. */
static void client_pause(struct http_seam *seam)
{
	bool stuck = seam->waiting || seam->open;

	if (alive(seam))
		flow_pause(seam->flow, SIDE_CLIENT, stuck && seam->input[SIDE_CLIENT].length);
}

static void side_feed(struct http_seam *seam, enum side side, struct view bytes, size_t (*take)(struct http_seam *, struct view))
{
	struct buf *input = &seam->input[side];
	size_t done;

	if (input->length) {
		buf_add_view(input, bytes);
		done = take(seam, buf_view(input));
		if (alive(seam))
			buf_drop_front(input, done);
	} else {
		done = take(seam, bytes);
		if (alive(seam) && done < bytes.length)
			buf_add(input, bytes.at + done, bytes.length - done);
	}
	if (input->over && alive(seam))
		flow_close(seam->flow, "a message that does not end");
}

static void client_resume(struct http_seam *seam)
{
	if (!alive(seam))
		return;
	if (seam->input[SIDE_CLIENT].length)
		side_feed(seam, SIDE_CLIENT, (struct view){"", 0}, client_take);
	client_pause(seam);
}

void http_seam_go(struct http_seam *seam)
{
	seam->waiting = false;
	flow_write(seam->flow, SIDE_SERVER, buf_view(&seam->head));
	client_resume(seam);
}

static void response_bad(struct http_seam *seam, const char *why)
{
	AUTO_FREE char *line = text_format("assay: the response of %s was refused: %s\n", seam->flow->to ? seam->flow->to : "?",
					   why);
	AUTO_FREE char *error = text_format("bad response: %s", why);
	AUTO_BUF out = buf_new(4096);
	bool sent = seam->response_sent;

	exchange_close(seam, error);
	if (sent) {
		flow_close(seam->flow, error);
		return;
	}
	http_plain_format(&out, 502, line, false);
	flow_write(seam->flow, SIDE_CLIENT, buf_view(&out));
	flow_finish(seam->flow);
}

static void upgrade_begin(struct http_seam *seam)
{
	exchange_close(seam, NULL);
	seam->upgraded = true;
	buf_clear(&seam->head);
	client_resume(seam);
	seam->flow->passes = true;
}

static void response_begin(struct http_seam *seam, const struct http_head *head, struct view raw)
{
	AUTO_BUF out = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	struct view type = http_head_field(head, "content-type");
	bool tunnel = seam->upgrade &&
		      (head->status == 101 || (strcmp(seam->exchange.method, "CONNECT") == 0 && head->status / 100 == 2));

	if (head->status / 100 == 1 && !tunnel) {
		if (head->status == 101)
			response_bad(seam, "it switches protocols unasked");
		else if (!seam->hooks->interim_bare)
			flow_write(seam->flow, SIDE_CLIENT, raw);
		else if (head->status == 100 && seam->expect_continue)
			flow_write(seam->flow, SIDE_CLIENT, VIEW("HTTP/1.1 100 Continue\r\n\r\n"));
		return;
	}
	seam->exchange.status = (int)head->status;
	for (size_t i = 0; i < head->field_count; i++)
		exchange_header_add(&seam->exchange.response_headers, head->fields[i].name, head->fields[i].value);
	if (seam->lose) {
		answer_lose(seam);
		return;
	}
	http_body_init(&seam->response_body, head);
	seam->until_close = head->framing == HTTP_BODY_UNTIL_CLOSE;
	seam->keep_alive = seam->keep_alive && (head->keep_alive || seam->hooks->owns_server);
	if (seam->hooks->response)
		seam->hooks->response(seam, head, &out);
	flow_write(seam->flow, SIDE_CLIENT, out.length ? buf_view(&out) : raw);
	seam->response_sent = true;
	if (tunnel) {
		upgrade_begin(seam);
		return;
	}
	/* A stream of events may never end: it does not keep the environment from being called quiet. */
	if (view_starts(type, VIEW("text/event-stream")))
		count_set(seam, false);
	seam->response_state = http_body_ended(&seam->response_body) ? RESPONSE_DONE : RESPONSE_BODY;
	exchange_check(seam);
}

static size_t response_head_take(struct http_seam *seam, struct view bytes)
{
	struct http_head head;
	struct err err;
	enum http_result result = http_response_parse(bytes, &seam->scanned[SIDE_SERVER], view_of(seam->exchange.method), &head,
						      &err);

	if (result == HTTP_MORE)
		return 0;
	seam->scanned[SIDE_SERVER] = 0;
	if (result == HTTP_BAD) {
		response_bad(seam, err.text);
		return bytes.length;
	}
	response_begin(seam, &head, view_make(bytes.at, head.bytes));
	return head.bytes;
}

static size_t response_body_take(struct http_seam *seam, struct view bytes)
{
	struct view data;
	struct err err;
	size_t used;
	enum http_result result = http_body_feed(&seam->response_body, bytes, &used, &data, &err);

	if (result == HTTP_BAD) {
		response_bad(seam, err.text);
		return bytes.length;
	}
	exchange_body_add(&seam->exchange.response_body, data);
	flow_write(seam->flow, SIDE_CLIENT, view_make(bytes.at, used));
	if (result == HTTP_DONE) {
		seam->response_state = RESPONSE_DONE;
		exchange_check(seam);
	}
	return used;
}

static size_t server_take(struct http_seam *seam, struct view bytes)
{
	size_t done = 0;

	while (alive(seam) && done < bytes.length) {
		struct view rest = view_make(bytes.at + done, bytes.length - done);
		size_t used;

		if (seam->upgraded) {
			flow_write(seam->flow, SIDE_CLIENT, rest);
			return bytes.length;
		}
		if (!seam->open || seam->response_state == RESPONSE_DONE) {
			if (seam->hooks->owns_server) {
				flow_server_drop(seam->flow);
				return bytes.length;
			}
			flow_close(seam->flow, "the server sent what was not asked for");
			return bytes.length;
		}
		used = seam->response_state == RESPONSE_HEAD ? response_head_take(seam, rest) : response_body_take(seam, rest);
		if (!used)
			break;
		done += used;
	}
	return done;
}

static void http_data(struct flow *flow, enum side from, struct view bytes)
{
	struct http_seam *seam = flow->state;

	if (from == SIDE_SERVER)
		side_feed(seam, SIDE_SERVER, bytes, server_take);
	else
		side_feed(seam, SIDE_CLIENT, bytes, client_take);
	client_resume(seam);
}

/* The server ended or was lost while it owed a response. */
static bool response_lost(struct http_seam *seam, const char *why)
{
	if (!seam->response_sent && seam->hooks->lost && seam->hooks->lost(seam, why))
		return true;
	exchange_close(seam, why);
	return false;
}

static void server_ended(struct http_seam *seam)
{
	struct flow *flow = seam->flow;

	if (seam->open && seam->response_state == RESPONSE_BODY && seam->until_close) {
		seam->response_state = RESPONSE_DONE;
		if (seam->request_state != REQUEST_DONE)
			seam->request_state = REQUEST_DONE; /* nobody takes the rest of it */
		exchange_check(seam);
	} else if (seam->open && seam->response_state != RESPONSE_DONE) {
		bool sent = seam->response_sent;

		if (response_lost(seam, "the server ended before the response did"))
			return;
		if (sent && seam->hooks->owns_server) {
			flow_close(flow, "the response was cut");
			return;
		}
	}
	if (!alive(seam))
		return;
	if (seam->hooks->owns_server && !seam->upgraded)
		flow_server_drop(flow);
	else
		flow_end(flow, SIDE_CLIENT);
}

static void http_ended(struct flow *flow, enum side from)
{
	struct http_seam *seam = flow->state;

	if (from == SIDE_SERVER)
		server_ended(seam);
	else if (flow->legs[SIDE_SERVER].fd >= 0)
		flow_end(flow, SIDE_SERVER);
	else if (!seam->open || seam->taken) /* what its end comes before is never whole */
		flow_finish(flow);
	if (alive(seam))
		client_resume(seam);
}

static bool http_server_lost(struct flow *flow, const char *why)
{
	struct http_seam *seam = flow->state;

	if (!flow->bytes[SIDE_SERVER] && flow->legs[SIDE_SERVER].fd < 0 && door_dial_again(flow))
		return true;
	if (seam->open && seam->response_state == RESPONSE_DONE) { /* it had said all it wanted, and did not read the rest */
		exchange_close(seam, NULL);
		flow_finish(flow);
		return true;
	}
	if (seam->open && response_lost(seam, why)) {
		client_resume(seam);
		return true;
	}
	if (seam->hooks->owns_server && !seam->open && !seam->upgraded) {
		flow_server_drop(flow);
		return true;
	}
	return false;
}

static void http_closing(struct flow *flow, const char *why)
{
	struct http_seam *seam = flow->state;

	if (seam->open && seam->response_state == RESPONSE_DONE)
		why = NULL; /* it was answered before it was whole */
	else if (!why)
		why = "the client left before the response ended";
	exchange_close(seam, why);
}

static void http_release(void *state)
{
	struct http_seam *seam = state;

	if (seam->hooks->release)
		seam->hooks->release(seam->self);
	exchange_fini(&seam->exchange);
	buf_fini(&seam->input[0]);
	buf_fini(&seam->input[1]);
	buf_fini(&seam->head);
	buf_fini(&seam->answer);
	free(seam);
}

static const struct flow_protocol http_protocol = {"http",           http_data,    http_ended,  NULL,
						   http_server_lost, http_closing, http_release};

void http_seam_begin(struct flow *flow, const struct http_seam_hooks *hooks, void *self)
{
	struct http_seam *seam = mem_new(sizeof(*seam));

	seam->flow = flow;
	seam->hooks = hooks;
	seam->self = self;
	seam->input[0] = buf_new(INPUT_BYTES_MAX);
	seam->input[1] = buf_new(INPUT_BYTES_MAX);
	seam->head = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	seam->answer = buf_new(SIZE_MAX / 4);
	flow_protocol_set(flow, &http_protocol, seam);
}

struct http_seam *http_seam_of(struct flow *flow)
{
	return flow->protocol == &http_protocol ? flow->state : NULL;
}

void http_seam_feed(struct flow *flow, struct view bytes)
{
	http_data(flow, SIDE_CLIENT, bytes);
}

static enum http_verdict plain_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	(void)head;
	(void)out;
	return seam->flow->env && seam->flow->env->faults ? fault_request(seam) : HTTP_PASS;
}

const struct http_seam_hooks http_seam_plain = {.logged = true, .request = plain_request};
