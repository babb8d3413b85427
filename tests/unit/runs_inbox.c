/* Deliveries of outside services: who may send, what is kept of them, and what follows. */
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
#include "runs/runs_priv.h"
#include "store/list.h"

static char root[64];
static struct runs *runs;
static char connection[64];
static char secret[128];

static int group_setup(void **state)
{
	struct runs_options options = {.state_dir = root, .pages_base = "http://127.0.0.1:7420", .world = world_real};
	const unsigned char random[32] = {7};
	AUTO_FREE char *repository = NULL;
	AUTO_BUF text = buf_new(128);
	AUTO_JSON request = NULL;
	AUTO_JSON made = NULL;

	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	(void)snprintf(root, sizeof(root), "/tmp/assay-inbox-XXXXXX");
	webhook_secret_format(random, &text);
	(void)snprintf(secret, sizeof(secret), "%s", text.at);
	if (!mkdtemp(root) || runs_open(&options, &runs, NULL))
		return -1;
	repository = repository_path(runs, "shop");
	request = json_pack("{s:s, s:{s:s}}", "kind", "standard", "secrets", "webhook_secret", secret);
	made = runs_connection_make(runs, request, NULL);
	(void)snprintf(connection, sizeof(connection), "%s", json_text(made, "id", ""));
	return made ? git_repository_make(repository, NULL) : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	runs_close(runs);
	return file_remove_tree(root, NULL);
}

/* ---- what is sent ---- */

struct sent {
	const char *id;
	char seconds[24];
	char signature[128];
};

static const char *header(void *self, const char *name)
{
	struct sent *sent = self;

	return strcmp(name, "webhook-id") == 0          ? sent->id
	       : strcmp(name, "webhook-timestamp") == 0 ? sent->seconds
	       : strcmp(name, "webhook-signature") == 0 ? sent->signature
							: NULL;
}

static int deliver(const char *to, const char *key, const char *id, const char *body, struct err *err)
{
	int64_t now_s = world_now_ms(world_real) / 1000;
	struct sent sent = {.id = id};
	struct webhook_request request = {header, &sent, view_of(body)};
	AUTO_BUF signature = buf_new(128);
	AUTO_FREE char *answer = NULL;

	*err = (struct err){0};
	(void)snprintf(sent.seconds, sizeof(sent.seconds), "%lld", (long long)now_s);
	assert_int_equal(webhook_sign(key, id, now_s, request.body, &signature, NULL), 0);
	(void)snprintf(sent.signature, sizeof(sent.signature), "%s", signature.at);
	return runs_delivery_take(runs, to, &request, &answer, err);
}

static void act_all(void)
{
	bool did = true;

	while (did)
		assert_int_equal(inboxes_work(runs, &did, NULL), 0);
}

static int64_t count(const char *sql)
{
	int64_t number = -1;
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(runs->store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &number, -1, sql, NO_VALUES, NULL), 0);
	return number;
}

/* ---- stories ---- */

static void what_is_not_signed_or_is_no_text_is_refused_and_not_kept(void **state)
{
	static const char other[] = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	struct err err;

	(void)state;
	assert_int_equal(deliver("nobody", secret, "d1", "{}", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(deliver("standard", secret, "d1", "{}", &err), -1); /* its name is not its id */
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(deliver(connection, other, "d1", "{}", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(deliver(connection, secret, "d1", "{\"type\":\"\xff\"}", &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(deliver(connection, secret, "d1", "nonsense", &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(count("SELECT count(*) FROM inbox"), 0);
}

static void a_delivery_that_is_sent_again_starts_one_run_which_takes_messages_and_a_stop(void **state)
{
	static const char start[] = "{\"type\":\"run.start\",\"data\":{\"repository\":\"shop\",\"title\":\"Fix it\"}}";
	AUTO_FREE char *message = NULL;
	AUTO_FREE char *stop = NULL;
	struct run_id run;
	struct err err;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(deliver(connection, secret, "start-1", start, &err), 0);
	act_all();
	assert_int_equal(count("SELECT count(*) FROM run"), 1);
	assert_int_equal(count("SELECT count(*) FROM issue"), 1);
	AUTO_JSON list = runs_list(runs, &(struct list_ask){.limit = 1}, &err);
	assert_int_equal(run_id_parse(view_of(json_text(json_array_get(json_member(list, "items"), 0), "id", "")), &run, &err), 0);
	message = text_format("{\"type\":\"run.message\",\"data\":{\"run\":\"%s\",\"text\":\"hurry\",\"author\":\"ann\"}}",
			      run.text);
	stop = text_format("{\"type\":\"run.stop\",\"data\":{\"run\":\"%s\"}}", run.text);
	assert_int_equal(deliver(connection, secret, "message-1", message, &err), 0);
	assert_int_equal(deliver(connection, secret, "message-1", message, &err), 0);
	assert_int_equal(deliver(connection, secret, "message-2", message, &err), 0);
	assert_int_equal(deliver(connection, secret, "stop-1", stop, &err), 0);
	act_all();
	assert_int_equal(count("SELECT count(*) FROM flow_signal WHERE kind = 'message'"), 2);
	assert_int_equal(count("SELECT count(*) FROM flow WHERE ending = 'stopped'"), 1);
	for (bool did = true; did;)
		assert_int_equal(flows_work(runs->flow, &did, NULL), 0);
	AUTO_JSON shown = runs_show(runs, run, &err);
	assert_string_equal(json_text(shown, "state", ""), "stopped");
}

static void what_cannot_be_acted_on_stays_to_be_looked_at(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(deliver(connection, secret, "bad-1", "{\"type\":\"run.dance\",\"data\":{}}", &err), 0);
	assert_int_equal(deliver(connection, secret, "bad-2",
				 "{\"type\":\"run.start\",\"data\":{\"repository\":\"nowhere\",\"title\":\"x\"}}", &err),
			 0);
	act_all();
	assert_int_equal(count("SELECT count(*) FROM inbox WHERE status = 'dead' AND error IS NOT NULL"), 2);
	assert_int_equal(count("SELECT count(*) FROM run"), 1);
}

static void with_a_full_disk_nothing_more_is_accepted_and_what_was_accepted_is_there(void **state)
{
	int64_t before = count("SELECT count(*) FROM inbox");
	AUTO_FREE char *body = NULL;
	AUTO_FREE char *refused = NULL;
	AUTO_BUF filler = buf_new((size_t)1 << 20);
	struct err err = {0};
	int accepted = 0;

	(void)state;
	while (filler.length < 65536)
		buf_add_text(&filler, "0123456789abcdef");
	body = text_format("{\"type\":\"run.dance\",\"filler\":\"%s\"}", filler.at);
	assert_true(count("PRAGMA max_page_count = 1") > 1); /* what there is, and no page more */
	while (!refused) {
		AUTO_FREE char *id = text_format("full-%d", accepted);

		assert_true(accepted < 1000);
		if (deliver(connection, secret, id, body, &err))
			refused = TAKE(id);
		else
			accepted++;
	}
	assert_int_equal(err.kind, ERR_RETRY);
	assert_int_equal(count("SELECT count(*) FROM inbox"), before + accepted);
	(void)count("PRAGMA max_page_count = 1073741823");
	assert_int_equal(deliver(connection, secret, refused, body, &err), 0);
	assert_int_equal(count("SELECT count(*) FROM inbox"), before + accepted + 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_signed_or_is_no_text_is_refused_and_not_kept),
		cmocka_unit_test(a_delivery_that_is_sent_again_starts_one_run_which_takes_messages_and_a_stop),
		cmocka_unit_test(what_cannot_be_acted_on_stays_to_be_looked_at),
		cmocka_unit_test(with_a_full_disk_nothing_more_is_accepted_and_what_was_accepted_is_there),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
