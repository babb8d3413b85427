/* Messages of a PostgreSQL server: any bytes are whole messages, the beginning of one, or none; their bodies are rows and errors or not. */
#include <stdlib.h>

#include "data/postgres_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_make(data, size);
	struct view body;
	char type;

	while (postgres_message_take(&in, &type, &body, NULL) == 1) {
		AUTO_JSON row = postgres_row_parse(body, NULL);
		struct view code;
		struct view message;

		if (row && !json_is_array(row))
			abort();
		postgres_error_parse(body, &code, &message);
		if (body.length && (code.length > body.length ||
				    (message.length > body.length && message.at >= body.at && message.at < body.at + body.length)))
			abort();
	}
	return 0;
}
