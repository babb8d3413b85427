/* What `assay init` reads: the first byte says which file the rest is. What comes out is accepted by the parser, or it is an error. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/import.h"

#define OUTPUT_BYTES_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"compose.yaml", "Procfile", "package.json", "Dockerfile", ".env"};
static char dir[] = "/tmp/assay-fuzz-XXXXXX";

static void remove_dir(void)
{
	(void)!file_remove_tree(dir, NULL);
}

static void put(const char *name, struct view bytes)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, name);
	FILE *file = fopen(path, "we");

	if (!file || fwrite(bytes.at, 1, bytes.length, file) != bytes.length || fclose(file))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	AUTO_BUF yaml = buf_new(OUTPUT_BYTES_MAX);
	AUTO_BUF notes = buf_new(OUTPUT_BYTES_MAX);
	struct err err = {0};
	size_t which;

	if (!size)
		return 0;
	if (!ready && (!mkdtemp(dir) || atexit(remove_dir)))
		abort();
	ready = true;
	which = (data[0] - (size_t)'0') % ARRAY_LEN(names);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = text_format("%s/%s", dir, names[i]);

		(void)remove(path);
	}
	if (which > 2)
		put(names[0], VIEW("services: {a: {build: ., environment: {A: '${B}'}, ports: ['80:$C']}}"));
	put(names[which], view_make(data + 1, size - 1));
	if (blueprint_import(dir, &yaml, &notes, &err) && (err.kind == ERR_NONE || strstr(err.text, "cannot be mapped")))
		abort();
	return 0;
}
