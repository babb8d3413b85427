/* The current span of each thread, and ids. */
#include "base/span.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/digest.h"
#include "base/scope.h"
#include "base/world.h"

#define NS_PER_MS ((int64_t)1000000)

static void (*watcher)(void *self, const struct span *span);
static void *watcher_self;
static _Thread_local struct span *current;

void span_watch(void (*ended)(void *self, const struct span *span), void *self)
{
	watcher_self = self;
	watcher = ended;
}

bool span_watched(void)
{
	return watcher != NULL;
}

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

static bool same_trace(const struct span *span, const unsigned char trace[SPAN_TRACE_BYTES])
{
	return memcmp(span->trace, trace, SPAN_TRACE_BYTES) == 0;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower-case digits, and not all zeros. */
static bool hex_read(const char *text, unsigned char *bytes, size_t count)
{
	unsigned any = 0;

	for (size_t i = 0; i < count; i++) {
		int high = nibble(text[2 * i]);
		int low = high < 0 ? -1 : nibble(text[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (unsigned char)(high * 16 + low);
		any |= bytes[i];
	}
	return any != 0;
}

static void PRINTF_LIKE(3, 0) begin(struct span *span, enum span_kind kind, const char *format, va_list args)
{
	*span = (struct span){.watched = true, .kind = kind, .begun_ns = now_ns(), .outer = current};
	(void)vsnprintf(span->name, sizeof(span->name), format, args);
	world_random(world_real, span->id, sizeof(span->id));
	if (current) {
		memcpy(span->trace, current->trace, sizeof(span->trace));
		memcpy(span->parent, current->id, sizeof(span->parent));
	} else {
		world_random(world_real, span->trace, sizeof(span->trace));
	}
	current = span;
}

void span_begin(struct span *span, enum span_kind kind, const char *format, ...)
{
	va_list args;

	span->watched = false;
	if (!watcher)
		return;
	va_start(args, format);
	begin(span, kind, format, args);
	va_end(args);
}

/* Of the trace of a run, and of its root. */
static void run_ids(const char *run, unsigned char trace[SPAN_TRACE_BYTES], unsigned char root[SPAN_ID_BYTES])
{
	AUTO_FREE char *text = text_format("assay run %s", run);
	struct digest digest = digest_of(view_of(text));

	(void)hex_read(digest.text, trace, SPAN_TRACE_BYTES);
	(void)hex_read(digest.text + 2 * (size_t)SPAN_TRACE_BYTES, root, SPAN_ID_BYTES);
}

void span_begin_run(struct span *span, const char *run, const char *format, ...)
{
	unsigned char trace[SPAN_TRACE_BYTES];
	unsigned char root[SPAN_ID_BYTES];
	va_list args;

	span->watched = false;
	if (!watcher)
		return;
	va_start(args, format);
	begin(span, SPAN_INTERNAL, format, args);
	va_end(args);
	run_ids(run, trace, root);
	if (!same_trace(span, trace)) {
		memcpy(span->trace, trace, sizeof(span->trace));
		memcpy(span->parent, root, sizeof(span->parent));
	}
	span_text(span, "assay.run", run);
}

/* "00-<32 digits>-<16 digits>-<flags>"; a later version may have more behind it. */
void span_continue(struct span *span, const char *traceparent)
{
	unsigned char trace[SPAN_TRACE_BYTES];
	unsigned char parent[SPAN_ID_BYTES];
	size_t length = traceparent ? strlen(traceparent) : 0;

	if (!span->watched || length < 55 || (length > 55 && traceparent[55] != '-') || nibble(traceparent[0]) < 0 ||
	    nibble(traceparent[1]) < 0 || strncmp(traceparent, "ff", 2) == 0 || traceparent[2] != '-' || traceparent[35] != '-' ||
	    traceparent[52] != '-' || !hex_read(traceparent + 3, trace, sizeof(trace)) ||
	    !hex_read(traceparent + 36, parent, sizeof(parent)))
		return;
	memcpy(span->trace, trace, sizeof(trace));
	memcpy(span->parent, parent, sizeof(parent));
}

static void attribute_set(struct span *span, const char *name, json_t *value)
{
	if (!span->attributes)
		span->attributes = json_object();
	(void)json_object_set_new(span->attributes, name, value);
}

void span_text(struct span *span, const char *name, const char *text)
{
	if (!span->watched || !text)
		return;
	attribute_set(span, name, json_null());
	json_set_bytes(span->attributes, name, view_of(text));
}

void span_number(struct span *span, const char *name, int64_t number)
{
	if (span->watched)
		attribute_set(span, name, json_integer(number));
}

static void tell(struct span *span, const struct err *failed)
{
	span->failed = failed && failed->kind != ERR_NONE ? failed : NULL;
	if (watcher)
		watcher(watcher_self, span);
	json_decref(span->attributes);
	span->attributes = NULL;
	span->watched = false;
}

void span_end(struct span *span, const struct err *failed)
{
	if (!span->watched)
		return;
	span->ended_ns = now_ns();
	current = span->outer;
	tell(span, failed);
}

void span_run(const char *run, int64_t begun_ms, int64_t ended_ms, json_t *attributes, const struct err *failed)
{
	struct span span = {.watched = true,
			    .kind = SPAN_INTERNAL,
			    .name = "run",
			    .begun_ns = begun_ms * NS_PER_MS,
			    .ended_ns = ended_ms * NS_PER_MS};

	if (!watcher)
		return;
	run_ids(run, span.trace, span.id);
	span.attributes = json_incref(attributes);
	span_text(&span, "assay.run", run);
	tell(&span, failed);
}

struct span *span_current(void)
{
	return current;
}

void span_join(struct span *outer)
{
	current = outer;
}
