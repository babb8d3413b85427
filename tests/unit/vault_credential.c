/* Credentials: their rules, and the vault's process that keeps and releases them. Those named by a number are of the list of attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "net/vault.h"
#include "vault/vault.h"

#define VALUE "sk-ant-api03-the-real-key-that-nobody-but-the-vault-may-know-0001"

static char state_dir[] = "/tmp/assay-credential-XXXXXX";
static struct vault *vault;
static int gateway = -1;

static struct credential_use use_of(const char *rule, const char *place)
{
	struct credential_use use = {.place = 0};
	struct err err = {0};

	if (credential_rule_parse(view_of(rule), &use, &err) || credential_place_parse(view_of(place), &use, &err) ||
	    credential_use_check(&use, &err))
		fail_msg("%s", err.text);
	return use;
}

static struct vault_release_request request_of(const char *env, const char *name, const char *method, const char *host,
					       const char *path)
{
	struct vault_release_request request = {
		.header = {.length = sizeof(request), .version = MESSAGE_VERSION, .name = VAULT_RELEASE, .request = 7},
		.scheme = CREDENTIAL_HTTPS,
		.port = 443};

	(void)snprintf(request.env, sizeof(request.env), "%s", env);
	(void)snprintf(request.name, sizeof(request.name), "%s", name);
	(void)snprintf(request.host, sizeof(request.host), "%s", host);
	(void)snprintf(request.method, sizeof(request.method), "%s", method);
	(void)snprintf(request.path, sizeof(request.path), "%s", path);
	return request;
}

/* As the gateway asks. Returns the errno value; the value is in `reply`. */
static int release(const struct vault_release_request *request, struct vault_release_reply *reply)
{
	ssize_t got;

	assert_int_equal(send(gateway, request, sizeof(*request), MSG_NOSIGNAL), sizeof(*request));
	do /* what it says of changes comes unasked for */
		got = recv(gateway, reply, sizeof(*reply), 0);
	while (got > 0 && reply->header.name == VAULT_CHANGED);
	assert_int_equal(got, sizeof(*reply));
	assert_int_equal(reply->header.request, request->header.request);
	return reply->errno_value;
}

static int release_of(const char *env, const char *name, const char *method, const char *host, const char *path)
{
	struct vault_release_request request = request_of(env, name, method, host, path);
	struct vault_release_reply reply;

	return release(&request, &reply);
}

static void link_again(void)
{
	struct err err = {0};

	scope_close(&gateway);
	if (vault_gateway_link(vault, &gateway, &err))
		fail_msg("%s", err.text);
}

static int begin(void **state)
{
	struct credential_use use = use_of("POST https://api.anthropic.com/v1/*", "header:X-Api-Key");
	struct err err = {0};

	(void)state;
	if (vault_open(state_dir, &vault, &err) || vault_secret_set(vault, "anthropic", &use, VIEW(VALUE), &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	link_again();
	return 0;
}

static int end(void **state)
{
	(void)state;
	scope_close(&gateway);
	gateway = -1;
	vault_close(vault);
	return 0;
}

static char *placeholder_of(const char *env, const char *name)
{
	struct credential_use use;
	AUTO_BUF text = buf_new(CREDENTIAL_VALUE_MAX);
	struct err err = {0};

	if (vault_secret_bind(vault, env, name, &use, &text, &err))
		fail_msg("%s", err.text);
	return buf_take(&text);
}

static void rules_are_taken_and_refused(void **state)
{
	static const struct {
		const char *rule;
		const char *written; /* NULL: refused */
	} rows[] = {
		{"POST https://api.anthropic.com/v1/*", "POST https://api.anthropic.com/v1/*"},
		{"https://Registry.NPMjs.org", "https://registry.npmjs.org/*"},
		{"* https://github.com:8443/acme/app.git/*", "* https://github.com:8443/acme/app.git/*"},
		{"postgres://db.example.com/shop", "postgres://db.example.com/shop"},
		{"GET http://vault.internal/x", "GET http://vault.internal/x"},
		{"GET http://example.com/x", NULL},
		{"https://*.example.com/", NULL},
		{"https://127.0.0.1/", NULL},
		{"https://[::1]/", NULL},
		{"https://user@example.com/", NULL},
		{"https://example.com:0/", NULL},
		{"https://example.com:65536/", NULL},
		{"https://example.com./", NULL},
		{"https:///x", NULL},
		{"ftp://example.com/", NULL},
		{"https://example.com/a/../b", NULL},
		{"https://example.com/a?b=c", NULL},
		{"https://example.com/a;b", NULL},
		{"P OST https://example.com/", NULL},
		{"WEBSOCKET https://example.com/", NULL},
		{"P(OST https://example.com/", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct credential_use use = {.place = 0};
		AUTO_BUF text = buf_new(1024);
		struct err err = {0};
		int refused = credential_rule_parse(view_of(rows[i].rule), &use, &err);

		if (!refused)
			credential_rule_format(&use.rules[0], &text);
		if (!rows[i].written != !!refused)
			fail_msg("`%s`: %s", rows[i].rule, refused ? err.text : "taken");
		if (!refused)
			assert_string_equal(text.at, rows[i].written);
	}
}

static void a_rule_fits_what_it_names_and_nothing_else(void **state)
{
	static const struct {
		const char *rule, *method, *host, *path;
		uint16_t port;
		bool fits;
	} rows[] = {
		{"POST https://a.test/v1/*", "POST", "a.test", "/v1/messages", 443, true},
		{"POST https://a.test/v1/*", "POST", "a.test", "/v1/", 443, true},
		{"POST https://a.test/v1/*", "POST", "a.test", "/v1", 443, false},
		{"POST https://a.test/v1/*", "POST", "a.test", "/v2/messages", 443, false},
		{"POST https://a.test/v1/*", "GET", "a.test", "/v1/messages", 443, false},
		{"POST https://a.test/v1/*", "post", "a.test", "/v1/messages", 443, false},
		{"POST https://a.test/v1/*", "POST", "b.a.test", "/v1/messages", 443, false},
		{"POST https://a.test/v1/*", "POST", "a.test.evil", "/v1/messages", 443, false},
		{"POST https://a.test/v1/*", "POST", "a.test", "/v1/messages", 8443, false},
		{"https://a.test/x", "GET", "a.test", "/x", 443, true},
		{"https://a.test/x", "HEAD", "a.test", "/x", 443, true},
		{"https://a.test/x", "PUT", "a.test", "/x", 443, false},
		{"* https://a.test/*/app.git/*", "POST", "a.test", "/acme/app.git/git-upload-pack", 443, true},
		{"* https://a.test/*/app.git/*", "POST", "a.test", "/acme/other/app.git/x", 443, false},
		{"* https://a.test/acme/*.git/info", "GET", "a.test", "/acme/x.git/info", 443, true},
		{"* https://a.test/acme/*.git/info", "GET", "a.test", "/acme/x.git/y.git/info", 443, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct credential_use use = use_of(rows[i].rule, "basic");

		if (credential_allows(&use, CREDENTIAL_HTTPS, rows[i].host, rows[i].port, view_of(rows[i].method),
				      view_of(rows[i].path)) != rows[i].fits)
			fail_msg("row %zu: %s", i, rows[i].rule);
		assert_false(
			credential_allows(&use, CREDENTIAL_HTTP, rows[i].host, 80, view_of(rows[i].method), view_of(rows[i].path)));
	}
}

static void a_placeholder_is_as_long_and_belongs_to_one_environment(void **state)
{
	AUTO_FREE char *first = placeholder_of("e1", "anthropic");
	AUTO_FREE char *again = placeholder_of("e1", "anthropic");
	AUTO_FREE char *other = placeholder_of("e2", "anthropic");

	(void)state;
	assert_string_equal(first, again);
	assert_string_not_equal(first, other);
	assert_int_equal(strlen(first), strlen(VALUE));
	assert_true(view_starts(view_of(first), VIEW("sk-ant-api03-" CREDENTIAL_MARK)));
}

static void a_credential_is_released_for_what_its_rules_allow(void **state)
{
	AUTO_FREE char *placeholder = placeholder_of("e1", "anthropic");
	struct vault_release_request request = request_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages");
	struct vault_release_reply reply;

	(void)state;
	assert_int_equal(release(&request, &reply), 0);
	assert_true(view_is(view_make(reply.value, reply.value_bytes), VALUE));
}

static void item_54_the_vault_itself_refuses_another_host_method_or_path(void **state)
{
	AUTO_FREE char *placeholder = placeholder_of("e1", "anthropic");
	struct vault_release_request request;
	struct vault_release_reply reply;

	(void)state;
	assert_int_equal(release_of("e1", "anthropic", "POST", "evil.test", "/v1/messages"), EACCES);
	assert_int_equal(release_of("e1", "anthropic", "GET", "api.anthropic.com", "/v1/messages"), EACCES);
	assert_int_equal(release_of("e1", "anthropic", "POST", "api.anthropic.com", "/admin"), EACCES);
	assert_int_equal(release_of("e2", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), ENOENT);
	assert_int_equal(release_of("", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), ENOENT);
	assert_int_equal(release_of("e1", "", "POST", "api.anthropic.com", "/v1/messages"), ENOENT);
	request = request_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages");
	request.scheme = CREDENTIAL_HTTP;
	request.port = 80;
	assert_int_equal(release(&request, &reply), EACCES);
	memset(request.path, 'x', sizeof(request.path));
	assert_int_equal(release(&request, &reply), EINVAL);
	assert_int_equal(reply.value_bytes, 0);
}

static int fingerprint_of(const char *env, const char *name, struct vault_fingerprint_reply *reply)
{
	struct vault_fingerprint_request request = {
		.header = {.length = sizeof(request), .version = MESSAGE_VERSION, .name = VAULT_FINGERPRINT, .request = 9}};
	ssize_t got;

	(void)snprintf(request.env, sizeof(request.env), "%s", env);
	(void)snprintf(request.name, sizeof(request.name), "%s", name);
	assert_int_equal(send(gateway, &request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
	do
		got = recv(gateway, reply, sizeof(*reply), 0);
	while (got > 0 && reply->header.name == VAULT_CHANGED);
	assert_int_equal(got, sizeof(*reply));
	return reply->errno_value;
}

static void its_fingerprint_is_the_environments_own_and_says_nothing_of_it(void **state)
{
	AUTO_FREE char *first = placeholder_of("e1", "anthropic");
	AUTO_FREE char *second = placeholder_of("e2", "anthropic");
	struct vault_fingerprint_reply one, again, other;

	(void)state;
	assert_int_equal(fingerprint_of("e1", "anthropic", &one), 0);
	assert_int_equal(fingerprint_of("e1", "anthropic", &again), 0);
	assert_int_equal(fingerprint_of("e2", "anthropic", &other), 0);
	assert_memory_equal(&one.print, &again.print, sizeof(one.print));
	assert_true(fingerprint_valid(&one.print));
	assert_true(one.print.form_count > 10);
	assert_int_equal(one.print.length, sizeof(VALUE) - sizeof("sk-ant-api03-"));
	assert_memory_not_equal(&one.print.key, &other.print.key, sizeof(one.print.key));
	for (size_t i = 0; i < one.print.form_count; i++)
		assert_memory_not_equal(one.print.form[i].mac, other.print.form[i].mac, FINGERPRINT_MAC_BYTES);
	assert_null(memmem(&one, sizeof(one), "that-nob", 8));
	assert_int_equal(fingerprint_of("e3", "anthropic", &one), ENOENT);
	assert_int_equal(one.print.form_count, 0);
}

static void the_gateway_hears_that_a_credential_was_set_or_removed(void **state)
{
	struct credential_use use = use_of("https://b.test/*", "query:key");
	struct vault_changed changed;
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_secret_set(vault, "other", &use, VIEW("another-value"), &err), 0);
	assert_int_equal(recv(gateway, &changed, sizeof(changed), 0), sizeof(changed));
	assert_int_equal(changed.header.name, VAULT_CHANGED);
	assert_string_equal(changed.name, "other");
	assert_int_equal(vault_secret_remove(vault, "other", &err), 0);
	assert_int_equal(recv(gateway, &changed, sizeof(changed), 0), sizeof(changed));
	assert_string_equal(changed.name, "other");
}

static void of_a_key_that_signs_only_what_signs_for_one_day_is_released(void **state)
{
	struct credential_use use = use_of("* https://b.s3.amazonaws.com/*", "aws:AKIAIOSFODNN7EXAMPLE");
	AUTO_FREE char *placeholder = NULL;
	struct vault_release_request request = request_of("e1", "s3", "PUT", "b.s3.amazonaws.com", "/x");
	struct vault_release_reply reply;
	unsigned char key[SIGV4_KEY_BYTES];
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_secret_set(vault, "s3", &use, VIEW("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &err), 0);
	placeholder = placeholder_of("e1", "s3");
	assert_int_equal(release(&request, &reply), EINVAL); /* for no scope */
	assert_int_equal(reply.value_bytes, 0);
	(void)snprintf(request.scope, sizeof(request.scope), "20130524/us-east-1/s3");
	assert_int_equal(release(&request, &reply), 0);
	assert_true(sigv4_key(VIEW("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), request.scope, key));
	assert_int_equal(reply.value_bytes, sizeof(key));
	assert_memory_equal(reply.value, key, sizeof(key));
	assert_int_equal(vault_secret_remove(vault, "s3", &err), 0);
}

static void unbound_it_is_dead(void **state)
{
	AUTO_FREE char *placeholder = placeholder_of("e1", "anthropic");
	struct err err = {0};

	(void)state;
	assert_int_equal(release_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), 0);
	assert_int_equal(vault_secret_unbind(vault, "e1", &err), 0);
	assert_int_equal(release_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), ENOENT);
	free(placeholder);
	placeholder = placeholder_of("e1", "anthropic");
	assert_int_equal(vault_secret_unbind(vault, "", &err), 0);
	assert_int_equal(release_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), ENOENT);
}

static void removed_it_is_dead_and_gone_from_the_disk(void **state)
{
	struct credential_use use = use_of("https://b.test/*", "query:key");
	AUTO_FREE char *path = text_format("%s/vault/credentials/other.sealed", state_dir);
	AUTO_FREE char *placeholder = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_secret_set(vault, "other", &use, VIEW("another-value"), &err), 0);
	assert_true(file_exists(path));
	placeholder = placeholder_of("e1", "other");
	assert_int_equal(release_of("e1", "other", "GET", "b.test", "/x"), 0);
	assert_int_equal(vault_secret_remove(vault, "other", &err), 0);
	assert_false(file_exists(path));
	assert_int_equal(release_of("e1", "other", "GET", "b.test", "/x"), ENOENT);
	assert_int_equal(vault_secret_remove(vault, "other", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(vault_secret_remove(vault, "../key", &err), -1);
}

static void on_the_disk_it_is_sealed_and_only_its_owner_may_read_it(void **state)
{
	AUTO_FREE char *path = text_format("%s/vault/credentials/anthropic.sealed", state_dir);
	AUTO_BUF bytes = buf_new(1 << 20);
	struct stat facts;
	struct err err = {0};

	(void)state;
	assert_int_equal(file_read(path, &bytes, &err), 0);
	assert_int_equal(view_find(buf_view(&bytes), VIEW("real-key")), -1);
	assert_true(view_find(buf_view(&bytes), VIEW("api.anthropic.com")) > 0);
	assert_int_equal(stat(path, &facts), 0);
	assert_int_equal(facts.st_mode & 0777, 0600);
}

static void after_the_process_died_everything_is_as_before(void **state)
{
	AUTO_FREE char *first = placeholder_of("e1", "anthropic");
	AUTO_FREE char *second = NULL;

	(void)state;
	(void)end(NULL);
	assert_int_equal(begin(NULL), 0); /* another process, from the files alone */
	second = placeholder_of("e1", "anthropic");
	assert_string_equal(first, second);
	assert_int_equal(release_of("e1", "anthropic", "POST", "api.anthropic.com", "/v1/messages"), 0);
}

static void a_rule_changed_on_the_disk_makes_the_credential_useless(void **state)
{
	AUTO_FREE char *path = text_format("%s/vault/credentials/anthropic.sealed", state_dir);
	AUTO_BUF bytes = buf_new(1 << 20);
	AUTO_BUF placeholder = buf_new(CREDENTIAL_VALUE_MAX);
	struct credential_use use;
	ptrdiff_t at;
	struct err err = {0};

	(void)state;
	vault_close(vault);
	assert_int_equal(file_read(path, &bytes, &err), 0);
	at = view_find(buf_view(&bytes), VIEW("api.anthropic.com"));
	memcpy(bytes.at + at, "api.evil-host.com", 17);
	assert_int_equal(file_replace(path, buf_view(&bytes), 0600, &err), 0);
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	assert_int_equal(vault_secret_bind(vault, "e1", "anthropic", &use, &placeholder, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void item_33_a_value_with_a_line_end_is_refused(void **state)
{
	static const struct {
		const char *place;
		struct view value;
		bool good;
	} rows[] = {
		{"header:authorization", VIEW("value\r\nHost: evil.test"), false},
		{"header:authorization", VIEW("value-with-\n-in-it"), false},
		{"header:authorization", VIEW("value-with-\0-in-it"), false},
		{"query:key", VIEW("value-with-\x1b-in-it"), false},
		{"body", VIEW("value-with-\t-in-it"), true},
		{"body", VIEW("value-with-\n-in-it"), false},
		{"header:authorization", VIEW("short"), false},
		{"header:authorization", VIEW("x" CREDENTIAL_MARK "0123456789"), false},
		{"header:authorization", VIEW("a value, with blanks = fine"), true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct credential_use use = use_of("https://a.test/*", rows[i].place);
		struct err err = {0};

		if (vault_secret_set(vault, "row", &use, rows[i].value, &err) != (rows[i].good ? 0 : -1))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void names_and_places_are_checked(void **state)
{
	static const char *const bad_places[] = {"",        "header",   "header:",       "header:a b",
						 "basic:x", "cookie:x", "query:a=b;c\"", "header:\r"};
	static const char *const bad_names[] = {"", "A", "a/b", "..", "-a", "a b", "a.b"};
	struct credential_use use = use_of("https://a.test/*", "basic");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_places); i++)
		assert_int_equal(credential_place_parse(view_of(bad_places[i]), &use, NULL), -1);
	use = use_of("https://a.test/*", "basic");
	for (size_t i = 0; i < ARRAY_LEN(bad_names); i++)
		assert_int_equal(vault_secret_set(vault, bad_names[i], &use, VIEW("12345678"), NULL), -1);
	use.place = CREDENTIAL_PASSWORD;
	assert_int_equal(credential_use_check(&use, NULL), -1);
}

static void count_one(void *self, const char *name, const struct credential_use *use, int64_t set_ms)
{
	assert_string_equal(name, "anthropic");
	assert_string_equal(use->slot, "x-api-key");
	assert_true(set_ms > 0);
	++*(int *)self;
}

static void they_are_listed_without_their_values(void **state)
{
	int count = 0;

	(void)state;
	(void)!vault_secret_remove(vault, "row", NULL);
	vault_secret_each(vault, count_one, &count);
	assert_int_equal(count, 1);
}

#define STORY(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_taken_and_refused),
		cmocka_unit_test(a_rule_fits_what_it_names_and_nothing_else),
		STORY(a_placeholder_is_as_long_and_belongs_to_one_environment),
		STORY(a_credential_is_released_for_what_its_rules_allow),
		STORY(item_54_the_vault_itself_refuses_another_host_method_or_path),
		STORY(its_fingerprint_is_the_environments_own_and_says_nothing_of_it),
		STORY(the_gateway_hears_that_a_credential_was_set_or_removed),
		STORY(of_a_key_that_signs_only_what_signs_for_one_day_is_released),
		STORY(unbound_it_is_dead),
		STORY(removed_it_is_dead_and_gone_from_the_disk),
		STORY(on_the_disk_it_is_sealed_and_only_its_owner_may_read_it),
		STORY(after_the_process_died_everything_is_as_before),
		STORY(a_rule_changed_on_the_disk_makes_the_credential_useless),
		STORY(item_33_a_value_with_a_line_end_is_refused),
		STORY(names_and_places_are_checked),
		STORY(they_are_listed_without_their_values),
	};
	int failed;

	if (argc > 1 && strcmp(argv[1], "vault") == 0)
		return vault_main(argc - 1, argv + 1);
	if (!mkdtemp(state_dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!file_remove_tree(state_dir, NULL);
	return failed;
}
