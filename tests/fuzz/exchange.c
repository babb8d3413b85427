/* Lines of the exchange log: what was read is written so that it can be read again. */
#include <stdlib.h>

#include "http/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF line = buf_new(BUF_MAX_DEFAULT);
	AUTO_EXCHANGE exchange;
	AUTO_EXCHANGE again = {0};
	struct err err;

	if (exchange_parse(view_make(data, size), &exchange, &err))
		return 0;
	exchange_format(&line, &exchange);
	if (exchange_parse(buf_view(&line), &again, &err))
		abort(); /* what was written cannot be read */
	return 0;
}
