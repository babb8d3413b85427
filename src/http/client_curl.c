/* libcurl, one easy handle a call. It is loaded by the first: with it come some thirty libraries, and most of our processes never call. */
#include "http/client_priv.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define LIBRARY "libcurl.so.4"
#define HEADER_BYTES_MAX ((size_t)256 << 10)

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

/* Only what is used; the last is set last, when all are there. */
static struct {
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_slist_append) *slist_append;
	__typeof__(curl_slist_free_all) *slist_free_all;
	__typeof__(curl_easy_init) *easy_init;
	__typeof__(curl_easy_setopt) *easy_setopt;
	__typeof__(curl_easy_reset) *easy_reset;
	__typeof__(curl_easy_getinfo) *easy_getinfo;
	__typeof__(curl_easy_strerror) *easy_strerror;
	__typeof__(curl_easy_cleanup) *easy_cleanup;
	__typeof__(curl_easy_send) *easy_send;
	__typeof__(curl_easy_recv) *easy_recv;
	__typeof__(curl_easy_perform) *easy_perform;
} curl;

static bool symbol_find(void *library, const char *name, void *place)
{
	void *symbol = dlsym(library, name);

	memcpy(place, &symbol, sizeof(symbol));
	return symbol;
}

static void curl_begin(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library && symbol_find(library, "curl_global_init", &curl.global_init) &&
	    symbol_find(library, "curl_slist_append", &curl.slist_append) &&
	    symbol_find(library, "curl_slist_free_all", &curl.slist_free_all) &&
	    symbol_find(library, "curl_easy_init", &curl.easy_init) &&
	    symbol_find(library, "curl_easy_setopt", &curl.easy_setopt) &&
	    symbol_find(library, "curl_easy_reset", &curl.easy_reset) &&
	    symbol_find(library, "curl_easy_getinfo", &curl.easy_getinfo) &&
	    symbol_find(library, "curl_easy_strerror", &curl.easy_strerror) &&
	    symbol_find(library, "curl_easy_cleanup", &curl.easy_cleanup) &&
	    symbol_find(library, "curl_easy_send", &curl.easy_send) && symbol_find(library, "curl_easy_recv", &curl.easy_recv) &&
	    curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		(void)symbol_find(library, "curl_easy_perform", &curl.easy_perform);
}

struct transfer {
	const struct http_call *call;
	struct http_response *response;
	size_t header_bytes;
	bool over;
	bool cancelled;
};

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
	struct curl_slist *list = curl.slist_append(NULL, "Expect:");

	for (size_t i = 0; i < call->header_count; i++) {
		const struct http_header *header = &call->headers[i];
		AUTO_FREE char *line = text_format(header->value[0] ? "%s: %s" : "%s;", header->name, header->value);

		if (strpbrk(line, "\r\n")) {
			curl.slist_free_all(list);
			(void)err_set(err, ERR_INVALID, "a header with a line break");
			return NULL;
		}
		list = curl.slist_append(list, line);
	}
	return list;
}

/* ---- sessions: handles that wait, each with its connection ---- */

struct http_session {
	pthread_mutex_t lock;
	CURL *idle[HTTP_SESSION_IDLE_MAX];
	size_t count;
};

struct http_session *http_session_new(void)
{
	struct http_session *session = mem_new(sizeof(*session));

	(void)pthread_mutex_init(&session->lock, NULL);
	return session;
}

void http_session_free(struct http_session *session)
{
	if (!session)
		return;
	while (session->count)
		curl.easy_cleanup(session->idle[--session->count]);
	(void)pthread_mutex_destroy(&session->lock);
	free(session);
}

static CURL *handle_take(struct http_session *session)
{
	CURL *handle = NULL;

	if (session) {
		(void)pthread_mutex_lock(&session->lock);
		if (session->count)
			handle = session->idle[--session->count];
		(void)pthread_mutex_unlock(&session->lock);
	}
	return handle ? handle : curl.easy_init();
}

/* What was set is forgotten, the connection is not. */
static void handle_give(struct http_session *session, CURL *handle)
{
	if (session) {
		curl.easy_reset(handle);
		(void)pthread_mutex_lock(&session->lock);
		if (session->count < HTTP_SESSION_IDLE_MAX) {
			session->idle[session->count++] = handle;
			handle = NULL;
		}
		(void)pthread_mutex_unlock(&session->lock);
	}
	if (handle)
		curl.easy_cleanup(handle);
}

/* ---- one call ---- */

static struct curl_blob blob_of(const char *text)
{
	return (struct curl_blob){.data = (void *)(uintptr_t)text, .len = strlen(text), .flags = CURL_BLOB_COPY};
}

static bool blob_set(CURL *handle, CURLoption option, const char *text)
{
	struct curl_blob blob = blob_of(text);

	return curl.easy_setopt(handle, option, &blob) == CURLE_OK;
}

/* False: this libcurl does not take all of it, and the call would trust whom it should not, or be nobody's. */
static bool tls_set(CURL *handle, const struct http_tls *tls)
{
	bool good = true;

	if (tls->authority) {
		/* Where the system's authorities may be is another place than the blob: this authority is the only one. */
		CURLcode path = curl.easy_setopt(handle, CURLOPT_CAPATH, (char *)NULL);

		good = (path == CURLE_OK || path == CURLE_NOT_BUILT_IN) && blob_set(handle, CURLOPT_CAINFO_BLOB, tls->authority);
	}
	if (tls->certificate)
		good = good && blob_set(handle, CURLOPT_SSLCERT_BLOB, tls->certificate) &&
		       blob_set(handle, CURLOPT_SSLKEY_BLOB, tls->key);
	if (tls->unverified)
		good = good && curl.easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
		       curl.easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
	return good;
}

/* libcurl takes the name for TLS from the URL: that one has it, and the connection goes to the real host, which is the Host of the request. */
static char *url_renamed(const struct http_call *call, char **connect_to, char **host_header)
{
	const char *host = strstr(call->url, "://") ? strstr(call->url, "://") + 3 : call->url;
	size_t length = strcspn(host, "/?#");
	const char *colon = memrchr(host, ':', length);
	size_t name_length = colon && !memchr(colon, ']', length - (size_t)(colon - host)) ? (size_t)(colon - host) : length;

	*connect_to = text_format("::%.*s:%.*s", (int)name_length, host, (int)(name_length < length ? length - name_length - 1 : 3),
				  name_length < length ? host + name_length + 1 : "443");
	*host_header = text_format("Host: %.*s", (int)length, host);
	return text_format("https://%s%.*s%s", call->tls->server_name, (int)(length - name_length), host + name_length,
			   host + length);
}

struct place {
	struct curl_slist *connect_to;
	struct curl_slist *headers;
};

static bool where_set(CURL *handle, const struct http_call *call, struct place *place)
{
	AUTO_FREE char *line = call->connect_to ? text_format("::%s", call->connect_to) : NULL;
	AUTO_FREE char *host = NULL;
	AUTO_FREE char *url = NULL;

	if (call->tls && call->tls->server_name && !line && strncmp(call->url, "https://", 8) == 0)
		url = url_renamed(call, &line, &host);
	if (line) {
		place->connect_to = curl.slist_append(NULL, line);
		(void)curl.easy_setopt(handle, CURLOPT_CONNECT_TO, place->connect_to);
	}
	if (host)
		place->headers = curl.slist_append(place->headers, host);
	(void)curl.easy_setopt(handle, CURLOPT_URL, url ? url : call->url);
	(void)curl.easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
	if (call->proxy)
		(void)curl.easy_setopt(handle, CURLOPT_PROXY, call->proxy);
	(void)curl.easy_setopt(handle, CURLOPT_NOPROXY, call->proxy ? "" : "*");
	(void)curl.easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl.easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	(void)curl.easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
	return !call->tls || tls_set(handle, call->tls);
}

static void method_set(CURL *handle, const struct http_call *call)
{
	bool body = call->has_body || call->body.length;
	const char *method = call->method ? call->method : body ? "POST" : "GET";

	if (body) {
		(void)curl.easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.length);
		(void)curl.easy_setopt(handle, CURLOPT_POSTFIELDS, call->body.at ? call->body.at : "");
	}
	if (strcmp(method, "HEAD") == 0)
		(void)curl.easy_setopt(handle, CURLOPT_NOBODY, 1L);
	(void)curl.easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
}

static void limits_set(CURL *handle, struct transfer *transfer)
{
	int64_t timeout_ms = transfer->call->timeout_ms;

	(void)curl.easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl.easy_setopt(handle, CURLOPT_HEADERDATA, transfer);
	(void)curl.easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl.easy_setopt(handle, CURLOPT_WRITEDATA, transfer);
	(void)curl.easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	if (timeout_ms >= 0)
		(void)curl.easy_setopt(handle, CURLOPT_TIMEOUT_MS, timeout_ms ? (long)timeout_ms : 30000L);
	if (transfer->call->on_bytes) {
		(void)curl.easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
		(void)curl.easy_setopt(handle, CURLOPT_XFERINFODATA, transfer);
		(void)curl.easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
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
		detail = curl.easy_strerror(code);
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return err_set(err, ERR_INVALID, "%s: %s", url, detail);
	if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_HTTP2)
		return err_set(err, ERR_BROKEN, "%s: %s", url, detail);
	return err_set(err, ERR_RETRY, "%s: %s", url, detail);
}

int http_curl_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	struct transfer transfer = {.call = call, .response = response};
	char detail[CURL_ERROR_SIZE] = "";
	struct place place = {0};
	CURLcode code = CURLE_OK;
	long status = 0;
	CURL *handle;
	int result = 0;
	bool good;

	(void)pthread_once(&curl_once, curl_begin);
	if (!curl.easy_perform)
		return err_set(err, ERR_DENIED, "%s: libcurl cannot be loaded: apt install libcurl4", call->url);
	place.headers = headers_make(call, err);
	if (!place.headers)
		return -1;
	handle = handle_take(call->session);
	if (!handle) {
		curl.slist_free_all(place.headers);
		return err_set(err, ERR_RETRY, "cannot start an HTTP transfer");
	}
	good = where_set(handle, call, &place);
	method_set(handle, call);
	limits_set(handle, &transfer);
	(void)curl.easy_setopt(handle, CURLOPT_HTTPHEADER, place.headers);
	(void)curl.easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
	if (good) {
		code = curl.easy_perform(handle);
		(void)curl.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
	}
	response->status = (unsigned)status;
	if (!good)
		result = err_set(err, ERR_DENIED, "%s: libcurl does not take the authority or the certificate of the call",
				 call->url);
	else if (code != CURLE_OK)
		result = failure_set(&transfer, code, detail, err);
	handle_give(call->session, handle);
	curl.slist_free_all(place.headers);
	curl.slist_free_all(place.connect_to);
	return result;
}

/* ---- connections of their own ---- */

#define PIPE_WRITE_MS 20000

struct http_pipe {
	CURL *handle;
	curl_socket_t socket;
	char detail[CURL_ERROR_SIZE];
};

struct http_pipe *http_pipe_open(const char *url, int64_t timeout_ms, struct err *err)
{
	const struct http_call call = {.url = url, .timeout_ms = timeout_ms};
	struct http_pipe *pipe;
	CURLcode code;

	(void)pthread_once(&curl_once, curl_begin);
	if (!curl.easy_perform) {
		(void)err_set(err, ERR_DENIED, "libcurl cannot be loaded: apt install libcurl4");
		return NULL;
	}
	pipe = mem_new(sizeof(*pipe));
	pipe->handle = curl.easy_init();
	if (!pipe->handle) {
		free(pipe);
		(void)err_set(err, ERR_RETRY, "cannot start a connection");
		return NULL;
	}
	(void)where_set(pipe->handle, &call, &(struct place){0}); /* makes no lists for this call, and has no authority */
	(void)curl.easy_setopt(pipe->handle, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl.easy_setopt(pipe->handle, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
	(void)curl.easy_setopt(pipe->handle, CURLOPT_ERRORBUFFER, pipe->detail);
	code = curl.easy_perform(pipe->handle);
	if (code == CURLE_OK && curl.easy_getinfo(pipe->handle, CURLINFO_ACTIVESOCKET, &pipe->socket) == CURLE_OK)
		return pipe;
	(void)err_set(err, ERR_RETRY, "cannot connect: %s", pipe->detail[0] ? pipe->detail : curl.easy_strerror(code));
	http_pipe_close(pipe);
	return NULL;
}

static bool pipe_wait(const struct http_pipe *pipe, short events, int64_t timeout_ms)
{
	struct pollfd wait = {.fd = pipe->socket, .events = events};

	return poll(&wait, 1, timeout_ms > 60000 ? 60000 : (int)timeout_ms) > 0;
}

int http_pipe_write(struct http_pipe *pipe, struct view bytes, struct err *err)
{
	while (bytes.length) {
		size_t sent = 0;
		CURLcode code = curl.easy_send(pipe->handle, bytes.at, bytes.length, &sent);

		if (code != CURLE_OK && code != CURLE_AGAIN)
			return err_set(err, ERR_RETRY, "the connection is over: %s", curl.easy_strerror(code));
		bytes = view_make(bytes.at + sent, bytes.length - sent);
		if (code == CURLE_AGAIN && !pipe_wait(pipe, POLLOUT, PIPE_WRITE_MS))
			return err_set(err, ERR_RETRY, "the connection takes nothing any more");
	}
	return 0;
}

int http_pipe_read(struct http_pipe *pipe, char *at, size_t size, int64_t timeout_ms, size_t *length, struct err *err)
{
	/* What TLS has decrypted already makes no socket readable: it is asked first. */
	for (int i = 0; i < 2; i++) {
		CURLcode code = curl.easy_recv(pipe->handle, at, size, length);

		if (code == CURLE_OK && *length)
			return 0;
		if (code != CURLE_AGAIN)
			return err_set(err, ERR_RETRY, "the connection is over%s%s", code == CURLE_OK ? "" : ": ",
				       code == CURLE_OK ? "" : curl.easy_strerror(code));
		*length = 0;
		if (i || !pipe_wait(pipe, POLLIN, timeout_ms))
			return 0;
	}
	return 0;
}

void http_pipe_close(struct http_pipe *pipe)
{
	if (!pipe)
		return;
	curl.easy_cleanup(pipe->handle);
	free(pipe);
}
