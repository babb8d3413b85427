/* The queue, the thread that empties it, and the shape of what it sends. */
#include "http/otlp.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "http/client.h"
#include "http/url.h"

#define HEADERS_MAX 16
#define DELAY_MS 5000
#define TIMEOUT_MS 10000
#define PAUSE_FIRST_MS 1000
#define PAUSE_LONGEST_MS 30000
#define TRIES_MAX 6
#define BODY_MAX ((size_t)16 << 20)
#define ANSWER_MAX ((size_t)64 << 10)

struct otlp {
	char *url;
	struct http_header headers[HEADERS_MAX]; /* owned */
	size_t header_count;
	json_t *resource;
	json_t *scope;
	int64_t timeout_ms;
	int64_t delay_ms;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	json_t *queue[OTLP_QUEUE_MAX]; /* a ring, under lock */
	size_t first, count;
	bool closing;
	int64_t close_by_ms; /* monotonic */
	struct otlp_counts counts;
	bool failing; /* of the thread alone: it was said that the collector does not take them */
};

/* ---- shapes ---- */

static json_t *value_of(const json_t *value)
{
	if (json_is_string(value))
		return json_pack("{s:O}", "stringValue", value);
	if (json_is_boolean(value))
		return json_pack("{s:O}", "boolValue", value);
	if (json_is_real(value))
		return json_pack("{s:O}", "doubleValue", value);
	return json_pack("{s:o}", "intValue", json_sprintf("%lld", (long long)json_integer_value(value)));
}

static json_t *attributes_of(const json_t *object)
{
	json_t *list = json_array();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
		(void)json_array_append_new(list, json_pack("{s:s, s:o}", "key", name, "value", value_of(value)));
	return list;
}

static void hex_set(json_t *object, const char *name, const unsigned char *bytes, size_t count)
{
	AUTO_BUF text = buf_new(2 * (size_t)SPAN_TRACE_BYTES);

	buf_add_hex(&text, bytes, count);
	json_set_bytes(object, name, buf_view(&text));
}

json_t *otlp_span(const struct span *span)
{
	static const unsigned char none[SPAN_ID_BYTES];
	json_t *made = json_object();
	json_t *status = json_object();

	hex_set(made, "traceId", span->trace, sizeof(span->trace));
	hex_set(made, "spanId", span->id, sizeof(span->id));
	if (memcmp(span->parent, none, sizeof(none)) != 0)
		hex_set(made, "parentSpanId", span->parent, sizeof(span->parent));
	json_set_bytes(made, "name", view_of(span->name));
	(void)json_object_set_new(made, "kind", json_integer(span->kind));
	(void)json_object_set_new(made, "startTimeUnixNano", json_sprintf("%" PRId64, span->begun_ns));
	(void)json_object_set_new(made, "endTimeUnixNano", json_sprintf("%" PRId64, span->ended_ns));
	(void)json_object_set_new(made, "attributes", attributes_of(span->attributes));
	if (span->failed) {
		(void)json_object_set_new(status, "code", json_integer(2));
		json_set_bytes(status, "message", view_of(span->failed->text));
	}
	(void)json_object_set_new(made, "status", status);
	return made;
}

/* ---- settings ---- */

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int64_t setting_ms(const char *name, int64_t fallback)
{
	const char *value = setting(name);
	uint64_t number;

	return value && view_to_u64(view_of(value), &number) && number <= INT32_MAX ? (int64_t)number : fallback;
}

/* Owned by the caller; NULL: there is none. *name is the variable that says it. */
static char *url_wanted(const char **name)
{
	const char *exact = setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
	const char *base = setting("OTEL_EXPORTER_OTLP_ENDPOINT");
	const char *exporter = setting("OTEL_TRACES_EXPORTER");
	const char *disabled = setting("OTEL_SDK_DISABLED");

	*name = exact ? "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" : "OTEL_EXPORTER_OTLP_ENDPOINT";
	if ((exporter && strcmp(exporter, "none") == 0) || (disabled && strcasecmp(disabled, "true") == 0))
		return NULL;
	if (exact)
		return text_copy(exact);
	return base ? text_format("%s%sv1/traces", base, base[strlen(base) - 1] == '/' ? "" : "/") : NULL;
}

/* The next "name=value" of a list with commas, percent-decoded; false at its end. Both are owned by the caller. */
static bool pair_next(struct view *rest, char **name, char **value)
{
	while (rest->length) {
		struct view text;
		struct view key = view_trim(view_cut(view_cut(*rest, ',', rest), '=', &text));
		AUTO_BUF decoded = buf_new(8192);

		if (!key.length || url_decode(&decoded, view_trim(text), false, NULL))
			continue;
		*name = view_copy(key);
		*value = view_copy(buf_view(&decoded));
		return true;
	}
	return false;
}

static void headers_take(struct otlp *otlp)
{
	const char *wanted = setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
	struct view rest;
	char *name;
	char *value;

	wanted = wanted ? wanted : setting("OTEL_EXPORTER_OTLP_HEADERS");
	rest = view_of(wanted ? wanted : "");
	otlp->headers[otlp->header_count++] = (struct http_header){text_copy("Content-Type"), text_copy("application/json")};
	while (otlp->header_count < HEADERS_MAX && pair_next(&rest, &name, &value))
		otlp->headers[otlp->header_count++] = (struct http_header){name, value};
}

static json_t *resource_make(const char *version)
{
	const char *wanted = setting("OTEL_RESOURCE_ATTRIBUTES");
	struct view rest = view_of(wanted ? wanted : "");
	AUTO_JSON all = json_pack("{s:s, s:s, s:I}", "service.name", "assay", "service.version", version, "process.pid",
				  (json_int_t)getpid());
	struct utsname machine;
	char *name;
	char *value;

	if (uname(&machine) == 0)
		json_set_bytes(all, "host.name", view_of(machine.nodename));
	while (pair_next(&rest, &name, &value)) {
		json_set_bytes(all, name, view_of(value));
		free(name);
		free(value);
	}
	if (setting("OTEL_SERVICE_NAME"))
		json_set_bytes(all, "service.name", view_of(setting("OTEL_SERVICE_NAME")));
	return json_pack("{s:o}", "attributes", attributes_of(all));
}

/* ---- sending ---- */

static void queue_put(void *self, const struct span *span)
{
	struct otlp *otlp = self;
	json_t *made = otlp_span(span);

	(void)pthread_mutex_lock(&otlp->lock);
	if (otlp->count < OTLP_QUEUE_MAX) {
		otlp->queue[(otlp->first + otlp->count++) % OTLP_QUEUE_MAX] = TAKE(made);
		if (otlp->count == 1 || otlp->count == OTLP_BATCH_MAX)
			(void)pthread_cond_signal(&otlp->changed);
	} else {
		otlp->counts.dropped++;
	}
	(void)pthread_mutex_unlock(&otlp->lock);
	json_decref(made);
}

/* Under lock. */
static void sleep_ms(struct otlp *otlp, int64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&otlp->changed, &otlp->lock, &until);
}

/* Waits until there is something to send, and a while longer for more of it. NULL: the end, and nothing is left. */
static json_t *batch_take(struct otlp *otlp)
{
	json_t *batch = json_array();
	int64_t until_ms = 0;

	(void)pthread_mutex_lock(&otlp->lock);
	while (!otlp->closing && otlp->count < OTLP_BATCH_MAX) {
		int64_t now_ms = world_elapsed_ms(world_real);

		if (otlp->count && !until_ms)
			until_ms = now_ms + otlp->delay_ms;
		if (until_ms && now_ms >= until_ms)
			break;
		sleep_ms(otlp, until_ms ? until_ms - now_ms : DELAY_MS);
	}
	for (size_t i = 0; i < OTLP_BATCH_MAX && otlp->count; i++) {
		(void)json_array_append_new(batch, TAKE(otlp->queue[otlp->first]));
		otlp->first = (otlp->first + 1) % OTLP_QUEUE_MAX;
		otlp->count--;
	}
	(void)pthread_mutex_unlock(&otlp->lock);
	if (json_array_size(batch))
		return batch;
	json_decref(batch);
	return NULL;
}

/* Has the end gone on for as long as it may? */
static bool is_over(struct otlp *otlp)
{
	bool over;

	(void)pthread_mutex_lock(&otlp->lock);
	over = otlp->closing && world_elapsed_ms(world_real) >= otlp->close_by_ms;
	(void)pthread_mutex_unlock(&otlp->lock);
	return over;
}

static bool answer_add(void *self, struct view bytes)
{
	struct otlp *otlp = self;

	(void)bytes;
	return !is_over(otlp);
}

/* Sends them once. ERR_RETRY: again later, after *pause_ms where the collector says so. */
static int post(struct otlp *otlp, struct view body, int64_t *pause_ms, struct err *err)
{
	AUTO_RESPONSE response = {0};
	const struct http_call call = {.method = "POST",
				       .url = otlp->url,
				       .headers = otlp->headers,
				       .header_count = otlp->header_count,
				       .body = body,
				       .timeout_ms = otlp->timeout_ms,
				       .body_bytes_max = ANSWER_MAX,
				       .on_bytes = answer_add,
				       .self = otlp};
	const char *after;
	uint64_t seconds;

	if (http_client_call(&call, &response, err))
		return -1;
	if (response.status >= 200 && response.status < 300)
		return 0;
	after = http_response_header(&response, "retry-after");
	if (after && view_to_u64(view_of(after), &seconds) && seconds <= PAUSE_LONGEST_MS / 1000)
		*pause_ms = (int64_t)seconds * 1000;
	return err_set(err,
		       response.status == 429 || response.status == 502 || response.status == 503 || response.status == 504
			       ? ERR_RETRY
			       : ERR_INVALID,
		       "it answered %u", response.status);
}

static void batch_count(struct otlp *otlp, int64_t spans, const struct err *failed)
{
	(void)pthread_mutex_lock(&otlp->lock);
	*(failed ? &otlp->counts.dropped : &otlp->counts.sent) += spans;
	(void)pthread_mutex_unlock(&otlp->lock);
	if (failed && !otlp->failing)
		log_warn("traces: %s does not take spans: %s: they are dropped until it does", otlp->url, failed->text);
	if (!failed && otlp->failing)
		log_info("traces: %s takes spans again", otlp->url);
	otlp->failing = failed;
}

/* Is it to be tried again? Then that time has come. */
static bool batch_waits(struct otlp *otlp, const struct err *failed, int tries, int64_t pause_ms)
{
	bool again;

	(void)pthread_mutex_lock(&otlp->lock);
	again = failed->kind == ERR_RETRY && tries < TRIES_MAX && !otlp->closing;
	if (again)
		sleep_ms(otlp, pause_ms);
	(void)pthread_mutex_unlock(&otlp->lock);
	return again;
}

static void batch_send(struct otlp *otlp, json_t *batch)
{
	AUTO_JSON whole = json_pack("{s:[{s:O, s:[{s:O, s:O}]}]}", "resourceSpans", "resource", otlp->resource, "scopeSpans",
				    "scope", otlp->scope, "spans", batch);
	AUTO_BUF body = buf_new(BODY_MAX);
	int64_t pause_ms = PAUSE_FIRST_MS;
	struct err err = {0};

	json_format(&body, whole);
	if (buf_finish(&body, &err)) {
		batch_count(otlp, (int64_t)json_array_size(batch), &err);
		return;
	}
	for (int tries = 1; post(otlp, buf_view(&body), &pause_ms, &err); tries++) {
		if (!batch_waits(otlp, &err, tries, pause_ms)) {
			batch_count(otlp, (int64_t)json_array_size(batch), &err);
			return;
		}
		pause_ms = pause_ms * 2 < PAUSE_LONGEST_MS ? pause_ms * 2 : PAUSE_LONGEST_MS;
	}
	batch_count(otlp, (int64_t)json_array_size(batch), NULL);
}

static void *send_main(void *self)
{
	struct otlp *otlp = self;

	for (;;) {
		AUTO_JSON batch = batch_take(otlp);

		if (!batch || is_over(otlp))
			return NULL;
		batch_send(otlp, batch);
	}
}

static void otlp_free(struct otlp *otlp)
{
	for (size_t i = 0; i < otlp->count; i++)
		json_decref(otlp->queue[(otlp->first + i) % OTLP_QUEUE_MAX]);
	for (size_t i = 0; i < otlp->header_count; i++) {
		free((char *)(uintptr_t)otlp->headers[i].name);
		free((char *)(uintptr_t)otlp->headers[i].value);
	}
	json_decref(otlp->resource);
	json_decref(otlp->scope);
	(void)pthread_cond_destroy(&otlp->changed);
	(void)pthread_mutex_destroy(&otlp->lock);
	free(otlp->url);
	free(otlp);
}

int otlp_open(const char *version, struct otlp **otlp, struct err *err)
{
	const char *name;
	AUTO_FREE char *url = url_wanted(&name);
	struct otlp *made;
	pthread_condattr_t clock;
	struct url parsed;
	int problem;

	*otlp = NULL;
	if (!url)
		return 0;
	if (url_parse(view_of(url), &parsed, err) || (!view_is(parsed.scheme, "http") && !view_is(parsed.scheme, "https")))
		return err_set(err, ERR_INVALID, "%s: expected http://HOST:PORT of a collector, or https://, not `%.200s`", name,
			       url);
	made = mem_new(sizeof(*made));
	made->url = TAKE(url);
	made->timeout_ms = setting_ms("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT_MS);
	made->delay_ms = setting_ms("OTEL_BSP_SCHEDULE_DELAY", DELAY_MS);
	made->resource = resource_make(version);
	made->scope = json_pack("{s:s, s:s}", "name", "assay", "version", version);
	headers_take(made);
	(void)pthread_mutex_init(&made->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&made->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	problem = pthread_create(&made->thread, NULL, send_main, made);
	if (problem) {
		otlp_free(made);
		return err_errno(err, problem, "cannot start a thread");
	}
	span_watch(queue_put, made);
	*otlp = made;
	return 0;
}

struct otlp_counts otlp_counts(struct otlp *otlp)
{
	struct otlp_counts counts;

	(void)pthread_mutex_lock(&otlp->lock);
	counts = otlp->counts;
	(void)pthread_mutex_unlock(&otlp->lock);
	return counts;
}

void otlp_close(struct otlp *otlp)
{
	if (!otlp)
		return;
	span_watch(NULL, NULL);
	(void)pthread_mutex_lock(&otlp->lock);
	otlp->closing = true;
	otlp->close_by_ms = world_elapsed_ms(world_real) + OTLP_CLOSE_MS;
	(void)pthread_cond_signal(&otlp->changed);
	(void)pthread_mutex_unlock(&otlp->lock);
	(void)pthread_join(otlp->thread, NULL);
	otlp_free(otlp);
}
