/*
 * The API and the pages as one table of rows over two servers.
 *
 * Theory of operation: the main server listens on TCP (pages) and on a Unix socket (command line); the tools' server on a Unix
 * socket of its own, which only the gateway reaches. Before a row's handler runs, access.c decides by the row and by where the request came from. Then the body is checked against the row's fields. Handlers
 * block as they like: they run on the server's pool. Long work and terminals, which outlive them, have threads of
 * their own (work.c); all streams that are followed have one (watch.c), those of logs another.
 */
#include "web/web.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "base/span.h"
#include "web/watch.h"

#define STOP_GRACE_MS 3000
#define AGAIN_SECONDS "5"
#define THREADS 16
#define SERVE_SOCKET_MODE 0600
#define TOOL_SOCKET_MODE 0600

/* Behind a proxy that ends TLS: never without it again. */
#define TRANSPORT_SECURITY "Strict-Transport-Security: max-age=31536000\r\n"

/* A page may show previews beside each other: they are other origins, and can reach nothing of it. */
static char *security_headers(const struct web *web, bool safe)
{
	const char *port = web->preview_base ? strrchr(web->preview_base, ':') : NULL;

	return text_format("Content-Security-Policy: default-src 'self'; frame-src http://*.localhost%s%s%s; base-uri 'none'; "
			   "form-action 'self'; frame-ancestors 'none'; object-src 'none'\r\n"
			   "X-Content-Type-Options: nosniff\r\n"
			   "X-Frame-Options: DENY\r\n"
			   "Referrer-Policy: no-referrer\r\n"
			   "Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n"
			   "Cross-Origin-Opener-Policy: same-origin\r\n"
			   "Cross-Origin-Resource-Policy: same-origin\r\n%s",
			   port && port[1 + strspn(port + 1, "0123456789")] == '\0' ? port : ":7421",
			   web->preview_domain ? " https://*." : "", web->preview_domain ? web->preview_domain : "",
			   safe ? TRANSPORT_SECURITY : "");
}

/* What may pass (the store is full or away) is said to. */
static void error_answer(struct http_reply *reply, const struct err *err)
{
	if (err->kind == ERR_RETRY)
		http_reply_header(reply, "Retry-After", AGAIN_SECONDS);
	http_reply_err(reply, err);
}

static void request_span(struct span *span, const struct http_request *request, const struct row *row)
{
	span_begin(span, SPAN_SERVER, "%s %s", row->method, row->pattern);
	span_continue(span, http_request_header(request, "traceparent"));
	span_text(span, "http.request.method", row->method);
	span_text(span, "http.route", row->pattern);
}

/* A refusal is an answer; only what is our fault is an error. */
static void request_span_end(struct span *span, unsigned status)
{
	struct err failed = {0};

	span_number(span, "http.response.status_code", status);
	if (status >= 500)
		(void)err_set(&failed, ERR_BROKEN, "%u", status);
	span_end(span, &failed);
}

/* A request on its way through its row. */
struct passage {
	const struct row *row;
	struct call call;
	struct again again;
	struct span span;
	json_t *answer;
	struct err err;
	int64_t begun_ms;
};

/* Everything before the handler; false: that is not reached. */
static bool passage_begin(struct passage *passage, struct surface *surface, const struct http_request *request,
			  struct http_reply *reply)
{
	const struct row *row = &surface->rows[request->route - surface->routes];
	struct call *call = &passage->call;
	struct err *err = &passage->err;

	*passage = (struct passage){.row = row, .begun_ms = world_elapsed_ms(surface->web->options.world)};
	*call = (struct call){.web = surface->web, .request = request, .reply = reply};
	if (row->answers || row->raw_bytes_max || row->who == WHO_TOOL) /* pages and health are not watched */
		request_span(&passage->span, request, row);
	(void)atomic_fetch_add(&surface->web->calls, 1);
	if (row->answers)
		http_reply_header(reply, "Cache-Control", "no-store");
	return !access_caller(call, row, err) && ((row->who & WHO_ANYONE && row->raw_bytes_max) || !rate_caller(call, err)) &&
	       (row->raw_bytes_max || !request_body_take(call, row->fields, err)) &&
	       (!row->answers || !request_query_check(call, row, err)) && !again_begin(call, row, &passage->again, err);
}

static void passage_end(struct passage *passage)
{
	struct call *call = &passage->call;
	struct web *web = call->web;
	unsigned status;

	if (!call->answered && passage->answer)
		http_reply_json(call->reply, 200, passage->answer);
	else if (!call->answered)
		error_answer(call->reply, &passage->err);
	status = http_reply_status(call->reply);
	json_decref(passage->answer);
	json_decref(call->body);
	request_span_end(&passage->span, status);
	metrics_count(&web->metrics, status, world_elapsed_ms(web->options.world) - passage->begun_ms);
	(void)atomic_fetch_sub(&web->calls, 1);
}

/* Every row's way from request to answer. */
static void request_answer(void *self, const struct http_request *request, struct http_reply *reply)
{
	struct passage passage;

	if (passage_begin(&passage, self, request, reply)) {
		struct err forgotten = {0};

		passage.answer = passage.row->handle(&passage.call, &passage.err);
		if (again_end(&passage.call, passage.row, &passage.again, passage.answer, &forgotten))
			log_warn("an Idempotency-Key: %s", forgotten.text);
	}
	passage_end(&passage);
}

/* The same for a row that answers several at once. Its spans end in the order in which spans of a thread may: the last first. */
static void request_answer_all(void *self, const struct http_asked *asked, size_t count)
{
	struct passage *passages = mem_new_array(count, sizeof(*passages));
	struct call *calls[HTTP_TOGETHER_MAX];
	struct err *errors[HTTP_TOGETHER_MAX];
	size_t left = 0;

	for (size_t i = 0; i < count; i++)
		if (passage_begin(&passages[i], self, asked[i].request, asked[i].reply)) {
			calls[left] = &passages[i].call;
			errors[left++] = &passages[i].err;
		}
	if (left)
		passages[0].row->handle_all(calls, errors, left);
	for (size_t i = count; i > 0; i--)
		passage_end(&passages[i - 1]);
	free(passages);
}

/* ---- opening and closing ---- */

struct part {
	const struct row *rows;
	const size_t *count;
};

static int surface_open(struct surface *surface, struct web *web, const struct part *parts, size_t part_count, struct err *err)
{
	bool safe = web->pages_url && view_starts(view_of(web->pages_url), VIEW("https://"));
	AUTO_FREE char *headers = security_headers(web, safe);
	struct row *rows;
	struct http_server_spec spec = {.self = surface, .threads = THREADS, .extra_headers = headers, .before = access_judge};
	size_t count = 0;

	for (size_t i = 0; i < part_count; i++)
		count += *parts[i].count;
	rows = mem_new_array(count, sizeof(*rows));
	surface->web = web;
	surface->routes = mem_new_array(count, sizeof(*surface->routes));
	for (size_t i = 0; i < part_count; i++)
		for (size_t j = 0; j < *parts[i].count; j++)
			rows[surface->row_count++] = parts[i].rows[j];
	surface->rows = rows;
	for (size_t i = 0; i < count; i++)
		surface->routes[i] = (struct http_route){rows[i].method, rows[i].pattern, request_answer,
							 rows[i].raw_bytes_max ? rows[i].raw_bytes_max : BODY_BYTES_MAX,
							 rows[i].handle_all ? request_answer_all : NULL};
	spec.routes = surface->routes;
	spec.route_count = count;
	surface->server = http_server_new(&spec, err);
	return surface->server ? 0 : -1;
}

/* In this order: the first that fits answers. */
static const struct part main_parts[] = {
	{server_rows, &server_row_count},
	{token_rows, &token_row_count},
	{signin_rows, &signin_row_count},
	{signin_oidc_rows, &signin_oidc_row_count},
	{signin_preview_rows, &signin_preview_row_count},
	{metric_rows, &metric_row_count},
	{run_rows, &run_row_count},
	{environment_rows, &environment_row_count},
	{session_rows, &session_row_count},
	{egress_rows, &egress_row_count},
	{audit_rows, &audit_row_count},
	{connection_rows, &connection_row_count},
	{delivery_rows, &delivery_row_count},
	{policy_rows, &policy_row_count},
	{page_rows, &page_row_count},
};
static const struct part tool_parts[] = {{tool_rows, &tool_row_count}};

static int surfaces_listen(struct web *web, struct err *err)
{
	const struct web_options *options = &web->options;

	if (surface_open(&web->main, web, main_parts, ARRAY_LEN(main_parts), err) ||
	    surface_open(&web->tools, web, tool_parts, ARRAY_LEN(tool_parts), err))
		return -1;
	if (http_server_listen_tcp(web->main.server, options->listen, &web->port, err))
		return err_prefix(err, "pages on %s", options->listen);
	(void)snprintf(web->base, sizeof(web->base), "http://127.0.0.1:%d", web->port);
	if (http_server_listen_unix(web->main.server, options->serve_socket, SERVE_SOCKET_MODE, err) ||
	    http_server_listen_unix(web->tools.server, options->tool_socket, TOOL_SOCKET_MODE, err))
		return -1;
	return http_server_start(web->main.server, err) || http_server_start(web->tools.server, err) ? -1 : 0;
}

static void token_make(struct web *web)
{
	unsigned char bytes[TOKEN_HEX / 2];
	AUTO_BUF text = buf_new(TOKEN_HEX);

	world_random(web->options.world, bytes, sizeof(bytes));
	buf_add_hex(&text, bytes, sizeof(bytes));
	memcpy(web->token, text.at, TOKEN_HEX);
}

int web_open(const struct web_options *options, struct web **web, struct err *err)
{
	struct web *made = mem_new(sizeof(*made));

	made->options = *options;
	made->state_dir = text_copy(options->state_dir);
	made->preview_base = text_copy(options->preview_base);
	made->preview_domain = text_copy(options->preview_domain);
	made->pages_url = options->pages_url ? text_copy(options->pages_url) : NULL;
	made->started_ms = world_now_ms(options->world);
	(void)pthread_mutex_init(&made->mutex, NULL);
	(void)pthread_mutex_init(&made->rate.mutex, NULL);
	(void)pthread_cond_init(&made->idle, NULL);
	made->told = told_new();
	made->events = watch_new(made, &watch_of_events);
	made->logs = watch_new(made, &watch_of_logs);
	token_make(made);
	if (surfaces_listen(made, err)) {
		web_close(made);
		return -1;
	}
	*web = made;
	return 0;
}

const char *web_base(const struct web *web)
{
	return web->base;
}

int web_clients(const struct web *web)
{
	struct web *counted = (struct web *)(uintptr_t)web;
	int workers;

	(void)pthread_mutex_lock(&counted->mutex);
	workers = counted->workers;
	(void)pthread_mutex_unlock(&counted->mutex);
	return workers + watch_count(counted->events) + watch_count(counted->logs) + atomic_load(&counted->calls);
}

static void surface_close(struct surface *surface)
{
	http_server_free(surface->server, STOP_GRACE_MS);
	free((struct row *)(uintptr_t)surface->rows);
	free(surface->routes);
}

void web_close(struct web *web)
{
	if (!web)
		return;
	atomic_store(&web->closing, true);
	(void)pthread_mutex_lock(&web->mutex);
	for (struct job *job = web->jobs; job; job = job->next)
		job->cancelled = true;
	while (web->workers)
		(void)pthread_cond_wait(&web->idle, &web->mutex);
	(void)pthread_mutex_unlock(&web->mutex);
	watch_end(web->events);
	watch_end(web->logs);
	surface_close(&web->main);
	surface_close(&web->tools);
	watch_free(web->events);
	watch_free(web->logs);
	(void)pthread_mutex_destroy(&web->mutex);
	(void)pthread_mutex_destroy(&web->rate.mutex);
	(void)pthread_cond_destroy(&web->idle);
	told_free(web->told);
	free(web->state_dir);
	free(web->preview_base);
	free(web->preview_domain);
	free(web->pages_url);
	free(web);
}
