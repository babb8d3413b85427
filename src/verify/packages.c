/* Lock files, one reader a form. */
#include "verify/packages.h"

#include <string.h>

#include "base/scope.h"

#define NAME_MAX_BYTES ((size_t)300)
#define LOCK_DEPTH_MAX 20 /* of npm's old nested form */

struct reading {
	const char *ecosystem;
	json_t *packages;
	size_t count;
	bool whole;
};

/* NULL: over a limit, or it has no name or version. */
static json_t *package_add(struct reading *reading, struct view name, struct view version)
{
	AUTO_FREE char *key = NULL;
	json_t *package;

	if (!name.length || !version.length || name.length > NAME_MAX_BYTES || version.length > NAME_MAX_BYTES)
		return NULL;
	if (++reading->count > PACKAGES_MAX) {
		reading->whole = false;
		return NULL;
	}
	key = text_format("%s %.*s %.*s", reading->ecosystem, (int)name.length, name.at, (int)version.length, version.at);
	package = json_pack("{s:s}", "ecosystem", reading->ecosystem);
	json_set_bytes(package, "name", name);
	json_set_bytes(package, "version", version);
	if (json_object_set_new(reading->packages, key, package))
		return NULL; /* its name is no text */
	return package;
}

static void from_note(json_t *package, const char *from, const char *const *registries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_starts(view_of(from), view_of(registries[i])))
			return;
	if (package && from[0])
		json_set_bytes(package, "from", view_of(from));
}

static struct view after_last(struct view text, const char *mark)
{
	struct view found = text;
	ptrdiff_t at;

	while ((at = view_find(found, view_of(mark))) >= 0)
		found = view_make(found.at + at + strlen(mark), found.length - (size_t)at - strlen(mark));
	return found;
}

/* ---- JSON ---- */

static const char *const npm_registries[] = {"https://registry.npmjs.org/", "https://registry.yarnpkg.com/"};

static void npm_add(struct reading *reading, struct view name, const json_t *entry)
{
	json_t *package = package_add(reading, name, view_of(json_text(entry, "version", "")));

	if (!package)
		return;
	from_note(package, json_text(entry, "resolved", ""), npm_registries, ARRAY_LEN(npm_registries));
	if (json_text(entry, "license", NULL))
		json_set_bytes(package, "licence", view_of(json_text(entry, "license", "")));
	if (json_flag(entry, "hasInstallScript", false))
		(void)json_object_set_new(package, "script", json_true());
}

static void npm_nested(struct reading *reading, const json_t *dependencies, int depth)
{
	const char *name;
	json_t *entry;

	if (depth > LOCK_DEPTH_MAX)
		reading->whole = false;
	else
		json_object_foreach((json_t *)(uintptr_t)dependencies, name, entry) {
			npm_add(reading, view_of(name), entry);
			npm_nested(reading, json_member(entry, "dependencies"), depth + 1);
		}
}

static void npm_read(struct reading *reading, const json_t *root)
{
	const json_t *packages = json_member(root, "packages");
	const char *path;
	json_t *entry;

	if (!packages) {
		npm_nested(reading, json_member(root, "dependencies"), 0);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)packages, path, entry) {
		const char *name = json_text(entry, "name", NULL);

		if (path[0] && !json_flag(entry, "link", false) && strstr(path, "node_modules/"))
			npm_add(reading, name ? view_of(name) : after_last(view_of(path), "node_modules/"), entry);
	}
}

static void composer_read(struct reading *reading, const json_t *root)
{
	static const char *const lists[] = {"packages", "packages-dev"};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const json_t *list = json_member(root, lists[i]);

		for (size_t k = 0; k < json_array_size(list); k++) {
			const json_t *entry = json_array_get(list, k);
			json_t *package = package_add(reading, view_of(json_text(entry, "name", "")),
						      view_of(json_text(entry, "version", "")));
			const char *licence = json_string_value(json_array_get(json_member(entry, "license"), 0));

			if (package && licence)
				json_set_bytes(package, "licence", view_of(licence));
		}
	}
}

/* ---- lines ---- */

/* `key = "value"`: the value; empty when it is another line. */
static struct view toml_value(struct view line, const char *key)
{
	struct view rest;
	struct view left = view_trim(view_cut(line, '=', &rest));
	struct view value = view_trim(rest);

	if (!view_is(left, key) || value.length < 2 || value.at[0] != '"' || value.at[value.length - 1] != '"')
		return (struct view){0};
	return view_make(value.at + 1, value.length - 2);
}

/* [[package]] with name, version and source, as cargo, poetry and uv write it. */
static void toml_read(struct reading *reading, struct view text)
{
	static const char *const registries[] = {"registry+https://github.com/rust-lang/crates.io-index",
						 "sparse+https://index.crates.io/"};
	struct view name = {0};
	json_t *package = NULL;

	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		struct view version = toml_value(line, "version");
		struct view source = toml_value(line, "source");

		if (line.length && line.at[0] == '[') {
			package = NULL;
			name = (struct view){0};
		}
		if (toml_value(line, "name").length)
			name = toml_value(line, "name");
		if (version.length && name.length)
			package = package_add(reading, name, version);
		if (source.length && package) {
			AUTO_FREE char *from = view_copy(source);

			from_note(package, from, registries, ARRAY_LEN(registries));
		}
	}
}

/* name==version, with extras, markers and hashes behind. */
static void pip_read(struct reading *reading, struct view text)
{
	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		ptrdiff_t at = view_find(line, VIEW("=="));
		struct view rest;
		struct view name;
		struct view version;

		if (at <= 0 || line.at[0] == '#' || line.at[0] == '-')
			continue;
		name = view_trim(view_cut(view_make(line.at, (size_t)at), '[', &rest));
		version = view_trim(view_make(line.at + at + 2, line.length - (size_t)at - 2));
		for (const char *end = " ;\\#"; *end; end++)
			version = view_cut(version, *end, &rest);
		(void)package_add(reading, name, view_trim(version));
	}
}

/* module vVERSION h1:…; of the two lines of a module the one that is about its code. */
static void go_read(struct reading *reading, struct view text)
{
	while (text.length) {
		struct view rest;
		struct view name = view_cut(view_trim(view_cut(text, '\n', &text)), ' ', &rest);
		struct view version = view_cut(rest, ' ', &rest);

		if (version.length < 2 || version.at[0] != 'v' || view_ends(version, VIEW("/go.mod")))
			continue;
		(void)package_add(reading, name, view_make(version.at + 1, version.length - 1));
	}
}

/* Below "specs:", with four blanks: name (version). */
static void bundler_read(struct reading *reading, struct view text)
{
	while (text.length) {
		struct view line = view_cut(text, '\n', &text);
		struct view rest;
		struct view name;
		struct view version;

		if (line.length < 6 || memcmp(line.at, "    ", 4) != 0 || line.at[4] == ' ')
			continue;
		name = view_cut(view_make(line.at + 4, line.length - 4), ' ', &rest);
		version = view_trim(rest);
		if (version.length > 2 && version.at[0] == '(' && version.at[version.length - 1] == ')')
			(void)package_add(reading, name, view_make(version.at + 1, version.length - 2));
	}
}

static struct view unquoted(struct view text)
{
	text = view_trim(text);
	if (text.length >= 2 && (text.at[0] == '"' || text.at[0] == '\'') && text.at[text.length - 1] == text.at[0])
		return view_make(text.at + 1, text.length - 2);
	return text;
}

/* "name@…": the name, which may itself begin with @; *rest is what follows. */
static struct view name_cut(struct view text, struct view *rest)
{
	for (size_t i = 1; i < text.length; i++) {
		if (text.at[i] != '@')
			continue;
		*rest = view_make(text.at + i + 1, text.length - i - 1);
		return view_make(text.at, i);
	}
	*rest = (struct view){0};
	return (struct view){0};
}

/* `"name@range", name@other:`, and below it `  version "1.2.3"` (or `version: 1.2.3`) and `resolved "…"`. */
static void yarn_read(struct reading *reading, struct view text)
{
	struct view name = {0};
	json_t *package = NULL;

	while (text.length) {
		struct view line = view_cut(text, '\n', &text);
		struct view trimmed = view_trim(line);
		struct view rest;
		struct view word = view_cut(trimmed, ' ', &rest);

		if (line.length && line.at[0] != ' ' && line.at[0] != '#') {
			struct view first = unquoted(view_cut(view_cut(trimmed, ',', &rest), ':', &rest));

			if (first.length && first.at[0] == '"')
				first = view_make(first.at + 1, first.length - 1);
			name = name_cut(first, &rest);
			package = NULL;
		} else if (view_is(word, "version") || view_is(word, "version:")) {
			package = package_add(reading, name, unquoted(rest));
		} else if (view_is(word, "resolved") && package) {
			AUTO_FREE char *from = view_copy(unquoted(rest));

			from_note(package, from, npm_registries, ARRAY_LEN(npm_registries));
		}
	}
}

/* Below "packages:", with two blanks: /name@1.2.3(peers): or 'name@1.2.3': */
static void pnpm_read(struct reading *reading, struct view text)
{
	bool within = false;

	while (text.length) {
		struct view line = view_cut(text, '\n', &text);
		struct view rest;
		struct view key;
		struct view name;

		if (line.length && line.at[0] != ' ')
			within = view_starts(line, VIEW("packages:"));
		if (!within || line.length < 5 || memcmp(line.at, "  ", 2) != 0 || line.at[2] == ' ' ||
		    !view_ends(view_trim(line), VIEW(":")))
			continue;
		key = view_trim(line);
		key = unquoted(view_make(key.at, key.length - 1));
		if (key.length && key.at[0] == '/')
			key = view_make(key.at + 1, key.length - 1);
		name = name_cut(key, &rest);
		(void)package_add(reading, name, view_cut(rest, '(', &rest));
	}
}

/* ---- by name ---- */

static const struct form {
	const char *name; /* of the file; "*" stands for anything */
	const char *ecosystem;
	void (*json)(struct reading *reading, const json_t *root);
	void (*text)(struct reading *reading, struct view text);
} forms[] = {
	{"package-lock.json", "npm", npm_read, NULL},
	{"npm-shrinkwrap.json", "npm", npm_read, NULL},
	{"yarn.lock", "npm", NULL, yarn_read},
	{"pnpm-lock.yaml", "npm", NULL, pnpm_read},
	{"requirements*.txt", "PyPI", NULL, pip_read},
	{"poetry.lock", "PyPI", NULL, toml_read},
	{"uv.lock", "PyPI", NULL, toml_read},
	{"Cargo.lock", "crates.io", NULL, toml_read},
	{"go.sum", "Go", NULL, go_read},
	{"Gemfile.lock", "RubyGems", NULL, bundler_read},
	{"composer.lock", "Packagist", composer_read, NULL},
};

static bool name_matches(const char *pattern, struct view name)
{
	const char *star = strchr(pattern, '*');

	if (!star)
		return view_is(name, pattern);
	return name.length >= strlen(pattern) - 1 && view_starts(name, view_make(pattern, (size_t)(star - pattern))) &&
	       view_ends(name, view_of(star + 1));
}

static const struct form *form_of(const char *path)
{
	struct view name = after_last(view_of(path), "/");

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (name_matches(forms[i].name, name))
			return &forms[i];
	return NULL;
}

bool packages_locked(const char *path)
{
	return form_of(path) != NULL;
}

bool packages_read(const char *path, struct view text, json_t *packages)
{
	const struct form *form = form_of(path);
	struct reading reading = {.ecosystem = form ? form->ecosystem : "", .packages = packages, .whole = form != NULL};

	if (form && form->text)
		form->text(&reading, text);
	if (form && form->json) {
		AUTO_JSON root = json_parse(text, NULL);

		reading.whole = root != NULL;
		form->json(&reading, root);
	}
	return reading.whole;
}
