/*
 * err: what went wrong, for the code that must decide what to do next and for the person who must read it.
 *
 * A fallible function returns 0 or -1 (or a pointer or NULL), takes `struct err *err` last, and fills it exactly when it
 * fails. The text is inline: failing never allocates. Kinds are sorted by what the caller does next, so that a retry rule is
 * one switch. Context is added once per layer with err_prefix().
 */
#ifndef ASSAY_BASE_ERR_H
#define ASSAY_BASE_ERR_H

#include <stdarg.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

enum err_kind {
	ERR_NONE = 0,
	ERR_INVALID,   /* the same call fails again */
	ERR_NOT_FOUND, /* the thing named does not exist */
	ERR_CONFLICT,  /* read again, then decide */
	ERR_DENIED,    /* a person must act */
	ERR_LIMIT,     /* one of our own limits */
	ERR_RETRY,     /* transient */
	ERR_CANCELLED, /* asked to stop */
	ERR_BROKEN,    /* stored state or a peer breaks its contract */
};

#define ERR_TEXT_MAX 512

struct err {
	enum err_kind kind;
	char text[ERR_TEXT_MAX]; /* one line, no newline, for a person */
};

/* Fills err (which may be NULL) and returns -1, so that callers can `return err_set(...)`. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
int err_set_va(struct err *err, enum err_kind kind, const char *format, va_list args) PRINTF_LIKE(3, 0);

/* As err_set, with ": strerror(errno_value)" appended; the kind follows from the errno (ENOENT, EACCES, EAGAIN, ...). */
int err_errno(struct err *err, int errno_value, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text; keeps the kind. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#if defined(__clang_analyzer__) || defined(ASSAY_ANALYZER)
/* Analyzers see one file at a time: this tells them what these return. */
#define err_set(...)                          \
	__extension__({                       \
		(void)(err_set)(__VA_ARGS__); \
		-1;                           \
	})
#define err_set_va(...)                          \
	__extension__({                          \
		(void)(err_set_va)(__VA_ARGS__); \
		-1;                              \
	})
#define err_errno(...)                          \
	__extension__({                         \
		(void)(err_errno)(__VA_ARGS__); \
		-1;                             \
	})
#define err_prefix(...)                          \
	__extension__({                          \
		(void)(err_prefix)(__VA_ARGS__); \
		-1;                              \
	})
#endif

/* "invalid", "not_found", ...: as shown in JSON. Never NULL. */
const char *err_kind_name(enum err_kind kind);

#endif
