/* What programs find in their environment, by how what leaves their room comes to the gateway. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "sandbox/environment_priv.h"

static int give_authority(void *self, const char *env, struct buf *pem, char hash[SANDBOX_AUTHORITY_HASH_MAX], struct err *err)
{
	(void)self;
	(void)env;
	(void)pem;
	(void)err;
	hash[0] = '\0';
	return 0;
}

/* The value, or NULL. */
static const char *value_of(char *const *variables, const char *name)
{
	size_t length = strlen(name);

	for (; *variables; variables++)
		if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
			return *variables + length + 1;
	return NULL;
}

static char **variables_of(enum door_mode mode, enum member_kind kind, const struct variables *more)
{
	static struct provider_ops ops;
	static struct environments all;
	static struct service front = {.name = (char *)(uintptr_t) "front"};
	static struct member members[] = {{.name = "front-2", .kind = MEMBER_SERVICE},
					  {.name = "workspace", .kind = MEMBER_WORKSPACE}};
	static struct environment env = {.member_count = 2, .members = members};

	ops.door_mode = mode;
	all = (struct environments){.provider = {&ops, NULL}, .authority = give_authority};
	env.all = &all;
	members[0].service = kind == MEMBER_DATABASE ? NULL : &front;
	members[0].kind = kind;
	(void)pthread_mutex_init(&env.mutex, NULL);
	return member_variables(&env, &members[0], more);
}

static void on_one_machine_no_proxy_is_named(void **state)
{
	char **variables = variables_of(DOOR_MODE_REDIRECT, MEMBER_SERVICE, NULL);

	(void)state;
	assert_null(value_of(variables, "HTTPS_PROXY"));
	assert_null(value_of(variables, "NO_PROXY"));
	assert_string_equal(value_of(variables, "JAVA_TOOL_OPTIONS"), "-Djavax.net.ssl.trustStore=/etc/ssl/certs/assay.jks");
	variables_free(variables);
}

static void on_a_cluster_the_proxy_is_named_for_all_but_the_environments_names(void **state)
{
	static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"};
	char **variables = variables_of(DOOR_MODE_PROXY, MEMBER_SERVICE, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(value_of(variables, names[i]), "http://127.18.0.2:3128");
	assert_string_equal(value_of(variables, "no_proxy"),
			    "localhost,127.0.0.1,::1,assay.internal,.assay.internal,front,workspace");
	assert_string_equal(value_of(variables, "NO_PROXY"), value_of(variables, "no_proxy"));
	assert_string_equal(value_of(variables, "JAVA_TOOL_OPTIONS"),
			    "-Djavax.net.ssl.trustStore=/etc/ssl/certs/assay.jks -Dhttp.proxyHost=127.18.0.2 -Dhttp.proxyPort=3128"
			    " -Dhttps.proxyHost=127.18.0.2 -Dhttps.proxyPort=3128"
			    " -Dhttp.nonProxyHosts=localhost|127.*|assay.internal|*.assay.internal|front|workspace");
	assert_string_equal(value_of(variables, "SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt");
	variables_free(variables);
}

static void a_database_has_no_way_out_and_what_is_asked_for_wins(void **state)
{
	struct name_value none = {.name = (char *)(uintptr_t) "HTTPS_PROXY", .value = (char *)(uintptr_t) ""};
	const struct variables more = {.at = &none, .count = 1};
	char **database = variables_of(DOOR_MODE_PROXY, MEMBER_DATABASE, NULL);
	char **own = variables_of(DOOR_MODE_PROXY, MEMBER_SERVICE, &more);

	(void)state;
	assert_null(value_of(database, "HTTPS_PROXY"));
	assert_string_equal(value_of(own, "HTTPS_PROXY"), "");
	variables_free(database);
	variables_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_one_machine_no_proxy_is_named),
		cmocka_unit_test(on_a_cluster_the_proxy_is_named_for_all_but_the_environments_names),
		cmocka_unit_test(a_database_has_no_way_out_and_what_is_asked_for_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
