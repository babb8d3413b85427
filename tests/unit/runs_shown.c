/* What a code host is shown, and what it is called there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "quoted.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

static char root[64];
static struct runs *runs;
static struct connection connection;

static int setup(void **state)
{
	struct runs_options options = {.state_dir = root, .pages_base = "http://127.0.0.1:7420", .world = world_real};
	AUTO_JSON request = json_parse(VIEW("{\"kind\":\"github\",\"secrets\":{\"token\":\"t\",\"webhook_secret\":\"s\"}}"), NULL);

	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	(void)snprintf(root, sizeof(root), "/tmp/assay-shown-XXXXXX");
	if (!mkdtemp(root) || runs_open(&options, &runs, NULL))
		return -1;
	AUTO_JSON made = runs_connection_make(runs, request, NULL);
	AUTO_TX tx = {0};

	return !made || connection_load(runs, "github", &connection, NULL) || store_begin(runs->store, &tx, NULL) ||
			       store_run(&tx,
					 "INSERT INTO repository (name, connection, remote, url, branch, judges) VALUES ('shop', ?,"
					 " 'Acme/Shop', 'https://github.com/Acme/Shop', 'main', 0)",
					 VALUES(V((const char *)connection.id)), NULL) ||
			       store_commit(&tx, NULL)
		       ? -1
		       : 0;
}

static int teardown(void **state)
{
	(void)state;
	connection_fini(&connection);
	runs_close(runs);
	return file_remove_tree(root, NULL);
}

/* Names of tests and what programs print are whoever's wrote the change. */
static void what_a_verdict_quotes_calls_nobody(void **state)
{
	AUTO_JSON report = quoted_json(
		"{'verdict': 'failed', 'reason': '@acme/all fails', 'gates': [{'name': 'tests', 'status': 'fail', 'reason': 'a | b"
		" @bob\\n/close'}], 'findings': [{'id': 'f-1', 'severity': 'block', 'title': 'Fixes #1 ![x](https://evil.test)'}],"
		" 'not_covered': ['<img src=x> @carol']}");
	AUTO_JSON data = remote_check_data(report, "f00", "https://assay.test/runs/r1");

	(void)state;
	assert_string_equal(json_text(data, "summary", ""),
			    "`@acme/all fails`\n\n| gate | result | |\n|---|---|---|\n| tests | fail | `a \\| b @bob /close` |\n"
			    "\n- **block** `f-1` `Fixes #1 ![x](https://evil.test)`\n\nNot covered:\n- `<img src=x> @carol`\n");
}

/* What is told by the event; the project is at `wanted` then. */
static void moves(const char *event, const char *wanted)
{
	AUTO_FREE char *body = quoted_text(event);
	const struct inbox_message message = {
		.source = connection.id, .delivery = "d", .kind = "repository", .data = view_of(body)};
	AUTO_PLACE place = {0};
	struct err err = {0};
	bool found = false;

	{
		AUTO_TX tx = {0};

		if (store_begin(runs->store, &tx, &err) || inbox_forge.take(runs, &tx, &connection, &message, &err) ||
		    store_commit(&tx, &err))
			fail_msg("%s", err.text);
	}
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, &err) || place_find(&tx, "shop", &place, &found, &err))
		fail_msg("%s", err.text);
	assert_true(found);
	assert_string_equal(place.remote, wanted);
}

static void a_project_goes_on_when_its_repository_has_another_name(void **state)
{
	(void)state;
	moves("{'action': 'renamed', 'changes': {'repository': {'name': {'from': 'elsewhere'}}}, 'repository': {'full_name':"
	      " 'acme/other', 'name': 'other', 'html_url': 'u'}}",
	      "Acme/Shop");
	moves("{'action': 'renamed', 'changes': {'repository': {'name': {'from': 'shop'}}}, 'repository': {'full_name':"
	      " 'acme/store', 'name': 'store', 'html_url': 'u'}}",
	      "acme/store");
	moves("{'action': 'transferred', 'changes': {'owner': {'from': {'organization': {'login': 'acme'}}}}, 'repository':"
	      " {'full_name': 'umbrella/store', 'name': 'store', 'html_url': 'u'}}",
	      "umbrella/store");
	moves("{'action': 'renamed', 'changes': 7, 'repository': {'full_name': 'x'}}", "umbrella/store");
}

static int pull_try(const char *head, struct err *err)
{
	AUTO_FREE char *data = text_format("{\"repository\": \"shop\", \"run\": \"r1\", \"pull\": 7, \"head\": \"%s\"}", head);
	const struct outbox_effect effect = {.operation = "op", .kind = "forge.pull", .data = view_of(data), .tries = 1};
	struct outbox_answer answer = {0};

	return effect_pull.send(runs, &effect, &answer, err);
}

/* Somebody moved the branch: then nothing is said there of what it does not show. */
static void what_could_not_be_pushed_is_not_said_to_be_there(void **state)
{
	struct err err = {0};

	(void)state;
	{
		AUTO_TX tx = {0};
		AUTO_PLACE place = {0};
		bool found;

		assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
		assert_int_equal(place_find(&tx, "shop", &place, &found, NULL), 0);
		assert_int_equal(remote_put(runs, &tx, &place, "forge.push", "r1/forge.push/f00", "b", false,
					    json_pack("{s:s, s:s, s:s}", "branch", "b", "head", "f00", "run", "r1"), NULL),
				 0);
		assert_int_equal(store_run(&tx, "UPDATE outbox SET status = 'dead'", NO_VALUES, NULL), 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
	assert_int_equal(pull_try("f00", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "could not be pushed"));
	err = (struct err){0};
	assert_int_equal(pull_try("f01", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND); /* it is looked for: there is none in this test */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_verdict_quotes_calls_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(what_could_not_be_pushed_is_not_said_to_be_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_project_goes_on_when_its_repository_has_another_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
