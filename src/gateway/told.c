/* What programs say of themselves. */
#include "gateway/told.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/seams/http.h"
#include "http/telemetry.h"
#include "net/messages.h"

#define LINE_BYTES ((size_t)512) /* of a line, beside its texts */
#define ESCAPED_MAX ((size_t)6)  /* what a byte of a text may become in it */
#define ANSWER_MAX ((size_t)1024)
#define WIRE_TEXT_MAX ((size_t)127) /* its length is one byte */

enum told_signal { TOLD_TRACES, TOLD_LOGS, TOLD_METRICS };

struct told {
	enum told_signal signal;
	enum telemetry_coding coding;
	bool gzip;
	struct buf body;
	struct env *env; /* by which the body is counted; NULL: there is none */
};

static const struct {
	const char *path;
	const char *method; /* of its lines of the log */
	const char *rejected;
} signals[] = {
	[TOLD_TRACES] = {"/v1/traces", "span", "rejectedSpans"},
	[TOLD_LOGS] = {"/v1/logs", "line", "rejectedLogRecords"},
	[TOLD_METRICS] = {"/v1/metrics", "metric", "rejectedDataPoints"},
};

static void body_drop(struct told *told)
{
	if (told->env)
		told->env->told_held -= told->body.length;
	told->env = NULL;
	buf_fini(&told->body);
	told->body = buf_new(TELEMETRY_BODY_MAX);
}

/* A field of a message whose number is below 16. */
static void wire_text(struct buf *out, unsigned field, struct view text)
{
	size_t length = text.length < WIRE_TEXT_MAX ? text.length : WIRE_TEXT_MAX;

	buf_add_char(out, (char)(field << 3 | 2));
	buf_add_char(out, (char)length);
	buf_add(out, text.at, length);
}

static void wire_number(struct buf *out, unsigned field, uint64_t number)
{
	buf_add_char(out, (char)(field << 3));
	for (; number > 0x7f; number >>= 7)
		buf_add_char(out, (char)(number | 0x80));
	buf_add_char(out, (char)number);
}

static void answer(struct http_seam *seam, unsigned status, const char *more, const struct buf *body)
{
	const struct told *told = seam->self;
	AUTO_FREE char *headers = text_format("Content-Type: application/%s\r\n%s",
					      told->coding == TELEMETRY_JSON ? "json" : "x-protobuf", more);

	body_drop(seam->self);
	http_seam_answer(seam, status, headers, buf_view(body), NULL);
}

/* By a google.rpc.Status, as OTLP wants it. What is still to come of the body is not waited for. */
static void refuse(struct http_seam *seam, unsigned status, const char *more, const char *why)
{
	const struct told *told = seam->self;
	AUTO_JSON json = json_pack("{s:s}", "message", why);
	AUTO_BUF body = buf_new(ANSWER_MAX);

	if (told->coding == TELEMETRY_JSON)
		json_format(&body, json);
	else
		wire_text(&body, 2, view_of(why));
	seam->expect_continue = true;
	answer(seam, status, more, &body);
}

/* `why` NULL: of all of it something was made. */
static void take(struct http_seam *seam, size_t rejected, const char *why)
{
	const struct told *told = seam->self;
	AUTO_FREE char *number = text_format("%zu", rejected);
	AUTO_JSON json = why ? json_pack("{s:{s:s,s:s}}", "partialSuccess", signals[told->signal].rejected, number, "errorMessage",
					 why)
			     : json_object();
	AUTO_BUF partial = buf_new(ANSWER_MAX);
	AUTO_BUF body = buf_new(ANSWER_MAX);

	if (told->coding == TELEMETRY_JSON) {
		json_format(&body, json);
	} else if (why) {
		if (rejected)
			wire_number(&partial, 1, rejected);
		wire_text(&partial, 2, view_of(why));
		wire_text(&body, 1, buf_view(&partial));
	}
	answer(seam, 200, "", &body);
}

static void id_add(struct exchange *line, const char *name, const unsigned char *id, size_t length)
{
	char text[2 * SPAN_TRACE_BYTES + 1] = "";
	unsigned char any = 0;

	for (size_t i = 0; i < length; i++) {
		(void)snprintf(text + 2 * i, 3, "%02x", id[i]);
		any |= id[i];
	}
	if (any)
		exchange_header_add(&line->request_headers, view_of(name), view_of(text));
}

static void number_add(struct exchange *line, const char *name, uint64_t number)
{
	AUTO_FREE char *text = text_format("%llu", (unsigned long long)number);

	if (number)
		exchange_header_add(&line->request_headers, view_of(name), view_of(text));
}

/* As an exchange without a phase: method "span" or "line", its text as the url, the rest as headers. */
static void item_log(struct flow *flow, enum told_signal signal, const struct telemetry_item *item)
{
	AUTO_EXCHANGE line = {0};

	env_exchange_begin(flow->env, &line, flow->from, flow->to, MESSAGE_PROTO_TOLD);
	free(TAKE(line.phase));
	line.method = text_copy(signals[signal].method);
	line.url = text_copy(item->text);
	if (item->service[0])
		exchange_header_add(&line.request_headers, VIEW("service"), view_of(item->service));
	id_add(&line, "trace", item->trace, sizeof(item->trace));
	id_add(&line, "span", item->id, sizeof(item->id));
	id_add(&line, "parent", item->parent, sizeof(item->parent));
	number_add(&line, "begun_ns", item->begun_ns);
	number_add(&line, "ended_ns", item->ended_ns);
	number_add(&line, "severity", item->severity);
	number_add(&line, "failed", item->failed);
	exchange_log_add(flow->env->log, &line);
}

/* Those for which there is room; how many there was none for. */
static size_t items_log(struct flow *flow, enum told_signal signal, const struct telemetry *telemetry)
{
	struct env *env = flow->env;

	for (size_t i = 0; i < telemetry->count; i++) {
		const struct telemetry_item *item = &telemetry->items[i];
		size_t bytes = LINE_BYTES + ESCAPED_MAX * (strlen(item->text) + strlen(item->service));

		if (bytes > TOLD_BYTES_MAX - env->told_bytes)
			return telemetry->count - i;
		env->told_bytes += bytes;
		item_log(flow, signal, item);
	}
	return 0;
}

/* Reading is what the loop that all environments share is held up by: each has only so much of it. */
static int body_read(const struct told *told, struct env *env, struct telemetry *telemetry, struct err *err)
{
	enum telemetry_signal signal = told->signal == TOLD_LOGS ? TELEMETRY_LOGS : TELEMETRY_TRACES;
	AUTO_BUF plain = buf_new(TELEMETRY_BODY_MAX);
	int result = told->gzip ? telemetry_gunzip(&plain, buf_view(&told->body), err) : 0;

	env->told_read += told->body.length + plain.length;
	return result ? -1 : telemetry_parse(signal, told->coding, buf_view(told->gzip ? &plain : &told->body), telemetry, err);
}

static void body_whole(struct http_seam *seam)
{
	const struct told *told = seam->self;
	struct env *env = seam->flow->env;
	AUTO_TELEMETRY telemetry = {0};
	struct err err;
	size_t rejected;

	if (told->signal == TOLD_METRICS) {
		take(seam, 0, NULL);
	} else if (env->told_read >= TOLD_READ_MAX) {
		take(seam, 0, "this environment has said more than is read: nothing is kept");
	} else if (body_read(told, env, &telemetry, &err)) {
		refuse(seam, err.kind == ERR_LIMIT ? 413 : 400, "", err.text);
	} else {
		rejected = items_log(seam->flow, told->signal, &telemetry);
		take(seam, rejected, rejected ? "this environment has said more than is kept" : NULL);
	}
}

static void told_body(struct http_seam *seam, struct view data, bool whole)
{
	struct told *told = seam->self;
	struct env *env = seam->flow->env;

	if (data.length > TELEMETRY_BODY_MAX - told->body.length) {
		refuse(seam, 413, "", "the body is over 4 MiB");
		return;
	}
	if (data.length > TOLD_HELD_MAX - env->told_held) {
		refuse(seam, 503, "Retry-After: 1\r\n", "too many requests of this environment are under way");
		return;
	}
	told->env = env;
	env->told_held += data.length;
	buf_add_view(&told->body, data);
	if (whole)
		body_whole(seam);
}

/* False: it is none that is understood; *status and *why say it. */
static bool head_read(struct told *told, const struct http_head *head, unsigned *status, const char **why)
{
	struct view type = view_trim(view_cut(http_head_field(head, "content-type"), ';', &(struct view){0}));
	struct view encoding = view_trim(http_head_field(head, "content-encoding"));
	struct view path = view_cut(head->target, '?', &(struct view){0});
	size_t signal = 0;

	told->coding = view_equal_nocase(type, VIEW("application/json")) ? TELEMETRY_JSON : TELEMETRY_PROTOBUF;
	told->gzip = view_equal_nocase(encoding, VIEW("gzip"));
	while (signal < ARRAY_LEN(signals) && !view_is(path, signals[signal].path))
		signal++;
	if (signal == ARRAY_LEN(signals)) {
		*status = 404;
		*why = "there are /v1/traces, /v1/logs and /v1/metrics";
	} else if (!view_is(head->method, "POST")) {
		*status = 405;
		*why = "it takes POST";
	} else if (told->coding != TELEMETRY_JSON && !view_equal_nocase(type, VIEW("application/x-protobuf"))) {
		*status = 415;
		*why = "the media type must be application/x-protobuf or application/json";
	} else if (encoding.length && !told->gzip && !view_equal_nocase(encoding, VIEW("identity"))) {
		*status = 415;
		*why = "the coding of the content must be gzip or identity";
	} else if (head->framing == HTTP_BODY_LENGTH && head->content_length > TELEMETRY_BODY_MAX) {
		*status = 413;
		*why = "the body is over 4 MiB";
	} else {
		told->signal = (enum told_signal)signal;
		return true;
	}
	return false;
}

static enum http_verdict told_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	unsigned status;
	const char *why;

	(void)out;
	body_drop(seam->self);
	if (head_read(seam->self, head, &status, &why))
		return HTTP_TAKE;
	refuse(seam, status, status == 405 ? "Allow: POST\r\n" : "", why);
	return HTTP_ANSWER;
}

static void told_release(void *self)
{
	struct told *told = self;

	body_drop(told);
	buf_fini(&told->body);
	free(told);
}

static const struct http_seam_hooks told_hooks = {.request = told_request, .body = told_body, .release = told_release};

void told_begin(struct flow *flow)
{
	struct told *told = mem_new(sizeof(*told));

	told->body = buf_new(TELEMETRY_BODY_MAX);
	flow->to = text_copy(MESSAGE_TOLD_HOST);
	http_seam_begin(flow, &told_hooks, told);
}
