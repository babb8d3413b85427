/*
 * What the suites' commands come to: scripts of package.json, targets of make and its kin, and files that are run.
 *
 * Theory of operation: a suite's command is the base's, but what it calls by name is read from the work tree, which is the head's. So names
 * are followed: from the commands to scripts and targets, from their texts to others, through shell scripts too, in both versions. It is read as
 * words, not as a shell would: a name too many costs nothing, since only names that are there and differ are told of.
 */
#include "verify/integrity_reach.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"

#define REACHED_MAX 400                /* names that are followed */
#define COMMAND_MAX ((size_t)16 << 10) /* of one command; what stands in a longer one is not read */
#define WORDS_MAX 256                  /* behind a program */
#define LOOKUPS_MAX 2000               /* of files of the base */

/* ---- words of a command ---- */

enum reads { READS_SCRIPTS, READS_TARGETS, READS_FILE, READS_SHELL, READS_NODE };

static const struct {
	const char *name;
	enum reads reads;
} programs[] = {
	{"npm", READS_SCRIPTS},    {"pnpm", READS_SCRIPTS},
	{"yarn", READS_SCRIPTS},   {"bun", READS_SCRIPTS},
	{"run-s", READS_SCRIPTS},  {"run-p", READS_SCRIPTS},
	{"turbo", READS_SCRIPTS},  {"nx", READS_SCRIPTS},
	{"lerna", READS_SCRIPTS},  {"npm-run-all", READS_SCRIPTS},
	{"wireit", READS_SCRIPTS}, {"make", READS_TARGETS},
	{"gmake", READS_TARGETS},  {"just", READS_TARGETS},
	{"task", READS_TARGETS},   {"go-task", READS_TARGETS},
	{"sh", READS_SHELL},       {"bash", READS_SHELL},
	{"dash", READS_SHELL},     {"zsh", READS_SHELL},
	{"ksh", READS_SHELL},      {".", READS_SHELL},
	{"source", READS_SHELL},   {"node", READS_NODE},
	{"deno", READS_FILE},      {"tsx", READS_FILE},
	{"ts-node", READS_FILE},   {"python", READS_FILE},
	{"python3", READS_FILE},   {"ruby", READS_FILE},
	{"perl", READS_FILE},      {"php", READS_FILE},
};

/* The next word, and whether a new command begins with it. Quotes only part words: what stands in them may be a command. */
static bool word_next(struct view *text, struct view *word, bool *begins)
{
	size_t at = 0;
	size_t end;

	while (at < text->length && strchr(" \t\r\n;|&(){}'\"`$=", text->at[at])) {
		*begins = *begins || strchr("\n;|&(){`", text->at[at]) != NULL;
		at++;
	}
	for (end = at; end < text->length && !strchr(" \t\r\n;|&(){}'\"`", text->at[end]); end++)
		continue;
	*word = view_make(text->at + at, end - at);
	*text = view_make(text->at + end, text->length - end);
	return word->length > 0;
}

void name_set_add(json_t *set, struct view name)
{
	AUTO_FREE char *text = NULL;

	if (!name.length || name.length > REACH_NAME_MAX || json_object_size(set) >= REACHED_MAX)
		return;
	text = view_copy(name);
	if (!json_object_get(set, text))
		(void)json_object_set_new(set, text, json_true());
}

struct view path_base_name(struct view path)
{
	const char *slash = path.length ? memrchr(path.at, '/', path.length) : NULL;

	return slash ? view_make(slash + 1, path.length - (size_t)(slash - path.at) - 1) : path;
}

/* "./a/b/" is "a/b". */
static struct view plain(struct view path)
{
	while (view_starts(path, VIEW("./")))
		path = view_make(path.at + 2, path.length - 2);
	while (path.length > 1 && path.at[path.length - 1] == '/')
		path.length--;
	return view_is(path, ".") ? VIEW("") : path;
}

/* What an option's value is one of: a folder, a file that is loaded first, a script. NULL: nothing that matters. */
static json_t *option_of(const struct reached *reach, enum reads reads, struct view option)
{
	static const char *const folders[] = {"--prefix", "-C", "--cwd", "--dir", "--directory"};
	static const char *const loaded[] = {"-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file"};

	for (size_t i = 0; i < ARRAY_LEN(folders) && reads != READS_NODE; i++)
		if (view_is(option, folders[i]))
			return reach->folders;
	for (size_t i = 0; i < ARRAY_LEN(loaded) && (reads == READS_NODE || reads == READS_FILE); i++)
		if (view_is(option, loaded[i]))
			return reach->paths;
	return reads == READS_NODE && view_is(option, "--run") ? reach->scripts : NULL;
}

bool name_is_check(struct view name)
{
	static const char *const rows[] = {"test", "spec", "check", "lint", "verify", "e2e", "unit", "coverage"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_find(name, view_of(rows[i])) >= 0)
			return true;
	return false;
}

static bool installs_packages(struct view word)
{
	static const char *const rows[] = {"ci", "install", "i", "add", "it", "cit", "install-test", "clean-install", "rebuild"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_is(word, rows[i]))
			return true;
	return false;
}

/* "tools.run_tests" is tools/run_tests.py. */
static void module_add(json_t *paths, struct view name)
{
	AUTO_FREE char *path = NULL;

	if (name.length > REACH_NAME_MAX || view_find(name, VIEW("/")) >= 0)
		return;
	path = text_format("%.*s.py", (int)name.length, name.at);
	for (size_t i = 0; i < name.length; i++)
		path[i] = path[i] == '.' ? '/' : path[i];
	name_set_add(paths, view_of(path));
}

/* One word behind a program; false when no more of them are its own. */
static bool word_take(struct reached *reach, enum reads reads, struct view word, bool first)
{
	switch (reads) {
	case READS_SCRIPTS:
		reach->installs = reach->installs || (first && installs_packages(word));
		if (view_is(word, "t") || view_is(word, "tst") || view_is(word, "it") || view_is(word, "cit"))
			word = VIEW("test");
		if (view_starts(word, VIEW("npm:")))
			word = view_make(word.at + 4, word.length - 4);
		name_set_add(reach->scripts, word);
		return true;
	case READS_TARGETS:
		if (view_find(word, VIEW("=")) < 0)
			name_set_add(reach->targets, word);
		return true;
	case READS_SHELL:
		name_set_add(reach->paths, plain(word));
		return false;
	case READS_NODE:
	case READS_FILE:
		/* Of a program in another language only what goes by the name of a check: the rest is what is checked. */
		if (name_is_check(path_base_name(word)) || view_find(word, VIEW("run")) >= 0) {
			name_set_add(reach->paths, plain(word));
			module_add(reach->paths, word);
		}
		return false;
	}
	return false;
}

/* The words behind a program, up to the next command. */
static void program_read(struct reached *reach, enum reads reads, struct view program, struct view rest)
{
	struct view word;
	bool begins = false;
	bool first = true;
	json_t *value = NULL; /* what the next word is one of, behind an option that has a value */

	for (int i = 0; i < WORDS_MAX && word_next(&rest, &word, &begins) && !begins && !view_is(word, "--"); i++) {
		if (value) {
			name_set_add(value, plain(word));
			value = NULL;
		} else if (view_starts(word, VIEW("-"))) {
			struct view behind;
			struct view option = view_cut(word, '=', &behind);

			value = option_of(reach, reads, option);
			if (value && behind.length) {
				name_set_add(value, plain(behind));
				value = NULL;
			}
		} else if (!word_take(reach, reads, word, first)) {
			return;
		} else {
			first = false;
		}
	}
	if (reads == READS_TARGETS && first)
		name_set_add(reach->targets, VIEW("all"));
	reach->installs = reach->installs || (first && (view_is(program, "yarn")));
}

/* Does the command come behind it? */
static bool goes_before(struct view word)
{
	static const char *const rows[] = {"exec", "env", "time", "timeout", "nice", "command", "cross-env", "xvfb-run"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_is(word, rows[i]))
			return true;
	return view_find(word, VIEW("=")) >= 0 || (word.length && word.at[0] >= '0' && word.at[0] <= '9');
}

static void command_read(struct reached *reach, struct view text)
{
	struct view word;
	bool begins = true;

	while (word_next(&text, &word, &begins)) {
		struct view name = path_base_name(word);
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(programs) && !known; i++) {
			known = view_is(name, programs[i].name);
			if (known)
				program_read(reach, programs[i].reads, name, text);
		}
		if (!known && begins && view_is(word, "cd")) {
			struct view rest = text;

			if (word_next(&rest, &word, &begins))
				name_set_add(reach->folders, plain(word));
		} else if (!known && begins && word.length && word.at[0] != '/' && view_find(word, VIEW("/")) >= 0) {
			name_set_add(reach->paths, plain(word)); /* it is run itself */
		}
		begins = begins && goes_before(word);
	}
}

/* ---- following names ---- */

static char *path_below(const char *folder, const char *name)
{
	return folder[0] ? text_format("%s/%s", folder, name) : text_copy(name);
}

/* A file of the base; empty when it is not there. Borrowed. */
static struct view text_of(struct reached *reach, const char *path)
{
	const json_t *known = json_object_get(reach->texts, path);

	if (!known && json_object_size(reach->texts) >= LOOKUPS_MAX) {
		reach->too_many = true;
		return VIEW("");
	}
	if (!known) {
		AUTO_BUF text = buf_new(INTEGRITY_FILE_MAX);

		if (reach->check->reader.read(reach->check->reader.self, false, path, &text))
			buf_clear(&text);
		json_set_bytes(reach->texts, path, buf_view(&text));
		known = json_object_get(reach->texts, path);
	}
	return view_make(json_string_value(known), json_string_length(known));
}

/* The same of the head, when the change edits it; else empty: it is the base's. Borrowed. */
static struct view text_of_head(const struct reached *reach, const char *path)
{
	for (size_t i = 0; i < reach->file_count; i++)
		if (strcmp(reach->files[i].path, path) == 0)
			return buf_view(&reach->files[i].head);
	return VIEW("");
}

/* The same program may stand in a command again and again, and each time what is behind it is read. */
static bool has_long_command(struct view text)
{
	size_t length = 0;

	for (size_t i = 0; i < text.length; i++) {
		length = strchr("\n;|&(){`", text.at[i]) ? 0 : length + 1;
		if (length > COMMAND_MAX)
			return true;
	}
	return false;
}

/* `head`: the file of the head that it is from; NULL: it is the base's, which people have let in. */
static void todo_add(struct reached *reach, struct view text, const char *head)
{
	AUTO_JSON holder = json_object();
	struct digest digest = digest_of(text);

	if (json_object_get(reach->known, digest.text))
		return;
	if (has_long_command(text)) {
		if (head)
			(void)json_object_set_new(reach->unread, head, json_true());
		return;
	}
	json_set_bytes(holder, "t", text);
	if (json_array_size(reach->todo) >= REACHED_MAX)
		return;
	(void)json_object_set_new(reach->known, digest.text, json_true());
	(void)json_array_append(reach->todo, json_object_get(holder, "t"));
}

static bool is_reached(const json_t *names, const char *name)
{
	const char *pattern;
	json_t *unused;

	json_object_foreach((json_t *)(uintptr_t)names, pattern, unused)
		if (strcmp(pattern, name) == 0 || (strchr(pattern, '*') && glob_match(pattern, name)))
			return true;
	return false;
}

/* npm runs `prex` before and `postx` after x. */
bool reached_has_script(const struct reached *reach, const char *name)
{
	static const char *const own[] = {"preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"};
	size_t hook = strncmp(name, "pre", 3) == 0 ? 3 : strncmp(name, "post", 4) == 0 ? 4 : 0;

	for (size_t i = 0; i < ARRAY_LEN(own) && reach->installs; i++)
		if (strcmp(own[i], name) == 0)
			return true;
	return is_reached(reach->scripts, name) || (hook && is_reached(reach->scripts, name + hook));
}

static void scripts_follow(struct reached *reach, struct view text, const char *head)
{
	AUTO_JSON package = text.length ? json_parse(text, NULL) : NULL;
	const char *name;
	json_t *value;

	json_object_foreach(json_member(package, "scripts"), name, value)
		if (json_is_string(value) && reached_has_script(reach, name))
			todo_add(reach, view_make(json_string_value(value), json_string_length(value)), head);
}

/* Does make take the head for the target: its name, a pattern such as "js-%", or what is done when there is no rule? Names of files are left
 * out: how those are built may change with the code. */
static bool is_head_of(struct view head, const char *name)
{
	struct view target = view_of(name);
	struct view behind;
	struct view front = view_cut(head, '%', &behind);

	if (view_starts(head, VIEW("@")))
		head = view_make(head.at + 1, head.length - 1);
	if (view_is(head, name) || view_is(head, ".DEFAULT"))
		return true;
	return front.length < head.length && !strpbrk(name, "./") && target.length > front.length + behind.length &&
	       view_starts(target, front) && view_ends(target, behind);
}

/* Is `name` among what a line declares: "a b: c", "@a x='1':", "a:"? */
static bool declares(struct view line, const char *name)
{
	struct view behind;
	struct view heads = view_cut(line, ':', &behind);

	if (heads.length == line.length || view_starts(behind, VIEW("=")) || view_find(heads, VIEW("=")) >= 0)
		return false;
	while (heads.length) {
		size_t end = 0;

		while (end < heads.length && heads.at[end] != ' ' && heads.at[end] != '\t')
			end++;
		if (is_head_of(view_make(heads.at, end), name))
			return true;
		heads = view_trim(view_make(heads.at + end, heads.length - end));
	}
	return false;
}

static size_t indent_of(struct view line)
{
	size_t indent = 0;

	while (indent < line.length && (line.at[indent] == ' ' || line.at[indent] == '\t'))
		indent++;
	return indent;
}

/* What a file of make, just or task says of a target: the line that declares it, and what is indented below. */
void targets_text_of(struct view text, const char *name, struct buf *out)
{
	size_t depth = 0;
	bool inside = false;

	while (text.length) {
		struct view line = view_cut(text, '\n', &text);
		struct view trimmed = view_trim(line);
		size_t indent = indent_of(line);

		if (!trimmed.length || trimmed.at[0] == '#')
			continue;
		if (inside && indent <= depth)
			inside = false;
		if (!inside && declares(trimmed, name)) {
			inside = true;
			depth = indent;
		}
		if (inside) {
			buf_add_view(out, trimmed);
			buf_add_text(out, " \n ");
		}
	}
}

/* All words of a target's text may be names of others; those that check are followed. */
static void targets_follow(struct reached *reach, struct view text, const char *head)
{
	AUTO_JSON seen = json_deep_copy(reach->targets);
	const char *name;
	json_t *unused;

	json_object_foreach(seen, name, unused) {
		AUTO_BUF block = buf_new(INTEGRITY_FILE_MAX);
		struct view rest;
		struct view word;
		bool begins = false;

		targets_text_of(text, name, &block);
		rest = buf_view(&block);
		todo_add(reach, rest, head);
		while (word_next(&rest, &word, &begins)) {
			struct view target = view_cut(word, ':', &(struct view){0});

			if (name_is_check(target) && target.length < REACH_NAME_MAX)
				name_set_add(reach->targets, target);
		}
	}
}

static const char *const target_files[] = {"Makefile", "makefile",     "GNUmakefile",  "justfile",
					   "Justfile", "Taskfile.yml", "Taskfile.yaml"};

void reached_read(struct reached *reach)
{
	for (size_t i = 0; i < json_array_size(reach->todo); i++)
		command_read(reach, view_of(json_string_value(json_array_get(reach->todo, i))));
	(void)json_array_clear(reach->todo);
}

void reached_follow(struct reached *reach)
{
	size_t known = 0;
	size_t last = (size_t)-1;

	while (known != last) {
		const char *folder, *path;
		json_t *unused;
		AUTO_JSON folders = NULL;
		AUTO_JSON paths = NULL;

		last = known;
		reached_read(reach);
		folders = json_deep_copy(reach->folders);
		paths = json_deep_copy(reach->paths);
		json_object_foreach(folders, folder, unused) {
			AUTO_FREE char *package = path_below(folder, "package.json");

			scripts_follow(reach, text_of(reach, package), NULL);
			scripts_follow(reach, text_of_head(reach, package), package);
			for (size_t i = 0; i < ARRAY_LEN(target_files) && json_object_size(reach->targets); i++) {
				AUTO_FREE char *file = path_below(folder, target_files[i]);

				targets_follow(reach, text_of(reach, file), NULL);
				targets_follow(reach, text_of_head(reach, file), file);
			}
			json_object_foreach(paths, path, unused) {
				AUTO_FREE char *file = path_below(folder, path);

				if (view_ends(view_of(path), VIEW(".sh")))
					todo_add(reach, text_of(reach, file), NULL);
			}
		}
		known = json_object_size(reach->scripts) + json_object_size(reach->targets) + json_object_size(reach->paths) +
			json_object_size(reach->folders) + (reach->installs ? 1 : 0);
	}
}

/* ---- what is reached ---- */

bool reached_has_file(const struct reached *reach, const char *path)
{
	const char *folder;
	json_t *unused;

	if (json_object_get(reach->paths, path))
		return true;
	json_object_foreach(reach->folders, folder, unused) {
		size_t length = strlen(folder);

		if (length && strncmp(path, folder, length) == 0 && path[length] == '/' &&
		    json_object_get(reach->paths, path + length + 1))
			return true;
	}
	return false;
}

bool reached_has_folder(const struct reached *reach, const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = view_copy(view_make(path, slash ? (size_t)(slash - path) : 0));

	return json_object_get(reach->folders, folder) != NULL;
}

bool path_is_targets(const char *path)
{
	struct view name = path_base_name(view_of(path));

	for (size_t i = 0; i < ARRAY_LEN(target_files); i++)
		if (view_is(name, target_files[i]))
			return true;
	return view_ends(name, VIEW(".mk"));
}

/* ---- from commands ---- */

void reached_add(struct reached *reach, const struct command *command)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (command->shell)
		buf_add_text(&text, command->shell);
	for (size_t i = 0; command->argv && command->argv[i]; i++)
		buf_add_format(&text, "%s ", command->argv[i]);
	todo_add(reach, buf_view(&text), NULL);
}

void reached_add_folder(struct reached *reach, struct view path)
{
	name_set_add(reach->folders, plain(path));
}

struct reached reached_new(struct check *check, const struct changed *files, size_t count)
{
	struct reached reach = {.check = check,
				.files = files,
				.file_count = count,
				.texts = json_object(),
				.todo = json_array(),
				.scripts = json_object(),
				.targets = json_object(),
				.paths = json_object(),
				.folders = json_object(),
				.known = json_object(),
				.unread = json_object()};

	(void)json_object_set_new(reach.folders, "", json_true());
	return reach;
}

void reached_fini(struct reached *reach)
{
	json_decref(reach->todo);
	json_decref(reach->scripts);
	json_decref(reach->targets);
	json_decref(reach->paths);
	json_decref(reach->folders);
	json_decref(reach->texts);
	json_decref(reach->known);
	json_decref(reach->unread);
}
