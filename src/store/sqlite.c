/*
 * The store over SQLite: one connection, one mutex, write-ahead log.
 *
 * Theory of operation: a transaction is BEGIN IMMEDIATE on the one connection, under the mutex; that makes every transaction
 * serial, which is what the code above is written for. synchronous=NORMAL with a write-ahead log keeps committed transactions over a
 * crash of the program and does not wait for the disk; frames of the log are chained by checksums, so one fdatasync of the log makes all
 * commits before it outlive a loss of power: that is flush().
 *
 * What the log holds is put into the file (a checkpoint, which syncs both) by a thread with a connection of its own, beside the
 * transactions. While commits never pause it never puts all there, and only a log that is there whole is begun anew: so when it is long the
 * thread puts what came meanwhile there under the mutex, which is little. Should even that not get its turn, a commit does it.
 *
 * What is deleted is overwritten with zeros where its page is written anyway (secure_delete = FAST). A page that becomes free whole is not: whoever
 * waits for a sync would wait for it, too (bench/README.md), and the log has what was on it all the same.
 *
 * Statements are kept prepared, in slots by the hash of their text. One that is in use is never shared: its second user gets its own.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "store/store_priv.h"

#define BUSY_TIMEOUT_MS 5000
#define SLOTS 256u
#define LOG_PAGES 4000       /* 16 MiB of the log are put into the file at once: a page that was changed often is put there once */
#define LOG_PAGES_LONG 12000 /* from here transactions wait for what is left */
#define LOG_PAGES_MAX 24000  /* from here a commit does it all */
#define APPLICATION_ID 0x41535359 /* "ASSY" */

struct slot {
	sqlite3_stmt *statement; /* atomic */
	bool busy;               /* atomic: rows may be put back after their transaction is over */
};

struct sqlite {
	struct store store;
	sqlite3 *db;
	int log_fd;           /* of the write-ahead log, for flush(); -1: not yet, or in memory */
	pthread_mutex_t lock; /* held from begin to commit or abort */
	struct slot slots[SLOTS];
	int wanted_pages;     /* the length of the log that wants to be put into the file next */
	pthread_t filer;      /* puts it there */
	bool filing;          /* there is that thread: from the first long log on */
	pthread_mutex_t mind; /* its own, taken behind the lock: a transaction that is left open keeps nobody from ending */
	pthread_cond_t grown; /* the log did, or it ends; what follows is under its mutex */
	bool wanted;
	bool ending;
	int log_pages;
};

static struct sqlite *sqlite_of(const struct store *store)
{
	return (struct sqlite *)(uintptr_t)store;
}

static int db_error(sqlite3 *db, const char *what, struct err *err)
{
	int code = sqlite3_errcode(db);
	enum err_kind kind = ERR_BROKEN;

	if (code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_FULL) /* somebody will make room */
		kind = ERR_RETRY;
	else if (code == SQLITE_CONSTRAINT)
		kind = ERR_CONFLICT;
	else if (code == SQLITE_TOOBIG)
		kind = ERR_LIMIT;
	return err_set(err, kind, "the store: %s: %s", what, sqlite3_errmsg(db));
}

/* ---- statements ---- */

/* `stays`: the value outlives the binding. */
static int bind(sqlite3_stmt *statement, int at, const struct store_value *value, bool stays)
{
	switch (value->kind) {
	case STORE_NUMBER:
		return sqlite3_bind_int64(statement, at, value->number);
	case STORE_REAL:
		return sqlite3_bind_double(statement, at, value->real);
	case STORE_TEXT:
		return sqlite3_bind_text64(statement, at, value->text.at ? value->text.at : "", value->text.length,
					   stays ? SQLITE_STATIC : SQLITE_TRANSIENT, SQLITE_UTF8);
	case STORE_NULL:
		break;
	}
	return sqlite3_bind_null(statement, at);
}

/* By eight bytes at a time: statements are long, and are looked up for every use. */
static struct slot *slot_of(struct sqlite *self, const char *sql)
{
	size_t length = strlen(sql);
	uint64_t hash = length;

	for (size_t i = 0; i + 8 <= length; i += 8) {
		uint64_t word;

		memcpy(&word, sql + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	for (size_t i = length & ~(size_t)7; i < length; i++)
		hash = (hash ^ (unsigned char)sql[i]) * 0x9e3779b97f4a7c15u;
	return &self->slots[(hash >> 32) % SLOTS];
}

/* One that is ready to be bound; a kept one when there is. */
static sqlite3_stmt *statement_get(struct sqlite *self, const char *sql)
{
	struct slot *slot = slot_of(self, sql);
	sqlite3_stmt *statement = NULL;

	if (__atomic_load_n(&slot->busy, __ATOMIC_ACQUIRE))
		return sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL) == SQLITE_OK ? statement : NULL;
	if (!slot->statement || strcmp(sqlite3_sql(slot->statement), sql) != 0) {
		if (sqlite3_prepare_v3(self->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
			return NULL;
		(void)sqlite3_finalize(slot->statement);
		__atomic_store_n(&slot->statement, statement, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&slot->busy, true, __ATOMIC_RELEASE);
	return slot->statement;
}

static void statement_put(struct sqlite *self, sqlite3_stmt *statement)
{
	struct slot *slot = slot_of(self, sqlite3_sql(statement));

	if (__atomic_load_n(&slot->statement, __ATOMIC_ACQUIRE) != statement) {
		(void)sqlite3_finalize(statement);
		return;
	}
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	__atomic_store_n(&slot->busy, false, __ATOMIC_RELEASE);
}

static int prepare(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, bool stay,
		   sqlite3_stmt **statement, struct err *err)
{
	struct sqlite *self = sqlite_of(tx->store);

	*statement = statement_get(self, sql);
	if (!*statement)
		return db_error(self->db, sql, err);
	assert((size_t)sqlite3_bind_parameter_count(*statement) == count);
	for (size_t i = 0; i < count; i++)
		if (bind(*statement, (int)i + 1, &values[i], stay) != SQLITE_OK) {
			(void)db_error(self->db, sql, err);
			statement_put(self, *statement);
			*statement = NULL;
			return -1;
		}
	return 0;
}

static int execute(struct sqlite *self, const char *sql, struct err *err)
{
	sqlite3_stmt *statement = statement_get(self, sql);
	int status;

	if (!statement)
		return db_error(self->db, sql, err);
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		;
	if (status != SQLITE_DONE)
		(void)db_error(self->db, sql, err);
	statement_put(self, statement);
	return status == SQLITE_DONE ? 0 : -1;
}

static int sqlite_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err)
{
	struct sqlite *self = sqlite_of(tx->store);
	sqlite3_stmt *statement;
	int status;

	if (prepare(tx, sql, values, count, true, &statement, err))
		return -1;
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		;
	if (status != SQLITE_DONE)
		(void)db_error(self->db, sql, err);
	statement_put(self, statement);
	return status == SQLITE_DONE ? 0 : -1;
}

static int64_t sqlite_changed(const struct store_tx *tx)
{
	return sqlite3_changes64(sqlite_of(tx->store)->db);
}

static int64_t sqlite_last_id(const struct store_tx *tx)
{
	return sqlite3_last_insert_rowid(sqlite_of(tx->store)->db);
}

static int sqlite_query(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values,
			size_t count, struct err *err)
{
	sqlite3_stmt *statement;

	if (prepare(tx, sql, values, count, false, &statement, err))
		return -1;
	rows->statement = statement;
	rows->store = tx->store;
	rows->status = SQLITE_OK;
	return 0;
}

static bool sqlite_next(struct store_rows *rows)
{
	rows->status = sqlite3_step(rows->statement);
	return rows->status == SQLITE_ROW;
}

static int sqlite_finish(struct store_rows *rows, struct err *err)
{
	if (rows->status != SQLITE_DONE && rows->status != SQLITE_ROW && rows->status != SQLITE_OK)
		return db_error(sqlite3_db_handle(rows->statement), "cannot read", err);
	return 0;
}

static void sqlite_rows_fini(struct store_rows *rows)
{
	statement_put(sqlite_of(rows->store), rows->statement);
}

static int64_t sqlite_number(struct store_rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

static double sqlite_real(struct store_rows *rows, int column)
{
	return sqlite3_column_double(rows->statement, column);
}

static const char *sqlite_text(struct store_rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

static enum store_kind sqlite_kind(struct store_rows *rows, int column)
{
	switch (sqlite3_column_type(rows->statement, column)) {
	case SQLITE_INTEGER:
		return STORE_NUMBER;
	case SQLITE_FLOAT:
		return STORE_REAL;
	case SQLITE_TEXT:
		return STORE_TEXT;
	default:
		return STORE_NULL;
	}
}

static int sqlite_columns(struct store_rows *rows)
{
	return sqlite3_column_count(rows->statement);
}

static const char *sqlite_column(struct store_rows *rows, int column)
{
	return sqlite3_column_name(rows->statement, column);
}

/* ---- transactions ---- */

static int sqlite_begin(struct store *store, struct store_tx *tx, enum store_alone alone, struct err *err)
{
	struct sqlite *self = sqlite_of(store);

	(void)pthread_mutex_lock(&self->lock);
	if (execute(self, alone == STORE_SNAPSHOT ? "BEGIN" : "BEGIN IMMEDIATE", err)) {
		(void)pthread_mutex_unlock(&self->lock);
		return -1;
	}
	tx->session = self->db;
	return 0;
}

static void sqlite_abort(struct store_tx *tx)
{
	struct sqlite *self = sqlite_of(tx->store);

	(void)execute(self, "ROLLBACK", NULL);
	(void)pthread_mutex_unlock(&self->lock);
}

static int sqlite_commit(struct store_tx *tx, struct err *err)
{
	struct sqlite *self = sqlite_of(tx->store);

	if (execute(self, "COMMIT", err)) {
		sqlite_abort(tx);
		return -1;
	}
	(void)pthread_mutex_unlock(&self->lock);
	return 0;
}

static int sqlite_script(struct store_tx *tx, const char *sql, struct err *err)
{
	sqlite3 *db = sqlite_of(tx->store)->db;

	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(db, "cannot execute", err);
}

static bool sqlite_has_table(struct store_tx *tx, const char *name)
{
	int64_t count = 0;

	return !store_number_get(tx, &count, 0, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
				 VALUES(V(name)), NULL) &&
	       count;
}

static int pragma_number(struct store_tx *tx, const char *sql, int64_t *number, struct err *err)
{
	return store_number_get(tx, number, 0, sql, NO_VALUES, err);
}

static int sqlite_form(struct store_tx *tx, int64_t *form, struct err *err)
{
	int64_t application;

	if (pragma_number(tx, "PRAGMA user_version", form, err) || pragma_number(tx, "PRAGMA application_id", &application, err))
		return -1;
	if ((*form || application) && application != APPLICATION_ID)
		return err_set(err, ERR_BROKEN, "it is a database of another program");
	return 0;
}

static int sqlite_form_set(struct store_tx *tx, int64_t form, struct err *err)
{
	AUTO_FREE char *mark = text_format("PRAGMA user_version = %lld; PRAGMA application_id = %d;", (long long)form,
					   APPLICATION_ID);

	return sqlite_script(tx, mark, err);
}

static int sqlite_flush(struct store *store, struct err *err)
{
	struct sqlite *self = sqlite_of(store);

	if (strcmp(store->where, ":memory:") == 0)
		return 0;
	if (self->log_fd < 0) {
		AUTO_FREE char *log = text_format("%s-wal", store->where);

		self->log_fd = open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (self->log_fd < 0)
			return err_errno(err, errno, "%s", log);
	}
	return fdatasync(self->log_fd) ? err_errno(err, errno, "cannot sync the log of %s", store->where) : 0;
}

/* ---- the log into the file ---- */

static void log_file(sqlite3 *db)
{
	/* What fails here is in the log as before: it is tried again when that has grown. */
	(void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* A connection of its own; it knows that there is a log when it has read something. NULL: commits do it, later. */
static sqlite3 *filer_connect(const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, "PRAGMA user_version", NULL, NULL, NULL) == SQLITE_OK)
		return db;
	(void)sqlite3_close_v2(db);
	return NULL;
}

/* Takes the lock, unless the store ends meanwhile: then false. */
static bool commits_pause(struct sqlite *self)
{
	bool ending = false;

	while (!ending) {
		struct timespec until;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		if (pthread_mutex_clocklock(&self->lock, CLOCK_MONOTONIC, &until) == 0)
			return true;
		(void)pthread_mutex_lock(&self->mind);
		ending = self->ending;
		(void)pthread_mutex_unlock(&self->mind);
	}
	return false;
}

static void *filer_run(void *of)
{
	struct sqlite *self = of;
	sqlite3 *db = filer_connect(self->store.where);

	(void)pthread_mutex_lock(&self->mind);
	while (db && !self->ending) {
		bool is_long;

		if (!self->wanted) {
			(void)pthread_cond_wait(&self->grown, &self->mind);
			continue;
		}
		self->wanted = false;
		(void)pthread_mutex_unlock(&self->mind);
		log_file(db);
		(void)pthread_mutex_lock(&self->mind);
		is_long = self->log_pages >= LOG_PAGES_LONG;
		(void)pthread_mutex_unlock(&self->mind);
		if (is_long && commits_pause(self)) {
			log_file(db);
			(void)pthread_mutex_unlock(&self->lock);
		}
		(void)pthread_mutex_lock(&self->mind);
	}
	(void)pthread_mutex_unlock(&self->mind);
	(void)sqlite3_close_v2(db);
	return NULL;
}

/* After a commit, under the lock. */
static int log_grown(void *of, sqlite3 *db, const char *name, int pages)
{
	struct sqlite *self = of;
	bool wanted;

	(void)name;
	(void)pthread_mutex_lock(&self->mind);
	if (pages < self->log_pages) /* it was begun anew */
		self->wanted_pages = LOG_PAGES;
	self->log_pages = pages;
	wanted = pages >= self->wanted_pages;
	if (wanted) {
		self->wanted = true;
		(void)pthread_cond_signal(&self->grown);
	}
	(void)pthread_mutex_unlock(&self->mind);
	if (!wanted)
		return SQLITE_OK;
	self->wanted_pages = pages + LOG_PAGES;
	self->filing = self->filing || !pthread_create(&self->filer, NULL, filer_run, self);
	if (pages >= LOG_PAGES_MAX)
		log_file(db);
	return SQLITE_OK;
}

/* Nobody else uses the store any more. */
static void filer_end(struct sqlite *self)
{
	if (self->filing) {
		(void)pthread_mutex_lock(&self->mind);
		self->ending = true;
		(void)pthread_cond_signal(&self->grown);
		(void)pthread_mutex_unlock(&self->mind);
		(void)pthread_join(self->filer, NULL);
	}
	(void)pthread_cond_destroy(&self->grown);
	(void)pthread_mutex_destroy(&self->mind);
}

static void sqlite_close(struct store *store)
{
	struct sqlite *self = sqlite_of(store);

	filer_end(self);
	for (size_t i = 0; i < SLOTS; i++)
		(void)sqlite3_finalize(self->slots[i].statement);
	(void)sqlite3_close_v2(self->db);
	if (self->log_fd >= 0)
		(void)close(self->log_fd);
	(void)pthread_mutex_destroy(&self->lock);
	store_fini(store);
	free(self);
}

static const struct store_ops sqlite_ops = {
	.name = "SQLite",
	.skip_locked = "",
	.close = sqlite_close,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.abort = sqlite_abort,
	.run = sqlite_run,
	.changed = sqlite_changed,
	.last_id = sqlite_last_id,
	.script = sqlite_script,
	.has_table = sqlite_has_table,
	.form = sqlite_form,
	.form_set = sqlite_form_set,
	.query = sqlite_query,
	.next = sqlite_next,
	.finish = sqlite_finish,
	.fini = sqlite_rows_fini,
	.number = sqlite_number,
	.real = sqlite_real,
	.text = sqlite_text,
	.kind = sqlite_kind,
	.columns = sqlite_columns,
	.column = sqlite_column,
	.flush = sqlite_flush,
};

/* The directory names the new files only when it is on the disk itself. */
static void folder_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = slash ? text_format("%.*s", (int)(slash - path) + 1, path) : text_copy(".");
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)fsync(fd);
}

int store_sqlite_open(const char *path, struct store **store, struct err *err)
{
	static const char *const settings[] = {
		"PRAGMA journal_mode = WAL",   "PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON",
		"PRAGMA trusted_schema = OFF", "PRAGMA temp_store = MEMORY",  "PRAGMA cache_size = -8000",
		"PRAGMA secure_delete = FAST",
	};
	struct sqlite *self = mem_new(sizeof(*self));

	store_init(&self->store, &sqlite_ops, path);
	self->log_fd = -1;
	self->wanted_pages = LOG_PAGES;
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_mutex_init(&self->mind, NULL);
	(void)pthread_cond_init(&self->grown, NULL);
	if (sqlite3_open_v2(path, &self->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL) != SQLITE_OK) {
		(void)db_error(self->db, path, err);
		sqlite_close(&self->store);
		return -1;
	}
	(void)sqlite3_busy_timeout(self->db, BUSY_TIMEOUT_MS);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (execute(self, settings[i], err)) {
			sqlite_close(&self->store);
			return err_prefix(err, "cannot open %s", path);
		}
	(void)sqlite3_wal_hook(self->db, log_grown, self);
	folder_sync(path);
	*store = &self->store;
	return 0;
}
