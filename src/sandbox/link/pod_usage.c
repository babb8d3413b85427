/* What a pod's room uses, as its control group says. */
#include "sandbox/link/pod_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

bool pod_text_read(int folder_fd, const char *name, char text[POD_TEXT_BYTES])
{
	AUTO_CLOSE int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = fd >= 0 ? read(fd, text, POD_TEXT_BYTES - 1) : -1;

	text[got > 0 ? got : 0] = '\0';
	return got >= 0;
}

static uint64_t number_of(int folder_fd, const char *name)
{
	char text[POD_TEXT_BYTES];

	return pod_text_read(folder_fd, name, text) ? strtoull(text, NULL, 10) : 0;
}

/* "key number" lines. */
static uint64_t number_in(int folder_fd, const char *name, const char *key)
{
	char text[POD_TEXT_BYTES];
	const char *at;

	if (!pod_text_read(folder_fd, name, text))
		return 0;
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static bool is_limited(int folder_fd, const char *name)
{
	char text[POD_TEXT_BYTES];

	return pod_text_read(folder_fd, name, text) && strncmp(text, "max", 3) != 0;
}

void pod_usage_read(int folder_fd, uint64_t usage[LINK_USAGE_FIELDS])
{
	usage[LINK_USAGE_MEMORY] = number_of(folder_fd, "memory.current");
	usage[LINK_USAGE_PEAK] = number_of(folder_fd, "memory.peak");
	usage[LINK_USAGE_CPU_MS] = number_in(folder_fd, "cpu.stat", "usage_usec ") / 1000;
	usage[LINK_USAGE_PIDS] = number_of(folder_fd, "pids.current");
	usage[LINK_USAGE_PIDS_REFUSED] = number_in(folder_fd, "pids.events", "max ");
	usage[LINK_USAGE_OOMS] = number_in(folder_fd, "memory.events", "oom_kill ");
	usage[LINK_USAGE_UNLIMITED] = (is_limited(folder_fd, "memory.max") ? 0u : LIMIT_MEMORY) |
				      (is_limited(folder_fd, "cpu.max") ? 0u : LIMIT_CPU) |
				      (is_limited(folder_fd, "pids.max") ? 0u : LIMIT_PIDS);
}
