/* The provider's promises, checked once for all implementations, and how a program's end is told. */
#include "sandbox/provider.h"

#include <signal.h>
#include <string.h>

#define PATH_BYTES_MAX 255
#define LAYER_BYTES_MAX 254
#define MEMORY_BYTES_MIN ((int64_t)4 << 20)

static int name_check(const char *noun, const char *name, struct err *err)
{
	size_t length = name ? strlen(name) : 0;
	bool good = length > 0 && length <= SANDBOX_NAME_MAX && name[0] != '-' && name[length - 1] != '-';

	for (size_t i = 0; good && i < length; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '-';
	if (!good)
		return err_set(err, ERR_INVALID,
			       "`%.80s` is not the name of a %s: expected 1 to %d lower-case letters, digits and dashes",
			       name ? name : "", noun, SANDBOX_NAME_MAX);
	return 0;
}

static int env_check(struct env_id env, struct err *err)
{
	struct env_id parsed;

	return env_id_parse(view_make(env.text, strnlen(env.text, sizeof(env.text))), &parsed, err);
}

static int layer_check(const char *layer, struct err *err)
{
	size_t length = layer ? strlen(layer) : 0;

	if (!length || length > LAYER_BYTES_MAX)
		return err_set(err, ERR_INVALID, "the name of a layer has 1 to %d bytes", LAYER_BYTES_MAX);
	return 0;
}

static int path_check(const char *path, struct err *err)
{
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length > PATH_BYTES_MAX || path[0] != '/' || strstr(path, "/../") || strstr(path, "//") ||
	    (length > 2 && strcmp(path + length - 3, "/..") == 0))
		return err_set(err, ERR_INVALID, "`%.80s` is not a place to mount at: expected an absolute path", path ? path : "");
	return 0;
}

int provider_env_make(struct provider provider, struct env_id env, struct err *err)
{
	if (env_check(env, err))
		return -1;
	return provider.ops->env_make(provider.self, env, err) ? err_prefix(err, "cannot make environment %s", env.text) : 0;
}

int provider_env_remove(struct provider provider, struct env_id env, struct err *err)
{
	if (env_check(env, err))
		return -1;
	return provider.ops->env_remove(provider.self, env, err) ? err_prefix(err, "cannot remove environment %s", env.text) : 0;
}

int provider_env_stop(struct provider provider, struct env_id env, struct err *err)
{
	if (env_check(env, err))
		return -1;
	return provider.ops->env_stop(provider.self, env, err) ? err_prefix(err, "cannot stop environment %s", env.text) : 0;
}

int provider_env_freeze(struct provider provider, struct env_id env, bool frozen, struct err *err)
{
	if (env_check(env, err))
		return -1;
	return provider.ops->env_freeze(provider.self, env, frozen, err)
		       ? err_prefix(err, "cannot %s environment %s", frozen ? "freeze" : "thaw", env.text)
		       : 0;
}

json_t *provider_env_list(struct provider provider, struct err *err)
{
	return provider.ops->env_list(provider.self, err);
}

int provider_volume_make(struct provider provider, struct env_id env, const char *volume, const char *const *layers,
			 size_t layer_count, bool blocks, bool *copied, struct err *err)
{
	bool unused;

	if (env_check(env, err) || name_check("volume", volume, err))
		return -1;
	if (layer_count > VOLUME_LAYERS_MAX)
		return err_set(err, ERR_LIMIT, "a volume names at most %d layers", VOLUME_LAYERS_MAX);
	for (size_t i = 0; i < layer_count; i++)
		if (layer_check(layers[i], err))
			return -1;
	if (!copied)
		copied = &unused;
	*copied = false;
	return provider.ops->volume_make(provider.self, env, volume, layers, layer_count, blocks, copied, err)
		       ? err_prefix(err, "cannot make volume %s", volume)
		       : 0;
}

int provider_volume_remove(struct provider provider, struct env_id env, const char *volume, struct err *err)
{
	if (env_check(env, err) || name_check("volume", volume, err))
		return -1;
	return provider.ops->volume_remove(provider.self, env, volume, err) ? err_prefix(err, "cannot remove volume %s", volume)
									    : 0;
}

int provider_volume_commit(struct provider provider, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			   struct err *err)
{
	if (env_check(env, err) || name_check("volume", volume, err) || layer_check(layer, err))
		return -1;
	return provider.ops->volume_commit(provider.self, env, volume, layer, meta, err)
		       ? err_prefix(err, "cannot commit volume %s as layer %s", volume, layer)
		       : 0;
}

int provider_volume_clone(struct provider provider, struct env_id from, struct env_id to, const char *volume, struct err *err)
{
	if (env_check(from, err) || env_check(to, err) || name_check("volume", volume, err))
		return -1;
	return provider.ops->volume_clone(provider.self, from, to, volume, err) ? err_prefix(err, "cannot clone volume %s", volume)
										: 0;
}

json_t *provider_layer_list(struct provider provider, const char *prefix, struct err *err)
{
	if (prefix && *prefix && layer_check(prefix, err))
		return NULL;
	return provider.ops->layer_list(provider.self, prefix ? prefix : "", err);
}

int provider_layer_remove(struct provider provider, const char *layer, struct err *err)
{
	if (layer_check(layer, err))
		return -1;
	return provider.ops->layer_remove(provider.self, layer, err) ? err_prefix(err, "cannot remove layer %s", layer) : 0;
}

json_t *provider_image_describe(struct provider provider, const char *image, struct err *err)
{
	return provider.ops->image_describe(provider.self, image, err);
}

int provider_sandbox_make(struct provider provider, const struct sandbox_spec *spec, struct err *err)
{
	if (env_check(spec->env, err) || name_check("sandbox", spec->name, err))
		return -1;
	if (spec->mount_count > SANDBOX_MOUNTS_MAX)
		return err_set(err, ERR_LIMIT, "a sandbox mounts at most %d volumes", SANDBOX_MOUNTS_MAX);
	for (size_t i = 0; i < spec->mount_count; i++)
		if (name_check("volume", spec->mounts[i].volume, err) || path_check(spec->mounts[i].path, err))
			return -1;
	if (spec->authority && strlen(spec->authority) >= SANDBOX_AUTHORITY_MAX)
		return err_set(err, ERR_LIMIT, "a certificate authority longer than %d bytes", SANDBOX_AUTHORITY_MAX - 1);
	if (spec->limits.memory_bytes < 0 || (spec->limits.memory_bytes && spec->limits.memory_bytes < MEMORY_BYTES_MIN) ||
	    spec->limits.cpu_percent < 0 || spec->limits.pids < 0)
		return err_set(err, ERR_INVALID, "a limit of sandbox %s is negative, or its memory below 4 MiB", spec->name);
	return provider.ops->sandbox_make(provider.self, spec, err) ? err_prefix(err, "cannot make sandbox %s", spec->name) : 0;
}

int provider_sandbox_remove(struct provider provider, struct env_id env, const char *name, struct err *err)
{
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	return provider.ops->sandbox_remove(provider.self, env, name, err) ? err_prefix(err, "cannot remove sandbox %s", name) : 0;
}

int provider_sandbox_door(struct provider provider, struct env_id env, const char *name, int *fd, struct err *err)
{
	*fd = -1;
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	return provider.ops->sandbox_door(provider.self, env, name, fd, err);
}

int provider_program_start(struct provider provider, struct env_id env, const char *name, const struct program_spec *spec,
			   uint32_t *process, struct err *err)
{
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	if (!spec->argv || !spec->argv[0] || !*spec->argv[0])
		return err_set(err, ERR_INVALID, "a program needs a name");
	if (spec->terminal && spec->fds[0] < 0)
		return err_set(err, ERR_INVALID, "a program with a terminal needs it as its first descriptor");
	return provider.ops->program_start(provider.self, env, name, spec, process, err);
}

int provider_program_wait(struct provider provider, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			  struct exit_status *status, struct err *err)
{
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	return provider.ops->program_wait(provider.self, env, name, process, timeout_ms, status, err);
}

int provider_program_signal(struct provider provider, struct env_id env, const char *name, uint32_t process, int signal_number,
			    struct err *err)
{
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	if (signal_number <= 0 || signal_number >= NSIG)
		return err_set(err, ERR_INVALID, "%d is not a signal", signal_number);
	return provider.ops->program_signal(provider.self, env, name, process, signal_number, err);
}

int provider_sandbox_dial(struct provider provider, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err)
{
	*fd = -1;
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	if (!port)
		return err_set(err, ERR_INVALID, "0 is not a port");
	return provider.ops->sandbox_dial(provider.self, env, name, port, fd, err);
}

int provider_sever(struct provider provider, const struct env_id *env, int process, bool whole, struct err *err)
{
	if (!provider.ops->sever)
		return err_set(err, ERR_NOT_FOUND, "the provider %s cannot reset connections", provider.ops->name);
	return provider.ops->sever(provider.self, env, process, whole, err);
}

int provider_sandbox_usage(struct provider provider, struct env_id env, const char *name, struct sandbox_usage *usage,
			   struct err *err)
{
	*usage = (struct sandbox_usage){0};
	if (env_check(env, err) || name_check("sandbox", name, err))
		return -1;
	return provider.ops->sandbox_usage(provider.self, env, name, usage, err);
}

enum activity provider_env_activity(struct provider provider, struct env_id env)
{
	if (!provider.ops->env_activity || env_check(env, NULL))
		return ACTIVITY_UNKNOWN;
	return provider.ops->env_activity(provider.self, env);
}

const char *door_mode_name(enum door_mode mode)
{
	return mode == DOOR_MODE_PROXY ? "explicit proxy behind NetworkPolicy" : "redirect";
}

void exit_status_format(struct buf *out, struct exit_status status)
{
	switch (status.reason) {
	case EXIT_CODE:
		buf_add_format(out, "exit %d", status.code);
		break;
	case EXIT_SIGNAL:
		buf_add_format(out, "signal %d (%s)", status.code, strsignal(status.code));
		break;
	case EXIT_OOM:
		buf_add_text(out, "out of memory");
		break;
	case EXIT_GONE:
		buf_add_text(out, "its sandbox was destroyed");
		break;
	}
}
