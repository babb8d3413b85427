/* Environments in which layers are made: checkouts, dependencies, databases. They have the isolation of any other. */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/environment_priv.h"

struct environment *builder_begin(struct environments *all, const struct builder_spec *spec, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_new(all, NULL);

	env->builder = true;
	env->no_services = true;
	env->name = text_copy("builder");
	env->purpose = text_copy("build");
	env->owner = text_copy("");
	env->repository = text_copy(spec->repository);
	if (spec->commit)
		env->commit = *spec->commit;
	if (spec->blueprint_text) {
		env->blueprint_text = text_copy(spec->blueprint_text);
		env->blueprint = blueprint_parse(view_of(spec->blueprint_text), "assay.yaml", err);
		if (!env->blueprint)
			return NULL;
	}
	if (members_plan(env, err) || file_make_dirs(env->dir, 0750, err))
		return NULL;
	environment_add(env);
	if (provider_env_make(all->provider, env->id, err) || gateway_env_put(env, err)) {
		builder_end(TAKE(env));
		return NULL;
	}
	return TAKE(env);
}

void builder_end(struct environment *builder)
{
	if (!builder)
		return;
	/* When the manager closes, the environment is already off its list; what it left is removed by the next start. */
	(void)pthread_mutex_lock(&builder->operation);
	(void)!environment_remove_locked(builder, NULL);
	(void)pthread_mutex_unlock(&builder->operation);
	environment_release(builder);
}

void scope_builder(struct environment **builder)
{
	builder_end(*builder);
}

int builder_member_make(struct environment *builder, struct member *member, const char *layer, struct err *err)
{
	bool copied = false;

	if (provider_volume_make(builder->all->provider, builder->id, member->volume, &layer, layer ? 1 : 0,
				 member->kind == MEMBER_DATABASE, &copied, err))
		return -1;
	return member_make(builder, member, err);
}

int builder_commit(struct environment *builder, const struct member *member, const char *layer, const json_t *meta, struct err *err)
{
	return provider_volume_commit(builder->all->provider, builder->id, member->volume, layer, meta, err);
}

/* YAML takes JSON. */
static void variables_text(struct buf *text, const struct variables *variables)
{
	AUTO_JSON object = json_object();

	for (size_t i = 0; i < variables->count; i++)
		json_set_bytes(object, variables->at[i].name, view_of(variables->at[i].value));
	buf_add_text(text, ", env: ");
	json_format(text, object);
}

char *builder_databases_text(const struct database *databases, size_t count)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	buf_add_text(&text, "version: 1\nname: builder\nservices:\n  assay-none: {run: \"true\"}\ndatabases:\n");
	for (size_t i = 0; i < count; i++) {
		buf_add_format(&text, "  %s: {engine: %s", databases[i].name, engine_of(databases[i].engine)->name);
		if (databases[i].path)
			buf_add_format(&text, ", path: \"%s\"", databases[i].path);
		else if (databases[i].database)
			buf_add_format(&text, ", database: \"%s\", user: \"%s\"", databases[i].database, databases[i].user);
		if (databases[i].version)
			buf_add_format(&text, ", version: %d", databases[i].version);
		if (databases[i].engine == ENGINE_RABBITMQ) /* who may log in stands in its data */
			variables_text(&text, &databases[i].env);
		buf_add_text(&text, "}\n");
	}
	return buf_take(&text);
}

int layer_exists(struct environments *all, const char *name, bool *exists, struct err *err)
{
	AUTO_JSON layers = provider_layer_list(all->provider, name, err);
	json_t *layer;
	size_t index;

	*exists = false;
	if (!layers)
		return -1;
	json_array_foreach(layers, index, layer)
		*exists = *exists || strcmp(json_text(layer, "layer", ""), name) == 0;
	return 0;
}
