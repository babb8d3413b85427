/* ustar headers (POSIX.1-2017, pax), with GNU's long names, around blobs that git wrote out in one go. */
#include "verify/tree_tar.h"

#include <stdio.h>

#include "base/scope.h"

#define BLOCK ((size_t)512)
#define NAME_FIELD ((size_t)100)
#define ENTRIES_BYTES_MAX ((size_t)1 << 20)

struct header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char rest[247];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

static void header_add(struct buf *out, struct view name, struct view link, char type, unsigned mode, size_t size)
{
	struct header header = {
		.type = type, .magic = "ustar", .version = {'0', '0'}, .uid = "0000000", .gid = "0000000", .mtime = "00000000000"};
	const unsigned char *bytes = (const unsigned char *)&header;
	unsigned sum = 0;

	memcpy(header.name, name.at, name.length < NAME_FIELD ? name.length : NAME_FIELD);
	memcpy(header.link, link.at, link.length < NAME_FIELD ? link.length : NAME_FIELD);
	(void)snprintf(header.mode, sizeof(header.mode), "%07o", mode & 07777);
	(void)snprintf(header.size, sizeof(header.size), "%011llo", (unsigned long long)size & 077777777777ull);
	memset(header.checksum, ' ', sizeof(header.checksum));
	for (size_t i = 0; i < sizeof(header); i++)
		sum += bytes[i];
	(void)snprintf(header.checksum, sizeof(header.checksum), "%06o", sum & 0777777);
	buf_add(out, &header, sizeof(header));
}

static void padded_add(struct buf *out, struct view bytes)
{
	static const char zeros[BLOCK];

	buf_add_view(out, bytes);
	if (bytes.length % BLOCK)
		buf_add(out, zeros, BLOCK - bytes.length % BLOCK);
}

static void entry_add(struct buf *out, struct view mode, struct view path, struct view bytes)
{
	bool link = view_is(mode, "120000");

	if (link && bytes.length > NAME_FIELD)
		return;
	if (path.length > NAME_FIELD) {
		header_add(out, VIEW("././@LongLink"), VIEW(""), 'L', 0, path.length + 1);
		AUTO_FREE char *text = view_copy(path);
		padded_add(out, view_make(text, path.length + 1));
	}
	header_add(out, path, link ? bytes : VIEW(""), link ? '2' : '0', view_is(mode, "100755") ? 0755 : 0644,
		   link ? 0 : bytes.length);
	if (!link)
		padded_add(out, bytes);
}

/* Takes "<hash> blob <size>\n<bytes>\n" off the front. */
static bool blob_take(struct view *batch, struct view *bytes)
{
	struct view rest;
	struct view size;
	uint64_t length;
	struct view line = view_cut(*batch, '\n', &rest);

	(void)view_cut(line, ' ', &size);
	(void)view_cut(size, ' ', &size);
	if (!rest.at || !view_to_u64(size, &length) || length >= rest.length)
		return false;
	*bytes = view_make(rest.at, (size_t)length);
	*batch = view_make(rest.at + length + 1, rest.length - (size_t)length - 1);
	return true;
}

/* "100644 blob <hash>\t<path>" */
static bool entry_parse(struct view entry, struct view *mode, struct view *hash, struct view *path)
{
	struct view rest;
	struct view kind;

	*mode = view_cut(entry, ' ', &rest);
	kind = view_cut(rest, ' ', &rest);
	*hash = view_cut(rest, '\t', path);
	return view_is(kind, "blob") && path->at;
}

static int entries_list(const char *repository, const struct git_hash *commit, const json_t *paths, size_t from,
			struct buf *entries, struct err *err)
{
	const char *args[TREE_TAR_PATHS_MAX + 6] = {"ls-tree", "-z", "--full-tree", commit->text, "--"};
	size_t count = 5;

	for (size_t i = from; i < json_array_size(paths) && i < from + TREE_TAR_PATHS_MAX; i++)
		args[count++] = json_string_value(json_array_get(paths, i));
	return git_run(repository, args, &(struct process_spec){.output = entries}, NULL, err);
}

int tree_tar(const char *repository, const struct git_hash *commit, const json_t *paths, size_t from, struct buf *out,
	     struct err *err)
{
	static const char end[2 * BLOCK];
	AUTO_BUF entries = buf_new(ENTRIES_BYTES_MAX);
	AUTO_BUF wanted = buf_new(ENTRIES_BYTES_MAX);
	AUTO_BUF blobs = buf_new(TREE_TAR_BYTES_MAX);
	struct view mode;
	struct view hash;
	struct view path;
	struct view batch;
	struct view bytes;

	if (entries_list(repository, commit, paths, from, &entries, err))
		return -1;
	for (struct view rest = buf_view(&entries); rest.length;) {
		if (!entry_parse(view_cut(rest, '\0', &rest), &mode, &hash, &path))
			continue;
		buf_add_view(&wanted, hash);
		buf_add_char(&wanted, '\n');
	}
	if (wanted.length && git_run(repository, (const char *const[]){"cat-file", "--batch", NULL},
				     &(struct process_spec){.input = buf_view(&wanted), .output = &blobs}, NULL, err))
		return -1;
	batch = buf_view(&blobs);
	for (struct view rest = buf_view(&entries); rest.length;) {
		if (!entry_parse(view_cut(rest, '\0', &rest), &mode, &hash, &path))
			continue;
		if (!blob_take(&batch, &bytes))
			return err_set(err, ERR_BROKEN, "git gave no content for %.*s", (int)path.length, path.at);
		entry_add(out, mode, path, bytes);
	}
	buf_add(out, end, sizeof(end));
	return buf_finish(out, err);
}
