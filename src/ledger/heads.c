/* The signer: has heads signed, one after the other, on a thread that may wait for the vault. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "ledger/ledger_priv.h"

#define RETRY_MS 1000

bool heads_idle(struct ledger *ledger)
{
	bool idle;

	(void)pthread_mutex_lock(&ledger->lock);
	idle = !ledger->head_count && !ledger->signing && !ledger->signed_count;
	(void)pthread_mutex_unlock(&ledger->lock);
	return idle;
}

void heads_ask(struct ledger *ledger)
{
	struct ledger_head head = {
		.segment = ledger->chain.segment, .sequence = ledger->chain.sequence, .wall_ms = world_now_ms(world_real)};

	memcpy(head.writer, ledger->writer, sizeof(head.writer));
	memcpy(head.chain, ledger->chain.hash, sizeof(head.chain));
	(void)pthread_mutex_lock(&ledger->lock);
	if (ledger->head_count < HEADS_WAITING_MAX)
		ledger->heads[ledger->head_count++] = head;
	(void)pthread_cond_broadcast(&ledger->changed);
	(void)pthread_mutex_unlock(&ledger->lock);
}

static void until(struct timespec *at, int64_t after_ms)
{
	(void)clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_sec += (time_t)(after_ms / 1000);
	at->tv_nsec += (long)(after_ms % 1000) * 1000000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_sec++;
		at->tv_nsec -= 1000000000;
	}
}

void heads_wait(struct ledger *ledger, int64_t timeout_ms)
{
	struct timespec at;

	until(&at, timeout_ms);
	(void)pthread_mutex_lock(&ledger->lock);
	while (ledger->head_count || ledger->signing)
		if (pthread_cond_timedwait(&ledger->changed, &ledger->lock, &at))
			break;
	(void)pthread_mutex_unlock(&ledger->lock);
}

/* The signature, and its line in `heads`. */
static int head_sign(struct ledger *ledger, struct ledger_head *head, struct err *err)
{
	char line[LEDGER_HEAD_TEXT_MAX + 1];
	size_t length;

	if (ledger->signer.sign(ledger->signer.self, head, err))
		return -1;
	ledger_head_format(head, line);
	length = strlen(line);
	line[length] = '\n';
	if (file_write_fd(ledger->heads_fd, view_make(line, length + 1), err))
		return -1;
	if (fdatasync(ledger->heads_fd))
		return err_errno(err, errno, "cannot sync the ledger's heads");
	return 0;
}

/* With the lock held, which is let go meanwhile. */
static void head_take(struct ledger *ledger)
{
	struct ledger_head head = ledger->heads[0];
	struct timespec pause;
	struct err err = {0};
	int failed;

	ledger->signing = true;
	(void)pthread_mutex_unlock(&ledger->lock);
	failed = head_sign(ledger, &head, &err);
	(void)pthread_mutex_lock(&ledger->lock);
	ledger->signing = false;
	if (failed && atomic_load(&ledger->stopping)) { /* nobody waits for it: rows after the last head are a note, not a break */
		log_warn("the ledger ends without a last signature: %s", err.text);
		ledger->head_count = 0;
		(void)pthread_cond_broadcast(&ledger->changed);
		return;
	}
	if (failed) {
		if (ledger_now_ms() - ledger->signed_ms > LEDGER_UNSIGNED_MS_MAX && !atomic_exchange(&ledger->refusing, true))
			log_error("the ledger's heads are not signed: %s; requests are refused until they are", err.text);
		until(&pause, RETRY_MS);
		if (!ledger->signer_ends)
			(void)pthread_cond_timedwait(&ledger->changed, &ledger->lock, &pause);
		return;
	}
	ledger->head_count--;
	memmove(ledger->heads, ledger->heads + 1, ledger->head_count * sizeof(ledger->heads[0]));
	ledger->signed_ms = ledger_now_ms();
	ledger->state.head = head;
	if (ledger->signed_count < HEADS_WAITING_MAX)
		ledger->signed_heads[ledger->signed_count++] = head;
	if (atomic_exchange(&ledger->refusing, false)) {
		log_info("the ledger's heads are signed again");
		for (size_t i = 0; i < ledger->ring_count; i++)
			ring_room_made(&ledger->rings[i]);
	}
	(void)pthread_cond_broadcast(&ledger->changed);
	ledger_wake(ledger);
}

void *heads_main(void *self)
{
	struct ledger *ledger = self;

	(void)pthread_mutex_lock(&ledger->lock);
	while (!ledger->signer_ends) {
		if (ledger->head_count)
			head_take(ledger);
		else {
			ledger->signed_ms = ledger_now_ms(); /* nothing is owed */
			(void)pthread_cond_wait(&ledger->changed, &ledger->lock);
			ledger->signed_ms = ledger_now_ms();
		}
	}
	(void)pthread_mutex_unlock(&ledger->lock);
	return NULL;
}
