/*
 * postgres_fixture: a real PostgreSQL for a test, with its data in a directory of its own that goes with it, and a socket there. It runs as
 * an ordinary user (PostgreSQL refuses root): the user `postgres` when we are root, else ourselves.
 */
#ifndef ASSAY_TESTS_POSTGRES_FIXTURE_H
#define ASSAY_TESTS_POSTGRES_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

struct postgres_fixture {
	char dir[64];
	char programs[128]; /* the directory of initdb and postgres */
	bool durable;       /* does it sync its files? slower, and only a loss of power would tell */
	pid_t pid;
};

/* false, with a word on standard error, when PostgreSQL is not installed or did not start. */
bool postgres_fixture_start(struct postgres_fixture *fixture, bool durable);
void postgres_fixture_stop(struct postgres_fixture *fixture); /* and removes it */
void postgres_fixture_kill(struct postgres_fixture *fixture); /* as a crash; postgres_fixture_again() recovers */
bool postgres_fixture_again(struct postgres_fixture *fixture);
/* A new, empty database; its URL, owned. NULL on failure. */
char *postgres_fixture_database(struct postgres_fixture *fixture, const char *name);

#endif
