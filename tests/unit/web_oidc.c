/* What an OpenID provider says of a person: whether it is for us, now, and which role it gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "web/oidc.h"

#define NOW_S 1700000000

static int64_t now(void *self)
{
	(void)self;
	return (int64_t)NOW_S * 1000;
}

static const struct world_ops clock_ops = {.now_ms = now, .elapsed_ms = now};
static const struct oidc_options options = {
	.issuer = "https://id.example.com", .client = "assay", .roles = "sub:ann=admin", .world = {&clock_ops, NULL}};

static void claims_are_for_us_and_of_now(void **state)
{
	static const struct {
		const char *change; /* put over the good ones; null takes away */
		const char *says;   /* NULL: taken */
	} rows[] = {
		{"{}", NULL},
		{"{\"aud\":[\"assay\"]}", NULL},
		{"{\"aud\":[\"assay\",\"other\"],\"azp\":\"assay\"}", NULL},
		{"{\"exp\":1699999960}", NULL}, /* ended 40 s ago: clocks differ */
		{"{\"iat\":1700000040}", NULL},
		{"{\"iss\":\"https://evil.example.com\"}", "another provider's"},
		{"{\"iss\":\"https://id.example.com/\"}", "another provider's"},
		{"{\"iss\":null}", "another provider's"},
		{"{\"aud\":\"other\"}", "for another program"},
		{"{\"aud\":[]}", "for another program"},
		{"{\"aud\":null}", "for another program"},
		{"{\"aud\":[\"assay\",\"other\"]}", "given to another program"},
		{"{\"azp\":\"other\"}", "given to another program"},
		{"{\"exp\":1699999930}", "has ended"},
		{"{\"exp\":\"1800000000\"}", "has ended"},
		{"{\"exp\":null}", "has ended"},
		{"{\"iat\":1700000070}", "of the future"},
		{"{\"iat\":null}", "of the future"},
		{"{\"nbf\":1700000070}", "of the future"},
		{"{\"nonce\":\"m\"}", "another sign-in"},
		{"{\"nonce\":null}", "another sign-in"},
		{"{\"sub\":\"\"}", "of nobody"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON claims = json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "iss", options.issuer, "aud", "assay", "exp",
					     NOW_S + 600, "iat", NOW_S, "nonce", "n", "sub", "ann");
		AUTO_JSON change = json_parse(view_of(rows[i].change), NULL);
		struct err err = {0};
		int failed;

		(void)json_object_update(claims, change);
		failed = oidc_claims_judge(&options, claims, "n", &err);
		if (!failed != !rows[i].says || (failed && !strstr(err.text, rows[i].says)))
			fail_msg("%s: %s", rows[i].change, failed ? err.text : "taken");
	}
}

static void the_highest_role_that_fits_is_the_persons(void **state)
{
	static const char roles[] =
		"groups:platform=admin  groups:dev=developer email:boss@example.com=approver email:@example.com=viewer "
		"https://claims/team:a=b=developer";
	static const struct {
		const char *claims;
		const char *role; /* NULL: none */
	} rows[] = {
		{"{\"groups\":[\"dev\"]}", "developer"},
		{"{\"groups\":[\"dev\",\"platform\"]}", "admin"},
		{"{\"groups\":\"dev\"}", "developer"},
		{"{\"groups\":[\"Dev\",1,null]}", NULL},
		{"{\"groups\":{\"dev\":1}}", NULL},
		{"{\"email\":\"a@example.com\",\"email_verified\":true}", "viewer"},
		{"{\"email\":\"A@EXAMPLE.COM\",\"email_verified\":true}", "viewer"},
		{"{\"email\":\"boss@example.com\",\"email_verified\":true}", "approver"},
		{"{\"email\":\"boss@example.com\",\"email_verified\":true,\"groups\":[\"dev\"]}", "approver"},
		{"{\"email\":\"a@example.com\",\"email_verified\":false}", NULL},
		{"{\"email\":\"a@example.com\",\"email_verified\":\"true\"}", NULL},
		{"{\"email\":\"a@example.com\"}", NULL},
		{"{\"email\":\"a@notexample.com\",\"email_verified\":true}", NULL},
		{"{\"email\":\"@example.com\",\"email_verified\":true}", NULL},
		{"{\"email\":\"a@example.com\\u0000\",\"email_verified\":true}", NULL},
		{"{}", NULL},
	};
	static const char *const wrong[] = {"groups",     "groups:dev",      "groups:=admin",
					    ":dev=admin", "groups:dev=root", "groups:dev="};
	char role[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON claims = json_loads(rows[i].claims, JSON_ALLOW_NUL, NULL);
		struct err err = {0};
		int failed = oidc_role_find(roles, claims, role, &err);

		if (!failed != (rows[i].role != NULL) || (!failed && strcmp(role, rows[i].role) != 0))
			fail_msg("%s: %s", rows[i].claims, failed ? err.text : role);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = {0};

		if (!oidc_role_find(wrong[i], NULL, role, &err) || err.kind != ERR_INVALID)
			fail_msg("%s was taken", wrong[i]);
	}
}

static void what_is_wrong_with_the_configuration_is_said(void **state)
{
	static const struct {
		struct oidc_options options;
		const char *says;
	} rows[] = {
		{{.issuer = "id.example.com", .client = "a", .roles = "sub:a=admin"}, "oidc-issuer: "},
		{{.issuer = "http://id.example.com", .client = "a", .roles = "sub:a=admin"}, "expected https://"},
		{{.issuer = "https://id.example.com", .roles = "sub:a=admin"}, "oidc-client is missing"},
		{{.issuer = "https://id.example.com", .client = "a"}, "oidc-roles is missing"},
		{{.issuer = "https://id.example.com", .client = "a", .roles = "sub:a"}, "expected CLAIM:VALUE=ROLE"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oidc *oidc = NULL;
		struct err err = {0};

		if (!oidc_open(&rows[i].options, &oidc, &err) || !strstr(err.text, rows[i].says))
			fail_msg("wanted \"%s\": %s", rows[i].says, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_are_for_us_and_of_now),
		cmocka_unit_test(the_highest_role_that_fits_is_the_persons),
		cmocka_unit_test(what_is_wrong_with_the_configuration_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
