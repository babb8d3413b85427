/* What new issues of a project may begin with: files of its main branch. */
#include "base/scope.h"
#include "runs/runs_priv.h"

#define TEMPLATES_DIR ".assay/templates"
#define TEMPLATES_MAX 100
#define TEMPLATE_BYTES_MAX ((size_t)64 << 10)
#define NAMES_BYTES_MAX ((size_t)64 << 10)

/* A name of a path is up to its zero byte; those that are no template's give NULL. */
static char *template_name(struct view path)
{
	const struct view dir = VIEW(TEMPLATES_DIR "/");

	if (!view_starts(path, dir) || !view_ends(path, VIEW(".md")) || path.length <= dir.length + strlen(".md"))
		return NULL;
	return view_copy(view_make(path.at + dir.length, path.length - dir.length - strlen(".md")));
}

/* One that is too long is none. */
static void template_add(const char *repository, const struct git_hash *commit, struct view path, json_t *items)
{
	AUTO_FREE char *name = template_name(path);
	AUTO_FREE char *file = view_copy(path);
	AUTO_BUF text = buf_new(TEMPLATE_BYTES_MAX);
	json_t *item;

	if (!name || git_file_read(repository, commit, file, &text, NULL))
		return;
	item = json_object();
	json_set_bytes(item, "name", view_of(name));
	json_set_bytes(item, "text", buf_view(&text));
	(void)json_array_append_new(items, item);
}

json_t *runs_template_list(struct runs *runs, const char *repository, struct err *err)
{
	AUTO_FREE char *path = runs_repository_path(runs, repository, err);
	AUTO_BUF names = buf_new(NAMES_BYTES_MAX);
	AUTO_JSON items = json_array();
	struct git_hash head;

	if (!path || git_resolve(path, "refs/heads/main", &head, err))
		return NULL;
	const char *argv[] = {"ls-tree", "-z", "--name-only", head.text, "--", TEMPLATES_DIR "/", NULL};

	if (git_run(path, argv, &(struct process_spec){.output = &names}, NULL, err))
		return NULL;
	for (struct view rest = buf_view(&names); rest.length && json_array_size(items) < TEMPLATES_MAX;)
		template_add(path, &head, view_cut(rest, '\0', &rest), items);
	return TAKE(items);
}
