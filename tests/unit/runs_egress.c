/* The control plane's side of what leaves, over a gateway that is faked: what outlives the server, and what happens when nobody answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "runs/egress.h"

static char dir[64];
static struct egress *egress;

static struct {
	bool silent;     /* the gateway does not answer */
	bool busy;       /* it answers, late */
	bool halted;     /* its process was stopped */
	bool refuses;    /* it finds the policy wrong */
	bool disk_full;  /* the ledger takes nothing */
	int recorded[4]; /* by enum egress_record */
	int told[4];     /* by enum egress_tell */
	json_t *last[4];
	char severed[16]; /* all of it */
	char reset[16];   /* the sandboxes' part of it */
	char ended[16];
	char stopped[16];
} faked;

static int fake_record(void *self, enum egress_record what, bool before, const char *env, const char *run, const char *rule,
		       const char *actor, const char *detail, struct err *err)
{
	(void)self;
	(void)env;
	(void)run;
	(void)rule;
	(void)actor;
	(void)before;
	faked.recorded[what]++;
	assert_non_null(detail);
	return faked.disk_full ? err_set(err, ERR_BROKEN, "the ledger cannot be written") : 0;
}

static json_t *fake_tell(void *self, enum egress_tell what, const json_t *body, int64_t timeout_ms, struct err *err)
{
	(void)self;
	if (faked.busy && timeout_ms > EGRESS_KILL_WAIT_MS * 10)
		(void)usleep(EGRESS_KILL_WAIT_MS * 10 * 1000);
	if (faked.silent) {
		(void)usleep((useconds_t)timeout_ms * 1000);
		(void)err_set(err, ERR_RETRY, "no answer");
		return NULL;
	}
	faked.told[what]++;
	json_decref(faked.last[what]);
	faked.last[what] = json_deep_copy(body);
	if (faked.refuses) {
		(void)err_set(err, ERR_INVALID, "egress rule 2: two rules have the id `x`");
		return NULL;
	}
	return json_object();
}

static int fake_sever(void *self, const char *env, bool whole, struct err *err)
{
	(void)self;
	(void)err;
	(void)snprintf(whole ? faked.severed : faked.reset, sizeof(faked.severed), "%s", env[0] ? env : "all");
	return 0;
}

static bool fake_halted(void *self)
{
	(void)self;
	return faked.halted;
}

static int fake_credentials_end(void *self, const char *env, struct err *err)
{
	(void)self;
	(void)err;
	(void)snprintf(faked.ended, sizeof(faked.ended), "%s", env[0] ? env : "all");
	return 0;
}

static int fake_run_stop(void *self, const char *run, struct err *err)
{
	(void)self;
	(void)err;
	(void)snprintf(faked.stopped, sizeof(faked.stopped), "%s", run);
	return 0;
}

static char *fake_last_action(void *self, const char *run)
{
	(void)self;
	(void)run;
	return text_copy("Bash: curl");
}

static int egress_begin(struct err *err)
{
	const struct egress_options options = {.state_dir = dir, .world = world_real};
	const struct egress_ops ops = {fake_record,          fake_tell,     fake_sever,       fake_halted,
				       fake_credentials_end, fake_run_stop, fake_last_action, NULL};

	if (egress_open(&options, &egress, err))
		return -1;
	egress_attach(egress, &ops);
	return 0;
}

static void egress_again(void)
{
	struct err err;

	egress_close(egress);
	egress = NULL;
	assert_int_equal(egress_begin(&err), 0);
}

static int world_make(void **state)
{
	struct err err;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/assay-egress-XXXXXX");
	memset(&faked, 0, sizeof(faked));
	return mkdtemp(dir) ? egress_begin(&err) : -1;
}

static int world_end(void **state)
{
	(void)state;
	egress_close(egress);
	egress = NULL;
	for (size_t i = 0; i < ARRAY_LEN(faked.last); i++)
		json_decref(faked.last[i]);
	return file_remove_tree(dir, NULL);
}

static void hold_come(const char *id, const char *rule)
{
	AUTO_JSON body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:i,s:s,s:s,s:s,s:s,s:i,s:I,s:b}", "env", "eaaaaaaaaaa",
				   "hold", id, "sandbox", "workspace", "agent", "claude", "run", "raaaaaaaaaa", "method", "POST",
				   "why", "", "tls", 1, "host", "ok.test", "port", 443, "path", "/a", "query", "", "rule", rule,
				   "digest", "d1", "body_bytes", 1, "deadline_ms", (json_int_t)world_now_ms(world_real) + 1000,
				   "remember", strncmp(rule, "dlp:", 4) != 0);
	struct err err;

	assert_int_equal(egress_hold(egress, body, &err), 0);
}

static json_t *described(const char *env, const char *run)
{
	json_t *body = json_object();

	egress_describe(egress, env, run, 0, body);
	return body;
}

static void an_answer_goes_to_the_gateway_with_its_digest(void **state)
{
	AUTO_JSON open = NULL;
	AUTO_JSON answer = NULL;
	AUTO_JSON twice = NULL;
	AUTO_JSON after = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "policy:x");
	open = egress_holds(egress, false);
	assert_string_equal(json_text(json_array_get(open, 0), "url", ""), "https://ok.test:443/a");
	assert_string_equal(json_text(json_array_get(open, 0), "action", ""), "Bash: curl");
	answer = egress_answer(egress, "h", true, "run", false, "ann", "", &err);
	assert_non_null(answer);
	assert_string_equal(json_text(faked.last[EGRESS_TELL_ANSWER], "digest", ""), "d1");
	twice = egress_answer(egress, "h1", true, "once", false, "bob", "", &err);
	assert_null(twice);
	assert_int_equal(err.kind, ERR_CONFLICT);
	after = described("ebbbbbbbbbb", "raaaaaaaaaa"); /* another environment of the same run */
	assert_int_equal(json_array_size(json_member(after, "remembered")), 1);
	assert_true(json_flag(json_array_get(json_member(after, "remembered"), 0), "tls", false));
}

static bool fake_lives(void *self, const char *env)
{
	(void)env;
	return *(bool *)self;
}

static void a_question_that_nobody_waits_for_is_closed(void **state)
{
	bool lives = true;
	AUTO_JSON open = NULL;
	AUTO_JSON all = NULL;
	int64_t asked_ms;

	(void)state;
	hold_come("h1", "policy:x");
	open = egress_holds(egress, false);
	asked_ms = json_number(json_array_get(open, 0), "asked_ms", 0);
	json_decref(open);
	egress_reconcile(egress, asked_ms, fake_lives, &lives);
	open = egress_holds(egress, false);
	assert_int_equal(json_array_size(open), 1);
	egress_reconcile(egress, asked_ms + 1, fake_lives, &lives); /* it asked a gateway that is gone */
	all = egress_holds(egress, true);
	assert_string_equal(json_text(json_array_get(all, 0), "status", ""), "lost");
	hold_come("h2", "policy:x");
	lives = false;
	egress_reconcile(egress, asked_ms, fake_lives, &lives);
	json_decref(open);
	open = egress_holds(egress, false);
	assert_int_equal(json_array_size(open), 0);
}

static void a_denial_can_stop_the_run(void **state)
{
	AUTO_JSON answer = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "policy:x");
	answer = egress_answer(egress, "h1", false, "once", true, "ann", "no", &err);
	assert_non_null(answer);
	assert_string_equal(faked.stopped, "raaaaaaaaaa");
}

static void an_answer_that_did_not_arrive_can_be_given_again(void **state)
{
	AUTO_JSON lost = NULL;
	AUTO_JSON answer = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "policy:x");
	faked.refuses = true;
	lost = egress_answer(egress, "h1", true, "once", false, "ann", "", &err);
	assert_null(lost);
	faked.refuses = false;
	answer = egress_answer(egress, "h1", true, "once", false, "ann", "", &err);
	assert_non_null(answer);
}

static void what_the_ledger_cannot_keep_is_not_approved(void **state)
{
	AUTO_JSON refused = NULL;
	AUTO_JSON killed = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "policy:x");
	faked.disk_full = true;
	refused = egress_answer(egress, "h1", true, "once", false, "ann", "", &err);
	assert_null(refused);
	assert_int_equal(faked.told[EGRESS_TELL_ANSWER], 0);
	killed = egress_kill(egress, "", false, "ann", "", &err); /* a kill waits for nothing */
	assert_non_null(killed);
	assert_int_equal(faked.recorded[EGRESS_RECORD_KILL], 1);
}

static void what_a_scanner_found_is_approved_once_only(void **state)
{
	AUTO_JSON answer = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "dlp:key");
	answer = egress_answer(egress, "h1", true, "hour", false, "ann", "", &err);
	assert_null(answer);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void questions_answers_and_kills_outlive_the_server(void **state)
{
	AUTO_JSON answer = NULL;
	AUTO_JSON killed = NULL;
	AUTO_JSON all = NULL;
	AUTO_JSON after = NULL;
	struct err err;

	(void)state;
	hold_come("h1", "policy:x");
	hold_come("h2", "policy:x");
	answer = egress_answer(egress, "h1", true, "run", false, "ann", "", &err);
	killed = egress_kill(egress, "eaaaaaaaaaa", false, "ann", "it leaks", &err);
	assert_non_null(killed);
	assert_string_equal(faked.ended, "eaaaaaaaaaa");
	egress_again();
	all = egress_holds(egress, true);
	assert_int_equal(json_array_size(all), 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *hold = json_array_get(all, i);

		assert_string_equal(json_text(hold, "status", ""),
				    strcmp(json_text(hold, "id", ""), "h1") == 0 ? "approved" : "lost");
	}
	after = described("eaaaaaaaaaa", "raaaaaaaaaa");
	assert_string_equal(json_text(after, "killed", ""), "it leaks");
	assert_int_equal(json_array_size(json_member(after, "remembered")), 1);
}

static void item_70_a_gateway_that_is_silent_is_done_without(void **state)
{
	AUTO_JSON killed = NULL;
	struct err err;

	(void)state;
	faked.silent = true;
	killed = egress_kill(egress, "", false, "ann", "", &err);
	assert_true(json_flag(killed, "by_kernel", false));
	assert_string_equal(faked.reset, "all");
	assert_string_equal(faked.severed, "all");
	assert_string_equal(faked.ended, "all");
}

static void item_70_a_gateway_that_was_stopped_is_not_waited_for(void **state)
{
	AUTO_JSON killed = NULL;
	struct err err;

	(void)state;
	faked.silent = faked.halted = true;
	killed = egress_kill(egress, "eaaaaaaaaaa", false, "ann", "", &err);
	assert_true(json_flag(killed, "by_kernel", false));
	assert_string_equal(faked.reset, ""); /* all at once instead */
	assert_string_equal(faked.severed, "eaaaaaaaaaa");
}

static void a_gateway_that_waits_for_a_processor_is_not_ended(void **state)
{
	AUTO_JSON killed = NULL;
	struct err err;

	(void)state;
	faked.busy = true;
	killed = egress_kill(egress, "eaaaaaaaaaa", false, "ann", "", &err);
	assert_false(json_flag(killed, "by_kernel", true));
	assert_string_equal(faked.reset, "eaaaaaaaaaa"); /* what is open is gone all the same */
	assert_string_equal(faked.severed, "");
}

static void a_kill_is_undone_by_its_own_word_only(void **state)
{
	AUTO_JSON one = NULL;
	AUTO_JSON all = NULL;
	AUTO_JSON not_yet = NULL;
	AUTO_JSON undone = NULL;
	AUTO_JSON never = NULL;
	AUTO_JSON after = NULL;
	struct err err;

	(void)state;
	one = egress_kill(egress, "eaaaaaaaaaa", false, "ann", "", &err);
	all = egress_kill(egress, "", false, "ann", "", &err);
	not_yet = egress_kill(egress, "eaaaaaaaaaa", true, "ann", "", &err);
	assert_null(not_yet);
	assert_int_equal(err.kind, ERR_CONFLICT);
	undone = egress_kill(egress, "", true, "ann", "", &err);
	assert_non_null(undone);
	/* What was stopped by itself stays so, also at the gateway. */
	assert_string_equal(json_string_value(json_array_get(json_member(faked.last[EGRESS_TELL_KILL], "except"), 0)),
			    "eaaaaaaaaaa");
	after = described("eaaaaaaaaaa", "");
	assert_non_null(json_member(after, "killed"));
	never = egress_kill(egress, "ebbbbbbbbbb", true, "ann", "", &err);
	assert_null(never);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void state_that_cannot_be_read_starts_nothing(void **state)
{
	AUTO_FREE char *path = text_format("%s/egress.json", dir);
	struct err err;

	(void)state;
	egress_close(egress);
	egress = NULL;
	assert_int_equal(file_replace(path, VIEW("{\"kills\": {"), 0600, &err), 0);
	assert_int_equal(egress_begin(&err), -1);
	assert_int_equal(err.kind, ERR_BROKEN);
}

static void policy_write(const char *text)
{
	AUTO_FREE char *path = text_format("%s/policy.yaml", dir);
	struct err err;

	assert_int_equal(file_replace(path, view_of(text), 0644, &err), 0);
}

static void item_74_a_policy_is_taken_whole_or_not_at_all(void **state)
{
	static const char *const wrong[] = {
		"rules: [oops\n",
		"rules:\n  - {host: a.test, action: alow}\n",
		"rules:\n  - {host: a.test, action: allow, metods: [GET]}\n",
		"rules: 7\n",
		"rule: []\n",
	};
	AUTO_FREE char *path = text_format("%s/policy.yaml", dir);
	struct err err;

	(void)state;
	policy_write("rules:\n  - {id: x, host: a.test, action: deny}\n");
	assert_int_equal(egress_policy_reload(egress, false, &err), 0);
	assert_int_equal(faked.told[EGRESS_TELL_POLICY], 1);
	for (size_t i = 0; i <= ARRAY_LEN(wrong); i++) {
		AUTO_JSON shown = NULL;

		if (i < ARRAY_LEN(wrong))
			policy_write(wrong[i]);
		else
			(void)unlink(path); /* unreadable is not none */
		assert_int_equal(egress_policy_reload(egress, true, &err), -1);
		assert_int_equal(faked.told[EGRESS_TELL_POLICY], 1);
		shown = egress_policy_show(egress);
		assert_int_equal(json_number(shown, "rules", 0), 1);
		assert_non_null(json_text(shown, "error", NULL));
	}
	/* What only the gateway finds wrong changes nothing either: also the one that starts next gets the old one. */
	faked.refuses = true;
	policy_write("rules:\n  - {id: x, host: a.test, action: deny}\n  - {id: x, host: b.test, action: deny}\n");
	assert_int_equal(egress_policy_reload(egress, true, &err), -1);
	faked.refuses = false;
	{
		AUTO_JSON body = egress_policy_body(egress);

		assert_int_equal(json_array_size(json_member(json_member(body, "policy"), "rules")), 1);
	}
	policy_write("rules: []\n");
	assert_int_equal(egress_policy_reload(egress, false, &err), 0);
	{
		AUTO_JSON shown = egress_policy_show(egress);

		assert_int_equal(json_number(shown, "rules", 1), 0);
		assert_null(json_text(shown, "error", NULL));
	}
}

static void a_policy_that_is_written_is_in_force_or_the_file_is_as_it_was(void **state)
{
	static const char good[] = "rules:\n  - {id: x, host: a.test, action: deny}\n";
	static const char refused[] = "rules:\n  - {id: x, host: b.test, action: deny}\n";
	AUTO_BUF text = buf_new(4096);
	AUTO_JSON shown = NULL;
	struct err err;

	(void)state;
	assert_int_equal(egress_policy_text(egress, &text, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(egress_policy_write(egress, view_of(good), "ann", &err), 0);
	assert_int_equal(egress_policy_write(egress, VIEW("rules: 7\n"), "ann", &err), -1);
	faked.refuses = true;
	assert_int_equal(egress_policy_write(egress, view_of(refused), "ann", &err), -1);
	faked.refuses = false;
	assert_int_equal(egress_policy_text(egress, &text, &err), 0);
	assert_string_equal(text.at, good);
	shown = egress_policy_show(egress);
	assert_int_equal(json_number(shown, "rules", 0), 1);
}

static void a_server_does_not_start_with_a_wrong_policy(void **state)
{
	struct err err;

	(void)state;
	egress_close(egress);
	egress = NULL;
	policy_write("rules: [oops\n");
	assert_int_equal(egress_begin(&err), -1);
	assert_non_null(strstr(err.text, "policy.yaml"));
}

static void spending_is_priced_and_the_budget_told(void **state)
{
	AUTO_JSON usage = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:b}", "env", "eaaaaaaaaaa", "run", "raaaaaaaaaa", "model",
				    "claude-sonnet-4-5-20250929", "input", 100000, "output", 10000, "cache_read", 1000000,
				    "cache_write", 0, "estimated", 0);
	AUTO_JSON unknown = json_deep_copy(usage);
	AUTO_JSON body = json_object();
	AUTO_JSON shown = NULL;
	AUTO_JSON after = NULL;
	struct err err;

	(void)state;
	egress_describe(egress, "eaaaaaaaaaa", "raaaaaaaaaa", 1000000, body);
	egress_usage(egress, usage); /* 0.30 + 0.15 + 0.30 USD */
	shown = egress_budget(egress, "raaaaaaaaaa");
	assert_true(json_real_value(json_object_get(shown, "spent_usd")) > 0.749);
	assert_true(json_real_value(json_object_get(shown, "spent_usd")) < 0.751);
	assert_int_equal(faked.told[EGRESS_TELL_BUDGET], 0);
	(void)json_object_set_new(unknown, "model", json_string("nobody-knows-1")); /* no model is free */
	egress_usage(egress, unknown);
	assert_int_equal(faked.told[EGRESS_TELL_BUDGET], 1);
	assert_non_null(json_text(faked.last[EGRESS_TELL_BUDGET], "over", NULL));
	egress_again();
	after = described("eaaaaaaaaaa", "raaaaaaaaaa");
	assert_non_null(json_text(after, "over_budget", NULL));
	assert_int_equal(egress_budget_set(egress, "raaaaaaaaaa", 100000000, "you", &err), 0);
	assert_null(json_text(faked.last[EGRESS_TELL_BUDGET], "over", NULL));
}

int main(void)
{
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, world_make, world_end)
	const struct CMUnitTest tests[] = {
		IN_A_WORLD(an_answer_goes_to_the_gateway_with_its_digest),
		IN_A_WORLD(a_question_that_nobody_waits_for_is_closed),
		IN_A_WORLD(a_denial_can_stop_the_run),
		IN_A_WORLD(an_answer_that_did_not_arrive_can_be_given_again),
		IN_A_WORLD(what_the_ledger_cannot_keep_is_not_approved),
		IN_A_WORLD(what_a_scanner_found_is_approved_once_only),
		IN_A_WORLD(questions_answers_and_kills_outlive_the_server),
		IN_A_WORLD(item_70_a_gateway_that_is_silent_is_done_without),
		IN_A_WORLD(item_70_a_gateway_that_was_stopped_is_not_waited_for),
		IN_A_WORLD(a_gateway_that_waits_for_a_processor_is_not_ended),
		IN_A_WORLD(a_kill_is_undone_by_its_own_word_only),
		IN_A_WORLD(state_that_cannot_be_read_starts_nothing),
		IN_A_WORLD(item_74_a_policy_is_taken_whole_or_not_at_all),
		IN_A_WORLD(a_policy_that_is_written_is_in_force_or_the_file_is_as_it_was),
		IN_A_WORLD(a_server_does_not_start_with_a_wrong_policy),
		IN_A_WORLD(spending_is_priced_and_the_budget_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
