/* A certificate that signs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/identity.h"
#include "net/tls.h"

#define PEM_MAX ((size_t)64 << 10)

static void it_is_for_its_name_alone(void **state)
{
	AUTO_BUF pem = buf_new(PEM_MAX);
	struct tls_side *side = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(identity_make("assay.internal", &pem, &err), 0);
	assert_int_equal(tls_server_new(&side, &err), 0);
	assert_int_equal(tls_server_identity(side, buf_view(&pem), "assay.internal", &err), 0);
	assert_int_equal(tls_server_identity(side, buf_view(&pem), "other.internal", &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	tls_side_free(side);
}

static void what_is_public_has_no_key(void **state)
{
	AUTO_BUF pem = buf_new(PEM_MAX);
	struct view public;
	struct err err = {0};

	(void)state;
	assert_int_equal(identity_make("assay.internal", &pem, &err), 0);
	public = identity_public(buf_view(&pem));
	assert_true(view_starts(public, VIEW("-----BEGIN CERTIFICATE-----\n")));
	assert_int_equal(view_find(public, VIEW("PRIVATE")), -1);
	assert_true(view_find(buf_view(&pem), VIEW("-----BEGIN PRIVATE KEY-----")) >= (ptrdiff_t) public.length);
	assert_int_equal(identity_public(VIEW("nothing of the kind")).length, 0);
}

static void no_two_are_alike(void **state)
{
	AUTO_BUF one = buf_new(PEM_MAX);
	AUTO_BUF other = buf_new(PEM_MAX);
	struct err err = {0};

	(void)state;
	assert_int_equal(identity_make("assay.internal", &one, &err), 0);
	assert_int_equal(identity_make("assay.internal", &other, &err), 0);
	assert_string_not_equal(one.at, other.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_for_its_name_alone),
		cmocka_unit_test(what_is_public_has_no_key),
		cmocka_unit_test(no_two_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
