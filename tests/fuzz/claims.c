/* Summaries of agents, as bytes: whatever they are, what comes out is bounded, and without facts nothing is confirmed or contradicted. */
#include <assert.h>
#include <string.h>

#include "verify/claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	AUTO_JSON changes = json_parse(
		VIEW("[{\"path\": \"src/a.c\", \"status\": \"M\"}, {\"path\": \"test/a.c\", \"status\": \"A\"}]"), &err);
	AUTO_JSON known = claims_check(view_make(data, size), &(struct claim_facts){.changes = changes});
	AUTO_JSON unknown = claims_check(view_make(data, size), &(struct claim_facts){0});
	size_t index;
	json_t *claim;

	assert(json_array_size(known) <= CLAIMS_MAX && json_array_size(unknown) <= CLAIMS_MAX);
	json_array_foreach(unknown, index, claim) {
		assert(strlen(json_text(claim, "claim", "")) <= CLAIM_TEXT_MAX * 3); /* a bad byte becomes three */
		assert(strcmp(json_text(claim, "status", ""), "unknown") == 0);
	}
	return 0;
}
