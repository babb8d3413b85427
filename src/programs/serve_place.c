/* Where a server is: its folders, its lock, its addresses. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/place.h"
#include "base/scope.h"
#include "net/socket.h"
#include "programs/secrets_find.h"
#include "programs/serve_priv.h"

#define LOCK_WAIT_MS 1000
#define LOCK_POLL_US 20000
#define TOOLS_FOLDER "tools"

int places_make(struct serve *serve, const char *state, const char *runtime, struct err *err)
{
	char *resolved;

	serve->state_dir = state ? text_copy(state) : place_state(err);
	if (!serve->state_dir || file_make_dirs(serve->state_dir, 0700, err))
		return -1;
	resolved = realpath(serve->state_dir, NULL);
	if (!resolved)
		return err_errno(err, errno, "cannot use %s", serve->state_dir);
	free(serve->state_dir);
	serve->state_dir = resolved;
	serve->runtime_dir = runtime ? text_copy(runtime) : state ? text_format("%s/run", serve->state_dir) : place_runtime(err);
	if (!serve->runtime_dir || file_make_dirs(serve->runtime_dir, 0700, err))
		return -1;
	resolved = realpath(serve->runtime_dir, NULL);
	if (!resolved)
		return err_errno(err, errno, "cannot use %s", serve->runtime_dir);
	free(serve->runtime_dir);
	serve->runtime_dir = resolved;
	serve->tools_dir = text_format("%s/" TOOLS_FOLDER, serve->runtime_dir);
	serve->serve_socket = text_format("%s/serve.sock", serve->runtime_dir);
	serve->rules_dir = text_format("%s/verify/rules", serve->state_dir);
	serve->advisories_dir = text_format("%s/advisories", serve->state_dir);
	serve->sources = (struct verify_sources){secrets_find, serve->rules_dir, serve->advisories_dir};
	serve->tool_socket = text_format("%s/" TOOLS_SOCKET, serve->tools_dir);
	if (file_make_dirs(serve->tools_dir, 0711, err))
		return -1;
	/* Nobody else reaches the folder above: the gateway, which runs as another user, is given a descriptor of the one below. */
	if (chmod(serve->runtime_dir, 0700) || chmod(serve->tools_dir, 0711))
		return err_errno(err, errno, "cannot protect %s", serve->runtime_dir);
	return 0;
}

/* A child that a killed server was just starting holds its lock until it is executed: a moment is waited for that. */
static bool lock_take(int fd)
{
	int64_t until_ms = world_elapsed_ms(world_real) + LOCK_WAIT_MS;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (world_elapsed_ms(world_real) > until_ms)
			return false;
		(void)usleep(LOCK_POLL_US);
	}
	return true;
}

/* One control plane a state directory: its lock says who. */
int state_lock(struct serve *serve, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/serve.lock", serve->state_dir);
	char text[32];
	ssize_t length;

	serve->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (serve->lock_fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	if (!lock_take(serve->lock_fd)) {
		length = read(serve->lock_fd, text, sizeof(text) - 1);
		text[length > 0 ? length : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		return err_set(err, ERR_CONFLICT, "another assay serve (pid %s) uses %s", *text ? text : "?", serve->state_dir);
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(serve->lock_fd, 0) || pwrite(serve->lock_fd, text, strlen(text), 0) < 0)
		return err_errno(err, errno, "cannot write %s", path);
	return 0;
}

char *address_take(const char *option, const char *address, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	const char *colon = strrchr(address, ':');

	if (socket_listen_tcp(address, &fd, err)) {
		(void)err_prefix(err, "%s %s", option, address);
		return NULL;
	}
	return text_format("%.*s:%d", (int)(colon - address), address, socket_port(fd));
}
