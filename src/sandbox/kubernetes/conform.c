/* One room: programs, an output over a broken link, a port, walls, a volume that outlives freezing, and nothing left. */
#include "sandbox/kubernetes/conform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define ROOM "room"
#define VOLUME "work"
#define FOLDER "/workspace"
#define OUTPUT_MAX ((size_t)64 << 10)
#define LINES 40
#define PORT 8080
#define PORT_TRIES 100
#define PORT_PAUSE_US 100000
#define LACKS 77 /* the exit code of a script whose program the image does not have */

struct trial {
	const struct kube_conform_room *given;
	struct env_id env;
	json_t *rows;
	void (*row)(const json_t *row);
};

static void row_add(struct trial *trial, const char *check, bool ok, bool needed, const char *found)
{
	json_t *row = json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", check, "ok", ok, "level", needed ? "needed" : "better",
				"found", found, "mend",
				ok       ? ""
				: needed ? "see what the cluster says"
					 : "give rooms an image that has it");

	if (!row) /* words that are no UTF-8 */
		row = json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", check, "ok", ok, "level", "needed", "found", "", "mend", "");
	(void)json_array_append_new(trial->rows, row);
	if (trial->row)
		trial->row(row);
}

static bool did(struct trial *trial, const char *check, int failed, const struct err *err, const char *found)
{
	row_add(trial, check, !failed, true, failed ? err->text : found);
	return !failed;
}

/* ---- programs ---- */

static int start(const struct trial *trial, const char *script, int out, uint32_t *process, struct err *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", NULL};
	const struct program_spec spec = {.argv = argv, .env = env, .dir = "/tmp", .fds = {-1, out, -1}};

	return provider_program_start(trial->given->provider, trial->env, ROOM, &spec, process, err);
}

static int wait_end(const struct trial *trial, uint32_t process, int *code, struct err *err)
{
	struct exit_status status;

	if (provider_program_wait(trial->given->provider, trial->env, ROOM, process, trial->given->patience_ms, &status, err))
		return -1;
	*code = status.reason == EXIT_CODE ? status.code : -1;
	return 0;
}

/* To its end, with what it printed; `cut`: the link is broken as soon as something came. */
static int shell(const struct trial *trial, const char *script, bool cut, struct buf *output, int *code, struct err *err)
{
	AUTO_CLOSE int in = -1;
	uint32_t process = 0;
	int out[2], failed;

	if (pipe2(out, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	in = out[0];
	failed = start(trial, script, out[1], &process, err);
	(void)close(out[1]);
	if (failed)
		return -1;
	if (cut) {
		struct pollfd waiting = {in, POLLIN, 0};

		(void)poll(&waiting, 1, (int)trial->given->patience_ms);
		kube_cluster_cut(trial->given->provider);
	}
	return file_read_fd(in, output, err) || wait_end(trial, process, code, err) ? -1 : 0;
}

static int program_check(const struct trial *trial, struct err *err)
{
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	int code = 0;

	if (shell(trial, "id -u; exit 3", false, &output, &code, err))
		return -1;
	return code == 3 && view_is(buf_view(&output), "1000\n")
		       ? 0
		       : err_set(err, ERR_BROKEN, "it ended with %d and said `%.60s`", code, output.at ? output.at : "");
}

static int output_check(const struct trial *trial, struct err *err)
{
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	AUTO_BUF wanted = buf_new(OUTPUT_MAX);
	int code = 0;

	for (int i = 1; i <= LINES; i++)
		buf_add_format(&wanted, "%d\n", i);
	if (shell(trial, "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; sleep 0.05; done", true, &output, &code, err))
		return -1;
	return code == 0 && output.length == wanted.length && memcmp(output.at, wanted.at, wanted.length) == 0
		       ? 0
		       : err_set(err, ERR_BROKEN, "of %d lines %zu bytes came, and it ended with %d", LINES, output.length, code);
}

/* ---- ports and walls ---- */

static int port_dial(const struct trial *trial, int *fd, struct err *err)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		*err = (struct err){0};
		if (!provider_sandbox_dial(trial->given->provider, trial->env, ROOM, PORT, fd, err))
			return 0;
		if (err->kind != ERR_RETRY)
			return -1;
		(void)usleep(PORT_PAUSE_US);
	}
	return -1;
}

static int port_ask(const struct trial *trial, struct err *err)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	AUTO_BUF answer = buf_new(OUTPUT_MAX);
	AUTO_CLOSE int fd = -1;

	if (port_dial(trial, &fd, err))
		return -1;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		return err_errno(err, errno, "cannot ask it");
	if (file_read_fd(fd, &answer, err))
		return -1;
	return view_starts(buf_view(&answer), VIEW("HTTP/1.0 200")) ? 0
								    : err_set(err, ERR_BROKEN, "it does not answer as it should");
}

static void port_check(struct trial *trial)
{
	static const char check[] = "its ports are reached, for previews";
	/* Not as `python3 -m http.server`, which first asks for its own name: nobody answers that here. */
	static const char server[] = "mkdir -p www; cd www; exec python3 -c 'import http.server, socketserver\n"
				     "socketserver.TCPServer((\"\", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()'";
	AUTO_BUF nothing = buf_new(OUTPUT_MAX);
	struct err err = {0};
	uint32_t process;
	int code = 0;

	if (shell(trial, "command -v python3 >/dev/null || exit 77", false, &nothing, &code, &err)) {
		(void)did(trial, check, -1, &err, "");
		return;
	}
	if (code == LACKS) {
		row_add(trial, check, false, false, "not tried: the image of rooms has no python3 to listen with");
		return;
	}
	if (start(trial, server, -1, &process, &err)) {
		(void)did(trial, check, -1, &err, "");
		return;
	}
	(void)did(trial, check, port_ask(trial, &err), &err, "it answers");
	(void)!provider_program_signal(trial->given->provider, trial->env, ROOM, process, SIGKILL, NULL);
}

static void walls_check(struct trial *trial)
{
	static const char check[] = "nothing but its link leads out of it";
	AUTO_FREE char *script = text_format("command -v curl >/dev/null || exit 77\ncurl -sk -m 5 -o /dev/null '%s/version'",
					     trial->given->server);
	AUTO_BUF nothing = buf_new(OUTPUT_MAX);
	struct err err = {0};
	int code = 0;

	if (!shell(trial, script, false, &nothing, &code, &err) && code == LACKS) {
		row_add(trial, check, false, false, "not tried: the image of rooms has no curl");
		return;
	}
	if (err.kind == ERR_NONE && code == 0)
		(void)err_set(&err, ERR_DENIED, "the API server was reached: the network plugin does not keep policies");
	(void)did(trial, check, err.kind == ERR_NONE ? 0 : -1, &err, "the API server was not reached");
}

/* ---- its life ---- */

static int room_make(const struct trial *trial, struct err *err)
{
	const struct provider provider = trial->given->provider;
	const struct sandbox_spec spec = {
		.env = trial->env, .name = ROOM, .mounts = {{.volume = VOLUME, .path = FOLDER}}, .mount_count = 1};
	bool copied;

	return provider_env_make(provider, trial->env, err) ||
			       provider_volume_make(provider, trial->env, VOLUME, NULL, 0, true, &copied, err) ||
			       provider_sandbox_make(provider, &spec, err)
		       ? -1
		       : 0;
}

static int freeze_check(const struct trial *trial, struct err *err)
{
	const struct provider provider = trial->given->provider;
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	int code = 0;

	if (shell(trial, "echo kept >" FOLDER "/kept", false, &output, &code, err) ||
	    provider_env_freeze(provider, trial->env, true, err) || provider_env_freeze(provider, trial->env, false, err) ||
	    shell(trial, "cat " FOLDER "/kept", false, &output, &code, err))
		return -1;
	return view_is(buf_view(&output), "kept\n") ? 0 : err_set(err, ERR_BROKEN, "what it had written is not there");
}

/* What the room wrote, in another environment, by a snapshot of the storage; the room is over. */
static int clone_check(const struct trial *trial, struct err *err)
{
	const struct provider provider = trial->given->provider;
	struct trial other = {.given = trial->given, .env = env_id_new(trial->given->site->world)};
	AUTO_FREE char *layer = text_format("conformance/%s", trial->env.text);
	const char *const layers[] = {layer};
	const struct sandbox_spec spec = {
		.env = other.env, .name = ROOM, .mounts = {{.volume = VOLUME, .path = FOLDER}}, .mount_count = 1};
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	bool copied = false;
	int code = 0, failed;
	struct err left = {0};

	if (provider_env_stop(provider, trial->env, err) || provider_volume_commit(provider, trial->env, VOLUME, layer, NULL, err))
		return -1;
	failed = provider_env_make(provider, other.env, err) ||
		 provider_volume_make(provider, other.env, VOLUME, layers, 1, true, &copied, err) ||
		 provider_sandbox_make(provider, &spec, err) || shell(&other, "cat " FOLDER "/kept", false, &output, &code, err);
	if (!failed && (copied || !view_is(buf_view(&output), "kept\n")))
		failed = err_set(err, ERR_BROKEN, copied ? "it was copied" : "what was written is not there");
	if (provider_env_remove(provider, other.env, &left) ||
	    kube_space_wait_gone(trial->given->site, other.env, trial->given->patience_ms, &left) ||
	    provider_layer_remove(provider, layer, &left))
		failed = failed ? failed : err_set(err, left.kind, "%s", left.text);
	return failed ? -1 : 0;
}

json_t *kube_conform_rooms(const struct kube_conform_room *given, void (*row)(const json_t *row))
{
	struct trial trial = {.given = given, .env = env_id_new(given->site->world), .rows = json_array(), .row = row};
	struct err err = {0};

	if (did(&trial, "a room's pod links to us", room_make(&trial, &err), &err, "it did")) {
		(void)did(&trial, "a program runs in it", program_check(&trial, &err), &err, "its output and its end are told");
		(void)did(&trial, "an output outlives a broken link", output_check(&trial, &err), &err,
			  "nothing was lost or doubled");
		port_check(&trial);
		if (given->server)
			walls_check(&trial);
		(void)did(&trial, "a volume outlives freezing", freeze_check(&trial, &err), &err, "it did");
		if (given->site->snapshot_class)
			(void)did(&trial, "a database is cloned by the storage", clone_check(&trial, &err), &err,
				  given->site->snapshot_class);
	}
	(void)did(&trial, "nothing is left of the room",
		  provider_env_remove(given->provider, trial.env, &err) ||
			  kube_space_wait_gone(given->site, trial.env, given->patience_ms, &err),
		  &err, "gone");
	return trial.rows;
}
