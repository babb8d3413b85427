/* assay serve, as far as it is a command: its help, its start in the background and its end. In the foreground it is a process of
 * its own (src/programs/serve.c). */
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/place.h"
#include "base/scope.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/server.h"

#define STOP_MS 60000

static int background(const char *program, const char *listen, const char *preview, const char *oci, bool idle)
{
	const char *args[SERVER_ARGS_MAX + 1] = {NULL};
	struct err err = {0};
	AUTO_FREE char *socket = place_serve_socket(&err);
	size_t count = 0;

	if (!socket)
		return cli_fail(program, false, &err);
	if (server_answers(socket))
		return cli_fail(
			program, false,
			(err_set(&err, ERR_CONFLICT, "a server runs here already (%s): `assay status` says where", socket), &err));
	if (listen) {
		args[count++] = "--listen";
		args[count++] = listen;
	}
	if (preview) {
		args[count++] = "--preview";
		args[count++] = preview;
	}
	if (oci) {
		args[count++] = "--oci";
		args[count++] = oci;
	}
	if (idle)
		args[count++] = "--exit-when-idle";
	if (server_start(args, socket, &err))
		return cli_fail(program, false, &err);
	AUTO_API struct api *api = api_open(program, false, &err);
	AUTO_JSON status = api ? api_get(api, "/status", &err) : NULL;
	if (!status)
		return cli_fail(program, false, &err);
	printf("%s\n", json_text(status, "pages", ""));
	return CLI_DONE;
}

/* Asks it to end and waits until its process is gone. */
static int stop(const char *program)
{
	struct err err = {0};
	AUTO_API struct api *api = api_open(program, false, &err);
	AUTO_JSON status = api ? api_get(api, "/status", &err) : NULL;
	AUTO_CLOSE int pid_fd = status ? (int)syscall(SYS_pidfd_open, (pid_t)json_number(status, "pid", -1), 0u) : -1;
	AUTO_JSON answer = status ? api_post(api, "/shutdown", NULL, &err) : NULL;
	struct pollfd gone = {.fd = pid_fd, .events = POLLIN};

	if (!answer)
		return cli_fail(program, false, &err);
	if (pid_fd >= 0 && poll(&gone, 1, STOP_MS) != 1) {
		(void)err_set(&err, ERR_LIMIT, "it was asked to end and still runs after %d s", STOP_MS / 1000);
		return cli_fail(program, false, &err);
	}
	return CLI_DONE;
}

static void keys_print(const json_t *keys, const char *when)
{
	size_t i;
	json_t *key;

	json_array_foreach(keys, i, key)
		printf("%s: %s\n", json_string_value(key), when);
}

static int reload(const char *program)
{
	struct err err = {0};
	AUTO_API struct api *api = api_open(program, false, &err);
	AUTO_JSON answer = api ? api_post(api, "/reload", NULL, &err) : NULL;

	if (!answer)
		return cli_fail(program, false, &err);
	keys_print(json_member(answer, "changed"), "counts from now on");
	keys_print(json_member(answer, "later"), "counts from the next start");
	return CLI_DONE;
}

int cli_serve(int argc, char **argv)
{
	const char *listen = NULL;
	const char *preview = NULL;
	const char *oci = NULL;
	bool in_background = false;
	bool ends = false;
	bool reloads = false;
	bool idle = false;
	const struct cli_option options[] = {
		{.name = "listen",
		 .value = "ADDRESS:PORT",
		 .help = "pages and API (default: 127.0.0.1:7420; port 0 takes a free one)",
		 .text = &listen},
		{.name = "preview", .value = "ADDRESS:PORT", .help = "previews (default: 127.0.0.1:7421)", .text = &preview},
		{.name = "oci",
		 .value = "RUNTIME",
		 .help = "runc, crun or a path makes the sandboxes (default: ASSAY_RUNTIME, else own code, which is faster)",
		 .text = &oci},
		{.name = "exit-when-idle",
		 .help = "end when nothing runs, no environment is kept and nobody asked for a while",
		 .flag = &idle},
		{.name = "background",
		 .help = "start, print the address of the pages, and leave it running",
		 .flag = &in_background},
		{.name = "reload", .help = "have the one that runs here read its configuration and policy again", .flag = &reloads},
		{.name = "stop", .help = "end the one that runs here; its state stays", .flag = &ends},
	};
	const struct cli_usage usage = {
		.program = "assay serve",
		.arguments = "[--listen A:P] [--preview A:P] [--oci RUNTIME] [--background | --reload | --stop]",
		.about = "Runs the server: workflows, API, pages, previews. Other commands start one by themselves when none runs.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (reloads)
		return in_background || ends ? cli_refuse(usage.program, "--reload stands alone") : reload(usage.program);
	if (ends)
		return in_background ? cli_refuse(usage.program, "--background and --stop are one too many") : stop(usage.program);
	if (in_background)
		return background(usage.program, listen, preview, oci, idle);
	return cli_refuse(usage.program, "this binary was built without the server");
}
