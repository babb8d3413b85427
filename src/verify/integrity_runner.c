/* Which of what the suites' commands come to (verify/integrity_reach.h) the change edits. */
#include <stdlib.h>

#include "base/scope.h"
#include "verify/integrity_reach.h"

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
static void scripts_judge(const struct reached *reach, const struct changed *file)
{
	AUTO_JSON before = json_parse(buf_view(&file->base), NULL);
	AUTO_JSON after = json_parse(buf_view(&file->head), NULL);
	AUTO_JSON names = json_object();
	const char *name;
	json_t *value;

	if (file->status == 'D' || (file->status == 'A' && !reached_has_folder(reach, file->path)))
		return;
	(void)json_object_update(names, json_member(before, "scripts"));
	(void)json_object_update(names, json_member(after, "scripts"));
	json_object_foreach(names, name, value) {
		const char *was = json_text(json_member(before, "scripts"), name, "");
		const char *is = json_text(json_member(after, "scripts"), name, "");
		AUTO_FREE char *what = text_format("the script `%s` that runs the tests is `%.80s` now", name, is);

		if (strcmp(was, is) != 0 && reached_has_script(reach, name))
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
static void variables_judge(const struct reached *reach, const struct changed *file, const json_t *names)
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
			name_set_add(names, view_make(recipe.at + i + 2, end - i - 2));
	}
}

static void targets_judge(const struct reached *reach, const struct changed *file)
{
	static const char *const always[] = {"SHELL",      ".SHELLFLAGS",  "MAKEFLAGS", "PATH",
					     "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH"};
	AUTO_JSON variables = json_object();
	const char *name;
	json_t *unused;

	if (!json_object_size(reach->targets) ||
	    (!reached_has_folder(reach, file->path) && !view_ends(view_of(file->path), VIEW(".mk"))))
		return;
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		name_set_add(variables, view_of(always[i]));
	json_object_foreach(reach->targets, name, unused) {
		AUTO_BUF was = buf_new(INTEGRITY_FILE_MAX);
		AUTO_BUF is = buf_new(INTEGRITY_FILE_MAX);
		AUTO_FREE char *what = NULL;

		if (!name_is_check(view_of(name)))
			continue;
		targets_text_of(buf_view(&file->base), name, &was);
		targets_text_of(buf_view(&file->head), name, &is);
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
static bool goes_first(const struct reached *reach, const struct changed *file)
{
	struct view name = path_base_name(view_of(file->path));
	int folder = (int)(strlen(file->path) - name.length);
	bool behind = false;

	if (file->status != 'A' || !reached_has_folder(reach, file->path))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(make_files); i++) {
		AUTO_FREE char *other = text_format("%.*s%s", folder, file->path, make_files[i]);

		if (behind && json_string_length(json_object_get(reach->texts, other)))
			return true;
		behind = behind || view_is(name, make_files[i]);
	}
	return false;
}

static void make_judge(const struct reached *reach, const struct changed *file)
{
	struct fresh_lines lines;
	struct view line;

	if (!json_object_size(reach->targets) || !is_make_file(path_base_name(view_of(file->path))) || file->status == 'D')
		return;
	if (goes_first(reach, file))
		tell(reach->check, file, "", file->blob, "make takes this file now, and another one no more");
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < REACH_NAME_MAX ? line.length : REACH_NAME_MAX));

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

/* What is not read is not judged: nobody hides behind more than we look at. */
static void unread_judge(const struct reached *reach, const struct changed *file)
{
	bool names = view_is(path_base_name(view_of(file->path)), "package.json") || path_is_targets(file->path);

	if (json_object_get(reach->unread, file->path))
		tell(reach->check, file, "", file->blob, "a command is too long to be read");
	if (reach->too_many && names && file->status != 'D')
		tell(reach->check, file, "", file->blob, "too many names: not all that it runs was looked at");
}

static void file_judge(const struct reached *reach, const struct changed *file)
{
	unread_judge(reach, file);
	if (view_is(path_base_name(view_of(file->path)), "package.json")) {
		scripts_judge(reach, file);
	} else if (path_is_targets(file->path)) {
		targets_judge(reach, file);
		make_judge(reach, file);
	} else if (!file->test && !integrity_is_runner_config(file->path) &&
		   (reached_has_file(reach, file->path) || (file->old_path && reached_has_file(reach, file->old_path)))) {
		tell(reach->check, file, "", file->blob, "this file, by which the tests are run, was changed");
	}
}

void integrity_check_runners(struct check *check, const struct changed *files, size_t count)
{
	const struct blueprint *blueprint = check->blueprint;
	struct reached suites = reached_new(check, files, count);
	struct reached setup = reached_new(check, files, count);

	for (size_t i = 0; i < blueprint->test_count; i++) {
		reached_add(&suites, &blueprint->tests[i].run);
		if (blueprint->tests[i].dir)
			reached_add_folder(&suites, view_of(blueprint->tests[i].dir));
	}
	reached_follow(&suites);
	/* Of what prepares the work tree only whether packages come with scripts of their own is asked: it may change with the code. */
	for (size_t i = 0; i < blueprint->workspace.setup_count; i++)
		reached_add(&setup, &blueprint->workspace.setup[i]);
	reached_read(&setup);
	suites.installs = suites.installs || setup.installs;
	for (size_t i = 0; i < count; i++)
		file_judge(&suites, &files[i]);
	reached_fini(&setup);
	reached_fini(&suites);
}
