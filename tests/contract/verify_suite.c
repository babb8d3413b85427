/*
 * The example application (examples/shop), whose unit tests mock every neighbour, with changes that are kept as patches: bugs between its
 * services (tests/verify/bugs), each of which some gate must catch, and harmless changes (tests/verify/harmless), of which none may be stopped.
 * Needs root.
 *
 * A patch opens with a sentence, then lines that say what it is:
 *
 *	about: what sort of change it is
 *	gate: the one that catches it; of a harmless change there is none
 *	missed: why no gate catches it
 *	declares: a difference that a person declared
 *	always: yes, when it is one of the few that are verified without ASSAY_LONG
 *
 * `contract_verify_suite [NAME…]` verifies only those.
 */
#include "verify_frame.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"

#define PATCH_BYTES_MAX ((size_t)256 << 10)
#define PATCHES_MAX ((size_t)200)

#define WITHOUT_E2E                                                                                                                     \
	{                                                                                                                               \
		"assay.yaml",                                                                                                           \
			"  e2e:\n    run: node tests/e2e.mjs\n    report: reports/e2e.xml\n    files: [\"tests/e2e.mjs\"]\n    needs: " \
			"services\n    timeout: 60s\n",                                                                                 \
			""                                                                                                              \
	}

/* Pages have tests of their own, and Chromium would take most of the time; what end-to-end tests see is not to be counted for the gates. */
static struct application shop = {.folder = "shop",
				  .from = "examples/shop",
				  .quick = {{"assay.yaml", "  timeout: 10m\n", "  timeout: 20m\n  skip: [visual]\n"}, WITHOUT_E2E}};

/* For bugs that a gate up to the replay catches: where it does not, the others are not asked. */
#define QUICK                                                                                                                   \
	{                                                                                                                       \
		{"assay.yaml", "  timeout: 10m\n", "  timeout: 20m\n  skip: [faults, migrations, race, visual]\n"}, WITHOUT_E2E \
	}
static struct application shop_quick = {.folder = "shop", .from = "examples/shop", .quick = QUICK};
static struct application shop_again = {.folder = "shop", .from = "examples/shop", .quick = QUICK};

struct patches {
	struct change changes[PATCHES_MAX];
	size_t count;
};

/* "gate: replay" of what stands before the patch itself. Owned by the caller; NULL: there is no such line. */
static char *patch_line(struct view text, const char *name)
{
	while (text.length) {
		struct view value;
		struct view line = view_cut(text, '\n', &text);
		struct view key = view_cut(line, ':', &value);

		if (view_starts(line, VIEW("diff --git ")))
			break;
		if (view_is(key, name) && value.at)
			return view_copy(view_trim(value));
	}
	return NULL;
}

static void patch_add(struct patches *patches, const char *path, const char *name, bool harmless)
{
	AUTO_BUF text = buf_new(PATCH_BYTES_MAX);
	AUTO_FREE char *missed = NULL;
	struct err err = {0};

	assert_true(patches->count < PATCHES_MAX);
	must(file_read(path, &text, &err), &err);
	AUTO_FREE char *always = patch_line(buf_view(&text), "always");
	struct change *change = &patches->changes[patches->count++];

	*change = (struct change){.name = view_copy(view_make(name, strlen(name) - strlen(".patch"))),
				  .patch = text_copy(path),
				  .about = patch_line(buf_view(&text), "about"),
				  .verdict = "failed",
				  .gate = patch_line(buf_view(&text), "gate"),
				  .declares = patch_line(buf_view(&text), "declares"),
				  .rare = !always};
	missed = patch_line(buf_view(&text), "missed");
	change->missed = missed;
	if (!change->about || (harmless || missed) != !change->gate)
		fail_msg("%s does not say what it is about, or by which gate it is caught", path);
	if (!change->gate)
		change->verdict = "verified";
}

static void patches_read(struct patches *patches, const char *folder, bool harmless)
{
	const char *root = getenv("ASSAY_SOURCE_ROOT");
	AUTO_FREE char *relative = text_format("%s/tests/verify/%s", root ? root : ".", folder);
	AUTO_FREE char *dir = realpath(relative, NULL);
	struct dirent **entries = NULL;
	int count = dir ? scandir(dir, &entries, NULL, alphasort) : -1;

	assert_true(count > 0);
	for (int i = 0; i < count; i++) {
		AUTO_FREE char *path = text_format("%s/%s", dir, entries[i]->d_name);

		if (view_ends(view_of(entries[i]->d_name), VIEW(".patch")))
			patch_add(patches, path, entries[i]->d_name, harmless);
		free(entries[i]);
	}
	free(entries);
}

static void patches_fini(struct patches *patches)
{
	for (size_t i = 0; i < patches->count; i++) {
		const struct change *change = &patches->changes[i];
		const char *const owned[] = {change->name, change->patch, change->about, change->gate, change->declares};

		for (size_t k = 0; k < ARRAY_LEN(owned); k++)
			free((char *)(uintptr_t)owned[k]);
	}
}

static bool is_late(const struct change *change)
{
	static const char *const gates[] = {"faults", "migrations", "race"};

	for (size_t i = 0; change->gate && i < ARRAY_LEN(gates); i++)
		if (strcmp(change->gate, gates[i]) == 0)
			return true;
	return !change->gate && !change->missed;
}

static void every_bug_between_the_services_is_caught_and_no_harmless_change_is(void **state)
{
	static struct patches all, early, late;
	int bad;

	(void)state;
	patches_read(&all, "bugs", false);
	patches_read(&all, "harmless", true);
	for (size_t i = 0; i < all.count; i++) {
		struct patches *of = is_late(&all.changes[i]) ? &late : &early;

		of->changes[of->count++] = all.changes[i];
	}
	bad = changes_run(&shop_quick, early.changes, early.count);
	bad += changes_run(&shop, late.changes, late.count);
	assert_int_equal(bad, 0);
	patches_fini(&all);
}

static const struct change *change_find(const struct patches *patches, const char *name)
{
	for (size_t i = 0; i < patches->count; i++)
		if (strcmp(patches->changes[i].name, name) == 0)
			return &patches->changes[i];
	fail_msg("there is no patch %s", name);
	return NULL;
}

static void the_same_two_commits_give_the_same_findings_every_time(void **state)
{
	static const char *const names[] = {"refactor-a-function", "page-off-by-one", "message-shape"};
	static struct patches all, some;
	const char *times = getenv("ASSAY_TEST_TIMES");

	(void)state;
	patches_read(&all, "bugs", false);
	patches_read(&all, "harmless", true);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		some.changes[some.count] = *change_find(&all, names[i]);
		some.changes[some.count++].rare = false;
	}
	if (!times)
		(void)setenv("ASSAY_TEST_TIMES", getenv("ASSAY_LONG") ? "20" : "3", 1);
	assert_int_equal(changes_run(&shop_again, some.changes, some.count), 0);
	if (!times)
		(void)unsetenv("ASSAY_TEST_TIMES");
	patches_fini(&all);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bug_between_the_services_is_caught_and_no_harmless_change_is),
		cmocka_unit_test(the_same_two_commits_give_the_same_findings_every_time),
		cmocka_unit_test(nothing_is_left_of_a_verification),
	};

	return cmocka_run_group_tests(tests, frame_open, frame_close);
}

int main(int argc, char **argv)
{
	return frame_main(argc, argv, run);
}
