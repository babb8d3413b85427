/* The server: accept, read one request, answer, close. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static sem_t slots;
static http_handle *handler;
static int listener = -1;
static atomic_bool stopping;

static void on_stop(int number)
{
	(void)number;
	stopping = true;
	shutdown(listener, SHUT_RDWR); /* wakes accept */
}

static const char *reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 413:
		return "Content Too Large";
	default:
		return "Error";
	}
}

/* Copies the value of a header out of the head, if it is there and fits. */
static bool header_find(const char *head, const char *name, char *value, size_t size)
{
	size_t length = strlen(name);
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		const char *at = line + 2;
		if (strncasecmp(at, name, length) != 0 || at[length] != ':')
			continue;
		at += length + 1;
		at += strspn(at, " \t");
		size_t bytes = strcspn(at, "\r\n");
		if (bytes >= size)
			return false;
		memcpy(value, at, bytes);
		value[bytes] = '\0';
		return true;
	}
	return false;
}

/* Reads until `needed` bytes are there, or with needed == 0 until the end of the head; returns the bytes read so far. */
static ssize_t read_some(int fd, char *text, size_t used)
{
	if (used + 1 >= HTTP_REQUEST_BYTES_MAX)
		return -1;
	ssize_t got = recv(fd, text + used, HTTP_REQUEST_BYTES_MAX - 1 - used, 0);
	if (got > 0)
		text[used + (size_t)got] = '\0';
	return got;
}

/* Reads and parses one request into `text`; returns 0, or the status that refuses it, or -1 if the peer is gone. */
static int request_read(int fd, char *text, struct http_request *request)
{
	size_t used = 0;
	char *end = NULL;
	while (!end) {
		ssize_t got = read_some(fd, text, used);
		if (got <= 0)
			return used + 1 >= HTTP_REQUEST_BYTES_MAX ? 413 : -1;
		used += (size_t)got;
		end = strstr(text, "\r\n\r\n");
	}
	size_t head_bytes = (size_t)(end - text) + 4;
	char digits[16] = "0", coding[32];
	*end = '\0';
	if (sscanf(text, "%7[A-Z] %255s HTTP/1.", request->method, request->path) != 2)
		return 400;
	if (header_find(text, "transfer-encoding", coding, sizeof coding))
		return 400;
	header_find(text, "content-length", digits, sizeof digits);
	if (!header_find(text, "x-request-id", request->request_id, sizeof request->request_id))
		strcpy(request->request_id, "-");
	size_t body_bytes = strtoul(digits, NULL, 10);
	if (digits[strspn(digits, "0123456789")] != '\0')
		return 400;
	if (body_bytes >= HTTP_REQUEST_BYTES_MAX - head_bytes)
		return 413;
	while (used < head_bytes + body_bytes) {
		ssize_t got = read_some(fd, text, used);
		if (got <= 0)
			return -1;
		used += (size_t)got;
	}
	request->body = text + head_bytes;
	request->body_bytes = body_bytes;
	return 0;
}

static void answer_send(int fd, int status, const char *body)
{
	char text[HTTP_ANSWER_BYTES_MAX + 256];
	int length = snprintf(text, sizeof text,
			      "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
			      "connection: close\r\n\r\n%s",
			      status, reason_of(status), strlen(body), body);
	for (int sent = 0; sent < length;) {
		ssize_t wrote = send(fd, text + sent, (size_t)(length - sent), MSG_NOSIGNAL);
		if (wrote <= 0)
			return;
		sent += (int)wrote;
	}
}

static double elapsed_ms(const struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - since->tv_sec) * 1e3 + (double)(now.tv_nsec - since->tv_nsec) / 1e6;
}

static void connection_serve(int fd, char *text)
{
	struct timespec started;
	struct http_request request = {0};
	char answer[HTTP_ANSWER_BYTES_MAX] = "{\"error\":\"bad request\"}";
	clock_gettime(CLOCK_MONOTONIC, &started);
	int status = request_read(fd, text, &request);
	if (status < 0)
		return;
	if (status == 0)
		status = handler(&request, answer, sizeof answer);
	answer_send(fd, status, answer);
	printf("level=info msg=request method=%s path=%s status=%d ms=%.1f request=%s\n", request.method,
	       request.path, status, elapsed_ms(&started), request.request_id);
}

static void *connection_run(void *argument)
{
	int fd = (int)(intptr_t)argument, on = 1;
	struct timeval timeout = {.tv_sec = HTTP_TIMEOUT_S};
	char *text = malloc(HTTP_REQUEST_BYTES_MAX);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (text)
		connection_serve(fd, text);
	free(text);
	close(fd);
	sem_post(&slots);
	return NULL;
}

static int listener_open(int port)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 128) == 0)
		return fd;
	close(fd);
	return -1;
}

static void accept_loop(const pthread_attr_t *detached)
{
	while (!stopping) {
		pthread_t thread;
		while (sem_wait(&slots) != 0 && !stopping)
			;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && pthread_create(&thread, detached, connection_run, (void *)(intptr_t)fd) == 0)
			continue;
		if (fd >= 0)
			close(fd);
		sem_post(&slots);
	}
}

int http_serve(int port, http_handle *handle)
{
	pthread_attr_t detached;
	struct sigaction stop = {.sa_handler = on_stop};
	handler = handle;
	listener = listener_open(port);
	if (listener < 0) {
		printf("level=error msg=\"cannot listen\" port=%d reason=\"%s\"\n", port, strerror(errno));
		return 1;
	}
	sem_init(&slots, 0, HTTP_CONNECTIONS_MAX);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	printf("level=info msg=listening service=pricing port=%d\n", port);
	accept_loop(&detached);
	printf("level=info msg=stopped service=pricing\n");
	return 0;
}
