/* The one-line errors of every layer. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* Texts of errors end in logs, events and answers: they are one line of UTF-8, whatever was named in them or cut off. */
static void text_clean(char *text)
{
	for (char *at = text; *at;) {
		size_t length = view_utf8_length(view_of(at));

		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
		else if (!length)
			*at = '?';
		at += length ? length : 1;
	}
}

/* Their names are in parentheses since analyzers see macros of the same names. */
int(err_set_va)(struct err *err, enum err_kind kind, const char *format, va_list args)
{
	if (err) {
		err->kind = kind;
		(void)vsnprintf(err->text, sizeof(err->text), format, args);
		text_clean(err->text);
	}
	return -1;
}

int(err_set)(struct err *err, enum err_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)err_set_va(err, kind, format, args);
	va_end(args);
	return -1;
}

static enum err_kind kind_of_errno(int errno_value)
{
	switch (errno_value) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EAGAIN:
	case EINTR:
	case EBUSY:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ETIMEDOUT:
		return ERR_RETRY;
	case EEXIST:
	case ENOTEMPTY:
		return ERR_CONFLICT;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case E2BIG:
	case EFBIG:
	case ENAMETOOLONG:
		return ERR_LIMIT;
	case ECANCELED:
		return ERR_CANCELLED;
	default:
		return ERR_INVALID;
	}
}

int(err_errno)(struct err *err, int errno_value, const char *format, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return -1;
	va_start(args, format);
	(void)err_set_va(err, kind_of_errno(errno_value), format, args);
	va_end(args);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(errno_value));
	return -1;
}

int(err_prefix)(struct err *err, const char *format, ...)
{
	char old[ERR_TEXT_MAX];
	va_list args;
	size_t used;

	if (!err)
		return -1;
	memcpy(old, err->text, sizeof(old));
	va_start(args, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
	text_clean(err->text);
	return -1;
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",         [ERR_INVALID] = "invalid",     [ERR_NOT_FOUND] = "not_found",
		[ERR_CONFLICT] = "conflict", [ERR_DENIED] = "denied",       [ERR_LIMIT] = "limit",
		[ERR_RETRY] = "retry",       [ERR_CANCELLED] = "cancelled", [ERR_BROKEN] = "broken",
	};

	return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}
