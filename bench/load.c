/*
 * load: an HTTPS client that keeps proxies busy, for bench/gateway. It verifies certificates, speaks HTTP/1.1 over any number of connections,
 * through the door, through a reverse proxy or by CONNECT, and prints what it did: "requests N errors N seconds S".
 *
 *	load [--connect ADDRESS:PORT] [--by-connect] [--authorities PEM] [--connections N] [--seconds S | --requests N] [--body BYTES]
 *	     [--field 'Name: value'] [--path PATH] [--fresh] [--hold] NAME
 *
 * --fresh: a connection for each request. A `%` in NAME is replaced by the number of the connection, so that each has a name that nobody
 * has seen (--first says from which number on). --hold: one request each, one after another, then the connections stay open until
 * standard input ends; "open N" is printed first. --body 0 is GET.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "http/codec.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/tls.h"

#define SCRATCH_BYTES ((size_t)64 << 10)
#define WAITING_MAX ((size_t)256 << 10)
#define HOLD_OPENING_MAX 32
#define NAME_BYTES 256
#define STUCK_MS 20000

enum step { STEP_CONNECT, STEP_TUNNEL, STEP_SECURE, STEP_HEAD, STEP_BODY, STEP_HELD };

struct client {
	struct load *load;
	struct loop_watch watch;
	int fd;
	enum step step;
	struct tls *tls;
	char name[NAME_BYTES];
	uint64_t body_left; /* of the request */
	struct buf input;
	size_t scanned;
	struct http_body body;
	bool keep;
};

struct load {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_timer stuck;
	struct loop_watch input;
	struct tls_side *side;
	struct sockaddr_storage address;
	socklen_t address_bytes;
	const char *name;
	const char *fields;
	const char *path;
	bool by_connect;
	bool fresh;
	bool hold;
	unsigned long connections;
	unsigned long requests_max;
	unsigned long body_bytes;
	unsigned long opened;
	unsigned long number;
	unsigned long done;
	unsigned long done_before;
	unsigned long errors;
	bool over;
	struct client *clients;
	char scratch[SCRATCH_BYTES];
};

static double now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void client_open(struct client *client);

static void client_close(struct client *client)
{
	loop_watch_remove(client->load->loop, &client->watch);
	tls_free(TAKE(client->tls));
	if (client->fd >= 0)
		socket_reset(client->fd); /* so that no port waits for its peer */
	client->fd = -1;
	buf_fini(&client->input);
}

static void finish(struct load *load)
{
	load->over = true;
	loop_stop(load->loop);
}

static void client_fail(struct client *client, const char *why)
{
	struct load *load = client->load;

	if (load->errors++ < 3 && !load->over)
		(void)fprintf(stderr, "load: %s: %s\n", client->name, why);
	client_close(client);
	if (load->errors > load->connections + 100)
		finish(load);
	else if (!load->over && !load->hold)
		client_open(client);
}

static bool client_flush(struct client *client)
{
	static char filler[SCRATCH_BYTES];

	if (!filler[0])
		for (size_t i = 0; i < sizeof(filler); i++)
			filler[i] = "words of a request "[i % 19];
	for (;;) {
		size_t piece = client->body_left < sizeof(filler) ? (size_t)client->body_left : sizeof(filler);

		if (!tls_flush(client->tls))
			return false;
		if (client->step < STEP_HEAD || !piece || tls_waiting(client->tls) > 0)
			break;
		if (!tls_write(client->tls, view_make(filler, piece)))
			return false;
		client->body_left -= piece;
	}
	loop_watch_set(client->load->loop, &client->watch, LOOP_READ | (tls_waiting(client->tls) ? LOOP_WRITE : 0));
	return true;
}

static bool client_ask(struct client *client)
{
	const struct load *load = client->load;
	AUTO_BUF head = buf_new(SCRATCH_BYTES);

	buf_add_format(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s",
		       load->body_bytes ? "POST" : "GET", load->path, client->name, load->fields);
	if (load->body_bytes)
		buf_add_format(&head, "Content-Type: application/json\r\nContent-Length: %lu\r\n", load->body_bytes);
	buf_add_text(&head, "\r\n");
	client->body_left = load->body_bytes;
	if (client->body_left && client->body_left <= 4096) { /* with the head, as clients do */
		buf_add_text(&head, "{\"text\": \"");
		while (head.at[0] && client->body_left > 12) {
			size_t piece = client->body_left - 12 < 19 ? (size_t)client->body_left - 12 : 19;

			buf_add(&head, "words of a request ", piece);
			client->body_left -= piece;
		}
		buf_add_text(&head, "\"}");
		client->body_left = 0;
	}
	client->step = STEP_HEAD;
	client->scanned = 0;
	return tls_write(client->tls, buf_view(&head)) && client_flush(client);
}

static void client_answered(struct client *client)
{
	struct load *load = client->load;

	load->done++;
	if (load->hold) {
		client->step = STEP_HELD;
		buf_fini(&client->input);
		if (load->opened < load->connections)
			client_open(&load->clients[load->opened]);
		else if (load->done + load->errors >= load->connections) {
			(void)printf("open %lu\n", load->done);
			(void)fflush(stdout);
		}
		return;
	}
	if (load->requests_max && load->done >= load->requests_max) {
		finish(load);
	} else if (load->fresh || !client->keep) {
		client_close(client);
		client_open(client);
	} else if (!client_ask(client)) {
		client_fail(client, "it cannot be asked");
	}
}

/* Takes what is there; true: it is as it should be. */
static bool answer_take(struct client *client)
{
	struct buf *input = &client->input;
	struct http_head head;
	struct err err;
	size_t done = 0;

	if (client->step == STEP_HEAD) {
		switch (http_response_parse(buf_view(input), &client->scanned,
					    client->load->body_bytes ? VIEW("POST") : VIEW("GET"), &head, &err)) {
		case HTTP_MORE:
			return true;
		case HTTP_BAD:
			return false;
		case HTTP_DONE:
			break;
		}
		if (head.status == 100) {
			buf_drop_front(input, head.bytes);
			client->scanned = 0;
			return true;
		}
		if (head.status != 200)
			return false;
		client->keep = head.keep_alive;
		http_body_init(&client->body, &head);
		client->step = STEP_BODY;
		done = head.bytes;
	}
	while (client->step == STEP_BODY && !http_body_ended(&client->body) && done < input->length) {
		struct view data;
		size_t used;

		if (http_body_feed(&client->body, view_make(input->at + done, input->length - done), &used, &data, &err) ==
		    HTTP_BAD)
			return false;
		done += used;
		if (!used)
			break;
	}
	buf_drop_front(input, done);
	if (client->step == STEP_BODY && http_body_ended(&client->body))
		client_answered(client);
	return true;
}

static void client_read(struct client *client)
{
	struct load *load = client->load;
	ssize_t got;

	tls_readable(client->tls);
	while (client->tls && (got = tls_read(client->tls, load->scratch, sizeof(load->scratch))) > 0) {
		if (client->step != STEP_HEAD && client->step != STEP_BODY) {
			client_fail(client, "it says what nobody asked for");
			return;
		}
		buf_add(&client->input, load->scratch, (size_t)got);
		if (!answer_take(client)) {
			client_fail(client, client->input.length ? client->input.at : "no answer");
			return;
		}
		if (load->over)
			return;
	}
	if (client->tls && got != -1)
		client_fail(client, "it ended");
}

static void client_secure(struct client *client)
{
	struct err err;

	if (!client->tls)
		client->tls = tls_connect(client->load->side, client->fd, client->name, TLS_HTTP1, NULL);
	client->step = STEP_SECURE;
	tls_readable(client->tls);
	switch (tls_handshake(client->tls, &err)) {
	case TLS_MORE:
		if (!client_flush(client))
			client_fail(client, "it is gone");
		break;
	case TLS_FAILED:
		client_fail(client, err.text);
		break;
	case TLS_DONE:
		if (!client_ask(client))
			client_fail(client, "it cannot be asked");
		break;
	}
}

static void client_tunnel(struct client *client)
{
	AUTO_FREE char *text = text_format("CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", client->name, client->name);

	client->step = STEP_TUNNEL;
	loop_watch_set(client->load->loop, &client->watch, LOOP_READ);
	if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		client_fail(client, "it takes no CONNECT");
}

static void client_tunnelled(struct client *client)
{
	char text[4096];
	ssize_t got = recv(client->fd, text, sizeof(text) - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	if (got <= 0 || strncmp(text, "HTTP/1.", 7) != 0 || strncmp(text + 8, " 200", 4) != 0 || !strstr(text, "\r\n\r\n"))
		client_fail(client, got > 0 ? text : "no answer to CONNECT");
	else
		client_secure(client);
}

static void client_ready(struct loop_watch *watch, unsigned events)
{
	struct client *client = (struct client *)((char *)watch - offsetof(struct client, watch));

	switch (client->step) {
	case STEP_CONNECT:
		if (socket_error(client->fd))
			client_fail(client, "no connection");
		else if (client->load->by_connect)
			client_tunnel(client);
		else
			client_secure(client);
		return;
	case STEP_TUNNEL:
		client_tunnelled(client);
		return;
	case STEP_SECURE:
		client_secure(client);
		return;
	case STEP_HEAD:
	case STEP_BODY:
	case STEP_HELD:
		break;
	}
	if (events & (LOOP_READ | LOOP_BROKEN))
		client_read(client);
	if (client->tls && !client->load->over && !client_flush(client))
		client_fail(client, "it is gone");
}

static void client_open(struct client *client)
{
	struct load *load = client->load;
	const char *place = strchr(load->name, '%');
	struct err err;

	load->opened++;
	client->step = STEP_CONNECT;
	client->watch = (struct loop_watch){.ready = client_ready};
	client->input = buf_new((size_t)1 << 20);
	if (place)
		(void)snprintf(client->name, sizeof(client->name), "%.*s%lu%s", (int)(place - load->name), load->name,
			       load->number++, place + 1);
	else
		(void)snprintf(client->name, sizeof(client->name), "%s", load->name);
	client->fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd >= 0)
		socket_tune(client->fd);
	if (client->fd < 0 ||
	    (connect(client->fd, (const struct sockaddr *)&load->address, load->address_bytes) && errno != EINPROGRESS) ||
	    loop_watch_add(load->loop, &client->watch, client->fd, LOOP_WRITE, &err)) {
		perror("load: connect");
		exit(1);
	}
}

static void time_over(struct loop_timer *timer)
{
	finish((struct load *)((char *)timer - offsetof(struct load, timer)));
}

/* Nothing was answered for a long time: that is said, and counts as an error. */
static void stuck(struct loop_timer *timer)
{
	struct load *load = (struct load *)((char *)timer - offsetof(struct load, stuck));

	if (load->done == load->done_before && !load->hold) {
		(void)fprintf(stderr, "load: nothing was answered for %d s\n", STUCK_MS / 1000);
		load->errors++;
		finish(load);
	}
	load->done_before = load->done;
	loop_timer_set(load->loop, timer, STUCK_MS);
}

static void input_ready(struct loop_watch *watch, unsigned events)
{
	struct load *load = (struct load *)((char *)watch - offsetof(struct load, input));
	char byte;

	(void)events;
	if (read(watch->fd, &byte, 1) <= 0)
		finish(load);
}

static void address_find(struct load *load, const char *text)
{
	AUTO_FREE char *host = text_copy(text ? text : load->name);
	char *colon = strrchr(host, ':');
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (colon)
		*colon++ = '\0';
	if (getaddrinfo(host, colon ? colon : "443", &hints, &found) || !found) {
		(void)fprintf(stderr, "load: %s is not known\n", host);
		exit(1);
	}
	memcpy(&load->address, found->ai_addr, found->ai_addrlen);
	load->address_bytes = found->ai_addrlen;
	freeaddrinfo(found);
}

static _Noreturn void usage(void)
{
	(void)fprintf(
		stderr,
		"usage: load [--connect ADDRESS:PORT] [--by-connect] [--authorities PEM] [--connections N] [--seconds S | --requests N]\n"
		"            [--body BYTES] [--field TEXT] [--path PATH] [--first N] [--fresh] [--hold] NAME\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"connect", required_argument, NULL, 'c'},
						{"by-connect", no_argument, NULL, 'b'},
						{"authorities", required_argument, NULL, 'a'},
						{"connections", required_argument, NULL, 'n'},
						{"seconds", required_argument, NULL, 's'},
						{"requests", required_argument, NULL, 'r'},
						{"body", required_argument, NULL, 'B'},
						{"field", required_argument, NULL, 'f'},
						{"first", required_argument, NULL, 'i'},
						{"fresh", no_argument, NULL, 'F'},
						{"hold", no_argument, NULL, 'h'},
						{"path", required_argument, NULL, 'p'},
						{NULL, 0, NULL, 0}};
	struct load *load = mem_new(sizeof(*load));
	struct rlimit files = {0};
	const char *address = NULL;
	const char *authorities = NULL;
	unsigned long seconds = 0;
	struct err err = {0};
	double began;
	int option;

	load->connections = 1;
	load->fields = "";
	load->path = "/";
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			address = optarg;
			break;
		case 'b':
			load->by_connect = true;
			break;
		case 'a':
			authorities = optarg;
			break;
		case 'n':
			load->connections = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seconds = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			load->requests_max = strtoul(optarg, NULL, 10);
			break;
		case 'B':
			load->body_bytes = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			load->fields = text_format("%s\r\n", optarg);
			break;
		case 'i':
			load->number = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			load->path = optarg;
			break;
		case 'F':
			load->fresh = true;
			break;
		case 'h':
			load->hold = true;
			break;
		default:
			usage();
		}
	}
	if (optind + 1 != argc || !load->connections)
		usage();
	load->name = argv[optind];
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	address_find(load, address);
	load->loop = loop_new(&err);
	if (!load->loop || tls_client_new(authorities, &load->side, &err)) {
		(void)fprintf(stderr, "load: %s\n", err.text);
		return 1;
	}
	load->clients = mem_new_array(load->connections, sizeof(*load->clients));
	for (unsigned long i = 0; i < load->connections; i++)
		load->clients[i] = (struct client){.load = load, .fd = -1};
	began = now_s();
	for (unsigned long i = 0; i < load->connections && (!load->hold || i < HOLD_OPENING_MAX); i++)
		client_open(&load->clients[i]);
	load->timer.expired = time_over;
	load->stuck.expired = stuck;
	loop_timer_set(load->loop, &load->stuck, STUCK_MS);
	if (seconds)
		loop_timer_set(load->loop, &load->timer, (int64_t)seconds * 1000);
	load->input.ready = input_ready;
	if (load->hold && loop_watch_add(load->loop, &load->input, 0, LOOP_READ, &err))
		return 1;
	loop_run(load->loop);
	(void)printf("requests %lu errors %lu seconds %.3f\n", load->done, load->errors, now_s() - began);
	return load->errors ? 1 : 0;
}
