/* quoted: JSON in the rows of a test: ' stands for ". */
#ifndef ASSAY_TESTS_UNIT_QUOTED_H
#define ASSAY_TESTS_UNIT_QUOTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/scope.h"

static inline char *quoted_text(const char *text)
{
	char *quoted = text_copy(text);

	for (char *c = quoted; *c; c++)
		if (*c == '\'')
			*c = '"';
	return quoted;
}

/* Fails the test when it is none. */
static inline json_t *quoted_json(const char *text)
{
	AUTO_FREE char *quoted = quoted_text(text);
	struct err err = {0};
	json_t *json = json_parse(view_of(quoted), &err);

	if (!json)
		fail_msg("%s: %s", err.text, quoted);
	return json;
}

#endif
