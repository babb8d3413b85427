/* DNS questions: what is understood is answered, within the limit. */
#include <assert.h>

#include "gateway/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF out = buf_new(DNS_MESSAGE_MAX);
	uint32_t address = 0xc6120101;
	struct dns_query query;
	int code = dns_query_parse(view_make(data, size), &query);

	if (code < 0)
		return 0;
	assert(strlen(query.name) < DNS_NAME_MAX);
	dns_answer_format(&out, &query, (enum dns_code)code, &address, 1, NULL);
	assert(!out.over && out.length >= 12);
	return 0;
}
