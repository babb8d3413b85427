/*
 * The example application (examples/shop), whose unit tests mock every neighbour, with changes that are kept as patches: bugs between its
 * services (tests/verify/bugs), each of which some gate must catch, and harmless changes (tests/verify/harmless), of which none may be stopped.
 * Needs root.
 *
 * A patch opens with a sentence, then lines that say what it is:
 *
 *	about: what sort of change it is
 *	gate: the one that catches it; of a harmless change there is none
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

/* Pages have tests of their own, and Chromium would take most of the time; what end-to-end tests see is not to be counted for the gates. */
static struct application shop = {
	.folder = "shop",
	.from = "examples/shop",
	.quick = {
		{"assay.yaml", "  timeout: 10m\n", "  timeout: 20m\n  skip: [visual]\n"},
		{"assay.yaml",
		 "  e2e:\n    run: node tests/e2e.mjs\n    report: reports/e2e.xml\n    files: [\"tests/e2e.mjs\"]\n    needs: services\n"
		 "    timeout: 60s\n",
		 ""}}};

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
	struct err err = {0};

	assert_true(patches->count < PATCHES_MAX);
	must(file_read(path, &text, &err), &err);
	AUTO_FREE char *always = patch_line(buf_view(&text), "always");
	struct change *change = &patches->changes[patches->count++];

	*change = (struct change){.name = view_copy(view_make(name, strlen(name) - strlen(".patch"))),
				  .patch = text_copy(path),
				  .about = patch_line(buf_view(&text), "about"),
				  .verdict = harmless ? "verified" : "failed",
				  .gate = patch_line(buf_view(&text), "gate"),
				  .declares = patch_line(buf_view(&text), "declares"),
				  .rare = !always};
	if (!change->about || harmless != !change->gate)
		fail_msg("%s does not say what it is about, or by which gate it is caught", path);
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

static void every_bug_between_the_services_is_caught_and_no_harmless_change_is(void **state)
{
	static struct patches patches;

	(void)state;
	patches_read(&patches, "bugs", false);
	patches_read(&patches, "harmless", true);
	assert_int_equal(changes_run(&shop, patches.changes, patches.count), 0);
	patches_fini(&patches);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bug_between_the_services_is_caught_and_no_harmless_change_is),
		cmocka_unit_test(nothing_is_left_of_a_verification),
	};

	return cmocka_run_group_tests(tests, frame_open, frame_close);
}

int main(int argc, char **argv)
{
	return frame_main(argc, argv, run);
}
