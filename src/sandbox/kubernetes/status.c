/* Answers of API servers, as one table of what they mean. */
#include "sandbox/kubernetes/status.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define TYPED_PATCH "failed to create typed patch object"

struct rule {
	unsigned code;      /* 0: any */
	const char *reason; /* NULL: any */
	const char *cause;  /* NULL: any */
	enum kube_meaning meaning;
};

/* The first that fits decides. */
static const struct rule rules[] = {
	{401, NULL, NULL, KUBE_UNKNOWN_TO_SERVER},
	{403, NULL, "NamespaceTerminating", KUBE_TERMINATING},
	{403, NULL, NULL, KUBE_FORBIDDEN},
	{404, NULL, NULL, KUBE_MISSING},
	{409, "AlreadyExists", NULL, KUBE_EXISTS},
	{409, NULL, "FieldManagerConflict", KUBE_OWNED},
	{409, NULL, NULL, KUBE_CHANGED},
	{410, NULL, NULL, KUBE_EXPIRED},
	{429, NULL, "DisruptionBudget", KUBE_DISRUPTS},
	{429, NULL, NULL, KUBE_BUSY},
	{504, NULL, "ResourceVersionTooLarge", KUBE_AHEAD},
};

static void copy(char *at, size_t size, const char *text)
{
	(void)snprintf(at, size, "%s", text);
}

static enum kube_meaning meaning_of(const struct kube_status *status)
{
	if (status->code == 500 && !status->reason[0] && strncmp(status->message, TYPED_PATCH, sizeof(TYPED_PATCH) - 1) == 0)
		return KUBE_WRONG;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].code == status->code && (!rules[i].reason || strcmp(rules[i].reason, status->reason) == 0) &&
		    (!rules[i].cause || strcmp(rules[i].cause, status->cause) == 0))
			return rules[i].meaning;
	if (status->code >= 200 && status->code < 300)
		return KUBE_GOOD;
	return status->code >= 500 ? KUBE_TROUBLE : KUBE_WRONG;
}

static void details_read(const json_t *object, struct kube_status *status)
{
	const json_t *details = json_member(object, "details");
	const json_t *causes = json_member(details, "causes");
	int64_t seconds = json_number(details, "retryAfterSeconds", 0);

	copy(status->reason, sizeof(status->reason), json_text(object, "reason", ""));
	copy(status->message, sizeof(status->message), json_text(object, "message", ""));
	copy(status->kind, sizeof(status->kind), json_text(details, "kind", ""));
	copy(status->cause, sizeof(status->cause), json_text(json_array_get(causes, 0), "reason", ""));
	for (size_t i = 1; i < json_array_size(causes); i++) /* among several conflicts any field of another's is what counts */
		if (strcmp(json_text(json_array_get(causes, i), "reason", ""), "FieldManagerConflict") == 0)
			copy(status->cause, sizeof(status->cause), "FieldManagerConflict");
	if (seconds > 0 && !status->wait_ms)
		status->wait_ms = seconds > KUBE_WAIT_MAX_MS / 1000 ? KUBE_WAIT_MAX_MS : seconds * 1000;
}

void kube_status_judge(unsigned code, const char *retry_after, struct view body, struct kube_status *status)
{
	AUTO_JSON json = body.length && body.at[0] == '{' ? json_parse(body, NULL) : NULL;
	uint64_t seconds;

	*status = (struct kube_status){.code = code};
	if (retry_after && view_to_u64(view_of(retry_after), &seconds))
		status->wait_ms = seconds > KUBE_WAIT_MAX_MS / 1000 ? KUBE_WAIT_MAX_MS : (int64_t)seconds * 1000;
	if (strcmp(json_text(json, "kind", ""), "Status") == 0) {
		details_read(json, status);
	} else if (code >= 300) { /* plain text, of flow control or of a proxy before the server */
		(void)snprintf(status->message, sizeof(status->message), "%.*s", (int)(body.length < 300 ? body.length : 300),
			       body.at);
		for (char *at = status->message; *at; at++)
			if ((unsigned char)*at < ' ')
				*at = ' ';
	}
	status->meaning = meaning_of(status);
}

void kube_status_judge_object(const json_t *object, struct kube_status *status)
{
	int64_t code = json_number(object, "code", 0);

	*status = (struct kube_status){.code = code >= 300 && code < 600 ? (unsigned)code : 500};
	details_read(object, status);
	status->meaning = meaning_of(status);
}

static enum err_kind kind_of(enum kube_meaning meaning)
{
	switch (meaning) {
	case KUBE_UNKNOWN_TO_SERVER:
	case KUBE_FORBIDDEN:
		return ERR_DENIED;
	case KUBE_MISSING:
		return ERR_NOT_FOUND;
	case KUBE_TERMINATING:
	case KUBE_EXISTS:
	case KUBE_CHANGED:
	case KUBE_OWNED:
	case KUBE_EXPIRED:
	case KUBE_AHEAD:
	case KUBE_DISRUPTS:
		return ERR_CONFLICT;
	case KUBE_WRONG:
		return ERR_INVALID;
	case KUBE_GOOD:
	case KUBE_BUSY:
	case KUBE_TROUBLE:
		break;
	}
	return ERR_RETRY;
}

int kube_status_err(const struct kube_status *status, struct err *err)
{
	return err_set(err, kind_of(status->meaning), "%u%s%s%s%s", status->code, status->reason[0] ? " " : "", status->reason,
		       status->message[0] ? ": " : "", status->message);
}

const char *kube_meaning_name(enum kube_meaning meaning)
{
	static const char *const names[] = {"good",  "unknown", "forbidden", "terminating", "missing", "exists",   "changed",
					    "owned", "expired", "ahead",     "wrong",       "busy",    "disrupts", "trouble"};

	return meaning < ARRAY_LEN(names) ? names[meaning] : "?";
}

int kube_event_parse(struct view line, struct kube_event *event, struct err *err)
{
	static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
	AUTO_JSON json = json_parse(line, NULL);
	const char *type = json_text(json, "type", "");
	json_t *object = json_member(json, "object");

	*event = (struct kube_event){0};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(type, names[i]) == 0 && json_is_object(object)) {
			event->change = (enum kube_change)i;
			event->object = json_incref(object);
			copy(event->version, sizeof(event->version),
			     json_text(json_member(object, "metadata"), "resourceVersion", ""));
			return 0;
		}
	return err_set(err, ERR_BROKEN, "a line of a watch that is no event: %.*s", (int)(line.length < 80 ? line.length : 80),
		       line.at);
}
