/* yaml_json FILE NAME HEADER: prints a YAML file, as JSON, as a C array `NAME` with `NAME_length`, at build time. All scalars are texts. */
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "blueprint/tree.h"

static json_t *json_of(const struct tree_node *node)
{
	json_t *json;

	switch (node->kind) {
	case TREE_LIST:
		json = json_array();
		for (size_t i = 0; i < node->count; i++)
			json_array_append_new(json, json_of(node->items[i]));
		return json;
	case TREE_MAP:
		json = json_object();
		for (size_t i = 0; i < node->count; i++)
			json_object_set_new(json, node->pairs[i].key->text, json_of(node->pairs[i].value));
		return json;
	case TREE_SCALAR:
		break;
	}
	return json_string(node->text);
}

static int print_array(const char *name, const char *header, struct view bytes)
{
	(void)printf("/* Made by yaml_json. */\n#include \"%s\"\n\nconst unsigned char %s[] = {", header, name);
	for (size_t i = 0; i < bytes.length; i++)
		(void)printf("%s%d,", i % 32 ? "" : "\n", (unsigned char)bytes.at[i]);
	(void)printf("\n};\nconst size_t %s_length = %zu;\n", name, bytes.length);
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	AUTO_BUF text = buf_new(TREE_BYTES_MAX);
	AUTO_BUF out = buf_new(TREE_BYTES_MAX * 4);
	AUTO_ARENA arena = {.used = 0};
	const struct tree_node *root;
	struct err err = {.kind = ERR_NONE};
	AUTO_JSON json = NULL;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: yaml_json FILE NAME HEADER\n");
		return 2;
	}
	root = file_read(argv[1], &text, &err) ? NULL : tree_parse(buf_view(&text), argv[1], TREE_STRICT, &arena, &err);
	if (root)
		json = json_of(root);
	if (!json) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	json_format(&out, json);
	return buf_finish(&out, &err) ? 1 : print_array(argv[2], argv[3], buf_view(&out));
}
