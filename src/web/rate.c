/*
 * How often one may ask over TCP: each token, and each address that has none, so many times a minute; who is refused for not being anybody, less. What is
 * left is said in every answer, as RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers).
 *
 * Theory of operation. A bucket holds what is left of a minute's requests, and fills up steadily. There are so many buckets; one that
 * nobody used for longest gives way, which only ever makes its owner's full again.
 */
#include <stdio.h>

#include "base/scope.h"
#include "web/web_priv.h"

#define MINUTE_MS 60000

static void policy_say(struct call *call, const struct rate_bucket *bucket, const char *name, int64_t limit)
{
	int64_t left_ms = limit ? (int64_t)((double)(limit - (int64_t)bucket->left) * MINUTE_MS / (double)limit) : 0;
	char text[128];

	(void)snprintf(text, sizeof(text), "\"%s\";q=%lld;w=60", name, (long long)limit);
	http_reply_header(call->reply, "RateLimit-Policy", text);
	(void)snprintf(text, sizeof(text), "\"%s\";r=%lld;t=%lld", name, (long long)bucket->left,
		       (long long)((left_ms + 999) / 1000));
	http_reply_header(call->reply, "RateLimit", text);
}

/* The bucket of `who`, filled up to now. */
static struct rate_bucket *bucket_get(struct rate *rate, uint64_t who, int64_t limit, int64_t now_ms)
{
	struct rate_bucket *row = &rate->buckets[who % RATE_ROWS * RATE_WAYS];
	struct rate_bucket *found = &row[0];

	for (size_t i = 0; i < RATE_WAYS; i++) {
		if (row[i].who == who) {
			found = &row[i];
			break;
		}
		if (row[i].seen_ms < found->seen_ms)
			found = &row[i];
	}
	if (found->who != who)
		*found = (struct rate_bucket){.who = who, .left = (double)limit, .seen_ms = now_ms};
	found->left += (double)(now_ms - found->seen_ms) * (double)limit / MINUTE_MS;
	if (found->left > (double)limit)
		found->left = (double)limit;
	found->seen_ms = now_ms;
	return found;
}

/* Takes one, if one is left, and says what is left then. */
static bool bucket_take(struct call *call, const char *name, const char *who, int64_t limit)
{
	struct rate *rate = &call->web->rate;
	AUTO_FREE char *whole = text_format("%s %s", name, who);
	struct rate_bucket *bucket;
	bool there;

	if (limit <= 0)
		return true;
	(void)pthread_mutex_lock(&rate->mutex);
	bucket = bucket_get(rate, view_hash(view_of(whole)), limit, world_elapsed_ms(call->web->options.world));
	there = bucket->left >= 1;
	if (there)
		bucket->left -= 1;
	policy_say(call, bucket, name, limit);
	(void)pthread_mutex_unlock(&rate->mutex);
	return there;
}

static int too_many(struct call *call, int64_t limit, const char *what, struct err *err)
{
	char seconds[32];

	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)((60 + limit - 1) / limit));
	http_reply_header(call->reply, "Retry-After", seconds);
	(void)err_set(err, ERR_RETRY, "%s: at most %lld a minute", what, (long long)limit);
	http_reply_problem(call->reply, 429, err);
	call->answered = true;
	return -1;
}

/* Without its port. Behind our own proxy it is the one that the proxy saw. */
static char *address_of(const struct call *call)
{
	const char *peer = call->request->peer;
	const char *colon = strrchr(peer, ':');
	const char *forwarded = call->web->pages_url && view_starts(view_of(peer), VIEW("127."))
					? http_request_header(call->request, "X-Forwarded-For")
					: NULL;
	const char *comma = forwarded ? strrchr(forwarded, ',') : NULL;

	if (forwarded)
		return view_copy(view_trim(view_of(comma ? comma + 1 : forwarded)));
	return view_copy(view_make(peer, colon ? (size_t)(colon - peer) : strlen(peer)));
}

void web_rates_set(struct web *web, struct web_rates rates)
{
	(void)pthread_mutex_lock(&web->rate.mutex);
	web->options.rates = rates;
	(void)pthread_mutex_unlock(&web->rate.mutex);
}

static struct web_rates rates_get(struct web *web)
{
	struct web_rates rates;

	(void)pthread_mutex_lock(&web->rate.mutex);
	rates = web->options.rates;
	(void)pthread_mutex_unlock(&web->rate.mutex);
	return rates;
}

int rate_caller(struct call *call, struct err *err)
{
	const struct web_rates limits = rates_get(call->web);
	AUTO_FREE char *address = call->caller.token ? NULL : address_of(call);

	if (call->request->local)
		return 0;
	if (call->caller.token && !bucket_take(call, "token", call->caller.name, limits.token))
		return too_many(call, limits.token, "requests of this token", err);
	if (!call->caller.token && !bucket_take(call, "address", address, limits.address))
		return too_many(call, limits.address, "requests of this address", err);
	return 0;
}

int rate_refused(struct call *call, struct err *err)
{
	int64_t limit = rates_get(call->web).refused;
	AUTO_FREE char *address = address_of(call);

	if (call->request->local || bucket_take(call, "refused", address, limit))
		return 0;
	return too_many(call, limit, "requests of this address by nobody that is known here", err);
}
