/* A program of the build: turns the files of web/ into one C file. usage: embed OUTPUT ROOT FILE…
 *
 * What index.html names it names below a folder that is called after all files' bytes: a browser keeps those for good and asks for none of
 * them again until one has changed. Modules name each other by relative paths, and so stay in that folder. */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define OUTPUT_BYTES_MAX ((size_t)64 << 20)
#define BYTES_A_LINE 32
#define TAG_DIGITS 24 /* of the digest, for If-None-Match */

static const struct {
	const char *ending;
	const char *type;
} types[] = {
	{".html", "text/html; charset=utf-8"},
	{".js", "text/javascript; charset=utf-8"},
	{".css", "text/css; charset=utf-8"},
	{".svg", "image/svg+xml"},
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void array_add(struct buf *out, int number, struct view bytes)
{
	buf_add_format(out, "static const unsigned char page_%d[] = {", number);
	for (size_t i = 0; i < bytes.length; i++)
		buf_add_format(out, "%s%u,", i % BYTES_A_LINE ? "" : "\n\t", (unsigned)(unsigned char)bytes.at[i]);
	buf_add_text(out, "\n};\n\n");
}

static const char *type_of(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (view_ends(view_of(path), view_of(types[i].ending)))
			return types[i].type;
	return NULL;
}

struct site {
	char *root; /* of the files */
	char **files;
	int count;
	char version[TAG_DIGITS + 1];
};

/* Of a file of the site, as a browser names it; borrowed from `path`, which is the caller's. NULL: it lies elsewhere. */
static const char *site_name(const struct site *site, int number, char **path)
{
	size_t length = strlen(site->root);

	*path = realpath(site->files[number], NULL);
	return *path && strncmp(*path, site->root, length) == 0 && (*path)[length] == '/' ? *path + length : NULL;
}

static bool site_has(const struct site *site, struct view name)
{
	for (int i = 0; i < site->count; i++) {
		AUTO_FREE char *path = NULL;
		const char *own = site_name(site, i, &path);

		if (own && view_equal(view_of(own), name))
			return true;
	}
	return false;
}

/* Of all names and bytes: one that changed, came, went or is called otherwise makes another version. */
static int site_version(struct site *site, struct err *err)
{
	AUTO_BUF all = buf_new(OUTPUT_BYTES_MAX);

	for (int i = 0; i < site->count; i++) {
		AUTO_FREE char *path = NULL;
		AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
		const char *name = site_name(site, i, &path);

		if (!name)
			return err_set(err, ERR_INVALID, "%s is not in %s", site->files[i], site->root);
		if (file_read(path, &bytes, err))
			return -1;
		buf_add_format(&all, "%s %zu\n", name, bytes.length);
		buf_add_view(&all, buf_view(&bytes));
	}
	if (buf_finish(&all, err))
		return -1;
	(void)snprintf(site->version, sizeof(site->version), "%.*s", TAG_DIGITS, digest_of(buf_view(&all)).text);
	return 0;
}

/* The page names every module, so that a browser asks for all of them at once, not for each when another one has named it. */
static void modules_add(struct buf *page, const struct site *site)
{
	for (int i = 0; i < site->count; i++) {
		AUTO_FREE char *path = NULL;
		const char *name = site_name(site, i, &path);

		if (name && view_ends(view_of(name), VIEW(".js")) && strcmp(name, "/theme.js") != 0)
			buf_add_format(page, "<link rel=\"modulepreload\" href=\"/static/%s%s\">\n", site->version, name);
	}
}

/* index.html with all modules in its head, and the files it names at their version. */
static int index_write(struct buf *page, const struct site *site, struct err *err)
{
	AUTO_FREE char *text = text_copy(page->length ? page->at : "");
	const char *end = strstr(text, "</head>");
	const char *rest = text;

	if (!end)
		return err_set(err, ERR_INVALID, "index.html has no </head>");
	buf_cut(page, 0);
	for (const char *at; (at = strstr(rest, "=\"/"));) {
		const char *name = at + strlen("=\"");
		size_t length = strcspn(name, "\"");

		buf_add_view(page, view_make(rest, (size_t)(name - rest)));
		if (site_has(site, view_make(name, length)))
			buf_add_format(page, "/static/%s", site->version);
		buf_add_view(page, view_make(name, length));
		rest = name + length;
	}
	if (rest > end)
		return err_set(err, ERR_INVALID, "index.html names a file behind its head");
	buf_add_view(page, view_make(rest, (size_t)(end - rest)));
	modules_add(page, site);
	buf_add_text(page, end);
	return buf_finish(page, err);
}

static int page_add(struct buf *arrays, struct buf *rows, int number, const struct site *site, struct err *err)
{
	AUTO_FREE char *path = NULL;
	AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
	const char *name = site_name(site, number, &path);

	if (!name || !type_of(name))
		return err_set(err, ERR_INVALID, "%s: what type is it? (src/web/embed.c has a row for each ending)",
			       site->files[number]);
	if (file_read(path, &bytes, err) || (strcmp(name, "/index.html") == 0 && index_write(&bytes, site, err)))
		return -1;
	array_add(arrays, number, buf_view(&bytes));
	buf_add_format(rows, "\t{\"%s\", \"%s\", \"\\\"%.*s\\\"\", page_%d, %zu},\n", name, type_of(name), TAG_DIGITS,
		       digest_of(buf_view(&bytes)).text, number, bytes.length);
	return 0;
}

static int embed(const char *output, const char *web, char **files, int count, struct err *err)
{
	AUTO_FREE char *root = realpath(web, NULL);
	AUTO_BUF text = buf_new(OUTPUT_BYTES_MAX);
	AUTO_BUF rows = buf_new(OUTPUT_BYTES_MAX);
	struct site site = {.root = root, .files = files, .count = count};

	if (!root)
		return err_set(err, ERR_NOT_FOUND, "no folder %s", web);
	buf_add_text(&text, "#include \"web/web_priv.h\"\n\n");
	qsort(files, (size_t)count, sizeof(*files), by_name);
	if (site_version(&site, err))
		return -1;
	for (int i = 0; i < count; i++)
		if (page_add(&text, &rows, i, &site, err))
			return -1;
	if (buf_finish(&rows, err))
		return -1;
	buf_add_format(&text, "const char page_version[] = \"%s\";\n\n", site.version);
	buf_add_format(&text, "const struct page pages[] = {\n%s};\nconst size_t page_count = %d;\n", rows.at, count);
	return buf_finish(&text, err) ? -1 : file_replace(output, buf_view(&text), 0644, err);
}

int main(int argc, char **argv)
{
	struct err err = {0};

	if (argc < 4) {
		(void)fprintf(stderr, "usage: embed OUTPUT ROOT FILE...\n");
		return 2;
	}
	if (embed(argv[1], argv[2], argv + 3, argc - 3, &err) == 0)
		return 0;
	(void)fprintf(stderr, "embed: %s\n", err.text);
	return 1;
}
