/*
 * Whether anybody runs in a pod's room.
 *
 * Theory of operation. Every thread of the room is looked at twice: is it asleep, and how long has it run so far, and how often? Threads are looked
 * at one after the other, so one that was seen asleep may be woken by one that has yet to be seen, which then goes to sleep itself. But whoever was woken
 * has run by the second look, or runs, and one that began or ended meanwhile counts too: when both looks tell the same, there was a moment between
 * them at which everybody slept. What lies in the folder is the room's word about itself (a program that lies says only when its own work is over), so no
 * more is trusted of it than that it is the kernel's.
 */
#include "sandbox/link/pod_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/scope.h"

#define THREADS_MAX 4096
#define THREAD_RESTS "SIZXTt" /* asleep until woken, ended, stopped; not R, and not D, which a disk will wake (proc(5)) */
#define PATH_BYTES 64

struct look {
	uint64_t ran; /* ns on a processor and turns there, of all of them */
	uint32_t threads;
	bool runs;   /* one of them */
	bool untold; /* this kernel does not say how long */
};

static void folder_close(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder);
}
#define AUTO_FOLDER __attribute__((cleanup(folder_close))) DIR

/* NULL: there is none (any more). */
static DIR *folder_open(int parent_fd, const char *path)
{
	int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

	if (!folder && fd >= 0)
		(void)close(fd);
	return folder;
}

/* The next process or thread; 0: that was the last. */
static long number_next(DIR *folder)
{
	const struct dirent *entry;
	long number = 0;

	while (number <= 0 && (entry = readdir(folder)))
		number = strtol(entry->d_name, NULL, 10);
	return number > 0 ? number : 0;
}

static bool thread_rests(int threads_fd, long thread)
{
	char path[PATH_BYTES], text[POD_TEXT_BYTES];
	const char *end;

	(void)snprintf(path, sizeof(path), "%ld/stat", thread);
	end = pod_text_read(threads_fd, path, text) ? strrchr(text, ')') : NULL; /* its name may hold anything */
	return end && end[1] == ' ' && end[2] && strchr(THREAD_RESTS, end[2]);
}

/* One that is gone, and was there a moment ago, has run to its end. */
static void thread_look(int threads_fd, long thread, struct look *look)
{
	char path[PATH_BYTES], text[POD_TEXT_BYTES];
	unsigned long long ran_ns = 0, waited_ns = 0, turns = 0;

	look->runs = !thread_rests(threads_fd, thread);
	(void)snprintf(path, sizeof(path), "%ld/schedstat", thread);
	look->untold = !look->runs && (!pod_text_read(threads_fd, path, text) ||
				       sscanf(text, "%llu %llu %llu", &ran_ns, &waited_ns, &turns) != 3 || !turns);
	look->ran += ran_ns + turns;
	look->threads++;
}

/* All but pid 1, which does only what it is told. */
static struct look room_look(int processes_fd)
{
	AUTO_FOLDER *processes = folder_open(processes_fd, ".");
	struct look look = {.untold = !processes};
	long process;

	while (!look.runs && !look.untold && (process = number_next(processes))) {
		char path[PATH_BYTES];
		long thread;

		if (process == 1)
			continue;
		(void)snprintf(path, sizeof(path), "%ld/task", process);
		AUTO_FOLDER *threads = folder_open(processes_fd, path);
		while (threads && !look.runs && !look.untold && (thread = number_next(threads)))
			thread_look(dirfd(threads), thread, &look);
		look.untold = look.untold || look.threads > THREADS_MAX;
	}
	return look;
}

enum activity pod_activity_read(int processes_fd)
{
	struct statfs info;
	struct look first, second;

	if (fstatfs(processes_fd, &info) || info.f_type != PROC_SUPER_MAGIC)
		return ACTIVITY_UNKNOWN;
	first = room_look(processes_fd);
	second = first.runs || first.untold ? first : room_look(processes_fd);
	if (second.untold)
		return ACTIVITY_UNKNOWN;
	return second.runs || second.ran != first.ran || second.threads != first.threads ? ACTIVITY_BUSY : ACTIVITY_IDLE;
}
