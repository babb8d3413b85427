/* A thread at the other end of a program's pipe. */
#include "sandbox/beside.h"

#include <fcntl.h>
#include <unistd.h>

static void *beside_run(void *self)
{
	struct beside *beside = self;

	beside->serve(beside->self, beside->fd);
	/* The other side must not wait for us to go on. */
	(void)close(beside->fd);
	return NULL;
}

int beside_begin(struct beside *beside, bool gives, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, ERR_RETRY, "cannot make a pipe");
	beside->fd = ends[gives ? 1 : 0];
	beside->program_end = ends[gives ? 0 : 1];
	if (pthread_create(&beside->thread, NULL, beside_run, beside)) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return err_set(err, ERR_RETRY, "cannot start a thread");
	}
	return 0;
}

void beside_end(struct beside *beside)
{
	(void)close(beside->program_end);
	(void)pthread_join(beside->thread, NULL);
}
