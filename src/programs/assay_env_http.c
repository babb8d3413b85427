/* Names, sockets and HTTP/1.1 for assay-env. */
#include "programs/assay_env_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

#define DNS_PORT 53
#define DNS_TIMEOUT_MS 3000
#define DNS_TRIES 3
#define DNS_BYTES_MAX 512
#define CONNECT_MS 10000

/* ---- URLs ---- */

int env_url_parse(const char *text, struct env_url *url, struct err *err)
{
	const char *at = text;
	size_t length;
	uint64_t port = 0;

	*url = (struct env_url){.target = ""};
	if (strncasecmp(at, "http://", 7) == 0)
		at += 7;
	else if (strstr(at, "://"))
		return err_set(err, ERR_INVALID, "`%.100s`: only http:// is spoken here", text);
	length = strcspn(at, "/?#");
	url->target = at + length;
	if (memchr(at, ':', length)) {
		size_t name = strcspn(at, ":");

		if (!view_to_u64(view_make(at + name + 1, length - name - 1), &port) || port == 0 || port > 65535)
			return err_set(err, ERR_INVALID, "`%.100s` has no good port", text);
		length = name;
	}
	if (length == 0 || length >= sizeof(url->host))
		return err_set(err, ERR_INVALID, "`%.100s` names no host", text);
	memcpy(url->host, at, length);
	url->port = (uint16_t)port;
	return 0;
}

/* ---- names ---- */

static void nameserver_find(struct sockaddr_in *address)
{
	FILE *file = fopen("/etc/resolv.conf", "re");
	char line[256];
	char text[64];

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "nameserver %63s", text) == 1 && inet_pton(AF_INET, text, &address->sin_addr) == 1)
			break;
	if (file)
		(void)fclose(file);
}

/* A question for the A record of `host` (RFC 1035 4.1); 0 when the name is none. */
static size_t question_make(unsigned char out[DNS_BYTES_MAX], const char *host, uint16_t id)
{
	static const unsigned char header[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	static const unsigned char tail[] = {0, 0, 1, 0, 1};
	size_t used = sizeof(header);

	memcpy(out, header, sizeof(header));
	out[0] = (unsigned char)(id >> 8);
	out[1] = (unsigned char)id;
	while (*host) {
		size_t length = strcspn(host, ".");

		if (length == 0 || length > 63 || used + length + 1 + sizeof(tail) > DNS_BYTES_MAX)
			return 0;
		out[used++] = (unsigned char)length;
		memcpy(out + used, host, length);
		used += length;
		host += length + (host[length] == '.');
	}
	memcpy(out + used, tail, sizeof(tail));
	return used + sizeof(tail);
}

/* Past a name, plain or compressed; 0 when it runs over the end. */
static size_t name_skip(const unsigned char *at, size_t length, size_t place)
{
	while (place < length) {
		if (at[place] == 0)
			return place + 1;
		if (at[place] >= 0xc0)
			return place + 2;
		place += (size_t)at[place] + 1;
	}
	return 0;
}

/* The first A record of an answer. */
static bool answer_read(const unsigned char *at, size_t length, uint16_t id, struct in_addr *address)
{
	size_t place;
	unsigned answers;

	if (length < 12 || at[0] != (unsigned char)(id >> 8) || at[1] != (unsigned char)id || !(at[2] & 0x80) || (at[3] & 0xf))
		return false;
	answers = (unsigned)(at[6] << 8 | at[7]);
	place = name_skip(at, length, 12);
	if (!place)
		return false;
	place += 4;
	for (unsigned i = 0; i < answers; i++) {
		unsigned type;
		unsigned size;

		place = name_skip(at, length, place);
		if (!place || place + 10 > length)
			return false;
		type = (unsigned)(at[place] << 8 | at[place + 1]);
		size = (unsigned)(at[place + 8] << 8 | at[place + 9]);
		place += 10;
		if (place + size > length)
			return false;
		if (type == 1 && size == 4) {
			memcpy(address, at + place, 4);
			return true;
		}
		place += size;
	}
	return false;
}

static int name_ask(const char *host, struct in_addr *address, struct err *err)
{
	struct sockaddr_in server;
	unsigned char question[DNS_BYTES_MAX];
	unsigned char answer[DNS_BYTES_MAX];
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint16_t id = (uint16_t)(getpid() * 31);
	size_t length = question_make(question, host, id);

	if (!length)
		return err_set(err, ERR_INVALID, "`%.100s` is no name of a host", host);
	nameserver_find(&server);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&server, sizeof(server)))
		return err_errno(err, errno, "cannot ask for `%.100s`", host);
	for (int i = 0; i < DNS_TRIES; i++) {
		struct pollfd waiting = {fd, POLLIN, 0};
		ssize_t got;

		if (send(fd, question, length, 0) < 0 || poll(&waiting, 1, DNS_TIMEOUT_MS) <= 0)
			continue;
		got = recv(fd, answer, sizeof(answer), 0);
		if (got > 0 && answer_read(answer, (size_t)got, id, address))
			return 0;
		if (got > 0)
			return err_set(err, ERR_NOT_FOUND, "no host `%.100s` here", host);
	}
	return err_set(err, ERR_RETRY, "nobody answers for the name `%.100s`", host);
}

/* ---- the socket ---- */

static int dial(const struct env_url *url, int *fd, struct err *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(url->port ? url->port : 80)};
	struct timeval timeout = {.tv_sec = CONNECT_MS / 1000};

	if (strcmp(url->host, "localhost") == 0)
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (inet_pton(AF_INET, url->host, &address.sin_addr) != 1 && name_ask(url->host, &address.sin_addr, err))
		return -1;
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	(void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)))
		return err_set(err, ERR_RETRY, "cannot connect to %s:%u: %s", url->host, (unsigned)ntohs(address.sin_port),
			       strerror(errno));
	return 0;
}

static int send_all(int fd, struct view bytes, struct err *err)
{
	while (bytes.length) {
		ssize_t put = send(fd, bytes.at, bytes.length, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return err_set(err, ERR_RETRY, "the connection broke: %s", strerror(errno));
		bytes = view_make(bytes.at + put, bytes.length - (size_t)put);
	}
	return 0;
}

/* More bytes into `in`; 0 at the end. */
static ssize_t receive(int fd, struct buf *in, int64_t silence_ms, struct err *err)
{
	struct pollfd waiting = {fd, POLLIN, 0};
	char chunk[16384];
	ssize_t got;

	do
		got = poll(&waiting, 1, silence_ms ? (int)silence_ms : -1);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return err_set(err, ERR_LIMIT, "no answer for %lld s", (long long)silence_ms / 1000);
	got = recv(fd, chunk, sizeof(chunk), 0);
	if (got < 0)
		return err_set(err, ERR_RETRY, "the connection broke: %s", strerror(errno));
	buf_add(in, chunk, (size_t)got);
	return got;
}

/* ---- requests and answers ---- */

static void request_format(struct buf *out, const struct env_request *request)
{
	const char *target = request->url.target;

	buf_add_format(out, "%s %s%s HTTP/1.1\r\nHost: %s", request->method, *target == '/' ? "" : "/", target, request->url.host);
	if (request->url.port && request->url.port != 80)
		buf_add_format(out, ":%u", (unsigned)request->url.port);
	buf_add_text(out, "\r\nUser-Agent: assay-env\r\nConnection: close\r\n");
	for (size_t i = 0; i < request->header_count; i++)
		buf_add_format(out, "%s\r\n", request->headers[i]);
	if (request->has_body)
		buf_add_format(out, "Content-Length: %zu\r\n", request->body.length);
	buf_add_text(out, "\r\n");
	buf_add_view(out, request->body);
}

/* The value of a header in the head, trimmed; at == NULL when absent. */
static struct view header_find(struct view head, const char *name)
{
	while (head.at && head.length) {
		struct view rest;
		struct view value;
		struct view line = view_cut(head, '\n', &rest);
		struct view key = view_cut(line, ':', &value);

		if (view_equal_nocase(key, view_of(name)))
			return view_trim(value);
		head = rest;
	}
	return (struct view){NULL, 0};
}

struct body {
	int fd;
	struct buf *in; /* received, not passed on */
	int64_t silence_ms;
	struct env_response *response;
	bool ended; /* the receiver wants no more */
};

static void pass(struct body *body, size_t length)
{
	if (length && !body->ended && !body->response->bytes(body->response->self, view_make(body->in->at, length)))
		body->ended = true;
	buf_drop_front(body->in, length);
}

/* Passes `left` bytes on, or, when it is -1, everything up to the end. */
static int body_plain(struct body *body, int64_t left, struct err *err)
{
	while (left != 0 && !body->ended) {
		size_t length = left >= 0 && body->in->length > (size_t)left ? (size_t)left : body->in->length;
		ssize_t got;

		if (length) {
			pass(body, length);
			left -= left >= 0 ? (int64_t)length : 0;
			continue;
		}
		got = receive(body->fd, body->in, body->silence_ms, err);
		if (got < 0)
			return -1;
		if (got == 0)
			return left < 0 ? 0 : err_set(err, ERR_RETRY, "the answer was cut off");
	}
	return 0;
}

/* The next line of the framing, without its end; into `line`. */
static int frame_line(struct body *body, char line[128], struct err *err)
{
	for (;;) {
		const char *newline = body->in->length ? memchr(body->in->at, '\n', body->in->length) : NULL;
		ssize_t got;

		if (newline) {
			size_t length = (size_t)(newline - body->in->at);
			size_t kept = length < 127 ? length : 127;

			memcpy(line, body->in->at, kept);
			line[kept] = '\0';
			buf_drop_front(body->in, length + 1);
			return 0;
		}
		if (body->in->length > ENV_HTTP_HEAD_MAX)
			return err_set(err, ERR_BROKEN, "the answer's framing is wrong");
		got = receive(body->fd, body->in, body->silence_ms, err);
		if (got <= 0)
			return got < 0 ? -1 : err_set(err, ERR_RETRY, "the answer was cut off");
	}
}

static int body_chunked(struct body *body, struct err *err)
{
	char line[128];

	while (!body->ended) {
		char *end;
		unsigned long length;

		if (frame_line(body, line, err))
			return -1;
		length = strtoul(line, &end, 16);
		if (end == line || length > INT32_MAX)
			return err_set(err, ERR_BROKEN, "the answer's framing is wrong");
		if (length == 0)
			return 0;
		if (body_plain(body, (int64_t)length, err) || (!body->ended && frame_line(body, line, err)))
			return -1;
	}
	return 0;
}

/* Takes the head off `in`: the first answer that is not 1xx. */
static int head_take(int fd, struct buf *in, int64_t silence_ms, struct env_response *response, struct err *err)
{
	for (;;) {
		const char *end = in->length ? memmem(in->at, in->length, "\r\n\r\n", 4) : NULL;
		ssize_t got;

		if (end) {
			size_t length = (size_t)(end - in->at) + 4;

			buf_clear(&response->head);
			buf_add(&response->head, in->at, length);
			buf_drop_front(in, length);
			if (sscanf(response->head.at, "HTTP/1.%*d %d", &response->status) != 1)
				return err_set(err, ERR_BROKEN, "the answer is no HTTP");
			if (response->status >= 200 || response->status == 101)
				return 0;
			continue;
		}
		if (in->length > ENV_HTTP_HEAD_MAX)
			return err_set(err, ERR_BROKEN, "the answer's head is too long");
		got = receive(fd, in, silence_ms, err);
		if (got <= 0)
			return got < 0 ? -1 : err_set(err, ERR_RETRY, "the connection was closed without an answer");
	}
}

int env_http_call(const struct env_request *request, struct env_response *response, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	AUTO_BUF out = buf_new((size_t)64 << 20);
	AUTO_BUF in = buf_new((size_t)1 << 20);
	struct body body = {.in = &in, .silence_ms = request->silence_ms, .response = response};
	struct view length;
	uint64_t bytes;

	request_format(&out, request);
	if (buf_finish(&out, err) || dial(&request->url, &fd, err) || send_all(fd, buf_view(&out), err) ||
	    head_take(fd, &in, request->silence_ms, response, err))
		return -1;
	if (response->headed)
		response->headed(response->self, buf_view(&response->head));
	body.fd = fd;
	if (strcmp(request->method, "HEAD") == 0 || response->status == 204 || response->status == 304)
		return 0;
	if (view_equal_nocase(header_find(buf_view(&response->head), "Transfer-Encoding"), VIEW("chunked")))
		return body_chunked(&body, err);
	length = header_find(buf_view(&response->head), "Content-Length");
	if (length.at && (!view_to_u64(length, &bytes) || bytes > INT64_MAX))
		return err_set(err, ERR_BROKEN, "the answer's length is wrong");
	return body_plain(&body, length.at ? (int64_t)bytes : -1, err);
}
