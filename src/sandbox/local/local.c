/* The local provider: each operation as a request to the keeper, or to a room. */
#include "net/door.h"
#include "sandbox/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local_priv.h"

#define DIAL_TIMEOUT_MS 5000
#define CLOSE_TIMEOUT_MS 120000

/* ---- environments ---- */

static int local_env_make(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	return keeper_ask(self, request, KEEPER_ENV_MAKE, -1, NULL, NULL, err);
}

static int local_env_remove(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	if (keeper_ask(self, request, KEEPER_ENV_REMOVE, -1, NULL, NULL, err))
		return -1;
	local_rooms_forget(self, env, NULL);
	local_env_frozen_set(self, env, false);
	return 0;
}

static int local_env_stop(void *self, struct env_id env, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	if (keeper_ask(self, request, KEEPER_ENV_STOP, -1, NULL, NULL, err))
		return -1;
	local_rooms_forget(self, env, NULL);
	local_env_frozen_set(self, env, false);
	return 0;
}

static int local_env_freeze(void *self, struct env_id env, bool frozen, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, NULL);

	request->flag = frozen;
	if (keeper_ask(self, request, KEEPER_ENV_FREEZE, -1, NULL, NULL, err))
		return -1;
	local_env_frozen_set(self, env, frozen);
	return 0;
}

static json_t *local_env_list(void *self, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_BUF bytes = buf_new(LIST_BYTES_MAX);
	AUTO_CLOSE int fd = -1;
	json_t *list, *env = NULL;

	if (keeper_ask(self, request, KEEPER_ENV_LIST, -1, NULL, &fd, err) || list_read(fd, &bytes, err))
		return NULL;
	list = json_array();
	for (size_t at = 0; at + sizeof(struct keeper_env_row) <= bytes.length; at += sizeof(struct keeper_env_row)) {
		struct keeper_env_row row;

		memcpy(&row, bytes.at + at, sizeof(row));
		if (row.sandbox[0]) {
			(void)json_array_append_new(json_object_get(env, "sandboxes"), json_string(row.sandbox));
			continue;
		}
		env = json_pack("{s:s, s:[], s:b}", "env", row.env.text, "sandboxes", "frozen", (int)row.frozen);
		if (row.stopped[0]) {
			(void)json_object_set_new(env, "stopped", json_string(row.stopped));
			(void)json_object_set_new(env, "own_fault", json_boolean(strstr(row.stopped, KEEPER_SHARE_VARIABLE)));
		}
		(void)json_array_append_new(list, env);
	}
	return list;
}

/* ---- volumes and layers ---- */

static int local_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			     bool blocks, bool *copied, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);
	struct keeper_reply reply;

	request->flag = blocks;
	request->layer_count = (uint32_t)layer_count;
	for (size_t i = 0; i < layer_count; i++)
		(void)snprintf(request->layers[i], sizeof(request->layers[i]), "%s", layers[i]);
	if (keeper_ask(self, request, KEEPER_VOLUME_MAKE, -1, &reply, NULL, err))
		return -1;
	if (copied)
		*copied = reply.copied;
	return 0;
}

static int local_volume_remove(void *self, struct env_id env, const char *volume, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);

	return keeper_ask(self, request, KEEPER_VOLUME_REMOVE, -1, NULL, NULL, err);
}

static int local_volume_commit(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			       struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, volume);
	AUTO_CLOSE int fd = memfd_create("meta", MFD_CLOEXEC);
	AUTO_BUF text = buf_new(KEEPER_META_BYTES_MAX);
	AUTO_JSON empty = json_object();

	json_format(&text, meta ? meta : empty);
	if (buf_finish(&text, err))
		return err_prefix(err, "the layer's meta");
	if (fd < 0 || file_write_fd(fd, buf_view(&text), err))
		return err_errno(err, errno, "cannot make a memfd");
	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	return keeper_ask(self, request, KEEPER_VOLUME_COMMIT, fd, NULL, NULL, err);
}

static int local_volume_clone(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(from, volume);

	request->env_to = to;
	return keeper_ask(self, request, KEEPER_VOLUME_CLONE, -1, NULL, NULL, err);
}

static json_t *local_layer_list(void *self, const char *prefix, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_BUF bytes = buf_new(LIST_BYTES_MAX);
	AUTO_CLOSE int fd = -1;
	struct keeper_layer_row row;
	json_t *list;

	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", prefix);
	if (keeper_ask(self, request, KEEPER_LAYER_LIST, -1, NULL, &fd, err) || list_read(fd, &bytes, err))
		return NULL;
	list = json_array();
	for (size_t at = 0; at + sizeof(row) <= bytes.length; at += sizeof(row) + row.meta_bytes) {
		json_t *meta;

		memcpy(&row, bytes.at + at, sizeof(row));
		if (row.meta_bytes > bytes.length - at - sizeof(row))
			break;
		meta = json_parse(view_make(bytes.at + at + sizeof(row), row.meta_bytes), NULL);
		(void)json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I}", "layer", row.name, "meta",
							    meta ? meta : json_object(), "bytes", (json_int_t)row.bytes,
							    "created_ms", (json_int_t)row.created_ms));
	}
	return list;
}

static int local_layer_remove(void *self, const char *layer, struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);

	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	return keeper_ask(self, request, KEEPER_LAYER_REMOVE, -1, NULL, NULL, err);
}

/* ---- sandboxes ---- */

static int local_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err)
{
	struct local *local = self;
	AUTO_FREE struct keeper_request *request = request_new(spec->env, spec->name);
	struct room *room;
	int fd = -1;

	if (image_take(local, spec->image, request->image, err))
		return -1;
	request->limits = spec->limits;
	(void)snprintf(request->authority, sizeof(request->authority), "%s", spec->authority ? spec->authority : "");
	(void)snprintf(request->authority_hash, sizeof(request->authority_hash), "%s",
		       spec->authority_hash ? spec->authority_hash : "");
	request->mount_count = (uint32_t)spec->mount_count;
	for (size_t i = 0; i < spec->mount_count; i++) {
		(void)snprintf(request->mounts[i].volume, sizeof(request->mounts[i].volume), "%s", spec->mounts[i].volume);
		(void)snprintf(request->mounts[i].path, sizeof(request->mounts[i].path), "%s", spec->mounts[i].path);
		request->mounts[i].read_only = spec->mounts[i].read_only;
	}
	if (keeper_ask(local, request, KEEPER_SANDBOX_MAKE, -1, NULL, &fd, err))
		return -1;
	if (fd < 0)
		return err_set(err, ERR_BROKEN, "the keeper sent no control socket");
	local_rooms_forget(local, spec->env, spec->name); /* one that the last keeper had */
	room = mem_new(sizeof(*room));
	room->env = spec->env;
	(void)snprintf(room->name, sizeof(room->name), "%s", spec->name);
	room->control_fd = fd;
	(void)pthread_mutex_lock(&local->mutex);
	room->next = local->rooms;
	local->rooms = room;
	local_watch(local, fd);
	(void)pthread_mutex_unlock(&local->mutex);
	return 0;
}

static int local_sandbox_remove(void *self, struct env_id env, const char *name, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, name);

	if (keeper_ask(self, request, KEEPER_SANDBOX_REMOVE, -1, NULL, NULL, err))
		return -1;
	local_rooms_forget(self, env, name);
	return 0;
}

/* A request to a room that gives a descriptor. */
static int descriptor_get(struct local *local, struct env_id env, const char *name, enum init_ask ask, int *fd, struct err *err)
{
	struct init_request request = {.ask = ask};
	struct room *room;
	int result;

	*fd = -1;
	(void)pthread_mutex_lock(&local->mutex);
	result = local_room_use(local, env, name, &room, err);
	if (!result) {
		request.id = ++room->last_id;
		result = local_room_ask(local, room, &request, NULL, 0, fd, err);
		if (result > 0)
			result = err_errno(err, result, "sandbox %s cannot make a socket", name);
		local_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static int local_sandbox_door(void *self, struct env_id env, const char *name, int *fd, struct err *err)
{
	return descriptor_get(self, env, name, INIT_DOOR, fd, err);
}

/* 0 or an errno. */
static int dial(int fd, uint16_t port, bool v6)
{
	struct pollfd polled = {fd, POLLOUT, 0};
	int failed = door_connect(fd, port, v6);
	socklen_t length = sizeof(failed);

	if (failed != EINPROGRESS)
		return failed;
	if (poll(&polled, 1, DIAL_TIMEOUT_MS) <= 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &length) ? errno : failed;
}

/* The socket belongs to the room's network, the connect is ours. */
static int local_sandbox_dial(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err)
{
	AUTO_CLOSE int dialled = -1;
	int failed = ECONNREFUSED;

	for (int v6 = 0; v6 <= 1 && failed == ECONNREFUSED; v6++) {
		scope_close(&dialled);
		if (descriptor_get(self, env, name, INIT_SOCKET, &dialled, err))
			return -1;
		failed = dial(dialled, port, v6);
	}
	if (!failed && fcntl(dialled, F_SETFL, 0))
		failed = errno;
	if (failed)
		return err_errno(err, failed, "port %u of sandbox %s", port, name);
	*fd = TAKE_FD(dialled);
	return 0;
}

int local_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env, name);
	struct keeper_reply reply;

	if (keeper_ask(self, request, KEEPER_SANDBOX_USAGE, -1, &reply, NULL, err))
		return -1;
	*usage = reply.usage;
	return 0;
}

static enum activity local_env_activity(void *self, struct env_id env)
{
	AUTO_FREE struct keeper_request *request = request_new(env, "");
	struct keeper_reply reply;

	if (keeper_ask(self, request, KEEPER_ENV_ACTIVITY, -1, &reply, NULL, NULL))
		return ACTIVITY_UNKNOWN;
	return reply.activity == ACTIVITY_IDLE || reply.activity == ACTIVITY_BUSY ? (enum activity)reply.activity
										  : ACTIVITY_UNKNOWN;
}

static int local_sever(void *self, const struct env_id *env, int process, bool whole, struct err *err)
{
	AUTO_FREE struct keeper_request *request = request_new(env ? *env : (struct env_id){{0}}, "");

	request->flag = (uint32_t)process;
	request->part = !whole;
	return keeper_ask(self, request, KEEPER_SEVER, -1, NULL, NULL, err);
}

static const struct provider_ops local_ops = {
	.name = "local",
	.door_mode = DOOR_MODE_REDIRECT,
	.env_make = local_env_make,
	.env_remove = local_env_remove,
	.env_stop = local_env_stop,
	.env_freeze = local_env_freeze,
	.env_list = local_env_list,
	.volume_make = local_volume_make,
	.volume_remove = local_volume_remove,
	.volume_commit = local_volume_commit,
	.volume_clone = local_volume_clone,
	.layer_list = local_layer_list,
	.layer_remove = local_layer_remove,
	.image_describe = local_image_describe,
	.sandbox_make = local_sandbox_make,
	.sandbox_remove = local_sandbox_remove,
	.sandbox_door = local_sandbox_door,
	.program_start = local_program_start,
	.program_wait = local_program_wait,
	.program_signal = local_program_signal,
	.sandbox_dial = local_sandbox_dial,
	.sandbox_usage = local_sandbox_usage,
	.env_activity = local_env_activity,
	.sever = local_sever,
};

/* ---- open and close ---- */

static void local_free(struct local *local)
{
	scope_close(&local->keeper_pid_fd);
	scope_close(&local->epoll_fd);
	scope_close(&local->wake_fd);
	free(local->state_dir);
	free(local->program);
	free(local->runtime);
	free(local);
}

int local_provider_open(const struct local_options *options, struct provider *provider, struct err *err)
{
	struct local *local = mem_new(sizeof(*local));
	pthread_condattr_t attributes;
	int result;

	local->keeper_fd = local->keeper_pid_fd = -1;
	local->state_dir = text_copy(options->state_dir);
	local->program = text_copy(options->program ? options->program : "/proc/self/exe");
	local->runtime = options->runtime ? text_copy(options->runtime) : NULL;
	local->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	local->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&local->mutex, NULL);
	(void)pthread_mutex_init(&local->send_mutex, NULL);
	(void)pthread_mutex_init(&local->image_mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&local->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (local->epoll_fd < 0 || local->wake_fd < 0)
		result = err_errno(err, errno, "cannot make the provider's descriptors");
	else {
		local_watch(local, local->wake_fd);
		result = keeper_ensure(local, err);
	}
	if (!result && pthread_create(&local->thread, NULL, local_reader, local))
		result = err_set(err, ERR_RETRY, "cannot start the provider's thread");
	if (result) {
		local_free(local);
		return -1;
	}
	*provider = (struct provider){&local_ops, local};
	return 0;
}

void local_provider_close(struct provider provider)
{
	struct local *local = provider.self;
	struct room *room;
	int status;

	(void)pthread_mutex_lock(&local->mutex);
	local->closing = true;
	(void)pthread_mutex_unlock(&local->mutex);
	(void)!write(local->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)pthread_join(local->thread, NULL);
	(void)pthread_mutex_lock(&local->mutex);
	if (local->keeper_fd >= 0)
		local_keeper_lost(local); /* it sees the end of its socket, and ends */
	(void)pthread_mutex_unlock(&local->mutex);
	if (local->keeper_pid_fd >= 0)
		(void)!process_wait(local->keeper_pid_fd, CLOSE_TIMEOUT_MS, &status, NULL);
	while ((room = local->rooms)) {
		local->rooms = room->next;
		local_room_lost(local, room);
		room->removed = true;
		local_room_free_unused(room);
	}
	local_free(local);
}

int local_provider_look(struct provider provider, struct err *err)
{
	struct local *local = provider.self;
	int failed;

	(void)pthread_mutex_lock(&local->mutex);
	failed = keeper_ensure(local, err);
	(void)pthread_mutex_unlock(&local->mutex);
	return failed;
}

pid_t local_provider_keeper(struct provider provider)
{
	const struct local *local = provider.self;

	return local->keeper_pid;
}
