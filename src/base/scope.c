/* Cleanup helpers and allocation that aborts instead of failing. */
#include "base/scope.h"

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_BYTES_MAX ((size_t)1024)

void scope_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void scope_close(int *fd)
{
	int kept = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = kept;
}

static void *checked(void *pointer)
{
	if (!pointer) {
		static const char line[] = "assay: out of memory\n";

		(void)!write(2, line, sizeof(line) - 1);
		abort();
	}
	return pointer;
}

/* glibc's calloc takes nothing of what its thread keeps at hand (tcache), and is slow for small sizes because of that. */
void *mem_new(size_t size)
{
	if (size == 0 || size > SMALL_BYTES_MAX)
		return checked(calloc(1, size ? size : 1));
	return memset(checked(malloc(size)), 0, size);
}

void *mem_new_array(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_grow(void *old, size_t count, size_t size)
{
	return checked(reallocarray(old, count ? count : 1, size ? size : 1));
}

/* Segments that nobody can have written to: nothing of them is ours alone. */
static int code_drop(struct dl_phdr_info *object, size_t size, void *self)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)self;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t from = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && end > from)
			(void)madvise((void *)from, end - from, MADV_DONTNEED);
	}
	return 0;
}

void mem_settle(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(code_drop, NULL);
}

char *text_copy(const char *text)
{
	return text ? checked(strdup(text)) : NULL;
}

char *text_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	return checked(length < 0 ? NULL : text);
}
