/* Names that do not resolve. */
#include "gateway/egress/unresolved.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan.h"
#include "http/exchange.h"

#define NAMES_KEPT 512
#define NAME_EVERY_MS 60000

struct unresolved {
	struct {
		uint64_t hash;
		int64_t told_ms; /* 0: free */
	} names[NAMES_KEPT];
	double allowance;
	int64_t allowance_ms;
	uint64_t beyond; /* names that were not written down */
};

/* Was it written down within the last minute? */
static bool is_known(struct unresolved *unresolved, const char *sandbox, const char *host, int64_t now)
{
	uint64_t hash = view_hash(view_of(host)) * 31 + view_hash(view_of(sandbox));
	size_t place = hash % NAMES_KEPT;

	if (unresolved->names[place].hash == hash && unresolved->names[place].told_ms &&
	    now - unresolved->names[place].told_ms < NAME_EVERY_MS)
		return true;
	unresolved->names[place].hash = hash;
	unresolved->names[place].told_ms = now;
	return false;
}

static bool allowance_take(struct unresolved *unresolved, int64_t now)
{
	unresolved->allowance += (double)(now - unresolved->allowance_ms) * UNRESOLVED_PER_SECOND / 1000;
	unresolved->allowance_ms = now;
	if (unresolved->allowance > UNRESOLVED_BURST)
		unresolved->allowance = UNRESOLVED_BURST;
	if (unresolved->allowance < 1)
		return false;
	unresolved->allowance -= 1;
	return true;
}

static void rows_put(struct env *env, const char *sandbox, const char *shown, const struct egress_verdict *verdict)
{
	struct egress_request request = {.origin = env_origin(env, sandbox),
					 .host = shown,
					 .method = VIEW(UNRESOLVED_METHOD),
					 .path = VIEW(""),
					 .query = VIEW("")};
	AUTO_EXCHANGE exchange = {0};

	record_verdict(env->worker, record_request(env->worker), &request, verdict);
	env_denied(env, sandbox, shown, 0, verdict->why);
	env_exchange_begin(env, &exchange, sandbox, shown, "dns");
	exchange.command = text_copy(UNRESOLVED_METHOD);
	exchange.error = text_format("denied: %s", verdict->why);
	exchange_header_add(&exchange.response_headers, VIEW("assay-rule"), view_of(verdict->rule));
	exchange_log_add(env->log, &exchange);
}

void unresolved_note(struct env *env, const char *sandbox, const char *host, const struct egress_verdict *verdict)
{
	int64_t now = loop_now_ms(env->worker->loop);
	struct unresolved *unresolved = env->unresolved;
	char shown[SCAN_SHOWN_BYTES];

	if (!unresolved) {
		unresolved = env->unresolved = mem_new(sizeof(*unresolved));
		unresolved->allowance = UNRESOLVED_BURST;
		unresolved->allowance_ms = now;
	}
	if (is_known(unresolved, sandbox, host, now))
		return;
	if (!allowance_take(unresolved, now)) {
		unresolved->beyond++;
		return;
	}
	if (unresolved->beyond) {
		AUTO_FREE char *why = text_format("%llu more names at once, of which only the number is kept",
						  (unsigned long long)unresolved->beyond);
		struct egress_verdict many = *verdict;

		many.why = why;
		unresolved->beyond = 0;
		rows_put(env, sandbox, "", &many);
	}
	scan_name_show(env, host, shown);
	rows_put(env, sandbox, shown, verdict);
}

void unresolved_free(struct env *env)
{
	free(env->unresolved);
}
