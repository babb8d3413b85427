/* The tool API. */
#include "gateway/tools.h"

#include "base/scope.h"
#include "gateway/seams/http.h"
#include "net/socket.h"

static enum http_verdict tools_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	static const char *const dropped[] = {"x-assay-", "x-forwarded-", NULL};
	struct worker *worker = seam->flow->worker;
	struct err err;
	int fd;

	if (head->target.at[0] != '/') {
		http_seam_answer(seam, 400, "", VIEW("assay: the target must start with /\n"), NULL);
		return HTTP_ANSWER;
	}
	if (seam->flow->legs[SIDE_SERVER].fd < 0) {
		if (!worker->tool_socket || socket_connect_unix(worker->tool_socket, &fd, &err)) {
			http_seam_answer(seam, 503, "Retry-After: 1\r\n", VIEW("assay: the tool API is not there\n"), NULL);
			return HTTP_ANSWER;
		}
		flow_server_set(seam->flow, fd, false);
	}
	buf_add_view(out, head->method);
	buf_add_char(out, ' ');
	buf_add_view(out, head->target);
	buf_add_format(out, " HTTP/1.%u\r\n", head->minor);
	http_fields_write(out, head, dropped);
	buf_add_format(out, "X-Assay-Env: %s\r\nX-Assay-Sandbox: %s\r\n\r\n", seam->flow->env->id, seam->flow->from);
	return HTTP_PASS;
}

static const struct http_seam_hooks tools_hooks = {.request = tools_request};

void tools_begin(struct flow *flow)
{
	flow->to = text_copy(MESSAGE_TOOL_HOST);
	http_seam_begin(flow, &tools_hooks, NULL);
}
