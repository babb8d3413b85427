/*
 * seam: a TCP seam through the gateway beside a direct loopback connection, in the same run, rounds interleaved: round trip of 64 bytes
 * (median), connect and first byte, and bulk. Needs root (a network namespace of its own). Fails when the gateway is over its target.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/socket.h"
#include "gateway_fixture.h"

#define ROUNDS 5
#define TRIPS 4000
#define CONNECTS 300
#define BULK_BYTES ((size_t)1 << 30)
#define PIECE_BYTES ((size_t)256 << 10)
#define ECHO_PORT 9000
#define SINK_PORT 9001
#define HTTP_PORT 8080
#define ROUND_TRIP_US_MAX 100.0
#define BULK_GB_MIN 1.0
#define BULK_RATIO_MIN 0.4 /* on a machine too slow, or too busy, for the figure itself */

static double now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

/* One byte of what came last goes back when the sender has ended; before that, everything does on the echo port. */
static void *peer_main(void *self)
{
	int fd = (int)(intptr_t)self & 0xffff;
	bool echo = ((intptr_t)self >> 16) != 0;
	AUTO_FREE char *bytes = mem_new(PIECE_BYTES);
	ssize_t got;

	while ((got = recv(fd, bytes, PIECE_BYTES, 0)) > 0)
		if (echo)
			(void)!send(fd, bytes, (size_t)got, MSG_NOSIGNAL);
	(void)!send(fd, "x", 1, MSG_NOSIGNAL);
	(void)close(fd);
	return NULL;
}

static void *listener_main(void *self)
{
	int listener = (int)(intptr_t)self;
	bool echo = socket_port(listener) == ECHO_PORT;

	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t thread;

		if (fd < 0)
			return NULL;
		socket_tune(fd);
		if (pthread_create(&thread, NULL, peer_main, (void *)(intptr_t)(fd | (echo ? 1 << 16 : 0))) == 0)
			(void)pthread_detach(thread);
	}
}

static void listener_start(int port)
{
	AUTO_FREE char *address = text_format("127.0.0.1:%d", port);
	pthread_t thread;
	struct err err;
	int fd;

	if (socket_listen_tcp(address, &fd, &err))
		exit(1);
	(void)fcntl(fd, F_SETFL, 0);
	(void)pthread_create(&thread, NULL, listener_main, (void *)(intptr_t)fd);
	(void)pthread_detach(thread);
}

static double round_trip_us(const char *address)
{
	static double samples[TRIPS];
	char bytes[64];
	int fd = dial_to(address);

	memset(bytes, '-', sizeof(bytes));
	for (int i = 0; i < TRIPS; i++) {
		double begun = now_us();
		size_t got = 0;

		(void)!send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		while (got < sizeof(bytes))
			got += (size_t)recv(fd, bytes, sizeof(bytes) - got, 0);
		samples[i] = now_us() - begun;
	}
	(void)close(fd);
	return median(samples, TRIPS);
}

static double connect_us(const char *address)
{
	static double samples[CONNECTS];

	for (int i = 0; i < CONNECTS; i++) {
		double begun = now_us();
		int fd = dial_to(address);
		char byte = '-';

		(void)!send(fd, &byte, 1, MSG_NOSIGNAL);
		(void)!recv(fd, &byte, 1, 0);
		samples[i] = now_us() - begun;
		(void)close(fd);
	}
	return median(samples, CONNECTS);
}

static double bulk_gb(const char *address)
{
	AUTO_FREE char *bytes = mem_new(PIECE_BYTES);
	int fd = dial_to(address);
	double begun = now_us();
	char byte;

	memset(bytes, '-', PIECE_BYTES);
	for (size_t sent = 0; sent < BULK_BYTES;) {
		ssize_t now = send(fd, bytes, PIECE_BYTES, MSG_NOSIGNAL);

		if (now <= 0)
			break;
		sent += (size_t)now;
	}
	(void)shutdown(fd, SHUT_WR);
	(void)!recv(fd, &byte, 1, 0);
	(void)close(fd);
	return (double)BULK_BYTES / (now_us() - begun) / 1e3;
}

static double request_us(const char *address)
{
	static double samples[TRIPS];
	int fd = dial_to(address);

	for (int i = 0; i < TRIPS; i++) {
		double begun = now_us();

		say(fd, "GET /x HTTP/1.1\r\nHost: api\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n");
		free(hear(fd, "/x 0 "));
		samples[i] = now_us() - begun;
	}
	(void)close(fd);
	return median(samples, TRIPS);
}

/* Time on a core of the gateway's loop: what load on the machine does not change much. */
static double gateway_us(pid_t pid)
{
	AUTO_FREE char *path = text_format("/proc/%d/schedstat", (int)pid);
	FILE *file = fopen(path, "r");
	double ns = 0;

	if (!file || fscanf(file, "%lf", &ns) != 1)
		ns = 0;
	if (file)
		(void)fclose(file);
	return ns / 1e3;
}

static char *seam_address(const char *name, int port)
{
	char address[32];
	int code;

	ask_name(name, 1, false, address, &code);
	return text_format("%s:%d", address, port);
}

int main(void)
{
	static const struct {
		const char *what;
		const char *unit;
		const char *name;
		int port;
		double (*measure)(const char *address);
		double count; /* of what the last column is per */
		const char *per;
	} rows[] = {
		{"round trip, 64 bytes", "us", "raw", ECHO_PORT, round_trip_us, TRIPS, "trip"},
		{"connect and first byte", "us", "raw", ECHO_PORT, connect_us, CONNECTS, "connection"},
		{"bulk, one connection", "GB/s", "sink", SINK_PORT, bulk_gb, (double)BULK_BYTES / 1e6, "MB"},
		{"HTTP request, logged", "us", "api", HTTP_PORT, request_us, TRIPS, "request"},
	};
	struct world_fixture *world = world_open();
	struct copy copy;
	double result[ARRAY_LEN(rows)];
	double ratio[ARRAY_LEN(rows)];

	if (!world)
		return 77;
	service_start(HTTP_PORT);
	listener_start(ECHO_PORT);
	listener_start(SINK_PORT);
	copy_make(world, "bench", "ready",
		  "{\"names\": {\"api\": {\"port\": 8080}, \"raw\": {\"port\": 9000}, \"sink\": {\"port\": 9001}}}", &copy);
	copy_callee(&copy, "api");
	copy_callee(&copy, "raw");
	copy_callee(&copy, "sink");
	copy_caller(&copy, "front");
	(void)printf("%-26s %10s %10s %8s\n", "", "direct", "seam", "ratio");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *direct = text_format("127.0.0.1:%d", rows[i].port);
		AUTO_FREE char *seam = seam_address(rows[i].name, rows[i].port);
		double direct_samples[ROUNDS];
		double seam_samples[ROUNDS];
		double base;
		double cpu_us = gateway_us(world->gateway);

		for (int round = 0; round < ROUNDS; round++) {
			direct_samples[round] = rows[i].measure(direct);
			seam_samples[round] = rows[i].measure(seam);
		}
		base = median(direct_samples, ROUNDS);
		result[i] = median(seam_samples, ROUNDS);
		ratio[i] = result[i] / base;
		cpu_us = (gateway_us(world->gateway) - cpu_us) / ROUNDS / rows[i].count;
		(void)printf("%-26s %10.2f %10.2f %8.2f  %-5s gateway %.1f us a %s\n", rows[i].what, base, result[i], ratio[i],
			     rows[i].unit, cpu_us, rows[i].per);
	}
	copy_drop(&copy);
	world_close(world);
	return result[0] > ROUND_TRIP_US_MAX || (result[2] < BULK_GB_MIN && ratio[2] < BULK_RATIO_MIN);
}
