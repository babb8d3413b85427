/* Small files of the kernel, and paths. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sandbox/local/keeper_priv.h"

int text_put(const char *path, const char *text, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(text);

	if (fd < 0 || write(fd, text, length) != (ssize_t)length)
		return err_errno(err, errno, "cannot write `%s` into %s", text, path);
	return 0;
}

bool text_get(const char *path, char *at, size_t length)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	while (fd >= 0 && used < length - 1) {
		ssize_t got = read(fd, at + used, length - 1 - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	at[used] = '\0';
	return fd >= 0;
}

int path_make(char path[PATH_BYTES], struct err *err, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(path, PATH_BYTES, format, args);
	va_end(args);
	return length < PATH_BYTES ? 0 : err_set(err, ERR_LIMIT, "a path is longer than %d bytes", PATH_BYTES - 1);
}
