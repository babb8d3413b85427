/* What others recorded, in any form: what is taken is a session that can be written, hidden and read again. */
#include <stdlib.h>

#include "base/scope.h"
#include "session/hide.h"
#include "session/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte is the form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hide_key key = {{7}};
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	AUTO_IMPORT import = {.left_out = NULL};
	AUTO_SESSION again = {0};
	AUTO_JSON values = NULL;
	struct err err;

	if (!size ||
	    import_parse(view_make(data + 1, size - 1), "fuzz", (enum import_form)((data[0] - (unsigned)'0') % 5), &import, &err))
		return 0;
	values = session_hide(&import.session, &key, NULL);
	har_format(&text, &import.session);
	if (har_parse(buf_view(&text), &again, &err) || again.count != import.session.count)
		abort(); /* what was written cannot be read */
	return 0;
}
