/* Deliveries of outside services: raw bytes, which runs/inbox judges, keeps and acts on. */
#include "runs/inbox.h"

#include <stdlib.h>

#include "base/scope.h"
#include "web/web_priv.h"

#define STATUS_UNSIGNED 401

static const char *header_find(void *self, const char *name)
{
	return http_request_header(self, name);
}

/* The answer is what the source says; an error is one that its sender understands. */
static json_t *take(struct call *call, struct err *err)
{
	const struct webhook_request request = {header_find, (struct http_request *)(uintptr_t)call->request, call->request->body};
	AUTO_FREE char *answer = NULL;

	if (!runs_delivery_take(call->web->options.runs, http_request_param(call->request, "connection"), &request, &answer, err))
		return request_bytes(call, "application/json", view_of(answer));
	if (err->kind == ERR_DENIED) {
		http_reply_problem(call->reply, STATUS_UNSIGNED, err);
		call->answered = true;
	}
	return NULL;
}

const struct row delivery_rows[] = {
	{"POST", "/hooks/{connection}", take, WHO_PAGE | WHO_CLI | WHO_ANYONE, ROLE_VIEWER, .raw_bytes_max = INBOX_BYTES_MAX},
};
const size_t delivery_row_count = ARRAY_LEN(delivery_rows);
