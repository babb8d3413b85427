/* What linters print, in any form. */
#include <stddef.h>
#include <stdint.h>

#include "base/scope.h"
#include "verify/linters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON remarks = json_array();
	AUTO_JSON none = json_array();
	AUTO_JSON fresh = NULL;

	(void)lint_read(view_make(data, size), "/workspace", remarks);
	fresh = lint_fresh(none, remarks);
	return json_array_size(fresh) == json_array_size(remarks) ? 0 : 1;
}
