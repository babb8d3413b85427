/*
 * Globs over paths. Theory of operation: a path and a glob are lists of segments, and `**` stands for any number of segments as `*` does
 * for any number of characters. In both cases only the latest star needs to be tried again, so the work is bounded by length times
 * length.
 */
#include "blueprint/blueprint.h"

/* One character against [...] at class[0]; *used is the length of the class, 0 when it is not closed. */
static bool class_match(struct view class, char c, size_t *used)
{
	size_t at = 1;
	bool negated = class.length > 1 && (class.at[1] == '!' || class.at[1] == '^');
	bool found = false;

	*used = 0;
	at += negated;
	for (size_t first = at; at < class.length && (class.at[at] != ']' || at == first); at++) {
		if (at + 2 < class.length && class.at[at + 1] == '-' && class.at[at + 2] != ']') {
			found = found || (c >= class.at[at] && c <= class.at[at + 2]);
			at += 2;
		} else {
			found = found || c == class.at[at];
		}
	}
	if (at < class.length)
		*used = at + 1;
	return found != negated;
}

/* One step of a glob's segment against one character: how much of the glob it uses, 0 when it does not match. */
static size_t step_match(struct view glob, char c)
{
	size_t used;
	bool matches;

	if (!glob.length)
		return 0;
	if (glob.at[0] == '?')
		return 1;
	if (glob.at[0] != '[')
		return glob.at[0] == c;
	matches = class_match(glob, c, &used);
	if (!used)
		return c == '[';
	return matches ? used : 0;
}

static struct view view_from(struct view view, size_t at)
{
	return view_make(view.at + at, view.length - at);
}

static bool segment_match(struct view glob, struct view text)
{
	size_t glob_at = 0;
	size_t text_at = 0;
	size_t star = SIZE_MAX;
	size_t star_text = 0;

	while (text_at < text.length) {
		size_t used;

		if (glob_at < glob.length && glob.at[glob_at] == '*') {
			star = ++glob_at;
			star_text = text_at;
			continue;
		}
		used = step_match(view_from(glob, glob_at), text.at[text_at]);
		if (used) {
			glob_at += used;
			text_at++;
		} else if (star != SIZE_MAX) {
			glob_at = star;
			text_at = ++star_text;
		} else {
			return false;
		}
	}
	while (glob_at < glob.length && glob.at[glob_at] == '*')
		glob_at++;
	return glob_at == glob.length;
}

bool glob_match(const char *glob, const char *path)
{
	struct view globs = view_of(glob);
	struct view rest = view_of(path);
	struct view star = {0};      /* what follows the latest `**` */
	struct view star_rest = {0}; /* and what it was tried on last */
	struct view tail;

	while (rest.at) {
		struct view wanted = globs.at ? view_cut(globs, '/', &tail) : globs;
		struct view next;
		struct view segment = view_cut(rest, '/', &next);

		if (globs.at && view_is(wanted, "**")) {
			if (!tail.at)
				return true;
			globs = star = tail;
			star_rest = rest;
		} else if (globs.at && segment_match(wanted, segment)) {
			globs = tail;
			rest = next;
		} else if (star_rest.at) {
			(void)view_cut(star_rest, '/', &star_rest);
			globs = star;
			rest = star_rest;
		} else {
			return false;
		}
	}
	return !globs.at;
}

const char *const blueprint_ci_globs[] = {".github/workflows/**",
					  ".gitlab-ci.yml",
					  ".circleci/**",
					  "Jenkinsfile",
					  ".drone.yml",
					  "azure-pipelines.yml",
					  ".travis.yml",
					  ".ci/**",
					  "bitbucket-pipelines.yml",
					  ".buildkite/**",
					  NULL};
