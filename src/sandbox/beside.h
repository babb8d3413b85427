/*
 * beside: the host's end of a pipe to or from a program, served by a thread while the program runs: git on one side, git on the other, and
 * neither waits for a whole pack.
 */
#ifndef ASSAY_SANDBOX_BESIDE_H
#define ASSAY_SANDBOX_BESIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

struct beside {
	void (*serve)(void *self, int fd); /* on the thread; the descriptor is closed behind it */
	void *self;
	int program_end; /* for the program's input or output */
	int fd;
	pthread_t thread;
};

/* Starts the thread; `gives`: it writes what the program reads. */
MUST_USE int beside_begin(struct beside *beside, bool gives, struct err *err);
/* Closes the program's end, which the program has by now or never will, and waits for the thread. */
void beside_end(struct beside *beside);

#endif
