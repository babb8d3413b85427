/* Words and rows of refusals. */
#include "gateway/egress/refusal.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/scope.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan.h"
#include "http/codec.h"

#define ALERT_FATAL 2

struct egress_request refusal_sketch(const struct flow *flow, const char *host, uint16_t port)
{
	return (struct egress_request){.origin = env_origin(flow->env, flow->from),
				       .host = host,
				       .port = port,
				       .tls = flow->legs[SIDE_CLIENT].tls || port == 443,
				       .version = 11,
				       .method = VIEW(REFUSAL_METHOD),
				       .path = VIEW(""),
				       .query = VIEW("")};
}

void refusal_format(const struct egress_request *request, const struct egress_verdict *verdict, uint64_t number, bool as_json,
		    struct buf *out)
{
	char id[LEDGER_REQUEST_TEXT_MAX];
	AUTO_FREE char *line = NULL;

	ledger_request_format(number, id);
	line = text_format("assay: %.*s %s://%s%.*s: %s%s%s [rule %s, id %s]", (int)request->method.length, request->method.at,
			   request->tls ? "https" : "http", request->host, (int)request->path.length,
			   request->path.at ? request->path.at : "", verdict->why, verdict->remedy ? "; " : "",
			   verdict->remedy ? verdict->remedy : "", verdict->rule, id);
	if (as_json) {
		AUTO_JSON json = json_pack("{s:{s:s,s:s,s:s,s:s,s:s*}}", "error", "type", "assay_refused", "message", line, "rule",
					   verdict->rule, "id", id, "remedy", verdict->remedy);

		json_format(out, json);
	} else {
		buf_add_text(out, line);
	}
	buf_add_char(out, '\n');
}

/* Does a head that perhaps cannot be read say that JSON is welcome? */
static bool accepts_json(struct view head)
{
	struct view line;

	while (head.length) {
		line = view_cut(head, '\n', &head);
		if (line.length > strlen("accept:") && view_equal_nocase(view_make(line.at, strlen("accept:")), VIEW("accept:")))
			return view_find(line, VIEW("json")) >= 0;
	}
	return false;
}

void refusal_http_format(const struct egress_request *request, const struct egress_verdict *verdict, uint64_t number,
			 struct view head, struct buf *out)
{
	bool as_json = accepts_json(head);
	AUTO_BUF body = buf_new(HTTP_HEAD_BYTES_MAX * 2);

	refusal_format(request, verdict, number, as_json, &body);
	buf_add_format(out,
		       "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\nAssay-Rule: %s\r\nContent-Length: %zu\r\n"
		       "Connection: close\r\n\r\n",
		       verdict->status, http_status_text(verdict->status),
		       as_json ? "application/json" : "text/plain; charset=utf-8", verdict->rule, body.length);
	buf_add_view(out, buf_view(&body));
}

void refusal_alert_format(enum refusal_alert alert, struct buf *out)
{
	const unsigned char record[] = {21, 3, 3, 0, 2, ALERT_FATAL, (unsigned char)alert};

	buf_add(out, record, sizeof(record));
}

uint64_t refusal_connection(struct flow *flow, const char *host, uint16_t port, const struct egress_verdict *verdict)
{
	struct env *env = flow->env;
	char shown[SCAN_SHOWN_BYTES];
	struct egress_request request;
	uint64_t number = record_request(flow->worker);
	AUTO_EXCHANGE exchange = {0};

	scan_name_show(env, host, shown);
	request = refusal_sketch(flow, shown, port);
	record_verdict(flow->worker, number, &request, verdict);
	env_denied(env, flow->from, shown, port, verdict->why);
	env_exchange_begin(env, &exchange, flow->from, shown, "tcp");
	exchange.t0_ms = flow->t0_ms;
	exchange.dt_us = worker_now_us() - flow->begun_us;
	exchange.command = text_format("connect %u", port);
	exchange.error = text_format("denied: %s", verdict->why);
	exchange_header_add(&exchange.response_headers, VIEW("assay-rule"), view_of(verdict->rule));
	exchange_log_add(env->log, &exchange);
	return number;
}
