/* Atlassian's documents: made from Markdown, read as Markdown, and whatever strangers make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "trackers/adf.h"

#define TEXT_MAX ((size_t)1 << 20)

static void markdown_becomes_a_document(void **state)
{
	static const struct {
		const char *markdown;
		const char *content;
	} rows[] = {
		{"", "[]"},
		{"plain", "[{'type':'paragraph','content':[{'type':'text','text':'plain'}]}]"},
		{"a\nb",
		 "[{'type':'paragraph','content':[{'type':'text','text':'a'},{'type':'hardBreak'},{'type':'text','text':'b'}]}]"},
		{"a\r\n\r\nb",
		 "[{'type':'paragraph','content':[{'type':'text','text':'a'}]},{'type':'paragraph','content':[{'type':'text','text':'b'}]}]"},
		{"## Head", "[{'type':'heading','content':[{'type':'text','text':'Head'}],'attrs':{'level':2}}]"},
		{"#no", "[{'type':'paragraph','content':[{'type':'text','text':'#no'}]}]"},
		{"- one\n- two",
		 "[{'type':'bulletList','content':[{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':'one'}]}]},"
		 "{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':'two'}]}]}]}]"},
		{"1. one",
		 "[{'type':'orderedList','content':[{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':'one'}]}]}]}]"},
		{"```c\nint x;\n```\nafter",
		 "[{'type':'codeBlock','attrs':{'language':'c'},'content':[{'type':'text','text':'int x;'}]},"
		 "{'type':'paragraph','content':[{'type':'text','text':'after'}]}]"},
		{"```\nnever ends", "[{'type':'codeBlock','content':[{'type':'text','text':'never ends'}]}]"},
		{"---", "[{'type':'rule'}]"},
		{"> said", "[{'type':'blockquote','content':[{'type':'paragraph','content':[{'type':'text','text':'said'}]}]}]"},
		{"|a|\n|-|\n|b|",
		 "[{'type':'table','content':[{'type':'tableRow','content':[{'type':'tableHeader','content':[{'type':'paragraph','content':"
		 "[{'type':'text','text':'a'}]}]}]},{'type':'tableRow','content':[{'type':'tableCell','content':[{'type':'paragraph','content':"
		 "[{'type':'text','text':'b'}]}]}]}]}]"},
		{"a **b** `c*`",
		 "[{'type':'paragraph','content':[{'type':'text','text':'a '},{'type':'text','text':'b','marks':[{'type':'strong'}]},"
		 "{'type':'text','text':' '},{'type':'text','text':'c*','marks':[{'type':'code'}]}]}]"},
		{"[x](https://a.test/b) http://c.test.",
		 "[{'type':'paragraph','content':[{'type':'text','text':'x','marks':[{'type':'link','attrs':{'href':'https://a.test/b'}}]},"
		 "{'type':'text','text':' '},{'type':'text','text':'http://c.test','marks':[{'type':'link','attrs':{'href':'http://c.test'}}]},"
		 "{'type':'text','text':'.'}]}]"},
		{"[x](javascript:alert)", "[{'type':'paragraph','content':[{'type':'text','text':'[x](javascript:alert)'}]}]"},
		{"2 * 3 ** 4 [", "[{'type':'paragraph','content':[{'type':'text','text':'2 * 3 ** 4 ['}]}]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON document = adf_of_markdown(view_of(rows[i].markdown));
		AUTO_FREE char *wanted = text_format("%s", rows[i].content);
		AUTO_BUF text = buf_new(TEXT_MAX);

		for (char *at = wanted; *at; at++)
			*at = *at == '\'' ? '"' : *at;
		AUTO_JSON content = json_parse(view_of(wanted), NULL);
		assert_non_null(content);
		json_format(&text, json_member(document, "content"));
		if (!json_equal(content, json_member(document, "content")))
			fail_msg("%s:\n%s\n%s", rows[i].markdown, text.at, wanted);
		assert_string_equal(json_text(document, "type", ""), "doc");
		assert_int_equal(json_number(document, "version", 0), 1);
	}
}

static void a_long_text_is_cut_between_characters(void **state)
{
	AUTO_BUF text = buf_new(TEXT_MAX);
	AUTO_BUF back = buf_new(TEXT_MAX);

	(void)state;
	buf_add_char(&text, 'x');
	while (text.length < ADF_MARKDOWN_BYTES_MAX + 100)
		buf_add_text(&text, "ä");
	AUTO_JSON document = adf_of_markdown(buf_view(&text));
	adf_text(document, NULL, &back);
	assert_non_null(strstr(back.at, "cut here"));
	assert_null(strstr(back.at, "\xef\xbf\xbd"));
}

static void a_document_is_read_as_markdown(void **state)
{
	static const struct {
		const char *document;
		const char *text;
	} rows[] = {
		{"null", ""},
		{"[]", ""},
		{"'plain [~accountid:us] text'", "plain  text"},
		{"'plain [~accountid:them] text'", "plain [~accountid:them] text"},
		{"{'type':'doc','content':[{'type':'paragraph','content':[{'type':'text','text':'a'},{'type':'hardBreak'},{'type':'text','text':"
		 "'b','marks':[{'type':'link','attrs':{'href':'https://x.test'}}]}]},{'type':'heading','attrs':{'level':3},'content':"
		 "[{'type':'text','text':'h'}]}]}",
		 "a\n[b](https://x.test)\n\n### h"},
		{"{'content':[{'type':'orderedList','content':[{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':"
		 "'one'}]},{'type':'bulletList','content':[{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':"
		 "'in'}]}]}]}]},{'type':'listItem','content':[{'type':'paragraph','content':[{'type':'text','text':'two'}]}]}]}]}",
		 "1. one\n  - in\n2. two"},
		{"{'content':[{'type':'codeBlock','attrs':{'language':'c'},'content':[{'type':'text','text':'```'}]}]}",
		 "````c\n```\n````"},
		{"{'content':[{'type':'taskList','content':[{'type':'taskItem','attrs':{'state':'DONE'},'content':[{'type':'text','text':'x'}]}]}]}",
		 "- [x] x"},
		{"{'content':[{'type':'mention','attrs':{'id':'us','text':'@Us'}},{'type':'mention','attrs':{'id':'al','text':'@Al'}}]}",
		 "@Al"},
		{"{'content':[{'type':'table','content':[{'type':'tableRow','content':[{'type':'tableCell','content':[{'type':'paragraph','content':"
		 "[{'type':'text','text':'a'}]}]},{'type':'tableCell','content':[]}]}]}]}",
		 "| a |  |"},
		{"{'content':[{'type':'rocket','content':[{'type':'panel','content':[{'type':'text','text':'kept'}]}]}]}", "kept"},
		{"{'type':7,'content':{'type':'text','text':'no list'}}", ""},
		{"{'content':[{'type':'blockquote','content':[{'type':'paragraph','content':[{'type':'text','text':'q'}]}]}]}",
		 "> q"},
		{"{'content':[{'type':'media','attrs':{'alt':'a.png'}},{'type':'inlineCard','attrs':{'url':'https://c.test'}}]}",
		 "[a file: a.png]\nhttps://c.test"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = text_format("{\"d\":%s}", rows[i].document);
		AUTO_BUF out = buf_new(TEXT_MAX);

		for (char *at = text; *at; at++)
			*at = *at == '\'' ? '"' : *at;
		AUTO_JSON holder = json_parse(view_of(text), NULL);
		assert_non_null(holder);
		adf_text(json_member(holder, "d"), "us", &out);
		assert_string_equal(out.at ? out.at : "", rows[i].text);
	}
}

static void a_mention_is_found_wherever_it_is(void **state)
{
	AUTO_JSON document = adf_of_markdown(VIEW("hello"));
	AUTO_JSON old = json_string("see [~accountid:us]");

	(void)state;
	assert_false(adf_mentions(document, "us"));
	adf_mention_first(document, "us", "Us");
	assert_true(adf_mentions(document, "us"));
	assert_false(adf_mentions(document, "them"));
	assert_true(adf_mentions(old, "us"));
	assert_false(adf_mentions(old, "u"));
	assert_false(adf_mentions(NULL, "us"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(markdown_becomes_a_document),
		cmocka_unit_test(a_long_text_is_cut_between_characters),
		cmocka_unit_test(a_document_is_read_as_markdown),
		cmocka_unit_test(a_mention_is_found_wherever_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
