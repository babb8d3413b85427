/* Tokens, as the vendors' answers count them. The answers are shaped after the examples of the vendors' references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/egress/meter.h"

struct row {
	const char *path;
	const char *answer;
	bool counted;
	struct meter_usage usage;
};

static const struct row rows[] = {
	{"/v1/messages",
	 "{\"id\": \"msg_1\", \"type\": \"message\", \"role\": \"assistant\", \"model\": \"claude-sonnet-4-5\", \"content\": [{\"type\": \"text\", \"text\": "
	 "\"\\\"usage\\\": {\\\"input_tokens\\\": 9999}\"}, {\"type\": \"tool_use\", \"input\": {\"usage\": {\"input_tokens\": 8888}, \"model\": \"x\"}}],"
	 " \"usage\": {\"input_tokens\": 2095, \"cache_creation_input_tokens\": 7, \"cache_read_input_tokens\": 11, \"output_tokens\": 503}}",
	 true,
	 {"claude-sonnet-4-5", 2095, 503, 11, 7, false}},
	{"/v1/messages",
	 "event: message_start\ndata: {\"type\": \"message_start\", \"message\": {\"id\": \"m\", \"model\": \"claude-opus-4-1\", \"content\": [], "
	 "\"usage\": {\"input_tokens\": 25, \"output_tokens\": 1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"
	 "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\r\n\r\n"
	 "event: message_delta\ndata: {\"type\": \"message_delta\", \"delta\": {\"stop_reason\": \"end_turn\"}, \"usage\": {\"output_tokens\": 15}}\n\n"
	 "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n",
	 true,
	 {"claude-opus-4-1", 25, 15, 0, 0, false}},
	{"/v1/chat/completions",
	 "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"gpt-4.1\",\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":19,"
	 "\"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":4}}}",
	 true,
	 {"gpt-4.1", 15, 10, 4, 0, false}},
	{"/openai/v1/chat/completions",
	 "data: {\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
	 "data: {\"model\":\"gpt-4o\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
	 true,
	 {"gpt-4o", 8, 2, 0, 0, false}},
	{"/v1/chat/completions",
	 "data: {\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"model\":\"gpt-4o\",\"choices\":[]}\n\n",
	 true,
	 {"gpt-4o", 100, 2, 0, 0, true}},
	{"/v1/responses",
	 "{\"id\":\"resp_1\",\"model\":\"gpt-5\",\"output\":[{\"content\":[{\"text\":\"t\"}]}],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":"
	 "{\"cached_tokens\":6},\"output_tokens\":87,\"output_tokens_details\":{\"reasoning_tokens\":3},\"total_tokens\":123}}",
	 true,
	 {"gpt-5", 30, 87, 6, 0, false}},
	{"/v1/responses",
	 "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"gpt-5\",\"usage\":null}}\n\n"
	 "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":37,"
	 "\"output_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":0}}}}\n\n",
	 true,
	 {"gpt-5", 37, 11, 0, 0, false}},
	{"/v1beta/models/gemini-2.5-pro:generateContent",
	 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"usageMetadata\":{\"promptTokenCount\":100,\"candidatesTokenCount\":20,"
	 "\"thoughtsTokenCount\":30,\"cachedContentTokenCount\":40,\"totalTokenCount\":150},\"modelVersion\":\"gemini-2.5-pro\"}",
	 true,
	 {"gemini-2.5-pro", 60, 50, 40, 0, false}},
	{"/v1beta/models/gemini-2.5-pro:streamGenerateContent",
	 "[{\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":1}},\n{\"candidates\":[],\"usageMetadata\":"
	 "{\"promptTokenCount\":4,\"candidatesTokenCount\":9},\"modelVersion\":\"gemini-2.5-pro\"}]",
	 true,
	 {"gemini-2.5-pro", 4, 9, 0, 0, false}},
	{"/v1/messages", "{\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}", false, {"", 0, 0, 0, 0, false}},
	{"/v1/messages",
	 "{\"usage\": {\"input_tokens\": -5, \"output_tokens\": 99999999999999999999}}",
	 false,
	 {"", 0, 0, 0, 0, false}},
};

static void every_dialect_is_counted_in_pieces_of_any_size(void **state)
{
	static const size_t steps[] = {1, 7, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(steps); i++) {
		const struct row *row = &rows[i / ARRAY_LEN(steps)];
		const struct egress_request request = {.method = VIEW("POST"), .path = view_of(row->path)};
		struct meter *meter = meter_new(&request);
		struct meter_usage usage;
		size_t step = steps[i % ARRAY_LEN(steps)];

		assert_non_null(meter);
		meter_request(meter, 400);
		for (size_t at = 0; at < strlen(row->answer); at += step)
			meter_feed(meter,
				   view_make(row->answer + at, strlen(row->answer) - at < step ? strlen(row->answer) - at : step));
		if (meter_take(meter, &usage) != row->counted)
			fail_msg("%s: %.60s", row->path, row->answer);
		if (row->counted) {
			assert_string_equal(usage.model, row->usage.model);
			assert_int_equal(usage.input, row->usage.input);
			assert_int_equal(usage.output, row->usage.output);
			assert_int_equal(usage.cache_read, row->usage.cache_read);
			assert_int_equal(usage.cache_write, row->usage.cache_write);
			assert_int_equal(usage.estimated, row->usage.estimated);
		}
		meter_free(meter);
	}
}

static void the_calls_of_a_web_socket_are_added(void **state)
{
	static const char *const messages[] = {
		"{\"type\":\"response.create\",\"response\":{\"model\":\"gpt-5\"}}",
		"{\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}",
		"{\"type\":\"response.output_text.delta\",\"delta\":\"usage\"}",
		"{\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":20,\"output_tokens\":2}}}",
	};
	const struct egress_request request = {.method = VIEW("GET"), .path = VIEW("/v1/responses"), .websocket = true};
	struct meter *meter = meter_new(&request);
	struct meter_usage usage;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		assert_int_equal(meter_message(meter, view_of(messages[i])), i % 2 == 1);
	assert_true(meter_take(meter, &usage));
	assert_int_equal(usage.input, 30);
	assert_int_equal(usage.output, 3);
	assert_false(meter_take(meter, &usage));
	meter_free(meter);
}

static void what_is_no_call_to_a_model_is_not_metered(void **state)
{
	static const struct egress_request requests[] = {
		{.method = VIEW("GET"), .path = VIEW("/v1/messages")},
		{.method = VIEW("POST"), .path = VIEW("/v1/messages/count_tokens")},
		{.method = VIEW("POST"), .path = VIEW("/upload")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		assert_null(meter_new(&requests[i]));
}

static void nesting_without_end_is_not_followed(void **state)
{
	const struct egress_request request = {.method = VIEW("POST"), .path = VIEW("/v1/messages")};
	struct meter *meter = meter_new(&request);
	struct meter_usage usage;

	(void)state;
	for (int i = 0; i < 100000; i++)
		meter_feed(meter, VIEW("{\"usage\":["));
	meter_feed(meter, VIEW("{\"usage\":{\"input_tokens\":1}}"));
	assert_false(meter_take(meter, &usage));
	meter_free(meter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_dialect_is_counted_in_pieces_of_any_size),
		cmocka_unit_test(the_calls_of_a_web_socket_are_added),
		cmocka_unit_test(what_is_no_call_to_a_model_is_not_metered),
		cmocka_unit_test(nesting_without_end_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
