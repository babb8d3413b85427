/* Sessions: what was read is written so that it can be read again, whole. */
#include <assert.h>
#include <stdlib.h>

#include "http/har.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	AUTO_SESSION session;
	AUTO_SESSION again = {0};
	struct err err;

	if (har_parse(view_make(data, size), &session, &err))
		return 0;
	har_format(&text, &session);
	if (har_parse(buf_view(&text), &again, &err))
		abort(); /* what was written cannot be read */
	assert(again.count == session.count);
	return 0;
}
