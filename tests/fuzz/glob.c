/* Globs: the part before the first NUL is the glob, the rest the path; any pair has an answer. */
#include "base/scope.h"
#include "blueprint/blueprint.h"

#define INPUT_BYTES_MAX 2048 /* the work is length times length */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view path;
	struct view glob = view_cut(view_make(data, size < INPUT_BYTES_MAX ? size : INPUT_BYTES_MAX), '\0', &path);
	AUTO_FREE char *glob_text = view_copy(glob);
	AUTO_FREE char *path_text = view_copy(path);

	(void)glob_match(glob_text, path_text);
	return 0;
}
