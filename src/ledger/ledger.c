/* The ledger's beginning and end. */
#include "ledger/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "ledger/ledger_priv.h"

#define LOCK_FILE "lock"
#define HEADS_WAIT_MS 5000
#define FLUSH_POLL_MS 10

int64_t ledger_now_ms(void)
{
	return world_elapsed_ms(world_real);
}

void ledger_wake(struct ledger *ledger)
{
	(void)eventfd_write(ledger->wake_fd, 1);
}

void ledger_stamp(struct ledger_record *record)
{
	struct timespec wall, since;

	(void)clock_gettime(CLOCK_REALTIME, &wall);
	(void)clock_gettime(CLOCK_BOOTTIME, &since);
	record->wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
	record->elapsed_us = (uint64_t)since.tv_sec * 1000000 + (uint64_t)since.tv_nsec / 1000;
}

/* The base64 between the lines of a PEM. */
static char *pem_body(struct view pem)
{
	AUTO_BUF text = buf_new(pem.length + 1);
	struct view rest = pem;

	while (rest.length) {
		struct view line = view_trim(view_cut(rest, '\n', &rest));

		if (!view_starts(line, VIEW("-")))
			buf_add_view(&text, line);
	}
	buf_add_text(&text, "");
	return text.at ? buf_take(&text) : text_copy("");
}

/* The folder, and that nobody else writes there. */
static int folder_open(struct ledger *ledger, const struct ledger_options *options, struct err *err)
{
	off_t end;
	char last = '\n';

	if (options->dir && file_make_dirs(options->dir, 0700, err))
		return -1;
	ledger->dir_fd = options->dir ? open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				      : fcntl(options->dir_fd, F_DUPFD_CLOEXEC, 0);
	if (ledger->dir_fd < 0)
		return err_errno(err, errno, "cannot open the ledger's folder");
	ledger->lock_fd = openat(ledger->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ledger->lock_fd < 0)
		return err_errno(err, errno, "cannot open the ledger's lock");
	if (flock(ledger->lock_fd, LOCK_EX | LOCK_NB))
		return err_set(err, ERR_CONFLICT, "another process writes this ledger");
	ledger->heads_fd = openat(ledger->dir_fd, LEDGER_HEADS_FILE, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ledger->heads_fd < 0)
		return err_errno(err, errno, "cannot open the ledger's heads");
	end = lseek(ledger->heads_fd, 0, SEEK_END);
	if (end > 0 && pread(ledger->heads_fd, &last, 1, end - 1) == 1 && last != '\n' &&
	    file_write_fd(ledger->heads_fd, VIEW("\n"), err)) /* a line that was not written whole */
		return -1;
	return 0;
}

static int threads_start(struct ledger *ledger, struct err *err)
{
	pthread_condattr_t clock;
	sigset_t all, before;
	int problem;

	(void)pthread_mutex_init(&ledger->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&ledger->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	ledger->signed_ms = ledger->synced_ms = ledger->head_ms = ledger_now_ms();
	if (writer_begin(ledger, err))
		return -1;
	(void)sigfillset(&all); /* signals are for the process's own threads */
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	problem = pthread_create(&ledger->writer_thread, NULL, writer_main, ledger);
	ledger->writer_runs = !problem;
	if (!problem)
		problem = pthread_create(&ledger->signer_thread, NULL, heads_main, ledger);
	ledger->signer_runs = ledger->writer_runs && !problem;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return problem ? err_errno(err, problem, "cannot start a thread of the ledger") : 0;
}

int ledger_open(const struct ledger_options *options, struct ledger **ledger, struct err *err)
{
	struct ledger *made;

	if (!options->rings || options->rings > LEDGER_RINGS_MAX || strlen(options->writer) >= LEDGER_WRITER_MAX)
		return err_set(err, ERR_INVALID, "a ledger has 1 to %d rings and a writer of at most %d letters", LEDGER_RINGS_MAX,
			       LEDGER_WRITER_MAX - 1);
	made = mem_new(sizeof(*made));
	made->dir_fd = made->lock_fd = made->heads_fd = made->fd = -1;
	made->signer = options->signer;
	made->ring_count = options->rings;
	made->segment_bytes_max = options->segment_bytes ? options->segment_bytes : LEDGER_SEGMENT_BYTES;
	made->public_key = pem_body(options->public_key);
	(void)snprintf(made->writer, sizeof(made->writer), "%s", options->writer);
	(void)snprintf(made->key_id, sizeof(made->key_id), "%s", options->key_id ? options->key_id : "");
	made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (made->wake_fd < 0) {
		ledger_close(made);
		return err_errno(err, errno, "cannot make an event descriptor");
	}
	if (folder_open(made, options, err) || rings_open(made, err) || threads_start(made, err)) {
		ledger_close(made);
		return -1;
	}
	*ledger = made;
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	if (ledger->writer_runs) {
		atomic_store(&ledger->stopping, true);
		ledger_wake(ledger);
		(void)pthread_join(ledger->writer_thread, NULL);
	}
	if (ledger->signer_runs) {
		heads_wait(ledger, HEADS_WAIT_MS);
		(void)pthread_mutex_lock(&ledger->lock);
		ledger->signer_ends = true;
		(void)pthread_cond_broadcast(&ledger->changed);
		(void)pthread_mutex_unlock(&ledger->lock);
		(void)pthread_join(ledger->signer_thread, NULL);
	}
	rings_close(ledger);
	EVP_MD_CTX_free(ledger->digest);
	free(ledger->batch);
	free(ledger->public_key);
	scope_close(&ledger->fd);
	scope_close(&ledger->heads_fd);
	scope_close(&ledger->lock_fd);
	scope_close(&ledger->dir_fd);
	scope_close(&ledger->wake_fd);
	free(ledger);
}

int ledger_flush(struct ledger *ledger, int64_t timeout_ms, struct err *err)
{
	int64_t until_ms = ledger_now_ms() + timeout_ms;
	uint64_t ends[LEDGER_RINGS_MAX] = {0};
	bool done = false;

	for (size_t i = 0; i < ledger->ring_count; i++)
		ends[i] = ring_end(ledger->rings[i].ring);
	while (!done && ledger_now_ms() <= until_ms) {
		struct timespec at;

		ledger_wake(ledger);
		(void)clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_nsec += FLUSH_POLL_MS * 1000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_sec++;
			at.tv_nsec -= 1000000000;
		}
		(void)pthread_mutex_lock(&ledger->lock);
		done = true;
		for (size_t i = 0; i < ledger->ring_count; i++)
			done = done && ledger->synced[i] >= ends[i];
		if (!done)
			(void)pthread_cond_timedwait(&ledger->changed, &ledger->lock, &at);
		(void)pthread_mutex_unlock(&ledger->lock);
	}
	return done ? 0 : err_set(err, ERR_RETRY, "the ledger was not written within %lld ms", (long long)timeout_ms);
}

void ledger_state(struct ledger *ledger, struct ledger_state *state)
{
	(void)pthread_mutex_lock(&ledger->lock);
	*state = ledger->state;
	(void)pthread_mutex_unlock(&ledger->lock);
}
