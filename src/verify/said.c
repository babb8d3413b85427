/* Traces are those of W3C Trace Context (traceparent: 00-TRACE-PARENT-FLAGS). */
#include "verify/said.h"

#include <string.h>

#include "base/scope.h"
#include "verify/call.h"

#define TRACE_CHARS 32
#define SEVERITY_ERROR 17 /* opentelemetry.io/docs/specs/otel/logs/data-model: ERROR, and FATAL behind it */

static void expect_one(json_t *traces, json_t *entry, const json_t *exchanges)
{
	size_t index;
	json_t *exchange;

	json_array_foreach(exchanges, index, exchange) {
		const char *parent = call_header(json_member(exchange, "request"), "traceparent");

		if (parent && strlen(parent) > TRACE_CHARS + 3 && parent[2] == '-' && parent[TRACE_CHARS + 3] == '-') {
			AUTO_FREE char *trace = view_copy(view_make(parent + 3, TRACE_CHARS));

			(void)json_object_set(traces, trace, entry);
		}
	}
}

void said_expect(json_t *traces, json_t *entry)
{
	expect_one(traces, entry, json_member(entry, "asked"));
	expect_one(traces, entry, json_member(entry, "seams"));
}

static uint64_t number_of(const json_t *request, const char *name)
{
	const char *text = call_header(request, name);
	uint64_t number = 0;

	return text && view_to_u64(view_of(text), &number) ? number : 0;
}

bool said_take(json_t *traces, const json_t *exchange)
{
	const json_t *request = json_member(exchange, "request");
	const char *trace = call_header(request, "trace");
	uint64_t begun_ns = number_of(request, "begun_ns");
	uint64_t ended_ns = number_of(request, "ended_ns");
	json_t *entry;
	json_t *said;
	json_t *word;

	if (!call_is(exchange, "otlp"))
		return false;
	entry = trace ? json_object_get(traces, trace) : NULL;
	if (!entry)
		return true;
	said = json_object_get(entry, "said");
	if (!said) {
		said = json_array();
		(void)json_object_set_new(entry, "said", said);
	}
	if (json_array_size(said) == SAID_MAX)
		return true;
	word = json_pack("{s:s, s:s}", "service", json_text(exchange, "from", ""), "kind", json_text(request, "method", "span"));
	json_set_bytes(word, "text",
		       view_make(json_text(request, "url", ""), strnlen(json_text(request, "url", ""), SAID_TEXT_MAX)));
	if (ended_ns > begun_ns)
		(void)json_object_set_new(word, "ms", json_integer((json_int_t)((ended_ns - begun_ns) / 1000000)));
	if (number_of(request, "failed") || number_of(request, "severity") >= SEVERITY_ERROR)
		(void)json_object_set_new(word, "failed", json_true());
	(void)json_array_append_new(said, word);
	return true;
}
