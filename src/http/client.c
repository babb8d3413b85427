/* libcurl, one easy handle a call. */
#include "http/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/scope.h"

#define HEADER_BYTES_MAX ((size_t)256 << 10)

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct transfer {
	const struct http_call *call;
	struct http_response *response;
	size_t header_bytes;
	bool over;
	bool cancelled;
};

void http_response_fini(struct http_response *response)
{
	for (size_t i = 0; i < response->header_count; i++) {
		free((char *)(uintptr_t)response->headers[i].name);
		free((char *)(uintptr_t)response->headers[i].value);
	}
	free(response->headers);
	buf_fini(&response->body);
	*response = (struct http_response){0};
}

static void headers_drop(struct http_response *response)
{
	struct buf body = response->body;

	response->body = (struct buf){0};
	http_response_fini(response);
	response->body = body;
}

static size_t on_header(char *at, size_t size, size_t count, void *self)
{
	struct transfer *transfer = self;
	struct http_response *response = transfer->response;
	struct view value;
	struct view line = view_trim(view_make(at, size * count));
	struct view name = view_cut(line, ':', &value);

	transfer->header_bytes += line.length;
	if (transfer->header_bytes > HEADER_BYTES_MAX) {
		transfer->over = true;
		return 0;
	}
	if (view_starts(line, VIEW("HTTP/"))) /* of an interim response, or the final one */
		headers_drop(response);
	else if (value.at) {
		response->headers = mem_grow(response->headers, response->header_count + 1, sizeof(*response->headers));
		response->headers[response->header_count++] = (struct http_header){view_copy(view_trim(name)),
										   view_copy(view_trim(value))};
	}
	return size * count;
}

static size_t on_body(char *at, size_t size, size_t count, void *self)
{
	struct transfer *transfer = self;
	struct view bytes = view_make(at, size * count);

	if (transfer->call->on_bytes) {
		transfer->cancelled = !transfer->call->on_bytes(transfer->call->self, bytes);
		return transfer->cancelled ? 0 : bytes.length;
	}
	buf_add_view(&transfer->response->body, bytes);
	transfer->over = transfer->response->body.over;
	return transfer->over ? 0 : bytes.length;
}

static int on_progress(void *self, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
	struct transfer *transfer = self;

	(void)total;
	(void)now;
	(void)up_total;
	(void)up_now;
	if (!transfer->cancelled && !transfer->call->on_bytes(transfer->call->self, (struct view){"", 0}))
		transfer->cancelled = true;
	return transfer->cancelled;
}

/* NULL when a header holds a line break. "Expect" is turned off: curl would wait a second for servers that ignore it. */
static struct curl_slist *headers_make(const struct http_call *call, struct err *err)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	for (size_t i = 0; i < call->header_count; i++) {
		const struct http_header *header = &call->headers[i];
		AUTO_FREE char *line = text_format(header->value[0] ? "%s: %s" : "%s;", header->name, header->value);

		if (strpbrk(line, "\r\n")) {
			curl_slist_free_all(list);
			(void)err_set(err, ERR_INVALID, "a header with a line break");
			return NULL;
		}
		list = curl_slist_append(list, line);
	}
	return list;
}

static void where_set(CURL *curl, const struct http_call *call, struct curl_slist **connect_to)
{
	if (call->unix_socket)
		(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
	if (call->connect_to) {
		AUTO_FREE char *line = text_format("::%s", call->connect_to);

		*connect_to = curl_slist_append(NULL, line);
		(void)curl_easy_setopt(curl, CURLOPT_CONNECT_TO, *connect_to);
	}
	(void)curl_easy_setopt(curl, CURLOPT_URL, call->url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
}

static void method_set(CURL *curl, const struct http_call *call)
{
	bool body = call->has_body || call->body.length;
	const char *method = call->method ? call->method : body ? "POST" : "GET";

	if (body) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body.at ? call->body.at : "");
	}
	if (strcmp(method, "HEAD") == 0)
		(void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void limits_set(CURL *curl, struct transfer *transfer)
{
	int64_t timeout_ms = transfer->call->timeout_ms;

	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	if (timeout_ms >= 0)
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms ? (long)timeout_ms : 30000L);
	if (transfer->call->on_bytes) {
		(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
		(void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	}
}

static int failure_set(const struct transfer *transfer, CURLcode code, const char *detail, struct err *err)
{
	const char *url = transfer->call->url;

	if (transfer->cancelled)
		return err_set(err, ERR_CANCELLED, "%s: stopped by the caller", url);
	if (transfer->over)
		return err_set(err, ERR_LIMIT, "%s: the response is larger than allowed", url);
	if (!detail[0])
		detail = curl_easy_strerror(code);
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return err_set(err, ERR_INVALID, "%s: %s", url, detail);
	if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_HTTP2)
		return err_set(err, ERR_BROKEN, "%s: %s", url, detail);
	return err_set(err, ERR_RETRY, "%s: %s", url, detail);
}

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int http_client_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	struct transfer transfer = {.call = call, .response = response};
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *connect_to = NULL;
	struct curl_slist *headers;
	int64_t begun_us = now_us();
	CURLcode code;
	long status = 0;
	CURL *curl;
	int result = 0;

	*response = (struct http_response){.body = buf_new(call->body_bytes_max ? call->body_bytes_max : BUF_MAX_DEFAULT)};
	(void)pthread_once(&curl_once, curl_begin);
	headers = headers_make(call, err);
	if (!headers)
		return -1;
	curl = curl_easy_init();
	if (!curl) {
		curl_slist_free_all(headers);
		return err_set(err, ERR_RETRY, "cannot start an HTTP transfer");
	}
	where_set(curl, call, &connect_to);
	method_set(curl, call);
	limits_set(curl, &transfer);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	code = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	response->status = (unsigned)status;
	response->duration_us = now_us() - begun_us;
	if (code != CURLE_OK) {
		result = failure_set(&transfer, code, detail, err);
		http_response_fini(response);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	curl_slist_free_all(connect_to);
	return result;
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	for (size_t i = 0; i < response->header_count; i++)
		if (strcasecmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return NULL;
}
