/* Files of runs in the verifier's cache, named by the digest of all that they depend on. */
#include "verify/kept.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define KEPT_AGE_MS 900000 /* what depends on the date must not differ */
#define KEPT_BYTES_MAX ((size_t)128 << 20)
#define RUN_VERSION "10" /* of the shape of a kept run */

char *kept_path(const struct ladder *ladder, const char *what, struct view parts)
{
	AUTO_BUF snapshot = buf_new(4096);

	if (!ladder->request->cache_dir)
		return NULL;
	json_format_sorted(&snapshot, ladder->snapshot);
	const struct view of[] = {
		view_of(RUN_VERSION), view_of(what), view_of(ladder->request->base.text), view_of(ladder->blueprint_text), parts,
		buf_view(&snapshot)};

	return text_format("%s/%s.json", ladder->request->cache_dir, digest_of_parts(of, ARRAY_LEN(of)).text);
}

bool kept_read(const struct ladder *ladder, const char *path, json_t **base, json_t **again)
{
	AUTO_BUF text = buf_new(KEPT_BYTES_MAX);
	AUTO_JSON kept = NULL;
	int64_t age_ms;

	if (!path || file_read(path, &text, NULL))
		return false;
	kept = json_parse(buf_view(&text), NULL);
	age_ms = world_now_ms(ladder->request->world) - json_number(kept, "made_ms", 0);
	if (age_ms < 0 || age_ms > KEPT_AGE_MS || !json_member(kept, "base") || !json_member(kept, "again"))
		return false;
	*base = json_incref(json_member(kept, "base"));
	*again = json_incref(json_member(kept, "again"));
	return true;
}

/* What is too old to be used is only in the way. */
static void kept_clean(const char *dir_path)
{
	DIR *dir = opendir(dir_path);

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", dir_path, entry->d_name);
		struct stat facts;

		if (view_ends(view_of(entry->d_name), VIEW(".json")) && lstat(path, &facts) == 0 &&
		    (world_now_ms(world_real) - (int64_t)facts.st_mtim.tv_sec * 1000) > KEPT_AGE_MS)
			(void)unlink(path);
	}
	if (dir)
		(void)closedir(dir);
}

void kept_write(const struct ladder *ladder, const char *path, json_t *base, json_t *again)
{
	const char *dir = ladder->request->cache_dir;
	AUTO_BUF text = buf_new(KEPT_BYTES_MAX);
	AUTO_JSON kept = NULL;
	struct err err;

	if (!dir || !path)
		return;
	kept = json_pack("{s:I, s:O, s:O}", "made_ms", (json_int_t)world_now_ms(ladder->request->world), "base", base, "again",
			 again);
	json_format(&text, kept);
	if (text.over)
		return;
	if (file_make_dirs(dir, 0700, &err) || file_replace(path, buf_view(&text), 0600, &err))
		log_warn("a run of the base is not kept: %s", err.text);
	kept_clean(dir);
}
