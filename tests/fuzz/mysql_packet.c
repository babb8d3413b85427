/* Packets of a MySQL server: any bytes are a whole one, the beginning of one, or none; what is in them is read within them. */
#include <stdlib.h>

#include "data/mysql_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_make(data, size);

	for (;;) {
		struct view before = in;
		struct view body;
		struct view message;
		uint8_t number;
		unsigned code;
		int whole = mysql_packet_take(&in, &number, &body, NULL);

		if (whole != 1) {
			if (in.length != before.length)
				abort();
			return 0;
		}
		if (body.length + 4 + in.length != before.length)
			abort();
		for (size_t columns = 0; columns < 4; columns++)
			json_decref(mysql_row_parse(body, columns, NULL));
		mysql_error_parse(body, &code, &message);
		if (message.length > body.length + 32)
			abort();
	}
}
