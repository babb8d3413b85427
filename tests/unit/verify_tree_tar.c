/* Files of a commit as tar reads them, whatever the commit's attributes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "verify/tree_tar.h"

static char dir[] = "/tmp/assay-tar-XXXXXX";

static void shell(const char *line, struct view input, struct buf *output)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C.UTF-8", NULL};
	const char *argv[] = {"sh", "-ec", line, NULL};
	struct err err = {0};

	if (process_run(&(struct process_spec){.argv = argv, .env = env, .dir = dir, .input = input, .output = output}, NULL, &err))
		fail_msg("%s", err.text);
}

static void the_archive_has_every_file_as_it_is_committed(void **state)
{
	AUTO_JSON paths = json_array();
	AUTO_BUF hash = buf_new(256);
	AUTO_BUF archive = buf_new(TREE_TAR_BYTES_MAX);
	AUTO_BUF found = buf_new(65536);
	AUTO_FREE char *repository = NULL;
	struct git_hash commit;
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	shell("git init -q o && cd o && mkdir -p t/" /* longer than a header's name field */
	      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb && "
	      "echo deep >t/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/f && "
	      "echo '$Format:%H$' >t/plain && printf x >t/run && chmod 755 t/run && ln -s plain t/link && : >t/empty && "
	      "printf 't/plain export-subst\\nt/run export-ignore\\nt/* text eol=crlf\\n' >.gitattributes && "
	      "git add -A && git -c user.name=t -c user.email=t@t commit -qm x && git rev-parse HEAD",
	      VIEW(""), &hash);
	assert_int_equal(git_hash_parse(view_trim(buf_view(&hash)), &commit, &err), 0);
	repository = text_format("%s/o/.git", dir);
	static const char *const names[] = {
		"t/plain",
		"t/run",
		"t/link",
		"t/empty",
		"t",
		"absent",
		"t/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/f",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_array_append_new(paths, json_string(names[i]));
	assert_int_equal(tree_tar(repository, &commit, paths, 0, &archive, &err), 0);
	shell("mkdir x && tar -x -C x -f - && cd x && find . ! -type d | sort | tr '\\n' ' ' && cat t/plain t/run t/aaa*/*/f && readlink t/link && "
	      "stat -c %a t/run t/plain | tr '\\n' ' '",
	      buf_view(&archive), &found);
	assert_string_equal(
		found.at,
		"./t/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/f "
		"./t/empty ./t/link ./t/plain ./t/run $Format:%H$\nxdeep\nplain\n755 644 ");
	assert_int_equal(file_remove_tree(dir, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_archive_has_every_file_as_it_is_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
