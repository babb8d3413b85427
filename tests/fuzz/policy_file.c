/* The operator's policy file: any bytes give rules in the gateway's form, or an error of one line. */
#include <stdlib.h>

#include "blueprint/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	AUTO_JSON policy = policy_file_parse(view_make(data, size), "policy.yaml", &err);
	const json_t *rules = json_member(policy, "rules");
	json_t *rule;
	size_t i;

	if (!policy) {
		check(err.kind != ERR_NONE && err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	json_array_foreach(rules, i, rule)
		check(json_text(rule, "id", NULL) && json_text(rule, "host", NULL) && json_text(rule, "action", NULL));
	return 0;
}
