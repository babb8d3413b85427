/*
 * Claims.
 *
 * Theory of operation. The text is cut into sentences, a sentence into words (lower case, punctuation at their ends dropped, but what a path has
 * kept). A row of the table below finds one kind of claim in the words and holds it against the facts. Paths count only where they follow
 * their verb directly ("changed a.py and b.py"), because a path elsewhere in a sentence may be there for any reason.
 */
#include "verify/claims.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define SENTENCES_MAX 256
#define WORDS_MAX 80
#define WORD_MAX 160
#define TEXT_READ_MAX ((size_t)64 << 10)

struct sentence {
	struct view text;
	char words[WORDS_MAX][WORD_MAX];
	size_t count;
};

enum status { CLAIM_NONE, CONFIRMED, CONTRADICTED, UNKNOWN };

static const char *const status_names[] = {[CONFIRMED] = "confirmed", [CONTRADICTED] = "contradicted", [UNKNOWN] = "unknown"};

/* ---- words ---- */

static bool one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static const char *const test_words[] = {"test", "tests", "suite", "suites", "testcase", "testcases", NULL};
static const char *const pass_words[] = {"pass", "passes", "passed", "passing", "green", "succeed", "succeeded", "succeeds", NULL};
static const char *const add_words[] = {"add", "added", "adds", "wrote", "write", "created", "create", "extended", NULL};
static const char *const change_words[] = {"changed", "edited", "updated", "modified", "rewrote", "touched", NULL};
static const char *const make_words[] = {"created", "added", "wrote", NULL};
static const char *const remove_words[] = {"deleted", "removed", NULL};
static const char *const run_words[] = {"ran", "run", "executed", "reran", NULL};
static const char *const between_words[] = {"the", "file", "files", "a", "an", "new", "only", "both", "and", "just", "&", NULL};
/* With one of these a sentence states nothing that could be checked. */
static const char *const hedge_words[] = {"should",    "would",     "could",   "might",    "may",    "will",   "if",      "once",
					  "when",      "unless",    "until",   "not",      "no",     "never",  "cannot",  "can't",
					  "can",       "didn't",    "don't",   "doesn't",  "won't",  "wasn't", "weren't", "isn't",
					  "aren't",    "unable",    "without", "todo",     "failed", "fails",  "failing", "fail",
					  "hopefully", "probably",  "expect",  "expected", "must",   "need",   "needs",   "please",
					  "except",    "partially", "some",    "almost",   NULL};

static size_t words_find(const struct sentence *sentence, const char *const *list, size_t from)
{
	for (size_t i = from; i < sentence->count; i++)
		if (one_of(sentence->words[i], list))
			return i;
	return SIZE_MAX;
}

static bool has(const struct sentence *sentence, const char *const *list)
{
	return words_find(sentence, list, 0) != SIZE_MAX;
}

static bool is_path_char(char c)
{
	return isalnum((unsigned char)c) || strchr("/._-@+", c);
}

static void words_cut(struct sentence *sentence)
{
	size_t at = 0;

	sentence->count = 0;
	while (at < sentence->text.length && sentence->count < WORDS_MAX) {
		char *word = sentence->words[sentence->count];
		size_t length = 0;

		while (at < sentence->text.length && !is_path_char(sentence->text.at[at]) && sentence->text.at[at] != '\'')
			at++;
		while (at < sentence->text.length && (is_path_char(sentence->text.at[at]) || sentence->text.at[at] == '\'')) {
			if (length < WORD_MAX - 1)
				word[length++] = (char)tolower((unsigned char)sentence->text.at[at]);
			at++;
		}
		while (length && strchr(".'-", word[length - 1]))
			length--;
		word[length] = '\0';
		sentence->count += length > 0;
	}
}

static bool hedges(const struct sentence *sentence)
{
	return has(sentence, hedge_words) || memchr(sentence->text.at, '?', sentence->text.length);
}

static int64_t number_of(const char *word)
{
	static const char *const names[] = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
	uint64_t number;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0)
			return (int64_t)i;
	return view_to_u64(view_of(word), &number) && number < 1000000 ? (int64_t)number : -1;
}

/* "12 new unit tests", "12 of 12 tests", "12 passed": the number that stands before the word, at most four words away; -1: none. */
static int64_t number_before(const struct sentence *sentence, size_t word)
{
	for (size_t back = 1; back <= 4 && back <= word; back++)
		if (number_of(sentence->words[word - back]) >= 0)
			return number_of(sentence->words[word - back]);
	return -1;
}

/* ---- facts ---- */

static const json_t *gate_of(const struct claim_facts *facts, const char *name)
{
	size_t index;
	json_t *gate;

	json_array_foreach(json_member(facts->report, "gates"), index, gate)
		if (strcmp(json_text(gate, "name", ""), name) == 0)
			return gate;
	return NULL;
}

static bool gate_ran(const json_t *gate)
{
	const char *status = json_text(gate, "status", "skipped");

	return gate && strcmp(status, "skipped") != 0 && strcmp(status, "unstable") != 0;
}

static bool is_test_path(const char *path)
{
	return strcasestr(path, "test") || strcasestr(path, "spec.") || strcasestr(path, "specs/");
}

static bool tests_changed(const struct claim_facts *facts, const char *statuses)
{
	size_t index;
	json_t *change;

	json_array_foreach(facts->changes, index, change)
		if (is_test_path(json_text(change, "path", "")) && strpbrk(json_text(change, "status", "?"), statuses))
			return true;
	return false;
}

static bool was_run(const struct claim_facts *facts, const char *first, const char *second)
{
	size_t index;
	json_t *text;

	json_array_foreach(facts->ran, index, text)
		if (json_is_string(text) &&
		    (strcasestr(json_string_value(text), first) || (second && strcasestr(json_string_value(text), second))))
			return true;
	return false;
}

/* ---- kinds ---- */

#define WHY_MAX 240

static enum status count_judge(int64_t claimed, int64_t known, const char *what, char why[WHY_MAX])
{
	(void)snprintf(why, WHY_MAX, "%lld %s", (long long)known, what);
	return claimed == known ? CONFIRMED : CONTRADICTED;
}

static enum status tests_pass(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	const json_t *gate = gate_of(facts, "tests");
	const json_t *counts = json_member(gate, "counts");
	int64_t seen = json_number(counts, "passed", 0) + json_number(json_member(gate_of(facts, "red-green"), "counts"), "new", 0);
	size_t word = words_find(sentence, test_words, 0);
	int64_t claimed;

	if (word == SIZE_MAX || !has(sentence, pass_words) || hedges(sentence))
		return CLAIM_NONE;
	claimed = number_before(sentence, word);
	if (!gate_ran(gate)) {
		(void)snprintf(why, WHY_MAX, "the tests were not judged");
		return UNKNOWN;
	}
	if (strcmp(json_text(gate, "status", ""), "pass") != 0) {
		(void)snprintf(why, WHY_MAX, "the verifier ran them: %.180s", json_text(gate, "reason", "they do not all pass"));
		return CONTRADICTED;
	}
	if (claimed > seen && seen) {
		(void)snprintf(why, WHY_MAX, "the verifier saw %lld tests pass", (long long)seen);
		return CONTRADICTED;
	}
	(void)snprintf(why, WHY_MAX, "the verifier ran them from a fresh copy");
	return claimed >= 0 && claimed < seen ? UNKNOWN : CONFIRMED;
}

static enum status tests_added(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	const json_t *gate = gate_of(facts, "red-green");
	int64_t added = json_number(json_member(gate, "counts"), "new", 0);
	size_t verb = words_find(sentence, add_words, 0);
	size_t word = verb == SIZE_MAX ? SIZE_MAX : words_find(sentence, test_words, verb);
	int64_t claimed;

	if (word == SIZE_MAX || word - verb > 6 || hedges(sentence))
		return CLAIM_NONE;
	claimed = number_before(sentence, word);
	if (gate_ran(gate) && added) {
		(void)snprintf(why, WHY_MAX, "the verifier found %lld new", (long long)added);
		return claimed > added ? CONTRADICTED : claimed >= 0 && claimed < added ? UNKNOWN : CONFIRMED;
	}
	if (!facts->changes || tests_changed(facts, "AMRDT")) {
		(void)snprintf(why, WHY_MAX, "test files changed, but no new test was judged");
		return UNKNOWN;
	}
	(void)snprintf(why, WHY_MAX, "no test file is in the change");
	return CONTRADICTED;
}

/* "No tests were removed or changed." */
static enum status tests_kept(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	static const char *const none_words[] = {"no", "not", "didn't", "without", NULL};
	static const char *const touch_words[] = {"removed",  "changed",  "modified", "deleted",   "touched",
						  "weakened", "removing", "changing", "modifying", "touching",
						  "change",   "remove",   "modify",   "touch",     NULL};
	static const char *const existing_words[] = {"existing", "original", "any", "no", NULL};

	if (!has(sentence, test_words) || !has(sentence, none_words) || !has(sentence, touch_words) ||
	    !has(sentence, existing_words))
		return CLAIM_NONE;
	if (!facts->changes) {
		(void)snprintf(why, WHY_MAX, "the change is not known");
		return UNKNOWN;
	}
	if (!tests_changed(facts, "MDRT")) {
		(void)snprintf(why, WHY_MAX, "no test file that was there is in the change");
		return CONFIRMED;
	}
	(void)snprintf(why, WHY_MAX, "test files that were there are in the change");
	return tests_changed(facts, "DR") ? CONTRADICTED : UNKNOWN; /* an addition to a file changes no test of it */
}

static enum status seen_judge(bool seen, char why[WHY_MAX])
{
	(void)snprintf(why, WHY_MAX, seen ? "it was seen to" : "no such command was seen");
	return seen ? CONFIRMED : UNKNOWN;
}

static enum status tests_run(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	size_t verb = words_find(sentence, run_words, 0);
	size_t word = verb == SIZE_MAX ? SIZE_MAX : words_find(sentence, test_words, verb);

	if (word == SIZE_MAX || word - verb > 5 || hedges(sentence))
		return CLAIM_NONE;
	return seen_judge(was_run(facts, "test", NULL), why);
}

static enum status deployed(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	static const char *const deploy_words[] = {"deployed", "redeployed", NULL};

	if (!has(sentence, deploy_words) || hedges(sentence))
		return CLAIM_NONE;
	return seen_judge(was_run(facts, "assay-env deploy", "assay_deploy") || was_run(facts, "assay__deploy", NULL), why);
}

static bool path_word(const char *word)
{
	const char *dot = strrchr(word, '.');

	return strlen(word) > 2 &&
	       (strchr(word, '/') || (dot && dot != word && isalpha((unsigned char)dot[1]) && strlen(dot) <= 6));
}

/* The change of a path as it was written: whole, or its end. */
static const json_t *change_find(const json_t *changes, const char *path)
{
	struct view wanted = view_of(path);
	size_t index;
	json_t *change;

	if (view_starts(wanted, VIEW("/workspace/")))
		wanted = view_make(wanted.at + 11, wanted.length - 11);
	else if (view_starts(wanted, VIEW("./")))
		wanted = view_make(wanted.at + 2, wanted.length - 2);
	json_array_foreach(changes, index, change) {
		struct view have = view_of(json_text(change, "path", ""));

		if (have.length == wanted.length
			    ? view_equal_nocase(have, wanted)
			    : have.length > wanted.length && have.at[have.length - wanted.length - 1] == '/' &&
				      view_equal_nocase(view_make(have.at + have.length - wanted.length, wanted.length), wanted))
			return change;
	}
	return NULL;
}

struct paths {
	const char *at[WORDS_MAX];
	size_t count;
	bool only;
};

/* The paths that follow a verb directly. */
static void paths_after(const struct sentence *sentence, size_t verb, struct paths *paths)
{
	*paths = (struct paths){.only = verb && strcmp(sentence->words[verb - 1], "only") == 0};
	for (size_t i = verb + 1; i < sentence->count; i++) {
		paths->only |= strcmp(sentence->words[i], "only") == 0;
		if (path_word(sentence->words[i]))
			paths->at[paths->count++] = sentence->words[i];
		else if (!one_of(sentence->words[i], between_words) && number_of(sentence->words[i]) < 0)
			return;
	}
}

static enum status files(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	const char *const *const verbs[] = {change_words, make_words, remove_words};
	struct paths paths = {.count = 0};
	size_t kind = 0;

	if (hedges(sentence))
		return CLAIM_NONE;
	for (; kind < ARRAY_LEN(verbs) && !paths.count; kind++)
		for (size_t verb = words_find(sentence, verbs[kind], 0); verb != SIZE_MAX && !paths.count;
		     verb = words_find(sentence, verbs[kind], verb + 1))
			paths_after(sentence, verb, &paths);
	if (!paths.count)
		return CLAIM_NONE;
	if (!facts->changes) {
		(void)snprintf(why, WHY_MAX, "the change is not known");
		return UNKNOWN;
	}
	for (size_t i = 0; i < paths.count; i++) {
		const json_t *change = change_find(facts->changes, paths.at[i]);

		if (!change || (verbs[kind - 1] == remove_words && strcmp(json_text(change, "status", ""), "D") != 0)) {
			(void)snprintf(why, WHY_MAX, change ? "%.180s is there still" : "%.180s is not in the change", paths.at[i]);
			return CONTRADICTED;
		}
	}
	if (paths.only && json_array_size(facts->changes) != paths.count)
		return count_judge((int64_t)paths.count, (int64_t)json_array_size(facts->changes), "files are in the change", why);
	(void)snprintf(why, WHY_MAX, "the change has %s", paths.count == 1 ? "it" : "them");
	return CONFIRMED;
}

static enum status file_count(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX])
{
	static const char *const file_words[] = {"file", "files", NULL};
	size_t word = words_find(sentence, file_words, 0);
	int64_t claimed = word == SIZE_MAX || !word ? -1 : number_of(sentence->words[word - 1]);

	if (claimed < 0 || !has(sentence, change_words) || hedges(sentence))
		return CLAIM_NONE;
	if (!facts->changes) {
		(void)snprintf(why, WHY_MAX, "the change is not known");
		return UNKNOWN;
	}
	return count_judge(claimed, (int64_t)json_array_size(facts->changes), "files are in the change", why);
}

static const struct {
	const char *name;
	enum status (*judge)(const struct sentence *sentence, const struct claim_facts *facts, char why[WHY_MAX]);
} kinds[] = {
	{"tests_pass", tests_pass}, {"tests_added", tests_added}, {"tests_kept", tests_kept},
	{"tests_run", tests_run},   {"deployed", deployed},       {"files", files},
	{"file_count", file_count},
};

/* ---- sentences ---- */

/* Up to the end of a line, or to a full stop, `!`, `?` or `;` before a blank. */
static struct view sentence_cut(struct view text, struct view *rest)
{
	for (size_t i = 0; i < text.length; i++) {
		bool ends = strchr(".!?;", text.at[i]) && (i + 1 == text.length || isspace((unsigned char)text.at[i + 1]));

		if (text.at[i] != '\n' && (!ends || !text.at[i]))
			continue;
		*rest = view_make(text.at + i + 1, text.length - i - 1);
		return view_make(text.at, text.at[i] == '\n' ? i : i + 1);
	}
	*rest = (struct view){NULL, 0};
	return text;
}

static void claims_add(json_t *claims, const struct sentence *sentence, const struct claim_facts *facts)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds) && json_array_size(claims) < CLAIMS_MAX; i++) {
		char why[WHY_MAX] = "";
		enum status status = kinds[i].judge(sentence, facts, why);
		size_t length = sentence->text.length < CLAIM_TEXT_MAX ? sentence->text.length : CLAIM_TEXT_MAX;
		json_t *claim;

		if (status == CLAIM_NONE)
			continue;
		claim = json_pack("{s:s, s:s}", "kind", kinds[i].name, "status", status_names[status]);
		json_set_bytes(claim, "claim", view_make(sentence->text.at, length));
		json_set_bytes(claim, "why", view_of(why));
		(void)json_array_append_new(claims, claim);
	}
}

json_t *claims_check(struct view summary, const struct claim_facts *facts)
{
	json_t *claims = json_array();
	struct view rest = view_make(summary.at, summary.length < TEXT_READ_MAX ? summary.length : TEXT_READ_MAX);
	struct sentence *sentence = mem_new(sizeof(*sentence));

	for (size_t count = 0; rest.at && rest.length && count < SENTENCES_MAX; count++) {
		sentence->text = view_trim(sentence_cut(rest, &rest));
		while (sentence->text.length && strchr("-*# >", sentence->text.at[0]) && sentence->text.at[0])
			sentence->text = view_make(sentence->text.at + 1, sentence->text.length - 1);
		words_cut(sentence);
		claims_add(claims, sentence, facts);
	}
	free(sentence);
	return claims;
}
