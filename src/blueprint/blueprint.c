/* From text to a checked blueprint: the tree, the tables, the rules that join values. */
#include "blueprint/blueprint.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/reader_priv.h"

/* What blueprint_parse really makes: the record, and the arena that everything in it lives in. */
struct owner {
	struct blueprint blueprint;
	struct arena arena;
};

struct blueprint *blueprint_parse(struct view text, const char *file_name, struct err *err)
{
	AUTO_ARENA nodes = {0};
	struct owner *owner = mem_new(sizeof(*owner));
	const struct tree_node *root = tree_parse(text, file_name, TREE_STRICT, &nodes, err);
	struct reader reader = {.file_name = file_name, .arena = &owner->arena, .err = err};

	if (!root || reader_section(&reader, schema_sections[0], root, &owner->blueprint) ||
	    blueprint_check(&reader, root, &owner->blueprint)) {
		blueprint_free(&owner->blueprint);
		return NULL;
	}
	return &owner->blueprint;
}

struct blueprint *blueprint_load(const char *path, struct err *err)
{
	AUTO_BUF text = buf_new(TREE_BYTES_MAX);
	const char *slash = strrchr(path, '/');

	if (file_read(path, &text, err))
		return NULL;
	return blueprint_parse(buf_view(&text), slash ? slash + 1 : path, err);
}

void blueprint_free(struct blueprint *blueprint)
{
	struct owner *owner = (struct owner *)blueprint;

	if (!owner)
		return;
	arena_fini(&owner->arena);
	free(owner);
}

void scope_blueprint(struct blueprint **blueprint)
{
	blueprint_free(*blueprint);
}

void *blueprint_take(struct blueprint *blueprint, size_t count, size_t size)
{
	return arena_take_array(&((struct owner *)blueprint)->arena, count, size);
}

char *blueprint_copy(struct blueprint *blueprint, const char *text)
{
	return text ? arena_copy(&((struct owner *)blueprint)->arena, view_of(text)) : NULL;
}

const struct service *blueprint_service_find(const struct blueprint *blueprint, const char *name)
{
	for (size_t i = 0; i < blueprint->service_count; i++)
		if (strcmp(blueprint->services[i].name, name) == 0)
			return &blueprint->services[i];
	return NULL;
}

const struct database *blueprint_database_find(const struct blueprint *blueprint, const char *name)
{
	for (size_t i = 0; i < blueprint->database_count; i++)
		if (strcmp(blueprint->databases[i].name, name) == 0)
			return &blueprint->databases[i];
	return NULL;
}
