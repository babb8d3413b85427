/* Finding what there is to import, and the draft's small change. */
#include "blueprint/import.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/import_priv.h"
#include "blueprint/reader_priv.h"

static bool note_is_there(struct view notes, struct view line)
{
	while (notes.at)
		if (view_equal(view_cut(notes, '\n', &notes), line))
			return true;
	return false;
}

void draft_note(struct draft *draft, const char *format, ...)
{
	char line[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	if (!note_is_there(buf_view(draft->notes), view_of(line)))
		buf_add_format(draft->notes, "%s\n", line);
}

char *draft_format(struct draft *draft, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		abort();
	return arena_copy(&draft->arena, view_make(text, (size_t)length));
}

void draft_texts_add(struct draft *draft, struct draft_texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->at[i], text) == 0)
			return;
	draft_texts_append(draft, texts, text);
}

void draft_texts_append(struct draft *draft, struct draft_texts *texts, const char *text)
{
	const char **grown = arena_take_array(&draft->arena, texts->count + 2, sizeof(*grown));

	for (size_t i = 0; i < texts->count; i++)
		grown[i] = texts->at[i];
	grown[texts->count++] = text;
	texts->at = grown;
}

void draft_variables_set(struct draft *draft, struct draft_variables *variables, const char *name, const char *value)
{
	struct draft_variable *grown;

	for (size_t i = 0; i < variables->count; i++)
		if (strcmp(variables->at[i].name, name) == 0) {
			variables->at[i].value = value;
			return;
		}
	grown = arena_take_array(&draft->arena, variables->count + 1, sizeof(*grown));
	for (size_t i = 0; i < variables->count; i++)
		grown[i] = variables->at[i];
	grown[variables->count++] = (struct draft_variable){name, value};
	variables->at = grown;
}

const char *draft_variables_find(const struct draft_variables *variables, const char *name)
{
	for (size_t i = 0; i < variables->count; i++)
		if (strcmp(variables->at[i].name, name) == 0)
			return variables->at[i].value;
	return NULL;
}

bool draft_variable_is_good(const struct draft_variable *variable)
{
	return name_is_variable(variable->name) && strncmp(variable->name, "ASSAY_", 6) != 0 &&
	       strlen(variable->value) <= READER_TEXT_MAX;
}

const char *draft_label(struct draft *draft, const char *text)
{
	char *label = arena_take(&draft->arena, READER_NAME_MAX + 1);
	size_t length = 0;

	for (; *text && length < READER_NAME_MAX; text++) {
		unsigned char c = (unsigned char)tolower((unsigned char)*text);

		if (isalnum(c) && c < 0x80)
			label[length++] = (char)c;
		else if (length && label[length - 1] != '-')
			label[length++] = '-';
	}
	while (length && label[length - 1] == '-')
		label[--length] = '\0';
	return length ? label : "app";
}

struct draft_service *draft_service_find(struct draft *draft, const char *came_as)
{
	for (size_t i = 0; i < draft->service_count; i++)
		if (strcmp(draft->services[i].came_as, came_as) == 0)
			return &draft->services[i];
	return NULL;
}

struct draft_database *draft_database_find(struct draft *draft, const char *came_as)
{
	for (size_t i = 0; i < draft->database_count; i++)
		if (strcmp(draft->databases[i].came_as, came_as) == 0)
			return &draft->databases[i];
	return NULL;
}

/* A label that no other member has, and that is not reserved. */
static const char *member_name(struct draft *draft, const char *name, const char *origin)
{
	const char *label = draft_label(draft, name);
	bool taken = blueprint_name_is_reserved(label);

	for (size_t i = 0; i < draft->service_count; i++)
		taken = taken || strcmp(draft->services[i].name, label) == 0;
	for (size_t i = 0; i < draft->database_count; i++)
		taken = taken || strcmp(draft->databases[i].name, label) == 0;
	if (taken)
		label = draft_format(draft, "%.32s-app%zu", label, draft->service_count + draft->database_count);
	if (strcmp(label, name) != 0)
		draft_note(draft, "%s: `%s` is called `%s` here: addresses in `env` follow, those in the code do not", origin, name,
			   label);
	return label;
}

struct draft_service *draft_service_add(struct draft *draft, const char *name, const char *origin)
{
	struct draft_service *service;

	if (draft->service_count == DRAFT_MEMBERS_MAX) {
		draft_note(draft, "%s: `%s` is left out: more than %zu services", origin, name, DRAFT_MEMBERS_MAX);
		return NULL;
	}
	service = &draft->services[draft->service_count];
	*service = (struct draft_service){.name = member_name(draft, name, origin), .came_as = name, .origin = origin};
	draft->service_count++;
	return service;
}

struct draft_database *draft_database_add(struct draft *draft, const char *name, const char *origin, enum engine_kind engine)
{
	struct draft_database *database;

	if (draft->database_count == DRAFT_MEMBERS_MAX) {
		draft_note(draft, "%s: `%s` is left out: more than %zu databases", origin, name, DRAFT_MEMBERS_MAX);
		return NULL;
	}
	database = &draft->databases[draft->database_count];
	*database = (struct draft_database){
		.name = member_name(draft, name, origin), .came_as = name, .origin = origin, .engine = engine};
	draft->database_count++;
	return database;
}

const char *draft_path(struct draft *draft, const char *base, const char *path)
{
	AUTO_BUF clean = buf_new(4096);
	const char *parts[] = {base, path};

	if (!path_is_inside(base) || !path_is_inside(path))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct view rest = view_of(parts[i]);

		while (rest.at) {
			struct view part = view_cut(rest, '/', &rest);

			if (part.length && !view_is(part, "."))
				buf_add_format(&clean, "%s%.*s", clean.length ? "/" : "", (int)part.length, part.at);
		}
	}
	return clean.length ? arena_copy(&draft->arena, buf_view(&clean)) : ".";
}

const char *draft_file(struct draft *draft, const char *path)
{
	AUTO_FREE char *full = text_format("%s/%s", draft->dir, path);
	AUTO_FREE char *root = realpath(draft->dir, NULL);
	AUTO_FREE char *real = realpath(full, NULL);
	AUTO_BUF text = buf_new(DRAFT_FILE_BYTES_MAX);
	size_t length = root ? strlen(root) : 0;

	if (!root || !real || strncmp(real, root, length) != 0 || (real[length] != '/' && length > 1) ||
	    file_read(real, &text, NULL) || memchr(buf_view(&text).at, '\0', text.length))
		return NULL;
	return arena_copy(&draft->arena, buf_view(&text));
}

static void preview_choose(struct draft *draft)
{
	struct draft_service *chosen = NULL;

	for (size_t i = 0; i < draft->service_count; i++) {
		struct draft_service *service = &draft->services[i];

		if (service->port && (!chosen || (service->published && !chosen->published)))
			chosen = service;
	}
	if (chosen)
		chosen->preview = true;
}

/* `value` with a renamed host's new name, where it is all of it or follows "//" or "@" or a comma. */
static const char *host_replace(struct draft *draft, const char *value, const char *from, const char *to)
{
	AUTO_BUF out = buf_new(DRAFT_FILE_BYTES_MAX);
	size_t length = strlen(from);

	for (const char *at = value; *at;) {
		bool begins = at == value || strchr("/@,", at[-1]);
		bool ends = strncmp(at, from, length) == 0 && (!at[length] || strchr(":/,?", at[length]));

		if (begins && ends && (at != value || !at[length] || at[length] == ':')) {
			buf_add_text(&out, to);
			at += length;
		} else {
			buf_add_char(&out, *at++);
		}
	}
	return arena_copy(&draft->arena, buf_view(&out));
}

static void host_rename(struct draft *draft, const char *from, const char *to)
{
	if (strcmp(from, to) == 0)
		return;
	for (size_t i = 0; i < draft->service_count; i++)
		for (size_t j = 0; j < draft->services[i].env.count; j++) {
			struct draft_variable *variable = &draft->services[i].env.at[j];

			variable->value = host_replace(draft, variable->value, from, to);
		}
}

static void hosts_rename(struct draft *draft)
{
	for (size_t i = 0; i < draft->service_count; i++)
		host_rename(draft, draft->services[i].came_as, draft->services[i].name);
	for (size_t i = 0; i < draft->database_count; i++)
		host_rename(draft, draft->databases[i].came_as, draft->databases[i].name);
}

static const char *const compose_names[] = {"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"};

static int sources_read(struct draft *draft, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(compose_names) && !draft->source; i++)
		if (draft_file(draft, compose_names[i]))
			draft->source = compose_names[i];
	if (draft->source) {
		if (draft_read_compose(draft, draft->source, err))
			return -1;
	} else if (draft_file(draft, "Procfile")) {
		draft->source = "Procfile";
		if (draft_read_procfile(draft, err))
			return -1;
	}
	if (draft_file(draft, "package.json")) {
		bool services = !draft->source;

		draft->source = services ? "package.json" : draft->source;
		return draft_read_package(draft, services, err);
	}
	if (!draft->source)
		return err_set(err, ERR_NOT_FOUND,
			       "no compose.yaml, Procfile or package.json in %s: write assay.yaml by hand (see doc/blueprint.md)",
			       draft->dir);
	return 0;
}

static void name_choose(struct draft *draft)
{
	AUTO_FREE char *real = realpath(draft->dir, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;

	if (!draft->name)
		draft->name = draft_label(draft, slash ? slash + 1 : "app");
}

static int draft_finish(struct draft *draft, struct buf *yaml, struct err *err)
{
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_BUF text = buf_new(DRAFT_FILE_BYTES_MAX);

	if (sources_read(draft, err))
		return -1;
	if (!draft->service_count)
		return err_set(
			err, ERR_INVALID,
			"%s has no service with a command: give one a `command` and run this again, or write assay.yaml by hand (doc/blueprint.md)",
			draft->source);
	name_choose(draft);
	preview_choose(draft);
	hosts_rename(draft);
	draft_write(draft, &text);
	blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!blueprint)
		return err_prefix(err, "%s cannot be mapped", draft->source);
	buf_add_view(yaml, buf_view(&text));
	return buf_finish(yaml, err) || buf_finish(draft->notes, err) ? -1 : 0;
}

int blueprint_import(const char *dir, struct buf *yaml, struct buf *notes, struct err *err)
{
	AUTO_FREE struct draft *draft = mem_new(sizeof(*draft));
	int result;

	draft->dir = dir;
	draft->notes = notes;
	result = draft_finish(draft, yaml, err);
	arena_fini(&draft->arena);
	return result;
}
