/* Tools: a script's folder, kept as the layer "tool/NAME/VERSION". The script runs in a builder, and reaches the hosts that it names. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/environment_priv.h"

#define TOOL_NAME_MAX 60

static bool name_valid(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && (!i || !strchr(".-_", text[i])))
			return false;
	return length && length <= TOOL_NAME_MAX;
}

/* A blueprint of nothing but the way out. */
static char *blueprint_text(const struct tool_spec *spec)
{
	AUTO_BUF text = buf_new((size_t)64 << 10);

	buf_add_text(&text,
		     "version: 1\nname: tool\nservices:\n  assay-none: {run: \"true\"}\nworkspace:\n  limits: {memory: 2G}\n");
	buf_add_text(&text, spec->hosts[0] ? "egress:\n  rules:\n" : "");
	for (size_t i = 0; spec->hosts[i]; i++)
		buf_add_format(&text, "    - {host: \"%s\", action: allow}\n", spec->hosts[i]);
	return buf_take(&text);
}

static int build(struct environments *all, const struct tool_spec *spec, const char *layer, struct progress progress,
		 struct err *err)
{
	AUTO_FREE char *text = blueprint_text(spec);
	const struct builder_spec builder_spec = {"", NULL, text};
	AUTO_BUILDER builder = builder_begin(all, &builder_spec, err);
	AUTO_JSON meta = json_pack("{s:s, s:s}", "name", spec->name, "version", spec->version);
	struct member *workspace = builder ? member_find(builder, WORKSPACE_MEMBER) : NULL;
	const char *argv[] = {"sh", "-e", "-c", spec->script, NULL};
	struct environment_exec exec = {
		.argv = argv, .env = spec->env, .timeout_ms = BUILD_LIMIT_MS, .cancelled = progress.cancelled};
	AUTO_FREE char *what = text_format("install %s %s", spec->name, spec->version);

	if (!builder || builder_member_make(builder, workspace, NULL, err) ||
	    member_run_checked(builder, workspace, &exec, what, err))
		return -1;
	member_unmake(builder, workspace);
	return builder_commit(builder, workspace, layer, meta, err);
}

int tool_install(struct environments *all, const struct tool_spec *spec, struct progress progress, struct err *err)
{
	AUTO_FREE char *layer = NULL;
	bool exists = false;
	int64_t began_ms;
	int result;

	if (!name_valid(spec->name) || !name_valid(spec->version))
		return err_set(err, ERR_INVALID, "`%.60s` `%.60s` is no name and version of a tool", spec->name, spec->version);
	layer = text_format(TOOL_LAYERS "%s/%s", spec->name, spec->version);
	environments_once_begin(all, layer);
	result = layer_exists(all, layer, &exists, err);
	if (result == 0 && !exists) {
		AUTO_FREE char *step = text_format("install %s %s", spec->name, spec->version);

		began_ms = elapsed_ms(all);
		step_report(progress, step, "", -1);
		result = build(all, spec, layer, progress, err);
		if (result == 0)
			step_report(progress, step, "", elapsed_ms(all) - began_ms);
	}
	environments_once_end(all, layer);
	return result;
}

json_t *tool_list(struct environments *all, struct err *err)
{
	AUTO_JSON layers = provider_layer_list(all->provider, TOOL_LAYERS, err);
	json_t *list = layers ? json_array() : NULL;
	json_t *layer;
	size_t index;

	json_array_foreach(layers, index, layer) {
		const json_t *meta = json_member(layer, "meta");

		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "name", json_text(meta, "name", ""), "version",
							    json_text(meta, "version", ""), "bytes",
							    (json_int_t)json_number(layer, "bytes", 0), "created_ms",
							    (json_int_t)json_number(layer, "created_ms", 0)));
	}
	return list;
}

int tool_remove(struct environments *all, const char *name, const char *version, struct err *err)
{
	AUTO_FREE char *layer = NULL;

	if (!name_valid(name) || !name_valid(version))
		return err_set(err, ERR_INVALID, "`%.60s` `%.60s` is no name and version of a tool", name, version);
	layer = text_format(TOOL_LAYERS "%s/%s", name, version);
	return provider_layer_remove(all->provider, layer, err);
}
