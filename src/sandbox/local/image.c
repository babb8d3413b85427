/*
 * OCI images: fetched by skopeo, unpacked by umoci, kept in the pool as a layer named by the digest of the manifest.
 *
 * A reference is what skopeo takes ("oci:/dir:tag", "oci-archive:/file", "docker-archive:/file", "docker://…"), or a plain name, which
 * means a registry. A plain name is looked up once and remembered in <state>/images; a digest in it is always the same image.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "sandbox/local/local_priv.h"

#define MANIFEST_BYTES_MAX ((size_t)4 << 20)
#define FETCH_TIMEOUT_MS 1800000
#define LOOK_TIMEOUT_MS 120000

static const char *const program_env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8", NULL};

static const char *const transports[] = {"oci:", "oci-archive:", "docker-archive:", "docker://"};

static bool has_transport(const char *image)
{
	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (strncmp(image, transports[i], strlen(transports[i])) == 0)
			return true;
	return false;
}

/* No blank, no option, nothing that a shell or a terminal would mind; skopeo judges the rest. */
static int reference_check(const char *image, struct err *err)
{
	bool good = *image != '-' && strlen(image) < KEEPER_IMAGE_BYTES - 32;

	for (const char *at = image; good && *at; at++)
		good = *at > ' ' && *at < 0x7f && !strchr("\"'`$\\;|&<>*?", *at);
	if (!good)
		return err_set(err, ERR_INVALID, "`%.80s` is not an image: expected dir:/path, layer:NAME or an OCI reference",
			       image);
	return 0;
}

static int run(const char *const *argv, int64_t timeout_ms, struct buf *output, struct err *err)
{
	return process_run(&(struct process_spec){.argv = argv, .env = program_env, .timeout_ms = timeout_ms, .output = output},
			   NULL, err);
}

/* Where a plain name's digest is remembered. */
static char *memory_path(const struct local *local, const char *reference)
{
	return text_format("%s/images/%s", local->state_dir, digest_of(view_of(reference)).text);
}

static int digest_find(const struct local *local, const char *image, const char *reference, struct digest *digest, struct err *err)
{
	const char *argv[] = {"skopeo", "inspect", "--raw", reference, NULL};
	AUTO_FREE char *memory = memory_path(local, reference);
	AUTO_BUF known = buf_new(sizeof(digest->text) - 1);
	AUTO_BUF manifest = buf_new(MANIFEST_BYTES_MAX);

	if (!has_transport(image) && file_read(memory, &known, NULL) == 0 && known.length == sizeof(digest->text) - 1) {
		memcpy(digest->text, known.at, known.length);
		digest->text[known.length] = '\0';
		return 0;
	}
	if (run(argv, LOOK_TIMEOUT_MS, &manifest, err))
		return err_prefix(err, "cannot look up the image %s (package skopeo)", image);
	*digest = digest_of(buf_view(&manifest));
	return 0;
}

/* NULL when there is no such layer. Owned by the caller. */
static json_t *layer_meta(struct local *local, const char *layer)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_BUF bytes = buf_new(LIST_BYTES_MAX);
	AUTO_CLOSE int fd = -1;
	struct keeper_layer_row row;
	json_t *meta;

	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	if (keeper_ask(local, request, KEEPER_LAYER_LIST, -1, NULL, &fd, NULL) || list_read(fd, &bytes, NULL))
		return NULL;
	if (bytes.length < sizeof(row))
		return NULL;
	memcpy(&row, bytes.at, sizeof(row));
	if (strcmp(row.name, layer) != 0 || row.meta_bytes > bytes.length - sizeof(row))
		return NULL;
	meta = json_parse(view_make(bytes.at + sizeof(row), row.meta_bytes), NULL);
	return meta ? meta : json_object();
}

/* Adds the texts of a list that are good to `to`; with `assigned` those without a name are left out. */
static void texts_pick(json_t *to, json_t *list, bool assigned)
{
	size_t index;
	json_t *text;

	json_array_foreach(list, index, text) {
		const char *at = json_string_value(text);

		if (at && (!assigned || (strchr(at, '=') && *at != '=')))
			(void)json_array_append(to, text);
	}
}

/* What of an image's configuration (OCI image specification, "config") is kept, in the words of provider.h. */
static json_t *config_pick(const json_t *said)
{
	json_t *config = json_member(said, "config"), *kept = json_object();
	json_t *env = json_array(), *command = json_array();
	const char *dir = json_text(config, "WorkingDir", ""), *user = json_text(config, "User", "");

	texts_pick(env, json_member(config, "Env"), true);
	texts_pick(command, json_member(config, "Entrypoint"), false);
	texts_pick(command, json_member(config, "Cmd"), false);
	(void)json_object_set_new(kept, "env", env);
	(void)json_object_set_new(kept, "command", command);
	if (*dir == '/')
		(void)json_object_set_new(kept, "dir", json_string(dir));
	if (*user)
		(void)json_object_set_new(kept, "user", json_string(user));
	return kept;
}

static int tree_import(struct local *local, const char *tree, const char *layer, const char *image, const json_t *config,
		       struct err *err)
{
	struct env_id none = {{0}};
	AUTO_FREE struct keeper_request *request = request_new(none, NULL);
	AUTO_JSON meta = json_pack("{s:s, s:O}", "image", image, "config", config);
	AUTO_CLOSE int fd = memfd_create("meta", MFD_CLOEXEC);
	AUTO_BUF text = buf_new(KEEPER_META_BYTES_MAX);

	json_format(&text, meta);
	if (buf_finish(&text, err))
		return err_prefix(err, "the configuration of the image %s", image);
	if (fd < 0 || file_write_fd(fd, buf_view(&text), err))
		return err_errno(err, errno, "cannot make a memfd");
	request->layer_count = 1;
	(void)snprintf(request->layers[0], sizeof(request->layers[0]), "%s", layer);
	(void)snprintf(request->image, sizeof(request->image), "%s", tree);
	return keeper_ask(local, request, KEEPER_LAYER_IMPORT, fd, NULL, NULL, err);
}

static json_t *config_read(const char *target, const char *image, struct err *err)
{
	const char *inspect[] = {"skopeo", "inspect", "--config", target, NULL};
	AUTO_BUF text = buf_new(MANIFEST_BYTES_MAX);
	AUTO_JSON said = NULL;

	if (run(inspect, LOOK_TIMEOUT_MS, &text, err) == 0)
		said = json_parse(buf_view(&text), err);
	if (said)
		return config_pick(said);
	(void)err_prefix(err, "cannot read the configuration of the image %s", image);
	return NULL;
}

/* In `work`, which the caller removes. */
static int fetch(struct local *local, const char *work, const char *reference, const char *layer, const char *image,
		 struct err *err)
{
	AUTO_FREE char *layout = text_format("%s/layout", work);
	AUTO_FREE char *target = text_format("oci:%s:image", layout);
	AUTO_FREE char *source = text_format("%s:image", layout);
	AUTO_FREE char *bundle = text_format("%s/bundle", work);
	AUTO_FREE char *tree = text_format("%s/rootfs", bundle);
	AUTO_JSON config = NULL;
	const char *copy[] = {"skopeo", "copy", "--quiet", "--insecure-policy", reference, target, NULL};
	/* An ordinary user owns all that is unpacked; the keeper gives it to the sandbox's root. */
	const char *as_root[] = {"umoci", "unpack", "--image", source, bundle, NULL};
	const char *as_user[] = {"umoci", "unpack", "--rootless", "--image", source, bundle, NULL};
	const char *const *unpack = geteuid() == 0 ? as_root : as_user;

	if (run(copy, FETCH_TIMEOUT_MS, NULL, err))
		return err_prefix(err, "cannot fetch the image %s (package skopeo)", image);
	config = config_read(target, image, err);
	if (!config)
		return -1;
	if (run(unpack, FETCH_TIMEOUT_MS, NULL, err))
		return err_prefix(err, "cannot unpack the image %s (package umoci)", image);
	return tree_import(local, tree, layer, image, config, err);
}

static int image_make(struct local *local, const char *image, const char *reference, const char *layer, struct err *err)
{
	AUTO_FREE char *images = text_format("%s/images", local->state_dir);
	AUTO_FREE char *work = text_format("%s/new-XXXXXX", images);
	struct err ignored;
	int result;

	if (file_make_dirs(images, 0700, err))
		return -1;
	if (!mkdtemp(work))
		return err_errno(err, errno, "cannot make a folder in %s", images);
	result = fetch(local, work, reference, layer, image, err);
	(void)!file_remove_tree(work, &ignored);
	return result;
}

int image_take(struct local *local, const char *image, char taken[KEEPER_IMAGE_BYTES], struct err *err)
{
	AUTO_FREE char *reference = NULL;
	AUTO_FREE char *memory = NULL;
	AUTO_FREE char *layer = NULL;
	AUTO_JSON meta = NULL;
	struct digest digest;
	int result = 0;

	if (!image || strncmp(image, "layer:", 6) == 0 || strncmp(image, "dir:", 4) == 0) {
		if (snprintf(taken, KEEPER_IMAGE_BYTES, "%s", image ? image : "") >= KEEPER_IMAGE_BYTES)
			return err_set(err, ERR_LIMIT, "the image's name is longer than %d bytes", KEEPER_IMAGE_BYTES - 1);
		return 0;
	}
	if (reference_check(image, err))
		return -1;
	reference = text_format("%s%s", has_transport(image) ? "" : "docker://", image);
	/* One at a time: two sandboxes of one new image must not fetch it twice. */
	(void)pthread_mutex_lock(&local->image_mutex);
	result = digest_find(local, image, reference, &digest, err);
	if (!result) {
		layer = text_format("image/%s", digest.text);
		meta = layer_meta(local, layer);
		if (!meta)
			result = image_make(local, image, reference, layer, err);
	}
	(void)pthread_mutex_unlock(&local->image_mutex);
	if (result)
		return -1;
	(void)snprintf(taken, KEEPER_IMAGE_BYTES, "layer:%s", layer);
	memory = memory_path(local, reference);
	if (!has_transport(image) && !file_exists(memory))
		return file_replace(memory, view_of(digest.text), 0600, err);
	return 0;
}

json_t *local_image_describe(void *self, const char *image, struct err *err)
{
	char taken[KEEPER_IMAGE_BYTES];
	AUTO_JSON meta = NULL;
	json_t *said = NULL;

	if (image_take(self, image, taken, err))
		return NULL;
	if (strncmp(taken, "layer:image/", 12) != 0)
		return json_object();
	meta = layer_meta(self, taken + 6);
	if (meta)
		said = json_deep_copy(json_member(meta, "config"));
	if (!said)
		said = json_object();
	(void)json_object_set_new(said, "image", json_string(taken));
	return said;
}
