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
#include "base/process.h"
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
	AUTO_JSON data = remote_check_data(report, "b00", "f00", "https://assay.test/runs/r1");

	(void)state;
	assert_string_equal(json_text(data, "summary", ""),
			    "`@acme/all fails`\n\n| gate | result | |\n|---|---|---|\n| tests | fail | `a \\| b @bob /close` |\n"
			    "\n- **block** `f-1` `Fixes #1 ![x](https://evil.test)`\n\nNot covered:\n- `<img src=x> @carol`\n");
}

/* Two commits in `root`, by what is run between them; *data is told both. */
static void commits_make(json_t *data)
{
	AUTO_FREE char *script = text_format(
		"set -e; cd %s; git init -q made; cd made; git config user.name a; git config user.email a@assay.test; seq 9 >old.py;"
		" seq 9 >'a b.py'; git add .; git commit -qm one; sed -i 's/^4$/four/' old.py; echo ten >>'a b.py'; seq 3 >new.py;"
		" git add .; git commit -qm two; git rev-parse HEAD~1 HEAD",
		root);
	AUTO_BUF out = buf_new(4096);
	struct view head;
	struct view base;

	assert_int_equal(
		process_run(&(struct process_spec){.argv = (const char *const[]){"/bin/sh", "-c", script, NULL}, .output = &out},
			    NULL, NULL),
		0);
	base = view_cut(buf_view(&out), '\n', &head);
	json_set_bytes(data, "base", base);
	json_set_bytes(data, "head", view_trim(head));
}

/* Beside code that nobody touched, it would be read as somebody else's doing. */
static void what_is_on_no_changed_line_is_told_in_the_summary(void **state)
{
	AUTO_JSON report = quoted_json(
		"{'verdict': 'failed', 'reason': 'r', 'findings': [{'id': 'f-1', 'severity': 'block', 'title': 'on', 'file': 'old.py', 'line':"
		" 4}, {'id': 'f-2', 'severity': 'warn', 'title': 'beside', 'file': 'old.py', 'line': 5}, {'id': 'f-3', 'severity': 'info',"
		" 'title': 'made', 'file': 'new.py', 'line': 3}, {'id': 'f-4', 'severity': 'block', 'title': '@bob', 'file': 'old.py', 'line':"
		" 0}, {'id': 'f-5', 'severity': 'block', 'title': 'blank', 'file': 'a b.py', 'line': 10}, {'id': 'f-6', 'severity': 'block',"
		" 'title': 'of no file', 'file': null}]}");
	AUTO_JSON data = remote_check_data(report, "", "", "https://assay.test/runs/r1");
	AUTO_FREE char *repository = text_format("%s/made/.git", root);
	AUTO_BUF places = buf_new(4096);
	size_t index;
	json_t *annotation;

	(void)state;
	commits_make(data);
	remote_check_place(repository, data);
	json_array_foreach(json_member(data, "annotations"), index, annotation)
		buf_add_format(&places, "%s:%d %s, ", json_text(annotation, "path", ""), (int)json_number(annotation, "line", 0),
			       json_text(annotation, "level", ""));
	assert_string_equal(places.at, "old.py:4 failure, new.py:3 notice, a b.py:10 failure, ");
	assert_non_null(strstr(json_text(data, "summary", ""),
			       "\nNot on lines that this changes:\n- `old.py:5` `f-2` `beside`\n- `old.py` `f-4` `@bob`\n"));
	assert_null(strstr(strstr(json_text(data, "summary", ""), "Not on lines"), "f-1"));
}

/* Its commits are gone, or never came: nothing is shown at lines, and nothing is lost. */
static void without_its_commits_all_is_told_in_the_summary(void **state)
{
	AUTO_JSON findings = json_array();
	AUTO_JSON report = json_pack("{s:s, s:O}", "verdict", "failed", "findings", findings);
	AUTO_JSON data = NULL;

	(void)state;
	for (int i = 1; i <= 32; i++)
		(void)json_array_append_new(findings,
					    json_pack("{s:s, s:s, s:s, s:i}", "id", "f", "title", "t", "file", "x.py", "line", i));
	data = remote_check_data(report, NULL, "f00", "https://assay.test/runs/r1");
	remote_check_place(root, data);
	assert_int_equal(json_array_size(json_member(data, "annotations")), 0);
	assert_non_null(strstr(json_text(data, "summary", ""), "- `x.py:30` `f` `t`\n- … and 2 more\n"));
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

/* GitHub Enterprise Server has its repositories at its own host, beside its API. */
static void a_host_of_ones_own_is_cloned_from(void **state)
{
	static const struct {
		const char *base;
		const char *url;
	} rows[] = {{"", "https://github.com/acme/shop.git"},
		    {"https://api.github.com", "https://github.com/acme/shop.git"},
		    {"https://git.acme.test/api/v3", "https://git.acme.test/acme/shop.git"},
		    {"https://git.acme.test:8443/api/v3", "https://git.acme.test:8443/acme/shop.git"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON secrets = quoted_json("{'token': 't', 'webhook_secret': 's'}");
		AUTO_JSON none = json_object();
		const struct remote_options options = {
			.base = rows[i].base, .configuration = none, .secrets = secrets, .world = world_real};
		AUTO_BUF url = buf_new(1024);
		struct remote host;

		assert_int_equal(remote_kind_find("github")->make(&options, &host, NULL), 0);
		host.ops->clone_url(host.self, "acme/shop", &url);
		assert_string_equal(url.at, rows[i].url);
		host.ops->free(host.self);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_verdict_quotes_calls_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_on_no_changed_line_is_told_in_the_summary, setup, teardown),
		cmocka_unit_test_setup_teardown(without_its_commits_all_is_told_in_the_summary, setup, teardown),
		cmocka_unit_test_setup_teardown(what_could_not_be_pushed_is_not_said_to_be_there, setup, teardown),
		cmocka_unit_test(a_host_of_ones_own_is_cloned_from),
		cmocka_unit_test_setup_teardown(a_project_goes_on_when_its_repository_has_another_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
