/* A request's head with placeholders anywhere: what the broker lets pass holds none that it did not put away. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/egress/broker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD "xAssay0placeholder0000000000"
#define VALUE "the-real-value-of-the-secret"

static struct broker *broker_make(void)
{
	json_t *list = json_pack("[{s:s,s:s,s:[s],s:s},{s:s,s:s,s:[s],s:s}]", "name", "a", "placeholder", HELD, "for",
				 "* https://a.test/*", "in", "header:x-api-key", "name", "b", "placeholder", "b" HELD, "for",
				 "* https://a.test/*", "in", "query:key");
	struct broker *broker = NULL;
	struct err err;

	if (!list || broker_new(list, &broker, &err))
		abort();
	json_decref(list);
	return broker;
}

/* Lines: the target, then fields "name:value". */
static void request_fill(struct view text, struct egress_request *request, struct egress_field *fields)
{
	struct view rest;
	struct view target = view_cut(text, '\n', &rest);

	request->path = view_cut(target, '?', &request->query);
	if (!request->query.at)
		request->query = VIEW("");
	request->fields = fields;
	while (rest.length && request->field_count < EGRESS_FIELDS_MAX) {
		struct view value;
		struct view name = view_cut(view_cut(rest, '\n', &rest), ':', &value);

		if (value.at)
			fields[request->field_count++] = (struct egress_field){name, value};
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct broker *broker;
	struct egress_field fields[EGRESS_FIELDS_MAX];
	struct egress_request request = {
		.origin = {.env = "e1"}, .host = "a.test", .port = 443, .tls = true, .method = VIEW("POST"), .body_bytes = -1};
	struct vault_release_reply reply = {.value_bytes = sizeof(VALUE) - 1};
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct broker_head head;

	if (!broker)
		broker = broker_make();
	memcpy(reply.value, VALUE, sizeof(VALUE) - 1);
	request_fill(view_make(data, size), &request, fields);
	if (broker_judge(broker, &request, &plan, &verdict) == BROKER_RELEASE) {
		for (size_t i = 0; i < plan.count; i++)
			if (broker_answered(broker, &plan, i, &reply, &verdict))
				abort();
		if (!broker_apply(broker, &plan, &request, &head, &verdict)) {
			struct swap *mask = broker_mask(broker, &plan);

			for (size_t i = 0; i < head.request.field_count; i++) {
				struct buf out = buf_new(1 << 20);

				if (view_find(head.request.fields[i].value, VIEW(CREDENTIAL_MARK)) >= 0)
					abort();
				swap_text(mask, head.request.fields[i].value, &out);
				if (view_find(buf_view(&out), VIEW(VALUE)) >= 0)
					abort();
				buf_fini(&out);
			}
			swap_free(mask);
			broker_head_fini(&head);
		}
	}
	broker_plan_fini(&plan);
	return 0;
}
