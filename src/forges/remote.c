/* The kinds of code hosts: a row each. */
#include "forges/remote.h"

#include <string.h>
#include <strings.h>

#include "base/markdown.h"
#include "base/scope.h"
#include "forges/gitea.h"
#include "forges/github.h"
#include "forges/gitlab.h"

#define NAME_DEFAULT "assay"
#define ANNOTATIONS_SHOWN ((size_t)30)

static const struct remote_kind *const kinds[] = {&gitea_kind, &github_kind, &gitlab_kind};

const struct remote_kind *remote_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

const char *remote_kind_mention(const struct remote_kind *kind, const json_t *configuration)
{
	return json_text(configuration, kind->name_key, NAME_DEFAULT);
}

/* `actor` is "%s" with something around it. */
bool remote_kind_is_self(const struct remote_kind *kind, const json_t *configuration, const char *login)
{
	const char *name = remote_kind_mention(kind, configuration);
	const char *hole = strstr(kind->actor, "%s");
	size_t before = (size_t)(hole - kind->actor);
	size_t length = strlen(name);

	return strncmp(login, kind->actor, before) == 0 && strncasecmp(login + before, name, length) == 0 &&
	       strcmp(login + before + length, hole + 2) == 0;
}

int remote_webhook_verify(enum webhook_scheme scheme, const json_t *secrets, const char *key, const struct webhook_request *request,
			  int64_t now_ms, struct err *err)
{
	const char *secret = json_text(secrets, key, NULL);

	return secret ? webhook_verify(scheme, secret, request, now_ms, err)
		      : err_set(err, ERR_DENIED, "the connection has no %s", key);
}

/* ---- what the drivers share ---- */

void remote_text_set(json_t *object, const char *key, const char *text, size_t max)
{
	size_t length = strlen(text);

	while (length > max || (length && length < strlen(text) && ((unsigned char)text[length] & 0xc0) == 0x80))
		length--;
	json_set_bytes(object, key, view_make(text, length));
}

int remote_merged_with(const char *now, const char *head, struct err *err)
{
	if (strcmp(now, head) == 0)
		return 0;
	return err_set(err, ERR_CONFLICT, "somebody merged it as it was at %.12s, without what came after", now);
}

bool remote_is_earlier(const struct remote_pull *pull, const char *head, const char *body)
{
	return !pull->number && (strcmp(head, pull->head) == 0 || (pull->run && strstr(body, pull->run)));
}

void remote_found_add(json_t *list, const char *what, const char *state, const char *todo)
{
	(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", what, "state", state, "do", todo));
}

static void report_format(struct buf *out, const struct remote_check *check)
{
	size_t index;
	json_t *item;

	markdown_code_add(out, check->title, false);
	buf_add_format(out, " of %.12s\n\n%s\n", check->head, check->summary);
	json_array_foreach((json_t *)(uintptr_t)check->annotations, index, item) {
		AUTO_FREE char *place = text_format("%s:%lld", json_text(item, "path", ""),
						    (long long)json_number(item, "line", 1));

		if (index >= ANNOTATIONS_SHOWN)
			break;
		buf_add_text(out, index ? "- " : "\n- ");
		markdown_code_add(out, place, false);
		buf_add_char(out, ' ');
		markdown_code_add(out, json_text(item, "message", ""), false);
		buf_add_char(out, '\n');
	}
	if (check->url)
		buf_add_format(out, "\n[All of it](%s)\n", check->url);
}

int remote_report_put(void *self, const char *repository, const struct remote_check *check,
		      int (*note_put)(void *self, const char *repository, bool pull, int64_t number, const char *marker,
				      const char *body, struct remote_told *told, struct err *err),
		      struct remote_told *told, struct err *err)
{
	AUTO_FREE char *marker = text_format("<!-- assay:report:%s -->", check->name);
	AUTO_BUF report = buf_new(REMOTE_BODY_BYTES_MAX);

	if (!check->number || check->state == REMOTE_RUNNING)
		return 0;
	report_format(&report, check);
	return note_put(self, repository, true, check->number, marker, report.at, told, err);
}
