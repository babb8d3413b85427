/*
 * Ordinary text must pass: what Debian installs of documentation, headers, Python and JavaScript, as request bodies, each file a message. What is
 * found and would stop a request is counted, and the count has a bound. ASSAY_LONG reads ten times as much.
 */
#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "gateway/dlp/dlp.h"

#define FILE_BYTES_MAX ((off_t)1 << 20)
#define BYTES_MAX ((size_t)24 << 20) /* of each place */
#define BYTES_LEAST ((size_t)4 << 20)
#define STOPPED_MOST 0.05 /* for each megabyte */
#define NOTED_MOST 5.0

static const char *const endings[] = {".py", ".js",   ".mjs", ".cjs",  ".ts",  ".h",  ".c",
				      ".md", ".json", ".txt", ".html", ".css", ".sh", "copyright"};

struct tally {
	size_t bytes, files, stopped, noted;
};

static bool is_text(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (view_ends(view_of(name), view_of(endings[i])))
			return true;
	return false;
}

static void scan(struct dlp *dlp, const char *path, struct tally *tally)
{
	AUTO_BUF text = buf_new((size_t)FILE_BYTES_MAX + 1);
	struct dlp_message *message;
	const struct dlp_finding *finding;

	if (file_read(path, &text, NULL))
		return;
	message = dlp_begin(dlp, DLP_BODY);
	(void)dlp_feed(message, buf_view(&text));
	dlp_end(message);
	tally->bytes += text.length;
	tally->files++;
	while ((finding = dlp_finding_take(message))) {
		if (finding->action < DLP_REDACT) {
			tally->noted++;
			continue;
		}
		tally->stopped++;
		print_message("%s: %s (%s) at %llu\n", path, finding->rule, finding->view, (unsigned long long)finding->from);
	}
	dlp_free(message);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void scan_below(struct dlp *dlp, const char *root, size_t bytes_max, struct tally *all)
{
	char *roots[] = {(char *)(uintptr_t)root, NULL};
	struct tally tally = {0};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	FTSENT *entry;

	while (tree && tally.bytes < bytes_max && (entry = fts_read(tree)))
		if (entry->fts_info == FTS_F && entry->fts_statp->st_size <= FILE_BYTES_MAX && is_text(entry->fts_name))
			scan(dlp, entry->fts_accpath, &tally);
	if (tree)
		(void)fts_close(tree);
	print_message("%s: %zu files, %zu bytes, %zu that stop, %zu that are noted\n", root, tally.files, tally.bytes,
		      tally.stopped, tally.noted);
	all->bytes += tally.bytes;
	all->stopped += tally.stopped;
	all->noted += tally.noted;
}

static void ordinary_code_and_text_is_let_through(void **state)
{
	static const char *const roots[] = {"/usr/share/doc",      "/usr/include",      "/usr/lib/python3",
					    "/usr/lib/python3.11", "/usr/share/nodejs", "/usr/share/perl"};
	size_t bytes_max = getenv("ASSAY_LONG") ? 10 * BYTES_MAX : BYTES_MAX;
	struct dlp_rules *rules = dlp_rules_new(NULL, false, NULL, NULL);
	struct dlp *dlp = dlp_new(rules);
	struct tally all = {0};
	double megabytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		scan_below(dlp, roots[i], bytes_max, &all);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	if (all.bytes < BYTES_LEAST) {
		print_message("only %zu bytes of text are installed here: too few to tell\n", all.bytes);
		skip();
	}
	megabytes = (double)all.bytes / 1e6;
	print_message("%.3f that stop, %.3f that are noted, for each megabyte\n", (double)all.stopped / megabytes,
		      (double)all.noted / megabytes);
	assert_true((double)all.stopped <= STOPPED_MOST * megabytes);
	assert_true((double)all.noted <= NOTED_MOST * megabytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ordinary_code_and_text_is_let_through)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
