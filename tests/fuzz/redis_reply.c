/* Replies of a Redis server: any bytes are a whole reply, the beginning of one, or none; what is taken is never more than there was. */
#include <stdlib.h>

#include "data/redis_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_make(data, size);

	for (;;) {
		struct view before = in;
		AUTO_JSON reply = NULL;
		bool is_error = false;
		int whole = redis_reply_take(&in, &reply, &is_error, NULL);

		if (whole == 1 ? !reply || in.length >= before.length || (is_error && !json_is_string(reply))
			       : in.length != before.length)
			abort();
		if (whole != 1)
			return 0;
	}
}
