/*
 * postgres: reads along with a connection of the PostgreSQL protocol (version 3, "Message Flow" and "Message Formats" of its manual) and
 * tells of each statement when it has ended. It never changes a byte. What it does not understand (TLS, GSS, a broken frame) turns
 * it blind for the rest of the connection: then nothing is told and nothing is counted.
 */
#ifndef ASSAY_GATEWAY_SEAMS_POSTGRES_H
#define ASSAY_GATEWAY_SEAMS_POSTGRES_H

#include "base/buf.h"

#define POSTGRES_STATEMENT_KEPT_MAX 8192
#define POSTGRES_PENDING_MAX 65536 /* statements of one connection without an answer */
#define POSTGRES_PREPARED_MAX 4096 /* named statements, and portals, of one connection */

struct postgres;

struct postgres_done {
	const char *command;   /* "query" or "execute" */
	const char *statement; /* SQL text, perhaps cut; NULL when not known */
	const char *complete;  /* command tag, "SELECT 3"; NULL when it failed */
	const char *error;     /* "42P01 relation … does not exist", or why there is no answer; NULL when it went well */
	int64_t begun_us;
	int64_t ended_us;
};

struct postgres *postgres_new(void (*done)(void *self, const struct postgres_done *done), void *self);
/* What still waits for an answer is told as failed with `why` (NULL: not told). */
void postgres_free(struct postgres *postgres, const char *why, int64_t now_us);
void postgres_client(struct postgres *postgres, struct view bytes, int64_t now_us);
void postgres_server(struct postgres *postgres, struct view bytes, int64_t now_us);
size_t postgres_in_flight(const struct postgres *postgres); /* statements and synchronisations not answered */

#endif
