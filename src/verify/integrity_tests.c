/* Test files as text: which tests they declare, what skips them, what they assert. A row per language; languages by extension. */
#include "verify/integrity_priv.h"

#include <string.h>

#include "base/scope.h"

#define NAME_SHOWN ((size_t)200)

static const struct language languages[] = {
	{{".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".mts"},
	 {{"test(", NAMED_QUOTED},
	  {"it(", NAMED_QUOTED},
	  {"test.skip(", NAMED_QUOTED},
	  {"it.skip(", NAMED_QUOTED},
	  {"test.only(", NAMED_QUOTED},
	  {"it.only(", NAMED_QUOTED},
	  {"xit(", NAMED_QUOTED},
	  {"test.todo(", NAMED_QUOTED},
	  {"it.todo(", NAMED_QUOTED}},
	 {"it.skip(", "test.skip(", "describe.skip(", "xit(", "xdescribe(", "xtest(", "it.todo(", "test.todo(", ".skipIf(",
	  "t.skip(", "skip: true", "todo: true", "this.skip("},
	 {"it.only(", "test.only(", "describe.only(", "fit(", "fdescribe(", "only: true"},
	 {"assert", "expect(", ".should"},
	 "//"},
	{{".py"},
	 {{"def test", NAMED_WORD}},
	 {"@pytest.mark.skip", "@unittest.skip", "pytest.skip(", "@pytest.mark.xfail", "self.skipTest(", "pytest.xfail(", "@skip",
	  "unittest.SkipTest"},
	 {NULL},
	 {"assert", "self.fail(", "pytest.raises("},
	 "#"},
	{{".go"},
	 {{"func Test", NAMED_WORD}},
	 {"t.Skip(", "t.Skipf(", "t.SkipNow(", "testing.Short("},
	 {NULL},
	 {"t.Error", "t.Fatal", "assert.", "require.", "t.Fail"},
	 "//"},
	{{".c", ".h", ".cc", ".cpp"},
	 {{"cmocka_unit_test(", NAMED_WORD}, {"START_TEST(", NAMED_WORD}, {"TEST(", NAMED_WORD}, {"TEST_F(", NAMED_WORD}},
	 {"skip();", "GTEST_SKIP(", "TEST_IGNORE(", "DISABLED_"},
	 {NULL},
	 {"assert", "EXPECT_", "ASSERT_", "ck_assert", "CHECK("},
	 "//"},
	{{".rs"}, {{"fn ", NAMED_AFTER_TEST}}, {"#[ignore"}, {NULL}, {"assert", "should_panic"}, "//"},
	{{".rb"},
	 {{"it \"", NAMED_REST}, {"it '", NAMED_REST}, {"def test_", NAMED_WORD}, {"test \"", NAMED_REST}},
	 {"xit ", "xdescribe ", "skip ", "pending "},
	 {"fit ", "fdescribe ", ", :focus"},
	 {"assert", "expect(", "refute", ".must_"},
	 "#"},
	{{".java", ".kt"},
	 {{"void ", NAMED_AFTER_TEST}, {"fun ", NAMED_AFTER_TEST}},
	 {"@Disabled", "@Ignore", "assumeTrue(", "assumeFalse("},
	 {NULL},
	 {"assert", "verify("},
	 "//"},
	{{".sh", ".t", ".bats"},
	 {{"test_expect_success ", NAMED_QUOTED}, {"@test ", NAMED_QUOTED}, {"it_", NAMED_WORD}},
	 {"# SKIP", "skip_all", "skip ", "# TODO"},
	 {NULL},
	 {"is ", "ok ", "like ", "assert", "test_cmp", "grep -q", "[ "},
	 "#"},
};

const struct language *language_of(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		for (size_t k = 0; k < ARRAY_LEN(languages[i].extensions) && languages[i].extensions[k]; k++)
			if (view_ends(view_of(path), view_of(languages[i].extensions[k])))
				return &languages[i];
	return NULL;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* At its place, and not as the end of a longer word. */
static ptrdiff_t find_word(struct view line, const char *word)
{
	size_t from = 0;

	for (;;) {
		ptrdiff_t at = view_find(view_make(line.at + from, line.length - from), view_of(word));
		size_t place = from + (size_t)at;

		if (at < 0)
			return -1;
		if (!is_word(word[0]) || place == 0 || (!is_word(line.at[place - 1]) && line.at[place - 1] != '.'))
			return (ptrdiff_t)place;
		from = place + 1;
	}
}

static struct view word_at(struct view text)
{
	size_t length = 0;

	while (length < text.length && is_word(text.at[length]))
		length++;
	return view_make(text.at, length);
}

/* What stands between the first quotes of any kind. */
static struct view quoted_at(struct view text)
{
	size_t begin = 0;
	const char *end;

	while (begin < text.length && text.at[begin] != '"' && text.at[begin] != '\'' && text.at[begin] != '`') {
		if (text.at[begin] != ' ')
			return VIEW("");
		begin++;
	}
	if (begin >= text.length)
		return VIEW("");
	end = memchr(text.at + begin + 1, text.at[begin], text.length - begin - 1);
	return view_make(text.at + begin + 1, end ? (size_t)(end - text.at) - begin - 1 : 0);
}

static struct view declared_name(const struct declaration *declaration, struct view line, bool after_test)
{
	ptrdiff_t at = find_word(line, declaration->text);
	struct view rest;

	if (at < 0)
		return VIEW("");
	rest = view_make(line.at + (size_t)at + strlen(declaration->text), line.length - (size_t)at - strlen(declaration->text));
	switch (declaration->named) {
	case NAMED_QUOTED:
		return quoted_at(rest);
	case NAMED_WORD: {
		/* With what the text itself begins of the name: "test_sum" of "def test_sum". */
		const char *space = strrchr(declaration->text, ' ');
		size_t begun = space ? strlen(space + 1) : 0;

		return word_at(view_make(rest.at - begun, rest.length + begun));
	}
	case NAMED_REST:
		rest = view_cut(rest, declaration->text[strlen(declaration->text) - 1], &(struct view){0});
		return rest;
	case NAMED_AFTER_TEST:
		return after_test ? word_at(rest) : VIEW("");
	}
	return VIEW("");
}

/* What is commented out, or a text over several lines, is no code. */
struct asleep {
	const char *until; /* what ends it; NULL: awake */
};

static bool is_asleep(struct asleep *asleep, const struct language *language, struct view line)
{
	static const struct {
		const char *comment; /* of the languages that have it */
		const char *from;
		const char *until;
	} rows[] = {{"//", "/*", "*/"},
		    {"//", "#if 0", "#endif"},
		    {"#", "\"\"\"", "\"\"\""},
		    {"#", "'''", "'''"},
		    {"#", "=begin", "=end"}};
	bool was = asleep->until != NULL;

	if (was) {
		if (view_find(line, view_of(asleep->until)) >= 0)
			asleep->until = NULL;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view behind;

		if (strcmp(rows[i].comment, language->comment) != 0 || !view_starts(line, view_of(rows[i].from)))
			continue;
		behind = view_make(line.at + strlen(rows[i].from), line.length - strlen(rows[i].from));
		if (view_find(behind, view_of(rows[i].until)) < 0)
			asleep->until = rows[i].until;
		return true;
	}
	return false;
}

json_t *integrity_tests_of(const char *path, struct view text)
{
	const struct language *language = language_of(path);
	json_t *names = json_array();
	struct asleep asleep = {NULL};
	bool after_test = false;

	while (language && text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));

		if (!line.length || is_asleep(&asleep, language, line) || view_starts(line, view_of(language->comment)))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(language->tests) && language->tests[i].text; i++) {
			struct view name = declared_name(&language->tests[i], line, after_test);
			AUTO_JSON holder = json_object();

			if (!name.length)
				continue;
			json_set_bytes(holder, "n", view_make(name.at, name.length < NAME_SHOWN ? name.length : NAME_SHOWN));
			(void)json_array_append(names, json_member(holder, "n"));
			break;
		}
		/* Attributes and modifiers may stand between the mark and the function. */
		if (view_find(line, VIEW("#[test]")) >= 0 || view_find(line, VIEW("::test]")) >= 0 ||
		    view_find(line, VIEW("@Test")) >= 0)
			after_test = true;
		else if (!view_starts(line, VIEW("#[")) && !view_starts(line, VIEW("@")))
			after_test = false;
	}
	return names;
}

bool line_has_any(struct view line, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count && words[i]; i++)
		if (find_word(line, words[i]) >= 0)
			return true;
	return false;
}

/* Does it assert what is so whatever the code does? */
static bool is_tautology(struct view line)
{
	static const char *const rows[] = {"assert True",
					   "assert 1",
					   "assert true",
					   "assert not False",
					   "assertTrue(True)",
					   "assert(true)",
					   "assert(1)",
					   "assert.ok(true)",
					   "assert.ok(1)",
					   "expect(true).toBe(true)",
					   "expect(1).toBe(1)",
					   "assert.equal(1, 1)",
					   "assert.strictEqual(1, 1)",
					   "assert_true(1)",
					   "assert_true(true)",
					   "assert!(true)",
					   "expect(true).toBeTruthy()",
					   "assertEqual(1, 1)",
					   "EXPECT_TRUE(true)"};

	while (line.length && strchr("; ", line.at[line.length - 1]))
		line.length--;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_ends(line, view_of(rows[i])))
			return true;
	return false;
}

size_t assertions_of(const char *path, struct view text)
{
	const struct language *language = language_of(path);
	struct asleep asleep = {NULL};
	size_t count = 0;

	while (language && text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));

		if (line.length && !is_asleep(&asleep, language, line) && !is_tautology(line) &&
		    !view_starts(line, view_of(language->comment)) && !view_starts(line, VIEW("import ")) &&
		    view_find(line, VIEW("require(")) < 0)
			count += line_has_any(line, language->asserts, ARRAY_LEN(language->asserts));
	}
	return count;
}
