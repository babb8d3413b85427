/*
 * The store over PostgreSQL: a session for each transaction that is under way.
 *
 * Theory of operation. A serial transaction holds one advisory lock of its schema from its first statement to its end, so that it runs as
 * in SQLite: alone, and seeing what was committed before. A free one holds only what it locks itself. Sessions commit asynchronously: a
 * commit is seen by everybody and outlives our death, and flush() makes one synchronous commit, which covers all before it. A session that
 * does nothing in a transaction for IDLE_MS is ended by the server, so that a control plane which hangs does not hang the others.
 *
 * Values go as text and the server finds their types; statements are prepared once a session.
 */
#include "store/postgres_priv.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/scope.h"

#define LIBRARY "libpq.so.5"
#define CONNECT_TIMEOUT_S "10"
#define SILENCE_MS "30000"   /* of the network, then the connection is given up */
#define IDLE_MS "5000"       /* in a transaction: who says nothing for so long hangs, and must not hang the others */
#define LOCK_WAIT_MS "20000" /* for the serial lock, or a row */
#define VALUES_MAX 64
#define NUMBER_TEXT_MAX 32

/* Object ids of types, from pg_type.dat: they never change. */
enum { TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_FLOAT4 = 700, TYPE_FLOAT8 = 701, TYPE_NUMERIC = 1700 };

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static struct postgres_library library;
static bool library_there;

static bool symbol_find(void *handle, const char *name, void *place)
{
	void *symbol = dlsym(handle, name);

	memcpy(place, &symbol, sizeof(symbol));
	return symbol;
}

static void library_load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	library_there = handle != NULL;
#define X(name) library_there = library_there && symbol_find(handle, "PQ" #name, &library.name);
	POSTGRES_SYMBOLS(X)
#undef X
}

const struct postgres_library *postgres_library(struct err *err)
{
	(void)pthread_once(&library_once, library_load);
	if (library_there)
		return &library;
	(void)err_set(err, ERR_DENIED, "%s is not installed (Debian: libpq5)", LIBRARY);
	return NULL;
}

static struct postgres *postgres_of(const struct store *store)
{
	return (struct postgres *)(uintptr_t)store;
}

/* ---- errors ---- */

/* Classes of SQLSTATE, from appendix A of PostgreSQL's manual; longer ones first. */
static const struct {
	const char *state;
	enum err_kind kind;
} states[] = {
	{"25P03", ERR_RETRY}, {"53", ERR_RETRY},  {"08", ERR_RETRY}, {"22", ERR_INVALID},
	{"23", ERR_CONFLICT}, {"28", ERR_DENIED}, {"40", ERR_RETRY}, {"42501", ERR_DENIED},
	{"55P03", ERR_RETRY}, {"57", ERR_RETRY},  {"54", ERR_LIMIT},
};

int postgres_error(struct postgres *self, PGconn *connection, const PGresult *result, const char *what, struct err *err)
{
	const char *state = result ? self->pq->resultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *primary = result ? self->pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	AUTO_FREE char *text = text_copy(primary ? primary : self->pq->errorMessage(connection));
	enum err_kind kind = state ? ERR_BROKEN : ERR_RETRY; /* without a state it is the connection's own */
	struct view line;

	for (size_t i = 0; state && i < ARRAY_LEN(states); i++)
		if (strncmp(states[i].state, state, strlen(states[i].state)) == 0) {
			kind = states[i].kind;
			break;
		}
	for (char *at = text; *at; at++)
		if (*at == '\n' || *at == '\t')
			*at = ' ';
	line = view_trim(view_of(text));
	return err_set(err, kind, "the store: %.200s: %.*s", what, (int)line.length, line.at);
}

/* ---- sessions ---- */

int postgres_connect(struct postgres *self, PGconn **connection, struct err *err)
{
	/* The URL is last: what it says counts. */
	static const char *const names[] = {"application_name", "connect_timeout", "tcp_user_timeout",
					    "client_encoding",  "dbname",          NULL};
	const char *const values[] = {"assay", CONNECT_TIMEOUT_S, SILENCE_MS, "UTF8", self->url, NULL};
	static const char settings[] =
		"SET synchronous_commit = off; SET client_min_messages = warning; SET lock_timeout = " LOCK_WAIT_MS
		"; SET idle_in_transaction_session_timeout = " IDLE_MS;
	PGresult *result;
	int status = 0;

	*connection = self->pq->connectdbParams(names, values, 1);
	if (!*connection || self->pq->status(*connection) != CONNECTION_OK) {
		status = postgres_error(self, *connection, NULL, self->store.where, err);
	} else {
		result = self->pq->exec(*connection, settings);
		if (self->pq->resultStatus(result) != PGRES_COMMAND_OK)
			status = postgres_error(self, *connection, result, "SET", err);
		self->pq->clear(result);
	}
	if (status) {
		self->pq->finish(*connection);
		*connection = NULL;
	}
	return status;
}

static void session_free(struct postgres *self, struct session *session)
{
	for (size_t i = 0; i < POSTGRES_SLOTS; i++)
		free(session->prepared[i]);
	self->pq->finish(session->connection);
	free(session);
}

static void session_count_down(struct postgres *self)
{
	(void)pthread_mutex_lock(&self->lock);
	self->session_count--;
	(void)pthread_cond_signal(&self->freed);
	(void)pthread_mutex_unlock(&self->lock);
}

/* A free session, or a new one; waits when there are too many. */
static struct session *session_take(struct postgres *self, struct err *err)
{
	struct session *session;

	(void)pthread_mutex_lock(&self->lock);
	while (!self->free && self->session_count >= POSTGRES_SESSIONS_MAX)
		(void)pthread_cond_wait(&self->freed, &self->lock);
	session = self->free;
	if (session)
		self->free = session->next;
	else
		self->session_count++;
	(void)pthread_mutex_unlock(&self->lock);
	if (session)
		return session;
	session = mem_new(sizeof(*session));
	if (!postgres_connect(self, &session->connection, err))
		return session;
	free(session);
	session_count_down(self);
	return NULL;
}

static void session_drop(struct postgres *self, struct session *session)
{
	session_free(self, session);
	session_count_down(self);
}

static void session_put(struct postgres *self, struct session *session)
{
	if (self->pq->status(session->connection) != CONNECTION_OK) {
		session_drop(self, session);
		return;
	}
	(void)pthread_mutex_lock(&self->lock);
	session->next = self->free;
	self->free = session;
	(void)pthread_cond_signal(&self->freed);
	(void)pthread_mutex_unlock(&self->lock);
}

static int execute(struct postgres *self, struct session *session, const char *sql, struct err *err)
{
	PGresult *result = self->pq->exec(session->connection, sql);
	ExecStatusType status = self->pq->resultStatus(result);
	int failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK
			     ? postgres_error(self, session->connection, result, sql, err)
			     : 0;

	self->pq->clear(result);
	return failed;
}

/* ---- transactions ---- */

static int postgres_begin(struct store *store, struct store_tx *tx, enum store_alone alone, struct err *err)
{
	static const char *const begin[] = {
		[STORE_SERIAL] = ("BEGIN; SELECT pg_advisory_xact_lock(1095979865,"
				  " (current_schema()::regnamespace::oid::bigint % 2147483647)::int)"),
		[STORE_FREE] = "BEGIN",
		[STORE_SNAPSHOT] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	};
	struct postgres *self = postgres_of(store);

	/* Free sessions may have been ended by the server long ago: each is tried, the last one is new. */
	for (int tries = 0; tries <= POSTGRES_SESSIONS_MAX; tries++) {
		struct session *session = session_take(self, err);

		if (!session)
			return -1;
		if (!execute(self, session, begin[alone], err)) {
			tx->session = session;
			return 0;
		}
		if (self->pq->status(session->connection) == CONNECTION_OK) { /* the lock was not to be had */
			(void)execute(self, session, "ROLLBACK", NULL);
			session_put(self, session);
			return -1;
		}
		session_drop(self, session);
	}
	return -1;
}

static void postgres_abort(struct store_tx *tx)
{
	struct postgres *self = postgres_of(tx->store);
	struct session *session = tx->session;

	if (execute(self, session, "ROLLBACK", NULL))
		session_drop(self, session);
	else
		session_put(self, session);
}

static int postgres_commit(struct store_tx *tx, struct err *err)
{
	struct postgres *self = postgres_of(tx->store);
	struct session *session = tx->session;
	PGresult *result = self->pq->exec(session->connection, "COMMIT");
	const char *done = self->pq->resultStatus(result) == PGRES_COMMAND_OK ? "yes" : NULL;
	int status = done ? 0 : postgres_error(self, session->connection, result, "COMMIT", err);

	self->pq->clear(result);
	session_put(self, session);
	return status;
}

/* ---- statements ---- */

/* Values as the texts that libpq wants; those that are numbers are written into `numbers`. NULL views are copied, as they end nowhere. */
struct texts {
	const char *at[VALUES_MAX];
	char numbers[VALUES_MAX][NUMBER_TEXT_MAX];
	char *copies[VALUES_MAX];
	size_t count;
};

static void texts_fini(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->copies[i]);
}

static int texts_init(struct texts *texts, const struct store_value *values, size_t count, struct err *err)
{
	texts->count = 0;
	if (count > VALUES_MAX)
		return err_set(err, ERR_LIMIT, "the store: a statement with more than %d values", VALUES_MAX);
	for (size_t i = 0; i < count; i++) {
		texts->copies[i] = NULL;
		texts->at[i] = texts->numbers[i];
		texts->count = i + 1;
		switch (values[i].kind) {
		case STORE_NUMBER:
			(void)snprintf(texts->numbers[i], NUMBER_TEXT_MAX, "%lld", (long long)values[i].number);
			break;
		case STORE_REAL:
			(void)snprintf(texts->numbers[i], NUMBER_TEXT_MAX, "%.17g", values[i].real);
			break;
		case STORE_TEXT:
			if (values[i].text.length && memchr(values[i].text.at, 0, values[i].text.length))
				return err_set(err, ERR_INVALID, "the store: a text with a NUL in it");
			texts->copies[i] = view_copy(values[i].text);
			texts->at[i] = texts->copies[i];
			break;
		case STORE_NULL:
			texts->at[i] = NULL;
			break;
		}
	}
	return 0;
}

/* Runs it, prepared when it is the one of its slot. NULL on failure. */
static PGresult *statement_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count,
			       struct err *err)
{
	struct postgres *self = postgres_of(tx->store);
	struct session *session = tx->session;
	const struct postgres_library *pq = self->pq;
	size_t at = view_hash(view_of(sql)) % POSTGRES_SLOTS;
	char name[16];
	struct texts texts;
	PGresult *result = NULL;
	size_t wanted = count;
	AUTO_FREE char *text = NULL;

	if (texts_init(&texts, values, count, err)) {
		texts_fini(&texts);
		return NULL;
	}
	(void)snprintf(name, sizeof(name), "s%zu", at);
	if (!session->prepared[at]) {
		text = dialect_statement(sql, &wanted);
		result = pq->prepare(session->connection, name, text, 0, NULL);
		if (pq->resultStatus(result) == PGRES_COMMAND_OK) {
			session->prepared[at] = text_copy(sql);
			pq->clear(result);
			result = NULL;
		}
	}
	if (!result && strcmp(session->prepared[at], sql) == 0) {
		result = pq->execPrepared(session->connection, name, (int)count, texts.at, NULL, NULL, 0);
	} else if (!result) {
		text = dialect_statement(sql, &wanted);
		result = pq->execParams(session->connection, text, (int)count, NULL, texts.at, NULL, NULL, 0);
	}
	assert(wanted == count);
	texts_fini(&texts);
	if (pq->resultStatus(result) == PGRES_COMMAND_OK || pq->resultStatus(result) == PGRES_TUPLES_OK)
		return result;
	(void)postgres_error(self, session->connection, result, sql, err);
	pq->clear(result);
	return NULL;
}

static int postgres_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err)
{
	struct session *session = tx->session;
	const struct postgres_library *pq = postgres_of(tx->store)->pq;
	PGresult *result = statement_run(tx, sql, values, count, err);

	if (!result)
		return -1;
	session->changed = strtoll(pq->cmdTuples(result), NULL, 10);
	pq->clear(result);
	return 0;
}

static int64_t postgres_changed(const struct store_tx *tx)
{
	return ((struct session *)tx->session)->changed;
}

static int64_t postgres_last_id(const struct store_tx *tx)
{
	struct store_tx copy = *tx;
	int64_t id = 0;

	return store_number_get(&copy, &id, 0, "SELECT lastval()", NO_VALUES, NULL) ? 0 : id;
}

static int postgres_script(struct store_tx *tx, const char *sql, struct err *err)
{
	AUTO_FREE char *text = dialect_schema(sql);

	return execute(postgres_of(tx->store), tx->session, text, err);
}

static bool postgres_has_table(struct store_tx *tx, const char *name)
{
	int64_t count = 0;

	return !store_number_get(tx, &count, 0,
				 "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?",
				 VALUES(V(name)), NULL) &&
	       count;
}

static int postgres_form(struct store_tx *tx, int64_t *form, struct err *err)
{
	if (store_number_get(tx, form, 0, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()", NO_VALUES, err))
		return -1;
	*form = *form && !postgres_has_table(tx, "store_form") ? -1 : 0;
	return 0;
}

static int postgres_form_set(struct store_tx *tx, int64_t form, struct err *err)
{
	(void)tx;
	(void)form;
	(void)err;
	return 0; /* no program knew PostgreSQL before the table */
}

static int postgres_query(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values,
			  size_t count, struct err *err)
{
	rows->statement = statement_run(tx, sql, values, count, err);
	rows->store = tx->store;
	rows->row = -1;
	return rows->statement ? 0 : -1;
}

static bool postgres_next(struct store_rows *rows)
{
	if (rows->row + 1 >= postgres_of(rows->store)->pq->ntuples(rows->statement))
		return false;
	rows->row++;
	return true;
}

static int postgres_finish(struct store_rows *rows, struct err *err)
{
	(void)rows;
	(void)err;
	return 0; /* all of them came with the query */
}

static void postgres_rows_fini(struct store_rows *rows)
{
	postgres_of(rows->store)->pq->clear(rows->statement);
}

static const char *postgres_text(struct store_rows *rows, int column)
{
	const struct postgres_library *pq = postgres_of(rows->store)->pq;

	return pq->getisnull(rows->statement, rows->row, column) ? NULL : pq->getvalue(rows->statement, rows->row, column);
}

static int64_t postgres_number(struct store_rows *rows, int column)
{
	const char *text = postgres_text(rows, column);

	return !text ? 0 : *text == 't' ? 1 : strtoll(text, NULL, 10);
}

static double postgres_real(struct store_rows *rows, int column)
{
	const char *text = postgres_text(rows, column);

	return text ? strtod(text, NULL) : 0;
}

static enum store_kind postgres_kind(struct store_rows *rows, int column)
{
	const struct postgres_library *pq = postgres_of(rows->store)->pq;

	if (pq->getisnull(rows->statement, rows->row, column))
		return STORE_NULL;
	switch (pq->ftype(rows->statement, column)) {
	case TYPE_BOOL:
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
		return STORE_NUMBER;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
	case TYPE_NUMERIC:
		return STORE_REAL;
	default:
		return STORE_TEXT;
	}
}

static int postgres_columns(struct store_rows *rows)
{
	return postgres_of(rows->store)->pq->nfields(rows->statement);
}

static const char *postgres_column(struct store_rows *rows, int column)
{
	return postgres_of(rows->store)->pq->fname(rows->statement, column);
}

/* Each table goes on counting after the largest number that it has. */
static int postgres_numbers_set(struct store_tx *tx, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows,
			"SELECT format('SELECT setval(pg_get_serial_sequence(%L, %L), coalesce(max(%I), 0) + 1, false) FROM %I',"
			" table_name, column_name, column_name, table_name) FROM information_schema.columns"
			" WHERE table_schema = current_schema() AND is_identity = 'YES'",
			NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows))
		if (execute(postgres_of(tx->store), tx->session, store_rows_text(&rows, 0), err))
			return -1;
	return 0;
}

/* ---- the whole ---- */

static int postgres_flush(struct store *store, struct err *err)
{
	struct postgres *self = postgres_of(store);
	struct session *session = session_take(self, err);
	int status;

	if (!session)
		return -1;
	status = execute(self, session,
			 "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'assay', ''); COMMIT",
			 err);
	session_put(self, session);
	return status;
}

static void postgres_close(struct store *store)
{
	struct postgres *self = postgres_of(store);

	postgres_teller_stop(self);
	while (self->free) {
		struct session *session = self->free;

		self->free = session->next;
		session_free(self, session);
	}
	if (self->tell_fd >= 0)
		(void)close(self->tell_fd);
	(void)pthread_cond_destroy(&self->freed);
	(void)pthread_mutex_destroy(&self->lock);
	store_fini(store);
	free(self->url);
	free(self);
}

static const struct store_ops postgres_ops = {
	.name = "PostgreSQL",
	.skip_locked = " FOR UPDATE SKIP LOCKED",
	.clock_ms_sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
	.close = postgres_close,
	.begin = postgres_begin,
	.commit = postgres_commit,
	.abort = postgres_abort,
	.run = postgres_run,
	.changed = postgres_changed,
	.last_id = postgres_last_id,
	.script = postgres_script,
	.has_table = postgres_has_table,
	.form = postgres_form,
	.form_set = postgres_form_set,
	.query = postgres_query,
	.next = postgres_next,
	.finish = postgres_finish,
	.fini = postgres_rows_fini,
	.number = postgres_number,
	.real = postgres_real,
	.text = postgres_text,
	.kind = postgres_kind,
	.columns = postgres_columns,
	.column = postgres_column,
	.numbers_set = postgres_numbers_set,
	.flush = postgres_flush,
	.tell = postgres_tell,
};

/* For people: host and database, without user and password. */
static char *where_of(const char *url)
{
	struct view rest;
	struct view place = view_cut(view_of(strstr(url, "://") + 3), '?', &rest);
	struct view after;
	struct view before = view_cut(place, '@', &after);

	if (after.at)
		before = after;
	return text_format("postgres://%.*s", (int)before.length, before.at);
}

int store_postgres_open(const char *url, struct store **store, struct err *err)
{
	const struct postgres_library *pq = postgres_library(err);
	struct postgres *self;
	AUTO_FREE char *where = where_of(url);
	PGconn *first = NULL;

	if (!pq)
		return err_prefix(err, "cannot open %s", where);
	self = mem_new(sizeof(*self));
	self->pq = pq;
	self->url = text_copy(url);
	store_init(&self->store, &postgres_ops, where);
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_cond_init(&self->freed, NULL);
	self->tell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (postgres_connect(self, &first, err) || postgres_teller_start(self, err)) {
		self->pq->finish(first);
		postgres_close(&self->store);
		return err_prefix(err, "cannot open the store");
	}
	self->pq->finish(first);
	*store = &self->store;
	return 0;
}
