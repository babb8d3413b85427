/* Certificates asked for, kept, limited, and asked for again when the vault's link ends: the vault is scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "gateway/egress/mint.h"
#include "net/vault.h"

struct fixture {
	struct worker worker;
	int vault; /* the other end of the link */
	unsigned good, bad;
	const char *why;
};

static void on_done(void *self, const struct tls_certificate *certificate, const struct tls_key *key, const char *why)
{
	struct fixture *fixture = self;

	if (certificate && key)
		fixture->good++;
	else
		fixture->bad++;
	fixture->why = why;
}

static int setup(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));
	struct err err;
	int pair[2];

	fixture->worker.loop = loop_new(&err);
	fixture->worker.mint = mint_new(&fixture->worker);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fixture->vault = pair[0];
	assert_int_equal(mint_link_set(fixture->worker.mint, pair[1], &err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	mint_free(fixture->worker.mint);
	loop_free(fixture->worker.loop);
	(void)close(fixture->vault);
	free(fixture);
	return 0;
}

/* How many requests for leaves the vault was sent by now. */
static unsigned asked(const struct fixture *fixture)
{
	char bytes[sizeof(struct vault_mint_request) + sizeof(struct vault_identity_request)];
	unsigned count = 0;
	ssize_t got;

	while ((got = recv(fixture->vault, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		count += got == (ssize_t)sizeof(struct vault_mint_request);
	return count;
}

static void item_73_new_names_are_limited_and_few_are_under_way_at_once(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < MINT_BURST + 100; i++) {
		AUTO_FREE char *host = text_format("n%d.example.com", i);

		(void)mint_leaf(fixture->worker.mint, "e1", host, on_done, fixture);
	}
	assert_int_equal(fixture->bad, 100);
	assert_string_equal(fixture->why, "too many new names at once");
	assert_int_equal(asked(fixture), VAULT_ASKED_MAX);
	/* Another environment has its own. */
	assert_non_null(mint_leaf(fixture->worker.mint, "e2", "n1.example.com", on_done, fixture));
	assert_int_equal(fixture->bad, 100);
}

static void one_name_is_asked_for_once(void **state)
{
	struct fixture *fixture = *state;
	struct mint_ask *left = mint_leaf(fixture->worker.mint, "e1", "a.example.com", on_done, fixture);

	for (int i = 0; i < 10; i++)
		assert_non_null(mint_leaf(fixture->worker.mint, "e1", "a.example.com", on_done, fixture));
	assert_int_equal(asked(fixture), 1);
	mint_cancel(left);
	mint_env_forget(fixture->worker.mint, "e1");
	assert_int_equal(fixture->bad, 10); /* but not who left */
	assert_int_equal(fixture->good, 0);
}

static void over_a_new_link_it_is_asked_again(void **state)
{
	struct fixture *fixture = *state;
	struct err err;
	int pair[2];

	(void)mint_leaf(fixture->worker.mint, "e1", "a.example.com", on_done, fixture);
	assert_int_equal(asked(fixture), 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(mint_link_set(fixture->worker.mint, pair[1], &err), 0);
	(void)close(fixture->vault);
	fixture->vault = pair[0];
	assert_int_equal(asked(fixture), 1);
	assert_int_equal(fixture->good + fixture->bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(item_73_new_names_are_limited_and_few_are_under_way_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(one_name_is_asked_for_once, setup, teardown),
		cmocka_unit_test_setup_teardown(over_a_new_link_it_is_asked_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
