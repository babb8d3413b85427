/* Signatures of webhooks: vectors that the vendors publish or that their own code made, and everything that must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/scope.h"
#include "http/webhook.h"

struct headers {
	const char *pairs[8]; /* name, value, … */
};

static const char *header(void *self, const char *name)
{
	const struct headers *headers = self;

	for (size_t i = 0; i + 1 < ARRAY_LEN(headers->pairs) && headers->pairs[i]; i += 2)
		if (strcmp(headers->pairs[i], name) == 0)
			return headers->pairs[i + 1];
	return NULL;
}

static void webhooks_pass_by_their_signature_alone(void **state)
{
	/* GitHub: docs.github.com "Validating webhook deliveries"; Slack: api.slack.com "Verifying requests from Slack"; Standard Webhooks:
	 * the specification's example. Linear and Gitea sign as GitHub does, without the prefix. */
	static const char slack_body[] =
		"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id="
		"U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2"
		"JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
	static const char standard_body[] = "{\"test\": 2432232314}";
	static const char standard_secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	static const char braces_mac[] = "4f1e7ef7c09ade3b4a78ac4c0a4d63ddb24eb9a4a1ad2c2b6c2fbbe6cbe4aaaa";
	static const struct {
		enum webhook_scheme scheme;
		const char *secret;
		struct headers headers;
		const char *body;
		int64_t now_s;
		const char *says; /* NULL: it passes */
	} rows[] = {
		{WEBHOOK_GITHUB,
		 "It's a Secret to Everybody",
		 {{"x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 NULL},
		{WEBHOOK_GITHUB,
		 "It's a Secret to Everybody",
		 {{"x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World",
		 0,
		 "not of this secret"},
		{WEBHOOK_GITHUB,
		 "It's a secret to everybody",
		 {{"x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 "not of this secret"},
		{WEBHOOK_GITHUB,
		 "It's a Secret to Everybody",
		 {{"x-hub-signature-256", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 "of another kind"},
		{WEBHOOK_GITHUB,
		 "It's a Secret to Everybody",
		 {{"x-hub-signature", "sha1=00"}},
		 "Hello, World!",
		 0,
		 "no x-hub-signature-256"},
		{WEBHOOK_GITHUB,
		 "It's a Secret to Everybody",
		 {{"x-hub-signature-256", "sha256="}},
		 "Hello, World!",
		 0,
		 "not of this secret"},
		{WEBHOOK_GITHUB, "", {{"x-hub-signature-256", "sha256=00"}}, "Hello, World!", 0, "without a secret"},
		{WEBHOOK_LINEAR,
		 "It's a Secret to Everybody",
		 {{"linear-signature", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 NULL},
		{WEBHOOK_LINEAR,
		 "It's a Secret to Everybody",
		 {{"linear-signature", "757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"}},
		 "Hello, World!",
		 0,
		 "not of this secret"},
		{WEBHOOK_LINEAR, "secret", {{"linear-signature", braces_mac}}, "{}", 0, "not of this secret"},
		{WEBHOOK_GITEA,
		 "It's a Secret to Everybody",
		 {{"x-gitea-signature", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 NULL},
		{WEBHOOK_GITEA,
		 "It's a Secret to Everybody",
		 {{"x-forgejo-signature", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		 "Hello, World!",
		 0,
		 NULL},
		{WEBHOOK_GITEA, "x", {{NULL}}, "Hello, World!", 0, "no x-forgejo-signature"},
		{WEBHOOK_GITLAB, "a token", {{"x-gitlab-token", "a token"}}, "", 0, NULL},
		{WEBHOOK_GITLAB, "a token", {{"x-gitlab-token", "a toke"}}, "", 0, "its token is another"},
		{WEBHOOK_SLACK,
		 "8f742231b10e8888abcd99yyyzzz85a5",
		 {{"x-slack-request-timestamp", "1531420618", "x-slack-signature",
		   "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}},
		 slack_body,
		 1531420618,
		 NULL},
		{WEBHOOK_SLACK,
		 "8f742231b10e8888abcd99yyyzzz85a5",
		 {{"x-slack-request-timestamp", "1531420618", "x-slack-signature",
		   "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}},
		 slack_body,
		 1531420618 + 301,
		 "five minutes"},
		{WEBHOOK_SLACK,
		 "8f742231b10e8888abcd99yyyzzz85a5",
		 {{"x-slack-request-timestamp", "1531420619", "x-slack-signature",
		   "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}},
		 slack_body,
		 1531420618,
		 "not of this secret"},
		{WEBHOOK_STANDARD,
		 standard_secret,
		 {{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature",
		   "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}},
		 standard_body,
		 1614265330,
		 NULL},
		{WEBHOOK_STANDARD,
		 standard_secret,
		 {{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature",
		   "v1a,xx v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}},
		 standard_body,
		 1614265330,
		 NULL},
		{WEBHOOK_STANDARD,
		 standard_secret,
		 {{"webhook-id", "msg_other", "webhook-timestamp", "1614265330", "webhook-signature",
		   "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}},
		 standard_body,
		 1614265330,
		 "not of this secret"},
		{WEBHOOK_STANDARD,
		 standard_secret,
		 {{"webhook-id", "m", "webhook-timestamp", "1614265330", "webhook-signature", "v1,"}},
		 standard_body,
		 1614265330,
		 "not of this secret"},
		{WEBHOOK_STANDARD,
		 standard_secret,
		 {{"webhook-id", "m", "webhook-timestamp", "soon", "webhook-signature", "v1,AAAA"}},
		 standard_body,
		 1614265330,
		 "no number of seconds"},
		{WEBHOOK_STANDARD,
		 "whsec_!",
		 {{"webhook-id", "m", "webhook-timestamp", "1614265330", "webhook-signature", "v1,AAAA"}},
		 standard_body,
		 1614265330,
		 "is whsec_ and base64"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct headers headers = rows[i].headers;
		struct webhook_request request = {header, &headers, view_of(rows[i].body)};
		struct err err = {0};
		int failed = webhook_verify(rows[i].scheme, rows[i].secret, &request, rows[i].now_s * 1000, &err);

		if ((failed != 0) != (rows[i].says != NULL) || (failed && !strstr(err.text, rows[i].says)))
			fail_msg("row %zu: %s, wanted %s", i, failed ? err.text : "it passes",
				 rows[i].says ? rows[i].says : "it passes");
	}
}

static void what_is_signed_here_is_what_the_specification_says(void **state)
{
	AUTO_BUF signature = buf_new(256);
	AUTO_BUF secret = buf_new(256);
	unsigned char random[32] = {1, 2, 3};

	(void)state;
	assert_int_equal(webhook_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
				      VIEW("{\"test\": 2432232314}"), &signature, NULL),
			 0);
	assert_string_equal(signature.at, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	webhook_secret_format(random, &secret);
	assert_string_equal(secret.at, "whsec_AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	buf_clear(&signature);
	assert_int_equal(webhook_sign(secret.at, "m", 1, VIEW(""), &signature, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(webhooks_pass_by_their_signature_alone),
		cmocka_unit_test(what_is_signed_here_is_what_the_specification_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
