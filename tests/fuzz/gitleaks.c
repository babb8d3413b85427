/* A gitleaks.toml: what is read of it is a list of rules, which compile or are refused with a reason. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/dlp/dlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {.kind = ERR_NONE};
	json_t *list = dlp_rules_from_gitleaks(view_make(data, size), &err);

	if (!list && (err.kind == ERR_NONE || !err.text[0]))
		abort();
	json_decref(list);
	return 0;
}
