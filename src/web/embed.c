/* A program of the build: turns the files of web/ into one C file. usage: embed OUTPUT ROOT FILE…
 *
 * main.js and all modules it imports become one script, so that a page is whole after one request and never mixes two versions. What
 * index.html names it names below a folder that is called after all files' bytes: a browser keeps those for good and asks for none of them
 * again until one has changed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "web/bundle.h"

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define OUTPUT_BYTES_MAX ((size_t)64 << 20)
#define BYTES_A_LINE 32
#define MAIN "/main.js"
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

struct file {
	char *name; /* as a browser names it */
	char *bytes;
	size_t length;
};

struct site {
	char *root; /* of the files */
	struct file *files;
	size_t count;
	char version[TAG_DIGITS + 1];
};

static void site_fini(struct site *site)
{
	for (size_t i = 0; i < site->count; i++) {
		free(site->files[i].name);
		free(site->files[i].bytes);
	}
	free(site->files);
	free(site->root);
}

static void file_set(struct file *file, struct buf *bytes)
{
	free(file->bytes);
	file->length = bytes->length;
	file->bytes = buf_take(bytes);
}

static int file_add(struct site *site, const char *given, struct err *err)
{
	AUTO_FREE char *path = realpath(given, NULL);
	AUTO_BUF bytes = buf_new(FILE_BYTES_MAX);
	size_t length = strlen(site->root);

	if (!path || strncmp(path, site->root, length) != 0 || path[length] != '/')
		return err_set(err, ERR_INVALID, "%s is not in %s", given, site->root);
	if (!type_of(path))
		return err_set(err, ERR_INVALID, "%s: what type is it? (src/web/embed.c has a row for each ending)", given);
	if (file_read(path, &bytes, err))
		return -1;
	site->files[site->count].name = text_copy(path + length);
	file_set(&site->files[site->count++], &bytes);
	return 0;
}

static struct file *file_find(const struct site *site, struct view name)
{
	for (size_t i = 0; i < site->count; i++)
		if (view_equal(view_of(site->files[i].name), name))
			return &site->files[i];
	return NULL;
}

/* Files that became a part of main.js are no files of their own any more. */
static int site_bundle(struct site *site, struct err *err)
{
	AUTO_FREE struct bundle_module *modules = calloc(site->count, sizeof(*modules));
	AUTO_BUF script = buf_new(FILE_BYTES_MAX);
	size_t kept = 0;

	for (size_t i = 0; modules && i < site->count; i++) {
		modules[i].name = site->files[i].name;
		modules[i].text = view_make(site->files[i].bytes, site->files[i].length);
	}
	if (!modules)
		return err_set(err, ERR_LIMIT, "no memory");
	if (bundle_make(modules, site->count, MAIN, &script, err) || buf_finish(&script, err))
		return -1;
	file_set(file_find(site, VIEW(MAIN)), &script);
	for (size_t i = 0; i < site->count; i++)
		if (modules[i].place == 0 || strcmp(modules[i].name, MAIN) == 0) {
			site->files[kept++] = site->files[i];
		} else {
			free(site->files[i].name);
			free(site->files[i].bytes);
		}
	site->count = kept;
	return 0;
}

/* Of all names and bytes: one that changed, came, went or is called otherwise makes another version. */
static int site_version(struct site *site, struct err *err)
{
	AUTO_BUF all = buf_new(OUTPUT_BYTES_MAX);

	for (size_t i = 0; i < site->count; i++) {
		buf_add_format(&all, "%s %zu\n", site->files[i].name, site->files[i].length);
		buf_add(&all, site->files[i].bytes, site->files[i].length);
	}
	if (buf_finish(&all, err))
		return -1;
	(void)snprintf(site->version, sizeof(site->version), "%.*s", TAG_DIGITS, digest_of(buf_view(&all)).text);
	return 0;
}

/* index.html with the files it names at their version. */
static int index_write(struct site *site, struct err *err)
{
	struct file *file = file_find(site, VIEW("/index.html"));
	AUTO_BUF page = buf_new(FILE_BYTES_MAX);

	if (!file)
		return err_set(err, ERR_INVALID, "there is no index.html");
	const char *rest = file->bytes;

	for (const char *at; (at = strstr(rest, "=\"/"));) {
		const char *name = at + strlen("=\"");
		size_t length = strcspn(name, "\"");

		buf_add_view(&page, view_make(rest, (size_t)(name - rest)));
		if (file_find(site, view_make(name, length)))
			buf_add_format(&page, "/static/%s", site->version);
		buf_add_view(&page, view_make(name, length));
		rest = name + length;
	}
	buf_add_text(&page, rest);
	if (buf_finish(&page, err))
		return -1;
	file_set(file, &page);
	return 0;
}

static int site_write(const struct site *site, const char *output, struct err *err)
{
	AUTO_BUF text = buf_new(OUTPUT_BYTES_MAX);
	AUTO_BUF rows = buf_new(OUTPUT_BYTES_MAX);

	buf_add_text(&text, "#include \"web/web_priv.h\"\n\n");
	for (size_t i = 0; i < site->count; i++) {
		const struct file *file = &site->files[i];
		struct view bytes = view_make(file->bytes, file->length);

		array_add(&text, (int)i, bytes);
		buf_add_format(&rows, "\t{\"%s\", \"%s\", \"\\\"%.*s\\\"\", page_%zu, %zu},\n", file->name, type_of(file->name),
			       TAG_DIGITS, digest_of(bytes).text, i, file->length);
	}
	if (buf_finish(&rows, err))
		return -1;
	buf_add_format(&text, "const char page_version[] = \"%s\";\n\n", site->version);
	buf_add_format(&text, "const struct page pages[] = {\n%s};\nconst size_t page_count = %zu;\n", rows.at, site->count);
	return buf_finish(&text, err) ? -1 : file_replace(output, buf_view(&text), 0644, err);
}

static int embed(const char *output, const char *web, char **files, int count, struct err *err)
{
	__attribute__((cleanup(site_fini))) struct site site = {.root = realpath(web, NULL)};

	site.files = calloc((size_t)count, sizeof(*site.files));
	if (!site.root || !site.files)
		return err_set(err, ERR_NOT_FOUND, "no folder %s", web);
	qsort(files, (size_t)count, sizeof(*files), by_name);
	for (int i = 0; i < count; i++)
		if (file_add(&site, files[i], err))
			return -1;
	return site_bundle(&site, err) || site_version(&site, err) || index_write(&site, err) || site_write(&site, output, err) ? -1
																: 0;
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
