/* TLS ClientHellos, whole and in two pieces: more bytes never change a verdict. */
#include <assert.h>

#include "net/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF scratch = buf_new(HELLO_BYTES_MAX * 2);
	struct view name;
	enum hello_result half = hello_parse(view_make(data, size / 2), &scratch, &name);
	enum hello_result whole = hello_parse(view_make(data, size), &scratch, &name);

	assert(half == HELLO_MORE || half == whole);
	return 0;
}
