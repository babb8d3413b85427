/* A list of own rules in JSON: it is taken or refused with a reason, and what is taken can be scanned by. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/dlp/dlp.h"

#define RULES_TRIED 4 /* compiling more takes too long for one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON list = json_parse(view_make(data, size), NULL);
	struct err err = {.kind = ERR_NONE};
	struct dlp_rules *rules;
	size_t wrong;

	if (!json_is_array(list) || json_array_size(list) > RULES_TRIED)
		return 0;
	if (dlp_rules_check(list, &wrong, &err) && (err.kind == ERR_NONE || !err.text[0]))
		abort();
	rules = dlp_rules_new(list, true, NULL, NULL);
	if (rules && dlp_rules_count(rules)) {
		struct dlp *dlp = dlp_new(rules);
		struct dlp_message *message = dlp_begin(dlp, DLP_BODY);

		(void)dlp_feed(message, view_make(data, size));
		dlp_end(message);
		dlp_free(message);
		dlp_unref(dlp);
	}
	dlp_rules_unref(rules);
	return 0;
}
