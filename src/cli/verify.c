/* assay verify: the gates on two commits, without an agent. */
#include <stdio.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "verify/export.h"

#define PROGRAM "assay verify"
#define EXPORT_BYTES_MAX ((size_t)64 << 20)

/* The question has three answers, so what was not understood has a code of its own (sysexits.h, EX_USAGE). */
enum verify_exit { VERIFY_VERIFIED = 0, VERIFY_FAILED = 1, VERIFY_UNVERIFIED = 2, VERIFY_USAGE = 64 };

/* On a terminal gates are drawn as they end, and what is being done as a line below them that changes. */
struct live {
	bool panel;
};

static void line_clear(const struct live *live)
{
	if (live->panel)
		fprintf(stderr, "\r\033[K");
}

static bool step_show(void *self, const char *name, int64_t id, const json_t *data)
{
	struct live *live = self;
	const char *step = json_text(data, "step", "");
	int64_t ms = json_number(data, "ms", -1);

	(void)id;
	if (!name || !live->panel || !step[0])
		return true;
	if (!strstr(step, ": ") && ms >= 0) {
		AUTO_JSON gate = json_pack("{s:s, s:s, s:s, s:I}", "name", step, "title", step, "status",
					   json_text(data, "detail", ""), "ms", (json_int_t)ms);

		line_clear(live);
		report_gate_draw(stderr, gate);
	} else {
		AUTO_FREE char *clean = terminal_line(step);
		AUTO_FREE char *fit = terminal_fit(clean, terminal_columns(stderr) - 6);

		line_clear(live);
		fprintf(stderr, "  %s▸ %s%s", terminal_tone(stderr, TONE_BUSY), fit, terminal_end(stderr));
		(void)fflush(stderr);
	}
	return true;
}

/* Both commits in the server's repository, whose main stays where it is. */
static json_t *commits_put(struct api *api, const char *dir, const char *base, const char *head, struct err *err)
{
	AUTO_FREE char *top = checkout_find(dir, err);
	AUTO_JSON after = top ? checkout_put(api, PROGRAM, top, head, NULL, false, err) : NULL;
	AUTO_JSON before = after ? checkout_put(api, PROGRAM, top, base, json_text(after, "name", NULL), false, err) : NULL;

	if (!before)
		return NULL;
	return json_pack("{s:s, s:s, s:s}", "repository", json_text(before, "name", ""), "base", json_text(before, "commit", ""),
			 "head", json_text(after, "commit", ""));
}

static int exit_of(const json_t *report)
{
	const char *verdict = json_text(report, "verdict", "");

	if (strcmp(verdict, "verified") == 0)
		return VERIFY_VERIFIED;
	return strcmp(verdict, "failed") == 0 ? VERIFY_FAILED : VERIFY_UNVERIFIED;
}

static int declare(void *self, const char *value, struct err *err)
{
	json_t *text = json_string(value);

	return text && json_array_append_new(self, text) == 0 ? 0 : err_set(err, ERR_INVALID, "--declare: this is no text");
}

/* Files for other tools; NULL: none. */
struct exports {
	const char *sarif;
	const char *junit;
};

static int export_write(const char *path, struct view text, struct err *err)
{
	return !path || file_replace(path, text, 0644, err) == 0 ? 0 : -1;
}

static int exports_write(const struct exports *exports, const json_t *report, struct err *err)
{
	AUTO_JSON sarif = exports->sarif ? export_sarif(report) : NULL;
	AUTO_BUF one = buf_new(EXPORT_BYTES_MAX);
	AUTO_BUF other = buf_new(EXPORT_BYTES_MAX);

	if (sarif)
		json_format_pretty(&one, sarif);
	if (exports->junit)
		export_junit(report, &other);
	return buf_finish(&one, err) || buf_finish(&other, err) || export_write(exports->sarif, buf_view(&one), err) ||
			       export_write(exports->junit, buf_view(&other), err)
		       ? -1
		       : 0;
}

static int verify(const char *dir, const char *base, const char *head, const json_t *declared, const struct exports *exports,
		  bool as_json, bool all)
{
	struct live live = {.panel = terminal_is(stderr) && !as_json};
	struct err err = {0};
	AUTO_API struct api *api = api_open(PROGRAM, true, &err);
	AUTO_JSON body = api ? commits_put(api, dir, base, head, &err) : NULL;
	if (body)
		(void)json_object_set_new(body, "declare", json_deep_copy(declared));
	AUTO_JSON report = body ? api_work(api, "/verify", body, (struct api_listener){step_show, &live}, &err) : NULL;

	line_clear(&live);
	if (!report) {
		(void)cli_fail(PROGRAM, as_json, &err);
		return VERIFY_UNVERIFIED;
	}
	if (as_json)
		cli_print_json(report);
	else
		report_draw(report, (struct report_form){.all = all, .no_gates = live.panel && terminal_is(stdout)});
	if (exports_write(exports, report, &err)) {
		(void)cli_fail(PROGRAM, false, &err);
		return VERIFY_UNVERIFIED;
	}
	return exit_of(report);
}

int cli_verify(int argc, char **argv)
{
	const char *base = NULL;
	const char *head = "HEAD";
	const char *dir = NULL;
	struct exports exports = {0};
	bool as_json = false;
	bool all = false;
	AUTO_JSON declared = json_array();
	const struct cli_option options[] = {
		{.name = "base", .value = "A", .help = "the commit to compare with: branch, tag or hash", .text = &base},
		{.name = "head", .value = "B", .help = "the commit to judge (default: HEAD)", .text = &head},
		{.name = "repo", .value = "DIR", .help = "a git checkout (default: the one around this folder)", .text = &dir},
		{.name = "declare",
		 .value = "DIFFERENCE",
		 .help = "one that is meant, and does not block: a finding (f-…), or `PLACE [PATH]` with `*`; may be given several times",
		 .each = declare,
		 .self = declared},
		{.name = "sarif", .value = "FILE", .help = "write the findings as SARIF 2.1.0, too", .text = &exports.sarif},
		{.name = "junit", .value = "FILE", .help = "write gates and findings as JUnit XML, too", .text = &exports.junit},
		{.name = "all", .help = "findings that only inform, too", .flag = &all},
		{.name = "json", .help = "the report as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments =
			"--base A [--head B] [--repo DIR] [--declare DIFFERENCE]... [--sarif FILE] [--junit FILE] [--all] [--json]",
		.about =
			"Says whether commit B keeps what commit A does: it deploys, A's tests pass on it, its own tests see the change, tests and\n"
			"checks are left intact, and recorded traffic is answered alike. How to judge comes from A.\n"
			"Exits with 0 when it is verified, 1 when it failed, 2 when it could not be told, 64 for a wrong usage.",
		.options = options,
		.option_count = ARRAY_LEN(options),
	};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code == CLI_USAGE ? VERIFY_USAGE : code;
	if (!base) {
		(void)cli_refuse(PROGRAM, "--base is needed: the commit to compare with, e.g. --base main");
		return VERIFY_USAGE;
	}
	return verify(dir, base, head, declared, &exports, as_json, all);
}
