/* OSV files on disk, and versions compared. */
#include "verify/advisories.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"

#define INDEX_BYTES_MAX ((size_t)512 << 20)
#define INDEX_FORM "assay-advisories-1"

/* ---- versions ---- */

struct token {
	bool word;
	struct view text;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The next number or word; separators mean nothing, but for a "-" behind the third number: what follows is of a version before that one, as
 * a word is (semantic versions, 11.3). False at the end, and at "+", behind which a build is named. */
static bool token_next(struct view *rest, int place, struct token *token)
{
	size_t at = 0;
	size_t from;

	while (at < rest->length && !is_digit(rest->at[at]) && !is_letter(rest->at[at]) && rest->at[at] != '+')
		at++;
	if (at == rest->length || rest->at[at] == '+')
		return false;
	from = at;
	token->word = is_letter(rest->at[at]);
	while (at < rest->length && (token->word ? is_letter(rest->at[at]) : is_digit(rest->at[at])))
		at++;
	token->word = token->word || (place >= 3 && from && rest->at[from - 1] == '-');
	token->text = view_make(rest->at + from, at - from);
	*rest = view_make(rest->at + at, rest->length - at);
	return true;
}

/* Where a word stands around the version that has none: before it, or behind. */
static int word_rank(struct view word)
{
	static const struct {
		const char *word;
		int rank;
	} ranks[] = {{"dev", -5}, {"a", -3},   {"alpha", -3}, {"b", -2}, {"beta", -2}, {"c", -1}, {"rc", -1},
		     {"pre", -1}, {"post", 1}, {"rev", 1},    {"r", 1},  {"patch", 1}, {"p", 1}};

	for (size_t i = 0; i < ARRAY_LEN(ranks); i++)
		if (view_equal_nocase(word, view_of(ranks[i].word)))
			return ranks[i].rank;
	return -4;
}

static int numbers_compare(struct view left, struct view right)
{
	while (left.length && left.at[0] == '0')
		left = view_make(left.at + 1, left.length - 1);
	while (right.length && right.at[0] == '0')
		right = view_make(right.at + 1, right.length - 1);
	if (left.length != right.length)
		return left.length < right.length ? -1 : 1;
	return left.length ? memcmp(left.at, right.at, left.length) : 0;
}

static int words_compare(struct view left, struct view right)
{
	int difference = word_rank(left) - word_rank(right);
	size_t shorter = left.length < right.length ? left.length : right.length;

	if (difference || word_rank(left) != -4)
		return difference;
	if (is_digit(left.at[0]) && is_digit(right.at[0]))
		return numbers_compare(left, right);
	difference = strncasecmp(left.at, right.at, shorter);
	return difference ? difference : (left.length > right.length) - (left.length < right.length);
}

/* Of a token against nothing. */
static int alone(const struct token *token)
{
	return token->word ? word_rank(token->text) : numbers_compare(token->text, VIEW("0"));
}

int version_compare(struct view left, struct view right)
{
	struct token a;
	struct token b;
	bool has_a;
	bool has_b;
	int difference = 0;

	if (left.length && left.at[0] == 'v')
		left = view_make(left.at + 1, left.length - 1);
	if (right.length && right.at[0] == 'v')
		right = view_make(right.at + 1, right.length - 1);
	for (int place = 0;; place++) {
		has_a = token_next(&left, place, &a);
		has_b = token_next(&right, place, &b);
		if (!has_a && !has_b)
			return 0;
		if (!has_a)
			difference = -alone(&b);
		else if (!has_b)
			difference = alone(&a);
		else if (a.word != b.word) /* "1.0rc1" and "1.0.1": the word counts against a version without one */
			difference = a.word ? (word_rank(a.text) > 0 ? -1 : word_rank(a.text))
					    : (word_rank(b.text) > 0 ? 1 : -word_rank(b.text));
		else
			difference = a.word ? words_compare(a.text, b.text) : numbers_compare(a.text, b.text);
		if (difference)
			return difference;
	}
}

/* ---- one advisory ---- */

/* As the ecosystem compares names: PyPI takes case, "_", "." and "-" for nothing (PEP 503). Owned by the caller. */
static char *name_normal(const char *ecosystem, struct view name)
{
	char *normal = view_copy(name);

	for (char *at = normal; strcmp(ecosystem, "PyPI") == 0 && *at; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
		else if (*at == '_' || *at == '.')
			*at = '-';
	}
	return normal;
}

struct event {
	struct view version;
	int kind; /* 0: it begins here; 1: it is mended here; 2: it is here for the last time */
};

static int event_compare(const void *left, const void *right)
{
	const struct event *a = left;
	const struct event *b = right;
	int difference = version_compare(a->version, b->version);

	return difference ? difference : a->kind - b->kind;
}

static bool range_has(const json_t *range, struct view version)
{
	static const char *const kinds[] = {"introduced", "fixed", "last_affected"};
	const json_t *list = json_member(range, "events");
	size_t count = json_array_size(list);
	struct event *events;
	size_t used = 0;
	bool affected = false;

	if (strcmp(json_text(range, "type", ""), "GIT") == 0)
		return false;
	events = mem_new_array(count + 1, sizeof(*events));
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			const char *text = json_text(json_array_get(list, i), kinds[k], NULL);

			if (text && used < count)
				events[used++] = (struct event){view_of(text), (int)k};
		}
	qsort(events, used, sizeof(*events), event_compare);
	for (size_t i = 0; i < used; i++) {
		int order = view_is(events[i].version, "0") ? -1 : version_compare(events[i].version, version);

		if (events[i].kind == 0 && order <= 0)
			affected = true;
		if ((events[i].kind == 1 && order <= 0) || (events[i].kind == 2 && order < 0))
			affected = false;
	}
	free(events);
	return affected;
}

bool advisory_affects(const json_t *advisory, const char *ecosystem, const char *name, const char *version)
{
	const json_t *all = json_member(advisory, "affected");

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *affected = json_array_get(all, i);
		const json_t *package = json_member(affected, "package");
		const json_t *versions = json_member(affected, "versions");
		const json_t *ranges = json_member(affected, "ranges");

		AUTO_FREE char *one_name = name_normal(ecosystem, view_of(json_text(package, "name", "")));
		AUTO_FREE char *wanted = name_normal(ecosystem, view_of(name));

		if (strcmp(json_text(package, "ecosystem", ""), ecosystem) != 0 || strcmp(one_name, wanted) != 0)
			continue;
		for (size_t k = 0; k < json_array_size(versions); k++) {
			const char *one = json_string_value(json_array_get(versions, k));

			if (one && version_compare(view_of(one), view_of(version)) == 0)
				return true;
		}
		for (size_t k = 0; k < json_array_size(ranges); k++)
			if (range_has(json_array_get(ranges, k), view_of(version)))
				return true;
	}
	return false;
}

static const char *severity_name_of(const json_t *advisory)
{
	static const char *const known[] = {"critical", "high", "moderate", "low"};
	const char *said = json_text(json_member(advisory, "database_specific"), "severity", "");

	if (strncmp(json_text(advisory, "id", ""), "MAL-", 4) == 0)
		return "malicious";
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcasecmp(said, known[i]) == 0)
			return known[i];
	return strcasecmp(said, "medium") == 0 ? "moderate" : "";
}

/* ---- the folder ---- */

/* Lines "package\tfile". The first line says what folder it was made of. */
static void index_add(struct buf *index, const char *file, const json_t *advisory, const char *ecosystem)
{
	const json_t *all = json_member(advisory, "affected");

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *package = json_member(json_array_get(all, i), "package");
		AUTO_FREE char *name = name_normal(ecosystem, view_of(json_text(package, "name", "")));

		if (strcmp(json_text(package, "ecosystem", ""), ecosystem) == 0 && name[0] && !strpbrk(name, "\t\n"))
			buf_add_format(index, "%s\t%s\n", name, file);
	}
}

static int advisory_read(const char *dir, const char *file, json_t **advisory, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, file);
	AUTO_BUF text = buf_new(ADVISORY_BYTES_MAX);

	if (file_read(path, &text, err))
		return -1;
	*advisory = json_parse(buf_view(&text), err);
	return *advisory ? 0 : err_prefix(err, "%s", path);
}

static bool is_advisory(const char *file)
{
	return file[0] != '.' && view_ends(view_of(file), VIEW(".json")) && !strpbrk(file, "\t\n");
}

static bool stopped(const bool *stop)
{
	return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

static int index_make(const char *dir, const char *ecosystem, const char *stamp, struct buf *index, const bool *stop,
		      struct err *err)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	if (!folder)
		return err_errno(err, errno, "cannot read %s", dir);
	buf_add_format(index, "%s\n", stamp);
	while (!stopped(stop) && (entry = readdir(folder)) && count < ADVISORIES_MAX) {
		AUTO_JSON advisory = NULL;

		if (!is_advisory(entry->d_name))
			continue;
		count++;
		if (advisory_read(dir, entry->d_name, &advisory, NULL) == 0 && !json_text(advisory, "withdrawn", NULL))
			index_add(index, entry->d_name, advisory, ecosystem);
	}
	(void)closedir(folder);
	return stopped(stop) ? err_set(err, ERR_CANCELLED, "stopped") : buf_finish(index, err);
}

static int index_get(const char *dir, const char *cache_dir, const char *ecosystem, struct buf *index, const bool *stop,
		     struct err *err)
{
	AUTO_FREE char *path = cache_dir ? text_format("%s/advisories-%s", cache_dir, ecosystem) : NULL;
	AUTO_FREE char *stamp = NULL;
	struct stat about;
	struct view rest;

	if (stat(dir, &about))
		return err_errno(err, errno, "cannot read %s", dir);
	stamp = text_format("%s %s %lld.%09ld", INDEX_FORM, dir, (long long)about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
	if (path && file_read(path, index, NULL) == 0 && view_is(view_cut(buf_view(index), '\n', &rest), stamp))
		return 0;
	buf_clear(index);
	if (index_make(dir, ecosystem, stamp, index, stop, err))
		return -1;
	if (path && (file_make_dirs(cache_dir, 0700, NULL) || file_replace(path, buf_view(index), 0600, NULL)))
		return 0; /* it is made again the next time */
	return 0;
}

static void told_once(json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
			return;
	(void)json_array_append_new(list, json_string(name));
}

/* The advisory in one file, against all packages of its name: [places]. */
static int file_search(const char *dir, const char *file, const char *ecosystem, const json_t *packages, const json_t *places,
		       json_t *found, struct err *err)
{
	AUTO_JSON advisory = NULL;

	if (!json_array_size(places) || json_array_size(found) >= ADVISORIES_FOUND_MAX)
		return 0;
	if (advisory_read(dir, file, &advisory, err))
		return -1;
	for (size_t i = 0; i < json_array_size(places); i++) {
		json_int_t place = json_integer_value(json_array_get(places, i));
		const json_t *package = json_array_get(packages, (size_t)place);

		if (!advisory_affects(advisory, ecosystem, json_text(package, "name", ""), json_text(package, "version", "")))
			continue;
		if (json_array_append_new(found,
					  json_pack("{s:I, s:s, s:s, s:s}", "package", place, "id", json_text(advisory, "id", file),
						    "summary", json_text(advisory, "summary", json_text(advisory, "details", "")),
						    "severity", severity_name_of(advisory))))
			return err_set(err, ERR_INVALID, "%s/%s: not an advisory", dir, file);
	}
	return 0;
}

/* All packages of one ecosystem, in one pass over its index. */
static int ecosystem_search(const char *dir, const char *cache_dir, const char *ecosystem, const json_t *packages, json_t *found,
			    const bool *stop, struct err *err)
{
	AUTO_BUF index = buf_new(INDEX_BYTES_MAX);
	AUTO_JSON wanted = json_object(); /* name -> [places] */
	struct view rest;
	size_t place;
	json_t *package;

	if (index_get(dir, cache_dir, ecosystem, &index, stop, err))
		return -1;
	json_array_foreach(packages, place, package) {
		AUTO_FREE char *name = name_normal(ecosystem, view_of(json_text(package, "name", "")));

		if (strcmp(json_text(package, "ecosystem", ""), ecosystem) != 0)
			continue;
		if (!json_member(wanted, name))
			(void)json_object_set_new(wanted, name, json_array());
		(void)json_array_append_new(json_member(wanted, name), json_integer((json_int_t)place));
	}
	(void)view_cut(buf_view(&index), '\n', &rest);
	while (rest.length) {
		struct view file;
		AUTO_FREE char *name = view_copy(view_cut(view_cut(rest, '\n', &rest), '\t', &file));
		AUTO_FREE char *path = view_copy(file);

		if (stopped(stop))
			return err_set(err, ERR_CANCELLED, "stopped");
		if (file_search(dir, path, ecosystem, packages, json_member(wanted, name), found, err))
			return -1;
	}
	return 0;
}

int advisories_search(const char *dir, const char *cache_dir, const json_t *packages, json_t *found, json_t *missing,
		      const bool *stop, struct err *err)
{
	AUTO_JSON ecosystems = json_array();
	size_t index;
	json_t *one;

	json_array_foreach(packages, index, one)
		told_once(ecosystems, json_text(one, "ecosystem", ""));
	json_array_foreach(ecosystems, index, one) {
		const char *ecosystem = json_string_value(one);
		AUTO_FREE char *folder = text_format("%s/%s", dir ? dir : "", ecosystem);

		if (!dir || !file_is_dir(folder))
			told_once(missing, ecosystem);
		else if (ecosystem_search(folder, cache_dir, ecosystem, packages, found, stop, err))
			return -1;
	}
	return 0;
}
