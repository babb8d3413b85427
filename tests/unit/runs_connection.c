/* Connections to outside services: what can be said of one, and that its secrets are shown to nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/connection.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

static char root[64];
static struct runs *runs;

static int group_setup(void **state)
{
	struct runs_options options = {.state_dir = root, .pages_base = "http://127.0.0.1:7420", .world = world_real};

	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	(void)snprintf(root, sizeof(root), "/tmp/assay-connection-XXXXXX");
	return mkdtemp(root) ? runs_open(&options, &runs, NULL) : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	runs_close(runs);
	return file_remove_tree(root, NULL);
}

static json_t *parsed(const char *text)
{
	json_t *json = json_parse(view_of(text), NULL);

	assert_non_null(json);
	return json;
}

static void a_connection_is_made_changed_and_forgotten_and_never_shows_its_secrets(void **state)
{
	AUTO_JSON request = parsed("{\"kind\":\"linear\",\"base\":\"http://127.0.0.1:1/\",\"configuration\":{\"client_id\":\"i\"},"
				   "\"secrets\":{\"client_secret\":\"SECRET1\",\"webhook_secret\":\"SECRET2\"}}");
	AUTO_JSON change = parsed("{\"name\":\"acme\",\"configuration\":{\"client_id\":null,\"repository\":\"shop\"},"
				  "\"secrets\":{\"client_secret\":null}}");
	struct err err = {0};
	AUTO_JSON made = runs_connection_make(runs, request, &err);
	AUTO_BUF shown = buf_new(65536);
	AUTO_CONNECTION kept = {0};
	AUTO_TX tx = {0};

	(void)state;
	assert_non_null(made);
	assert_string_equal(json_text(made, "base", ""), "http://127.0.0.1:1");
	assert_string_equal(json_text(made, "state", ""), "new");
	assert_null(runs_connection_make(runs, request, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
	AUTO_JSON changed = runs_connection_change(runs, "linear", change, &err);
	assert_non_null(changed);
	AUTO_JSON list = runs_connection_list(runs, &err);
	json_format(&shown, made);
	json_format(&shown, changed);
	json_format(&shown, list);
	assert_true(view_find(buf_view(&shown), VIEW("SECRET")) < 0);
	assert_int_equal(connection_load(runs, "acme", &kept, &err), 0);
	assert_string_equal(connection_secret(&kept, "webhook_secret"), "SECRET2");
	assert_null(connection_secret(&kept, "client_secret"));
	assert_string_equal(json_text(kept.configuration, "repository", ""), "shop");
	assert_null(json_member(kept.configuration, "client_id"));

	assert_int_equal(store_begin(runs_store(runs), &tx, &err), 0);
	assert_int_equal(connection_state_set(&tx, kept.id, "401", &err), 0);
	assert_int_equal(connection_state_set(&tx, kept.id, "401", &err), 0);
	assert_int_equal(store_changed(&tx), 0);
	assert_int_equal(store_commit(&tx, &err), 0);
	AUTO_JSON broken = runs_connection_show(runs, kept.id, &err);
	assert_string_equal(json_text(broken, "state", ""), "broken");
	assert_string_equal(json_text(broken, "error", ""), "401");
	assert_int_equal(runs_connection_remove(runs, "acme", &err), 0);
	assert_int_equal(runs_connection_remove(runs, "acme", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void what_is_wrong_with_a_connection_is_said(void **state)
{
	static const struct {
		const char *request;
		const char *said;
	} rows[] = {
		{"{\"kind\":\"trello\"}", "kind: expected linear, jira"},
		{"{\"kind\":\"linear\",\"base\":\"ftp://x\"}", "base"},
		{"{\"kind\":\"linear\",\"name\":\"A B\"}", "no name of a connection"},
		{"{\"kind\":\"linear\",\"configuration\":{\"client_secret\":\"x\"}}", "say it among the secrets"},
		{"{\"kind\":\"linear\",\"secrets\":{\"client_id\":\"x\"}}", "say it among the settings"},
		{"{\"kind\":\"linear\",\"configuration\":{\"colour\":\"x\"}}", "has no `colour`"},
		{"{\"kind\":\"linear\",\"configuration\":{\"repositories\":\"x\"}}", "expected a list"},
		{"{\"kind\":\"linear\",\"secrets\":{\"client_secret\":\"\"}}", "expected a secret"},
		{"{\"kind\":\"linear\",\"secrets\":[]}", "expected an object"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON request = parsed(rows[i].request);
		struct err err = {0};

		assert_null(runs_connection_make(runs, request, &err));
		if (!strstr(err.text, rows[i].said))
			fail_msg("%s: %s", rows[i].request, err.text);
	}
}

static void a_step_waits_for_a_limit_that_was_announced_and_for_nothing_else(void **state)
{
	static const struct {
		enum err_kind kind;
		int64_t wait_until_ms;
		bool waits;
	} rows[] = {{ERR_LIMIT, 12345, true}, {ERR_LIMIT, 0, false}, {ERR_RETRY, 12345, false}, {ERR_DENIED, 0, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct remote_told told = {.wait_until_ms = rows[i].wait_until_ms};
		struct flow_visit visit = {.id = "r1"};
		struct err err = {.kind = rows[i].kind, .text = "the host said so"};

		assert_int_equal(remote_wait(runs, "tiny", &told, &visit, &err), rows[i].waits ? 0 : -1);
		assert_int_equal(visit.park, rows[i].waits);
		assert_int_equal(visit.wake_ms, rows[i].waits ? rows[i].wait_until_ms : 0);
		assert_int_equal(err.kind, rows[i].waits ? ERR_NONE : rows[i].kind);
		assert_int_equal(strstr(visit.detail, "the host said so") != NULL, rows[i].waits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_made_changed_and_forgotten_and_never_shows_its_secrets),
		cmocka_unit_test(what_is_wrong_with_a_connection_is_said),
		cmocka_unit_test(a_step_waits_for_a_limit_that_was_announced_and_for_nothing_else),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
