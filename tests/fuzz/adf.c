/* Documents of Jira: read from bytes, and made from the same bytes as Markdown; what is made is read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "trackers/adf.h"

#define OUT_BYTES_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON document = json_parse(view_make(data, size), NULL);
	AUTO_JSON made = adf_of_markdown(view_make(data, size));
	AUTO_BUF out = buf_new(OUT_BYTES_MAX);

	adf_text(document, "us", &out);
	(void)adf_mentions(document, "us");
	adf_text(made, NULL, &out);
	if (!json_is_array(json_member(made, "content")))
		abort();
	return 0;
}
