/* The index: what a search looks for, and where the row is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/log.h"
#include "base/scope.h"

#define ROWS_A_TRANSACTION 2000

struct place {
	int64_t segment;
	int64_t offset;
};

static int place_get(struct store_tx *tx, const char *writer, struct place *place, struct err *err)
{
	AUTO_ROWS rows = {0};

	*place = (struct place){0, 0};
	if (store_query(tx, &rows, "SELECT segment, place FROM ledger_read WHERE writer = ?", VALUES(V(writer)), err))
		return -1;
	if (store_rows_next(&rows))
		*place = (struct place){store_rows_number(&rows, 0), store_rows_number(&rows, 1)};
	return store_rows_finish(&rows, err);
}

static int place_set(struct store_tx *tx, const char *writer, const struct place *place, struct err *err)
{
	return store_run(tx, "INSERT OR REPLACE INTO ledger_read (writer, segment, place) VALUES (?, ?, ?)",
			 VALUES(V(writer), V(place->segment), V(place->offset)), err);
}

static struct store_value text_or_null(struct view text)
{
	return text.length ? store_value_view(text) : store_value_text(NULL);
}

static int row_add(struct store_tx *tx, const char *writer, const struct place *place, const struct ledger_record *record,
		   const struct ledger_row *row, struct err *err)
{
	return store_run(tx,
			 "INSERT INTO ledger_row (writer, segment, place, time_ms, kind, request, env, run, host, rule)"
			 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			 VALUES(V(writer), V(place->segment), V(place->offset), V(record->wall_ms), V(ledger_kind_name(row->kind)),
				V((int64_t)row->request), text_or_null(row->texts[LEDGER_ENV]),
				text_or_null(row->texts[LEDGER_RUN]), text_or_null(row->texts[LEDGER_HOST]),
				text_or_null(row->texts[LEDGER_RULE])),
			 err);
}

/* Up to ROWS_A_TRANSACTION rows of one segment; *count says how many. A broken place ends the segment: the verifier names it. */
static int segment_index(struct audit *audit, const char *writer, int dir_fd, struct place *place, int64_t *count, struct err *err)
{
	char name[SEGMENT_NAME_MAX];
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct view bytes;
	AUTO_TX tx = {0};
	size_t torn;
	int failed = 0;
	int got = 0;
	int fd;

	*count = 0;
	segment_name((uint64_t)place->segment, name);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read the ledger's %s", name);
	if (segment_reader_open(&reader, fd, (uint64_t)place->offset, err))
		return 0;
	failed = store_begin(audit->store, &tx, err);
	while (!failed && *count < ROWS_A_TRANSACTION) {
		place->offset = (int64_t)segment_reader_offset(&reader);
		got = segment_read(&reader, &bytes, &record, &row, &torn, err);
		if (got != 1)
			break;
		++*count;
		if (row.kind >= LEDGER_LOST)
			failed = row_add(&tx, writer, place, &record, &row, err);
		place->offset = (int64_t)segment_reader_offset(&reader);
	}
	segment_reader_close(&reader);
	if (got < 0)
		log_warn("the ledger of %s, segment %s: %s", writer, name, err->text);
	if (failed || !*count)
		return failed ? -1 : 0;
	return place_set(&tx, writer, place, err) || store_commit(&tx, err) ? -1 : 0;
}

/* The first segment behind `place` that is there; 0: none. */
static int64_t segment_after(int dir_fd, int64_t segment)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;
	int64_t next = 0;

	if (ledger_segments(dir_fd, &names, &count, NULL))
		return 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t number = 0;

		(void)segment_number(names[i], &number);
		if (!next && (int64_t)number > segment)
			next = (int64_t)number;
		free(names[i]);
	}
	return next;
}

static int writer_index(struct audit *audit, const char *writer, int64_t rows_max, struct err *err)
{
	AUTO_FREE char *folder = audit_folder(audit, writer);
	AUTO_CLOSE int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct place place;
	int64_t taken = 0;

	if (dir_fd < 0)
		return err_errno(err, errno, "cannot open %s", folder);
	{
		AUTO_TX tx = {0};

		if (store_begin(audit->store, &tx, err) || place_get(&tx, writer, &place, err))
			return -1;
	}
	if (!place.segment)
		place.segment = segment_after(dir_fd, 0);
	while (place.segment && taken < rows_max) {
		int64_t count;
		int64_t next;

		/* Looked for before the last rows are read: nothing is written to a segment once there is a later one. */
		next = segment_after(dir_fd, place.segment);
		if (segment_index(audit, writer, dir_fd, &place, &count, err))
			return -1;
		taken += count;
		if (count)
			continue;
		if (!next)
			break;
		place = (struct place){next, 0};
	}
	return 0;
}

int audit_index(struct audit *audit, int64_t rows_max, struct err *err)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;
	int failed;

	(void)pthread_mutex_lock(&audit->index_lock);
	failed = audit_writers(audit, &names, &count, err);
	for (size_t i = 0; i < count; i++) {
		failed = failed || writer_index(audit, names[i], rows_max, err);
		free(names[i]);
	}
	(void)pthread_mutex_unlock(&audit->index_lock);
	return failed ? -1 : 0;
}
