/* The kinds of code hosts: a row each. */
#include "forges/remote.h"

#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "forges/github.h"

#define NAME_DEFAULT "assay"

static const struct remote_kind *const kinds[] = {&github_kind};

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
