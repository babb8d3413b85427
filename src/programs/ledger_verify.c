/*
 * assay-ledger-verify: is a ledger what its writers wrote? It needs the folder of segments and the public key (`assay record key`), and
 * nothing else of Assay: no server, no configuration, no network. Heads that were kept elsewhere (a run's record) are given with --head: they
 * show whether the newest rows were cut off. Exits with 0 when everything holds, 1 when something does not, 2 when it could not look.
 */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/scope.h"
#include "base/world.h"
#include "ledger/verify.h"

#define HEADS_MAX 4096
#define WRITERS_MAX 64
#define KEY_BYTES_MAX 4096
#define HEADS_BYTES_MAX ((size_t)4 << 20)

enum { DONE = 0, BROKEN = 1, NOT_LOOKED = 2 };

static const char usage[] =
	"usage: assay-ledger-verify --key PUBLIC.pem [--head LINE]... [--heads FILE] [--from SEGMENT] [--json] [--quiet] FOLDER...\n"
	"\n"
	"says whether the segments in FOLDER (or in the folders in it) are what their writers wrote\n"
	"\n"
	"  --key FILE      the public key, PEM: `assay record key`\n"
	"  --head LINE     a head that was kept elsewhere, e.g. by a run's record\n"
	"  --heads FILE    such heads, one a line\n"
	"  --from SEGMENT  older segments were put away: none of them is missed\n"
	"  --json          one line of JSON for each writer\n"
	"  --quiet         no notes, only breaks\n";

struct options {
	struct buf key;
	struct ledger_head *heads;
	size_t head_count;
	uint64_t from;
	bool json;
	bool quiet;
};

static int head_add(struct options *options, struct view line, struct err *err)
{
	if (options->head_count == HEADS_MAX)
		return err_set(err, ERR_LIMIT, "at most %d heads", HEADS_MAX);
	return ledger_head_parse(line, &options->heads[options->head_count++], err);
}

static int heads_read(struct options *options, const char *path, struct err *err)
{
	AUTO_BUF text = buf_new(HEADS_BYTES_MAX);
	struct view rest;

	if (file_read(path, &text, err))
		return -1;
	rest = buf_view(&text);
	while (rest.length) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));

		if (line.length && head_add(options, line, err))
			return err_prefix(err, "%s", path);
	}
	return 0;
}

struct saying {
	const struct options *options;
	const char *folder;
};

static void on_say(void *self, bool is_break, const char *text)
{
	const struct saying *saying = self;

	if (!saying->options->json && (is_break || !saying->options->quiet))
		printf("%s: %s: %s\n", saying->folder, is_break ? "BREAK" : "note", text);
}

static void report_print(const struct saying *saying, const struct ledger_report *report)
{
	AUTO_BUF first = buf_new(64);
	AUTO_BUF last = buf_new(64);

	time_format(&first, report->first_ms);
	time_format(&last, report->last_ms);
	if (saying->options->json) {
		AUTO_JSON json = json_pack(
			"{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "folder", saying->folder, "writer",
			report->writer, "ok", report->breaks == 0, "segments", (json_int_t)report->segments, "rows",
			(json_int_t)report->rows, "heads", (json_int_t)report->heads, "breaks", (json_int_t)report->breaks, "notes",
			(json_int_t)report->notes, "unsigned", (json_int_t)report->rows_unsigned, "pruned",
			(json_int_t)report->pruned, "sequence", (json_int_t)report->sequence, "chain", report->chain);
		AUTO_BUF text = buf_new(4096);

		json_format(&text, json);
		printf("%s\n", text.at);
		return;
	}
	printf("%s: %s: %llu rows in %llu segments, from %s to %s, %llu heads good, %llu rows after the last one%s\n",
	       saying->folder, report->breaks ? "BROKEN" : "holds", (unsigned long long)report->rows,
	       (unsigned long long)report->segments, first.at, last.at, (unsigned long long)report->heads,
	       (unsigned long long)report->rows_unsigned, report->breaks ? "" : ": what is signed is as it was written");
}

static int folder_verify(const struct options *options, const char *folder)
{
	struct saying saying = {options, folder};
	const struct ledger_checks checks = {.public_key = buf_view(&options->key),
					     .witness = options->heads,
					     .witness_count = options->head_count,
					     .first_segment = options->from,
					     .say = on_say,
					     .self = &saying};
	struct ledger_report report;
	struct err err;

	if (ledger_verify(folder, &checks, &report, &err)) {
		fprintf(stderr, "assay-ledger-verify: %s: %s\n", folder, err.text);
		return NOT_LOOKED;
	}
	report_print(&saying, &report);
	return report.breaks ? BROKEN : DONE;
}

static int worse(int a, int b)
{
	return a > b ? a : b;
}

/* A folder of segments, or one whose folders are such. */
static int place_verify(const struct options *options, const char *place)
{
	DIR *dir = opendir(place);
	char *folders[WRITERS_MAX];
	size_t count = 0;
	bool segments = false;
	int code = DONE;

	if (!dir) {
		fprintf(stderr, "assay-ledger-verify: cannot open %s\n", place);
		return NOT_LOOKED;
	}
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", place, entry->d_name);
		uint64_t number;

		segments = segments || segment_number(entry->d_name, &number);
		if (entry->d_name[0] != '.' && count < WRITERS_MAX && file_is_dir(path))
			folders[count++] = TAKE(path);
	}
	(void)closedir(dir);
	if (segments || !count)
		code = folder_verify(options, place);
	for (size_t i = 0; i < count; i++) {
		if (!segments)
			code = worse(code, folder_verify(options, folders[i]));
		free(folders[i]);
	}
	return code;
}

/* false: it cannot go on. */
static bool option_take(struct options *options, int option, struct err *err)
{
	switch (option) {
	case 'k':
		return !file_read(optarg, &options->key, err);
	case 'h':
		return !head_add(options, view_of(optarg), err);
	case 'H':
		return !heads_read(options, optarg, err);
	case 'f':
		return view_to_u64(view_of(optarg), &options->from) || err_set(err, ERR_INVALID, "--from needs a number") == 0;
	case 'j':
		options->json = true;
		return true;
	case 'q':
		options->quiet = true;
		return true;
	default:
		(void)err_set(err, ERR_INVALID, "see --help");
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"key", required_argument, NULL, 'k'},   {"head", required_argument, NULL, 'h'},
		{"heads", required_argument, NULL, 'H'}, {"from", required_argument, NULL, 'f'},
		{"json", no_argument, NULL, 'j'},        {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, '?'},        {NULL, 0, NULL, 0},
	};
	struct options options = {.key = buf_new(KEY_BYTES_MAX), .heads = mem_new_array(HEADS_MAX, sizeof(*options.heads))};
	struct err err = {0};
	int code = DONE;
	int option;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		code = -1;
	}
	while (code == DONE && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
		if (!option_take(&options, option, &err)) {
			fprintf(stderr, "assay-ledger-verify: %s\n", err.text);
			code = NOT_LOOKED;
		}
	if (code == DONE && (!options.key.length || optind == argc)) {
		fputs(usage, stderr);
		code = NOT_LOOKED;
	}
	for (int i = optind; code != -1 && code != NOT_LOOKED && i < argc; i++)
		code = worse(code, place_verify(&options, argv[i]));
	buf_fini(&options.key);
	free(options.heads);
	return code == -1 ? DONE : code;
}
