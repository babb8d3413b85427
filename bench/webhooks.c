/*
 * webhooks: signed deliveries of GitHub at a steady rate, whatever the answers do (an open loop), and how long each waited from the moment it was due.
 * All are made and signed, and the connections opened, before the clock runs.
 *
 *	bench_webhooks PORT PATH SECRET RATE SECONDS SAMPLE	(a file of tests/data/webhooks)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/file.h"
#include "base/scope.h"

#define CONNECTIONS 64
#define ANSWER_MAX 4096
#define WARM_NS ((int64_t)2000000000) /* in which the store's log grows */

struct line {
	int fd;
	size_t delivery; /* that it carries */
	size_t sent;     /* bytes of it */
	bool busy;
	size_t length;
	char answer[ANSWER_MAX];
};

struct load {
	struct line lines[CONNECTIONS];
	struct buf *deliveries;
	double *waits_ms; /* by delivery */
	size_t total, begun, done, refused;
	double rate;
	int64_t begin_ns;
};

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "webhooks: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Each has a name and a content of its own: nothing is known already. */
static void delivery_make(struct buf *out, const char *port, const char *path, const char *secret, struct view sample,
			  size_t number)
{
	static const struct view field = {"\"updated_at\":\"", 14};
	unsigned char mac[32];
	AUTO_BUF body = buf_new(sample.length * 2 + 4096);

	for (ptrdiff_t at; (at = view_find(sample, field)) >= 0;) {
		size_t from = (size_t)at + field.length;
		struct view rest;

		(void)view_cut(view_make(sample.at + from, sample.length - from), '"', &rest);
		buf_add_format(&body, "%.*s%zu\"", (int)from, sample.at, number);
		sample = rest;
	}
	buf_add(&body, sample.at, sample.length);
	(void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)body.at, body.length, mac, NULL);
	*out = buf_new(body.length + 4096);
	buf_add_format(
		out,
		"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nX-GitHub-Event: issue_comment\r\n"
		"X-GitHub-Delivery: 00000000-0000-4000-8000-%012zx\r\nX-Hub-Signature-256: sha256=",
		path, port, body.length, number);
	for (size_t i = 0; i < sizeof(mac); i++)
		buf_add_format(out, "%02x", mac[i]);
	buf_add_format(out, "\r\n\r\n");
	buf_add(out, body.at, body.length);
	if (buf_finish(out, NULL))
		die("a delivery is too long");
}

static int line_open(uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) || fcntl(fd, F_SETFL, O_NONBLOCK))
		die("connect");
	return fd;
}

static void line_send(struct load *load, struct line *line)
{
	const struct buf *delivery = &load->deliveries[line->delivery];
	ssize_t count = send(line->fd, delivery->at + line->sent, delivery->length - line->sent, MSG_NOSIGNAL);

	if (count < 0 && errno != EAGAIN)
		die("send");
	line->sent += count > 0 ? (size_t)count : 0;
}

/* An answer is short, with a length, and nothing follows it: we ask one thing at a time. */
static bool answer_is_whole(const struct line *line)
{
	struct view answer = view_make(line->answer, line->length);
	ptrdiff_t end = view_find(answer, VIEW("\r\n\r\n"));
	struct view rest = answer;

	while (end >= 0 && rest.length) {
		struct view value;
		struct view name = view_trim(view_cut(view_trim(view_cut(rest, '\n', &rest)), ':', &value));
		uint64_t length;

		if (view_equal_nocase(name, VIEW("content-length")) && view_to_u64(view_trim(value), &length))
			return line->length >= (size_t)end + 4 + length;
	}
	return false;
}

static int64_t due_ns(const struct load *load, size_t delivery)
{
	return load->begin_ns + (int64_t)((double)delivery * 1e9 / load->rate);
}

static void line_receive(struct load *load, struct line *line)
{
	ssize_t count = recv(line->fd, line->answer + line->length, ANSWER_MAX - line->length, 0);

	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0)
		die("the server hung up");
	line->length += (size_t)count;
	if (!answer_is_whole(line))
		return;
	load->waits_ms[line->delivery] = (double)(now_ns() - due_ns(load, line->delivery)) / 1e6;
	load->refused += !view_starts(view_make(line->answer, line->length), VIEW("HTTP/1.1 200"));
	load->done++;
	line->busy = false;
}

/* Whatever is due goes out on what is free. */
static void begin_due(struct load *load)
{
	for (size_t i = 0; i < CONNECTIONS && load->begun < load->total && due_ns(load, load->begun) <= now_ns(); i++) {
		struct line *line = &load->lines[i];

		if (line->busy)
			continue;
		line->busy = true;
		line->delivery = load->begun++;
		line->sent = line->length = 0;
		line_send(load, line);
	}
}

static void wait_for_more(struct load *load)
{
	struct pollfd polls[CONNECTIONS];
	int64_t left = load->begun < load->total ? due_ns(load, load->begun) - now_ns() : 1000000000;
	bool all_busy = true;

	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct line *line = &load->lines[i];

		polls[i].fd = line->busy ? line->fd : -1;
		polls[i].events = (short)(POLLIN |
					  (line->busy && line->sent < load->deliveries[line->delivery].length ? POLLOUT : 0));
		all_busy = all_busy && line->busy;
	}
	left = all_busy ? 1000000000 : left < 0 ? 0 : left;
	if (ppoll(polls, CONNECTIONS, &(struct timespec){left / 1000000000, left % 1000000000}, NULL) < 0)
		die("poll");
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (polls[i].fd >= 0 && (polls[i].revents & POLLOUT))
			line_send(load, &load->lines[i]);
		if (polls[i].fd >= 0 && (polls[i].revents & (POLLIN | POLLHUP | POLLERR)))
			line_receive(load, &load->lines[i]);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void spread_tell(const char *what, const double *waits, size_t count)
{
	double *sorted = mem_new_array(count, sizeof(*sorted));

	memcpy(sorted, waits, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	printf("%s: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms\n", what, sorted[count / 2], sorted[count * 9 / 10],
	       sorted[count * 99 / 100], sorted[count - 1]);
	free(sorted);
}

int main(int argc, char **argv)
{
	static struct load load;
	struct err err = {0};
	AUTO_BUF file = buf_new((size_t)64 << 20);
	size_t warm;

	if (argc != 7 || (load.rate = strtod(argv[4], NULL)) <= 0 ||
	    (load.total = (size_t)(load.rate * strtod(argv[5], NULL))) == 0) {
		fprintf(stderr, "usage: bench_webhooks PORT PATH SECRET RATE SECONDS SAMPLE\n");
		return 2;
	}
	if (file_read(argv[6], &file, &err)) {
		fprintf(stderr, "webhooks: %s\n", err.text);
		return 1;
	}
	AUTO_JSON sample = json_parse(buf_view(&file), &err);

	load.deliveries = mem_new_array(load.total, sizeof(*load.deliveries));
	load.waits_ms = mem_new_array(load.total, sizeof(*load.waits_ms));
	for (size_t i = 0; i < load.total; i++)
		delivery_make(&load.deliveries[i], argv[1], argv[2], argv[3], view_of(json_text(sample, "body", "")), i);
	for (size_t i = 0; i < CONNECTIONS; i++)
		load.lines[i].fd = line_open((uint16_t)strtoul(argv[1], NULL, 10));
	load.begin_ns = now_ns();
	while (load.done < load.total) {
		begin_due(&load);
		wait_for_more(&load);
	}
	printf("%zu deliveries of %zu bytes in %.1f s, %zu of them refused\n", load.total, load.deliveries[0].length,
	       (double)(now_ns() - load.begin_ns) / 1e9, load.refused);
	warm = (size_t)((double)WARM_NS / 1e9 * load.rate);
	spread_tell("all", load.waits_ms, load.total);
	if (warm < load.total)
		spread_tell("those after 2 s", load.waits_ms + warm, load.total - warm);
	return load.refused != 0;
}
