/* Deliveries of outside services: raw bytes, which runs/inbox judges, keeps and acts on. */
#include "runs/inbox.h"

#include <stdlib.h>

#include "base/scope.h"
#include "web/web_priv.h"

#define STATUS_UNSIGNED 401

_Static_assert(HTTP_TOGETHER_MAX <= RUNS_DELIVERIES_MAX, "what is answered together is taken together");

static const char *header_find(void *self, const char *name)
{
	return http_request_header(self, name);
}

/* The answer is what the source says; an error is one that its sender understands. */
static void delivery_answer(struct call *call, struct runs_delivery *delivery, struct err *err)
{
	*err = delivery->failure;
	if (err->kind == ERR_NONE) {
		(void)request_bytes(call, "application/json", view_of(delivery->answer));
	} else if (err->kind == ERR_DENIED) {
		http_reply_problem(call->reply, STATUS_UNSIGNED, err);
		call->answered = true;
	}
	free(delivery->answer);
}

/* All that came meanwhile are kept by one transaction and one write to the disk. */
static void take_all(struct call *const *calls, struct err *const *errors, size_t count)
{
	struct runs_delivery deliveries[HTTP_TOGETHER_MAX];

	for (size_t i = 0; i < count; i++) {
		const struct http_request *request = calls[i]->request;

		deliveries[i] = (struct runs_delivery){
			.connection = http_request_param(request, "connection"),
			.request = {header_find, (struct http_request *)(uintptr_t)request, request->body},
		};
	}
	runs_deliveries_take(calls[0]->web->options.runs, deliveries, count);
	for (size_t i = 0; i < count; i++)
		delivery_answer(calls[i], &deliveries[i], errors[i]);
}

const struct row delivery_rows[] = {
	{"POST", "/hooks/{connection}", NULL, WHO_PAGE | WHO_CLI | WHO_ANYONE, ROLE_VIEWER, .raw_bytes_max = INBOX_BYTES_MAX,
	 .handle_all = take_all},
};
const size_t delivery_row_count = ARRAY_LEN(delivery_rows);
