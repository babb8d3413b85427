/* Medians, ranks, and what one time of each run makes suspicious. */
#include "verify/latency.h"

#include <stdlib.h>

#include "base/scope.h"
#include "verify/call.h"

#define CERTAIN_SQUARE 9.55 /* of z = 3.09: p < 0.001, one-sided */

static int by_time(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left;
	int64_t b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

int64_t latency_median_us(const struct latency_samples *samples)
{
	struct latency_samples sorted = *samples;
	size_t count = sorted.count;

	if (!count)
		return 0;
	qsort(sorted.at_us, count, sizeof(sorted.at_us[0]), by_time);
	return count % 2 ? sorted.at_us[count / 2] : (sorted.at_us[count / 2 - 1] + sorted.at_us[count / 2]) / 2;
}

static bool much_more(int64_t from, int64_t to, int64_t shift)
{
	return to - from >= shift && to * 4 >= from * 5;
}

/* How many samples of both lists are equal to each other, as the variance wants it: the sum of t³ - t over groups of t equal ones. */
static double ties(const struct latency_times *times)
{
	int64_t all[2 * LATENCY_SAMPLES_MAX];
	size_t count = 0;
	double sum = 0;

	for (size_t i = 0; i < times->base.count; i++)
		all[count++] = times->base.at_us[i];
	for (size_t i = 0; i < times->head.count; i++)
		all[count++] = times->head.at_us[i];
	qsort(all, count, sizeof(all[0]), by_time);
	for (size_t at = 0; at < count;) {
		size_t end = at;

		while (end < count && all[end] == all[at])
			end++;
		sum += (double)(end - at) * (double)(end - at) * (double)(end - at) - (double)(end - at);
		at = end;
	}
	return sum;
}

bool latency_slower(const struct latency_times *times)
{
	double n = (double)times->base.count;
	double m = (double)times->head.count;
	double u = 0;
	double variance;
	double over;

	if (times->base.count < LATENCY_SAMPLES_MIN || times->head.count < LATENCY_SAMPLES_MIN ||
	    !much_more(latency_median_us(&times->base), latency_median_us(&times->head), LATENCY_SHIFT_US))
		return false;
	for (size_t i = 0; i < times->head.count; i++)
		for (size_t k = 0; k < times->base.count; k++)
			u += times->head.at_us[i] > times->base.at_us[k]    ? 1
			     : times->head.at_us[i] == times->base.at_us[k] ? 0.5
									    : 0;
	variance = n * m / 12 * (n + m + 1 - ties(times) / ((n + m) * (n + m - 1)));
	over = u - n * m / 2 - 0.5; /* for what is whole numbers */
	return variance > 0 && over > 0 && over * over / variance > CERTAIN_SQUARE;
}

/* ---- suspicion ---- */

static void suspect_add(struct latency_suspect *suspects, size_t *count, struct latency_suspect suspect)
{
	size_t at = *count;

	while (at > 0 && suspects[at - 1].over_ms < suspect.over_ms)
		at--;
	for (size_t i = *count < LATENCY_SUSPECTS_MAX ? *count : LATENCY_SUSPECTS_MAX - 1; i > at; i--)
		suspects[i] = suspects[i - 1];
	if (at < LATENCY_SUSPECTS_MAX)
		suspects[at] = suspect;
	*count += *count < LATENCY_SUSPECTS_MAX;
}

static bool endpoint_is_there(const struct latency_suspect *suspects, size_t count, const json_t *entry)
{
	AUTO_BUF place = buf_new(8192);

	call_endpoint(&place, entry);
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF other = buf_new(8192);

		call_endpoint(&other, suspects[i].entry);
		if (view_equal(buf_view(&place), buf_view(&other)))
			return true;
	}
	return false;
}

size_t latency_suspects(const json_t *base, const json_t *again, const json_t *head, struct latency_suspect *suspects)
{
	const json_t *runs[] = {json_member(base, "entries"), json_member(again, "entries"), json_member(head, "entries")};
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(runs[2]); i++) {
		const json_t *entry = json_array_get(runs[2], i);
		const json_t *first = json_array_get(runs[0], i);
		const json_t *second = json_array_get(runs[1], i);
		int64_t ms = json_number(entry, "ms", 0);
		int64_t base_ms = json_number(first, "ms", 0);
		int status = call_status(entry);

		if (base_ms < json_number(second, "ms", 0))
			base_ms = json_number(second, "ms", 0);
		if (status < 200 || status >= 400 || call_status(first) != status || call_status(second) != status ||
		    !much_more(base_ms, ms, LATENCY_SHIFT_US / 1000) || endpoint_is_there(suspects, count, entry))
			continue;
		suspect_add(suspects, &count, (struct latency_suspect){entry, ms - base_ms});
	}
	return count;
}
