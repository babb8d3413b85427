/* The rules that are built in: each finds what it must and leaves what it must, however the bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/dlp/dlp.h"

static struct dlp_rules *rules;
static struct dlp *dlp;

/* `{}` is there so that the file has nothing in it that scanners take for a secret. */
static char *vector_of(const json_t *rule, const char *key)
{
	AUTO_BUF out = buf_new(1 << 16);
	const char *at = json_text(rule, key, NULL);

	assert_non_null(at);
	for (; *at; at++) {
		if (at[0] == '{' && at[1] == '}')
			at++;
		else
			buf_add_char(&out, *at);
	}
	return buf_take(&out);
}

static bool finds(const char *text, size_t chunk, const char *id)
{
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	const struct dlp_finding *findings;
	size_t length = strlen(text), count;
	bool found = false;

	for (size_t at = 0; at < length; at += chunk)
		(void)dlp_feed(message, view_make(text + at, length - at < chunk ? length - at : chunk));
	dlp_end(message);
	findings = dlp_findings(message, &count);
	for (size_t i = 0; i < count; i++)
		found |= strcmp(findings[i].rule, id) == 0;
	dlp_free(message);
	return found;
}

static void there_are_more_than_two_hundred_rules(void **state)
{
	(void)state;
	assert_true(dlp_rules_count(rules) >= 200);
	assert_int_equal(dlp_rules_count(rules), json_array_size(dlp_rules_built_in()));
}

static void every_rule_finds_its_vector_whole_in_sevens_and_in_single_bytes(void **state)
{
	static const size_t chunks[] = {SIZE_MAX / 2, 7, 1};
	const json_t *rule;
	size_t i, missed = 0;

	(void)state;
	json_array_foreach(dlp_rules_built_in(), i, rule) {
		const char *id = json_text(rule, "id", "");
		AUTO_FREE char *text = vector_of(rule, "found");
		AUTO_FREE char *inside = text_format("{\"text\": \"see %s, please\"}", text);

		for (size_t j = 0; j < ARRAY_LEN(chunks); j++) {
			if (finds(text, chunks[j], id) && finds(inside, chunks[j], id))
				continue;
			print_error("%s: not found in pieces of %zu: %s\n", id, chunks[j], text);
			missed++;
			break;
		}
	}
	assert_int_equal(missed, 0);
}

static void no_rule_finds_what_it_must_not(void **state)
{
	const json_t *rule;
	size_t i, wrong = 0;

	(void)state;
	json_array_foreach(dlp_rules_built_in(), i, rule) {
		const char *id = json_text(rule, "id", "");
		AUTO_FREE char *text = vector_of(rule, "clean");

		if (finds(text, SIZE_MAX / 2, id)) {
			print_error("%s: found in: %s\n", id, text);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_are_more_than_two_hundred_rules),
		cmocka_unit_test(every_rule_finds_its_vector_whole_in_sevens_and_in_single_bytes),
		cmocka_unit_test(no_rule_finds_what_it_must_not),
	};
	struct err err = {.kind = ERR_NONE};
	int failed;

	rules = dlp_rules_new(NULL, false, NULL, &err);
	if (!rules) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	dlp = dlp_new(rules);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	return failed;
}
