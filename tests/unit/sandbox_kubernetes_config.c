/* Kubeconfigs, right and wrong; tokens and plugins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "sandbox/kubernetes/credential.h"

#define CLUSTER "clusters: [{name: c, cluster: {server: 'https://k8s:6443/'%s}}]\n"
#define CONTEXT "contexts: [{name: x, context: {cluster: c, user: u, namespace: n}}]\ncurrent-context: x\n"
#define USER "users: [{name: u, user: {%s}}]\n"
#define PEM64 "LS0tLS1CRUdJTiBYLS0tLS0K" /* "-----BEGIN X-----" */

static char folder[] = "/tmp/assay-kubeconfig-XXXXXX";

static void file_make(const char *name, const char *text, mode_t mode)
{
	AUTO_FREE char *path = text_format("%s/%s", folder, name);
	struct err err = {0};

	if (file_replace(path, view_of(text), mode, &err))
		fail_msg("%s", err.text);
}

static struct kube_config *parse(const char *cluster, const char *user, bool tenant, struct err *err)
{
	char text[4096];
	AUTO_FREE char *path = text_format("%s/config", folder);
	int length = snprintf(text, sizeof(text), CLUSTER CONTEXT USER, cluster, user);

	return kube_config_parse(&(struct kube_text){path, view_make(text, (size_t)length)}, 1, NULL, tenant, err);
}

static void what_a_kubeconfig_says_is_what_is_used(void **state)
{
	struct err err = {0};
	struct kube_config *config;

	(void)state;
	file_make("ca.pem", "-----BEGIN CERTIFICATE-----\n", 0600);
	config = parse(", certificate-authority: ca.pem, tls-server-name: api.internal, proxy-url: 'http://proxy:3128'",
		       "token: t, as: a, as-uid: '7', as-groups: [g, h], as-user-extra: {scopes: [x, y]}", false, &err);
	if (!config)
		fail_msg("%s", err.text);
	assert_string_equal(config->server, "https://k8s:6443");
	assert_string_equal(config->server_name, "api.internal");
	assert_string_equal(config->proxy, "http://proxy:3128");
	assert_string_equal(config->authority, "-----BEGIN CERTIFICATE-----\n");
	assert_string_equal(config->namespace, "n");
	assert_string_equal(config->token, "t");
	assert_string_equal(config->as, "a");
	assert_string_equal(config->as_uid, "7");
	assert_int_equal(config->as_group_count, 2);
	assert_string_equal(config->as_groups[1].value, "h");
	assert_int_equal(config->as_extra_count, 2);
	assert_string_equal(config->as_extra[1].name, "scopes");
	assert_string_equal(config->as_extra[1].value, "y");
	assert_false(config->unverified);
	kube_config_free(config);
}

static void contents_go_before_files(void **state)
{
	struct err err = {0};
	struct kube_config *config = parse(", certificate-authority: /no/such/file, certificate-authority-data: " PEM64,
					   "client-certificate-data: " PEM64 ", client-key-data: " PEM64, false, &err);

	(void)state;
	if (!config)
		fail_msg("%s", err.text);
	assert_string_equal(config->authority, "-----BEGIN X-----\n");
	assert_string_equal(config->key, "-----BEGIN X-----\n");
	kube_config_free(config);
}

static void what_cannot_be_used_is_refused_and_says_why(void **state)
{
	static const struct {
		const char *cluster, *user;
		bool tenant;
		enum err_kind kind;
		const char *says;
	} rows[] = {
		{"", "auth-provider: {name: gcp}", false, ERR_INVALID,
		 "config:4:41: `auth-provider` was removed from Kubernetes 1.26"},
		{"", "username: a, password: b", false, ERR_INVALID, "a user name and a password"},
		{"", "client-certificate-data: " PEM64, false, ERR_INVALID, "without its key"},
		{"", "client-certificate-data: '***', client-key-data: x", false, ERR_INVALID, "this is not base64"},
		{"", "client-certificate-data: aGVsbG8=, client-key-data: " PEM64, false, ERR_INVALID, "this holds no PEM"},
		{"", "client-certificate: nowhere.pem, client-key: nowhere.key", false, ERR_NOT_FOUND, "nowhere.pem"},
		{"", "token: \"a\\nb\"", false, ERR_INVALID, "a control character"},
		{"", "as-groups: [g]", false, ERR_INVALID, "need `as`"},
		{"", "as: a, as-groups: {g: h}", false, ERR_INVALID, "`as-groups` must be"},
		{"", "as: a, as-groups: g", false, ERR_INVALID, "`as-groups` must be"},
		{"", "as: a, as-user-extra: {x: y}", false, ERR_INVALID, "`as-user-extra` must be lists"},
		{"", "exec: {command: x}", false, ERR_INVALID, "must have the apiVersion"},
		{"", "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}", false, ERR_INVALID,
		 "must have the apiVersion"},
		{"", "exec: {apiVersion: client.authentication.k8s.io/v1}", false, ERR_INVALID, "`exec` has no `command`"},
		{"", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}", false, ERR_INVALID,
		 "wants a terminal"},
		{"", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, env: [a]}", false, ERR_INVALID,
		 "`env` must be"},
		{"", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x}", true, ERR_DENIED, "may not name commands"},
		{"", "tokenFile: /etc/shadow", true, ERR_DENIED, "may not name files"},
		{"", "client-certificate: /a, client-key: /b", true, ERR_DENIED, "may not name files"},
		{", certificate-authority: /a", "token: t", true, ERR_DENIED, "may not name files"},
		{", insecure-skip-tls-verify: true, certificate-authority-data: " PEM64, "token: t", false, ERR_INVALID,
		 "take one of them away"},
		{", insecure-skip-tls-verify: true", "token: t", true, ERR_NONE, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		struct kube_config *config = parse(rows[i].cluster, rows[i].user, rows[i].tenant, &err);

		if (err.kind != rows[i].kind || !strstr(err.text, rows[i].says))
			fail_msg("row %zu: %s: %s", i, err_kind_name(err.kind), err.text);
		assert_true(!config == (rows[i].kind != ERR_NONE));
		kube_config_free(config);
	}
}

static void servers_are_urls_of_the_web(void **state)
{
	static const struct {
		const char *server;
		const char *is; /* NULL: it is refused */
	} rows[] = {
		{"https://k8s", "https://k8s"},
		{"https://k8s:6443///", "https://k8s:6443"},
		{"https://rancher/k8s/clusters/c-1/", "https://rancher/k8s/clusters/c-1"},
		{"https://[fd00::1]:443", "https://[fd00::1]:443"},
		{"http://127.0.0.1:8001", "http://127.0.0.1:8001"},
		{"k8s:6443", NULL},
		{"ftp://k8s", NULL},
		{"https://user@k8s", NULL},
		{"https://k8s?x=y", NULL},
		{"file:///etc/passwd", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = text_format("clusters: [{name: c, cluster: {server: '%s'}}]\n"
						   "contexts: [{name: x, context: {cluster: c}}]\n",
						   rows[i].server);
		struct err err = {0};
		struct kube_config *config = kube_config_parse(&(struct kube_text){"config", view_of(text)}, 1, "x", false, &err);

		if (!config != !rows[i].is)
			fail_msg("%s: %s", rows[i].server, config ? config->server : err.text);
		if (config)
			assert_string_equal(config->server, rows[i].is);
		kube_config_free(config);
	}
}

static void files_of_a_list_are_merged_and_the_first_of_a_name_wins(void **state)
{
	AUTO_FREE char *list = text_format("%s/missing::%s/one:%s/sub/two", folder, folder, folder);
	AUTO_FREE char *sub = text_format("%s/sub", folder);
	AUTO_FREE char *beside = text_format("%s/sub/token", folder);
	struct err err = {0};
	struct kube_config *config;

	(void)state;
	assert_int_equal(mkdir(sub, 0700), 0);
	file_make("one", "clusters: [{name: c, cluster: {server: 'https://first'}}]\n", 0600);
	file_make("sub/two",
		  "clusters: [{name: c, cluster: {server: 'https://second'}}]\ncurrent-context: x\n"
		  "contexts: [{name: x, context: {cluster: c, user: u}}, {name: y, context: {cluster: c, user: none}}]\n"
		  "users: [{name: u, user: {tokenFile: token}}]\n",
		  0600);
	config = kube_config_read(list, NULL, &err);
	if (!config)
		fail_msg("%s", err.text);
	assert_string_equal(config->context, "x");
	assert_string_equal(config->server, "https://first");
	assert_string_equal(config->token_file, beside);
	kube_config_free(config);
	assert_null(kube_config_read(list, "y", &err));
	assert_non_null(strstr(err.text, "no user is called `none`; there are: u"));
	assert_null(kube_config_read(list, "z", &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "no context is called `z`; there are: x, y"));
	assert_null(kube_config_read("/no/such/file", NULL, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	file_make("none", "apiVersion: v1\n", 0600);
	AUTO_FREE char *none = text_format("%s/none", folder);
	assert_null(kube_config_read(none, NULL, &err));
	assert_non_null(strstr(err.text, "no context is chosen; there is: none"));
}

static void a_pod_finds_its_own_cluster(void **state)
{
	struct err err = {0};
	struct kube_config *config;

	(void)state;
	(void)unsetenv("KUBERNETES_SERVICE_HOST");
	assert_null(kube_config_pod(folder, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	(void)setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	(void)setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	file_make("ca.crt", "-----BEGIN CERTIFICATE-----\n", 0600);
	file_make("namespace", "assay\n", 0600);
	assert_null(kube_config_pod(folder, &err)); /* no token */
	file_make("token", "one\n", 0600);
	config = kube_config_pod(folder, &err);
	if (!config)
		fail_msg("%s", err.text);
	assert_string_equal(config->server, "https://[fd00::1]:443");
	assert_string_equal(config->namespace, "assay");
	kube_config_free(config);
	(void)unsetenv("KUBERNETES_SERVICE_HOST");
}

/* ---- credentials ---- */

static int64_t clock_ms;

static int64_t clock_read(void *self)
{
	(void)self;
	return clock_ms;
}

static void random_none(void *self, void *at, size_t length)
{
	(void)self;
	memset(at, 0, length);
}

static const struct world_ops clock_ops = {clock_read, clock_read, random_none};
static const struct world clock_world = {&clock_ops, NULL};

static void token_is(struct kube_identity *identity, const char *token)
{
	AUTO_CREDENTIAL credential = {0};
	struct err err = {0};

	if (kube_identity_get(identity, &credential, &err))
		fail_msg("%s", err.text);
	assert_string_equal(credential.token, token);
}

static void a_tokens_file_is_read_again_after_a_minute_or_a_refusal(void **state)
{
	struct err err = {0};
	struct kube_config *config = parse("", "token: old, tokenFile: rotated", false, &err);
	struct kube_identity *identity = kube_identity_new(config, clock_world);
	AUTO_CREDENTIAL before = {0};

	(void)state;
	clock_ms = 1000;
	token_is(identity, "old"); /* while the file is not there */
	file_make("rotated", "one\n", 0600);
	token_is(identity, "one");
	file_make("rotated", "two\n", 0600);
	token_is(identity, "one");
	clock_ms += KUBE_TOKEN_FRESH_MS;
	token_is(identity, "two");
	file_make("rotated", "three\n", 0600);
	assert_int_equal(kube_identity_get(identity, &before, &err), 0);
	assert_true(kube_identity_refused(identity, before.serial));
	token_is(identity, "three");
	assert_true(kube_identity_refused(identity, before.serial)); /* another thread has seen to it */
	file_make("rotated", "", 0600);
	clock_ms += KUBE_TOKEN_FRESH_MS;
	token_is(identity, "three");
	kube_identity_free(identity);
	kube_config_free(config);
}

static void a_plugin_is_asked_when_what_it_gave_is_over(void **state)
{
	struct err err = {0};
	struct kube_config *config;
	struct kube_identity *identity;

	(void)state;
	file_make(
		"plugin",
		"#!/bin/sh\ncd \"${0%/*}\"; echo x >>asked; n=$(wc -l <asked)\n"
		"case $KUBERNETES_EXEC_INFO in *'\"interactive\":false'*'\"server\":\"https://k8s:6443\"'*) ;; *) exit 3 ;; esac\n"
		"[ \"$1 $PROFILE\" = 'get me' ] || exit 4\n"
		"echo '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": "
		"{\"token\": \"t'$n'\", \"expirationTimestamp\": \"1970-01-01T00:02:00Z\"}}'\n",
		0700);
	config = parse(
		"",
		"exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [get], provideClusterInfo: true, "
		"env: [{name: PROFILE, value: me}]}",
		false, &err);
	if (!config)
		fail_msg("%s", err.text);
	identity = kube_identity_new(config, clock_world);
	clock_ms = 1000;
	token_is(identity, "t1");
	token_is(identity, "t1");
	clock_ms = 120000;
	token_is(identity, "t2");
	clock_ms = 1000;
	assert_true(kube_identity_refused(identity, 3));
	token_is(identity, "t3");
	kube_identity_free(identity);
	kube_config_free(config);
	config = parse("", "token: t", false, &err);
	identity = kube_identity_new(config, clock_world);
	assert_false(kube_identity_refused(identity, 1));
	kube_identity_free(identity);
	kube_config_free(config);
}

static void what_a_plugin_prints_is_checked(void **state)
{
#define ANSWER(rest) "{\"apiVersion\": \"v\", \"kind\": \"ExecCredential\"" rest "}"
	static const struct {
		const char *printed;
		bool good;
		int64_t expires_ms;
	} rows[] = {
		{ANSWER(", \"status\": {\"token\": \"t\"}"), true, 0},
		{ANSWER(", \"status\": {\"token\": \"t\", \"expirationTimestamp\": \"1970-01-01T01:00:10+01:00\"}"), true, 10000},
		{ANSWER(", \"status\": {\"token\": \"t\", \"expirationTimestamp\": \"1970-01-01T00:00:10.5Z\"}"), true, 10000},
		{ANSWER(", \"status\": {\"token\": \"t\", \"expirationTimestamp\": \"soon\"}"), false, 0},
		{ANSWER(", \"status\": {\"clientCertificateData\": \"c\", \"clientKeyData\": \"k\"}"), true, 0},
		{ANSWER(", \"status\": {\"clientCertificateData\": \"c\"}"), false, 0},
		{ANSWER(", \"status\": {\"token\": \"a\\nb\"}"), false, 0},
		{ANSWER(", \"status\": {\"token\": \"\"}"), false, 0},
		{ANSWER(""), false, 0},
		{"{\"apiVersion\": \"w\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"t\"}}", false, 0},
		{"", false, 0},
		{"{", false, 0},
		{"[]", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CREDENTIAL credential = {0};
		int64_t expires_ms = 0;
		struct err err = {0};
		int result = kube_credential_parse(view_of(rows[i].printed), "v", &credential, &expires_ms, &err);

		if (rows[i].good != (result == 0) || expires_ms != rows[i].expires_ms)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void a_plugin_that_fails_says_how_to_get_it(void **state)
{
	static const char *const commands[] = {"./fails", "./says-nothing", "/no/such/plugin"};

	(void)state;
	file_make("fails", "#!/bin/sh\necho 'not signed in' >&2; exit 1\n", 0700);
	file_make("says-nothing", "#!/bin/sh\n", 0700);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		AUTO_FREE char *user = text_format("exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: %s, "
						   "installHint: 'apt install it'}",
						   commands[i]);
		struct err err = {0};
		struct kube_config *config = parse("", user, false, &err);
		struct kube_identity *identity = kube_identity_new(config, clock_world);
		AUTO_CREDENTIAL credential = {0};

		assert_int_equal(kube_identity_get(identity, &credential, &err), -1);
		assert_int_equal(err.kind, ERR_DENIED);
		assert_non_null(strstr(err.text, "apt install it"));
		if (i == 0)
			assert_non_null(strstr(err.text, "not signed in"));
		kube_identity_free(identity);
		kube_config_free(config);
	}
}

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	(void)state;
	return file_remove_tree(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_kubeconfig_says_is_what_is_used),
		cmocka_unit_test(contents_go_before_files),
		cmocka_unit_test(what_cannot_be_used_is_refused_and_says_why),
		cmocka_unit_test(servers_are_urls_of_the_web),
		cmocka_unit_test(files_of_a_list_are_merged_and_the_first_of_a_name_wins),
		cmocka_unit_test(a_pod_finds_its_own_cluster),
		cmocka_unit_test(a_tokens_file_is_read_again_after_a_minute_or_a_refusal),
		cmocka_unit_test(a_plugin_is_asked_when_what_it_gave_is_over),
		cmocka_unit_test(what_a_plugin_prints_is_checked),
		cmocka_unit_test(a_plugin_that_fails_says_how_to_get_it),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
