/* Gives each file of a folder to a fuzz target, once: its corpus as a normal test. usage: fuzz_NAME FOLDER */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"

#define INPUT_BYTES_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries = NULL;
	int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;

	if (count < 0) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < count; i++) {
		AUTO_FREE char *path = text_format("%s/%s", argv[1], entries[i]->d_name);
		AUTO_BUF input = buf_new(INPUT_BYTES_MAX);
		struct err err;

		if (file_read(path, &input, &err)) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		(void)LLVMFuzzerTestOneInput((const uint8_t *)buf_view(&input).at, input.length);
		printf("ok %d - %s\n", i + 1, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	printf("1..%d\n", count);
	return count ? 0 : 1;
}
