/*
 * Layers: immutable trees in the pool, each with a spec of lines:
 *	ids N          first id of its files' range
 *	created MS
 *	below NAME     topmost first
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/local/keeper_priv.h"

#define SPEC_BYTES_MAX ((size_t)64 << 10)

int layer_name_check(const char *name, struct err *err)
{
	size_t length = strlen(name);
	bool good = length > 0 && length < KEEPER_LAYER_NAME_BYTES - 1 && name[0] != '/' && name[0] != '.' &&
		    name[length - 1] != '/';

	for (const char *at = name; good && *at; at++)
		good = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '-' ||
		       *at == '_' || *at == '.' || *at == ':' || (*at == '/' && at[1] != '/' && at[1] != '.');
	if (!good)
		return err_set(err, ERR_INVALID,
			       "`%.60s` is not the name of a layer: letters, digits and -_.: in parts separated by /", name);
	return 0;
}

static void name_to_file(const char *name, char file[KEEPER_LAYER_NAME_BYTES])
{
	(void)snprintf(file, KEEPER_LAYER_NAME_BYTES, "%s", name);
	for (char *at = file; *at; at++)
		if (*at == '/')
			*at = '+';
}

static void file_to_name(const char *file, char name[KEEPER_LAYER_NAME_BYTES])
{
	(void)snprintf(name, KEEPER_LAYER_NAME_BYTES, "%.254s", file);
	for (char *at = name; *at; at++)
		if (*at == '+')
			*at = '/';
}

void layer_path(const struct keeper *keeper, const char *name, const char *below, char path[PATH_BYTES])
{
	char file[KEEPER_LAYER_NAME_BYTES];

	name_to_file(name, file);
	(void)!path_make(path, NULL, "%s/layers/%s%s%s", keeper->pool.dir, file, *below ? "/" : "", below);
}

int spec_parse(const char *path, struct layer_spec *spec, unsigned *flags, struct err *err)
{
	AUTO_BUF text = buf_new(SPEC_BYTES_MAX);
	struct view rest, value;

	*spec = (struct layer_spec){0};
	if (file_read(path, &text, err))
		return -1;
	if (!text.length)
		return err_set(err, ERR_BROKEN, "%s is empty: the machine ended before it was on the disk", path);
	for (rest = buf_view(&text); rest.length;) {
		struct view line = view_cut(rest, '\n', &rest);
		struct view key = view_cut(line, ' ', &value);
		uint64_t number = 0;

		(void)!view_to_u64(value, &number);
		if (view_is(key, "ids"))
			spec->ids = (uid_t)number;
		else if (view_is(key, "created"))
			spec->created_ms = (int64_t)number;
		else if (view_is(key, "flags")) {
			if (flags)
				*flags = (unsigned)number;
		} else if (view_is(key, "below") && spec->below_count < LAYERS_BELOW_MAX && value.length < KEEPER_LAYER_NAME_BYTES)
			(void)snprintf(spec->below[spec->below_count++], KEEPER_LAYER_NAME_BYTES, "%.*s", (int)value.length,
				       value.at);
		else
			return err_set(err, ERR_BROKEN, "%s has a line that is not ours", path);
	}
	return 0;
}

/* Without waiting for the disk: whole or absent after a crash of ours; after one of the machine it may be empty. */
static int file_replace_soon(const char *path, struct view bytes, struct err *err)
{
	char fresh[PATH_BYTES];

	if (path_make(fresh, err, "%s.new", path))
		return -1;
	{
		AUTO_CLOSE int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd < 0 || file_write_fd(fd, bytes, err))
			return err_errno(err, errno, "cannot write %s", fresh);
	}
	return rename(fresh, path) ? err_errno(err, errno, "cannot make %s", path) : 0;
}

int spec_write(const char *path, const struct layer_spec *spec, unsigned flags, bool durable, struct err *err)
{
	AUTO_BUF text = buf_new(SPEC_BYTES_MAX);

	buf_add_format(&text, "ids %u\ncreated %lld\nflags %u\n", spec->ids, (long long)spec->created_ms, flags);
	for (size_t i = 0; i < spec->below_count; i++)
		buf_add_format(&text, "below %s\n", spec->below[i]);
	if (buf_finish(&text, err))
		return -1;
	return durable ? file_replace(path, buf_view(&text), 0600, err) : file_replace_soon(path, buf_view(&text), err);
}

int layer_spec_read(const struct keeper *keeper, const char *name, struct layer_spec *spec, struct err *err)
{
	char path[PATH_BYTES];

	if (layer_name_check(name, err))
		return -1;
	layer_path(keeper, name, "spec", path);
	if (!file_exists(path))
		return err_set(err, ERR_NOT_FOUND, "there is no layer %s", name);
	return spec_parse(path, spec, NULL, err);
}

static bool spec_names(const struct layer_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->below_count; i++)
		if (strcmp(spec->below[i], name) == 0)
			return true;
	return false;
}

/* Who uses the layer, for people; false when nobody does. */
static bool layer_user(const struct keeper *keeper, const char *name, char user[128])
{
	AUTO_FREE struct layer_spec *spec = mem_new(sizeof(*spec));
	char dir_path[PATH_BYTES];
	struct dirent *entry;
	bool used = false;
	DIR *dir;

	for (struct kept_env *env = keeper->environments; env; env = env->next) {
		for (struct volume *volume = env->volumes; volume; volume = volume->next)
			if (spec_names(&volume->spec, name)) {
				(void)snprintf(user, 128, "volume %s of environment %s", volume->name, env->id.text);
				return true;
			}
		for (struct room *room = env->rooms; room; room = room->next)
			if (strcmp(room->image_layer, name) == 0) {
				(void)snprintf(user, 128, "sandbox %s of environment %s", room->name, env->id.text);
				return true;
			}
	}
	(void)!path_make(dir_path, NULL, "%s/layers", keeper->pool.dir);
	dir = opendir(dir_path);
	while (dir && !used && (entry = readdir(dir))) {
		char path[PATH_BYTES], other[KEEPER_LAYER_NAME_BYTES];

		if (entry->d_name[0] == '.' || path_make(path, NULL, "%s/%s/spec", dir_path, entry->d_name))
			continue;
		file_to_name(entry->d_name, other);
		if (spec_parse(path, spec, NULL, NULL) == 0 && spec_names(spec, name)) {
			(void)snprintf(user, 128, "layer %.110s", other);
			used = true;
		}
	}
	if (dir)
		(void)closedir(dir);
	return used;
}

int layer_remove(struct keeper *keeper, const char *name, struct err *err)
{
	struct layer_spec *spec = mem_new(sizeof(*spec));
	int missing = layer_spec_read(keeper, name, spec, err);
	char path[PATH_BYTES], user[128];

	free(spec);
	if (missing)
		return -1;
	if (layer_user(keeper, name, user))
		return err_set(err, ERR_CONFLICT, "%s is used by %s", name, user);
	layer_path(keeper, name, "", path);
	if (storage_discard(&keeper->pool, path, err))
		return -1;
	storage_reap(&keeper->pool);
	return 0;
}

static int row_write(int fd, const struct keeper *keeper, const char *name, struct err *err)
{
	struct keeper_layer_row row = {.bytes = -1};
	AUTO_FREE struct layer_spec *spec = mem_new(sizeof(*spec));
	AUTO_BUF meta = buf_new(KEEPER_META_BYTES_MAX);
	char path[PATH_BYTES], number[32];

	if (layer_spec_read(keeper, name, spec, err))
		return 0; /* half made before a crash: not a layer */
	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	row.created_ms = spec->created_ms;
	layer_path(keeper, name, "bytes", path);
	if (text_get(path, number, sizeof(number)))
		row.bytes = strtoll(number, NULL, 10);
	layer_path(keeper, name, "meta", path);
	if (file_read(path, &meta, NULL))
		buf_clear(&meta);
	row.meta_bytes = meta.length;
	return file_write_fd(fd, view_make(&row, sizeof(row)), err) || file_write_fd(fd, buf_view(&meta), err) ? -1 : 0;
}

int layers_list(const struct keeper *keeper, const char *prefix, int *fd, struct err *err)
{
	AUTO_CLOSE int list = memfd_create("layers", MFD_CLOEXEC);
	char path[PATH_BYTES];
	struct dirent *entry;
	int result = 0;
	DIR *dir;

	(void)!path_make(path, NULL, "%s/layers", keeper->pool.dir);
	dir = opendir(path);
	if (list < 0 || !dir)
		return err_errno(err, errno, "cannot list the layers");
	while (!result && (entry = readdir(dir))) {
		char name[KEEPER_LAYER_NAME_BYTES];

		file_to_name(entry->d_name, name);
		if (entry->d_name[0] != '.' && strncmp(name, prefix, strlen(prefix)) == 0)
			result = row_write(list, keeper, name, err);
	}
	(void)closedir(dir);
	if (!result)
		*fd = TAKE_FD(list);
	return result;
}
