/*
 * scope: things that free themselves at the end of their scope, and how to hand them over.
 *
 *	AUTO_FREE char *text = strdup(...);
 *	AUTO_CLOSE int fd = open(...);
 *	return TAKE(text);      // hands over: the variable is NULL from here on
 *	return TAKE_FD(fd);     // hands over: the variable is -1 from here on
 */
#ifndef ASSAY_BASE_SCOPE_H
#define ASSAY_BASE_SCOPE_H

#include <stddef.h>

void scope_free(void *pointer_to_pointer);
void scope_close(int *fd); /* keeps errno */

/* Unused is allowed: a variable may be there only to be freed. */
#define AUTO_FREE __attribute__((cleanup(scope_free), unused))
#define AUTO_CLOSE __attribute__((cleanup(scope_close), unused))

#define TAKE(pointer)                                   \
	__extension__({                                 \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})
#define TAKE_FD(fd)                   \
	__extension__({               \
		int taken_fd_ = (fd); \
		(fd) = -1;            \
		taken_fd_;            \
	})

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Allocation that cannot fail: out of memory aborts, because state is durable and the supervisor restarts us. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_grow(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
/* Gives back what only the start needed: memory that is free again, and pages of code, which come back from the system's cache when they are run. */
void mem_settle(void);
char *text_copy(const char *text) __attribute__((malloc)); /* NULL gives NULL */
char *text_format(const char *format, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

#endif
