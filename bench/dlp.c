/*
 * dlp: bytes a second that one core scans, on a file: bench_dlp FILE [CHUNK [STREAM]]. Each STREAM bytes (256 KB) are a message, fed in pieces of
 * CHUNK (16 KB). Prints GB for each second of processor time with all stages and three known secrets, the median of ROUNDS over the whole file; and
 * how long the rules took to compile and to be taken from the cache.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/scope.h"
#include "gateway/dlp/dlp.h"

#define TEXT_MAX ((size_t)1 << 30)
#define ROUNDS 15

static double now(clockid_t clock)
{
	struct timespec at;

	(void)clock_gettime(clock, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static size_t scan(struct dlp *dlp, struct view text, size_t chunk, size_t stream, bool tell)
{
	size_t found = 0, count;

	for (size_t at = 0; at < text.length; at += stream) {
		size_t end = text.length - at < stream ? text.length : at + stream;
		struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
		const struct dlp_finding *findings;

		for (size_t i = at; i < end; i += chunk)
			(void)dlp_feed(message, view_make(text.at + i, end - i < chunk ? end - i : chunk));
		dlp_end(message);
		findings = dlp_findings(message, &count);
		found += count;
		for (size_t i = 0; tell && i < count; i++)
			(void)printf("%s %s %s at %zu: %.*s\n", dlp_action_name(findings[i].action), findings[i].rule,
				     findings[i].view, at + findings[i].from,
				     findings[i].exact ? (int)(findings[i].to - findings[i].from) : 0,
				     text.at + at + findings[i].from);
		dlp_free(message);
	}
	return found;
}

static int compare_seconds(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
	static const struct dlp_secret secrets[] = {
		{"A", {"sk-ant-api03-Zk8vQ2pLw7rTn5Yc1BxMd3GaHs6Jf0KpQe9RuViW", 53}},
		{"B", {"Q7kZp2XvLm4NbWc8RtYs3UdIf0GhJkQaZwSxEdCr", 40}},
		{"C", {"c3f9c8e2b7d1a6054c8e7f2b9a3d6150", 32}},
	};
	AUTO_BUF text = buf_new(TEXT_MAX);
	size_t chunk = argc > 2 ? strtoul(argv[2], NULL, 10) : 16384, stream = argc > 3 ? strtoul(argv[3], NULL, 10) : 262144,
	       found;
	char cache[] = "/tmp/bench_dlp.XXXXXX";
	struct err err = {.kind = ERR_NONE};
	struct dlp_rules *rules;
	struct dlp *dlp;
	double from, rounds[ROUNDS];

	if (argc < 2 || !chunk || !stream || file_read(argv[1], &text, &err) || !mkdtemp(cache)) {
		(void)fprintf(stderr, "usage: bench_dlp FILE [CHUNK [STREAM]]: %s\n", err.text);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		from = now(CLOCK_PROCESS_CPUTIME_ID);
		rules = dlp_rules_new(NULL, false, cache, &err);
		if (!rules) {
			(void)fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		(void)printf("rules: %zu, %s in %.0f ms\n", dlp_rules_count(rules), i ? "from the cache" : "compiled",
			     (now(CLOCK_PROCESS_CPUTIME_ID) - from) * 1e3);
		if (!i)
			dlp_rules_unref(rules);
	}
	dlp = dlp_new(rules);
	from = now(CLOCK_PROCESS_CPUTIME_ID);
	if (dlp_secrets_set(dlp, secrets, 3, &err)) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	(void)printf("known secrets: 3, compiled in %.0f ms\n", (now(CLOCK_PROCESS_CPUTIME_ID) - from) * 1e3);
	found = scan(dlp, buf_view(&text), chunk, stream, getenv("TELL") != NULL);
	for (int i = 0; i < ROUNDS; i++) {
		from = now(CLOCK_PROCESS_CPUTIME_ID);
		(void)scan(dlp, buf_view(&text), chunk, stream, false);
		rounds[i] = now(CLOCK_PROCESS_CPUTIME_ID) - from;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), compare_seconds);
	(void)printf("%zu bytes, %zu findings, %.1f ms, %.3f GB/s (at best %.3f)\n", text.length, found, rounds[ROUNDS / 2] * 1e3,
		     (double)text.length / rounds[ROUNDS / 2] / 1e9, (double)text.length / rounds[0] / 1e9);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	return file_remove_tree(cache, &err) ? 1 : 0;
}
