/* Our own rows, and everybody's heads. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/file.h"
#include "base/scope.h"
#include "ledger/verify.h"

#define OWN_WRITER "serve"
#define PUT_TIMEOUT_MS 10000
#define SAID_MAX 100

/* ---- heads ---- */

static int sign_own(void *self, struct ledger_head *head, struct err *err)
{
	return audit_head_sign(self, OWN_WRITER, head, err);
}

static int witness_get(struct store_tx *tx, const char *writer, uint64_t *segment, uint64_t *sequence, struct err *err)
{
	AUTO_ROWS rows = {0};

	*segment = *sequence = 0;
	if (store_query(tx, &rows, "SELECT segment, sequence FROM ledger_witness WHERE writer = ?", VALUES(V(writer)), err))
		return -1;
	if (store_rows_next(&rows)) {
		*segment = (uint64_t)store_rows_number(&rows, 0);
		*sequence = (uint64_t)store_rows_number(&rows, 1);
	}
	return store_rows_finish(&rows, err);
}

int audit_head_sign(struct audit *audit, const char *writer, struct ledger_head *head, struct err *err)
{
	unsigned char bytes[LEDGER_HEAD_BYTES];
	char line[LEDGER_HEAD_TEXT_MAX];
	AUTO_TX tx = {0};
	uint64_t segment, sequence;

	if (strcmp(head->writer, writer) != 0)
		return err_set(err, ERR_DENIED, "a head of `%.15s` is not signed for `%s`", head->writer, writer);
	if (store_begin(audit->store, &tx, err) || witness_get(&tx, writer, &segment, &sequence, err))
		return -1;
	if (head->segment < segment || head->sequence < sequence)
		return err_set(err, ERR_CONFLICT, "row %llu of the ledger was signed: row %llu is behind it",
			       (unsigned long long)sequence, (unsigned long long)head->sequence);
	ledger_head_bytes(head, bytes);
	if (audit->options.sign(audit->options.self, view_make(bytes, sizeof(bytes)), head->signature, err))
		return -1;
	ledger_head_format(head, line);
	if (store_run(&tx, "INSERT OR REPLACE INTO ledger_witness (writer, segment, sequence, head) VALUES (?, ?, ?, ?)",
		      VALUES(V(writer), V((int64_t)head->segment), V((int64_t)head->sequence), V((const char *)line)), err))
		return -1;
	return store_commit(&tx, err);
}

json_t *audit_heads(struct audit *audit, struct err *err)
{
	AUTO_JSON heads = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(audit->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT head FROM ledger_witness ORDER BY writer", NO_VALUES, err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(heads, json_string(store_rows_text(&rows, 0)));
	return store_rows_finish(&rows, err) ? NULL : TAKE(heads);
}

/* ---- beginning and end ---- */

const char *audit_key_id(const struct audit *audit)
{
	return audit->key_id;
}

char *audit_folder(const struct audit *audit, const char *writer)
{
	return text_format("%s/%s", audit->folder, writer);
}

int audit_open(const struct audit_options *options, struct audit **audit, struct err *err)
{
	struct audit *made = mem_new(sizeof(*made));
	AUTO_FREE char *database = text_format("%s/ledger/index.db", options->state_dir);
	AUTO_FREE char *own = NULL;
	struct ledger_options ledger = {.writer = OWN_WRITER, .rings = 1, .signer = {sign_own, made}};

	made->folder = text_format("%s/ledger", options->state_dir);
	made->options = *options;
	made->public_key = view_copy(options->public_key);
	(void)snprintf(made->key_id, sizeof(made->key_id), "%s", options->key_id);
	made->options.public_key = view_of(made->public_key);
	made->options.key_id = made->key_id;
	made->options.state_dir = NULL;
	(void)pthread_mutex_init(&made->ring_lock, NULL);
	(void)pthread_mutex_init(&made->index_lock, NULL);
	own = audit_folder(made, OWN_WRITER);
	ledger.dir = own;
	ledger.key_id = made->key_id;
	ledger.public_key = made->options.public_key;
	if (file_make_dirs(made->folder, 0711, err) || store_open(database, &made->store, err) ||
	    ledger_open(&ledger, &made->ledger, err)) {
		audit_close(made);
		return err_prefix(err, "the ledger");
	}
	*audit = made;
	return 0;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	ledger_close(audit->ledger);
	store_close(audit->store);
	(void)pthread_mutex_destroy(&audit->ring_lock);
	(void)pthread_mutex_destroy(&audit->index_lock);
	free(audit->public_key);
	free(audit->folder);
	free(audit);
}

/* ---- rows ---- */

struct ledger_row audit_row(enum ledger_kind kind, const char *env, const char *run, const char *rule, const char *actor,
			    const char *detail)
{
	struct ledger_row row = {.kind = kind};

	row.texts[LEDGER_ENV] = view_of(env);
	row.texts[LEDGER_RUN] = view_of(run);
	row.texts[LEDGER_RULE] = view_of(rule);
	row.texts[LEDGER_ACTOR] = view_of(actor);
	row.texts[LEDGER_DETAIL] = view_of(detail);
	return row;
}

void audit_note(struct audit *audit, const struct ledger_row *row)
{
	struct ledger_ring *ring = ledger_ring(audit->ledger, 0);

	(void)pthread_mutex_lock(&audit->ring_lock);
	if (ledger_ring_waits(ring))
		ledger_ring_run(ring);
	ledger_put(ring, row);
	(void)pthread_mutex_unlock(&audit->ring_lock);
}

int audit_put(struct audit *audit, const struct ledger_row *row, struct err *err)
{
	struct ledger_ring *ring = ledger_ring(audit->ledger, 0);
	struct ledger_wait wait = {.done = NULL};
	bool taken;

	(void)pthread_mutex_lock(&audit->ring_lock);
	if (ledger_ring_waits(ring))
		ledger_ring_run(ring);
	taken = ledger_intent(ring, row, &wait) == LEDGER_TAKEN;
	if (!taken)
		ledger_wait_cancel(ring, &wait);
	(void)pthread_mutex_unlock(&audit->ring_lock);
	if (!taken)
		return err_set(err, ERR_RETRY, "the ledger takes no rows: nothing is done that it cannot record");
	return ledger_flush(audit->ledger, PUT_TIMEOUT_MS, err);
}

/* ---- verifying ---- */

int audit_writers(const struct audit *audit, char ***names, size_t *count, struct err *err)
{
	DIR *dir = opendir(audit->folder);

	*names = mem_new_array(AUDIT_WRITERS_MAX, sizeof(**names));
	*count = 0;
	if (!dir)
		return err_errno(err, errno, "cannot list %s", audit->folder);
	for (const struct dirent *entry = readdir(dir); entry && *count < AUDIT_WRITERS_MAX; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", audit->folder, entry->d_name);

		if (entry->d_name[0] != '.' && strlen(entry->d_name) < LEDGER_WRITER_MAX && file_is_dir(path))
			(*names)[(*count)++] = text_copy(entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

static void on_say(void *self, bool is_break, const char *text)
{
	json_t *said = self;
	AUTO_FREE char *line = text_format("%s: %s", is_break ? "break" : "note", text);

	if (json_array_size(said) < SAID_MAX)
		(void)json_array_append_new(said, json_string(line));
}

static json_t *writer_verify(struct audit *audit, const char *writer, const struct ledger_head *witness, size_t count,
			     struct err *err)
{
	AUTO_FREE char *folder = audit_folder(audit, writer);
	json_t *said = json_array();
	struct ledger_checks checks = {
		.public_key = audit->options.public_key, .witness = witness, .witness_count = count, .say = on_say, .self = said};
	struct ledger_report report;

	if (ledger_verify(folder, &checks, &report, err)) {
		json_decref(said);
		return NULL;
	}
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "writer", writer, "segments",
			 (json_int_t)report.segments, "rows", (json_int_t)report.rows, "heads", (json_int_t)report.heads, "breaks",
			 (json_int_t)report.breaks, "notes", (json_int_t)report.notes, "unsigned", (json_int_t)report.rows_unsigned,
			 "pruned", (json_int_t)report.pruned, "chain", report.chain, "said", said);
}

int audit_witnesses(struct audit *audit, struct ledger_head *heads, size_t most, size_t *count, struct err *err)
{
	AUTO_JSON lines = audit_heads(audit, err);
	size_t index;
	json_t *line;

	*count = 0;
	if (!lines)
		return err_prefix(err, "the heads that were kept");
	json_array_foreach(lines, index, line)
		if (*count < most && !ledger_head_parse(view_of(json_string_value(line)), &heads[*count], NULL))
			(*count)++;
	return 0;
}

json_t *audit_verify(struct audit *audit, struct err *err)
{
	struct ledger_head heads[AUDIT_WRITERS_MAX];
	size_t head_count = 0;
	AUTO_FREE char **names = NULL;
	AUTO_JSON writers = json_array();
	size_t count = 0;
	bool whole = true;
	bool failed;

	failed = audit_witnesses(audit, heads, AUDIT_WRITERS_MAX, &head_count, err) || audit_writers(audit, &names, &count, err);
	for (size_t i = 0; i < count; i++) {
		json_t *writer = failed ? NULL : writer_verify(audit, names[i], heads, head_count, err);

		failed = failed || !writer;
		whole = whole && json_number(writer, "breaks", 1) == 0;
		if (writer)
			(void)json_array_append_new(writers, writer);
		free(names[i]);
	}
	return failed ? NULL : json_pack("{s:b, s:O, s:s}", "ok", whole, "writers", writers, "key_id", audit->key_id);
}
