/*
 * Who committed tells the other control planes, and hears of theirs.
 *
 * One thread with a connection of its own. Commits only raise a flag: the thread sends one NOTIFY for all of them, not more often than
 * each TELL_EVERY_MS, since every NOTIFY takes a lock that is held to the end of its commit. What is heard wakes whoever waits here. A
 * lost connection is made again and counted, and everybody looks once: something may have been missed, and the server may have died and
 * have lost what it was told last.
 */
#include "store/postgres_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"

#define TELL_EVERY_MS 20
#define AGAIN_MS 1000

static bool closing(const struct postgres *self)
{
	return __atomic_load_n(&self->closing, __ATOMIC_ACQUIRE);
}

static bool send_one(struct postgres *self, PGconn *connection, const char *sql)
{
	PGresult *result = self->pq->exec(connection, sql);
	bool sent = self->pq->resultStatus(result) == PGRES_COMMAND_OK;

	self->pq->clear(result);
	return sent;
}

static void hear(struct postgres *self, PGconn *connection)
{
	PGnotify *notify;
	bool others = false;

	while ((notify = self->pq->notifies(connection))) {
		others = others || notify->be_pid != self->pq->backendPID(connection);
		self->pq->freemem(notify);
	}
	if (others)
		store_nudge(&self->store);
}

/* Until the connection is lost, or close. */
static void converse(struct postgres *self, PGconn *connection)
{
	bool asked = false; /* something is to be told */
	int64_t told_ms = 0;

	while (!closing(self)) {
		struct pollfd polled[] = {{self->pq->socket(connection), POLLIN, 0}, {self->tell_fd, POLLIN, 0}};
		int64_t due_ms = told_ms + TELL_EVERY_MS - world_elapsed_ms(world_real);
		uint64_t count;

		if (asked && due_ms <= 0) {
			if (!send_one(self, connection, "NOTIFY assay_store"))
				return;
			told_ms = world_elapsed_ms(world_real);
			asked = false;
		}
		if (poll(polled, ARRAY_LEN(polled), asked ? (int)due_ms : -1) < 0 && errno != EINTR)
			return;
		if (polled[1].revents && read(self->tell_fd, &count, sizeof(count)) == sizeof(count))
			asked = true;
		if (polled[0].revents && !self->pq->consumeInput(connection))
			return;
		hear(self, connection);
	}
}

static void *teller_main(void *argument)
{
	struct postgres *self = argument;

	while (!closing(self)) {
		struct pollfd polled = {self->tell_fd, POLLIN, 0};
		PGconn *connection = NULL;
		struct err err = {0};

		if (!postgres_connect(self, &connection, &err) && send_one(self, connection, "LISTEN assay_store")) {
			(void)__atomic_add_fetch(&self->store.connects, 1, __ATOMIC_SEQ_CST);
			store_nudge(&self->store);
			converse(self, connection);
		} else {
			log_warn("store: %s", err.text);
		}
		self->pq->finish(connection);
		if (!closing(self))
			(void)poll(&polled, 1, AGAIN_MS);
	}
	return NULL;
}

int postgres_teller_start(struct postgres *self, struct err *err)
{
	int problem = pthread_create(&self->teller, NULL, teller_main, self);

	if (problem)
		return err_errno(err, problem, "cannot start a thread");
	self->telling = true;
	return 0;
}

void postgres_teller_stop(struct postgres *self)
{
	if (!self->telling)
		return;
	__atomic_store_n(&self->closing, true, __ATOMIC_RELEASE);
	postgres_tell(&self->store);
	(void)pthread_join(self->teller, NULL);
	self->telling = false;
}

void postgres_tell(struct store *store)
{
	struct postgres *self = (struct postgres *)store;
	uint64_t one = 1;

	/* A full counter is as good as one more. */
	if (write(self->tell_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("store: cannot tell others of a commit: %s", strerror(errno));
}
