/* Coverage files, as tools write them, and the lines of a diff that they are asked about: whatever comes ends in counts. */
#include "base/scope.h"
#include "verify/mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON coverage = json_object();
	AUTO_JSON lines = diff_lines(view_make(data, size));

	coverage_read(view_make(data, size), coverage);
	if (coverage_of(coverage, "src/a.js", 1) < -1 || !lines)
		__builtin_trap();
	return 0;
}
