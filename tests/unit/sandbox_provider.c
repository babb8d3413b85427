/* What the provider's wrappers refuse before an implementation is asked, and how ends are told. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "sandbox/provider.h"

static int asked;

static int fake_env_make(void *self, struct env_id env, struct err *err)
{
	(void)self;
	(void)env;
	asked++;
	return err_set(err, ERR_RETRY, "not now");
}

static int fake_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err)
{
	(void)self;
	(void)spec;
	(void)err;
	asked++;
	return 0;
}

static int fake_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			    bool blocks, bool *copied, struct err *err)
{
	(void)self;
	(void)env;
	(void)volume;
	(void)layers;
	(void)layer_count;
	(void)blocks;
	(void)err;
	asked++;
	*copied = true;
	return 0;
}

static const struct provider_ops fake_ops = {
	.name = "fake", .env_make = fake_env_make, .sandbox_make = fake_sandbox_make, .volume_make = fake_volume_make};
static const struct provider fake = {.ops = &fake_ops};
static const struct env_id some_env = {"e0123456789"};

static void an_error_says_what_was_tried_and_keeps_its_kind(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(provider_env_make(fake, some_env, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.text, "cannot make environment e0123456789: not now");
}

static void wrong_specs_never_reach_the_implementation(void **state)
{
	const struct sandbox_spec rows[] = {
		{.env = {"x"}, .name = "a"},
		{.env = some_env, .name = NULL},
		{.env = some_env, .name = "Upper"},
		{.env = some_env, .name = "a", .mount_count = SANDBOX_MOUNTS_MAX + 1},
		{.env = some_env, .name = "a", .mounts = {{"v", "relative", false}}, .mount_count = 1},
		{.env = some_env, .name = "a", .mounts = {{"v", "/", false}}, .mount_count = 1},
		{.env = some_env, .name = "a", .mounts = {{"v", "/a/../b", false}}, .mount_count = 1},
		{.env = some_env, .name = "a", .mounts = {{"v", "/a/..", false}}, .mount_count = 1},
		{.env = some_env, .name = "a", .mounts = {{"V", "/a", false}}, .mount_count = 1},
		{.env = some_env, .name = "a", .limits = {.memory_bytes = 1}},
		{.env = some_env, .name = "a", .limits = {.cpu_percent = -1}},
		{.env = some_env, .name = "a", .limits = {.pids = -1}},
	};

	(void)state;
	asked = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		assert_int_equal(provider_sandbox_make(fake, &rows[i], &err), -1);
		assert_true(err.kind == ERR_INVALID || err.kind == ERR_LIMIT);
	}
	assert_int_equal(asked, 0);
}

static void a_caller_need_not_ask_whether_a_volume_was_copied(void **state)
{
	static const char *const layers[] = {"a"};
	struct err err = {0};
	bool copied = false;

	(void)state;
	assert_int_equal(provider_volume_make(fake, some_env, "v", layers, 1, true, NULL, &err), 0);
	assert_int_equal(provider_volume_make(fake, some_env, "v", layers, 1, true, &copied, &err), 0);
	assert_true(copied);
	assert_int_equal(provider_volume_make(fake, some_env, "v", layers, VOLUME_LAYERS_MAX + 1, true, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void ends_are_told_in_words(void **state)
{
	static const struct {
		struct exit_status status;
		const char *text;
	} rows[] = {
		{{EXIT_CODE, 0}, "exit 0"},
		{{EXIT_CODE, 137}, "exit 137"},
		{{EXIT_SIGNAL, SIGKILL}, "signal 9 (Killed)"},
		{{EXIT_OOM, SIGKILL}, "out of memory"},
		{{EXIT_GONE, 0}, "its sandbox was destroyed"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF text = buf_new(256);

		exit_status_format(&text, rows[i].status);
		assert_string_equal(text.at, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_says_what_was_tried_and_keeps_its_kind),
		cmocka_unit_test(wrong_specs_never_reach_the_implementation),
		cmocka_unit_test(a_caller_need_not_ask_whether_a_volume_was_copied),
		cmocka_unit_test(ends_are_told_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
