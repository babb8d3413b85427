/* What GitHub and Linear have in common: webhooks on their way to us, signed, lost, doubled and late, and how requests fail. */
#include "outside.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define SECRET "a secret of webhooks"
#define HEADERS_MAX 4

struct outside_sim outside;

/* ---- answers ---- */

int answer_put(struct http_response *response, unsigned status, json_t *body)
{
	AUTO_JSON owned = body;

	response->status = status;
	buf_clear(&response->body);
	if (body)
		json_format(&response->body, body);
	return 0;
}

static void head_text(struct http_response *response, const char *name, char *value)
{
	if (!response->headers)
		response->headers = mem_new(HEADERS_MAX * sizeof(*response->headers));
	if (response->header_count == HEADERS_MAX)
		broken("an answer has too many headers");
	response->headers[response->header_count++] = (struct http_header){name, value};
}

void answer_head(struct http_response *response, const char *name, int64_t value)
{
	head_text(response, name, text_format("%lld", (long long)value));
}

void http_response_fini(struct http_response *response)
{
	for (size_t i = 0; i < response->header_count; i++)
		free((char *)(uintptr_t)response->headers[i].value);
	free(response->headers);
	buf_fini(&response->body);
	*response = (struct http_response){0};
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	for (size_t i = 0; i < response->header_count; i++)
		if (strcasecmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return NULL;
}

bool outside_answers(const char *url)
{
	return strncmp(url, "https://api.", 12) == 0;
}

/* A token is asked for under a lock: nobody else works meanwhile. What was asked for may happen though no answer comes, or half of one. */
int outside_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	bool linear = strncmp(call->url, "https://api.linear.app/", 23) == 0;
	bool github = strncmp(call->url, "https://api.github.com/", 23) == 0;

	if (!linear && !github)
		broken("nobody is at %s", call->url);
	if (!strstr(call->url, "/oauth/token") && !strstr(call->url, "/installation"))
		meanwhile(sim.current);
	if (alive_check(sim.current, err) || maybe_fails(40, "connection refused", err))
		return -1;
	*response = (struct http_response){.body = buf_new(1 << 20)};
	note(call->url);
	if ((linear ? linear_answer(call, response) : github_answer(call, response)) || buf_finish(&response->body, err))
		return -1;
	outside.refused += response->status >= 300;
	if (response->status < 300 && chance(60))
		buf_cut(&response->body, response->body.length / 2);
	return alive_check(sim.current, err) || maybe_fails(40, "its answer was lost", err) ? -1 : 0;
}

/* ---- webhooks ---- */

void hook_put(const char *event, json_t *body)
{
	struct hook_sim *hook = &outside.hooks[outside.hook_count++];

	if (outside.hook_count == HOOKS_MAX)
		broken("too many webhooks");
	*hook = (struct hook_sim){.body = body, .due_ms = sim.clock_ms + (int64_t)pick(20000), .waits = true};
	(void)snprintf(hook->id, sizeof(hook->id), "hook-%d", outside.hook_count);
	(void)snprintf(hook->event, sizeof(hook->event), "%s", event);
}

struct hook_request {
	const struct hook_sim *hook;
	char signature[80];
};

static const char *hook_header(void *self, const char *name)
{
	const struct hook_request *request = self;
	bool github = *request->hook->event;

	if (github)
		return strcmp(name, "x-github-event") == 0        ? request->hook->event
		       : strcmp(name, "x-github-delivery") == 0   ? request->hook->id
		       : strcmp(name, "x-hub-signature-256") == 0 ? request->signature
								  : NULL;
	return strcmp(name, "linear-delivery") == 0    ? request->hook->id
	       : strcmp(name, "linear-signature") == 0 ? request->signature
						       : NULL;
}

/* HMAC-SHA256 over the bytes, in hexadecimal; GitHub's has a prefix. */
static void sign(struct hook_request *request, struct view body)
{
	unsigned char digest[32];
	size_t at = 0;

	(void)HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)body.at, body.length, digest, NULL);
	if (*request->hook->event)
		at = (size_t)snprintf(request->signature, sizeof(request->signature), "sha256=");
	for (size_t i = 0; i < sizeof(digest); i++)
		(void)snprintf(request->signature + at + 2 * i, 3, "%02x", digest[i]);
}

static void hook_try(struct plane_sim *plane, struct hook_sim *hook)
{
	struct hook_request request = {.hook = hook};
	AUTO_BUF body = buf_new(1 << 20);
	AUTO_FREE char *answer = NULL;
	struct err err = {0};
	int failed;

	if (!*hook->event)
		(void)json_object_set_new(hook->body, "webhookTimestamp", json_integer(sim.clock_ms));
	json_format(&body, hook->body);
	sign(&request, buf_view(&body));
	const struct webhook_request sent = {hook_header, &request, buf_view(&body)};

	sim.current = plane;
	failed = runs_delivery_take(plane->runs, *hook->event ? outside.github_id : outside.linear_id, &sent, &answer, &err);
	sim.current = NULL;
	if (failed && err.kind != ERR_RETRY && err.kind != ERR_CANCELLED)
		broken("the webhook %s is refused: %s", hook->id, err.text);
	hook->status = failed ? 503 : 200;
}

/* GitHub tries once and forgets, until somebody asks it to send it again; Linear tries again by itself. */
void outside_deliver(struct plane_sim *plane)
{
	struct hook_sim *hook = outside.hook_count ? &outside.hooks[pick((uint64_t)outside.hook_count)] : NULL;
	bool last;

	if (!hook || hook->due_ms > sim.clock_ms || (!hook->waits && !(hook->tries && chance(12))))
		return;
	sim.resent += !hook->waits;
	last = hook->tries >= HOOK_TRIES;
	hook->tries++;
	hook->tried_ms = sim.clock_ms;
	hook->status = 504;
	if (last || !chance(5)) /* else it is lost on its way */
		hook_try(plane, hook);
	if (!last && chance(8)) /* it came, and the sender does not know */
		hook->status = 504;
	hook->waits = hook->status != 200 && (last || !*hook->event);
	hook->due_ms = sim.clock_ms + (int64_t)pick(30000);
}

bool outside_is_over(void)
{
	for (int i = 0; i < outside.hook_count; i++)
		if (outside.hooks[i].status != 200)
			return false;
	return true;
}

/* ---- a world's ---- */

char *words_new(const char *prefix)
{
	return text_format("%s-%llu.", prefix, (unsigned long long)pick(1000000));
}

static void connection_put(const char *kind, json_t *configuration, json_t *secrets, char id[32])
{
	AUTO_JSON request = json_pack("{s:s, s:o, s:o}", "kind", kind, "configuration", configuration, "secrets", secrets);
	AUTO_JSON made = NULL;
	struct err err = {0};

	(void)json_object_set_new(secrets, "webhook_secret", json_string(SECRET));
	made = runs_connection_make(sim.planes[0].runs, request, &err);
	if (!made)
		broken("no connection to %s: %s", kind, err.text);
	(void)snprintf(id, 32, "%s", json_text(made, "id", ""));
}

static void github_connect(void)
{
	AUTO_JSON shop = NULL;
	AUTO_JSON lib = NULL;
	struct err err = {0};

	github_begin();
	connection_put("github", json_pack("{s:s, s:s}", "app_id", "1", "slug", "assay"),
		       json_pack("{s:s}", "private_key", github_key()), outside.github_id);
	shop = runs_repository_add(sim.planes[0].runs, "https://github.com/acme/shop", outside.github_id, NULL, false, &err);
	lib = shop ? runs_repository_add(sim.planes[0].runs, "https://github.com/acme/lib", outside.github_id, NULL, false, &err)
		   : NULL;
	if (!lib)
		broken("no repository of GitHub: %s", err.text);
}

static void linear_connect(void)
{
	json_t *configuration = json_pack("{s:s, s:b}", "client_id", "app", "client_credentials", 1);
	AUTO_JSON allowed = NULL;
	struct err err = {0};

	linear_begin();
	if (pick(2)) /* else it is asked which */
		(void)json_object_set_new(configuration, "repository", json_string("shop"));
	connection_put("linear", configuration, json_pack("{s:s}", "client_secret", "s"), outside.linear_id);
	allowed = runs_permission(sim.planes[0].runs, outside.linear_id, "", true, &err);
	if (!allowed)
		broken("no workspace of Linear: %s", err.text);
}

void outside_begin(void)
{
	memset(&outside, 0, sizeof(outside));
	outside.github = pick(2);
	outside.linear = pick(2);
	if (outside.github)
		github_connect();
	if (outside.linear)
		linear_connect();
}

void outside_end(void)
{
	for (int i = 0; i < outside.hook_count; i++)
		json_decref(outside.hooks[i].body);
	github_end();
	linear_end();
}

bool outside_give(int nth)
{
	uint64_t by = pick(3);

	if (by == 0 && outside.github)
		github_give(nth);
	else if (by == 1 && outside.linear)
		linear_give(nth);
	else
		return false;
	return true;
}

void outside_act(void)
{
	if (outside.github && chance(2))
		github_act();
	else if (outside.linear && chance(2))
		linear_act();
}

void outside_check(void)
{
	if (was_told("evil"))
		broken("an agent was told what a stranger wrote");
	if (outside.doubles > sim.hangs)
		broken("%d things are there twice, after %d hangs past a lease", outside.doubles, sim.hangs);
	if (outside.github)
		github_check();
	if (outside.linear)
		linear_check();
}
