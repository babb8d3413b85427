/*
 * Where what runs the tests comes from: dependencies that are taken from another place than before, lock files that say otherwise what was
 * said already, and the parts of a manifest by which tests are configured. These files are the head's also where tests are judged, since
 * its code needs what they bring.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/integrity_priv.h"

#define TEXT_MAX ((size_t)64 << 10)
#define SHOWN ((size_t)120)

/* What tests are made of. */
static const char *const tools[] = {
	"mocha",         "jest",      "vitest",  "ava",          "tap",        "chai",
	"sinon",         "jasmine",   "karma",   "cypress",      "playwright", "@playwright/test",
	"@jest/globals", "expect",    "assert",  "power-assert", "should",     "supertest",
	"nyc",           "c8",        "uvu",     "tape",         "testem",     "pytest",
	"pytest-cov",    "nose",      "nose2",   "hypothesis",   "tox",        "nox",
	"coverage",      "testify",   "ginkgo",  "gomega",       "rspec",      "rspec-core",
	"minitest",      "test-unit", "phpunit", "eslint",       "ruff",       "flake8",
	"mypy",          "pylint",    "ts-jest", "ts-node",      "tsx",        "babel-jest",
};

static bool is_tool(struct view name)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (view_is(name, tools[i]))
			return true;
	return false;
}

bool integrity_is_manifest(const char *path)
{
	static const char *const rows[] = {"**/package.json", "**/package-lock.json", "**/npm-shrinkwrap.json",
					   "**/yarn.lock",    "**/pnpm-lock.yaml",    "**/requirements*.txt",
					   "**/Pipfile",      "**/pyproject.toml",    "**/poetry.lock",
					   "**/uv.lock",      "**/Cargo.toml",        "**/Cargo.lock",
					   "**/go.mod",       "**/Gemfile",           "**/Gemfile.lock"};

	return integrity_matches(rows, ARRAY_LEN(rows), path);
}

static bool is_named(const struct changed *file, const char *const *names, size_t count)
{
	const char *slash = strrchr(file->path, '/');

	for (size_t i = 0; i < count; i++)
		if (strcmp(slash ? slash + 1 : file->path, names[i]) == 0)
			return true;
	return false;
}

static void tell(struct check *check, const struct changed *file, const char *kind, enum severity severity, const char *within,
		 const char *bound, int line, const char *what)
{
	integrity_add(check,
		      &(struct finding){.kind = kind,
					.severity = severity,
					.weight = severity == SEVERITY_BLOCK ? WEIGHT_COMMAND + 1 : WEIGHT_SLIGHT + 3,
					.place = file->path,
					.path = within,
					.bound = bound,
					.line = line,
					.detail = "What runs the tests comes with it: a person must see what it is, and why."},
		      "%s: %s", file->path, what);
}

/* "https://registry.npmjs.org/a/-/a-1.tgz": its host; "file:x": "file:"; "" for a version. */
static struct view source_of(struct view text)
{
	static const char *const schemes[] = {"https://", "http://", "git+ssh://", "git+https://", "git://", "ssh://"};
	static const char *const others[] = {
		"file:", "link:", "portal:", "npm:", "github:", "gitlab:", "bitbucket:", "exec:", "patch:"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (view_starts(text, view_of(schemes[i])))
			return view_cut(view_make(text.at + strlen(schemes[i]), text.length - strlen(schemes[i])), '/',
					&(struct view){0});
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (view_starts(text, view_of(others[i])))
			return view_of(others[i]);
	if (text.length && (text.at[0] == '.' || text.at[0] == '/'))
		return VIEW("file:");
	return view_find(text, VIEW("/")) >= 0 && text.at[0] != '@' ? VIEW("github:") : VIEW("");
}

/* Where packages of a language come from unless somebody says otherwise: the first dependency of a project brings it. */
static bool is_public(struct view place)
{
	static const char *const rows[] = {"registry.npmjs.org",
					   "registry.yarnpkg.com",
					   "pypi.org",
					   "files.pythonhosted.org",
					   "github.com/rust-lang/crates.io-index",
					   "index.crates.io",
					   "rubygems.org",
					   "proxy.golang.org"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t length = strlen(rows[i]);

		if (view_starts(place, view_of(rows[i])) && (place.length == length || strchr("/\"' ,?#", place.at[length])))
			return true;
	}
	return false;
}

/* ---- package.json ---- */

static void dependency_judge(struct check *check, const struct changed *file, const char *name, const json_t *before,
			     const char *is)
{
	const char *was = json_string_value(before);
	struct view old = source_of(view_of(was ? was : ""));
	struct view now = source_of(view_of(is));
	bool judges = is_tool(view_of(name)) || (was && !old.length);
	AUTO_FREE char *what = NULL;

	if (!now.length || (was && view_equal(old, now)))
		return;
	what = text_format("`%s` comes from %.80s now", name, is);
	tell(check, file, "dependency-source", judges ? SEVERITY_BLOCK : SEVERITY_WARN, name, is, 0, what);
}

static void dependencies_judge(struct check *check, const struct changed *file, const json_t *before, const json_t *after)
{
	static const char *const rows[] = {"dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions"};
	const char *name;
	json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		json_object_foreach(json_member(after, rows[i]), name, value) {
			const json_t *was = json_object_get(json_member(before, rows[i]), name);

			for (size_t k = 0; !was && k < ARRAY_LEN(rows); k++)
				was = json_object_get(json_member(before, rows[k]), name);
			if (json_is_string(value))
				dependency_judge(check, file, name, was, json_string_value(value));
		}
}

static void settings_judge(struct check *check, const struct changed *file, const json_t *before, const json_t *after)
{
	static const char *const rows[] = {"jest", "mocha", "ava",     "tap",          "vitest", "babel",
					   "nyc",  "c8",    "jasmine", "eslintConfig", "wireit"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const json_t *was = json_object_get(before, rows[i]);
		const json_t *is = json_object_get(after, rows[i]);
		AUTO_BUF text = buf_new(INTEGRITY_FILE_MAX);
		AUTO_FREE char *what = NULL;

		if (was == is || (was && is && json_equal(was, is)))
			continue;
		if (is)
			json_format_sorted(&text, is);
		what = text_format("`%s`, which configures what checks the code, was changed", rows[i]);
		tell(check, file, "runner-config", SEVERITY_BLOCK, rows[i], text.at ? text.at : "", 0, what);
	}
}

/* ---- package-lock.json ---- */

/* {host: true} of what the lock file has: neither the root nor the repository's own packages, which are links, come from anywhere */
static json_t *hosts_of(const json_t *packages)
{
	json_t *hosts = json_object();
	const char *name;
	json_t *package;

	json_object_foreach((json_t *)(uintptr_t)packages, name, package) {
		AUTO_FREE char *host = view_copy(source_of(view_of(json_text(package, "resolved", ""))));

		if (name[0] && host[0] && !json_flag(package, "link", false))
			(void)json_object_set_new(hosts, host, json_true());
	}
	return hosts;
}

/* The public registries keep a package's files below its name: "https://registry.npmjs.org/NAME/-/…". */
static bool is_another_package(const char *name, const char *resolved)
{
	static const char *const registries[] = {"://registry.npmjs.org/", "://registry.yarnpkg.com/"};
	const char *slash = strchr(name, '/');
	AUTO_FREE char *plain = text_format("%s/-/", name);
	AUTO_FREE char *encoded = slash ? text_format("%.*s%%2f%s/-/", (int)(slash - name), name, slash + 1) : text_copy(plain);

	for (size_t i = 0; i < ARRAY_LEN(registries); i++) {
		const char *at = strstr(resolved, registries[i]);
		const char *behind = at ? at + strlen(registries[i]) : NULL;

		if (behind && strncmp(behind, plain, strlen(plain)) != 0 && strncasecmp(behind, encoded, strlen(encoded)) != 0)
			return true;
	}
	return false;
}

/* Is it where no package of the base came from? */
static bool is_elsewhere(const json_t *hosts, const char *host, bool tool, bool link)
{
	if (json_object_get(hosts, host) || (link && !tool))
		return false;
	return json_object_size(hosts) || (tool && !is_public(view_of(host)));
}

/* What is new and is no tool is told by the gate `scan`: where it comes from, and that it runs code. */
static void package_judge(struct check *check, const struct changed *file, const char *name, const json_t *before,
			  const json_t *after, const json_t *hosts)
{
	const char *slash = strstr(name, "node_modules/");
	const char *last = name;
	const char *resolved = json_text(after, "resolved", "");
	const char *integrity = json_text(after, "integrity", "");
	bool link = json_flag(after, "link", false);
	AUTO_FREE char *host = view_copy(source_of(view_of(link ? "file:" : resolved)));
	bool moved = before && json_flag(before, "link", false) != link;
	bool same = before && !moved && strcmp(json_text(before, "resolved", ""), resolved) == 0;
	bool tool;

	for (; slash; slash = strstr(last, "node_modules/"))
		last = slash + strlen("node_modules/");
	tool = is_tool(view_of(last));
	if (before && strcmp(json_text(before, "version", ""), json_text(after, "version", "")) == 0 && integrity[0] &&
	    json_text(before, "integrity", "")[0] && strcmp(integrity, json_text(before, "integrity", "")) != 0) {
		AUTO_FREE char *what = text_format("the same version of `%s` has other contents now", last);

		tell(check, file, "lock-file", SEVERITY_BLOCK, name, integrity, 0, what);
	}
	if (tool && !link && !same && is_another_package(last, resolved)) {
		AUTO_FREE char *what = text_format("`%s` is another package now: %.80s", last, resolved);

		tell(check, file, "dependency-source", SEVERITY_BLOCK, name, resolved, 0, what);
	} else if (host[0] && !same && (moved || is_elsewhere(hosts, host, tool, link)) &&
		   (before || tool || link || is_public(view_of(host)))) {
		AUTO_FREE char *what = text_format("`%s` comes from %.80s now", last,
						   link ? json_text(after, "resolved", "a link") : resolved);

		tell(check, file, "dependency-source", before || tool ? SEVERITY_BLOCK : SEVERITY_WARN, name, resolved, 0, what);
	}
	if (before && strcmp(json_text(before, "version", ""), json_text(after, "version", "")) == 0 &&
	    json_flag(after, "hasInstallScript", false) && !json_flag(before, "hasInstallScript", false)) {
		AUTO_FREE char *what = text_format("`%s` runs a script when it is installed", last);

		tell(check, file, "install-script", SEVERITY_WARN, name, NULL, 0, what);
	}
}

static void lock_judge(struct check *check, const struct changed *file)
{
	AUTO_JSON before = json_parse(buf_view(&file->base), NULL);
	AUTO_JSON after = json_parse(buf_view(&file->head), NULL);
	const char *key = json_is_object(json_member(after, "packages")) ? "packages" : "dependencies";
	/* npm 7 began to write the other one. */
	const char *other = strcmp(key, "packages") == 0 ? "dependencies" : "packages";
	AUTO_JSON hosts = hosts_of(json_member(before, json_member(before, key) ? key : other));
	const char *name;
	json_t *package;

	json_object_foreach(json_member(after, key), name, package)
		if (name[0])
			package_judge(check, file, name, json_object_get(json_member(before, key), name), package, hosts);
}

/* ---- others, line by line ---- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Does the word stand in it on its own? */
static bool has_word(struct view line, struct view word)
{
	for (ptrdiff_t at = view_find(line, word); at >= 0; at = view_find(line, word)) {
		size_t end = (size_t)at + word.length;

		if ((at == 0 || !is_word(line.at[at - 1])) && (end == line.length || !is_word(line.at[end])))
			return true;
		line = view_make(line.at + end, line.length - end);
	}
	return false;
}

static bool names_a_tool(struct view line)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (has_word(line, view_of(tools[i])))
			return true;
	return false;
}

static bool has_one_of(struct view line, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_find(line, view_of(words[i])) >= 0)
			return true;
	return false;
}

/* The next host of a text, and `rest`, which begins with it and whatever is behind. */
static bool host_next(struct view *rest, struct view *host)
{
	ptrdiff_t at = view_find(*rest, VIEW("://"));

	if (at < 0)
		return false;
	*rest = view_make(rest->at + at + 3, rest->length - (size_t)at - 3);
	*host = view_make(rest->at, 0);
	while (host->length < rest->length && host->length < TEXT_MAX && !strchr("/\"' ,\r\n", rest->at[host->length]))
		host->length++;
	return true;
}

/* {host: true} of a whole text */
static json_t *hosts_in(struct view text)
{
	json_t *hosts = json_object();
	struct view host;

	while (host_next(&text, &host)) {
		AUTO_FREE char *name = view_copy(host);

		(void)json_object_set_new(hosts, name, json_true());
	}
	return hosts;
}

/* A host of a lock file's line that is none of the base's. */
static bool has_new_host(struct view line, const json_t *hosts)
{
	struct view host;

	if (view_starts(line, VIEW("description = ")) || view_starts(line, VIEW("deprecated: "))) /* words for people */
		return false;
	while (host_next(&line, &host)) {
		AUTO_FREE char *name = view_copy(host);

		if (!json_object_get(hosts, name) && (json_object_size(hosts) || !is_public(line)))
			return true;
	}
	return false;
}

/* Where a manifest of sections is read: whether the section says of a tool where it comes from, as [tool.uv.sources.pytest]. */
struct sections {
	struct view rest;
	bool of_a_tool;
};

/* Reads on to where `line` ends, which lies in the same text. */
static bool section_is_a_tools(struct sections *sections, struct view line)
{
	static const char *const rows[] = {"sources.", "dependencies.", "packages."};

	while (sections->rest.length && sections->rest.at <= line.at) {
		struct view next = view_trim(view_cut(sections->rest, '\n', &sections->rest));

		if (view_starts(next, VIEW("[")))
			sections->of_a_tool = has_one_of(next, rows, ARRAY_LEN(rows)) && names_a_tool(next);
	}
	return sections->of_a_tool;
}

/* Without what is said behind it: places stand in comments, too. */
static struct view uncommented(struct view line)
{
	ptrdiff_t at = view_find(line, VIEW(" #"));

	return at < 0 ? line : view_make(line.at, (size_t)at);
}

static void lines_judge(struct check *check, const struct changed *file, bool lock)
{
	static const char *const indexes[] = {"--index-url", "--extra-index-url", "--find-links", "--trusted-host"};
	static const char *const places[] = {
		"file:", "path =", "path=",   "path:",    ":path",  "git =", "git=", "git+", "git:", "git@",   ":git",
		"url =", "url=",   "http://", "https://", "ssh://", "link:", "-e ",  " @ ",  "./",   "github:"};
	static const char *const silent[] = {"harness = false", "test = false", "doctest = false"};
	struct fresh_lines lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	bool go = view_ends(view_of(file->path), VIEW("go.mod")); /* whose modules are called by where they are */
	bool cargo = view_ends(view_of(file->path), VIEW("Cargo.toml"));
	AUTO_JSON hosts = lock ? hosts_in(buf_view(&file->base)) : NULL;
	struct sections sections = {.rest = buf_view(&file->head)};
	struct view line;

	while (fresh_lines_next(&lines, &line)) {
		bool tool = section_is_a_tools(&sections, line);
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < SHOWN ? line.length : SHOWN));
		AUTO_FREE char *what = NULL;

		if (line.at[0] == '#')
			continue;
		if (cargo && has_one_of(line, silent, ARRAY_LEN(silent)))
			what = text_format("tests do not run any more: %s", shown);
		else if (has_one_of(line, indexes, ARRAY_LEN(indexes)) || (lock && file->base.length && has_new_host(line, hosts)))
			what = text_format("packages come from another place now: %s", shown);
		else if (!lock && (tool || names_a_tool(line)) &&
			 (go ? view_find(line, VIEW("=>")) >= 0 : has_one_of(uncommented(line), places, ARRAY_LEN(places))))
			what = text_format("what runs the tests comes from another place now: %s", shown);
		if (what)
			tell(check, file, "dependency-source", SEVERITY_BLOCK, shown, NULL, lines.number, what);
	}
}

/* ---- parts of pyproject.toml ---- */

/* What was read of a section goes behind what others of its name said: [tool.x], [tool.x.y]. */
static void section_put(json_t *parts, const char *name, struct buf *text)
{
	AUTO_JSON holder = json_object();

	if (name && text->length) {
		json_set_bytes(holder, "t", buf_view(text));
		if (!json_object_get(parts, name))
			(void)json_object_set_new(parts, name, json_array());
		(void)json_array_append(json_object_get(parts, name), json_object_get(holder, "t"));
	}
	buf_clear(text);
}

static json_t *sections_joined(const json_t *parts)
{
	json_t *sections = json_object();
	const char *name;
	json_t *texts;

	json_object_foreach((json_t *)(uintptr_t)parts, name, texts) {
		AUTO_BUF all = buf_new(2 * INTEGRITY_FILE_MAX);

		for (size_t i = 0; i < json_array_size(texts); i++)
			buf_add(&all, json_string_value(json_array_get(texts, i)), json_string_length(json_array_get(texts, i)));
		json_set_bytes(sections, name, buf_view(&all));
	}
	return sections;
}

/* The texts of the sections [tool.NAME…]: {NAME: text}. */
static json_t *sections_of(struct view text)
{
	AUTO_JSON parts = json_object();
	AUTO_BUF section = buf_new(2 * INTEGRITY_FILE_MAX);
	AUTO_FREE char *name = NULL;

	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));

		if (line.length && line.at[0] == '[') {
			size_t end = 6;
			bool tool = view_starts(line, VIEW("[tool."));

			while (end < line.length && is_word(line.at[end]))
				end++;
			/* a section of the same tool goes on in the same text */
			if (!tool || !name || !view_is(view_make(line.at + 6, end - 6), name)) {
				section_put(parts, name, &section);
				free(name);
				name = tool ? view_copy(view_make(line.at + 6, end - 6)) : NULL;
			}
		}
		if (name && line.length && line.at[0] != '#') {
			buf_add_view(&section, line);
			buf_add_char(&section, '\n');
		}
	}
	section_put(parts, name, &section);
	return sections_joined(parts);
}

static bool suites_name(const struct blueprint *blueprint, const char *tool)
{
	for (size_t i = 0; i < blueprint->test_count; i++) {
		const struct command *run = &blueprint->tests[i].run;

		if (run->shell && strstr(run->shell, tool))
			return true;
		for (size_t k = 0; run->argv && run->argv[k]; k++)
			if (strstr(run->argv[k], tool))
				return true;
	}
	return false;
}

static void sections_judge(struct check *check, const struct changed *file)
{
	static const char *const runners[] = {"pytest", "coverage", "tox", "nox", "hatch", "taskipy", "poe", "pdm"};
	AUTO_JSON before = sections_of(buf_view(&file->base));
	AUTO_JSON after = sections_of(buf_view(&file->head));
	AUTO_JSON names = json_object();
	const char *name;
	json_t *unused;

	(void)json_object_update(names, before);
	(void)json_object_update(names, after);
	json_object_foreach(names, name, unused) {
		const char *is = json_text(after, name, "");
		bool judges = suites_name(check->blueprint, name);
		AUTO_FREE char *what = NULL;

		for (size_t i = 0; i < ARRAY_LEN(runners); i++)
			judges = judges || strcmp(runners[i], name) == 0;
		if (!judges || strcmp(json_text(before, name, ""), is) == 0)
			continue;
		what = text_format("[tool.%s], which configures what checks the code, was changed", name);
		tell(check, file, "runner-config", SEVERITY_BLOCK, name, is, 0, what);
	}
}

void integrity_check_sources(struct check *check, const struct changed *file)
{
	static const char *const npm_locks[] = {"package-lock.json", "npm-shrinkwrap.json"};
	static const char *const locks[] = {"yarn.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "Cargo.lock", "Gemfile.lock"};
	static const char *const package[] = {"package.json"};
	static const char *const python[] = {"pyproject.toml"};

	if (file->status == 'D' || !integrity_is_manifest(file->path))
		return;
	if (is_named(file, package, ARRAY_LEN(package))) {
		AUTO_JSON before = json_parse(buf_view(&file->base), NULL);
		AUTO_JSON after = json_parse(buf_view(&file->head), NULL);

		dependencies_judge(check, file, before, after);
		if (file->status != 'A')
			settings_judge(check, file, before, after);
	} else if (is_named(file, npm_locks, ARRAY_LEN(npm_locks))) {
		lock_judge(check, file);
	} else {
		lines_judge(check, file, is_named(file, locks, ARRAY_LEN(locks)));
		if (file->status != 'A' && is_named(file, python, ARRAY_LEN(python)))
			sections_judge(check, file);
	}
}
