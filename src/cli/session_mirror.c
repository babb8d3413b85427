/*
 * assay session mirror: a listener that proxies mirror live traffic to (Envoy's and Istio's request mirroring, nginx's `mirror`). Each request is
 * answered at once with nothing, and a sample of them is kept in memory; at the end the server takes their secrets out, and only then is
 * anything written.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "http/server.h"
#include "session/import.h"

#define PROGRAM "assay session mirror"
#define COUNT_DEFAULT 1000
#define BODY_BYTES_MAX ((size_t)1 << 20)
#define KEPT_BYTES_MAX ((size_t)24 << 20) /* of all requests; with what HAR adds below what a session may have */
#define THREADS 4
#define LOOK_NS 200000000
#define GRACE_MS 2000

struct mirror {
	pthread_mutex_t mutex;
	struct session session;
	size_t count_max;
	size_t bytes;
	uint64_t seen;
	uint64_t percent;
	bool full;
};

/* What of a request is kept besides its line and body; a replay needs no other. */
static const char *const headers_kept[] = {
	"authorization",     "cookie",       "content-type", "accept",           "accept-language", "x-api-key", "x-auth-token",
	"x-csrf-token",      "x-xsrf-token", "x-request-id", "x-tenant",         "x-tenant-id",     "tenant-id", "idempotency-key",
	"x-idempotency-key", "traceparent",  "baggage",      "x-requested-with", "if-match",        "prefer"};

/* Every request has the same chance, whatever comes before and after it. */
static bool sampled(const struct mirror *mirror)
{
	uint64_t mixed = mirror->seen * 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	return (mixed ^ mixed >> 31) % 100 < mirror->percent;
}

static void exchange_take(struct exchange *exchange, const struct http_request *request)
{
	exchange->t0_ms = world_now_ms(world_real);
	exchange->proto = text_copy("http");
	exchange->phase = text_copy("mirrored");
	exchange->method = text_copy(request->method);
	exchange->url = text_format(IMPORT_HOST "%s%s%s", request->path, request->query[0] ? "?" : "", request->query);
	for (size_t i = 0; i < ARRAY_LEN(headers_kept); i++) {
		const char *value = http_request_header(request, headers_kept[i]);

		if (value)
			exchange_header_add(&exchange->request_headers, view_of(headers_kept[i]), view_of(value));
	}
	exchange_body_add(&exchange->request_body, request->body);
}

static void mirrored(void *self, const struct http_request *request, struct http_reply *reply)
{
	struct mirror *mirror = self;

	http_reply_send(reply, 204, "text/plain", VIEW(""));
	(void)pthread_mutex_lock(&mirror->mutex);
	mirror->seen++;
	if (!mirror->full && sampled(mirror)) {
		struct exchange exchange = {.seq = mirror->session.count + 1};

		exchange_take(&exchange, request);
		mirror->bytes += strlen(exchange.url) + exchange.request_body.length + 1024;
		session_add(&mirror->session, &exchange);
		mirror->full = mirror->session.count >= mirror->count_max || mirror->bytes >= KEPT_BYTES_MAX;
	}
	(void)pthread_mutex_unlock(&mirror->mutex);
}

/* Until there is enough, the time is over, or somebody ends it. */
static void wait_for_end(struct mirror *mirror, const sigset_t *signals, int64_t seconds)
{
	int64_t end_ms = seconds ? world_elapsed_ms(world_real) + seconds * 1000 : INT64_MAX;
	bool full = false;

	while (!full && world_elapsed_ms(world_real) < end_ms) {
		if (sigtimedwait(signals, NULL, &(struct timespec){.tv_nsec = LOOK_NS}) > 0)
			return;
		(void)pthread_mutex_lock(&mirror->mutex);
		full = mirror->full;
		(void)pthread_mutex_unlock(&mirror->mutex);
	}
}

static int mirror_run(struct mirror *mirror, const char *address, int64_t seconds, struct err *err)
{
	static const struct http_route routes[] = {{"*", "/*", mirrored, BODY_BYTES_MAX}};
	const struct http_server_spec spec = {
		.routes = routes, .route_count = ARRAY_LEN(routes), .self = mirror, .threads = THREADS};
	struct http_server *server;
	sigset_t signals;
	int port = 0;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before there are threads: they take none of them */
	server = http_server_new(&spec, err);
	if (!server)
		return -1;
	if (http_server_listen_tcp(server, address, &port, err) || http_server_start(server, err)) {
		http_server_free(server, 0);
		return -1;
	}
	fprintf(stderr, "%s: mirror requests to port %d; interrupt to end\n", PROGRAM, port);
	wait_for_end(mirror, &signals, seconds);
	http_server_free(server, GRACE_MS);
	return 0;
}

int session_mirror(int argc, char **argv)
{
	const char *address = NULL;
	const char *output = NULL;
	AUTO_JSON keep = json_array();
	bool values = false;
	int64_t count = COUNT_DEFAULT;
	int64_t percent = 100;
	int64_t seconds = 0;
	const struct cli_option options[] = {
		{.name = "listen", .value = "ADDRESS:PORT", .help = "where proxies mirror to", .text = &address},
		{.name = "output", .value = "FILE", .help = "write it here (-o FILE)", .text = &output},
		{.name = "count",
		 .value = "N",
		 .help = "end after so many are kept (default: 1000; at most 20000)",
		 .number = &count},
		{.name = "sample", .value = "PERCENT", .help = "keep so many of a hundred (default: 100)", .number = &percent},
		{.name = "seconds",
		 .value = "N",
		 .help = "end after so long (default: when it is interrupted)",
		 .number = &seconds},
		{.name = "keep",
		 .value = "NAME",
		 .help = "leave what stands under this name of a header or field as it is; may be given several times",
		 .each = session_name_keep,
		 .self = keep},
		{.name = "with-values",
		 .help = "keep its secrets on this server, sealed, so that logins can be replayed",
		 .flag = &values},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments =
			"--listen ADDRESS:PORT -o FILE.har [--count N] [--sample PERCENT] [--seconds N] [--keep NAME]... [--with-values]",
		.about =
			"Makes a session of live traffic: a listener for what Envoy, Istio or nginx mirror. Every request is answered at once with\n"
			"nothing; secrets are replaced by a keyed hash before anything is written.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	struct mirror mirror = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	struct err err = {0};
	int code = CLI_DONE;
	int failed;

	session_short_options(argc, argv);
	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (!address || !output)
		return cli_refuse(PROGRAM, "--listen ADDRESS:PORT and -o FILE.har are needed");
	if (!count || count > HAR_ENTRIES_MAX || !percent || percent > 100)
		return cli_refuse(PROGRAM, "--count: 1 to %d; --sample: 1 to 100", HAR_ENTRIES_MAX);
	mirror.count_max = (size_t)count;
	mirror.percent = (uint64_t)percent;
	failed = mirror_run(&mirror, address, seconds, &err);
	if (!failed && !mirror.session.count)
		failed = err_set(&err, ERR_NOT_FOUND, "nothing was mirrored, and nothing is written");
	if (!failed)
		failed = session_write(PROGRAM, &(struct session_writing){&mirror.session, keep, values, output}, &err);
	if (!failed)
		fprintf(stderr, "%s: %llu requests came, %zu are kept\n", PROGRAM, (unsigned long long)mirror.seen,
			mirror.session.count);
	session_fini(&mirror.session);
	return failed ? cli_fail(PROGRAM, false, &err) : CLI_DONE;
}
