/* Modules as one script. */
#include "web/bundle.h"
#include "base/scope.h"

#define BODY_BYTES_MAX ((size_t)4 << 20)
#define NAMES_BYTES_MAX ((size_t)64 << 10)
#define OPEN (-1) /* a place that is not given yet: what it imports goes first */

struct bundle {
	struct bundle_module *modules;
	size_t count;
	struct buf *out;
	int places;
};

struct body {
	struct buf *text;
	struct buf *names; /* of what it exports, as members of an object */
};

static int module_add(struct bundle *bundle, struct bundle_module *module, struct err *err);

static int odd(const struct bundle_module *module, struct view line, const char *why, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s: %s: %.*s", module->name, why, (int)(line.length > 100 ? 100 : line.length), line.at);
}

static bool took(struct view *rest, struct view word)
{
	if (!view_starts(*rest, word))
		return false;
	*rest = view_make(rest->at + word.length, rest->length - word.length);
	return true;
}

static struct view name_take(struct view *rest)
{
	size_t length = 0;

	while (length < rest->length &&
	       (rest->at[length] == '_' || rest->at[length] == '$' || (rest->at[length] >= '0' && rest->at[length] <= '9') ||
		((rest->at[length] | 0x20) >= 'a' && (rest->at[length] | 0x20) <= 'z')))
		length++;
	struct view name = view_make(rest->at, length);

	*rest = view_make(rest->at + length, rest->length - length);
	return name;
}

/* "/pages/home.js" and "../dom.js" are "/dom.js". NULL: there is no such module. */
static struct bundle_module *module_find(const struct bundle *bundle, const char *from, struct view path)
{
	struct view folder = view_make(from, (size_t)(strrchr(from, '/') - from));

	(void)took(&path, VIEW("./"));
	while (took(&path, VIEW("../"))) {
		while (folder.length && folder.at[folder.length - 1] != '/')
			folder.length--;
		if (!folder.length)
			return NULL;
		folder.length--;
	}
	AUTO_FREE char *name = text_format("%.*s/%.*s", (int)folder.length, folder.at, (int)path.length, path.at);

	for (size_t i = 0; i < bundle->count; i++)
		if (strcmp(bundle->modules[i].name, name) == 0)
			return &bundle->modules[i];
	return NULL;
}

/* `{a, b as c}` as the pattern {a: a, b: c, }, `name` as {default: name}. */
static bool pattern_add(struct buf *out, struct view what)
{
	struct view rest = what;
	struct view name = name_take(&rest);

	if (name.length && !rest.length) {
		buf_add_format(out, "{default: %.*s}", (int)name.length, name.at);
		return true;
	}
	if (!view_starts(what, VIEW("{")) || !view_ends(what, VIEW("}")))
		return false;
	buf_add_text(out, "{");
	for (rest = view_make(what.at + 1, what.length - 2); rest.length;) {
		struct view word = view_trim(view_cut(rest, ',', &rest));
		struct view as;

		name = name_take(&word);
		as = took(&word, VIEW(" as ")) ? name_take(&word) : name;
		if (!name.length || !as.length || word.length)
			return false;
		buf_add_format(out, "%.*s: %.*s, ", (int)name.length, name.at, (int)as.length, as.at);
	}
	buf_add_text(out, "}");
	return true;
}

static int import_add(struct bundle *bundle, const struct bundle_module *module, struct body *body, struct view line,
		      struct err *err)
{
	ptrdiff_t at = view_find(line, VIEW(" from '"));
	struct view rest = line;
	struct bundle_module *found;

	if (at < 0 || !view_ends(line, VIEW("';")))
		return odd(module, line, "what does this import?", err);
	(void)took(&rest, VIEW("import "));
	struct view what = view_make(rest.at, (size_t)(line.at + at - rest.at));
	size_t before = (size_t)at + strlen(" from '");

	found = module_find(bundle, module->name, view_make(line.at + before, line.length - before - strlen("';")));
	if (!found)
		return odd(module, line, "there is no such module", err);
	if (module_add(bundle, found, err))
		return -1;
	buf_add_text(body->text, "const ");
	if (!pattern_add(body->text, what))
		return odd(module, line, "what does this import?", err);
	buf_add_format(body->text, " = module_%d;\n", found->place);
	return 0;
}

static int export_add(const struct bundle_module *module, struct body *body, struct view line, struct err *err)
{
	static const char *const words[] = {"const ", "class ", "function* ", "function ", "async function* ", "async function "};
	struct view rest = line;

	(void)took(&rest, VIEW("export "));
	bool is_default = took(&rest, VIEW("default "));
	struct view kept = rest;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct view after = kept;
		struct view name = took(&after, view_of(words[i])) ? name_take(&after) : VIEW("");

		if (!name.length || (is_default && strcmp(words[i], "const ") == 0))
			continue;
		buf_add_format(body->names, "%s%.*s, ", is_default ? "default: " : "", (int)name.length, name.at);
		buf_add_view(body->text, kept);
		buf_add_text(body->text, "\n");
		return 0;
	}
	return odd(module, line, "what does this export?", err);
}

static int body_make(struct bundle *bundle, const struct bundle_module *module, struct body *body, struct err *err)
{
	for (struct view rest = module->text; rest.length;) {
		struct view line = view_cut(rest, '\n', &rest);
		int failed = 0;

		if (view_starts(line, VIEW("import")))
			failed = import_add(bundle, module, body, line, err);
		else if (view_starts(line, VIEW("export")))
			failed = export_add(module, body, line, err);
		else
			buf_add_format(body->text, "%.*s\n", (int)line.length, line.at);
		if (failed)
			return -1;
	}
	return buf_finish(body->text, err) || buf_finish(body->names, err) ? -1 : 0;
}

static int module_add(struct bundle *bundle, struct bundle_module *module, struct err *err)
{
	AUTO_BUF text = buf_new(BODY_BYTES_MAX);
	AUTO_BUF names = buf_new(NAMES_BYTES_MAX);

	if (module->place > 0)
		return 0;
	if (module->place == OPEN)
		return err_set(err, ERR_INVALID, "%s: what it imports imports it", module->name);
	module->place = OPEN;
	if (body_make(bundle, module, &(struct body){&text, &names}, err))
		return -1;
	module->place = ++bundle->places;
	buf_add_format(bundle->out, "// %s\nconst module_%d = (() => {\n", module->name + 1, module->place);
	buf_add_view(bundle->out, buf_view(&text));
	buf_add_text(bundle->out, "return {");
	buf_add_view(bundle->out, buf_view(&names));
	buf_add_text(bundle->out, "};\n})();\n");
	return 0;
}

int bundle_make(struct bundle_module *modules, size_t count, const char *entry, struct buf *out, struct err *err)
{
	struct bundle bundle = {modules, count, out, 0};

	for (size_t i = 0; i < count; i++)
		modules[i].place = 0;
	for (size_t i = 0; i < count; i++)
		if (strcmp(modules[i].name, entry) == 0)
			return module_add(&bundle, &modules[i], err);
	return err_set(err, ERR_INVALID, "there is no %s", entry);
}
