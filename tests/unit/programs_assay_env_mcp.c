/* The Model Context Protocol by lines: what each is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "programs/assay_env_mcp.h"

struct heard {
	struct buf sent; /* lines */
	struct buf called;
	struct buf cancelled;
};

static void on_send(void *self, const json_t *message)
{
	struct heard *heard = self;

	json_format(&heard->sent, message);
	buf_add_char(&heard->sent, '\n');
}

static int on_call(void *self, const json_t *id, const struct env_verb *verb, const json_t *arguments, const json_t *token,
		   struct err *err)
{
	struct heard *heard = self;

	buf_add_format(&heard->called, "%s ", verb->name);
	json_format(&heard->called, arguments);
	buf_add_format(&heard->called, " %s ", json_is_string(id) ? json_string_value(id) : "number");
	buf_add_text(&heard->called, token ? "token" : "none");
	return strcmp(verb->name, "logs") == 0 ? err_set(err, ERR_LIMIT, "8 calls are under way") : 0;
}

static void on_cancel(void *self, const json_t *id)
{
	struct heard *heard = self;

	json_t *holder = json_pack("{s:O}", "id", id);

	json_format(&heard->cancelled, holder);
	json_decref(holder);
}

#define REQUEST(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

static const struct {
	const char *line;
	const char *sent; /* is in the answer; NULL: none */
	const char *called;
	const char *cancelled;
} rows[] = {
	{REQUEST("initialize", "{\"protocolVersion\":\"2025-06-18\"}"), "\"protocolVersion\":\"2025-06-18\"", NULL, NULL},
	{REQUEST("initialize", "{\"protocolVersion\":\"1999-01-01\"}"), "\"protocolVersion\":\"2025-11-25\"", NULL, NULL},
	{REQUEST("initialize", "{}"), "\"capabilities\":{\"tools\":", NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", NULL, NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}", "\"id\":\"p\",\"result\":{}}", NULL, NULL},
	{REQUEST("server/discover", "{}"), "\"code\":-32601", NULL, NULL},
	{REQUEST("tools/list", "{}"), "\"name\":\"screenshot\"", NULL, NULL},
	{REQUEST("tools/list", "{}"), "\"enum\":[\"hang\",\"slow\",\"reset\",\"lost\",\"503\",\"list\",\"clear\"]", NULL, NULL},
	{REQUEST("tools/call", "{\"name\":\"sql\",\"arguments\":{\"database\":\"db\",\"statement\":\"SELECT 1\"}}"), NULL,
	 "sql {\"database\":\"db\",\"statement\":\"SELECT 1\"} number none", NULL},
	{REQUEST("tools/call", "{\"name\":\"status\",\"_meta\":{\"progressToken\":\"t\"}}"), NULL, "status", NULL},
	{REQUEST("tools/call", "{\"name\":\"status\",\"_meta\":{\"progressToken\":\"t\"}}"), NULL, "number token", NULL},
	{REQUEST("tools/call", "{\"name\":\"sql\",\"arguments\":{\"database\":\"db\"}}"), "sql needs `statement`", NULL, NULL},
	{REQUEST("tools/call", "{\"name\":\"sql\",\"arguments\":{\"databse\":\"db\"}}"), "\"isError\":true", NULL, NULL},
	{REQUEST("tools/call", "{\"name\":\"logs\",\"arguments\":{\"lines\":-1}}"), "`lines` must be a number of 0 or more", NULL,
	 NULL},
	{REQUEST("tools/call", "{\"name\":\"logs\",\"arguments\":[]}"), "must be an object", NULL, NULL},
	{REQUEST("tools/call", "{\"name\":\"logs\"}"), "8 calls are under way", "logs", NULL},
	{REQUEST("tools/call", "{\"name\":\"rm\"}"), "\"code\":-32602", NULL, NULL},
	{REQUEST("tools/call", "7"), "\"code\":-32602", NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":4}}", NULL, NULL, "{\"id\":4}"},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}", NULL, NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}", NULL, NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"id\":9}", "\"code\":-32600", NULL, NULL},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", "\"code\":-32600", NULL, NULL},
	{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", "\"id\":1,\"error\":{\"code\":-32600", NULL, NULL},
	{"[]", "\"code\":-32600", NULL, NULL},
	{"{\"jsonrpc\"", "\"id\":null,\"error\":{\"code\":-32700", NULL, NULL},
	{"  \r", NULL, NULL, NULL},
};

static void each_line_is_answered_as_the_protocol_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct heard heard = {buf_new(1 << 20), buf_new(1 << 20), buf_new(1 << 20)};
		const struct mcp mcp = {on_send, on_call, on_cancel, &heard};

		mcp_line(&mcp, view_of(rows[i].line));
		if (rows[i].sent ? !heard.sent.at || !strstr(heard.sent.at, rows[i].sent) : heard.sent.length > 0)
			fail_msg("%s: answered %s", rows[i].line, heard.sent.at ? heard.sent.at : "nothing");
		if (rows[i].called ? !heard.called.at || !strstr(heard.called.at, rows[i].called) : heard.called.length > 0)
			fail_msg("%s: called %s", rows[i].line, heard.called.at ? heard.called.at : "nothing");
		if (rows[i].cancelled ? !heard.cancelled.at || strcmp(heard.cancelled.at, rows[i].cancelled) != 0
				      : heard.cancelled.length > 0)
			fail_msg("%s: cancelled %s", rows[i].line, heard.cancelled.at ? heard.cancelled.at : "nothing");
		buf_fini(&heard.sent);
		buf_fini(&heard.called);
		buf_fini(&heard.cancelled);
	}
}

static void an_answer_has_text_and_a_picture(void **state)
{
	struct heard heard = {buf_new(1 << 20), buf_new(1 << 20), buf_new(1 << 20)};
	const struct mcp mcp = {on_send, on_call, on_cancel, &heard};
	json_t *id = json_integer(3);

	(void)state;
	mcp_answer(&mcp, id, "page.png", "QUJD", false);
	mcp_progress(&mcp, id, 2, "start web");
	assert_string_equal(
		heard.sent.at,
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"page.png\"},"
		"{\"type\":\"image\",\"data\":\"QUJD\",\"mimeType\":\"image/png\"}],\"isError\":false}}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":2,\"progressToken\":3,"
		"\"message\":\"start web\"}}\n");
	json_decref(id);
	buf_fini(&heard.sent);
}

static void keep(void *self, struct view bytes)
{
	buf_add_view(self, bytes);
}

static void long_output_loses_its_middle(void **state)
{
	AUTO_BUF kept = buf_new(1 << 20);
	struct env_output output = env_output_new(keep, &kept);
	size_t most = ENV_OUTPUT_HEAD + ENV_OUTPUT_TAIL;
	char *text = mem_new(most * 3);

	(void)state;
	memset(text, 'x', most * 3);
	memcpy(text, "begin", 5);
	memcpy(text + most * 3 - 3, "end", 3);
	for (size_t at = 0; at < most * 3; at += most / 7) /* in pieces */
		env_output_add(&output, view_make(text + at, at + most / 7 < most * 3 ? most / 7 : most * 3 - at));
	env_output_end(&output);
	assert_true(kept.length > most && kept.length < most + 100);
	assert_true(view_starts(buf_view(&kept), VIEW("begin")) && view_ends(buf_view(&kept), VIEW("end")));
	assert_true(view_find(buf_view(&kept), VIEW("[131072 bytes are left out here]")) > 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_is_answered_as_the_protocol_says),
		cmocka_unit_test(an_answer_has_text_and_a_picture),
		cmocka_unit_test(long_output_loses_its_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
