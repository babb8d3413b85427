/* Known secrets are taken out of a stream. */
#include "runs/redact.h"

#include <stdlib.h>

#include "base/scope.h"

#define SECRET_LENGTH_LEAST 8
#define SECRETS_MAX 64
#define WAITING_BYTES_MAX ((size_t)1 << 20)

struct redactor {
	struct {
		char *name;
		char *value;
		size_t length;
	} secrets[SECRETS_MAX];
	size_t count;
	struct buf waiting; /* may be the beginning of one */
};

struct redactor *redactor_new(void)
{
	struct redactor *redactor = mem_new(sizeof(*redactor));

	redactor->waiting = buf_new(WAITING_BYTES_MAX);
	return redactor;
}

static bool is_secret(const struct name_value *variable)
{
	static const char *const words[] = {"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"};
	size_t length = strlen(variable->value);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(variable->name, words[i]))
			return length >= SECRET_LENGTH_LEAST && length < WAITING_BYTES_MAX / 2;
	return false;
}

void redactor_add(struct redactor *redactor, const struct variables *variables)
{
	for (size_t i = 0; i < variables->count && redactor->count < SECRETS_MAX; i++) {
		const struct name_value *variable = &variables->at[i];

		if (!is_secret(variable))
			continue;
		redactor->secrets[redactor->count].name = text_copy(variable->name);
		redactor->secrets[redactor->count].value = text_copy(variable->value);
		redactor->secrets[redactor->count++].length = strlen(variable->value);
	}
}

/* The longest secret that begins at the front of `rest`: its number + 1; 0: none. *maybe: one might, if more came. */
static size_t secret_at(const struct redactor *redactor, struct view rest, bool *maybe)
{
	size_t found = 0;

	*maybe = false;
	for (size_t i = 0; i < redactor->count; i++) {
		size_t length = redactor->secrets[i].length;
		size_t shown = rest.length < length ? rest.length : length;

		if (memcmp(rest.at, redactor->secrets[i].value, shown) != 0)
			continue;
		if (shown < length)
			*maybe = true;
		else if (!found || length > redactor->secrets[found - 1].length)
			found = i + 1;
	}
	return found;
}

static void scan(struct redactor *redactor, bool at_end, struct buf *out)
{
	struct view rest = buf_view(&redactor->waiting);

	while (rest.length) {
		bool maybe;
		size_t found = secret_at(redactor, rest, &maybe);
		size_t length = 1;

		if (maybe && !at_end)
			break;
		if (found) {
			length = redactor->secrets[found - 1].length;
			buf_add_format(out, "[%s]", redactor->secrets[found - 1].name);
		} else {
			buf_add(out, rest.at, 1);
		}
		rest = view_make(rest.at + length, rest.length - length);
	}
	buf_drop_front(&redactor->waiting, redactor->waiting.length - rest.length);
}

void redactor_feed(struct redactor *redactor, struct view bytes, struct buf *out)
{
	if (!redactor->count) {
		buf_add_view(out, bytes);
		return;
	}
	buf_add_view(&redactor->waiting, bytes);
	scan(redactor, false, out);
}

void redactor_end(struct redactor *redactor, struct buf *out)
{
	scan(redactor, true, out);
}

void redactor_free(struct redactor *redactor)
{
	if (!redactor)
		return;
	for (size_t i = 0; i < redactor->count; i++) {
		free(redactor->secrets[i].name);
		free(redactor->secrets[i].value);
	}
	buf_fini(&redactor->waiting);
	free(redactor);
}
