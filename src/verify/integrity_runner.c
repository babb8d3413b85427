/*
 * What the suites' commands come to: scripts of package.json, targets of make and its kin, and files that are run; all as the base has them,
 * and which of them the change edits.
 *
 * Theory of operation: a suite's command is the base's, but what it calls by name is read from the work tree, which is the head's. So names
 * are followed: from the commands to scripts and targets, from their texts to others, through shell scripts too, in both versions. It is read as
 * words, not as a shell would: a name too many costs nothing, since only names that are there and differ are told of.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"
#include "verify/integrity_priv.h"

#define REACHED_MAX 400 /* names that are followed */
#define WORD_MAX ((size_t)300)
#define COMMAND_MAX ((size_t)16 << 10) /* of one command; what stands in a longer one is not read */
#define WORDS_MAX 256                  /* behind a program */
#define LOOKUPS_MAX 2000               /* of files of the base */

struct reach {
	struct check *check;
	const struct changed *files;
	size_t file_count;
	json_t *todo;    /* [text]: commands not yet read */
	json_t *scripts; /* {name or glob: true}, of package.json */
	json_t *targets;
	json_t *paths;   /* files that are run */
	json_t *folders; /* in which something is run; "" is the root */
	json_t *texts;   /* {path: text}: of the base, read once */
	json_t *known;   /* {digest: true}, of the commands that were read */
	json_t *unread;  /* {path: true}, of the head, in which a command is too long */
	bool installs;   /* packages, with what their scripts do */
	bool too_many;   /* names were not looked up */
};

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

static void set_add(json_t *set, struct view name)
{
	AUTO_FREE char *text = NULL;

	if (!name.length || name.length > WORD_MAX || json_object_size(set) >= REACHED_MAX)
		return;
	text = view_copy(name);
	if (!json_object_get(set, text))
		(void)json_object_set_new(set, text, json_true());
}

static struct view base_name(struct view path)
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
static json_t *option_of(const struct reach *reach, enum reads reads, struct view option)
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

/* Names of what checks the code; what builds it may change with it. */
static bool names_a_check(struct view name)
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

	if (name.length > WORD_MAX || view_find(name, VIEW("/")) >= 0)
		return;
	path = text_format("%.*s.py", (int)name.length, name.at);
	for (size_t i = 0; i < name.length; i++)
		path[i] = path[i] == '.' ? '/' : path[i];
	set_add(paths, view_of(path));
}

/* One word behind a program; false when no more of them are its own. */
static bool word_take(struct reach *reach, enum reads reads, struct view word, bool first)
{
	switch (reads) {
	case READS_SCRIPTS:
		reach->installs = reach->installs || (first && installs_packages(word));
		if (view_is(word, "t") || view_is(word, "tst") || view_is(word, "it") || view_is(word, "cit"))
			word = VIEW("test");
		if (view_starts(word, VIEW("npm:")))
			word = view_make(word.at + 4, word.length - 4);
		set_add(reach->scripts, word);
		return true;
	case READS_TARGETS:
		if (view_find(word, VIEW("=")) < 0)
			set_add(reach->targets, word);
		return true;
	case READS_SHELL:
		set_add(reach->paths, plain(word));
		return false;
	case READS_NODE:
	case READS_FILE:
		/* Of a program in another language only what goes by the name of a check: the rest is what is checked. */
		if (names_a_check(base_name(word)) || view_find(word, VIEW("run")) >= 0) {
			set_add(reach->paths, plain(word));
			module_add(reach->paths, word);
		}
		return false;
	}
	return false;
}

/* The words behind a program, up to the next command. */
static void program_read(struct reach *reach, enum reads reads, struct view program, struct view rest)
{
	struct view word;
	bool begins = false;
	bool first = true;
	json_t *value = NULL; /* what the next word is one of, behind an option that has a value */

	for (int i = 0; i < WORDS_MAX && word_next(&rest, &word, &begins) && !begins && !view_is(word, "--"); i++) {
		if (value) {
			set_add(value, plain(word));
			value = NULL;
		} else if (view_starts(word, VIEW("-"))) {
			struct view behind;
			struct view option = view_cut(word, '=', &behind);

			value = option_of(reach, reads, option);
			if (value && behind.length) {
				set_add(value, plain(behind));
				value = NULL;
			}
		} else if (!word_take(reach, reads, word, first)) {
			return;
		} else {
			first = false;
		}
	}
	if (reads == READS_TARGETS && first)
		set_add(reach->targets, VIEW("all"));
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

static void command_read(struct reach *reach, struct view text)
{
	struct view word;
	bool begins = true;

	while (word_next(&text, &word, &begins)) {
		struct view name = base_name(word);
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(programs) && !known; i++) {
			known = view_is(name, programs[i].name);
			if (known)
				program_read(reach, programs[i].reads, name, text);
		}
		if (!known && begins && view_is(word, "cd")) {
			struct view rest = text;

			if (word_next(&rest, &word, &begins))
				set_add(reach->folders, plain(word));
		} else if (!known && begins && word.length && word.at[0] != '/' && view_find(word, VIEW("/")) >= 0) {
			set_add(reach->paths, plain(word)); /* it is run itself */
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
static struct view text_of(struct reach *reach, const char *path)
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
static struct view text_of_head(const struct reach *reach, const char *path)
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
static void todo_add(struct reach *reach, struct view text, const char *head)
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
static bool script_is_reached(const struct reach *reach, const char *name)
{
	static const char *const own[] = {"preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"};
	size_t hook = strncmp(name, "pre", 3) == 0 ? 3 : strncmp(name, "post", 4) == 0 ? 4 : 0;

	for (size_t i = 0; i < ARRAY_LEN(own) && reach->installs; i++)
		if (strcmp(own[i], name) == 0)
			return true;
	return is_reached(reach->scripts, name) || (hook && is_reached(reach->scripts, name + hook));
}

static void scripts_follow(struct reach *reach, struct view text, const char *head)
{
	AUTO_JSON package = text.length ? json_parse(text, NULL) : NULL;
	const char *name;
	json_t *value;

	json_object_foreach(json_member(package, "scripts"), name, value)
		if (json_is_string(value) && script_is_reached(reach, name))
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
static void target_text(struct view text, const char *name, struct buf *out)
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
static void targets_follow(struct reach *reach, struct view text, const char *head)
{
	AUTO_JSON seen = json_deep_copy(reach->targets);
	const char *name;
	json_t *unused;

	json_object_foreach(seen, name, unused) {
		AUTO_BUF block = buf_new(INTEGRITY_FILE_MAX);
		struct view rest;
		struct view word;
		bool begins = false;

		target_text(text, name, &block);
		rest = buf_view(&block);
		todo_add(reach, rest, head);
		while (word_next(&rest, &word, &begins)) {
			struct view target = view_cut(word, ':', &(struct view){0});

			if (names_a_check(target) && target.length < WORD_MAX)
				set_add(reach->targets, target);
		}
	}
}

static const char *const target_files[] = {"Makefile", "makefile",     "GNUmakefile",  "justfile",
					   "Justfile", "Taskfile.yml", "Taskfile.yaml"};

/* Until no new name comes. */
static void reach_follow(struct reach *reach)
{
	size_t known = 0;
	size_t last = (size_t)-1;

	while (known != last) {
		const char *folder, *path;
		json_t *unused;
		AUTO_JSON folders = NULL;
		AUTO_JSON paths = NULL;

		last = known;
		for (size_t i = 0; i < json_array_size(reach->todo); i++)
			command_read(reach, view_of(json_string_value(json_array_get(reach->todo, i))));
		(void)json_array_clear(reach->todo);
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

/* ---- telling ---- */

static bool file_is_reached(const struct reach *reach, const char *path)
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

static bool folder_is_reached(const struct reach *reach, const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = view_copy(view_make(path, slash ? (size_t)(slash - path) : 0));

	return json_object_get(reach->folders, folder) != NULL;
}

static void tell(struct check *check, const struct changed *file, const char *within, const char *bound, const char *what)
{
	integrity_add(check,
		      &(struct finding){.kind = "runner-command",
					.severity = SEVERITY_BLOCK,
					.weight = WEIGHT_COMMAND + 3,
					.place = file->path,
					.path = within,
					.bound = bound,
					.detail = "A person must approve how the tests are run."},
		      "%s: %s", file->path, what);
}

/* What `npm test` does is the change's own word. */
static void scripts_judge(const struct reach *reach, const struct changed *file)
{
	AUTO_JSON before = json_parse(buf_view(&file->base), NULL);
	AUTO_JSON after = json_parse(buf_view(&file->head), NULL);
	AUTO_JSON names = json_object();
	const char *name;
	json_t *value;

	if (file->status == 'D' || (file->status == 'A' && !folder_is_reached(reach, file->path)))
		return;
	(void)json_object_update(names, json_member(before, "scripts"));
	(void)json_object_update(names, json_member(after, "scripts"));
	json_object_foreach(names, name, value) {
		const char *was = json_text(json_member(before, "scripts"), name, "");
		const char *is = json_text(json_member(after, "scripts"), name, "");
		AUTO_FREE char *what = text_format("the script `%s` that runs the tests is `%.80s` now", name, is);

		if (strcmp(was, is) != 0 && script_is_reached(reach, name))
			tell(reach->check, file, name, is, what);
	}
}

/* Lines that give a variable a value, with its name at the front. */
static void variable_text(struct view text, struct view name, struct buf *out)
{
	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		struct view behind;
		ptrdiff_t at = view_find(line, VIEW("="));
		struct view left = view_trim(view_make(line.at, at > 0 ? (size_t)at : 0));

		while (left.length && strchr(":?+!", left.at[left.length - 1]))
			left.length--;
		left = view_trim(left);
		(void)view_cut(line, '=', &behind);
		if (left.length >= name.length && view_ends(left, name) &&
		    (left.length == name.length || left.at[left.length - name.length - 1] == ' ')) {
			buf_add_view(out, view_trim(behind));
			buf_add_char(out, ' ');
		}
	}
}

/* A file in a list, such as "tests/test_a.py": no option, no program by its path, and nothing that a shell or make reads. */
static bool is_listed(struct view word)
{
	if (!word.length || strchr("-/.", word.at[0]) || view_find(word, VIEW(".")) < 0)
		return false;
	for (size_t i = 0; i < word.length; i++)
		if (!(word.at[i] >= 'a' && word.at[i] <= 'z') && !(word.at[i] >= 'A' && word.at[i] <= 'Z') &&
		    !(word.at[i] >= '0' && word.at[i] <= '9') && !strchr("_-+./@*", word.at[i]))
			return false;
	return true;
}

/* Only names of files came to it, behind others: a list grew. What comes first may be a program, which takes the rest for words. */
static bool only_grew(struct view was, struct view is)
{
	bool in_list = false; /* behind a file's name */

	while (is.length) {
		struct view old;
		struct view word = view_cut(is, ' ', &is);
		struct view next = was;

		if (!word.length)
			continue;
		old = view_cut(next, ' ', &next);
		while (!old.length && next.length)
			old = view_cut(next, ' ', &next);
		if (view_equal(old, word))
			was = next;
		else if (!in_list || !is_listed(word))
			return false;
		in_list = is_listed(word);
	}
	return !view_trim(was).length;
}

/* Variables that a target's recipe names, and those that change every recipe. */
static void variables_judge(const struct reach *reach, const struct changed *file, const json_t *names)
{
	const char *name;
	json_t *unused;

	json_object_foreach((json_t *)(uintptr_t)names, name, unused) {
		AUTO_BUF was = buf_new(INTEGRITY_FILE_MAX);
		AUTO_BUF is = buf_new(INTEGRITY_FILE_MAX);
		AUTO_FREE char *what = NULL;

		variable_text(buf_view(&file->base), view_of(name), &was);
		variable_text(buf_view(&file->head), view_of(name), &is);
		if (view_equal(buf_view(&was), buf_view(&is)) || (was.length && only_grew(buf_view(&was), buf_view(&is))))
			continue;
		what = text_format("`%s`, by which the tests are run, is `%.80s` now", name, is.at ? is.at : "");
		tell(reach->check, file, name, is.at ? is.at : "", what);
	}
}

static void names_note(json_t *names, struct view recipe)
{
	for (size_t i = 0; i + 2 < recipe.length; i++) {
		size_t end = i + 2;

		if (recipe.at[i] != '$' || !strchr("({", recipe.at[i + 1]))
			continue;
		while (end < recipe.length && (recipe.at[end] == '_' || (recipe.at[end] >= 'A' && recipe.at[end] <= 'Z') ||
					       (recipe.at[end] >= '0' && recipe.at[end] <= '9')))
			end++;
		if (end < recipe.length && strchr(")}", recipe.at[end]) && end > i + 2)
			set_add(names, view_make(recipe.at + i + 2, end - i - 2));
	}
}

static void targets_judge(const struct reach *reach, const struct changed *file)
{
	static const char *const always[] = {"SHELL",      ".SHELLFLAGS",  "MAKEFLAGS", "PATH",
					     "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH"};
	AUTO_JSON variables = json_object();
	const char *name;
	json_t *unused;

	if (!json_object_size(reach->targets) ||
	    (!folder_is_reached(reach, file->path) && !view_ends(view_of(file->path), VIEW(".mk"))))
		return;
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		set_add(variables, view_of(always[i]));
	json_object_foreach(reach->targets, name, unused) {
		AUTO_BUF was = buf_new(INTEGRITY_FILE_MAX);
		AUTO_BUF is = buf_new(INTEGRITY_FILE_MAX);
		AUTO_FREE char *what = NULL;

		if (!names_a_check(view_of(name)))
			continue;
		target_text(buf_view(&file->base), name, &was);
		target_text(buf_view(&file->head), name, &is);
		names_note(variables, buf_view(&is));
		if (view_equal(buf_view(&was), buf_view(&is)) || (was.length && only_grew(buf_view(&was), buf_view(&is))))
			continue;
		what = text_format("`%s`, which runs the tests, was changed", name);
		tell(reach->check, file, name, is.at ? is.at : "", what);
	}
	variables_judge(reach, file, variables);
}

/* Lines of make by which targets come from somewhere else, or are put together: who reads the file does not see them. */
static bool brings_targets(struct view line)
{
	static const char *const rows[] = {"include", "-include", "sinclude", "define"};
	struct view behind;
	struct view heads = view_cut(line, ':', &behind);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t length = strlen(rows[i]);

		if (view_starts(line, view_of(rows[i])) && line.length > length && strchr(" \t", line.at[length]))
			return true;
	}
	return view_find(line, VIEW("$(eval")) >= 0 || view_find(line, VIEW("${eval")) >= 0 ||
	       (heads.length < line.length && !view_starts(behind, VIEW("=")) && view_starts(heads, VIEW("$")) &&
		view_find(heads, VIEW("=")) < 0);
}

static const char *const make_files[] = {"GNUmakefile", "makefile", "Makefile"}; /* the first that is there is taken */

static bool is_make_file(struct view name)
{
	for (size_t i = 0; i < ARRAY_LEN(make_files); i++)
		if (view_is(name, make_files[i]))
			return true;
	return view_ends(name, VIEW(".mk"));
}

/* Is it added where make took another until now, which it goes before? */
static bool goes_first(const struct reach *reach, const struct changed *file)
{
	struct view name = base_name(view_of(file->path));
	int folder = (int)(strlen(file->path) - name.length);
	bool behind = false;

	if (file->status != 'A' || !folder_is_reached(reach, file->path))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(make_files); i++) {
		AUTO_FREE char *other = text_format("%.*s%s", folder, file->path, make_files[i]);

		if (behind && json_string_length(json_object_get(reach->texts, other)))
			return true;
		behind = behind || view_is(name, make_files[i]);
	}
	return false;
}

static void make_judge(const struct reach *reach, const struct changed *file)
{
	struct fresh_lines lines;
	struct view line;

	if (!json_object_size(reach->targets) || !is_make_file(base_name(view_of(file->path))) || file->status == 'D')
		return;
	if (goes_first(reach, file))
		tell(reach->check, file, "", file->blob, "make takes this file now, and another one no more");
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < WORD_MAX ? line.length : WORD_MAX));

		if (brings_targets(line))
			integrity_add(reach->check,
				      &(struct finding){.kind = "runner-command",
							.severity = SEVERITY_WARN,
							.weight = WEIGHT_SLIGHT + 4,
							.place = file->path,
							.path = shown,
							.line = lines.number,
							.detail = "Targets may come from there: a person should see which."},
				      "%s:%d: targets of make are put together: %.80s", file->path, lines.number, shown);
	}
}

static bool is_target_file(const char *path)
{
	struct view name = base_name(view_of(path));

	for (size_t i = 0; i < ARRAY_LEN(target_files); i++)
		if (view_is(name, target_files[i]))
			return true;
	return view_ends(name, VIEW(".mk"));
}

/* What is not read is not judged: nobody hides behind more than we look at. */
static void unread_judge(const struct reach *reach, const struct changed *file)
{
	bool names = view_is(base_name(view_of(file->path)), "package.json") || is_target_file(file->path);

	if (json_object_get(reach->unread, file->path))
		tell(reach->check, file, "", file->blob, "a command is too long to be read");
	if (reach->too_many && names && file->status != 'D')
		tell(reach->check, file, "", file->blob, "too many names: not all that it runs was looked at");
}

static void file_judge(const struct reach *reach, const struct changed *file)
{
	unread_judge(reach, file);
	if (view_is(base_name(view_of(file->path)), "package.json")) {
		scripts_judge(reach, file);
	} else if (is_target_file(file->path)) {
		targets_judge(reach, file);
		make_judge(reach, file);
	} else if (!file->test && !integrity_is_runner_config(file->path) &&
		   (file_is_reached(reach, file->path) || (file->old_path && file_is_reached(reach, file->old_path)))) {
		tell(reach->check, file, "", file->blob, "this file, by which the tests are run, was changed");
	}
}

static void reach_add(struct reach *reach, const struct command *command)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	if (command->shell)
		buf_add_text(&text, command->shell);
	for (size_t i = 0; command->argv && command->argv[i]; i++)
		buf_add_format(&text, "%s ", command->argv[i]);
	todo_add(reach, buf_view(&text), NULL);
}

static struct reach reach_new(struct check *check, const struct changed *files, size_t count)
{
	struct reach reach = {.check = check,
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

static void reach_fini(struct reach *reach)
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

void integrity_check_runners(struct check *check, const struct changed *files, size_t count)
{
	const struct blueprint *blueprint = check->blueprint;
	struct reach suites = reach_new(check, files, count);
	struct reach setup = reach_new(check, files, count);

	for (size_t i = 0; i < blueprint->test_count; i++) {
		reach_add(&suites, &blueprint->tests[i].run);
		if (blueprint->tests[i].dir)
			set_add(suites.folders, plain(view_of(blueprint->tests[i].dir)));
	}
	reach_follow(&suites);
	/* Of what prepares the work tree only whether packages come with scripts of their own is asked: it may change with the code. */
	for (size_t i = 0; i < blueprint->workspace.setup_count; i++)
		reach_add(&setup, &blueprint->workspace.setup[i]);
	for (size_t i = 0; i < json_array_size(setup.todo); i++)
		command_read(&setup, view_of(json_string_value(json_array_get(setup.todo, i))));
	suites.installs = suites.installs || setup.installs;
	for (size_t i = 0; i < count; i++)
		file_judge(&suites, &files[i]);
	reach_fini(&setup);
	reach_fini(&suites);
}
