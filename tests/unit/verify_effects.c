/* What a request takes away though it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "verify/effects.h"

/* An entry of commands, one a line, of front at cache. */
static json_t *entry_make(const char *commands)
{
	json_t *seams = json_array();

	for (struct view rest = view_of(commands); rest.length;) {
		AUTO_FREE char *command = view_copy(view_cut(rest, '\n', &rest));

		(void)json_array_append_new(seams, json_pack("{s:s, s:s, s:s, s:{s:s}, s:{}}", "from", "front", "to", "cache",
							     "proto", "redis", "request", "command", command, "response"));
	}
	return json_pack("{s:o}", "seams", seams);
}

static const struct {
	const char *name;
	const char *whole, *base, *again, *head;
	const char *found; /* NULL: none */
} cases[] = {
	{"a cart that is emptied first", "GET cart:1\nDEL cart:1", "GET cart:1", "GET cart:1", "GET cart:1\nDEL cart:1",
	 "front > cache DEL cart:<number>"},
	{"the base does it, too", "DEL cart:1", "DEL cart:1", "", "DEL cart:1", NULL},
	{"another thing than what success does", "DEL cart:1", "", "", "DEL old:1", NULL},
	{"a lock that is given back whatever comes", "SET lock:a 1 NX\nDEL lock:a", "SET lock:a 1 NX", "SET lock:a 1 NX",
	 "SET lock:a 1 NX\nDEL lock:a", NULL},
	{"a count of requests under way", "INCR busy\nDECR busy", "INCR busy", "INCR busy", "INCR busy\nDECR busy", NULL},
	{"a cache that is filled early", "SET product:1 x", "", "", "SET product:1 x", NULL},
};

static void what_is_taken_away_before_it_may_be_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_JSON inside = json_pack("{s:s, s:s}", "front", "service", "cache", "database");
		AUTO_JSON whole = entry_make(cases[i].whole);
		AUTO_JSON base = entry_make(cases[i].base);
		AUTO_JSON again = entry_make(cases[i].again);
		AUTO_JSON head = entry_make(cases[i].head);
		AUTO_FREE char *found = effects_first_early(whole, base, again, head, inside);

		if (strcmp(found ? found : "", cases[i].found ? cases[i].found : "") != 0)
			fail_msg("%s: found `%s`", cases[i].name, found ? found : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_away_before_it_may_be_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
