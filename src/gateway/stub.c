/* Stubs. */
#include "gateway/stub.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/fault.h"

#define STUB_BODY_BYTES_MAX ((size_t)16 << 20)

static bool path_fits(const char *pattern, struct view target)
{
	struct view query;
	struct view wanted = view_of(pattern);
	struct view path = strchr(pattern, '?') ? target : view_cut(target, '?', &query);

	if (view_ends(wanted, VIEW("*")))
		return view_starts(path, view_make(wanted.at, wanted.length - 1));
	return view_equal(path, wanted);
}

const json_t *stub_find(const json_t *rows, struct view method, struct view target)
{
	json_t *row;
	size_t index;

	json_array_foreach(rows, index, row) {
		const json_t *request = json_member(row, "request");
		const char *wanted = json_text(request, "method", NULL);

		if (wanted && !view_equal_nocase(method, view_of(wanted)))
			continue;
		if (path_fits(json_text(request, "path", "*"), target))
			return json_member(row, "response");
	}
	return NULL;
}

static void header_add(struct buf *out, const char *name, const char *value)
{
	if (!http_token_valid(view_of(name)) || !http_value_valid(view_of(value)) ||
	    view_equal_nocase(view_of(name), VIEW("content-length")) ||
	    view_equal_nocase(view_of(name), VIEW("transfer-encoding")) || view_equal_nocase(view_of(name), VIEW("connection")))
		return;
	buf_add_format(out, "%s: %s\r\n", name, value);
}

static void headers_format(struct buf *out, const json_t *response)
{
	const json_t *body = json_member(response, "body");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json_member(response, "headers"), name, value)
		if (json_is_string(value))
			header_add(out, name, json_string_value(value));
	if (body && !json_is_string(body) && !strcasestr(buf_view(out).at, "content-type:"))
		buf_add_text(out, "Content-Type: application/json\r\n");
}

enum http_verdict stub_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	struct flow *flow = seam->flow;
	const json_t *rows = env_stub(flow->env, flow->to);
	const json_t *response = stub_find(rows, head->method, head->target);
	const json_t *body = json_member(response, "body");
	int64_t status = json_number(response, "status", 200);
	enum http_verdict verdict = fault_request(seam);
	AUTO_BUF headers = buf_new(HTTP_HEAD_BYTES_MAX);
	AUTO_BUF text = buf_new(STUB_BODY_BYTES_MAX);

	(void)out;
	if (flow->port == 80) {
		free(seam->exchange.url);
		seam->exchange.url = text_format("http://%s%.*s", flow->to, (int)head->target.length, head->target.at);
	}
	if (verdict != HTTP_PASS)
		return verdict;
	if (!response) {
		buf_add_format(&text, "assay: the stub of %s has no row for this request\n", flow->to);
		http_seam_answer(seam, 501, "", buf_view(&text), "no row of the stub fits");
		return HTTP_ANSWER;
	}
	headers_format(&headers, response);
	if (json_is_string(body))
		buf_add(&text, json_string_value(body), json_string_length(body));
	else if (body && !json_is_null(body))
		json_format(&text, body);
	http_seam_answer(seam, status >= 200 && status <= 599 ? (unsigned)status : 500, buf_view(&headers).at, buf_view(&text),
			 NULL);
	return HTTP_ANSWER;
}
