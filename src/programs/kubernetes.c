/* assay kubernetes: whether a cluster can carry environments. */
#include "programs/kubernetes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "programs/serve_priv.h"
#include "sandbox/kubernetes/check.h"
#include "sandbox/kubernetes/conform.h"

#define IMAGE_DEFAULT "docker.io/library/busybox:1.36"
#define OWNER_DEFAULT "assay-check"
#define PATIENCE_S_DEFAULT 180

static bool is_whole(const json_t *rows)
{
	bool whole = true;
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row)
		whole = whole && (json_flag(row, "ok", false) || strcmp(json_text(row, "level", ""), "needed") != 0);
	return whole;
}

static void row_print(const json_t *row)
{
	bool good = json_flag(row, "ok", false);
	bool needed = strcmp(json_text(row, "level", ""), "needed") == 0;
	AUTO_FREE char *check = terminal_line(json_text(row, "check", ""));
	AUTO_FREE char *found = terminal_line(json_text(row, "found", ""));
	AUTO_FREE char *mend = terminal_line(json_text(row, "mend", ""));

	printf("%s%s%s %-40s %s\n",
	       terminal_tone(stdout, good     ? TONE_GOOD
				     : needed ? TONE_BAD
					      : TONE_UNSURE),
	       good     ? "✓"
	       : needed ? "✗"
			: "!",
	       terminal_end(stdout), check, found);
	if (!good && mend[0])
		printf("  %-40s %s%s%s\n", "", terminal_tone(stdout, TONE_BUSY), mend, terminal_end(stdout));
	(void)fflush(stdout);
}

struct wish {
	const char *context, *owner, *image;
	int64_t patience_s;
	bool conformance, as_json;
};

/* With the settings that `assay serve` would have: what is proven is what it will use. */
static json_t *rooms_try(const struct wish *wish, const char *server, void (*row)(const json_t *row), struct err *err)
{
	AUTO_FREE char *folder = text_copy("/tmp/assay-check-XXXXXX");
	const struct serve_sandboxes_options options = {.provider = "kubernetes", .state_dir = folder, .owner = wish->owner};
	struct kube_conform_room trial = {.server = server, .patience_ms = wish->patience_s * 1000};
	struct serve_sandboxes *sandboxes = NULL;
	json_t *rows = NULL;
	struct err left = {0};

	if (!mkdtemp(folder)) {
		(void)err_errno(err, errno, "cannot make %s", folder);
		return NULL;
	}
	if ((!wish->context || !setenv("ASSAY_KUBERNETES_CONTEXT", wish->context, 1)) &&
	    !serve_sandboxes_open(&options, &sandboxes, err)) {
		trial.provider = serve_sandboxes_provider(sandboxes);
		trial.site = serve_sandboxes_site(sandboxes);
		rows = kube_conform_rooms(&trial, row);
	}
	serve_sandboxes_close(sandboxes);
	(void)!file_remove_tree(folder, &left);
	return rows;
}

static json_t *rooms_rows(const struct wish *wish, const char *server, void (*row)(const json_t *row))
{
	bool set = serve_setting("ASSAY_KUBERNETES_ASSAY_IMAGE");
	struct err err = {.text = "not tried: kubernetes-assay-image is not set"};
	json_t *rows = set ? rooms_try(wish, server, row, &err) : NULL;
	json_t *failed;

	if (rows)
		return rows;
	rows = json_array();
	failed = json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", "rooms of pods that link to us", "ok", 0, "level",
			   set ? "needed" : "better", "found", err.text, "mend", "see doc/kubernetes.md, Settings");
	(void)json_array_append_new(rows, failed);
	if (row)
		row(failed);
	return rows;
}

/* False: something that is needed is not there. */
static bool look(const struct kube_site *site, const char *server, const struct wish *wish)
{
	AUTO_JSON rows = kube_check(site);
	size_t index;
	json_t *row;

	if (!wish->as_json)
		json_array_foreach(rows, index, row)
			row_print(row);
	if (wish->conformance && is_whole(rows)) { /* on a cluster that lacks something it could not go well */
		AUTO_JSON more = kube_conform(site, wish->image, wish->patience_s * 1000, wish->as_json ? NULL : row_print);

		AUTO_JSON rooms = rooms_rows(wish, server, wish->as_json ? NULL : row_print);

		(void)json_array_extend(rows, more);
		(void)json_array_extend(rows, rooms);
	}
	if (wish->as_json)
		cli_print_json(rows);
	return is_whole(rows);
}

static int check_run(int argc, char **argv)
{
	struct wish wish = {.owner = OWNER_DEFAULT, .image = IMAGE_DEFAULT, .patience_s = PATIENCE_S_DEFAULT};
	const struct cli_option options[] = {
		{.name = "context",
		 .value = "NAME",
		 .help = "of the kubeconfig; else the one of kubernetes-context, else its current one",
		 .text = &wish.context},
		{.name = "owner", .value = "NAME", .help = "the label by which our namespaces are found", .text = &wish.owner},
		{.name = "conformance",
		 .help = "make an environment too, prove its walls, and remove it",
		 .flag = &wish.conformance},
		{.name = "image", .value = "IMAGE", .help = "for its pods: has sh, nc, sleep", .text = &wish.image},
		{.name = "patience", .value = "SECONDS", .help = "for each of its steps", .number = &wish.patience_s},
		{.name = "json", .help = "print it as JSON", .flag = &wish.as_json},
	};
	const struct cli_usage usage = {
		.program = "assay kubernetes check",
		.arguments = "[--context NAME] [--conformance [--image IMAGE] [--patience SECONDS]] [--owner NAME] [--json]",
		.about =
			"Says whether a cluster can carry environments, and which verb is missing. It is reached by $KUBECONFIG, by the account of\n"
			"the pod that this runs in, or by ~/.kube/config. Exit code 1 when something is missing.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	struct kube_config *config;
	struct kube_site site;
	struct err err = {0};
	int code = CLI_DONE;
	bool whole;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	log_init("kubernetes", LOG_LEVEL_WARN);
	(void)signal(SIGPIPE, SIG_IGN); /* of a room that leaves */
	if (wish.patience_s < 1 || wish.patience_s > 86400)
		return cli_refuse(usage.program, "--patience: 1 to 86400 seconds");
	if (kube_owner_check(wish.owner, &err))
		return cli_refuse(usage.program, "--owner: %s", err.text);
	if (!wish.context)
		wish.context = serve_setting("ASSAY_KUBERNETES_CONTEXT");
	if (wish.context && strpbrk(wish.context, " ,\t"))
		return cli_refuse(usage.program, "--context: one of the clusters that kubernetes-context names: %s", wish.context);
	config = kube_config_find(wish.context, &err);
	if (!config)
		return cli_fail(usage.program, wish.as_json, &err);
	site = (struct kube_site){.client = kube_client_open(config, world_real),
				  .world = world_real,
				  .owner = wish.owner,
				  .life_ms = wish.patience_s * 10000,
				  .snapshot_class = serve_setting("ASSAY_KUBERNETES_SNAPSHOT_CLASS")};
	whole = look(&site, config->server, &wish);
	kube_client_close(site.client);
	kube_config_free(config);
	return whole ? CLI_DONE : CLI_FAILED;
}

int kubernetes_main(int argc, char **argv)
{
	static const struct cli_command commands[] = {
		{.name = "check",
		 .arguments = "[--conformance] [--context NAME] [--json]",
		 .summary = "says whether a cluster can carry environments",
		 .run = check_run},
	};

	return cli_dispatch("assay kubernetes", commands, ARRAY_LEN(commands), argc, argv);
}
