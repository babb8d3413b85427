/* What the two files over libpq share: the library, loaded when it is needed, and the store. */
#ifndef ASSAY_STORE_POSTGRES_PRIV_H
#define ASSAY_STORE_POSTGRES_PRIV_H

#include <libpq-fe.h>

#include "store/store_priv.h"

#define POSTGRES_SESSIONS_MAX 24
#define POSTGRES_SLOTS 256u

/* Only what is used. */
#define POSTGRES_SYMBOLS(X) \
	X(connectdbParams)  \
	X(status)           \
	X(errorMessage)     \
	X(finish)           \
	X(exec)             \
	X(prepare)          \
	X(execPrepared)     \
	X(execParams)       \
	X(resultStatus)     \
	X(resultErrorField) \
	X(cmdTuples)        \
	X(ntuples)          \
	X(getvalue)         \
	X(getisnull)        \
	X(ftype)            \
	X(nfields)          \
	X(fname)            \
	X(clear)            \
	X(host)             \
	X(port)             \
	X(db)               \
	X(socket)           \
	X(consumeInput)     \
	X(notifies)         \
	X(backendPID)       \
	X(freemem)

struct postgres_library {
#define X(name) __typeof__(PQ##name) *name; /* NOLINT(bugprone-macro-parentheses): it declares */
	POSTGRES_SYMBOLS(X)
#undef X
};

/* NULL when libpq is not installed. */
const struct postgres_library *postgres_library(struct err *err);

/* One connection. */
struct session {
	PGconn *connection;
	char *prepared[POSTGRES_SLOTS]; /* the statement that is prepared as "s<slot>"; NULL: none */
	int64_t changed;
	struct session *next;
};

struct postgres {
	struct store store;
	const struct postgres_library *pq;
	char *url;
	pthread_mutex_t lock; /* of the sessions that are free */
	pthread_cond_t freed;
	struct session *free;
	int session_count; /* free ones and those in use */
	pthread_t teller;  /* postgres_notify.c */
	bool telling;      /* is there one */
	int tell_fd;       /* an eventfd: something was committed, or close */
	bool closing;      /* atomic */
};

/* ERR_RETRY when it cannot be reached. */
MUST_USE int postgres_connect(struct postgres *self, PGconn **connection, struct err *err);
int postgres_error(struct postgres *self, PGconn *connection, const PGresult *result, const char *what, struct err *err);

MUST_USE int postgres_teller_start(struct postgres *self, struct err *err);
void postgres_teller_stop(struct postgres *self);
void postgres_tell(struct store *store);

#endif
