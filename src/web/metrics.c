/* For who watches the server: is it alive, is it ready, and what it does, in the text format of Prometheus (0.0.4). */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "runs/egress.h"
#include "store/store.h"
#include "vault/vault.h"
#include "web/web_priv.h"

#define TEXT_MAX ((size_t)1 << 20)
#define PEM_MAX ((size_t)1 << 16)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const int64_t bucket_ms[METRIC_BUCKETS] = {1, 5, 25, 100, 500, 2500, 10000};

void metrics_count(struct metrics *metrics, unsigned status, int64_t ms)
{
	unsigned class = status / 100;

	(void)atomic_fetch_add(&metrics->answers[class < METRIC_CLASSES ? class : 0], 1);
	(void)atomic_fetch_add(&metrics->total_ms, ms);
	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		if (ms <= bucket_ms[i])
			(void)atomic_fetch_add(&metrics->below[i], 1);
}

static void head_add(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one_add(struct buf *out, const char *name, const char *type, const char *help, int64_t value)
{
	head_add(out, name, type, help);
	buf_add_format(out, "%s %" PRId64 "\n", name, value);
}

/* Rows of (label, count). */
static int counts_add(struct buf *out, struct store *store, const char *name, const char *help, const char *label, const char *sql,
		      struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	head_add(out, name, "gauge", help);
	if (store_begin(store, &tx, err) || store_query(&tx, &rows, sql, NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows))
		buf_add_format(out, "%s{%s=\"%s\"} %" PRId64 "\n", name, label, store_rows_text(&rows, 0),
			       store_rows_number(&rows, 1));
	return store_rows_finish(&rows, err);
}

static void environments_add(struct buf *out, const json_t *environments)
{
	AUTO_JSON counts = json_object();
	const char *state;
	json_t *item;
	size_t i;

	json_array_foreach(environments, i, item) {
		state = json_text(item, "state", "unknown");
		(void)json_object_set_new(counts, state, json_integer(json_number(counts, state, 0) + 1));
	}
	head_add(out, "assay_environments", "gauge", "Environments by state.");
	json_object_foreach(counts, state, item)
		buf_add_format(out, "assay_environments{state=\"%s\"} %lld\n", state, (long long)json_integer_value(item));
}

static void answers_add(struct buf *out, struct metrics *metrics)
{
	int64_t total = 0;

	head_add(out, "assay_http_requests_total", "counter", "Requests that were answered, by class of status.");
	for (size_t i = 1; i < METRIC_CLASSES; i++) {
		int64_t count = atomic_load(&metrics->answers[i]);

		buf_add_format(out, "assay_http_requests_total{code=\"%zuxx\"} %" PRId64 "\n", i, count);
		total += count;
	}
	total += atomic_load(&metrics->answers[0]);
	head_add(out, "assay_http_request_seconds", "histogram",
		 "From a request's head to its handler's end; streams go on after it.");
	for (size_t i = 0; i < METRIC_BUCKETS; i++)
		buf_add_format(out, "assay_http_request_seconds_bucket{le=\"%g\"} %" PRId64 "\n", (double)bucket_ms[i] / 1e3,
			       (int64_t)atomic_load(&metrics->below[i]));
	buf_add_format(out, "assay_http_request_seconds_bucket{le=\"+Inf\"} %" PRId64 "\n", total);
	buf_add_format(out, "assay_http_request_seconds_sum %g\n", (double)atomic_load(&metrics->total_ms) / 1e3);
	buf_add_format(out, "assay_http_request_seconds_count %" PRId64 "\n", total);
}

static void process_add(struct buf *out, const struct web *web)
{
	AUTO_BUF statm = buf_new(4096);
	long long resident = 0;

	if (!file_read("/proc/self/statm", &statm, NULL))
		(void)sscanf(statm.at, "%*s %lld", &resident);
	one_add(out, "process_resident_memory_bytes", "gauge", "Resident memory of the server.", resident * sysconf(_SC_PAGESIZE));
	one_add(out, "process_start_time_seconds", "gauge", "When the server started.", web->started_ms / 1000);
	one_add(out, "assay_streams", "gauge", "Streams, long operations and terminals that are open.",
		web_clients(web) - 1 /* this call */);
}

static json_t *metrics(struct call *call, struct err *err)
{
	struct web *web = call->web;
	struct store *store = runs_store(web->options.runs);
	AUTO_JSON environments = environment_list(web->options.environments, err);
	AUTO_JSON holds = web->options.egress ? egress_holds(web->options.egress, false) : NULL;
	AUTO_BUF out = buf_new(TEXT_MAX);

	head_add(&out, "assay_build_info", "gauge", "The version that runs.");
	buf_add_text(&out, "assay_build_info{version=\"" ASSAY_VERSION "\"} 1\n");
	if (!environments ||
	    counts_add(&out, store, "assay_runs", "Runs by state.", "state", "SELECT state, count(*) FROM run GROUP BY state",
		       err) ||
	    counts_add(&out, store, "assay_verdicts", "Runs by their last verdict.", "verdict",
		       "SELECT verdict, count(*) FROM run WHERE verdict IS NOT NULL GROUP BY verdict", err))
		return NULL;
	environments_add(&out, environments);
	one_add(&out, "assay_holds_open", "gauge", "Requests that wait for a person.", (int64_t)json_array_size(holds));
	answers_add(&out, &web->metrics);
	process_add(&out, web);
	return request_bytes(call, METRICS_TYPE, buf_view(&out));
}

/* ---- health ---- */

static json_t *alive(struct call *call, struct err *err)
{
	(void)err;
	return request_bytes(call, "text/plain; charset=utf-8", VIEW("ok\n"));
}

static int store_look(struct web *web, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t number;

	return store_begin(runs_store(web->options.runs), &tx, err) ||
	       store_number_get(&tx, &number, 0, "SELECT 1", NO_VALUES, err);
}

static int vault_look(struct web *web, struct err *err)
{
	AUTO_BUF pem = buf_new(PEM_MAX);

	return vault_public_key(web->options.vault, &pem, err);
}

static int environments_look(struct web *web, struct err *err)
{
	AUTO_JSON list = environment_list(web->options.environments, err);

	return list ? 0 : -1;
}

/* Whether work would be done now: a line for each part, "ok" or what is wrong. */
static json_t *ready(struct call *call, struct err *err)
{
	static const struct {
		const char *name;
		int (*look)(struct web *web, struct err *err);
	} parts[] = {{"store", store_look}, {"vault", vault_look}, {"environments", environments_look}};
	const char *const processes[] = {"gateway", call->web->options.sandboxes_process};
	AUTO_BUF out = buf_new(TEXT_MAX);
	unsigned status = 200;

	(void)err;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct err wrong = {0};
		bool well = !parts[i].look(call->web, &wrong);

		buf_add_format(&out, "%s: %s\n", parts[i].name, well ? "ok" : wrong.text);
		status = well ? status : 503;
	}
	for (size_t i = 0; call->web->options.process_look && i < ARRAY_LEN(processes); i++) {
		struct err wrong = {0};
		bool well = !call->web->options.process_look(call->web->options.self, processes[i], &wrong);

		buf_add_format(&out, "%s: %s\n", processes[i], well ? "ok" : wrong.text);
		status = well ? status : 503;
	}
	http_reply_send(call->reply, status, "text/plain; charset=utf-8", buf_view(&out));
	call->answered = true;
	return NULL;
}

const struct row metric_rows[] = {
	{"GET", "/healthz", alive, WHO_PERSON | WHO_ANYONE, ROLE_VIEWER},
	{"GET", "/readyz", ready, WHO_PERSON, ROLE_VIEWER},
	{"GET", "/metrics", metrics, WHO_PERSON, ROLE_VIEWER},
};
const size_t metric_row_count = ARRAY_LEN(metric_rows);
