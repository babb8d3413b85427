/* The server of the tests, and how it is asked. */
#include "web_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "http/client.h"
#include "store/store.h"

/* The real world, but for the time that a test lets pass. */
atomic_llong bench_passed_ms;

static int64_t now_ms(void *self)
{
	(void)self;
	return world_now_ms(world_real) + atomic_load(&bench_passed_ms);
}

static int64_t elapsed_ms(void *self)
{
	(void)self;
	return world_elapsed_ms(world_real) + atomic_load(&bench_passed_ms);
}

static void random_bytes(void *self, void *at, size_t length)
{
	(void)self;
	world_random(world_real, at, length);
}

static const struct world_ops bench_world = {now_ms, elapsed_ms, random_bytes};

static void on_shutdown(void *self)
{
	((struct bench *)self)->ended = true;
}

static json_t *on_doctor(void *self)
{
	(void)self;
	return json_pack("{s:[]}", "items");
}

void answer_free(struct answer *answer)
{
	free(answer->text);
	free(answer->type);
	free(answer->etag);
	free(answer->keeping);
	free(answer->policy);
	free(answer->cookie);
	free(answer->replayed);
	free(answer->retry);
	free(answer->rate);
}

#define HEADERS_MAX 6

struct answer ask(struct bench *bench, enum road road, const char *method, const char *path, const char *headers, const char *body)
{
	AUTO_RESPONSE response = {0};
	AUTO_FREE char *url = text_format("%s%s", road == TCP ? web_base(bench->web) : "http://localhost", path);
	struct http_header list[HEADERS_MAX] = {{0}};
	char *kept[HEADERS_MAX * 2] = {NULL};
	struct err err = {0};
	struct http_call call = {
		.method = method, .url = url, .headers = list, .body = view_of(body ? body : ""), .has_body = body != NULL};
	struct answer answer = {0};

	if (road != TCP)
		call.unix_socket = road == UNIX ? bench->serve_socket : bench->tool_socket;
	for (struct view rest = view_of(headers ? headers : ""), line; rest.length && call.header_count < HEADERS_MAX;) {
		struct view value;
		struct view port;
		struct view name = view_cut(line = view_cut(rest, '\n', &rest), ':', &value);
		struct view before = view_cut(view_trim(value), '$', &port);
		size_t at = call.header_count++;

		(void)line;
		kept[at * 2] = view_copy(name);
		if (!port.at)
			kept[at * 2 + 1] = view_copy(before);
		else if (view_starts(port, VIEW("TOKEN")))
			kept[at * 2 + 1] = text_format("%.*s%s", (int)before.length, before.at, bench->token);
		else
			kept[at * 2 + 1] = text_format("%.*s%s", (int)before.length, before.at,
						       strrchr(web_base(bench->web), ':') + 1);
		list[at] = (struct http_header){kept[at * 2], kept[at * 2 + 1]};
	}
	if (http_client_call(&call, &response, &err))
		fail_msg("%s %s: %s", method, path, err.text);
	answer.status = response.status;
	answer.text = view_copy(buf_view(&response.body));
	answer.type = text_copy(http_response_header(&response, "Content-Type"));
	answer.etag = text_copy(http_response_header(&response, "ETag"));
	answer.keeping = text_copy(http_response_header(&response, "Cache-Control"));
	answer.cookie = text_copy(http_response_header(&response, "Set-Cookie"));
	answer.replayed = text_copy(http_response_header(&response, "Idempotency-Replayed"));
	answer.retry = text_copy(http_response_header(&response, "Retry-After"));
	answer.rate = text_copy(http_response_header(&response, "RateLimit"));
	answer.policy = text_copy(http_response_header(&response, "Content-Security-Policy"));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		free(kept[i]);
	return answer;
}

int bench_open(void **state)
{
	struct bench *bench = mem_new(sizeof(*bench));
	struct err err = {0};
	struct web_options options = {.state_dir = "/nowhere",
				      .listen = "127.0.0.1:0",
				      .preview_base = "127.0.0.1:7421",
				      .shutdown = on_shutdown,
				      .doctor = on_doctor,
				      .self = bench,
				      .world = {&bench_world, NULL}};

	strcpy(bench->dir, "/tmp/assay-web-XXXXXX");
	if (!mkdtemp(bench->dir))
		return -1;
	bench->serve_socket = text_format("%s/serve.sock", bench->dir);
	bench->tool_socket = text_format("%s/tool.sock", bench->dir);
	AUTO_FREE char *database = text_format("%s/assay.db", bench->dir);
	if (store_open(database, &fake_store, &err))
		return -1;
	options.serve_socket = bench->serve_socket;
	options.tool_socket = bench->tool_socket;
	if (web_open(&options, &bench->web, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	AUTO_ANSWER session = ask(bench, TCP, "GET", "/session.json", "Sec-Fetch-Site: same-origin", NULL);
	AUTO_JSON json = json_parse(view_of(session.text), &err);
	bench->token = text_copy(json_text(json, "token", ""));
	*state = bench;
	return 0;
}

int bench_close(void **state)
{
	struct bench *bench = *state;
	struct err err;
	int failed;

	web_close(bench->web);
	store_close(fake_store);
	failed = file_remove_tree(bench->dir, &err);
	free(bench->serve_socket);
	free(bench->tool_socket);
	free(bench->token);
	free(bench);
	return failed;
}

void questions_ask(struct bench *bench, const struct question *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_ANSWER answer = ask(bench, rows[i].road, rows[i].method, rows[i].path, rows[i].headers, rows[i].body);

		if (answer.status != rows[i].status || !strstr(answer.text, rows[i].says))
			fail_msg("row %zu: %s %s: %u %s, wanted %u %s", i, rows[i].method, rows[i].path, answer.status, answer.text,
				 rows[i].status, rows[i].says);
	}
}
