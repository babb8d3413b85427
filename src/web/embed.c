/* A program of the build: turns the files of web/ into one C file. usage: embed OUTPUT ROOT FILE… */
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

/* The page names every module, so that a browser asks for all of them at once, not for each when another one has named it. */
static int modules_add(struct buf *page, char **files, int count, size_t root_length, struct err *err)
{
	AUTO_BUF links = buf_new(FILE_BYTES_MAX);
	const char *end = page->length ? strstr(page->at, "</head>") : NULL;
	AUTO_FREE char *rest = NULL;

	if (!end)
		return err_set(err, ERR_INVALID, "index.html has no </head>");
	rest = text_copy(end);
	for (int i = 0; i < count; i++) {
		AUTO_FREE char *path = realpath(files[i], NULL);

		if (path && view_ends(view_of(path), VIEW(".js")) && strcmp(path + root_length, "/theme.js") != 0)
			buf_add_format(&links, "<link rel=\"modulepreload\" href=\"%s\">\n", path + root_length);
	}
	buf_cut(page, (size_t)(end - page->at));
	buf_add_view(page, buf_view(&links));
	buf_add_text(page, rest);
	return buf_finish(page, err);
}

static int page_add(struct buf *arrays, struct buf *rows, int number, const char *root, char **files, int count, struct err *err)
{
	const char *file = files[number];
	AUTO_FREE char *path = realpath(file, NULL);
	AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
	size_t root_length = strlen(root);

	if (!path || strncmp(path, root, root_length) != 0 || path[root_length] != '/')
		return err_set(err, ERR_INVALID, "%s is not in %s", file, root);
	if (!type_of(path))
		return err_set(err, ERR_INVALID, "%s: what type is it? (src/web/embed.c has a row for each ending)", file);
	if (file_read(path, &bytes, err) ||
	    (strcmp(path + root_length, "/index.html") == 0 && modules_add(&bytes, files, count, root_length, err)))
		return -1;
	array_add(arrays, number, buf_view(&bytes));
	buf_add_format(rows, "\t{\"%s\", \"%s\", \"\\\"%.*s\\\"\", page_%d, %zu},\n", path + root_length, type_of(path), TAG_DIGITS,
		       digest_of(buf_view(&bytes)).text, number, bytes.length);
	return 0;
}

static int embed(const char *output, const char *web, char **files, int count, struct err *err)
{
	AUTO_FREE char *root = realpath(web, NULL);
	AUTO_BUF text = buf_new(OUTPUT_BYTES_MAX);
	AUTO_BUF rows = buf_new(OUTPUT_BYTES_MAX);

	if (!root)
		return err_set(err, ERR_NOT_FOUND, "no folder %s", web);
	buf_add_text(&text, "#include \"web/web_priv.h\"\n\n");
	qsort(files, (size_t)count, sizeof(*files), by_name);
	for (int i = 0; i < count; i++)
		if (page_add(&text, &rows, i, root, files, count, err))
			return -1;
	if (buf_finish(&rows, err))
		return -1;
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
