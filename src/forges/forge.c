/* What holds for every forge. */
#include "forges/forge.h"

json_t *forge_list(struct forge forge, const struct list_ask *ask, struct err *err)
{
	return forge.ops->list(forge.self, ask, err);
}

json_t *forge_fetch(struct forge forge, int64_t number, struct err *err)
{
	return forge.ops->fetch(forge.self, number, err);
}

int forge_upsert(struct forge forge, const struct forge_pull *pull, int64_t *number, struct err *err)
{
	if (strlen(pull->body) > FORGE_TEXT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the pull request's text is longer than %zu bytes", FORGE_TEXT_BYTES_MAX);
	return forge.ops->upsert(forge.self, pull, number, err);
}

int forge_review(struct forge forge, int64_t number, const char *author, const char *kind, const char *text, const char *operation,
		 struct err *err)
{
	if (strcmp(kind, "approve") != 0 && strcmp(kind, "changes") != 0 && strcmp(kind, "comment") != 0)
		return err_set(err, ERR_INVALID, "`%.40s` is no kind of review: expected approve, changes or comment", kind);
	if (strcmp(kind, "approve") != 0 && !view_trim(view_of(text)).length)
		return err_set(err, ERR_INVALID, "the review says nothing: write what should change");
	if (strlen(text) > FORGE_TEXT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the review is longer than %zu bytes", FORGE_TEXT_BYTES_MAX);
	return forge.ops->review(forge.self, number, author, kind, text, operation, err);
}

int forge_merge(struct forge forge, int64_t number, struct git_hash *merged, struct err *err)
{
	return forge.ops->merge(forge.self, number, merged, err);
}

int forge_close(struct forge forge, int64_t number, struct err *err)
{
	return forge.ops->close(forge.self, number, err);
}

enum forge_state forge_state_of(const json_t *pull)
{
	const char *state = json_text(pull, "state", "open");

	if (strcmp(state, "merged") == 0)
		return FORGE_MERGED;
	return strcmp(state, "closed") == 0 ? FORGE_CLOSED : FORGE_OPEN;
}
