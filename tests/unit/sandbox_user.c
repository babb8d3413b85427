/* Who an image's program runs as, by the files of its room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/scope.h"
#include "sandbox/init/user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "broken\n"
			     "half:x:7\n"
			     "node:x:1000:1000::/home/node:/bin/bash\n"
			     "homeless:x:33:44:::\n"
			     "huge:x:99999999999:1::/:\n"
			     "last:x:5:6::/last:/bin/sh";
static const char group[] =
	"root:x:0:\nnode:x:1000:\naudio:x:29:last,node\nvideo:x:44:node\nodd:x:nan:node\nnode2:x:50:nodejs,anode";

static void a_user_is_found_by_name_or_number_with_or_without_a_group(void **state)
{
	static const struct {
		const char *wanted;
		bool found;
		uid_t uid;
		gid_t gid;
		const char *home;
		size_t group_count;
	} rows[] = {
		{"root", true, 0, 0, "/root", 0},
		{"0", true, 0, 0, "/root", 0},
		{"node", true, 1000, 1000, "/home/node", 2},
		{"1000", true, 1000, 1000, "/home/node", 2},
		{"node:video", true, 1000, 44, "/home/node", 0},
		{"node:5", true, 1000, 5, "/home/node", 0},
		{"1234", true, 1234, 0, "/", 0},
		{"1234:5678", true, 1234, 5678, "/", 0},
		{"homeless", true, 33, 44, "/", 0},
		{"last", true, 5, 6, "/last", 1},
		{"nobody", false, 0, 0, "", 0},
		{"node:nogroup", false, 0, 0, "", 0},
		{"node:", false, 0, 0, "", 0},
		{"", false, 0, 0, "", 0},
		{":5", false, 0, 0, "", 0},
		{"half", false, 0, 0, "", 0},
		{"huge", false, 0, 0, "", 0},
		{"4294967295", false, 0, 0, "", 0},
		{"99999999999999999999999", false, 0, 0, "", 0},
		{"-1", false, 0, 0, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct user user;

		if (user_find(rows[i].wanted, passwd, group, &user) != rows[i].found)
			fail_msg("%s", rows[i].wanted);
		if (!rows[i].found)
			continue;
		assert_int_equal(user.uid, rows[i].uid);
		assert_int_equal(user.gid, rows[i].gid);
		assert_string_equal(user.home, rows[i].home);
		assert_int_equal(user.group_count, rows[i].group_count);
	}
}

static void without_files_only_numbers_are_known(void **state)
{
	struct user user;

	(void)state;
	assert_true(user_find("7:8", "", "", &user));
	assert_int_equal(user.uid, 7);
	assert_int_equal(user.gid, 8);
	assert_string_equal(user.home, "/");
	assert_false(user_find("root", "", "", &user));
}

static void groups_and_homes_over_the_limit_are_left_out(void **state)
{
	char groups[4096] = "", home[512];
	struct user user;

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(groups, "g:x:9:u\n");
	assert_true(user_find("u", "u:x:1:1:::\n", groups, &user));
	assert_int_equal(user.group_count, USER_GROUPS_MAX);
	memset(home, 'h', sizeof(home));
	memcpy(home, "u:x:1:1::/", 10);
	home[sizeof(home) - 1] = '\0';
	assert_true(user_find("u", home, "", &user));
	assert_true(strlen(user.home) < USER_HOME_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_found_by_name_or_number_with_or_without_a_group),
		cmocka_unit_test(without_files_only_numbers_are_known),
		cmocka_unit_test(groups_and_homes_over_the_limit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
